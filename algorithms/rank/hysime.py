"""HySime: the dimension of the signal subspace, without a tuning parameter."""

from dataclasses import dataclass

import numpy as np

from .. import pixels
from ..prepare.noise import RegressionNoise

LOADING = 1e-5


@dataclass(frozen=True)
class HySime:
    """
    What HySime found.

    Attributes
    ----------
    rank : int
        Dimension of the signal subspace; 0 means that no direction carries more signal than noise.
    E : ndarray (L, rank)
        Orthonormal basis of it.
    mse : ndarray (L + 1,)
        Projection error plus noise power MSE(k) for k = 0..L directions; smallest at `rank`.
    powers, noise_powers : ndarray (L,)
        p_i and sigma_i^2 of every direction, in the order in which they enter.
    """

    rank: int
    E: np.ndarray
    mse: np.ndarray
    powers: np.ndarray
    noise_powers: np.ndarray


def hysime(moments, noise):
    """
    Dimension and basis of the signal subspace.

    Among the eigenvectors e_i of the signal correlation R_x keep those for which removing noise pays more than
    losing signal costs, p_i > 2 sigma_i^2, with p_i = e_i^T R_y e_i and sigma_i^2 = e_i^T R_w e_i. That
    minimises the mean squared error of the projected scene, up to a constant::

        MSE(k) = tr R_y - sum_{i<=k} p_i + 2 sum_{i<=k} sigma_i^2

    Parameters
    ----------
    moments : Moments
        Of the pixels Y (L, N). Correlations are not centred: a sum-to-one mixture of P spectra gives P.
    noise : RegressionNoise, or ndarray (L,) or (L, L)
        Noise by regression, or a noise known otherwise by its variances or its covariance R_w.

    Returns
    -------
    HySime

    Raises
    ------
    ValueError
        If the noise has another number of bands than the pixels.

    Notes
    -----
    With `RegressionNoise`, R_x = (I - B) R_y (I - B)^T is the correlation of the noise-removed pixels; with a
    given R_w it is R_y - R_w. R_w is loaded with 1e-5 tr(R_x)/L, as by the authors.
    Pure noise gives 0. Needs only moments: one pass over a file.

    References
    ----------
    Bioucas-Dias and Nascimento, Hyperspectral Subspace Identification, IEEE TGRS 46(8), 2008.
    """
    R_y = moments.R
    L = len(R_y)
    R_x, R_w = _signal_and_noise(R_y, noise)
    R_w = R_w + LOADING * max(np.trace(R_x), 0.0) / L * np.eye(L)
    E = np.linalg.eigh((R_x + R_x.T) / 2)[1][:, ::-1]
    p = np.einsum("ji,jk,ki->i", E, R_y, E, optimize=True)
    sigma2 = np.einsum("ji,jk,ki->i", E, R_w, E, optimize=True)
    gain = p - 2 * sigma2
    order = np.argsort(-gain, kind="stable")
    rank = int(np.count_nonzero(gain > 0))
    mse = np.trace(R_y) - np.concatenate([[0.0], np.cumsum(gain[order])])
    E = E[:, order[:rank]]
    return HySime(rank, E * pixels.signs(E), mse, p[order], sigma2[order])


def _signal_and_noise(R_y, noise):
    """R_x and R_w (L, L) from whatever the noise is known by."""
    if isinstance(noise, RegressionNoise):
        variances, T = noise.variances, noise.T
    else:
        variances, T = np.asarray(noise, dtype=np.float64), None
    if len(variances) != len(R_y):
        raise ValueError(f"The noise has {len(variances)} bands, the pixels {len(R_y)}. Estimate it on the same bands.")
    R_w = np.diag(variances) if variances.ndim == 1 else variances
    return (R_y - R_w if T is None else T @ R_y @ T.T), R_w
