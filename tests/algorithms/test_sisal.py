"""SISAL: the simplex is recovered though no pixel is pure."""

import tracemalloc

import numpy as np
import pytest
from extraction import angles, cut, planted

from subpixel.algorithms.endmembers.simplex import coordinates, reduction
from subpixel.algorithms.endmembers.sisal import sisal, sisal_corners
from subpixel.algorithms.endmembers.vca import vca
from subpixel.algorithms.pixels import moments


def mixed(P, seed, purity=0.8, **options):
    """A scene in which no material covers more than `purity` of a pixel."""
    Y, X, M, _ = planted(P, seed, alpha=0.7, side=60, **options)
    A = np.linalg.lstsq(M, X, rcond=None)[0]
    return Y[:, A.max(axis=0) <= purity], M


@pytest.mark.parametrize("P", [3, 4, 6])
def test_recovers_the_simplex_without_pure_pixels(P):
    Y, M = mixed(P, seed=P)
    found = sisal(Y, P, np.random.default_rng(0))
    assert angles(M, found.E).max() < 0.1
    assert angles(M, vca(Y, P, np.random.default_rng(0)).E).max() > 2
    assert found.converged and found.outside < 0.05


@pytest.mark.parametrize("seed", range(3))
def test_cost_never_increases_and_the_simplex_shrinks(seed):
    Y, M = mixed(4, seed, snr_db=30)
    costs = []
    found = sisal(Y, 4, np.random.default_rng(seed), callback=lambda iteration, cost: costs.append(cost))
    assert np.all(np.diff(found.costs) <= 0) and found.costs[-1] < found.costs[0]
    assert list(found.costs[1:]) == costs


def test_at_40_decibel_it_stays_near_and_is_nearer_than_any_pixel():
    Y, M = mixed(4, seed=1, snr_db=40)
    assert angles(M, sisal(Y, 4, np.random.default_rng(0)).E).max() < 2
    assert angles(M, Y).max() > 2


def test_abundances_sum_to_one():
    Y, M = mixed(3, seed=2)
    X = coordinates(Y, reduction(moments(Y), 3).apply)
    found = sisal_corners(X, 3, np.random.default_rng(0))
    np.testing.assert_allclose((np.linalg.inv(found.corners) @ X).sum(axis=0), 1)


def test_pixels_inside_have_no_part_in_the_result():
    Y, M = mixed(4, seed=3)
    X = coordinates(Y, reduction(moments(Y), 4).apply)
    whole, part = (sisal_corners(X, 4, np.random.default_rng(0), iterations=200, most=most) for most in (10**6, 300))
    assert whole.costs[-1] == pytest.approx(part.costs[-1], abs=0.02)
    np.testing.assert_allclose(whole.corners, part.corners, atol=0.05)


def test_the_minimisation_stays_within_the_memory_it_announces():
    Y, M = mixed(4, seed=3)
    X, told = np.tile(coordinates(Y, reduction(moments(Y), 4).apply), 30), []
    tracemalloc.start()
    sisal_corners(X, 4, np.random.default_rng(0), tau=1e-4, iterations=3, most=1000, room=told.append)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert 0.5 * max(told) < peak < 1.1 * max(told)


def test_blocks_change_nothing():
    Y, M = mixed(4, seed=4)
    whole, stream = (sisal(pixels, 4, np.random.default_rng(0)) for pixels in (Y, cut(Y)))
    np.testing.assert_allclose(whole.E, stream.E, rtol=1e-6)


def test_a_callback_stops_it():
    Y, M = mixed(3, seed=5)
    found = sisal(Y, 3, np.random.default_rng(0), callback=lambda iteration, cost: iteration == 4)
    assert len(found.costs) == 5 and not found.converged


def test_bad_input_is_a_sentence():
    Y, M = mixed(3, seed=6)
    with pytest.raises(ValueError, match="tau is 0; it must be positive"):
        sisal(Y, 3, np.random.default_rng(0), tau=0)
    with pytest.raises(ValueError, match="spans 2 dimensions only"):
        sisal(Y, 5, np.random.default_rng(0))
    with pytest.raises(ValueError, match="same spectrum"):
        sisal(np.ones((10, 50)), 2, np.random.default_rng(0))
