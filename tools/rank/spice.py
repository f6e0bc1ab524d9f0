"""The tool `spice`."""

from dataclasses import replace

from ...engine.declare import Group, Integer, Real, SpectraOutput, Tool
from .. import _shared

MAXPIXELS = Integer("MAXPIXELS", "Pixels to work on", default=2000, minimum=10, maximum=10_000_000, advanced=True,
                    help="Size of the random sample: 10 to 10 million; all pixels where there are fewer. With more, "
                         "the run is longer, and the number grows, as the sparsity weighs less: compare only "
                         "numbers from samples of one size. Default 2000.")

START = Integer("START", "Endmembers to start with", default=20, minimum=2, maximum=500, help="More than are expected: "
                "2 to 500, at most the number of pixels. Default 20.")


class SparsityPromotingEndmembers(Tool):
    """Number of materials in a scene, with spectra and fractions, by dropping those that no pixel uses (SPICE).

    Spectra and fractions are improved in turn; a sparsity term drives small fractions to zero, and a spectrum that no
    pixel uses is dropped. The spectra are no pixels of the scene. The number falls with the strength of the sparsity
    and grows with the sample, against which that weighs; where noise is strong it stays near the start, and a warning
    says where it is the start itself. It is slow: give it few pixels.

    It works on a random sample of the pixels, held in memory; fractions are then found for all pixels, block by
    block."""

    id = "spice"
    label = "SPICE: number, spectra and fractions"
    group = Group.RANK
    tags = ("rank", "number of endmembers", "how many materials", "sparsity", "blind unmixing", "SPICE")
    citation = ("Zare and Gader, Sparsity Promoting Iterated Constrained Endmember Detection in Hyperspectral Imagery, "
                "IEEE GRSL 4(3), 2007")
    prefer = ("Take it for number, spectra and fractions in one run where no pixels are pure, and compare strengths of "
              "the sparsity, which decides the number. For the number alone take HySime.")

    image = _shared.INPUT
    start = START
    gamma = Real("GAMMA", "Sparsity", default=1.0, minimum=0, maximum=1e6, help="Strength with which small fractions "
                 "are driven to zero, on data scaled to a maximum of 1: 0 (never drop) and up, usually 1 to 10; no "
                 "unit. A larger one gives a smaller number. It weighs against a sum over the sampled pixels: "
                 "with twice as many, double it to weigh alike. Default 1.")
    weight = Real("WEIGHT", "Weight of the endmembers' spread", default=0.001, minimum=0, maximum=0.999, advanced=True,
                  help="How much the spectra are drawn towards each other, against fitting the pixels: 0 to 0.999, "
                       "usually 0.001 to 0.1; no unit. Default 0.001.")
    most = MAXPIXELS
    iterations = Integer("ITERATIONS", "Iterations at most", default=500, minimum=1, maximum=100_000, advanced=True,
                         help="Ends after so many iterations even if the cost has not settled: 1 to 100,000. "
                              "Default 500.")
    seed, bands = _shared.SEED, _shared.BANDS
    endmembers = SpectraOutput("ENDMEMBERS", "Endmembers", help="Layer with one spectrum per feature (name, profile, "
                               "source), without points: the spectra are computed. Rename the materials in its table.")
    abundances = replace(_shared.ABUNDANCES, optional=True)
    rank, report = _shared.RANK, _shared.REPORT
    example = {"INPUT": "scene", "START": 6, "MAXPIXELS": 300}

    def run(self, job):
        from ...engine.spectra import of_scene
        scene, iterations = job.scene(self.image), job.value(self.iterations)
        job.passes(3 if job.wants(self.abundances) else 2)
        Y = sample(scene, job.value(self.most), job.value(self.seed), job.progress)
        result = estimate(Y, job.value(self.seed), start=job.value(self.start), u=job.value(self.weight),
                          gamma=job.value(self.gamma), iterations=iterations,
                          callback=lambda iteration, cost: job.progress(min(iteration + 1, iterations - 1), iterations))
        job.progress(iterations, iterations)
        if not result.converged:
            job.warn("The cost had not settled after {count} iterations. Allow more, or use fewer pixels.",
                     count=len(result.costs))
        warn_of_start(job, result.rank, job.value(self.start))
        job.say("{rank} of {start} endmembers are left after {count} iterations on {pixels} pixels.", rank=result.rank,
                start=job.value(self.start), count=len(result.costs), pixels=Y.shape[1])
        name = scene.path.replace("\\", "/").rsplit("/", 1)[-1]
        spectra = of_scene(scene, result.M, _shared.numbered(result.rank),
                           [f"SPICE on {name}"] * result.rank)
        job.give_spectra(self.endmembers, spectra, scene)
        job.give_number(self.rank, result.rank)
        if job.wants(self.abundances):
            self._write_abundances(job, scene, result, spectra.names)
        report = job.report(self.report)
        if report:
            report.numbers(Number_of_endmembers=result.rank, Bands=scene.L, Pixels=Y.shape[1],
                           Iterations=len(result.costs))
            add_spice(report, result)
            report.spectra(spectra)
            if job.wants(self.abundances):
                _shared.add_composite(job, report, self.abundances, spectra.names)
            job.give_report(self.report, report)

    def _write_abundances(self, job, scene, result, names):
        from ...algorithms.rank.spice import abundances
        with job.raster(self.abundances, scene, names) as file:
            for window, (A, valid) in scene.map_blocks(
                    lambda Y, valid: (abundances(Y if valid.all() else Y[:, valid], result.M), valid),
                    progress=job.progress):
                file.write(window, A, valid)


def warn_of_start(job, rank, start):
    """Tell the user where nothing was dropped, so that the number is the one to start with."""
    if rank >= start:
        job.warn("SPICE dropped none of the {start} endmembers it started with, so the number is a limit and no "
                 "estimate. Start with more, raise the sparsity, or use fewer pixels.", start=start)


def sample(scene, most, seed, progress):
    """At most `most` of the valid pixels (L, n) float32, drawn at random, however the raster is cut into blocks."""
    import numpy as np

    from ...engine.memory import need
    need(24 * scene.L * min(most, scene.width * scene.height), "Take fewer pixels, or fewer bands.")

    def read(Y, valid):
        return Y[:, valid], np.flatnonzero(valid)

    Y, draws, positions = np.empty((scene.L, 0), np.float32), np.empty(0), np.empty(0, np.int64)
    for window, (pixels, where) in scene.map_blocks(read, progress=progress):
        rows, cols = np.divmod(where, int(window.width))
        numbers = [np.random.default_rng([seed, row + int(window.row_off)]).random(scene.width)
                   for row in range(int(window.height))]
        draws = np.concatenate([draws, np.array(numbers)[rows, cols + int(window.col_off)]])
        positions = np.concatenate([positions, (rows + int(window.row_off)) * scene.width + cols + int(window.col_off)])
        kept = np.argsort(draws, kind="stable")[:most]
        new = kept[kept >= Y.shape[1]] - Y.shape[1]
        old = kept[kept < Y.shape[1]]
        Y = np.concatenate([Y[:, old], pixels[:, new].astype(np.float32)], axis=1)
        order = np.concatenate([old, new + draws.size - where.size])
        draws, positions = draws[order], positions[order]
    return Y[:, np.argsort(positions)]


def estimate(Y, seed, **options):
    """SPICE on the pixels `Y` (L, n), started by `seed`."""
    import numpy as np

    from ...algorithms.rank.spice import spice
    return spice(Y, np.random.default_rng(seed), **options)


def add_spice(report, result):
    """The curves that show how SPICE decided."""
    order = range(1, len(result.counts) + 1)
    report.curve(order, result.counts, "Endmembers left after each iteration", "Iteration", "Endmembers")
    report.curve(order, result.costs, "Cost after each iteration", "Iteration", "Cost", logarithmic=True)
