"""The tool `scls`."""

from ...engine.declare import Group, RasterOutput, Style
from ._unmix import UnmixingTool, unmix


class ScaledConstrainedLeastSquares(UnmixingTool):
    """Fractions that sum to one, and a brightness per pixel: mixtures in which illumination varies.

    Nonnegative weights are found first; their sum is the pixel's brightness (1 as bright as the endmembers, less in
    shadow), and the weights divided by it are the fractions. A pixel without any signal has no fractions: nodata."""

    id = "scls"
    label = "Scaled constrained least squares (SCLS)"
    group = Group.ABUNDANCES
    tags = (*UnmixingTool.tags, "SCLS", "S-CLSU", "illumination", "brightness", "shadow", "scaling")
    citation = "Veganzones et al., WHISPERS 2014; Drumetz et al., IEEE TIP 25(8), 2016"
    prefer = ("Take it where illumination varies within the scene, on slopes and in shadow. Elsewhere take FCLS: with "
              "spectra of samples on EnMAP Potsdam it had less error. Where each material has a brightness of its own, "
              "take ELMM.")
    doi = ("10.1109/TIP.2016.2579259",)

    scaling = RasterOutput("SCALING", "Scaling", style=Style.SCALING, create=False, help="Raster with each pixel's "
                           "brightness relative to the endmembers: 1 is equal, less is darker. No unit.")

    def run(self, job):
        from ...algorithms.abundances.scls import scls
        unmix(self, job, scls, extra={self.scaling: lambda fit: fit.psi})
