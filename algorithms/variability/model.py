"""What the models y_n = M_n a_n + e_n share: a start, passes over the pixels, alternating steps, and the result."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from ..abundances.fcls import fcls
from ..abundances.linear_model import check_endmembers
from ..abundances.products import products
from ..abundances.scls import scls
from .pixel_endmembers import chunks, correlations, departure, grams, mixtures
from .spatial import filled

WORKERS = min(os.cpu_count() or 1, 4)


@dataclass(frozen=True)
class VariableUnmixing:
    """
    Abundances and the endmembers of every pixel.

    Attributes
    ----------
    A : ndarray (P, N)
        Abundances: nonnegative, summing to one. Pixels that are not valid hold what the prior says of them.
    reference : ndarray (L, P)
        What the pixels' endmembers depart from, in the units of the data.
    endmembers : callable(slice or indices) -> ndarray (P, L, n)
        The endmembers of these pixels, in the units of the data; made when asked for.
    costs : ndarray (iterations + 1,)
        The method's cost at the start and after each iteration, of the data divided by `scale`.
    iterations : int
    converged : bool
        False if the iteration ended at its limit or was stopped.
    scale : float
        The largest value of the given endmembers.
    """

    A: np.ndarray
    reference: np.ndarray
    endmembers: Callable
    costs: np.ndarray
    iterations: int
    converged: bool
    scale: float

    def departure(self):
        """How far each pixel's endmembers are from the reference, (P, N): see `pixel_endmembers.departure`."""
        D = np.empty(self.A.shape)

        def measure(part):
            D[:, part] = departure(self.endmembers(part), self.reference)
        sweep(measure, D.shape[1])
        return D

    def reconstruction(self, part=slice(None)):
        """M_n a_n of these pixels, (L, n)."""
        return mixtures(self.endmembers(part), self.A[:, part])


@dataclass(frozen=True)
class Problem:
    """
    Where a method starts, in data divided by `scale`, so that weights mean the same in every unit.

    Attributes
    ----------
    Y : ndarray (L, N)
        Data, float64 if they came so and float32 otherwise; zero in pixels that are not valid.
    M0 : ndarray (L, P)
        Reference endmembers, float64.
    A : ndarray (P, N)
        Initial abundances.
    psi : ndarray (N,)
        Scaling of the endmembers that belongs to them.
    valid : ndarray (N,) of bool
    shape : (int, int)
    scale : float
    """

    Y: np.ndarray
    M0: np.ndarray
    A: np.ndarray
    psi: np.ndarray
    valid: np.ndarray
    shape: tuple
    scale: float

    @property
    def P(self):
        return self.M0.shape[1]

    @property
    def N(self):
        return self.Y.shape[1]

    def weights(self, A, part):
        """The abundances of these pixels, zero where there are no data."""
        return A[:, part] * self.valid[part]

    def normal_equations(self, endmembers):
        """
        H = M_n^T M_n (N, P, P) and c = M_n^T y_n (P, N) of every pixel, zero where there are no data.

        `endmembers(part)` gives M (P, L, n) of a slice of the pixels.
        """
        H, c = np.zeros((self.N, self.P, self.P)), np.zeros((self.P, self.N))

        def measure(part):
            M = endmembers(part)
            H[part], c[:, part] = grams(M), correlations(M, self.Y[:, part])
        sweep(measure, self.N)
        H[~self.valid] = 0
        return H, c

    def misfit(self, H, c, A):
        """1/2 sum over the valid pixels of ||y - M_n a||^2, from the normal equations."""
        energy = float(np.einsum("ln,ln->", self.Y, self.Y, dtype=np.float64))
        along, inside = np.einsum("pn,pn->", c, A), np.einsum("pn,npq,qn->", A, H, A, optimize=True)
        return 0.5 * max(energy - 2 * along + inside, 0.0)

    def misfit_of_reference(self, A):
        """The same where every pixel has the reference endmembers."""
        C, G = products(self.Y, self.M0)[0], self.M0.T @ self.M0
        return self.misfit(np.broadcast_to(G, (self.N, *G.shape)), C, A * self.valid)

    def result(self, A, M0, endmembers, costs, converged, kind=VariableUnmixing, **more):
        """The answer in the data's own units."""
        dtype = self.Y.dtype.type
        return kind(A, M0 * self.scale, lambda part: endmembers(part) * dtype(self.scale), np.array(costs),
                    len(costs) - 1, converged, self.scale, **more)


def begin(Y, M0, shape, valid=None, weights=None, optional=None, start="scls"):
    """
    Check and scale the data, and find initial abundances.

    Parameters
    ----------
    Y : ndarray (L, N)
        Pixels of the whole image, row-major; any value where not `valid`.
    M0 : ndarray (L, P)
        Reference endmembers.
    shape : (int, int)
        Rows and columns of the image.
    valid : ndarray (N,) of bool, optional
        All by default.
    start : {"scls", "scaled", "fcls"}
        Initial abundances: those of scaled constrained least squares with endmembers as bright as the reference, the
        same with their scaling, or those of fully constrained least squares.
    weights, optional : dict of float, optional
        The method's weights by their names, which must be above zero, and those that may be zero too.

    Returns
    -------
    Problem

    Raises
    ------
    ValueError
        Data that are not finite, shapes that do not fit, endmembers that cannot be told apart or are not positive
        anywhere, or a weight out of range.
    """
    for name, weight in (weights or {}).items():
        if not (np.isfinite(weight) and weight > 0):
            raise ValueError(f"The weight {name} is {weight:g}: it must be above zero.")
    for name, weight in (optional or {}).items():
        if not (np.isfinite(weight) and weight >= 0):
            raise ValueError(f"The weight {name} is {weight:g}: it must be zero or above.")
    M0 = np.array(M0, dtype=np.float64)
    valid = np.ones(Y.shape[1], dtype=bool) if valid is None else np.asarray(valid, dtype=bool)
    if shape[0] * shape[1] != Y.shape[1] or valid.shape != Y.shape[1:]:
        raise ValueError(f"{Y.shape[1]} pixels and a mask of {valid.size} do not make an image of {shape[0]} rows and "
                         f"{shape[1]} columns.")
    if M0.shape[0] != Y.shape[0]:
        raise ValueError(f"The endmembers have {M0.shape[0]} bands, the image {Y.shape[0]}: resample them to the "
                         f"image's bands.")
    if not valid.any():
        raise ValueError("There are no valid pixels to work on.")
    check_endmembers(M0)
    scale = float(M0.max())
    if scale <= 0:
        raise ValueError(f"The largest value of the endmembers is {scale:g}: positive ones are needed, such as "
                         f"reflectance or radiance.")
    dtype = np.float64 if Y.dtype == np.float64 else np.float32
    Y = np.where(valid, np.divide(Y, scale, dtype=dtype), dtype(0))
    if not np.isfinite(Y).all():
        raise ValueError("The pixels hold values that are not finite. Mask them first.")
    M0 /= scale
    return Problem(Y, M0, *STARTS[start](Y, M0, valid, shape), valid, tuple(shape), scale)


def _scaled(Y, M0, valid, shape):
    """
    Abundances and scaling by scaled constrained least squares.

    A pixel too dark to have either holds the same of each endmember; its scaling is that of its surroundings, as in
    pixels that are not valid.
    """
    fit = scls(Y, M0)
    known = np.isfinite(fit.A).all(axis=0) & valid
    psi = filled(fit.psi.reshape(shape), known.reshape(shape)).ravel() if known.any() else np.ones(known.size)
    return np.where(known, fit.A, 1 / len(fit.A)), psi


def _unscaled(Y, M0, valid, shape):
    return _scaled(Y, M0, valid, shape)[0], np.ones(Y.shape[1])


def _fully_constrained(Y, M0, valid, shape):
    return fcls(Y, M0).A, np.ones(Y.shape[1])


STARTS = {"scls": _unscaled, "scaled": _scaled, "fcls": _fully_constrained}


def sweep(function, N):
    """`function` of every chunk of `N` pixels, in a few threads; each writes where the others do not."""
    with ThreadPoolExecutor(WORKERS) as pool:
        return list(pool.map(function, chunks(N)))


def brightness(endmembers, N):
    """Root mean square over the bands of each of `N` pixels' endmembers, (P, N): `endmembers(part)` is (P, L, n)."""
    return np.concatenate(sweep(lambda part: np.sqrt(np.square(endmembers(part)).mean(axis=1)), N), axis=1)


def principal_variation(endmembers, valid, components=3):
    """
    How far each pixel's endmembers lie from their mean along their first principal components.

    For each endmember by itself: the mean of |u_i^T (m_n - mean)| over the leading eigenvectors u_i of the covariance
    of its spectra m_n in the valid pixels (ULTRA-V, section IV-B, figure 7).

    Parameters
    ----------
    endmembers : callable(slice) -> ndarray (P, L, n)
    valid : ndarray (N,) of bool
    components : int
        At most as many as there are bands.

    Returns
    -------
    ndarray (P, N)
    """
    N, total, product = valid.size, 0.0, 0.0
    for part in chunks(N):
        M = endmembers(part)[:, :, valid[part]].astype(np.float64)
        total, product = total + M.sum(axis=2), product + M @ M.transpose(0, 2, 1)
    mean = total / valid.sum()
    covariance = product / valid.sum() - mean[:, :, None] * mean[:, None, :]
    axes = np.linalg.eigh(covariance)[1][:, :, -components:]

    def project(part):
        return np.abs(axes.transpose(0, 2, 1) @ (endmembers(part) - mean[:, :, None])).mean(axis=1)
    return np.concatenate(sweep(project, N), axis=1)


def alternate(step, cost, *, iterations, tolerance, callback=None):
    """
    Repeat a method's step until its unknowns change little.

    Parameters
    ----------
    step : callable() -> (cost, change)
        One iteration; `change` is relative, the largest of the unknowns'.
    cost : float
        Of the start.
    iterations : int
        At most so many.
    tolerance : float
        Change below which it ends.
    callback : callable(iteration, cost) -> bool or None, optional
        After each iteration; true stops.

    Returns
    -------
    costs : list of float
    converged : bool
    """
    costs, converged = [cost], False
    while len(costs) <= iterations and not converged:
        cost, change = step()
        costs.append(cost)
        converged = change < tolerance
        if callback is not None and callback(len(costs) - 1, cost):
            break
    return costs, bool(converged)


def relative_change(old, new):
    """||new - old|| / ||old||."""
    return float(np.linalg.norm(new - old) / max(np.linalg.norm(old), np.finfo(float).tiny))
