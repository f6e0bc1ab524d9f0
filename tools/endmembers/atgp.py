"""The tool `atgp`."""

from ._extract import ExtractionTool, Picked


class AutomaticTargets(ExtractionTool):
    """Spectra of the brightest pixel in a scene and of those that differ most from it and from each other.

    They are the scene's targets: the first is the brightest pixel, and each next one has the largest part that the ones
    before it cannot explain. Nothing is random, and the spectra are the pixels as they are. Bright materials come first
    and dark ones, such as water, last or never; single odd pixels count as targets.

    All bands take part, so it reads the raster once for each endmember, in bounded memory."""

    id = "atgp"
    label = "Automatic target generation (ATGP)"
    tags = (*ExtractionTool.tags, "orthogonal projection", "target detection", "anomaly", "ATGP")
    citation = "Ren and Chang, Automatic spectral target recognition in hyperspectral imagery, IEEE TAES 39(4), 2003"
    prefer = ("Take it for odd or rare targets, and where nothing may be random. For the materials of a scene take VCA "
              "or N-FINDR: on a simulated scene of twelve minerals they came nearer.")

    def reads(self, job):
        return job.value(self.count)

    def pick(self, job, pixels, count):
        from ...algorithms.endmembers.atgp import atgp
        return Picked(atgp(pixels, count))
