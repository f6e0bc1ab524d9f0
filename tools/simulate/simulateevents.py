"""The tool `simulateevents`."""

from dataclasses import replace

from ...engine.declare import (FolderOutput, Group, Integer, LayersOutput, RasterOutput, Real, SpectraInput,
                               SpectraOutput, Style, Text, Tool)
from .. import _shared
from ._dates import regular_dates
from ._library import complete, draw

COUNT = 5                                        # materials, where the library has so many
PLACE = {"west": 500000.0, "south": 5800000.0, "size": 10.0}
CRS = 32633
YEAR = 365.25
FREE = 3                                         # samples without an event for each of a class
NONE = "none"
TRANSPARENT = "#00ffffff"


class SimulateEvents(Tool):
    """A series of images with planted events of known class, date and strength over backgrounds that follow seasons.

    Every pixel is a mixture of all materials, in smooth patches; the first material (vegetation, say) comes and goes
    with the year. In a share of the pixels an event covers part of this mixture for some dates with one of the other
    materials. Three courses alternate: abrupt events come at once and fade over five dates (1, 0.75, 0.5, 0.3, 0.15
    of their strength), as a fire does; plateaus stay for three dates (1, 1, 1), as a flood; gradual ones grow over
    four (0.25, 0.5, 0.75, 1, 0.5), as a drought. Abrupt and gradual events show the same material, which the
    backgrounds hold too: no single date tells them apart, only the course does.

    Events lie in patches of uneven size and outline, each of one class and date, and in single pixels. The layer of
    samples is what the tools that detect events learn from. The same seed gives the same series.

    The images lie somewhere in UTM zone 33N, pixels of 10 m, so that rasters and samples meet on the map. Values that
    noise makes negative are set to 0. Spectra with missing values are left out, and so are bands that most spectra
    lack. The whole series is held in memory."""

    id = "simulateevents"
    label = "Simulate events in a series"
    group = Group.SIMULATE
    tags = ("synthetic", "simulation", "ground truth", "multitemporal", "time series", "event", "detection", "fire",
            "flood", "drought", "harvest", "phenology", "samples", "library", "test data")
    citation = "Subpixel's own: linear mixtures whose abundances follow seasons and events"
    prefer = ("To try the tools of Events in a series, and how weak an event may be. For changes of abundances between "
              "dates take Simulate a sequence.")

    library = SpectraInput("ENDMEMBERS", "Spectral library", help="Layer of spectra to draw from (a feature each, with "
                           "the fields name and profile), in any unit, none negative; the images are in the same.")
    count = Integer("COUNT", "Number of materials (0: all)", minimum=0, optional=True, help="How many spectra are "
                    "drawn, at least 2, or 0 for all. None given: 5, or all of a smaller library.")
    angle = Real("MINANGLE", "Smallest angle between materials (degrees)", default=5.0, minimum=0.0, maximum=90.0,
                 advanced=True, help="Any two materials differ by at least this spectral angle, in degrees. Default 5; "
                 "0 takes spectra however alike.")
    seasonal = Integer("SEASONAL", "Materials that follow the seasons", default=1, minimum=0, maximum=1000,
                       advanced=True, help="So many of the materials, the first in the order of the library, come and "
                       "go with the year; events show the others. From 0 to one less than there are. Default 1.")
    classes = Integer("CLASSES", "Classes of events", default=3, minimum=1, maximum=100, help="How many kinds of "
                      "event, 1 to three times the number of materials without a season: abrupt, plateau, gradual, and "
                      "again with other materials. Default 3.")
    share = Real("EVENTSHARE", "Share of pixels with an event", default=0.3, minimum=0.0001, maximum=1.0, help="Above "
                 "0, at most 1, evenly divided among the classes. Default 0.3.")
    strength = Real("STRENGTH", "Mean strength of the events", default=0.5, minimum=0.001, maximum=1.0, help="The "
                    "share of its pixel that an event covers at its height, on average: above 0, at most 1. Default "
                    "0.5.")
    spread = Real("SPREAD", "Spread of the strength", default=0.2, minimum=0.0, maximum=0.5, advanced=True, help="Each "
                  "pixel's strength is drawn evenly from the mean less this to the mean plus this, which must lie "
                  "between 0 and 1. From 0 to 0.5, default 0.2.")
    rows = Integer("ROWS", "Rows", default=200, minimum=1, maximum=10000, help="Height in pixels. Default 200.")
    columns = Integer("COLUMNS", "Columns", default=200, minimum=1, maximum=10000, help="Width in pixels. Default 200.")
    dates = Integer("DATECOUNT", "Number of dates", default=24, minimum=5, maximum=1000, help="How many images, at "
                    "least 5, the length of the longest course. Default 24.")
    start = Text("START", "First date", default="2020-01-01", help="Date of the first image, as 2020-01-01, with or "
                 "without a time of day. Default 2020-01-01.")
    interval = Integer("INTERVAL", "Days from date to date", default=15, minimum=1, maximum=3660, help="Days from one "
                       "image to the next, 1 to 3660; courses run from date to date, the seasons over 365.25 days. "
                       "Default 15.")
    snr = Real("SNR", "Signal-to-noise ratio (dB)", default=30.0, minimum=-50.0, maximum=200.0, help="Power of the "
               "signal over that of the noise of each image, in decibels. Default 30; at 200 noise is negligible.")
    contrast = Real("CONTRAST", "Contrast of the maps", default=1.0, minimum=0.0, maximum=100.0, advanced=True,
                    help="How far the Gaussian fields are spread before they become fractions (by the softmax): 0 "
                         "mixes all materials evenly everywhere, much more than 1, the default, leaves pixels without "
                         "some of them.")
    samples_per_class = Integer("SAMPLECOUNT", "Samples of each class", default=10, minimum=2, maximum=100000,
                                help="So many pixels of every class, and three times as many without an event, become "
                                     "samples. At least 2. Default 10.")
    seed = _shared.SEED
    images = FolderOutput("IMAGES", "Simulated images", style=Style.SPECTRAL, dated=True, optional=False, help="Folder "
                          "with a raster per date, named after it, with the library's bands and wavelengths, in its "
                          "units. No pixel is nodata.")
    layers = LayersOutput("IMAGELAYERS", "Simulated images as layers", folder="IMAGES", help="The rasters of the "
                          "folder as a list, for the next step of a model.")
    event = RasterOutput("TRUEEVENT", "True events", style=Style.DOMINANT, help="Raster of bytes: the class of each "
                         "pixel's event, from 1, in the order of the legend; 0 without an event.")
    date = RasterOutput("TRUEDATE", "True dates of the events", style=Style.DATE, help="Raster with the number of the "
                        "image, from 1, with which each pixel's event begins. Nodata (0) without an event.")
    true_strength = RasterOutput("TRUESTRENGTH", "True strengths of the events", style=Style.ERROR, create=False,
                                 help="Raster with the share of its pixel that each event covers at its height, 0 "
                                      "without an event.")
    samples = SpectraOutput("SAMPLES", "Samples", help="Layer of points with the fields event (the class, or none) and "
                            "eventdate (the date of the image with which it begins, empty without an event), and the "
                            "pixel's spectrum at that date (without an event, at the first).")
    endmembers = SpectraOutput("TRUEENDMEMBERS", "True endmembers", help="Layer with the spectra of the materials, "
                               "named as in the library.")
    example = {"ENDMEMBERS": "library", "COUNT": 4, "MINANGLE": 1, "ROWS": 24, "COLUMNS": 32, "DATECOUNT": 12,
               "INTERVAL": 30, "SAMPLECOUNT": 4}

    def run(self, job):
        import numpy as np
        from rasterio.crs import CRS as Crs

        from ...algorithms.simulate.events import draw_samples, event_series
        from ...engine.raster import Grid
        rng = np.random.default_rng(job.value(self.seed))
        dates = regular_dates(job, self.start, self.interval, job.value(self.dates))
        library = complete(job, job.spectra(self.library))
        count = min(COUNT, library.P) if job.value(self.count) is None else job.value(self.count)
        spectra = draw(job, rng, library, count, job.value(self.angle))
        grid = Grid(job.value(self.columns), job.value(self.rows), Crs.from_epsg(CRS), **PLACE)
        self._check_memory(spectra, grid, len(dates))
        job.passes(2)
        series = event_series(
            spectra.M, grid.height, grid.width, rng, len(dates), job.value(self.classes), job.value(self.share),
            job.value(self.strength), job.value(self.spread), job.value(self.snr),
            YEAR / job.value(self.interval), job.value(self.seasonal), job.value(self.contrast),
            callback=lambda t, _: job.progress(t + 1, len(dates)))
        pixels = draw_samples(series, rng, job.value(self.samples_per_class),
                              FREE * job.value(self.samples_per_class))
        self._write(job, series, spectra, grid, dates)
        self._give_samples(job, series, pixels, spectra, grid, dates)
        job.give_spectra(self.endmembers, replace(spectra, points=None))
        job.say("{dates} images of {pixels} pixels of {bands} bands, mixed of {count} spectra: {names}.",
                dates=len(dates), pixels=grid.width * grid.height, bands=len(spectra.x), count=spectra.P,
                names=", ".join(spectra.names))
        for number, name in enumerate(series.names):
            job.say("{event}: {count} pixels, of {material}.", event=name,
                    count=int((series.label == number + 1).sum()), material=spectra.names[series.material[number]])

    def _check_memory(self, spectra, grid, T):
        """Every image as float32; fractions, and one date's mixture, background and noise, as float64."""
        from ...algorithms.simulate.scene import field_bytes
        from ...engine.memory import need
        L, P = len(spectra.x), spectra.P
        need(grid.width * grid.height * (4 * T * (L + 1) + 40 * L + 48 * P) + field_bytes(grid.height, grid.width),
             "Make the images smaller or fewer, or use a library of fewer bands.")

    def _write(self, job, series, spectra, grid, dates):
        from rasterio.windows import Window

        from ...engine.dates import written
        from ...engine.palette import colours
        window = Window(0, 0, grid.width, grid.height)
        bands = [f"{x:.6g} nm" if spectra.wavelengths else f"Band {x:.0f}" for x in spectra.x]
        options = {"wavelengths": spectra.x} if spectra.wavelengths else {}
        for t, file in enumerate(job.dated_rasters(self.images, dates, grid, bands, **options)):
            with file:
                file.write(window, series.Y[t])
            job.progress(t + 1, len(dates))
        if job.wants(self.event):
            with job.raster(self.event, grid, [self.event.label], dtype="uint8", nodata=None) as file:
                file.write(window, series.label)
            job.classes(self.event, [NONE, *series.names], [TRANSPARENT, *colours(series.names)],
                        range(len(series.names) + 1))
        if job.wants(self.date):
            with job.raster(self.date, grid, [self.date.label], dtype="uint16", nodata=0) as file:
                file.write(window, series.date + 1)
            job.classes(self.date, [written(date) for date in dates])
        if job.wants(self.true_strength):
            with job.raster(self.true_strength, grid, [self.true_strength.label]) as file:
                file.write(window, series.strength)

    def _give_samples(self, job, series, pixels, spectra, grid, dates):
        from ...engine.dates import written
        label, date = series.label[pixels], series.date[pixels]
        rows, columns = divmod(pixels, grid.width)
        names = [series.names[number - 1] if number else NONE for number in label]
        began = [written(dates[number]) if number >= 0 else None for number in date]
        job.give_spectra(self.samples, replace(
            spectra, names=names, M=series.Y[date.clip(0), :, pixels].T,
            sources=[f"row {row}, column {column}" for row, column in zip(rows, columns)],
            points=[grid.transform * (float(column) + 0.5, float(row) + 0.5) for row, column in zip(rows, columns)],
            attributes=[{"event": name, "eventdate": begin} for name, begin in zip(names, began)]), grid)
