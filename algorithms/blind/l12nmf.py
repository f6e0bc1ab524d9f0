"""l1/2-NMF: nonnegative factors with sparse abundances."""

import numpy as np

from ..pixels import blocks
from .alternating import TINY, MtY, alternate, misfit, misfit_of_sums, multiplicative_endmembers, start

SPARSE = 1e-4


def l12nmf(Y, P, rng, *, initial=None, weight=None, delta=15.0, iterations=3000, tolerance=1e-4, callback=None):
    """
    Blind unmixing by l1/2-sparse NMF::

        min 1/2 ||Y - M A||^2 + delta^2 / 2 ||1^T - 1^T A||^2 + lambda sum A^(1/2)   subject to M, A >= 0

    Parameters
    ----------
    Y : ndarray (L, N)
        Values below zero count as zero.
    P : int
    rng : numpy.random.Generator
    initial : ndarray (L, P), optional
        See `alternating.start`.
    weight : float, optional
        lambda; from the data by default (see `sparseness`).
    delta : float
        Weight of the sum to one: larger is stricter and slower.
    iterations, tolerance, callback
        See `alternating.alternate`.

    Returns
    -------
    BlindUnmixing
        Sums of abundances are near one, the nearer the larger `delta`.

    Notes
    -----
    Multiplicative steps (eq. 17, 18 of the paper). Both alone never raise the cost, with one exception that is the
    paper's: abundances below 1e-4 take the step without lambda, whose term is infinite at zero, so that
    lambda sum A^(1/2) may rise a little there.

    References
    ----------
    Y. Qian, S. Jia, J. Zhou, A. Robles-Kelly, Hyperspectral unmixing via L1/2 sparsity-constrained nonnegative matrix
    factorization, IEEE TGRS 49(11), 2011. Departures: data are divided by their maximum; the cost holds the term in
    delta.
    """
    begin = start(Y, P, rng, initial, nonnegative=True)
    Y, energy = begin.Y, begin.energy
    weight = sparseness(Y) if weight is None else weight

    def cost(C, G, A):
        return misfit(energy, G, C, A) + delta**2 * misfit_of_sums(A) + weight * np.sqrt(A).sum()

    def step(M, A):
        M = multiplicative_endmembers(Y, M, A)
        C, G = MtY(M, Y), M.T @ M
        A = sparse_abundances(C, G, A, delta, weight)
        return M, A, cost(C, G, A)

    return alternate(step, cost(MtY(begin.M, Y), begin.M.T @ begin.M, begin.A), begin, iterations=iterations,
                     tolerance=tolerance, callback=callback)


def sparse_abundances(C, G, A, delta, weight, attraction=0.0, repulsion=0.0):
    """
    The multiplicative step A o (C + delta^2) / (G A + delta^2 1 1^T A + lambda / 2 A^(-1/2)), C = M^T Y, G = M^T M.

    `attraction` and `repulsion` are what a further term adds to the numerator and the denominator.
    """
    pressure = np.where(A >= SPARSE, 0.5 * weight / np.sqrt(np.maximum(A, SPARSE)), 0.0)
    return A * (C + delta**2 + attraction) / np.maximum(G @ A + delta**2 * A.sum(axis=0) + pressure + repulsion, TINY)


def sparseness(Y):
    """
    lambda from the data: (1 / sqrt L) sum_l (sqrt N - ||y_l||_1 / ||y_l||_2) / sqrt(N - 1), y_l a band of `Y` (L, N).
    """
    L, N = Y.shape
    one = sum(np.abs(block).sum(axis=1, dtype=np.float64) for block in blocks(Y))
    two = np.sqrt(sum(np.square(block, dtype=np.float64).sum(axis=1) for block in blocks(Y)))
    ratio = one / np.where(two > 0, two, 1.0)
    return float(np.sum((np.sqrt(N) - ratio)[two > 0]) / np.sqrt(N - 1) / np.sqrt(L))
