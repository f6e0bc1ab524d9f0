"""The tool `btdvar`."""

from dataclasses import replace

from . import _blocks, _fusion
from .. import _shared


class BlockTermsWithVariability(_blocks.BlockTool):
    """The hyperspectral image at the multispectral image's resolution, and how each material changed between the dates.

    BTD-Var describes both images by the same maps, a few materials' with little detail along rows and columns, and
    gives each material one spectrum for each date. The sharp image has those of the hyperspectral date, and what
    changed comes out beside it. Where things are must be the same on both dates."""

    id = "btdvar"
    label = "Block-term fusion with spectral change (BTD-Var)"
    tags = (*_fusion.FusionTool.tags, "BTD-Var", "LL1", "block-term decomposition", "tensor", "variability", "change")
    citation = ("Prévost, Borsoi, Usevich, Brie, Bermudez and Richard, Hyperspectral super-resolution accounting for "
                "spectral variability: LL1-based recovery and blind unmixing, 2021")
    prefer = ("Where light, season or fields changed between the two dates: the most accurate in our measurements on "
              "such pairs. Where materials and fractions without negative values are wanted too, take CNN-BTD-Var.")
    doi = ("10.1137/21M1409354",)

    count = replace(_blocks.COUNT, default=6, help=_blocks.COUNT.help.replace("Default 4", "Default 6"))
    map_rank = _blocks.MAP_RANK
    balance, prior = _fusion.BALANCE, _blocks.PRIOR
    iterations = _fusion.iterations(20)
    trials = _blocks.TRIALS
    tolerance = _fusion.tolerance(1e-4)
    seed = _shared.SEED
    variability = _fusion.VARIABILITY
    example = {**_fusion.FusionTool.example, "COUNT": 3, "MAPRANK": 4, "TRIALS": 5}

    def method(self, job):
        from ...algorithms.fusion.btdvar import btdvar

        def method(pair, start, callback):
            return btdvar(pair, job.value(self.count), self.rank_of(job, pair), balance=job.value(self.balance),
                          prior=job.value(self.prior), iterations=job.value(self.iterations),
                          trials=job.value(self.trials), seed=job.value(self.seed),
                          tolerance=job.value(self.tolerance), callback=callback)
        return method
