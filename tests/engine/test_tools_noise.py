"""The noise tool finds noise of known strength, whatever the mask and the blocks, and takes it away."""

import numpy as np
import pytest
import rasterio
from toolruns import raster, read, run_tool

from subpixel.engine import raster as engine_raster
from subpixel.engine.sentences import UserError
from subpixel.engine.wavelengths import natural_colours, read_wavelengths

L, ROWS, COLS, SIGMA = 20, 60, 70, 0.02
WAVELENGTHS = np.linspace(420, 1000, L)


@pytest.fixture(scope="module")
def clean():
    """Three smooth materials in smooth fractions: neighbours differ little."""
    x, (row, col) = np.linspace(0, 1, L)[:, None], np.mgrid[:ROWS, :COLS]
    M = np.hstack([0.2 + x, 1.2 - x ** 2, 0.6 + 0.3 * np.sin(5 * x)])
    A = np.stack([1 + np.sin(row / 30), 1 + np.cos(col / 40), np.full((ROWS, COLS), 1.0)])
    return np.einsum("lp,prc->lrc", M, A / A.sum(axis=0))


@pytest.fixture
def scene(clean, tmp_path):
    noisy = clean + np.random.default_rng(1).normal(0, SIGMA, clean.shape)
    noisy[:, :6, :6] = -9999
    return raster(tmp_path / "scene.tif", noisy, wavelengths=WAVELENGTHS, fwhm=np.full(L, 9.5))


@pytest.mark.parametrize("method", ["regression", "shift"])
def test_the_median_ratio_is_that_of_the_noise_put_in(method, scene, clean):
    result, _ = run_tool("noise", {"INPUT": scene, "METHOD": method})
    truth = np.median(10 * np.log10(np.mean(clean.reshape(L, -1) ** 2, axis=1) / SIGMA ** 2))
    assert result["numbers"]["SNR"] == pytest.approx(truth, abs=0.5)


def test_the_denoised_scene_is_nearer_to_the_truth_and_keeps_mask_and_light(scene, clean, tmp_path):
    result, _ = run_tool("noise", {"INPUT": scene}, DENOISED=tmp_path / "d.tif")
    noisy, denoised = read(scene), read(tmp_path / "d.tif")
    masked = noisy[0] == -9999
    assert (denoised[:, masked] == -9999).all() and not (denoised[:, ~masked] == -9999).any()
    before, after = (np.sqrt(np.mean((cube - clean)[:, ~masked] ** 2)) for cube in (noisy, denoised))
    assert after < 0.5 * before
    with rasterio.open(tmp_path / "d.tif") as file:
        centres, widths = read_wavelengths(file)
    np.testing.assert_allclose(centres, WAVELENGTHS)
    np.testing.assert_allclose(widths, 9.5)
    assert result["rasters"]["DENOISED"]["rgb"] == [9, 5, 3]


@pytest.mark.parametrize("method", ["regression", "shift"])
def test_blocks_change_no_digit_worth_having(method, scene, monkeypatch):
    whole, _ = run_tool("noise", {"INPUT": scene, "METHOD": method})
    monkeypatch.setattr(engine_raster, "BLOCK_VALUES", 7 * L * COLS)
    blocks, _ = run_tool("noise", {"INPUT": scene, "METHOD": method})
    assert blocks["numbers"]["SNR"] == pytest.approx(whole["numbers"]["SNR"], abs=1e-6)


def test_differences_denoise_nothing_and_say_so(scene, tmp_path):
    with pytest.raises(UserError, match="cannot remove it. Choose regression"):
        run_tool("noise", {"INPUT": scene, "METHOD": "shift"}, DENOISED=tmp_path / "d.tif")
    assert not (tmp_path / "d.tif").exists()


def test_the_report_shows_both_curves_against_wavelength(scene, tmp_path):
    run_tool("noise", {"INPUT": scene}, REPORT=tmp_path / "r.html")
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "Wavelength (nm)" in page and "SNR (dB)" in page and "Standard deviation (input units)" in page


@pytest.mark.parametrize("count, wavelengths, expected", [
    (3, [470, 550, 660], [3, 2, 1]), (3, [660, 550, 470], [1, 2, 3]), (5, None, [4, 3, 2]),
    (5, [1000, 1200, 1400, 1600, 1800], [4, 3, 2]), (1, None, [1, 1, 1])])
def test_natural_colours_are_bands_near_red_green_and_blue(count, wavelengths, expected):
    assert natural_colours(count, wavelengths) == expected
