"""The tool `ctstar`."""

from . import _fusion, _ranks


class CoupledTuckerWithChange(_ranks.TuckerTool):
    """The hyperspectral image at the multispectral image's resolution where the ground changed, in one step.

    CT-STAR describes the scene, and what changed of it between the two dates, by few patterns along rows, columns and
    bands, and tells the two apart by what the hyperspectral image shows. It is fast, but the detail that it adds is
    limited by the hyperspectral image's number of rows and columns; CB-STAR starts from the same model and goes on.
    What the multispectral image shows beside the fused one, noise included, comes out as the variability."""

    id = "ctstar"
    label = "Coupled Tucker fusion with change, in one step (CT-STAR)"
    tags = (*_fusion.FusionTool.tags, "CT-STAR", "Tucker decomposition", "tensor", "variability", "change")
    citation = ("Borsoi, Prévost, Usevich, Brie, Bermudez and Richard, Coupled tensor decomposition for hyperspectral "
                "and multispectral image fusion with inter-image variability, IEEE Journal of Selected Topics in "
                "Signal Processing 15(3), 2021")
    prefer = ("Only for a first look at a pair that changed: CB-STAR was more accurate in all our measurements, and is "
              "fast too.")

    rank_rows, rank_columns, rank_bands = _ranks.scene(
        "0.7 of a tile's rows or columns in hyperspectral pixels; with the change's not more than those", "10")
    change_rows, change_columns = _ranks.change("3", "1")[:2]
    variability = _fusion.VARIABILITY

    def method(self, job):
        from ...algorithms.fusion.ctstar import ctstar, default_ranks

        def method(pair, start, callback):
            ready, ready_change = default_ranks(pair)
            ranks = self.ranks(job, (self.rank_rows, self.rank_columns, self.rank_bands), ready, pair, pair.K)
            change = self.ranks(job, (self.change_rows, self.change_columns), ready_change[:2], pair, pair.K_M)
            return ctstar(pair, ranks, (*change, 1))
        return method
