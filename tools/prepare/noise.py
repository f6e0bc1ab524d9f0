"""The tool `noise`."""

from ...engine.declare import Choice, Group, NumberOutput, RasterOutput, Style, Tool
from .. import _shared


class Noise(Tool):
    """Strength of the noise in every band of a scene, its signal-to-noise ratio, and the scene without it.

    Regression predicts each band from all the others and takes what is left as noise. Shift difference compares each
    pixel with its right neighbour: edges and texture count as noise there, so it reports more.

    Only regression can remove the noise. The denoised scene has the bands that were used, with their wavelengths.

    It reads the raster in bounded memory: once for regression, twice for shift difference (in strips of whole rows, and
    without pairs in which a pixel is masked), and once more for the denoised scene."""

    id = "noise"
    label = "Noise and signal-to-noise ratio"
    group = Group.PREPARE
    tags = ("noise", "SNR", "denoise", "noise removal", "image quality", "signal-to-noise ratio", "multiple regression",
            "shift difference")
    citation = ("Roger and Arnold, Reliably estimating the noise in AVIRIS hyperspectral images, Int. J. Remote "
                "Sensing 17(10), 1996; as used in Abdelgawad et al., CUR-HU, Remote Sensing 16(5), 2024, section 4.2")
    prefer = ("Take it to see how noisy a scene and each of its bands are. To leave noisy bands out, take Find bad "
              "bands; to choose how many components of a scene stay, Inverse MNF.")
    doi = ("10.1080/01431169608948750", "10.3390/rs16050766")

    image = _shared.INPUT
    method = Choice("METHOD", "Estimate noise by", default="regression", options={
        "regression": "Regression on the other bands", "shift": "Difference of neighbouring pixels"},
        help="Regression needs more pixels than bands; difference of neighbours (shift) needs a scene of homogeneous "
             "areas. Default regression.")
    bands = _shared.BANDS
    denoised = RasterOutput("DENOISED", "Denoised scene", style=Style.SPECTRAL, create=False, help="Raster with the "
                            "used bands less their estimated noise, in input units; only by regression. Nodata -9999.")
    snr = NumberOutput("SNR", "Median signal-to-noise ratio (dB)", help="Median over the bands of the ratio of signal "
                       "power to noise power, in decibels.")
    report = _shared.REPORT
    example = {"INPUT": "scene"}

    def run(self, job):
        import numpy as np

        from ...algorithms.pixels import moments
        from ...algorithms.prepare.noise import regression_noise, snr
        from ...engine.sentences import UserError
        shift = job.value(self.method) == "shift"
        if shift and job.wants(self.denoised):
            raise UserError("The difference of neighbours measures noise but cannot remove it. Choose regression, or "
                            "leave out the denoised scene.")
        scene = job.scene(self.image)
        job.passes(2 if shift or job.wants(self.denoised) else 1)
        found = moments(scene.pixels(progress=job.progress))
        if shift:
            variances = shift_variances(scene, job.progress)
        else:
            noise = regression_noise(found)
            variances = noise.variances
        ratio = snr(found, variances)
        self._say(job, scene, ratio)
        if job.wants(self.denoised):
            self._denoise(job, scene, noise)
        report = job.report(self.report)
        if report:
            order = np.arange(scene.L) if scene.wavelengths is None else np.argsort(scene.wavelengths, kind="stable")
            x, xlabel = (scene.indexes, "Band") if scene.wavelengths is None \
                else (scene.wavelengths, "Wavelength (nm)")
            report.numbers(Median_SNR_in_dB=float(np.nanmedian(ratio)), Bands=scene.L, Pixels=found.N)
            report.curve(x[order], ratio[order], "Signal-to-noise ratio of each band", xlabel, "SNR (dB)")
            report.curve(x[order], np.sqrt(variances)[order], "Noise of each band", xlabel,
                         "Standard deviation (input units)")
            job.give_report(self.report, report)

    def _say(self, job, scene, ratio):
        """The median over the bands as a number, and the noisiest band in the log."""
        import numpy as np
        median, worst = np.nanmedian(ratio), int(np.nanargmin(ratio))
        if not np.isfinite(median):
            job.warn("Most bands hold {kind} alone, so there is no median signal-to-noise ratio.",
                     kind="signal" if median > 0 else "noise")
            return
        job.give_number(self.snr, float(median))
        job.say("Median signal-to-noise ratio {median} dB; lowest {low} dB, in {band}.", median=f"{median:.1f}",
                low=f"{ratio[worst]:.1f}", band=scene.band_names[worst])

    def _denoise(self, job, scene, noise):
        """Write the scene without its noise, a few thousand pixels at a time in float64."""
        import numpy as np

        from ...algorithms.pixels import blocks

        def block(Y, valid):
            parts = blocks(Y if valid.all() else Y[:, valid])
            X = [noise.denoise(part).astype(np.float32) for part in parts]
            return np.concatenate(X, axis=1) if X else np.empty((scene.L, 0), np.float32), valid

        with job.raster(self.denoised, scene, scene.band_names, wavelengths=scene.wavelengths, fwhm=scene.fwhm) as file:
            for window, (X, valid) in scene.map_blocks(block, progress=job.progress):
                file.write(window, X, valid)


def shift_variances(scene, progress):
    """Noise variance of each band (L,) from differences of right neighbours."""
    import numpy as np

    from ...algorithms.prepare.noise import shift_difference_noise, shift_differences
    return np.diag(shift_difference_noise(shift_differences(cube, valid)
                                          for cube, valid in _shared.strips(scene, progress)))
