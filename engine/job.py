"""A job: what a tool's `run` is given, between the declaration and the files."""

import contextlib
import json
import os

from .dates import SOURCES, ends, of_words, written
from .declare import BandsInput, FolderOutput, RasterInput, Style
from .filenames import distinct
from .palette import colours, expression
from .raster import RasterWriter, Scene, open_raster
from .sentences import NO_INFORMATION, ONE_BAND, UnreadableRaster, UserError
from .spectra import from_features
from .wavelengths import natural_colours


class Job:
    """
    Inputs opened, outputs collected, progress and messages passed on.

    Parameters
    ----------
    tool : Tool
    values : dict
        Every parameter's value, complete (see `declare.validate`). A raster is `{"path", "crs"}`, spectra and features
        are `{"features", ...}`.
    outputs : dict
        Where to write each output that is wanted.
    version : str
        The plugin's, for the provenance.
    tell : callable(dict)
        Takes what is to be said to whoever started the engine.
    kept : dict, optional
        By output folder: names of files that are there already and are not replaced, each with the sentence to say so.
    """

    def __init__(self, tool, values, outputs, version, tell, kept=None):
        self.tool, self.values, self._outputs, self._version, self._tell = tool, values, outputs, version, tell
        self._kept = kept or {}
        self._passes, self._passed, self._percent, self._scenes = 1, 0, -1, {}
        self.result = {"numbers": {}, "rasters": {}, "folders": {}, "spectra": {}, "tables": {},
                       "features": {}}

    def value(self, parameter):
        """A number, choice, flag, text, file or field, as given or its default."""
        return self.values[parameter.name]

    def wants(self, output):
        """Whether this output was asked for."""
        return bool(self._outputs.get(output.name))

    def path(self, output):
        """Where to write an output that is a file."""
        return self._outputs[output.name]

    def scene(self, parameter):
        """The scene behind a raster parameter, with the bands that its BandsInput names; None where it is not given."""
        if self.values.get(parameter.name) is None:
            return None
        if parameter.name not in self._scenes:
            given = self.values[parameter.name]
            chosen = [self.values[bands.name] for bands in self.tool.parameters()
                      if isinstance(bands, BandsInput) and bands.raster == parameter.name]
            scene = Scene(given["path"], bands=chosen[0] if chosen else None, crs=given.get("crs"),
                          options=given.get("options"), nodata=given.get("nodata"), name=parameter.name,
                          say=self.say, spectral=parameter.spectral)
            if isinstance(parameter, RasterInput) and parameter.spectral and scene.count < 2:
                raise UserError(ONE_BAND, label=parameter.label)
            self._scenes[parameter.name] = scene
        return self._scenes[parameter.name]

    def sequence(self, parameter):
        """
        The images behind a parameter of several rasters, with their dates, which are said.

        Dates given in the parameter's own of dates count before those that the images tell. An image without any valid
        pixel is left out, with a warning.

        Raises
        ------
        UserError
            See `sequences.Sequence`; or a date that is missing, or too many or few dates; or a file that a dated output
            would have to replace.
        """
        from .sequences import Dated, Sequence, date_of, is_empty, names_of, source_of
        given = self.values.get(parameter.name) or []
        dates = of_words(self.values.get(parameter.dates) or "") or [None] * len(given)
        if len(dates) != len(given):
            raise UserError("There are {dates} dates for {images} images ({label}). Give one date for every image, in "
                            "their order, or none at all.", dates=len(dates), images=len(given), label=parameter.label)
        self._check_readable(parameter, given)
        images = []
        for number, (image, date, name) in enumerate(zip(given, dates, names_of(given)), 1):
            try:
                scene = Scene(image["path"], crs=image.get("crs"), options=image.get("options"),
                              nodata=image.get("nodata"), name=f"{parameter.name}{number}", say=self.say,
                              spectral=parameter.spectral, title=name)
            except UserError as error:
                if error.sentence.template != NO_INFORMATION:
                    raise
                self.warn("Left out {path}: each of its bands is nodata or one constant value throughout.",
                          path=source_of(image))
                continue
            if is_empty(scene):
                self.warn("Left out {path}: none of its pixels is valid.", path=source_of(image))
                continue
            if parameter.spectral and scene.count < 2:
                raise UserError(ONE_BAND, label=name)
            date, source = (date, "given") if date else date_of(scene, image)
            if date is None:
                raise UserError("{image} does not tell its date: neither its temporal properties nor its metadata nor "
                                "its name. Give the dates of all images in Dates, for instance 2020-05-01, 2020-08-15.",
                                image=name)
            self.say("{date}: {image} (date from {source})", date=written(date), image=name, source=SOURCES[source])
            images.append(Dated(scene, date, source))
        sequence = Sequence(images)
        if sequence.decodes_again():
            self.say("The images are stored in tiles too large to keep for all dates: each is read several times, "
                     "which is slow. Convert them to strips, or to tiles of 64 pixels, to spare that.")
        for output in self.tool.outputs():
            if isinstance(output, FolderOutput) and output.dated:
                for date in sequence.dates:
                    self._check_kept(output, stem_of(date) + ".tif")
        return sequence

    @staticmethod
    def _check_readable(parameter, given):
        """Raise UnreadableRaster with the names of all images that cannot be opened, to be copied at once."""
        problems = []
        for number, image in enumerate(given, 1):
            try:
                open_raster(image["path"], f"{parameter.name}{number}", image.get("options")).close()
            except UnreadableRaster as problem:
                problems.append(problem)
        if problems:
            problems[0].names = [name for problem in problems for name in problem.names]
            raise problems[0]

    def _check_kept(self, output, file):
        """Raise UserError where a raster in an output folder would replace what is to stay."""
        sentence = self._kept.get(output.name, {}).get(file)
        if sentence:
            raise UserError("{sentence}", sentence=sentence)

    def spectra(self, parameter):
        """The spectra of a spectra parameter, as they are in the layer; None where it is not given."""
        given = self.values.get(parameter.name)
        return None if given is None else from_features(given["features"], parameter.name)

    def features(self, parameter):
        """Features: dictionaries with a GeoJSON `geometry` in the raster's CRS, and `attributes`."""
        given = self.values.get(parameter.name)
        return None if given is None else given["features"]

    # what is given back

    def raster(self, output, scene, names, **options):
        """
        A writer for a raster output on the grid of `scene` (a `Scene` or `Grid`), with the provenance in its metadata.

        `options` are the writer's.
        """
        self.result["rasters"][output.name] = _look(output.style, names, options)
        return self._writer(output, self.path(output), scene, names, options)

    def folder_raster(self, output, stem, scene, names, time=None, **options):
        """
        A writer for one more raster in an output folder, as `raster` gives it; its file is named after `stem`.

        What a file name cannot hold is replaced, and of two stems that would share a file the later gets a number.
        `time` is from when until when it stands, two dates.
        """
        folder, rasters = self.path(output), self.result["folders"].setdefault(output.name, [])
        file = distinct(stem, [other["file"] for other in rasters], ".tif")
        self._check_kept(output, file)
        rasters.append({"file": file, **_look(output.style, names, options)})
        tags = {}
        if time:
            rasters[-1]["time"] = [date.isoformat() for date in time]
            tags = {"ACQUISITION_DATE": written(time[0])}
        with contextlib.suppress(OSError):  # the writer says what is wrong
            os.makedirs(folder, exist_ok=True)
        return self._writer(output, os.path.join(folder, file), scene, names, options, tags)

    def dated_rasters(self, output, dates, scene, names, **options):
        """A writer for each date of a dated output folder, in a list; files are named after the dates."""
        return [self.folder_raster(output, stem_of(date), scene, names, (date, end), **options)
                for date, end in zip(dates, ends(dates))]

    def _writer(self, output, path, scene, names, options, tags=None):
        tags = {**self.provenance(), "SUBPIXEL_OUTPUT": output.name, **(tags or {})}
        return RasterWriter(path, scene, names, tags=tags, **options)

    def show_band(self, output, band):
        """The band, from 1, by which a raster of one band's colours, or every one of a folder, is shown at first."""
        for look in self._looks(output):
            look["band"] = int(band)

    def classes(self, output, names, given=None, numbers=None):
        """
        The classes of a paletted raster for its style and legend, in `given` colours or their own.

        `numbers` are their values; by default 1, 2, ...
        """
        self.result["rasters"][output.name].update(
            names=list(names), colours=given or colours(names),
            numbers=[int(number) for number in numbers or range(1, len(names) + 1)])

    def give_range(self, output, low, high):
        """The range of values that the output's style spans; of a folder, that of every raster written so far."""
        for look in self._looks(output):
            look["range"] = [float(low), float(high)]

    def _looks(self, output):
        return self.result["folders"].get(output.name, []) if isinstance(output, FolderOutput) \
            else [self.result["rasters"][output.name]]

    def give_spectra(self, output, spectra, scene=None):
        """Spectra for a layer, which the provider writes in the CRS of the scene or grid that their points lie on."""
        if self.wants(output):
            names = list(dict.fromkeys(spectra.names))
            name, crs = getattr(scene, "name", None), getattr(scene, "crs", None)
            self.result["spectra"][output.name] = {
                "features": spectra.to_features(), "raster": name, "crs": crs.to_wkt() if crs and not name else None,
                "names": names, "colours": colours(names), "colour": expression("name")}

    def give_table(self, output, rows):
        """Rows for a table, dictionaries of plain values with the same keys in the same order."""
        if self.wants(output):
            self.result["tables"][output.name] = [{name: plain(value) for name, value in row.items()} for row in rows]

    def give_features(self, output, features, parameter):
        """
        Features for a layer in the CRS of the rasters behind a `parameter`.

        Each is a dictionary of `points`, those of a line or around a polygon, and `attributes`, plain values; the
        fields of the output's `times` hold datetimes.
        """
        if self.wants(output):
            self.result["features"][output.name] = {
                "raster": parameter.name, "geometry": output.geometry, "shade": output.shade, "times": output.times,
                "features": [{"points": [[float(part) for part in point] for point in feature["points"]],
                              "attributes": {name: value.isoformat() if name in output.times else plain(value)
                                             for name, value in feature["attributes"].items()}}
                             for feature in features]}

    def give_number(self, output, value):
        """A number, as a plain Python one."""
        self.result["numbers"][output.name] = plain(value)

    def report(self, output):
        """An empty report, or None where none was asked for."""
        if not self.wants(output):
            return None
        from .report import Report
        return Report(self.tool.label, self.tool.help()[0])

    def give_report(self, output, report):
        """Write the report's file."""
        run = {"Tool": f"subpixel:{self.tool.id}, Subpixel {self._version}", "Method": self.tool.citation,
               **{name: "-" if value is None else value for name, value in self._plain_values().items()}}
        with open(self.path(output), "w", encoding="utf-8") as file:
            file.write(report.html(run))

    def _plain_values(self):
        plain = {}
        for name, value in self.values.items():
            if isinstance(value, list) and value and isinstance(value[0], dict):
                value = [image["path"] for image in value]
            elif isinstance(value, dict):
                value = value.get("path") or f"{len(value.get('features', ()))} features of {value.get('source', '')}"
            plain[name] = value
        return plain

    def provenance(self):
        """Tool, version, parameters and input, for the metadata of what is written."""
        return {"SUBPIXEL_TOOL": f"subpixel:{self.tool.id}", "SUBPIXEL_VERSION": self._version,
                "SUBPIXEL_PARAMETERS": json.dumps(self._plain_values(), ensure_ascii=False)}

    # what is said on the way

    def passes(self, number):
        """How many passes over the raster the run will take, for its progress."""
        self._passes = number

    def progress(self, done, total):
        """`done` of `total` steps of the present pass are over."""
        percent = min(99, int(100 * (self._passed + done / max(total, 1)) / self._passes))
        if done >= total:
            self._passed += 1
        if percent > self._percent:
            self._percent = percent
            self._tell({"progress": percent})

    def say(self, template, **arguments):
        """A message for the log."""
        self._tell({"message": template, "arguments": arguments})

    def warn(self, template, **arguments):
        """Something that the user should see."""
        self._tell({"warning": template, "arguments": arguments})


def stem_of(date):
    """What the raster of a date is named after."""
    return written(date).replace(":", "")


def _look(style, names, options):
    """What the provider needs to know of a raster to style it; `options` are its writer's."""
    look = {"style": style.value, "names": list(names), "colours": colours(names)}
    if style is Style.SPECTRAL:
        look["rgb"] = natural_colours(len(names), options.get("wavelengths"))
    return look


def plain(value):
    """A numpy scalar as a Python one."""
    return value.item() if hasattr(value, "item") else value
