"""The tool `genech`."""

from ...engine.declare import Group, Tool
from .. import _shared
from .geneah import NMAX, PFA, run_gene


class ConvexHull(Tool):
    """Number of materials in a scene by its extreme pixels, which must be pure (GENE-CH).

    Pixels are taken one after the other, each as far as possible from the span of those before it, until the next lies
    in their convex hull but for noise. Without a pure pixel of every material it counts far too many.

    It reads the raster twice, in bounded memory, and keeps reduced pixels on disk."""

    id = "genech"
    label = "GENE-CH: number of endmembers"
    group = Group.RANK
    tags = ("rank", "number of endmembers", "how many materials", "convex hull", "geometry", "GENE-CH")
    citation = ("Ambikapathi, Chan, Chi and Keizer, Hyperspectral Data Geometry-Based Estimation of Number of "
                "Endmembers Using p-Norm-Based Pure Pixel Identification Algorithm, IEEE TGRS 51(5), 2013")
    prefer = ("Take it where every material has a pure pixel and the noise is weak and simple. Where pixels are mixed "
              "take GENE-AH, and on real scenes HySime.")

    image, pfa, n_max, bands = _shared.INPUT, PFA, NMAX, _shared.BANDS
    rank, report = _shared.RANK, _shared.REPORT
    example = {"INPUT": "scene"}

    def run(self, job):
        run_gene(self, job, "convex")
