"""A real QGIS window on a virtual screen: `curhu` from its dialog on Indian Pines, with pictures to look at."""

import json
import os
import re
import shutil
import subprocess
import sys

import pytest
from conftest import ROOT
from windows import in_window, needs_a_window

BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="module")
def shots():
    """The folder of the pictures, after the run in the window."""
    needs_a_window()
    folder = ROOT / ".cache" / "window"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    subprocess.run([sys.executable, str(ROOT / "scripts/pages.py")], check=True)
    scene = str(folder / "indian_pines.tif")
    subprocess.run([sys.executable, str(ROOT / "scripts/indian_pines.py"), scene], check=True)
    # what lies in the folder for temporary files QGIS names otherwise, and this checkout may lie there
    environment = {**os.environ, "SUBPIXEL_SCENE": scene, "SUBPIXEL_SHOTS": str(folder), "TMPDIR": str(folder / "tmp")}
    (folder / "tmp").mkdir()
    in_window("in_qgis.py", folder / "qgis.log", environment)
    return folder


@pytest.fixture(scope="module")
def found(shots):
    found = json.loads((shots / "found.json").read_text())
    assert "error" not in found, found["error"]
    return found


def test_dialog_runs_and_loads_styled_layers(found):
    abundances = found["abundances"]
    endmembers = found["endmembers"]
    assert abundances["valid"] and abundances["bands"] == 6 and abundances["renderer"] == "singlebandpseudocolor"
    assert endmembers["features"] == 6 and endmembers["renderer"] == "categorizedSymbol"
    assert abundances["crs"] == endmembers["crs"] == "EPSG:32616"
    assert found["order"] == ["endmembers", "abundances", "Indian Pines"]


def test_a_dialog_tells_the_dates_of_its_images(found):
    dates = found["dates"]
    assert dates["placeholder"] == "From the images: 2020-03-01, 2020-05-15"
    assert dates["unknown"] == "From the images: ?"
    assert dates["values"] == ["2001-01-01", "2001-01-01, 2002-01-01", "2003-01-01", ""]


def test_options_are_shown_in_words_and_handed_over_as_values(found):
    choices, words = found["choices"], "Difference of neighbouring pixels"
    assert choices["given"] == ["Regression on the other bands", "regression"]
    assert choices["chosen"] == [words, "shift"]
    assert words in choices["batch"] and words in choices["modeler"] and choices["step"] == ["shift"]


def test_the_temporal_controller_shows_one_date_after_the_other(found):
    assert found["dates"]["group"] == ["2020-05-15", "2020-03-01"]
    assert found["dates"]["shown"] == {"0": ["2020-03-01"], "74": ["2020-03-01"], "75": ["2020-05-15"],
                                       "100": ["2020-05-15"]}


def test_the_help_button_opens_the_tools_page(found):
    assert found["help"].endswith("docs/html/tools/curhu.html") and os.path.isfile(found["help"])


def test_toolbox_holds_every_tool(found):
    from subpixel.tools import all_tools
    assert {f"subpixel:{id}" for id in all_tools()} <= set(found["tools"])


def test_model_designer_opens_the_shipped_model(found):
    assert found["model"] == {"valid": True, "steps": ["abundances", "endmembers", "picture", "rank"]}


def test_explorer_shows_the_clicked_pixel_and_how_well_the_mixture_fits(found):
    explorer = found["explorer"]
    assert explorer["open"] and explorer["closed"]
    assert re.fullmatch(r"Indian Pines at [\d.]+, [\d.]+\. Mixture: RMSE [\d.]+, spectral angle [\d.]+°",
                        explorer["words"])


@pytest.mark.parametrize("name", ["dialog", "dialog-after", "map", "canvas", "explorer", "modeler"])
def test_pictures_show_something(found, shots, name):
    import rasterio
    with rasterio.open(shots / f"{name}.png") as picture:
        assert picture.width > 400 and picture.height > 300
        assert len(set(picture.read(1).ravel().tolist())) > 20


def test_report_draws_in_a_browser(found, shots):
    browser = next((path for path in map(shutil.which, BROWSERS) if path), None)
    if browser is None:
        pytest.skip("no Chromium is installed to draw the report")
    target = shots / "report.png"
    subprocess.run([browser, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync",
                    "--disable-background-networking", f"--user-data-dir={shots / 'browser'}", "--hide-scrollbars",
                    "--window-size=1100,2600", "--virtual-time-budget=8000", f"--screenshot={target}",
                    (shots / "report.html").as_uri()], capture_output=True, timeout=120)
    import rasterio
    with rasterio.open(target) as picture:
        plot = picture.read(1, window=rasterio.windows.Window(100, 250, 900, 400))
        assert (plot < 250).mean() > 0.01, "the plot of the spectra is empty"
