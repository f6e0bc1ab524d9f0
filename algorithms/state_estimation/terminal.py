"""The whole state at the last date of series of which only what is observed is known there."""

import numpy as np

from .kalman import kalman_filter
from .model import restart

VALUES = 4_000_000   # entries of the covariances of all dates, at most


def completed(y, days, model, known):
    """
    States at the last date whose observed part is known: E(x(T) | y(1..T), C x(T) = `known`).

    Parameters
    ----------
    y : ndarray (T, Q, m)
        Series, NaN where missing.
    days : ndarray (T,)
        Rising.
    model : StateSpace
        Of `start`. Linear, save where all of the state is observed (C is a square matrix).
    known : ndarray (Q, m)
        NaN where it is not known.

    Returns
    -------
    ndarray (Q, n)
        NaN where `known` is.

    Raises
    ------
    ValueError
        An operator that is not linear, with states that are not observed.

    Notes
    -----
    The Kalman filter's last estimate with the covariance P, x + P C^T (C P C^T)^-1 (known - C x). Where C is square it
    is C^-1 `known`, and no filter is needed.

    The terminal state of the loss (6.4.6) "may be replaced by a coarse approximation"; of its unobserved part, a slope
    or the waves of a season, the thesis says no more. This is the best one under the model assumed, and wrong where
    that is: of the terminal state, only what is known is certain.
    """
    C, T = model.C, len(y)
    if len(C) == model.forward.n:
        return known @ np.linalg.inv(C).T
    if not model.forward.linear:
        raise ValueError("What is not observed of the last state can be told of linear dynamics only.")
    A, Q = model.matrices(days)
    most, found = max(1, VALUES // (T * model.forward.n**2)), []
    for k in range(0, y.shape[1], most):
        part = y[:, k:k + most]
        last = kalman_filter(part, A, Q, C, model.R, restart(model, part).mean, model.covariance)
        x, PC = last.mean[-1], last.covariance[-1] @ C.T
        off = known[k:k + most] - x @ C.T
        found.append(x + (PC @ np.linalg.solve(C @ PC, off[..., None]))[..., 0])
    return np.concatenate(found)
