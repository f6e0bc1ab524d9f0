"""Which Python runs the engine, and in what surroundings."""

import json
import os
import subprocess  # nosec B404: running the engine's Python is what this module is for
import sys
import sysconfig
from pathlib import Path

from processing.core.ProcessingConfig import ProcessingConfig
from qgis.core import QgsApplication
from qgis.PyQt.QtCore import QProcessEnvironment

from .words import tr

ROOT = Path(__file__).resolve().parent.parent
VARIABLE = "SUBPIXEL_PYTHON"
SETTING = "SUBPIXEL_PYTHON"
FOREIGN = ("PYTHON", "PROJ_", "GDAL_", "LD_LIBRARY_PATH", "DYLD_", "QT_PLUGIN_PATH", "VIRTUAL_ENV")


def executable_in(folder):
    """The interpreter of an environment."""
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python3")


def own_interpreter():
    """QGIS's own Python as a program. `sys.executable` is QGIS itself on macOS and Windows."""
    if os.name == "nt":
        return Path(sys.exec_prefix) / "python.exe"
    bindir = sysconfig.get_config_var("BINDIR") or os.path.join(sys.exec_prefix, "bin")
    for folder in (os.path.join(sys.exec_prefix, "bin"), bindir):
        candidate = Path(folder) / f"python{sys.version_info.major}.{sys.version_info.minor}"
        if candidate.exists():
            return candidate
    return Path(sys.exec_prefix) / "bin" / "python3"


def named():
    """The interpreter, or its environment's folder, that the user named by variable or setting; None where none is."""
    name = os.environ.get(VARIABLE) or ProcessingConfig.getSetting(SETTING)
    if not name:
        return None
    return executable_in(Path(name)) if Path(name).is_dir() else Path(name)


def find():
    """The interpreter to run the engine with: named by the user, the plugin's own environment, or QGIS's."""
    if named():
        return named()
    for folder in (Path(QgsApplication.qgisSettingsDirPath()) / "subpixel" / "engine", ROOT / ".venv"):
        if executable_in(folder).exists():
            return executable_in(folder)
    return own_interpreter()


def environment(python):
    """Surroundings for the engine: clean for a foreign interpreter, QGIS's for QGIS's own, which needs them."""
    surroundings = QProcessEnvironment.systemEnvironment()
    if python != own_interpreter():
        for key in surroundings.keys():
            if key.upper().startswith(FOREIGN):
                surroundings.remove(key)
    surroundings.insert("PYTHONIOENCODING", "utf-8")
    surroundings.insert("PYTHONDONTWRITEBYTECODE", "1")
    return surroundings


_complete = set()  # interpreters and packages found to be there: they are not asked again in this session


def missing(python, packages):
    """Which of `packages` an interpreter lacks, found without importing them; None where it does not run at all."""
    if (python, packages) in _complete:
        return []
    question = ("import importlib.util, json, sys; "
                "print(json.dumps([name for name in sys.argv[1:] if importlib.util.find_spec(name) is None]))")
    surroundings = environment(python)
    try:
        answer = subprocess.run(  # nosec B603: a list of arguments, no shell
            [str(python), "-c", question, *packages], capture_output=True, text=True, timeout=60, check=True,
            stdin=subprocess.DEVNULL, env={key: surroundings.value(key) for key in surroundings.keys()},
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0))
        lacking = json.loads(answer.stdout.splitlines()[-1])
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return None
    if not lacking:
        _complete.add((python, packages))
    return lacking


def trouble(packages):
    """The sentence that says why the engine cannot run tools that need `packages`; empty where it can."""
    python = find()
    lacking = missing(python, tuple(packages))
    if lacking is None:
        return tr("Subpixel's engine does not start: {python} is no Python that runs. Set the environment variable "
                  "SUBPIXEL_PYTHON, or Settings > Options > Processing > Providers > Subpixel, to a Python that has: "
                  "{packages}.").format(python=python, packages=", ".join(packages))
    requirements = ROOT / ("requirements-deep.txt" if lacking and "torch" in lacking else "requirements.txt")
    if lacking and python == own_interpreter():
        return tr("Subpixel's engine needs {packages}, which QGIS's own Python lacks. Make an environment for it, "
                  "outside QGIS: python3 -m venv FOLDER, then FOLDER/bin/python -m pip install -r \"{requirements}\" "
                  "(on Windows FOLDER\\Scripts\\python). Name the folder in Settings > Options > Processing > "
                  "Providers > Subpixel, or in the environment variable SUBPIXEL_PYTHON.").format(
                      packages=", ".join(lacking), requirements=requirements)
    if lacking:
        return tr("Subpixel's engine ({python}) lacks: {packages}. Install what requirements.txt names into that "
                  "Python ({python} -m pip install -r \"{requirements}\"), or set SUBPIXEL_PYTHON to one that has "
                  "it.").format(python=python, packages=", ".join(lacking), requirements=requirements)
    return ""
