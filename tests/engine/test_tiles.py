"""Tiles: every pixel in one core, weights that sum to one, and as large as memory allows."""

import numpy as np
import pytest

from subpixel.engine import tiles as module
from subpixel.engine.sentences import UserError
from subpixel.engine.tiles import tile_side, tiles


@pytest.mark.parametrize("width, height, side", [(100, 80, None), (100, 80, 100), (300, 70, 64), (129, 257, 64),
                                                 (1000, 65, 100), (65, 64, 64)])
def test_cores_cover_every_pixel_once_and_weights_sum_to_one(width, height, side):
    cores, weights = np.zeros((height, width)), np.zeros((height, width))
    for tile in tiles(width, height, side):
        rows, cols = tile.window.toslices()
        assert tile.window.height <= (side or height) and tile.window.width <= (side or width)
        cores[rows, cols] += tile.in_core.reshape(tile.window.height, tile.window.width)
        weights[rows, cols] += tile.weights.reshape(tile.window.height, tile.window.width)
        inner = tile.core.toslices()
        assert tile.in_core.sum() == (inner[0].stop - inner[0].start) * (inner[1].stop - inner[1].start)
    assert (cores == 1).all()
    np.testing.assert_allclose(weights, 1)


def test_weights_fall_to_the_edge_of_a_tile_that_has_a_neighbour_only():
    first, second = tiles(110, 10, 90)
    row = [tile.weights.reshape(10, -1)[0] for tile in (first, second)]
    assert row[0][0] == 1 == row[1][-1] and row[0][-1] < 0.05 > row[1][0]
    assert np.all(np.diff(row[0]) <= 0) and np.all(np.diff(row[1]) >= 0)


def test_an_image_that_fits_is_one_tile(monkeypatch):
    monkeypatch.setattr(module, "available", lambda: 10**9)
    assert tile_side(1000, 100, 4000) is None
    side = tile_side(1000, 1000, 4000)
    assert 0.9 * 5e8 < side**2 * 4000 <= 5e8


def test_what_cannot_fit_is_said(monkeypatch):
    monkeypatch.setattr(module, "available", lambda: 10**6)
    with pytest.raises(UserError, match="fewer bands"):
        tile_side(1000, 1000, 10**4)
    with pytest.raises(UserError, match="at least 64"):
        tiles(1000, 1000, 40)
