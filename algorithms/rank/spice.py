"""SPICE: start with too many endmembers and let a sparsity term remove those that no pixel needs."""

from dataclasses import dataclass

import numpy as np

from ..abundances.active_set import minimise

PRUNE = 1e-9
RIDGE = 1e-9


@dataclass(frozen=True)
class SPICE:
    """
    What SPICE found.

    Attributes
    ----------
    M : ndarray (L, rank)
        Endmembers, in the units of the pixels. They are no pixels, and may have negative entries.
    A : ndarray (rank, N)
        `abundances` of the pixels, without the sparsity term.
    counts, costs : ndarray (iterations,)
        Endmembers left and the cost after each iteration.
    converged : bool
        The cost had settled; otherwise the iterations ran out or the callback stopped it.
    """

    M: np.ndarray
    A: np.ndarray
    counts: np.ndarray
    costs: np.ndarray
    converged: bool

    @property
    def rank(self):
        """Number of endmembers."""
        return self.M.shape[1]


def spice(Y, rng, start=20, u=0.001, gamma=1.0, tolerance=1e-4, iterations=500, callback=None):
    """
    Endmembers, abundances and their number by sparsity-promoting iterated constrained endmembers.

    Alternately minimises, over the simplex a_n >= 0, 1^T a_n = 1 for A, and freely for M,

        J = ||Y - M A||^2 + N u / (1 - u) V(M) + sum_k gamma_k sum_n a_kn,    gamma_k = gamma / sum_n a_kn
        V(M) = sum_l [sum_k m_lk^2 - (sum_k m_lk)^2 / P] / (P - 1)

    with gamma_k from the previous A: (1) A by one quadratic program per pixel, (2) M = Y A^T (A A^T + lambda
    (I - 1 1^T / P))^-1, lambda = N u / ((P - 1)(1 - u)), (3) endmembers that no pixel uses are dropped.

    Parameters
    ----------
    Y : ndarray (L, N)
        Pixels. They are divided by their largest absolute value, as gamma is tied to the data's scale.
    rng : numpy.random.Generator
        Draws the pixels to start from.
    start : int
        Endmembers to start with, 2 <= start <= N; more than are expected.
    u : float
        Weight of the endmembers' spread, 0 <= u < 1.
    gamma : float
        Strength of the sparsity Gamma, at least 0; 0 never drops an endmember for it. The authors advise 1 to 10. It
        weighs against a sum over the pixels, so that it acts the less the more there are: the default is for 2000.
    tolerance : float
        Ends where J changes by less than this part of itself and no endmember was dropped.
    iterations : int
        At most this many.
    callback : callable(iteration, cost) -> bool or None, optional
        True stops.

    Returns
    -------
    SPICE

    Raises
    ------
    ValueError
        For parameters outside their ranges, or pixels that are not finite or all zero.

    Notes
    -----
    With gamma_k held, J falls in (1) and (2). Renewing gamma_k and dropping an endmember may raise it, so that the
    sequence of costs need not fall. The paper weighs the data term by (1 - u) / N in (2) and in its cost; the weight
    1 in (1), which decides how many endmembers stay, is that of the authors' code. Departures: the quadratic programs
    are solved exactly, their Gram matrix loaded by 1e-9 of its mean diagonal, as a start with more pixels than the
    scene has dimensions makes it singular; so an unused endmember has abundances of exactly zero.

    References
    ----------
    Zare and Gader, Sparsity Promoting Iterated Constrained Endmember Detection in Hyperspectral Imagery, IEEE GRSL
    4(3), 2007.
    """
    L, N = Y.shape
    _check(N, start, u, gamma, tolerance, iterations)
    scale = float(max(np.abs(Y).max(), 0))
    if not np.isfinite(scale) or scale == 0:
        raise ValueError("The pixels are all zero or not all finite: there is nothing to unmix. Mask or change them.")
    Y = np.asarray(Y, dtype=np.float64) / scale
    energy = np.einsum("ln,ln->", Y, Y)
    M = Y[:, np.sort(rng.choice(N, start, replace=False))]
    used = np.full(start, N / start)
    counts, costs, converged = [], [], False
    for iteration in range(iterations):
        weights = gamma / used
        A = _abundances(Y, M, weights)
        used = A.sum(axis=1)
        kept = A.max(axis=1) >= PRUNE
        A, used, weights = A[kept], used[kept], weights[kept]
        M = _endmembers(Y, A, u)
        cost = _cost(Y, energy, M, A, u, weights)
        counts.append(len(A))
        costs.append(cost)
        if callback and callback(iteration, cost):
            break
        settled = iteration and abs(costs[-2] - cost) <= tolerance * abs(cost)
        converged = bool(len(A) == 1 or (settled and kept.all()))
        if converged:
            break
    return SPICE(M * scale, abundances(Y, M), np.array(counts), np.array(costs), converged)


def abundances(Y, M):
    """
    Fractions (P, n) of the endmembers `M` (L, P) in pixels `Y` (L, n): argmin ||y - M a||^2, a >= 0, 1^T a = 1.

    The Gram matrix is loaded as in `spice`, so that endmembers that coincide share their fraction.
    """
    return _abundances(np.asarray(Y, dtype=np.float64), M, np.zeros(M.shape[1]))


def _check(N, start, u, gamma, tolerance, iterations):
    if not 2 <= start <= N:
        raise ValueError(f"SPICE cannot start with {start} endmembers of {N} pixels. Choose 2 to {N}.")
    if not 0 <= u < 1:
        raise ValueError(f"The weight of the endmembers' spread is {u:g}; it must be at least 0 and below 1.")
    if not gamma >= 0:
        raise ValueError(f"The strength of the sparsity is {gamma:g}; it must be at least 0, as 10 is.")
    if not tolerance > 0 or iterations < 1:
        raise ValueError(f"The tolerance is {tolerance:g} and the number of iterations {iterations}; both must be "
                         "above 0.")


def _abundances(Y, M, weights):
    """Step (1): argmin ||y - M a||^2 + weights^T a on the simplex, for every pixel."""
    if M.shape[1] == 1:
        return np.ones((1, Y.shape[1]))
    G = M.T @ M
    G[np.diag_indices_from(G)] += RIDGE * np.trace(G) / len(G)
    return minimise(G, M.T @ Y - weights[:, None] / 2, True)


def _endmembers(Y, A, u):
    """Step (2)."""
    P, N = A.shape
    H = A @ A.T
    if P > 1:
        H += N * u / ((P - 1) * (1 - u)) * (np.eye(P) - 1 / P)
    return np.linalg.lstsq(H, A @ Y.T, rcond=None)[0].T


def _cost(Y, energy, M, A, u, weights):
    """J."""
    P, N = A.shape
    fit = energy - 2 * np.einsum("lk,lk->", M, Y @ A.T) + np.einsum("ij,ij->", M.T @ M, A @ A.T)
    spread = np.square(M - M.mean(axis=1, keepdims=True)).sum() / (P - 1) if P > 1 else 0.0
    return float(max(fit, 0.0) + N * u / (1 - u) * spread + weights @ A.sum(axis=1))
