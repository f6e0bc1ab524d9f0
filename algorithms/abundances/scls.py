"""Scaled, partially constrained least squares."""

from dataclasses import dataclass

import numpy as np

from .linear_model import Abundances
from .nnls import nnls


@dataclass(frozen=True)
class ScaledAbundances(Abundances):
    """
    `Abundances` in pixels that have a brightness of their own; their errors are those of the fit psi M a.

    Attributes
    ----------
    psi : ndarray (N,)
        Scaling of the endmembers in each pixel.
    """

    psi: np.ndarray


def scls(Y, M):
    """
    Abundances up to a brightness per pixel: y = psi M a + e with psi, a >= 0 and 1^T a = 1.

    a_0 minimises ||y - M a_0||^2 subject to a_0 >= 0; psi = 1^T a_0 and a = a_0 / psi. Multiplying a pixel by a
    factor multiplies psi and leaves a.

    Parameters
    ----------
    Y : ndarray (L, N)
        Pixels of any real dtype.
    M : ndarray (L, P)
        Endmembers, in the units of `Y`, linearly independent.

    Returns
    -------
    ScaledAbundances
        `A` is nonnegative and sums to one to rounding. A dark pixel, psi = 0, has no abundances: `A` is NaN there,
        and `rmse` is the pixel's own size.

    Raises
    ------
    ValueError
        Endmembers that cannot be told apart (see `check_endmembers`), or of another number of bands than `Y`.

    References
    ----------
    M. Veganzones et al., A new extended linear mixing model to address spectral variability, WHISPERS 2014;
    L. Drumetz et al., IEEE TIP 25(8), 2016.
    """
    fit = nnls(Y, M)
    psi = fit.A.sum(axis=0)
    A = np.divide(fit.A, psi, out=np.full_like(fit.A, np.nan), where=psi > 0)
    return ScaledAbundances(A, fit.rmse, fit.angle, psi)
