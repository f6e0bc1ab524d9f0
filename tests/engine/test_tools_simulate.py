"""Simulated scenes: exactly the mixture that they say, noise as asked for, the same again from the same seed."""

from dataclasses import replace

import numpy as np
import pytest
import rasterio
from toolruns import read, run_tool, spectra

from subpixel.algorithms.check.metrics import sad
from subpixel.engine import memory
from subpixel.engine.sentences import UserError
from subpixel.engine.spectra import from_features
from subpixel.engine.wavelengths import read_wavelengths

X = np.linspace(450, 2400, 60)
LIBRARY = spectra(np.stack([0.5 + 0.45 * np.cos(k * np.pi * np.linspace(0, 1, 60)) for k in range(6)], axis=1),
                  ["flat", "fall", "bowl", "wave", "ripple", "comb"], X)
SMALL = {"ENDMEMBERS": LIBRARY, "COUNT": 3, "ROWS": 20, "COLUMNS": 30}
NUMBERED = spectra(LIBRARY.M, LIBRARY.names)
BRIGHT = np.tile([0.9, 1.0, 1.1], 4)
CLASSES = ["soil"] * 3 + ["tree"] * 3 + ["road"] * 3 + [None, "roof", " "]
BUNDLES = replace(spectra(np.repeat(LIBRARY.M[:, :4], 3, axis=1) * BRIGHT, None, X),
                  attributes=[{"class": name, "plot": number} for number, name in enumerate(CLASSES)])
IN_BUNDLES = {"ENDMEMBERS": BUNDLES, "COUNT": 0, "VARIABILITY": "bundles", "MATERIALFIELD": "class"}


def simulated(tmp_path, **values):
    """Scene (L, N), abundances (P, N), true spectra, and what was said."""
    result, said = run_tool("simulatescene", {**SMALL, **values}, HSI=tmp_path / "hsi.tif",
                            ABUNDANCES=tmp_path / "a.tif", TRUEENDMEMBERS="wanted")
    cube, A = read(tmp_path / "hsi.tif"), read(tmp_path / "a.tif")
    return (cube.reshape(len(cube), -1), A.reshape(len(A), -1),
            from_features(result["spectra"]["TRUEENDMEMBERS"]["features"]), said)


@pytest.mark.parametrize("model", ["dirichlet", "fields", "bumps"])
def test_without_noise_the_scene_is_the_mixture_of_its_truth(model, tmp_path):
    Y, A, truth, _ = simulated(tmp_path, ABUNDANCEMODEL=model)
    np.testing.assert_allclose(Y, truth.M @ A, atol=1e-6)
    np.testing.assert_allclose(A.sum(axis=0), 1, atol=1e-6)
    assert A.min() >= 0 and A.shape == (3, 600)


def test_true_spectra_are_the_librarys_own_under_their_names(tmp_path):
    truth = simulated(tmp_path)[2]
    assert truth.wavelengths and np.allclose(truth.x, X)
    for name, column in zip(truth.names, truth.M.T):
        assert np.array_equal(column, LIBRARY.M[:, LIBRARY.names.index(name)])


def test_the_scene_keeps_the_librarys_wavelengths_and_abundances_the_names(tmp_path):
    truth = simulated(tmp_path)[2]
    with rasterio.open(tmp_path / "hsi.tif") as file:
        np.testing.assert_allclose(read_wavelengths(file)[0], X)
        assert (file.width, file.height, file.crs) == (30, 20, None) and file.bounds == (0, 0, 30, 20)
    with rasterio.open(tmp_path / "a.tif") as file:
        assert list(file.descriptions) == truth.names


@pytest.mark.parametrize("shape", ["white", "band"])
def test_the_noise_has_the_power_and_the_shape_asked_for(shape, tmp_path):
    Y, A, truth, _ = simulated(tmp_path, ROWS=100, COLUMNS=100, SNR=20, NOISESHAPE=shape, ETA=6)
    signal = truth.M @ A
    noise = Y - signal
    assert 10 * np.log10(np.mean(signal ** 2) / np.mean(noise ** 2)) == pytest.approx(20, abs=0.1)
    middle_over_edge = noise[29].std() / noise[0].std()
    assert middle_over_edge == pytest.approx(1, abs=0.1) if shape == "white" else middle_over_edge > 10


def test_the_same_seed_gives_the_same_file_and_another_one_does_not(tmp_path):
    files = []
    for number, seed in enumerate((5, 5, 6)):
        run_tool("simulatescene", {**SMALL, "SNR": 30, "SEED": seed}, HSI=tmp_path / f"{number}.tif")
        files.append(read(tmp_path / f"{number}.tif"))
    assert np.array_equal(files[0], files[1]) and not np.array_equal(files[0], files[2])


@pytest.mark.parametrize("model", ["dirichlet", "fields"])
def test_each_endmember_has_its_pure_pixel_where_asked(model, tmp_path):
    A = simulated(tmp_path, ABUNDANCEMODEL=model, PUREPIXELS=True)[1]
    assert (A.max(axis=1) == 1).all()
    assert simulated(tmp_path, ABUNDANCEMODEL=model, MAXABUNDANCE=0.6)[1].max() <= 0.6 + 1e-6


def test_endmembers_drawn_differ_by_the_angle_and_0_takes_them_all(tmp_path):
    near = LIBRARY.M[:, :2] @ [[1, 0.99], [0, 0.01]]
    library = spectra(np.hstack([LIBRARY.M, near]), [*LIBRARY.names, "again", "nearly"], X)
    *_, truth, said = simulated(tmp_path, ENDMEMBERS=library, COUNT=0, MINANGLE=8)
    assert truth.names == LIBRARY.names
    angles = [sad(truth.M[:, [i]], truth.M[:, [j]])[0] for i in range(6) for j in range(i)]
    assert np.degrees(min(angles)) >= 8
    assert "6 of the library's 8 spectra differ by at least 8 degrees." in said
    assert simulated(tmp_path, ENDMEMBERS=library, COUNT=0, MINANGLE=0)[2].P == 8


def test_missing_values_cost_their_band_or_their_spectrum(tmp_path):
    M = LIBRARY.M.copy()
    M[7, 1:], M[3, 2], M[:, 4] = np.nan, np.nan, 0
    Y, _, truth, said = simulated(tmp_path, ENDMEMBERS=spectra(M, LIBRARY.names, X), COUNT=0, MINANGLE=0)
    assert truth.names == ["flat", "fall", "wave", "comb"] and len(Y) == 59 and np.isfinite(Y).all()
    assert "Left out 1 bands in which most spectra have no value." in said
    assert "Left out 2 spectra with missing values or zeros alone: bowl, ripple." in said


def strength(tmp_path, **values):
    """The raster of the variability, (P, L), and the scene's names of endmembers."""
    run_tool("simulatescene", {**SMALL, **values}, HSI=tmp_path / "v.tif", TRUEVARIABILITY=tmp_path / "s.tif")
    with rasterio.open(tmp_path / "s.tif") as file:
        return file.read().reshape(file.count, -1), list(file.descriptions)


def test_without_variability_its_raster_is_zero_and_has_the_endmembers_names(tmp_path):
    change, names = strength(tmp_path)
    assert not change.any() and names == simulated(tmp_path)[2].names


@pytest.mark.parametrize("model, amount", [("scaling", 0.4), ("piecewise", 0.5), ("bands", 0.2), ("atmosphere", 40),
                                           ("hapke", 15)])
def test_each_variability_changes_the_scene_alone_and_by_its_amount(model, amount, tmp_path):
    plain, given = simulated(tmp_path), simulated(tmp_path, VARIABILITY=model, AMOUNT=amount, SNR=60)
    assert np.array_equal(given[1], plain[1]) and np.array_equal(given[2].M, plain[2].M)
    assert np.abs(given[0] - plain[0]).max() > 0.01
    by_default, nothing = strength(tmp_path, VARIABILITY=model)[0], strength(tmp_path, VARIABILITY=model, AMOUNT=0)[0]
    asked = strength(tmp_path, VARIABILITY=model, AMOUNT=amount)[0]
    assert nothing.max() < 1e-6 < 0.02 < asked.max() < 0.6
    assert (asked.mean() > by_default.mean()) == (model in ("scaling", "piecewise", "bands"))


def test_one_scaled_endmember_per_pixel_shows_the_factor_that_its_raster_tells(tmp_path):
    values = {"VARIABILITY": "scaling", "PUREPIXELS": True}
    Y, A, truth, _ = simulated(tmp_path, **values)
    change = strength(tmp_path, **values)[0]
    for k in range(3):
        pixel = A[k].argmax()
        factor = (Y[:, pixel] @ truth.M[:, k]) / (truth.M[:, k] @ truth.M[:, k])
        assert abs(factor - 1) == pytest.approx(change[k, pixel], abs=1e-5)


def test_bundles_mix_spectra_of_each_material_and_the_truth_is_their_mean(tmp_path):
    Y, A, truth, said = simulated(tmp_path, PUREPIXELS=True, MINANGLE=1, **IN_BUNDLES)
    assert truth.names == ["soil", "tree", "road", "roof"]
    assert "Left out 2 spectra without a value in the field class." in said
    np.testing.assert_allclose(truth.M[:, 1], LIBRARY.M[:, 1])
    assert truth.sources == ["mean of 3 spectra"] * 3 + ["mean of 1 spectra"]
    tree = Y[:, A[1].argmax()] / LIBRARY.M[:, 1]
    np.testing.assert_allclose(tree, BRIGHT[np.abs(BRIGHT - tree[0]).argmin()], rtol=1e-5)
    change, names = strength(tmp_path, MINANGLE=1, **IN_BUNDLES)
    assert names == truth.names
    np.testing.assert_allclose(np.unique(change[:3].round(4)), [0, 0.1], atol=1e-4)


def test_of_bundles_as_many_materials_are_drawn_as_asked_for(tmp_path):
    truth = simulated(tmp_path, **{**IN_BUNDLES, "COUNT": 2})[2]
    assert truth.P == 2 and set(truth.names) < {"soil", "tree", "road", "roof"}
    for name, column in zip(truth.names, truth.M.T):
        np.testing.assert_allclose(column, BUNDLES.M[:, [given == name for given in CLASSES]].mean(axis=1))


def test_a_material_field_called_material_need_not_be_given_and_single_spectra_are_told(tmp_path):
    library = replace(LIBRARY, attributes=[{"material": name} for name in LIBRARY.names])
    _, _, truth, said = simulated(tmp_path, ENDMEMBERS=library, COUNT=0, VARIABILITY="bundles")
    assert truth.names == LIBRARY.names
    assert any("one spectrum only, so nothing varies" in sentence for sentence in said)


@pytest.mark.parametrize("values, error, sentence", [
    ({"VARIABILITY": "bundles"}, UserError, "no field material .* fields: none"),
    ({**IN_BUNDLES, "MATERIALFIELD": "kind"}, UserError, "no field kind .* fields: class, plot"),
    ({**IN_BUNDLES, "COUNT": 5}, UserError, "4 of the library's 4 materials differ .* and 5 are needed"),
    ({**IN_BUNDLES, "ENDMEMBERS": BUNDLES.select([0, 1])}, UserError, "names 1 materials, and a scene needs"),
    ({"VARIABILITY": "atmosphere", "ENDMEMBERS": NUMBERED}, UserError, "The library has no wavelengths"),
    ({"VARIABILITY": "atmosphere", "AMOUNT": 100}, ValueError, "between 0 and 90"),
    ({"VARIABILITY": "hapke", "ENDMEMBERS": spectra(100 * LIBRARY.M, LIBRARY.names, X)}, ValueError, "Scale them"),
    ({"VARIABILITY": "hapke", "AMOUNT": 70}, ValueError, "lies in shadow"),
    ({"VARIABILITY": "scaling", "AMOUNT": 1}, ValueError, "below 1, so that every factor is positive"),
    ({"VARIABILITY": "scaling", "AMOUNT": -1}, UserError, "must be at least 0"),
    ({"COUNT": 1}, UserError, "a mixture needs at least 2"),
    ({"COUNT": 7}, UserError, "and 7 are needed. Ask for a smaller angle or fewer"),
    ({"MINANGLE": 89}, UserError, "differ by at least 89 degrees"),
    ({"ENDMEMBERS": LIBRARY.select([0])}, UserError, "1 complete spectra over 60 bands"),
    ({"PUREPIXELS": True, "MAXABUNDANCE": 0.5}, ValueError, "exclude each other"),
    ({"PUREPIXELS": True, "ROWS": 1, "COLUMNS": 2}, ValueError, "make the scene larger"),
])
def test_what_cannot_be_simulated_is_said_and_nothing_written(values, error, sentence, tmp_path):
    with pytest.raises(error, match=sentence):
        simulated(tmp_path, **values)
    assert not list(tmp_path.iterdir())


def test_a_scene_too_large_for_memory_is_said_first(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "available", lambda: 500_000)
    with pytest.raises(UserError, match="Make the scene smaller"):
        simulated(tmp_path)


@pytest.mark.parametrize("tool, values", [
    ("simulatescene", {**SMALL, "ROWS": 100000, "VARIABILITY": "scaling"}), ("simulatescene", {**SMALL, "LENGTH": 1e9}),
    ("simulatescene", {**SMALL, "LENGTH": 1e300}),
    ("simulateevents", {**SMALL, "ROWS": 2, "COLUMNS": 10000, "DATECOUNT": 12}),
    ("simulatesequence", {**SMALL, "ROWS": 2, "COLUMNS": 10000}), ("simulatestates", {"ROWS": 2, "COLUMNS": 10000})])
def test_the_fields_of_oblong_or_smooth_scenes_count_in_the_memory(tool, values, tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "available", lambda: 1_500_000_000)
    outputs = ("HSI", "ABUNDANCES") if tool == "simulatescene" else ("IMAGES",)
    with pytest.raises(UserError, match="GB of memory and 1.5 GB are free. Make the"):
        run_tool(tool, values, **{name: tmp_path / name.lower() for name in outputs})


def test_the_endmembers_of_every_pixel_count_in_the_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "available", lambda: 1_200_000)
    simulated(tmp_path)
    with pytest.raises(UserError, match="Make the scene smaller"):
        simulated(tmp_path, VARIABILITY="piecewise")
