"""Which event, when, and whether at all: detection indices, their thresholds, and how their uncertainty is reduced."""

from dataclasses import dataclass

import numpy as np

from ..blind.divergence import exponent

FLOOR = 1e-16   # an index is at least this
STEPS = 500


@dataclass(frozen=True)
class Detection:
    """
    Attributes
    ----------
    event : ndarray (Q,) of int
        The class detected in each series, 1..C; 0 for none.
    date : ndarray (Q,) of int
        The date, from 0, at which it begins; -1 for none.
    index : ndarray (C, Q) float32
        How strongly each class shows, relative to its threshold: above 1 it may be detected. NaN where no date of the
        series is valid.
    """

    event: np.ndarray
    date: np.ndarray
    index: np.ndarray


def diagonal_index(H, least, anchored=False):
    """
    Geometric mean of the activations along the diagonals of a family of blocks, (4.3.28-30), for each shift.

    Parameters
    ----------
    H : sequence of ndarray (r, Q, n)
        Activations of each block's r atoms at n dates.
    least : int
        Those diagonals count that have at least so many entries, and the main one.
    anchored : bool
        Whether an event can begin at the first date only, so that only the main diagonal counts.

    Returns
    -------
    ndarray (shifts, Q)
        All frames of a response must fire in order: one that does not makes the index small. Diagonals are cut off
        where the series ends.
    """
    _, Q, n = H[0].shape
    shifts = 1 if anchored else max(1, n - least + 1)
    total, count = np.zeros((shifts, Q)), np.zeros((shifts, 1))
    for block in H:
        logarithms = np.log(np.maximum(block, FLOOR))
        for shift in range(shifts):
            reach = np.arange(min(len(block), n - shift))
            total[shift] += logarithms[reach, :, shift + reach].sum(axis=0)
            count[shift] += len(reach)
    return np.exp(total / count)


def thresholds(index, rule):
    """
    What the indices (C, Q) of event-free series say an index must exceed, (C,).

    `rule` "mean": their geometric mean (Datasets 1 and 2 of the thesis); "max": their largest (Dataset 3).
    """
    index = np.maximum(index, FLOOR)
    return np.exp(np.log(index).mean(axis=1)) if rule == "mean" else index.max(axis=1)


def decide(index, date, limits):
    """
    The class with the largest index among those above their thresholds, and its date, (4.3.32).

    Parameters
    ----------
    index, date : ndarray (C, Q)
        Of each class its index at the shift where it is largest, and that shift.
    limits : ndarray (C,)

    Returns
    -------
    Detection
    """
    above = index > limits[:, None]
    event = np.where(above, index, -1.0).argmax(axis=0)
    any_ = above.any(axis=0)
    at = np.take_along_axis(date, event[None], axis=0)[0]
    return Detection(np.where(any_, event + 1, 0), np.where(any_, at, -1),
                     (index / limits[:, None]).astype(np.float32))


@dataclass(frozen=True)
class Uncertainty:
    """
    How indices come from the events that cause them, I = A x, and what events say themselves, (4.3.33-39).

    Attributes
    ----------
    A : ndarray (C, C)
    beta : float
        0 takes errors of the indices for multiplicative (Gamma), 1 for Poisson, 2 for Gaussian ones.
    sparsity : float
        alpha of (4.3.37), for indices divided by the mean of the diagonal of A.
    power : float
        p of (4.3.38), in (0, 1].
    """

    A: np.ndarray
    beta: float = 0.0
    sparsity: float = 0.01
    power: float = 0.25

    @classmethod
    def learn(cls, index, label, beta=0.0, sparsity=0.01, power=0.25):
        """
        A by min D_beta(I_Q, A L) over its entries, L binary, (4.3.36), from indices (C, Q) of series of classes 1..C.

        A series has one event, so that each column of A has its own series: whatever beta is, the minimiser is their
        mean.
        """
        A = np.stack([index[:, label == k].mean(axis=1) for k in range(1, len(index) + 1)], axis=1)
        return cls(np.maximum(A, FLOOR), beta, sparsity, power)

    def latent(self, index):
        """
        x (C, Q) that minimises D_beta(I, A x) + alpha ||x||_p^p for indices `index` (C, Q), (4.3.37).

        By multiplicative steps with alpha p x^(p-1) in the denominator and the exponent gamma(beta). The penalty is
        concave, so that its tangent majorises it: the cost never rises. They start from the solution without it.
        """
        scale = float(np.diag(self.A).mean())
        A, I, gamma = self.A / scale, np.maximum(index, FLOOR) / scale, exponent(self.beta)
        x = np.ones_like(I)
        for weight in (0.0, self.sparsity):
            for _ in range(STEPS):
                Z = np.maximum(A @ x, FLOOR)
                pressure = weight * self.power * np.maximum(x, FLOOR) ** (self.power - 1) if weight else 0.0
                x = np.maximum(x * (A.T @ (Z ** (self.beta - 2) * I)
                                    / (A.T @ Z ** (self.beta - 1) + pressure)) ** gamma, FLOOR)
        return x
