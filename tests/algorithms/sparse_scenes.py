"""A library of more smooth spectra than bands, and noisy mixtures of few of them."""

from pathlib import Path

import numpy as np

BERLIN = Path(__file__).resolve().parents[3] / "shared" / "data" / "libraries" / "library_berlin.sli"
L, P, N = 24, 30, 200


def library(L=L, P=P, seed=0):
    """Smooth spectra (L, P), some of them alike."""
    rng, x = np.random.default_rng(seed), np.linspace(0, 1, L)[:, None]
    centres, widths, heights = rng.random((3, 4, P))
    bumps = (0.2 + heights[:, None]) * np.exp(-((x - centres[:, None]) / (0.05 + 0.3 * widths[:, None])) ** 2)
    return 0.1 + 0.5 * bumps.sum(axis=0) / 2


def mixtures(M, N=N, noise=0.005, seed=1):
    """Pixels (L, N) of one to three spectra, and their abundances."""
    rng = np.random.default_rng(seed)
    A = np.zeros((M.shape[1], N))
    for n in range(N):
        chosen = rng.choice(M.shape[1], rng.integers(1, 4), replace=False)
        A[chosen, n] = rng.dirichlet(np.ones(len(chosen)))
    return M @ A + noise * rng.standard_normal((len(M), N)), A


def berlin():
    """The library of the benchmark (177, 75), as reflectance."""
    from subpixel.engine import envi_library
    return envi_library.read(BERLIN).M / 1e4
