"""HySure: coefficients in a subspace under a vector total variation."""

import numpy as np

from .pair import Fused
from .splitting import Data, Splitting, VectorTotalVariation
from .start import endmembers, spanning

RANK = 10              # of the subspace in the authors' demonstrations; 30 in their comparisons
SMOOTHNESS = 5e-4      # lambda_phi
BALANCE = 1.0          # lambda_m
ITERATIONS = 200
TOLERANCE = 1e-4
RESTARTS = 20          # runs of VCA


def hysure(pair, rank=RANK, start=None, smoothness=SMOOTHNESS, balance=BALANCE, iterations=ITERATIONS,
           tolerance=TOLERANCE, seed=0, callback=None):
    """
    Hyperspectral superresolution by subspace-based regularisation.

    min over X  1/2 ||Y_H - E X B S||^2 + balance/2 ||Y_M - P3 E X||^2 + smoothness sum ||(X D_h, X D_v)||, where the
    norm is taken per pixel over all coefficients and both directions, and the scene is Z = E X.

    Parameters
    ----------
    pair : Pair
        Of data scaled to about one, see `Pair.scaled`: the weights count on it.
    rank : int
        Dimension p of the subspace, cut to what the HSI spans; not used with `start`.
    start : ndarray (K, p), optional
        The spectra E; by default those of VCA with the largest simplex out of 20 runs.
    smoothness : float
        Weight of the total variation, 0 or more.
    balance : float
        Weight of the MSI, above 0.
    iterations : int
        At most so many steps.
    tolerance : float
        Root mean square, in units of coefficients, below which the splittings agree and have stopped moving.
    seed : int
        For VCA.
    callback : callable(iteration, cost) -> bool or None, optional
        After each step; true stops.

    Returns
    -------
    Fused
        Coefficients have no sign constraint. `costs` are those of the present coefficients; ADMM's steps may raise
        them.

    Raises
    ------
    ValueError
        A start that does not fit, or weights out of range.

    References
    ----------
    Simoes, Bioucas-Dias, Almeida and Chanussot, A convex formulation for hyperspectral image superresolution via
    subspace-based regularization, IEEE TGRS 53(6), 2015. Departures: the authors split X B from X and solve for X by
    Fourier transforms, which ties it to circular borders; here the data step is exact (`sylvester.solver`, any
    border, ratio and phase), and only the total variation is split from it, by cosine transforms without differences
    across the edges. The penalty adapts where theirs is 0.05, and steps end where they have converged.
    """
    if smoothness < 0 or not balance > 0:
        raise ValueError(f"the weights are {smoothness} and {balance}; they must be 0 or more, and above 0")
    E = endmembers(pair, rank, start, seed, RESTARTS, spanning)
    data = Data(pair, E, pair.P3 @ E, balance)
    X = pair.upsample(np.tensordot(np.linalg.pinv(E), pair.hsi, 1))
    state = Splitting([VectorTotalVariation(smoothness, X.shape[1:])], X)
    costs, converged = [data.cost(X) + state.cost()], False
    while len(costs) <= iterations and not converged:
        converged = state.run(data, 1, tolerance)
        costs.append(data.cost(state.V) + state.cost())
        if callback is not None and callback(len(costs) - 1, costs[-1]):
            break
    return Fused(E, state.V, np.array(costs), converged)
