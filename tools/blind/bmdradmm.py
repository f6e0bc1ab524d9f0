"""The tool `bmdradmm`."""

from ...engine.declare import Integer, Real
from . import _blind


class MinimumDispersion(_blind.BlindTool):
    """Spectra of the materials in a scene and the fraction of each in every pixel, by spectra that lie close together.

    A blind unmixing that weighs the fit against the dispersion of the endmembers around their mean, in place of their
    volume, and solves it by splitting (ADMM). It needs no pure pixels.

    Fractions are not negative and sum to one. The whole scene is held in memory. The cost may rise now and then. The
    result depends on where it starts: compare a few seeds."""

    id = "bmdradmm"
    label = "Minimum dispersion (BMDR-ADMM)"
    tags = (*_blind.BlindTool.tags, "minimum dispersion", "ADMM", "simplex")
    citation = ("Nus, Miron and Brie, An ADMM-based algorithm with minimum dispersion constraint for on-line unmixing "
                "of hyperspectral images, Chemometrics and Intelligent Laboratory Systems 204, 2020")
    prefer = ("Take it where no pixels are pure: with a weight of 0.001 it came nearest to the spectra of Samson and "
              "Jasper Ridge among the factorizations compared. Minimum-volume NMF has the same aim, and leaves room "
              "for shade.")
    doi = ("10.1016/j.chemolab.2020.104090",)

    weight = Real("WEIGHT", "Weight of the dispersion (mu)", default=1e-4, minimum=0.0, maximum=1e6, advanced=True,
                  help="How much the dispersion counts at the start, relative to the energy of the scene: 0 or more. "
                       "A larger one draws the spectra together: about the share of noise in the energy, up to 0.001 "
                       "where spectra vary much or pure pixels are outliers. Default 0.0001.")
    rho = Real("RHO", "Penalty of the splitting (rho)", default=0.1, minimum=1e-6, maximum=1000.0, advanced=True,
               help="How strictly the split variables are held together: how fast it settles, not where. 0.000001 to "
                    "1000. Default 0.1.")
    inner = Integer("INNER", "Inner steps", default=10, minimum=1, maximum=1000, advanced=True,
                    help="Splitting steps for the spectra, and for the fractions, in each iteration: 1 to 1000. "
                         "Default 10.")
    iterations, tolerance = _blind.iterations(300), _blind.tolerance(1e-4)

    def solve(self, job, Y, P, rng, grid, **common):
        from ...algorithms.blind.bmdradmm import bmdradmm
        return bmdradmm(Y, P, rng, weight=job.value(self.weight), rho=job.value(self.rho),
                        inner=job.value(self.inner), **common)
