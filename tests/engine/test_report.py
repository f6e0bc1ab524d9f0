"""The report: one file that needs nothing else, in which no name can do harm."""

import base64
import re

import numpy as np
import plotly.graph_objects as go
import pytest
from rasterio.io import MemoryFile
from toolruns import spectra

from subpixel.engine.report import Report, text
from subpixel.engine.sentences import sentence_of

EVIL = 'a</script><script>alert("1")</script><b>&'


def page(*parts, run=None):
    """A report with these parts: functions that take it."""
    report = Report("Title", "About")
    for part in parts:
        part(report)
    return report.html(run or {})


def traces(page_):
    """The y values of every line drawn, as plotly's JSON has them."""
    return re.findall(r'"y":(\[[^\]]*\]|\{[^}]*\})', page_.rsplit("Plotly.newPlot", 1)[1])


def test_it_is_a_whole_page_with_title_and_origin():
    written = page(run={"Tool": "subpixel:x", "COUNT": 3})
    assert written.startswith("<!DOCTYPE html>") and written.endswith("</html>")
    assert "<title>Title</title>" in written and "<h1>Title</h1>" in written and 'charset="utf-8"' in written
    assert "<tr><td>Tool</td><td>subpixel:x</td></tr><tr><td>COUNT</td><td>3</td></tr>" in written


def test_parts_stand_in_the_order_in_which_they_were_given():
    written = page(lambda r: r.heading("first"), lambda r: r.paragraph("second", "warning"),
                   lambda r: r.table(["third"], [["fourth", 5]]), lambda r: r.numbers(Mean_error=0.123456))
    places = [written.index(part) for part in (
        "<h2>first</h2>", '<p class="warning">second</p>', "<th>third</th>", "<td>fourth</td><td>5</td>",
        "<div>0.1235<span>Mean error</span></div>")]
    assert places == sorted(places)


def test_it_needs_nothing_from_elsewhere_and_brings_plotly_once():
    written = page(*[lambda r: r.curve([1, 2], [3, 4], "c", "x", "y", mark=2)] * 3,
                   lambda r: r.picture(np.zeros((3, 4, 5), "uint8"), "p"))
    assert not re.search(r'<(script|img|link)[^>]*(src|href)="(?!data:)', written)
    assert written.count("Plotly.newPlot(") == 3 + single(written)
    assert len(written) < 2 * len(page(lambda r: r.curve([1, 2], [3, 4], "c", "x", "y")))


def single(written):
    """How often plotly's own script mentions the call."""
    return page(lambda r: r.curve([1], [1], "c", "x", "y")).count("Plotly.newPlot(") - 1


def test_without_a_plot_it_is_small():
    assert len(page(lambda r: r.heading("h"))) < 10_000


@pytest.mark.parametrize("part", [
    lambda r: r.heading(EVIL), lambda r: r.paragraph(EVIL), lambda r: r.table([EVIL], [[EVIL]]),
    lambda r: r.numbers(**{EVIL: EVIL}), lambda r: r.picture(np.zeros((3, 1, 1), "uint8"), EVIL),
    lambda r: r.spectra(spectra([[1], [2]], [EVIL]), EVIL), lambda r: r.curve([1], [2], EVIL, "x", "y")])
def test_a_name_is_only_words(part):
    assert "<script>alert" not in page(part)
    assert "<script>alert" not in Report(EVIL, EVIL).html({EVIL: EVIL})


@pytest.mark.parametrize("value, words", [
    (0.123456, "0.1235"), (np.float32(1e-7), "1e-07"), (123456.0, "1.235e+05"), (7, "7"), (np.int64(7), "7"),
    (True, "yes"), (np.False_, "no"), (np.nan, "&ndash;"), (np.inf, "&ndash;"), ("<é>", "&lt;é&gt;"), (None, "None")])
def test_cells_are_short_and_safe(value, words):
    assert text(value) == words


def test_spectra_are_lines_in_their_colours_broken_where_bands_are_missing():
    figures = []
    report = Report("t", "a")
    report.plot = figures.append
    x = [400, 410, 420, 1000, 430]
    report.spectra(spectra(np.transpose([[1, 2, 3, 5, 4], [6, 7, 8, 10, 9]]), ["water", "tree"], x))
    water, tree = figures[0].data
    assert (water.name, tree.name) == ("water", "tree") and water.line.color == "#2b7bba"
    np.testing.assert_array_equal(water.x, [400, 410, 420, 430, np.nan, 1000])
    np.testing.assert_array_equal(water.y, [1, 2, 3, 4, np.nan, 5])
    assert figures[0].layout.xaxis.title.text == "Wavelength (nm)"


@pytest.mark.parametrize("count", [1, 2])
def test_few_bands_without_wavelengths_can_be_drawn(count):
    figures = []
    report = Report("t", "a")
    report.plot = figures.append
    report.spectra(spectra(np.ones((count, 1))))
    assert figures[0].layout.xaxis.title.text == "Band" and len(figures[0].data[0].y) == count


def test_a_curve_marks_the_chosen_position_on_a_logarithmic_axis_where_asked():
    figures = []
    report = Report("t", "a")
    report.plot = figures.append
    report.curve(range(3), (9, 5, 1), "Eigenvalues", "Component", "Value", mark=2, logarithmic=True)
    assert figures[0].layout.shapes[0].x0 == 2 and figures[0].layout.yaxis.type == "log"
    assert list(figures[0].data[0].y) == [9, 5, 1]


@pytest.mark.parametrize("y, step", [((9, 2000, 1), 1), ((4.1, 5.6, 5.7), None), ((0, 5.6, np.nan), None)])
def test_a_short_logarithmic_axis_is_not_left_without_numbers(y, step):
    figures = []
    report = Report("t", "a")
    report.plot = figures.append
    report.curve(range(3), y, "Values", "Iteration", "Value", logarithmic=True)
    assert figures[0].layout.yaxis.dtick == step


def test_a_picture_is_in_the_file_pixel_by_pixel():
    rgb = np.random.default_rng(1).integers(0, 255, (3, 6, 4)).astype("uint8")
    written = page(lambda r: r.picture(rgb, "A map"))
    data = base64.b64decode(re.search(r'src="data:image/png;base64,([^"]+)"', written).group(1))
    with MemoryFile(data) as memory, memory.open() as image:
        assert np.array_equal(image.read(), rgb)
    assert '<img width="500"' in written and "<figcaption>A map</figcaption>" in written


def test_a_plot_of_ones_own_gets_the_reports_look():
    figure = go.Figure(go.Scatter(y=[1, 2]))
    page(lambda r: r.plot(figure, height=200))
    assert figure.layout.height == 200 and figure.layout.legend.orientation == "h"


def test_curves_are_broken_where_a_wavelength_or_a_value_is_missing():
    figures = []
    report = Report("t", "a")
    report.plot = figures.append
    report.curves([500, 520, 510, 600], {"a": [1, None, 3, 4], "b": [np.nan, 2, 3, 4]}, "Wavelength (nm)", "Value")
    report.curves([1, 2], {"alone": [1, 2]}, "Band")
    first, second = figures[0].data
    assert (first.name, second.name, first.showlegend) == ("a", "b", True) and not figures[1].data[0].showlegend
    np.testing.assert_array_equal(first.x, [500, 510, 520, np.nan, 600])
    np.testing.assert_array_equal(first.y, [1, 3, np.nan, np.nan, 4])
    np.testing.assert_array_equal(second.y, [np.nan, 3, 2, np.nan, 4])
    assert figures[0].layout.xaxis.title.text == "Wavelength (nm)" and figures[0].layout.yaxis.title.text == "Value"
    assert figures[1].layout.yaxis.title.text is None


@pytest.mark.parametrize("words, sentence", [
    ("the scene is small", "The scene is small."), ("Nothing left!", "Nothing left!"), ("P3 is wrong.", "P3 is wrong."),
    ("", "")])
def test_an_error_is_said_as_a_sentence(words, sentence):
    assert sentence_of(ValueError(words)) == sentence


def test_a_history_has_a_band_around_it_and_what_was_measured_as_points():
    figures = []
    report = Report("t", "a")
    report.plot = figures.append
    dates = ["2020-01-01", "2020-02-01", "2020-03-01"]
    report.history(dates, {"tree": [1, 2, 3]}, "Fraction", {"tree": [1, 1, 2]}, {"tree": [1.5, np.nan, 2.5]})
    band, line, points = figures[0].data
    np.testing.assert_array_equal(band.y, [0, 1, 1, 5, 3, 2])
    assert line.mode == "lines" and points.mode == "markers" and points.marker.color == line.line.color
    np.testing.assert_array_equal(points.y, [1.5, np.nan, 2.5])
    report.history(dates, {"tree": [1, 2, 3]}, "Fraction", {"tree": [1, 1, 2]}, limits=(0.5, 4))
    np.testing.assert_array_equal(figures[1].data[0].y, [0.5, 1, 1, 4, 3, 2])
