"""Cells of the benchmark of states behind rasters, on one of its scenes: what it promises still holds."""

from functools import cache

import pytest
from conftest import benchmark, recorded

SEED = 0
TODAY = ("linear interpolation, last value", "harmonic fit, two waves", "harmonic fit, one wave and a trend",
         "Savitzky-Golay, last slope")


@pytest.fixture(name="found", scope="module")
def _found():
    """Figures of a method on a series, by their names, as the benchmark takes them."""
    with benchmark("states_rasters") as (states_rasters, _):
        scene = cache(lambda case: states_rasters.Scene(case, SEED))

        @cache
        def figures(case, method, learned=False):
            return states_rasters.figures(scene(case), method, *[states_rasters.LEARNED] * learned)
        figures.scene = scene
        yield figures


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


def test_rate_and_capacity_are_found_from_wrong_ones(found):
    pytest.importorskip("torch")
    given = "given rate 8 and capacity 1"
    for first in (given, "given rate 1 and capacity 2"):
        deep = found("logistic", f"deep Kalman filter, {first}", True)
        learned = found.scene("logistic").learned
        assert learned["rate"] == pytest.approx(4, rel=0.2) and learned["capacity"] == pytest.approx(0.85, rel=0.03)
    deep = found("logistic", f"deep Kalman filter, {given}", True)
    wrong = found("logistic", f"ensemble Kalman filter, {given}", True)
    assert deep["RMSE of forecasts"] < 0.5 * wrong["RMSE of forecasts"]
    assert deep["forecasts within 2 sd (%)"] > 92


def test_what_the_table_says_of_filters_that_learn(found):
    rows = recorded("states_learned")
    error = {(row["series"], row["method"]): row["RMSE of forecasts"] for row in rows}
    linear = found("seasonal", "Kalman filter, seasonal, two waves", True)["RMSE of forecasts"]
    assert linear == pytest.approx(error["seasonal", "Kalman filter, seasonal, two waves"], rel=0.01)
    for method in ("diffusion filter", "KalmanNet, from simulated series", "KalmanNet, from the images",
                   "deep Kalman filter"):
        assert error["logistic", method] < 1.1 * error["logistic", "ensemble Kalman filter, logistic"], method
    assert 1.2 * linear < error["seasonal", "deep Kalman filter"] < 1.6 * linear
    assert error["seasonal", "KalmanNet, from the images"] < 0.7 * linear
    far = "given rate 1 and capacity 2"
    right, wrong = error["logistic", "deep Kalman filter"], error["logistic", f"ensemble Kalman filter, {far}"]
    assert wrong > 1.5 * right
    assert max(error["logistic", f"deep Kalman filter, {far}{how}"] for how in ("", ", patiently")) < 1.05 * right
