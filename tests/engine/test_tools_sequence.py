"""Sequences through the engine: what is read, written and said, date by date and by the methods that use all dates."""

import json

import numpy as np
import pytest
import rasterio
from sequenceruns import BANDS, COLS, DATES, NODATA, ROWS, WAVES, P, endmembers, images, matched, pixels, stack, truth
from toolruns import TRANSFORM, given, raster, read, run_tool, spectra

import subpixel.engine.raster as engine_raster
from subpixel.algorithms.multitemporal.hbun import hbun
from subpixel.algorithms.multitemporal.kalmanem import BOUNDED, learn
from subpixel.algorithms.multitemporal.onlineunmixing import onlineunmixing
from subpixel.algorithms.multitemporal.sequence import reference
from subpixel.engine import memory
from subpixel.engine.main import run
from subpixel.engine.raster import Scene
from subpixel.engine.sentences import UserError
from subpixel.engine.sequences import Dated, Sequence
from subpixel.tools.multitemporal import _sequence

def unmix(folder, given, tool="fclssequence", more=(), **values):
    """Run a tool: abundances (T, P, ROWS, COLS) with NaN for nodata, the result, and all that was said."""
    names = ("ABUNDANCES", "CHANGE", "DATEDENDMEMBERS", "REPORT", *more)
    result, said = run_tool(tool, {"IMAGES": given, "COUNT": P, **values},
                            **{name: folder / name.lower() for name in names})
    return stack(folder, result), result, said


def test_abundances_of_every_date_are_recovered_though_spectra_drift(tmp_path):
    A, result, _ = unmix(tmp_path, images(tmp_path, noise=1e-4))
    A = A[:, matched(A)]
    assert np.nanmax(np.abs(A - truth())) < 0.02
    assert np.nanmax(np.abs(np.nansum(A, axis=1)[~np.isnan(A[:, 0])] - 1)) < 1e-4
    assert result["numbers"]["RMSE"] < 3e-4


def test_given_endmembers_are_used_at_every_date(tmp_path):
    given = spectra(endmembers(), ["water", "tree", "soil"], WAVES)
    A, result, _ = unmix(tmp_path, images(tmp_path, drift=False), ENDMEMBERS=given)
    assert np.nanmax(np.abs(A - truth())) < 1e-3
    assert [look["names"] for look in result["folders"]["ABUNDANCES"]] == [["water", "tree", "soil"]] * 3
    found = result["spectra"]["DATEDENDMEMBERS"]["features"]
    assert len(found) == 9 and found[4]["attributes"] == {"endmember": "tree", "date": DATES[1]}
    assert found[4]["profile"]["y"] == pytest.approx(endmembers()[:, 1], abs=1e-6)


def test_a_masked_pixel_stays_nodata_at_its_date_only(tmp_path):
    A, _, _ = unmix(tmp_path, images(tmp_path))
    missing = np.isnan(A).all(axis=1)
    assert (missing == np.isnan(A).any(axis=1)).all()
    assert [np.argwhere(each).tolist() for each in missing] == [[[0, 0]], [[0, 0], [5, 6]], [[0, 0]]]


def test_change_is_the_last_date_less_the_first(tmp_path):
    A, result, _ = unmix(tmp_path, images(tmp_path))
    change = read(tmp_path / "change")
    assert (change[:, 0, 0] == NODATA).all()
    change[:, 0, 0] = np.nan
    assert np.allclose(change, A[2] - A[0], atol=1e-6, equal_nan=True)
    look = result["rasters"]["CHANGE"]
    assert look["range"] == [-1, 1] and look["band"] == 1 + int(matched(A)[2]), "the material that changes most"


def test_rasters_are_named_dated_and_on_the_grid(tmp_path):
    _, result, said = unmix(tmp_path, images(tmp_path))
    looks = result["folders"]["ABUNDANCES"]
    assert [look["file"] for look in looks] == [f"{date}.tif" for date in DATES]
    assert [look["time"] for look in looks] == [
        ["2020-03-01T00:00:00", "2020-05-15T00:00:00"], ["2020-05-15T00:00:00", "2020-09-30T00:00:00"],
        ["2020-09-30T00:00:00", "2021-02-15T00:00:00"]]
    assert sorted(path.name for path in (tmp_path / "abundances").iterdir()) == [f"{date}.tif" for date in DATES]
    for date in DATES:
        with rasterio.open(tmp_path / "abundances" / f"{date}.tif") as file:
            assert file.transform == TRANSFORM and file.crs.to_epsg() == 32633 and file.nodata == NODATA
            assert file.descriptions == ("endmember 1", "endmember 2", "endmember 3")
            assert file.tags()["ACQUISITION_DATE"] == date
            paths = json.loads(file.tags()["SUBPIXEL_PARAMETERS"])["IMAGES"]
            assert [path.rsplit("/", 1)[-1] for path in paths] == [f"image_{date}.tif" for date in DATES]
    assert f"{DATES[0]}: image_{DATES[0]}.tif (date from its name)" in said
    assert any(words.startswith(f"{DATES[2]}: endmember 1 ") for words in said)


def test_the_report_shows_every_date(tmp_path):
    unmix(tmp_path, images(tmp_path))
    words = (tmp_path / "report").read_text(encoding="utf-8")
    assert all(date in words for date in DATES) and "Mean fractions over time" in words
    assert words.count("<figure>") == 3 and "image_2020-03-01.tif" in words


def test_given_dates_name_the_files(tmp_path):
    _, result, said = unmix(tmp_path, images(tmp_path), DATES="2001-01-01, 2001-01-01T10:30; 2002-07-01")
    looks = result["folders"]["ABUNDANCES"]
    assert [look["file"] for look in looks] == ["2001-01-01.tif", "2001-01-01T1030.tif", "2002-07-01.tif"]
    assert looks[1]["time"][0] == "2001-01-01T10:30:00"
    assert any("(date from the parameter Dates)" in words for words in said)


@pytest.mark.parametrize("options", [{}, {"ENDMEMBERS": spectra(endmembers(), x=WAVES)}])
def test_small_blocks_give_what_large_ones_do(options, tmp_path, monkeypatch):
    given = images(tmp_path, noise=1e-3)
    whole, result, _ = unmix(tmp_path, given, **options)
    monkeypatch.setattr(engine_raster, "BLOCK_VALUES", 300)
    parts, again, _ = unmix(tmp_path, given, **options)
    assert np.allclose(whole, parts, atol=1e-5, equal_nan=True)
    assert again["numbers"]["RMSE"] == pytest.approx(result["numbers"]["RMSE"], rel=1e-6)


def test_pixels_that_are_not_valid_influence_nothing(tmp_path):
    given = images(tmp_path)
    first, result, _ = unmix(tmp_path, given)
    with rasterio.open(given[1]["path"], "r+") as file:
        cube = file.read()
        cube[:, 5, 6] = 1e30
        cube[7, 5, 6] = np.nan    # one band is enough
        file.write(cube)
    second, again, _ = unmix(tmp_path, given)
    assert (np.nan_to_num(first) == np.nan_to_num(second)).all() and result["numbers"] == again["numbers"]


def test_a_clouded_image_is_skipped_and_the_others_unmixed(tmp_path):
    given = images(tmp_path)
    cloud = raster(tmp_path / "image_2020-06-20.tif", np.full((BANDS, ROWS, COLS), NODATA), wavelengths=WAVES)
    A, result, said = unmix(tmp_path, [*given[:2], {"path": str(cloud), "crs": None}, given[2]])
    assert len(A) == 3 and any("2020-06-20.tif: each of its bands is nodata or" in words for words in said)
    assert result["folders"]["ABUNDANCES"][1]["time"][1] == "2020-09-30T00:00:00"


def test_a_band_that_is_bad_at_one_date_is_used_at_none(tmp_path):
    given = images(tmp_path)
    with rasterio.open(given[2]["path"], "r+") as file:
        file.write(np.full((ROWS, COLS), NODATA, dtype=np.float32), 4)
    _, result, said = unmix(tmp_path, given)
    assert (f"Left out 1 bands of image_{DATES[2]}.tif without information (nodata or one constant value throughout): "
            "4.") in said
    profile = result["spectra"]["DATEDENDMEMBERS"]["features"][0]["profile"]
    assert len(profile["x"]) == BANDS - 1 and WAVES[3] not in profile["x"]


def test_an_image_with_too_few_pixels_is_named(tmp_path):
    given = images(tmp_path)
    with rasterio.open(given[1]["path"], "r+") as file:
        cube = file.read()
        cube[:, np.arange(ROWS * COLS).reshape(ROWS, COLS) > 1] = NODATA
        cube[:, 0, 0] = endmembers(1)[:, 0]
        file.write(cube)
    with pytest.raises(UserError, match="The image of 2020-05-15: 3 endmembers cannot be found among 2 pixels"):
        unmix(tmp_path, given)


@pytest.mark.parametrize("options", [{}, {"ENDMEMBERS": spectra(endmembers(), x=WAVES)}])
@pytest.mark.parametrize("tool, values", [("fclssequence", {}), ("kalmanem", {}), ("onlineunmixing", {}),
                                          ("hbun", {"SWEEPS": 4, "BURNIN": 2})])
def test_progress_goes_to_the_end_and_no_faster(tool, values, options, tmp_path):
    told = []
    run({"tool": tool, "values": {"IMAGES": images(tmp_path), "COUNT": P, **values,
                                  **{name: given(value) for name, value in options.items()}},
         "outputs": {"ABUNDANCES": str(tmp_path / "out")}, "version": "test"}, told.append)
    told = [message["progress"] for message in told if "progress" in message]
    assert told[-1] == 99 and all(percent <= 75 for percent in told[:-1])


def test_nothing_is_written_where_the_images_do_not_fit(tmp_path):
    given = images(tmp_path)
    shifted = raster(tmp_path / "image_2021-01-01.tif", np.random.default_rng(0).random((BANDS, ROWS + 1, COLS)),
                     wavelengths=WAVES)
    with pytest.raises(UserError, match="not on one grid: 15 x 12 and 15 x 13 pixels"):
        unmix(tmp_path / "results", [*given, {"path": str(shifted), "crs": None}])
    assert not (tmp_path / "results").exists()


# methods that use the dates together

QUICK = {"SWEEPS": 60, "BURNIN": 30}
FOUND = {"SETTLE": False}    # the endmembers as VCA finds them, pure pixels here


@pytest.mark.parametrize("tool, values, mean", [("kalmanem", FOUND, 0.03), ("onlineunmixing", {}, 0.07),
                                                ("hbun", {**QUICK, "CLOSENESS": 0}, 0.03)])
def test_fractions_are_recovered_by_every_method(tool, values, mean, tmp_path):
    A, result, said = unmix(tmp_path, images(tmp_path, noise=1e-3), tool, **values)
    A = A[:, matched(A)]
    assert np.nanmean(np.abs(A - truth())) < mean
    assert np.nanmin(A) >= 0 and np.nanmax(np.abs(A.sum(axis=1) - 1)) < 1e-4
    assert result["numbers"]["RMSE"] < 0.02
    assert not any("has not settled" in words for words in said)
    found = result["spectra"]["DATEDENDMEMBERS"]["features"]
    assert [feature["attributes"]["date"] for feature in found[::P]] == list(DATES)
    # spectra become brighter from date to date, and the endmembers follow
    assert np.sum(found[-1]["profile"]["y"]) > np.sum(found[P - 1]["profile"]["y"])


@pytest.mark.parametrize("tool, values, filled", [("kalmanem", {}, True), ("onlineunmixing", {}, False),
                                                  ("hbun", QUICK, True)])
def test_a_masked_pixel_is_filled_or_left_as_the_tool_says(tool, values, filled, tmp_path):
    A, _, _ = unmix(tmp_path, images(tmp_path), tool, **values)
    missing = [np.argwhere(np.isnan(part).any(axis=0)).tolist() for part in A]
    assert missing == [[[0, 0]], [[0, 0]] if filled else [[0, 0], [5, 6]], [[0, 0]]]


def direct(tool, given, seed=0):
    """Abundances and deviations (T, P, ROWS, COLS) by the algorithm itself, at the tool's settings."""
    Y, valid = pixels(given)
    M = reference(np.where(valid[:, None], Y, 0), P, np.random.default_rng(seed), valid)
    if tool == "kalmanem":
        A, sd = learn(Y, M, valid, iterations=100, tolerance=3e-5, **BOUNDED).unmix(Y, valid)
    elif tool == "hbun":
        found = hbun(Y, M, (ROWS, COLS), valid, iterations=60, burn_in=30, seed=seed)
        A, sd = found.A, found.sd
    else:
        A, sd = onlineunmixing(Y, M, valid, seed=seed).A, None
    return [None if part is None else part.reshape(len(DATES), P, ROWS, COLS) for part in (A, sd)]


@pytest.mark.parametrize("tool, values", [("kalmanem", FOUND), ("onlineunmixing", {}), ("hbun", QUICK)])
def test_abundances_and_uncertainty_are_those_of_the_algorithm(tool, values, tmp_path, monkeypatch):
    given = images(tmp_path, noise=3e-3)
    monkeypatch.setattr(engine_raster, "BLOCK_VALUES", 3000)   # several blocks
    deviations = () if tool == "onlineunmixing" else ("UNCERTAINTY",)
    A, result, _ = unmix(tmp_path, given, tool, deviations, **values)
    expected, sd = direct(tool, given)
    assert np.allclose(A, expected, atol=2e-4, equal_nan=True)
    for output in deviations:
        found = stack(tmp_path, result, output)
        assert np.allclose(found, sd, rtol=0.01, atol=2e-4, equal_nan=True)
        looks = result["folders"][output]
        assert looks[0]["range"][0] == 0 and 0.5 * np.nanmax(sd) < looks[0]["range"][1] <= 1.01 * np.nanmax(sd)
        assert {look["band"] for look in looks} == {look["band"] for look in result["folders"]["ABUNDANCES"]}


@pytest.mark.parametrize("tool, values", [("kalmanem", {}), ("onlineunmixing", {}), ("hbun", QUICK)])
def test_given_endmembers_are_where_every_method_starts(tool, values, tmp_path):
    names = ["water", "tree", "soil"]
    A, result, _ = unmix(tmp_path, images(tmp_path, noise=1e-3), tool, ENDMEMBERS=spectra(endmembers(1), names, WAVES),
                         **values)
    assert np.nanmean(np.abs(A - truth())) < 0.06   # in the order of the given ones
    assert [look["names"] for look in result["folders"]["ABUNDANCES"]] == [names] * 3


@pytest.mark.parametrize("tool", ["kalmanem", "onlineunmixing"])
def test_what_has_not_settled_is_said_with_the_number_of_iterations(tool, tmp_path):
    _, _, said = unmix(tmp_path, images(tmp_path), tool, ITERATIONS=2)
    assert any("It has not settled after 2 iterations" in words for words in said)


def test_a_burn_in_of_all_sweeps_is_a_sentence(tmp_path):
    with pytest.raises(UserError, match="The burn-in is 20 of 20 sweeps, so that none would count. Choose a smaller"):
        unmix(tmp_path / "results", images(tmp_path), "hbun", SWEEPS=20, BURNIN=20)
    assert not (tmp_path / "results").exists()


def test_a_sequence_that_does_not_fit_in_memory_is_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "available", lambda: 10000)
    with pytest.raises(UserError, match="GB of memory and 0.0 GB are free. Clip the images, or use a method that "
                                        "needs less: redsunn, kalmanem or onlineunmixing."):
        unmix(tmp_path / "results", images(tmp_path), "hbun", **QUICK)
    assert not (tmp_path / "results").exists()


# what is counted, shown and learned from

def growing(folder, rows=ROWS, cols=COLS, noise=0.0):
    """Images in which water covers half of every pixel, while soil grows. Gives them and the abundances."""
    rng = np.random.default_rng(5)
    A = np.stack([np.array([0.6 - 0.02 * t, 0.25 - 0.04 * t, 0.15 + 0.06 * t]) for t in range(len(DATES))])
    A = 0.98 * A[..., None, None] + 0.02 * rng.dirichlet(np.ones(P), (rows, cols)).transpose(2, 0, 1)
    cubes = np.einsum("lp,tprc->tlrc", endmembers(), A)
    cubes = cubes + rng.normal(0, noise, cubes.shape)
    return [{"path": str(raster(folder / f"im_{date}.tif", cube, wavelengths=WAVES)), "crs": None}
            for date, cube in zip(DATES, cubes)], A


NAMED = spectra(endmembers(), ["water", "tree", "soil"], WAVES)


def test_rasters_show_the_material_that_changes_most_and_not_the_most_frequent(tmp_path):
    given, A = growing(tmp_path)
    steps = np.abs(np.diff(A, axis=0)).sum(axis=(0, 2, 3))
    assert A.mean(axis=(0, 2, 3)).argmax() == 0 and steps.argmax() == 2
    _, result, _ = unmix(tmp_path, given, ENDMEMBERS=NAMED)
    assert result["rasters"]["CHANGE"]["band"] == 3
    assert [look["band"] for look in result["folders"]["ABUNDANCES"]] == [3] * 3


def test_mean_fractions_are_those_of_the_valid_pixels(tmp_path):
    given = images(tmp_path, drift=False)
    with rasterio.open(given[1]["path"], "r+") as file:
        cube = file.read()
        cube[:, 6:] = NODATA    # half of the image
        file.write(cube)
    A, _, said = unmix(tmp_path, given, ENDMEMBERS=NAMED)
    for date, part in zip(DATES, A):
        water, tree, soil = 100 * np.nanmean(part, axis=(1, 2))
        assert f"{date}: water {water:.1f} %, tree {tree:.1f} %, soil {soil:.1f} %." in said


def test_a_sample_is_in_the_order_of_the_pixels_however_they_are_stored(tmp_path):
    rows, cols = 40, 56
    cubes = np.random.default_rng(2).random((2, 2, rows, cols)).astype(np.float32)
    scenes = []
    for number, cube in enumerate(cubes):
        path = tmp_path / f"tiled_{number}.tif"
        with rasterio.open(path, "w", driver="GTiff", width=cols, height=rows, count=2, dtype="float32", tiled=True,
                           blockxsize=16, blockysize=16, transform=TRANSFORM) as file:
            file.write(cube)
        scenes.append(Scene(str(path), spectral=False))
    engine = Sequence([Dated(scene, number, "given") for number, scene in enumerate(scenes)])
    blocks = engine.windows
    engine.windows = lambda values=None: [*blocks(values)][::-1]    # and whichever block comes first
    for most in (rows * cols, 200):
        Y, valid, positions = engine.sample(most)
        assert valid.all() and (np.diff(positions) > 0).all() and len(positions) > 100
        assert np.array_equal(Y, cubes.reshape(2, 2, -1)[:, :, positions])


def test_all_pixels_of_a_small_sequence_are_learned_from_and_fewer_of_a_large_one(tmp_path, monkeypatch):
    given, _ = growing(tmp_path, 40, 50, noise=1e-3)
    _, _, said = unmix(tmp_path, given, "kalmanem", ENDMEMBERS=NAMED)
    assert not any("Learning from" in words for words in said)
    monkeypatch.setattr(_sequence, "LEARN", 1500 * len(DATES) * BANDS)
    _, _, said = unmix(tmp_path, given, "kalmanem", ENDMEMBERS=NAMED)
    assert "Learning from 1000 pixels, spread over the images." in said


def test_of_bands_that_change_alike_the_first_is_shown():
    changing = np.random.default_rng(0).random((3, 1, 50)).astype(np.float32)
    for other, shown in ((1 - changing * np.float32(1.0001), 0), (1 - changing * np.float32(1.5), 1)):
        figures = _sequence.Figures(3, 2)
        figures.add(_sequence.Block(np.concatenate([changing, other], axis=1)), None)
        assert figures.most_changed() == shown
