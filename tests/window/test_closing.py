"""QGIS is closed in the midst of a run: it ends, the engine ends, and nothing half-written is left."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from conftest import ROOT
from windows import in_window, needs_a_window


def engines(folder):
    """Command lines of engines whose jobs lie in a folder for temporary files."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().decode("utf-8", "replace")
        except OSError:
            continue   # it is over
        if f"bootstrap.py\0{folder}" in words:
            found.append(words)
    return found


def test_closing_qgis_in_the_midst_of_a_run_ends_everything():
    needs_a_window()
    folder = ROOT / ".cache" / "closing"
    shutil.rmtree(folder, ignore_errors=True)
    shots, temporary, scene = folder / "shots", folder / "tmp", str(folder / "scene.tif")
    shots.mkdir(parents=True)
    temporary.mkdir()
    (shots / "endmembers.gpkg").write_text("what was there before")
    subprocess.run([sys.executable, str(ROOT / "scripts/indian_pines.py"), scene], check=True)
    environment = {**os.environ, "SUBPIXEL_SCENE": scene, "SUBPIXEL_SHOTS": str(shots), "TMPDIR": str(temporary)}
    ended = in_window("closing_in_qgis.py", folder / "qgis.log", environment)
    found = json.loads((shots / "found.json").read_text())
    assert found["tasks"] == 1 and found["staging"] == 2   # it was running
    assert ended == 0 and time.time() - found["closed"] < 60
    assert not engines(temporary)
    assert {path.name: path.read_text() for path in shots.iterdir() if path.name != "found.json"} == {
        "endmembers.gpkg": "what was there before"}
    assert not list(temporary.glob("subpixel-*"))
