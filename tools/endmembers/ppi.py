"""The tool `ppi`."""

from ...engine.declare import Integer, RasterOutput, Real, Style
from .. import _shared
from ._extract import DENOISE, ExtractionTool, Picked, parked, random


class PixelPurity(ExtractionTool):
    """Spectra of the pixels that are extreme in most random directions, and the votes of every pixel.

    All pixels are projected onto many random directions; the first and the last along each get a vote. The pixels with
    most votes are the endmembers, except where one with more votes has nearly the same spectrum. Mixed pixels inside
    the cloud never get a vote. It needs pure pixels in the scene.

    The directions lie in the principal axes of the image. For the published order of work give the image transformed by
    minimum noise fraction, and take the spectra from the original at the points found.

    It reads the raster twice, and once more for the raster of votes, in bounded memory."""

    id = "ppi"
    label = "Pixel purity index (PPI)"
    tags = (*ExtractionTool.tags, "skewers", "purity", "PPI")
    citation = ("Boardman, Kruse and Green, Mapping target signatures via partial unmixing of AVIRIS data, Fifth JPL "
                "Airborne Earth Science Workshop, 1995")
    prefer = ("Take it for a map of how pure pixels are, and for few pure pixels in noise: on a simulated scene with "
              "one pure pixel of each mineral it came nearest. It takes about five times as long as VCA or N-FINDR.")

    skewers = Integer("SKEWERS", "Random directions", default=10000, minimum=1, maximum=1000000,
                      help="How many directions to project on, 1 to 1,000,000. Default 10,000.")
    angle = Real("ANGLE", "Smallest angle between endmembers (degrees)", default=2.5, minimum=0, maximum=90,
                 help="Of two pixels whose spectra differ by a smaller angle, only the one with more votes is taken: 0 "
                      "to 90 degrees. Default 2.5.")
    seed, denoise = _shared.SEED, DENOISE
    votes = RasterOutput("VOTES", "Votes", style=Style.ERROR, create=False, help="Raster with the number of votes of "
                         "each pixel, 0 for most; two for each direction in sum. Nodata is -9999.")

    def reads(self, job):
        return 3 if job.wants(self.votes) else 2

    def pick(self, job, pixels, count):
        import numpy as np

        from ...algorithms.endmembers.ppi import ppi_select
        from ...algorithms.endmembers.simplex import reduction
        from ...algorithms.pixels import moments
        axes = reduction(moments(pixels), count)
        with parked(pixels, axes.apply) as reduced:
            found = ppi_select(reduced, count, random(job), axes, job.value(self.skewers),
                               np.deg2rad(job.value(self.angle)))
        job.say("{number} pixels got votes, at most {most} each.", number=len(found.voted), most=int(found.votes.max()))
        return Picked(found.indices, axes.denoise if job.value(self.denoise) else None,
                      {"Pixels_with_votes": len(found.voted)}, found)

    def add(self, job, scene, pixels, picked, report):
        if report:
            import numpy as np
            order = np.sort(picked.result.votes)[::-1]
            report.curve(range(1, min(len(order), 200) + 1), order[:200], "Votes of the pixels with most",
                         "Pixel, most votes first", "Votes", logarithmic=True)
        if job.wants(self.votes):
            self._write(job, scene, picked.result)

    def _write(self, job, scene, found):
        """The votes as a raster: their positions are those of the valid pixels in the order of reading."""
        import numpy as np
        start = 0
        with job.raster(self.votes, scene, [self.votes.label]) as file:
            for window, valid in scene.map_blocks(lambda Y, valid: valid, progress=job.progress):
                votes = np.zeros(np.count_nonzero(valid))
                first, last = np.searchsorted(found.voted, [start, start + len(votes)])
                votes[found.voted[first:last] - start] = found.votes[first:last]
                start += len(votes)
                file.write(window, votes, valid)
