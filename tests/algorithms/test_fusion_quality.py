"""Quality figures against their definitions written out pixel by pixel, and on what is known of them."""

import tracemalloc

import numpy as np
import pytest
from fusion_scenes import natural, response

from subpixel.algorithms.fusion.degradation import Gaussian
from subpixel.algorithms.fusion.quality import angles, compare_band, quality
from subpixel.algorithms.fusion.waldpair import noisy, sampled, untouched, wald_pair

RNG = np.random.default_rng(4)
Z = natural(K=5, I=20, J=26)[0]
Z_HAT = Z + 0.1 * RNG.standard_normal(Z.shape) * Z
VALID = RNG.random(Z.shape[1:]) > 0.15


def slow_windows(z, z_hat, weights, valid):
    """Weighted moments of every window, one after the other."""
    n = len(weights)
    for row in range(z.shape[0] - n + 1):
        for col in range(z.shape[1] - n + 1):
            part = slice(row, row + n), slice(col, col + n)
            w = np.outer(weights, weights) * valid[part]
            if w.sum() <= 0.5 * np.outer(weights, weights).sum():
                continue
            w = w / w.sum()
            x, y = z[part], z_hat[part]
            mx, my = np.sum(w * x), np.sum(w * y)
            yield mx, my, np.sum(w * (x - mx) ** 2), np.sum(w * (y - my) ** 2), np.sum(w * (x - mx) * (y - my))


def slow_ssim(z, z_hat, valid):
    g = np.exp(-0.5 * ((np.arange(11) - 5) / 1.5) ** 2)
    span = z[valid].max() - z[valid].min()
    c1, c2 = (0.01 * span) ** 2, (0.03 * span) ** 2
    return np.mean([(2 * mx * my + c1) * (2 * vxy + c2) / ((mx ** 2 + my ** 2 + c1) * (vx + vy + c2))
                    for mx, my, vx, vy, vxy in slow_windows(z, z_hat, g, valid)])


def slow_uiqi(z, z_hat, valid, side):
    return np.mean([4 * vxy * mx * my / ((vx + vy) * (mx ** 2 + my ** 2))
                    for mx, my, vx, vy, vxy in slow_windows(z, z_hat, np.ones(side), valid)])


@pytest.mark.parametrize("valid", [np.ones_like(VALID), VALID], ids=["all", "masked"])
def test_windows_are_those_of_the_definitions(valid):
    for side in (8, 7):
        band = compare_band(Z[1], np.where(valid, Z_HAT[1], 1e6), valid, window=side)
        assert band.uiqi == pytest.approx(slow_uiqi(Z[1], Z_HAT[1], valid, side), abs=1e-10)
        assert band.ssim == pytest.approx(slow_ssim(Z[1], Z_HAT[1], valid), abs=1e-10)


@pytest.mark.parametrize("valid", [None, VALID], ids=["all", "masked"])
def test_figures_are_those_of_the_definitions(valid):
    found = quality(Z, Z_HAT, 4, valid)
    use = np.ones_like(VALID) if valid is None else valid
    X, Y = Z[:, use], Z_HAT[:, use]
    mse = np.mean((X - Y) ** 2, axis=1)
    assert found.rsnr == pytest.approx(10 * np.log10(np.sum(X ** 2) / np.sum((X - Y) ** 2)))
    assert found.rmse == pytest.approx(np.sqrt(np.mean((X - Y) ** 2)))
    assert found.cc == pytest.approx(np.mean([np.corrcoef(x, y)[0, 1] for x, y in zip(X, Y)]))
    cosine = np.sum(X * Y, axis=0) / np.linalg.norm(X, axis=0) / np.linalg.norm(Y, axis=0)
    assert found.sam == pytest.approx(np.degrees(np.arccos(cosine)).mean())
    assert found.ergas == pytest.approx(25 * np.sqrt(np.mean(mse / X.mean(axis=1) ** 2)))
    assert found.ergas_by("estimate") == pytest.approx(25 * np.sqrt(np.mean(mse / Y.mean(axis=1) ** 2)))
    assert found.psnr == pytest.approx(np.mean(10 * np.log10(X.max(axis=1) ** 2 / mse)))
    assert found.ssim == pytest.approx(np.mean([band.ssim for band in found.bands]))


def test_identical_images_are_perfect():
    for valid in (None, VALID):
        found = quality(Z, Z, 4, valid)
        assert found.ergas == 0 and found.sam == 0 and found.rmse == 0
        assert np.isposinf(found.rsnr) and np.isposinf(found.psnr)
        assert [found.cc, found.ssim, found.uiqi] == pytest.approx([1, 1, 1], abs=1e-12)


def test_a_gain_changes_levels_and_no_angles():
    found = quality(Z, 1.1 * Z, 4)
    assert found.sam == pytest.approx(0, abs=1e-7) and found.cc == pytest.approx(1)
    assert found.rsnr == pytest.approx(20) and found.uiqi < 1 and found.ssim < 1


def test_ergas_halves_when_the_ratio_doubles():
    assert quality(Z, Z_HAT, 8).ergas == pytest.approx(quality(Z, Z_HAT, 4).ergas / 2)
    with pytest.raises(ValueError, match="mean is"):
        quality(Z, Z_HAT, 4).ergas_by("median")


def test_worse_images_have_worse_figures():
    figures = [quality(Z, Z + noise * RNG.standard_normal(Z.shape), 4) for noise in (0.001, 0.01, 0.1)]
    for name, better in (("rsnr", -1), ("cc", -1), ("psnr", -1), ("ssim", -1), ("uiqi", -1), ("sam", 1), ("ergas", 1)):
        values = [getattr(found, name) for found in figures]
        assert np.all(np.diff(values) * better > 0), name


def test_flat_windows_count_by_their_means():
    flat = np.full((12, 12), 0.3)
    assert compare_band(flat, flat).uiqi == pytest.approx(1) and compare_band(flat, flat).ssim == 1
    assert compare_band(flat, 2 * flat).uiqi == pytest.approx(2 * 2 / (1 + 4))
    assert np.isnan(compare_band(flat, flat).cc)
    assert compare_band(flat, flat + 0.01 * RNG.standard_normal(flat.shape)).uiqi == pytest.approx(0)
    assert compare_band(0 * flat, 0 * flat).uiqi == 1


def test_a_bright_band_keeps_its_digits():
    bright = 1e6 + Z[0]
    assert compare_band(bright, bright + 0.1 * (Z[0] - Z[0].mean())).ssim == pytest.approx(
        slow_ssim(Z[0] + 1e6, bright + 0.1 * (Z[0] - Z[0].mean()), np.ones_like(VALID)), abs=1e-6)


def test_zero_spectra_have_no_angle_and_small_images_small_windows():
    Y = np.array([[1.0, 0, 1], [0, 0, 1]])
    np.testing.assert_allclose(angles(Y, np.array([[0.0, 1, 1], [1, 1, 1]])), [90, np.nan, 0], atol=1e-12)
    assert np.isfinite(quality(Z[:, :5, :6], Z_HAT[:, :5, :6], 4).ssim)
    with pytest.raises(ValueError, match="shape"):
        quality(Z, Z[:, 1:], 4)
    with pytest.raises(ValueError, match="no valid pixel"):
        quality(Z, Z, 4, np.zeros_like(VALID))


def test_angles_of_some_pixels_in_parts(monkeypatch):
    monkeypatch.setattr("subpixel.algorithms.fusion.quality.PIXELS", 50)
    X, Y, pixels = Z.reshape(5, -1), Z_HAT.reshape(5, -1), np.flatnonzero(VALID)
    np.testing.assert_array_equal(angles(X, Y, pixels), angles(X, Y)[pixels])


def test_masks_copy_no_scene(monkeypatch):
    big, rows = np.ones((40, 300, 300), np.float32), np.ones((300, 300), bool)
    rows[0] = False
    monkeypatch.setattr("subpixel.algorithms.fusion.quality.PIXELS", 4096)
    tracemalloc.start()
    quality(big, big, 4, rows)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < big.nbytes


def test_a_pair_is_what_both_sensors_see():
    pair = wald_pair(Z, response(3, 5), 4, Gaussian(1.7, 9))
    assert pair.hsi.shape == (5, 5, 6) and pair.msi.shape == (3, 20, 26)
    np.testing.assert_allclose(pair.hsi, pair.degrade(Z), atol=1e-12)
    np.testing.assert_allclose(pair.msi, np.tensordot(pair.P3, Z, 1), atol=1e-12)
    changed = wald_pair(Z, response(3, 5), 4, Gaussian(1.7, 9), changed=2 * Z)
    np.testing.assert_allclose(changed.msi, 2 * pair.msi)
    np.testing.assert_array_equal(changed.hsi, pair.hsi)


def test_the_phase_is_where_the_first_pixel_lies():
    np.testing.assert_array_equal(sampled(144, 4, 1), 1 + 4 * np.arange(36))
    np.testing.assert_array_equal(sampled(9, 4), [1.5, 5.5])
    ramp = np.broadcast_to(np.arange(40.0), (2, 32, 40))
    pair = wald_pair(ramp, response(2, 2), 4, Gaussian(0.8, 5), phase=2)
    np.testing.assert_allclose(pair.hsi[0, 0, 1:-1], 2 + 4 * np.arange(1, 9))
    for phase in (-0.1, 3.1):
        with pytest.raises(ValueError, match="between 0 and 3"):
            sampled(32, 4, phase)
    with pytest.raises(ValueError, match="less than one pixel"):
        wald_pair(Z[:, :3], response(3, 5), 4, Gaussian(1.7, 9))


def test_noise_has_the_power_asked_for_and_comes_from_the_seed():
    P3, psf = response(3, 5), Gaussian(1.7, 9)
    clean = wald_pair(Z, P3, 4, psf)
    noise = [wald_pair(Z, P3, 4, psf, snr=20, seed=seed) for seed in (1, 1, 2)]
    ratio = np.mean(clean.msi ** 2) / np.mean((noise[0].msi - clean.msi) ** 2)
    assert 10 * np.log10(ratio) == pytest.approx(20, abs=1)
    np.testing.assert_array_equal(noise[0].hsi, noise[1].hsi)
    assert np.abs(noise[0].hsi - noise[2].hsi).max() > 0
    X = np.ones((1, 300, 300))
    assert np.std(noisy(X, 40, RNG) - X) == pytest.approx(0.01, rel=0.02)


def test_an_hsi_pixel_that_sees_masked_ground_is_not_untouched():
    valid = np.ones((20, 26), bool)
    valid[9, 9] = False
    pair = wald_pair(Z, response(3, 5), 4, Gaussian(1.0, 4))
    seen = untouched(pair, valid)
    assert not seen[2, 2] and seen.sum() == seen.size - 1
    assert untouched(wald_pair(Z, response(3, 5), 4, Gaussian(2.0, 9)), valid).sum() < seen.sum()
