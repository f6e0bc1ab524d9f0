"""The tool `simulatestates`."""

from dataclasses import replace

from ...engine.declare import (Choice, Flag, FolderOutput, Group, Integer, LayersOutput, RasterOutput, Real, Style,
                               Text, Tool)
from .. import _shared
from ._dates import regular_dates

PLACE = {"west": 500000.0, "south": 5800000.0, "size": 10.0}
CRS = 32633


class SimulateStates(Tool):
    """A series of maps that follow known dynamics, with noise, cloud gaps and abrupt changes, and the truth behind it.

    What tools for states and their noise, gaps and forecasts can be tried on. A walk takes random steps; a season
    comes back each year; logistic growth is a greening to a capacity, or a decay; FitzHugh-Nagumo (perturbed, two
    bands) and Lorenz '63 (three bands) are the systems on which filters that learn are compared. Starts, rates and
    phases differ from pixel to pixel in smooth fields.

    Clouds hide a share of the values in smooth patches, more at some dates than at others. In a share of the pixels,
    in patches, the state changes at once at a date in the middle half of the series: a walk falls by 0.3, the level of
    a season to half, a fraction to a fifth, and goes on from there. The same seed gives the same series.

    The images lie somewhere in UTM zone 33N, pixels of 10 m. The whole series is held in memory."""

    id = "simulatestates"
    label = "Simulate states"
    group = Group.SIMULATE
    tags = ("synthetic", "simulation", "ground truth", "multitemporal", "time series", "state", "dynamics", "clouds",
            "gap filling", "logistic growth", "phenology", "FitzHugh-Nagumo", "Lorenz", "Kalman filter", "index",
            "test data")
    citation = ("G. Chinellato, Deep Unfolding, PhD thesis, University of Padova, 2026, sections 6.4.5 and 6.5.2 (the "
                "two systems); maps, clouds and changes are Subpixel's own")
    prefer = ("To try the tools of Between and beyond the dates: gaps, forecasts, anomalies and dynamics. For spectra "
              "of several dates take Simulate a sequence.")

    case = Choice("CASE", "Dynamics", default="logistic", options={
        "walk": "Random walk", "seasonal": "Seasonal harmonics", "logistic": "Logistic growth or decay",
        "fitzhughnagumo": "FitzHugh-Nagumo", "lorenz": "Lorenz '63"},
        help="By which the states go on: a level that takes random steps; a wave of a year and one of half a year; a "
             "fraction that grows or decays; one of two systems of differential equations. Default logistic.")
    rate = Real("RATE", "Rate (per year)", default=4.0, minimum=-1000.0, maximum=1000.0, help="Of logistic growth, "
                "about which the rates of the pixels lie, within a third: negative for decay, -1000 to 1000. Default "
                "4. Not used for other dynamics.")
    rest = Flag("REST", "The rest as a second band", default=True, help="Give logistic fractions a second band, what "
                "they lack to 1, as tools for fractions need. Default yes. Not used for other dynamics.")
    steps = Real("STEPNOISE", "Random steps in a year", optional=True, minimum=0.0, maximum=1000.0, help="Standard "
                 "deviation of random steps, smooth in space, within a year, in units of the state: 0 or more. None "
                 "given: 0.3 for a walk, otherwise 0.")
    pace = Real("PACE", "System's time in a day", optional=True, minimum=1e-6, maximum=10.0, advanced=True,
                help="Units of a system's time that pass in a day, 0.000001 to 10. None given: 0.01 for "
                     "FitzHugh-Nagumo, 0.004 for Lorenz '63. Not used for other dynamics.")
    noise = Real("NOISE", "Noise (share of the truth's spread)", default=0.2, minimum=0.0, maximum=100.0,
                 help="Standard deviation of an image's noise, as a share of that of the truth over pixels and dates: "
                      "0 or more. The log says what it comes to. Default 0.2.")
    gaps = Real("GAPSHARE", "Share of gaps", default=0.3, minimum=0.0, maximum=0.8, help="Share of all values that "
                "clouds hide, 0 to 0.8. Default 0.3.")
    change = Real("CHANGESHARE", "Share of pixels that change at once", default=0.1, minimum=0.0, maximum=1.0,
                  help="0 to 1, in patches. Default 0.1. The two systems do not change.")
    rows = Integer("ROWS", "Rows", default=100, minimum=2, maximum=10000, help="Height in pixels. Default 100.")
    columns = Integer("COLUMNS", "Columns", default=100, minimum=2, maximum=10000, help="Width in pixels. Default 100.")
    dates = Integer("DATECOUNT", "Number of dates", default=24, minimum=4, maximum=1000, help="How many images, at "
                    "least 4. Default 24.")
    start = Text("START", "First date", default="2020-01-01", help="Date of the first image, as 2020-01-01, with or "
                 "without a time of day. Default 2020-01-01.")
    interval = Integer("INTERVAL", "Days from date to date", default=15, minimum=1, maximum=3660, help="Days from one "
                       "image to the next, 1 to 3660. Default 15.")
    seed = _shared.SEED
    images = FolderOutput("IMAGES", "Simulated images", style=Style.VALUES, dated=True, optional=False, help="Folder "
                          "with a raster per date, named after it, with a band per number of the state. Nodata (-9999) "
                          "under clouds.")
    layers = LayersOutput("IMAGELAYERS", "Simulated images as layers", folder="IMAGES", help="The rasters of the "
                          "folder as a list, for the next step of a model.")
    # a model makes no optional folder of which only the list of layers is used
    truth = FolderOutput("TRUTH", "True states", style=Style.VALUES, dated=True, optional=False, help="Folder with a "
                         "raster per date, with the same bands: the states without noise and clouds.")
    truth_layers = LayersOutput("TRUTHLAYERS", "True states as layers", folder="TRUTH", help="The rasters of that "
                                "folder as a list, for the next step of a model.")
    changed = RasterOutput("CHANGED", "True dates of the changes", style=Style.DATE, help="Raster with the number of "
                           "the image, from 1, at which each pixel changes at once. Nodata (0) without a change.")
    truths = RasterOutput("PARAMETERS", "True parameters", style=Style.COMPONENTS, create=False, help="Raster of "
                              "what differs from pixel to pixel, a band each: where the state starts, rate (per year) "
                              "and capacity; level, amplitudes and the day of the peak of a season.")
    example = {"ROWS": 24, "COLUMNS": 30, "DATECOUNT": 6, "INTERVAL": 60}

    def run(self, job):
        import numpy as np
        from rasterio.crs import CRS as Crs

        from ...algorithms.simulate.states import simulate_states
        from ...engine.raster import Grid
        case = job.value(self.case)
        dates = regular_dates(job, self.start, self.interval, job.value(self.dates))
        grid = Grid(job.value(self.columns), job.value(self.rows), Crs.from_epsg(CRS), **PLACE)
        self._check_memory(grid, len(dates))
        job.passes(2)
        days = np.array([(date - dates[0]).total_seconds() / 86400 for date in dates])
        series = simulate_states(
            case, grid.height, grid.width, days, np.random.default_rng(job.value(self.seed)),
            rest=case == "logistic" and job.value(self.rest),
            **{name: job.value(getattr(self, name)) for name in ("noise", "gaps", "change", "rate", "steps", "pace")})
        self._write(job, series, grid, dates)
        job.say("{dates} images of {pixels} pixels, of which {share} % are hidden.", dates=len(dates),
                pixels=grid.width * grid.height, share=f"{100 * (1 - series.valid.mean()):.1f}")
        for name, noise in zip(series.names, series.noise):
            job.say("{band}: noise of {noise}.", band=name, noise=f"{noise:.4g}")
        if (series.date >= 0).any():
            job.say("{count} pixels change at once.", count=int((series.date >= 0).sum()))

    def _check_memory(self, grid, T):
        """Of up to three bands truth, noise and images as float64, and their sums; what clouds and order need."""
        from ...algorithms.simulate.scene import field_bytes
        from ...engine.memory import need
        need(grid.width * grid.height * T * 150 + field_bytes(grid.height, grid.width),
             "Make the images smaller or fewer.")

    def _write(self, job, series, grid, dates):
        import numpy as np
        from rasterio.windows import Window

        from ...engine.dates import written
        window = Window(0, 0, grid.width, grid.height)
        style = Style.FRACTIONS if len(series.names) == 2 and "other" in series.names else Style.VALUES
        band = int(series.X.std(axis=(0, 2)).argmax())
        for output, values in ((self.images, series.Y), (self.truth, series.X)):
            output = replace(output, style=style)
            for t, file in enumerate(job.dated_rasters(output, dates, grid, series.names)):
                with file:
                    file.write(window, values[t])
                job.progress(t + 1, len(dates))
            job.show_band(output, band + 1)
            if style is Style.VALUES:
                job.give_range(output, *np.quantile(series.X[:, band], [0.02, 0.98]))
        if job.wants(self.changed):
            with job.raster(self.changed, grid, [self.changed.label], dtype="uint16", nodata=0) as file:
                file.write(window, series.date + 1)
            job.classes(self.changed, [written(date) for date in dates])
        if job.wants(self.truths):
            with job.raster(self.truths, grid, list(series.parameters)) as file:
                file.write(window, np.stack(list(series.parameters.values())))
