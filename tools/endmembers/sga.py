"""The tool `sga`."""

from ._extract import ExtractionTool, Picked


class SimplexGrowing(ExtractionTool):
    """Spectra of pixels chosen one after the other, each to span the largest volume with those before it.

    It starts from the pixel farthest from the scene's mean; each next one gives the simplex of all so far its largest
    volume. Nothing is random, and the spectra are the pixels as they are. It needs pure pixels in the scene, and takes
    odd single pixels for materials.

    All bands take part, so it reads the raster once for each endmember and once for the mean, in bounded memory."""

    id = "sga"
    label = "Simplex growing (SGA)"
    tags = (*ExtractionTool.tags, "simplex", "volume", "SGA")
    citation = ("Chang, Wu, Liu and Ouyang, A new growing method for simplex-based endmember extraction algorithm, "
                "IEEE TGRS 44(10), 2006")
    prefer = ("Take it where nothing may be random and the spectra are to be pixels as they are, with their noise. "
              "N-FINDR goes on to exchange pixels and takes the noise off.")

    def reads(self, job):
        return job.value(self.count) + 1

    def pick(self, job, pixels, count):
        from ...algorithms.endmembers.sga import sga
        return Picked(sga(pixels, count))
