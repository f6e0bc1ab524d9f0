"""SUnSAL and SUnSAL-TV: exact solvers, optimality conditions, limits, masks."""

import numpy as np
import pytest
from sparse_scenes import BERLIN, berlin, library, mixtures

from subpixel.algorithms.abundances.active_set import kkt_residual, minimise
from subpixel.algorithms.abundances.fcls import fcls
from subpixel.algorithms.abundances.nnls import nnls
from subpixel.algorithms.abundances.sparse import by_parts, check_library, duality_gap, unit
from subpixel.algorithms.abundances.sunsal import sunsal
from subpixel.algorithms.abundances.sunsaltv import sunsaltv

M = library()
FEW = M[:, :8]
Y, A = mixtures(M)
G, C, Q = M.T @ M, M.T @ Y, np.square(Y).sum(axis=0)
WEIGHT = 1e-3 * unit(M)
SHAPE = (10, 20)


def test_without_a_weight_it_is_nnls_and_fcls():
    pixels = mixtures(FEW, 1000)[0]
    for exact, found in ((nnls(pixels, FEW), sunsal(pixels, FEW)),
                         (fcls(pixels, FEW), sunsal(pixels, FEW, sum_to_one=True))):
        assert found.converged and np.abs(found.A - exact.A).max() < 1e-8
        np.testing.assert_allclose(found.rmse, exact.rmse, atol=1e-9)
        np.testing.assert_allclose(found.angle, exact.angle, atol=1e-7)
    assert np.abs(found.A.sum(axis=0) - 1).max() < 1e-14 and found.A.min() >= 0


@pytest.mark.parametrize("share", [1e-4, 1e-2, 0.1])
def test_more_spectra_than_bands_meet_the_optimality_conditions(share):
    weight = share * unit(M)
    found = sunsal(Y, M, weight)
    assert found.converged and kkt_residual(G, C - weight, found.A, False).max() < 1e-10
    assert duality_gap(C, Q, found.A, G @ found.A, weight, True).max() < 1e-9
    assert found.costs[-1] == pytest.approx((np.square(Y - M @ found.A) / 2).sum() + weight * found.A.sum())


@pytest.mark.skipif(not BERLIN.exists(), reason="the real library is not here")
@pytest.mark.parametrize("share, sum_to_one", [(0.0, False), (0.0, True), (1e-3, False)])
def test_a_real_library_is_solved_as_by_the_exact_solver(share, sum_to_one):
    """A cell of the benchmark: 75 spectra, condition 250,000."""
    spectra = berlin()
    pixels, weight = mixtures(spectra, 1000)[0], share * unit(spectra)
    found = sunsal(pixels, spectra, weight, sum_to_one=sum_to_one)
    exact = minimise(spectra.T @ spectra, spectra.T @ pixels - weight, sum_to_one)
    assert found.converged and np.abs(found.A - exact).max() < 1e-5


def test_signed_abundances_meet_theirs():
    fit = sunsal(Y, M, WEIGHT, positive=False)
    found = fit.A
    assert fit.converged
    gradient = G @ found - C
    assert (found < 0).any() and np.abs(gradient).max() <= WEIGHT * (1 + 1e-6)
    np.testing.assert_allclose(gradient[found != 0], -WEIGHT * np.sign(found[found != 0]), atol=1e-6 * WEIGHT)


def test_signed_abundances_that_sum_to_one_are_those_of_the_bordered_system():
    pixels = mixtures(FEW, 50, noise=0.05)[0]
    found = sunsal(pixels, FEW, positive=False, sum_to_one=True).A
    border = np.block([[FEW.T @ FEW, np.ones((8, 1))], [np.ones((1, 8)), np.zeros((1, 1))]])
    expected = np.linalg.solve(border, np.vstack([FEW.T @ pixels, np.ones((1, 50))]))[:8]
    assert (expected < 0).any() and np.abs(found - expected).max() < 1e-7


def test_a_weight_of_the_largest_product_leaves_nothing():
    assert not sunsal(Y, M, C.max()).A.any() and sunsal(Y, M, 0.99 * C.max()).A.any()


def test_a_larger_weight_uses_fewer_spectra():
    active = [(sunsal(Y, M, share * unit(M)).A > 0).sum() for share in (0, 1e-3, 1e-2, 0.1)]
    assert all(later < earlier for earlier, later in zip(active, active[1:]))


def test_units_and_neighbours_do_not_matter():
    found = sunsal(Y, M, WEIGHT).A
    np.testing.assert_allclose(sunsal(1e4 * Y, 1e4 * M, 1e8 * WEIGHT).A, found, atol=1e-9)
    np.testing.assert_allclose(sunsal(Y[:, 7:40], M, WEIGHT).A, found[:, 7:40], atol=1e-12)


def test_parts_are_put_together(monkeypatch):
    monkeypatch.setattr("subpixel.algorithms.abundances.sparse.PART", 1)   # 256 pixels then
    pixels = mixtures(M, 600)[0]
    whole, parts = sunsal(pixels, M, WEIGHT), by_parts(lambda part: sunsal(part, M, WEIGHT), pixels, M.shape[1])
    for name in ("A", "rmse", "angle", "costs", "settled"):
        np.testing.assert_allclose(getattr(parts, name), getattr(whole, name), atol=1e-9)
    assert parts.iterations == whole.iterations and by_parts(
        lambda part: sunsal(part, M, WEIGHT), pixels[:, :0], M.shape[1]).A.shape == (M.shape[1], 0)


def test_what_it_says_of_its_end():
    stopped, calls = sunsal(Y, M, iterations=20), []
    assert stopped.iterations == 20 and not stopped.converged and 0 < stopped.settled.mean() < 1
    exact = minimise(G, C - WEIGHT, False)
    found = sunsal(Y, M, WEIGHT, callback=lambda *args: calls.append(args))
    assert [number for number, _ in calls] == [20 * k for k in range(1, len(calls) + 1)]
    assert [cost for _, cost in calls] == found.costs.tolist() and np.abs(found.A - exact).max() < 1e-7
    assert sunsal(Y, M, callback=lambda *_: True).iterations == 20


def test_pixels_that_are_not_finite_come_out_as_such():
    damaged = Y.copy()
    damaged[3, 5] = np.nan
    found = sunsal(damaged, M, WEIGHT)
    assert np.isnan(found.A[:, 5]).all() and np.isnan(found.A).sum() == len(M[0]) and found.converged


def variation_of(found):
    maps = found.A.reshape(len(found.A), *SHAPE)
    return np.abs(np.diff(maps, axis=1)).sum() + np.abs(np.diff(maps, axis=2)).sum()


def test_total_variation_of_weight_zero_is_sunsal():
    pixels = mixtures(FEW)[0]
    found = sunsaltv(pixels, FEW, SHAPE, WEIGHT, 0.0, tolerance=1e-8, iterations=5000)
    assert found.converged and np.abs(found.A - sunsal(pixels, FEW, WEIGHT).A).max() < 1e-4


def test_a_large_total_variation_gives_constant_maps_the_mean_pixels():
    found = sunsaltv(Y[:, :42], FEW, (6, 7), WEIGHT, 10 * unit(FEW), tolerance=1e-7, iterations=5000)
    mean = sunsal(Y[:, :42].mean(axis=1, keepdims=True), FEW, WEIGHT).A
    assert found.converged and np.ptp(found.A, axis=1).max() < 1e-4 and np.abs(found.A - mean).max() < 1e-4


@pytest.mark.parametrize("isotropic", [False, True])
@pytest.mark.parametrize("shape", [(1, 10), (10, 1)])
def test_one_band_and_one_spectrum_is_denoising(isotropic, shape):
    """The exact solution for a step: each side moves by the weight over its length."""
    step = np.r_[np.full(6, 0.2), np.full(4, 0.9)]
    found = sunsaltv(step[None], np.ones((1, 1)), shape, 0.0, 0.1, isotropic=isotropic, tolerance=1e-8)
    np.testing.assert_allclose(found.A[0], np.r_[np.full(6, 0.2 + 0.1 / 6), np.full(4, 0.9 - 0.1 / 4)], atol=1e-6)


def test_the_isotropic_length_of_a_corner():
    """One bright pixel in a corner, both differences of which count together: it loses sqrt(2) of the weight."""
    image = np.zeros((5, 5))
    image[2, 2] = 1.0
    plain, round_ = (sunsaltv(image.reshape(1, -1), np.ones((1, 1)), (5, 5), 0.0, 0.01, isotropic=isotropic,
                              tolerance=1e-9).A.reshape(5, 5) for isotropic in (False, True))
    assert plain[2, 2] == pytest.approx(1 - 4 * 0.01, abs=1e-5)
    assert round_[2, 2] == pytest.approx(1 - (2 + np.sqrt(2)) * 0.01, abs=1e-3)


@pytest.mark.parametrize("options", [{}, {"isotropic": True}, {"sum_to_one": True}])
def test_no_small_change_lowers_the_cost(options):
    weight, variation = WEIGHT, 5e-3 * unit(FEW)
    pixels = mixtures(FEW)[0]
    found = sunsaltv(pixels, FEW, SHAPE, weight, variation, tolerance=1e-8, iterations=20000, **options)

    def cost(X):
        maps = X.reshape(-1, *SHAPE)
        down, right = np.zeros((2, *maps.shape))
        down[:, :-1], right[:, :, :-1] = np.diff(maps, axis=1), np.diff(maps, axis=2)
        length = np.sqrt(down ** 2 + right ** 2) if options.get("isotropic") else np.abs(down) + np.abs(right)
        return np.square(pixels - FEW @ X).sum() / 2 + weight * np.abs(X).sum() + variation * length.sum()
    lowest, rng = cost(found.A), np.random.default_rng(5)
    assert found.converged and found.costs[-1] == pytest.approx(lowest, rel=1e-9)
    for size in (1e-2, 1e-3):
        for _ in range(20):
            other = np.maximum(found.A + size * rng.standard_normal(found.A.shape) * (rng.random((1, 200)) < 0.1), 0)
            other = other / other.sum(axis=0) if "sum_to_one" in options else other
            assert cost(other) > lowest
    start = sunsal(pixels, FEW, weight, sum_to_one="sum_to_one" in options)
    assert cost(start.A) > lowest and variation_of(found) < 0.75 * variation_of(start)


def test_masked_pixels_take_no_part():
    """A masked column makes two images of one."""
    valid = np.ones(SHAPE, dtype=bool)
    valid[:, 8] = False
    pixels = mixtures(FEW)[0]
    dirty = np.where(valid.ravel(), pixels, 1e6)
    options = dict(weight=WEIGHT, variation=5 * WEIGHT, tolerance=1e-8, iterations=20000)
    found = sunsaltv(dirty, FEW, SHAPE, valid=valid.ravel(), **options)
    left = sunsaltv(pixels.reshape(-1, *SHAPE)[:, :, :8].reshape(len(FEW), -1), FEW, (10, 8), **options)
    maps = found.A.reshape(-1, *SHAPE)
    assert np.isnan(maps[:, :, 8]).all() and np.isfinite(maps).sum() == 8 * 190
    assert np.abs(maps[:, :, :8].reshape(8, -1) - left.A).max() < 1e-4


def test_total_variation_says_how_it_ended():
    pixels, seen = mixtures(FEW)[0], []
    found = sunsaltv(pixels, FEW, SHAPE, WEIGHT, WEIGHT, tolerance=0, callback=lambda *looks: seen.append(looks))
    assert found.iterations == 1000 and not found.converged and not found.settled.any()
    assert [look[0] for look in seen] == list(range(10, 1001, 10)) and [look[1] for look in seen] == list(found.costs)
    np.testing.assert_allclose(found.rmse, np.sqrt(np.square(pixels - FEW @ found.A).mean(axis=0)), rtol=1e-6)
    assert sunsaltv(pixels, FEW, SHAPE, WEIGHT, WEIGHT, callback=lambda iteration, _: iteration == 20).iterations == 20


def test_total_variation_helps_against_noise():
    rng, patches = np.random.default_rng(3), np.kron(np.eye(8)[:, :8].reshape(8, 2, 4), np.ones((5, 5)))
    truth = patches.reshape(8, -1)
    pixels = FEW @ truth + 0.05 * rng.standard_normal((len(FEW), 200))
    alone, smooth = (np.linalg.norm(found.A - truth) for found in (
        sunsal(pixels, FEW), sunsaltv(pixels, FEW, SHAPE, 0.0, 0.003 * unit(FEW))))
    assert smooth < 0.6 * alone


@pytest.mark.parametrize("library, words", [
    (np.ones(5), "matrix of bands x spectra"), (np.full((24, 2), np.nan), "spectrum 1 is not a number in 24 of 24"),
    (np.c_[M[:, 0], 0 * M[:, 0]], "spectrum 2 is zero"), (M[:, [3, 1, 3]], "spectrum 1 and spectrum 3 are identical"),
    (M[1:], "have 23 bands, the image 24")])
def test_libraries_that_cannot_be_used_are_refused(library, words):
    with pytest.raises(ValueError, match=words):
        sunsal(Y, library)


@pytest.mark.parametrize("change, words", [
    (dict(weight=-1.0), "lambda is -1"), (dict(variation=np.nan), "total variation is nan"),
    (dict(shape=(3, 3)), "do not make an image of 3 rows"), (dict(Y=np.full_like(Y, np.inf)), "not finite")])
def test_bad_arguments(change, words):
    with pytest.raises(ValueError, match=words):
        sunsaltv(**dict(Y=Y, M=M, shape=SHAPE, weight=0.0, variation=0.1) | change)


def test_names_are_told():
    with pytest.raises(ValueError, match="soil"):
        check_library(0 * M[:, :1], ["soil"])
