"""Nonnegative matrix factorisation by beta-divergences or robust losses, with or without regularisers."""

import numpy as np
from scipy.optimize import nnls

from ..pixels import blocks
from .alternating import BlindUnmixing, MtY, Start, YAt, alternate, misfit, start
from .divergence import TINY, check_nonnegative, divergence
from .kbsnmf import nndsvd
from .penalties import Penalty, norms

STARTS = ("vca", "nndsvd", "random")
LOSSES = ("divergence", "l21", "cauchy", "robust")
CHUNK = 512       # pixels whose quotients stay in the cache
REPEATS = 2       # of a factor's step while its products stand, where they are those of squares
NEAR = 1e-6       # smooths the root of l21 at 0, in data divided by their maximum
JUMP = 1e3        # factor by which a value grows or falls in extrapolation at most
MIXES = 6         # halvings in the search for a mix of two losses
LEAST = 0.1       # of its largest value: what an abundance is at least scaled to by `as_fractions`
NONE = Penalty()


def nmf(Y, P, rng, *, beta=2.0, loss="divergence", gamma=None, endmembers=NONE, abundances=NONE, initial=None,
        begin_with="vca", factors=None, accelerate=True, iterations=1000, tolerance=1e-4, callback=None):
    """
    Blind unmixing by nonnegative matrix factorisation::

        min D(Y, M A) + N phi(M) + psi(A)   subject to M, A >= 1e-16                              (3.2.7), (3.2.37)

    where D is one of

    ============== ==================================================================================== ========
    "divergence"   D_beta(Y, M A): Itakura-Saito (0), Kullback-Leibler (1), half the squared error (2)   (3.2.4)
    "l21"          sum over pixels of ||y - M a||                                                        (3.2.17)
    "cauchy"       sum over pixels of log(||y - M a||^2 + gamma^2)                                       (3.2.20)
    "robust"       the largest of "l21", "cauchy" and ||Y - M A||^2                                      (3.2.21)
    ============== ==================================================================================== ========

    Parameters
    ----------
    Y : ndarray (L, N)
        Not negative; positive for beta <= 0. They are divided by their maximum first.
    P : int
    rng : numpy.random.Generator
    beta : float
        From -5 to 5; of "divergence" alone.
    loss : str
    gamma : float, optional
        Of "cauchy" and "robust": from which distance ||y - M a|| on a pixel loses influence, in data divided by their
        maximum. By default the median of the distances at the start.
    endmembers, abundances : Penalty
        phi of the endmembers, along the bands; psi of the abundances, along the pixels as they come. A volume is one
        of endmembers.
    initial : ndarray (L, P), optional
        See `alternating.start`.
    begin_with : {"vca", "nndsvd", "random"}
        VCA and FCLS; the nonnegative double SVD, its zeros set to 0.1; uniform numbers, scaled to the data. Only the
        first takes `initial`.
    factors : (ndarray (L, P), ndarray (P, N)), optional
        Exactly these positive factors to start from, in the units of the data and as fractions.
    accelerate : bool
        Extrapolate, repeat cheap steps, and minimise squares exactly row by row; without, the steps are those of
        (3.2.38), M first.
    iterations, tolerance, callback
        See `alternating.alternate`.

    Returns
    -------
    BlindUnmixing
        Abundances have no scale of their own: see `as_fractions`.

    Raises
    ------
    ValueError
        Data that are negative (how many) or, for beta <= 0, zero; options that do not fit together.

    Notes
    -----
    The cost never rises. A divergence's step is (3.2.38); with regularisers, `Penalty` says how they enter numerator,
    denominator and exponent so that the step still minimises a majoriser. With a volume, rows go one by one.

    Where one factor alone is regularised, and the less it pays the smaller it is, nothing would hold it: the other
    would grow without bound. (3.2.9) normalises after each step, which may raise the cost. Here the factor pays for
    its values times the root mean square of the other's columns or rows, that is for the normalised factor: a cost
    that no scale changes, so that normalising is free, and to which the other factor's step has its own majoriser.
    Orthogonality fixes the scale itself.

    "l21" and "cauchy" are concave in ||y - M a||^2: their tangent makes them squares weighted by 1 / ||y - M a|| and
    2 / (||y - M a||^2 + gamma^2) per pixel, renewed in every iteration. The root of "l21" is that of
    ||y - M a||^2 + 1e-12.

    (3.2.21) is linear in its weights, so its maximum over the simplex is the largest of the three. A step on that one
    alone lowers it, but another may overtake; where it does, the step is taken on mixes of the two (a point of the
    simplex, by bisection), and the lowest is kept if it does not raise the cost. Where none lowers it the iteration
    has settled: at a kink where three losses meet this may be early. The three are not of one scale: where outliers
    are farther than 1 from their reconstruction, ||Y - M A||^2 is the largest, and they count as they do for it.

    With a volume and sparse abundances there need not be a minimum: flat simplices have no volume, and let the
    endmembers grow and the abundances shrink.

    Extrapolation (Nesterov's weights, from the last two iterates) is taken back and starts anew where the cost would
    rise. `costs` are of data divided by their maximum.

    References
    ----------
    G. Chinellato, Deep Unfolding, PhD thesis, Padova 2026, section 3.2. A. Cichocki, A.-H. Phan, Fast local algorithms
    for large scale nonnegative matrix and tensor factorizations, IEICE Trans. E92-A(3), 2009 (row by row). A. M. S.
    Ang, N. Gillis, Accelerating nonnegative matrix factorization algorithms using extrapolation, Neural Computation
    31(2), 2019 (extrapolation; weights and quotients differ). Departures: see above.
    """
    _check(Y, beta, loss, gamma, abundances)
    begin = first_factors(Y, P, rng, initial, begin_with, factors)
    if loss == "divergence" and beta != 2:
        data = Divergences(begin.Y, beta)
    elif loss == "divergence":
        data = Squares(begin.Y)
    else:
        if gamma is None:
            gamma = max(float(np.sqrt(np.median(distances(begin.Y, begin.M, begin.A)))), NEAR)
        data = Reweighted(begin.Y, loss, gamma)
    problem = Problem(data, endmembers.times(Y.shape[1]), abundances, accelerate)
    return alternate(extrapolated(problem, begin) if accelerate else problem.step, problem.cost(begin.M, begin.A),
                     begin, iterations=iterations, tolerance=tolerance, callback=callback)


def as_fractions(found):
    """
    The same product M A, with the rows of A scaled so that a pixel's abundances sum to one as nearly as they can.

    The factors minimise the squared difference of the sums to one; none scales an abundance's largest value below 0.1,
    so that an endmember without influence on the sums keeps a spectrum in the units of the data.
    """
    A = found.A
    least = LEAST / np.maximum(A.max(axis=1), TINY)
    scaled = A * least[:, None]
    weights = least * (1 + nnls(scaled @ scaled.T, scaled @ (1 - scaled.sum(axis=0)))[0])
    return BlindUnmixing(found.M / weights, A * weights[:, None], found.costs, found.iterations, found.converged)


def distances(Y, M, A):
    """||y - M a||^2 of every pixel (N,)."""
    return np.concatenate([np.square(block - M @ a).sum(axis=0) for block, a in zip(blocks(Y, CHUNK),
                                                                                    blocks(A, CHUNK))])


class Divergences:
    """D_beta: numerators and denominators of both factors' steps, in blocks of pixels."""

    def __init__(self, Y, beta):
        self.Y, self.beta = Y, beta
        self.p = 0.0 if beta < 1 else beta - 1
        self.q = 0.0 if beta > 2 else 2 - beta
        self._entropy = sum(divergence(block, np.ones_like(block), 1) for block in blocks(Y, CHUNK)) - Y.size

    def cost(self, M, A):
        """D_beta(Y, M A)."""
        total = 0.0
        for block, a in self._blocks(A):
            Z = M @ a
            if self.beta == 1:
                total -= float(np.einsum("ln,ln->", block, np.log(Z, out=Z)))
            else:
                total += divergence(block, Z, self.beta)
        if self.beta == 1:
            total += self._entropy + float(M.sum(axis=0) @ A.sum(axis=1))
        return total

    def endmembers(self, M, A, rows):
        """Numerator and denominator (rows, L) of the step of some endmembers."""
        numerator, denominator = 0.0, 0.0
        for block, a in self._blocks(A):
            Q, R = self._quotients(block, M @ a)
            numerator = numerator + a[rows] @ Q.T
            denominator = denominator + (a[rows].sum(axis=1)[:, None] if R is None else a[rows] @ R.T)
        return numerator, denominator

    def abundances(self, M, A, rows):
        """Numerator and denominator (rows, N) of the step of some abundances."""
        shape = (len(rows), A.shape[1])
        numerator, denominator, first, m = np.empty(shape), np.empty(shape), 0, M[:, rows].T
        for block, a in self._blocks(A):
            Q, R = self._quotients(block, M @ a)
            part = slice(first, first + a.shape[1])
            numerator[:, part] = m @ Q
            denominator[:, part] = m.sum(axis=1)[:, None] if R is None else m @ R
            first = part.stop
        return numerator, denominator

    def _blocks(self, A):
        for block, a in zip(blocks(self.Y, CHUNK), blocks(A, CHUNK)):
            yield block.astype(np.float64, copy=False), a

    def _quotients(self, X, Z):
        """X Z^(beta - 2), in place of Z, and Z^(beta - 1), which is None where it is 1."""
        if self.beta == 1:
            return np.divide(X, Z, out=Z), None
        if self.beta == 0:
            R = 1 / Z
            return np.multiply(X, np.multiply(R, R, out=Z), out=Z), R
        R = Z ** (self.beta - 1)
        np.divide(R, Z, out=Z)
        return np.multiply(X, Z, out=Z), R


class Squares:
    """1/2 sum_n v_n ||y_n - M a_n||^2 by Gram matrices; v = 1 where it is None."""

    p, q = 1.0, 0.0

    def __init__(self, Y, v=None):
        self.Y, self.v = Y, v
        self.energy = sum(float(np.square(block, dtype=np.float64).sum()) for block in blocks(Y))
        self._known = (None, None, None)

    def cost(self, M, A):
        """Of v = 1."""
        G, C = self.for_abundances(M)
        return misfit(self.energy, G, C, A)

    def for_endmembers(self, A):
        """A V A^T and A V Y^T."""
        B = A if self.v is None else A * self.v
        return B @ A.T, YAt(self.Y, B).T

    def for_abundances(self, M):
        """M^T M and M^T Y, kept for the cost."""
        if self._known[0] is not M:
            self._known = M, M.T @ M, MtY(M, self.Y)
        return self._known[1:]


class Reweighted(Squares):
    """The robust losses, and the weights v of the squares that touch them from above."""

    def __init__(self, Y, loss, gamma):
        super().__init__(Y)
        self.loss, self.gamma = loss, gamma

    def cost(self, M, A):
        return self.losses(distances(self.Y, M, A)).max()

    def losses(self, u):
        """The losses in use, of squared distances `u`: one, or for "robust" three."""
        every = {"l21": np.sqrt(u + NEAR**2).sum(), "cauchy": np.log(u + self.gamma**2).sum(), "squares": u.sum()}
        return np.array(list(every.values()) if self.loss == "robust" else [every[self.loss]])

    def touch(self, u, mix=None):
        """Set v to the tangent's at `u`; `mix` of the three for "robust"."""
        every = {"l21": 1 / np.sqrt(u + NEAR**2), "cauchy": 2 / (u + self.gamma**2), "squares": np.full(len(u), 2.0)}
        self.v = every[self.loss] if mix is None else np.array(list(every.values())).T @ mix


class Problem:
    """A loss with the penalties of both factors: its cost, and one iteration that does not raise it."""

    def __init__(self, data, endmembers, abundances, accelerate):
        self.data, self.endmembers, self.abundances, self.accelerate = data, endmembers, abundances, accelerate
        self.exact = accelerate and isinstance(data, Squares) and all(
            penalty == Penalty(sparsity=penalty.sparsity) for penalty in (endmembers, abundances))
        self.rows_by_one = bool(endmembers.volume)
        self.scaled_by_M = abundances.shrinks and not endmembers
        self.scaled_by_A = endmembers.shrinks and not abundances

    def cost(self, M, A):
        """Loss and penalties."""
        return self.data.cost(M, A) + self._penalties(M, A)

    def step(self, M, A):
        """M, A and the cost after one iteration."""
        if not isinstance(self.data, Reweighted):
            M, A = self._sweep(M, A)
            return M, A, self.cost(M, A)
        u = distances(self.data.Y, M, A)
        if self.data.loss != "robust":
            self.data.touch(u)
            M, A = self._sweep(M, A)
            return M, A, self.cost(M, A)
        return self._largest(M, A, u)

    def _penalties(self, M, A):
        F, G = M.T, A
        if self.scaled_by_A:
            F = F * norms(A)[:, None]
        if self.scaled_by_M:
            G = G * norms(M.T)[:, None]
        return self.endmembers.value(F) + self.abundances.value(G)

    def _largest(self, M, A, u):
        """A step on the largest of three losses, or on the best mix with the one that overtakes it."""
        def attempt(mix):
            self.data.touch(u, mix)
            found = self._sweep(M, A)
            losses = self.data.losses(distances(self.data.Y, *found))
            return (*found, losses.max() + self._penalties(*found)), losses

        now = self.data.losses(u)
        best = M, A, now.max() + self._penalties(M, A)
        corner = np.eye(3)
        k = int(now.argmax())
        found, losses = attempt(corner[k])
        other = int(losses.argmax())
        best = min(best, found, key=lambda state: state[2])
        low, high = 0.0, 1.0
        for _ in range(MIXES if other != k else 0):
            share = (low + high) / 2
            found, losses = attempt((1 - share) * corner[k] + share * corner[other])
            best = min(best, found, key=lambda state: state[2])
            low, high = (share, high) if losses[other] > losses[k] else (low, share)
        return best

    def _sweep(self, M, A):
        """Endmembers, then abundances."""
        if self.scaled_by_A:
            n = norms(A)
            M, A = M * n, A / n[:, None]
        F = self._half(M.T, self.endmembers, A if self.scaled_by_M else None, self.abundances, M, A, True)
        M = np.ascontiguousarray(F.T)
        if self.scaled_by_M:
            n = norms(M.T)
            M, A = M / n, A * n[:, None]
        A = self._half(A, self.abundances, M.T if self.scaled_by_A else None, self.endmembers, M, A, False)
        return M, A

    def _half(self, F, penalty, partner, partners, M, A, of_endmembers):
        """The step of one factor F (P, k), whose scale the penalty `partners` of `partner` may weigh."""
        data, squares = self.data, isinstance(self.data, Squares)
        if squares:
            G, C = data.for_endmembers(A) if of_endmembers else data.for_abundances(M)
            v = None if of_endmembers else data.v
            if self.exact:
                weights = np.zeros(len(F)) if partner is None else partners.scale_weights(partner, F, range(len(F)))
                share = 1.0 if v is None else 1 / v
                return exact_rows(F, G, C, penalty.sparsity * share, weights[:, None] * share, REPEATS)
        groups = [[s] for s in range(len(F))] if self.rows_by_one else [list(range(len(F)))]
        F = F.copy()
        for _ in range(REPEATS if squares and self.accelerate else 1):
            for rows in groups:
                if squares:
                    N, D = C[rows], G[rows] @ F
                    N, D = (N, D) if v is None else (N * v, D * v)
                else:
                    M, A = (F.T, A) if of_endmembers else (M, F)
                    N, D = (data.endmembers if of_endmembers else data.abundances)(M, A, rows)
                power = data.p
                if penalty:
                    more, less, c = penalty.parts(F, rows)
                    N, D, power = N + less, D + more, max(power, c)
                if partner is not None:
                    D, power = D + partners.scale_weights(partner, F, rows)[:, None] * F[rows], max(power, 1)
                factor = N / D
                if power + data.q != 1:
                    factor **= 1 / (power + data.q)
                F[rows] = np.maximum(TINY, F[rows] * factor)
        return F


def exact_rows(F, G, C, penalty, weights, repeats):
    """
    Row by row the minimum of 1/2 tr(F^T G F) - tr(C^T F) + sum(penalty F + weights F^2 / 2) over F >= 1e-16.

    References
    ----------
    Cichocki and Phan 2009, see `nmf`.
    """
    F = F.copy()
    for _ in range(repeats):
        for s in range(len(F)):
            slope = C[s] - G[s] @ F - weights[s] * F[s] - penalty
            np.maximum(TINY, F[s] + slope / np.maximum(G[s, s] + weights[s], TINY), out=F[s])
    return F


def extrapolated(problem, begin):
    """
    The problem's step from a point ahead of the last two iterates, taken back where the cost would rise.

    Ahead by differences where rows are exact, by quotients elsewhere: a difference would leave zeros, from which no
    multiplicative step returns.
    """
    last, momentum, lowest = (begin.M, begin.A), 1.0, problem.cost(begin.M, begin.A)

    def further(F, old, share):
        if problem.exact:
            return np.maximum(TINY, F + share * (F - old))
        return np.maximum(TINY, F * np.clip(F / old, 1 / JUMP, JUMP) ** share)

    def ahead(M, A):
        nonlocal last, momentum, lowest
        following = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
        share = (momentum - 1) / following
        if share:
            new = problem.step(*(further(F, old, share) for F, old in zip((M, A), last)))
        if not share or new[2] > lowest:
            new, following = problem.step(M, A), (1 + np.sqrt(5)) / 2
        last, momentum, lowest = (M, A), following, new[2]
        return new
    return ahead


def first_factors(Y, P, rng, initial=None, begin_with="vca", factors=None):
    """
    Where a nonnegative factorisation starts; for the parameters see `nmf`.

    Returns
    -------
    Start

    Raises
    ------
    ValueError
        A start that there is not, or that does not go with what is given or with the data.
    """
    if begin_with not in STARTS:
        raise ValueError(f"There is no start '{begin_with}'. Choose one of {', '.join(map(repr, STARTS))}.")
    if initial is not None and (begin_with != "vca" or factors is not None):
        raise ValueError("Initial endmembers are for the start 'vca' alone. Give none, or begin with 'vca' and no "
                         "factors.")
    L, N = Y.shape
    if factors is None and begin_with == "vca":
        return start(Y, P, rng, initial, nonnegative=True)
    if not 1 <= P <= min(L, N):
        raise ValueError(f"{P} endmembers cannot be found in {N} pixels of {L} bands. Ask for 1 to {min(L, N)}.")
    scale = float(Y.max())
    scaled = np.divide(Y, scale, dtype=np.float64 if Y.dtype == np.float64 else np.float32)
    if factors is not None:
        M, A = (np.array(factor, dtype=np.float64) for factor in factors)
        if M.shape != (L, P) or A.shape != (P, N):
            raise ValueError(f"The factors to start from have the shapes {M.shape} and {A.shape}; ({L}, {P}) and "
                             f"({P}, {N}) fit the data.")
        M = M / scale
    elif begin_with == "nndsvd":
        M, A = nndsvd(scaled, P)
    else:
        M, A = rng.random((L, P)), rng.random((P, N))
        C = MtY(M, scaled)
        M *= np.einsum("pn,pn->", C, A) / np.einsum("pq,pn,qn->", M.T @ M, A, A, optimize=True)
    return Start(scaled, np.maximum(M, TINY), np.maximum(A, TINY), scale)


def _check(Y, beta, loss, gamma, abundances):
    check_nonnegative(Y, beta if loss == "divergence" else 2.0)
    if not -5 <= beta <= 5:
        raise ValueError(f"beta is {beta:g}; it must be from -5 to 5, as 0, 1 and 2 are.")
    if loss not in LOSSES:
        raise ValueError(f"There is no loss '{loss}'. Choose one of {', '.join(map(repr, LOSSES))}.")
    if gamma is not None and not gamma > 0:
        raise ValueError(f"The distance gamma is {gamma:g}; it must be above 0, or None for the median at the start.")
    if abundances.volume:
        raise ValueError(f"The abundances' penalty has a volume of {abundances.volume:g}; a volume is one of "
                         f"endmembers. Give it to those.")
