"""The Cuprite-like case: cells that `benchmarks/cuprite_like.py` recorded come out again."""

import json

import numpy as np
import pytest
from conftest import ROOT


@pytest.mark.parametrize("pure", [False, True], ids=["mixed", "pure pixels"])
@pytest.mark.parametrize("method", ["N-FINDR", "CUR-HU"])
def test_a_recorded_angle_comes_out_again(scenes, monkeypatch, method, pure):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import cuprite_like
    kind = cuprite_like.PURE if pure else cuprite_like.MIXED
    rows = json.loads((ROOT / "benchmarks" / "results" / "cuprite_like.json").read_text(encoding="utf-8"))["rows"]
    recorded, = (row["SAD by seed"] for row in rows if (row["scene"], row["method"]) == (kind, method))
    angles = cuprite_like.run(method, cuprite_like.minerals(), 0, pure)[0]
    np.testing.assert_allclose(angles.mean(), float(recorded.split()[0]), atol=6e-5)


def test_the_abundances_are_as_little_pure_as_the_notes_say(scenes, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import cuprite_like
    M = cuprite_like.minerals()
    assert M.shape == (188, 12) and 0 < M.min() and M.max() < 1
    mixed, pure = (cuprite_like.scene(M, 0, pure)[1] for pure in (False, True))
    assert mixed.max() <= cuprite_like.PUREST and (pure == 1).sum(axis=1).tolist() == [1] * 12
