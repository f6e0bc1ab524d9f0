"""Scenes with planted endmembers, for the tests of extractors."""

import numpy as np

from subpixel.algorithms.simulate.scene import simulate


def planted(P, seed, L=60, side=40, snr_db=None, **options):
    """Y (L, N), its noise-free version X, M (L, P) and the positions of the pure pixels, where there are any."""
    rng = np.random.default_rng(seed)
    x = np.linspace(0, 1, L)[:, None]
    centres, widths = np.linspace(0.1, 0.9, P), rng.uniform(0.08, 0.25, P)
    M = 0.05 + rng.uniform(0.05, 0.2, P) + 0.5 * np.exp(-((x - centres) / widths) ** 2)
    Y, A = simulate(M, side, side, rng, snr_db=snr_db, **options)
    return Y, M @ A, M, np.flatnonzero(A.max(axis=0) == 1)


def angles(M, E):
    """Angle in degrees from each spectrum of `M` to the nearest of `E`."""
    M, E = M / np.linalg.norm(M, axis=0), E / np.linalg.norm(E, axis=0)
    return np.degrees(np.arccos(np.clip((M.T @ E).max(axis=1), -1, 1)))


def cut(Y, size=311):
    """The pixels as a stream of blocks."""
    return [Y[:, i:i + size] for i in range(0, Y.shape[1], size)]
