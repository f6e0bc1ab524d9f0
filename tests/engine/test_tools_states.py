"""Tools for states through the engine: what is written, said and refused, for fractions, values and tables."""

import numpy as np
import pytest
import rasterio
from toolruns import raster, read, run_tool

import subpixel.engine.raster as engine_raster
from subpixel.algorithms.state_estimation.kalmanfilter import estimate, noise_levels
from subpixel.algorithms.state_estimation.model import LinearTrend, RandomWalk, restart, start
from subpixel.engine.sentences import UserError
from subpixel.tools import all_tools
from subpixel.tools.states._states import StatesTool

ROWS, COLS, T = 9, 11, 14
NODATA = -9999.0
DATES = [f"2020-{month:02d}-{day:02d}" for month in range(1, 8) for day in (3, 19)]
DAYS = (np.array(DATES, dtype="datetime64[D]") - np.datetime64(DATES[0])).astype(float)
NAMES = ["water", "tree", "soil"]


def truth():
    """Fractions (T, 3, ROWS, COLS): soil becomes tree, faster in the east; in a corner water comes at once."""
    speed = np.linspace(2, 8, COLS)
    tree = 0.8 / (1 + np.exp(-speed * (DAYS[:, None, None] / 180 - 0.5))) * np.ones((ROWS, 1))
    water = np.full_like(tree, 0.1)
    water[9:, :3, :3], tree[9:, :3, :3] = 0.8, 0.1
    return np.stack([water, tree, 1 - water - tree], axis=1)


def fractions(folder, noise=0.03, gaps=True, seed=0, names=None):
    """Noisy fractions as files, with clouds over a half of three dates, and a pixel that is never seen."""
    rng, given = np.random.default_rng(seed), []
    for number, (date, A) in enumerate(zip(DATES, truth())):
        A = np.abs(A + rng.normal(0, noise, A.shape))
        A = A / A.sum(axis=0)
        if gaps and number in (4, 5, 6):
            A[:, :, 6:] = NODATA
        A[:, 8, 0] = NODATA
        path = raster(folder / f"fractions_{date}.tif", A, names or NAMES)
        given.append({"path": str(path), "crs": None})
    return given


def values(folder, bands=1, seed=0):
    """An index that rises by a slope of the column and a step of some noise."""
    rng, given = np.random.default_rng(seed), []
    for date, day in zip(DATES, DAYS):
        cube = np.ones((bands, ROWS, 1)) * np.linspace(-0.001, 0.002, COLS) * day + rng.normal(0, 0.05,
                                                                                               (bands, ROWS, COLS))
        given.append({"path": str(raster(folder / f"index_{date}.tif", cube)), "crs": None})
    return given


def run(folder, given, more=("UNCERTAINTY", "INNOVATION", "LIKELIHOOD", "REPORT"), **options):
    """Run the tool: its folders as arrays (dates, bands, ROWS, COLS) with NaN for nodata, the result, what was said."""
    result, said = run_tool("kalmanfilter", {"IMAGES": given, **options},
                            **{name: folder / "out" / name.lower() for name in ("STATES", *more)})
    stacks = {name: np.stack([read(folder / "out" / name.lower() / look["file"]) for look in looks])
              for name, looks in result["folders"].items()}
    return {name: np.where(stack == NODATA, np.nan, stack) for name, stack in stacks.items()}, result, said


@pytest.fixture
def out(tmp_path):
    (tmp_path / "out").mkdir()
    return tmp_path


def test_fractions_are_smoothed_filled_and_stay_fractions(out):
    given = fractions(out)
    found, result, said = run(out, given, DYNAMICS="trend")
    A, sd = found["STATES"], found["UNCERTAINTY"]
    assert A.shape == (T, 3, ROWS, COLS)
    assert np.isnan(A[:, :, 8, 0]).all() and np.isfinite(np.delete(A.reshape(T, 3, -1), 8 * COLS, axis=2)).all()
    np.testing.assert_allclose(A[:, :, :8].sum(axis=1), 1, atol=1e-5)
    assert A[:, :, :8].min() >= 0
    east = (slice(4, 7), slice(None), slice(3, 8), slice(6, None))
    assert np.abs(A[east] - truth()[east]).mean() < 0.06, "the gap"
    images = np.stack([read(image["path"]) for image in given])
    west = (slice(None), slice(None), slice(3, 8), slice(0, 6))
    assert np.abs(A[west] - truth()[west]).mean() < 0.7 * np.abs(images[west] - truth()[west]).mean()
    wider = sd[5, 1, 3:8, 6:].mean(), sd[2, 1, 3:8, 6:].mean(), sd[8, 1, 3:8, 6:].mean()
    assert wider[0] > 1.2 * max(wider[1:])
    assert [look["names"] for look in result["folders"]["STATES"]] == [NAMES] * T
    assert result["folders"]["STATES"][0]["style"] == "fractions"
    assert sum("steps of" in words and "noise of" in words for words in said) == 2


def test_an_abrupt_change_is_an_anomaly_at_its_date(out):
    found, _, _ = run(out, fractions(out), DYNAMICS="walk")
    z = np.abs(found["INNOVATION"])
    assert z.shape == (T, 3, ROWS, COLS)
    assert z[9, 0, :3, :3].min() > 3 and np.nanmedian(z[9, 0, 3:]) < 1.5
    assert np.isnan(z[5, :, :, 6:]).all(), "no image, no innovation"
    words = (out / "out" / "report").read_text(encoding="utf-8")
    assert "Anomalies" in words and "Steps and noise" in words and words.count("<figure>") == 7


def test_a_pixel_is_what_the_algorithm_gives(out):
    given = values(out)
    further = ["2020-05-10", "2020-08-20"]
    found, result, _ = run(out, given, QUANTITY="values", DYNAMICS="trend", STEPNOISE=0.1, COURSENOISE=0.3,
                           NOISE=0.05, AT=", ".join(further))
    y = np.stack([read(image["path"])[0].ravel() for image in given])
    at = (np.array(further, dtype="datetime64[D]") - np.datetime64(DATES[0])).astype(float)
    model = start(LinearTrend(0.1**2 / 365.25, 0.3**2 / 365.25**3), y, DAYS, 0.05**2)
    expected = estimate(y, DAYS, model, at=at)
    np.testing.assert_allclose(found["STATES"].reshape(T + 2, -1), expected.mean, atol=1e-5)
    np.testing.assert_allclose(found["UNCERTAINTY"].reshape(T + 2, -1), np.sqrt(expected.variance), rtol=1e-4)
    np.testing.assert_allclose(found["INNOVATION"].reshape(T, -1), expected.standardised, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(read(out / "out" / "likelihood").ravel(), expected.loglikelihood / T, rtol=1e-5)
    files = [look["file"] for look in result["folders"]["STATES"]]
    assert files == [f"{date}.tif" for date in sorted(DATES + further)]
    assert len(result["folders"]["INNOVATION"]) == T
    look = result["folders"]["STATES"][0]
    assert look["style"] == "values" and look["range"][0] < look["range"][1]
    with rasterio.open(out / "out" / "states" / "2020-08-20.tif") as file:
        assert file.tags()["ACQUISITION_DATE"] == "2020-08-20"


def test_noise_is_found_by_maximum_likelihood(out):
    given = values(out)
    found, _, said = run(out, given, QUANTITY="values")
    y = np.stack([read(image["path"])[0].ravel() for image in given])
    levels = noise_levels(y, DAYS, RandomWalk, [1])
    assert any(f"noise of {np.sqrt(levels.noise[0]):.3g}" in words for words in said)
    model = start(RandomWalk(levels.steps[0]), y, DAYS, levels.noise)
    np.testing.assert_allclose(found["STATES"].reshape(T, -1), estimate(y, DAYS, restart(model, y)).mean, atol=1e-4)


def test_without_later_dates_a_date_is_what_was_known_then(out):
    given = values(out)
    options = dict(QUANTITY="values", DYNAMICS="walk", STEPNOISE=0.3, NOISE=0.05)
    all_dates, _, _ = run(out, given, SMOOTH=False, **options)
    fewer, _, _ = run(out, given[:6], SMOOTH=False, **options)
    np.testing.assert_allclose(all_dates["STATES"][5], fewer["STATES"][5], atol=2e-3)   # but for the vague start
    later, _, _ = run(out, given, **options)
    assert np.abs(later["STATES"][5] - fewer["STATES"][5]).max() > 0.01


def test_small_blocks_give_what_large_ones_do(out, monkeypatch):
    given = fractions(out)
    whole, _, _ = run(out, given, DYNAMICS="walk", AT="2020-09-01")
    monkeypatch.setattr(engine_raster, "BLOCK_VALUES", 3000)
    parts, _, _ = run(out, given, DYNAMICS="walk", AT="2020-09-01")
    for name, stack in whole.items():
        np.testing.assert_allclose(parts[name], stack, rtol=1e-4, atol=2e-4, equal_nan=True)


def test_bands_of_fractions_are_matched_by_name(out):
    given = fractions(out)
    first, _, _ = run(out, given)
    with rasterio.open(given[3]["path"], "r+") as file:
        cube = file.read()
        file.write(cube[[2, 0, 1]])
        for band, name in enumerate(("soil", "water", "tree"), 1):
            file.set_band_description(band, name)
    second, _, _ = run(out, given)
    np.testing.assert_allclose(second["STATES"], first["STATES"], atol=1e-6, equal_nan=True)


def test_a_season_is_followed_into_the_future(out):
    given = []
    dates = [f"{year}-{month:02d}-15" for year in (2018, 2019, 2020) for month in range(1, 13)]
    days = (np.array([*dates, "2021-04-15"], dtype="datetime64[D]") - np.datetime64(dates[0])).astype(float)
    wave = np.sin(2 * np.pi * days / 365.25)
    rng = np.random.default_rng(0)
    for date, value in zip(dates, wave):
        cube = value + rng.normal(0, 0.1, (1, ROWS, COLS))
        given.append({"path": str(raster(out / f"ndvi_{date}.tif", cube)), "crs": None})
    found, _, _ = run(out, given, QUANTITY="values", DYNAMICS="seasonal", AT="2021-04-15")
    np.testing.assert_allclose(found["STATES"][-1].mean(), wave[-1], atol=0.1)


def test_a_table_couples_the_bands(out):
    table = out / "operator.csv"
    table.write_text("0.9,0.1\n0,1\n", encoding="utf-8")
    given = values(out, bands=2)
    found, _, said = run(out, given, QUANTITY="values", DYNAMICS="table", OPERATOR=str(table), INTERVAL=16,
                         AT="2025-01-01")
    last = found["STATES"][-1]
    np.testing.assert_allclose(last[0], last[1], atol=1e-3, err_msg="the first band goes to the second")
    assert sum("all bands: steps of" in words for words in said) == 1


@pytest.mark.parametrize("words, sentence", [
    ("1.1,0\n0,1\n", "unstable: its spectral radius is 1.1, above 1"), ("1,0,0\n0,1,0\n", "2 rows of 3 numbers"),
    ("1\n", "1 rows of 1 numbers, and the images have 2 bands"), ("a,b\n1,0\n", "holds something that is no number"),
    ("0,1\n1,0\n", "no real logarithm"), ("nan,1\n1,0\n", "not finite")])
def test_tables_that_do_not_fit_are_refused(out, words, sentence):
    (out / "operator.csv").write_text(words, encoding="utf-8")
    with pytest.raises((UserError, ValueError), match=sentence):
        run(out, values(out, bands=2), QUANTITY="values", DYNAMICS="table", OPERATOR=str(out / "operator.csv"))


@pytest.mark.parametrize("options, sentence", [
    (dict(QUANTITY="values", DYNAMICS="table"), "none is given"),
    (dict(DYNAMICS="table", OPERATOR="x.csv"), "one band, and fractions need two"),
    (dict(QUANTITY="values", DYNAMICS="table", OPERATOR="nowhere.csv"), "cannot be read"),
    (dict(QUANTITY="values", AT="2019-12-01"), "date 2019-12-01 is before the first image, 2020-01-03"),
    (dict(QUANTITY="values", AT="soon"), "soon in Further dates is no date"),
    (dict(QUANTITY="values", DATES=", ".join(["2020-01-01"] * T)), "same date"),
    (dict(QUANTITY="values", DYNAMICS="seasonal", HARMONICS=7), "15 numbers, and the series only 14 dates")])
def test_bad_input_is_refused(out, options, sentence):
    with pytest.raises((UserError, ValueError), match=sentence):
        run(out, values(out), **options)


def test_a_table_for_fractions_and_a_single_image_are_refused(out):
    given = fractions(out)
    (out / "operator.csv").write_text("1,0,0\n0,1,0\n0,0,1\n", encoding="utf-8")
    with pytest.raises(UserError, match="Choose values"):
        run(out, given, DYNAMICS="table", OPERATOR=str(out / "operator.csv"))
    with pytest.raises(UserError, match="at least two images"):
        run(out, given[:1])


def test_a_constant_band_is_named_where_its_noise_is_sought(out):
    rng, given = np.random.default_rng(0), []
    for date in DATES:
        cube = np.stack([rng.normal(0, 0.1, (ROWS, COLS)), np.full((ROWS, COLS), 0.7)])
        given.append({"path": str(raster(out / f"index_{date}.tif", cube, ["green", "flat"])), "crs": None})
    with pytest.raises(UserError, match="^flat does not vary over time.*STEPNOISE"):
        run(out, given, QUANTITY="values")
    with pytest.raises(UserError, match="^flat does not vary"):
        run(out, given, QUANTITY="values", DYNAMICS="trend", STEPNOISE=0.1, NOISE=0.1)
    found, _, _ = run(out, given, QUANTITY="values", STEPNOISE=0.1, NOISE=0.1)
    np.testing.assert_allclose(found["STATES"][:, 1], 0.7, atol=1e-6)


def test_forecasts_of_fractions_grow_uncertain_as_far_as_fractions_can(out):
    found, _, _ = run(out, fractions(out), AT="2021-01-01, 2060-01-01", STEPNOISE=2, NOISE=0.3)
    sd = found["UNCERTAINTY"][:, :, :8]
    assert (sd[-1] > sd[-3]).all() and sd[-1].min() > 0.2 and sd.max() <= 0.5


@pytest.mark.parametrize("id", [id for id, tool in all_tools().items() if issubclass(tool, StatesTool)])
def test_dynamics_come_before_what_they_take_and_noise_after_steps(id):
    names = [parameter.name for parameter in all_tools()[id].parameters()]
    order = ("IMAGES", "DATES", "QUANTITY", "DYNAMICS", "RATE", "CAPACITY", "PERIOD", "HARMONICS", "OPERATOR",
             "INTERVAL", "STEPNOISE", "NOISE", "AT")
    assert names[:len(set(order) & set(names))] == [name for name in order if name in names]
