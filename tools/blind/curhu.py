"""The tool `curhu`."""

from ...engine.declare import Choice, Flag, Group, Integer, Tool
from .. import _shared
from ..rank.hysime import add_hysime
from ..rank.iqr import TOLERANCE


class CURUnmixing(Tool):
    """Number of materials, their spectra and how much of each is in every pixel, from the image alone.

    CUR-HU picks the most informative pixels of the scene as endmembers and its most informative bands, and gets the
    abundances from those bands by one small matrix. Nothing is random: the same image always gives the same result.

    The number of endmembers is estimated (HySime) where it is given as 0. It needs pixels that are nearly pure. Its
    abundances come from a few bands, as published; for least-squares fractions run FCLS on its endmembers."""

    id = "curhu"
    label = "CUR-HU blind unmixing"
    group = Group.BLIND
    tags = ("blind unmixing", "unsupervised", "sub-pixel", "CUR decomposition", "DEIM", "endmember extraction",
            "endmembers", "abundances", "fractions", "number of endmembers", "CUR-HU")
    citation = ("Abdelgawad, Cheung and Yan, Efficient Blind Hyperspectral Unmixing Framework Based on CUR "
                "Decomposition (CUR-HU), Remote Sensing 16(5), 2024, Algorithm 2")
    prefer = ("Take it first where some pixels are nearly pure, and where a scene is too large for memory: it is 3 to "
              "more than 100 times faster than the other blind methods. Where everything is mixed take Minimum-volume "
              "NMF or BMDR-ADMM.")
    doi = ("10.3390/rs16050766",)

    image = _shared.INPUT
    count = Integer("COUNT", "Number of endmembers (0: estimate)", default=0, minimum=0, within_bands_of="INPUT",
                    help="How many materials to look for, from 2 up to the number of bands; 0 estimates it from the "
                         "image. Default 0.")
    rank_method = Choice("RANKMETHOD", "Estimate the number by", default="hysime", options={
        "hysime": "HySime (signal subspace)", "iqr": "Incremental QR (as published)"},
        help="How the number is estimated where it is 0. The published incremental QR gives far too many on real "
             "scenes at its tolerances. Default hysime.")
    tolerance = TOLERANCE
    bands = _shared.BANDS
    vectors = Choice("VECTORS", "Singular vectors", default="exact", advanced=True, options={
        "exact": "Exact", "iqr": "By incremental QR (as published)"},
        help="The vectors that pixels and bands are chosen from: exact, or by an incremental QR, which depends on the "
             "order of the pixels and keeps many more numbers in memory. Default exact.")
    denoise = Flag("DENOISE", "Remove noise first", default=True, advanced=True, help="Subtract the noise that a "
                   "regression of each band on all others finds. Default yes.")
    middle = Choice("MIDDLE", "Middle matrix U", default="optimal", advanced=True, options={
        "optimal": "Optimal (eq. 20)", "intersection": "Inverse of the intersection"},
        help="The matrix between the chosen pixels and bands: the one with the smallest error, or the inverse of where "
             "they cross. Default optimal.")
    constraints = Choice("CONSTRAINTS", "Constraints on abundances", default="anc+asc", advanced=True, options={
        "none": "None", "anc": "Nonnegative", "anc+asc": "Nonnegative, sum to one"},
        help="What is imposed on the abundances, by setting negative ones to zero and dividing by the sum, as "
             "published. Default anc+asc.")
    abundances, endmembers = _shared.ABUNDANCES, _shared.FOUND
    rank, rmse, report = _shared.RANK, _shared.RMSE, _shared.REPORT
    example = {"INPUT": "scene", "COUNT": 3}

    def run(self, job):
        import numpy as np

        from ...algorithms.blind.curhu import curhu
        from ...algorithms.pixels import moments
        from ...engine.memory import need
        from ...engine.sentences import UserError
        from ...engine.spectra import of_scene
        given, method, by_iqr = job.value(self.count), job.value(self.rank_method), job.value(self.vectors) == "iqr"
        if given == 1:
            raise UserError("The number of endmembers is 1; unmixing needs at least 2, or 0 to estimate it.")
        job.passes(4 if given or method == "hysime" else 5)
        scene = job.scene(self.image)
        pixels = scene.pixels(rows=by_iqr or method == "iqr", progress=job.progress)
        found = moments(pixels)
        count, estimate = (given, None) if given else self._estimate(job, pixels, found)
        need(8 * found.N * (2 * scene.L if by_iqr else count),
             "Ask for fewer endmembers, use exact singular vectors, or clip the raster.")
        result = curhu(pixels, count, moments=found, denoise=job.value(self.denoise),
                       singular_vectors=job.value(self.vectors), tol=job.value(self.tolerance),
                       middle=job.value(self.middle), constraints=job.value(self.constraints))
        positions = [pixels.locate(index) for index in result.pixels]
        spectra = of_scene(scene, result.C, _shared.numbered(count),
                           [_shared.pixel_source(scene, *at) for at in positions], positions)
        rmse, mean = self._write_abundances(job, scene, result, spectra.names, found.N)
        strength = float(np.sqrt(np.trace(found.R) / scene.L))
        job.say("Reconstruction RMSE: {percent} % of the signal. These abundances come from a few bands; for "
                "least-squares fractions run FCLS on these endmembers.", percent=f"{100 * rmse / strength:.1f}")
        job.give_spectra(self.endmembers, spectra, scene)
        job.give_number(self.rank, count)
        job.give_number(self.rmse, rmse)
        report = job.report(self.report)
        if report:
            report.numbers(Endmembers=count, Bands=scene.L, Pixels=found.N, RMSE=rmse)
            report.spectra(spectra)
            report.heading("Endmembers")
            report.table(["Endmember", "Mean fraction", "Row", "Column", "Band chosen with it"],
                         [(name, share, *at, scene.band_names[band]) for name, share, at, band in
                          zip(spectra.names, mean, positions, result.bands)])
            _shared.add_composite(job, report, self.abundances, spectra.names)
            if estimate is not None:
                report.heading("How the number was estimated")
                add_hysime(report, estimate, found.N)
            job.give_report(self.report, report)

    def _estimate(self, job, pixels, found):
        """The number of endmembers by the chosen method, and HySime's result where it was that."""
        from ...algorithms.pixels import blocks
        from ...algorithms.prepare.noise import regression_noise
        from ...algorithms.rank.hysime import hysime
        from ...algorithms.rank.iqr import iqr
        from ...engine.sentences import UserError
        if job.value(self.rank_method) == "hysime":
            estimate = hysime(found, regression_noise(found))
            count = estimate.rank
        else:
            estimate, noise = None, regression_noise(found) if job.value(self.denoise) else None
            count = iqr((noise.denoise(part) if noise else part for block in pixels for part in blocks(block)),
                        job.value(self.tolerance)).rank
        job.say("Estimated number of endmembers: {count}.", count=count)
        if count < 2:
            raise UserError("{count} endmembers were estimated, and unmixing needs at least 2: the image looks like "
                            "one material or noise alone. Give the number of endmembers yourself.", count=count)
        return count, estimate

    def _write_abundances(self, job, scene, result, names, pixels):
        """Write the abundances block by block. Returns the reconstruction's RMSE and each endmember's mean fraction."""
        import numpy as np

        def block(Y, valid):
            Y = (Y if valid.all() else Y[:, valid]).astype(np.float64)
            S = result.abundances(Y)
            known = np.isfinite(S).all(axis=0)
            error = np.square(Y[:, known] - result.C @ S[:, known]).sum()
            return S, valid, error, known.sum(), S[:, known].sum(axis=1)

        squares = count = total = 0.0
        with job.raster(self.abundances, scene, names) as file:
            for window, (S, valid, error, known, sums) in scene.map_blocks(block, progress=job.progress):
                file.write(window, S, valid)
                squares, count, total = squares + error, count + known, total + sums
        if count < pixels:
            job.warn("{count} pixels have no fractions, since no endmember explains them: they are nodata.",
                     count=int(pixels - count))
        return float(np.sqrt(squares / max(count * scene.L, 1))), total / max(count, 1)
