"""What raster layers hold at a point of the map, and what they say of their bands."""

import math
from dataclasses import dataclass

from qgis.core import Qgis, QgsCoordinateTransform, QgsCsException, QgsProject

from ...engine import bands
from ...processing_provider.rasters import dataset_of, date_by, tags_of
from ...processing_provider.words import tr


class NothingThere(Exception):
    """There are no values at a point; the sentence says why."""


@dataclass(frozen=True)
class Facts:
    """What a raster says of its bands: names, wavelengths (nm) or None, and which are bad; and its metadata."""

    names: list
    wavelengths: list
    bad: list
    tags: dict

    @property
    def x(self):
        """Where the bands stand on a plot."""
        return self.wavelengths or [float(number) for number in range(1, len(self.names) + 1)]


class Rasters:
    """Raster layers, each asked once for what it says of its bands."""

    def __init__(self):
        self._known = {}

    def facts(self, layer):
        """The `Facts` of a layer."""
        known = self._known.get(layer.id())
        if known is None or known[0] != layer.source():
            known = self._known[layer.id()] = layer.source(), _facts(layer)
        return known[1]

    def date(self, layer):
        """When a layer's image was taken, or None."""
        return date_by(layer, self.facts(layer).tags)[0]

    def forget(self, ids):
        """Layers that are gone."""
        for id in ids:
            self._known.pop(id, None)


def _facts(layer):
    provider, numbers = layer.dataProvider(), range(1, layer.bandCount() + 1)
    dataset = dataset_of(layer)
    if dataset is None:
        return Facts([layer.bandName(number) for number in numbers], None, [False] * len(numbers), {})
    opened = [dataset.GetRasterBand(number) for number in numbers]
    items = [band.GetMetadata() for band in opened]
    header = {**dataset.GetMetadata(), **dataset.GetMetadata("ENVI")}
    alpha = [provider.colorInterpretation(number) == Qgis.RasterColorInterpretation.AlphaBand for number in numbers]
    return Facts([band.GetDescription() or layer.bandName(number) for number, band in zip(numbers, opened)],
                 bands.wavelengths(items, [band.GetMetadata("IMAGERY") for band in opened], header)[0],
                 [bad or clear for bad, clear in zip(bands.bad_bands(items, header), alpha)], tags_of(dataset))


def moved(point, crs, to):
    """A point in another CRS, as it is where one of both is unknown. Raises NothingThere where it cannot be brought."""
    try:
        return QgsCoordinateTransform(crs, to, QgsProject.instance()).transform(point)
    except QgsCsException as problem:
        raise NothingThere(tr("The point {point} cannot be brought to {crs}. Click nearer to the layer.").format(
            point=point.toString(4), crs=to.authid() or to.description())) from problem


def values_at(layer, point, crs):
    """
    A pixel's values, scale and offset applied, one per band; None where a band is nodata there.

    The pixel is that which QGIS draws: it turns a rotated raster onto an upright grid.

    Raises NothingThere where the raster does not reach, where all bands are nodata, or where it cannot be read.
    """
    place = moved(point, crs, layer.crs())
    if not layer.extent().contains(place):
        raise NothingThere(tr("{layer} does not reach that far. Click inside its extent.").format(layer=layer.name()))
    answer = layer.dataProvider().identify(place, Qgis.RasterIdentifyFormat.Value)
    if not answer.isValid():
        raise NothingThere(tr("{layer} cannot be read there: {reason}. Choose a layer that is a file.").format(
            layer=layer.name(), reason=answer.error().summary().rstrip(".") or tr("it gives no values")))
    found = answer.results()   # asked once: each time it is all of them
    values = [value if isinstance(value, (int, float)) and math.isfinite(value) else None
              for value in map(found.get, range(1, layer.bandCount() + 1))]
    if all(value is None for value in values):
        raise NothingThere(tr("{layer} has no data at this pixel. Click another.").format(layer=layer.name()))
    return values
