"""
How a tool is declared: what it asks for, what it gives, and where its method comes from.

Only the standard library is used here, so QGIS can list every tool without numpy. The Processing algorithm, the job's
validation and the help are all made from these declarations.
"""

import math
from dataclasses import dataclass
from enum import Enum


LARGEST = 2 ** 31 - 1   # whole number that QGIS hands on as it is


class Group(Enum):
    """The question that a tool answers, in the order of the work."""

    PREPARE = "Prepare a scene"
    RANK = "How many materials"
    ENDMEMBERS = "Which materials"
    ABUNDANCES = "How much of each"
    BLIND = "Which and how much at once"
    SEPARATION = "Wanted and background"
    VARIABILITY = "Spectral variability"
    FUSION = "Sharpen with a second image"
    TIME = "Changes through time"
    EVENTS = "Events in a series"
    STATES = "Between and beyond the dates"
    CHECK = "Check results"
    SIMULATE = "Simulate"

    @property
    def id(self):
        return self.name.lower()

    @property
    def number(self):
        """Its place in the order of the work, from 1."""
        return list(Group).index(self) + 1


class Style(Enum):
    """How a raster output looks in QGIS."""

    FRACTIONS = "fractions"      # one band per endmember, 0 to 1
    DOMINANT = "dominant"        # paletted, one class per endmember
    DATE = "date"                # paletted, one class per date, in colours that run from the first to the last
    COMPOSITE = "composite"      # red, green, blue, drawn as they are
    SPECTRAL = "spectral"        # a hyperspectral scene in natural colours
    ERROR = "error"              # one band, from 0 upwards
    SCALING = "scaling"          # around 1; of several bands, one range for all that the tool gives
    DEPARTURE = "departure"      # one band per endmember, from 0 upwards, one range for all that the tool gives
    CHANGE = "change"            # one band per band of a sensor, around 0, one range for all that the tool gives
    VALUES = "values"            # one band, from the least to the largest, one range for all that the tool gives
    COMPONENTS = "components"    # the first three bands as red, green, blue, stretched


REQUIRED = object()     # stands where a declaration has to say something: fields after those with a default need one


class Declared:
    """What a tool declares. QGIS's Python may be 3.9, whose dataclasses know no keyword-only fields."""

    def __post_init__(self):
        lacking = [name for name, value in vars(self).items() if value is REQUIRED]
        if lacking:
            raise TypeError(f"{self.name} does not say: {', '.join(lacking)}")


@dataclass(frozen=True)
class Parameter(Declared):
    """One thing that a tool asks for. `name` is a contract: scripts, models and the command line use it."""

    name: str
    label: str
    help: str
    default: object = None
    optional: bool = False
    advanced: bool = False


@dataclass(frozen=True)
class RasterInput(Parameter):
    """A raster layer. A spectral one has at least two bands and is read with its wavelengths, masks and scales."""

    spectral: bool = True


@dataclass(frozen=True)
class RastersInput(Parameter):
    """Several raster layers on one grid, or the folder that holds them; `dates` names the parameter of their dates."""

    spectral: bool = True
    dates: str = "DATES"


@dataclass(frozen=True)
class BandsInput(Parameter):
    """The bands to use of the raster `raster`; none chosen means every band that carries information."""

    raster: str = "INPUT"


@dataclass(frozen=True)
class SpectraInput(Parameter):
    """A layer of spectra. With `raster`, they are brought to that raster's bands; a `bundle` may outnumber these."""

    raster: str = None
    bundle: bool = False


@dataclass(frozen=True)
class FeaturesInput(Parameter):
    """Points or polygons, handed over in the CRS of the raster `raster`."""

    raster: str = "INPUT"
    geometries: tuple = ("point", "polygon")


@dataclass(frozen=True)
class FieldInput(Parameter):
    """A field of the layer `layer`."""

    layer: str = REQUIRED
    numeric: bool = False
    several: bool = False


@dataclass(frozen=True)
class FileInput(Parameter):
    """A file that is no layer; `extensions` without dots."""

    extensions: tuple = REQUIRED


@dataclass(frozen=True)
class Integer(Parameter):
    """A whole number; with `within_bands_of` it is at most that raster's number of bands."""

    minimum: int = None
    maximum: int = None
    within_bands_of: str = None


@dataclass(frozen=True)
class Real(Parameter):
    """A number."""

    minimum: float = None
    maximum: float = None


@dataclass(frozen=True)
class Choice(Parameter):
    """One of `options`, a dictionary of the value that scripts use and the words that people read."""

    options: dict = REQUIRED


@dataclass(frozen=True)
class Flag(Parameter):
    """Yes or no."""


@dataclass(frozen=True)
class Text(Parameter):
    """A line of text."""


@dataclass(frozen=True)
class DatesInput(Parameter):
    """A line of dates for the images of the parameter `rasters`; QGIS's dialog shows those that they have."""

    rasters: str = "IMAGES"


@dataclass(frozen=True)
class Output(Declared):
    """One thing that a tool gives."""

    name: str
    label: str
    help: str
    optional: bool = True
    create: bool = True   # whether QGIS's dialog asks for it unless told otherwise
    advanced: bool = False


@dataclass(frozen=True)
class RasterOutput(Output):
    """A raster on the input's grid."""

    style: Style = REQUIRED


@dataclass(frozen=True)
class FolderOutput(Output):
    """
    A folder of rasters on the input's grid, all drawn in one style. Other files in that folder stay.

    Those of a `dated` one are loaded, each with the time for which it stands.
    """

    style: Style = REQUIRED
    dated: bool = False


@dataclass(frozen=True)
class LayersOutput(Output):
    """The rasters of the output `folder` as a list of layers, for the next step of a model."""

    folder: str = REQUIRED


@dataclass(frozen=True)
class SpectraOutput(Output):
    """A layer of spectra, points where they came from pixels."""


@dataclass(frozen=True)
class TableOutput(Output):
    """A layer without geometry: rows with the same fields."""


@dataclass(frozen=True)
class FeaturesOutput(Output):
    """
    A layer of lines or polygons, shaded by the field `shade`, whose values are 0 to 1.

    Of `times`, two fields of dates, each feature is shown from the first to the second.
    """

    geometry: str = REQUIRED   # "line" or "polygon"
    shade: str = REQUIRED
    times: tuple = REQUIRED


@dataclass(frozen=True)
class ReportOutput(Output):
    """One self-contained HTML file."""


@dataclass(frozen=True)
class FileOutput(Output):
    """A file that is no layer."""

    extensions: tuple = REQUIRED


@dataclass(frozen=True)
class NumberOutput(Output):
    """A number, for scripts and for the next step of a model."""


class Tool:
    """
    A tool. A subclass declares its parameters and outputs as class attributes and does its work in `run`.

    Attributes
    ----------
    id : str
        Lowercase letters and digits, never translated.
    label, group, tags, citation
        What QGIS shows.
    requires : tuple of str
        Packages that the engine's Python must have, by their import names.
    example : dict
        The smallest honest run: values for the parameters, with the names of `examples` for layers.
        What the tests and the help page execute.
    """

    id = label = citation = prefer = ""
    group = None
    tags = doi = ()
    requires = ("numpy", "scipy", "sklearn", "rasterio", "plotly", "threadpoolctl")
    example = {}

    @classmethod
    def _declared(cls, kind):
        found = {}
        for base in reversed(cls.__mro__):
            for attribute, value in vars(base).items():
                found.pop(attribute, None)   # None in a subclass takes a declaration back
                if isinstance(value, (Parameter, Output)):
                    found[attribute] = value
        return [value for value in found.values() if isinstance(value, kind)]

    @classmethod
    def parameters(cls):
        """Parameters in the order of declaration, ordinary ones before advanced ones."""
        return sorted(cls._declared(Parameter), key=lambda parameter: parameter.advanced)

    @classmethod
    def outputs(cls):
        """Outputs in the order of declaration."""
        return cls._declared(Output)

    @classmethod
    def help(cls):
        """What the tool does: the paragraphs of its docstring. The first is its short description."""
        return [" ".join(paragraph.split()) for paragraph in (cls.__doc__ or "").strip().split("\n\n")]

    def run(self, job):
        """Get from the inputs to the outputs. Imports the science here, so that listing tools needs no numpy."""
        raise NotImplementedError(f"{type(self).__name__} does not say what it does")


def complaint(tool, values, facts):
    """
    The first thing wrong with a tool's values that can be seen without reading pixels or spectra, or None.

    Parameters
    ----------
    values : dict
        Parameter names and values.
    facts : dict
        For a raster its number of bands under `bands`, for spectra their number under `spectra`, for several rasters
        their `images`, a list of names and numbers of bands, and `bands` of the first, by parameter name.
    """
    from .sentences import NO_SPECTRA, ONE_BAND, Sentence
    for parameter in tool.parameters():
        value, known = values.get(parameter.name), facts.get(parameter.name, {})
        if isinstance(parameter, RasterInput) and parameter.spectral and known.get("bands", 2) < 2:
            return Sentence(ONE_BAND, label=parameter.label)
        if isinstance(parameter, RastersInput):
            problem = _sequence_complaint(parameter, known, values.get(parameter.dates))
            if problem:
                return problem
        if isinstance(parameter, SpectraInput) and parameter.raster:
            bands, spectra = facts.get(parameter.raster, {}).get("bands"), known.get("spectra")
            if spectra == 0:
                return Sentence(NO_SPECTRA, what=parameter.label)
            if bands and spectra and spectra > bands and not parameter.bundle:
                return Sentence("There are {spectra} endmembers but only {bands} bands: more unknowns than "
                                "measurements. Select fewer endmembers.", spectra=spectra, bands=bands)
        if isinstance(parameter, Integer) and parameter.within_bands_of and value is not None:
            bands = facts.get(parameter.within_bands_of, {}).get("bands")
            if bands and value > bands:
                return Sentence("{label} is {value}, but the raster has only {bands} bands. "
                                "Choose a number up to {bands}.", label=parameter.label, value=value, bands=bands)
    return None


def _sequence_complaint(parameter, known, words):
    """What is wrong with the images of a sequence, of which `known` tells names and bands, or with given dates."""
    from .dates import of_words, written
    from .sentences import ONE_BAND, Sentence, UserError
    images = known.get("images")
    if images is None:
        return None
    if len(images) < 2:
        return Sentence("{label}: a sequence needs at least two images of the same place, not {count}. Add the "
                        "images of other dates.", label=parameter.label, count=len(images))
    for name, bands in images:
        if parameter.spectral and bands < 2:
            return Sentence(ONE_BAND, label=name)
        if bands != images[0][1]:
            return Sentence("{first} has {count} bands and {second} has {others}. Choose images with the same bands, "
                            "or take the common ones out first (Rearrange bands).", first=images[0][0],
                            count=images[0][1], second=name, others=bands)
    try:
        dates = of_words(words) if words else []
    except UserError as error:
        return error.sentence
    if dates and len(dates) != len(images):
        return Sentence("There are {dates} dates for {images} images ({label}). Give one date for every image, in "
                        "their order, or none at all.", dates=len(dates), images=len(images), label=parameter.label)
    for earlier, later in zip(dates, dates[1:]):
        if later <= earlier:
            return Sentence("The date {later} comes after {earlier}, and dates must rise from image to image. Put the "
                            "images and their dates in order.", earlier=written(earlier), later=written(later))
    return None


def check(parameter, value):
    """Raise UserError where a value is none that its parameter can have: out of its range, none of the options, ..."""
    from .sentences import UserError
    if isinstance(parameter, (Integer, Real)):
        if not isinstance(value, (int, float)) or isinstance(value, float) and not math.isfinite(value):
            raise UserError("{label} is {value}; it must be a number.", label=parameter.label, value=value)
        if isinstance(parameter, Integer) and value != int(value):
            raise UserError("{label} is {value}; it must be a whole number.", label=parameter.label, value=value)
        if parameter.minimum is not None and value < parameter.minimum:
            raise UserError("{label} is {value}; it must be at least {minimum}.",
                            label=parameter.label, value=value, minimum=parameter.minimum)
        maximum = LARGEST if isinstance(parameter, Integer) and parameter.maximum is None else parameter.maximum
        if maximum is not None and value > maximum:
            raise UserError("{label} is {value}; it must be at most {maximum}.",
                            label=parameter.label, value=value, maximum=maximum)
    elif isinstance(parameter, Choice) and not (isinstance(value, str) and value in parameter.options):
        raise UserError("{label} is {value}; it must be one of: {options}.", label=parameter.label,
                        value=value, options=", ".join(parameter.options))
    elif isinstance(parameter, Flag) and not isinstance(value, bool):
        raise UserError("{label} is {value}; it must be true or false.", label=parameter.label, value=value)
    elif not isinstance(parameter, (Choice, Flag)) and not _is_of_its_kind(parameter, value):
        raise UserError("{label} ({name}) is {value}, which a job cannot hold for it. Let QGIS write the job, or see "
                        "what it writes.", label=parameter.label, name=parameter.name, value=value)


def _is_of_its_kind(parameter, value):
    """Whether a value is what a job holds of layers, bands, fields, files or texts."""
    def is_raster(each):
        return isinstance(each, dict) and isinstance(each.get("path"), str)

    if isinstance(parameter, RasterInput):
        return is_raster(value)
    if isinstance(parameter, RastersInput):
        return isinstance(value, list) and all(map(is_raster, value))
    if isinstance(parameter, (SpectraInput, FeaturesInput)):
        return isinstance(value, dict) and isinstance(value.get("features"), list)
    if isinstance(parameter, BandsInput):
        return isinstance(value, list) and all(isinstance(band, int) for band in value)
    if isinstance(parameter, FieldInput) and parameter.several:
        return isinstance(value, list) and all(isinstance(field, str) for field in value)
    return isinstance(value, str)


def validate(tool, values):
    """
    A job's values completed with defaults and checked against the declaration.

    Raises
    ------
    UserError
        A required value is missing, a number is out of its range, or a choice is none of the options.
    """
    from .sentences import UserError
    complete = {}
    for parameter in tool.parameters():
        value = values.get(parameter.name)
        value = parameter.default if value is None else value
        if value is None:
            if not parameter.optional:
                raise UserError("{label} ({name}) is missing. Give it a value.",
                                label=parameter.label, name=parameter.name)
        else:
            check(parameter, value)
        complete[parameter.name] = value
    return complete
