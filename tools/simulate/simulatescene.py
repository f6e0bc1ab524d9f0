"""The tool `simulatescene`."""

from dataclasses import replace

from ...engine.declare import (Choice, Flag, Group, Integer, RasterOutput, Real, SpectraInput, SpectraOutput, Style,
                               Tool)
from .. import _shared

GAPS = 0.5   # a band missing in a larger share of the spectra goes, rather than these spectra


class SimulateScene(Tool):
    """A synthetic hyperspectral scene, with the true abundances and spectra that it was made of.

    Spectra are drawn from a library, so that any two differ by a smallest angle; each pixel is a linear mixture of
    them, with fractions that are not negative and sum to one, and Gaussian noise of a given signal-to-noise ratio is
    added. The same seed gives the same scene.

    The scene lies nowhere on Earth: its pixels are of one unit, without a CRS, with the lower left corner at 0, 0.
    Spectra with missing values are left out, and so are bands that most spectra lack."""

    id = "simulatescene"
    label = "Simulate a scene"
    group = Group.SIMULATE
    tags = ("synthetic", "simulation", "ground truth", "library", "Dirichlet", "Gaussian field", "noise", "SNR")
    citation = ("Abdelgawad, Cheung and Yan, Efficient Blind Hyperspectral Unmixing Framework Based on CUR "
                "Decomposition (CUR-HU), Remote Sensing 16(5), 2024, eq. 21-22 (noise)")

    library = SpectraInput("ENDMEMBERS", "Spectral library", help="Layer of spectra to draw from (a feature each, with "
                           "the fields name and profile), in any unit; the scene is in the same.")
    count = Integer("COUNT", "Number of endmembers (0: all)", default=4, minimum=0, help="How many spectra are drawn, "
                    "at least 2; 0 takes all that differ enough. Default 4.")
    angle = Real("MINANGLE", "Smallest angle between endmembers (degrees)", default=10.0, minimum=0.0, maximum=90.0,
                 help="Any two endmembers differ by at least this spectral angle, in degrees. Default 10; 0 takes "
                      "spectra however alike.")
    rows = Integer("ROWS", "Rows", default=64, minimum=1, maximum=100000, help="Height in pixels. Default 64.")
    columns = Integer("COLUMNS", "Columns", default=64, minimum=1, maximum=100000, help="Width in pixels. Default 64.")
    model = Choice("ABUNDANCEMODEL", "Abundances", default="dirichlet", options={
        "dirichlet": "Dirichlet: every pixel by itself", "fields": "Gaussian fields: smooth in space"},
        help="Dirichlet draws every pixel independently; Gaussian fields make patches that blend into each other. "
             "Default dirichlet.")
    pure = Flag("PUREPIXELS", "With pure pixels", default=False, help="Make at least one pixel of each endmember pure. "
                "Default no.")
    snr = Real("SNR", "Signal-to-noise ratio (dB)", minimum=-50.0, maximum=200.0, optional=True, help="Power of the "
               "signal over that of the noise, in decibels; 30 is common. None given (the default): no noise.")
    shape = Choice("NOISESHAPE", "Noise over the bands", default="white", options={
        "white": "White: the same in every band", "band": "Gaussian: strongest in the middle bands"},
        help="How the noise's variance is shared among the bands; the total stays the same. Default white.")
    eta = Real("ETA", "Width of the noise over the bands (bands)", default=18.0, minimum=0.01, advanced=True,
               help="Standard deviation, in bands, of the Gaussian that the noise's variance follows where it is "
                    "strongest in the middle (eq. 21). Default 18.")
    alpha = Real("ALPHA", "Dirichlet concentration", default=1.0, minimum=0.001, advanced=True, help="1 (the default) "
                 "makes every mixture equally likely, less favours nearly pure pixels, more favours even mixtures.")
    length = Real("LENGTH", "Correlation length (pixels)", minimum=0.01, optional=True, advanced=True,
                  help="Distance, in pixels, beyond which Gaussian fields are independent. None given (the default): a "
                       "quarter of the longer side.")
    most = Real("MAXABUNDANCE", "Largest abundance", default=1.0, minimum=0.01, maximum=1.0, advanced=True,
                help="No fraction exceeds this; below 1 there are no pure pixels. Default 1.")
    seed = _shared.SEED
    scene = RasterOutput("HSI", "Simulated scene", style=Style.SPECTRAL, optional=False, help="Raster with the "
                         "library's bands and wavelengths, in its units. No pixel is nodata.")
    abundances = replace(_shared.ABUNDANCES, label="True abundances", optional=True)
    endmembers = SpectraOutput("TRUEENDMEMBERS", "True endmembers", help="Layer with the spectra drawn, named as in "
                               "the library.")
    example = {"ENDMEMBERS": "library", "COUNT": 3, "MINANGLE": 1, "ROWS": 24, "COLUMNS": 32, "SNR": 40}

    def run(self, job):
        import numpy as np

        from ...algorithms.simulate.scene import simulate
        from ...engine.memory import need
        from ...engine.raster import Grid
        rng = np.random.default_rng(job.value(self.seed))
        spectra = self._draw(job, rng)
        rows, columns = job.value(self.rows), job.value(self.columns)
        need(8 * rows * columns * (3 * len(spectra.x) + 3 * spectra.P),
             "Make the scene smaller, or use a library of fewer bands.")
        Y, A = simulate(spectra.M, rows, columns, rng, fields=job.value(self.model) == "fields",
                        snr_db=job.value(self.snr),
                        eta=job.value(self.eta) if job.value(self.shape) == "band" else None,
                        pure_pixels=job.value(self.pure), max_abundance=job.value(self.most),
                        alpha=job.value(self.alpha), length=job.value(self.length))
        grid, wavelengths = Grid(columns, rows), spectra.x if spectra.wavelengths else None
        names = [f"{x:.6g} nm" if spectra.wavelengths else f"Band {x:.0f}" for x in spectra.x]
        self._write(job, self.scene, grid, names, Y, wavelengths=wavelengths)
        if job.wants(self.abundances):
            self._write(job, self.abundances, grid, spectra.names, A)
        job.give_spectra(self.endmembers, replace(spectra, points=None))
        job.say("{pixels} pixels of {bands} bands, mixed of {count} spectra: {names}.", pixels=rows * columns,
                bands=len(names), count=spectra.P, names=", ".join(spectra.names))

    def _write(self, job, output, grid, names, values, **options):
        from rasterio.windows import Window
        with job.raster(output, grid, names, **options) as file:
            file.write(Window(0, 0, grid.width, grid.height), values)

    def _draw(self, job, rng):
        """Spectra of the library that differ enough, as many as asked for, in the library's order."""
        import numpy as np

        from ...algorithms.simulate.scene import prune_library
        from ...engine.sentences import UserError
        count, angle = job.value(self.count), job.value(self.angle)
        if count == 1:
            raise UserError("The number of endmembers is 1; a mixture needs at least 2, or 0 for all of the library.")
        library = complete(job, job.spectra(self.library))
        different = prune_library(library.M, np.radians(angle))
        if len(different) < max(count, 2):
            raise UserError("{different} of the library's {all} spectra differ by at least {angle} degrees, and "
                            "{count} are needed. Ask for a smaller angle or fewer endmembers, or choose a larger "
                            "library.",
                            different=len(different), all=library.P, angle=f"{angle:g}", count=max(count, 2))
        if len(different) < library.P:
            job.say("{different} of the library's {all} spectra differ by at least {angle} degrees.",
                    different=len(different), all=library.P, angle=f"{angle:g}")
        drawn = rng.choice(different, count, replace=False) if count else different
        return library.select(sorted(drawn.tolist()))


def complete(job, library):
    """The library without missing values: bands that most spectra lack are left out, then spectra that lack others."""
    import numpy as np

    from ...engine.sentences import UserError
    missing = ~np.isfinite(library.M)
    bands = missing.mean(axis=1) <= GAPS
    if not bands.all():
        job.say("Left out {count} bands in which most spectra have no value.", count=int((~bands).sum()))
    usable = ~missing[bands].any(axis=0) & np.nan_to_num(library.M[bands]).any(axis=0)
    if not usable.all():
        gone = [name for name, good in zip(library.names, usable) if not good]
        job.say("Left out {count} spectra with missing values or zeros alone: {names}.", count=len(gone),
                names=", ".join(gone[:10]) + (", ..." if len(gone) > 10 else ""))
    if bands.sum() < 2 or usable.sum() < 2:
        raise UserError("The library has {spectra} complete spectra over {bands} bands, and a scene needs at least 2 "
                        "of each. Choose another library.", spectra=int(usable.sum()), bands=int(bands.sum()))
    chosen = library.select(np.flatnonzero(usable).tolist())
    return replace(chosen, M=chosen.M[bands], x=chosen.x[bands])
