"""QGIS in a window on a virtual screen, doing what a script says."""

import os
import shutil
import subprocess

import pytest
from conftest import ROOT


def needs_a_window(plugin=True):
    """Skip the test where no window of QGIS can be opened, or where it would not know the plugin."""
    if not (shutil.which("xvfb-run") and shutil.which("qgis")):
        pytest.skip("xvfb-run or the QGIS program is not installed")
    if plugin and "QGIS_PLUGINPATH" not in os.environ:
        pytest.skip("QGIS does not know the plugin: run this through make test")


def in_window(script, log, environment, screen="1600x1000", timeout=240):
    """Run a script of this folder in a new QGIS until that is closed: its exit code. What it says goes to `log`."""
    with open(log, "w") as said:
        return subprocess.run(["xvfb-run", "-a", "-s", f"-screen 0 {screen}x24", "qgis", "--nologo",
                               "--noversioncheck", "--code", str(ROOT / "tests" / "window" / script)],
                              env={name: value for name, value in environment.items() if name != "QT_QPA_PLATFORM"},
                              timeout=timeout, stdout=said, stderr=subprocess.STDOUT).returncode
