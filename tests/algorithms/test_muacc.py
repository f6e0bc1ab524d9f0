"""Accelerated multiplicative updates: the plain rule at alpha = 0, a falling cost, and planted factors."""

import numpy as np
import pytest

from subpixel.algorithms.blind.muacc import muacc, repeated, repeats
from subpixel.algorithms.blind.nmf import nmf

L, P, N = 30, 3, 400


@pytest.fixture(scope="module")
def exact():
    """Y of rank 3 without noise, and a positive start."""
    rng = np.random.default_rng(0)
    Y = rng.random((L, P)) @ rng.dirichlet(np.ones(P), N).T
    return Y, (rng.random((L, P)) + 0.1, rng.random((P, N)) + 0.1)


def test_alpha_zero_is_the_rule_of_lee_and_seung(exact):
    Y, start = exact
    plain = muacc(Y, P, np.random.default_rng(0), alpha=0.0, factors=start, iterations=20, tolerance=0.0)
    other = nmf(Y, P, np.random.default_rng(0), factors=start, accelerate=False, iterations=20, tolerance=0.0)
    np.testing.assert_allclose(plain.M, other.M, rtol=1e-9)
    np.testing.assert_allclose(plain.A, other.A, rtol=1e-9)


@pytest.mark.parametrize("alpha", [0.0, 0.5, 2.0])
def test_cost_never_rises(alpha, exact):
    Y, start = exact
    noisy = Y + 0.05 * np.random.default_rng(1).random(Y.shape)
    costs = muacc(noisy, P, np.random.default_rng(0), alpha=alpha, factors=start, iterations=60, tolerance=0.0).costs
    assert np.diff(costs).max() <= 1e-12 * costs[0] and costs[-1] < 0.1 * costs[0]


def test_the_residual_of_planted_factors_keeps_falling_and_faster_than_without_repeats(exact):
    Y, start = exact
    plain, fast = (muacc(Y, P, np.random.default_rng(0), alpha=alpha, factors=start, iterations=400,
                         tolerance=0.0).costs for alpha in (0.0, 2.0))
    assert fast[400] < 0.7 * fast[200] and fast[200] < 0.7 * fast[100] and fast[400] < 0.2 * plain[400]


def test_numbers_of_repeats_are_those_of_the_paper():
    assert repeats(0.0, 200, 10000, 6) == 1
    assert repeats(2.0, 10000, 200, 6) == int(1 + 2 * (1 + (2e6 + 1200) / (10000 * 7)))
    assert repeats(2.0, 200, 10000, 6) == int(1 + 2 * (1 + (2e6 + 60000) / (200 * 7)))


def test_repeats_leave_early_once_steps_are_small():
    rng = np.random.default_rng(0)
    M, Y, F = rng.random((12, 2)), rng.random((12, 40)), rng.random((2, 40))
    G, C = M.T @ M, M.T @ Y
    states = [F, *(repeated(F, G, C, most) for most in (1, 2, 3, 4, 5, 6, 7, 8))]
    sizes = [np.linalg.norm(new - old) for old, new in zip(states, states[1:])]
    last = next(k for k, size in enumerate(sizes) if size <= 0.1 * sizes[0])
    assert 0 < last < 7 and not any(sizes[last + 1:])


@pytest.mark.parametrize("options, sentence", [(dict(alpha=-1.0), "alpha is -1"), (dict(begin_with="x"), "no start")])
def test_bad_options_get_a_sentence(options, sentence, exact):
    with pytest.raises(ValueError, match=sentence):
        muacc(exact[0], P, np.random.default_rng(0), **options)


def test_negative_data_are_counted(exact):
    with pytest.raises(ValueError, match="1 of 12000 values are negative"):
        muacc(np.where(np.arange(L * N).reshape(L, N) == 5, -1.0, exact[0]), P, np.random.default_rng(0))
