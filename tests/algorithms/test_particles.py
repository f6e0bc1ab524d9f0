"""The particle filter: exact posteriors of small problems, resampling, effective sample sizes, conditions."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm

import subpixel.algorithms.state_estimation.ensemble as ensemble
import subpixel.algorithms.state_estimation.kalmanfilter as kalmanfilter
from subpixel.algorithms.state_estimation.model import (LinearOperator, LinearTrend, Logistic, RandomWalk, Seasonal,
                                                        StateSpace, start)
from subpixel.algorithms.state_estimation.particles import Particles, estimate

DAYS = np.array([0.0, 12.0, 17.0, 40.0, 41.0, 60.0, 75.0, 100.0])
AT = np.array([30.0, 120.0])
GROWTH = Logistic(0.05, 1.0, 4e-5)


def seeded(seed=0):
    return np.random.default_rng(seed)


def series(Q=6, m=1, seed=0):
    rng = np.random.default_rng(seed)
    y = np.sin(DAYS / 20)[:, None, None] + rng.normal(0, 0.3, (len(DAYS), Q, m))
    y[rng.random(y.shape) < 0.3] = np.nan
    return y


def on_a_grid(y, every, model, threshold):
    """
    Means, variances and probabilities to be above a threshold of one series (T,), whose state is one of a fine grid.

    Bayes's rule (5.4.1), (5.4.2) on it, exact but for its step of a thousandth; y is NaN where there is nothing.
    """
    x = np.linspace(-1.5, 2.5, 4001)
    p = norm.pdf(x, model.mean[0], np.sqrt(model.covariance[0, 0]))
    found = []
    for k, step in enumerate(np.diff(every, prepend=every[0])):
        if k:
            moved = model.forward.step(x, step)
            sigma = np.sqrt(model.forward.noise(step)[0, 0])
            inside = p > 1e-12 * p.max()
            p = norm.pdf(x[:, None], moved[inside], sigma) @ p[inside]
        if not np.isnan(y[k]):
            p = p * norm.pdf(y[k], x, np.sqrt(model.R[0, 0]))
        p /= p.sum()
        mean = p @ x
        found.append((mean, p @ np.square(x - mean), p[x > threshold].sum()))
    return np.array(found).T


def test_is_the_exact_posterior_of_a_nonlinear_problem_on_a_grid():
    every = np.union1d(DAYS, AT)
    y = np.full(len(every), np.nan)
    y[np.searchsorted(every, DAYS)] = [0.1, 0.3, np.nan, 0.55, 0.4, 0.9, np.nan, 0.75]
    model = StateSpace(GROWTH, np.array([[0.04]]), np.array([0.3]), np.array([[0.01]]))
    mean, variance, probability = on_a_grid(y, every, model, 0.7)
    assert 0.02 < probability[3] < 0.98   # the condition is open
    errors = []
    for N in (200, 12800):
        found = [estimate(y[np.searchsorted(every, DAYS)][:, None], DAYS, model, N, seeded(seed), at=AT,
                          condition=lambda x: x[..., 0] > 0.7) for seed in range(12)]
        errors.append([np.sqrt(np.mean([np.square(one.mean[:, 0] - mean) / variance for one in found])),
                       np.sqrt(np.mean([np.square(one.variance[:, 0] / variance - 1) for one in found])),
                       np.sqrt(np.mean([np.square(one.probability[:, 0] - probability) for one in found]))])
    few, many = np.array(errors)
    assert (many < [0.02, 0.03, 0.01]).all()
    np.testing.assert_allclose(few / many, 8, rtol=0.6)   # the root of 12800 / 200


@pytest.mark.parametrize("share", [0.5, 1.0], ids=lambda share: f"share {share:g}")
@pytest.mark.parametrize("forward", [RandomWalk(0.02), LinearTrend(0.01, 0.001), Seasonal(0.01, 0.002, 90.0, 1)],
                         ids=lambda forward: type(forward).__name__)
def test_is_the_kalman_filter_where_that_is_exact(forward, share):
    y = series()
    model = start(forward, y, DAYS, 0.09)
    exact = kalmanfilter.estimate(y, DAYS, model, at=AT, smoothed=False)
    found = [estimate(y, DAYS, model, 5000, seeded(seed), at=AT, share=share) for seed in range(4)]
    assert np.sqrt(np.mean([np.square(one.mean - exact.mean) / exact.variance for one in found])) < 0.05
    assert np.sqrt(np.mean([np.square(one.variance / exact.variance - 1) for one in found])) < 0.06


def test_components_may_be_missing_each_by_itself():
    y = series(m=2)
    assert (np.isnan(y).sum(axis=2) == 1).any()
    models = [start(RandomWalk(0.02), y[..., [each]], DAYS, 0.09) for each in range(2)]
    exact = [kalmanfilter.estimate(y[..., [each]], DAYS, models[each], smoothed=False) for each in range(2)]

    class Both(RandomWalk):   # two walks as one state
        n, observed = 2, np.eye(2)

        def matrix(self, interval):
            return np.eye(2)

        def noise(self, interval):
            return self.level * interval * np.eye(2)

    together = StateSpace(Both(0.02), 0.09 * np.eye(2), np.concatenate([each.mean for each in models], axis=1),
                          np.diag([each.covariance[0, 0] for each in models]))
    for model in (models, together):
        found = estimate(y, DAYS, model, 5000, seeded())
        for each in range(2):
            error = (found.mean[..., each] - exact[each].mean[..., 0]) / np.sqrt(exact[each].variance[..., 0])
            assert np.sqrt(np.mean(np.square(error))) < 0.06


def test_errors_of_components_that_are_correlated_count_as_far_as_both_are_there():
    y = series(m=2, seed=4)
    assert (np.isnan(y).sum(axis=2) == 1).any()
    model = start(LinearOperator(np.eye(2), 0.02 * np.eye(2), 1.0), y, DAYS, 0.09)
    model = replace(model, R=np.array([[0.09, 0.12], [0.12, 0.25]]))
    exact = kalmanfilter.estimate(y, DAYS, model, smoothed=False)
    found = estimate(y, DAYS, model, 5000, seeded())
    assert np.sqrt(np.mean(np.square(found.mean - exact.mean) / exact.variance)) < 0.06
    assert np.sqrt(np.mean(np.square(found.variance / exact.variance - 1))) < 0.06


def test_the_effective_sample_size_of_several_models_is_the_least():
    y, days = np.full((2, 1, 2), 0.5), np.arange(2.0)
    sharp, vague = (StateSpace(RandomWalk(0.1), np.array([[R]]), np.array([0.5]), np.eye(1)) for R in (1e-3, 10.0))
    alone = [estimate(y[..., :1], days, model, 500, seeded()).effective[1, 0] for model in (sharp, vague)]
    assert alone[0] < 200 < 450 < alone[1]
    for models in ((sharp, vague), (vague, sharp)):
        assert estimate(y, days, models, 500, seeded()).effective[1, 0] == pytest.approx(alone[0], rel=0.2)


def test_condition_on_several_models_is_that_of_independent_components():
    y = series(m=2)
    models = [start(RandomWalk(0.02), y[..., [each]], DAYS, 0.09) for each in range(2)]
    found = estimate(y, DAYS, models, 20000, seeded(), at=AT, condition=lambda x: x[..., 0] > x[..., 1])
    a, b = (kalmanfilter.estimate(y[..., [each]], DAYS, models[each], at=AT, smoothed=False) for each in range(2))
    expected = norm.cdf((a.mean - b.mean)[..., 0] / np.sqrt(a.variance + b.variance)[..., 0])
    assert np.ptp(expected) > 0.8
    np.testing.assert_allclose(found.probability, expected, atol=0.03)
    assert found.mean.shape == found.variance.shape == (10, 6, 2) and found.probability.shape == (10, 6)


def test_resampling_takes_every_particle_as_often_as_its_weight_asks():
    w = seeded().dirichlet(np.ones(50), 20).astype(np.float32)
    x = np.broadcast_to(np.arange(50.0)[:, None], (20, 50, 1))
    for u in (0.0, 0.3, 0.999):
        taken = Particles(x, w).resampled(u)[..., 0].astype(int)
        counts = np.stack([np.bincount(row, minlength=50) for row in taken])
        assert (counts.sum(axis=1) == 50).all() and (np.abs(counts - 50 * w) < 1.001).all()
        assert (np.diff(taken, axis=1) >= 0).all()
    places = (np.arange(400) + 0.5) / 400
    counts = np.mean([[np.bincount(row, minlength=50) for row in Particles(x, w).resampled(u)[..., 0].astype(int)]
                      for u in places], axis=0)
    np.testing.assert_allclose(counts, 50 * w, atol=0.004)   # over all places, exactly
    one = np.zeros((1, 50), np.float32)
    one[0, 17] = 1
    assert (Particles(x[:1], one).resampled(0.5) == 17).all()
    assert Particles(x[:1], one).effective == 1 and Particles(x, np.full((20, 50), 0.02)).effective[0] == pytest.approx(
        50)


def test_effective_sample_size_falls_with_what_an_observation_says_and_is_all_without_one():
    days, y = np.arange(4) * 10.0, np.array([[0.5], [np.nan], [0.5], [0.5]])
    sizes = []
    for noise in (0.3, 0.1, 0.02):
        model = StateSpace(RandomWalk(0.01), np.array([[noise**2]]), np.array([0.5]), np.eye(1))
        found = estimate(y, days, model, 500, seeded())
        np.testing.assert_allclose(found.effective[:2, 0], 500, rtol=1e-5)   # the first is drawn given its observation
        sizes.append(found.effective[2:, 0])
    assert (np.diff(sizes, axis=0) < 0).all() and np.min(sizes) < 100


def test_before_anything_is_observed_the_prior_is_exact():
    model = StateSpace(LinearTrend(0.02, 0.001), np.array([[0.09]]), np.array([0.5, 0.1]), np.diag([0.2, 0.01]))
    found = estimate(np.array([[np.nan], [np.nan], [0.5]]), np.array([0.0, 3.0, 4.0]), model, 20, seeded())
    np.testing.assert_allclose(found.mean[:2, 0], [0.5, 0.8], rtol=1e-5)
    np.testing.assert_allclose(found.variance[0, 0], 0.2, rtol=1e-5)


def test_weights_go_on_where_particles_are_never_resampled():
    y = series()
    model = start(RandomWalk(0.02), y, DAYS, 0.09)
    never = estimate(y, DAYS, model, 4000, seeded(), share=0.0)
    often = estimate(y, DAYS, model, 4000, seeded(), share=1.0)
    exact = kalmanfilter.estimate(y, DAYS, model, smoothed=False)
    assert never.effective[-1].mean() < 0.3 * often.effective[-1].mean()

    def error(found):
        return np.sqrt(np.mean(np.square(found.mean - exact.mean) / exact.variance))
    assert error(often) < error(never) < 0.6


@pytest.mark.parametrize("share", [0.0, 1.0], ids=["never resampled", "always"])
def test_an_observation_beyond_all_particles_moves_them_as_the_kalman_filter_does(share):
    model = StateSpace(RandomWalk(1e-2), np.array([[1e-2]]), np.array([0.5]), np.array([[0.01]]))
    y, days = np.array([[0.5, 0.5], [90.0, 0.45], [90.0, 0.5]]), np.arange(3.0)
    exact = kalmanfilter.estimate(y, days, model, smoothed=False)
    found = estimate(y, days, model, 400, seeded(), share=share)
    assert found.effective[1, 0] == pytest.approx(1, abs=1e-3) and found.effective[1, 1] > 100
    np.testing.assert_allclose(found.mean, exact.mean, rtol=0.06)
    np.testing.assert_allclose(found.variance, exact.variance, rtol=0.3)


def test_particles_that_are_moved_count_by_their_weights_from_before():
    model = StateSpace(RandomWalk(1e-2), np.array([[1e-2]]), np.array([0.5]), np.array([[0.01]]))
    y, days = np.array([[0.5], [0.7], [90.0]]), np.arange(3.0)
    exact = kalmanfilter.estimate(y, days, model, smoothed=False)
    found = estimate(y, days, model, 1000, seeded(), share=0.0)
    assert found.effective[1, 0] > 100 and found.effective[2, 0] < 3
    np.testing.assert_allclose(found.mean, exact.mean, rtol=0.06)   # without the weights, a gain of 0.71 for 0.62


def test_logistic_growth_is_followed_within_its_constraints():
    days, rng = np.arange(24) * 15.0, seeded()
    forward = Logistic(0.02, 1.0, 2e-6)
    x = [rng.uniform(0.05, 0.2, 40)]
    for _ in days[1:]:
        x.append(forward.step(x[-1], 15.0))
    truth = np.array(x)
    y = truth + rng.normal(0, 0.05, truth.shape)
    y[8:13] = np.nan
    model = start(forward, y, days, 0.05**2)
    found = estimate(y, days, model, 500, seeded(), keep=lambda x: np.clip(x, 1e-3, 1.0),
                     condition=lambda x: ((x < np.float32(1e-3)) | (x > 1))[..., 0])
    assert found.mean.min() >= 1e-3 and found.mean.max() <= 1 and not found.probability.any()
    assert np.sqrt(np.mean(np.square(found.mean - truth)[6:])) < 0.035
    assert np.sqrt(np.mean(np.square(found.mean - truth)[8:13])) < 0.05
    assert (found.mean[12] - found.mean[8]).min() > 0.05   # it goes on growing in the gap


def test_a_series_does_not_depend_on_the_others_nor_on_the_parts(monkeypatch):
    y = series(Q=30)
    model = start(RandomWalk(0.02), y, DAYS, 0.09)
    options = dict(at=AT, condition=lambda x: x[..., 0] > 0)
    whole = estimate(y, DAYS, model, 40, seeded(), **options)
    monkeypatch.setattr(ensemble, "ENTRIES", 40 * 7)
    parts = estimate(y, DAYS, model, 40, seeded(), **options)
    order = seeded(1).permutation(30)
    turned = estimate(y[:, order], DAYS, replace(model, mean=model.mean[order]), 40, seeded(), **options)
    for name in ("mean", "variance", "effective", "probability"):
        np.testing.assert_array_equal(getattr(parts, name), getattr(whole, name))
        np.testing.assert_array_equal(getattr(turned, name), getattr(whole, name)[:, order])
    assert (estimate(y, DAYS, model, 40, seeded(1)).mean != estimate(y, DAYS, model, 40, seeded()).mean).any()


def test_a_part_is_bounded_in_memory_whatever_the_number_of_series():
    y = np.zeros((6, 20000), np.float32)
    model = StateSpace(RandomWalk(0.02), 0.09 * np.eye(1), np.zeros(1), np.eye(1))
    tracemalloc.start()
    estimate(y, DAYS[:6], model, 500, seeded())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5 * y.nbytes + 100 * ensemble.ENTRIES   # the particles of all series are 40 MB, with weights 80 MB


@pytest.mark.parametrize("arguments, sentence", [
    ((series(m=2), 100, {}), "have 2 components, and the model observes 1"),
    ((series(), 4, {}), "There are 4 particles, too few for a state of 3 numbers: take 5"),
    ((series(), 100, {"share": 1.5}), "resampled is 1.5"),
    ((series(), 100, {"at": [-1.0]}), "before the first observed")])
def test_bad_input_is_a_sentence(arguments, sentence):
    y, N, options = arguments
    model = start(Seasonal(0.01, 0.002, 90.0, 1), series(), DAYS, 0.09)
    with pytest.raises(ValueError, match=sentence):
        estimate(y, DAYS, model, N, seeded(), **options)
