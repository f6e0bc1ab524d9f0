"""SCOTT: fusion by a coupled Tucker decomposition, in closed form."""

import numpy as np

from .pair import Fused, positive
from .tucker import check_ranks, coupled_core, default_ranks, leading


def scott(pair, ranks=None, *, balance=1.0):
    """
    Fusion in the leading subspaces of both images: rows and columns of the MSI, spectra of the HSI.

    min over G  ||Y_H - G x1 P1 U x2 P2 V x3 W||^2 + balance ||Y_M - G x1 U x2 V x3 P3 W||^2, where U, V are the R1, R2
    leading left singular vectors of the MSI's unfoldings along rows and columns, and W the R3 leading ones of the HSI's
    along bands. It has one closed solution.

    Parameters
    ----------
    pair : Pair
        In any unit; `Pair.scaled` lets all bands count alike.
    ranks : (R1, R2, R3), optional
        Of rows, columns and bands; `tucker.default_ranks` otherwise.
    balance : float
        lambda, weight of the MSI's squared misfit, above 0.

    Returns
    -------
    Fused
        basis W (K, R3), coefficients G x1 U x2 V.

    Raises
    ------
    ValueError
        Ranks that no scene has, or that leave it undetermined: (R1 <= I_H and R2 <= J_H) or R3 <= K_M must hold. A
        balance that is not above 0.

    References
    ----------
    C. Prevost, K. Usevich, P. Comon, D. Brie, Hyperspectral super-resolution with coupled Tucker approximation:
    recoverability and SVD-based algorithms, IEEE TSP 68, 2020. No regularisation; singular vectors come from Gram
    matrices, so that directions below 1e-7 of the strongest are left out.
    """
    positive("balance", balance)
    ranks = default_ranks(pair) if ranks is None else tuple(ranks)
    check_ranks(pair, ranks)
    hsi, msi = np.asarray(pair.hsi, np.float64), np.asarray(pair.msi, np.float64)
    U, V, W = leading(msi, 1, ranks[0]), leading(msi, 2, ranks[1]), leading(hsi, 0, ranks[2])
    return Fused(W, U @ coupled_core(pair, hsi, msi, W, U, V, balance) @ V.T)
