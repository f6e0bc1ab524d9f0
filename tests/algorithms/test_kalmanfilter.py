"""Smoothed and continued series: against the least-squares system, pattern by pattern, and planted noise found."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.linalg import block_diag, expm

import subpixel.algorithms.state_estimation.kalmanfilter as kalmanfilter
from subpixel.algorithms.state_estimation.kalman import kalman_filter, smooth
from subpixel.algorithms.state_estimation.kalmanfilter import estimate, noise_levels
from subpixel.algorithms.state_estimation.model import (LinearOperator, LinearTrend, Logistic, RandomWalk, Seasonal,
                                                        start)

DAYS = np.array([0.0, 12.0, 17.0, 40.0, 41.0, 60.0, 75.0, 100.0])
AT = np.array([30.0, 41.0, 120.0, 150.0])
COUPLED = LinearOperator(expm(0.05 * np.array([[-0.4, 1.0], [-1.0, -0.4]])), 0.02 * np.eye(2), 1.0)


def series(Q=30, m=1, seed=0):
    """Noisy waves with gaps, of which some series share theirs."""
    rng = np.random.default_rng(seed)
    y = np.sin(DAYS / 20)[:, None, None] + rng.normal(0, 0.3, (len(DAYS), Q, m))
    y[rng.random((len(DAYS), 4, m))[:, rng.integers(4, size=Q)] < 0.3] = np.nan
    return y


def direct(y, model):
    """(5.3.5) for one series (T, m) at the dates of DAYS and AT: means and variances of C x(k)."""
    every = np.union1d(DAYS, AT)
    A, Q = model.matrices(every)
    n, m = model.forward.n, len(model.C)
    rows, right, weights = [np.eye(len(every) * n)[:n]], [model.mean], [np.linalg.inv(model.covariance)]
    for k, day in enumerate(every):
        if k:
            row = np.zeros((n, len(every) * n))
            row[:, (k - 1) * n:(k + 1) * n] = np.hstack([-A[k, 0], np.eye(n)])
            rows.append(row), right.append(np.zeros(n)), weights.append(np.linalg.inv(Q[k, 0]))
        if day in DAYS:
            values = y[np.flatnonzero(DAYS == day)[0]]
            seen = np.flatnonzero(~np.isnan(values))
            row = np.zeros((len(seen), len(every) * n))
            row[:, k * n:(k + 1) * n] = model.C[seen]
            rows.append(row), right.append(values[seen]), weights.append(np.linalg.inv(model.R[np.ix_(seen, seen)]))
    H, W = np.concatenate(rows), block_diag(*weights)
    P = np.linalg.inv(H.T @ W @ H)
    C = np.kron(np.eye(len(every)), model.C)
    return (C @ P @ H.T @ W @ np.concatenate(right)).reshape(-1, m), np.diag(C @ P @ C.T).reshape(-1, m)


@pytest.mark.parametrize("forward", [RandomWalk(0.02), LinearTrend(0.01, 0.001), Seasonal(0.01, 0.002, 90.0, 2),
                                     COUPLED], ids=lambda forward: type(forward).__name__)
def test_smoothed_series_are_the_least_squares_solution(forward):
    m = len(forward.observed)
    y = series(m=m)
    model = start(forward, y, DAYS, 0.09)
    found = estimate(y, DAYS, model, at=AT)
    assert found.days.tolist() == np.union1d(DAYS, AT).tolist()
    for q in (0, 7, 29):
        mean, variance = direct(y[:, q], replace(model, mean=model.mean[q]))
        np.testing.assert_allclose(found.mean[:, q], mean, atol=2e-5)
        np.testing.assert_allclose(found.variance[:, q], variance, rtol=2e-4, atol=1e-6)


@pytest.mark.parametrize("smoothed", [True, False])
@pytest.mark.parametrize("chunk", [7, 1000])
def test_patterns_give_what_each_series_alone_gives(smoothed, chunk, monkeypatch):
    monkeypatch.setattr(kalmanfilter, "CHUNK", chunk)
    monkeypatch.setattr(kalmanfilter, "PART", 2 * chunk)
    y, forward = series(m=2), COUPLED
    model = start(forward, y, DAYS, [0.09, 0.2])
    found = estimate(y, DAYS, model, smoothed=smoothed)
    A, Q = model.matrices(DAYS)
    for q in range(y.shape[1]):
        alone = kalman_filter(y[:, q], A[:, 0], Q[:, 0], model.C, model.R, model.mean[q], model.covariance)
        states = smooth(alone) if smoothed else alone
        np.testing.assert_allclose(found.mean[:, q], states.mean[1:], atol=1e-5)
        np.testing.assert_allclose(found.variance[:, q], np.einsum("kii->ki", states.covariance[1:]), rtol=1e-5)
        np.testing.assert_allclose(found.standardised[:, q], alone.standardised(), rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(found.loglikelihood[q], alone.loglikelihood, rtol=1e-9)


@pytest.mark.parametrize("at", [None, AT])
def test_several_models_are_each_by_itself(at):
    y, forwards = series(m=4), [LinearTrend(0.01, 0.001), COUPLED, RandomWalk(0.02)]
    parts = [y[..., :1], y[..., 1:3], y[..., 3:]]
    models = [start(forward, part, DAYS, 0.09) for forward, part in zip(forwards, parts)]
    together = estimate(y, DAYS, models, at=at)
    apart = [estimate(part, DAYS, model, at=at) for part, model in zip(parts, models)]
    for name in ("mean", "variance", "innovation", "deviation"):
        np.testing.assert_allclose(getattr(together, name),
                                   np.concatenate([getattr(one, name) for one in apart], axis=-1), rtol=1e-6)
    np.testing.assert_allclose(together.loglikelihood, sum(one.loglikelihood for one in apart))


def test_series_longer_than_a_word_of_bits_are_told_apart():
    rng = np.random.default_rng(0)
    y, days = rng.normal(size=(150, 40)), np.arange(150.0)
    y[rng.random(y.shape) < 0.02] = np.nan
    model = start(RandomWalk(0.1), y, days, 0.5)
    together = estimate(y, days, model)
    for q in (0, 39):
        alone = estimate(y[:, q:q + 1], days, replace(model, mean=model.mean[q]))
        np.testing.assert_allclose(together.variance[:, q], alone.variance[:, 0], rtol=1e-6)
        np.testing.assert_allclose(together.mean[:, q], alone.mean[:, 0], atol=1e-6)


def test_a_gap_widens_the_uncertainty_and_the_next_observation_narrows_it():
    y = np.ones((6, 2))
    y[2:4, 0] = np.nan
    days = np.arange(6.0)
    model = start(RandomWalk(0.1), y, days, 0.2)
    filtered = estimate(y, days, model, smoothed=False).variance[:, 0]
    assert filtered[1] < filtered[2] < filtered[3] > filtered[4] and filtered[4] < filtered[2]
    smoothed = estimate(y, days, model).variance
    assert (smoothed[2:4, 0] > smoothed[2:4, 1]).all() and (smoothed[:, 0] <= filtered + 1e-7).all()


def test_a_forecast_goes_on_as_the_dynamics_do_and_widens():
    days = np.arange(10.0)
    y = (1 + 0.5 * days)[:, None] + np.zeros(3)
    found = estimate(y, days, start(LinearTrend(1e-4, 1e-6), y, days, 1e-4), at=[12.0, 15.0])
    np.testing.assert_allclose(found.mean[-2:], [[7.0] * 3, [8.5] * 3], atol=1e-2)
    assert (np.diff(found.variance[-3:], axis=0) > 0).all()


def test_dates_put_in_order_again_give_the_same():
    y, mixed = series(), np.random.default_rng(5).permutation(len(DAYS))
    sort = np.argsort(DAYS[mixed])
    model = start(RandomWalk(0.02), y, DAYS, 0.1)
    np.testing.assert_array_equal(estimate(y[mixed][sort], DAYS[mixed][sort], model, at=AT[::-1]).mean,
                                  estimate(y, DAYS, model, at=AT).mean)


def test_series_without_a_component_axis_come_out_without():
    y = series()
    model = start(RandomWalk(0.02), y, DAYS, 0.1)
    flat, full = estimate(y[..., 0], DAYS, model), estimate(y, DAYS, model)
    assert flat.mean.shape == y.shape[:2] and flat.mean.dtype == np.float32
    np.testing.assert_array_equal(flat.innovation, full.innovation[..., 0])


def planted(forward, noise, T=60, Q=150, seed=0):
    """Series of a model at irregular dates, a fifth missing."""
    rng = np.random.default_rng(seed)
    days = np.cumsum(rng.uniform(4, 20, T))
    x = rng.normal(size=(Q, forward.n)) * (1.0 if forward.n != 2 else np.array([1.0, 0.01]))
    y = np.empty((T, Q))
    for k, step in enumerate(np.diff(days, prepend=days[0])):
        root = np.linalg.cholesky(forward.noise(max(step, 1e-9)))
        x = forward.step(x, step) + rng.normal(size=x.shape) @ root.T * (step > 0)
        y[k] = (x @ forward.observed.T)[:, 0] + rng.normal(0, noise, Q)
    y[rng.random(y.shape) < 0.2] = np.nan
    return y, days


@pytest.mark.parametrize("make, powers, steps", [
    (RandomWalk, [1], [0.004]), (LinearTrend, [1, 3], [0.004, 2e-6]),
    (lambda level, season: Seasonal(level, season, 365.0, 1), [1, 1], [0.004, 0.001])])
def test_planted_noise_is_found_again(make, powers, steps):
    y, days = planted(make(*steps), 0.2)
    found = noise_levels(y, days, make, powers)
    assert found.converged
    np.testing.assert_allclose(found.noise, [0.04], rtol=0.1)
    np.testing.assert_allclose(found.steps, steps, rtol=0.3)


def test_the_likelihood_is_largest_where_it_says():
    y, days = planted(RandomWalk(0.01), 0.3, T=30, Q=40)
    found = noise_levels(y, days, RandomWalk, [1])
    for step in (0.8, 1.25):
        assert noise_levels(y, days, RandomWalk, [1], steps=[found.steps[0] * step],
                            noise=found.noise[0]).loglikelihood < found.loglikelihood
        assert noise_levels(y, days, RandomWalk, [1], steps=found.steps,
                            noise=found.noise[0] * step).loglikelihood < found.loglikelihood


def test_known_levels_are_kept():
    y, days = planted(RandomWalk(0.01), 0.3, T=30, Q=40)
    given = noise_levels(y, days, RandomWalk, [1], noise=0.05)
    assert given.noise == 0.05 and given.steps[0] > noise_levels(y, days, RandomWalk, [1]).steps[0]
    assert noise_levels(y, days, RandomWalk, [1], steps=[0.02]).steps == (0.02,)


def test_noise_is_a_share_of_each_coupled_component():
    rng = np.random.default_rng(3)
    forward, days = LinearOperator.of_rate(COUPLED.A, np.diag([0.01, 0.01]), 1.0), np.arange(80.0)
    x, y = rng.normal(size=(100, 2)), np.empty((80, 100, 2))
    for k in range(80):
        x = forward.step(x, 1.0) + rng.multivariate_normal([0, 0], forward.noise(1.0), 100)
        y[k] = x + rng.normal(0, 0.3, x.shape)
    found = noise_levels(y, days, lambda q: LinearOperator.of_rate(COUPLED.A, q * np.eye(2), 1.0), [1])
    np.testing.assert_allclose(found.steps, [0.01], rtol=0.15)
    np.testing.assert_allclose(found.noise, [0.09, 0.09], rtol=0.1)


@pytest.mark.parametrize("change, words", [
    (dict(days=[0, 1, 1]), "Date 3 is equal to date 2"), (dict(days=[0, 5, 1]), "Date 3 is before date 2"),
    (dict(at=[-4.0]), "4 before the first observed one"),
    (dict(forward=Seasonal(1, 1, 365, 2)), "state of 5 numbers, and the series only 3 dates"),
    (dict(forward=Logistic(0.1, 1.0)), "not linear"),
    (dict(forward=COUPLED), "have 1 components, and the model observes 2")])
def test_what_does_not_fit_is_said(change, words):
    y = np.ones((3, 4))
    model = start(RandomWalk(0.1), y, np.arange(3.0), 0.1)
    if "forward" in change:
        model = replace(model, forward=change["forward"])
    with pytest.raises(ValueError, match=words):
        estimate(y, change.get("days", [0, 1, 2]), model, at=change.get("at"))


@pytest.mark.parametrize("y", [np.ones((5, 3)), np.full((5, 3), np.nan)])
def test_series_that_do_not_vary_have_no_noise_to_find(y):
    with pytest.raises(ValueError, match="do not vary over time"):
        noise_levels(y, np.arange(5.0), RandomWalk, [1])


def test_of_two_maxima_of_a_trends_likelihood_the_higher_is_found():
    """Steps of the level or of the slope can follow these waves; those of the level do so better."""
    rng = np.random.default_rng(1)
    days = 16.0 * np.arange(24)
    y = np.cumsum(rng.normal(0, 0.1, (24, 400)), axis=0) + 0.5 * np.sin(2 * np.pi * days / 365)[:, None]
    y += rng.normal(0, 0.2, y.shape)
    y[rng.random(y.shape) < 0.3] = np.nan
    found = noise_levels(y, days, LinearTrend, [1, 3])
    higher, lower = (noise_levels(y, days, LinearTrend, [1, 3], steps=steps, noise=noise).loglikelihood
                     for steps, noise in (([0.0035, 1e-10], 0.02), ([0.0014, 8.4e-7], 0.032)))
    assert lower + 20 < higher < found.loglikelihood + 2
