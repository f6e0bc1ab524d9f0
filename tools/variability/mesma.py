"""The tool `mesma`."""

import contextlib

from ...engine.declare import (FieldInput, Flag, Group, Integer, NumberOutput, RasterOutput, Real, SpectraInput, Style,
                               Tool)
from ...engine.sentences import phrase
from .. import _shared

MODELS_PER_BAND = 250                     # blocks with more get smaller: each takes some 20 s, so progress moves
TRIAL_MODELS, TRIAL_PIXELS = 5000, 2000   # what is run to tell how long all of it would take
SAMPLE = 97                               # every so many pixels are looked at for their units
LOOKED_AT = 9     # windows from which such pixels are taken
BRIGHTEST, DARKEST = 1.0, 1e-4            # reflectances beyond those that a scene has in its median pixel
FEW_MODELLED = 0.8                        # a share of pixels below which the user is warned


class MultipleEndmemberSpectralMixtureAnalysis(Tool):
    """Fractions where each material has several spectra: every pixel gets the materials and spectra that fit it best.

    A model takes one spectrum from each of some materials, and shade. All models are tried in every pixel by least
    squares; what the fractions lack to one is shade. A model counts only if its fractions, its shade and its RMSE are
    within the limits, and a further material only if it lowers the RMSE by more than the fusion threshold. The search
    is exact: no model that would be better is missed.

    Extract spectra with Every pixel makes a layer of such spectra from samples. The number of models is the product of
    the materials' numbers of spectra, over all combinations of materials: choose 5 to 20 good spectra of each.

    Limits are in reflectance, so image and spectra must be reflectance: 0 to 1, or times a factor such as 10,000,
    which is the reflectance scale. Pixels that no model explains are nodata in all outputs, as are pixels that are
    zero in all bands."""

    id = "mesma"
    label = "Multiple endmember spectral mixture analysis (MESMA)"
    group = Group.VARIABILITY
    tags = ("MESMA", "unmixing", "abundance", "fraction", "spectral library", "shade", "VIPER", "multiple endmembers",
            "endmember", "sub-pixel", "spectral mixture analysis", "SMA", "spectral variability", "bundles")
    citation = ("Roberts et al., Mapping chaparral in the Santa Monica Mountains using multiple endmember spectral "
                "mixture models, Remote Sensing of Environment 65, 1998; fusion of levels: Roberts et al., IEEE TGRS "
                "41(6), 2003")
    prefer = ("Where several measured spectra of each material are at hand and a pixel holds few of the materials. "
              "Where only one spectrum of each is known, take FCLS, or ELMM if it varies.")
    doi = ("10.1016/S0034-4257(98)00037-6",)

    image = _shared.INPUT
    endmembers = SpectraInput("ENDMEMBERS", "Endmembers", raster="INPUT", bundle=True, help="Layer of spectra (fields "
                              "name and profile) with several of each material, in the raster's units. They are "
                              "matched to the raster's bands by wavelength, or by number where there are no "
                              "wavelengths.")
    field = FieldInput("MATERIALFIELD", "Material field", layer="ENDMEMBERS", default="material", help="Field that "
                       "names the material of each spectrum. Default material, which Extract spectra can fill.")
    smallest = Integer("SMALLEST", "Fewest materials in a model", default=1, minimum=1, maximum=10, help="Shade comes "
                       "in addition. 1 (the default) is the two-endmember model: one material and shade.")
    largest = Integer("LARGEST", "Most materials in a model", default=2, minimum=1, maximum=10, help="Shade comes in "
                      "addition. 2 (the default) is the three-endmember model. At most the number of materials; each "
                      "step multiplies the number of models by the number of spectra of a material.")
    scale = Real("SCALE", "Reflectance scale", default=1.0, minimum=1e-6, help="The value that means a reflectance of "
                 "1, in image and spectra. Default 1; 10000 for EnMAP and other data in whole numbers, 100 for per "
                 "cent.")
    normalise = Flag("NORMALISE", "Divide by the sum without shade", default=False, help="Whether the fractions of the "
                     "materials are divided by their sum, which leaves the shade out: they sum to one then. Default "
                     "no. SHADE stays as it is.")
    shade_spectrum = SpectraInput("SHADESPECTRUM", "Shade spectrum", raster="INPUT", optional=True, help="Layer with "
                                  "one spectrum, that of shade, which is subtracted from image and spectra first. "
                                  "None (the default): shade reflects nothing.")
    least_fraction = Real("MINFRACTION", "Smallest fraction", default=-0.05, minimum=-10, maximum=1, advanced=True,
                          help="A model with a smaller fraction of a material is out, -10 to 1. Default -0.05.")
    most_fraction = Real("MAXFRACTION", "Largest fraction", default=1.05, minimum=0, maximum=10, advanced=True,
                         help="A model with a larger fraction of a material is out, 0 to 10. Default 1.05.")
    least_shade = Real("MINSHADE", "Smallest shade", default=0.0, minimum=-10, maximum=1, advanced=True,
                       help="A model with less shade is out, -10 to 1. Default 0; a negative one lets pixels be "
                       "brighter than the spectra.")
    most_shade = Real("MAXSHADE", "Largest shade", default=0.8, minimum=0, maximum=10, advanced=True,
                      help="A model with more shade is out, 0 to 10. Default 0.8.")
    most_rmse = Real("MAXRMSE", "Largest RMSE (reflectance)", default=0.025, minimum=0, advanced=True, help="A model "
                     "with a larger RMSE over the bands is out; in reflectance, 0 or more. Default 0.025.")
    fusion = Real("FUSION", "Fusion threshold (reflectance)", default=0.007, minimum=0, advanced=True, help="Models "
                  "with one material more count only where their best RMSE is at least so much lower; in reflectance, "
                  "0 or more. Default 0.007.")
    residual_limit = Real("MAXRESIDUAL", "Largest residual (reflectance)", default=0.0, minimum=0, advanced=True,
                          help="A model is out whose residual reaches this in RESIDUALBANDS consecutive bands; in "
                          "reflectance, 0 or more. Default 0: residuals are not looked at. Published value 0.025.")
    residual_bands = Integer("RESIDUALBANDS", "Consecutive bands of that residual", default=7, minimum=1,
                             advanced=True, help="1 or more used bands. Default 7. Counts only with MAXRESIDUAL.")
    most_models = Integer("MAXMODELS", "Largest number of models", default=1_000_000, minimum=1, maximum=20_000_000,
                          advanced=True, help="With more models the run does not start, and says how long it would "
                          "take. Up to 20 million, which need some 2 GB of memory. Default 1 million.")
    bands = _shared.BANDS

    abundances = RasterOutput("ABUNDANCES", "Abundances", style=Style.FRACTIONS, optional=False, help="Raster with a "
                              "band per material, named after it: the fraction of the pixel that it covers, 0 where it "
                              "is not in the model. Nodata, -9999, where no model keeps the limits.")
    model = RasterOutput("MODEL", "Model", style=Style.DOMINANT, create=False, help="Raster of whole numbers. Band 1: "
                         "the combination of materials that won, numbered from 1 as in its legend. Then a band per "
                         "material: the number of its spectrum in the layer, from 1; 0 where it is not used. Nodata "
                         "-9999.")
    shade = RasterOutput("SHADE", "Shade", style=Style.FRACTIONS, create=False, help="Raster with the fraction of "
                         "shade: 1 less the sum of the fractions.")
    residual = RasterOutput("RESIDUAL", "Residual", style=Style.ERROR, create=False, help="Raster with the RMSE of "
                            "each pixel's model over its bands, in input units.")
    rmse = NumberOutput("RMSE", "Reconstruction RMSE (input units)", help="Root mean square, over all pixels that have "
                        "a model and all bands, of the difference between the image and its reconstruction.")
    modelled = NumberOutput("MODELLED", "Pixels with a model (per cent)", help="Share of the pixels with data in which "
                            "a model keeps all limits.")
    report = _shared.REPORT
    example = {"INPUT": "scene", "ENDMEMBERS": "bundle", "SCALE": 10000.0}

    def run(self, job):
        from ...algorithms.variability.mesma import count_models, prepare, search
        scene = job.scene(self.image)
        spectra, M, shade = self._library(job, scene)
        materials = _shared.every_material(spectra, job.value(self.field), "endmembers")
        scale = job.value(self.scale)
        _check_reflectance(phrase("endmembers"), M, scale)
        names = list(dict.fromkeys(materials))
        levels = self._levels(job, names)
        sizes = [materials.count(name) for name in names]
        count = count_models(sizes, levels)
        job.say("{bands} bands, {spectra} spectra of {count} materials ({names}): {models} models.", bands=scene.L,
                spectra=spectra.P, count=len(names), models=f"{count:,}",
                names=", ".join(f"{name}: {size}" for name, size in zip(names, sizes)))
        if max(sizes) == 1:
            job.warn("Each material has one spectrum only, so there is nothing to choose among. Name the field that "
                     "groups several spectra into a material.")
        limits = self._limits(job).times(scale)
        if count > job.value(self.most_models):
            self._refuse(job, scene, M, materials, levels, limits, count)
        bundle = prepare(M, materials, levels, shade)
        totals = _Totals(bundle, materials)
        windows = scene.windows(bands=max(scene.count, count // MODELS_PER_BAND))

        _check_reflectance(phrase("image"), _sample(scene, windows), scale)

        def block(Y, valid):
            Y = Y if valid.all() else Y[:, valid]
            return search(Y, bundle, limits), valid

        with contextlib.ExitStack() as open_files:
            write = self._writers(job, scene, bundle, spectra.P, open_files)
            for window, (found, valid) in scene.map_blocks(block, windows, job.progress):
                write(window, found, valid)
                totals.add(found)
        self._finish(job, scene, spectra, M, bundle, totals, count)

    def _library(self, job, scene):
        """
        The spectra as they are, and on the bands of the scene that all of them cover: they (L, K), shade (L,) or None.
        """
        from ...engine.sentences import UserError
        spectra, shade = job.spectra(self.endmembers), job.spectra(self.shade_spectrum)
        if shade is None:
            return spectra, spectra.to_scene(scene, job.say), None
        if shade.P != 1:
            raise UserError("The layer for {label} holds {count} spectra, and shade has one. Select the one that is "
                            "shade, or clear the parameter.", label=self.shade_spectrum.label, count=shade.P)
        for each in (spectra, shade):
            each.to_scene(scene, job.say)   # takes bands out of the scene that it does not cover
        return spectra, spectra.to_scene(scene), shade.to_scene(scene)[:, 0]

    def _levels(self, job, names):
        """Smallest and largest number of materials in a model."""
        from ...engine.sentences import UserError
        smallest, largest = job.value(self.smallest), job.value(self.largest)
        if smallest > largest:
            raise UserError("{smallest_label} is {smallest} and {largest_label} is {largest}. Raise the second, or "
                            "lower the first.", smallest_label=self.smallest.label, smallest=smallest,
                            largest_label=self.largest.label, largest=largest)
        if smallest > len(names):
            raise UserError("Models of at least {smallest} materials were asked for, and the endmembers are of {count} "
                            "({names}). Lower {label}, or add materials.", smallest=smallest, count=len(names),
                            names=", ".join(names), label=self.smallest.label)
        if largest > len(names):
            job.say("The endmembers are of {count} materials: models have no more.", count=len(names))
        return smallest, min(largest, len(names))

    def _limits(self, job):
        from ...algorithms.variability.mesma import Limits
        from ...engine.sentences import UserError
        pairs = []
        for low, high in ((self.least_fraction, self.most_fraction), (self.least_shade, self.most_shade)):
            pairs.append((job.value(low), job.value(high)))
            if pairs[-1][0] > pairs[-1][1]:
                raise UserError("{low_label} is {low}, more than {high_label}, {high}: no model could keep both. Lower "
                                "the first or raise the second.", low_label=low.label, low=pairs[-1][0],
                                high_label=high.label, high=pairs[-1][1])
        return Limits(*pairs, job.value(self.most_rmse), job.value(self.fusion), job.value(self.residual_limit) or None,
                      job.value(self.residual_bands))

    def _refuse(self, job, scene, M, materials, levels, limits, count):
        """Say how many models there are, and about how long they would take."""
        from ...engine.sentences import UserError
        raise UserError("{sizes} spectra give {models} models of {smallest} to {largest} materials, for each of "
                        "{pixels} pixels: about {time} on this machine. The largest number of models (MAXMODELS) is "
                        "{limit}. Take fewer materials in a model (LARGEST), choose fewer spectra of each material, or "
                        "raise MAXMODELS.",
                        sizes=" + ".join(str(materials.count(name)) for name in dict.fromkeys(materials)),
                        models=f"{count:,}", smallest=levels[0], largest=levels[1],
                        pixels=f"{scene.width * scene.height:,}", limit=f"{job.value(self.most_models):,}",
                        time=_duration(count * _trial(scene, M, materials, levels, limits)))

    def _writers(self, job, scene, bundle, K, open_files):
        """A function that writes what was found in a window to every raster that is wanted."""
        import numpy as np

        from ...engine.raster import NODATA
        dtype = "int16" if max(K, len(bundle.combinations)) < 2**15 else "int32"
        normalise = job.value(self.normalise)

        def fractions(found):
            if not normalise:
                return found.A
            total = found.A.sum(axis=0)
            return np.divide(found.A, total, out=np.full_like(found.A, np.nan), where=total > 0)

        def models(found):
            values = np.vstack([found.combination, found.model]) + 1
            values[:, found.level < 1] = NODATA
            return values

        takes = {self.abundances: fractions, self.model: models, self.shade: lambda found: found.shade,
                 self.residual: lambda found: found.rmse}
        bands = {self.abundances: bundle.names, self.model: ["combination", *bundle.names]}
        files = {output: open_files.enter_context(
            job.raster(output, scene, bands.get(output, [output.label]),
                       **({"dtype": dtype} if output is self.model else {})))
            for output in takes if job.wants(output)}
        if self.model in files:
            job.classes(self.model, [_in_words(bundle, combination) for combination in bundle.combinations])

        def write(window, found, valid):
            for output, file in files.items():
                file.write(window, takes[output](found), valid)

        return write

    def _finish(self, job, scene, spectra, M, bundle, totals, count):
        """Numbers, warnings and the report."""
        import numpy as np

        from ...engine.sentences import UserError
        if not totals.data:
            raise UserError("{path} has no pixel with data: each is nodata in one of the {bands} used bands, or zero "
                            "in all. Choose another raster, or leave out the bands with gaps.", path=scene.path,
                            bands=scene.L)
        if not totals.modelled:
            raise UserError("No model keeps the limits in any of {pixels} pixels. Check that the endmembers belong to "
                            "this image and that its values divided by {scale} are reflectance; add spectra, or widen "
                            "the limits (advanced parameters).", pixels=totals.data, scale=f"{job.value(self.scale):g}")
        share = totals.modelled / totals.data
        if share < FEW_MODELLED:
            job.warn("Only {percent} % of the pixels have a model that keeps the limits; the others are nodata. Add "
                     "spectra of what lies there, try more materials in a model, or widen the limits.",
                     percent=f"{100 * share:.1f}")
        if totals.empty:
            job.say("{count} pixels are zero in all bands and taken as nodata.", count=totals.empty)
        job.give_number(self.rmse, totals.rmse)
        job.give_number(self.modelled, 100 * share)
        report = job.report(self.report)
        if report:
            report.numbers(Models=f"{count:,}", Pixels=totals.data, Pixels_with_a_model_in_per_cent=100 * share,
                           RMSE=totals.rmse)
            report.heading("Which models won")
            report.table(["Materials", "Pixels with a model (%)", "RMSE"], totals.combination_rows(bundle))
            report.heading("Mean fractions, where there is a model")
            report.table(["Material", "Mean"], zip([*bundle.names, "shade"], totals.fractions / totals.modelled))
            _plot_bundle(report, scene, M, totals.materials)
            report.heading("Spectra used")
            report.table(["Number", "Spectrum", "Material", "Pixels with a model (%)"],
                         totals.spectrum_rows(spectra.names))
            report.paragraph(f"{np.count_nonzero(totals.used == 0)} of {spectra.P} spectra are in no winning model.")
            _shared.add_composite(job, report, self.abundances, bundle.names)
            job.give_report(self.report, report)


class _Totals:
    """What is counted over all blocks: pixels with data and with a model, winning models, spectra and fractions."""

    def __init__(self, bundle, materials):
        import numpy as np
        self.materials = materials
        self.data = self.modelled = self.empty = 0
        self.won, self.squares = np.zeros((2, len(bundle.combinations)))
        self.used, self.fractions = np.zeros(len(materials)), np.zeros(len(bundle.names) + 1)

    def add(self, found):
        """Count a block's `Mixtures`."""
        import numpy as np
        has = found.level > 0
        self.data += int((found.level >= 0).sum())
        self.empty += int((found.level < 0).sum())
        self.modelled += int(has.sum())
        combination, spectra = found.combination[has], found.model[found.model >= 0]
        self.won += np.bincount(combination, minlength=self.won.size)
        self.squares += np.bincount(combination, found.rmse[has] ** 2, minlength=self.won.size)
        self.used += np.bincount(spectra, minlength=self.used.size)
        self.fractions += [*found.A[:, has].sum(axis=1), found.shade[has].sum()]

    @property
    def rmse(self):
        """Over all pixels that have a model."""
        return float((self.squares.sum() / self.modelled) ** 0.5)

    def combination_rows(self, bundle):
        """Names, share and RMSE of the combinations that won anywhere, the most frequent first."""
        order = sorted((k for k in range(self.won.size) if self.won[k]), key=lambda k: -self.won[k])
        return [(_in_words(bundle, bundle.combinations[k]), 100 * self.won[k] / self.modelled,
                 (self.squares[k] / self.won[k]) ** 0.5) for k in order]

    def spectrum_rows(self, names):
        """Number, name, material and share of the spectra that are in a winning model, in the layer's order."""
        return [(k + 1, names[k], self.materials[k], 100 * self.used[k] / self.modelled)
                for k in range(self.used.size) if self.used[k]]


def _in_words(bundle, combination):
    """Materials of a combination, such as `soil + tree`."""
    return " + ".join(bundle.names[material] for material in combination)


def _sample(scene, windows):
    """A few pixels (L, n) from all over the scene."""
    import numpy as np
    parts = []
    for window in windows[::-(-len(windows) // LOOKED_AT)]:
        Y, valid = scene.read(window)
        parts.append(Y[:, valid][:, ::SAMPLE].astype(float))
    return np.concatenate(parts, axis=1)


def _check_reflectance(what, Y, scale):
    """Raise UserError where spectra `Y` (L, n) divided by `scale` cannot be reflectance; zero ones do not count."""
    import numpy as np

    from ...engine.sentences import UserError
    brightness = np.abs(Y).mean(axis=0)
    brightness = brightness[brightness > 0]
    if brightness.size and not DARKEST <= np.median(brightness) / scale <= BRIGHTEST:
        raise UserError("The values of the {what} are about {value}. With a reflectance scale of {scale} that is a "
                        "reflectance of {reflectance}, and the limits of MESMA are made for 0 to 1. Set Reflectance "
                        "scale (SCALE) to the value that means a reflectance of 1 (10000 for EnMAP), the same in image "
                        "and endmembers; or make both reflectance first.", what=what,
                        value=f"{np.median(brightness):.4g}", scale=f"{scale:g}",
                        reflectance=f"{np.median(brightness) / scale:.4g}")


def _trial(scene, M, materials, levels, limits):
    """Seconds that one model takes on the whole scene, from a few models on a few pixels."""
    import time

    import numpy as np

    from ...algorithms.variability.mesma import count_models, prepare, search
    from ...engine.raster import WORKERS
    numbers = np.array([materials[:k].count(material) for k, material in enumerate(materials)])
    sizes = [materials.count(name) for name in dict.fromkeys(materials)]
    few = max([1, *(size for size in range(1, max(sizes) + 1)
                    if count_models(np.minimum(sizes, size), levels) <= TRIAL_MODELS)])
    columns = np.flatnonzero(numbers < few)
    windows = scene.windows()
    Y, valid = scene.read(windows[len(windows) // 2])
    Y = Y[:, valid][:, :TRIAL_PIXELS]
    bundle = prepare(M[:, columns], [materials[k] for k in columns], levels)
    start = time.perf_counter()
    search(Y, bundle, limits)
    each = (time.perf_counter() - start) / (max(Y.shape[1], 1) * count_models(np.minimum(sizes, few), levels))
    return each * scene.width * scene.height / WORKERS


def _duration(seconds):
    """A duration in words."""
    for unit, size in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 1):.0f} seconds"


def _plot_bundle(report, scene, M, materials):
    """The spectra as lines in the colour of their material, one entry of the legend each."""
    import numpy as np
    import plotly.graph_objects as go

    from ...engine.palette import colours
    from ...engine.report import broken
    wavelengths = scene.wavelengths is not None
    x = scene.wavelengths if wavelengths else scene.indexes
    names, figure = list(dict.fromkeys(materials)), go.Figure()
    for name, colour in zip(names, colours(names)):
        lines = [broken(x, column) for column, material in zip(M.T, materials) if material == name]
        X, Y = (np.concatenate([np.append(line[axis], np.nan) for line in lines]) for axis in (0, 1))
        figure.add_scatter(x=X, y=Y, name=name, mode="lines", line=dict(color=colour, width=1))
    figure.update_layout(xaxis_title="Wavelength (nm)" if wavelengths else "Band",
                         yaxis_title="Value (raster's units)")
    report.heading("Spectra of each material")
    report.plot(figure)
