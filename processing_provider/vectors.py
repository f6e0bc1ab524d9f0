"""Layers of spectra and tables, written from the engine's answer."""

import json
import math

from qgis.core import (Qgis, QgsCoordinateReferenceSystem, QgsFeature, QgsField, QgsFields, QgsGeometry, QgsPointXY,
                       QgsProcessingException, QgsVectorFileWriter)
from qgis.PyQt.QtCore import QMetaType

from .words import tr

TYPES = {bool: QMetaType.Type.Bool, int: QMetaType.Type.LongLong, float: QMetaType.Type.Double}
OWN = ("name", "profile", "source")


def write_spectra(path, features, crs, transform_context):
    """
    Write spectra to a file: fields `name`, `profile`, `source` and whatever else they carry, and points where known.

    Returns whether the layer has points.
    """
    rows = [{"name": feature["name"], "profile": json.dumps(feature["profile"]), "source": feature["source"],
             **feature["attributes"]} for feature in features]
    points = [feature["point"] for feature in features]
    _write(path, rows, points, crs, transform_context, {name: str for name in OWN})
    return any(points)


def write_table(path, rows, transform_context):
    """Write rows, dictionaries of plain values, to a file without geometry."""
    _write(path, rows, [None] * len(rows), None, transform_context, {})


def _write(path, rows, points, crs, transform_context, kinds):
    """Write rows and their points; `kinds` holds the types of fields that are there in any case."""
    kinds = _kinds(rows, dict(kinds))
    fields = QgsFields()
    for name, kind in kinds.items():
        fields.append(QgsField(name, TYPES.get(kind, QMetaType.Type.QString)))
    options = QgsVectorFileWriter.SaveVectorOptions()
    options.driverName = QgsVectorFileWriter.driverForExtension(path.suffix)
    options.layerName = path.stem
    geometry = Qgis.WkbType.Point if any(points) else Qgis.WkbType.NoGeometry
    writer = QgsVectorFileWriter.create(str(path), fields, geometry, crs or QgsCoordinateReferenceSystem(),
                                        transform_context, options)
    _check(writer, path)
    for row, point in zip(rows, points):
        feature = QgsFeature(fields)
        feature.setAttributes([_as(kind, row.get(name)) for name, kind in kinds.items()])
        if point:
            feature.setGeometry(QgsGeometry.fromPointXY(QgsPointXY(*point)))
        writer.addFeature(feature)
        _check(writer, path)
    writer.flushBuffer()
    _check(writer, path)


def _kinds(rows, kinds):
    """The type of each field: a number where all its values are numbers, else text."""
    for row in rows:
        for name, value in row.items():
            if value is not None:
                seen = {kinds.get(name, type(value)), type(value)}
                kinds[name] = seen.pop() if len(seen) == 1 else float if seen == {int, float} else str
    return kinds


def _as(kind, value):
    if value is None or isinstance(value, float) and not math.isfinite(value):
        return None
    return kind(value) if kind in TYPES else str(value)


def _check(writer, path):
    if writer.hasError() != QgsVectorFileWriter.WriterError.NoError:
        raise QgsProcessingException(tr("{path} cannot be written: {reason}. Choose another place for the "
                                        "output.").format(path=path, reason=writer.errorMessage().rstrip(".")))
