"""The rank by nonnegative factorisation: planted ranks, and each criterion's own rule."""

import numpy as np
import pytest
from scipy.cluster.hierarchy import average, cophenet
from scipy.spatial.distance import pdist
from spectral_scenes import noisy

from subpixel.algorithms.rank.nmfrank import (NMFRank, clusters, cophenetic, elbow, last_stable, least_within,
                                              lengths, nmfrank, prediction_error)


def scene(P, snr, seed=0, N=300):
    return np.maximum(noisy(P, snr, seed), 0)[:, :N]


@pytest.mark.parametrize("P", [2, 4])
def test_planted_ranks_are_found(P):
    found = nmfrank(scene(P, 35, N=200), np.random.default_rng(0), most=6, restarts=2)
    assert found.rank == found.choices["mdl"] == P
    assert found.choices["elbow"] == P and abs(found.choices["crossvalidation"] - P) <= 1
    assert not found.reached and found.ranks.tolist() == list(range(1, 7))


def test_a_rank_beyond_the_largest_tried_is_called_a_limit():
    found = nmfrank(scene(6, 50), np.random.default_rng(0), most=4, restarts=2)
    assert {"crossvalidation", "mdl"} <= set(found.reached)


def test_same_seed_same_curves():
    one, two = (nmfrank(scene(3, 30, N=100), np.random.default_rng(5), most=3, restarts=2) for _ in range(2))
    assert np.array_equal(one.rmse, two.rmse) and np.array_equal(one.held_out, two.held_out)


def test_units_do_not_matter():
    Y = scene(3, 30, N=100)
    one, two = (nmfrank(unit * Y, np.random.default_rng(5), most=4, restarts=2) for unit in (1, 1e-13))
    assert two.choices == one.choices
    np.testing.assert_allclose(two.rmse, 1e-13 * one.rmse, rtol=1e-4)
    np.testing.assert_allclose(two.held_out, one.held_out, rtol=1e-4)
    np.testing.assert_allclose(np.diff(two.description), np.diff(one.description), rtol=1e-4)


def test_elbow_is_the_corner_of_a_bent_line():
    assert elbow(np.exp(-np.array([0, 3, 6, 9, 9.1, 9.2, 9.3]))) == 4


def test_the_last_stable_rank_bears_a_dip_before_it():
    assert last_stable(np.array([np.nan, 1.0, 0.95, 0.99, 0.9])) == 4


def test_within_a_standard_error_the_smaller_rank_counts():
    errors, spread = np.array([1.0, 0.31, 0.30, 0.32]), np.array([0.1, 0.02, 0.02, 0.02])
    assert least_within(errors, spread) == 2 and least_within(errors, spread / 10) == 3


def test_a_description_grows_with_the_numbers_that_it_needs():
    length = lengths(np.array([0.1, 0.1]), 50, 1000, 1e-9)
    assert length[1] - length[0] == pytest.approx((50 * np.log(1000) + 1000 * np.log(50) - np.log(50000)) / 2)
    assert lengths(np.array([0.1]), 50, 1000, 1e-9)[0] - lengths(np.array([0.05]), 50, 1000, 1e-9)[0] == \
        pytest.approx(50000 * np.log(2))


def test_cophenetic_correlation_is_scipys_and_one_where_restarts_agree():
    rng = np.random.default_rng(0)
    label = rng.integers(0, 3, 40)
    assert cophenetic([label, (label + 1) % 3, 2 - label]) == 1.0
    labels = [np.where(rng.random(40) < 0.3, rng.integers(0, 3, 40), label) for _ in range(4)]
    consensus = np.mean([pdist(one[:, None], lambda a, b: a[0] != b[0]) for one in labels], axis=0)
    assert cophenetic(labels) == pytest.approx(cophenet(average(consensus), consensus)[0])
    assert cophenetic([rng.integers(0, 3, 40) for _ in range(4)]) < 0.9


def test_the_recommended_rank_is_the_upper_median():
    choices = {"elbow": 2, "cophenetic": 9, "crossvalidation": 4, "mdl": 5}
    assert NMFRank(np.arange(1, 11), *[None] * 5, choices).rank == 5


def test_a_choice_that_is_the_largest_rank_tried_has_no_say():
    ranks, choices = np.arange(1, 11), {"elbow": 3, "cophenetic": 5, "crossvalidation": 10, "mdl": 10}
    assert NMFRank(ranks, *[None] * 5, choices).rank == 5
    assert NMFRank(ranks, *[None] * 5, dict.fromkeys(choices, 10)).rank == 10


def test_pixels_belong_to_the_endmember_with_the_largest_part():
    assert clusters(np.array([[1.0, 0.1], [1.0, 0.1]]), np.array([[0.4, 0.05], [0.6, 0.9]])).tolist() == [0, 1]
    assert clusters(np.array([[1.0, 0.1], [1.0, 0.1]]), np.array([[0.4], [0.6]])).tolist() == [0]


def test_a_prediction_is_the_same_whatever_was_held_out():
    Y = scene(3, 25)
    mask = np.random.default_rng(1).random(Y.shape) < 0.1
    errors = [prediction_error(Y + shift * mask, 3, mask, np.random.default_rng(2)) for shift in (0.0, 1.0, 2.0)]
    assert errors[2] - 2 * errors[1] + errors[0] == pytest.approx(2, rel=1e-12)   # of squares of Z - Y - shift


def test_values_held_out_do_not_enter_their_own_prediction():
    Y = scene(3, None)
    mask = np.random.default_rng(1).random(Y.shape) < 0.1
    spoilt = np.where(mask, 50 * Y.max(), Y)
    one = prediction_error(Y, 3, mask, np.random.default_rng(2))
    assert one < 1e-3 * np.square(Y[mask]).mean()
    other = prediction_error(spoilt, 3, mask, np.random.default_rng(2))
    # the same factors predict both, so that only what is compared differs
    assert other == pytest.approx(np.square(50 * Y.max() - Y[mask]).mean(), rel=0.01)


@pytest.mark.parametrize("options, sentence", [(dict(most=2), "from 3 to 60"), (dict(most=61), "from 3 to 60"),
                                               (dict(restarts=1), "at least 2")])
def test_bad_options_get_a_sentence(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        nmfrank(scene(3, 30), np.random.default_rng(0), **options)


@pytest.mark.parametrize("rows, columns", [(2, 300), (60, 2)])
def test_too_few_bands_or_pixels_get_a_sentence(rows, columns):
    with pytest.raises(ValueError, match=f"{columns} pixels of {rows} bands, and at least 3 of both"):
        nmfrank(scene(3, 30)[:rows, :columns], np.random.default_rng(0), most=3)


def test_negative_data_are_counted():
    with pytest.raises(ValueError, match="18000 of 18000 values are negative"):
        nmfrank(-1 - scene(3, 30), np.random.default_rng(0))
