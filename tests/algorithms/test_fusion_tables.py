"""A cheap cell of each benchmark of fusion: what was recorded is what comes out."""

import importlib
import json
import sys

import numpy as np
import pytest
from conftest import ROOT

NEAR = {"R-SNR": 0.05, "CC": 2e-3, "SAM": 0.02}


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    monkeypatch.delitem(sys.modules, "fusion_scenes", raising=False)   # the tests' own has the same name
    return importlib.import_module


def recorded(name, label, **others):
    rows = json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text(encoding="utf-8"))["rows"]
    return next(row for row in rows if row["method"] == label and others.items() <= row.items())


def assert_as_recorded(row, made):
    for key, near in NEAR.items():
        assert made[key] == pytest.approx(row[key], abs=near), key


def test_table_5_is_as_recorded_and_beats_the_interpolated_image(benchmark):
    table = benchmark("fusion_table5")
    interpolated, found = table.measured("program's", ["fuse"])
    assert_as_recorded(recorded("fusion_table5", "FUSE", kernel="program's"), found)
    assert found["R-SNR"] > interpolated["R-SNR"] + 1


def test_the_change_on_potsdam_is_as_recorded(benchmark, scenes):
    table = benchmark("fusion_variability")
    _, found = table.measured("spectra", ["fuse"])
    assert_as_recorded(recorded("fusion_variability", "FUSE", changed="spectra"), found)
    _, found = table.measured("spectra", ["btdvar"], seeds=(0,))
    assert found["variability: R-SNR"] > 12


def test_paris_is_as_recorded(benchmark, scenes):
    _, found = benchmark("fusion_paris").measured(["fuse"])
    assert_as_recorded(recorded("fusion_paris", "FUSE"), found)


def test_the_relative_change_and_what_it_costs_are_as_recorded(benchmark, scenes):
    rows = json.loads((ROOT / "benchmarks" / "results" / "fusion_change.json").read_text(encoding="utf-8"))["rows"]
    found = benchmark("fusion_change").measured(0.3, True, 0, ["hysure", "btdvar_prior"])
    row = next(row for row in rows if (row["spectra"], row["field"], row["seed"]) == (0.3, "yes", 0))
    assert found["relative change"] == pytest.approx(row["relative change"], abs=2e-4)
    assert found["HySure"] == pytest.approx(row["HySure"], abs=0.2)
    assert found["BTD-Var with prior"] == pytest.approx(row["BTD-Var with prior"], abs=0.1)


def test_the_known_change_is_what_the_msi_shows(benchmark, scenes):
    pair, Z, change = benchmark("fusion_scenes").potsdam(seed=1, snr=60)
    left = pair.msi - np.tensordot(pair.P3, Z, 1) - change
    assert np.sqrt(np.mean(left ** 2)) < 0.01 * np.sqrt(np.mean(change ** 2))
    assert np.sqrt(np.mean((pair.degrade(Z) - pair.hsi) ** 2)) < 2e-3 * np.sqrt(np.mean(pair.hsi ** 2))
