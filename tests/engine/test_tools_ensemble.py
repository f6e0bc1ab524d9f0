"""The ensemble and particle filter as tools, and simulated states, from files to files, where truth is known."""

import numpy as np
import pytest
import rasterio
from toolruns import raster, read, run_tool

import subpixel.engine.raster as engine_raster
from subpixel.engine import memory
from subpixel.engine.sentences import UserError

NODATA = -9999.0
LOGISTIC = {"QUANTITY": "values", "DYNAMICS": "logistic"}
SMALL = {"ROWS": 20, "COLUMNS": 26, "DATECOUNT": 14}


def folder(path, result, name):
    """The rasters of an output folder (dates, bands, N), NaN for nodata."""
    stack = np.stack([read(path / name.lower() / look["file"]) for look in result["folders"][name]])
    stack = stack.reshape(*stack.shape[:2], -1)
    return np.where(stack == NODATA, np.nan, stack)


def simulated(path, **values):
    """Images as a job holds them, observed and true values (T, L, N), the result and what was said."""
    result, said = run_tool("simulatestates", {**SMALL, **values}, CHANGED=path / "changed.tif",
                            PARAMETERS=path / "parameters.tif", **{name: path / name.lower() for name in ("IMAGES",
                                                                                                        "TRUTH")})
    images = [{"path": str(path / "images" / look["file"]), "crs": None} for look in result["folders"]["IMAGES"]]
    return images, folder(path, result, "IMAGES"), folder(path, result, "TRUTH"), result, said


def filtered(path, tool, images, more=("UNCERTAINTY", "REPORT"), **values):
    """The folders of a filter as arrays, its result and what it said."""
    path.mkdir(exist_ok=True)
    result, said = run_tool(tool, {"IMAGES": images, **values}, **{name: path / name.lower() for name in (
        "STATES", *more)})
    return {name: folder(path, result, name) for name in result["folders"]}, result, said


@pytest.fixture(scope="module")
def growth(tmp_path_factory):
    """One band of logistic growth without abrupt changes: images, observed and true values."""
    path = tmp_path_factory.mktemp("growth")
    return simulated(path, REST=False, CHANGESHARE=0, DATECOUNT=24)[:3]


@pytest.fixture(scope="module")
def fractions(tmp_path_factory):
    """Two fractions that sum to one."""
    path = tmp_path_factory.mktemp("fractions")
    return simulated(path)[:3]


def rmse(a, b):
    return float(np.sqrt(np.nanmean(np.square(a - b))))


def test_simulated_states_are_their_truth_with_noise_and_gaps(tmp_path):
    _, Y, X, result, said = simulated(tmp_path, NOISE=0.1, GAPSHARE=0.25, CHANGESHARE=0.2)
    assert Y.shape == X.shape == (14, 2, 520)
    assert np.isnan(Y[:, 0]).mean() == pytest.approx(0.25, abs=1e-3) and np.isfinite(X).all()
    assert rmse(Y, X) == pytest.approx(0.1 * X[:, 0].std(), rel=0.1)
    np.testing.assert_allclose(X.sum(axis=1), 1, atol=1e-6)
    changed = read(tmp_path / "changed.tif")[0].ravel()
    assert (changed > 0).mean() == pytest.approx(0.2, abs=2e-3)
    for pixel in np.flatnonzero(changed)[::15]:
        steps = np.diff(X[:, 0, pixel])
        assert steps.argmin() + 2 == changed[pixel]
    with rasterio.open(tmp_path / "parameters.tif") as file:
        assert file.descriptions == ("start", "rate", "capacity") and file.crs.to_epsg() == 32633
    start = np.abs(read(tmp_path / "parameters.tif")[0].ravel() - X[0, 0])
    assert start.max() < 1e-6
    assert [look["names"] for look in result["folders"]["IMAGES"]] == [["vegetation", "other"]] * 14
    assert result["folders"]["IMAGES"][0]["style"] == "fractions"
    assert any("25.0 % are hidden" in words for words in said) and "104 pixels change at once." in said


@pytest.mark.parametrize("case, bands", [("walk", ["value"]), ("seasonal", ["index"]), ("fitzhughnagumo", ["x", "y"]),
                                         ("lorenz", ["x", "y", "z"])])
def test_every_dynamics_gives_its_bands_in_one_range_of_colours(case, bands, tmp_path):
    _, Y, X, result, _ = simulated(tmp_path, CASE=case)
    looks = result["folders"]["TRUTH"]
    assert [look["names"] for look in looks] == [bands] * 14 and Y.shape[1] == len(bands)
    assert len({tuple(look["range"]) for look in looks}) == 1 and looks[0]["style"] == "values"
    again = tmp_path / "again"
    again.mkdir()
    np.testing.assert_array_equal(simulated(again, CASE=case)[1], Y)
    other = tmp_path / "other"
    other.mkdir()
    assert (simulated(other, CASE=case, SEED=1)[2] != X).any()


def test_settings_of_the_simulation_count(tmp_path):
    found = {}
    for number, values in enumerate(({}, {"RATE": -3}, {"REST": False}, {"STEPNOISE": 0.2}, {"INTERVAL": 30})):
        path = tmp_path / str(number)
        path.mkdir()
        found[str(values)] = simulated(path, **values)[2]
    plain = found.pop("{}")
    assert found["{'REST': False}"].shape == (14, 1, 520)
    for name, X in found.items():
        assert X.shape != plain.shape or np.abs(X - plain).max() > 0.05, name
    paced = [simulated(tmp_path / "0", CASE="lorenz", PACE=pace)[2] for pace in (0.001, 0.01)]
    assert np.abs(np.diff(paced[1], axis=0)).mean() > 2 * np.abs(np.diff(paced[0], axis=0)).mean()


def test_a_simulation_that_memory_does_not_hold_is_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "available", lambda: 10**6)
    with pytest.raises(UserError, match="Make the images smaller or fewer"):
        simulated(tmp_path, ROWS=1000)


@pytest.mark.parametrize("tool, most", [("ensemblekalman", 0.6), ("particlefilter", 0.8)])
def test_logistic_growth_is_followed_through_noise_and_clouds(tool, most, growth, tmp_path):
    images, Y, X = growth
    found, result, said = filtered(tmp_path, tool, images, **LOGISTIC, RATE=4, CAPACITY=0.85)
    x, sd = found["STATES"], found["UNCERTAINTY"]
    assert x.shape == X.shape and np.isfinite(x).all() and x.min() > 0 and x.max() <= 0.85
    later = slice(4, None)
    assert rmse(x[later], X[later]) < most * rmse(Y[later], X[later])
    gap = np.isnan(Y[later])
    assert np.sqrt(np.mean(np.square(x[later] - X[later])[gap])) < rmse(Y, X)
    assert sd[later][gap].mean() > (1.04 if tool == "ensemblekalman" else 1.1) * sd[later][~gap].mean()
    assert 0.85 < (np.abs(x - X)[later] < 2 * sd[later] + 0.01).mean()
    assert result["folders"]["STATES"][0]["style"] == "values" and any("steps of" in words for words in said)


@pytest.mark.parametrize("rate", [-4, 1, 16])
def test_noise_is_found_with_dynamics_that_are_wrong(rate, growth, tmp_path):
    """Steps could make up for them without any noise, and then nothing would be uncertain."""
    images, Y, X = growth
    planted = np.nanstd(Y - X)
    for number, more in enumerate(({"STEPNOISE": 0.3}, {})):
        found, _, said = filtered(tmp_path / str(number), "ensemblekalman", images, **LOGISTIC, RATE=rate, **more)
        noise = float(next(words for words in said if "noise of" in words).split("noise of ")[1].rstrip("."))
        assert noise == pytest.approx(planted, rel=0.15)
    x, sd = found["STATES"], found["UNCERTAINTY"]
    assert 0.93 < (np.abs(x - X) < 2 * sd).mean() < 0.995


def test_the_smoother_fills_gaps_better_than_the_filter(growth, tmp_path):
    images, Y, X = growth
    gap = np.isnan(Y)
    error = {}
    for smooth in (True, False):
        x = filtered(tmp_path / str(smooth), "ensemblekalman", images, **LOGISTIC, CAPACITY=0.85, SMOOTH=smooth)[0][
            "STATES"]
        error[smooth] = np.sqrt(np.mean(np.square(x - X)[gap]))
    assert error[True] < 0.9 * error[False]


def test_for_linear_dynamics_the_ensemble_gives_what_the_kalman_filter_gives(fractions, tmp_path):
    images, _, _ = fractions
    options = {"DYNAMICS": "trend", "STEPNOISE": 0.5, "COURSENOISE": 2, "NOISE": 0.3, "AT": "2020-02-08, 2020-09-01"}
    exact = filtered(tmp_path / "exact", "kalmanfilter", images, **options)[0]
    found = filtered(tmp_path / "found", "ensemblekalman", images, **options, MEMBERS=2000)[0]
    few = filtered(tmp_path / "few", "ensemblekalman", images, **options, MEMBERS=20)[0]
    assert found["STATES"].shape == (16, 2, 520)
    np.testing.assert_allclose(found["STATES"], exact["STATES"], atol=0.02)
    np.testing.assert_allclose(found["UNCERTAINTY"], exact["UNCERTAINTY"], atol=0.01)
    np.testing.assert_allclose(found["STATES"].sum(axis=1), 1, atol=1e-5)
    assert rmse(few["STATES"], exact["STATES"]) > 2 * rmse(found["STATES"], exact["STATES"])


def test_inflation_widens_the_uncertainty(growth, tmp_path):
    sd = [filtered(tmp_path / str(inflation), "ensemblekalman", growth[0], **LOGISTIC, INFLATION=inflation)[0][
        "UNCERTAINTY"].mean() for inflation in (1, 1.5)]
    assert sd[1] > 1.05 * sd[0]


def test_probability_is_that_of_the_condition_and_says_which(fractions, tmp_path):
    images, Y, X = fractions
    options = {"DYNAMICS": "trend", "CONDITIONBAND": "other", "VALUE": 0.6}
    found, result, said = filtered(tmp_path / "above", "particlefilter", images, ("UNCERTAINTY", "PROBABILITY",
                                                                                  "REPORT"), **options)
    p = found["PROBABILITY"]
    assert p.shape == (14, 1, 520) and p.min() >= 0 and p.max() <= 1
    assert result["folders"]["PROBABILITY"][0]["names"] == ["other above 0.6"]
    assert {tuple(look["range"]) for look in result["folders"]["PROBABILITY"]} == {(0, 1)}
    truth = X[2:, 1] > 0.6
    sure = np.abs(p[2:, 0] - 0.5) > 0.4
    assert sure.mean() > 0.5 and (truth == (p[2:, 0] > 0.5))[sure].mean() > 0.95
    middle = (p[2:, 0] > 0.35) & (p[2:, 0] < 0.65)
    assert 0.2 < truth[middle].mean() < 0.8
    below = filtered(tmp_path / "below", "particlefilter", images, ("PROBABILITY",), **options,
                     COMPARISON="below")[0]["PROBABILITY"]
    np.testing.assert_allclose(p + below, 1, atol=1e-6)
    first = filtered(tmp_path / "first", "particlefilter", images, ("PROBABILITY",), DYNAMICS="trend", VALUE=0.4,
                     CONDITIONBAND="1", COMPARISON="below")[0]["PROBABILITY"]
    np.testing.assert_allclose(first, p, atol=1e-6)   # of two fractions, one is the rest of the other
    assert any("effective sample size is" in words for words in said)
    assert "Effective sample size" in (tmp_path / "above" / "report").read_text(encoding="utf-8")


def test_probability_of_one_of_several_bands_is_that_of_this_band(tmp_path):
    images, _, X, _, _ = simulated(tmp_path, CASE="fitzhughnagumo", CHANGESHARE=0)
    options = {"QUANTITY": "values", "DYNAMICS": "trend", "VALUE": 0, "PARTICLES": 1000}
    for number, band in enumerate("xy"):
        found = filtered(tmp_path / band, "particlefilter", images, ("UNCERTAINTY", "PROBABILITY"), **options,
                         CONDITIONBAND=band)[0]
        away = np.abs(found["STATES"][:, number]) > 3 * found["UNCERTAINTY"][:, number]
        assert away.any()
        np.testing.assert_allclose(found["PROBABILITY"][:, 0][away], found["STATES"][:, number][away] > 0, atol=0.02)


def test_an_operator_from_a_table_couples_the_bands(tmp_path):
    table = tmp_path / "table.csv"
    table.write_text("0.9,0.1\n-0.1,0.9\n", encoding="utf-8")
    images = simulated(tmp_path, CASE="fitzhughnagumo", CHANGESHARE=0)[0]
    options = {"QUANTITY": "values", "DYNAMICS": "table", "OPERATOR": str(table), "STEPNOISE": 2, "NOISE": 0.3}
    exact = filtered(tmp_path / "exact", "kalmanfilter", images, **options, SMOOTH=False)[0]
    found = filtered(tmp_path / "ensemble", "ensemblekalman", images, **options, SMOOTH=False, MEMBERS=1500)[0]
    weighed = filtered(tmp_path / "particles", "particlefilter", images, ("UNCERTAINTY", "PROBABILITY"), **options,
                       PARTICLES=3000, CONDITIONBAND="y", VALUE=0)[0]
    for each in (found, weighed):
        error = (each["STATES"] - exact["STATES"]) / exact["UNCERTAINTY"]
        assert np.sqrt(np.mean(np.square(error))) < 0.1
    away = np.abs(exact["STATES"][:, 1]) > 3.5 * exact["UNCERTAINTY"][:, 1]
    np.testing.assert_allclose(weighed["PROBABILITY"][:, 0][away], exact["STATES"][:, 1][away] > 0, atol=0.02)


@pytest.mark.parametrize("tool", ["ensemblekalman", "particlefilter"])
def test_blocks_do_not_change_the_result_and_the_seed_does(tool, growth, tmp_path, monkeypatch):
    images = growth[0]
    options = {**LOGISTIC, "STEPNOISE": 0.1, "NOISE": 0.1, "more": ()}
    whole = filtered(tmp_path / "whole", tool, images, **options)[0]["STATES"]
    monkeypatch.setattr(engine_raster, "BLOCK_VALUES", 3000)
    blocks = filtered(tmp_path / "blocks", tool, images, **options)[0]["STATES"]
    np.testing.assert_allclose(blocks, whole, atol=1e-5)
    assert (filtered(tmp_path / "seed", tool, images, **options, SEED=1)[0]["STATES"] != whole).any()


def test_resampling_and_particles_count(growth, tmp_path):
    options = {**LOGISTIC, "STEPNOISE": 0.1, "NOISE": 0.1, "more": ()}
    plain = filtered(tmp_path / "plain", "particlefilter", growth[0], **options)
    for number, more in enumerate(({"RESAMPLE": 1.0}, {"PARTICLES": 100})):
        found = filtered(tmp_path / str(number), "particlefilter", growth[0], **options, **more)
        assert (found[0]["STATES"] != plain[0]["STATES"]).any()


def test_particles_that_hang_on_chance_are_warned_of(growth, tmp_path):
    said = filtered(tmp_path, "particlefilter", growth[0], **LOGISTIC, RATE=0, STEPNOISE=0.01, NOISE=0.001,
                    PARTICLES=50)[2]
    assert any("the result hangs on chance" in words for words in said)


@pytest.mark.parametrize("tool", ["ensemblekalman", "particlefilter"])
def test_bad_input_is_a_sentence(tool, fractions, growth, tmp_path):
    with pytest.raises(UserError, match="Logistic dynamics act on values"):
        filtered(tmp_path, tool, fractions[0], DYNAMICS="logistic")
    few = {"ensemblekalman": {"MEMBERS": 3}, "particlefilter": {"PARTICLES": 3}}[tool]
    with pytest.raises((UserError, ValueError), match="3 (members|particles).*take 5"):
        filtered(tmp_path, tool, growth[0], QUANTITY="values", DYNAMICS="seasonal", **few)
    if tool == "particlefilter":
        with pytest.raises(UserError, match="no band snow: they have vegetation, other"):
            filtered(tmp_path, tool, fractions[0], CONDITIONBAND="snow")


def test_logistic_growth_of_values_in_other_units_is_refused(tmp_path):
    images = [{"path": str(raster(tmp_path / f"index_2020-0{month}-01.tif", 1000.0 * month + np.arange(12).reshape(
        1, 3, 4))), "crs": None} for month in range(1, 7)]
    with pytest.raises(UserError, match="half of the values are from 2.* to 5.*the capacity, 1. Give"):
        filtered(tmp_path / "a", "ensemblekalman", images, **LOGISTIC)
    with pytest.raises(UserError, match="half of the values are from"):
        filtered(tmp_path / "b", "particlefilter", images, **LOGISTIC, STEPNOISE=1, NOISE=1)
    found = filtered(tmp_path / "c", "ensemblekalman", images, **LOGISTIC, CAPACITY=8000)[0]["STATES"]
    assert 1000 < found.min() < 2000 and 5000 < found.max() < 7000


def test_a_pixel_without_any_value_is_nodata(tmp_path):
    images = [{"path": str(raster(tmp_path / f"index_2020-0{month}-01.tif", np.where(
        np.arange(12).reshape(1, 3, 4) == 5, NODATA, 0.1 * month + 0.01 * np.arange(12).reshape(1, 3, 4)))),
        "crs": None} for month in range(1, 7)]
    for tool in ("ensemblekalman", "particlefilter"):
        found = filtered(tmp_path / tool, tool, images, QUANTITY="values")[0]
        for stack in found.values():
            np.testing.assert_array_equal(np.isnan(stack).any(axis=(0, 1)), np.arange(12) == 5)


def test_mean_of_fractions_is_that_of_the_basis(fractions, tmp_path):
    """Fractions of the states are those of the mean in the basis, as the Kalman filter gives them, far ahead too."""
    options = dict(DYNAMICS="walk", STEPNOISE=1, NOISE=0.2, AT="2030-01-01")
    exact = filtered(tmp_path / "exact", "kalmanfilter", fractions[0], **options, SMOOTH=False)[0]
    assert np.abs(exact["STATES"][-1] - 0.5).max() > 0.2 and exact["UNCERTAINTY"][-1].min() > 0.3
    for tool, more in (("particlefilter", {"PARTICLES": 2000}), ("ensemblekalman", {"MEMBERS": 500, "SMOOTH": False})):
        found = filtered(tmp_path / tool, tool, fractions[0], **options, **more)[0]["STATES"]
        np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)
        assert found.min() >= 0 and np.abs(found - exact["STATES"])[-1].mean() < 0.03
