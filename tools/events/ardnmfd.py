"""The tool `ardnmfd`."""

from dataclasses import dataclass, replace

from ...engine.declare import Integer, NumberOutput, Real
from .. import _shared
from ..blind import _blind
from ..blind.ardnmf import DISPERSION, PRIOR, add_relevance
from . import _patterns


@dataclass(frozen=True)
class Relevant(_patterns.Learned):
    """Relevant patterns, cut to their lengths, and all that were looked for."""

    every: object


class DeconvolutionRelevance(_patterns.PatternTool):
    """Courses that recur in a series of images, how many there are and how long they last, without samples.

    Factor deconvolution with automatic relevance determination (ARD-NMFD): begin with more and longer patterns than
    there are. Each image of a pattern has a prior scale, whose mean is that of its activations, and what the data do
    not need vanishes, whole patterns as well as images of one. Those that remain are given, most important first; their
    number is the rank. Otherwise as Recurring patterns (NMFD).

    How many remain depends on how strong the noise is against the events: it is estimated from the differences between
    dates, or given. The result depends on the random start: compare a few seeds."""

    id = "ardnmfd"
    label = "Recurring patterns, their number found (ARD-NMFD)"
    tags = (*_patterns.PatternTool.tags, "ARD", "automatic relevance determination", "rank", "number of patterns")
    citation = "Chinellato, Deep Unfolding, PhD thesis, University of Padova 2026, section 3.3.2"
    prefer = ("Without samples, when the number of recurring courses is not known. On our test images the number was "
              "mostly too small or too large: take it as a first guess, and look at the patterns also by NMFD.")

    count = replace(_patterns.COUNT, label="Largest number of patterns", default=8, help="With how many patterns to "
                    "begin, more than there may be, 1 to 100. Default 8.")
    length = replace(_patterns.LENGTH, label="Largest length of a pattern (images)", default=5, help="Over how many "
                     "consecutive images a pattern may extend, 1 to their number. Default 5.")
    dispersion = replace(DISPERSION, help=DISPERSION.help.replace("the images", "second differences between dates"))
    prior = PRIOR
    shape = Real("SHAPE", "Shape of the prior (a)", optional=True, minimum=1.001, maximum=1e12, advanced=True,
                 help="How sure it is before looking at the data that all patterns are alike: above 2 (above 1 for the "
                 "half-normal prior); smaller leaves fewer. Empty: the logarithm of the number of bands plus that of "
                 "dates of all pixels that are learned from.")
    tau = Real("TAU", "Threshold of relevance (tau)", default=1e-3, minimum=0.0, maximum=1e6, advanced=True, help="A "
               "pattern is relevant whose mean weight is above the least possible one by more than this share of it, "
               "0 or more; so is an image of it. Default 0.001.")
    starts = Integer("STARTS", "Random starts", default=5, minimum=1, maximum=1000, advanced=True, help="Of so many "
                     "starts, 1 to 1000, the one with the least cost after 100 iterations goes on. Default 5.")
    iterations = _shared.iterations(1000)
    tolerance = replace(_blind.tolerance(1e-4), help="The run ends when no relevance weight changes by more than this "
                        "share of the largest one's distance from its bound, 0 to 1; 0 goes through all iterations. "
                        "Default 0.0001.")
    rank = NumberOutput("RANK", "Number of patterns", help="How many patterns were found.")
    example = {"IMAGES": "images", "COUNT": 3, "LENGTH": 2, "DISPERSION": 1e-5}

    def learn(self, job, X, valid, lengths, rng, **common):
        import numpy as np

        from ...algorithms.blind.ardnmf import dispersion_of
        from ...algorithms.events.ardnmfd import ardnmfd, noise_variances
        from ...engine.sentences import UserError
        phi, beta = job.value(self.dispersion), common["beta"]
        if phi is None:
            phi = dispersion_of(noise_variances(X, valid), X[:, valid].mean(axis=1, dtype=np.float64), beta)
            if not phi:
                raise UserError("More than half of the values do not change from image to image, so the noise cannot "
                                "be estimated. Give its dispersion (DISPERSION).")
            job.say("Dispersion of the noise: {phi}.", phi=f"{phi:.4g}")
        found = ardnmfd(X, lengths, rng, norm=job.value(self.prior), a=job.value(self.shape), dispersion=phi,
                        tau=job.value(self.tau), valid=valid, starts=job.value(self.starts), **common)
        if not found.rank:
            raise UserError("No pattern is relevant: the noise, of the dispersion {phi}, explains all images. Give a "
                            "smaller dispersion (DISPERSION), or a smaller threshold (TAU).", phi=f"{phi:.4g}")
        if found.rank == len(lengths):
            job.warn("All {count} patterns are relevant, so there may be more. Raise the largest number (COUNT), or "
                     "the dispersion of the noise (DISPERSION).", count=found.rank)
        order = np.argsort([-w.sum() * h.sum() for w, h in zip(found.W, found.H)], kind="stable")
        kept = [_cut(found.W[j], found.columns[j]) for j in order if found.relevant[j]]
        job.give_number(self.rank, found.rank)
        job.say("{rank} patterns, over {lengths} images.", rank=found.rank,
                lengths=", ".join(str(w.shape[1]) for w in kept))
        return Relevant(kept, found.iterations, found.converged, found)

    def add_to_report(self, report, learned, names):
        every = learned.every
        add_relevance(report, every.means, every.bounds, every.relevant, "pattern")


def _cut(w, used):
    """A pattern from the first of its relevant columns to the last; all of it where the mean alone is relevant."""
    import numpy as np
    columns = np.flatnonzero(used)
    return w[:, columns[0]:columns[-1] + 1] if len(columns) else w
