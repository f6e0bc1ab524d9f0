"""The tool `fcls`."""

from ...engine.declare import Group
from ._unmix import UnmixingTool


class FullyConstrainedLeastSquares(UnmixingTool):
    """Fraction of each endmember in every pixel, never negative and summing to one.

    Each pixel's spectrum is explained as a mixture of the endmembers (fully constrained least squares). The answer is
    exact: it satisfies the optimality conditions of the constrained problem to rounding.

    It assumes that the endmembers are all that the scene holds, and that brightness does not vary within a material."""

    id = "fcls"
    label = "Fully constrained least squares (FCLS)"
    group = Group.ABUNDANCES
    tags = (*UnmixingTool.tags, "FCLS", "simplex")
    citation = ("Heinz and Chang, Fully constrained least squares linear spectral mixture analysis, IEEE TGRS 39(3), "
                "2001")
    prefer = ("Take it first, where the endmembers are all that the scene holds. Where illumination varies (slopes, "
              "shadow) take SCLS, and with a library, of which a pixel holds few spectra, SUnSAL.")
    doi = ("10.1109/36.911111",)
    sum_to_one = True

    def solver(self):
        from ...algorithms.abundances.fcls import fcls
        return fcls
