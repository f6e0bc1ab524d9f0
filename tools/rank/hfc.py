"""The tool `hfc`, and what it shares with `nwhfc`."""

from ...engine.declare import Group, Real, Tool
from .. import _shared

PFA = Real("PFA", "Probability of false alarm", default=1e-3, minimum=1e-15, maximum=0.499999, help="How often noise "
           "alone may pass the test for a material, above 0 and below 0.5; no unit. A smaller one gives a smaller "
           "number. Usual are 0.001 to 0.00001; default 0.001.")


class VirtualDimensionality(Tool):
    """Number of spectrally distinct signals in a scene whose noise is equally strong in all bands (HFC).

    The eigenvalues of the correlation matrix exceed those of the covariance matrix wherever the mean spectrum holds a
    signal; a Neyman-Pearson test decides for each. Where the noise is not equally strong in all bands, it counts far
    too many. Many weak or similar materials are missed.

    It reads the raster once, in bounded memory."""

    id = "hfc"
    label = "HFC: number of endmembers"
    group = Group.RANK
    tags = ("rank", "number of endmembers", "how many materials", "virtual dimensionality", "HFC", "Neyman-Pearson")
    citation = ("Harsanyi, Farrand and Chang, Determining the number and identity of spectral endmembers, Proc. 9th "
                "Thematic Conf. Geologic Remote Sensing, 1993; Chang and Du, IEEE TGRS 42(3), 2004")
    prefer = ("Take it to compare with publications, or where the noise is known to be the same in all bands. "
              "Otherwise take NWHFC: on Indian Pines HFC gave 37 to 48, NWHFC 16 to 26.")

    image, pfa, bands = _shared.INPUT, PFA, _shared.BANDS
    rank, report = _shared.RANK, _shared.REPORT
    example = {"INPUT": "scene"}

    def run(self, job):
        from ...algorithms.pixels import moments
        from ...algorithms.rank.hfc import hfc
        found = moments(job.scene(self.image).pixels(progress=job.progress))
        give(self, job, hfc(found, job.value(self.pfa)), found.N)


def give(tool, job, result, pixels):
    """Number and report of an HFC test."""
    job.give_number(tool.rank, result.rank)
    _shared.warn_of_noise(job, result.rank)
    job.say("{rank} eigenvalues pass the test.", rank=result.rank)
    report = job.report(tool.report)
    if report:
        report.numbers(Number_of_endmembers=result.rank, Bands=len(result.thresholds), Pixels=pixels)
        add_hfc(report, result)
        job.give_report(tool.report, report)


def add_hfc(report, result):
    """The plot that shows how the test decided."""
    import plotly.graph_objects as go
    differences = result.correlation - result.covariance
    shown = min(len(differences), max(3 * result.rank, 20))
    figure, order = go.Figure(), list(range(1, shown + 1))
    figure.add_scatter(x=order, y=[value if value > 0 else None for value in differences[:shown].tolist()],
                       name="correlation's eigenvalue minus covariance's", mode="lines+markers")
    figure.add_scatter(x=order, y=result.thresholds[:shown], name="threshold", mode="lines+markers")
    figure.update_layout(xaxis_title="Eigenvalue, by size", yaxis_title="Difference", yaxis_type="log")
    report.heading("Each eigenvalue: counted where the first curve is above the second")
    report.plot(figure)
