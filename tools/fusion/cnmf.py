"""The tool `cnmf`."""

from dataclasses import replace

from ...engine.declare import Integer, Real
from . import _fusion
from .. import _shared


class CoupledFactorisation(_fusion.FusionTool):
    """The hyperspectral image at the multispectral image's resolution, with the scene's materials and where they are.

    CNMF unmixes both images in turn: the hyperspectral one gives the spectra, the multispectral one says where they
    are. Values, spectra and abundances are never negative. The spectra in the multispectral bands are refined on their
    own where there are more than three such bands. Many endmembers fuse better; few of them are materials with a name.
    """

    id = "cnmf"
    label = "Coupled nonnegative matrix factorisation (CNMF)"
    tags = (*_fusion.FusionTool.tags, "CNMF", "unmixing", "endmembers", "abundance", "multiplicative updates")
    citation = ("Yokoya, Yairi and Iwasaki, Coupled nonnegative matrix factorization unmixing for hyperspectral and "
                "multispectral data fusion, IEEE Transactions on Geoscience and Remote Sensing 50(2), 2012")
    prefer = ("For images of the same date, where materials and their fractions are wanted too: nearly as accurate as "
              "HySure there. Where spectra changed between the dates it lost most accuracy of all methods; take "
              "CNN-BTD-Var.")
    doi = ("10.1109/TGRS.2011.2161320",)

    count = replace(_fusion.COUNT, default=30, help="How many spectra (R) the scene is made of: at least 2, at most "
                    "the number of bands of the hyperspectral image. Default 30, for a sharp image; for materials "
                    "with a name, about as many as HySime estimates.")
    delta = Real("DELTA", "Weight of the sum to one (delta)", optional=True, minimum=0.0, maximum=1e6, advanced=True,
                 help="How strictly the abundances of a pixel add up to one, for bands scaled to about 0 to 1: 0 not "
                      "at all, 10 almost exactly. No unit. Empty: 2 sqrt(mean / 0.7455) / n^3 of the multispectral "
                      "image's mean and its number of bands n, as published.")
    iterations = Integer("ITERATIONS", "Outer iterations at most", default=1, minimum=1, maximum=1000, advanced=True,
                         help="Passes over both images after the first one, 1 to 1000. Default 1.")
    inner = Integer("INNER", "Inner iterations at most", default=200, minimum=1, maximum=100000, advanced=True,
                    help="Multiplicative steps in each part of a pass, 1 to 100000. Default 200.")
    inner_tolerance = Real("INNERTOLERANCE", "Tolerance of the inner iterations", default=1e-8, minimum=0.0,
                           maximum=1.0, advanced=True, help="A part of a pass ends when the cost falls by less than "
                           "this share of itself in a step, 0 to 1. Default 1e-08.")
    tolerance = _fusion.tolerance(1e-2)
    seed = _shared.SEED
    endmembers, msi_endmembers, abundances = _fusion.ENDMEMBERS, _fusion.MSI_ENDMEMBERS, _fusion.ABUNDANCES
    example = {**_fusion.FusionTool.example, "COUNT": 3}
    from_materials, numbers = True, 90

    def method(self, job):
        from functools import partial

        from ...algorithms.fusion.cnmf import cnmf
        return partial(cnmf, delta=job.value(self.delta), iterations=job.value(self.iterations),
                       inner=job.value(self.inner), inner_tolerance=job.value(self.inner_tolerance),
                       tolerance=job.value(self.tolerance))
