"""Simulated scenes for the rank estimators: spectra from dark to bright, uniform fractions, white noise."""

import numpy as np

from subpixel.algorithms.simulate.scene import add_noise, dirichlet_abundances, with_pure_pixels

L, N = 60, 4000


def distinct_spectra(P, seed):
    """
    Reflectances (L, P) that differ clearly, each ten times as bright as the darkest at most.

    HFC sees a material through the mean spectrum only: of equally bright ones it would miss some.
    """
    return np.random.default_rng([seed, P]).uniform(0.05, 0.95, (L, P)) * np.geomspace(0.1, 1, P)


def noisy(P, snr_db, seed, pure=False):
    """Pixels (L, N) that mix `P` spectra; `snr_db` None: without noise."""
    rng = np.random.default_rng([seed, P, 1])
    A = dirichlet_abundances(P, N, rng)
    return add_noise(distinct_spectra(P, seed) @ (with_pure_pixels(A) if pure else A), snr_db, rng)
