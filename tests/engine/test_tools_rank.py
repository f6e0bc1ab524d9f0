"""The rank tools: the same number however a raster is cut, and sentences where there is none to give."""

import numpy as np
import pytest
from toolruns import raster, read, run_tool

from subpixel.engine import raster as engine_raster
from subpixel.engine.sentences import UserError

L, ROWS, COLS, P = 30, 40, 50, 4
SIMPLE = ("hfc", "nwhfc", "aic", "mdl", "geneah", "genech", "fun")
ALL = {name: True for name in ("HFC", "GENECH", "MDL", "AIC", "FUN", "SPICE")}


@pytest.fixture(scope="module")
def pixels():
    """Four materials from dark to bright with a pure pixel of each, and white noise (46 dB)."""
    rng = np.random.default_rng(3)
    M = rng.uniform(0.05, 0.95, (L, P)) * np.geomspace(0.15, 1, P)
    A = rng.dirichlet(np.ones(P), ROWS * COLS).T
    A[:, 500:500 + P] = np.eye(P)
    return (M @ A + rng.normal(0, 0.001, (L, ROWS * COLS))).reshape(L, ROWS, COLS)


@pytest.fixture
def scene(pixels, tmp_path):
    cube = pixels.copy()
    cube[:, :5, :5] = -9999
    return raster(tmp_path / "scene.tif", cube)


@pytest.fixture
def small_blocks(monkeypatch):
    def cut():
        monkeypatch.setattr(engine_raster, "BLOCK_VALUES", 3 * L * COLS)
    return cut


@pytest.mark.parametrize("tool", SIMPLE)
def test_finds_about_what_was_planted_however_the_raster_is_cut(tool, scene, small_blocks):
    whole, _ = run_tool(tool, {"INPUT": scene})
    assert abs(whole["numbers"]["RANK"] - P) <= 1
    small_blocks()
    assert run_tool(tool, {"INPUT": scene})[0]["numbers"] == whole["numbers"]


def test_fun_gives_pixels_of_the_scene_at_their_places(scene, pixels, tmp_path):
    result, _ = run_tool("fun", {"INPUT": scene}, ENDMEMBERS=tmp_path / "e.gpkg")
    features = result["spectra"]["ENDMEMBERS"]["features"]
    assert len(features) == result["numbers"]["RANK"]
    for feature in features:
        words = feature["source"].split()
        row, col = int(words[-3].rstrip(",")), int(words[-1])
        np.testing.assert_allclose(feature["profile"]["y"], pixels[:, row, col], rtol=1e-5)
        assert feature["point"] is not None


def test_spice_gives_fractions_of_every_pixel_and_does_not_depend_on_blocks(scene, small_blocks, tmp_path):
    values = {"INPUT": scene, "START": 8, "MAXPIXELS": 200, "SEED": 1}
    whole, _ = run_tool("spice", values, ABUNDANCES=tmp_path / "a.tif", ENDMEMBERS=tmp_path / "e.gpkg")
    A = read(tmp_path / "a.tif")
    masked = A[0] == -9999
    assert masked[:5, :5].all() and masked.sum() == 25
    assert A[:, ~masked].min() >= 0 and np.abs(A[:, ~masked].sum(axis=0) - 1).max() < 1e-5
    assert len(A) == whole["numbers"]["RANK"] == len(whole["spectra"]["ENDMEMBERS"]["features"])
    small_blocks()
    run_tool("spice", values, ABUNDANCES=tmp_path / "b.tif")
    assert np.array_equal(A, read(tmp_path / "b.tif"))


def test_spice_says_when_it_did_not_settle(scene):
    _, said = run_tool("spice", {"INPUT": scene, "ITERATIONS": 2, "MAXPIXELS": 100})
    assert any("had not settled after 2 iterations" in sentence for sentence in said)


def test_spice_says_where_nothing_was_dropped_and_grows_with_the_sample(scene):
    values = {"INPUT": scene, "START": 8, "GAMMA": 3}
    few, many = (run_tool("spice", {**values, "MAXPIXELS": pixels}) for pixels in (60, 1900))
    assert few[0]["numbers"]["RANK"] < many[0]["numbers"]["RANK"]
    assert not any("dropped none" in sentence for sentence in few[1])
    same, said = run_tool("spice", {**values, "GAMMA": 0, "MAXPIXELS": 100})
    assert same["numbers"]["RANK"] == 8 and any("dropped none of the 8 endmembers" in sentence for sentence in said)


def test_several_methods_agree_with_themselves_run_alone(scene, tmp_path):
    result, said = run_tool("estimaterank", {"INPUT": scene, **ALL}, TABLE=tmp_path / "t.gpkg",
                            REPORT=tmp_path / "r.html")
    rows = {row["method"]: row for row in result["tables"]["TABLE"]}
    assert len(rows) == 10 and result["numbers"]["RANK"] == P
    for tool, name in (("hfc", "HFC"), ("nwhfc", "NWHFC"), ("geneah", "GENE-AH"), ("genech", "GENE-CH"),
                       ("mdl", "MDL"), ("aic", "AIC"), ("fun", "FUN"), ("spice", "SPICE"), ("hysime", "HySime"),
                       ("iqr", "Incremental QR")):
        assert run_tool(tool, {"INPUT": scene})[0]["numbers"]["RANK"] == rows[name]["rank"], tool
    assert {name for name, row in rows.items() if row["votes"] == "yes"} == {"HySime", "NWHFC", "GENE-AH"}
    assert any("Recommended: 4" in sentence for sentence in said)


def test_a_limit_does_not_vote_and_a_recommendation_without_voters_is_a_warning(scene):
    result, said = run_tool("estimaterank", {"INPUT": scene, "NMAX": 2})
    assert result["numbers"]["RANK"] == P and any("GENE-AH: all 2 pixels" in sentence for sentence in said)
    nobody = {name: False for name in ("HYSIME", "NWHFC", "GENEAH")}
    _, said = run_tool("estimaterank", {"INPUT": scene, **nobody})
    assert any("less dependable" in sentence for sentence in said)


def test_methods_that_disagree_are_a_warning(tmp_path):
    rng = np.random.default_rng(5)
    M = rng.uniform(0.05, 0.95, (L, 26))
    cube = M @ rng.dirichlet(np.full(26, 0.3), 3000).T + rng.normal(0, 1e-3, (L, 3000))
    path = raster(tmp_path / "alike.tif", cube.reshape(L, 50, 60))
    result, said = run_tool("estimaterank", {"INPUT": path, "PFA": 1e-9, "GENEAH": False, "IQR": False},
                            TABLE=tmp_path / "t.gpkg", REPORT=tmp_path / "r.html")
    ranks = [row["rank"] for row in result["tables"]["TABLE"] if row["votes"] == "yes"]
    assert len(ranks) == 2 and max(ranks) - min(ranks) > 5 and result["numbers"]["RANK"] == min(ranks)
    assert any("near the middle: HySime" in sentence and "the smaller number" in sentence for sentence in said), said
    assert any(f"{min(ranks)} to {max(ranks)}" in sentence for sentence in said)
    assert "The number below the middle of HySime, NWHFC" in (tmp_path / "r.html").read_text(encoding="utf-8")
    nobody = {name: False for name in ("HYSIME", "NWHFC", "GENEAH", "IQR")}
    _, said = run_tool("estimaterank", {"INPUT": path, "PFA": 1e-9, **nobody, "HFC": True, "FUN": True, "MDL": True,
                                        "NMAX": 15})
    assert any("disagree on the number of endmembers: 1 of 3 within 3" in sentence for sentence in said), said


def test_a_method_that_cannot_work_is_left_out_with_a_warning(tmp_path):
    rng = np.random.default_rng(6)
    exact = rng.integers(1, 50, (L, 3)) @ rng.multinomial(9, np.ones(3) / 3, 2000).T
    result, said = run_tool("estimaterank", {"INPUT": raster(tmp_path / "exact.tif", exact.reshape(L, 40, 50))},
                            TABLE=tmp_path / "t.gpkg")
    assert any("NWHFC: At least half of the bands hold no noise" in sentence for sentence in said)
    assert "NWHFC" not in [row["method"] for row in result["tables"]["TABLE"]]
    assert result["numbers"]["RANK"] == 3


def test_no_method_is_a_sentence(scene):
    nothing = {name: False for name in ("HYSIME", "NWHFC", "GENEAH", "IQR")}
    with pytest.raises(UserError, match="No method is chosen"):
        run_tool("estimaterank", {"INPUT": scene, **nothing})


def test_medians_are_whole_and_rounded_up():
    from subpixel.tools.rank.estimaterank import median
    assert [median(ranks) for ranks in ([3], [3, 4], [5, 3, 4], [18, 26], [3, 3, 4, 4])] == [3, 4, 4, 22, 4]


def test_a_recommended_number_always_has_a_method_near_it():
    from subpixel.tools.rank.estimaterank import recommend
    assert recommend([44, 8]) == (8, 2, True) and recommend([11, 29]) == (11, 2, True)
    assert recommend([3, 5]) == (4, 2, False) and recommend([20, 24]) == (22, 4, False)
    assert recommend([3, 9, 40]) == (9, 2, False) and recommend([7]) == (7, 2, False)
    assert recommend([3, 3, 40, 41]) == (3, 2, True) and recommend([3, 3, 4, 40]) == (4, 2, False)
    for pair in ((a, b) for a in range(60) for b in range(60)):
        chosen, reach, _ = recommend(pair)
        assert any(abs(rank - chosen) <= reach for rank in pair)


@pytest.mark.parametrize("tool", ["hfc", "nwhfc", "geneah", "genech"])
@pytest.mark.parametrize("pfa", [0, 0.5, 1])
def test_a_probability_that_is_none_is_a_sentence(tool, pfa, scene):
    with pytest.raises(UserError, match="Probability of false alarm is"):
        run_tool(tool, {"INPUT": scene, "PFA": pfa})


@pytest.mark.parametrize("tool", [*SIMPLE, "estimaterank"])
def test_one_spectrum_of_changing_brightness_is_one_or_two_materials_and_a_constant_a_sentence(tool, tmp_path):
    cube = np.linspace(0.2, 1, L)[:, None, None] * np.linspace(1, 2, 400).reshape(20, 20)
    path = raster(tmp_path / "one.tif", cube + np.random.default_rng(0).normal(0, 1e-3, cube.shape))
    assert 1 <= run_tool(tool, {"INPUT": path})[0]["numbers"]["RANK"] <= 2
    constant = raster(tmp_path / "constant.tif", np.tile(np.linspace(0.2, 1, L)[:, None, None], (20, 20)))
    with pytest.raises(UserError, match="no band with information"):
        run_tool(tool, {"INPUT": constant})


@pytest.mark.parametrize("tool", [tool for tool in SIMPLE if tool != "hfc"])
def test_fewer_pixels_than_bands_are_a_sentence(tool, pixels, tmp_path):
    with pytest.raises(ValueError, match="more pixels than bands"):
        run_tool(tool, {"INPUT": raster(tmp_path / "few.tif", pixels[:, :5, :5])})


@pytest.mark.parametrize("tool", ["hysime", "estimaterank", "mnf"])
@pytest.mark.parametrize(("bands", "few"), [(60, True), (30, False)])
def test_few_pixels_per_band_are_a_warning_as_noise_passes_for_signal(tool, bands, few, tmp_path):
    noise = raster(tmp_path / "noise.tif", np.random.default_rng(0).normal(1, 1, (bands, 20, 20)))
    _, said = run_tool(tool, {"INPUT": noise}, **({"OUTPUT": tmp_path / "o.tif"} if tool == "mnf" else {}))
    assert any("only 6.7 valid pixels per band. Below about 10, noise alone" in words for words in said) == few, said
