"""The pixels of a scene under points and polygons, read block by block."""

from dataclasses import dataclass, field

import numpy as np
from rasterio.features import rasterize
from rasterio.transform import Affine
from rasterio.windows import Window

from .sentences import UserError

SMALL = 1_000_000   # pixels of a polygon's box up to which it is looked at whether it holds any pixel's centre


@dataclass(frozen=True)
class Shape:
    """A point or polygon in pixel coordinates (column, row); `touched` takes every pixel that a polygon touches."""

    kind: str
    coordinates: object
    bounds: tuple          # first column, first row, last column, last row, which may lie outside
    touched: bool = False

    def within(self, window):
        """Row-major positions in the window of the pixels that belong to it."""
        left, top = max(self.bounds[0], window.col_off), max(self.bounds[1], window.row_off)
        right = min(self.bounds[2] + 1, window.col_off + window.width)
        bottom = min(self.bounds[3] + 1, window.row_off + window.height)
        if left >= right or top >= bottom:
            return np.empty(0, int)
        if self.kind == "Point":
            return np.array([(top - window.row_off) * window.width + left - window.col_off])
        rows, cols = np.nonzero(self._mask(left, top, right - left, bottom - top))
        return (rows + top - window.row_off) * window.width + cols + left - window.col_off

    def _mask(self, left, top, width, height):
        return rasterize([({"type": "Polygon", "coordinates": self.coordinates}, 1)], out_shape=(height, width),
                         transform=Affine.translation(left, top), all_touched=self.touched, dtype="uint8")


@dataclass
class Group:
    """The samples of one class, or one sample: their name, the fields to keep, and their shapes."""

    name: str
    attributes: dict
    shapes: list = field(default_factory=list)


@dataclass(frozen=True)
class Taken:
    """Spectra taken for one group: M (L, n), and the row and column (n, 2) of each where it is one pixel's."""

    group: Group
    M: np.ndarray
    pixels: int
    positions: np.ndarray


def group_samples(scene, features, classfield=None):
    """
    Features grouped by the value of a field, or each by itself, and how many have no class.

    A polygon takes the pixels whose centres it holds; one too small for any takes those that it touches.

    Raises
    ------
    UserError
        No feature, or one that is neither point nor polygon; a field that is not there.
    """
    if not features:
        raise UserError("The layer of samples has no features. Choose a layer with points or polygons, or clear its "
                        "selection and filter.")
    if classfield and classfield not in features[0]["attributes"]:
        raise UserError("The samples have no field {field}. Choose one of: {fields}.", field=classfield,
                        fields=", ".join(features[0]["attributes"]))
    groups, without = {}, 0
    for feature in features:
        attributes = feature["attributes"]
        name = _label(attributes[classfield]) if classfield else _label(attributes.get("name")) or \
            f"sample {feature['id']}"
        if not name:
            without += 1
            continue
        key = name if classfield else len(groups)
        group = groups.setdefault(key, Group(name, {"material": name} if classfield else attributes))
        group.shapes += _shapes(feature["geometry"], ~scene.map_transform)
    return list(groups.values()), without


def _label(value):
    """A class as text, '' where there is none; whole numbers without decimals."""
    if value is None:
        return ""
    return str(int(value) if isinstance(value, float) and value.is_integer() else value).strip()


def _shapes(geometry, to_pixel):
    """The shapes of a GeoJSON geometry, in pixel coordinates."""
    kind, coordinates = geometry.get("type"), geometry.get("coordinates")
    if kind == "GeometryCollection":
        return [shape for part in geometry["geometries"] for shape in _shapes(part, to_pixel)]
    if kind not in ("Point", "MultiPoint", "Polygon", "MultiPolygon"):
        raise UserError("A sample is a {kind}; samples must be points or polygons. Choose another layer, or buffer its "
                        "features.", kind=kind)
    parts = coordinates if kind.startswith("Multi") else [coordinates]
    make = _point if kind.endswith("Point") else _polygon
    shapes = [make(part, to_pixel) for part in parts if part]
    return [shape for shape in shapes if shape]


def _point(coordinates, to_pixel):
    place = to_pixel * coordinates[:2]
    if not np.isfinite(place).all():
        return None   # where its CRS has no place in the raster's
    col, row = (int(np.floor(value)) for value in place)
    return Shape("Point", None, (col, row, col, row))


def _polygon(rings, to_pixel):
    rings = [[tuple(map(float, to_pixel * point[:2])) for point in ring] for ring in rings]
    corners = np.array(rings[0])
    if not np.isfinite(corners).all():
        return None
    low, high = np.floor(corners.min(axis=0)).astype(int), np.floor(corners.max(axis=0)).astype(int)
    shape = Shape("Polygon", rings, (int(low[0]), int(low[1]), int(high[0]), int(high[1])))
    width, height = (high - low + 1).tolist()
    if width * height <= SMALL and not shape._mask(int(low[0]), int(low[1]), width, height).any():
        return Shape("Polygon", rings, shape.bounds, touched=True)
    return shape


def sampled(scene, groups, progress=None):
    """
    Yield `(number, Y (L, n), positions (n, 2), masked)` for each group, by its number, in each block that it reaches.

    Only the box around a block's samples is read. `masked` is how many of the group's pixels there were nodata.
    """
    windows = scene.windows()
    shapes = [(number, shape) for number, group in enumerate(groups) for shape in group.shapes]
    bounds = np.array([shape.bounds for _, shape in shapes]).reshape(-1, 4)
    for done, window in enumerate(windows):
        reached = ((bounds[:, 0] < window.col_off + window.width) & (bounds[:, 2] >= window.col_off)
                   & (bounds[:, 1] < window.row_off + window.height) & (bounds[:, 3] >= window.row_off))
        found = _within(window, [shapes[position] for position in np.flatnonzero(reached)])
        if found:
            rows, cols = np.divmod(np.concatenate([where for _, where in found]), window.width)
            top, left = int(rows.min()), int(cols.min())
            box = Window(window.col_off + left, window.row_off + top, int(cols.max()) - left + 1,
                         int(rows.max()) - top + 1)
            Y, valid = scene.read(box)
            for number, where in found:
                rows, cols = np.divmod(where, window.width)
                inside = (rows - top) * box.width + cols - left
                good = valid[inside]
                positions = np.stack([rows + window.row_off, cols + window.col_off], axis=1)
                yield number, Y[:, inside[good]], positions[good], int((~good).sum())
        if progress:
            progress(done + 1, len(windows))


def _within(window, shapes):
    """For each group among `shapes` the positions in the window of its pixels, each once."""
    found = {}
    for number, shape in shapes:
        where = shape.within(window)
        if where.size:
            found.setdefault(number, []).append(where)
    return [(number, where[0] if len(where) == 1 else np.unique(np.concatenate(where)))
            for number, where in found.items()]


def take(scene, groups, every=False, limit=None, progress=None):
    """
    The mean spectrum of each group's pixels or, with `every`, each pixel's.

    Returns
    -------
    list of Taken
        For the groups that have valid pixels, in their order.
    int
        How many sampled pixels were nodata.

    Raises
    ------
    UserError
        No sample on the raster, only nodata under them, or with `every` more than `limit` pixels.
    """
    sums = [np.zeros(scene.L) for _ in groups]
    parts = [[] for _ in groups]
    where, counts, masked = [[] for _ in groups], [0] * len(groups), 0
    for number, Y, positions, missing in sampled(scene, groups, progress):
        masked += missing
        counts[number] += Y.shape[1]
        if every:
            parts[number].append(Y.astype(np.float64))
            where[number].append(positions)
            if sum(counts) > limit:
                raise UserError("The samples cover more than {limit} pixels, too many to give each its own spectrum. "
                                "Take the mean of each class, or draw smaller samples.", limit=limit)
        else:
            sums[number] += Y.sum(axis=1, dtype=np.float64)
            where[number] = [positions] if counts[number] == 1 and len(positions) else where[number]
    if not any(counts):
        _complain(scene, groups, masked)
    taken = []
    for number, group in enumerate(groups):
        if every and counts[number]:
            M, positions = np.concatenate(parts[number], axis=1), np.concatenate(where[number])
            order = np.lexsort(positions.T[::-1])
            taken.append(Taken(group, M[:, order], counts[number], positions[order]))
        elif counts[number]:
            taken.append(Taken(group, sums[number][:, None] / counts[number], counts[number],
                               where[number][0] if counts[number] == 1 else np.empty((0, 2), int)))
    return taken, masked


def _complain(scene, groups, masked):
    """Say why no pixel was found."""
    if masked:
        raise UserError("All {count} pixels under the samples are nodata. Draw samples where the raster has values, or "
                        "name the bands to use.", count=masked)
    corners = [scene.map_transform * corner for corner in
               ((0, 0), (scene.width, 0), (0, scene.height), (scene.width, scene.height))]
    (left, right), (bottom, top) = ((min(values), max(values)) for values in zip(*corners))
    raise UserError("None of the samples lies on the raster, which spans {left} to {right} and {bottom} to {top}. "
                    "Choose samples in its area, and check the CRS of both layers.", left=round(left, 6),
                    right=round(right, 6), bottom=round(bottom, 6), top=round(top, 6))
