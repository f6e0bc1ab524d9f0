"""CNMF: both images factorised in turn by multiplicative steps, each handing its better half to the other."""

import numpy as np

from .pair import Fused
from .start import endmembers

COUNT = 30             # of endmembers in the authors' comparisons, fewer where the HSI holds fewer
ITERATIONS = 1         # outer, after the first pass over both images
INNER = 200            # multiplicative steps
FIRST = 3              # times as many for the first abundances
INNER_TOLERANCE = 1e-8
TOLERANCE = 1e-2
TINY = 1e-12           # a denominator is at least this
FLOOR = 1e-8           # zero is absorbing: no factor falls below


def cnmf(pair, count=COUNT, start=None, delta=None, iterations=ITERATIONS, inner=INNER,
         inner_tolerance=INNER_TOLERANCE, tolerance=TOLERANCE, seed=0, callback=None):
    """
    Coupled nonnegative matrix factorisation.

    Y_H ~ W H_h and Y_M ~ W_m H with W_m = P3 W, H_h = H B S, and all factors not negative, each by the multiplicative
    steps of Lee and Seung. A row of delta 1^T under data and spectra draws the sums of the abundances to one. The
    order is: H_h, then W and H_h on the HSI; W_m = P3 W, H from H_h interpolated; H, then W_m and H on the MSI; and,
    `iterations` times, H_h from H degraded, W, then both on the HSI, and the MSI as before.

    Parameters
    ----------
    pair : Pair
        Of data scaled to about one, see `Pair.scaled`: the floor counts on it. Values below zero count as zero.
    count : int
        Number of endmembers R, cut to what the HSI's bands and pixels allow; not used with `start`.
    start : ndarray (K, R), optional
        Endmembers to begin with; those of VCA by default.
    delta : float, optional
        Weight of the sum to one; 2 sqrt(mean(Y_M) / 0.7455) / K_M^3 by default.
    iterations, inner : int
        Outer passes after the first one, and multiplicative steps in each part of a pass.
    inner_tolerance, tolerance : float
        Relative decrease of the cost that ends a part of a pass, and relative change that ends the outer passes.
    seed : int
        For VCA.
    callback : callable(iteration, cost) -> bool or None, optional
        After each outer pass; true stops.

    Returns
    -------
    Fused
        With `endmembers` W, `changed_endmembers` W_m as refined on the MSI, and `abundances` H. `costs` hold
        1/2 ||Y_H - W H_h||^2 + 1/2 ||Y_M - W_m H||^2 and both sums to one after the first pass and each outer one;
        they may rise, since each image starts anew from what the other found.

    Raises
    ------
    ValueError
        Images without positive values, a start that does not fit, or a scene of too low dimension for `count`.

    References
    ----------
    Yokoya, Yairi and Iwasaki, Coupled nonnegative matrix factorization unmixing for hyperspectral and multispectral
    data fusion, IEEE TGRS 50(2), 2012. As in the authors' program W_m is refined where K_M > 3, apart from P3 W: that
    is what lets it bear a change between the dates. Departures: factors have a floor of 1e-8, since a multiplicative
    step never leaves zero (steps still never raise the cost: what they minimise is separable); the degradation is the
    pair's; the MSI's factors are float32.
    """
    Y_H, Y_M = np.maximum(pair.Y_H, 0).astype(np.float64), np.maximum(pair.Y_M, 0).astype(np.float32)
    if not Y_H.max() > 0 or not Y_M.max() > 0:
        raise ValueError("CNMF needs images with positive values, such as reflectance or radiance.")
    W = np.maximum(endmembers(pair, count, start, seed), FLOOR)
    R, shape = W.shape[1], pair.msi.shape[1:]
    if delta is None:
        delta = 2 * np.sqrt(Y_M.mean(dtype=np.float64) / 0.7455) / pair.K_M ** 3
    limits = {"tolerance": inner_tolerance, "delta": delta}

    def hsi(W, H, first):
        if first:
            W, H, _ = factorise(Y_H, W, H, FIRST * inner, refine=False, **limits)
        else:
            W, H, _ = factorise(Y_H, W, H, inner, abundances=False, **limits)
        return factorise(Y_H, W, H, inner, **limits)

    def msi(W, H):
        W_m, H, costs = factorise(Y_M, np.maximum(pair.P3 @ W, FLOOR), H, inner, refine=False, **limits)
        return factorise(Y_M, W_m, H, inner, **limits) if pair.K_M > 3 else (W_m, H, costs)

    W, low_H, costs_H = hsi(W, np.full((R, Y_H.shape[1]), 1 / R), True)
    H = np.maximum(pair.upsample(low_H.reshape(R, *pair.hsi.shape[1:])).reshape(R, -1), FLOOR).astype(np.float32)
    W_m, H, costs_M = msi(W, H)
    costs, converged = [costs_H[-1] + costs_M[-1]], False
    while len(costs) <= iterations and not converged:
        low_H = np.maximum(pair.degrade(H.reshape(R, *shape)).reshape(R, -1).astype(np.float64), FLOOR)
        W, low_H, costs_H = hsi(W, low_H, False)
        W_m, H, costs_M = msi(W, H)
        costs.append(costs_H[-1] + costs_M[-1])
        converged = abs(costs[-2] - costs[-1]) <= tolerance * costs[-2]
        if callback is not None and callback(len(costs) - 1, costs[-1]):
            break
    H = H.reshape(R, *shape).astype(np.float64)
    return Fused(W, H, np.array(costs), converged, W, W_m.astype(np.float64), H)


def factorise(Y, W, H, iterations, *, delta=0.0, tolerance=0.0, abundances=True, refine=True):
    """
    Lower 1/2 ||Y - W H||^2 + delta^2/2 ||1^T - 1^T H||^2 by multiplicative steps for H, W or both in turn.

    Parameters
    ----------
    Y : ndarray (L, N)
        Not negative. Its type is that of H and of the products; costs are summed in float64.
    W, H : ndarray (L, R), (R, N)
        Positive.
    iterations : int
    tolerance : float
        Relative decrease below which it ends; a step that raises the cost is not taken.
    abundances, refine : bool
        Which factors to step: H, W.

    Returns
    -------
    W, H : ndarray
    costs : list of float
        At the start and after each step, never rising.
    """
    # of few bands, W'(W H) costs less than (W'W) H, and W H gives the cost without cancellation
    state = (_Images if len(Y) < len(H) else _Grams)(Y, W.astype(Y.dtype), H.astype(Y.dtype), delta)
    costs = [state.cost()]
    for _ in range(iterations):
        W, H = state.W, state.H
        if abundances:
            state.to_abundances(_stepped(state.H, *state.for_abundances()))
        if refine:
            state.to_endmembers(_stepped(state.W, *state.for_endmembers()))
        cost = state.cost()
        if cost > costs[-1]:
            return W, H, costs
        costs.append(cost)
        if costs[-2] - cost <= tolerance * costs[-2]:
            break
    return state.W, state.H, costs


def _stepped(X, wanted, present):
    """X o wanted / present, not below the floor; overwrites `present`."""
    np.maximum(present, TINY, out=present)
    np.divide(wanted, present, out=present)
    present *= X
    return np.maximum(present, FLOOR, out=present)


class _Grams:
    """Both factors, numerators and denominators of their steps, and the cost, from Gram matrices."""

    def __init__(self, Y, W, H, delta):
        self.Y, self.row, self.H = Y, Y.dtype.type(delta ** 2), H
        self.energy = float(np.square(Y, dtype=np.float64).sum()) + float(self.row) * Y.shape[1]
        self.to_endmembers(W)

    def to_abundances(self, H):
        self.H, self.WWH = H, self.WW @ H

    def to_endmembers(self, W):
        self.W, self.WW, self.WY = W, W.T @ W + self.row, W.T @ self.Y + self.row
        self.to_abundances(self.H)

    def for_abundances(self):
        return self.WY, self.WWH.copy()

    def for_endmembers(self):
        return self.Y @ self.H.T, self.W @ (self.H @ self.H.T)

    def cost(self):
        return 0.5 * max(self.energy + float(np.vdot(self.H, self.WWH) - 2 * np.vdot(self.H, self.WY)), 0.0)


class _Images(_Grams):
    """The same from W H."""

    def to_abundances(self, H):
        self.H, self.image, self.sums = H, self.W @ H, H.sum(axis=0)

    def for_abundances(self):
        below = self.W.T @ self.image
        below += self.row * self.sums
        return self.WY, below

    def for_endmembers(self):
        return self.Y @ self.H.T, self.image @ self.H.T

    def cost(self):
        return 0.5 * (float(np.square(self.image - self.Y).sum(dtype=np.float64))
                      + float(self.row) * float(np.square(1 - self.sums).sum(dtype=np.float64)))
