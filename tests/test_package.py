"""The zip: the plugin repository's rules, and that it holds what the plugin needs."""

import ast
import configparser
import json
import os
import posixpath
import re
import shutil
import subprocess
import sys
import zipfile
from html.parser import HTMLParser
from pathlib import PurePosixPath
from urllib.parse import unquote

import pytest
from conftest import ROOT

PNG = b"\x89PNG\r\n\x1a\n"
NOT_SHIPPED = {"tests", "scripts", "benchmarks", "demo-output"}


def build(folder):
    """The zip that `make package` builds."""
    if not (ROOT / ".git").exists():
        pytest.skip("this is no git checkout, from which packages are made")
    made = subprocess.run([sys.executable, ROOT / "scripts" / "package.py", folder], check=True, capture_output=True,
                          text=True)
    return made.stdout.strip()


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """Path of the zip."""
    return build(tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def contents(package):
    """Files of the zip: bytes by name."""
    with zipfile.ZipFile(package) as archive:
        return {name: archive.read(name) for name in archive.namelist() if not name.endswith("/")}


@pytest.fixture(scope="module")
def unpacked(package, tmp_path_factory):
    """The plugin's folder, as unzipped."""
    folder = tmp_path_factory.mktemp("plugins")
    with zipfile.ZipFile(package) as archive:
        archive.extractall(folder)
    return folder / "subpixel"


@pytest.fixture(scope="module")
def metadata(contents):
    parser = configparser.ConfigParser()   # with interpolation, as QGIS reads it
    parser.read_string(contents["subpixel/metadata.txt"].decode("utf-8"))
    return dict(parser["general"])


def test_one_folder_without_tests_caches_and_hidden_files(contents):
    for name in contents:
        top, *rest = PurePosixPath(name).parts
        assert top == "subpixel" and rest, name
        assert rest[0] not in NOT_SHIPPED, name
        assert not any(part.startswith((".", "__pycache__", "__MACOSX")) for part in rest), name
        assert not name.endswith((".pyc", ".pyo")), name


def test_every_file_is_text_or_a_picture(contents):
    for name, data in contents.items():
        if name.endswith(".png"):
            assert data.startswith(PNG), name
        else:
            assert b"\0" not in data, name
            data.decode("utf-8")


def test_is_small_and_the_same_again(package, contents, tmp_path):
    with open(package, "rb") as first, open(build(tmp_path), "rb") as second:
        data = first.read()
        assert data == second.read()
    assert len(data) < 25e6
    assert len(contents) == len({name.casefold() for name in contents}), "names that are one on Windows"


def test_metadata_is_complete(contents, metadata):
    for key in ("name", "description", "about", "version", "qgisminimumversion", "author", "email", "tracker",
                "repository", "homepage", "tags", "category", "icon", "changelog"):
        assert metadata[key].strip(), key
    assert re.fullmatch(r"\d+\.\d+\.\d+", metadata["version"])
    assert metadata["hasprocessingprovider"] == "yes"
    assert "plugin" not in metadata["name"].lower()
    assert len(metadata["description"]) < 200
    for key in ("tracker", "repository", "homepage"):
        assert metadata[key].startswith("https://"), key
    assert f"subpixel/{metadata['icon']}" in contents
    assert b"GNU GENERAL PUBLIC LICENSE" in contents["subpixel/LICENSE"]


def test_about_names_what_the_engine_needs(contents, metadata):
    for file in ("requirements.txt", "requirements-deep.txt"):
        needed = re.findall(r"^([\w-]+)==", contents[f"subpixel/{file}"].decode(), re.M)
        assert needed
        for name in needed:
            assert name in metadata["about"], name


def test_changelog_begins_with_the_version_that_the_metadata_tells(contents, metadata):
    entries = re.split(r"^## ", contents["subpixel/CHANGELOG.md"].decode("utf-8"), flags=re.M)
    version, _, text = entries[1].partition("\n")
    assert version.split()[0] == metadata["version"]
    assert metadata["changelog"] == f"{metadata['version']}: {re.sub(chr(10) + '+', chr(10), text.strip())}"


def test_security_scan_finds_nothing(unpacked):
    probe = unpacked.parent / "probe.py"
    probe.write_text("assert eval('1')\n")
    found = subprocess.run([sys.executable, "-m", "bandit", "-q", "-r", "-f", "json", unpacked, probe],
                           capture_output=True, text=True)
    report = json.loads(found.stdout)
    assert not report["errors"]
    findings = [(result["filename"], result["line_number"], result["test_id"]) for result in report["results"]]
    assert {test for file, _, test in findings if file == str(probe)} == {"B101", "B307"}
    assert [finding for finding in findings if finding[0] != str(probe)] == []


def test_silenced_findings_say_why(contents):
    for name, data in contents.items():
        if name.endswith(".py"):
            for remark in re.findall(r"#\s*nosec\b.*", data.decode("utf-8")):
                assert re.match(r"# nosec B\d{3}\b.{10,}", remark), f"{name}: {remark}"


def test_qt_comes_from_qgis(contents):
    for name, data in contents.items():
        if name.endswith(".py"):
            for node in ast.walk(ast.parse(data)):
                modules = ([node.module or ""] if isinstance(node, ast.ImportFrom) else
                           [alias.name for alias in node.names] if isinstance(node, ast.Import) else [])
                assert not any(module.startswith(("PyQt", "PySide", "sip")) for module in modules), name


class Links(HTMLParser):
    """What the pages refer to."""

    def __init__(self):
        super().__init__()
        self.targets = set()

    def handle_starttag(self, tag, attributes):
        self.targets.update(value for name, value in attributes if name in ("href", "src"))


def test_the_help_lacks_nothing_that_its_pages_show(contents):
    pages = [name for name in contents if name.endswith(".html")]
    assert "subpixel/docs/html/index.html" in pages
    for page in pages:
        links = Links()
        links.feed(contents[page].decode("utf-8"))
        for target in links.targets:
            path = unquote(target.partition("#")[0])
            if path and not re.match(r"[a-z]+:", path):
                file = posixpath.normpath(posixpath.join(posixpath.dirname(page), path))
                assert file in contents, f"{page}: {target}"


def test_main_job_through_qgis_process(unpacked, tmp_path):
    """In a profile that has nothing but the unpacked plugin."""
    if not shutil.which("qgis_process"):
        pytest.skip("qgis_process is not installed")
    profile = tmp_path / "profile"
    shutil.copytree(unpacked, profile / "profiles" / "default" / "python" / "plugins" / "subpixel")
    scene, abundances = tmp_path / "scene.tif", tmp_path / "abundances.tif"
    subprocess.run([sys.executable, ROOT / "scripts" / "indian_pines.py", scene], check=True)
    environment = {name: value for name, value in os.environ.items() if name != "QGIS_PLUGINPATH"}
    environment |= {"QT_QPA_PLATFORM": "offscreen", "QGIS_CUSTOM_CONFIG_PATH": str(profile),
                    "SUBPIXEL_PYTHON": sys.executable}
    main_job = ["--json", "run", "subpixel:curhu", "--", f"INPUT={scene}", "COUNT=6", f"ABUNDANCES={abundances}",
                f"ENDMEMBERS={tmp_path / 'endmembers.gpkg'}"]
    for arguments in (["plugins", "enable", "subpixel"], main_job):
        done = subprocess.run(["qgis_process", *arguments], env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["results"]["ABUNDANCES"] == str(abundances)
    import rasterio
    with rasterio.open(abundances) as raster:
        assert raster.count == 6 and raster.crs == "EPSG:32616"
        fractions = raster.read(masked=True)
        assert fractions.count() == 6 * 145 * 145 and fractions.min() >= 0 and fractions.max() > 0.5
    assert abundances.with_suffix(".qml").exists()
