"""Pixels as a stream: what lets one function serve an array in memory and a raster larger than memory."""

from dataclasses import dataclass

import numpy as np

CHUNK = 8192


def blocks(Y, size=CHUNK):
    """
    Yield the pixels of `Y` as `(L, n)` arrays, in order.

    Parameters
    ----------
    Y : ndarray (L, N), or any iterable of (L, n) arrays that can be gone through more than once
        An array is cut into views of `size` pixels; anything else is passed on as it comes.
    """
    if isinstance(Y, np.ndarray):
        for start in range(0, Y.shape[1], size):
            yield Y[:, start:start + size]
    else:
        yield from Y


@dataclass(frozen=True)
class Moments:
    """
    First and second moments of a scene, accumulated in float64 in one pass.

    Attributes
    ----------
    N : int
        Number of pixels.
    mean : ndarray (L,)
        Mean spectrum.
    R : ndarray (L, L)
        Correlation matrix Y Y^T / N, not centred.
    """

    N: int
    mean: np.ndarray
    R: np.ndarray

    @property
    def K(self):
        """Covariance matrix (L, L)."""
        return self.R - np.outer(self.mean, self.mean)


def moments(Y):
    """Moments of the pixels `Y`, an array (L, N) or a stream of blocks (see `blocks`)."""
    N, total, R = 0, 0.0, 0.0
    for block in blocks(Y):
        for part in blocks(block):
            part = part.astype(np.float64, copy=False)
            N += part.shape[1]
            total = total + part.sum(axis=1)
            R = R + part @ part.T
    if N == 0:
        raise ValueError("There are no pixels to work on.")
    return Moments(N, total / N, R / N)


def signs(U):
    """
    Signs (n,) that turn the columns of `U` (L, n) so that the largest entry of each is positive.

    An eigenvector or singular vector of a value of its own is determined up to its sign, which LAPACK's builds choose
    each in their own way: `U * signs(U)`, and what is drawn at random in that basis, does not hang on it.
    """
    return np.sign(U[np.abs(U).argmax(axis=0), np.arange(U.shape[1])])
