"""The tool `ista`."""

from ...engine.declare import Choice, Real
from .. import _shared
from ._sparse import SparseTool, Tally, sparse, weight


class IterativeSoftThresholding(SparseTool):
    """Fractions of the spectra of a library, few of which are in each pixel, by iterative soft thresholding.

    The same problem as that of SUnSAL, solved by the simplest method there is: gradient steps, after each of which
    small fractions are set to zero. ISTA needs thousands of iterations where library spectra are alike; FISTA adds
    momentum and needs far fewer.

    A pixel ends when its cost is provably near the minimum, and the report shows how the cost fell."""

    id = "ista"
    label = "Iterative soft thresholding (ISTA, FISTA)"
    tags = (*SparseTool.tags, "ISTA", "FISTA", "proximal gradient", "soft thresholding")
    citation = ("Beck and Teboulle, A fast iterative shrinkage-thresholding algorithm for linear inverse problems, "
                "SIAM Journal on Imaging Sciences 2(1), 2009; Chinellato, Deep Unfolding, PhD thesis, Padova 2026, "
                "section 1.2.1")
    prefer = ("Take it for comparison, or to learn how sparse unmixing works. SUnSAL solves the same problem exactly "
              "and faster, and LISTA is this method with its steps learned.")
    doi = ("10.1137/080716542",)

    weight = weight(1e-6)
    method = Choice("METHOD", "Method", default="fista", options={
        "ista": "ISTA: plain steps", "fista": "FISTA: steps with momentum"},
        help="How steps are taken. Default fista. Neither lets the cost of a pixel rise.")
    iterations = _shared.iterations(1000)
    tolerance = Real("TOLERANCE", "Tolerance", default=1e-4, minimum=0.0, maximum=1.0, advanced=True, help="A pixel "
                     "ends when its cost is above the minimum by at most this share of half its squared spectrum (its "
                     "duality gap, looked at every ten iterations), 0 to 1; 0 goes through all iterations. Default "
                     "0.0001.")

    def run(self, job):
        from functools import partial

        from ...algorithms.abundances.ista import ista
        tally = Tally(0, 1)
        sparse(self, job, partial(ista, accelerated=job.value(self.method) == "fista", iterations=job.value(
            self.iterations), tolerance=job.value(self.tolerance)), tally)
        if job.value(self.tolerance) > 0:
            tally.warn(job)
