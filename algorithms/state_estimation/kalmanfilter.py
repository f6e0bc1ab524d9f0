"""Series at irregular dates filtered, smoothed, filled and continued, and how noisy they are by maximum likelihood."""

from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import minimize

from .kalman import applied, diagonal, filtered_means, gains, smoothed_means, smoother_gains, variances
from .model import StateSpace, check_varies, intervals, start, variance

PART = 16384           # series at once, of which gains are computed for every pattern of missing dates
CHUNK = 8192           # series at once whose states are computed: they stay near the processor
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


def estimate(y, days, models, *, at=None, smoothed=True):
    """
    States of many series by the Kalman filter and smoother, between and after the dates too.

    Parameters
    ----------
    y : ndarray (T, Q) or (T, Q, m)
        NaN where missing.
    days : ndarray (T,)
        Rising.
    models : StateSpace, or sequence of StateSpace
        Linear; `mean` for all series or for each. Several are independent and observe the components of `y` one after
        the other.
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
        Fewer dates than a model has states, dates that are equal or not in order or before the first, an operator that
        is not linear, or series of another number of components than the models observe.

    Notes
    -----
    Covariances and gains depend on which dates are missing and not on the values: of series that are taken together,
    parts of bounded size, they are computed once for every pattern of missing dates.

    References
    ----------
    Thesis, section 5.3, by `kalman`: (5.3.6)-(5.3.13) for the filter, and the solution of (5.3.2)-(5.3.5) for the
    smoother.
    """
    y = np.asarray(y)
    flat = y.ndim == 2
    y = y[..., None] if flat else y
    models = [models] if isinstance(models, StateSpace) else models
    every, where = dates(days, at)
    check_fit([model.forward for model in models], y)
    (T, Q, m), D = y.shape, len(every)
    ends = np.cumsum([0, *(len(model.C) for model in models)])
    owns = [slice(*each) for each in zip(ends, ends[1:])]
    operators = [model.matrices(every) for model in models]
    states, spread, innovation, deviation = (np.empty((length, m, Q), np.float32).swapaxes(1, 2)
                                             for length in (D, D, T, T))
    likelihood = np.zeros(Q)
    largest = max(max(model.C.shape) for model in models)
    for part in _slices(0, Q, min(PART, VALUES // (D * largest**2))):
        shown, of = _patterns(~np.isnan(y[:, part]))
        for model, own, (A, noise) in zip(models, owns, operators):
            seen = ~np.isnan(_on_all(y[:, part][:, shown, own], where, D))
            found = gains(seen, A, noise, model.C, model.R, model.covariance, model.forward.n)
            P = found.filtered
            if smoothed:
                G, P = smoother_gains(found.A, found.Q, found.filtered, found.predicted)
            for k in range(D):
                spread[k, part, own] = _of_each(variances(model.C, P[k + 1]), of)
            for number, k in enumerate(where):
                deviation[number, part, own] = _of_each(np.sqrt(np.einsum("...ii->...i", found.innovation[k])), of)
            mean = np.broadcast_to(model.mean, (Q, model.forward.n))
            for few in _slices(part.start, part.stop, CHUNK):
                place = of[few.start - part.start:few.stop - part.start]
                means = filtered_means(found, _on_all(y[:, few, own], where, D), mean[few], of=place)
                likelihood[few] += means.loglikelihood
                for number, k in enumerate(where):
                    innovation[number, few, own] = means.innovation[k]
                x = smoothed_means(G, means.filtered, means.predicted, place) if smoothed else means.filtered[::-1]
                for k, of_date in zip(range(D - 1, -1, -1), x):
                    states[k, few, own] = applied(model.C, of_date)
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
    check_fit([forward], y)
    check_varies(y)
    V = variance(y)
    interval = float(np.mean(np.diff(every))) if len(every) > 1 else 1.0
    units = [float(V.mean()) / interval**power for power in powers]
    model = start(forward, y, every, 0.0)
    first, of = _patterns(~np.isnan(y))
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


def check_fit(forwards, y):
    """Raise ValueError where series `y` (T, Q, m) do not suit linear models that observe their components in turn."""
    m = sum(len(forward.observed) for forward in forwards)
    if not all(forward.linear for forward in forwards):
        raise ValueError("The dynamics are not linear, which this filter needs. Take an ensemble or particle filter.")
    if y.shape[-1] != m:
        raise ValueError(f"The series have {y.shape[-1]} components, and the model observes {m}.")
    for forward in forwards:
        if len(y) * len(forward.observed) < forward.n:
            raise ValueError(f"The model has a state of {forward.n} numbers, and the series only {len(y)} dates. "
                             f"Choose dynamics with fewer (fewer harmonics, or a random walk), or add dates.")


def _slices(begin, end, size):
    """Slices of at most `size`, or of 1."""
    return [slice(first, min(first + max(1, size), end)) for first in range(begin, end, max(1, size))]


def _on_all(y, where, D):
    """Observations (T, q, m) as (D, q, m), NaN but `where` they are."""
    if len(y) == D:
        return y
    values = np.full((D, *y.shape[1:]), np.nan, y.dtype)
    values[where] = y
    return values


def _patterns(seen):
    """Of `seen` (T, Q, m): a series of each pattern of missing observations, and the place (Q,) of every one's."""
    bits = np.packbits(seen.transpose(1, 0, 2).reshape(seen.shape[1], -1), axis=1)
    words = np.ascontiguousarray(np.pad(bits, ((0, 0), (0, -bits.shape[1] % 8)))).view(np.uint64).T
    _, first, of = np.unique(words[0], return_index=True, return_inverse=True)
    for word in words[1:]:   # pairs of the place so far and the next word
        pairs = of * len(of) + np.unique(word, return_inverse=True)[1]
        _, first, of = np.unique(pairs, return_index=True, return_inverse=True)
    return first, of


def _of_each(numbers, of):
    """float32 of the numbers (some, m) in each series' place (Q,), or of the only ones."""
    return numbers if len(numbers) == 1 else numbers.astype(np.float32)[of]
