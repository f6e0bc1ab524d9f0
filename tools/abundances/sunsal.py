"""The tool `sunsal`."""

from dataclasses import replace

from ...engine.declare import Choice, Flag, Real
from .. import _shared
from ._sparse import SparseTool, Tally, absolute, sparse, weight
from ._unmix import sampled, write


class SparseUnmixing(SparseTool):
    """Fractions of the spectra of a library, few of which are in each pixel: sparse unmixing (SUnSAL, SUnSAL-TV).

    Every pixel is explained by a nonnegative mixture of library spectra, and the sum of fractions is charged for, so
    that spectra which hardly help are not used. The library may hold many spectra, also more than the image has bands.
    Without sparsity it is nonnegative least squares, and with the sum to one fully constrained least squares; those
    tools are faster then. The answer is exact in every pixel that settles.

    With total variation the fractions of neighbours are drawn to each other: maps become even in patches with sharp
    edges, which helps where the image is noisy. That takes the whole scene into memory; otherwise it is read block by
    block."""

    id = "sunsal"
    label = "Sparse unmixing (SUnSAL)"
    tags = (*SparseTool.tags, "SUnSAL", "SUnSAL-TV", "total variation", "ADMM", "spatial")
    citation = ("Bioucas-Dias and Figueiredo, Alternating direction algorithms for constrained sparse regression, "
                "WHISPERS 2010; total variation: Iordache, Bioucas-Dias and Plaza, IEEE TGRS 50(11), 2012")
    prefer = ("Take it for a library, of which a pixel holds few spectra, and with total variation for noisy images. "
              "With few endmembers, all of them in the scene, take FCLS; for many images with one library, LISTA is "
              "faster.")
    doi = ("10.1109/WHISPERS.2010.5594963", "10.1109/TGRS.2012.2191590")

    weight = replace(weight(0.0), help=weight(0.0).help + " Without effect with the sum to one.")
    sums = Flag("SUMTOONE", "Fractions sum to one", default=False, help="Whether the fractions of every pixel sum to "
                "one. Their sum cannot be charged for then, so that the sparsity has no effect. Default no.")
    variation = Real("TV", "Total variation", default=0.0, minimum=0.0, maximum=1000.0, help="Weight of the "
                     "differences between the fractions of neighbouring pixels, in the unit of the sparsity: larger "
                     "makes maps more even, 0 to 1000. 0 (the default) leaves every pixel to itself; 0.001 to 0.05 is "
                     "usual.")
    kind = Choice("TVKIND", "Kind of total variation", default="anisotropic", advanced=True, options={
        "anisotropic": "Along rows and columns by themselves", "isotropic": "Along the steepest slope"},
        help="What is added up: absolute differences along rows and along columns, as published, which favours edges "
             "along the grid; or the root of the sum of both squares. Default anisotropic. Only with total variation.")
    iterations = _shared.iterations(5000)
    example = {**SparseTool.example, "TV": 0.005}

    def run(self, job):
        from functools import partial

        from ...algorithms.abundances.sunsal import EVERY, sunsal
        if job.value(self.sums) and job.value(self.weight) > 0:
            job.say("The fractions sum to one, so that the sparsity (LAMBDA) has no effect.")
        if job.value(self.variation) > 0:
            return self._with_variation(job)
        tally = Tally(EVERY, EVERY)
        sparse(self, job, partial(sunsal, sum_to_one=job.value(self.sums), iterations=job.value(self.iterations)),
               tally)
        tally.warn(job)

    def _with_variation(self, job):
        import numpy as np
        from rasterio.windows import Window

        from ...algorithms.abundances.sparse import check_library
        from ...algorithms.abundances.sunsaltv import EVERY, NUMBERS, sunsaltv
        from ...engine.memory import need
        scene, spectra = job.scene(self.image), job.spectra(self.endmembers)
        M = spectra.to_scene(scene, job.say)
        check_library(M, spectra.names)
        N = scene.width * scene.height
        need(N * (8 * scene.L + 8 * NUMBERS * spectra.P), "Clip the raster, choose fewer spectra, or set the total "
             "variation (TV) to 0: then the scene is read block by block.")
        job.passes(2)
        found, positions = scene.everything(job.progress)
        if not len(positions):
            _shared.nothing_valid(scene)
        Y, valid = np.zeros((scene.L, N), dtype=np.float32), np.zeros(N, dtype=bool)
        Y[:, positions], valid[positions] = found, True
        del found
        limit, tally = job.value(self.iterations), Tally(EVERY, EVERY)
        fit = sunsaltv(Y, M, (scene.height, scene.width), absolute(job, self.weight, M),
                       absolute(job, self.variation, M), valid, isotropic=job.value(self.kind) == "isotropic",
                       sum_to_one=job.value(self.sums), iterations=limit,
                       callback=lambda iteration, cost: job.progress(iteration, limit + 1))
        job.progress(1, 1)
        fit = replace(fit, A=fit.A[:, valid], rmse=fit.rmse[valid], angle=fit.angle[valid], settled=fit.settled[valid])
        write(self, job, scene, spectra, M, [(Window(0, 0, scene.width, scene.height),
                                              (fit, valid, sampled(Y[:, valid])))], tally=tally)
        tally.warn(job)
