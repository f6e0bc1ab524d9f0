"""ELMM: every endmember is brighter or darker from pixel to pixel, smoothly in space."""

from dataclasses import dataclass

import numpy as np

from .model import VariableUnmixing, alternate, begin, relative_change, sweep
from .pixel_endmembers import correlations, grams, ridge_endmembers
from .spatial import Smoothness, TotalVariation, abundance_step, laplacian, smoothed

FILLS = 10   # rounds in which factors where there are no data follow their surroundings


@dataclass(frozen=True)
class ScaledUnmixing(VariableUnmixing):
    """
    `VariableUnmixing` with a scaling factor per endmember and pixel.

    Attributes
    ----------
    psi : ndarray (P, N)
        Factors of the reference endmembers; 1 is as bright.
    """

    psi: np.ndarray


def elmm(Y, M0, shape, valid=None, *, lambda_s=0.5, lambda_a=0.015, lambda_psi=0.05, start="scaled", exact=False,
         iterations=100, tolerance=1e-3, callback=None):
    """
    Abundances and one scaling factor per endmember and pixel (extended linear mixing model).

    With M_n ~ M0 diag(psi_n) in each pixel, find A on the simplex, M_n >= 0 and psi of least cost::

        1/2 sum_n (||y_n - M_n a_n||^2 + lambda_s ||M_n - M0 diag(psi_n)||^2)
            + lambda_a (||D_h A||_1 + ||D_v A||_1) + lambda_psi/2 (||D_h psi||^2 + ||D_v psi||^2)

    by turns: M_n (`ridge_endmembers`), A (`SpatialAbundances`), psi (`smoothed`: with lambda_psi = 0 it would be
    m_0^T m_n / ||m_0||^2).

    Parameters
    ----------
    Y : ndarray (L, N)
        Pixels of the whole image, row-major.
    M0 : ndarray (L, P)
        Reference endmembers, in the units of `Y`. Both are divided by their largest value.
    shape : (int, int)
        Rows and columns.
    valid : ndarray (N,) of bool, optional
        Where `Y` holds data; elsewhere the smoothness terms fill in.
    lambda_s : float
        How strictly endmembers are scaled copies of the reference.
    lambda_a : float
        Total variation of the abundances; 0 leaves each pixel to itself.
    lambda_psi : float
        Smoothness of the factors.
    start : {"scls", "scaled", "fcls"}
        Initial abundances and factors (see `model.begin`). The problem is not convex, and where the start is matters.
    exact : bool
        Solve for M_n >= 0 exactly, so that no step raises the cost (see `ridge_endmembers`).
    iterations : int
    tolerance : float
        Relative change of A and of psi below which it ends.
    callback : callable(iteration, cost) -> bool or None, optional

    Returns
    -------
    ScaledUnmixing

    Notes
    -----
    M_n is never stored: it follows from y, a and psi, and is made anew for a few thousand pixels at a time.

    Where a_k is near zero nothing but lambda_psi tells psi_k. The factors start at the scaling that belongs to the
    abundances of scaled constrained least squares, the same for all endmembers of a pixel; data with one factor per
    pixel are solved by that. (The authors' code starts at 1, `start="scls"`: on Samson the abundances' error is 0.21
    then instead of 0.13, on Jasper Ridge 0.13 instead of 0.11.)

    References
    ----------
    L. Drumetz et al., Blind hyperspectral unmixing using an extended linear mixing model to address spectral
    variability, IEEE TIP 25(8), 2016. Departures: no differences across the image's edges, where its code has periodic
    ones; the factors' start; convergence is of A and psi, of which M_n is a function.
    """
    problem = begin(Y, M0, shape, valid, dict(lambda_s=lambda_s, lambda_psi=lambda_psi), dict(lambda_a=lambda_a), start)
    P, N = problem.P, problem.N
    columns = problem.M0.T.astype(problem.Y.dtype)[:, :, None]
    size, eigenvalues = np.square(problem.M0).sum(axis=0), laplacian(shape)
    prior = TotalVariation(lambda_a, shape)
    abundances = abundance_step(prior, problem.A, shape)
    hole = ~problem.valid   # there M_n is M0 diag(psi_n) and follows psi at no cost
    A, psi = problem.A, np.tile(problem.psi, (P, 1))

    def endmembers(part):
        T = columns * psi[:, None, part].astype(columns.dtype)
        return ridge_endmembers(T, problem.Y[:, part], problem.weights(A, part), lambda_s, exact)

    def step():
        nonlocal A, psi
        H, c, g = np.empty((N, P, P)), np.empty((P, N)), np.empty((P, N))

        def measure(part):
            M = endmembers(part)
            H[part], c[:, part] = grams(M), correlations(M, problem.Y[:, part])
            g[:, part] = np.stack([m0 @ m for m0, m in zip(columns[:, :, 0], M)])
        sweep(measure, N)
        energy = np.einsum("npp->pn", H).copy()
        H[~problem.valid] = 0
        newA = abundances(H, c)
        newpsi, roughness = np.empty_like(psi), 0.0
        for p in range(P):
            X = g[p] / size[p]
            for _ in range(FILLS if hole.any() else 1):
                Z, rough = smoothed(X.reshape(shape), lambda_s * size[p], lambda_psi, eigenvalues)
                X[hole] = Z.ravel()[hole]
            newpsi[p], roughness = Z.ravel(), roughness + rough
        apart = (energy - 2 * newpsi * g + newpsi**2 * size[:, None])[:, problem.valid].sum()
        change = max(relative_change(A, newA), relative_change(psi, newpsi))
        A, psi = newA, newpsi
        return problem.misfit(H, c, A) + lambda_s / 2 * apart + prior.cost(A) + lambda_psi / 2 * roughness, change

    cost = problem.misfit_of_reference(A * psi) + prior.cost(A) + Smoothness(lambda_psi, shape).cost(psi)
    costs, converged = alternate(step, cost, iterations=iterations, tolerance=tolerance, callback=callback)
    return problem.result(A, problem.M0, endmembers, costs, converged, ScaledUnmixing, psi=psi)
