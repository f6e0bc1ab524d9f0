"""Factorisation tools: negative values are counted and clipped only when asked, and options reach the method."""

import fixtures
import pytest
from osgeo import gdal
from qgis.core import QgsProcessingException


@pytest.fixture(scope="module")
def dark(tmp_path_factory):
    """The scene with seven negative values."""
    cube = fixtures.scene_cube().astype(float)
    cube[3, 10, 4:11] = -25
    return fixtures.raster(tmp_path_factory.mktemp("dark") / "dark.tif", cube, wavelengths=fixtures.WAVELENGTHS)


@pytest.mark.parametrize("tool", ["nmf", "muacc", "nmfrank"])
def test_negative_values_are_counted_and_clipped_only_when_asked(tool, run, dark, tmp_path):
    from conftest import Feedback
    values = {"INPUT": dark, "NMAX": 3, "RESTARTS": 2} if tool == "nmfrank" else {
        "INPUT": dark, "COUNT": 3, "ENDMEMBERS": str(tmp_path / "M.gpkg"), "ABUNDANCES": str(tmp_path / "A.tif")}
    values["MAXPIXELS" if tool == "nmfrank" else "ITERATIONS"] = 800
    with pytest.raises((QgsProcessingException, AssertionError), match="7 of .* values are below zero, the least -25"):
        run(tool, values)
    feedback = Feedback()
    run(tool, {**values, "CLIP": True}, feedback)
    assert any("7 of" in words and "were set to it" in words for words in feedback.warnings)


def test_itakura_saito_names_zeros_too(run, dark, tmp_path):
    values = {"INPUT": dark, "COUNT": 3, "BETA": 0, "ENDMEMBERS": str(tmp_path / "M.gpkg"),
              "ABUNDANCES": str(tmp_path / "A.tif")}
    with pytest.raises((QgsProcessingException, AssertionError), match="below zero or zero"):
        run("nmf", values)
    assert run("nmf", {**values, "CLIP": True})["RMSE"] > 0


def test_abundances_of_a_factorisation_sum_to_about_one(run, examples, tmp_path):
    path = str(tmp_path / "A.tif")
    run("nmf", {"INPUT": examples["scene"], "COUNT": 3, "LOSS": "l21", "ENDMEMBERS": str(tmp_path / "M.gpkg"),
                "ABUNDANCES": path})
    A = gdal.Open(path).ReadAsArray()
    sums = A[:, A[0] != -9999].sum(axis=0)
    assert len(A) == 3 and A[A != -9999].min() >= 0 and abs(sums.mean() - 1) < 0.05 and sums.std() > 1e-6


def test_a_start_without_initial_endmembers_refuses_them(run, examples, tmp_path):
    with pytest.raises((QgsProcessingException, AssertionError), match="'random' does not begin with initial"):
        run("nmf", {"INPUT": examples["scene"], "COUNT": 3, "START": "random", "ABUNDANCES": str(tmp_path / "A.tif"),
                    "INITIALENDMEMBERS": examples["endmembers"], "ENDMEMBERS": str(tmp_path / "M.gpkg")})
