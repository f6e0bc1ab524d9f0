"""What the tools share that tell wanted materials from their background: spectra, a first look, what they write."""

import contextlib
from dataclasses import dataclass, replace

from ...engine.declare import (FieldInput, Flag, Group, Integer, RasterOutput, SpectraInput, SpectraOutput, Style,
                               Tool)
from .. import _shared

SAMPLE = 10000   # pixels, about, that a background is learned from
SHOWN = 6        # wanted materials at most of which a report shows a pixel
BACKGROUND = "background"


@dataclass(frozen=True)
class Dictionary:
    """
    Spectra of the wanted materials and of their background, on the used bands of a scene.

    Attributes
    ----------
    names : list of str
        Of the spectra, the wanted ones first.
    W : ndarray (L, r)
    source : ndarray (r,) of int
        Number of each spectrum's source in `sources`.
    sources : list of str
        The wanted materials; the background is one more, after them.
    """

    names: list
    W: object
    source: object
    sources: list

    @property
    def wanted(self):
        """How many of the spectra are wanted ones."""
        return int((self.source < len(self.sources)).sum())

    @property
    def all_sources(self):
        """Names of the sources, with that of the background."""
        return [*self.sources, BACKGROUND]

    def with_background(self, WN, names):
        """The same with spectra (L, R) of a background."""
        import numpy as np
        return Dictionary(self.names + list(names), np.column_stack([self.W, WN]),
                          np.r_[self.source, np.full(WN.shape[1], len(self.sources))], self.sources)

    def by_source(self, H):
        """Sums of the weights H (r, n) of each wanted material's spectra."""
        import numpy as np
        return np.stack([H[self.source == number].sum(axis=0) for number in range(len(self.sources))])


class SeparationTool(Tool):
    """How much of each wanted material, and the scene that they make, without their background."""

    group = Group.SEPARATION
    tags = ("source separation", "Wiener filter", "NMF", "nonnegative matrix factorization", "target", "background",
            "abundances", "fractions", "sub-pixel")
    image = _shared.INPUT
    wanted = SpectraInput("WANTED", "Wanted spectra", raster="INPUT", bundle=True, help="Layer with the spectra of the "
                          "materials that are looked for, in the raster's units, at least 0. They are matched to the "
                          "raster's bands by wavelength, or by number where there are no wavelengths.")
    field = FieldInput("MATERIALFIELD", "Field of materials", layer="WANTED", default="name", optional=True,
                       help="Field of the wanted spectra that names each one's material: spectra of the same material "
                            "count together. Default name: each by itself.")
    background = SpectraInput("BACKGROUND", "Background spectra", raster="INPUT", bundle=True, optional=True,
                              help="Layer with the spectra of everything else, in the raster's units. None: they are "
                                   "learned from the scene.")
    count = Integer("COUNT", "Background spectra to learn", default=6, minimum=1, maximum=1000, help="How many spectra "
                    "of a background are learned from the scene where none are given, 1 to 1000. Too few leave "
                    "background to the wanted materials, which is worse than one or two too many. Default 6.")
    learning = Integer("LEARNING", "Iterations of learning the background", default=10, minimum=0, maximum=100000,
                       advanced=True, help="The background's spectra are at first pixels that the wanted ones explain "
                       "worst, and then improved so often, 0 to 100000: more follows the scene more closely, against "
                       "noise, but also takes more of the wanted materials. Default 10.")
    clip = Flag("CLIP", "Clip negative values", default=False, help="The method needs values of at least 0: those "
                "below (dark pixels after atmospheric correction) become 0, in the scene and the spectra. Otherwise "
                "they end the run, which says how many there are. Default no.")
    bands = _shared.BANDS
    filtered = RasterOutput("FILTERED", "Scene of the wanted materials", style=Style.SPECTRAL, optional=False,
                            help="Raster with the used bands of the scene: what the wanted materials have given of "
                                 "each value, between 0 and the value itself, in input units. Nodata is -9999.")
    abundances = replace(_shared.ABUNDANCES, optional=True, help="Raster with a band per wanted material, named after "
                         "it: how many times its spectrum is in the pixel, 0 or more, summed over the material's "
                         "spectra. 1 is a pixel as bright as the spectrum. Abundances do not sum to one. Nodata is "
                         "-9999.")
    spectra = SpectraOutput("BACKGROUNDSPECTRA", "Spectra of the background", create=False, help="Layer with the "
                            "background's spectra as they were used: those given, or those learned, of which the "
                            "largest value is that of the wanted spectra.")
    rmse, report = _shared.RMSE, _shared.REPORT

    def read_dictionary(self, job, scene):
        """`Dictionary` of the wanted spectra, with the background's where they are given."""
        import numpy as np

        from ...algorithms.separation.wienerfilter import check_dictionary
        wanted, background = job.spectra(self.wanted), job.spectra(self.background)
        WS = wanted.to_scene(scene, job.say)
        if background is not None:
            WN = background.to_scene(scene, job.say)
            WS = wanted.to_scene(scene)
        materials = _shared.every_material(wanted, job.value(self.field), self.wanted.label)
        sources = list(dict.fromkeys(materials))
        found = Dictionary(wanted.names, WS, np.array([sources.index(name) for name in materials]), sources)
        if background is not None:
            found = found.with_background(WN, background.names)
        if job.value(self.clip):
            found = replace(found, W=np.maximum(found.W, 0))
        check_dictionary(found.W)
        return found

    def survey(self, job, scene, beta=1.0):
        """
        Go through the scene once: about 10,000 of its pixels (L, n), float32.

        Raises
        ------
        UserError
            Negative values that are not to be clipped, zeros for beta <= 0, or no valid pixel.
        """
        import numpy as np

        from ...engine.sentences import UserError
        step = max(1, scene.width * scene.height // SAMPLE)
        negative, zeros, total, least, sample = 0, 0, 0, 0.0, []

        def block(Y, valid):
            Y = Y if valid.all() else Y[:, valid]
            return (np.count_nonzero(Y < 0), np.count_nonzero(Y == 0), Y.size, float(Y.min(initial=0)),
                    Y[:, ::step].astype(np.float32))

        for _, (below, none, size, lowest, part) in scene.map_blocks(block, progress=job.progress):
            negative, zeros, total, least = negative + below, zeros + none, total + size, min(least, lowest)
            sample.append(part)
        if not total:
            _shared.nothing_valid(scene)
        if negative and not job.value(self.clip):
            raise UserError("{count} of {total} values are negative, the least {least}, and this method needs values "
                            "of at least 0. Tick Clip negative values (CLIP), or use data that are not negative.",
                            count=negative, total=total, least=f"{least:.6g}")
        if negative:
            job.say("{count} of {total} values are negative, the least {least}: they are set to 0.", count=negative,
                    total=total, least=f"{least:.6g}")
            zeros += negative
        if zeros and beta <= 0:
            raise UserError("{count} of {total} values are 0, for which the divergence of beta = {beta} is infinite. "
                            "Choose a beta above 0, or add a small offset to the raster.", count=zeros, total=total,
                            beta=f"{beta:g}")
        if zeros == total:
            raise UserError("All values of {path} are 0: there is nothing to separate. Choose another raster.",
                            path=scene.path)
        return np.maximum(np.concatenate(sample, axis=1), 0)

    def learn_background(self, job, dictionary, sample, beta=1.0):
        """The dictionary with a background learned from a sample of the scene's pixels."""
        from ...algorithms.separation.wienerfilter import background
        count = job.value(self.count)
        iterations = job.value(self.learning)
        found = background(sample, dictionary.W, count, beta=beta, iterations=iterations,
                           callback=lambda iteration, cost: job.progress(iteration, iterations + 1))
        job.progress(1, 1)
        job.say("{count} background spectra were learned from {pixels} pixels.", count=count, pixels=sample.shape[1])
        return dictionary.with_background(found.W, _shared.numbered(count, BACKGROUND))

    def write(self, job, scene, dictionary, separate, folder=None):
        """
        Separate the scene block by block, and give all but the report.

        Parameters
        ----------
        separate : callable(X (L, n) float32) -> (H (r, n), parts)
            Weights of the dictionary's spectra, and the scene that each source has given, (I, L, n), or only the first
            of them if there is no `folder`: that of all wanted ones.
        folder : FolderOutput, optional
            Where the sources' scenes go, if it is asked for.

        Returns
        -------
        Totals
        """
        import numpy as np

        from ...engine.spectra import of_scene
        totals, clip, W = Totals(len(dictionary.sources)), job.value(self.clip), dictionary.W.astype(np.float32)
        sources = dictionary.all_sources
        spectral = dict(wavelengths=scene.wavelengths, fwhm=scene.fwhm)
        several = folder is not None and job.wants(folder)

        def block(Y, valid):
            X = (Y if valid.all() else Y[:, valid]).astype(np.float32)
            X = np.maximum(X, 0) if clip else X
            H, parts = separate(X)
            return X, valid, H, parts, W @ H - X

        with contextlib.ExitStack() as files:
            filtered = files.enter_context(job.raster(self.filtered, scene, scene.band_names, **spectral))
            abundances = files.enter_context(job.raster(self.abundances, scene, dictionary.sources)) \
                if job.wants(self.abundances) else None
            scenes = [files.enter_context(job.folder_raster(folder, name, scene, scene.band_names, **spectral))
                      for name in sources] if several else []
            windows = scene.windows(bands=scene.count * (2 + len(sources)))
            for window, (X, valid, H, parts, error) in scene.map_blocks(block, windows, progress=job.progress):
                A = dictionary.by_source(H)
                wanted = parts[:len(dictionary.sources)].sum(axis=0)
                filtered.write(window, wanted, valid)
                if abundances:
                    abundances.write(window, A, valid)
                for file, part in zip(scenes, parts):
                    file.write(window, part, valid)
                totals.add(X, A, wanted, error)
        job.give_number(self.rmse, totals.rmse)
        names = dictionary.names[dictionary.wanted:]
        job.give_spectra(self.spectra, of_scene(scene, dictionary.W[:, dictionary.wanted:], names,
                                                [f"{self.label}, {_shared.raster_name(scene)}"] * len(names)))
        return totals

    def begin_report(self, job, scene, dictionary, totals, sample, separate):
        """A report with figures, abundances, spectra, and pixels before and after; None where none was asked for."""
        import numpy as np

        from ...engine.pictures import bands_of
        from ...engine.spectra import of_scene
        report = job.report(self.report)
        if report is None:
            return None
        report.numbers(Wanted_materials=len(dictionary.sources), Wanted_spectra=dictionary.wanted,
                       Background_spectra=dictionary.W.shape[1] - dictionary.wanted, Bands=scene.L,
                       Pixels=totals.pixels, RMSE=totals.rmse,
                       **{"Share_of_the_scene_that_is_wanted_(%)": 100 * totals.share})
        report.heading("Abundances")
        report.table(["Material", "Mean", "Standard deviation", "Largest"],
                     zip(dictionary.sources, totals.mean, totals.deviation, totals.largest))
        report.spectra(of_scene(scene, dictionary.W, dictionary.names), "Spectra of wanted materials and background")
        H, parts = separate(sample)
        A = dictionary.by_source(H)
        x, label = (scene.indexes, "Band") if scene.wavelengths is None else (scene.wavelengths, "Wavelength (nm)")
        for number, name in enumerate(dictionary.sources[:SHOWN]):
            pixel = int(np.argmax(A[number]))
            wanted = parts[:len(dictionary.sources), :, pixel].sum(axis=0)
            report.heading(f"A pixel with much {name}, before and after")
            report.curves(x, {"scene": sample[:, pixel], "wanted materials": wanted,
                              BACKGROUND: sample[:, pixel] - wanted}, label, "Value (raster's units)")
        if job.wants(self.abundances):
            names = dictionary.sources[:SHOWN]
            report.heading("Where they are")
            report.maps(dict(zip(names, bands_of(job.path(self.abundances), list(range(1, len(names) + 1)), 420))),
                        "Abundance")
        return report


class Totals:
    """Sums over the blocks: abundances of `count` materials, reconstruction error, how much is wanted."""

    def __init__(self, count):
        import numpy as np
        self.pixels, self.largest = 0, np.zeros(count)
        self._sums, self._squares = np.zeros(count), np.zeros(count)
        self._error = self._values = self._wanted = self._all = 0.0

    def add(self, X, A, wanted, error):
        import numpy as np
        self.pixels += A.shape[1]
        self.largest = np.maximum(self.largest, A.max(axis=1, initial=0))
        self._sums += A.sum(axis=1, dtype=np.float64)
        self._squares += np.square(A, dtype=np.float64).sum(axis=1)
        self._error += float(np.square(error, dtype=np.float64).sum())
        self._values += X.size
        self._wanted += float(wanted.sum(dtype=np.float64))
        self._all += float(X.sum(dtype=np.float64))

    @property
    def mean(self):
        return self._sums / self.pixels

    @property
    def deviation(self):
        return (self._squares / self.pixels - self.mean**2).clip(0)**0.5

    @property
    def rmse(self):
        return (self._error / self._values)**0.5

    @property
    def share(self):
        """How much of the sum of all values is wanted, 0 to 1."""
        return self._wanted / self._all
