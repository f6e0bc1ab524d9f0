"""Every report opens in a browser: its plots are drawn, and it holds no word that a failed one would leave."""

import html
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import Feedback
from qgis.core import QgsApplication, QgsProcessingContext
from qgis.PyQt.QtGui import QImage
from test_every_tool import TOOLS, example, finished

from subpixel.engine import declare

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
REPORTING = [id for id, tool in TOOLS.items() if any(isinstance(output, declare.ReportOutput)
                                                     for output in tool.outputs())]
SIDE = 1100, 400    # pixels of a report's frame
TOGETHER = 24       # reports in one window
LOOK = """
<script>
window.addEventListener("load", () => setTimeout(() => {
  const found = {};
  for (const frame of document.querySelectorAll("iframe")) {
    const page = frame.contentDocument;
    const plots = [...page.querySelectorAll(".plotly-graph-div")];
    found[frame.id] = {plots: plots.length, drawn: plots.filter(plot => plot.querySelector(".main-svg")).length,
                       traces: plots.filter(plot => plot.querySelector(".trace, .hm, .legend, image")).length,
                       words: page.body.innerText};
  }
  const pre = document.createElement("pre");
  pre.id = "found";
  pre.textContent = JSON.stringify(found);
  document.body.append(pre);
}, 3000));
</script>
"""


@pytest.fixture(scope="module")
def shown(qgis, examples, tmp_path_factory):
    """By tool: its report's text, and what a browser shows of it, with the picture of its frame."""
    browser = next((path for path in map(shutil.which, BROWSERS) if path), None)
    if browser is None:
        pytest.skip("no Chromium is installed to draw the reports")
    folder, reports = tmp_path_factory.mktemp("reports"), {}
    for id in REPORTING:
        values, results = finished[id][:2] if id in finished else made(id, examples, tmp_path_factory.mktemp(id))
        reports[id] = Path(results["REPORT"])
    found = {}
    for start in range(0, len(REPORTING), TOGETHER):
        ids = REPORTING[start:start + TOGETHER]
        pages = [reports[ids[0]], *(sharing(reports[id], folder / f"{id}.html") for id in ids[1:])]
        page, picture = folder / f"{start}.html", folder / f"{start}.png"
        page.write_text("<body style='margin: 0'>" + "".join(
            f'<iframe id="{id}" src="{each.as_uri()}" width="{SIDE[0]}" height="{SIDE[1]}" '
            'style="display: block; border: 0"></iframe>' for id, each in zip(ids, pages)) + LOOK, encoding="utf-8")
        done = subprocess.run(
            [browser, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars",
             "--allow-file-access-from-files", f"--user-data-dir={folder / 'browser'}", "--dump-dom",
             f"--window-size={SIDE[0]},{SIDE[1] * len(ids)}", "--virtual-time-budget=20000",
             f"--screenshot={picture}", page.as_uri()], capture_output=True, text=True, timeout=300)
        looked = json.loads(html.unescape(re.search(r'<pre id="found">(.*?)</pre>', done.stdout, re.S)[1]))
        image = QImage(str(picture))
        for number, id in enumerate(ids):
            found[id] = {**looked[id], "text": reports[id].read_text(encoding="utf-8"),
                         "picture": image.copy(0, number * SIDE[1], *SIDE)}
    return found


def sharing(report, path):
    """A report whose plotly is a file for all such: the browser translates it once, which is most of its work."""
    before, begin, rest = report.read_text(encoding="utf-8").partition("<script>/**\n* plotly.js")
    plotly, end, after = rest.partition("</script>")
    script = path.with_name("plotly.js")
    if not script.exists():
        script.write_text(f"/*{plotly}", encoding="utf-8")
    assert plotly and script.read_text(encoding="utf-8") == f"/*{plotly}"
    path.write_text(f'{before}<script src="plotly.js">{end}{after}', encoding="utf-8")
    return path


def made(id, examples, folder):
    """Values and results of a tool's example, where no other test has run it."""
    values = example(id, examples, folder)
    algorithm = QgsApplication.processingRegistry().createAlgorithmById(f"subpixel:{id}")
    results, done = algorithm.run(values, QgsProcessingContext(), Feedback(), {}, False)
    assert done
    return values, results


@pytest.mark.parametrize("id", REPORTING)
def test_every_plot_is_drawn(id, shown):
    plots = len(re.findall(r'<div id="[^"]+" class="plotly-graph-div"', shown[id]["text"]))
    assert shown[id]["plots"] == shown[id]["drawn"] == plots
    assert shown[id]["traces"] == plots, "a plot is empty"
    assert plots or "<img" in shown[id]["text"] or "<table" in shown[id]["text"]


@pytest.mark.parametrize("id", REPORTING)
def test_words_are_those_of_a_whole_report(id, shown):
    words = shown[id]["words"]
    assert TOOLS[id].label in words and "How this was made" in words and f"subpixel:{id}" in words
    assert not re.search(r"\b(undefined|NaN|nan|None|Traceback|\[object)\b", words)


@pytest.mark.parametrize("id", REPORTING)
def test_the_page_is_painted(id, shown):
    picture = shown[id]["picture"]
    colours = {picture.pixel(x, y) for x in range(0, SIDE[0], 8) for y in range(0, SIDE[1], 8)}
    assert (picture.width(), picture.height()) == SIDE and len(colours) > 10
