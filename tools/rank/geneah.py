"""The tool `geneah`, and what it shares with `genech`."""

from ...engine.declare import Group, Integer, Real, Tool
from .. import _shared

PFA = Real("PFA", "Probability of false alarm", default=1e-5, minimum=1e-15, maximum=0.499999, help="How often a pixel "
           "that is no new material may pass for one, above 0 and below 0.5; no unit. A smaller one gives a smaller "
           "number; at 0.001 expect one to four too many. Default 0.00001.")

NMAX = Integer("NMAX", "Largest number considered", default=25, minimum=2, maximum=500, help="An overestimate of the "
               "number of materials, 2 to 500, and never more than the bands in use. A larger one takes longer and "
               "tests against weaker directions. Default 25.")


class AffineHull(Tool):
    """Number of materials in a scene by its extreme pixels, which need not be pure (GENE-AH).

    Pixels are taken one after the other, each as far as possible from the span of those before it, until the next lies
    in their affine hull but for noise. It takes the noise to be Gaussian and independent; on real scenes, where it is
    not, the largest number considered is often reached, and a warning says so.

    It reads the raster twice, in bounded memory, and keeps reduced pixels on disk."""

    id = "geneah"
    label = "GENE-AH: number of endmembers"
    group = Group.RANK
    tags = ("rank", "number of endmembers", "how many materials", "affine hull", "geometry", "GENE-AH")
    citation = ("Ambikapathi, Chan, Chi and Keizer, Hyperspectral Data Geometry-Based Estimation of Number of "
                "Endmembers Using p-Norm-Based Pure Pixel Identification Algorithm, IEEE TGRS 51(5), 2013")
    prefer = ("Take it where no pixels are pure and the noise is weak and simple, as in simulated scenes. On real "
              "scenes take HySime or NWHFC.")

    image, pfa, n_max, bands = _shared.INPUT, PFA, NMAX, _shared.BANDS
    rank, report = _shared.RANK, _shared.REPORT
    example = {"INPUT": "scene"}

    def run(self, job):
        run_gene(self, job, "affine")


def run_gene(tool, job, hull):
    """Number and report of a hull test."""
    from ...algorithms.pixels import moments
    from ...algorithms.prepare.noise import regression_noise
    job.passes(2)
    pixels = job.scene(tool.image).pixels(progress=job.progress)
    found = moments(pixels)
    (result,) = estimate(pixels, found, regression_noise(found), job.value(tool.n_max), job.value(tool.pfa), [hull])
    job.give_number(tool.rank, result.rank)
    if result.reached:
        warn_of_limit(job, tool.label, result)
    else:
        job.say("{rank} extreme pixels lie outside the hull of those before them.", rank=result.rank)
    report = job.report(tool.report)
    if report:
        report.numbers(Number_of_endmembers=result.rank, Bands=len(found.mean), Pixels=found.N)
        add_gene(report, result)
        job.give_report(tool.report, report)


def warn_of_limit(job, label, result):
    """Tell the user that the number is no more than the limit."""
    job.warn("{label}: all {rank} pixels considered lie outside the hull of those before them, so the number is a "
             "lower bound. Raise the largest number considered, or lower the probability of false alarm.",
             label=label, rank=result.rank)


def estimate(pixels, found, noise, n_max, pfa, hulls):
    """Results of the hull tests `hulls` on one set of reduced pixels: one pass over the raster."""
    from ...algorithms.pixels import blocks
    from ...algorithms.rank.geneah import gene, gene_reduction
    from ...engine.spool import Spool
    reduction = gene_reduction(found, noise, min(n_max, len(found.mean)))
    with Spool() as reduced:
        for block in pixels:
            for part in blocks(block):
                reduced.append(reduction.apply(part))
        return [gene(reduced, reduction, pfa, hull) for hull in hulls]


def add_gene(report, result):
    """The plot that shows how the test decided."""
    import plotly.graph_objects as go
    figure, order = go.Figure(), list(range(2, len(result.statistics) + 2))
    figure.add_scatter(x=order, y=result.statistics, name="distance from the hull, in units of noise (r)",
                       mode="lines+markers")
    figure.add_scatter(x=order, y=[result.threshold] * len(order), name="threshold", mode="lines")
    figure.update_layout(xaxis_title="Extreme pixel", yaxis_title="r", yaxis_type="log")
    report.heading("Each extreme pixel: the first at or below the threshold is no new material")
    report.plot(figure)
