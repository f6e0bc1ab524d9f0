"""Nonnegative matrix factorisation that finds its rank: automatic relevance determination."""

from dataclasses import dataclass

import numpy as np

from .divergence import TINY, check_nonnegative, exponent
from .nmf import Divergences

NORMS = ("l1", "l2")


@dataclass(frozen=True)
class RelevantFactors:
    """
    All factors, how relevant each is, and how the iteration ended.

    Attributes
    ----------
    M : ndarray (L, r)
    A : ndarray (r, N)
        The prior sets the scale of each against the other.
    weights : ndarray (iterations + 1, r)
        lambda at the start and after each iteration.
    bound : float
        B, the weight of a factor that is not there.
    relevant : ndarray (r,) of bool
        Weights above (1 + tau) B at the end, (3.2.46).
    costs : ndarray (iterations + 1,)
        The objective (3.2.41) with its lambda, less a constant.
    iterations : int
    converged : bool
        False if the iteration ended at its limit or was stopped.
    """

    M: np.ndarray
    A: np.ndarray
    weights: np.ndarray
    bound: float
    relevant: np.ndarray
    costs: np.ndarray
    iterations: int
    converged: bool

    @property
    def rank(self):
        """How many factors are relevant."""
        return int(self.relevant.sum())


def ardnmf(Y, r, rng, *, norm="l1", beta=1, a=None, b=None, dispersion=1.0, tau=1e-6, factors=None, iterations=5000,
           tolerance=1e-6, callback=None):
    """
    NMF whose factors share a prior scale each, which vanishes with the factors that the data do not need::

        min D_beta(Y, M A) / phi + sum_s ((f(m_s) + f(a_s) + b) / lambda_s + c log lambda_s)            (3.2.41)

    with f the sum of the values ("l1", exponential priors) or half that of their squares ("l2", half-normal priors).

    Parameters
    ----------
    Y : ndarray (L, N)
        Not negative; positive for beta <= 0.
    r : int
        The largest rank.
    rng : numpy.random.Generator
        For the start.
    norm : {"l1", "l2"}
    beta : float
        Of the divergence: 0 for Gamma noise, 1 for Poisson, 2 for Gaussian.
    a : float, optional
        Shape of the inverse-Gamma prior of lambda, above 2 for "l1" and 1 for "l2"; less prunes more. By default
        log(L + N), at least 2.5.
    b : float, optional
        Its scale; by default from the mean of the data, (3.2.51).
    dispersion : float
        phi, such that the noise of a value x has the variance phi x^(2 - beta): 1 for counts. It decides how much of
        the data is worth a factor.
    tau : float
        A factor is relevant whose lambda is above the least possible one by more than this share.
    factors : (ndarray (L, r), ndarray (r, N)), optional
        Positive factors to start from; by default uniform random ones, with the mean of the data.
    iterations, tolerance
        The iteration ends when no lambda changes by more than this share of itself, or after so many.
    callback : callable(iteration, cost) -> bool or None, optional
        After each iteration; true stops.

    Returns
    -------
    RelevantFactors

    Raises
    ------
    ValueError
        Data that cannot be factorised, or settings out of range.

    Notes
    -----
    The cost never rises: the steps in A and M minimise majorisers, with the exponents gamma(beta) (3.2.34) for "l1" and
    xi(beta) (3.2.45) for "l2", and lambda is set to its minimum, so that what is recorded is the objective with lambda
    eliminated, D / phi + c sum log lambda. Not to be normalised on the way: the prior sets the scales.

    References
    ----------
    V. Y. F. Tan, C. Fevotte, Automatic relevance determination in nonnegative matrix factorization with the
    beta-divergence, IEEE TPAMI 35(7), 2013. G. Chinellato, Deep Unfolding, PhD thesis, Padova 2026, (3.2.39) to
    (3.2.51), with phi = 1; phi is Tan and Fevotte's. Departure: the iteration ends by the largest relative change of a
    lambda.
    """
    check_nonnegative(Y, beta)
    L, N = Y.shape
    a = max(np.log(L + N), 2.5) if a is None else a
    check_prior(norm, a, b, dispersion, r)
    b = scale_of_prior(norm, a, float(Y.mean(dtype=np.float64)), r) if b is None else b
    c = L + N + a + 1 if norm == "l1" else (L + N) / 2 + a + 1
    power = exponent(beta, squared=norm == "l2")
    M, A = _start(Y, r, rng, factors)
    data, every = Divergences(Y, beta), list(range(r))

    def weigh(M, A):
        return (size(M, norm, 0) + size(A, norm, 1) + b) / c

    def cost_of(M, A, weights):
        return data.cost(M, A) / dispersion + c * float(np.log(weights).sum())

    def stepped(factor, parts, weights):
        above, below = parts
        below = below + dispersion * slope(factor, norm) / weights
        return np.maximum(TINY, factor * (above / below) ** power)

    weights = [weigh(M, A)]
    costs, converged = [cost_of(M, A, weights[0])], False
    while len(costs) <= iterations and not converged:
        A = stepped(A, data.abundances(M, A, every), weights[-1][:, None])
        M = stepped(M.T, data.endmembers(M, A, every), weights[-1][:, None]).T
        weights.append(weigh(M, A))
        costs.append(cost_of(M, A, weights[-1]))
        converged = bool(np.abs(weights[-1] / weights[-2] - 1).max() <= tolerance)
        if callback is not None and callback(len(costs) - 1, costs[-1]):
            break
    bound = b / c
    return RelevantFactors(M, A, np.array(weights), bound, weights[-1] > (1 + tau) * bound, np.array(costs),
                           len(costs) - 1, converged)


def size(values, norm, axis):
    """f along an axis, in float64."""
    return values.sum(axis=axis, dtype=np.float64) if norm == "l1" else \
        0.5 * np.square(values, dtype=np.float64).sum(axis=axis)


def slope(values, norm):
    """The gradient of f."""
    return 1.0 if norm == "l1" else values


def scale_of_prior(norm, a, mean, r):
    """b of (3.2.51), for which data made by the prior have this mean."""
    return float(np.sqrt((a - 1) * (a - 2) * mean / r) if norm == "l1" else np.pi * (a - 1) * mean / (2 * r))


def dispersion_of(variances, means, beta):
    """phi for which phi x^(2 - beta) is the variance of the noise, from that of each band and the bands' means."""
    return float(np.sum(variances) / np.sum(np.asarray(means) ** (2.0 - beta)))


def check_prior(norm, a, b, dispersion, r):
    """Raise ValueError where settings of automatic relevance determination are out of range."""
    if norm not in NORMS:
        raise ValueError(f"There is no prior '{norm}'. Choose 'l1' or 'l2'.")
    least = 2 if norm == "l1" else 1
    if not a > least:
        raise ValueError(f"The shape of the prior is {a:g}; for '{norm}' it must be above {least}.")
    for name, value in (("scale of the prior", b), ("dispersion of the noise", dispersion)):
        if value is not None and not (value > 0 and np.isfinite(value)):
            raise ValueError(f"The {name} is {value:g}; it must be a number above 0.")
    if r < 1:
        raise ValueError(f"The largest rank is {r}; it must be at least 1.")


def _start(Y, r, rng, factors):
    L, N = Y.shape
    if factors is None:
        scale = np.sqrt(Y.mean(dtype=np.float64) / r)
        return 2 * scale * rng.random((L, r)) + TINY, 2 * scale * rng.random((r, N)) + TINY
    M, A = (np.array(factor, np.float64) for factor in factors)
    if M.shape != (L, r) or A.shape != (r, N):
        raise ValueError(f"The factors to start from have the shapes {M.shape} and {A.shape}; ({L}, {r}) and "
                         f"({r}, {N}) fit the data.")
    return np.maximum(M, TINY), np.maximum(A, TINY)
