"""Changes of abundances and simulated sequences, from files to files, on cases made by hand."""


from dataclasses import replace

import numpy as np
import pytest
import rasterio
from toolruns import TRANSFORM, given, raster, read, run_tool, spectra

from subpixel.engine import memory
from subpixel.engine import raster as engine_raster
from subpixel.engine.main import run
from subpixel.engine.palette import colours
from subpixel.engine.sentences import UserError
from subpixel.engine.spectra import from_features
from subpixel.engine.wavelengths import read_wavelengths

NAMES = ["water", "tree", "soil"]
DATES = ["2020-03-01", "2020-05-15", "2020-09-30"]
NO = [-9999] * 3
# every pixel at three dates
PIXELS = {
    "stays water": ([1, 0, 0], [1, 0, 0], [0.9, 0.1, 0]),
    "water to soil at once": ([1, 0, 0], [0.1, 0, 0.9], [0.1, 0.1, 0.8]),
    "tree to soil, late": ([0, 1, 0], [0, 0.8, 0.2], [0, 0.3, 0.7]),
    "there and back": ([0, 0, 1], [0.6, 0, 0.4], [0, 0, 1]),
    "unknown at first": (NO, [0.2, 0.8, 0], [0.2, 0.8, 0]),
    "bridged": ([1, 0, 0], NO, [0, 0.4, 0.6]),
    "unknown at last": ([0.5, 0.3, 0.2], [0.3, 0.5, 0.2], NO),
    "known once": (NO, [1, 0, 0], NO),
    "never known": (NO, NO, NO),
    "an even mixture": ([0.4, 0.3, 0.3], [0.4, 0.3, 0.3], [0.3, 0.4, 0.3]),
}
OUTPUTS = ("CHANGE", "MAGNITUDE", "DATEOFCHANGE", "INDEX", "FROMTO")


def sequence(folder, **options):
    """A raster of 2 x 5 pixels for each date, the bands of the second in another order."""
    A = np.array(list(PIXELS.values()), dtype=float).transpose(1, 2, 0).reshape(3, 3, 2, 5)
    turned = [2, 0, 1]
    return [raster(folder / f"a_{date}.tif", part[turned] if number == 1 else part,
                   [NAMES[band] for band in turned] if number == 1 else NAMES, **options)
            for number, (date, part) in enumerate(zip(DATES, A))]


def images(paths):
    return [{"path": str(path), "crs": None} for path in paths]


def changed(folder, paths=None, **values):
    """The arrays of all raster outputs (bands, N) by name, the result, and what was said."""
    paths = sequence(folder) if paths is None else paths
    result, said = run_tool("abundancechange", {"IMAGES": images(paths), **values}, TRANSITIONS="wanted",
                            REPORT=folder / "report.html", **{name: folder / f"{name}.tif" for name in OUTPUTS})
    arrays = {name: read(folder / f"{name}.tif") for name in OUTPUTS}
    return {name: array.reshape(len(array), -1) for name, array in arrays.items()}, result, said


def of(array, pixel):
    return array[:, list(PIXELS).index(pixel)].tolist()


def test_change_is_last_less_first_of_the_dates_that_are_known(tmp_path):
    change = changed(tmp_path)[0]["CHANGE"]
    for pixel, expected in (("stays water", [-0.1, 0.1, 0]), ("water to soil at once", [-0.9, 0.1, 0.8]),
                            ("there and back", [0, 0, 0]), ("unknown at first", [0, 0, 0]),
                            ("bridged", [-1, 0.4, 0.6]), ("unknown at last", [-0.2, 0.2, 0]), ("known once", NO),
                            ("never known", NO)):
        assert of(change, pixel) == pytest.approx(expected, abs=1e-6), pixel


def test_index_and_magnitude_are_the_share_that_became_something_else(tmp_path):
    found = changed(tmp_path)[0]
    for pixel, steps, whole in (("stays water", [0, 0.1], 0.1), ("water to soil at once", [0.9, 0.1], 0.9),
                                ("there and back", [0.6, 0.6], 0), ("unknown at first", [-9999, 0], 0),
                                ("bridged", [-9999, 1], 1), ("unknown at last", [0.2, -9999], 0.2),
                                ("known once", [-9999, -9999], -9999), ("never known", [-9999, -9999], -9999)):
        assert of(found["INDEX"], pixel) == pytest.approx(steps, abs=1e-6), pixel
        assert of(found["MAGNITUDE"], pixel) == pytest.approx([whole], abs=1e-6), pixel
    with rasterio.open(tmp_path / "INDEX.tif") as file:
        assert file.descriptions == ("2020-03-01 to 2020-05-15", "2020-05-15 to 2020-09-30")
        assert file.transform == TRANSFORM and file.crs.to_epsg() == 32633


def test_date_of_change_is_that_of_the_largest_step_above_the_threshold(tmp_path):
    found, result, said = changed(tmp_path)
    assert found["DATEOFCHANGE"].tolist() == [[1, 2, 3, 2, 1, 3, 1, 0, 0, 1]]
    look = result["rasters"]["DATEOFCHANGE"]
    assert look["names"] == ["no change", *DATES[1:]] and look["numbers"] == [1, 2, 3]
    assert len(set(look["colours"])) == 3
    assert result["numbers"]["CHANGED"] == pytest.approx(50)
    assert result["numbers"]["MEANMAGNITUDE"] == pytest.approx((0.1 + 0.9 + 0.7 + 0 + 0 + 1 + 0.2 + 0.1) / 8)
    assert "2020-05-15: the largest change of 25.0 % of the pixels, by more than 0.25." in said
    assert changed(tmp_path, THRESHOLD=0.7)[0]["DATEOFCHANGE"].tolist() == [[1, 2, 1, 1, 1, 3, 1, 0, 0, 1]]


def test_from_to_has_the_classes_that_occur_in_colours_that_tell_the_destination(tmp_path):
    found, result, _ = changed(tmp_path)
    assert found["FROMTO"].tolist() == [[101, 103, 203, 303, 202, 103, 102, 0, 0, 102]]
    look = result["rasters"]["FROMTO"]
    assert look["numbers"] == [101, 102, 103, 202, 203, 303]
    assert look["names"] == ["water", "water to tree", "water to soil", "tree", "tree to soil", "soil"]
    assert len(set(look["colours"])) == 6
    own = [np.array([int(colour[at:at + 2], 16) for at in (1, 3, 5)]) for colour in colours(NAMES)]
    for name, colour in zip(look["names"], look["colours"]):
        shown = np.array([int(colour[at:at + 2], 16) for at in (1, 3, 5)])
        nearest = NAMES[np.argmin([np.abs(shown - other).sum() for other in own])]
        if " to " in name:
            assert nearest == name.split(" to ")[1]


def test_below_the_minimum_a_pixel_is_mixed(tmp_path):
    found, result, _ = changed(tmp_path, MINIMUM=0.45)
    assert found["FROMTO"].tolist() == [[101, 103, 203, 303, 202, 103, 102, 0, 0, 404]]
    assert "mixed" in result["rasters"]["FROMTO"]["names"]


def test_transitions_are_counted_with_their_area(tmp_path):
    rows = changed(tmp_path)[1]["tables"]["TRANSITIONS"]
    assert list(rows[0]) == ["from", "to", "changed", "pixels", "percent", "hectares"]
    assert [(row["from"], row["to"], row["pixels"]) for row in rows] == [
        ("water", "water", 1), ("water", "tree", 2), ("water", "soil", 2), ("tree", "tree", 1), ("tree", "soil", 1),
        ("soil", "soil", 1)]
    assert sum(row["percent"] for row in rows) == pytest.approx(100)
    assert rows[1]["hectares"] == pytest.approx(2 * 0.09) and [row["changed"] for row in rows] == [0, 1, 1, 0, 1, 0]


@pytest.mark.parametrize(("crs", "field", "area"), [("EPSG:2263", "hectares", 900 * 0.3048006096 ** 2 / 1e4),
                                                    ("EPSG:4326", None, None), (None, "area", 900)])
def test_areas_are_in_hectares_in_square_units_or_nowhere(crs, field, area, tmp_path):
    paths = sequence(tmp_path, crs=crs)
    row = changed(tmp_path, paths)[1]["tables"]["TRANSITIONS"][0]
    assert list(row)[5:] == ([field] if field else [])
    if field:
        assert row[field] == pytest.approx(area)


def test_two_dates_are_enough(tmp_path):
    found, result, _ = changed(tmp_path, sequence(tmp_path)[::2])
    assert found["INDEX"].shape[0] == 1 and np.array_equal(found["INDEX"], found["MAGNITUDE"])
    assert found["DATEOFCHANGE"].tolist() == [[1, 2, 2, 1, 0, 2, 0, 0, 0, 1]]


def test_looks_span_fixed_ranges_and_show_the_band_that_changes_most(tmp_path):
    looks = changed(tmp_path)[1]["rasters"]
    assert looks["CHANGE"]["range"] == [-1, 1] and looks["CHANGE"]["band"] == 1
    assert looks["INDEX"]["range"] == looks["MAGNITUDE"]["range"] == [0, 1] and looks["INDEX"]["band"] == 2


def test_blocks_change_nothing(tmp_path, monkeypatch):
    A = np.random.default_rng(0).dirichlet([0.5] * 3, (4, 30, 20)).transpose(0, 3, 1, 2)
    A[np.random.default_rng(1).random((4, 1, 30, 20)).repeat(3, axis=1) < 0.2] = -9999
    paths = [raster(tmp_path / f"b_2021-0{number + 1}-01.tif", part, NAMES) for number, part in enumerate(A)]
    whole, result, _ = changed(tmp_path, paths)
    monkeypatch.setattr(engine_raster, "BLOCK_VALUES", 1500)
    parts, other, _ = changed(tmp_path, paths)
    for name in OUTPUTS:
        assert np.array_equal(whole[name], parts[name]), name
    assert other["tables"] == result["tables"] and other["numbers"] == pytest.approx(result["numbers"])


def test_the_report_stands_without_the_rasters(tmp_path):
    run_tool("abundancechange", {"IMAGES": images(sequence(tmp_path))}, CHANGE=tmp_path / "c.tif",
             REPORT=tmp_path / "r.html")
    words = (tmp_path / "r.html").read_text(encoding="utf-8")
    for part in ("water to soil", "no change", "2020-05-15 to 2020-09-30", "From / to", "Magnitude"):
        assert part in words


@pytest.mark.parametrize(("names", "words"), [
    (["water", "tree", "rock"], "a_2020-03-01.tif has the bands water, tree, soil, and other_2020-12-01.tif has water, "
     "tree, rock. Choose"), (None, "has Band 1, Band 2, Band 3")])
def test_other_endmembers_are_a_sentence(names, words, tmp_path):
    other = raster(tmp_path / "other_2020-12-01.tif", np.ones((3, 2, 5)) / 3, names)
    with pytest.raises(UserError, match=words):
        run_tool("abundancechange", {"IMAGES": images([*sequence(tmp_path), other])}, CHANGE=tmp_path / "c.tif")


@pytest.mark.parametrize("gap", [-9999.0, 0.0])
def test_pixels_never_known_twice_are_a_sentence(gap, tmp_path):
    A = np.full((2, 3, 2, 4), gap)
    A[0, :, 0], A[1, :, 1] = 1 / 3, 1 / 3
    paths = [raster(tmp_path / f"a_{date}.tif", part, NAMES) for date, part in zip(DATES, A)]
    with pytest.raises(UserError, match="No pixel has a fraction above zero at two dates"):
        run_tool("abundancechange", {"IMAGES": images(paths)}, CHANGE=tmp_path / "c.tif")


def test_an_image_instead_of_abundances_is_a_sentence(tmp_path):
    paths = [raster(tmp_path / f"a_{date}.tif", np.ones((100, 2, 2))) for date in DATES]
    with pytest.raises(UserError, match="100 classes, and a from-to map holds at most 99"):
        run_tool("abundancechange", {"IMAGES": images(paths)}, CHANGE=tmp_path / "c.tif")


# simulated sequences

X = np.linspace(450, 2400, 30)
M = np.stack([0.5 + 0.4 * np.cos(k * np.pi * np.linspace(0, 1, 30)) for k in range(5)], axis=1)
LIBRARY = spectra(M, ["flat", "fall", "bowl", "wave", "ripple"], X)
BRIGHT = np.tile([0.9, 1.0, 1.1, 1.2], 4)
BUNDLES = replace(spectra(np.repeat(M[:, :4], 4, axis=1) * BRIGHT, None, X),
                  attributes=[{"class": name} for name in ["soil"] * 4 + ["tree"] * 4 + ["road"] * 4 + [None] * 4])
SMALL = {"ENDMEMBERS": LIBRARY, "MINANGLE": 5, "ROWS": 18, "COLUMNS": 20}
SMALL2 = {"CASE": "ds2", "ENDMEMBERS": BUNDLES, "MATERIALFIELD": "class", "ROWS": 12, "COLUMNS": 14}


def simulated(folder, **values):
    """Images (T, L, N), abundances (T, P, N), the names of their files, and the result."""
    result, _ = run_tool("simulatesequence", {**SMALL, **values}, IMAGES=folder / "images",
                         ABUNDANCES=folder / "abundances", TRUEVARIABILITY=folder / "true", TRUEENDMEMBERS="wanted")
    files = sorted((folder / "images").iterdir())
    assert [file.name for file in files] == [look["file"] for look in result["folders"]["IMAGES"]]
    stacks = [np.stack([read(folder / kind / file.name) for file in files]) for kind in ("images", "abundances")]
    return (*(stack.reshape(*stack.shape[:2], -1) for stack in stacks), files, result)


@pytest.mark.parametrize(("values", "T", "P"), [({}, 6, 3), (SMALL2, 15, 3), ({"DATECOUNT": 2, "COUNT": 4}, 2, 4),
                                                ({**SMALL2, "COUNT": 2, "DATECOUNT": 3}, 3, 2)])
def test_a_sequence_has_its_dates_and_its_truth(values, T, P, tmp_path):
    Y, A, files, result = simulated(tmp_path, **values)
    assert Y.shape[:2] == (T, 30) and A.shape[:2] == (T, P) and Y.shape[2] == A.shape[2]
    assert A.min() >= 0
    np.testing.assert_allclose(A.sum(axis=1), 1, atol=1e-6)
    assert [file.stem for file in files][:2] == ["2020-01-01", "2020-01-31"]
    truth = from_features(result["spectra"]["TRUEENDMEMBERS"]["features"])
    with rasterio.open(tmp_path / "abundances" / files[0].name) as file:
        assert list(file.descriptions) == truth.names and file.tags()["ACQUISITION_DATE"] == "2020-01-01"
    with rasterio.open(files[0]) as file:
        np.testing.assert_allclose(read_wavelengths(file)[0], X)
    # spectra vary about the true ones, so the images lie near the mixtures of these
    for Y_t, A_t in zip(Y[:2], A):
        assert np.linalg.norm(Y_t - truth.M @ A_t) < 0.2 * np.linalg.norm(Y_t)


def test_the_true_variability_grows_from_date_to_date_in_ds1(tmp_path):
    *_, files, result = simulated(tmp_path, SNR=200)
    mean = [read(tmp_path / "true" / file.name).mean() for file in files]
    assert 0.04 < mean[0] < 0.12 and mean == sorted(mean) and mean[-1] > 1.3 * mean[0]
    looks = result["folders"]["TRUEVARIABILITY"]
    assert len({tuple(look["range"]) for look in looks}) == 1 and 0.2 < looks[0]["range"][1] < 0.6


def test_dates_start_and_follow_as_asked(tmp_path):
    files, result = simulated(tmp_path, START="2019-12-30T10:30", INTERVAL=1, DATECOUNT=3)[2:]
    assert [file.stem for file in files] == ["2019-12-30T1030", "2019-12-31T1030", "2020-01-01T1030"]
    assert [look["time"][0] for look in result["folders"]["IMAGES"]][2] == "2020-01-01T10:30:00"


def test_the_same_seed_gives_the_same_sequence_and_another_does_not(tmp_path):
    first, again, other = (simulated(tmp_path / str(number), SEED=seed, DATECOUNT=3)[0]
                           for number, seed in enumerate((5, 5, 6)))
    assert np.array_equal(first, again) and not np.array_equal(first, other)


def test_what_was_simulated_is_what_changes(tmp_path):
    """The true abundances of DS1 change in patches at every date but the first and the last, and only there."""
    _, A, files, _ = simulated(tmp_path)
    result, _ = run_tool("abundancechange", {"IMAGES": images(tmp_path / "abundances" / file.name for file in files)},
                         CHANGE=tmp_path / "c.tif", DATEOFCHANGE=tmp_path / "d.tif", INDEX=tmp_path / "i.tif")
    dates, index = read(tmp_path / "d.tif"), read(tmp_path / "i.tif").reshape(5, -1)
    assert set(np.unique(dates)) <= {1, 2, 3, 4, 5} and 0 < (dates > 1).mean() < 0.5
    np.testing.assert_allclose(index, np.abs(np.diff(A, axis=0)).sum(axis=1) / 2, atol=1e-6)
    assert index[-1].max() == 0 and index[:-1].max(axis=1).min() > 0.25


@pytest.mark.parametrize(("values", "words"), [
    ({"START": "soon"}, "soon in First date is no date. Write it as"),
    ({"START": "2199-01-01", "INTERVAL": 360}, "end after the year 2199"),
    ({"COUNT": 1}, "number of endmembers is 1"), ({"DATECOUNT": 1}, "must be at least 2"),
    ({"MINANGLE": 80}, "differ by at least 80 degrees"), ({"CASE": "ds3"}, "must be one of: ds1, ds2"),
    ({"CASE": "ds2"}, "no field material"), ({**SMALL2, "COUNT": 5}, "and 5 are needed")])
def test_what_cannot_be_simulated_is_a_sentence(values, words, tmp_path):
    with pytest.raises(UserError, match=words):
        simulated(tmp_path, **values)
    assert not list(tmp_path.iterdir())


def test_progress_counts_the_simulation_and_every_date(tmp_path):
    told = []
    run({"tool": "simulatesequence", "values": {name: given(value) for name, value in SMALL.items()},
         "outputs": {"IMAGES": str(tmp_path / "images"), "ABUNDANCES": str(tmp_path / "abundances")},
         "version": "test"}, told.append)
    told = [message["progress"] for message in told if "progress" in message]
    assert told[0] == 33 and told[-1] == 99 and len(told) > 10


def test_a_sequence_too_large_says_what_it_needs(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "available", lambda: 10 ** 8)
    with pytest.raises(UserError, match="needs .* GB of memory and 0.1 GB are free. Make the images smaller or fewer"):
        simulated(tmp_path, ROWS=2000, COLUMNS=2000)
