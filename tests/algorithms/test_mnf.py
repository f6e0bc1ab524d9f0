"""The minimum noise fraction: METHODS' checks, and that nothing is lost on the way there and back."""

import numpy as np
import pytest

from subpixel.algorithms.pixels import moments
from subpixel.algorithms.prepare.mnf import mnf
from subpixel.algorithms.prepare.noise import regression_noise, shift_difference_noise, shift_differences

L, ROWS, COLS, SIGMA = 30, 70, 80, 0.02


@pytest.fixture(scope="module")
def clean():
    """Three smooth materials in smooth fractions (L, ROWS, COLS)."""
    x, (row, col) = np.linspace(0, 1, L)[:, None], np.mgrid[:ROWS, :COLS]
    M = np.hstack([0.2 + x, 1.2 - x ** 2, 0.6 + 0.3 * np.sin(5 * x)])
    A = np.stack([1 + np.sin(row / 30), 1 + np.cos(col / 40), np.full((ROWS, COLS), 1.0)])
    return np.einsum("lp,prc->lrc", M, A / A.sum(axis=0))


@pytest.fixture(scope="module")
def cube(clean):
    return clean + np.random.default_rng(1).normal(0, SIGMA, clean.shape)


def noise_covariance(kind, cube):
    if kind == "regression":
        return np.diag(regression_noise(moments(cube.reshape(L, -1))).variances)
    return shift_difference_noise(shift_differences(cube))


@pytest.mark.parametrize("kind", ["shift", "regression"])
def test_components_have_noise_of_variance_one_and_the_inverse_inverts(kind, cube):
    S_N = noise_covariance(kind, cube)
    found = mnf(moments(cube.reshape(L, -1)), S_N)
    np.testing.assert_allclose(found.V.T @ S_N @ found.V, np.eye(L), atol=1e-10)
    np.testing.assert_allclose(found.U @ found.V.T, np.eye(L), atol=1e-9)
    assert found.loading == 0


def test_white_noise_gives_the_vectors_of_principal_components(cube):
    found = moments(cube.reshape(L, -1))
    transform = mnf(found, SIGMA ** 2 * np.eye(L))
    axes = np.linalg.eigh(found.K)[1][:, ::-1][:, :2]
    cosines = np.abs(np.sum(axes * transform.U[:, :2], axis=0)) / np.linalg.norm(transform.U[:, :2], axis=0)
    np.testing.assert_allclose(cosines, 1, atol=1e-9)


def test_white_noise_leaves_one_to_the_last_and_signal_to_two_components(cube):
    """Three materials that sum to one vary in two directions; one less what N pixels leave open (Marchenko-Pastur)."""
    found = moments(cube.reshape(L, -1))
    least = (1 - np.sqrt(L / (ROWS * COLS))) ** 2
    assert mnf(found, SIGMA ** 2 * np.eye(L)).mu[-1] == pytest.approx(least, abs=0.03)
    transform = mnf(found, noise_covariance("shift", cube))
    assert transform.mu[-1] == pytest.approx(least, abs=0.15)
    assert (transform.snr > 1).sum() == 2


def test_components_come_in_the_order_of_their_ratio_not_of_their_variance():
    """A loud band of pure noise comes after a quiet one that holds signal."""
    rng = np.random.default_rng(2)
    signal = np.sin(np.arange(4000) / 300)
    Y = np.stack([100 * rng.normal(size=4000), signal + 0.1 * rng.normal(size=4000), rng.normal(size=4000)])
    transform = mnf(moments(Y), np.diag([100.0 ** 2, 0.01, 1.0]))
    assert (np.diff(transform.mu) <= 0).all()
    assert np.abs(transform.V[:, 0]).argmax() == 1


@pytest.mark.parametrize("kind", ["shift", "regression"])
def test_all_components_give_the_pixels_back_and_two_remove_noise(kind, cube, clean):
    Y = cube.reshape(L, -1)
    transform = mnf(moments(Y), noise_covariance(kind, cube))
    np.testing.assert_allclose(transform.inverse(transform.forward(Y)), Y, atol=1e-9)
    error = np.std(transform.inverse(transform.forward(Y, 2)) - clean.reshape(L, -1))
    assert error < 0.4 * SIGMA


def test_the_signs_do_not_depend_on_the_order_of_the_pixels(cube):
    Y = cube.reshape(L, -1)
    S_N = noise_covariance("shift", cube)
    shuffled = Y[:, np.random.default_rng(3).permutation(Y.shape[1])]
    first, second = mnf(moments(Y), S_N), mnf(moments(shuffled), S_N)
    np.testing.assert_allclose(first.U[:, :2], second.U[:, :2], rtol=1e-6, atol=1e-9)
    assert (first.U[np.abs(first.U).argmax(axis=0), np.arange(L)] > 0).all()


def test_scaling_the_scene_changes_no_ratio(cube):
    Y, S_N = cube.reshape(L, -1), noise_covariance("shift", cube)
    np.testing.assert_allclose(mnf(moments(1e4 * Y), 1e8 * S_N).mu, mnf(moments(Y), S_N).mu, rtol=1e-7)


def test_differences_cross_neither_nodata_nor_the_ends_of_rows():
    """Rows at levels far apart and a far value in a masked pixel: both would be taken for enormous noise."""
    cube = np.random.default_rng(4).normal(0, 1, (2, 40, 50)) + 1000.0 * np.arange(40)[None, :, None]
    cube[:, 10, 10] = 1e6
    valid = np.ones((40, 50), bool)
    valid[10, 10] = False
    np.testing.assert_allclose(shift_difference_noise(shift_differences(cube, valid)), np.eye(2), atol=0.1)


def test_a_repeated_band_is_loaded_and_still_inverted(cube):
    doubled = np.concatenate([cube, cube[:1]])
    Y = doubled.reshape(L + 1, -1)
    transform = mnf(moments(Y), shift_difference_noise(shift_differences(doubled)))
    assert transform.loading > 0
    np.testing.assert_allclose(transform.inverse(transform.forward(Y)), Y, atol=1e-5)


def test_bad_noise_is_named(cube):
    found = moments(cube.reshape(L, -1))
    with pytest.raises(ValueError, match="is 2 x 2 for 30 bands"):
        mnf(found, np.eye(2))
    with pytest.raises(ValueError, match="No noise was found"):
        mnf(found, np.zeros((L, L)))
    with pytest.raises(ValueError, match="not finite"):
        mnf(found, np.full((L, L), np.nan))
