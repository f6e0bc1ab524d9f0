"""Series whose states are known by weighted samples: a particle filter for many at once, and how likely a condition."""

from dataclasses import dataclass

import numpy as np

from .ensemble import Steps, corrected, draws, mean_of, observed, part_size, root
from .kalman import kalman_filter
from .kalmanfilter import dates

LEAST = 3.0   # effective particles, below which the weights of an observation say nothing


@dataclass(frozen=True)
class Estimate:
    """
    What is known of series of Q at D dates, each from the observations up to it. Of series (T, Q), no last axis.

    Attributes
    ----------
    days : ndarray (D,)
    mean, variance : ndarray (D, Q, m) float32
        Of what is observed, C x, without the noise of an observation: (5.4.21) and (5.4.22).
    effective : ndarray (D, Q) float32
        Effective sample size 1 / sum of squared weights, before resampling or moving; of several models the least.
    probability : ndarray (D, Q) float32 or None
        Of the condition.
    """

    days: np.ndarray
    mean: np.ndarray
    variance: np.ndarray
    effective: np.ndarray
    probability: np.ndarray


@dataclass(frozen=True)
class Particles:
    """Particles `x` (q, N, n) of q series with weights `w` (q, N) that sum to one."""

    x: np.ndarray
    w: np.ndarray

    @property
    def effective(self):
        """Effective sample sizes (q,)."""
        return 1 / np.einsum("qN,qN->q", self.w, self.w)

    def resampled(self, u):
        """As many particles without weights (q, N, n): systematic resampling, from the place `u`, 0 to 1, on."""
        q, N = self.w.shape
        upto = np.cumsum(self.w, axis=1)
        below = np.ceil(N * upto / upto[:, -1:] - np.float32(u)).astype(np.intp)   # of the places (u + j) / N, j = 0..
        below[:, -1] = N
        below += N * np.arange(q)[:, None]
        chosen = np.cumsum(np.bincount(below.ravel(), minlength=q * N)[:q * N])
        return self.x.reshape(q * N, -1)[chosen].reshape(self.x.shape)


def estimate(y, days, models, N, rng, *, at=None, share=0.5, keep=None, condition=None):
    """
    States of many series by a particle filter with sequential importance resampling, also between and after the dates.

    Parameters
    ----------
    y : ndarray (T, Q) or (T, Q, m)
        NaN where missing.
    days : ndarray (T,)
        Rising.
    models : StateSpace, or sequence of StateSpace
        Linear or not; `mean` for all series or for each. Several are independent and observe the components of `y` one
        after the other: each has particles of its own.
    N : int
        Particles of each model, more than its states and observed components together.
    rng : numpy.random.Generator
    at : ndarray, optional
        Further dates, none before the first of `days`.
    share : float
        Resample where the effective sample size is below this share of N: 0 for never, 1 for at every observation.
    keep : callable, optional
        Takes particles (..., n) and gives them back within their constraints, at the start and after every prediction.
    condition : callable, optional
        Of what is observed, (q, N, m) without noise: where (q, N) it holds. Its probability is estimated.

    Returns
    -------
    Estimate

    Raises
    ------
    ValueError
        Too few particles, a share outside 0 to 1, series of another number of components than the models observe,
        dates that are equal or not in order or before the first, states that grow beyond all numbers.

    Notes
    -----
    In (5.4.21) and (5.4.22) the thesis writes w^i for the weights lambda^i of (5.4.19), and (5.4.15) divides by N what
    already sums to one: here the weights sum to one throughout. Estimates take them before resampling, which would only
    add chance.

    Weights are multiplied as logarithms, and resampled systematically where (5.4.20) draws at every date. At the first
    date the prior is Gaussian and often vague, so that most of its particles would have no weight: they are drawn from
    the posterior given the first observation, which is Gaussian and known, with equal weights. Draws of process noise
    have exactly the mean and covariance asked for, and all series share them, see `ensemble.estimate`. A date without
    an observation leaves the weights; of missing components the likelihood is that of the others.

    Where an observation is so far from all particles, as after an abrupt change, that the effective sample size falls
    below 3, the weights would leave a single state without any uncertainty. There the particles, resampled by their
    weights from before, are moved by the correction of the ensemble Kalman filter instead, which has a spread. With
    growing N this happens to ever rarer observations.

    A condition that needs components of several models is asked of particles that are resampled and paired at random.

    References
    ----------
    Thesis, section 5.4.2, (5.4.15)-(5.4.22), with additive noise. N. J. Gordon, D. J. Salmond, A. F. M. Smith, Novel
    approach to nonlinear/non-Gaussian Bayesian state estimation, IEE Proc. F 140(2), 1993. G. Kitagawa, Monte Carlo
    filter and smoother, J. Comput. Graph. Stat. 5(1), 1996: systematic resampling.
    """
    y = np.asarray(y)
    flat = y.ndim == 2
    y = y[..., None] if flat else y
    models = list(models) if isinstance(models, list | tuple) else [models]
    every, where = dates(days, at)
    _check(models, y, N, share)
    T, Q, m = y.shape
    D, ends = len(every), np.cumsum([len(model.C) for model in models])
    runs = [_Run(model, every, dict(zip(where.tolist(), range(T))), N, rng, share, keep) for model in models]
    places, orders = rng.random(D), [[rng.permutation(N) for _ in models] for _ in range(D)]
    mean, variance = (np.empty((D, Q, m), np.float32) for _ in range(2))
    effective = np.empty((D, Q), np.float32)
    probability = None if condition is None else np.empty((D, Q), np.float32)
    size = part_size(N * sum(model.forward.n for model in models), 1)
    for begin in range(0, Q, size):
        part = slice(begin, min(begin + size, Q))
        steps = [run.filtered(values, np.broadcast_to(run.model.mean, (Q, run.n))[part])
                 for run, values in zip(runs, np.split(y[:, part], ends[:-1], axis=2))]
        for k, found in enumerate(zip(*steps)):
            found, sizes = zip(*found)
            shown = [observed(one.x, model.C) for one, model in zip(found, models)]
            centre = [mean_of(x, one.w) for one, x in zip(found, shown)]
            mean[k, part] = np.concatenate(centre, axis=2)[:, 0]
            variance[k, part] = np.concatenate([mean_of(np.square(x - c), one.w)
                                                for one, x, c in zip(found, shown, centre)], axis=2)[:, 0]
            effective[k, part] = np.min(sizes, axis=0)
            if condition is not None:
                likely = (found[0].w * condition(shown[0])).sum(axis=1) if len(found) == 1 else \
                    condition(_paired(found, shown, places[k], orders[k])).mean(axis=1)
                probability[k, part] = np.minimum(likely, 1)   # weights sum to one but for the last digit
    return Estimate(every, *(values[..., 0] if flat else values for values in (mean, variance)), effective,
                    probability)


def _paired(found, shown, place, orders):
    """What is observed of independent models together (q, N, m), without weights."""
    return np.concatenate([Particles(x, one.w).resampled(place)[:, order]
                           for one, x, order in zip(found, shown, orders)], axis=2)


class _Run:
    """The filter of series (T, q, m) with first means (q, n), which goes through the dates of `every`."""

    def __init__(self, model, every, number, N, rng, share, keep):
        self.model, self.number, self.N, self.share, self.n = model, number, N, share, model.forward.n
        self.keep = keep or (lambda x: x)
        self.step = Steps(model.forward, every)
        z = draws(rng, len(every), N, self.n + len(model.C))
        self.z, self.w = z[0, :, :self.n], [each[:, :self.n] @ F for each, F in zip(z, self.step.roots())]
        self.v = z[:, :, self.n:] @ root(model.R).T.astype(np.float32)
        self.places = rng.random(len(every))
        self.R = np.asarray(model.R, np.float64)

    def filtered(self, y, mean):
        """Yield the `Particles` of every date, after what is observed at it, and their effective sample sizes."""
        x = self.keep(self._first(y[0], mean))
        w = np.full(x.shape[:2], 1 / self.N, np.float32)
        yield Particles(x, w), np.full(len(x), self.N)
        for k in range(1, len(self.w)):
            x = self.keep(self.step(x, k) + self.w[k])                                # (5.4.16)
            effective = Particles(x, w).effective
            if k in self.number:
                x, w, effective = self._weighted(Particles(x, w), y[self.number[k]], k)
            yield Particles(x, w), effective
            few = Particles(x, w).effective < self.share * self.N
            if few.any():
                x, w = x.copy(), w.copy()
                x[few] = Particles(x[few], w[few]).resampled(self.places[k])          # (5.4.20)
                w[few] = 1 / self.N

    def _weighted(self, before, y, k):
        """Particles, weights and effective sample sizes, before any particle is moved, by (5.4.18) and (5.4.19)."""
        with np.errstate(divide="ignore"):
            logs = np.log(before.w) + self._likelihood(before.x, y)
        w = np.exp(logs - logs.max(axis=1, keepdims=True))
        w /= w.sum(axis=1, keepdims=True)
        x, effective = before.x, Particles(before.x, w).effective
        lost = (effective < LEAST) & ~np.isnan(y).all(axis=1)
        if lost.any():
            x, y = x.copy(), y[lost]
            again = Particles(x[lost], before.w[lost]).resampled(self.places[k])
            x[lost] = corrected(again, y, self.model.C, self.v[k], self.keep)
            w[lost] = 1 / self.N
        return x, w, effective

    def _first(self, y, mean):
        """Particles (q, N, n) of the first date, given what is observed at it."""
        eye = np.eye(self.n)
        known = kalman_filter(y[None], eye, 0 * eye, self.model.C, self.R, mean, self.model.covariance)
        roots = root(known.covariance[1]).astype(np.float32)
        return known.mean[1].astype(np.float32)[:, None] + self.z @ np.swapaxes(roots, 1, 2)

    def _likelihood(self, x, y):
        """Logarithm of p(y | x) (q, N), less what all particles of a series share."""
        seen = ~np.isnan(y)
        off = (np.where(seen, y, 0).astype(np.float32)[:, None] - observed(x, self.model.C)) * seen[:, None]
        if y.shape[1] == 1:
            return np.square(off[..., 0]) * np.float32(-0.5 / self.R[0, 0])
        pairs = seen[:, :, None] & seen[:, None]
        white = np.linalg.inv(np.linalg.cholesky(np.where(pairs, self.R, np.eye(y.shape[1])))).astype(np.float32)
        return -0.5 * np.square(off @ np.swapaxes(white, 1, 2)).sum(axis=2)


def _check(models, y, N, share):
    m = sum(len(model.C) for model in models)
    if y.shape[-1] != m:
        raise ValueError(f"The series have {y.shape[-1]} components, and the model observes {m}.")
    least = 1 + max(model.forward.n + len(model.C) for model in models)
    if N < least:
        raise ValueError(f"There are {N} particles, too few for a state of {max(each.forward.n for each in models)} "
                         f"numbers: take {least} at least, better 500.")
    if not 0 <= share <= 1:
        raise ValueError(f"The share of particles below which they are resampled is {share:g}; it must be 0 to 1.")
