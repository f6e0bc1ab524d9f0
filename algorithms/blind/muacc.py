"""Accelerated multiplicative updates: several steps of one factor for each look at the data."""

import numpy as np

from .alternating import MtY, YAt, alternate, misfit
from .divergence import TINY, check_nonnegative
from .nmf import first_factors

LEAVE = 0.1   # repeats end when a step is less than this part of the first


def muacc(Y, P, rng, *, alpha=2.0, initial=None, begin_with="random", factors=None, iterations=1000, tolerance=1e-4,
          callback=None):
    """
    Blind unmixing by nonnegative matrix factorisation with accelerated multiplicative updates::

        min 1/2 ||Y - M A||^2   subject to M, A >= 1e-16

    Parameters
    ----------
    Y : ndarray (L, N)
        Not negative. They are divided by their maximum first.
    P : int
    rng : numpy.random.Generator
    alpha : float
        How much time the repeats may take, relative to a look at the data: endmembers are repeated at most
        floor(1 + alpha rho) times with rho = 1 + (L N + N P) / (L (P + 1)), abundances with
        rho = 1 + (L N + L P) / (N (P + 1)). 0 is the rule of Lee and Seung.
    initial, begin_with, factors
        See `nmf.nmf`.
    iterations, tolerance, callback
        See `alternating.alternate`.

    Returns
    -------
    BlindUnmixing
        Abundances have no scale of their own: see `nmf.as_fractions`.

    Raises
    ------
    ValueError
        Negative data (how many), an alpha below 0, or a start that does not fit.

    Notes
    -----
    The cost never rises. Repeats leave early once a step is less than 0.1 of the first.

    References
    ----------
    N. Gillis, F. Glineur, Accelerated multiplicative updates and hierarchical ALS algorithms for nonnegative matrix
    factorization, Neural Computation 24(4), 2012.
    """
    check_nonnegative(Y)
    if not (np.isfinite(alpha) and alpha >= 0):
        raise ValueError(f"alpha is {alpha:g}; it must be a number of at least 0, as 2 is.")
    begin = first_factors(Y, P, rng, initial, begin_with, factors)
    Y, energy = begin.Y, begin.energy
    L, N = Y.shape
    of_M, of_A = repeats(alpha, L, N, P), repeats(alpha, N, L, P)

    def step(M, A):
        M = repeated(M.T, A @ A.T, YAt(Y, A).T, of_M).T
        G, C = M.T @ M, MtY(M, Y)
        A = repeated(A, G, C, of_A)
        return M, A, misfit(energy, G, C, A)

    return alternate(step, misfit(energy, begin.M.T @ begin.M, MtY(begin.M, Y), begin.A), begin,
                     iterations=iterations, tolerance=tolerance, callback=callback)


def repeats(alpha, own, other, P):
    """At most so many steps of a factor with `own` times P numbers, the other side of the data being `other`."""
    return int(1 + alpha * (1 + (own * other + other * P) / (own * (P + 1))))


def repeated(F, G, C, most):
    """F o C / (G F), at most `most` times."""
    first = None
    for _ in range(most):
        new = np.maximum(TINY, F * C / (G @ F))
        size = np.linalg.norm(new - F)
        F, first = new, size if first is None else first
        if size <= LEAVE * first:
            break
    return F
