"""CB-STAR: fusion and spectral change by coupled Tucker decompositions, by block coordinate descent."""

import numpy as np

from . import ctstar
from .pair import Fused, along_bands, eigen_dense, positive
from .sylvester import along_from
from .tucker import (check_images, check_ranks, check_tucker, coupled_core, default_ranks as scene_ranks, expand,
                     fitting, hosvd, leading, refine, seen_bands)

ITERATIONS, TOLERANCE = 250, 1e-3   # of the authors' program
CHANGE_BANDS = 4                    # rank of the change's bands, at most, as on Tahoe


def cbstar(pair, ranks=None, change_ranks=None, *, balance=1.0, start="upsampled", iterations=ITERATIONS,
           tolerance=TOLERANCE, callback=None):
    """
    Fusion where the scene changed between both dates, both scene and change being of low multilinear rank.

    min over D, B_i and Psi_M  ||Y_H - D x1 P1 B1 x2 P2 B2 x3 B3||^2
    + balance ||Y_M - D x1 B1 x2 B2 x3 P3 B3 - Psi_M||^2, Psi_M (K_M, I, J) of multilinear rank `change_ranks`. It
    stands for Psi x3 P3: only that can be known of the change.

    Parameters
    ----------
    pair : Pair
        In any unit; `Pair.scaled` lets all bands count alike.
    ranks, change_ranks : (R1, R2, R3), optional
        Of rows, columns and bands, of the scene and of its change, see `default_ranks`.
    balance : float
        Weight of the MSI's squared misfit, above 0; 1 in the paper.
    start : {"upsampled", "ctstar"}
        The change to start from: how the degraded MSI differs from the HSI in the MSI's bands, interpolated and cut to
        its ranks; or CT-STAR's result, which needs ranks that it identifies.
    iterations : int
        Rounds over all blocks at most.
    tolerance : float
        Share of the cost; with less decrease in a round it ends.
    callback : callable, optional
        callback(iteration, cost); true stops.

    Returns
    -------
    Fused
        With `variability` Psi_M. The cost never increases.

    Raises
    ------
    ValueError
        Ranks that no image has; ranks of the scene that leave it undetermined even with the change known, see
        `tucker.check_ranks`; a change with more bands than the MSI tells apart; with "ctstar" those that it refuses.
        A balance that is not above 0, or an image that is zero everywhere.

    References
    ----------
    R. Borsoi, C. Prevost, K. Usevich, D. Brie, J. Bermudez, C. Richard, Coupled tensor decomposition for hyperspectral
    and multispectral image fusion with inter-image variability, IEEE JSTSP 15(3), 2021, algorithm 2. Departures: the
    change is improved by a sweep of orthogonal iteration from its last subspaces, where the paper truncates singular
    values anew, which need not lower the cost; the core comes last in a round, so that a cost is that of what would be
    returned (the order within the cycle is the paper's); factors are drawn to their last value by a ridge of 1e-10.
    Interpolation is by cubic convolution. Starts from random factors and from pseudo-inverses are not here.
    """
    positive("balance", balance)
    if ranks is None and change_ranks is None:
        ranks, change_ranks = default_ranks(pair)
    elif ranks is None or change_ranks is None:
        raise ValueError("give the ranks of the scene and those of its change, or neither")
    check(pair, ranks, change_ranks)
    check_images(pair)
    hsi, msi = np.asarray(pair.hsi, np.float64), np.asarray(pair.msi, np.float64)
    P1, P2, P3, bands = pair.P1, pair.P2, pair.P3, eigen_dense(pair.P3)

    def misfits():
        low = hsi - expand(D, W, P1 @ U, P2 @ V)
        high = msi - change - expand(D, P3 @ W, U, V)
        return float(np.vdot(low, low) + balance * np.vdot(high, high))

    core, parts = hosvd(_first_change(pair, ranks, change_ranks, start), change_ranks)
    change = expand(core, *parts)
    W, U, V, D = _first_scene(pair, hsi, msi, change, ranks, change_ranks, balance, start)
    energy = np.vdot(hsi, hsi) + balance * np.vdot(msi, msi)
    costs, converged = [misfits()], False
    while len(costs) <= iterations and not converged:
        aim = msi - change
        low, high = along_bands(W.T, hsi), along_bands((P3 @ W).T, aim)
        U, D = _rows(pair.rows, P1, P2, low, high, W, P3 @ W, U, V, D, balance)
        V, D = _rows(pair.columns, P2, P1, _turned(low), _turned(high), W, P3 @ W, V, U, _turned(D), balance)
        W, D = _bands(bands, pair, hsi, aim, W, U, V, _turned(D), balance)
        core, parts = refine(msi - expand(D, P3 @ W, U, V), parts, change_ranks)
        change = expand(core, *parts)
        D = coupled_core(pair, hsi, msi - change, W, U, V, balance)
        costs.append(misfits())
        converged = costs[-1] <= 1e-24 * energy or costs[-2] - costs[-1] <= tolerance * costs[-2]
        if callback is not None and callback(len(costs) - 1, costs[-1]):
            break
    return Fused(W, U @ D @ V.T, np.array(costs), bool(converged), variability=change)


def default_ranks(pair):
    """
    Ranks of the scene, those of `tucker.default_ranks`, and of its change: as many rows and columns, 4 bands.

    LL1 has (40, 40, 4) and (40, 40, 5) on Ivanpah, of 80 x 128 pixels and with 10 MSI bands.
    """
    ranks = scene_ranks(pair)
    return ranks, fitting((ranks[0], ranks[1], min(CHANGE_BANDS, seen_bands(pair))))


def check(pair, ranks, change_ranks):
    """Raise ValueError for ranks that no image has, or that leave the scene undetermined."""
    check_ranks(pair, ranks)
    check_tucker("change", change_ranks, (*pair.msi.shape[1:], seen_bands(pair)))


def _first_change(pair, ranks, change_ranks, start):
    """What the MSI (K_M, I, J) has besides the scene, before any descent."""
    if start == "upsampled":
        return pair.upsample(pair.degrade(pair.msi) - along_bands(pair.P3, pair.hsi))
    if start == "ctstar":
        return ctstar.ctstar(pair, ranks, change_ranks).variability
    raise ValueError(f"start is {start!r}; it must be 'upsampled' or 'ctstar'")


def _first_scene(pair, hsi, msi, change, ranks, change_ranks, balance, start):
    """Orthonormal W, U, V and the core D of the scene to start from."""
    if start == "ctstar":
        W, U, V, _ = ctstar.scene(pair, ranks, change_ranks)
        U, V = np.linalg.qr(U)[0], np.linalg.qr(V)[0]
    else:
        W, U, V = leading(hsi, 0, ranks[2]), leading(msi - change, 1, ranks[0]), leading(msi - change, 2, ranks[1])
    return W, U, V, coupled_core(pair, hsi, msi - change, W, U, V, balance)


def _rows(eigen, P, Q, low, high, W, RW, U, V, D, balance):
    """
    U (I, R1), orthonormal, and the core with what was not, that fit both images best beside W, V and D.

    `low` and `high` are the images contracted with W and with RW = P3 W, (R3, I_H, J_H) and (R3, I, J). The columns'
    factor is updated with all images and the core turned.
    """
    PV = Q @ V
    X2 = _inner(along_bands(W.T @ W, D) @ (PV.T @ PV), D)
    X4 = balance * _inner(along_bands(RW.T @ RW, D) @ (V.T @ V), D)
    X5 = P.T @ _inner(low @ PV, D) + balance * _inner(high @ V, D)
    U, R = np.linalg.qr(along_from(U, eigen, X2, X4, X5))
    return U, R @ D


def _bands(eigen, pair, hsi, msi, W, U, V, D, balance):
    """W (K, R3), orthonormal, and the core with what was not, that fit both images best beside U, V and D."""
    low = ((pair.P1 @ U) @ D @ (pair.P2 @ V).T).reshape(len(D), -1)
    flat = D.reshape(len(D), -1)
    X2 = balance * flat @ flat.T
    X5 = hsi.reshape(len(hsi), -1) @ low.T + balance * pair.P3.T @ ((U.T @ msi @ V).reshape(len(msi), -1) @ flat.T)
    W, R = np.linalg.qr(along_from(W, eigen, X2, low @ low.T, X5))
    return W, along_bands(R, D)


def _inner(X, Y):
    """Unfoldings along rows, one times the other's transpose."""
    return np.tensordot(X, Y, ((0, 2), (0, 2)))


def _turned(X):
    """With rows and columns exchanged."""
    return X.transpose(0, 2, 1)
