"""The tool `simulatesequence`."""

from dataclasses import replace

from ...engine.declare import (Choice, FieldInput, FolderOutput, Group, Integer, LayersOutput, Real, SpectraInput,
                               SpectraOutput, Style, Text, Tool)
from .. import _shared
from ._dates import regular_dates
from ._library import complete, draw, draw_bundles

COUNTS = {"ds1": 3, "ds2": 0}     # endmembers, and dates, of the paper's sequences
DATES = {"ds1": 6, "ds2": 15}


class SimulateSequence(Tool):
    """Synthetic images of one place at several dates, with the true abundances and spectra of every date.

    The two sequences by which ReDSUNN and other methods for sequences are compared. In DS1 abundances stay but for
    round patches, two at each date save the first and the last, that become nearly pure in another material at once;
    every endmember of every pixel is its reference times a function of two line segments over the bands, between 0.85
    and 1.15 at first, to which each date adds one between -0.1 and 0.1. In DS2 abundances drift everywhere and one
    patch a date changes at once; every pixel draws its spectra anew at every date from bundles of each material.

    So spectra change where fractions do not: a method that confuses the two is found out. The same seed gives the same
    sequence. How the paper drew its maps is not told; here they are smooth Gaussian fields.

    The images lie nowhere on Earth: their pixels are of one unit, without a CRS, with the lower left corner at 0, 0.
    Spectra with missing values are left out, and so are bands that most spectra lack. The whole sequence is held in
    memory, with the spectra of every pixel and date."""

    id = "simulatesequence"
    label = "Simulate a sequence"
    group = Group.SIMULATE
    tags = ("synthetic", "simulation", "ground truth", "multitemporal", "time series", "sequence", "change",
            "spectral variability", "bundles", "DS1", "DS2", "library", "unmixing", "endmember", "abundance",
            "test data")
    citation = ("Borsoi, Imbiriba and Closas, Dynamical hyperspectral unmixing with variational recurrent neural "
                "networks, IEEE Transactions on Image Processing 32, 2023, section VI-A (DS1, DS2)")
    prefer = ("To try methods that unmix several dates. For the detection of events take Simulate events in a series; "
              "for series of fractions or an index, Simulate states.")
    doi = ("10.1109/TIP.2023.3266660",)

    case = Choice("CASE", "Sequence", default="ds1", options={
        "ds1": "DS1: abrupt changes in patches, spectra that drift",
        "ds2": "DS2: drifting abundances and patches, spectra drawn from bundles"},
        help="Which of the two sequences. DS2 needs a library with several spectra of each material and a field that "
             "names the material. Default ds1.")
    library = SpectraInput("ENDMEMBERS", "Spectral library", help="Layer of spectra to draw from (a feature each, with "
                           "the fields name and profile), in any unit; the images are in the same. The paper takes "
                           "spectra of the USGS library (DS1), and pure pixels of a real scene (DS2).")
    count = Integer("COUNT", "Number of endmembers (0: all)", minimum=0, optional=True, help="How many spectra are "
                    "drawn, of bundles how many materials: at least 2, or 0 for all. None given: 3 for DS1, all "
                    "materials for DS2.")
    angle = Real("MINANGLE", "Smallest angle between endmembers (degrees)", default=10.0, minimum=0.0, maximum=90.0,
                 help="Any two endmembers of DS1 differ by at least this spectral angle, in degrees. Default 10; 0 "
                      "takes spectra however alike. Not used for DS2.")
    field = FieldInput("MATERIALFIELD", "Field of materials", layer="ENDMEMBERS", default="material", optional=True,
                       help="Field of the library that names each spectrum's material; spectra without a value are "
                            "left out. Default material, as extracted spectra have it. Only for DS2.")
    rows = Integer("ROWS", "Rows", default=50, minimum=1, maximum=10000, help="Height in pixels. Default 50.")
    columns = Integer("COLUMNS", "Columns", default=50, minimum=1, maximum=10000, help="Width in pixels. Default 50.")
    dates = Integer("DATECOUNT", "Number of dates", minimum=2, maximum=1000, optional=True, help="How many images, at "
                    "least 2 (DS1 then has no change of abundances, and with 3 dates one). None given: 6 for DS1, 15 "
                    "for DS2.")
    start = Text("START", "First date", default="2020-01-01", help="Date of the first image, as 2020-01-01, with or "
                 "without a time of day. Default 2020-01-01.")
    interval = Integer("INTERVAL", "Days from date to date", default=30, minimum=1, maximum=3660, help="Days from one "
                       "image to the next, 1 to 3660. Default 30.")
    snr = Real("SNR", "Signal-to-noise ratio (dB)", default=30.0, minimum=-50.0, maximum=200.0, help="Power of the "
               "signal over that of the noise of each image, in decibels. Default 30; at 200 noise is negligible.")
    contrast = Real("CONTRAST", "Contrast of the maps", default=3.0, minimum=0.0, maximum=100.0, advanced=True,
                    help="How far the Gaussian fields are spread before they become fractions (by the softmax): 0 "
                         "mixes all endmembers evenly everywhere, much more than 3, the default, makes patches of "
                         "nearly pure pixels.")
    seed = _shared.SEED
    images = FolderOutput("IMAGES", "Simulated images", style=Style.SPECTRAL, dated=True, optional=False, help="Folder "
                          "with a raster per date, named after it, with the library's bands and wavelengths, in its "
                          "units. No pixel is nodata.")
    layers = LayersOutput("IMAGELAYERS", "Simulated images as layers", folder="IMAGES", help="The rasters of the "
                          "folder as a list, for the next step of a model.")
    # a model makes no optional folder of which only the list of layers is used
    abundances = FolderOutput("ABUNDANCES", "True abundances", style=Style.FRACTIONS, dated=True, optional=False,
                              help="Folder with a raster per date, named after it, with a band per endmember, named "
                              "after it: its true fraction, 0 to 1.")
    abundance_layers = LayersOutput("ABUNDANCELAYERS", "True abundances as layers", folder="ABUNDANCES", help="The "
                                    "rasters of that folder as a list, for the next step of a model.")
    endmembers = SpectraOutput("TRUEENDMEMBERS", "True endmembers", help="Layer with the reference spectra, named as "
                               "in the library, that those of each pixel and date vary about; for DS2 the mean of "
                               "each material.")
    strength = FolderOutput("TRUEVARIABILITY", "True variability", create=False, style=Style.DEPARTURE, dated=True,
                            help="Folder with a raster per date, named after it, with a band per endmember: the root "
                            "mean square, over the bands, of the difference between the pixel's endmember and the true "
                            "one, as a share of the true one's.")
    example = {"ENDMEMBERS": "library", "CASE": "ds1", "MINANGLE": 1, "ROWS": 20, "COLUMNS": 24, "DATECOUNT": 4}

    def run(self, job):
        import numpy as np

        from ...algorithms.simulate.sequence import ds1, ds2
        from ...engine.raster import Grid
        rng, case = np.random.default_rng(job.value(self.seed)), job.value(self.case)
        dates = regular_dates(job, self.start, self.interval, job.value(self.dates) or DATES[case])
        wanted = [output for output in (self.images, self.abundances, self.strength) if job.wants(output)]
        job.passes(1 + len(wanted))   # simulating, and writing each
        library = complete(job, job.spectra(self.library))
        count = COUNTS[case] if job.value(self.count) is None else job.value(self.count)
        grid = Grid(job.value(self.columns), job.value(self.rows))
        options = (grid.height, grid.width, rng, len(dates), job.value(self.snr), job.value(self.contrast))
        if case == "ds1":
            spectra = draw(job, rng, library, count, job.value(self.angle))
            self._check_memory(spectra, grid, len(dates))
            made = ds1(spectra.M, *options)
        else:
            spectra, members, material = draw_bundles(job, rng, library, job.value(self.field), count, 0)
            self._check_memory(spectra, grid, len(dates))
            made = ds2(members, material, *options)
        job.progress(1, 1)
        self._write(job, wanted, made, spectra, grid, dates)
        job.give_spectra(self.endmembers, replace(spectra, points=None))
        job.say("{dates} images of {pixels} pixels of {bands} bands, mixed of {count} spectra: {names}.",
                dates=len(dates), pixels=grid.width * grid.height, bands=len(spectra.x), count=spectra.P,
                names=", ".join(spectra.names))

    def _check_memory(self, spectra, grid, T):
        """Every date's images and every pixel's endmembers as float32, fractions and one date's noise as float64."""
        from ...algorithms.simulate.scene import field_bytes
        from ...engine.memory import need
        L, P = len(spectra.x), spectra.P
        need(grid.width * grid.height * (T * (4 * L * (P + 1) + 16 * P) + 4 * L * P + 32 * L)
             + field_bytes(grid.height, grid.width),
             "Make the images smaller or fewer, or use a library of fewer bands.")

    def _write(self, job, wanted, made, spectra, grid, dates):
        """Write the rasters of every date of the `wanted` outputs."""
        import numpy as np
        from rasterio.windows import Window

        from ...algorithms.variability.pixel_endmembers import departure
        window = Window(0, 0, grid.width, grid.height)
        bands = [f"{x:.6g} nm" if spectra.wavelengths else f"Band {x:.0f}" for x in spectra.x]
        folders = {self.images: (bands, lambda t: made.Y[t], {"wavelengths": spectra.x} if spectra.wavelengths else {}),
                   self.abundances: (spectra.names, lambda t: made.A[t], {}),
                   self.strength: (spectra.names, lambda t: departure(made.M[t], spectra.M), {})}
        for output in wanted:
            names, values_at, options = folders[output]
            most = 0.0
            for t, file in enumerate(job.dated_rasters(output, dates, grid, names, **options)):
                values = values_at(t)
                with file:
                    file.write(window, values)
                most = max(most, float(np.quantile(values, 0.98)))
                job.progress(t + 1, len(dates))
            if output is self.strength:
                job.give_range(output, 0, most)
            if output is self.abundances:
                job.show_band(output, np.abs(np.diff(made.A, axis=0)).sum(axis=(0, 2)).argmax() + 1)
