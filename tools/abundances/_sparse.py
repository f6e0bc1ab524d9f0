"""What tools share that explain pixels by few spectra of a library."""

from dataclasses import replace

from ...engine.declare import Group, Real
from .. import _shared
from ._unmix import UnmixingTool, unmix

SEEN = 1e-3   # fraction from which a spectrum counts as active in a pixel


def weight(minimum):
    """The parameter LAMBDA."""
    return Real("LAMBDA", "Sparsity (lambda)", default=1e-3, minimum=minimum, maximum=10.0, help=f"Weight of the sum "
                f"of fractions against the squared misfit, as a share of the mean squared length of the spectra, so "
                f"that it depends neither on units nor on the number of bands: 0.01 takes about 0.01 off the fraction "
                f"of a material that is alone in its pixel, and drops what would gain less. {minimum:g} to 10. Default "
                f"0.001; more for noisy images and for libraries whose spectra are alike.")


class SparseTool(UnmixingTool):
    """Fractions of the spectra of a library, few of which are in a pixel."""

    group = Group.ABUNDANCES
    tags = (*UnmixingTool.tags, "sparse", "spectral library", "l1", "LASSO", "sparse regression", "dictionary")
    endmembers = replace(_shared.ENDMEMBERS, label="Spectral library", bundle=True, help="Layer of spectra (a feature "
                         "each, with the fields name and profile), in the raster's units, of which a pixel holds few; "
                         "there may be more of them than bands. They are matched to the raster's bands by wavelength, "
                         "or by number where there are no wavelengths.")
    example = {"INPUT": "scene", "ENDMEMBERS": "bundle"}


class Tally:
    """
    How many spectra are active, how the cost fell, and how many pixels did not settle.

    Parameters
    ----------
    first, every : int
        Iteration of the first cost of a block, and iterations from one to the next; 0 where there are no costs.
    """

    def __init__(self, first=0, every=0):
        self.first, self.every = first, every
        self.pixels = self.active = self.unsettled = self.iterations = 0
        self.costs = []

    def add(self, fit):
        self.pixels += fit.A.shape[1]
        self.active += int((fit.A > SEEN).sum())
        if self.every:
            self.costs.append(fit.costs)
            self.unsettled += int((~fit.settled).sum())
            self.iterations = max(self.iterations, fit.iterations)

    def warn(self, job):
        if self.unsettled:
            job.warn("{pixels} of {all} pixels had not settled after {iterations} iterations: allow more (ITERATIONS), "
                     "or take a larger LAMBDA.", pixels=self.unsettled, all=self.pixels, iterations=self.iterations)

    def report(self, report):
        report.table([f"Active spectra per pixel (fraction above {SEEN:g})"], [[self.active / max(self.pixels, 1)]])
        from ...algorithms.abundances.sparse import total
        costs = total(self.costs)
        if len(costs):
            x = [min(self.first + self.every * k, self.iterations) for k in range(len(costs))]
            report.curve(x, costs, "Cost of all pixels (squared input units)", "Iteration", "Cost",
                         logarithmic=bool((costs > 0).all()))


def sparse(tool, job, solve, tally):
    """Unmix block by block with `solve(Y, M, weight)`, which gives `SparseAbundances`."""
    from ...algorithms.abundances.sparse import by_parts, check_library

    def block(Y, M):
        return by_parts(lambda part: solve(part, M, absolute(job, tool.weight, M)), Y, M.shape[1])

    unmix(tool, job, block, check=check_library, tally=tally)


def absolute(job, parameter, M):
    """The weight in squared units of the data."""
    from ...algorithms.abundances.sparse import unit
    return job.value(parameter) * unit(M)
