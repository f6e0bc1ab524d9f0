"""BTD-Var: fusion and spectral change by a coupled block-term decomposition."""

import numpy as np

from . import ll1
from .pair import Fused

TOLERANCE = 1e-4


def btdvar(pair, R, L, *, balance=ll1.BALANCE, prior=ll1.PRIOR, iterations=ll1.ITERATIONS, trials=ll1.TRIALS, seed=0,
           start=None, tolerance=TOLERANCE, callback=None):
    """
    Fusion where the materials' spectra changed between both dates: R maps of rank L, with two spectra each.

    min |Y_H - sum_r (P1 A_r)(P2 B_r)' o c_r|^2 + balance |Y_M - sum_r A_r B_r' o c_M,r|^2 + prior |Z - mu|^2 over A, B,
    C and C_M, with the interpolated HSI mu. The scene Z is sum A_r B_r' o c_r, the change in the MSI's bands
    sum A_r B_r' o (c_M,r - P3 c_r).

    Parameters
    ----------
    pair : Pair
        In any unit; `Pair.scaled` lets all bands count alike. P3 serves for the change only.
    R, L : int
        Materials, and the rank of each one's map. `ll1.not_unique` says for which the solution may not be unique.
    balance : float
        lambda, weight of the MSI's squared misfit.
    prior : float
        Weight of the interpolated HSI, as in `fuse`; 0 is the published problem. It is lowered, sweep by sweep, where
        both images fit too well for it, see `ll1.believed`.
    iterations : int
        Sweeps over A, B, C, C_M.
    trials, seed : int
        Starts of which the best is taken, see `ll1.start`.
    start : Blocks, optional
        Where to start instead.
    tolerance : float
        Share of the cost; with less decrease in a sweep it ends, and where only rounding is left.
    callback : callable, optional
        callback(iteration, cost) after each sweep; true stops.

    Returns
    -------
    Fused
        With `variability`. The costs hold the prior's part, and never increase. Spectra and maps are determined up to a
        factor of either sign, so that none are given as materials; see `cnnbtdvar` for those.

    Raises
    ------
    ValueError
        R below 1, L below 1 or above the MSI's smaller side, R above the HSI's pixels; a balance that is not above 0,
        a prior below 0, no trials; a start that is not finite or of another size; an image of zeros.

    References
    ----------
    Prevost, Borsoi, Usevich, Brie, Bermudez and Richard, Hyperspectral super-resolution accounting for spectral
    variability: LL1-based recovery and blind unmixing, 2021 (HAL hal-03158076), Algorithm 1, eq. 16 and appendix A.
    Departures: the prior; c_r and c_M,r are divided by one factor, which the map takes up (the printed step divides
    each by its own norm, which changes the scene); A_r is made orthonormal in each sweep, which changes no map; a
    tolerance; the trials, see `ll1.start`.
    """
    ll1.check(pair, R, L, balance, prior)
    if start is not None:
        ll1.check_start(pair, R, L, start)
    blocks = ll1.start(pair, R, L, balance, trials, seed) if start is None else start.balanced()
    S, least = blocks.maps(), ll1.rounding(pair, balance)
    energy = ll1.interpolated_energy(pair) if prior else None
    misfit, distance = ll1.misfits(pair, S, blocks.C, blocks.C_M, balance, energy)
    prior = ll1.believed(pair, R, prior, misfit, distance)
    costs, converged = [misfit + prior * distance], False
    while not converged and len(costs) <= iterations:
        blocks = ll1.sweep(pair, blocks, balance, prior)
        S = blocks.maps()
        misfit, distance = ll1.misfits(pair, S, blocks.C, blocks.C_M, balance, energy)
        costs.append(misfit + prior * distance)
        converged = costs[-2] - costs[-1] <= tolerance * costs[-2] or costs[-1] <= least
        if callback is not None and callback(len(costs) - 1, costs[-1]):
            break
        prior = ll1.believed(pair, R, prior, misfit, distance)
    return Fused(blocks.C, S, np.array(costs), bool(converged),
                 variability=np.tensordot(blocks.C_M - pair.P3 @ blocks.C, S, 1))
