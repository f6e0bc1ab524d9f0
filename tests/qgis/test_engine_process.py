"""The process around the engine: listing, Cancel, a killed engine, a missing one."""

import os
import signal
import subprocess
import time

import pytest
from conftest import ROOT, Feedback
from qgis.core import QgsApplication, QgsProcessingContext, QgsProcessingException

PYTHON = os.environ["SUBPIXEL_PYTHON"]


def script(path, text):
    """An executable shell script, to stand in for the engine's Python."""
    path.write_text("#!/bin/sh\n" + text + "\n")
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def slow(qgis, tmp_path, monkeypatch, examples):
    """An algorithm of a slow tool, its values, and the folder of its output."""
    import slow_engine

    from subpixel.processing_provider.algorithm import ToolAlgorithm
    monkeypatch.setenv("SUBPIXEL_PYTHON", script(
        tmp_path / "python", f'[ "$1" = -c ] && exec "{PYTHON}" "$@"; shift; '
        f'exec "{PYTHON}" "{ROOT}/tests/qgis/slow_engine.py" "$@"'))
    algorithm = ToolAlgorithm(slow_engine.Slow()).create()
    folder = tmp_path / "output"
    folder.mkdir()
    (folder / "result.tif").write_text("what was there before")
    return algorithm, {"INPUT": examples["scene"], "OUTPUT": str(folder / "result.tif")}, folder


def engines():
    """Process ids of slow engines that are running."""
    found = subprocess.run(["pgrep", "-f", "slow_engine.py"], capture_output=True, text=True).stdout.split()
    return [int(number) for number in found]


def untouched(folder):
    return [file.name for file in folder.iterdir()] == ["result.tif"] and (
        folder / "result.tif").read_text() == "what was there before"


def test_qgis_process_lists_every_tool():
    from subpixel.tools import all_tools
    listed = subprocess.run(["qgis_process", "list"], capture_output=True, text=True, timeout=120).stdout
    assert all(f"subpixel:{id}\t" in listed for id in all_tools())


def test_qgis_process_help_has_no_markup():
    shown = subprocess.run(["qgis_process", "help", "subpixel:fcls"], capture_output=True, text=True, timeout=120)
    assert shown.returncode == 0 and "Fraction of each endmember" in shown.stdout
    assert "<p>" not in shown.stdout and "<b>" not in shown.stdout


def test_qgis_process_runs_a_tool(qgis_process, examples, tmp_path):
    done = qgis_process("fcls", {"INPUT": examples["scene"], "ENDMEMBERS": examples["endmembers"],
                                 "ABUNDANCES": str(tmp_path / "a.tif")})
    assert done.returncode == 0, done.stderr
    assert 0 < done.answer["results"]["RMSE"] < 10
    assert (tmp_path / "a.qml").exists()


def test_script_runs_a_tool_and_passes_on_the_exit_code(examples, tmp_path):
    def call(*words):
        return subprocess.run([str(ROOT / "scripts/qgis-run"), *words], capture_output=True, text=True, timeout=120)
    done = call("hysime", "--json", f"--INPUT={examples['scene']}")
    assert done.returncode == 0 and '"RANK": 3' in done.stdout
    assert call("hysime", f"--INPUT={tmp_path}/nothing.tif").returncode == 1


def test_cancel_ends_the_engine_within_a_second_and_leaves_nothing(slow):
    algorithm, values, folder = slow
    cancelled = []

    def cancel(feedback):
        cancelled.append(time.monotonic())
        feedback.cancel()

    algorithm.run(values, QgsProcessingContext(), Feedback(cancel), {}, False)
    took = time.monotonic() - cancelled[0]
    assert took < 1
    assert not engines()
    assert untouched(folder)


def test_killed_engine_is_a_sentence_and_leaves_nothing(slow):
    algorithm, values, folder = slow

    def kill(feedback):
        for number in engines():
            os.kill(number, signal.SIGKILL)

    with pytest.raises(QgsProcessingException, match="stopped before it was done"):
        algorithm.run(values, QgsProcessingContext(), Feedback(kill), {}, False)
    assert untouched(folder)


def test_engine_ends_with_whoever_started_it(slow, tmp_path):
    import json
    job = tmp_path / "job.json"
    job.write_text(json.dumps({"tool": "slow", "values": {"INPUT": {"path": slow[1]["INPUT"]}}, "attended": True,
                               "outputs": {"OUTPUT": str(tmp_path / "x.tif")}}))
    parent = subprocess.Popen([PYTHON, str(ROOT / "tests/qgis/slow_engine.py"), str(job)], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE)
    assert b"progress" in parent.stdout.readline()
    parent.stdin.close()
    assert parent.wait(timeout=10) == 1


@pytest.mark.parametrize("stand_in, words", [
    (None, "does not start"),
    ('echo "[\\"rasterio\\", \\"scipy\\"]"', "lacks: rasterio, scipy")])
def test_missing_engine_is_said_before_the_run(qgis, tmp_path, monkeypatch, stand_in, words):
    path = str(tmp_path / "absent") if stand_in is None else script(tmp_path / "python", stand_in)
    monkeypatch.setenv("SUBPIXEL_PYTHON", path)
    able, reason = QgsApplication.processingRegistry().algorithmById("subpixel:fcls").canExecute()
    assert not able and words in reason and "SUBPIXEL_PYTHON" in reason and path in reason


def test_interpreter_that_was_mended_is_taken_at_once(qgis, tmp_path, monkeypatch):
    able = QgsApplication.processingRegistry().algorithmById("subpixel:fcls").canExecute
    monkeypatch.setenv("SUBPIXEL_PYTHON", script(tmp_path / "python", 'echo "[\\"scipy\\"]"'))
    assert not able()[0]
    script(tmp_path / "python", 'echo "[]"')
    assert able() == (True, "")


def test_what_an_environment_prints_on_starting_is_no_answer(run, examples, tmp_path, monkeypatch):
    monkeypatch.setenv("SUBPIXEL_PYTHON", script(
        tmp_path / "python", f'[ "$1" = -c ] || printf "Welcome!\\n5\\n[1]\\n\\n"; exec "{PYTHON}" "$@"'))
    assert run("hysime", {"INPUT": examples["scene"]})["RANK"] == 3


def test_progress_moves_from_block_to_block(run, examples, tmp_path):
    import fixtures
    import numpy as np
    cube = np.arange(3 * 1024 * 1024, dtype=np.int16).reshape(3, 1024, 1024) % 251
    spectra = fixtures.spectra(tmp_path / "m.gpkg", np.eye(3)[:, :2] * 250, ["a", "b"], None)
    feedback = Feedback()
    run("ucls", {"INPUT": fixtures.raster(tmp_path / "s.tif", cube), "ENDMEMBERS": spectra,
                 "ABUNDANCES": str(tmp_path / "a.tif")}, feedback)
    assert len(set(feedback.steps)) >= 4 and feedback.steps == sorted(feedback.steps)


def test_foreign_python_gets_clean_surroundings(qgis, monkeypatch):
    from subpixel.processing_provider import engine_python
    for name in ("PYTHONPATH", "PYTHONHOME", "PROJ_LIB", "GDAL_DATA", "LD_LIBRARY_PATH"):
        monkeypatch.setenv(name, "/qgis/own")
    foreign = engine_python.environment(engine_python.find())
    own = engine_python.environment(engine_python.own_interpreter())
    for name in ("PYTHONPATH", "PYTHONHOME", "PROJ_LIB", "GDAL_DATA", "LD_LIBRARY_PATH"):
        assert not foreign.contains(name) and own.value(name) == "/qgis/own"
