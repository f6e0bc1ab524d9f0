"""From samples of events to what networks are initialised with and trained on: backgrounds, events, their patterns."""

from dataclasses import dataclass

import numpy as np

from ..blind.divergence import check_nonnegative

TINY = 1e-12
STEPS = 300       # multiplicative steps to a background's coefficients
ROUNDS = 5        # of aligning events whose dates are not known
BRIGHTEST = 0.999   # quantile of a feature that becomes 1


@dataclass(frozen=True)
class Features:
    """
    How series become features: each divided by what is nearly its largest value, and how much each lacks of that.

    Attributes
    ----------
    scale : ndarray (m,)
    losses : bool
        Whether 1 - x / scale is a feature too: a nonnegative model only adds, so that an event which darkens the ground
        adds nothing but to these.
    """

    scale: np.ndarray
    losses: bool

    @classmethod
    def of(cls, X, valid, losses):
        """Features that suit the series `X` (m, Q, n); values that are not valid do not count."""
        scale = np.array([np.quantile(band[valid], BRIGHTEST) for band in X])
        if not (scale > 0).all():
            raise ValueError(f"Band {int((scale <= 0).argmax()) + 1} is 0 in nearly all samples and tells nothing. "
                             f"Leave it out.")
        return cls(scale, losses)

    @property
    def count(self):
        """Number of features."""
        return len(self.scale) * (1 + self.losses)

    def __call__(self, X, valid=None):
        """Features (m or 2 m, Q, n), float32, of series `X` (m, Q, n); 0 where `valid` (Q, n) is not."""
        X = (X / self.scale[:, None, None]).astype(np.float32)
        if self.losses:
            X = np.concatenate([X, np.maximum(1 - X, 0)])
        return X if valid is None else np.where(valid, X, np.float32(0))


@dataclass(frozen=True)
class EventSamples:
    """
    Samples taken apart, with all that networks learn from.

    Attributes
    ----------
    X : ndarray (m, Q, n) float32
        Features of all samples; 0 where not valid.
    S : ndarray (m, Q, n) float32
        What of them is event: their excess over the background while the event lasts, and 0 elsewhere.
    valid : ndarray (Q, n) of bool
    label : ndarray (Q,) of int
        0 for event-free, otherwise the class, 1..C.
    date : ndarray (Q,) of int
        When the event begins, from 0, as given or as found; -1 for event-free ones.
    patterns : ndarray (C, m, length)
        Mean course of each class of events.
    backgrounds : ndarray (J, m, n)
        Courses of which backgrounds are made.
    """

    X: np.ndarray
    S: np.ndarray
    valid: np.ndarray
    label: np.ndarray
    date: np.ndarray
    patterns: np.ndarray
    backgrounds: np.ndarray


def take_apart(X, valid, label, date, length, rng, *, backgrounds=8):
    """
    Split samples into background and event, and find the pattern of each class.

    Event-free samples are factorised into a few background courses over all dates (Kullback-Leibler NMF of the whole
    series). The background of an event sample is what these courses, fitted to the dates outside the event, say; S is
    what the sample has more than that while the event lasts, and N = X - S the rest, so that X = S + N exactly. A
    class's pattern is the mean of its events, aligned at their dates.

    Parameters
    ----------
    X : ndarray (m, Q, n)
        Features, not negative.
    valid : ndarray (Q, n) of bool
    label : ndarray (Q,) of int
        0 for event-free samples, otherwise the class, 1..C.
    date : ndarray (Q,) of int
        The date at which an event begins, from 0; -1 where it is not known: then it is where the sample exceeds its
        background most, refined by where the class's pattern fits best.
    length : int
        Dates that an event lasts at most.
    rng : numpy.random.Generator
        For the start of the factorisation.
    backgrounds : int
        Background courses at most; there are no more than event-free samples.

    Returns
    -------
    EventSamples

    Raises
    ------
    ValueError
        Negative features, a series shorter than the pattern, no event-free sample, a class of less than two samples,
        or one without any excess over the background.
    """
    check_nonnegative(X)
    n, C = X.shape[2], int(label.max(initial=0))
    if not 1 <= length <= n:
        raise ValueError(f"An event is to last {length} dates, and the series has {n}. Choose a length of 1 to {n}.")
    if not (label == 0).any():
        raise ValueError("None of the samples is free of events. Add some that are, from all kinds of background.")
    counts = np.bincount(label, minlength=C + 1)[1:]
    if C == 0 or counts.min() < 2:
        raise ValueError(f"Class {int(counts.argmin()) + 1 if C else 1} has {int(counts.min()) if C else 0} samples, "
                         f"and two are the least to learn from. Add samples.")
    X = np.where(valid, X, 0).astype(np.float64)
    free = label == 0
    V = _courses(X[:, free], valid[free], min(backgrounds, int(free.sum())), rng)
    date, found = np.array(date), np.zeros_like(X)
    unknown = ~free & (date < 0)
    date[unknown] = _most(_excess(X[:, unknown], valid[unknown], V, None, length), length)
    for round in range(ROUNDS if unknown.any() else 1):
        found[:, ~free] = _excess(X[:, ~free], valid[~free], V, date[~free], length)
        patterns = np.stack([_mean(found[:, label == k], valid[label == k], date[label == k], length)
                             for k in range(1, C + 1)])
        if not unknown.any():
            break
        open_ended = _excess(X[:, unknown], valid[unknown], V, date[unknown], length, everywhere=True)
        moved = _best_fit(open_ended, patterns[label[unknown] - 1])
        if round == ROUNDS - 1 or (moved == date[unknown]).all():
            break
        date[unknown] = moved
    empty = patterns.reshape(C, -1).max(axis=1) <= 0
    if empty.any():
        raise ValueError(f"The samples of class {int(empty.argmax()) + 1} do not differ from the background at their "
                         f"dates. Check the dates, or take losses into account too.")
    return EventSamples(X.astype(np.float32), found.astype(np.float32), valid, label, date, patterns, V)


def _courses(X, valid, J, rng):
    """J background courses (J, m, n) of event-free series `X` (m, Q, n), by KL-NMF that leaves out invalid values."""
    m, Q, n = X.shape
    data = X.transpose(0, 2, 1).reshape(m * n, Q)
    seen = np.broadcast_to(valid.T, (m, n, Q)).reshape(m * n, Q).astype(float)
    mean = data.sum(axis=1) / np.maximum(seen.sum(axis=1), 1)
    W = np.maximum(mean, TINY)[:, None] * rng.uniform(0.5, 1.5, (m * n, J))
    H = rng.uniform(0.5, 1.5, (J, Q)) / J
    for _ in range(STEPS):
        H *= W.T @ (data / np.maximum(W @ H, TINY)) / np.maximum(W.T @ seen, TINY)
        W *= (data / np.maximum(W @ H, TINY)) @ H.T / np.maximum(seen @ H.T, TINY)
    scale = np.maximum(H.mean(axis=1), TINY)
    never = ~seen.any(axis=1)   # a date that no event-free sample has: as the mean of its neighbours would be
    V = (W * scale).T.reshape(J, m, n)
    if never.any():
        gone = never.reshape(m, n)[0]
        dates = np.arange(n)
        for course in V.reshape(-1, n):
            course[gone] = np.interp(dates[gone], dates[~gone], course[~gone])
    return V


def _excess(X, valid, V, date, length, everywhere=False):
    """
    What series `X` (m, Q, n) have more than their background, at the dates of the event alone or `everywhere`.

    The background is fitted to the other dates; with no `date` to all of them.
    """
    m, Q, n = X.shape
    lasting = np.zeros((Q, n), dtype=bool) if date is None else _lasting(date, length, n)
    D = V.transpose(1, 2, 0).reshape(m * n, -1)
    seen = np.broadcast_to((valid & ~lasting).T, (m, n, Q)).reshape(m * n, Q).astype(float)
    data = X.transpose(0, 2, 1).reshape(m * n, Q)
    H = np.ones((len(V), Q)) / len(V)
    weights = np.maximum(D.T @ seen, TINY)
    for _ in range(STEPS):
        H *= D.T @ (seen * data / np.maximum(D @ H, TINY)) / weights
    more = np.maximum(data - D @ H, 0).reshape(m, n, Q).transpose(0, 2, 1)
    return np.where(valid & (lasting | everywhere | (date is None)), more, 0)


def _lasting(date, length, n):
    """Which dates (Q, n) belong to events that begin at `date` (Q,)."""
    since = np.arange(n) - date[:, None]
    return (since >= 0) & (since < length)


def _most(E, length):
    """The date (Q,) from which the excess `E` (m, Q, n) of `length` dates is largest."""
    total = np.concatenate([np.zeros((E.shape[1], 1)), E.sum(axis=0).cumsum(axis=1)], axis=1)
    return (total[:, length:] - total[:, :-length]).argmax(axis=1)


def _mean(E, valid, date, length):
    """Mean (m, length) of the excess `E` (m, Q, n) from the dates (Q,) on, of those values that are there."""
    m, Q, n = E.shape
    at = date[:, None] + np.arange(length)
    inside = at < n
    at = np.minimum(at, n - 1)
    rows = np.arange(Q)[:, None]
    seen = inside & valid[rows, at]
    return np.where(seen, E[:, rows, at], 0).sum(axis=1) / np.maximum(seen.sum(axis=0), 1)


def _best_fit(E, patterns):
    """The date (Q,) at which each series' own pattern (Q, m, length) fits its excess `E` (m, Q, n) best."""
    n, length = E.shape[2], patterns.shape[2]
    scores = np.stack([np.einsum("mql,qml->q", E[:, :, d:d + length], patterns) for d in range(n - length + 1)])
    return scores.argmax(axis=0)
