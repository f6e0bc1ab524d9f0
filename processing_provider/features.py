"""Vector layers as the engine takes them: spectra, and samples in the raster's CRS."""

import json

from qgis.core import QgsCoordinateTransform, QgsCsException
from qgis.PyQt.QtCore import Qt

from .words import tr


def spectra_features(source, feedback):
    """Features of a layer of spectra. Its fields `name`, `profile` and `source` count whatever their case."""
    fields = [field.name() for field in source.fields()]
    own = {}
    for name in ("name", "profile", "profiles", "source", "fid"):
        own[name] = next((field for field in fields if field.lower() == name), None)
    if own["name"] is None and (own["profile"] or own["profiles"]):
        feedback.pushWarning(tr("The layer {layer} has no field `name`: its spectra are numbered.").format(
            layer=source.sourceName()))
    others = [field for field in fields if field not in own.values()]
    features = []
    for feature in source.getFeatures():
        def value(name, feature=feature):
            return None if own[name] is None else _plain(feature[own[name]])
        place = None if feature.geometry().isEmpty() else feature.geometry().centroid().asPoint()
        features.append({"name": value("name"), "profile": _profile(value("profile") or value("profiles")),
                         "source": value("source"), "point": place and [place.x(), place.y()],
                         "attributes": {name: _plain(feature[name]) for name in others}})
    return {"features": features, "source": source.sourceName()}


def located_features(source, crs, context, feedback):
    """Features with their geometry as GeoJSON in a raster's CRS. Those that cannot be brought there are left out."""
    transform = None
    if crs is not None and crs.isValid() and source.sourceCrs().isValid() and crs != source.sourceCrs():
        transform = QgsCoordinateTransform(source.sourceCrs(), crs, context.transformContext())
    names = [field.name() for field in source.fields()]
    features, lost = [], 0
    for feature in source.getFeatures():
        geometry = feature.geometry()
        if geometry.isEmpty():
            continue
        try:
            if transform:
                geometry.transform(transform)
        except QgsCsException:
            lost += 1
            continue
        features.append({"geometry": json.loads(geometry.asJson(17)), "id": feature.id(),
                         "attributes": {name: _plain(feature[name]) for name in names}})
    if lost:
        feedback.pushWarning(tr("Left out {count} features that cannot be brought to the raster's CRS.").format(
            count=lost))
    return {"features": features, "source": source.sourceName()}


def _profile(value):
    """A profile from a text or a JSON field; None where it is none."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return None
    return value if isinstance(value, dict) else None


def _plain(value):
    """An attribute as JSON can hold it."""
    if value is None or isinstance(value, (bool, int, float, str, dict, list)):
        return value
    if hasattr(value, "isNull") and value.isNull():
        return None
    if hasattr(value, "toString"):  # dates and times
        return value.toString(Qt.DateFormat.ISODate)
    return None if hasattr(value, "toHex") else str(value)
