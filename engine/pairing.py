"""Two rasters of the same ground on their own grids: where they overlap, and how one lies in the other."""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from rasterio._err import CPLE_BaseError
from rasterio.crs import CRS
from rasterio.errors import RasterioError
from rasterio.transform import Affine
from rasterio.warp import Resampling, reproject, transform, transform_bounds
from rasterio.windows import Window
from scipy.ndimage import distance_transform_edt, map_coordinates
from scipy.spatial import ConvexHull, QhullError

from .sentences import UserError
from .tiles import tiles

ALIGNED = 0.1      # MSI pixels by which one grid may lean against the other over the whole image
WHOLE = 0.02       # from a whole number that counts as one, for ratios
LEAST = 3          # HSI pixels along each axis that must overlap
MASKED = 0.2       # of the common ground that may be without data
SAMPLE = 100_000   # pixels of either image that are looked at before the work
LATTICE = 64       # steps along either axis of the HSI at which it is looked up in another CRS
SIDE = 256         # MSI pixels of the blocks in which a resampled one is looked at before the work
ANY = CRS.from_epsg(3857)   # what stands for the CRS of two images that have none
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
        HSI's axes. Where ground control points place an image, it is the affine map that fits them best; `gcps` are
        none.
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
                      src_crs=crs_of(self.msi) or self.crs or ANY, dst_transform=there, dst_crs=self.crs or ANY,
                      src_nodata=np.nan, dst_nodata=np.nan, resampling=Resampling.cubic, XSCALE=self._scale,
                      YSCALE=self._scale)
        return cube, np.isfinite(cube).all(axis=0)

    @cached_property
    def _scale(self):
        """
        Fused pixels per MSI pixel along a side, 1 at most, by which the cubic kernel widens where it reduces.

        GDAL would take it from the window's size and the source's, and blur the more the more they are turned.
        """
        middle = self.transform * (self.width / 2, self.height / 2)
        return float(min(1, _pixel_size(self.msi, middle, self.crs) / np.sqrt(abs(self.transform.determinant))))

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
        down, across = self.hsi_pixel(window)
        return self._hsi_valid[np.ix_(down, across)] & self._near_hsi(window)

    def _near_hsi(self, window):
        def near(centres, first, length, ratio):
            at = np.arange(first, first + length)
            return (at >= centres[0] - ratio - 0.5) & (at <= centres[-1] + ratio + 0.5)

        return np.outer(near(self.rows, window.row_off, window.height, self.ratio[0]),
                        near(self.columns, window.col_off, window.width, self.ratio[1]))

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

    def survey(self):
        """
        Some pixels of both, all over: (HSI (K, n), MSI (K_M, m)) valid ones, float64.

        Raises
        ------
        UserError
            More than a fifth of the ground that both images reach is masked in either. Their rasters reach further
            than they do where an image lies askew in its raster: corners that are cut off all its data do not count.
        """
        return self._surveyed

    @cached_property
    def _surveyed(self):
        step = _step(self.hsi_rows, self.hsi_cols)
        coarse = []
        for row in range(step // 2, self.hsi_rows, step):
            cube, valid = self.read_hsi(slice(row, row + 1), slice(0, self.hsi_cols))
            coarse.append(cube[:, :, ::step][:, valid[:, ::step]])
        fine, *others = zip(*map(self._looked_at, *self._looks()))
        in_msi, in_hsi, valid_msi, valid_hsi, common = map(np.concatenate, others)
        common &= _reached(in_msi, valid_msi) & _reached(in_hsi, valid_hsi)
        masked = 1 - np.mean((valid_msi & valid_hsi)[common]) if common.any() else 1.0
        if masked > MASKED:
            raise UserError("{percent} % of the ground that both images reach is masked in one of them (nodata in a "
                            "used band): more than {limit} %. Leave out the bands with gaps, or clip both to where "
                            "they have data.", percent=f"{100 * masked:.4g}", limit=round(100 * MASKED))
        return np.concatenate(coarse, axis=1), np.concatenate(fine, axis=1)

    def _looks(self):
        """Windows that together hold the pixels to look at before the work, and which rows and columns those are."""
        step = _step(self.height, self.width)
        if not self.resampled:
            rows = range(step // 2, self.height, step)
            return [Window(0, row, self.width, 1) for row in rows], [(slice(0, 1), slice(0, None, step)) for _ in rows]
        blocks = [Window(left, top, min(SIDE, self.width - left), min(SIDE, self.height - top))
                  for top in range(0, self.height, SIDE) for left in range(0, self.width, SIDE)]
        return blocks, [(slice((step // 2 - block.row_off) % step, None, step),
                         slice(-block.col_off % step, None, step)) for block in blocks]

    def _looked_at(self, window, taken):
        """
        A window's pixels at `taken`: valid MSI pixels; where all lie in the MSI and in the HSI, rows and columns; in
        which of either there is data; and which lie in both grids.
        """
        cube, valid = self.read_msi(window)
        valid = valid[taken].ravel()
        rows, cols = (np.ravel(at) for at in np.meshgrid(np.arange(window.height)[taken[0]] + window.row_off,
                                                         np.arange(window.width)[taken[1]] + window.col_off,
                                                         indexing="ij"))
        common = self._near_hsi(window)[taken].ravel()
        if self.resampled:
            rows, cols = _in_pixels(self.transform, self.crs, self.msi, rows + 0.5, cols + 0.5)
            common &= (rows >= 0) & (rows <= self.msi.height) & (cols >= 0) & (cols <= self.msi.width)
        down, across = self.hsi_pixel(window)
        in_hsi = np.stack(np.meshgrid(down[taken[0]], across[taken[1]], indexing="ij")).reshape(2, -1).T
        return (cube[(slice(None), *taken)].reshape(len(cube), -1)[:, valid], np.stack([rows, cols], axis=1), in_hsi,
                valid, self.hsi_mask(window)[taken].ravel(), common)


def _step(rows, cols):
    """Steps between pixels along both axes so that about SAMPLE are taken."""
    return max(1, int(np.ceil((rows * cols / SAMPLE) ** 0.5)))


def _reached(places, valid):
    """
    Which places (n, 2) an image with data where it is `valid` reaches: all but the corners between the least rectangle
    and the least convex shape around its data, which lies askew there.
    """
    inside = np.ones(len(places), bool)
    if valid.all() or not valid.any():
        return inside
    known = places[valid]
    try:
        sides = ConvexHull(known).equations
    except QhullError:
        return inside
    for side in sides:
        inside &= places @ side[:2] + side[2] <= 1e-6
    return inside | ((places < known.min(axis=0)) | (places > known.max(axis=0))).any(axis=1)


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
    placed = [_placed(scene) for scene in (hsi, msi)]
    if placed[0] != placed[1]:
        raise UserError("{path} has no georeference and the other image has one, so that it is not known how they lie "
                        "on each other. Georeference it, or take two images without.",
                        path=(msi if placed[0] else hsi).path)
    if not placed[0]:
        say("Neither image has a georeference: both are taken to cover exactly the same ground.")
        return _matched(hsi, msi, Affine.scale(msi.width / hsi.width, msi.height / hsi.height), say)
    for scene in (hsi, msi):
        _say_of_points(scene, say, warn)
    crs = crs_of(hsi) or crs_of(msi)
    if crs and not (crs_of(hsi) and crs_of(msi)):
        warn("{path} has no CRS: it is taken to be the other image's.", path=(hsi if crs_of(msi) else msi).path)
    if (crs_of(hsi) or crs) == (crs_of(msi) or crs):
        relative = ~msi.map_transform * hsi.map_transform
        lean = max(abs(relative.b) * hsi.height, abs(relative.d) * hsi.width)
        if lean <= ALIGNED and relative.a > 0 and relative.e > 0:
            return _matched(hsi, msi, relative, say)
    return _resampled(hsi, msi, crs, say)


def crs_of(scene):
    """A scene's CRS, or that of its ground control points; None without either."""
    return scene.crs or (scene.gcps[1] if scene.transform.is_identity else None)


def _placed(scene):
    return not scene.transform.is_identity or bool(scene.gcps[0])


def _say_of_points(scene, say, warn):
    """Tell how well an affine map fits the ground control points that place a scene, if such do."""
    points = scene.gcps[0] if scene.transform.is_identity else ()
    if not points:
        return
    col, row = ~scene.map_transform * (np.array([point.x for point in points]), np.array([point.y for point in points]))
    off = max(np.hypot(col - [point.col for point in points], row - [point.row for point in points]))
    (warn if off > 1 else say)("{path} is placed by ground control points. The affine map that fits them best is taken "
                               "for its grid, up to {off} of its pixels off them; the fused image gets a grid, no such "
                               "points.", path=scene.path, off=f"{off:.2g}")


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
    if c1 - c0 < j1 - j0 or r1 - r0 < i1 - i0:
        raise UserError("Where both lie, the multispectral image has {fine} pixels and the hyperspectral one {coarse}: "
                        "it is no finer. Choose a finer one.", fine=f"{c1 - c0} x {r1 - r0}",
                        coarse=f"{j1 - j0} x {i1 - i0}")
    grid = msi.map_transform * Affine.translation(c0, r0) if _placed(msi) else msi.transform
    return PairedScenes(hsi, msi, grid, crs_of(msi) or crs_of(hsi), c1 - c0, r1 - r0, i0, j0, i1 - i0, j1 - j0, rows,
                        columns, ratio, False, r0, c0)


def _resampled(hsi, msi, crs, say):
    """Grids with different axes or in different CRSs: the MSI comes to the HSI's axes."""
    t = hsi.map_transform
    try:
        _pixel_size(msi, t * (hsi.width / 2, hsi.height / 2), crs)
        (i0, i1), (j0, j1) = _reach(hsi, msi, crs)
        if j1 - j0 < LEAST or i1 - i0 < LEAST:
            raise _apart(hsi, msi)
        size = _pixel_size(msi, t * ((j0 + j1) / 2, (i0 + i1) / 2), crs)
    except (RasterioError, CPLE_BaseError) as error:
        raise UserError("The MSI cannot be brought into the HSI's CRS: {reason}. Reproject it first.",
                        reason=str(error).strip().rstrip(".")) from error
    ratio = np.sqrt(abs(t.determinant)) / size
    _check_ratio((ratio, ratio))
    n = max(1, round(ratio))
    say("The two grids differ in CRS or direction: the MSI is resampled (cubic) to the HSI's axes, {n} by {n} pixels "
        "for each HSI pixel (it had {ratio}).", n=n, ratio=f"{ratio:.4g}")
    return PairedScenes(hsi, msi, t * Affine.translation(j0, i0) * Affine.scale(1 / n), crs, (j1 - j0) * n,
                        (i1 - i0) * n, i0, j0, i1 - i0, j1 - j0, (np.arange(i1 - i0) + 0.5) * n - 0.5,
                        (np.arange(j1 - j0) + 0.5) * n - 0.5, (float(n), float(n)), True)


def _reach(hsi, msi, crs):
    """First and last (exclusive) of the HSI's rows and of its columns that have a pixel whose centre the MSI covers."""
    rows, cols = (np.linspace(0, size, min(size, LATTICE) + 1) for size in (hsi.height, hsi.width))
    there = np.stack(_in_pixels(hsi.map_transform, crs, msi, *(at.ravel() for at in np.meshgrid(
        rows, cols, indexing="ij")))).reshape(2, len(rows), len(cols))
    down, across = np.zeros(hsi.height, bool), np.zeros(hsi.width, bool)
    for row in range(0, hsi.height, SIDE):
        at = np.stack(np.meshgrid(((np.arange(row, min(row + SIDE, hsi.height)) + 0.5) / rows[1]),
                                  (np.arange(hsi.width) + 0.5) / cols[1], indexing="ij"))
        y, x = (map_coordinates(axis, at, order=1, mode="nearest") for axis in there)
        covered = (y > 0) & (y < msi.height) & (x > 0) & (x < msi.width)
        down[row:row + SIDE] = covered.any(axis=1)
        across |= covered.any(axis=0)

    def ends(covered):
        at = np.flatnonzero(covered)
        return (int(at[0]), int(at[-1]) + 1) if at.size else (0, 0)

    return ends(down), ends(across)


def _in_pixels(grid, crs, msi, rows, cols):
    """Where positions on a grid, in pixels from its corner, lie on the MSI's: rows and columns, NaN where nowhere."""
    x, y = grid * (cols, rows)
    if crs and crs_of(msi) and crs != crs_of(msi):
        x, y = _transformed(crs, crs_of(msi), x, y)
    with np.errstate(invalid="ignore"):
        return (~msi.map_transform * (x, y))[::-1]


def _transformed(crs, other, x, y):
    """Map coordinates in another CRS; NaN where it does not reach, for which PROJ refuses all points it is given."""
    try:
        return np.array(transform(crs, other, x, y))
    except CPLE_BaseError:
        if len(x) == 1:
            return np.full((2, 1), np.nan)
        half = len(x) // 2
        return np.concatenate([_transformed(crs, other, x[part], y[part]) for part in (slice(half), slice(half, None))],
                              axis=1)


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
        crs = crs_of(scene).to_string() if crs_of(scene) else "no CRS"
        return f"{west:.6g} to {east:.6g}, {south:.6g} to {north:.6g} ({crs if len(crs) < 30 else 'its own CRS'})"

    return UserError("The two images do not overlap, or by fewer than {least} by {least} HSI pixels: the HSI covers "
                     "{hsi}, the MSI {msi}. Choose images of the same ground.", least=LEAST, hsi=extent(hsi),
                     msi=extent(msi))


def _hull(transform, width, height):
    """West, south, east and north of a grid."""
    x, y = zip(*(transform * corner for corner in ((0, 0), (width, 0), (0, height), (width, height))))
    return min(x), min(y), max(x), max(y)


def _pixel_size(msi, middle, crs):
    """Side of an MSI pixel at a point in `crs`, in the units of that: the root of the area."""
    t = msi.map_transform
    if not (crs_of(msi) and crs) or crs_of(msi) == crs:
        return np.sqrt(abs(t.determinant))
    col, row = ~t * [axis[0] for axis in transform(crs, crs_of(msi), *([value] for value in middle))]
    x, y = (np.array(axis) for axis in transform(crs_of(msi), crs, *zip(*(t * corner for corner in (
        (col, row), (col + 1, row), (col, row + 1))))))
    return np.sqrt(abs((x[1] - x[0]) * (y[2] - y[0]) - (x[2] - x[0]) * (y[1] - y[0])))


def _footprint(transform, width, height, crs, msi):
    """The window of the MSI that a grid lies on, with a margin; None where it lies beside it."""
    bounds = _hull(transform, width, height)
    if crs and crs_of(msi) and crs != crs_of(msi):
        bounds = transform_bounds(crs, crs_of(msi), *bounds)
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
