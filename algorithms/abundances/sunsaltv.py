"""SUnSAL-TV: sparse unmixing with total variation of the abundance maps."""

import numpy as np

from ..blind.alternating import onto_simplex
from ..variability.spatial import TotalVariation
from .linear_model import errors
from .products import products
from .sparse import SparseAbundances, check_library, check_weight, cost, unit
from .sunsal import MU, sunsal

EVERY = 10        # iterations between two looks at mu
BALANCE = 3.0     # gap and move may differ by this factor before mu changes
GROWTH = 2.0      # and so much it changes then
NUMBERS = 14      # float64 numbers per spectrum and pixel that are held


def sunsaltv(Y, M, shape, weight, variation, valid=None, *, isotropic=False, sum_to_one=False, iterations=1000,
             tolerance=1e-5, callback=None):
    """
    Sparse abundances whose maps are smooth in patches, for a whole scene.

    min 1/2 ||Y - M A||^2 + weight ||A||_1 + variation TV(A) over A >= 0, with 1^T A = 1 if `sum_to_one`. TV sums, over
    all maps, the absolute differences between neighbours in a row and in a column, or with `isotropic` the root of the
    sum of both squares. ADMM with the splittings B = A, V = A and S = (D_h V, D_v V)::

        A   (G + 2 mu I) A = C + mu (B + f + V + d)
        B   max(A - f - weight / mu, 0), or the nearest point of the simplex
        V   least squares to A - d and to S, by cosine transform (`TotalVariation`)
        S   soft thresholds of the differences by variation / mu
        d -= A - V,  f -= A - B

    Parameters
    ----------
    Y : ndarray (L, N)
        The whole scene, row-major, of any real dtype.
    M : ndarray (L, P)
        Library, in the units of `Y`; it may hold more spectra than bands.
    shape : (int, int)
        Rows and columns.
    weight, variation : float
        In squared units of the data (see `sparse.unit`). `weight` has no effect with `sum_to_one`.
    valid : ndarray (N,) of bool, optional
        Other pixels take no part, in differences neither, and come out as NaN.
    isotropic, sum_to_one : bool
    iterations : int
        At most so many.
    tolerance : float
        Root mean square, in units of abundance, below which the splittings agree and have stopped moving.
    callback : callable(iteration, cost) -> bool or None, optional
        After every ten iterations, with the cost at B, which may rise; true stops.

    Returns
    -------
    SparseAbundances
        `A` is B: exactly nonnegative (and summing to one). `settled` is alike in all pixels.

    Raises
    ------
    ValueError
        A library that cannot be used, arrays that do not fit, negative weights, valid pixels that are not finite.

    References
    ----------
    M.-D. Iordache, J. Bioucas-Dias, A. Plaza, Total variation spatial regularization for sparse hyperspectral unmixing,
    IEEE TGRS 50(11), 2012. Departures: no differences across the image's edges, where the paper wraps around, nor at
    masked pixels; M A is not split, which leaves one system of P unknowns; sparsity and positivity are one splitting;
    the sum to one; the start is `sunsal` with the same weight; mu follows the residuals, all of which have to be small
    (S. Boyd et al., 2011, sections 3.3 and 3.4.1).
    """
    check_library(M)
    check_weight(weight)
    check_weight(variation, "of the total variation")
    M, N = np.asarray(M, dtype=np.float64), Y.shape[1]
    if shape[0] * shape[1] != N:
        raise ValueError(f"{N} pixels do not make an image of {shape[0]} rows and {shape[1]} columns.")
    valid = np.ones(N, dtype=bool) if valid is None else np.asarray(valid, dtype=bool)
    start = sunsal(Y[:, valid], M, weight, sum_to_one=sum_to_one)
    if not np.isfinite(start.A).all():
        raise ValueError("The valid pixels hold values that are not finite: mask them first.")
    scale, P = unit(M), M.shape[1]
    C, q = products(Y[:, valid], M)
    G, c = M.T @ M, np.zeros((P, N))
    c[:, valid] = C / scale
    prior, (values, vectors) = TotalVariation(variation / scale, shape, valid, isotropic), np.linalg.eigh(G / scale)
    B = np.zeros((P, N))
    B[:, valid] = start.A
    B[:, ~valid] = start.A.mean(axis=1, keepdims=True)
    V, d, f, mu = B.copy(), np.zeros((P, N)), np.zeros((P, N)), MU
    enough, costs, iteration, converged = tolerance * np.sqrt(2 * P * N), [], 0, False
    while iteration < iterations and not converged:
        iteration += 1
        A = c + mu * (B + f + V + d)
        A = vectors @ ((vectors.T @ A) / (values[:, None] + 2 * mu))
        A[:, ~valid] = V[:, ~valid]                          # bound to nothing but their neighbours
        oldV, oldB = V, B
        V, gaps = prior.step((A - d).reshape(P, *shape), V.reshape(P, *shape), mu)
        V = V.reshape(P, N)
        B = onto_simplex(A - f) if sum_to_one else np.maximum(A - f - weight / scale / mu, 0)
        B[:, ~valid] = A[:, ~valid]
        d -= A - V
        d[:, ~valid] = 0.0
        f -= A - B
        gap = np.sqrt(np.square(A - V).sum() + np.square(A - B).sum() + gaps)
        move = np.sqrt(np.square(V - oldV).sum() + np.square(B - oldB).sum())
        converged = max(gap, move) <= enough
        if iteration % EVERY == 0 or converged:
            X = B[:, valid]
            costs.append(float(cost(C, q, X, G @ X, weight).sum()) + scale * prior.cost(B))
            if callback is not None and callback(iteration, costs[-1]):
                break
            factor = GROWTH if gap > BALANCE * move else 1 / GROWTH if move > BALANCE * gap else 1.0
            mu *= factor
            d /= factor
            f /= factor
            prior.rescale(factor)
    fit, found = np.full((2, N), np.nan), np.full((P, N), np.nan)
    found[:, valid] = B[:, valid]
    fit[:, valid] = errors(G, C, q, B[:, valid], len(M))
    return SparseAbundances(found, *fit, np.array(costs), iteration, np.full(N, converged))
