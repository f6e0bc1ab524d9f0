"""Fusion as a graphical model: a scene is degraded, fused again, and compared with itself."""

import pytest
from conftest import Feedback
from qgis.core import (QgsProcessingContext, QgsProcessingModelAlgorithm, QgsProcessingModelChildAlgorithm,
                       QgsProcessingModelChildParameterSource, QgsProcessingModelOutput, QgsProcessingModelParameter,
                       QgsProcessingParameterRasterLayer)

Source = QgsProcessingModelChildParameterSource


def step(model, tool, gives=None, **sources):
    """
    Add a step, one of whose outputs the model `gives`.

    A source is the name of the model's parameter, a pair (step, output), or a value in a list.
    """
    child = QgsProcessingModelChildAlgorithm(f"subpixel:{tool}")
    child.setChildId(tool)
    for name, source in sources.items():
        child.addParameterSources(name, [
            Source.fromModelParameter(source) if isinstance(source, str) else
            Source.fromStaticValue(source[0]) if isinstance(source, list) else Source.fromChildOutput(*source)])
    if gives:
        output = QgsProcessingModelOutput(gives)
        output.setChildOutputName(gives)
        output.setChildId(tool)
        child.setModelOutputs({gives: output})
    model.addChildAlgorithm(child)


def test_degrade_fuse_compare(qgis, examples, tmp_path):
    model = QgsProcessingModelAlgorithm("fusion", "fusion", "fusion")
    model.addModelParameter(QgsProcessingParameterRasterLayer("SCENE", "Scene"), QgsProcessingModelParameter("SCENE"))
    step(model, "waldpair", INPUT="SCENE", RATIO=[2], SRF=["sentinel2a"])
    step(model, "fusepair", "FUSED", HSI=("waldpair", "HSI"), MSI=("waldpair", "MSI"), COUNT=[3])
    step(model, "comparefusion", FUSED=("fusepair", "FUSED"), REFERENCE="SCENE", RATIO=[2])
    model.initAlgorithm()
    name = model.destinationParameterDefinitions()[0].name()
    feedback = Feedback()
    results, ok = model.run({"SCENE": examples["scene"], name: str(tmp_path / "fused.tif")}, QgsProcessingContext(),
                            feedback, {}, False)
    assert ok, feedback.errors
    steps = results["CHILD_RESULTS"]
    assert steps["fusepair"]["CHANGED"] < 0.08 and steps["fusepair"]["SHIFTDOWN"] == pytest.approx(0, abs=0.2)
    assert steps["comparefusion"]["RSNR"] > 10 and steps["comparefusion"]["SAM"] < 20
