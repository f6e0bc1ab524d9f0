"""ISTA and FISTA: their steps by hand, costs that never rise, the rate, the exact solution."""

import numpy as np
import pytest
from sparse_scenes import library, mixtures

from subpixel.algorithms.abundances.active_set import kkt_residual
from subpixel.algorithms.abundances.ista import ista
from subpixel.algorithms.abundances.sparse import duality_gap, unit
from subpixel.algorithms.abundances.sunsal import sunsal

M = library()
FEW = M[:, :8]
Y, A = mixtures(M)
G, C, Q = M.T @ M, M.T @ Y, np.square(Y).sum(axis=0)
WEIGHT = 1e-2 * unit(M)
ALL = dict(tolerance=0.0)
both = pytest.mark.parametrize("accelerated", [False, True])
signs = pytest.mark.parametrize("positive", [False, True])


def total(X):
    return np.square(Y - M @ X).sum() / 2 + WEIGHT * np.abs(X).sum()


@signs
def test_steps_are_those_of_the_equation(positive):
    X, lipschitz = np.zeros((M.shape[1], Y.shape[1])), np.linalg.norm(M, 2) ** 2
    for _ in range(7):
        X = X - M.T @ (M @ X - Y) / lipschitz
        X = np.where(np.abs(X) > WEIGHT / lipschitz, X - np.sign(X) * WEIGHT / lipschitz, 0)
        X = np.maximum(X, 0) if positive else X
    found = ista(Y, M, WEIGHT, positive=positive, iterations=7, **ALL)
    np.testing.assert_allclose(found.A, X, atol=1e-12)
    assert found.costs[0] == pytest.approx(Q.sum() / 2) and found.costs[-1] == pytest.approx(total(X))
    assert found.iterations == 7 and len(found.costs) == 8 and not found.converged


def test_fista_starts_with_the_published_steps():
    lipschitz, t = np.linalg.norm(M, 2) ** 2, 1.0
    before = X = np.zeros((M.shape[1], Y.shape[1]))
    for _ in range(3):
        larger = (1 + np.sqrt(1 + 4 * t ** 2)) / 2
        Z = X + (t - 1) / larger * (X - before)
        before, X, t = X, np.maximum(Z - M.T @ (M @ Z - Y) / lipschitz - WEIGHT / lipschitz, 0), larger
    np.testing.assert_allclose(ista(Y, M, WEIGHT, accelerated=True, iterations=3, **ALL).A, X, atol=1e-12)


@both
@signs
def test_no_cost_ever_rises(accelerated, positive):
    """One pixel, whose cost momentum without a restart would let rise."""
    found = ista(Y[:, :1], M, WEIGHT, positive=positive, accelerated=accelerated, iterations=600, **ALL)
    assert (np.diff(found.costs) <= 1e-12 * found.costs[0]).all() and found.costs[-1] < 0.5 * found.costs[0]


@both
def test_the_rates_of_convergence_hold(accelerated):
    """F(x_k) - F* is at most L ||x*||^2 / 2k, of FISTA 2 L ||x*||^2 / (k + 1)^2."""
    exact = sunsal(Y, M, WEIGHT).A
    k = np.arange(1, 301)
    bound = np.linalg.norm(M, 2) ** 2 * np.square(exact).sum() * (2 / (k + 1) ** 2 if accelerated else 1 / (2 * k))
    costs = ista(Y, M, WEIGHT, accelerated=accelerated, iterations=300, **ALL).costs
    assert (costs[1:] - total(exact) <= bound).all()


@both
@signs
def test_it_converges_to_the_exact_solution_and_says_so(accelerated, positive):
    options = dict(positive=positive, accelerated=accelerated, iterations=50_000)
    found, exact = ista(Y, FEW, WEIGHT, tolerance=1e-9, **options), sunsal(Y, FEW, WEIGHT, positive=positive)
    assert found.converged and found.costs[-1] - exact.costs[-1] <= 1.001e-9 * Q.sum() / 2
    assert duality_gap(FEW.T @ Y, Q, found.A, FEW.T @ FEW @ found.A, WEIGHT, positive).max() <= 1.01e-9
    assert np.abs(found.A - exact.A).max() < 0.01


def test_fista_needs_far_fewer_iterations():
    slow, fast = (ista(Y, FEW, WEIGHT, accelerated=accelerated, iterations=50_000, tolerance=1e-6).iterations
                  for accelerated in (False, True))
    assert fast < slow / 5


def test_the_gap_bounds_what_is_left():
    exact = total(sunsal(Y, M, WEIGHT).A)
    for iterations in (1, 10, 100):
        X = ista(Y, M, WEIGHT, iterations=iterations, **ALL).A
        gap = duality_gap(C, Q, X, G @ X, WEIGHT, True)
        assert gap.min() >= 0 and total(X) - exact <= (gap * Q / 2).sum()


def test_costs_are_of_all_pixels_also_of_those_that_ended():
    found = ista(Y, FEW, WEIGHT, accelerated=True, iterations=300, tolerance=1e-3)
    assert 0 < found.settled.mean() < 1 or found.converged
    assert found.costs[-1] == pytest.approx(np.square(Y - FEW @ found.A).sum() / 2 + WEIGHT * np.abs(found.A).sum())


def test_without_a_tolerance_no_pixel_ends_early():
    pixels = np.column_stack([np.zeros(len(M)), Y[:, :3]])
    found = ista(pixels, M, WEIGHT, iterations=40, **ALL)
    assert found.iterations == 40 and not found.settled.any()


def test_a_large_weight_gives_zero_and_a_small_one_nnls():
    assert not ista(Y, M, C.max()).A.any()
    few = M[:, :4]
    found = ista(Y, few, 1e-7 * unit(few), accelerated=True, iterations=20_000, tolerance=1e-10)
    assert kkt_residual(few.T @ few, few.T @ Y, found.A, False).max() < 1e-5


def test_pixels_do_not_depend_on_each_other_or_on_units():
    found = ista(Y, M, WEIGHT, accelerated=True, tolerance=1e-4)
    part = ista(1e3 * Y[:, 3:9], 1e3 * M, 1e6 * WEIGHT, accelerated=True, tolerance=1e-4)
    np.testing.assert_allclose(part.A, found.A[:, 3:9], atol=1e-9)


def test_pixels_that_are_not_finite_and_a_callback_that_stops():
    damaged, calls = Y.copy(), []
    damaged[3, 5] = np.inf
    found = ista(damaged, M, WEIGHT, callback=lambda *args: calls.append(args) or len(calls) == 4)
    assert np.isnan(found.A[:, 5]).all() and np.isnan(found.A).sum() == M.shape[1]
    assert [number for number, _ in calls] == [1, 2, 3, 4] and [cost for _, cost in calls] == found.costs[1:].tolist()


@pytest.mark.parametrize("weight", [0.0, -1.0, np.nan])
def test_a_weight_that_is_none_is_refused(weight):
    with pytest.raises(ValueError, match="above zero"):
        ista(Y, M, weight)
