"""MVNTF: the cube as a sum of low-rank abundance maps times spectra."""

import numpy as np

from .alternating import FLOOR, TINY, MtY, Start, alternate, misfit, misfit_of_sums, multiplicative_endmembers, start

INITIAL_STEPS = 200


def mvntf(Y, P, rng, *, positions, shape, initial=None, map_rank=None, delta=0.4, iterations=1000, tolerance=2e-4,
          patience=5, callback=None):
    """
    Blind unmixing by matrix-vector nonnegative tensor factorisation (block terms of multilinear rank l, l, 1)::

        min 1/2 ||X - sum_r (A_r B_r^T) o c_r||^2 + delta / 2 ||1 1^T - A B^T||^2   subject to A, B, C >= 0

    where X is the cube, A = [A_1 ... A_P] (rows, P l), B = [B_1 ... B_P] (cols, P l), and C = [c_1 ... c_P] the
    endmembers.

    Parameters
    ----------
    Y : ndarray (L, N)
        The valid pixels; values below zero count as zero.
    P : int
    rng : numpy.random.Generator
    positions : ndarray of int (N,)
        Their places in the grid, row-major.
    shape : (int, int)
        Rows and columns of the grid. A pixel that is not in `positions` takes no part: the cost runs over the others.
    initial : ndarray (L, P), optional
        See `alternating.start`.
    map_rank : int, optional
        l, the rank of each abundance map: 0.3 of the shorter side by default (19 of 64 in the paper's example), or
        the largest that the number of valid pixels determines.
    delta : float
        Weight of the sum to one.
    iterations, tolerance, patience, callback
        See `alternating.alternate`.

    Returns
    -------
    BlindUnmixing
        Sums of abundances are near one only where the data allow it: `delta` is soft.

    Raises
    ------
    ValueError
        As `alternating.start`, and where P l^2 exceeds the number of valid pixels, beyond which the maps are not
        determined, or l the shorter side.

    Notes
    -----
    Multiplicative steps for A, B and C in turn, each of which never raises the cost. With the maps E_r = A_r B_r^T the
    products with Khatri-Rao matrices are A: ((sum_l c_lr X_l) B_r + delta 1 1^T B_r) / ((sum_s (C^T C)_rs E_s + delta
    sum_s E_s) B_r), which need C^T Y and maps only. After each, A_r and B_r are given the same size, which changes no
    map.

    References
    ----------
    Y. Qian, F. Xiong, S. Zeng, J. Zhou, Y. Y. Tang, Matrix-vector nonnegative tensor factorization for blind unmixing
    of hyperspectral imagery, IEEE TGRS 55(3), 2017. Departures: the start is a rank-l NMF of each FCLS map; the cost
    is what must settle (five times running, as there the maps, the spectra and the fit).
    """
    rows, cols = shape
    begin = start(Y, P, rng, initial, nonnegative=True)
    N = len(positions)
    rank = max(1, min(round(0.3 * min(shape)), int(np.sqrt(N / P)))) if map_rank is None else map_rank
    if not 1 <= rank <= min(shape):
        raise ValueError(f"The maps' rank is {rank}; in a scene of {rows} x {cols} pixels it must be between 1 and "
                         f"{min(shape)}.")
    if P * rank**2 > N:
        raise ValueError(f"{P} maps of rank {rank} are not determined by {N} valid pixels. Choose a rank of at most "
                         f"{int(np.sqrt(N / P))}.")
    Y, energy, valid = begin.Y, begin.energy, np.zeros(rows * cols)
    valid[positions] = 1.0
    valid = valid.reshape(shape)

    def as_maps(values):
        whole = np.zeros((P, rows * cols))
        whole[:, positions] = values
        return whole.reshape(P, rows, cols)

    def pixels(F, H):
        return np.matmul(F, H.transpose(0, 2, 1)).reshape(P, -1)[:, positions]

    def cost(K, Z, A):
        return misfit(energy, K, Z, A) + delta * misfit_of_sums(A)

    factors = low_rank_maps(as_maps(begin.A), valid, rank, rng)
    latest = MtY(begin.M, Y)

    def step(C, _):
        nonlocal factors, latest
        F, H = factors
        Z, K = as_maps(latest), C.T @ C
        F = _lower(F, H, Z, K, valid, delta)
        H = _lower(H, F, Z.transpose(0, 2, 1), K, valid.T, delta)
        factors = _balanced(F, H)
        A = pixels(F, H)
        C = multiplicative_endmembers(Y, C, A)
        latest = MtY(C, Y)
        return C, A, cost(C.T @ C, latest, A)

    A = pixels(*factors)
    return alternate(step, cost(begin.M.T @ begin.M, latest, A), Start(Y, begin.M, A, begin.scale),
                     iterations=iterations, tolerance=tolerance, patience=patience, callback=callback)


def low_rank_maps(maps, valid, rank, rng):
    """
    Nonnegative F (P, rows, rank), H (P, cols, rank) from random ones, with F H^T near the `maps` (P, rows, cols) where
    `valid` (rows, cols) is one; it is zero elsewhere.
    """
    P, rows, cols = maps.shape
    mean = (maps * valid).sum(axis=(1, 2)) / valid.sum()
    size = np.sqrt(np.maximum(mean, FLOOR) / rank)[:, None, None]
    F, H = (size * (0.5 + rng.random((P, side, rank))) for side in (rows, cols))
    for _ in range(INITIAL_STEPS):
        F = _nearer(F, H, maps, valid)
        H = _nearer(H, F, maps.transpose(0, 2, 1), valid.T)
    return np.maximum(F, FLOOR), np.maximum(H, FLOOR)


def _nearer(F, H, maps, valid):
    """The multiplicative step for F of each map by itself."""
    fitted = np.matmul(F, H.transpose(0, 2, 1)) * valid
    return F * np.matmul(maps * valid, H) / np.maximum(np.matmul(fitted, H), TINY)


def _lower(F, H, Z, K, valid, delta):
    """The multiplicative step for the factors F (P, I, l) of the maps F H^T; Z is C^T X as maps, K = C^T C."""
    maps = np.matmul(F, H.transpose(0, 2, 1)) * valid
    fitted = np.tensordot(K, maps, axes=1) + delta * maps.sum(axis=0)
    return F * np.matmul(Z + delta * valid, H) / np.maximum(np.matmul(fitted, H), TINY)


def _balanced(F, H):
    """The same maps from factors whose columns have the same size."""
    ratio = np.sqrt(np.maximum(np.linalg.norm(H, axis=1), TINY) / np.maximum(np.linalg.norm(F, axis=1), TINY))
    return F * ratio[:, None], H / ratio[:, None]
