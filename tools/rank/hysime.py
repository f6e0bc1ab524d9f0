"""The tool `hysime`."""

from ...engine.declare import Group, Tool
from .. import _shared


class SignalSubspace(Tool):
    """Number of spectrally distinct materials in a scene: the directions that hold more signal than noise.

    HySime estimates the noise of every band from the other bands, and keeps those directions of the data whose signal
    outweighs it. The result is an upper guess at the number of endmembers: variation within a material counts as a
    direction of its own.

    It reads the raster once, in bounded memory."""

    id = "hysime"
    label = "HySime: number of endmembers"
    group = Group.RANK
    tags = ("rank", "number of endmembers", "how many materials", "virtual dimensionality", "intrinsic dimension",
            "signal subspace", "HySime")
    citation = "Bioucas-Dias and Nascimento, Hyperspectral Subspace Identification, IEEE TGRS 46(8), 2008"
    prefer = ("Take it first where one method is to do: there is nothing to tune, and on simulated scenes with little "
              "noise it was exact. Estimate the number by several methods tells whether others agree.")
    doi = ("10.1109/TGRS.2008.918089",)

    image, bands = _shared.INPUT, _shared.BANDS
    rank, report = _shared.RANK, _shared.REPORT
    example = {"INPUT": "scene"}

    def run(self, job):
        from ...algorithms.pixels import moments
        from ...algorithms.prepare.noise import regression_noise
        from ...algorithms.rank.hysime import hysime
        scene = job.scene(self.image)
        found = moments(scene.pixels(progress=job.progress))
        result = hysime(found, regression_noise(found))
        job.give_number(self.rank, result.rank)
        _shared.warn_of_noise(job, result.rank)
        _shared.warn_of_few_pixels(job, scene, found.N)
        job.say("The signal subspace has {rank} dimensions.", rank=result.rank)
        report = job.report(self.report)
        if report:
            add_hysime(report, result, found.N)
            job.give_report(self.report, report)


def add_hysime(report, result, pixels):
    """The plots that show how HySime decided."""
    import plotly.graph_objects as go
    shown = min(len(result.powers), max(3 * result.rank, 20))
    report.numbers(Number_of_endmembers=result.rank, Bands=len(result.powers), Pixels=pixels)
    report.curve(range(shown + 1), result.mse[:shown + 1], "Mean squared error against the number of directions",
                 "Number of directions", "Projection error plus noise power", mark=result.rank, logarithmic=True)
    figure = go.Figure()
    order = list(range(1, shown + 1))
    figure.add_scatter(x=order, y=result.powers[:shown], name="signal and noise power", mode="lines+markers")
    figure.add_scatter(x=order, y=2 * result.noise_powers[:shown], name="twice the noise power", mode="lines+markers")
    figure.update_layout(xaxis_title="Direction", yaxis_title="Power (input units squared)", yaxis_type="log")
    report.heading("Power of each direction: kept where the first curve is above the second")
    report.plot(figure)
