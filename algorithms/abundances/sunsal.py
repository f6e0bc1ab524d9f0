"""SUnSAL: sparse unmixing by variable splitting and augmented Lagrangian."""

import numpy as np

from .active_set import on_support
from .linear_model import errors
from .products import products
from .sparse import SparseAbundances, check_library, check_weight, cost, soft, unit

EVERY = 20         # iterations between two looks at supports and at mu
MU = 0.01          # of the library's mean squared length
RELAXATION = 1.6
CALM = 400         # iterations after which changes of mu fade, or a pixel may circle for ever
NEAR, FAR = 1.5, 3.0   # mu changes by the root of the residuals' ratio: where that is beyond NEAR, at most by FAR
TOLERANCE = 1e-12  # of signs, relative to the pixel


def sunsal(Y, M, weight=0.0, *, positive=True, sum_to_one=False, iterations=5000, callback=None):
    """
    Sparse abundances: min 1/2 ||y - M x||^2 + weight ||x||_1, x >= 0 if `positive`, 1^T x = 1 if `sum_to_one`.

    ADMM with the splitting z = x, in units of the library's mean squared length, for every pixel by itself::

        x   (G + mu I) x + nu 1 = c + mu (z - d), with 1^T x = 1 if `sum_to_one`
        z   soft threshold of x + d by weight / mu, without its negative part if `positive`
        d += x - z

    Every 20 iterations the support of z is tried: the linear system with the other abundances zero is solved, and where
    its solution satisfies the optimality conditions, that is the pixel's answer, exact to rounding. So ADMM only has to
    find the right support, where it is fast, and not the last digits, where it is slow.

    Parameters
    ----------
    Y : ndarray (L, N)
        Pixels of any real dtype.
    M : ndarray (L, P)
        Library, in the units of `Y`; it may hold more spectra than bands.
    weight : float
        In squared units of the data (see `sparse.unit`). From max M^T y upwards a pixel is all zero. Without effect if
        both `positive` and `sum_to_one`, where ||x||_1 = 1.
    positive, sum_to_one : bool
    iterations : int
        At most so many.
    callback : callable(iteration, cost) -> bool or None, optional
        After every 20 iterations, with the cost of all pixels, which may rise; true stops.

    Returns
    -------
    SparseAbundances
        In pixels that are not `settled`, z (divided by its sum if `sum_to_one`). NaN in pixels that hold values which
        are not finite.

    Raises
    ------
    ValueError
        A library that cannot be used (`check_library`), of another number of bands than `Y`, or a negative weight.

    References
    ----------
    J. Bioucas-Dias, M. Figueiredo, Alternating direction algorithms for constrained sparse regression: application to
    hyperspectral unmixing, WHISPERS 2010. Departures: the answer on the support (as "polishing" in B. Stellato et al.,
    OSQP, Math. Program. Comput. 12, 2020); mu is each pixel's own, through the eigenvectors of G, and balances its own
    residuals, so that pixels do not depend on each other; over-relaxation by 1.6 (S. Boyd et al., 2011, section 3.4.3).
    """
    check_library(M)
    check_weight(weight)
    M = np.asarray(M, dtype=np.float64)
    C, q = products(Y, M)
    G, scale = M.T @ M, unit(M)
    system = _System(G / scale, weight / scale, positive, sum_to_one)
    A, settled = np.full(C.shape, np.nan), ~np.isfinite(q)
    pending = np.flatnonzero(~settled)
    c = C[:, pending] / scale
    z, d, mu = np.zeros_like(c), np.zeros_like(c), np.full(pending.size, MU)
    costs, iteration = [], 0
    while pending.size and iteration < iterations:
        steps = min(EVERY, iterations - iteration)
        for _ in range(steps):
            before = z
            x, z, d = system.step(c, z, d, mu)
        iteration += steps
        found, solved = system.on_support(c, z)
        A[:, pending] = np.where(solved, found, _summing(z) if sum_to_one else z)
        settled[pending[solved]] = True
        mu, d = _balanced(mu, d, x - z, z - before, min(1.0, CALM / iteration))
        pending, c, z, d, mu = (array[..., ~solved] for array in (pending, c, z, d, mu))
        costs.append(float(np.nansum(cost(C, q, A, G @ A, weight))))
        if callback is not None and callback(iteration, costs[-1]):
            break
    return SparseAbundances(A, *errors(G, C, q, A, len(M)), np.array(costs), iteration, settled)


class _System:
    """The problem in units of the library: G has the mean diagonal 1."""

    def __init__(self, G, weight, positive, sum_to_one):
        self.G, self.weight, self.positive, self.sum_to_one = G, weight, positive, sum_to_one
        self.values, self.vectors = np.linalg.eigh(G)

    def step(self, c, z, d, mu):
        inverse = 1 / (self.values[:, None] + mu)
        x = self.vectors @ ((self.vectors.T @ (c + mu * (z - d))) * inverse)
        if self.sum_to_one:
            slack = self.vectors @ (inverse * self.vectors.sum(axis=0)[:, None])
            x -= slack * ((x.sum(axis=0) - 1) / slack.sum(axis=0))
        relaxed = RELAXATION * x + (1 - RELAXATION) * z
        z = soft(relaxed + d, self.weight / mu, self.positive)
        return x, z, d + relaxed - z

    def on_support(self, c, z):
        """The answers where the support (and the signs) of z are right, and in which pixels they are."""
        sign = np.ones_like(z) if self.positive else np.sign(z)
        support = z != 0
        if self.sum_to_one:
            nothing = np.flatnonzero(~support.any(axis=0))
            support[z[:, nothing].argmax(axis=0), nothing] = True
        x, tolerance = on_support(self.G, c - self.weight * sign, support, self.sum_to_one)
        outside = x if self.positive else self.weight - np.abs(x)
        solved = (np.where(support, x * sign, outside) >= -TOLERANCE * tolerance).all(axis=0)
        x = np.where(support, x, 0.0)
        x = np.maximum(x, 0.0) if self.positive else x
        return (_summing(x) if self.sum_to_one else x), solved


def _summing(x):
    """Columns divided by their sums, where these are not zero."""
    total = x.sum(axis=0)
    return np.divide(x, total, out=x.copy(), where=total != 0)


def _balanced(mu, d, gap, move, strength):
    """mu, and the scaled multipliers d, where gap and move differ much; with less `strength` they change less."""
    gap, move = (np.linalg.norm(part, axis=0) for part in (gap, move))
    ratio = np.sqrt(np.divide(gap, move, out=np.where(gap > 0, FAR ** 2, 1.0), where=move > 0))
    factor = np.where((ratio > NEAR) | (ratio < 1 / NEAR), np.clip(ratio, 1 / FAR, FAR), 1.0) ** strength
    return mu * factor, d / factor
