"""Minimum noise fraction: components of a scene in the order of their signal-to-noise ratio, and back."""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigh

from .. import pixels

LOADING = 1e-8      # of the mean noise variance, added to a singular noise covariance
SINGULAR = 1e-13    # ratio of its eigenvalues below which it is one


@dataclass(frozen=True)
class MinimumNoiseFraction:
    """
    The transform X = V^T (Y - mean) and its inverse Y = U X + mean.

    Attributes
    ----------
    mean : ndarray (L,)
        Mean spectrum.
    mu : ndarray (L,)
        Variance of each component in units of its noise variance, descending: signal-to-noise ratio plus one.
    V : ndarray (L, L)
        Forward: a column per component, V^T S_N V = I.
    U : ndarray (L, L)
        Inverse, U = V^-T = S_N V: column i is the spectrum that one unit of component i adds.
    loading : float
        Variance added to the noise of every band because S_N was singular, else 0.
    """

    mean: np.ndarray
    mu: np.ndarray
    V: np.ndarray
    U: np.ndarray
    loading: float

    @property
    def snr(self):
        """Ratio of signal power to noise power of each component, mu - 1; not below zero."""
        return np.maximum(self.mu - 1, 0.0)

    def forward(self, Y, K=None):
        """The first `K` components (K, n) of the pixels `Y` (L, n), all by default; float64."""
        return self.V[:, :K].T @ (np.asarray(Y, dtype=np.float64) - self.mean[:, None])

    def inverse(self, X):
        """Pixels (L, n) from their first components `X` (K, n); those that are missing count as zero."""
        return from_components(X, self.U[:, :len(X)], self.mean)


def from_components(X, U, mean):
    """Pixels (L, n), float64, from any components `X` (K, n), the spectra `U` (L, K) they stand for, and the mean."""
    return U @ np.asarray(X, dtype=np.float64) + np.asarray(mean, dtype=np.float64)[:, None]


def mnf(moments, noise):
    """
    The minimum noise fraction transform of a scene whose noise covariance is known.

    Solves the generalised eigenproblem K v = mu S_N v in float64, K being the covariance of the pixels, with
    mu descending and V^T S_N V = I. mu is the variance of a component whose noise has variance one.

    Parameters
    ----------
    moments : Moments
        Of the pixels Y (L, N), see `pixels.moments`.
    noise : ndarray (L, L)
        Noise covariance S_N in squared input units: `noise.shift_difference_noise`, or the diagonal matrix of the
        variances of `noise.regression_noise`.

    Returns
    -------
    MinimumNoiseFraction

    Raises
    ------
    ValueError
        The shapes differ, a value is not finite, or there is no noise at all.

    Notes
    -----
    The signs, which the eigenproblem leaves open, are such that the largest element of each column of U by magnitude
    is positive. The published order is by increasing signal; here, as in use since, the best component comes first.
    Of the regression's residuals only the variances serve. Their full covariance is nearly empty in the directions of
    the signal, which is what the other bands predict: measured, mu reaches 1e16 on Samson and its last value is -4.7,
    the digits of float64 being used up. Diagonal, it is the noise that HySime assumes.
    A singular S_N (a noise-free band, or one that others repeat) is loaded with `LOADING` times its mean diagonal.

    References
    ----------
    Green, Berman, Switzer and Craig, IEEE TGRS 26(1), 1988.
    """
    K, S_N = moments.K, np.array(noise, dtype=np.float64)
    L = len(K)
    if S_N.shape != K.shape:
        raise ValueError(f"The noise covariance is {' x '.join(map(str, S_N.shape))} for {L} bands. Estimate it from "
                         "the same bands as the pixels.")
    if not np.isfinite(K).all() or not np.isfinite(S_N).all():
        raise ValueError("The pixels or their noise hold values that are not finite. Mask them first.")
    power = np.trace(S_N) / L
    if power <= 0:
        raise ValueError("No noise was found in any band, so components cannot be ordered by it. Choose the other "
                         "noise estimate, or use the scene as it is.")
    S_N = (S_N + S_N.T) / 2
    spread = np.linalg.eigvalsh(S_N)
    loading = LOADING * power if spread[0] <= SINGULAR * spread[-1] else 0.0
    S_N[np.diag_indices(L)] += loading
    mu, V = eigh(K, S_N)
    mu, V = mu[::-1], V[:, ::-1]
    U = S_N @ V
    signs = pixels.signs(U)
    return MinimumNoiseFraction(moments.mean, mu, V * signs, U * signs, loading)
