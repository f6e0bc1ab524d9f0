"""Filtering as a graphical model: a simulated sequence is unmixed and filtered; a filter is learned and applied."""

from pathlib import Path

import numpy as np
import pytest
from conftest import Feedback
from osgeo import gdal
from qgis.core import (QgsProcessing, QgsProcessingContext, QgsProcessingModelAlgorithm, QgsProcessingModelParameter,
                       QgsProcessingParameterFeatureSource)
from test_fusion_model import step

IMAGES = ["2020-01-01", "2020-01-31", "2020-03-01", "2020-03-31", "2020-04-30", "2020-05-30"]
FURTHER = ["2020-02-15", "2020-06-29"]


def values(path):
    """Bands by their names."""
    dataset = gdal.Open(path)
    return {dataset.GetRasterBand(band).GetDescription(): dataset.GetRasterBand(band).ReadAsArray()
            for band in range(1, dataset.RasterCount + 1)}


def error(layers, truth):
    """RMSE over dates, materials and pixels."""
    return np.sqrt(np.mean([np.square(values(one)[name] - band)
                            for one, other in zip(layers, truth) for name, band in values(other).items()]))


def test_simulate_unmix_filter(qgis, examples, tmp_path):
    model = QgsProcessingModelAlgorithm("states", "states", "states")
    model.addModelParameter(QgsProcessingParameterFeatureSource("LIBRARY", "Library", [
        QgsProcessing.SourceType.TypeVector]), QgsProcessingModelParameter("LIBRARY"))
    step(model, "simulatesequence", ENDMEMBERS="LIBRARY", MINANGLE=[5], ROWS=[20], COLUMNS=[24], SNR=[5],
         DATECOUNT=[len(IMAGES)])
    step(model, "fclssequence", IMAGES=("simulatesequence", "IMAGELAYERS"),
         ENDMEMBERS=("simulatesequence", "TRUEENDMEMBERS"))
    step(model, "kalmanfilter", IMAGES=("fclssequence", "ABUNDANCELAYERS"), AT=[", ".join(FURTHER)])
    model.initAlgorithm()
    feedback = Feedback()
    results, ok = model.run({"LIBRARY": examples["library"]}, QgsProcessingContext(), feedback, {}, False)
    assert ok, feedback.errors
    steps = results["CHILD_RESULTS"]
    states = steps["kalmanfilter"]["STATELAYERS"]
    assert [Path(layer).stem for layer in states] == sorted(IMAGES + FURTHER)
    for layer in states:
        bands = values(layer)
        assert set(bands) == set(values(steps["fclssequence"]["ABUNDANCELAYERS"][0]))
        assert sum(bands.values()) == pytest.approx(np.ones((20, 24)), abs=1e-5)
    # noise of the single dates is taken off
    truth = steps["simulatesequence"]["ABUNDANCELAYERS"]
    of_images = [layer for layer in states if Path(layer).stem in IMAGES]
    assert error(of_images, truth) < 0.9 * error(steps["fclssequence"]["ABUNDANCELAYERS"], truth)


def test_simulate_filter_learn_apply_and_tell_changes(qgis, tmp_path):
    model = QgsProcessingModelAlgorithm("series", "series", "series")
    step(model, "simulatestates", ROWS=[14], COLUMNS=[16], DATECOUNT=[8], CHANGESHARE=[0.2], INTERVAL=[20])
    step(model, "kalmanfilter", IMAGES=("simulatestates", "IMAGELAYERS"))
    step(model, "abundancechange", IMAGES=("kalmanfilter", "STATELAYERS"), THRESHOLD=[0.15])
    step(model, "kalmannet", gives="MODEL", IMAGES=("simulatestates", "IMAGELAYERS"), STEPS=[4], WIDTH=[2])
    step(model, "applyfilter", IMAGES=("simulatestates", "IMAGELAYERS"), MODEL=("kalmannet", "MODEL"),
         AT=["2020-06-01"])
    model.initAlgorithm()
    output = next(definition.name() for definition in model.destinationParameterDefinitions())
    feedback = Feedback()
    results, ok = model.run({output: str(tmp_path / "filter.npz")}, QgsProcessingContext(), feedback, {}, False)
    assert ok, feedback.errors
    steps = results["CHILD_RESULTS"]
    states = steps["kalmanfilter"]["STATELAYERS"]
    assert error(states, steps["simulatestates"]["TRUTHLAYERS"]) < 0.1
    assert values(steps["abundancechange"]["CHANGE"])["vegetation"] == pytest.approx(
        values(states[-1])["vegetation"] - values(states[0])["vegetation"], abs=1e-5)
    learned, applied = (steps[name]["STATELAYERS"] for name in ("kalmannet", "applyfilter"))
    assert len(applied) == len(learned) + 1 and Path(applied[-1]).stem == "2020-06-01"
    for first, second in zip(learned, applied):
        assert values(second)["vegetation"] == pytest.approx(values(first)["vegetation"], abs=1e-5)
