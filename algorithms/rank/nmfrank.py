"""The number of endmembers as nonnegative factorisations of every rank show it: four criteria and their consensus."""

from dataclasses import dataclass

import numpy as np
from scipy.cluster.hierarchy import average, cophenet
from scipy.spatial.distance import squareform

from ..blind.divergence import TINY, check_nonnegative
from ..blind.nmf import Problem, Squares, nmf
from ..blind.penalties import Penalty, norms

CRITERIA = ("elbow", "cophenetic", "crossvalidation", "mdl")
ITERATIONS, TOLERANCE = 300, 1e-5   # of one factorisation
STABLE = 0.98                       # part of the largest correlation that counts as stable
FOLDS, HELD = 3, 0.1                # times that a share of the values is held out
PRECISION = 1e-7                    # errors below this share of the data are rounding
CLUSTERED = 500                     # pixels at most whose clusters are compared


@dataclass(frozen=True)
class NMFRank:
    """
    What factorisations of every rank show.

    Attributes
    ----------
    ranks : ndarray (K,)
        1 to the largest tried.
    rmse : ndarray (K,)
        Root mean squared error of the best restart, in the units of the data.
    cophenetic : ndarray (K,)
        Correlation of the restarts' consensus with its tree; NaN for rank 1.
    held_out, spread : ndarray (K,)
        Mean squared error of values held out, over its mean at rank 1; its standard error over the folds.
    description : ndarray (K,)
        Description length in nats.
    choices : dict of int
        By criterion: "elbow", "cophenetic", "crossvalidation", "mdl".
    """

    ranks: np.ndarray
    rmse: np.ndarray
    cophenetic: np.ndarray
    held_out: np.ndarray
    spread: np.ndarray
    description: np.ndarray
    choices: dict

    @property
    def rank(self):
        """
        Median of the choices below the largest rank tried, the larger of two in the middle: noise makes an elbow come
        early. The largest rank where all choices are that.
        """
        found = sorted(rank for name, rank in self.choices.items() if name not in self.reached)
        return found[len(found) // 2] if found else int(self.ranks[-1])

    @property
    def reached(self):
        """Criteria whose choice is the largest rank tried: a limit and no estimate."""
        return [name for name, rank in self.choices.items() if rank == self.ranks[-1]]


def nmfrank(Y, rng, *, most=10, restarts=5, callback=None):
    """
    Number of endmembers by nonnegative factorisations Y ~ M A of rank k = 1..K, of least squared error.

    - elbow: k where log RMSE(k) lies farthest below the chord from k = 1 to K.
    - cophenetic: pixels are clustered by their largest part a_k ||m_k||; the consensus is how often two pixels share
      a cluster over the restarts, and the correlation how well an average-linkage tree keeps it: 1 where all restarts
      agree. The largest k whose correlation is at least 0.98 of the largest.
    - crossvalidation: a tenth of the values is held out, three times, and predicted; the least k whose error is at
      most one standard error above the least.
    - mdl: the least of L N / 2 log(RMSE^2) + k (L log N + N log L - log(L N)) / 2, where a number of M is known from
      N values, one of A from L, and k scales are free.

    Parameters
    ----------
    Y : ndarray (L, N)
        Not negative. A few hundred to a few thousand pixels.
    rng : numpy.random.Generator
        For the starts, the values held out and the pixels clustered.
    most : int
        K, at least 3 and at most min(L, N).
    restarts : int
        Factorisations per rank from random starts, at least 2.
    callback : callable(done, all), optional
        After each rank; all are needed.

    Returns
    -------
    NMFRank

    Raises
    ------
    ValueError
        Negative data (how many), or options out of range.

    Notes
    -----
    Values held out are replaced by their reconstruction in every iteration, which never raises the error of the others
    (expectation-maximisation); they start as the product of the means of their band and pixel. Without sparsity
    nonnegative factors need not be unique at the true rank, so that the cophenetic correlation is the weakest of the
    four. The description length takes the noise to be white; with noise that differs among the bands, or a misfit of
    the mixing model, it and the cross-validation count what is not material.

    References
    ----------
    J.-P. Brunet, P. Tamayo, T. R. Golub, J. P. Mesirov, Metagenes and molecular pattern discovery using matrix
    factorization, PNAS 101(12), 2004 (consensus; they look for where the correlation begins to fall). S. Wold,
    Cross-validatory estimation of the number of components in factor and principal components models, Technometrics
    20(4), 1978. J. Rissanen, Modeling by shortest data description, Automatica 14(5), 1978.
    """
    check_nonnegative(Y)
    L, N = Y.shape
    if min(L, N) < 3:
        raise ValueError(f"There are {N} pixels of {L} bands, and at least 3 of both are needed to compare numbers of "
                         f"endmembers. Choose a raster with more bands, or more pixels.")
    if not 3 <= most <= min(L, N):
        raise ValueError(f"The largest number to try is {most}; with {N} pixels of {L} bands it must be from 3 to "
                         f"{min(L, N)}.")
    if restarts < 2:
        raise ValueError(f"There is {restarts} restart per rank; their agreement needs at least 2.")
    unit = float(Y.max())   # steps have floors, so that data of any units are brought to one
    Y = np.asarray(Y, np.float64) / unit
    shown = np.sort(rng.choice(N, min(N, CLUSTERED), replace=False))
    masks = [rng.random((L, N)) < HELD for _ in range(FOLDS)]
    rmse, correlation, errors = np.empty(most), np.full(most, np.nan), np.empty((most, FOLDS))
    for k in range(1, most + 1):
        fits = [nmf(Y, k, rng, begin_with="random", iterations=ITERATIONS, tolerance=TOLERANCE)
                for _ in range(restarts if k > 1 else 1)]
        best = min(fits, key=lambda fit: fit.costs[-1])
        rmse[k - 1] = np.sqrt(np.square(Y - best.M @ best.A).mean())
        if k > 1:
            correlation[k - 1] = cophenetic([clusters(fit.M, fit.A[:, shown]) for fit in fits])
        errors[k - 1] = [prediction_error(Y, k, mask, rng) for mask in masks]
        if callback:
            callback(k, most)
    errors /= max(errors[0].mean(), TINY)
    held_out, spread = errors.mean(axis=1), errors.std(axis=1, ddof=1) / np.sqrt(FOLDS)
    description = lengths(rmse, L, N, PRECISION) + L * N * np.log(unit)
    choices = {"elbow": elbow(np.maximum(rmse, PRECISION)), "cophenetic": last_stable(correlation),
               "crossvalidation": least_within(held_out, spread), "mdl": int(description.argmin()) + 1}
    return NMFRank(np.arange(1, most + 1), unit * rmse, correlation, held_out, spread, description, choices)


def elbow(errors):
    """The rank whose logarithm lies farthest below the chord from the first to the last."""
    curve = np.log(errors)
    return int((curve - np.linspace(curve[0], curve[-1], len(curve))).argmin()) + 1


def last_stable(correlation):
    """The largest rank whose correlation is at least 0.98 of the largest."""
    return int(np.flatnonzero(correlation >= STABLE * np.nanmax(correlation))[-1]) + 1


def least_within(errors, spread):
    """The least rank whose error is at most one standard error above the least."""
    at = int(errors.argmin())
    return int(np.flatnonzero(errors <= errors[at] + spread[at])[0]) + 1


def lengths(rmse, L, N, least):
    """Description length of data and factors for ranks 1, 2, ..."""
    k = np.arange(1, len(rmse) + 1)
    return L * N * np.log(np.maximum(rmse, least)) + k * (L * np.log(N) + N * np.log(L) - np.log(L * N)) / 2


def clusters(M, A):
    """The endmember with the largest part in each pixel (n,)."""
    return (A * np.linalg.norm(M, axis=0)[:, None]).argmax(axis=0)


def cophenetic(labels):
    """Cophenetic correlation of the consensus of several clusterings (n,) of the same pixels; 1 where they agree."""
    apart = 1 - np.mean([label[:, None] == label for label in labels], axis=0)
    distances = squareform(apart, checks=False)
    if np.isin(distances, (0.0, 1.0)).all():
        return 1.0
    return float(cophenet(average(distances), distances)[0])


def prediction_error(Y, k, mask, rng):
    """Mean squared error of values under `mask`, predicted by a factorisation of rank k of the others."""
    kept = ~mask
    by_band = np.where(kept, Y, 0).sum(axis=1, keepdims=True) / np.maximum(kept.sum(axis=1, keepdims=True), 1)
    by_pixel = np.where(kept, Y, 0).sum(axis=0) / np.maximum((kept * by_band).sum(axis=0), TINY)
    filled = np.where(mask, by_band * by_pixel, Y)
    begin = nmf(filled, k, rng, begin_with="random", iterations=ITERATIONS // 3, tolerance=TOLERANCE)
    M, A, before = begin.M, begin.A, np.inf
    n = norms(A)
    M, A = M * n, A / n[:, None]
    for _ in range(ITERATIONS):
        Z = M @ A
        filled[mask] = Z[mask]
        error = np.square(Y - Z)[kept].sum()
        if before - error <= TOLERANCE * error:
            break
        before = error
        M, A, _ = Problem(Squares(filled), Penalty(), Penalty(), True).step(M, A)
    return float(np.square(Y - M @ A)[mask].mean())
