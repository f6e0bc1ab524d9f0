"""The Help button: a page for every tool and model, built from the checkout, and its example command as it stands."""

import html
import os
import re
import shutil
import subprocess

import pytest
from conftest import ROOT
from qgis.core import QgsApplication
from qgis.PyQt.QtCore import QUrl

@pytest.fixture(scope="module")
def built():
    """The folder of the pages, built where the Help buttons look for them."""
    subprocess.run([os.environ["SUBPIXEL_PYTHON"], str(ROOT / "scripts" / "pages.py")], check=True)
    return ROOT / "docs" / "html"


def test_help_opens_a_file_for_every_tool_and_model(qgis, built):
    algorithms = QgsApplication.processingRegistry().providerById("subpixel").algorithms()
    for algorithm in algorithms:
        page = QUrl(algorithm.helpUrl())
        assert page.isLocalFile() and os.path.isfile(page.toLocalFile()), algorithm.id()
    assert len(algorithms) == len(list((built / "tools").glob("*.html")))


def test_without_pages_there_is_no_url(qgis, monkeypatch, tmp_path):
    from subpixel.processing_provider import pages
    monkeypatch.setattr(pages, "PAGES", tmp_path)
    assert QgsApplication.processingRegistry().algorithmById("subpixel:fcls").helpUrl() == ""


def test_the_command_of_a_page_runs_as_it_stands(examples, built, tmp_path):
    page = (built / "tools" / "fcls.html").read_text(encoding="utf-8")
    command = html.unescape(re.search(r"<pre><code>(qgis_process .*?)</code>", page, re.S)[1])
    for name in ("scene.tif", "endmembers.gpkg"):
        shutil.copy(examples[name.split(".")[0]], tmp_path / name)
    done = subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "abundances.tif").stat().st_size > 0
