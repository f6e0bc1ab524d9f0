"""FUN: one Gram-Schmidt pass over the brightest residuals gives number and endmembers."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from ..pixels import blocks
from ..prepare.noise import RegressionNoise


@dataclass(frozen=True)
class FUN:
    """
    What FUN found.

    Attributes
    ----------
    rank : int
        Number of endmembers: one more than orthogonal directions, as the mean was subtracted.
    indices : ndarray of int (rank,)
        Positions of the pixels chosen, in the order in which they were.
    residuals : ndarray (directions + 1,)
        Largest norm that is left after 0, 1, ... directions, expected noise taken off, in percent of the root mean
        square norm of a pixel.
    reached : bool
        The limit of endmembers ended it, not the percentage.
    """

    rank: int
    indices: np.ndarray
    residuals: np.ndarray
    reached: bool


def fun(Y, moments, noise=None, percentage=1.0, n_max=None, callback=None):
    """
    Number and positions of endmembers by Gram-Schmidt orthogonalisation.

    From the pixels x = y - mean: take the one with the largest residual norm, q; u = q / ||q||; project all,
    v = u^T X, and subtract, X <- X - u v. It ends where the largest residual norm is below P_f percent of the root
    mean square norm of a pixel.

    Parameters
    ----------
    Y : ndarray (L, N), or a stream of (L, n) blocks that can be gone through rank + 2 times
        Pixels, noise-removed by `noise.denoise` if `noise` is given.
    moments : Moments
        Of the pixels before any noise was removed.
    noise : RegressionNoise, optional
        The noise that was removed. What it leaves is expected in the residuals and taken off them.
    percentage : float
        P_f, 0 < percentage < 100.
    n_max : int, optional
        At most this many endmembers, 2 <= n_max <= min(L, N), which is the default.
    callback : callable(iteration, residual in percent) -> bool or None, optional
        True stops as though the limit were reached.

    Returns
    -------
    FUN

    Raises
    ------
    ValueError
        For a percentage or a limit outside its range.

    Notes
    -----
    The residuals are not stored: as u is orthogonal to all before it, u^T of the residual is u^T x, and norms lose
    its square. So memory is N numbers, and the data are gone through once per direction.

    The stopping rule's reading of P_f is ours; the paper's is not established. Before comparing, we take off each
    squared residual what noise alone would put into the largest of N pixels: with S the covariance of the noise
    left, T R_w T^T, projected off the directions found, that is tr S + Q^-1(1/N) sqrt(2 tr S^2). The first term is
    the expectation; without the second the count would grow with the number of pixels.

    Subtracting the mean leaves the last endmember within the span of the others: it is the pixel farthest from their
    affine hull in that span (ours). With noise-free pure pixels the result is exact.

    References
    ----------
    Guerra, Santos, Lopez and Sarmiento, A New Fast Algorithm for Linearly Unmixing Hyperspectral Images, IEEE TGRS
    53(12), 2015.
    """
    L = len(moments.mean)
    most = min(L, moments.N)
    n_max = most if n_max is None else n_max
    if not 0 < percentage < 100:
        raise ValueError(f"The percentage is {percentage:g}; it must lie between 0 and 100, as 1 does.")
    if not 2 <= n_max <= most:
        raise ValueError(f"At most {n_max} endmembers are to be looked for in {moments.N} pixels of {L} bands. "
                         f"Choose a limit from 2 to {most}.")
    T = noise.T if isinstance(noise, RegressionNoise) else np.eye(L)
    S = T * noise.variances @ T.T if noise is not None else np.zeros((L, L))
    mean, energy = T @ moments.mean, np.trace(T @ moments.R @ T.T)
    Q, chosen, indices, residuals = np.empty((L, 0)), np.empty((L, 0)), [], []
    squared, u = None, None
    while True:
        squared, index, x = _remove(Y, mean, u, squared)
        left = max(squared[index] - _largest_noise(S, Q, moments.N), 0.0)
        residuals.append(100 * np.sqrt(left / energy) if energy > 0 else 0.0)
        enough = residuals[-1] < percentage
        reached = not enough and Q.shape[1] == n_max - 1
        if enough or reached or (callback and callback(len(indices), residuals[-1])):
            break
        q = x - mean
        for _ in range(2):
            q = q - Q @ (Q.T @ q)
        u = q / np.linalg.norm(q)
        Q, chosen = np.column_stack([Q, u]), np.column_stack([chosen, x])
        indices.append(index)
    indices.append(_last(Y, mean, Q, chosen))
    return FUN(len(indices), np.array(indices), np.array(residuals), not enough)


def _remove(Y, mean, u, squared):
    """Squared residual norms without the part along `u`, the position of the largest, and that pixel."""
    parts, largest, found, pixel, start = [], -1.0, 0, None, 0
    for block in blocks(Y):
        for part in blocks(block):
            x = part - mean[:, None]
            if u is None:
                size = np.einsum("ij,ij->j", x, x)
            else:
                size = squared[start:start + x.shape[1]] - np.square(u @ x)
            parts.append(size)
            if size.size and size.max() > largest:
                i = int(size.argmax())
                largest, found, pixel = size[i], start + i, part[:, i].astype(np.float64)
            start += x.shape[1]
    return np.concatenate(parts), found, pixel


def _largest_noise(S, Q, N):
    """Squared norm that noise of covariance `S` reaches off the directions `Q`, in the largest of N pixels."""
    off = np.eye(len(S)) - Q @ Q.T
    S = off @ S @ off
    return np.trace(S) + norm.isf(1 / max(N, 3)) * np.sqrt(2 * np.einsum("ij,ij->", S, S))


def _last(Y, mean, Q, chosen):
    """Position of the pixel farthest from the affine hull of `chosen`, within the span of `Q` around the mean."""
    P = Q.T @ (chosen - mean[:, None])
    if P.shape[1] == 0:
        normal, offset = np.zeros(0), 0.0
    else:
        normal = np.linalg.svd((P[:, 1:] - P[:, :1]).T, full_matrices=True)[2][-1] if P.shape[1] > 1 else np.ones(1)
        offset = normal @ P[:, 0]
    direction = Q @ normal
    largest, found, start = -1.0, 0, 0
    for block in blocks(Y):
        if block.shape[1]:
            size = np.abs(direction @ (block - mean[:, None]) - offset)
            if size.max() > largest:
                largest, found = size.max(), start + int(size.argmax())
            start += block.shape[1]
    return found
