"""The tool `fumi`."""

from dataclasses import replace

from ...engine.declare import Integer, Real
from . import _fusion
from .. import _shared


class FusionByUnmixing(_fusion.FusionTool):
    """The hyperspectral image at the multispectral image's resolution, made of few materials whose fractions sum to
    one.

    FUMI looks for the endmembers and the fine abundances that explain both images together, where the abundances of
    every pixel are not negative and add up to one exactly. It knows no change between the two dates, nor brightness
    that differs within a material."""

    id = "fumi"
    label = "Fusion based on unmixing (FUMI)"
    tags = (*_fusion.FusionTool.tags, "FUMI", "unmixing", "endmembers", "abundance", "fraction", "ADMM")
    citation = ("Wei, Bioucas-Dias, Dobigeon, Tourneret, Chen and Godsill, Multiband image fusion based on spectral "
                "unmixing, IEEE Transactions on Geoscience and Remote Sensing 54(12), 2016")
    prefer = ("For images of the same date on flat ground, where fractions that sum to one are wanted: the most "
              "accurate on Indian Pines in our measurements. For shaded slopes take CNMF.")
    doi = ("10.1109/TGRS.2016.2598784",)

    count = replace(_fusion.COUNT, default=5, help="How many materials (R) the scene is made of: at least 2, at most "
                    "the number of bands of the hyperspectral image. HySime estimates it. Default 5.")
    upper = Real("UPPER", "Largest value of an endmember", default=1.0, minimum=1e-3, maximum=1e6, advanced=True,
                 help="In each band, as a multiple of what it is scaled by (its 0.999 quantile), above 0. A larger one "
                      "lets endmembers run out of the scene and makes the image noisier. Default 1.")
    balance = _fusion.BALANCE
    iterations = _fusion.iterations(50)
    steps = Integer("STEPS", "Steps for abundances and for endmembers", default=20, minimum=1, maximum=100000,
                    advanced=True, help="At most so many ADMM steps for each of both in an iteration, 1 to 100000. "
                    "Default 20.")
    tolerance = _fusion.tolerance(1e-4)
    seed = _shared.SEED
    endmembers, abundances = _fusion.ENDMEMBERS, _fusion.ABUNDANCES
    example = {**_fusion.FusionTool.example, "COUNT": 3, "ITERATIONS": 10}
    from_materials, numbers = True, 120

    def method(self, job):
        from functools import partial

        from ...algorithms.fusion.fumi import fumi
        return partial(fumi, upper=job.value(self.upper), balance=job.value(self.balance),
                       iterations=job.value(self.iterations), steps=job.value(self.steps),
                       tolerance=job.value(self.tolerance))
