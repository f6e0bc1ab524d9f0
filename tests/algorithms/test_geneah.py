"""GENE-AH and GENE-CH: exact on noise-free hulls, near the truth in noise."""

import numpy as np
import pytest
from spectral_scenes import noisy

from subpixel.algorithms.pixels import moments
from subpixel.algorithms.prepare.noise import regression_noise
from subpixel.algorithms.rank.geneah import gene, gene_reduction


def run(Y, hull="affine", pfa=1e-5, n_max=20, cuts=None):
    found = moments(Y)
    reduction = gene_reduction(found, regression_noise(found), n_max)
    X = reduction.apply(Y)
    return gene(X if cuts is None else np.split(X, cuts, axis=1), reduction, pfa, hull)


@pytest.mark.parametrize("hull", ["affine", "convex"])
@pytest.mark.parametrize("P", [2, 3, 7])
def test_pure_pixels_without_noise_are_counted_exactly(P, hull):
    assert run(noisy(P, None, seed=P, pure=True), hull).rank == P


@pytest.mark.parametrize("P", [3, 7])
def test_the_affine_hull_needs_no_pure_pixels(P):
    assert run(noisy(P, None, seed=P)).rank == P


@pytest.mark.parametrize("P", [3, 5])
def test_planted_ranks_are_found_within_two_at_50_dB(P):
    assert all(abs(run(noisy(P, 50, seed)).rank - P) <= 2 for seed in range(10))
    assert all(abs(run(noisy(P, 50, seed, pure=True), "convex").rank - P) <= 2 for seed in range(10))


def test_the_first_statistic_at_or_below_the_threshold_ends_it():
    result = run(noisy(4, 40, seed=0))
    assert (result.statistics[:-1] > result.threshold).all() and result.statistics[-1] <= result.threshold
    assert result.rank == len(result.statistics) == len(result.indices) and not result.reached


def test_a_limit_that_is_reached_is_told():
    result = run(noisy(8, 50, seed=0), n_max=5)
    assert result.rank == 5 and result.reached


def test_cuts_and_scales_change_nothing():
    Y = noisy(6, 35, seed=2)
    whole = run(Y)
    cut, scaled = run(Y, cuts=[13, 1000, 1001, 3900]), run(1e4 * Y)
    assert whole.indices.tolist() == cut.indices.tolist() == scaled.indices.tolist()
    np.testing.assert_allclose(whole.statistics, scaled.statistics, rtol=1e-6)


@pytest.mark.parametrize("cuts", [None, [100, 2500, 4001], [3001, 5999]])
def test_pixels_that_come_twice_are_taken_where_they_come_first(cuts):
    Y = noisy(5, 40, seed=4)
    found = moments(Y)
    reduction = gene_reduction(found, regression_noise(found), 20)
    X = reduction.apply(Y)
    twice = np.hstack([X, X])
    once, again = gene(X, reduction), gene(twice if cuts is None else np.split(twice, cuts, axis=1), reduction)
    assert again.indices.tolist() == once.indices.tolist() and again.rank == once.rank


def test_a_scene_of_one_repeated_spectrum_holds_one():
    Y = np.tile(np.linspace(1, 2, 30)[:, None], 500)
    assert run(Y).rank == run(Y, "convex").rank == 1


def test_a_larger_probability_never_counts_fewer():
    Y = noisy(6, 20, seed=1)
    counts = [run(Y, pfa=pfa).rank for pfa in (1e-9, 1e-5, 1e-2, 0.4)]
    assert counts == sorted(counts)


def test_a_callback_stops_it():
    assert run(noisy(6, 50, seed=1)).rank == 6
    found = moments(noisy(6, 50, seed=1))
    reduction = gene_reduction(found, regression_noise(found), 20)
    result = gene(reduction.apply(noisy(6, 50, seed=1)), reduction, callback=lambda count, r: count == 3)
    assert result.rank == 3 and result.reached


@pytest.mark.parametrize("wrong, sentence", [
    ({"pfa": 0.5}, "between 0 and 0.5"), ({"hull": "round"}, "must be one of: affine, convex"),
    ({"n_max": 61}, "limit from 2 to 60"), ({"n_max": 1}, "limit from 2 to 60")])
def test_what_cannot_be_is_a_sentence(wrong, sentence):
    with pytest.raises(ValueError, match=sentence):
        run(noisy(3, 50, seed=0), **wrong)
