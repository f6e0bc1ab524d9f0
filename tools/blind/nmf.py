"""The tool `nmf`."""

from ...engine.declare import Choice, Real
from . import _blind, _factors


def _weight(name, label, why):
    return Real(name, label, default=0.0, minimum=0.0, maximum=1e6, advanced=True,
                help=f"{why}, for data divided by their maximum: 0 (not at all) or more. Default 0.")


class NonnegativeMatrixFactorization(_factors.FactorTool):
    """Spectra of the materials in a scene and how much of each every pixel holds, by nonnegative factorization.

    The scene is approximated by spectra times abundances, neither of them negative. What counts as near is yours to
    choose: squared errors for noise of one strength, the Kullback-Leibler divergence for counts, the Itakura-Saito
    divergence for noise in proportion to the signal, or a loss that outlying pixels do not dominate. Sparsity,
    smoothness, orthogonality and a small volume can be asked for. The cost never rises.

    Without such a request the answer is not unique: it stays near its start, so that a good start matters. Abundances
    do not sum to one: they are scaled so that their sums come nearest to it. Negative values end the run, unless you
    have them clipped. The whole scene is held in memory."""

    id = "nmf"
    label = "NMF (beta-divergences and robust losses)"
    tags = (*_blind.BlindTool.tags, "beta-divergence", "Kullback-Leibler", "Itakura-Saito", "robust", "sparse",
            "smooth", "orthogonal", "minimum volume")
    citation = "Chinellato, Deep Unfolding, PhD thesis, University of Padova 2026, section 3.2"
    prefer = ("Take it where noise grows with the signal, where some pixels are outlying, or where fractions are to be "
              "sparse or smooth. Where everything is mixed, give it a weight of the volume: on Jasper Ridge that "
              "halved the error of its fractions.")

    loss = Choice("LOSS", "Loss", default="divergence", options={
        "divergence": "Beta-divergence", "l21": "Sum of distances (L2,1)", "cauchy": "Cauchy",
        "robust": "The largest of the two and the squared error"},
        help="What is made small. The beta-divergence counts every value, the others every pixel: the sum of distances "
             "and Cauchy's loss keep pixels that fit no mixture from bending the spectra, Cauchy's nearly ignores "
             "them; the last guards against not knowing which error there is. Default divergence.")
    beta = Real("BETA", "Beta", default=2.0, minimum=-5.0, maximum=5.0,
                help="Of the beta-divergence: 2 is the squared error (noise of one strength), 1 Kullback-Leibler "
                     "(counts), 0 Itakura-Saito (noise in proportion to the signal); a larger one looks more at bright "
                     "values. -5 to 5; 0 or less needs values above zero. It has no effect on the other losses. "
                     "Default 2.")
    gamma = Real("GAMMA", "Distance of outliers (gamma)", optional=True, minimum=1e-9, maximum=1e6, advanced=True,
                 help="Of Cauchy's loss and the largest of three: from which distance, a pixel's from its "
                      "reconstruction over all bands, it loses influence, for data divided by their maximum, above 0. "
                      "Empty: the median of the distances at the start.")
    sparse_spectra = _weight("SPARSEENDMEMBERS", "Sparsity of the spectra", "What the sum of the endmembers' values "
                             "costs, against the misfit of a pixel: drives small values to zero")
    smooth_spectra = _weight("SMOOTHENDMEMBERS", "Smoothness of the spectra", "What the squared differences of "
                             "neighbouring bands cost, against the misfit of a pixel")
    orthogonal_spectra = _weight("ORTHOGONALENDMEMBERS", "Orthogonality of the spectra", "What it costs that spectra "
                                 "overlap or differ from a length of one, against the misfit of a pixel")
    volume = _weight("VOLUME", "Volume of the spectra", "What the volume costs that the endmembers span (the "
                     "determinant of their Gram matrix), against the misfit of a pixel: draws them towards the data")
    sparse_fractions = _weight("SPARSEABUNDANCES", "Sparsity of the abundances", "What the sum of a pixel's abundances "
                               "costs, against its misfit: fewer materials per pixel")
    orthogonal_fractions = _weight("ORTHOGONALABUNDANCES", "Orthogonality of the abundances", "What it costs that maps "
                                   "overlap or differ from a length of one, against the misfit of the scene: each "
                                   "pixel goes to one material")
    iterations, tolerance = _blind.iterations(1000), _blind.tolerance(1e-5)

    def positive(self, job):
        return job.value(self.loss) == "divergence" and job.value(self.beta) <= 0

    def factorise(self, job, Y, P, rng, **common):
        from ...algorithms.blind.nmf import nmf
        from ...algorithms.blind.penalties import Penalty
        spectra = Penalty(job.value(self.sparse_spectra), job.value(self.smooth_spectra),
                          job.value(self.orthogonal_spectra), job.value(self.volume))
        fractions = Penalty(sparsity=job.value(self.sparse_fractions),
                            orthogonality=job.value(self.orthogonal_fractions))
        return nmf(Y, P, rng, beta=job.value(self.beta), loss=job.value(self.loss), gamma=job.value(self.gamma),
                   endmembers=spectra, abundances=fractions, **common)
