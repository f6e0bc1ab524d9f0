"""The tool `abundanceprofile`: fractions over time at points and over polygons."""

import numpy as np
import pytest
from toolruns import TRANSFORM, point, raster, run_tool

import subpixel.engine.raster as engine_raster
from subpixel.engine.sentences import UserError

DATES = ("2020-03-01", "2020-05-15", "2020-09-30")
NAMES = ["water", "tree", "soil"]
ROWS, COLS, NODATA = 10, 12, -9999.0


def fractions():
    """Abundances (3 dates, 3, ROWS, COLS): a pixel and a part of a patch masked at a date, a corner at all."""
    A = np.random.default_rng(4).dirichlet(np.ones(3), (3, ROWS, COLS)).transpose(0, 3, 1, 2)
    A[:, :, 0, 0] = NODATA
    A[1, :, 5, 5] = NODATA
    A[1, :, 2, 2:4] = NODATA
    return A


def deviations():
    """Their standard deviations."""
    return 0.1 * np.random.default_rng(5).random((3, 3, ROWS, COLS))


def files(folder, cubes, stem="fractions", names=NAMES, dates=DATES, **options):
    return [{"path": str(raster(folder / f"{stem}_{date}.tif", cube, names, **options)), "crs": None}
            for date, cube in zip(dates, cubes)]


def at(row, col, **attributes):
    """A point in the middle of a pixel."""
    return point(*(TRANSFORM * (col + 0.5, row + 0.5)), **attributes)


def box(top, left, bottom, right, **attributes):
    """A polygon that holds the centres of rows top to bottom - 1 and columns left to right - 1."""
    corners = [(left, top), (right, top), (right, bottom), (left, bottom), (left, top)]
    return {"geometry": {"type": "Polygon", "coordinates": [[list(TRANSFORM * corner) for corner in corners]]},
            "id": 2, "attributes": attributes}


def profile(folder, features, images=None, **values):
    """Run the tool: the rows by (feature, date, endmember), and all that was said."""
    given = {"IMAGES": images or files(folder, fractions()), "FEATURES": {"features": features, "source": "places"}}
    result, said = run_tool("abundanceprofile", {**given, **values}, PROFILES=folder / "p.gpkg",
                            REPORT=folder / "report.html")
    rows = result["tables"]["PROFILES"]
    found = {(row["feature"], row["date"], row["endmember"]): row for row in rows}
    assert len(found) == len(rows)
    return found, said


def test_a_point_takes_its_pixel_and_a_polygon_its_mean(tmp_path):
    rows, _ = profile(tmp_path, [at(7, 3, name="tower"), box(6, 5, 9, 9, name="field")])
    A = fractions()
    assert len(rows) == 2 * 3 * 3
    for t, date in enumerate(DATES):
        for p, name in enumerate(NAMES):
            tower, field = rows["tower", date, name], rows["field", date, name]
            assert tower["fraction"] == pytest.approx(A[t, p, 7, 3], abs=1e-6) and tower["pixels"] == 1
            assert field["fraction"] == pytest.approx(A[t, p, 6:9, 5:9].mean(), abs=1e-6) and field["pixels"] == 12
            assert field["spread"] == pytest.approx(A[t, p, 6:9, 5:9].std(), abs=1e-6)
            assert np.isnan(tower["spread"]) and np.isnan(tower["sd"]) and np.isnan(field["sd"])
        for feature in ("tower", "field"):
            assert sum(rows[feature, date, name]["fraction"] for name in NAMES) == pytest.approx(1, abs=1e-6)


def test_uncertainty_is_the_pixels_or_the_mean_of_the_pixels(tmp_path):
    rows, said = profile(tmp_path, [at(7, 3, name="tower"), box(6, 5, 9, 9, name="field"), at(5, 5, name="gap")],
                         UNCERTAINTY=files(tmp_path, deviations(), "sd"))
    sd = deviations()
    for t, date in enumerate(DATES):
        for p, name in enumerate(NAMES):
            assert rows["tower", date, name]["sd"] == pytest.approx(sd[t, p, 7, 3], abs=1e-6)
            assert rows["field", date, name]["sd"] == pytest.approx(sd[t, p, 6:9, 5:9].mean(), abs=1e-6)
            assert np.isnan(rows["gap", date, name]["sd"]) == (t == 1), "no error where there is no fraction"
    assert f"{DATES[1]}: sd_{DATES[1]}.tif (date from its name)" in said
    assert "Band: one standard deviation of the fraction" in (tmp_path / "report.html").read_text()


def test_a_date_of_nodata_is_a_row_without_a_value_and_a_gap(tmp_path):
    rows, said = profile(tmp_path, [at(5, 5, name="tower"), box(2, 2, 3, 6, name="field"), box(2, 2, 3, 4, name="all")])
    A = fractions()
    for feature in ("tower", "all"):
        gap = rows[feature, DATES[1], "tree"]
        assert np.isnan(gap["fraction"]) and gap["pixels"] == 0
        assert np.isfinite(rows[feature, DATES[2], "tree"]["fraction"])
    assert [rows["field", date, "soil"]["pixels"] for date in DATES] == [4, 2, 4]
    assert rows["field", DATES[1], "soil"]["fraction"] == pytest.approx(A[1, 2, 2, 4:6].mean(), abs=1e-6)
    assert "2 features have dates at which all their pixels are nodata: their curves have gaps." in said


def test_features_outside_and_on_nodata_are_counted_and_said(tmp_path):
    rows, said = profile(tmp_path, [at(7, 3, name="in"), at(-1, 3, name="out"), box(30, 30, 40, 40, name="far"),
                                    at(0, 0, name="corner"), box(8, 10, 20, 30, name="half")])
    assert {feature for feature, _, _ in rows} == {"in", "half"}
    assert rows["half", DATES[0], "tree"]["pixels"] == 4
    assert "Left out 2 features that lie outside the images." in said
    assert "Left out 1 features on pixels that are nodata at every date." in said
    with pytest.raises(UserError, match="None of the 3 features has a value: 2 lie outside the images, and 1 on"):
        profile(tmp_path, [at(-1, 3), at(3, 99), at(0, 0)])


def test_names_come_from_the_field_or_are_numbers_and_are_distinct(tmp_path):
    places = [at(7, 3, plot="a", year=7.0), at(7, 4, plot="a", year=None), at(7, 5, plot="b", year=9.5)]
    names = [list(dict.fromkeys(feature for feature, _, _ in profile(tmp_path, places, **field)[0]))
             for field in ({"NAMEFIELD": "plot"}, {"NAMEFIELD": "year"}, {})]
    assert names == [["a", "a (2)", "b"], ["7", "feature 1", "9.5"], ["feature 1", "feature 1 (2)", "feature 1 (3)"]]
    with pytest.raises(UserError, match="The features have no field height. Choose one of: plot, year."):
        profile(tmp_path, places, NAMEFIELD="height")


def test_no_features_and_lines_are_sentences(tmp_path):
    with pytest.raises(UserError, match="The layer of points or polygons has no features"):
        profile(tmp_path, [])
    line = {"geometry": {"type": "LineString", "coordinates": [[0, 0], [1, 1]]}, "id": 1, "attributes": {}}
    with pytest.raises(UserError, match="A sample is a LineString; samples must be points or polygons"):
        profile(tmp_path, [line])


def test_multipart_features_are_one_and_small_polygons_take_what_they_touch(tmp_path):
    parts = {"geometry": {"type": "MultiPoint", "coordinates": [at(7, 3)["geometry"]["coordinates"],
                                                               at(8, 4)["geometry"]["coordinates"]]},
             "id": 1, "attributes": {"name": "both"}}
    rows, _ = profile(tmp_path, [parts, box(7.1, 3.1, 7.3, 3.3, name="small")])
    A = fractions()
    assert rows["both", DATES[0], "tree"]["fraction"] == pytest.approx((A[0, 1, 7, 3] + A[0, 1, 8, 4]) / 2, abs=1e-6)
    assert rows["small", DATES[0], "tree"]["fraction"] == pytest.approx(A[0, 1, 7, 3], abs=1e-6)


def test_small_blocks_give_what_large_ones_do(tmp_path, monkeypatch):
    features = [at(7, 3, name="tower"), box(1, 1, 9, 9, name="field")]
    images, sd = files(tmp_path, fractions()), files(tmp_path, deviations(), "sd")
    whole, _ = profile(tmp_path, features, images, UNCERTAINTY=sd)
    monkeypatch.setattr(engine_raster, "BLOCK_VALUES", 3 * 20)
    parts, _ = profile(tmp_path, features, images, UNCERTAINTY=sd)
    for key, row in whole.items():
        for name in ("fraction", "sd", "spread", "pixels"):
            assert parts[key][name] == pytest.approx(row[name], abs=1e-7, nan_ok=True)


@pytest.mark.parametrize("options, words", [
    ({"dates": ("2020-03-01", "2020-05-15", "2020-10-01")}, "no raster of 2020-09-30: its dates are 2020-03-01, 2020-"),
    ({"names": ["water", "soil", "rock"]}, "fractions_2020-03-01.tif has the bands water, tree, soil, and sd_2020-03"),
    ({"transform": TRANSFORM.translation(500000, 0)}, "fractions_2020-03-01.tif and sd_2020-03-01.tif are not on one")])
def test_uncertainty_that_does_not_belong_is_refused(options, words, tmp_path):
    with pytest.raises(UserError) as problem:
        profile(tmp_path, [at(7, 3)], UNCERTAINTY=files(tmp_path, deviations(), "sd", **options))
    assert words in str(problem.value) and not (tmp_path / "report.html").exists()


def test_dates_given_hold_for_the_uncertainty_too(tmp_path):
    rows, _ = profile(tmp_path, [at(7, 3, name="tower")], DATES="2001-01-01, 2002-01-01, 2003-01-01T10:30",
                      UNCERTAINTY=files(tmp_path, deviations(), "sd", dates=("a", "b", "c")))
    assert sorted({date for _, date, _ in rows}) == ["2001-01-01", "2002-01-01", "2003-01-01T10:30"]
    assert rows["tower", "2003-01-01T10:30", "tree"]["sd"] == pytest.approx(deviations()[2, 1, 7, 3], abs=1e-6)
    with pytest.raises(UserError, match="There are 3 dates for 2 images"):
        profile(tmp_path, [at(7, 3)], DATES="2001-01-01, 2002-01-01, 2003-01-01",
                UNCERTAINTY=files(tmp_path, deviations()[:2], "sd"))


def test_a_superfluous_date_of_uncertainty_is_not_used(tmp_path):
    rows, _ = profile(tmp_path, [at(7, 3, name="tower")], files(tmp_path, fractions()[[0, 2]], dates=DATES[::2]),
                      UNCERTAINTY=files(tmp_path, deviations(), "sd"))
    assert rows["tower", DATES[2], "soil"]["sd"] == pytest.approx(deviations()[2, 2, 7, 3], abs=1e-6)


def test_bands_are_matched_by_name_and_other_names_refused(tmp_path):
    turned = [2, 0, 1]
    names = [NAMES[band] for band in turned]

    def profiles(number, values):
        """The images, and deviations, with the bands of one date in another order."""
        given = files(tmp_path, values, f"set{number}")
        given[2]["path"] = str(raster(tmp_path / f"turned{number}_{DATES[2]}.tif", values[2][turned], names))
        return given

    feature = [at(7, 3, name="tower")]
    straight, _ = profile(tmp_path, feature, UNCERTAINTY=files(tmp_path, deviations(), "sd"))
    rows, _ = profile(tmp_path, feature, profiles(1, fractions()), UNCERTAINTY=profiles(2, deviations()))
    for key, row in straight.items():
        assert all(rows[key][name] == pytest.approx(row[name], abs=1e-6) for name in ("fraction", "sd", "pixels"))
    images = files(tmp_path, fractions())
    images[2]["path"] = str(raster(tmp_path / "third_2020-09-30.tif", fractions()[2], ["water", "forest", "soil"]))
    with pytest.raises(UserError, match="third_2020-09-30.tif has water, forest, soil. Choose rasters of the same"):
        profile(tmp_path, feature, images)


def test_images_instead_of_abundances_are_warned_of(tmp_path):
    _, said = profile(tmp_path, [at(7, 3)], files(tmp_path, 1000 * np.abs(fractions())))
    assert any("is this an abundance raster and not the image itself?" in words for words in said)


def test_another_warning_does_not_keep_that_back(tmp_path):
    clouded = np.full((1, *fractions().shape[1:]), -9999.0)
    values = np.concatenate([1000 * np.abs(fractions()), clouded])
    _, said = profile(tmp_path, [at(7, 3)], files(tmp_path, values, dates=(*DATES, "2020-12-01")))
    assert any("Left out" in words for words in said)
    assert sum("is this an abundance raster and not the image itself?" in words for words in said) == 1


def test_too_many_rows_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("subpixel.tools.multitemporal.abundanceprofile.ROWS", 17)
    with pytest.raises(UserError, match="2 features at 3 dates with 3 endmembers make 18 rows, and a table holds 17"):
        profile(tmp_path, [at(7, 3), at(7, 4)])


def test_the_report_has_a_plot_for_each_of_the_first_features(tmp_path, monkeypatch):
    places = [at(row, col, name=f"plot {row} {col}") for row in range(1, 9) for col in range(1, 11)]
    profile(tmp_path, places)
    words = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert words.count("Plotly.newPlot") == 20 and "The first 20 of 80 features are shown" in words
    assert "plot 1 1" in words and words.count("2020-09-30") > 20
    rows, _ = profile(tmp_path, [box(6, 5, 9, 9, name="field <A>")])
    words = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "field &lt;A&gt;: 12 pixels, mean" in words and "standard deviation of the polygon" in words
    first, last = (rows["field <A>", date, "water"]["fraction"] for date in DATES[::2])
    assert f"<td>{last - first:.4g}</td>" in words
