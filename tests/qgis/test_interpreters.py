"""Where interpreters are found, in layouts as they were recorded on each platform."""

import os
from pathlib import PurePosixPath, PureWindowsPath

import pytest

from subpixel.processing_provider.interpreters import Machine, candidates, own, uv

MAC = "/Applications/QGIS.app/Contents"
LAYOUTS = {
    # machine; files that are there; QGIS's own; those to try, in their order; uv
    "Windows, OSGeo4W": (
        Machine("win32", r"C:\OSGeo4W\apps\Python312", "3.12", r"C:\OSGeo4W\bin\qgis-bin.exe", r"C:\Users\Ana Lía",
                (r"C:\OSGeo4W\apps\qgis\bin", r"C:\OSGeo4W\apps\Python312", r"C:\OSGeo4W\bin", r"C:\WINDOWS\system32",
                 r"C:\Users\Ana Lía\AppData\Local\Microsoft\WindowsApps")),
        [r"C:\OSGeo4W\bin\qgis-bin.exe", r"C:\OSGeo4W\bin\python3.exe", r"C:\OSGeo4W\bin\python312.dll",
         r"C:\OSGeo4W\apps\Python312\python.exe", r"C:\OSGeo4W\apps\Python312\pythonw.exe",
         r"C:\Users\Ana Lía\AppData\Local\Microsoft\WindowsApps\python.exe"],
        r"C:\OSGeo4W\apps\Python312\python.exe",
        [r"C:\OSGeo4W\apps\Python312\python.exe", r"C:\OSGeo4W\bin\python3.exe"], None),
    "Windows, standalone installer, with Python and uv of the user's own": (
        Machine("win32", r"C:\Program Files\QGIS 3.40.6\apps\Python312", "3.12",
                r"C:\Program Files\QGIS 3.40.6\bin\qgis-ltr-bin.exe", r"C:\Users\ana",
                (r"C:\Program Files\QGIS 3.40.6\bin", r"C:\Users\ana\.local\bin")),
        [r"C:\Program Files\QGIS 3.40.6\apps\Python312\python.exe", r"C:\Program Files\QGIS 3.40.6\bin\python.exe",
         r"C:\Users\ana\AppData\Local\Programs\Python\Python313\python.exe", r"C:\Users\ana\.local\bin\uv.exe"],
        r"C:\Program Files\QGIS 3.40.6\apps\Python312\python.exe",
        [r"C:\Program Files\QGIS 3.40.6\apps\Python312\python.exe",
         r"C:\Users\ana\AppData\Local\Programs\Python\Python313\python.exe",
         r"C:\Program Files\QGIS 3.40.6\bin\python.exe"], r"C:\Users\ana\.local\bin\uv.exe"),
    "Windows, conda": (
        Machine("win32", r"C:\Users\ana\miniforge3\envs\qgis", "3.13",
                r"C:\Users\ana\miniforge3\envs\qgis\Library\bin\qgis.exe", r"C:\Users\ana",
                (r"C:\Users\ana\miniforge3\envs\qgis\Library\bin",)),
        [r"C:\Users\ana\miniforge3\envs\qgis\python.exe", r"C:\Users\ana\miniforge3\python.exe"],
        r"C:\Users\ana\miniforge3\envs\qgis\python.exe", [r"C:\Users\ana\miniforge3\envs\qgis\python.exe"], None),
    "macOS, older bundle, with Python of the user's own": (
        Machine("darwin", f"{MAC}/MacOS", "3.9", f"{MAC}/MacOS/QGIS", "/Users/ana", ("/usr/bin", "/bin")),
        [f"{MAC}/MacOS/bin/python3", f"{MAC}/MacOS/bin/python3.9", "/usr/bin/python3",
         "/Library/Frameworks/Python.framework/Versions/3.12/bin/python3.12"],
        f"{MAC}/MacOS/bin/python3.9",
        [f"{MAC}/MacOS/bin/python3.9", f"{MAC}/MacOS/bin/python3",
         "/Library/Frameworks/Python.framework/Versions/3.12/bin/python3.12"], None),
    "macOS, newer bundle, with Homebrew": (
        Machine("darwin", f"{MAC}/Frameworks", "3.12", f"{MAC}/MacOS/QGIS-final-4_2_1", "/Users/ana", ("/usr/bin",)),
        [f"{MAC}/MacOS/python", f"{MAC}/MacOS/python3.12", f"{MAC}/Frameworks/lib/python3.12/os.py",
         "/usr/bin/python3", "/opt/homebrew/bin/python3", "/opt/homebrew/bin/uv"],
        f"{MAC}/MacOS/python",
        [f"{MAC}/MacOS/python", f"{MAC}/MacOS/python3.12", "/opt/homebrew/bin/python3"], "/opt/homebrew/bin/uv"),
    "macOS, conda": (
        Machine("darwin", "/Users/ana/miniforge3/envs/qgis", "3.12", "/Users/ana/miniforge3/envs/qgis/bin/qgis",
                "/Users/ana", ("/Users/ana/miniforge3/envs/qgis/bin", "/usr/bin")),
        ["/Users/ana/miniforge3/envs/qgis/bin/python3.12", "/Users/ana/miniforge3/envs/qgis/bin/python3"],
        "/Users/ana/miniforge3/envs/qgis/bin/python3.12",
        ["/Users/ana/miniforge3/envs/qgis/bin/python3.12", "/Users/ana/miniforge3/envs/qgis/bin/python3"], None),
    "Flatpak": (
        Machine("linux", "/usr", "3.12", "/app/bin/qgis", "/home/ana", ("/app/bin", "/usr/bin")),
        ["/usr/bin/python3", "/usr/bin/python3.12", "/app/bin/qgis", "/home/ana/.local/bin/uv"],
        "/usr/bin/python3.12", ["/usr/bin/python3.12", "/usr/bin/python3"], "/home/ana/.local/bin/uv"),
    "Debian, with pyenv": (
        Machine("linux", "/usr", "3.11", "/usr/bin/qgis", "/home/ana", ("/home/ana/.pyenv/shims", "/usr/bin", "/bin")),
        ["/usr/bin/python3", "/usr/bin/python3.11", "/home/ana/.pyenv/shims/python3",
         "/home/ana/.pyenv/shims/python3.12"],
        "/usr/bin/python3.11",
        ["/usr/bin/python3.11", "/usr/bin/python3", "/home/ana/.pyenv/shims/python3",
         "/home/ana/.pyenv/shims/python3.12"], None),
    "Fedora": (
        Machine("linux", "/usr", "3.14", "/usr/bin/qgis", "/home/ana", ("/usr/local/bin", "/usr/bin")),
        ["/usr/bin/python3", "/usr/bin/python3.14", "/usr/bin/python3.12", "/usr/bin/uv"], "/usr/bin/python3.14",
        ["/usr/bin/python3.14", "/usr/bin/python3", "/usr/bin/python3.12"], "/usr/bin/uv"),
    "Linux, conda": (
        Machine("linux", "/home/ana/miniforge3/envs/qgis", "3.12", "/home/ana/miniforge3/envs/qgis/bin/qgis",
                "/home/ana", ("/home/ana/miniforge3/envs/qgis/bin", "/usr/bin")),
        ["/home/ana/miniforge3/envs/qgis/bin/python3.12", "/usr/bin/python3", "/home/ana/.cargo/bin/uv"],
        "/home/ana/miniforge3/envs/qgis/bin/python3.12",
        ["/home/ana/miniforge3/envs/qgis/bin/python3.12", "/usr/bin/python3"], "/home/ana/.cargo/bin/uv"),
    "NixOS": (
        Machine("linux", "/nix/store/abc-python3-3.12.8", "3.12", "/nix/store/def-qgis-3.40.6/bin/.qgis-wrapped",
                "/home/ana", ("/run/current-system/sw/bin",)),
        ["/nix/store/abc-python3-3.12.8/bin/python3.12", "/run/current-system/sw/bin/python3",
         "/run/current-system/sw/bin/uv"],
        "/nix/store/abc-python3-3.12.8/bin/python3.12",
        ["/nix/store/abc-python3-3.12.8/bin/python3.12", "/run/current-system/sw/bin/python3"],
        "/run/current-system/sw/bin/uv")}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_interpreters_of_a_recorded_layout(layout):
    machine, files, expected, tried, program = LAYOUTS[layout]
    path = PureWindowsPath if machine.system == "win32" else PurePosixPath
    exists = {path(file) for file in files}.__contains__
    assert own(machine, exists) == path(expected)
    assert candidates(machine, exists) == [path(file) for file in tried]
    assert uv(machine, exists) == (program and path(program))


def test_without_any_interpreter_qgiss_own_is_still_named():
    machine = Machine("linux", "/usr", "3.12", "/usr/bin/qgis", "/home/ana", ())
    assert own(machine, lambda place: False) == PurePosixPath("/usr/bin/python3.12")
    assert candidates(machine, lambda place: False) == [] and uv(machine, lambda place: False) is None


def test_on_this_computer_qgiss_own_interpreter_is_one_that_runs(qgis):
    from subpixel.processing_provider import engine_python
    python = engine_python.own_interpreter()
    assert engine_python.missing(python, ("qgis",)) == []
    assert python in [type(python)(place) for place in candidates(engine_python.machine(), os.path.isfile)]


def test_what_an_interpreter_prints_is_read_in_whatever_encoding(qgis, tmp_path):
    from subpixel.processing_provider import engine_python
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nprintf "\\377" >&2; printf "\\377\\n"; exec {os.environ["SUBPIXEL_PYTHON"]} "$@"\n')
    python.chmod(0o755)
    assert engine_python.missing(python, ("numpy", "nosuchpackage")) == ["nosuchpackage"]


def test_the_engines_python_is_the_first_of_those_that_may_run_it(qgis, tmp_path, monkeypatch):
    from processing.core.ProcessingConfig import ProcessingConfig

    from subpixel.processing_provider import engine_python
    from subpixel.processing_provider.engine_python import Origin, chosen, executable_in
    monkeypatch.setenv("SUBPIXEL_PYTHON", str(tmp_path / "python"))
    assert chosen() == (tmp_path / "python", Origin.VARIABLE)
    monkeypatch.delenv("SUBPIXEL_PYTHON")
    with monkeypatch.context() as setting:
        setting.setattr(ProcessingConfig, "getSetting", lambda name: str(tmp_path))
        assert chosen() == (executable_in(tmp_path), Origin.SETTING)
    monkeypatch.setattr(engine_python, "private", lambda: tmp_path)
    monkeypatch.setattr(engine_python, "ROOT", tmp_path / "plugin")
    assert chosen() == (engine_python.own_interpreter(), Origin.QGIS)   # neither of the two is there yet
    for folder, origin in ((tmp_path / "plugin" / ".venv", Origin.CHECKOUT), (tmp_path, Origin.PRIVATE)):
        executable_in(folder).parent.mkdir(parents=True)
        executable_in(folder).touch()
        assert chosen() == (executable_in(folder), origin)
