"""Two rasters of the same ground on their own grids: where they overlap, and how one lies in the other."""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from rasterio.errors import RasterioError
from rasterio.transform import Affine
from rasterio.warp import Resampling, reproject, transform_bounds
from rasterio.windows import Window
from scipy.ndimage import distance_transform_edt

from .sentences import UserError
from .tiles import tiles

ALIGNED = 0.1      # MSI pixels by which one grid may lean against the other over the whole image
WHOLE = 0.02       # from a whole number that counts as one, for ratios
LEAST = 3          # HSI pixels along each axis that must overlap
MASKED = 0.2       # of the common ground that may be without data
SAMPLE = 100_000   # pixels of either image that are looked at before the work
BLOCK = 4_000_000  # values that are read at once where few of them are kept
OVERLAP = 16       # MSI pixels that a tile reaches into each neighbour, at least
HALO = 4           # and HSI pixels


@dataclass(frozen=True, eq=False)
class PairedScenes:
    """
    A hyperspectral and a multispectral scene where both lie; it stands in for a scene where a raster is written.

    Attributes
    ----------
    hsi, msi : Scene
    transform, crs, width, height, gcps
        The grid of the fused image: the MSI's own, cut to the HSI, or where it has to be resampled one with the
        HSI's axes.
    row_off, col_off, hsi_rows, hsi_cols : int
        The HSI's pixels in use.
    rows, columns : ndarray (hsi_rows,), (hsi_cols,)
        Where their centres lie on the fused image's grid, in pixels counted from 0.
    ratio : (float, float)
        Rows and columns of the fused image per HSI pixel.
    resampled : bool
        Whether the MSI is brought to another grid as it is read.
    """

    hsi: object
    msi: object
    transform: Affine
    crs: object
    width: int
    height: int
    row_off: int
    col_off: int
    hsi_rows: int
    hsi_cols: int
    rows: np.ndarray
    columns: np.ndarray
    ratio: tuple
    resampled: bool
    msi_row: int = 0
    msi_col: int = 0
    gcps: tuple = field(default=((), None))

    def read_hsi(self, rows, columns):
        """HSI pixels of slices of `rows` and `columns`: cube (K, n, m) float64 and which are valid (n, m)."""
        return _read(self.hsi, Window(self.col_off + columns.start, self.row_off + rows.start,
                                      columns.stop - columns.start, rows.stop - rows.start))

    def read_msi(self, window):
        """MSI pixels of a window of the fused image: cube (K_M, n, m) float64 and which are valid (n, m)."""
        if self.resampled:
            return self._resample(window)
        return _read(self.msi, Window(self.msi_col + window.col_off, self.msi_row + window.row_off, window.width,
                                      window.height))

    def _resample(self, window):
        there = self.transform * Affine.translation(window.col_off, window.row_off)
        cube = np.full((self.msi.L, window.height, window.width), np.nan)
        seen = _footprint(there, window.width, window.height, self.crs, self.msi)
        if seen is not None:
            source, valid = _read(self.msi, seen)
            source[:, ~valid] = np.nan
            reproject(source, cube, src_transform=self.msi.map_transform * Affine.translation(seen.col_off,
                                                                                             seen.row_off),
                      src_crs=self.msi.crs or self.crs, dst_transform=there, dst_crs=self.crs, src_nodata=np.nan,
                      dst_nodata=np.nan, resampling=Resampling.cubic)
        return cube, np.isfinite(cube).all(axis=0)

    def hsi_part(self, window):
        """Slices of the HSI's rows and columns whose centres lie in a window of the fused image."""
        def inside(centres, first, length):
            return slice(*(int(at) for at in np.searchsorted(centres, [first - 0.5, first + length - 0.5])))

        return (inside(self.rows, window.row_off, window.height), inside(self.columns, window.col_off, window.width))

    def hsi_pixel(self, window):
        """For each row and column of a window, the HSI row and column (from 0, of those in use) that it lies in."""
        def nearest(centres, first, length):
            step = (centres[-1] - centres[0]) / max(len(centres) - 1, 1)
            return np.clip(np.rint((np.arange(first, first + length) - centres[0]) / step), 0,
                           len(centres) - 1).astype(int)

        return nearest(self.rows, window.row_off, window.height), nearest(self.columns, window.col_off, window.width)

    def hsi_mask(self, window):
        """
        Whether the HSI pixel that each pixel of a window lies in is valid: (window.height, window.width) of bool.

        A pixel outside the HSI's pixels in use takes the nearest one's, up to half an HSI pixel (and half an MSI pixel,
        for rounding) away from it; beyond, as after a shift was corrected, it is False.
        """
        def near(centres, first, length, ratio):
            at = np.arange(first, first + length)
            reach = ratio + 0.5
            return (at >= centres[0] - reach) & (at <= centres[-1] + reach)

        down, across = self.hsi_pixel(window)
        within = np.outer(near(self.rows, window.row_off, window.height, self.ratio[0]),
                          near(self.columns, window.col_off, window.width, self.ratio[1]))
        return self._hsi_valid[np.ix_(down, across)] & within

    @cached_property
    def _hsi_valid(self):
        """Which of the HSI's pixels in use are valid: (hsi_rows, hsi_cols) of bool."""
        valid = np.empty((self.hsi_rows, self.hsi_cols), bool)
        rows = max(1, BLOCK // (self.hsi_cols * self.hsi.L))
        for row in range(0, self.hsi_rows, rows):
            part = valid[row:row + rows]
            part[:] = self.hsi.read(Window(self.col_off, self.row_off + row, self.hsi_cols,
                                           len(part)))[1].reshape(part.shape)
        return valid

    @property
    def overlap(self):
        """Pixels that tiles reach into each other."""
        return max(OVERLAP, int(np.ceil(HALO * max(self.ratio))))

    def tiles(self, side=None):
        """Overlapping tiles of the fused image."""
        return tiles(self.width, self.height, side, self.overlap)

    @cached_property
    def survey(self):
        """
        Some pixels of both, all over: (HSI (K, n), MSI (K_M, m)) valid ones, float64.

        Raises
        ------
        UserError
            More than a fifth of the common ground is masked.
        """
        step = max(1, int(np.ceil((self.hsi_rows * self.hsi_cols / SAMPLE) ** 0.5)))
        coarse, valid_hsi = _sampled(lambda row: self.read_hsi(slice(row, row + 1), slice(0, self.hsi_cols)),
                                     self.hsi_rows, step)
        step = max(1, int(np.ceil((self.width * self.height / SAMPLE) ** 0.5)))
        fine, valid_msi = _sampled(lambda row: self.read_msi(Window(0, row, self.width, 1)), self.height, step)
        masked = 1 - np.mean(valid_hsi) * np.mean(valid_msi)
        if masked > MASKED:
            raise UserError("{percent} % of the ground that both images cover is masked (nodata in a used band): more "
                            "than {limit} %. Leave out the bands with gaps, or clip both to where they have data.",
                            percent=round(100 * masked), limit=round(100 * MASKED))
        return coarse, fine


def _sampled(read, rows, step):
    parts, valid = [], []
    for row in range(step // 2, rows, step):
        cube, known = read(row)
        cube, known = cube[:, 0, ::step], known[0, ::step]
        parts.append(cube[:, known])
        valid.append(known)
    return np.concatenate(parts, axis=1), np.concatenate(valid)


def _read(scene, window):
    Y, valid = scene.read(window)
    shape = window.height, window.width
    return Y.reshape(scene.L, *shape).astype(np.float64), valid.reshape(shape)


def pair_up(hsi, msi, say, warn):
    """
    Where an HSI and an MSI lie on each other.

    Where both grids have the same axes, whatever their ratio and phase, nothing is resampled. Else the MSI is, as it is
    read, onto a grid with the HSI's axes and a whole number of pixels per HSI pixel.

    Raises
    ------
    UserError
        No overlap or hardly any, an MSI coarser than the HSI, or a georeference on only one of them.
    """
    placed = [not scene.transform.is_identity or bool(scene.gcps[0]) for scene in (hsi, msi)]
    if placed[0] != placed[1]:
        raise UserError("{path} has no georeference and the other image has one, so that it is not known how they lie "
                        "on each other. Georeference it, or take two images without.",
                        path=(msi if placed[0] else hsi).path)
    if not placed[0]:
        say("Neither image has a georeference: both are taken to cover exactly the same ground.")
        return _matched(hsi, msi, Affine.scale(msi.width / hsi.width, msi.height / hsi.height), say)
    if bool(hsi.crs) != bool(msi.crs):
        warn("{path} has no CRS: it is taken to be the other image's.", path=(hsi if msi.crs else msi).path)
    crs = hsi.crs or msi.crs
    if (hsi.crs or crs) == (msi.crs or crs):
        relative = ~msi.map_transform * hsi.map_transform
        lean = max(abs(relative.b) * hsi.height, abs(relative.d) * hsi.width)
        if lean <= ALIGNED and relative.a > 0 and relative.e > 0:
            return _matched(hsi, msi, relative, say)
    return _resampled(hsi, msi, crs, say)


def _matched(hsi, msi, relative, say):
    """Grids with the same axes; `relative` leads from HSI to MSI pixel coordinates."""
    ratio = relative.e, relative.a
    _check_ratio(ratio)
    across = _common(relative.c, relative.a, hsi.width, msi.width)
    down = _common(relative.f, relative.e, hsi.height, msi.height)
    if across is None or down is None:
        raise _apart(hsi, msi)
    (c0, c1, j0, j1), (r0, r1, i0, i1) = across, down
    columns = relative.c + (np.arange(j0, j1) + 0.5) * relative.a - 0.5 - c0
    rows = relative.f + (np.arange(i0, i1) + 0.5) * relative.e - 0.5 - r0
    whole = all(abs(value - round(value)) <= WHOLE for value in ratio)
    say("An HSI pixel is {columns} by {rows} MSI pixels" + ("." if whole else ": no whole number. Nothing is "
        "resampled; the blur is computed for the pixels where they lie."), columns=f"{ratio[1]:.4g}",
        rows=f"{ratio[0]:.4g}")
    transform = msi.transform if msi.transform.is_identity and not (c0 or r0) else \
        msi.map_transform * Affine.translation(c0, r0) if not msi.transform.is_identity or msi.gcps[0] \
        else msi.transform
    return PairedScenes(hsi, msi, transform, msi.crs or hsi.crs, c1 - c0, r1 - r0, i0, j0, i1 - i0, j1 - j0, rows,
                        columns, ratio, False, r0, c0)


def _resampled(hsi, msi, crs, say):
    """Grids with different axes or in different CRSs: the MSI comes to the HSI's axes."""
    middle = hsi.map_transform * (hsi.width / 2, hsi.height / 2)
    try:
        size = _pixel_size(msi, middle, crs)
        bounds = _hull(msi.map_transform, msi.width, msi.height)
        if msi.crs and crs and msi.crs != crs:
            bounds = transform_bounds(msi.crs, crs, *bounds)
    except RasterioError as error:
        raise UserError("The MSI cannot be brought into the HSI's CRS: {reason}. Reproject it first.",
                        reason=str(error)) from error
    t = hsi.map_transform
    ratio = np.sqrt(abs(t.determinant)) / size
    _check_ratio((ratio, ratio))
    n = max(1, round(ratio))
    corners = [~t * (x, y) for x in bounds[::2] for y in bounds[1::2]]
    (left, top), (right, bottom) = np.min(corners, axis=0), np.max(corners, axis=0)
    j0, j1 = max(0, int(np.floor(left + 1e-6))), min(hsi.width, int(np.ceil(right - 1e-6)))
    i0, i1 = max(0, int(np.floor(top + 1e-6))), min(hsi.height, int(np.ceil(bottom - 1e-6)))
    if j1 - j0 < LEAST or i1 - i0 < LEAST:
        raise _apart(hsi, msi)
    say("The two grids differ in CRS or direction: the MSI is resampled (cubic) to the HSI's axes, {n} by {n} pixels "
        "for each HSI pixel (it had {ratio}).", n=n, ratio=f"{ratio:.4g}")
    return PairedScenes(hsi, msi, t * Affine.translation(j0, i0) * Affine.scale(1 / n), crs, (j1 - j0) * n,
                        (i1 - i0) * n, i0, j0, i1 - i0, j1 - j0, (np.arange(i1 - i0) + 0.5) * n - 0.5,
                        (np.arange(j1 - j0) + 0.5) * n - 0.5, (float(n), float(n)), True)


def _check_ratio(ratio):
    if min(ratio) < 1 - WHOLE:
        raise UserError("The multispectral image is coarser than the hyperspectral one: its pixels are {times} times "
                        "as large. Exchange the two images, or choose a finer one.", times=f"{1 / min(ratio):.3g}")


def _common(start, step, n_hsi, n_msi):
    """First and last of the MSI's and of the HSI's pixels whose centres lie in the other image; None without."""
    first, last = max(0, int(np.ceil(start - 0.5 - 1e-6))), min(n_msi, int(np.floor(start + n_hsi * step - 0.5 + 1e-6))
                                                                 + 1)
    centres = start + (np.arange(n_hsi) + 0.5) * step
    inside = np.flatnonzero((centres > first) & (centres < last))
    return None if inside.size < LEAST else (first, last, int(inside[0]), int(inside[-1]) + 1)


def _apart(hsi, msi):
    def extent(scene):
        west, south, east, north = _hull(scene.map_transform, scene.width, scene.height)
        crs = scene.crs.to_string() if scene.crs else "no CRS"
        return f"{west:.6g} to {east:.6g}, {south:.6g} to {north:.6g} ({crs if len(crs) < 30 else 'its own CRS'})"

    return UserError("The two images do not overlap, or by fewer than {least} by {least} HSI pixels: the HSI covers "
                     "{hsi}, the MSI {msi}. Choose images of the same ground.", least=LEAST, hsi=extent(hsi),
                     msi=extent(msi))


def _hull(transform, width, height):
    """West, south, east and north of a grid."""
    x, y = zip(*(transform * corner for corner in ((0, 0), (width, 0), (0, height), (width, height))))
    return min(x), min(y), max(x), max(y)


def _pixel_size(msi, middle, crs):
    """Side of an MSI pixel near a point, in the units of `crs`."""
    t = msi.map_transform
    if not (msi.crs and crs) or msi.crs == crs:
        return np.sqrt(abs(t.determinant))
    x, y = t * (msi.width / 2, msi.height / 2)
    half = np.sqrt(abs(t.determinant)) / 2
    west, south, east, north = transform_bounds(msi.crs, crs, x - half, y - half, x + half, y + half)
    return np.sqrt((east - west) * (north - south))


def _footprint(transform, width, height, crs, msi):
    """The window of the MSI that a grid lies on, with a margin; None where it lies beside it."""
    bounds = _hull(transform, width, height)
    if crs and msi.crs and crs != msi.crs:
        bounds = transform_bounds(crs, msi.crs, *bounds)
    corners = [~msi.map_transform * (x, y) for x in bounds[::2] for y in bounds[1::2]]
    (left, top), (right, bottom) = np.floor(np.min(corners, axis=0)) - 3, np.ceil(np.max(corners, axis=0)) + 3
    left, top = max(0, int(left)), max(0, int(top))
    right, bottom = min(msi.width, int(right)), min(msi.height, int(bottom))
    return Window(left, top, right - left, bottom - top) if right > left and bottom > top else None


def fill(cube, valid):
    """A cube (K, n, m) whose invalid pixels take the nearest valid one's values; as it is where all are valid."""
    if valid.all():
        return cube
    row, col = distance_transform_edt(~valid, return_distances=False, return_indices=True)
    return cube[:, row, col]
