"""OU: one set of endmembers for a sequence, learned image by image, and at each date a bounded departure from it."""

import numpy as np

from ..abundances.active_set import minimise
from ..abundances.fcls import fcls
from ..blind.alternating import onto_simplex
from .sequence import SequenceUnmixing, check_reference, validity

STEP = 1.1       # step sizes are one over so many Lipschitz constants
FALL = 1e-5      # relative fall of an image's cost in one step below which its steps end
TINY = 1e-300


def onlineunmixing(Y, M0, valid=None, *, epochs=50, steps=50, sigma=0.02, kappa=0.01, alpha=0.0, beta=0.002, gamma=0.0,
                   rho=0.98, tolerance=1e-3, seed=0, callback=None):
    """
    Abundances and endmembers of every date of a sequence: online unmixing with a perturbed linear mixing model.

    With Y_t ~ (M + dM_t) A_t, find A_t on the simplex, M >= 0 and dM_t in two balls::

        min  sum_t [ 1/2 ||Y_t - (M + dM_t) A_t||^2 + alpha/2 ||A_t - A_t-1||^2 + gamma n_t/2 ||dM_t - dM_t-1||^2 ]
             + beta n Phi(M),         Phi = sum_i<j ||m_i - m_j||^2
        ||dM_t||_F <= sigma ||M0||_F,   ||mean_t dM_t||_F <= kappa ||M0||_F

    where n_t counts the valid pixels of date t and n those of all. Each epoch goes through the dates in random order.
    At a date, A_t and dM_t follow M by proximal alternating linearised steps (`adapt`), whose sums A_t A_t^T and
    (Y_t - dM_t A_t) A_t^T are added to those of the dates before, discounted by rho; M is then the minimiser for these
    sums. At the end the abundances are those of FCLS with M + dM_t.

    Parameters
    ----------
    Y : ndarray (T, L, N)
    M0 : ndarray (L, P)
        Endmembers to start from, in the units of `Y` (see `sequence.reference`). Both are divided by its largest value.
    valid : ndarray (T, N) of bool, optional
        Others are left out of their date, and come out as NaN.
    epochs : int
        At most so many times through the dates.
    steps : int
        At most so many for A_t and dM_t at each visit.
    sigma : float
        How far a date's endmembers may depart from M, as a share of the norm of `M0`; 0: the same at all dates.
    kappa : float
        How far the mean departure may be from zero, as a share of the norm of `M0`.
    alpha : float
        Smoothness of the abundances in time, against squared data that are about one at most in each of L bands.
    beta : float
        Weight of the distances between endmembers: larger keeps them closer to the data.
    gamma : float
        Smoothness of the departures in time.
    rho : float
        What a visit's sums count at the next visit, above 0, at most 1.
    tolerance : float
        Relative change of M in an epoch below which it ends.
    seed : int
        Of the order of the dates.
    callback : callable(iteration, cost) -> bool or None, optional
        After each epoch, with the cost above as its visits left it. M has changed between them, so that it may rise;
        what cannot is an image's cost within a visit.

    Returns
    -------
    SequenceUnmixing
        `M` (T, L, P) holds M + dM_t.

    Raises
    ------
    ValueError
        Weights out of range, endmembers that do not fit, or data that are not finite.

    References
    ----------
    P.-A. Thouvenin, N. Dobigeon, J.-Y. Tourneret, Online unmixing of multitemporal hyperspectral images accounting for
    spectral variability, IEEE TIP 25(9), 2016, algorithms 1 and 2. Departures: weights and radii are relative, so that
    they do not depend on the units or the size of the images; the mean of dM_t is that of the present dM_t, not a
    discounted sum over all visits, so that its bound holds for the result; the projection on the two balls is exact
    (`onto_balls`) instead of 50 of Dykstra's steps, and M the exact minimiser instead of 50 projected gradient steps;
    a visit ends when its cost hardly falls any more; the abundances at the end are exact.
    """
    valid = validity(Y, valid)
    M0 = np.array(M0, dtype=np.float64)
    _check(Y, M0, dict(sigma=sigma, kappa=kappa, alpha=alpha, beta=beta, gamma=gamma), rho)
    scale = float(M0.max())
    dtype = np.float64 if Y.dtype == np.float64 else np.float32
    images = [np.divide(image[:, good], scale, dtype=dtype) for image, good in zip(Y, valid)]
    if not all(np.isfinite(image.sum(dtype=np.float64)) for image in images):
        raise ValueError("The valid pixels hold values that are not finite. Mask them first.")
    M = M0 / scale
    T, (L, P) = len(Y), M.shape
    radius, mean_radius = sigma * np.linalg.norm(M), kappa * np.linalg.norm(M)
    spread = 2 * beta * (P * np.eye(P) - 1)                   # of Phi: 1/2 tr(M spread M^T) = beta Phi
    rng, pixels = np.random.default_rng(seed), valid.sum(axis=1)
    A = [fcls(image, M).A for image in images]
    dM, costs = np.zeros((T, L, P)), np.empty(T)
    C, D, count = np.zeros((P, P)), np.zeros((L, P)), 0.0
    history, converged = [], False

    def ties(t):
        """To the date before: weights of the pixels and their abundances, weight of the departure and itself."""
        if t == 0:
            return 0.0, 0.0, 0.0, 0.0
        nearest = np.zeros((P, Y.shape[2]))
        nearest[:, valid[t - 1]] = A[t - 1]
        return alpha * valid[t - 1, valid[t]], nearest[:, valid[t]], gamma * pixels[t], dM[t - 1]

    while len(history) < epochs and not converged:
        before = M
        for t in rng.permutation(T):
            balls = (radius, dM[t] - dM.sum(axis=0), T * mean_radius)
            A[t], dM[t], found = adapt(images[t], M, A[t], dM[t], balls, steps, ties(t))
            a = A[t].astype(dtype)
            AAt = A[t] @ A[t].T
            C, D, count = rho * C + AAt, rho * D + images[t] @ a.T - dM[t] @ AAt, rho * count + pixels[t]
            try:
                M = minimise(C + count * spread, D.T, sum_to_one=False).T
            except np.linalg.LinAlgError as error:
                raise ValueError("The images do not tell all endmembers apart: choose fewer, or a beta above "
                                 "0.") from error
            costs[t] = found[-1]
        history.append(float(costs.sum() + pixels.sum() * np.einsum("lp,pq,lq->", M, spread, M) / 2))
        converged = bool(np.linalg.norm(M - before) <= tolerance * np.linalg.norm(before))
        if callback is not None and callback(len(history), history[-1]):
            break
    result = np.full((T, P, Y.shape[2]), np.nan, dtype=np.float32)
    for image, good, departure, A_t in zip(images, valid, dM, result):
        A_t[:, good] = fcls(image, M + departure).A
    return SequenceUnmixing(result, (M + dM) * scale, costs=tuple(history), converged=converged)


def adapt(Y, M, A, dM, balls, steps, ties=(0.0, 0.0, 0.0, 0.0)):
    """
    One date's abundances and departure, for given M, by proximal alternating linearised steps: no step raises the cost.

    A takes a gradient step of 1 / (1.1 ||(M + dM)^T (M + dM)||_F + alpha) and is projected onto the simplex; dM one of
    1 / (1.1 ||A A^T||_F + gamma n) and is projected onto both balls.

    Parameters
    ----------
    Y : ndarray (L, n)
    M, dM : ndarray (L, P)
    A : ndarray (P, n)
    balls : (float, ndarray (L, P), float)
        Radius of the ball around zero, centre and radius of the other one.
    steps : int
        At most so many; they end when the cost hardly falls.
    ties : (ndarray (n,), ndarray (P, n), float, ndarray (L, P)), optional
        Weights of the pixels of the date before and their abundances, weight of its departure and that departure.

    Returns
    -------
    A : ndarray (P, n)
    dM : ndarray (L, P)
    costs : list of float
        At the start and after each step.
    """
    alpha, near, gamma, like = ties
    energy = float(np.square(Y, dtype=np.float64).sum())

    def cost():
        fit = energy - 2 * np.einsum("lp,lp->", W, YAt) + np.einsum("pq,pq->", W.T @ W, AAt)
        return float(fit + np.sum(alpha * np.square(A - near)) + gamma * np.square(dM - like).sum()) / 2

    W, YAt, AAt = M + dM, (Y @ A.T.astype(Y.dtype)).astype(np.float64), A @ A.T
    costs = [cost()]
    for _ in range(steps):
        G = W.T @ W
        gradient = G @ A - W.T.astype(Y.dtype) @ Y + alpha * (A - near)
        A = onto_simplex(A - gradient / (STEP * np.linalg.norm(G) + np.max(alpha)))
        YAt, AAt = (Y @ A.T.astype(Y.dtype)).astype(np.float64), A @ A.T
        if balls[0] > 0:
            gradient = W @ AAt - YAt + gamma * (dM - like)
            dM = onto_balls(dM - gradient / max(STEP * np.linalg.norm(AAt) + gamma, TINY), *balls)
            W = M + dM
        costs.append(cost())
        if costs[-2] - costs[-1] <= FALL * abs(costs[-1]):
            break
    return A, dM, costs


def onto_balls(X, radius, centre, other_radius):
    """
    The nearest point of the balls of `radius` around zero and of `other_radius` around `centre`, which overlap.

    If the projection on one ball lies in the other, that is it. Otherwise both bounds hold with equality: the point
    lies where the two spheres meet, a sphere of one dimension less in a plane across the line between the centres.
    """
    onto_first = X * min(1.0, radius / max(np.linalg.norm(X), TINY))
    if np.linalg.norm(onto_first - centre) <= other_radius:
        return onto_first
    away = X - centre
    onto_second = centre + away * min(1.0, other_radius / max(np.linalg.norm(away), TINY))
    if np.linalg.norm(onto_second) <= radius:
        return onto_second
    distance = np.linalg.norm(centre)
    axis = centre / distance
    along = (distance ** 2 + radius ** 2 - other_radius ** 2) / (2 * distance)
    across = X - np.vdot(axis, X) * axis
    width = np.sqrt(max(radius ** 2 - along ** 2, 0.0))
    return along * axis + across * (width / max(np.linalg.norm(across), TINY))


def _check(Y, M0, weights, rho):
    for name, weight in weights.items():
        if not (np.isfinite(weight) and weight >= 0):
            raise ValueError(f"The weight {name} is {weight:g}: it must be zero or above.")
    if not 0 < rho <= 1:
        raise ValueError(f"The factor rho is {rho:g}: it must be above 0 and at most 1.")
    check_reference(M0, Y.shape[1])
