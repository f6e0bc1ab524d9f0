"""ULTRA-V: abundances, and endmembers of every pixel, that are nearly tensors of low rank."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..abundances.active_set import minimise
from ..blind.alternating import onto_simplex
from .cpd import Polyadic, check_rank, cpd
from .model import STARTS, begin, sweep
from .pixel_endmembers import correlations, grams, ridge_endmembers
from .tensor_rank import scaled_endmembers_rank
from .ultra import LowRank, LowRankAbundances, descend

SWEEPS = 3    # of the endmembers' decomposition, at most, from the last one
SEED = 0      # of directions for more components than there are to start from


@dataclass(frozen=True)
class LowRankUnmixing(LowRankAbundances):
    """
    `LowRankAbundances` with the tensor of low rank that the endmembers are drawn to.

    Attributes
    ----------
    low_rank : callable(slice) -> ndarray (P, L, n)
        The tensor of canonical rank `rank_endmember` in these pixels, in the units of the data.
    rank_endmember : int
        K_P.
    """

    low_rank: Callable
    rank_endmember: int


def ultrav(Y, M0, shape, valid=None, *, lambda_m=0.1, lambda_a=0.001, rank_abundance=None, rank_endmember=None,
           start="scaled", exact=False, iterations=100, tolerance=3e-5, rank_tolerance=0.15, callback=None):
    """
    Abundances and free endmembers in every pixel, both of nearly low tensor rank.

    Find A on the simplex, M_n >= 0, and tensors Q (P, rows, cols) and P (P, L, rows, cols) of canonical ranks K_Q and
    K_P, of least cost (eq. 10)::

        1/2 sum_n (||y_n - M_n a_n||^2 + lambda_m ||M_n - P_n||^2 + lambda_a ||a_n - q_n||^2)

    by turns (Algorithm 1): P (eq. 15-18) and Q (eq. 19-22) by alternating least squares from their last factors
    (`cpd`), M_n (eq. 13-14, `ridge_endmembers`), A (eq. 12) exactly, pixel by pixel. The M_n are fitted to abundances
    that go on in the direction of their last change (Nesterov's momentum, projected onto the simplex); a step that
    raises the cost is taken back and made without.

    Parameters
    ----------
    Y : ndarray (L, N)
        Pixels of the whole image, row-major.
    M0 : ndarray (L, P)
        Reference endmembers, in the units of `Y`. Both are divided by their largest value.
    shape : (int, int)
        Rows and columns.
    valid : ndarray (N,) of bool, optional
        Where `Y` holds data; elsewhere M_n is P_n, negative values set to zero, and A is Q, projected onto the simplex.
    lambda_m : float
        How strictly the endmembers are of low rank.
    lambda_a : float
        The same for the abundances.
    rank_abundance, rank_endmember : int, optional
        K_Q and K_P; `tensor_rank` of the starting abundances and `scaled_endmembers_rank` by default.
    start : {"scls", "scaled", "fcls"}
        Initial abundances (see `model.begin`), and M_n = M0, or psi_n M0 with "scaled". The problem is not convex, and
        where the start is matters.
    exact : bool
        Solve eq. 13 exactly, so that no step raises the cost (see `ridge_endmembers`).
    iterations : int
    tolerance : float
        |J_i - J_(i-1)| / J_0 below which it ends.
    rank_tolerance : float
        Of `tensor_rank`.
    callback : callable(iteration, cost) -> bool or None, optional

    Returns
    -------
    LowRankUnmixing

    Raises
    ------
    ValueError
        As `model.begin`; a rank that the image cannot have.

    Notes
    -----
    M is held as one array in the type of the data, P and Q in factors.

    K_P and the first tensor P come from psi_n M0, the endmembers of scaled constrained least squares, whatever M starts
    from: the endmembers times the singular pairs of the map psi. With a very large lambda_m, K_P = P and a scene that
    is as bright everywhere it is ULTRA.

    References
    ----------
    T. Imbiriba, R. Borsoi, J. Bermudez, Low-rank tensor modeling for hyperspectral unmixing accounting for spectral
    variability, IEEE TGRS 58(3), 2020, Algorithm 1, eq. 10-24. Departures: the ranks (see `tensor_rank` and
    `scaled_endmembers_rank`); a few sweeps from the last decomposition instead of a new one, which might raise the
    cost; M starts at psi_n M0, whose rank Algorithm 1 estimates, rather than at M0, where the authors' code does;
    momentum, which on Hapke's scene of the benchmarks reaches in 58 iterations the cost of 100 without it.
    """
    problem = begin(Y, M0, shape, valid, dict(lambda_m=lambda_m, lambda_a=lambda_a), start=start)
    low = LowRank(problem, rank_abundance, rank_tolerance)
    psi = problem.psi.reshape(shape) if start == "scaled" else _brightness(problem)
    P, N, sides = problem.P, problem.N, (problem.P, len(M0), *shape)
    rank = scaled_endmembers_rank(P, psi, rank_tolerance) if rank_endmember is None else rank_endmember
    check_rank(rank, sides, "tensor of endmembers")
    A, Q, decomposition = low.start, low.Q, _scaled_endmembers(problem.M0, psi, rank)
    M = np.empty((P, len(M0), N), dtype=problem.Y.dtype)
    M[:] = problem.M0.T[:, :, None]
    if start == "scaled":
        M *= psi.ravel().astype(M.dtype)

    def cost(H, c, apart):
        return problem.misfit(H, c, A) + lambda_m / 2 * apart + lambda_a / 2 * float(np.square(A - Q).sum())

    before, momentum, lowest = A, 1.0, np.inf

    def fitted(low_rank, aim):
        """M near the low rank for the abundances `aim`, then A for M; their cost."""
        nonlocal A
        H, c = np.empty((N, P, P)), np.empty((P, N))

        def fit(part):
            T, Y = low_rank(part), problem.Y[:, part]
            new = ridge_endmembers(T.copy(), Y, problem.weights(aim, part), lambda_m, exact)
            M[:, :, part], H[part], c[:, part] = new, grams(new), correlations(new, Y)
            return float(np.square(np.subtract(new, T, out=T), out=T).sum(dtype=np.float64))
        apart = sum(sweep(fit, N))
        H[~problem.valid] = 0
        A = minimise(H + lambda_a * np.eye(P), c + lambda_a * Q, sum_to_one=True)
        return cost(H, c, apart)

    def step():
        nonlocal Q, decomposition, before, momentum, lowest
        decomposition = cpd(M.reshape(sides), rank, decomposition, sweeps=SWEEPS)
        Q = low.near(A)
        low_rank = _by_pixels(decomposition, M)
        following = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
        now, aim = A, onto_simplex(A + (momentum - 1) / following * (A - before))
        reached = fitted(low_rank, aim)
        if reached > lowest and momentum > 1:
            momentum, following = 1.0, (1 + np.sqrt(5)) / 2
            reached = fitted(low_rank, now)
        before, momentum, lowest = now, following, reached
        return reached

    first = cost(*problem.normal_equations(lambda part: M[:, :, part]), _apart(_by_pixels(decomposition, M), M))
    costs, converged = descend(step, first, problem, iterations=iterations, tolerance=tolerance, callback=callback)
    low_rank = _by_pixels(decomposition, M)
    return problem.result(A, problem.M0, lambda part: M[:, :, part], costs, converged, LowRankUnmixing, Q=Q,
                          rank_abundance=low.rank, rank_endmember=rank,
                          low_rank=lambda part: low_rank(part) * M.dtype.type(problem.scale))


def _brightness(problem):
    """psi (rows, cols) of scaled constrained least squares."""
    return STARTS["scaled"](problem.Y, problem.M0, problem.valid, problem.shape)[1].reshape(problem.shape)


def _scaled_endmembers(M0, psi, rank):
    """
    A decomposition of psi_n M0 to start from: s_j e_p o m_p o u_j o v_j for j = 1, 2, ..., brighter endmembers first.

    What the rank leaves over gets random directions and a weight of zero.
    """
    P, (U, s, Vt), rng = M0.shape[1], np.linalg.svd(psi, full_matrices=False), np.random.default_rng(SEED)
    size = np.linalg.norm(M0, axis=0)
    known = min(rank, P * len(s))
    p, j = np.tile(np.argsort(-size), len(s))[:known], np.repeat(np.arange(len(s)), P)[:known]

    def padded(columns):
        more = rng.standard_normal((len(columns), rank - known))
        return np.hstack([columns, more / np.linalg.norm(more, axis=0)])
    factors = np.eye(P)[:, p], M0[:, p] / size[p], U[:, j], Vt[j].T
    return Polyadic(np.append(size[p] * s[j], np.zeros(rank - known)), tuple(map(padded, factors)))


def _apart(low_rank, M):
    """||M - P||^2, P by `low_rank(part)`."""
    return sum(sweep(lambda part: float(np.square(M[:, :, part] - low_rank(part)).sum(dtype=np.float64)), M.shape[2]))


def _by_pixels(decomposition, M):
    """A function that gives the tensor for a slice of the pixels, (P, L, n), in the type of `M` (P, L, N)."""
    left, right = decomposition.halves(2, M.dtype)
    return lambda part: (left @ right[:, part]).reshape(*M.shape[:2], -1)
