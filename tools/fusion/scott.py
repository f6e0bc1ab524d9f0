"""The tool `scott`."""

from . import _fusion, _ranks

FINE = ("0.4 of a tile's rows or columns in multispectral pixels; with a multispectral image of fewer than 4 bands 0.8 "
        "of those in hyperspectral pixels")
BANDS = "half of the multispectral bands, but at least 4; with fewer than 4 of them 10"


class CoupledTucker(_ranks.TuckerTool):
    """The hyperspectral image at the multispectral image's resolution, from few patterns in rows, columns and bands.

    SCOTT takes patterns along rows and columns from the multispectral image and spectra from the hyperspectral one, and
    finds in one step the combination of them that explains both images best. It is among the fastest of the fusion
    tools. It knows no change between the two dates."""

    id = "scott"
    label = "Coupled Tucker fusion (SCOTT)"
    tags = (*_fusion.FusionTool.tags, "SCOTT", "Tucker decomposition", "HOSVD", "tensor")
    citation = ("Prévost, Usevich, Comon and Brie, Hyperspectral super-resolution with coupled Tucker approximation: "
                "recoverability and SVD-based algorithms, IEEE Transactions on Signal Processing 68, 2020")
    prefer = ("To compare with published results. In our measurements it was hardly more accurate than interpolation; "
              "FUSE and GLP-HS are about as fast and far more accurate.")
    doi = ("10.1109/TSP.2020.2965305",)

    rank_rows, rank_columns, rank_bands = _ranks.scene(FINE, BANDS)
    balance = _fusion.BALANCE

    def method(self, job):
        from ...algorithms.fusion.scott import scott
        from ...algorithms.fusion.tucker import default_ranks

        def method(pair, start, callback):
            ranks = self.ranks(job, (self.rank_rows, self.rank_columns, self.rank_bands), default_ranks(pair), pair,
                               pair.K)
            return scott(pair, ranks, balance=job.value(self.balance))
        return method
