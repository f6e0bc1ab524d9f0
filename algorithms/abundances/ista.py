"""ISTA and FISTA: sparse regression by iterative soft thresholding."""

import numpy as np

from .linear_model import errors
from .products import products
from .sparse import SparseAbundances, check_library, check_weight, cost, duality_gap, soft

EVERY = 10   # iterations between two looks at the gap


def ista(Y, M, weight, *, positive=True, accelerated=False, iterations=1000, tolerance=1e-6, callback=None):
    """
    Sparse abundances: min 1/2 ||y - M x||^2 + weight ||x||_1, x >= 0 if `positive`, in every pixel.

    ISTA: from x_0 = 0, gradient steps and soft thresholds (eq. 1.2.2) with L = ||M||_2^2::

        x_k = S_{weight / L}(x_{k-1} - M^T (M x_{k-1} - y) / L)

    FISTA (`accelerated`) takes the step from x_k + (t_k - 1) / t_{k+1} (x_k - x_{k-1}) with t_{k+1} =
    (1 + sqrt(1 + 4 t_k^2)) / 2. Where that would raise a pixel's cost, the pixel takes ISTA's step instead and t starts
    anew at 1, so that neither method's cost ever rises. Pixels do not depend on each other.

    Parameters
    ----------
    Y : ndarray (L, N)
        Pixels of any real dtype.
    M : ndarray (L, P)
        Library, in the units of `Y`; it may hold more spectra than bands.
    weight : float
        Above zero, in squared units of the data (see `sparse.unit`). From max M^T y upwards a pixel is all zero.
    positive : bool
        Thresholds then are max(x - weight / L, 0).
    accelerated : bool
    iterations : int
        At most so many.
    tolerance : float
        A pixel ends when its duality gap, as a share of ||y||^2 / 2, is at most this; looked at every ten iterations.
        0 goes through all iterations.
    callback : callable(iteration, cost) -> bool or None, optional
        After each iteration, with the cost of all pixels; true stops.

    Returns
    -------
    SparseAbundances
        `costs` begins with that of the start, x = 0. NaN in pixels that hold values which are not finite.

    Raises
    ------
    ValueError
        A library that cannot be used (`check_library`), of another number of bands than `Y`, or a weight not above 0.

    References
    ----------
    G. Chinellato, Deep Unfolding, PhD thesis, Padova 2026, eq. 1.2.2 and 1.2.3. A. Beck, M. Teboulle, A fast iterative
    shrinkage-thresholding algorithm for linear inverse problems, SIAM J. Imaging Sciences 2(1), 2009. Departure: the
    restart, after B. O'Donoghue, E. Candes, Adaptive restart for accelerated gradient schemes, Found. Comput. Math.
    15, 2015.
    """
    check_library(M)
    check_weight(weight, above_zero=True)
    M = np.asarray(M, dtype=np.float64)
    C, q = products(Y, M)
    G, A, settled = M.T @ M, np.full(C.shape, np.nan), ~np.isfinite(q)
    pending = np.flatnonzero(~settled)
    state = _Pixels(G, C[:, pending], q[pending], weight, positive, accelerated)
    done, costs, iteration = 0.0, [float(state.cost.sum())], 0
    while pending.size and iteration < iterations:
        iteration += 1
        state.step()
        costs.append(done + float(state.cost.sum()))
        if iteration % EVERY == 0 or iteration == iterations:
            over = (state.gap() <= tolerance) & (tolerance > 0)
            A[:, pending[over]], settled[pending[over]] = state.x[:, over], True
            done += float(state.cost[over].sum())
            pending = pending[~over]
            state.keep(~over)
        if callback is not None and callback(iteration, costs[-1]):
            break
    A[:, pending] = state.x
    return SparseAbundances(A, *errors(G, C, q, A, len(M)), np.array(costs), iteration, settled)


class _Pixels:
    """The pixels that are still iterated: x and G x, those before, t, and each pixel's cost."""

    def __init__(self, G, C, q, weight, positive, accelerated):
        self.G, self.C, self.q, self.weight, self.positive = G, C, q, weight, positive
        self.accelerated, self.L = accelerated, np.linalg.norm(G, 2)
        self.x = self.before = np.zeros_like(C)
        self.Gx = self.Gbefore = np.zeros_like(C)
        self.t, self.cost = np.ones_like(q), q / 2

    def step(self):
        if self.accelerated:
            t = (1 + np.sqrt(1 + 4 * self.t ** 2)) / 2
            momentum = (self.t - 1) / t
            new, Gnew, value = self._from(self.x + momentum * (self.x - self.before),
                                          self.Gx + momentum * (self.Gx - self.Gbefore), slice(None))
            risen = np.flatnonzero(value > self.cost)
            new[:, risen], Gnew[:, risen], value[risen] = self._from(self.x[:, risen], self.Gx[:, risen], risen)
            t[risen] = 1.0
            self.t = t
        else:
            new, Gnew, value = self._from(self.x, self.Gx, slice(None))
        self.before, self.Gbefore, self.x, self.Gx, self.cost = self.x, self.Gx, new, Gnew, value

    def _from(self, x, Gx, pixels):
        """The step of some pixels from the points x: the new ones, G times those, and their costs."""
        C = self.C[:, pixels]
        new = soft(x - (Gx - C) / self.L, self.weight / self.L, self.positive)
        Gnew = self.G @ new
        return new, Gnew, cost(C, self.q[pixels], new, Gnew, self.weight)

    def gap(self):
        return duality_gap(self.C, self.q, self.x, self.Gx, self.weight, self.positive)

    def keep(self, wanted):
        if not wanted.all():
            for name in ("C", "q", "x", "Gx", "before", "Gbefore", "t", "cost"):
                setattr(self, name, getattr(self, name)[..., wanted])
