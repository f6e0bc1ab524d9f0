"""The tool `abundanceprofile`."""

from dataclasses import dataclass

from ...engine.declare import FeaturesInput, FieldInput, Group, RastersInput, TableOutput, Tool
from .. import _shared
from . import _sequence

PLOTS = 20         # features that a report shows
ROWS = 1_000_000   # of the table: more make a file that neither QGIS nor its user can work with


class AbundanceProfile(Tool):
    """How the fractions at places of yours change over time: at points, or on average over polygons.

    A point takes the pixel that contains it. A polygon takes the mean of the pixels whose centres it contains, and one
    too small for any takes the pixels that it touches. Each feature has a profile of its own, and only pixels with a
    value in every band count.

    A date at which a feature has only nodata stays in the table, without a fraction, and leaves a gap in its curve.
    Features that lie outside the images, or on nodata at every date, are left out, and how many is said."""

    id = "abundanceprofile"
    label = "Fractions over time at points and polygons"
    group = Group.TIME
    tags = ("multitemporal", "time series", "sequence", "profile", "abundance", "fraction", "zonal statistics",
            "temporal", "curve", "endmember", "field", "plot")
    citation = ("Borsoi, Imbiriba and Closas, Dynamical hyperspectral unmixing with variational recurrent neural "
                "networks, IEEE Transactions on Image Processing 32, 2023 (abundances over time)")
    prefer = ("To see curves of points or fields that you know. For maps of all that changed, take Changes of "
              "abundances.")
    doi = ("10.1109/TIP.2023.3266660",)

    images = RastersInput("IMAGES", "Abundances", spectral=False, help="Abundances of one place, at least two dates, "
                          "in the order of their dates: layers or files on one grid with a band per endmember, named "
                          "after it, in any order, as the tools for sequences write them; " + _sequence.FOLDER)
    dates = _sequence.DATES
    features = FeaturesInput("FEATURES", "Points or polygons", raster="IMAGES", help="Layer of points or polygons on "
                             "the images, in any CRS.")
    namefield = FieldInput("NAMEFIELD", "Name field", layer="FEATURES", optional=True, help="Field that names the "
                           "features in table and report; of several with the same name the later get a number. None "
                           "(the default): the field name if there is one, else the feature's number.")
    uncertainty = RastersInput("UNCERTAINTY", "Uncertainty of the abundances", spectral=False, optional=True,
                               help="Standard deviations of the abundances, as some tools for sequences write them: "
                               "rasters of the same dates, on the same grid and with the same names of bands. "
                               "None (the default): the table has no standard deviations.")
    profiles = TableOutput("PROFILES", "Profiles", optional=False, help="Table with a row per feature, date and "
                           "endmember: feature, date (ISO 8601), endmember, fraction (0 to 1, a polygon's mean), sd, "
                           "spread and pixels. sd is the standard deviation of the fraction's error, from the given "
                           "uncertainty; for a polygon the mean of its pixels' standard deviations, which holds where "
                           "they err together and is the most it can be (independent errors: divided by the root of "
                           "the number of pixels). spread is the standard deviation of the fractions within a "
                           "polygon, empty for one pixel. pixels is how many have a value at that date.")
    report = _shared.REPORT
    example = {"IMAGES": "fractionimages", "FEATURES": "samples", "NAMEFIELD": "class"}

    def run(self, job):
        import numpy as np

        from ...engine.sentences import UserError
        sequence = job.sequence(self.images)
        names, orders = sequence.grid.band_names, _sequence.orders_by_name(sequence.scenes)
        uncertainty = self._uncertainty(job, sequence)
        groups = self._groups(job, sequence.grid)
        rows = len(groups) * sequence.T * len(names)
        if rows > ROWS:
            raise UserError("{features} features at {dates} dates with {names} endmembers make {rows} rows, and a "
                            "table holds {most} at most. Select features.", features=len(groups), dates=sequence.T,
                            names=len(names), rows=rows, most=ROWS)
        job.passes(sequence.T * (2 if uncertainty else 1))
        fractions = taken(sequence.scenes, orders, groups, job)
        _shared.expect_fractions(job, fractions.mean.transpose(1, 0, 2)[:, fractions.pixels > 0])
        errors = None
        if uncertainty:
            errors = np.where(fractions.pixels[:, None] > 0, taken(*uncertainty, groups, job).mean, np.nan)
        kept = self._with_values(job, fractions)
        profiles = [Profile(groups[g].name, fractions.pixels[:, g], fractions.mean[:, :, g],
                            None if errors is None else errors[:, :, g], fractions.spread[:, :, g]) for g in kept]
        job.give_table(self.profiles, table(profiles, sequence.names, names))
        self._report(job, profiles, sequence, names)

    def _uncertainty(self, job, sequence):
        """The scenes of standard deviations, one for each date, and their orders of bands; None if not given."""
        from ...engine.dates import written
        from ...engine.sentences import UserError
        from ...engine.sequences import check_same_place
        if job.value(self.uncertainty) is None:
            return None
        given = job.sequence(self.uncertainty)
        by_date = dict(zip(given.dates, given.scenes))
        missing = [date for date in sequence.dates if date not in by_date]
        if missing:
            raise UserError("The uncertainty has no raster of {date}: its dates are {dates}. Give the rasters that "
                            "belong to the abundances, of the same dates.", date=written(missing[0]),
                            dates=", ".join(given.names))
        check_same_place(sequence.grid, given.grid)
        scenes = [by_date[date] for date in sequence.dates]
        return scenes, _sequence.orders_by_name(scenes, sequence.grid)

    def _groups(self, job, grid):
        """Each feature with its own name: `samples.Group`s."""
        from ...engine.bands import unique
        from ...engine.samples import group_samples
        from ...engine.sentences import UserError
        features, field = job.features(self.features), job.value(self.namefield)
        known = list(features[0]["attributes"]) if features else []
        if field and features and field not in known:
            raise UserError("The features have no field {field}. Choose one of: {fields}.", field=field,
                            fields=", ".join(known))
        if not features:
            raise UserError("The layer of points or polygons has no features. Choose a layer with some, or clear its "
                            "selection and filter.")
        groups = [group for feature in features for group in group_samples(grid, [
            {**feature, "attributes": {"name": label(feature, field)}}])[0]]
        for group, name in zip(groups, unique([group.name for group in groups])):
            group.name = name
        return groups

    @staticmethod
    def _with_values(job, fractions):
        """Numbers of the features that have a value at some date; the others are counted and said."""
        import numpy as np

        from ...engine.sentences import UserError
        some, outside = fractions.pixels.any(axis=0), ~(fractions.pixels + fractions.masked).any(axis=0)
        if not some.any():
            raise UserError("None of the {count} features has a value: {outside} lie outside the images, and "
                            "{nodata} on pixels that are nodata at every date. Choose features in the images' area, "
                            "and check the CRS of both.", count=len(some), outside=int(outside.sum()),
                            nodata=int((~outside).sum()))
        if outside.any():
            job.warn("Left out {count} features that lie outside the images.", count=int(outside.sum()))
        if (~some & ~outside).any():
            job.warn("Left out {count} features on pixels that are nodata at every date.",
                     count=int((~some & ~outside).sum()))
        gaps = int((fractions.pixels[:, some] == 0).any(axis=0).sum())
        if gaps:
            job.say("{count} features have dates at which all their pixels are nodata: their curves have gaps.",
                    count=gaps)
        return np.flatnonzero(some).tolist()

    def _report(self, job, profiles, sequence, names):
        report = job.report(self.report)
        if report is None:
            return
        report.numbers(features=len(profiles), dates=sequence.T, endmembers=len(names))
        if len(profiles) > PLOTS:
            report.paragraph(f"The first {PLOTS} of {len(profiles)} features are shown; the table of profiles holds "
                             "all.")
        for profile in profiles[:PLOTS]:
            report.heading(profile.heading())
            half, words = profile.band()
            report.history(sequence.names, dict(zip(names, profile.fractions.T)), "Fraction",
                           None if half is None else dict(zip(names, half.T)))
            if words:
                report.paragraph(words)
        report.heading("From the first date with a value to the last")
        report.table(["Feature", "Endmember", "From", "To", "First", "Last", "Change", "Lowest", "Highest"],
                     [row for profile in profiles[:PLOTS] for row in profile.summary(sequence.names, names)])
        job.give_report(self.report, report)


@dataclass(frozen=True)
class Profile:
    """One feature's fractions, errors and spread (T, P), NaN where there are none, and its pixels (T,) with values."""

    name: str
    pixels: object
    fractions: object
    errors: object
    spread: object

    def heading(self):
        most = int(self.pixels.max())
        return f"{self.name}: {most} pixels, mean" if most > 1 else self.name

    def band(self):
        """What a plot shows around the curves, (T, P) or None, and what that is, in words."""
        if self.errors is not None:
            return self.errors, "Band: one standard deviation of the fraction's error to either side."
        if self.pixels.max() > 1:
            return self.spread, "Band: one standard deviation of the polygon's pixels to either side."
        return None, ""

    def summary(self, dates, names):
        """A row per endmember: the first and last value, with their dates, and what lies between."""
        known = self.pixels.nonzero()[0]
        first, last = known[0], known[-1]
        return [[self.name, name, dates[first], dates[last], values[0], values[-1], values[-1] - values[0],
                 values.min(), values.max()] for name, values in zip(names, self.fractions[known].T)]


@dataclass(frozen=True)
class Taken:
    """Mean and standard deviation (T, P, G) of each group's pixels, and how many (T, G) have values or none."""

    mean: object
    spread: object
    pixels: object
    masked: object


def taken(scenes, orders, groups, job):
    """What is under the `groups` of samples at each date, the bands in `orders`; scene by scene, in blocks."""
    import numpy as np

    from ...engine.samples import sampled
    T, P, G = len(scenes), scenes[0].L, len(groups)
    sums, squares = np.zeros((T, P, G)), np.zeros((T, P, G))
    pixels, masked = np.zeros((T, G), dtype=int), np.zeros((T, G), dtype=int)
    for t, (scene, order) in enumerate(zip(scenes, orders)):
        for number, A, _, missing in sampled(scene, groups, job.progress):
            A = A[order]
            sums[t, :, number] += A.sum(axis=1, dtype=np.float64)
            squares[t, :, number] += np.square(A, dtype=np.float64).sum(axis=1)
            pixels[t, number] += A.shape[1]
            masked[t, number] += missing
    count = np.where(pixels, pixels, np.nan)[:, None]
    mean = sums / count
    spread = np.sqrt(np.maximum(squares / count - mean ** 2, 0))
    return Taken(mean, np.where(count > 1, spread, np.nan), pixels, masked)


def table(profiles, dates, names):
    """Rows of all profiles, by feature, date and endmember; NaN where there is no value."""
    nothing = float("nan")
    return [{"feature": profile.name, "date": date, "endmember": name, "fraction": profile.fractions[t, p],
             "sd": nothing if profile.errors is None else profile.errors[t, p], "spread": profile.spread[t, p],
             "pixels": profile.pixels[t]}
            for profile in profiles for t, date in enumerate(dates) for p, name in enumerate(names)]


def label(feature, field):
    """A feature's name: the value of its `field`, else its field `name`, else its number."""
    value = feature["attributes"].get(field or "name")
    return f"feature {feature['id']}" if value is None or not str(value).strip() else value
