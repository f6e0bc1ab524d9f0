"""The tool `rconmf`."""

from ...engine.declare import Choice, Integer, NumberOutput, Real
from . import _blind


class RobustCollaborativeNMF(_blind.BlindTool):
    """Spectra of the materials in a scene, the fraction of each in every pixel, and how many materials are really used.

    Ask for a few endmembers more than you expect: a collaborative penalty on the fractions empties those that the
    scene does not need, and the number that remains is given as well. It depends on that weight (alpha) and on how
    many you ask for, and may be one or two too large: compare a few seeds and weights. The penalty also draws the
    spectra inwards: where you know the number, ask for it with a weight of 0.000001.

    Fractions are never negative and sum to one; spectra may fall below zero, as the method does not forbid it. The
    start is the largest simplex of several runs of vertex component analysis. The whole scene is held in memory."""

    id = "rconmf"
    label = "Robust collaborative NMF (R-CoNMF)"
    tags = (*_blind.BlindTool.tags, "collaborative sparsity", "number of endmembers", "rank")
    citation = ("Li, Bioucas-Dias, Plaza and Liu, Robust collaborative nonnegative matrix factorization for "
                "hyperspectral unmixing, IEEE TGRS 54(10), 2016")
    prefer = ("Take it where the number is known roughly and fractions are to sum to one, which ARD-NMF does not ask "
              "of them. On Samson and Jasper Ridge only CUR-HU was faster, and of twelve minerals in a simulated "
              "mixture it identified more than the others.")
    doi = ("10.1109/TGRS.2016.2580702",)

    alpha = Real("ALPHA", "Weight of the number of endmembers (alpha)", optional=True, minimum=0.0, maximum=1e6,
                 advanced=True, help="How much is paid for each endmember in use, for data divided by their maximum "
                 "and a scene of 1000 pixels: 0 or more; larger leaves fewer. Empty: 1 over the square root of the "
                 "number of endmembers, as the authors take where there may be too many. They take 0.000001 where the "
                 "number is known: none is emptied then.")
    beta = Real("BETA", "Weight of the hold (beta)", default=50.0, minimum=0.0, maximum=1e9, advanced=True,
                help="How strongly the spectra are held to the target, for data divided by their maximum and a scene "
                     "of 1000 pixels: 0 or more; 0 lets the simplex grow until it "
                     "holds every pixel. Default 50.")
    target = Choice("TARGET", "Hold the spectra to", default="centre", advanced=True, options={
        "centre": "The mean spectrum (smallest simplex)", "boundary": "The initial endmembers"},
        help="What the spectra are drawn towards. Default centre.")
    draws = Integer("DRAWS", "Runs of VCA for the start", default=50, minimum=1, maximum=10000, advanced=True,
                    help="Of so many random starts the one that spans the largest simplex is taken: 1 to 10000. "
                         "Default 50.")
    iterations, tolerance = _blind.iterations(200), _blind.tolerance(1e-4)
    rank = NumberOutput("RANK", "Number of endmembers in use", help="How many endmembers have a mean fraction above "
                        "0.001.")

    def solve(self, job, Y, P, rng, grid, **common):
        from ...algorithms.blind.rconmf import rconmf
        return rconmf(Y, P, rng, alpha=job.value(self.alpha), beta=job.value(self.beta),
                      target=job.value(self.target), draws=job.value(self.draws), **common)

    def give_more(self, job, found):
        rank = int(found.active.sum())
        job.say("{rank} of {count} endmembers are in use.", rank=rank, count=len(found.active))
        job.give_number(self.rank, rank)
