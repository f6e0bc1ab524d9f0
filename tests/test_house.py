"""The house plan: who may import whom, and what each room may use."""

import ast
import configparser
import re
import sys

import pytest
from conftest import ROOT

ROOMS = ("algorithms", "tools", "engine", "processing_provider", "ui")
MAY_USE = {  # which rooms a room may import from, itself aside
    "algorithms": set(), "engine": {"tools"}, "tools": {"engine", "algorithms"},
    "processing_provider": {"tools", "engine"}, "ui": {"tools", "engine", "processing_provider"}}
SCIENCE = {"numpy", "scipy", "sklearn", "tensorly", "torch"}
PACKAGES = {
    "algorithms": SCIENCE, "engine": SCIENCE | {"rasterio", "plotly", "threadpoolctl"},
    "tools": SCIENCE | {"rasterio", "plotly"}, "processing_provider": {"qgis", "osgeo", "processing"},
    "ui": {"qgis", "osgeo", "processing"}}
LIGHT = {"engine/declare.py", "engine/sentences.py", "engine/__init__.py"}
QGIS_READS = LIGHT | {"engine/dates.py", "engine/bands.py", "engine/palette.py"}

FILES = [path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))]


def imports(path):
    """`(module, at the top)` of every import: absolute packages as they are, relative ones as `.room...`."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    inside = {id(node) for function in ast.walk(tree) if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef))
              for node in ast.walk(function)}
    package = path.relative_to(ROOT).parts[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for name in node.names:
                yield name.name, id(node) not in inside
        elif isinstance(node, ast.ImportFrom):
            if not node.level:
                yield node.module, id(node) not in inside
            else:
                base = package[:len(package) - node.level + 1]
                for name in node.names:
                    yield "." + ".".join([*base, *((node.module or name.name).split("."))]), id(node) not in inside


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_only_what_its_room_may_use(path):
    room = path.relative_to(ROOT).parts[0]
    for module, at_top in imports(path):
        first = module.lstrip(".").split(".")[0]
        if module.startswith("."):
            if first in ROOMS and first != room:
                assert first in MAY_USE[room], f"{room} may not import {module}"
                if (room, first) in (("tools", "algorithms"), ("engine", "tools")):
                    assert not at_top, f"{module} belongs inside the function that needs it"
        elif first not in sys.stdlib_module_names:
            assert first in PACKAGES[room], f"{room} may not use {module}"
            if room == "tools" or str(path.relative_to(ROOT).as_posix()) in LIGHT:
                assert not at_top, f"{module} makes listing the toolbox slow: import it inside run()"


@pytest.mark.parametrize("path", [path for path in FILES if path.relative_to(ROOT).parts[0] in ("processing_provider",
                                                                                                "tools")],
                         ids=lambda path: str(path.relative_to(ROOT)))
def test_takes_only_declarations_from_the_engine_at_the_top(path):
    allowed = (".engine.declare", ".engine.sentences", ".engine")
    for module, at_top in imports(path):
        if at_top and module.startswith(".engine"):
            assert module in allowed, f"{module} may need numpy: import it inside run()"


@pytest.mark.parametrize("path", [ROOT / "__init__.py", ROOT / "plugin.py", *FILES],
                         ids=lambda path: str(path.relative_to(ROOT)))
def test_takes_qt_from_qgis_only(path):
    assert not re.search(r"^\s*(from|import) (PyQt[56]|PySide)", path.read_text(encoding="utf-8"), re.M)


@pytest.mark.parametrize("path", [ROOT / "__init__.py", ROOT / "plugin.py", ROOT / "bootstrap.py", *(
    path for path in FILES if path.relative_to(ROOT).parts[0] in ("processing_provider", "ui", "tools")
    or path.relative_to(ROOT).as_posix() in QGIS_READS)], ids=lambda path: str(path.relative_to(ROOT)))
def test_what_qgis_reads_is_python_3_9(path):
    """Which QGIS 3.40 for macOS brings along. Tools run in the engine, whose Python is newer."""
    tree = ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 9))
    newer = {"kw_only", "slots"} | ({"strict"} if path.relative_to(ROOT).parts[0] != "tools" else set())
    for node in ast.walk(tree):
        assert not (isinstance(node, ast.keyword) and node.arg in newer), f"{node.arg} in line {node.value.lineno}"
        for part in ("annotation", "returns"):
            words = getattr(node, part, None)
            assert not (isinstance(words, ast.BinOp) and isinstance(words.op, ast.BitOr)), f"| in line {words.lineno}"


def test_metadata_says_what_qgis_needs():
    metadata = configparser.ConfigParser()
    metadata.read(ROOT / "metadata.txt", encoding="utf-8")
    general = metadata["general"]
    for key in ("name", "description", "version", "author", "email", "about", "tracker", "repository"):
        assert general[key]
    assert (general["qgisMinimumVersion"], general["qgisMaximumVersion"]) == ("3.40", "4.99")
    assert general["hasProcessingProvider"] == "yes" and "plugin" not in general["name"].lower()
    assert (ROOT / general["icon"]).exists() and (ROOT / "LICENSE").exists()


def test_listing_the_tools_needs_no_numpy():
    import subprocess
    code = ("import sys; sys.path.append(sys.argv[1]); import bootstrap; bootstrap.load(); from subpixel.tools import "
            "all_tools; assert all_tools(); assert not {'numpy', 'rasterio', 'scipy', 'plotly'} & set(sys.modules)")
    subprocess.run([sys.executable, "-c", code, str(ROOT)], check=True)


def test_no_tool_reads_as_a_stub():
    for path in FILES:
        assert not re.search(r"\b(TODO|FIXME|XXX)\b", path.read_text(encoding="utf-8")), path
