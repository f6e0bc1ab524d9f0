"""KalmanNet, its models and the diffusion filter through the engine: what is written, reused and refused."""

from types import SimpleNamespace

import numpy as np
import pytest
from toolruns import raster, read, run_tool

pytest.importorskip("torch")

from subpixel.algorithms.state_estimation.kalmanfilter import estimate
from subpixel.algorithms.state_estimation.model import RandomWalk, Seasonal, StateSpace, start
from subpixel.engine.sentences import UserError
from subpixel.tools.states import kalmannet
from subpixel.tools.states._model import Model

ROWS, COLS, T = 7, 9, 8
DATES = [f"2021-{month:02d}-{day:02d}" for month in range(1, 5) for day in (3, 19)]
DAYS = (np.array(DATES, dtype="datetime64[D]") - np.datetime64(DATES[0])).astype(float)
NAMES = ["water", "tree", "soil"]
NODATA = -9999.0
STEP, NOISE = 0.5, 0.1   # within a year, of an image
LEARN = {"kalmannet": dict(STEPS=150, WIDTH=4, BATCH=32), "diffusionfilter": dict(EPOCHS=5, MEMBERS=60, STEPS=15)}


def index(folder, bands=1, seed=0, names=None, dates=DATES):
    """A random walk with noise, a cloud over three columns at two dates, and a pixel that is never seen."""
    rng, given = np.random.default_rng(seed), []
    level = np.zeros((bands, ROWS, COLS))
    for number, date in enumerate(dates):
        level = level + rng.normal(0, STEP * np.sqrt(16 / 365.25), level.shape)
        cube = level + rng.normal(0, NOISE, level.shape)
        if number in (3, 4):
            cube[:, :, 6:] = NODATA
        cube[:, 0, 0] = NODATA
        given.append({"path": str(raster(folder / f"index{seed}_{date}.tif", cube, names)), "crs": None})
    return given


def fractions(folder, names=NAMES, seed=0):
    rng, given = np.random.default_rng(seed), []
    for number, date in enumerate(DATES):
        A = np.stack([np.full((ROWS, COLS), 0.2), np.full((ROWS, COLS), 0.1 + 0.08 * number),
                      np.full((ROWS, COLS), 0.7 - 0.08 * number)])
        A = np.abs(A + rng.normal(0, 0.03, A.shape))
        A = (A / A.sum(axis=0))[[NAMES.index(name) for name in names]]
        given.append({"path": str(raster(folder / f"fractions_{'_'.join(names)}_{date}.tif", A, list(names))),
                      "crs": None})
    return given


def run(tool, folder, given, more=(), **options):
    """Folders as arrays (dates, bands, ROWS, COLS), NaN for nodata; the result; what was said."""
    out = folder / f"out{len(list(folder.glob('out*')))}"
    out.mkdir()
    result, said = run_tool(tool, {"IMAGES": given, **LEARN.get(tool, {}), **options},
                            **{name: out / name.lower() for name in ("STATES", *more)})
    stacks = {name: np.stack([read(out / name.lower() / look["file"]) for look in looks])
              for name, looks in result["folders"].items()}
    return {name: np.where(stack == NODATA, np.nan, stack) for name, stack in stacks.items()}, result, said, out


WALK = dict(QUANTITY="values", DYNAMICS="walk", STEPNOISE=STEP, NOISE=NOISE)


def kalman(given):
    y = np.stack([read(image["path"])[0].ravel() for image in given]).astype(float)
    y[y == NODATA] = np.nan
    found = estimate(y, DAYS, start(RandomWalk(STEP**2 / 365.25), y, DAYS, NOISE**2), smoothed=False)
    return found.mean.reshape(T, ROWS, COLS), np.sqrt(found.variance).reshape(T, ROWS, COLS)


@pytest.mark.parametrize("tool, near", [("kalmannet", 0.15), ("diffusionfilter", 0.25)])
def test_of_a_random_walk_they_come_near_the_kalman_filter(tmp_path, tool, near):
    given = index(tmp_path)
    found, result, said, out = run(tool, tmp_path, given, ("UNCERTAINTY", "REPORT"), **WALK)
    mean, sd = kalman(given)
    seen = np.isfinite(found["STATES"][:, 0])
    assert not seen[:, 0, 0].any() and seen.sum() == T * (ROWS * COLS - 1)
    assert np.abs((found["STATES"][:, 0] - mean) / sd)[seen].mean() < near
    np.testing.assert_allclose((found["UNCERTAINTY"][:, 0] / sd)[seen].mean(), 1, atol=0.12)
    assert (found["UNCERTAINTY"][4, 0, :, 6:] > found["UNCERTAINTY"][2, 0, :, 6:]).all(), "a cloud"
    assert "Learning" in (out / "report").read_text(encoding="utf-8")
    if tool == "kalmannet":
        assert any("learning has brought the loss from" in words for words in said)


def test_a_network_learns_from_the_images_what_wrong_noise_hides(tmp_path):
    given = index(tmp_path)
    wrong = {**WALK, "STEPNOISE": STEP / 20}
    mean, _ = kalman(given)
    off = []
    for source in ("simulated", "images"):
        found = run("kalmannet", tmp_path, given, **wrong, LEARNFROM=source)[0]["STATES"][:, 0]
        off.append(np.nanmean(np.abs(found - mean)))
    assert off[1] < 0.6 * off[0]


def test_a_saved_model_gives_the_same_and_takes_other_series(tmp_path):
    given = fractions(tmp_path)
    options = dict(AT="2021-03-10, 2021-06-01", DYNAMICS="trend")
    found, _, _, out = run("kalmannet", tmp_path, given, ("UNCERTAINTY", "MODEL"), **options)
    again, result, _, _ = run("applyfilter", tmp_path, given, ("UNCERTAINTY", "REPORT"), MODEL=str(out / "model"),
                              AT=options["AT"])
    for name in ("STATES", "UNCERTAINTY"):
        np.testing.assert_allclose(again[name], found[name], atol=1e-5)
    assert len(again["STATES"]) == T + 2 and result["folders"]["STATES"][0]["names"] == NAMES
    np.testing.assert_allclose(again["STATES"].sum(axis=1), 1, atol=1e-5)
    turned = run("applyfilter", tmp_path, fractions(tmp_path, ("soil", "water", "tree")), MODEL=str(out / "model"),
                 AT=options["AT"])
    np.testing.assert_allclose(turned[0]["STATES"], found["STATES"], atol=1e-4)
    assert turned[1]["folders"]["STATES"][0]["names"] == NAMES
    few = run("applyfilter", tmp_path, given[:3], MODEL=str(out / "model"))[0]["STATES"]
    np.testing.assert_allclose(few[-1], found["STATES"][2], atol=0.05)


@pytest.mark.parametrize("dynamics", ["seasonal", "table", "logistic"])
def test_models_keep_every_kind_of_dynamics(tmp_path, dynamics):
    given = index(tmp_path, bands=2)
    options = {**WALK, "DYNAMICS": dynamics, "STEPS": 3}
    if dynamics == "table":
        (tmp_path / "operator.csv").write_text("0.9,0.1\n-0.1,0.9\n", encoding="utf-8")
        options["OPERATOR"] = str(tmp_path / "operator.csv")
    if dynamics == "seasonal":
        options["COURSENOISE"] = 0.1
    found, _, _, out = run("kalmannet", tmp_path, given, ("UNCERTAINTY", "MODEL"), **options)
    again = run("applyfilter", tmp_path, given, ("UNCERTAINTY",), MODEL=str(out / "model"))[0]
    for name in ("STATES", "UNCERTAINTY"):
        np.testing.assert_allclose(again[name], found[name], atol=1e-5)
    if dynamics == "logistic":
        assert np.nanmin(found["STATES"]) >= 0 and np.nanmax(found["STATES"]) <= 1


def test_models_of_others_are_refused(tmp_path):
    given = fractions(tmp_path)
    _, _, _, out = run("kalmannet", tmp_path, given, ("MODEL",), STEPS=1, STEPNOISE=0.5, NOISE=0.1)
    with pytest.raises(UserError, match="3 bands, and these have 2"):
        run("applyfilter", tmp_path, index(tmp_path, bands=2), MODEL=str(out / "model"))
    with pytest.raises(UserError, match="fractions of water, tree, soil, and the images have"):
        run("applyfilter", tmp_path, index(tmp_path, bands=3, seed=4, names=["water", "tree", "road"]),
            MODEL=str(out / "model"))
    with pytest.raises(UserError, match="no model"):
        run("applyfilter", tmp_path, given, MODEL=given[0]["path"])


def test_quantiles_of_fractions(tmp_path):
    given = fractions(tmp_path)
    found, result, _, _ = run("diffusionfilter", tmp_path, given, ("UNCERTAINTY", "QUANTILES"), LEVELS="90, 50,10 %",
                              AT="2021-06-01", DYNAMICS="trend")
    cuts = found["QUANTILES"].reshape(T + 1, 3, 3, ROWS, COLS)
    assert result["folders"]["QUANTILES"][0]["names"] == [f"{name} {level} %" for name in NAMES
                                                          for level in (10, 50, 90)]
    assert {look["band"] for look in result["folders"]["QUANTILES"]} == {
        3 * (result["folders"]["STATES"][0]["band"] - 1) + 2}, "the middle of the band that changes most"
    assert (np.diff(cuts, axis=2) > 0).all() and cuts.min() >= 0 and cuts.max() <= 1
    np.testing.assert_allclose(found["STATES"].sum(axis=1), 1, atol=1e-5)
    wide = (cuts[:, :, 2] - cuts[:, :, 0])[:-1]
    np.testing.assert_allclose(np.median(wide / found["UNCERTAINTY"][:-1]), 2 * 1.2816, rtol=0.15)
    assert (cuts[-1, 1, 2] - cuts[-1, 1, 0]).mean() > 1.2 * wide[-1, 1].mean(), "a forecast"


def test_what_is_observed_of_a_state_is_written_for_all_dates(monkeypatch):
    """Of a season that a network estimates, with a date between the images, some pixels at once."""
    rng, days = np.random.default_rng(0), np.array([0.0, 5.0, 9.0])
    season = Seasonal(0.1, 0.1, 30.0, 1)
    model = Model(["index"], False, [None] * 3, days, np.array([0, 2]), [np.array([0])] * 2,
                  [StateSpace(season, np.eye(1), np.zeros(3), np.eye(3))])
    Y, valid = rng.normal(size=(2, 1, 5)).astype(np.float32), rng.random((2, 5)) < 0.7
    mean, root = rng.normal(size=(3, 5, 3)), rng.normal(size=(3, 5, 3, 3))
    begin = [0]

    class Network:
        def estimate(self, values, at):
            part = slice(begin[0], begin[0] + values.shape[1])
            begin[0] = part.stop
            np.testing.assert_array_equal(at, days)
            np.testing.assert_array_equal(values[..., 0], np.stack([
                np.where(valid[0], Y[0, 0], np.nan), np.full(5, np.nan), np.where(valid[1], Y[1, 0], np.nan)])[:, part])
            P = root[:, part] @ root[:, part].swapaxes(-1, -2)
            return SimpleNamespace(mean=mean[:, part], covariance=P)

    monkeypatch.setattr(kalmannet, "VALUES", 2 * 3 * 9)
    values, sd, more = kalmannet.estimator(model, [Network()])(Y, valid)
    shown = season.observed[0]
    np.testing.assert_allclose(values[:, 0], mean @ shown, rtol=1e-6)
    np.testing.assert_allclose(sd[:, 0], np.linalg.norm(root.swapaxes(-1, -2) @ shown, axis=-1), rtol=1e-6)
    assert begin == [5] and not more


def test_without_learning_a_season_is_that_of_the_kalman_filter(tmp_path):
    given = index(tmp_path)
    options = dict(WALK, DYNAMICS="seasonal", COURSENOISE=0.5, PERIOD=50, AT="2021-02-10, 2021-06-01")
    exact = run("kalmanfilter", tmp_path, given, ("UNCERTAINTY",), **options, SMOOTH=False)[0]
    found = run("diffusionfilter", tmp_path, given, ("UNCERTAINTY",), **{
        **options, "EPOCHS": 0, "MEMBERS": 100, "STEPS": 25})[0]
    assert np.nanmean(np.abs(found["STATES"] - exact["STATES"]) / exact["UNCERTAINTY"]) < 0.2
    assert np.nanmean(found["UNCERTAINTY"] / exact["UNCERTAINTY"]) == pytest.approx(1, abs=0.15)


def test_quantiles_of_logistic_states_stay_within_their_bounds(tmp_path):
    found = run("diffusionfilter", tmp_path, index(tmp_path), ("QUANTILES",), **{
        **WALK, "DYNAMICS": "logistic", "CAPACITY": 0.6, "LEVELS": "1, 99"})[0]["QUANTILES"]
    assert 0 <= np.nanmin(found) < 0.01 and 0.59 < np.nanmax(found) <= np.float32(0.6)


def test_of_more_particles_fewer_pixels_are_learned_from(tmp_path, monkeypatch):
    import subpixel.algorithms.state_estimation.diffusion as diffusion
    import subpixel.tools.states.diffusionfilter as tool
    given, counts, learn = index(tmp_path), [], diffusion.learn
    monkeypatch.setattr(diffusion, "learn", lambda y, *more, **options: counts.append(y.shape[1]) or learn(
        y, *more, **options))
    for limit in (tool.LEARNT, 20 * 16, 1):
        monkeypatch.setattr(tool, "LEARNT", limit)
        run("diffusionfilter", tmp_path, given, **{**WALK, "EPOCHS": 0, "MEMBERS": 20, "STEPS": 2})
    assert counts == [62, 16, 9]   # of 62 pixels every one, fourth and seventh


def test_blocks_are_smaller_for_more_quantiles(tmp_path, monkeypatch):
    from subpixel.engine.sequences import Sequence
    given, asked, windows = index(tmp_path), [], Sequence.windows
    monkeypatch.setattr(Sequence, "windows", lambda self, values=None: asked.append(values) or windows(self, values))
    sizes = []
    for levels in ("50", ", ".join(map(str, range(1, 100)))):
        run("diffusionfilter", tmp_path, given, ("QUANTILES",), **{**WALK, "EPOCHS": 0, "LEVELS": levels})
        sizes.append(max(filter(None, asked)))
        asked.clear()
    assert sizes[1] - sizes[0] == 2 * 98 * T


@pytest.mark.parametrize("tool, limit, options", [
    ("diffusionfilter", "NUMBERS", dict(EPOCHS=2, MEMBERS=20, STEPS=4)),
    ("kalmannet", "VALUES", dict(STEPS=4, DYNAMICS="seasonal", COURSENOISE=0.1))])
def test_a_part_of_an_image_gives_the_same_as_the_whole(tmp_path, monkeypatch, tool, limit, options):
    from importlib import import_module
    given = index(tmp_path)
    whole = run(tool, tmp_path, given, ("UNCERTAINTY",), **{**WALK, **options})[0]
    monkeypatch.setattr(import_module(f"subpixel.tools.states.{tool}"), limit, 200)   # some pixels at once
    for name, part in run(tool, tmp_path, given, ("UNCERTAINTY",), **{**WALK, **options})[0].items():
        np.testing.assert_allclose(part, whole[name], atol=1e-5)


@pytest.mark.parametrize("name, value", [("SCHEDULE", "exploding"), ("ALPHA", 0.0), ("REGRESSION", False),
                                         ("EPOCHS", 0), ("STEPS", 5), ("SEED", 3), ("MEMBERS", 30)])
def test_every_setting_of_the_diffusion_filter_counts(tmp_path, name, value):
    given = index(tmp_path)
    options = dict(WALK, EPOCHS=2, MEMBERS=20, STEPS=4)
    usual, other = (run("diffusionfilter", tmp_path, given, **{**options, **change})[0]["STATES"]
                    for change in ({}, {name: value}))
    assert np.nanmax(np.abs(usual - other)) > 1e-4 and np.nanmax(np.abs(usual - other)) < 3


@pytest.mark.parametrize("name, value", [
    ("COMPONENTS", "1"), ("INPUTOBSERVATION", False), ("INPUTINNOVATION", False), ("INPUTSTATE", False),
    ("INPUTCORRECTION", False), ("WIDTH", 5), ("STEPS", 12), ("BATCH", 5), ("LENGTH", 3), ("LEARNINGRATE", 0.05),
    ("DECAY", 0.5), ("SEED", 3), ("LEARNFROM", "images")])
def test_every_setting_of_kalmannet_counts(tmp_path, name, value):
    given = index(tmp_path)
    options = dict(WALK, STEPS=8, WIDTH=3, BATCH=16)
    usual, other = (run("kalmannet", tmp_path, given, **{**options, **change})[0]["STATES"]
                    for change in ({}, {name: value}))
    assert np.nanmax(np.abs(usual - other)) > 1e-6


@pytest.mark.parametrize("tool, options, message", [
    ("diffusionfilter", dict(LEVELS="5, many"), "not all numbers"),
    ("diffusionfilter", dict(LEVELS="0, 50"), "above 0 and below 100"),
    ("diffusionfilter", dict(MEMBERS=5, DYNAMICS="seasonal", HARMONICS=3, COURSENOISE=0.1), "too few for 7 states"),
    ("kalmannet", {f"INPUT{name}": False for name in ("OBSERVATION", "INNOVATION", "STATE", "CORRECTION")},
     "shown nothing")])
def test_refusals(tmp_path, tool, options, message):
    with pytest.raises(UserError, match=message):
        run(tool, tmp_path, index(tmp_path), **{**WALK, **options})
