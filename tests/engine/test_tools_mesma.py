"""The tool mesma: what it writes for a scene whose models are known, and what it refuses."""

from dataclasses import replace

import numpy as np
import pytest
import rasterio

from subpixel.algorithms.variability.mesma import VIPER, mesma
from subpixel.engine import raster as engine_raster
from subpixel.engine.declare import complaint
from subpixel.engine.sentences import UserError
from subpixel.tools import all_tools
from toolruns import raster, read, run_tool, spectra

BANDS, ROWS, COLS = 12, 20, 24
X = np.linspace(450, 2400, BANDS)
MATERIALS = ["soil", "tree", "water", "soil", "tree", "soil"]


def library():
    x = np.linspace(0, 1, BANDS)
    own = {"soil": 0.15 + 0.35 * x, "tree": 0.05 + 0.4 / (1 + np.exp(-30 * (x - 0.3))), "water": 0.12 - 0.1 * x}
    return np.stack([own[name] * (1 + 0.1 * np.sin((2 + number) * x + number))
                     for number, name in enumerate(MATERIALS)], axis=1)


def bundle(M, materials=MATERIALS, field="material", x=X):
    made = spectra(M, [f"{name} {number}" for number, name in enumerate(materials)], x)
    return replace(made, attributes=[{field: name} for name in materials])


def pixels(seed=0, noise=0.001):
    """Pixels (BANDS, ROWS * COLS): mixtures of two spectra and shade; the last 40 are what nothing explains."""
    rng = np.random.default_rng(seed)
    M, A = library(), rng.dirichlet([2, 2, 1], ROWS * COLS).T
    Y = M[:, rng.choice([0, 3, 5], ROWS * COLS)] * A[0] + M[:, rng.choice([1, 4], ROWS * COLS)] * A[1]
    Y += noise * rng.standard_normal(Y.shape)
    Y[:, -40:] = rng.uniform(0, 1, (BANDS, 40))
    return Y.astype(np.float32)


def scene(path, Y, wavelengths=X):
    cube = Y.reshape(BANDS, ROWS, COLS).copy()
    cube[:, :2, :2] = -9999
    return raster(path, cube, wavelengths=wavelengths)


@pytest.fixture
def image(tmp_path):
    return scene(tmp_path / "scene.tif", pixels())


def outputs(folder):
    return {name: folder / f"{name.lower()}.tif" for name in ("ABUNDANCES", "MODEL", "SHADE", "RESIDUAL")}


def test_rasters_hold_the_winning_models(image, tmp_path):
    result, said = run_tool("mesma", {"INPUT": image, "ENDMEMBERS": bundle(library())}, **outputs(tmp_path),
                            REPORT=tmp_path / "r.html")
    Y = pixels()
    expected = mesma(Y, library(), MATERIALS)
    masked = np.zeros((ROWS, COLS), bool)
    masked[:2, :2] = True
    none = masked | (expected.level.reshape(ROWS, COLS) == 0)

    def image_of(values, nothing=-9999):
        return np.where(none, nothing, np.asarray(values).reshape(-1, ROWS, COLS))

    assert 0 < none.sum() - 4 < 60
    assert np.allclose(read(tmp_path / "abundances.tif"), image_of(expected.A), atol=1e-6)
    assert np.allclose(read(tmp_path / "shade.tif"), image_of(expected.shade), atol=1e-6)
    assert np.allclose(read(tmp_path / "residual.tif"), image_of(expected.rmse), atol=1e-6)
    model = read(tmp_path / "model.tif")
    assert np.array_equal(model, image_of(np.vstack([expected.combination, expected.model]) + 1))
    with rasterio.open(tmp_path / "model.tif") as file:
        assert file.descriptions == ("combination", "soil", "tree", "water") and file.dtypes[0] == "int16"
        assert file.nodata == -9999
    with rasterio.open(tmp_path / "abundances.tif") as file:
        assert file.descriptions == ("soil", "tree", "water")
    legend = result["rasters"]["MODEL"]["names"]
    assert legend == ["soil", "tree", "water", "soil + tree", "soil + water", "tree + water"]
    for number, name in enumerate(legend, 1):
        used = (model[1:, model[0] == number] > 0).all(axis=1)
        assert not (model[0] == number).any() or " + ".join(np.array(["soil", "tree", "water"])[used]) == name
    has = ~none
    assert np.isclose(result["numbers"]["MODELLED"], 100 * has.sum() / (~masked).sum())
    rmse = expected.rmse.reshape(ROWS, COLS)[has]
    assert np.isclose(result["numbers"]["RMSE"], np.sqrt(np.mean(rmse**2)))
    assert any("17 models" in line for line in said)
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "soil + tree" in text and "Which models won" in text and "tree 4" in text


def test_blocks_change_nothing(image, tmp_path, monkeypatch):
    first, second = tmp_path / "a", tmp_path / "b"
    for folder, values in ((first, 16_000_000), (second, BANDS * 70)):
        folder.mkdir()
        monkeypatch.setattr(engine_raster, "BLOCK_VALUES", values)
        run_tool("mesma", {"INPUT": image, "ENDMEMBERS": bundle(library()), "LARGEST": 3}, **outputs(folder))
    for name in ("model", "abundances", "shade", "residual"):
        assert np.allclose(read(first / f"{name}.tif"), read(second / f"{name}.tif"), rtol=0, atol=1e-6)


def test_a_scale_gives_the_same_models(image, tmp_path):
    whole = scene(tmp_path / "whole.tif", np.rint(10000 * pixels()))
    one, other = tmp_path / "a", tmp_path / "b"
    for folder, path, M, scale in ((one, image, library(), 1.0), (other, whole, 10000 * library(), 10000.0)):
        folder.mkdir()
        run_tool("mesma", {"INPUT": path, "ENDMEMBERS": bundle(M), "SCALE": scale}, **outputs(folder))
    assert (read(one / "model.tif") == read(other / "model.tif")).mean() > 0.97
    residual = read(other / "residual.tif")
    assert np.median(residual[residual >= 0]) > 1


def test_fractions_without_shade_sum_to_one(image, tmp_path):
    run_tool("mesma", {"INPUT": image, "ENDMEMBERS": bundle(library()), "NORMALISE": True}, **outputs(tmp_path))
    A = read(tmp_path / "abundances.tif")
    has = A[0] != -9999
    assert np.allclose(A[:, has].sum(axis=0), 1, atol=1e-5) and has.sum() > 300
    assert read(tmp_path / "shade.tif")[0, has].max() > 0.3


def test_a_shade_spectrum_is_subtracted(tmp_path):
    shade = np.linspace(0.03, 0.01, BANDS)
    M, Y = library(), pixels()
    lit = scene(tmp_path / "lit.tif", Y + shade[:, None].astype(np.float32))
    run_tool("mesma", {"INPUT": lit, "ENDMEMBERS": bundle(M + shade[:, None]),
                       "SHADESPECTRUM": spectra(shade[:, None], ["shade"], X)}, **outputs(tmp_path))
    expected = mesma(Y, M, MATERIALS)
    has = expected.level > 0
    has[np.add.outer([0, COLS], [0, 1]).ravel()] = False
    found = read(tmp_path / "abundances.tif").reshape(3, -1)
    assert np.isclose(found[:, has], expected.A[:, has], atol=1e-4).all(axis=0).mean() > 0.99


def test_spectra_that_reach_fewer_bands_take_shade_along(image, tmp_path):
    M, shade = library(), np.full(BANDS, 0.001)
    result, said = run_tool("mesma", {"INPUT": image, "ENDMEMBERS": bundle(M[:-2], x=X[:-2]),
                                      "SHADESPECTRUM": spectra(shade[1:, None], ["shade"], X[1:])}, **outputs(tmp_path))
    assert any("9 bands" in line for line in said) and result["numbers"]["MODELLED"] > 50


def test_zero_pixels_are_nodata(tmp_path):
    Y = pixels()
    Y[:, 100:110] = 0
    result, said = run_tool("mesma", {"INPUT": scene(tmp_path / "s.tif", Y), "ENDMEMBERS": bundle(library())},
                            **outputs(tmp_path))
    assert (read(tmp_path / "abundances.tif").reshape(3, -1)[:, 100:110] == -9999).all()
    assert any("10 pixels are zero" in line for line in said)


def test_many_pixels_without_a_model_are_a_warning(tmp_path):
    Y = pixels()
    Y[:, 200:] = np.random.default_rng(1).uniform(0, 1, Y[:, 200:].shape)
    said = run_tool("mesma", {"INPUT": scene(tmp_path / "s.tif", Y), "ENDMEMBERS": bundle(library())},
                    **outputs(tmp_path))[1]
    assert any("% of the pixels have a model" in line for line in said)


def test_materials_may_be_the_names_and_the_field_is_found_whatever_its_case(image, tmp_path):
    result, _ = run_tool("mesma", {"INPUT": image, "ENDMEMBERS": bundle(library()), "MATERIALFIELD": "name"},
                         **outputs(tmp_path))
    assert result["rasters"]["ABUNDANCES"]["names"] == [f"{name} {k}" for k, name in enumerate(MATERIALS)]
    result, _ = run_tool("mesma", {"INPUT": image, "ENDMEMBERS": bundle(library(), field="Material")},
                         **outputs(tmp_path))
    assert result["rasters"]["ABUNDANCES"]["names"] == ["soil", "tree", "water"]


def test_one_material_is_enough(image, tmp_path):
    M = library()[:, [0, 3, 5]]
    result, said = run_tool("mesma", {"INPUT": image, "ENDMEMBERS": bundle(M, ["soil"] * 3), "MAXRMSE": 0.2},
                            **outputs(tmp_path))
    assert result["rasters"]["MODEL"]["names"] == ["soil"] and any("no more" in line for line in said)


@pytest.mark.parametrize("change, words", [
    ({"MATERIALFIELD": "class"}, ["no field class", "material", "attribute table"]),
    ({"SMALLEST": 3, "LARGEST": 2}, ["Raise the second"]),
    ({"SMALLEST": 4, "LARGEST": 5}, ["3 (soil, tree, water)", "Lower"]),
    ({"MINSHADE": 0.9}, ["no model could keep both"]),
    ({"MAXRMSE": 0.0}, ["No model keeps the limits", "widen"]),
    ({"SCALE": 10000.0}, ["endmembers", "Reflectance scale (SCALE)"]),
    ({"MAXMODELS": 10}, ["3 + 2 + 1 spectra give 17 models of 1 to 2", "480 pixels", "seconds", "MAXMODELS"])])
def test_what_cannot_work_gets_a_sentence(image, tmp_path, change, words):
    with pytest.raises(UserError) as error:
        run_tool("mesma", {"INPUT": image, "ENDMEMBERS": bundle(library()), **change}, **outputs(tmp_path))
    for word in words:
        assert word in str(error.value)


def test_a_layer_without_materials_gets_a_sentence(image, tmp_path):
    with pytest.raises(UserError, match="no field material .*its fields: none"):
        run_tool("mesma", {"INPUT": image, "ENDMEMBERS": spectra(library(), x=X)}, **outputs(tmp_path))
    some = bundle(library(), ["soil", "tree", None, "soil", " ", "soil"])
    with pytest.raises(UserError, match="None 2 has no material in the field material"):
        run_tool("mesma", {"INPUT": image, "ENDMEMBERS": some}, **outputs(tmp_path))


def test_a_bundle_may_outnumber_the_bands():
    facts = {"INPUT": {"bands": 12}, "ENDMEMBERS": {"spectra": 50}}
    assert complaint(all_tools()["mesma"], {}, facts) is None
    assert complaint(all_tools()["fcls"], {}, facts) is not None


def test_two_shade_spectra_get_a_sentence(image, tmp_path):
    with pytest.raises(UserError, match="holds 6 spectra, and shade has one"):
        run_tool("mesma", {"INPUT": image, "ENDMEMBERS": bundle(library()), "SHADESPECTRUM": spectra(library(), x=X)},
                 **outputs(tmp_path))


@pytest.mark.parametrize("library_factor, what", [(1, "image"), (10000, "endmembers")])
def test_digital_numbers_get_a_sentence_that_names_the_scale(tmp_path, library_factor, what):
    whole = scene(tmp_path / "whole.tif", np.rint(10000 * pixels()))
    with pytest.raises(UserError, match=f"values of the {what} are about .*SCALE"):
        run_tool("mesma", {"INPUT": whole, "ENDMEMBERS": bundle(library_factor * library())}, **outputs(tmp_path))


def test_an_image_without_data_gets_a_sentence(tmp_path):
    empty = np.zeros((BANDS, ROWS * COLS), np.float32)
    image = scene(tmp_path / "e.tif", empty)
    with pytest.raises(UserError, match="no pixel with data|no band with information"):
        run_tool("mesma", {"INPUT": image, "ENDMEMBERS": bundle(library()), "BANDS": list(range(1, BANDS + 1))},
                 **outputs(tmp_path))


def test_defaults_are_those_of_the_algorithm():
    default = {parameter.name: parameter.default for parameter in all_tools()["mesma"].parameters()}
    assert (default["MINFRACTION"], default["MAXFRACTION"]) == VIPER.fraction
    assert (default["MINSHADE"], default["MAXSHADE"]) == VIPER.shade
    assert (default["MAXRMSE"], default["FUSION"]) == (VIPER.rmse, VIPER.fusion)
    assert (default["MAXRESIDUAL"] or None, default["RESIDUALBANDS"]) == (VIPER.residual, VIPER.run)
