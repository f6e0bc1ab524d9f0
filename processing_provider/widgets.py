"""Widgets of the tools' dialogs beyond QGIS's own. They need QGIS's window, so parameters name them by their path."""

import os

from processing.gui.wrappers import DIALOG_MODELER, DIALOG_STANDARD, WidgetWrapper, dialogTypes
from qgis.core import (QgsExpressionContext, QgsProcessingContext, QgsProcessingUtils, QgsProject, QgsProperty,
                       QgsRasterLayer)
from qgis.gui import QgsGui
from qgis.PyQt.QtWidgets import QComboBox, QLineEdit

from ..engine import dates
from .parameters import files_of_folders, words_of_dates
from .rasters import date_of
from .words import tr

MOST = 60   # images whose dates are looked up while somebody waits


def kind_of(dialog):
    """Whether a dialog is the standard one, the modeler's or that of batch runs."""
    return dialogTypes.get(type(dialog).__name__, DIALOG_STANDARD)


def own_of_qgis(parameter, dialog):
    """QGIS's own wrapper of a parameter."""
    registry = QgsGui.processingGuiRegistry()
    wrapper = registry.createModelerParameterWidget(dialog.model, dialog.childId, parameter, dialog.context) \
        if kind_of(dialog) == DIALOG_MODELER else registry.createParameterWidgetWrapper(parameter, kind_of(dialog))
    wrapper.setDialog(dialog)
    return wrapper


class ChoiceWidget(WidgetWrapper):
    """QGIS's own list of options, but with `words` where it shows the values that scripts use."""

    def __new__(cls, parameter, dialog, row=0, col=0, words=None):
        wrapper = own_of_qgis(parameter, dialog)
        if kind_of(dialog) == DIALOG_MODELER:   # it is a widget, made already
            show(words, wrapper)
        else:   # the dialog asks for its widget later
            def create(context):
                widget = type(wrapper).createWrappedWidget(wrapper, context)
                show(words, widget)
                return widget
            wrapper.createWrappedWidget = create
        return wrapper


def show(words, widget):
    """In a list of options, put words in the place of the values that have some."""
    for box in [widget] if isinstance(widget, QComboBox) else widget.findChildren(QComboBox):
        for number in range(box.count()):
            box.setItemText(number, words.get(box.itemData(number), box.itemText(number)))


class DatesWidget(WidgetWrapper):
    """
    A line of text; while it is empty, its placeholder tells the dates of the images of the parameter `rasters`.

    In the modeler and in batch runs, where the images are not known, QGIS's own widget takes its place.
    """

    def __new__(cls, parameter, dialog, row=0, col=0, rasters="IMAGES"):
        if kind_of(dialog) == DIALOG_STANDARD:
            return super().__new__(cls, parameter, dialog, row, col)
        return own_of_qgis(parameter, dialog)

    def createWidget(self, rasters):
        self._rasters = rasters
        self._line = QLineEdit()
        self._line.textChanged.connect(lambda: self.widgetValueHasChanged.emit(self))
        return self._line

    def setValue(self, value):
        if isinstance(value, QgsProperty):
            value = value.valueAsString(QgsExpressionContext(), "")[0]
        self._line.setText(words_of_dates(value) or "")

    def value(self):
        return self._line.text()

    def postInitialize(self, wrappers):
        for wrapper in wrappers:
            if wrapper.parameterDefinition().name() == self._rasters:
                wrapper.widgetValueHasChanged.connect(self._show)
                self._show(wrapper)

    def _show(self, wrapper):
        value = wrapper.parameterValue()
        images = files_of_folders(value) if value else []
        self._line.setPlaceholderText(found(images[:MOST]) + ("..." if len(images) > MOST else ""))


def found(images):
    """The dates of images, layers' ids or files, in words, with a question mark for one that has none."""
    context = QgsProcessingContext()
    context.setProject(QgsProject.instance())
    words = []
    for image in images:
        layer = QgsProcessingUtils.mapLayerFromString(str(image), context, False) or (
            QgsRasterLayer(str(image), os.path.basename(str(image))) if os.path.isfile(str(image)) else None)
        date = date_of(layer)[0] if isinstance(layer, QgsRasterLayer) and layer.isValid() else None
        words.append(dates.written(date) if date else "?")
    return tr("From the images: {dates}").format(dates=", ".join(words)) if words else ""
