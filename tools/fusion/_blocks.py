"""What the fusion tools with maps of low rank share."""

from dataclasses import replace

from ...engine.declare import Integer
from . import _fusion

COUNT = replace(_fusion.COUNT, minimum=1, help="How many materials (R) the scene is made of: at least 1, at most the "
                "number of bands of the hyperspectral image. HySime estimates it. Default 4; published scenes had 3 to "
                "6.")
MAP_RANK = Integer("MAPRANK", "Rank of each material's map (L)", default=15, minimum=1, maximum=1000,
                   help="How many products of a column and a row each map is made of: few for fields along the image's "
                        "axes, more for detail. From 1; no more than a tile has rows or columns are used. Rank times "
                        "materials should not exceed those, or the start is poorer. Default 15; published scenes had "
                        "13 to 20.")
TRIALS = Integer("TRIALS", "Starts", default=20, minimum=1, maximum=10000, advanced=True,
                 help="How many starts are tried, 1 to 10000, of which the best is followed. Default 20.")


class BlockTool(_fusion.FusionTool):
    """The hyperspectral image at the multispectral image's resolution, by maps of low rank."""

    low_rank, numbers = True, 120

    def rank_of(self, job, pair):
        return min(job.value(self.map_rank), *pair.msi.shape[1:])

    def check(self, job, pair):
        from ...algorithms.fusion.ll1 import not_unique
        reason = not_unique(pair, job.value(self.count), self.rank_of(job, pair))
        if reason:
            job.warn("The solution may not be the only one: {reason}.", reason=reason)
