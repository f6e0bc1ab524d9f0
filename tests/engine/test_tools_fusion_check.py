"""A pair made from a scene lies and looks as it says; comparing gives the definitions' figures, pixel on pixel."""

import numpy as np
import pytest
import rasterio
from rasterio.control import GroundControlPoint
from rasterio.transform import Affine
from test_tools_fusion import GRID, UTM, X, scene, snr, write
from toolruns import read, run_tool

from subpixel.algorithms.fusion.degradation import Gaussian
from subpixel.algorithms.fusion.quality import quality
from subpixel.algorithms.fusion.waldpair import wald_pair
from subpixel.engine.sensors import built_in, response_matrix
from subpixel.engine.sentences import UserError
from subpixel.engine.wavelengths import read_wavelengths

NODATA = -9999
Z = np.float32(scene(40, 50))
BANDS = "B2, B3, B4, b8, B11, B12"


def response():
    return response_matrix([band for band in built_in("sentinel2a") if band.name.lower() in BANDS.lower().split(", ")],
                           X)[0]


def made(tmp_path, cube=Z, transform=GRID, crs=UTM, wavelengths=X, **values):
    """The pair as arrays, the open datasets' facts, and what was said."""
    reference = write(tmp_path / "scene.tif", cube, transform, crs, wavelengths)
    values = {"SENSORBANDS": BANDS, **values}
    _, said = run_tool("waldpair", {"INPUT": reference, **values}, HSI=tmp_path / "hsi.tif", MSI=tmp_path / "msi.tif")
    return read(tmp_path / "hsi.tif"), read(tmp_path / "msi.tif"), said


def test_both_images_are_what_the_sensors_see(tmp_path):
    hsi, msi, _ = made(tmp_path, SIGMA=1.7)
    expected = wald_pair(Z, response(), 4, Gaussian(1.7, 9))
    np.testing.assert_allclose(hsi, expected.hsi, rtol=1e-5)
    np.testing.assert_allclose(msi, expected.msi, rtol=1e-5)


def test_the_blur_is_the_papers_and_travels_with_the_image(tmp_path):
    hsi, _, _ = made(tmp_path, PHASE=1)
    expected = wald_pair(Z, response(), 4, Gaussian.printed(9), 1)
    np.testing.assert_allclose(hsi, expected.hsi, rtol=1e-5)
    with rasterio.open(tmp_path / "hsi.tif") as file:
        assert float(file.tags()["SUBPIXEL_PSF_SIGMA"]) == pytest.approx(9 * np.sqrt(2 * np.log(2)) / 4)
        assert float(file.tags()["SUBPIXEL_PSF_SIZE"]) == 9 and float(file.tags()["SUBPIXEL_PSF_RATIO"]) == 4
        assert file.tags()["SUBPIXEL_TOOL"] == "subpixel:waldpair"


@pytest.mark.parametrize("phase, corner", [(None, 0), (1, -0.5), (2, 0.5)])
def test_the_hsi_lies_where_its_pixels_are(phase, corner, tmp_path):
    made(tmp_path, PHASE=phase)
    with rasterio.open(tmp_path / "hsi.tif") as hsi, rasterio.open(tmp_path / "msi.tif") as msi:
        assert (hsi.width, hsi.height, hsi.crs) == (12, 10, msi.crs)
        assert hsi.transform.almost_equals(GRID * Affine.translation(corner, corner) * Affine.scale(4))
        assert msi.transform == GRID and (msi.width, msi.height) == (50, 40)


def test_bands_keep_their_wavelengths_and_have_names(tmp_path):
    made(tmp_path)
    with rasterio.open(tmp_path / "hsi.tif") as file:
        np.testing.assert_allclose(read_wavelengths(file)[0], X)
    with rasterio.open(tmp_path / "msi.tif") as file:
        assert file.descriptions == ("B2", "B3", "B4", "B8", "B11", "B12")
        centres, widths = read_wavelengths(file)
        np.testing.assert_allclose(centres[[0, 5]], [492.4, 2202.4], atol=0.2)
        np.testing.assert_allclose(widths[[0, 5]], [66, 175], rtol=0.02)


def test_a_blur_of_one_pixel_sees_the_one_on_which_its_centre_lies(tmp_path):
    hsi, _, _ = made(tmp_path, KERNELSIZE=1, PHASE=1)
    np.testing.assert_allclose(hsi, Z[:, 1::4, 1::4][:, :10, :12], rtol=1e-6)


def test_a_band_named_twice_is_made_once(tmp_path):
    _, msi, _ = made(tmp_path, SENSORBANDS="B3, b2,B2, B3")
    with rasterio.open(tmp_path / "msi.tif") as file:
        assert file.descriptions == ("B3", "B2") and len(msi) == 2


@pytest.mark.parametrize("phase", [None, 3])
def test_what_is_fused_from_a_scene_without_a_georeference_compares_with_it(phase, tmp_path):
    cube = np.float32(scene(42, 51))
    reference = write(tmp_path / "scene.tif", cube, Affine.identity(), None, X)
    run_tool("waldpair", {"INPUT": reference, "PHASE": phase, "SIGMA": 1.7, "SENSORBANDS": BANDS},
             HSI=tmp_path / "hsi.tif", MSI=tmp_path / "msi.tif")
    run_tool("fuse", {"HSI": tmp_path / "hsi.tif", "MSI": tmp_path / "msi.tif"}, FUSED=tmp_path / "fused.tif")
    result, _ = run_tool("comparefusion", {"FUSED": tmp_path / "fused.tif", "REFERENCE": reference})
    fused, first = read(tmp_path / "fused.tif"), 0 if phase is None else 1
    assert fused.shape[1:] != cube.shape[1:]
    part = cube[:, first:first + fused.shape[1], first:first + fused.shape[2]]
    assert result["numbers"]["RSNR"] == pytest.approx(snr(part, fused), abs=1e-4) and result["numbers"]["RSNR"] > 30


@pytest.mark.parametrize("place", ["none", "points"])
def test_the_pair_can_be_fused_and_compared_whatever_its_georeference(place, tmp_path):
    reference = write(tmp_path / "scene.tif", Z, Affine.identity(), None, X)
    if place == "points":
        points = [GroundControlPoint(row, col, *(GRID * (col, row))) for row in (0, 40) for col in (0, 50)]
        with rasterio.open(reference["path"], "r+") as file:
            file.gcps = points, rasterio.crs.CRS.from_epsg(32633)
    values = {"INPUT": reference, "PHASE": 1, "SIGMA": 1.7, "SENSORBANDS": BANDS}
    run_tool("waldpair", values, HSI=tmp_path / "hsi.tif", MSI=tmp_path / "msi.tif")
    _, said = run_tool("fuse", {"HSI": tmp_path / "hsi.tif", "MSI": tmp_path / "msi.tif"}, FUSED=tmp_path / "fused.tif")
    assert any("sigma 0.425 in 2.25 HSI pixels" in line for line in said)
    fused = read(tmp_path / "fused.tif")
    rows, cols = fused.shape[1:]
    assert rows >= 38 and cols >= 46 and snr(Z[:, :rows, :cols], fused) > 30


def test_the_true_blur_and_phase_fuse_better_than_others(tmp_path):
    made(tmp_path, PHASE=1, SIGMA=1.3)
    figures = []
    for values in ({}, {"PSFWIDTH": 2}):
        run_tool("fuse", {"HSI": tmp_path / "hsi.tif", "MSI": tmp_path / "msi.tif", **values},
                 FUSED=tmp_path / "fused.tif")
        result, _ = run_tool("comparefusion", {"FUSED": tmp_path / "fused.tif", "REFERENCE": tmp_path / "scene.tif"})
        figures.append(result["numbers"]["RSNR"])
    assert figures[0] > figures[1] + 3


def test_masked_ground_is_masked_in_both(tmp_path):
    cube = Z.copy()
    cube[3, 17, 21] = NODATA
    hsi, msi, _ = made(tmp_path, cube, KERNELSIZE=4, SIGMA=1)
    assert (msi == NODATA).all(axis=0)[17, 21] and (msi == NODATA).any(axis=0).sum() == 1
    assert (hsi == NODATA).all(axis=0)[4, 5] and (hsi == NODATA).any(axis=0).sum() == 1
    cube[:, ::5, ::5] = NODATA
    with pytest.raises(UserError, match="none is left"):
        made(tmp_path, cube)


def test_noise_is_of_the_power_and_seed_asked_for(tmp_path):
    clean, _, _ = made(tmp_path)
    noisy = [made(tmp_path, SNR=20, SEED=seed)[0] for seed in (1, 1, 2)]
    assert snr(clean, noisy[0]) == pytest.approx(20, abs=0.3)
    assert np.array_equal(noisy[0], noisy[1]) and not np.array_equal(noisy[0], noisy[2])


@pytest.mark.parametrize("values, words", [
    ({"PHASE": 3.5}, "between 0 and 3"), ({"SENSORBANDS": "B2, B99"}, "B99 is no band"), ({"RATIO": 60}, "less than"),
    ({"wavelengths": None}, "no wavelengths"), ({"SRF": "table"}, "SRFTABLE"),
    ({"KERNELSIZE": 1}, "KERNELSIZE is 1, .* Choose 2 or more"), ({"SIGMA": 0.01}, "SIGMA is 0.01, .*larger")])
def test_what_cannot_be_made_is_said(values, words, tmp_path):
    with pytest.raises(UserError, match=words):
        made(tmp_path, **values)


Z_HAT = np.float32(Z * (1 + 0.02 * np.random.default_rng(0).standard_normal(Z.shape)))


def compared(tmp_path, Z=Z, Z_hat=Z_HAT, grid=GRID, fused_grid=GRID, x=X, x_hat=X, crs=UTM, **values):
    inputs = {"FUSED": write(tmp_path / "fused.tif", Z_hat, fused_grid, UTM, x_hat),
              "REFERENCE": write(tmp_path / "scene.tif", Z, grid, crs, x), **values}
    return run_tool("comparefusion", inputs, ERROR=tmp_path / "error.tif", REPORT=tmp_path / "report.html",
                    TABLE="wanted")


def assert_figures(numbers, found, **others):
    expected = {"RSNR": found.rsnr, "RMSE": found.rmse, "CC": found.cc, "SAM": found.sam, "ERGAS": found.ergas,
                "PSNR": found.psnr, "SSIM": found.ssim, "UIQI": found.uiqi, **others}
    assert numbers == pytest.approx(expected, rel=1e-6)


def test_figures_tables_and_maps_are_the_definitions(tmp_path, monkeypatch):
    from subpixel.tools.check import comparefusion
    monkeypatch.setattr(comparefusion, "VALUES", 7 * 2000)
    result, _ = compared(tmp_path)
    found = quality(Z, Z_HAT, 4)
    assert_figures(result["numbers"], found)
    rows = result["tables"]["TABLE"]
    assert len(rows) == 30 and rows[7]["wavelength"] == pytest.approx(X[7])
    assert rows[7]["rmse"] == pytest.approx(found.bands[7].rmse) and rows[7]["uiqi"] == found.bands[7].uiqi
    rmse, angle = read(tmp_path / "error.tif")
    np.testing.assert_allclose(rmse, np.sqrt(np.mean((Z.astype(float) - Z_HAT) ** 2, axis=0)), rtol=1e-5)
    assert angle.mean() == pytest.approx(found.sam, rel=1e-5)
    assert "UIQI" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_settings_reach_the_figures(tmp_path):
    result, _ = compared(tmp_path, RATIO=2, ERGASMEAN="estimate", UIQIWINDOW=16, Z_hat=1.1 * Z_HAT)
    found = quality(Z, np.float32(1.1 * Z_HAT), 2, window=16)
    assert_figures(result["numbers"], found, ERGAS=found.ergas_by("estimate"))


def test_masked_pixels_of_either_image_do_not_count(tmp_path):
    Z_gap, Z_hat_gap = Z.copy(), Z_HAT.copy()
    Z_gap[0, 4:9, 3:7], Z_hat_gap[2, 20, 30:41] = NODATA, NODATA
    valid = (Z_gap != NODATA).all(axis=0) & (Z_hat_gap != NODATA).all(axis=0)
    result, _ = compared(tmp_path, Z_gap, Z_hat_gap)
    assert_figures(result["numbers"], quality(Z, Z_HAT, 4, valid))
    assert np.array_equal(read(tmp_path / "error.tif")[0] == NODATA, ~valid)


def test_a_part_of_the_reference_is_compared_where_it_lies(tmp_path):
    result, _ = compared(tmp_path, Z_hat=Z_HAT[:, 5:30, 8:50], fused_grid=GRID * Affine.translation(8, 5))
    assert_figures(result["numbers"], quality(Z[:, 5:30, 8:], Z_HAT[:, 5:30, 8:], 4))
    result, _ = compared(tmp_path, Z=Z[:, 5:30, 8:], grid=GRID * Affine.translation(8, 5))
    assert_figures(result["numbers"], quality(Z[:, 5:30, 8:], Z_HAT[:, 5:30, 8:], 4))
    error = read(tmp_path / "error.tif")
    assert error.shape == (2, 40, 50) and (error[0, :5] == NODATA).all() and (error[0, 5:30, 8:] != NODATA).all()


def test_bands_are_told_apart_by_wavelength(tmp_path):
    order = [4, 2, 9, 20]
    result, said = compared(tmp_path, Z_hat=Z_HAT[order], x_hat=X[order] + 0.3)
    assert_figures(result["numbers"], quality(Z[order], Z_HAT[order], 4))
    assert any("4 bands" in line for line in said)


def test_identical_images_have_no_finite_ratio(tmp_path):
    result, said = compared(tmp_path, Z_hat=Z)
    assert "RSNR" not in result["numbers"] and result["numbers"]["ERGAS"] == result["numbers"]["SAM"] == 0
    assert any("identical" in line for line in said)


def test_images_of_one_size_without_a_georeference_lie_on_each_other(tmp_path):
    for grids in ((Affine.identity(), GRID), (GRID, Affine.identity()), (Affine.identity(),) * 2):
        result, _ = compared(tmp_path, grid=grids[0], fused_grid=grids[1])
        assert_figures(result["numbers"], quality(Z, Z_HAT, 4))


NOWHERE, CUT = Affine.identity(), {"Z_hat": Z_HAT[:, :38]}


@pytest.mark.parametrize("options, words", [
    ({"fused_grid": GRID * Affine.translation(0.4, 0)}, "do not lie on each other"),
    ({"crs": "EPSG:32632"}, "do not lie on each other"), ({"fused_grid": GRID * Affine.scale(2)}, "do not lie on each"),
    ({"fused_grid": GRID * Affine.translation(90, 0)}, "do not overlap"),
    ({"grid": NOWHERE, "fused_grid": NOWHERE, **CUT}, "sizes differ: .* 50 x 38 .* 50 x 40.* of both"),
    ({"grid": NOWHERE, **CUT}, "sizes differ.* of the reference"),
    ({"fused_grid": NOWHERE, **CUT}, "sizes differ.* of the fused image"),
    ({"Z": np.where(np.arange(50) < 25, Z, NODATA), "Z_hat": np.where(np.arange(50) < 25, NODATA, Z_HAT)},
     "No pixel has a value in both"),
    ({"x": None, "Z": Z[:20]}, "cannot be told"), ({"x_hat": X + 30}, "No band")])
def test_what_cannot_be_compared_is_refused(options, words, tmp_path):
    with pytest.raises(UserError, match=words):
        compared(tmp_path, **options)
