"""Rasters: what is read is what is there, in bounded memory, and what is written keeps the grid."""

import os
import subprocess
import sys
import threading

import numpy as np
import pytest
import rasterio
from conftest import ROOT
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.enums import ColorInterp
from rasterio.transform import Affine
from rasterio.windows import Window

from subpixel.engine import raster
from subpixel.engine.raster import Grid, RasterWriter, Scene, ranges
from subpixel.engine.sentences import UnreadableRaster, UserError
from subpixel.engine.wavelengths import read_wavelengths

TURNED = Affine.translation(500000, 5800000) * Affine.rotation(17) * Affine.scale(30, -30)
TILED = dict(tiled=True, blockxsize=16, blockysize=32)


def write(path, cube, **options):
    """Write a cube (bands, rows, cols) in its own type. Returns the path."""
    options = {"driver": "GTiff", "transform": TURNED, **options}
    with rasterio.open(path, "w", width=cube.shape[2], height=cube.shape[1], count=len(cube),
                       dtype=cube.dtype.name, **options) as file:
        file.write(cube)
    return path


def cube(bands=3, rows=50, cols=70, dtype="int16"):
    """A cube in which no two values of a band are the same."""
    return (np.arange(bands * rows * cols).reshape(bands, rows, cols) % 30000).astype(dtype)


def masked_cube():
    """A cube with a nodata corner and scattered nodata in single bands, and where it is valid."""
    values = cube()
    values[:, :13, :9] = -1
    values[1, 20, 3:60:7] = -1
    values[2, 49, 69] = -1
    return values, (values != -1).all(axis=0)


def heard(path, **options):
    """A scene and the sentences said while it was opened."""
    said = []
    scene = Scene(path, say=lambda template, **arguments: said.append(template.format(**arguments)), **options)
    return scene, said


def vrt(path, *types):
    """A VRT whose bands have these types and no source: all zero."""
    bands = "".join(f'<VRTRasterBand dataType="{kind}" band="{number}"/>' for number, kind in enumerate(types, 1))
    path.write_text(f'<VRTDataset rasterXSize="5" rasterYSize="4">{bands}</VRTDataset>')
    return path


# windows

@pytest.mark.parametrize("limit", [1, 40, 300, 4000, 10**9])
@pytest.mark.parametrize("rows", [False, True])
@pytest.mark.parametrize("layout", ["tiled", "striped", "one strip", "wide", "large tiles"])
def test_windows_cover_the_raster_once_and_stay_within_the_limit(tmp_path, monkeypatch, layout, rows, limit):
    shape, options = {"tiled": ((2, 50, 70), TILED), "striped": ((2, 50, 70), dict(blockysize=4)),
                      "one strip": ((2, 50, 70), dict(blockysize=50)), "wide": ((2, 3, 5000), {}),
                      "large tiles": ((2, 50, 70), dict(tiled=True, blockxsize=64, blockysize=64))}[layout]
    scene = Scene(write(tmp_path / "scene.tif", cube(*shape), **options), bands=[1, 2])
    monkeypatch.setattr(raster, "BLOCK_VALUES", limit)
    seen = np.zeros(shape[1:], int)
    for window in scene.windows(rows):
        seen[window.toslices()] += 1
        assert window.width * window.height * 2 <= max(limit, 2 * (scene.width if rows else 1))
    assert (seen == 1).all()


def test_windows_follow_the_rasters_own_blocks(tmp_path, monkeypatch):
    path = write(tmp_path / "scene.tif", cube(2, 128, 96), **TILED)
    monkeypatch.setattr(raster, "BLOCK_VALUES", 2 * 3 * 16 * 32)
    windows = Scene(path).windows()
    assert {(window.width, window.height) for window in windows} == {(48, 32)}
    assert all(window.col_off % 16 == 0 and window.row_off % 32 == 0 for window in windows)


def test_large_tiles_are_cut_up_one_after_the_other(tmp_path, monkeypatch):
    path = write(tmp_path / "scene.tif", cube(2, 100, 150), tiled=True, blockxsize=64, blockysize=64)
    monkeypatch.setattr(raster, "BLOCK_VALUES", 2 * 64 * 20)
    windows = Scene(path).windows()
    assert [window.height for window in windows[:4]] == [16] * 4
    tiles = [(window.row_off // 64, window.col_off // 64) for window in windows]
    assert tiles == sorted(tiles)
    assert all((window.row_off + window.height - 1) // 64 == tile for window, (tile, _) in zip(windows, tiles))


def test_strips_are_taken_whole_where_they_fit(tmp_path, monkeypatch):
    path = write(tmp_path / "scene.tif", cube(2, 50, 70), blockysize=4)
    monkeypatch.setattr(raster, "BLOCK_VALUES", 2 * 70 * 11)
    assert [window.height for window in Scene(path).windows()] == [8] * 6 + [2]


@pytest.mark.parametrize("options", [TILED, dict(blockysize=4)])
def test_rows_come_in_row_major_order(tmp_path, monkeypatch, options):
    values = cube()
    scene = Scene(write(tmp_path / "scene.tif", values, **options))
    monkeypatch.setattr(raster, "BLOCK_VALUES", 1000)
    stream = scene.pixels(rows=True)
    assert np.array_equal(np.concatenate(list(stream), axis=1), values.reshape(3, -1))
    assert len(scene.windows(rows=True)) > 5


# masks and numbers

@pytest.mark.parametrize("nodata, hole, dtype", [
    (-1, -1, "int16"), (np.nan, np.nan, "float32"), (None, np.inf, "float32"), (None, -np.inf, "float64"),
    (-1.23e34, -1.23e34, "float32"), (-3.4028234663852886e38, -3.4028234663852886e38, "float32"),
    (0.1, 0.1, "float32"), (255, 255, "uint8"), (-9999, np.nan, "float32")])
def test_a_pixel_with_nodata_in_one_band_is_masked(tmp_path, nodata, hole, dtype):
    values = cube(3, 4, 5).astype(dtype)
    values[1, 2, 3] = hole
    Y, valid = Scene(write(tmp_path / "scene.tif", values, nodata=nodata)).read()
    assert np.flatnonzero(~valid).tolist() == [2 * 5 + 3]
    assert np.array_equal(Y[:, valid], values.reshape(3, -1)[:, valid])


def test_nodata_of_an_envi_header_is_found_in_float32(tmp_path):
    values = cube(3, 4, 5).astype("<f4")
    values[:, 0, 0] = -1.23e34
    envi(tmp_path / "scene", values, "bsq", "data ignore value = -1.23e34")
    assert np.flatnonzero(~Scene(tmp_path / "scene").read()[1]).tolist() == [0]


@pytest.mark.parametrize("value", [9.96921e36, -3e38, 2e14])
def test_values_too_large_to_compute_with_are_a_sentence(value, tmp_path):
    values = cube(3, 4, 5).astype("float32")
    values[1, 2, 3] = 9e13
    assert Scene(write(tmp_path / "scene.tif", values)).read()[1].all()
    values[1, 2, 3] = value
    with pytest.raises(UserError, match="scene.tif holds the value .*, too large to compute with"):
        Scene(write(tmp_path / "scene.tif", values)).read()


def test_each_band_has_its_own_nodata(tmp_path):
    write(tmp_path / "values.tif", np.array([[[7, 8, 9, 1]], [[7, 8, 9, 2]]], "int16"))
    bands = "".join(f'<VRTRasterBand dataType="Int16" band="{band}"><NoDataValue>{nodata}</NoDataValue><SimpleSource>'
                    f'<SourceFilename relativeToVRT="1">values.tif</SourceFilename><SourceBand>{band}</SourceBand>'
                    '</SimpleSource></VRTRasterBand>' for band, nodata in ((1, 7), (2, 8)))
    (tmp_path / "scene.vrt").write_text(f'<VRTDataset rasterXSize="4" rasterYSize="1">{bands}</VRTDataset>')
    assert Scene(tmp_path / "scene.vrt").read()[1].tolist() == [False, False, True, True]


def test_nodata_in_a_band_that_is_not_used_masks_nothing(tmp_path):
    values = cube(3, 4, 5)
    values[1, 2, 3] = -1
    path = write(tmp_path / "scene.tif", values, nodata=-1)
    assert Scene(path, bands=[1, 3]).read()[1].all()
    assert not Scene(path).read()[1].all()


def test_an_internal_mask_counts(tmp_path):
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        path = write(tmp_path / "scene.tif", cube(2, 4, 5))
        mask = np.full((4, 5), 255, "uint8")
        mask[1, 2] = 0
        with rasterio.open(path, "r+") as file:
            file.write_mask(mask)
    assert np.flatnonzero(~Scene(path).read()[1]).tolist() == [7]
    assert Scene(path).read(Window(2, 1, 1, 1))[1].tolist() == [False]


def test_scale_and_offset_are_applied_once_after_the_mask(tmp_path):
    values = cube(2, 4, 5)
    values[0, 0, 0] = -1
    path = write(tmp_path / "scene.tif", values, nodata=-1)
    with rasterio.open(path, "r+") as file:
        file.scales, file.offsets = (0.5, 0.25), (-1, 100)
    Y, valid = Scene(path).read()
    assert Y.dtype == np.float32
    assert valid.tolist() == [False] + [True] * 19
    np.testing.assert_allclose(Y[:, 1:], (values * [[[0.5]], [[0.25]]] + [[[-1]], [[100]]]).reshape(2, -1)[:, 1:])
    assert np.array_equal(Scene(path).read()[0], Y)
    assert Scene(path, bands=[2]).at(1, 2) == pytest.approx(values[1, 1, 2] * 0.25 + 100)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16", "int32", "float32", "float64"])
def test_without_a_scale_the_rasters_own_type_is_kept(tmp_path, dtype):
    values = (cube(2, 4, 5) % 100).astype(dtype)
    Y, valid = Scene(write(tmp_path / "scene.tif", values)).read()
    assert Y.dtype == dtype and np.array_equal(Y, values.reshape(2, -1)) and valid.all()


@pytest.mark.parametrize("order", [(1, 2), (2, 1)])
def test_bands_of_different_types_are_read_in_the_type_that_holds_both(tmp_path, order):
    values = cube(2, 4, 5)
    parts = {1: values[0] - 3, 2: values[1].astype("float32") + 0.5}
    for number, part in parts.items():
        write(tmp_path / f"{number}.tif", part[None])
    bands = "".join(f'<VRTRasterBand dataType="{ {1: "Int16", 2: "Float32"}[number] }" band="{band}"><SimpleSource>'
                    f'<SourceFilename relativeToVRT="1">{number}.tif</SourceFilename></SimpleSource></VRTRasterBand>'
                    for band, number in enumerate(order, 1))
    (tmp_path / "scene.vrt").write_text(f'<VRTDataset rasterXSize="5" rasterYSize="4">{bands}</VRTDataset>')
    Y, valid = Scene(tmp_path / "scene.vrt").read()
    assert Y.dtype == np.float32 and valid.all()
    assert np.array_equal(Y, np.stack([parts[number].ravel() for number in order]))


# ENVI files by hand

def envi(path, values, interleave, *lines):
    """A raw file with the cube (bands, rows, cols) in its own byte order, and its header."""
    axes = {"bsq": (0, 1, 2), "bil": (1, 0, 2), "bip": (1, 2, 0)}[interleave]
    path.write_bytes(b"skip me!" + np.ascontiguousarray(values.transpose(axes)).tobytes())
    code = {"i2": 2, "f4": 4, "f8": 5, "u2": 12}[values.dtype.str[1:]]
    path.with_suffix(".hdr").write_text("\n".join([
        "ENVI", f"samples = {values.shape[2]}", f"lines = {values.shape[1]}", f"bands = {len(values)}",
        "header offset = 8", "file type = ENVI Standard", f"data type = {code}", f"interleave = {interleave}",
        f"byte order = {int(values.dtype.str[0] == '>')}", *lines]) + "\n")
    return path


@pytest.mark.parametrize("interleave", ["bsq", "bil", "bip"])
@pytest.mark.parametrize("dtype", ["<i2", ">i2", ">u2", ">f4", "<f8"])
def test_envi_in_any_interleave_and_byte_order(tmp_path, monkeypatch, interleave, dtype):
    values = cube(3, 7, 5).astype(dtype)
    scene = Scene(envi(tmp_path / "scene", values, interleave))
    monkeypatch.setattr(raster, "BLOCK_VALUES", 60)
    Y, positions = scene.everything()
    assert np.array_equal(Y, values.reshape(3, -1)) and len(positions) == 35


def test_a_grid_that_is_south_up_or_absent_is_read_as_it_lies(tmp_path):
    values = cube(2, 4, 5)
    for transform in (Affine(30, 0, 0, 0, 30, 0), Affine.identity()):
        assert np.array_equal(Scene(write(tmp_path / "scene.tif", values, transform=transform)).read()[0],
                              values.reshape(2, -1))


# bands left out

def poor(tmp_path, **options):
    """Bands: good, constant, nodata throughout, good, constant where it is not nodata."""
    values = cube(5, 40, 30)
    values[1], values[2], values[4] = 7, -1, 9
    values[4, 3, :] = -1
    return write(tmp_path / "scene.tif", values, nodata=-1, **options)


def test_bands_without_information_are_left_out_and_said(tmp_path):
    scene, said = heard(poor(tmp_path))
    assert scene.indexes.tolist() == [1, 4] and scene.L == 2 and scene.count == 5
    assert said == ["Left out 3 bands of scene.tif without information (nodata or one constant value throughout): 2-3, "
                    "5."]
    assert scene.read()[1].all()


def test_bands_flagged_as_bad_are_left_out_and_said(tmp_path):
    path = envi(tmp_path / "scene", cube(4, 7, 5), "bil", "bbl = {1, 0, 0, 1}")
    scene, said = heard(path)
    assert scene.indexes.tolist() == [1, 4]
    assert said == ["Left out 2 bands that scene flags as bad: 2-3."]


def test_the_bands_that_the_user_names_are_used_whatever_they_hold(tmp_path):
    scene, said = heard(poor(tmp_path), bands=[5, 2, 2, 1])
    assert scene.indexes.tolist() == [1, 2, 5] and not said
    flagged = envi(tmp_path / "flagged", cube(3, 7, 5), "bil", "bbl = {1, 0, 1}")
    assert Scene(flagged, bands=[2]).indexes.tolist() == [2]


def test_bands_are_called_as_the_raster_calls_them_or_by_their_number(tmp_path):
    path = write(tmp_path / "scene.tif", cube(3, 4, 5))
    with rasterio.open(path, "r+") as file:
        file.set_band_description(3, "red édge")
    assert Scene(path, bands=[2, 3]).band_names == ["Band 2", "red édge"]


def test_a_raster_that_is_no_scene_keeps_every_band(tmp_path):
    scene, said = heard(poor(tmp_path), spectral=False)
    assert scene.L == 5 and not said


def test_a_band_that_differs_in_one_pixel_only_is_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(raster, "BLOCK_VALUES", 100)
    for place in ((0, 0), (20, 15), (39, 29)):
        values = np.full((2, 40, 30), 5, "int16")
        values[0], values[1][place] = cube(1, 40, 30)[0], 6
        assert Scene(write(tmp_path / "scene.tif", values)).L == 2


@pytest.mark.parametrize("bands", [[0], [6], [1, -2]])
def test_a_band_that_does_not_exist_is_a_sentence(tmp_path, bands):
    with pytest.raises(UserError, match="the raster has 5 bands. Choose bands from 1 to 5"):
        Scene(poor(tmp_path), bands=bands)


@pytest.mark.parametrize("hole, dtype, nodata", [(-1, "int16", -1), (np.nan, "float32", None), (4, "int16", None)])
def test_a_raster_without_any_information_is_a_sentence(tmp_path, hole, dtype, nodata):
    path = write(tmp_path / "scene.tif", np.full((3, 4, 5), hole, dtype), nodata=nodata)
    with pytest.raises(UserError, match="no band with information"):
        Scene(path)


def test_a_raster_that_is_all_nodata_gives_no_pixels_where_its_bands_are_named(tmp_path):
    scene = Scene(write(tmp_path / "scene.tif", np.full((3, 4, 5), -1, "int16"), nodata=-1), bands=[1, 2])
    Y, positions = scene.everything()
    assert Y.shape == (2, 0) and positions.shape == (0,)
    stream = scene.pixels()
    assert list(stream) == [] and stream.count == 0
    assert np.isnan(scene.at(0, 0)).all()


def test_looking_for_bands_without_information_stops_as_soon_as_all_are_decided(tmp_path, monkeypatch):
    values, read = cube(3, 200, 50), []
    values[2] = 7
    values[2, :, 20] = 8
    original = Scene._bands
    monkeypatch.setattr(raster, "BLOCK_VALUES", 3 * 50 * 10)
    monkeypatch.setattr(Scene, "_bands", lambda self, bands, window: (
        read.append((bands.tolist(), window.row_off)) or original(self, bands, window)))
    Scene(write(tmp_path / "scene.tif", values))
    assert read == [([1, 2, 3], 100)]
    read.clear()
    values[2] = 7
    Scene(write(tmp_path / "constant.tif", values))
    assert read[1:] == [([3], row % 200) for row in range(110, 300, 10)]


# positions

@pytest.mark.parametrize("limit", [30, 500, 10**9])
@pytest.mark.parametrize("options", [TILED, dict(blockysize=7), dict(interleave="pixel", **TILED)])
def test_pixels_and_positions_agree_with_a_direct_read_whatever_the_blocks(tmp_path, monkeypatch, options, limit):
    values, valid = masked_cube()
    scene = Scene(write(tmp_path / "scene.tif", values, nodata=-1, **options))
    monkeypatch.setattr(raster, "BLOCK_VALUES", limit)
    Y, positions = scene.everything()
    assert Y.dtype == np.float32
    assert np.array_equal(positions, np.flatnonzero(valid))
    assert np.array_equal(Y, values[:, valid])
    for rows in (False, True):
        stream = scene.pixels(rows)
        Y = np.concatenate(list(stream), axis=1)
        assert stream.count == Y.shape[1] == valid.sum()
        for index in (0, 1, 400, stream.count // 2, stream.count - 1):
            row, col = stream.locate(index)
            assert np.array_equal(Y[:, index], values[:, row, col])
        assert np.array_equal(Y, np.concatenate(list(stream), axis=1)), "a second pass gives the same"
        if rows:
            assert np.array_equal(Y, values[:, valid])


def test_locate_skips_blocks_that_are_masked_throughout(tmp_path, monkeypatch):
    values = cube(2, 40, 16)
    values[:, 10:30] = -1
    scene = Scene(write(tmp_path / "scene.tif", values, nodata=-1, blockysize=5))
    monkeypatch.setattr(raster, "BLOCK_VALUES", 2 * 16 * 5)
    stream = scene.pixels()
    assert sum(block.shape[1] for block in stream) == 20 * 16
    assert [stream.locate(index) for index in (0, 159, 160, 319)] == [(0, 0), (9, 15), (30, 0), (39, 15)]


def test_at_is_one_pixels_spectrum_in_used_bands(tmp_path):
    values, valid = masked_cube()
    scene = Scene(write(tmp_path / "scene.tif", values, nodata=-1, **TILED), bands=[1, 3])
    assert scene.at(30, 40).dtype == np.float64
    assert np.array_equal(scene.at(30, 40), values[[0, 2], 30, 40])
    assert np.array_equal(scene.at(20, 3), values[[0, 2], 20, 3]), "nodata in band 2, which is not used"
    assert np.isnan(scene.at(0, 0)).all() and np.isnan(scene.at(49, 69)).all()


# blocks through a function

@pytest.fixture
def blocks(tmp_path, monkeypatch):
    """A scene of twenty blocks of ten rows."""
    monkeypatch.setattr(raster, "BLOCK_VALUES", 2 * 16 * 10)
    return Scene(write(tmp_path / "scene.tif", cube(2, 200, 16), blockysize=10))


def test_blocks_come_in_order_though_later_ones_are_ready_first(blocks, monkeypatch):
    monkeypatch.setattr(raster, "WORKERS", 3)
    third_is_ready = threading.Event()

    def first_waits(Y, valid):
        if Y[0, 0] == 16 * 20:
            third_is_ready.set()
        assert Y[0, 0] != 0 or third_is_ready.wait(10)
        return Y[0, 0]

    found = [(window.row_off, first) for window, first in blocks.map_blocks(first_waits)]
    assert found == [(row, 16 * row) for row in range(0, 200, 10)]


def test_the_same_blocks_give_the_same_result_each_time(blocks):
    weights = np.random.default_rng(1).normal(size=(4, 2))
    runs = [np.concatenate([Y for _, Y in blocks.map_blocks(lambda Y, valid: weights @ Y)], axis=1) for _ in range(3)]
    assert np.array_equal(runs[0], runs[1]) and np.array_equal(runs[0], runs[2])


@pytest.mark.parametrize("where", [0, 100, 190])
def test_an_exception_in_a_block_comes_through(blocks, where):
    def fail(Y, valid):
        if Y[0, 0] == 16 * where:
            raise ArithmeticError("the block at fault")

    done = []
    with pytest.raises(ArithmeticError, match="the block at fault"):
        done += [window.row_off for window, _ in blocks.map_blocks(fail)]
    with pytest.raises(ArithmeticError):
        for window, _ in blocks.map_blocks(fail):
            assert window.row_off < where


def test_few_blocks_are_in_memory_at_once(blocks, monkeypatch):
    begun, most = [], 0

    class Counting(raster.ThreadPoolExecutor):
        def submit(self, *arguments):
            begun.append(arguments)
            return super().submit(*arguments)

    monkeypatch.setattr(raster, "ThreadPoolExecutor", Counting)
    for taken, _ in enumerate(blocks.map_blocks(lambda Y, valid: None)):
        most = max(most, len(begun) - taken)
    assert most == raster.WORKERS + 1 and len(begun) == 20
    begun.clear()
    for taken, _ in enumerate(blocks.pixels()):
        assert len(begun) - taken <= 2


def test_progress_grows_to_the_end_in_every_way_through(blocks):
    for go in (lambda tell: list(blocks.map_blocks(lambda Y, valid: None, progress=tell)),
               lambda tell: list(blocks.pixels(progress=tell)), lambda tell: blocks.everything(tell),
               lambda tell: list(blocks.map_blocks(lambda Y, valid: None, blocks.windows()[:1], tell))):
        told = []
        go(lambda done, total: told.append(done / total))
        assert told == sorted(told) and told[-1] == 1 and told.count(1) == 1


def test_a_pass_left_early_does_not_spoil_the_next(blocks):
    stream = blocks.pixels()
    next(iter(stream))
    assert sum(block.shape[1] for block in stream) == stream.count == 3200


STREAM = """
import sys
sys.path.append(sys.argv[1])
import bootstrap
bootstrap.load()
import rasterio
from subpixel.engine import raster
raster.BLOCK_VALUES = 1_000_000
with rasterio.Env(GDAL_CACHEMAX=8_000_000):
    scene = raster.Scene(sys.argv[2], bands=list(range(1, 65)))
    pixels = sum(block.shape[1] for block in scene.pixels())
    assert pixels == sum(valid.sum() for _, valid in scene.map_blocks(lambda Y, valid: valid)) == 40 * scene.height
with open("/proc/self/status") as lines:
    print(next(line.split()[1] for line in lines if line.startswith("VmHWM")))
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="the peak of memory is read from /proc")
def test_a_raster_four_times_as_tall_takes_the_same_memory(tmp_path):
    peaks = []
    for height in (20_000, 80_000):
        path = tmp_path / f"{height}.tif"
        with rasterio.open(path, "w", driver="GTiff", width=40, height=height, count=64, dtype="uint8",
                           blockysize=200, sparse_ok=True):
            pass
        answer = subprocess.run([sys.executable, "-c", STREAM, str(ROOT), str(path)], check=True, capture_output=True)
        peaks.append(int(answer.stdout) * 1024)
    assert abs(peaks[1] - peaks[0]) < 15e6, f"{peaks}: the rasters differ by 154 MB"


# what cannot be read

@pytest.mark.parametrize("types", [("CFloat32", "CFloat32"), ("CInt16", "CInt16"), ("Float32", "CFloat64")])
def test_complex_numbers_are_refused(tmp_path, types):
    with pytest.raises(UserError, match="holds complex numbers"):
        Scene(vrt(tmp_path / "complex.vrt", *types))


def test_a_container_of_subdatasets_is_refused_and_its_subdatasets_are_not(tmp_path):
    path = tmp_path / "two.gpkg"
    for table, more in (("first", "NO"), ("second", "YES")):
        with rasterio.open(path, "w", driver="GPKG", width=8, height=8, count=3, dtype="uint8", crs="EPSG:4326",
                           transform=Affine(1, 0, 0, 0, -1, 8), RASTER_TABLE=table, APPEND_SUBDATASET=more,
                           TILE_FORMAT="PNG") as file:
            file.write(cube(3, 8, 8, "uint8"))
    with pytest.raises(UnreadableRaster, match="perhaps only subdatasets") as error:
        Scene(path, name="HSI")
    assert error.value.names == ["HSI"]
    assert Scene(f"GPKG:{path}:second").count >= 3


def test_what_is_no_raster_is_refused_under_its_parameters_name(tmp_path):
    (tmp_path / "words.tif").write_text("no raster")
    for path in (tmp_path, tmp_path / "absent.tif", tmp_path / "words.tif"):
        with pytest.raises(UnreadableRaster, match="cannot be read as a raster") as error:
            Scene(path, name="MSI")
        assert error.value.names == ["MSI"] and str(path) in str(error.value)


def test_a_file_cut_short_is_a_sentence(tmp_path):
    values = np.random.default_rng(1).integers(0, 1000, (3, 200, 100)).astype("int16")
    path = write(tmp_path / "scene.tif", values, compress="deflate", blockysize=10)
    path.write_bytes(path.read_bytes()[:60_000])
    with pytest.raises(UserError, match="cannot be read completely.*damaged or cut short"):
        Scene(path, bands=[1, 2, 3]).everything()


# writing

@pytest.mark.parametrize("transform", [TURNED, Affine(30, 0, 10, 0, 30, 20), Affine(30, 0, 10, 0, -20, 20)])
def test_what_is_written_lies_where_the_scene_lies(tmp_path, transform):
    values = cube(2, 300, 280)
    scene = Scene(write(tmp_path / "scene.tif", values, transform=transform, crs="EPSG:32633"))
    with RasterWriter(tmp_path / "out.tif", scene, ["tree", "bare soil é"], tags={"SUBPIXEL_TOOL": "x"}) as out:
        for window, Y in scene.map_blocks(lambda Y, valid: Y / 2):
            out.write(window, Y)
    with rasterio.open(tmp_path / "out.tif") as file:
        assert file.transform == transform and file.crs == CRS.from_epsg(32633)
        assert file.descriptions == ("tree", "bare soil é")
        assert file.nodata == -9999 and file.dtypes == ("float32", "float32")
        assert file.profile["tiled"] and file.compression.name == "deflate"
        assert file.tags()["SUBPIXEL_TOOL"] == "x"
        assert np.array_equal(file.read(), values / 2)


def test_a_scene_without_a_place_gives_a_raster_without_one(tmp_path):
    scene = Scene(write(tmp_path / "scene.tif", cube(2, 4, 5), transform=None))
    with RasterWriter(tmp_path / "out.tif", scene, ["a"]) as out:
        out.write(scene.windows()[0], np.ones((1, 20)))
    with rasterio.open(tmp_path / "out.tif") as file:
        assert file.transform.is_identity and file.crs is None


@pytest.mark.parametrize("own", [None, "EPSG:3035"])
def test_a_crs_assigned_in_qgis_goes_before_the_rasters_own(own, tmp_path):
    assigned = CRS.from_epsg(32633)
    scene = Scene(write(tmp_path / "scene.tif", cube(2, 4, 5), crs=own), crs=assigned.to_wkt())
    with RasterWriter(tmp_path / "out.tif", scene, ["a"]) as out:
        out.write(Window(0, 0, 5, 4), np.ones((1, 20)))
    with rasterio.open(tmp_path / "out.tif") as file:
        assert file.crs == assigned


def test_ground_control_points_place_pixels_by_the_grid_that_fits_them(tmp_path):
    def at(row, col):
        return 500000 + 30 * col + 5 * row, 5800000 - 28 * row
    points = [GroundControlPoint(row, col, *at(row, col)) for row in (0, 4) for col in (0, 5)]
    with rasterio.open(tmp_path / "scene.tif", "w", driver="GTiff", width=5, height=4, count=2, dtype="int16") as file:
        file.gcps = points, CRS.from_epsg(32633)
        file.write(cube(2, 4, 5).astype("int16"))
    scene = Scene(tmp_path / "scene.tif")
    assert scene.map_position(2, 3) == pytest.approx(at(2.5, 3.5))
    assert scene.pixel_at(*at(2.5, 3.5)) == (2, 3)


def test_values_that_qgis_has_as_nodata_are_masked_in_their_band(tmp_path):
    values = cube(2, 4, 5)
    values[0, 1, 2], values[1, 3, 3], values[1, 1, 1] = 0, 0, 7
    scene = Scene(write(tmp_path / "scene.tif", values), nodata={"1": [[0, 0]], "2": [[6.5, 7.5]]})
    _, valid = scene.read()
    masked = (values[0] == 0) | ((values[1] >= 6.5) & (values[1] <= 7.5))
    assert masked[1, 2] and masked[1, 1] and not masked[3, 3]
    assert (valid.reshape(4, 5) == ~masked).all()


@pytest.mark.parametrize("spectral", [True, False])
def test_a_band_of_transparency_is_no_band_of_the_scene(spectral, tmp_path):
    path = write(tmp_path / "scene.tif", cube(4, 4, 5).astype("uint16"))
    with rasterio.open(path, "r+") as file:
        file.colorinterp = [ColorInterp.gray, ColorInterp.undefined, ColorInterp.undefined, ColorInterp.alpha]
    said = []
    scene = Scene(path, spectral=spectral, say=lambda template, **values: said.append(template.format(**values)))
    assert scene.indexes.tolist() == [1, 2, 3] and "transparency: 4" in said[0]


def test_ground_control_points_are_kept(tmp_path):
    points = [GroundControlPoint(row, col, 10 + col / 10 + row / 50, 50 - row / 10) for row in (0, 4) for col in (0, 5)]
    with rasterio.open(tmp_path / "scene.tif", "w", driver="GTiff", width=5, height=4, count=2, dtype="int16") as file:
        file.gcps = points, CRS.from_epsg(4326)
        file.write(cube(2, 4, 5))
    scene = Scene(tmp_path / "scene.tif")
    with RasterWriter(tmp_path / "out.tif", scene, ["a"]) as out:
        out.write(Window(0, 0, 5, 4), np.ones((1, 20)))
    with rasterio.open(tmp_path / "out.tif") as file:
        kept, crs = file.gcps
        assert crs == CRS.from_epsg(4326)
        assert [(p.row, p.col, p.x, p.y) for p in kept] == [(p.row, p.col, p.x, p.y) for p in points]


def test_masked_and_not_finite_pixels_are_written_as_nodata(tmp_path):
    valid = np.array([True, False, True, True])
    with RasterWriter(tmp_path / "out.tif", Grid(4, 1), ["a", "b"]) as out:
        out.write(Window(0, 0, 4, 1), np.array([[1, np.nan, 3], [4, 5, np.inf]]), valid)
    with rasterio.open(tmp_path / "out.tif") as file:
        assert file.read()[:, 0].tolist() == [[1, -9999, -9999, 3], [4, -9999, 5, -9999]]


def test_whole_numbers_keep_their_type_and_nodata(tmp_path):
    with RasterWriter(tmp_path / "out.tif", Grid(4, 1), ["class"], dtype="uint8", nodata=0) as out:
        out.write(Window(0, 0, 4, 1), [[1, 2, 3]], np.array([True, True, False, True]))
    with rasterio.open(tmp_path / "out.tif") as file:
        assert file.dtypes == ("uint8",) and file.nodata == 0 and file.read().ravel().tolist() == [1, 2, 0, 3]


def test_wavelengths_and_widths_come_back_to_the_last_digit_that_matters(tmp_path):
    centres, widths = np.array([418.2412345, 2445.5, 1e4 / 3]), np.array([6.99561, 12.5, 0.05])
    with RasterWriter(tmp_path / "out.tif", Grid(2, 1), list("abc"), wavelengths=centres, fwhm=widths) as out:
        out.write(Window(0, 0, 2, 1), np.ones((3, 2)))
    with rasterio.open(tmp_path / "out.tif") as file:
        found, wide = read_wavelengths(file)
    np.testing.assert_allclose(found, centres, rtol=1e-9)
    np.testing.assert_allclose(wide, widths, rtol=1e-9)


def test_only_a_large_raster_is_a_bigtiff(tmp_path):
    code = ("import os, sys; sys.path.append(sys.argv[1]); import bootstrap; bootstrap.load(); import numpy as np\n"
            "from subpixel.engine.raster import Grid, RasterWriter, Window\n"
            "out = RasterWriter(sys.argv[2], Grid(30000, 30000), ['a'])\n"
            "out.write(Window(0, 0, 30000, 256), np.zeros((1, 30000 * 256), 'float32'))\n"
            "os._exit(0)")   # closing would fill the file's four gigabytes
    subprocess.run([sys.executable, "-c", code, str(ROOT), str(tmp_path / "large.tif")], check=True)
    with RasterWriter(tmp_path / "small.tif", Grid(2, 1), ["a"]) as out:
        out.write(Window(0, 0, 2, 1), np.ones((1, 2)))
    classic, big = b"II*\0", b"II+\0"
    assert (tmp_path / "small.tif").read_bytes()[:4] == classic
    with open(tmp_path / "large.tif", "rb") as file:
        assert file.read(4) == big


FULL = """
import resource, sys
sys.path.append(sys.argv[1])
import bootstrap
bootstrap.load()
import numpy as np
from subpixel.engine.raster import Grid, RasterWriter, UserError, Window
size, noise = 300, np.random.default_rng(1).random((3, 300, 300))
for number, limit in enumerate((100, 30_000, 500_000, 950_000)):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        with RasterWriter(f"{sys.argv[2]}/{number}.tif", Grid(size, size), list("abc")) as out:
            for top in range(0, size, 100):
                out.write(Window(0, top, size, 100), noise[:, top:top + 100].reshape(3, -1))
    except UserError as error:
        print(error)
    else:
        print("written", out.path)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no limit of a file's size")
def test_a_raster_that_does_not_fit_on_the_disk_is_a_sentence(tmp_path):
    answer = subprocess.run([sys.executable, "-c", FULL, str(ROOT), str(tmp_path)], check=True, capture_output=True,
                            text=True)
    lines = answer.stdout.splitlines()
    assert len(lines) == 4
    for number, line in enumerate(lines):
        assert line.startswith(f"{tmp_path}/{number}.tif could not be written completely"), answer.stdout
        assert line.endswith("Make room on the disk, or choose another place for the output.")


def test_a_place_that_cannot_be_written_is_a_sentence(tmp_path):
    with pytest.raises(UserError, match="cannot be written: .*Choose another place for the output"):
        RasterWriter(tmp_path / "absent" / "out.tif", Grid(2, 1), ["a"])


def test_an_error_inside_the_writing_is_not_covered_by_its_closing(tmp_path):
    with pytest.raises(KeyError, match="the cause"), RasterWriter(tmp_path / "out.tif", Grid(400, 400), ["a"]):
        raise KeyError("the cause")


@pytest.mark.parametrize("bands, words", [([3], "3"), ([1, 2, 3, 7], "1-3, 7"), ([1, 3, 5, 6], "1, 3, 5-6")])
def test_ranges_in_words(bands, words):
    assert ranges(bands) == words
