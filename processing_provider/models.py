"""The graphical models that ship with the plugin. Their steps are its tools, so the provider comes first."""

from qgis.core import QgsProcessingModelAlgorithm
from qgis.PyQt.QtGui import QIcon

from ..engine.declare import Group
from .algorithm import is_step_of_model
from .engine_python import ROOT
from .pages import page_of
from .parameters import files_of_folders
from .styles import load_dated, name_of_folder
from .words import tr, words_of_group

ICON = str(ROOT / "icon.svg")
NAMES = "GROUP", "ALG_CREATOR", "ALG_VERSION"   # among the texts of a model's help


class ShippedModel(QgsProcessingModelAlgorithm):
    """A model among the tools: QGIS would show its id as its label, and its group apart from theirs."""

    def take(self, model):
        """Become the model of such a dictionary as `toVariant` gives, with what QGIS does not take from it."""
        taken = self.loadVariant(model)
        for definition in self.parameterDefinitions():
            definition.setHelp(model["help"].get(definition.name()) or tr(definition.help()))
        for output in [*self.destinationParameterDefinitions(), *self.outputDefinitions()]:
            output.setDescription(tr(output.description()))   # which are called after the outputs of steps
        return taken

    def createInstance(self):
        copy = ShippedModel()
        copy.take(self.toVariant())
        copy.setProvider(self.provider())
        return copy

    def checkParameterValues(self, parameters, context):
        """QGIS's own parameter for several layers would refuse a folder of rasters, which the steps take."""
        several = {definition.name() for definition in self.parameterDefinitions() if definition.type() == "multilayer"}
        given = {name: files_of_folders(value) if name in several and value else value
                 for name, value in parameters.items()}
        return super().checkParameterValues(given, context)

    def processAlgorithm(self, parameters, context, feedback):
        """QGIS loads the layers of a model, but no folder of dated ones, and its steps leave that to their model."""
        results = super().processAlgorithm(parameters, context, feedback)
        folders = {f"{output.description()} ({self.name()}), {name_of_folder(results[output.name()])}":
                   results[output.name()] for output in self.destinationParameterDefinitions()
                   if output.type() == "folderDestination" and results.get(output.name())}
        if not is_step_of_model(feedback):
            for group, folder in folders.items():
                load_dated(files_of_folders(folder), context, group, list(folders))
        return results

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
    model["help"].update({key: tr(text) for key, text in model["help"].items() if key not in NAMES})
    for definition in model["parameterDefinitions"].values():
        definition["description"] = tr(definition["description"])
    return model
