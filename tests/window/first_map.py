"""
Run inside the window of a fresh QGIS: from the plugin's zip to styled maps with clicks alone, photographed.

Expects in the environment: SUBPIXEL_ZIP, the package; SUBPIXEL_SCENE, a raster; SUBPIXEL_SHOTS, a folder for the
pictures and what was found. Everything is done with the mouse and the keyboard, on widgets that can be seen.
"""

import json
import os
import sys
import time
import traceback
from pathlib import Path

import qgis.utils
from qgis.core import QgsProject, QgsRasterLayer
from qgis.gui import QgsFileWidget, QgsProcessingAlgorithmDialogBase
from qgis.PyQt.QtCore import QPoint, QRect, Qt, QTimer
from qgis.PyQt.QtGui import QColor, QImage, QPainter, QPen
from qgis.PyQt.QtTest import QTest
from qgis.PyQt.QtWidgets import (QAbstractButton, QApplication, QDialog, QLabel, QLineEdit, QMessageBox, QProgressBar,
                                 QToolButton, QTreeView, QWidget)
from qgis.utils import iface

SHOTS = Path(os.environ["SUBPIXEL_SHOTS"])
FOUND = {"seconds": {}}
PATIENCE = 30    # seconds to wait for what a click brings up
MARK = QColor(220, 40, 40)


class Journey:
    """Takes the steps of a generator, which yields what it waits for: a condition, until when, and its name."""

    def __init__(self, steps):
        self._steps, self._awaited, self._until, self._name = steps, None, 0, ""
        self._timer = QTimer()
        self._timer.timeout.connect(self._look)
        self._timer.start(100)

    def _look(self):
        try:
            there = self._awaited() if self._awaited else None
            if there or not self._awaited:
                self._awaited, self._until, self._name = self._steps.send(there)
            elif time.monotonic() > self._until:
                photograph("stuck")
                raise TimeoutError(f"Waited in vain for {self._name}.")
        except StopIteration:
            self._leave()
        except Exception:
            FOUND["error"] = traceback.format_exc()
            self._leave()

    def _leave(self):
        self._timer.stop()
        (SHOTS / "found.json").write_text(json.dumps(FOUND))
        if "error" in FOUND:
            os._exit(1)   # an open dialog would hold QGIS
        QgsProject.instance().clear()
        QTimer.singleShot(0, iface.actionExit().trigger)


# looking, waiting, clicking


def until(condition, name, patience=PATIENCE):
    """Wait until a condition gives something true, and return that."""
    there = yield condition, time.monotonic() + patience, name
    return there


def pause(seconds):
    end = time.monotonic() + seconds
    yield from until(lambda: time.monotonic() > end, "time to pass")


def plain(text):
    """Words without the mark of their shortcut."""
    return text.replace("&", "")


def seen(kind, name=None, text=None, within=None):
    """The visible widget of a kind, with this object name or text; None where there is none."""
    for widget in within.findChildren(kind) if within else QApplication.allWidgets():
        if isinstance(widget, kind) and widget.isVisible() and (name is None or widget.objectName() == name) and (
                text is None or plain(widget.text()) == text):
            return widget
    return None


def find(kind, name=None, text=None, within=None):
    """Wait for a visible widget."""
    widget = yield from until(lambda: seen(kind, name, text, within), f"{kind.__name__} {name or text or ''}")
    return widget


def click(widget, place=None, twice=False):
    """Click on a widget when this step is over: what opens may hold the program until it is closed."""
    place = place or widget.rect().center()
    for act in [QTest.mouseClick, QTest.mouseDClick][:1 + twice]:
        QTimer.singleShot(0, lambda act=act: act(widget, Qt.MouseButton.LeftButton, pos=place))
    yield from pause(0.3)


def write(line, text):
    """Replace the text of a line by typing."""
    yield from click(line)
    QTest.keyClick(line, Qt.Key.Key_A, Qt.KeyboardModifier.ControlModifier)
    QTest.keyClicks(line, text)
    yield from pause(0.3)


def choose(menus, action, shot=None):
    """Open a menu of the menu bar, and those inside it, and click on an action."""
    bar = iface.mainWindow().menuBar()
    for holder, menu in zip([bar, *menus], menus):
        yield from click(holder, holder.actionGeometry(menu.menuAction()).center())
        yield from until(menu.isVisible, f"the menu {menu.title()}")
    if shot:
        photograph(shot, menu, menu.actionGeometry(action))
    yield from click(menu, menu.actionGeometry(action).center())


def centre(dialog, width, height):
    """Put a dialog where a window manager would; the screen of this run has none."""
    screen = QApplication.primaryScreen().geometry()
    dialog.resize(width, height)
    dialog.move((screen.width() - width) // 2, (screen.height() - height) // 2)
    yield from pause(0.5)


# pictures


def photograph(name, widget=None, place=None):
    """Save a picture of the screen, with a ring around the widget, or the place on it, that is clicked next."""
    shot = QApplication.primaryScreen().grabWindow(0).toImage()
    painter = QPainter(shot)
    painter.setPen(QPen(QColor(90, 90, 90), 2))
    for dialog in QApplication.topLevelWidgets():
        if isinstance(dialog, QDialog) and dialog.isVisible():
            painter.drawRect(dialog.frameGeometry())
    if widget is not None:
        place = place or widget.rect()
        painter.setPen(QPen(MARK, 3))
        painter.drawRoundedRect(QRect(widget.mapToGlobal(place.topLeft()), place.size()).adjusted(-4, -4, 4, 4), 6, 6)
    painter.end()
    shot.convertToFormat(QImage.Format.Format_RGB888).save(str(SHOTS / f"{name}.png"))


# the journey


def journey():
    iface.mainWindow().setGeometry(QApplication.primaryScreen().geometry())
    yield from pause(1)
    while iface.messageBar().currentItem():   # QGIS's own words on a first start without a network
        button = next(child for child in iface.messageBar().children() if isinstance(child, QToolButton))
        yield from click(button, QPoint(8, 8))   # beside its menu
    yield from install_plugin()
    yield from install_engine()
    yield from add_scene()
    yield from unmix()
    yield from draw_composite()
    FOUND["layers"] = {layer.name(): {
        "renderer": layer.renderer().type(), "crs": layer.crs().authid(),
        "size": layer.bandCount() if isinstance(layer, QgsRasterLayer) else layer.featureCount()}
        for layer in QgsProject.instance().mapLayers().values()}


def install_plugin():
    """Plugins > Manage and Install Plugins > Install from ZIP."""
    FOUND["before"] = sorted(qgis.utils.plugins)
    yield from choose([iface.pluginMenu()], iface.actionManagePlugins(), "01-plugins-menu")
    manager = yield from find(QDialog, "QgsPluginManagerBase")
    yield from centre(manager, 1000, 640)
    pages = seen(QWidget, "mOptionsListWidget", within=manager)
    row = next(pages.item(row) for row in range(pages.count()) if "ZIP" in pages.item(row).text())
    yield from click(pages.viewport(), pages.visualItemRect(row).center())
    file = yield from find(QgsFileWidget, "mZipFileWidget", within=manager)
    yield from write(file.lineEdit(), os.environ["SUBPIXEL_ZIP"])
    button = seen(QAbstractButton, "buttonInstallFromZip", within=manager)
    photograph("02-install-from-zip", button)
    yield from click(button)
    warning = yield from find(QMessageBox)   # of plugins that come from elsewhere
    yield from click(warning.button(QMessageBox.StandardButton.Yes))
    yield from until(lambda: "subpixel" in qgis.utils.plugins, "the plugin")
    FOUND["plugin"] = qgis.utils.pluginMetadata("subpixel", "version"), sys.modules["subpixel"].__file__
    yield from pause(1)
    yield from click(seen(QAbstractButton, text="Close", within=manager))


def install_engine():
    """From the message bar to the page in the options; Install, then Check."""
    offer = yield from find(QAbstractButton, "subpixelOpenEngine")
    yield from pause(1)   # until the message is painted
    photograph("03-engine-missing", offer)
    yield from click(offer)
    page = yield from find(QWidget, "subpixelEngine")
    yield from centre(page.window(), 1000, 700)
    yield from pause(1)   # until the page knows what is there
    photograph("04-install", seen(QAbstractButton, "install", within=page))
    begun = time.monotonic()
    yield from click(seen(QAbstractButton, "install", within=page))
    yield from until(lambda: seen(QProgressBar, "progress", within=page) and
                     seen(QProgressBar, "progress", within=page).value() >= 40, "progress", 400)
    photograph("05-installing")
    status = yield from until(lambda: seen(QLabel, "status", within=page), "the end of the installation", 600)
    FOUND["seconds"]["install"], FOUND["installed"] = time.monotonic() - begun, status.text()
    check = seen(QAbstractButton, "check", within=page)
    yield from until(check.isEnabled, "what is installed")
    yield from click(check)
    yield from until(lambda: not seen(QLabel, "status", within=page), "the start of the check")
    status = yield from find(QLabel, "status", within=page)
    FOUND["checked"] = status.text()
    yield from until(check.isEnabled, "what is installed")
    photograph("06-checked", seen(QAbstractButton, text="OK", within=page.window()))
    yield from click(seen(QAbstractButton, text="OK", within=page.window()))


def add_scene():
    """Layer > Add Layer > Add Raster Layer."""
    yield from choose([iface.layerMenu(), iface.addLayerMenu()], iface.actionAddRasterLayer())
    manager = yield from find(QDialog, "QgsDataSourceManagerDialog")
    yield from centre(manager, 1000, 640)
    yield from write(seen(QgsFileWidget, "mFileWidget", within=manager).lineEdit(), os.environ["SUBPIXEL_SCENE"])
    add = yield from find(QAbstractButton, text="Add", within=manager)
    photograph("07-add-scene", add)
    yield from click(add)
    yield from until(lambda: QgsProject.instance().count() == 1, "the scene")
    yield from click(seen(QAbstractButton, text="Close", within=manager))


def unmix():
    """Processing > Toolbox, a tool, its dialog."""
    menu = next(action.menu() for action in iface.mainWindow().menuBar().actions()
                if plain(action.text()) == "Processing")
    yield from choose([menu], next(action for action in menu.actions() if plain(action.text()) == "Toolbox"))
    dialog = yield from open_tool("unmixing", "CUR-HU", "08-toolbox")
    yield from write(dialog.mainWidget().wrappers["COUNT"].wrappedWidget().findChild(QLineEdit), "6")
    yield from run(dialog, 3, "09-dialog")
    photograph("10-abundances")


def draw_composite():
    """A second tool, on the layer that is chosen among those that the first one gave."""
    tree, root = iface.layerTreeView(), QgsProject.instance().layerTreeRoot()
    layer, = QgsProject.instance().mapLayersByName("Abundances (curhu)")
    yield from click(tree.viewport(), tree.visualRect(tree.node2index(root.findLayer(layer))).center())
    dialog = yield from open_tool("composite", "Colour composite")
    yield from run(dialog, 4, "11-composite-dialog")
    photograph("12-composite")


def open_tool(words, label, shot=None):
    """Find a tool in the toolbox by typing, and open its dialog."""
    toolbox = yield from find(QWidget, "ProcessingToolbox")
    yield from write(seen(QLineEdit, "searchBox", within=toolbox), words)
    tree = seen(QTreeView, within=toolbox)
    role, way = Qt.ItemDataRole.DisplayRole, Qt.MatchFlag.MatchStartsWith | Qt.MatchFlag.MatchRecursive
    tool, = yield from until(lambda: tree.model().match(tree.model().index(0, 0), role, label, 1, way), label)
    if shot:
        photograph(shot, tree.viewport(), tree.visualRect(tool))
    yield from click(tree.viewport(), tree.visualRect(tool).center(), twice=True)
    dialog = yield from find(QgsProcessingAlgorithmDialogBase)
    yield from centre(dialog, 1000, 700)
    return dialog


def run(dialog, layers, shot):
    """Run a tool, wait for so many layers in the project, and close its dialog."""
    photograph(shot, dialog.runButton())
    begun = time.monotonic()
    yield from click(dialog.runButton())
    yield from until(lambda: QgsProject.instance().count() == layers, f"{layers} layers", 180)
    FOUND["seconds"][shot] = time.monotonic() - begun
    close = yield from find(QAbstractButton, text="Close", within=dialog)
    yield from until(close.isEnabled, "the end of the run")
    yield from click(close)
    yield from pause(2)   # until the map is drawn


QTimer.singleShot(3000, lambda: setattr(Journey, "now", Journey(journey())))
