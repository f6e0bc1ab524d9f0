"""Cells of the benchmark of moving targets: what its table says still holds."""

import numpy as np
import pytest
from conftest import benchmark, recorded


@pytest.fixture(name="tracking", scope="module")
def _tracking():
    with benchmark("tracking") as (tracking, _):
        yield tracking


@pytest.fixture(name="rows", scope="module")
def _rows():
    """Rows of the table by target, noise and method."""
    found = recorded("tracking")
    return {(row["target"], row["noise"], row["method"]): row for row in found}


def test_matching_finds_a_patch_where_it_is(tracking):
    """Also where it is brighter and of more contrast, to a part of a pixel."""
    rng = np.random.default_rng(0)
    first = np.cumsum(np.cumsum(rng.normal(size=(2, 60, 60)), axis=1), axis=2)
    first -= first.mean()
    later = tracking.shift(2 * first + 5, (0, 3.0, -2.5), order=1, mode="nearest")
    for reach, renewed in ((None, False), (9, False), (9, True)):
        places = tracking.matched([first, later], (30.0, 25.0, tracking.BOX, tracking.BOX), reach, renewed)
        assert np.allclose(places[1], (27.5, 28.0), atol=0.2)


def test_a_difference_is_found_where_it_is(tracking):
    frames = np.random.default_rng(0).normal(0, 0.01, (7, 1, 40, 50))
    for t, frame in enumerate(frames):
        frame[0, 10 + 2 * t:14 + 2 * t, 20:24] += 1
    places = tracking.difference(frames, (22.0, 12.0, tracking.BOX, tracking.BOX))
    assert np.allclose(places, [(22, 12 + 2 * t) for t in range(7)], atol=0.3)


def test_recorded_errors_are_those_of_the_code(tracking, rows):
    method = "difference from the median"
    for case in ("plume that frays slowly", "plume that frays at once"):
        found, recorded = tracking.row(case, 0.2, method), rows[case, 0.2, method]
        for name in ("error, median (pixels)", "lost (%)"):
            assert found[name] == pytest.approx(recorded[name], rel=1e-6)


def test_a_plume_is_followed_where_the_ground_is_taken_off(tracking, rows):
    off, found, _ = tracking.figures("plume that frays slowly", 0.2, 0, "particle tracker, median taken off")
    assert found.all() and off.max() < tracking.LOST and np.median(off) < 2
    for case in ("plume that frays slowly", "plume that frays at once"):
        for noise in tracking.NOISES:
            assert rows[case, noise, "particle tracker, median taken off"]["lost, not said (%)"] == 0
            assert rows[case, noise, "particle tracker"]["lost, not said (%)"] > 30


def test_which_way_is_best_on_real_ground(tracking, rows):
    still, real = list(tracking.CASES)[2:]
    for noise in tracking.NOISES:
        lost = {case: {method: rows[case, noise, method]["lost (%)"] for method in tracking.METHODS}
                for case in (still, real)}
        assert lost[still]["difference from the median"] == 0 < lost[still]["particle tracker"] < 10
        assert lost[real].pop("particle tracker") < 0.75 * min(lost[real].values())


def test_a_target_on_real_ground_is_followed(tracking, scenes):
    off, found, _ = tracking.figures("patch on Jasper Ridge", 0.2, 0, "particle tracker")
    assert found.all() and np.median(off) < 1.5
