"""Endmembers that differ from pixel to pixel: M_n, kept as arrays (P, L, n), and what every model does with them."""

import numpy as np

CHUNK = 2048   # pixels whose endmembers are made, used and forgotten while they are in the cache


def chunks(N):
    """Slices of the pixels, small enough for their endmembers to stay in the cache."""
    return [slice(start, min(start + CHUNK, N)) for start in range(0, N, CHUNK)]


def mixtures(M, A):
    """M_n a_n of every pixel, (L, n), for its endmembers `M` (P, L, n) and abundances `A` (P, n)."""
    A = np.asarray(A, dtype=M.dtype)
    Y = M[0] * A[0]
    for m, a in zip(M[1:], A[1:]):
        Y += m * a
    return Y


def grams(M):
    """M_n^T M_n of every pixel, (n, P, P) float64, summed over the bands in the type of `M` (P, L, n)."""
    P, _, n = M.shape
    G = np.empty((n, P, P))
    for p in range(P):
        for q in range(p, P):
            G[:, p, q] = G[:, q, p] = np.einsum("ln,ln->n", M[p], M[q])
    return G


def correlations(M, Y):
    """M_n^T y_n of every pixel, (P, n) float64, for `M` (P, L, n) and `Y` (L, n); also m^T y_n for `M` (P, L, 1)."""
    return np.stack([np.einsum("ln,ln->n", np.broadcast_to(m, Y.shape), Y) for m in M]).astype(np.float64)


def departure(M, M0):
    """
    How far every pixel's endmembers are from the reference `M0` (L, P): ||m_pn - m_0p|| / ||m_0p||, (P, n).

    It is the root mean square over the bands of the difference, relative to that of the reference; NaN for a
    reference that is zero.
    """
    size = np.linalg.norm(M0, axis=0)
    difference = np.stack([np.linalg.norm(m - m0[:, None].astype(M.dtype), axis=0) for m, m0 in zip(M, M0.T)])
    return difference / np.where(size > 0, size, np.nan)[:, None]


def ridge_endmembers(T, Y, A, weight, exact=False):
    """
    Endmembers of every pixel near given ones: min 1/2 ||y - M a||^2 + weight/2 ||M - T||^2 subject to M >= 0.

    Parameters
    ----------
    T : ndarray (P, L, n)
        Where they are drawn to. It is overwritten.
    Y : ndarray (L, n)
    A : ndarray (P, n)
        Abundances, nonnegative; a pixel of zeros gets max(T, 0).
    weight : float
        lambda > 0.
    exact : bool
        Solve the constrained problem. Otherwise the unconstrained minimum is projected onto M >= 0, as published
        (ULTRA-V, eq. 14), which may raise the cost.

    Returns
    -------
    ndarray (P, L, n)
        `T`'s memory.

    Notes
    -----
    Without M >= 0 the minimum of eq. 14 is a rank-one change, M = T + e a^T / lambda with the residual e = y - M a =
    (y - T a) lambda / (lambda + ||a||^2): no P x P system is needed.

    With it, the KKT conditions of each band l give m_lk = [t_lk + e_l a_k / lambda]_+ where e_l solves

        f(e) = e + sum_k a_k [t_lk + e a_k / lambda]_+ - y_l = 0.

    f is convex, increasing and piecewise linear with P breaks, so Newton's method ends after at most P + 1 steps at
    the root. The root without constraints, where all m_lk are nonnegative, is that of f.
    """
    A = np.asarray(A, dtype=T.dtype)
    weight = T.dtype.type(weight)
    e = (Y - mixtures(T, A)) * (weight / (weight + np.einsum("pn,pn->n", A, A)))
    low = np.zeros(e.shape, dtype=bool)
    for t, a in zip(T, A):
        t += e * (a / weight)
        low |= t < 0
    if exact and low.any():
        a, e = A[:, np.nonzero(low)[1]], e[low]
        t = T[:, low] - e * (a / weight)
        T[:, low] = t + _constrained_residual(t, Y[low], a, weight, e) * (a / weight)
    return np.maximum(T, 0, out=T)


def _constrained_residual(T, Y, A, weight, e):
    """The root e (m,) of f, by Newton's method from the root without constraints; T and A are (P, m), Y (m,)."""
    for _ in range(len(T) + 2):
        f, slope = e - Y, np.ones_like(e)
        for t, a in zip(T, A):
            m = t + e * (a / weight)
            active = m > 0
            f += a * np.where(active, m, 0)
            slope += active * (a * a / weight)
        step = f / slope
        e = e - step
        if not np.abs(step).max(initial=0) > 8 * np.finfo(T.dtype).eps * np.abs(Y).max(initial=0):
            break
    return e
