"""Errors and assignments against hand-made truth."""

import numpy as np
import pytest

from subpixel.algorithms.check.metrics import assign, match, r2, rmse, sad, zscored_sad


@pytest.fixture
def M():
    return np.random.default_rng(1).random((50, 4))


def test_the_angle_of_equal_spectra_is_zero_whatever_their_brightness(M):
    assert sad(M, 3.7 * M).max() < 1e-14


@pytest.mark.parametrize("angle", [1e-12, 1e-7, 0.3, 2.0])
def test_known_angles_come_out(angle):
    M = np.array([[2.0], [0.0]])
    assert sad(M, np.array([[np.cos(angle)], [np.sin(angle)]]))[0] == pytest.approx(angle, rel=1e-12)


def test_the_angle_of_integers_is_that_of_their_values():
    assert sad(np.array([[30000], [30000]], np.int16), np.array([[30000], [0]], np.int16)) == pytest.approx(np.pi / 4)


def test_a_zero_spectrum_has_no_angle(M):
    M_hat = M.copy()
    M_hat[:, 1] = 0
    assert np.flatnonzero(np.isnan(sad(M, M_hat))).tolist() == [1]


def test_the_zscored_angle_is_that_of_the_zscored_spectra(M):
    other = np.random.default_rng(2).random(M.shape)
    def z(X):
        return (X - X.mean(axis=0)) / X.std(axis=0)
    expected = np.arccos(np.sum(z(M) * z(other), axis=0) / len(M))
    assert np.allclose(zscored_sad(M, other), expected)
    assert zscored_sad(M, 2 * M + 5).max() < 1e-7


def test_rmse_and_r2_by_hand():
    A = np.array([[0.0, 1.0], [0.5, 0.5]])
    A_hat = np.array([[0.3, 0.6], [0.5, 0.5]])
    assert rmse(A, A_hat) == pytest.approx([np.sqrt((0.09 + 0.16) / 2), 0])
    assert r2(A, A_hat)[0] == pytest.approx(1 - 0.25 / 0.5)
    assert np.isnan(r2(A, A_hat)[1])


def test_matching_finds_a_permutation_among_more_estimates(M):
    order = [2, 0, 3, 1]
    M_hat = np.hstack([np.random.default_rng(5).random((50, 2)), 0.5 * M[:, order]])
    assert np.array_equal(M_hat[:, match(M, M_hat)], 0.5 * M)


def test_the_assignment_is_the_best_one_not_the_greedy_one():
    assert assign([[0.0, 0.1], [0.2, 9.0]]).tolist() == [1, 0]


def test_what_does_not_fit_is_a_sentence(M):
    with pytest.raises(ValueError, match="4 references cannot be matched with 3"):
        match(M, M[:, :3])
    with pytest.raises(ValueError, match="50 bands"):
        match(M, M[:40])
    with pytest.raises(ValueError, match="match them first"):
        rmse(M, M[:, :3])
