"""Cheap cells of ULTRA-V's tables, measured again: what `benchmarks/` recorded comes out."""

import json

import numpy as np
import pytest
from conftest import ROOT


@pytest.fixture
def varying(scenes, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import varying
    return varying


def recorded(name, **which):
    """The row of a table whose columns have these values."""
    rows = json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text(encoding="utf-8"))["rows"]
    return next(row for row in rows if all(row[key] == value for key, value in which.items()))


def setting(row):
    """A method's weights, as the table names them."""
    pairs = [pair.split(" ") for pair in row["setting"].split(", ") if pair]
    return {name: value if value in ("scls", "scaled", "fcls") else None if value == "None" else float(value)
            for name, value in pairs}


@pytest.mark.parametrize("method, asked", [("ULTRA-V", 0.35), ("ELMM", 0.33), ("GLMM", 0.31), ("PLMM", 0.67)])
def test_table_1_of_ultrav_on_hapke_s_scene(method, asked, varying):
    """DC2: abundance errors against FCLS's; asked of ULTRA-V is 0.35, of the others what the paper has."""
    row = recorded("ultrav_table1", scene="DC2", method=method)
    assert row["MSE_A / FCLS"] <= asked
    ratios = []
    for seed in (0, 1):
        cube = varying.cube("DC2", seed)
        errors = [varying.mse(cube.A, varying.METHODS[name](cube.Y, cube.reference, cube.shape, **weights).A)
                  for name, weights in ((method, setting(row)), ("FCLS", {}))]
        ratios.append(errors[0] / errors[1])
    assert np.mean(ratios) == pytest.approx(row["MSE_A / FCLS"], abs=0.15)


def test_ultrav_is_better_there_than_what_it_starts_from(varying):
    """Its initial abundances are those of SCLS, whose own ratio would pass the cell above."""
    weights = setting(recorded("ultrav_table1", scene="DC2", method="ULTRA-V"))
    for seed in (0, 1):
        cube = varying.cube("DC2", seed)
        found, begun = (varying.METHODS[name](cube.Y, cube.reference, cube.shape, **given).A
                        for name, given in (("ULTRA-V", weights), ("SCLS", {})))
        assert varying.mse(cube.A, found) < 0.8 * varying.mse(cube.A, begun)


@pytest.mark.parametrize("scene, asked", [("DC0", 0.20), ("DC1", 0.70), ("DC2", 0.35)])
def test_ultrav_reaches_what_is_asked_of_it(scene, asked):
    assert recorded("ultrav_table1", scene=scene, method="ULTRA-V")["MSE_A / FCLS"] <= asked


@pytest.mark.parametrize("method", ["GLMM", "ELMM"])
def test_table_8_of_curhu_on_samson(method, varying):
    """The reconstruction error, with default settings."""
    import variability_real
    Y, shape, truth = variability_real.scenes()["Samson"]
    Y = Y.astype(np.float32)
    fit = varying.METHODS[method](Y, variability_real.reference(Y, truth, 3), shape)
    row = recorded("variability_real", scene="Samson", method=method)
    assert varying.nrmse(Y, fit.R) == pytest.approx(row["NRMSE_Y"], rel=0.05)
    assert float(np.sqrt(np.mean((fit.A - truth) ** 2))) == pytest.approx(row["abundance RMSE"], abs=0.01)
