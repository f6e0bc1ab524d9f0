"""Simulated states: their dynamics, noise, gaps and changes are what is asked for, and smooth over the map."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from subpixel.algorithms.simulate.states import CASES, PACE, YEAR, simulate_states
from subpixel.algorithms.state_estimation.model import fitzhugh_nagumo, lorenz

ROWS, COLS = 40, 50
DAYS = np.cumsum([0, 10, 20, 15, 15, 30, 15, 15, 10, 20, 15, 15, 15, 15, 15, 15, 20, 10, 15, 15, 15, 15, 15, 15.0])


def simulated(case, seed=0, days=DAYS, **options):
    return simulate_states(case, ROWS, COLS, days, np.random.default_rng(seed), **options)


@pytest.mark.parametrize("case", CASES)
def test_has_the_shapes_noise_and_gaps_asked_for(case):
    found = simulated(case, noise=0.1, gaps=0.3)
    L, T, N = len(CASES[case]), len(DAYS), ROWS * COLS
    assert found.X.shape == found.Y.shape == (T, L, N) and found.names == list(CASES[case])
    assert found.valid.shape == (T, N) and found.date.shape == (N,)
    assert (~found.valid).mean() == pytest.approx(0.3, abs=1 / N)
    assert (found.valid.mean(axis=1) >= 0.1).all() and np.std(found.valid.mean(axis=1)) > 0.1
    np.testing.assert_array_equal(np.isnan(found.Y).any(axis=1), ~found.valid)
    np.testing.assert_allclose(found.noise, 0.1 * found.X.std(axis=(0, 2)), rtol=1e-5)
    off = np.nanstd(found.Y - found.X, axis=(0, 2))
    np.testing.assert_allclose(off, found.noise, rtol=0.03)
    assert all(each.shape == (N,) for each in found.parameters.values())


@pytest.mark.parametrize("case", CASES)
def test_maps_parameters_and_gaps_are_smooth_in_space(case):
    found = simulated(case)

    def roughness(values):
        values = np.asarray(values, float).reshape(ROWS, COLS)
        return np.mean(np.square(np.diff(values, axis=1))) / max(2 * values.var(), 1e-12)
    for each in found.parameters.values():
        assert roughness(each) < 0.3
    assert np.mean([roughness(each[0]) for each in found.X]) < 0.4
    partly = [each for each in found.valid if 0.2 < each.mean() < 0.8]
    assert partly and np.mean([roughness(each) for each in partly]) < 0.4


def test_clear_series_without_noise_are_the_truth():
    found = simulated("seasonal", noise=0.0, gaps=0.0, change=0.0)
    np.testing.assert_array_equal(found.Y, found.X)
    assert found.valid.all() and (found.date == -1).all()


def test_walks_take_the_steps_asked_for():
    for steps in (None, 0.6):
        found = simulated("walk", change=0.0, steps=steps)
        moves = np.diff(found.X[:, 0], axis=0) / np.sqrt(np.diff(DAYS) / YEAR)[:, None]
        assert moves.std() == pytest.approx(steps or 0.3, rel=0.1)
        np.testing.assert_allclose(found.X[0, 0], found.parameters["start"], rtol=1e-6)


def test_seasons_come_again_after_a_year():
    days = np.array([0.0, 50.0, 150.0, 365.25, 415.25])
    found = simulated("seasonal", change=0.0, days=days)
    np.testing.assert_allclose(found.X[3:], found.X[:2], rtol=1e-5)
    np.testing.assert_array_equal(simulated("seasonal", change=0.0, days=days + 1000).X, found.X)
    peak = found.parameters["day of the peak"]
    height = found.parameters["level"] + found.parameters["amplitude"] + found.parameters["second amplitude"]
    near = np.abs(peak - 150) < 2
    assert near.any()
    np.testing.assert_allclose(found.X[2, 0, near], height[near], atol=2e-3)


@pytest.mark.parametrize("rate", [4.0, -3.0])
def test_logistic_courses_solve_their_equation(rate):
    found = simulated("logistic", rate=rate, change=0.0)
    r, K = found.parameters["rate"], found.parameters["capacity"]
    assert np.abs(r / rate - 1).max() <= 1 / 3 and K.min() >= 0.7 and K.max() <= 0.95
    for pixel in (0, 777, 1999):
        solved = solve_ivp(lambda t, x: r[pixel] / YEAR * x * (1 - x / K[pixel]), (0, DAYS[-1]),
                           [found.parameters["start"][pixel]], t_eval=DAYS, rtol=1e-8, atol=1e-10).y[0]
        np.testing.assert_allclose(found.X[:, 0, pixel], solved, atol=1e-5)
    assert np.sign(found.X[-1] - found.X[0]).mean() == np.sign(rate)


def test_decay_with_random_steps_stays_within_the_capacity_it_comes_from():
    """Beyond it the equation would lead away from it, to infinity."""
    found = simulated("logistic", rate=-2.0, steps=0.5, change=0.0)
    X, K = found.X[:, 0], found.parameters["capacity"]
    assert X.min() >= 0 and X.max() <= 1
    over = X[:-1] > K
    moves = (np.diff(X, axis=0) - (K - X[:-1]))[over]   # of such pixels from the capacity on: random steps alone
    assert over.any() and abs(moves.mean()) < 0.03 and abs(np.sort(moves)[len(moves) // 2]) < 0.03


@pytest.mark.parametrize("case, system", [("fitzhughnagumo", fitzhugh_nagumo), ("lorenz", lorenz)])
def test_systems_solve_their_equations(case, system):
    found = simulated(case, change=0.5)
    assert (found.date == -1).all()
    start = found.X[0]
    for pixel in (3, 1500):
        solved = solve_ivp(lambda t, x: system(x), (0, PACE[case] * DAYS[-1]), start[:, pixel].astype(float),
                           t_eval=PACE[case] * DAYS, rtol=1e-9, atol=1e-9).y
        np.testing.assert_allclose(found.X[:, :, pixel].T, solved, atol=0.02 * found.X.std())
    faster = simulated(case, pace=2 * PACE[case])
    halved = simulated(case, days=DAYS * 2)
    np.testing.assert_allclose(faster.X, halved.X, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("case, after", [("walk", lambda x: x - 0.3), ("logistic", lambda x: 0.2 * x)])
def test_a_share_of_the_pixels_changes_at_once_in_patches(case, after):
    found = simulated(case, change=0.15, steps=0.0, rate=0.0)   # nothing else moves
    changed = found.date >= 0
    assert changed.mean() == pytest.approx(0.15, abs=1e-3)
    assert found.date[changed].min() >= 6 and found.date.max() < 18 and len(np.unique(found.date[changed])) > 1
    for pixel in np.flatnonzero(changed)[::40]:
        t = found.date[pixel]
        np.testing.assert_allclose(found.X[t, 0, pixel], after(found.X[t - 1, 0, pixel]), rtol=1e-5)
        np.testing.assert_array_equal(found.X[t:, 0, pixel], found.X[t, 0, pixel])
    np.testing.assert_allclose(np.diff(found.X[:, 0, ~changed], axis=0), 0, atol=1e-6)
    beside = changed.reshape(ROWS, COLS)
    assert (beside[:, 1:] == beside[:, :-1]).mean() > 0.9


def test_a_season_falls_to_half_its_level():
    found = simulated("seasonal", change=0.15)
    p, day = found.parameters, DAYS[:, None]
    angle = 2 * np.pi * (day - p["day of the peak"]) / YEAR
    wave = p["amplitude"] * np.cos(angle) + p["second amplitude"] * np.cos(2 * angle)
    after = (found.date >= 0) & (np.arange(len(DAYS))[:, None] >= found.date)
    np.testing.assert_allclose(found.X[:, 0], np.where(after, 0.5, 1) * p["level"] + wave, atol=1e-6)


def test_no_date_of_a_small_map_is_hidden_entirely():
    found = simulate_states("walk", 2, 2, DAYS, np.random.default_rng(0), gaps=0.8)
    assert found.valid.any(axis=1).all()


def test_the_rest_makes_fractions_sum_to_one():
    found = simulated("logistic", rest=True, noise=0.5)
    assert found.names == ["vegetation", "other"] and len(found.noise) == 2
    for values in (found.X, found.Y):
        np.testing.assert_allclose(np.where(found.valid, values.sum(axis=1), 1), 1, atol=1e-6)
        assert np.nanmin(values) >= 0
    np.testing.assert_array_equal(found.X[:, :1], simulated("logistic", noise=0.5).X)


def test_the_same_seed_gives_the_same_and_another_another():
    a, b, c = simulated("walk"), simulated("walk"), simulated("walk", seed=1)
    np.testing.assert_array_equal(a.Y, b.Y)
    assert (a.X != c.X).any() and (a.valid != c.valid).any()


@pytest.mark.parametrize("case, options, sentence", [
    ("tides", {}, "no dynamics 'tides'"), ("walk", {"gaps": 0.9}, "share of gaps is 0.9"),
    ("walk", {"change": 2}, "pixels that change is 2"), ("walk", {"noise": -1}, "noise is -1"),
    ("walk", {"steps": -1}, "steps are -1"), ("walk", {"rest": True}, "walk are no fraction's"),
    ("lorenz", {"steps": 1e4}, "beyond all numbers at date [2-9]: take smaller"),
    ("walk", {"days": DAYS[:3]}, "number of dates is 3"), ("walk", {"days": DAYS[::-1]}, "is before date 1")])
def test_bad_input_is_a_sentence(case, options, sentence):
    with pytest.raises(ValueError, match=sentence):
        simulated(case, **options)
