"""The tool `vca`."""

from .. import _shared
from ._extract import DENOISE, RESTARTS, ExtractionTool, Picked, parked, random


class VertexComponentAnalysis(ExtractionTool):
    """Spectra of the purest pixels in a scene: the corners of its cloud of pixels.

    Random directions are drawn, each orthogonal to the endmembers found so far, and the pixel farthest along each is
    the next endmember. It needs pure pixels in the scene, and its result depends on the random seed: restarts, of which
    the largest simplex is kept, make it depend less.

    It reads the raster twice, in bounded memory."""

    id = "vca"
    label = "Vertex component analysis (VCA)"
    tags = (*ExtractionTool.tags, "simplex", "VCA")
    citation = "Nascimento and Bioucas-Dias, Vertex Component Analysis, IEEE TGRS 43(4), 2005"
    prefer = ("Take it for a first look where a scene has pure pixels and nothing as dark as water, which misleads it. "
              "N-FINDR takes no longer and depends less on the seed.")
    doi = ("10.1109/TGRS.2005.844293",)

    restarts, seed, denoise = RESTARTS, _shared.SEED, DENOISE

    def pick(self, job, pixels, count):
        from ...algorithms.endmembers.vca import vca_projection, vca_select
        from ...algorithms.pixels import moments
        projection = vca_projection(moments(pixels), count)
        with parked(pixels, projection.apply) as projected:
            chosen = vca_select(projected, count, random(job), affine=not projection.projective,
                                restarts=job.value(self.restarts))
        job.say("Estimated signal-to-noise ratio: {snr} dB.", snr=f"{projection.snr:.1f}")
        return Picked(chosen, projection.denoise if job.value(self.denoise) else None,
                      {"Signal_to_noise_ratio_in_dB": projection.snr})
