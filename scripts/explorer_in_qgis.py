"""Run inside a QGIS window by scripts/explorer-picture: the explorer with a scene and with a sequence."""

import os
import traceback
from pathlib import Path

from qgis.core import QgsApplication, QgsPointXY, QgsProject, QgsRasterLayer, QgsVectorLayer
from qgis.PyQt.QtCore import QTimer
from qgis.PyQt.QtWidgets import QDockWidget
from qgis.utils import iface, plugins
from subpixel.processing_provider.styles import RENDERERS
from subpixel.ui.explorer.part import Explorer

WORK, SHOTS = Path(os.environ["SUBPIXEL_WORK"]), Path(os.environ["SUBPIXEL_SHOTS"])
RED_GREEN_BLUE = [43, 27, 12]   # EnMAP's bands
PLACES = ((0.43, 0.55), (0.14, 0.55), (0.62, 0.24), (0.5, 0.42))   # shares of the extent, from its lower left corner


def guarded(step):
    """A step that ends QGIS where it fails."""
    def run():
        try:
            step()
        except Exception:
            (WORK / "error.txt").write_text(traceback.format_exc())
            leave()
    return run


def leave():
    QgsProject.instance().clear()
    iface.actionExit().trigger()


def shoot(name):
    iface.messageBar().clearWidgets()
    QgsApplication.processEvents()
    iface.mainWindow().grab().save(str(SHOTS / name))


def at(layer, across, up):
    extent = layer.extent()
    return QgsPointXY(extent.xMinimum() + across * extent.width(), extent.yMinimum() + up * extent.height())


def raster(path, name, group=None):
    layer = QgsRasterLayer(str(path), name)
    QgsProject.instance().addMapLayer(layer, group is None)
    if group is not None:
        group.addLayer(layer)
    return layer


@guarded
def scene():
    iface.mainWindow().resize(1500, 900)
    begin.explorer = next(part for part in plugins["subpixel"].parts if isinstance(part, Explorer))
    image = raster(os.environ["SUBPIXEL_SCENE"], "EnMAP Potsdam")
    image.setRenderer(RENDERERS["spectral"](image, {"rgb": RED_GREEN_BLUE}))
    abundances = raster(WORK / "abundances.tif", "Abundances")
    QgsProject.instance().layerTreeRoot().findLayer(abundances.id()).setItemVisibilityChecked(False)
    QgsProject.instance().addMapLayer(QgsVectorLayer(str(WORK / "endmembers.gpkg"), "Endmembers"))
    iface.mainWindow().findChild(QDockWidget, "ResultsViewer").close()
    begin.explorer.action.trigger()
    dock = begin.explorer.dock
    iface.mapCanvas().setExtent(image.extent())
    for place in PLACES[:3]:
        dock.pick(at(image, *place), image.crs())
        dock.pin()
    dock.pick(at(image, *PLACES[3]), image.crs())
    QTimer.singleShot(3000, sequence)


@guarded
def sequence():
    shoot("explorer.png")
    QgsProject.instance().clear()
    root = QgsProject.instance().layerTreeRoot()
    images = sorted((WORK / "images").glob("*.tif"))
    image = raster(images[-1], "Image of the last date")
    raster(sorted((WORK / "fractions").glob("*.tif"))[-1], "Abundances")
    for name, folder in (("Uncertainty", "uncertainty"), ("States", "states")):
        group = root.insertGroup(0, name)
        group.setExpanded(False)
        for path in sorted((WORK / folder).glob("*.tif")):
            raster(path, path.stem, group)
    QgsProject.instance().addMapLayer(QgsVectorLayer(str(WORK / "endmembers.gpkg"), "Endmembers"))
    iface.mapCanvas().setExtent(image.extent())
    QTimer.singleShot(1500, look_at_sequence)


@guarded
def look_at_sequence():
    dock = begin.explorer.dock
    dock._abundances.setLayer(QgsProject.instance().mapLayersByName("Abundances")[0])
    dock.pick(at(dock.choice().image, 0.62, 0.5), dock.choice().image.crs())
    QTimer.singleShot(2500, finish)


@guarded
def finish():
    shoot("explorer-sequence.png")
    leave()


def begin():
    scene()


QTimer.singleShot(4000, begin)
