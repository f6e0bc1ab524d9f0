"""Overlapping tiles, for methods that need a whole image in memory and scenes that do not fit."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from rasterio.windows import Window

from .memory import available
from .sentences import UserError

OVERLAP = 16   # pixels that a tile reaches into each neighbour
SHARE = 0.5    # of the free memory that a tile may take


@dataclass(frozen=True)
class Tile:
    """
    A part of the image: `window` is what is read, `core` what no other tile's core covers.

    Attributes
    ----------
    window, core : rasterio.windows.Window
    ramps : tuple of ndarray
        Weights of the window's rows and of its columns.
    """

    window: Window
    core: Window
    ramps: tuple

    @cached_property
    def weights(self):
        """
        How much each of the window's pixels counts where tiles overlap, row-major (n,).

        Over all tiles they sum to one, falling linearly across the overlap, so that no seam shows.
        """
        return np.outer(*self.ramps).ravel()

    @cached_property
    def in_core(self):
        """Which of the window's pixels are the core's, row-major (n,) of bool."""
        mask = np.zeros((self.window.height, self.window.width), dtype=bool)
        top, left = self.core.row_off - self.window.row_off, self.core.col_off - self.window.col_off
        mask[top:top + self.core.height, left:left + self.core.width] = True
        return mask.ravel()


def tiles(width, height, side=None, overlap=OVERLAP):
    """
    Tiles of at most `side` pixels a side that cover the image; one where it fits, or where no `side` is given.

    Raises
    ------
    UserError
        A side too small for the overlap.
    """
    rows, cols = _parts(height, side, overlap), _parts(width, side, overlap)
    return [Tile(Window(left, top, right - left, bottom - top), Window(c0, r0, c1 - c0, r1 - r0), (down, across))
            for top, bottom, r0, r1, down in rows for left, right, c0, c1, across in cols]


def _parts(length, side, overlap):
    """Start and end of each tile and of its core along one axis, and its weights."""
    if side is None or length <= side:
        return [(0, length, 0, length, np.ones(length))]
    core = side - 2 * overlap
    if core < 2 * overlap:
        raise UserError("The tile side is {side} pixels; tiles overlap by {overlap}, so it must be at least {least}.",
                        side=side, overlap=overlap, least=4 * overlap)
    number = -(-length // core)
    edges = [round(length * part / number) for part in range(number + 1)]
    parts, total = [], np.zeros(length)
    for first, last in zip(edges, edges[1:]):
        start, end = max(first - overlap, 0), min(last + overlap, length)
        x = np.arange(start, end) + 0.5
        rise = (x - start) / (2 * overlap) if first > 0 else np.ones(end - start)
        fall = (end - x) / (2 * overlap) if last < length else np.ones(end - start)
        parts.append((start, end, first, last, np.minimum(np.minimum(rise, fall), 1)))
        total[start:end] += parts[-1][-1]
    return [(start, end, first, last, weights / total[start:end]) for start, end, first, last, weights in parts]


def tile_side(width, height, bytes_per_pixel, overlap=OVERLAP):
    """
    The side of the largest square tile that fits into half of the free memory, or None where the whole image does.

    Raises
    ------
    UserError
        Not even the smallest tile fits.
    """
    free = available()
    if free is None or width * height * bytes_per_pixel <= SHARE * free:
        return None
    side = int((SHARE * free / bytes_per_pixel) ** 0.5)
    if side < 4 * overlap:
        raise UserError("Even a tile of {side} by {side} pixels needs {needed} GB of memory, and {free} GB are free. "
                        "Use fewer bands.", side=4 * overlap,
                        needed=f"{(4 * overlap) ** 2 * bytes_per_pixel / 1e9:.2f}", free=f"{free / 1e9:.2f}")
    return side
