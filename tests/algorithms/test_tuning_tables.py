"""Cells of the benchmark of tuning: what its table says still holds."""

import numpy as np
import pytest
from conftest import benchmark, recorded

pytest.importorskip("torch")


@pytest.fixture(name="tuning", scope="module")
def _tuning():
    with benchmark("tuning") as (tuning, patch):
        patch.setattr(tuning, "PIXELS", 60)
        patch.setattr(tuning, "SERIES", 20)
        patch.setattr(tuning, "FINE", 21)
        yield tuning


@pytest.mark.parametrize("name, methods", [("sparsity (LAMBDA), much noise", ("search", "descent")),
                                           ("steps / noise, seasons", ("fifb",))])
def test_methods_come_near_the_best_of_a_grid(tuning, scenes, name, methods):
    """Of smaller problems than those of the table."""
    kind, make = tuning.PROBLEMS[name]
    problem = make(0)[0]
    best = tuning.grid(kind, problem)[1].min()
    ends = [np.sqrt(problem.cost(np.log(bound))) for bound in tuning.RANGES[kind]]
    assert min(ends) > 1.02 * best
    for method in methods:
        theta, tried = tuning.tuned(kind, method, problem, 0)
        assert np.sqrt(problem.cost(theta)) < 1.005 * best and tried > 1


def test_what_the_table_says_of_methods():
    rows = recorded("tuning")
    for row in rows:
        if row["method"] == "search":
            assert row["at worst"] < 1.001, row["problem"]
        if row["method"] == "Iterative differentiation":
            assert row["at worst"] < (1.05 if row["problem"].endswith("seasons") else 1.001), row["problem"]
        if row["problem"] == "steps / noise, random walks":
            assert row["at worst"] < 1.001, row["method"]
    untuned = [row["error / grid's best"] for row in rows if row["method"].startswith("no tuning")]
    assert len(untuned) == 3 and max(untuned) > 1.5
