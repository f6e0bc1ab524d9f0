"""How layers look: a renderer for each kind of output, kept as a `.qml` beside the file for whoever opens it."""

import time
from pathlib import Path

from qgis.core import (Qgis, QgsCategorizedSymbolRenderer, QgsColorRampShader, QgsContrastEnhancement, QgsDateTimeRange,
                       QgsFillSymbol, QgsGradientColorRamp, QgsGradientStop, QgsGraduatedSymbolRenderer, QgsLineSymbol,
                       QgsMarkerSymbol, QgsMultiBandColorRenderer, QgsPalLayerSettings, QgsPalettedRasterRenderer,
                       QgsProcessingContext, QgsProcessingLayerPostProcessorInterface, QgsProcessingUtils, QgsProperty,
                       QgsRasterLayer, QgsRasterShader, QgsRendererCategory, QgsRendererRange,
                       QgsSingleBandPseudoColorRenderer, QgsSymbolLayer, QgsTextBufferSettings, QgsTextFormat,
                       QgsVectorLayer, QgsVectorLayerSimpleLabeling)
from qgis.PyQt import sip
from qgis.PyQt.QtCore import QDateTime, Qt
from qgis.PyQt.QtGui import QColor

from .words import tr

# ramps of QGIS's own, written out: its style database may have lost them, and is not for two threads at once
RAMPS = {"Viridis": "#440154 #482576 #414387 #345f8d #2a788e #21908d #23a884 #43bf70 #7ad151 #bcdf27 #fde725",
         "Magma": "#000004 #150e37 #3b0f6f #641a80 #8c2981 #b6377a #dd4a69 #f66f5c #fe9f6d #fece91 #fcfdbf",
         "PuOr": "#e66101 #ef8428 #f8a74f #fcc581 #f9debc #f7f7f7 #dbd9e8 #c0bad9 #a195c7 #8068b0 #5e3c99",
         "RdBu": "#ca0020 #db4247 #ec846e #f5b599 #f6d6c8 #f7f7f7 #cfe3ed #a6cfe3 #76b4d5 #3d93c2 #0571b0"}
SHADES = 5
EDGES = "#202020", "#ffffff"   # of bright lines, and of dark ones


class _Styler(QgsProcessingLayerPostProcessorInterface):
    """
    Gives a layer the style beside its file, which Processing does not load; puts it above others or folds its legend.

    Layers of that file that the project has already hold on to what it was before: they are read again. The groups
    of a run, which QGIS adds in the order of their folders' names, are put into that of `groups`, the first on top.
    """

    def __init__(self, above=False, folded=False, groups=()):
        super().__init__()
        self._above, self._folded, self._groups = above, folded, groups

    def postProcessLayer(self, layer, context, feedback):
        there = context.project().mapLayers() if context.project() else {}
        same = {id: other for id, other in there.items() if other.source() == layer.source()}
        for each in {layer.id(): layer, **same}.values():
            each.reload()
            each.loadDefaultStyle()
            each.triggerRepaint()
        node = context.project().layerTreeRoot().findLayer(layer.id()) if context.project() else None
        if node and self._folded:
            node.setExpanded(False)
        if node and self._above and node.parent().children()[0] is not node:
            group = node.parent()
            group.insertChildNode(0, node.clone())
            group.removeChildNode(node)
        if context.project():
            _put_in_order(context.project().layerTreeRoot(), self._groups)


def _put_in_order(root, names):
    """Put the groups of a layer tree that have these names one below the other, from the place of the topmost on."""
    groups = [group for group in map(root.findGroup, names) if group]
    if groups:
        parent = groups[0].parent()
        top = min(parent.children().index(group) for group in groups)
        for place, group in enumerate(groups, top):
            if parent.children()[place] is not group:
                parent.insertChildNode(place, group.clone())
                parent.removeChildNode(group)


_stylers = {}  # by path: QGIS keeps no reference of its own, and a styler without one does nothing


def style_on_loading(path, context, name, above=False):
    """Have the layer of this output named and styled where the run is going to load it, and put above others or not."""
    if context.willLoadLayerOnCompletion(path):
        details = context.layerToLoadOnCompletionDetails(path)
        _style_by(details, path, _Styler(above))
        if not details.forceName:
            details.name = name


def _style_by(details, path, styler):
    _stylers[path] = styler
    sip.transferto(_stylers[path], None)  # the context deletes it
    details.setPostProcessor(_stylers[path])


def name_of_folder(folder):
    """What tells an output folder from others: its name, or for a temporary one when it was made."""
    temporary = Path(QgsProcessingUtils.tempFolder()).resolve() in Path(folder).resolve().parents
    return time.strftime("%H:%M:%S") if temporary else Path(folder).name


def load_dated(paths, context, group, groups):
    """Have rasters loaded and styled in a group of their own, one of a run's `groups`, when the run is over."""
    if not context.project():
        return
    for number, path in enumerate(reversed(paths)):   # the last is loaded on top, and keeps its legend
        details = QgsProcessingContext.LayerDetails(Path(path).stem, context.project(), group,
                                                    QgsProcessingUtils.LayerHint.Raster)
        details.groupName = group
        _style_by(details, path, _Styler(folded=number > 0, groups=groups))
        context.addLayerToLoadOnCompletion(path, details)


def style_raster(path, answer):
    """
    Write the `.qml` of a raster output; `answer` is what the engine said of it.

    With a `time`, from when until when it stands, the temporal controller shows it then only.
    """
    layer = QgsRasterLayer(str(path), path.stem, "gdal")
    if layer.isValid():
        layer.setRenderer(RENDERERS[answer["style"]](layer, answer))
        if answer.get("time"):
            begin, end = (QDateTime.fromString(date, Qt.DateFormat.ISODate) for date in answer["time"])
            for date in (begin, end):
                date.setTimeSpec(Qt.TimeSpec.UTC)
            temporal = layer.temporalProperties()
            temporal.setMode(Qgis.RasterTemporalMode.FixedTemporalRange)
            # the file does not keep that the end is not included: at the next one's first moment both would be shown
            temporal.setFixedTemporalRange(QgsDateTimeRange(begin, end.addSecs(-1)))
            temporal.setIsActive(True)
        layer.saveNamedStyle(str(path.with_suffix(".qml")))
        del layer
        # the statistics that QGIS took for the stretch; whatever describes the raster is in the file itself
        path.with_name(path.name + ".aux.xml").unlink(missing_ok=True)


def _fractions(layer, answer):
    """One endmember's fractions, from white to its colour, always from 0 to 1 so that maps compare."""
    colour = QColor(answer["colours"][answer.get("band", 1) - 1])
    return _ramp(layer, [QColor("#ffffff"), colour, colour.darker(180)], 0, 1, answer.get("band", 1))


def _dominant(layer, answer):
    classes = [QgsPalettedRasterRenderer.Class(number, QColor(colour), name)
               for number, name, colour in zip(answer["numbers"], answer["names"], answer["colours"])]
    return QgsPalettedRasterRenderer(layer.dataProvider(), 1, classes)


def _date(layer, answer):
    colours, last = _named_ramp("Viridis"), max(len(answer["numbers"]) - 1, 1)
    ramp = QgsGradientColorRamp(colours[0], colours[-1], False, [
        QgsGradientStop(step / (len(colours) - 1), colour) for step, colour in enumerate(colours)])
    classes = [QgsPalettedRasterRenderer.Class(number, ramp.color(step / last), name)
               for step, (number, name) in enumerate(zip(answer["numbers"], answer["names"]))]
    return QgsPalettedRasterRenderer(layer.dataProvider(), 1, classes)


def _composite(layer, answer):
    return QgsMultiBandColorRenderer(layer.dataProvider(), 1, 2, 3)


def _spectral(layer, answer):
    return _stretched(layer, answer.get("rgb") or [1, 1, 1])


def _components(layer, answer):
    return _stretched(layer, [1, 2, 3] if layer.bandCount() >= 3 else [1, 1, 1])


def _stretched(layer, bands):
    """Three bands as red, green and blue, each from its 2nd to its 98th percentile."""
    provider = layer.dataProvider()
    renderer = QgsMultiBandColorRenderer(provider, *bands)
    for band, attach in zip(bands, (renderer.setRedContrastEnhancement, renderer.setGreenContrastEnhancement,
                                    renderer.setBlueContrastEnhancement)):
        low, high = provider.cumulativeCut(band, 0.02, 0.98, provider.extent(), 250000)
        stretch = QgsContrastEnhancement(provider.dataType(band))
        stretch.setContrastEnhancementAlgorithm(
            QgsContrastEnhancement.ContrastEnhancementAlgorithm.StretchToMinimumMaximum)
        stretch.setMinimumValue(low)
        stretch.setMaximumValue(high)
        attach(stretch)
    return renderer


def _error(layer, answer):
    high = _cut(layer, 0.0, 0.98)[1]
    return _ramp(layer, _named_ramp("Magma"), 0, high if high > 0 else 1)


def _scaling(layer, answer):
    low, high = answer.get("range") or _cut(layer, 0.02, 0.98)
    reach = max(1 - low, high - 1, 1e-3)
    return _ramp(layer, _named_ramp("PuOr"), 1 - reach, 1 + reach)


def _departure(layer, answer):
    high = (answer.get("range") or _cut(layer, 0.0, 0.98))[1]
    return _ramp(layer, _named_ramp("Viridis"), 0, high if high > 0 else 1, answer.get("band", 1))


def _values(layer, answer):
    low, high = answer.get("range") or _cut(layer, 0.02, 0.98)
    return _ramp(layer, _named_ramp("Viridis"), low, high if high > low else low + 1, answer.get("band", 1))


def _change(layer, answer):
    reach = max(abs(value) for value in answer.get("range") or _cut(layer, 0.02, 0.98)) or 1
    return _ramp(layer, _named_ramp("RdBu")[::-1], -reach, reach, answer.get("band", 1))


RENDERERS = {"fractions": _fractions, "dominant": _dominant, "date": _date, "composite": _composite,
             "spectral": _spectral, "error": _error, "scaling": _scaling, "departure": _departure, "change": _change,
             "components": _components, "values": _values}


def _cut(layer, lower, upper):
    """Between which values the shares `lower` and `upper` of band 1 lie."""
    provider = layer.dataProvider()
    return provider.cumulativeCut(1, lower, upper, provider.extent(), 250000)


def _named_ramp(name):
    return [QColor(colour) for colour in RAMPS[name].split()]


def _ramp(layer, colours, low, high, band=1):
    """A renderer of a band that runs evenly through `colours` from `low` to `high`."""
    function = QgsColorRampShader(low, high)
    function.setColorRampType(QgsColorRampShader.Type.Interpolated)
    steps = len(colours) - 1
    values = [low + (high - low) * step / steps for step in range(steps + 1)]
    function.setColorRampItemList([QgsColorRampShader.ColorRampItem(value, colour, f"{value:.3g}")
                                   for value, colour in zip(values, colours)])
    stops = [QgsGradientStop(step / steps, colour) for step, colour in enumerate(colours[1:-1], 1)]
    function.setSourceColorRamp(QgsGradientColorRamp(colours[0], colours[-1], False, stops))
    shader = QgsRasterShader()
    shader.setRasterShaderFunction(function)
    renderer = QgsSingleBandPseudoColorRenderer(layer.dataProvider(), band, shader)
    renderer.setClassificationMin(low)
    renderer.setClassificationMax(high)
    return renderer


def style_features(path, answer):
    """Write the `.qml` of lines or polygons: shades of a field from 0 to 1, and the time for which each stands."""
    layer = QgsVectorLayer(str(path), path.stem, "ogr")
    if not layer.isValid():
        return
    ramp, ranges = _named_ramp("Viridis"), []
    for step in range(SHADES):
        colour = ramp[round(step * (len(ramp) - 1) / (SHADES - 1))]
        # a bright line on a bright image is seen by its edges, and a dark one on a dark image
        symbol = _stroke(answer["geometry"], EDGES[colour.lightness() < 128], 1.4)
        core = _stroke(answer["geometry"], colour.name(), 0.7)
        symbol.appendSymbolLayer(core.symbolLayer(0).clone())
        low, high = step / SHADES, (step + 1) / SHADES
        ranges.append(QgsRendererRange(low, high, symbol, f"{answer['shade']} {low:g} - {high:g}"))
    layer.setRenderer(QgsGraduatedSymbolRenderer(answer["shade"], ranges))
    begin, end = answer["times"]
    temporal = layer.temporalProperties()
    temporal.setMode(Qgis.VectorTemporalMode.FeatureDateTimeStartAndEndFromFields)
    temporal.setStartField(begin)
    temporal.setEndField(end)
    temporal.setLimitMode(Qgis.VectorTemporalLimitMode.IncludeBeginExcludeEnd)
    temporal.setIsActive(True)
    layer.saveNamedStyle(str(path.with_suffix(".qml")))


def _stroke(geometry, colour, width):
    """A symbol of lines, or of the outlines of polygons, so many millimetres wide."""
    if geometry == "line":
        return QgsLineSymbol.createSimple({"line_color": colour, "line_width": str(width)})
    return QgsFillSymbol.createSimple({"style": "no", "outline_color": colour, "outline_width": str(width)})


def style_spectra(path, answer):
    """Write the `.qml` of a layer of spectra with points; see `draw_spectra`."""
    layer = QgsVectorLayer(str(path), path.stem, "ogr")
    if layer.isValid():
        draw_spectra(layer, answer)
        layer.saveNamedStyle(str(path.with_suffix(".qml")))


def draw_spectra(layer, answer):
    """Show spectra at their points: a marker in each endmember's colour, labelled by its name."""
    categories = []
    for name, colour in zip(answer["names"], answer["colours"]):
        symbol = QgsMarkerSymbol.createSimple({"name": "circle", "color": colour, "size": "3.5",
                                               "outline_color": "white", "outline_width": "0.5"})
        categories.append(QgsRendererCategory(name, symbol, name))
    # those that the user renames later get the colour of their new name
    other = QgsMarkerSymbol.createSimple({"name": "circle", "color": "#777777", "size": "3.5",
                                          "outline_color": "white", "outline_width": "0.5"})
    other.symbolLayer(0).setDataDefinedProperty(QgsSymbolLayer.Property.FillColor,
                                                QgsProperty.fromExpression(answer["colour"]))
    categories.append(QgsRendererCategory(None, other, tr("other")))
    layer.setRenderer(QgsCategorizedSymbolRenderer("name", categories))
    label = QgsPalLayerSettings()
    label.fieldName = "name"
    words, halo = QgsTextFormat(), QgsTextBufferSettings()
    halo.setEnabled(True)
    halo.setColor(QColor("white"))
    words.setBuffer(halo)
    words.setSize(9)
    label.setFormat(words)
    layer.setLabeling(QgsVectorLayerSimpleLabeling(label))
    layer.setLabelsEnabled(True)
