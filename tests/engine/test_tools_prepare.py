"""The tools that prepare a scene: there and back without a loss, bad bands of known faults, factors of real scenes."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from toolruns import TRANSFORM, raster, read, run_tool

from subpixel.engine import raster as engine_raster
from subpixel.engine.sentences import UserError
from subpixel.engine.wavelengths import read_wavelengths

L, ROWS, COLS, SIGMA = 20, 60, 70, 0.01
WAVELENGTHS = np.linspace(500, 2300, L)
FWHM = np.full(L, 9.5)
ENMAP = "enmap_potsdam/enmap_potsdam_block_128x64.tif"


@pytest.fixture(scope="module")
def clean():
    """Three smooth materials in smooth fractions: neighbours differ little."""
    x, (row, col) = np.linspace(0, 1, L)[:, None], np.mgrid[:ROWS, :COLS]
    M = np.hstack([0.1 + 0.5 * x, 0.6 - 0.4 * x ** 2, 0.3 + 0.15 * np.sin(5 * x)])
    A = np.stack([1 + np.sin(row / 20), 1 + np.cos(col / 25), np.full((ROWS, COLS), 1.0)])
    return np.einsum("lp,prc->lrc", M, A / A.sum(axis=0))


@pytest.fixture
def cube(clean):
    noisy = clean + np.random.default_rng(1).normal(0, SIGMA, clean.shape)
    noisy[:, :6, :6] = -9999
    return noisy


@pytest.fixture
def scene(cube, tmp_path):
    return raster(tmp_path / "scene.tif", cube, [f"b{number}" for number in range(L)], wavelengths=WAVELENGTHS,
                  fwhm=FWHM)


@pytest.fixture
def components(scene, tmp_path):
    result, _ = run_tool("mnf", {"INPUT": scene}, OUTPUT=tmp_path / "mnf.tif")
    assert result["numbers"]["COMPONENTS"] == 2
    return tmp_path / "mnf.tif"


# minimum noise fraction

def test_all_components_give_the_scene_back_with_names_wavelengths_and_mask(components, scene, tmp_path):
    result, _ = run_tool("mnfinverse", {"INPUT": components}, OUTPUT=tmp_path / "back.tif")
    np.testing.assert_allclose(read(tmp_path / "back.tif"), read(scene), atol=1e-6)
    with rasterio.open(tmp_path / "back.tif") as file:
        centres, widths = read_wavelengths(file)
        assert file.descriptions == tuple(f"b{number}" for number in range(L))
        assert (file.nodata, file.transform, file.crs.to_epsg()) == (-9999, TRANSFORM, 32633)
    np.testing.assert_allclose(centres, WAVELENGTHS)
    np.testing.assert_allclose(widths, FWHM)
    assert result["rasters"]["OUTPUT"]["rgb"] == [3, 2, 1]


def test_the_components_have_noise_of_one_in_every_band(components):
    X = read(components)[:, 6:]
    noise = np.std(np.diff(X, axis=2), axis=(1, 2)) / np.sqrt(2)
    np.testing.assert_allclose(noise, 1, atol=0.05)
    with rasterio.open(components) as file:
        assert file.descriptions[0].startswith("MNF 1 (SNR ")


def test_the_first_components_alone_are_nearer_to_the_truth_on_both_ways(components, scene, clean, tmp_path):
    run_tool("mnfinverse", {"INPUT": components, "KEEP": 2}, OUTPUT=tmp_path / "two.tif")
    run_tool("mnfinverse", {"INPUT": scene, "FROM": "scene", "KEEP": 2}, OUTPUT=tmp_path / "direct.tif")
    two, direct = read(tmp_path / "two.tif"), read(tmp_path / "direct.tif")
    np.testing.assert_allclose(two, direct, atol=1e-5)
    assert np.std((two - clean)[:, 6:]) < 0.5 * SIGMA


def test_the_transform_travels_with_copies_and_single_bands(components, scene, tmp_path):
    """A copy, and a raster of components 3 and 1 cut to a few rows, as GDAL's translate makes it."""
    rasterio.shutil.copy(components, tmp_path / "copy.tif", driver="GTiff")
    run_tool("mnfinverse", {"INPUT": tmp_path / "copy.tif"}, OUTPUT=tmp_path / "back.tif")
    np.testing.assert_allclose(read(tmp_path / "back.tif"), read(scene), atol=1e-6)
    with rasterio.open(components) as whole, rasterio.open(
            tmp_path / "some.tif", "w", driver="GTiff", count=2, width=COLS, height=5, dtype="float32",
            nodata=-9999) as some:
        some.update_tags(**whole.tags())
        for to, band in enumerate((3, 1), 1):
            some.write(whole.read(band)[20:25], to)
            some.update_tags(to, **whole.tags(band))
    run_tool("mnfinverse", {"INPUT": tmp_path / "some.tif"}, OUTPUT=tmp_path / "rows.tif")
    run_tool("mnfinverse", {"INPUT": components, "BANDS": [1, 3]}, OUTPUT=tmp_path / "chosen.tif")
    np.testing.assert_allclose(read(tmp_path / "rows.tif"), read(tmp_path / "chosen.tif")[:, 20:25], atol=1e-6)


@pytest.mark.parametrize("method", ["shift", "regression"])
def test_blocks_change_no_component(method, scene, tmp_path, monkeypatch):
    run_tool("mnf", {"INPUT": scene, "NOISE": method}, OUTPUT=tmp_path / "whole.tif")
    monkeypatch.setattr(engine_raster, "BLOCK_VALUES", 7 * L * COLS)
    run_tool("mnf", {"INPUT": scene, "NOISE": method}, OUTPUT=tmp_path / "blocks.tif")
    whole, blocks = read(tmp_path / "whole.tif"), read(tmp_path / "blocks.tif")
    np.testing.assert_allclose(blocks[:2], whole[:2], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose((blocks ** 2).sum(axis=0), (whole ** 2).sum(axis=0), rtol=1e-4)


def test_real_reflectance_comes_back_to_rounding(scenes, tmp_path):
    run_tool("mnf", {"INPUT": scenes / ENMAP}, OUTPUT=tmp_path / "mnf.tif", REPORT=tmp_path / "report.html")
    _, said = run_tool("mnfinverse", {"INPUT": tmp_path / "mnf.tif"}, OUTPUT=tmp_path / "back.tif")
    assert "218 components make 218 bands." in said
    used = np.delete(read(scenes / ENMAP), range(129, 135), axis=0)
    assert np.abs(read(tmp_path / "back.tif") - used).max() < 0.01
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Eigenvalue (logarithmic)" in page and "data:image/png" in page


def test_what_cannot_be_transformed_is_said(scene, components, scenes, tmp_path):
    with pytest.raises(UserError, match="does not hold the transform .* FROM scene"):
        run_tool("mnfinverse", {"INPUT": scene}, OUTPUT=tmp_path / "o.tif")
    run_tool("mnf", {"INPUT": scene, "BANDS": [1, 2, 3]}, OUTPUT=tmp_path / "other.tif")
    with rasterio.open(components, "r+") as file, rasterio.open(tmp_path / "other.tif") as other:
        file.update_tags(2, **other.tags(2))
    with pytest.raises(UserError, match="components of different scenes"):
        run_tool("mnfinverse", {"INPUT": components}, OUTPUT=tmp_path / "o.tif")
    with pytest.raises(UserError, match="KEEP is 21, but there are only 20 components"):
        run_tool("mnfinverse", {"INPUT": components, "KEEP": 21}, OUTPUT=tmp_path / "o.tif")
    with pytest.raises(UserError, match="90 pairs of neighbouring pixels and 244 bands"):
        run_tool("mnf", {"INPUT": scenes / "emit/emit20250324t221005_jpl_unmix_ex"}, OUTPUT=tmp_path / "o.tif")
    flat = raster(tmp_path / "flat.tif", np.tile(np.arange(400.0).reshape(1, 20, 20) // 20, (3, 1, 1)))
    with pytest.raises(ValueError, match="No noise was found"):
        run_tool("mnf", {"INPUT": flat}, OUTPUT=tmp_path / "o.tif")


# bad bands

@pytest.fixture
def faulty(clean, tmp_path):
    """Band 4 is mostly noise, band 9 holds a picture of its own, band 11 is striped, 17 constant."""
    rng = np.random.default_rng(2)
    cube = clean + rng.normal(0, 0.1 * SIGMA, clean.shape)
    cube[3] += rng.normal(0, 0.5, (ROWS, COLS))
    cube[8] = rng.normal(10, 0.1, (ROWS, COLS))
    cube[10] += rng.normal(0, 0.4, COLS)
    cube[16] = 0.5
    cube[:, :6, :6] = -9999
    return raster(tmp_path / "faulty.tif", cube, wavelengths=WAVELENGTHS, fwhm=FWHM)


def test_each_fault_is_found_and_named(faulty, tmp_path):
    result, said = run_tool("badbands", {"INPUT": faulty, "BY": "pixels"}, TABLE=tmp_path / "t.gpkg",
                            REPORT=tmp_path / "r.html")
    why = {row["band"]: row["why"] for row in result["tables"]["TABLE"] if row["bad"]}
    assert set(why) == {4, 9, 11, 17} and result["numbers"]["BAD"] == 4
    assert "low signal-to-noise ratio" in why[4] and why[9] == "unlike its neighbours"
    assert "stripes" in why[11] and why[17] == "nodata or constant throughout"
    assert "Bands to use: 1;2;3;5;6;7;8;10;12;13;14;15;16;18;19;20" in said[-1]
    assert "low signal-to-noise ratio" in (tmp_path / "r.html").read_text(encoding="utf-8")


def test_wavelengths_alone_need_no_pixels_and_windows_can_be_set(scene, tmp_path):
    result, said = run_tool("badbands", {"INPUT": scene, "BY": "wavelengths", "WINDOWS": "500-700; 2290-2400"},
                            TABLE=tmp_path / "t.gpkg")
    bad = [row["band"] for row in result["tables"]["TABLE"] if row["bad"]]
    assert bad == [1, 2, 3, 20]
    assert "Bad, in an absorption window: 1-3, 20." in said
    weak, _ = run_tool("badbands", {"INPUT": scene, "BY": "wavelengths", "WINDOWS": "", "WEAK": True})
    assert weak["numbers"]["BAD"] == np.sum((np.abs(WAVELENGTHS - 950) <= 30) | (np.abs(WAVELENGTHS - 1132.5) <= 32.5))


def test_the_cleaned_scene_is_the_rest_as_it_was(scenes, tmp_path):
    """EnMAP: six empty bands and 1939 nm by the pixels; 1949 and 1958 nm by the wavelengths besides."""
    result, _ = run_tool("badbands", {"INPUT": scenes / ENMAP}, CLEANED=tmp_path / "c.tif")
    gone = [*range(130, 136), 164, 165, 166]
    assert result["numbers"]["BAD"] == len(gone)
    np.testing.assert_array_equal(read(tmp_path / "c.tif"), np.delete(read(scenes / ENMAP), np.array(gone) - 1, axis=0))
    with rasterio.open(scenes / ENMAP) as before, rasterio.open(tmp_path / "c.tif") as after:
        assert after.dtypes[0] == "int16" and after.nodata == before.nodata
        expected = np.delete(read_wavelengths(before)[0], np.array(gone) - 1)
        np.testing.assert_allclose(read_wavelengths(after)[0], expected)
    pixels, _ = run_tool("badbands", {"INPUT": scenes / ENMAP, "BY": "pixels"})
    assert pixels["numbers"]["BAD"] == 7


def test_indian_pines_without_its_water_bands_has_three_left(tmp_path):
    """The scene is the corrected one of 200 bands; what the pixels still speak against is the first band and dips."""
    tensorly = pytest.importorskip("tensorly.datasets")
    data = tensorly.load_indian_pines()
    path = raster(tmp_path / "ip.tif", np.asarray(data["tensor"]).transpose(2, 0, 1),
                  wavelengths=np.asarray(data["ticks"][1]))
    result, _ = run_tool("badbands", {"INPUT": path, "BY": "pixels"}, TABLE=tmp_path / "t.gpkg")
    assert [row["band"] for row in result["tables"]["TABLE"] if row["bad"]] == [1, 88, 91]


def test_blocks_change_no_judgement(faulty, tmp_path, monkeypatch):
    whole, _ = run_tool("badbands", {"INPUT": faulty}, TABLE=tmp_path / "t.gpkg")
    monkeypatch.setattr(engine_raster, "BLOCK_VALUES", 7 * L * COLS)
    blocks, _ = run_tool("badbands", {"INPUT": faulty}, TABLE=tmp_path / "t.gpkg")
    for one, other in zip(whole["tables"]["TABLE"], blocks["tables"]["TABLE"]):
        assert one["why"] == other["why"]
        for name in ("snr", "correlation", "stripes"):
            assert one[name] == pytest.approx(other[name], abs=1e-6, nan_ok=True)


@pytest.mark.parametrize("windows, part", [("abc", "abc"), ("1450-1350", "1450-1350"), ("900-1000, 3", "3")])
def test_windows_that_are_none_are_named(scene, windows, part):
    with pytest.raises(UserError, match=f"^{part} is no range of wavelengths"):
        run_tool("badbands", {"INPUT": scene, "WINDOWS": windows})


def test_too_few_pixels_wavelengths_or_bands_are_said(scene, cube, scenes, tmp_path):
    emit = scenes / "emit/emit20250324t221005_jpl_unmix_ex"
    with pytest.raises(UserError, match="100 pixels and 244 bands.*wavelengths alone"):
        run_tool("badbands", {"INPUT": emit})
    by, _ = run_tool("badbands", {"INPUT": emit, "BY": "wavelengths"})
    assert by["numbers"]["BAD"] >= 41
    bare = raster(tmp_path / "bare.tif", cube)
    with pytest.raises(UserError, match="no wavelengths to judge"):
        run_tool("badbands", {"INPUT": bare, "BY": "wavelengths"})
    _, said = run_tool("badbands", {"INPUT": bare})
    assert "The raster has no wavelengths, so its bands are judged by the pixels alone." in said
    with pytest.raises(UserError, match="Only 0 of 20 bands are good"):
        run_tool("badbands", {"INPUT": scene, "SNRLIMIT": 200}, CLEANED=tmp_path / "c.tif")


# reflectance

def test_digital_numbers_become_the_reflectance_they_were(cube, tmp_path):
    numbers = np.where(cube == -9999, -9999, np.rint(cube * 10000))
    path = raster(tmp_path / "dn.tif", numbers, wavelengths=WAVELENGTHS, fwhm=FWHM)
    result, said = run_tool("scalereflectance", {"INPUT": path}, OUTPUT=tmp_path / "r.tif")
    assert result["numbers"]["FACTOR"] == 10000
    np.testing.assert_allclose(read(tmp_path / "r.tif"), cube, atol=6e-5)
    assert "Factor 10000 (detected)" in said[-1] and "1000 would give" in said[-1]
    with rasterio.open(tmp_path / "r.tif") as file:
        np.testing.assert_allclose(read_wavelengths(file)[0], WAVELENGTHS)
        np.testing.assert_allclose(read_wavelengths(file)[1], FWHM)


def test_a_given_factor_counts_and_clipping_is_to_0_and_1(cube, scene, tmp_path):
    result, said = run_tool("scalereflectance", {"INPUT": scene, "FACTOR": 0.25, "CLIP": True},
                            OUTPUT=tmp_path / "r.tif")
    valid = cube[0] != -9999
    assert result["numbers"]["FACTOR"] == 0.25
    np.testing.assert_allclose(read(tmp_path / "r.tif")[:, valid], np.clip(4 * cube, 0, 1)[:, valid], atol=1e-6)
    assert "were clipped" in said[-1]


def test_reflectance_is_recognised(scene, tmp_path):
    result, said = run_tool("scalereflectance", {"INPUT": scene}, OUTPUT=tmp_path / "r.tif")
    assert result["numbers"]["FACTOR"] == 1
    assert any(words.startswith("The values look like reflectance from 0 to 1 already") for words in said)


@pytest.mark.parametrize("name, factor", [(ENMAP, 10000), ("samson/samson_1.img", 1000),
                                          ("emit/emit20250324t221005_jpl_unmix_ex", 1)])
def test_factors_of_real_scenes(scenes, name, factor, tmp_path):
    result, said = run_tool("scalereflectance", {"INPUT": Path(scenes / name)}, OUTPUT=tmp_path / "r.tif")
    assert result["numbers"]["FACTOR"] == factor
    assert not any("absorption" in words for words in said)


def test_a_factor_in_an_envi_header_counts(cube, tmp_path):
    with rasterio.open(tmp_path / "s.img", "w", driver="ENVI", width=COLS, height=ROWS, count=L, dtype="float32",
                       nodata=-9999) as file:
        file.write(np.where(cube == -9999, -9999, cube * 5000).astype("float32"))
        file.update_tags(ns="ENVI", reflectance_scale_factor="5000")
    result, said = run_tool("scalereflectance", {"INPUT": tmp_path / "s.img"}, OUTPUT=tmp_path / "r.tif")
    assert result["numbers"]["FACTOR"] == 5000 and "declared in the header" in said[-1]


def test_radiance_is_doubted(cube, tmp_path):
    x = np.linspace(700, 1100, L)
    radiance = np.where(cube == -9999, -9999, 3000 * cube * (1 - 0.6 * (np.abs(x - 940) < 15))[:, None, None])
    path = raster(tmp_path / "radiance.tif", radiance, wavelengths=np.round(x))
    _, said = run_tool("scalereflectance", {"INPUT": path}, OUTPUT=tmp_path / "r.tif", REPORT=tmp_path / "r.html")
    assert any("these look like radiances" in words for words in said)
    assert "these look like radiances" in (tmp_path / "r.html").read_text(encoding="utf-8")


def test_blocks_change_no_factor(scene, tmp_path, monkeypatch):
    _, whole = run_tool("scalereflectance", {"INPUT": scene}, OUTPUT=tmp_path / "a.tif")
    monkeypatch.setattr(engine_raster, "BLOCK_VALUES", 7 * L * COLS)
    _, blocks = run_tool("scalereflectance", {"INPUT": scene}, OUTPUT=tmp_path / "b.tif")
    assert whole == blocks
    np.testing.assert_array_equal(read(tmp_path / "a.tif"), read(tmp_path / "b.tif"))
