"""The graphical models that ship with the plugin. Their steps are its tools, so the provider must be registered first."""

from qgis.core import QgsProcessingModelAlgorithm

from .engine_python import ROOT


def load_models():
    """Every model in `models/` whose steps QGIS knows."""
    found = []
    for file in sorted((ROOT / "models").glob("*.model3")):
        model = QgsProcessingModelAlgorithm()
        if model.fromFile(str(file)):
            found.append(model)
    return found
