"""FUN: exact with pure pixels, near the truth in noise."""

import numpy as np
import pytest
from spectral_scenes import noisy, distinct_spectra

from subpixel.algorithms.pixels import moments
from subpixel.algorithms.prepare.noise import regression_noise
from subpixel.algorithms.rank.fun import fun


def run(Y, **options):
    found = moments(Y)
    noise = regression_noise(found)
    return fun(noise.denoise(Y), found, noise, **options)


@pytest.mark.parametrize("P", [2, 4, 8])
def test_pure_pixels_without_noise_are_counted_and_found_exactly(P):
    Y = noisy(P, None, seed=P, pure=True)
    result = fun(Y, moments(Y), percentage=1e-3)
    M = distinct_spectra(P, seed=P)
    assert result.rank == P and not result.reached
    nearest = [int(np.linalg.norm(M - Y[:, [i]], axis=0).argmin()) for i in result.indices]
    assert sorted(nearest) == list(range(P))
    np.testing.assert_allclose(Y[:, result.indices], M[:, nearest])


@pytest.mark.parametrize("P", [3, 5])
def test_planted_ranks_are_found_within_two_at_50_dB(P):
    assert all(abs(run(noisy(P, 50, seed)).rank - P) <= 2 for seed in range(10))


def test_pixels_are_those_of_pivoted_gram_schmidt_on_centred_data():
    Y = noisy(6, None, seed=3)
    X = Y - Y.mean(axis=1, keepdims=True)
    picks = []
    for _ in range(5):
        picks.append(int(np.square(X).sum(axis=0).argmax()))
        q = X[:, picks[-1]] / np.linalg.norm(X[:, picks[-1]])
        X = X - np.outer(q, q @ X)
    assert fun(Y, moments(Y)).indices[:5].tolist() == picks


def test_noise_does_not_count_however_many_the_pixels():
    Y = noisy(4, 35, seed=2)
    assert run(Y[:, :500]).rank == run(Y).rank == 4


def test_a_smaller_percentage_finds_more_and_a_limit_ends_it():
    Y = noisy(10, 40, seed=1)
    assert run(Y, percentage=30.0).rank < run(Y).rank
    limited = run(Y, n_max=4)
    assert limited.rank == 4 and limited.reached and len(set(limited.indices.tolist())) == 4


def test_residuals_fall_and_cuts_change_nothing():
    Y = noisy(6, 40, seed=2)
    found = moments(Y)
    noise = regression_noise(found)
    X = noise.denoise(Y)
    whole, cut = fun(X, found, noise), fun(np.split(X, [5, 900], axis=1), found, noise)
    assert whole.indices.tolist() == cut.indices.tolist()
    assert (np.diff(whole.residuals) < 0).all()


def test_a_scene_of_one_repeated_spectrum_holds_one():
    Y = np.tile(np.linspace(1, 2, 30)[:, None], 500)
    assert fun(Y, moments(Y)).rank == 1


@pytest.mark.parametrize("wrong, sentence", [({"percentage": 0}, "between 0 and 100"), ({"n_max": 61}, "from 2 to 60"),
                                             ({"n_max": 1}, "from 2 to 60")])
def test_what_cannot_be_is_a_sentence(wrong, sentence):
    with pytest.raises(ValueError, match=sentence):
        run(noisy(3, 50, seed=0), **wrong)
