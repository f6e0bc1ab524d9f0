"""The models that ship with the plugin: in the toolbox, and working on a scene whose answer is known."""

import fixtures
import numpy as np
import pytest
from conftest import ROOT
from osgeo import gdal
from qgis.core import QgsApplication, QgsVectorLayer

from subpixel.engine.declare import Group

MODELS = sorted(path.stem for path in (ROOT / "models").glob("*.model3"))


def test_every_model_is_in_the_toolbox(qgis):
    shown = {algorithm.id(): algorithm for algorithm in QgsApplication.processingRegistry().algorithms()}
    models = [shown[f"subpixel:{name.replace('_', '')}"] for name in MODELS]
    assert models
    for model in models:
        assert model.groupId() in {group.id for group in Group} and model.displayName() != model.name()
        assert model.shortHelpString() and model.canExecute() == (True, "")


def test_models_survive_a_refresh_of_the_provider(qgis):
    qgis.plugin.provider.refreshAlgorithms()
    assert QgsApplication.processingRegistry().algorithmById("subpixel:unmixscene") is not None


def test_unmix_scene_chains_rank_vca_fcls_and_composite(run, examples, tmp_path):
    outputs = {"endmembers": "e.gpkg", "abundances": "a.tif", "composite": "c.tif"}
    results = run("unmixscene", {"INPUT": examples["scene"], "SEED": 0,
                                 **{name: str(tmp_path / file) for name, file in outputs.items()}})
    assert results["CHILD_RESULTS"]["rank"]["RANK"] == 3
    layer = QgsVectorLayer(str(tmp_path / "e.gpkg"), "e")
    assert layer.featureCount() == 3 and layer.crs().authid() == "EPSG:32633"
    A = gdal.Open(str(tmp_path / "a.tif")).ReadAsArray()
    inside = A[0] != -9999
    assert A[:, inside].sum(axis=0) == pytest.approx(1, abs=1e-5)
    true = fixtures.fractions()
    error = [min(np.abs(band[inside] - material[inside]).mean() for material in true) for band in A]
    assert max(error) < 0.02
    assert gdal.Open(str(tmp_path / "c.tif")).RasterCount == 3


def test_try_events_simulates_learns_and_detects(run, examples, tmp_path):
    outputs = {"true_events": "t.tif", "detected_events": "d.tif", "dates_of_the_detected_events": "w.tif",
               "samples": "s.gpkg", "report": "r.html"}
    run("tryevents", {"LIBRARY": examples["library"], "STRENGTH": 0.7, "SAMPLECOUNT": 40,
                      **{name: str(tmp_path / file) for name, file in outputs.items()}})
    true, detected = (gdal.Open(str(tmp_path / file)).ReadAsArray() for file in ("t.tif", "d.tif"))
    planted = true > 0
    assert (detected == true)[planted].mean() > 0.8 and (detected > 0)[~planted].mean() < 0.1
    assert QgsVectorLayer(str(tmp_path / "s.gpkg"), "s").featureCount() == 3 * 40 + 3 * 40
    assert "Events over time" in (tmp_path / "r.html").read_text(encoding="utf-8")
