"""The tool `nfindr`."""

from .. import _shared
from ._extract import DENOISE, RESTARTS, ExtractionTool, Picked, parked, random


class LargestSimplex(ExtractionTool):
    """Spectra of the most different pixels in a scene: those that together span the largest volume.

    From a random start, the pixel that makes the simplex of the pixels chosen grow most takes the place of one of its
    corners, until no replacement makes it larger. All pixels are candidates in every step. It needs pure pixels in the
    scene. Its result depends on the random start: restarts, of which the largest simplex is kept, make it depend less.

    It reads the raster twice, in bounded memory."""

    id = "nfindr"
    label = "Largest simplex (N-FINDR)"
    tags = (*ExtractionTool.tags, "simplex", "volume", "N-FINDR")
    citation = ("Winter, N-FINDR: an algorithm for fast autonomous spectral end-member determination in hyperspectral "
                "data, SPIE 3753, 1999")
    prefer = ("Take it where a scene has pure pixels: on Jasper Ridge and EnMAP Potsdam it came nearer to the "
              "materials than VCA, and on Samson and Jasper Ridge every start gave the same pixels.")
    doi = ("10.1117/12.366289",)

    restarts, seed, denoise = RESTARTS, _shared.SEED, DENOISE

    def pick(self, job, pixels, count):
        from ...algorithms.endmembers.nfindr import nfindr_select
        from ...algorithms.endmembers.simplex import reduction
        from ...algorithms.pixels import moments
        axes = reduction(moments(pixels), count)
        with parked(pixels, axes.apply) as reduced:
            found = nfindr_select(reduced, count, random(job), job.value(self.restarts))
        job.say("{number} replacements of a pixel.", number=len(found.log_volumes) - 1)
        return Picked(found.indices, axes.denoise if job.value(self.denoise) else None,
                      {"Replacements": len(found.log_volumes) - 1})
