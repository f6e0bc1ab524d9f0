"""GENE-AH and GENE-CH: pixels are added until the next lies in the hull of those before it."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import chi2

from ..abundances.active_set import minimise
from ..endmembers.growing import farthest
from ..pixels import blocks
from .hfc import check_false_alarms

HULLS = ("affine", "convex")
FLOOR = 1e-12


@dataclass(frozen=True)
class Reduction:
    """
    From L bands to the N_max - 1 coordinates in which hulls are compared.

    Attributes
    ----------
    C : ndarray (L, N_max - 1)
        Orthonormal axes.
    mean : ndarray (L,)
        Mean spectrum d.
    Sigma : ndarray (N_max - 1, N_max - 1)
        Noise covariance of the reduced pixels, C^T D C.
    lift : float
        The coordinate appended to reduced pixels while they are chosen: their root mean square norm.
    """

    C: np.ndarray
    mean: np.ndarray
    Sigma: np.ndarray
    lift: float

    def apply(self, Y):
        """Reduced pixels x = C^T (y - d) of `Y` (L, n), (N_max - 1, n) float64."""
        return self.C.T @ (np.asarray(Y, dtype=np.float64) - self.mean[:, None])


@dataclass(frozen=True)
class GENE:
    """
    What the hull test found.

    Attributes
    ----------
    rank : int
        Number of pixels before the first that lies in the hull of those before it; N_max where none does.
    statistics : ndarray
        r of the 2nd, 3rd, ... pixel, as far as the test went.
    threshold : float
        A pixel with r at or below it lies in the hull.
    indices : ndarray of int (rank,)
        Positions of the pixels counted.
    reached : bool
        No pixel lay in the hull: `rank` is N_max and no more than a lower bound.
    """

    rank: int
    statistics: np.ndarray
    threshold: float
    indices: np.ndarray
    reached: bool


def gene_reduction(moments, noise, n_max):
    """
    Affine reduction: axes are the leading N_max - 1 eigenvectors of K - D, D the noise covariance.

    Parameters
    ----------
    moments : Moments
        Of the pixels Y (L, N).
    noise : RegressionNoise, or ndarray (L,)
        Noise by regression, or known variances per band.
    n_max : int
        An overestimate of the number of endmembers, 2 <= n_max <= min(L, N).

    Returns
    -------
    Reduction

    Raises
    ------
    ValueError
        Where n_max is more than the data allow.

    Notes
    -----
    Variances are floored at 1e-12 of the mean band energy, so that Sigma can be inverted without noise, too.
    """
    L = len(moments.mean)
    most = min(L, moments.N)
    if not 2 <= n_max <= most:
        raise ValueError(f"At most {n_max} endmembers are to be looked for in {moments.N} pixels of {L} bands. "
                         f"Choose a limit from 2 to {most}.")
    variances = np.asarray(getattr(noise, "variances", noise), dtype=np.float64)
    if variances.shape != (L,):
        raise ValueError(f"The noise has {len(variances)} bands, the pixels {L}. Estimate it on the same bands.")
    variances = np.maximum(variances, FLOOR * np.trace(moments.R) / L)
    C = np.linalg.eigh(moments.K - np.diag(variances))[1][:, ::-1][:, :n_max - 1].copy()
    lift = np.sqrt(max(np.einsum("id,ij,jd->", C, moments.K, C, optimize=True), 0.0))
    return Reduction(C, moments.mean, (C.T * variances) @ C, float(lift))


def gene(X, reduction, pfa=1e-5, hull="affine", callback=None):
    """
    Number of endmembers: how many extreme pixels there are before one lies in the hull of those before it.

    Pixels are taken by successive projection (TRIP, p = 2): on lifted x^ = [x; c] the k-th is the one with the largest
    norm after projection onto the complement of those before it. It is then compared to their hull,

        theta = argmin ||x_k - [x_1 ... x_{k-1}] theta||^2,  1^T theta = 1  (affine),  theta >= 0 besides  (convex)
        r = e^T (xi Sigma)^-1 e,  e the residual,  xi = 1 + ||theta||^2

    which follows a chi-square law of N_max - 1 degrees of freedom if x_k is no new endmember. The first k with
    r <= chi2_isf(P_FA) ends it: k - 1 endmembers.

    Parameters
    ----------
    X : ndarray (N_max - 1, N), or a stream of such blocks that can be gone through rank + 1 times
        From `Reduction.apply`.
    reduction : Reduction
    pfa : float
        Probability of false alarm P_FA, 0 < pfa < 0.5.
    hull : {"affine", "convex"}
        GENE-AH or GENE-CH. The convex hull needs pure pixels of every endmember; the affine one does not.
    callback : callable(iteration, statistic) -> bool or None, optional
        Called after each test; true stops as though the limit were reached.

    Returns
    -------
    GENE

    Raises
    ------
    ValueError
        For a probability outside ]0, 0.5[, an unknown hull, and without pixels.

    Notes
    -----
    The extremes of N noisy pixels are tested with the law of a single one, so that a large P_FA overestimates: at 1e-3
    by 1 to 4. A stream in memory or on disk may be cut anywhere; ties go to the first pixel. Departure: the paper
    lifts by c = 1, which depends on the data's unit; here c is the root mean square norm of the reduced pixels.

    References
    ----------
    Ambikapathi, Chan, Chi and Keizer, Hyperspectral Data Geometry-Based Estimation of Number of Endmembers Using
    p-Norm-Based Pure Pixel Identification Algorithm, IEEE TGRS 51(5), 2013.
    """
    check_false_alarms(pfa)
    if hull not in HULLS:
        raise ValueError(f"The hull is {hull!r}; it must be one of: {', '.join(HULLS)}.")
    d = len(reduction.Sigma)
    threshold = float(chi2.isf(pfa, d))
    chosen, indices, statistics = np.empty((d, 0)), [], []
    Q = np.empty((d + 1, 0))
    lift = reduction.lift or 1.0
    while len(indices) <= d:
        index, x, *_ = farthest(_lifted(X, lift), 0.0, Q)
        x = x[:-1]
        if indices:
            statistics.append(_statistic(x, chosen, reduction.Sigma, hull))
            if statistics[-1] <= threshold:
                return GENE(len(indices), np.array(statistics), threshold, np.array(indices), False)
        indices.append(index)
        chosen = np.column_stack([chosen, x])
        Q = np.linalg.qr(np.vstack([chosen, np.full(chosen.shape[1], lift)]))[0]
        if callback and callback(len(indices), statistics[-1] if statistics else np.inf):
            break
    return GENE(len(indices), np.array(statistics), threshold, np.array(indices), True)


def _lifted(X, lift):
    """The pixels `X` with a last coordinate `lift`, block by block."""
    for block in blocks(X):
        yield np.vstack([block, np.full((1, block.shape[1]), lift)])


def _statistic(x, chosen, Sigma, hull):
    """r of a pixel `x` (d,) against the hull of `chosen` (d, k - 1)."""
    if hull == "affine":
        beta = np.linalg.lstsq(chosen[:, 1:] - chosen[:, :1], x - chosen[:, 0], rcond=None)[0]
        theta = np.concatenate([[1 - beta.sum()], beta])
    else:
        theta = minimise(chosen.T @ chosen, (chosen.T @ x)[:, None], True)[:, 0] if chosen.shape[1] > 1 else np.ones(1)
    e = x - chosen @ theta
    return float(e @ np.linalg.solve(Sigma, e) / (1 + theta @ theta))
