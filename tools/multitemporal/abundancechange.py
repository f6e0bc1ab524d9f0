"""The tool `abundancechange`."""

from dataclasses import replace

from ...engine.declare import (Group, NumberOutput, RastersInput, RasterOutput, Real, Style, TableOutput, Tool)
from .. import _shared
from . import _sequence
from ._changes import BINS, Thumbnails, add_to_report, date_classes, fromto_classes, steps_of, transitions_of


class AbundanceChange(Tool):
    """What changed between two dates or in a whole sequence: how much of each endmember, where, when, and into what.

    It compares abundance rasters of one place, as any tool of this plugin writes them for one image or for a sequence.
    Bands are matched by their names, so that every date must have the same endmembers.

    The step of a pixel between two dates is half the sum of the absolute differences of its fractions: the share of
    its ground that became something else, 0 to 1. A gradual drift makes many small steps, an abrupt change one large
    one, and that above the threshold gives the pixel's date of change. Noise of the fractions makes steps too: in
    pixels that nothing happened to, their size shows which threshold is safe.

    A pixel that is nodata at some dates is followed from each date at which it is known to the next such date, to which
    the whole step between them counts. First and last date are those at which the pixel is known. Known at one date or
    none, it is nodata. It reads the rasters once, block by block."""

    id = "abundancechange"
    label = "Changes of abundances"
    group = Group.TIME
    tags = ("multitemporal", "time series", "change detection", "abundance", "fraction", "transition", "from-to",
            "post-classification", "change matrix", "date of change", "deforestation", "land cover change",
            "difference", "sub-pixel")
    citation = "Subpixel's own: differences of fractions, and of the largest of them"
    prefer = ("After unmixing two or more dates, for maps of what changed. Where an event has a course over several "
              "dates, as a fire or a harvest has, take the tools of Events in a series.")

    images = RastersInput("IMAGES", "Abundances", spectral=False, help="Abundance rasters of one place, at least two, "
                          "in the order of their dates: layers or files on one grid with a band per endmember, named "
                          "after it, in any order, 0 to 1, every one of which is used; " + _sequence.FOLDER)
    dates = replace(_sequence.DATES, help=_sequence.DATES.help.replace("every image", "every raster"))
    threshold = Real("THRESHOLD", "Smallest step of a change", default=0.25, minimum=0.0, maximum=1.0,
                     help="A pixel has a date of change if its largest step from date to date is above this: 0 to 1, "
                          "the share of its ground that became something else. Default 0.25, a quarter.")
    minimum = Real("MINIMUM", "Smallest dominant fraction", default=0.0, minimum=0.0, maximum=1.0,
                   help="In the from-to map, pixels whose largest fraction is below this, from 0 to 1, are mixed. "
                        "Default 0: none is, and the largest fraction counts however small its lead.")
    change = RasterOutput("CHANGE", "Change", style=Style.CHANGE, optional=False, help="Raster with a band per "
                          "endmember, named after it: its fraction at the last date less that at the first, -1 to 1. "
                          "Nodata is -9999.")
    magnitude = RasterOutput("MAGNITUDE", "Magnitude of change", style=Style.DEPARTURE, help="Raster of the step from "
                             "the first to the last date, whatever was between: 0 to 1. Nodata is -9999.")
    date = RasterOutput("DATEOFCHANGE", "Date of change", style=Style.DOMINANT, help="Raster of whole numbers: the "
                        "number of the date, from 2 on, to which the largest step leads (the first of equal ones); 1 "
                        "where no step is above the threshold. The legend tells the dates. Nodata is 0.")
    index = RasterOutput("INDEX", "Index of abrupt change", style=Style.DEPARTURE, help="Raster with a band for each "
                         "step from date to date, named after both: its size, 0 to 1. Nodata, -9999, where a pixel is "
                         "not known at the later date or at none before.")
    fromto = RasterOutput("FROMTO", "From-to map", style=Style.DOMINANT, help="Raster of whole numbers: a hundred "
                          "times the number of the endmember with the largest fraction at the first date, plus that at "
                          "the last (203: from the second to the third; mixed has the number after the last). Pale "
                          "where it is the same, else mainly in the colour of the new one. Nodata is 0.")
    table = TableOutput("TRANSITIONS", "Transitions", create=False, help="Table with a row for each transition of the "
                        "from-to map that occurs: from, to, changed (1 or 0), pixels, percent of the pixels with a "
                        "transition, and the area: hectares in a projected CRS, in square units (area) without a CRS, "
                        "left out in degrees, where pixels differ in size.")
    mean = NumberOutput("MEANMAGNITUDE", "Mean magnitude of change", help="Mean of MAGNITUDE over the pixels known at "
                        "two dates or more, 0 to 1.")
    share = NumberOutput("CHANGED", "Changed pixels (%)", help="Share, in percent, of these pixels that have a date of "
                         "change.")
    report = _shared.REPORT
    example = {"IMAGES": "fractionimages"}

    def run(self, job):
        from ...algorithms.multitemporal.change import MOST
        from ...engine.sentences import UserError
        sequence = job.sequence(self.images)
        orders = _sequence.orders_by_name(sequence.scenes)
        endmembers = sequence.grid.band_names
        classes = [*endmembers, "mixed"] if job.value(self.minimum) > 0 else endmembers
        if len(classes) > MOST:
            raise UserError("There are {count} classes, and a from-to map holds at most {most}. Choose rasters of "
                            "abundances, with one band per endmember.", count=len(classes), most=MOST)
        found, thumbnails = self._write(job, sequence, orders, classes)
        if not found["transitions"].any():
            raise UserError("No pixel has a fraction above zero at two dates. Choose rasters of abundances that have "
                            "valid pixels in common.")
        self._style(job, sequence, classes, found)
        transitions = transitions_of(found["transitions"], classes, sequence.grid)
        job.give_table(self.table, transitions)
        magnitude, share = float(found["magnitude"] / found["pixels"]), 100 * float(
            found["dates"][2:].sum() / found["pixels"])
        job.give_number(self.mean, magnitude)
        job.give_number(self.share, share)
        for name, count in zip(sequence.names[1:], found["dates"][2:]):
            job.say("{date}: the largest change of {percent} % of the pixels, by more than {threshold}.", date=name,
                    percent=f"{100 * count / found['pixels']:.1f}", threshold=f"{job.value(self.threshold):g}")
        report = job.report(self.report)
        if report:
            report.numbers(dates=sequence.T, pixels=int(found["pixels"]), mean_magnitude=magnitude,
                           **{"changed_(%)": share})
            add_to_report(report, sequence, classes, found, transitions, thumbnails, job.value(self.threshold))
            job.give_report(self.report, report)

    def _write(self, job, sequence, orders, classes):
        """Write the rasters block by block; gives the sums over all blocks and the pictures for the report."""
        from contextlib import ExitStack
        endmembers, threshold, minimum = sequence.grid.band_names, job.value(self.threshold), job.value(self.minimum)
        bands = {self.change: endmembers, self.index: steps_of(sequence)}
        numbers = {self.date: "uint16", self.fromto: "uint16"}
        totals, thumbnails = {}, Thumbnails(sequence.grid, len(endmembers))

        def block(A, valid, positions):
            for A_t, order in zip(A, orders):
                A_t[:] = A_t[order]
            _shared.expect_fractions(job, A[0][:, valid[0]])
            values, sums, ends = changes(A, valid, threshold, minimum, len(classes))
            return values, sums, thumbnails.part(positions, ends, values)

        with ExitStack() as stack:
            files = {output.name: stack.enter_context(job.raster(
                output, sequence.grid, bands.get(output, [output.label]),
                **({"dtype": numbers[output], "nodata": 0} if output in numbers else {})))
                for output in self.outputs() if isinstance(output, RasterOutput) and job.wants(output)}
            windows = sequence.windows(4 * len(endmembers) + sequence.T)
            for window, (values, sums, part) in sequence.map_blocks(block, windows, job.progress):
                for name, file in files.items():
                    file.write(window, values[name])
                for name, value in sums.items():
                    totals[name] = totals.get(name, 0) + value
                thumbnails.add(part)
        return totals, thumbnails

    def _style(self, job, sequence, classes, found):
        """Tell how each raster is drawn: which band, in which range, in which classes."""
        if job.wants(self.change):
            job.show_band(self.change, found["moved"].argmax() + 1)
            job.give_range(self.change, -1, 1)
        if job.wants(self.magnitude):
            job.give_range(self.magnitude, 0, 1)
        if job.wants(self.index):
            job.show_band(self.index, found["steps"].argmax() + 1)
            job.give_range(self.index, 0, 1)
        if job.wants(self.date):
            job.classes(self.date, *date_classes(sequence.names))
        if job.wants(self.fromto):
            numbers, names, colours = fromto_classes(found["transitions"], classes)
            job.classes(self.fromto, names, colours, numbers)


def changes(A, valid, threshold, minimum, classes):
    """
    What there is to know of a block of abundances `A` (T, P, n).

    Returns
    -------
    values : dict
        For every raster output, by name: (bands, n) or (n,).
    sums : dict
        What adds up over blocks.
    ends : tuple of two ndarrays (P, n)
        Abundances at the first and at the last date.
    """
    import numpy as np

    from ...algorithms.multitemporal.change import (date_of_change, follow, index, transition_codes,
                                                    transition_counts)
    from ..abundances.dominantendmember import dominant
    found = follow(A, valid)
    magnitude, date = index(found.last, found.first), date_of_change(found.steps, threshold)
    codes = transition_codes(dominant(found.first, minimum), dominant(found.last, minimum))
    values = {"CHANGE": found.last - found.first, "MAGNITUDE": magnitude, "DATEOFCHANGE": date, "INDEX": found.steps,
              "FROMTO": codes}
    sums = {"pixels": np.count_nonzero(date), "magnitude": np.nansum(magnitude, dtype=np.float64),
            "moved": np.nansum(np.abs(values["CHANGE"]), axis=1, dtype=np.float64),
            "dates": np.bincount(date, minlength=len(A) + 1), "transitions": transition_counts(codes, classes),
            "known": valid.sum(axis=1), "fractions": np.where(valid[:, None], A, 0).sum(axis=2, dtype=np.float64),
            "steps": np.nansum(found.steps, axis=1, dtype=np.float64),
            "sizes": np.stack([np.histogram(np.minimum(step, 1), BINS, (0, 1))[0] for step in found.steps])}
    return values, sums, (found.first, found.last)
