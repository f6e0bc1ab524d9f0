"""The tool `wienerfilter`."""

from ...engine.declare import FolderOutput, Real, Style
from .. import _shared
from . import _separation


class WienerFilter(_separation.SeparationTool):
    """Scene of some wanted materials alone, as a Wiener filter takes it out of their background.

    Each pixel is explained as a mixture of wanted and background spectra, with weights that are not negative
    (nonnegative matrix factorization with spectra that stay as they are). Of every value the filter keeps the share
    that the wanted materials have in its explanation, so that what no spectrum explains is shared out too, and nothing
    is lost: the scenes of all sources add up to the scene.

    Where no background spectra are given, they are learned from some ten thousand of the scene's pixels, while the
    wanted ones stay as they are: a makeshift. Such a background explains part of the wanted materials too, or leaves
    part of itself to them. Give spectra of it where you can, and else compare a few counts.

    Weights have no sum to one: a dark pixel of a material holds less of it. The scene is read twice, in bounded
    memory."""

    id = "wienerfilter"
    label = "Wiener filter by nonnegative factors"
    tags = (*_separation.SeparationTool.tags, "beta-divergence", "Kullback-Leibler", "Itakura-Saito")
    citation = ("Chinellato, Deep Unfolding: algorithm unrolling for nonnegative matrix factorization and data "
                "assimilation, PhD thesis, University of Padova, 2026, section 3.4")
    prefer = ("Take it first where only some materials matter and you have spectra of them and of the rest. Deep-NMF "
              "is faster, with more error; where the fractions of all materials matter, take FCLS.")

    beta = Real("BETA", "Beta of the divergence", default=1.0, minimum=-5.0, maximum=5.0, help="How differences count: "
                "2 by their square, 1 (Kullback-Leibler) less where values are large, 0 (Itakura-Saito) by their "
                "ratio, so that dark bands count like bright ones; -5 to 5. At 0 and below no value may be 0. "
                "Default 1.")
    sparsity = Real("SPARSITY", "Sparsity (alpha)", default=0.0, minimum=0.0, maximum=1e6, help="Weight of the sum of "
                    "a pixel's weights, for values divided by the largest of the spectra: more of it explains pixels "
                    "by fewer spectra, and darker. 0 to 1000000. Default 0.")
    iterations = _shared.iterations(500)
    tolerance = Real("TOLERANCE", "Tolerance", default=1e-4, minimum=0.0, maximum=1.0, advanced=True, help="A pixel "
                     "has settled when ten iterations change no weight by more than this share of its largest, 0 to "
                     "1. Default 0.0001.")
    sources = FolderOutput("SOURCES", "Scene of each source", style=Style.SPECTRAL, create=False, help="Folder with a "
                           "raster per wanted material, and one of the background, named after them: what of each "
                           "value it has given, in input units. They add up to the scene. Each is as large as the "
                           "image. Other files in the folder stay.")
    example = {"INPUT": "scene", "WANTED": "wanted", "COUNT": 2}

    def run(self, job):
        from ...algorithms.separation.wienerfilter import wienerfilter
        scene, beta = job.scene(self.image), job.value(self.beta)
        dictionary, learn = self.read_dictionary(job, scene), job.value(self.background) is None
        job.passes(2 + learn)
        sample = self.survey(job, scene, beta)
        if learn:
            dictionary = self.learn_background(job, dictionary, sample, beta)
        moving = []

        def separate(X):
            parts, found = wienerfilter(X, dictionary.W, dictionary.source, beta=beta,
                                        sparsity=job.value(self.sparsity), iterations=job.value(self.iterations),
                                        tolerance=job.value(self.tolerance))
            moving.append(int((~found.settled).sum()))
            return found.H, parts

        totals = self.write(job, scene, dictionary, separate, self.sources)
        if sum(moving):
            job.warn("{count} of {pixels} pixels were still changing after {iterations} iterations: allow more "
                     "(ITERATIONS), or a larger tolerance.", count=sum(moving), pixels=totals.pixels,
                     iterations=job.value(self.iterations))
        report = self.begin_report(job, scene, dictionary, totals, sample, separate)
        if report:
            job.give_report(self.report, report)
