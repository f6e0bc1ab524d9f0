"""The recipes of docs/recipes: their commands run and give the numbers that the pages quote; pictures are there."""

import json
import re
import sys

import pytest
from conftest import ROOT
from qgis.PyQt.QtGui import QImage

sys.path.insert(0, str(ROOT / "scripts"))
import cook

PAGES = sorted(cook.RECIPES.glob("*.md"))
LARGEST = 200_000   # bytes of a picture


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_run_gives_the_numbers_that_are_quoted(page, qgis, tmp_path):
    if not cook.DATA.is_dir():
        pytest.skip(f"the scenes are not there: {cook.DATA}")
    kept = json.loads(page.with_suffix(".json").read_text(encoding="utf-8"))
    found = cook.cook(page, tmp_path, None)
    assert found == pytest.approx(kept, rel=0.1, abs=0.02)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_numbers_on_the_page_are_those_of_its_run(page):
    text = page.read_text(encoding="utf-8")
    assert cook.NUMBER.search(text)
    assert text == cook.filled(text, json.loads(page.with_suffix(".json").read_text(encoding="utf-8"))), \
        f"run scripts/recipes {page.stem}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_pictures_are_made_shown_and_small(page):
    text = page.read_text(encoding="utf-8")
    made = re.findall(r"<!--(?:maps|plot) (\S+)", text)
    assert made and made == re.findall(r"!\[[^\]]+\]\(([^)]+)\)", text)
    for name in made:
        picture = QImage(str(cook.RECIPES / name))
        assert picture.width() == cook.WIDTH and (cook.RECIPES / name).stat().st_size < LARGEST


def test_maps_are_drawn_in_the_layers_own_style(examples, run, tmp_path):
    run("fcls", {"INPUT": examples["scene"], "ENDMEMBERS": examples["endmembers"],
                 "ABUNDANCES": str(tmp_path / "abundances.tif")})
    picture = cook.maps(["Water: abundances.tif@water", "Tree: abundances.tif@tree"], tmp_path)
    colours = {picture.pixelColor(x, y).name() for x in range(0, picture.width(), 3) for y in range(0, 300, 3)}
    hues = {name: cook.QColor(name).hsvHue() // 60 for name in colours if cook.QColor(name).hsvSaturation() > 150}
    assert {2, 3} <= set(hues.values()), "neither green nor blue was drawn"
