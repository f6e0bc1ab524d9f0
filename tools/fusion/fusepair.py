"""The tool `fusepair`."""

from dataclasses import replace

from ...engine.declare import Choice, Flag, Integer, NumberOutput
from . import _fusion, _pairs
from .. import _shared

CHANGED = 0.15     # relative change from which a method that allows for it fuses better (benchmarks/fusion_change.md)
MOST, FEWEST = 10, 3     # materials that are looked for where none are asked for
SUBSPACE = 10      # dimension of HySure's subspace
SHIFT = 0.1        # MSI pixels of shift that are worth correcting
POOR = 0.5         # misfit of the blur from which it is not believed


class FusePair(_fusion.FusionTool):
    """One door to fusion: checks the pair, chooses method and ranks, and gives the fused image with its materials.

    It estimates how far the two images are shifted against each other, and corrects that; how wide the hyperspectral
    sensor's point spread function is; and how much the ground changed between the two dates. A pair with little change
    is fused by HySure, and its materials are then unmixed in the fused image by fully constrained least squares; a pair
    with more by CNN-BTD-Var, which fuses and unmixes at once and gives each material a spectrum for each date. The
    fused image shows the hyperspectral image's date either way.

    What was found and chosen stands in the log and in the report. Each method is a tool of its own, with all its
    parameters."""

    id = "fusepair"
    label = "Fuse a pair (recommended settings)"
    tags = (*_fusion.FusionTool.tags, "HySure", "CNN-BTD-Var", "unmixing", "abundance", "registration", "automatic")
    citation = ("Simoes, Bioucas-Dias, Almeida and Chanussot, IEEE TGRS 53(6), 2015 (HySure); Prévost, Borsoi, "
                "Usevich, Brie, Bermudez and Richard, 2021 (CNN-BTD-Var)")

    change = Choice("CHANGE", "Did the ground change between the two dates?", default="auto", options={
        "auto": "Judge from the images", "no": "No, or hardly", "yes": "Yes"}, help="Decides on the method: without "
        "change HySure, with change CNN-BTD-Var. Judged from the images, it is a change where what the two images show "
        "of the same ground differs by more than 15 %. Default auto.")
    count = Integer("COUNT", "Number of endmembers", optional=True, minimum=2, within_bands_of="HSI",
                    help="How many materials to unmix: at least 2, at most the number of bands of the hyperspectral "
                    "image. Empty: as many as HySime estimates, but from 3 to 10.")
    register = Flag("REGISTER", "Correct a shift between the images", default=True, help="Take the hyperspectral "
                    "image's pixels where its content says that they lie, up to two of them away from where its "
                    "georeference does. Nothing is resampled. Default yes.")
    seed = _shared.SEED
    abundances, endmembers, variability = _fusion.ABUNDANCES, _fusion.ENDMEMBERS, replace(
        _fusion.VARIABILITY, create=False, help=f"{_fusion.VARIABILITY.help} Where no change was found it is 0.")
    msi_endmembers = None
    rank = _shared.RANK
    relative_change = NumberOutput("CHANGED", "Relative change", help="Root mean square difference of what the two "
                                   "images show of the same ground, in the multispectral bands, relative to the "
                                   "hyperspectral image: 0.1 is ten per cent. Noise and errors of the response count.")
    width = NumberOutput("WIDTH", "Width of the point spread function (HSI pixels)", help="As used.")
    down = NumberOutput("SHIFTDOWN", "Shift down (MSI pixels)", help="How much further down the rows the hyperspectral "
                        "image's content lies than its georeference says, as found.")
    across = NumberOutput("SHIFTACROSS", "Shift across (MSI pixels)", help="The same along the columns, to the right.")
    example = {**_fusion.FusionTool.example, "COUNT": 3}
    from_materials, numbers = True, 150

    def prepared(self, job, paired, P3):
        from dataclasses import replace

        import numpy as np

        from ...algorithms.fusion.response import estimate_blur
        coarse, fine, rows, columns = _pairs.middle(paired)
        unit = _pairs.unit_of(job, P3, *paired.survey, quiet=True)
        blur = estimate_blur(coarse, fine / unit, P3, rows, columns)
        believed = blur.misfit < POOR
        if not believed:
            job.warn("The two images hardly show the same ({percent} % of the hyperspectral image's variation is not "
                     "explained): shift and blur are taken from georeference and parameters. Check that they belong "
                     "together.", percent=round(100 * min(blur.misfit, 1)))
        _, psfs = super().prepared(job, paired, P3)
        if believed:
            psfs = self._psfs(job, paired, blur, psfs)
        job.give_number(self.down, blur.shift[0] if believed else 0.0)
        job.give_number(self.across, blur.shift[1] if believed else 0.0)
        if believed and max(map(abs, blur.shift)) > SHIFT:
            words = "The hyperspectral image lies {down} MSI pixels further down and {across} further right than its " \
                    "georeference says"
            shift = dict(down=f"{blur.shift[0]:.2f}", across=f"{blur.shift[1]:.2f}")
            if job.value(self.register):
                job.say(words + "; that is corrected.", **shift)
                paired = replace(paired, rows=paired.rows + blur.shift[0], columns=paired.columns + blur.shift[1])
                rows, columns = rows + blur.shift[0], columns + blur.shift[1]
            else:
                job.warn(words + "; that is not corrected.", **shift)
        self._choose(job, paired, np.tensordot(P3, coarse, 1), fine / unit, rows, columns, psfs)
        return paired, psfs

    def _psfs(self, job, paired, blur, psfs):
        """The estimated point spread function, where none is given."""
        from ...algorithms.fusion.degradation import Gaussian
        if job.value(self.psf_width) is not None or job.value(self.psf) != "gaussian":
            return psfs
        job.say("The point spread function is {down} HSI pixels wide along columns and {across} along rows, as the "
                "images tell.", down=f"{blur.width[0]:.2f}", across=f"{blur.width[1]:.2f}")
        return tuple(Gaussian.of_width(width * ratio) for width, ratio in zip(blur.width, paired.ratio))

    def _choose(self, job, paired, seen, fine, rows, columns, psfs):
        """Method and ranks, by what the images show of the same ground."""
        import numpy as np

        from ...algorithms.fusion.degradation import degradation
        from ...algorithms.fusion.pair import both
        degraded = both(*(degradation(size, centres, psf) for size, centres, psf in
                          zip(fine.shape[1:], (rows, columns), psfs)), fine)
        gap = np.square(seen - degraded).sum(axis=(1, 2)) / np.maximum(np.square(seen).sum(axis=(1, 2)), 1e-300)
        self._change = float(np.sqrt(gap.mean()))
        choice = job.value(self.change)
        self._changed = choice == "yes" or choice == "auto" and self._change > CHANGED
        self._method = "CNN-BTD-Var" if self._changed else "HySure"
        self.low_rank = self._changed
        self._count = job.value(self.count) or self._estimated(job, paired)
        job.give_number(self.rank, self._count)
        job.give_number(self.relative_change, self._change)
        job.give_number(self.width, float(np.mean([psf.width / ratio for psf, ratio in zip(psfs, paired.ratio)])))
        job.say("What the images show of the same ground differs by {percent} %: they are fused {how}, by {method}, "
                "with {count} materials.", percent=f"{100 * self._change:.1f}", method=self._method, count=self._count,
                how="as changed" if self._changed else "as unchanged")

    def _estimated(self, job, paired):
        """As many materials as HySime finds in the HSI, within limits."""
        from ...algorithms.pixels import moments
        from ...algorithms.prepare.noise import regression_noise
        from ...algorithms.rank.hysime import hysime
        found = moments(paired.survey[0])
        rank = hysime(found, regression_noise(found)).rank
        return min(max(rank, FEWEST), MOST, paired.hsi.L)

    def materials(self, job):
        return self._count

    def limit(self, job):
        return 200

    def method(self, job):
        return self._with_change(job) if self._changed else self._without_change(job)

    def _with_change(self, job):
        from ...algorithms.fusion.cnnbtdvar import cnnbtdvar
        map_rank = lambda pair, R: 16

        def method(pair, start, callback):
            return cnnbtdvar(pair, start.shape[1], map_rank(pair, start.shape[1]), seed=job.value(self.seed),
                             start=start, callback=callback)
        return method

    def _without_change(self, job):
        from dataclasses import replace

        import numpy as np

        from ...algorithms.abundances.active_set import minimise
        from ...algorithms.fusion.hysure import hysure

        def method(pair, start, callback):
            found = hysure(pair, min(SUBSPACE, pair.K), seed=job.value(self.seed), callback=callback)
            X = found.coefficients.reshape(len(found.coefficients), -1)
            A = minimise(start.T @ start, (start.T @ found.basis) @ X, sum_to_one=True)
            return replace(found, endmembers=start, abundances=A.reshape(-1, *pair.msi.shape[1:]),
                           variability=np.zeros(pair.msi.shape))
        return method

    def figures(self, job, report, whole):
        report.heading("What was found, and chosen")
        numbers = job.result["numbers"]
        report.table(["", ""], [
            ["Method", self._method], ["Relative change between the dates", self._change],
            ["Change from which CNN-BTD-Var is taken", CHANGED], ["Materials", self._count],
            ["Width of the point spread function (HSI pixels)", numbers[self.width.name]],
            ["Shift down (MSI pixels)", numbers[self.down.name]],
            ["Shift across (MSI pixels)", numbers[self.across.name]]])
