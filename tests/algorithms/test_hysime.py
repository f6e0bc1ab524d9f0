"""HySime: the rank it promises."""

import numpy as np
import pytest

from subpixel.algorithms.pixels import moments
from subpixel.algorithms.prepare.noise import regression_noise
from subpixel.algorithms.rank.hysime import hysime


def scene(L, P, N, sigma, seed):
    rng = np.random.default_rng(seed)
    X = rng.uniform(0.0, 1.0, (L, P)) @ rng.dirichlet(np.ones(P), N).T
    return X + sigma * rng.standard_normal((L, N))


def rank(Y):
    found = moments(Y)
    return hysime(found, regression_noise(found)).rank


@pytest.mark.parametrize("P", [2, 5, 9])
@pytest.mark.parametrize("sigma", [0.0, 0.003])
def test_mixtures_of_P_spectra_have_rank_P(P, sigma):
    assert rank(scene(60, P, 2000, sigma, seed=P)) == P


def test_pure_noise_has_no_signal():
    found = moments(np.random.default_rng(0).standard_normal((40, 4000)))
    result = hysime(found, regression_noise(found))
    assert result.rank == 0 and result.E.shape == (40, 0)


@pytest.mark.parametrize("scale", [1e-5, 1e5])
def test_scaling_the_scene_changes_nothing(scale):
    Y = scene(60, 6, 2000, 0.05, seed=1)
    assert rank(scale * Y) == rank(Y)


def test_the_curve_is_lowest_at_the_rank_and_is_made_of_the_powers():
    found = moments(scene(50, 4, 2000, 0.02, seed=2))
    result = hysime(found, regression_noise(found))
    assert result.mse.argmin() == result.rank == 4
    assert result.mse[0] == pytest.approx(np.trace(found.R))
    np.testing.assert_allclose(np.diff(result.mse), 2 * result.noise_powers - result.powers)


def test_the_basis_is_orthonormal_and_spans_the_signal():
    Y = scene(50, 4, 2000, 0.0, seed=3)
    found = moments(Y)
    E = hysime(found, regression_noise(found)).E
    np.testing.assert_allclose(E.T @ E, np.eye(4), atol=1e-12)
    np.testing.assert_allclose(E @ (E.T @ Y), Y, atol=1e-7)


@pytest.mark.parametrize("noise", [np.full(60, 1e-4), 1e-4 * np.eye(60)])
def test_a_noise_known_otherwise_is_taken(noise):
    assert hysime(moments(scene(60, 5, 3000, 0.01, seed=4)), noise).rank == 5


def test_noise_of_other_bands_is_a_sentence():
    with pytest.raises(ValueError, match="7 bands, the pixels 60"):
        hysime(moments(scene(60, 5, 300, 0.01, seed=4)), np.ones(7))
