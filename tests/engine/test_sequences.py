"""Several rasters as one sequence: what fits together, in which order, and pixels as they are in the files."""

from datetime import datetime

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.windows import Window
from toolruns import TRANSFORM, raster

import subpixel.engine.raster as engine_raster
from subpixel.engine.declare import Group, RastersInput, Text, Tool
from subpixel.engine.job import Job
from subpixel.engine.raster import Scene
from subpixel.engine.sentences import UserError
from subpixel.engine.sequences import (Dated, Sequence, check_same_place, date_of, is_empty, name_of, names_of)

ROWS, COLS, BANDS = 7, 9, 4
DATES = [datetime(2020, 3, 1), datetime(2020, 5, 15), datetime(2020, 9, 30)]
WAVES = [450.0, 550.0, 650.0, 850.0]
NODATA = -9999.0


def cube(seed, rows=ROWS, cols=COLS, bands=BANDS):
    return np.random.default_rng(seed).random((bands, rows, cols)).astype(np.float32)


def scene(folder, number, values=None, spectral=True, **options):
    path = raster(folder / f"image{number}.tif", cube(number) if values is None else values,
                  **{"wavelengths": WAVES[:BANDS if values is None else len(values)], **options})
    return Scene(path, name=f"IMAGES{number}", spectral=spectral)


def sequence(scenes, dates=DATES):
    return Sequence([Dated(each, date, "name") for each, date in zip(scenes, dates)])


@pytest.fixture
def masked(tmp_path):
    """Three cubes with pixels of nodata, and their sequence: one pixel at one date, one in one band, one at all."""
    cubes = [cube(number) for number in range(3)]
    cubes[1][:, 2, 3] = NODATA
    cubes[2][1, 4, 8] = np.nan
    for values in cubes:
        values[:, 6, 0] = NODATA
    return cubes, sequence([scene(tmp_path, number, values) for number, values in enumerate(cubes)])


# what belongs together

def test_a_sequence_knows_its_images(tmp_path):
    made = sequence([scene(tmp_path, number) for number in range(3)])
    assert (made.T, made.L, made.names) == (3, BANDS, ["2020-03-01", "2020-05-15", "2020-09-30"])
    assert made.grid.wavelengths.tolist() == WAVES and name_of(made.grid) == "image0.tif"


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_images_are_no_sequence(count, tmp_path):
    with pytest.raises(UserError, match=f"at least two images of the same place that hold data, not {count}."):
        sequence([scene(tmp_path, number) for number in range(count)])


def test_equal_and_unsorted_dates_are_named_with_their_images(tmp_path):
    scenes = [scene(tmp_path, number) for number in range(3)]
    with pytest.raises(UserError, match="image1.tif and image2.tif have the same date, 2020-05-15. Leave out one"):
        sequence(scenes, [DATES[0], DATES[1], DATES[1]])
    with pytest.raises(UserError, match="image2.tif .2020-03-01. comes after image1.tif .2020-09-30.. Put them"):
        sequence(scenes, [datetime(2020, 1, 1), DATES[2], DATES[0]])
    assert sequence(scenes[:2], [datetime(2020, 3, 1, 9), datetime(2020, 3, 1, 10, 30)]).names == [
        "2020-03-01T09:00", "2020-03-01T10:30"]


ROTATED = TRANSFORM * Affine.rotation(30)


@pytest.mark.parametrize("options, words", [
    ({"values": cube(1, 6)}, "9 x 7 and 9 x 6 pixels"), ({"values": cube(1, cols=10)}, "9 x 7 and 10 x 7 pixels"),
    ({"crs": "EPSG:32634"}, "EPSG:32633 and EPSG:32634"), ({"crs": None}, "EPSG:32633 and no CRS"),
    ({"transform": TRANSFORM * Affine.translation(0.5, 0)}, "they lie up to 0.5 pixels apart"),
    ({"transform": TRANSFORM * Affine.translation(0, -2)}, "they lie up to 2 pixels apart"),
    ({"transform": TRANSFORM * Affine.scale(1.01)}, "they lie up to 0.09 pixels apart"),
    ({"transform": ROTATED}, "pixels apart")])
def test_grids_that_differ_are_named_with_the_way_out(options, words, tmp_path):
    first, other = scene(tmp_path, 0), scene(tmp_path, 1, **options)
    with pytest.raises(UserError) as problem:
        sequence([first, scene(tmp_path, 2), other])
    assert words in str(problem.value)
    assert str(problem.value).startswith("image0.tif and image1.tif are not on one grid: ")
    assert str(problem.value).endswith("Bring one to the other's grid first, with Warp (reproject) or Align rasters.")


@pytest.mark.filterwarnings("ignore:The given matrix")
def test_grids_that_are_the_same_but_for_rounding_fit(tmp_path):
    shifted = TRANSFORM * Affine.translation(2e-4, -2e-4)
    check_same_place(scene(tmp_path, 0), scene(tmp_path, 1, transform=shifted))
    check_same_place(scene(tmp_path, 2, transform=ROTATED), scene(tmp_path, 3, transform=ROTATED))
    check_same_place(scene(tmp_path, 4, crs=None, transform=Affine.identity()),
                     scene(tmp_path, 5, crs=None, transform=Affine.identity()))


def test_the_crs_that_qgis_has_counts(tmp_path):
    scene(tmp_path, 0)
    scene(tmp_path, 1, crs=None)
    wkt = rasterio.crs.CRS.from_epsg(32633).to_wkt()
    check_same_place(Scene(tmp_path / "image0.tif"), Scene(tmp_path / "image1.tif", crs=wkt))


def test_other_numbers_of_bands_and_wavelengths_are_refused(tmp_path):
    first = scene(tmp_path, 0)
    with pytest.raises(UserError, match="image0.tif has 4 bands and image1.tif has 3. Choose images with the same"):
        sequence([first, scene(tmp_path, 1, cube(1, bands=3))])
    with pytest.raises(UserError, match="different wavelengths: band 3 is at 650 and 720 nm. Choose images of one"):
        sequence([first, scene(tmp_path, 2, wavelengths=[450, 550, 720, 850])])
    assert sequence([first, scene(tmp_path, 3, wavelengths=[451, 549, 652, 848])]).L == 4
    assert sequence([first, scene(tmp_path, 4, wavelengths=None)]).L == 4, "unknown wavelengths contradict nothing"


def test_only_bands_that_all_images_use_are_used(tmp_path):
    cubes = [cube(number) for number in range(3)]
    cubes[0][1], cubes[2][3] = NODATA, 0.5      # a band without data, a constant one
    made = sequence([scene(tmp_path, number, values) for number, values in enumerate(cubes)])
    assert made.L == 2 and [each.indexes.tolist() for each in made.scenes] == [[1, 3]] * 3
    Y, valid = made.read()
    assert valid.all() and (Y == np.stack(cubes)[:, [0, 2]].reshape(3, 2, -1)).all()


def test_images_without_a_common_band_are_refused(tmp_path):
    cubes = [cube(number) for number in range(2)]
    cubes[0][:2], cubes[1][2:] = NODATA, NODATA
    with pytest.raises(UserError, match="No band holds information in every image"):
        sequence([scene(tmp_path, number, values) for number, values in enumerate(cubes)])


def test_bands_chosen_on_the_first_image_are_chosen_on_all(tmp_path):
    made = sequence([scene(tmp_path, number) for number in range(3)])

    def change(first):
        first.keep([True, False, True, False])
        return "what it gives"

    assert made.follow(change) == "what it gives"
    assert [each.indexes.tolist() for each in made.scenes] == [[1, 3]] * 3 and made.read()[0].shape[1] == 2


# pixels

def test_pixels_are_those_of_the_files(masked):
    cubes, made = masked
    window = Window(2, 1, 5, 4)
    Y, valid = made.read(window)
    part = np.stack(cubes)[:, :, 1:5, 2:7].reshape(3, BANDS, -1)
    assert Y.dtype == np.float32 and (valid == (part != NODATA).all(axis=1)).all()
    assert (Y[valid.nonzero()[0], :, valid.nonzero()[1]] == part[valid.nonzero()[0], :, valid.nonzero()[1]]).all()
    assert made.positions(window).tolist() == [row * COLS + col for row in range(1, 5) for col in range(2, 7)]


@pytest.mark.parametrize("limit", [10 ** 9, 30])
def test_a_sample_of_all_is_what_is_valid_at_some_date(limit, masked, monkeypatch):
    monkeypatch.setattr(engine_raster, "BLOCK_VALUES", limit)
    cubes, made = masked
    assert len(made.windows()) == (1 if limit > 1000 else len(made.windows())) and (limit > 1000) == (
        len(made.windows()) == 1)
    Y, valid, positions = made.sample(ROWS * COLS)
    expected = np.stack(cubes).reshape(3, BANDS, -1)
    good = np.isfinite(expected).all(axis=1) & (expected != NODATA).all(axis=1)
    assert positions.tolist() == np.flatnonzero(good.any(axis=0)).tolist() and 6 * COLS not in positions
    assert (valid == good[:, positions]).all() and valid.sum() == 3 * ROWS * COLS - 3 - 2
    assert (Y == np.where(good[:, None], expected, 0)[:, :, positions]).all(), "what is not valid is 0"
    Y, valid = made.images()
    assert (valid == good).all() and (Y == expected)[np.broadcast_to(good[:, None], Y.shape)].all()


def test_blocks_cover_every_pixel_once(masked, monkeypatch):
    monkeypatch.setattr(engine_raster, "BLOCK_VALUES", 40)
    _, made = masked
    steps = []
    blocks = list(made.map_blocks(lambda Y, valid, positions: (Y.shape, valid.shape, positions),
                                  progress=lambda done, total: steps.append((done, total))))
    assert sorted(np.concatenate([positions for _, (_, _, positions) in blocks]).tolist()) == list(range(ROWS * COLS))
    assert all(shape == (3, BANDS, len(where)) and mask == (3, len(where)) for _, (shape, mask, where) in blocks)
    assert steps[-1] == (len(blocks), len(blocks)) and max(len(where) for _, (_, _, where) in blocks) < 9


def test_a_sample_is_spread_over_the_images(tmp_path):
    cubes = [cube(number, 60, 80) for number in range(2)]
    made = sequence([scene(tmp_path, number, values) for number, values in enumerate(cubes)])
    Y, valid, positions = made.sample(50)
    rows, cols = np.divmod(positions, 80)
    assert 30 <= len(positions) <= 60 and valid.all()
    assert rows.min() < 10 and rows.max() >= 50 and cols.min() < 10 and cols.max() >= 70
    assert (Y == np.stack(cubes)[:, :, rows, cols]).all()
    assert made.sample(10 ** 6)[2].tolist() == list(range(4800))


@pytest.mark.parametrize("most", [1, 2, 5])
@pytest.mark.parametrize("rows, cols", [(2, 25), (1, 50), (50, 1), (25, 2), (7, 7)])
def test_a_sample_of_a_small_or_narrow_image_has_a_pixel_at_least(rows, cols, most, tmp_path):
    made = sequence([scene(tmp_path, number, cube(number, rows, cols)) for number in range(2)])
    assert 1 <= made.sample(most)[0].shape[2] <= most + 1


def test_blocks_are_smaller_the_more_values_a_pixel_takes(tmp_path, monkeypatch):
    monkeypatch.setattr(engine_raster, "BLOCK_VALUES", 3 * BANDS * COLS)
    made = sequence([scene(tmp_path, number) for number in range(3)])
    assert {window.height for window in made.windows()} == {1}
    assert made.windows(3 * BANDS)[0].width * made.windows(3 * BANDS)[0].height <= COLS // 2 + 1


def test_tiled_images_of_another_storage_are_read_alike(tmp_path):
    values = cube(1, 64, 96)
    path = raster(tmp_path / "strips.tif", values, wavelengths=WAVES)
    with rasterio.open(path) as file:
        profile = {**file.profile, "tiled": True, "blockxsize": 32, "blockysize": 16}
        with rasterio.open(tmp_path / "tiles.tif", "w", **profile) as copy:
            copy.write(values)
    for order in (("strips", "tiles"), ("tiles", "strips")):
        made = sequence([Scene(tmp_path / f"{name}.tif") for name in order])
        Y, valid, positions = made.sample(64 * 96)
        assert valid.all() and positions.tolist() == list(range(64 * 96))
        assert (Y[0] == Y[1]).all() and (Y[0] == values.reshape(BANDS, -1)).all()


@pytest.mark.parametrize("options, again", [
    ({}, False), ({"tiled": True, "blockxsize": 64, "blockysize": 64}, True),
    ({"tiled": True, "blockxsize": 64, "blockysize": 16}, False)])
def test_tiles_that_are_read_again_and_again_are_told(options, again, tmp_path, monkeypatch):
    monkeypatch.setattr(engine_raster, "BLOCK_VALUES", 3 * BANDS * 64 * 16)
    monkeypatch.setattr("subpixel.engine.sequences.CACHE", 3 * BANDS * 64 * 64 * 4)
    monkeypatch.setattr("subpixel.engine.sequences.WORKERS", 2)
    paths = []
    for number, date in enumerate(DATES):
        paths.append(tmp_path / f"{date:%Y%m%d}.tif")
        with rasterio.open(paths[-1], "w", driver="GTiff", width=96, height=80, count=BANDS, dtype="float32",
                           transform=TRANSFORM, **options) as file:
            file.write(cube(number, 80, 96))
    assert any("tiles too large to keep" in words for words in read(paths)[1]) == again


def test_an_image_of_nodata_is_empty_and_one_pixel_is_enough(tmp_path, monkeypatch):
    monkeypatch.setattr(engine_raster, "BLOCK_VALUES", 40)
    values = np.full((BANDS, ROWS, COLS), NODATA)
    assert is_empty(scene(tmp_path, 0, values, spectral=False))
    for number, (row, col) in enumerate(((0, 0), (ROWS - 1, COLS - 1), (3, 4)), 1):
        some = values.copy()
        some[:, row, col] = 0.5
        assert not is_empty(scene(tmp_path, number, some, spectral=False))


def test_the_block_that_a_scene_has_read_ahead_is_not_kept(tmp_path):
    made = scene(tmp_path, 0)
    assert made._parked is not None and not is_empty(made) and made._parked is None


# dates

def tagged(path, **tags):
    with rasterio.open(path, "r+") as file:
        file.update_tags(**tags)
    return Scene(path)


def test_the_layer_tells_the_date_before_metadata_and_the_name(tmp_path):
    path = raster(tmp_path / "scene_20200501.tif", cube(1))
    assert date_of(Scene(path), {}) == (datetime(2020, 5, 1), "name")
    assert date_of(Scene(path), {"layer": "of 2020-06-01"}) == (datetime(2020, 6, 1), "name")
    assert date_of(Scene(path), {"layer": "my scene"}) == (datetime(2020, 5, 1), "name")
    both = tagged(path, ACQUISITION_DATE="2020-07-01")
    assert date_of(both, {"layer": "of 2020-06-01"}) == (datetime(2020, 7, 1), "metadata")
    assert date_of(both, {"date": "2020-08-01T10:30:00Z"}) == (datetime(2020, 8, 1, 10, 30), "layer")
    assert date_of(both, {"date": None}) == (datetime(2020, 7, 1), "metadata")
    assert date_of(Scene(raster(tmp_path / "scene.tif", cube(1))), {"date": ""}) == (None, None)


def test_an_envi_header_tells_the_date(tmp_path):
    with rasterio.open(tmp_path / "scene.img", "w", driver="ENVI", width=COLS, height=ROWS, count=BANDS,
                       dtype="float32", transform=TRANSFORM, crs="EPSG:32633") as file:
        file.write(cube(1))
    header = tmp_path / "scene.hdr"
    header.write_text(header.read_text() + "acquisition time = 2020-05-01T10:30:00.0Z\n")
    assert date_of(Scene(tmp_path / "scene.img"), {}) == (datetime(2020, 5, 1, 10, 30), "metadata")


# as a job reads them

class Images(Tool):
    """Takes a sequence."""

    id, label, group = "images", "Images", Group.TIME
    images = RastersInput("IMAGES", "Images", help="Images.")
    dates = Text("DATES", "Dates", help="Dates.", optional=True)


class Fractions(Images):
    """Takes a sequence of rasters that are no scenes."""

    images = RastersInput("IMAGES", "Images", help="Images.", spectral=False)


def read(paths, dates=None, tool=Images, **more):
    """The sequence, and all that was said: warnings with a ! before them."""
    said = []

    def tell(message):
        template = message.get("message") or "! " + message["warning"]
        said.append(template.format(**message["arguments"]))

    given = [path if isinstance(path, dict) else {"path": str(path), "crs": None, **more} for path in paths]
    return Job(tool(), {"IMAGES": given, "DATES": dates}, {}, "1", tell).sequence(tool.images), said


@pytest.fixture
def files(tmp_path):
    """Three images with dates in their names."""
    return [raster(tmp_path / f"image_{date:%Y%m%d}.tif", cube(number), wavelengths=WAVES)
            for number, date in enumerate(DATES)]


def test_a_job_says_which_date_each_image_has(files):
    made, said = read(files)
    assert made.dates == DATES and said == [
        f"{date:%Y-%m-%d}: image_{date:%Y%m%d}.tif (date from its name)" for date in DATES]
    made, said = read(files, "2001-01-01, 2002-02-02T10:30, 2003")
    assert made.names == ["2001-01-01", "2002-02-02T10:30", "2003-01-01"]
    assert said[1] == "2002-02-02T10:30: image_20200515.tif (date from the parameter Dates)"


@pytest.mark.parametrize("blank", ["", " ", None])
def test_blank_dates_are_none(blank, files):
    assert read(files, blank)[0].dates == DATES


def test_wrong_dates_are_sentences(files, tmp_path):
    with pytest.raises(UserError, match="There are 2 dates for 3 images .Images.. Give one date for every image"):
        read(files, "2020-01-01, 2020-02-01")
    with pytest.raises(UserError, match="spring in Dates is no date"):
        read(files, "spring, summer, autumn")
    with pytest.raises(UserError, match="have the same date, 2020-01-01"):
        read(files, "2020-01-01, 2020-01-01, 2020-02-01")
    with pytest.raises(UserError, match="comes after image_20200301.tif .2020-03-01."):
        read(files, "2020-03-01, 2020-01-01, 2020-02-01")
    with pytest.raises(UserError, match="image_20200301.tif .2020-03-01. comes after image_20200515.tif"):
        read([files[1], files[0]])
    nameless = raster(tmp_path / "autumn.tif", cube(1), wavelengths=WAVES)
    with pytest.raises(UserError, match="autumn.tif does not tell its date: .* Give the dates of all images in Dates"):
        read([*files, nameless])


@pytest.mark.parametrize("tool, words", [
    (Images, "each of its bands is nodata or one constant value throughout."),
    (Fractions, "none of its pixels is valid.")])
def test_a_wholly_clouded_image_is_left_out_with_its_date(tool, words, files, tmp_path):
    cloud = raster(tmp_path / "image_20200610.tif", np.full((BANDS, ROWS, COLS), NODATA), wavelengths=WAVES)
    made, said = read([*files[:2], cloud, files[2]], tool=tool)
    assert made.dates == DATES and f"! Left out {cloud}: {words}" in said
    made, _ = read([*files[:2], cloud, files[2]], "2001-01-01, 2002-01-01, 2003-01-01, 2004-01-01", tool)
    assert made.names == ["2001-01-01", "2002-01-01", "2004-01-01"]
    with pytest.raises(UserError, match="at least two images of the same place that hold data, not 1."):
        read([files[0], cloud], tool=tool)
    with pytest.raises(UserError, match="that hold data, not 0."):
        read([cloud, cloud], tool=tool)


def test_an_image_whose_only_valid_pixels_differ_from_band_to_band_is_left_out(files, tmp_path):
    values = np.full((BANDS, ROWS, COLS), NODATA)
    for band in range(BANDS):
        values[band, band, :2] = band, band + 1
    cloud = raster(tmp_path / "image_20200610.tif", values, wavelengths=WAVES)
    made, said = read([*files[:2], cloud, files[2]])
    assert made.dates == DATES and f"! Left out {cloud}: none of its pixels is valid." in said


def test_nodata_set_in_qgis_counts(files):
    made, _ = read(files, nodata={"1": [[0.0, 0.5]]})
    Y, valid = made.read()
    assert 0 < valid.mean() < 1 and (Y[:, 0][valid] > 0.5).all()


def test_one_band_is_refused_where_spectra_are_needed(tmp_path):
    paths = [raster(tmp_path / f"image_{date:%Y%m%d}.tif", cube(0, bands=1)) for date in DATES]
    with pytest.raises(UserError, match="image_20200301.tif has one band; unmixing needs"):
        read(paths)
    assert read(paths, tool=Fractions)[0].L == 1


def test_a_file_that_is_no_raster_is_named_by_its_place(files, tmp_path):
    (tmp_path / "notes_20200610.tif").write_text("no raster")
    with pytest.raises(UserError, match="notes_20200610.tif cannot be read as a raster") as problem:
        read([files[0], tmp_path / "notes_20200610.tif"])
    assert problem.value.names == ["IMAGES2"]


def test_files_that_are_no_rasters_are_named_at_once(files, tmp_path):
    (tmp_path / "notes_20200610.tif").write_text("no raster")
    with pytest.raises(UserError, match="notes_20200610.tif cannot be read as a raster") as problem:
        read([tmp_path / "notes_20200610.tif", files[0], tmp_path / "no.tif", files[1]])
    assert problem.value.names == ["IMAGES1", "IMAGES3"]


# what the user calls them

def test_images_are_called_as_their_layers_or_files_with_the_folder_where_names_repeat():
    def named(*images):
        return names_of([dict(zip(("path", "layer", "source"), image)) for image in images])
    assert named(("/a/x.tif", "x"), ("/a/y.tif", "May"), ("/a/z.tif",)) == ["x.tif", "May", "z.tif"]
    assert named(("/a/x.a.rfl", "x"), ("/a/y", "y")) == ["x.a.rfl", "y"]
    assert named(("/a/x.tif", "x"), ("C:\\b\\x.tif", "x"), ("/c/y.tif", "y")) == ["a/x.tif", "b/x.tif", "y.tif"]
    assert named(("/tmp/IMAGES1.tif", "x", "/a/x.he5"), ("/tmp/IMAGES2.tif", "x", "/b/x.he5")) == [
        "a/x.he5", "b/x.he5"]
    assert named(('NETCDF:"/2020-01-01/f.nc":reflectance', "May")) == ["May"]


def test_messages_call_images_so(tmp_path):
    images = []
    for month, values in ((5, cube(1)), (3, cube(2))):
        (tmp_path / f"2020-0{month}-01").mkdir()
        values[1] = 7
        images.append(raster(tmp_path / f"2020-0{month}-01" / "reflectance.tif", values, wavelengths=WAVES))
    with pytest.raises(UserError, match="03-01/reflectance.tif .2001-01-01. comes after 2020-05-01/reflectance"):
        read(images, "2002-01-01, 2001-01-01")
    _, said = read(images, "2001-01-01, 2002-01-01")
    assert said == [words for date, image in (("2001-01-01", "2020-05-01"), ("2002-01-01", "2020-03-01")) for words in (
        f"Left out 1 bands of {image}/reflectance.tif without information (nodata or one constant value throughout): "
        "2.", f"{date}: {image}/reflectance.tif (date from the parameter Dates)")]


def test_a_copy_has_the_date_and_the_name_of_what_it_was_made_of(files, tmp_path):
    copy = {"path": raster(tmp_path / "IMAGES1.tif", cube(5), wavelengths=WAVES), "layer": "image_20200101",
            "source": "/data/image_20200101.he5"}
    made, said = read([copy, *files])
    assert said[0] == "2020-01-01: image_20200101.he5 (date from its name)"
    with pytest.raises(UserError, match="image_20200101.he5 and image_20200301.tif have the same date"):
        read([copy, *files], "2001-01-01, 2001-01-01, 2002-01-01, 2003-01-01")
