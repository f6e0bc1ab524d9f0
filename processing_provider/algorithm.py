"""A Processing algorithm made from a tool's declaration. No tool has a class of its own here."""

import json
from pathlib import Path

from osgeo import gdal
from qgis.core import (QgsProcessingAlgorithm, QgsProcessingException, QgsProcessingParameterDefinition,
                       QgsRasterFileWriter, QgsRasterPipe)
from qgis.PyQt.QtGui import QIcon

from ..engine import declare
from . import engine_process, engine_python, styles, vectors
from .parameters import Reader, definition, destination, located_features, spectra_features
from .staging import Staging
from .words import spoken, tr

ICON = str(engine_python.ROOT / "icon.svg")


def version():
    """The plugin's version, from metadata.txt."""
    for line in (engine_python.ROOT / "metadata.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("version="):
            return line.split("=", 1)[1].strip()
    return ""


class ToolAlgorithm(QgsProcessingAlgorithm):
    """Shows one tool to QGIS and runs it in the engine."""

    def __init__(self, tool):
        super().__init__()
        self._tool = tool
        self._rasters = {}

    # what QGIS shows

    def createInstance(self):
        return type(self)(self._tool)

    def name(self):
        return self._tool.id

    def displayName(self):
        return tr(self._tool.label)

    def group(self):
        return tr(self._tool.group.value)

    def groupId(self):
        return self._tool.group.id

    def tags(self):
        return [tr(tag) for tag in self._tool.tags]

    def icon(self):
        return QIcon(ICON)

    def shortDescription(self):
        return tr(self._tool.help()[0])

    def shortHelpString(self):
        return "\n".join([tr(paragraph) for paragraph in self._tool.help()]
                         + [tr("Reference: {citation}").format(citation=self._tool.citation)])

    def initAlgorithm(self, configuration=None):
        for parameter in self._tool.parameters():
            self.addParameter(definition(parameter))
        for output in self._tool.outputs():
            made = destination(output)
            if isinstance(made, QgsProcessingParameterDefinition):
                self.addParameter(made)
            else:
                self.addOutput(made)

    # before the run

    def canExecute(self):
        trouble = engine_python.trouble(self._tool.requires)
        return not trouble, trouble

    def checkParameterValues(self, parameters, context):
        passed, reason = super().checkParameterValues(parameters, context)
        if not passed:
            return passed, reason
        reader, values, facts = Reader(self, parameters, context), {}, {}
        for parameter in self._tool.parameters():
            if isinstance(parameter, declare.RasterInput):
                layer = reader.raster(parameter)
                facts[parameter.name] = {"bands": layer.bandCount()} if layer else {}
            elif isinstance(parameter, (declare.SpectraInput, declare.FeaturesInput)):
                source = reader.source(parameter)
                facts[parameter.name] = {"spectra": source.featureCount()} if source else {}
            else:
                values[parameter.name] = reader.plain(parameter)
        problem = declare.complaint(self._tool, values, facts)
        return (False, spoken(problem.template, problem.arguments)) if problem else (True, "")

    def prepareAlgorithm(self, parameters, context, feedback):
        """Layers live in QGIS's main thread, so they are taken apart here."""
        reader = Reader(self, parameters, context)
        for parameter in self._tool.parameters():
            if isinstance(parameter, declare.RasterInput) and reader.given(parameter.name):
                layer = reader.raster(parameter)
                if layer is None or not layer.isValid():
                    raise QgsProcessingException(tr(
                        "{label}: {value} cannot be read as a raster. Choose a raster layer or file.").format(
                            label=tr(parameter.label), value=parameters.get(parameter.name)))
                provider = layer.dataProvider()
                self._rasters[parameter.name] = {
                    "path": layer.source().split("|option:")[0], "crs": layer.crs(), "gdal": provider.name() == "gdal",
                    "provider": None if provider.name() == "gdal" else provider.clone()}
        return True

    # the run

    def processAlgorithm(self, parameters, context, feedback):
        with Staging() as staging:
            job = self._job(parameters, context, staging)
            result = self._run(job, staging, feedback)
            if result is None:
                return {}
            targets = job.pop("targets")
            self._finish(result, job["outputs"], context)
            if feedback.isCanceled():
                return {}
            staging.deliver()
        for name in [*result["rasters"], *result["spectra"]]:
            styles.style_on_loading(targets[name], context, above=name in result["spectra"])
        return {output.name: result["numbers"].get(output.name) if isinstance(output, declare.NumberOutput)
                else targets.get(output.name) for output in self._tool.outputs()}

    def _job(self, parameters, context, staging):
        """The job as the engine takes it, with the final `targets` beside the staged `outputs`."""
        reader, values = Reader(self, parameters, context), {}
        for parameter in self._tool.parameters():
            if isinstance(parameter, declare.RasterInput):
                values[parameter.name] = self._raster(parameter.name, staging)
            elif isinstance(parameter, declare.SpectraInput):
                source = self._source(reader, parameter, parameters)
                values[parameter.name] = source and spectra_features(source)
            elif isinstance(parameter, declare.FeaturesInput):
                source = self._source(reader, parameter, parameters)
                crs = self._rasters.get(parameter.raster, {}).get("crs")
                values[parameter.name] = source and located_features(source, crs, context)
            else:
                values[parameter.name] = reader.plain(parameter)
        targets = {}
        for output in self._tool.outputs():
            if isinstance(output, (declare.RasterOutput, declare.SpectraOutput, declare.TableOutput)):
                target = self.parameterAsOutputLayer(parameters, output.name, context)
            elif isinstance(output, declare.NumberOutput):
                continue
            else:
                target = self.parameterAsFileOutput(parameters, output.name, context)
            if target:
                targets[output.name] = target
        outputs = {name: str(staging.place(target)) for name, target in targets.items()}
        job = {"tool": self._tool.id, "values": values, "outputs": outputs, "version": version(), "attended": True,
               "targets": targets}
        return job

    def _source(self, reader, parameter, parameters):
        source = reader.source(parameter)
        if source is None and reader.given(parameter.name):
            raise QgsProcessingException(tr("{label}: {value} cannot be read as a vector layer. Choose a layer or "
                                            "file.").format(label=tr(parameter.label),
                                                            value=parameters.get(parameter.name)))
        return source

    def _raster(self, name, staging):
        """Path and CRS of a raster input. One that is no GDAL layer is first copied with QGIS."""
        raster = self._rasters.get(name)
        if raster is None:
            return None
        if not raster["gdal"]:
            raster["path"] = self._exported(name, raster, staging)
            raster["gdal"] = True
        return {"path": raster["path"], "crs": raster["crs"].toWkt() if raster["crs"].isValid() else None}

    def _exported(self, name, raster, staging):
        provider, copy = raster["provider"], staging.work / f"{name}.tif"
        pipe, writer = QgsRasterPipe(), QgsRasterFileWriter(str(copy))
        if not provider.xSize() or not provider.ySize() or not pipe.set(provider) or writer.writeRaster(
                pipe, provider.xSize(), provider.ySize(), provider.extent(), raster["crs"]):
            raise QgsProcessingException(tr("{name} cannot be read as a file: {path} has no pixels of its own. Export "
                                            "the layer to a GeoTIFF first.").format(name=name, path=raster["path"]))
        return str(copy)

    def _run(self, job, staging, feedback):
        """Run the engine; a raster that only QGIS's GDAL can open is copied with it, once."""
        file = staging.work / "job.json"
        for _ in range(1 + len(self._rasters)):
            file.write_text(json.dumps(job, ensure_ascii=False), encoding="utf-8")
            try:
                return engine_process.run(file, feedback)
            except engine_process.UnreadableInput as problem:
                copy = staging.work / f"{problem.name}.tif"
                value = job["values"].get(problem.name)
                if value is None or value["path"] == str(copy):
                    raise QgsProcessingException(str(problem)) from problem
                feedback.pushInfo(tr("Copying {path} with QGIS's GDAL, since the engine's cannot open it.").format(
                    path=value["path"]))
                try:
                    gdal.Translate(str(copy), value["path"], creationOptions=["COMPRESS=DEFLATE", "BIGTIFF=IF_SAFER"])
                except RuntimeError:
                    pass  # the check below says so
                if not copy.exists():
                    raise QgsProcessingException(str(problem)) from problem
                value["path"] = str(copy)
        raise QgsProcessingException(tr("No raster input can be read."))

    def _finish(self, result, outputs, context):
        """Write the vector layers and the styles beside the staged outputs."""
        for name, answer in result["rasters"].items():
            styles.style_raster(Path(outputs[name]), answer)
        for name, answer in result["spectra"].items():
            if vectors.write_spectra(Path(outputs[name]), answer, context.transformContext()):
                styles.style_spectra(Path(outputs[name]), answer)
        for name, rows in result["tables"].items():
            vectors.write_table(Path(outputs[name]), rows, context.transformContext())
