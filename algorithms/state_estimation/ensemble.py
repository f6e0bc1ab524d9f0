"""Series whose dynamics need not be linear: the ensemble Kalman filter and a smoother, for many series at once."""

from dataclasses import dataclass

import numpy as np

from .kalmanfilter import dates
from .model import intervals

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
    variance on the diagonal.

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
            mean[k, part] = shown.mean(axis=0)
            variance[k, part] = np.square(shown - mean[k, part]).mean(axis=0)
    return Estimate(every, *(values[..., 0] if flat else values for values in (mean, variance)))


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


def observed(x, C):
    """C x of states (..., n), float32."""
    return x if np.array_equal(C, np.eye(x.shape[-1])) else x @ C.T.astype(np.float32)


def advance(forward, x, interval, date):
    """
    States `x` (..., n) after an interval, without noise, float32.

    Raises
    ------
    ValueError
        States that are not finite, at the date of this number.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        x = forward.step(x.reshape(-1, x.shape[-1]), interval).astype(np.float32, copy=False).reshape(x.shape)
        if np.isfinite(x.sum(dtype=np.float64)):
            return x
    raise ValueError(f"At date {date} some states are no longer finite numbers: the dynamics let them grow without "
                     f"end. Keep the states within bounds, or take smaller rates and noise.")


class _Run:
    """The filter and smoother of series (T, q, m) with first means (q, n), which go through the dates of `every`."""

    def __init__(self, model, every, number, N, rng, inflation, keep):
        self.model, self.number, self.inflation = model, number, np.float32(inflation)
        self.keep = keep or (lambda x: x)
        self.steps = intervals(every)
        n, m, F = model.forward.n, len(model.C), model.forward
        noise = draws(rng, len(every), N, n + m)
        self.first = noise[0, :, :n] @ root(model.covariance).T.astype(np.float32)
        self.w = [each[:, :n] @ root(F.noise(step)).T.astype(np.float32) for each, step in zip(noise, self.steps)]
        self.v = noise[:, :, n:] @ root(model.R).T.astype(np.float32)

    def filtered(self, y, mean):
        """Yield number and members (N, q, n) of every date, each after what is observed at it."""
        for k, _, x in self._dates(y, mean):
            yield k, x

    def smoothed(self, y, mean):
        """The same from the last date to the first, after all that is observed."""
        kept = list(self._dates(y, mean))
        x = kept[-1][2]
        yield kept[-1][0], x
        for (k, _, now), (_, then, _) in zip(kept[-2::-1], kept[:0:-1]):
            a, b = now - now.mean(axis=0), then - then.mean(axis=0)
            V = _covariance(b, b)
            V += RIDGE * np.einsum("qii->q", V)[:, None, None] / V.shape[-1] * np.eye(V.shape[-1])
            x = self.keep(now + _times(_divided(_covariance(a, b), V), x - then))
            yield k, x

    def _dates(self, y, mean):
        """Yield number, predicted and filtered members of every date."""
        x = mean.astype(np.float32) + self.first[:, None]
        for k, step in enumerate(self.steps):
            if k:
                x = advance(self.model.forward, x, step, k + 1) + self.w[k][:, None]   # (5.4.8)
            if k and self.inflation != 1:
                centre = x.mean(axis=0)
                x = centre + self.inflation * (x - centre)
            predicted = x = self.keep(x)
            if k in self.number:
                x = self._corrected(predicted, y[self.number[k]], self.v[k])
            yield k, predicted, x

    def _corrected(self, x, y, v):
        """Members by (5.4.9)-(5.4.12)."""
        seen = ~np.isnan(y)
        if not seen.any():
            return x
        predicted = (observed(x, self.model.C) + v[:, None]) * seen
        a, b = x - x.mean(axis=0), predicted - predicted.mean(axis=0)
        S = _covariance(b, b) + (~seen)[..., None] * np.eye(y.shape[-1])
        gain = _divided(_covariance(a, b), S)
        return self.keep(x + _times(gain, np.where(seen, y, 0).astype(np.float32) - predicted))


def _covariance(a, b):
    """Covariances (q, i, j) of deviations (N, q, i) and (N, q, j), with the divisor N, float64."""
    return np.einsum("Nqi,Nqj->qij", a, b, optimize=False).astype(np.float64) / len(a)


def _divided(a, V):
    """a V^-1 (q, i, j), which is 0 where V is."""
    if V.shape[-1] == 1:
        return np.divide(a, V, out=np.zeros_like(a), where=V > 0)
    gone = ~V.any(axis=(1, 2))
    return np.swapaxes(np.linalg.solve(V + gone[:, None, None] * np.eye(V.shape[-1]), np.swapaxes(a, 1, 2)), 1, 2)


def _times(gain, x):
    """gain (q, i, j) times x (N, q, j), float32."""
    gain = gain.astype(np.float32)
    return gain[..., 0] * x if x.shape[-1] == 1 else np.einsum("qij,Nqj->Nqi", gain, x)


def _check(model, y, N, inflation):
    n, m = model.forward.n, len(model.C)
    if y.shape[-1] != m:
        raise ValueError(f"The series have {y.shape[-1]} components, and the model observes {m}.")
    if N <= n + m:
        raise ValueError(f"The ensemble has {N} members, and the model {n} states and {m} observed components: take "
                         f"{n + m + 1} members at least, better a hundred.")
    if not inflation >= 1:
        raise ValueError(f"The inflation is {inflation:g}; it must be 1, for none, or more.")
