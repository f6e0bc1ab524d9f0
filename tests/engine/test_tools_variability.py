"""Tools for spectral variability without QGIS: references, tiles, masks, the spectra of every pixel, bad input."""

import re
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
import rasterio
from toolruns import raster, read, run_tool, spectra
from variable_scenes import error, fields, smooth_maps, smooth_spectra

from subpixel.engine.sentences import UserError

SHAPE = (40, 150)
M0, X = smooth_spectra(), np.linspace(450, 2400, 30)
A = fields(shape=SHAPE)
PSI = smooth_maps(3, SHAPE, 0.8, 1.2)
NAMES = ["sand", "tree", "road"]
WHOLE_SCENE = ["elmm", "glmm", "plmm", "ultra", "ultrav"]

each = pytest.mark.parametrize("tool", WHOLE_SCENE)


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """A smooth scene with a hole in the middle."""
    Y = 10000 * (M0 @ (A * PSI) + 0.002 * np.random.default_rng(0).standard_normal((30, A.shape[1])))
    cube = Y.reshape(30, *SHAPE)
    cube[:, 12:20, 60:75] = -9999
    return raster(tmp_path_factory.mktemp("variability") / "scene.tif", cube, wavelengths=X)


@pytest.fixture
def reference():
    return spectra(10000 * M0, NAMES, X)


def unmixed(tool, scene, reference, tmp_path, **values):
    """Result, abundances (P, rows, cols) and what was said."""
    result, said = run_tool(tool, {"INPUT": scene, "ENDMEMBERS": reference, **values}, ABUNDANCES=tmp_path / "a.tif")
    return result, read(tmp_path / "a.tif"), said


@each
def test_fractions_are_close_to_the_truth_and_nodata_stays(tool, scene, reference, tmp_path):
    result, found, _ = unmixed(tool, scene, reference, tmp_path)
    masked = found[0] == -9999
    assert masked[12:20, 60:75].all() and masked.sum() == 8 * 15
    assert error(found[:, ~masked], A.reshape(3, *SHAPE)[:, ~masked]) < 0.12
    np.testing.assert_allclose(found[:, ~masked].sum(axis=0), 1, atol=1e-5)
    assert 0 < result["numbers"]["RMSE"] < 1000 and 0 < result["numbers"]["SAM"] < 10


@each
def test_tiles_give_nearly_what_the_whole_gives_and_show_no_seam(tool, scene, reference, tmp_path):
    """Where tiles meet, the difference from the whole is no larger than elsewhere, and no step lies there."""
    whole, tiled = (unmixed(tool, scene, reference, tmp_path, **values)[1] for values in ({}, {"TILESIDE": 90}))
    valid = whole[0] != -9999
    assert error(whole[:, valid], tiled[:, valid]) < 0.03
    steps = np.abs(np.diff(tiled - whole, axis=2)) * (valid[:, 1:] & valid[:, :-1])
    near = np.zeros(SHAPE[1] - 1, dtype=bool)
    for seam in (50, 100):
        near[seam - 17:seam + 17] = True
    assert not np.array_equal(whole, tiled)
    assert steps[:, :, near].mean() < 3 * steps.mean() + 1e-4
    assert np.percentile(steps[:, :, near], 99) < 2 * np.percentile(steps[:, :, ~near], 99) + 0.005


@each
def test_beside_a_tile_without_data_fractions_still_sum_to_one(tool, reference, tmp_path):
    cube = 10000 * (M0 @ (A * PSI)).reshape(30, *SHAPE)
    cube[:, :, 100:] = -9999
    empty = raster(tmp_path / "half.tif", cube, wavelengths=X)
    _, found, said = unmixed(tool, empty, reference, tmp_path, TILESIDE=90, ITERATIONS=3)
    assert any("in 3 tiles" in words for words in said)
    np.testing.assert_allclose(found[:, :, :100].sum(axis=0), 1, atol=1e-5)
    assert (found[:, :, 100:] == -9999).all()


@pytest.mark.parametrize("tool", ["elmm", "glmm", "ultrav"])
def test_takes_about_the_memory_that_it_states_and_further_tiles_take_little(tool, reference, tmp_path):
    """Peaks of four tiles and of twelve, against what is said of one."""
    peaks = []
    for cols in (256, 768):
        Y = 10000 * (M0 @ fields(shape=(64, cols)))
        scene = raster(tmp_path / f"{cols}.tif", Y.reshape(30, 64, cols), wavelengths=X)
        tracemalloc.start()
        _, _, said = unmixed(tool, scene, reference, tmp_path, ITERATIONS=2, TILESIDE=96)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    whole = float(re.search(r"The whole scene takes about ([0-9.]+) GB", " ".join(said))[1])
    tile = 1e9 * whole / 768 * 96
    assert 0.3 * tile < peaks[0] < 3 * tile + 30e6
    assert (peaks[1] - peaks[0]) / (64 * 512) < 4 * 30 * 2.5


def test_says_how_many_tiles_and_how_much_memory(scene, reference, tmp_path):
    said = unmixed("elmm", scene, reference, tmp_path, TILESIDE=90)[2]
    assert any("GB of memory" in words and "in 3 tiles" in words for words in said)


def test_without_reference_vertex_component_analysis_finds_it(scene, tmp_path):
    result, said = run_tool("elmm", {"INPUT": scene, "COUNT": 3}, ABUNDANCES=tmp_path / "a.tif", REFERENCE="wanted")
    assert any("vertex component analysis" in words for words in said)
    features = result["spectra"]["REFERENCE"]["features"]
    assert len(features) == 3 and all(feature["point"] for feature in features)
    found = np.array([feature["profile"]["y"] for feature in features])
    angles = np.degrees(np.arccos(np.clip((found / np.linalg.norm(found, axis=1)[:, None]) @ (
        M0 / np.linalg.norm(M0, axis=0)), -1, 1)))
    assert sorted(angles.argmin(axis=1)) == [0, 1, 2] and angles.min(axis=1).max() < 10


@pytest.mark.parametrize("values", [{}, {"TILESIDE": 90}])
def test_spectra_of_every_pixel_and_fractions_explain_the_scene(values, scene, reference, tmp_path):
    folder = tmp_path / "spectra"
    _, said = run_tool("elmm", {"INPUT": scene, "ENDMEMBERS": reference, **values}, ABUNDANCES=tmp_path / "a.tif",
                       VARIABILITY=tmp_path / "v.tif", PIXELENDMEMBERS=folder)
    assert sorted(path.name for path in folder.iterdir()) == sorted(f"{name}.tif" for name in NAMES)
    found = read(tmp_path / "a.tif")
    masked = found[0] == -9999
    cubes = [read(folder / f"{name}.tif") for name in NAMES]
    assert all((cube[:, masked] == -9999).all() and (cube[:, ~masked] >= 0).all() for cube in cubes)
    fit, data = sum(cube * a for cube, a in zip(cubes, found)), read(scene)
    assert error(fit[:, ~masked], data[:, ~masked]) < (40 if not values else 80)
    with rasterio.open(folder / "tree.tif") as file:
        assert float(file.tags(1)["wavelength"]) == pytest.approx(450) and file.count == 30
    departures = read(tmp_path / "v.tif")[:, ~masked]
    expected = [np.linalg.norm(cube[:, ~masked] / 10000 - m0[:, None], axis=0) / np.linalg.norm(m0)
                for cube, m0 in zip(cubes, M0.T)]
    if not values:
        np.testing.assert_allclose(departures, expected, atol=1e-3)


def test_elmm_gives_the_factors(scene, reference, tmp_path):
    result, _ = run_tool("elmm", {"INPUT": scene, "ENDMEMBERS": reference, "START": "scaled"},
                         ABUNDANCES=tmp_path / "a.tif", SCALING=tmp_path / "s.tif")
    factors, found = read(tmp_path / "s.tif"), read(tmp_path / "a.tif")
    pure = (found > 0.7) & (factors != -9999)
    assert np.median(np.abs(factors - PSI.reshape(factors.shape))[pure]) < 0.03
    low, high = result["rasters"]["SCALING"]["range"]
    assert 0.5 < low < 1 < high < 1.5


def test_ultrav_tells_its_ranks(scene, reference, tmp_path):
    estimated = unmixed("ultrav", scene, reference, tmp_path)[0]["numbers"]
    assert estimated["RANKABUNDANCE"] >= 1 and estimated["RANKENDMEMBER"] >= 3
    given = unmixed("ultrav", scene, reference, tmp_path, ABUNDANCERANK=4, ENDMEMBERRANK=5)[0]["numbers"]
    assert (given["RANKABUNDANCE"], given["RANKENDMEMBER"]) == (4, 5)


def test_plmm_gives_the_spectra_it_estimates(scene, reference, tmp_path):
    result, said = run_tool("plmm", {"INPUT": scene, "ENDMEMBERS": reference}, ABUNDANCES=tmp_path / "a.tif",
                            ESTIMATED="wanted")
    found = np.array([feature["profile"]["y"] for feature in result["spectra"]["ESTIMATED"]["features"]]).T
    assert found.shape == (30, 3) and 1 < error(found, 10000 * M0) < 1500
    assert any("alpha" in words for words in said)


@each
def test_a_report_shows_where_and_how_much(tool, scene, reference, tmp_path):
    run_tool(tool, {"INPUT": scene, "ENDMEMBERS": reference}, ABUNDANCES=tmp_path / "a.tif", REPORT=tmp_path / "r.html")
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "Mean fraction" in text and "sand" in text and "Cost" in text
    assert ("low rank" in text) == (tool in ("ultra", "ultrav"))


@each
@pytest.mark.parametrize("values, complaint", [
    ({"ITERATIONS": 0}, "at least 1"), ({"TILESIDE": 10}, "at least 64"),
    ({"ENDMEMBERS": spectra(np.zeros((30, 2)), ["a", "b"], X)}, "zero"),
    ({"ENDMEMBERS": spectra(M0[:, [0, 0]], ["a", "b"], X)}, "identical"),
    ({"ENDMEMBERS": spectra(M0, NAMES, X + 9000)}, "cover")])
def test_bad_input_gets_a_sentence(tool, values, complaint, scene, reference, tmp_path):
    with pytest.raises((UserError, ValueError), match=complaint):
        unmixed(tool, scene, values.get("ENDMEMBERS", reference), tmp_path,
                **{name: value for name, value in values.items() if name != "ENDMEMBERS"})
    assert not (tmp_path / "a.tif").exists()


@pytest.mark.parametrize("tool, values", [
    ("elmm", {"LAMBDAS": 0}), ("elmm", {"LAMBDAPSI": -1}), ("glmm", {"LAMBDAM": 0}), ("plmm", {"GAMMA": 0}),
    ("ultra", {"LAMBDAA": 0}), ("ultrav", {"LAMBDAM": 0})])
def test_weights_of_zero_or_below_are_refused(tool, values, scene, reference, tmp_path):
    with pytest.raises(UserError, match="at least"):
        unmixed(tool, scene, reference, tmp_path, **values)


def test_an_image_smaller_than_the_rank_is_refused(reference, tmp_path):
    small = raster(tmp_path / "small.tif", 10000 * (M0 @ A[:, :4]).reshape(30, 2, 2), wavelengths=X)
    with pytest.raises((UserError, ValueError), match="rank"):
        unmixed("ultrav", small, reference, tmp_path, ABUNDANCERANK=50)


@each
def test_a_scene_without_valid_pixels_is_refused(tool, reference, tmp_path):
    """Every pixel lacks another band."""
    cube = 100.0 + np.random.default_rng(0).random((30, 4, 5))
    cube[0, :2], cube[1, 2:] = -9999, -9999
    empty = raster(tmp_path / "empty.tif", cube, wavelengths=X)
    for values in ({"ENDMEMBERS": reference}, {"COUNT": 3}):
        with pytest.raises(UserError, match="has no valid pixel"):
            run_tool(tool, {"INPUT": empty, **values}, ABUNDANCES=tmp_path / "a.tif")


def learned_from(*materials):
    """Three spectra of sand, three of tree, and one of what is named, in the field `material`."""
    columns = np.concatenate([10000 * M0[:, [k]] * np.array([0.9, 1.0, 1.1]) for k in (0, 1)] + [10000 * M0[:, [2]]], 1)
    layer = spectra(columns, [f"spectrum {number}" for number in range(7)], X)
    return replace(layer, attributes=[{"material": name} for name in (*["sand"] * 3, *["tree"] * 3, *materials)])


def test_deepgun_learns_from_pure_pixels_and_stays_on_the_simplex(scene, reference, tmp_path):
    result, found, said = unmixed("deepgun", scene, reference, tmp_path, EPOCHS=5, ITERATIONS=2, PUREPIXELS=20)
    valid = found[0] != -9999
    np.testing.assert_allclose(found[:, valid].sum(axis=0), 1, atol=1e-5)
    assert error(found[:, valid], A.reshape(3, *SHAPE)[:, valid]) < 0.2
    assert sum("20 spectra to learn from" in words for words in said) == 3


def test_deepgun_takes_the_materials_of_a_bundle(scene, tmp_path):
    """Its references are their means."""
    bundle = learned_from("sand")
    result, said = run_tool("deepgun", {"INPUT": scene, "BUNDLE": bundle, "EPOCHS": 2, "ITERATIONS": 1},
                            ABUNDANCES=tmp_path / "a.tif", REFERENCE="wanted")
    features = result["spectra"]["REFERENCE"]["features"]
    assert [feature["name"] for feature in features] == ["sand", "tree"]
    np.testing.assert_allclose(features[1]["profile"]["y"], 10000 * M0[:, 1], rtol=1e-6)
    assert any("sand: 4 spectra" in words for words in said)


@pytest.mark.parametrize("change, complaint", [
    (dict(BUNDLE=learned_from("road")), "single spectrum of road"),
    (dict(BUNDLE=learned_from("sand"), ENDMEMBERS=spectra(10000 * M0, NAMES, X)), "no spectra to learn road from"),
    (dict(BUNDLE=learned_from("")), "has no material"),
    (dict(BUNDLE=learned_from("sand"), MATERIALFIELD="kind"), "no field kind")])
def test_deepgun_refuses_what_it_cannot_learn_from(change, complaint, scene, tmp_path):
    with pytest.raises((UserError, ValueError), match=complaint):
        run_tool("deepgun", {"INPUT": scene, **change}, ABUNDANCES=tmp_path / "a.tif")


def test_deepgun_warns_of_materials_that_do_not_vary(scene, reference, tmp_path):
    """The published fidelity makes one spectrum of each; what varies gets no warning."""
    bundle = several(20)
    values = {"INPUT": scene, "BUNDLE": bundle, "ENDMEMBERS": reference, "ITERATIONS": 1}
    published, default = (run_tool("deepgun", values | more, ABUNDANCES=tmp_path / "a.tif")[1]
                          for more in ({"FIDELITY": 1}, {}))
    assert sum("hardly varies" in words and "larger fidelity" in words for words in published) == 3
    assert not any("hardly varies" in words for words in default)
    assert sum("makes of the reference differs" in words for words in default) == 3


def several(count):
    """`count` spectra of each material, of different brightness."""
    factors = np.linspace(0.8, 1.2, count)
    layer = spectra(np.concatenate([10000 * m[:, None] * factors for m in M0.T], axis=1),
                    [f"spectrum {number}" for number in range(3 * count)], X)
    return replace(layer, attributes=[{"material": name} for name in NAMES for _ in factors])


def test_deepgun_leaves_out_bands_that_either_layer_lacks_and_says_so_once(scene, tmp_path):
    """The spectra to learn from lack the first band, the references the last two."""
    whole = several(5)
    bundle = replace(whole, M=whole.M[1:], x=X[1:])
    given = spectra(10000 * M0[:-2], NAMES, X[:-2])
    _, said = run_tool("deepgun", {"INPUT": scene, "BUNDLE": bundle, "ENDMEMBERS": given, "EPOCHS": 1, "ITERATIONS": 1},
                       ABUNDANCES=tmp_path / "a.tif")
    assert [words for words in said if "not used" in words] == [
        "The endmembers cover 517-2400 nm, perhaps with gaps: 1 bands of the raster that they do not cover are not "
        "used.", "The endmembers cover 450-2266 nm, perhaps with gaps: 2 bands of the raster that they do not cover "
        "are not used."]
    assert any("27 bands" in words for words in said)


def test_a_dark_reference_that_explains_bright_pixels_is_warned_of(scene, tmp_path):
    """Sand, and a spectrum like that of trees at a twentieth of the brightness."""
    dark = spectra(10000 * np.column_stack([M0[:, 0], 0.05 * M0[:, 1]]), ["sand", "shadow"], X)
    said = unmixed("elmm", scene, dark, tmp_path, START="scaled")[2]
    assert any("more than their own size" in words and "shadow (" in words for words in said)
    assert not any("own size" in words for words in unmixed("elmm", scene, spectra(10000 * M0, NAMES, X), tmp_path)[2])
