"""PLMM: estimated endmembers, and in every pixel a departure from them that is free but small."""

import numpy as np
import pytest
from variable_scenes import error, fields, smooth_spectra

from subpixel.algorithms.abundances.fcls import fcls
from subpixel.algorithms.variability.plmm import SMALLEST, bound, plmm
from subpixel.algorithms.variability.pixel_endmembers import ridge_endmembers

SHAPE = (16, 18)
M0, A = smooth_spectra(), fields(shape=SHAPE)
L, P, N = *M0.shape, A.shape[1]
ALONE = dict(alpha=0.0)


def rng(seed=4):
    return np.random.default_rng(seed)


def perturbed(size=0.02):
    """Endmembers (P, L, N) with small departures of the kind that costs least: free in every pixel and band."""
    return np.maximum(M0.T[:, :, None] + size * rng().standard_normal((P, L, N)), 0)


def mixed(M):
    return np.einsum("pln,pn->ln", M, A)


NOISY = mixed(perturbed()) + 0.01 * rng(6).standard_normal((L, N))
DARK = np.maximum(M0 * [0.03, 1, 1], 1e-3)   # a material so dark that departures end at zero
DARK_NOISY = DARK @ A + 0.03 * rng(6).standard_normal((L, N))


def every_endmember(found):
    return found.endmembers(slice(0, N))


def test_data_without_variability_stay_at_the_truth():
    found = plmm(M0 @ A, M0, SHAPE, alpha=0.0, beta=1e-6, tolerance=1e-9)
    assert found.converged and found.iterations <= 2
    assert error(found.A, A) < 1e-9 and np.allclose(found.M, M0, rtol=0, atol=1e-9)
    assert np.nanmax(found.departure()) < 1e-7


def test_data_without_variability_are_recovered_from_a_reference_that_is_slightly_wrong():
    wrong = M0 * (1 + 0.02 * rng().standard_normal(M0.shape))
    found = plmm(M0 @ A, wrong, SHAPE, alpha=0.0, beta=1e-2)
    assert error(found.A, A) < 1e-2
    assert np.linalg.norm(found.M - M0) < 0.5 * np.linalg.norm(wrong - M0)


def test_small_perturbations_are_unmixed_to_a_hundredth():
    Y = mixed(perturbed(0.01))
    assert error(plmm(Y, M0, SHAPE).A, A) < 1e-2


@pytest.mark.parametrize("gamma", [0.1, 1.0])
def test_automatic_smoothness_helps_against_noise(gamma):
    Y = NOISY + 0.05 * rng(1).standard_normal((L, N))
    smooth, alone = plmm(Y, M0, SHAPE, gamma=gamma), plmm(Y, M0, SHAPE, gamma=gamma, **ALONE)
    assert error(smooth.A, A) < 0.97 * error(alone.A, A)


@pytest.mark.parametrize("Y, M", [(NOISY, M0), (DARK_NOISY, DARK)], ids=["bright", "dark"])
@pytest.mark.parametrize("gamma", [0.05, 5.0])
@pytest.mark.parametrize("beta", [1e-3, 30.0])
def test_the_cost_never_rises(Y, M, gamma, beta):
    costs = plmm(Y, M, SHAPE, alpha=0.0, beta=beta, gamma=gamma, tolerance=0, iterations=25).costs
    assert len(costs) == 26 and (np.diff(costs) <= 1e-12 * costs[0]).all() and costs[-1] < 0.99 * costs[0]


def test_the_cost_hardly_rises_with_smoothness():
    """The step for A is iterative then."""
    costs = plmm(NOISY, M0, SHAPE, alpha=0.1, tolerance=0, iterations=25).costs
    assert (np.diff(costs) <= 1e-4 * costs[0]).all() and costs[-1] < 0.9 * costs[0]


def test_the_cost_is_that_of_the_result():
    found = plmm(DARK_NOISY, DARK, SHAPE, alpha=0.2, beta=3.0, gamma=0.5, iterations=5)
    M_n, M, maps = every_endmember(found) / found.scale, found.M / found.scale, found.A.reshape(P, *SHAPE)
    misfit = np.square(DARK_NOISY - found.reconstruction(slice(0, N))).sum() / found.scale**2
    rough = np.square(np.diff(maps, axis=1)).sum() + np.square(np.diff(maps, axis=2)).sum()
    cost = 0.5 * (misfit + 0.2 * rough + 3.0 * np.square(M - DARK / found.scale).sum()
                  + 0.5 * np.square(M_n - M.T[:, :, None]).sum())
    assert found.costs[-1] == pytest.approx(cost, rel=1e-9)


def test_dark_endmembers_end_where_no_endmember_can_be_moved_to_lower_the_cost():
    """gamma sum_n (m - m_n) + beta (m - m_0), the gradient in M, is zero, or positive where M is."""
    found = plmm(DARK_NOISY, DARK, SHAPE, alpha=0.0, beta=3.0, gamma=0.5, tolerance=1e-8, iterations=1000)
    M_n, M = every_endmember(found) / found.scale, found.M / found.scale
    gradient = 0.5 * (M.T[:, :, None] - M_n).sum(axis=2).T + 3.0 * (M - DARK / found.scale)
    assert (M_n == 0).mean() > 0.005
    assert np.abs(np.minimum(M, gradient)).max() < 1e-4


def test_bound_touches_the_cost_and_is_nowhere_below_it():
    gamma, Y, a = 0.5, DARK_NOISY, A
    M_n = ridge_endmembers(np.repeat(DARK.T[:, :, None], N, axis=2), Y, a, gamma, exact=True)
    G, S = bound(DARK, M_n, Y, a, gamma)

    def cost(M):
        new = ridge_endmembers(np.repeat(M.T[:, :, None], N, axis=2), Y, a, gamma, exact=True)
        return 0.5 * (np.square(Y - mixed(new)).sum(axis=1)
                      + gamma * np.square(new - M.T[:, :, None]).sum(axis=(0, 2)))

    def quadratic(M):
        return 0.5 * np.einsum("lp,lpq,lq->l", M, G, M) - np.einsum("lp,lp->l", S, M)
    constant = cost(DARK) - quadratic(DARK)
    for factor in rng().uniform(0.5, 3, (50, *DARK.shape)):
        assert (quadratic(factor * DARK) + constant >= cost(factor * DARK) - 1e-10).all()


def test_a_large_gamma_leaves_no_departure():
    """Then M and A alone explain the data: a factorisation whose M is drawn to the reference."""
    found = plmm(NOISY, M0, SHAPE, alpha=0.0, beta=1.0, gamma=1e9, tolerance=1e-8, iterations=300)
    assert np.abs(every_endmember(found) - found.M.T[:, :, None]).max() < 1e-6
    assert np.allclose(found.A, fcls(NOISY, found.M).A, rtol=0, atol=1e-4)
    weighted = (NOISY @ found.A.T + M0) @ np.linalg.inv(found.A @ found.A.T + np.eye(P))
    assert np.allclose(found.M, weighted, rtol=0, atol=1e-4)


@pytest.mark.parametrize("alpha", [0.0, None])
def test_abundances_are_on_the_simplex_and_endmembers_nonnegative(alpha):
    found = plmm(DARK_NOISY, DARK, SHAPE, alpha=alpha)
    assert (found.A >= 0).all() and np.abs(found.A.sum(axis=0) - 1).max() < 1e-12
    assert (found.M >= 0).all() and (every_endmember(found) >= 0).all()


def test_pixels_that_are_not_valid_do_not_matter_and_are_filled():
    valid = rng().random(N) > 0.2
    spoilt = np.where(valid, NOISY, np.nan)
    spoilt[:, np.flatnonzero(~valid)[:10]] = -1e6
    kept, changed = (plmm(Y, M0, SHAPE, valid, iterations=20, **ALONE) for Y in (NOISY, spoilt))
    assert np.array_equal(kept.A[:, valid], changed.A[:, valid]) and np.array_equal(kept.M, changed.M)
    assert kept.beta == pytest.approx(0.1 * valid.sum())
    filled = plmm(spoilt, M0, SHAPE, valid, alpha=0.03)
    assert error(filled.A[:, ~valid], A[:, ~valid]) < 0.15
    assert np.array_equal(every_endmember(filled)[:, :, ~valid],
                          np.repeat(filled.M.T[:, :, None], N, axis=2)[:, :, ~valid])


def test_permuting_endmembers_permutes_the_result():
    order = [2, 0, 1]
    found, permuted = plmm(NOISY, M0, SHAPE, iterations=10), plmm(NOISY, M0[:, order], SHAPE, iterations=10)
    assert np.allclose(permuted.A, found.A[order], rtol=0, atol=1e-8)
    assert np.allclose(permuted.M, found.M[:, order], rtol=0, atol=1e-8)


def test_units_do_not_matter():
    found, scaled = plmm(NOISY, M0, SHAPE, iterations=10), plmm(1e4 * NOISY, 1e4 * M0, SHAPE, iterations=10)
    assert np.allclose(scaled.A, found.A, rtol=0, atol=1e-9) and np.allclose(scaled.M, 1e4 * found.M)
    assert np.allclose(every_endmember(scaled), 1e4 * every_endmember(found))
    assert (scaled.alpha, scaled.beta) == pytest.approx((found.alpha, found.beta))


def test_single_precision_finds_the_same():
    found, single = plmm(NOISY, M0, SHAPE), plmm(NOISY.astype(np.float32), M0, SHAPE)
    assert np.allclose(single.A, found.A, rtol=0, atol=2e-3)
    assert single.endmembers(slice(0, 3)).dtype == np.float32


def test_the_reference_stays_the_given_one():
    found = plmm(NOISY, M0, SHAPE, alpha=0.0, beta=1e-3, iterations=20)
    assert np.allclose(found.reference, M0, rtol=1e-15)
    expected = np.linalg.norm(every_endmember(found) - M0.T[:, :, None], axis=1) / np.linalg.norm(M0, axis=0)[:, None]
    assert np.allclose(found.departure(), expected)


def test_a_reference_of_zero_in_some_bands_can_rise():
    reference = M0.copy()
    reference[:5, 0] = 0
    found = plmm(M0 @ A, reference, SHAPE, alpha=0.0, beta=1e-3)
    assert (found.M[:5, 0] > 10 * SMALLEST).any()


def test_an_image_of_one_pixel_has_no_smoothness_to_weigh():
    found = plmm(NOISY[:, :1], M0, (1, 1))
    assert found.alpha == 0 and found.A.sum() == pytest.approx(1)


@pytest.mark.parametrize("weights, name", [(dict(alpha=-1.0), "alpha"), (dict(beta=0.0), "beta"),
                                           (dict(gamma=0.0), "gamma"), (dict(gamma=-2.0), "gamma"),
                                           (dict(beta=np.nan), "beta")])
def test_weights_out_of_range_are_refused(weights, name):
    with pytest.raises(ValueError, match=f"weight {name} .* must be"):
        plmm(NOISY, M0, SHAPE, **weights)


def test_the_callback_sees_every_iteration_and_may_stop():
    seen = []
    found = plmm(NOISY, M0, SHAPE, tolerance=0, callback=lambda *now: seen.append(now) or len(seen) == 3)
    assert [iteration for iteration, _ in seen] == [1, 2, 3] and not found.converged
    assert [cost for _, cost in seen] == found.costs[1:].tolist()
