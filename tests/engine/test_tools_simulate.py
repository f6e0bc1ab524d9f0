"""Simulated scenes: exactly the mixture that they say, noise as asked for, the same again from the same seed."""

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


def simulated(tmp_path, **values):
    """Scene (L, N), abundances (P, N), true spectra, and what was said."""
    result, said = run_tool("simulatescene", {**SMALL, **values}, HSI=tmp_path / "hsi.tif",
                            ABUNDANCES=tmp_path / "a.tif", TRUEENDMEMBERS="wanted")
    cube, A = read(tmp_path / "hsi.tif"), read(tmp_path / "a.tif")
    return (cube.reshape(len(cube), -1), A.reshape(len(A), -1),
            from_features(result["spectra"]["TRUEENDMEMBERS"]["features"]), said)


@pytest.mark.parametrize("model", ["dirichlet", "fields"])
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


@pytest.mark.parametrize("values, error, sentence", [
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
