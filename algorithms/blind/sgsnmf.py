"""SGSNMF: NMF whose abundances are sparse together within superpixels."""

from dataclasses import dataclass

import numpy as np

from ..abundances.active_set import minimise
from ..pixels import blocks
from .alternating import MtY, Start, YAt, alternate, misfit, misfit_of_sums, start
from .superpixels import angles, group_sums, superpixels, unit_columns

DECREASE = 0.01    # Lin's sigma: share of the linear decrease that a step must reach
FACTOR = 10.0      # of one step length tried to the next
TRIALS = 20
NEAREST = 0.01     # least squared distance to a superpixel's mean in its confidence c_n <= 10
AT_ZERO = 1e-9     # below which a weighted norm has zero for its subgradient


def sgsnmf(Y, P, rng, *, positions, shape, initial=None, weight=0.3, width=6, compactness=0.5, delta=15.0, inner=20,
           iterations=100, tolerance=1e-4, patience=5, callback=None):
    """
    Blind unmixing by spatial group sparsity NMF::

        min 1/2 ||Y - M A||^2 + delta^2 / 2 ||1^T - 1^T A||^2 + lambda sum_g sum_{n in g} c_n ||w_g o a_n||,  M, A >= 0

    over superpixels g with the weights w_g = 1 / (P^2 h_g + 1), h_g the FCLS abundances of the superpixel's mean
    spectrum, and the confidence c_n = 1 / sqrt(angle to that mean + m d^2 / S^2).

    Parameters
    ----------
    Y : ndarray (L, N)
    P : int
    rng : numpy.random.Generator
    positions, shape, width, compactness
        See `superpixels`; the scene may have gaps.
    initial : ndarray (L, P), optional
        See `alternating.start`; by default VCA on the superpixels' means.
    weight : float
        lambda.
    delta : float
        Weight of the sum to one.
    inner : int
        Gradient steps per factor and iteration at most.
    iterations, tolerance, patience, callback
        See `alternating.alternate`; where w_g and the fit pull apart, the cost may stand still once before it goes on.

    Returns
    -------
    BlindUnmixing

    Notes
    -----
    Both factors by Lin's projected gradient: of the steps 10 t, t, t / 10, ..., t the last one, the first that lowers
    the cost sufficiently, for M as a whole and for A in each superpixel by itself. Its tolerance is 0.05 of the first
    gradient and a tenth whenever one step suffices, with which the steps go on: an iteration in which nothing but a
    tolerance changed would look settled. w_g follows M in every iteration and is part of the cost, which never rises
    while it stays, but may from one iteration to the next.

    References
    ----------
    X. Wang, Y. Zhong, L. Zhang, Y. Xu, Spatial group sparsity regularized nonnegative matrix factorization for
    hyperspectral unmixing, IEEE TGRS 55(11), 2017. Departures: c_n is at most 10, as a superpixel's mean itself would
    have an infinite one; at ||w o a|| = 0 the penalty's gradient is taken as zero.
    """
    labels = superpixels(Y, positions, shape, width, compactness)
    begin = _start(Y, P, rng, initial, labels)
    Y, energy, delta2 = begin.Y, begin.energy, delta**2
    mean = _group_means(Y, labels)
    confidence = _confidence(Y, mean, labels, np.divmod(positions, shape[1]), compactness / width**2)
    tolerances = [None, None]

    def penalty(M):
        return GroupPenalty(weight * confidence, group_weights(M, mean)[:, labels])

    def cost(C, G, A, group):
        return misfit(energy, G, C, A) + delta2 * misfit_of_sums(A) + group.values(A).sum()

    def step(M, A):
        M, tolerances[0] = projected_gradient(M.T, A @ A.T, YAt(Y, A).T, np.zeros(len(Y), int), tolerances[0], inner)
        M = M.T
        C, G, group = MtY(M, Y), M.T @ M, penalty(M)
        A, tolerances[1] = projected_gradient(A, G + delta2, C + delta2, labels, tolerances[1], inner, group)
        return M, A, cost(C, G, A, group)

    first = cost(MtY(begin.M, Y), begin.M.T @ begin.M, begin.A, penalty(begin.M))
    return alternate(step, first, begin, iterations=iterations, tolerance=tolerance, patience=patience,
                     callback=callback)


def group_weights(M, mean):
    """w_g (P, groups) from the mean spectra (L, groups) of the superpixels."""
    try:
        h = minimise(M.T @ M, M.T @ mean, sum_to_one=True)
    except np.linalg.LinAlgError as error:
        raise ValueError(f"Two of the {M.shape[1]} endmembers have become the same. Ask for fewer, or start from "
                         f"others.") from error
    return 1 / (M.shape[1] ** 2 * h + 1)


@dataclass(frozen=True)
class GroupPenalty:
    """lambda c_n ||w o a_n||: `strength` (N,) is lambda c_n, `w` (P, N)."""

    strength: np.ndarray
    w: np.ndarray

    def values(self, A):
        """Of every pixel, (N,)."""
        return self.strength * np.linalg.norm(self.w * A, axis=0)

    def gradient(self, A):
        """lambda c_n w o w o a / ||w o a||, (P, N)."""
        norm = np.linalg.norm(self.w * A, axis=0)
        return np.where(norm > AT_ZERO, self.strength / np.maximum(norm, AT_ZERO), 0.0) * self.w**2 * A


def projected_gradient(X, G, C, labels, tolerance, steps, penalty=None):
    """
    Lower 1/2 tr(X^T G X) - tr(C^T X) + penalty over X >= 0, with a step length for each group of columns.

    Returns X, and the tolerance for the next call; None as the `tolerance` is 0.05 of the present gradient.
    """
    groups = labels.max() + 1
    length = np.full(groups, 1 / np.linalg.norm(G, 2))

    def gradient(X):
        slope = G @ X - C
        return slope if penalty is None else slope + penalty.gradient(X)

    def values(X):
        value = np.einsum("pn,pn->n", 0.5 * (G @ X) - C, X)
        return np.bincount(labels, value if penalty is None else value + penalty.values(X), groups)

    value = values(X)
    for taken in range(steps):
        slope = gradient(X)
        size = np.linalg.norm(slope[(slope < 0) | (X > 0)])
        tolerance = 0.05 * size if tolerance is None else tolerance
        while size <= tolerance and taken <= 1 and size > 0:
            tolerance /= FACTOR
        if size <= tolerance:
            return X, tolerance
        length *= FACTOR
        open_groups, best = np.ones(groups, dtype=bool), X.copy()
        for _ in range(TRIALS):
            here = open_groups[labels]
            new = np.where(here, np.maximum(X - length[labels] * slope, 0), best)
            lower = values(new)
            fine = lower - value <= DECREASE * np.bincount(labels, np.einsum("pn,pn->n", slope, new - X), groups)
            settled = open_groups & fine
            chosen = settled[labels]
            best[:, chosen] = new[:, chosen]
            value = np.where(settled, lower, value)
            open_groups &= ~fine
            if not open_groups.any():
                break
            length[open_groups] /= FACTOR
        if open_groups.all():
            break
        X = best
    return X, tolerance


def _start(Y, P, rng, initial, labels):
    """VCA on the superpixels' means, where there are enough of them and none are given."""
    if initial is None and labels.max() + 1 >= P:
        initial = start(_group_means(Y, labels), P, rng)
        initial = initial.M * initial.scale
    begin = start(Y, P, rng, initial)
    return Start(begin.Y, np.maximum(begin.M, 0.0), begin.A, begin.scale)


def _group_means(X, labels):
    """Mean columns of `X` by label, (rows, groups) float64, block by block."""
    count = labels.max() + 1
    return sum(group_sums(part.astype(np.float64), group[0], count) for part, group in
               zip(blocks(X), blocks(labels[None]), strict=True)) / np.bincount(labels)


def _confidence(Y, mean, labels, place, nearness):
    """c_n (N,) from the angle to the superpixel's mean and the distance to its centre; nearness is m / S^2."""
    place = np.stack(place)
    apart = nearness * np.square(place - _group_means(place, labels)[:, labels]).sum(axis=0)
    apart += np.concatenate([angles(unit_columns(part.astype(np.float64)), unit_columns(mean)[:, group[0]])
                             for part, group in zip(blocks(Y), blocks(labels[None]))])
    return 1 / np.sqrt(np.maximum(apart, NEAREST))
