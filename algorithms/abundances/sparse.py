"""What sparse regressions on a spectral library share: checks, units, cost, duality gap, and the result."""

from dataclasses import dataclass

import numpy as np

from ..pixels import blocks
from .linear_model import Abundances

PART = 2**20   # numbers of an array of spectra x pixels that is iterated at once: 8 MB


@dataclass(frozen=True)
class SparseAbundances(Abundances):
    """
    `Abundances` from an iterative solver.

    Attributes
    ----------
    costs : ndarray
        The cost of all pixels together, in the data's squared units, each time it was looked at.
    iterations : int
        The most that a pixel took.
    settled : ndarray (N,) of bool
        Pixels that ended before the limit of iterations, or hold no numbers; others are as they were then.
    """

    costs: np.ndarray
    iterations: int
    settled: np.ndarray

    @property
    def converged(self):
        return bool(self.settled.all())


def check_library(M, names=None):
    """
    Refuse a library that sparse regression cannot use; it may hold more spectra than bands.

    Parameters
    ----------
    M : ndarray (L, P)
    names : sequence of P str, optional
        What the errors call the spectra; "spectrum 1" and so on by default.

    Raises
    ------
    ValueError
        No spectra, NaN or infinite values, a zero spectrum, or two identical ones.
    """
    M = np.asarray(M, dtype=np.float64)
    if M.ndim != 2 or M.size == 0:
        raise ValueError(f"A library must be a matrix of bands x spectra, not of shape {M.shape}: give at least one "
                         f"spectrum.")
    names = [f"spectrum {k + 1}" for k in range(M.shape[1])] if names is None else list(names)
    for k in np.flatnonzero(~np.isfinite(M).all(axis=0))[:1]:
        raise ValueError(f"The spectrum of {names[k]} is not a number in {np.count_nonzero(~np.isfinite(M[:, k]))} of "
                         f"{len(M)} bands: leave out that spectrum or those bands.")
    for k in np.flatnonzero(~M.any(axis=0))[:1]:
        raise ValueError(f"The spectrum of {names[k]} is zero in all {len(M)} bands: leave it out.")
    _, first, which = np.unique(M, axis=1, return_index=True, return_inverse=True)
    same = np.flatnonzero(first[which.ravel()] != np.arange(M.shape[1]))
    for k in same[:1]:
        raise ValueError(f"The spectra of {names[first[which.ravel()[k]]]} and {names[k]} are identical: leave one of "
                         f"them out.")


def check_weight(weight, name="lambda", above_zero=False):
    """Raise ValueError where a weight is not a number of zero or above, or not above zero where it must be."""
    if not (np.isfinite(weight) and weight >= 0 and (weight > 0 or not above_zero)):
        bound = "above zero" if above_zero else "zero or more"
        raise ValueError(f"The weight {name} is {weight:g}: it must be {bound}.")


def unit(M):
    """
    The mean squared length of the spectra `M` (L, P).

    A weight of w times this takes w off the fraction of a material that is alone in its pixel, whatever the units and
    the number of bands.
    """
    return float(np.square(M, dtype=np.float64).sum(axis=0).mean())


def soft(X, threshold, positive):
    """The soft threshold (1.2.3), or max(x - threshold, 0) if `positive`."""
    if positive:
        return np.maximum(X - threshold, 0)
    return np.sign(X) * np.maximum(np.abs(X) - threshold, 0)


def cost(C, q, X, GX, weight):
    """1/2 ||y - M x||^2 + weight ||x||_1 of every pixel (N,), from Gram pieces: C = M^T y, q = ||y||^2, G X."""
    return q / 2 + np.einsum("pn,pn->n", GX / 2 - C, X) + weight * np.abs(X).sum(axis=0)


def duality_gap(C, q, X, GX, weight, positive):
    """
    How far each pixel's cost is above the minimum at most, as a share of ||y||^2 / 2; (N,).

    The dual of min 1/2 ||y - M x||^2 + weight ||x||_1 is max 1/2 ||y||^2 - 1/2 ||y - theta||^2 with |M^T theta| <=
    weight (M^T theta <= weight if x >= 0). theta is the residual y - M x, times the best factor that is allowed.
    """
    left = C - GX                                                       # M^T r
    steepest = (left if positive else np.abs(left)).max(axis=0)
    along = np.einsum("pn,pn->n", C, X)
    energy = np.maximum(q - 2 * along + np.einsum("pn,pn->n", GX, X), 0)   # ||r||^2
    best = np.divide(q - along, energy, out=np.zeros_like(q), where=energy > 0)
    allowed = np.divide(weight, steepest, out=np.full_like(q, np.inf), where=steepest > 0)
    factor = np.clip(best, 0, allowed)
    dual = factor * (q - along) - factor ** 2 * energy / 2
    return np.divide(cost(C, q, X, GX, weight) - dual, q / 2, out=np.zeros_like(q), where=q > 0)


def by_parts(solve, Y, P):
    """
    `solve(part)` of the pixels `Y` (L, N) part by part, put together: for little memory, also with many spectra.

    Parameters
    ----------
    solve : callable
        Gives `SparseAbundances`; its pixels must not depend on each other.
    Y : ndarray (L, N)
    P : int
        Number of spectra.
    """
    fits = [solve(part) for part in blocks(Y, max(256, PART // P))] or [solve(Y)]
    return SparseAbundances(np.concatenate([fit.A for fit in fits], axis=1),
                            *(np.concatenate([getattr(fit, name) for fit in fits]) for name in ("rmse", "angle")),
                            total([fit.costs for fit in fits]), max(fit.iterations for fit in fits),
                            np.concatenate([fit.settled for fit in fits]))


def total(histories):
    """The sum of costs after each look (longest,), of pixels that end at different times: the last of each stays."""
    longest = max(map(len, histories), default=0)
    return sum((np.pad(costs, (0, longest - len(costs)), mode="edge") for costs in histories if len(costs)),
               np.zeros(longest))
