"""Rasters as scenes: pixels with wavelengths, masks and scales, read block by block; and rasters on their grid."""

import errno
import os
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import rasterio
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.transform import Affine, from_gcps
from rasterio.windows import Window
from threadpoolctl import threadpool_limits

from .sentences import NO_INFORMATION, UnreadableRaster, UserError
from .wavelengths import read_bad_bands, read_wavelengths, write_wavelengths

NODATA = -9999.0
BLOCK_VALUES = 16_000_000   # values of one block in memory: 64 MB as float32
BLOCK_PIXELS = 262_144      # and pixels: what comes out of a block also takes memory
SAMPLE = 61                 # pixels from one looked at to the next, where few will do
LARGEST = 1e14              # that a pixel's bands may add up to: the squares of all pixels stay within float32
CACHE = 256_000_000         # bytes of GDAL's block cache
WORKERS = min(os.cpu_count() or 1, 4)

warnings.filterwarnings("ignore", category=NotGeoreferencedWarning)


def open_raster(path, name="INPUT", options=None):
    """
    Open a raster for reading, with GDAL's open `options` if there are any.

    Raises UnreadableRaster with the parameter's name where GDAL cannot.
    """
    try:
        dataset = rasterio.open(path, **(options or {}))
    except (RasterioError, OSError) as error:
        check_files_left(path)
        raise UnreadableRaster(name, str(path), str(error).strip().rstrip(".")) from error
    if dataset.count == 0:
        raise UnreadableRaster(name, str(path), "it holds no bands of its own, perhaps only subdatasets")
    return dataset


def file_name(path):
    """A file's name without its folder."""
    return path.replace("\\", "/").rsplit("/", 1)[-1]


def check_files_left(path):
    """Raise UserError where no more files can be opened, which GDAL tells in many ways."""
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        if error.errno in (errno.EMFILE, errno.ENFILE):
            raise UserError("{path} cannot be opened: so many files are open that the system allows no more. Choose "
                            "fewer images, or raise its limit (ulimit -n).", path=str(path)) from error


class Scene:
    """
    A raster on its way to an algorithm: which of its bands are used, and its pixels block by block.

    Parameters
    ----------
    path : str
        Anything that rasterio's GDAL opens.
    bands : list of int, optional
        1-based bands to use exactly; by default all but those flagged bad (`bbl`), nodata throughout or constant.
    crs : str, optional
        CRS (WKT) that QGIS has for the raster instead of its own.
    options : dict, optional
        GDAL's open options.
    nodata : dict, optional
        By band (1-based): ranges `[low, high]` of values that are nodata too, as set for its layer in QGIS.
    name : str
        The parameter it came in by, for messages.
    say : callable(template, **arguments), optional
        Told which bands are left out and why.
    spectral : bool
        False for a raster that is no scene, such as abundances: every band is used, also a constant one.
    title : str, optional
        What the user calls it; by default the file's name.
    """

    def __init__(self, path, bands=None, crs=None, name="INPUT", say=None, spectral=True, options=None, nodata=None,
                 title=None):
        self.path, self.name, self._options = str(path), name, options
        self.title = title or file_name(self.path)
        self._local, self._parked, self._say = threading.local(), None, say
        self._nodata_ranges = {int(band): ranges for band, ranges in (nodata or {}).items()}
        with open_raster(path, name, options) as dataset:
            self.width, self.height, self.count = dataset.width, dataset.height, dataset.count
            self.transform, self.gcps = dataset.transform, dataset.gcps
            self.crs = rasterio.crs.CRS.from_wkt(crs) if crs else dataset.crs
            if any(dtype.startswith("complex") for dtype in dataset.dtypes):
                raise UserError("{path} holds complex numbers. Choose a raster of real numbers, such as reflectance.",
                                path=self.path)
            self.dtype = np.dtype(np.result_type(*map(np.dtype, set(dataset.dtypes))))
            self._mixed = len(set(dataset.dtypes)) > 1
            self._block_shape = dataset.block_shapes[0]
            self._nodata = [np.nan if value is None else value for value in dataset.nodatavals]
            self._scales, self._offsets = np.array(dataset.scales), np.array(dataset.offsets)
            self._mask_band = any(MaskFlags.per_dataset in flags for flags in dataset.mask_flag_enums)
            self._descriptions = dataset.descriptions
            self._wavelengths, self._fwhm = read_wavelengths(dataset)
            bad = read_bad_bands(dataset)
            alpha = np.array([meaning is ColorInterp.alpha for meaning in dataset.colorinterp])
        self.indexes = np.arange(1, self.count + 1)
        if bands:
            outside = [band for band in bands if not 1 <= band <= self.count]
            if outside:
                raise UserError("Band {band} does not exist: the raster has {count} bands. "
                                "Choose bands from 1 to {count}.", band=outside[0], count=self.count)
            self.indexes = np.array(sorted(set(bands)))
        else:
            self._leave_out(alpha, "Left out {count} bands of {image} that hold transparency: {bands}.", say)
        if spectral and not bands:
            self._leave_out(bad, "Left out {count} bands that {image} flags as bad: {bands}.", say)
            self._leave_out(self._uninformative(), "Left out {count} bands of {image} without information "
                            "(nodata or one constant value throughout): {bands}.", say)
        if not len(self.indexes):
            raise UserError(NO_INFORMATION, path=self.path)

    def _leave_out(self, unwanted, template, say):
        gone = [int(band) for band in self.indexes if unwanted[band - 1]]
        self.indexes = np.array([band for band in self.indexes if not unwanted[band - 1]], dtype=int)
        if gone and say:
            say(template, count=len(gone), bands=ranges(gone), image=self.title)

    def _uninformative(self):
        """True for each band in which no two valid pixels differ. Undecided bands are read further, block by block."""
        low, high = np.full(self.count, np.inf), np.full(self.count, -np.inf)
        unused = np.zeros(self.count, bool)
        unused[self.indexes - 1] = True
        undecided = np.array(self.indexes)
        windows = self.windows()
        for window in windows[len(windows) // 2:] + windows[:len(windows) // 2]:
            known, values = undecided, self._bands(undecided, window)
            if len(known) == len(self.indexes):
                self._parked = window, known, values
            for step in (SAMPLE, 1):  # a few pixels decide almost every band
                for band, row in zip(undecided - 1, values[np.searchsorted(known, undecided), ::step]):
                    row = row[np.isfinite(row) & (row != self._nodata[band])]
                    if row.size:
                        low[band], high[band] = min(low[band], row.min()), max(high[band], row.max())
                undecided = np.array([band for band in undecided if not low[band - 1] < high[band - 1]], dtype=int)
            if not len(undecided):
                break
        return unused & ~(low < high)

    @property
    def _dataset(self):
        """This thread's own handle: GDAL's are not to be shared."""
        if not hasattr(self._local, "dataset"):
            self._local.dataset = open_raster(self.path, self.name, self._options)
        return self._local.dataset

    @property
    def L(self):
        """Number of used bands."""
        return len(self.indexes)

    @property
    def all_wavelengths(self):
        """Centre wavelengths of all bands in nanometres, or None."""
        return self._wavelengths

    @property
    def wavelengths(self):
        """Centre wavelengths (L,) of the used bands in nanometres, or None."""
        return None if self._wavelengths is None else self._wavelengths[self.indexes - 1]

    @property
    def fwhm(self):
        """Full widths at half maximum (L,) of the used bands in nanometres, or None."""
        return None if self._fwhm is None else self._fwhm[self.indexes - 1]

    @property
    def tile_height(self):
        """Rows of a tile, or of a strip."""
        return self._block_shape[0]

    @property
    def tile_bytes(self):
        """What a tile with all its bands takes in memory; 0 where the raster is stored in strips of full width."""
        height, width = self._block_shape
        return height * width * self.count * self.dtype.itemsize if width < self.width else 0

    @property
    def tags(self):
        """The raster's metadata of all domains that may tell when it was taken."""
        return {name: value for domain in ("ENVI", "IMAGERY", None)
                for name, value in self._dataset.tags(ns=domain).items()}

    @property
    def band_names(self):
        """Descriptions of the used bands, where the raster has them."""
        return [self._descriptions[band - 1] or f"Band {band}" for band in self.indexes]

    def keep(self, wanted):
        """Use only those of the used bands for which `wanted` (L,) is true."""
        self.indexes = self.indexes[np.asarray(wanted)]

    def windows(self, rows=False, bands=None):
        """
        Windows that cover the raster, each small enough for memory, following its own blocks.

        Tiles that are too large are cut up one after the other, so that each is decoded once. With `rows` windows are
        strips of full width, so that the pixels come in row-major order. `bands` is the number of bands read at once,
        where that is another than the raster's own.
        """
        height, width = self._block_shape
        limit = max(1, min(BLOCK_VALUES // (bands or self.count), BLOCK_PIXELS))
        if rows or width >= self.width:
            width = self.width if rows else max(1, min(self.width, limit))
            fit = max(1, limit // width)
            tile = height = fit if fit < height else fit // height * height
        else:
            width = min(width * max(1, limit // (height * width)), self.width, limit)
            tile = height
            height = -(-tile // -(-tile // max(1, min(tile, limit // width))))   # parts of a tile are alike
        ends = [(top, min(top + tile, self.height)) for top in range(0, self.height, tile)]
        return [Window(left, top, min(width, self.width - left), min(height, end - top)) for first, end in ends
                for left in range(0, self.width, width) for top in range(first, end, height)]

    def _bands(self, bands, window):
        """These bands in a window, (bands, n), in the raster's own type."""
        if self._parked and self._parked[0] == window:  # read before, to see which bands are constant
            _, known, values = self._parked
            self._parked = None
            return values if len(known) == len(bands) else values[np.searchsorted(known, bands)]
        dataset = self._dataset
        try:
            if self._mixed:  # rasterio reads bands of different types only one by one
                Y = np.stack([dataset.read(band, window=window).astype(self.dtype) for band in bands.tolist()])
            else:
                Y = dataset.read(bands.tolist(), window=window)
        except (RasterioError, OSError) as error:
            check_files_left(self.path)
            raise UserError("{path} cannot be read completely: {reason}. It may be damaged or cut short; get it again.",
                            path=self.path, reason=str(error.__cause__ or error).strip().rstrip(".")) from error
        return Y.reshape(len(bands), -1)

    def read(self, window=None):
        """
        The pixels of a window.

        Returns
        -------
        Y : ndarray (L, n)
            Row-major. In the raster's own type where it declares no scale and offset, else float32 with both applied.
        valid : ndarray (n,) of bool
            False where a used band is nodata or not finite.
        """
        Y = self._bands(self.indexes, window)
        nodata = np.array([self._nodata[band - 1] for band in self.indexes])
        if Y.dtype.kind == "f":  # as it is in the pixels: -1.23e34 is another number in float32 than in float64
            with np.errstate(over="ignore"):
                nodata = nodata.astype(Y.dtype)
        valid = np.ones(Y.shape[1], bool)
        if len(set(nodata)) == 1:
            valid &= ~(Y == nodata[0]).any(axis=0)
        elif not np.isnan(nodata).all():
            valid &= ~(Y == nodata[:, None]).any(axis=0)
        for row, band in enumerate(self.indexes.tolist()):
            for low, high in self._nodata_ranges.get(band, ()):
                valid &= ~((Y[row] >= low) & (Y[row] <= high))
        if self._mask_band:
            valid &= self._dataset.dataset_mask(window=window).ravel() > 0
        scale, offset = self._scales[self.indexes - 1], self._offsets[self.indexes - 1]
        if np.any(scale != 1) or np.any(offset != 0):
            Y = Y.astype(np.float32) * scale[:, None].astype(np.float32) + offset[:, None].astype(np.float32)
        if Y.dtype.kind == "f":
            with np.errstate(over="ignore", invalid="ignore"):
                total = np.ones(self.L, Y.dtype) @ Y
            valid &= np.isfinite(total)
            beyond = np.flatnonzero(valid & (np.abs(total) > LARGEST))
            if beyond.size:
                raise UserError("{path} holds the value {value}, too large to compute with. If it stands for missing "
                                "values, declare it as nodata; else give the raster in a larger unit.", path=self.path,
                                value=f"{np.abs(Y[:, beyond[0]]).max():.6g}")
        return Y, valid

    def map_blocks(self, function, windows=None, progress=None):
        """
        Yield `(window, function(Y, valid))` for every window, in order; see `map_blocks`.
        """
        yield from map_blocks(self.read, function, self.windows() if windows is None else windows, progress)

    def pixels(self, rows=False, progress=None):
        """The valid pixels as a stream that can be gone through again and again (see `Pixels`)."""
        if rows and self._say:
            height, width = self._block_shape
            strip = height * self.width * self.count * self.dtype.itemsize
            if width < self.width and height > self.windows(rows)[0].height and strip > CACHE:
                self._say("This method reads row by row, and the raster is stored in tiles too large to keep: each is "
                          "read several times, which is slow. Convert it to strips (GDAL: TILED=NO) to spare that.")
        return Pixels(self, rows, progress)

    def everything(self, progress=None):
        """All valid pixels at once: `(Y (L, N) float32, positions (N,) in row-major order)`."""
        pixels, positions = [], []
        for window, (Y, where) in self.map_blocks(
                lambda Y, valid: (Y[:, valid].astype(np.float32), np.flatnonzero(valid)), progress=progress):
            rows, cols = np.divmod(where, window.width)
            positions.append((rows + window.row_off) * self.width + cols + window.col_off)
            pixels.append(Y)
        positions = np.concatenate(positions)
        order = np.argsort(positions, kind="stable")
        return np.concatenate(pixels, axis=1)[:, order], positions[order]

    def at(self, row, col):
        """The spectrum (L,) of one pixel, float64; NaN where it is masked."""
        Y, valid = self.read(Window(int(col), int(row), 1, 1))
        return Y[:, 0].astype(np.float64) if valid[0] else np.full(self.L, np.nan)

    @property
    def map_transform(self):
        """
        Pixel to map coordinates as QGIS draws the raster.

        Without a georeference it hangs below the x axis; with ground control points only, it is the affine map that
        fits them best.
        """
        if not self.transform.is_identity:
            return self.transform
        return from_gcps(self.gcps[0]) if self.gcps[0] else Affine(1, 0, 0, 0, -1, 0)

    def map_position(self, row, col):
        """Map coordinates of a pixel's centre."""
        x, y = self.map_transform * (col + 0.5, row + 0.5)
        return float(x), float(y)

    def pixel_at(self, x, y):
        """Row and column of the pixel at map coordinates, or None outside the raster."""
        col, row = (int(np.floor(value)) for value in ~self.map_transform * (x, y))
        return (row, col) if 0 <= row < self.height and 0 <= col < self.width else None


def map_blocks(read, function, windows, progress=None):
    """
    Yield `(window, function(*read(window)))` for every window, in order.

    Reading and computing run in a few threads, each with BLAS on one thread: two such workers beat one worker with
    two BLAS threads. At most one block more than there are workers is in memory.
    """
    with threadpool_limits(1), ThreadPoolExecutor(WORKERS) as pool:
        pending = []
        for done, window in enumerate(windows):
            pending.append((window, pool.submit(lambda window=window: function(*read(window)))))
            if len(pending) > WORKERS:
                first, future = pending.pop(0)
                yield first, future.result()
            if progress:
                progress(max(0, done - WORKERS), len(windows))
        for position, (window, future) in enumerate(pending):
            yield window, future.result()
            if progress:
                progress(len(windows) - len(pending) + position + 1, len(windows))


class Pixels:
    """
    The valid pixels of a scene as a stream of (L, n) blocks, read ahead while the caller computes.

    `count` and `locate` know the pixels of the last complete pass.
    """

    def __init__(self, scene, rows, progress):
        self._scene, self._progress = scene, progress
        self._windows = scene.windows(rows)
        self._counts = []

    def __iter__(self):
        scene, counts = self._scene, []

        def load(window):
            Y, valid = scene.read(window)
            return Y if valid.all() else Y[:, valid]

        with ThreadPoolExecutor(1) as pool:
            ahead = pool.submit(load, self._windows[0])
            for number in range(len(self._windows)):
                Y = ahead.result()
                if number + 1 < len(self._windows):
                    ahead = pool.submit(load, self._windows[number + 1])
                counts.append(Y.shape[1])
                if Y.shape[1]:
                    yield Y
                if self._progress:
                    self._progress(number + 1, len(self._windows))
        self._counts = counts

    @property
    def count(self):
        """Number of valid pixels."""
        return sum(self._counts)

    def locate(self, index):
        """Row and column of the pixel at position `index` of the stream."""
        ends = np.cumsum(self._counts)
        number = int(np.searchsorted(ends, index, side="right"))
        window = self._windows[number]
        _, valid = self._scene.read(window)
        within = np.flatnonzero(valid)[index - (ends[number] - self._counts[number])]
        row, col = divmod(int(within), int(window.width))
        return row + int(window.row_off), col + int(window.col_off)


@dataclass(frozen=True)
class Grid:
    """
    The grid of a scene that is made, not read, north up: pixels of `size` units, the lower left corner at `west` and
    `south`; by default without a CRS, pixels of one unit from 0, 0.

    It stands in for a scene where a raster is written.
    """

    width: int
    height: int
    crs: object = None
    gcps: tuple = ((), None)
    west: float = 0.0
    south: float = 0.0
    size: float = 1.0

    @property
    def transform(self):
        """Pixel to map coordinates, north up."""
        return Affine(self.size, 0, self.west, 0, -self.size, self.south + self.size * self.height)


class RasterWriter:
    """
    A raster being written on a scene's grid: Float32 GeoTIFF, tiled, compressed, BIGTIFF when needed.

    Georeference, rotation and ground control points are the scene's own. Use it as a context manager; whatever GDAL
    reports while writing or closing (a full disk, say) is raised as UserError.
    """

    def __init__(self, path, scene, names, tags=None, wavelengths=None, fwhm=None, dtype="float32", nodata=NODATA,
                 photometric=None):
        options = dict(driver="GTiff", width=scene.width, height=scene.height, count=len(names), dtype=dtype,
                       nodata=nodata, crs=scene.crs, compress="deflate", zlevel=1, bigtiff="if_safer",
                       predictor=3 if np.dtype(dtype).kind == "f" else 2)
        if scene.width >= 256 and scene.height >= 256:
            options.update(tiled=True, blockxsize=256, blockysize=256)
        if photometric:
            options["photometric"] = photometric
        if not scene.transform.is_identity:
            options["transform"] = scene.transform
        self.path, self._scene, self._nodata = str(path), scene, nodata
        self._dtype = np.dtype(dtype)
        try:
            self._dataset = rasterio.open(path, "w", **options)
            if scene.gcps[0]:
                self._dataset.gcps = scene.gcps
        except (RasterioError, OSError) as error:
            check_files_left(path)
            raise UserError("{path} cannot be written: {reason}. Choose another place for the output.",
                            path=self.path, reason=str(error).strip().rstrip(".")) from error
        self._dataset.update_tags(**(tags or {}))
        for band, name in enumerate(names, 1):
            self._dataset.set_band_description(band, str(name))
            if wavelengths is not None:
                write_wavelengths(self._dataset, band, wavelengths[band - 1], None if fwhm is None else fwhm[band - 1])

    def write(self, window, values, valid=None):
        """Write `values` (bands, n), row-major in `window`; masked and not finite pixels become nodata."""
        values = np.atleast_2d(values)
        if valid is not None and not valid.all():
            whole = np.full((len(values), valid.size), self._nodata, dtype=self._dtype)
            whole[:, valid] = values
            values = whole
        values = values.astype(self._dtype)
        if self._dtype.kind == "f":
            values[~np.isfinite(values)] = self._nodata
        try:
            self._dataset.write(values.reshape(len(values), window.height, window.width), window=window)
        except (RasterioError, OSError) as error:
            raise self._failed(error) from error

    def _failed(self, error):
        return UserError("{path} could not be written completely: {reason}. "
                         "Make room on the disk, or choose another place for the output.",
                         path=self.path, reason=str(error.__cause__ or error).strip().rstrip("."))

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        try:
            self._dataset.close()
        except (RasterioError, OSError) as error:
            if kind is None:
                raise self._failed(error) from error
        if kind is None:
            self._check()

    def _check(self):
        """Read the last block back: GDAL reports some failures of the last writes nowhere else."""
        try:
            with rasterio.open(self.path) as dataset:
                for band in dataset.indexes:
                    dataset.read(band, window=Window(dataset.width - 1, dataset.height - 1, 1, 1))
        except (RasterioError, OSError) as error:
            raise self._failed(error) from error


def ranges(bands):
    """Band numbers in words: `1-3, 7`."""
    parts, start = [], bands[0]
    for band, following in zip(bands, bands[1:] + [None]):
        if following != band + 1:
            parts.append(f"{start}" if start == band else f"{start}-{band}")
            start = following
    return ", ".join(parts)
