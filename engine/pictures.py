"""Pictures for reports: abundances with every endmember in its colour, and scenes in natural colours."""

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


def bands_of(path, bands, size=900):
    """Bands of a raster's file, reduced to at most `size` pixels a side: (n, rows, cols) float, NaN where masked."""
    with rasterio.open(path) as dataset:
        scale = min(1.0, size / max(dataset.width, dataset.height))
        shape = (len(bands), max(1, round(dataset.height * scale)), max(1, round(dataset.width * scale)))
        return dataset.read(bands, out_shape=shape, resampling=Resampling.nearest, masked=True).astype(
            np.float64).filled(np.nan)


def stretch(image):
    """From which value to which each band (n, rows, cols) is shown: its 2nd and 98th percentile, (2, n)."""
    return np.nanpercentile(image.reshape(len(image), -1), [2, 98], axis=1)


def stretched(image, limits):
    """Three bands as a picture (3, rows, cols) of uint8, each between its `limits` (2, 3); white where masked."""
    low, high = (np.asarray(limit)[:, None, None] for limit in limits)
    shown = np.clip(255 * (image - low) / np.maximum(high - low, 1e-12), 0, 255)
    return np.where(np.isfinite(image).all(axis=0), shown, 255).astype(np.uint8)
