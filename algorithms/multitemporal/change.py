"""What changed in a sequence of abundances: how much, at which date, and from which endmember into which."""

from dataclasses import dataclass

import numpy as np

UNCHANGED = 1   # the class of pixels without a change, in `date_of_change`
MOST = 99       # classes that a code of `transition_codes` has two digits for


@dataclass(frozen=True)
class Followed:
    """
    Attributes
    ----------
    first, last : ndarray (P, N)
        Abundances at the first and the last date at which a pixel is known; NaN where it is known at one date or none.
    steps : ndarray (T-1, N)
        How far the abundances of each date but the first are from those before (see `index`); NaN where unknown.
    """

    first: np.ndarray
    last: np.ndarray
    steps: np.ndarray


def index(A, B):
    """
    Half the l1 distance between abundances `A` and `B` (P, N): (N,).

    The share of a pixel that is covered by another endmember: 0 for no change, 1 for a pure pixel that becomes another
    one, for abundances that are not negative and sum to one.
    """
    return np.abs(A - B).sum(axis=0) / 2


def follow(A, valid=None):
    """
    Every pixel from each date at which it is known to the next such date, whatever lies between.

    A pixel unknown at the dates between has NaN in their steps; the whole difference is that of the date at which it
    is known again.

    Parameters
    ----------
    A : ndarray (T, P, N)
        Abundances, the endmembers in one order at all dates.
    valid : ndarray (T, N) of bool, optional
        Where they are known: others may hold anything. None: wherever they are finite.

    Returns
    -------
    Followed

    Raises
    ------
    ValueError
        Fewer than two dates, or arrays that do not fit.
    """
    if A.ndim != 3 or len(A) < 2:
        raise ValueError(f"Changes need the abundances of at least two dates; these have the shape {A.shape}.")
    valid = np.isfinite(A).all(axis=1) if valid is None else np.asarray(valid, dtype=bool)
    if valid.shape != (len(A), A.shape[2]):
        raise ValueError(f"The mask of known pixels has the shape {valid.shape}, the abundances need "
                         f"{(len(A), A.shape[2])}.")
    first, last = np.full((2, *A.shape[1:]), np.nan, dtype=A.dtype)
    steps = np.full((len(A) - 1, A.shape[2]), np.nan, dtype=A.dtype)
    seen = np.zeros(A.shape[2], dtype=bool)
    for t, (A_t, good) in enumerate(zip(A, valid)):
        again, new = good & seen, good & ~seen
        if t:
            steps[t - 1, again] = index(A_t[:, again], last[:, again])
        first[:, new] = A_t[:, new]
        last[:, good] = A_t[:, good]
        seen |= good
    once = ~np.isfinite(steps).any(axis=0)
    first[:, once] = last[:, once] = np.nan
    return Followed(first, last, steps)


def date_of_change(steps, threshold):
    """
    The date, from 1, to which the largest step of every pixel leads, as integers (N,).

    The first of equal steps counts. 1, which no step leads to, is for pixels without a step above `threshold`; 0 for
    those without any known step.

    Parameters
    ----------
    steps : ndarray (T-1, N)
    threshold : float
        From 0 to 1.
    """
    if not 0 <= threshold <= 1:
        raise ValueError(f"The threshold of a change is {threshold:g}: it must be between 0 and 1.")
    known = np.isfinite(steps)
    size = np.where(known, steps, -1)
    date = np.where(size.max(axis=0) > threshold, size.argmax(axis=0) + 2, UNCHANGED)
    return np.where(known.any(axis=0), date, 0)


def transition_codes(before, after):
    """
    One number for each pair of classes (N,), up to 99 each: a hundred times the one before plus the one after.

    0 where either is 0.
    """
    return np.where((before > 0) & (after > 0), 100 * before.astype(np.int64) + after, 0)


def transition_counts(codes, classes):
    """How many pixels of each pair of classes there are, (classes, classes) from rows to columns; 0 is not counted."""
    counts = np.bincount(codes, minlength=100 * (MOST + 1)).reshape(-1, 100)
    return counts[1:classes + 1, 1:classes + 1]
