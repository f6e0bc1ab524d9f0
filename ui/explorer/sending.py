"""Pinned spectra on their way to layers of spectra, old and new."""

import json
from pathlib import Path

from qgis.core import (Qgis, QgsField, QgsGeometry, QgsProcessingException, QgsProject, QgsVectorLayer,
                       QgsVectorLayerUtils, QgsWkbTypes)
from qgis.PyQt.QtCore import QMetaType

from ...engine import palette
from ...processing_provider import styles, vectors
from ...processing_provider.words import tr
from .pixels import NothingThere, moved

TEXTS = (QMetaType.Type.QString, QMetaType.Type.QVariantMap)


class NotSent(Exception):
    """Spectra did not get into a layer; the sentence says why."""


def field_of(layer):
    """The number of the field of spectra of a vector layer, -1 where it has none."""
    fields = layer.fields()
    found = (fields.lookupField(name) for name in ("profile", "profiles"))
    return next((number for number in found if number >= 0 and fields[number].type() in TEXTS), -1)


def features_of(pins, crs):
    """Pins, `(name, reading)`, as features of a layer of spectra in a CRS. Raises NotSent."""
    try:
        points = [moved(reading.point, reading.crs, crs) for _, reading in pins]
    except NothingThere as problem:
        raise NotSent(str(problem)) from problem
    return [{"name": name, "profile": reading.profile, "attributes": {}, "point": [point.x(), point.y()],
             "source": tr("{image}, pixel at {point}").format(image=reading.image, point=reading.place)}
            for (name, reading), point in zip(pins, points)]


def add_to(layer, pins):
    """
    Add pins to a layer of spectra: as one edit that can be undone where it is being edited, else at once.

    Raises NotSent.
    """
    made = [_feature(layer, each) for each in features_of(pins, layer.crs())]
    if layer.isEditable():
        layer.beginEditCommand(tr("Add spectra of pinned pixels"))
        if layer.addFeatures(made):
            layer.endEditCommand()
            layer.triggerRepaint()
            return
        layer.destroyEditCommand()
    elif layer.startEditing():
        if layer.addFeatures(made) and layer.commitChanges():
            return
        reason = "; ".join(layer.commitErrors())
        layer.rollBack()
        raise NotSent(tr("{layer} did not take the spectra: {reason}. Choose another layer, or make a new one.").format(
            layer=layer.name(), reason=reason.rstrip(".")))
    raise NotSent(tr("{layer} cannot be edited. Choose another layer, or make a new one.").format(layer=layer.name()))


def _feature(layer, given):
    fields, own = layer.fields(), field_of(layer)
    text = json.dumps(given["profile"])
    if fields[own].type() == QMetaType.Type.QString and 0 < fields[own].length() < len(text):
        raise NotSent(tr("The field {field} of {layer} holds {length} characters, the spectrum has {count}. Make a new "
                         "layer, or choose one in a GeoPackage.").format(
                             field=fields[own].name(), layer=layer.name(), length=fields[own].length(),
                             count=len(text)))
    values = {own: text if fields[own].type() == QMetaType.Type.QString else given["profile"]}
    values.update({fields.lookupField(name): given[name] for name in ("name", "source")
                   if fields.lookupField(name) >= 0})
    geometry = QgsGeometry()
    if layer.geometryType() == Qgis.GeometryType.Point:
        geometry = QgsGeometry.fromWkt("POINT ({} {})".format(*given["point"]))
        if QgsWkbTypes.isMultiType(layer.wkbType()):
            geometry.convertToMultiType()
    return QgsVectorLayerUtils.createFeature(layer, geometry, values)


def new_layer(pins):
    """A layer in memory with pins as its spectra, drawn in the colours of their names."""
    crs = pins[0][1].crs
    layer = QgsVectorLayer("Point", tr("Endmembers (explorer)"), "memory")
    layer.setCrs(crs)
    layer.dataProvider().addAttributes([QgsField(name, QMetaType.Type.QString) for name in vectors.OWN])
    layer.updateFields()
    add_to(layer, pins)
    styles.draw_spectra(layer, _look(pins))
    return layer


def new_file(path, pins):
    """A layer in a new GeoPackage with pins as its spectra. Raises NotSent where it cannot be written."""
    path = Path(path)
    crs = pins[0][1].crs
    if any(Path(layer.source().split("|")[0]) == path for layer in QgsProject.instance().mapLayers().values()):
        raise NotSent(tr("{path} is a layer of this project. Choose that layer to add to, or another file.").format(
            path=path))
    try:
        vectors.write_spectra(path, features_of(pins, crs), crs, QgsProject.instance().transformContext())
    except QgsProcessingException as problem:
        raise NotSent(str(problem)) from problem
    styles.style_spectra(path, _look(pins))
    return QgsVectorLayer(str(path), path.stem, "ogr")


def _look(pins):
    names = [name for name, _ in pins]
    return {"names": names, "colours": palette.colours(names), "colour": palette.expression()}
