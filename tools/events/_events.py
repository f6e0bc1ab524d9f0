"""What tools for events share: samples to learn from, and a model run over a series block by block."""

from dataclasses import replace

from ...engine.declare import (FeaturesInput, FieldInput, FileOutput, Flag, Group, RasterOutput, ReportOutput, Style,
                               Text, Tool)
from ..multitemporal import _sequence
from ._samples import event_samples, nonnegative

IMAGES = replace(_sequence.IMAGES, spectral=False, help="Images of one place, at least two, in the order of their "
                 "dates: layers or files on one grid with the same bands, spectra, an index or fractions; one band is "
                 "allowed. " + _sequence.FOLDER[0].upper() + _sequence.FOLDER[1:] + " Pixels that are nodata in a used "
                 "band of an image are left out at its date.")
CLIP = Flag("CLIP", "Clip negative values", default=False, help="Set negative values of the images to 0, and say how "
            "many there were. Otherwise they are refused. Default no.")
NODATA = 255             # of the classes, of which 0 stands for no event
TRANSPARENT = "#00ffffff"
SAME_STEP = 0.25         # by which the days from image to image may differ from the model's before that is said
NONE = "none"


class DetectionTool(Tool):
    """
    A tool that detects events with a trained network, block by block. A subclass says where `run` has that from.

    The network has `detect(X (m, Q, n) float32, valid (Q, n))`, which gives `event` (Q,), the class from 1 or 0, `date`
    (Q,), the image from 0 or -1, and `index` (C, Q), relative to the thresholds; and `patterns` (C, features, r).
    """

    group = Group.EVENTS
    requires = (*Tool.requires, "torch")
    tags = ("multitemporal", "time series", "sequence", "event", "detection", "change", "date", "fire", "flood",
            "drought", "harvest", "pattern", "course")

    images = IMAGES
    dates = _sequence.DATES
    clip = CLIP
    event = RasterOutput("EVENT", "Events", style=Style.DOMINANT, optional=False, help="Raster of bytes: the class of "
                         "the event detected in each pixel, from 1, in the order of the legend, and 0 where none was. "
                         "Nodata is 255.")
    date = RasterOutput("DATEOFEVENT", "Dates of the events", style=Style.DATE, help="Raster with the number of the "
                        "image, from 1, with which each detected event begins; the legend has the dates. Nodata (0) "
                        "where none was detected.")
    index = RasterOutput("INDEX", "Detection indices", style=Style.DEPARTURE, help="Raster with a band per class: its "
                         "detection index as a multiple of its threshold, so an event is told from 1 upwards. Nodata "
                         "is -9999.")
    report = ReportOutput("REPORT", "Report", create=False, help="HTML file with the figures and plots of the run.")

    def detect(self, job, sequence, model, names):
        """Go through the images, write what the model detects and say how much of each class; a `Summary` of it."""
        from contextlib import ExitStack

        import numpy as np

        from ...algorithms.device import one_thread_each
        from ...engine.palette import colours
        from ...engine.sentences import UserError
        if len(names) >= NODATA:
            raise UserError("There are {count} classes of events, and a map of them holds at most {most}. Merge some.",
                            count=len(names), most=NODATA - 1)
        clip, summary = job.value(self.clip), Summary(len(names), sequence.T)

        def block(Y, valid, _):
            seen = valid.any(axis=0)
            X = np.ascontiguousarray(np.where(valid[:, None], Y, 0)[:, :, seen].transpose(1, 2, 0))
            X, negative = nonnegative(X, clip, "a part of the images")
            return model.detect(X, np.ascontiguousarray(valid[:, seen].T)), seen, negative

        with one_thread_each(), ExitStack() as stack:
            def open_raster(output, bands, **options):
                return stack.enter_context(job.raster(output, sequence.grid, bands, **options)) \
                    if job.wants(output) else None

            events = open_raster(self.event, [self.event.label], dtype="uint8", nodata=NODATA)
            dates = open_raster(self.date, [self.date.label], dtype="uint16", nodata=0)
            indices = open_raster(self.index, names)
            windows = sequence.windows(2 * sequence.T * sequence.L)
            for window, (found, seen, negative) in sequence.map_blocks(block, windows, job.progress):
                summary.add(found, negative)
                events.write(window, found.event, seen)
                if dates:
                    dates.write(window, found.date + 1, seen)
                if indices:
                    indices.write(window, found.index, seen)
        job.classes(self.event, [NONE, *names], [TRANSPARENT, *colours(names)], range(len(names) + 1))
        if dates:
            job.classes(self.date, sequence.names)
        if indices:
            job.show_band(self.index, int(summary.most.argmax()) + 1)
            job.give_range(self.index, 0, max(float(summary.most.max()), 1.0))
        summary.say(job, names)
        return summary

    def give_report(self, job, sequence, model, names, summary, samples=None):
        """Write the report, with what became of the `samples` where the model has learned from any."""
        report = job.report(self.report)
        if report is None:
            return
        report.numbers(dates=sequence.T, bands=sequence.L, classes=len(names),
                       **{"pixels_with_an_event_(%)": 100 * summary.share})
        if samples is not None:
            add_samples(report, samples, model.detect(samples.X, samples.valid))
        report.heading("Events over time")
        report.history(sequence.names, dict(zip(names, summary.begun)), "Pixels in which one begins")
        report.heading("Courses of the events")
        courses = model.patterns.mean(axis=1)
        courses = courses / courses.max(axis=1, keepdims=True).clip(1e-12)
        report.paragraph("As learned: the mean over what was taken from the bands, relative to its largest value.")
        report.curves(range(courses.shape[1]), dict(zip(names, courses)), "Images since the event began")
        report.heading("Where they are")
        report.picture(picture_of(job.path(self.event), names), "Detected events: " + ", ".join(names))
        job.give_report(self.report, report)


class EventTool(DetectionTool):
    """A tool that learns events from samples and detects them all over the series. A subclass says how in `learn`."""

    samples = FeaturesInput("SAMPLES", "Samples", raster="IMAGES", help="Layer of points or polygons where it is known "
                            "what happened: of each class at least two pixels, and some without an event. They are "
                            "brought to the first image's CRS; a polygon takes the pixels whose centres it holds.")
    event_field = FieldInput("EVENTFIELD", "Field of the event", layer="SAMPLES", default="event", help="Field of the "
                             "samples that names the class of event, as text or number; samples without a value are "
                             "left out. Default event.")
    date_field = FieldInput("DATEFIELD", "Field of the date", layer="SAMPLES", optional=True, help="Field of the "
                            "samples with the date on which the event began, a date or text (2020-05-01), empty where "
                            "it is not known. It stands for the first image at or after it. None given: no date is "
                            "known.")
    no_event = Text("NOEVENT", "Value of samples without an event", default=NONE, help="What the field of the event "
                    "holds where nothing happened; capitals do not matter. Default none.")
    saved = FileOutput("MODEL", "Model", create=False, extensions=("npz",), help="File with the learned model, for the "
                       "tool that applies it to other series of the same bands and number of dates (applyevents).")
    example = {"IMAGES": "eventimages", "SAMPLES": "eventsamples", "DATEFIELD": "eventdate"}

    def learn(self, job, X, valid, label, dates):
        """
        A model learned from samples.

        Parameters
        ----------
        job : Job
            Its progress may run up to, but not reach, the end of a pass.
        X : ndarray (m, Q, n) float32
            Not negative; 0 where not valid.
        valid : ndarray (Q, n) of bool
        label : ndarray (Q,) of int
            0 without an event, else the class, 1..C.
        dates : ndarray (Q,) of int
            The image, from 0, with which the event begins; -1 where that is not known.

        Returns
        -------
        object
            With `detect` and `patterns` (see `DetectionTool`), and `state()`, a dictionary of arrays.
        """
        raise NotImplementedError

    def run(self, job):
        from ...engine import models
        job.passes(3)   # reading the samples, learning, detecting
        sequence = job.sequence(self.images)
        samples = event_samples(job, sequence, job.features(self.samples), job.value(self.event_field),
                                job.value(self.date_field), job.value(self.no_event), job.value(self.clip))
        job.say("Sample pixels: {none} without an event, {events}.", none=int(samples.counts[0]), events=", ".join(
            f"{name} {count}" for name, count in zip(samples.names, samples.counts[1:])))
        model = self.learn(job, samples.X, samples.valid, samples.label, samples.date)
        job.progress(1, 1)
        if job.wants(self.saved):
            models.save(job.path(self.saved), self.id, sequence.grid, model.state(), names=samples.names,
                        dates=sequence.T, days=days(sequence))
        summary = self.detect(job, sequence, model, samples.names)
        self.give_report(job, sequence, model, samples.names, summary, samples)


class Summary:
    """Sums over the blocks: pixels of each class and in all, how many events begin at each date, largest indices."""

    def __init__(self, C, T):
        import numpy as np
        self.begun, self.pixels, self.most, self._negative = np.zeros((C, T), dtype=int), 0, np.zeros(C), 0
        self.counts = np.zeros(C, dtype=int)

    def add(self, found, negative):
        import numpy as np
        self.pixels += found.event.size
        self._negative += negative
        hit = found.event > 0
        self.counts += np.bincount(found.event[hit] - 1, minlength=len(self.counts))
        np.add.at(self.begun, (found.event[hit] - 1, found.date[hit]), 1)
        if found.event.size:
            self.most = np.maximum(self.most, np.quantile(found.index, 0.98, axis=1))

    @property
    def share(self):
        """Share of the pixels in which an event was detected."""
        return self.counts.sum() / max(self.pixels, 1)

    def say(self, job, names):
        if self._negative:
            job.warn("Set {count} negative values of the images to 0.", count=self._negative)
        for name, count in zip(names, self.counts):
            job.say("{event}: {count} pixels, {percent} %.", event=name, count=int(count),
                    percent=f"{100 * count / max(self.pixels, 1):.2f}")


def days(sequence):
    """Mean number of days from image to image."""
    return (sequence.dates[-1] - sequence.dates[0]).total_seconds() / 86400 / (sequence.T - 1)


def add_samples(report, samples, found):
    """Tables of the sample pixels in a report: what each class was detected as, and how far off its dates are."""
    import numpy as np
    names = [NONE, *samples.names]
    report.heading("What the samples are detected as")
    report.table(["Sample", "pixels", *names], [
        [name, int(count), *np.bincount(found.event[samples.label == number], minlength=len(names)).tolist()]
        for number, (name, count) in enumerate(zip(names, samples.counts))])
    report.heading("Indices and dates of the samples")
    rows = []
    for number, name in enumerate(samples.names, 1):
        own = samples.label == number
        dated = own & (samples.date >= 0) & (found.event == number)
        off = np.abs(found.date - samples.date)[dated]
        rows.append([name, float(np.median(found.index[number - 1, own])),
                     float(found.index[number - 1, samples.label == 0].max()), int(dated.sum()),
                     float(off.mean()) if off.size else float("nan")])
    report.table(["Event", "median index", "largest index without an event", "detected, of known date",
                  "images off on average"], rows)


def picture_of(path, names):
    """The map of events as a picture (3, rows, cols): each class in its colour, grey without an event, white nodata."""
    import numpy as np

    from ...engine.palette import colours, rgb
    from ...engine.pictures import bands_of
    palette = np.full((NODATA + 1, 3), 255, dtype=np.uint8)
    palette[:len(names) + 1] = [(240, 240, 240), *map(rgb, colours(names))]
    number = np.nan_to_num(bands_of(path, [1])[0], nan=NODATA).astype(int)
    return palette[number].transpose(2, 0, 1)
