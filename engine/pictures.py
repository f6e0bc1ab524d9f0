"""Pictures of abundances: every endmember in its colour."""

import numpy as np
import rasterio
from rasterio.enums import Resampling

from .palette import colours, rgb


def composite(A, names):
    """
    Colours of pixels: each endmember's, weighted by its share.

    Parameters
    ----------
    A : ndarray (P, n)
        Abundances; negative ones count as none.
    names : list of P str

    Returns
    -------
    ndarray (3, n) of uint8
        At least 1 everywhere, so that 0 is free for nodata.
    """
    share = np.maximum(np.nan_to_num(A), 0)
    share = share / np.maximum(share.sum(axis=0), 1e-12)
    palette = np.array([rgb(colour) for colour in colours(names)], dtype=np.float64)
    return np.clip(np.rint(palette.T @ share), 1, 255).astype(np.uint8)


def composite_of(path, names, size=900):
    """Composite of an abundance raster's file, reduced to at most `size` pixels a side: (3, rows, cols) of uint8."""
    with rasterio.open(path) as dataset:
        scale = min(1.0, size / max(dataset.width, dataset.height))
        shape = (dataset.count, max(1, round(dataset.height * scale)), max(1, round(dataset.width * scale)))
        A = dataset.read(out_shape=shape, resampling=Resampling.average if scale < 1 else Resampling.nearest,
                         masked=True)
    valid = ~np.ma.getmaskarray(A).any(axis=0)
    picture = composite(A.filled(0).reshape(len(A), -1), names).reshape(3, *shape[1:])
    picture[:, ~valid] = 255
    return picture
