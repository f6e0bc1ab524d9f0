"""Exact nonnegative least squares for all pixels at once, from the Gram matrix, with or without the sum to one."""

import numpy as np

TOLERANCE = 1e-12
FULL_EXCHANGES = 3
ILL_CONDITIONED = 1e6
LARGE_GROUP = 4
BLOCK_NUMBERS = 2**24
BATCH_NUMBERS = 2**18


def minimise(G, C, sum_to_one):
    """
    Solve min 1/2 a^T G a - c^T a subject to a >= 0, and 1^T a = 1 if `sum_to_one`, for every column c of `C`.

    Block principal pivoting: each pixel has a passive set F, outside of which a is zero. With the multipliers
    lambda = G a - c + nu 1 zero on F, (a_F, lambda elsewhere) solve one linear system; where all are nonnegative the
    pixel is solved, otherwise the offending indices change sides. The start is the solution without a >= 0. Pixels
    of the same passive set share one factorisation; where the sets are many and small, systems are solved as a batch.

    Parameters
    ----------
    G : ndarray (P, P) or (N, P, P)
        Gram matrix M^T M of linearly independent endmembers; affinely independent ones suffice if `sum_to_one`. Or
        one for each pixel, where each has endmembers of its own.
    C : ndarray (P, N)
        M^T Y.
    sum_to_one : bool

    Returns
    -------
    A : ndarray (P, N)
        Nonnegative; with `sum_to_one` each column sums to one to rounding. NaN where C is not finite.

    Notes
    -----
    Termination. Exchanging all offending indices is fast but may cycle, so a pixel whose offenders have not become
    fewer in three exchanges is solved by the primal active-set method instead (Lawson and Hanson): from the best
    single endmember, the index with the most negative multiplier is let in, and where the solution on F is not
    positive, the step towards it ends where the first index becomes zero, which leaves. Its cost falls with every
    index let in, so no F comes back and it ends. Both need the systems to be regular: with the sum to one, K_FF is
    bordered by ones, and K_FF v = 0, 1^T v = 0 mean M_F v = 0, which affinely independent endmembers exclude.

    Rounding. Signs count beyond a tolerance relative to the pixel (1e-12, ten times more whenever a pixel has not
    settled in a number of rounds that exact arithmetic rarely needs), so that a tie cannot cycle.

    References
    ----------
    J. Kim, H. Park, Fast nonnegative matrix factorization: an active-set-like method and comparisons, SIAM J. Sci.
    Comput. 33(6), 2011, algorithm 2 and section 3. C. L. Lawson, R. J. Hanson, Solving Least Squares Problems, 1974,
    chapter 23. D. Heinz, C.-I Chang, IEEE TGRS 39(3), 2001 (FCLS).
    Departures: the start is the unconstrained solution instead of zero; the sum to one is in the system; what cycles
    is left to the primal method, where Kim and Park take Murty's rule, which needs hundreds of rounds for tens of
    similar endmembers.
    """
    G = np.asarray(G, dtype=np.float64)
    shared = _Systems(G, sum_to_one) if G.ndim == 2 else None
    A = np.empty(C.shape)
    block = int(np.clip(BLOCK_NUMBERS // (len(C) + 1) ** 2, 1024, 65536))
    for start in range(0, C.shape[1], block):
        part = slice(start, start + block)
        A[:, part] = _pivot(shared or _PixelSystems(G[part], sum_to_one), C[:, part])
    return A


def _pivot(systems, C):
    """`minimise` for a block of pixels that bounds the memory for systems."""
    P = len(C)
    A = systems.unconstrained(C)
    scale = systems.scale(C)
    wrong = A < -TOLERANCE * scale
    pending = np.flatnonzero(wrong.any(axis=0))
    c, wrong = C.take(pending, axis=1), wrong.take(pending, axis=1)
    passive = np.ones_like(wrong)
    fewest = np.full(pending.size, P + 1)
    exchanges = np.full(pending.size, FULL_EXCHANGES)
    cycling = []
    while pending.size:
        count = np.count_nonzero(wrong, axis=0)
        better = count < fewest
        fewest[better] = count[better]
        exchanges = np.where(better, FULL_EXCHANGES, exchanges - 1)
        cycling.append(pending[exchanges < 0])
        pending, fewest, exchanges, c, wrong, passive = _only(
            exchanges >= 0, pending, fewest, exchanges, c, wrong, passive)
        passive ^= wrong
        z = systems.solve(c, passive, pending)
        wrong = z < -TOLERANCE * scale[pending]
        A[:, pending] = z * passive
        pending, fewest, exchanges, c, wrong, passive = _only(
            wrong.any(axis=0), pending, fewest, exchanges, c, wrong, passive)
    cycling = np.concatenate([*cycling, np.empty(0, dtype=np.intp)])
    A[:, cycling] = _descend(systems, cycling, C.take(cycling, axis=1), scale[cycling])
    np.maximum(A, 0.0, out=A)
    if systems.border:
        A /= A.sum(axis=0)
    return A


def _only(wanted, *arrays):
    """Arrays with one entry or column per pixel, for the wanted pixels only."""
    kept = np.flatnonzero(wanted)
    return tuple(array.take(kept, axis=-1) for array in arrays)


def _descend(systems, pixels, C, scale):
    """`minimise` for the pixels at the positions `pixels`, by the primal active-set method, all in step."""
    P, N = C.shape
    A, pending, c = np.empty_like(C), np.arange(N), C
    passive = np.zeros(C.shape, dtype=bool)
    if systems.border:
        passive[np.argmin(systems.diagonal(pixels) / 2 - C, axis=0), pending] = True
    a = passive.astype(np.float64)
    tolerance, rounds = TOLERANCE, 0
    while pending.size:
        z = systems.solve(c, passive, pixels)
        below = z < -tolerance * scale
        leaving = passive & below
        ratio = np.divide(a, a - z, out=np.ones_like(a), where=leaving)
        step = ratio.min(axis=0, initial=1.0)
        settled = ~leaving.any(axis=0)
        a += np.where(settled, 1.0, step) * (np.where(passive, z, 0.0) - a)
        passive &= ~(leaving & (ratio <= step))
        a[~passive] = 0.0
        entering = np.where(passive, 0.0, z)
        worst = entering.argmin(axis=0)
        solved = settled & ~below.any(axis=0)
        grow = np.flatnonzero(settled & ~solved)
        passive[worst[grow], grow] = True
        A[:, pending[solved]] = a[:, solved]
        pending, pixels, c, scale, a, passive = _only(~solved, pending, pixels, c, scale, a, passive)
        rounds += 1
        if rounds % (20 + 5 * P) == 0:
            tolerance *= 10
    return A


def unconstrained(G, C, sum_to_one=False):
    """The minimum of `minimise` without a >= 0: ndarray (P, N)."""
    return _Systems(G, sum_to_one).unconstrained(C)


def on_support(G, C, passive, sum_to_one=False):
    """
    The linear systems of `minimise` for passive sets that are given.

    Parameters
    ----------
    G, C, sum_to_one
        As for `minimise`, G (P, P).
    passive : ndarray (P, N) of bool
        With the sum to one, at least one index in every pixel.

    Returns
    -------
    z : ndarray (P, N)
        Abundances on the passive set; elsewhere the multipliers in units of G's mean diagonal. A pixel is solved where
        all are nonnegative.
    scale : ndarray (N,)
        What rounding is measured against.
    """
    systems = _Systems(G, sum_to_one)
    return systems.solve(C, passive, np.arange(C.shape[1])), systems.scale(C)


def kkt_residual(G, C, A, sum_to_one):
    """
    Distance of each pixel's abundances from the optimality conditions, free of units.

    With the gradient g = G a - c, the multipliers lambda = g + nu 1 (nu = -a^T g / 1^T a if `sum_to_one`, else 0) and
    the scales alpha = ||a||_1 and gamma = max |c| + alpha max |G|, the residual is the largest of
    |min(a_k / alpha, lambda_k / gamma)| over k, which is zero exactly if a >= 0, lambda >= 0 and a_k lambda_k = 0,
    and, if `sum_to_one`, of |1^T a - 1|.

    Parameters
    ----------
    G, C, sum_to_one
        As for `minimise`.
    A : ndarray (P, N)

    Returns
    -------
    ndarray (N,)
    """
    g = (G @ A if G.ndim == 2 else np.einsum("npq,qn->pn", G, A)) - C
    alpha = np.abs(A).sum(axis=0)
    gamma = np.abs(C).max(axis=0) + alpha * np.abs(G).max(axis=(-2, -1))
    total = A.sum(axis=0)
    if sum_to_one:
        g -= np.einsum("pn,pn->n", A, g) / total
    a = np.divide(A, alpha, out=np.zeros_like(A), where=alpha > 0)
    multiplier = np.divide(g, gamma, out=np.zeros_like(g), where=gamma > 0)
    residual = np.abs(np.minimum(a, multiplier)).max(axis=0)
    return np.maximum(residual, np.abs(total - 1)) if sum_to_one else residual


class _Systems:
    """
    The linear systems B_F z = (c, 1) of passive sets F: z_F = a_F, z elsewhere the multipliers.

    Column j of B_F is that of G for j in F and -e_j otherwise; the sum to one borders it by a column of ones (nu) and
    a row of ones on F. Multipliers, nu and that row are in units of G's mean diagonal, which makes B_F's condition
    independent of the data's units.
    """

    def __init__(self, G, sum_to_one):
        self.G = np.asarray(G, dtype=np.float64)
        self.P = len(G)
        self.border = int(sum_to_one)
        self.unit = np.trace(self.G) / self.P
        self.everything = np.ones((self.P, 1), dtype=bool)
        self.full = self.matrices(self.everything.T)[0]
        self.large_group = np.inf if np.linalg.cond(self.full) > ILL_CONDITIONED else LARGE_GROUP

    def diagonal(self, pixels):
        """The Gram matrices' diagonals, (P, n) or (P, 1)."""
        return np.diag(self.G)[:, None]

    def scale(self, C):
        """What rounding is measured against in each pixel (N,): c in units of G, and a where its size is given."""
        return np.abs(C).max(axis=0) / self.unit + self.border

    def matrices(self, passive):
        """B_F (S, P + border, P + border) of the passive sets `passive` (S, P)."""
        P, size = self.P, self.P + self.border
        B = np.zeros((len(passive), size, size))
        B[:, :P, :P] = np.where(passive[:, None, :], self.G, -self.unit * np.eye(P))
        if self.border:
            B[:, :P, P] = self.unit
            B[:, P, :P] = self.unit * passive
        return B

    def right_hand_sides(self, c):
        return np.vstack([c, np.full((1, c.shape[1]), self.unit)]) if self.border else c

    def unconstrained(self, C):
        """a (P, N) without a >= 0; NaN where a column of `C` is not finite."""
        if np.isinf(self.large_group):
            A = np.linalg.solve(self.full, self.right_hand_sides(C))[:self.P]
        else:
            A = self._solve_groups(C, self.everything, [C.shape[1]])
        A[:, ~np.isfinite(A).all(axis=0)] = np.nan
        return A

    def solve(self, c, passive, pixels):
        """
        z (P, n) of the pixels `c` (P, n) at the positions `pixels` (n,), with the passive sets `passive` (P, n).

        Large groups of one passive set are multiplied by its inverse; the pixels of small ones are solved each by
        itself, and so are all where the inverse would be worse than elimination.
        """
        order, starts = _groups(passive)
        sizes = np.diff(starts, append=order.size)
        large = sizes >= self.large_group
        z = np.empty_like(c)
        alone = order[np.repeat(~large, sizes)]
        if alone.size:
            z[:, alone] = self._solve_each(*(array.take(alone, axis=-1) for array in (c, passive, pixels)))
        if large.any():
            members = order[np.repeat(large, sizes)]
            z[:, members] = self._solve_groups(c.take(members, axis=1), passive[:, order[starts[large]]], sizes[large])
        return z

    def _solve_each(self, c, passive, pixels):
        """Every pixel by itself, those with equally large passive sets as one batch of systems of that size only."""
        z = np.empty_like(c)
        sizes = np.count_nonzero(passive, axis=0)
        for size in np.unique(sizes):
            members = np.flatnonzero(sizes == size)
            batch = max(BATCH_NUMBERS // (size + 1) ** 2, 1)
            for start in range(0, members.size, batch):
                part = members[start:start + batch]
                z[:, part] = self._solve_batch(*(array[..., part] for array in (c, passive, pixels)), size)
        return z

    def _solve_batch(self, c, passive, pixels, size):
        """z (P, n) where each passive set has `size` members: a_F from G_FF, the multipliers G a + nu - c from a."""
        n = c.shape[1]
        pixel, F, unit = np.arange(n)[:, None], np.nonzero(passive.T)[1].reshape(n, size), self.units(pixels)
        B = np.zeros((n, size + self.border, size + self.border))
        B[:, :size, :size] = self.submatrices(pixels, F)
        right = np.empty((n, size + self.border, 1))
        right[:, :size, 0] = c[F, pixel]
        if self.border:
            right[:, size, 0] = unit
            B[:, :size, size] = B[:, size, :size] = np.reshape(unit, (-1, 1))
        x = _solutions(B, right)[:, :, 0]
        a = np.zeros_like(c)
        a[F, pixel] = x[:, :size]
        multipliers = (self.times(pixels, a) - c) / unit
        if self.border:
            multipliers += x[:, size]
        return np.where(passive, a, multipliers)

    def units(self, pixels):
        return self.unit

    def submatrices(self, pixels, F):
        """G_FF (n, size, size) of the sets `F` (n, size)."""
        return self.G[F[:, :, None], F[:, None, :]]

    def times(self, pixels, a):
        """G a (P, n)."""
        return self.G @ a

    def _solve_groups(self, c, passive, sizes):
        """The groups' pixels lie side by side in `c`; column g of `passive` belongs to the next `sizes[g]` of them."""
        inverse = np.linalg.inv(self.matrices(passive.T))[:, :self.P]
        z, stop = np.empty_like(c), 0
        for W, size in zip(inverse, sizes):
            start, stop = stop, stop + size
            np.matmul(W[:, :self.P], c[:, start:stop], out=z[:, start:stop])
            if self.border:
                z[:, start:stop] += self.unit * W[:, self.P:]
        return z


class _PixelSystems(_Systems):
    """The same where each pixel has a Gram matrix of its own: G (N, P, P). Every pixel is solved by itself."""

    def __init__(self, G, sum_to_one):
        self.G, self.P, self.border = G, G.shape[1], int(sum_to_one)
        unit = np.einsum("npp->n", G) / self.P
        self.unit = np.where(unit > 0, unit, 1.0)

    def diagonal(self, pixels):
        return np.einsum("npp->pn", self.G[pixels])

    def unconstrained(self, C):
        pixels = np.flatnonzero(np.isfinite(C).all(axis=0))
        A = np.full(C.shape, np.nan)
        A[:, pixels] = self._solve_each(C[:, pixels], np.ones((self.P, len(pixels)), dtype=bool), pixels)
        return A

    def solve(self, c, passive, pixels):
        return self._solve_each(c, passive, pixels)

    def units(self, pixels):
        return self.unit[pixels]

    def submatrices(self, pixels, F):
        return self.G[pixels[:, None, None], F[:, :, None], F[:, None, :]]

    def times(self, pixels, a):
        return np.einsum("npq,qn->pn", self.G[pixels], a)


def _solutions(B, right):
    """Solutions of the systems `B` (n, s, s), the shortest ones if one is singular."""
    try:
        return np.linalg.solve(B, right)
    except np.linalg.LinAlgError:
        return np.linalg.pinv(B) @ right


def _groups(passive):
    """Order (n,) that puts equal columns of `passive` (P, n) side by side, and where each run of them starts."""
    packed = np.zeros((-(-len(passive) // 8), passive.shape[1]), dtype=np.uint8)
    for k, bits in enumerate(passive.view(np.uint8)):  # np.packbits is several times slower along this axis
        packed[k // 8] |= bits << (k % 8)
    order = np.lexsort(packed)
    packed = packed[:, order]
    changes = (packed[:, 1:] != packed[:, :-1]).any(axis=0)
    return order, np.concatenate([[0], np.flatnonzero(changes) + 1])
