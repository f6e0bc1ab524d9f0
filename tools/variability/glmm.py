"""The tool `glmm`."""

from . import _variability


class GeneralisedLinearMixingModel(_variability.VariabilityTool):
    """Fractions of materials whose spectra change shape from pixel to pixel, with a factor for every band.

    The generalised linear mixing model: in every pixel each endmember is its reference spectrum times a factor per
    band, smooth in space. It can follow any change of the spectra, noise included: a small reconstruction error says
    nothing about the fractions. Compare its variability with what you know of the scene."""

    id = "glmm"
    label = "Generalised linear mixing model (GLMM)"
    tags = (*_variability.VariabilityTool.tags, "GLMM", "scaling factor", "total variation")
    citation = ("Imbiriba, Borsoi and Bermudez, Generalized linear mixing model accounting for endmember variability, "
                "ICASSP 2018")
    prefer = ("Where the spectra change shape smoothly in space, each band by its own factor. In our measurements its "
              "fractions were about as good as ELMM's, in several times the time.")

    lambda_m = _variability.weight("LAMBDAM", "Strictness of the factors (lambda M)", 1.0, "How strictly each pixel's "
                                   "endmembers follow their smooth factors: larger is stricter.")
    lambda_a = _variability.weight("LAMBDAA", "Smoothness of the fractions (lambda A)", 0.01, "Weight of the total "
                                   "variation of the fractions: larger gives more even patches.", optional=True)
    lambda_psi = _variability.weight("LAMBDAPSI", "Smoothness of the factors (lambda psi)", 1e-6, "Weight of the "
                                     "squared differences of the factors between neighbours.")
    start, exact = _variability.START, _variability.EXACT
    iterations = _variability.iterations(50)
    tolerance = _variability.tolerance(1e-3, "the abundances and the cost change")
    numbers = 1

    def method(self, job, scene, spectra, pixels):
        from functools import partial

        from ...algorithms.variability.glmm import glmm
        return partial(glmm, lambda_m=job.value(self.lambda_m), lambda_a=job.value(self.lambda_a),
                       lambda_psi=job.value(self.lambda_psi), start=job.value(self.start),
                       exact=job.value(self.exact))
