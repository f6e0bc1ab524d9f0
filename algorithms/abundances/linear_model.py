"""What all estimates of y = M a + e share: valid endmembers, and how well the abundances found explain the pixels."""

from dataclasses import dataclass

import numpy as np

from .products import products

DEPENDENT = 1e-7


@dataclass(frozen=True)
class Abundances:
    """
    Abundances and how well they explain each pixel.

    Attributes
    ----------
    A : ndarray (P, N)
        Abundances; NaN in pixels that hold values which are not finite.
    rmse : ndarray (N,)
        ||y - M a|| / sqrt(L), in the data's units.
    angle : ndarray (N,)
        Spectral angle between y and M a in radians; NaN where one of them is zero.

    Notes
    -----
    Both errors come from ||y||^2, M^T y and M^T M, by differences that lose half of the digits where the fit is
    perfect: an `angle` below 1e-7 and an `rmse` below 1e-7 of the pixel's own size are zero.
    """

    A: np.ndarray
    rmse: np.ndarray
    angle: np.ndarray


def estimate(Y, M, solve):
    """`Abundances` of the pixels `Y` (L, N) for valid endmembers `M` (L, P), where A = solve(M^T M, M^T Y)."""
    M = np.asarray(M, dtype=np.float64)
    C, q = products(Y, M)
    G = M.T @ M
    A = solve(G, C)
    return Abundances(A, *errors(G, C, q, A, len(M)))


def errors(G, C, q, A, L):
    """RMSE (N,) and spectral angle (N,) of the fits M A, from Gram pieces (see `Abundances`)."""
    along = np.einsum("pn,pn->n", C, A)
    energy = np.einsum("pn,pn->n", G @ A, A)
    rmse = np.sqrt(np.maximum(q - 2 * along + energy, 0) / L)
    across = np.sqrt(np.maximum(q * energy - along**2, 0))
    angle = np.arctan2(across, along)
    angle[(q <= 0) | (energy <= 0)] = np.nan
    return rmse, angle


def check_endmembers(M, names=None, sum_to_one=False):
    """
    Refuse endmembers that no method could tell apart.

    Parameters
    ----------
    M : ndarray (L, P)
        Endmembers, one per column.
    names : sequence of P str, optional
        What the errors call them; "endmember 1" and so on by default.
    sum_to_one : bool
        The method needs them to be affinely independent only: two of the same shape and different brightness differ,
        and one may be zero, the photometric shade.

    Raises
    ------
    ValueError
        No endmembers, more endmembers than bands, NaN or infinite values, a zero spectrum, two identical endmembers,
        or one that is a combination of others (to 1e-7 of its length, beyond which Gram matrices are singular).
    """
    M = np.asarray(M, dtype=np.float64)
    if M.ndim != 2 or M.shape[1] == 0:
        raise ValueError(f"Endmembers must be a matrix of bands x endmembers, not of shape {M.shape}: "
                         f"give at least one.")
    L, P = M.shape
    names = [f"endmember {k + 1}" for k in range(P)] if names is None else list(names)
    if P > L:
        raise ValueError(f"There are {P} endmembers but only {L} bands: choose at most {L} endmembers.")
    for k in np.flatnonzero(~np.isfinite(M).all(axis=0))[:1]:
        bands = np.flatnonzero(~np.isfinite(M[:, k]))
        raise ValueError(f"The spectrum of {names[k]} is not a number in {bands.size} of {L} bands, the first being "
                         f"band {bands[0] + 1}: leave out that endmember or those bands.")
    for k in np.flatnonzero(~M.any(axis=0))[:0 if sum_to_one else 1]:
        raise ValueError(f"The spectrum of {names[k]} is zero in all {L} bands, which only fully constrained least "
                         f"squares can use (as shade): leave it out.")
    for i in range(P):
        apart = np.linalg.norm(M[:, i + 1:] - M[:, [i]], axis=0)
        for j in np.flatnonzero(apart <= DEPENDENT * np.linalg.norm(M[:, i]))[:1]:
            raise ValueError(f"The spectra of {names[i]} and {names[i + 1 + j]} are identical: leave one of them out.")
    k = _dependent(M, sum_to_one)
    if k is not None:
        raise ValueError(f"The spectrum of {names[k]} is a combination of the other endmembers, to {DEPENDENT:g} of "
                         f"its length, so its abundance cannot be told: leave it out.")


def _dependent(M, sum_to_one):
    """Column of `M` that the columns before it already span (affinely if `sum_to_one`), or None."""
    first = int(sum_to_one)
    X = M[:, first:] - M[:, :1] if sum_to_one else M
    X = X / np.linalg.norm(X, axis=0)
    if X.shape[1] == 0 or np.linalg.svd(X, compute_uv=False)[-1] > DEPENDENT:
        return None
    return first + int(np.argmin(np.abs(np.diagonal(np.linalg.qr(X, mode="r")))))
