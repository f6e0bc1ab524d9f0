"""The tool `cbstar`."""

from ...engine.declare import Choice
from . import _fusion, _ranks
from .scott import BANDS, FINE


class CoupledTuckerDescent(_ranks.TuckerTool):
    """The hyperspectral image at the multispectral image's resolution where the ground changed between the two dates.

    CB-STAR describes the scene, and what changed of it between the two dates, by few patterns along rows, columns and
    bands each, and improves both in turn until together they explain the two images. The change may be in places as
    well as in spectra. The fused image shows the hyperspectral image's date; what changed comes out beside it."""

    id = "cbstar"
    label = "Coupled Tucker fusion with change (CB-STAR)"
    tags = (*_fusion.FusionTool.tags, "CB-STAR", "Tucker decomposition", "tensor", "variability", "change")
    citation = ("Borsoi, Prévost, Usevich, Brie, Bermudez and Richard, Coupled tensor decomposition for hyperspectral "
                "and multispectral image fusion with inter-image variability, IEEE Journal of Selected Topics in "
                "Signal Processing 15(3), 2021")
    prefer = ("Where the ground changed in places as well as in spectra, and a result is wanted fast. BTD-Var was more "
              "accurate on such pairs in our measurements, in about three times the time.")

    rank_rows, rank_columns, rank_bands = _ranks.scene(FINE, BANDS)
    change_rows, change_columns, change_bands = _ranks.change("as many as describe the scene", "4, or as many as there "
                                                              "are")
    balance = _fusion.BALANCE
    beginning = Choice("START", "Start", default="upsampled", advanced=True, options={
        "upsampled": "What the images show differently of the same ground, interpolated",
        "ctstar": "The result of CT-STAR, in one step"}, help="The change that the iteration starts from; the result "
        "depends on it. CT-STAR needs lower ranks: those of scene and change together not above a tile's rows and "
        "columns in hyperspectral pixels. Default upsampled.")
    iterations = _fusion.iterations(250)
    tolerance = _fusion.tolerance(1e-3)
    variability = _fusion.VARIABILITY
    numbers = 2 * _ranks.NUMBERS

    def method(self, job):
        from ...algorithms.fusion.cbstar import cbstar, default_ranks
        from ...algorithms.fusion.tucker import fitting, seen_bands

        def method(pair, start, callback):
            ready, ready_change = default_ranks(pair)
            ranks = self.ranks(job, (self.rank_rows, self.rank_columns, self.rank_bands), ready, pair, pair.K)
            change = self.ranks(job, (self.change_rows, self.change_columns, self.change_bands),
                                fitting((*ranks[:2], ready_change[2])), pair, seen_bands(pair))
            return cbstar(pair, ranks, change, balance=job.value(self.balance), start=job.value(self.beginning),
                          iterations=job.value(self.iterations), tolerance=job.value(self.tolerance),
                          callback=callback)
        return method
