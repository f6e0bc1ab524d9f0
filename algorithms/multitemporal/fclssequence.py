"""Each image unmixed by itself: VCA and fully constrained least squares, endmembers in one order at all dates."""

import numpy as np

from ..abundances.active_set import minimise
from ..abundances.fcls import fcls
from ..endmembers.vca import vca
from .sequence import SequenceUnmixing, aligned, validity


def endmembers_by_date(Y, P, rng, valid=None, restarts=1):
    """
    Endmembers (T, L, P) of every date by VCA, put into one order (see `sequence.aligned`).

    Parameters
    ----------
    Y : ndarray (T, L, N)
    P : int
    rng : numpy.random.Generator
    valid : ndarray (T, N) of bool, optional
    restarts : int
        Of VCA, on each date (see `vca`).
    """
    valid = validity(Y, valid)
    found = [vca(image[:, good], P, rng, restarts=restarts).E for image, good in zip(Y, valid)]
    return np.stack([M[:, order] for M, order in zip(found, aligned(found))])


def fclssequence(Y, P=None, rng=None, valid=None, M=None, restarts=1, R=None):
    """
    Abundances of every date by FCLS, with that date's own endmembers or with given ones for all dates.

    Nothing passes from one date to the next but the order of the endmembers: the baseline of methods for sequences.

    Parameters
    ----------
    Y : ndarray (T, L, N)
    P, rng, restarts
        See `endmembers_by_date`; not used with `M`.
    valid : ndarray (T, N) of bool, optional
        Others come out as NaN.
    M : ndarray (L, P), optional
        Endmembers of all dates, for instance those of `sequence.settled`.
    R : ndarray (L, L), optional
        See `abundances`.

    Returns
    -------
    SequenceUnmixing

    References
    ----------
    Borsoi, Imbiriba and Closas, IEEE TIP 32, 2023, section VI (its FCLS).
    """
    valid = validity(Y, valid)
    M = endmembers_by_date(Y, P, rng, valid, restarts) if M is None else np.stack([M] * len(Y))
    return SequenceUnmixing(abundances(Y, M, valid, R), M)


def abundances(Y, M, valid, R=None):
    """
    Abundances (T, P, N) of the pixels `Y` (T, L, N) of each date by FCLS with its `M` (T, L, P); NaN where not `valid`.

    With `R`, the covariance (L, L) over the bands of what endmembers leave, they minimise (y - M a)^T R^-1 (y - M a):
    where that is the spectra's variability, which is smooth over the bands, it is told from the fractions.
    """
    A = np.full((len(Y), M.shape[2], Y.shape[2]), np.nan, dtype=np.float32)
    for image, good, M_t, A_t in zip(Y, valid, M, A):
        if R is None:
            A_t[:, good] = fcls(image[:, good], M_t).A
        else:
            B = np.linalg.solve(R, M_t)
            A_t[:, good] = minimise(M_t.T @ B, B.T @ image[:, good].astype(np.float64), sum_to_one=True)
    return A
