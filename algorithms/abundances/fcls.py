"""Fully constrained least squares."""

from functools import partial

from .active_set import minimise
from .linear_model import check_endmembers, estimate


def fcls(Y, M):
    """
    Abundances by fully constrained least squares: min ||y - M a||^2 subject to a >= 0, 1^T a = 1 in every pixel.

    Parameters
    ----------
    Y : ndarray (L, N)
        Pixels of any real dtype.
    M : ndarray (L, P)
        Endmembers, in the units of `Y`, affinely independent.

    Returns
    -------
    Abundances
        `A` is nonnegative and sums to one to rounding.

    Raises
    ------
    ValueError
        Endmembers that cannot be told apart (see `check_endmembers`), or of another number of bands than `Y`.

    References
    ----------
    D. Heinz, C.-I Chang, Fully constrained least squares linear spectral mixture analysis method for material
    quantification in hyperspectral imagery, IEEE TGRS 39(3), 2001. Departure: both constraints hold exactly (see
    `minimise`), where the paper appends the sum to one as a weighted row.
    """
    check_endmembers(M, sum_to_one=True)
    return estimate(Y, M, partial(minimise, sum_to_one=True))
