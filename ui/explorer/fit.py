"""How well endmembers and their fractions explain a spectrum, with the standard library alone."""

import bisect
import math
import statistics

from ...engine.bands import GAP, SAME_WAVELENGTH


def gap(x):
    """From which step on sorted positions leave a gap."""
    steps = [later - earlier for earlier, later in zip(x, x[1:]) if later > earlier]
    return GAP * statistics.median(steps) if len(steps) > 1 else math.inf


def resampled(x, y, centres):
    """Values `y` (perhaps None) at `x`, interpolated linearly at `centres`; None in gaps and beyond the ends."""
    if len(x) == len(centres) and all(abs(place - centre) <= SAME_WAVELENGTH for place, centre in zip(x, centres)):
        return list(y)
    points = dict(sorted((place, value) for place, value in zip(x, y) if value is not None and math.isfinite(place)))
    places, values = list(points), list(points.values())
    widest, result = gap(places), []
    for centre in centres:
        after = bisect.bisect_left(places, centre)
        near = places[max(after - 1, 0):after + 1]
        if len(near) == 2 and near[1] - near[0] <= widest:
            share = (centre - near[0]) / (near[1] - near[0])
            result.append(values[after - 1] + share * (values[after] - values[after - 1]))
        else:
            reached = [place for place in near if abs(place - centre) <= SAME_WAVELENGTH]
            result.append(points[reached[0]] if reached else None)
    return result


def mixed(fractions, spectra):
    """Sum of spectra weighted by fractions, both by name; None where a spectrum has no value."""
    columns = [(fraction, spectra[name]) for name, fraction in fractions.items()]
    return [None if any(column[band] is None for _, column in columns)
            else sum(fraction * column[band] for fraction, column in columns) for band in range(len(columns[0][1]))]


def rmse(first, second):
    """Root mean squared difference of two spectra where both have a value; None where nowhere."""
    pairs = _pairs(first, second)
    return math.sqrt(sum((a - b) ** 2 for a, b in pairs) / len(pairs)) if pairs else None


def angle(first, second):
    """Spectral angle in degrees of two spectra where both have a value; None where it has no meaning."""
    pairs = _pairs(first, second)
    norms = math.sqrt(sum(a * a for a, _ in pairs) * sum(b * b for _, b in pairs))
    return math.degrees(math.acos(max(-1, min(1, sum(a * b for a, b in pairs) / norms)))) if norms > 0 else None


def _pairs(first, second):
    return [(a, b) for a, b in zip(first, second) if a is not None and b is not None]
