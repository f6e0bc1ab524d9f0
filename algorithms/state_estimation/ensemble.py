"""Series whose dynamics need not be linear: the ensemble Kalman filter and a smoother, for many series at once."""

from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import minimize

from .kalman import diagonal
from .kalmanfilter import NOISE, STARTS, STEPS, Levels, dates
from .model import check_varies, intervals, start, variance

ENTRIES = 2**18       # of the members of the series that are taken at once: they stay near the processor
VALUES = 16_000_000   # of the members of all dates that the smoother keeps, at most
RIDGE = 1e-6          # of the mean variance of the predicted states, added where the smoother divides by it


@dataclass(frozen=True)
class Estimate:
    """
    What is known of series of Q at D dates. Of series (T, Q), there is no last axis.

    Attributes
    ----------
    days : ndarray (D,)
    mean, variance : ndarray (D, Q, m) float32
        Of what is observed, C x, without the noise of an observation: (5.4.13) and (5.4.14).
    """

    days: np.ndarray
    mean: np.ndarray
    variance: np.ndarray


def estimate(y, days, model, N, rng, *, at=None, smoothed=True, inflation=1.0, keep=None):
    """
    States of many series by the ensemble Kalman filter, and by its smoother, between and after the dates too.

    Parameters
    ----------
    y : ndarray (T, Q) or (T, Q, m)
        NaN where missing.
    days : ndarray (T,)
        Rising.
    model : StateSpace
        Linear or not; `mean` for all series or for each.
    N : int
        Members of the ensemble, more than the states and observed components together.
    rng : numpy.random.Generator
    at : ndarray, optional
        Further dates, none before the first of `days`.
    smoothed : bool
        Estimate each date from all observations; otherwise from those up to it.
    inflation : float
        By which factor members are moved from their mean after every prediction, 1 or more.
    keep : callable, optional
        Takes members (..., n) and gives them back within their constraints. Applied to the first members and after
        every prediction, correction and smoothing.

    Returns
    -------
    Estimate

    Raises
    ------
    ValueError
        Too few members, an inflation below 1, series of another number of components than the model observes, dates
        that are equal or not in order or before the first, members that grow beyond all numbers.

    Notes
    -----
    Covariances have the divisor N, as in the thesis. The draws of noise have exactly the mean 0 and, with this divisor,
    exactly the covariance 1 (D. T. Pham, Mon. Weather Rev. 129, 2001), process and observation noise of a date
    together, so that this divisor brings no bias and the mean no error of its own. All series share the draws: an
    estimate does not depend on which other series there are, nor on their order, and maps have no speckle of chance;
    what error chance leaves is alike in alike series.

    Of missing components the gain is zero, that is, their observations are y = v with a covariance of 1 and no
    correlation with the state.

    The smoother goes back through the dates, x^i(k|T) = x^i(k|k) + G (x^i(k+1|T) - x^i(k+1|k)), with G = cov(x(k|k),
    x(k+1|k)) cov(x(k+1|k))^-1 of the ensemble. It takes as long as the filter, where correcting all earlier dates by
    their covariances with each observation (the EnKS) takes longer by half the number of dates; for linear dynamics
    both tend to the Rauch-Tung-Striebel smoother. Singular predicted covariances are met by a millionth of their mean
    variance on the diagonal. What the smoother takes for predicted is not inflated: inflation stands for errors of the
    dynamics, of which later observations say nothing.

    Series are taken in parts of bounded size. float32 members, float64 gains.

    References
    ----------
    Thesis, section 5.4.1, (5.4.8)-(5.4.14) with additive noise. G. Evensen, Sequential data assimilation with a
    nonlinear quasi-geostrophic model using Monte Carlo methods, J. Geophys. Res. 99, 1994. P. N. Raanes, On the
    ensemble Rauch-Tung-Striebel smoother and its equivalence to the ensemble Kalman smoother, Q. J. R. Meteorol. Soc.
    142, 2016. The thesis has no smoother of ensembles.
    """
    y = np.asarray(y)
    flat = y.ndim == 2
    y = y[..., None] if flat else y
    every, where = dates(days, at)
    _check(model, y, N, inflation)
    T, Q, m = y.shape
    n, D = model.forward.n, len(every)
    run = _Run(model, every, dict(zip(where.tolist(), range(T))), N, rng, inflation, keep)
    first = np.broadcast_to(model.mean, (Q, n))
    mean, variance = (np.empty((D, Q, m), np.float32) for _ in range(2))
    size = part_size(N * n, 2 * D if smoothed else 1)
    for begin in range(0, Q, size):
        part = slice(begin, min(begin + size, Q))
        members = run.smoothed(y[:, part], first[part]) if smoothed else run.filtered(y[:, part], first[part])
        for k, x in members:
            shown = observed(x, model.C)
            centre = mean_of(shown)
            mean[k, part], variance[k, part] = centre[:, 0], mean_of(np.square(shown - centre))[:, 0]
    return Estimate(every, *(values[..., 0] if flat else values for values in (mean, variance)))


def noise_levels(y, days, make_forward, N, rng, *, step=None, noise=None, keep=None):
    """
    Variances of the random steps and of the observations that make series of one number most likely.

    Parameters
    ----------
    y : ndarray (T, Q)
        A sample of series; NaN where missing.
    days : ndarray (T,)
    make_forward : callable
        Takes the variance of the steps in a unit of time, gives an operator of one observed number.
    N, rng, keep
        See `estimate`.
    step, noise : float, optional
        What is known of the two.

    Returns
    -------
    kalmanfilter.Levels

    Raises
    ------
    ValueError
        As `estimate`; and series without variation.

    Notes
    -----
    The likelihood of an observation, given those before, is taken as Gaussian, with the mean and variance that the
    predicted ensemble has. All levels are tried with the same draws, so that chance does not blur the maximum, which
    is sought by Nelder's and Mead's simplex over logarithms, with the starts and ranges of `kalmanfilter.noise_levels`.
    """
    y = np.asarray(y, np.float64)[..., None]
    y = y[:, ~np.isnan(y).all(axis=(0, 2))]
    check_varies(y)
    V = float(variance(y).mean())
    first = start(make_forward(0.0), y, days, 0.0)
    _check(first, y, N, 1.0)
    seed = int(rng.integers(2**31))
    units = (V / float(np.mean(np.diff(days))), V)
    free = [index for index, level in enumerate((step, noise)) if level is None]

    def levels(logarithms):
        found = [step, noise]
        for index, value in zip(free, np.exp(logarithms)):
            found[index] = float(value * units[index])
        return found

    def cost(logarithms):
        level, R = levels(logarithms)
        model = replace(first, forward=make_forward(level), R=diagonal([R]))
        run = _Run(model, days, {k: k for k in range(len(days))}, N, np.random.default_rng(seed), 1.0, keep)
        return -run.loglikelihood(y, model.mean) / (~np.isnan(y)).sum()

    bounds = [np.log((STEPS, NOISE)[index]) for index in free]
    runs = []
    for begin in STARTS:
        corner = np.log([begin[index] for index in free])
        runs.append(minimize(cost, corner, method="Nelder-Mead", bounds=bounds, options={
            "xatol": 0.02, "fatol": 1e-5, "initial_simplex": corner + np.eye(len(free) + 1, len(free), -1)}))
    found = min(runs, key=lambda run: run.fun)
    level, R = levels(found.x)
    return Levels((level,), np.array([R]), float(-found.fun * (~np.isnan(y)).sum()), bool(found.success))


def part_size(numbers, kept):
    """How many series of so many `numbers` are taken at once, of which so many copies are `kept`."""
    return max(1, min(ENTRIES // numbers, VALUES // (numbers * kept)))


def draws(rng, count, N, size):
    """Standard normal draws (count, N, size), each of `count` exactly of mean 0 and (divisor N) covariance 1."""
    z = rng.standard_normal((count, N, size))
    z -= z.mean(axis=1, keepdims=True)
    root = np.linalg.cholesky(np.swapaxes(z, 1, 2) @ z / N)
    return (z @ np.swapaxes(np.linalg.inv(root), 1, 2)).astype(np.float32)


def root(covariance):
    """A matrix F with F F^T the covariance (..., n, n), which may be singular."""
    values, vectors = np.linalg.eigh(covariance)
    return vectors * np.sqrt(np.maximum(values, 0))[..., None, :]


def mean_of(x, weights=None):
    """Means (q, 1, n) of members (q, N, n), of equal `weights` or of such (q, N)."""
    return np.full((1, x.shape[1]), 1 / x.shape[1], x.dtype) @ x if weights is None else weights[:, None] @ x


def observed(x, C):
    """C x of states (..., n), float32."""
    return x if np.array_equal(C, np.eye(x.shape[-1])) else x @ C.T.astype(np.float32)


class Steps:
    """What brings states (q, N, n) to each of `days` from the one before, without noise."""

    def __init__(self, forward, days):
        self.forward, self.intervals = forward, intervals(days)
        self.matrices = [forward.matrix(step) for step in self.intervals] if forward.linear else None

    def __call__(self, x, k):
        """
        The states `x` of date k - 1 at date k, float32.

        Raises
        ------
        ValueError
            States that are not finite.
        """
        if self.matrices:
            return observed(x, self.matrices[k])
        with np.errstate(over="ignore", invalid="ignore"):
            flat = self.forward.step(x.reshape(-1, x.shape[-1]), self.intervals[k])
            if np.isfinite(flat.sum(dtype=np.float64)):
                return flat.astype(np.float32, copy=False).reshape(x.shape)
        raise ValueError(f"At date {k + 1} some states are no longer finite numbers: the dynamics let them grow "
                         f"without end. Keep the states within bounds, or take smaller rates and noise.")

    def roots(self):
        """Matrices F (n, n) float32, transposed, of the covariance F F^T that each interval adds."""
        return [root(self.forward.noise(step)).T.astype(np.float32) for step in self.intervals]


class _Run:
    """The filter and smoother of series (T, q, m) with first means (q, n), which go through the dates of `every`."""

    def __init__(self, model, every, number, N, rng, inflation, keep):
        self.model, self.number, self.inflation = model, number, np.float32(inflation)
        self.keep = keep or (lambda x: x)
        self.step = Steps(model.forward, every)
        n, m = model.forward.n, len(model.C)
        noise = draws(rng, len(every), N, n + m)
        self.first = noise[0, :, :n] @ root(model.covariance).T.astype(np.float32)
        self.w = [each[:, :n] @ F for each, F in zip(noise, self.step.roots())]
        self.v = noise[:, :, n:] @ root(model.R).T.astype(np.float32)

    def filtered(self, y, mean):
        """Yield number and members (q, N, n) of every date, each after what is observed at it."""
        for k, _, x in self._dates(y, mean):
            yield k, x

    def smoothed(self, y, mean):
        """The same from the last date to the first, after all that is observed."""
        kept = list(self._dates(y, mean))
        x = kept[-1][2]
        yield kept[-1][0], x
        for (k, _, now), (_, then, _) in zip(kept[-2::-1], kept[:0:-1]):
            a, b = now - mean_of(now), then - mean_of(then)
            V = _covariance(b, b)
            V += RIDGE * np.einsum("qii->q", V)[:, None, None] / V.shape[-1] * np.eye(V.shape[-1])
            x = self.keep(now + _times(_divided(_covariance(a, b), V), x - then))
            yield k, x

    def loglikelihood(self, y, mean):
        """Of all series (T, q, 1) together, of Gaussian predictions."""
        total = 0.0
        for k, x, _ in self._dates(y, mean):
            shown = observed(x, self.model.C) + self.v[k]
            centre = mean_of(shown)
            e, S = (y[self.number[k]] - centre[:, 0]).astype(np.float64), _covariance(*[shown - centre] * 2)[..., 0]
            total += -0.5 * np.nansum(np.square(e) / S + np.log(2 * np.pi * S))   # NaN where e is
        return float(total)

    def _dates(self, y, mean):
        """Yield number, predicted and filtered members of every date."""
        x = mean.astype(np.float32)[:, None] + self.first
        for k in range(len(self.w)):
            if k:
                x = self.step(x, k) + self.w[k]                  # (5.4.8)
            predicted = x = self.keep(x)
            if k and self.inflation != 1:
                centre = mean_of(x)
                x = self.keep(centre + self.inflation * (x - centre))
            if k in self.number:
                x = corrected(x, y[self.number[k]], self.model.C, self.v[k], self.keep)
            yield k, predicted, x


def corrected(x, y, C, v, keep):
    """Members (q, N, n) by (5.4.9)-(5.4.12), for observations `y` (q, m) and draws `v` (N, m) of their noise."""
    seen = ~np.isnan(y)
    if not seen.any():
        return x
    predicted = (observed(x, C) + v) * seen[:, None]
    a, b = x - mean_of(x), predicted - mean_of(predicted)
    S = _covariance(b, b) + (~seen)[..., None] * np.eye(y.shape[-1])
    gain = _divided(_covariance(a, b), S)
    return keep(x + _times(gain, np.where(seen, y, 0).astype(np.float32)[:, None] - predicted))


def _covariance(a, b):
    """Covariances (q, i, j) of deviations (q, N, i) and (q, N, j), with the divisor N, float64."""
    return (np.swapaxes(a, 1, 2) @ b).astype(np.float64) / a.shape[1]


def _divided(a, V):
    """a V^-1 (q, i, j), which is 0 where V is."""
    if V.shape[-1] == 1:
        return np.divide(a, V, out=np.zeros_like(a), where=V > 0)
    gone = ~V.any(axis=(1, 2))
    return np.swapaxes(np.linalg.solve(V + gone[:, None, None] * np.eye(V.shape[-1]), np.swapaxes(a, 1, 2)), 1, 2)


def _times(gain, x):
    """gain (q, i, j) times x (q, N, j), float32."""
    gain = np.swapaxes(gain.astype(np.float32), 1, 2)
    return x * gain if x.shape[-1] == 1 else x @ gain


def _check(model, y, N, inflation):
    n, m = model.forward.n, len(model.C)
    if y.shape[-1] != m:
        raise ValueError(f"The series have {y.shape[-1]} components, and the model observes {m}.")
    if N <= n + m:
        raise ValueError(f"The ensemble has {N} members, and the model {n} states and {m} observed components: take "
                         f"{n + m + 1} members at least, better a hundred.")
    if not inflation >= 1:
        raise ValueError(f"The inflation is {inflation:g}; it must be 1, for none, or more.")
