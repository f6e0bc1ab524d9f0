"""Shared by every test: the package under its name, and the real scenes."""

import json
import sys
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.append(str(ROOT))

import bootstrap

bootstrap.load()

SCENES = ROOT.parent / "shared" / "data"


@pytest.fixture(scope="session")
def scenes():
    """Folder of the real scenes; a test that needs one is skipped where it is absent."""
    if not SCENES.is_dir():
        pytest.skip("the real scenes (../shared/data) are not here")
    return SCENES


@contextmanager
def benchmark(name):
    """A script of benchmarks/ as a module, and a monkeypatch that undoes what is set at the end."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "benchmarks"))
        for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
            patch.setenv(variable, "1")   # which the script sets
        yield import_module(name), patch


def recorded(name):
    """Rows of a table of benchmarks/results."""
    return json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text(encoding="utf-8"))["rows"]
