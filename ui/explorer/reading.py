"""All that the explorer knows of one pixel, read from the chosen layers."""

from dataclasses import dataclass, field
from functools import cached_property

from qgis.core import QgsProcessingFeedback

from ...engine import dates, palette
from ...engine.bands import axis_of, is_profile, names_of
from ...processing_provider.features import spectra_features
from ...processing_provider.words import tr
from . import fit
from .pixels import NothingThere, values_at


@dataclass
class Choice:
    """The layers to look at, each None where none is chosen; sequences are `sequences.Sequence`s."""

    image: object = None
    endmembers: object = None
    abundances: object = None
    sequence: object = None
    uncertainty: object = None


@dataclass
class Series:
    """Values of the bands of dated rasters: of each name a list, None where nodata; deviations likewise, or None."""

    dates: list
    values: dict
    deviations: dict


@dataclass
class Reading:
    """A pixel: its spectrum, the mixture by its fractions, and its fractions over time."""

    point: object
    crs: object
    image: str
    facts: object
    values: list
    endmembers: dict = field(default_factory=dict)
    fractions: dict = field(default_factory=dict)
    mixture: list = None
    series: Series = None
    notes: list = field(default_factory=list)

    @cached_property
    def spectrum(self):
        """Its values in the bands that count: None where they are bad."""
        return [None if bad else value for value, bad in zip(self.values, self.facts.bad)]

    @property
    def place(self):
        """Where it is, in words."""
        digits = 4 if self.crs.isGeographic() else 1
        return f"{self.point.x():.{digits}f}, {self.point.y():.{digits}f}"

    @property
    def rmse(self):
        """Of the mixture; None where there is none."""
        return self.mixture and fit.rmse(self.spectrum, self.mixture)

    @property
    def angle(self):
        """Between spectrum and mixture, in degrees; None where there is none."""
        return self.mixture and fit.angle(self.spectrum, self.mixture)

    @cached_property
    def colours(self):
        """The colour of each endmember, fraction and band of the series, by name."""
        names = list(dict.fromkeys([*self.endmembers, *self.fractions, *(self.series.values if self.series else ())]))
        return dict(zip(names, palette.colours(names)))

    @property
    def profile(self):
        """Its spectrum as layers of spectra hold it, without bands that have no value or are bad."""
        pairs = [(x, value) for x, value in zip(self.facts.x, self.spectrum) if value is not None]
        return {"x": [round(x, 6) for x, _ in pairs], "y": [value for _, value in pairs],
                "xUnit": "Nanometers" if self.facts.wavelengths else "Band Number"}


def read(choice, point, crs, rasters, project):
    """
    The `Reading` of a point in a CRS. What cannot be read of other layers than the image stands in its `notes`.

    Raises NothingThere where the image has no values.
    """
    if choice.image is None:
        raise NothingThere(tr("Choose a hyperspectral image first."))
    values = values_at(choice.image, point, crs)
    reading = Reading(point, crs, choice.image.name(), rasters.facts(choice.image), values)
    if choice.endmembers is not None:
        _add_endmembers(reading, choice.endmembers)
    if choice.abundances is not None:
        _add_fractions(reading, choice.abundances, rasters)
    if choice.sequence is not None:
        reading.series = _series(choice, point, crs, rasters, project)
        if not any(value is not None for course in reading.series.values.values() for value in course):
            reading.notes.append(tr("{layer} has no data at this pixel at any date.").format(
                layer=choice.sequence.name))
            reading.series = None
    return reading


def _add_endmembers(reading, layer):
    features = spectra_features(layer, QgsProcessingFeedback(False))["features"]
    unreadable = []
    for name, feature in zip(names_of(features), features):
        try:
            values = _on_bands(feature["profile"], reading)
        except ValueError:
            values = []
        if any(value is not None for value in values):
            reading.endmembers[name] = values
        else:
            unreadable.append(name)
    if unreadable:
        reading.notes.append(tr("{layer}: no spectrum that fits the image's bands in {names}. Choose endmembers of "
                                "this image, or with wavelengths.").format(
                                    layer=layer.name(), names=_listed(unreadable)))


def _on_bands(profile, reading):
    """A profile's values on the image's bands. Raises ValueError where nothing says which are whose."""
    if not is_profile(profile):
        raise ValueError
    (x, wavelengths), y = axis_of(profile), profile["y"]
    if len(x) != len(y):
        raise ValueError
    if wavelengths and reading.facts.wavelengths:
        return fit.resampled(x, y, reading.facts.wavelengths)
    used = [value is not None for value in reading.spectrum]
    numbered = {} if wavelengths else {round(number): value for number, value in zip(x, y)}
    if all(number in numbered for number, use in enumerate(used, 1) if use):
        return [numbered.get(number) for number in range(1, len(used) + 1)]
    if len(y) == len(used):
        return list(y)
    if len(y) == sum(used):
        values = iter(y)
        return [next(values) if use else None for use in used]
    raise ValueError


def _add_fractions(reading, layer, rasters):
    try:
        values = values_at(layer, reading.point, reading.crs)
    except NothingThere as problem:
        reading.notes.append(str(problem))
        return
    reading.fractions = {name: value for name, value in zip(rasters.facts(layer).names, values) if value is not None}
    if not reading.endmembers:
        return
    unknown = [name for name in reading.fractions if name not in reading.endmembers]
    if unknown:
        reading.notes.append(tr("No endmember is called {names}, so there is no mixture to compare with. Choose the "
                                "endmembers that {layer} was made with.").format(
                                    names=_listed(unknown), layer=layer.name()))
    else:
        reading.mixture = fit.mixed(reading.fractions, reading.endmembers)


def _series(choice, point, crs, rasters, project):
    days = list(choice.sequence.layers)

    def courses(sequence):
        rows = []
        for day in days:
            layer = project.mapLayer(sequence.layers[day])
            try:
                rows.append(values_at(layer, point, crs) if layer else [None] * len(sequence.bands))
            except NothingThere:
                rows.append([None] * len(sequence.bands))
        return {name: list(course) for name, course in zip(sequence.bands, zip(*rows))}

    return Series(days, courses(choice.sequence), choice.uncertainty and courses(choice.uncertainty))


def words_of(reading):
    """What stands above the plot: the place, and how well the mixture fits."""
    place = tr("{image} at {point}").format(image=reading.image, point=reading.place)
    if reading.rmse is None or reading.angle is None:
        return place
    return tr("{place}. Mixture: RMSE {rmse}, spectral angle {angle}°").format(
        place=place, rmse=f"{reading.rmse:.4g}", angle=f"{reading.angle:.2f}")


def words_of_date(date):
    """A date as the tools write it."""
    return dates.written(date)


def _listed(names):
    return ", ".join(names[:5]) + ("..." if len(names) > 5 else "")
