"""Tools that find factors or patterns by themselves: planted ones come back, bad input is refused."""

from datetime import date, timedelta

import numpy as np
import pytest
import rasterio
from toolruns import raster, run_tool

from subpixel.engine.sentences import UserError

ROWS, COLS, T = 12, 15, 10
DATES = [(date(2021, 1, 5) + timedelta(days=16 * t)).isoformat() for t in range(T)]
COURSE = np.array([[4.0, 2, 1], [0, 1, 0]])   # of two bands over three images


def planted():
    """The series (T, 2, ROWS, COLS): the course begins once in every third pixel; and where and when."""
    rng = np.random.default_rng(0)
    values, begins = np.zeros((T, 2, ROWS, COLS)), {}
    for number in range(0, ROWS * COLS, 3):
        row, col = divmod(number, COLS)
        begins[row, col] = begin = int(rng.integers(0, T - 2))
        values[begin:begin + 3, :, row, col] = rng.uniform(0.5, 1) * COURSE.T
    return values, begins


def images(folder, values):
    return [{"path": str(raster(folder / f"image_{when}.tif", cube)), "crs": None}
            for when, cube in zip(DATES, values)]


def activations(folder):
    """The rasters of the folder, (T, J, ROWS, COLS)."""
    stack = []
    for when in DATES:
        with rasterio.open(folder / f"{when}.tif") as file:
            stack.append(file.read())
    return np.stack(stack)


def test_nmfd_finds_the_course_and_its_dates(tmp_path):
    values, begins = planted()
    result, _ = run_tool("nmfd", {"IMAGES": images(tmp_path, values), "COUNT": 1, "LENGTH": 3, "TOLERANCE": 0},
                         PATTERNS="patterns", ACTIVATIONS=tmp_path / "out", REPORT=tmp_path / "report.html")
    found = activations(tmp_path / "out")[:, 0]
    for (row, col), begin in begins.items():
        assert found[:, row, col].argmax() == begin
        np.testing.assert_allclose(found[begin, row, col], values[begin, 0, row, col], rtol=0.02)
    assert found[:, 0, 1].max() < 1e-3
    assert result["numbers"]["RMSE"] < 0.02
    features = result["spectra"]["PATTERNS"]["features"]
    assert [(f["attributes"]["pattern"], f["attributes"]["lag"]) for f in features] == [("pattern 1", lag)
                                                                                        for lag in range(3)]
    assert "Course of pattern 1" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_one_band_is_enough_and_dates_that_are_nodata_take_no_part(tmp_path):
    values, begins = planted()
    values = values[:, :1]
    values[4, :, 0, 3] = values[:, :, 1, 1] = -9999
    _, said = run_tool("nmfd", {"IMAGES": images(tmp_path, values), "COUNT": 1, "LENGTH": 3}, PATTERNS="patterns",
                       ACTIVATIONS=tmp_path / "out")
    found = activations(tmp_path / "out")[:, 0]
    assert (found[:, 1, 1] == -9999).all() and (found[:, 0, 3] >= 0).all()
    assert found[:, 0, 6].argmax() == begins[0, 6]


@pytest.mark.parametrize("tool", ["nmfd", "ardnmfd"])
def test_negative_values_are_counted_and_clipped_only_when_asked(tool, tmp_path):
    values, _ = planted()
    values = np.maximum(values + 0.05 * np.random.default_rng(1).standard_normal(values.shape), 0)
    values[2, 0, 5, 5:7] = -0.5
    series = {"IMAGES": images(tmp_path, values), "COUNT": 2, "LENGTH": 3, "ITERATIONS": 50}
    outputs = dict(PATTERNS="patterns", ACTIVATIONS=tmp_path / "out")
    with pytest.raises(UserError, match="2 of 3600 values of the images are negative, the least -0.5"):
        run_tool(tool, series, **outputs)
    _, said = run_tool(tool, {**series, "CLIP": True}, **outputs)
    assert any("Set 2 negative values of the images to 0" in words for words in said)


@pytest.mark.parametrize("tool", ["nmfd", "ardnmfd"])
def test_a_series_shorter_than_the_pattern_is_refused(tool, tmp_path):
    with pytest.raises(UserError, match="pattern of 11 images cannot be found in a series of 10"):
        run_tool(tool, {"IMAGES": images(tmp_path, planted()[0]), "LENGTH": 11}, PATTERNS="patterns",
                 ACTIVATIONS=tmp_path / "out")


def test_ardnmfd_finds_how_many_patterns_there_are_and_how_long(tmp_path):
    values, _ = planted()
    values = np.random.default_rng(1).poisson(25 * values).astype(float)
    result, said = run_tool("ardnmfd", {"IMAGES": images(tmp_path, values), "COUNT": 5, "LENGTH": 5, "DISPERSION": 1},
                            PATTERNS="patterns", ACTIVATIONS=tmp_path / "out", REPORT=tmp_path / "report.html")
    assert result["numbers"]["RANK"] == 1
    features = result["spectra"]["PATTERNS"]["features"]
    assert [f["attributes"]["lag"] for f in features] == [0, 1, 2], said
    assert "Relevant at the end: 1 of 5" in (tmp_path / "report.html").read_text(encoding="utf-8")


def counts(rank=3):
    rng = np.random.default_rng(0)
    M = rng.random((20, rank)) * (rng.random((20, rank)) < 0.5)
    A = rng.random((rank, 15 * 20)) * (rng.random((rank, 300)) < 0.5)
    return rng.poisson(100 * M @ A).reshape(20, 15, 20).astype(float)   # two bands are 0 throughout, and left out


def test_ardnmf_gives_as_many_endmembers_as_its_rank(tmp_path):
    scene = raster(tmp_path / "scene.tif", counts())
    result, _ = run_tool("ardnmf", {"INPUT": scene, "COUNT": 8, "DISPERSION": 1}, ENDMEMBERS="endmembers",
                         ABUNDANCES=tmp_path / "a.tif", REPORT=tmp_path / "report.html")
    assert result["numbers"]["RANK"] == 3 == len(result["spectra"]["ENDMEMBERS"]["features"])
    with rasterio.open(tmp_path / "a.tif") as file:
        assert file.count == 3
    assert result["numbers"]["RMSE"] < 6
    assert "Relevance over the iterations" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_units_do_not_change_what_ardnmf_finds(tmp_path):
    found = [run_tool("ardnmf", {"INPUT": raster(tmp_path / f"scene{scale}.tif", scale * counts()), "COUNT": 8,
                                 "DISPERSION": scale, "ITERATIONS": 300}, ABUNDANCES=tmp_path / "a.tif")[0]["numbers"]
             for scale in (1, 1000)]
    assert found[0]["RANK"] == found[1]["RANK"]
    np.testing.assert_allclose(found[1]["RMSE"], 1000 * found[0]["RMSE"], rtol=1e-3)


def test_ardnmf_refuses_noise_and_negative_values_and_says_where_there_may_be_more(tmp_path):
    cube = counts()
    scene = raster(tmp_path / "scene.tif", cube)
    with pytest.raises(UserError, match="No endmember is relevant"):
        run_tool("ardnmf", {"INPUT": scene, "COUNT": 4, "DISPERSION": 1e6}, ABUNDANCES=tmp_path / "a.tif")
    _, said = run_tool("ardnmf", {"INPUT": scene, "COUNT": 2, "DISPERSION": 1}, ABUNDANCES=tmp_path / "a.tif")
    assert any("All 2 endmembers are relevant" in words for words in said)
    cube[3, 4, 5] = -2
    negative = raster(tmp_path / "negative.tif", cube)
    with pytest.raises(UserError, match="1 of 5400 values are below zero"):
        run_tool("ardnmf", {"INPUT": negative, "COUNT": 4}, ABUNDANCES=tmp_path / "a.tif")
    _, said = run_tool("ardnmf", {"INPUT": negative, "COUNT": 4, "CLIP": True, "DISPERSION": 1},
                       ABUNDANCES=tmp_path / "a.tif")
    assert any("1 of 5400 values below 0" in words for words in said)


def noisy():
    return np.random.default_rng(1).poisson(8 * planted()[0] + 0.5).astype(float)


def profiles(result):
    return np.array([feature["profile"]["y"] for feature in result["spectra"]["PATTERNS"]["features"]])


@pytest.mark.parametrize("tool, changes", [
    ("nmfd", dict(SPARSITY=5, BETA=2, SEED=1, TOLERANCE=0.5, PIXELS=20, STARTS=1, ITERATIONS=5)),
    ("ardnmfd", dict(BETA=2, SEED=1, TOLERANCE=0.1, PIXELS=50, STARTS=1, ITERATIONS=20, PRIOR="l2", SHAPE=50,
                     DISPERSION=0.2))])
def test_every_setting_changes_the_patterns(tool, changes, tmp_path):
    given = images(tmp_path, noisy())

    def run(**values):
        return profiles(run_tool(tool, {"IMAGES": given, "COUNT": 3, "LENGTH": 4, "ITERATIONS": 40, "STARTS": 4,
                                        **({"DISPERSION": 0.1} if tool == "ardnmfd" else {}), **values},
                                 PATTERNS="patterns", ACTIVATIONS=tmp_path / "out")[0])
    base = run()
    assert np.array_equal(run(), base)
    for name, value in changes.items():
        assert not np.array_equal(run(**{name: value}), base), name
    if tool == "ardnmfd":
        with pytest.raises(UserError, match=r"No pattern is relevant.* smaller threshold \(TAU\)"):
            run(TAU=1e6)


def test_sparsity_leaves_less_activation(tmp_path):
    given = images(tmp_path, noisy())
    free, sparse = (run_tool("ardnmfd", {"IMAGES": given, "COUNT": 2, "LENGTH": 3, "ITERATIONS": 30, "DISPERSION": 1,
                                         "SPARSITY": sparsity}, PATTERNS="patterns", ACTIVATIONS=tmp_path / "out")
                    and activations(tmp_path / "out") for sparsity in (0, 2))
    assert sparse.sum() < 0.9 * free.sum()


def test_the_error_is_that_of_valid_values_and_the_most_important_pattern_comes_first(tmp_path):
    values = noisy()
    values[3, :, :, :6] = -9999
    result, _ = run_tool("nmfd", {"IMAGES": images(tmp_path, values), "COUNT": 2, "LENGTH": 3}, PATTERNS="patterns",
                         ACTIVATIONS=tmp_path / "out")
    W, H = profiles(result).reshape(2, 3, 2), np.maximum(activations(tmp_path / "out"), 0)
    made = np.zeros_like(values)
    for lag in range(3):
        made[lag:] += np.einsum("jb,tjrc->tbrc", W[:, lag], H[:T - lag])
    known = values >= 0
    assert result["numbers"]["RMSE"] == pytest.approx(np.sqrt(np.square(made - values)[known].mean()), rel=1e-4)
    explained = W.sum(axis=(1, 2)) * H.sum(axis=(0, 2, 3))
    assert explained[0] > explained[1]
