"""The tool `sivm`."""

from ._extract import ExtractionTool, Picked


class SimplexVolumeMaximisation(ExtractionTool):
    """Spectra of the pixels that lie farthest from each other: a simplex of large volume from distances alone.

    It starts from the brightest pixel; each next one lies farthest from the plane through all so far, which gives their
    simplex its largest volume. Simplex growing differs in its first pixel only. Nothing is random, and the spectra are
    the pixels as they are. It needs pure pixels in the scene, and takes odd single pixels for materials.

    All bands take part, so it reads the raster once for each endmember, in bounded memory."""

    id = "sivm"
    label = "Simplex volume maximisation (SiVM)"
    tags = ("endmember extraction", "pure pixels", "simplex", "volume", "distance", "archetypes", "SiVM")
    citation = ("Thurau, Kersting and Bauckhage, Yes we can: simplex volume maximization for descriptive web-scale "
                "matrix factorization, CIKM 2010")

    def reads(self, job):
        return job.value(self.count)

    def pick(self, job, pixels, count):
        from ...algorithms.endmembers.sivm import sivm
        return Picked(sivm(pixels, count))
