"""The tool `tunehyperparameters` without QGIS: what it finds is what is best, by every method."""

import numpy as np
import pytest
import rasterio
from toolruns import raster, run_tool, spectra

from subpixel.algorithms.abundances.sparse import unit
from subpixel.algorithms.abundances.sunsal import sunsal
from subpixel.engine.sentences import UserError
from subpixel.tools.states.tunehyperparameters import TotalVariation, still

ROWS, COLS, BANDS, P = 16, 20, 15, 6
STEP, NOISE = 0.4, 0.1   # in a year, and of an image


def made(folder, even):
    """A noisy image of six spectra of which few are in a pixel, or the same in patches, its spectra and fractions."""
    rng = np.random.default_rng(0)
    M = np.abs(np.cumsum(rng.normal(size=(BANDS, P)), axis=0)) + 0.2
    A = rng.dirichlet(np.full(P, 0.2), (ROWS, COLS)).transpose(2, 0, 1)
    if even:
        A = A[:, ::4, ::5].repeat(4, axis=1).repeat(5, axis=2)
    cube = np.einsum("lp,prc->lrc", M, A) + rng.normal(0, 0.4, (BANDS, ROWS, COLS))
    truth = A.copy()
    truth[:, 0, :5] = -9999
    order = [2, 0, 1, 3, 5, 4]
    reference = raster(folder / "truth.tif", truth[order], [f"s{number + 1}" for number in order])
    image = raster(folder / "scene.tif", cube)
    return {"INPUT": image, "ENDMEMBERS": spectra(M), "REFERENCE": reference}, M, cube, truth


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    return made(tmp_path_factory.mktemp("scene"), even=False)


@pytest.fixture(scope="module")
def series(tmp_path_factory):
    """Images of random walks at irregular dates with gaps."""
    folder, rng = tmp_path_factory.mktemp("series"), np.random.default_rng(1)
    days = np.cumsum(rng.integers(10, 40, 20))
    walk = 5 + np.cumsum(rng.normal(size=(20, 1, 9, 12)) * (STEP * np.sqrt(np.diff(days, prepend=0) / 365.25))[
        :, None, None, None], axis=0)
    values = walk + rng.normal(0, NOISE, walk.shape)
    values[rng.random(walk.shape) < 0.15] = -9999
    given = []
    for day, cube in zip(days, values):
        date = str(np.datetime64("2020-01-01") + int(day))
        given.append({"path": str(raster(folder / f"walk_{date}.tif", cube)), "crs": None})
    return {"TOOL": "kalmanfilter", "IMAGES": given, "QUANTITY": "values"}


def tune(folder, given, **options):
    result, said = run_tool("tunehyperparameters", {**given, **options}, PARAMETERS=folder / "p.gpkg",
                            REPORT=folder / "report.html")
    return result["tables"]["PARAMETERS"], result["numbers"], said


def test_the_sparsity_found_is_the_best_one(scene, tmp_path):
    given, M, cube, truth = scene
    rows, numbers, _ = tune(tmp_path, given)
    Y, Z = cube.reshape(BANDS, -1), truth.reshape(P, -1)
    known = (Z != -9999).all(axis=0)

    def rmse(weight):
        return np.sqrt(np.square(sunsal(Y[:, known], M, weight * unit(M)).A - Z[:, known]).mean())

    assert numbers["RMSE"] == pytest.approx(rmse(numbers["VALUE"]), rel=1e-4)
    grid = np.logspace(-5, 0, 101)
    assert numbers["RMSE"] <= min(map(rmse, grid)) * 1.0005 < 0.99 * rmse(1e-5)
    assert [row["parameter"] for row in rows] == ["LAMBDA"] and rows[0]["tool"] == "sunsal"
    assert "Error over the values tried" in (tmp_path / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("method, iterations, within", [("descent", 60, 0.05), ("bsgm", 25, 0.3)])
def test_other_methods_find_that_sparsity(scene, method, iterations, within, tmp_path):
    best = tune(tmp_path, scene[0])[1]
    _, found, _ = tune(tmp_path, scene[0], METHOD=method, ITERATIONS=iterations, LOW=1e-4, RATE=2.0)
    assert np.log(found["VALUE"]) == pytest.approx(np.log(best["VALUE"]), abs=within)
    assert found["RMSE"] <= best["RMSE"] * (1 + within / 10)


def test_the_slope_of_the_error_is_right_for_spectra_that_are_alike():
    """Which gradient steps hardly contract, so that they carry a hundredth of it, or its opposite."""
    torch = pytest.importorskip("torch")
    from subpixel.algorithms.state_estimation.bilevel import surrogate
    from subpixel.tools.states.tunehyperparameters import KEPT, STEPS, Sparsity
    rng = np.random.default_rng(0)
    M = np.linspace(1, 2, BANDS)[:, None] + 0.02 * rng.random((BANDS, P))
    Z = rng.dirichlet(np.full(P, 0.3), 40).T
    problem = Sparsity(M @ Z + rng.normal(0, 0.01, (BANDS, 40)), M, Z)
    step, loss, begin = problem.contraction()
    for theta in (-9.0, -6.0, -4.0):
        at = torch.tensor([theta], dtype=torch.float64)
        value, slope = surrogate(step, loss, begin(at), at, STEPS, KEPT)
        assert value == pytest.approx(problem.cost(theta), rel=1e-6)
        near = (problem.cost(theta + 1e-5) - problem.cost(theta - 1e-5)) / 2e-5
        assert float(slope[0]) == pytest.approx(near, rel=1e-3)
    at = torch.tensor([5.0], dtype=torch.float64)   # where all fractions are 0
    value, slope = surrogate(step, loss, begin(at), at, STEPS, KEPT)
    assert value == pytest.approx(np.square(Z).mean()) and not slope.any()


def test_total_variation_is_worth_its_weight(tmp_path):
    given, M, cube, truth = made(tmp_path, even=True)
    rows, numbers, _ = tune(tmp_path, given, TOOL="sunsaltv", POINTS=6, LOW=1e-4)
    Y, Z = cube.reshape(BANDS, -1), truth.reshape(P, -1)
    known = (Z != -9999).all(axis=0)
    alone = np.sqrt(np.square(sunsal(Y, M, 1e-3 * unit(M)).A - Z)[:, known].mean())
    assert rows[0]["parameter"] == "TV" and 1e-3 < numbers["VALUE"] < 1
    assert numbers["RMSE"] < 0.6 * alone


def test_pixels_without_a_value_have_no_part_in_the_total_variation():
    """Of one mixture everywhere, half of it unknown: the strongest smoothing changes nothing."""
    rng = np.random.default_rng(0)
    M, where = np.abs(rng.normal(size=(BANDS, P))) + 0.2, np.arange(18)
    A = np.repeat(rng.dirichlet(np.ones(P))[:, None], 18, axis=1)
    found = TotalVariation((M @ A).astype(np.float32), M, A, where, (6, 6), 0.0).cost(np.log(10))
    assert found < 1e-6


def test_series_with_too_few_values_have_no_part(series, tmp_path):
    found = []
    for number, kept in enumerate((0, 1)):
        given = []
        for date, image in enumerate(series["IMAGES"]):
            with rasterio.open(image["path"]) as file:
                cube = file.read()
            if date >= kept:
                cube[:, 0, 0] = -9999
            (tmp_path / str(number)).mkdir(exist_ok=True)
            given.append({"path": str(raster(tmp_path / str(number) / image["path"].split("/")[-1], cube)),
                          "crs": None})
        found.append(tune(tmp_path, dict(series, IMAGES=given), POINTS=3)[0])
    assert found[0] == found[1]


def test_steps_and_noise_are_those_of_the_walk(series, tmp_path):
    rows, numbers, _ = tune(tmp_path, series)
    found = {row["parameter"]: row["value"] for row in rows}
    assert found["STEPNOISE"] == pytest.approx(STEP, rel=0.15) and found["NOISE"] == pytest.approx(NOISE, rel=0.1)
    assert NOISE < numbers["RMSE"] < 2 * NOISE


@pytest.mark.parametrize("method", ("descent", "fefb", "fifb", "bsgm"))
def test_other_methods_find_that_ratio(series, method, tmp_path):
    def ratio(rows):
        found = {row["parameter"]: row["value"] for row in rows}
        return np.log(found["STEPNOISE"] / found["NOISE"])
    patience = {"ITERATIONS": 12, "RATE": 2.0} if method == "bsgm" else {"ITERATIONS": 100}
    best, found = tune(tmp_path, series), tune(tmp_path, series, METHOD=method, LOW=0.5, HIGH=50, **patience)
    assert ratio(found[0]) == pytest.approx(ratio(best[0]), abs=0.15)
    assert found[1]["RMSE"] < 1.01 * best[1]["RMSE"]


def test_steps_depend_on_no_unit(series, tmp_path):
    """Those of images in thousandths are a thousand times those found."""
    given = []
    for image in series["IMAGES"]:
        with rasterio.open(image["path"]) as file:
            cube = file.read()
        path = tmp_path / image["path"].split("/")[-1]
        given.append({"path": str(raster(path, np.where(cube == -9999, -9999, 1000 * cube))), "crs": None})
    plain, large = (tune(tmp_path, dict(series, IMAGES=images))[0] for images in (series["IMAGES"], given))
    for one, other in zip(plain, large):
        assert other["value"] == pytest.approx(1000 * one["value"], rel=0.005)


@pytest.mark.parametrize("most", [40, 100])
def test_few_references_are_all_looked_at_and_of_many_some(scene, most, tmp_path, monkeypatch):
    """Of 320 pixels 30 have a reference; a sample of all pixels would hold four or nine of them."""
    import subpixel.tools.states.tunehyperparameters as tuning
    given, M, cube, truth = scene
    rng = np.random.default_rng(3)
    known = np.zeros(ROWS * COLS, bool)
    known[rng.choice(np.arange(5, ROWS * COLS), 30, replace=False)] = True
    few = raster(tmp_path / "few.tif", np.where(known.reshape(ROWS, COLS), truth, -9999),
                 [f"s{number + 1}" for number in range(P)])
    options = dict(given, REFERENCE=few, POINTS=5)
    monkeypatch.setattr(tuning, "PIXELS", most)
    found = tune(tmp_path, options)[1]
    Y, Z = cube.reshape(BANDS, -1)[:, known], truth.reshape(P, -1)[:, known]
    assert found["RMSE"] == pytest.approx(np.sqrt(np.square(sunsal(Y, M, found["VALUE"] * unit(M)).A - Z).mean()),
                                          rel=1e-4)
    monkeypatch.setattr(tuning, "PIXELS", 10)
    first, same, other = (tune(tmp_path, {**options, "SEED": seed})[1] for seed in (0, 0, 1))
    assert first == same and first["RMSE"] != other["RMSE"] and found["RMSE"] not in (first["RMSE"], other["RMSE"])


def test_too_few_iterations_are_warned_of(series, tmp_path):
    words = tune(tmp_path, series, METHOD="fefb", LOW=0.5, HIGH=50, ITERATIONS=8)[2]
    assert any("more iterations are needed" in each for each in words)
    way = 2 - 0.5**np.arange(20.0)
    assert still(way) and not still(way[:6]) and not still(way[:3])
    assert still(np.r_[way, way[-1] + np.random.default_rng(0).normal(0, 0.01, 60)])
    assert not still(np.linspace(0, 1, 200))


def test_series_that_do_not_vary_are_refused(series, tmp_path):
    given = [{"path": str(raster(tmp_path / image["path"].split("/")[-1], np.full((2, 9, 12), 0.3))), "crs": None}
             for image in series["IMAGES"]]
    with pytest.raises(UserError, match="No pixel varies"):
        tune(tmp_path, dict(series, IMAGES=given, QUANTITY="fractions"))


def test_a_best_value_at_the_end_of_the_range_is_said(scene, tmp_path):
    _, numbers, said = tune(tmp_path, scene[0], LOW=1e-8, HIGH=1e-7)
    assert any("at an end of the range" in words for words in said) and numbers["VALUE"] < 1.1e-7


@pytest.mark.parametrize("options, words", [
    ({"METHOD": "fefb"}, "cannot tune this"), ({"TOOL": "sunsaltv", "METHOD": "descent"}, "cannot tune this"),
    ({"LOW": 1.0, "HIGH": 0.1}, "must be below"), ({"REFERENCE": None}, "REFERENCE"),
    ({"TOOL": "kalmanfilter"}, "are missing"),
    ({"ENDMEMBERS": spectra(np.eye(BANDS)[:, :2])}, "there are 2 endmembers")])
def test_refuses(scene, options, words, tmp_path):
    with pytest.raises(UserError, match=words):
        tune(tmp_path, scene[0], **options)


def test_refuses_too_few_dates(series, tmp_path):
    with pytest.raises(UserError, match="too few to hold out"):
        tune(tmp_path, {**series, "IMAGES": series["IMAGES"][:3]})
