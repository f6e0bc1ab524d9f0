"""KbSNMF-div: smooth NMF by divergence, whose endmembers are to be of large kurtosis."""

import numpy as np
from scipy.optimize import nnls

from ..pixels import blocks, moments
from .alternating import FLOOR, TINY, BlindUnmixing, MtY, Start, YAt, alternate, start

STARTS = ("vca", "nndsvd")
PUBLISHED = 9025   # pixels of Samson, for which the published gamma stands
DEAD = 1e-16       # floor of both factors: smaller numbers slow single precision down a hundredfold
FILL = 0.1         # instead of the zeros of NNDSVD, which a multiplicative step could not leave
CHUNK = 1024       # pixels whose quotients stay in the cache


def kbsnmf(Y, P, rng, *, initial=None, begin_with="vca", gamma=8.0, theta=0.2, iterations=1000, tolerance=1e-5,
           callback=None):
    """
    Blind unmixing by kurtosis-based smooth NMF, with the generalised Kullback-Leibler divergence::

        min D(Y || M S A) - gamma' mean_k kurt(m_k)   subject to M, A >= 0,   S = (1 - theta) I + theta / P 1 1^T

    where gamma' = gamma N / 9025, since D grows with the number of pixels N.

    Parameters
    ----------
    Y : ndarray (L, N)
        Values below zero count as zero.
    P : int
    rng : numpy.random.Generator
    initial : ndarray (L, P), optional
        See `alternating.start`.
    begin_with : {"vca", "nndsvd"}
        VCA and FCLS, or as published the nonnegative double SVD with its zeros set to 0.1, for which `rng` does not
        matter and which takes no `initial`.
    gamma : float
        Weight of the kurtosis of the endmembers in a scene of Samson's size, 95 x 95 pixels.
    theta : float
        How much the abundances are smoothed over the endmembers, from 0 (not at all) to 1 (all alike).
    iterations, tolerance, callback
        See `alternating.alternate`.

    Returns
    -------
    BlindUnmixing
        Abundances are divided by their sum at the end, as nothing else makes them sum to one; each endmember then gets
        the factor with which they explain the data best, as it has no scale of its own. That sum is taken, as in the
        published results, of endmembers divided by their standard deviation: abundances of dark materials come out
        too small.

    Notes
    -----
    As published, the step divides each endmember by its standard deviation for the kurtosis and does not make up for
    it in A, and uses half of the kurtosis' gradient; so the cost may rise. With gamma = 0 there is nothing to divide
    for, and the cost never rises (Lee and Seung 2001). Quotients Y / (M S A) are formed in the data's type, the cost
    from those that the abundances' step needs: costs[i] is that of the new endmembers and the old abundances.

    References
    ----------
    E. M. M. B. Ekanayake, H. M. H. K. Weerasooriya, D. Y. L. Ranasinghe, S. Herath, B. Rathnayake, G. M. R. I.
    Godaliyadda, M. P. B. Ekanayake, H. M. V. R. Herath, Constrained nonnegative matrix factorization for blind
    hyperspectral unmixing incorporating endmember independence, IEEE JSTARS 14, 2021. Departure: gamma follows the
    number of pixels.
    """
    if begin_with not in STARTS:
        raise ValueError(f"begin_with is {begin_with!r}; it must be one of {', '.join(map(repr, STARTS))}.")
    if begin_with == "nndsvd" and initial is not None:
        raise ValueError("The nonnegative double SVD does not start from initial endmembers. Give none, or begin with "
                         "'vca'.")
    if not 0 <= theta < 1:
        raise ValueError(f"The smoothing theta is {theta:g}; it must be at least 0 and less than 1.")
    begin = start(Y, P, rng, initial, nonnegative=True)
    Y = begin.Y
    if begin_with == "nndsvd":
        begin = Start(Y, *nndsvd(Y, P), begin.scale)
    S, gamma = (1 - theta) * np.eye(P) + theta / P, gamma * Y.shape[1] / PUBLISHED
    entropy = sum(_entropy(block) for block in blocks(Y, CHUNK))

    def cost(divergence, M):
        return entropy + divergence - gamma * kurtosis(M).mean()

    def step(M, A):
        SA = S @ A
        M = M * _quotient_times(Y, M, SA) / _positive(SA.sum(axis=1) - gamma * _kurtosis_pull(M))
        M = np.maximum(M, DEAD)
        if gamma:
            M /= M.std(axis=0)
        MS = M @ S
        numerator, divergence = _times_quotient(Y, MS, A)
        A = np.maximum(A * numerator / np.maximum(MS.sum(axis=0), TINY)[:, None], DEAD)
        return M, A, cost(divergence, M)

    found = alternate(step, cost(_times_quotient(Y, begin.M @ S, begin.A)[1], begin.M), begin, iterations=iterations,
                      tolerance=tolerance, callback=callback)
    A = found.A / np.maximum(found.A.sum(axis=0), TINY)
    return BlindUnmixing(_rescaled(Y, found.M / begin.scale, A) * begin.scale, A, found.costs, found.iterations,
                         found.converged)


def kurtosis(M):
    """Fourth central moment of each column over its squared variance, (P,)."""
    Z = (M - M.mean(axis=0)) / np.maximum(M.std(axis=0), TINY)
    return np.mean(Z**4, axis=0)


def _kurtosis_pull(M):
    """2 / (L P) J (J M)^3, J the centring matrix: half of the mean kurtosis' gradient at unit variance."""
    L, P = M.shape
    cubes = (M - M.mean(axis=0)) ** 3
    return 2 / (L * P) * (cubes - cubes.mean(axis=0))


def _positive(denominator):
    """Entries whose denominator is not positive (gamma is too large for them) die: they are divided by infinity."""
    return np.where(denominator > 0, denominator, np.inf)


def _entropy(Y):
    """sum y log y - y."""
    Y = Y.astype(np.float64)
    return float(np.sum(Y * np.log(np.maximum(Y, TINY)) - Y))


def _quotients(Y, M, A):
    """Blocks of the pixels with their place, fit z = M A and quotient y / z, in the data's type."""
    M, first = M.astype(Y.dtype), 0
    for block in blocks(Y, CHUNK):
        place = slice(first, first + block.shape[1])
        fit = np.maximum(M @ A[:, place].astype(Y.dtype), Y.dtype.type(TINY))
        yield place, block, fit, block / fit
        first = place.stop


def _quotient_times(Y, M, A):
    """(Y / (M A)) A^T (L, P)."""
    return sum((quotient @ A[:, place].T.astype(Y.dtype)).astype(np.float64)
               for place, _, _, quotient in _quotients(Y, M, A))


def _times_quotient(Y, M, A):
    """M^T (Y / (M A)) (P, N), and sum z - y log z of the fits z = M A."""
    result, divergence, Mt = np.empty_like(A), 0.0, M.T.astype(Y.dtype)
    for place, block, fit, quotient in _quotients(Y, M, A):
        result[:, place] = Mt @ quotient
        divergence += float(fit.sum(dtype=np.float64)) - float(np.einsum("ln,ln->", block, np.log(fit),
                                                                         dtype=np.float64))
    return result, divergence


def _rescaled(Y, M, A):
    """Columns of `M` times the nonnegative factors s that minimise ||Y - M diag(s) A||."""
    G, c = (M.T @ M) * (A @ A.T), np.einsum("lp,lp->p", M, YAt(Y, A))
    values, vectors = np.linalg.eigh(G)
    root = np.sqrt(np.maximum(values, TINY * values[-1]))
    return M * nnls((vectors * root).T, (vectors / root).T @ c)[0]


def nndsvd(Y, P):
    """
    Nonnegative double SVD: of each pair of singular vectors the larger of the positive and the negative part.

    Parameters
    ----------
    Y : ndarray (L, N), nonnegative
    P : int

    Returns
    -------
    M, A : ndarray (L, P), (P, N)
        Zeros are 0.1.

    References
    ----------
    C. Boutsidis, E. Gallopoulos, SVD based initialization: a head start for nonnegative matrix factorization, Pattern
    Recognition 41(4), 2008.
    """
    scene = moments(Y)
    values, vectors = np.linalg.eigh(scene.R)
    sigma = np.sqrt(np.maximum(values[::-1][:P], 0) * scene.N)
    U = vectors[:, ::-1][:, :P]
    V = MtY(U, Y) / np.maximum(sigma, TINY)[:, None]
    M, A = np.empty((len(Y), P)), np.empty((P, scene.N))
    for k, (u, v) in enumerate(zip(U.T, V)):
        halves = [(np.maximum(sign * u, 0), np.maximum(sign * v, 0)) for sign in (1, -1)]
        u, v = max(halves, key=lambda half: np.linalg.norm(half[0]) * np.linalg.norm(half[1]))
        size = np.sqrt(sigma[k] * np.linalg.norm(u) * np.linalg.norm(v))
        M[:, k], A[k] = size * u / np.linalg.norm(u), size * v / np.linalg.norm(v)
    M[M < FLOOR**2], A[A < FLOOR**2] = FILL, FILL
    return M, A
