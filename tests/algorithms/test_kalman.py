"""Kalman filter and smoother: against the whole system solved by least squares, and against the joint Gaussian."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy.linalg import block_diag, expm
from scipy.stats import multivariate_normal

from subpixel.algorithms.state_estimation.kalman import (_product, _sandwich, _solved, diagonal, information,
                                                         information_filter, kalman_filter, smooth)

T, S, n, m = 5, 3, 2, 3


def covariances(rng, *shape):
    root = rng.normal(size=shape + shape[-1:])
    return root @ np.swapaxes(root, -1, -2) / shape[-1] + 0.2 * np.eye(shape[-1])


@pytest.fixture(scope="module")
def problem():
    """Irregular dates, of which one is missing for all and others for some; every matrix differs everywhere."""
    rng = np.random.default_rng(3)
    interval = rng.uniform(0.2, 3, size=(T, S))
    A = np.array([[expm(dt * np.array([[-0.1, 0.5], [-0.4, -0.05]])) for dt in row] for row in interval])
    Q = interval[..., None, None] * covariances(rng, T, S, n)
    y = rng.normal(size=(T, S, m))
    y[2], y[1, 0], y[3, 1, 1], y[4, 2, :2] = np.nan, np.nan, np.nan, np.nan
    return SimpleNamespace(y=y, A=A, Q=Q, C=rng.normal(size=(T, S, m, n)), R=covariances(rng, T, S, m),
                           mean=rng.normal(size=(S, n)), covariance=covariances(rng, S, n),
                           drift=rng.normal(size=(T, S, n)))


def run(p):
    return kalman_filter(**vars(p))


def batch(p, s, last=T):
    """Solution (5.3.5) of series s with observations of the first `last` dates, and its covariance."""
    rows, right, weights = [np.eye((T + 1) * n)[:n]], [p.mean[s]], [np.linalg.inv(p.covariance[s])]
    for k in range(T):
        row = np.zeros((n, (T + 1) * n))
        row[:, k * n:(k + 1) * n], row[:, (k + 1) * n:(k + 2) * n] = -p.A[k, s], np.eye(n)
        rows.append(row), right.append(p.drift[k, s]), weights.append(np.linalg.inv(p.Q[k, s]))
        seen = np.flatnonzero(~np.isnan(p.y[k, s]))
        if k < last and len(seen):
            row = np.zeros((len(seen), (T + 1) * n))
            row[:, (k + 1) * n:(k + 2) * n] = p.C[k, s][seen]
            rows.append(row), right.append(p.y[k, s, seen])
            weights.append(np.linalg.inv(p.R[k, s][np.ix_(seen, seen)]))
    system, W = np.concatenate(rows), block_diag(*weights)
    covariance = np.linalg.inv(system.T @ W @ system)
    return covariance @ system.T @ W @ np.concatenate(right), covariance


def block(matrix, i, j):
    return matrix[i * n:(i + 1) * n, j * n:(j + 1) * n]


def test_smoother_is_the_least_squares_solution_with_its_covariances(problem):
    smoothed = smooth(run(problem))
    for s in range(S):
        z, covariance = batch(problem, s)
        np.testing.assert_allclose(smoothed.mean[:, s].ravel(), z, atol=1e-10)
        for k in range(T + 1):
            np.testing.assert_allclose(smoothed.covariance[k, s], block(covariance, k, k), atol=1e-10)
        for k in range(T):
            np.testing.assert_allclose(smoothed.lag_one[k, s], block(covariance, k + 1, k), atol=1e-10)


def test_filter_is_the_least_squares_solution_of_the_dates_so_far(problem):
    filtered = run(problem)
    for k in range(1, T + 1):
        z, covariance = batch(problem, 1, last=k)
        np.testing.assert_allclose(filtered.mean[k, 1], z[k * n:(k + 1) * n], atol=1e-10)
        np.testing.assert_allclose(filtered.covariance[k, 1], block(covariance, k, k), atol=1e-10)


def test_loglikelihood_is_that_of_the_joint_gaussian(problem):
    p, found = problem, run(problem).loglikelihood
    for s in range(S):
        mean, prior = [p.mean[s]], [p.covariance[s]]
        joint = np.zeros(((T + 1) * n,) * 2)
        joint[:n, :n] = p.covariance[s]
        for k in range(T):
            now, done = slice((k + 1) * n, (k + 2) * n), slice((k + 1) * n)
            mean.append(p.A[k, s] @ mean[-1] + p.drift[k, s])
            prior.append(p.A[k, s] @ prior[-1] @ p.A[k, s].T + p.Q[k, s])
            joint[now, done] = p.A[k, s] @ joint[k * n:(k + 1) * n, done]
            joint[done, now], joint[now, now] = joint[now, done].T, prior[-1]
        H = block_diag(np.zeros((0, n)), *p.C[:, s])
        seen = ~np.isnan(p.y[:, s]).ravel()
        expected = (H @ np.concatenate(mean))[seen]
        spread = (H @ joint @ H.T + block_diag(*p.R[:, s]))[np.ix_(seen, seen)]
        value = multivariate_normal.logpdf(p.y[:, s].ravel()[seen], expected, spread)
        np.testing.assert_allclose(found[s], value, rtol=1e-10)


def test_information_form_is_the_covariance_form(problem):
    p, filtered = problem, run(problem)
    J, h, energy = information(p.y, p.C, p.R)
    same = information_filter(J, h, p.A, p.Q, p.mean, p.covariance, p.drift, energy)
    for name in ("mean", "covariance", "predicted_mean", "predicted_covariance", "loglikelihood"):
        np.testing.assert_allclose(getattr(same, name), getattr(filtered, name), atol=1e-9)
    np.testing.assert_allclose(smooth(same).lag_one, smooth(filtered).lag_one, atol=1e-9)


def test_later_dates_never_widen_the_covariance(problem):
    filtered = run(problem)
    less = np.linalg.eigvalsh(filtered.covariance - smooth(filtered).covariance)
    assert less.min() > -1e-12
    assert less[0].max() > 1e-3
    np.testing.assert_allclose(less[-1], 0, atol=1e-12)


def test_one_series_alone_is_the_series_in_a_batch(problem):
    p, together = problem, run(problem)
    alone = kalman_filter(p.y[:, 1], p.A[:, 1], p.Q[:, 1], p.C[:, 1], p.R[:, 1], p.mean[1], p.covariance[1],
                          p.drift[:, 1])
    assert alone.mean.shape == (T + 1, n)
    np.testing.assert_allclose(alone.mean, together.mean[:, 1], atol=1e-12)
    np.testing.assert_allclose(alone.loglikelihood, together.loglikelihood[1])
    np.testing.assert_allclose(smooth(alone).covariance, smooth(together).covariance[:, 1], atol=1e-12)


@pytest.mark.parametrize("gaps", [False, True])
def test_shared_matrices_give_what_copies_of_them_give(problem, gaps):
    p = problem
    y = np.nan_to_num(p.y) if not gaps else p.y
    shared = dict(A=p.A[:, :1], Q=p.Q[0, 0], C=p.C[0, 0], R=diagonal([0.1, 0.2, 0.3]), mean=p.mean[0],
                  covariance=p.covariance[0])
    found = kalman_filter(y, **shared)
    copies = dict(A=np.repeat(p.A[:, :1], S, axis=1), **{
        name: np.array(np.broadcast_to(shared[name], (T, S, *shared[name].shape))) for name in "QCR"},
        mean=np.stack([p.mean[0]] * S), covariance=np.stack([p.covariance[0]] * S))
    other = kalman_filter(y, **copies)
    np.testing.assert_allclose(found.mean, other.mean, atol=1e-12)
    np.testing.assert_allclose(smooth(found).covariance, smooth(other).covariance, atol=1e-12)
    np.testing.assert_allclose(smooth(found).mean, smooth(other).mean, atol=1e-12)
    assert found.covariance.shape == (T + 1, S, n, n)
    assert (found.covariance.strides[1] == 0) == (not gaps)


def test_dates_beyond_the_last_are_predicted(problem):
    p = problem
    y = p.y.copy()
    y[3:] = np.nan
    filtered = kalman_filter(**{**vars(p), "y": y})
    x, P = filtered.mean[3], filtered.covariance[3]
    for k in (3, 4):
        x = np.einsum("sij,sj->si", p.A[k], x) + p.drift[k]
        P = p.A[k] @ P @ np.swapaxes(p.A[k], 1, 2) + p.Q[k]
    np.testing.assert_allclose(filtered.mean[5], x, atol=1e-12)
    np.testing.assert_allclose(filtered.covariance[5], P, atol=1e-12)


def test_a_gap_widens_the_uncertainty_and_the_next_observation_narrows_it():
    y = np.ones((5, 1, 1))
    y[2:4] = np.nan
    one = np.eye(1)
    spread = kalman_filter(y, one, 0.1 * one, one, 0.2 * one, np.zeros(1), one).covariance[:, 0, 0, 0]
    assert spread[2] < spread[3] < spread[4] > spread[5]


def test_standardised_innovations_are_white_where_the_model_holds():
    rng = np.random.default_rng(0)
    dates, series = 6, 4000
    A, C = np.array([[1.0, 1.0], [0.0, 0.9]]), np.array([[1.0, 0.0], [1.0, 1.0]])
    Q, R = np.diag([0.1, 0.05]), diagonal([0.5, 0.3])
    x, y = rng.normal(size=(series, 2)), np.empty((dates, series, 2))
    for k in range(dates):
        x = x @ A.T + rng.normal(size=x.shape) * np.sqrt(np.diag(Q))
        y[k] = x @ C.T + rng.normal(size=x.shape) * np.sqrt(np.diag(R))
    y[rng.random(y.shape) < 0.2] = np.nan
    innovation = kalman_filter(y, A, Q, C, R, np.zeros(2), np.eye(2)).standardised()
    np.testing.assert_array_equal(np.isnan(innovation), np.isnan(y))
    assert abs(np.nanmean(innovation)) < 0.02
    assert abs(np.nanvar(innovation) - 1) < 0.02
    assert abs(np.nanmean(innovation[1:] * innovation[:-1])) < 0.02


def test_covariances_stay_symmetric_and_positive_with_nearly_exact_observations():
    A = np.array([[1.0, 1.0], [0.0, 1.0]])
    filtered = kalman_filter(np.ones((200, 1, 1)), A, 1e-10 * np.eye(2), np.array([[1.0, 0.0]]), 1e-12 * np.eye(1),
                             np.zeros(2), 1e6 * np.eye(2))
    for P in (filtered.covariance, smooth(filtered).covariance):
        np.testing.assert_array_equal(P, np.swapaxes(P, -1, -2))
        assert np.linalg.eigvalsh(P).min() > 0


@pytest.mark.parametrize("change, words", [
    (dict(C=np.ones((m, n + 1))), r"The matrix C has the shape \(3, 3\): its last two axes must be \(3, 2\)\."),
    (dict(Q=np.ones((T, S + 1, n, n))), r"The matrix Q has the shape \(5, 4, 2, 2\), which cannot be broadcast"),
    (dict(mean=np.ones((S + 1, n))), r"The initial mean has the shape \(4, 2\)"),
    (dict(mean=0.0), r"The initial mean is a number"),
    (dict(drift=np.ones((T + 1, S, n))), r"The drift has the shape"),
    (dict(R=-np.eye(m)), r"The covariance of the innovations is not positive definite"),
    (dict(y=np.full((T, S, m), np.inf)), r"Some observations are infinite"),
    (dict(y=np.ones(T)), r"Observations must have the axes"),
])
def test_what_does_not_fit_is_said(problem, change, words):
    with pytest.raises(ValueError, match=words):
        kalman_filter(**{**vars(problem), **change})


def test_a_smoother_without_any_noise_is_refused():
    one = np.eye(1)
    filtered = kalman_filter(np.ones((3, 1, 1)), one, 0 * one, one, one, np.zeros(1), 0 * one)
    with pytest.raises(ValueError, match="predicted for date 3 is singular"):
        smooth(filtered)


def test_information_of_other_states_is_refused():
    with pytest.raises(ValueError, match="of 3 states, the mean of 2"):
        information_filter(np.eye(3), np.ones((2, 1, 3)), np.eye(2), np.eye(2), np.zeros(2), np.eye(2))


@pytest.mark.parametrize("rows, inner, columns", [(1, 2, 1), (2, 2, 2), (3, 3, 1), (4, 4, 4)])
def test_products_of_many_small_matrices_are_products(rows, inner, columns):
    rng = np.random.default_rng(0)
    A, B, C = rng.random((700, rows, inner)), rng.random((1, inner, columns)), rng.random((700, columns, 2))
    np.testing.assert_allclose(_product(A, B), A @ B, rtol=1e-12)
    np.testing.assert_allclose(_product(_product(A, B), C), A @ B @ C, rtol=1e-12)
    P = covariances(rng, 700, inner)
    np.testing.assert_allclose(_sandwich(A, P), A @ P @ A.swapaxes(1, 2), rtol=1e-12)
    np.testing.assert_array_equal(_sandwich(A, P), _sandwich(A, P).swapaxes(1, 2))


@pytest.mark.parametrize("n", [1, 2, 3])
def test_small_systems_are_solved_whatever_the_units(n):
    rng = np.random.default_rng(0)
    root = rng.random((1500, n, n)) + 2 * np.eye(n)
    units = np.array([1e3, 1e-4, 1.0])[:n]
    S, B = units[:, None] * (root @ root.swapaxes(-1, -2)) * units, rng.random((1500, n, 2))
    np.testing.assert_allclose(_solved(S, B), np.linalg.solve(S, B), rtol=1e-8)
    S[7] = 0
    with pytest.raises(np.linalg.LinAlgError):
        _solved(S, B)
