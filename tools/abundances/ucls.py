"""The tool `ucls`."""

from ...engine.declare import Group
from ._unmix import UnmixingTool


class UnconstrainedLeastSquares(UnmixingTool):
    """Weight of each endmember in every pixel by ordinary least squares, without any constraint.

    Weights may be negative or above one: where they are, an endmember is missing or the noise is strong. It is the
    fastest estimate."""

    id = "ucls"
    label = "Unconstrained least squares (UCLS)"
    group = Group.ABUNDANCES
    tags = (*UnmixingTool.tags, "UCLS", "linear regression")
    citation = ("Heinz and Chang, Fully constrained least squares linear spectral mixture analysis, IEEE TGRS 39(3), "
                "2001")
    prefer = ("Take it to check whether mixtures of these endmembers describe the scene at all. For fractions to work "
              "with take FCLS, which had half the error or less on EnMAP Potsdam.")
    doi = ("10.1109/36.911111",)

    def solver(self):
        from ...algorithms.abundances.ucls import ucls
        return ucls
