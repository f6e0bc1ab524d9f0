"""Factor deconvolution that finds the number of patterns and their lengths: automatic relevance determination."""

from dataclasses import dataclass

import numpy as np

from ..blind.ardnmf import check_prior, size, slope
from ..blind.divergence import TINY, exponent
from .nmfd import (activation_step, check_lengths, check_series, check_start, floored, misfit, pattern_step,
                   reconstruction, seen)

DRAWS = 20000     # of the prior, for the mean of the data that it makes with squared values
TRIAL = 100       # iterations of each of several starts
STEPS = 100       # at most, for lambda
MEDIAN = 0.4549   # of the square of a standard normal number
EXACT = 1e-12     # gradient in log lambda, of c1 + c2, that counts as zero


@dataclass(frozen=True)
class RelevantPatterns:
    """
    All patterns, how relevant they and their columns are, and how the iteration ended.

    Attributes
    ----------
    W : list of ndarray (m, r_j)
    H : ndarray (J, Q, n)
        The prior sets the scale of each against the other.
    weights : list of ndarray (r_j,)
        lambda(j) at the end.
    means : ndarray (iterations + 1, J)
        Mean of lambda(j) at the start and after each iteration.
    bounds : ndarray (J,)
        B(j) of (3.3.17), the mean weight of a pattern that is not there.
    relevant : ndarray (J,) of bool
        (3.3.18).
    columns : list of ndarray (r_j,) of bool
        Columns with weights above (1 + tau) of that of a zero column in their pattern.
    costs : ndarray (iterations + 1,)
        The objective (3.3.13).
    iterations : int
    converged : bool
        False if the iteration ended at its limit or was stopped.
    """

    W: list
    H: np.ndarray
    weights: list
    means: np.ndarray
    bounds: np.ndarray
    relevant: np.ndarray
    columns: list
    costs: np.ndarray
    iterations: int
    converged: bool

    @property
    def rank(self):
        """How many patterns are relevant."""
        return int(self.relevant.sum())

    @property
    def lengths(self):
        """Dates from the first relevant column of each pattern to the last, (J,); 0 where there is none."""
        return np.array([int(np.ptp(np.flatnonzero(used))) + 1 if used.any() else 0 for used in self.columns])


def ardnmfd(X, lengths, rng, *, norm="l1", beta=1, a=None, b=None, dispersion=1.0, tau=1e-3, valid=None, start=None,
            starts=1, iterations=2000, tolerance=1e-5, callback=None):
    """
    Factor deconvolution in which each column of a pattern has a prior scale, and its activations their mean::

        min D_beta(X, W * H) / phi + sum_j (sum_r ((f(w(j)_r) + b) / lambda(j)_r + c1 log lambda(j)_r)
                                            + f(H(j)) / mu(j) + c2 log mu(j))                           (3.3.13)

    with mu(j) the mean of lambda(j), and f the sum of the values ("l1") or half that of their squares ("l2").

    Parameters
    ----------
    X : ndarray (m, Q, n)
        See `nmfd`.
    lengths : sequence of int
        r_j, the largest length of each of the J patterns, of which fewer may be needed.
    rng : numpy.random.Generator
    norm, beta, b, dispersion
        See `ardnmf`. By default b is that for which data made by the prior have the mean of the valid data: (3.3.21)
        for "l1"; for "l2", for which there is no closed form, mean = (2 b / pi) sum_j r_j E[sqrt(nu_1 mean(nu))] with
        nu of the inverse-Gamma distribution of scale 1, its expectation from 20,000 draws of `rng` where r_j > 1.
    a : float, optional
        As in `ardnmf`; by default log(m + Q n), at least 2.5; Q n are the valid dates.
    tau : float
        How far above its bound, as a share of it, a weight counts.
    valid, start
        See `nmfd`.
    starts : int
        Random starts, of which the one with the least cost after 100 iterations goes on: in a local minimum a pattern
        is there twice.
    iterations, tolerance
        The iteration ends when no mu(j) changes by more than this share of the largest mu(j) - B(j), or after so many.
    callback : callable(iteration, cost) -> bool or None, optional
        After each iteration; true stops.

    Returns
    -------
    RelevantPatterns

    Raises
    ------
    ValueError
        See `nmfd`; settings out of range.

    Notes
    -----
    The cost never rises. Activations whose pattern would show at no valid date are 0 from the start. Columns with zeros
    alone have the same lambda(j)_r, the solution of (3.3.15) for f(w) = 0 with the pattern's own mu(j): so the bound
    for columns, for which the thesis knows no value, follows from what was found.

    References
    ----------
    G. Chinellato, Deep Unfolding, PhD thesis, Padova 2026, (3.3.12) to (3.3.21). Departures: the exponents gamma(beta)
    and xi(beta) of NMF, with which the steps minimise majorisers (1 for "l1" and 1 <= beta <= 2, as printed); the
    newest H in the step of W; phi, see `ardnmf`; the bound for columns; b for "l2"; c2 counts only those activations
    whose pattern would show at a valid date, since the data say nothing of others.
    """
    X, valid = check_series(X, beta, valid)
    check_lengths(lengths, X.shape[2])
    m, dates = len(X), X.shape[1] * X.shape[2] if valid is None else int(valid.sum())
    a = max(np.log(m + dates), 2.5) if a is None else a
    check_prior(norm, a, b, dispersion, len(lengths))
    mean = float(X.mean(dtype=np.float64) if valid is None else X[:, valid].mean(dtype=np.float64))
    b = scale_of_priors(norm, a, mean, lengths, rng) if b is None else b
    share = 1.0 if norm == "l1" else 0.5
    c1 = share * m + a + 1
    known = None if valid is None else seen(valid, lengths)
    c2 = share * (np.full(len(lengths), dates) if valid is None else known.sum(axis=(1, 2)))
    if start is None and starts > 1:
        trials = [ardnmfd(X, lengths, rng, norm=norm, beta=beta, a=a, b=b, dispersion=dispersion, valid=valid,
                          iterations=min(TRIAL, iterations), tolerance=tolerance) for _ in range(starts)]
        best = min(trials, key=lambda found: found.costs[-1])
        start = best.W, best.H
    W, H = _start(X, lengths, mean, rng) if start is None else check_start(X, lengths, start)
    H = H if valid is None else H * known
    power = exponent(beta, squared=norm == "l2")
    edges, bounds = np.cumsum([0, *lengths]), b / (c1 + c2 / np.array(lengths))

    def sizes(W, H):
        return [size(w, norm, 0) + b for w in W], size(H, norm, (1, 2))

    def cost_of(V, found):
        return misfit(X, V, beta, valid) / dispersion + sum(value for _, value in found)

    V = floored(reconstruction(W, H))
    A, f = sizes(W, H)
    found = [weigh(A_j, f_j, c1, c2_j) for A_j, f_j, c2_j in zip(A, f, c2)]
    means, costs, converged = [_means(found)], [cost_of(V, found)], False
    while len(costs) <= iterations and not converged:
        H = activation_step(X, W, H, V, beta=beta, valid=valid, power=power, penalty=(
            dispersion * slope(H, norm) / means[-1][:, None, None]).astype(X.dtype))
        V = floored(reconstruction(W, H))
        columns = np.concatenate([weights for weights, _ in found])
        stepped = pattern_step(X, W, H, V, beta=beta, valid=valid, power=power, penalty=(
            dispersion * slope(np.hstack(W), norm) / columns).astype(X.dtype))
        W = [stepped[:, first:last] for first, last in zip(edges, edges[1:])]
        V = floored(reconstruction(W, H))
        A, f = sizes(W, H)
        found = [weigh(A_j, f_j, c1, c2_j, weights) for A_j, f_j, c2_j, (weights, _) in zip(A, f, c2, found)]
        means.append(_means(found))
        costs.append(cost_of(V, found))
        converged = bool(np.abs(means[-1] - means[-2]).max() <= tolerance * (means[-1] - bounds).max())
        if callback is not None and callback(len(costs) - 1, costs[-1]):
            break
    weights = [weights for weights, _ in found]
    used = [w > (1 + tau) * _column(b, c1, (c2_j - f_j / w.mean()) / (len(w) * w.mean()))
            for w, f_j, c2_j in zip(weights, f, c2)]
    relevant = means[-1] > (1 + tau) * bounds
    return RelevantPatterns(W, H, weights, np.array(means), bounds, relevant,
                            [column & bool(pattern) for column, pattern in zip(used, relevant)], np.array(costs),
                            len(costs) - 1, converged)


def weigh(A, f, c1, c2, weights=None):
    """
    lambda(j) that minimises sum_r (A_r / lambda_r + c1 log lambda_r) + f / mu + c2 log mu, mu the mean of lambda(j).

    Parameters
    ----------
    A : ndarray (r,)
        f(w_r) + b.
    f : float
        f(H(j)).
    c1, c2 : float
    weights : ndarray (r,), optional
        Where to start; by default the closed form of one column, with the mean of `A`.

    Returns
    -------
    (ndarray (r,), float)
        A solution of (3.3.14) or (3.3.15), nowhere above the start, and its value.

    Notes
    -----
    For one column the solution is (A + f) / (c1 + c2). Otherwise Newton steps in u = log lambda: with p = lambda / sum
    lambda the gradient is c1 - A / lambda + (c2 - f / mu) p, and the Hessian diag(A / lambda) + f / mu p p^T +
    (c2 - f / mu) (diag p - p p^T), without the last term where it is not positive definite. Where a step would raise
    the value, one of a majoriser takes its place: 1 / mu <= r sum_s p_s^2 / lambda_s and log mu below its tangent leave
    A'_s / lambda_s + c1 log lambda_s + q lambda_s with A' = A + f r p^2 and q = c2 / (r mu), which `_column` minimises.
    """
    r = len(A)
    if r == 1:
        weights = (A + f) / (c1 + c2)
        return weights, _value(weights, A, f, c1, c2)
    if weights is None:
        weights = np.full(r, (A.mean() + f / r) / (c1 + c2 / r))
    value = _value(weights, A, f, c1, c2)
    for _ in range(STEPS):
        mu, p, pull = weights.mean(), weights / weights.sum(), A / weights
        gradient = c1 - pull + (c2 - f / mu) * p
        if np.abs(gradient).max() <= EXACT * (c1 + c2):
            break
        hessian = np.diag(pull) + f / mu * np.outer(p, p)
        full = hessian + (c2 - f / mu) * (np.diag(p) - np.outer(p, p))
        hessian = full if np.linalg.eigvalsh(full)[0] > 0 else hessian
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
            new = weights * np.exp(-np.linalg.solve(hessian, gradient))
            lower = _value(new, A, f, c1, c2)
        if not (np.isfinite(lower) and lower < value):
            new = _column(A + f * r * p**2, c1, c2 / (r * mu))
            lower = _value(new, A, f, c1, c2)
            if not lower < value:
                break
        weights, value = new, lower
    return weights, value


def scale_of_priors(norm, a, mean, lengths, rng):
    """b for which data made by the prior have this mean; see `ardnmfd`."""
    lengths = np.asarray(lengths)
    J = len(lengths)
    if norm == "l1":
        return float(np.sqrt(mean / (J / ((a - 1) * (a - 2)) + (lengths.sum() - J) / (a - 1) ** 2)))
    expected = {1: 1 / (a - 1)}
    for length in sorted(set(lengths.tolist()) - {1}):
        nu = 1 / rng.gamma(a, size=(DRAWS, length))
        expected[length] = float((np.sqrt(nu).mean(axis=1) * np.sqrt(nu.mean(axis=1))).mean())
    return float(np.pi * mean / (2 * sum(length * expected[length] for length in lengths.tolist())))


def noise_variances(X, valid=None):
    """
    Variance of the noise of each feature, (m,), from the second differences in time of series `X` (m, Q, n).

    From their median, on which events that few dates have little influence; what changes evenly is no noise. 0 where
    more than half of the differences are 0.

    Raises
    ------
    ValueError
        No series has three consecutive valid dates.
    """
    second = np.diff(X, n=2, axis=2)
    known = np.ones(second.shape[1:], bool) if valid is None else valid[:, 2:] & valid[:, 1:-1] & valid[:, :-2]
    if not known.any():
        raise ValueError("No series has three consecutive valid dates, so its noise cannot be estimated. Give its "
                         "dispersion.")
    return np.median(np.square(second[:, known], dtype=np.float64), axis=1) / (6 * MEDIAN)


def _value(weights, A, f, c1, c2):
    mu = weights.mean()
    return float((A / weights + c1 * np.log(weights)).sum() + f / mu + c2 * np.log(mu))


def _column(A, c1, q):
    """The least positive solution of q lambda^2 + c1 lambda - A = 0."""
    return 2 * A / (c1 + np.sqrt(np.maximum(c1**2 + 4 * q * A, 0.0)))


def _means(found):
    return np.array([weights.mean() for weights, _ in found])


def _start(X, lengths, mean, rng):
    """Uniform patterns and activations of one scale, whose reconstruction has about the mean of the data."""
    scale = X.dtype.type(2 * np.sqrt(mean / sum(lengths)))
    W = [scale * (rng.random((len(X), length), dtype=X.dtype) + X.dtype.type(TINY)) for length in lengths]
    return W, scale * (rng.random((len(lengths), *X.shape[1:]), dtype=X.dtype) + X.dtype.type(TINY))
