"""What every blind method that needs the whole scene does: read it, iterate, write what was found."""

from ...engine.declare import Group, Real, SpectraInput, SpectraOutput, Tool
from .. import _shared

NUMBERS = 12   # float64 numbers per endmember and pixel that a method holds
SUMS = (1, 50, 99)   # percentiles of the sums of fractions in the report
HOT = 3              # times the 99.9th percentile that the largest value may be without a warning
SAMPLE = 10**6       # values at most, about, from which that percentile is taken


iterations = _shared.iterations


def tolerance(default):
    """The parameter TOLERANCE."""
    return Real("TOLERANCE", "Tolerance", default=default, minimum=0.0, maximum=1.0, advanced=True,
                help=f"The run ends when the cost changes by less than this share of itself, 0 to 1; 0 goes through "
                     f"all iterations. Default {default:g}.")


def delta(default):
    """The parameter DELTA of a soft sum to one."""
    return Real("DELTA", "Weight of the sum to one", default=default, minimum=0.0, maximum=1000.0, advanced=True,
                help=f"How strictly fractions sum to one, for data divided by their maximum: larger is stricter and "
                     f"slower, 0 to 1000. Default {default:g}.")


class BlindTool(Tool):
    """Endmembers and abundances found together, by alternating steps over the whole scene."""

    group = Group.BLIND
    tags = ("blind unmixing", "unsupervised", "sub-pixel", "NMF", "nonnegative matrix factorization",
            "endmember extraction", "endmembers", "abundances", "fractions")
    image, count = _shared.INPUT, _shared.COUNT
    initial = SpectraInput("INITIALENDMEMBERS", "Initial endmembers", raster="INPUT", optional=True, help="Layer of "
                           "spectra to start from, as many as endmembers are asked for, in the raster's units. None: "
                           "vertex component analysis finds them, with the random seed.")
    bands, seed = _shared.BANDS, _shared.SEED
    iterations, tolerance = iterations(1000), tolerance(1e-4)
    endmembers = SpectraOutput("ENDMEMBERS", "Endmembers", optional=False, help="Layer with one spectrum per feature "
                               "(name, profile, source), in the raster's units. They are estimated from the whole "
                               "scene, so they have no place in it. Rename the materials in its attribute table.")
    abundances, rmse, report = _shared.ABUNDANCES, _shared.RMSE, _shared.REPORT
    example = {"INPUT": "scene", "COUNT": 3}

    def solve(self, job, Y, P, rng, grid, **common):
        """
        The method, with the tool's own parameters.

        Parameters
        ----------
        Y : ndarray (L, N)
        P : int
        rng : numpy.random.Generator
        grid : dict
            `positions` and `shape`, for methods that know neighbours.
        common : dict
            `initial`, `iterations`, `tolerance` and `callback`, to be passed on.

        Returns
        -------
        BlindUnmixing
        """
        raise NotImplementedError(f"{type(self).__name__} names no method")

    def give_more(self, job, found):
        """Give outputs that only this tool has."""

    def add_to_report(self, report, found):
        """What only this tool's report has."""

    def run(self, job):
        import numpy as np

        from ...engine.memory import need
        from ...engine.spectra import of_scene
        scene, P = job.scene(self.image), job.value(self.count)
        spectra = job.spectra(self.initial) if self.initial else None
        initial = None if spectra is None else self._initial(job, scene, spectra, P)
        need(scene.width * scene.height * (16 * scene.L + 8 * NUMBERS * P),
             "Clip the raster, use fewer bands, or use a method that works block by block, such as CUR-HU.")
        job.passes(2)
        Y, positions = scene.everything(job.progress)
        if not len(positions):
            _shared.nothing_valid(scene)
        _warn_of_hot_values(job, Y)
        limit = job.value(self.iterations)
        found = self.solve(job, Y, P, np.random.default_rng(job.value(self.seed)),
                           dict(positions=positions, shape=(scene.height, scene.width)), initial=initial,
                           iterations=limit, tolerance=job.value(self.tolerance),
                           callback=lambda iteration, cost: job.progress(iteration, limit + 1))
        job.progress(1, 1)
        if found.converged:
            job.say("Settled after {iterations} iterations.", iterations=found.iterations)
        else:
            job.warn("The cost was still changing after {iterations} iterations: allow more, or a larger tolerance.",
                     iterations=found.iterations)
        names = _shared.numbered(found.M.shape[1]) if spectra is None else spectra.names
        source = f"{self.label}, {scene.path.replace(chr(92), '/').rsplit('/', 1)[-1]}"
        self._write(job, scene, names, found.A, positions)
        rmse = _rmse(Y, found)
        result = of_scene(scene, found.M, names, [source] * len(names))
        job.give_spectra(self.endmembers, result, scene)
        job.give_number(self.rmse, rmse)
        self.give_more(job, found)
        self._report(job, scene, result, found, rmse)

    def _initial(self, job, scene, spectra, P):
        from ...engine.sentences import UserError
        if spectra.P != P:
            raise UserError("There are {spectra} initial endmembers, but {count} endmembers are asked for. Give as "
                            "many as that, or none.", spectra=spectra.P, count=P)
        return spectra.to_scene(scene, job.say)

    def _write(self, job, scene, names, A, positions):
        import numpy as np
        from rasterio.windows import Window
        valid = np.zeros(scene.width * scene.height, dtype=bool)
        valid[positions] = True
        with job.raster(self.abundances, scene, names) as file:
            file.write(Window(0, 0, scene.width, scene.height), A, valid)

    def _report(self, job, scene, spectra, found, rmse):
        import numpy as np
        report = job.report(self.report)
        if not report:
            return
        report.numbers(Endmembers=spectra.P, Bands=scene.L, Pixels=found.A.shape[1], RMSE=rmse,
                       Iterations=found.iterations, Settled=found.converged)
        report.spectra(spectra)
        report.heading("Fractions")
        report.table(["Endmember", "Mean", "Standard deviation", "Used"],
                     zip(spectra.names, found.A.mean(axis=1), found.A.std(axis=1), found.active))
        sums = np.percentile(found.A.sum(axis=0), SUMS)
        report.table(["Sum of a pixel's fractions", *(f"{share} % of pixels are below" for share in SUMS)],
                     [["", *(round(float(value), 3) for value in sums)]])
        _shared.add_composite(job, report, self.abundances, spectra.names)
        report.curve(range(len(found.costs)), found.costs, "Cost (of data divided by their maximum)", "Iteration",
                     "Cost", logarithmic=bool((found.costs > 0).all()))
        self.add_to_report(report, found)
        job.give_report(self.report, report)


def _warn_of_hot_values(job, Y):
    """The methods divide the data by their maximum, which a few hot values may set alone."""
    import numpy as np
    usual, largest = float(np.percentile(Y[:, ::max(1, Y.size // SAMPLE)], 99.9)), float(Y.max())
    if usual > 0 and largest > HOT * usual:
        job.warn("The largest value of the scene is {largest}, but 99.9 % of the values are below {usual}. The data "
                 "are divided by the largest, so that a few hot values change what the weights mean and so the result: "
                 "mask such pixels, or clip their values.", largest=f"{largest:.6g}", usual=f"{usual:.6g}")


def _rmse(Y, found):
    """Root mean square of Y - M A, block by block."""
    from ...algorithms.pixels import blocks
    squares = sum(float(((block - found.M @ a) ** 2).sum()) for block, a in zip(blocks(Y), blocks(found.A)))
    return (squares / Y.size) ** 0.5
