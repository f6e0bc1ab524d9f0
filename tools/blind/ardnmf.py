"""The tool `ardnmf`."""

from dataclasses import dataclass, replace

from ...engine.declare import Choice, Real
from .. import _shared
from . import _blind, _factors

PRIOR = Choice("PRIOR", "Prior", default="l1", options={"l1": "Exponential (l1)", "l2": "Half-normal (l2)"},
               advanced=True, help="Of spectra and abundances: exponential, which leaves many values at zero, or "
               "half-normal, which leaves few. Default l1.")
DISPERSION = Real("DISPERSION", "Dispersion of the noise (phi)", optional=True, minimum=1e-30, maximum=1e30,
                  help="How strong the noise is, which decides what is worth keeping: a value x has noise of the "
                  "variance phi times x to the power 2 - beta, so phi is 1 for counts, and for beta = 2 the variance "
                  "itself, in squared units. Above 0; larger keeps less. Empty: estimated from the images.")


@dataclass(frozen=True)
class Relevant:
    """The endmembers that are relevant, as `BlindUnmixing` has them, and all that were looked at."""

    M: object
    A: object
    costs: object
    iterations: int
    converged: bool
    active: object
    every: object


class RelevanceDetermination(_blind.BlindTool):
    """How many materials a scene holds, their spectra, and how much of each every pixel holds, all at once.

    Nonnegative matrix factorization with automatic relevance determination (ARD-NMF): begin with more endmembers than
    there are. Each shares a prior scale between its spectrum and its map, and where the data do not need it both
    vanish. Those that remain are given, most important first; their number is the rank.

    How many remain depends on how strong the noise is against the signal: it is estimated from the bands, or given. In
    real scenes, materials vary more than noise does, which counts as further endmembers: a larger dispersion leaves
    fewer. Abundances do not sum to one: they are scaled so that their sums come nearest to it. Negative values end the
    run, unless you have them clipped. The whole scene is held in memory. The result depends on the random start:
    compare a few seeds."""

    id = "ardnmf"
    label = "NMF that finds its rank (ARD-NMF)"
    tags = (*_blind.BlindTool.tags, "ARD", "automatic relevance determination", "rank", "number of endmembers",
            "beta-divergence", "Kullback-Leibler")
    citation = ("Tan and Fevotte, Automatic relevance determination in nonnegative matrix factorization with the "
                "beta-divergence, IEEE TPAMI 35(7), 2013; Chinellato, Deep Unfolding, PhD thesis, University of Padova "
                "2026, section 3.2.2")
    prefer = ("Take it where the number is not known. On real scenes give a larger dispersion than that of the noise: "
              "with a thousand times that, it found 3 endmembers on Samson, which has 3, and 3 on Jasper Ridge, which "
              "has 4. R-CoNMF finds a number too, with fractions that sum to one.")
    doi = ("10.1109/TPAMI.2012.240",)

    count = replace(_shared.COUNT, label="Largest number of endmembers", default=10, help="With how many endmembers to "
                    "begin, more than there may be: at least 2, at most the number of bands. Default 10.")
    initial = None
    clip = _factors.FactorTool.clip
    dispersion = replace(DISPERSION, help=DISPERSION.help.replace("the images", "what the other bands do not predict "
                                                                  "of each"))
    beta = Real("BETA", "Divergence (beta)", default=1.0, minimum=-1.0, maximum=3.0, advanced=True, help="How noise "
                "grows with the values: 0 for noise of one proportion (then no value may be 0), 1 as that of counts, 2 "
                "for one that is the same everywhere; -1 to 3. Default 1.")
    prior = PRIOR
    shape = Real("SHAPE", "Shape of the prior (a)", optional=True, minimum=1.001, maximum=1e12, advanced=True,
                 help="How sure it is before looking at the data that all endmembers are alike: above 2 (above 1 for "
                 "the half-normal prior); smaller leaves fewer. Empty: the logarithm of bands plus pixels.")
    tau = Real("TAU", "Threshold of relevance (tau)", default=1e-3, minimum=0.0, maximum=1e6, advanced=True, help="An "
               "endmember is relevant whose weight is above the least possible one by more than this share of it, 0 or "
               "more. Default 0.001.")
    iterations, tolerance = _blind.iterations(3000), _blind.tolerance(1e-5)
    tolerance = replace(tolerance, help="The run ends when no relevance weight changes by more than this share of "
                        "itself, 0 to 1; 0 goes through all iterations. Default 1e-05.")
    abundances, rank, report = _factors.FactorTool.abundances, _shared.RANK, _shared.REPORT

    def solve(self, job, Y, P, rng, grid, *, initial, **common):
        import numpy as np

        from ...algorithms.blind.alternating import BlindUnmixing
        from ...algorithms.blind.ardnmf import ardnmf, dispersion_of
        from ...algorithms.blind.nmf import as_fractions
        from ...algorithms.pixels import moments
        from ...algorithms.prepare.noise import regression_noise
        from ...engine.sentences import UserError
        beta = job.value(self.beta)
        Y = _factors.clipped(job, Y, job.value(self.clip), beta <= 0)
        largest = float(Y.max())
        Y = Y / Y.dtype.type(largest or 1)
        dispersion = job.value(self.dispersion)
        if dispersion is None:
            known = moments(Y)
            dispersion = dispersion_of(regression_noise(known).variances, known.mean, beta)
            job.say("Dispersion of the noise: {phi} in the image's units.", phi=f"{dispersion * largest**beta:.4g}")
        else:
            dispersion /= largest**beta
        found = ardnmf(Y, P, rng, norm=job.value(self.prior), beta=beta, a=job.value(self.shape),
                       dispersion=dispersion, tau=job.value(self.tau), **common)
        if not found.rank:
            raise UserError("No endmember is relevant: the noise, of the dispersion {phi}, explains the whole scene. "
                            "Give a smaller dispersion.", phi=f"{dispersion * largest**beta:.4g}")
        if found.rank == P:
            job.warn("All {count} endmembers are relevant, so there may be more. Raise the largest number (COUNT), or "
                     "the dispersion of the noise (DISPERSION).", count=P)
        order = np.argsort(-found.weights[-1], kind="stable")[:found.rank]
        scaled = as_fractions(BlindUnmixing(found.M[:, order] * largest, found.A[order], found.costs, found.iterations,
                                            found.converged))
        return Relevant(scaled.M, scaled.A, found.costs, found.iterations, found.converged, scaled.active, found)

    def give_more(self, job, found):
        job.give_number(self.rank, found.every.rank)

    def add_to_report(self, report, found):
        add_relevance(report, found.every.weights, found.every.bound, found.every.relevant, "endmember")


def add_relevance(report, weights, bounds, relevant, what):
    """Weights (iterations + 1, r) over the iterations, relative to their bounds, in a report."""
    import numpy as np
    report.heading("Relevance over the iterations")
    step = max(1, len(weights) // 500)
    excess = weights[::step] / bounds
    report.paragraph(f"Weight of every {what} that was looked for, relative to that of one that is not there, which "
                     f"is the line at 1. Relevant at the end: {int(relevant.sum())} of {len(relevant)}.")
    curves = {f"{what} {number}{'' if used else ' (not relevant)'}": values
              for number, (values, used) in enumerate(zip(excess.T, relevant), 1)}
    report.curves(range(0, len(weights), step), {**curves, "bound": np.ones(len(excess))}, "Iteration",
                  "Weight over bound")
