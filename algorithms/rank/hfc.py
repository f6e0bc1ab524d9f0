"""HFC and NWHFC: virtual dimensionality, where correlation and covariance differ by more than chance."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from ..pixels import Moments
from ..prepare.noise import RegressionNoise

FLOOR = 1e-8


@dataclass(frozen=True)
class HFC:
    """
    What the Neyman-Pearson test found.

    Attributes
    ----------
    rank : int
        Number of eigenvalues that pass, the virtual dimensionality.
    correlation, covariance : ndarray (L,)
        Eigenvalues of R and of K, both descending.
    thresholds : ndarray (L,)
        tau_i: i passes where `correlation[i] - covariance[i]` is above it.
    """

    rank: int
    correlation: np.ndarray
    covariance: np.ndarray
    thresholds: np.ndarray


def check_false_alarms(pfa):
    """Raise ValueError where a probability of false alarm is not between 0 and 0.5."""
    if not 0 < pfa < 0.5:
        raise ValueError(f"The probability of false alarm is {pfa:g}; it must lie between 0 and 0.5, as 0.001 does.")


def hfc(moments, pfa=1e-3):
    """
    Virtual dimensionality after Harsanyi, Farrand and Chang.

    With the eigenvalues l^_i of the correlation R and l_i of the covariance K, both descending, i counts as signal if

        l^_i - l_i > tau_i = sigma_i Q^-1(P_F),    sigma_i^2 = 2 / N (l^_i^2 + l_i^2)

    Parameters
    ----------
    moments : Moments
        Of the pixels Y (L, N). Only their mean tells R from K, so they must not be centred.
    pfa : float
        Probability of false alarm P_F of each test, 0 < pfa < 0.5.

    Returns
    -------
    HFC
        All eigenvalues that pass are counted, not only those before the first failure.

    Raises
    ------
    ValueError
        For a probability outside ]0, 0.5[.

    Notes
    -----
    The test takes noise to be white: a band of stronger noise floods the count (see `nwhfc`). It supposes R and K to
    be independent; as both come from the same pixels their noise differs far less, so that false alarms are much rarer
    than P_F. Departure: differences below the rounding of R's largest eigenvalue (L eps l^_1) never pass, so that a
    scene of one repeated spectrum gives 1.

    References
    ----------
    Harsanyi, Farrand and Chang, Determining the number and identity of spectral endmembers, Proc. 9th Thematic Conf.
    Geologic Remote Sensing, 1993; Chang and Du, Estimation of number of spectrally distinct signal sources in
    hyperspectral imagery, IEEE TGRS 42(3), 2004.
    """
    check_false_alarms(pfa)
    correlation = np.linalg.eigvalsh(moments.R)[::-1]
    covariance = np.linalg.eigvalsh(moments.K)[::-1]
    sigma = np.sqrt(2 / moments.N * (correlation**2 + covariance**2))
    rounding = len(correlation) * np.finfo(float).eps * correlation[0]
    thresholds = np.maximum(sigma * norm.isf(pfa), rounding)
    return HFC(int(np.count_nonzero(correlation - covariance > thresholds)), correlation, covariance, thresholds)


def nwhfc(moments, noise, pfa=1e-3):
    """
    Noise-whitened HFC: `hfc` of R_w^-1/2 Y, with R_w the diagonal of the noise variances.

    Parameters
    ----------
    moments : Moments
        Of the pixels Y (L, N), not centred.
    noise : RegressionNoise or ndarray (L,)
        Estimated noise, or its known variances per band.
    pfa : float
        Probability of false alarm, 0 < pfa < 0.5.

    Returns
    -------
    HFC
        Of the whitened pixels.

    Raises
    ------
    ValueError
        For a probability outside ]0, 0.5[, noise of other bands, or no noise to whiten (see `whitened`).

    References
    ----------
    Chang and Du, IEEE TGRS 42(3), 2004.
    """
    return hfc(whitened(moments, noise), pfa)


def whitened(moments, noise):
    """
    Moments of R_w^-1/2 Y: every band divided by its noise's standard deviation.

    Variances below 1e-8 of their median are raised to it, against division by zero only. A floor that binds leaves
    the band's noise weaker than that of others, which is what whitening is to prevent: with noise shaped like a
    Gaussian of 18 bands at 50 dB, a floor of 1e-3 makes HFC count 13 to 20 for 3 endmembers, without one it counts 3.

    Parameters
    ----------
    moments : Moments
    noise : RegressionNoise or ndarray (L,)

    Returns
    -------
    Moments

    Raises
    ------
    ValueError
        Where the noise has another number of bands, or is zero in half of the bands.
    """
    variances = np.asarray(noise.variances if isinstance(noise, RegressionNoise) else noise, dtype=np.float64)
    if variances.shape != moments.mean.shape:
        raise ValueError(f"The noise has {len(variances)} bands, the pixels {len(moments.mean)}. "
                         "Estimate it on the same bands.")
    median = np.median(variances)
    if not median > np.finfo(float).eps * np.trace(moments.R) / len(variances):
        raise ValueError("At least half of the bands hold no noise beyond rounding, so there is nothing to whiten by. "
                         "Use the method without whitening.")
    scale = 1 / np.sqrt(np.maximum(variances, FLOOR * median))
    return Moments(moments.N, scale * moments.mean, scale[:, None] * moments.R * scale)
