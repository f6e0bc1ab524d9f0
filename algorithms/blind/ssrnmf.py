"""SSRNMF: sparse NMF whose abundances keep to the scene's own subspace."""

import numpy as np

from ..pixels import moments
from .l12nmf import sparse_abundances, sparseness
from .alternating import MtY, alternate, misfit, misfit_of_sums, multiplicative_endmembers, start


def ssrnmf(Y, P, rng, *, initial=None, weight=None, structure=1.0, delta=5.0, iterations=3000, tolerance=1e-4,
           callback=None):
    """
    Blind unmixing by subspace-structure regularised NMF::

        min 1/2 ||Y - M A||^2 + delta^2 / 2 ||1^T - 1^T A||^2 + lambda sum A^(1/2) + mu ||A (I - Z)||^2,  M, A >= 0

    Parameters
    ----------
    Y : ndarray (L, N)
        Values below zero count as zero.
    P : int
    rng : numpy.random.Generator
    initial : ndarray (L, P), optional
        See `alternating.start`.
    weight : float, optional
        lambda; from the data by default (see `l12nmf.sparseness`).
    structure : float
        mu.
    delta : float
        Weight of the sum to one.
    iterations, tolerance, callback
        See `alternating.alternate`.

    Returns
    -------
    BlindUnmixing

    Notes
    -----
    Z represents every pixel by all others, Y = Y Z with the least nuclear norm. Of a scene of rank P that is
    Z = V V^T, V (N, P) its right singular vectors, which also serves here where there is noise: nothing of N x N
    numbers is held. I - Z is then a projection, and mu ||A (I - Z)||^2 = mu ||A||^2 - mu ||A V||^2. The step replaces
    the concave - mu ||A V||^2 by its tangent at A_k, whose gradient B = A_k Z has both signs, and so adds 2 mu B^+ to
    the numerator and 2 mu (A + B^-) to the denominator. It never raises the cost (with the exception of `l12nmf`), and
    no abundance becomes negative, as happens where W = (I - Z)(I - Z)^T stands in the denominator as printed.

    References
    ----------
    L. Zhou, X. Zhang, J. Wang, X. Bai, L. Tong, L. Zhang, J. Zhou, E. Hancock, Subspace structure regularized
    nonnegative matrix factorization for hyperspectral unmixing, IEEE JSTARS 13, 2020. Departures: Z in closed form
    instead of low-rank representation with a sparse error; the step; VCA and FCLS to start from.
    """
    begin = start(Y, P, rng, initial, nonnegative=True)
    Y, energy = begin.Y, begin.energy
    weight = sparseness(Y) if weight is None else weight
    Vt = right_singular_vectors(Y, P)

    def cost(C, G, A):
        outside = max(np.square(A).sum() - np.square(A @ Vt.T).sum(), 0.0)
        return (misfit(energy, G, C, A) + delta**2 * misfit_of_sums(A) + weight * np.sqrt(A).sum()
                + structure * outside)

    def step(M, A):
        M = multiplicative_endmembers(Y, M, A)
        C, G = MtY(M, Y), M.T @ M
        B = (A @ Vt.T) @ Vt
        A = sparse_abundances(C, G, A, delta, weight, attraction=2 * structure * np.maximum(B, 0.0),
                              repulsion=2 * structure * (A + np.maximum(-B, 0.0)))
        return M, A, cost(C, G, A)

    return alternate(step, cost(MtY(begin.M, Y), begin.M.T @ begin.M, begin.A), begin, iterations=iterations,
                     tolerance=tolerance, callback=callback)


def right_singular_vectors(Y, P):
    """The P leading right singular vectors of `Y` (L, N) as rows (P, N), from the eigenvectors of Y Y^T."""
    R = moments(Y).R
    values, vectors = np.linalg.eigh(R)
    if not values[-P] > len(R) * np.finfo(float).eps * values[-1]:
        raise ValueError(f"The scene spans fewer than {P} dimensions, too few for {P} endmembers. Ask for fewer.")
    return np.linalg.qr(MtY(vectors[:, -P:], Y).T)[0].T
