"""What is not observed of a last state that is known: against an observation without noise, and by hand."""

import numpy as np
import pytest
import subpixel.algorithms.state_estimation.terminal as terminal
from subpixel.algorithms.state_estimation.kalman import kalman_filter
from subpixel.algorithms.state_estimation.model import LinearTrend, Logistic, RandomWalk, Seasonal, StateSpace, start
from subpixel.algorithms.state_estimation.terminal import completed

DAYS = np.array([0.0, 1.0, 3.0, 4.0, 7.0, 8.0])


@pytest.fixture(name="y")
def _y():
    rng = np.random.default_rng(3)
    y = np.cumsum(rng.normal(size=(len(DAYS), 5, 1)), axis=0) + rng.normal(0, 0.3, (len(DAYS), 5, 1))
    y[2:4, 1], y[-1, 2] = np.nan, np.nan
    return y


@pytest.mark.parametrize("forward", [LinearTrend(0.2, 0.05), Seasonal(0.1, 0.02, 12.0, 2)], ids=str)
def test_it_is_as_an_observation_without_noise(y, forward, monkeypatch):
    model, known = start(forward, y, DAYS, 0.09), np.random.default_rng(4).normal(size=(5, 1))
    found = completed(y, DAYS, model, known)
    A, Q = model.matrices(DAYS)
    n = forward.n
    more = [np.concatenate([stack, np.broadcast_to(last, (1, 1, n, n))]) for stack, last in ((A, np.eye(n)), (Q, 0.0))]
    R = np.full((len(DAYS) + 1, 1, 1, 1), 0.09)
    R[-1] = 1e-9
    wanted = kalman_filter(np.concatenate([y, known[None]]), *more, model.C, R, model.mean, model.covariance).mean[-1]
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    np.testing.assert_allclose(found @ model.C.T, known, atol=1e-12)
    monkeypatch.setattr(terminal, "VALUES", 2 * len(DAYS) * n**2)
    np.testing.assert_allclose(completed(y, DAYS, model, known), found, atol=1e-12)


def test_a_slope_follows_from_a_line():
    """2 + 3 t without noise, seen up to t = 8, and known to be 26 there."""
    y = (2 + 3 * DAYS)[:, None, None]
    found = completed(y, DAYS, start(LinearTrend(1e-9, 1e-9), y, DAYS, 1e-6), np.array([[26.0]]))
    np.testing.assert_allclose(found, [[26, 3]], atol=1e-3)


def test_what_is_all_observed_is_what_is_known(y):
    known = np.array([[1.0], [np.nan], [3.0], [4.0], [5.0]])
    for forward in (RandomWalk(1.0), Logistic(0.1, 5.0, 1.0)):
        np.testing.assert_array_equal(completed(y, DAYS, start(forward, y, DAYS, 0.09), known), known)
    found = completed(y, DAYS, start(LinearTrend(0.2, 0.05), y, DAYS, 0.09), known)
    assert np.isnan(found[1]).all() and np.isfinite(np.delete(found, 1, axis=0)).all()


def test_dynamics_that_are_not_linear_are_refused(y):
    class Hidden(Logistic):
        n = 2
        observed = np.array([[1.0, 0.0]])
    with pytest.raises(ValueError, match="linear dynamics only"):
        completed(y, DAYS, StateSpace(Hidden(0.1, 5.0), np.eye(1), np.zeros(2), np.eye(2)), np.zeros((5, 1)))
