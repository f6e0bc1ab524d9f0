"""Cells of the benchmark of accurate and inaccurate predictors of Lorenz '63: what it says still holds."""

from dataclasses import replace

import numpy as np
import pytest
from conftest import benchmark, recorded

torch = pytest.importorskip("torch")

NONE = (0.0, 0.33)   # sigma_Q, sigma_R


@pytest.fixture(name="impact", scope="module")
def _impact():
    with benchmark("predictor_impact") as (predictor_impact, _):
        yield predictor_impact


def series(impact, levels):
    """The realisations of the benchmark."""
    return impact.series(*levels, np.random.default_rng([impact.SEED, 0]), impact.RUNS)


@pytest.mark.parametrize("kind", (np.array, torch.tensor))
def test_the_system_is_that_of_the_thesis(impact, kind):
    """(6.5.1) as it is printed."""
    x, y, z = -5.0, 4.0, 20.0
    linear = np.array([[-7, 7, 0], [28, -1, 0], [0, 0, -8 / 3]]) @ [x, y, z]
    right = (linear + [0, -x * z, x * y] + np.array([0.01 * x**3, 0, 0])) / 0.05
    np.testing.assert_allclose(impact.rate(0.01)(kind([[x, y, z]])), [right], rtol=1e-6)


def test_ensembles_follow_a_wrong_predictor_where_they_know_of_no_noise(impact):
    y, states, first = series(impact, NONE)
    accurate, inaccurate = (impact.rmse(impact.ensemble(y, first, epsilon, *NONE, members=200), states)
                            for epsilon in impact.PREDICTORS.values())
    assert accurate < 0.2 and inaccurate > 2


def test_what_the_predictor_lacks_is_found(impact):
    """One cycle of sparse regression, on states with much noise of their own: x^3 alone, of 60 terms."""
    levels = (0.3, 0.33)
    y, _, first = series(impact, levels)
    _, training = impact.deep(y, first, 0.0, *levels, replace(impact.LEARNING, steps=(0, 0, 0), cycles=1))
    terms = impact.Dictionary(3).terms
    assert np.argwhere(training.learned.s[0]).tolist() == [[terms.index((0, 0, 0)), 0]]
    assert training.learned.s[0][terms.index((0, 0, 0)), 0] == pytest.approx(0.2, rel=0.1)


def test_recorded_errors_are_those_of_the_code(impact):
    for row in recorded("predictor_impact")[:2]:
        y, states, first = series(impact, NONE)
        found = impact.ensemble(y, first, impact.PREDICTORS[row["predictor"]], *NONE)
        assert impact.rmse(found, states) == pytest.approx(row["EnKF"], rel=0.01)
