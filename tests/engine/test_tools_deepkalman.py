"""The deep Kalman filter through the engine: parameters of zones, tables, states, and what is refused."""

import numpy as np
import pytest
from toolruns import raster, read, run_tool

pytest.importorskip("torch")

import subpixel.engine.raster as engine_raster
from subpixel.algorithms.state_estimation.kalmanfilter import estimate
from subpixel.algorithms.state_estimation.model import Logistic, RandomWalk, start
from subpixel.engine.sentences import UserError

ROWS, COLS, T = 8, 10, 16
DATES = [f"2021-{month:02d}-{day:02d}" for month in range(1, 9) for day in (3, 19)]
DAYS = (np.array(DATES, dtype="datetime64[D]") - np.datetime64(DATES[0])).astype(float)
NODATA, YEAR = -9999.0, 365.25
RATES = 6.0, 12.0   # per year, in the west and in the east
CAPACITY = 0.8
ZONES = np.where(np.arange(COLS) < COLS // 2, 3, 7) * np.ones((ROWS, 1))
GROWTH = dict(QUANTITY="values", DYNAMICS="logistic", RATE=8.0, CAPACITY=0.9, STEPNOISE=0.02, NOISE=0.02, SAMPLE=40)


def truth():
    x0 = np.random.default_rng(1).uniform(0.05, 0.15, (ROWS, COLS))
    rate = np.where(ZONES == 3, *RATES)
    return np.stack([Logistic(rate / YEAR, CAPACITY).step(x0, day) for day in DAYS])


def written(folder, x, noise, seed=0):
    """Noisy images of states (T, ROWS, COLS), clouds over four columns at two dates, one pixel never seen."""
    rng, given = np.random.default_rng(seed), []
    for number, (date, part) in enumerate(zip(DATES, x)):
        cube = (part + rng.normal(0, noise, part.shape))[None]
        if number in (6, 7):
            cube[:, :, 3:7] = NODATA
        cube[:, 0, 0] = NODATA
        given.append({"path": str(raster(folder / f"index_{date}.tif", cube)), "crs": None})
    return given


def zones(folder, values=ZONES):
    return raster(folder / "zones.tif", values[None])


def walk(folder):
    x = np.cumsum(np.random.default_rng(2).normal(0, 0.5 * np.sqrt(16 / YEAR), (T, ROWS, COLS)), axis=0)
    return written(folder, x, 0.1)


def run(folder, given, more=("UNCERTAINTY", "PARAMETERS", "TERMS"), **options):
    """Folders as arrays (dates, bands, ROWS, COLS), NaN for nodata; the result; what was said; the folder."""
    out = folder / f"out{len(list(folder.glob('out*')))}"
    out.mkdir()
    result, said = run_tool("deepkalman", {"IMAGES": given, **options},
                            **{name: out / name.lower() for name in ("STATES", *more)})
    stacks = {name: np.stack([read(out / name.lower() / look["file"]) for look in looks])
              for name, looks in result["folders"].items()}
    return {name: np.where(stack == NODATA, np.nan, stack) for name, stack in stacks.items()}, result, said, out


def value(result, zone, parameter):
    found = [row["value"] for row in result["tables"]["PARAMETERS"]
             if row["zone"] == zone and row["parameter"] == parameter]
    assert len(found) == 1
    return found[0]


def test_rates_of_two_zones_are_found_and_told_apart(tmp_path):
    found, result, said, out = run(tmp_path, written(tmp_path, truth(), 0.02), ZONES=zones(tmp_path), **GROWTH,
                                   more=("UNCERTAINTY", "PARAMETERS", "TERMS", "MODEL", "REPORT"), AT="2021-05-10")
    for zone, rate in zip((3, 7), RATES):
        np.testing.assert_allclose(value(result, zone, "rate"), rate, rtol=0.1)
    np.testing.assert_allclose(value(result, 7, "capacity"), CAPACITY, rtol=0.05)
    rows = result["tables"]["PARAMETERS"]
    assert list(rows[0]) == ["zone", "component", "parameter", "value", "first", "unit"]
    assert {row["parameter"] for row in rows} == {"rate", "capacity", "loss", "whiteness"} and len(rows) == 8
    assert [(row["zone"], row["term"], row["coefficient"]) for row in result["tables"]["TERMS"]] == [
        (3, "none", 0.0), (7, "none", 0.0)]
    assert list(result["tables"]["TERMS"][0]) == ["zone", "component", "equation", "term", "coefficient"]
    states, images = np.delete(found["STATES"][:, 0], 9, axis=0), truth()
    assert len(found["STATES"]) == T + 1 and np.isnan(states[:, 0, 0]).all()
    off = np.abs(states - images)
    assert np.nanmean(off[3:]) < 0.016 and np.nanmean(off[6:8, :, 3:7]) < 0.03, "less than the noise, and in the gap"
    sd = np.delete(found["UNCERTAINTY"][:, 0], 9, axis=0)
    west = sd[:, 1:, 3:5]   # in the east, near the capacity, growth narrows it even in the gap
    assert (west[7] > west[5]).all() and (west[8] < west[7]).all()
    assert any("zone 7: rate" in words for words in said)
    with np.load(out / "model") as file:
        assert file["0.gains"].shape == (2, T, 1, 1)
        np.testing.assert_allclose(8 * np.exp(file["0.p"][:, 0]), [value(result, zone, "rate") for zone in (3, 7)])
    words = (out / "report").read_text(encoding="utf-8")
    assert all(part in words for part in ("first loss", "Whiteness deviation", "Gain, zone 7"))
    assert f"<td>7</td><td>Band 1</td><td>rate</td><td>{value(result, 7, 'rate'):.4g}</td><td>8</td>" in words
    assert "<td>loss</td>" not in words and "Missing terms" not in words


def test_noise_is_found_whatever_the_rate(tmp_path):
    given = {name: GROWTH[name] for name in ("QUANTITY", "DYNAMICS", "SAMPLE")}
    _, result, said, _ = run(tmp_path, written(tmp_path, truth(), 0.02), ZONES=zones(tmp_path), **given)
    found = next(words for words in said if "noise of" in words)
    assert 0.017 < float(found.rsplit(" ", 1)[1].rstrip(".")) < 0.023
    assert value(result, 3, "rate") < 8 < value(result, 7, "rate"), "from the default rate of 4"


def test_what_is_not_learned_stays(tmp_path):
    given = written(tmp_path, truth(), 0.02)
    _, result, _, _ = run(tmp_path, given, **{**GROWTH, "LEARN": "rate"}, ITERATIONS=20)
    assert {row["parameter"] for row in result["tables"]["PARAMETERS"]} == {"rate", "loss", "whiteness"}
    _, result, _, _ = run(tmp_path, given, **{**GROWTH, "LEARN": "none"}, ITERATIONS=5, WHITENESS=False)
    assert {row["parameter"] for row in result["tables"]["PARAMETERS"]} == {"loss"}


def test_of_a_random_walk_it_comes_near_the_kalman_filter(tmp_path):
    given = walk(tmp_path)
    found = run(tmp_path, given, QUANTITY="values", STEPNOISE=0.5, NOISE=0.1, LAMBDAD=0.1, WHITENESS=False)[0]
    y = np.stack([read(image["path"])[0].ravel() for image in given]).astype(float)
    y[y == NODATA] = np.nan
    wanted = estimate(y, DAYS, start(RandomWalk(0.5**2 / YEAR), y, DAYS, 0.1**2), smoothed=False)
    sd = np.sqrt(wanted.variance)
    seen = np.isfinite(found["STATES"].reshape(T, -1))
    assert seen.sum() == T * (ROWS * COLS - 1)
    assert np.abs((found["STATES"].reshape(T, -1) - wanted.mean) / sd)[seen].mean() < 0.3
    np.testing.assert_allclose((found["UNCERTAINTY"].reshape(T, -1) / sd)[seen].mean(), 1, atol=0.1)


def test_gains_are_learned_where_the_steps_given_are_too_small(tmp_path):
    given = walk(tmp_path)
    y = np.stack([read(image["path"])[0].ravel() for image in given]).astype(float)
    y[y == NODATA] = np.nan
    best, wrong = (estimate(y, DAYS, start(RandomWalk(step**2 / YEAR), y, DAYS, 0.1**2), smoothed=False).mean
                   for step in (0.5, 0.1))
    found = run(tmp_path, given, QUANTITY="values", STEPNOISE=0.1, NOISE=0.1)[0]["STATES"].reshape(T, -1)
    assert np.nanmean(np.abs(found - best)) < 0.4 * np.nanmean(np.abs(wrong - best)[:, 1:])


@pytest.mark.parametrize("solver", ["omp", "lh"])
def test_a_missing_term_is_found(tmp_path, solver):
    """Decay to a level, dx/dt = -5 (x - 0.4) per year, of which a random walk knows nothing: no steps explain it."""
    x0 = np.random.default_rng(3).uniform(-1, 2, (ROWS, COLS))
    x = 0.4 + (x0 - 0.4) * np.exp(-5 * DAYS[:, None, None] / YEAR)
    states, result, _, out = run(tmp_path, written(tmp_path, x, 0.01), QUANTITY="values", DEGREE=2, ITERATIONS=80,
                                 SOLVER=solver, more=("TERMS", "REPORT"))
    assert np.sqrt(np.nanmean((states["STATES"][4:, 0] - x[4:])**2)) < 0.006, "noise is not taken for steps"
    found = {row["term"]: row["coefficient"] for row in result["tables"]["TERMS"]}
    assert sorted(found) == ["1", "level"]
    np.testing.assert_allclose([found["1"], found["level"]], [2, -5], rtol=0.15)
    words = (out / "report").read_text(encoding="utf-8")
    assert f"<td>level</td><td>1</td><td>{found['1']:.4g}</td>" in words and "<h2>Parameters</h2>" not in words


def test_terms_are_given_for_slopes_in_a_year():
    """In units of 73 days, a fifth of a year: level' = slope - level, slope' = slope^2."""
    from subpixel.tools.states._deepkalman import SLOPE, YEAR, yearly
    s = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0]])
    found = yearly(s, [(1,), (0,), (1, 1)], ["level", SLOPE], YEAR / 5)
    np.testing.assert_allclose(found, [[1, 0], [-5, 0], [0, 1]])


def test_small_blocks_give_what_large_ones_do_and_outside_of_zones_is_nodata(tmp_path, monkeypatch):
    given, some = written(tmp_path, truth(), 0.02), ZONES.copy()
    some[:, -2:] = NODATA
    options = dict(GROWTH, ITERATIONS=5, WHITENESS=False, ZONES=zones(tmp_path, some), BACKPROPAGATION="complete")
    whole = run(tmp_path, given, **options)[0]
    assert np.isnan(whole["STATES"][..., -2:]).all() and np.isfinite(whole["STATES"][:, :, 1:, :-2]).all()
    monkeypatch.setattr(engine_raster, "BLOCK_VALUES", 3000)
    parts = run(tmp_path, given, **options)[0]
    for name, stack in whole.items():
        np.testing.assert_allclose(parts[name], stack, rtol=1e-4, atol=1e-5, equal_nan=True)


@pytest.mark.parametrize("options, states", [
    (dict(DYNAMICS="trend", COURSENOISE=0.3), ["level", "slope of the trend"]),
    (dict(DYNAMICS="seasonal", COURSENOISE=0.1), ["level", "wave1", "quarter1"]), (dict(DYNAMICS="table"), ["1"])])
def test_every_kind_of_dynamics(tmp_path, options, states):
    given = walk(tmp_path)
    if options["DYNAMICS"] == "table":
        (tmp_path / "operator.csv").write_text("0.95\n", encoding="utf-8")
        options = dict(options, OPERATOR=str(tmp_path / "operator.csv"))
    found, result, _, _ = run(tmp_path, given, QUANTITY="values", STEPNOISE=0.5, NOISE=0.1, ITERATIONS=10, DEGREE=0,
                              **options)
    rows = result["tables"]["TERMS"]
    assert len(rows) == len(states)
    if options["DYNAMICS"] != "table":
        assert [row["equation"] for row in rows] == states
    y = np.stack([read(image["path"])[0] for image in given])
    y[y == NODATA] = np.nan
    assert np.nanmean(np.abs(found["STATES"][:, 0] - y)) < 0.12


def test_bad_input_is_refused(tmp_path):
    given = written(tmp_path, truth(), 0.02)
    with pytest.raises(UserError, match="begins at 0"):
        run(tmp_path, given, **{**GROWTH, "RATE": 0.0})
    with pytest.raises(UserError, match="cannot be learned"):
        run(tmp_path, given, **{**GROWTH, "RATE": -2.0})
    with pytest.raises(UserError, match="2 bands"):
        run(tmp_path, given, ZONES=raster(tmp_path / "two.tif", np.ones((2, ROWS, COLS))), **GROWTH)
    with pytest.raises(UserError, match="1.5, which is no whole number"):
        run(tmp_path, given, ZONES=raster(tmp_path / "half.tif", np.full((1, ROWS, COLS), 1.5)), **GROWTH)
    with pytest.raises(UserError, match="not on one grid"):
        run(tmp_path, given, ZONES=raster(tmp_path / "small.tif", np.ones((1, ROWS, COLS - 1))), **GROWTH)
    with pytest.raises(UserError, match="No pixel of any zone"):
        run(tmp_path, given, ZONES=raster(tmp_path / "none.tif", np.full((1, ROWS, COLS), NODATA)), **GROWTH)
    with pytest.raises(UserError, match="half of the values are from.*the capacity, 0.02. Give"):
        run(tmp_path, given, **{**GROWTH, "CAPACITY": 0.02, "LEARN": "rate"})
    with pytest.raises(UserError, match="In zone 1 no pixel has a value in more than 4 images.*WHITENESS"):
        run(tmp_path, given[:4], **GROWTH)


def test_a_saved_filter_gives_the_same_and_takes_other_images_of_its_dates(tmp_path):
    given, where = written(tmp_path, truth(), 0.02), zones(tmp_path)
    found, _, _, out = run(tmp_path, given, more=("UNCERTAINTY", "MODEL"), ZONES=where, DEGREE=1, AT="2021-05-10",
                           WEIGHTS="noise", **dict(GROWTH, LEARN="rate", ITERATIONS=30))

    def applied(images, **options):
        folder = tmp_path / f"applied{len(list(tmp_path.glob('applied*')))}"
        folder.mkdir()
        result, _ = run_tool("applyfilter", {"IMAGES": images, "MODEL": str(out / "model"), **options},
                             **{name: folder / name.lower() for name in ("STATES", "UNCERTAINTY")})
        return {name: np.stack([read(folder / name.lower() / look["file"]) for look in looks])
                for name, looks in result["folders"].items()}

    again = applied(given, ZONES=where, AT="2021-05-10")
    for name, stack in found.items():
        np.testing.assert_allclose(np.where(again[name] == NODATA, np.nan, again[name]), stack, atol=1e-6)
    other = np.where(ZONES == 3, 3, 5)
    part = applied(given, ZONES=raster(tmp_path / "other.tif", other[None]))["STATES"]
    assert (part[:, 0, 1:, COLS // 2:] == NODATA).all() and (part[:, 0, 1:, :COLS // 2] > 0).all()
    with pytest.raises(UserError, match="a gain for each of 16 dates"):
        applied(given[:-1], ZONES=where)
    with pytest.raises(UserError, match="No pixel of any zone"):
        applied(given)


@pytest.mark.parametrize("options", [
    dict(SAMPLE=5), dict(LAMBDAD=100.0), dict(BACKPROPAGATION="complete"), dict(LEARNINGRATE=0.03), dict(PATIENCE=2),
    dict(WHITENESS=False), dict(ITERATIONS=10), dict(LEARN="capacity"), dict(DEGREE=2),
    dict(DEGREE=2, TAU=5.0)], ids=str)
def test_every_setting_counts(tmp_path, options):
    given = written(tmp_path, truth(), 0.02)
    where = {"TAU": {"DEGREE": 2, "TAU": 0.0}, "ITERATIONS": {"WHITENESS": False}, "WHITENESS": {"PATIENCE": 5}}
    usual = {**GROWTH, "ITERATIONS": 30, "LEARN": "rate", **where.get([*options][-1], {})}
    one, other = (run(tmp_path, given, **{**usual, **change})[0]["STATES"] for change in ({}, options))
    assert 1e-4 < np.nanmax(np.abs(one - other)) < 0.3
