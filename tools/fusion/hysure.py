"""The tool `hysure`."""

from dataclasses import replace

from ...engine.declare import Real
from . import _fusion
from .. import _shared


class SubspaceTotalVariation(_fusion.FusionTool):
    """The hyperspectral image at the multispectral image's resolution, smooth within fields and sharp at their edges.

    HySure describes the scene by a few spectra found in the hyperspectral image and looks for coefficients that explain
    both images, with a total variation that keeps the edges of all coefficients in the same places. It knows no change
    between the two dates."""

    id = "hysure"
    label = "Subspace-based fusion with total variation (HySure)"
    tags = (*_fusion.FusionTool.tags, "HySure", "total variation", "subspace", "ADMM", "denoise")
    citation = ("Simões, Bioucas-Dias, Almeida and Chanussot, A convex formulation for hyperspectral image "
                "superresolution via subspace-based regularization, IEEE Transactions on Geoscience and Remote Sensing "
                "53(6), 2015")
    prefer = ("For images of the same date, or where nothing changed, also noisy ones: among the most accurate on all "
              "such pairs in our measurements. Where spectra or fields changed, take BTD-Var.")
    doi = ("10.1109/TGRS.2014.2375320",)

    count = replace(_fusion.COUNT, label="Dimension of the subspace", default=10, help="How many spectra the scene is "
                    "made of, found by vertex component analysis: at least 2, at most the number of bands of the "
                    "hyperspectral image. Default 10.")
    smoothness = Real("SMOOTHNESS", "Weight of the total variation (lambda phi)", default=5e-4, minimum=0.0,
                      maximum=1e6, advanced=True, help="Larger gives more even fields, for bands scaled to about 0 to "
                      "1; 0 switches it off. No unit. Default 0.0005.")
    balance = _fusion.BALANCE
    iterations = _fusion.iterations(200)
    tolerance = Real("TOLERANCE", "Tolerance", default=1e-4, minimum=0.0, maximum=1.0, advanced=True,
                     help="The run ends when the coefficients of both parts of the problem agree to this, as a root "
                          "mean square, and have stopped moving, 0 to 1. Default 0.0001.")
    seed = _shared.SEED
    example = {**_fusion.FusionTool.example, "COUNT": 3, "ITERATIONS": 20}
    numbers = 150

    def start(self, job, Y):
        from ...algorithms.fusion.start import spanning
        return spanning(Y, job.value(self.count), job.value(self.seed))

    def method(self, job):
        from functools import partial

        from ...algorithms.fusion.hysure import hysure
        return partial(hysure, smoothness=job.value(self.smoothness), balance=job.value(self.balance),
                       iterations=job.value(self.iterations), tolerance=job.value(self.tolerance))
