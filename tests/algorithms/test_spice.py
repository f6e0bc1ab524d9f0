"""SPICE: drops what no pixel needs, and nothing else."""

import numpy as np
import pytest
from spectral_scenes import noisy, distinct_spectra

from subpixel.algorithms.abundances.fcls import fcls
from subpixel.algorithms.rank.spice import abundances, spice

PIXELS = 300


def run(Y, seed=0, **options):
    return spice(Y[:, :PIXELS], np.random.default_rng(seed), **{"gamma": 1.0, "start": 10, **options})


@pytest.mark.parametrize("P", [3, 5])
def test_planted_ranks_are_found_within_two_at_50_dB(P):
    ranks = [run(noisy(P, 50, seed), iterations=100).rank for seed in range(10)]
    assert all(abs(rank - P) <= 2 for rank in ranks), ranks


def test_abundances_are_fractions_that_rebuild_the_scene():
    Y = noisy(3, 50, seed=1)[:, :PIXELS]
    result = run(Y)
    assert result.A.min() >= 0 and np.abs(result.A.sum(axis=0) - 1).max() < 1e-9
    assert np.linalg.norm(Y - result.M @ result.A) < 0.03 * np.linalg.norm(Y)
    assert result.converged and (np.diff(result.counts) <= 0).all() and result.counts[-1] == result.rank


def test_without_sparsity_nothing_is_dropped_and_the_cost_never_rises():
    result = run(noisy(4, 30, seed=2), gamma=0.0, start=6, iterations=60)
    assert result.rank == 6
    assert (np.diff(result.costs) <= 1e-9 * result.costs[0]).all()


def test_as_many_as_there_are_stay_where_the_start_is_the_truth():
    M = distinct_spectra(4, seed=3)
    result = run(M, start=4, gamma=1e-3, u=0.0)
    assert result.rank == 4
    np.testing.assert_allclose(result.M @ result.A, M, atol=1e-2)


def test_a_spread_that_weighs_all_draws_the_endmembers_together():
    Y = noisy(4, 30, seed=2)
    near, far = (run(Y, gamma=0.0, start=4, u=u, iterations=30).M.std(axis=1).mean() for u in (0.99, 0.001))
    assert near < 0.2 * far


def test_a_stronger_sparsity_keeps_fewer():
    Y = noisy(6, 30, seed=4)
    assert run(Y, gamma=20.0, iterations=100).rank < run(Y, gamma=0.05, iterations=100).rank


def test_scaling_changes_nothing_but_the_units_and_a_seed_gives_one_result():
    Y = noisy(3, 40, seed=5)
    once, scaled = run(Y, iterations=30), run(1000 * Y, iterations=30)
    assert once.rank == scaled.rank
    np.testing.assert_allclose(scaled.M, 1000 * once.M, rtol=1e-4)
    assert np.array_equal(once.M, run(Y, iterations=30).M)


def test_a_scene_of_one_repeated_spectrum_ends_with_it():
    y = np.linspace(1, 2, 30)[:, None]
    result = run(np.tile(y, 100), start=5)
    np.testing.assert_allclose(result.M @ result.A, np.tile(y, 100), rtol=1e-4)
    assert result.rank <= 5


def test_abundances_are_those_of_fcls():
    Y, M = noisy(4, 30, seed=6)[:, :100], distinct_spectra(4, seed=6)
    np.testing.assert_allclose(abundances(Y, M), fcls(Y, M).A, atol=1e-6)


def test_a_callback_stops_it_and_it_says_so():
    result = run(noisy(4, 30, seed=2), callback=lambda iteration, cost: iteration == 2)
    assert len(result.costs) == 3 and not result.converged


@pytest.mark.parametrize("wrong, sentence", [
    ({"start": 1}, "Choose 2 to 300"), ({"start": 301}, "Choose 2 to 300"), ({"u": 1.0}, "below 1"),
    ({"gamma": -1.0}, "at least 0"), ({"iterations": 0}, "above 0")])
def test_what_cannot_be_is_a_sentence(wrong, sentence):
    with pytest.raises(ValueError, match=sentence):
        run(noisy(3, 50, seed=0), **wrong)


def test_pixels_without_values_are_a_sentence():
    with pytest.raises(ValueError, match="all zero or not all finite"):
        run(np.zeros((10, 50)), start=3)
