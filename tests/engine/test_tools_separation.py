"""The tools of separation: scenes that add up, masks, materials of several spectra, models, sentences for bad input."""

from dataclasses import replace

import numpy as np
import pytest
from toolruns import raster, read, run_tool, spectra

from subpixel.engine import memory
from subpixel.engine.sentences import UserError

L, ROWS, COLS, SCALE = 30, 24, 20, 10000.0
WAVELENGTHS = np.linspace(450, 2400, L)
FEW = {"MIXTURES": 400, "EPOCHS": 3}
every = pytest.mark.parametrize("tool, values", [("wienerfilter", {}), ("deepnmf", FEW)])


def signatures():
    x = np.linspace(0, 1, L)
    return np.stack([0.08 + 0.3 * np.exp(-((x - 0.2) / 0.1) ** 2), 0.1 + 0.7 / (1 + np.exp(-30 * (x - 0.5))),
                     0.6 - 0.5 * x + 0.1 * np.sin(12 * x)], axis=1)


def fractions():
    return np.random.default_rng(0).dirichlet(np.ones(3), (ROWS, COLS)).transpose(2, 0, 1)


def cube():
    made = SCALE * np.einsum("lp,prc->lrc", signatures(), fractions())
    made[:, 10:13, 8:12] = -9999
    return made


def masked():
    mask = np.zeros((ROWS, COLS), bool)
    mask[10:13, 8:12] = True
    return mask


def layer(columns, scale=SCALE):
    return spectra(scale * signatures()[:, columns], [f"s{column}" for column in columns], WAVELENGTHS)


@pytest.fixture
def scene(tmp_path):
    return raster(tmp_path / "scene.tif", cube(), wavelengths=WAVELENGTHS)


@pytest.fixture
def run(scene, tmp_path):
    """A tool on the scene, for the first material against the others."""
    def run(tool, values, **outputs):
        return run_tool(tool, {"INPUT": scene, "WANTED": layer([0]), "BACKGROUND": layer([1, 2]), **values},
                        **{"FILTERED": tmp_path / "filtered.tif", **outputs})
    return run


def wanted_of(scene):
    """What the first material has given of the scene."""
    return SCALE * signatures()[:, 0, None, None] * fractions()[0]


@every
def test_gives_the_wanted_materials_scene_in_the_scenes_units_and_masks(tool, values, run, scene, tmp_path):
    result, _ = run(tool, values, ABUNDANCES=tmp_path / "a.tif", REPORT=tmp_path / "r.html")
    filtered, A, known = read(tmp_path / "filtered.tif"), read(tmp_path / "a.tif"), ~masked()
    assert (filtered[:, ~known] == -9999).all() and (A[:, ~known] == -9999).all()
    assert (filtered[:, known] >= 0).all() and (filtered[:, known] <= read(scene)[:, known] * (1 + 1e-5)).all()
    near = 0.02 if tool == "wienerfilter" else 0.3
    assert np.linalg.norm((filtered - wanted_of(scene))[:, known]) < near * np.linalg.norm(wanted_of(scene)[:, known])
    assert np.abs(A - fractions()[:1])[:, known].mean() < near
    assert result["numbers"]["RMSE"] < (20 if tool == "wienerfilter" else 500)
    assert "before and after" in (tmp_path / "r.html").read_text(encoding="utf-8")


def test_scenes_of_all_sources_add_up_to_the_scene(run, scene, tmp_path):
    result, _ = run("wienerfilter", {"WANTED": layer([0, 1]), "BACKGROUND": layer([2])}, SOURCES=tmp_path / "sources")
    files = [entry["file"] for entry in result["folders"]["SOURCES"]]
    assert files == ["s0.tif", "s1.tif", "background.tif"]
    parts, known = [read(tmp_path / "sources" / file) for file in files], ~masked()
    assert sum(parts)[:, known] == pytest.approx(read(scene)[:, known], rel=1e-4)
    assert (parts[0] + parts[1])[:, known] == pytest.approx(read(tmp_path / "filtered.tif")[:, known], rel=1e-4, abs=1)


@every
def test_spectra_of_a_material_count_together(tool, values, run, tmp_path):
    given = replace(layer([0, 1]), attributes=[{"kind": "wanted"}, {"kind": "wanted"}])
    run(tool, {"WANTED": given, "BACKGROUND": layer([2]), "MATERIALFIELD": "kind", **values},
        ABUNDANCES=tmp_path / "a.tif")
    A, known = read(tmp_path / "a.tif"), ~masked()
    assert len(A) == 1
    assert np.abs(A[0] - fractions()[:2].sum(axis=0))[known].mean() < (0.01 if tool == "wienerfilter" else 0.1)


@every
def test_learns_a_background_that_is_not_given(tool, values, run, scene, tmp_path):
    result, said = run(tool, {"BACKGROUND": None, "COUNT": 2, **values}, BACKGROUNDSPECTRA=tmp_path / "b.gpkg")
    assert any("2 background spectra were learned from 468 pixels" in line for line in said)
    learned = result["spectra"]["BACKGROUNDSPECTRA"]["features"]
    assert [feature["name"] for feature in learned] == ["background 1", "background 2"]
    assert all(max(feature["profile"]["y"]) == pytest.approx(SCALE * signatures()[:, 0].max(), rel=1e-6)
               for feature in learned)
    known = ~masked()
    error = np.linalg.norm((read(tmp_path / "filtered.tif") - wanted_of(scene))[:, known])
    assert error < 0.4 * np.linalg.norm(wanted_of(scene)[:, known])


@every
def test_negative_values_are_counted_and_clipped_only_when_asked(tool, values, run, tmp_path):
    made = cube()
    made[3, :2, :2] = -7
    dark = raster(tmp_path / "dark.tif", made, wavelengths=WAVELENGTHS)
    with pytest.raises(UserError, match="4 of 14040 values are negative, the least -7"):
        run(tool, {"INPUT": dark, **values})
    _, said = run(tool, {"INPUT": dark, "CLIP": True, **values})
    assert any("4 of 14040 values are negative" in line for line in said)
    assert (read(tmp_path / "filtered.tif")[3, :2, :2] == 0).all()


@every
def test_negative_spectra_are_refused_or_clipped(tool, values, run):
    given = layer([0])
    given.M[4] = -1
    with pytest.raises(ValueError, match="1 of 90 values of the dictionary are negative"):
        run(tool, {"WANTED": given, **values})
    run(tool, {"WANTED": given, "CLIP": True, **values})


def test_zeros_are_refused_where_their_divergence_is_infinite(run, tmp_path):
    made = cube()
    made[3, :2, :2] = 0
    black = raster(tmp_path / "black.tif", made, wavelengths=WAVELENGTHS)
    with pytest.raises(UserError, match="4 of 14040 values are 0, for which the divergence of beta = 0"):
        run("wienerfilter", {"INPUT": black, "BETA": 0})
    run("wienerfilter", {"INPUT": black, "BETA": 0.5})


@every
def test_black_pixels_and_tiles_without_data_pass(tool, values, run, tmp_path):
    made = np.full((L, 600, 520), -9999.0)
    made[:, :ROWS, :COLS] = cube()
    made[:, 0, 0] = 0
    wide = raster(tmp_path / "wide.tif", made, wavelengths=WAVELENGTHS)
    run(tool, {"INPUT": wide, **values})
    assert (read(tmp_path / "filtered.tif")[:, 0, 0] == 0).all()


def test_says_how_many_pixels_had_not_settled(run):
    _, said = run("wienerfilter", {"ITERATIONS": 1})
    assert any("468 of 468 pixels were still changing after 1 iterations" in line for line in said)


def test_a_saved_network_gives_the_same_again(run, scene, tmp_path):
    first, _ = run("deepnmf", FEW, MODEL=tmp_path / "m.npz")
    result, said = run("deepnmf", {"WANTED": None, "BACKGROUND": None, "TRAINED": str(tmp_path / "m.npz")},
                       FILTERED=tmp_path / "again.tif")
    assert np.allclose(read(tmp_path / "again.tif"), read(tmp_path / "filtered.tif"), rtol=1e-4, atol=0.1)
    assert result["numbers"]["GAIN"] == first["numbers"]["GAIN"] > 0
    _, said = run("deepnmf", {"TRAINED": str(tmp_path / "m.npz")})
    assert any("has its own spectra" in line for line in said)


def test_a_model_for_other_bands_is_refused(run, tmp_path):
    run("deepnmf", FEW, MODEL=tmp_path / "m.npz")
    fewer = raster(tmp_path / "fewer.tif", cube()[:-1], wavelengths=WAVELENGTHS[:-1])
    with pytest.raises(UserError, match="The model is for images of 30 bands, and these have 29"):
        run("deepnmf", {"INPUT": fewer, "TRAINED": str(tmp_path / "m.npz")})


def test_more_mixtures_than_memory_holds_are_refused(run, monkeypatch):
    monkeypatch.setattr(memory, "available", lambda: 10**9)
    with pytest.raises(UserError, match=r"needs 12.5 GB of memory and 1.0 GB are free. Learn from fewer mixtures"):
        run("deepnmf", FEW | {"MIXTURES": 10**7})


def test_a_network_needs_spectra_or_a_model(run):
    with pytest.raises(UserError, match="neither wanted spectra nor a trained model"):
        run("deepnmf", {"WANTED": None})


@every
def test_an_unknown_field_of_materials_is_named(tool, values, run):
    with pytest.raises(UserError, match="no field kind"):
        run(tool, {"MATERIALFIELD": "kind", **values})


@pytest.mark.parametrize("tool, changes", [
    ("wienerfilter", dict(SPARSITY=1, TOLERANCE=0.1, ITERATIONS=1, BETA=2, COUNT=3, LEARNING=0)),
    ("deepnmf", dict(SPARSITY=1, LAYERS=8, DISCRIMINATIVE=1, MIXED=1, WANTEDSHARE=0.8, SNR=10, EPOCHS=1, BATCH=50,
                     SEED=1, MIXTURES=100, COUNT=3, LEARNING=0))])
def test_every_setting_changes_the_scene_of_the_wanted(tool, changes, run, tmp_path):
    noisy = cube() + np.random.default_rng(1).normal(0, 30, (L, ROWS, COLS)) * (cube() > 0)
    values = {"INPUT": raster(tmp_path / "noisy.tif", noisy, wavelengths=WAVELENGTHS), "BACKGROUND": None, "COUNT": 2,
              "CLIP": True, **(FEW if tool == "deepnmf" else {})}

    def filtered(**change):
        run(tool, values | change)
        return read(tmp_path / "filtered.tif")
    base = filtered()
    assert np.array_equal(filtered(), base)
    for name, value in changes.items():
        assert not np.array_equal(filtered(**{name: value}), base), name
