"""Kalman filter and Rauch-Tung-Striebel smoother for many series at once."""

from dataclasses import dataclass

import numpy as np

LOG_2PI = float(np.log(2 * np.pi))


@dataclass(frozen=True)
class Filtered:
    """
    What the dates up to each date say of its state. `series` stands for the axes of the series, none for one series.

    Entry 0 of `mean` and `covariance` is the state before the first date, x(0). Covariances that all series share are
    views with a stride of zero: read them, do not write.

    Attributes
    ----------
    mean : ndarray (T + 1, *series, n)
        x(k|k).
    covariance : ndarray (T + 1, *series, n, n)
        P(k|k).
    predicted_mean : ndarray (T, *series, n)
        x(k|k-1).
    predicted_covariance : ndarray (T, *series, n, n)
        P(k|k-1).
    loglikelihood : ndarray (*series)
        Of all observations under the model.
    A, Q : ndarray (T, *series, n, n)
        Forward operators and their noise, which the smoother needs.
    innovation : ndarray (T, *series, m) or None
        y(k) - C(k) x(k|k-1), NaN where missing; None from `information_filter`.
    innovation_covariance : ndarray (T, *series, m, m) or None
        C P(k|k-1) C^T + R; NaN in the rows and columns of what is missing.
    """

    mean: np.ndarray
    covariance: np.ndarray
    predicted_mean: np.ndarray
    predicted_covariance: np.ndarray
    loglikelihood: np.ndarray
    A: np.ndarray
    Q: np.ndarray
    innovation: np.ndarray = None
    innovation_covariance: np.ndarray = None

    def standardised(self):
        """Innovations divided by their standard deviations, (T, *series, m): N(0, 1) where the model holds."""
        return self.innovation / np.sqrt(np.einsum("...ii->...i", self.innovation_covariance))


@dataclass(frozen=True)
class Smoothed:
    """
    What all dates say of the state at each date; entry 0 is the state before the first one.

    Attributes
    ----------
    mean : ndarray (T + 1, *series, n)
        x(k|T).
    covariance : ndarray (T + 1, *series, n, n)
        P(k|T).
    lag_one : ndarray (T, *series, n, n)
        The covariance of x(k) (rows) and x(k-1) (columns) given all dates; entry 0 is of x(1) and x(0).
    """

    mean: np.ndarray
    covariance: np.ndarray
    lag_one: np.ndarray


def kalman_filter(y, A, Q, C, R, mean, covariance, drift=None):
    """
    Filtered states of x(k) = A(k) x(k-1) + d(k) + w(k), y(k) = C(k) x(k) + v(k), k = 1..T.

    w(k) ~ N(0, Q(k)), v(k) ~ N(0, R(k)) and x(0) ~ N(`mean`, `covariance`) are independent. Series do not know of
    each other.

    Parameters
    ----------
    y : ndarray (T, *series, m)
        Observations; NaN marks a missing one. A date on which everything is missing is predicted, so that dates
        between or beyond the observed ones are dates of NaN.
    A, Q : ndarray, broadcast to (T, *series, n, n)
        Forward operator from the date before (or from x(0)) to this one, and its noise. With irregular dates both
        depend on the interval. What differs between dates and not between series has the shape (T, 1, n, n).
    C : ndarray, broadcast to (T, *series, m, n)
    R : ndarray, broadcast to (T, *series, m, m)
        Positive definite; `diagonal` makes it of variances.
    mean : ndarray, broadcast to (*series, n)
    covariance : ndarray, broadcast to (*series, n, n)
    drift : ndarray, broadcast to (T, *series, n), optional
        d(k) = B(k) u(k); zero by default.

    Returns
    -------
    Filtered

    Raises
    ------
    ValueError
        Shapes that do not fit, observations that are infinite, or an innovation whose covariance is not positive
        definite.

    Notes
    -----
    All in float64. Covariances are computed once for as many series as share the matrices and miss the same
    observations. Joseph's form (I - KC) P (I - KC)^T + K R K^T, a sum of positive semidefinite terms, keeps them so.

    References
    ----------
    Thesis, section 5.3: (5.3.6)-(5.3.8), (5.3.10), (5.3.12), and Joseph's form for (5.3.13). R. E. Kalman, A new
    approach to linear filtering and prediction problems, J. Basic Eng. 82, 1960.
    """
    y = np.asarray(y, dtype=np.float64)
    if y.ndim < 2 or y.size == 0:
        raise ValueError(f"Observations must have the axes dates, series, components, and some of each; these have "
                         f"the shape {y.shape}.")
    if np.isinf(y).any():
        raise ValueError("Some observations are infinite: mark missing ones by NaN.")
    series, m = y.shape[1:-1], y.shape[-1]
    steps = _Steps(len(y), series, A, Q, mean, covariance, drift)
    C, R = _per_date("C", C, len(y), series, (m, steps.n)), _per_date("R", R, len(y), series, (m, m))
    innovations, S_all, total = [], [], 0.0
    for k in range(len(y)):
        x, P = steps.predict(k)
        seen = _seen(y[k])
        C_k, R_k = _without_missing(C[k], R[k], seen)
        e = np.where(seen, y[k], 0.0) - _apply(C_k, x)
        S = C_k @ P @ _t(C_k) + R_k
        root = _cholesky(S, "The covariance of the innovations")
        K = _t(np.linalg.solve(S, C_k @ P))
        keep = np.eye(steps.n) - K @ C_k
        steps.correct(x + _apply(K, e), keep @ P @ _t(keep) + K @ R_k @ _t(K))
        white = np.linalg.solve(root, e[..., None])[..., 0]
        total = total - 0.5 * (np.square(white).sum(-1) + _logdet(root) + LOG_2PI * seen.sum(-1))
        innovations.append(np.where(np.isnan(y[k]), np.nan, e))
        S_all.append(np.where(seen[..., :, None] & seen[..., None, :], S, np.nan))
    return steps.filtered(total, np.stack(innovations), _stacked(S_all, series))


def information_filter(J, h, A, Q, mean, covariance, drift=None, energy=0.0):
    """
    `kalman_filter` for observations that are given by what they say of the state, J = C^T R^-1 C and h = C^T R^-1 y.

    For far more observations than states: nothing here has their number. A date without observations has J = h = 0.

    Parameters
    ----------
    J : ndarray (T, ..., n, n), broadcast over the series
        Positive semidefinite.
    h : ndarray (T, *series, n)
    A, Q, mean, covariance, drift
        See `kalman_filter`; here `covariance` or Q(1) must be positive definite.
    energy : ndarray, broadcast to (T, *series)
        y^T R^-1 y + log det(2 pi R), which only the log-likelihood needs; without it, that lacks a constant.

    Returns
    -------
    Filtered
        Without innovations.

    Notes
    -----
    With the Cholesky factor P(k|k-1) = U U^T, (5.3.9) is P(k|k) = U (I + U^T J U)^-1 U^T, whose inverse exists and is
    positive definite whatever J is.

    References
    ----------
    Thesis, (5.3.6), (5.3.7), (5.3.9), (5.3.10).
    """
    h = np.asarray(h, dtype=np.float64)
    if h.ndim < 2 or h.size == 0:
        raise ValueError(f"The information h must have the axes dates, series, states, and some of each; it has the "
                         f"shape {h.shape}.")
    series = h.shape[1:-1]
    steps = _Steps(len(h), series, A, Q, mean, covariance, drift)
    if h.shape[-1] != steps.n:
        raise ValueError(f"The information h is of {h.shape[-1]} states, the mean of {steps.n}.")
    J = _per_date("J", J, len(h), series, (steps.n, steps.n))
    energy, total = _fit("energy", energy, (len(h), *series)), 0.0
    for k in range(len(h)):
        x, P = steps.predict(k)
        U = _cholesky(P, "The covariance of the predicted state")
        inner = np.eye(steps.n) + _t(U) @ J[k] @ U
        root = _cholesky(inner, "The information J plus that of the prediction")
        half = np.linalg.solve(root, _t(U))
        P_new = _t(half) @ half
        g = h[k] - _apply(J[k], x)
        misfit = energy[k] - np.sum((h[k] + g) * x, axis=-1) - np.sum(g * _apply(P_new, g), axis=-1)
        total = total - 0.5 * (misfit + _logdet(root))
        steps.correct(x + _apply(P_new, g), P_new)
    return steps.filtered(total)


def information(y, C, R):
    """
    What observations `y` (T, *series, m), NaN where missing, say of the state: J, h and energy (`information_filter`).

    `C` and `R` as in `kalman_filter`.
    """
    y = np.asarray(y, dtype=np.float64)
    series, m = y.shape[1:-1], y.shape[-1]
    C = _per_date("C", C, len(y), series, (m, np.shape(C)[-1]))
    R = _per_date("R", R, len(y), series, (m, m))
    J, h, energy = [], [], []
    for k in range(len(y)):
        seen = _seen(y[k])
        C_k, R_k = _without_missing(C[k], R[k], seen)
        root = _cholesky(R_k, "R")
        white = np.linalg.solve(root, np.where(seen, y[k], 0.0)[..., None])
        half = np.linalg.solve(root, C_k)
        J.append(_t(half) @ half)
        h.append((_t(half) @ white)[..., 0])
        energy.append(np.square(white[..., 0]).sum(-1) + _logdet(root) + LOG_2PI * seen.sum(-1))
    return _stacked(J, series), np.stack(h), np.stack(energy)


def smooth(filtered):
    """
    States given all dates, from the filtered ones: the solution (5.3.5) of the whole system by least squares.

    Parameters
    ----------
    filtered : Filtered

    Returns
    -------
    Smoothed

    Raises
    ------
    ValueError
        A predicted covariance P(k|k-1) that is singular.

    Notes
    -----
    With G(k) = P(k|k) A(k+1)^T P(k+1|k)^-1 and H = I - G(k) A(k+1), P(k|T) = H P(k|k) H^T + G Q(k+1) G^T +
    G P(k+1|T) G^T, which is P(k|k) + G (P(k+1|T) - P(k+1|k)) G^T as a sum of positive semidefinite terms. The lag-one
    covariance is P(k+1|T) G(k)^T.

    References
    ----------
    H. E. Rauch, F. Tung, C. T. Striebel, Maximum likelihood estimates of linear dynamic systems, AIAA J. 3(8), 1965.
    The thesis gives the system (5.3.2)-(5.3.5), not this recursion.
    """
    T, n = len(filtered.predicted_mean), filtered.mean.shape[-1]
    series = filtered.mean.shape[1:-1]
    short = [_shared(stack, 2) for stack in (filtered.A, filtered.Q, filtered.covariance,
                                             filtered.predicted_covariance)]
    A, Q, P, P_next = short
    means, covariances, lagged = [filtered.mean[T]], [P[T]], []
    for k in range(T - 1, -1, -1):
        try:
            G = _t(np.linalg.solve(P_next[k], A[k] @ P[k]))
        except np.linalg.LinAlgError:
            raise ValueError(f"The covariance of the state predicted for date {k + 1} is singular: give every state "
                             f"some noise Q or some initial covariance.") from None
        keep = np.eye(n) - G @ A[k]
        lagged.append(covariances[-1] @ _t(G))
        means.append(filtered.mean[k] + _apply(G, means[-1] - filtered.predicted_mean[k]))
        covariances.append(_symmetric(keep @ P[k] @ _t(keep) + G @ (Q[k] + covariances[-1]) @ _t(G)))
    return Smoothed(np.stack(means[::-1]), _stacked(covariances[::-1], series), _stacked(lagged[::-1], series))


def diagonal(variances):
    """Covariance matrices (..., m, m) of independent noise of these `variances` (..., m)."""
    variances = np.asarray(variances, dtype=np.float64)
    return variances[..., None] * np.eye(variances.shape[-1])


class _Steps:
    """The prediction step, and the states gathered on the way."""

    def __init__(self, T, series, A, Q, mean, covariance, drift):
        if np.ndim(mean) == 0:
            raise ValueError("The initial mean is a number: it must be a vector with one entry per state.")
        self.series, self.n = series, np.shape(mean)[-1]
        square = (self.n, self.n)
        self.A, self.Q = (_per_date(name, matrix, T, series, square) for name, matrix in (("A", A), ("Q", Q)))
        self.drift = np.zeros((T, self.n)) if drift is None else _fit("drift", drift, (T, *series, self.n))
        covariance = _fit("initial covariance", covariance, (*series, *square))
        self.means = [_fit("initial mean", mean, (*series, self.n))]
        self.covariances = [_shared(covariance[None], 2)[0]]
        self.predicted = []

    def predict(self, k):
        """x(k|k-1) by (5.3.7) and P(k|k-1) by (5.3.6)."""
        A = self.A[k]
        x = _apply(A, self.means[-1]) + self.drift[k]
        P = _symmetric(A @ self.covariances[-1] @ _t(A) + self.Q[k])
        self.predicted.append((x, P))
        return x, P

    def correct(self, x, P):
        self.means.append(x)
        self.covariances.append(_symmetric(P))

    def filtered(self, total, innovation=None, innovation_covariance=None):
        x, P = zip(*self.predicted)
        full = (len(x), *self.series, self.n, self.n)
        return Filtered(np.stack(self.means), _stacked(self.covariances, self.series), np.stack(x),
                        _stacked(P, self.series), np.broadcast_to(total, self.series), np.broadcast_to(self.A, full),
                        np.broadcast_to(self.Q, full), innovation, innovation_covariance)


def _fit(name, array, shape):
    """`array` broadcast to `shape`, in float64."""
    array = np.asarray(array, dtype=np.float64)
    try:
        return np.broadcast_to(array, shape)
    except ValueError:
        raise ValueError(f"The {name} has the shape {array.shape}, which cannot be broadcast to {shape}: one entry "
                         f"for each date and series where they differ, 1 or nothing where they do not.") from None


def _per_date(name, matrix, T, series, shape):
    """Matrices (T, *some, *shape), where `some` is the axes of the series, of length 1 where all share a matrix."""
    if np.shape(matrix)[-2:] != shape:
        raise ValueError(f"The matrix {name} has the shape {np.shape(matrix)}: its last two axes must be {shape}.")
    return _shared(_fit(f"matrix {name}", matrix, (T, *series, *shape)), 2)


def _shared(stack, last):
    """`stack` (T, *series, ...) with an axis of series cut to length 1 where it is only broadcast."""
    axes = range(1, stack.ndim - last)
    return stack[tuple(slice(0, 1) if k in axes and stack.strides[k] == 0 else slice(None)
                       for k in range(stack.ndim))]


def _stacked(matrices, series):
    """One array (T, *series, i, j) of matrices that some or all series share."""
    shape = np.broadcast_shapes(*(matrix.shape for matrix in matrices))
    stack = np.stack([np.broadcast_to(matrix, shape) for matrix in matrices])
    return np.broadcast_to(stack, (len(stack), *series, *shape[-2:]))


def _seen(y):
    """Which components of `y` (*series, m) are there, with axes of length 1 where that is the same for all series."""
    seen = ~np.isnan(y)
    first = seen.reshape(-1, seen.shape[-1])[0]
    return first.reshape((1,) * (seen.ndim - 1) + first.shape) if (seen == first).all() else seen


def _without_missing(C, R, seen):
    """C and R in which missing components say nothing: rows of zeros, and independent noise of variance 1."""
    if seen.all():
        return C, R
    both = seen[..., :, None] & seen[..., None, :]
    return np.where(seen[..., None], C, 0.0), np.where(both, R, np.eye(R.shape[-1]))


def _cholesky(S, name):
    try:
        return np.linalg.cholesky(S)
    except np.linalg.LinAlgError:
        raise ValueError(f"{name} is not positive definite: check the covariances given.") from None


def _logdet(root):
    """log det S from its Cholesky factor."""
    return 2 * np.log(np.einsum("...ii->...i", root)).sum(-1)


def _apply(matrix, x):
    return np.einsum("...ij,...j->...i", matrix, x)


def _symmetric(P):
    return (P + _t(P)) / 2


def _t(matrix):
    return np.swapaxes(matrix, -1, -2)
