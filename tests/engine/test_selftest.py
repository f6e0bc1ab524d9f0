"""The engine's test of itself, as the options' page starts it."""

import json
import shutil
import subprocess
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType

import pytest
from conftest import ROOT

from subpixel.engine.sentences import UserError
from subpixel.engine.selftest import selftest, state


def asked(*arguments, program=ROOT / "bootstrap.py"):
    """The exit code and the only answer."""
    done = subprocess.run([sys.executable, str(program), *arguments], capture_output=True, text=True, timeout=120)
    return done.returncode, json.loads(done.stdout)


def test_an_engine_that_works_says_what_it_has():
    code, answer = asked("--self-test")
    assert code == 0 and list(answer) == ["result"]
    assert answer["result"] == asked("--state")[1]["result"] == state()
    found = {package["name"]: package for package in answer["result"]["packages"]}
    assert {"numpy", "scipy", "rasterio", "scikit-learn", "torch"} <= set(found)
    assert found["numpy"]["found"] == found["numpy"]["wanted"] and not found["numpy"]["deep"]
    assert [name for name in found if found[name]["deep"]] == ["torch"]


@pytest.mark.parametrize("wrong_by", [0.01, float("nan")])
def test_an_engine_that_computes_wrongly_is_found_out(wrong_by):
    from subpixel.engine.main import run

    def wrong(job, tell):
        import rasterio
        run(job, tell)
        with rasterio.open(job["outputs"]["ABUNDANCES"], "r+") as file:
            file.write(file.read() + wrong_by)

    with pytest.raises(UserError, match=f"missed by {wrong_by}"):
        selftest(wrong)


def test_torch_is_tried_where_it_is_installed(monkeypatch):
    from subpixel.engine.main import run
    torch = ModuleType("torch")
    torch.__spec__ = ModuleSpec("torch", None)
    monkeypatch.setitem(sys.modules, "torch", torch)   # as one whose libraries are damaged
    with pytest.raises(AttributeError, match="torch"):
        selftest(run)


def test_a_missing_package_is_named(tmp_path):
    shutil.copytree(ROOT / "engine", tmp_path / "engine", ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("__init__.py", "bootstrap.py", "requirements-deep.txt"):
        shutil.copy(ROOT / file, tmp_path)
    (tmp_path / "requirements.txt").write_text("numpy==2\nnosuchpackage==1.0\n")
    code, answer = asked("--self-test", program=tmp_path / "bootstrap.py")
    assert code == 1 and answer["error"].format(**answer["arguments"]) == "The engine's Python lacks: nosuchpackage."
