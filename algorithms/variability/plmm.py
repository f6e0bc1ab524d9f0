"""PLMM: endmembers that are estimated, and in every pixel a free, small departure from them."""

from dataclasses import dataclass

import numpy as np

from ..abundances.active_set import minimise
from .model import VariableUnmixing, alternate, begin, relative_change, sweep
from .pixel_endmembers import correlations, grams, mixtures, ridge_endmembers
from .spatial import Smoothness, abundance_step

TIED = 0.1        # default beta, per valid pixel
TINY = 1e-12      # neighbours that differ less agree
SMALLEST = 1e-6   # M starts at no less: a step at most halves it, and half of zero is zero


@dataclass(frozen=True)
class PerturbedUnmixing(VariableUnmixing):
    """
    `VariableUnmixing` with estimated endmembers; `reference` stays the given one.

    Attributes
    ----------
    M : ndarray (L, P)
        Endmembers from which those of the pixels depart by dM_n, in the units of the data.
    alpha, beta : float
        The weights used.
    """

    M: np.ndarray
    alpha: float
    beta: float


def plmm(Y, M0, shape, valid=None, *, alpha=None, beta=None, gamma=0.1, start="scls", exact=True,
         iterations=100, tolerance=1e-3, callback=None):
    """
    Abundances, endmembers, and a departure from them in every pixel (perturbed linear mixing model).

    With y_n = (M + dM_n) a_n, find A on the simplex, M >= 0 and M_n = M + dM_n >= 0 of least cost::

        1/2 sum_n ||y_n - M_n a_n||^2 + alpha/2 (||D_h A||^2 + ||D_v A||^2) + beta/2 ||M - M0||^2
            + gamma/2 sum_n ||M_n - M||^2

    by turns: A (`SpatialAbundances`), M (`bound`, then nonnegative least squares), M_n (`ridge_endmembers`).

    Parameters
    ----------
    Y : ndarray (L, N)
        Pixels of the whole image, row-major.
    M0 : ndarray (L, P)
        Reference endmembers, in the units of `Y`. Both are divided by their largest value.
    shape : (int, int)
        Rows and columns.
    valid : ndarray (N,) of bool, optional
        Where `Y` holds data; elsewhere the smoothness of A fills in, and endmembers do not depart.
    alpha : float, optional
        Smoothness of the abundances; 0 leaves each pixel to itself. By default 4 P/L fit/Phi of the start (see Notes).
    beta : float, optional
        How closely endmembers keep to the reference; 0.1 for each valid pixel by default.
    gamma : float
        How closely the endmembers of the pixels keep to M.
    start : {"scls", "scaled", "fcls"}
        Initial abundances (see `model.begin`).
    exact : bool
        Keep M_n >= 0 exactly, so that no step raises the cost (see `ridge_endmembers`).
    iterations : int
    tolerance : float
        Relative change of A and of M below which it ends.
    callback : callable(iteration, cost) -> bool or None, optional

    Returns
    -------
    PerturbedUnmixing

    Notes
    -----
    dM is never stored: it follows from y, a and M, and is made anew for a few thousand pixels at a time.

    alpha. The published cost counts each pair of neighbours twice (Phi), the step for A in the authors' code once.
    Their values of alpha, found with that code, are those of this function. So is the automatic one, save that its
    fit is what the best dM_n leave of the cost: a small gamma explains much, and little is left to outweigh.

    beta. The authors' automatic value, 0.1 P/N fit/||M - M0||^2, cannot be told here: M starts at M0. What resists
    beta is A A^T, which grows with the pixels, so does the default. It lets endmembers change where many pixels agree
    on it; much smaller ones let them drift away while the misfit, which dM_n explains as well, hardly falls.

    M and the mean of dM_n differ only by what gamma and beta make of them.

    References
    ----------
    P.-A. Thouvenin, N. Dobigeon, J.-Y. Tourneret, Hyperspectral unmixing with spectral variability using a perturbed
    linear mixing model, IEEE TSP 64(2), 2016, with the distance to given endmembers as the penalty of M. Departures:
    each subproblem is solved exactly or nearly so instead of by a few steps of ADMM; no neighbours across the image's
    edges; the step for M keeps M_n >= 0, where its own forgets M >= -dM_n and then ends at higher costs; convergence
    is of A and M, of which dM is a function.
    """
    given = {name: weight for name, weight in dict(beta=beta, gamma=gamma).items() if weight is not None}
    problem = begin(Y, M0, shape, valid, given, {} if alpha is None else dict(alpha=alpha), start)
    M0, N, P, dtype = problem.M0, problem.N, problem.P, problem.Y.dtype
    M, A = np.maximum(M0, SMALLEST), problem.A

    def endmembers(part):
        T = np.repeat(M.T[:, :, None].astype(dtype), problem.Y[:, part].shape[1], axis=2)
        return ridge_endmembers(T, problem.Y[:, part], problem.weights(A, part), gamma, exact)

    def normal_equations():
        """Those of the present M_n, and sum_n ||M_n - M||^2."""
        H, c = np.empty((N, P, P)), np.empty((P, N))

        def measure(part):
            M_n = endmembers(part)
            H[part], c[:, part] = grams(M_n), correlations(M_n, problem.Y[:, part])
            return [float(np.square(m - m0[:, None]).sum()) for m, m0 in zip(M_n, M.T.astype(dtype))]
        apart = np.sum(sweep(measure, N))
        H[~problem.valid] = 0
        return H, c, apart

    def estimated(A):
        """M for new abundances and the present M_n."""
        def measure(part):
            return bound(M, endmembers(part), problem.Y[:, part], problem.weights(A, part), gamma)
        G, S = (sum(parts) for parts in zip(*sweep(measure, N)))
        G, S, floor = G + beta * np.eye(P), S + beta * M0, M / 2
        return floor + minimise(G, (S - np.einsum("lpq,lq->lp", G, floor)).T, sum_to_one=False).T

    def explained():
        """The cost without the penalties of A and M."""
        return problem.misfit(H, c, A * problem.valid) + gamma / 2 * apart

    def cost():
        return explained() + prior.cost(A) + beta / 2 * float(np.square(M - M0).sum())

    def step():
        nonlocal A, M, H, c, apart
        newA = abundances(H, c)
        newM = estimated(newA)
        change = max(relative_change(A, newA), relative_change(M, newM))
        A, M = newA, newM
        H, c, apart = normal_equations()
        return cost(), change

    H, c, apart = normal_equations()
    alpha = automatic_alpha(explained(), A, shape, len(M)) if alpha is None else alpha
    beta = TIED * float(np.count_nonzero(problem.valid)) if beta is None else beta
    prior = Smoothness(alpha, shape)
    abundances = abundance_step(prior, A, shape)
    costs, converged = alternate(step, cost(), iterations=iterations, tolerance=tolerance, callback=callback)
    return problem.result(A, M0, endmembers, costs, converged, PerturbedUnmixing, M=M * problem.scale, alpha=alpha,
                          beta=beta)


def automatic_alpha(fit, A, shape, L):
    """4 P/L fit/Phi, where Phi counts every pair of neighbours in the abundances `A` (P, N) twice; 0 if all agree."""
    Phi = 4 * Smoothness(1.0, shape).cost(A)
    return 4 * len(A) / L * fit / Phi if Phi > TINY else 0.0


def bound(M, M_n, Y, a, gamma):
    """
    A quadratic function of every band m (P,) of M that is nowhere below these pixels' cost.

    At `M` it is their cost with the present `M_n`, so that its minimum raises no cost. A pixel's cost as a function of
    m alone, 1/2 (y - m_n^T a)^2 + gamma/2 ||m_n - m||^2 with the best m_n >= 0, is bounded from above if m_n - m is
    held instead of freed, which is close to it but allowed only as long as m_n >= 0, and if m_n itself is held, which
    is always allowed. The latter counts for pixels and bands where one of m_n is below m/2, the former for all others:
    both are allowed for a new m >= m/2.

    Parameters
    ----------
    M : ndarray (L, P)
    M_n : ndarray (P, L, n)
        Nonnegative, such as the best for `M` and the abundances before.
    Y : ndarray (L, n)
    a : ndarray (P, n)
        New abundances, zero in pixels that do not count.
    gamma : float

    Returns
    -------
    G : ndarray (L, P, P)
    S : ndarray (L, P)
        The function is 1/2 m^T G_l m - s_l^T m and a constant in band l.
    """
    held = (M_n < (M.T[:, :, None] / 2).astype(M_n.dtype)).any(axis=0)
    rows = np.flatnonzero(held.any(axis=1))
    near, P = held[rows].astype(M_n.dtype), len(a)
    rest = Y - mixtures(M_n, a)
    rest[rows] *= 1 - near
    G = np.repeat((a @ a.T)[None], len(M), axis=0)
    G[rows] -= np.tensordot(near, np.einsum("pn,qn->npq", a, a), 1)
    S = rest @ a.T.astype(rest.dtype) + np.einsum("lpq,lq->lp", G, M)
    S[rows] += gamma * np.einsum("pln,ln->lp", M_n[:, rows], near)
    G[rows] += gamma * near.sum(axis=1)[:, None, None] * np.eye(P)
    return G, S
