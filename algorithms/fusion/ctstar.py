"""CT-STAR: fusion and spectral change by coupled Tucker decompositions, in closed form."""

import numpy as np

from .pair import Fused, along_bands
from .tucker import check_tucker, fitting, leading, project, seen_bands

RELATIVE = 0.7       # rank of the scene's rows and columns, of the HSI's size, in LL1's settings for Tahoe
CHANGE = (3, 3, 1)   # ranks of the change there
BANDS = 10           # rank of the scene's bands there


def ctstar(pair, ranks=None, change_ranks=None):
    """
    Fusion where the scene changed between both dates, both scene and change being of low multilinear rank.

    Y_H = Z x1 P1 x2 P2, Y_M = (Z + Psi) x3 P3. The MSI's leading R + R' directions of rows and of columns, C1m and C2m,
    hold those of the scene, B_i = C_im Q_i, which the HSI's own leading R directions C_ih tell: Q_i = argmin ||C_ih -
    P_i C_im Q_i||. The core comes from the HSI alone: D = Y_H x1 (P1 B1)^+ x2 (P2 B2)^+ x3 B3'. The change is what the
    MSI has besides: Psi x3 P3 = Y_M - Z x3 P3, noise included.

    Parameters
    ----------
    pair : Pair
        In any unit; `Pair.scaled` lets all bands count alike.
    ranks, change_ranks : (R1, R2, R3), optional
        Of rows, columns and bands, of the scene and of its change, see `default_ranks`. The change's third does not
        enter the method.

    Returns
    -------
    Fused
        With `variability`.

    Raises
    ------
    ValueError
        Ranks that no scene has, or that leave it undetermined: those of scene and change together must not exceed the
        HSI's rows and columns, of which there must be two at least.

    References
    ----------
    R. Borsoi, C. Prevost, K. Usevich, D. Brie, J. Bermudez, C. Richard, Coupled tensor decomposition for hyperspectral
    and multispectral image fusion with inter-image variability, IEEE JSTSP 15(3), 2021, algorithm 1. Singular vectors
    come from Gram matrices, so that directions below 1e-7 of the strongest are left out.
    """
    if ranks is None and change_ranks is None:
        ranks, change_ranks = default_ranks(pair)
    elif ranks is None or change_ranks is None:
        raise ValueError("give the ranks of the scene and those of its change, or neither")
    check(pair, ranks, change_ranks)
    W, U, V, D = scene(pair, ranks, change_ranks)
    X = U @ D @ V.T
    change = pair.msi - along_bands(pair.P3 @ W, X)
    return Fused(W, X, variability=change)


def scene(pair, ranks, change_ranks):
    """B3 (K, R3), B1 (I, R1), B2 (J, R2) and the core D (R3, R1, R2) of the scene."""
    hsi, msi = np.asarray(pair.hsi, np.float64), np.asarray(pair.msi, np.float64)
    W = leading(hsi, 0, ranks[2])
    U, V = (_rows(P, leading(hsi, mode, rank), leading(msi, mode, rank + more)) for mode, P, rank, more in
            ((1, pair.P1, ranks[0], change_ranks[0]), (2, pair.P2, ranks[1], change_ranks[1])))
    D = project(hsi, W, np.linalg.pinv(pair.P1 @ U).T, np.linalg.pinv(pair.P2 @ V).T)
    return W, U, V, D


def _rows(P, coarse, fine):
    """What in the span of `fine` (I, R + R') the sensor P sees as `coarse` (I_H, R): (I, R)."""
    return fine @ np.linalg.lstsq(P @ fine, coarse, rcond=None)[0]


def default_ranks(pair):
    """
    Ranks of the scene and of its change: 0.7 of the HSI's rows and columns and 10 bands; 3, 3 and 1.

    LL1 has (18, 15, 10) and (3, 3, 1) on Tahoe, whose HSI has 25 x 20 pixels. Cut to what a smaller pair identifies;
    with one HSI row or column there is no such pair of ranks, and `check` refuses these.
    """
    K, I_H, J_H = pair.hsi.shape
    more = tuple(min(rank, max(1, n // 4)) for rank, n in zip(CHANGE, (I_H, J_H)))
    R1, R2 = (max(1, min(round(RELATIVE * n), n - extra)) for n, extra in zip((I_H, J_H), more))
    return fitting((R1, R2, min(BANDS, K, I_H * J_H))), (*more, 1)


def check(pair, ranks, change_ranks):
    """Raise ValueError for ranks that no scene has, or that leave it undetermined."""
    K, I_H, J_H = pair.hsi.shape
    _, I, J = pair.msi.shape
    if min(I_H, J_H) < 2:
        raise ValueError(f"the hyperspectral image has {I_H} x {J_H} pixels, but two rows and two columns are needed to"
                         f" tell the scene from its change: take a larger one, or a method that knows no change")
    check_tucker("scene", ranks, (I, J, min(K, I_H * J_H)))
    if not (min(change_ranks) >= 1 and change_ranks[2] <= seen_bands(pair)):
        raise ValueError(f"the change's ranks {tuple(change_ranks)} (rows, columns, bands) must be at least 1, and that"
                         f" of the bands at most {seen_bands(pair)}, as many as the multispectral image tells apart")
    if ranks[0] + change_ranks[0] > I_H or ranks[1] + change_ranks[1] > J_H:
        raise ValueError(f"ranks {tuple(ranks)} of the scene and {tuple(change_ranks)} of its change leave the scene "
                         f"undetermined: together those of rows must be at most {I_H} and those of columns at most "
                         f"{J_H}, the hyperspectral image's size; lower the one or the other")
