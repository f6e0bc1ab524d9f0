"""The graphical models that ship with the plugin. Their steps are its tools, so the provider comes first."""

from qgis.core import QgsProcessingModelAlgorithm
from qgis.PyQt.QtGui import QIcon

from ..engine.declare import Group
from .engine_python import ROOT
from .pages import page_of
from .words import tr, words_of_group

ICON = str(ROOT / "icon.svg")
SHOWN = "description", "help"   # of a parameter


class ShippedModel(QgsProcessingModelAlgorithm):
    """A model among the tools: QGIS would show its id as its label, and its group apart from theirs."""

    def take(self, model):
        """Become the model of such a dictionary as `toVariant` gives, with what QGIS does not take from it."""
        taken = self.loadVariant(model)
        for definition in self.parameterDefinitions():
            definition.setHelp(model["parameterDefinitions"].get(definition.name(), {}).get("help", ""))
        for output in self.destinationParameterDefinitions():   # which are called after the outputs of steps
            output.setDescription(tr(output.description()))
        return taken

    def createInstance(self):
        copy = ShippedModel()
        copy.take(self.toVariant())
        copy.setProvider(self.provider())
        return copy

    def displayName(self):
        return tr(self.helpContent().get("TITLE", self.name()))

    def groupId(self):
        return self.helpContent().get("GROUP", "")

    def group(self):
        return words_of_group(Group[self.groupId().upper()])

    def helpUrl(self):
        return page_of(self.name())

    def icon(self):
        return QIcon(ICON)

    def svgIconPath(self):
        return ICON


def load_models():
    """Every model in `models/` whose steps QGIS knows, in QGIS's language."""
    found = []
    for file in sorted((ROOT / "models").glob("*.model3")):
        model = ShippedModel()
        if model.fromFile(str(file)) and model.take(translated(model.toVariant())):
            found.append(model)
    return found


def translated(model):
    """A model, as the dictionary that QGIS makes of it, with what people read in their language. Names stay."""
    for texts, keys in [(model["help"], ("TITLE", "ALG_DESC")),
                        *((definition, SHOWN) for definition in model["parameterDefinitions"].values())]:
        texts.update({key: tr(texts[key]) for key in keys if texts.get(key)})
    return model
