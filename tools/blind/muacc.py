"""The tool `muacc`."""

from ...engine.declare import Real
from . import _blind, _factors


class AcceleratedUpdates(_factors.FactorTool):
    """Spectra of the materials in a scene and how much of each every pixel holds, by accelerated updates.

    Nonnegative matrix factorization of least squared error that repeats the cheap part of its steps, so that it gets
    further in the same time than the plain rule.

    The answer is not unique and depends on its start. Abundances do not sum to one: they are scaled so that their sums
    come nearest to it. Negative values end the run, unless you have them clipped. The whole scene is held in memory."""

    id = "muacc"
    label = "Accelerated multiplicative updates (MU-Acc)"
    tags = (*_blind.BlindTool.tags, "multiplicative updates", "MU-Acc")
    citation = ("Gillis and Glineur, Accelerated multiplicative updates and hierarchical ALS algorithms for "
                "nonnegative matrix factorization, Neural Computation 24(4), 2012")
    prefer = "Take it to compare with published results. NMF gets to the same cost sooner and offers other losses."
    doi = ("10.1162/NECO_a_00256",)

    alpha = Real("ALPHA", "Repeats (alpha)", default=2.0, minimum=0.0, maximum=1000.0, advanced=True,
                 help="How much time repeated steps may take, relative to a look at the data: 0 (the plain rule) to "
                      "1000. Default 2, as the authors take.")
    iterations, tolerance = _blind.iterations(1000), _blind.tolerance(1e-5)

    def factorise(self, job, Y, P, rng, **common):
        from ...algorithms.blind.muacc import muacc
        return muacc(Y, P, rng, alpha=job.value(self.alpha), **common)
