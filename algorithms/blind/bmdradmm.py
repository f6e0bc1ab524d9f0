"""Minimum dispersion: the fitting simplex whose endmembers lie close together, by splitting."""

import numpy as np

from .alternating import MtY, YAt, alternate, misfit, onto_simplex, start


def bmdradmm(Y, P, rng, *, initial=None, weight=1e-4, rho=0.1, inner=10, iterations=300, tolerance=1e-4,
             callback=None):
    """
    Blind unmixing by minimum dispersion, the batch form of OMDR-ADMM::

        min 1/2 ||Y - M A||^2 + mu tr(M D M^T)   subject to M, A >= 0, 1^T A = 1,   D = I - 1 1^T / P

    Parameters
    ----------
    Y : ndarray (L, N)
        They are divided by their maximum first.
    P : int
    rng : numpy.random.Generator
        For VCA.
    initial : ndarray (L, P), optional
        See `alternating.start`.
    weight : float
        Of the dispersion, relative to the scene's energy: mu = weight ||Y||^2 / tr(M D M^T) at the start.
    rho : float
        Penalty of the splitting, relative to the mean diagonal of M^T M for the abundances, and of A A^T for the
        endmembers; how fast it settles, not where.
    inner : int
        Splitting steps per factor and iteration.
    iterations, tolerance, callback
        See `alternating.alternate`.

    Returns
    -------
    BlindUnmixing
        Abundances are not negative and sum to one exactly.

    Raises
    ------
    ValueError
        A weight below 0, a rho of 0 or less, and see `alternating.start`.

    Notes
    -----
    In turn, each `inner` times, with the multipliers kept from one iteration to the next::

        A = argmin 1/2 ||Y - M A||^2 + rho / 2 ||A - V + Pi||^2, 1^T A = 1;  V = [A + Pi]_+;  Pi += A - V
        M = (Y A^T + rho (U - Lambda)) (A A^T + rho I + 2 mu D)^-1;  U = [M + Lambda]_+;  Lambda += M - U

    with U for M and V for A in the other's step. `costs` are of U and V, and may rise: splitting promises that they
    settle in each step, not that they fall. At the end V is moved to the nearest abundances that sum to one.

    References
    ----------
    L. Nus, S. Miron, D. Brie, An ADMM-based algorithm with minimum dispersion constraint for on-line unmixing of
    hyperspectral images, Chemometrics and Intelligent Laboratory Systems 204, 2020. Departures: its memory of past
    samples (alpha) is 0, as the whole scene is at hand; weight and rho are relative.
    """
    if not (np.isfinite(weight) and weight >= 0):
        raise ValueError(f"The weight of the dispersion is {weight:g}; it must be a number of at least 0.")
    if not (np.isfinite(rho) and rho > 0):
        raise ValueError(f"The penalty rho is {rho:g}; it must be above 0, as 0.1 is.")
    begin = start(Y, P, rng, initial)
    begin = type(begin)(begin.Y, np.maximum(begin.M, 0.0), begin.A, begin.scale)
    Y, energy, D = begin.Y, begin.energy, np.eye(P) - 1 / P
    mu = weight * energy / np.einsum("lp,pq,lq->", begin.M, D, begin.M)
    Pi, Lambda = np.zeros_like(begin.A), np.zeros_like(begin.M)

    def cost(U, G, C, V):
        return misfit(energy, G, C, V) + mu * float(np.einsum("lp,pq,lq->", U, D, U))

    def step(U, V):
        nonlocal Pi, Lambda
        U, Lambda = spectra(U, Lambda, V @ V.T, YAt(Y, V), mu, rho, inner)
        G, C = U.T @ U, MtY(U, Y)
        V, Pi = fractions(V, Pi, G, C, rho, inner)
        return U, V, cost(U, G, C, V)

    found = alternate(step, cost(begin.M, begin.M.T @ begin.M, MtY(begin.M, Y), begin.A), begin,
                      iterations=iterations, tolerance=tolerance, callback=callback)
    return type(found)(found.M, onto_simplex(found.A), found.costs, found.iterations, found.converged)


def spectra(U, Lambda, H, B, mu, rho, steps):
    """Splitting steps for 1/2 tr(M H M^T) - tr(M^T B) + mu tr(M D M^T), M >= 0: U and its multipliers."""
    P = len(H)
    rho = rho * np.trace(H) / P
    inverse = np.linalg.inv(H + rho * np.eye(P) + 2 * mu * (np.eye(P) - 1 / P))
    for _ in range(steps):
        M = (B + rho * (U - Lambda)) @ inverse
        U = np.maximum(M + Lambda, 0.0)
        Lambda = Lambda + M - U
    return U, Lambda


def fractions(V, Pi, G, C, rho, steps):
    """Splitting steps for 1/2 tr(A^T G A) - tr(A^T C), A >= 0, 1^T A = 1: V and its multipliers."""
    P = len(G)
    rho = rho * np.trace(G) / P
    bordered = np.zeros((P + 1, P + 1))
    bordered[:P, :P] = G + rho * np.eye(P)
    bordered[P, :P] = bordered[:P, P] = 1.0
    inverse = np.linalg.inv(bordered)[:P]
    for _ in range(steps):
        A = inverse[:, :P] @ (C + rho * (V - Pi)) + inverse[:, P:]
        V = np.maximum(A + Pi, 0.0)
        Pi = Pi + A - V
    return V, Pi
