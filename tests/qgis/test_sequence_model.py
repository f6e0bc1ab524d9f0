"""A sequence as a graphical model: it is simulated, unmixed with its true endmembers, and its changes mapped."""

from pathlib import Path

import pytest
from conftest import Feedback
from qgis.core import (QgsProcessing, QgsProcessingContext, QgsProcessingModelAlgorithm, QgsProcessingModelParameter,
                       QgsProcessingParameterFeatureSource, QgsRasterLayer)
from test_fusion_model import step

NAMES = {"water", "tree", "soil", "roof", "road", "snow"}


def test_simulate_unmix_map_the_changes(qgis, examples, tmp_path):
    model = QgsProcessingModelAlgorithm("sequence", "sequence", "sequence")
    model.addModelParameter(QgsProcessingParameterFeatureSource("LIBRARY", "Library", [
        QgsProcessing.SourceType.TypeVector]), QgsProcessingModelParameter("LIBRARY"))
    step(model, "simulatesequence", ENDMEMBERS="LIBRARY", MINANGLE=[5], ROWS=[20], COLUMNS=[24], DATECOUNT=[4])
    step(model, "fclssequence", IMAGES=("simulatesequence", "IMAGELAYERS"),
         ENDMEMBERS=("simulatesequence", "TRUEENDMEMBERS"))
    step(model, "abundancechange", "FROMTO", IMAGES=("fclssequence", "ABUNDANCELAYERS"))
    model.initAlgorithm()
    name = model.destinationParameterDefinitions()[0].name()
    feedback = Feedback()
    results, ok = model.run({"LIBRARY": examples["library"], name: str(tmp_path / "fromto.tif")},
                            QgsProcessingContext(), feedback, {}, False)
    assert ok, feedback.errors
    steps = results["CHILD_RESULTS"]
    dates = [Path(layer).stem for layer in steps["fclssequence"]["ABUNDANCELAYERS"]]
    assert dates == ["2020-01-01", "2020-01-31", "2020-03-01", "2020-03-31"]
    # two patches at two dates, and spectra that drift besides
    assert 2 < steps["abundancechange"]["CHANGED"] < 60
    assert steps["abundancechange"]["MEANMAGNITUDE"] == pytest.approx(0.15, abs=0.1)
    layer = QgsRasterLayer(str(tmp_path / "fromto.tif"), "fromto")
    classes = layer.renderer().classes()
    assert all(set(entry.label.split(" to ")) <= NAMES for entry in classes)
    assert [entry.value for entry in classes] == sorted(entry.value for entry in classes)
    assert any(" to " in entry.label for entry in classes)
    # what was simulated can be compared date by date
    assert len(steps["simulatesequence"]["ABUNDANCELAYERS"]) == 4
