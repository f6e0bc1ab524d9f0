"""Endmembers with which the matrix methods of fusion start."""

import numpy as np

from ..endmembers.vca import vca
from ..pixels import moments


def endmembers(pair, count, start=None, seed=0, restarts=1):
    """
    Endmembers (K, R) of the HSI: `start`, or those of VCA.

    Parameters
    ----------
    pair : Pair
    count : int
        R, cut to the HSI's bands, its pixels, and the dimension that its pixels span; not used with `start`.
    start : ndarray (K, R), optional
        Scaled as the pair. With the same ones, tiles of one scene share their materials.
    seed, restarts : int
        For VCA.

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
    Y = pair.Y_H.astype(np.float64)
    found = moments(Y)
    values = np.linalg.eigvalsh(found.R)
    spanned = int(np.count_nonzero(values > 1e-12 * values[-1]))
    return vca(Y, min(count, *Y.shape, spanned), np.random.default_rng(seed), found, restarts).E
