"""The tool `scalereflectance`."""

from ...engine.declare import Flag, Group, NumberOutput, RasterOutput, Real, Style, Tool
from ...engine.sentences import phrase
from .. import _shared

SAMPLE = 50_000   # pixels that the percentile is taken of
DECLARED = ("reflectance_scale_factor", "reflectance scale factor")


class ScaleReflectance(Tool):
    """Raster of reflectance from 0 to 1, made of digital numbers by a factor that is detected or given.

    The factor is the one in an ENVI header (reflectance scale factor) where there is one. Otherwise it is one of the
    usual 1, 100, 1000 and 10000, or the full scale of 8 or 16 bits: the smallest that brings the 99th percentile of the
    brightest band to between 0.125 and 1.25. The log and the report say what the neighbouring factors would give.

    It cannot tell a dark scene, such as open water alone, from a bright one in other units: give the factor there. A
    scale that the raster declares (GDAL's scale and offset) is applied first. Division makes no reflectance of
    radiance; where oxygen and water vapour still absorb, it warns.

    It reads the raster twice in bounded memory. The percentile is of at most 50,000 evenly spread pixels."""

    id = "scalereflectance"
    label = "Scale to reflectance"
    group = Group.PREPARE
    tags = ("reflectance", "scale factor", "digital numbers", "DN", "calibration", "normalise", "rescale", "units")
    citation = "Rule of Subpixel; see algorithms/prepare/reflectance.py"
    prefer = ("Take it where the image holds whole numbers such as 0 to 10,000 and the spectra are reflectance from 0 "
              "to 1: both need one unit. Spectra that come from the image itself have its unit already.")

    image = _shared.INPUT
    factor = Real("FACTOR", "Factor to divide by", default=0.0, minimum=0.0, help="Digital number of reflectance 1, "
                  "such as 10000: any number above 0. Default 0: detected.")
    clip = Flag("CLIP", "Clip to 0 to 1", default=False, help="Whether values below 0 and above 1 become 0 and 1. "
                "Default no: noise stays as it is, and so do highlights.")
    bands = _shared.BANDS
    output = RasterOutput("OUTPUT", "Reflectance", style=Style.SPECTRAL, optional=False, help="Float32 raster with the "
                          "bands that were used and their wavelengths, reflectance 0 to 1. Nodata is -9999.")
    used = NumberOutput("FACTOR", "Factor used", help="What the values were divided by.")
    report = _shared.REPORT
    example = {"INPUT": "scene"}

    def run(self, job):
        import numpy as np

        from ...algorithms.prepare.reflectance import brightness
        scene = job.scene(self.image)
        job.passes(2)
        Y, mean = sample(scene, job.progress)
        bright = brightness(Y)
        factor, how = self._factor(job, scene, bright)
        gases = self._doubts(job, scene, mean, bright, factor)
        job.give_number(self.used, factor)
        job.say("Factor {factor} ({how}): the brightest band's 99th percentile, {bright}, becomes {value}; "
                "{lower} would give {more}, {higher} would give {less}.", factor=f"{factor:g}", how=how,
                bright=f"{bright:.5g}", value=f"{bright / factor:.3g}", lower=f"{factor / 10:g}",
                more=f"{10 * bright / factor:.3g}", higher=f"{10 * factor:g}", less=f"{bright / factor / 10:.3g}")
        outside = self._write(job, scene, factor)
        if outside:
            job.say("{share} of the values are outside 0 to 1{done}.", share=f"{100 * outside:.2g} %",
                    done=" and were clipped" if job.value(self.clip) else "")
        report = job.report(self.report)
        if report:
            report.numbers(Factor=f"{factor:.10g}", Brightest_band_99th_percentile=bright / factor,
                           Values_outside_0_to_1=f"{outside:.2%}")
            report.paragraph(f"The factor is {how}. Divided by {factor / 10:g} instead, the bright pixels would have "
                             f"the reflectance {10 * bright / factor:.3g}; by {10 * factor:g}, "
                             f"{bright / factor / 10:.3g}.")
            if gases:
                report.paragraph(f"The mean spectrum still shows the absorption of {' and '.join(gases)}: these look "
                                 "like radiances, which a factor does not turn into reflectance.", "warning")
            spectrum(report, scene, mean / factor, np.percentile(Y, (1, 99), axis=1) / factor)
            job.give_report(self.report, report)

    def _factor(self, job, scene, bright):
        """What to divide by, and in words where it comes from."""
        from ...algorithms.prepare.reflectance import HIGH, LOW, detect_scale
        given, stated = job.value(self.factor), declared(job, self.image, scene)
        if given:
            return float(given), phrase("given")
        if stated:
            return stated, phrase("declared in the header")
        scale = detect_scale(bright, file_type(job, self.image, scene))
        if not scale.usual:
            job.warn("No usual factor brings the brightest band's 99th percentile, {bright}, to between {low} and "
                     "{high}; {factor} comes nearest. Give the factor if you know it.", bright=f"{bright:.5g}", low=LOW,
                     high=HIGH, factor=f"{scale.factor:g}")
        return scale.factor, phrase("detected")

    def _doubts(self, job, scene, mean, bright, factor):
        """Warn where these are radiances, or reflectances already. The gases that still absorb."""
        from ...algorithms.prepare.reflectance import absorption_depths, uncorrected
        gases = []
        if scene.wavelengths is not None:
            gases = uncorrected(absorption_depths(mean, scene.wavelengths))
        if gases:
            job.warn("The mean spectrum still shows the absorption of {gases}: these look like radiances or raw "
                     "counts, which a factor does not turn into reflectance. Correct for the atmosphere first.",
                     gases=" and ".join(gases))
        if factor == 1 and not job.value(self.factor):
            job.warn("The values look like reflectance from 0 to 1 already (99th percentile of the brightest band "
                     "{bright}) and are kept as they are.", bright=f"{bright:.3g}")
        return gases

    def _write(self, job, scene, factor):
        """Write the reflectance. The share of its values that are outside 0 to 1 before any clipping."""
        import numpy as np
        clip = job.value(self.clip)

        def block(Y, valid):
            X = (Y if valid.all() else Y[:, valid]).astype(np.float32) / np.float32(factor)
            outside = int(np.count_nonzero(X < 0) + np.count_nonzero(X > 1))
            return np.clip(X, 0, 1, out=X) if clip else X, valid, outside

        outside = values = 0
        with job.raster(self.output, scene, scene.band_names, wavelengths=scene.wavelengths, fwhm=scene.fwhm) as file:
            for window, (X, valid, beyond) in scene.map_blocks(block, progress=job.progress):
                file.write(window, X, valid)
                outside, values = outside + beyond, values + X.size
        return outside / max(values, 1)


def sample(scene, progress):
    """
    Evenly spread valid pixels (L, n), at most about `SAMPLE`, and the mean of all (L,).

    A pixel's place in the raster decides, so that blocks change nothing.
    """
    import numpy as np
    step, seen, total, parts = max(1, scene.width * scene.height // SAMPLE), 0, 0.0, []
    windows = scene.windows()
    for done, window in enumerate(windows, 1):
        Y, valid = scene.read(window)
        rows, cols = np.divmod(np.arange(valid.size), window.width)
        place = (rows + window.row_off) * scene.width + cols + window.col_off
        parts.append(Y[:, valid & (place % step == 0)])
        seen += int(valid.sum())
        total = total + Y[:, valid].sum(axis=1, dtype=np.float64)
        progress(done, len(windows))
    return np.concatenate(parts, axis=1), total / max(seen, 1)


def declared(job, image, scene):
    """The reflectance scale factor of an ENVI header, or None."""
    from ...engine.raster import open_raster
    with open_raster(scene.path, scene.name, job.value(image).get("options")) as dataset:
        tags = {key.lower(): value for key, value in {**dataset.tags(), **dataset.tags(ns="ENVI")}.items()}
    for name in DECLARED:
        try:
            value = float(tags.get(name, "nan"))
        except ValueError:
            continue
        if 0 < value < float("inf"):
            return value
    return None


def file_type(job, image, scene):
    """The number type in the file, or None where a scale that it declares has changed the numbers."""
    from ...engine.raster import open_raster
    with open_raster(scene.path, scene.name, job.value(image).get("options")) as dataset:
        plain = all(scale == 1 for scale in dataset.scales) and not any(dataset.offsets)
    return scene.dtype.name if plain else None


def spectrum(report, scene, mean, span):
    """The mean reflectance and the span from the 1st to the 99th percentile of each band."""
    import numpy as np
    import plotly.graph_objects as go
    x = scene.indexes if scene.wavelengths is None else scene.wavelengths
    order = np.argsort(x, kind="stable")
    figure = go.Figure()
    for values, name, line in ((span[1], "99th percentile", dict(color="#999", width=1)),
                               (mean, "Mean", dict(color="#0072b2")),
                               (span[0], "1st percentile", dict(color="#999", width=1, dash="dot"))):
        figure.add_scatter(x=x[order].tolist(), y=np.asarray(values)[order].tolist(), name=name, mode="lines",
                           line=line)
    figure.update_layout(xaxis_title="Band" if scene.wavelengths is None else "Wavelength (nm)",
                         yaxis_title="Reflectance")
    report.heading("Reflectance of the scene")
    report.plot(figure)
