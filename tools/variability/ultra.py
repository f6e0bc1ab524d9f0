"""The tool `ultra`."""

from ...engine.declare import Integer, NumberOutput, Real
from . import _variability

RANK = Integer("ABUNDANCERANK", "Rank of the abundances", optional=True, minimum=1, maximum=10000, advanced=True,
               help="How many rank-one maps the abundances are drawn to, at least 1. Empty: as many singular values of "
                    "the starting abundances as stand out.")

RANKTOLERANCE = Real("RANKTOLERANCE", "Tolerance of the ranks", default=0.15, minimum=1e-6, maximum=1.0, advanced=True,
                     help="A singular value stands out where the next one is smaller by at least so much, in units of "
                          "the abundances' root mean square over rows or columns (of a square image: the length of a "
                          "pixel's abundances, near 1), 0 to 1. Only for ranks that are not given. Default 0.15.")

COST_TOLERANCE = Real("TOLERANCE", "Tolerance", default=3e-5, minimum=0.0, maximum=1.0, advanced=True,
                      help="The run ends when the cost changes by less than this share of what it was at the start, 0 "
                           "to 1; 0 goes through all iterations. Default 3e-05.")

RANKABUNDANCE = NumberOutput("RANKABUNDANCE", "Rank of the abundances", help="The rank estimated or given; the largest "
                             "of all tiles.")


def beside(report, names, whole, first, second, caption, label, limits=None):
    """Two maps of every endmember, the second one below the other with a caption."""
    images = dict(zip(names, whole.drawn(first))) | {
        f"{name} ({caption})": image for name, image in zip(names, whole.drawn(second))}
    report.maps(images, label, columns=min(len(names), 6), limits=limits)


class LowRankAbundances(_variability.WholeSceneTool):
    """Fraction of each endmember in every pixel, as maps of simple structure; endmembers are the same everywhere.

    The fractions are drawn to a tensor of low rank: a sum of few products of a profile along rows, one along columns
    and a mixture. That keeps structure and lets noise go, without smoothing edges along rows and columns. Endmembers
    that are hard to tell apart gain most."""

    id = "ultra"
    label = "Low-rank abundances (ULTRA)"
    tags = (*_variability.WholeSceneTool.tags, "ULTRA", "tensor", "low rank", "canonical polyadic decomposition",
            "denoise")
    citation = ("Imbiriba, Borsoi and Bermudez, A low-rank tensor regularization strategy for hyperspectral unmixing, "
                "IEEE Statistical Signal Processing Workshop, 2018")
    prefer = ("For noisy scenes of few, simply shaped fields, whose spectra do not vary. In our measurements it was "
              "hardly better than FCLS; where spectra vary, take ULTRA-V.")

    lambda_a = _variability.weight("LAMBDAA", "Strictness of the low rank (lambda A)", 0.01, "How closely the "
                                   "fractions keep to the low rank: larger is closer.")
    rank, rank_tolerance = RANK, RANKTOLERANCE
    rank_abundance = RANKABUNDANCE
    iterations, tolerance = _variability.iterations(100), COST_TOLERANCE

    def method(self, job, scene, spectra, pixels):
        from functools import partial

        from ...algorithms.variability.ultra import ultra
        return partial(ultra, lambda_a=job.value(self.lambda_a), rank=job.value(self.rank),
                       rank_tolerance=job.value(self.rank_tolerance))

    def maps(self, job, found, valid):
        return {"low rank": found.Q}

    def note(self, found):
        return {"rank": found.rank_abundance}

    def settle(self, job, scene, spectra, notes):
        job.give_number(self.rank_abundance, max(note["rank"] for note in notes))

    def figures(self, report, names, whole):
        report.heading("Fractions (above), and the low rank that they are drawn to")
        beside(report, names, whole, "A", "low rank", "low rank", "Fraction", (0, 1))
