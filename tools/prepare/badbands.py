"""The tool `badbands`."""

import re

from ...engine.declare import Choice, Flag, Group, NumberOutput, RasterOutput, Real, Style, TableOutput, Text, Tool
from ...engine.sentences import phrase
from .. import _shared

WINDOWS = "0-400, 1350-1450, 1800-1960, 2450-3000"
WEAK = "920-980, 1100-1165"


class BadBands(Tool):
    """List of the bands that are not worth using, with the reason for each, and the scene without them.

    The pixels speak against a band whose signal-to-noise ratio by regression on the other bands is low, whose
    neighbours in wavelength do not resemble it, or which is made of stripes. Wavelengths speak against bands where
    water vapour takes the light: such bands hold what the atmospheric correction guessed, also if they are smooth.

    Bands that the raster flags as bad, and those that are nodata or constant throughout, are bad in any case.

    The bands that remain are listed in the log, ready to be pasted as BANDS of other tools. It reads the raster twice
    in bounded memory, and once more to write; by wavelengths alone, only until no band looks empty."""

    id = "badbands"
    label = "Find bad bands"
    group = Group.PREPARE
    tags = ("bad bands", "noisy bands", "remove bands", "bbl", "water vapour", "absorption", "noise", "SNR", "stripes",
            "band selection")
    citation = ("Signal-to-noise ratio: Roger and Arnold, Reliably estimating the noise in AVIRIS hyperspectral "
                "images, Int. J. Remote Sensing 17(10), 1996. Stripes, correlation and windows: rules of Subpixel")
    prefer = ("Take it first, before you count or look for materials: on EnMAP Potsdam, endmembers came nearer to "
              "known materials without the bad bands in 22 of 24 tests. Noise and signal-to-noise ratio judges noise "
              "alone.")
    doi = ("10.1080/01431169608948750",)

    image = _shared.INPUT
    by = Choice("BY", "Judge bands by", default="both", options={
        "both": "Pixels and wavelengths", "pixels": "Pixels alone", "wavelengths": "Wavelengths alone"},
        help="What speaks against a band. Pixels alone suits scenes that may have sound water-vapour bands. Default "
             "both.")
    snr_limit = Real("SNRLIMIT", "Lowest signal-to-noise ratio (dB)", default=20.0, minimum=-100.0, maximum=200.0,
                     help="Bands below it are bad, in decibels, -100 to 200. Default 20: noise a tenth of the signal.")
    correlation = Real("CORRELATION", "Lowest correlation with a neighbour", default=0.5, minimum=0.0, maximum=1.0,
                       help="Bands are bad that correlate less with each of the two bands before and after them in "
                            "wavelength, 0 (none) to 1 (the same picture). Default 0.5.")
    stripes = Real("STRIPES", "Highest share of stripes", default=0.5, minimum=0.0, maximum=1.0, advanced=True,
                   help="Bands are bad in which more of the variance of the differences between neighbouring columns "
                        "is the same in all rows, 0 to 1. Default 0.5. For images whose columns are detectors.")
    windows = Text("WINDOWS", "Absorption windows (nm)", default=WINDOWS, optional=True, help="Bands with their centre "
                   "in one of these ranges of nanometres, such as 1350-1450, separated by commas, are bad. Default "
                   f"{WINDOWS}: water vapour, and the ends of the detectors.")
    weak = Flag("WEAK", "Also the weak windows", default=False, help="Whether the weaker water-vapour absorptions, "
                f"{WEAK} nm, count as well, which atmospheric correction mostly repairs. Default no.")
    output = RasterOutput("CLEANED", "Scene without bad bands", style=Style.SPECTRAL, create=False, help="Raster with "
                          "the remaining bands and their wavelengths, values as they are: in the input's own number "
                          "type where it is one of whole numbers with a nodata value and no scale, else Float32 with "
                          "nodata -9999.")
    table = TableOutput("TABLE", "Judgement of each band", create=False, help="Table with a row per band: band, "
                        "wavelength (nm), snr (dB), correlation, stripes, bad (1 or 0) and why.")
    bad = NumberOutput("BAD", "Number of bad bands", help="How many of the raster's bands are bad.")
    report = _shared.REPORT
    example = {"INPUT": "scene", "WINDOWS": "1350-1450, 1800-1960"}

    def run(self, job):
        from ...engine.raster import ranges
        from ...engine.sentences import UserError
        windows = parse(job.value(self.windows)) + (parse(WEAK) if job.value(self.weak) else [])
        scene, bands = job.scene(self.image), Bands(job, self.image)
        by_pixels, by_wavelengths = (job.value(self.by) in ("both", way) for way in ("pixels", "wavelengths"))
        if by_wavelengths and bands.wavelengths is None:
            if not by_pixels:
                raise UserError("The raster has no wavelengths to judge its bands by. Judge them by the pixels (BY).")
            job.warn("The raster has no wavelengths, so its bands are judged by the pixels alone.")
        job.passes(2 * by_pixels + job.wants(self.output) or 1)
        bands.already_out(scene)
        if by_pixels:
            bands.measure(scene, job.progress)
            bands.judge(job.value(self.snr_limit), job.value(self.correlation), job.value(self.stripes))
        if by_wavelengths and bands.wavelengths is not None:
            bands.locate(windows)
        bad = [band for band in range(1, bands.count + 1) if bands.why[band - 1]]
        good = [band for band in range(1, bands.count + 1) if not bands.why[band - 1]]
        job.give_number(self.bad, len(bad))
        for reason, members in bands.by_reason().items():
            job.say("Bad, {reason}: {bands}.", reason=reason, bands=ranges(members))
        job.say("{bad} of {count} bands are bad. Bands to use: {bands}", bad=len(bad), count=bands.count,
                bands=";".join(map(str, good)))
        job.give_table(self.table, bands.rows())
        if job.wants(self.output):
            if len(good) < 2:
                raise UserError("Only {count} of {all} bands are good, too few for a scene. Loosen the limits, or "
                                "leave out the raster to see the reasons.", count=len(good), all=bands.count)
            self._write(job, scene, good)
        elif not by_pixels:
            job.progress(1, 1)
        report = job.report(self.report)
        if report:
            bands.fill(report, len(bad), by_pixels, job.value(self.snr_limit))
            job.give_report(self.report, report)

    def _write(self, job, scene, good):
        import numpy as np
        scene.keep(np.isin(scene.indexes, good))
        with job.raster(self.output, scene, scene.band_names, wavelengths=scene.wavelengths, fwhm=scene.fwhm,
                        **own_type(job, self.image, scene)) as file:
            for window, (Y, valid) in scene.map_blocks(
                    lambda Y, valid: (Y if valid.all() else Y[:, valid], valid), progress=job.progress):
                file.write(window, Y, valid)


def own_type(job, image, scene):
    """The writer's number type and nodata where those of the input can be kept, else nothing: its own."""
    import numpy as np

    from ...engine.raster import open_raster
    with open_raster(scene.path, scene.name, job.value(image).get("options")) as dataset:
        nodata = {dataset.nodatavals[band - 1] for band in scene.indexes.tolist()}
        plain = all(dataset.scales[band - 1] == 1 and dataset.offsets[band - 1] == 0 for band in scene.indexes.tolist())
    whole = np.issubdtype(scene.dtype, np.integer) and scene.dtype.itemsize <= 4
    if not (plain and whole and len(nodata) == 1 and None not in nodata):
        return {}
    value = nodata.pop()
    limits = np.iinfo(scene.dtype)
    kept = float(value).is_integer() and limits.min <= value <= limits.max
    return {"dtype": scene.dtype.name, "nodata": int(value)} if kept else {}


def parse(text):
    """Ranges such as `1350-1450, 1800-1960` as pairs of numbers."""
    from ...engine.sentences import UserError
    found = []
    for part in re.split(r"[,;]", text or ""):
        if not part.strip():
            continue
        match = re.fullmatch(r"\s*(\d+\.?\d*)\s*-\s*(\d+\.?\d*)\s*", part)
        if not match or not float(match[1]) < float(match[2]):
            raise UserError("{part} is no range of wavelengths. Give ranges in nanometres such as 1350-1450, the lower "
                            "end first, separated by commas.", part=part.strip())
        found.append((float(match[1]), float(match[2])))
    return found


class Bands:
    """All bands of a raster, also those that no tool would use, and what speaks against each."""

    def __init__(self, job, image):
        import numpy as np

        from ...engine.raster import open_raster
        from ...engine.wavelengths import read_bad_bands, read_wavelengths
        with open_raster(job.value(image)["path"], image.name, job.value(image).get("options")) as dataset:
            self.count = dataset.count
            self.wavelengths, self._flagged = read_wavelengths(dataset)[0], read_bad_bands(dataset)
        self.why = [[] for _ in range(self.count)]
        self.snr, self.correlation, self.stripes = (np.full(self.count, np.nan) for _ in range(3))

    def already_out(self, scene):
        """The bands that the scene has left out by itself."""
        used = set(scene.indexes.tolist())
        for band in range(1, self.count + 1):
            if band not in used:
                self.why[band - 1].append(phrase("flagged bad in the metadata") if self._flagged[band - 1]
                                          else phrase("nodata or constant throughout"))

    def measure(self, scene, progress):
        """Signal-to-noise ratio, best correlation with a neighbour and share of stripes of the bands in use."""
        import numpy as np

        from ...algorithms.pixels import moments
        from ...algorithms.prepare.bad_bands import Striping, neighbour_correlation
        from ...algorithms.prepare.noise import regression_noise, snr
        from ...engine.sentences import UserError
        found = moments(scene.pixels(progress=progress))
        if found.N <= scene.L:
            raise UserError("There are {pixels} pixels and {bands} bands, too few pixels to judge the bands by. Use a "
                            "larger scene, or judge by wavelengths alone (BY).", pixels=found.N, bands=scene.L)
        order = None if scene.wavelengths is None else np.argsort(scene.wavelengths, kind="stable")
        used = scene.indexes - 1
        self.snr[used] = snr(found, regression_noise(found).variances)
        self.correlation[used] = neighbour_correlation(found, order)
        striping = Striping()
        for cube, valid in _shared.strips(scene, progress):
            striping.add(cube, valid)
        self.stripes[used] = striping.share()

    def judge(self, snr_limit, correlation, stripes):
        """Hold what was measured against the limits; what could not be measured passes."""
        for band in range(self.count):
            if self.snr[band] < snr_limit:
                self.why[band].append(phrase("low signal-to-noise ratio"))
            if self.correlation[band] < correlation:
                self.why[band].append(phrase("unlike its neighbours"))
            if self.stripes[band] > stripes:
                self.why[band].append(phrase("stripes"))

    def locate(self, windows):
        """Hold the wavelengths against the absorption windows."""
        from ...algorithms.prepare.bad_bands import in_windows
        for band, number in enumerate(in_windows(self.wavelengths, windows)):
            if number >= 0:
                self.why[band].append(phrase("in an absorption window"))

    def by_reason(self):
        """The bands against which each reason speaks."""
        found = {}
        for band, reasons in enumerate(self.why, 1):
            for reason in reasons:
                found.setdefault(reason, []).append(band)
        return found

    def rows(self):
        """The table's rows."""
        rows = []
        for band in range(self.count):
            values = {"wavelength": None if self.wavelengths is None else self.wavelengths[band],
                      "snr": self.snr[band], "correlation": self.correlation[band], "stripes": self.stripes[band]}
            rows.append({"band": band + 1, **{name: None if value is None else float(value)
                                              for name, value in values.items()},
                         "bad": int(bool(self.why[band])), "why": "; ".join(self.why[band])})
        return rows

    def fill(self, report, bad, by_pixels, snr_limit):
        """Figures, curves with the bad bands shaded, and the reasons."""
        report.numbers(Bad_bands=bad, Good_bands=self.count - bad)
        if by_pixels:
            self._plot(report, self.snr, "Signal-to-noise ratio of each band", "SNR (dB)", snr_limit)
            self._plot(report, self.correlation, "Best correlation with a neighbour", "Correlation")
        else:
            self._plot(report, [float(not reasons) for reasons in self.why], "Good bands (1) and bad ones (0)", "Good")
        report.heading("Bad bands and why")
        report.table(["Band", "Wavelength (nm)", "SNR (dB)", "Correlation", "Stripes", "Why"],
                     [(row["band"], "-" if row["wavelength"] is None else f"{row['wavelength']:.1f}", row["snr"],
                       row["correlation"], row["stripes"], row["why"]) for row in self.rows() if row["bad"]])

    def _plot(self, report, values, caption, ylabel, limit=None):
        """A curve over the bands as they come in the file, broken at gaps and where a detector begins anew."""
        import numpy as np
        import plotly.graph_objects as go

        from ...engine.spectra import GAP
        x = np.arange(1.0, self.count + 1) if self.wavelengths is None else self.wavelengths
        bad = np.array([bool(reasons) for reasons in self.why])
        steps = np.diff(x)
        reach = GAP * np.median(np.abs(steps))
        breaks = np.flatnonzero((steps < 0) | (steps > reach)) + 1
        figure = go.Figure()
        figure.add_scatter(x=np.insert(x, breaks, np.nan), y=np.insert(np.asarray(values, dtype=float), breaks, np.nan),
                           mode="lines+markers", showlegend=False, line=dict(color="#0072b2", width=1),
                           marker=dict(size=4, color=np.insert(np.where(bad, "#d55e00", "#0072b2"), breaks, "#0072b2")))
        for low, high in shaded(x, bad, reach):
            figure.add_vrect(x0=low, x1=high, fillcolor="#d55e00", opacity=0.18, line_width=0)
        if limit is not None:
            figure.add_hline(y=limit, line_dash="dash", line_color="#777")
        figure.update_layout(xaxis_title="Band" if self.wavelengths is None else "Wavelength (nm)", yaxis_title=ylabel)
        report.heading(caption)
        report.plot(figure)
        report.paragraph("Shaded: bad bands." + (" Dashed: the limit." if limit is not None else ""))


def shaded(x, bad, reach):
    """Ranges of `x` around runs of bad bands: half way to the next good band, at most half of `reach`."""
    import numpy as np
    order = np.argsort(x, kind="stable")
    x, bad = x[order], bad[order]
    edges = np.append(bad.astype(int), 0) - np.insert(bad.astype(int), 0, 0)
    found = []
    for start, end in zip(np.flatnonzero(edges == 1), np.flatnonzero(edges == -1) - 1):
        before = x[start] - x[start - 1] if start else reach
        after = x[end + 1] - x[end] if end + 1 < len(x) else reach
        found.append((float(x[start] - min(before, reach) / 2), float(x[end] + min(after, reach) / 2)))
    return found
