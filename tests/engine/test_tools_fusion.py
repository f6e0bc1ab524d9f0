"""Fusion tools without QGIS: grids, units, masks, tiles, responses, bad input."""

import numpy as np
import pytest
import rasterio
from rasterio.transform import Affine
from toolruns import read, run_tool

from subpixel.algorithms.fusion.degradation import Gaussian, centred, degradation
from subpixel.algorithms.fusion.pair import both
from subpixel.engine.sensors import built_in, response_matrix
from subpixel.engine.sentences import UserError
from subpixel.engine.wavelengths import write_wavelengths

X = np.linspace(440, 2400, 30)
NAMES = ("B2", "B3", "B4", "B8", "B11", "B12")
GRID = Affine(10, 0, 500000, 0, -10, 5800000)
COARSE = GRID * Affine.scale(4)
UTM = "EPSG:32633"
NODATA = -9999


def scene(I=96, J=128, seed=0):
    """A smooth scene of four materials (30, I, J), reflectance times 10,000."""
    rng = np.random.default_rng(seed)
    rows, cols = np.mgrid[:I, :J]
    fields = np.stack([np.sin(rows / a + b) * np.cos(cols / c + d) for a, b, c, d in
                       rng.uniform([4, 0, 4, 0], [14, 6, 14, 6], (4, 4))])
    A = np.exp(3 * fields)
    A /= A.sum(axis=0)
    x = np.linspace(0, 1, len(X))[:, None]
    C = 0.35 + 0.25 * np.sin(2 * np.pi * (x * [0.7, 1.1, 1.6, 0.4] + [0, 0.3, 0.6, 0.8]))
    return 10000 * np.tensordot(C, A, 1)


def response():
    return response_matrix([band for band in built_in("sentinel2a") if band.name in NAMES], X)[0]


def degraded(Z, ratio=4, psf=None):
    psf = psf or Gaussian.of_width(ratio)
    return both(degradation(Z.shape[1], centred(Z.shape[1], ratio), psf),
                degradation(Z.shape[2], centred(Z.shape[2], ratio), psf), Z)


def write(path, cube, transform=GRID, crs=UTM, wavelengths=None, names=None, tags=None):
    with rasterio.open(path, "w", driver="GTiff", width=cube.shape[2], height=cube.shape[1], count=len(cube),
                       dtype="float32", crs=crs, nodata=NODATA, transform=transform) as file:
        file.write(cube.astype("float32"))
        file.update_tags(**(tags or {}))
        for band in range(1, len(cube) + 1):
            if names:
                file.set_band_description(band, names[band - 1])
            if wavelengths is not None:
                write_wavelengths(file, band, wavelengths[band - 1])
    return {"path": str(path)}


@pytest.fixture
def fused(tmp_path):
    """Write a pair, fuse it: result, fused image, what was said."""
    def run(hsi, msi, tool="fuse", hsi_grid=COARSE, msi_grid=GRID, wavelengths=X, names=NAMES,
            tags=None, **values):
        inputs = {"HSI": write(tmp_path / "hsi.tif", hsi, hsi_grid, UTM, wavelengths, tags=tags),
                  "MSI": write(tmp_path / "msi.tif", msi, msi_grid, UTM, names=names), **values}
        result, said = run_tool(tool, inputs, FUSED=tmp_path / "fused.tif")
        return result, read(tmp_path / "fused.tif"), said
    return run


def pair(Z, ratio=4):
    return degraded(Z, ratio), np.tensordot(response(), Z, 1)


def snr(Z, Z_hat):
    return 10 * np.log10(np.sum(Z ** 2) / np.sum((Z - Z_hat) ** 2))


def test_fused_image_is_near_the_truth_on_the_msis_grid(fused, tmp_path):
    Z = scene()
    result, found, said = fused(*pair(Z))
    assert snr(Z, found) > 40
    with rasterio.open(tmp_path / "fused.tif") as file:
        assert file.transform == GRID and file.crs == UTM and file.count == 30
        assert float(file.tags(1)["wavelength"]) == pytest.approx(X[0])
    assert 0 < result["numbers"]["RMSE"] < 20 and 0 < result["numbers"]["MSIRMSE"] < 20


@pytest.mark.parametrize("ratio", [3, 2.5])
def test_other_ratios(fused, ratio):
    Z = scene(90, 120)
    _, found, said = fused(*pair(Z, ratio), hsi_grid=GRID * Affine.scale(ratio))
    assert snr(Z, found) > 38
    assert any("no whole number" in words for words in said) == (ratio == 2.5)


def test_a_shifted_pair_gives_the_shifted_answer(fused):
    """The MSI begins 8 pixels further in: the same image, cut."""
    hsi, msi = pair(scene())
    _, whole, _ = fused(hsi, msi)
    _, part, _ = fused(hsi, msi[:, 8:, 12:], msi_grid=GRID * Affine.translation(12, 8))
    assert part.shape == (30, 88, 116)
    inner = (slice(None), slice(12, -12), slice(12, -12))
    assert snr(whole[:, 8:, 12:][inner], part[inner]) > 45 > 35 > snr(whole[:, 4:-4, 8:-4][inner], part[inner])


def test_masks_come_out_as_nodata(fused):
    Z = scene()
    hsi, msi = pair(Z)
    hsi[:, 3, 5], msi[:, 50:54, 70:77] = NODATA, NODATA
    _, found, _ = fused(hsi, msi)
    masked = found[0] == NODATA
    expected = np.zeros((96, 128), bool)
    expected[12:16, 20:24] = expected[50:54, 70:77] = True
    assert np.array_equal(masked, expected)
    assert snr(Z[:, ~masked], found[:, ~masked]) > 35


def test_tiles_show_no_seam(fused):
    Z = scene(96, 288)
    hsi, msi = pair(Z)
    _, whole, _ = fused(hsi, msi)
    _, tiled, said = fused(hsi, msi, TILE=96)
    assert any("tiles" in words for words in said) and not np.array_equal(whole, tiled)
    assert snr(Z, tiled) > snr(Z, whole) - 3
    steps = np.sqrt(np.square(np.diff(tiled - whole, axis=2)).mean(axis=(0, 1)))[16:-16]
    assert steps.max() < 4 * np.median(steps) + 10, "in counts of 10,000"


def test_another_unit_is_recognised(fused):
    Z = scene()
    hsi, msi = pair(Z)
    _, found, said = fused(hsi, msi / 10000)
    assert snr(Z, found) > 40 and any("another unit" in words for words in said)


def test_the_blur_that_waldpair_noted_is_taken(fused):
    Z = scene()
    hsi, msi = degraded(Z, 4, Gaussian(2.8, 13)), pair(Z)[1]
    _, plain, _ = fused(hsi, msi)
    _, noted, said = fused(hsi, msi, tags={"SUBPIXEL_PSF_SIGMA": "5.6", "SUBPIXEL_PSF_SIZE": "26",
                                               "SUBPIXEL_PSF_RATIO": "8"})
    _, given, _ = fused(hsi, msi, PSFWIDTH=2.8 * 2.35482 / 4)
    assert any("sigma 0.700 in 3.25 HSI pixels" in words for words in said)
    assert snr(Z, noted) > snr(Z, plain) + 1 and snr(Z, given) > snr(Z, plain) + 1


def test_bands_that_the_hsi_does_not_cover_are_left_out(fused):
    Z = scene()[:15]
    hsi, msi = pair(np.concatenate([Z, scene()[15:]]))
    _, found, said = fused(hsi[:15], msi, wavelengths=X[:15])
    assert any("B11" in words and "left out" in words for words in said)
    assert snr(Z, found) > 35


def test_a_table_of_responses(fused, tmp_path):
    Z = scene()
    table = tmp_path / "srf.csv"
    fine = np.arange(430, 2420, 2.0)
    bands = [band for band in built_in("sentinel2a") if band.name in NAMES]
    values = [(abs(fine - band.centre) <= band.width / 2).astype(float) for band in bands]
    table.write_text("wavelength," + ",".join(NAMES) + "\n" + "\n".join(
        ",".join(map(str, row)) for row in zip(fine, *values)))
    _, found, _ = fused(*pair(Z), SRF="table", SRFTABLE=str(table))
    assert snr(Z, found) > 38


@pytest.mark.parametrize("change, words", [
    (dict(msi_grid=Affine(10, 0, 900000, 0, -10, 5800000)), "do not overlap"),
    (dict(msi_grid=Affine(80, 0, 500000, 0, -80, 5800000)), "coarser than the hyperspectral"),
    (dict(wavelengths=X + 5000), "None of the multispectral bands"),
    (dict(wavelengths=None), "has no wavelengths"),
    (dict(names=None, SRF="superdove"), "cannot be told which is which"),
    (dict(SRF="table"), "no table is")])
def test_bad_input_gets_a_sentence(fused, change, words):
    with pytest.raises(UserError) as problem:
        fused(*pair(scene()), **change)
    assert words in str(problem.value)


def test_too_much_masked_is_refused(fused):
    hsi, msi = pair(scene())
    msi[:, :30] = NODATA
    with pytest.raises(UserError, match="31.25 % of the ground"):
        fused(hsi, msi)


def test_fusepair_corrects_a_shift(fused):
    Z = scene()
    P = [degradation(size, centred(size, 4) + shift, Gaussian.of_width(1.3 * 4)) for size, shift in
         zip((96, 128), (1.2, -0.7))]
    hsi, msi = both(*P, Z), pair(Z)[1]
    result, found, said = fused(hsi, msi, "fusepair", COUNT=4)
    numbers = result["numbers"]
    assert (numbers["SHIFTDOWN"], numbers["SHIFTACROSS"]) == pytest.approx((1.2, -0.7), abs=0.1)
    assert numbers["WIDTH"] == pytest.approx(1.3, rel=0.1) and numbers["CHANGED"] < 0.02
    assert any("that is corrected" in words for words in said) and any("by HySure" in words for words in said)
    _, kept, said = fused(hsi, msi, "fusepair", COUNT=4, REGISTER=False)
    assert any("that is not corrected" in words for words in said)
    assert snr(Z, found) > 35 and snr(Z, found) > snr(Z, kept) + 3


def test_fusepair_takes_a_method_with_change_where_there_is_one(fused):
    Z = scene()
    hsi, msi = pair(Z)
    changed = msi * np.linspace(0.6, 1.5, 6)[:, None, None]
    result, found, said = fused(hsi, changed, "fusepair", COUNT=4)
    assert result["numbers"]["CHANGED"] > 0.2 and any("by BTD-Var" in words for words in said)
    _, blind, said = fused(hsi, changed, "fusepair", COUNT=4, CHANGE="no")
    assert any("by HySure" in words for words in said)
    assert snr(Z, found) > snr(Z, blind) + 6


def test_a_pair_of_different_ground_is_warned_of(fused):
    hsi, _ = pair(scene(seed=0))
    _, msi = pair(scene(seed=1))
    _, _, said = fused(hsi, msi, "fusepair", COUNT=3)
    assert any("hardly show the same" in words for words in said)


def test_masks_do_not_pass_for_change_or_shift(fused):
    """Holes are filled before the fusion; what is filled says nothing about the ground."""
    hsi, msi = pair(scene())
    msi[:, 30:66, 40:88] = NODATA
    result, _, said = fused(hsi, msi, "fusepair", COUNT=4)
    numbers = result["numbers"]
    assert numbers["CHANGED"] < 0.02 and any("by HySure" in words for words in said)
    assert (numbers["SHIFTDOWN"], numbers["SHIFTACROSS"]) == pytest.approx((0, 0), abs=0.05)
    assert numbers["WIDTH"] == pytest.approx(1, abs=0.05)


def test_a_known_blur_comes_before_an_estimated_one(fused):
    Z = scene()
    hsi, msi = degraded(Z, 4, Gaussian(5.6, 27)), pair(Z)[1]
    tags = {"SUBPIXEL_PSF_SIGMA": "4", "SUBPIXEL_PSF_SIZE": "20", "SUBPIXEL_PSF_RATIO": "4"}
    widths = [fused(hsi, msi, "fusepair", COUNT=4, **values)[0]["numbers"]["WIDTH"]
              for values in ({}, dict(tags=tags), dict(tags=tags, PSFWIDTH=2.0))]
    assert widths == pytest.approx([5.6 / 4 * 2.35482, 2.35482, 2.0], rel=0.05)


@pytest.mark.parametrize("ratio", [3, 2.5])
def test_masked_hsi_pixels_are_masked_across_tiles(fused, ratio):
    hsi, msi = pair(scene(90, 210), ratio)
    hsi[:, np.random.default_rng(0).random(hsi.shape[1:]) < 0.15] = NODATA
    grid = GRID * Affine.scale(ratio)
    _, whole, _ = fused(hsi, msi, hsi_grid=grid)
    _, tiled, _ = fused(hsi, msi, hsi_grid=grid, TILE=96)
    assert np.array_equal(whole[0] == NODATA, tiled[0] == NODATA)


def test_tiles_without_data_and_their_neighbours(fused, tmp_path):
    """The first tile is empty; every output has the same gaps, and what it has agrees with the whole's."""
    Z = scene(96, 400)
    hsi, msi = pair(Z)
    msi[:, :, :75] = NODATA
    msi *= np.where(msi == NODATA, 1, np.linspace(0.8, 1.2, 6)[:, None, None])
    found = {}
    for tile in (1000, 96):
        inputs = {"HSI": write(tmp_path / "hsi.tif", hsi, COARSE, UTM, X), "TILE": tile, "COUNT": 4, "CHANGE": "yes",
                  "MSI": write(tmp_path / "msi.tif", msi, GRID, UTM, names=NAMES)}
        paths = {name: tmp_path / f"{name}.tif" for name in ("FUSED", "ABUNDANCES", "VARIABILITY")}
        result, said = run_tool("fusepair", inputs, **paths, ENDMEMBERS=tmp_path / "e.gpkg")
        found[tile] = [read(path) for path in paths.values()]
        assert result["numbers"]["RANK"] == 4 and any("by BTD-Var" in words for words in said)
        assert len(result["spectra"]["ENDMEMBERS"]["features"]) == 4
    for whole, tiled in zip(found[1000], found[96]):
        masked = whole[0] == NODATA
        assert masked[:, :75].all() and not masked[:, 75:].any() and np.array_equal(masked, tiled[0] == NODATA)
        assert snr(whole[:, ~masked], tiled[:, ~masked]) > 15
    fused_image, abundances, change = found[96]
    assert snr(Z[:, :, 75:], fused_image[:, :, 75:]) > 30
    np.testing.assert_allclose(abundances[:, :, 75:].sum(axis=0), 1, atol=1e-4)
    wanted = np.tensordot(response(), Z, 1)[:, :, 75:] * (np.linspace(0.8, 1.2, 6) - 1)[:, None, None]
    assert snr(wanted, change[:, :, 75:]) > 15


def test_misfits_are_those_of_the_image_that_is_written(fused):
    """RMSE over the HSI's pixels, each once however the tiles lie."""
    Z = scene(96, 288)
    hsi, msi = pair(Z)
    hsi = hsi + 30 * np.random.default_rng(0).standard_normal(hsi.shape)
    for tile in (1000, 100):
        result, found, _ = fused(hsi, msi, TILE=tile)
        assert result["numbers"]["RMSE"] == pytest.approx(np.sqrt(np.mean((degraded(found) - hsi) ** 2)), rel=0.02)
        seen = np.tensordot(response(), found, 1)
        assert result["numbers"]["MSIRMSE"] == pytest.approx(np.sqrt(np.mean((seen - msi) ** 2)), rel=0.05)


def test_units_that_are_no_power_of_ten_are_left_and_warned_of(fused):
    hsi, msi = pair(scene())
    _, _, said = fused(hsi, msi * 30)
    assert any("different units" in words for words in said) and not any("divided by" in words for words in said)


def test_materials_are_counted_where_no_number_is_given(fused):
    result, _, _ = fused(*pair(scene()), "fusepair")
    assert 3 <= result["numbers"]["RANK"] <= 10
