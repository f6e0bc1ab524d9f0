"""ELMM and GLMM: scaling factors per endmember and pixel, and per band too."""

import numpy as np
import pytest
from variable_scenes import error, fields, smooth_maps, smooth_spectra

from subpixel.algorithms.abundances.fcls import fcls
from subpixel.algorithms.abundances.scls import scls
from subpixel.algorithms.variability.elmm import elmm
from subpixel.algorithms.variability.glmm import glmm
from subpixel.algorithms.variability.spatial import TotalVariation

SHAPE = (20, 24)
M0, A = smooth_spectra(), fields(shape=SHAPE)
PSI = smooth_maps(3, SHAPE, 0.8, 1.2)
COMMON = smooth_maps(1, SHAPE, 0.7, 1.3)
NOISE = 0.005 * np.random.default_rng(9).standard_normal((30, A.shape[1]))
ALONE = dict(lambda_a=0)   # every pixel by itself

both = pytest.mark.parametrize("method", [elmm, glmm])


def test_elmm_recovers_its_own_data():
    """Smooth factors per endmember, no noise: far below the 0.09 that fixed endmembers leave."""
    Y = M0 @ (A * PSI)
    found = elmm(Y, M0, SHAPE, lambda_s=0.1, lambda_a=0, lambda_psi=0.1, tolerance=1e-5, iterations=500)
    assert error(fcls(Y, M0).A, A) > 0.05
    assert error(found.A, A) < 1e-2
    weighted = np.abs(found.psi - PSI)[A > 0.5]
    assert np.median(weighted) < 0.02


def test_elmm_with_one_scaling_for_all_endmembers_is_scls():
    Y = M0 @ (A * COMMON)
    found = elmm(Y, M0, SHAPE, lambda_s=1, lambda_a=0, lambda_psi=1e-9, start="scaled")
    assert error(scls(Y, M0).A, A) < 1e-12
    assert error(found.A, A) < 1e-6
    np.testing.assert_allclose(found.psi, np.tile(COMMON, (3, 1)), atol=1e-6)


def test_glmm_recovers_factors_that_differ_over_the_bands():
    slope = np.linspace(-1, 1, 30)[None, :, None]
    factors = 1 + 0.05 * slope * smooth_maps(3, SHAPE, -1, 1)[:, None, :]
    Y = np.einsum("lp,pln,pn->ln", M0, factors, A)
    found = glmm(Y, M0, SHAPE, lambda_m=0.1, lambda_a=0, lambda_psi=1e-2, tolerance=1e-6, iterations=300)
    assert error(found.A, A) < 1e-2 < error(fcls(Y, M0).A, A)


@both
def test_the_cost_never_rises_with_the_exact_step(method):
    Y = M0 @ (A * PSI) + 5 * NOISE
    costs = method(Y, M0, SHAPE, exact=True, tolerance=0, iterations=30, lambda_a=0).costs
    assert len(costs) == 31 and np.all(np.diff(costs) <= 1e-12 * costs[0]) and costs[-1] < 0.5 * costs[0]


@both
def test_the_cost_hardly_rises_with_total_variation(method):
    """The step for A is iterative then."""
    costs = method(M0 @ (A * PSI) + NOISE, M0, SHAPE, exact=True, tolerance=0, iterations=30).costs
    assert np.all(np.diff(costs) <= 1e-3 * costs[0]) and costs[-1] < 0.9 * costs[0]


@both
def test_abundances_lie_on_the_simplex_and_endmembers_are_not_negative(method):
    found = method(M0 @ (A * PSI) + 10 * NOISE, M0, SHAPE)
    assert found.A.min() >= 0
    np.testing.assert_allclose(found.A.sum(axis=0), 1, atol=1e-12)
    assert found.endmembers(slice(0, 50)).min() >= 0 and found.endmembers(slice(3, 7)).shape == (3, 30, 4)


@both
def test_total_variation_smooths(method):
    Y = M0 @ (A * PSI) + 4 * NOISE
    variation = TotalVariation(1.0, SHAPE).cost
    rough, smooth = (variation(method(Y, M0, SHAPE, lambda_a=weight).A) for weight in (0, 1))
    assert smooth < 0.8 * rough


@both
def test_permuting_the_endmembers_permutes_the_result(method):
    Y, order = M0 @ (A * PSI) + NOISE, [2, 0, 1]
    first, second = method(Y, M0, SHAPE, iterations=10), method(Y, M0[:, order], SHAPE, iterations=10)
    np.testing.assert_allclose(first.A[order], second.A, atol=1e-8)
    np.testing.assert_allclose(first.departure()[order], second.departure(), atol=1e-8)


@both
def test_units_do_not_matter(method):
    Y = M0 @ (A * PSI) + NOISE
    first, second = method(Y, M0, SHAPE, iterations=10), method(Y * 1e4, M0 * 1e4, SHAPE, iterations=10)
    np.testing.assert_allclose(first.A, second.A, atol=1e-9)
    np.testing.assert_allclose(first.reconstruction() * 1e4, second.reconstruction(), rtol=1e-6)


@both
def test_float32_gives_nearly_the_same(method):
    Y = M0 @ (A * PSI) + NOISE
    assert error(method(Y, M0, SHAPE, iterations=10).A, method(Y.astype(np.float32), M0, SHAPE, iterations=10).A) < 1e-3


@both
@pytest.mark.parametrize("weights", [ALONE, {}])
def test_what_stands_under_the_mask_changes_nothing(method, weights):
    Y, valid = M0 @ (A * PSI) + NOISE, np.ones(A.shape[1], dtype=bool)
    valid[100:130] = False
    other = Y.copy()
    other[:, ~valid] = np.nan
    first, second = (method(data, M0, SHAPE, valid, iterations=10, **weights) for data in (Y, other))
    np.testing.assert_array_equal(first.A, second.A)
    assert error(first.A[:, valid], A[:, valid]) < 0.1
    np.testing.assert_allclose(second.A.sum(axis=0), 1, atol=1e-12)


def test_elmm_departure_is_the_scaling_of_noise_free_data():
    Y = M0 @ (A * PSI)
    found = elmm(Y, M0, SHAPE, lambda_s=10, lambda_a=0, lambda_psi=1e-2, iterations=200, tolerance=1e-6)
    np.testing.assert_allclose(found.departure(), np.abs(found.psi - 1), atol=0.02)


@both
def test_says_how_it_ended(method):
    Y = M0 @ (A * PSI) + NOISE
    assert method(Y, M0, SHAPE, tolerance=0.1).converged and not method(Y, M0, SHAPE, iterations=1, **ALONE).converged
    seen = []
    stopped = method(Y, M0, SHAPE, tolerance=0,
                     callback=lambda iteration, cost: seen.append(iteration) or iteration == 3)
    assert seen == [1, 2, 3] and stopped.iterations == 3 and not stopped.converged


@both
@pytest.mark.parametrize("change, complaint", [
    (dict(lambda_psi=0), "lambda_psi is 0"), (dict(lambda_a=-1), "lambda_a is -1"),
    (dict(shape=(4, 5)), "do not make an image"), (dict(M0=M0[:5]), "5 bands, the image 30"),
    (dict(valid=np.zeros(480, dtype=bool)), "no valid pixels"), (dict(M0=-M0), "positive"),
    (dict(M0=M0[:, [0, 0]]), "identical"), (dict(Y=np.full((30, 480), np.inf)), "not finite")])
def test_bad_input_gets_a_sentence(method, change, complaint):
    given = dict(Y=M0 @ A, M0=M0, shape=SHAPE) | change
    with pytest.raises(ValueError, match=complaint):
        method(**given)


@both
@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (6, 1)])
def test_thin_images_and_one_pixel(method, shape):
    N = shape[0] * shape[1]
    found = method(M0 @ A[:, :N], M0, shape, iterations=5)
    assert found.A.shape == (3, N) and np.isfinite(found.A).all()


def test_a_hole_does_not_disturb_its_rim():
    """Factors of 0.9 everywhere; where there are no data they follow."""
    Y, valid, rim = M0 @ (A * 0.9), np.ones(SHAPE, dtype=bool), np.zeros(SHAPE, dtype=bool)
    valid[8:14, 8:16], rim[7:15, 7:17] = False, True
    for start in ("scls", "scaled"):
        found, whole = (elmm(Y, M0, SHAPE, mask, start=start, lambda_psi=1).psi.reshape(3, *SHAPE)
                        for mask in (valid.ravel(), None))
        assert np.abs(found - whole)[:, rim & valid].max() < 0.03
        assert np.abs(found[:, ~valid] - found[:, rim & valid].mean()).max() < 0.05


@both
@pytest.mark.parametrize("start", ["scls", "scaled", "fcls"])
def test_a_dark_pixel_does_not_end_the_run(method, start):
    Y = M0 @ A
    Y[:, 5] = -0.01
    assert np.isfinite(method(Y, M0, SHAPE, lambda_a=0, start=start, iterations=5).A).all()
