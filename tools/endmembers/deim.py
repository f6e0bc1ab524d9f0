"""The tool `deim`."""

from ...engine.declare import Flag
from ._extract import ExtractionTool, Picked, parked


class InterpolationPixels(ExtractionTool):
    """Spectra of the most informative pixels of a scene: those that CUR-HU takes as endmembers.

    The leading singular vectors of the scene give every pixel a place, and each pixel chosen is the one that the
    vectors before it explain least (DEIM). Nothing is random. It needs pixels that are nearly pure.

    It reads the raster twice, in bounded memory."""

    id = "deim"
    label = "Interpolation pixels (DEIM)"
    tags = (*ExtractionTool.tags, "CUR decomposition", "singular vectors", "DEIM", "CUR-HU")
    citation = ("Sorensen and Embree, A DEIM induced CUR factorization, SIAM J. Sci. Comput. 38(3), 2016; as used in "
                "Abdelgawad, Cheung and Yan, CUR-HU, Remote Sensing 16(5), 2024, Algorithm 1")
    prefer = ("Take it for the spectra of CUR-HU alone, where another tool such as FCLS is to find the fractions. "
              "Where pure pixels are few and noise is strong, VCA, N-FINDR and PPI came nearer.")
    doi = ("10.3390/rs16050766",)

    denoise = Flag("DENOISE", "Remove noise first", default=True, advanced=True, help="Subtract the noise that a "
                   "regression of each band on all others finds, from the scene and from the spectra. Needs more "
                   "pixels than bands. Default yes.")

    def pick(self, job, pixels, count):
        from ...algorithms.endmembers.deim import deim_select, right_vectors
        from ...algorithms.pixels import moments
        from ...algorithms.prepare.noise import regression_noise
        found, denoise = moments(pixels), job.value(self.denoise)
        vectors = right_vectors(found, count, regression_noise(found).T if denoise else None)
        with parked(pixels, vectors.apply) as rows:
            return Picked(deim_select(rows, count), vectors.denoise if denoise else None)
