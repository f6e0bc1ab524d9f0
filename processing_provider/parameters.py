"""From the declaration of a parameter or an output to QGIS's own, and from what the user gave to what a job holds."""

import os

from qgis.core import (Qgis, QgsMapLayer, QgsProcessingOutputMultipleLayers, QgsProcessingOutputNumber,
                       QgsProcessingParameterBand, QgsProcessingParameterBoolean, QgsProcessingParameterEnum,
                       QgsProcessingParameterFeatureSource, QgsProcessingParameterField, QgsProcessingParameterFile,
                       QgsProcessingParameterFileDestination, QgsProcessingParameterFolderDestination,
                       QgsProcessingParameterMultipleLayers, QgsProcessingParameterNumber,
                       QgsProcessingParameterRasterDestination, QgsProcessingParameterRasterLayer,
                       QgsProcessingParameterString, QgsProcessingParameterVectorDestination, QgsProcessingUtils,
                       QgsProperty, QgsRasterLayer)

from ..engine import declare
from .words import tr

RASTERS = (".tif", ".tiff", ".vrt", ".img", ".bsq", ".bil", ".bip", ".dat", ".jp2", ".nc", ".kea")   # in a folder
PERHAPS = (".h5", ".he5", ".hdf", ".hdf5", ".nc4", ".zip", ".gz", ".tgz", ".tar", ".safe", ".zarr", ".rfl")
TRUTHS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
GEOMETRIES = {"point": Qgis.ProcessingSourceType.VectorPoint, "line": Qgis.ProcessingSourceType.VectorLine,
              "polygon": Qgis.ProcessingSourceType.VectorPolygon}


class Rasters(QgsProcessingParameterMultipleLayers):
    """Several rasters, or the folder of theirs, which QGIS would try as a layer of every kind, with errors printed."""

    def checkValueIsAcceptable(self, value, context=None):
        return super().checkValueIsAcceptable(files_of_folders(value) if value else value, context)


def definition(parameter):
    """QGIS's parameter for a declared one."""
    made = _make(parameter, parameter.name, tr(parameter.label), parameter.optional)
    made.setHelp(help_of(parameter))
    if parameter.advanced:
        made.setFlags(made.flags() | Qgis.ProcessingParameterFlag.Advanced)
    return made


def help_of(parameter):
    """A parameter's help, with what its kind has in common: the meaning of options, how to use a selection."""
    if isinstance(parameter, (declare.SpectraInput, declare.FeaturesInput)):
        return f"{tr(parameter.help)} {tr('To use a selection only, tick Selected features only.')}"
    if not isinstance(parameter, declare.Choice):
        return tr(parameter.help)
    meanings = "; ".join(f"{value}: {tr(words)}" for value, words in parameter.options.items())
    return f"{tr(parameter.help)} {meanings}."


def _make(parameter, name, label, optional):
    default = parameter.default
    if isinstance(parameter, declare.RasterInput):
        return QgsProcessingParameterRasterLayer(name, label, default, optional)
    if isinstance(parameter, declare.RastersInput):
        return Rasters(name, label, Qgis.ProcessingSourceType.Raster, default, optional)
    if isinstance(parameter, declare.BandsInput):
        return QgsProcessingParameterBand(name, label, default, parameter.raster, True, True)
    if isinstance(parameter, declare.SpectraInput):
        return QgsProcessingParameterFeatureSource(name, label, [Qgis.ProcessingSourceType.Vector], default, optional)
    if isinstance(parameter, declare.FeaturesInput):
        kinds = [GEOMETRIES[kind] for kind in parameter.geometries]
        return QgsProcessingParameterFeatureSource(name, label, kinds, default, optional)
    if isinstance(parameter, declare.FieldInput):
        kind = Qgis.ProcessingFieldParameterDataType.Numeric if parameter.numeric \
            else Qgis.ProcessingFieldParameterDataType.Any
        return QgsProcessingParameterField(name, label, default, parameter.layer, kind, parameter.several, optional)
    if isinstance(parameter, declare.FileInput):
        wildcards = " ".join(f"*.{extension}" for extension in parameter.extensions)
        return QgsProcessingParameterFile(name, label, Qgis.ProcessingFileParameterBehavior.File, "", default, optional,
                                          f"{label} ({wildcards} {wildcards.upper()});;{tr('All files')} (*.*)")
    if isinstance(parameter, (declare.Integer, declare.Real)):
        kind = Qgis.ProcessingNumberParameterType.Integer if isinstance(parameter, declare.Integer) \
            else Qgis.ProcessingNumberParameterType.Double
        made = QgsProcessingParameterNumber(name, label, kind, default, optional)
        if parameter.minimum is not None:
            made.setMinimum(parameter.minimum)
        if parameter.maximum is not None:
            made.setMaximum(parameter.maximum)
        return made
    if isinstance(parameter, declare.Choice):
        made = QgsProcessingParameterEnum(name, label, list(parameter.options), False, default, optional, True)
        words = {value: tr(words) for value, words in parameter.options.items()}
        made.setMetadata({"widget_wrapper": {"class": f"{__package__}.widgets.ChoiceWidget", "words": words}})
        return made
    if isinstance(parameter, declare.Flag):
        return QgsProcessingParameterBoolean(name, label, default, optional)
    if isinstance(parameter, declare.DatesInput):
        made = QgsProcessingParameterString(name, label, default, False, optional)
        made.setMetadata({"widget_wrapper": {"class": f"{__package__}.widgets.DatesWidget",
                                             "rasters": parameter.rasters}})
        return made
    if isinstance(parameter, declare.Text):
        return QgsProcessingParameterString(name, label, default, False, optional)
    raise TypeError(f"{parameter} is no kind of parameter that QGIS knows")


def destination(output):
    """QGIS's destination for a declared output that is a file, layer or folder; its output for a number or layers."""
    label = tr(output.label)
    if isinstance(output, declare.NumberOutput):
        return QgsProcessingOutputNumber(output.name, label)
    if isinstance(output, declare.LayersOutput):
        return QgsProcessingOutputMultipleLayers(output.name, label)
    create = output.create
    if isinstance(output, declare.RasterOutput):
        made = QgsProcessingParameterRasterDestination(output.name, label, None, output.optional, create)
    elif isinstance(output, (declare.SpectraOutput, declare.TableOutput)):
        made = QgsProcessingParameterVectorDestination(output.name, label, Qgis.ProcessingSourceType.Vector, None,
                                                       output.optional, create)
    elif isinstance(output, declare.FeaturesOutput):
        made = QgsProcessingParameterVectorDestination(output.name, label, GEOMETRIES[output.geometry], None,
                                                       output.optional, create)
    elif isinstance(output, declare.FolderOutput):
        made = QgsProcessingParameterFolderDestination(output.name, label, None, output.optional, create)
    else:
        extensions = ("html",) if isinstance(output, declare.ReportOutput) else output.extensions
        filters = ";;".join(f"{extension.upper()} (*.{extension})" for extension in extensions)
        made = QgsProcessingParameterFileDestination(output.name, label, filters, None, output.optional, create)
    made.setHelp(tr(output.help))
    if output.advanced:
        made.setFlags(made.flags() | Qgis.ProcessingParameterFlag.Advanced)
    return made


def files_of_folders(value):
    """A list of rasters in which every folder is replaced by the rasters in it, in the order of their names."""
    if isinstance(value, QgsProperty):
        return value
    items, found = value if isinstance(value, (list, tuple)) else [value], []
    for item in items:
        found += rasters_in(item)[0] if isinstance(item, str) and os.path.isdir(item) else [item]
    return found


def rasters_in(folder):
    """The rasters in a folder, in the order of their names, and the names of what may hold rasters but is not taken."""
    names = sorted(name for name in os.listdir(folder) if not name.startswith("."))
    headers = {os.path.splitext(name)[0] for name in names if name.lower().endswith(".hdr")}
    taken = [name for name in names if name.lower().endswith(RASTERS) or name in headers]
    return [os.path.join(folder, name) for name in taken], [
        name for name in names if name.lower().endswith(PERHAPS) and name not in taken]


def no_raster(items, context):
    """The first of several rasters, layers or what names them, that cannot be read as one, or None."""
    def readable(item):
        layer = QgsProcessingUtils.mapLayerFromString(item, context, True, QgsProcessingUtils.LayerHint.Raster) \
            if isinstance(item, str) else item
        return isinstance(layer, QgsRasterLayer) and layer.isValid()
    return next((item if isinstance(item, str) else item.source() for item in items
                 if isinstance(item, (str, QgsMapLayer)) and not readable(item)), None)


def words_of_dates(value):
    """Dates as a line of words, which scripts may give as a list."""
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else value


def truth(given):
    """Whether a word on a command line says yes or no, where QGIS takes all but false and 0 for yes; or what it is."""
    return TRUTHS.get(given.strip().lower(), given) if isinstance(given, str) else given


class Reader:
    """Reads what the user gave for a run's parameters."""

    def __init__(self, algorithm, parameters, context):
        self._algorithm, self._parameters, self._context = algorithm, parameters, context

    def given(self, name):
        """Whether anything was given."""
        return self._parameters.get(name) not in (None, "", [])

    def plain(self, parameter):
        """The value of a parameter that is neither a layer nor features; None where nothing was given."""
        read, parameters, context = self._algorithm, self._parameters, self._context
        name = parameter.name
        if not self.given(name) and parameter.optional and parameter.default is None:
            return None
        if isinstance(parameter, declare.BandsInput):
            return read.parameterAsInts(parameters, name, context) if self.given(name) else None
        if isinstance(parameter, declare.FieldInput):
            return read.parameterAsStrings(parameters, name, context) if parameter.several \
                else read.parameterAsString(parameters, name, context)
        if isinstance(parameter, declare.FileInput):
            return read.parameterAsFile(parameters, name, context)
        if isinstance(parameter, declare.Integer):
            return read.parameterAsInt(parameters, name, context)
        if isinstance(parameter, declare.Real):
            return read.parameterAsDouble(parameters, name, context)
        if isinstance(parameter, declare.Choice):
            return read.parameterAsEnumString(parameters, name, context)
        if isinstance(parameter, declare.Flag):
            given = truth(parameters.get(name))
            return given if isinstance(given, bool) else read.parameterAsBool(parameters, name, context)
        if isinstance(parameter, declare.DatesInput) and isinstance(parameters[name], (list, tuple)):
            return words_of_dates(parameters[name])
        return read.parameterAsString(parameters, name, context)

    def raster(self, parameter):
        """The raster layer, or None."""
        if not self.given(parameter.name):
            return None
        return self._algorithm.parameterAsRasterLayer(self._parameters, parameter.name, self._context)

    def rasters(self, parameter):
        """The raster layers of a parameter of several, in their order; [] where none are given."""
        if not self.given(parameter.name):
            return []
        return self._algorithm.parameterAsLayerList(self._parameters, parameter.name, self._context)

    def source(self, parameter):
        """The feature source, or None."""
        if not self.given(parameter.name):
            return None
        return self._algorithm.parameterAsSource(self._parameters, parameter.name, self._context)
