"""What tools for events share: samples to learn from, and a model run over a series block by block."""

from dataclasses import replace

from ...engine.declare import (Choice, FeaturesInput, FieldInput, FileOutput, Flag, Group, Integer, RasterOutput, Real,
                               ReportOutput, Style, Text, Tool)
from .. import _shared
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
DECADES = 100            # of losses, below which powers of ten would be too few marks on an axis
FEW = 10                 # samples without an event, fewer than which make poor thresholds
MOST_TIMES = 1000        # a threshold: what is above is not told apart in the report


class DetectionTool(Tool):
    """
    A tool that detects events with a trained network, block by block. A subclass says where `run` has that from.

    The network has `detect(X (m, Q, n) float32, valid (Q, n))`, which gives `event` (Q,), the class from 1 or 0, `date`
    (Q,), the image from 0 or -1, and `index` (C, Q), relative to the thresholds; and `patterns` (C, features, r) of
    what `features` (`learning.Features`) says.
    """

    group = Group.EVENTS
    requires = (*Tool.requires, "torch")
    tags = ("multitemporal", "time series", "sequence", "event", "detection", "change", "date", "fire", "flood",
            "drought", "harvest", "pattern", "course", "change detection", "disturbance", "deforestation", "clear-cut",
            "burned area", "mowing", "Sentinel-2", "Landsat")

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

    def give_report(self, job, sequence, model, names, summary, samples=None, losses=()):
        """Write the report, with what became of the `samples` and `losses` where the model has just been learned."""
        report = job.report(self.report)
        if report is None:
            return
        report.numbers(dates=sequence.T, bands=sequence.L, classes=len(names),
                       **{"pixels_with_an_event_(%)": 100 * summary.share})
        if samples is not None:
            add_samples(report, samples, model.detect(samples.X, samples.valid))
        if len(losses) > 1:
            report.curve(range(len(losses)), losses, "Learning", "Epoch", "Loss per series",
                         logarithmic=max(losses) > DECADES * min(losses))
        report.heading("Events over time")
        report.history(sequence.names, dict(zip(names, summary.begun)), "Pixels in which one begins")
        add_courses(report, sequence, model, names)
        report.heading("Where they are")
        report.picture(picture_of(job.path(self.event), names), "Detected events in the colours of the curves: "
                       + ", ".join(names) + ". Pale grey without one, white where nodata.")
        job.give_report(self.report, report)


class EventTool(DetectionTool):
    """A tool that learns events from samples and detects them all over the series. A subclass says with what."""

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
    length = Integer("LENGTH", "Length of an event (images)", default=5, minimum=1, maximum=1000, help="Over how many "
                     "consecutive images the longest event shows, 1 to the number of images; what comes after takes no "
                     "part. Default 5.")
    kind = Choice("FEATURES", "What tells of events", default="changes", options={
        "changes": "Gains and losses against the pixel's own background", "values": "The values as they are"},
        help="Methods that only add cannot see what an event takes away. So each pixel's background is made of the "
             "courses that backgrounds take, and what it gains and loses against that are what tells of events: for "
             "reflectances and whatever may fall as well as rise. The values as they are: for fractions or an index "
             "that events only raise. Default gains and losses.")
    backgrounds = Integer("BACKGROUNDS", "Courses of the background", default=6, minimum=1, maximum=1000, help="Of how "
                          "many courses over all dates the backgrounds are mixtures, 1 to 1000, at most as many as "
                          "pixels that they are learned from. About the number of materials, more where they follow "
                          "different seasons; too many take up events. Default 6.")
    layers = Integer("LAYERS", "Layers", default=50, minimum=1, maximum=100000, help="Steps of the network, 1 to "
                     "100000, to which its time is proportional. Default 50; the thesis has 1000.")
    discriminative = Integer("DISCRIMINATIVE", "Layers that learn", default=3, minimum=0, maximum=10000,
                             help="How many of the layers, the last ones, have dictionaries of their own, which are "
                             "learned: 0 to the number of layers; 0 learns nothing but the courses. Default 3; the "
                             "thesis has 20 or 40 of 1000.")
    epochs = Integer("EPOCHS", "Epochs", default=10, minimum=0, maximum=100000, help="How often learning goes through "
                     "all series, 0 to 100000. The best epoch's dictionaries are kept. Default 10; the thesis has 3.")
    threshold = Choice("THRESHOLD", "Threshold of detection", default="max", options={
        "max": "Largest index without an event", "mean": "Geometric mean of those without an event"},
        help="An event is detected where its index is above the largest one of the samples without an event, or above "
             "their geometric mean, which finds weaker events and more that are none. Default the largest.")
    uncertainty = Choice("UNCERTAINTY", "Reduction of uncertainty", default="2", options={
        "none": "None", "0": "Errors in proportion to the index (beta = 0)", "1": "Poisson errors (beta = 1)",
        "2": "Errors of one size (beta = 2)"}, help="An event raises the indices of classes that resemble it too. How "
        "much is learned from the samples, and the fewest events are looked for that explain all indices of a pixel "
        "together, for errors of the indices of this kind. It found more gradual events, and fewer false ones. Default "
        "errors of one size; published none or any.")
    groups = Integer("BANDGROUPS", "Groups of bands", default=12, minimum=1, maximum=1000, advanced=True, help="Means "
                     "of so many groups of neighbouring bands are looked at, 1 to 1000, or all bands where there are "
                     "no more: less noise, and less time. Default 12.")
    unlabelled = Integer("UNLABELLED", "Further pixels for the backgrounds", default=1500, minimum=0, maximum=100000,
                         advanced=True, help="The background's courses are also learned from about so many pixels, "
                         "evenly spread over the images, less those that depart from it most; 0 to 100000, 0 for none. "
                         "A few samples alone do not hold every background. Default 1500.")
    mixtures = Integer("MIXTURES", "Mixtures to learn from", default=1000, minimum=0, maximum=1000000, advanced=True,
                       help="Beside the samples the network learns from so many series, 0 to 1000000, in which events "
                       "of the samples are moved to other pixels and dates. Default 1000.")
    batch = Integer("BATCH", "Size of a mini-batch", default=2000, minimum=1, maximum=1000000, advanced=True,
                    help="After how many series the dictionaries are changed, 1 to 1000000: the more, the more "
                    "steadily the loss falls, most of all where it is all series. Default 2000, all that the defaults "
                    "make of up to 1000 samples; the thesis has about 30.")
    sparsity = Real("SPARSITY", "Sparsity (alpha_H)", default=0.0, minimum=0.0, maximum=1e6, advanced=True, help="How "
                    "much activations cost, relative to bands of which nearly the largest value is 1: 0 or more, where "
                    "larger values leave fewer of them. Default 0, as in the thesis, which also has 0.05.")
    fidelity = Real("FIDELITY", "Weight of the events (alpha_S)", default=1e6, minimum=0.0, maximum=1e12, advanced=True,
                    help="How much learning looks at what the event's own course adds, against what is filtered out of "
                    "the series: 0 or more, without a unit. Default 1000000, as in the thesis.")
    seed = _shared.SEED
    saved = FileOutput("MODEL", "Model", create=False, extensions=("npz",), help="File with the learned model, for the "
                       "tool that applies it to other series of the same bands and number of dates (applyevents).")
    example = {"IMAGES": "eventimages", "SAMPLES": "eventsamples", "DATEFIELD": "eventdate", "LAYERS": 20,
               "DISCRIMINATIVE": 3, "EPOCHS": 2, "MIXTURES": 100, "UNLABELLED": 200}

    def network(self):
        """The class of networks."""
        raise NotImplementedError

    def learn(self, job, samples, unlabelled):
        """
        A model learned from samples.

        Parameters
        ----------
        job : Job
            Its progress may run up to, but not reach, the end of a pass.
        samples : EventSamples
            Of the tools, see `_samples`.
        unlabelled : (ndarray (m, U, n) float32, ndarray (U, n) of bool) or None
            Further pixels, and which of their dates are valid.

        Returns
        -------
        model : object
            With `detect`, `patterns` and `features` (see `DetectionTool`), and `state()`, a dictionary of arrays.
        losses : list of float
            Per series, before learning and after each epoch.
        """
        import numpy as np

        from ...algorithms.events.learning import Indistinct
        from ...engine.memory import need
        from ...engine.sentences import UserError
        settings, epochs = self._settings(job), job.value(self.epochs)
        epochs = epochs if settings.C else 0
        features = min(settings.groups, len(samples.X)) * (1 + settings.changes)
        need(8 * settings.mixtures * samples.X.shape[2] * features * (2 + settings.length),
             "Learn from fewer mixtures (MIXTURES).")

        def follow(epoch, loss):
            job.progress(epoch, epochs + 1)
            job.say("Epoch {epoch} of {epochs}: loss {loss} per series.", epoch=epoch, epochs=epochs,
                    loss=f"{loss:.4g}")

        try:
            network, _, losses = self.network().learn(
                samples.X, samples.valid, samples.label, samples.date, np.random.default_rng(job.value(self.seed)),
                settings, unlabelled=unlabelled, epochs=epochs, batch=job.value(self.batch), callback=follow)
        except Indistinct as error:
            way = ("take fewer courses for backgrounds (BACKGROUNDS)" if settings.changes else
                   "look at gains and losses (FEATURES)")
            raise UserError("The samples of {event} do not differ from the background at their dates. Check their "
                            "dates and their class, or {way}.", event=samples.names[error.number - 1],
                            way=way) from error
        if epochs and min(losses[1:]) >= losses[0]:
            job.warn("Learning did not lower the loss, {loss} per series: the dictionaries are those it began with. "
                     "Take larger mini-batches (BATCH), or more epochs (EPOCHS).", loss=f"{losses[0]:.4g}")
        elif epochs:
            job.say("Learning has lowered the loss from {before} to {after} per series.", before=f"{losses[0]:.4g}",
                    after=f"{min(losses):.4g}")
        return network, losses

    def run(self, job):
        from ...engine import models
        job.passes(3 + bool(job.value(self.unlabelled)))   # the samples, further pixels, learning, detecting
        sequence = job.sequence(self.images)
        self._check(job, sequence)
        samples = event_samples(job, sequence, job.features(self.samples), job.value(self.event_field),
                                job.value(self.date_field), job.value(self.no_event), job.value(self.clip))
        job.say("Sample pixels: {none} without an event, {events}.", none=int(samples.counts[0]), events=", ".join(
            f"{name} {count}" for name, count in zip(samples.names, samples.counts[1:])))
        if samples.counts[0] < FEW:
            job.warn("Only {count} sample pixels are without an event, and the thresholds come from them: some pixels "
                     "without an event may be taken for one. Add samples of every kind of background.",
                     count=int(samples.counts[0]))
        model, losses = self.learn(job, samples, self._further_pixels(job, sequence))
        job.progress(1, 1)
        if job.wants(self.saved):
            models.save(job.path(self.saved), self.id, sequence.grid, model.state(), names=samples.names,
                        dates=sequence.T, days=days(sequence))
        summary = self.detect(job, sequence, model, samples.names)
        self.give_report(job, sequence, model, samples.names, summary, samples, losses)

    def _check(self, job, sequence):
        """Raise UserError where settings fit neither the series nor each other."""
        from ...engine.sentences import UserError
        length, layers, own = (job.value(each) for each in (self.length, self.layers, self.discriminative))
        if length > sequence.T:
            raise UserError("An event is to last {length} images (LENGTH), and the series has {count}. Choose a length "
                            "of 1 to {count}, or add images.", length=length, count=sequence.T)
        if own > layers:
            raise UserError("{own} of {layers} layers are to learn. Choose at most as many (DISCRIMINATIVE) as there "
                            "are layers (LAYERS).", own=own, layers=layers)

    def _settings(self, job):
        from ...algorithms.events.network import Settings
        beta = job.value(self.uncertainty)
        return Settings(
            length=job.value(self.length), backgrounds=job.value(self.backgrounds), K=job.value(self.layers),
            C=job.value(self.discriminative), sparsity=job.value(self.sparsity), fidelity=job.value(self.fidelity),
            groups=job.value(self.groups), changes=job.value(self.kind) == "changes",
            mixtures=job.value(self.mixtures), threshold=job.value(self.threshold),
            beta=None if beta == "none" else float(beta))

    def _further_pixels(self, job, sequence):
        """Pixels evenly spread over the images, X (m, U, n) and valid (U, n); None where none are asked for."""
        from ...engine.memory import need
        most = job.value(self.unlabelled)
        if not most:
            return None
        need(12 * sequence.L * sequence.T * min(most, sequence.grid.width * sequence.grid.height),
             "Take fewer further pixels (UNLABELLED), bands or images.")
        Y, valid, _ = sequence.sample(most, job.progress)
        X, negative = nonnegative(Y.transpose(1, 2, 0), job.value(self.clip), "some pixels of the images")
        if negative:
            job.say("Set {count} of {all} values of further pixels that are negative to 0.", count=negative,
                    all=X.size)
        return X, valid.T


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


def add_courses(report, sequence, model, names):
    """Plots of the course of each class in a report, and of what it does to the bands where it is largest."""
    import numpy as np
    features, patterns = model.features, model.patterns
    courses = patterns.sum(axis=1)
    report.heading("Courses of the events")
    report.paragraph("As learned: the sum of all changes of the bands, relative to its largest value.")
    report.curves(range(courses.shape[1]), dict(zip(names, courses / courses.max(axis=1, keepdims=True).clip(1e-12))),
                  "Images since the event began", coloured=True)
    groups = len(features.scale)
    if groups == 1:
        return
    if features.courses is not None:
        patterns = patterns[:, :groups] - patterns[:, groups:]
    height = patterns[np.arange(len(names)), :, courses.argmax(axis=1)] * features.scale
    grid = sequence.grid
    x, label = (grid.indexes, "Band") if grid.wavelengths is None else (grid.wavelengths, "Wavelength (nm)")
    middle = np.bincount(features.groups, x) / np.bincount(features.groups)
    report.heading("What the events change")
    report.paragraph("At the height of each event, on average over its samples, less what is usual there at that date."
                     if features.courses is not None else "At the height of each event, on average over its samples.")
    report.curves(middle, dict(zip(names, height)), label, "Change (images' units)", coloured=True)


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
        median = float(np.median(found.index[number - 1, own]))
        # the index is relative to that of samples without an event, which may show nothing of it at all
        rows.append([name, median if median < MOST_TIMES else f"above {MOST_TIMES}",
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
