"""Unconstrained least squares."""

from .active_set import unconstrained
from .linear_model import check_endmembers, estimate


def ucls(Y, M):
    """
    Abundances by unconstrained least squares: min ||y - M a||^2 in every pixel.

    Parameters
    ----------
    Y : ndarray (L, N)
        Pixels of any real dtype.
    M : ndarray (L, P)
        Endmembers, in the units of `Y`, linearly independent.

    Returns
    -------
    Abundances
        `A` may be negative and sum to anything.

    Raises
    ------
    ValueError
        Endmembers that cannot be told apart (see `check_endmembers`), or of another number of bands than `Y`.
    """
    check_endmembers(M)
    return estimate(Y, M, unconstrained)
