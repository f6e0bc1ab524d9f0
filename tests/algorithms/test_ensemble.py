"""The ensemble Kalman filter: it tends to the Kalman filter, follows a logistic course over gaps, keeps constraints."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from scipy.linalg import expm

import subpixel.algorithms.state_estimation.ensemble as ensemble
import subpixel.algorithms.state_estimation.kalmanfilter as kalmanfilter
from subpixel.algorithms.state_estimation.ensemble import draws, estimate, root
from subpixel.algorithms.state_estimation.model import (Differential, LinearOperator, LinearTrend, Logistic, RandomWalk,
                                                        Seasonal, StateSpace, lorenz, start)

DAYS = np.array([0.0, 12.0, 17.0, 40.0, 41.0, 60.0, 75.0, 100.0])
AT = np.array([30.0, 120.0, 150.0])
COUPLED = LinearOperator(expm(0.05 * np.array([[-0.4, 1.0], [-1.0, -0.4]])), 0.02 * np.eye(2), 1.0)
YEARS = np.arange(24) * 15.0
GROWTH = Logistic(0.02, 1.0, 2e-6)


def series(Q=6, m=1, seed=0):
    rng = np.random.default_rng(seed)
    y = np.sin(DAYS / 20)[:, None, None] + rng.normal(0, 0.3, (len(DAYS), Q, m))
    y[rng.random(y.shape) < 0.3] = np.nan
    return y


def seeded(seed=0):
    return np.random.default_rng(seed)


def greening(Q=40, noise=0.05, share=0.3, seed=0):
    """Logistic courses, observations of them with gaps of several dates, and which are there."""
    rng = np.random.default_rng(seed)
    x = [rng.uniform(0.05, 0.2, Q)]
    for _ in YEARS[1:]:
        x.append(GROWTH.step(x[-1], 15.0))
    truth = np.array(x)
    y = truth + rng.normal(0, noise, truth.shape)
    y[8:13] = np.nan
    y[rng.random(y.shape) < share] = np.nan
    return truth, y


@pytest.mark.parametrize("smoothed", [False, True], ids=["filtered", "smoothed"])
@pytest.mark.parametrize("forward", [RandomWalk(0.02), LinearTrend(0.01, 0.001), Seasonal(0.01, 0.002, 90.0, 1),
                                     COUPLED], ids=lambda forward: type(forward).__name__)
def test_tends_to_the_kalman_filter_as_members_grow_with_the_root_of_their_number(forward, smoothed):
    y = series(m=len(forward.observed))
    model = start(forward, y, DAYS, 0.09)
    exact = kalmanfilter.estimate(y, DAYS, model, at=AT, smoothed=smoothed)
    errors = []
    for N in (40, 1440):
        found = [estimate(y, DAYS, model, N, seeded(seed), at=AT, smoothed=smoothed) for seed in range(8)]
        errors.append([np.sqrt(np.mean([np.square(one.mean - exact.mean) / exact.variance for one in found])),
                       np.sqrt(np.mean([np.square(one.variance / exact.variance - 1) for one in found]))])
    few, many = np.array(errors)
    assert (few < 0.5).all() and (many < 0.08).all()
    np.testing.assert_allclose(few / many, 6, rtol=0.5)   # the root of 1440 / 40


def test_draws_have_exactly_the_mean_and_covariance_asked_for():
    z = draws(seeded(), 4, 9, 3).astype(float)
    np.testing.assert_allclose(z.mean(axis=1), 0, atol=1e-6)
    np.testing.assert_allclose(np.swapaxes(z, 1, 2) @ z / 9, np.broadcast_to(np.eye(3), (4, 3, 3)), atol=1e-6)
    V = np.array([[4.0, 2.0], [2.0, 1.0]])   # singular
    np.testing.assert_allclose(root(V) @ root(V).T, V, atol=1e-12)


@pytest.mark.parametrize("smoothed", [False, True], ids=["filtered", "smoothed"])
def test_logistic_growth_is_followed_through_noise_and_gaps(smoothed):
    truth, y = greening()
    model = start(GROWTH, y, YEARS, 0.05**2)
    found = estimate(y, YEARS, model, 100, seeded(), smoothed=smoothed, keep=lambda x: np.clip(x, 1e-3, 1.0))
    error = found.mean - truth
    gap = error[8:13]
    assert np.sqrt(np.mean(np.square(error[4:]))) < (0.03 if smoothed else 0.05)
    assert np.sqrt(np.mean(np.square(gap))) < 0.05
    inside = np.abs(error[4:]) < 2.5 * np.sqrt(found.variance[4:]) + 1e-3
    assert inside.mean() > 0.85


def test_later_dates_make_a_gap_better_known():
    truth, y = greening()
    model = start(GROWTH, y, YEARS, 0.05**2)
    before, after = (estimate(y, YEARS, model, 100, seeded(), smoothed=smoothed) for smoothed in (False, True))
    assert np.square(after.mean - truth)[8:13].mean() < np.square(before.mean - truth)[8:13].mean()
    assert (after.variance[8:13].mean(axis=1) < before.variance[8:13].mean(axis=1)).all()
    np.testing.assert_array_equal(after.mean[-1], before.mean[-1])


def test_a_gap_widens_the_uncertainty_and_an_observation_narrows_it():
    y = np.full((6, 1), 0.5)
    y[2:5] = np.nan
    model = start(RandomWalk(0.01), np.array([[0.0], [1.0]] * 3), np.arange(6) * 10.0, 0.01)
    found = estimate(y, np.arange(6) * 10.0, model, 400, seeded(), smoothed=False).variance[:, 0]
    assert (np.diff(found[1:5]) > 0).all() and found[5] < found[4] / 3
    np.testing.assert_allclose(np.diff(found[1:5]), 0.1, rtol=0.3)   # the walk's variance in ten days


def test_members_stay_within_their_constraints_at_all_dates():
    truth, y = greening(noise=0.3)
    seen = []

    def keep(x):
        x = np.clip(x, 0.1, 0.8)
        seen.append((x.min(), x.max()))
        return x

    model = start(GROWTH, y, YEARS, 0.3**2)
    bounded = estimate(y, YEARS, model, 50, seeded(), keep=keep)
    dated = (~np.isnan(y)).any(axis=1).sum()
    assert len(seen) == 2 * len(YEARS) - 1 + dated   # predicted, smoothed, and corrected where there is something
    assert bounded.mean.min() >= 0.1 and bounded.mean.max() <= 0.8
    free = estimate(y, YEARS, model, 50, seeded(), keep=None)
    assert free.mean.max() > 0.8


def test_lorenz_is_followed_from_two_of_its_three_numbers():
    forward = Differential(lorenz, 3, 0.05 * np.eye(3), longest=0.01, observed=np.eye(3)[:2])
    days, rng = np.arange(200) * 0.02, seeded(3)
    x = [rng.normal(0, 1, (20, 3)) + [-5.7, -8.5, 17.8]]
    for _ in days[1:]:
        x.append(forward.step(x[-1], 0.02))
    truth = np.array(x)
    y = truth[..., :2] + rng.normal(0, 1, (*truth.shape[:2], 2))
    model = StateSpace(forward, np.eye(2), np.array([-5.7, -8.5, 17.8]), np.eye(3))
    found = estimate(y, days, model, 60, seeded(), smoothed=False)
    error = np.sqrt(np.mean(np.square(found.mean - truth[..., :2])[50:]))
    assert error < 0.5   # of noise of 1
    smooth = estimate(y, days, model, 60, seeded())
    assert np.sqrt(np.mean(np.square(smooth.mean - truth[..., :2])[50:])) < error


def test_a_series_does_not_depend_on_the_others_nor_on_the_parts(monkeypatch):
    y = series(Q=30)
    model = start(RandomWalk(0.02), y, DAYS, 0.09)
    whole = estimate(y, DAYS, model, 40, seeded(), at=AT)
    monkeypatch.setattr(ensemble, "ENTRIES", 40 * 7)
    parts = estimate(y, DAYS, model, 40, seeded(), at=AT)
    np.testing.assert_array_equal(parts.mean, whole.mean)
    np.testing.assert_array_equal(parts.variance, whole.variance)
    order = seeded(1).permutation(30)
    turned = estimate(y[:, order], DAYS, replace(model, mean=model.mean[order]), 40, seeded(), at=AT)
    np.testing.assert_array_equal(turned.mean, whole.mean[:, order])
    other = estimate(y, DAYS, model, 40, seeded(1), at=AT)
    assert (other.mean != whole.mean).any()


def test_noise_levels_of_a_linear_model_are_those_of_its_exact_likelihood():
    rng, days = seeded(2), np.arange(30) * 10.0
    y = np.cumsum(rng.normal(0, 0.1, (30, 60)), axis=0) + rng.normal(0, 0.15, (30, 60))
    y[rng.random(y.shape) < 0.2] = np.nan
    exact = kalmanfilter.noise_levels(y, days, RandomWalk, [1])
    found = ensemble.noise_levels(y, days, RandomWalk, 400, seeded())
    assert found.converged
    assert found.steps[0] == pytest.approx(exact.steps[0], rel=0.15)
    assert found.noise[0] == pytest.approx(exact.noise[0], rel=0.1)
    assert found.loglikelihood == pytest.approx(exact.loglikelihood, abs=0.01 * (~np.isnan(y)).sum())
    known = ensemble.noise_levels(y, days, RandomWalk, 400, seeded(), step=0.001)
    assert known.steps == (0.001,) and known.noise[0] == pytest.approx(0.0225, rel=0.1)
    assert ensemble.noise_levels(y, days, RandomWalk, 400, seeded(), noise=0.0225).steps[0] == pytest.approx(
        0.001, rel=0.15)


def test_noise_levels_of_logistic_growth_are_those_planted():
    _, y = greening(Q=100)
    found = ensemble.noise_levels(y, YEARS, lambda level: Logistic(0.02, 1.0, level), 60, seeded(),
                                  keep=lambda x: np.clip(x, 1e-3, 1.0))
    assert np.sqrt(found.noise[0]) == pytest.approx(0.05, rel=0.05)
    assert np.sqrt(found.steps[0] * 15) < 0.01   # there are none
    wrong = ensemble.noise_levels(y, YEARS, lambda level: Logistic(0.01, 1.0, level), 60, seeded(),
                                  keep=lambda x: np.clip(x, 1e-3, 1.0))
    assert wrong.steps[0] > 3 * found.steps[0]   # of a wrong rate, steps take the place
    assert wrong.loglikelihood < found.loglikelihood
    few, same, other, narrow = (ensemble.noise_levels(y[:, :9], YEARS, lambda level: Logistic(0.02, 1.0, level), 20,
                                                      seeded(seed), noise=0.0025, keep=lambda x: np.clip(x, 1e-3, top))
                                for seed, top in ((0, 1.0), (0, 1.0), (1, 1.0), (0, 0.9)))
    assert few == same and few.loglikelihood != other.loglikelihood and few.loglikelihood > narrow.loglikelihood + 1
    with pytest.raises(ValueError, match="do not vary"):
        ensemble.noise_levels(np.ones((24, 3)), YEARS, RandomWalk, 60, seeded())


@pytest.mark.parametrize("smoothed", [False, True], ids=["filtered", "smoothed"])
def test_inflation_widens_the_uncertainty(smoothed):
    y = series()
    model = start(RandomWalk(0.02), y, DAYS, 0.09)
    plain, inflated = (estimate(y, DAYS, model, 100, seeded(), smoothed=smoothed, inflation=size)
                       for size in (1.0, 1.3))
    assert (inflated.variance[2:] > plain.variance[2:]).mean() > 0.9


def test_inflation_moves_members_from_their_mean_by_its_factor_after_predictions_alone():
    y = np.array([[0.3, 0.6], [np.nan, np.nan], [0.2, 0.4]])
    model = start(RandomWalk(0.02), y, DAYS[:3], 0.09)
    plain, inflated = (estimate(y, DAYS[:3], model, 100, seeded(), smoothed=False, inflation=size)
                       for size in (1.0, 1.3))
    np.testing.assert_array_equal(inflated.variance[0], plain.variance[0])
    np.testing.assert_allclose(inflated.variance[1], 1.3**2 * plain.variance[1], rtol=1e-5)
    np.testing.assert_allclose(inflated.mean[1], plain.mean[1], rtol=1e-5)


def test_the_likelihood_of_a_first_date_is_exact_and_missing_series_have_none():
    """For the draws have exactly the covariance asked for."""
    y = np.array([[0.3, np.nan, 1.2]])[..., None]
    model = StateSpace(RandomWalk(0.02), np.array([[0.09]]), np.array([0.5]), np.array([[0.4]]))
    run = ensemble._Run(model, DAYS[:1], {0: 0}, 30, seeded(), 1.0, None)
    exact = -0.5 * sum((value - 0.5) ** 2 / 0.49 + np.log(2 * np.pi * 0.49) for value in (0.3, 1.2))
    assert run.loglikelihood(y, np.full((3, 1), 0.5)) == pytest.approx(exact, rel=1e-5)


def test_states_that_are_known_are_smoothed_too():
    """Singular predicted covariances: a slope that is known, and a state that is."""
    y = series()
    model = start(RandomWalk(0.02), y, DAYS, 0.09)
    level = StateSpace(LinearTrend(0.02, 0.0), model.R, np.column_stack([model.mean, np.zeros(6)]),
                       np.diag([model.covariance[0, 0], 0.0]))
    exact = kalmanfilter.estimate(y, DAYS, model)
    found = estimate(y, DAYS, level, 2000, seeded())
    np.testing.assert_allclose(found.mean, exact.mean, atol=0.1)
    known = StateSpace(LinearOperator(COUPLED.A, np.zeros((2, 2)), 1.0), 0.09 * np.eye(2), np.array([1.0, 0.5]),
                       np.zeros((2, 2)))
    found = estimate(series(m=2), DAYS, known, 50, seeded())
    np.testing.assert_allclose(found.mean[-1], np.tile(COUPLED.matrix(100.0) @ [1.0, 0.5], (6, 1)), atol=1e-5)
    assert found.variance.max() < 1e-9
    at_rest = estimate(series(m=2), DAYS, replace(known, mean=np.zeros(2)), 50, seeded())
    assert not at_rest.mean.any() and not at_rest.variance.any()


def test_a_series_of_one_component_has_no_last_axis_and_one_without_values_has_the_prior():
    y = series()[..., 0]
    y[:, 2] = np.nan
    model = start(RandomWalk(0.02), y, DAYS, 0.09)
    found = estimate(y, DAYS, model, 100, seeded(), at=AT)
    assert found.mean.shape == found.variance.shape == (11, 6)
    np.testing.assert_allclose(found.mean[:, 2], model.mean[2, 0], rtol=1e-4)
    np.testing.assert_allclose(found.variance[0, 2], model.covariance[0, 0], rtol=1e-3)


def test_a_part_is_bounded_in_memory_whatever_the_number_of_series():
    y = np.zeros((24, 40000), np.float32)
    model = start(RandomWalk(0.02), y[:, :100], YEARS, 0.09)
    model = replace(model, mean=np.zeros(1))
    tracemalloc.start()
    estimate(y, YEARS, model, 100, seeded())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5 * y.nbytes + 4 * 3 * ensemble.VALUES   # all members of all dates are 768 MB


def test_members_of_all_dates_that_the_smoother_keeps_are_bounded(monkeypatch):
    monkeypatch.setattr(ensemble, "ENTRIES", 2**30)
    monkeypatch.setattr(ensemble, "VALUES", 1_000_000)
    y = np.zeros((24, 3000), np.float32)
    model = StateSpace(RandomWalk(0.02), 0.09 * np.eye(1), np.zeros(1), np.eye(1))
    tracemalloc.start()
    estimate(y, YEARS, model, 100, seeded())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20_000_000   # of all series they are 58 MB


@pytest.mark.parametrize("arguments, sentence", [
    ((series(m=2), DAYS, 100, {}), "have 2 components, and the model observes 1"),
    ((series(), DAYS, 4, {}), "has 4 members, and the model 3 states and 1 observed components: take 5"),
    ((series(), DAYS, 100, {"inflation": 0.9}), "inflation is 0.9"),
    ((series(), DAYS, 100, {"at": [-1.0]}), "before the first observed"),
    ((series(), np.zeros(8), 100, {}), "equal to date 1")])
def test_bad_input_is_a_sentence(arguments, sentence):
    y, days, N, options = arguments
    model = start(Seasonal(0.01, 0.002, 90.0, 1), series(), DAYS, 0.09)
    with pytest.raises(ValueError, match=sentence):
        estimate(y, days, model, N, seeded(), **options)


def test_states_that_grow_without_end_are_a_sentence():
    forward = Differential(lambda x: x**3, 1, np.eye(1), longest=1.0)
    model = StateSpace(forward, np.eye(1), np.ones(1), np.eye(1))
    with pytest.raises(ValueError, match="At date 2 some states are no longer finite"):
        estimate(np.array([[1.0], [np.nan]]), np.array([0.0, 100.0]), model, 50, seeded())
