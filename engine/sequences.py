"""Several rasters of one place as a sequence: one grid, the bands that all have, dates in order, read together."""

from dataclasses import dataclass

import numpy as np

from . import dates as when
from .raster import CACHE, WORKERS, file_name, map_blocks
from .sentences import UserError

SAME_PIXEL = 1e-3        # pixels by which the corners of two grids may differ and still be the same
SAME_BAND = 0.25         # of the distance between bands, by which their wavelengths may differ


@dataclass(frozen=True)
class Dated:
    """A scene, when it was taken, and what tells so, one of `dates.SOURCES`."""

    scene: object
    date: object
    source: str


class Sequence:
    """
    Scenes of one place, in the order of their dates.

    Parameters
    ----------
    images : list of Dated

    Raises
    ------
    UserError
        Fewer than two images, dates that are equal or not in order, or another grid, number of bands or wavelengths
        than the first image has.
    """

    def __init__(self, images):
        if len(images) < 2:
            raise UserError("A sequence needs at least two images of the same place that hold data, not {count}. Add "
                            "the images of other dates.", count=len(images))
        self.scenes, self.dates = [image.scene for image in images], [image.date for image in images]
        self._check_dates()
        for scene in self.scenes[1:]:
            check_same_place(self.scenes[0], scene)
            _check_bands(self.scenes[0], scene)
        self._share_bands()

    def _check_dates(self):
        for number, (date, following) in enumerate(zip(self.dates, self.dates[1:])):
            if following == date:
                raise UserError("{first} and {second} have the same date, {date}. Leave out one of them, or give other "
                                "dates.", first=name_of(self.scenes[number]), second=name_of(self.scenes[number + 1]),
                                date=when.written(date))
            if following < date:
                raise UserError("The images are not in the order of their dates: {second} ({later}) comes after "
                                "{first} ({earlier}). Put them in order, or mend the dates.",
                                first=name_of(self.scenes[number]), earlier=when.written(date),
                                second=name_of(self.scenes[number + 1]), later=when.written(following))

    def _share_bands(self):
        """Every scene uses only the bands that all of them use."""
        shared = set.intersection(*(set(scene.indexes.tolist()) for scene in self.scenes))
        if not shared:
            raise UserError("No band holds information in every image. Choose images of one sensor without empty "
                            "bands.")
        for scene in self.scenes:
            scene.keep([band in shared for band in scene.indexes.tolist()])

    @property
    def grid(self):
        """The first scene: its size, georeference and wavelengths are those of all."""
        return self.scenes[0]

    @property
    def T(self):
        """Number of images."""
        return len(self.scenes)

    @property
    def L(self):
        """Number of used bands."""
        return self.grid.L

    @property
    def names(self):
        """The dates as words: what rasters, bands and fields are named after."""
        return [when.written(date) for date in self.dates]

    def follow(self, change):
        """Do to the bands of every scene what `change` does to the first one's; gives what it gives."""
        result = change(self.grid)
        kept = set(self.grid.indexes.tolist())
        for scene in self.scenes[1:]:
            scene.keep([band in kept for band in scene.indexes.tolist()])
        return result

    def windows(self, values=None):
        """
        Windows that cover the images, small enough for a block of all dates.

        `values` is how many numbers a pixel takes besides its spectra.
        """
        return self.grid.windows(bands=self.T * self.grid.count + (values or 0))

    def decodes_again(self):
        """Whether the images are stored in tiles that are cut up here, and too large for those of all dates to stay."""
        return any(scene.tile_bytes and self.windows()[0].height < scene.tile_height
                   and self.T * scene.tile_bytes * WORKERS > CACHE for scene in self.scenes)

    def read(self, window=None):
        """The pixels of a window at all dates: `(Y (T, L, n) float32, valid (T, n))`, row-major."""
        parts = [scene.read(window) for scene in self.scenes]
        return np.stack([Y.astype(np.float32, copy=False) for Y, _ in parts]), np.stack([valid for _, valid in parts])

    def positions(self, window):
        """Row-major positions (n,) in the images of a window's pixels."""
        rows, cols = np.divmod(np.arange(window.width * window.height), window.width)
        return (rows + window.row_off) * self.grid.width + cols + window.col_off

    def map_blocks(self, function, windows=None, progress=None):
        """Yield `(window, function(Y, valid, positions))` for every window, in order; see `raster.map_blocks`."""
        yield from map_blocks(lambda window: (*self.read(window), self.positions(window)), function,
                              self.windows() if windows is None else windows, progress)

    def images(self, progress=None):
        """All pixels at all dates, row-major: `(Y (T, L, N) float32, valid (T, N))`."""
        N = self.grid.width * self.grid.height
        Y, valid = np.empty((self.T, self.L, N), dtype=np.float32), np.empty((self.T, N), dtype=bool)
        for _, (part, good, where) in self.map_blocks(lambda *block: block, progress=progress):
            Y[:, :, where], valid[:, where] = part, good
        return Y, valid

    def sample(self, most, progress=None):
        """
        At most about `most` pixels, evenly spread over the images, of those that are valid at one date at least.

        Returns
        -------
        Y : ndarray (T, L, N) float32
            0 where a pixel is not valid.
        valid : ndarray (T, N) of bool
        positions : ndarray (N,) of int
            Ascending, row-major.
        """
        height, width = self.grid.height, self.grid.width
        across = min(width, int(np.ceil(np.sqrt(height * width / most))))
        down = min(height, int(np.ceil(height * width / (most * across))))
        across = min(width, int(np.ceil(height * width / (most * down))))   # few rows, more columns

        def block(Y, valid, where):
            rows, cols = np.divmod(where, width)
            chosen = (rows % down == down // 2) & (cols % across == across // 2)
            within = np.flatnonzero(valid.any(axis=0) & chosen)
            good = valid[:, within]
            return np.where(good[:, None], Y[:, :, within], 0), good, where[within]

        Y, valid, positions = zip(*[part for _, part in self.map_blocks(block, progress=progress)])
        positions = np.concatenate(positions)
        order = np.argsort(positions, kind="stable")
        return np.concatenate(Y, axis=2)[:, :, order], np.concatenate(valid, axis=1)[:, order], positions[order]


def date_of(scene, given):
    """
    When a scene was taken: from its layer's temporal properties, its metadata or its name, in this order.

    Parameters
    ----------
    scene : Scene
    given : dict
        The image as the job holds it: perhaps `date`, that of the layer, and `layer`, its name.

    Returns
    -------
    (datetime, str) or (None, None)
        The date and what tells it, one of `dates.SOURCES`.
    """
    return when.of_image(given.get("date"), scene.tags, given.get("layer") or "", file_name(source_of(given, scene)))


def source_of(given, scene=None):
    """Where an image, as the job holds it, comes from: the engine may have been given a copy."""
    return given.get("source") or (scene.path if scene else given["path"])


def names_of(images):
    """
    What the user calls images, as the job holds them: their layers' names, else their files'.

    With the folder before it where two have the same name.
    """
    names = []
    for image in images:
        file, layer = file_name(source_of(image)), image.get("layer")
        names.append(file if not layer or f"{file}.".startswith(f"{layer}.") else layer)
    return [name if names.count(name) == 1 else f"{_folder(source_of(image))}/{name}"
            for name, image in zip(names, images)]


def _folder(path):
    """The name of a file's folder."""
    return file_name(path[:-len(file_name(path)) - 1])


def name_of(scene):
    """What the user calls a scene."""
    return scene.title


def is_empty(scene):
    """Whether no pixel of the scene is valid. Looks at the middle first, and stops at the first block that has one."""
    windows = scene.windows()   # a spectral scene keeps its middle block until it is read
    return not any(scene.read(window)[1].any() for window in windows[len(windows) // 2:] + windows[:len(windows) // 2])


def check_same_place(first, other):
    """Raise UserError where two scenes are not on one grid: another size, CRS or position."""
    if (first.width, first.height) != (other.width, other.height):
        what = f"{first.width} x {first.height} and {other.width} x {other.height} pixels"
    elif (first.crs or other.crs) and first.crs != other.crs:
        what = f"{_crs(first)} and {_crs(other)}"
    else:
        corners = [(0, 0), (first.width, 0), (0, first.height), (first.width, first.height)]
        apart = max(abs(part) for corner in corners
                    for part in np.subtract(~first.map_transform * (other.map_transform * corner), corner))
        if apart <= SAME_PIXEL:
            return
        what = f"they lie up to {apart:.3g} pixels apart"
    raise UserError("{first} and {second} are not on one grid: {what}. Bring one to the other's grid first, with Warp "
                    "(reproject) or Align rasters.", first=name_of(first), second=name_of(other), what=what)


def _crs(scene):
    if not scene.crs:
        return "no CRS"
    return f"EPSG:{scene.crs.to_epsg()}" if scene.crs.to_epsg() else scene.crs.to_wkt().split('"')[1]


def _check_bands(first, other):
    if first.count != other.count:
        raise UserError("{first} has {count} bands and {second} has {others}. Choose images with the same bands, or "
                        "take the common ones out first (Rearrange bands).", first=name_of(first), count=first.count,
                        second=name_of(other), others=other.count)
    ours, theirs = first.all_wavelengths, other.all_wavelengths
    band = None if ours is None or theirs is None else differing_band(ours, theirs)
    if band is not None:
        raise UserError("{first} and {second} have different wavelengths: band {band} is at {ours} and {theirs} nm. "
                        "Choose images of one sensor, or resample one to the other's bands first.",
                        first=name_of(first), second=name_of(other), band=band + 1, ours=f"{ours[band]:.5g}",
                        theirs=f"{theirs[band]:.5g}")


def differing_band(ours, theirs):
    """The band, from 0, whose wavelengths differ most, where that is too much for one sensor; else None."""
    apart, step = np.abs(ours - theirs), np.median(np.abs(np.diff(ours))) if len(ours) > 1 else np.inf
    return int(apart.argmax()) if apart.max() > SAME_BAND * step else None
