"""The tool `comparefusion`."""

from ...engine.declare import (Choice, Group, Integer, NumberOutput, RasterInput, RasterOutput, Real, Style,
                               TableOutput, Tool)
from .. import _shared

VALUES = 50_000_000   # of each image that are held at once, as float32
SHIFT = 0.1           # pixels by which two grids may differ and still be the same
NEAR = 1.0            # nm between bands of both images that are the same
FIGURES = {"rsnr": "R-SNR (dB)", "rmse": "RMSE", "cc": "Correlation", "psnr": "PSNR (dB)", "ssim": "SSIM",
           "uiqi": "UIQI"}


class CompareFusion(Tool):
    """How near a fused image comes to the true one: signal-to-noise ratio, correlation, spectral angle, ERGAS and more.

    The reference is an image that is known to be right, such as the scene that waldpair made the pair from. Bands are
    told apart by their wavelengths, or taken in their order where an image has none. Only pixels with a value in both
    images count, on the ground that both cover; the pixels must lie on each other. Images without a georeference must
    be of one size; one without lies where waldpair takes it to lie, its upper left corner at 0, 0.

    SSIM and UIQI compare windows of a band; windows with less than half of their weight on valid pixels are left
    out."""

    id = "comparefusion"
    label = "Compare a fused image with a reference"
    group = Group.CHECK
    tags = ("accuracy", "validation", "fusion", "R-SNR", "PSNR", "SSIM", "UIQI", "ERGAS", "SAM", "correlation", "Wald",
            "error", "quality", "reference", "sharpening", "pan-sharpening")
    citation = ("Wald, Data Fusion: Definitions and Architectures, Presses des Mines, 2002 (ERGAS); Wang, Bovik, "
                "Sheikh and Simoncelli, Image quality assessment: from error visibility to structural similarity, IEEE "
                "TIP 13(4), 2004 (SSIM); Wang and Bovik, A universal image quality index, IEEE Signal Processing "
                "Letters 9(3), 2002 (UIQI)")
    prefer = ("After a fusion of a pair made by Make a fusion pair, to see which method suits the scene. Without a "
              "true image there is nothing to compare with: a fusion's own misfit does not prove its detail right.")
    doi = ("10.1109/TIP.2003.819861", "10.1109/97.995823")

    fused = RasterInput("FUSED", "Fused image", help="Raster with at least two bands, in the reference's unit.")
    reference = RasterInput("REFERENCE", "Reference image", help="The true image, with the same pixels; it may cover "
                            "more ground and have more bands.")
    ratio = Real("RATIO", "Fused pixels per hyperspectral pixel", default=4.0, minimum=1.0, maximum=1000.0,
                 help="How many times as large the pixels of the hyperspectral image were that was fused, 1 to 1000. "
                      "Only ERGAS uses it. Default 4.")
    mean = Choice("ERGASMEAN", "Means that ERGAS divides by", default="reference", advanced=True, options={
        "reference": "The reference's", "estimate": "The fused image's"}, help="ERGAS takes each band's error relative "
        "to its mean: the reference's, as it was defined, or the fused image's, as some papers print it. Default "
        "reference.")
    window = Integer("UIQIWINDOW", "Windows of UIQI (pixels)", default=8, minimum=2, maximum=1024, advanced=True,
                     help="Side of the windows that UIQI compares, 2 to 1024; some programs take 32. Default 8.")
    rsnr = NumberOutput("RSNR", "Reconstruction signal-to-noise ratio (dB)", help="Energy of the reference over that "
                        "of the difference, over all pixels and bands, in decibels: the more the better.")
    rmse = NumberOutput("RMSE", "Root-mean-square error (input units)", help="Over all pixels and bands.")
    cc = NumberOutput("CC", "Correlation coefficient", help="Pearson's, averaged over the bands: 1 is perfect.")
    sam = NumberOutput("SAM", "Mean spectral angle (degrees)", help="Between a pixel's spectra in both images, "
                       "averaged over the pixels: 0 is perfect. Papers on fusion list it as SAM or SAD.")
    ergas = NumberOutput("ERGAS", "ERGAS", help="Relative global error, 100 / RATIO times the root mean square of the "
                         "bands' relative errors: 0 is perfect.")
    psnr = NumberOutput("PSNR", "Peak signal-to-noise ratio (dB)", help="The reference's largest value in a band "
                        "against the band's error, in decibels, averaged over the bands.")
    ssim = NumberOutput("SSIM", "Structural similarity", help="Averaged over windows and bands: 1 is perfect.")
    uiqi = NumberOutput("UIQI", "Universal image quality index", help="Averaged over windows and bands: 1 is perfect.")
    table = TableOutput("TABLE", "Figures of each band", create=False, help="Table with one row per band: its name, "
                        "wavelength (nm), rsnr, rmse, cc, psnr, ssim, uiqi, and the mean of both images.")
    error = RasterOutput("ERROR", "Error of each pixel", style=Style.ERROR, help="Raster on the fused image's grid "
                         "with two bands: the root-mean-square error over the bands, in the images' unit, and the "
                         "spectral angle in degrees. Nodata is -9999.")
    report = _shared.REPORT
    example = {"FUSED": "fused", "REFERENCE": "scene", "RATIO": 2}

    def run(self, job):
        import numpy as np
        fused, reference = job.scene(self.fused), job.scene(self.reference)
        bands = matched(job, fused, reference)
        both = Common(fused, reference, bands)
        names = [fused.band_names[number] for number, _ in bands]
        x = None if fused.wavelengths is None else fused.wavelengths[[number for number, _ in bands]]
        found, rmse, angle = self._compare(job, both)
        for output, value in ((self.rsnr, found.rsnr), (self.rmse, found.rmse), (self.cc, found.cc),
                              (self.sam, found.sam), (self.ergas, found.ergas_by(job.value(self.mean))),
                              (self.psnr, found.psnr), (self.ssim, found.ssim), (self.uiqi, found.uiqi)):
            if np.isfinite(value):
                job.give_number(output, value)
                job.say("{figure}: {value}.", figure=output.label, value=f"{value:.4g}")
        if found.rmse == 0:
            job.warn("Both images are identical, so that there is no finite signal-to-noise ratio. Is the fused image "
                     "the reference itself?")
        rows = [{"band": name, "wavelength": None if x is None else float(x[number]),
                 **{figure: finite(getattr(band, figure)) for figure in FIGURES},
                 "mean_reference": band.mean, "mean_fused": band.mean_hat}
                for number, (name, band) in enumerate(zip(names, found.bands))]
        job.give_table(self.table, rows)
        if job.wants(self.error):
            self._write(job, both, rmse, angle)
        report = job.report(self.report)
        if report:
            self._fill(report, job, found, rows, x, rmse, angle)
            job.give_report(self.report, report)
        job.progress(1, 1)

    def _compare(self, job, both):
        """The quality, and the RMSE and angle of every pixel (I, J), NaN where masked."""
        import numpy as np

        from ...algorithms.fusion.quality import Quality, compare_band, known_mean
        K, found = len(both.bands), []
        groups = np.array_split(np.arange(K), -(-K * both.width * both.height // VALUES))
        valid, rmse, angle = both.survey(lambda done, rows: job.progress(done, rows * (len(groups) + 1)))
        for number, group in enumerate(groups, 1):
            Z, Z_hat = both.cubes(group)
            found += [compare_band(z, z_hat, valid, job.value(self.window)) for z, z_hat in zip(Z, Z_hat)]
            job.progress(number + 1, len(groups) + 2)
        return Quality(found, known_mean(angle), job.value(self.ratio)), rmse, angle

    def _write(self, job, both, rmse, angle):
        import numpy as np
        from rasterio.windows import Window
        fused = both.fused
        layers = np.full((2, fused.height, fused.width), np.nan, np.float32)
        layers[:, both.row:both.row + both.height, both.col:both.col + both.width] = rmse, angle
        with job.raster(self.error, fused, ["Root-mean-square error", "Spectral angle (degrees)"]) as file:
            file.write(Window(0, 0, fused.width, fused.height), layers.reshape(2, -1))

    def _fill(self, report, job, found, rows, x, rmse, angle):
        import numpy as np
        report.numbers(Signal_to_noise_ratio_in_dB=found.rsnr, Correlation=found.cc,
                       Spectral_angle_in_degrees=found.sam, ERGAS=found.ergas_by(job.value(self.mean)),
                       PSNR_in_dB=found.psnr, SSIM=found.ssim, UIQI=found.uiqi,
                       Pixels=found.bands[0].N, Bands=len(rows))
        at = np.arange(1, len(rows) + 1) if x is None else x
        label = "Band" if x is None else "Wavelength (nm)"
        curves = {"Root-mean-square error and mean of each band (images' unit)":
                  {"Root-mean-square error": "rmse", "Mean of the reference": "mean_reference",
                   "Mean of the fused image": "mean_fused"},
                  "Correlation, SSIM and UIQI of each band": {"Correlation": "cc", "SSIM": "ssim", "UIQI": "uiqi"},
                  "Signal-to-noise ratios of each band (dB)": {"R-SNR": "rsnr", "PSNR": "psnr"}}
        for caption, lines in curves.items():
            report.heading(caption)
            report.curves(at, {name: [row[key] for row in rows] for name, key in lines.items()}, label)
        report.heading("Where the errors are")
        for caption, image, unit in (("Root-mean-square error over the bands", rmse, ""),
                                     ("Spectral angle", angle, "degrees")):
            report.maps({caption: image}, unit)


class Common:
    """
    The ground that two images share, pixel on pixel.

    Attributes
    ----------
    bands : list of (int, int)
        Positions of the same band in the fused image and in the reference.
    row, col, height, width : int
        The common ground, in the fused image's pixels.
    """

    def __init__(self, fused, reference, bands):
        self.fused, self.reference, self.bands = fused, reference, bands
        down, across = offset(fused, reference)
        self.row, self.col = max(0, -down), max(0, -across)
        self.height = min(fused.height, reference.height - down) - self.row
        self.width = min(fused.width, reference.width - across) - self.col
        self._down, self._across = down, across
        if self.height < 1 or self.width < 1:
            raise apart(fused, reference)

    def strips(self, group):
        """Rows of both images in some of the bands: (slice, Z (k, n), Z_hat (k, n), valid (n,))."""
        from rasterio.windows import Window
        here, there = ([self.bands[number][side] for number in group] for side in (0, 1))
        step = max(1, self.fused.windows(rows=True, bands=self.fused.count + self.reference.count)[0].height)
        for first in range(0, self.height, step):
            rows = min(step, self.height - first)
            Z_hat, known = self.fused.read(Window(self.col, self.row + first, self.width, rows))
            Z, true = self.reference.read(Window(self.col + self._across, self.row + first + self._down, self.width,
                                                 rows))
            yield slice(first, first + rows), Z[there], Z_hat[here], known & true

    def survey(self, progress):
        """Which pixels are valid in both (I, J), and their RMSE over the bands and angle, NaN elsewhere."""
        import numpy as np

        from ...algorithms.fusion.quality import angles
        from ...engine.sentences import UserError
        valid = np.zeros((self.height, self.width), bool)
        rmse, angle = (np.full(valid.shape, np.nan, np.float32) for _ in range(2))
        for rows, Z, Z_hat, known in self.strips(range(len(self.bands))):
            Z, Z_hat = Z[:, known], Z_hat[:, known]
            known = known.reshape(-1, self.width)
            valid[rows] = known
            rmse[rows][known] = np.sqrt(np.mean((Z.astype(np.float64) - Z_hat) ** 2, axis=0))
            angle[rows][known] = angles(Z, Z_hat)
            progress(rows.stop, self.height)
        if not valid.any():
            raise UserError("No pixel has a value in both images: of the {pixels} that both cover, each is nodata in "
                            "one or the other. Give images with less masked.", pixels=self.height * self.width)
        return valid, rmse, angle

    def cubes(self, group):
        """Some of the bands of the reference and of the fused image, (k, I, J) each."""
        import numpy as np
        cubes = [np.empty((len(group), self.height, self.width), np.float32) for _ in range(2)]
        for rows, *parts, _ in self.strips(group):
            for cube, part in zip(cubes, parts):
                cube[:, rows] = part.reshape(len(group), -1, self.width)
        return cubes


def matched(job, fused, reference):
    """Pairs of positions (fused, reference) of the bands that both images have."""
    import numpy as np

    from ...engine.sentences import UserError
    known = fused.wavelengths is not None and reference.wavelengths is not None
    if fused.L == reference.L and not (known and np.abs(fused.wavelengths - reference.wavelengths).max() > NEAR):
        return [(number, number) for number in range(fused.L)]
    if not known:
        raise UserError("The fused image has {count} usable bands and the reference {other}, and without the "
                        "wavelengths of both it cannot be told which is which. Give images of the same bands.",
                        count=fused.L, other=reference.L)
    apart = np.abs(fused.wavelengths[:, None] - reference.wavelengths)
    pairs = [(number, int(row.argmin())) for number, row in enumerate(apart) if row.min() <= NEAR]
    if not pairs:
        raise UserError("No band of the fused image has the wavelength of one of the reference's. Give images of the "
                        "same bands.")
    if len(pairs) < max(fused.L, reference.L):
        job.say("{count} bands are in both images and compared; the fused image has {all}, the reference {other}.",
                count=len(pairs), all=fused.L, other=reference.L)
    return pairs


def offset(fused, reference):
    """
    Row and column of the reference's pixel on which the fused image's first one lies.

    An image without a georeference lies where QGIS draws it, as `waldpair` takes it; both without, or one of the
    other's size, lie on each other.
    """
    from ...engine.sentences import UserError
    placed = [not scene.transform.is_identity or bool(scene.gcps[0]) for scene in (fused, reference)]
    alike = (fused.width, fused.height) == (reference.width, reference.height)
    if alike and not all(placed):
        return 0, 0
    found = None if not any(placed) else aligned(fused, reference)
    if found is not None:
        return found
    if not all(placed):
        raise UserError("The sizes differ: the fused image has {width} x {height} pixels and the reference {columns} x "
                        "{rows}. Without a georeference of {which} it cannot be told how they lie on each other. "
                        "Georeference both alike, or give images of one size.", width=fused.width,
                        height=fused.height, columns=reference.width, rows=reference.height,
                        which="both" if not any(placed) else "the fused image" if placed[1] else "the reference")
    raise UserError("The pixels of the fused image and of the reference do not lie on each other: {grid} against "
                    "{other}. Bring the reference to the fused image's grid first (Warp, with its extent, pixel size "
                    "and CRS).", grid=grid(fused), other=grid(reference))


def aligned(fused, reference):
    """`offset` by where both images lie on the map; None where their pixels do not lie on each other."""
    if fused.crs and reference.crs and fused.crs != reference.crs:
        return None
    relative = ~reference.map_transform * fused.map_transform
    across, down = round(relative.c), round(relative.f)
    for corner in ((0, 0), (fused.width, 0), (0, fused.height)):
        x, y = relative * corner
        if max(abs(x - corner[0] - across), abs(y - corner[1] - down)) > SHIFT:
            return None
    return down, across


def apart(fused, reference):
    from ...engine.sentences import UserError
    return UserError("The fused image and the reference do not overlap: {grid} against {other}. Choose images of the "
                     "same ground.", grid=grid(fused), other=grid(reference))


def grid(scene):
    """Size, pixel size, upper left corner and CRS of a raster, in words and figures."""
    t = scene.map_transform
    crs = scene.crs.to_string() if scene.crs else "no CRS"
    return (f"{scene.width} x {scene.height} pixels of {abs(t.a):.6g} x {abs(t.e):.6g} at {t.c:.10g}, {t.f:.10g} "
            f"({crs if len(crs) < 30 else 'its own CRS'})")


def finite(value):
    """A number, or None where it is infinite or unknown."""
    import math
    return float(value) if math.isfinite(value) else None
