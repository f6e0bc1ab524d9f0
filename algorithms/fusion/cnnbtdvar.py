"""CNN-BTD-Var: fusion, spectral change and unmixing by a coupled block-term decomposition without negative values."""

from dataclasses import replace

import numpy as np

from . import ll1
from .pair import Fused, positive

PENALTY = 0.1      # of the distance of maps and factors, in units of what the MSI's misfit weighs
TOLERANCE = 1e-4


def cnnbtdvar(pair, R, L, *, balance=ll1.BALANCE, prior=ll1.PRIOR, iterations=ll1.ITERATIONS, penalty=PENALTY,
              trials=ll1.TRIALS, seed=0, start=None, tolerance=TOLERANCE, callback=None):
    """
    Fusion and unmixing where the materials' spectra changed: R nonnegative maps of about rank L, two spectra each.

    min |Y_H - sum_r P1 S_r P2' o c_r|^2 + balance |Y_M - sum_r S_r o c_M,r|^2 + prior |Z - mu|^2 over
    S_r = A_r B_r' >= 0, C >= 0 and C_M >= 0, with the scene Z = sum S_r o c_r and the interpolated HSI mu.

    Parameters
    ----------
    pair, R, L, balance, prior, seed, callback
        As in `btdvar`.
    iterations : int
        Of A, B, S, C, C_M.
    penalty : float
        rho, above 0, as a share of the weight that the MSI's misfit has in a map, balance mean_r |c_M,r|^2.
    trials : int
        As in `btdvar`, and runs of VCA; of both starts that of less cost is taken.
    start : Blocks, or ndarray (K, R), optional
        Where to start instead: factors, or endmembers in the pair's scale, see `ll1.from_materials`.
    tolerance : float
        It ends when the cost changes by less than this share of itself in an iteration and |S - A B'|^2, what the maps
        hold beyond rank L, is at most this share of |S|^2: `converged` says both.

    Returns
    -------
    Fused
        With `endmembers`, `changed_endmembers`, `abundances`, `variability`, none of the first three negative. Each
        map has the factor with which they sum to one as nearly as they can. The costs are those of S, C and C_M as they
        are given back, S without negative values and of rank L in the limit only; they may rise.

    Raises
    ------
    ValueError
        As `btdvar`, or a penalty that is not above zero, or endmembers of another shape.

    Notes
    -----
    Each iteration minimises the augmented Lagrangian, cost of A B' + rho sum |A_r B_r' - S_r + U_r|^2, over A and B,
    takes S = max(A B' + U, 0) and U + A B' - S, and then C and C_M by nonnegative least squares on S, exactly. The
    published scheme (LL1, Algorithm 2) is one-way: its A and B do not know S, and where their maps are not nonnegative
    by themselves, nothing moves them there. On Indian Pines (R = 6, L = 13, 20 iterations, no prior) it ends at a cost
    of 374 and 26.8 dB from materials, at 353 and 27.6 dB from BTDRec; with the penalty both starts end at 303 to 305
    and 28.9 to 29.0 dB, so that this is what is done here.

    The promise of Theorem III.1 is one for almost all maps (`ll1.not_unique`), not for those of LL1's section VI-B,
    whose rows and columns all span the same three directions: there only nonnegativity and the start decide.

    References
    ----------
    Prevost et al., 2021 (see `btdvar`), Algorithm 2, eqs. 17-18 and appendix B. Departures: the prior; the penalty in
    A and B; exact nonnegative least squares for C and C_M in place of five steps of ADMM; one factor for c_r and c_M,r
    (see `btdvar`); a start from materials besides BTDRec.
    """
    ll1.check(pair, R, L, balance, prior)
    positive("the penalty", penalty)
    blocks = _start(pair, R, L, balance, prior, trials, seed, start)
    blocks, S = blocks.nonnegative(pair)
    U = np.zeros_like(S)
    energy, least = ll1.interpolated_energy(pair) if prior else None, ll1.rounding(pair, balance)
    misfit, distance = ll1.misfits(pair, S, blocks.C, blocks.C_M, balance, energy)
    prior = ll1.believed(pair, R, prior, misfit, distance)
    costs, converged = [misfit + prior * distance], False
    while not converged and len(costs) <= iterations:
        weight = penalty * balance * np.mean(np.sum(blocks.C_M ** 2, axis=0))
        blocks = ll1.factors(pair, blocks, balance, prior, S - U, weight)
        low_rank = blocks.maps()
        S = np.maximum(low_rank + U, 0)
        low_rank -= S
        U += low_rank
        together = np.vdot(low_rank, low_rank) <= tolerance * np.vdot(S, S)
        blocks, S, U = _balanced(pair, blocks, S, U, prior)
        misfit, distance = ll1.misfits(pair, S, blocks.C, blocks.C_M, balance, energy)
        costs.append(misfit + prior * distance)
        steady = abs(costs[-2] - costs[-1]) <= tolerance * costs[-2] or costs[-1] <= least
        converged = steady and together
        if callback is not None and callback(len(costs) - 1, costs[-1]):
            break
        prior = ll1.believed(pair, R, prior, misfit, distance)
    t = ll1.scales_to_one(S)
    C, C_M, S = blocks.C / t, blocks.C_M / t, S * t[:, None, None]
    return Fused(C, S, np.array(costs), bool(converged), C, C_M, S, np.tensordot(C_M - pair.P3 @ C, S, 1))


def _start(pair, R, L, balance, prior, trials, seed, start):
    if isinstance(start, ll1.Blocks):
        ll1.check_start(pair, R, L, start)
        return start
    materials = ll1.from_materials(pair, R, L, start, seed, trials)
    if start is not None:
        return materials

    energy = ll1.interpolated_energy(pair) if prior else None

    def value(blocks):
        found, S = blocks.nonnegative(pair)
        misfit, distance = ll1.misfits(pair, S, found.C, found.C_M, balance, energy)
        return misfit + ll1.believed(pair, R, prior, misfit, distance) * distance

    return min(materials, ll1.start(pair, R, L, balance, trials, seed), key=value)


def _balanced(pair, blocks, S, U, prior):
    """Spectra for maps S, their norms brought to one in B, S and U."""
    C, C_M = ll1.both_spectra(pair, S, nonnegative=True, prior=prior)
    norms = np.linalg.norm(C, axis=0)
    norms[norms == 0] = 1.0
    each = norms[:, None, None]
    return replace(blocks, B=blocks.B * each, C=C / norms, C_M=C_M / norms), S * each, U * each
