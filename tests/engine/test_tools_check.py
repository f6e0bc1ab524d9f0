"""Accuracy tools: errors are those of the definitions, partners are found, and what cannot be compared is said."""

import numpy as np
import pytest
from affine import Affine
from toolruns import TRANSFORM, point, raster, run_tool, spectra

from subpixel.algorithms.check import metrics
from subpixel.algorithms.check.agreement import Agreement
from subpixel.engine import raster as engine_raster
from subpixel.engine.sentences import UserError

NAMES = ["water", "tree", "soil"]
RNG = np.random.default_rng(3)
A = RNG.dirichlet([1, 1, 1], 300).T.reshape(3, 15, 20)
A_HAT = np.clip(A + RNG.normal(0, [[[0.05]], [[0.1]], [[0.2]]], A.shape), 0, 1)


@pytest.fixture
def estimate(tmp_path):
    return raster(tmp_path / "estimate.tif", A_HAT, NAMES)


def reference(tmp_path, cube=A, names=NAMES, **options):
    return raster(tmp_path / "reference.tif", cube, names, **options)


def errors(cube=A, cube_hat=A_HAT):
    """Mean RMSE and R2 by definition."""
    flat, flat_hat = (np.float32(values).reshape(len(values), -1) for values in (cube, cube_hat))
    return metrics.rmse(flat, flat_hat).mean(), metrics.r2(flat, flat_hat).mean()


def test_agreement_in_blocks_is_that_of_the_whole():
    flat, flat_hat = A.reshape(3, -1), A_HAT.reshape(3, -1)
    found = Agreement(3, 3)
    for start, end in ((0, 1), (1, 8), (8, 8), (8, 250), (250, 300)):
        found.add(flat[:, start:end], flat_hat[:, start:end])
    np.testing.assert_allclose(np.diag(found.rmse), metrics.rmse(flat, flat_hat), rtol=1e-12)
    np.testing.assert_allclose(np.diag(found.r2), metrics.r2(flat, flat_hat), rtol=1e-12)
    np.testing.assert_allclose(found.rmse[0, 2], np.sqrt(np.mean((flat[0] - flat_hat[2]) ** 2)), rtol=1e-12)
    np.testing.assert_allclose(found.reference_mean, flat.mean(axis=1), rtol=1e-12)
    assert found.N == 300


def test_a_reference_that_is_the_same_everywhere_has_no_r2():
    found = Agreement(1, 1)
    found.add(np.full((1, 9), 0.1), np.linspace(0, 1, 9)[None])
    found.add(np.full((1, 5), 0.1), np.zeros((1, 5)))
    assert np.isnan(found.r2[0, 0])


def test_errors_are_those_of_the_definitions_whatever_the_blocks(estimate, tmp_path, monkeypatch):
    monkeypatch.setattr(engine_raster, "BLOCK_VALUES", 100)
    result, _ = run_tool("compareabundances", {"ABUNDANCES": estimate, "REFERENCE": reference(tmp_path)})
    rmse, r2 = errors()
    assert result["numbers"]["RMSE"] == pytest.approx(rmse, abs=1e-7)
    assert result["numbers"]["R2"] == pytest.approx(r2, abs=1e-6)


@pytest.mark.parametrize("match, names", [("name", ["Soil", "water", "TREE"]), ("assignment", ["a", "b", "c"])])
def test_bands_in_another_order_find_their_partners(match, names, estimate, tmp_path):
    turned = reference(tmp_path, A[[2, 0, 1]], names)
    result, _ = run_tool("compareabundances", {"ABUNDANCES": estimate, "REFERENCE": turned, "MATCH": match})
    assert result["numbers"]["RMSE"] == pytest.approx(errors()[0], abs=1e-7)


def test_fewer_estimates_than_references_are_compared_and_the_rest_said(estimate, tmp_path):
    more = reference(tmp_path, np.concatenate([A, np.ones((1, 15, 20))]), NAMES + ["snow"])
    result, said = run_tool("compareabundances", {"ABUNDANCES": estimate, "REFERENCE": more})
    assert result["numbers"]["RMSE"] == pytest.approx(errors()[0], abs=1e-7)
    assert "Without a partner, so not compared: snow." in said


def test_pixels_missing_in_either_do_not_count(tmp_path):
    here, there = A_HAT.copy(), A.copy()
    here[0, :3], there[:, 3:5] = -9999, -9999
    result, _ = run_tool("compareabundances", {"ABUNDANCES": raster(tmp_path / "e.tif", here, NAMES),
                                               "REFERENCE": reference(tmp_path, there)})
    assert result["numbers"]["RMSE"] == pytest.approx(errors(A[:, 5:], A_HAT[:, 5:])[0], abs=1e-7)


def at(row, col):
    return TRANSFORM * (col + 0.7, row + 0.2)


def points(of):
    """A point in each pixel, one off the raster and one without a value."""
    inside = [point(*at(row, col), cover=float(of[row, col])) for row in range(15) for col in range(20)]
    return {"features": inside + [point(*at(-3, 2), cover=1.0), point(*at(1, 1), cover=None)]}


def test_points_are_compared_with_the_pixels_they_lie_in(estimate):
    result, said = run_tool("compareabundances", {"ABUNDANCES": estimate, "POINTS": points(A[1]),
                                                  "FRACTIONFIELD": ["cover"], "MATERIALS": "tree"})
    assert result["numbers"]["RMSE"] == pytest.approx(errors(A[1:2], A_HAT[1:2])[0], abs=1e-6)
    assert "300 of 302 points have a fraction and lie on a pixel with abundances." in said


def test_one_cover_is_compared_with_the_sum_of_its_materials(estimate):
    result, said = run_tool("compareabundances", {"ABUNDANCES": estimate, "POINTS": points(A[1] + A[2]),
                                                  "FRACTIONFIELD": ["cover"], "MATERIALS": "Soil, tree",
                                                  "MATCH": "name"})
    expected = errors(A[1:2] + A[2:3], A_HAT[1:2] + A_HAT[2:3])
    assert result["numbers"]["RMSE"] == pytest.approx(expected[0], abs=1e-6)
    assert any(sentence.startswith("tree + soil (cover): RMSE") for sentence in said)


def test_points_on_a_raster_without_georeference_lie_where_qgis_draws_it(tmp_path):
    loose = raster(tmp_path / "loose.tif", A_HAT, NAMES, transform=Affine.identity(), crs=None)
    given = {"features": [point(col + 0.5, -row - 0.5, tree=float(A_HAT[1, row, col])) for row, col in
                          ((0, 0), (3, 7), (14, 19))]}
    result, said = run_tool("compareabundances", {"ABUNDANCES": loose, "POINTS": given, "FRACTIONFIELD": ["tree"],
                                                  "MATCH": "name"})
    assert result["numbers"]["RMSE"] < 1e-6 and said[0].startswith("3 of 3 points")


@pytest.mark.parametrize("options, sentence", [
    (dict(cube=A[:, :, :19]), "not on the same grid: 20 x 15 pixels .* against 19 x 15"),
    (dict(transform=Affine(30, 0, 500030, 0, -30, 5800000)), "at 500000, 5800000 .* at 500030, 5800000"),
    (dict(transform=Affine(20, 0, 500000, 0, -20, 5800000)), "pixels of 30 x 30 .* of 20 x 20"),
    (dict(crs="EPSG:32634"), "EPSG:32633.* against .*EPSG:32634.*Warp"),
    (dict(cube=A * 100), "a fraction is at most 1. Divide it by 100"),
    (dict(cube=np.full_like(A, -9999)), "No pixel has a value in both"),
])
def test_a_reference_that_cannot_be_compared_is_said(options, sentence, estimate, tmp_path):
    with pytest.raises(UserError, match=sentence):
        run_tool("compareabundances", {"ABUNDANCES": estimate, "REFERENCE": reference(tmp_path, **options)})


@pytest.mark.parametrize("values, sentence", [
    ({}, "either a reference raster or reference points"),
    ({"POINTS": points(A[1])}, "Choose the field of the points"),
    ({"POINTS": points(A[1]), "FRACTIONFIELD": ["cover"], "MATCH": "name"}, "the reference has cover, and compared"),
    ({"POINTS": points(A[1]), "FRACTIONFIELD": ["cover"], "MATERIALS": "forest"}, "forest is no band .* water, tree"),
    ({"POINTS": points(A[1]), "FRACTIONFIELD": ["cover"] * 2, "MATERIALS": "tree"}, "there are 2: cover, cover"),
    ({"POINTS": points(A[1]), "FRACTIONFIELD": ["nope"]}, "no field nope. Choose one of: .*cover"),
])
def test_what_is_missing_or_unknown_is_said(values, sentence, estimate):
    with pytest.raises(UserError, match=sentence):
        run_tool("compareabundances", {"ABUNDANCES": estimate, **values})


def test_reports_hold_their_tables_and_plots(estimate, tmp_path):
    run_tool("compareabundances", {"ABUNDANCES": estimate, "REFERENCE": reference(tmp_path)},
             REPORT=tmp_path / "a.html")
    run_tool("compareendmembers", {"ENDMEMBERS": spectra(M, NAMES), "REFERENCE": spectra(M, NAMES)},
             REPORT=tmp_path / "e.html")
    assert "Abundance against reference" in (tmp_path / "a.html").read_text(encoding="utf-8")
    page = (tmp_path / "e.html").read_text(encoding="utf-8")
    assert "z-scored SAD (radians)" in page and "water (reference)" in page


M = np.abs(np.random.default_rng(4).normal(1, 0.4, (12, 3)))
X = np.linspace(400, 950, 12)


def test_the_angle_is_the_mean_over_pairs_and_blind_to_brightness():
    bent = M + 0.1 * np.random.default_rng(5).normal(size=M.shape)
    result, _ = run_tool("compareendmembers", {"ENDMEMBERS": spectra(7 * bent[:, [1, 2, 0]], ["a", "b", "c"]),
                                               "REFERENCE": spectra(M, NAMES)})
    assert result["numbers"]["SAD"] == pytest.approx(metrics.sad(M, bent).mean(), abs=1e-12)


def test_equal_names_are_partners_even_where_another_is_nearer():
    result, _ = run_tool("compareendmembers", {"ENDMEMBERS": spectra(M, NAMES), "MATCH": "name",
                                               "REFERENCE": spectra(M[:, [1, 0, 2]], NAMES)})
    swapped = metrics.sad(M, M[:, [1, 0, 2]]).mean()
    assert result["numbers"]["SAD"] == pytest.approx(swapped, abs=1e-12) and swapped > 0.1


def test_a_reference_on_another_grid_is_compared_where_both_have_values():
    fine = np.linspace(300, 800, 5001)
    lines = np.stack([fine, 1000 - fine, np.full_like(fine, 5.0)], axis=1)
    result, said = run_tool("compareendmembers", {
        "ENDMEMBERS": spectra(np.stack([X, 1000 - X, np.full_like(X, 5.0)], axis=1), NAMES, X),
        "REFERENCE": spectra(lines, NAMES, fine)})
    assert result["numbers"]["SAD"] < 1e-3
    assert "Compared over 9 of the endmembers' 12 bands: the others lack a value." in said


@pytest.mark.parametrize("other, sentence", [
    (spectra(M, NAMES, X + 2000), "400-950 nm, the reference 2400-2950 nm: they do not overlap"),
    (spectra(M[:5], NAMES), "12 values and the reference has 5"),
    (spectra(np.where(np.arange(12)[:, None] > 0, np.nan, M), NAMES, X), "share 1 bands in which all have values"),
    (spectra(M * [1, 0, 1], NAMES, X), "tree is zero in every band"),
])
def test_spectra_that_cannot_be_compared_are_said(other, sentence):
    with pytest.raises(UserError, match=sentence):
        run_tool("compareendmembers", {"ENDMEMBERS": spectra(M, NAMES, X), "REFERENCE": other})


def test_samson_has_the_papers_errors(scenes, tmp_path):
    folder = scenes / "samson"
    found, _ = run_tool("curhu", {"INPUT": folder / "samson_1.img", "COUNT": 3, "DENOISE": False},
                        ABUNDANCES=tmp_path / "a.tif", ENDMEMBERS=tmp_path / "e.gpkg")
    errors, _ = run_tool("compareabundances", {"ABUNDANCES": tmp_path / "a.tif",
                                               "REFERENCE": folder / "samson_reference_abundances.tif"})
    truth = spectra(np.loadtxt(folder / "samson_reference_endmembers.csv", delimiter=",", skiprows=1),
                    ["soil", "tree", "water"])
    angles, _ = run_tool("compareendmembers", {"ENDMEMBERS": found["spectra"]["ENDMEMBERS"], "REFERENCE": truth})
    assert round(errors["numbers"]["RMSE"], 4) == 0.1311
    assert round(angles["numbers"]["SAD"], 4) == 0.0604


def test_a_star_adds_up_every_name_that_starts_so():
    from subpixel.tools.check.compareabundances import meant
    assert meant("tree*", "Tree 12") and meant("TREE", "tree ")
    assert not meant("tree", "Tree 12") and not meant("tree*", "a tree")
