"""Fractions in the orthonormal softmax basis: there and back, and how far off they may be."""

import numpy as np
import pytest

from subpixel.algorithms.state_estimation import simplex
from subpixel.algorithms.state_estimation.simplex import (basis, from_basis, softmax, spread,
                                                          spread_of_independent, spread_of_normal, to_basis)

A = np.random.default_rng(0).dirichlet([0.3, 1.0, 2.0, 0.5], size=(6, 50))
A[0, 0] = [1, 0, 0, 0]


def test_the_basis_is_orthonormal_and_sums_to_zero():
    B = basis(5)
    np.testing.assert_allclose(B.T @ B, np.eye(4), atol=1e-12)
    np.testing.assert_allclose(B.sum(axis=0), 0, atol=1e-12)


@pytest.mark.parametrize("floor", [0.01, 1e-4])
def test_there_and_back_is_the_same(floor):
    np.testing.assert_allclose(from_basis(to_basis(A, floor), floor), A, atol=1e-12)


def test_coordinates_are_logarithms_less_their_mean():
    logs = np.log(A + 0.01)
    np.testing.assert_allclose(to_basis(A) @ basis(4).T, logs - logs.mean(axis=-1, keepdims=True), atol=1e-12)


def test_whatever_the_coordinates_fractions_are_fractions():
    S = from_basis(np.random.default_rng(1).normal(0, 40, size=(300, 3)))
    assert S.min() >= 0 and np.isfinite(S).all()
    np.testing.assert_allclose(S.sum(axis=-1), 1)


def test_negative_fractions_count_as_none_and_sums_as_one():
    np.testing.assert_allclose(from_basis(to_basis(np.array([-0.2, 0.5, 1.5]))), [0, 0.25, 0.75], atol=1e-12)


def test_what_is_missing_stays_so():
    assert np.isnan(to_basis(np.array([np.nan, 0.5, 0.5]))).all()
    assert np.isnan(to_basis(np.array([0.0, -0.1, 0.0]))).all()


@pytest.mark.parametrize("fraction, tolerance", [(0.25, 0.03), (0.8, 0.05)])
def test_spread_is_that_of_samples(fraction, tolerance):
    rng = np.random.default_rng(2)
    mean = to_basis(np.array([fraction, (1 - fraction) / 2, (1 - fraction) / 2]))
    covariance = 0.02 * np.array([[1.0, 0.4], [0.4, 0.6]])
    samples = from_basis(rng.multivariate_normal(mean, covariance, size=200_000))
    np.testing.assert_allclose(spread(mean, covariance), samples.std(axis=0), rtol=tolerance)


def test_spread_is_that_of_the_jacobian_for_shared_and_own_covariances():
    rng = np.random.default_rng(3)
    c, root = rng.normal(size=(7, 3)), rng.normal(size=(7, 3, 3))
    V = root @ np.swapaxes(root, 1, 2)
    expected = []
    for point, own in zip(c, V):
        S = softmax(point)
        J = 1.04 * (np.diag(S) - np.outer(S, S)) @ basis(4)
        expected.append(np.sqrt(np.diag(J @ own @ J.T)))
    np.testing.assert_allclose(spread(c, V), expected)
    np.testing.assert_allclose(spread(c, V[2])[2], expected[2])


def test_independent_errors_are_a_diagonal_covariance():
    rng = np.random.default_rng(4)
    c, variance = rng.normal(size=(7, 3)), rng.uniform(0.1, 1, size=(7, 3))
    np.testing.assert_allclose(spread_of_independent(c, variance), spread(c, variance[..., None] * np.eye(3)))


@pytest.mark.parametrize("mean, sd", [((0.5, -0.4), (0.8, 0.6)), ((0.5, -0.4), (2.0, 0.1)), ((2.0, 1.0), (1.5, 1.5)),
                                      ((40.0, 0.0), (60.0, 60.0)), ((0.0, 0.0), (500.0, 500.0))])
def test_spread_of_wide_normal_errors_is_that_of_samples(mean, sd):
    samples = softmax(np.random.default_rng(5).normal(mean, sd, size=(200_000, 2)))
    found = spread_of_normal(np.array(mean), np.square(sd))
    np.testing.assert_allclose(found, samples.std(axis=0), rtol=0.25, atol=0.05)
    assert found.max() <= 0.5


def test_spread_of_narrow_normal_errors_is_the_first_order_and_goes_over_into_the_wide():
    rng = np.random.default_rng(6)
    c, variance = rng.normal(size=(40, 3)), rng.uniform(0, 0.25, size=(40, 3))
    np.testing.assert_array_equal(spread_of_normal(c, variance), spread_of_independent(c, variance))
    at, above = (spread_of_normal(c, np.full(3, sd**2)) for sd in (0.5, 0.5001))
    np.testing.assert_allclose(at, above, rtol=0.1, atol=0.01)
    at, above = (spread_of_normal(c, np.full(3, sd**2), 0.3) for sd in (0.5, 0.5001))   # (1 + P floor) is 2.2
    np.testing.assert_allclose(at, above, rtol=0.1, atol=0.01)


def test_spread_of_wide_errors_does_not_depend_on_the_parts(monkeypatch):
    c, variance = np.random.default_rng(7).normal(size=(2, 5, 20, 2))
    whole = spread_of_normal(c, np.square(2 * variance))
    monkeypatch.setattr(simplex, "CHUNK", 7)
    np.testing.assert_allclose(spread_of_normal(c, np.square(2 * variance)), whole, rtol=1e-5)


def test_one_fraction_or_no_floor_is_refused():
    with pytest.raises(ValueError, match="one fraction per pixel"):
        to_basis(np.ones((5, 1)))
    with pytest.raises(ValueError, match="floor of the fractions is 0"):
        to_basis(A, 0.0)
