"""Several things at once, as in a QGIS window: runs in the background, and what the user does meanwhile."""

import json
import os
import time
from pathlib import Path

import pytest
from osgeo import gdal
from qgis.core import (QgsApplication, QgsProcessingAlgRunnerTask, QgsProcessingContext, QgsProcessingFeedback,
                       QgsProject, QgsRasterLayer, QgsVectorLayer)
from qgis.PyQt.QtCore import QCoreApplication


class Background:
    """A run as QGIS's dialog starts it: prepared here, done by the task manager in a thread of its own."""

    def __init__(self, id, values):
        self.algorithm = QgsApplication.processingRegistry().createAlgorithmById(f"subpixel:{id}")
        self.context, self.feedback = QgsProcessingContext(), QgsProcessingFeedback(False)
        self.context.setProject(QgsProject.instance())
        self.task, self.done, self.results = None, None, {}
        assert self.algorithm.checkParameterValues(values, self.context) == (True, "")
        self.task = QgsProcessingAlgRunnerTask(self.algorithm, values, self.context, self.feedback)
        self.task.executed.connect(self._ended)

    def _ended(self, done, results):
        self.done, self.results = done, results

    def start(self):
        QgsApplication.taskManager().addTask(self.task)
        return self

    @property
    def log(self):
        return self.feedback.textLog()


def wait(*runs, until=lambda: False):
    """Let QGIS go on until all runs are over, or until something else."""
    end = time.monotonic() + 120
    while any(run.done is None for run in runs) and not until():
        QCoreApplication.processEvents()
        assert time.monotonic() < end, "a run does not end"
        time.sleep(0.005)


@pytest.fixture
def project(qgis, examples):
    """QGIS's project with the layers of an unmixing, and the values for it."""
    project = QgsProject.instance()
    project.clear()
    scene, spectra = QgsRasterLayer(examples["scene"], "scene"), QgsVectorLayer(examples["endmembers"], "spectra")
    project.addMapLayers([scene, spectra])
    yield project, {"INPUT": scene.id(), "ENDMEMBERS": spectra.id()}
    project.clear()


def test_two_runs_of_one_tool_give_what_each_gives_alone(run, examples, tmp_path):
    def values(name, seed):
        return {"ENDMEMBERS": examples["library"], "COUNT": 3, "MINANGLE": 1, "ROWS": 24, "COLUMNS": 32, "SEED": seed,
                "HSI": str(tmp_path / f"{name}.tif")}

    run("simulatescene", values("alone", 1))
    together = [Background("simulatescene", values(f"together {seed}", seed)).start() for seed in (1, 2)]
    wait(*together)
    assert all(each.done for each in together), [each.log for each in together]
    alone, first, second = (gdal.Open(str(tmp_path / f"{name}.tif")).ReadAsArray()
                            for name in ("alone", "together 1", "together 2"))
    assert (alone == first).all() and (alone != second).any()


def test_of_two_runs_that_write_one_target_the_later_is_there_whole(examples, tmp_path, monkeypatch):
    real = os.replace

    def slowly(source, target):   # so that two deliveries would overlap
        real(source, target)
        time.sleep(0.05)

    monkeypatch.setattr(os, "replace", slowly)
    outputs = {name: str(tmp_path / f"{name.lower()}.tif") for name in ("HSI", "ABUNDANCES", "TRUEVARIABILITY")}
    for attempt in range(3):
        runs = [Background("simulatescene", {
            "ENDMEMBERS": examples["library"], "COUNT": 3, "MINANGLE": 1, "ROWS": 24, "COLUMNS": 32, "SEED": seed,
            "VARIABILITY": "scaling", **outputs}).start() for seed in (1 + attempt, 11 + attempt)]
        wait(*runs)
        assert all(each.done for each in runs), [each.log for each in runs]
        tags = [gdal.Open(path).GetMetadataItem("SUBPIXEL_PARAMETERS") for path in outputs.values()]
        seeds = [json.loads(each)["SEED"] for each in tags]
        assert seeds in ([1 + attempt] * 3, [11 + attempt] * 3)
        assert {path.suffix for path in tmp_path.iterdir()} == {".tif", ".qml"}


@pytest.mark.parametrize("when", ["before it starts", "while it runs"])
@pytest.mark.parametrize("what", ["layers removed", "project cleared"])
def test_a_run_needs_no_layer_any_more(when, what, project, tmp_path):
    project, values = project
    target = tmp_path / "a.tif"
    unmixing = Background("fcls", {**values, "ABUNDANCES": str(target)})
    if when == "while it runs":
        wait(unmixing.start(), until=lambda: list(tmp_path.glob(".subpixel-*")))
    assert unmixing.done is None
    if what == "layers removed":
        project.removeMapLayers(list(values.values()))
    else:
        project.clear()
    wait(unmixing if when == "while it runs" else unmixing.start())
    assert unmixing.done, unmixing.log
    assert unmixing.results["RMSE"] > 0 and QgsRasterLayer(str(target)).isValid()
    assert {path.name for path in tmp_path.iterdir()} == {"a.tif", "a.qml"}


def test_a_raster_that_is_deleted_while_a_run_waits_is_a_sentence(examples, tmp_path):
    scene = tmp_path / "scene.tif"
    scene.write_bytes(Path(examples["scene"]).read_bytes())
    waiting = Background("fcls", {"INPUT": str(scene), "ENDMEMBERS": examples["endmembers"],
                                  "ABUNDANCES": str(tmp_path / "a.tif")})
    scene.unlink()
    wait(waiting.start())
    assert waiting.done is False and "scene.tif cannot be read as a raster" in waiting.log
    assert "Traceback" not in waiting.log and not list(tmp_path.iterdir())
