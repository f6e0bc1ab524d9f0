"""The two images that a fusion method is given, and what it gives back."""

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from .degradation import degradation, interpolation

QUANTILE = 0.999   # of a band's values that is brought to one, as in LL1, section V-B
OUTSIDE = 2.5      # HSI pixels that a centre may lie beyond the MSI's edge: a shift of two, and what overlaps in part


@dataclass(frozen=True, eq=False)
class Pair:
    """
    A hyperspectral and a multispectral image of the same ground.

    The model (LL1, eq. 4): Y_H = Z x1 P1 x2 P2 + noise, and Y_M = (Z + Psi) x3 P3 + noise, with the fused scene Z
    (K, I, J) and the change Psi between both dates.

    Attributes
    ----------
    hsi : ndarray (K, I_H, J_H)
        Y_H, finite.
    msi : ndarray (K_M, I, J)
        Y_M, finite, in the same units.
    P1, P2 : csr_array (I_H, I), (J_H, J)
        Blur and sampling of rows and of columns, see `degradation`.
    P3 : ndarray (K_M, K)
        Spectral response: each MSI band as a weighted mean of HSI bands.
    U1, U2 : csr_array (I, I_H), (J, J_H)
        Interpolation from the HSI's rows and columns to the MSI's.
    """

    hsi: np.ndarray
    msi: np.ndarray
    P1: object
    P2: object
    P3: np.ndarray
    U1: object = field(repr=False)
    U2: object = field(repr=False)

    @classmethod
    def of(cls, hsi, msi, P3, rows, columns, psf, boundary="symmetric"):
        """
        A pair whose HSI pixels' centres lie at `rows` (I_H,) and `columns` (J_H,) of the MSI, counted from 0.

        `psf` is one for both axes, or a tuple of one for rows and one for columns, see `degradation`.

        Raises
        ------
        ValueError
            Shapes that do not belong together, values that are not finite, an MSI with fewer pixels than the HSI, an
            MSI band without response, or centres more than OUTSIDE HSI pixels off the MSI.
        """
        (K, I_H, J_H), (K_M, I, J) = hsi.shape, msi.shape
        if P3.shape != (K_M, K) or (len(rows), len(columns)) != (I_H, J_H):
            raise ValueError(f"P3 {P3.shape} and centres ({len(rows)}, {len(columns)}) do not belong to an HSI of shape"
                             f" {hsi.shape} and an MSI of shape {msi.shape}")
        if I < I_H or J < J_H:
            raise ValueError(f"the MSI has {I} x {J} pixels, fewer than the HSI's {I_H} x {J_H}")
        if not (np.isfinite(hsi).all() and np.isfinite(msi).all()):
            raise ValueError("the images hold values that are not finite: fill or leave them out first")
        P3 = np.asarray(P3, dtype=np.float64)
        unseen = np.flatnonzero(~(np.isfinite(P3).all(axis=1) & (P3 != 0).any(axis=1)))
        if unseen.size:
            raise ValueError(f"the response of MSI band {unseen[0] + 1} is not finite, or zero for every HSI band: "
                             "leave the band out, or give its response")
        for name, centres, size in (("rows", rows, I), ("columns", columns, J)):
            _check_centres(name, np.asarray(centres, dtype=np.float64), size)
        along, across = psf if isinstance(psf, tuple) else (psf, psf)
        return cls(hsi, msi, degradation(I, rows, along, boundary), degradation(J, columns, across, boundary),
                   P3, interpolation(I, rows), interpolation(J, columns))

    @property
    def K(self):
        """Bands of the HSI."""
        return self.hsi.shape[0]

    @property
    def K_M(self):
        """Bands of the MSI."""
        return self.msi.shape[0]

    @property
    def Y_H(self):
        """The HSI as pixels (K, I_H J_H), row-major."""
        return self.hsi.reshape(self.K, -1)

    @property
    def Y_M(self):
        """The MSI as pixels (K_M, I J), row-major."""
        return self.msi.reshape(self.K_M, -1)

    def degrade(self, X):
        """X (n, I, J) as the HSI's sensor sees it: (n, I_H, J_H)."""
        return both(self.P1, self.P2, X)

    def spread(self, X):
        """The adjoint of `degrade`: (n, I_H, J_H) to (n, I, J)."""
        return both(self.P1.T, self.P2.T, X)

    def upsample(self, X):
        """X (n, I_H, J_H) interpolated on the MSI's grid by cubic convolution: (n, I, J)."""
        return both(self.U1, self.U2, X)

    @cached_property
    def rows(self):
        """Eigenvalues (I,) and orthonormal eigenvectors (I, I) of P1' P1."""
        return eigen(self.P1)

    @cached_property
    def columns(self):
        """Eigenvalues (J,) and orthonormal eigenvectors (J, J) of P2' P2."""
        return eigen(self.P2)

    def scaled(self, quantile=QUANTILE):
        """
        The pair with each band divided by a quantile of its own, and both divisors: (pair, (K,), (K_M,)).

        The response is changed along, so that P3 still leads from the one to the other: P3_mk s_k / s_m.
        """
        s_H, s_M = scales(self.Y_H, quantile), scales(self.Y_M, quantile)
        return replace(self, hsi=self.hsi / s_H[:, None, None], msi=self.msi / s_M[:, None, None],
                       P3=self.P3 * s_H / s_M[:, None]), s_H, s_M


@dataclass(frozen=True, eq=False)
class Fused:
    """
    The fused scene, and what was learnt on the way.

    Attributes
    ----------
    basis : ndarray (K, P)
        Spectra that span the scene.
    coefficients : ndarray (P, I, J)
        The scene is basis x coefficients.
    costs : ndarray
        The method's cost at the start and after each iteration; empty for methods that do not iterate.
    converged : bool
        False if it ended at its limit or was stopped.
    endmembers : ndarray (K, R), optional
        Spectra of the materials at the HSI's date.
    changed_endmembers : ndarray (K_M, R), optional
        The same in the MSI's bands at the MSI's date.
    abundances : ndarray (R, I, J), optional
        Not negative.
    variability : ndarray (K_M, I, J), optional
        Psi x3 P3: what changed from the HSI's date to the MSI's, in the MSI's bands.
    """

    basis: np.ndarray
    coefficients: np.ndarray
    costs: np.ndarray = field(default_factory=lambda: np.empty(0))
    converged: bool = True
    endmembers: np.ndarray = None
    changed_endmembers: np.ndarray = None
    abundances: np.ndarray = None
    variability: np.ndarray = None

    @property
    def iterations(self):
        return max(len(self.costs) - 1, 0)

    def cube(self, rows=slice(None)):
        """The fused scene (K, I, J), or some rows of it."""
        return along_bands(self.basis, self.coefficients[:, rows])

    def rescaled(self, s_H, s_M):
        """What the fused scene is in the units before `Pair.scaled`."""
        def times(values, scale):
            return None if values is None else values * scale.reshape(-1, *[1] * (values.ndim - 1))

        return replace(self, basis=times(self.basis, s_H), endmembers=times(self.endmembers, s_H),
                       changed_endmembers=times(self.changed_endmembers, s_M),
                       variability=times(self.variability, s_M))


def _check_centres(name, centres, size):
    step = (centres[-1] - centres[0]) / (len(centres) - 1) if len(centres) > 1 else size
    if not (np.isfinite(centres).all() and step > 0):
        raise ValueError(f"the centres of the HSI's {name} must be finite and rise")
    off = max(-0.5 - centres[0], centres[-1] - (size - 0.5)) / step
    if off > OUTSIDE:
        raise ValueError(f"the HSI's {name} lie up to {off:.1f} of its pixels outside the MSI's {size}; at most "
                         f"{OUTSIDE} are allowed")


def both(left, right, X):
    """X (n, rows, cols) with a sparse matrix applied to its rows and another to its columns."""
    n, _, cols = X.shape
    across = (right @ X.reshape(-1, cols).T).T.reshape(n, X.shape[1], -1)
    down = left @ across.transpose(1, 0, 2).reshape(X.shape[1], -1)
    return np.ascontiguousarray(down.reshape(left.shape[0], n, -1).transpose(1, 0, 2))


def along_bands(W, X):
    """X (n, rows, cols) with a matrix W (m, n) applied to its bands: (m, rows, cols)."""
    return (W @ X.reshape(len(X), -1)).reshape(-1, *X.shape[1:])


def eigen(P):
    """Eigenvalues, not negative, and eigenvectors of P' P, for a sparse P."""
    return eigen_dense(P.toarray())


def eigen_dense(P):
    """The same for a dense P."""
    values, vectors = np.linalg.eigh(P.T @ P)
    return np.maximum(values, 0), vectors


def positive(name, value):
    """Raise ValueError for a parameter that must be finite and above 0, and is not."""
    if not 0 < value < np.inf:
        raise ValueError(f"{name} is {value}; it must be above 0")


def scales(Y, quantile=QUANTILE):
    """A quantile of each band's values, or one where that is not positive."""
    s = np.quantile(Y, quantile, axis=1).astype(np.float64)
    return np.where(s > 0, s, 1.0)
