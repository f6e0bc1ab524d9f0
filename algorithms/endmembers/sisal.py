"""SISAL: the smallest simplex around the pixels, none of which need be pure."""

from dataclasses import dataclass

import numpy as np

from .. import pixels
from .simplex import coordinates, reduction
from .vca import vca_runs

MOST = 20_000    # pixels to start with: the others lie inside the simplex and have no part in its cost
ROUNDS = 20
INNER, LAST_INNER = 30, 100   # steps of the augmented Lagrangian
HESSIAN = 1e-6
SMALLEST_STEP = 1e-12
ARRAYS = 8       # of (P, n) float64 for n pixels in the minimisation
SETTLED, LATELY = 1e-4, 10   # relative change of the cost, over so many iterations


@dataclass(frozen=True)
class SISAL:
    """
    Endmembers by SISAL.

    Attributes
    ----------
    E : ndarray (L, P)
        Corners of the simplex. No pixels of the scene, and not necessarily nonnegative.
    costs : tuple of float
        The cost at the start and after each iteration.
    converged : bool
        The last ten iterations changed the cost by less than 1e-4 of it.
    outside : float
        Share of the pixels that lie outside the simplex.
    """

    E: np.ndarray
    costs: tuple
    converged: bool
    outside: float


@dataclass(frozen=True)
class Corners:
    """Corners (P, P) of the simplex in reduced coordinates; the rest as in `SISAL`."""

    corners: np.ndarray
    costs: tuple
    converged: bool
    outside: float

    @property
    def iterations(self):
        """Steps taken, over all rounds."""
        return len(self.costs) - 1


def sisal(Y, P, rng, moments=None, tau=1.0, iterations=80, callback=None):
    """
    Endmembers by simplex identification via split augmented Lagrangian.

    In the P - 1 principal axes scaled to unit variance and lifted by a one, y = [x; 1] / sqrt(P)::

        min_Q  -log |det Q| + tau sum hinge(Q Y),    1^T Q = q^T,    hinge(a) = max(-a, 0)

    M = Q^-1 holds the endmembers and Q Y the abundances, which sum to one by the constraint: the smallest simplex that
    leaves few pixels outside, and those by little.

    Parameters
    ----------
    Y : ndarray (L, N), or a stream of (L, n) blocks that can be gone through more than once
    P : int
        Number of endmembers.
    rng : numpy.random.Generator
    moments : Moments, optional
        Of the same pixels. Besides them, P * N numbers are held in memory.
    tau : float
        Weight of negative abundances. Small ones let the simplex cut into the data, large ones let outliers inflate it.
    iterations : int
        Majorisation-minimisation steps.
    callback : callable(iteration, cost), optional
        Returns true to stop.

    Returns
    -------
    SISAL

    Raises
    ------
    ValueError
        If tau is not positive or the scene holds no P endmembers (see `reduction`).

    Notes
    -----
    Departure: 30 steps of the augmented Lagrangian in each iteration, not 3, with which 80 iterations fall short of the
    minimum. The cost is not convex: it starts from VCA's simplex, made 1 + P times as large.

    References
    ----------
    Bioucas-Dias, A variable splitting augmented Lagrangian approach to linear spectral unmixing, WHISPERS 2009.
    """
    moments = pixels.moments(Y) if moments is None else moments
    axes = reduction(moments, P)
    found = sisal_corners(coordinates(Y, axes.apply), P, rng, tau, iterations, callback)
    return SISAL(axes.restore(found.corners), found.costs, found.converged, found.outside)


def sisal_corners(X, P, rng, tau=1.0, iterations=80, callback=None, most=MOST, room=None):
    """
    Corners of the simplex from reduced pixels.

    Parameters
    ----------
    X : ndarray (P, N), or a stream of (P, n) blocks that can be gone through more than once
        From `Reduction.apply`: P - 1 coordinates and a row of ones.
    P, rng, tau, iterations, callback
        See `sisal`.
    most : int
        Pixels to start with: those nearest to the faces of VCA's simplex, or beyond them.
    room : callable(bytes), optional
        Told, as pixels are taken in, how much memory the minimisation will need; raises where that is too much.

    Returns
    -------
    Corners
        Its costs never increase while the same pixels are worked on.

    Raises
    ------
    ValueError
        If tau is not positive.

    Notes
    -----
    A pixel inside the simplex has no hinge, so those well inside it are left out, which changes nothing: whenever the
    simplex found cuts off pixels that were left out, they are taken in and the minimisation goes on from there. All
    pixels outside the simplex are held in memory, 64 P bytes each; a small `tau` leaves many.
    """
    if not tau > 0:
        raise ValueError(f"tau is {tau:g}; it must be positive. 1 is the author's.")
    vertices = vca_runs(X, P, rng, 1, affine=True)[1][0]
    B = np.linalg.inv(vertices)
    depth = _depth(X, B, most)
    taken, Y, _ = _selected(X, lambda x: (B @ x).min(axis=0) <= depth, np.empty(0, np.intp), room)
    middle = vertices.mean(axis=1, keepdims=True)
    Q, costs = np.linalg.inv(middle + (1 + P) * (vertices - middle)), []
    for _ in range(ROUNDS):
        Q, made, converged = _minimise(Q, Y, tau, iterations, callback)
        costs += made[1:] if costs else made
        new, y, outside = _selected(X, lambda x: (Q @ x).min(axis=0) < 0, taken, room)
        if not len(new):
            break
        taken, Y = np.concatenate([taken, new]), np.concatenate([Y, y], axis=1)
    return Corners(np.linalg.inv(Q), tuple(costs), converged and not len(new), outside / _count(X))


def _minimise(Q, Y, tau, iterations, callback):
    """
    Majorisation-minimisation from Q on the pixels Y (P, N). Returns Q, all costs, and whether they settled.

    Each step replaces -log|det Q| by its linear part at Q_k (gradient -Q_k^-T) and 1e-6 / 2 ||Q - Q_k||^2, takes a few
    steps of the augmented Lagrangian for Z = Q Y towards the minimum (a hundred in the last), and then halves the way
    from Q_k until the true cost does not rise. Multipliers D go on from step to step.
    """
    P, N = Y.shape
    Y = Y / np.sqrt(P)
    q = np.zeros(P)
    q[-1] = np.sqrt(P)
    mu = 1000 * P / N
    solve = np.linalg.inv(mu * (Y @ Y.T) + HESSIAN * np.eye(P))
    Q = Q * np.sqrt(P)
    Z, D = Q @ Y, np.zeros((P, N))
    costs = [_cost(Q, Z, tau)]
    for k in range(iterations):
        gradient = -np.linalg.inv(Q).T
        new = Q
        for _ in range(INNER if k < iterations - 1 else LAST_INNER):
            new = (mu * (Z + D) @ Y.T + HESSIAN * Q - gradient) @ solve
            new -= (new.sum(axis=0) - q) / P
            QY = new @ Y
            Z = QY - D
            Z = np.maximum(Z, np.minimum(Z + tau / mu, 0.0))
            D -= QY - Z
        QY, step = new @ Y, 1.0
        cost = _cost(new, QY, tau)
        while not cost <= costs[-1] and step > SMALLEST_STEP:
            step /= 2
            new, QY = (new + Q) / 2, (new + Q) @ Y / 2
            cost = _cost(new, QY, tau)
        if cost <= costs[-1]:
            Q = new
        costs.append(min(cost, costs[-1]))
        if callback and callback(k + 1, costs[-1]):
            break
    settled = len(costs) > LATELY and costs[-1 - LATELY] - costs[-1] <= SETTLED * max(abs(costs[-1]), 1.0)
    return Q / np.sqrt(P), costs, settled


def _cost(Q, QY, tau):
    """-log |det Q| + tau sum hinge(Q Y)."""
    return -np.linalg.slogdet(Q)[1] - tau * np.minimum(QY, 0.0).sum()


def _depth(X, B, most):
    """The `most`-th smallest of the pixels' least barycentric coordinates, infinite where there are fewer pixels."""
    least = np.empty(0)
    depth = np.inf
    for block in pixels.blocks(X):
        here = (B @ block).min(axis=0)
        least = np.concatenate([least, here[here < depth]])
        if len(least) > most:
            least = np.partition(least, most - 1)[:most]
            depth = least.max()
    return depth


def _selected(X, wanted, taken, room):
    """
    Positions and coordinates (P, n), in double precision, of the pixels for which `wanted` is true and which are not
    `taken` already, and how many are wanted. `room` is told the memory that both need in `_minimise`.
    """
    indices, found, start, count, held = [], [], 0, 0, len(taken)
    taken = np.sort(taken)
    for block in pixels.blocks(X):
        at = np.flatnonzero(wanted(block))
        count += len(at)
        first, last = np.searchsorted(taken, (start, start + block.shape[1]))
        at = at[~np.isin(start + at, taken[first:last])]
        indices.append(start + at)
        found.append(block[:, at].astype(np.float64))
        start += block.shape[1]
        held += len(at)
        if room:
            room(ARRAYS * 8 * len(block) * held)
    return np.concatenate(indices), np.concatenate(found, axis=1), count


def _count(X):
    return sum(block.shape[1] for block in pixels.blocks(X))
