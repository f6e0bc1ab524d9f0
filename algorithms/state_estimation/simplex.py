"""Fractions as numbers without bounds: an orthonormal softmax basis, in which filters work, and the way back."""

import numpy as np
from scipy.linalg import helmert

FLOOR = 0.01   # added to all fractions, so that those of zero have a logarithm
NARROW = 0.5   # standard deviation of a coordinate, up to which the first order is within a tenth
NODES, WEIGHTS = (each.astype(np.float32) for each in np.polynomial.hermite_e.hermegauss(5))
WEIGHTS /= WEIGHTS.sum()
CHUNK = 8192   # coordinates at once: what is made of them stays near the processor


def to_basis(A, floor=FLOOR):
    """
    Coordinates of fractions in the softmax basis, B^T log((a + floor) / (1 + P floor)) with B (P, P-1) orthonormal.

    Parameters
    ----------
    A : ndarray (..., P)
        Fractions; negative ones count as 0, and their sum need not be 1. NaN stays NaN, and where none is above 0 the
        answer is NaN.
    floor : float
        Above 0.

    Returns
    -------
    ndarray (..., P - 1)

    References
    ----------
    Borsoi et al., ReDSUNN, 2023, eq. 14: logarithms less their mean, here in coordinates of the plane in which they
    sum to zero, so that no covariance is singular.
    """
    if A.shape[-1] < 2:
        raise ValueError("There is one fraction per pixel: the softmax basis needs two or more. Take plain values.")
    if not floor > 0:
        raise ValueError(f"The floor of the fractions is {floor:g}; it must be above 0, as 0.01 is.")
    A = np.maximum(np.asarray(A, np.float64), 0)
    total = A.sum(axis=-1, keepdims=True)
    A = A / np.where(total > 0, total, np.nan)
    return np.log(A + floor) @ basis(A.shape[-1])


def from_basis(c, floor=FLOOR):
    """
    Fractions (..., P) of coordinates `c` (..., P - 1): the softmax, with the floor taken off again and cut at 0.

    They are not negative and sum to one; `from_basis(to_basis(A))` is A.
    """
    S = softmax(c)
    A = np.maximum(S * (1 + S.shape[-1] * floor) - floor, 0)
    return A / A.sum(axis=-1, keepdims=True)


def spread(c, covariance, floor=FLOOR):
    """
    Standard deviations (..., P) of the fractions of coordinates `c` (..., P - 1) with a `covariance` (..., P-1, P-1).

    To first order: that of J c with J = (1 + P floor) (diag(s) - s s^T) B, s the softmax. Its variances are
    (1 + P floor)^2 s_i^2 (d_i V d_i^T) with d_i = b_i - s^T B, b_i the rows of B.
    """
    S = softmax(c)
    P, B = S.shape[-1], basis(S.shape[-1])
    middle = S @ B
    VB = np.asarray(covariance) @ B.T
    Vm = (np.asarray(covariance) @ middle[..., None])[..., 0]
    variance = (B.T * VB).sum(axis=-2) - 2 * Vm @ B.T + (middle * Vm).sum(axis=-1, keepdims=True)
    return (1 + P * floor) * S * np.sqrt(np.maximum(variance, 0))


def spread_of_independent(c, variance, floor=FLOOR):
    """The same for coordinates with independent errors of these variances, that broadcast to (..., P - 1)."""
    S = softmax(c)
    P, B = S.shape[-1], basis(S.shape[-1])
    middle = S @ B
    weighed = middle * variance
    total = variance @ np.square(B).T - 2 * weighed @ B.T + (middle * weighed).sum(axis=-1, keepdims=True)
    return (1 + P * floor) * S * np.sqrt(np.maximum(total, 0))


def spread_of_normal(c, variance, floor=FLOOR):
    """
    The same for independent normal errors of any variance, such as those of forecasts; 0.5 at most.

    Where a coordinate's standard deviation is above 0.5 the first order fails: it gives more than fractions can vary,
    or nothing where the softmax is near an end. There the variance is the sum of those by one coordinate each, by
    five-point Gauss-Hermite quadrature in float32, which has the first order as its limit.
    """
    variance = np.broadcast_to(variance, np.shape(c))
    found = np.asarray(spread_of_independent(c, variance, floor))
    wide, flat = (variance > NARROW**2).any(axis=-1).ravel(), found.reshape(-1, found.shape[-1])
    B, rows = basis(found.shape[-1]).astype(np.float32), np.flatnonzero(wide)
    c, sd = (np.reshape(each, (-1, B.shape[1])) for each in (c, np.sqrt(variance)))
    for some in (rows[k:k + CHUNK] for k in range(0, len(rows), CHUNK)):
        logits, total = c[some].astype(np.float32) @ B.T, 0.0
        for column, size in zip(B.T, sd[some].astype(np.float32).T):
            S = _normalised(logits + NODES[:, None, None] * size[:, None] * column)
            off = S - np.tensordot(WEIGHTS, S, 1)
            total = total + np.tensordot(WEIGHTS, off * off, 1)
        flat[some] = (1 + len(B) * floor) * np.sqrt(total)
    return np.minimum(flat, 0.5).reshape(found.shape)


def softmax(c):
    """exp(B c) over its sum, (..., P)."""
    return _normalised(np.asarray(c) @ basis(c.shape[-1] + 1).T)


def basis(P):
    """B (P, P - 1): orthonormal columns that sum to zero."""
    return helmert(P).T


def _normalised(logits):
    S = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return S / S.sum(axis=-1, keepdims=True)
