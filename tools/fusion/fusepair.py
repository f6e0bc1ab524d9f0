"""The tool `fusepair`."""

from dataclasses import replace

from ...engine.declare import Choice, Flag, Integer, NumberOutput
from . import _fusion, _pairs
from .. import _shared

CHANGED = 0.08     # relative change from which BTD-Var fuses better (benchmarks/fusion_change.py)
MOST, FEWEST = 10, 3     # materials that are looked for where none are asked for
SUBSPACE = 10      # dimension of HySure's subspace
TERMS = 6          # of BTD-Var
ITERATIONS = {"HySure": 200, "BTD-Var": 20}
SHIFT = 0.1        # MSI pixels of shift that are worth correcting


class FusePair(_fusion.FusionTool):
    """Fused image, with fractions of its materials, by the method and settings that suit the pair of images.

    It estimates how far the two images are shifted against each other, and corrects that; how wide the hyperspectral
    sensor's point spread function is; and how much the ground changed between the two dates. A pair with little change
    is fused by HySure; one with more by BTD-Var, whose spectra may differ between the dates. The materials are then
    unmixed in the fused image by fully constrained least squares. It shows the hyperspectral image's date either way.

    What was found and chosen stands in the log and in the report."""

    id = "fusepair"
    label = "Fuse a pair (recommended settings)"
    tags = (*_fusion.FusionTool.tags, "HySure", "BTD-Var", "unmixing", "abundance", "registration", "automatic")
    citation = ("Simoes, Bioucas-Dias, Almeida and Chanussot, IEEE TGRS 53(6), 2015 (HySure); Prévost, Borsoi, "
                "Usevich, Brie, Bermudez and Richard, 2021 (BTD-Var)")
    prefer = ("Take it first: it aligns the images and chooses method and ranks. Take a method's own tool to set all "
              "of its parameters, or to compare methods.")
    doi = ("10.1109/TGRS.2014.2375320", "10.1137/21M1409354")

    change = Choice("CHANGE", "Did the ground change between the two dates?", default="auto", options={
        "auto": "Judge from the images", "no": "No, or hardly", "yes": "Yes"}, help="Decides on the method: without "
        "change HySure, with change BTD-Var. Judged from the images, it is a change where what the two images show "
        "of the same ground differs by more than 8 %. Default auto.")
    count = Integer("COUNT", "Number of endmembers", optional=True, minimum=2, within_bands_of="HSI",
                    help="How many materials to unmix: at least 2, at most the number of bands of the hyperspectral "
                    "image. Empty: as many as HySime estimates, but from 3 to 10.")
    register = Flag("REGISTER", "Correct a shift between the images", default=True, help="Take the hyperspectral "
                    "image's pixels where its content says that they lie, up to two of them away from where its "
                    "georeference does. Nothing is resampled. Default yes.")
    seed = _shared.SEED
    abundances, endmembers, variability = _fusion.ABUNDANCES, _fusion.ENDMEMBERS, replace(
        _fusion.VARIABILITY, create=False, help=f"{_fusion.VARIABILITY.help} Where no change was found it is 0.")
    psf_width = replace(_pairs.PSF_WIDTH, help="Full width at half maximum of the Gaussian, or side of the square, in "
                        "pixels of the hyperspectral image. Empty: as the image's metadata tell, where waldpair made "
                        "it, else as estimated from the pair, or 1 where that fails.")
    rank = replace(_shared.RANK, help="How many materials were found.")
    relative_change = NumberOutput("CHANGED", "Relative change", help="Root mean square difference of what the two "
                                   "images show of the same ground, in the multispectral bands, relative to the "
                                   "hyperspectral image: 0.1 is ten per cent. Noise and errors of the response count.")
    width = NumberOutput("WIDTH", "Width of the point spread function (HSI pixels)", help="Full width at half maximum, "
                         "as it was used: given, noted in the metadata, or estimated from the pair.")
    down = NumberOutput("SHIFTDOWN", "Shift down (MSI pixels)", help="How much further down the rows the hyperspectral "
                        "image's content lies than its georeference says, as found.")
    across = NumberOutput("SHIFTACROSS", "Shift across (MSI pixels)", help="The same along the columns, to the right.")
    example = {**_fusion.FusionTool.example, "COUNT": 3}
    numbers = 150

    def prepared(self, job, paired, P3):
        from dataclasses import replace

        import numpy as np
        unit = _pairs.unit_of(job, P3, *paired.survey(), quiet=True)
        coarse, fine, rows, columns, usable = _pairs.middle(paired)
        fine = fine / unit
        psfs, known = _pairs.psf_of(job, paired.hsi, paired, self.psf, self.psf_width)
        blur = self._blur(job, coarse, fine, P3, rows, columns, usable)
        if blur and not known:
            psfs = self._estimated_psfs(job, paired, blur)
        shift = blur.shift if blur else (0.0, 0.0)
        job.give_number(self.down, shift[0])
        job.give_number(self.across, shift[1])
        if max(map(abs, shift)) > SHIFT:
            words = "The hyperspectral image lies {down} MSI pixels further down and {across} further right than its " \
                    "georeference says"
            found = dict(down=f"{shift[0]:.2f}", across=f"{shift[1]:.2f}")
            if job.value(self.register):
                job.say(words + "; that is corrected.", **found)
                paired = replace(paired, rows=paired.rows + shift[0], columns=paired.columns + shift[1])
                rows, columns = rows + shift[0], columns + shift[1]
            else:
                job.warn(words + "; that is not corrected. Set REGISTER, or register the images.", **found)
        self._choose(job, paired, np.tensordot(P3, coarse, 1), fine, rows, columns, psfs, usable)
        return paired, psfs

    def _blur(self, job, coarse, fine, P3, rows, columns, usable):
        """Blur and shift as the pair tells them; None, with a warning, where they are not to be believed."""
        from ...algorithms.fusion.response import estimate_blur
        try:
            blur = estimate_blur(coarse, fine, P3, rows, columns, usable)
        except ValueError as error:
            job.warn("Shift and blur are taken from georeference and parameters: {reason}.", reason=str(error))
            return None
        if blur.misfit < _pairs.POOR and not blur.at_bound:
            return blur
        job.warn("The two images hardly show the same ({percent} % of the hyperspectral image's variation is not "
                 "explained), or lie far from where their georeference says: shift and blur are taken from "
                 "georeference and parameters. Check that the images belong together.",
                 percent=round(100 * min(blur.misfit, 1)))
        return None

    def _estimated_psfs(self, job, paired, blur):
        from ...algorithms.fusion.degradation import Gaussian
        job.say("The point spread function is {down} HSI pixels wide along columns and {across} along rows, as the "
                "images tell.", down=f"{blur.width[0]:.2f}", across=f"{blur.width[1]:.2f}")
        return tuple(Gaussian.of_width(width * ratio) for width, ratio in zip(blur.width, paired.ratio))

    def _choose(self, job, paired, seen, fine, rows, columns, psfs, usable):
        """Method and ranks, by what the images show of the same ground."""
        import numpy as np

        from ...algorithms.fusion.degradation import degradation
        from ...algorithms.fusion.pair import both
        degraded = both(*(degradation(size, centres, psf) for size, centres, psf in
                          zip(fine.shape[1:], (rows, columns), psfs)), fine)
        usable = usable if usable.any() else np.ones_like(usable)
        gap = np.square(seen - degraded)[:, usable].sum(axis=1) / np.maximum(np.square(seen)[:, usable].sum(axis=1),
                                                                             1e-300)
        self._change = float(np.sqrt(gap.mean()))
        choice = job.value(self.change)
        self._changed = choice == "yes" or choice == "auto" and self._change > CHANGED
        self._method = "BTD-Var" if self._changed else "HySure"
        self.low_rank = self._changed
        self._count = job.value(self.count) or self._estimated(job, paired)
        job.give_number(self.relative_change, self._change)
        job.give_number(self.width, float(np.mean([psf.width / ratio for psf, ratio in zip(psfs, paired.ratio)])))
        job.say("What the images show of the same ground differs by {percent} %: they are fused {how}, by {method}.",
                percent=f"{100 * self._change:.1f}", method=self._method,
                how="as changed" if self._changed else "as unchanged")

    def _estimated(self, job, paired):
        """As many materials as HySime finds in the HSI, within limits."""
        from ...algorithms.pixels import moments
        from ...algorithms.prepare.noise import regression_noise
        from ...algorithms.rank.hysime import hysime
        found = moments(paired.survey()[0])
        rank = hysime(found, regression_noise(found)).rank
        return min(max(rank, FEWEST), MOST, paired.hsi.L)

    def start(self, job, Y):
        """The materials, and a basis for HySure."""
        from ...algorithms.fusion.start import explaining, spanning
        materials = explaining(Y, self._count, job.value(self.seed))
        if materials.shape[1] < self._count:
            job.warn("Only {found} of {wanted} materials can be told apart in this scene.", found=materials.shape[1],
                     wanted=self._count)
        self._count = materials.shape[1]
        job.give_number(self.rank, self._count)
        return materials, None if self._changed else spanning(Y, SUBSPACE, job.value(self.seed))

    def limit(self, job):
        return ITERATIONS[self._method]

    def method(self, job):
        from dataclasses import replace

        import numpy as np

        from ...algorithms.abundances.active_set import minimise
        from ...algorithms.fusion.btdvar import btdvar
        from ...algorithms.fusion.hysure import hysure
        from ...algorithms.fusion.ll1 import map_rank

        def method(pair, start, callback):
            M, basis = start
            if self._changed:
                R = min(TERMS, pair.K)
                found = btdvar(pair, R, map_rank(pair, R), iterations=self.limit(job), seed=job.value(self.seed),
                               callback=callback)
            else:
                found = replace(hysure(pair, start=basis, iterations=self.limit(job), callback=callback),
                                variability=np.zeros(pair.msi.shape))
            X = found.coefficients.reshape(len(found.coefficients), -1)
            A = minimise(M.T @ M, (M.T @ found.basis) @ X, sum_to_one=True)
            return replace(found, endmembers=M, changed_endmembers=None,
                           abundances=A.reshape(-1, *pair.msi.shape[1:]))
        return method

    def preface(self, job, report):
        report.heading("What was found, and chosen")
        numbers = job.result["numbers"]
        report.table(["", ""], [
            ["Method", self._method], ["Relative change between the dates", self._change],
            ["Change from which BTD-Var is taken", CHANGED], ["Materials", self._count],
            ["Width of the point spread function (HSI pixels)", numbers[self.width.name]],
            ["Shift down (MSI pixels)", numbers[self.down.name]],
            ["Shift across (MSI pixels)", numbers[self.across.name]]])
