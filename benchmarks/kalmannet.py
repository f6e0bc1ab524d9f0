"""KalmanNet on linear Gaussian systems against the Kalman filter, with the right noise and with wrong noise."""

import time
from dataclasses import replace

import numpy as np
from harness import record

from subpixel.algorithms.state_estimation.kalman import kalman_filter
from subpixel.algorithms.state_estimation.kalmannet import Settings, learn
from subpixel.algorithms.state_estimation.model import LinearOperator, LinearTrend, Seasonal, StateSpace, intervals

SEED, SERIES, T, STEPS = 1, 3000, 24, 400
WRONG = 100.0   # by which the noise of steps is taken too small
TURN = 0.95 * np.array([[1.0, 0.3], [-0.3, 1.0]])
SYSTEMS = {
    "turning, 2 states seen": StateSpace(LinearOperator(TURN / 1.05, 0.1 * np.eye(2), 16.0), 0.5 * np.eye(2),
                                         np.zeros(2), np.eye(2)),
    "level and slope": StateSpace(LinearTrend(3e-4, 1e-7), np.array([[0.01]]), np.zeros(2), np.diag([1.0, 1e-4])),
    "season": StateSpace(Seasonal(3e-4, 1e-4, 365.25, 1), np.array([[0.01]]), np.zeros(3), np.diag([1.0, 0.1, 0.1]))}


def dates(rng):
    """Days of images about 16 days apart."""
    return np.cumsum(rng.choice([8.0, 16.0, 24.0], T))


def series(model, days, rng, gaps=0.3):
    """States (T, Q, n) and observations (T, Q, m), NaN under clouds."""
    steps, forward, C = intervals(days), model.forward, model.C
    x = [rng.multivariate_normal(model.mean, model.covariance, SERIES)]
    for step in steps[1:]:
        x.append(forward.step(x[-1], step) + rng.multivariate_normal(np.zeros(forward.n), forward.noise(step), SERIES))
    x = np.stack(x)
    y = x @ C.T + rng.multivariate_normal(np.zeros(len(C)), model.R, (T, SERIES))
    y[rng.random(y.shape[:2]) < gaps] = np.nan
    return x, y


def mistaken(model):
    """The same with much less noise of the steps."""
    forward = model.forward
    if isinstance(forward, LinearOperator):
        return replace(model, forward=LinearOperator(forward.A, forward.Q / WRONG, forward.interval))
    changed = {name: getattr(forward, name) / WRONG for name in ("level", "slope", "season") if hasattr(forward, name)}
    return replace(model, forward=replace(forward, **changed))


def kalman_error(model, x, y, days):
    A, Q = model.matrices(days)
    found = kalman_filter(y, A, Q, model.C, model.R, model.mean, model.covariance)
    return error(model, found.mean[1:], x)


def error(model, found, x):
    """Mean square error of what is observed."""
    return float(np.mean(np.square((found - x) @ model.C.T)))


def cell(model, components, source, steps=STEPS):
    """Errors of the Kalman filter with right and wrong noise and of KalmanNet, and the seconds it took to learn."""
    rng = np.random.default_rng(SEED)
    days = dates(rng)
    x, y = series(model, days, rng)
    _, taught = series(model, days, rng)
    settings = Settings(components=components, steps=steps)
    begin = time.perf_counter()
    if source == "simulated, right noise":
        found = learn(model, days, rng, settings, seen=~np.isnan(taught))
    else:
        found = learn(mistaken(model), days, rng, settings, series=taught)
    seconds = time.perf_counter() - begin
    return (kalman_error(model, x, y, days), kalman_error(mistaken(model), x, y, days),
            error(model, found.network.estimate(y, days).mean, x), seconds)


def main():
    rows = []
    for name, model in SYSTEMS.items():
        for components, source in ((1, "simulated, right noise"), (3, "simulated, right noise"),
                                   (3, "innovations, wrong noise")):
            right, wrong, ours, seconds = cell(model, components, source)
            rows.append({"system": name, "modules": components, "learned from": source, "MSE, Kalman": right,
                         "MSE, Kalman with wrong noise": wrong, "MSE, KalmanNet": ours, "to Kalman": ours / right,
                         "to wrong noise": ours / wrong, "seconds": seconds})
    record("kalmannet", "KalmanNet against the Kalman filter on linear Gaussian systems (thesis, section 6.3)", rows,
           SEED, f"Mean square error of the observed quantity over {T} dates at irregular intervals of 8 to 24 days "
           f"and {SERIES} series, 30 % of them missing; networks learn from others of the same system. Wrong noise: "
           f"that of the steps taken {WRONG:g} times too small; KalmanNet then learns from the innovations of series "
           f"of the true system, whose states it is not told. Default settings, but {STEPS} steps. The thesis gives no "
           f"figures for KalmanNet; asked for is an error within 5 % of the Kalman filter's, and below that with "
           f"wrong noise.")



if __name__ == "__main__":
    main()
