"""The tool `iqr`."""

from ...engine.declare import Flag, Group, Real, Tool
from .. import _shared

TOLERANCE = Real("TOLERANCE", "Tolerance", default=1e-3, minimum=1e-12, maximum=0.5, help="A direction whose energy is "
                 "below the square of this number times that of all others is dropped. No unit; the paper uses 0.0005 "
                 "to 0.005 on real scenes. A smaller tolerance gives a larger number.")


class IncrementalQR(Tool):
    """Number of directions that a scene needs, by an incremental QR factorisation of its pixels.

    The pixels are read once, row by row. As published it depends on that order, and on real scenes its tolerances give
    far more than the number of materials."""

    id = "iqr"
    label = "Incremental QR: number of endmembers"
    group = Group.RANK
    tags = ("rank", "number of endmembers", "how many materials", "QR", "CUR-HU")
    citation = "Abdelgawad, Cheung and Yan, CUR-HU, Remote Sensing 16(5), 2024, Algorithm A1"
    prefer = "Take it to compare with the publication of CUR-HU. For a number to work with, take HySime."
    doi = ("10.3390/rs16050766",)

    image, bands, tolerance = _shared.INPUT, _shared.BANDS, TOLERANCE
    denoise = Flag("DENOISE", "Remove noise first", default=True, advanced=True, help="Subtract the noise that a "
                   "regression of each band on all others finds, as the publication does. Default yes.")
    rank = _shared.RANK
    example = {"INPUT": "scene"}

    def run(self, job):
        from ...algorithms.pixels import blocks, moments
        from ...algorithms.prepare.noise import regression_noise
        from ...algorithms.rank.iqr import iqr
        scene = job.scene(self.image)
        job.passes(2 if job.value(self.denoise) else 1)
        pixels = scene.pixels(rows=True, progress=job.progress)
        stream = pixels
        if job.value(self.denoise):
            noise = regression_noise(moments(pixels))
            stream = (noise.denoise(part) for block in pixels for part in blocks(block))
        result = iqr(stream, job.value(self.tolerance))
        job.give_number(self.rank, result.rank)
        job.say("{rank} directions remain at a tolerance of {tolerance}.", rank=result.rank,
                tolerance=job.value(self.tolerance))
