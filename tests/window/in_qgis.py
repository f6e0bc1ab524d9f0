"""
Run inside a QGIS window: what a user does with `curhu` on Indian Pines, photographed.

Expects in the environment: SUBPIXEL_SCENE, the raster; SUBPIXEL_SHOTS, a folder for the pictures and what was found.
"""

import json
import os
import traceback
from pathlib import Path

import processing
from processing.gui.BatchAlgorithmDialog import BatchAlgorithmDialog
from processing.modeler.ModelerParametersDialog import ModelerParametersDialog
from qgis.core import (Qgis, QgsApplication, QgsDateTimeRange, QgsInterval, QgsProcessingModelAlgorithm, QgsProject,
                       QgsProperty, QgsRasterLayer, QgsTemporalNavigationObject, QgsVectorLayer)
from qgis.PyQt.QtCore import QDateTime, QObject, Qt, QTimer, QUrl, pyqtSlot
from qgis.PyQt.QtGui import QDesktopServices
from qgis.PyQt.QtTest import QTest
from qgis.PyQt.QtWidgets import QComboBox, QDialogButtonBox, QDockWidget, QLabel, QTreeView
from qgis.utils import iface

SHOTS = Path(os.environ["SUBPIXEL_SHOTS"])
FOUND = {}


def shoot(widget, name):
    QgsApplication.processEvents()
    widget.grab().save(str(SHOTS / f"{name}.png"))


def leave():
    (SHOTS / "found.json").write_text(json.dumps(FOUND))
    QgsProject.instance().clear()
    iface.actionExit().trigger()


def guarded(step):
    """A step that ends QGIS with its traceback where it fails, so that the test does not wait in vain."""
    def run(*arguments):
        try:
            step(*arguments)
        except Exception:
            FOUND["error"] = traceback.format_exc()
            leave()
    return run


@guarded
def begin():
    iface.mainWindow().resize(1500, 950)
    layer = QgsRasterLayer(os.environ["SUBPIXEL_SCENE"], "Indian Pines")
    QgsProject.instance().addMapLayer(layer)
    registry = QgsApplication.processingRegistry()
    FOUND["tools"] = [algorithm.id() for algorithm in registry.providerById("subpixel").algorithms()]
    toolbox = iface.mainWindow().findChild(object, "ProcessingToolbox")
    if toolbox:
        toolbox.show()
        for tree in toolbox.findChildren(QTreeView):
            tree.expandToDepth(0)
        search = toolbox.findChild(object, "searchBox")
        if search:
            search.setText("subpixel")
    dialog = processing.createAlgorithmDialog("subpixel:curhu", {
        "INPUT": layer.id(), "COUNT": 6, "ABUNDANCES": str(SHOTS / "abundances.tif"),
        "ENDMEMBERS": str(SHOTS / "endmembers.gpkg"), "REPORT": str(SHOTS / "report.html")})
    look_at_dates()
    look_at_choices()
    dialog.resize(1000, 800)
    dialog.show()
    begin.dialog = dialog
    QTimer.singleShot(1500, photograph)


def look_at_choices():
    """What a list of options shows, and what it hands over, in the dialog, for batch runs and in the modeler."""
    found = FOUND["choices"] = {}
    tool = QgsApplication.processingRegistry().createAlgorithmById("subpixel:mnf")
    dialog = processing.createAlgorithmDialog("subpixel:mnf", {"NOISE": "regression"})
    wrapper = dialog.mainWidget().wrappers["NOISE"]
    found["given"] = [wrapper.wrappedWidget().currentText(), wrapper.parameterValue()]
    wrapper.wrappedWidget().setCurrentIndex(0)
    found["chosen"] = [wrapper.wrappedWidget().currentText(), wrapper.parameterValue()]
    dialog.close()
    batch = BatchAlgorithmDialog(tool, iface.mainWindow())
    found["batch"] = [box.currentText() for box in batch.findChildren(QComboBox)]
    batch.close()
    modeler = ModelerParametersDialog(tool, QgsProcessingModelAlgorithm("model", "model", "model"))
    found["modeler"] = [box.currentText() for box in modeler.findChildren(QComboBox)]
    found["step"] = [source.staticValue() for source in modeler.createAlgorithm().parameterSources()["NOISE"]]
    modeler.close()


def look_at_dates():
    """A dialog of images of two dates, and when the temporal controller shows each of their results."""
    images = []
    for date in ("20200301", "20200515"):
        images.append(str(SHOTS / f"image_{date}.tif"))
        processing.run("gdal:translate", {"INPUT": os.environ["SUBPIXEL_SCENE"], "OUTPUT": images[-1]})
    dialog = processing.createAlgorithmDialog("subpixel:fclssequence", {"IMAGES": images})
    line = dialog.mainWidget().wrappers["DATES"]
    found = FOUND["dates"] = {"placeholder": line.widget.placeholderText(), "values": []}
    for value in ("2001-01-01", ["2001-01-01", "2002-01-01"], QgsProperty.fromExpression("'2003' || '-01-01'"), None):
        line.setValue(value)
        found["values"].append(line.value())
    dialog.close()
    dialog = processing.createAlgorithmDialog("subpixel:fclssequence", {"IMAGES": [os.environ["SUBPIXEL_SCENE"]]})
    found["unknown"] = dialog.mainWidget().wrappers["DATES"].widget.placeholderText()
    dialog.close()
    # QGIS loads what a run gives only from its dialog or its toolbox
    results = processing.runAndLoadResults("subpixel:fclssequence", {
        "IMAGES": images, "COUNT": 3, "ABUNDANCES": str(SHOTS / "sequence")})
    layers = [layer for layer in QgsProject.instance().mapLayers().values()
              if layer.source() in results["ABUNDANCELAYERS"]]
    group = QgsProject.instance().layerTreeRoot().findGroup("Abundances (fclssequence), sequence")
    found["group"] = [node.name() for node in group.findLayers()]
    controller = iface.mapCanvas().temporalController() or QgsTemporalNavigationObject()
    begin, end = (QDateTime.fromString(date, Qt.DateFormat.ISODate) for date in (
        "2020-03-01T00:00:00Z", "2020-07-01T00:00:00Z"))
    controller.setTemporalExtents(QgsDateTimeRange(begin, end))
    controller.setFrameDuration(QgsInterval(1, Qgis.TemporalUnit.Days))
    found["shown"] = {}
    for frame in (0, 74, 75, 100):
        moment = controller.dateTimeRangeForFrameNumber(frame)
        found["shown"][frame] = [layer.name() for layer in layers
                                 if layer.temporalProperties().isVisibleInTemporalRange(moment)]
    QgsProject.instance().layerTreeRoot().removeChildNode(group)
    QgsProject.instance().removeMapLayers([layer.id() for layer in layers])


class Opened(QObject):
    """Takes the files that QGIS would open in a browser."""

    @pyqtSlot(QUrl)
    def take(self, url):
        FOUND["help"] = url.toLocalFile()


@guarded
def photograph():
    shoot(begin.dialog, "dialog")
    photograph.opened = Opened()
    QDesktopServices.setUrlHandler("file", photograph.opened, "take")
    begin.dialog.buttonBox().button(QDialogButtonBox.StandardButton.Help).click()
    QDesktopServices.unsetUrlHandler("file")
    begin.dialog.algorithmFinished.connect(lambda ok, results: QTimer.singleShot(3000, finished))
    begin.dialog.runButton().click()
    QTimer.singleShot(120000, give_up)


@guarded
def finished():
    shoot(begin.dialog, "dialog-after")
    begin.dialog.close()
    layers = {layer.name(): layer for layer in QgsProject.instance().mapLayers().values()}
    for name, layer in layers.items():
        FOUND[name] = {"renderer": layer.renderer().type(), "valid": layer.isValid(), "crs": layer.crs().authid(),
                       "features": layer.featureCount() if isinstance(layer, QgsVectorLayer) else None,
                       "bands": layer.bandCount() if isinstance(layer, QgsRasterLayer) else None}
    abundances = next(layer for name, layer in layers.items() if name == "abundances")
    FOUND["order"] = [layer.name() for layer in QgsProject.instance().layerTreeRoot().layerOrder()]
    iface.setActiveLayer(abundances)
    iface.mapCanvas().setExtent(abundances.extent())
    iface.mapCanvas().refresh()
    QTimer.singleShot(4000, show_map)


@guarded
def show_map():
    shoot(iface.mainWindow(), "map")
    iface.mapCanvas().saveAsImage(str(SHOTS / "canvas.png"))
    explore()


@guarded
def explore():
    """The explorer from its line in the menu, and a click on the map."""
    menu = next(action.menu() for action in iface.rasterMenu().actions() if action.text() == "Subpixel")
    action = next(action for action in menu.actions() if action.text() == "Explorer")
    action.trigger()
    QgsApplication.processEvents()
    canvas, dock = iface.mapCanvas(), iface.mainWindow().findChild(QDockWidget, "SubpixelExplorer")
    QTest.mouseClick(canvas.viewport(), Qt.MouseButton.LeftButton, pos=canvas.rect().center())
    shoot(iface.mainWindow(), "explorer")
    FOUND["explorer"] = {"words": dock.findChild(QLabel, "explorerWords").text(), "open": dock.isVisible()}
    action.trigger()
    FOUND["explorer"]["closed"] = not dock.isVisible()
    show_model()


@guarded
def show_model():
    """The shipped model in the model designer, as a user opens it to exchange a step."""
    from processing.modeler.ModelerDialog import ModelerDialog
    model = QgsApplication.processingRegistry().createAlgorithmById("subpixel:unmixscene")
    show_model.designer = ModelerDialog.create(model)
    show_model.designer.resize(1400, 900)
    show_model.designer.show()
    FOUND["model"] = {"valid": show_model.designer.model().validate()[0],
                      "steps": sorted(show_model.designer.model().childAlgorithms())}
    QTimer.singleShot(1500, photograph_model)


@guarded
def photograph_model():
    shoot(show_model.designer, "modeler")
    show_model.designer.setDirty(False)
    show_model.designer.close()
    leave()


@guarded
def give_up():
    raise TimeoutError("curhu did not finish within two minutes")


QTimer.singleShot(4000, begin)
