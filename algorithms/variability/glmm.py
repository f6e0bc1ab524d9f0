"""GLMM: every endmember has a factor of its own in every pixel and band, smooth in space."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from .model import WORKERS, VariableUnmixing, alternate, begin, relative_change, sweep
from .pixel_endmembers import correlations, grams, ridge_endmembers
from .spatial import Smoothness, TotalVariation, abundance_step, laplacian, smoothed

SMALLEST = 1e-6   # a reference below this share of the largest value has no factor: it counts as this
BANDS = 16        # bands smoothed at once


@dataclass(frozen=True)
class GeneralisedUnmixing(VariableUnmixing):
    """
    `VariableUnmixing` with a factor per band, endmember and pixel.

    Attributes
    ----------
    Psi : ndarray (P, L, N)
        Factors of the reference endmembers; 1 is as bright.
    """

    Psi: np.ndarray


def glmm(Y, M0, shape, valid=None, *, lambda_m=1.0, lambda_a=0.01, lambda_psi=1e-6, start="scaled", exact=False,
         iterations=50, tolerance=1e-3, callback=None):
    """
    Abundances and a factor per band, endmember and pixel (generalised linear mixing model).

    With M_n ~ Psi_n o M0 in each pixel, find A on the simplex, M_n >= 0 and Psi of least cost::

        1/2 sum_n (||y_n - M_n a_n||^2 + lambda_m ||M_n - Psi_n o M0||^2)
            + lambda_a (||D_h A||_1 + ||D_v A||_1) + lambda_psi/2 (||D_h Psi||^2 + ||D_v Psi||^2)

    by turns: M_n (`ridge_endmembers`), A (`SpatialAbundances`), Psi (`smoothed`, for each band and endmember). The
    factors are smooth in space only, not over the bands.

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
    lambda_m : float
        How strictly endmembers follow their factors.
    lambda_a : float
        Total variation of the abundances; 0 leaves each pixel to itself.
    lambda_psi : float
        Smoothness of the factors.
    start, exact, iterations, tolerance, callback
        As for `elmm`; the tolerance is of A and of the cost.

    Returns
    -------
    GeneralisedUnmixing

    Notes
    -----
    P * L * N numbers in the type of the data are held: Psi, and in turn M_n in its place.

    There are as many factors as data P times over: without smoothness the model fits noise, and a small reconstruction
    error says nothing.

    References
    ----------
    T. Imbiriba, R. Borsoi, J. Bermudez, Generalized linear mixing model accounting for endmember variability, ICASSP
    2018. Departures: no differences across the image's edges; the factors' start, as for `elmm`; convergence is of A
    and the cost; bands where a reference is (nearly) zero count as 1e-6 of the largest value.
    """
    problem = begin(Y, M0, shape, valid, dict(lambda_m=lambda_m, lambda_psi=lambda_psi), dict(lambda_a=lambda_a), start)
    P, N, L = problem.P, problem.N, len(problem.M0)
    columns = np.maximum(problem.M0, SMALLEST).T.astype(problem.Y.dtype)[:, :, None]
    eigenvalues, prior = laplacian(shape).astype(problem.Y.dtype), TotalVariation(lambda_a, shape)
    abundances = abundance_step(prior, problem.A, shape)
    A, Psi = problem.A, np.broadcast_to(problem.psi, (P, L, N)).astype(problem.Y.dtype)

    def endmembers(part):
        return ridge_endmembers(columns * Psi[:, :, part], problem.Y[:, part], problem.weights(A, part), lambda_m,
                                exact)

    def smooth(plane):
        """Endmembers of one material in a few bands give way to their factors; what these cost."""
        p, bands = plane
        m0, M = columns[p, bands], Psi[p, bands]
        maps, roughness = smoothed((M / m0).reshape(-1, *shape), lambda_m * np.square(m0)[:, :, None], lambda_psi,
                                   eigenvalues)
        factors = maps.reshape(M.shape)
        apart = float(np.square(M - factors * m0, dtype=np.float64).sum())
        M[...] = factors
        return lambda_m / 2 * apart + lambda_psi / 2 * roughness

    planes = [(p, slice(band, band + BANDS)) for p in range(P) for band in range(0, L, BANDS)]
    cost = problem.misfit_of_reference(A * problem.psi) + prior.cost(A) + \
        P * L * Smoothness(lambda_psi, shape).cost(problem.psi)

    def step():
        nonlocal A, cost
        H, c = np.empty((N, P, P)), np.empty((P, N))

        def measure(part):
            M = Psi[:, :, part] = endmembers(part)
            H[part], c[:, part] = grams(M), correlations(M, problem.Y[:, part])
        sweep(measure, N)
        H[~problem.valid] = 0
        newA = abundances(H, c)
        with ThreadPoolExecutor(WORKERS) as pool:
            factors = sum(pool.map(smooth, planes))
        old, cost, change = cost, problem.misfit(H, c, newA) + prior.cost(newA) + factors, relative_change(A, newA)
        A = newA
        return cost, max(change, abs(old - cost) / max(cost, np.finfo(float).tiny))

    costs, converged = alternate(step, cost, iterations=iterations, tolerance=tolerance, callback=callback)
    return problem.result(A, problem.M0, endmembers, costs, converged, GeneralisedUnmixing, Psi=Psi)
