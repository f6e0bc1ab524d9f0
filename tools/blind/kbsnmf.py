"""The tool `kbsnmf`."""

from ...engine.declare import Choice, Real
from . import _blind


class KurtosisNMF(_blind.BlindTool):
    """Spectra of the materials in a scene and the fraction of each in every pixel, with spectra that stand out.

    Nonnegative matrix factorization by the Kullback-Leibler divergence that favours endmembers of large kurtosis,
    since mixed spectra have a small one, and smooths the fractions over the endmembers.

    Fractions are divided by their sum at the end, as published with spectra of equal contrast: those of dark materials
    come out too small. The whole scene is held in memory. The cost may rise now and then,
    as the published steps do not forbid it. Values below zero count as zero."""

    id = "kbsnmf"
    label = "Kurtosis-based smooth NMF (KbSNMF-div)"
    tags = (*_blind.BlindTool.tags, "kurtosis", "independence", "divergence")
    citation = ("Ekanayake, Weerasooriya, Ranasinghe, Herath, Rathnayake, Godaliyadda, Ekanayake and Herath, "
                "Constrained nonnegative matrix factorization for blind hyperspectral unmixing incorporating endmember "
                "independence, IEEE JSTARS 14, 2021")
    prefer = ("Take it for mixtures of many similar materials: on a simulated mixture of twelve minerals its spectra "
              "came nearest. Where dark materials count take MVNTF, which came second.")

    begin_with = Choice("START", "Start from", default="vca", advanced=True, options={
        "vca": "Vertex component analysis, or the initial endmembers",
        "nndsvd": "Nonnegative double SVD (as published)"},
        help="What the iterations begin with; the nonnegative double SVD is the same for every seed and "
             "takes no initial endmembers. Default vca.")
    gamma = Real("GAMMA", "Weight of the kurtosis (gamma)", default=8.0, minimum=0.0, maximum=1e6, advanced=True,
                 help="How much the kurtosis of the spectra counts, for data divided by their maximum and a scene "
                      "of 95 x 95 pixels: 0 or more; where it is too large, bands vanish. Default 8.")
    theta = Real("THETA", "Smoothing (theta)", default=0.2, minimum=0.0, maximum=0.99, advanced=True,
                 help="How much the fractions are smoothed over the endmembers, from 0 (not at all) to 0.99. The "
                      "authors take 0.2 for Samson and 0.4 for simulated scenes. Default 0.2.")
    iterations, tolerance = _blind.iterations(1000), _blind.tolerance(1e-5)

    def _initial(self, job, scene, spectra, P):
        from ...engine.sentences import UserError
        if job.value(self.begin_with) == "nndsvd":
            raise UserError("The nonnegative double SVD does not start from initial endmembers, so their names would "
                            "stand for other spectra. Clear the initial endmembers, or choose the other start.")
        return super()._initial(job, scene, spectra, P)

    def solve(self, job, Y, P, rng, grid, **common):
        from ...algorithms.blind.kbsnmf import kbsnmf
        return kbsnmf(Y, P, rng, begin_with=job.value(self.begin_with), gamma=job.value(self.gamma),
                      theta=job.value(self.theta), **common)
