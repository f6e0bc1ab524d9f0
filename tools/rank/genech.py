"""The tool `genech`."""

from ...engine.declare import Group, Tool
from .. import _shared
from .geneah import NMAX, PFA, run_gene


class ConvexHull(Tool):
    """Number of materials in a scene (GENE-CH): extreme pixels until the next lies in the convex hull of those before.

    Pixels are taken one after the other, each as far as possible from the span of those before it, and tested against
    noise. It needs a pure pixel of every material; without, it counts far too many: use GENE-AH there.

    It reads the raster twice, in bounded memory, and keeps reduced pixels on disk."""

    id = "genech"
    label = "GENE-CH: number of endmembers"
    group = Group.RANK
    tags = ("rank", "number of endmembers", "convex hull", "geometry", "GENE-CH")
    citation = ("Ambikapathi, Chan, Chi and Keizer, Hyperspectral Data Geometry-Based Estimation of Number of "
                "Endmembers Using p-Norm-Based Pure Pixel Identification Algorithm, IEEE TGRS 51(5), 2013")

    image, pfa, n_max, bands = _shared.INPUT, PFA, NMAX, _shared.BANDS
    rank, report = _shared.RANK, _shared.REPORT
    example = {"INPUT": "scene"}

    def run(self, job):
        run_gene(self, job, "convex")
