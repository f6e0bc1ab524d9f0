"""
The engine killed, QGIS killed and runs cancelled at random moments: nothing half-written, nothing older lost.

The suite takes a share of the moments; with SUBPIXEL_THOROUGH=1 (scripts/torture) it takes them all.
"""

import hashlib
import json
import os
import signal
import subprocess
import tempfile
import threading
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from conftest import Feedback
from qgis.core import QgsProcessingException
from qgis.PyQt.QtCore import QProcess
from test_every_tool import example

THOROUGH = bool(os.environ.get("SUBPIXEL_THOROUGH"))
# of every kind: in blocks, from pixels, blind, variability, fusion, a folder of dates, events, states, torch, simulated
TOOLS = ("fcls", "vca", "curhu", "elmm", "hysure", "fclssequence", "nmfd", "kalmanfilter", "kalmannet", "simulatescene")
MOMENTS = 10 if THOROUGH else 2
RECORD = os.environ.get("SUBPIXEL_RECORD")   # a file for a line per tool


class Mortal(QProcess):
    """An engine's process that a `fate` befalls, if there is one, `delay` seconds after its start."""

    delay = fate = None
    fates = 0

    def start(self, program, arguments):
        super().start(program, arguments)
        if Mortal.fate and self.waitForStarted():
            threading.Timer(Mortal.delay, self._befall, [self.processId()]).start()

    def _befall(self, number):
        if number == process_with(f"bootstrap.py\0{tempfile.gettempdir()}"):   # not over already
            Mortal.fates += 1
            Mortal.fate(number)


def contents(folder):
    """Every file in a folder, by its path, and what is in it, in a few bytes."""
    return {path: path.is_file() and hashlib.sha256(path.read_bytes()).digest() for path in folder.rglob("*")}


def older(values, folder):
    """Put a file where each output goes, and one beside those of a folder; what there is then."""
    for name, path in values.items():
        path = Path(path) if isinstance(path, str) else folder
        if folder not in path.parents:
            continue
        if not path.suffix:
            path.mkdir()
            path = path / "older.tif"
        path.write_text(f"what was there before {name}")
        path.with_suffix(".qml").write_text(f"the style of {name}")
    return contents(folder)


@pytest.fixture
def befallen(id, run, examples, tmp_path, monkeypatch):
    """A function that runs a tool's example again and again, of which each befalls something at a random moment."""
    from subpixel.processing_provider import engine_process
    monkeypatch.setattr(engine_process, "QProcess", Mortal)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    began = time.monotonic()
    run(id, example(id, examples, tmp_path / "whole"))
    whole, rng = time.monotonic() - began, np.random.default_rng(TOOLS.index(id))

    def runs(fate, judge):
        """
        Run until `fate(process, feedback)` has befallen MOMENTS runs before they were done. Gives these moments.

        `judge(error)` looks at the sentence of each, None where there was none.
        """
        moments, attempts = [], 0
        while len(moments) < MOMENTS:
            attempts += 1
            assert attempts < 5 * MOMENTS, "the runs are over before anything befalls them"
            folder = tmp_path / f"{fate.__name__} {attempts}"
            folder.mkdir()
            values, feedback, error, results = example(id, examples, folder), Feedback(), None, {}
            before, known = older(values, folder), Mortal.fates
            with monkeypatch.context() as patch:
                patch.setattr(Mortal, "delay", float(rng.uniform(0, whole)))
                patch.setattr(Mortal, "fate", partial(fate, feedback))
                moment = round(Mortal.delay, 2)
                try:
                    results = run(id, values, feedback)
                except QgsProcessingException as problem:
                    error = str(problem)
            assert not list((tmp_path / "temporary").iterdir())
            if Mortal.fates > known and not results:
                judge(error)
                assert contents(folder) == before
                moments.append(moment)
        return moments
    return runs


def record(**row):
    """Write down what was done, where that is asked for."""
    if RECORD:
        with open(RECORD, "a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")


def killed(feedback, number):
    """The system ends the engine's process."""
    os.kill(number, signal.SIGKILL)


def cancelled(feedback, number):
    """The user cancels."""
    feedback.cancel()


@pytest.mark.parametrize("id", TOOLS)
def test_killed_engine_is_a_sentence_and_changes_nothing(id, befallen):
    def judge(error):
        assert error and "stopped before it was done" in error and "Traceback" not in error

    record(what="engine killed", tool=id, seconds=befallen(killed, judge))


@pytest.mark.parametrize("id", TOOLS if THOROUGH else TOOLS[:1])
def test_cancelled_run_changes_nothing(id, befallen):
    def judge(error):
        assert error is None

    record(what="cancelled", tool=id, seconds=befallen(cancelled, judge))


def process_with(words):
    """The id of a process in whose command line these words stand, or None."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if words in (folder / "cmdline").read_bytes().decode("utf-8", "replace"):
                return int(folder.name)
        except OSError:   # it is over
            continue
    return None


def soon(question):
    """The answer to a question as soon as it is not empty, at most a minute later."""
    end = time.monotonic() + 60
    while not question() and time.monotonic() < end:
        time.sleep(0.01)
    return question()


@pytest.mark.parametrize("id", ("curhu", "fclssequence", "kalmannet") if THOROUGH else ("fclssequence",))
def test_engine_of_a_killed_qgis_ends_and_takes_its_traces_along(id, examples, tmp_path):
    temporary, rng, moments, attempts, whole = tmp_path / "temporary", np.random.default_rng(5), [], 0, 1.0
    temporary.mkdir()
    while len(moments) < MOMENTS:
        attempts += 1
        assert attempts < 5 * MOMENTS, "the runs are over before QGIS is killed"
        folder = tmp_path / f"run {attempts}"
        folder.mkdir()
        values = example(id, examples, folder)
        before = older(values, folder)
        with subprocess.Popen(["qgis_process", "run", f"subpixel:{id}", "-"], stdin=subprocess.PIPE,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True,
                              env={**os.environ, "TMPDIR": str(temporary)}) as qgis_process:
            qgis_process.stdin.write(json.dumps({"inputs": values}))
            qgis_process.stdin.close()
            engine = soon(lambda: process_with(f"bootstrap.py\0{temporary}"))
            assert engine
            moment = float(rng.uniform(0, whole))
            time.sleep(moment)
            running = process_with(f"bootstrap.py\0{temporary}") == engine
            qgis_process.kill()
        assert soon(lambda: not process_with(f"bootstrap.py\0{temporary}")), "the engine goes on without QGIS"
        if running:
            moments.append(round(moment, 2))
            assert contents(folder) == before
            assert not list(temporary.glob("subpixel-*"))
    record(what="QGIS killed", tool=id, seconds=moments)
