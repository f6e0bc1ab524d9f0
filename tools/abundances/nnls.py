"""The tool `nnls`."""

from ...engine.declare import Group
from ._unmix import UnmixingTool


class NonnegativeLeastSquares(UnmixingTool):
    """Weight of each endmember in every pixel, never negative, not forced to sum to one.

    The sum of a pixel's weights tells how bright it is against the endmembers: well below one in shadow, above one on
    slopes that face the sun."""

    id = "nnls"
    label = "Nonnegative least squares (NNLS)"
    group = Group.ABUNDANCES
    tags = (*UnmixingTool.tags, "NNLS", "nonnegative")
    citation = "Lawson and Hanson, Solving Least Squares Problems, 1974; Kim and Park, SIAM J. Sci. Comput. 33(6), 2011"
    prefer = ("Take it where light varies or an endmember may be missing, and the sum of the weights is to show it. "
              "SCLS divides the weights by that sum, and FCLS finds weights that sum to one.")
    doi = ("10.1137/1.9781611971217", "10.1137/110821172")

    def solver(self):
        from ...algorithms.abundances.nnls import nnls
        return nnls
