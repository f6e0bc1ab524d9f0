"""The numbers behind the plots as CSV files."""

import csv
from pathlib import Path

from ...engine.bands import unique
from .reading import words_of_date


def write_tables(path, readings):
    """
    Write readings, pairs of a name and a `Reading`, to a CSV file and others beside it; gives the files' paths.

    The first has a row per wavelength (or band) and a column per spectrum: the pixel, its mixture and, once each, the
    endmembers. `_fractions` has a row per pixel, `_series` one per pixel and date.
    """
    path = Path(path)
    names = unique([name for name, _ in readings])
    pixels = [(name, reading) for name, (_, reading) in zip(names, readings)]
    written = [_write(path, _spectra(pixels))]
    for ending, rows in (("fractions", _fractions(pixels)), ("series", _series(pixels))):
        if len(rows) > 1:
            written.append(_write(path.with_name(f"{path.stem}_{ending}.csv"), rows))
    return written


def _write(path, rows):
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["" if value is None else value for value in row] for row in rows])
    return str(path)


def _spectra(pixels):
    axis = "wavelength_nm" if all(reading.facts.wavelengths for _, reading in pixels) else "band"
    columns, bad = {}, {}

    def along(reading, values):
        return dict(zip(reading.facts.wavelengths if axis == "wavelength_nm" else range(1, len(values) + 1), values))

    for name, reading in pixels:
        columns[name] = along(reading, reading.values)
        if reading.mixture:
            columns[f"{name} mixture"] = along(reading, reading.mixture)
        for x, flag in along(reading, reading.facts.bad).items():
            bad[x] = bad.get(x, False) or flag
    for _, reading in pixels:
        for endmember, values in reading.endmembers.items():
            columns.setdefault(f"endmember {endmember}", along(reading, values))
    return [[axis, "bad", *columns]] + [[x, int(bad[x]), *(column.get(x) for column in columns.values())]
                                        for x in sorted(bad)]


def _fractions(pixels):
    pixels = [(name, reading) for name, reading in pixels if reading.fractions]
    names = list(dict.fromkeys(name for _, reading in pixels for name in reading.fractions))
    return [["pixel", "x", "y", "crs", "rmse", "angle_degrees", *names]] + [
        [name, reading.point.x(), reading.point.y(), reading.crs.authid(), reading.rmse, reading.angle,
         *(reading.fractions.get(each) for each in names)] for name, reading in pixels]


def _series(pixels):
    pixels = [(name, reading) for name, reading in pixels if reading.series]
    names = list(dict.fromkeys(name for _, reading in pixels for name in reading.series.values))
    deviations = [name for name in names if any(reading.series.deviations for _, reading in pixels)]
    rows = [["pixel", "date", *names, *(f"{name} sd" for name in deviations)]]
    for name, reading in pixels:
        for number, date in enumerate(reading.series.dates):
            def at(courses, each, number=number):
                return courses[each][number] if courses and each in courses else None
            rows.append([name, words_of_date(date), *(at(reading.series.values, each) for each in names),
                         *(at(reading.series.deviations, each) for each in deviations)])
    return rows
