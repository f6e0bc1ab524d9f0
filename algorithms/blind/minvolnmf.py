"""Minimum-volume NMF: the smallest simplex that explains the scene."""

from functools import partial

import numpy as np

from .alternating import MtY, YAt, accelerated_gradient, alternate, misfit, onto_simplex, start


def minvolnmf(Y, P, rng, *, initial=None, weight=0.1, delta=0.1, inner=10, iterations=100, tolerance=1e-4,
              callback=None):
    """
    Blind unmixing by minimum-volume rank-deficient NMF::

        min 1/2 ||Y - M A||^2 + lambda' / 2 log det(M^T M + delta I)   subject to M, A >= 0, 1^T A <= 1

    Parameters
    ----------
    Y : ndarray (L, N)
    P : int
    rng : numpy.random.Generator
    initial : ndarray (L, P), optional
        See `alternating.start`.
    weight : float
        lambda, of which lambda' = lambda max(1e-6, ||Y - M A||^2) / |log det(M^T M + delta I)| at the start.
    delta : float
        What makes endmembers beyond the scene's rank harmless.
    inner : int
        Gradient steps per factor and iteration.
    iterations, tolerance, callback
        See `alternating.alternate`.

    Returns
    -------
    BlindUnmixing
        Abundances sum to at most one.

    Notes
    -----
    The cost never rises. A: accelerated projected gradient on the simplex. M: the same on a quadratic above the cost,
    log det(M^T M + delta I) <= tr(D M^T M) + const with D = (M_k^T M_k + delta I)^-1, so that H = A A^T + lambda' D
    takes the place of A A^T.

    References
    ----------
    V. Leplat, A. M. S. Ang, N. Gillis, Minimum-volume rank-deficient nonnegative matrix factorizations, ICASSP 2019.
    Departures: the start is VCA's, not SNPA's; data are divided by their maximum; |log det| counts as at least 1 in
    lambda'.
    """
    begin = start(Y, P, rng, initial)
    Y, energy, M = begin.Y, begin.energy, np.maximum(begin.M, 0.0)
    begin = type(begin)(Y, M, begin.A, begin.scale)

    def volume(M):
        return float(np.linalg.slogdet(M.T @ M + delta * np.eye(P))[1])

    error = misfit(energy, M.T @ M, MtY(M, Y), begin.A)
    strength = weight * max(1e-6, 2 * error) / max(abs(volume(M)), 1.0)

    def step(M, A):
        D = np.linalg.inv(M.T @ M + delta * np.eye(P))
        M = accelerated_gradient(M.T, A @ A.T + strength * D, YAt(Y, A).T, partial(np.maximum, 0.0), inner).T
        C, G = MtY(M, Y), M.T @ M
        A = accelerated_gradient(A, G, C, partial(onto_simplex, at_most=True), inner)
        return M, A, misfit(energy, G, C, A) + 0.5 * strength * volume(M)

    return alternate(step, error + 0.5 * strength * volume(M), begin, iterations=iterations, tolerance=tolerance,
                     callback=callback)
