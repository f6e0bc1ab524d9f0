"""Whiteness: the cumulative periodogram by its definition, and Bartlett's band at its nominal rate."""

import numpy as np
import pytest
from scipy.stats import kstwo

from subpixel.algorithms.state_estimation.whiteness import band, cumulative_periodogram, whiteness


@pytest.mark.parametrize("T", (6, 7, 24))
def test_the_cumulative_periodogram_is_that_of_the_definition(T):
    v = np.random.default_rng(0).normal(size=T) + 3
    power = [abs(sum(v[t] * np.exp(-2j * np.pi * k * t / T) for t in range(T)))**2 for k in range(1, (T - 1) // 2 + 1)]
    expected = np.r_[0, np.cumsum(power) / np.sum(power)]
    found = cumulative_periodogram(v)
    np.testing.assert_allclose(found, expected, atol=1e-12)
    np.testing.assert_allclose(whiteness(v).deviation,
                               np.sqrt(np.sum((np.linspace(0, 1, len(expected)) - expected)**2)))


@pytest.mark.parametrize("T", (7, 12, 50, 51))
def test_white_noise_is_inside_the_band_at_its_nominal_rate(T):
    """12,000 series: the rate is known to 0.002, of which five are allowed."""
    found = whiteness(np.random.default_rng(T).normal(size=(12000, T)))
    for level in (0.95, 0.8):
        assert abs((found.statistic <= band(T, level)).mean() - level) < 5 * np.sqrt(level * (1 - level) / 12000)
    np.testing.assert_array_equal(found.statistic <= band(T), found.probability >= kstwo.sf(band(T), (T - 1) // 2 - 1))


def test_what_is_left_of_white_noise_after_gaps_is_white_noise():
    rng = np.random.default_rng(1)
    v = rng.normal(size=(6000, 40))
    v[rng.random(v.shape) < 0.3] = np.nan
    assert abs((whiteness(v).probability >= 0.05).mean() - 0.95) < 5 * np.sqrt(0.95 * 0.05 / 6000)
    one = v[7]
    assert whiteness(v).deviation[7] == whiteness(one[~np.isnan(one)]).deviation


def test_slow_and_fast_series_deviate_and_a_walk_more_than_its_steps():
    t, rng = np.arange(60), np.random.default_rng(2)
    steps = rng.normal(size=60)
    found = whiteness(np.stack([np.sin(2 * np.pi * t / 60), np.cos(np.pi * t) * (1 + t / 60), np.cumsum(steps), steps]))
    assert (found.probability[:3] < 1e-6).all() and found.probability[3] > 0.05
    assert (found.deviation[:3] > 2 * found.deviation[3]).all()


def test_the_mean_and_the_unit_are_no_matter_and_a_constant_does_not_deviate():
    v = np.random.default_rng(3).normal(size=(2, 31))
    np.testing.assert_allclose(whiteness(5 + 1e-6 * v).deviation, whiteness(v).deviation, rtol=1e-6)
    assert whiteness(np.full(20, 0.3)).deviation < 1e-12


def test_short_series_are_refused():
    with pytest.raises(ValueError, match="has 4 values"):
        whiteness(np.array([[1, 2, np.nan, 3, 4, np.nan], [1, 2, 3, 4, 5, 6]]))
    with pytest.raises(ValueError, match="series of 4 values"):
        band(4)
