"""Small scenes whose pixels have endmembers of their own, for the tests of methods that find them."""

import numpy as np

from subpixel.algorithms.simulate.scene import gaussian_field_abundances


def smooth_spectra(L=30, P=3):
    """Reflectances (L, P) that differ clearly."""
    x = np.linspace(0, 1, L)
    shapes = [0.1 + 0.5 * x, 0.6 - 0.4 * x**2, 0.35 + 0.25 * np.sin(7 * x), 0.3 + 0.25 * np.cos(11 * x)]
    return np.stack(shapes[:P], axis=1)


def smooth_maps(P, shape, low, high):
    """P different smooth maps (P, rows * cols), from `low` to `high`."""
    y, x = np.mgrid[0:1:shape[0] * 1j, 0:1:shape[1] * 1j]
    maps = [np.cos(np.pi * ((k + 1) * x / 2 + (k - 1) * y / 3 + k / 5)) for k in range(P)]
    return np.stack([low + (high - low) * (m.ravel() + 1) / 2 for m in maps])


def fields(P=3, shape=(20, 24), seed=1):
    """Abundances (P, rows * cols), smooth, with nearly pure pixels of each."""
    return gaussian_field_abundances(P, *shape, np.random.default_rng(seed), 12)


def error(A, other):
    """Root mean square of the difference."""
    return float(np.sqrt(np.mean((np.asarray(A) - other) ** 2)))
