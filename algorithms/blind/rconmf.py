"""R-CoNMF: more endmembers than needed, of which a collaborative penalty leaves the active ones."""

import numpy as np

from ..pixels import moments
from .alternating import MtY, alternate, misfit, start

TARGETS = ("boundary", "centre")
SURPLUS = 10**-1.5  # alpha' over sqrt(N / P) where P may be too large
BALANCE = 10.0      # of ADMM's residuals before its penalty changes
EXACT = 1e-5        # residual per abundance at which ADMM ends


def rconmf(Y, P, rng, *, initial=None, alpha=1e-6, beta=50.0, target="centre", proximal=1.0, draws=50, inner=100,
           iterations=200, tolerance=1e-4, callback=None):
    """
    Blind unmixing by robust collaborative NMF, in the P - 1 affine dimensions of the scene::

        min 1/2 ||Y - M A||^2 + alpha' sum_k ||a_k.|| + beta' / 2 ||(M - O) / P||^2   subject to A >= 0, 1^T A = 1

    with alpha' = alpha sqrt(N / 1000), beta' = beta N / 1000.

    Parameters
    ----------
    Y : ndarray (L, N)
    P : int
        Number of endmembers, q in the paper: it may be too large.
    rng : numpy.random.Generator
    initial : ndarray (L, P), optional
        See `alternating.start`.
    alpha : float or None
        Weight of the rows' norms, which empties rows that are not needed. 1e-6 is the authors' for a P known to be
        right and empties none; None takes theirs for one that may be too large, alpha' = 10^-1.5 sqrt(N / P).
    beta : float
        Weight of what holds the endmembers.
    target : {"centre", "boundary"}
        O: the mean spectrum, which makes the simplex small, or the initial endmembers.
    proximal : float
        Weight of the distance to the last iterate (mu_A; mu_M is this times N / 1000).
    draws : int
        VCA runs, of which the largest simplex is the start.
    inner : int
        ADMM iterations for A at most.
    iterations, tolerance, callback
        See `alternating.alternate`.

    Returns
    -------
    BlindUnmixing
        `active` tells which endmembers are used. Endmembers may have values below zero, as nothing forbids them.

    Notes
    -----
    Proximal alternating minimisation: M in closed form, A by ADMM started where the last one ended, so that the cost
    falls to within ADMM's tolerance. Since 1^T A = 1, working in P - 1 coordinates around the mean is the paper's
    lifted problem. The last iterate of the constraint a >= 0 is divided by its sum, which ADMM leaves within its
    tolerance of one.

    References
    ----------
    J. Li, J. M. Bioucas-Dias, A. Plaza, L. Liu, Robust collaborative nonnegative matrix factorization for
    hyperspectral unmixing, IEEE TGRS 54(10), 2016. Departures: row norms and a >= 0 share one ADMM variable, as the
    proximal operator of their sum is known; ADMM's penalty follows its residuals; it stops on a relative change. The
    code's own default, beta = 0.5 on the boundary, hardly holds data divided by their maximum: the simplex grows until
    it holds every pixel. The default here is from a coarse search on Samson and Jasper Ridge.
    """
    if target not in TARGETS:
        raise ValueError(f"The target is {target!r}; it must be one of {', '.join(map(repr, TARGETS))}.")
    begin = start(Y, P, rng, initial, draws=draws)
    scene = moments(begin.Y)
    U, mean = np.linalg.eigh(scene.K)[1][:, -(P - 1):], scene.mean[:, None]
    X = MtY(U, begin.Y) - U.T @ mean
    N = X.shape[1]
    row = SURPLUS * np.sqrt(N / P) if alpha is None else alpha * np.sqrt(N / 1000)
    hold, still = beta * N / 1000 / P**2, proximal * N / 1000
    first = U.T @ (begin.M - mean)
    O = first if target == "boundary" else np.zeros_like(first)
    inside = type(begin)(X, first, begin.A, 1.0)
    energy, admm = inside.energy, _SimplexADMM(begin.A, row, inner)

    def cost(M, A):
        return (misfit(energy, M.T @ M, M.T @ X, A) + row * np.linalg.norm(A, axis=1).sum()
                + 0.5 * hold * np.square(M - O).sum())

    def step(M, A):
        M = np.linalg.solve(A @ A.T + (hold + still) * np.eye(P), (X @ A.T + hold * O + still * M).T).T
        A = admm.solve(M.T @ M + proximal * np.eye(P), M.T @ X + proximal * A)
        return M, A, cost(M, A)

    found = alternate(step, cost(first, begin.A), inside, iterations=iterations, tolerance=tolerance,
                      callback=callback)
    return type(found)((mean + U @ found.M) * begin.scale, found.A, found.costs, found.iterations, found.converged)


class _SimplexADMM:
    """
    ADMM for min 1/2 tr(A^T K A) - tr(C^T A) + alpha sum_k ||v_k.||, V >= 0, 1^T A = 1, A = V, started where it ended.
    """

    def __init__(self, A, alpha, steps):
        self.V, self.D, self.alpha, self.steps, self.rho = A, np.zeros_like(A), alpha, steps, None

    def solve(self, K, C):
        V, D, alpha = self.V, self.D, self.alpha
        rho = self.rho or np.trace(K) / len(K) / 10
        small = EXACT * np.sqrt(V.size)
        for _ in range(self.steps):
            inverse = np.linalg.inv(K + rho * np.eye(len(K)))
            ones = inverse.sum(axis=1, keepdims=True)
            A = inverse @ (C + rho * (V + D))
            A -= ones * ((A.sum(axis=0) - 1) / ones.sum())
            last, V = V, np.maximum(A - D, 0.0)
            V *= np.maximum(1 - alpha / rho / np.maximum(np.linalg.norm(V, axis=1, keepdims=True), 1e-300), 0.0)
            D = D - (A - V)
            primal, dual = np.linalg.norm(A - V), np.linalg.norm(V - last)
            if primal < small and dual < small:
                break
            if primal > BALANCE * dual:
                rho, D = 2 * rho, D / 2
            elif dual > BALANCE * primal:
                rho, D = rho / 2, 2 * D
        self.V, self.D, self.rho = V, D, rho
        return V / V.sum(axis=0)
