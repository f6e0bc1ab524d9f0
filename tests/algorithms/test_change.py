"""Changes of abundances, against cases made by hand."""

import numpy as np
import pytest

from subpixel.algorithms.multitemporal.change import (date_of_change, follow, index, transition_codes,
                                                      transition_counts)

NO = np.nan


def pixel(*dates):
    """Abundances (T, P, 1) of one pixel from its fractions at each date; None where it is unknown."""
    P = len(next(date for date in dates if date))
    return np.array([date or [NO] * P for date in dates])[:, :, None]


def test_the_index_is_the_share_that_became_another_endmember():
    A = np.array([[1.0, 0.5, 0.2, 0.6], [0, 0.5, 0.3, 0.4], [0, 0, 0.5, 0]])
    B = np.array([[0.0, 0.5, 0.5, 0.5], [1, 0.5, 0.0, 0.5], [0, 0, 0.5, 0]])
    np.testing.assert_allclose(index(A, B), [1, 0, 0.3, 0.1])


def test_the_index_of_fractions_lies_between_0_and_1():
    A, B = np.random.default_rng(0).dirichlet([0.3] * 4, (2, 1000)).transpose(0, 2, 1)
    assert 0 <= index(A, B).min() and 0.9 < index(A, B).max() <= 1
    np.testing.assert_allclose(index(A, B), index(B, A))


def test_steps_lead_from_date_to_date_and_ends_are_the_first_and_the_last():
    found = follow(pixel([1, 0], [0.9, 0.1], [0.2, 0.8], [0.3, 0.7]))
    np.testing.assert_allclose(found.steps[:, 0], [0.1, 0.7, 0.1])
    np.testing.assert_allclose([found.first[:, 0], found.last[:, 0]], [[1, 0], [0.3, 0.7]])


@pytest.mark.parametrize(("dates", "steps", "first", "last"), [
    (([1, 0], None, [0.4, 0.6], [0.4, 0.6]), [NO, 0.6, 0], [1, 0], [0.4, 0.6]),
    ((None, [1, 0], None, [0.5, 0.5]), [NO, NO, 0.5], [1, 0], [0.5, 0.5]),
    (([1, 0], [0.5, 0.5], None, None), [0.5, NO, NO], [1, 0], [0.5, 0.5]),
    ((None, [1, 0], None, None), [NO, NO, NO], [NO, NO], [NO, NO]),
    ((None, None, [0, 0], None), [NO, NO, NO], [NO, NO], [NO, NO])])
def test_gaps_are_bridged_to_the_next_known_date(dates, steps, first, last):
    found = follow(pixel(*dates))
    np.testing.assert_allclose(found.steps[:, 0], steps)
    np.testing.assert_allclose(found.first[:, 0], first)
    np.testing.assert_allclose(found.last[:, 0], last)


def test_what_is_not_valid_has_no_influence():
    rng = np.random.default_rng(1)
    A, valid = rng.dirichlet(np.ones(3), (5, 40)).transpose(0, 2, 1), rng.random((5, 40)) > 0.4
    results = [follow(np.where(valid[:, None], A, filler), valid) for filler in (np.nan, -32768, 7)]
    results.append(follow(np.where(valid[:, None], A, np.nan)))
    for other in results[1:]:
        for name in ("first", "last", "steps"):
            np.testing.assert_array_equal(getattr(other, name), getattr(results[0], name))
    assert np.isnan(results[0].steps).any() and np.isfinite(results[0].steps).any()


def test_pixels_do_not_depend_on_each_other():
    rng = np.random.default_rng(2)
    A, order = rng.dirichlet(np.ones(3), (4, 30)).transpose(0, 2, 1), rng.permutation(30)
    np.testing.assert_array_equal(follow(A[:, :, order]).steps, follow(A).steps[:, order])


def test_the_date_of_change_is_that_to_which_the_largest_step_leads():
    steps = np.array([[0.1, 0.4, 0.5, NO, NO, 0.25],
                      [0.9, 0.4, NO, 0.3, NO, 0.25],
                      [0.2, 0.1, 0.6, NO, NO, 0.1]])
    assert date_of_change(steps, 0.25).tolist() == [3, 2, 4, 3, 0, 1]
    assert date_of_change(steps, 0.5).tolist() == [3, 1, 4, 1, 0, 1]
    assert date_of_change(np.zeros((2, 1)), 0.0).tolist() == [1]


def test_transitions_are_pairs_of_classes():
    before, after = (np.array(classes, dtype=np.uint8) for classes in ([1, 1, 2, 3, 0, 3, 12], [1, 2, 1, 3, 2, 0, 3]))
    codes = transition_codes(before, after)
    assert codes.tolist() == [101, 102, 201, 303, 0, 0, 1203]
    counts = transition_counts(codes, 12)
    assert counts[:3, :3].tolist() == [[1, 1, 0], [1, 0, 0], [0, 0, 1]]
    assert counts[11, 2] == 1 and counts.sum() == 5


@pytest.mark.parametrize(("call", "words"), [
    (lambda: follow(np.ones((1, 2, 3))), "at least two dates"),
    (lambda: follow(np.ones((2, 3))), "at least two dates"),
    (lambda: follow(np.ones((2, 2, 3)), np.ones((2, 4))), r"has the shape \(2, 4\), the abundances need \(2, 3\)"),
    (lambda: date_of_change(np.ones((1, 2)), 1.5), "is 1.5: it must be between 0 and 1")])
def test_bad_arguments_are_a_sentence(call, words):
    with pytest.raises(ValueError, match=words) as error:
        call()
    assert str(error.value).endswith(".")
