"""The tool `tracker` without QGIS."""

from datetime import datetime

import numpy as np
import pytest
import rasterio
from toolruns import TRANSFORM, raster, run_tool

from subpixel.engine.sentences import UserError

ROWS, COLS = 40, 50
DATES = ("2021-07-01", "2021-07-02", "2021-07-03", "2021-07-05", "2021-07-06")
CENTRES = np.array([[12.0, 12.0], [15.0, 14.0], [18.0, 15.0], [22.0, 19.0], [25.0, 21.0]])


def movie(folder, hidden=()):
    """Images of a bright spot that moves to `CENTRES`, without the dates `hidden`, where all is nodata but a corner."""
    rng, given = np.random.default_rng(0), []
    y, x = np.mgrid[:ROWS, :COLS] + 0.5
    for number, (date, (col, row)) in enumerate(zip(DATES, CENTRES)):
        spot = np.clip(1.2 - ((x - col) / 5) ** 2 - ((y - row) / 4) ** 2, 0, 1)
        cube = np.stack([100 + 5 * np.sin(x / 9) + size * spot for size in (60, 30)])
        cube += rng.normal(0, 2, cube.shape)
        if number in hidden:
            cube[:, :, 5:] = -9999
        given.append({"path": str(raster(folder / f"frame_{date}.tif", cube)), "crs": None})
    return given


def polygon(left, top, right, bottom):
    """A box in pixels as the provider hands it over."""
    ring = [TRANSFORM * corner for corner in ((left, top), (right, top), (right, bottom), (left, bottom), (left, top))]
    return {"geometry": {"type": "Polygon", "coordinates": [[list(point) for point in ring]]}, "id": 1,
            "attributes": {}}


def follow(folder, images, boxes=None, **options):
    start = {"features": boxes or [polygon(7, 8, 17, 16)], "source": "box"}
    return run_tool("tracker", {"IMAGES": images, "START": start, **options},
                    TRACK=folder / "track.gpkg", BOXES=folder / "boxes.gpkg", REPORT=folder / "report.html")


def test_the_track_is_the_targets_way_in_map_units(tmp_path):
    result, _ = follow(tmp_path, movie(tmp_path))
    track, boxes = result["features"]["TRACK"], result["features"]["BOXES"]
    assert (track["raster"], track["geometry"], boxes["geometry"]) == ("IMAGES", "line", "polygon")
    assert len(track["features"]) == 4 and len(boxes["features"]) == 5
    for number, piece in enumerate(track["features"]):
        for point, centre in zip(piece["points"], CENTRES[number:]):
            assert np.hypot(*np.subtract(point, TRANSFORM * centre)) < 1.5 * 30
        values, (first, second) = piece["attributes"], piece["points"]
        assert values["begin"] == f"{DATES[number]}T00:00:00" and values["end"] == f"{DATES[number + 1]}T00:00:00"
        assert values["distance"] == pytest.approx(np.hypot(*np.subtract(second, first)))
        days = (datetime.fromisoformat(values["end"]) - datetime.fromisoformat(values["begin"])).days
        assert values["speed"] == pytest.approx(values["distance"] / days)
        assert values["found"] is True and 0.5 < values["confidence"] <= 1 and 0 < values["sd"] < 60
    first = boxes["features"][0]["points"]
    assert np.allclose(first, [TRANSFORM * corner for corner in ((7, 8), (17, 8), (17, 16), (7, 16), (7, 8))])
    assert result["numbers"]["FOUND"] == 5 and result["numbers"]["CONFIDENCE"] > 0.7
    words = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert words.count("<figure>") == 5 and "Images and boxes" in words


def test_a_hidden_target_is_lost_said_and_found_again(tmp_path):
    result, said = follow(tmp_path, movie(tmp_path, hidden=(2,)))
    assert [piece["attributes"]["found"] for piece in result["features"]["TRACK"]["features"]] == [
        True, False, True, True]
    assert any("lost at 1 of 5 dates" in words for words in said) and result["numbers"]["FOUND"] == 4
    spread = [piece["attributes"]["sd"] for piece in result["features"]["TRACK"]["features"]]
    assert spread[1] > 2 * spread[0] and spread[1] > 2 * spread[2]


def test_confidence_and_uncertainty_are_those_at_the_end_of_each_piece(tmp_path):
    result, _ = follow(tmp_path, movie(tmp_path, hidden=(3,)), STEP=3)
    pieces, boxes = ([each["attributes"] for each in result["features"][name]["features"]] for name in ("TRACK",
                                                                                                      "BOXES"))
    for piece, box in zip(pieces, boxes[1:]):
        assert (piece["confidence"], piece["found"], piece["sd"]) == (box["confidence"], box["found"], box["sd"])
    assert result["numbers"]["CONFIDENCE"] == pytest.approx(np.mean([piece["confidence"] for piece in pieces]))
    assert boxes[3]["sd"] == pytest.approx(3 * np.sqrt(2) * 30, rel=0.15), "after two days instead of one"


def test_without_what_stands_still_the_ground_does_not_matter(tmp_path):
    """A spot through which a ground of strong stripes shows: followed as without the ground, and as nodata allows."""
    plain = follow(tmp_path, movie(tmp_path, hidden=(2,)), STILL=True)[0]["features"]["BOXES"]["features"]
    rng, striped = np.random.default_rng(5), tmp_path / "striped"
    striped.mkdir()
    ground = 4000 * rng.random((2, ROWS, COLS))
    images = movie(striped, hidden=(2,))
    for image in images:
        with rasterio.open(image["path"], "r+") as file:
            cube = file.read()
            file.write(np.where(cube == -9999, cube, cube + ground).astype(cube.dtype))
    result, _ = follow(striped, images, STILL=True)
    found = result["features"]["BOXES"]["features"]
    assert [each["attributes"]["found"] for each in found] == [True, True, False, True, True]
    for one, other in zip(plain, found):
        np.testing.assert_allclose(one["points"], other["points"], atol=0.5)
    for number in (1, 3, 4):
        middle = np.mean(np.array(found[number]["points"])[:4], axis=0)
        assert np.hypot(*(middle - TRANSFORM * CENTRES[number])) < 1.5 * 30


@pytest.mark.parametrize("name, value", [
    ("STILL", True), ("STEP", 6.0), ("RESIZE", 3.0), ("ACCELERATION", 2.0), ("PARTICLES", 50), ("RANK", 1),
    ("SHARPNESS", 5.0), ("PATCHSIZE", 5), ("LOST", 1.0), ("SEED", 3)])
def test_every_setting_counts(tmp_path, name, value):
    images = movie(tmp_path)
    usual, other = (follow(tmp_path, images, **options)[0]["features"]["BOXES"]["features"][-1]
                    for options in ({}, {name: value}))
    assert np.abs(np.subtract(usual["points"], other["points"])).max() > 0.01


@pytest.mark.parametrize("boxes, words", [
    ([polygon(-3, 8, 7, 16)], "draw it within them"), ([polygon(7, 8, 9, 16)], "at least 3 x 3 pixels"),
    ([polygon(7, 8, 17, 16), polygon(20, 20, 30, 30)], "the layer has 2")])
def test_refuses_boxes(boxes, words, tmp_path):
    with pytest.raises((UserError, ValueError), match=words):
        follow(tmp_path, movie(tmp_path), boxes)
