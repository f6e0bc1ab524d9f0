"""Kalman-EM: endmembers that drift from date to date by a random walk, found by filter, smoother and EM."""

from dataclasses import dataclass, field

import numpy as np

from ..abundances.active_set import minimise
from ..abundances.linear_model import check_endmembers
from ..abundances.products import products
from ..state_estimation.kalman import Smoothed, information_filter, smooth
from .sequence import SequenceUnmixing, check_reference, validity

SAMPLE = 5000     # pixels from which endmembers are learned, at most
RIDGE = 1e-3      # share of the mean variance added to the covariance of coloured noise
REWEIGHTED = 5    # times that covariance is estimated anew
FLOOR = 1e-12     # least variance of the noise, in units of the data's energy
BOUNDED = dict(Q=3e-6, learn_Q=False, P0=0.1, sum_to_one=True, coloured=True)


@dataclass(frozen=True)
class SequenceEndmembers:
    """
    Endmembers of every date, and what their pixels' abundances are computed with: what `learn` finds.

    Attributes
    ----------
    M : ndarray (T, L, P)
        Smoothed endmembers M_t = E[m_0 o psi_t | all dates], in the units of the data.
    V : ndarray (T, L, P, P)
        Their posterior covariance in each band.
    R : ndarray (L, L)
        Covariance of the noise between the bands: s^2 I, or that of the residuals if `coloured` (see `learn`).
    A : ndarray (P, n)
        The constant abundances of the sampled pixels.
    costs : tuple of float
        Negative log-likelihood at the start and after each round.
    converged : bool
        False if the rounds ended at their limit or were stopped.
    """

    M: np.ndarray
    V: np.ndarray
    R: np.ndarray
    A: np.ndarray
    costs: tuple
    converged: bool
    _B: np.ndarray = field(init=False, repr=False)
    _G: np.ndarray = field(init=False, repr=False)
    _spread: np.ndarray = field(init=False, repr=False)

    def __post_init__(self):
        for t, M_t in enumerate(self.M):
            check_endmembers(M_t, [f"endmember {p + 1} on date {t + 1}" for p in range(M_t.shape[1])],
                             sum_to_one=True)
        B = np.stack([np.linalg.solve(self.R, M_t) for M_t in self.M])
        G = np.swapaxes(self.M, 1, 2) @ B
        spread = np.einsum("tlp,tlq,tlrs->tpqrs", B, B, self.V, optimize=True)
        for name, value in (("_B", B), ("_G", G), ("_spread", spread)):
            object.__setattr__(self, name, value)

    def unmix(self, Y, valid=None):
        """
        Abundances and their standard deviation, of all pixels or of a block of them.

        Parameters
        ----------
        Y : ndarray (T, L, n)
        valid : ndarray (T, n) of bool, optional

        Returns
        -------
        A : ndarray (T, P, n)
            In valid pixels by FCLS with M_t, weighted by R^-1. In others by the same on all valid dates of the pixel
            together, each with its own M_t: the fractions that would hold if they were constant. NaN in a pixel that
            is valid on no date.
        sd : ndarray (T, P, n)
            See `kalmanem`.
        """
        T, L, P = self.M.shape
        if Y.ndim != 3 or Y.shape[:2] != (T, L):
            raise ValueError(f"The endmembers are of {T} dates and {L} bands, the images have the shape {Y.shape}: "
                             f"give as many dates and bands.")
        valid = np.ones((T, Y.shape[2]), dtype=bool) if valid is None else np.asarray(valid, dtype=bool)
        if valid.shape != (T, Y.shape[2]):
            raise ValueError(f"The mask of valid pixels has the shape {valid.shape}, the images need "
                             f"{(T, Y.shape[2])}.")
        A, sd = (np.full((T, P, Y.shape[2]), np.nan, dtype=np.float32) for _ in range(2))
        C = np.zeros((T, P, Y.shape[2]))
        for t, good in enumerate(valid):
            C[t][:, good] = products(Y[t][:, good], self._B[t])[0]
            a = minimise(self._G[t], C[t][:, good], sum_to_one=True)
            A[t][:, good], sd[t][:, good] = a, self._deviation(t, a)
        gaps = np.flatnonzero(valid.any(axis=0) & ~valid.all(axis=0))
        if len(gaps):
            a, deviation = self._from_other_dates(C[:, :, gaps].sum(axis=0), valid[:, gaps])
            for t, missing in enumerate(~valid[:, gaps]):
                A[t][:, gaps[missing]], sd[t][:, gaps[missing]] = a[:, missing], deviation[:, missing]
        return A, sd

    def _deviation(self, t, a):
        F = _on_plane(self._G[t])
        spread = np.einsum("pi,ijrs,jp->prs", F, self._spread[t], F, optimize=True)
        return np.sqrt(np.diag(F)[:, None] + np.einsum("prs,rn,sn->pn", spread, a, a, optimize=True))

    def _from_other_dates(self, C, valid):
        G = np.tensordot(valid.T.astype(np.float64), self._G, 1)
        a, F = minimise(G, C, sum_to_one=True), _on_plane(G)
        spread = np.zeros_like(G)
        for t, good in enumerate(valid):
            spread[good] += np.einsum("pqrs,rn,sn->npq", self._spread[t], a[:, good], a[:, good], optimize=True)
        spread *= valid.sum(axis=0)[:, None, None]
        variance = np.einsum("npp->pn", F) + np.einsum("npi,nij,njp->pn", F, spread, F, optimize=True)
        return a, np.sqrt(variance)


def kalmanem(Y, M0, valid=None, **settings):
    """
    Abundances and endmembers of every date, the endmembers by `learn` and the abundances by its `unmix`.

    With all pixels n of date t together, find M_t, and then every date's abundances by FCLS, in the model::

        y_nt = M_t a_n + r_nt,   vec(M_t) = m_0 o psi_t,   psi_t = psi_t-1 + q_t

    r ~ N(0, s^2 I), q ~ N(0, Q), psi_0 ~ N(mu_0, P_0), and a_n the same at all dates.

    Parameters
    ----------
    Y, M0, valid, **settings
        See `learn`. `**BOUNDED` are settings that keep to the reference where the fractions change (see Notes).

    Returns
    -------
    SequenceUnmixing
        `M` (T, L, P); `costs` is the negative log-likelihood at the start and after each round. A pixel that is not
        valid on a date gets the constant fractions that fit its other dates, and NaN if it has none.

    Notes
    -----
    `sd`. The estimate a of a pixel errs by F M_t^T R^-1 (r + (M_t - M) a) on the plane 1^T a = 1, where M is the
    smoothed and M_t the true endmembers, F = Z (Z^T M^T R^-1 M Z)^-1 Z^T and Z is a basis of the plane. Its
    covariance follows from that of r and the smoother's of M_t, independent of r (one pixel among thousands); for
    M_t = M it is the Laplace approximation of the posterior. It leaves out a >= 0: where an abundance is at its bound,
    sd tells how far it could be from it, and the true spread is smaller. The model's errors are in it as far as s^2
    explains them, as noise independent between bands: spectra that differ between pixels move all bands together, and
    their share is understated (on DS1, 90 % intervals cover 10-45 % of the truth; on data of the model, 90 %). In
    gaps the errors of M_t on the other dates count as one error, which bounds their sum, and real change of the
    fractions is not in it.

    What is common. The model tells M_t from M_t-1 well and the common part of all M_t badly: endmembers M_t X with
    abundances X^-1 A explain the images as well, and only the start and, with `sum_to_one`, the bounds speak against
    it. So the reference should be that of all dates together (`sequence.reference`).

    The breakdown. EM believes in white noise: with thousands of pixels, errors of a thousandth of the reflectance
    would count against Q, so a learned Q lets M_t follow whatever the constant a_n does not explain, which is the
    change of the fractions. M_t then leaves the reference and may become negative (RED, table II, DS2: NRMSE_A 0.659,
    NRMSE_M 12.2). `BOUNDED` holds Q at 3e-6, so that M_t hardly drifts beyond what all pixels agree on, has A on the
    simplex within EM, and weighs bands by the covariance of the residuals afterwards. Setting M_t < 0 to 0 instead
    changes little.

    References
    ----------
    R. Borsoi, T. Imbiriba, P. Closas, J. Bermudez, C. Richard, Kalman filtering and expectation maximization for
    multitemporal spectral unmixing, IEEE GRSL 19, 2022. Departures: Q and P_0 are block-diagonal over bands, so that
    the filter of L P states becomes L filters of P states; all parameters are refreshed in every round; pixels are
    sampled in order, not per axis; a date's mask; `sum_to_one` and `coloured`, off by default.
    """
    model = learn(Y, M0, valid, **settings)
    A, sd = model.unmix(Y, valid)
    return SequenceUnmixing(A, model.M, sd, model.costs, model.converged)


def learn(Y, M0, valid=None, *, Q=0.1, P0=1.0, sigma=0.01, learn_Q=True, sum_to_one=False, coloured=False,
          iterations=5, tolerance=1e-5, callback=None):
    """
    Endmembers of every date by expectation maximisation in the model of `kalmanem`.

    E-step: Kalman filter in information form, and smoother, for every band. M-step: Q, mu_0, P_0, A and s^2, each at
    its maximum given the rest. No round lowers the likelihood.

    Parameters
    ----------
    Y : ndarray (T, L, N)
        Images in any unit. Some 5000 pixels, evenly spaced in their order, are used: Y may be a sample already.
    M0 : ndarray (L, P)
        Reference endmembers, in the units of `Y`. Both are divided by their largest value.
    valid : ndarray (T, N) of bool, optional
    Q, P0 : float
        Variances of the scaling factors psi: of their steps, and before the first date. Starts of EM.
    sigma : float
        Standard deviation of the noise to start with, in units of the largest value of `M0`.
    learn_Q : bool
        Whether EM estimates Q (P x P for every band) or holds it.
    sum_to_one : bool
        Abundances within EM are nonnegative and sum to one. As published they are free.
    coloured : bool
        Abundances weigh the bands by R^-1, where R is the covariance of what remains of the images when every date is
        unmixed with its M_t (five times, at first with R = I). What remains of real spectra is smooth over the bands
        and not white. Within EM the noise stays white. As published, R = s^2 I: plain FCLS.
    iterations : int
        Rounds of EM.
    tolerance : float
        Change of the cost per observed value below which it ends.
    callback : callable(iteration, cost) -> bool or None, optional

    Returns
    -------
    SequenceEndmembers

    Raises
    ------
    ValueError
        Images, masks and endmembers that do not fit; valid pixels that are not finite; parameters out of range; and
        endmembers, given or found, that cannot be told apart.
    """
    valid = validity(Y, valid)
    M0 = np.asarray(M0, dtype=np.float64)
    check_reference(M0, Y.shape[1])
    check_endmembers(M0, sum_to_one=sum_to_one)
    for name, value in dict(Q=Q, P0=P0, sigma=sigma).items():
        if not (np.isfinite(value) and value > 0):
            raise ValueError(f"{name} is {value:g}: it must be a positive number.")
    if iterations < 1:
        raise ValueError(f"There are {iterations} rounds: EM needs at least one.")
    scale = np.abs(M0).max()
    Y, valid = _sample(Y, valid, scale)
    problem = _Problem(Y, valid, M0 / scale, sum_to_one)
    state = problem.start(Q, P0, sigma)
    costs, converged = [state.cost], False
    for iteration in range(1, iterations + 1):
        state = problem.round(state, learn_Q)
        costs.append(state.cost)
        converged = abs(costs[-2] - costs[-1]) <= tolerance * valid.sum() * len(M0)
        if (callback is not None and callback(iteration, state.cost)) or converged:
            break
    R = residual_covariance(Y, valid, state.M) if coloured else state.variance * np.eye(len(M0))
    return SequenceEndmembers(state.M * scale, state.V * scale ** 2, R * scale ** 2, state.A, tuple(costs),
                              bool(converged))


def residual_covariance(Y, valid, M):
    """
    Covariance R (L, L) of what remains of images when every date is unmixed by FCLS with weights R^-1.

    Parameters
    ----------
    Y : ndarray (T, L, n)
    valid : ndarray (T, n) of bool
    M : ndarray (T, L, P)
    """
    L = M.shape[1]
    R = np.eye(L)
    for _ in range(REWEIGHTED):
        total = np.zeros((L, L))
        for y, good, M_t in zip(Y, valid, M):
            y, B = y[:, good], np.linalg.solve(R, M_t)
            rest = y - M_t @ minimise(M_t.T @ B, B.T @ y, sum_to_one=True)
            total += rest @ rest.T
        R = total / valid.sum()
        R += max(RIDGE * np.trace(R) / L, FLOOR * np.square(M).mean()) * np.eye(L)
    return R


def _sample(Y, valid, scale):
    """At most `SAMPLE` pixels (T, L, n) that are valid on some date, zero where they are not, and where they are."""
    pixels = np.flatnonzero(valid.any(axis=0))
    pixels = pixels[::-(-len(pixels) // SAMPLE)]
    good = valid[:, pixels]
    Y = np.where(good[:, None], Y[:, :, pixels], 0).astype(np.float64)
    for t in np.flatnonzero(~np.isfinite(Y).all(axis=(1, 2)))[:1]:
        raise ValueError(f"Image {t + 1} holds values that are not finite in valid pixels: mask them.")
    return Y / scale, good


@dataclass(frozen=True)
class _State:
    """Parameters of the model, A (P, n), s^2 and Q (L, P, P), and what the E-step says with them."""

    A: np.ndarray
    variance: float
    Q: np.ndarray
    cost: float
    smoothed: Smoothed
    M: np.ndarray
    V: np.ndarray


class _Problem:
    """EM for images `Y` (T, L, n) that are zero where not `valid`."""

    def __init__(self, Y, valid, M0, sum_to_one):
        self.Y, self.valid, self.M0, self.sum_to_one = Y, valid.astype(np.float64), M0, sum_to_one
        self.energy = np.einsum("tln,tln->tl", Y, Y)
        self.values = self.valid.sum() * len(M0)

    def start(self, Q, P0, sigma):
        """The state with the reference's abundances."""
        L, P = self.M0.shape
        G = np.stack([self.M0.T @ self.M0] * len(self.Y))
        A = minimise(self.over_dates(G), self.M0.T @ self.Y.sum(axis=0), sum_to_one=True)
        return self.expectation(A, sigma ** 2, np.broadcast_to(Q * np.eye(P), (L, P, P)), np.ones((L, P)),
                                P0 * np.eye(P))

    def expectation(self, A, variance, Q, mu, P0):
        """E-step: the smoothed state of every band."""
        AA, YA = self.moments(A)
        J = np.einsum("lp,tpq,lq->tlpq", self.M0, AA, self.M0) / variance
        energy = self.energy / variance + self.valid.sum(axis=1)[:, None] * np.log(2 * np.pi * variance)
        filtered = information_filter(J, self.M0 * YA / variance, np.eye(len(A)), Q, mu, P0, energy=energy)
        smoothed = smooth(filtered)
        V = np.einsum("lp,tlpq,lq->tlpq", self.M0, smoothed.covariance[1:], self.M0)
        return _State(A, variance, Q, -float(filtered.loglikelihood.sum()), smoothed, self.M0 * smoothed.mean[1:], V)

    def round(self, state, learn_Q):
        """M-step for every parameter, and the E-step with the new ones."""
        mean, covariance, lag = state.smoothed.mean, state.smoothed.covariance, state.smoothed.lag_one
        Q, step = state.Q, np.diff(mean, axis=0)
        if learn_Q:
            Q = np.mean(step[..., :, None] * step[..., None, :] + covariance[1:] + covariance[:-1] - lag
                        - np.swapaxes(lag, -1, -2), axis=0)
        S_t = np.swapaxes(state.M, 1, 2) @ state.M + state.V.sum(axis=1)
        A = self.abundances(self.over_dates(S_t), sum(M_t.T @ y for M_t, y in zip(state.M, self.Y)))
        AA, YA = self.moments(A)
        variance = (self.energy.sum() - 2 * np.sum(YA * state.M) + np.sum(AA * S_t)) / self.values
        variance = max(variance, FLOOR * self.energy.sum() / self.values)
        return self.expectation(A, variance, Q, mean[0], covariance[0])

    def abundances(self, S, C):
        """A = S^-1 T, or the least of the same cost on the simplex."""
        if self.sum_to_one:
            return minimise(S, C, sum_to_one=True)
        return np.linalg.solve(S, C) if S.ndim == 2 else np.linalg.solve(S, C.T[..., None])[..., 0].T

    def over_dates(self, G):
        """Sum of `G` (T, P, P) over the valid dates of every pixel, (n, P, P), or (P, P) where all are valid."""
        return G.sum(axis=0) if self.valid.all() else np.tensordot(self.valid.T, G, 1)

    def moments(self, A):
        """A A^T (T, P, P) and Y A^T (T, L, P) of the valid pixels of every date."""
        return np.einsum("pn,tn,qn->tpq", A, self.valid, A, optimize=True), self.Y @ A.T


def _on_plane(G):
    """Z (Z^T G Z)^-1 Z^T, the inverse of `G` (..., P, P) on the plane of vectors that sum to zero."""
    P = G.shape[-1]
    Z = np.linalg.svd(np.eye(P) - 1 / P)[0][:, :P - 1]
    return Z @ np.linalg.inv(Z.T @ G @ Z) @ Z.T
