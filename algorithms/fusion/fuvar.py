"""FuVar: fusion when spectra change between both images, by seasonal factors of the endmembers."""

import numpy as np

from ..abundances.fcls import fcls
from .pair import Fused
from .splitting import Data, Splitting, VectorTotalVariation, nonnegative, simplex
from .start import endmembers

COUNT = 30
BALANCE = 1.0              # lambda_m
SMOOTHNESS = 1e-4          # lambda_A
NEARNESS = 0.01            # lambda_1
SPECTRAL_SMOOTHNESS = 1e4  # lambda_2
ITERATIONS = 10
STEPS = 50
TOLERANCE = 1e-3
INNER_TOLERANCE = 1e-4
LEAST = 1e-6               # no factor falls below


def fuvar(pair, count=COUNT, start=None, balance=BALANCE, smoothness=SMOOTHNESS, nearness=NEARNESS,
          spectral_smoothness=SPECTRAL_SMOOTHNESS, sum_to_one=False, iterations=ITERATIONS, steps=STEPS,
          tolerance=TOLERANCE, inner_tolerance=INNER_TOLERANCE, seed=0, callback=None):
    """
    Fusion with spectral variability between the images.

    min over A and Psi  1/2 ||Y_H - M A B S||^2 + balance/2 ||Y_M - P3 (Psi o M) A||^2
    + smoothness (||A D_h||_{2,1} + ||A D_v||_{2,1}) + nearness/2 ||Psi - 1||^2 + spectral_smoothness/2 ||D Psi||^2
    with A and Psi not negative and D second differences over the bands. The scene, at the HSI's date, is Z = M A.

    Parameters
    ----------
    pair : Pair
        Of data scaled to about one, see `Pair.scaled`: the weights count on it.
    count : int
        Number of endmembers R, cut to what the HSI spans; not used with `start`.
    start : ndarray (K, R), optional
        The endmembers M, which are not refined; those of VCA by default.
    balance, smoothness, nearness, spectral_smoothness : float
        lambda_m (above 0), lambda_A (0 or more), lambda_1 (above 0), lambda_2 (0 or more).
    sum_to_one : bool
        Keep the abundances on the simplex.
    iterations, steps : int
        Passes over A and Psi, and ADMM steps for A in each.
    tolerance, inner_tolerance : float
        Relative change of A and of Psi below which the passes end; root mean square, in abundances, below which
        ADMM's splittings agree and have stopped moving.
    seed : int
        For VCA.
    callback : callable(iteration, cost) -> bool or None, optional
        After each pass; true stops.

    Returns
    -------
    Fused
        With `endmembers` M, `changed_endmembers` P3 (Psi o M), `abundances` A, and `variability`
        P3 (Psi o M) A - P3 M A. The costs never rise: abundances that would raise them are left out, while their
        splitting goes on from where it is.

    Raises
    ------
    ValueError
        A start that does not fit, weights out of range, or endmembers that cannot be told apart.

    References
    ----------
    Borsoi, Imbiriba and Bermudez, Super-resolution for hyperspectral and multispectral image fusion accounting for
    seasonal spectral variability, IEEE TIP 29, 2020. Departures: the data step for A is exact (`sylvester.solver`),
    where the authors split M A and its blur off; Psi is solved for exactly (see `_scaling`) where they use ADMM, then
    clipped at 1e-6 as theirs; a Psi that the clipping makes worse is left out; the penalty adapts.
    """
    if not (balance > 0 and smoothness >= 0 and nearness > 0 and spectral_smoothness >= 0):
        raise ValueError(f"the weights are {balance}, {smoothness}, {nearness} and {spectral_smoothness}; the first "
                         "and the third must be above 0, the others 0 or more")
    M = np.maximum(endmembers(pair, count, start, seed), 0)
    K, R = M.shape
    shape = pair.msi.shape[1:]
    A = np.maximum(pair.upsample(fcls(pair.Y_H, M).A.reshape(R, *pair.hsi.shape[1:])), 0)
    if sum_to_one:
        A /= A.sum(axis=0)
    D = np.diff(np.eye(K), 2, axis=0)
    Q = nearness * np.eye(K) + spectral_smoothness * D.T @ D
    change = np.zeros((K, R))
    data = Data(pair, M, pair.P3 @ M, balance)
    state = Splitting([simplex() if sum_to_one else nonnegative(), VectorTotalVariation(smoothness, shape, False)], A)

    def cost_of(data, A, change):
        return data.cost(A) + state.terms[1].cost(A) + 0.5 * float(np.einsum("kr,kl,lr->", change, Q, change))

    costs, converged = [cost_of(data, A, change)], False
    while len(costs) <= iterations and not converged:
        settled = state.run(data, steps, inner_tolerance)
        old_A, old_change, cost = A, change, cost_of(data, state.V, change)
        if cost <= costs[-1]:
            A = state.V
        cost = min(cost, costs[-1])
        new = _scaling(pair, M, A.reshape(R, -1), Q, balance)
        other = Data(pair, M, pair.P3 @ ((1 + new) * M), balance)
        changed = cost_of(other, A, new)
        if changed <= cost:
            change, data, cost = new, other, changed
        costs.append(cost)
        converged = (settled and np.linalg.norm(A - old_A) < tolerance * np.linalg.norm(A)
                     and np.linalg.norm(change - old_change) < tolerance * np.linalg.norm(1 + change))
        if callback is not None and callback(len(costs) - 1, cost):
            break
    varied = np.tensordot(data.N - pair.P3 @ M, A, 1)
    return Fused(M, A, np.array(costs), converged, M, data.N, A, varied)


def _scaling(pair, M, A, Q, balance):
    """
    Psi - 1 (K, R) that minimises balance/2 ||Y_M - P3 (Psi o M) A||^2 + 1/2 tr((Psi - 1)' Q (Psi - 1)), then clipped.

    The MSI sees of each column phi_r only L_r phi_r with L_r = P3 diag(m_r): where the gradient vanishes phi_r =
    Q^-1 L_r' y_r, and the y (K_M R numbers) solve y_r + balance sum_q (A A')_rq L_q Q^-1 L_q' y_q = balance
    [(Y_M - P3 M A) A']_r.
    """
    K_M, R = pair.K_M, M.shape[1]
    L = pair.P3[None] * M.T[:, None]
    spread = np.linalg.solve(Q, L.reshape(R * K_M, -1).T).T.reshape(L.shape)
    S = L @ spread.transpose(0, 2, 1)
    F = balance * A @ A.T
    right = balance * (pair.Y_M @ A.T) - pair.P3 @ M @ F
    system = np.einsum("rq,qab->raqb", F, S).reshape(R * K_M, -1)
    y = np.linalg.solve(system + np.eye(R * K_M), right.T.ravel()).reshape(R, K_M)
    return np.maximum(np.einsum("rak,ra->kr", spread, y), LEAST - 1)
