"""GLP-HS: hypersharpening by a generalised Laplacian pyramid."""

import numpy as np

from .fuse import subspace
from .pair import Fused, along_bands, both

AT_ONCE = 8     # bands that are interpolated at once: each needs two copies meanwhile
FLAT = 1e-12   # of a band's root mean square: deviations from its mean that are rounding


def glphs(pair, rank=None):
    """
    Each HSI band, interpolated, plus the fine detail of the mixture of MSI bands that is most like it.

    For band j: the synthetic band p_j = [Y_M; 1]' x_j, x_j by least squares of the band on the MSI as the HSI's sensor
    sees it; u_j the band and p_j^L the degraded p_j, both interpolated; then z_j = u_j + g_j (p_j - p_j^L) with
    g_j = cov(u_j, p_j^L) / var(p_j^L).

    Parameters
    ----------
    pair : Pair
        In any unit: a band's or the image's scale changes nothing but that scale.
    rank : int, optional
        Interpolate the HSI in as many principal directions only, which takes less memory and less of its noise, and is
        not in the papers. All of it otherwise.

    Returns
    -------
    Fused
        Exactly basis x coefficients: the basis [E, diag(g) X'], E the identity or the principal directions, the
        coefficients the interpolated HSI in E and the K_M bands' details, float32 where both images are.

    Raises
    ------
    ValueError
        A rank below one.

    References
    ----------
    B. Aiazzi, L. Alparone, S. Baronti, A. Garzelli, M. Selva, MTF-tailored multiscale fusion of high-resolution MS and
    Pan imagery, Photogramm. Eng. Remote Sens. 72(5), 2006; M. Selva, B. Aiazzi, F. Butera, L. Chiarantini, S. Baronti,
    Hyper-sharpening: a first approach on SIM-GA data, IEEE JSTARS 8(6), 2015. Both use a 45-tap windowed sinc after
    insertion of zeros, which exists for whole ratios only, moves an image by half a pixel where the ratio is even, and
    takes the far edge for the near one. Here cubic convolution (`Pair.upsample`) stands in its place: for any ratio
    and phase, with mirrored edges, and exact for constants, without which MSI bands would leak into the mean. The
    low-pass that makes p_j^L is the HSI's own point spread function, not one assumed.
    """
    if rank is not None and rank < 1:
        raise ValueError(f"a rank of {rank} is asked for; it must be at least 1")
    low = pair.degrade(np.asarray(pair.msi, np.float64))
    smooth = pair.upsample(low)
    X = np.linalg.lstsq(_deviations(low).T, _deviations(pair.hsi).T, rcond=None)[0]
    flat = _deviations(smooth)
    back = both(pair.U1.T, pair.U2.T, flat.reshape(smooth.shape))   # <up(Y), s> = <Y, up'(s)>
    covariance = back.reshape(len(back), -1) @ pair.Y_H.T
    variance = np.einsum("mk,mn,nk->k", X, flat @ flat.T, X, optimize=True)
    shared = np.einsum("mk,mk->k", X, covariance)
    gain = np.divide(shared, variance, out=np.zeros_like(shared), where=variance > 0)
    if rank is None:
        E, coarse = np.eye(pair.K), pair.hsi
    else:
        E = subspace(pair, rank)
        coarse = along_bands(E.T, pair.hsi)
    n = len(coarse)
    coefficients = np.empty((n + pair.K_M, *pair.msi.shape[1:]), np.result_type(pair.hsi, pair.msi, np.float32))
    for first in range(0, n, AT_ONCE):
        part = slice(first, min(first + AT_ONCE, n))
        coefficients[part] = pair.upsample(coarse[part])
    np.subtract(pair.msi, smooth, out=coefficients[n:], casting="same_kind")
    return Fused(np.hstack([E, (X * gain).T]), coefficients)


def _deviations(X):
    """Bands (n, N) less their means, float64; zero where nothing but rounding is left."""
    Y = X.reshape(len(X), -1).astype(np.float64)
    D = Y - Y.mean(axis=1, keepdims=True)
    D[np.linalg.norm(D, axis=1) <= FLAT * np.linalg.norm(Y, axis=1)] = 0
    return D
