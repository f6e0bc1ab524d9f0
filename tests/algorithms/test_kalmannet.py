"""KalmanNet: the Kalman filter's error where that is best, a better one than with wrong noise, gaps, its covariance."""

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from subpixel.algorithms.state_estimation import kalmannet as module
from subpixel.algorithms.state_estimation.kalman import kalman_filter
from subpixel.algorithms.state_estimation.kalmannet import INPUTS, KalmanNet, Settings, learn
from subpixel.algorithms.state_estimation.model import (LinearOperator, LinearTrend, Logistic, RandomWalk, StateSpace,
                                                        intervals)

DAYS = np.array([0.0, 1, 2, 4, 9, 10, 12, 13, 18, 19, 20, 25])
TURN = StateSpace(LinearOperator(0.9 * np.array([[1, 0.3], [-0.3, 1]]), 0.1 * np.eye(2), 1.0), 2 * np.eye(2),
                  np.zeros(2), np.eye(2))
TREND = StateSpace(LinearTrend(0.05, 0.002), np.array([[0.5]]), np.zeros(2), np.diag([4.0, 0.1]))
NETWORK = Settings()
QUICK = Settings(steps=160, width=5, batch=48)


def series(model, count=1500, seed=1, gaps=0.3, days=DAYS):
    """States, observations with gaps (T, count, ...)."""
    rng = np.random.default_rng(seed)
    x, y, _ = module._Simulation(model, intervals(days), rng, None, None).draw(count)
    y[rng.random(y.shape[:2]) < gaps] = np.nan
    return x, y


def kalman_error(model, x, y, days=DAYS):
    A, Q = model.matrices(days)
    found = kalman_filter(y, A, Q, model.C, model.R, model.mean, model.covariance)
    return np.mean((found.mean[1:] - x) ** 2), found


def errors(x, y, network, days=DAYS):
    return np.mean((network.estimate(y, days).mean - x) ** 2)


def untrained(model, settings=NETWORK, days=DAYS, **others):
    return learn(model, days, np.random.default_rng(3), replace(settings, steps=1, rate=1e-9), **others).network


@pytest.mark.parametrize("model, components", [(TURN, 3), (TREND, 1)], ids=["three", "one"])
def test_reaches_the_kalman_filter_on_a_linear_gaussian_system(model, components):
    x, y = series(model)
    best, _ = kalman_error(model, x, y)
    settings = replace(QUICK, components=components, steps=300)
    found = learn(model, DAYS, np.random.default_rng(0), settings, seen=~np.isnan(y))
    assert errors(x, y, untrained(model, settings)) > 1.2 * best
    assert 0.99 * best < errors(x, y, found.network) < 1.05 * best
    assert found.losses[-1] < found.losses[0] and found.iterations == settings.steps and not found.stopped


def test_learns_without_a_truth_what_a_filter_with_wrong_noise_does_not_know():
    wrong = replace(TURN, forward=LinearOperator(TURN.forward.A, 0.002 * np.eye(2), 1.0), R=8 * np.eye(2))
    x, y = series(TURN)
    best, mistaken = kalman_error(TURN, x, y)[0], kalman_error(wrong, x, y)[0]
    found = learn(wrong, DAYS, np.random.default_rng(0), QUICK, series=series(TURN, seed=9)[1])
    assert mistaken > 1.3 * best
    assert errors(x, y, found.network) < 1.05 * best


def test_learns_from_series_whose_states_are_known():
    wrong = replace(TURN, R=50 * np.eye(2))
    x, y = series(TURN)
    states, seen = series(TURN, seed=9)
    best, _ = kalman_error(TURN, x, y)
    found = learn(wrong, DAYS, np.random.default_rng(0), QUICK, series=seen, states=states)
    assert errors(x, y, found.network) < 1.05 * best


def test_nothing_is_corrected_where_nothing_is_seen():
    network = untrained(TURN)
    _, y = series(TURN, 20, gaps=0)
    y[4], y[6, 5:, 0] = np.nan, np.nan
    found = network.estimate(y, DAYS)
    np.testing.assert_allclose(found.mean[4], found.mean[3] @ TURN.forward.matrix(5.0).T, atol=1e-5)
    assert np.isnan(found.innovation[4]).all() and np.isnan(found.innovation[6, 5:, 0]).all()
    assert np.isfinite(found.innovation[6, 5:, 1]).all() and np.isfinite(found.mean).all()


def test_a_gap_widens_the_uncertainty_and_an_observation_narrows_it():
    _, y = series(TREND, 5, gaps=0)
    y[5:7] = np.nan
    spread = untrained(TREND).estimate(y, DAYS).covariance[:, :, 0, 0]
    assert (spread[6] > spread[5]).all() and (spread[5] > spread[4]).all() and (spread[7] < spread[6]).all()


def test_covariance_is_that_of_the_error_whatever_the_gain():
    x, y = series(TURN, 8000)
    found = untrained(TURN).estimate(y, DAYS)
    off = found.mean - x
    np.testing.assert_allclose(np.einsum("tqi,tqj->tij", off, off) / 8000, found.covariance.mean(axis=1), atol=0.03)


def test_derivative_of_dynamics_that_are_not_linear():
    dynamics = module._Dynamics(Logistic(0.1, 2.0), [0.0, 7.0], "cpu")
    x = torch.tensor([[0.3], [1.0], [1.9]])
    h = 1e-2
    numerical = (dynamics(x + h, 1) - dynamics(x - h, 1)) / (2 * h)
    np.testing.assert_allclose(dynamics.jacobian(x, 1)[:, :, 0], numerical, rtol=1e-3)
    assert dynamics.jacobian(x, 0).ravel().tolist() == pytest.approx([1, 1, 1], abs=1e-5)


def test_logistic_growth_is_followed_through_gaps():
    model = StateSpace(Logistic(0.15, 1.0, 1e-4), np.array([[0.02]]), np.array([0.15]), np.array([[0.005]]))
    settings = replace(QUICK, limits=(0.001, 1.2))
    rng = np.random.default_rng(2)
    x, y, _ = module._Simulation(model, intervals(DAYS), rng, None, settings.limits).draw(500)
    y[rng.random(y.shape[:2]) < 0.3] = np.nan
    network = learn(model, DAYS, np.random.default_rng(0), settings, seen=~np.isnan(y)).network
    alone = errors(x, np.full_like(y, np.nan), network)
    assert errors(x, y, network) < 0.5 * min(alone, np.nanmean((y - x) ** 2))
    assert network.estimate(y, DAYS).mean.min() >= 0.001


@pytest.mark.parametrize("components", [1, 3])
@pytest.mark.parametrize("left", INPUTS)
def test_gains_depend_on_the_inputs_chosen_and_no_others(components, left):
    chosen = tuple(name for name in INPUTS if name != left)
    network = untrained(TURN, Settings(components=components, inputs=chosen))
    zero = {name: torch.zeros(1, 2) for name in INPUTS}
    hidden = network._begin(torch.zeros(1, 2)).hidden

    def gain(interval=1.0, seen=(True, True), **inputs):
        return network._gain({**zero, **inputs}, interval, torch.tensor([seen]), hidden)[0]
    for name in INPUTS:
        assert torch.equal(gain(**{name: torch.ones(1, 2)}), gain()) == (name == left)
    assert not torch.equal(gain(interval=5.0), gain())
    assert not torch.equal(gain(seen=(True, False)), gain())


def test_the_four_inputs_are_the_increments_and_errors_so_far():
    """Of observations to the last one seen, of states and corrections those of the date before."""
    network, shown = untrained(TREND), []
    sx, sy = network.state_scale, network.observation_scale

    def gain(inputs, interval, seen, hidden):
        shown.append({name: each[0].numpy() for name, each in inputs.items()})
        return torch.tensor([[[0.5], [0.1]]]), hidden
    network._gain = gain
    days, y = np.array([0.0, 2.0, 3.0, 7.0]), np.array([1.0, np.nan, 4.0, 3.0])
    found = network.estimate(y[:, None, None], days).mean[:, 0].astype(float)
    before, x, last = np.zeros(2), np.zeros(2), None
    increment = correction = np.zeros(2)
    for k, step in enumerate(np.diff(days, prepend=0.0)):
        predicted = np.array([x[0] + step * x[1], x[1]])
        e = 0.0 if np.isnan(y[k]) else y[k] - predicted[0]
        since = 0.0 if np.isnan(y[k]) or last is None else y[k] - last
        for name, expected in (("observation", since / sy), ("innovation", e / sy), ("state", increment / sx),
                               ("correction", correction / sx)):
            np.testing.assert_allclose(shown[k][name], np.ravel(expected), rtol=1e-4, atol=1e-5, err_msg=f"{name} {k}")
        before, x = x, predicted + e * np.array([0.5, 0.1])
        increment, correction = x - before, x - predicted
        last = last if np.isnan(y[k]) else y[k]
        np.testing.assert_allclose(found[k], x, rtol=1e-5, atol=1e-5)


def test_covariance_of_a_date_that_is_missing_is_the_predicted_one_and_all_have_the_factor():
    _, y = series(TREND, 4, gaps=0)
    y[5] = np.nan
    network = untrained(TREND)
    plain = network.estimate(y, DAYS).covariance
    A, Q = TREND.forward.matrix(1.0), TREND.forward.noise(1.0)
    np.testing.assert_allclose(plain[5], A @ plain[4] @ A.T + Q, rtol=1e-4, atol=1e-5)
    network.factor = 4.0
    np.testing.assert_allclose(network.estimate(y, DAYS).covariance, 4 * plain, rtol=1e-4, atol=1e-5)


def test_many_series_are_taken_in_blocks(monkeypatch):
    _, y = series(TREND, 10)
    network = untrained(TREND)
    whole = network.estimate(y, DAYS)
    monkeypatch.setattr(module, "BLOCK", 4)
    parts = network.estimate(y, DAYS)
    for name in ("mean", "covariance", "innovation"):
        np.testing.assert_allclose(getattr(parts, name), getattr(whole, name), rtol=1e-4, atol=1e-5)


def test_simulated_series_have_the_moments_gaps_and_limits_asked_for():
    seen = np.ones((12, 2, 1), bool)
    seen[3:5, 0], seen[7, 1] = False, False
    model = replace(TREND, mean=np.array([[0.0, 0.0], [5.0, 0.1]]))
    x, y, mean = module._Simulation(model, intervals(DAYS), np.random.default_rng(0), seen, None).draw(20000)
    own = (np.isnan(y[3, :, 0]), np.isnan(y[7, :, 0]))
    assert (own[0] != own[1]).all() and 0.45 < own[0].mean() < 0.55 and not np.isnan(y[[0, 1, 2, 5, 6, 8]]).any()
    assert set(map(tuple, np.unique(mean, axis=0).tolist())) == {(0.0, 0.0), (5.0, 0.1)}
    np.testing.assert_allclose(np.cov((x[0] - mean).T), TREND.covariance, atol=0.08)
    moves = x[4] - x[3] @ TREND.forward.matrix(5.0).T
    np.testing.assert_allclose(np.cov(moves.T), TREND.forward.noise(5.0), rtol=0.05)
    assert np.nanvar(y - x[..., :1]) == pytest.approx(0.5, rel=0.02)
    x, _, _ = module._Simulation(TREND, intervals(DAYS), np.random.default_rng(0), None, (-1.0, 1.0)).draw(500)
    assert x.min() == -1 and x.max() == 1


def test_one_of_eight_given_series_is_held_out_and_the_best_weights_are_kept(monkeypatch):
    """They are spoilt after the second look."""
    weights, begin = {}, module.start
    monkeypatch.setattr(module, "start", lambda *given: weights.update(begin(*given)) or weights)

    def spoil(iteration, loss):
        if iteration == 50:
            weights["out.bias"].data += 3
    _, y = series(TREND, 16, gaps=0)
    found = learn(TREND, DAYS, np.random.default_rng(0), replace(QUICK, steps=75), series=y, callback=spoil)
    network, best = found.network, min(found.losses[1:])
    assert len(found.losses) == 4 and found.losses[-1] > 1.5 * best
    dynamics = module._Dynamics(TREND.forward, intervals(DAYS), network.place)

    def loss(which):
        batch = module._batch(network, y[:, which], None, np.zeros((len(which), 2)))
        with torch.no_grad():
            parts = list(module._losses(network, dynamics, batch))
        return float(sum(total for total, _ in parts) / sum(count for _, count in parts))
    pairs = [loss([a, b]) for a in range(16) for b in range(a)]
    assert np.abs(np.array(pairs) - best).min() < 1e-5 * best, "that of two series, with the weights kept"
    factor, network.factor = network.factor, 1.0
    squares = np.square(network.estimate(y, DAYS).innovation.astype(float))
    assert factor == pytest.approx(squares[1:].mean(), rel=1e-5) and factor != pytest.approx(squares.mean(), rel=1e-3)


def test_hidden_states_have_the_sizes_asked_for():
    for settings, sizes in ((Settings(components=1, width=3), [15]), (Settings(components=3, width=3), [12, 12, 3])):
        hidden = untrained(TREND, settings)._begin(torch.zeros(4, 2)).hidden
        assert [h.shape for h in hidden] == [(4, size) for size in sizes]


def test_gradients_go_back_through_one_sub_trajectory():
    settings = Settings(length=5)
    network = untrained(TURN, settings)
    x, y = series(TURN, 10)
    batch = module._batch(network, y, x, np.zeros((10, 2)))
    mean = batch[-1].requires_grad_(True)
    for weight in network.parameters.values():
        weight.requires_grad_(True)
    parts = list(module._losses(network, module._Dynamics(TURN.forward, intervals(DAYS), "cpu"), batch))
    assert len(parts) == 3
    assert torch.autograd.grad(parts[0][0], mean, retain_graph=True)[0].abs().min() > 0
    assert torch.autograd.grad(parts[1][0], mean, allow_unused=True)[0] is None
    dynamics = module._Dynamics(TURN.forward, intervals(DAYS), "cpu")
    unknown = list(module._losses(network, dynamics, module._batch(network, y, None, np.zeros((10, 2)))))
    assert sum(count for _, count in unknown) == np.isfinite(y[1:]).sum(), "no gain precedes the first date"


def test_innovations_tell_by_how_much_the_noise_was_misjudged():
    model = StateSpace(RandomWalk(0.1), np.array([[0.5]]), np.zeros(1), np.array([[2.0]]))
    _, y = series(model)
    network = learn(replace(model, forward=RandomWalk(0.025), R=model.R / 4, covariance=model.covariance / 4), DAYS,
                    np.random.default_rng(0), QUICK, series=y).network
    assert network.factor == pytest.approx(4, rel=0.1)
    assert np.nanmean(network.estimate(y, DAYS).innovation[1:] ** 2) == pytest.approx(1, rel=0.02)


def test_the_same_seed_gives_the_same_and_leaves_the_global_numbers_alone():
    _, y = series(TREND, 40)
    torch.manual_seed(5)
    before = torch.rand(1)
    torch.manual_seed(5)
    found = [learn(TREND, DAYS, np.random.default_rng(4), replace(QUICK, steps=30)).network.estimate(y, DAYS).mean
             for _ in range(2)]
    assert torch.equal(torch.rand(1), before)
    np.testing.assert_array_equal(*found)


def test_state_and_back():
    _, y = series(TREND, 30)
    settings = Settings(steps=20, inputs=("innovation",), limits=(-9.0, 9.0))
    network = learn(TREND, DAYS, np.random.default_rng(4), settings, series=y).network
    again = KalmanNet.from_state(network.state(), TREND)
    assert again.settings == network.settings
    np.testing.assert_array_equal(again.estimate(y, DAYS).covariance, network.estimate(y, DAYS).covariance)
    with pytest.raises(ValueError, match="do not fit a model of 1 states"):
        KalmanNet.from_state(network.state(), StateSpace(RandomWalk(0.1), TREND.R, np.zeros(1), np.eye(1)))
    with pytest.raises(ValueError, match="no usable"):
        KalmanNet.from_state({"width": np.array(3)}, TREND)


def test_the_callback_ends_learning():
    seen = []

    def follow(iteration, loss):
        seen.append((iteration, loss))
        return len(seen) == 2
    found = learn(TREND, DAYS, np.random.default_rng(4), replace(QUICK, steps=200), callback=follow)
    assert found.stopped and found.iterations == 2 * module.EVERY
    assert tuple(loss for _, loss in seen) == found.losses[1:]


def test_refusals():
    rng = np.random.default_rng(0)
    _, y = series(TREND, 10)
    with pytest.raises(ValueError, match="2 components: choose 1 or 3"):
        learn(TREND, DAYS, rng, Settings(components=2))
    with pytest.raises(ValueError, match="inputs are none"):
        learn(TREND, DAYS, rng, Settings(inputs=()))
    with pytest.raises(ValueError, match="inputs are taste"):
        learn(TREND, DAYS, rng, Settings(inputs=("taste",)))
    with pytest.raises(ValueError, match="width is 0"):
        learn(TREND, DAYS, rng, Settings(width=0))
    with pytest.raises(ValueError, match="one date"):
        learn(TREND, DAYS[:1], rng)
    with pytest.raises(ValueError, match="shape"):
        learn(TREND, DAYS, rng, series=y[:-1])
    with pytest.raises(ValueError, match="follow each other"):
        learn(TREND, DAYS, rng, series=np.where(np.arange(12)[:, None, None] % 2, np.nan, y))
    with pytest.raises(ValueError, match="no observation"):
        learn(TREND, DAYS, rng, seen=np.zeros((12, 3, 1), bool))
    with pytest.raises(ValueError, match="equal to"):
        untrained(TREND).estimate(y, np.array([*DAYS[:-1], DAYS[-2]]))
    growing = StateSpace(LinearOperator(np.array([[1e30]]), np.array([[1.0]]), 1.0), np.eye(1), np.zeros(1), np.eye(1))
    with pytest.raises(ValueError, match="not finite"), np.errstate(all="ignore"):
        learn(growing, DAYS, rng, Settings(steps=2))
