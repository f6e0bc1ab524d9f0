"""Cells of the benchmark of states behind rasters, on one of its scenes: what it promises still holds."""

from functools import cache

import pytest
from conftest import ROOT

SEED = 0
TODAY = ("linear interpolation, last value", "harmonic fit, two waves", "harmonic fit, one wave and a trend",
         "Savitzky-Golay, last slope")


@pytest.fixture(name="found", scope="module")
def _found():
    """Figures of a method on a series, by their names, as the benchmark takes them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "benchmarks"))
        for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
            patch.setenv(name, "1")   # which the benchmark sets
        import states_rasters
        scene = cache(lambda case: states_rasters.Scene(case, SEED))
        yield cache(lambda case, method: states_rasters.figures(scene(case), method))


def best_of_today(found, case, figure, best=min):
    return best(found(case, method)[figure] for method in TODAY)


def test_gaps_are_filled_better_than_by_what_users_have(found):
    least = best_of_today(found, "logistic", "RMSE of gaps")
    assert found("logistic", "Kalman filter, trend")["RMSE of gaps"] < 0.95 * least
    assert found("logistic", "ensemble Kalman filter, logistic")["RMSE of gaps"] < 0.9 * least
    seasonal = found("seasonal", "Kalman filter, seasonal, two waves")
    assert seasonal["RMSE of gaps"] < 0.8 * best_of_today(found, "seasonal", "RMSE of gaps")


def test_forecasts_are_better_where_the_dynamics_are_those_of_the_series(found):
    least = best_of_today(found, "logistic", "RMSE of forecasts")
    for method in ("ensemble Kalman filter, logistic", "particle filter, logistic, from earlier dates only"):
        assert found("logistic", method)["RMSE of forecasts"] < 0.7 * least, method
    assert found("logistic", "Kalman filter, trend of fractions")["RMSE of forecasts"] < 0.95 * least
    seasonal = found("seasonal", "Kalman filter, seasonal, two waves")
    assert seasonal["RMSE of forecasts"] < 0.8 * best_of_today(found, "seasonal", "RMSE of forecasts")


def test_wrong_dynamics_forecast_worse_than_a_harmonic_fit(found):
    trend = found("seasonal", "Kalman filter, trend")["RMSE of forecasts"]
    assert trend > 2 * found("seasonal", "harmonic fit, two waves")["RMSE of forecasts"]


def test_innovations_show_abrupt_changes(found):
    most = best_of_today(found, "logistic", "F1 of anomalies", max)
    assert found("logistic", "Kalman filter, trend")["F1 of anomalies"] > most + 0.15
    seasonal = found("seasonal", "Kalman filter, seasonal, two waves")
    assert seasonal["F1 of anomalies"] > best_of_today(found, "seasonal", "F1 of anomalies", max) + 0.15


@pytest.mark.parametrize("case, method", [
    ("logistic", "Kalman filter, trend"), ("logistic", "ensemble Kalman filter, logistic"),
    ("logistic", "particle filter, logistic, from earlier dates only"),
    ("seasonal", "Kalman filter, seasonal, two waves")])
def test_the_truth_lies_within_two_standard_deviations(found, case, method):
    assert found(case, method)["gaps within 2 sd (%)"] > 92
    assert found(case, method)["forecasts within 2 sd (%)"] > 92
