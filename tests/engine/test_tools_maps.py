"""Maps made of abundances: colours go with names, classes with the largest fraction, gaps stay gaps."""

import numpy as np
import pytest
import rasterio
from toolruns import TRANSFORM, raster, read, run_tool

from subpixel.engine import raster as engine_raster
from subpixel.engine.palette import colours, rgb
from subpixel.engine.sentences import UserError

NAMES = ["water", "tree", "soil"]


@pytest.fixture
def abundances(tmp_path):
    """Pixels: pure water, pure tree, half tree and half soil, nodata, nothing at all, soil by a little."""
    A = np.array([[1, 0, 0], [0, 1, 0], [0, 0.5, 0.5], [-9999] * 3, [0, 0, 0], [0.3, 0.3, 0.4]]).T
    return raster(tmp_path / "a.tif", A.reshape(3, 2, 3), NAMES)


def test_a_pure_pixel_has_its_endmembers_colour_and_a_mixture_the_blend(abundances, tmp_path):
    result, _ = run_tool("compositeabundances", {"ABUNDANCES": abundances}, OUTPUT=tmp_path / "o.tif")
    picture = read(tmp_path / "o.tif").reshape(3, -1).T
    water, tree, soil = (np.array(rgb(colour)) for colour in colours(NAMES))
    assert picture[0].tolist() == water.tolist() and picture[1].tolist() == tree.tolist()
    assert np.abs(picture[2] - (tree + soil) / 2).max() <= 0.5
    assert result["rasters"]["OUTPUT"]["style"] == "composite"


def test_a_colour_goes_with_the_name_and_not_with_the_bands_place(abundances, tmp_path):
    turned = raster(tmp_path / "turned.tif", read(abundances)[::-1], NAMES[::-1])
    for source in (abundances, turned):
        run_tool("compositeabundances", {"ABUNDANCES": source}, OUTPUT=source.with_suffix(".out.tif"))
    assert np.array_equal(read(abundances.with_suffix(".out.tif")), read(turned.with_suffix(".out.tif")))


def test_maps_keep_the_grid_and_nothing_but_nodata_is_0_in_the_composite(abundances, tmp_path):
    run_tool("compositeabundances", {"ABUNDANCES": abundances}, OUTPUT=tmp_path / "o.tif")
    with rasterio.open(tmp_path / "o.tif") as file:
        assert file.transform == TRANSFORM and file.crs.to_epsg() == 32633
        assert file.nodata == 0 and file.dtypes == ("uint8",) * 3
        assert (file.read() == 0).all(axis=0).ravel().tolist() == [False, False, False, True, False, False]


def test_the_largest_fraction_decides_and_the_first_of_equals(abundances, tmp_path):
    result, said = run_tool("dominantendmember", {"ABUNDANCES": abundances}, OUTPUT=tmp_path / "o.tif")
    assert read(tmp_path / "o.tif").ravel().tolist() == [1, 2, 2, 0, 0, 3]
    assert result["rasters"]["OUTPUT"]["names"] == NAMES
    assert result["rasters"]["OUTPUT"]["colours"] == colours(NAMES)
    assert "tree: 40.0 % of the pixels." in said


def test_below_the_minimum_a_pixel_is_mixed(abundances, tmp_path):
    result, _ = run_tool("dominantendmember", {"ABUNDANCES": abundances, "MINIMUM": 0.5}, OUTPUT=tmp_path / "o.tif")
    assert read(tmp_path / "o.tif").ravel().tolist() == [1, 2, 2, 0, 0, 4]
    assert result["rasters"]["OUTPUT"]["names"] == NAMES + ["mixed"]


@pytest.mark.parametrize("tool", ["compositeabundances", "dominantendmember"])
def test_one_band_and_constant_bands_are_maps_too(tool, tmp_path):
    source = raster(tmp_path / "a.tif", np.ones((1, 4, 5)), ["water"])
    run_tool(tool, {"ABUNDANCES": source}, OUTPUT=tmp_path / "o.tif")
    assert (read(tmp_path / "o.tif")[0] != 0).all()


@pytest.mark.parametrize("tool", ["compositeabundances", "dominantendmember"])
def test_blocks_change_nothing(tool, tmp_path, monkeypatch):
    A = np.random.default_rng(0).dirichlet([1, 1, 1], 600).T.reshape(3, 30, 20)
    source = raster(tmp_path / "a.tif", A, NAMES)
    run_tool(tool, {"ABUNDANCES": source}, OUTPUT=tmp_path / "whole.tif")
    monkeypatch.setattr(engine_raster, "BLOCK_VALUES", 200)
    run_tool(tool, {"ABUNDANCES": source}, OUTPUT=tmp_path / "blocks.tif")
    assert np.array_equal(read(tmp_path / "whole.tif"), read(tmp_path / "blocks.tif"))


def test_a_scene_instead_of_abundances_is_no_map_of_classes(tmp_path):
    source = raster(tmp_path / "scene.tif", np.ones((255, 2, 2)))
    with pytest.raises(UserError, match="255 bands, and a map of classes holds at most 254"):
        run_tool("dominantendmember", {"ABUNDANCES": source}, OUTPUT=tmp_path / "o.tif")
