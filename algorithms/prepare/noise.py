"""How strong the noise is, band by band, and the scene without it."""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from ..pixels import moments

RIDGE = 1e-12


@dataclass(frozen=True)
class RegressionNoise:
    """
    Noise by multiple regression: a linear operator, so that it can be applied to any block of pixels.

    Attributes
    ----------
    B : ndarray (L, L)
        The estimated noise of pixels Y is W = B Y.
    variances : ndarray (L,)
        Diagonal of R_w = W W^T / N, in squared input units.
    """

    B: np.ndarray
    variances: np.ndarray

    @property
    def T(self):
        """Operator of the noise-removed scene, X = T Y: identity minus `B`, (L, L)."""
        return np.eye(len(self.B)) - self.B

    def denoise(self, Y):
        """Pixels `Y` (L, n) without their estimated noise, float64: X = Y - B Y."""
        Y = np.asarray(Y, dtype=np.float64)
        return Y - self.B @ Y


def regression_noise(moments):
    """
    Noise as what the other bands do not predict.

    Each band is regressed on all others over the pixels, without an intercept, and the residual
    w_i = y_i - beta_i^T Y_{-i} is its noise. All bands at once, with C = (Y Y^T + eps I)^-1::

        W = diag(C)^-1 C Y

    Parameters
    ----------
    moments : Moments
        Of the pixels Y (L, N), see `pixels.moments`; more pixels than bands.

    Returns
    -------
    RegressionNoise

    Raises
    ------
    ValueError
        With fewer than two bands, no more pixels than bands, or values that are not finite or all zero.

    Notes
    -----
    The data are not centred. eps is `RIDGE` times the mean band energy tr(Y Y^T)/L, so that scaling the scene
    changes nothing (the authors' code adds 1e-6 to the sum, whatever its scale). It is there for duplicate,
    empty and noise-free bands only: their noise comes out as zero. Estimated variances fall short of the
    true ones by the factor 1 - (L-1)/N of an ordinary regression, and exceed them by the part of a band's
    noise that cannot be told from signal. A scene so smooth that neighbouring bands explain everything has no
    noise in this sense.

    References
    ----------
    Roger and Arnold, Int. J. Remote Sensing 17(10), 1996; Bioucas-Dias and Nascimento, IEEE TGRS 46(8), 2008;
    as used in Abdelgawad et al., CUR-HU, Remote Sensing 2024, section 4.2.
    """
    R = moments.R
    L = len(R)
    if L < 2:
        raise ValueError(f"Noise by regression needs at least 2 bands; there are {L}.")
    if moments.N <= L:
        raise ValueError(f"Noise by regression needs more pixels than bands; there are {moments.N} pixels and "
                         f"{L} bands. Use more pixels or fewer bands.")
    energy = np.trace(R) / L
    if not np.isfinite(R).all():
        raise ValueError("The pixels hold values that are not finite. Mask them first.")
    if energy <= 0:
        raise ValueError("All pixels are zero: there is nothing to estimate noise from.")
    C = cho_solve(cho_factor(R / energy + RIDGE * np.eye(L)), np.eye(L))
    B = C / np.diag(C)[:, None]
    variances = np.einsum("ij,jk,ik->i", B, R, B, optimize=True)
    return RegressionNoise(B, np.maximum(variances, 0.0))


def shift_differences(cube, valid=None):
    """
    Differences of pixels and their right neighbours, as an (L, n) array.

    Parameters
    ----------
    cube : ndarray (L, rows, cols)
        A scene, or a band of full rows of it: rows are independent of each other.
    valid : ndarray of bool (rows, cols), optional
        False for masked pixels: no difference is taken with them.
    """
    difference = cube[:, :, 1:].astype(np.float64) - cube[:, :, :-1]
    if valid is None:
        return difference.reshape(len(cube), -1)
    return difference[:, valid[:, 1:] & valid[:, :-1]]


def shift_difference_noise(differences):
    """
    Noise covariance from differences of adjacent pixels (nearest neighbour difference).

    Where neighbours hold the same signal, y_1 - y_2 = n_1 - n_2, whose covariance is twice the noise's.

    Parameters
    ----------
    differences : ndarray (L, n), or a stream of such blocks
        See `shift_differences`.

    Returns
    -------
    ndarray (L, L)
        Noise covariance in squared input units; its diagonal are the variances per band.

    Raises
    ------
    ValueError
        Without any pair of valid neighbours.

    Notes
    -----
    Texture and edges count as noise, so that it overestimates wherever a scene is not homogeneous, and more
    than the regression does (CUR-HU, section 4.2).
    """
    try:
        found = moments(differences)
    except ValueError as error:
        raise ValueError("No two valid pixels are neighbours in a row: the shift difference has nothing to "
                         "compare. Estimate the noise by regression.") from error
    return found.K / 2


def snr(moments, variances):
    """
    Signal-to-noise ratio of every band in dB: 10 log10((E[y_i^2] - sigma_i^2) / sigma_i^2), CUR-HU eq. 22 per band.

    Parameters
    ----------
    moments : Moments
    variances : ndarray (L,)
        Noise variances, same units squared.

    Returns
    -------
    ndarray (L,)
        Infinite where a band has signal and no noise, -infinite where it is all noise, NaN where it is empty.
    """
    signal = np.maximum(np.diag(moments.R) - variances, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return 10 * np.log10(signal / np.asarray(variances, dtype=np.float64))
