"""The pages of help: one for every tool and model, complete; links lead somewhere, and nothing comes from outside."""

import html
import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT

sys.path += [str(ROOT / "scripts"), str(ROOT / "tests" / "engine")]
import pages
from toolruns import raster

from subpixel.tools import all_tools

BUILT = pages.pages()
TOOLS = all_tools()
IDS = {path: set(re.findall(r' id="([^"]+)"', page)) for path, page in BUILT.items()}


def plain(page):
    """A page's words, tags and repeated blanks taken away."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", BUILT[page])).split())


@pytest.mark.parametrize("id", TOOLS)
def test_a_tools_page_says_all_that_its_declaration_does(id):
    tool, words = TOOLS[id], plain(f"tools/{id}.html")
    for text in [*tool.help(), tool.prefer, tool.citation, f"qgis_process run subpixel:{id}",
                 f'processing.run("subpixel:{id}"']:
        assert text and " ".join(text.split()) in words
    for thing in [*tool.parameters(), *tool.outputs()]:
        assert f"{thing.name} {thing.label}" in words and " ".join(thing.help.split()) in words
    for doi in tool.doi:
        assert f'href="https://doi.org/{doi}"' in BUILT[f"tools/{id}.html"]


@pytest.mark.parametrize("id", TOOLS)
def test_a_tools_page_says_what_it_costs(id):
    assert "Time and memory" in plain(f"tools/{id}.html"), f"run benchmarks/tool_costs.py {id}, then scripts/docs"


def test_the_index_leads_to_every_tool_and_model():
    links = re.findall(r'href="tools/(\w+)\.html"', BUILT["index.html"])
    assert sorted(links) == sorted([*TOOLS, *(model.id for model in pages.models())])


@pytest.mark.parametrize("model", pages.models(), ids=lambda model: model.id)
def test_a_model_tells_what_each_parameter_and_output_is(model):
    assert model.steps and model.outputs
    assert all(label and words for _, label, words, *_ in [*model.parameters, *model.outputs])


def test_a_models_page_tells_its_steps_and_parameters():
    words = plain("tools/unmixscene.html")
    for text in ("HySime: number of endmembers Vertex component analysis (VCA) Fully constrained least squares (FCLS)",
                 "INPUT Hyperspectral image", "SEED Random seed", "abundances Abundances", "--INPUT=input.tif"):
        assert text in words


@pytest.mark.parametrize("path", BUILT)
def test_links_lead_to_what_is_there(path):
    for link in re.findall(r'(?:href|src)="([^"]+)"', BUILT[path]):
        if not link.startswith("https://doi.org/"):
            place, _, anchor = link.partition("#")
            target = os.path.normpath(os.path.join(os.path.dirname(path), place)) if place else path
            picture = os.path.normpath(ROOT / "docs" / "html" / target)
            assert target in IDS or target == "style.css" or os.path.isfile(picture), link
            assert not anchor or anchor in IDS[target], link


@pytest.mark.parametrize("path", BUILT)
def test_pages_need_no_network_and_name_no_machine(path):
    assert not re.search(r'(src|<link [^>]*href)="(https?:)?//', BUILT[path])
    assert not re.search(r"(?<![\w.])/(work|tmp|root|home)/", BUILT[path])


def test_italics_that_are_a_label_lead_to_the_tool():
    assert '<a href="tools/ultrav.html">' in BUILT["guide.html"]
    assert '<a href="../tools/fcls.html">' in BUILT["recipes/abundances.html"]


def test_the_guides_job_runs_as_it_stands(tmp_path):
    job = re.search(r"```json\n(.*?)```", (ROOT / "docs" / "guide.md").read_text(encoding="utf-8"), re.S)[1]
    (tmp_path / "job.json").write_text(job, encoding="utf-8")
    rng = np.random.default_rng(0)
    cube = np.einsum("lp,pij->lij", rng.random((20, 3)), rng.dirichlet(np.ones(3), (12, 15)).transpose(2, 0, 1))
    raster(tmp_path / "scene.tif", cube)
    done = subprocess.run([sys.executable, str(ROOT / "bootstrap.py"), "job.json"], cwd=tmp_path, capture_output=True,
                          text=True, timeout=120)
    result = json.loads(done.stdout.splitlines()[-1])["result"]
    assert (tmp_path / "abundances.tif").exists() and (tmp_path / "report.html").exists()
    assert len(result["spectra"]["ENDMEMBERS"]["features"]) == 3


@pytest.mark.parametrize("page", ["README.md", "CHANGELOG.md", "benchmarks/README.md", *(
    path.relative_to(ROOT).as_posix() for path in sorted((ROOT / "docs").rglob("*.md")))])
def test_links_of_a_markdown_page_lead_to_files(page):
    for link in re.findall(r"\]\(([^)#]+)[^)]*\)", (ROOT / page).read_text(encoding="utf-8")):
        assert link.startswith("https://") or ((ROOT / page).parent / link).exists(), link
