"""AIC and MDL: the ranks they promise."""

import numpy as np
import pytest
from spectral_scenes import noisy

from subpixel.algorithms.pixels import moments
from subpixel.algorithms.prepare.noise import regression_noise
from subpixel.algorithms.rank.hfc import whitened
from subpixel.algorithms.rank.information import aic, mdl


@pytest.mark.parametrize("P", [3, 5])
def test_planted_ranks_are_found_at_50_dB(P):
    found = [moments(noisy(P, 50, seed)) for seed in range(10)]
    assert [mdl(one).rank for one in found] == [P] * 10
    assert [mdl(whitened(one, regression_noise(one))).rank for one in found] == [P] * 10
    assert all(abs(aic(one).rank - P) <= 2 for one in found)


@pytest.mark.parametrize("snr_db", [50, 15, 5])
def test_the_description_length_never_asks_for_more_than_akaike(snr_db):
    for seed in range(4):
        found = moments(noisy(10, snr_db, seed))
        assert mdl(found).rank <= aic(found).rank


def test_the_curve_is_that_of_the_definition():
    found = moments(noisy(3, 20, seed=1))
    values, L, N = np.linalg.eigvalsh(found.K)[::-1], 60, found.N
    k = 4
    Lambda = N * (L - k) * np.log(values[k:].mean() / np.exp(np.log(values[k:]).mean()))
    nu = k * (2 * L - k + 1) / 2 + 1
    assert aic(found).curve[k] == pytest.approx(Lambda + 2 * nu)
    assert mdl(found).curve[k] == pytest.approx(Lambda / 2 + nu / 2 * np.log(N))


def test_noise_alone_and_one_repeated_spectrum_give_one():
    assert mdl(moments(np.random.default_rng(0).standard_normal((40, 4000)))).rank == 1
    assert mdl(moments(np.tile(np.linspace(1, 2, 40)[:, None], 500))).rank == 1


def test_noise_of_unequal_bands_floods_it_unless_whitened():
    Y = noisy(5, 50, seed=0)
    Y += np.linspace(0.001, 0.02, 60)[:, None] * np.random.default_rng(9).standard_normal(Y.shape)
    found = moments(Y)
    assert mdl(found).rank > 20 and mdl(whitened(found, regression_noise(found))).rank == 5


def test_scaling_and_blocks_change_nothing():
    Y = noisy(5, 20, seed=4)
    assert mdl(moments(1e4 * Y)).rank == mdl(moments([Y[:, :777], Y[:, 777:]])).rank == mdl(moments(Y)).rank


def test_too_few_pixels_are_a_sentence():
    with pytest.raises(ValueError, match="more pixels than bands; there are 60 pixels and 60 bands"):
        mdl(moments(noisy(3, 50, seed=0)[:, :60]))
