"""Noise estimates: what they promise on scenes whose noise is known."""

import numpy as np
import pytest

from subpixel.algorithms.pixels import moments
from subpixel.algorithms.prepare.noise import regression_noise, shift_difference_noise, shift_differences, snr


def mixture(L, P, N, rng):
    return rng.uniform(0.1, 1.0, (L, P)) @ rng.dirichlet(np.ones(P), N).T


def test_closed_form_equals_a_regression_of_every_band_on_the_others():
    rng = np.random.default_rng(0)
    Y = mixture(12, 4, 300, rng) + 0.01 * rng.standard_normal((12, 300))
    noise = regression_noise(moments(Y))
    W = np.empty_like(Y)
    for i in range(12):
        others = np.delete(Y, i, axis=0)
        W[i] = Y[i] - np.linalg.lstsq(others.T, Y[i], rcond=None)[0] @ others
    np.testing.assert_allclose(noise.B @ Y, W, atol=1e-9)
    np.testing.assert_allclose(noise.denoise(Y), Y - W, atol=1e-9)
    np.testing.assert_allclose(noise.variances, np.mean(W ** 2, axis=1), rtol=1e-6)


def test_white_noise_variance_is_found_within_the_regressions_known_bias():
    rng = np.random.default_rng(1)
    L, P, N, sigma = 100, 10, 6000, 0.01
    X = mixture(L, P, N, rng)
    projector = np.linalg.svd(X, full_matrices=False)[0][:, :P]
    h = np.sum(projector ** 2, axis=1)
    variances = regression_noise(moments(X + sigma * rng.standard_normal((L, N)))).variances
    expected = (1 - (L - 1) / N) / (1 - h)
    assert np.mean(variances / sigma ** 2 / expected) == pytest.approx(1, abs=0.02)


def test_a_scene_without_noise_has_none():
    Y = mixture(50, 5, 1000, np.random.default_rng(2))
    noise = regression_noise(moments(Y))
    assert np.abs(noise.denoise(Y) - Y).max() < 1e-7
    assert noise.variances.max() < 1e-14


def test_duplicate_and_empty_bands_have_no_noise():
    rng = np.random.default_rng(3)
    Y = mixture(20, 3, 500, rng) + 0.01 * rng.standard_normal((20, 500))
    Y[7], Y[11] = Y[3], 0.0
    variances = regression_noise(moments(Y)).variances
    assert np.isfinite(variances).all()
    assert variances[[3, 7, 11]].max() < 1e-9 < 1e-5 < np.delete(variances, [3, 7, 11]).min()


@pytest.mark.parametrize("scale", [1e-4, 1e4])
def test_scaling_the_scene_scales_the_noise(scale):
    rng = np.random.default_rng(4)
    Y = mixture(20, 3, 500, rng) + 0.01 * rng.standard_normal((20, 500))
    np.testing.assert_allclose(regression_noise(moments(scale * Y)).variances,
                               scale ** 2 * regression_noise(moments(Y)).variances, rtol=1e-8)


@pytest.mark.parametrize("Y, sentence", [
    (np.ones((1, 10)), "at least 2 bands; there are 1"),
    (np.ones((10, 10)), "more pixels than bands; there are 10 pixels and 10 bands"),
    (np.zeros((3, 10)), "All pixels are zero"),
    (np.full((3, 10), np.nan), "not finite"),
])
def test_what_cannot_be_regressed_is_a_sentence(Y, sentence):
    with pytest.raises(ValueError, match=sentence):
        regression_noise(moments(Y))


def test_shift_difference_finds_the_covariance_of_noise_on_a_flat_scene():
    rng = np.random.default_rng(5)
    K = np.array([[4.0, 1.0], [1.0, 2.0]])
    noise = np.linalg.cholesky(K) @ rng.standard_normal((2, 200 * 200))
    cube = noise.reshape(2, 200, 200) + np.arange(200)[None, :, None]
    np.testing.assert_allclose(shift_difference_noise(shift_differences(cube)), K, atol=0.1)


def test_differences_stay_inside_a_row_and_off_masked_pixels():
    cube = np.array([[[1.0, 2.0, 4.0], [8.0, 16.0, 32.0]]])
    valid = np.array([[True, True, True], [True, False, True]])
    assert shift_differences(cube).tolist() == [[1, 2, 8, 16]]
    assert shift_differences(cube, valid).tolist() == [[1, 2]]


def test_shift_differences_of_unsigned_integers_do_not_wrap():
    assert shift_differences(np.array([[[5, 3]]], dtype=np.uint16)).tolist() == [[-2]]


def test_shift_difference_streams_and_says_when_there_is_nothing():
    cube = np.random.default_rng(6).standard_normal((3, 10, 8))
    rows = [shift_differences(cube[:, i:i + 1]) for i in range(10)]
    np.testing.assert_allclose(shift_difference_noise(rows), shift_difference_noise(shift_differences(cube)))
    with pytest.raises(ValueError, match="No two valid pixels"):
        shift_difference_noise(shift_differences(cube, np.zeros((10, 8), bool)))


def test_snr_is_that_of_the_simulation():
    rng = np.random.default_rng(7)
    Y = np.vstack([np.full(40000, 10.0), np.full(40000, 1.0)]) + rng.standard_normal((2, 40000)) * [[1.0], [0.01]]
    np.testing.assert_allclose(snr(moments(Y), np.array([1.0, 1e-4])), [20, 40], atol=0.1)
    assert snr(moments(Y), np.array([0.0, 4.0])).tolist() == [np.inf, -np.inf]
