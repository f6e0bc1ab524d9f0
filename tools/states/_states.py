"""What tools for states share: images and a model of their series in, a raster per date out, also between and after."""

from dataclasses import replace

from ...engine.declare import (Choice, FileInput, Flag, FolderOutput, Group, Integer, LayersOutput, Real, ReportOutput,
                               Style, Text, Tool)
from .. import _shared
from ..multitemporal import _sequence
from . import _model

LEARN = 32_000_000   # values, of all dates and bands, of the pixels looked at for noise and examples, at most
PIXELS = 4000        # of them, at most
SHOWN = 6            # bands in a plot
EXAMPLES = 3         # pixels in the report
FEWER = 7            # of so many pixels one counts for the range of colours

LINEAR = {"walk": "Random walk", "trend": "Local linear trend", "seasonal": "Seasonal harmonics",
          "table": "Linear operator, from a table"}

IMAGES = replace(_sequence.IMAGES, spectral=False, help="Images of one place, at least two, in the order of their "
                 "dates: fractions (as any unmixing tool writes them), an index or bands, on one grid with the same "
                 "bands; one band is allowed. " + _sequence.FOLDER[0].upper() + _sequence.FOLDER[1:] + " What is "
                 "nodata at a date, under a cloud say, is a gap that is filled.")

QUANTITY = Choice("QUANTITY", "Quantity", default="fractions", options={"fractions": "Fractions", "values": "Values"},
                  help="Fractions are not negative and sum to one over the bands, and so do the results: they are "
                  "filtered as logarithms of their ratios (an orthonormal softmax basis), and bands are matched by "
                  "their names. Values are filtered as they are, each band by itself. Default fractions.")

DYNAMICS = Choice("DYNAMICS", "Dynamics", default="walk", options=LINEAR, help="How a series goes on from date to "
                  "date. Random walk: the level stays, but for random steps. Local linear trend: a level with a slope, "
                  "both of which change slowly; of fractions, logistic growth or decay. Seasonal harmonics: a level "
                  "and waves of a PERIOD. A table: OPERATOR. Default random walk.")

PERIOD = Real("PERIOD", "Period (days)", default=365.25, minimum=0.01, maximum=1e5, help="Of seasonal harmonics: after "
              "how many days a season comes again, 0.01 to 100000. Default 365.25, a year.")

HARMONICS = Integer("HARMONICS", "Harmonics", default=1, minimum=1, maximum=10, help="Of seasonal harmonics: how many "
                    "waves make a season, 1 to 10; the second has half the period, and so on. A series needs at least "
                    "1 + 2 HARMONICS dates. Default 1.")

OPERATOR = FileInput("OPERATOR", "Table of the operator", extensions=("csv",), optional=True, help="Of the dynamics "
                     "from a table: CSV file with a square table of numbers, without names, as many as there are "
                     "bands. Row by row, what each band becomes after INTERVAL days from all bands before; for other "
                     "intervals, fractional powers of it. Its spectral radius is at most 1.")

INTERVAL = Real("INTERVAL", "Interval of the table (days)", default=16.0, minimum=1e-3, maximum=1e5, help="Of the "
                "dynamics from a table: after how many days it holds, 0.001 to 100000. Default 16.")

UNIT = "in the images' units, for fractions in natural logarithms (0.1 is about a tenth of a fraction)"

STEP = Real("STEPNOISE", "Steps in a year", optional=True, minimum=0.0, maximum=1e9, help="Standard deviation by which "
            f"random steps move the level within a year, {UNIT}: 0 or more. The larger, the more closely the results "
            "follow the images. Empty: estimated by maximum likelihood from a sample of the pixels, for each band.")

COURSE = Real("COURSENOISE", "Steps of slope or season in a year", optional=True, minimum=0.0, maximum=1e9,
              advanced=True, help="Standard deviation by which, within a year, random steps change the slope of a "
              f"trend (per year) or the numbers of each wave of a season, {UNIT}: 0 or more. Empty: estimated by "
              "maximum likelihood from a sample of the pixels.")

NOISE = Real("NOISE", "Noise of an image", optional=True, minimum=1e-9, maximum=1e9, help="Standard deviation of the "
             f"error of a pixel at a date, {UNIT}: above 0. Empty: estimated by maximum likelihood from a sample of "
             "the pixels, for each band.")

AT = Text("AT", "Further dates", optional=True, help="Dates to estimate too, between the images or after the last of "
          "them (a forecast), separated by commas: 2021-03-01, 2021-06-01, with or without a time. None before the "
          "first image. Empty: the images' dates only.")

SMOOTH = Flag("SMOOTH", "Use later dates too", default=True, help="Estimate every date from all images, those after it "
              "included. No: only from those up to it, as it would have been known at the time, but for the vague idea "
              "that a series begins somewhere near its mean. Default yes.")

STATES = FolderOutput("STATES", "States", style=Style.FRACTIONS, dated=True, optional=False, help="Folder with a "
                      "raster per date, named after it, with the images' bands: the estimate of the quantity without "
                      "its noise, gaps filled, further dates included. Each is loaded with its time, so that the "
                      "temporal controller plays them. Nodata (-9999) where a pixel is nodata in every image.")

UNCERTAINTY = replace(_sequence.UNCERTAINTY, label="Uncertainty of the states", help="Folder with a raster per date, "
                      "with the images' bands: the standard deviation of the state, wide in gaps and beyond the last "
                      "image. Nodata is -9999.")


class StatesTool(Tool):
    """
    A tool that estimates the states behind series of images.

    A subclass says how in `prepare`. Its folders have a raster for each of `dates_of`, all outputs the bands of
    `bands_of`.
    """

    held = 6   # numbers for each date and band of a pixel, that windows are sized by
    group = Group.STATES
    tags = ("multitemporal", "time series", "sequence", "state", "gap filling", "clouds", "forecast", "interpolation",
            "uncertainty", "filter", "abundance", "fraction", "index", "NDVI", "smoothing", "denoise", "prediction",
            "cloud removal", "phenology", "Sentinel-2", "Landsat")

    images = IMAGES
    dates = _sequence.DATES
    quantity = QUANTITY
    dynamics = DYNAMICS
    period = PERIOD
    harmonics = HARMONICS
    operator = OPERATOR
    interval = INTERVAL
    step = STEP
    course = COURSE
    noise = NOISE
    at = AT
    states = STATES
    layers = LayersOutput("STATELAYERS", "States as layers", folder="STATES", help="The rasters of the folder as a "
                          "list, for the next step of a model.")
    uncertainty = UNCERTAINTY
    uncertainty_layers = _sequence.UNCERTAINTY_LAYERS
    report = ReportOutput("REPORT", "Report", create=False, help="HTML file with the noise that was found, the course "
                          "of the mean and of some pixels with their bands of two standard deviations, and maps.")
    example = {"IMAGES": "fractionimages", "AT": "2020-07-15, 2020-11-15"}

    def run(self, job):
        job.passes(self.passes(job))
        sequence = job.sequence(self.images)
        model = _model.declared(job, self, sequence)
        Y, valid = self.sample(job, sequence, model)
        self.learn(job, model, model.series(Y, valid))
        self.say_levels(job, model)
        estimate = self.prepare(job, sequence, model)
        means = self.write(job, sequence, model, estimate)
        examples = self.examples(model, estimate, Y, valid) if job.wants(self.report) else None
        self.give_report(job, sequence, model, means, examples)

    def passes(self, job):
        """How many parts the run has for its progress: looking at a sample, finding its noise, and estimating."""
        return 3

    def learn(self, job, model, y):
        """Give the `model` its components, with noise as given or estimated from sample series `y` (T, n, m)."""
        _model.learn(job, self, model, y)

    def prepare(self, job, sequence, model):
        """
        A function of a block's pixels, `estimate(Y (T, L, n), valid (T, n))`, for a `_model.Model`.

        Every pixel is valid at one date at least. It gives `values` and `sd` (D, L, n) in the images' quantity, the
        latter None where neither their raster nor the report is asked for, and a dictionary of further outputs by name:
        (dates, bands, n) for a folder, (bands, n) for a raster.
        """
        raise NotImplementedError

    def bands_of(self, output, model):
        """Names of the bands of an output's rasters."""
        return model.bands

    def dates_of(self, output, model):
        """For which of the model's dates a folder has rasters."""
        return model.dates

    def sample(self, job, sequence, model):
        """Pixels evenly spread over the images, `(Y (T, L, S), valid (T, S))`."""
        most = max(100, min(PIXELS, LEARN // (sequence.T * sequence.L)))
        Y, valid, _ = sequence.sample(most, job.progress)
        if not Y.shape[2]:
            from ...engine.sentences import UserError
            raise UserError("So few pixels have a value in any image that none is among the {count} looked at. Clip "
                            "the images to where they have values.", count=most)
        if model.fractions:
            _shared.expect_fractions(job, Y[int(valid.sum(axis=1).argmax())])
        return Y, valid

    def say_levels(self, job, model):
        """Say how large steps and noise are, and warn where the search for them has not settled."""
        for band, step, course, noise in model.levels:
            if course is None:
                job.say("{band}: steps of {step} in a year, noise of {noise}.", band=band, step=f"{step:.3g}",
                        noise=f"{noise:.3g}")
            else:
                job.say("{band}: steps of {step} in a year, of slope or season {course}, noise of {noise}.", band=band,
                        step=f"{step:.3g}", course=f"{course:.3g}", noise=f"{noise:.3g}")
        if not model.settled:
            job.warn("The search for the most likely noise has not settled. Look at the report, or give the noise "
                     "(STEPNOISE, NOISE).")

    def write(self, job, sequence, model, estimate):
        """Go through the images and write what `estimate` gives; means of states and deviations over the pixels."""
        from contextlib import ExitStack

        import numpy as np

        from ...engine.declare import RasterOutput
        from ...engine.sentences import UserError
        figures = [_sequence.Figures(model.T, sequence.L) for _ in range(2)]
        outputs = [replace(output, style=self.style_of(output, model)) for output in self.outputs()
                   if isinstance(output, (FolderOutput, RasterOutput)) and job.wants(output)]

        def block(Y, valid, _):
            seen = valid.any(axis=0)
            if not seen.any():
                return None, seen
            if not seen.all():
                Y, valid = Y[:, :, seen], valid[:, seen]
            values, sd, more = estimate(Y, valid)
            return _sequence.Block(values, more={self.uncertainty.name: sd, **more}), seen

        with ExitStack() as stack:
            files = {}
            for output in outputs:
                bands = self.bands_of(output, model)
                files[output.name] = [stack.enter_context(file) for file in (
                    job.dated_rasters(output, self.dates_of(output, model), sequence.grid, bands)
                    if isinstance(output, FolderOutput) else [job.raster(output, sequence.grid, bands)])]
            windows = sequence.windows(self.held * model.T * sequence.L)
            low, high = np.inf, -np.inf
            for window, (found, seen) in sequence.map_blocks(block, windows, job.progress):
                if found is None:
                    empty = np.full(seen.shape, np.nan, np.float32)
                for output in outputs:
                    of = None if found is None else found.A if output.name == self.states.name else \
                        found.more[output.name]
                    for number, file in enumerate(files[output.name]):
                        if found is None:
                            file.write(window, np.stack([empty] * len(self.bands_of(output, model))))
                        else:
                            file.write(window, of[number] if isinstance(output, FolderOutput) else of, seen)
                if found is not None:
                    self.look(found)
                    figures[0].add(_sequence.Block(found.A, more={
                        output.name: found.more[output.name][..., ::FEWER] for output in outputs
                        if output.style is Style.DEPARTURE}), seen)
                    if job.wants(self.report):
                        figures[1].add(_sequence.Block(found.more[self.uncertainty.name]), seen)
                    cut = np.quantile(found.A[..., ::FEWER], [0.02, 0.98])
                    low, high = min(low, cut[0]), max(high, cut[1])
        if not np.isfinite(low):
            raise UserError("No pixel has a value in any image. Choose other images.")
        band = figures[0].most_changed() + 1
        for output in outputs:
            if self.bands_of(output, model) == model.bands:
                job.show_band(output, band)
            if output.style is Style.VALUES and output.name == self.states.name:
                job.give_range(output, low, high)
            if output.style is Style.DEPARTURE and output.name in figures[0].most:
                job.give_range(output, 0, figures[0].most[output.name])
        return figures[0].means, figures[1].means, band

    def look(self, found):
        """What a method counts of the `_sequence.Block` that it has given, block by block in their order."""

    def style_of(self, output, model):
        """How an output is drawn: the states as the quantity that they are."""
        return Style.VALUES if output.name == self.states.name and not model.fractions else output.style

    def examples(self, model, estimate, Y, valid):
        """
        Some pixels of the sample: measured values (E, D, L), states and deviations.

        Those whose best-known band varies most, half as much as most, and of those with the most gaps one.
        """
        import numpy as np
        values = np.where(valid[:, None], Y, np.nan)
        often = np.flatnonzero(valid.sum(axis=0) >= max(2, valid.sum(axis=0).max() / 2))
        if not len(often):
            often = np.arange(Y.shape[2])
        order = often[np.argsort(np.nan_to_num(np.nanvar(values[:, :, often], axis=0)).max(axis=0), kind="stable")]
        gaps = often[int(np.argmin(valid[:, often].sum(axis=0)))]
        chosen = list(dict.fromkeys([int(order[-1]), int(order[len(order) // 2]), int(gaps)]))[:EXAMPLES]
        found, sd, _ = estimate(Y[:, :, chosen], valid[:, chosen])
        measured = np.full(found.shape, np.nan)
        for k, (part, place) in enumerate(zip(values[:, :, chosen], model.orders)):
            measured[model.observed[k]] = part[place]
        return measured.transpose(2, 0, 1), found.transpose(2, 0, 1), sd.transpose(2, 0, 1)

    def give_report(self, job, sequence, model, means, examples):
        report = job.report(self.report)
        if report is None:
            return
        import numpy as np
        states, deviations, band = means
        report.numbers(images=sequence.T, further_dates=model.T - sequence.T, bands=sequence.L)
        shown = sorted(np.argsort(-np.ptp(states, axis=0), kind="stable")[:SHOWN].tolist())
        label = "Fraction" if model.fractions else "Value (images' units)"

        def course(values, sd, measured=None):
            report.history(model.names, {model.bands[each]: values[:, each] for each in shown}, label,
                           {model.bands[each]: 2 * sd[:, each] for each in shown},
                           None if measured is None else {model.bands[each]: measured[:, each] for each in shown},
                           (0, 1) if model.fractions else (-np.inf, np.inf))

        report.heading("Mean over the pixels")
        report.paragraph("The band is twice the standard deviation of a pixel's state on average" + (
            ", cut off at 0 and 1." if model.fractions else "."))
        if len(shown) < len(model.bands):
            report.paragraph(f"Of {len(model.bands)} bands the {len(shown)} whose mean changes most.")
        course(states, deviations)
        report.heading("Some pixels")
        report.paragraph("Points are the images, lines the states, bands two standard deviations of the state without "
                         "the noise of an image: the pixel that varies most, one that varies as most do, and the one "
                         "with the most gaps.")
        for measured, values, sd in zip(*examples):
            course(values, sd, measured)
        self.add_levels(report, model)
        if model.fractions:
            _sequence.add_pictures(job, report, self.states, model, model.bands)
        else:
            self.add_maps(job, report, model, band)
        self.add_to_report(job, report, sequence, model)
        job.give_report(self.report, report)

    def add_levels(self, report, model):
        """A table of steps and noise, as given or estimated."""
        report.heading("Steps and noise")
        report.paragraph("Standard deviations, in natural logarithms of ratios of fractions: a component of the basis "
                         "is a contrast of the bands so far with the next." if model.fractions else
                         "Standard deviations in the images' units.")
        courses = any(row[2] is not None for row in model.levels)
        report.table(["Component", "steps in a year", *["steps of slope or season in a year"][:courses], "noise"],
                     [[row[0], row[1], *[row[2]][:courses], row[3]] for row in model.levels])

    def add_maps(self, job, report, model, band):
        """Maps of one band at some dates."""
        import os

        import numpy as np

        from ...engine.pictures import bands_of
        written = job.result["folders"][self.states.name]
        step = -(-model.T // _sequence.PICTURES)
        images = {model.names[number]: bands_of(os.path.join(job.path(self.states), written[number]["file"]),
                                                [band], 420)[0] for number in range(0, model.T, step)}
        values = np.concatenate([image[np.isfinite(image)] for image in images.values()])
        report.heading(f"{model.bands[band - 1]}, date by date")
        report.maps(images, label="Value", limits=tuple(np.quantile(values, [0.02, 0.98])))

    def add_to_report(self, job, report, sequence, model):
        """What a method's report has besides."""


class NonlinearStatesTool(StatesTool):
    """A tool whose method takes dynamics that are not linear too."""

    dynamics = replace(DYNAMICS, options={**LINEAR, "logistic": "Logistic growth or decay"}, help=DYNAMICS.help.replace(
        " A table:", " Logistic: growth to CAPACITY at RATE, or decay. A table:"))
    rate = Real("RATE", "Rate (per year)", default=4.0, minimum=-1e4, maximum=1e4, help="Of logistic growth, the "
                "same for all bands: at first by which factor, as a natural logarithm, a small value grows in a year; "
                "negative for decay; -10000 to 10000. Default 4, from a tenth of the capacity to nine tenths in about "
                "13 months.")
    capacity = Real("CAPACITY", "Capacity", default=1.0, minimum=1e-9, maximum=1e9, help="Of logistic growth: the "
                    "value to which it leads, in the images' units, above 0. Default 1.")
    # what is declared again comes last: dynamics first, then what they take
    period = PERIOD
    harmonics = HARMONICS
    operator = OPERATOR
    interval = INTERVAL
    step = STEP
    noise = replace(NOISE, help=NOISE.help.replace(" for each band.", " for each band; with logistic dynamics, by that "
                    "of a local linear trend, which follows growth of any rate."))
    at = AT
