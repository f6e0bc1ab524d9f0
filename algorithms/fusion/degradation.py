"""What a coarse sensor makes of a fine image along one axis, and back: blur and sampling, interpolation."""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

FWHM = 2 * np.sqrt(2 * np.log(2))   # full width at half maximum of a Gaussian, in standard deviations


@dataclass(frozen=True)
class Gaussian:
    """
    A Gaussian point spread function of standard deviation `sigma`, cut to `size` pixels of the fine image.

    A pixel that the cut goes through counts by its share within, so that the kernel moves smoothly with its centre.

    LL1 (Prevost et al. 2021, appendix C) prints sigma = q sqrt(2 ln 2) / 4 for q = 9, that is `printed(9)`; the
    authors' program takes the decimal logarithm there (1.746 in place of 2.649).
    """

    sigma: float
    size: float

    def weights(self, distance):
        inside = np.clip(self.size / 2 + 0.5 - np.abs(distance), 0, 1)
        return np.exp(-0.5 * (distance / self.sigma) ** 2) * inside

    @property
    def width(self):
        """Full width at half maximum, in fine pixels."""
        return self.sigma * FWHM

    @classmethod
    def printed(cls, size):
        return cls(size * np.sqrt(2 * np.log(2)) / 4, size)

    @classmethod
    def of_width(cls, fwhm):
        """Of a full width at half maximum, in fine pixels, cut where it has fallen to 1/3000."""
        sigma = fwhm / FWHM
        return cls(sigma, 2 * np.ceil(4 * sigma) + 1)


@dataclass(frozen=True)
class Box:
    """The mean over `size` pixels of the fine image, those at the ends in part."""

    size: float

    def weights(self, distance):
        return np.clip(self.size / 2 + 0.5 - np.abs(distance), 0, min(self.size, 1))

    @property
    def width(self):
        """Side of the square, in fine pixels."""
        return self.size


def centred(size, ratio):
    """The centres (n,) of as many coarse pixels as fit into `size` fine ones, the first pixels' edges aligned."""
    return (np.arange(int(size / ratio + 1e-9)) + 0.5) * ratio - 0.5


def degradation(size, centres, psf, boundary="symmetric"):
    """
    The matrix that blurs an axis of `size` pixels and samples it: P1 or P2 of LL1, eq. 2.

    Parameters
    ----------
    centres : ndarray (n,)
        Where the coarse pixels' centres lie, in fine pixels counted from 0; they may lie between two.
    psf : Gaussian or Box
        Reflection-symmetric; given in fine pixels.
    boundary : {"symmetric", "circular"}
        What lies beyond the ends: the mirrored image, edge pixels repeated, or the other end.

    Returns
    -------
    csr_array (n, size)
        Rows sum to one, so that a constant image stays as it is. (LL1's appendix C has zeros beyond the ends and an
        index that runs from -3 to 5: its rows sum to 0.89 or less and shift the image by 0.36 pixels.)

    Raises
    ------
    ValueError
        A kernel between whose samples it vanishes, or an unknown boundary.
    """
    if boundary not in ("symmetric", "circular"):
        raise ValueError(f"boundary is {boundary!r}; it must be 'symmetric' or 'circular'")
    centres = np.asarray(centres, dtype=np.float64)
    reach = int(np.ceil(psf.size / 2 + 1))
    positions = np.floor(centres).astype(int)[:, None] + np.arange(-reach, reach + 1)
    weights = psf.weights(positions - centres[:, None])
    total = weights.sum(axis=1, keepdims=True)
    if not np.all(total > 0):
        raise ValueError(f"the point spread function of {psf} holds no pixel; make it wider")
    inside = positions % size if boundary == "circular" else _mirrored(positions, size)
    rows = np.broadcast_to(np.arange(len(centres))[:, None], positions.shape)
    P = csr_array(((weights / total).ravel(), (rows.ravel(), inside.ravel())), shape=(len(centres), size))
    P.sum_duplicates()
    P.eliminate_zeros()
    return P


def interpolation(size, centres):
    """
    The matrix that brings coarse samples at equidistant `centres` back to `size` fine pixels, by cubic convolution.

    Keys (1981): exact for quadratic signals, and for the samples themselves. Rows sum to one; beyond the ends the
    samples are mirrored.

    Returns
    -------
    csr_array (size, n)
    """
    n = len(centres)
    step = (centres[-1] - centres[0]) / (n - 1) if n > 1 else 1.0
    at = (np.arange(size) - centres[0]) / step
    positions = np.floor(at).astype(int)[:, None] + np.arange(-1, 3)
    x = np.abs(at[:, None] - positions)
    weights = np.where(x <= 1, (1.5 * x - 2.5) * x ** 2 + 1, np.where(x < 2, ((-0.5 * x + 2.5) * x - 4) * x + 2, 0))
    rows = np.broadcast_to(np.arange(size)[:, None], positions.shape)
    U = csr_array((weights.ravel(), (rows.ravel(), _mirrored(positions, n).ravel())), shape=(size, n))
    U.sum_duplicates()
    return U


def _mirrored(positions, size):
    """Positions on an axis that continues as its own mirror image, edge pixels repeated."""
    positions = positions % (2 * size)
    return np.where(positions < size, positions, 2 * size - 1 - positions)
