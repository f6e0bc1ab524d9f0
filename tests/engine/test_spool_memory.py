"""What is parked on disk comes back unchanged; what does not fit in memory is said before the run."""

import numpy as np
import pytest

from subpixel.engine import memory
from subpixel.engine.sentences import UserError
from subpixel.engine.spool import Spool

BLOCKS = [np.arange(6, dtype=np.float32).reshape(2, 3), np.full((2, 1), -1, np.float32), np.zeros((2, 0), np.float32),
          np.arange(8, dtype=np.float32).reshape(2, 4) / 3]


def filled(spool, blocks=BLOCKS):
    for block in blocks:
        spool.append(block)
    return spool


def same(found, expected):
    found = list(found)
    return len(found) == len(expected) and all(np.array_equal(*pair) for pair in zip(found, expected))


def test_blocks_come_back_in_order_as_often_as_wanted():
    with filled(Spool()) as spool:
        assert same(spool, BLOCKS) and same(spool, BLOCKS)


def test_numbers_are_kept_as_float32_whatever_their_type_and_layout():
    with Spool() as spool:
        spool.append(np.arange(6).reshape(3, 2).T)
        spool.append(np.array([[1 / 3]]))
        first, second = spool
        assert first.dtype == np.float32 and np.array_equal(first, [[0, 2, 4], [1, 3, 5]])
        assert second[0, 0] == np.float32(1 / 3)


def test_not_a_number_comes_back():
    with filled(Spool(), [np.array([[np.nan, np.inf]])]) as spool:
        assert np.array_equal(next(iter(spool)), np.array([[np.nan, np.inf]], np.float32), equal_nan=True)


def test_a_pass_left_early_does_not_spoil_what_follows():
    with filled(Spool()) as spool:
        next(iter(spool))
        spool.append(BLOCKS[0] + 100)
        assert same(spool, [*BLOCKS, BLOCKS[0] + 100])


def test_two_passes_at_once_do_not_disturb_each_other():
    with filled(Spool()) as spool:
        for first, second, expected in zip(spool, spool, BLOCKS):
            assert np.array_equal(first, expected) and np.array_equal(second, expected)


def test_an_empty_spool_holds_nothing():
    with Spool() as spool:
        assert list(spool) == []


def test_its_file_is_gone_when_it_is_left():
    with filled(Spool()) as spool:
        pass
    with pytest.raises(ValueError):
        list(spool)


def test_the_memory_that_is_free_is_known_here():
    assert 10e6 < memory.available() < 1e14


def test_a_run_that_needs_more_than_is_free_is_refused_with_a_way_out(monkeypatch):
    monkeypatch.setattr(memory, "available", lambda: 2_500_000_000)
    memory.need(2_500_000_000, "unused")
    with pytest.raises(UserError, match=r"^This run needs 3\.1 GB of memory and 2\.5 GB are free\. Clip the raster\.$"):
        memory.need(3_100_000_000, "Clip the raster.")


def test_where_the_system_does_not_say_nothing_is_refused(monkeypatch):
    monkeypatch.setattr(memory, "available", lambda: None)
    memory.need(1e18, "unused")
