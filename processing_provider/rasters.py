"""Raster layers as the engine takes them: a path and what QGIS knows better than the file, or a copy."""

import os
import re
from pathlib import Path

from osgeo import gdal
from qgis.core import (Qgis, QgsProcessingException, QgsProviderRegistry, QgsRasterBlockFeedback, QgsRasterFileWriter,
                       QgsRasterPipe)

from qgis.PyQt.QtCore import Qt

from ..engine import dates
from .words import tr


def begin_of(layer):
    """From when a layer stands by its temporal properties, in ISO 8601; None where it has no fixed range."""
    temporal = layer.temporalProperties()
    fixed = temporal.isActive() and temporal.mode() == Qgis.RasterTemporalMode.FixedTemporalRange
    return temporal.fixedTemporalRange().begin().toUTC().toString(Qt.DateFormat.ISODate) if fixed else None


def date_of(layer):
    """When a layer's image was taken, as the engine will find it: a date and what tells it, or None and None."""
    return date_by(layer, tags_of(dataset_of(layer)))


def date_by(layer, tags):
    """The same, by the raster's metadata."""
    return dates.of_image(begin_of(layer), tags, layer.name(), os.path.basename(layer.source()))


def dataset_of(layer):
    """GDAL's raster of a layer, or None where another provider reads it."""
    if layer.dataProvider().name() != "gdal":
        return None
    options = QgsProviderRegistry.instance().decodeUri("gdal", layer.source()).get("openOptions") or []
    return _opened(re.split(r"\|(?:option|credential):", layer.source())[0], options)


def tags_of(dataset):
    """A raster's metadata of all domains that the engine knows; none where there is no raster."""
    tags = {}
    for domain in ("ENVI", "IMAGERY", "") if dataset else ():
        tags.update(dataset.GetMetadata(domain))
    return tags


def _opened(path, options=()):
    """A file as GDAL's raster, or None."""
    gdal.PushErrorHandler("CPLQuietErrorHandler")
    try:
        return gdal.OpenEx(str(path), gdal.OF_RASTER, open_options=list(options))
    except RuntimeError:   # what is raised, or not, is for whoever loaded GDAL first to say
        return None
    finally:
        gdal.PopErrorHandler()


def files_of(path):
    """The files that a raster or another layer is made of, resolved: itself, and those that a VRT stands for."""
    files, unseen = {Path(path).resolve()}, {str(path)}
    while unseen:
        dataset = _opened(unseen.pop())
        found = {Path(file).resolve() for file in dataset and dataset.GetFileList() or []} - files
        files |= found
        unseen |= {str(file) for file in found if file.suffix.lower() == ".vrt"}
    return files


def is_ours(path):
    """Whether Subpixel wrote a file."""
    dataset = _opened(path)
    return dataset is not None and dataset.GetMetadataItem("SUBPIXEL_TOOL") is not None


class RasterSource:
    """A raster layer taken apart, in QGIS's main thread, where layers live."""

    def __init__(self, name, layer):
        provider = layer.dataProvider()
        self.name, self.crs, self._layer_name, self._date = name, layer.crs(), layer.name(), begin_of(layer)
        self._provider = None if provider.name() == "gdal" else provider.clone()
        self._assigned = layer.crs().isValid() and layer.crs() != provider.crs()
        # what follows the bar are QGIS's own words on how to open it
        self._path = re.split(r"\|(?:option|credential):", layer.source())[0]
        self._source = self._path
        parts = QgsProviderRegistry.instance().decodeUri("gdal", layer.source()) if self._provider is None else {}
        self._options = dict(option.split("=", 1) for option in parts.get("openOptions") or [] if "=" in option)
        self._nodata = {band: [[each.min(), each.max()] for each in provider.userNoDataValues(band)]
                        for band in range(1, layer.bandCount() + 1) if provider.userNoDataValues(band)}

    @property
    def path(self):
        """Where the raster is read from."""
        return self._path

    def handed_over(self, folder, feedback):
        """What the job holds of it. A raster that is no GDAL layer is first copied to `folder` with QGIS."""
        if self._provider is not None:
            self._path, self._provider = self._exported(folder, feedback), None
        return {"path": self._path, "source": self._source, "options": self._options, "nodata": self._nodata,
                "layer": self._layer_name, "date": self._date,
                "crs": self.crs.toWkt(Qgis.CrsWktVariant.Preferred) if self._assigned else None}

    def _exported(self, folder, feedback):
        provider, copy = self._provider, folder / f"{self.name}.tif"
        pipe, writer, watch = QgsRasterPipe(), QgsRasterFileWriter(str(copy)), QgsRasterBlockFeedback()
        feedback.canceled.connect(watch.cancel)
        if not provider.xSize() or not provider.ySize() or not pipe.set(provider) or writer.writeRaster(
                pipe, provider.xSize(), provider.ySize(), provider.extent(), self.crs, watch):
            raise QgsProcessingException(tr(
                "{name} cannot be read as a file: {path} has no pixels of its own. Export the layer to a GeoTIFF "
                "first.").format(name=self.name, path=self._path))
        return str(copy)

    def copied(self, folder, feedback):
        """A path to a copy made with QGIS's GDAL, which opens more than the engine's; None where it cannot either."""
        copy = folder / f"{self.name}.tif"
        if self._path == str(copy):
            return None
        feedback.pushInfo(tr("Copying {path} with QGIS's GDAL, since the engine's cannot open it.").format(
            path=self._path))
        try:
            source = gdal.OpenEx(self._path, open_options=[f"{key}={value}" for key, value in self._options.items()])
            made = source and gdal.Translate(
                str(copy), source, creationOptions=["COMPRESS=DEFLATE", "BIGTIFF=IF_SAFER"],
                callback=lambda share, *_: int(not feedback.isCanceled()))
        except RuntimeError:
            made = None
        if made is None:
            copy.unlink(missing_ok=True)
            return None
        made.FlushCache()
        del made
        self._path, self._options = str(copy), {}
        return self._path
