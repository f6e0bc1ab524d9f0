"""Is a series white noise? The normalised cumulative periodogram, its deviation index, and Bartlett's test."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import kstwo

FEWEST = 5   # values of a series of which whiteness can be told: two frequencies


@dataclass(frozen=True)
class Whiteness:
    """
    Attributes
    ----------
    deviation : ndarray (...)
        The index (6.4.16), the distance of the normalised cumulative periodogram from that of white noise.
    statistic : ndarray (...)
        Bartlett's: how far the two are apart at most (Kolmogorov and Smirnov).
    probability : ndarray (...)
        That white Gaussian noise has so large a statistic or a larger one.
    """

    deviation: np.ndarray
    statistic: np.ndarray
    probability: np.ndarray


def cumulative_periodogram(v):
    """
    N(v) (..., q) of real series `v` (..., T): the share of their power at the lowest frequencies, from 0 to 1.

    The frequencies are k / T, k = 1..q-1 with q - 1 = floor((T - 1) / 2): all but 0, so that the mean does not count,
    and but the highest of an even T, whose power is distributed otherwise than that of the others. N(v)_1 = 0.
    A series that is constant has no power, and N(v) is that of white noise.

    References
    ----------
    Thesis, section 6.4.2, where q and the frequencies are left open; its footnote says that q depends on T. D_1 = 0
    and D_q = 1 there ask for the leading 0.
    """
    v = np.asarray(v, dtype=np.float64)
    T = v.shape[-1]
    count = (T - 1) // 2
    v = v - v.mean(axis=-1, keepdims=True)
    power = np.square(np.abs(np.fft.rfft(v, axis=-1)[..., 1:count + 1]))
    total = power.sum(axis=-1, keepdims=True)
    nothing = total <= 1e-28 * T**2 * np.square(v).max(axis=-1, keepdims=True, initial=0.0)
    share = np.where(nothing, 1 / count, power / np.where(nothing, 1.0, total))
    return np.concatenate([np.zeros_like(total), np.cumsum(share, axis=-1)], axis=-1)


def band(T, level=0.95):
    """
    Half of the width of Bartlett's band: the largest statistic of white series of T values, at the given rate.

    The powers of white Gaussian noise at the M = floor((T - 1) / 2) frequencies are independent and exponentially
    distributed, so that the inner values of N(v) are distributed as M - 1 ordered uniform numbers. The band is that of
    Kolmogorov's test of these, exact at every length.
    """
    return float(kstwo.ppf(level, _inner(T)))


def whiteness(v):
    """
    How white series `v` (..., T) are; NaN marks missing values.

    Missing values are left out and the others moved together: what is left of white noise is white noise.

    Returns
    -------
    Whiteness

    Raises
    ------
    ValueError
        A series with fewer than five values.
    """
    v, found = np.asarray(v, dtype=np.float64), np.empty((3, *np.shape(v)[:-1]))
    for which, course, T in _courses(v):
        q, inner = course.shape[-1], course[..., 1:-1]
        upper = np.arange(1, q - 1) / (q - 2)
        statistic = np.maximum(upper - inner, inner - upper + 1 / (q - 2)).max(axis=-1)
        found[:, which] = _distance(course), statistic, kstwo.sf(statistic, _inner(T))
    return Whiteness(*(np.asarray(part) for part in found))


def deviation(v):
    """The index (6.4.16) alone, (...), of series `v` (..., T): see `whiteness`, which takes far longer."""
    v = np.asarray(v, dtype=np.float64)
    found = np.empty(v.shape[:-1])
    for which, course, _ in _courses(v):
        found[which] = _distance(course)
    return found


def _courses(v):
    """For each number of values: which of series `v` (..., T) have it, their cumulative periodograms, the number."""
    missing = np.isnan(v)
    lengths = (~missing).sum(axis=-1)
    if v.shape[-1] < FEWEST or (lengths < FEWEST).any():
        raise ValueError(f"A series has {int(lengths.min()) if lengths.size else 0} values: whiteness can be told of "
                         f"{FEWEST} or more.")
    if missing.any():
        v = np.take_along_axis(v, np.argsort(missing, axis=-1, kind="stable"), axis=-1)
    for T in np.unique(lengths):
        which = lengths == T
        yield which, cumulative_periodogram(v[which][:, :T]), T


def _distance(course):
    return np.linalg.norm(np.linspace(0, 1, course.shape[-1]) - course, axis=-1)


def _inner(T):
    if T < FEWEST:
        raise ValueError(f"A series of {T} values has no band of whiteness: it takes {FEWEST} or more.")
    return (T - 1) // 2 - 1
