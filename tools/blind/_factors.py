"""What the tools of plain nonnegative factorisation share: no sum to one, no negative data, and a choice of starts."""

from dataclasses import replace

from ...engine.declare import Choice, Flag
from .. import _shared
from . import _blind

LEAST = 1e-4   # of the largest value: what values are clipped to where the divergence does not bear zeros


def begin_with(default):
    """The parameter START."""
    return Choice("START", "Start from", default=default, advanced=True, options={
        "vca": "Vertex component analysis, or the initial endmembers", "nndsvd": "Nonnegative double SVD",
        "random": "Random numbers"},
        help="What the iterations begin with. Vertex component analysis and least squares begin near the answer; the "
             "nonnegative double SVD is the same for every seed; random numbers make no assumption and take longest. "
             f"Only the first takes initial endmembers. Default {default}.")


class FactorTool(_blind.BlindTool):
    """A nonnegative factorisation, its abundances scaled to fractions."""

    clip = Flag("CLIP", "Clip negative values", default=False, help="Set negative values, as dark pixels have after "
                "atmospheric correction, to zero, and say how many there were. Where the method does not bear zeros "
                "(beta of 0 or less), values below 0.0001 of the largest are set to that. Default no: such values end "
                "the run.")
    begin_with = begin_with("vca")
    abundances = replace(_shared.ABUNDANCES, help="Raster with a band per endmember, named after it: how much of it "
                         "the pixel holds, 0 or more. Nothing makes the bands sum to one, and their scale against the "
                         "spectra's is free: each endmember has the factor with which the sums come nearest to one "
                         "over the scene. What is left from one is shade, brightness or misfit. Nodata is -9999.")
    report = _shared.REPORT   # after them

    def _initial(self, job, scene, spectra, P):
        from ...engine.sentences import UserError
        if job.value(self.begin_with) != "vca":
            raise UserError("The start '{start}' does not begin with initial endmembers, so their names would stand "
                            "for other spectra. Clear the initial endmembers, or choose the start 'vca'.",
                            start=job.value(self.begin_with))
        return super()._initial(job, scene, spectra, P)

    def solve(self, job, Y, P, rng, grid, **common):
        from ...algorithms.blind.nmf import as_fractions
        Y = clipped(job, Y, job.value(self.clip), self.positive(job))
        return as_fractions(self.factorise(job, Y, P, rng, begin_with=job.value(self.begin_with), **common))

    def positive(self, job):
        """Whether the method does not bear zeros."""
        return False

    def factorise(self, job, Y, P, rng, **common):
        """The method, with the tool's own parameters, on data that are not negative."""
        raise NotImplementedError(f"{type(self).__name__} names no method")


def clipped(job, Y, wanted, positive=False):
    """`Y` without values that the method does not bear, where the user wants that; otherwise they are an error."""
    import numpy as np

    from ...engine.sentences import UserError
    largest = float(Y.max())
    floor = LEAST * largest if positive and largest > 0 else 0.0
    few = int(np.count_nonzero(Y <= 0 if positive else Y < 0))
    if not few:
        return Y
    if not wanted:
        raise UserError("{count} of {all} values are below zero{or_zero}, the least {least}, which this factorization "
                        "does not bear. Tick Clip negative values (CLIP), leave the bands out, or correct the image.",
                        count=few, all=Y.size, or_zero=" or zero" if positive else "", least=f"{float(Y.min()):.6g}")
    job.warn("{count} of {all} values below {floor} were set to it; the least was {least}.",
             count=int(np.count_nonzero(Y < floor)), all=Y.size, floor=f"{floor:.6g}", least=f"{float(Y.min()):.6g}")
    return np.maximum(Y, np.asarray(floor, Y.dtype))
