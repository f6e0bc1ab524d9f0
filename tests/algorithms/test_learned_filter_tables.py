"""Cells of the tables on learned filters are what the code still gives."""

import json
import sys

import numpy as np
import pytest
from conftest import ROOT

pytest.importorskip("torch")

sys.path.insert(0, str(ROOT / "benchmarks"))
import diffusion
import kalmannet


def rows(name):
    return json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text(encoding="utf-8"))["rows"]


def test_a_diffusion_filter_that_learned_nothing_has_errors_of_chance():
    settings = diffusion.replace(diffusion.OURS, first=(0, 1e-3), later=(0, 1e-4))
    off, ratio, _ = diffusion.gaussian(settings)
    (row,) = [row for row in rows("diffusion_gaussian") if row["settings"] == "the tool's, nothing learned"]
    assert off == pytest.approx(row["distance of means (sd)"], rel=0.1)
    assert ratio == pytest.approx(row["ratio of sd"], rel=0.02)


def test_diffusion_does_as_the_table_says():
    for row in rows("diffusion_gaussian"):
        assert row["distance of means (sd)"] < 0.2 and 0.95 < row["ratio of sd"] < 1.05


def test_errors_of_kalman_filters_beside_kalmannet():
    for name, model in kalmannet.SYSTEMS.items():
        generator = np.random.default_rng(kalmannet.SEED)
        days = kalmannet.dates(generator)
        x, y = kalmannet.series(model, days, generator)
        for row in (row for row in rows("kalmannet") if row["system"] == name):
            assert kalmannet.kalman_error(model, x, y, days) == pytest.approx(row["MSE, Kalman"])
            wrong = kalmannet.kalman_error(kalmannet.mistaken(model), x, y, days)
            assert wrong == pytest.approx(row["MSE, Kalman with wrong noise"])


def test_kalmannet_comes_within_five_per_cent_and_beats_wrong_noise():
    for row in rows("kalmannet"):
        assert row["to Kalman"] < 1.05 and row["to wrong noise"] < 1
