"""The graphical models that ship with the plugin. Their steps are its tools, so the provider comes first."""

from qgis.core import QgsProcessingModelAlgorithm
from qgis.PyQt.QtGui import QIcon

from ..engine.declare import Group
from .engine_python import ROOT
from .words import tr, words_of_group

ICON = str(ROOT / "icon.svg")


class ShippedModel(QgsProcessingModelAlgorithm):
    """A model among the tools: QGIS would show its id as its label, and its group apart from theirs."""

    def createInstance(self):
        copy = ShippedModel()
        copy.loadVariant(self.toVariant())
        copy.setProvider(self.provider())
        return copy

    def displayName(self):
        return tr(self.helpContent().get("TITLE", self.name()))

    def groupId(self):
        return self.helpContent().get("GROUP", "")

    def group(self):
        return words_of_group(Group[self.groupId().upper()])

    def icon(self):
        return QIcon(ICON)

    def svgIconPath(self):
        return ICON


def load_models():
    """Every model in `models/` whose steps QGIS knows."""
    found = []
    for file in sorted((ROOT / "models").glob("*.model3")):
        model = ShippedModel()
        if model.fromFile(str(file)):
            found.append(model)
    return found
