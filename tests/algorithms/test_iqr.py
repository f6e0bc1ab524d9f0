"""Incremental QR: the same as Algorithm A1 pixel by pixel, however the pixels come."""

import numpy as np
import pytest

from subpixel.algorithms.pixels import moments
from subpixel.algorithms.prepare.noise import regression_noise
from subpixel.algorithms.rank.iqr import BATCH, iqr


def algorithm_A1(Y, tol):
    """CUR-HU, Algorithm A1, to the letter: k, Q, R."""
    k = 2
    Q, R = np.linalg.qr(Y[:, :k])
    N = list(np.sum(R ** 2, axis=1))
    for t in range(k, Y.shape[1]):
        y = Y[:, t]
        r = Q.T @ y
        f = y - Q @ r
        c = Q.T @ f
        f = f - Q @ c
        r = r + c
        rho = np.linalg.norm(f)
        Q = np.column_stack([Q, f / rho])
        R = np.block([[R, r[:, None]], [np.zeros((1, t)), rho]])
        N = [N[i] + r[i] ** 2 for i in range(k)] + [rho ** 2]
        norm, i_min = sum(N), int(np.argmin(N))
        if N[i_min] < tol ** 2 * (norm - N[i_min]):
            if i_min < k:
                R[i_min], Q[:, i_min], N[i_min] = R[k], Q[:, k], N[k]
            Q, R, N = Q[:, :k], R[:k], N[:k]
        else:
            k += 1
    return k, Q, R


def scene(seed, L=30, P=6, N=2500, sigma=0.02):
    rng = np.random.default_rng(seed)
    X = rng.uniform(0.0, 1.0, (L, P)) @ (rng.dirichlet(np.full(P, 0.3), N).T * rng.uniform(0.2, 2.0, N))
    return X + sigma * rng.standard_normal((L, N))


def growing(seed):
    """Later pixels outshine the first, in other bands: rows are replaced, not only added."""
    Y = scene(seed, sigma=0.05)
    Y[15:, :1000] = 0.0
    Y[:15, 1000:] *= 0.01
    return Y * np.linspace(0.01, 1.0, Y.shape[1]) ** 2


@pytest.mark.parametrize("make", [scene, growing])
@pytest.mark.parametrize("tol", [2e-3, 1e-2, 5e-2])
def test_equals_algorithm_A1_pixel_by_pixel(make, tol):
    Y = make(seed=0)
    k, Q, R = algorithm_A1(Y, tol)
    found = iqr(Y, tol, keep_R=True)
    assert found.rank == k
    assert found.deletions == Y.shape[1] - k
    signs = np.sign(np.sum(found.Q * Q, axis=0))
    np.testing.assert_allclose(found.Q * signs, Q, atol=1e-9)
    np.testing.assert_allclose(found.R * signs[:, None], R, atol=1e-9)


def test_rows_are_replaced_in_these_tests():
    R = algorithm_A1(growing(seed=0), 1e-2)[2]
    first = np.array([np.flatnonzero(row)[0] for row in R])
    assert (np.diff(first) < 0).any()


@pytest.mark.parametrize("cut", [1, 7, 1000, BATCH + 1])
def test_cutting_the_stream_changes_nothing_at_all(cut):
    Y = np.hstack([growing(seed=1), growing(seed=2)])
    whole = iqr(Y, 1e-2, keep_R=True)
    stream = iqr([Y[:, i:i + cut] for i in range(0, Y.shape[1], cut)], 1e-2, keep_R=True)
    assert stream.rank == whole.rank
    assert np.array_equal(stream.Q, whole.Q) and np.array_equal(stream.R, whole.R)


def test_stays_within_the_error_bound_and_orthonormal():
    Y = growing(seed=3)
    found = iqr(Y, 1e-2, keep_R=True)
    bound = 1e-2 * found.deletions * np.linalg.norm(found.R)
    assert np.linalg.norm(Y - found.Q @ found.R) <= bound
    np.testing.assert_allclose(found.Q.T @ found.Q, np.eye(found.rank), atol=1e-12)


@pytest.mark.parametrize("P", [1, 2, 5])
def test_exact_rank_is_found_and_factored(P):
    Y = scene(seed=4, P=P, N=400, sigma=0.0)
    found = iqr(Y, 1e-6, keep_R=True)
    assert found.rank == P
    np.testing.assert_allclose(found.Q @ found.R, Y, atol=1e-9)


def test_zero_and_repeated_pixels_add_nothing():
    Y = scene(seed=5, P=3, N=50, sigma=0.0)
    odd = np.hstack([np.zeros((30, 3)), Y[:, [0, 0, 0]], np.zeros((30, 1)), Y, Y, np.zeros((30, 2))])
    found = iqr(odd, 1e-6, keep_R=True)
    assert found.rank == 3
    np.testing.assert_allclose(found.Q @ found.R, odd, atol=1e-10)


def test_more_dimensions_than_bands_is_impossible():
    Y = np.random.default_rng(6).standard_normal((5, 100))
    assert iqr(Y, 1e-9).rank == 5


@pytest.mark.parametrize("tol", [0, -1, 1, np.nan])
def test_a_tolerance_outside_its_range_is_a_sentence(tol):
    with pytest.raises(ValueError, match="between 0 and 1"):
        iqr(np.ones((2, 3)), tol)


def test_no_pixels_is_a_sentence():
    with pytest.raises(ValueError, match="no pixels"):
        iqr([], 1e-3)


def test_samson_depends_on_the_scan_order(scenes):
    """Far above the three materials, and another number column by column (66 and 82 without noise)."""
    cube = np.fromfile(scenes / "samson" / "samson_1.img", dtype="<i2").reshape(156, 95, 95)
    rows, columns = cube.reshape(156, -1), cube.transpose(0, 2, 1).reshape(156, -1)
    assert iqr(rows, 5e-3).rank == 30
    assert iqr(columns, 5e-3).rank == 23
    noise = regression_noise(moments(rows))
    assert iqr(noise.denoise(rows), 1e-3).rank == 66
    assert iqr(noise.denoise(columns), 1e-3).rank == 82
