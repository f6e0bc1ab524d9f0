"""The tool `nwhfc`."""

from ...engine.declare import Group, Tool
from .. import _shared
from .hfc import PFA, give


class WhitenedVirtualDimensionality(Tool):
    """Number of spectrally distinct signals in a scene whose bands are unequally noisy (NWHFC).

    HFC after dividing each band by its noise, which is estimated from the other bands, so that a noisy band does not
    count as a material, as it does in HFC. Many weak or similar materials are missed.

    It reads the raster once, in bounded memory. A scene without noise cannot be whitened: use HFC or HySime there."""

    id = "nwhfc"
    label = "NWHFC: number of endmembers"
    group = Group.RANK
    tags = ("rank", "number of endmembers", "how many materials", "virtual dimensionality", "NWHFC", "noise whitening")
    citation = ("Chang and Du, Estimation of number of spectrally distinct signal sources in hyperspectral imagery, "
                "IEEE TGRS 42(3), 2004")
    prefer = ("Take it rather than HFC on real scenes, where some bands are noisier than others. HySime has nothing to "
              "choose: on Indian Pines it gave 18, NWHFC 16 to 26.")

    image, pfa, bands = _shared.INPUT, PFA, _shared.BANDS
    rank, report = _shared.RANK, _shared.REPORT
    example = {"INPUT": "scene"}

    def run(self, job):
        from ...algorithms.pixels import moments
        from ...algorithms.prepare.noise import regression_noise
        from ...algorithms.rank.hfc import nwhfc
        found = moments(job.scene(self.image).pixels(progress=job.progress))
        give(self, job, nwhfc(found, regression_noise(found), job.value(self.pfa)), found.N)
