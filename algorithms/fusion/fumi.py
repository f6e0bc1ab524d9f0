"""FUMI: endmembers and abundances of the fused scene together, by blocks."""

import numpy as np

from ..abundances.fcls import fcls
from ..blind.alternating import onto_simplex
from .fuse import subspace
from .pair import Fused
from .splitting import Data, Splitting, simplex
from .start import endmembers

COUNT = 5
ITERATIONS = 50
STEPS = 20             # of ADMM for each block
TOLERANCE = 1e-4
INNER_TOLERANCE = 1e-4
PERFECT = 1e-14        # a cost below this share of the HSI's energy is zero to rounding


def fumi(pair, count=COUNT, start=None, upper=1.0, balance=1.0, rank=None, iterations=ITERATIONS, steps=STEPS,
         tolerance=TOLERANCE, inner_tolerance=INNER_TOLERANCE, seed=0, callback=None):
    """
    Fusion by unmixing.

    min over M and A  1/2 ||Y_H - M A B S||^2 + balance/2 ||Y_M - P3 M A||^2 with the abundances of every pixel on the
    simplex, 0 <= M <= upper, and M in the HSI's leading principal directions; the scene is Z = M A.

    Parameters
    ----------
    pair : Pair
        Of data scaled to about one, see `Pair.scaled`: tolerances and the default of `upper` count on it.
    count : int
        Number of endmembers R, cut to what the HSI spans; not used with `start`.
    start : ndarray (K, R), optional
        Endmembers to begin with; those of VCA by default.
    upper : float or ndarray (K,)
        The largest value of an endmember, above 0. A start is cut to it, and must stay independent.
    balance : float
        Weight of the MSI, above 0.
    rank : int, optional
        Dimension of the subspace of the endmembers; R by default.
    iterations, steps : int
        Passes over both blocks, and ADMM steps for each.
    tolerance, inner_tolerance : float
        Relative decrease of the cost that ends the passes; root mean square below which ADMM's splittings agree and
        have stopped moving, in abundances and in the data's units.
    seed : int
        For VCA.
    callback : callable(iteration, cost) -> bool or None, optional
        After each pass; true stops.

    Returns
    -------
    Fused
        With `endmembers` M within the box exactly, and `abundances` A on the simplex to rounding. The costs never
        rise: what would raise them is left out, while its splitting goes on from where it is.

    Raises
    ------
    ValueError
        A start that does not fit, weights or bounds out of range, or endmembers that cannot be told apart.

    References
    ----------
    Wei, Bioucas-Dias, Dobigeon, Tourneret, Chen and Godsill, Multiband image fusion based on spectral unmixing, IEEE
    TGRS 54(12), 2016. Departures: noise covariances are multiples of the identity; the subspace is the HSI's (the
    authors' program takes that of the true endmembers); M is in it as well as the splitting allows, and in the box
    exactly; the start is VCA's and its abundances are interpolated; the penalties adapt; the data step is
    `sylvester.solver` in place of Fourier transforms.
    """
    if not np.all(np.asarray(upper) > 0) or not balance > 0:
        raise ValueError(f"the weight of the MSI is {balance} and endmembers go up to {upper}; both must be above 0")
    box = np.broadcast_to(np.asarray(upper, dtype=np.float64).reshape(-1, 1), (pair.K, 1))
    begun = endmembers(pair, count, start, seed)
    M = np.clip(begun, 0, box)
    R = M.shape[1]
    if np.any(begun > box) and np.linalg.matrix_rank(M) < R:
        raise ValueError(f"the endmembers at the start reach {begun.max():.3g}; cut to the upper bound {upper} they "
                         "cannot be told apart. Raise the bound, or scale the data to about one")
    A = pair.upsample(fcls(pair.Y_H, M).A.reshape(R, *pair.hsi.shape[1:]))
    A = onto_simplex(A.reshape(R, -1)).reshape(A.shape)
    spectra = _Spectra(pair, subspace(pair, R if rank is None else rank), M, box, balance)
    state, data = Splitting([simplex()], A), Data(pair, M, pair.P3 @ M, balance)
    costs, converged = [data.cost(A)], False
    while len(costs) <= iterations and not converged:
        settled = state.run(data, steps, inner_tolerance)
        cost = data.cost(state.V)
        if cost <= costs[-1]:
            A = state.V
        settled &= spectra.run(A, steps, inner_tolerance)
        other = Data(pair, spectra.V, pair.P3 @ spectra.V, balance)
        cost, changed = min(cost, costs[-1]), other.cost(A)
        if changed <= cost:
            M, data, cost = spectra.V, other, changed
        costs.append(cost)
        converged = (settled and costs[-2] - cost <= tolerance * costs[-2]) or cost <= PERFECT * data.energy
        if callback is not None and callback(len(costs) - 1, cost):
            break
    return Fused(M, A, np.array(costs), converged, endmembers=M, changed_endmembers=pair.P3 @ M, abundances=A)


class _Spectra:
    """
    Endmembers M = E T in a box, for given abundances, by scaled ADMM that goes on from call to call.

    T solves T F_H + balance S T F_M + rho T = E' (right side) with F_H and F_M the Gram matrices of the coarse and of
    the fine abundances and S = (P3 E)' P3 E: row by row in the eigenbasis of S.
    """

    def __init__(self, pair, E, M, box, balance):
        self.pair, self.E, self.box, self.balance = pair, E, box, balance
        self.V, self._d, self.rho = M, np.zeros_like(M), None
        self.s, self.Q = np.linalg.eigh((pair.P3 @ E).T @ pair.P3 @ E)
        self._Y_H, self._Y_M = E.T @ pair.Y_H, (pair.P3 @ E).T @ pair.Y_M

    def run(self, A, steps, tolerance):
        """At most so many steps; whether the splitting agrees and stands still."""
        low, fine = self.pair.degrade(A).reshape(len(A), -1), A.reshape(len(A), -1)
        right = self.Q.T @ (self._Y_H @ low.T + self.balance * self._Y_M @ fine.T)
        F = low @ low.T + self.balance * np.maximum(self.s, 0)[:, None, None] * (fine @ fine.T)
        if self.rho is None:
            values = np.linalg.eigvalsh(F.mean(axis=0))
            self.rho = float(np.exp(np.log(np.maximum(values, 1e-4 * values[-1])).mean()))
        inverses, EQ = None, self.E @ self.Q
        for step in range(1, steps + 1):
            if inverses is None:
                inverses = np.linalg.inv(F + self.rho * np.eye(len(A)))
            T = np.einsum("kp,kpq->kq", right + self.rho * (EQ.T @ (self.V + self._d)), inverses)
            M = EQ @ T
            V = np.clip(M - self._d, 0, self.box)
            self._d -= M - V
            gap, move = np.sqrt(np.mean((M - V) ** 2)), np.sqrt(np.mean((V - self.V) ** 2))
            self.V = V
            if max(gap, move) <= tolerance:
                return True
            factor = 2.0 if gap > 3 * move else 0.5 if move > 3 * gap else 1.0
            if step % 5 == 0 and factor != 1.0:
                self.rho, inverses = self.rho * factor, None
                self._d /= factor
        return False
