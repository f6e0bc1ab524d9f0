"""
Run inside a QGIS window: a long run is started from its dialog, and QGIS is closed while it runs.

Expects in the environment: SUBPIXEL_SCENE, the raster; SUBPIXEL_SHOTS, a folder for the output and what was found.
"""

import json
import os
import time
from pathlib import Path

import processing
from qgis.core import QgsApplication, QgsProject, QgsRasterLayer
from qgis.PyQt.QtCore import QTimer
from qgis.PyQt.QtWidgets import QApplication, QMessageBox
from qgis.utils import iface

SHOTS = Path(os.environ["SUBPIXEL_SHOTS"])
FOUND = {"questions": []}


def begin():
    layer = QgsRasterLayer(os.environ["SUBPIXEL_SCENE"], "scene")
    QgsProject.instance().addMapLayer(layer)
    begin.dialog = processing.createAlgorithmDialog("subpixel:muacc", {
        "INPUT": layer.id(), "COUNT": 6, "ITERATIONS": 100000, "TOLERANCE": 0,
        "ABUNDANCES": str(SHOTS / "new" / "abundances.tif"), "ENDMEMBERS": str(SHOTS / "endmembers.gpkg")})
    begin.dialog.show()
    QTimer.singleShot(500, begin.dialog.runButton().click)
    QTimer.singleShot(1000, close)


def close():
    """Close QGIS as soon as the engine has been at work for some seconds."""
    if not list(SHOTS.glob(".subpixel-*")):
        QTimer.singleShot(200, close)
        return
    end = time.monotonic() + 4
    while time.monotonic() < end:
        QgsApplication.processEvents()
    FOUND["tasks"] = QgsApplication.taskManager().countActiveTasks()
    FOUND["staging"] = len(list(SHOTS.glob(".subpixel-*"))) + len(list(SHOTS.glob("new/.subpixel-*")))
    FOUND["closed"] = time.time()
    (SHOTS / "found.json").write_text(json.dumps(FOUND))
    answer.timer = QTimer()
    answer.timer.timeout.connect(answer)
    answer.timer.start(200)
    leave()


def leave():
    """Close QGIS again and again, as who is told that tasks are cancelled first."""
    QTimer.singleShot(1000, leave)
    iface.actionExit().trigger()


def answer():
    """Answer whatever QGIS asks before it closes: it is to close, and the project need not be saved."""
    box = QApplication.activeModalWidget()
    if isinstance(box, QMessageBox):
        FOUND["questions"].append(box.text())
        (SHOTS / "found.json").write_text(json.dumps(FOUND))
        for button in (QMessageBox.StandardButton.Discard, QMessageBox.StandardButton.Yes,
                       QMessageBox.StandardButton.Ok):
            if box.button(button):
                box.button(button).click()
                return


iface.initializationCompleted.connect(begin)
