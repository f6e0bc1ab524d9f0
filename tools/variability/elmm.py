"""The tool `elmm`."""

from dataclasses import replace

from ...engine.declare import RasterOutput, Style
from . import _variability


class ExtendedLinearMixingModel(_variability.VariabilityTool):
    """Fractions of materials that are brighter or darker from pixel to pixel, each with its own factor.

    The extended linear mixing model: in every pixel each endmember is its reference spectrum times a factor, as slopes,
    shadow and grain size cause, and small deviations from that are allowed. Factors and fractions vary smoothly in
    space.

    A factor means little where its endmember's fraction is near zero: only its neighbours tell it there."""

    id = "elmm"
    label = "Extended linear mixing model (ELMM)"
    tags = (*_variability.VariabilityTool.tags, "ELMM", "scaling factor", "topography", "total variation", "brightness",
            "shadow", "slope")
    citation = ("Drumetz, Veganzones, Henrot, Phlypo, Chanussot and Jutten, Blind hyperspectral unmixing using an "
                "extended linear mixing model to address spectral variability, IEEE TIP 25(8), 2016")
    prefer = ("The one to try first where brightness differs for each material, as on slopes and in shadow. Where one "
              "factor per pixel is enough, SCLS does nearly as well at once.")
    doi = ("10.1109/TIP.2016.2579259",)

    lambda_s = _variability.weight("LAMBDAS", "Strictness of the scaling (lambda S)", 0.5, "How strictly each pixel's "
                                   "endmembers are scaled copies of the reference: larger is stricter.")
    lambda_a = _variability.weight("LAMBDAA", "Smoothness of the fractions (lambda A)", 0.015, "Weight of the total "
                                   "variation of the fractions: larger gives more even patches.", optional=True)
    lambda_psi = _variability.weight("LAMBDAPSI", "Smoothness of the factors (lambda psi)", 0.05, "Weight of the "
                                     "squared differences of the factors between neighbours.")
    start, exact = _variability.START, _variability.EXACT
    scaling = RasterOutput("SCALING", "Scaling", style=Style.SCALING, help="Raster with a band per endmember: the "
                           "factor of its reference spectrum in each pixel. 1 is as bright, less is darker. No unit.")
    variability = replace(_variability.VariabilityTool.variability, create=False)

    def method(self, job, scene, spectra, pixels):
        from functools import partial

        from ...algorithms.variability.elmm import elmm
        return partial(elmm, lambda_s=job.value(self.lambda_s), lambda_a=job.value(self.lambda_a),
                       lambda_psi=job.value(self.lambda_psi), start=job.value(self.start),
                       exact=job.value(self.exact))

    def maps(self, job, found, valid):
        return {self.scaling: found.psi}

    def figures(self, report, names, whole):
        report.heading("Factors of the reference spectra")
        report.maps(dict(zip(names, whole.drawn(self.scaling))), "Factor")
