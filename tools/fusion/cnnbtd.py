"""The tool `cnnbtd`."""

from dataclasses import replace

from ...engine.declare import Integer
from . import _blocks, _fusion
from .. import _shared


class NonnegativeBlockTerms(_blocks.BlockTool):
    """The hyperspectral image at the multispectral image's resolution, with materials and their maps.

    CNN-BTD describes the scene by a few materials, whose maps are sums of few products of a column and a row, all
    without negative values. It starts from endmembers that vertex component analysis finds in the hyperspectral image.
    It knows no change between the two dates."""

    id = "cnnbtd"
    label = "Nonnegative block-term fusion (CNN-BTD)"
    tags = (*_fusion.FusionTool.tags, "CNN-BTD", "LL1", "block-term decomposition", "tensor", "unmixing", "endmembers",
            "abundance")
    citation = ("Zhang, Fu, Huang and Wang, Hyperspectral super-resolution: a coupled nonnegative block-term tensor "
                "decomposition approach, IEEE CAMSAP 2019")
    prefer = ("To compare with published results. CNN-BTD-Var gives the same and was more accurate in our "
              "measurements, whether something had changed or not.")

    count, map_rank = replace(_blocks.COUNT, minimum=2), _blocks.MAP_RANK
    balance = _fusion.BALANCE
    iterations = _fusion.iterations(20)
    inner = Integer("INNER", "Inner iterations", default=5, minimum=1, maximum=1000, advanced=True,
                    help="Steps of the splitting in each factor and iteration, 1 to 1000. Default 5.")
    tolerance = _fusion.tolerance(1e-4)
    seed = _shared.SEED
    endmembers, abundances = _fusion.ENDMEMBERS, _fusion.ABUNDANCES
    example = {**_fusion.FusionTool.example, "COUNT": 3, "MAPRANK": 4}
    from_materials = True

    def method(self, job):
        from ...algorithms.fusion.cnnbtd import cnnbtd

        def method(pair, start, callback):
            return cnnbtd(pair, job.value(self.count), self.rank_of(job, pair), balance=job.value(self.balance),
                          iterations=job.value(self.iterations), inner=job.value(self.inner),
                          seed=job.value(self.seed), start=start, tolerance=job.value(self.tolerance),
                          callback=callback)
        return method
