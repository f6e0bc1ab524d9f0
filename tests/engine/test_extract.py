"""Spectra under points and polygons: the right pixels, each once, whatever the grid."""

import math

import numpy as np
import pytest
import rasterio
from rasterio.transform import Affine
from subpixel.engine import raster
from subpixel.engine.main import run
from subpixel.engine.sentences import UserError

ROWS, COLS, BANDS = 6, 8, 3
NORTH_UP = Affine(10, 0, 1000, 0, -10, 2000)
SOUTH_UP = Affine(10, 0, 1000, 0, 10, 2000)
TURNED = Affine.translation(1000, 2000) * Affine.rotation(30) * Affine.scale(10, -10)


def cube():
    """Every value says where it stands: band, row, column."""
    band, row, col = np.mgrid[1:BANDS + 1, 0:ROWS, 0:COLS]
    return (100 * band + 10 * row + col).astype("int16")


def value(row, col):
    return [100 * band + 10 * row + col for band in range(1, BANDS + 1)]


def scene(tmp_path, transform=NORTH_UP, masked=(), **options):
    """A scene as a file, with nodata at the pixels `masked`."""
    values = cube()
    for row, col in masked:
        values[:, row, col] = -1
    path = tmp_path / "scene.tif"
    with rasterio.open(path, "w", driver="GTiff", width=COLS, height=ROWS, count=BANDS, dtype="int16", nodata=-1,
                       transform=transform, **options) as file:
        file.write(values)
    return str(path)


def point(row, col, transform=NORTH_UP, **attributes):
    """A sample inside a pixel, off its centre."""
    return {"geometry": {"type": "Point", "coordinates": [*(transform * (col + 0.9, row + 0.2))]}, "id": 7,
            "attributes": attributes}


def polygon(corners, transform=NORTH_UP, **attributes):
    """A polygon with corners (row, col) in pixel coordinates."""
    ring = [list(transform * (col, row)) for row, col in [*corners, corners[0]]]
    return {"geometry": {"type": "Polygon", "coordinates": [ring]}, "id": 8, "attributes": attributes}


def box(top, left, bottom, right, transform=NORTH_UP, **attributes):
    return polygon([(top, left), (top, right), (bottom, right), (bottom, left)], transform, **attributes)


def extract(path, features, field="class", **values):
    """The features of the layer that comes out, and what was said."""
    said = []
    result = run({"tool": "extractspectra", "outputs": {"ENDMEMBERS": "unused.gpkg"}, "values": {
        "INPUT": {"path": path}, "SAMPLES": {"features": features, "source": "samples"}, "CLASSFIELD": field,
        **values}}, lambda message: said.append(message))
    return result["spectra"]["ENDMEMBERS"]["features"], said


@pytest.mark.parametrize("transform", [NORTH_UP, SOUTH_UP, TURNED])
def test_a_point_takes_the_pixel_that_contains_it(tmp_path, transform):
    features, _ = extract(scene(tmp_path, transform), [
        point(row, col, transform, **{"class": f"{row} {col}"}) for row in range(ROWS) for col in range(COLS)])
    assert len(features) == ROWS * COLS
    for feature in features:
        row, col = map(int, feature["name"].split())
        assert feature["profile"]["y"] == value(row, col)
        assert feature["point"] == pytest.approx(transform * (col + 0.5, row + 0.5))
        assert feature["attributes"] == {"material": feature["name"], "pixels": 1}
        assert feature["source"] == f"scene.tif, row {row}, column {col}"


def test_without_a_georeference_the_raster_hangs_below_the_axis_as_in_qgis(tmp_path):
    features, _ = extract(scene(tmp_path, Affine.identity()), [point(2, 3, Affine.scale(1, -1), **{"class": "a"})])
    assert features[0]["profile"]["y"] == value(2, 3)
    assert features[0]["point"] == [3.5, -2.5] or features[0]["point"] == (3.5, -2.5)


@pytest.mark.parametrize("transform", [NORTH_UP, SOUTH_UP, TURNED])
def test_a_polygon_takes_the_pixels_whose_centres_it_holds(tmp_path, transform):
    features, _ = extract(scene(tmp_path, transform), [box(0.6, 1.4, 3.6, 4.4, transform, **{"class": "a"})])
    expected = cube()[:, 1:4, 1:4].reshape(BANDS, -1).mean(axis=1)
    assert features[0]["profile"]["y"] == pytest.approx(expected)
    assert features[0]["attributes"]["pixels"] == 9
    assert features[0]["point"] is None


def test_a_hole_is_left_out(tmp_path):
    sample, hole = box(0, 0, 3, 3, **{"class": "a"}), box(1, 1, 2, 2)
    sample["geometry"]["coordinates"] += hole["geometry"]["coordinates"]
    features, _ = extract(scene(tmp_path), [sample], STATISTIC="pixels")
    assert len(features) == 8
    assert value(1, 1) not in [feature["profile"]["y"] for feature in features]


def test_a_polygon_too_small_for_any_centre_takes_the_pixels_it_touches(tmp_path):
    features, _ = extract(scene(tmp_path), [box(2.1, 3.1, 2.3, 3.3, **{"class": "a"})])
    assert features[0]["profile"]["y"] == value(2, 3)
    features, _ = extract(scene(tmp_path), [box(2.1, 3.8, 2.3, 4.2, **{"class": "a"})], STATISTIC="pixels")
    assert [feature["profile"]["y"] for feature in features] == [value(2, 3), value(2, 4)]


def test_a_pixel_sampled_twice_counts_once(tmp_path):
    twice = [point(1, 1, **{"class": "a"}), point(1, 1, **{"class": "a"}), box(1, 1, 2, 3, **{"class": "a"})]
    features, _ = extract(scene(tmp_path), twice)
    assert features[0]["profile"]["y"] == pytest.approx(np.mean([value(1, 1), value(1, 2)], axis=0))
    assert features[0]["attributes"]["pixels"] == 2


def test_every_pixel_has_its_position_and_class(tmp_path):
    features, _ = extract(scene(tmp_path), [box(0, 0, 2, 2, **{"class": "a"}), point(5, 7, **{"class": "b"})],
                          STATISTIC="pixels")
    assert [feature["name"] for feature in features] == ["a 1", "a 2", "a 3", "a 4", "b"]
    assert [feature["attributes"]["material"] for feature in features] == ["a"] * 4 + ["b"]
    assert features[4]["profile"]["y"] == value(5, 7)
    assert list(features[4]["point"]) == [1075, 1945]


def test_blocks_do_not_change_the_result(tmp_path, monkeypatch):
    samples = [box(0, 0, 6, 8, **{"class": "a"}), point(4, 4, **{"class": "b"}),
               box(3.2, 2.2, 5.9, 7.9, **{"class": "c"})]
    path = scene(tmp_path, masked=[(0, 0), (5, 7)])
    for statistic in ("mean", "pixels"):
        monkeypatch.setattr(raster, "BLOCK_VALUES", 16_000_000)
        whole, _ = extract(path, samples, STATISTIC=statistic)
        monkeypatch.setattr(raster, "BLOCK_VALUES", 2 * BANDS)
        parts, _ = extract(path, samples, STATISTIC=statistic)
        assert [part["name"] for part in parts] == [part["name"] for part in whole]
        for part, other in zip(parts, whole):
            assert part["profile"]["y"] == pytest.approx(other["profile"]["y"])
            assert (part["point"], part["attributes"]) == (other["point"], other["attributes"])


def test_only_what_samples_touch_is_read(tmp_path, monkeypatch):
    path, read = scene(tmp_path), []
    original = raster.Scene.read
    monkeypatch.setattr(raster.Scene, "read", lambda self, window: read.append(window) or original(self, window))
    extract(path, [box(1, 2, 3, 5, **{"class": "a"})])
    assert [(window.col_off, window.row_off, window.width, window.height) for window in read] == [(2, 1, 3, 2)]


def test_masked_pixels_are_left_out_and_said(tmp_path):
    path = scene(tmp_path, masked=[(0, 0)])
    features, said = extract(path, [box(0, 0, 1, 2, **{"class": "a"}), point(0, 0, **{"class": "b"}),
                                    point(3, 3, **{"class": None}), point(50, 50, **{"class": "far"})])
    assert [feature["name"] for feature in features] == ["a"]
    assert features[0]["profile"]["y"] == value(0, 1)
    warnings = [message["warning"].format(**message["arguments"]) for message in said if "warning" in message]
    assert "1 samples without a class" in warnings[0]
    assert "No spectrum for b, far" in warnings[1]
    assert {"count": 2} in [message.get("arguments") for message in said]


def test_without_a_class_field_each_sample_is_a_spectrum_with_its_fields(tmp_path):
    features, _ = extract(scene(tmp_path), [point(0, 0, note="x", Pixels=3), point(1, 1, note="y", Pixels=4)], None)
    assert [feature["name"] for feature in features] == ["sample 7", "sample 7 (2)"]
    assert features[1]["attributes"] == {"note": "y", "Pixels_2": 4, "pixels": 1}


def test_multi_geometries_and_numeric_classes(tmp_path):
    many = point(0, 0, **{"class": 3.0})
    many["geometry"] = {"type": "MultiPoint", "coordinates": [
        [*(NORTH_UP * (0.5, 0.5)), 12.0], [*(NORTH_UP * (2.5, 0.5))]]}
    features, _ = extract(scene(tmp_path), [many])
    assert features[0]["name"] == "3"
    assert features[0]["attributes"]["pixels"] == 2


@pytest.mark.parametrize("features, words", [
    ([], "no features"),
    ([point(50, 50, **{"class": "a"})], "None of the samples lies on the raster, which spans 1000.0"),
    ([point(0, 0, **{"class": "a"})], "All 1 pixels under the samples are nodata"),
    ([point(1, 1, name="a")], "no field class"),
    ([{"geometry": {"type": "LineString", "coordinates": [[0, 0], [1, 1]]}, "id": 1, "attributes": {"class": "a"}}],
     "LineString"),
    ([{"geometry": {"type": "Point", "coordinates": []}, "id": 1, "attributes": {"class": "a"}}],
     "None of the samples"),
    ([{"geometry": {"type": "Point", "coordinates": [math.inf, math.nan]}, "id": 1, "attributes": {"class": "a"}}],
     "None of the samples")])
def test_bad_samples_are_a_sentence(tmp_path, features, words):
    with pytest.raises(UserError, match=words):
        extract(scene(tmp_path, masked=[(0, 0)]), features)


def test_too_many_pixels_are_a_sentence(tmp_path, monkeypatch):
    import subpixel.tools.endmembers.extractspectra as tool
    monkeypatch.setattr(tool, "LIMIT", 10)
    with pytest.raises(UserError, match="more than 10 pixels"):
        extract(scene(tmp_path), [box(0, 0, 6, 8, **{"class": "a"})], STATISTIC="pixels")
    with pytest.raises(UserError, match="11 samples"):
        extract(scene(tmp_path), [point(0, 0)] * 11, None)


def test_class_means_of_a_real_scene(scenes):
    path = scenes / "enmap_potsdam" / "enmap_potsdam_block_128x64.tif"
    with rasterio.open(path) as file:
        whole, transform = file.read(), file.transform
    pixels = [(10, 20), (11, 20), (30, 100)]
    features, _ = extract(str(path), [point(row, col, transform, **{"class": "a"}) for row, col in pixels])
    used = [band for band in range(len(whole)) if len(np.unique(whole[band])) > 1]
    expected = np.mean([whole[used, row, col] for row, col in pixels], axis=0)
    assert features[0]["profile"]["y"] == pytest.approx(expected)
    assert features[0]["profile"]["xUnit"] == "Nanometers"
