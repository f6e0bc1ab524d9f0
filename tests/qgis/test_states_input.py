"""Bad input to tools for states is a sentence with exit code 1, and leaves nothing behind; a no is a no."""

import math
import shutil

import fixtures
import numpy as np
import pytest
from conftest import Feedback
from osgeo import gdal, ogr
from qgis.core import QgsProcessingException

VALUES = {"IMAGES": "indices", "QUANTITY": "values"}
FOLDERS = {"tracker": ("TRACK", "BOXES"), "tunehyperparameters": ("PARAMETERS",)}   # outputs of others than STATES


def box(path, left, top, right, bottom):
    """A layer with a box, in pixels of the scene."""
    ring = ogr.Geometry(ogr.wkbLinearRing)
    for corner in ((left, top), (right, top), (right, bottom), (left, bottom), (left, top)):
        ring.AddPoint_2D(*gdal.ApplyGeoTransform(fixtures.GEOTRANSFORM, *map(float, corner)))
    shape = ogr.Geometry(ogr.wkbPolygon)
    shape.AddGeometry(ring)
    source = ogr.GetDriverByName("GPKG").CreateDataSource(str(path))
    layer = source.CreateLayer("box", fixtures.crs(), ogr.wkbPolygon)
    feature = ogr.Feature(layer.GetLayerDefn())
    feature.SetGeometry(shape)
    layer.CreateFeature(feature)
    return str(path)


@pytest.fixture(scope="module")
def bad(tmp_path_factory, examples):
    """Files that are wrong, each in its own way, beside the right ones."""
    folder, rng = tmp_path_factory.mktemp("bad"), np.random.default_rng(0)

    def index(name, values=None):
        values = 0.5 + 0.1 * rng.random((1, fixtures.ROWS, fixtures.COLS)) if values is None else values
        return fixtures.raster(folder / name, values, gdal.GDT_Float32, -9999)

    indices = [index(f"index_{date}.tif") for date in ("20200101", "20200201", "20200301", "20200401", "20200501")]
    still = [index(f"still_{date}.tif", np.full((1, fixtures.ROWS, fixtures.COLS), 0.5)) for date in (
        "20200101", "20200201", "20200301")]
    turn = 1.2 * np.array([[math.cos(0.3), -math.sin(0.3)], [math.sin(0.3), math.cos(0.3)]])
    np.savetxt(folder / "grows.csv", np.block([[turn, np.zeros((2, 1))], [np.zeros((1, 2)), 0.5]]), delimiter=",")
    np.savetxt(folder / "small.csv", np.eye(2), delimiter=",")
    (folder / "words.npz").write_text("this is no model")
    return {**examples, "indices": indices, "still": still, "one image": indices[:1],
            "equal dates": [*indices[:2], index("twin_20200201.tif")],
            "grows": str(folder / "grows.csv"), "small": str(folder / "small.csv"), "words": str(folder / "words.npz"),
            "outside": box(folder / "outside.gpkg", -20, -20, -10, -12),
            "partly": box(folder / "partly.gpkg", 25, 5, 40, 12), "tiny": box(folder / "tiny.gpkg", 5, 5, 6, 6)}


CASES = {
    "shorter than the memory": ("kalmanfilter", {"IMAGES": "fractionimages", "DYNAMICS": "seasonal", "HARMONICS": 2},
                                "5"),
    "one image": ("kalmanfilter", {**VALUES, "IMAGES": "one image"}, "at least two images"),
    "equal dates": ("ensemblekalman", {**VALUES, "IMAGES": "equal dates"}, "the same date"),
    "unstable operator": ("kalmanfilter", {"IMAGES": "fractionimages", "QUANTITY": "values", "DYNAMICS": "table",
                                           "OPERATOR": "grows"}, "1.2"),
    "operator of other bands": ("kalmanfilter", {"IMAGES": "fractionimages", "QUANTITY": "values",
                                                 "DYNAMICS": "table", "OPERATOR": "small"}, "3"),
    "no operator": ("kalmanfilter", {**VALUES, "DYNAMICS": "table"}, "OPERATOR"),
    "fewer members than states": ("ensemblekalman", {**VALUES, "DYNAMICS": "trend", "MEMBERS": 3}, "3"),
    "fewer particles than states": ("particlefilter", {**VALUES, "DYNAMICS": "trend", "PARTICLES": 3}, "3"),
    "condition on no band": ("particlefilter", {**VALUES, "CONDITIONBAND": "water"}, "water"),
    "quantiles of no order": ("diffusionfilter", {**VALUES, "LEVELS": "5, 120"}, "120"),
    "fractions of one band": ("kalmanfilter", {"IMAGES": "indices"}, "QUANTITY"),
    "logistic fractions": ("kalmannet", {"IMAGES": "fractionimages", "DYNAMICS": "logistic"}, "QUANTITY"),
    "nothing changes": ("kalmanfilter", {**VALUES, "IMAGES": "still"}, "NOISE"),
    "a date before": ("kalmanfilter", {**VALUES, "AT": "2019-12-01"}, "before the first image"),
    "a date in words": ("kalmanfilter", {**VALUES, "AT": "soon"}, "soon in Further dates"),
    "a flag in words": ("kalmanfilter", {**VALUES, "SMOOTH": "perhaps"}, "perhaps; it must be true or false"),
    "no model": ("applyfilter", {**VALUES, "MODEL": "words"}, "words.npz"),
    "box outside": ("tracker", {"IMAGES": "indices", "START": "outside"}, "box"),
    "box partly outside": ("tracker", {"IMAGES": "indices", "START": "partly"}, "box"),
    "box too small": ("tracker", {"IMAGES": "indices", "START": "tiny"}, "3 x 3"),
    "nothing to tune on": ("tunehyperparameters", {"TOOL": "kalmanfilter"}, "IMAGES"),
    "zones in words": ("deepkalman", {**VALUES, "ZONES": "words"}, "ZONES"),
}


PROCESSED = ("shorter than the memory", "equal dates", "unstable operator", "fewer members than states", "no model",
             "box outside")   # of which the exit code is looked at


def given(case, bad, folder):
    """The tool, the values and the words of a case, all outputs within a folder."""
    tool, values, words = CASES[case]
    values = {name: bad.get(value, value) if isinstance(value, str) else value for name, value in values.items()}
    for name in FOLDERS.get(tool, ("STATES", "UNCERTAINTY")):
        values[name] = str(folder / "new folder" / name.lower()) + (".gpkg" if tool in FOLDERS else "")
    return tool, {**values, "REPORT": str(folder / "report.html")}, words


@pytest.mark.parametrize("case", sorted(set(CASES) - set(PROCESSED)))
def test_is_a_sentence_and_leaves_nothing(case, bad, run, tmp_path):
    tool, values, words = given(case, bad, tmp_path)
    feedback = Feedback()
    with pytest.raises((QgsProcessingException, AssertionError)) as error:
        run(tool, values, feedback)
    said = " ".join([str(error.value), *feedback.errors])
    assert words in said and "Traceback" not in said and "did not foresee" not in said
    assert not list(tmp_path.rglob("*"))


@pytest.mark.parametrize("case", PROCESSED)
def test_ends_a_process_with_exit_code_1(case, bad, qgis_process, tmp_path):
    tool, values, words = given(case, bad, tmp_path)
    done = qgis_process(tool, values)
    assert done.returncode == 1
    assert words in done.stderr + done.stdout and "Traceback" not in done.stderr + done.stdout
    assert not list(tmp_path.rglob("*"))


@pytest.mark.parametrize("word, bands", [("no", 1), ("False", 1), ("0", 1), (False, 1), ("yes", 2), ("true", 2)])
def test_a_no_is_a_no_also_where_qgis_takes_it_for_a_yes(word, bands, run, tmp_path):
    found = run("simulatestates", {"REST": word, "ROWS": 6, "COLUMNS": 5, "DATECOUNT": 4,
                                   "IMAGES": str(tmp_path / "images"), "TRUTH": str(tmp_path / "truth")})
    assert gdal.Open(found["IMAGELAYERS"][0]).RasterCount == bands


def test_a_folder_of_images_is_not_tried_as_a_layer_with_errors_printed(bad, qgis_process, tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for path in bad["indices"]:
        shutil.copy(path, folder)
    done = qgis_process("kalmanfilter", {"IMAGES": str(folder), "QUANTITY": "values", "NOISE": 0.03, "STEPNOISE": 0.1,
                                         "STATES": str(tmp_path / "states")})
    assert done.returncode == 0 and len(done.answer["results"]["STATELAYERS"]) == 5
    assert "ERROR" not in done.stderr and "HDF5" not in done.stderr
