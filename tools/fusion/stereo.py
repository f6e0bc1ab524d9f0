"""The tool `stereo`."""

from ...engine.declare import Integer
from . import _fusion
from .. import _shared

OTHER = 30   # numbers per pixel of the fused image beside those of the terms
TERM = 3     # per pixel and term


class CoupledPolyadic(_fusion.FusionTool):
    """The hyperspectral image at the multispectral image's resolution, by one coupled polyadic decomposition.

    STEREO describes the scene as a sum of terms, each a pattern along the rows times one along the columns times a
    spectrum, and looks for the terms that explain both images. It needs many terms for scenes with much detail. It
    knows no change between the two dates: CB-STAR does."""

    id = "stereo"
    label = "Coupled polyadic fusion (STEREO)"
    tags = (*_fusion.FusionTool.tags, "STEREO", "CPD", "PARAFAC", "canonical polyadic decomposition", "tensor")
    citation = ("Kanatsoulis, Fu, Sidiropoulos and Ma, Hyperspectral super-resolution: a coupled tensor factorization "
                "approach, IEEE Transactions on Signal Processing 66(24), 2018")

    rank = Integer("TERMS", "Number of terms (F)", default=50, minimum=1, maximum=10000, help="How many terms the "
                   "scene is made of, from 1; no more than a tile has hyperspectral pixels are used, nor than the "
                   "multispectral image's size allows. Default 50; published scenes had 10 to 100.")
    balance = _fusion.BALANCE
    iterations = _fusion.iterations(10)
    tolerance = _fusion.tolerance(1e-3)
    seed = _shared.SEED
    low_rank = True

    def prepared(self, job, paired, P3):
        self.numbers = OTHER + TERM * job.value(self.rank)
        return super().prepared(job, paired, P3)

    def method(self, job):
        from ...algorithms.fusion.stereo import largest, stereo

        def method(pair, start, callback):
            return stereo(pair, min(job.value(self.rank), largest(pair)), balance=job.value(self.balance),
                          iterations=job.value(self.iterations), tolerance=job.value(self.tolerance),
                          seed=job.value(self.seed), callback=callback)
        return method
