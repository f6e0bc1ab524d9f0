"""The tool `fuvar`."""

from dataclasses import replace

from ...engine.declare import Flag, Integer, Real
from . import _fusion
from .. import _shared


class FusionWithVariability(_fusion.FusionTool):
    """The hyperspectral image at the multispectral image's resolution, where light or season changed the spectra.

    FuVar describes the change by one smooth factor over the bands for every endmember: a season, another
    illumination, another atmosphere, the same for a material everywhere. The fused image shows the hyperspectral
    image's date, the variability what the multispectral one has more. A field that changed alone is not described."""

    id = "fuvar"
    label = "Fusion with seasonal spectral variability (FuVar)"
    tags = (*_fusion.FusionTool.tags, "FuVar", "spectral variability", "seasonal", "change", "GLMM", "total variation")
    citation = ("Borsoi, Imbiriba and Bermudez, Super-resolution for hyperspectral and multispectral image fusion "
                "accounting for seasonal spectral variability, IEEE Transactions on Image Processing 29, 2020")
    prefer = ("Where light, atmosphere or season changed the spectra, and fractions are wanted too. BTD-Var was more "
              "accurate on such pairs in our measurements, and much faster.")

    count = replace(_fusion.COUNT, default=30, help="How many endmembers (R) the scene is made of, found by vertex "
                    "component analysis: at least 2, at most the number of bands of the hyperspectral image. Default "
                    "30, for a sharp image; for materials with a name, about as many as HySime estimates.")
    smoothness = Real("SMOOTHNESS", "Weight of the total variation (lambda A)", default=1e-4, minimum=0.0, maximum=1e6,
                      advanced=True, help="Larger gives more even abundances, for bands scaled to about 0 to 1; 0 "
                      "switches it off. No unit. Default 0.0001.")
    nearness = Real("NEARNESS", "Weight of no change (lambda 1)", default=0.01, minimum=1e-12, maximum=1e12,
                    advanced=True, help="How strictly the factors stay near one; a very large one means no change. No "
                    "unit, above 0. Default 0.01.")
    spectral = Real("SPECTRALSMOOTHNESS", "Smoothness of the factors (lambda 2)", default=1e4, minimum=0.0,
                    maximum=1e12, advanced=True, help="Weight of the squared second differences of the factors over "
                    "the bands: larger is smoother. No unit, 0 or more. Default 10000.")
    sum_to_one = Flag("SUMTOONE", "Abundances add up to one", default=False, advanced=True, help="In every pixel, "
                      "exactly; brightness that varies within a material is then not described. Default no.")
    balance = _fusion.BALANCE
    iterations = _fusion.iterations(10)
    steps = Integer("STEPS", "Steps for the abundances", default=50, minimum=1, maximum=100000, advanced=True,
                    help="At most so many ADMM steps in an iteration, 1 to 100000. Default 50.")
    tolerance = _fusion.tolerance(1e-3, "abundances and factors change")
    seed = _shared.SEED
    endmembers, msi_endmembers, abundances = _fusion.ENDMEMBERS, _fusion.MSI_ENDMEMBERS, _fusion.ABUNDANCES
    variability = _fusion.VARIABILITY
    example = {**_fusion.FusionTool.example, "COUNT": 3, "ITERATIONS": 3}
    from_materials, numbers = True, 500

    def method(self, job):
        from functools import partial

        from ...algorithms.fusion.fuvar import fuvar
        return partial(fuvar, balance=job.value(self.balance), smoothness=job.value(self.smoothness),
                       nearness=job.value(self.nearness), spectral_smoothness=job.value(self.spectral),
                       sum_to_one=job.value(self.sum_to_one), iterations=job.value(self.iterations),
                       steps=job.value(self.steps), tolerance=job.value(self.tolerance))
