"""What of a reading, and of pinned ones, is drawn."""

from datetime import datetime

from ...processing_provider.words import tr
from . import fit
from .plot import Bars, Chart, Line
from .reading import words_of_date

MOST = 12            # endmembers, fractions or bands drawn at once
MIXTURE = "#e31a1c"
SPECTROMETERS = 4    # of one instrument, whose wavelengths may overlap
THIN, MIDDLE, THICK = 1.0, 1.6, 2.2


def charts_of(shown, pins):
    """Charts of the reading `shown` (or None) and of pins, `(name, colour, reading)`, of which it may be one."""
    readings = [reading for _, _, reading in pins] + ([shown] if shown else [])
    if not readings:
        return []
    charts = [_spectra(shown or readings[0], shown, pins)]
    if shown and shown.fractions:
        charts.append(_bars(shown))
    if shown and shown.series:
        charts.append(_courses(shown))
    return charts


def _spectra(axis, shown, pins):
    """The spectra that stand on one axis with that of the reading `axis`."""
    lines = []
    if shown:
        names = sorted(shown.endmembers, key=lambda name: -shown.fractions.get(name, 0))[:MOST]
        listed = not set(names) <= set(shown.fractions)   # the bars tell the colours
        lines += [_line(name, shown.colours[name], shown, shown.endmembers[name], THIN, listed=listed)
                  for name in shown.endmembers if name in names]
    lines += [_line(name, colour, reading, reading.spectrum, MIDDLE) for name, colour, reading in pins
              if reading is not shown and bool(reading.facts.wavelengths) == bool(axis.facts.wavelengths)]
    if shown:
        own = next(((name, colour) for name, colour, reading in pins if reading is shown), (tr("Pixel"), ""))
        lines.append(_line(*own, shown, shown.spectrum, THICK))
        if shown.mixture:
            lines.append(_line(tr("Mixture"), MIXTURE, shown, shown.mixture, MIDDLE, dashed=True))
    return Chart(lines, tr("Wavelength (nm)") if axis.facts.wavelengths else tr("Band"), tr("Value"), _masked(axis))


def _line(name, colour, reading, values, width, dashed=False, listed=True):
    """
    A spectrum as a curve with gaps: where bands do not count, and where wavelengths leave some out or run back.

    They run back where a second spectrometer begins; where they do so again and again, they are sorted instead.
    """
    points = [(x, value if used is not None else None)
              for x, value, used in zip(reading.facts.x, values, reading.spectrum)]
    if sum(after < x for (x, _), (after, _) in zip(points, points[1:])) > SPECTROMETERS:
        points.sort(key=lambda point: point[0])
    widest, drawn = fit.gap(sorted(reading.facts.x)), points[:1]
    for (x, _), point in zip(points, points[1:]):
        if not 0 <= point[0] - x <= widest:
            drawn.append(((x + point[0]) / 2, None))
        drawn.append(point)
    x, y = zip(*drawn)
    return Line(name, colour, list(x), list(y), width, dashed, listed=listed)


def _masked(reading):
    """Ranges of the axis whose bands are bad or have no value, each to halfway to its neighbours."""
    points = sorted(zip(reading.facts.x, [value is None for value in reading.spectrum]))
    ranges = []
    for number, (x, masked) in enumerate(points):
        if masked:
            before = points[number - 1][0] if number else x
            after = points[number + 1][0] if number + 1 < len(points) else x
            begin, end = (before + x) / 2, (x + after) / 2
            if ranges and ranges[-1][1] == begin:
                begin = ranges.pop()[0]
            ranges.append((begin, end))
    return ranges


def _bars(reading):
    names = sorted(reading.fractions, key=lambda name: -reading.fractions[name])[:MOST]
    rows = [(name, reading.colours[name], value) for name, value in reading.fractions.items() if name in names]
    return Bars(tr("Fractions"), rows)


def _courses(reading):
    """Values of dated rasters over time, of the bands that are largest at some date."""
    series = reading.series
    x = [(date - datetime(1970, 1, 1)).total_seconds() for date in series.dates]
    heights = {name: max((value for value in course if value is not None), default=None)
               for name, course in series.values.items()}
    names = sorted((name for name, height in heights.items() if height is not None), key=lambda name: -heights[name])
    lines = []
    for name, course in series.values.items():
        if name in names[:MOST]:
            spread = series.deviations and series.deviations.get(name)
            lines.append(Line(name, reading.colours[name], x, course, MIDDLE, dots=True,
                              spread=spread and [0.0 if each is None else each for each in spread],
                              listed=not set(names[:MOST]) <= set(reading.fractions)))
    chart = Chart(lines, tr("Date"), tr("Value"), ticks=[(place, words_of_date(date))
                                                         for place, date in zip(x, series.dates)])
    if set(series.values) <= set(reading.fractions) | set(reading.endmembers):
        chart.y_label, chart.floor, chart.ceiling = tr("Fraction"), 0.0, 1.0
    return chart
