"""From samples of events to what networks are initialised with and trained on: backgrounds, events, their patterns."""

from dataclasses import dataclass

import numpy as np

from ..blind.divergence import check_nonnegative

TINY = 1e-12
STEPS = 300         # multiplicative steps to a background's coefficients
ROUNDS = 5          # of aligning events whose dates are not known
BRIGHTEST = 0.999   # quantile of a feature that becomes 1
TRUSTED = 0.6       # of the unlabelled series, those that look most like background, of which the courses are made
PASSES = 2          # of leaving out the others
EARLY = 0.3         # of a pattern at its strongest date; with less on its first dates it has not begun
LITTLE = 0.2        # of a pattern at its strongest date; with less on all later dates it is over


class Indistinct(ValueError):
    """Samples of a class of events that are like the background; `number` is the class, from 1."""

    def __init__(self, number):
        self.number = number
        super().__init__(f"The samples of class {number} do not differ from the background at their dates. Check the "
                         f"dates and the class, take changes of both signs into account, or fewer background courses.")


@dataclass(frozen=True)
class Features:
    """
    What of a series networks are shown: bands averaged in groups, relative, and how far they are from the background.

    Attributes
    ----------
    groups : ndarray (m,) of int
        The group of neighbouring bands, 0..g-1, to which each band belongs.
    scale : ndarray (g,)
        Nearly the largest value of each group, which becomes 1.
    courses : ndarray (J, g, n) or None
        Courses over all dates of which a series' own background is made (see `take_apart`). Features are then its gains
        over that, and its losses: a nonnegative model only adds, so that an event which darkens the ground adds nothing
        but to these. None: features are the values themselves.
    """

    groups: np.ndarray
    scale: np.ndarray
    courses: np.ndarray | None

    @classmethod
    def of(cls, X, valid, most):
        """Relative values of series `X` (m, Q, n) in at most `most` groups of bands; what is not valid is no matter."""
        groups = np.concatenate([np.full(len(part), number) for number, part in
                                 enumerate(np.array_split(np.arange(len(X)), min(most, len(X))))])
        grouped = _grouped(X, groups)
        scale = np.array([np.quantile(band[valid], BRIGHTEST) for band in grouped])
        if not (scale > 0).all():
            raise ValueError(f"Band {int(np.flatnonzero(groups == (scale <= 0).argmax())[0]) + 1} of those "
                             f"used is 0 in nearly all samples and tells nothing. Leave it out.")
        return cls(groups, scale, None)

    def __call__(self, X, valid):
        """Features (g or 2 g, Q, n), float32, of series `X` (m, Q, n); 0 where `valid` (Q, n) is not."""
        values = (_grouped(np.where(valid, X, 0), self.groups) / self.scale[:, None, None]).astype(np.float32)
        if self.courses is not None:
            change = _difference(values, valid, self.courses, np.full(X.shape[1], X.shape[2]), 0)
            values = np.concatenate([np.maximum(change, 0), np.maximum(-change, 0)])
        return values


def _grouped(X, groups):
    """Means (g, Q, n) over groups of bands of `X` (m, Q, n)."""
    starts = np.searchsorted(groups, np.arange(groups[-1] + 1))
    return np.add.reduceat(X, starts, axis=0, dtype=np.float64) / np.bincount(groups)[:, None, None]


@dataclass(frozen=True)
class EventSamples:
    """
    Samples taken apart, with all that networks learn from.

    Attributes
    ----------
    X : ndarray (m, Q, n) float32
        Features of all samples; 0 where not valid.
    S : ndarray (m, Q, n) float32
        What of them is event: their class's pattern at their date, as strong as fits best, and at most X.
    valid : ndarray (Q, n) of bool
    label : ndarray (Q,) of int
        0 for event-free, otherwise the class, 1..C.
    date : ndarray (Q,) of int
        When the event begins, from 0, as given or as found; -1 for event-free ones.
    patterns : ndarray (C, m, length)
        Mean course of each class of events, of which a sample's own is a multiple.
    backgrounds : ndarray (J, m, n)
        Courses of which backgrounds are made.
    windows : ndarray (m, E, length)
        What each of the E event samples differs from its background, from its date on; in their order.
    strength : ndarray (E,)
        Of which multiple of its class's pattern.
    free : (ndarray (m, F, n), ndarray (F, n) of bool)
        Series that are free of events, or look so, and which of their dates are valid.
    """

    X: np.ndarray
    S: np.ndarray
    valid: np.ndarray
    label: np.ndarray
    date: np.ndarray
    patterns: np.ndarray
    backgrounds: np.ndarray
    windows: np.ndarray
    strength: np.ndarray
    free: tuple

    def mixtures(self, count, rng, changes):
        """
        Series to train on, of which what is event is known: events of the samples moved to other pixels and dates.

        What a sample differs from its own background is added to another series at a date drawn evenly from those that
        leave half of the event in it. A third of the series stays without. With `changes`, features are gains and
        losses, and what one gains its counterpart loses.

        Parameters
        ----------
        count : int
        rng : numpy.random.Generator
        changes : bool

        Returns
        -------
        X, S : ndarray (m, count, n) float32
        valid : ndarray (count, n) of bool
        """
        series, seen = self.free
        n, C, length = series.shape[2], len(self.patterns), self.patterns.shape[2]
        kinds, host = self.label[self.label > 0], rng.integers(0, series.shape[1], count)
        X, S, valid = series[:, host].astype(np.float64), np.zeros((len(series), count, n)), seen[host]
        guests = np.array([rng.choice(np.flatnonzero(kinds == k)) for k in rng.integers(1, C + 1, count)], dtype=int)
        date = rng.integers(0, n - -(-length // 2) + 1, count)
        planted = np.arange(count) >= count // 3
        half = len(series) // 2
        for lag in range(length):
            which = np.flatnonzero(planted & (date + lag < n))
            at, guest = date[which] + lag, guests[which]
            new = X[:, which, at] + self.windows[:, guest, lag]
            X[:, which, at] = np.maximum(new - np.roll(new, half, axis=0) if changes else new, 0)
            S[:, which, at] = np.minimum(self.strength[guest] * self.patterns[kinds[guest] - 1, :, lag].T,
                                         X[:, which, at])
        return np.where(valid, X, 0).astype(np.float32), np.where(valid, S, 0).astype(np.float32), valid


def take_apart(X, valid, label, date, length, rng, *, unlabelled=None, backgrounds=8):
    """
    Split samples into background and event, and find the pattern of each class.

    Series without events are factorised into a few background courses over all dates (Kullback-Leibler NMF of the whole
    series). With `unlabelled` series of the same scene, of which most may be free of events, these are factorised too,
    and those that exceed their background most are left out, twice: courses of a few samples alone would fit these far
    better than any other pixel. The background of an event sample is what the courses, fitted to the dates outside the
    event, say. A class's pattern is the mean of what its samples differ from that, aligned at their dates, where it is
    positive. S is the multiple of the pattern
    that fits a sample's difference best (least squares).

    Parameters
    ----------
    X : ndarray (m, Q, n)
        Features, not negative.
    valid : ndarray (Q, n) of bool
    label : ndarray (Q,) of int
        0 for event-free samples, otherwise the class, 1..C.
    date : ndarray (Q,) of int
        The date at which an event begins, from 0; -1 where it is not known: then it is where the sample exceeds its
        background most, refined by where the class's pattern fits best, and moved to where that pattern begins if no
        sample of the class has a date.
    length : int
        Dates that an event lasts at most.
    rng : numpy.random.Generator
        For the start of the factorisation.
    unlabelled : (ndarray (m, U, n), ndarray (U, n) of bool), optional
        Features of further series, and which of their dates are valid.
    backgrounds : int
        Background courses at most; there are no more than series they are made of.

    Returns
    -------
    EventSamples

    Raises
    ------
    ValueError
        See `check_samples`; Indistinct where a class does not differ from the background.
    """
    check_samples(X, label, length)
    n, C, free = X.shape[2], int(label.max()), label == 0
    X = np.where(valid, X, 0).astype(np.float64)
    V, hosts = courses_of(X[:, free], valid[free], unlabelled, length, backgrounds, rng)
    date, planted = np.array(date), np.flatnonzero(~free)
    unknown = planted[date[planted] < 0]
    more = np.maximum(_difference(X[:, unknown], valid[unknown], V, np.full(len(unknown), n), length), 0)

    def look():
        """What is at the dates, where it is valid, and the pattern of each class."""
        found = _difference(X[:, planted], valid[planted], V, date[planted], length)
        windows, seen = _windows(found, valid[planted], date[planted], length)
        return windows, seen, np.stack([_pattern(windows[:, label[planted] == k], seen[label[planted] == k])
                                        for k in range(1, C + 1)])

    known = np.isin(np.arange(1, C + 1), label[planted[date[planted] >= 0]])
    date[unknown] = _most(more, length)
    for _ in range(ROUNDS):
        windows, seen, patterns = look()
        moved = _best_fit(_difference(X[:, unknown], valid[unknown], V, date[unknown], length),
                          patterns[label[unknown] - 1])
        late = np.where(known, 0, [beginning(pattern) for pattern in patterns])   # a window may begin before its event
        moved = np.minimum(moved + late[label[unknown] - 1], n - 1)
        if (moved == date[unknown]).all():
            break
        date[unknown] = moved
    windows, seen, patterns = look()
    empty = patterns.reshape(C, -1).max(axis=1) <= 0
    if empty.any():
        raise Indistinct(int(empty.argmax()) + 1)
    S = np.zeros_like(X)
    own = patterns[label[planted] - 1].transpose(1, 0, 2)
    strength = np.maximum((windows * own).sum(axis=(0, 2)), 0) / np.maximum((own**2 * seen).sum(axis=(0, 2)), TINY)
    for lag in range(length):
        inside = date[planted] + lag < n
        which, at = planted[inside], date[planted][inside] + lag
        S[:, which, at] = np.minimum(strength[inside] * own[:, inside, lag], X[:, which, at])
    return EventSamples(X.astype(np.float32), S.astype(np.float32), valid, label, date, patterns, V,
                        windows, strength, hosts)


def check_samples(X, label, length):
    """
    Raise ValueError where samples `X` (m, Q, n) of classes `label` (Q,) cannot be learned from.

    Negative values, a series shorter than the pattern, no event-free sample, or a class of less than two samples.
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


def courses_of(X, valid, unlabelled, length, count, rng):
    """
    Background courses (J, m, n) of event-free series, and of unlabelled ones that look like background.

    And all these series, with what of them is valid.
    """
    if unlabelled is None or not unlabelled[0].shape[1]:
        return _courses(X, valid, min(count, X.shape[1]), rng), (X, valid)
    others, seen = unlabelled
    others = np.where(seen, others, 0).astype(np.float64)
    kept = np.ones(others.shape[1], dtype=bool)
    for round in range(PASSES + 1):
        hosts = np.concatenate([X, others[:, kept]], axis=1), np.concatenate([valid, seen[kept]])
        V = _courses(*hosts, min(count, hosts[0].shape[1]), rng)
        if round < PASSES:
            never = np.full(others.shape[1], others.shape[2])
            more = np.maximum(_difference(others, seen, V, never, length), 0)
            most = _sums(more, length).max(axis=1)
            kept = most <= np.quantile(most, TRUSTED)
    return V, hosts


def _courses(X, valid, J, rng):
    """J background courses (J, m, n) of event-free series `X` (m, Q, n), by KL-NMF that leaves out invalid values."""
    m, Q, n = X.shape
    data, seen = _flat(X), _flat(np.broadcast_to(valid.astype(float), X.shape))
    mean = data.sum(axis=1) / np.maximum(seen.sum(axis=1), 1)
    W = np.maximum(mean, TINY)[:, None] * rng.uniform(0.5, 1.5, (m * n, J))
    H = rng.uniform(0.5, 1.5, (J, Q)) / J
    for _ in range(STEPS):
        H *= W.T @ (data / np.maximum(W @ H, TINY)) / np.maximum(W.T @ seen, TINY)
        W *= (data / np.maximum(W @ H, TINY)) @ H.T / np.maximum(seen @ H.T, TINY)
    V = (W * np.maximum(H.mean(axis=1), TINY)).T.reshape(J, n, m).transpose(0, 2, 1)
    never, dates = ~valid.any(axis=0), np.arange(n)
    if never.any():   # a date that none of the series has is as its neighbours would have it
        V[:, :, never] = np.stack([np.interp(dates[never], dates[~never], course[~never])
                                   for course in V.reshape(-1, n)]).reshape(J, m, -1)
    return V


def _flat(X):
    """Series (m, Q, n) as columns (n m, Q)."""
    m, Q, n = X.shape
    return X.transpose(2, 0, 1).reshape(n * m, Q)


def _difference(X, valid, V, date, length):
    """
    What series `X` (m, Q, n) differ from their background, 0 where not valid.

    The background is fitted to the dates that do not belong to an event that begins at `date` (Q,), n for none.
    """
    m, Q, n = X.shape
    since = np.arange(n) - date[:, None]
    outside = valid & ~((since >= 0) & (since < length))
    D, data = _flat(V.transpose(1, 0, 2)).astype(X.dtype), _flat(X)
    seen = _flat(np.broadcast_to(outside.astype(X.dtype), X.shape))
    H = np.full((len(V), Q), 1 / len(V), X.dtype)
    weights, target = np.maximum(D.T @ seen, TINY), seen * data
    for _ in range(STEPS):
        H *= D.T @ (target / np.maximum(D @ H, TINY)) / weights
    return np.where(valid, (data - D @ H).reshape(n, m, Q).transpose(1, 2, 0), 0)


def _sums(E, length):
    """The sum of `E` (m, Q, n) over features and `length` dates, from each date on: (Q, n - length + 1)."""
    total = np.concatenate([np.zeros((E.shape[1], 1)), E.sum(axis=0).cumsum(axis=1)], axis=1)
    return total[:, length:] - total[:, :-length]


def _most(E, length):
    """The date (Q,) from which `E` (m, Q, n) is largest over `length` dates."""
    return _sums(E, length).argmax(axis=1)


def _windows(E, valid, date, length):
    """What stands in `E` (m, Q, n) from each series' date on, (m, Q, length), and where that is valid, (Q, length)."""
    n = E.shape[2]
    at, rows = date[:, None] + np.arange(length), np.arange(len(date))[:, None]
    inside, at = at < n, np.minimum(at, n - 1)
    seen = inside & valid[rows, at]
    return np.where(seen, E[:, rows, at], 0), seen


def _pattern(windows, seen):
    """
    The positive part of the mean (m, length) of differences (m, Q, length) where they are `seen` (Q, length).

    Last dates on which little is left are zero: the event is over.
    """
    mean = np.maximum(windows.sum(axis=1) / np.maximum(seen.sum(axis=0), 1), 0)
    left = np.linalg.norm(mean, axis=0)
    mean[:, lasting(np.where(left >= LITTLE * left.max(), mean, 0)):] = 0
    return mean


def beginning(pattern):
    """How many dates pass before a pattern (m, length) begins."""
    size = np.linalg.norm(pattern, axis=0)
    return int((size >= EARLY * size.max()).argmax())


def lasting(pattern):
    """How many dates a pattern (m, length) lasts: up to the last that is not zero."""
    present = np.flatnonzero(pattern.any(axis=0))
    return int(present[-1]) + 1 if present.size else 0


def _best_fit(E, patterns):
    """The date (Q,) at which each series' own pattern (Q, m, length) fits its differences `E` (m, Q, n) best."""
    n, length = E.shape[2], patterns.shape[2]
    scores = np.stack([np.einsum("mql,qml->q", E[:, :, d:d + length], patterns) for d in range(n - length + 1)])
    return scores.argmax(axis=0)
