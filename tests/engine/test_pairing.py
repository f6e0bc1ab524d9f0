"""How two rasters on grids of their own lie on each other."""

from dataclasses import replace

import numpy as np
import pytest
import rasterio
from rasterio.transform import Affine
from rasterio.windows import Window

from subpixel.engine.pairing import fill, pair_up
from subpixel.engine.raster import Scene
from subpixel.engine.sentences import UserError

UTM = "EPSG:32633"
HSI = Affine(30, 0, 500000, 0, -30, 5800000)


def write(path, transform, shape=(20, 24), crs=UTM, bands=3, mask=()):
    """A raster whose first two bands are the map coordinates of each pixel, relative to the HSI's corner."""
    rows, cols = np.mgrid[:shape[0], :shape[1]]
    x, y = (transform or Affine.identity()) * (cols + 0.5, rows + 0.5)
    cube = np.stack([x - 500000, y - 5800000, x + y - 6300000][:bands]) if transform else np.stack([cols, rows, cols])
    cube = cube.astype("float64")
    for place in mask:
        cube[:, place[0], place[1]] = np.nan
    with rasterio.open(path, "w", driver="GTiff", width=shape[1], height=shape[0], count=bands, dtype="float64",
                       crs=crs, **({"transform": transform} if transform else {})) as file:
        file.write(cube)
    return str(path)


@pytest.fixture
def paired(tmp_path):
    said = []

    def make(msi, msi_shape, msi_crs=UTM, hsi=HSI, hsi_shape=(20, 24), hsi_crs=UTM, mask=()):
        hsi = Scene(write(tmp_path / "hsi.tif", hsi, hsi_shape, hsi_crs), name="HSI")
        msi = Scene(write(tmp_path / "msi.tif", msi, msi_shape, msi_crs, mask=mask), name="MSI")
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
    x, y = pair.transform * (np.arange(pair.width) + 0.5, np.full(pair.width, 0.5))
    assert np.allclose(msi[0, 0][known[0]], (np.asarray(x) - 500000)[known[0]], atol=1.0)


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
    coarse, fine = pair.survey
    assert coarse.shape == (3, 480) and fine.shape == (3, 50 * 72)
    pair, _ = paired(msi, (60, 72), mask=[(slice(0, 15), slice(None))])
    with pytest.raises(UserError, match="25 % of the ground"):
        _ = pair.survey


def test_mask_of_the_hsi_on_the_fused_grid(tmp_path, monkeypatch):
    monkeypatch.setattr("subpixel.engine.pairing.BLOCK", 7 * 3 * 24)   # of 20 rows: three reads
    hsi = Scene(write(tmp_path / "hsi.tif", HSI, mask=[(4, 5), (19, 23)]))
    msi = Scene(write(tmp_path / "msi.tif", Affine(10, 0, 500000, 0, -10, 5800000), (60, 72)))
    pair = pair_up(hsi, msi, lambda *_, **__: None, lambda *_, **__: None)
    expected = np.ones((60, 72), bool)
    expected[12:15, 15:18] = expected[57:, 69:] = False
    assert np.array_equal(pair.hsi_mask(Window(0, 0, 72, 60)), expected)
    assert np.array_equal(pair.hsi_mask(Window(16, 13, 5, 9)), expected[13:22, 16:21])
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
