"""ULTRA: its cost, its limits, holes, and exact data of low rank."""

import numpy as np
import pytest

from subpixel.algorithms.abundances.fcls import fcls
from subpixel.algorithms.simulate.scene import gaussian_field_abundances
from subpixel.algorithms.variability.ultra import ultra

L, SHAPE = 30, (14, 12)


def endmembers(P=3, seed=0):
    return np.random.default_rng(seed).uniform(0.05, 0.95, (L, P))


def stripes():
    """Abundances (3, N) of canonical rank 3: they change along the rows only, or along the columns only."""
    row, col = (np.linspace(0, 1, side) for side in SHAPE)
    first, second = np.meshgrid(0.1 + 0.4 * row, 0.1 + 0.3 * np.cos(3 * col) ** 2, indexing="ij")
    return np.stack([first, second, 1 - first - second]).reshape(3, -1)


def fields(seed=1):
    return gaussian_field_abundances(3, *SHAPE, np.random.default_rng(seed))


def noisy(A, seed=2, sigma=0.02):
    rng = np.random.default_rng(seed)
    return endmembers() @ A + sigma * rng.standard_normal((L, A.shape[1]))


def test_exact_data_of_low_rank_leave_no_cost():
    A = stripes()
    fit = ultra(endmembers() @ A, endmembers(), SHAPE, rank=3, lambda_a=1.0)
    assert np.abs(fit.A - A).max() < 1e-3
    assert fit.costs[-1] < 1e-8 * np.square(endmembers() @ A).sum()


def test_the_cost_never_increases():
    fit = ultra(noisy(fields()), endmembers(), SHAPE, lambda_a=1.0, tolerance=0, iterations=30)
    assert (np.diff(fit.costs) <= 1e-10 * fit.costs[0]).all() and fit.costs[-1] < fit.costs[0]


def test_without_weight_it_is_fcls():
    Y = noisy(fields())
    assert np.abs(ultra(Y, endmembers(), SHAPE, lambda_a=1e-9).A - fcls(Y, endmembers()).A).max() < 1e-6


def test_abundances_are_on_the_simplex_and_near_the_low_rank():
    fit = ultra(noisy(fields()), endmembers(), SHAPE, lambda_a=100.0, rank=4, iterations=100)
    assert fit.A.min() >= 0 and np.allclose(fit.A.sum(axis=0), 1)
    maps = fit.Q.reshape(3, *SHAPE)
    assert np.linalg.matrix_rank(np.moveaxis(maps, 1, 0).reshape(SHAPE[0], -1), tol=1e-8) <= 4


def test_low_rank_removes_noise():
    Y, A = noisy(stripes(), sigma=0.2), stripes()
    alone, low = fcls(Y, endmembers()).A, ultra(Y, endmembers(), SHAPE, rank=3, lambda_a=10.0).A
    assert np.square(low - A).sum() < 0.5 * np.square(alone - A).sum()


def test_a_hole_is_completed_and_garbage_in_it_is_not_seen():
    A, valid = stripes(), np.ones(SHAPE, dtype=bool)
    valid[4:8, 3:7] = False
    valid = valid.ravel()
    Y = endmembers() @ A
    garbage = np.where(valid, Y, np.nan)
    fit = ultra(garbage, endmembers(), SHAPE, valid, rank=3, lambda_a=1.0, tolerance=1e-6)
    zeros = ultra(Y * valid, endmembers(), SHAPE, valid, rank=3, lambda_a=1.0, tolerance=1e-6)
    assert np.array_equal(fit.A, zeros.A)
    assert np.abs(fit.A - A)[:, valid].max() < 0.01
    assert np.abs(fit.A - A)[:, ~valid].max() < 0.05


def test_units_and_the_order_of_endmembers_do_not_matter():
    Y, order = noisy(fields()), [2, 0, 1]
    fit = ultra(Y, endmembers(), SHAPE, lambda_a=1.0)
    assert np.allclose(ultra(1e4 * Y, 1e4 * endmembers(), SHAPE, lambda_a=1.0).A, fit.A, atol=1e-8)
    assert np.allclose(ultra(Y, endmembers()[:, order], SHAPE, lambda_a=1.0).A, fit.A[order], atol=1e-6)


def test_endmembers_are_the_reference_everywhere():
    fit = ultra(1e4 * noisy(fields()).astype(np.float32), 1e4 * endmembers(), SHAPE)
    M = fit.endmembers(slice(3, 8))
    assert M.dtype == np.float32 and np.allclose(M, 1e4 * endmembers().T[:, :, None])
    assert np.allclose(fit.departure(), 0, atol=1e-6)


def test_the_callback_stops():
    fit = ultra(noisy(fields()), endmembers(), SHAPE, tolerance=0, callback=lambda iteration, cost: iteration == 2)
    assert fit.iterations == 2 and not fit.converged


def test_a_rank_above_what_the_image_holds_is_refused():
    with pytest.raises(ValueError, match="rank of 10 .* 3 x 2 x 2: choose between 1 and 4"):
        ultra(noisy(fields())[:, :4], endmembers(), (2, 2), rank=10)


def test_a_weight_of_zero_is_refused():
    with pytest.raises(ValueError, match="lambda_a is 0"):
        ultra(noisy(fields()), endmembers(), SHAPE, lambda_a=0)
