"""Forward operators: what one long interval does and two short ones do, against numerical integration, refusals."""

import numpy as np
import pytest
import torch
from scipy.integrate import quad_vec, solve_ivp
from scipy.linalg import expm

from subpixel.algorithms.state_estimation.model import (Differential, LinearOperator, LinearTrend, Logistic, RandomWalk,
                                                        Seasonal, StateSpace, fitzhugh_nagumo, intervals, lorenz,
                                                        restart, start, variance, varies)

TURN = expm(8.0 * np.array([[-0.02, 0.05, 0.0], [-0.05, -0.02, 0.01], [0.0, 0.0, -0.1]]))
Q = np.array([[2.0, 0.3, 0.1], [0.3, 1.5, -0.2], [0.1, -0.2, 1.0]])
LINEAR = {"walk": RandomWalk(0.3), "trend": LinearTrend(0.2, 0.01), "season": Seasonal(0.1, 0.05, 365.25, 2),
          "table": LinearOperator(TURN, Q, 8.0), "rate": LinearOperator.of_rate(TURN, Q, 8.0)}


@pytest.fixture(params=LINEAR, name="forward")
def _forward(request):
    return LINEAR[request.param]


@pytest.mark.parametrize("first, second", [(3.0, 11.0), (16.0, 0.5), (200.0, 90.0), (3000.0, 700.0)])
def test_two_intervals_do_what_their_sum_does(forward, first, second):
    A, B = forward.matrix(first), forward.matrix(second)
    np.testing.assert_allclose(forward.matrix(first + second), B @ A, atol=1e-9)
    np.testing.assert_allclose(forward.noise(first + second), B @ forward.noise(first) @ B.T + forward.noise(second),
                               rtol=1e-8, atol=1e-8)


def test_no_time_changes_nothing(forward):
    np.testing.assert_allclose(forward.matrix(0.0), np.eye(forward.n))
    np.testing.assert_allclose(forward.noise(0.0), 0)


def test_noise_is_a_covariance_and_shapes_fit(forward):
    noise = forward.noise(5.0)
    assert noise.shape == (forward.n, forward.n) == forward.matrix(5.0).shape
    np.testing.assert_array_equal(noise, noise.T)
    assert np.linalg.eigvalsh(noise).min() > 0
    assert forward.observed.shape[1] == forward.n


def test_a_trend_without_noise_is_a_line_and_a_season_comes_again():
    assert LinearTrend(0, 0).step(np.array([2.0, 0.5]), 6.0).tolist() == [5.0, 0.5]
    season = Seasonal(0, 0, 100.0, 2)
    x = np.array([1.0, 2.0, 0.5, -1.0, 3.0])
    np.testing.assert_allclose(season.step(x, 100.0), x, atol=1e-12)
    for t in (10.0, 37.0):
        a = 2 * np.pi * t / 100
        expected = 1 + 2 * np.cos(a) + 0.5 * np.sin(a) - np.cos(2 * a) + 3 * np.sin(2 * a)
        assert season.observed @ season.step(x, t) == pytest.approx(expected)


def test_the_operator_of_the_given_interval_is_the_given_one():
    table = LINEAR["table"]
    np.testing.assert_allclose(table.matrix(8.0), TURN, atol=1e-12)
    np.testing.assert_allclose(table.noise(8.0), Q, atol=1e-10)
    np.testing.assert_allclose(LINEAR["rate"].Q, LINEAR["rate"].noise(8.0))


@pytest.mark.parametrize("name", ["table", "rate"])
@pytest.mark.parametrize("interval", [2.0, 30.0])
def test_the_noise_is_the_integral_over_the_interval(name, interval):
    made = LINEAR[name]
    integral, _ = quad_vec(lambda s: expm(made.G * s) @ made.rate @ expm(made.G * s).T, 0, interval)
    np.testing.assert_allclose(made.noise(interval), integral, rtol=1e-8, atol=1e-10)


def test_the_noise_of_a_trend_is_the_integral_over_the_interval():
    trend = LINEAR["trend"]
    integral, _ = quad_vec(lambda s: trend.matrix(s) @ np.diag([0.2, 0.01]) @ trend.matrix(s).T, 0, 7.0)
    np.testing.assert_allclose(trend.noise(7.0), integral, rtol=1e-10)


@pytest.mark.parametrize("rate, start_at", [(0.02, 0.1), (-0.05, 0.7), (0.3, 1.6)])
def test_logistic_is_the_solution_of_its_equation(rate, start_at):
    made = Logistic(rate, 1.2)
    solved = solve_ivp(lambda _, x: rate * x * (1 - x / 1.2), (0, 60), [start_at], rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(made.step(np.array([start_at]), 60.0), solved.y[:, -1], rtol=1e-8)
    np.testing.assert_allclose(made.step(made.step(np.array([start_at]), 20.0), 40.0), solved.y[:, -1], rtol=1e-8)
    assert Logistic(1, 1.2).step(np.array([1.2]), 3)[0] == pytest.approx(1.2), "whole numbers too"


@pytest.mark.parametrize("rate, x, end", [(lorenz, [1.0, 2.0, 20.0], 0.4), (fitzhugh_nagumo, [0.1, 0.2], 2.0)])
def test_runge_kutta_is_of_the_fourth_order(rate, x, end):
    exact = solve_ivp(lambda _, x: rate(x), (0, end), x, rtol=1e-12, atol=1e-13).y[:, -1]
    errors = [np.abs(Differential(rate, len(x), np.eye(len(x)), end / count).step(np.array(x), end) - exact).max()
              for count in (40, 80)]
    assert 3.6 < np.log2(errors[0] / errors[1]) < 4.4


def test_the_two_systems_are_those_of_the_thesis():
    np.testing.assert_allclose(fitzhugh_nagumo(np.array([2.0, -1.5])), [0.02 - 3 - 4 + 1, -6 + 0.12 + 0.4])   # (6.4.26)
    np.testing.assert_allclose(lorenz(np.array([1.0, 3.0, 6.0])), [20, 22 - 3, 3 - 16])


def test_a_long_interval_is_cut_into_steps():
    made = Differential(lorenz, 3, np.eye(3), 0.01)
    x = np.array([1.0, 2.0, 20.0])
    np.testing.assert_allclose(made.step(x, 0.2), made.step(made.step(x, 0.1), 0.1), rtol=1e-12)


def test_tensors_go_on_as_arrays_do(forward):
    x = np.random.default_rng(0).normal(size=(4, 5, forward.n))
    np.testing.assert_allclose(forward.step(torch.from_numpy(x), 3.0).numpy(), forward.step(x, 3.0), atol=1e-12)


def test_logistic_states_beyond_their_limits_go_on_as_those_at_them():
    within = Logistic(-0.1, 1.0, limits=(0.01, 1.0))
    assert within.step(np.array([-0.2, 1.3]), 50.0) == pytest.approx(within.step(np.array([0.01, 1.0]), 50.0))
    assert Logistic(-0.1, 1.0).step(np.array([1.3]), 50.0)[0] < 0, "beyond the capacity decay is unstable"


@pytest.mark.parametrize("rate, end", [(-30.0, 0.0), (30.0, 0.7)])
def test_logistic_is_finite_over_any_interval_and_stays_at_its_capacity(rate, end):
    x = np.array([1e-3, 0.35, 0.7])
    for made in (Logistic(rate, 0.7), Logistic(torch.tensor(rate), 0.7)):
        for given in (x, x.astype(np.float32), torch.from_numpy(x), torch.from_numpy(x.astype(np.float32))):
            if isinstance(made.rate, float) or isinstance(given, torch.Tensor):
                np.testing.assert_allclose(made.step(given, 1000.0), [end, end, 0.7], atol=1e-6)


@pytest.mark.parametrize("made", [Logistic(0.02, 1.2), Differential(lorenz, 3, np.eye(3), 0.01),
                                  Differential(fitzhugh_nagumo, 2, np.eye(2), 0.1)])
def test_tensors_go_on_as_arrays_do_in_nonlinear_models(made):
    x = np.random.default_rng(0).uniform(0.1, 1, size=(6, made.n))
    np.testing.assert_allclose(made.step(torch.from_numpy(x), 0.3).numpy(), made.step(x, 0.3), atol=1e-12)


def test_the_gradient_of_a_rate_is_known():
    rate, capacity = torch.tensor(0.1, requires_grad=True), torch.tensor(2.0, requires_grad=True)
    Logistic(rate, capacity).step(torch.tensor([0.5]), 3.0).sum().backward()
    steps = [Logistic(0.1 + h, 2.0).step(np.array([0.5]), 3.0)[0] for h in (-1e-5, 1e-5)]
    assert float(rate.grad) == pytest.approx((steps[1] - steps[0]) / 2e-5, rel=1e-4)
    steps = [Logistic(0.1, 2.0 + h).step(np.array([0.5]), 3.0)[0] for h in (-1e-5, 1e-5)]
    assert float(capacity.grad) == pytest.approx((steps[1] - steps[0]) / 2e-5, rel=1e-4)


def test_radius_is_the_largest_growth_of_a_state():
    assert LINEAR["walk"].radius(10) == 1 and LINEAR["season"].radius(10) == pytest.approx(1)
    assert LinearOperator(np.diag([0.5, 1.2]), np.eye(2), 4.0).radius(8.0) == pytest.approx(1.44)


def test_intervals_are_from_the_date_before():
    assert intervals([5.0, 8.0, 20.0]).tolist() == [0, 3, 12]


@pytest.mark.parametrize("days, words", [([1, 4, 4], "Date 3 is equal to date 2"), ([1, 9, 4], "Date 3 is before")])
def test_dates_must_rise(days, words):
    with pytest.raises(ValueError, match=words):
        intervals(days)


@pytest.mark.parametrize("A, noise, words", [
    (np.ones((2, 3)), np.eye(2), r"shape \(2, 3\) and its noise \(2, 2\)"),
    (np.eye(2), np.eye(3), "of one size"),
    (np.eye(2), [[1, 2], [0, 1]], "no covariance"),
    (np.eye(2), [[1, 2], [2, 1]], "no covariance"),
    (np.diag([1.0, -0.5]), np.eye(2), "no real logarithm"),
    (np.diag([1.0, 0.0]), np.eye(2), "no real logarithm"),
    (np.array([[1.0, 10.0], [0.0, 1.0]]), np.eye(2), "No white noise between the dates"),
])
def test_operators_that_no_system_gives_are_refused(A, noise, words):
    with pytest.raises(ValueError, match=words):
        LinearOperator(A, noise, 5.0)


def test_the_first_state_is_as_vague_as_the_series():
    y = np.array([[1.0, np.nan, 5.0], [3.0, np.nan, 5.0], [np.nan, np.nan, 5.0]])
    days = np.array([0.0, 10.0, 20.0])
    model = start(LinearTrend(0.1, 0.1), y, days, 0.01)
    np.testing.assert_allclose(model.mean, [[2, 0], [19 / 5, 0], [5, 0]])
    np.testing.assert_allclose(model.covariance, np.diag([10, 0.01]) * 0.4)
    np.testing.assert_allclose(restart(model, y[:, :1] + 1).mean, [[3, 0]])
    season = start(Seasonal(0.1, 0.1, 90.0, 2), y, days, 0.01)
    np.testing.assert_allclose(season.covariance, np.diag([10, 1, 1, 1, 1]) * 0.4)
    A, noise = model.matrices(days)
    assert A.shape == noise.shape == (3, 1, 2, 2)
    np.testing.assert_allclose(A[0, 0], np.eye(2))
    np.testing.assert_allclose(noise[:, 0, 1, 1], [0, 1, 1])


def test_a_series_without_any_value_begins_the_same_whatever_others_it_is_given_with():
    y = np.array([[1.0, np.nan, 5.0], [3.0, np.nan, 6.0]])
    model = start(LinearTrend(0.1, 0.1), y, [0.0, 1.0], 0.01)
    for part in (slice(None), slice(0, 2), slice(1, 3)):
        np.testing.assert_allclose(restart(model, y[:, part]).mean, model.mean[part])
    np.testing.assert_allclose(restart(StateSpace(model.forward, model.R, np.array([4.0, 0.0]), model.covariance),
                                       y[:, :2]).mean, [[2, 0], [4, 0]])


def test_the_first_state_of_coupled_series_shows_their_means():
    y = np.random.default_rng(0).normal([1.0, 20.0], [0.1, 4.0], size=(40, 6, 2))
    model = start(LinearOperator(np.eye(2), np.eye(2), 1.0), y, np.arange(40.0), [0.1, 0.2])
    np.testing.assert_allclose(model.mean, y.mean(axis=0))
    np.testing.assert_allclose(np.diag(model.covariance), 10 * np.maximum(y.var(axis=0).mean(axis=0), [0.1, 0.2]))
    np.testing.assert_allclose(model.R, np.diag([0.1, 0.2]))
    hidden = LinearOperator(np.eye(2), np.eye(2), 1.0, observed=[[1.0, 0.0]])
    model = start(hidden, y[..., 1], np.arange(40.0), 0.1)
    np.testing.assert_allclose(model.mean[:, 0], y[..., 1].mean(axis=0))
    assert model.covariance[1, 1] == model.covariance[0, 0] and (model.mean[:, 1] == 0).all()
    doubled = LinearOperator(np.eye(3), np.eye(3), 1.0, observed=[[2.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    model = start(doubled, y, np.arange(40.0), 1e-4)
    a, b = y.var(axis=0).mean(axis=0)
    np.testing.assert_allclose(np.diag(model.covariance), [10 * a / 4, 10 * b, 10 * b])
    np.testing.assert_allclose(model.mean[:, :2], y.mean(axis=0) / [2, 1])


def test_rounding_is_no_variation():
    y = np.log(np.full((7, 20, 1), 0.3))
    assert variance(y).max() < 1e-20 and not varies(y)
    y[0, 3] *= 1 + 1e-5
    assert varies(y)
    y[1:] = np.nan
    assert not varies(y), "one value each"
    rng = np.random.default_rng(0)
    for unit in (1e-6, 1.0, 1e6):
        flat = unit * np.full((9, 30, 1), 0.7)
        assert not varies(flat * (1 + 1e-9 * rng.normal(size=flat.shape)))
        assert varies(flat * (1 + 1e-6 * rng.normal(size=flat.shape)))
