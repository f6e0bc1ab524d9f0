"""Layers of spectra, written from the engine's answer."""

import json

from qgis.core import (QgsCoordinateReferenceSystem, QgsFeature, QgsField, QgsFields, QgsGeometry, QgsPointXY,
                       QgsProcessingException, QgsVectorFileWriter, QgsWkbTypes)
from qgis.PyQt.QtCore import QMetaType

from .words import tr

TYPES = {bool: QMetaType.Type.Bool, int: QMetaType.Type.LongLong, float: QMetaType.Type.Double}


def write_spectra(path, answer, transform_context):
    """
    Write spectra to a file: fields `name`, `profile`, `source` and whatever else they carry, points where they have any.

    Returns whether the layer has points.
    """
    features = answer["features"]
    located = any(feature["point"] for feature in features)
    extra = {}
    for feature in features:
        for name, value in feature["attributes"].items():
            if value is not None and name not in ("name", "profile", "source", "fid"):
                extra[name] = float if {extra.get(name), type(value)} == {int, float} else type(value)
    fields = QgsFields()
    for name in ("name", "profile", "source"):
        fields.append(QgsField(name, QMetaType.Type.QString))
    for name, kind in extra.items():
        fields.append(QgsField(name, TYPES.get(kind, QMetaType.Type.QString)))
    crs = QgsCoordinateReferenceSystem.fromWkt(answer["crs"]) if answer["crs"] else QgsCoordinateReferenceSystem()
    options = QgsVectorFileWriter.SaveVectorOptions()
    options.driverName = QgsVectorFileWriter.driverForExtension(path.suffix)
    options.layerName = path.stem
    writer = QgsVectorFileWriter.create(str(path), fields, QgsWkbTypes.Type.Point if located
                                        else QgsWkbTypes.Type.NoGeometry, crs, transform_context, options)
    _check(writer, path)
    for feature in features:
        row = QgsFeature(fields)
        row.setAttributes([feature["name"], json.dumps(feature["profile"]), feature["source"]]
                          + [_as(kind, feature["attributes"].get(name)) for name, kind in extra.items()])
        if feature["point"]:
            row.setGeometry(QgsGeometry.fromPointXY(QgsPointXY(*feature["point"])))
        writer.addFeature(row)
        _check(writer, path)
    writer.flushBuffer()
    _check(writer, path)
    del writer
    return located


def _as(kind, value):
    return None if value is None else value if kind in TYPES else str(value)


def _check(writer, path):
    if writer.hasError() != QgsVectorFileWriter.WriterError.NoError:
        raise QgsProcessingException(tr("{path} cannot be written: {reason}. Choose another place for the "
                                        "output.").format(path=path, reason=writer.errorMessage().rstrip(".")))
