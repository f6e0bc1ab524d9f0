"""The tool `fuse`."""

from ...engine.declare import Integer, Real
from . import _fusion


class FastFusion(_fusion.FusionTool):
    """The hyperspectral image at the multispectral image's resolution, by one exact solution.

    FUSE looks for the scene, in a subspace of few spectra, that both sensors would have seen as they did, and where
    they do not say stays near the interpolated hyperspectral image. It knows no change between the two dates."""

    id = "fuse"
    label = "Fast fusion by a Sylvester equation (FUSE)"
    tags = (*_fusion.FusionTool.tags, "FUSE", "Sylvester equation", "subspace")
    citation = ("Wei, Dobigeon and Tourneret, Fast fusion of multi-band images based on solving a Sylvester equation, "
                "IEEE Transactions on Image Processing 24(11), 2015")
    prefer = ("For images of the same date, where a result is wanted at once. HySure takes longer and was more "
              "accurate on all pairs that we measured; where something changed, take BTD-Var.")
    doi = ("10.1109/TIP.2015.2458572",)

    rank = Integer("SUBSPACE", "Dimension of the subspace", default=15, minimum=1, maximum=1000, advanced=True,
                   help="How many spectra the scene is made of, from 1; no more than the image has bands or pixels are "
                        "used. Default 15.")
    prior = Real("PRIOR", "Weight of the interpolated image", default=1e-3, minimum=1e-9, maximum=1e3, advanced=True,
                 help="How strongly the scene is drawn to the interpolated hyperspectral image, against a misfit of "
                      "either image. No unit, above 0. Default 0.001.")
    balance = _fusion.BALANCE

    def method(self, job):
        from ...algorithms.fusion.fuse import fuse

        def method(pair, start, callback):
            return fuse(pair, job.value(self.rank), job.value(self.prior), job.value(self.balance))
        return method
