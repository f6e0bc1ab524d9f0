"""The dock in which the explorer shows pixels, and the map tool that picks them."""

from dataclasses import dataclass

from qgis.core import Qgis, QgsApplication, QgsProject, QgsRasterLayer, QgsVectorLayer
from qgis.gui import QgsCollapsibleGroupBox, QgsDockWidget, QgsMapLayerComboBox, QgsMapToolEmitPoint
from qgis.PyQt.QtCore import QSize, Qt, QTimer
from qgis.PyQt.QtGui import QColor, QIcon, QPixmap
from qgis.PyQt.QtWidgets import (QComboBox, QFileDialog, QFormLayout, QLabel, QListWidget, QListWidgetItem, QMenu,
                                 QSizePolicy, QSplitter, QToolBar, QToolButton, QVBoxLayout, QWidget)

from ...processing_provider.words import tr
from .charts import charts_of
from .marker import Marker
from .pixels import NothingThere, Rasters
from .plot import Plot
from .reading import Choice, Reading, read, words_of
from .sending import NotSent, add_to, field_of, new_file, new_layer
from .sequences import sequences_of
from .tables import write_tables

COLOURS = ("#00a5a5", "#b8005c", "#5b3fd6", "#7a9a01", "#ff8c00", "#c46bff", "#008bff", "#a0522d")   # of pins
CROSS = "#e31a1c"


@dataclass
class Pin:
    """A pixel that stays: what was read there, and how it is called and drawn."""

    name: str
    colour: str
    reading: Reading
    marker: Marker


def icon(name):
    """One of QGIS's own icons."""
    return QgsApplication.getThemeIcon(f"/{name}.svg")


class ExplorerDock(QgsDockWidget):
    """Layers to choose, the plots of the pixel that was clicked, and the list of pinned ones."""

    def __init__(self, canvas, parent=None):
        super().__init__(tr("Subpixel Explorer"), parent)
        self.setObjectName("SubpixelExplorer")
        self._canvas, self._project, self._rasters = canvas, QgsProject.instance(), Rasters()
        self._found, self._sequences, self._shown, self._pins, self._count = [], [], None, [], 0
        self._tool = QgsMapToolEmitPoint(canvas)
        self._tool.canvasClicked.connect(self._clicked)
        self._cross = Marker(canvas, CROSS)
        self._build()
        self._later = QTimer(self, singleShot=True, interval=0)   # layers come and go by many signals at once
        self._later.timeout.connect(self._look_at_sequences)
        root = self._project.layerTreeRoot()
        for signal in (root.addedChildren, root.removedChildren, root.nameChanged):
            signal.connect(self._soon)
        self._project.layersAdded.connect(self._added)
        self._project.layersRemoved.connect(self._removed)
        self._project.cleared.connect(self.clear)
        self._canvas.destinationCrsChanged.connect(self._place_markers)
        self.opened.connect(self._begin)
        self.closed.connect(self._end)
        self._added(list(self._project.mapLayers().values()))

    # what it consists of

    def _build(self):
        self._image, self._endmembers, self._abundances = (QgsMapLayerComboBox() for _ in range(3))
        self._image.setFilters(Qgis.LayerFilter.RasterLayer)
        self._endmembers.setFilters(Qgis.LayerFilter.VectorLayer)
        self._abundances.setFilters(Qgis.LayerFilter.RasterLayer)
        self._sequence = QComboBox()
        form = QFormLayout()
        for words, combo in ((tr("Image"), self._image), (tr("Endmembers"), self._endmembers),
                             (tr("Abundances"), self._abundances), (tr("Sequence"), self._sequence)):
            combo.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
            form.addRow(words, combo)
        for combo in (self._image, self._endmembers, self._abundances):
            combo.setAllowEmptyLayer(True)
            combo.setLayer(None)
            combo.layerChanged.connect(self._again)
        self._sequence.addItem("")
        self._sequence.currentIndexChanged.connect(self._again)
        layers = QgsCollapsibleGroupBox(tr("Layers to show"))
        layers.setLayout(form)
        self._words = QLabel(objectName="explorerWords")
        self._words.setWordWrap(True)
        self._words.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self._plot = Plot()
        self._list = QListWidget()
        self._list.setToolTip(tr("Pinned pixels: check those to draw, double-click to rename"))
        self._list.itemChanged.connect(self._edited)
        self._list.itemSelectionChanged.connect(self._selected)
        parts = QSplitter(Qt.Orientation.Vertical)
        for part, share in ((self._plot, 5), (self._list, 1)):
            parts.addWidget(part)
            parts.setStretchFactor(parts.count() - 1, share)
        parts.setSizes([600, 90])
        inside, column = QWidget(), QVBoxLayout()
        column.setContentsMargins(6, 6, 6, 6)
        for part in (self._tools(), layers, self._words):
            column.addWidget(part)
        column.addWidget(parts, 1)
        inside.setLayout(column)
        self.setWidget(inside)
        self._invite()
        self._draw()

    def _tools(self):
        bar = QToolBar()
        bar.setIconSize(QSize(18, 18))
        bar.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextUnderIcon)

        def button(picture, words, explained, act):
            action = bar.addAction(icon(picture), words, act)
            action.setToolTip(explained)
            return action

        self._pick = button("mActionIdentify", tr("Pick"), tr("Click on the map to see a pixel"), self._take_up_tool)
        self._pick.setCheckable(True)
        self._tool.setAction(self._pick)
        button("mActionPinLabels", tr("Pin"), tr("Keep the pixel that is shown"), self.pin)
        button("symbologyRemove", tr("Remove"), tr("Remove the pins that are selected in the list"),
               self.remove_selected)
        send = QToolButton()
        send.setIcon(icon("mActionCapturePoint"))
        send.setText(tr("Send"))
        send.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextUnderIcon)
        send.setToolTip(tr("Add the spectra of the selected pins, else of all checked ones, to a layer of endmembers"))
        send.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self._targets = QMenu(send)
        self._targets.aboutToShow.connect(self._list_targets)
        send.setMenu(self._targets)
        bar.addWidget(send)
        button("mActionSaveMapAsImage", tr("Plot"), tr("Save the plot as PNG or SVG"), self._ask_for_plot)
        button("mActionOpenTable", tr("Numbers"), tr("Save the numbers as CSV"), self._ask_for_tables)
        return bar

    # the tool and its markers

    def _begin(self):
        self._later.start()
        self._take_up_tool()
        for marker in self._markers():
            marker.show()

    def _end(self):
        self._canvas.unsetMapTool(self._tool)
        for marker in self._markers():
            marker.hide()

    def _take_up_tool(self):
        self._canvas.setMapTool(self._tool)

    def _markers(self):
        return [pin.marker for pin in self._pins] + [self._cross] * (self._shown is not None)

    def _place_markers(self):
        for marker in self._markers():
            marker.updatePosition()

    def take_down(self):
        """Take everything off the map, for good."""
        self._end()
        self._later.stop()
        for marker in [*(pin.marker for pin in self._pins), self._cross]:
            marker.take_off()

    # the project's layers

    def _added(self, layers):
        """Leave out what cannot be chosen, and choose what was not chosen yet from new layers."""
        everything = self._project.mapLayers().values()
        rasters = [layer for layer in everything if isinstance(layer, QgsRasterLayer)]
        several = [layer for layer in rasters if layer.bandCount() > 1]
        for combo in (self._image, self._abundances):
            combo.setExceptedLayerList([layer for layer in rasters if layer not in several])
        self._endmembers.setExceptedLayerList([layer for layer in everything if isinstance(layer, QgsVectorLayer)
                                               and field_of(layer) < 0])
        for layer in layers:
            if isinstance(layer, QgsVectorLayer) and layer.isValid() and field_of(layer) >= 0:
                self._choose(self._endmembers, layer)
            elif layer in several and layer.isValid():
                facts = self._rasters.facts(layer)
                if facts.tags.get("SUBPIXEL_OUTPUT") == "ABUNDANCES" and "ACQUISITION_DATE" not in facts.tags:
                    self._choose(self._abundances, layer)
                elif facts.wavelengths:
                    self._choose(self._image, layer)
        self._soon()

    @staticmethod
    def _choose(combo, layer):
        if combo.currentLayer() is None:
            combo.setLayer(layer)

    def _removed(self, ids):
        self._rasters.forget(ids)
        self._soon()

    def _soon(self, *_):
        self._later.start()

    def _look_at_sequences(self):
        """List the project's sequences anew; one that was chosen stays so, else the first of fractions is."""
        before, chosen, found = self._found, self._chosen_sequence(), sequences_of(self._project, self._rasters)
        if found == before:
            return
        self._found, self._sequences = found, [each for each in found if each.output != "UNCERTAINTY"]
        new = (each for each in self._sequences if each not in before and each.output in ("ABUNDANCES", "STATES"))
        same = (each for each in self._sequences if chosen and each.name == chosen.name)
        wanted = next(same, None) or next(new, None)
        self._sequence.blockSignals(True)
        self._sequence.clear()
        self._sequence.addItems(["", *(each.name for each in self._sequences)])
        self._sequence.setCurrentIndex(1 + self._sequences.index(wanted) if wanted else 0)
        self._sequence.blockSignals(False)
        self._again()

    def _chosen_sequence(self):
        row = self._sequence.currentIndex() - 1
        return self._sequences[row] if 0 <= row < len(self._sequences) else None

    def choice(self):
        """The layers that are chosen, as a `Choice`."""
        sequence = self._chosen_sequence()
        uncertainty = sequence and next((each for each in self._found if each.is_uncertainty_of(sequence)), None)
        return Choice(self._image.currentLayer(), self._endmembers.currentLayer(), self._abundances.currentLayer(),
                      sequence, uncertainty)

    # pixels

    def _clicked(self, point, button):
        if button == Qt.MouseButton.LeftButton:
            self.pick(point)

    def pick(self, point, crs=None):
        """Show the pixel at a point of the map, or of another CRS."""
        crs = crs or self._canvas.mapSettings().destinationCrs()
        self._list.clearSelection()
        self._shown = None
        try:
            self._show(read(self.choice(), point, crs, self._rasters, self._project))
        except NothingThere as problem:
            self._cross.hide()
            self._say(str(problem))
            self._draw()

    def _again(self, *_):
        """Read the shown pixel again from other layers."""
        if self._shown is not None:
            self.pick(self._shown.point, self._shown.crs)

    def _show(self, reading):
        self._shown = reading
        self._cross.put(reading.point, reading.crs)
        self._say("\n".join([words_of(reading), *reading.notes]))
        self._draw()

    def _draw(self):
        self._list.setVisible(bool(self._pins))
        self._plot.show_charts(charts_of(self._shown, [(pin.name, pin.colour, pin.reading) for pin in self._checked()]))

    def _say(self, words):
        self._words.setText(words)

    def _invite(self):
        self._say(tr("Click on the map to see what is in a pixel."))

    # pins

    def pin(self):
        """Keep the shown pixel."""
        if self._shown is None:
            self._say(tr("Click on the map first: the pixel that is shown can be pinned."))
            return
        if any(pin.reading is self._shown for pin in self._pins):
            self._say(tr("This pixel is pinned already."))
            return
        self._count += 1
        used = [pin.colour for pin in self._pins]
        colour = min(COLOURS, key=used.count)
        marker = Marker(self._canvas, colour, str(self._count))
        marker.put(self._shown.point, self._shown.crs)
        pin = Pin(tr("Pixel {number}").format(number=self._count), colour, self._shown, marker)
        self._pins.append(pin)
        swatch = QPixmap(14, 14)
        swatch.fill(QColor(colour))
        item = QListWidgetItem(QIcon(swatch), pin.name)
        item.setFlags(item.flags() | Qt.ItemFlag.ItemIsUserCheckable | Qt.ItemFlag.ItemIsEditable)
        item.setCheckState(Qt.CheckState.Checked)
        self._list.addItem(item)
        self._draw()

    def _edited(self, item):
        self._pins[self._list.row(item)].name = item.text()
        self._draw()

    def _selected(self):
        rows = [self._list.row(item) for item in self._list.selectedItems()]
        if len(rows) == 1:
            self._show(self._pins[rows[0]].reading)

    def _checked(self):
        return [pin for row, pin in enumerate(self._pins)
                if self._list.item(row) and self._list.item(row).checkState() == Qt.CheckState.Checked]

    def remove_selected(self):
        """Remove the pins that are selected in the list."""
        self._list.blockSignals(True)
        for item in self._list.selectedItems():
            row = self._list.row(item)
            self._pins.pop(row).marker.take_off()
            self._list.takeItem(row)
        self._list.blockSignals(False)
        self._draw()

    def clear(self):
        """Forget the shown pixel and all pins."""
        self._list.clear()
        for pin in self._pins:
            pin.marker.take_off()
        self._pins, self._shown, self._count = [], None, 0
        self._cross.hide()
        self._invite()
        self._draw()

    # what leaves it

    def _list_targets(self):
        self._targets.clear()
        for layer in self._project.mapLayers().values():
            if isinstance(layer, QgsVectorLayer) and field_of(layer) >= 0:
                self._targets.addAction(layer.name(), lambda checked=False, layer=layer: self.send(layer))
        self._targets.addSeparator()
        self._targets.addAction(tr("New layer in memory"), lambda: self.send(None))
        self._targets.addAction(tr("New GeoPackage..."), self._ask_for_layer)

    def _to_send(self):
        rows = sorted(self._list.row(item) for item in self._list.selectedItems())
        pins = [self._pins[row] for row in rows] or self._checked()
        return [(pin.name, pin.reading) for pin in pins]

    def send(self, target):
        """Add pins to a layer of spectra, to a new one in memory (None) or to one in a new file (its path)."""
        pins = self._to_send()
        if not pins:
            self._say(tr("Pin the pixels first whose spectra are to be endmembers."))
            return
        try:
            if isinstance(target, QgsVectorLayer):
                add_to(target, pins)
            else:
                target = self._project.addMapLayer(new_layer(pins) if target is None else new_file(target, pins))
        except NotSent as problem:
            self._say(str(problem))
            return
        self._say(tr("{count} spectra added to {layer}.").format(count=len(pins), layer=target.name()))

    def _ask_for_layer(self):
        path, _ = QFileDialog.getSaveFileName(self, tr("New layer of endmembers"), "", "GeoPackage (*.gpkg)")
        if path:
            self.send(path if path.lower().endswith(".gpkg") else f"{path}.gpkg")

    def _ask_for_plot(self):
        path, kind = QFileDialog.getSaveFileName(self, tr("Save the plot"), "", "PNG (*.png);;SVG (*.svg)")
        if path:
            self.save_plot(path if path.lower().endswith((".png", ".svg")) else path + kind[-5:-1])

    def save_plot(self, path):
        """Save what is drawn as a picture or an SVG."""
        if not self._plot.charts:
            self._say(tr("There is no plot yet. Click on the map first."))
        elif self._plot.save(path):
            self._say(tr("The plot is in {path}.").format(path=path))
        else:
            self._say(tr("{path} cannot be written. Choose another place.").format(path=path))

    def _ask_for_tables(self):
        path, _ = QFileDialog.getSaveFileName(self, tr("Save the numbers"), "", "CSV (*.csv)")
        if path:
            self.save_tables(path if path.lower().endswith(".csv") else f"{path}.csv")

    def save_tables(self, path):
        """Save the numbers of the shown pixel and of the checked pins."""
        readings = [(pin.name, pin.reading) for pin in self._checked()]
        if self._shown is not None and all(reading is not self._shown for _, reading in readings):
            readings.append((tr("Pixel"), self._shown))
        if not readings:
            self._say(tr("There are no numbers yet. Click on the map first."))
            return
        try:
            self._say(tr("The numbers are in {files}.").format(files=", ".join(write_tables(path, readings))))
        except OSError as problem:
            self._say(tr("{path} cannot be written: {reason}. Choose another place.").format(
                path=path, reason=problem.strerror))
