"""Endmembers with which methods of fusion start."""

import numpy as np

from ..abundances.nnls import nnls
from ..endmembers.vca import vca
from ..pixels import moments

RUNS = 10        # of VCA, of which the one is taken that explains the image best
LOOKED_AT = 500   # pixels by which that is judged, at most


def explaining(Y, count, seed=0, runs=RUNS):
    """
    Of some runs of VCA, the endmembers (K, R) whose nonnegative mixtures are closest to the pixels Y (K, N).

    The largest simplex, by which VCA's runs are usually compared, is often one of outliers: in scenes with a few of
    them its endmembers leave ten times the error of other runs' (measured on EnMAP, Potsdam).

    Parameters
    ----------
    count : int
        R, cut to the bands, the pixels, and the dimension that these span.
    seed : int
    runs : int
        1 or less takes VCA as it is.

    Raises
    ------
    ValueError
        Fewer than two endmembers.
    """
    Y, count, found, rng = _spanned(Y, count, seed)
    sample = Y[:, ::max(1, -(-Y.shape[1] // LOOKED_AT))]
    candidates = [np.maximum(vca(Y, count, rng, found).E, 0) for _ in range(max(runs, 1))]
    return min(candidates, key=lambda M: _misfit(sample, M)) if runs > 1 else candidates[0]


def spanning(Y, count, seed=0, runs=RUNS):
    """Of some runs of VCA, the endmembers (K, R) with the largest simplex, of any sign: a basis of a subspace."""
    Y, count, found, rng = _spanned(Y, count, seed)
    return vca(Y, count, rng, found, max(runs, 1)).E


def _spanned(Y, count, seed):
    Y = np.asarray(Y, dtype=np.float64)
    found = moments(Y)
    values = np.linalg.eigvalsh(found.R)
    spanned = int(np.count_nonzero(values > 1e-12 * values[-1]))
    if spanned < min(count, 2):
        raise ValueError(f"The spectra of the HSI span {spanned} dimensions: there are no endmembers to tell apart.")
    return Y, min(count, *Y.shape, spanned), found, np.random.default_rng(seed)


def _misfit(Y, M):
    try:
        return float(np.linalg.norm(Y - M @ nnls(Y, M).A))
    except ValueError:  # spectra that depend on each other
        return np.inf


def endmembers(pair, count, start=None, seed=0, runs=RUNS, find=explaining):
    """
    Endmembers (K, R) of the HSI: `start`, or those that `explaining` (or `spanning`) finds.

    Parameters
    ----------
    pair : Pair
    count, seed, runs : int
        See `explaining`; not used with `start`.
    start : ndarray (K, R), optional
        Scaled as the pair. With the same ones, tiles of one scene share their materials.

    Raises
    ------
    ValueError
        A start of another number of bands or not finite, or fewer than two endmembers.
    """
    if start is not None:
        start = np.array(start, dtype=np.float64)
        if start.ndim != 2 or start.shape[0] != pair.K or not np.isfinite(start).all():
            raise ValueError(f"the initial endmembers must be finite, of shape ({pair.K}, R); they have {start.shape}")
        return start
    return find(pair.Y_H, count, seed, runs)
