"""Which Python runs the engine, and in what surroundings."""

import json
import os
import subprocess  # nosec B404: running the engine's Python is what this module is for
import sys
from enum import Enum
from pathlib import Path

from processing.core.ProcessingConfig import ProcessingConfig
from qgis.core import QgsApplication
from qgis.PyQt.QtCore import QProcessEnvironment

from . import interpreters
from .words import tr

ROOT = Path(__file__).resolve().parent.parent
VARIABLE = "SUBPIXEL_PYTHON"
SETTING = "SUBPIXEL_PYTHON"
COMPLETE = "complete"   # the file that names the complete environment
FOREIGN = ("PYTHON", "PROJ_", "GDAL_", "LD_LIBRARY_PATH", "DYLD_", "QT_PLUGIN_PATH", "VIRTUAL_ENV")


class Origin(Enum):
    """What led to the interpreter that runs the engine, in the order of their rank."""

    VARIABLE = "variable"   # named by the environment variable
    SETTING = "setting"     # named in Processing's options
    PRIVATE = "private"     # the environment in QGIS's profile, which the options' page installs
    CHECKOUT = "checkout"   # an environment in the plugin's folder
    QGIS = "qgis"           # QGIS's own Python

    @property
    def named(self):
        """Whether the user named it: then it is never changed, and never replaced by another."""
        return self in (Origin.VARIABLE, Origin.SETTING)


def executable_in(folder):
    """The interpreter of an environment."""
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python3")


def machine():
    """What tells where interpreters are on this computer."""
    return interpreters.Machine(
        sys.platform, sys.exec_prefix, f"{sys.version_info.major}.{sys.version_info.minor}",
        QgsApplication.applicationFilePath(), os.path.expanduser("~"),
        tuple(folder for folder in os.environ.get("PATH", "").split(os.pathsep) if folder))


def own_interpreter():
    """QGIS's own Python as a program."""
    return Path(interpreters.own(machine(), os.path.isfile))


def engines():
    """The folder, in QGIS's profile, of the environments that the options' page makes."""
    return Path(QgsApplication.qgisSettingsDirPath()) / "subpixel" / "engine"


def private():
    """The complete one of these environments, or None."""
    try:
        return engines() / (engines() / COMPLETE).read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return None


def complete(folder):
    """Make an environment the complete one, or None of them."""
    if folder is None:
        (engines() / COMPLETE).unlink(missing_ok=True)
    else:
        written = engines() / f"{COMPLETE}.new"
        written.write_text(folder.name, encoding="utf-8")
        os.replace(written, engines() / COMPLETE)


def chosen():
    """
    The interpreter to run the engine with, and what led to it.

    Returns
    -------
    (Path, Origin)
    """
    for origin, name in ((Origin.VARIABLE, os.environ.get(VARIABLE)),
                         (Origin.SETTING, ProcessingConfig.getSetting(SETTING))):
        if name:
            return executable_in(Path(name)) if Path(name).is_dir() else Path(name), origin
    for origin, folder in ((Origin.PRIVATE, private()), (Origin.CHECKOUT, ROOT / ".venv")):
        if folder and executable_in(folder).exists():
            return executable_in(folder), origin
    return own_interpreter(), Origin.QGIS


def find():
    """The interpreter to run the engine with."""
    return chosen()[0]


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
            [str(python), "-c", question, *packages], capture_output=True, encoding="utf-8", errors="replace",
            timeout=60, check=True, stdin=subprocess.DEVNULL,
            env={key: surroundings.value(key) for key in surroundings.keys()},
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0))
        lacking = json.loads(answer.stdout.splitlines()[-1])
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return None
    if not lacking:
        _complete.add((python, packages))
    return lacking


def trouble(packages):
    """The sentence that says why the engine cannot run tools that need `packages`; empty where it can."""
    python, origin = chosen()
    lacking = missing(python, tuple(packages))
    if lacking == []:
        return ""
    if origin.named:
        return _trouble_of_named(python, origin, packages, lacking)
    if lacking is None:
        return tr("Subpixel's engine does not start: {python} is no Python that runs. Choose Install in Settings > "
                  "Options > Subpixel, or name a Python in the environment variable SUBPIXEL_PYTHON that has: "
                  "{packages}.").format(python=python, packages=", ".join(packages))
    if lacking == ["torch"]:
        return tr("This tool needs deep learning (torch), which Subpixel's engine ({python}) lacks. Tick it in "
                  "Settings > Options > Subpixel and choose Install.").format(python=python)
    return tr("Subpixel's engine is not installed: {python} lacks {packages}. Choose Install in Settings > Options > "
              "Subpixel, or name a Python that has them in the environment variable SUBPIXEL_PYTHON.").format(
                  python=python, packages=", ".join(lacking))


def _trouble_of_named(python, origin, packages, lacking):
    """The sentence for an interpreter that the user named: it is not ours to change."""
    place = tr("the environment variable SUBPIXEL_PYTHON") if origin is Origin.VARIABLE else tr(
        "Settings > Options > Processing > Providers > Subpixel")
    if lacking is None:
        return tr("Subpixel's engine does not start: {python}, named in {place}, is no Python that runs. Name a Python "
                  "there that has {packages}; or name none, and choose Install in Settings > Options > "
                  "Subpixel.").format(python=python, place=place, packages=", ".join(packages))
    requirements = ROOT / ("requirements-deep.txt" if "torch" in lacking else "requirements.txt")
    return tr("Subpixel's engine ({python}, named in {place}) lacks: {packages}. Install what Subpixel needs into that "
              "Python ({python} -m pip install -r \"{requirements}\"); or name none, and choose Install in Settings > "
              "Options > Subpixel.").format(python=python, place=place, packages=", ".join(lacking),
                                            requirements=requirements)
