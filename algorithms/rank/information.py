"""AIC and MDL: the number of eigenvalues that a model of white noise cannot do without."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Information:
    """
    What an information criterion found.

    Attributes
    ----------
    rank : int
        One more than the minimiser: endmembers whose fractions sum to one span one direction fewer around the mean.
    curve : ndarray (L,)
        The criterion for k = 0..L-1 directions.
    eigenvalues : ndarray (L,)
        Of the covariance, descending.
    """

    rank: int
    curve: np.ndarray
    eigenvalues: np.ndarray


def aic(moments):
    """
    Akaike's criterion, AIC(k) = Lambda(k) + 2 nu(k), minimised over k (see `mdl`).

    It does not become exact with more pixels: expect one or a few too many.
    """
    Lambda, nu, values = _likelihood(moments)
    return _minimum(Lambda + 2 * nu, values)


def mdl(moments):
    """
    Minimum description length, MDL(k) = Lambda(k) / 2 + nu(k) log(N) / 2, minimised over k.

    The covariance K is modelled as k directions plus white noise. From its eigenvalues l_1 >= ... >= l_L::

        Lambda(k) = N (L - k) log(arithmetic / geometric mean of l_{k+1}, ..., l_L),    k = 0..L-1
        nu(k) = k (2 L - k + 1) / 2 + 1

    Parameters
    ----------
    moments : Moments
        Of the pixels Y (L, N).

    Returns
    -------
    Information

    Raises
    ------
    ValueError
        With fewer than two bands, or no more pixels than bands.

    Notes
    -----
    Noise must be white: with noise that differs among the bands the minimum lies near L - 1. Whiten before
    (`hfc.whitened`). Departures: Wax and Kailath treat complex data; here the likelihood and the number of free
    parameters are those of real data. One is added to the minimiser, as K is centred; so noise alone, and a scene of
    one spectrum, give 1. Eigenvalues are floored at the rounding of R's largest, L eps.

    References
    ----------
    Wax and Kailath, Detection of signals by information theoretic criteria, IEEE Trans. ASSP 33(2), 1985.
    """
    Lambda, nu, values = _likelihood(moments)
    return _minimum(Lambda / 2 + nu * np.log(moments.N) / 2, values)


def _minimum(curve, values):
    return Information(int(curve.argmin()) + 1, curve, values)


def _likelihood(moments):
    """Lambda(k) and nu(k) for k = 0..L-1, and the eigenvalues of K."""
    L = len(moments.mean)
    if L < 2:
        raise ValueError(f"An information criterion needs at least 2 bands; there are {L}.")
    if moments.N <= L:
        raise ValueError(f"An information criterion needs more pixels than bands; there are {moments.N} pixels and "
                         f"{L} bands. Use more pixels or fewer bands.")
    floor = L * np.finfo(float).eps * max(np.linalg.eigvalsh(moments.R)[-1], np.finfo(float).tiny)
    values = np.maximum(np.linalg.eigvalsh(moments.K)[::-1], floor)
    k = np.arange(L)
    left = L - k
    sums, logs = np.cumsum(values[::-1])[::-1], np.cumsum(np.log(values[::-1]))[::-1]
    Lambda = moments.N * (left * np.log(sums / left) - logs)
    return Lambda, k * (2 * L - k + 1) / 2 + 1, values
