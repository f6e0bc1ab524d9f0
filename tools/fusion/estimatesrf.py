"""The tool `estimatesrf`."""

from ...engine.declare import FileOutput, Group, NumberOutput, Real, Tool
from .. import _shared
from . import _pairs


class EstimateResponse(Tool):
    """The multispectral sensor's response and the hyperspectral sensor's blur, from an image of each.

    Where a sensor's spectral responses or point spread function are not known, the pair itself tells them: blurred
    strongly enough, both images differ only in their bands, so that each multispectral band is a smooth combination of
    hyperspectral ones; and with these known, the width of the Gaussian follows under which the multispectral image
    looks like the hyperspectral one. A shift between the two images is found along the way.

    Both images should show the same date, or little change. The table is what the fusion tools take as the sensor
    (SRF = table); the width is their PSFWIDTH. The middle of the scene is used, up to 200 by 200 HSI pixels."""

    id = "estimatesrf"
    label = "Estimate spectral response and blur"
    group = Group.FUSION
    tags = ("spectral response function", "SRF", "point spread function", "PSF", "MTF", "registration", "fusion",
            "HySure", "blur", "calibration")
    citation = ("Simoes, Bioucas-Dias, Almeida and Chanussot, A convex formulation for hyperspectral image "
                "superresolution via subspace-based regularization, IEEE TGRS 53(6), 2015, section III-D")
    prefer = ("Before a fusion, where the response or the blur of a sensor is not known. Where both are known, give "
              "them to the fusion tool; Fuse a pair estimates the blur itself.")
    doi = ("10.1109/TGRS.2014.2375320",)

    hsi, msi, hsi_bands, msi_bands = _pairs.HSI, _pairs.MSI, _pairs.HSI_BANDS, _pairs.MSI_BANDS
    roughness = Real("SMOOTHNESS", "Smoothness of the responses", default=1e-4, minimum=0.0, maximum=1e3, advanced=True,
                     help="Weight of the differences between neighbouring bands, relative to a band's mean energy: "
                          "larger for noisy images. No unit. Default 0.0001.")
    table = FileOutput("RESPONSE", "Spectral responses", extensions=("csv",), optional=False, help="CSV table with a "
                       "row for each multispectral band: its response, 1 at most, at the wavelength (nm) of each "
                       "hyperspectral band. It is what SRFTABLE takes.")
    width = NumberOutput("PSFWIDTH", "Width of the point spread function (HSI pixels)", help="Full width at half "
                         "maximum of the Gaussian, the mean of both directions.")
    down = NumberOutput("SHIFTDOWN", "Shift down (MSI pixels)", help="How much further down the rows the hyperspectral "
                        "image's content lies than its georeference says. Beyond half a pixel, register the images.")
    across = NumberOutput("SHIFTACROSS", "Shift across (MSI pixels)", help="The same along the columns, to the right.")
    misfit = NumberOutput("MISFIT", "Misfit of the blur (relative)", help="What is left of the hyperspectral image, in "
                          "the multispectral bands, that the blurred multispectral image does not explain: 0 nothing, "
                          "1 everything.")
    report = _shared.REPORT
    example = {"HSI": "hsi", "MSI": "msi"}

    def run(self, job):
        import numpy as np

        from ...algorithms.fusion.response import estimate_blur, estimate_response
        from ...engine.formats import write_spectra
        from ...engine.pairing import pair_up
        from ...engine.sentences import UserError
        from ...engine.spectra import Spectra
        if not job.path(self.table).lower().endswith(".csv"):
            raise UserError("The spectral responses are written as CSV. Let the file's name end in .csv.")
        hsi, msi = job.scene(self.hsi), job.scene(self.msi)
        _pairs.check_order(hsi, msi)
        if hsi.wavelengths is None:
            raise UserError("{path} has no wavelengths to give responses at. Add them to its metadata.", path=hsi.path)
        paired = pair_up(hsi, msi, job.say, job.warn)
        paired.survey()   # refuses a scene with too much masked
        coarse, fine, rows, columns, usable = _pairs.middle(paired)
        job.progress(1, 4)
        R = estimate_response(coarse, fine, rows, columns, hsi.wavelengths, job.value(self.roughness), usable)
        if not R.any(axis=1).all():
            raise UserError("The multispectral band {band} looks like no combination of hyperspectral bands. Leave it "
                            "out (MSIBANDS), or choose images of the same ground.",
                            band=msi.band_names[int(np.flatnonzero(~R.any(axis=1))[0])])
        job.progress(2, 4)
        try:
            blur = estimate_blur(coarse, fine, R, rows, columns, usable)
        except ValueError as error:
            raise UserError("The blur cannot be estimated: {reason}. Use images that overlap more.",
                            reason=str(error)) from error
        job.progress(3, 4)
        self._tell(job, blur)
        spectra = Spectra(list(msi.band_names), self._densities(R, hsi.wavelengths, hsi.fwhm), hsi.wavelengths)
        write_spectra(job.path(self.table), spectra, "csv")
        self._report(job, spectra, R, blur, hsi)
        job.progress(1, 1)

    def _densities(self, R, wavelengths, fwhm):
        """Responses (K, K_M) at the bands' centres from weights of bands: divided by what each stands for."""
        from ...engine.sensors import cells
        y = (R / cells(wavelengths, fwhm)).T
        return y / y.max(axis=0)

    def _tell(self, job, blur):
        job.give_number(self.width, sum(blur.width) / 2)
        job.give_number(self.down, blur.shift[0])
        job.give_number(self.across, blur.shift[1])
        job.give_number(self.misfit, blur.misfit)
        job.say("Point spread function: {down} HSI pixels wide along columns, {across} along rows.",
                down=f"{blur.width[0]:.2f}", across=f"{blur.width[1]:.2f}")
        if max(map(abs, blur.shift)) > 0.5:
            job.warn("The images are shifted against each other by {down} MSI pixels down and {across} across. "
                     "Register them before a fusion.", down=f"{blur.shift[0]:.1f}", across=f"{blur.shift[1]:.1f}")
        if blur.at_bound:
            job.warn("A width or a shift is as large as it is looked for: it means little. Check that the images "
                     "belong together.")
        if blur.misfit > _pairs.POOR:
            job.warn("The two images hardly show the same: {percent} % of the hyperspectral image's variation is not "
                     "explained. Responses and blur mean little.", percent=round(100 * min(blur.misfit, 1)))

    def _report(self, job, spectra, R, blur, hsi):
        report = job.report(self.report)
        if not report:
            return
        report.numbers(Width_down_in_HSI_pixels=blur.width[0], Width_across_in_HSI_pixels=blur.width[1],
                       Shift_down_in_MSI_pixels=blur.shift[0], Shift_across_in_MSI_pixels=blur.shift[1],
                       Relative_misfit=blur.misfit)
        report.spectra(spectra, "Spectral responses, 1 at most")
        report.table(["Multispectral band", "Centre (nm)", "Times as bright as its hyperspectral counterpart"],
                     [(name, float(row @ hsi.wavelengths / row.sum()), float(row.sum()))
                      for name, row in zip(spectra.names, R)])
        job.give_report(self.report, report)
