"""QGIS without a window, with the plugin's provider registered, and the fixtures that examples name."""

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
from qgis.core import QgsApplication, QgsProcessingContext, QgsProcessingFeedback, QgsProject

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(Path(__file__).resolve().parent))

import fixtures


class Feedback(QgsProcessingFeedback):
    """Keeps what a run said; `on_progress` is called with it at every progress."""

    def __init__(self, on_progress=None):
        super().__init__(False)
        self.infos, self.warnings, self.errors, self.steps = [], [], [], []
        self._on_progress = on_progress

    def pushInfo(self, info):
        self.infos.append(info)

    def pushWarning(self, warning):
        self.warnings.append(warning)

    def reportError(self, error, fatalError=False):
        self.errors.append(error)

    def setProgress(self, progress):
        self.steps.append(progress)
        if self._on_progress:
            self._on_progress(self)
        super().setProgress(progress)


@contextmanager
def application():
    """A QGIS application with Processing and Subpixel's provider."""
    application = QgsApplication([], False)
    application.initQgis()
    sys.path.append(os.path.join(QgsApplication.pkgDataPath(), "python", "plugins"))
    from processing.core.Processing import Processing
    Processing.initialize()
    from subpixel.plugin import SubpixelPlugin
    plugin = SubpixelPlugin(None)
    plugin.initProcessing()
    application.plugin = plugin
    yield application
    plugin.unload()


@pytest.fixture(scope="session")
def qgis():
    """The application that all tests share."""
    with application() as made:
        yield made


class Examples(dict):
    """Names and files, of which those that a tool has to make are made when they are asked for."""

    def __init__(self, folder):
        super().__init__(fixtures.make(folder))
        self._folder = folder

    def __missing__(self, name):
        if name == "model.npz":
            self[name] = self._made("redsunn", {"IMAGES": self["images"], "COUNT": 3, "EPOCHS": 1, "FUNCTIONS": 2},
                                    MODEL=name, ABUNDANCES="learned")["MODEL"]
        elif name == "filter.npz":
            self[name] = self._made("kalmannet", {"IMAGES": self["fractionimages"], "STEPS": 20, "WIDTH": 3},
                                    MODEL=name, STATES="learnedstates")["MODEL"]
        elif name in ("eventimages", "eventsamples"):
            made = self._made("simulateevents", {"ENDMEMBERS": self["library"], "COUNT": 4, "MINANGLE": 1, "ROWS": 20,
                                                 "COLUMNS": 24, "DATECOUNT": 12, "INTERVAL": 30, "SAMPLECOUNT": 6},
                              IMAGES="events", SAMPLES="eventsamples.gpkg")
            self.update(eventimages=made["IMAGELAYERS"], eventsamples=made["SAMPLES"])
        elif name == "events.npz":
            from subpixel.tools import all_tools
            values = {parameter: self[value] if value in ("eventimages", "eventsamples") else value
                      for parameter, value in all_tools()["padnmf"].example.items()}
            self[name] = self._made("padnmf", values, MODEL=name, EVENT="learnedevents.tif")["MODEL"]
        else:
            raise KeyError(name)
        return self[name]

    def _made(self, tool, values, **outputs):
        """What a tool gives, its outputs in the folder."""
        algorithm = QgsApplication.processingRegistry().createAlgorithmById(f"subpixel:{tool}")
        values = {**values, **{output: str(self._folder / file) for output, file in outputs.items()}}
        results, done = algorithm.run(values, QgsProcessingContext(), Feedback(), {}, False)
        assert done
        return results


@pytest.fixture(scope="session")
def examples(qgis, tmp_path_factory):
    """Names that examples use, and the files behind them. The folder has a space and letters beyond ASCII."""
    return Examples(tmp_path_factory.mktemp("exämple scënes with spaces"))


@pytest.fixture
def run(qgis):
    """Run a tool in this process as the toolbox does: check the values, then run. Raises what the user would read."""
    from qgis.core import QgsProcessingException

    def run(tool, values, feedback=None):
        algorithm = QgsApplication.processingRegistry().createAlgorithmById(f"subpixel:{tool}")
        assert algorithm is not None, f"subpixel:{tool} is not registered"
        context = QgsProcessingContext()
        context.setProject(QgsProject.instance())
        passed, reason = algorithm.checkParameterValues(values, context)
        if not passed:
            raise QgsProcessingException(reason)
        feedback = feedback or Feedback()
        results, ok = algorithm.run(values, context, feedback, {}, False)
        assert ok, feedback.errors
        return results
    return run


@pytest.fixture
def qgis_process():
    """Run a tool through qgis_process: the finished process, with `.answer`, its JSON where it gave one."""
    def call(tool, values, **environment):
        done = subprocess.run(["qgis_process", "run", f"subpixel:{tool}", "-"], input=json.dumps({"inputs": values}),
                              capture_output=True, text=True, env={**os.environ, **environment}, timeout=300)
        try:
            done.answer = json.loads(done.stdout)
        except ValueError:
            done.answer = None
        return done
    return call
