"""The tool `mdl`, and what it shares with `aic`."""

from ...engine.declare import Flag, Group, Tool
from .. import _shared

WHITEN = Flag("WHITEN", "Whiten the noise first", default=True, help="Divide every band by its noise, as estimated "
              "from the other bands. The criterion takes the noise to be equally strong in all bands; where it is not "
              "and this is off, nearly every band counts. Default yes.")


class MinimumDescriptionLength(Tool):
    """Number of materials in a scene by the minimum description length of its eigenvalues.

    A model of k directions plus white noise is fitted for every k, and the shortest description of model and data wins.
    Any structure in the noise counts as materials, so that on real scenes the number comes out near that of the bands.

    It reads the raster once, in bounded memory."""

    id = "mdl"
    label = "MDL: number of endmembers"
    group = Group.RANK
    tags = ("rank", "number of endmembers", "how many materials", "MDL", "minimum description length",
            "information criterion", "eigenvalues")
    citation = "Wax and Kailath, Detection of signals by information theoretic criteria, IEEE Trans. ASSP 33(2), 1985"
    prefer = ("Take it where the noise is independent, as in simulated scenes: with little noise it was exact there, "
              "where AIC now and then counted too many. On real scenes take HySime or NWHFC.")
    doi = ("10.1109/TASSP.1985.1164557",)

    image, whiten, bands = _shared.INPUT, WHITEN, _shared.BANDS
    rank, report = _shared.RANK, _shared.REPORT
    example = {"INPUT": "scene"}

    def run(self, job):
        from ...algorithms.rank.information import mdl
        give(self, job, mdl)


def give(tool, job, criterion):
    """Number and report of an information criterion."""
    from ...algorithms.pixels import moments
    from ...algorithms.prepare.noise import regression_noise
    from ...algorithms.rank.hfc import whitened
    found = moments(job.scene(tool.image).pixels(progress=job.progress))
    if job.value(tool.whiten):
        found = whitened(found, regression_noise(found))
    result = criterion(found)
    job.give_number(tool.rank, result.rank)
    job.say("The criterion is smallest for {rank} endmembers.", rank=result.rank)
    if result.rank > len(result.curve) / 2:
        job.warn("{rank} of {bands} possible endmembers: the noise is not as the criterion takes it to be. Take HySime "
                 "or NWHFC.", rank=result.rank, bands=len(result.curve))
    report = job.report(tool.report)
    if report:
        report.numbers(Number_of_endmembers=result.rank, Bands=len(result.curve), Pixels=found.N)
        add_information(report, result)
        job.give_report(tool.report, report)


def add_information(report, result):
    """The plots that show how the criterion decided."""
    shown = min(len(result.curve), max(2 * result.rank, 20))
    order = range(1, shown + 1)
    report.curve(order, result.curve[:shown], "Criterion against the number of endmembers: the smallest wins",
                 "Number of endmembers", "Criterion", mark=result.rank)
    report.curve(order, result.eigenvalues[:shown], "Eigenvalues of the covariance", "Eigenvalue, by size",
                 "Variance", logarithmic=True)
