"""What tools that find patterns without samples share: pixels to learn from, activations block by block, the report."""

from dataclasses import dataclass

from ...engine.declare import (FolderOutput, Group, Integer, LayersOutput, Real, ReportOutput, SpectraOutput, Style,
                               Tool)
from .. import _shared
from ..multitemporal import _sequence
from ._events import CLIP, IMAGES

DRAWN = 6      # bands of which a report draws the course
SIZE = 300     # pixels a side of its maps

COUNT = Integer("COUNT", "Number of patterns", default=3, minimum=1, maximum=100, help="How many patterns to look for, "
                "1 to 100. What the images show all the time takes patterns of its own. Default 3.")
LENGTH = Integer("LENGTH", "Length of a pattern (images)", default=4, minimum=1, maximum=1000, help="Over how many "
                 "consecutive images a pattern extends, 1 to their number. Shorter ones end in zeros. Default 4.")


@dataclass(frozen=True)
class Learned:
    """
    Patterns, most important first.

    Attributes
    ----------
    W : list of ndarray (m, r_j)
    iterations : int
    converged : bool
    """

    W: list
    iterations: int
    converged: bool


class PatternTool(Tool):
    """Patterns learned from some pixels, and when they begin in all of them. A subclass says how in `learn`."""

    group = Group.EVENTS
    tags = ("multitemporal", "time series", "sequence", "event", "pattern", "course", "unsupervised", "NMFD",
            "nonnegative matrix factor deconvolution", "convolutive NMF", "blind", "phenology", "season", "crop",
            "fire", "flood", "harvest")

    images, dates = IMAGES, _sequence.DATES
    count, length = COUNT, LENGTH
    sparsity = Real("SPARSITY", "Sparsity of the activations", default=0.0, minimum=0.0, maximum=1e6, help="How much "
                    "activations cost against the fit, 0 or more: larger values leave fewer of them. For beta = 1 it "
                    "has no unit, and about 0.1 to 1 is usual; otherwise it is in units of the images to the power "
                    "beta - 1. Default 0.")
    clip = CLIP
    pixels = Integer("PIXELS", "Pixels to learn from", default=3000, minimum=10, maximum=10000000, advanced=True,
                     help="Patterns are learned from about so many pixels, evenly spread over the images, or from all "
                     "where there are fewer; 10 to 10000000. Default 3000.")
    beta = Real("BETA", "Divergence (beta)", default=1.0, minimum=-1.0, maximum=3.0, advanced=True, help="Of which "
                "noise the difference between images and reconstruction is taken to be: 0 of one proportional to the "
                "values (then no value may be 0), 1 of counts, 2 of one that is the same everywhere; -1 to 3. "
                "Default 1.")
    seed = _shared.SEED
    patterns = SpectraOutput("PATTERNS", "Patterns", optional=False, help="Layer with a spectrum per pattern and image "
                             "that it extends over: fields pattern, and lag, the images since it began, from 0. The "
                             "largest value of each pattern is 1. Patterns come in the order of what they explain.")
    activations = FolderOutput("ACTIVATIONS", "Activations", style=Style.DEPARTURE, dated=True, optional=False,
                               help="Folder with a raster per date, named after it, of a band per pattern: how "
                               "strongly the pattern begins there at that date, as the largest value that it adds to "
                               "any band, in the images' units. Nodata (-9999) where no image that the pattern would "
                               "show in is valid.")
    layers = LayersOutput("ACTIVATIONLAYERS", "Activations as layers", folder="ACTIVATIONS", help="The rasters of the "
                          "folder as a list, for the next step of a model.")
    report = ReportOutput("REPORT", "Report", create=False, help="HTML file with the figures and plots of the run.")
    rmse = _shared.RMSE
    example = {"IMAGES": "images", "COUNT": 2, "LENGTH": 2}

    def learn(self, job, X, valid, lengths, rng, **common):
        """
        The method, with the tool's own parameters.

        Parameters
        ----------
        X : ndarray (m, Q, n) float32
        valid : ndarray (Q, n) of bool
        lengths : list of int
        rng : numpy.random.Generator
        common : dict
            `beta`, `iterations`, `tolerance` and `callback`, to be passed on.

        Returns
        -------
        Learned
        """
        raise NotImplementedError(f"{type(self).__name__} names no method")

    def add_to_report(self, report, learned, names):
        """What only this tool's report has."""

    def run(self, job):
        import numpy as np

        from ...engine.sentences import UserError
        job.passes(4)   # looking for negative values, reading what is learned from, learning, activations
        sequence = job.sequence(self.images)
        length = job.value(self.length)
        if length > sequence.T:
            raise UserError("A pattern of {length} images cannot be found in a series of {count}. Choose a length "
                            "(LENGTH) of at most {count}, or give more images.", length=length, count=sequence.T)
        self._check_negative(job, sequence)
        Y, valid, _ = sequence.sample(job.value(self.pixels), job.progress)
        if Y.shape[2] < sequence.grid.width * sequence.grid.height:
            job.say("Learning from {count} pixels, spread over the images.", count=Y.shape[2])
        limit = job.value(self.iterations)
        learned = self.learn(job, _series(Y), valid.T, [length] * job.value(self.count),
                             np.random.default_rng(job.value(self.seed)), beta=job.value(self.beta), iterations=limit,
                             tolerance=job.value(self.tolerance),
                             callback=lambda iteration, cost: job.progress(iteration, limit + 1))
        job.progress(1, 1)   # it may settle early
        _sequence.settled(job, learned.converged, learned.iterations)
        W = [w / w.max() for w in learned.W]
        names = _shared.numbered(len(W), "pattern")
        figures = self._write(job, sequence, W, names)
        job.give_spectra(self.patterns, _spectra(sequence, W, names))
        job.give_number(self.rmse, figures.rmse)
        self._report(job, sequence, W, names, figures, learned)

    def _check_negative(self, job, sequence):
        """Refuse negative values, or say how many are clipped."""
        import numpy as np

        from ...engine.sentences import UserError

        def count(Y, valid, _):
            values = Y.transpose(0, 2, 1)[valid]
            return int(np.count_nonzero(values < 0)), values.size, float(values.min(initial=0))

        counts = [found for _, found in sequence.map_blocks(count, progress=job.progress)]
        negative, values, least = (total(part) for total, part in zip((sum, sum, min), zip(*counts)))
        if negative and not job.value(self.clip):
            raise UserError("{negative} of {values} values of the images are negative, the least {least}, and this "
                            "method needs values of at least 0. Tick Clip negative values (CLIP), or use data that are "
                            "not negative.", negative=negative, values=values, least=f"{least:.4g}")
        if negative:
            job.warn("Set {count} negative values of the images to 0.", count=negative)

    def _write(self, job, sequence, W, names):
        from contextlib import ExitStack

        import numpy as np

        from ...algorithms.events.nmfd import activations, reconstruction, seen
        beta, sparsity = job.value(self.beta), job.value(self.sparsity)
        lengths, figures = [w.shape[1] for w in W], Figures(sequence.T, len(W))

        def block(Y, valid, _):
            good = np.ascontiguousarray(valid.T)
            X = _series(np.where(valid[:, None], Y, 0))
            H = activations(X, W, valid=good, beta=beta, sparsity=sparsity)
            return H, np.square(X - reconstruction(W, H), dtype=np.float64)[:, good].sum(), seen(good, lengths), good

        with ExitStack() as stack:
            files = [stack.enter_context(file) for file in
                     job.dated_rasters(self.activations, sequence.dates, sequence.grid, names)]
            windows = sequence.windows(sequence.T * (3 * sum(lengths) + 4 * sequence.L))
            for window, (H, squares, known, good) in sequence.map_blocks(block, windows, job.progress):
                H = np.where(known, H, np.nan)
                figures.add(H, squares, int(good.sum()) * sequence.L)
                for file, values in zip(files, H.transpose(2, 0, 1)):
                    file.write(window, values)
        job.show_band(self.activations, 1)
        job.give_range(self.activations, 0, max(float(figures.most.max()), 1e-12))
        return figures

    def _report(self, job, sequence, W, names, figures, learned):
        import os

        import numpy as np

        from ...engine.pictures import bands_of
        report = job.report(self.report)
        if report is None:
            return
        report.numbers(Patterns=len(W), Dates=sequence.T, Bands=sequence.L, RMSE=figures.rmse,
                       Iterations=learned.iterations, Settled=learned.converged)
        chosen = np.unique(np.linspace(0, sequence.L - 1, min(DRAWN, sequence.L)).round().astype(int))
        grid = sequence.grid
        labels = [f"{grid.wavelengths[band]:.0f} nm" if grid.wavelengths is not None else f"band {grid.indexes[band]}"
                  for band in chosen]
        for name, w in zip(names, W):
            report.heading(f"Course of {name}")
            report.curves(range(w.shape[1]), dict(zip(labels, w[chosen])), "Images since it began",
                          "Share of its largest value")
        report.heading("When they begin")
        report.history(sequence.names, dict(zip(names, figures.means.T)), "Mean activation (images' units)")
        report.heading("Where they are active")
        folder, written = job.path(self.activations), job.result["folders"][self.activations.name]
        totals = sum(np.nan_to_num(bands_of(os.path.join(folder, raster["file"]), list(range(1, len(W) + 1)), SIZE))
                     for raster in written)
        report.maps(dict(zip(names, totals)), "Sum over all dates")
        self.add_to_report(report, learned, names)
        job.give_report(self.report, report)


class Figures:
    """Sums over the blocks: mean activations (n, J), their usual largest, reconstruction error."""

    def __init__(self, T, J):
        import numpy as np
        self._totals, self._counts = np.zeros((T, J)), np.zeros((T, J))
        self._squares, self._values = 0.0, 0
        self.most = np.zeros(J)

    def add(self, H, squares, values):
        import numpy as np
        known = np.isfinite(H)
        self._totals += np.where(known, H, 0).sum(axis=1, dtype=np.float64).T
        self._counts += known.sum(axis=1).T
        self._squares, self._values = self._squares + squares, self._values + values
        for j, h in enumerate(H):
            if known[j].any():
                self.most[j] = max(self.most[j], float(np.quantile(h[known[j]], 0.98)))

    @property
    def means(self):
        """Mean activation (n, J) of the pixels that have any."""
        import numpy as np
        return self._totals / np.maximum(self._counts, 1)

    @property
    def rmse(self):
        """Root mean square of the residuals."""
        return float((self._squares / max(self._values, 1)) ** 0.5)


def _series(Y):
    """Images (T, L, N) as series (L, N, T), not negative."""
    import numpy as np
    return np.ascontiguousarray(np.maximum(Y, 0).transpose(1, 2, 0))


def _spectra(sequence, W, names):
    """A spectrum per pattern and lag."""
    from dataclasses import replace

    import numpy as np

    from ...engine.spectra import of_scene
    lags = [(name, lag) for name, w in zip(names, W) for lag in range(w.shape[1])]
    made = of_scene(sequence.grid, np.hstack(W), [f"{name}, lag {lag}" for name, lag in lags],
                    [f"{sequence.T} dates, from {sequence.names[0]} to {sequence.names[-1]}"] * len(lags))
    return replace(made, attributes=[{"pattern": name, "lag": lag} for name, lag in lags])
