"""The tool `sgsnmf`."""

from ...engine.declare import Integer, Real
from . import _blind


class SpatialGroupNMF(_blind.BlindTool):
    """Spectra of the materials in a scene and the fraction of each in every pixel, alike within patches of the scene.

    The scene is cut into superpixels, compact patches of like spectra, and within each the fractions of materials that
    its mean spectrum does not hold are pushed towards zero together. It starts from vertex component analysis on the
    patches' means, which noise disturbs less, or from spectra that you give.

    The sum to one is soft: the report gives the range of the sums. The cost in the report may rise now and then, since
    the weights of the patches follow the spectra. Nodata pixels belong to no patch. The whole scene is held in memory.
    The result depends on where it starts: compare a few seeds."""

    id = "sgsnmf"
    label = "Spatial group sparsity NMF (SGSNMF)"
    tags = (*_blind.BlindTool.tags, "superpixels", "segmentation", "SLIC", "spatial", "group sparsity")
    citation = ("Wang, Zhong, Zhang and Xu, Spatial group sparsity regularized nonnegative matrix factorization for "
                "hyperspectral unmixing, IEEE TGRS 55(11), 2017")
    prefer = ("Take it for noisy images of patches such as fields. Do not take it for materials that fill single "
              "pixels: with one pure pixel of each mineral in a simulated scene it ended far behind VCA.")
    doi = ("10.1109/TGRS.2017.2724944",)

    size = Integer("SIZE", "Superpixel width (pixels)", default=6, minimum=2, maximum=10000,
                   help="Width of a patch in pixels: at least 2, at most the scene's shorter side; the authors take 3 "
                        "to 11. Default 6.")
    compactness = Real("COMPACTNESS", "Compactness", default=0.5, minimum=0.0, maximum=100.0, advanced=True,
                       help="How much nearness counts against likeness in the patches: larger makes them squarer, 0 to "
                            "100. Default 0.5.")
    weight = Real("WEIGHT", "Weight of the group sparsity (lambda)", default=0.3, minimum=0.0, maximum=1e6,
                  advanced=True, help="How strongly materials that a patch does not hold are pushed out of it, for "
                  "data divided by their maximum: 0 or more. Default 0.3.")
    delta = _blind.delta(15.0)
    iterations, tolerance = _blind.iterations(100), _blind.tolerance(1e-4)

    def solve(self, job, Y, P, rng, grid, **common):
        from ...algorithms.blind.sgsnmf import sgsnmf
        return sgsnmf(Y, P, rng, **grid, width=job.value(self.size), compactness=job.value(self.compactness),
                      weight=job.value(self.weight), delta=job.value(self.delta), **common)
