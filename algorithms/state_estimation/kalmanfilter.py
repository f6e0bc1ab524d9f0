"""Series at irregular dates filtered, smoothed, filled and continued, and how noisy they are by maximum likelihood."""

from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import minimize

from .kalman import diagonal, filtered_means, gains, smoothed_means, smoother_gains
from .model import check_varies, intervals, start, variance

CHUNK = 16384          # series at once: their states stay near the processor
VALUES = 4_000_000     # entries of the covariances of all dates, at most, in each of a dozen arrays
STARTS = ((0.1, 1e-4, 0.1), (0.01, 0.03, 0.5))   # of level, slope or season, noise, as shares of a series' variance
SETTLED = 1e-7   # share by which a step of the search for noise raises the log-likelihood at the end
STEPS, NOISE = (1e-7, 1e2), (1e-6, 1e1)   # what is searched, as such shares


@dataclass(frozen=True)
class Estimate:
    """
    What is known of series of Q at D dates, of which T are observed. Of series (T, Q), there is no last axis.

    Attributes
    ----------
    days : ndarray (D,)
    mean, variance : ndarray (D, Q, m) float32
        Of what is observed, C x, without the noise of an observation.
    innovation, deviation : ndarray (T, Q, m) float32
        y(k) less its prediction from the dates before, NaN where missing; and its standard deviation.
    loglikelihood : ndarray (Q,)
        Of all observations of a series.
    """

    days: np.ndarray
    mean: np.ndarray
    variance: np.ndarray
    innovation: np.ndarray
    deviation: np.ndarray
    loglikelihood: np.ndarray

    @property
    def standardised(self):
        """Innovations over their standard deviations: N(0, 1) where the model holds."""
        return self.innovation / self.deviation


@dataclass(frozen=True)
class Levels:
    """
    How noisy series are.

    Attributes
    ----------
    steps : tuple of float
        Variances of the random steps in a unit of time, in the order of the operator's parameters.
    noise : ndarray (m,)
        Variance of an observation.
    loglikelihood : float
        Of all series.
    converged : bool
    """

    steps: tuple
    noise: np.ndarray
    loglikelihood: float
    converged: bool


def estimate(y, days, model, *, at=None, smoothed=True):
    """
    States of many series by the Kalman filter and smoother, between and after the dates too.

    Parameters
    ----------
    y : ndarray (T, Q) or (T, Q, m)
        NaN where missing.
    days : ndarray (T,)
        Rising.
    model : StateSpace
        Linear; `mean` for all series or for each.
    at : ndarray, optional
        Further dates, none before the first of `days`.
    smoothed : bool
        Estimate each date from all observations; otherwise from those up to it.

    Returns
    -------
    Estimate

    Raises
    ------
    ValueError
        Fewer dates than the model has states, dates that are equal or not in order or before the first, an operator
        that is not linear, or series of another number of components than the model observes.

    Notes
    -----
    Covariances and gains depend on which dates are missing and not on the values: they are computed once for every
    pattern of missing dates. Series are taken in the order of their patterns, in parts of bounded size.

    References
    ----------
    Thesis, section 5.3, by `kalman`: (5.3.6)-(5.3.13) for the filter, and the solution of (5.3.2)-(5.3.5) for the
    smoother.
    """
    y = np.asarray(y)
    flat = y.ndim == 2
    y = y[..., None] if flat else y
    every, where = dates(days, at)
    check_fit(model.forward, y)
    T, Q, m = y.shape
    n = model.forward.n
    A, noise = model.matrices(every)
    mean = np.broadcast_to(model.mean, (Q, n))
    states, spread = np.empty((len(every), Q, m), np.float32), np.empty((len(every), Q, m), np.float32)
    innovation, deviation, likelihood = np.empty((T, Q, m), np.float32), np.empty((T, Q, m), np.float32), np.empty(Q)
    pattern, order = _patterns(~np.isnan(y))
    size = max(1, min(CHUNK, VALUES // (len(every) * max(n, m) ** 2)))
    for first in range(0, Q, size):
        part = order[first:first + size]
        here, of = np.unique(pattern[part], return_inverse=True)
        shown = part[np.searchsorted(pattern[part], here)]   # a series of each pattern
        values = np.full((len(every), len(part), m), np.nan)
        values[where] = y[:, part]
        seen = np.zeros((len(every), len(here), m), bool)
        seen[where] = ~np.isnan(y[:, shown])
        found = gains(seen, A, noise, model.C, model.R, model.covariance, n)
        means = filtered_means(found, values, mean[part], of=of)
        x, P = means.filtered, found.filtered
        if smoothed:
            G, P, _ = smoother_gains(found.A, found.Q, found.filtered, found.predicted)
            x = smoothed_means(G, x, means.predicted, of=of)
        for k in range(len(every)):
            states[k, part] = x[k + 1] @ model.C.T
            shared = np.einsum("ij,...jl,il->...i", model.C, P[k + 1], model.C)
            spread[k, part] = shared if len(shared) == 1 else shared[of]
        for number, k in enumerate(where):
            innovation[number, part] = np.where(np.isnan(values[k]), np.nan, means.innovation[k])
            shared = np.sqrt(np.einsum("...ii->...i", found.innovation[k]))
            deviation[number, part] = shared if len(shared) == 1 else shared[of]
        likelihood[part] = means.loglikelihood
    results = [values[..., 0] if flat else values for values in (states, spread, innovation, deviation)]
    return Estimate(every, *results, likelihood)


def noise_levels(y, days, make_forward, powers, *, steps=None, noise=None):
    """
    Variances of the random steps and of the observations that make series most likely.

    Parameters
    ----------
    y : ndarray (T, Q) or (T, Q, m)
        A sample of series; NaN where missing.
    days : ndarray (T,)
    make_forward : callable
        Takes the variances of the steps, gives a linear operator.
    powers : sequence of int
        For each variance with which power of time its effect on what is observed grows: 1 for steps of a level, 3 for
        those of a slope.
    steps : sequence of float or None, optional
        Variances that are known; None, or an entry None, where not.
    noise : float or ndarray (m,), optional
        The variance of an observation where it is known. Several components have one in proportion to their variances.

    Returns
    -------
    Levels

    Raises
    ------
    ValueError
        As `estimate`; and series without variation.

    Notes
    -----
    The log-likelihood summed over the series is maximised over the logarithms of the unknown variances, relative to
    the mean variance V of a series over its dates, by L-BFGS-B with numerical derivatives from two starts: noise from
    1e-6 V to 10 V, and steps that in the mean interval add 1e-7 V to 100 V. The first state has a fixed variance of 10
    V. At a bound of the range, a variance is as good as zero.

    References
    ----------
    The thesis takes the covariances as known. A. C. Harvey, Forecasting, Structural Time Series Models and the Kalman
    Filter, 1989, section 3.4: the likelihood by its prediction errors.
    """
    y = np.asarray(y, np.float64)
    y = y[..., None] if y.ndim == 2 else y
    every, _ = dates(days, None)
    steps = [None] * len(powers) if steps is None else list(steps)
    y = y[:, ~np.isnan(y).all(axis=(0, 2))]
    forward = make_forward(*(step or 0.0 for step in steps))
    check_fit(forward, y)
    check_varies(y)
    V = variance(y)
    interval = float(np.mean(np.diff(every))) if len(every) > 1 else 1.0
    units = [float(V.mean()) / interval**power for power in powers]
    model = start(forward, y, every, 0.0)
    pattern, _ = _patterns(~np.isnan(y))
    _, first, of = np.unique(pattern, return_index=True, return_inverse=True)
    seen = ~np.isnan(y[:, first])
    free = [index for index, level in enumerate([*steps, noise]) if level is None]

    def levels(logarithms):
        found = [*steps, noise]
        for index, value in zip(free, np.exp(logarithms)):
            found[index] = value * (units[index] if index < len(units) else V)
        return tuple(float(step) for step in found[:-1]), np.broadcast_to(np.asarray(found[-1], float), V.shape)

    def likelihood(logarithms):
        found, R = levels(logarithms)
        A, Q = replace(model, forward=make_forward(*found)).matrices(every)
        which = gains(seen, A, Q, model.C, diagonal(R), model.covariance, model.forward.n)
        return float(filtered_means(which, y, model.mean, of=of).loglikelihood.sum())

    if not free:
        return Levels(*levels([]), likelihood([]), True)
    count = (~np.isnan(y)).sum()
    bounds = [np.log(STEPS if index < len(units) else NOISE) for index in free]
    begins = [np.log([(*begin[:len(units)], begin[-1])[index] for index in free]) for begin in STARTS]
    runs = [minimize(lambda x: -likelihood(x) / count, begin, method="L-BFGS-B", bounds=bounds,
                     options={"ftol": SETTLED, "gtol": SETTLED**0.5}) for begin in begins]
    best = min(runs, key=lambda run: run.fun)
    return Levels(*levels(best.x), float(-best.fun * count), bool(best.success))


def dates(days, at):
    """All of `days` (T,) and `at` in their order (D,), and where in it the first are (T,)."""
    days = np.asarray(days, np.float64)
    intervals(days)
    every = np.union1d(days, np.asarray(at, np.float64)) if at is not None else days
    if every[0] < days[0]:
        raise ValueError(f"A further date is {days[0] - every[0]:g} before the first observed one: nothing is known "
                         f"there. Take it out.")
    return every, np.searchsorted(every, days)


def check_fit(forward, y):
    """Raise ValueError where series `y` (T, Q, m) do not suit a linear model."""
    if not forward.linear:
        raise ValueError("The dynamics are not linear, which this filter needs. Take an ensemble or particle filter.")
    if y.shape[-1] != len(forward.observed):
        raise ValueError(f"The series have {y.shape[-1]} components, and the model observes {len(forward.observed)}.")
    if len(y) * y.shape[-1] < forward.n:
        raise ValueError(f"The model has a state of {forward.n} numbers, and the series only {len(y)} dates. Choose "
                         f"dynamics with fewer (fewer harmonics, or a random walk), or add dates.")


def _patterns(seen):
    """Of `seen` (T, Q, m): a number (Q,) that only series which miss the same observations share, and their order."""
    bits = np.packbits(seen.transpose(1, 0, 2).reshape(seen.shape[1], -1), axis=1)
    words = np.ascontiguousarray(np.pad(bits, ((0, 0), (0, -bits.shape[1] % 8)))).view(np.uint64)
    number = np.zeros(len(words), np.intp)
    for word in words.T:   # pairs of the number so far and the next word, numbered anew
        number = number * (len(words) + 1) + np.unique(word, return_inverse=True)[1]
        number = np.unique(number, return_inverse=True)[1]
    return number, np.argsort(number, kind="stable")
