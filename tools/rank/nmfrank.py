"""The tool `nmfrank`."""

from dataclasses import replace

from ...engine.declare import Choice, Group, Integer, Tool
from .. import _shared
from ..blind._factors import FactorTool, clipped
from .spice import MAXPIXELS, sample

METHODS = {"consensus": "Consensus: the median of them", "elbow": "Elbow of the reconstruction error",
           "cophenetic": "Cophenetic correlation over restarts", "crossvalidation": "Cross-validation",
           "mdl": "Minimum description length"}


class RankByFactorization(Tool):
    """Number of materials in a scene by how well spectra and fractions explain it, judged in four ways.

    For each number a sample of the pixels is factorized, from several random starts. The elbow is where the
    reconstruction error stops falling; the cophenetic correlation tells up to which number the starts agree on which
    material leads where; cross-validation predicts values that were held out; the description length weighs the fit
    against the size of the factors. The report shows all four curves. The recommended number is the median of those
    below the largest number tried, the larger of the two in the middle.

    On simulated mixtures cross-validation and the description length were nearly always right, the elbow came early in
    noise, and the correlation was off by one or two. On real scenes, where spectra vary and noise is no simple one,
    the curves fall on and on: a warning says which criterion chose the largest number tried. Negative values end the
    run, unless you have them clipped."""

    id = "nmfrank"
    label = "Number of endmembers by NMF"
    group = Group.RANK
    tags = ("rank", "number of endmembers", "how many materials", "NMF", "elbow", "cophenetic correlation",
            "cross-validation", "MDL")
    citation = ("Brunet, Tamayo, Golub and Mesirov, Metagenes and molecular pattern discovery using matrix "
                "factorization, PNAS 101(12), 2004 (cophenetic correlation); Wold, Technometrics 20(4), 1978 "
                "(cross-validation); Rissanen, Automatica 14(5), 1978 (description length)")
    prefer = ("Take it where spectra vary within a material, as on real scenes: the elbow found 3 materials on Samson, "
              "which has 3, and 5 on Jasper Ridge, which has 4. HySime is faster, with an upper guess.")
    doi = ("10.1073/pnas.0308531101", "10.1080/00401706.1978.10489693", "10.1016/0005-1098(78)90005-5")

    image = _shared.INPUT
    method = Choice("METHOD", "Number to give", default="consensus", options=METHODS,
                    help="Which of the criteria gives the number; the report shows all. Default consensus.")
    most = Integer("NMAX", "Largest number tried", default=10, minimum=3, maximum=100, within_bands_of="INPUT",
                   help="Numbers from 1 to this one are tried, 3 to 100, at most the number of bands. Choose it well "
                        "above what is expected: the elbow is measured from one end to the other. Default 10.")
    restarts = Integer("RESTARTS", "Restarts", default=5, minimum=2, maximum=100, advanced=True,
                       help="Random starts for each number: 2 to 100. More make the cophenetic correlation steadier, "
                            "and the run longer. Default 5.")
    clip = FactorTool.clip
    pixels = replace(MAXPIXELS, default=1000, help="Size of the random sample: 10 to 10 million; all pixels where "
                     "there are fewer. With more, the run is longer and weak materials are seen. Default 1000.")
    seed, bands = _shared.SEED, _shared.BANDS
    rank, report = _shared.RANK, _shared.REPORT
    example = {"INPUT": "scene", "NMAX": 5, "RESTARTS": 2, "MAXPIXELS": 200}

    def run(self, job):
        import numpy as np

        from ...algorithms.rank.nmfrank import nmfrank
        from ...engine.memory import need
        scene, most = job.scene(self.image), job.value(self.most)
        job.passes(2)
        Y = sample(scene, job.value(self.pixels), job.value(self.seed), job.progress)
        if not Y.shape[1]:
            _shared.nothing_valid(scene)
        need(8 * Y.size * 8, "Take fewer pixels, or fewer bands.")
        Y = clipped(job, Y, job.value(self.clip))
        result = nmfrank(Y, np.random.default_rng(job.value(self.seed)), most=most, restarts=job.value(self.restarts),
                         callback=job.progress)
        method = job.value(self.method)
        rank = result.rank if method == "consensus" else result.choices[method]
        job.give_number(self.rank, rank)
        job.say("{rank} endmembers. By criterion: {choices}.", rank=rank, choices=", ".join(
            f"{METHODS[name]} {number}" for name, number in result.choices.items()))
        if result.reached:
            job.warn("{criteria}: the largest number tried, {most}, is a limit and no estimate. Try more.",
                     criteria=", ".join(METHODS[name] for name in result.reached), most=most)
        report = job.report(self.report)
        if report:
            report.numbers(Number_of_endmembers=rank, Bands=scene.L, Pixels=Y.shape[1])
            add_nmfrank(report, result)
            job.give_report(self.report, report)


def add_nmfrank(report, result):
    """What each criterion chose, and the four curves."""
    report.table(["Criterion", "Number of endmembers"],
                 [(words, result.rank if name == "consensus" else result.choices[name])
                  for name, words in METHODS.items()])
    curves = {"elbow": (result.rmse, "Reconstruction RMSE (input units)", True),
              "cophenetic": (result.cophenetic, "Cophenetic correlation", False),
              "crossvalidation": (result.held_out, "Squared error of values held out, 1 for one endmember", True),
              "mdl": (result.description, "Description length (nats)", False)}
    for name, (values, label, logarithmic) in curves.items():
        first = int(name == "cophenetic")
        report.curve(result.ranks[first:].tolist(), values[first:].tolist(), METHODS[name], "Number of endmembers",
                     label, mark=result.choices[name], logarithmic=logarithmic and bool((values > 0).all()))
