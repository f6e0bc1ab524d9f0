"""The tools for sparse regression: what they write, say and refuse."""

import re

import numpy as np
import pytest
from toolruns import raster, read, run_tool, spectra

from subpixel.algorithms.abundances.nnls import nnls
from subpixel.algorithms.abundances.sparse import unit
from subpixel.algorithms.abundances.sunsal import sunsal
from subpixel.algorithms.abundances.sunsaltv import sunsaltv
from subpixel.engine import memory
from subpixel.engine.sentences import UserError

L, P, ROWS, COLS = 12, 16, 9, 14
X = np.linspace(450, 2400, L)


def library(seed=0, P=P):
    rng = np.random.default_rng(seed)
    return 0.1 + rng.random((L, P)) * np.linspace(0.5, 1, L)[:, None]


M = library()


def cube(seed=1, noise=0.01):
    rng = np.random.default_rng(seed)
    A = rng.dirichlet(np.full(P, 0.1), ROWS * COLS).T
    return (M @ A + noise * rng.standard_normal((L, ROWS * COLS))).reshape(L, ROWS, COLS).astype(np.float32)


@pytest.fixture
def scene(tmp_path):
    image = cube()
    image[:, 2, 3] = -9999.0
    return raster(tmp_path / "scene.tif", image, wavelengths=X)


def values(scene, M=M, **more):
    return {"INPUT": scene, "ENDMEMBERS": spectra(M, x=X), **more}


def pixels():
    return cube().reshape(L, -1).astype(np.float64)


def valid():
    good = np.ones((ROWS, COLS), dtype=bool)
    good[2, 3] = False
    return good.ravel()


def test_sunsal_writes_the_solution_and_reports(scene, tmp_path):
    result, said = run_tool("sunsal", values(scene, LAMBDA=0.01), ABUNDANCES=tmp_path / "a.tif", RMSE="RMSE",
                            REPORT=tmp_path / "r.html")
    expected, found = sunsal(pixels(), M, 0.01 * unit(M)).A, read(tmp_path / "a.tif").reshape(P, -1)
    np.testing.assert_allclose(found[:, valid()], expected[:, valid()], atol=1e-5)
    assert (found[:, ~valid()] == -9999).all() and result["numbers"]["RMSE"] > 0
    html = (tmp_path / "r.html").read_text(encoding="utf-8")
    active = np.mean((expected[:, valid()] > 1e-3).sum(axis=0))
    assert "Active spectra per pixel" in html and "Cost of all pixels" in html
    assert f">{active:.4g}</td>" in html
    assert not any("settled" in words for words in said)


def test_sunsal_without_sparsity_is_least_squares_in_any_unit(tmp_path):
    few = M[:, :6]
    scene = raster(tmp_path / "scene.tif", 1e4 * cube(), wavelengths=X)
    run_tool("sunsal", values(scene, 1e4 * few, LAMBDA=0), ABUNDANCES=tmp_path / "a.tif")
    np.testing.assert_allclose(read(tmp_path / "a.tif").reshape(6, -1), nnls(pixels(), few).A, atol=1e-4)


def test_sunsal_with_total_variation_and_masked_pixels(scene, tmp_path):
    run_tool("sunsal", values(scene, TV=0.01, TVKIND="isotropic"), ABUNDANCES=tmp_path / "a.tif")
    expected = sunsaltv(pixels(), M, (ROWS, COLS), 1e-3 * unit(M), 0.01 * unit(M), valid(), isotropic=True,
                        iterations=5000).A
    found = read(tmp_path / "a.tif").reshape(P, -1)
    np.testing.assert_allclose(found[:, valid()], expected[:, valid()], atol=1e-3)
    assert (found[:, ~valid()] == -9999).all()


def test_total_variation_asks_for_memory(scene, tmp_path, monkeypatch):
    monkeypatch.setattr("subpixel.engine.memory.available", lambda: 1000)
    with pytest.raises(UserError, match="set the total variation .TV. to 0"):
        run_tool("sunsal", values(scene, TV=0.01), ABUNDANCES=tmp_path / "a.tif")


def test_sunsal_says_what_has_no_effect_and_what_has_not_settled(scene, tmp_path):
    _, said = run_tool("sunsal", values(scene, SUMTOONE=True, ITERATIONS=20), ABUNDANCES=tmp_path / "a.tif")
    assert any("LAMBDA) has no effect" in words for words in said)
    assert any(re.match(r"\d+ of 125 pixels had not settled after 20 iterations", words) for words in said)
    sums = read(tmp_path / "a.tif").reshape(P, -1)[:, valid()].sum(axis=0)
    np.testing.assert_allclose(sums, 1, atol=1e-5)


@pytest.mark.parametrize("method", ["ista", "fista"])
def test_ista_comes_near_the_solution(method, scene, tmp_path):
    run_tool("ista", values(scene, LAMBDA=0.01, METHOD=method, ITERATIONS=20000, TOLERANCE=1e-6),
             ABUNDANCES=tmp_path / "a.tif", REPORT=tmp_path / "r.html")
    found, exact = read(tmp_path / "a.tif").reshape(P, -1)[:, valid()], sunsal(pixels(), M, 0.01 * unit(M)).A
    assert np.abs(found - exact[:, valid()]).max() < 0.05
    assert "Cost of all pixels" in (tmp_path / "r.html").read_text(encoding="utf-8")


def test_two_spectra_alike_are_named(scene, tmp_path):
    with pytest.raises((UserError, ValueError), match="s1 and s3 are identical"):
        run_tool("ista", values(scene, M[:, [0, 1, 0]]), ABUNDANCES=tmp_path / "a.tif")


QUICK = dict(LAYERS=4, MIXTURES=400, EPOCHS=4)


@pytest.fixture
def model(scene, tmp_path):
    pytest.importorskip("torch")
    _, said = run_tool("lista", values(scene, **QUICK), ABUNDANCES=tmp_path / "first.tif", MODEL=tmp_path / "m.npz",
                       REPORT=tmp_path / "r.html")
    assert any(words.startswith("Epoch 4 of 4") for words in said)
    assert "mixtures held out" in (tmp_path / "r.html").read_text(encoding="utf-8")
    return tmp_path / "m.npz"


def test_a_saved_model_gives_the_same_without_learning(model, scene, tmp_path):
    _, said = run_tool("lista", values(scene, TRAINED=str(model)), ABUNDANCES=tmp_path / "a.tif")
    assert np.array_equal(read(tmp_path / "a.tif"), read(tmp_path / "first.tif"))
    assert "The model's own settings: 4 layers, sparsity 0.01." in said
    assert not any(words.startswith("Epoch") for words in said)
    assert any("Squared distance to the exact solution" in words for words in said)


def test_a_model_for_another_library_or_other_bands_is_refused(model, scene, tmp_path):
    for other in (M[:, ::-1], M[:, :5], 1.01 * M):
        with pytest.raises(UserError, match="trained for another library"):
            run_tool("lista", values(scene, other, TRAINED=str(model)), ABUNDANCES=tmp_path / "a.tif")
    fewer = raster(tmp_path / "fewer.tif", cube()[:-1], wavelengths=X[:-1])
    with pytest.raises(UserError, match="for images of 12 bands, and these have 11"):
        run_tool("lista", values(fewer, TRAINED=str(model)), ABUNDANCES=tmp_path / "a.tif")


def test_more_mixtures_than_memory_holds_are_refused(scene, tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "available", lambda: 10**9)
    with pytest.raises(UserError, match="1.0 GB are free. Learn from fewer mixtures"):
        run_tool("lista", values(scene, **QUICK | dict(MIXTURES=10**7)), ABUNDANCES=tmp_path / "a.tif")


def test_a_network_that_learned_too_little_is_told(scene, tmp_path):
    pytest.importorskip("torch")
    _, said = run_tool("lista", values(scene, **QUICK | dict(LAYERS=1, EPOCHS=1, MIXTURES=20)),
                       ABUNDANCES=tmp_path / "a.tif")
    assert any("far from the exact solution" in words for words in said)
