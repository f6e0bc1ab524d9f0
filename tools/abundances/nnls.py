"""The tool `nnls`."""

from ...engine.declare import Group
from ._unmix import UnmixingTool


class NonnegativeLeastSquares(UnmixingTool):
    """Weight of each endmember in every pixel, never negative, not forced to sum to one.

    The sum of a pixel's weights tells how bright it is against the endmembers: well below one in shadow, above one on
    slopes that face the sun. To separate brightness from fractions, use scaled least squares."""

    id = "nnls"
    label = "Nonnegative least squares (NNLS)"
    group = Group.ABUNDANCES
    tags = UnmixingTool.tags + ("NNLS", "nonnegative")
    citation = "Lawson and Hanson, Solving Least Squares Problems, 1974; Kim and Park, SIAM J. Sci. Comput. 33(6), 2011"

    def solver(self):
        from ...algorithms.abundances.nnls import nnls
        return nnls
