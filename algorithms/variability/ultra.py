"""ULTRA: abundances that are nearly a tensor of low rank, with endmembers that are the same everywhere."""

from dataclasses import dataclass

import numpy as np

from ..abundances.active_set import minimise
from ..abundances.products import products
from ..blind.alternating import onto_simplex
from .cpd import check_rank, cpd, energy
from .model import VariableUnmixing, alternate, begin
from .tensor_rank import tensor_rank

FIRST_SWEEPS = 50   # of the first decomposition, at most
SWEEPS = 5          # and of each that starts from the last one
FILLS = 20          # rounds in which a hole takes over the first decompositions


@dataclass(frozen=True)
class LowRankAbundances(VariableUnmixing):
    """
    `VariableUnmixing` with the tensor of low rank that the abundances are drawn to.

    Attributes
    ----------
    Q : ndarray (P, N)
        Of canonical rank `rank_abundance`; neither nonnegative nor summing to one.
    rank_abundance : int
        K_Q.
    """

    Q: np.ndarray
    rank_abundance: int


def ultra(Y, M0, shape, valid=None, *, lambda_a=0.01, rank=None, iterations=100, tolerance=3e-5, rank_tolerance=0.15,
          callback=None):
    """
    Abundances of nearly low tensor rank: few patterns along rows, columns and materials make up the maps.

    Find A on the simplex and Q, as a tensor (P, rows, cols) of canonical rank K_Q, of least cost::

        1/2 ||Y - M0 A||^2 + lambda_a/2 ||A - Q||^2

    by turns: Q by alternating least squares from its last factors (`cpd`), A exactly, pixel by pixel. Neither raises
    the cost.

    Parameters
    ----------
    Y : ndarray (L, N)
        Pixels of the whole image, row-major.
    M0 : ndarray (L, P)
        Endmembers, in the units of `Y`. Both are divided by their largest value.
    shape : (int, int)
        Rows and columns.
    valid : ndarray (N,) of bool, optional
        Where `Y` holds data; elsewhere A is Q, projected onto the simplex.
    lambda_a : float
        How strictly the abundances are of low rank, against the squared residuals summed over the bands.
    rank : int, optional
        K_Q; `tensor_rank` of the starting abundances by default.
    iterations : int
    tolerance : float
        |J_i - J_(i-1)| / J_0 below which it ends.
    rank_tolerance : float
        Of `tensor_rank`.
    callback : callable(iteration, cost) -> bool or None, optional

    Returns
    -------
    LowRankAbundances
        Its `endmembers` are M0 in every pixel.

    Raises
    ------
    ValueError
        As `model.begin`; a rank that the image cannot have.

    References
    ----------
    T. Imbiriba, R. Borsoi, J. Bermudez, A low-rank tensor regularization strategy for hyperspectral unmixing, IEEE SSP
    2018, pp. 373-377; known here as eq. 10 of T. Imbiriba et al., IEEE TGRS 58(3), 2020 (see `ultrav`) with M_n = M0.
    """
    problem = begin(Y, M0, shape, valid, dict(lambda_a=lambda_a))
    low = LowRank(problem, rank, rank_tolerance)
    (C, _), G = products(problem.Y, problem.M0), problem.M0.T @ problem.M0
    H = G + lambda_a * np.eye(problem.P)
    A, Q = low.start, low.Q

    def cost():
        misfit = problem.misfit(np.broadcast_to(G, (problem.N, *G.shape)), C, A * problem.valid)
        return misfit + lambda_a / 2 * float(np.square(A - Q).sum())

    def step():
        nonlocal A, Q
        Q = low.near(A)
        A = onto_simplex(Q)
        A[:, problem.valid] = minimise(H, (C + lambda_a * Q)[:, problem.valid], sum_to_one=True)
        return cost()

    costs, converged = descend(step, cost(), problem, iterations=iterations, tolerance=tolerance, callback=callback)
    endmembers = problem.M0.T.astype(problem.Y.dtype)[:, :, None]
    return problem.result(A, problem.M0, lambda part: np.repeat(endmembers, A[0, part].size, axis=2), costs, converged,
                          LowRankAbundances, Q=Q, rank_abundance=low.rank)


class LowRank:
    """
    The tensor Q of low rank near abundances that change little from call to call.

    Parameters
    ----------
    problem : model.Problem
    rank : int or None
        `tensor_rank` of the starting abundances with `tolerance` by default.

    Attributes
    ----------
    rank : int
        K_Q.
    start : ndarray (P, N)
        Abundances to start from: the problem's own, completed where there are no data. There they are first those of
        the mean pixel, then in turns the projection of Q onto the simplex (expectation and maximisation).
    Q : ndarray (P, N)
        Their decomposition.
    """

    def __init__(self, problem, rank, tolerance):
        self._shape, hole = (problem.P, *problem.shape), ~problem.valid
        self.start = problem.A.copy()
        self.start[:, hole] = problem.A[:, problem.valid].mean(axis=1, keepdims=True)
        tensor = self.start.reshape(self._shape)
        self.rank = tensor_rank(tensor, tolerance) if rank is None else rank
        check_rank(self.rank, self._shape, "tensor of abundances")
        self._last = cpd(tensor, self.rank, sweeps=FIRST_SWEEPS)
        self.Q = self.near(self.start)
        for _ in range(FILLS if hole.any() else 0):
            self.start[:, hole] = onto_simplex(self.Q[:, hole])
            self.Q = self.near(self.start)

    def near(self, A):
        """Q (P, N) near `A` (P, N): a few sweeps from the last one."""
        self._last = cpd(A.reshape(self._shape), self.rank, self._last, sweeps=SWEEPS)
        return self._last.full().reshape(A.shape)


def descend(step, cost, problem, **limits):
    """`alternate` for a `step` that returns its cost alone, J_i, until |J_i - J_(i-1)| / J_0 is small."""
    first, last = max(cost, np.finfo(problem.Y.dtype).eps * energy(problem.Y)), cost

    def with_change():
        nonlocal last
        before, last = last, step()
        return last, abs(last - before) / first
    return alternate(with_change, cost, **limits)
