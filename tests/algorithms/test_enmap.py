"""EnMAP Potsdam: the vegetation fraction that `benchmarks/enmap_vegetation.py` recorded."""

import json

import numpy as np
import pytest
from conftest import ROOT


@pytest.fixture
def benchmark(scenes, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import enmap_vegetation
    return enmap_vegetation


def test_vegetation_by_class_means_is_as_recorded(benchmark):
    recorded = json.loads((ROOT / "benchmarks" / "results" / "enmap_vegetation.json").read_text(encoding="utf-8"))
    row, = [row for row in recorded["rows"] if (row["method"], row["endmembers"], row["bands"])
            == ("FCLS", "level_2 means", 218)]
    block = benchmark.Block.read()
    pixels, true = block.reference()
    found = benchmark.by_classes(block, "FCLS", "level_2 means", np.ones(218, bool), pixels)
    assert len(true) == 97
    assert round(benchmark.error(true, found), 4) == row["RMSE"]
