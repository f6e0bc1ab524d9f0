"""Kalman filter and Rauch-Tung-Striebel smoother for many series at once."""

from dataclasses import dataclass

import numpy as np

LOG_2PI = float(np.log(2 * np.pi))
SMALL, MANY = 3, 1000   # rows of small matrices, and from how many entries in a stack on they are taken entry by entry


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


@dataclass(frozen=True)
class Gains:
    """
    What the covariances make of which observations are there, whatever their values: a matrix per date in each tuple.

    A matrix has the axes `*some`, as `series`, but of length 1 where all series share it. In memory these are the last
    axes where there are many small matrices, so that an entry of all of them lies together.

    Attributes
    ----------
    A, Q, C : tuple of ndarray (*some, n, n), (*some, n, n), (*some, m, n)
    filtered : tuple of ndarray (*some, n, n)
        P(0|0), and P(k|k) of every date.
    predicted : tuple of ndarray (*some, n, n)
        P(k|k-1).
    gain : tuple of ndarray (*some, n, m)
        K(k), zero for what is missing.
    innovation : tuple of ndarray (*some, m, m)
        S(k) = C P(k|k-1) C^T + R, of variance 1 for what is missing.
    whitener : tuple of ndarray (*some, m, m)
        The inverse of the Cholesky factor of S(k).
    constant : ndarray (*some)
        What the log-likelihood has without any innovation.
    """

    A: tuple
    Q: tuple
    C: tuple
    filtered: tuple
    predicted: tuple
    gain: tuple
    innovation: tuple
    whitener: tuple
    constant: np.ndarray


@dataclass(frozen=True)
class Means:
    """
    States and innovations of series by their `Gains`; `filtered` has T + 1 entries, the others T.

    Attributes
    ----------
    filtered, predicted : list of ndarray (*series, n)
        x(k|k) and x(k|k-1).
    innovation : list of ndarray (*series, m)
        NaN where missing.
    loglikelihood : ndarray (*series)
    """

    filtered: list
    predicted: list
    innovation: list
    loglikelihood: np.ndarray


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
    seen = ~np.isnan(y)
    found = gains(seen, A, Q, C, R, covariance, _states(mean))
    means = filtered_means(found, y, mean, drift)
    S = [np.where(_pairs(_common(there)), each, np.nan) for there, each in zip(seen, found.innovation)]
    return _filtered(y.shape[1:-1], found, means, means.loglikelihood,
                     np.stack(means.innovation), _stacked(S, y.shape[1:-1]))


def gains(seen, A, Q, C, R, covariance, n):
    """
    The part of `kalman_filter` that does not depend on the observations' values: `Gains`.

    Parameters
    ----------
    seen : ndarray (T, *series, m) of bool
        Which observations are there.
    A, Q, C, R, covariance
        See `kalman_filter`.
    n : int
        Number of states.
    """
    T, series, m = len(seen), seen.shape[1:-1], seen.shape[-1]
    P = _Covariances(T, series, n, A, Q, covariance)
    C, R = _per_date("C", C, T, series, (m, n)), _per_date("R", R, T, series, (m, m))
    K, S, whiteners, constant = [], [], [], 0.0
    for k in range(T):
        predicted, there = P.predict(k), _common(seen[k])
        shown = _product(C[k], predicted)
        spread = _product(shown, _t(C[k])) + R[k]
        if not there.all():   # what is missing says nothing: a gain of zero, and noise of variance 1 by itself
            shown, spread = np.where(there[..., None], shown, 0.0), np.where(_pairs(there), spread, np.eye(m))
        root = _cholesky(spread, "The covariance of the innovations")
        S.append(spread)
        whiteners.append(1 / root if m == 1 else np.linalg.inv(root))
        K.append(_product(_t(_product(whiteners[k], shown)), whiteners[k]))
        constant = constant - 0.5 * (_logdet(root) + LOG_2PI * there.sum(-1))
        P.correct(_sandwich(np.eye(n) - _product(K[k], C[k]), predicted) + _sandwich(K[k], R[k]))
    return Gains(tuple(P.A), tuple(P.Q), tuple(C), tuple(P.filtered), tuple(P.predicted), tuple(K), tuple(S),
                 tuple(whiteners), constant)


def filtered_means(gains, y, mean, drift=None, of=None):
    """
    The part of `kalman_filter` that depends on the observations' values: `Means`.

    Parameters
    ----------
    gains : Gains
    y : ndarray (T, *series, m)
        NaN where the gains know of no observation.
    mean, drift
        See `kalman_filter`.
    of : ndarray (Q,) of int, optional
        Where many series (T, Q, m) share few gains: the place of each one's in the only axis of these.
    """
    if np.isinf(y).any():
        raise ValueError("Some observations are infinite: mark missing ones by NaN.")
    x = _States(len(y), y.shape[1:-1], mean, drift)
    innovations, squares = [], 0.0
    for k in range(len(y)):
        predicted = x.predict(k, gains.A[k], of)
        innovations.append(y[k] - applied(gains.C[k], predicted, of))
        known = np.where(np.isnan(innovations[k]), 0.0, innovations[k])
        x.correct(predicted + applied(gains.gain[k], known, of))
        squares = squares + np.square(applied(gains.whitener[k], known, of)).sum(-1)
    return Means(x.filtered, x.predicted, innovations, _of(gains.constant, of) - 0.5 * squares)


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
    n = _states(mean)
    means, covariances = _States(len(h), series, mean, drift), _Covariances(len(h), series, n, A, Q, covariance)
    if h.shape[-1] != n:
        raise ValueError(f"The information h is of {h.shape[-1]} states, the mean of {n}.")
    J = _per_date("J", J, len(h), series, (n, n))
    energy, total = _fit("energy", energy, (len(h), *series)), 0.0
    for k in range(len(h)):
        x, P = means.predict(k, covariances.A[k]), covariances.predict(k)
        U = _cholesky(P, "The covariance of the predicted state")
        inner = np.eye(n) + _t(U) @ J[k] @ U
        root = _cholesky(inner, "The information J plus that of the prediction")
        half = np.linalg.solve(root, _t(U))
        P_new = _t(half) @ half
        g = h[k] - applied(J[k], x)
        misfit = energy[k] - np.sum((h[k] + g) * x, axis=-1) - np.sum(g * applied(P_new, g), axis=-1)
        total = total - 0.5 * (misfit + _logdet(root))
        means.correct(x + applied(P_new, g))
        covariances.correct(_symmetric(P_new))
    return _filtered(series, covariances, means, total)


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
        seen = _common(~np.isnan(y[k]))
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
    short = [_shared(stack, 2) for stack in (filtered.A, filtered.Q, filtered.covariance,
                                             filtered.predicted_covariance)]
    series = filtered.mean.shape[1:-1]
    G, covariances = smoother_gains(*short)
    lagged = [_product(later, _t(each)) for later, each in zip(covariances[1:], G)]
    means = list(smoothed_means(G, filtered.mean, filtered.predicted_mean))
    return Smoothed(np.stack(means[::-1]), _stacked(covariances, series), _stacked(lagged, series))


def smoother_gains(A, Q, P, P_next):
    """
    The part of `smooth` that does not depend on the observations' values, a matrix per date in each list.

    Parameters
    ----------
    A, Q, P, P_next : sequence of ndarray (*some, n, n)
        As in `Gains`: of `P`, P(k|k), there is one more.

    Returns
    -------
    G, covariance : list of ndarray (*some, n, n)
        G(k) of k = 0..T-1, and P(k|T) of k = 0..T.
    """
    G, covariances = [], [P[len(A)]]
    for k in range(len(A) - 1, -1, -1):
        try:
            G.append(_t(_solved(P_next[k], _product(A[k], P[k]))))
        except np.linalg.LinAlgError:
            raise ValueError(f"The covariance of the state predicted for date {k + 1} is singular: give every state "
                             f"some noise Q or some initial covariance.") from None
        keep = np.eye(G[-1].shape[-1]) - _product(G[-1], A[k])
        covariances.append(_sandwich(keep, P[k]) + _sandwich(G[-1], Q[k] + covariances[-1]))
    return G[::-1], covariances[::-1]


def smoothed_means(G, mean, predicted, of=None):
    """
    Yield x(k|T) (*series, n) of k = T..0, from the last date to the first.

    By G of `smoother_gains`, x(k|k), x(k|k-1) and `of` of `filtered_means`.
    """
    x = mean[len(G)]
    yield x
    for k in range(len(G) - 1, -1, -1):
        x = mean[k] + applied(G[k], x - predicted[k], of)
        yield x


def applied(matrix, x, of=None):
    """Each series' matrix, or that in its place by `of`, times its x (*series, columns): (*series, rows)."""
    rows, columns = matrix.shape[-2:]
    if max(rows, columns) <= SMALL:
        product = _entries(x.shape[:-1], rows)
        for i in range(rows):
            product[..., i] = _sum((_of(matrix[..., i, j], of), x[..., j]) for j in range(columns))
        return product
    if all(length == 1 for length in matrix.shape[:-2]):
        return x @ matrix.reshape(matrix.shape[-2:]).T
    return np.einsum("...ij,...j->...i", matrix if of is None else matrix[of], x)


def variances(C, P):
    """Variances (*some, m) of C x, where states x have the covariances `P` (*some, n, n)."""
    return np.einsum("...ii->...i", _sandwich(C, P))


def diagonal(variances):
    """Covariance matrices (..., m, m) of independent noise of these `variances` (..., m)."""
    variances = np.asarray(variances, dtype=np.float64)
    return variances[..., None] * np.eye(variances.shape[-1])


class _Covariances:
    """P(k|k-1) by (5.3.6), and P(k|k) as it is corrected, gathered date by date."""

    def __init__(self, T, series, n, A, Q, covariance):
        self.A, self.Q = (_per_date(name, matrix, T, series, (n, n)) for name, matrix in (("A", A), ("Q", Q)))
        covariance = _fit("initial covariance", covariance, (*series, n, n))
        self.filtered, self.predicted = [_shared(covariance[None], 2)[0]], []

    def predict(self, k):
        self.predicted.append(_sandwich(self.A[k], self.filtered[-1]) + self.Q[k])
        return self.predicted[-1]

    def correct(self, P):
        self.filtered.append(P)


class _States:
    """x(k|k-1) by (5.3.7), and x(k|k) as it is corrected, gathered date by date."""

    def __init__(self, T, series, mean, drift):
        n = _states(mean)
        self.drift = None if drift is None else _fit("drift", drift, (T, *series, n))
        self.filtered, self.predicted = [_fit("initial mean", mean, (*series, n))], []

    def predict(self, k, A, of=None):
        x = applied(A, self.filtered[-1], of)
        self.predicted.append(x if self.drift is None else x + self.drift[k])
        return self.predicted[-1]

    def correct(self, x):
        self.filtered.append(x)


def _filtered(series, covariances, means, total, innovation=None, innovation_covariance=None):
    A, Q, P, P_next = (_stacked(stack, series) for stack in (covariances.A, covariances.Q, covariances.filtered,
                                                             covariances.predicted))
    return Filtered(np.stack(means.filtered), P, np.stack(means.predicted), P_next,
                    np.broadcast_to(total, series), A, Q, innovation, innovation_covariance)


def _states(mean):
    """Number of states."""
    if np.ndim(mean) == 0:
        raise ValueError("The initial mean is a number: it must be a vector with one entry per state.")
    return np.shape(mean)[-1]


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


def _common(seen):
    """`seen` (*series, m), with axes of length 1 where it is the same for all series."""
    first = seen.reshape(-1, seen.shape[-1])[0]
    return first.reshape((1,) * (seen.ndim - 1) + first.shape) if (seen == first).all() else seen


def _pairs(seen):
    """Which pairs of components (*series, m, m) are both there."""
    return seen[..., :, None] & seen[..., None, :]


def _without_missing(C, R, seen):
    """C and R in which missing components say nothing: rows of zeros, and independent noise of variance 1."""
    if seen.all():
        return C, R
    return np.where(seen[..., None], C, 0.0), np.where(_pairs(seen), R, np.eye(R.shape[-1]))


def _cholesky(S, name):
    try:
        if S.shape[-1] == 1 and not (S > 0).all():
            raise np.linalg.LinAlgError
        return np.sqrt(S) if S.shape[-1] == 1 else np.linalg.cholesky(S)
    except np.linalg.LinAlgError:
        raise ValueError(f"{name} is not positive definite: check the covariances given.") from None


def _product(A, B):
    """The product of stacks of matrices; of many small ones entry by entry, which is several times as fast."""
    rows, inner, columns = *A.shape[-2:], B.shape[-1]
    if max(rows, inner, columns) > SMALL or max(A.size, B.size) < MANY:
        return A @ B
    product = _entries(np.broadcast_shapes(A.shape[:-2], B.shape[:-2]), rows, columns)
    for i in range(rows):
        for j in range(columns):
            product[..., i, j] = _sum((A[..., i, k], B[..., k, j]) for k in range(inner))
    return product


def _sandwich(A, P):
    """A P A^T, exactly symmetric, for stacks of symmetric P."""
    half = _product(A, P)
    rows, inner = A.shape[-2:]
    if max(rows, inner) > SMALL or max(A.size, P.size) < MANY:
        return _symmetric(half @ _t(A))
    product = _entries(half.shape[:-2], rows, rows)
    for i in range(rows):
        for j in range(i + 1):
            product[..., i, j] = _sum((half[..., i, k], A[..., j, k]) for k in range(inner))
            product[..., j, i] = product[..., i, j]
    return product


def _entries(shape, *last):
    """An empty stack (*shape, *last) in whose memory `last` are the first axes."""
    axes = range(len(last) + len(shape))
    return np.empty((*last, *shape)).transpose(*axes[len(last):], *axes[:len(last)])


def _sum(pairs):
    """The sum of a b over `pairs`; a number that all series share and that is 0 or 1 takes no time."""
    total = None
    for a, b in pairs:
        if b.size == 1:
            a, b = b, a
        factor = a.item() if a.size == 1 else None
        if factor != 0:
            term = b if factor == 1 else a * b
            total = term if total is None else total + term
    return 0.0 if total is None else total


def _solved(S, B):
    """S^-1 B for stacks of symmetric positive definite S, of up to two rows by their inverse in closed form."""
    if S.shape[-1] > 2 or S.size < MANY:
        return np.linalg.solve(S, B)
    if S.shape[-1] == 1:
        determinant, inverse = S[..., 0, 0], np.ones_like(S)
    else:
        determinant = S[..., 0, 0] * S[..., 1, 1] - S[..., 0, 1] ** 2
        inverse = np.stack([S[..., 1, 1], -S[..., 0, 1], -S[..., 0, 1], S[..., 0, 0]], axis=-1).reshape(S.shape)
    if not (determinant > 0).all():
        raise np.linalg.LinAlgError
    return _product(inverse / determinant[..., None, None], B)


def _logdet(root):
    """log det S from its Cholesky factor."""
    return 2 * np.log(np.einsum("...ii->...i", root)).sum(-1)


def _of(numbers, of):
    """Those (Q,) of each series, by the place of its own (some,); those that all share as they are."""
    return numbers if of is None or len(numbers) == 1 else np.take(numbers, of)


def _symmetric(P):
    return (P + _t(P)) / 2


def _t(matrix):
    return np.swapaxes(matrix, -1, -2)
