"""The tool `simulatescene`."""

from dataclasses import replace

from ...engine.declare import (Choice, FieldInput, Flag, Group, Integer, RasterOutput, Real, SpectraInput,
                               SpectraOutput, Style, Tool)
from .. import _shared
from ._library import complete, draw, draw_bundles


class SimulateScene(Tool):
    """A synthetic hyperspectral scene, with the true abundances and spectra that it was made of.

    Spectra are drawn from a library, so that any two differ by a smallest angle; each pixel is a linear mixture of
    them, with fractions that are not negative and sum to one, and Gaussian noise of a given signal-to-noise ratio is
    added. The same seed gives the same scene.

    With variability, a material does not look the same in every pixel: each pixel is mixed of its own endmembers, as
    light, terrain, atmosphere or the material itself make them, and how far they are from the true endmembers, their
    reference, is known too. Methods that allow for variability can so be tested against it.

    The scene lies nowhere on Earth: its pixels are of one unit, without a CRS, with the lower left corner at 0, 0.
    Spectra with missing values are left out, and so are bands that most spectra lack."""

    id = "simulatescene"
    label = "Simulate a scene"
    group = Group.SIMULATE
    tags = ("synthetic", "simulation", "ground truth", "library", "Dirichlet", "Gaussian field", "noise", "SNR",
            "spectral variability", "Hapke", "bundles", "endmember variability", "unmixing", "endmember", "abundance",
            "test data")
    citation = ("Abdelgawad, Cheung and Yan, Efficient Blind Hyperspectral Unmixing Framework Based on CUR "
                "Decomposition (CUR-HU), Remote Sensing 16(5), 2024, eq. 21-22 (noise) and section 5.3.1 (variability "
                "SD0-SD3); Imbiriba, Borsoi and Bermudez, Low-Rank Tensor Modeling for Hyperspectral Unmixing "
                "Accounting for Spectral Variability (ULTRA-V), IEEE Transactions on Geoscience and Remote Sensing "
                "58(3), 2020, section IV-A (variability DC0-DC2)")
    prefer = ("To try methods for one image where the answer is known. For several dates take Simulate a sequence; for "
              "a fusion, Make a fusion pair.")
    doi = ("10.3390/rs16050766",)

    library = SpectraInput("ENDMEMBERS", "Spectral library", help="Layer of spectra to draw from (a feature each, with "
                           "the fields name and profile), in any unit; the scene is in the same.")
    count = Integer("COUNT", "Number of endmembers (0: all)", default=4, minimum=0, help="How many spectra are drawn, "
                    "at least 2; 0 takes all that differ enough. Default 4. Of bundles: how many materials.")
    angle = Real("MINANGLE", "Smallest angle between endmembers (degrees)", default=10.0, minimum=0.0, maximum=90.0,
                 help="Any two endmembers differ by at least this spectral angle, in degrees. Default 10; 0 takes "
                      "spectra however alike. Of bundles: the means of any two materials.")
    rows = Integer("ROWS", "Rows", default=64, minimum=1, maximum=100000, help="Height in pixels. Default 64.")
    columns = Integer("COLUMNS", "Columns", default=64, minimum=1, maximum=100000, help="Width in pixels. Default 64.")
    model = Choice("ABUNDANCEMODEL", "Abundances", default="dirichlet", options={
        "dirichlet": "Dirichlet: every pixel by itself", "fields": "Gaussian fields: smooth in space",
        "bumps": "Gaussian bumps: round patches, no pure pixels"},
        help="Dirichlet draws every pixel independently; Gaussian fields make patches that blend into each other; "
             "Gaussian bumps are round patches some 40 pixels across, in which no fraction exceeds 0.7, with the last "
             "endmember between them. Default dirichlet.")
    variability = Choice("VARIABILITY", "Variability of the endmembers", default="none", options={
        "none": "None: the same in every pixel", "scaling": "Scaling: brighter and darker, smooth in space",
        "piecewise": "Piecewise linear over the bands: every pixel by itself",
        "bands": "Scaling of each band: smooth in space and over the bands",
        "atmosphere": "Angle to the sun under a diffuse sky: darker, most in the infrared",
        "hapke": "Terrain: slopes to the sun, by Hapke's model",
        "bundles": "Bundles: each pixel draws its spectra of each material"},
        help="How the endmembers differ from pixel to pixel. Scaling multiplies each endmember by a factor that varies "
             "smoothly in space (ULTRA-V's DC0). Piecewise linear multiplies each endmember, in each pixel by itself, "
             "by two line segments over the bands (PLMM's generator; ULTRA-V's DC1, CUR-HU's SD0). Scaling of each "
             "band multiplies by factors smooth over rows, columns and bands (CUR-HU's SD1). Angle to the sun draws "
             "one for each pixel, as if reflectance had been computed for a surface facing it (CUR-HU's SD2); it needs "
             "wavelengths. Terrain gives each pixel a slope on smooth hills under a sun 50 degrees high, which lights "
             "and shades it, to 1.3 times the brightness of level ground (ULTRA-V's DC2); it needs reflectance from 0 "
             "to below 1. Bundles take a random spectrum of each material in each pixel (CUR-HU's SD3); they need the "
             "field of materials. Default none.")
    amount = Real("AMOUNT", "Amount of variability", minimum=0.0, optional=True, help="scaling: largest departure of "
                  "the factors from 1, below 1 (default 0.25, so 0.75 to 1.25). piecewise: width of the factors' "
                  "range about 1, below 2 (default 0.25, so 0.875 to 1.125). bands: standard deviation of the factors, "
                  "below 1 (default 0.1); they vary over about 20 pixels and 80 bands. atmosphere: largest angle to "
                  "the sun in degrees, up to 90 (default 81). hapke: steepest slope in degrees, below 50 (default 30). "
                  "None given: the model's default. Not used for none and bundles.")
    field = FieldInput("MATERIALFIELD", "Field of materials", layer="ENDMEMBERS", default="material", optional=True,
                       help="Field of the library that names each spectrum's material; spectra without a value are "
                            "left out. Default material, as extracted spectra have it. Only for bundles.")
    pure = Flag("PUREPIXELS", "With pure pixels", default=False, help="Make at least one pixel of each endmember pure. "
                "Default no.")
    snr = Real("SNR", "Signal-to-noise ratio (dB)", minimum=-50.0, maximum=200.0, optional=True, help="Power of the "
               "signal over that of the noise, in decibels; 30 is common. None given (the default): no noise.")
    shape = Choice("NOISESHAPE", "Noise over the bands", default="white", options={
        "white": "White: the same in every band", "band": "Gaussian: strongest in the middle bands"},
        help="How the noise's variance is shared among the bands; the total stays the same. Default white.")
    eta = Real("ETA", "Width of the noise over the bands (bands)", default=18.0, minimum=0.01, advanced=True,
               help="Standard deviation, in bands, of the Gaussian that the noise's variance follows where it is "
                    "strongest in the middle (eq. 21). Default 18. Only for noise strongest in the middle bands.")
    alpha = Real("ALPHA", "Dirichlet concentration", default=1.0, minimum=0.001, advanced=True, help="1 (the default) "
                 "makes every mixture equally likely, less favours nearly pure pixels, more favours even mixtures. "
                 "Only for Dirichlet.")
    length = Real("LENGTH", "Correlation length (pixels)", minimum=0.01, optional=True, advanced=True,
                  help="Distance, in pixels, beyond which Gaussian fields are independent. None given (the default): a "
                       "quarter of the longer side. Only for Gaussian fields of abundances.")
    most = Real("MAXABUNDANCE", "Largest abundance", default=1.0, minimum=0.01, maximum=1.0, advanced=True,
                help="No fraction exceeds this; below 1 there are no pure pixels. Default 1.")
    seed = _shared.SEED
    scene = RasterOutput("HSI", "Simulated scene", style=Style.SPECTRAL, optional=False, help="Raster with the "
                         "library's bands and wavelengths, in its units. No pixel is nodata.")
    abundances = replace(_shared.ABUNDANCES, label="True abundances", optional=True)
    endmembers = SpectraOutput("TRUEENDMEMBERS", "True endmembers", help="Layer with the spectra drawn, named as in "
                               "the library: with variability the reference that each pixel's own vary about. Of "
                               "bundles, the mean of each material.")
    strength = RasterOutput("TRUEVARIABILITY", "True variability", create=False, style=Style.DEPARTURE, help="Raster "
                            "with a band per endmember, named after it: the root mean square, over the bands, of the "
                            "difference between the pixel's endmember and the true one, as a share of the true one's. "
                            "0 throughout without variability.")
    example = {"ENDMEMBERS": "library", "COUNT": 3, "MINANGLE": 1, "ROWS": 24, "COLUMNS": 32, "SNR": 40,
               "VARIABILITY": "scaling"}

    def run(self, job):
        import numpy as np

        from ...algorithms.simulate.scene import abundances, add_noise
        from ...engine.raster import Grid
        rng = np.random.default_rng(job.value(self.seed))
        spectra, bundle = self._draw_spectra(job, rng)
        grid = Grid(job.value(self.columns), job.value(self.rows))
        self._check_memory(job, spectra, grid)
        A = abundances(spectra.P, grid.height, grid.width, rng, job.value(self.model), job.value(self.pure),
                       job.value(self.most), job.value(self.alpha), job.value(self.length))
        Y, strength = self._mix(job, spectra, bundle, A, grid, rng)
        Y = add_noise(Y, job.value(self.snr), rng, job.value(self.eta) if job.value(self.shape) == "band" else None)
        self._write_scene(job, spectra, grid, Y)
        if job.wants(self.abundances):
            self._write(job, self.abundances, grid, spectra.names, A)
        if job.wants(self.strength):
            self._write(job, self.strength, grid, spectra.names, strength)
            job.give_range(self.strength, 0, np.quantile(strength, 0.98))
        job.give_spectra(self.endmembers, replace(spectra, points=None))
        job.say("{pixels} pixels of {bands} bands, mixed of {count} spectra: {names}.", pixels=A.shape[1],
                bands=len(Y), count=spectra.P, names=", ".join(spectra.names))

    def _check_memory(self, job, spectra, grid):
        """Scene, noise and their sum as float64; each pixel's endmembers as float32, and what makes them."""
        from ...algorithms.simulate.scene import field_bytes
        from ...engine.memory import need
        L, P, varies = len(spectra.x), spectra.P, job.value(self.variability) != "none"
        need(grid.width * grid.height * (8 * (3 * L + 3 * P) + varies * (4 * L * P + 8 * L))
             + field_bytes(grid.height, grid.width, job.value(self.length)),
             "Make the scene smaller, or use a library of fewer bands.")

    def _mix(self, job, spectra, bundle, A, grid, rng):
        """The scene without noise (L, N), and how far each pixel's endmembers are from the true ones (P, N)."""
        import numpy as np

        from ...algorithms.variability.pixel_endmembers import departure, mixtures
        if job.value(self.variability) == "none":
            return spectra.M @ A, np.zeros_like(A)
        M_n = self._vary(job, spectra, bundle, grid, rng)
        return mixtures(M_n, A), departure(M_n, spectra.M)

    def _vary(self, job, spectra, bundle, grid, rng):
        """Endmembers (P, L, N) of every pixel, float32: the largest array of the run."""
        import numpy as np

        from ...algorithms.simulate import variability
        from ...engine.sentences import UserError
        model, amount = job.value(self.variability), job.value(self.amount)
        amount, M0 = () if amount is None else (amount,), spectra.M.astype(np.float32)
        rows, columns = grid.height, grid.width
        if model == "piecewise":
            return variability.piecewise_linear(M0, rows * columns, rng, *amount)
        if model == "atmosphere":
            if not spectra.wavelengths:
                raise UserError("The library has no wavelengths, and the light of the sky depends on them. Choose a "
                                "library with wavelengths, or another kind of variability.")
            return variability.viewing_geometry(M0, spectra.x, rows * columns, rng, *amount)
        if model == "bundles":
            members, material = bundle
            return variability.bundles(members.astype(np.float32), material, rows * columns, rng)
        generate = {"scaling": variability.scaling, "bands": variability.smooth_bands, "hapke": variability.hapke}
        return generate[model](M0, rows, columns, rng, *amount)

    def _write_scene(self, job, spectra, grid, Y):
        names = [f"{x:.6g} nm" if spectra.wavelengths else f"Band {x:.0f}" for x in spectra.x]
        self._write(job, self.scene, grid, names, Y, wavelengths=spectra.x if spectra.wavelengths else None)

    def _write(self, job, output, grid, names, values, **options):
        from rasterio.windows import Window
        with job.raster(output, grid, names, **options) as file:
            file.write(Window(0, 0, grid.width, grid.height), values)

    def _draw_spectra(self, job, rng):
        """The true endmembers, as `Spectra`; and of bundles their spectra (L, K) and the material (K,) of each."""
        library = complete(job, job.spectra(self.library))
        count, angle = job.value(self.count), job.value(self.angle)
        if job.value(self.variability) != "bundles":
            return draw(job, rng, library, count, angle), None
        spectra, members, material = draw_bundles(job, rng, library, job.value(self.field), count, angle)
        return spectra, (members, material)
