"""What the fusion tools with maps of low rank share."""

from dataclasses import replace

from ...engine.declare import Integer, Real
from . import _fusion

COUNT = replace(_fusion.COUNT, minimum=1, help="How many materials (R) the scene is made of: at least 1, at most the "
                "number of bands of the hyperspectral image. To map materials, as many as there are; for the "
                "sharp image alone, six to eight where there are fewer, as spectra vary. Default 4; published scenes "
                "had 3 to 6.")
MAP_RANK = Integer("MAPRANK", "Rank of each material's map (L)", optional=True, minimum=1, maximum=1000,
                   help="How many products of a column and a row each map is made of: few for fields along the image's "
                        "axes, more for detail. From 1; no more than a tile has rows or columns are used. Empty: the "
                        "largest, up to 40, for which theory promises that only one scene fits both images. Published "
                        "scenes had 13 to 20.")
PRIOR = Real("PRIOR", "Weight of the interpolated image", default=1e-3, minimum=0.0, maximum=1e3, advanced=True,
             help="How strongly the scene is drawn to the interpolated hyperspectral image, against a misfit of either "
                  "image; less where both images fit almost exactly. It decides what neither image does, which is "
                  "much where a field holds another material on the other date. No unit, from 0, which is the "
                  "published method. Default 0.001.")
TRIALS = Integer("TRIALS", "Starts", default=20, minimum=1, maximum=10000, advanced=True,
                 help="How many starts are tried, 1 to 10000, of which the best is followed. Default 20.")


class BlockTool(_fusion.FusionTool):
    """The hyperspectral image at the multispectral image's resolution, by maps of low rank."""

    low_rank, numbers = True, 120

    def rank_of(self, job, pair):
        from ...algorithms.fusion.ll1 import map_rank
        L = job.value(self.map_rank)
        return map_rank(pair, job.value(self.count)) if L is None else min(L, *pair.msi.shape[1:])

    def check(self, job, pair):
        from ...algorithms.fusion.ll1 import not_unique
        reason = not_unique(pair, job.value(self.count), self.rank_of(job, pair))
        if reason:
            job.warn("The solution may not be the only one: {reason}.", reason=reason)
