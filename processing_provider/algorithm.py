"""A Processing algorithm made from a tool's declaration. No tool has a class of its own here."""

import contextlib
import json
import os
from functools import cached_property
from pathlib import Path

from qgis.core import (QgsCoordinateReferenceSystem, QgsExpression, QgsProcessingAlgorithm, QgsProcessingException,
                       QgsProcessingParameterDefinition)
from qgis.PyQt.QtGui import QIcon

from ..engine import declare
from ..engine.sentences import UserError
from . import engine_process, engine_python, styles, vectors
from .features import located_features, spectra_features
from .pages import page_of
from .parameters import Reader, definition, destination, files_of_folders, no_raster, rasters_in, truth
from .rasters import RasterSource, files_of, is_ours
from .staging import Staging
from .words import spoken, tr, words_of_group

LAYERS = (declare.RasterOutput, declare.SpectraOutput, declare.TableOutput, declare.FeaturesOutput)
ICON = str(engine_python.ROOT / "icon.svg")


def version():
    """The plugin's version, from metadata.txt."""
    for line in (engine_python.ROOT / "metadata.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("version="):
            return line.split("=", 1)[1].strip()
    return ""


def spelled_out(parameter, given):
    """A number, a choice or a flag given as such, or as words on a command line; None where it is left to QGIS."""
    if isinstance(parameter, declare.Flag):
        return truth(given) if isinstance(given, str) and given.strip() else None
    if isinstance(parameter, (declare.Integer, declare.Real)) and isinstance(given, str):
        try:
            number = float(given)
        except ValueError:
            value = QgsExpression(given).evaluate()
            if isinstance(value, (int, float)):
                return value
            return given if given.strip() else None
        return int(number) if number.is_integer() else number
    return given if isinstance(given, (int, float)) or isinstance(parameter, declare.Choice) and isinstance(
        given, str) else None


def is_step_of_model(feedback):
    """Whether a run with this feedback is a step of a model: QGIS hands these a part of the model's own."""
    return feedback.metaObject().className() == "QgsProcessingMultiStepFeedback"


def files_in(targets, folder, result):
    """Paths of the rasters that a run wrote to an output folder."""
    return [str(Path(targets[folder], answer["file"])) for answer in result["folders"].get(folder, [])]


class ToolAlgorithm(QgsProcessingAlgorithm):
    """Shows one tool to QGIS and runs it in the engine."""

    def __init__(self, tool):
        super().__init__()
        self._tool = tool
        self._rasters, self._sequences, self._vectors, self._paths = {}, {}, {}, {}

    # what QGIS shows

    def createInstance(self):
        return type(self)(self._tool)

    def name(self):
        return self._tool.id

    def displayName(self):
        return tr(self._tool.label)

    def group(self):
        return words_of_group(self._tool.group)

    def groupId(self):
        return self._tool.group.id

    def tags(self):
        return list(dict.fromkeys([*self._tool.tags, *map(tr, self._tool.tags)]))

    def icon(self):
        return QIcon(ICON)

    def shortDescription(self):
        return tr(self._tool.help()[0])

    def shortHelpString(self):
        told = [tr(paragraph) for paragraph in [*self._tool.help(), self._tool.prefer] if paragraph]
        return "\n".join([*told, tr("Reference: {citation}").format(citation=self._tool.citation)])

    def helpUrl(self):
        return page_of(self._tool.id)

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

    def _with_files(self, parameters):
        """The parameters' values, with the files of a folder in its place where several rasters are asked for."""
        several = {parameter.name for parameter in self._tool.parameters()
                   if isinstance(parameter, declare.RastersInput)}
        return {name: files_of_folders(value) if name in several and value else value
                for name, value in parameters.items()}

    def validateInputCrs(self, parameters, context):
        return super().validateInputCrs(self._with_files(parameters), context)

    def checkParameterValues(self, parameters, context):
        folders, parameters = parameters, self._with_files(parameters)
        for parameter in self._tool.parameters():
            if isinstance(parameter, declare.RastersInput):
                problem = self._rasters_complaint(parameter, folders, parameters, context)
                if problem:
                    return False, problem
            given = spelled_out(parameter, parameters.get(parameter.name))
            if given is not None:  # QGIS's own sentence would give no way out
                try:
                    declare.check(parameter, given)
                except UserError as problem:
                    return False, spoken(problem.sentence.template, problem.sentence.arguments)
        passed, reason = super().checkParameterValues(parameters, context)
        for output in self.destinationParameterDefinitions():
            if passed and parameters.get(output.name()):
                passed, reason = output.isSupportedOutputValue(parameters[output.name()], context)
        if not passed:
            return passed, reason
        reader, values, facts = Reader(self, parameters, context), {}, {}
        for parameter in self._tool.parameters():
            if isinstance(parameter, declare.RasterInput):
                layer = reader.raster(parameter)
                facts[parameter.name] = {"bands": layer.bandCount()} if layer else {}
            elif isinstance(parameter, declare.RastersInput):
                if reader.given(parameter.name):
                    images = [(layer.name(), layer.bandCount()) for layer in reader.rasters(parameter)]
                    facts[parameter.name] = {"images": images, "bands": images[0][1] if images else None}
            elif isinstance(parameter, (declare.SpectraInput, declare.FeaturesInput)):
                source = reader.source(parameter)
                facts[parameter.name] = {"spectra": source.featureCount()} if source else {}
            else:
                values[parameter.name] = reader.plain(parameter)
        problem = declare.complaint(self._tool, values, facts)
        return (False, spoken(problem.template, problem.arguments)) if problem else (True, "")

    @staticmethod
    def _rasters_complaint(parameter, folders, parameters, context):
        """
        What is wrong with the rasters of a parameter of several, of whose sentence QGIS's own would name none.

        `folders` holds what was given, `parameters` the files in its place.
        """
        given, files = folders.get(parameter.name), parameters.get(parameter.name)
        if not isinstance(files, list):
            return None
        if not files and given:
            return tr("{label}: {value} holds no rasters. Choose raster layers or files, or the folder that holds "
                      "them.").format(label=tr(parameter.label), value=given)
        wrong = no_raster(files, context)
        return wrong and tr("{label}: {value} cannot be read as a raster. Choose a raster layer or file.").format(
            label=tr(parameter.label), value=wrong)

    def prepareAlgorithm(self, parameters, context, feedback):
        """Layers live in QGIS's main thread, so they are taken apart here."""
        folders, parameters = parameters, self._with_files(parameters)
        reader = Reader(self, parameters, context)
        for parameter in self._tool.parameters():
            if isinstance(parameter, declare.RasterInput) and reader.given(parameter.name):
                layer = reader.raster(parameter)
                if layer is None or not layer.isValid():
                    raise QgsProcessingException(tr(
                        "{label}: {value} cannot be read as a raster. Choose a raster layer or file.").format(
                            label=tr(parameter.label), value=parameters.get(parameter.name)))
                self._rasters[parameter.name] = RasterSource(parameter.name, layer)
                self._paths[parameter.name] = layer.source()
            elif isinstance(parameter, declare.RastersInput):
                problem = self._rasters_complaint(parameter, folders, parameters, context)
                if problem:   # QGIS leaves out what it cannot read
                    raise QgsProcessingException(problem)
                self._say_what_is_left_out(folders.get(parameter.name), feedback)
                self._sequences[parameter.name] = [RasterSource(f"{parameter.name}{number}", layer)
                                                   for number, layer in enumerate(reader.rasters(parameter), 1)]
                self._paths.update({source.name: source.path for source in self._sequences[parameter.name]})
            elif isinstance(parameter, (declare.SpectraInput, declare.FeaturesInput)):
                layer = self.parameterAsVectorLayer(parameters, parameter.name, context)
                self._paths[parameter.name] = layer.source() if layer else ""
            elif isinstance(parameter, declare.FileInput):
                self._paths[parameter.name] = reader.plain(parameter) or ""
        for parameter in self._tool.parameters():   # after the rasters, whose CRS some of them are brought to
            if isinstance(parameter, (declare.SpectraInput, declare.FeaturesInput)):
                self._vectors[parameter.name] = self._features(parameter, parameters, reader, context, feedback)
        return True

    def _features(self, parameter, parameters, reader, context, feedback):
        """What the job holds of a layer of spectra or features; None where none is given."""
        if not reader.given(parameter.name):
            return None
        source = reader.source(parameter)
        if source is None:
            raise QgsProcessingException(tr("{label}: {value} cannot be read as a vector layer. Choose a layer or "
                                            "file.").format(label=tr(parameter.label),
                                                            value=parameters.get(parameter.name)))
        if isinstance(parameter, declare.SpectraInput):
            return {**spectra_features(source, feedback), "source": self._paths.get(parameter.name, "")}
        return located_features(source, self._crs(parameter.raster), context, feedback)

    @staticmethod
    def _say_what_is_left_out(given, feedback):
        """Warn of files in folders that may be images but are not taken for such."""
        for folder in given if isinstance(given, (list, tuple)) else [given]:
            left = rasters_in(folder)[1] if isinstance(folder, str) and os.path.isdir(folder) else []
            if left:
                feedback.pushWarning(tr(
                    "{folder}: {count} files that may hold rasters are left out ({names}). Give them as files or "
                    "layers to use them.").format(folder=folder, count=len(left), names=", ".join(left[:5]) + (
                        "..." if len(left) > 5 else "")))

    # the run

    def processAlgorithm(self, parameters, context, feedback):
        trouble = engine_python.trouble(self._tool.requires)  # not every way to a run asks canExecute() first
        if trouble:
            raise QgsProcessingException(trouble)
        targets = self._targets(parameters, context)
        kept = self._kept(targets)
        with Staging() as staging:
            outputs = {output.name: str(self._place(output, targets[output.name], staging))
                       for output in self._tool.outputs() if output.name in targets}
            result = self._run(self._values(parameters, context, staging, feedback), outputs, kept, staging, feedback)
            if result is None:
                feedback.pushInfo(tr("Cancelled: nothing was written."))
                return {}
            self._finish(result, outputs, context)
            self._check_folders(result, targets)
            if feedback.isCanceled():
                return {}
            staging.deliver()
        groups = {output.name: f"{tr(output.label)} ({self._tool.id}), {styles.name_of_folder(targets[output.name])}"
                  for output in self._tool.outputs()
                  if isinstance(output, declare.FolderOutput) and output.name in targets and output.dated}
        for output in self._tool.outputs():
            if any(output.name in result[kind] for kind in ("rasters", "spectra", "features", "tables")):
                # points show where spectra come from, and a scene in natural colours what the other maps are of
                above = output.name not in result["rasters"] or output.style is declare.Style.SPECTRAL
                above = above and not is_step_of_model(feedback)   # which has an order of its own
                styles.style_on_loading(targets[output.name], context, f"{tr(output.label)} ({self._tool.id})", above)
            elif output.name in groups:
                folder, written = targets[output.name], files_in(targets, output.name, result)
                self._warn_of_others(output, folder, written, feedback)
                if not is_step_of_model(feedback):
                    styles.load_dated(written, context, groups[output.name], list(groups.values()))
        return {output.name: self._given_back(output, result, targets) for output in self._tool.outputs()}

    @staticmethod
    def _given_back(output, result, targets):
        """What the run returns for an output."""
        if isinstance(output, declare.NumberOutput):
            return result["numbers"].get(output.name)
        if isinstance(output, declare.LayersOutput):
            return files_in(targets, output.folder, result)
        return targets.get(output.name)

    def _warn_of_others(self, output, folder, written, feedback):
        """Who takes the folder for a sequence also gets what was there before, perhaps of other dates."""
        others = len(set(files_of_folders(folder)) - set(written))
        if others:
            lists = [each.name for each in self._tool.outputs()
                     if isinstance(each, declare.LayersOutput) and each.folder == output.name]
            feedback.pushWarning(tr(
                "{folder} also holds {count} rasters that are not of this run, and a tool that is given the folder "
                "takes them too. Give it only those of this run{list}, or choose an empty folder.").format(
                    folder=folder, count=others, list=f" ({lists[0]})" if lists else ""))

    def _targets(self, parameters, context):
        """Where each output that is wanted goes, by name. No two are the same, and none is an input."""
        targets, taken = {}, {}
        for output in self._tool.outputs():
            if isinstance(output, (declare.NumberOutput, declare.LayersOutput)):
                continue
            target = self.parameterAsOutputLayer(parameters, output.name, context) if isinstance(output, LAYERS) \
                else self.parameterAsFileOutput(parameters, output.name, context)
            if not target:
                continue
            try:
                path = Path(target).resolve()
                with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                    path.stat()
            except (OSError, ValueError, RuntimeError) as error:
                raise QgsProcessingException(tr(
                    "The output {label} cannot be written to {path}: {reason}. Choose another place for it.").format(
                        label=tr(output.label), path=repr(target), reason=getattr(error, "strerror", error))) from error
            self._check_input(output, path)
            # two layers that differ only in their ending would share one style file
            for place in [path, path.with_suffix(".qml")] if isinstance(output, LAYERS) else [path]:
                if place in taken:
                    raise QgsProcessingException(tr(
                        "The outputs {first} and {second} have the same name {name}, so they would share {file}. "
                        "Choose another for one of them.").format(
                            first=taken[place], second=tr(output.label), name=path.stem, file=place.name))
                taken[place] = tr(output.label)
            targets[output.name] = target
        return targets

    @cached_property
    def _inputs(self):
        """The files of all inputs, those that they are made of included."""
        return {file for source in self._paths.values() if source for file in files_of(source.split("|")[0])}

    def _check_input(self, output, path):
        """An output replaces no input."""
        if path in self._inputs:
            raise QgsProcessingException(tr(
                "The output {label} would replace the input {path}. Choose another place for it.").format(
                    label=tr(output.label), path=path))

    def _check_file(self, output, path):
        """Nor does a file in an output folder, which replaces nothing but rasters that Subpixel wrote."""
        self._check_input(output, path.resolve())
        if path.is_file() and not is_ours(path):
            raise QgsProcessingException(tr(
                "{path} is there already and was not written by Subpixel, so the output {label} does not replace it. "
                "Choose another folder.").format(label=tr(output.label), path=path))

    def _kept(self, targets):
        """By output folder: the files there that are not replaced, each with the sentence that says so."""
        kept = {}
        for output in self._tool.outputs():
            if isinstance(output, declare.FolderOutput) and output.name in targets:
                kept[output.name] = {}
                for path in Path(targets[output.name]).glob("*.tif"):
                    try:
                        self._check_file(output, path)
                    except QgsProcessingException as problem:
                        kept[output.name][path.name] = str(problem)
        return kept

    def _check_folders(self, result, targets):
        """What is in an output folder by now, of which no more than the names that dates give is known before."""
        for output in self._tool.outputs():
            for answer in result["folders"].get(output.name, []):
                self._check_file(output, Path(targets[output.name], answer["file"]))

    @staticmethod
    def _place(output, target, staging):
        """Where the engine writes an output."""
        return staging.place_folder(target) if isinstance(output, declare.FolderOutput) \
            else staging.place(target, isinstance(output, LAYERS))

    def _values(self, parameters, context, staging, feedback):
        """Every parameter's value as the job holds it."""
        reader, values = Reader(self, parameters, context), {}
        for parameter in self._tool.parameters():
            if isinstance(parameter, declare.RasterInput):
                raster = self._rasters.get(parameter.name)
                values[parameter.name] = raster and raster.handed_over(staging.work, feedback)
            elif isinstance(parameter, declare.RastersInput):
                values[parameter.name] = self._handed_over(parameter.name, staging, feedback)
            elif isinstance(parameter, (declare.SpectraInput, declare.FeaturesInput)):
                values[parameter.name] = self._vectors[parameter.name]
            else:
                values[parameter.name] = reader.plain(parameter)
        return values

    def _handed_over(self, name, staging, feedback):
        """What the job holds of the rasters of a parameter of several; None where none are given."""
        return [source.handed_over(staging.work, feedback) for source in self._sequences.get(name, ())] or None

    def _crs(self, name):
        """The CRS of a raster input, or of the first of several, as QGIS has it; None where there is no such input."""
        sources = [self._rasters[name]] if name in self._rasters else self._sequences.get(name)
        return sources[0].crs if sources else None

    def _run(self, values, outputs, kept, staging, feedback):
        """Run the engine. Rasters that only QGIS's GDAL can open are copied with it first, and the engine run again."""
        job = {"tool": self._tool.id, "values": values, "outputs": outputs, "kept": kept, "version": version(),
               "attended": True, "traces": staging.traces()}
        file = staging.work / "job.json"
        sources = {source.name: (name, source) for name, several in self._sequences.items() for source in several}
        sources.update({name: (name, source) for name, source in self._rasters.items()})
        while True:
            file.write_text(json.dumps(job, ensure_ascii=False), encoding="utf-8")
            try:
                return engine_process.run(file, feedback)
            except engine_process.UnreadableInput as problem:
                copied = [name for name, source in (sources[each] for each in problem.names if each in sources)
                          if source.copied(staging.work, feedback)]
                if feedback.isCanceled():
                    return None
                if not copied:
                    raise QgsProcessingException(str(problem)) from problem
                for name in copied:
                    values[name] = self._handed_over(name, staging, feedback) if name in self._sequences \
                        else self._rasters[name].handed_over(staging.work, feedback)

    def _finish(self, result, outputs, context):
        """Write the vector layers and the styles beside the staged outputs."""
        for name, answer in result["rasters"].items():
            styles.style_raster(Path(outputs[name]), answer)
        for name, answers in result["folders"].items():
            for answer in answers:
                styles.style_raster(Path(outputs[name], answer["file"]), answer)
        for name, answer in result["spectra"].items():
            crs = QgsCoordinateReferenceSystem.fromWkt(answer["crs"]) if answer["crs"] else self._crs(answer["raster"])
            if vectors.write_spectra(Path(outputs[name]), answer["features"], crs, context.transformContext()):
                styles.style_spectra(Path(outputs[name]), answer)
        for name, answer in result["features"].items():
            vectors.write_features(Path(outputs[name]), answer, self._crs(answer["raster"]), context.transformContext())
            styles.style_features(Path(outputs[name]), answer)
        for name, rows in result["tables"].items():
            vectors.write_table(Path(outputs[name]), rows, context.transformContext())
