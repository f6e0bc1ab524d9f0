"""Nonnegative least squares."""

from functools import partial

from .active_set import minimise
from .linear_model import check_endmembers, estimate


def nnls(Y, M):
    """
    Abundances by nonnegative least squares: min ||y - M a||^2 subject to a >= 0 in every pixel.

    Parameters
    ----------
    Y : ndarray (L, N)
        Pixels of any real dtype.
    M : ndarray (L, P)
        Endmembers, in the units of `Y`, linearly independent.

    Returns
    -------
    Abundances
        `A` is nonnegative and sums to anything; all zero in a pixel that no endmember resembles.

    Raises
    ------
    ValueError
        Endmembers that cannot be told apart (see `check_endmembers`), or of another number of bands than `Y`.
    """
    check_endmembers(M)
    return estimate(Y, M, partial(minimise, sum_to_one=False))
