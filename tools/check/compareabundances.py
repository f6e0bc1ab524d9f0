"""The tool `compareabundances`."""

from ...engine.declare import FeaturesInput, FieldInput, Group, NumberOutput, RasterInput, TableOutput, Text, Tool
from .. import _shared
from ._pairs import MATCH, pairs

SHOWN = 4000    # pixels in the report's scatter plots
SHIFT = 0.1     # pixels by which two grids may differ and still be the same
PERCENT = 1.5   # a fraction above this is in percent


class CompareAbundances(Tool):
    """Root-mean-square error and R2 of abundances against a reference, for each endmember and on average.

    The reference is a raster of true fractions on the same grid, or points with the true fraction in a field. Only
    pixels with a value in both count.

    Where the reference is one cover that several endmembers make up, such as vegetation, name these endmembers: their
    fractions are added up before the comparison.

    R2 is 1 for a perfect result and 0 for one no better than the reference's mean everywhere; it can be negative."""

    id = "compareabundances"
    label = "Compare abundances with a reference"
    group = Group.CHECK
    tags = ("accuracy", "validation", "RMSE", "R2", "abundance", "fraction", "ground truth", "reference", "error",
            "quality")
    citation = ("Abdelgawad, Cheung and Yan, Efficient Blind Hyperspectral Unmixing Framework Based on CUR "
                "Decomposition (CUR-HU), Remote Sensing 16(5), 2024, eq. 23 (RMSE)")
    prefer = ("When true fractions are known, as a raster or at points. For spectra take Compare endmembers, for a "
              "fused image Compare a fused image.")
    doi = ("10.3390/rs16050766",)

    abundances = _shared.GIVEN_ABUNDANCES
    reference = RasterInput("REFERENCE", "Reference raster", spectral=False, optional=True, help="Raster of true "
                            "fractions, 0 to 1, with one band per material, of the same size and position as the "
                            "abundances (of the same size alone where either has no georeference).")
    points = FeaturesInput("POINTS", "Reference points", raster="ABUNDANCES", geometries=("point",), optional=True,
                           help="Points with true fractions, instead of a reference raster. Each is compared with the "
                                "pixel that it lies in.")
    fields = FieldInput("FRACTIONFIELD", "Fraction fields", layer="POINTS", numeric=True, several=True, optional=True,
                        help="Fields of the points with the true fractions, 0 to 1, one per material.")
    match = MATCH
    materials = Text("MATERIALS", "Endmembers to add up", optional=True, help="Names of bands of the abundances, "
                     "separated by commas, whose sum is compared with a reference of one field or band, for example "
                     "tree, grass against the vegetation fraction; tree* stands for every name that starts with tree. "
                     "Default none: each band is compared by itself.")
    rmse = NumberOutput("RMSE", "Mean RMSE of the abundances", help="Root-mean-square error of the fractions, averaged "
                        "over the endmembers compared: 0 is perfect, 1 the worst.")
    r2 = NumberOutput("R2", "Mean R2 of the abundances", help="Coefficient of determination, averaged over the "
                      "endmembers compared whose reference varies: 1 is perfect.")
    table = TableOutput("TABLE", "Errors of each endmember", create=False, help="Table with one row per endmember "
                        "compared: reference, endmember, rmse, r2, and the mean fractions of both.")
    report = _shared.REPORT
    example = {"ABUNDANCES": "abundances", "REFERENCE": "abundances"}

    def run(self, job):
        import numpy as np

        from ...engine.sentences import UserError
        scene = job.scene(self.abundances)
        names, blocks, pixels = self._reference(job, scene)
        estimates, combine = self._estimates(job, scene.band_names, names)
        by = job.value(self.match) if estimates == scene.band_names else "assignment"
        found, sample = accumulate(((A, combine(A_hat)) for A, A_hat in blocks), len(names), len(estimates),
                                   max(1, pixels // SHOWN))
        if not found.N:
            raise UserError("No pixel has a value in both the abundances and the reference. Choose a reference that "
                            "lies on the abundances.")
        matched = pairs(job, by, names, estimates, found.rmse)
        rmse, r2 = (np.array([values[pair] for pair in matched]) for values in (found.rmse, found.r2))
        rows = [(names[p], estimates[q], found.rmse[p, q], found.r2[p, q], found.reference_mean[p],
                 found.estimate_mean[q]) for p, q in matched]
        for name, other, error, share, *_ in rows:
            job.say("{endmember}: RMSE {rmse} and R2 {r2}.", rmse=f"{error:.4f}", r2=f"{share:.4f}",
                    endmember=other if other == name else f"{other} ({name})")
        mean_r2 = float(np.nanmean(r2)) if np.isfinite(r2).any() else float("nan")
        job.give_number(self.rmse, float(rmse.mean()))
        if np.isfinite(mean_r2):
            job.give_number(self.r2, mean_r2)
        else:
            job.warn("The reference is the same everywhere, so there is no R2.")
        columns = ("reference", "endmember", "rmse", "r2", "reference_mean", "endmember_mean")
        job.give_table(self.table, [dict(zip(columns, row)) for row in rows])
        report = job.report(self.report)
        if report:
            report.numbers(Mean_RMSE=float(rmse.mean()), Mean_R2=mean_r2, Pixels=found.N)
            report.heading("Errors of each endmember")
            report.table(["Reference", "Compared with", "RMSE", "R2", "Mean of the reference",
                          "Mean of the abundances"], rows)
            add_scatter(report, sample, matched, names, estimates)
            job.give_report(self.report, report)

    def _reference(self, job, scene):
        """
        Names of the references, a stream of blocks (reference (P, n), abundances (Q, n)) where both are known, and the
        number of pixels at most in it.
        """
        from ...engine.sentences import UserError
        raster, points, fields = job.scene(self.reference), job.features(self.points), job.value(self.fields)
        if (raster is None) == (points is None):
            raise UserError("Give either a reference raster or reference points, so that there is one truth to compare "
                            "with.")
        if raster is not None:
            same_grid(scene, raster)
            return raster.band_names, raster_blocks(job, scene, raster), scene.width * scene.height
        if not fields:
            raise UserError("Choose the field of the points that holds the true fractions (FRACTIONFIELD).")
        check_fields(points, fields)
        return list(fields), [point_block(job, scene, points, fields)], len(points)

    def _estimates(self, job, bands, names):
        """Names of what is compared, and the function that makes it of the abundances (Q, n)."""
        from ...engine.sentences import UserError
        wanted = [name.strip() for name in (job.value(self.materials) or "").split(",") if name.strip()]
        if not wanted:
            return bands, lambda A_hat: A_hat
        if len(names) != 1:
            raise UserError("The sum of endmembers is compared with one reference, and there are {count}: {names}. "
                            "Give a single field or band.", count=len(names), names=", ".join(names))
        found = {name: [number for number, band in enumerate(bands) if meant(name, band)] for name in wanted}
        unknown = [name for name, rows in found.items() if not rows]
        if unknown:
            raise UserError("{name} is no band of the abundances, which are: {bands}. Give names of these.",
                            name=unknown[0], bands=", ".join(bands))
        rows = sorted({row for rows in found.values() for row in rows})
        return [" + ".join(bands[row] for row in rows)], lambda A_hat: A_hat[rows].sum(axis=0, keepdims=True)


def meant(name, band):
    """Whether a name that the user gave, `*` at its end standing for anything, means a band, whatever the case."""
    name, band = name.casefold(), band.strip().casefold()
    return band.startswith(name[:-1]) if name.endswith("*") else band == name


def same_grid(scene, reference):
    """Raise UserError where two rasters have not the same size, or not the same position, both being georeferenced."""
    import numpy as np

    from ...engine.sentences import UserError
    same = (scene.width, scene.height) == (reference.width, reference.height)
    if same and not (scene.transform.is_identity or reference.transform.is_identity):
        corners = [(0, 0), (scene.width, 0), (0, scene.height)]
        same = all(np.hypot(*np.subtract(~scene.transform * (reference.transform * corner), corner)) < SHIFT
                   for corner in corners)
        known = scene.crs and reference.crs and scene.crs.to_epsg() and reference.crs.to_epsg()
        same = same and (not known or known == scene.crs.to_epsg())
    if not same:
        raise UserError("The abundances and the reference are not on the same grid: {grid} against {other}. Bring the "
                        "reference to the abundances' grid first (Warp, with their extent, pixel size and CRS).",
                        grid=_grid(scene), other=_grid(reference))


def _grid(scene):
    """Size, pixel size, upper left corner and CRS of a raster, in words and figures."""
    t = scene.transform
    return (f"{scene.width} x {scene.height} pixels of {abs(t.a):.6g} x {abs(t.e):.6g} at {t.c:.10g}, {t.f:.10g}"
            + (f" (EPSG:{scene.crs.to_epsg()})" if scene.crs and scene.crs.to_epsg() else ""))


def raster_blocks(job, scene, reference):
    """The pixels that both rasters have, block by block: (reference (P, n), abundances (Q, n))."""
    windows = scene.windows(bands=scene.count + reference.count)
    for done, window in enumerate(windows, 1):
        (A_hat, known), (A, true) = scene.read(window), reference.read(window)
        both = known & true
        yield fractions(A[:, both]), A_hat[:, both]
        job.progress(done, len(windows))


def point_block(job, scene, points, fields):
    """True fractions of the points and the abundances of the pixels they lie in: (P, n), (Q, n)."""
    import numpy as np
    A, A_hat = [], []
    for point in points:
        true = [point["attributes"].get(field) for field in fields]
        place = None if None in true else _pixel(scene, point["geometry"])
        estimate = None if place is None else scene.at(*place)
        if estimate is not None and np.isfinite(estimate).all() and np.isfinite(np.array(true, dtype=float)).all():
            A.append(true)
            A_hat.append(estimate)
    job.say("{used} of {count} points have a fraction and lie on a pixel with abundances.", used=len(A),
            count=len(points))
    shape = (len(fields), 0), (scene.L, 0)
    A, A_hat = (np.array(values, dtype=np.float64).T if values else np.zeros(empty)
                for values, empty in zip((A, A_hat), shape))
    return fractions(A), A_hat


def check_fields(points, fields):
    """Raise UserError where the points lack one of the fields, or it holds texts."""
    from ...engine.sentences import UserError
    for field in fields:
        if points and field not in points[0]["attributes"]:
            raise UserError("The points have no field {field}. Choose one of: {fields}.", field=field,
                            fields=", ".join(points[0]["attributes"]))
        for point in points:
            value = point["attributes"][field]
            if value is not None and not isinstance(value, (int, float)):
                raise UserError("The field {field} holds {value}, which is no number. Choose a field of fractions from "
                                "0 to 1.", field=field, value=value)


def _pixel(scene, geometry):
    """Row and column of a point, or of a multipoint's only point; None outside the raster."""
    places = geometry["coordinates"]
    if geometry["type"] == "MultiPoint":
        places = places[0] if len(places) == 1 else None
    return places and scene.pixel_at(*places[:2])


def fractions(A):
    """The reference `A`, checked to be fractions."""
    from ...engine.sentences import UserError
    if A.size and A.max() > PERCENT:
        raise UserError("The reference holds {value}, and a fraction is at most 1. Divide it by 100 if it is in "
                        "percent.", value=f"{float(A.max()):.4g}")
    return A


def accumulate(blocks, P, Q, step):
    """The agreement over all blocks, and of every `step`-th pixel (reference (P, n), abundances (Q, n)) for plots."""
    import numpy as np

    from ...algorithms.check.agreement import Agreement
    found, sample = Agreement(P, Q), []
    for A, A_hat in blocks:
        start = -found.N % step
        found.add(A, A_hat)
        sample.append((A[:, start::step], A_hat[:, start::step]))
    return found, [np.concatenate(parts, axis=1) for parts in zip(*sample)]


def add_scatter(report, sample, matched, names, estimates):
    """Abundance against reference, a plot per pair, with the line on which both agree."""
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    from ...engine.palette import colours
    columns = min(3, len(matched))
    rows = -(-len(matched) // columns)
    titles = [names[p] if names[p] == estimates[q] else f"{names[p]}: {estimates[q]}" for p, q in matched]
    figure = make_subplots(rows, columns, subplot_titles=titles, x_title="Reference fraction", y_title="Abundance")
    for number, ((p, q), colour) in enumerate(zip(matched, colours([names[p] for p, _ in matched]))):
        place = dict(row=number // columns + 1, col=number % columns + 1)
        figure.add_trace(go.Scattergl(x=sample[0][p], y=sample[1][q], mode="markers", showlegend=False,
                                      marker=dict(size=4, color=colour, opacity=0.5)), **place)
        figure.add_trace(go.Scatter(x=[0, 1], y=[0, 1], mode="lines", showlegend=False,
                                    line=dict(color="#444", width=1, dash="dash")), **place)
    report.heading("Abundance against reference")
    report.plot(figure, height=60 + 300 * rows)
