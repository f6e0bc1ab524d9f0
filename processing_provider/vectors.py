"""Layers of spectra and tables, written from the engine's answer."""

import json
import math
from datetime import datetime

from qgis.core import (Qgis, QgsCoordinateReferenceSystem, QgsFeature, QgsField, QgsFields, QgsGeometry, QgsPointXY,
                       QgsProcessingException, QgsVectorFileWriter)
from qgis.PyQt.QtCore import QDateTime, QMetaType, Qt

from .words import tr

TYPES = {bool: QMetaType.Type.Bool, int: QMetaType.Type.LongLong, float: QMetaType.Type.Double,
         datetime: QMetaType.Type.QDateTime}
OWN = ("name", "profile", "source")


def write_spectra(path, features, crs, transform_context):
    """
    Write spectra to a file: fields `name`, `profile`, `source` and whatever else they carry, and points where known.

    Returns whether the layer has points.
    """
    rows = [{"name": feature["name"], "profile": json.dumps(feature["profile"]), "source": feature["source"],
             **feature["attributes"]} for feature in features]
    points = [feature["point"] and QgsGeometry.fromPointXY(QgsPointXY(*feature["point"])) for feature in features]
    kind = Qgis.WkbType.Point if any(points) else Qgis.WkbType.NoGeometry
    _write(path, rows, points, kind, crs, transform_context, {name: str for name in OWN})
    return any(points)


def write_features(path, answer, crs, transform_context):
    """Write lines or polygons, as the engine gives them, to a file."""
    line, features = answer["geometry"] == "line", answer["features"]
    shapes = [[QgsPointXY(*point) for point in feature["points"]] for feature in features]
    _write(path, [feature["attributes"] for feature in features],
           [QgsGeometry.fromPolylineXY(shape) if line else QgsGeometry.fromPolygonXY([shape]) for shape in shapes],
           Qgis.WkbType.LineString if line else Qgis.WkbType.Polygon, crs, transform_context,
           {name: datetime for name in answer["times"]})


def write_table(path, rows, transform_context):
    """Write rows, dictionaries of plain values, to a file without geometry."""
    _write(path, rows, [None] * len(rows), Qgis.WkbType.NoGeometry, None, transform_context, {})


def _write(path, rows, shapes, geometry, crs, transform_context, given):
    """Write rows and their shapes, None or of the type `geometry`; the types of some fields are `given`."""
    kinds = {**_kinds(rows, {name: kind for name, kind in given.items() if kind is str}), **given}
    fields = QgsFields()
    for name, kind in kinds.items():
        fields.append(QgsField(name, TYPES.get(kind, QMetaType.Type.QString)))
    options = QgsVectorFileWriter.SaveVectorOptions()
    options.driverName = QgsVectorFileWriter.driverForExtension(path.suffix)
    options.layerName = path.stem
    writer = QgsVectorFileWriter.create(str(path), fields, geometry, crs or QgsCoordinateReferenceSystem(),
                                        transform_context, options)
    _check(writer, path)
    for row, shape in zip(rows, shapes):
        feature = QgsFeature(fields)
        feature.setAttributes([_as(kind, row.get(name)) for name, kind in kinds.items()])
        if shape:
            feature.setGeometry(shape)
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
    if kind is datetime:
        date = QDateTime.fromString(value, Qt.DateFormat.ISODate)
        date.setTimeSpec(Qt.TimeSpec.UTC)
        return date
    return kind(value) if kind in TYPES else str(value)


def _check(writer, path):
    if writer.hasError() != QgsVectorFileWriter.WriterError.NoError:
        raise QgsProcessingException(tr("{path} cannot be written: {reason}. Choose another place for the "
                                        "output.").format(path=path, reason=writer.errorMessage().rstrip(".")))
