"""The blind tools: spectra in the raster's units, masks, a given start, warnings, and sentences for bad input."""

import numpy as np
import pytest
from toolruns import raster, read, run_tool, spectra

from subpixel.algorithms.check.metrics import match, sad
from subpixel.engine import memory
from subpixel.engine.sentences import UserError

L, ROWS, COLS, SCALE = 30, 24, 20, 10000.0
WAVELENGTHS = np.linspace(450, 2400, L)
EVERY = {"l12nmf": {"WEIGHT": 0.01}, "minvolnmf": {}, "rconmf": {"ALPHA": 1e-6, "BETA": 0.5},
         "ssrnmf": {"WEIGHT": 0.01}, "kbsnmf": {"THETA": 0.0}, "sgsnmf": {"SIZE": 4, "WEIGHT": 0.001},
         "mvntf": {"MAPRANK": 2}}

every = pytest.mark.parametrize("tool", EVERY)


def signatures():
    x = np.linspace(0, 1, L)
    return np.stack([0.08 + 0.3 * np.exp(-((x - 0.2) / 0.1) ** 2), 0.1 + 0.7 / (1 + np.exp(-30 * (x - 0.5))),
                     0.6 - 0.5 * x + 0.1 * np.sin(12 * x)], axis=1)


@pytest.fixture
def scene(tmp_path):
    down, across = (np.clip(np.linspace(-0.2, 1.2, side), 0, 1) for side in (ROWS, COLS))
    A = np.stack([np.outer(down, np.ones(COLS)), np.outer(1 - down, across), np.outer(1 - down, 1 - across)])
    cube = SCALE * np.einsum("lp,prc->lrc", signatures(), A)
    cube[:, 10:13, 8:12] = -9999
    return raster(tmp_path / "scene.tif", cube, wavelengths=WAVELENGTHS)


def found_spectra(result):
    return np.array([feature["profile"]["y"] for feature in result["spectra"]["ENDMEMBERS"]["features"]]).T


@every
def test_gives_spectra_in_the_rasters_units_and_masked_fractions(tool, scene, tmp_path):
    result, said = run_tool(tool, {"INPUT": scene, "COUNT": 3, **EVERY[tool]}, ABUNDANCES=tmp_path / "a.tif",
                            ENDMEMBERS=tmp_path / "e.gpkg", REPORT=tmp_path / "r.html")
    M, truth = found_spectra(result), signatures()
    M = M[:, match(truth, M)]
    assert np.degrees(sad(truth, M)).max() < 4
    assert np.abs(M.max(axis=0) / (SCALE * truth.max(axis=0)) - 1).max() < 0.5
    assert all(feature["point"] is None and feature["source"] for feature in
               result["spectra"]["ENDMEMBERS"]["features"])
    A = read(tmp_path / "a.tif")
    masked = np.zeros((ROWS, COLS), bool)
    masked[10:13, 8:12] = True
    assert (A[:, masked] == -9999).all() and (A[:, ~masked] >= 0).all()
    assert np.abs(A[:, ~masked].sum(axis=0) - 1).mean() < 0.1
    reconstruction = np.einsum("lp,prc->lrc", found_spectra(result), A)
    error = np.sqrt(np.mean((reconstruction - read(scene))[:, ~masked] ** 2))
    assert result["numbers"]["RMSE"] == pytest.approx(error, rel=1e-3, abs=1e-2)
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "Cost" in page and "Where they are" in page
    assert "Sum of a pixel&#x27;s fractions" in page and "99 % of pixels are below" in page
    low, middle, high = np.percentile(A[:, ~masked].sum(axis=0), [1, 50, 99]).round(3)
    assert all(f"{value:.4g}" in page for value in (low, middle, high))
    assert not any("hot values" in sentence for sentence in said)


@every
def test_starts_from_given_spectra_and_keeps_their_names(tool, scene, tmp_path):
    given = spectra(SCALE * signatures()[:, ::-1], ["soil", "tree", "water"], WAVELENGTHS)
    result, _ = run_tool(tool, {"INPUT": scene, "COUNT": 3, "INITIALENDMEMBERS": given, "ITERATIONS": 2,
                                **EVERY[tool]}, ABUNDANCES=tmp_path / "a.tif", ENDMEMBERS=tmp_path / "e.gpkg")
    assert result["spectra"]["ENDMEMBERS"]["names"] == ["soil", "tree", "water"]
    assert match(signatures(), found_spectra(result)).tolist() == [2, 1, 0]


@every
def test_warns_where_it_has_not_settled(tool, scene, tmp_path):
    start = {"INITIALENDMEMBERS": spectra(SCALE * signatures() @ (0.7 * np.eye(3) + 0.1), x=WAVELENGTHS)}
    _, said = run_tool(tool, {"INPUT": scene, "COUNT": 3, "ITERATIONS": 1, "TOLERANCE": 0, **start, **EVERY[tool]},
                       ABUNDANCES=tmp_path / "a.tif", ENDMEMBERS=tmp_path / "e.gpkg")
    assert "The cost was still changing after 1 iterations: allow more, or a larger tolerance." in said


def test_warns_of_hot_values(scene, tmp_path):
    cube = read(scene)
    cube[4, 2, 2] = 10 * SCALE
    hot = raster(tmp_path / "hot.tif", cube, wavelengths=WAVELENGTHS)
    usual = np.percentile(cube[:, cube[0] != -9999], 99.9)
    assert 3 * usual < 10 * SCALE
    _, said = run_tool("l12nmf", {"INPUT": hot, "COUNT": 3, "ITERATIONS": 2}, ABUNDANCES=tmp_path / "a.tif")
    warning, = [sentence for sentence in said if "hot values" in sentence]
    assert warning.startswith(f"The largest value of the scene is 100000, but 99.9 % of the values are below "
                              f"{usual:.6g}.")
    assert "mask such pixels, or clip" in warning


@every
def test_refuses_another_number_of_initial_spectra(tool, scene, tmp_path):
    with pytest.raises(UserError, match="2 initial endmembers, but 3"):
        run_tool(tool, {"INPUT": scene, "COUNT": 3, "INITIALENDMEMBERS": spectra(signatures()[:, :2], x=WAVELENGTHS)},
                 ABUNDANCES=tmp_path / "a.tif")


@every
def test_refuses_more_endmembers_than_the_scene_has_dimensions(tool, scene, tmp_path):
    with pytest.raises((UserError, ValueError), match="dimension"):
        run_tool(tool, {"INPUT": scene, "COUNT": 9, **EVERY[tool]}, ABUNDANCES=tmp_path / "a.tif")


@every
def test_asks_for_memory_before_it_reads(tool, scene, tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "available", lambda: 1000)
    with pytest.raises(UserError, match="GB of memory and .* Clip the raster"):
        run_tool(tool, {"INPUT": scene, "COUNT": 3}, ABUNDANCES=tmp_path / "a.tif")


def test_superpixels_larger_than_the_scene_are_refused(scene, tmp_path):
    with pytest.raises((UserError, ValueError), match="larger than the scene of 24 x 20"):
        run_tool("sgsnmf", {"INPUT": scene, "COUNT": 3, "SIZE": 30}, ABUNDANCES=tmp_path / "a.tif")


@pytest.fixture
def mixed_scene(tmp_path):
    """Three materials, evenly mixed, with noise that hides no surplus: any number of endmembers may be asked for."""
    rng = np.random.default_rng(0)
    Y = signatures() @ rng.dirichlet(np.ones(3), 2000).T
    return raster(tmp_path / "mixed.tif", SCALE * (Y + 0.005 * rng.standard_normal(Y.shape)).reshape(L, 50, 40),
                  wavelengths=WAVELENGTHS)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_rconmf_empties_a_surplus_by_default(mixed_scene, tmp_path, seed):
    result, said = run_tool("rconmf", {"INPUT": mixed_scene, "COUNT": 5, "SEED": seed}, ABUNDANCES=tmp_path / "a.tif",
                            ENDMEMBERS=tmp_path / "e.gpkg")
    assert result["numbers"]["RANK"] == 3 and "3 of 5 endmembers are in use." in said
    used = read(tmp_path / "a.tif").mean(axis=(1, 2)) > 1e-3
    assert used.sum() == 3
    M = found_spectra(result)[:, used]
    assert np.degrees(sad(signatures(), M[:, match(signatures(), M)])).max() < 8


def test_rconmf_empties_none_where_the_number_is_said_to_be_known(mixed_scene, tmp_path):
    result, said = run_tool("rconmf", {"INPUT": mixed_scene, "COUNT": 5, "ALPHA": 1e-6}, ABUNDANCES=tmp_path / "a.tif")
    assert result["numbers"]["RANK"] == 5 and "5 of 5 endmembers are in use." in said


def test_rconmf_keeps_as_many_as_there_are(scene, tmp_path):
    result, said = run_tool("rconmf", {"INPUT": scene, "COUNT": 3}, ABUNDANCES=tmp_path / "a.tif")
    assert result["numbers"]["RANK"] == 3 and "3 of 3 endmembers are in use." in said


def test_kbsnmf_published_start_refuses_initial_spectra(scene, tmp_path):
    with pytest.raises(UserError, match="does not start from initial endmembers.*Clear the initial endmembers"):
        run_tool("kbsnmf", {"INPUT": scene, "COUNT": 3, "START": "nndsvd",
                            "INITIALENDMEMBERS": spectra(SCALE * signatures(), x=WAVELENGTHS)},
                 ABUNDANCES=tmp_path / "a.tif")


def test_kbsnmf_published_start_does_not_depend_on_the_seed(scene, tmp_path):
    fractions = []
    for seed in (0, 1):
        run_tool("kbsnmf", {"INPUT": scene, "COUNT": 3, "START": "nndsvd", "SEED": seed, "ITERATIONS": 5},
                 ABUNDANCES=tmp_path / "a.tif")
        fractions.append(read(tmp_path / "a.tif"))
    assert np.array_equal(*fractions)
