"""The tool `sivm`."""

from ._extract import ExtractionTool, Picked


class SimplexVolumeMaximisation(ExtractionTool):
    """Spectra of the pixels that lie farthest from each other, beginning with the brightest.

    It starts from the brightest pixel; each next one lies farthest from the plane through all so far, which gives their
    simplex its largest volume. Nothing is random, and the spectra are the pixels as they are. It needs pure pixels in
    the scene, and takes odd single pixels for materials.

    All bands take part, so it reads the raster once for each endmember, in bounded memory."""

    id = "sivm"
    label = "Simplex volume maximisation (SiVM)"
    tags = (*ExtractionTool.tags, "simplex", "volume", "distance", "archetypes", "SiVM")
    citation = ("Thurau, Kersting and Bauckhage, Yes we can: simplex volume maximization for descriptive web-scale "
                "matrix factorization, CIKM 2010")
    prefer = ("Take it, or Simplex growing, where nothing may be random and the spectra are to be pixels as they are. "
              "The two differ in their first pixel only; on a simulated scene of minerals they chose the same pixels.")
    doi = ("10.1145/1871437.1871729",)

    def reads(self, job):
        return job.value(self.count)

    def pick(self, job, pixels, count):
        from ...algorithms.endmembers.sivm import sivm
        return Picked(sivm(pixels, count))
