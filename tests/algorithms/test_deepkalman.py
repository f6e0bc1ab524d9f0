"""Deep Kalman filter: gradients against the appendix and finite differences, the Kalman filter, and what it learns."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.linalg import logm

torch = pytest.importorskip("torch")

from subpixel.algorithms.state_estimation.deepkalman import DeepKalman, Learned, Settings, _Run
from subpixel.algorithms.state_estimation.kalman import kalman_filter
from subpixel.algorithms.state_estimation.model import Differential, LinearOperator, LinearTrend, Logistic
from subpixel.algorithms.state_estimation.sindy import Dictionary
from subpixel.algorithms.state_estimation.whiteness import deviation

A = np.array([[1.01, -0.002], [0, 1.005]])
Q, R, P0 = 4e-4 * np.eye(2), 0.035**2 * np.eye(2), 1e-2 * np.eye(2)


def pendulum(stretch=0.0):
    """Of a parameter, with one of two states observed."""
    def rate(x):
        a, b = x[..., :1], x[..., 1:]
        together = np.concatenate if isinstance(x, np.ndarray) else torch.cat
        return together([b - 0.1 * a**3, -(1 + stretch) * a - 0.2 * b * a], -1)
    return Differential(rate, 2, 0.02 * np.eye(2), longest=0.3, observed=[[1.0, 0.3]])


def two_observed(stretch=0.0):
    made = pendulum(stretch)
    made.observed = np.array([[1.0, 0.3], [0.0, 1.0]])
    return made


@pytest.fixture
def small():
    """Two zones of three series and four irregular dates, nonlinear, with gaps of one component and of both."""
    rng = np.random.default_rng(0)
    intervals = np.array([0.0, 0.5, 0.2, 0.5])
    model = DeepKalman(two_observed, intervals, [[0.3, 0.1], [0.1, 0.2]], 0.4 * np.eye(2), names=("stretch",),
                       settings=Settings(terminal=0.7, smoothing=3.0, learn_C=True, feed_forward=True,
                                         whiteness=False))
    y = rng.normal(size=(2, 3, 4, 2))
    y[0, 1, 2], y[1, 0, 1, 0], y[1, 2, 3, 1] = np.nan, np.nan, np.nan
    learned = Learned(0.5 * rng.normal(size=(2, 4, 2, 2)), 0.3 * rng.normal(size=(2, 1)), rng.normal(size=(2, 2, 2)),
                      np.zeros((2, 0, 2)), 0.2 * rng.normal(size=(2, 2, 2)))
    return model, learned, y, rng.normal(size=(2, 3, 2)), rng.normal(size=(2, 3, 2))


def with_settings(model, **changes):
    return DeepKalman(model.build, model.intervals, model.R, model.P0, names=model.names, dictionary=model.dictionary,
                      settings=replace(model.settings, **changes))


def moved(learned, name, index, by):
    array = getattr(learned, name).copy()
    array[index] += by
    return replace(learned, **{name: array})


def differences(loss, learned, name):
    """Central differences of the loss of each zone in its own `name`."""
    shape, h = getattr(learned, name).shape, 1e-6
    found = np.zeros(shape)
    for index in np.ndindex(*shape[1:]):
        ahead, behind = (loss(moved(learned, name, (slice(None), *index), by)) for by in (h, -h))
        found[(slice(None), *index)] = (ahead - behind) / (2 * h)
    return found


def by_hand(model, learned, y, x0, goal, weights, z):
    """The loss (6.4.6) of zone z, in loops over series and dates; `weights` are P_k^-1."""
    gains, C, push, total = learned.gains[z], learned.C[z], learned.feed[z], 0.0
    forward = model.build(float(learned.p[z, 0]))
    for b in range(y.shape[1]):
        x = x0[z, b]
        for k, h in enumerate(model.intervals):
            ahead = x + push @ (goal[z, b] - x0[z, b])
            predicted = forward.step(ahead, h) if h else ahead
            seen = np.flatnonzero(~np.isnan(y[z, b, k]))
            e = y[z, b, k, seen] - C[seen] @ predicted
            x = predicted + gains[k][:, seen] @ e
            misfit = y[z, b, k, seen] - C[seen] @ x
            total += misfit @ np.linalg.inv(model.R[np.ix_(seen, seen)]) @ misfit / 2
            total += (x - predicted) @ weights[z, k] @ (x - predicted) / 2
        total += model.settings.terminal / 2 * np.sum((x - goal[z, b])**2)
    bend = gains[2:] - 2 * gains[1:-1] + gains[:-2]
    return total / y.shape[1] + model.settings.smoothing / (2 * gains[0].size) * np.sum(bend**2)


@pytest.mark.parametrize("complete", (True, False))
def test_the_loss_is_that_of_the_thesis(small, complete):
    model, learned, y, x0, goal = small
    model = with_settings(model, complete=complete, weights="initial")
    loss, _ = model.gradients(learned, y, x0, goal)
    weights = np.broadcast_to(np.linalg.inv(model.P0), (2, 4, 2, 2))
    np.testing.assert_allclose(loss, [by_hand(model, learned, y, x0, goal, weights, z) for z in range(2)])


@pytest.mark.parametrize("name, complete", (
    ("p", True), ("C", True), ("feed", True), ("gains", True), ("p", False), ("C", False), ("feed", False)))
def test_gradients_are_those_of_finite_differences(small, complete, name):
    """Truncation leaves what is shared complete; of gains it is another gradient, see the tests on the appendix."""
    model, learned, y, x0, goal = small
    model = with_settings(model, complete=complete, weights="initial")
    found = model.gradients(learned, y, x0, goal)[1][name]
    expected = differences(lambda at: model.gradients(at, y, x0, goal)[0], learned, name)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def appendix(model, learned, y, x0, goal, weights, complete):
    """Gradients (6.A.3)-(6.A.5) for one series, with the corrections that the docstring of `DeepKalman` names."""
    gains, C, inverse = learned.gains[0], learned.C[0], np.linalg.inv(model.R)
    K, n, m = gains.shape
    p = float(learned.p[0, 0])
    x, states, predictions, errors, slopes, sensitivity = x0, [], [], [], [], []
    for k, h in enumerate(model.intervals):
        def step(x, p, h=h):
            return model.build(p).step(x, h) if h else x
        slopes.append(np.stack([(step(x + d, p) - step(x - d, p)) / 2e-5 for d in 1e-5 * np.eye(n)], axis=1))
        sensitivity.append((step(x, p + 1e-5) - step(x, p - 1e-5)) / 2e-5)
        predictions.append(step(x, p))
        errors.append(y[k] - C @ predictions[k])
        x = predictions[k] + gains[k] @ errors[k]
        states.append(x)
    of = {name: np.zeros(np.shape(array)) for name, array in (("gains", gains), ("p", 0.0), ("C", C))}

    def back(k, gradient):
        """What a gradient in x(k) gives to layer k, and the gradient in x(k-1)."""
        keep = np.eye(n) - gains[k] @ C
        of["p"] += (keep @ sensitivity[k]) @ gradient
        of["C"] -= np.outer(gains[k].T @ gradient, predictions[k])
        return (keep @ slopes[k]).T @ gradient

    def through(k, gradient, own):
        """From x(k) to all layers before; `own` layers learn in truncated backpropagation too."""
        while k >= 0:
            if complete or own:
                of["gains"][k] += np.outer(gradient, errors[k])
            gradient, k, own = back(k, gradient), k - 1, False
    through(K - 1, model.settings.terminal * (states[-1] - goal), True)
    for l in range(K):
        residual = inverse @ (y[l] - C @ states[l])
        of["C"] -= np.outer(residual, states[l])
        through(l, -C.T @ residual, True)
        pull = weights[l] @ gains[l] @ errors[l]
        of["gains"][l] += np.outer(pull, errors[l])
        of["C"] -= np.outer(gains[l].T @ pull, predictions[l])
        of["p"] -= (gains[l] @ C @ sensitivity[l]) @ pull
        through(l - 1, -(gains[l] @ C @ slopes[l]).T @ pull, False)
    D = np.diff(np.eye(K), 2, axis=0)
    of["gains"] += model.settings.smoothing / (m * n) * np.einsum("kl,lij->kij", D.T @ D, gains)
    return of


@pytest.mark.parametrize("complete", (True, False))
def test_gradients_are_those_of_the_appendix(small, complete):
    model, learned, y, x0, goal = small
    learned = replace(learned, **{name: getattr(learned, name)[:1] for name in ("gains", "p", "C", "s")},
                      feed=np.zeros((1, 2, 2)))
    model = with_settings(model, complete=complete, weights="initial", feed_forward=False)
    y, x0, goal = y[:1, :1], x0[:1, :1], goal[:1, :1]
    _, found = model.gradients(learned, y, x0, goal)
    weights = np.broadcast_to(np.linalg.inv(model.P0), (4, 2, 2))
    expected = appendix(model, learned, y[0, 0], x0[0, 0], goal[0, 0], weights, complete)
    for name in ("gains", "p", "C"):
        np.testing.assert_allclose(found[name][0].ravel(), expected[name].ravel(), rtol=1e-6, atol=1e-7)


def test_weights_are_the_covariances_of_the_kalman_filter():
    y, _ = linear(3, 6)
    y[:, :, 2] = np.nan
    model = DeepKalman(linear_model, np.ones(6), R, P0)
    run = _Run(model, y, np.ones(2), None)
    filtered = kalman_filter(np.moveaxis(y[0], 1, 0), A, Q, np.eye(2), R, np.ones(2), P0)
    np.testing.assert_allclose(run.zones.P_inverse[0], np.linalg.inv(filtered.predicted_covariance[:, 0]), rtol=1e-6)
    for kind, P in (("initial", P0), ("noise", Q)):
        run = _Run(with_settings(model, weights=kind), y, np.ones(2), None)
        np.testing.assert_allclose(run.zones.P_inverse[0, 3], np.linalg.inv(P), rtol=1e-6, atol=1e-9)


def test_weights_of_nonlinear_dynamics_are_linearised_along_the_estimates(small):
    model, _, y, x0, goal = small
    run = _Run(model, y, x0, goal)
    with torch.no_grad():
        _, _, x = model._pass(run.zones, run.y, run.seen, run.x0, run.ahead)
    before = np.concatenate([x0[:, :, None], x.numpy()[:, :, :-1]], axis=2).mean(axis=1)
    P, forward = model.P0, model.build(0.0)
    for k, h in enumerate(model.intervals):
        at = before[0, k]
        J = np.eye(2) if h == 0 else np.stack(
            [(forward.step(at + d, h) - forward.step(at - d, h)) / 2e-5 for d in 1e-5 * np.eye(2)], axis=1)
        P = J @ P @ J.T + forward.noise(h)
        np.testing.assert_allclose(np.linalg.inv(run.zones.P_inverse[0, k]), P, rtol=1e-6)
        P = P - P @ model.C0.T @ np.linalg.solve(model.C0 @ P @ model.C0.T + model.R, model.C0 @ P)


def linear_model():
    return LinearOperator(A, Q, 1.0)


def linear(series, T, seed=0):
    """Series (1, series, T, 2) of the thesis's strongly observable system, and their states."""
    rng = np.random.default_rng(seed)
    x, states = 1 + 0.1 * rng.normal(size=(series, 2)), []
    for _ in range(T):
        x = x @ A.T + 0.02 * rng.normal(size=x.shape)
        states.append(x)
    states = np.stack(states, axis=1)[None]
    return states + 0.035 * rng.normal(size=states.shape), states


def kalman_gains(T):
    P, found = P0, []
    for _ in range(T):
        P = A @ P @ A.T + Q
        found.append(P @ np.linalg.inv(P + R))
        P = (np.eye(2) - found[-1]) @ P
    return np.array(found)


def test_learns_the_kalman_gains():
    """At them each series' own gradient is zero, and with more series than states nowhere else."""
    y, _ = linear(20, 12)
    model = DeepKalman(linear_model, np.ones(12), R, P0,
                       settings=Settings(smoothing=0.0, whiteness=False, steps=(0, 0, 300), rate=0.03))
    expected = replace(model.train(y, np.ones(2)).learned, gains=kalman_gains(12)[None])
    np.testing.assert_allclose(model.gradients(expected, y, np.ones(2))[1]["gains"], 0, atol=1e-12)
    found = model.train(y, np.ones(2))
    assert np.abs(found.learned.gains[0, 1:] - kalman_gains(12)[1:]).max() < 0.01
    assert found.loss[0][-1] < found.loss[0][0]
    filtered = kalman_filter(np.moveaxis(y[0], 1, 0), A, Q, np.eye(2), R, np.ones(2), P0)
    estimates = model.estimate(expected, y, np.ones(2))
    np.testing.assert_allclose(model.kalman_gains(found.learned, y, np.ones(2))[0], kalman_gains(12), rtol=1e-8)
    np.testing.assert_allclose(np.moveaxis(estimates.mean[0], 0, 1), filtered.mean[1:], rtol=1e-8)
    np.testing.assert_allclose(model.covariances(expected, estimates)[0, 0], filtered.covariance[1:, 0], rtol=1e-6)


def test_smoothing_makes_the_gains_of_one_series_those_of_the_filter():
    """One series tells each gain in one direction only (6.4.10): Figure 6.5, first and second column."""
    y, _ = linear(1, 50)
    error = []
    for smoothing in (0.0, 10.0):
        model = DeepKalman(linear_model, np.ones(50), R, P0,
                           settings=Settings(smoothing=smoothing, whiteness=False, steps=(0, 0, 250), rate=0.03))
        error.append(np.sqrt(np.mean((model.train(y, np.ones(2)).learned.gains[0] - kalman_gains(50))**2)))
    assert error[1] < 0.06 and error[0] > 3 * error[1]


def test_missing_observations_neither_correct_nor_cost(small):
    model, learned, y, x0, goal = small
    y = y.copy()
    y[:, :, 2] = np.nan
    estimates = model.estimate(learned, y, x0, goal)
    np.testing.assert_array_equal(estimates.mean[:, :, 2], estimates.predicted[:, :, 2])
    assert np.isnan(estimates.innovation[:, :, 2]).all()
    found = with_settings(model, smoothing=0.0).gradients(learned, y, x0, goal)[1]["gains"]
    np.testing.assert_array_equal(found[:, 2], 0)
    wide = model.covariances(learned, estimates)
    assert np.trace(wide[0, 0, 2]) > 0 and np.isfinite(wide).all()


def test_stops_when_the_innovations_no_longer_become_whiter():
    y, _ = linear(1, 40)
    model = DeepKalman(linear_model, np.ones(40), R, P0, settings=Settings(steps=(0, 0, 150)))
    training = model.train(y, np.ones(2))
    assert training.white[0] and 1 < len(training.loss[0]) < 100
    innovation = model.estimate(training.learned, y, np.ones(2)).innovation
    np.testing.assert_allclose(training.deviation[0], deviation(np.moveaxis(innovation[0, 0], 1, 0)), rtol=1e-10)
    assert len(training.course[0]) == len(training.loss[0]) and (training.course[0][-1] == training.deviation[0]).all()
    patient = with_settings(model, patience=20).train(y, np.ones(2))
    assert len(patient.loss[0]) > len(training.loss[0])
    endless = with_settings(model, whiteness=False).train(y, np.ones(2))
    assert not endless.white[0] and len(endless.loss[0]) == 151


def test_the_whitest_gains_are_kept_where_asked_for():
    """Those long before learning ends."""
    y, _ = linear(1, 40)
    model = DeepKalman(linear_model, np.ones(40), R, P0, settings=Settings(steps=(0, 0, 150), patience=40, rate=0.05))
    last, whitest = (with_settings(model, whitest=keep).train(y, np.ones(2)) for keep in (False, True))
    course = last.course[0].mean(axis=1)
    assert course.argmin() < len(course) - 20
    np.testing.assert_array_equal(whitest.deviation[0], last.course[0][course.argmin()])
    innovation = model.estimate(whitest.learned, y, np.ones(2)).innovation
    np.testing.assert_allclose(whitest.deviation[0], deviation(np.moveaxis(innovation[0, 0], 1, 0)), rtol=1e-10)
    assert whitest.deviation[0].mean() < last.deviation[0].mean()


def test_masked_gains_rest():
    """Rows of the states that an observed number shows, (6.4.19), whatever the moments of Adam."""
    y, _ = linear(2, 12)
    run = _Run(DeepKalman(linear_model, np.ones(12), R, P0), y, np.ones(2), None)
    for _ in range(3):
        run._update(np.array([0]), run.gradients(np.array([0]))[1])
    before = run.zones.gains.clone()
    run.mask[0, 1] = 0
    run._update(np.array([0]), run.gradients(np.array([0]))[1])
    assert (run.zones.gains[0, :, 1] == before[0, :, 1]).all()
    assert (run.zones.gains[0, :, 0] != before[0, :, 0]).all()


def growth(rate=0.0, capacity=0.0):
    return Logistic(0.05 + 0.1 * rate, 0.8 + 0.1 * capacity, 1e-8)


def greening(rng, rate, capacity, series=6, T=24):
    days = np.cumsum(rng.uniform(3, 9, T)) - 3
    x0 = rng.uniform(0.1, 0.3, (1, series, 1))
    truth = np.stack([Logistic(rate, capacity).step(x0, float(day - days[0])) for day in days], axis=2)
    y = truth + 0.01 * rng.normal(size=truth.shape)
    y[rng.random(y.shape) < 0.3] = np.nan
    return days, x0, y


def test_finds_the_parameters_of_growth_in_spite_of_gaps():
    rng = np.random.default_rng(5)
    days, x0, y = greening(rng, 0.08, 0.7)
    model = DeepKalman(growth, np.diff(days, prepend=days[0]), [[1e-4]], [[1e-4]], names=("rate", "capacity"),
                       settings=Settings(whiteness=False, steps=(400, 0, 20)))
    training = model.train(y, x0)
    np.testing.assert_allclose(training.learned.p[0], (0.3, -1.0), atol=0.05)
    assert set(training.step[0]) == {0, 2}


def test_finds_the_observation_matrix():
    """From gains that begin near zero: gains that follow observations make any C fit."""
    rng = np.random.default_rng(9)
    x0, C = rng.normal(size=(1, 20, 2)), np.array([[0.9, 0.05], [-0.1, 1.1]])
    x = np.stack([x0 @ np.linalg.matrix_power(A, k).T for k in range(1, 11)], axis=2)
    model = DeepKalman(linear_model, np.ones(10), R, P0,
                       settings=Settings(learn_C=True, whiteness=False, steps=(100, 0, 0), trust=1e-3))
    found = model.train(x @ C.T + 0.035 * rng.normal(size=x.shape), x0).learned.C[0]
    np.testing.assert_allclose(found, C, atol=0.03)


def test_zones_do_not_know_of_each_other():
    """With steps, cycles and ends of their own."""
    rng = np.random.default_rng(6)
    together = [greening(np.random.default_rng(6), rate, 0.7) for rate in (0.04, 0.09)]
    days, x0, y = together[0][0], *(np.concatenate([one[i] for one in together]) for i in (1, 2))
    y += 1e-3 * rng.normal(size=y.shape)
    model = DeepKalman(growth, np.diff(days, prepend=days[0]), [[1e-4]], [[1e-4]], names=("rate", "capacity"),
                       dictionary=Dictionary(1), settings=Settings(patience=3, steps=(40, 10, 40), cycles=2))
    both = model.train(y, x0)
    assert len(both.loss[0]) != len(both.loss[1])
    for z in range(2):
        alone = model.train(y[z:z + 1], x0[z:z + 1])
        np.testing.assert_allclose(alone.loss[0], both.loss[z], rtol=1e-9)
        for name in ("gains", "p", "s"):
            np.testing.assert_allclose(getattr(alone.learned, name)[0], getattr(both.learned, name)[z], rtol=1e-6,
                                       atol=1e-9)


def damped(x):
    together = np.concatenate if isinstance(x, np.ndarray) else torch.cat
    return together([2 * x[..., 1:], -3 * x[..., :1]], -1)


def test_finds_a_missing_term():
    """A damping by the cube, and the predictions with it."""
    rng = np.random.default_rng(7)
    truth = Differential(lambda x: damped(x) - np.stack([0.5 * x[..., 0]**3, 0 * x[..., 0]], -1), 2, np.eye(2), 0.02)
    x, states = np.array([1.5, 0.5]), []
    for _ in range(150):
        x = truth.step(x, 0.08)
        states.append(x)
    y = np.array(states)[None, None] + 0.005 * rng.normal(size=(1, 1, 150, 2))
    model = DeepKalman(lambda: Differential(damped, 2, 1e-3 * np.eye(2), 0.08), np.full(150, 0.08), 1e-4 * np.eye(2),
                       1e-4 * np.eye(2), dictionary=Dictionary(2), settings=Settings(steps=(0, 20, 20), cycles=3))
    training = model.train(y, np.array([1.5, 0.5]))
    s = training.learned.s[0]
    assert [(model.dictionary.names("xy")[i], j) for i, j in zip(*np.nonzero(s))] == [("x^3", 0)]
    np.testing.assert_allclose(s[s != 0], -0.5, rtol=0.1)
    assert 1 <= training.cycles[0] <= 3
    known = replace(training.learned, s=np.zeros_like(s))
    errors = [np.abs(model.estimate(learned, y, [1.5, 0.5]).predicted[0, 0] - states).mean()
              for learned in (training.learned, known)]
    assert errors[0] < 0.8 * errors[1]


def test_terms_of_a_linear_operator_are_integrated_around_it():
    """A trend with logistic braking: half of the terms before the operator, half after, is of second order."""
    s = np.zeros((1, 10, 2))
    s[0, Dictionary(2).terms.index((0, 1)), 1] = -0.3
    whole = Differential(lambda x: np.stack([x[..., 1], -0.3 * x[..., 0] * x[..., 1]], -1), 2, np.eye(2), 0.01)
    errors = []
    for h in (0.4, 0.2):
        model = DeepKalman(lambda: LinearTrend(0.1, 0.1), [h, h], [[1.0]], np.eye(2), dictionary=Dictionary(2))
        learned = Learned(np.zeros((1, 2, 2, 1)), np.zeros((1, 0)), np.array([[[1.0, 0.0]]]), s, np.zeros((1, 2, 2)))
        found = model.estimate(learned, np.full((1, 1, 2, 1), np.nan), [0.5, 0.8]).mean[0, 0, 0]
        errors.append(np.abs(found - whole.step(np.array([0.5, 0.8]), h)).max())
    assert errors[0] < 3e-3 and errors[0] / errors[1] > 6   # h^3 in a step


def test_the_rate_of_an_operator_is_that_of_its_flow():
    x = np.array([[0.5, 0.8], [0.1, -0.3]])
    for forward, expected in ((LinearTrend(0.1, 0.1), np.stack([x[:, 1], 0 * x[:, 1]], -1)),
                              (LinearOperator(A, Q, 2.0), x @ logm(A).T / 2)):
        model = DeepKalman(lambda: forward, [5.0, 5.0], R[:1, :1] if forward.observed.shape[0] == 1 else R, P0)
        np.testing.assert_allclose(model._known(np.zeros(0))(x), expected, atol=1e-7)
    model = DeepKalman(growth, [5.0], [[1.0]], [[1.0]], names=("rate", "capacity"))
    np.testing.assert_allclose(model._known(np.array([1.0, 2.0]))(x), 0.15 * x * (1 - x), atol=1e-7)


def test_feed_forward_leads_to_the_known_end():
    """A state that nothing observes, known at the last date: what the gains alone cannot learn truncated."""
    y, x = linear(8, 20)
    goal = x[:, :, -1] + np.array([0.0, 0.3])
    def one_observed():
        return LinearOperator(A, Q, 1.0, observed=[[1.0, 0.0]])
    errors = []
    for feed in (False, True):
        model = DeepKalman(one_observed, np.ones(20), R[:1, :1], P0,
                           settings=Settings(terminal=100.0, feed_forward=feed, whiteness=False, steps=(0, 0, 200)))
        training = model.train(y[..., :1], np.ones(2), goal)
        assert training.learned.feed.any() == feed
        found = model.estimate(training.learned, y[..., :1], np.ones(2), goal).mean
        errors.append(np.abs(found[0, :, -1, 1] - goal[0, :, 1]).mean())
    assert errors[1] < 0.5 * errors[0]
    operation = model.estimate(training.learned, y[..., :1], np.ones(2))
    assert np.isfinite(operation.mean).all()


def test_values_before_are_kept_where_estimates_explode():
    """A learning rate that makes the states grow beyond all numbers."""
    rng = np.random.default_rng(8)
    days, x0, y = greening(rng, 0.08, 0.7)

    def exponential(rate=0.0):
        return Differential(lambda x: (0.05 - rate) * x, 1, np.array([[1e-8]]), longest=9.0)
    model = DeepKalman(exponential, np.diff(days, prepend=days[0]), [[1e-4]], [[1e-4]], names=("rate",),
                       settings=Settings(whiteness=False, steps=(60, 0, 5), shared_rate=300.0))
    training = model.train(y, x0)
    assert training.rejected[0]
    assert all(np.isfinite(getattr(training.learned, name)).all() for name in ("gains", "p", "C"))
    assert np.isfinite(model.estimate(training.learned, y, x0).mean).all()


def test_bad_input_is_refused(small):
    model, learned, y, x0, goal = small
    with pytest.raises(ValueError, match="zones, series, 4 dates and 2 observed numbers"):
        model.train(y[:, :, :3], x0, goal)
    with pytest.raises(ValueError, match="are infinite: mark missing ones"):
        model.train(np.where(np.isnan(y), np.inf, y), x0, goal)
    with pytest.raises(ValueError, match="needs the state at the last date"):
        model.train(y, x0)
    with pytest.raises(ValueError, match="No series has 5 observations"):
        with_settings(model, whiteness=True).train(y, x0, goal)
    with pytest.raises(ValueError, match="no weights constant"):
        with_settings(model, weights="constant")
    with pytest.raises(ValueError, match="observations is not positive definite"):
        DeepKalman(linear_model, np.ones(4), np.zeros((2, 2)), P0)
    with pytest.raises(ValueError, match="There are no dates"):
        DeepKalman(linear_model, [], R, P0)
    with pytest.raises(ValueError, match="P_k that weighs corrections is singular"):
        with_settings(model, weights="noise").train(y, x0, goal)
    wild = DeepKalman(lambda: Differential(lambda x: x**3, 2, np.eye(2), 1.0), np.ones(6), R, P0)
    with pytest.raises(ValueError, match="grow beyond measure before anything is learned"):
        wild.train(np.full((1, 1, 6, 2), 1e3), np.full(2, 1e3))
