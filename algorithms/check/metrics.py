"""Errors of endmembers and abundances against a reference, and the assignment that must come first."""

import numpy as np
from scipy.optimize import linear_sum_assignment


def sad(M, M_hat):
    """
    Spectral angle between matching columns.

    The angle of the unit vectors u and v is taken as 2 atan2(|u - v|, |u + v|), which is exact to rounding also near
    zero, where the arccosine of eq. 24 loses half of the digits.

    Parameters
    ----------
    M, M_hat : ndarray (L, P)
        Reference and estimated spectra, matched (see `match`).

    Returns
    -------
    ndarray (P,)
        Angles in radians; NaN where a spectrum is zero.

    References
    ----------
    Abdelgawad et al., CUR-HU, 2024, eq. 24.
    """
    _same_shape(M, M_hat, "spectra")
    U, V = _unit(M), _unit(M_hat)
    return 2 * np.arctan2(np.linalg.norm(U - V, axis=0), np.linalg.norm(U + V, axis=0))


def zscored_sad(M, M_hat):
    """
    Spectral angle between matching columns after each spectrum is centred and divided by its standard deviation.

    The quantity behind several published tables (those made with the evaluation code of KbSNMF); it is not to be
    compared with `sad`. Same parameters and result as `sad`; NaN where a spectrum is constant.
    """
    _same_shape(M, M_hat, "spectra")
    return sad(M - np.mean(M, axis=0, dtype=np.float64), M_hat - np.mean(M_hat, axis=0, dtype=np.float64))


def rmse(A, A_hat):
    """
    Root-mean-square error of each endmember's abundances, (P,), for `A` and `A_hat` (P, N).

    References
    ----------
    Abdelgawad et al., CUR-HU, 2024, eq. 23.
    """
    _same_shape(A, A_hat, "abundances")
    return np.sqrt(np.mean(_difference(A, A_hat) ** 2, axis=1))


def r2(A, A_hat):
    """
    Coefficient of determination of each endmember's abundances, (P,), for `A` (reference) and `A_hat` (P, N).

    1 - sum (A - A_hat)^2 / sum (A - mean A)^2: 1 is perfect, 0 is as good as the mean, and there is no lower bound.
    NaN where the reference is constant.
    """
    _same_shape(A, A_hat, "abundances")
    spread = np.sum((A - np.mean(A, axis=1, keepdims=True, dtype=np.float64)) ** 2, axis=1)
    error = np.sum(_difference(A, A_hat) ** 2, axis=1)
    return 1 - np.divide(error, spread, out=np.full(len(spread), np.nan), where=spread > 0)


def assign(cost):
    """
    One column for every row, no column twice, with the least total cost.

    Parameters
    ----------
    cost : ndarray (P, Q), Q >= P

    Returns
    -------
    ndarray of int (P,)
        Column assigned to each row.
    """
    cost = np.asarray(cost, dtype=np.float64)
    if cost.shape[0] > cost.shape[1]:
        raise ValueError(f"{cost.shape[0]} references cannot be matched with {cost.shape[1]} estimates: "
                         f"give at least as many estimates.")
    if not np.all(np.isfinite(cost)):
        raise ValueError("A cost of the assignment is not finite: leave out spectra that are zero or hold NaN.")
    return linear_sum_assignment(cost)[1]


def match(M, M_hat):
    """
    Best assignment of the estimated spectra to the reference, by the sum of their angles.

    Parameters
    ----------
    M : ndarray (L, P)
        Reference spectra.
    M_hat : ndarray (L, Q), Q >= P
        Estimated spectra.

    Returns
    -------
    ndarray of int (P,)
        `M_hat[:, match(M, M_hat)]` are the estimates in the reference's order.
    """
    if M.shape[0] != M_hat.shape[0]:
        raise ValueError(f"The reference spectra have {M.shape[0]} bands, the estimated ones {M_hat.shape[0]}: "
                         f"resample one to the other's bands.")
    return assign(np.stack([sad(np.broadcast_to(m[:, None], M_hat.shape), M_hat) for m in M.T]))


def _unit(M):
    M = np.asarray(M, dtype=np.float64)
    norm = np.linalg.norm(M, axis=0)
    return M / np.where(norm > 0, norm, np.nan)


def _difference(A, A_hat):
    return np.asarray(A, dtype=np.float64) - A_hat


def _same_shape(first, second, what):
    if first.shape != second.shape:
        raise ValueError(f"The reference {what} have the shape {first.shape}, the estimated ones {second.shape}: "
                         f"match them first.")
