"""The explorer as a part of QGIS's window: its button, its line in the menu Raster, and its dock."""

from qgis.PyQt.QtCore import Qt
from qgis.PyQt.QtGui import QAction, QIcon

from ...processing_provider.algorithm import ICON
from ...processing_provider.words import tr
from .dock import ExplorerDock

MENU = "Subpixel"
TOOLBOX = "ProcessingToolbox"
WIDTH, HEIGHT = 520, 800   # of the dock at first, where the window has the room


class Explorer:
    """Opens and closes the dock."""

    def __init__(self, iface):
        self._iface, self._dock = iface, None
        self.action = QAction(QIcon(ICON), tr("Explorer"), iface.mainWindow())
        self.action.setObjectName("SubpixelExplorerAction")
        self.action.setToolTip(tr("Subpixel Explorer: what is in a pixel"))
        self.action.setCheckable(True)
        self.action.triggered.connect(self.show)
        iface.addPluginToRasterMenu(MENU, self.action)
        iface.addRasterToolBarIcon(self.action)

    def show(self, wanted=True):
        """Open the dock, or close it."""
        if self._dock is None:
            self._dock = ExplorerDock(self._iface.mapCanvas(), self._iface.mainWindow())
            self._dock.openedStateChanged.connect(self.action.setChecked)
            # beside the toolbox, not below it: plots need the height
            self._iface.addTabifiedDockWidget(Qt.DockWidgetArea.RightDockWidgetArea, self._dock, [TOOLBOX], True)
            for size, along in ((WIDTH, Qt.Orientation.Horizontal), (HEIGHT, Qt.Orientation.Vertical)):
                self._iface.mainWindow().resizeDocks([self._dock], [size], along)
        self._dock.setUserVisible(wanted)

    @property
    def dock(self):
        """The dock, None before it was opened for the first time."""
        return self._dock

    def unload(self):
        """Take everything back."""
        self._iface.removePluginRasterMenu(MENU, self.action)
        self._iface.removeRasterToolBarIcon(self.action)
        if self._dock is not None:
            self._dock.openedStateChanged.disconnect(self.action.setChecked)
            self._dock.take_down()
            self._iface.removeDockWidget(self._dock)
            self._dock.deleteLater()
            self._dock = None
        self.action.deleteLater()
