"""The tool `sga`."""

from ._extract import ExtractionTool, Picked


class SimplexGrowing(ExtractionTool):
    """Spectra of the pixels that let a simplex grow fastest, one corner after the other.

    It starts from the pixel farthest from the scene's mean; each next one gives the simplex of all so far its largest
    volume. Nothing is random, and the spectra are the pixels as they are. It needs pure pixels in the scene, and takes
    odd single pixels for materials.

    All bands take part, so it reads the raster once for each endmember and once for the mean, in bounded memory."""

    id = "sga"
    label = "Simplex growing (SGA)"
    tags = ("endmember extraction", "pure pixels", "simplex", "volume", "SGA")
    citation = ("Chang, Wu, Liu and Ouyang, A new growing method for simplex-based endmember extraction algorithm, "
                "IEEE TGRS 44(10), 2006")

    def reads(self, job):
        return job.value(self.count) + 1

    def pick(self, job, pixels, count):
        from ...algorithms.endmembers.sga import sga
        return Picked(sga(pixels, count))
