"""The Processing provider: every tool, and where the engine's Python is set."""

from processing.core.ProcessingConfig import ProcessingConfig, Setting
from qgis.core import QgsApplication, QgsProcessingProvider
from qgis.PyQt.QtGui import QIcon

from ..tools import all_tools
from . import engine_python
from .algorithm import ICON, ToolAlgorithm, version
from .models import load_models
from .words import tr


class SubpixelProvider(QgsProcessingProvider):
    """Subpixel's tools in QGIS's toolbox, modeler and command line."""

    def id(self):
        return "subpixel"

    def name(self):
        return "Subpixel"

    def longName(self):
        return tr("Subpixel {version}: hyperspectral unmixing, fusion and change").format(version=version())

    def versionInfo(self):
        return version()

    def icon(self):
        return QIcon(ICON)

    def svgIconPath(self):
        return ICON

    def __init__(self):
        super().__init__()
        QgsApplication.processingRegistry().providerAdded.connect(self._registered)

    def _registered(self, id):
        if id == self.id():
            self.refreshAlgorithms()  # with the models now, and the toolbox is told

    def load(self):
        ProcessingConfig.settingIcons["Subpixel"] = self.icon()
        ProcessingConfig.addSetting(Setting(
            "Subpixel", engine_python.SETTING, tr("Python that runs the engine (empty: the plugin's own, else QGIS's)"),
            "", valuetype=Setting.FILE))
        ProcessingConfig.readSettings()
        self.refreshAlgorithms()
        return True

    def unload(self):
        ProcessingConfig.removeSetting(engine_python.SETTING)

    def loadAlgorithms(self):
        for tool in all_tools().values():
            self.addAlgorithm(ToolAlgorithm(tool()))
        if QgsApplication.processingRegistry().providerById(self.id()) is not None:
            self._add_models()

    def _add_models(self):
        for model in load_models():
            self.addAlgorithm(model)

    def supportedOutputRasterLayerExtensions(self):
        return ["tif", "tiff"]

    def defaultRasterFileExtension(self):
        return "tif"

    def supportsNonFileBasedOutput(self):
        return False

    def supportedOutputVectorLayerExtensions(self):
        return ["gpkg", "geojson"]

    def defaultVectorFileExtension(self, hasGeometry=True):
        return "gpkg"
