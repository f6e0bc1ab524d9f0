"""The tool `nmfd`."""

from ...engine.declare import Integer
from .. import _shared
from ..blind import _blind
from . import _patterns


class FactorDeconvolution(_patterns.PatternTool):
    """Courses that recur in a series of images, and where and when each begins, without samples.

    Nonnegative matrix factor deconvolution (NMFD) explains the series of every pixel by a few patterns, each of which
    extends over several consecutive images: a harvest, a fire and its regrowth, a flood. All pixels share the patterns;
    a pattern may begin in any pixel at any date, as strongly as it will, and those that overlap add up.

    Choose images in which events stand out as positive values: an index, fractions of another tool, or bands. What is
    there all the time takes patterns of its own. Dates at which a pixel is nodata take no part. Patterns are learned
    from some of the pixels; then the activations of all are found block by block.

    Which patterns are found depends on the start: compare a few seeds, and take the one with the least error."""

    id = "nmfd"
    label = "Recurring patterns (NMFD)"
    citation = ("Smaragdis, Non-negative matrix factor deconvolution, ICA 2004; Chinellato, Deep Unfolding, PhD "
                "thesis, Padova 2026, section 3.3")
    prefer = ("Without samples, to see which courses recur and where. With samples of the events, take Deep-NMFD; when "
              "the number of courses is not known, ARD-NMFD.")
    doi = ("10.1007/978-3-540-30110-3_63",)

    starts = Integer("STARTS", "Random starts", default=5, minimum=1, maximum=1000, advanced=True, help="Of so many "
                     "starts, 1 to 1000, the one that fits best after 50 iterations goes on. Default 5.")
    iterations, tolerance = _shared.iterations(500), _blind.tolerance(1e-5)

    def learn(self, job, X, valid, lengths, rng, **common):
        import numpy as np

        from ...algorithms.events.nmfd import nmfd
        found = nmfd(X, lengths, rng, valid=valid, sparsity=job.value(self.sparsity), starts=job.value(self.starts),
                     **common)
        order = np.argsort([-w.sum() * h.sum() for w, h in zip(found.W, found.H)], kind="stable")
        kept = [found.W[j] for j in order if found.W[j].any()]
        if len(kept) < len(order):
            job.warn("{count} patterns are empty and were left out: the images do not need them.",
                     count=len(order) - len(kept))
        return _patterns.Learned(kept, found.iterations, found.converged)
