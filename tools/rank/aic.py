"""The tool `aic`."""

from ...engine.declare import Group, Tool
from .. import _shared
from .mdl import WHITEN, give


class AkaikeCriterion(Tool):
    """Number of materials in a scene by Akaike's information criterion of its eigenvalues.

    A model of k directions plus white noise is fitted for every k, and the best balance of fit and number of parameters
    wins. It tends to one or a few too many, and on real scenes to nearly as many as there are bands, since any
    structure in the noise counts.

    It reads the raster once, in bounded memory."""

    id = "aic"
    label = "AIC: number of endmembers"
    group = Group.RANK
    tags = ("rank", "number of endmembers", "how many materials", "AIC", "Akaike", "information criterion",
            "eigenvalues")
    citation = "Wax and Kailath, Detection of signals by information theoretic criteria, IEEE Trans. ASSP 33(2), 1985"
    prefer = ("Take it to compare with publications. MDL is nearer where the noise is independent, and HySime on real "
              "scenes.")
    doi = ("10.1109/TASSP.1985.1164557",)

    image, whiten, bands = _shared.INPUT, WHITEN, _shared.BANDS
    rank, report = _shared.RANK, _shared.REPORT
    example = {"INPUT": "scene"}

    def run(self, job):
        from ...algorithms.rank.information import aic
        give(self, job, aic)
