"""Maps and bands of spectra in reports."""

import json
import re

import numpy as np
import pytest

from subpixel.engine.report import Report, figures, stretches
from subpixel.engine.spectra import Spectra


def drawn(report):
    """The data of the report's only plot."""
    data = re.search(r'Plotly\.newPlot\(\s*"[^"]+",\s*(\[.*?\]),\s*\{', report.html({}), re.S)[1]
    return json.loads(data)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e5])
def test_maps_keep_four_digits_in_any_unit(scale):
    image = scale * np.linspace(0, 1, 12).reshape(3, 4)
    np.testing.assert_allclose(figures(image, scale), image, atol=1e-4 * scale)
    report = Report("t", "a")
    report.maps({"one": image, "two": image}, "unit")
    assert len(drawn(report)) == 2


def test_large_maps_are_thinned_and_many_are_drawn():
    report = Report("t", "a")
    report.maps({str(number): np.full((900, 1000), float(number)) for number in range(60)}, "unit")
    assert len(report.html({})) < 60 * 250 * 250 * 10


@pytest.mark.parametrize("count", [2, 7, 60])
def test_captions_of_maps_have_room_below_the_buttons(count):
    report, figures = Report("t", "a"), []
    report.plot = lambda figure, **size: (Report.plot(report, figure, **size), figures.append(figure))
    report.maps({str(number): np.eye(3) for number in range(count)}, "unit")
    assert figures[0].layout.margin.t == 50


def test_stretches_are_runs_of_numbers():
    assert stretches(np.array([np.nan, 1, 2, np.nan, 3])) == [(1, 3), (4, 5)]
    assert stretches(np.array([1.0, 2.0])) == [(0, 2)]
    assert stretches(np.array([np.nan])) == []


def test_bands_draw_a_reference_and_what_lies_around_it():
    M = np.linspace(0.1, 0.5, 20).reshape(10, 2)
    spectra = Spectra(["soil", "water"], M, np.linspace(400, 900, 10))
    report = Report("t", "a")
    report.bands(spectra, [np.stack([M[:, 0] - 0.05, M[:, 0], M[:, 0] + 0.05]), None], "caption")
    traces = drawn(report)
    assert [trace.get("fill") for trace in traces] == ["toself", None, None, None]
    assert [trace["line"].get("dash") for trace in traces] == [None, None, "dash", "dash"]
    assert [trace.get("showlegend") for trace in traces] == [False, None, False, True]
