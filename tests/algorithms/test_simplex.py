"""Extreme pixels, reduced coordinates and volumes."""

import numpy as np
import pytest
from extraction import cut, planted

from subpixel.algorithms.endmembers.simplex import extremes, farthest, largest_run, reduction
from subpixel.algorithms.pixels import moments


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_extremes_are_those_of_a_plain_search(dtype):
    rng = np.random.default_rng(0)
    X, F = rng.standard_normal((4, 5000)).astype(np.float32), rng.standard_normal((600, 4)).astype(dtype)
    low, high = extremes(cut(X, 700), F)
    S = F @ X.astype(dtype)
    assert np.array_equal(low.indices, S.argmin(axis=1)) and np.array_equal(high.indices, S.argmax(axis=1))
    np.testing.assert_allclose(low.values, S.min(axis=1), rtol=1e-5)
    assert np.array_equal(high.vertices, X[:, high.indices]) and np.array_equal(low.vertices, X[:, low.indices])


def test_of_equal_pixels_the_first_counts():
    X = np.tile(np.array([[1.0, -1.0, 0.5]]), 4000)
    low, high = extremes(cut(X, 1000), np.ones((1, 1)))
    assert (low.indices, high.indices) == (1, 0)
    assert farthest(cut(X, 1000), np.ones((1, 1))).indices == 0
    assert farthest(cut(-X, 1000), np.ones((1, 1))).indices == 0


def test_reduced_coordinates_are_white_and_lead_back():
    Y = planted(4, seed=0)[0]
    axes = reduction(moments(Y), 4)
    X = axes.apply(Y)
    np.testing.assert_allclose(X @ X.T / Y.shape[1], np.eye(4), atol=1e-8)
    np.testing.assert_allclose(axes.restore(X), Y, atol=1e-10)
    noisy = Y + 0.01 * np.random.default_rng(1).standard_normal(Y.shape)
    assert np.linalg.norm(axes.denoise(noisy) - Y) < 0.5 * np.linalg.norm(noisy - Y)


def test_the_largest_simplex_is_kept_and_a_flat_one_never():
    flat = np.array([[0.0, 1, 2], [0, 1, 2], [1, 1, 1]])
    small = np.array([[0.0, 1, 0], [0, 0, 1], [1, 1, 1]])
    assert largest_run(np.stack([flat, small, 3 * small, small])) == 2
