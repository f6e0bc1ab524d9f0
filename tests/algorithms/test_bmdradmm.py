"""Minimum dispersion: exact constraints, least squares without a weight, one point with a large one."""

import numpy as np
import pytest
from scipy.optimize import minimize

from subpixel.algorithms.abundances.active_set import minimise
from subpixel.algorithms.abundances.fcls import fcls
from subpixel.algorithms.blind.bmdradmm import bmdradmm, fractions, spectra
from subpixel.algorithms.check.metrics import match, sad

L, P, N = 30, 3, 400


@pytest.fixture(scope="module")
def scene():
    """Y, M, A without noise and with pure pixels."""
    rng = np.random.default_rng(0)
    M, A = rng.random((L, P)), np.concatenate([np.eye(P), rng.dirichlet(np.ones(P), N - P).T], axis=1)
    return M @ A, M, A


def test_constraints_hold_exactly(scene):
    found = bmdradmm(scene[0], P, np.random.default_rng(0), iterations=5)
    assert found.M.min() >= 0 and found.A.min() >= 0 and np.abs(found.A.sum(axis=0) - 1).max() < 1e-12


def test_splitting_of_the_abundances_ends_at_fully_constrained_least_squares(scene):
    M = scene[1]
    Y = np.random.default_rng(1).random((L, 60))
    V, _ = fractions(np.full((P, 60), 1 / P), np.zeros((P, 60)), M.T @ M, M.T @ Y, 0.1, 3000)
    np.testing.assert_allclose(V, fcls(Y, M).A, atol=1e-6)


def test_splitting_of_the_endmembers_ends_at_nonnegative_least_squares(scene):
    A = scene[2]
    Y = np.random.default_rng(1).standard_normal((L, N))
    U, _ = spectra(np.full((L, P), 0.5), np.zeros((L, P)), A @ A.T, Y @ A.T, 0.0, 0.1, 3000)
    np.testing.assert_allclose(U, minimise(A @ A.T, A @ Y.T, sum_to_one=False).T, atol=1e-6)


def test_splitting_with_a_weight_minimises_the_penalised_squares(scene):
    A, mu, D = scene[2], 20.0, np.eye(P) - 1 / P
    Y = np.random.default_rng(1).standard_normal((4, N))
    U, _ = spectra(np.full((4, P), 0.5), np.zeros((4, P)), A @ A.T, Y @ A.T, mu, 0.1, 5000)

    def cost(M):
        M = M.reshape(4, P)
        slope = (M @ A - Y) @ A.T + 2 * mu * M @ D
        return 0.5 * np.square(Y - M @ A).sum() + mu * np.trace(M @ D @ M.T), slope.ravel()

    best = minimize(cost, np.full(4 * P, 0.5), jac=True, bounds=[(0, None)] * (4 * P), tol=1e-14)
    np.testing.assert_allclose(U.ravel(), best.x, atol=1e-4)


def test_without_a_weight_a_scene_without_noise_is_fitted(scene):
    Y, M, A = scene
    found = bmdradmm(Y, P, np.random.default_rng(0), initial=M @ (0.8 * np.eye(P) + 0.2 / P), weight=0.0,
                     iterations=2000, tolerance=0.0)
    assert found.costs[-1] < 1e-4 * found.costs[0]
    assert np.degrees(sad(M, found.M[:, match(M, found.M)])).max() < 2


def test_multipliers_are_kept_from_one_iteration_to_the_next(scene):
    Y, begin = scene[0], scene[1] + 0.1
    found = bmdradmm(Y, P, np.random.default_rng(0), initial=begin, weight=0.0, inner=1, iterations=3, tolerance=0.0)
    X, U = Y / Y.max(), begin / Y.max()
    V = fcls(X, U).A
    Pi, Lambda = np.zeros_like(V), np.zeros_like(U)
    for _ in range(3):
        U, Lambda = spectra(U, Lambda, V @ V.T, X @ V.T, 0.0, 0.1, 1)
        V, Pi = fractions(V, Pi, U.T @ U, U.T @ X, 0.1, 1)
    np.testing.assert_allclose(found.M, U * Y.max(), rtol=1e-9)


def test_a_large_weight_draws_all_endmembers_to_one_point(scene):
    spread = [bmdradmm(scene[0], P, np.random.default_rng(0), weight=weight, iterations=300).M.std(axis=1).mean()
              for weight in (0.0, 1e-3, 1e-1, 100.0)]
    assert spread[0] > 1.02 * spread[1] and spread[1] > 2 * spread[2] and spread[3] < 1e-3 * spread[0]


def test_a_weight_means_the_same_in_every_unit(scene):
    one, other = (bmdradmm(factor * scene[0], P, np.random.default_rng(0), weight=1e-3, iterations=20)
                  for factor in (1, 1000))
    np.testing.assert_allclose(1000 * one.M, other.M, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("options, sentence", [(dict(weight=-1.0), "dispersion is -1"), (dict(rho=0.0), "rho is 0")])
def test_bad_options_get_a_sentence(options, sentence, scene):
    with pytest.raises(ValueError, match=sentence):
        bmdradmm(scene[0], P, np.random.default_rng(0), **options)
