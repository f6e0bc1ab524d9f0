"""The tool `stereo`."""

from ...engine.declare import Integer
from . import _fusion
from .. import _shared

OTHER = 30   # numbers per pixel of the fused image beside those of the terms
TERM = 3     # per pixel and term


class CoupledPolyadic(_fusion.FusionTool):
    """The hyperspectral image at the multispectral image's resolution, as a sum of simple terms of rows and columns.

    STEREO describes the scene as a sum of terms, each a pattern along the rows times one along the columns times a
    spectrum, and looks for the terms that explain both images. It needs many terms for scenes with much detail. It
    knows no change between the two dates. The multispectral image needs two bands at least, and four or more to do
    well."""

    id = "stereo"
    label = "Coupled polyadic fusion (STEREO)"
    tags = (*_fusion.FusionTool.tags, "STEREO", "CPD", "PARAFAC", "canonical polyadic decomposition", "tensor")
    citation = ("Kanatsoulis, Fu, Sidiropoulos and Ma, Hyperspectral super-resolution: a coupled tensor factorization "
                "approach, IEEE Transactions on Signal Processing 66(24), 2018")
    prefer = ("For images of the same date, of grounds with little detail, and to compare with published results. "
              "HySure was more accurate on all pairs that we measured; where something changed, take BTD-Var.")

    rank = Integer("TERMS", "Number of terms (F)", optional=True, minimum=1, maximum=10000, help="How many terms the "
                   "scene is made of, from 1; no more than a tile has hyperspectral pixels are used, nor than the "
                   "multispectral image's size allows. Published scenes had 10 to 100. Empty: 50, or fewer where the "
                   "multispectral image has few bands or a tile few pixels, so that there is one solution only.")
    balance = _fusion.BALANCE
    iterations = _fusion.iterations(10)
    tolerance = _fusion.tolerance(1e-3)
    seed = _shared.SEED
    low_rank = True

    def prepared(self, job, paired, P3):
        from ...algorithms.fusion.stereo import RANK
        self.numbers = OTHER + TERM * (job.value(self.rank) or RANK)
        return super().prepared(job, paired, P3)

    def check(self, job, pair):
        from ...algorithms.fusion.stereo import default_rank, largest, unique_rank
        rank, most = self._rank(job, default_rank(pair), largest(pair)), unique_rank(pair)
        if rank > most:
            job.warn("{terms} terms are more than the {most} that the multispectral image's bands and a tile's size "
                     "are known to tell apart: the fused image may be far off. Leave their number empty, or lower it.",
                     terms=rank, most=most)

    def _rank(self, job, ready, most):
        wanted = job.value(self.rank)
        return ready if wanted is None else min(wanted, most)

    def method(self, job):
        from ...algorithms.fusion.stereo import default_rank, largest, stereo

        def method(pair, start, callback):
            return stereo(pair, self._rank(job, default_rank(pair), largest(pair)), balance=job.value(self.balance),
                          iterations=job.value(self.iterations), tolerance=job.value(self.tolerance),
                          seed=job.value(self.seed), callback=callback)
        return method
