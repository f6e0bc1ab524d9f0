"""Canonical polyadic decomposition: a tensor as a sum of few outer products, by alternating least squares."""

from dataclasses import dataclass

import numpy as np

RIDGE = 1e-6    # of a unit column's energy: how strongly a factor is held where the others do not determine it
BLOCK = 2**16   # numbers that are copied to float64 at a time


@dataclass(frozen=True)
class Polyadic:
    """
    The tensor sum_k weights_k factors[0][:, k] o factors[1][:, k] o ...

    Attributes
    ----------
    weights : ndarray (K,)
        Not negative.
    factors : tuple of ndarray (n_i, K)
        One for each mode, float64, with columns of length one.
    errors : ndarray
        ||X - this|| / ||X|| after each sweep.
    converged : bool
        False if it ended at the limit of sweeps.
    """

    weights: np.ndarray
    factors: tuple
    errors: np.ndarray = ()
    converged: bool = False

    @property
    def rank(self):
        return len(self.weights)

    def halves(self, split, dtype=np.float64):
        """Matrices (m, K) and (K, n) whose product is the tensor, the first `split` modes along m, the rest along n."""
        left = khatri_rao(self.factors[:split]) * self.weights
        return left.astype(dtype), np.ascontiguousarray(khatri_rao(self.factors[split:]).T, dtype=dtype)

    def full(self):
        """The tensor itself."""
        left, right = self.halves(1)
        return (left @ right).reshape([len(factor) for factor in self.factors])


def cpd(X, rank, start=None, *, sweeps=100, tolerance=1e-6, seed=0):
    """
    Least-squares approximation of a tensor by `rank` outer products: min ||X - sum_k w_k b_k^1 o b_k^2 o ...||^2.

    Parameters
    ----------
    X : ndarray (n_1, n_2, ...)
        Two modes or more, finite, float32 or float64, in C order.
    rank : int
        K, which may exceed the modes' sizes.
    start : Polyadic, optional
        Where to start, of this rank, such as the decomposition of a similar tensor. `first_guess` by default.
    sweeps : int
        At most so many updates of every factor.
    tolerance : float
        Change of the error ||X - .|| / ||X|| in a sweep below which it ends.
    seed : int
        Of `first_guess`.

    Returns
    -------
    Polyadic

    Raises
    ------
    ValueError
        A rank below one or above `largest_rank`, or a start of another rank or shape.

    Notes
    -----
    Factor i, with the others B_j fixed, solves (G + ridge I) B_i^T = T_i^T + ridge B_i^T (old), where G is the
    entrywise product of the B_j^T B_j and T_i = X_(i) (Khatri-Rao product of the B_j). The ridge draws to the old
    factor, not to zero: every update minimises the error plus a distance, so that the error never increases and has no
    bias at the end. It makes G regular where components are alike or vanish (a component that the tensor has no use for
    keeps its direction with a weight of zero, and may come back), and where a tensor has no best approximation it slows
    down the growth of components that cancel each other.

    T_i are taken from two products with X a sweep: X as a matrix, its first modes along the rows and the others along
    the columns, times the columns' Khatri-Rao product holds all that the rows' factors need, and the other way round.
    The order of the updates, and so the iterates, are those of plain alternating least squares.

    The two products are in the type of X, all else in float64. The error comes from norms, ||X||^2 - 2 <X, .> +
    ||.||^2, without the approximation itself, and so it is exact to about the square root of X's precision.

    References
    ----------
    R. Harshman, UCLA Working Papers in Phonetics 16, 1970; T. Kolda, B. Bader, Tensor decompositions and applications,
    SIAM Review 51(3), 2009, figure 3.3; N. Li, S. Kindermann, C. Navasca, Some convergence results on the regularized
    alternating least-squares method for tensor decomposition, Linear Algebra Appl. 438(2), 2013 (the ridge);
    A.-H. Phan, P. Tichavsky, A. Cichocki, Fast alternating LS algorithms for high order CANDECOMP/PARAFAC tensor
    factorizations, IEEE TSP 61(19), 2013, section III (products in common).
    """
    check_rank(rank, X.shape)
    start = first_guess(X, rank, seed) if start is None else start
    if start.rank != rank or tuple(map(len, start.factors)) != X.shape:
        raise ValueError(f"The start is of rank {start.rank} for a tensor of {_by(map(len, start.factors))}, wanted is "
                         f"rank {rank} for {_by(X.shape)}. Start from a decomposition of the same kind, or from none.")
    split = _split(X.shape)
    halves = range(split), range(split, X.ndim)
    matrix = X.reshape(int(np.prod(X.shape[:split])), -1)
    size = max(energy(X), np.finfo(float).tiny)
    B, weights = list(start.factors), start.weights
    crosses = [b.T @ b for b in B]
    errors, converged = [], False
    while len(errors) < sweeps and not converged:
        for product, inside, outside in ((matrix, *halves), (matrix.T, *halves[::-1])):
            shared = product @ khatri_rao([B[i] for i in outside]).astype(X.dtype)
            shared = shared.astype(np.float64).reshape(*(X.shape[i] for i in inside), rank)
            for i in inside:
                T = _contract(shared, [B[j] for j in inside], i - inside.start)
                G = np.prod([crosses[j] for j in range(X.ndim) if j != i], axis=0)
                new = np.linalg.solve(G + RIDGE * np.eye(rank), (T + RIDGE * weights * B[i]).T).T
                along, inner = (T * new).sum(), (G * (new.T @ new)).sum()
                B[i], weights = _unit(new, B[i])
                crosses[i] = B[i].T @ B[i]
        errors.append(np.sqrt(max(size - 2 * along + inner, 0.0) / size))
        converged = len(errors) > 1 and errors[-2] - errors[-1] < tolerance
    return Polyadic(weights, tuple(B), np.array(errors), converged)


def largest_rank(shape):
    """The rank that suffices for every tensor of this shape: the product of all sides but the largest."""
    return int(np.prod(shape)) // max(shape)


def check_rank(rank, shape, of="tensor"):
    """Raise ValueError for a rank that a tensor of this shape cannot have."""
    if not 1 <= rank <= largest_rank(shape):
        raise ValueError(f"A rank of {rank} is asked of a {of} of {_by(shape)}: choose between 1 and "
                         f"{largest_rank(shape)}.")


def first_guess(X, rank, seed=0):
    """
    A decomposition to start from: in each mode random directions within the span of the largest singular vectors.

    Singular vectors themselves, one for each component, fail where a mode needs but one of them (an image that is the
    same everywhere): all components but one would then be orthogonal to the tensor in that mode, and stay at zero.

    Returns
    -------
    Polyadic
        With weights of zero, so that what the first mode starts from, which is updated first, does not matter at all.
    """
    rng, factors = np.random.default_rng(seed), []
    for mode in range(X.ndim):
        values, vectors = np.linalg.eigh(unfolding_gram(X, mode))
        wanted = min(rank, int(np.count_nonzero(values > 1e-6 * values[-1])) or 1)
        factor = vectors[:, -wanted:] @ rng.standard_normal((wanted, rank))
        factors.append(factor / np.linalg.norm(factor, axis=0))
    return Polyadic(np.zeros(rank), tuple(factors))


def unfolding_gram(X, mode):
    """X_(i) X_(i)^T (n_i, n_i) of the unfolding along `mode`, float64; no unfolding is formed."""
    side = X.shape[mode]
    G = np.zeros((side, side))
    if mode == X.ndim - 1:
        matrix = X.reshape(-1, side)
        return G + matrix.T @ matrix
    for block in X.reshape(-1, side, int(np.prod(X.shape[mode + 1:]))):
        G += block @ block.T
    return G


def khatri_rao(factors):
    """Columns of all products, (n_1 n_2 ..., K): the last factor's index runs fastest."""
    product = factors[0]
    for factor in factors[1:]:
        product = (product[:, None, :] * factor).reshape(-1, factor.shape[1])
    return product


def _contract(shared, factors, kept):
    """T_i (n_i, K) from its half's product (..., K), by summing over the half's other modes."""
    for j in reversed(range(len(factors))):
        if j != kept:
            axes = list(range(shared.ndim))
            shared = np.einsum(shared, axes, factors[j], [j, axes[-1]], [axis for axis in axes if axis != j])
    return shared


def _split(shape):
    """How many modes are the rows of the matrix that is nearest to square."""
    return min(range(1, len(shape)), key=lambda split: np.prod(shape[:split]) + np.prod(shape[split:]))


def _unit(factor, old):
    """Columns of length one, and their lengths; a column of zeros keeps its direction."""
    lengths = np.linalg.norm(factor, axis=0)
    return np.where(lengths > 0, factor / np.where(lengths > 0, lengths, 1), old), lengths


def energy(X):
    """||X||^2, summed in float64 in parts: einsum with a dtype would copy all of X to it."""
    flat, total = X.reshape(-1), 0.0
    for start in range(0, flat.size, BLOCK):
        part = flat[start:start + BLOCK].astype(np.float64)
        total += float(np.einsum("i,i->", part, part))   # a product this small only keeps BLAS's threads waiting
    return total


def _by(shape):
    return " x ".join(map(str, shape))
