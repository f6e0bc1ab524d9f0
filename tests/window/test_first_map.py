"""
From the zip to styled maps in a fresh profile, with clicks alone: plugin, engine, scene, tool, map.

SUBPIXEL_PICTURES=1 puts the pictures of this run into docs/first-map.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
import rasterio
from conftest import ROOT
from sklearn.cluster import KMeans
from windows import in_window, needs_a_window

PICTURES = ROOT / "docs" / "first-map"


@pytest.fixture(scope="module")
def home():
    """A home without anything: the pictures show its path."""
    with tempfile.TemporaryDirectory(prefix="analyst-") as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def shots(home):
    """The folder of the pictures, after the journey."""
    needs_a_window(plugin=False)
    if not (ROOT / ".git").exists():
        pytest.skip("this is no git checkout, from which packages are made")
    shots = ROOT / ".cache" / "first-map"
    shutil.rmtree(shots, ignore_errors=True)
    for folder in (shots, home / "Downloads", home / "tmp"):
        folder.mkdir(parents=True)
    package = subprocess.run([sys.executable, ROOT / "scripts" / "package.py", home / "Downloads"], check=True,
                             capture_output=True, text=True).stdout.strip()
    scene = home / "indian_pines.tif"
    subprocess.run([sys.executable, ROOT / "scripts" / "indian_pines.py", scene], check=True)
    environment = {name: value for name, value in os.environ.items()
                   if not name.startswith(("QGIS", "QT_", "SUBPIXEL"))}
    environment |= {"HOME": str(home), "TMPDIR": str(home / "tmp"), "XDG_CONFIG_HOME": str(home / ".config"),
                    "XDG_DATA_HOME": str(home / ".local" / "share"), "PIP_CACHE_DIR": str(ROOT / ".cache" / "pip"),
                    "SUBPIXEL_ZIP": package, "SUBPIXEL_SCENE": str(scene), "SUBPIXEL_SHOTS": str(shots)}
    in_window("first_map.py", shots / "qgis.log", environment, screen="1440x900", timeout=900)
    if os.environ.get("SUBPIXEL_PICTURES"):
        shutil.rmtree(PICTURES, ignore_errors=True)
        PICTURES.mkdir()
        for picture in shots.glob("[0-9]*.png"):
            publish(picture, PICTURES / picture.name)
    return shots


def publish(picture, target):
    """Write a picture in the 256 colours that suit it best: a third of the bytes."""
    with rasterio.open(picture) as file:
        red, green, blue = file.read([1, 2, 3]).astype(np.uint32)
    colours, numbers, counts = np.unique(red << 16 | green << 8 | blue, return_inverse=True, return_counts=True)
    colours = np.stack([colours >> 16, colours >> 8 & 255, colours & 255], axis=1)
    groups = KMeans(256, n_init=1, max_iter=30, random_state=0).fit(colours, sample_weight=np.sqrt(counts))
    with rasterio.open(target, "w", driver="PNG", height=len(red), width=red.shape[1], count=1, dtype="uint8",
                       zlevel=9) as file:
        file.write(groups.labels_.astype(np.uint8)[numbers].reshape(1, *red.shape))
        file.write_colormap(1, dict(enumerate(groups.cluster_centers_.round().astype(int).tolist())))


@pytest.fixture(scope="module")
def found(shots):
    found = json.loads((shots / "found.json").read_text())
    assert "error" not in found, found["error"]
    return found


def test_the_plugin_comes_from_the_zip(found, home):
    assert "subpixel" not in found["before"]
    version, folder = found["plugin"]
    assert version == re.search(r"^version=(.*)$", (ROOT / "metadata.txt").read_text(), re.M)[1]
    assert Path(folder).is_relative_to(home)


def test_the_engine_is_installed_into_the_profile_and_works(found):
    assert found["installed"] == "The engine is installed and has passed its test."
    assert found["checked"] == "The engine works: in its test it found the fractions that are known."


def test_the_maps_are_styled(found):
    layers = found["layers"]
    assert {name: (layer["renderer"], layer["size"]) for name, layer in layers.items()} == {
        "indian_pines": ("multibandcolor", 200),
        "Abundances (curhu)": ("singlebandpseudocolor", 6),
        "Endmembers (curhu)": ("categorizedSymbol", 6),
        "Colour composite (compositeabundances)": ("multibandcolor", 3)}
    assert {layer["crs"] for layer in layers.values()} == {"EPSG:32616"}


def test_the_page_shows_every_step(found, shots):
    """The pictures in docs are of this journey: as many, under the same names, small enough to ship."""
    page = (ROOT / "docs" / "first-map.md").read_text(encoding="utf-8")
    shown = re.findall(r"\]\(first-map/(.*?)\)", page)
    assert shown == sorted(path.name for path in shots.glob("[0-9]*.png"))
    for name in shown:
        assert (PICTURES / name).stat().st_size < 200_000
