"""The tool `l12nmf`."""

from ...engine.declare import Real
from . import _blind

WEIGHT = Real("WEIGHT", "Weight of the sparseness (lambda)", optional=True, minimum=0.0, maximum=1e6, advanced=True,
              help="How much is paid for a pixel that holds many materials, for data divided by their maximum: 0 or "
                   "more. Empty: as much as the bands are sparse themselves.")


class SparseNMF(_blind.BlindTool):
    """Spectra of the materials in a scene and the fraction of each in every pixel, with few materials per pixel.

    Nonnegative matrix factorization with an l1/2 penalty on the fractions, which pushes small ones towards zero. It
    starts from vertex component analysis and least squares, or from spectra that you give, and moves the spectra too:
    no pixel needs to be pure.

    The sum to one is soft: the report gives the range of the sums. The whole scene is held in memory. The result
    depends on where it starts: compare a few seeds. Values below zero count as zero."""

    id = "l12nmf"
    label = "Sparse NMF (l1/2-NMF)"
    tags = (*_blind.BlindTool.tags, "sparse", "sparsity", "L1/2")
    citation = ("Qian, Jia, Zhou and Robles-Kelly, Hyperspectral unmixing via L1/2 sparsity-constrained nonnegative "
                "matrix factorization, IEEE TGRS 49(11), 2011")
    prefer = ("Take it where few materials are in each pixel and VCA's spectra are nearly right: on a simulated scene "
              "of minerals it stopped near them. Where everything is mixed take Minimum-volume NMF.")
    doi = ("10.1109/TGRS.2011.2144605",)

    weight, delta = WEIGHT, _blind.delta(15.0)
    iterations, tolerance = _blind.iterations(3000), _blind.tolerance(1e-4)

    def solve(self, job, Y, P, rng, grid, **common):
        from ...algorithms.blind.l12nmf import l12nmf
        return l12nmf(Y, P, rng, weight=job.value(self.weight), delta=job.value(self.delta), **common)
