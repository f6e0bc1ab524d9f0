"""STEREO: fusion by a coupled canonical polyadic decomposition."""

import numpy as np

from ..variability.cpd import cpd, khatri_rao, largest_rank
from .pair import Fused, eigen_dense, positive
from .sylvester import along_from
from .tucker import check_images, seen_bands

RANK = 50         # LL1 on Indian Pines
ITERATIONS = 10   # LL1, section V-C
TOLERANCE = 1e-3
SWEEPS = 25       # of the MSI's own decomposition, to start from
RIDGE = 1e-12     # of the mean diagonal, in the least squares that start C


def stereo(pair, rank=None, *, balance=1.0, iterations=ITERATIONS, tolerance=TOLERANCE, start=None, seed=0,
           callback=None):
    """
    Fusion of a scene that is a sum of few outer products of rows, columns and spectra.

    min over A, B, C  ||Y_H - [[P1 A, P2 B, C]]||^2 + balance ||Y_M - [[A, B, P3 C]]||^2, by alternating least squares
    in A (I, F), B (J, F), C (K, F); each one's system is a generalised Sylvester equation, solved exactly.

    Parameters
    ----------
    pair : Pair
        In any unit; `Pair.scaled` lets all bands count alike.
    rank : int, optional
        F; see `default_rank`.
    balance : float
        lambda, weight of the MSI's squared misfit, above 0. (The authors' code weights the HSI's.)
    iterations : int
        Sweeps over A, B and C at most.
    tolerance : float
        Share of the cost; with less decrease in a sweep it ends.
    start : (A, B, C), optional
        Where to start instead of `tenrec`.
    seed : int
        Of the MSI's decomposition in `tenrec`.
    callback : callable, optional
        callback(iteration, cost); true stops.

    Returns
    -------
    Fused
        basis C (K, F) and coefficients A_f o B_f (F, I, J), or, if F > K, the identity and the scene itself. The cost
        never increases.

    Raises
    ------
    ValueError
        An MSI that tells fewer than two bands apart. A rank above I_H J_H, or above the largest rank of an image of
        the MSI's shape, for which one factor is not determined even beside the other two; lower ones may still have
        many solutions, see `unique_rank`. A balance that is not above 0, or an image that is zero everywhere.

    References
    ----------
    C. Kanatsoulis, X. Fu, N. Sidiropoulos, W.-K. Ma, Hyperspectral super-resolution: a coupled tensor factorization
    approach, IEEE TSP 66(24), 2018. After each sweep a term's three columns get the same length, which changes nothing
    but keeps scales from drifting; a ridge of 1e-10 draws each factor to its last value, so that terms that cancel or
    coincide do no harm. The blind variant, without P1 and P2, is not here.
    """
    positive("balance", balance)
    rank = default_rank(pair) if rank is None else rank
    check(pair, rank)
    check_images(pair)
    hsi, msi = np.asarray(pair.hsi, np.float64), np.asarray(pair.msi, np.float64)
    P1, P2, P3 = pair.P1, pair.P2, pair.P3
    A, B, C = balanced(*(tenrec(pair, rank, seed) if start is None else start))
    energy = np.vdot(hsi, hsi) + balance * np.vdot(msi, msi)
    bands = eigen_dense(P3)
    costs, converged = [_cost(pair, hsi, msi, A, B, C, balance)], False
    while len(costs) <= iterations and not converged:
        RC, PB = P3 @ C, P2 @ B
        A = along_from(A, pair.rows, C.T @ C * (PB.T @ PB), balance * (RC.T @ RC) * (B.T @ B),
                       P1.T @ _for_rows(hsi, PB, C) + balance * _for_rows(msi, B, RC))
        PA = P1 @ A
        B = along_from(B, pair.columns, C.T @ C * (PA.T @ PA), balance * (RC.T @ RC) * (A.T @ A),
                       P2.T @ _for_columns(hsi, PA, C) + balance * _for_columns(msi, A, RC))
        PB = P2 @ B
        C = along_from(C, bands, balance * (A.T @ A) * (B.T @ B), (PA.T @ PA) * (PB.T @ PB),
                       _for_bands(hsi, PA, PB) + balance * P3.T @ _for_bands(msi, A, B))
        A, B, C = balanced(A, B, C)
        costs.append(_cost(pair, hsi, msi, A, B, C, balance))
        converged = costs[-2] - costs[-1] <= tolerance * costs[-2] if costs[-1] > 1e-24 * energy else True
        if callback is not None and callback(len(costs) - 1, costs[-1]):
            break
    if rank <= pair.K:
        return Fused(C, np.einsum("if,jf->fij", A, B, optimize=True), np.array(costs), bool(converged))
    whole = (C @ khatri_rao((A, B)).T).reshape(pair.K, *msi.shape[1:])
    return Fused(np.eye(pair.K), whole, np.array(costs), bool(converged))


def tenrec(pair, rank, seed=0):
    """
    A, B, C to start from: the MSI's own decomposition gives A and B, the HSI then C by least squares.

    Kanatsoulis et al., algorithm 2 (TenRec), with at most 25 sweeps for the MSI.
    """
    msi = np.ascontiguousarray(pair.msi, np.float64)
    A, B = cpd(msi, rank, sweeps=SWEEPS, seed=seed).factors[1:]
    PA, PB = pair.P1 @ A, pair.P2 @ B
    G = (PA.T @ PA) * (PB.T @ PB)
    T = _for_bands(np.asarray(pair.hsi, np.float64), PA, PB)
    return A, B, np.linalg.solve(G + RIDGE * np.trace(G) / rank * np.eye(rank), T.T).T


def default_rank(pair):
    """
    50, LL1's for Indian Pines, or `unique_rank` where that is less.

    Above it the fit of noise grows without bound: with 3 MSI bands of 32 x 40 pixels 16 terms reach 24 dB, 50 terms
    2 dB and interpolation 18 dB. With 2 bands 16 terms do no better than interpolation.
    """
    return min(RANK, pair.hsi[0].size, unique_rank(pair))


def unique_rank(pair):
    """
    2^(floor(log2 m) + floor(log2 n) - 2), at least 1: so many terms, almost every MSI of as many has in one way only.

    m and n are the smaller two of its rows, its columns and the bands that it tells apart. L. Chiantini, G. Ottaviani,
    On generic identifiability of 3-tensors of small rank, SIAM J. Matrix Anal. Appl. 33(3), 2012, theorem 1.1.
    """
    m, n, _ = sorted((*pair.msi.shape[1:], seen_bands(pair)))
    return max(1, 2 ** (m.bit_length() + n.bit_length() - 2) // 4)


def check(pair, rank):
    """Raise ValueError for a rank that leaves a factor undetermined, or an MSI that leaves all of them so."""
    if seen_bands(pair) < 2:
        raise ValueError("the multispectral image tells fewer than two bands apart: its rows and columns are then a "
                         "matrix, which has no unique terms; take a method without terms, such as HySure or GLP-HS")
    if not 1 <= rank <= largest(pair):
        pixels = pair.hsi[0].size
        raise ValueError(f"{rank} terms are asked for, but there can only be from 1 to {largest(pair)}: no more "
                         f"than the hyperspectral image has pixels ({pixels}), nor than the multispectral image's size "
                         f"allows ({largest_rank(pair.msi.shape)}); lower the rank")


def balanced(A, B, C):
    """The same terms, each with three columns of the same length."""
    norms = [np.linalg.norm(X, axis=0) for X in (A, B, C)]
    mean = np.cbrt(np.prod(norms, axis=0))
    return [X * (mean / np.where(norm > 0, norm, 1)) for X, norm in zip((A, B, C), norms)]


def largest(pair):
    """The largest rank for which each factor is determined by the other two, see `check`; not all three by the data."""
    return min(pair.hsi[0].size, largest_rank(pair.msi.shape))


def _for_rows(Y, B, C):
    """The unfolding of Y (K, I, J) along rows times the Khatri-Rao product of C and B: (I, F)."""
    return np.einsum("kif,kf->if", Y @ B, C)


def _for_columns(Y, A, C):
    return np.einsum("kjf,kf->jf", Y.transpose(0, 2, 1) @ A, C)


def _for_bands(Y, A, B):
    return Y.reshape(len(Y), -1) @ khatri_rao((A, B))


def _cost(pair, hsi, msi, A, B, C, balance):
    low = hsi.reshape(len(hsi), -1) - C @ khatri_rao((pair.P1 @ A, pair.P2 @ B)).T
    high = msi.reshape(len(msi), -1) - pair.P3 @ C @ khatri_rao((A, B)).T
    return float(np.vdot(low, low) + balance * np.vdot(high, high))
