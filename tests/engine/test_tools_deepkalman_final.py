"""The deep Kalman filter through the engine: final states, feed-forward, observation, weights and solvers."""

import json

import numpy as np
import pytest
from test_tools_deepkalman import (
    COLS, DATES, DAYS, GROWTH, NODATA, ROWS, YEAR, ZONES, T, raster, read, run, run_tool, truth, value, walk, written,
    zones)

pytest.importorskip("torch")

from subpixel.engine.sentences import UserError

EVERY = [str(day) for day in np.datetime64("2021-01-03") + 16 * np.arange(T)]   # dates with equal intervals
UNIT = float(np.diff(DAYS).mean())
WALK = dict(QUANTITY="values", STEPNOISE=0.5, NOISE=0.1, WHITENESS=False, SAMPLE=ROWS * COLS)
HALF = np.broadcast_to(np.arange(COLS) < COLS // 2, (ROWS, COLS))


def final(folder, x, known=HALF):
    """A raster of final states (bands, ROWS, COLS), nodata where they are not known."""
    x = np.asarray(x) if np.ndim(x) == 3 else np.asarray(x)[None]
    return raster(folder / "final.tif", np.where(known, x, NODATA))


def images(folder, x, dates=EVERY, names=None):
    """Images of x (T, ROWS, COLS) or (T, bands, ROWS, COLS)."""
    x = x if x.ndim == 4 else x[:, None]
    return [{"path": str(raster(folder / f"image_{date}.tif", cube, names)), "crs": None}
            for date, cube in zip(dates, x)]


def walks():
    return np.cumsum(np.random.default_rng(2).normal(0, 0.5 * np.sqrt(16 / YEAR), (T, ROWS, COLS)), axis=0)


def series(given):
    y = np.stack([read(image["path"])[0] for image in given]).astype(float)
    return np.where(y == NODATA, np.nan, y)


def ramps(folder):
    """A line of its own for each pixel, from -s to s, and its images."""
    s = np.random.default_rng(5).uniform(0.5, 2, (ROWS, COLS)) * np.where(np.arange(COLS) % 2, 1, -1)
    x = s * np.linspace(-1, 1, T)[:, None, None]
    return x, images(folder, x + np.random.default_rng(6).normal(0, 0.02, x.shape))


@pytest.mark.parametrize("weights", ["predicted", "initial", "noise"])
def test_gains_are_those_of_the_weights(tmp_path, weights):
    """Of one state the best gain is P / (P + R), whatever the images."""
    *_, out = run(tmp_path, walk(tmp_path), **WALK, WEIGHTS=weights, LAMBDAD=0.0, LEARNINGRATE=0.03, more=("MODEL",))
    with np.load(out / "model") as file:
        gains, R, P0 = file["0.gains"][0, :, 0, 0], file["0.R"].item(), file["0.P0"].item()
    step = 0.5**2 / YEAR
    steps, P, known = np.diff(DAYS, prepend=-UNIT if weights == "noise" else 0.0) * step, np.empty(T), P0
    for k, each in enumerate(steps):
        P[k] = known + each
        known = P[k] * R / (P[k] + R)
    P = {"predicted": P, "initial": np.full(T, P0), "noise": steps}[weights]
    np.testing.assert_allclose(gains, P / (P + R), atol=5e-3)


@pytest.mark.parametrize("dynamics, weight", [
    (dict(DYNAMICS="walk"), 2.0), (dict(DYNAMICS="walk"), 1e6), (dict(DYNAMICS="trend", COURSENOISE=0.2), 1e6)],
    ids=str)
def test_the_last_gain_leads_to_the_final_states(tmp_path, dynamics, weight):
    """
    With all weight on them, it is the regression of what they differ from predictions on innovations; with less, a
    mean of this, of 1 and of 0, by the inverse variances of images, final states and predictions. A minute before the
    last image, the state is the prediction.
    """
    given, x = walk(tmp_path), walks()
    options = dict(WALK, **dynamics, LAMBDAD=0.0, LEARNINGRATE=0.03, AT=f"{DATES[-1]}T11:59", WEIGHTS="initial")
    dates = ", ".join(f"{date}T12:00" for date in DATES)
    found, _, said, out = run(tmp_path, given, **options, FINALSTATE=final(tmp_path, x[-1]), LAMBDAK=weight,
                              DATES=dates, more=("MODEL", "REPORT"))
    *_, predicted, last = found["STATES"][:, 0]
    off, innovation = (x[-1] - predicted)[HALF], (series(given)[-1] - predicted)[HALF]
    there = np.isfinite(off)
    assert there.sum() == HALF.sum() - 1, "one pixel is never seen"
    with np.load(out / "model") as file:
        slope = off[there] @ innovation[there] / np.sum(innovation[there]**2)
        R, P = file["0.R"][0, 0], file["0.P0"][0, 0]
        np.testing.assert_allclose(file["0.gains"][0, -1, 0, 0], (1 + weight * slope) / (1 + R / P + weight), atol=3e-3)
    assert "from the final state given" in (out / "report").read_text(encoding="utf-8")
    error = np.sqrt(np.nanmean((last - x[-1])[HALF]**2))
    assert any(f"differ by {error:.3g} from the final state" in words for words in said)


@pytest.mark.parametrize("propagation", ["truncated", "complete"])
def test_a_final_state_makes_up_for_wrong_noise(tmp_path, propagation):
    given, x = walk(tmp_path), walks()
    last = final(tmp_path, x[-1])
    options = dict(WALK, STEPNOISE=0.1, BACKPROPAGATION=propagation, ITERATIONS=60, LEARNINGRATE=0.03)
    without, light, heavy = (
        np.sqrt(np.nanmean((run(tmp_path, given, **options, **more)[0]["STATES"][-1, 0] - x[-1])[~HALF]**2))
        for more in ({}, dict(FINALSTATE=last, LAMBDAK=1.0), dict(FINALSTATE=last, LAMBDAK=100.0)))
    assert heavy < light < without


def test_a_final_level_does_not_hold_the_slope_at_none(tmp_path):
    """Lines go on as they went, whatever weight their end has."""
    x, given = ramps(tmp_path)
    found = run(tmp_path, given, **dict(WALK, NOISE=0.02), DYNAMICS="trend", COURSENOISE=0.05, LAMBDAK=1e4,
                FINALSTATE=final(tmp_path, x[-1]), AT=str(np.datetime64(EVERY[-1]) + 32))[0]["STATES"][:, 0]
    ahead = x[-1] + 2 * (x[-1] - x[-2])
    assert np.abs(found[-1] - ahead).mean() < 0.1 * np.abs(x[-1] - ahead).mean()


def test_feed_forward_takes_the_lag_off_lines(tmp_path):
    """
    A random walk lags behind a line by what it changes from date to date; of the change from its mean to its end that
    is 2 / (T - 1).
    """
    x, given = ramps(tmp_path)
    options = dict(WALK, STEPNOISE=0.5, ITERATIONS=300, LEARN="none", FINALSTATE=final(tmp_path, x[-1]))
    without = run(tmp_path, given, **options)[0]["STATES"][:, 0]
    found, result, said, out = run(tmp_path, given, **options, FEEDFORWARD=True, AT="2021-03-10, 2021-12-01",
                                   more=("MODEL", "PARAMETERS", "UNCERTAINTY"))
    share = value(result, 1, "feed-forward")
    np.testing.assert_allclose(share, 2 / (T - 1), rtol=0.1)
    states = found["STATES"][:, 0]
    between = EVERY.index("2021-03-08") + 1
    at_images = np.delete(states, [between, T + 1], axis=0)
    for which in (HALF, ~HALF):   # towards the final state, and towards what the filter finds
        assert np.abs(at_images - x)[3:, which].mean() < 0.4 * np.abs(without - x)[3:, which].mean()
    mean = np.mean(series(given), axis=0)
    np.testing.assert_allclose((states[between] - states[between - 1])[HALF], (share * (x[-1] - mean))[HALF], atol=1e-5)
    np.testing.assert_allclose((states[between] - states[between - 1])[~HALF], (share * (states[T] - mean))[~HALF],
                               atol=2e-3)
    np.testing.assert_array_equal(states[T + 1], states[T])
    sd = found["UNCERTAINTY"][:, 0]
    assert (sd[between] > sd[between - 1]).all() and (sd[-1] > sd[-2]).all()
    assert not any("not settled" in words for words in said)

    folder = tmp_path / "applied"
    folder.mkdir()
    options = {"IMAGES": given, "MODEL": str(out / "model"), "AT": "2021-03-10"}
    result, _ = run_tool("applyfilter", options, STATES=folder / "states")
    again = np.stack([read(folder / "states" / look["file"])[0] for look in result["folders"]["STATES"]])
    np.testing.assert_allclose(again[:, ~HALF], states[:-1, ~HALF], atol=1e-6)


def test_between_images_the_dynamics_go_on_by_themselves():
    """Whatever gains and feed-forward are: their part is done at the images."""
    from subpixel.algorithms.state_estimation.deepkalman import Learned
    from subpixel.algorithms.state_estimation.model import LinearTrend, StateSpace
    from subpixel.tools.states._deepkalman import Design
    component = StateSpace(LinearTrend(0.1, 0.01), np.eye(1), np.zeros(2), np.eye(2))
    learned = Learned(np.ones((1, T, 2, 1)), np.zeros((1, 0)), np.array([[[1.0, 0.0]]]), np.zeros((1, 0, 2)),
                      np.ones((1, 2, 2)))
    found = Design((), 0, 16.0, 0.0).step(component, learned, np.array([[[1.0, 3.0], [2.0, -4.0]]]), 8.0)
    np.testing.assert_allclose(found, [[[2.5, 3], [0, -4]]])


def test_feed_forward_that_does_not_settle_is_named(tmp_path, monkeypatch):
    from subpixel.engine import models
    from subpixel.tools.states import _deepkalman
    x, given = ramps(tmp_path)
    options = dict(WALK, ITERATIONS=5, FEEDFORWARD=True, FINALSTATE=final(tmp_path, x[-1]), more=("MODEL",))
    *_, said, out = run(tmp_path, given, **options)
    assert not any("not settled" in words for words in said)
    declaration, arrays = models.load(out / "model", ["deepkalman"])
    arrays["0.feed"] += 100.0   # by which every end is further away than that before
    declaration["digest"] = models._digest(declaration, arrays)
    with open(out / "far.npz", "wb") as file:
        np.savez(file, **{models.DECLARATION: np.array(json.dumps(declaration))}, **arrays)
    _, said = run_tool("applyfilter", {"IMAGES": given, "MODEL": str(out / "far.npz")}, STATES=out / "states2")
    assert any("not settled in 80 pixels" in words for words in said)
    monkeypatch.setattr(_deepkalman, "SETTLED", 0.0)
    *_, said, _ = run(tmp_path, given, **options)
    assert any("not settled in 40 pixels" in words for words in said), "not those with a final state"


def test_how_a_band_shows_the_states_follows_from_final_states(tmp_path):
    x = walks()
    given = images(tmp_path, 0.8 * x + np.random.default_rng(7).normal(0, 0.05, x.shape))
    found, result, _, out = run(tmp_path, given, **dict(WALK, NOISE=0.05), OBSERVATION=True, ITERATIONS=60,
                                LAMBDAK=100.0, FINALSTATE=final(tmp_path, x[-1]), more=("PARAMETERS", "REPORT"))
    np.testing.assert_allclose(value(result, 1, "observation"), 0.8, atol=0.03)
    assert "scale of the final state" in (out / "report").read_text(encoding="utf-8")
    assert [row["first"] for row in result["tables"]["PARAMETERS"] if row["parameter"] == "observation"] == [1.0]
    states = found["STATES"][2:, 0]
    assert np.abs(states - x[2:]).mean() < 0.06, "in the scale of the final state"


def test_of_a_table_it_is_a_matrix(tmp_path):
    rng, C = np.random.default_rng(8), np.array([[0.9, 0.15], [-0.1, 1.1]])
    A = np.array([[0.97, 0.05], [-0.05, 0.97]])
    x = [rng.normal(0, 1, (2, ROWS, COLS))]
    for _ in range(T - 1):
        x.append(np.einsum("ij,jrc->irc", A, x[-1]) + rng.normal(0, 0.1, (2, ROWS, COLS)))
    x = np.stack(x)
    given = images(tmp_path, np.einsum("ij,tjrc->tirc", C, x) + rng.normal(0, 0.05, x.shape), names=["red", "nir"])
    (tmp_path / "operator.csv").write_text("0.97,0.05\n-0.05,0.97\n", encoding="utf-8")
    found, result, _, out = run(tmp_path, given, QUANTITY="values", DYNAMICS="table", STEPNOISE=0.5, NOISE=0.05,
                                OPERATOR=str(tmp_path / "operator.csv"), OBSERVATION=True, ITERATIONS=60,
                                LAMBDAK=100.0, FINALSTATE=final(tmp_path, x[-1]), more=("MODEL", "PARAMETERS"))
    names = ["red of red", "red of nir", "nir of red", "nir of nir"]
    learned = [value(result, 1, f"observation, {name}") for name in names]
    np.testing.assert_allclose(learned, C.ravel(), atol=0.04)
    assert np.abs(found["STATES"][2:] - x[2:]).mean() < 0.08
    with np.load(out / "model") as file:
        np.testing.assert_allclose(file["0.C"][0].ravel(), learned)
    result, _ = run_tool("applyfilter", {"IMAGES": given, "MODEL": str(out / "model")}, STATES=out / "states2")
    again = np.stack([read(out / "states2" / look["file"]) for look in result["folders"]["STATES"]])
    np.testing.assert_allclose(again, found["STATES"], atol=1e-6)


def test_a_known_capacity_is_a_scale_too(tmp_path):
    given = written(tmp_path, 0.7 * truth(), 0.01)
    options = dict(GROWTH, CAPACITY=0.8, NOISE=0.01, LEARN="rate", OBSERVATION=True, ZONES=zones(tmp_path))
    _, result, *_ = run(tmp_path, given, **options)
    np.testing.assert_allclose(value(result, 7, "observation"), 0.7, atol=0.05)


def test_growth_and_how_images_show_it_are_told_apart_by_final_states(tmp_path):
    x = truth()
    _, result, said, _ = run(tmp_path, written(tmp_path, 0.7 * x, 0.01), **dict(GROWTH, NOISE=0.01), OBSERVATION=True,
                             LAMBDAK=10.0, ZONES=zones(tmp_path), FINALSTATE=final(tmp_path, x[-1], True))
    assert any("zone 7: observation 0.7" in words for words in said)
    assert "whiteness" not in {row["parameter"] for row in result["tables"]["PARAMETERS"]}, "it would end at once"
    for zone, rate in ((3, 6.0), (7, 12.0)):
        found = [value(result, zone, name) for name in ("rate", "capacity", "observation")]
        np.testing.assert_allclose(found, [rate, 0.8, 0.7], rtol=0.04)


def test_fractions_have_final_states_by_their_names(tmp_path):
    rng = np.random.default_rng(9)
    A = rng.dirichlet(np.ones(3), ROWS * COLS).T.reshape(3, ROWS, COLS) * 0.4 + 0.2
    names, order = ["soil", "water", "leaf"], [2, 0, 1]
    given = images(tmp_path, A + rng.normal(0, 0.02, (T, 3, ROWS, COLS)), names=names)
    options = dict(STEPNOISE=0.3, NOISE=0.1, ITERATIONS=10, WHITENESS=False, LAMBDAK=100.0, LEARNINGRATE=0.1)
    one = run(tmp_path, given, **options, FINALSTATE=raster(tmp_path / "one.tif", A, names))[0]["STATES"]
    other = run(tmp_path, given, **options, FINALSTATE=raster(
        tmp_path / "other.tif", A[order], [names[i] for i in order]))[0]["STATES"]
    np.testing.assert_allclose(other, one, atol=1e-6)
    wrong = run(tmp_path, given, **options, FINALSTATE=raster(tmp_path / "wrong.tif", A[order], names))[0]["STATES"]
    assert np.abs(wrong - one).max() > 1e-3
    with pytest.raises(UserError, match="ice"):
        run(tmp_path, given, **options, FINALSTATE=raster(tmp_path / "ice.tif", A, ["soil", "water", "ice"]))


def test_terms_are_taken_up_to_most(tmp_path):
    x0 = np.random.default_rng(3).uniform(-1, 2, (ROWS, COLS))
    given = written(tmp_path, 0.4 + (x0 - 0.4) * np.exp(-5 * DAYS[:, None, None] / YEAR), 0.01)
    counts = []
    for most in (1, 10):
        _, result, *_ = run(tmp_path, given, QUANTITY="values", DEGREE=2, ITERATIONS=40, MOST=most)
        counts.append(len(result["tables"]["TERMS"]))
    assert counts == [1, 2]


def test_a_table_may_lack_terms_too(tmp_path):
    """Of a turn with decay, the table knows the decay."""
    from scipy.linalg import expm
    G = np.array([[-1.0, 5.0], [-5.0, -1.0]]) / YEAR
    x0 = np.random.default_rng(11).normal(0, 1, (2, ROWS, COLS))
    x = np.stack([np.einsum("ij,jrc->irc", expm(G * 16 * k), x0) for k in range(T)])
    given = images(tmp_path, x + np.random.default_rng(12).normal(0, 0.05, x.shape), names=["a", "b"])
    known = np.exp(-16 / YEAR)
    (tmp_path / "operator.csv").write_text(f"{known},0\n0,{known}\n", encoding="utf-8")
    _, result, said, _ = run(tmp_path, given, QUANTITY="values", DYNAMICS="table", DEGREE=1, ITERATIONS=40,
                             OPERATOR=str(tmp_path / "operator.csv"))
    noise = float(next(words for words in said if "noise of" in words).rsplit(" ", 1)[1].rstrip("."))
    assert 0.04 < noise < 0.06
    found = {(row["equation"], row["term"]): row["coefficient"] for row in result["tables"]["TERMS"]}
    assert sorted(found) == [("a", "b"), ("b", "a")]
    np.testing.assert_allclose([found["a", "b"], found["b", "a"]], [5, -5], rtol=0.05)


def test_small_blocks_know_their_final_states(tmp_path, monkeypatch):
    import subpixel.engine.raster as engine_raster
    x, given = ramps(tmp_path)
    options = dict(WALK, ITERATIONS=20, FEEDFORWARD=True, FINALSTATE=final(tmp_path, x[-1]))
    whole = run(tmp_path, given, **options)[0]["STATES"]
    monkeypatch.setattr(engine_raster, "BLOCK_VALUES", 3000)
    np.testing.assert_allclose(run(tmp_path, given, **options)[0]["STATES"], whole, atol=1e-4)


def test_what_cannot_be_learned_is_refused(tmp_path):
    given, x = walk(tmp_path), walks()
    last = final(tmp_path, x[-1])
    with pytest.raises(UserError, match="Feed-forward is learned from the final state"):
        run(tmp_path, given, **WALK, FEEDFORWARD=True)
    with pytest.raises(UserError, match="would not be used"):
        run(tmp_path, given, **WALK, FINALSTATE=last, LAMBDAK=0.0)
    with pytest.raises(UserError, match="Nothing says in which scale"):
        run(tmp_path, given, **WALK, OBSERVATION=True)
    with pytest.raises(UserError, match="Nothing says in which scale"):
        run(tmp_path, given, **WALK, OBSERVATION=True, FINALSTATE=last, LAMBDAK=0.0, FEEDFORWARD=True)
    for more in (dict(LEARN="both"), dict(LEARN="rate", DEGREE=1), dict(LEARN="rate", RATE=-2.0)):
        with pytest.raises(UserError, match="Nothing says in which scale"):
            run(tmp_path, given, **{**GROWTH, "CAPACITY": 2.0, **more}, OBSERVATION=True)
    with pytest.raises(UserError, match="cannot be told apart"):
        run(tmp_path, given, **WALK, DYNAMICS="trend", OBSERVATION=True, FINALSTATE=last)
    with pytest.raises(UserError, match="too few or too alike"):
        run(tmp_path, given, **WALK, OBSERVATION=True, FINALSTATE=raster(tmp_path / "0.tif", np.zeros((1, ROWS, COLS))))
    with pytest.raises(UserError, match="2 bands, and the images have 1"):
        run(tmp_path, given, **WALK, FINALSTATE=raster(tmp_path / "two.tif", np.ones((2, ROWS, COLS))))
    with pytest.raises(UserError, match="not on one grid"):
        run(tmp_path, given, **WALK, FINALSTATE=raster(tmp_path / "small.tif", np.ones((1, ROWS, COLS - 1))))
    with pytest.raises(UserError, match="No pixel of zone 7 has a final state"):
        run(tmp_path, given, **WALK, FINALSTATE=last, ZONES=zones(tmp_path, ZONES))
