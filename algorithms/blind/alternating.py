"""What the blind methods Y ~ M A share: a start, alternating steps until little changes, and how it ended."""

from dataclasses import dataclass

import numpy as np

from ..abundances.fcls import fcls
from ..abundances.linear_model import check_endmembers
from ..endmembers.vca import vca
from ..pixels import blocks

FLOOR = 1e-4       # a multiplicative step never leaves zero: no factor starts below this
TINY = 1e-12       # a denominator is at least this
PERFECT = 1e-14    # a cost below this share of the scene's energy is zero to rounding


@dataclass(frozen=True)
class BlindUnmixing:
    """
    Endmembers and abundances found together, and how the iteration ended.

    Attributes
    ----------
    M : ndarray (L, P)
        Endmembers, in the units of the data.
    A : ndarray (P, N)
        Abundances.
    costs : ndarray (iterations + 1,)
        The method's cost at the start and after each iteration, of the data divided by their maximum.
    iterations : int
    converged : bool
        False if the iteration ended at its limit or was stopped.
    """

    M: np.ndarray
    A: np.ndarray
    costs: np.ndarray
    iterations: int
    converged: bool

    @property
    def active(self):
        """Which endmembers are used: a mean abundance above 0.001, (P,) of bool."""
        return self.A.mean(axis=1) > 1e-3


@dataclass(frozen=True)
class Start:
    """
    Where a method starts, in data divided by their maximum, so that weights mean the same in every unit.

    Attributes
    ----------
    Y : ndarray (L, N)
        Data over `scale`, float64 if they came so and float32 otherwise.
    M, A : ndarray (L, P), (P, N)
        Initial endmembers over `scale`, and their abundances by FCLS.
    scale : float
    """

    Y: np.ndarray
    M: np.ndarray
    A: np.ndarray
    scale: float

    @property
    def energy(self):
        """||Y||^2."""
        return sum(float(np.square(block, dtype=np.float64).sum()) for block in blocks(self.Y))


def start(Y, P, rng, initial=None, *, nonnegative=False, draws=1):
    """
    Scale the data and find initial endmembers and abundances.

    Parameters
    ----------
    Y : ndarray (L, N)
    P : int
        Number of endmembers.
    rng : numpy.random.Generator
        For VCA.
    initial : ndarray (L, P), optional
        Initial endmembers in the units of `Y`; those of VCA by default.
    nonnegative : bool
        Values below zero (dark pixels after atmospheric correction) become zero, and initial factors at least 1e-4,
        as multiplicative steps need.
    draws : int
        VCA runs, of which the one with the largest simplex counts.

    Returns
    -------
    Start

    Raises
    ------
    ValueError
        Data that are not finite or not positive, P out of range, or initial endmembers that do not fit.
    """
    L, N = Y.shape
    if not 2 <= P <= min(L, N):
        raise ValueError(f"{P} endmembers cannot be found in {N} pixels of {L} bands. Ask for 2 to {min(L, N)}.")
    scale = float(Y.max())
    if not np.isfinite(scale) or not np.isfinite(Y.min()):
        raise ValueError("The pixels hold values that are not finite. Mask them first.")
    if scale <= 0:
        raise ValueError(f"The largest value of the scene is {scale:g}: this method needs positive values, such as "
                         f"reflectance or radiance.")
    Y = np.divide(Y, scale, dtype=np.float64 if Y.dtype == np.float64 else np.float32)
    if nonnegative:
        np.maximum(Y, 0, out=Y)
    if initial is None:
        M = vca(Y, P, rng, restarts=draws).E
    else:
        M = np.array(initial, dtype=np.float64) / scale
        if M.shape != (L, P):
            raise ValueError(f"The initial endmembers have the shape {M.shape}; {P} endmembers in {L} bands were "
                             f"asked for. Give as many as that, or none.")
        check_endmembers(M, sum_to_one=True)
    if nonnegative:
        M = np.maximum(M, FLOOR)
    A = fcls(Y, M).A
    return Start(Y, M, np.maximum(A, FLOOR) if nonnegative else A, scale)


def alternate(step, cost, begin, *, iterations, tolerance, patience=1, callback=None):
    """
    Repeat a method's step until its cost changes little.

    Parameters
    ----------
    step : callable(M, A) -> (M, A, cost)
        One iteration.
    cost : float
        Of the start.
    begin : Start
    iterations : int
        At most so many.
    tolerance : float
        Relative change of the cost below which `patience` iterations in a row end it.
    callback : callable(iteration, cost) -> bool or None, optional
        After each iteration; true stops.

    Returns
    -------
    BlindUnmixing
    """
    M, A, costs, calm, converged = begin.M, begin.A, [cost], 0, False
    zero = PERFECT * begin.energy
    while len(costs) <= iterations and not converged:
        M, A, cost = step(M, A)
        change = abs(costs[-1] - cost)
        costs.append(cost)
        calm = calm + 1 if change <= max(tolerance * abs(costs[-2]), zero) else 0
        converged = calm >= patience
        if callback is not None and callback(len(costs) - 1, cost):
            break
    return BlindUnmixing(M * begin.scale, A, np.array(costs), len(costs) - 1, converged)


def MtY(M, Y):
    """M^T Y (P, N) in float64, of data in any type, block by block."""
    C = np.empty((M.shape[1], Y.shape[1]))
    first = 0
    for block in blocks(Y):
        C[:, first:first + block.shape[1]] = M.T @ block.astype(np.float64, copy=False)
        first += block.shape[1]
    return C


def YAt(Y, A):
    """Y A^T (L, P) in float64, of data in any type, block by block."""
    return sum(block.astype(np.float64, copy=False) @ a.T for block, a in zip(blocks(Y), blocks(A)))


def misfit(energy, G, C, A):
    """1/2 ||Y - M A||^2 from ||Y||^2, G = M^T M and C = M^T Y; its rounding is 1e-16 of ||Y||^2."""
    return 0.5 * max(energy - 2 * np.einsum("pn,pn->", C, A) + np.einsum("pq,pn,qn->", G, A, A, optimize=True), 0.0)


def misfit_of_sums(A):
    """1/2 ||1^T - 1^T A||^2, to be weighted by delta^2."""
    return 0.5 * float(np.square(1 - A.sum(axis=0)).sum())


def multiplicative_endmembers(Y, M, A):
    """M o (Y A^T) / (M A A^T), which never raises ||Y - M A|| (Lee and Seung 2001)."""
    return M * YAt(Y, A) / np.maximum(M @ (A @ A.T), TINY)


def onto_simplex(A, at_most=False):
    """The nearest columns with a >= 0 and 1^T a = 1, or 1^T a <= 1 with `at_most`; exact, by sorting."""
    P = len(A)
    descending = -np.sort(-A, axis=0)
    excess = np.cumsum(descending, axis=0) - 1
    support = np.count_nonzero(descending * np.arange(1, P + 1)[:, None] > excess, axis=0)
    shift = np.take_along_axis(excess, support[None] - 1, axis=0)[0] / support
    if at_most:
        shift = np.where(np.maximum(A, 0).sum(axis=0) <= 1, 0.0, shift)
    return np.maximum(A - shift, 0.0)


def accelerated_gradient(X, G, C, project, steps):
    """
    Lower 1/2 tr(X^T G X) - tr(C^T X) over a convex set by projected gradient steps 1 / ||G||_2 with momentum.

    Nesterov's momentum alone may raise the value; such a step is taken back and the momentum starts anew, so that the
    value never rises.
    """
    lipschitz = np.linalg.norm(G, 2)
    Z, momentum, GX = X, 1.0, G @ X
    value = np.einsum("pn,pn->", 0.5 * GX - C, X)
    for _ in range(steps):
        new = project(Z - (G @ Z - C) / lipschitz)
        Gnew = G @ new
        lower = np.einsum("pn,pn->", 0.5 * Gnew - C, new)
        if lower > value:
            if Z is X:
                break
            Z, momentum = X, 1.0
            continue
        following = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
        Z = new + (momentum - 1) / following * (new - X)
        X, value, momentum = new, lower, following
    return X
