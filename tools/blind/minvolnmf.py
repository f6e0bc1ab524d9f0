"""The tool `minvolnmf`."""

from ...engine.declare import Integer, Real
from . import _blind


class MinimumVolumeNMF(_blind.BlindTool):
    """Spectra of the materials in a scene and the fraction of each in every pixel, by the smallest fitting simplex.

    Nonnegative matrix factorization that weighs the fit against the volume that the endmembers span (its log
    determinant). It needs no pure pixels, and a number of endmembers above the scene's does no harm: the surplus ones
    shrink or repeat others.

    Fractions sum to at most one: what is missing is shade. The whole scene is held in memory. The result depends on
    where it starts: compare a few seeds."""

    id = "minvolnmf"
    label = "Minimum-volume NMF"
    tags = (*_blind.BlindTool.tags, "minimum volume", "no pure pixels", "simplex", "shade", "log determinant")
    citation = ("Leplat, Ang and Gillis, Minimum-volume rank-deficient nonnegative matrix factorizations, ICASSP 2019")
    prefer = ("Take it where no pixels are pure and the materials are few and different: on Jasper Ridge its spectra "
              "came nearer than those of most methods, though not with every seed. Where each material has a pure "
              "pixel, VCA came nearer.")

    weight = Real("WEIGHT", "Weight of the volume (lambda)", default=0.1, minimum=0.0, maximum=1e6, advanced=True,
                  help="How much the volume counts against the fit at the start, as their ratio: 0 or more. "
                       "Default 0.1.")
    delta = Real("DELTA", "Volume offset (delta)", default=0.1, minimum=1e-9, maximum=1000.0, advanced=True,
                 help="What is added to the squared spectra before their volume is taken, so that superfluous "
                      "endmembers do no harm, for data divided by their maximum: 1e-9 to 1000. Default 0.1.")
    inner = Integer("INNER", "Inner steps", default=10, minimum=1, maximum=1000, advanced=True,
                    help="Gradient steps for the spectra, and for the fractions, in each iteration: 1 to 1000. "
                         "Default 10.")
    iterations = _blind.iterations(100, ", as the authors take; real scenes may not have settled by then (Samson "
                                   "after 228 to 260, Jasper Ridge after 112 to 154)")
    tolerance = _blind.tolerance(1e-4)

    def solve(self, job, Y, P, rng, grid, **common):
        from ...algorithms.blind.minvolnmf import minvolnmf
        return minvolnmf(Y, P, rng, weight=job.value(self.weight), delta=job.value(self.delta),
                         inner=job.value(self.inner), **common)
