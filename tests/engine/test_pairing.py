"""How two rasters on grids of their own lie on each other."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import rasterio
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.transform import Affine
from rasterio.warp import transform as to_crs
from rasterio.windows import Window

from scipy.ndimage import binary_erosion
from subpixel.engine.pairing import fill, pair_up
from subpixel.engine.raster import Scene
from subpixel.engine.sentences import UserError

UTM = "EPSG:32633"
HSI = Affine(30, 0, 500000, 0, -30, 5800000)


def write(path, transform, shape=(20, 24), crs=UTM, bands=3, mask=(), points=()):
    """
    A raster whose first two bands are the map coordinates of each pixel, relative to the HSI's corner.

    Ground control points (row, col, x, y), if there are any, tell where it lies in the file.
    """
    rows, cols = np.mgrid[:shape[0], :shape[1]]
    x, y = (transform or Affine.identity()) * (cols + 0.5, rows + 0.5)
    cube = np.stack([x - 500000, y - 5800000, x + y - 6300000][:bands]) if transform else np.stack([cols, rows, cols])
    cube = cube.astype("float64")
    for place in mask:
        cube[:, place[0], place[1]] = np.nan
    with rasterio.open(path, "w", driver="GTiff", width=shape[1], height=shape[0], count=bands, dtype="float64",
                       **({"crs": crs} if not points else {}),
                       **({"transform": transform} if transform and not points else {})) as file:
        if points:
            file.gcps = [GroundControlPoint(*point) for point in points], CRS.from_string(crs)
        file.write(cube)
    return str(path)


@pytest.fixture
def paired(tmp_path):
    said = []

    def make(msi, msi_shape, msi_crs=UTM, hsi=HSI, hsi_shape=(20, 24), hsi_crs=UTM, mask=(), hsi_mask=(), points=(),
             hsi_points=()):
        hsi = Scene(write(tmp_path / "hsi.tif", hsi, hsi_shape, hsi_crs, mask=hsi_mask, points=hsi_points), name="HSI")
        msi = Scene(write(tmp_path / "msi.tif", msi, msi_shape, msi_crs, mask=mask, points=points), name="MSI")
        pair = pair_up(hsi, msi, lambda words, **values: said.append(words.format(**values)),
                       lambda words, **values: said.append("WARNING " + words.format(**values)))
        return pair, said
    return make


def check(pair):
    """Each HSI centre lies where the MSI has its map coordinates."""
    hsi, valid = pair.read_hsi(slice(0, pair.hsi_rows), slice(0, pair.hsi_cols))
    msi, known = pair.read_msi(Window(0, 0, pair.width, pair.height))
    cols = np.arange(pair.width)
    for row in (0, pair.hsi_rows - 1):
        nearest = int(round(np.clip(pair.rows[row], 0, pair.height - 1)))
        inside = (pair.columns > 2) & (pair.columns < pair.width - 3)
        assert np.allclose(np.interp(pair.columns, cols, msi[0, nearest])[inside], hsi[0, row][inside], atol=1.0)
    assert valid.all()
    rows, cols = np.mgrid[:pair.height, :pair.width] + 0.5
    x, y = pair.transform * (cols, rows)
    known = binary_erosion(known, iterations=3) if pair.resampled else known
    assert known.any() and np.allclose(msi[0][known], (x - 500000)[known], atol=1.0)
    assert np.allclose(msi[1][known], (y - 5800000)[known], atol=1.0)
    x, y = pair.transform * np.stack(np.meshgrid(pair.columns + 0.5, pair.rows + 0.5))
    assert np.allclose(hsi[:2], [x - 500000, y - 5800000], atol=1e-3)


def test_whole_ratio_with_edges_aligned(paired):
    pair, said = paired(Affine(10, 0, 500000, 0, -10, 5800000), (60, 72))
    assert (pair.width, pair.height, pair.ratio) == (72, 60, (3, 3)) and not pair.resampled
    assert pair.rows[0] == pair.columns[0] == 1
    check(pair)
    assert said == ["An HSI pixel is 3 by 3 MSI pixels."]


def test_a_shifted_pair_is_found_shifted(paired):
    pair, _ = paired(Affine(10, 0, 500090, 0, -10, 5799955), (40, 50))
    assert (pair.col_off, pair.row_off) == (3, 2) or pair.row_off == 1
    assert pair.columns[0] == pytest.approx(1)
    check(pair)


def test_ratio_that_is_not_whole_is_honoured_without_resampling(paired):
    pair, said = paired(Affine(20, 0, 500000, 0, -20, 5800000), (30, 36))
    assert pair.ratio == (1.5, 1.5) and not pair.resampled
    assert pair.columns[:3] == pytest.approx([0.25, 1.75, 3.25])
    assert "no whole number" in said[0]
    check(pair)


def test_rotated_grids_with_the_same_axes_are_not_resampled(paired):
    turn = Affine.rotation(25)
    hsi = Affine.translation(500000, 5800000) * turn * Affine.scale(30, -30)
    pair, _ = paired(Affine.translation(500000, 5800000) * turn * Affine.scale(10, -10), (60, 72), hsi=hsi)
    assert not pair.resampled and pair.rows[0] == pytest.approx(1)
    check(pair)


def test_another_direction_is_resampled_and_said(paired):
    msi = Affine.translation(499900, 5800100) * Affine.rotation(-8) * Affine.scale(10, -10)
    pair, said = paired(msi, (120, 130))
    assert pair.resampled and pair.ratio == (3, 3) and "resampled" in said[0]
    check(pair)


def test_another_crs_is_resampled_and_said(paired):
    from rasterio.warp import transform as to
    (lon,), (lat,) = to(UTM, "EPSG:4326", [500000], [5800000])
    pair, said = paired(Affine(1e-4, 0, lon - 1e-3, 0, -1e-4, lat + 1e-3), (90, 140), "EPSG:4326")
    assert pair.resampled and "resampled" in said[0] and pair.crs.to_epsg() == 32633
    window = Window(6, 6, pair.width - 12, pair.height - 12)
    _, valid = pair.read_msi(window)
    assert valid.mean() > 0.5


def test_images_without_georeference_cover_the_same_ground(paired):
    pair, said = paired(None, (40, 48), None, hsi=None, hsi_crs=None)
    assert pair.ratio == (2, 2) and "Neither image" in said[0]


def test_hsi_inside_the_msi_at_a_fraction_of_its_pixels_with_a_ratio_for_each_axis(paired):
    msi = Affine(10, 0, 500000, 0, -10, 5800000)
    pair, _ = paired(msi, (120, 150), hsi=msi * Affine.translation(11.6, 7.3) * Affine.scale(4, 3), hsi_shape=(24, 26))
    assert not pair.resampled and pair.ratio == pytest.approx((3, 4))
    assert (pair.hsi_rows, pair.hsi_cols, pair.row_off, pair.col_off) == (24, 26, 0, 0)
    assert pair.transform.almost_equals(msi * Affine.translation(12, 7)) and (pair.width, pair.height) == (104, 72)
    assert pair.rows[:2] == pytest.approx([1.3, 4.3]) and pair.columns[:2] == pytest.approx([1.1, 5.1])
    check(pair)


SOUTH_UP = {"msi": Affine(10, 0, 500000, 0, 10, 5799400), "hsi": Affine(30, 0, 500000, 0, 30, 5799400)}


def test_rasters_that_run_from_south_to_north(paired):
    pair, _ = paired(SOUTH_UP["msi"], (60, 72), hsi=SOUTH_UP["hsi"])
    assert not pair.resampled and (pair.height, pair.width) == (60, 72) and pair.transform.e == 10
    check(pair)
    for hsi, msi in ((HSI, SOUTH_UP["msi"]), (SOUTH_UP["hsi"], Affine(10, 0, 500000, 0, -10, 5800000))):
        pair, _ = paired(msi, (60, 72), hsi=hsi)
        assert pair.resampled and (pair.height, pair.width, pair.ratio) == (60, 72, (3, 3))
        assert pair.read_msi(Window(0, 0, 72, 60))[1].all()
        check(pair)


def points(transform, shape, crs=UTM):
    """Ground control points of a grid, in a CRS."""
    places = [(row, col, *(transform * (col, row))) for row in (0, shape[0] / 2, shape[0]) for col in (0, shape[1])]
    x, y = to_crs(UTM, crs, [place[2] for place in places], [place[3] for place in places])
    return [(row, col, *at) for (row, col, *_), *at in zip(places, x, y)]


MSI = Affine(10, 0, 500090, 0, -10, 5799940)


@pytest.mark.parametrize("which", [{"points": points(MSI, (60, 72))}, {"hsi_points": points(HSI, (20, 24))},
                                   {"points": points(MSI, (60, 72)), "hsi_points": points(HSI, (20, 24))}])
def test_ground_control_points_place_an_image(paired, which):
    plain, _ = paired(MSI, (60, 72))
    pair, said = paired(MSI, (60, 72), **which)
    assert not pair.resampled and pair.crs == plain.crs and pair.crs.to_epsg() == 32633 and not pair.gcps[0]
    assert pair.transform.almost_equals(plain.transform, 1e-5) and (pair.width, pair.height) == (63, 54)
    assert sum("ground control points" in words for words in said) == len(which) and "WARNING" not in "".join(said)
    check(pair)


def test_points_in_another_crs_place_an_image_there(paired):
    pair, said = paired(HSI, (20, 24), "EPSG:4326", points=points(HSI * Affine.scale(1), (20, 24), "EPSG:4326"),
                        hsi=HSI * Affine.scale(1))
    assert pair.resampled and pair.crs.to_epsg() == 32633 and pair.ratio == (1, 1)
    assert (pair.hsi_rows, pair.hsi_cols) == (20, 24)
    check(pair)
    pair, _ = paired(Affine(10, 0, 500000, 0, -10, 5800000), (60, 72), hsi_crs="EPSG:4326",
                     hsi_points=points(HSI, (20, 24), "EPSG:4326"))
    assert pair.resampled and pair.crs.to_epsg() == 4326 and (pair.hsi_rows, pair.hsi_cols) == (20, 24)
    msi, valid = pair.read_msi(Window(6, 6, 60, 48))
    assert valid.all() and np.allclose(msi[0, 24], 65 + 10 * np.arange(60), atol=3)


def test_points_that_no_grid_fits_are_warned_of(paired):
    bent = [(row, col, x + (60 if row == 30 else 0), y) for row, col, x, y in points(MSI, (60, 72))]
    _, said = paired(MSI, (60, 72), points=bent)
    assert any("WARNING" in words and "up to 4 of its pixels" in words for words in said)


def test_images_without_crs_whose_axes_differ_are_resampled(paired):
    msi = Affine.translation(499900, 5800100) * Affine.rotation(-8) * Affine.scale(10, -10)
    pair, _ = paired(msi, (120, 130), None, hsi_crs=None)
    assert pair.resampled and pair.crs is None and pair.read_msi(Window(0, 0, 72, 60))[1].mean() > 0.9
    check(pair)


def grid(transform, width, height, crs):
    return SimpleNamespace(transform=transform, map_transform=transform, width=width, height=height, path="x", L=3,
                           crs=CRS.from_string(crs), gcps=((), None))


@pytest.mark.parametrize("crs, north, ratio", [("EPSG:32756", 5800000, 3.04), ("EPSG:32633", 8800000, 6.22)])
def test_a_mosaic_of_the_globe_has_the_pixel_size_of_the_place(crs, north, ratio):
    said = []
    pair = pair_up(grid(Affine(30, 0, 500000, 0, -30, north), 300, 200, crs),
                   grid(Affine(1e-4, 0, -180, 0, -1e-4, 90), 3600000, 1800000, "EPSG:4326"),
                   lambda words, **values: said.append(words.format(**values)), None)
    assert float(said[0].split()[-1][:-2]) == pytest.approx(ratio, abs=0.01) and pair.ratio[0] == round(ratio)
    assert (pair.row_off, pair.col_off, pair.hsi_rows, pair.hsi_cols) == (0, 0, 200, 300)


def test_a_mosaic_of_the_globe_is_read_where_the_hsi_lies(tmp_path):
    crs, hsi = "EPSG:32756", Affine(3000, 0, 460000, 0, -3000, 5800000)
    globe = Affine(0.01, 0, -180, 0, -0.01, 90)
    with rasterio.open(tmp_path / "msi.tif", "w", driver="GTiff", width=36000, height=18000, count=1, tiled=True,
                       dtype="float32", crs="EPSG:4326", transform=globe, SPARSE_OK=True) as file:
        file.write((152 + 0.01 * np.tile(np.arange(300) + 0.5, (300, 1))).astype("float32"), 1,
                   window=Window(33200, 12700, 300, 300))
    pair = pair_up(Scene(write(tmp_path / "hsi.tif", hsi, crs=crs)), Scene(tmp_path / "msi.tif", bands=[1]),
                   lambda *_, **__: None, None)
    msi, valid = pair.read_msi(Window(0, 0, pair.width, pair.height))
    rows, cols = np.mgrid[:pair.height, :pair.width] + 0.5
    lon, _ = to_crs(crs, "EPSG:4326", *(np.ravel(axis) for axis in pair.transform * (cols, rows)))
    assert valid.all() and np.allclose(msi[0].ravel(), lon, atol=2e-3)
    assert pair.survey()[1].shape == (1, pair.width * pair.height)


def test_an_hsi_that_reaches_where_the_other_crs_does_not(paired):
    hsi = grid(Affine(0.1, 0, -90, 0, -0.1, 90), 2000, 1800, "EPSG:4326")
    pair = pair_up(hsi, grid(Affine(2000, 0, 500000, 0, -2000, 5800000), 100, 100, UTM), lambda *_, **__: None, None)
    (lon,), (lat,) = to_crs(UTM, "EPSG:4326", [600000], [5700000])
    middle = pair.transform * (pair.width / 2, pair.height / 2)
    assert middle == pytest.approx((lon, lat), abs=0.2) and 17 <= pair.hsi_rows <= 20 and 28 <= pair.hsi_cols <= 32


def test_an_msi_that_is_a_little_coarser_is_refused_where_it_has_fewer_pixels(paired):
    with pytest.raises(UserError, match="197 x 197 pixels and the hyperspectral one 200 x 200"):
        paired(HSI * Affine.scale(200 / 197), (197, 197), hsi_shape=(200, 200))
    pair, _ = paired(HSI, (20, 24))
    assert pair.ratio == (1, 1)


@pytest.mark.parametrize("msi, shape, crs, words", [
    (Affine(10, 0, 600000, 0, -10, 5800000), (60, 72), UTM, "do not overlap"),
    (Affine(10, 0, 500000, 0, -10, 5800000), (6, 6), UTM, "do not overlap"),
    (Affine(60, 0, 500000, 0, -60, 5800000), (10, 12), UTM, "coarser than the hyperspectral one: its pixels are 2"),
    (None, (60, 72), None, "has no georeference and the other")])
def test_what_cannot_be_honoured_gets_a_sentence(paired, msi, shape, crs, words):
    with pytest.raises(UserError) as problem:
        paired(msi, shape, crs)
    assert words in str(problem.value)


def test_a_missing_crs_is_taken_to_be_the_others(paired):
    pair, said = paired(Affine(10, 0, 500000, 0, -10, 5800000), (60, 72), None)
    assert any("WARNING" in words and "no CRS" in words for words in said)
    assert pair.crs.to_epsg() == 32633


def test_too_much_masked_is_refused(paired):
    msi = Affine(10, 0, 500000, 0, -10, 5800000)
    pair, _ = paired(msi, (60, 72), mask=[(slice(0, 10), slice(None))])
    coarse, fine = pair.survey()
    assert coarse.shape == (3, 480) and fine.shape == (3, 50 * 72)
    pair, _ = paired(msi, (60, 72), mask=[(slice(0, 15), slice(None))])
    with pytest.raises(UserError, match="25 % of the ground"):
        pair.survey()


def test_what_is_masked_in_both_counts_once(paired):
    msi = Affine(10, 0, 500000, 0, -10, 5800000)
    same = dict(mask=[(slice(0, 9), slice(None))], hsi_mask=[(slice(0, 3), slice(None))])
    pair, _ = paired(msi, (60, 72), **same)
    assert pair.survey()[0].shape == (3, 17 * 24) and pair.survey()[1].shape == (3, 51 * 72)
    pair, _ = paired(msi, (60, 72), mask=[(slice(0, 9), slice(None))], hsi_mask=[(slice(17, 20), slice(None))])
    with pytest.raises(UserError, match="30 % of the ground that both images reach is masked .* more than 20 %"):
        pair.survey()


def askew(shape):
    """Rows and columns of a raster outside a square that stands on a corner in it."""
    rows, cols = np.mgrid[:shape[0], :shape[1]] + 0.5
    return np.nonzero(np.abs(rows / shape[0] - 0.5) + np.abs(cols / shape[1] - 0.5) > 0.5)


@pytest.mark.parametrize("of", ["mask", "hsi_mask"])
def test_corners_of_an_image_that_lies_askew_in_its_raster_are_not_masked_ground(paired, of):
    msi, shape = Affine(10, 0, 500000, 0, -10, 5800000), (60, 72) if of == "mask" else (20, 24)
    pair, _ = paired(msi, (60, 72), **{of: [askew(shape)]})
    known = pair.read_msi(Window(0, 0, 72, 60))[1] & pair.hsi_mask(Window(0, 0, 72, 60))
    assert 0.4 < known.mean() < 0.6
    pair.survey()
    hole = slice(shape[0] // 3, 2 * shape[0] // 3), slice(shape[1] // 3, 2 * shape[1] // 3)
    pair, _ = paired(msi, (60, 72), **{of: [askew(shape), hole]})
    with pytest.raises(UserError, match="2[0-9.]+ % of the ground"):
        pair.survey()


def test_what_a_turned_msi_does_not_reach_is_not_masked_ground(paired):
    msi = Affine.translation(500600, 5799900) * Affine.rotation(-40) * Affine.scale(10, -10)
    pair, _ = paired(msi, (80, 90), hsi_shape=(60, 60))
    assert pair.resampled and pair.read_msi(Window(0, 0, pair.width, pair.height))[1].mean() < 0.7
    assert pair.survey()[0].shape == (3, pair.hsi_rows * pair.hsi_cols)
    pair, _ = paired(msi, (80, 90), hsi_shape=(60, 60), mask=[(slice(0, 20), slice(None))])
    with pytest.raises(UserError, match="2[0-9.]+ % of the ground"):
        pair.survey()


def test_what_a_corrected_shift_leaves_without_hsi_is_not_masked_ground(paired):
    pair, _ = paired(Affine(10, 0, 500000, 0, -10, 5800000), (60, 72))
    shifted = replace(pair, rows=pair.rows + 20)
    assert shifted.hsi_mask(Window(0, 0, 72, 60)).mean() < 0.75
    assert shifted.survey()[1].shape == (3, 60 * 72)


def test_a_resampled_msi_is_looked_at_block_by_block(paired, monkeypatch):
    monkeypatch.setattr("subpixel.engine.pairing.SIDE", 32)
    monkeypatch.setattr("subpixel.engine.pairing.SAMPLE", 500)
    msi = Affine.translation(500600, 5799900) * Affine.rotation(-40) * Affine.scale(10, -10)
    pair, _ = paired(msi, (80, 90), hsi_shape=(60, 60))
    whole, valid = pair.read_msi(Window(0, 0, pair.width, pair.height))
    read, scene_read = [], pair.msi.read
    monkeypatch.setattr(pair.msi, "read", lambda window: (read.append(window.width * window.height),
                                                          scene_read(window))[1])
    fine = pair.survey()[1]
    step = int(np.ceil((pair.width * pair.height / 500) ** 0.5))
    expected = whole[:, step // 2::step, ::step][:, valid[step // 2::step, ::step]]
    assert 2 < step and fine.shape == expected.shape
    assert np.allclose(np.sort(fine), np.sort(expected), atol=1e-3)
    assert max(read) < 4 * 32 ** 2 and sum(read) < 4 * 80 * 90


def test_mask_of_the_hsi_on_the_fused_grid(tmp_path, monkeypatch):
    monkeypatch.setattr("subpixel.engine.pairing.BLOCK", 7 * 3 * 24)   # of 20 rows: three reads
    hsi = Scene(write(tmp_path / "hsi.tif", HSI, mask=[(4, 5), (19, 23)]))
    msi = Scene(write(tmp_path / "msi.tif", Affine(10, 0, 500000, 0, -10, 5800000), (60, 72)))
    pair = pair_up(hsi, msi, lambda *_, **__: None, lambda *_, **__: None)
    expected = np.ones((60, 72), bool)
    expected[12:15, 15:18] = expected[57:, 69:] = False
    assert np.array_equal(pair.hsi_mask(Window(0, 0, 72, 60)), expected)
    assert np.array_equal(pair.hsi_mask(Window(16, 13, 5, 9)), expected[13:22, 16:21])
    inner = Scene(write(tmp_path / "inner.tif", Affine(10, 0, 500060, 0, -10, 5799910), (40, 50)))
    inner = pair_up(hsi, inner, lambda *_, **__: None, lambda *_, **__: None)
    assert (inner.row_off, inner.col_off) == (3, 2)
    assert np.array_equal(inner.hsi_mask(Window(0, 0, 50, 40)), expected[9:49, 6:56])
    shifted = replace(pair, rows=pair.rows + 5, columns=pair.columns - 4)
    found = shifted.hsi_mask(Window(0, 0, 72, 60))
    assert not found[:3].any() and found[3, :60].all()     # 5 pixels up, half an HSI pixel and half a pixel stay
    assert found[10, :70].all() and not found[10, 70:].any()
    assert not found[17:20, 11:14].any() and found[16:21, [10, 14]].all() and found[[16, 20], 10:15].all()


def test_tiles_hold_the_hsi_pixels_whose_centres_they_cover(paired):
    pair, _ = paired(Affine(10, 0, 500000, 0, -10, 5800000), (192, 190), hsi_shape=(64, 64))
    made = pair.tiles(96)
    assert len(made) == 9
    seen = np.zeros((pair.hsi_rows, pair.hsi_cols), bool)
    for tile in made:
        rows, cols = pair.hsi_part(tile.window)
        seen[rows, cols] = True
        centres = pair.rows[rows] - tile.window.row_off
        assert centres.min() >= -0.5 and centres.max() < tile.window.height
    assert seen.all()


def test_holes_take_the_nearest_value():
    cube, valid = np.arange(12.0).reshape(1, 3, 4), np.ones((3, 4), bool)
    valid[1, 1:3] = False
    filled = fill(cube, valid)
    assert filled[0, 1, 1] in (1, 4, 9) and np.array_equal(filled[0][valid], cube[0][valid])
