"""What tools for sequences share: images and dates in, a raster per date out, written block by block."""

from dataclasses import dataclass, field, replace

from ...engine.declare import (DatesInput, Flag, FolderOutput, Group, LayersOutput, RastersInput, RasterOutput,
                               ReportOutput, SpectraInput, SpectraOutput, Style, Tool)
from .. import _shared

LEARN = 64_000_000   # values, of all dates and bands, that endmembers are looked for in and models learned from
WIDTH = 225          # pixels of each on the page: four in a row
PICTURES = 8         # dates of which a report shows a picture
ALIKE = 1e-3         # share by which the changes of two fractions differ that change alike

FOLDER = "or all rasters of a folder, sorted by name (Add Directory in the dialog; scripts may give the folder itself)."

IMAGES = RastersInput("IMAGES", "Images", help="Images of one place, at least two, in the order of their dates: layers "
                      "or files on one grid with the same bands; " + FOLDER + " Pixels that are nodata in a used band "
                      "of an image are left out at its date.")

DATES = DatesInput("DATES", "Dates", optional=True, help="A date for every image, in their order, separated by commas: "
             "2020-05-01, 2020-08-15, with or without a time (2020-05-01T10:30). None given: each image's own, from "
             "the layer's temporal properties, else its metadata (ACQUISITION_DATE, start_time...), else its name. The "
             "dialog shows these, and the log says which each image has.")

COUNT = replace(_shared.COUNT, within_bands_of="IMAGES", help="How many materials to look for: at least 2, at most the "
                "number of bands. Default 4. Not used where endmembers are given.")

ABUNDANCES = FolderOutput("ABUNDANCES", "Abundances", style=Style.FRACTIONS, dated=True, optional=False, help="Folder "
                          "with a raster per date, named after it, of a band per endmember: the fraction of the pixel "
                          "that it covers, 0 to 1. Each is loaded with its time, so that the temporal controller plays "
                          "them. Nodata is -9999.")

LAYERS = LayersOutput("ABUNDANCELAYERS", "Abundances as layers", folder="ABUNDANCES", help="The rasters of the folder "
                      "as a list, for the next step of a model.")

UNCERTAINTY = FolderOutput("UNCERTAINTY", "Uncertainty of the abundances", style=Style.DEPARTURE, dated=True,
                           create=False, help="Folder with a raster per date, with a band per endmember: the standard "
                           "deviation of its fraction. Nodata is -9999.")

ASKED = "Empty where that folder is not asked for: in a model, make the folder an output of the model too."
UNCERTAINTY_LAYERS = LayersOutput("UNCERTAINTYLAYERS", "Uncertainty as layers", folder="UNCERTAINTY", help="The "
                                  "rasters of the uncertainty as a list, for the next step of a model. " + ASKED)


DATED_ENDMEMBERS = SpectraOutput("DATEDENDMEMBERS", "Endmembers by date", help="Layer with the spectra of every date, "
                                 "named after date and endmember, which are fields too (endmember, date).")


SETTLE = Flag("SETTLE", "Settle the reference endmembers", default=True, help="First move the reference endmembers, "
              "found or given, to where they fit the pixels of all dates best, by maximum likelihood with noise that "
              "is correlated over the bands. Those that VCA finds are outliers, the brightest pixels of the brightest "
              "date. No for endmembers that you trust as they are. Default yes.")


@dataclass
class Block:
    """
    What a method gives for the pixels of a block.

    Attributes
    ----------
    A : ndarray (T, P, n)
        NaN where a pixel of a date has no estimate.
    residual : ndarray (T, L, n) or None
        Image less reconstruction; anything where the pixel is not valid.
    more : dict
        For further outputs, by name: (T, bands, n) for a folder, (bands, n) for a raster.
    """

    A: object
    residual: object = None
    more: dict = field(default_factory=dict)


class SequenceTool(Tool):
    """A tool that unmixes a sequence. A subclass says how in `method`."""

    group = Group.TIME
    tags = ("multitemporal", "time series", "sequence", "change", "abundance", "fraction", "unmixing", "endmember",
            "sub-pixel", "spectral mixture analysis", "SMA", "change detection")

    images = IMAGES
    dates = DATES
    count = COUNT
    endmembers = SpectraInput("ENDMEMBERS", "Endmembers", raster="IMAGES", optional=True, help="Layer of spectra (a "
                              "feature each, with the fields name and profile), in the images' units: the reference of "
                              "every date. None: they are looked for in the images by vertex component analysis (VCA).")
    seed = _shared.SEED
    abundances = ABUNDANCES
    layers = LAYERS
    change = RasterOutput("CHANGE", "Change", style=Style.CHANGE, help="Raster with a band per endmember, named after "
                          "it: its fraction at the last date less that at the first, -1 to 1. Nodata is -9999 where it "
                          "is not known at either.")
    report = ReportOutput("REPORT", "Report", create=False, help="HTML file with the figures and plots of the run.")
    rmse = _shared.RMSE
    example = {"IMAGES": "images", "COUNT": 3}

    def run(self, job):
        sequence = job.sequence(self.images)
        spectra, unmix = self.prepare(job, sequence)
        self.write(job, sequence, spectra, unmix)

    def prepare(self, job, sequence):
        """The reference endmembers, and a function of a block's pixels, `unmix(Y, valid, positions) -> Block`."""
        job.passes(self.passes(job))
        spectra = self.reference(job, sequence)
        return spectra, self.method(job, sequence, spectra)

    def passes(self, job):
        """How many parts the run has for its progress: reading what is learned from, learning, and unmixing."""
        return 3

    def method(self, job, sequence, spectra):
        """
        A function of a block's pixels, `unmix(Y (T, L, n), valid (T, n), positions (n,)) -> Block`.

        `positions` are those in the images, row-major.
        """
        raise NotImplementedError

    def reference(self, job, sequence):
        """The given endmembers on the images' bands, or those of all dates together: `engine.spectra.Spectra`."""
        import numpy as np

        from ...algorithms.abundances.linear_model import check_endmembers
        from ...algorithms.multitemporal.sequence import reference
        from ...engine.spectra import of_scene
        given = job.spectra(self.endmembers)
        if given is not None:
            M = sequence.follow(lambda scene: given.to_scene(scene, job.say))
            check_endmembers(M, given.names, sum_to_one=True)
            return of_scene(sequence.grid, M, given.names, given.sources)
        Y, valid = self.learning_pixels(job, sequence)
        M = reference(Y, job.value(self.count), np.random.default_rng(job.value(self.seed)), valid)
        return of_scene(sequence.grid, M, _shared.numbered(M.shape[1]), ["VCA on all dates"] * M.shape[1])

    def by_date(self, job, sequence, spectra, M, R=None):
        """
        An `unmix` by FCLS with the endmembers `M` (T, L, P) of each date, which are given out and reported.

        `R` (L, L) weighs the bands, see `fclssequence.abundances`.
        """
        from ...algorithms.multitemporal.fclssequence import abundances
        self.give_endmembers(job, sequence, spectra, M)

        def unmix(Y, valid, positions):
            A = abundances(Y, M, valid, R)
            return Block(A, residual(Y, A, M))
        return unmix

    def settled(self, job, sequence, spectra):
        """The endmembers settled on the pixels of all dates, and the covariance (L, L) of what they leave."""
        from ...algorithms.multitemporal.sequence import settled
        Y, valid = self.learning_pixels(job, sequence)
        found = settled(Y, spectra.M, valid)
        return replace(spectra, M=found.M, sources=[f"{source}, settled".lstrip(", ") for source in
                                                    spectra.sources or [""] * spectra.P]), found.R

    def give_endmembers(self, job, sequence, spectra, M):
        """Give out, and report later, the endmembers `M` (T, L, P) of each date."""
        self.M = M
        job.give_spectra(DATED_ENDMEMBERS, dated_spectra(sequence, M, spectra))

    def learning_pixels(self, job, sequence):
        """Pixels of all dates to learn from, `(Y (T, L, N), valid (T, N))`: all, or evenly spread over large images."""
        if not hasattr(self, "_learning"):
            most = max(1000, LEARN // (sequence.T * sequence.L))
            Y, valid, _ = sequence.sample(most, job.progress)
            if most < sequence.grid.width * sequence.grid.height:
                job.say("Learning from {count} pixels, spread over the images.", count=Y.shape[2])
            kept = valid.any(axis=1)
            if not kept.all():   # the few pixels looked at may miss all that an almost clouded image has
                from ...engine.sentences import UserError
                raise UserError("The image of {date} has so few valid pixels that none is among those looked at. Leave "
                                "it out.", date=sequence.names[int((~kept).argmax())])
            self._learning = Y, valid
        return self._learning

    def write(self, job, sequence, spectra, unmix):
        """Go through the images, and write and report what `unmix` gives for each block."""
        from contextlib import ExitStack

        from ...engine.declare import FolderOutput, RasterOutput
        names = spectra.names
        figures = Figures(sequence.T, len(names))
        outputs = [output for output in self.outputs()
                   if isinstance(output, (FolderOutput, RasterOutput)) and job.wants(output)]
        with ExitStack() as stack:
            files = {}
            for output in outputs:
                bands = self.bands_of(output, sequence, names)
                files[output.name] = [stack.enter_context(file) for file in (
                    job.dated_rasters(output, sequence.dates, sequence.grid, bands)
                    if isinstance(output, FolderOutput) else [job.raster(output, sequence.grid, bands)])]

            def block(Y, valid, positions):
                return unmix(Y, valid, positions), valid

            windows = sequence.windows(4 * sequence.T * len(names))
            for window, (found, valid) in sequence.map_blocks(block, windows, job.progress):
                figures.add(found, valid)
                values = {self.abundances.name: found.A, self.change.name: found.A[-1] - found.A[0], **found.more}
                for output in outputs:
                    rasters = values[output.name] if isinstance(output, FolderOutput) else [values[output.name]]
                    for file, raster in zip(files[output.name], rasters, strict=True):
                        file.write(window, raster)
        for output in outputs:
            if self.bands_of(output, sequence, names) == names:   # the same material in all of them
                job.show_band(output, figures.most_changed() + 1)
            if output.style is Style.CHANGE:
                job.give_range(output, -1, 1)
            if output.name in figures.most and output.style is Style.DEPARTURE:
                job.give_range(output, 0, figures.most[output.name])
        if figures.rmse is not None:
            job.give_number(self.rmse, figures.rmse)
        for date, means in zip(sequence.names, figures.means):
            job.say("{date}: {fractions}.", date=date, fractions=", ".join(
                f"{name} {100 * mean:.1f} %" for name, mean in zip(names, means)))
        self.give_report(job, sequence, spectra, figures)

    def bands_of(self, output, sequence, names):
        """Names of the bands of an output's rasters."""
        return names

    def give_report(self, job, sequence, spectra, figures):
        report = job.report(self.report)
        if report is None:
            return
        report.numbers(dates=sequence.T, endmembers=len(spectra.names), bands=sequence.L,
                       **({} if figures.rmse is None else {"RMSE": figures.rmse}))
        report.heading("Mean fractions over time")
        report.history(sequence.names, dict(zip(spectra.names, figures.means.T)), "Mean fraction")
        add_pictures(job, report, self.abundances, sequence, spectra.names)
        self.add_to_report(job, report, sequence, spectra, figures)
        job.give_report(self.report, report)

    def add_to_report(self, job, report, sequence, spectra, figures):
        """What a method's report has beside the fractions: the endmembers of every date, or else the reference."""
        if hasattr(self, "M"):
            report.spectra_by_date(spectra, sequence.names, self.M)
        else:
            report.spectra(spectra, "Reference endmembers")


class Figures:
    """Sums over the blocks: mean fractions (T, P), reconstruction error, how much each endmember changes."""

    def __init__(self, T, P):
        import numpy as np
        self._totals, self._counts = np.zeros((T, P)), np.zeros((T, 1))
        self._squares, self._values = 0.0, 0
        self._change = np.zeros(P)
        self.most = {}

    def add(self, block, valid):
        import numpy as np
        known = np.isfinite(block.A).all(axis=1)
        self._totals += np.where(known[:, None], block.A, 0).sum(axis=2, dtype=np.float64)
        self._counts += known.sum(axis=1)[:, None]
        steps = np.diff(block.A, axis=0)
        self._change += np.abs(np.nan_to_num(steps)).sum(axis=(0, 2), dtype=np.float64)
        for name, values in block.more.items():
            finite = values[np.isfinite(values)]
            if finite.size:
                self.most[name] = max(self.most.get(name, 0.0), float(np.quantile(finite, 0.98)))
        if block.residual is not None:
            self._squares += sum(float(np.square(part[:, good], dtype=np.float64).sum())
                                 for part, good in zip(block.residual, valid))
            self._values += valid.sum() * block.residual.shape[1]

    @property
    def means(self):
        """Mean fractions (T, P) of the pixels that have any."""
        import numpy as np
        return self._totals / np.maximum(self._counts, 1)

    @property
    def rmse(self):
        """Root mean square of the residuals; None where there are none."""
        return float((self._squares / self._values) ** 0.5) if self._values else None

    def most_changed(self):
        """The endmember, from 0, whose fractions change most from date to date; the first of those that do so alike."""
        return int((self._change >= (1 - ALIKE) * self._change.max()).argmax())


def add_pictures(job, report, folder, sequence, names):
    """Pictures of all fractions of the first dates, or of some if there are many, in a report."""
    import os

    from ...engine.pictures import composite_of
    report.heading("Where they are, date by date")
    step = -(-sequence.T // PICTURES)
    written = job.result["folders"][folder.name]
    for number in range(0, sequence.T, step):
        report.picture(composite_of(os.path.join(job.path(folder), written[number]["file"]), names, 420),
                       sequence.names[number], WIDTH)


def orders_by_name(scenes, first=None):
    """
    The order (P,) of every scene's bands in which they have the names of the `first` one's, by default of theirs.

    Raises
    ------
    UserError
        Names that differ.
    """
    import numpy as np

    from ...engine.sentences import UserError
    from ...engine.sequences import name_of
    first = scenes[0] if first is None else first
    orders = []
    for scene in scenes:
        names = scene.band_names
        if sorted(names) != sorted(first.band_names):
            raise UserError("{first} has the bands {ours}, and {second} has {theirs}. Choose rasters of the same "
                            "endmembers, or give their bands the same names.", first=name_of(first),
                            ours=", ".join(first.band_names), second=name_of(scene), theirs=", ".join(names))
        order = np.empty(len(names), dtype=int)
        order[np.argsort(first.band_names, kind="stable")] = np.argsort(names, kind="stable")
        orders.append(order)
    return orders


def settled(job, converged, done):
    """Say that an iteration ended after so many rounds, and warn where it had not settled."""
    if converged:
        job.say("Settled after {done} iterations.", done=done)
    else:
        job.warn("It has not settled after {done} iterations: the result may still change. Allow more (ITERATIONS).",
                 done=done)


def residual(Y, A, M):
    """Image less reconstruction (T, L, n) for endmembers `M` (T, L, P) of each date; NaN in `A` counts as 0."""
    import numpy as np
    return Y - np.matmul(M.astype(np.float32), np.nan_to_num(A).astype(np.float32))


def dated_spectra(sequence, M, spectra):
    """The endmembers `M` (T, L, P) of all dates as one set of spectra, each with its date as an attribute."""
    import numpy as np

    from ...engine.spectra import of_scene
    names = [f"{date} {name}" for date in sequence.names for name in spectra.names]
    made = of_scene(sequence.grid, np.concatenate(list(M), axis=1), names,
                    [f"{len(M)} dates, from {sequence.names[0]} to {sequence.names[-1]}"] * len(names))
    return replace(made, attributes=[{"endmember": name, "date": date} for date in sequence.names
                                     for name in spectra.names])
