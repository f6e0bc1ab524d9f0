"""ULTRA-V: its cost, its limits, holes, memory, and data made by its model."""


import numpy as np
import pytest

from subpixel.algorithms.abundances.fcls import fcls
from subpixel.algorithms.simulate.scene import gaussian_field_abundances
from subpixel.algorithms.variability.pixel_endmembers import mixtures
from subpixel.algorithms.variability.ultra import ultra
from subpixel.algorithms.variability.ultrav import ultrav

L, SHAPE = 30, (14, 12)


def reference(seed=0):
    return np.random.default_rng(seed).uniform(0.05, 0.95, (L, 3))


def stripes():
    """Abundances (3, N) of canonical rank 3: they change along the rows only, or along the columns only."""
    row, col = (np.linspace(0, 1, side) for side in SHAPE)
    first, second = np.meshgrid(0.1 + 0.4 * row, 0.1 + 0.3 * np.cos(3 * col) ** 2, indexing="ij")
    return np.stack([first, second, 1 - first - second]).reshape(3, -1)


def varying(amount):
    """Endmembers (3, L, N) of canonical rank 4: all but the first are the reference, the first changes its spectrum."""
    row, col = (np.linspace(-1, 1, side) for side in SHAPE)
    pattern = np.multiply.outer(row, np.cos(2 * col)).ravel()
    M = np.repeat(reference().T[:, :, None], pattern.size, axis=2)
    M[0] += amount * np.multiply.outer(reference()[:, 0] * np.linspace(0, 1, L), pattern)
    return M


def noisy(amount=0.3, sigma=0.01, seed=2):
    rng = np.random.default_rng(seed)
    A = gaussian_field_abundances(3, *SHAPE, np.random.default_rng(1))
    return mixtures(varying(amount), A) + sigma * rng.standard_normal((L, A.shape[1]))


def rms(difference):
    return np.sqrt(np.square(difference).mean())


def test_data_made_by_the_model_are_recovered():
    """Near the reference, where the model tells its parts apart: 20% of departure, true ranks, start from SCLS."""
    A, M = stripes(), varying(0.2)
    Y = mixtures(M, A)
    fit = ultrav(Y, reference(), SHAPE, lambda_m=0.1, lambda_a=1.0, rank_abundance=3, rank_endmember=4, exact=True,
                 iterations=300, tolerance=1e-7)
    assert rms(fit.A - A) < 1e-2 and rms(fit.A - A) < 0.5 * rms(fcls(Y, reference()).A - A)
    assert fit.costs[-1] < 1e-3 * fit.costs[0]


def test_exact_data_of_constant_endmembers_leave_no_cost():
    Y = reference() @ stripes()
    fit = ultrav(Y, reference(), SHAPE, lambda_a=1.0, rank_abundance=3)
    assert fit.rank_endmember == 3
    assert fit.costs[-1] < 1e-8 * np.square(Y).sum() and np.abs(fit.A - stripes()).max() < 1e-3


@pytest.mark.parametrize("rank_endmember", [2, None, 12])
@pytest.mark.parametrize("lambda_a", [0.01, 10.0])
def test_the_cost_never_increases_with_the_exact_step(rank_endmember, lambda_a):
    fit = ultrav(noisy(amount=1.0), reference(), SHAPE, lambda_m=0.1, lambda_a=lambda_a, exact=True, iterations=30,
                 rank_endmember=rank_endmember, tolerance=0)
    assert (np.diff(fit.costs) <= 1e-10 * fit.costs[0]).all() and fit.costs[-1] < fit.costs[0]


@pytest.mark.parametrize("start", ["scls", "fcls"])
def test_nor_from_another_start(start):
    fit = ultrav(noisy(), reference(), SHAPE, start=start, exact=True, tolerance=0)
    assert (np.diff(fit.costs) <= 1e-10 * fit.costs[0]).all() and fit.costs[-1] < fit.costs[0]


def test_the_cost_is_that_of_the_answer():
    Y = noisy()
    fit = ultrav(Y, reference(), SHAPE, lambda_m=0.2, lambda_a=2.0, iterations=3, tolerance=0)
    everything = slice(0, Y.shape[1])
    parts = [np.square(array).sum() / 2 for array in (
        (Y - fit.reconstruction()) / fit.scale,
        np.sqrt(0.2) * (fit.endmembers(everything) - fit.low_rank(everything)) / fit.scale,
        np.sqrt(2.0) * (fit.A - fit.Q))]
    assert fit.costs[-1] == pytest.approx(sum(parts), rel=1e-9)


def test_with_rigid_endmembers_it_is_ultra():
    Y = reference() @ gaussian_field_abundances(3, *SHAPE, np.random.default_rng(1))
    fixed = ultra(Y, reference(), SHAPE, lambda_a=1.0)
    free = ultrav(Y, reference(), SHAPE, lambda_m=1e8, lambda_a=1.0, rank_endmember=3)
    assert np.abs(free.A - fixed.A).max() < 1e-4


def test_everything_is_nonnegative_and_abundances_sum_to_one():
    fit = ultrav(noisy(sigma=0.1), reference(), SHAPE, lambda_m=0.01)
    assert fit.A.min() >= 0 and np.allclose(fit.A.sum(axis=0), 1)
    assert fit.endmembers(slice(0, 168)).min() >= 0


def test_a_hole_is_completed_and_garbage_in_it_is_not_seen():
    A, valid = stripes(), np.ones(SHAPE, dtype=bool)
    valid[4:8, 3:7] = False
    valid = valid.ravel()
    Y = mixtures(varying(0.1), A)
    settings = dict(rank_abundance=3, rank_endmember=4, lambda_a=1.0, tolerance=1e-6, iterations=100)
    fit = ultrav(np.where(valid, Y, np.inf), reference(), SHAPE, valid, **settings)
    zeros = ultrav(Y * valid, reference(), SHAPE, valid, **settings)
    whole = ultrav(Y, reference(), SHAPE, **settings)
    assert np.array_equal(fit.A, zeros.A)
    assert rms((fit.A - whole.A)[:, valid]) < 0.005
    assert rms((fit.A - A)[:, ~valid]) < 0.02
    hole = np.flatnonzero(~valid)[0]
    pixel = slice(hole, hole + 1)
    assert np.allclose(fit.endmembers(pixel), np.maximum(fit.low_rank(pixel), 0), atol=1e-3)


def test_units_and_the_order_of_endmembers_do_not_matter():
    Y, order = noisy(), [2, 0, 1]
    fit = ultrav(Y, reference(), SHAPE, iterations=10)
    large = ultrav(1e4 * Y, 1e4 * reference(), SHAPE, iterations=10)
    assert np.allclose(large.A, fit.A, atol=1e-8)
    assert np.allclose(large.low_rank(slice(0, 5)), 1e4 * fit.low_rank(slice(0, 5)), rtol=1e-6)
    assert np.allclose(ultrav(Y, reference()[:, order], SHAPE, iterations=10).A, fit.A[order], atol=1e-5)


def test_single_precision_gives_nearly_the_same():
    Y = noisy()
    single, double = (ultrav(Y.astype(dtype), reference(), SHAPE) for dtype in (np.float32, np.float64))
    assert single.endmembers(slice(0, 2)).dtype == single.low_rank(slice(0, 2)).dtype == np.float32
    assert np.abs(single.A - double.A).max() < 1e-2


def test_a_pixel_in_the_dark_does_no_harm():
    Y = noisy()
    Y[:, 5] = 0
    assert np.isfinite(ultrav(Y, reference(), SHAPE).A).all()


def test_a_rank_above_what_the_image_holds_is_refused():
    with pytest.raises(ValueError, match="rank of 400 .* 3 x 30 x 2 x 2: choose between 1 and 12"):
        ultrav(noisy()[:, :4], reference(), (2, 2), rank_endmember=400)
    assert np.isfinite(ultrav(noisy()[:, :4], reference(), (2, 2), rank_endmember=12).A).all()
