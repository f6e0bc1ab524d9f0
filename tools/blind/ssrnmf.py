"""The tool `ssrnmf`."""

from ...engine.declare import Real
from . import _blind
from .l12nmf import WEIGHT


class SubspaceNMF(_blind.BlindTool):
    """Spectra of the materials in a scene and the fraction of each in every pixel, kept to the scene's own structure.

    Sparse nonnegative matrix factorization whose fractions must follow the low-dimensional subspace that the pixels
    lie in, which takes noise out of the maps. It starts from vertex component analysis and least squares, or from
    spectra that you give.

    The sum to one is soft: on a real scene (EnMAP) sums lay between 0.71 and 1.12 in 98 of 100 pixels; the
    report gives the range of yours. The whole scene is held in memory. The result depends on where it starts: compare
    a few seeds. Values below zero count as zero."""

    id = "ssrnmf"
    label = "Subspace structure NMF (SSRNMF)"
    tags = (*_blind.BlindTool.tags, "subspace", "low rank", "sparse", "sparsity")
    citation = ("Zhou, Zhang, Wang, Bai, Tong, Zhang, Zhou and Hancock, Subspace structure regularized nonnegative "
                "matrix factorization for hyperspectral unmixing, IEEE JSTARS 13, 2020")
    prefer = ("Take it rather than l1/2-NMF where maps are noisy: on Samson and Jasper Ridge its fractions had less "
              "error. For patches take SGSNMF.")
    doi = ("10.1109/JSTARS.2020.3011257",)

    weight = WEIGHT
    structure = Real("STRUCTURE", "Weight of the subspace (mu)", default=1.0, minimum=0.0, maximum=1e6, advanced=True,
                     help="How strongly the maps are held to the scene's subspace, for data divided by their maximum: "
                          "0 or more. Default 1.")
    delta = _blind.delta(5.0)
    iterations, tolerance = _blind.iterations(3000), _blind.tolerance(1e-4)

    def solve(self, job, Y, P, rng, grid, **common):
        from ...algorithms.blind.ssrnmf import ssrnmf
        return ssrnmf(Y, P, rng, weight=job.value(self.weight), structure=job.value(self.structure),
                      delta=job.value(self.delta), **common)
