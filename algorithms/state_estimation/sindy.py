"""Terms that a model of the dynamics lacks, found in series of states: sparse regression on polynomials (SINDy)."""

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
FLOOR = 1e-3                        # of the derivatives: what is less than that is an error of theirs
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
    Cubic smoothing splines of many series at the same dates, and their derivatives.

    min_g sum_k (x(k) - g(t_k))^2 + w int g''^2 dt: a natural spline (C. H. Reinsch, Numer. Math. 10, 1967), whose
    weight w is for each series that of least generalised cross-validation (P. Craven, G. Wahba, Numer. Math. 31, 1979),
    on a grid over 14 powers of ten: the local search of scipy's `make_smoothing_spline` missed oscillations wholly.

    Parameters
    ----------
    days : ndarray (T,)
        Increasing, with whatever intervals; five or more. The roughness matrix is decomposed once, in O(T^3).
    """

    def __init__(self, days):
        days = np.asarray(days, dtype=np.float64)
        if len(days) < 5:
            raise ValueError(f"A series of {len(days)} dates says little of its derivative: it takes 5 or more.")
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

    def __call__(self, X):
        """Smoothed states and their derivatives, (..., T, n) both, of states `X` (..., T, n)."""
        X = np.asarray(X, dtype=np.float64)
        parts = np.einsum("tk,...tn->...kn", self.basis, X)
        kept = 1 / (1 + WEIGHTS[:, None] * self.roughness)
        misfit = np.einsum("wk,...kn->w...n", (1 - kept)**2, parts**2)
        score = misfit / ((1 - kept).sum(axis=1)**2).reshape(-1, *[1] * (X.ndim - 1))
        best = kept[np.argmin(score, axis=0)]
        smooth = np.einsum("tk,...kn->...tn", self.basis, np.moveaxis(best, -1, -2) * parts)
        return smooth, CubicSpline(self.days, smooth, axis=-2)(self.days, 1)


def prune(A, b, support, tau, error=0.0):
    """
    Least squares of A x = b on a support, and on what is left of it without the entries that matter least.

    Left out is, one after the other, the entry without which the relative residue ||b - A x|| / ||b|| (6.4.20) is least
    (6.4.21), as long as it stays below 1 + tau times that of the whole support (6.4.22); or ||b - A x|| below `error`,
    which the thesis does not say: without noise the residue is what derivatives are wrong by, and terms fit that.

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


def sparse(A, b, solver="lh", most=10, tau=0.1, error=0.0):
    """
    Sparse solution of A x = b, (rows, columns) and (rows,): the support that a solver finds, then `prune`.

    Parameters
    ----------
    A, b : ndarray
    solver : str
        "omp": orthogonal matching pursuit with `most` entries. "lh": Lawson's and Hanson's least squares without
        negative numbers, of A and -A beside each other (the positivity trick), whose support follows from the data.
    most : int
        Far more than are expected, as the greedy choice takes wrong entries first where columns are correlated: of
        the whole of Lorenz '63, of which nothing is known, 15 of 20 do not hold the five right ones.
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


def discover(X, smoother, known, dictionary, solver="lh", most=10, tau=0.1):
    """
    Coefficients s (n_s, n) of what the known dynamics lack: dx/dt = known(x) + s^T Phi(x)^T, (6.4.14) and (6.4.15).

    Parameters
    ----------
    X : ndarray (B, T, n)
        States of B series that share their dynamics.
    smoother : Smoother
        Of their dates.
    known : callable
        The known rate of states (..., n), divided by the mass M of (6.4.13).
    dictionary : Dictionary
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
    Derivatives are those of smoothing splines, and the dictionary is that of the smoothed states. Each equation has its
    own support. What is less than a thousandth of the derivatives is taken for their error.

    pysindy (2.1.0: 0.9 MB in 11,500 lines; it needs the package `derivative`, and that importlib-metadata) has
    dictionaries, derivatives and greedy selection, but neither Lawson's and Hanson's solver nor this pruning, and would
    have to be told of the known part through a residual; what is used of it would be shorter than its configuration.
    Orthogonal matching pursuit is scikit-learn's, non-negative least squares scipy's.

    References
    ----------
    Thesis, sections 6.4.1 and 6.4.2. S. L. Brunton, J. L. Proctor, J. N. Kutz, Discovering governing equations from
    data by sparse identification of nonlinear dynamical systems, PNAS 113(15), 2016.
    """
    if solver not in SOLVERS:
        raise ValueError(f"There is no solver {solver}: choose one of {', '.join(SOLVERS)}.")
    smooth, derivative = smoother(X)
    smooth, derivative = smooth.reshape(-1, smooth.shape[-1]), derivative.reshape(-1, smooth.shape[-1])
    A, missing = dictionary(smooth), derivative - known(smooth)
    if len(A) < A.shape[1]:
        raise ValueError(f"{len(A)} states are too few for a dictionary of {A.shape[1]} terms. Give more series or "
                         f"dates, or a lower degree.")
    errors = FLOOR * np.linalg.norm(derivative, axis=0)
    return np.stack([sparse(A, b, solver, most, tau, error) for b, error in zip(missing.T, errors)], axis=1)
