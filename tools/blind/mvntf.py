"""The tool `mvntf`."""

from ...engine.declare import Integer, Real
from . import _blind


class MatrixVectorNTF(_blind.BlindTool):
    """Spectra of the materials in a scene and the fraction of each in every pixel, with maps of simple structure.

    The image is taken as a cube and written as a sum of maps times spectra, where every map is a product of a few
    profiles along rows and along columns. That keeps the arrangement of the pixels, which a matrix of pixels loses.

    Fractions sum to one only where the data allow it: the weight of that is soft. Nodata pixels take no part. The
    whole scene is held in memory. The result depends on where it starts: compare a few seeds. Values below zero count
    as zero."""

    id = "mvntf"
    label = "Matrix-vector nonnegative tensor factorization (MVNTF)"
    tags = (*_blind.BlindTool.tags, "tensor", "block term decomposition", "LL1", "spatial")
    citation = ("Qian, Xiong, Zeng, Zhou and Tang, Matrix-vector nonnegative tensor factorization for blind unmixing "
                "of hyperspectral imagery, IEEE TGRS 55(3), 2017")
    prefer = ("Take it where the shapes in the maps are simple, such as fields along the rows and columns of the "
              "image. For patches of any shape take SGSNMF.")
    doi = ("10.1109/TGRS.2016.2633279",)

    map_rank = Integer("MAPRANK", "Rank of the maps", optional=True, minimum=1, maximum=10000, advanced=True,
                       help="How many row and column profiles make a map: at least 1; the number of endmembers times "
                            "its square may not exceed the number of valid pixels. Empty: 0.3 of the scene's shorter "
                            "side, as in the authors' example, or the largest allowed.")
    delta = Real("DELTA", "Weight of the sum to one", default=0.4, minimum=0.0, maximum=1e6, advanced=True,
                 help="How strictly fractions sum to one, for data divided by their maximum: 0 or more. Default 0.4.")
    iterations, tolerance = _blind.iterations(1000), _blind.tolerance(2e-4)

    def solve(self, job, Y, P, rng, grid, **common):
        from ...algorithms.blind.mvntf import mvntf
        return mvntf(Y, P, rng, **grid, map_rank=job.value(self.map_rank), delta=job.value(self.delta), **common)
