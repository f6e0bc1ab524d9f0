"""Terms that a model of the dynamics lacks, found in noisy states: sparse regression on polynomials (SINDy)."""

from dataclasses import dataclass
from functools import cached_property
from itertools import combinations_with_replacement

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.linalg import eigh
from scipy.optimize import nnls
from sklearn.linear_model import orthogonal_mp_gram

SOLVERS = ("omp", "lh")
WEIGHTS = np.logspace(-6, 8, 113)   # of roughness, beside the fit, of which generalised cross-validation takes one
FLOOR = 1e-3                        # of the course of a state: what is less is an error of integrals, or of a filter
ABSENT = 1e4                        # times a state's variance: that of a state that is missing
AT_ONCE = 2**22                     # numbers of the matrices (T, T) that are held
ROUNDS = 3                          # of regression, each with the errors that follow from the terms found before
SHARES = np.concatenate([[0.0], np.logspace(-6, 0, 13)])   # of the changes, that are noise of the process
H = 1e-5                            # of the range of a state, in which rates are differentiated
LIMIT = 1e-10                       # of the shortest column of a dictionary, relative to the longest


@dataclass(frozen=True)
class Dictionary:
    """
    All monomials of n states up to a degree, the constant first, without those of which a parameter is learned.

    Attributes
    ----------
    n, degree : int
    without : tuple of tuple of int
        Monomials that are left out, as the indices of their factors: (0, 0) is x_0^2, () the constant.
    """

    n: int
    degree: int = 3
    without: tuple = ()

    @cached_property
    def terms(self):
        """The monomials as indices of their factors."""
        return [term for degree in range(self.degree + 1)
                for term in combinations_with_replacement(range(self.n), degree) if term not in self.without]

    def names(self, states):
        """The monomials in words, of the states' names."""
        return [" ".join(states[i] if term.count(i) == 1 else f"{states[i]}^{term.count(i)}"
                         for i in sorted(set(term))) or "1" for term in self.terms]

    def __call__(self, x):
        """Phi(x) (..., n_s) of states (..., n), arrays or tensors."""
        factors = np.array([[self.n] * (self.degree - len(term)) + list(term) for term in self.terms])
        if isinstance(x, np.ndarray):
            x = np.concatenate([x, np.ones_like(x[..., :1])], axis=-1)
        else:
            import torch
            x, factors = torch.cat([x, torch.ones_like(x[..., :1])], dim=-1), torch.from_numpy(factors)
        product = x[..., factors[:, 0]]
        for column in factors.T[1:]:
            product = product * x[..., column]
        return product


class Smoother:
    """
    Cubic smoothing splines of many series at the same dates, their errors, and integrals.

    min_g sum_k (x(k) - g(t_k))^2 + w int g''^2 dt: a natural spline (C. H. Reinsch, Numer. Math. 10, 1967), whose
    weight w is for each series that of least generalised cross-validation (P. Craven, G. Wahba, Numer. Math. 31, 1979),
    on a grid over 14 powers of ten: the local search of scipy's `make_smoothing_spline` missed oscillations wholly.

    Parameters
    ----------
    days : ndarray (T,)
        Increasing, with whatever intervals; five or more. The roughness matrix is decomposed once, in O(T^3).

    Attributes
    ----------
    integral : ndarray (T, T)
        Takes values at the dates to the integrals of their spline from the first date on.
    """

    def __init__(self, days):
        days = np.asarray(days, dtype=np.float64)
        if len(days) < 5:
            raise ValueError(f"A series of {len(days)} dates says little of its changes: it takes 5 or more.")
        self.days, h = days, np.diff(days) / np.mean(np.diff(days))
        T = len(days)
        second, gram, inner = np.zeros((T, T - 2)), np.zeros((T - 2, T - 2)), np.arange(T - 2)
        second[inner, inner] = 1 / h[:-1]
        second[inner + 1, inner] = -1 / h[:-1] - 1 / h[1:]
        second[inner + 2, inner] = 1 / h[1:]
        gram[inner, inner] = (h[:-1] + h[1:]) / 3
        gram[inner[1:], inner[:-1]] = gram[inner[:-1], inner[1:]] = h[1:-1] / 6
        self.roughness, self.basis = eigh(second @ np.linalg.solve(gram, second.T))
        self.roughness = np.maximum(self.roughness, 0)
        self.roughness[:2] = 0
        self.integral = CubicSpline(days, np.eye(T), axis=0).antiderivative()(days)

    def __call__(self, X):
        """
        Smoothed states (..., T, n) of states `X` (..., T, n), the variance of what is smoothed away (..., n), and the
        matrices that smooth (..., n, T, T).
        """
        X = np.asarray(X, dtype=np.float64)
        parts = np.einsum("tk,...tn->...kn", self.basis, X)
        kept = 1 / (1 + WEIGHTS[:, None] * self.roughness)
        misfit = np.einsum("wk,...kn->w...n", (1 - kept)**2, parts**2)
        free = (1 - kept).sum(axis=1).reshape(-1, *[1] * (X.ndim - 1))
        best = np.argmin(misfit / free**2, axis=0)
        matrix = (self.basis * kept[best][..., None, :]) @ self.basis.T
        return (np.einsum("...ntk,...kn->...tn", matrix, X), np.take_along_axis(misfit / free, best[None], axis=0)[0],
                matrix)


def prune(A, b, support, tau, error=0.0):
    """
    Least squares of A x = b on a support, and on what is left of it without the entries that matter least.

    Left out is, one after the other, the entry without which the relative residue ||b - A x|| / ||b|| (6.4.20) is least
    (6.4.21), as long as it stays below 1 + tau times that of the whole support (6.4.22); or ||b - A x|| below `error`,
    which the thesis does not say: what errors amount to is nothing that terms should fit.

    Without an entry, the others are solved for again (backward regression). The thesis keeps them as they are;
    monomials are so much correlated that then two which stand for each other both remain.

    Returns
    -------
    ndarray
        x, zero outside of what is left.
    """
    Q, root = np.linalg.qr(A[:, support])
    right = Q.T @ b
    outside = max(b @ b - right @ right, 0.0)
    limit, kept, x = None, np.arange(len(support)), np.zeros(A.shape[1])
    while len(kept):
        inverse = np.linalg.pinv(root[:, kept])
        values = inverse @ right
        residue = outside + np.sum((right - root[:, kept] @ values)**2)
        limit = max((1 + tau) * np.sqrt(residue), error) if limit is None else limit
        without = residue + values**2 / np.maximum(np.sum(inverse**2, axis=1), np.finfo(float).tiny)
        if np.sqrt(without.min()) >= limit:
            x[support[kept]] = values
            break
        kept = np.delete(kept, np.argmin(without))
    return x


def sparse(A, b, solver="omp", most=10, tau=0.1, error=0.0):
    """
    Sparse solution of A x = b, (rows, columns) and (rows,): the support that a solver finds, then `prune`.

    Parameters
    ----------
    A, b : ndarray
    solver : str
        "omp": orthogonal matching pursuit with `most` entries. "lh": Lawson's and Hanson's least squares without
        negative numbers, of A and -A beside each other (the positivity trick), whose support follows from the data.
    most : int
        More than are expected, as the greedy choice takes wrong entries first where columns are correlated: of the
        whole of Lorenz '63, of which nothing is known, 15 of 20 do not hold the five right ones.
    tau, error : float
        See `prune`.

    Notes
    -----
    Columns are scaled to length one before. With far more rows than columns, and columns that are not dependent,
    Lawson and Hanson end at the least-squares solution, which is not sparse: pruning then does it all.
    """
    lengths = np.linalg.norm(A, axis=0)
    usable = np.flatnonzero(lengths > LIMIT * lengths.max(initial=0.0))
    if not len(usable) or not b.any():
        return np.zeros(A.shape[1])
    S = A[:, usable] / lengths[usable]
    if solver == "omp":
        found = np.ravel(orthogonal_mp_gram(S.T @ S, S.T @ b, n_nonzero_coefs=min(most, len(usable))))
    else:
        found = nnls(np.concatenate([S, -S], axis=1), b)[0].reshape(2, -1).any(axis=0)
    x = np.zeros(A.shape[1])
    x[usable] = prune(S, b, np.flatnonzero(found), tau, error) / lengths[usable]
    return x


def discover(X, smoother, known, dictionary, *, seen=None, free=None, solver="omp", most=10, tau=0.1):
    """
    Coefficients s (n_s, n) of what the known dynamics lack: dx/dt = known(x) + s^T Phi(x)^T, (6.4.14) and (6.4.15).

    Parameters
    ----------
    X : ndarray (B, T, n)
        States of B series that share their dynamics, with errors that are white along the dates.
    smoother : Smoother
        Of their dates.
    known : callable
        The known rate of states (..., n), divided by the mass M of (6.4.13).
    dictionary : Dictionary
    seen : ndarray (B, T, n) of bool, optional
        States that are known; all by default.
    free : callable, optional
        Derivatives (..., n, r) of the known rate in parameters that are not known well, at states (..., n). What they
        could explain no term is found for.
    solver, most, tau
        See `sparse`.

    Returns
    -------
    ndarray (n_s, n)

    Raises
    ------
    ValueError
        Fewer rows than terms, or a solver that there is not.

    Notes
    -----
    The thesis regresses derivatives of the states. Noise makes these useless long before the series itself: here
    integrals are regressed (H. Schaeffer, S. G. McCalla, Phys. Rev. E 96, 2017), from each date to the next, of
    smoothed states, x(k+1) - x(k) - int known = s^T int Phi, each equation for itself. An error v of the states then
    enters twice: as it is, and through the smoothed states S v in the integrals, to first order as - int J S v with J
    the Jacobian of the rate. Noise of the process adds to each change. The rows are made white by the covariance that
    follows, with D v the differences between dates,
        sum_j var_j (delta_ij D - int J_ij S_j) (delta_ij D - int J_ij S_j)^T + q h,
    without which a smooth error passes for many terms. The variances var_j are those of what smoothing takes away, q,
    that of the noise of the process in a unit of time, is the most likely one beside all terms (restricted likelihood),
    and J is that of the known rate and the terms found before. Rows are scaled so that all terms leave a residue of one
    for each, which is then what errors amount to. The bias of smoothing and errors of J are left out.

    pysindy (2.1.0: 0.9 MB in 11,500 lines; it needs the package `derivative`, and that importlib-metadata) has
    dictionaries, derivatives and greedy selection, but neither Lawson's and Hanson's solver nor this pruning or these
    errors, and would have to be told of the known part through a residual; what is used of it would be shorter than its
    configuration. Orthogonal matching pursuit is scikit-learn's, non-negative least squares scipy's.

    References
    ----------
    Thesis, sections 6.4.1 and 6.4.2. S. L. Brunton, J. L. Proctor, J. N. Kutz, Discovering governing equations from
    data by sparse identification of nonlinear dynamical systems, PNAS 113(15), 2016.
    """
    if solver not in SOLVERS:
        raise ValueError(f"There is no solver {solver}: choose one of {', '.join(SOLVERS)}.")
    B, T, n = X.shape
    terms = len(dictionary.terms)
    if B * (T - 1) < terms:
        raise ValueError(f"{B * T} states are too few for a dictionary of {terms} terms. Give more series or dates, or "
                         f"a lower degree.")
    seen = np.ones(X.shape, bool) if seen is None else seen
    s, size = np.zeros((terms, n)), max(1, AT_ONCE // (n * T * T))
    for _ in range(ROUNDS):
        parts = [_rows(X[b:b + size], seen[b:b + size], smoother, known, dictionary, s, free)
                 for b in range(0, B, size)]
        rows, noises, floors = (np.concatenate(each, axis=1) for each in zip(*parts))
        before, s = s, np.zeros((terms, n))
        for i in range(n):
            count = np.maximum(seen[..., i].sum(axis=1) - 1, 0).sum() - (rows.shape[2] - terms - 1)
            white = _white(rows[i], noises[i], floors[i].mean(), terms)
            Q = np.linalg.qr(white[:, terms + 1:])[0]
            white = white - Q @ (Q.T @ white)
            s[:, i] = sparse(white[:, :terms], white[:, terms], solver, most, tau, np.sqrt(max(count, 0)))
        if ((s != 0) == (before != 0)).all():
            break
    return s


def _rows(X, seen, smoother, known, dictionary, s, free):
    """
    Integrals of terms, then what is missing, then parts of free parameters, (n, B (T - 1), n_s + 1 + r).

    White without noise of the process, of which a variance of 1 in a unit of time adds the second array (n, B (T - 1))
    to their variances, and leaves them uncorrelated. Third, the share of errors of integrals in these (n, B).
    """
    B, T, n = X.shape
    steps, h = np.diff(smoother.integral, axis=0), np.diff(smoother.days)
    smooth, variance, S = smoother(X)
    J = _jacobian(lambda x: known(x) + dictionary(x) @ s, smooth)
    Phi, changes = steps @ dictionary(smooth), np.diff(X, axis=1) - steps @ known(smooth)
    nuisance = np.zeros((B, T - 1, n, 0)) if free is None else np.einsum("tk,bkir->btir", steps, free(smooth))
    spread, found = X.var(axis=1), []
    for i in range(n):
        scale = np.where(spread[:, i] > 0, spread[:, i], 1.0)[:, None]
        lone = scale * (FLOOR**2 + ABSENT * ~seen[..., i])   # variances of errors that are not smoothed
        C = np.diff(np.diff(lone[:, :, None] * np.eye(T), axis=1), axis=2)
        for j in range(n):
            M = (np.diff(np.eye(T), axis=0) if i == j else 0) - (steps * J[:, None, :, i, j]) @ S[:, j]
            C += variance[:, j, None, None] * (M @ np.swapaxes(M, 1, 2))
        root = np.linalg.cholesky(C)
        half = np.linalg.solve(root, np.diag(np.sqrt(h)))
        noise, V = np.linalg.eigh(half @ np.swapaxes(half, 1, 2))
        rows = np.swapaxes(V, 1, 2) @ np.linalg.solve(root, np.concatenate(
            [Phi, changes[:, :, i, None], nuisance[:, :, i]], axis=2))
        found.append((rows.reshape(B * (T - 1), -1), noise.ravel(),
                      2 * FLOOR**2 * scale[:, 0] / np.einsum("bkk->b", C) * (T - 1)))
    return tuple(np.stack(each) for each in zip(*found))


def _white(rows, noise, floor, terms):
    """Rows of `_rows` made white with the most likely noise of the process, and of the size that all terms leave."""
    b, others = rows[:, terms], np.delete(rows, terms, axis=1)
    lengths = np.linalg.norm(others, axis=0)
    others = others[:, lengths > 0] / lengths[lengths > 0]
    least, best = np.inf, None
    for q in SHARES * np.mean(b**2) / np.mean(noise):
        weights = 1 / np.sqrt(1 + q * noise)
        U, values, _ = np.linalg.svd(weights[:, None] * others, full_matrices=False)
        U, values = U[:, values > LIMIT], values[values > LIMIT]
        left, free = weights * b, max(len(b) - len(values), 1)
        left = left @ left - np.sum((U.T @ left)**2)
        size = max(left / free, floor)
        unlikely = left / size + free * np.log(size) - 2 * np.log(weights).sum() + 2 * np.log(values).sum()
        if unlikely < least:
            least, best = unlikely, weights / np.sqrt(size)
    return best[:, None] * rows


def _jacobian(rate, x):
    """(..., n, n) of a rate at states x (..., n), by central differences."""
    found = np.empty((*x.shape, x.shape[-1]))
    for j, step in enumerate(H * np.maximum(np.ptp(x.reshape(-1, x.shape[-1]), axis=0), H)):
        ahead, behind = x.copy(), x.copy()
        ahead[..., j] += step
        behind[..., j] -= step
        found[..., j] = (rate(ahead) - rate(behind)) / (2 * step)
    return found
