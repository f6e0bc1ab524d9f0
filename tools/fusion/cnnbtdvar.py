"""The tool `cnnbtdvar`."""

from dataclasses import replace

from ...engine.declare import Real
from . import _blocks, _fusion
from .. import _shared


class NonnegativeBlockTermsWithVariability(_blocks.BlockTool):
    """The hyperspectral image at the multispectral image's resolution, with materials, their maps and what changed.

    CNN-BTD-Var is BTD-Var without negative values: its maps are abundances, and each material has a spectrum for each
    of the two dates. It starts from endmembers that vertex component analysis finds in the hyperspectral image. Where
    all materials' maps have the same rows and columns, such as parcels on one grid, they can be told apart only by
    pure pixels."""

    id = "cnnbtdvar"
    label = "Nonnegative block-term fusion with spectral change (CNN-BTD-Var)"
    tags = (*_fusion.FusionTool.tags, "CNN-BTD-Var", "LL1", "block-term decomposition", "tensor", "variability",
            "change", "unmixing", "endmembers", "abundance")
    citation = ("Prévost, Borsoi, Usevich, Brie, Bermudez and Richard, Hyperspectral super-resolution accounting for "
                "spectral variability: LL1-based recovery and blind unmixing, 2021")
    prefer = ("Where spectra changed between the two dates, and materials and their fractions are wanted too. Without "
              "these take BTD-Var, whose image was more accurate by some two decibels in our measurements.")
    doi = ("10.1137/21M1409354",)

    count, map_rank = replace(_blocks.COUNT, minimum=2), _blocks.MAP_RANK
    balance, prior = _fusion.BALANCE, _blocks.PRIOR
    penalty = Real("PENALTY", "Penalty (rho)", default=0.1, minimum=1e-6, maximum=1e6, advanced=True,
                   help="How strongly maps without negative values and maps of low rank are drawn to each other in an "
                        "iteration, as a share of what the multispectral image's misfit weighs. No unit, above 0. "
                        "Default 0.1.")
    iterations = _fusion.iterations(20)
    tolerance = _fusion.tolerance(1e-4)
    seed = _shared.SEED
    endmembers, msi_endmembers = _fusion.ENDMEMBERS, _fusion.MSI_ENDMEMBERS
    abundances, variability = _fusion.ABUNDANCES, _fusion.VARIABILITY
    example = {**_fusion.FusionTool.example, "COUNT": 3, "MAPRANK": 4}
    from_materials = True

    def method(self, job):
        from ...algorithms.fusion.cnnbtdvar import cnnbtdvar

        def method(pair, start, callback):
            return cnnbtdvar(pair, job.value(self.count), self.rank_of(job, pair), balance=job.value(self.balance),
                             prior=job.value(self.prior), penalty=job.value(self.penalty),
                             iterations=job.value(self.iterations), seed=job.value(self.seed), start=start,
                             tolerance=job.value(self.tolerance), callback=callback)
        return method
