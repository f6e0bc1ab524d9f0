"""A stand-in for HBUN: hierarchical Bayesian unmixing of a sequence, smooth in space, time and over bands, by Gibbs."""

from dataclasses import dataclass

import numpy as np
from scipy.fft import dct, idct
from scipy.special import log_ndtr, ndtr, ndtri, ndtri_exp

from ..abundances.fcls import fcls
from .sequence import SequenceUnmixing, check_reference, validity

SHAPE, RATE = 1.0, 1e-8     # of the Gamma priors of all precisions: data are about one at most
TAIL = -8.0                 # further out than this, truncated normals are drawn from logarithms
TINY = 1e-12


@dataclass(frozen=True)
class BayesianUnmixing(SequenceUnmixing):
    """
    `SequenceUnmixing` with posterior means.

    Attributes
    ----------
    spatial, temporal : float
        Posterior means of the precisions of differences between abundances of neighbours, or those given.
    """

    spatial: float = 0.0
    temporal: float = 0.0


def hbun(Y, M0, shape, valid=None, *, iterations=200, burn_in=100, smoothness=100.0, closeness=0.005, spatial=None,
         temporal=None, seed=0, callback=None):
    """
    Abundances and endmembers of every date with their posterior standard deviation, by Gibbs sampling.

    This is a stand-in: of the method of Liu et al. only the outlines are known here (a hierarchical Bayesian model,
    endmembers that vary in time under a prior of spectral smoothness, abundances smooth in space and in time). What it
    assumes in their place, with D the differences between successive bands::

        y_nt = M_t a_nt + r_nt,      r_nt stationary over the bands: C r ~ N(0, diag(v_t)), C the cosine transform
        M_t - M  ~ N(0, (l (I + c D^T D))^-1),      M - M0 ~ N(0, (u (I + c D^T D))^-1)      each column
        exp(-1/2 closeness n_t sum_i<j ||C (m_it - m_jt)||^2 / v_t)      for the endmembers of each date
        p(A) ~ exp(-1/2 spatial sum ||a_nt - a_n't||^2 - 1/2 temporal sum ||a_nt - a_n,t-1||^2)      on the simplex

    over the four neighbours n' of each pixel, with n_t valid pixels at date t, and Gamma priors of shape 1
    on l, u, 1 / v and the two weights.

    Parameters
    ----------
    Y : ndarray (T, L, N)
        Whole images, row-major.
    M0 : ndarray (L, P)
        Endmembers to start from, in the units of `Y` (see `sequence.reference`). Both are divided by its largest value.
    shape : (int, int)
        Rows and columns.
    valid : ndarray (T, N) of bool, optional
        A pixel that is not valid at a date is drawn there from its neighbours in space and time. One that is valid at
        no date comes out as NaN and is nobody's neighbour.
    iterations, burn_in : int
        Sweeps in all, and those at the start that do not count.
    smoothness : float
        c: departures are smooth over about sqrt(c) bands.
    closeness : float
        How closely endmembers keep to each other, against one for each pixel's misfit: 0 leaves it to the data, by
        which endmembers move apart for as long as that explains noise.
    spatial, temporal : float, optional
        Precision of the difference of abundances between neighbours in the image and between successive dates. By
        default they are drawn too (see Notes).
    seed : int
    callback : callable(iteration, cost) -> bool or None, optional
        After each sweep, with minus the log-likelihood (with `closeness`) of the endmembers and abundances that it
        began with, at the variances that it drew; true stops.

    Returns
    -------
    BayesianUnmixing
        `A`, `M` and `sd` are means and standard deviations over the sweeps after the burn-in; if the callback ends
        it within, the last draw, and `sd` is None. `converged` says whether it made all sweeps, not whether
        the chain has forgotten its start: compare seeds and numbers of sweeps.

    Raises
    ------
    ValueError
        Numbers out of range, arrays that do not fit, or data that are not finite.

    Notes
    -----
    Bands. The cosine transform turns D^T D into numbers, so that it leaves one system of P unknowns for every
    frequency and date. M is drawn without, then M_t with M (`draw_endmembers`).

    Closeness. The same as the measurement, of the residual's variance, that the difference of each two endmembers is
    zero, as often as `closeness` n_t. Without it smooth abundances and large endmembers breed each other. The default
    is for spectra that differ by some ten per cent from pixel to pixel; where they hardly do and there are pure pixels,
    it draws the endmembers too close together, and 0 is better.

    Residual. Mostly spectra that differ from pixel to pixel, smooth over the bands: taken as white they would count as
    hundreds of independent measurements, and the abundances for much more certain than they are. So every frequency
    has its own variance.

    Abundances. Pixels of even row + column + date are drawn given the odd ones, then the odd ones; in each pixel along
    lines: the principal directions of the likelihood, and those that exchange two endmembers (`draw_abundances`).

    Weights. The field's normalising constant on the simplex is not known. That of the field without bounds is taken
    instead: it has P - 1 degrees of freedom for each pixel and date, which space and time share as its spectrum and
    the present weights say. Each weight is then drawn from a Gamma distribution.

    References
    ----------
    H. Liu, Y. Lu, Z. Wu, Q. Du, J. Chanussot, Z. Wei, Bayesian unmixing of hyperspectral image sequence with composite
    priors for abundance and endmember variability, IEEE TGRS 60, 2022 (not at hand). P.-A. Thouvenin, N. Dobigeon,
    J.-Y. Tourneret, A hierarchical Bayesian model accounting for endmember variability and abrupt spectral changes to
    unmix multitemporal hyperspectral images, IEEE TCI 4(1), 2018 (the kind of sampler).
    """
    valid = validity(Y, valid)
    M0 = np.array(M0, dtype=np.float64)
    _check(Y, M0, shape, iterations, burn_in,
           dict(smoothness=smoothness, closeness=closeness, spatial=spatial, temporal=temporal))
    scale, (T, L, N), P = float(M0.max()), Y.shape, M0.shape[1]
    dtype = np.float64 if Y.dtype == np.float64 else np.float32
    images = np.where(valid[:, None], np.divide(Y, scale, dtype=dtype), dtype(0))
    if not np.isfinite(images.sum(axis=(0, 2), dtype=np.float64)).all():
        raise ValueError("The valid pixels hold values that are not finite. Mask them first.")
    rng, weight = np.random.default_rng(seed), valid.astype(np.float64)
    A = np.full((P, T, N), 1 / P)
    for t, good in enumerate(valid):
        A[:, t, good] = fcls(images[t][:, good], M0 / scale).A
    images = dct(images, axis=1, norm="ortho")
    M0 = dct(M0 / scale, axis=0, norm="ortho")
    shape_of = 1 + smoothness * (2 - 2 * np.cos(np.pi * np.arange(L) / L))     # the eigenvalues of I + c D^T D
    energy, pixels = np.square(images, dtype=np.float64).sum(axis=2), weight.sum(axis=1)
    field = Field(valid.any(axis=0), shape, T)
    M, M_t = M0, np.stack([M0] * T)
    l = u = 1.0
    ties = closeness * pixels[:, None, None] * (P * np.eye(P) - 1)     # as if differences had been seen to be zero
    given, weights = (spatial, temporal), (1.0, 1.0)
    costs, count = [], 0
    for sweep in range(iterations):
        AAt = np.einsum("ptn,qtn,tn->tpq", A, A, weight, optimize=True) + ties
        YAt = _products(images, A)
        fitted = np.einsum("tlp,tpq,tlq->tl", M_t, AAt, M_t, optimize=True) - 2 * np.einsum("tlp,tlp->tl", M_t, YAt)
        rest = np.maximum(energy + fitted, 0)
        v = 1 / rng.gamma(SHAPE + pixels[:, None] / 2, 1 / (RATE + rest / 2))
        M, M_t = draw_endmembers(AAt, YAt, v, l * shape_of, u * shape_of, M0, rng)
        l = rng.gamma(SHAPE + T * L * P / 2, 1 / (RATE + np.einsum("l,tlp->", shape_of, np.square(M_t - M)) / 2))
        u = rng.gamma(SHAPE + L * P / 2, 1 / (RATE + np.einsum("l,lp->", shape_of, np.square(M - M0)) / 2))
        drawn = field.draw_weights(A, weights, rng)
        weights = tuple(new if fixed is None else fixed for new, fixed in zip(drawn, given))
        H = np.einsum("tlp,tlq->tpq", M_t / v[:, :, None], M_t)
        c = np.stack([(E / v_t[:, None]).T.astype(dtype) @ image for E, v_t, image in zip(M_t, v, images)], axis=1)
        A = draw_abundances(A, H, c.astype(np.float64), weight, field, weights, rng)
        costs.append(float((pixels[:, None] * np.log(2 * np.pi * v) + rest / v).sum() / 2))
        if sweep <= burn_in:
            count, sums = 0, [0.0] * 4
        count += 1
        sums = [total + new for total, new in zip(sums, (A, np.square(A), M_t, np.array(weights)))]
        if callback is not None and callback(sweep + 1, costs[-1]):
            break
    A, squares, M_t, weights = (total / count for total in sums)
    sd = np.sqrt(np.maximum(squares - A ** 2, 0))
    A[:, :, ~field.kept] = sd[:, :, ~field.kept] = np.nan
    A, sd = (x.transpose(1, 0, 2).astype(np.float32) for x in (A, sd))
    M_t = idct(M_t, axis=1, norm="ortho") * scale
    return BayesianUnmixing(A, M_t, sd if count > 1 else None, tuple(costs), len(costs) == iterations,
                            *map(float, weights))


def _products(images, A):
    """Y_t A_t^T (T, L, P) over the valid pixels, which alone are not zero in the images."""
    return np.stack([image @ A[:, t].T.astype(image.dtype) for t, image in enumerate(images)]).astype(np.float64)


def draw_endmembers(AAt, YAt, v, l, u, M0, rng):
    """
    M and M_t given the abundances, from their joint conditional distribution.

    Each row k (a frequency) by itself: y_t = M_t a + r, M_t ~ N(M, I / l_k), M ~ N(M0, I / u_k). With the eigenvectors
    of A_t A_t^T, all frequencies of a date share one decomposition for M_t; M, for which M_t is integrated out, takes a
    system of P unknowns.

    Parameters
    ----------
    AAt : ndarray (T, P, P)
    YAt : ndarray (T, L, P)
    v : ndarray (T, L)
        Variances.
    l, u : ndarray (L,)
        Precisions.
    M0 : ndarray (L, P)
    rng : numpy.random.Generator

    Returns
    -------
    M : ndarray (L, P)
    M_t : ndarray (T, L, P)
    """
    E, Q = np.linalg.eigh(AAt)
    data = np.maximum(E, 0)[:, None] / v[:, :, None]                 # precision of M_t along the eigenvectors
    b = (YAt @ Q) / v[:, :, None]
    seen = 1 / (1 + data / l[None, :, None])                         # what of the data's precision passes on to M
    K = np.einsum("tpi,tli,tqi->lpq", Q, data * seen, Q, optimize=True) + u[:, None, None] * np.eye(M0.shape[1])
    right = np.einsum("tli,tpi->lp", b * seen, Q) + u[:, None] * M0
    R = np.linalg.cholesky(K)
    half = np.linalg.solve(R, right[:, :, None]) + rng.standard_normal((*M0.shape, 1))
    M = np.linalg.solve(R.transpose(0, 2, 1), half)[:, :, 0]
    precision = data + l[None, :, None]
    x = (b + l[None, :, None] * (M @ Q)) / precision + rng.standard_normal(b.shape) / np.sqrt(precision)
    return M, x @ Q.transpose(0, 2, 1)


def draw_abundances(A, H, c, weight, field, weights, rng):
    """
    Abundances (P, T, N), one colour of the checkerboard after the other, in each pixel along lines in the simplex.

    The density of a pixel is that of exp(-1/2 a^T H_t a + c^T a) to the power of its `weight` (T, N), 0 or 1, times
    the field's.

    Parameters
    ----------
    A, c : ndarray (P, T, N)
    H : ndarray (T, P, P)
    weight : ndarray (T, N)
    field : Field
    weights : (float, float)
        Spatial and temporal.
    rng : numpy.random.Generator
    """
    A, lines = A.copy(), directions(H)
    near_weight = weights[0] * field.beside[None] + weights[1] * field.before_after[:, None]
    for t, n in field.colours:
        a, w, q, H_n = A[:, t, n], weight[t, n], near_weight[t, n], H[t].transpose(1, 2, 0)
        slope = w * (c[:, t, n] - np.einsum("pqn,qn->pn", H_n, a)) + field.pull(A, weights)[:, t, n] - q * a
        for line in lines:
            d = line[t].T
            curve = w * np.einsum("tpq,tq->tp", H, line)[t].T + q * d
            h = np.maximum(np.einsum("pn,pn->n", curve, d), TINY)
            with np.errstate(divide="ignore", invalid="ignore"):
                ends = -a / d
            low = np.where(d > 0, ends, -np.inf).max(axis=0)
            high = np.where(d < 0, ends, np.inf).min(axis=0)
            step = truncated_normal(np.einsum("pn,pn->n", slope, d) / h, 1 / np.sqrt(h), low, high, rng)
            a = np.maximum(a + step * d, 0)
            slope -= step * curve
        A[:, t, n] = a / a.sum(axis=0)
    return A


def directions(H):
    """Lines through the simplex, each (T, P) with sum zero: the principal axes of H_t there, and exchanges of two."""
    T, P = H.shape[:2]
    basis = np.linalg.qr(np.hstack([np.ones((P, 1)), np.eye(P)[:, :P - 1]]))[0][:, 1:]
    axes = basis @ np.linalg.eigh(basis.T @ H @ basis)[1]
    exchanges = np.eye(P) - np.roll(np.eye(P), 1, axis=1)
    exchanges = exchanges[:1] if P == 2 else exchanges
    return [*axes.transpose(2, 0, 1), *(np.broadcast_to(e, (T, P)) for e in exchanges)]


def truncated_normal(mean, sd, low, high, rng):
    """Draws from normal distributions within [low, high], by the inverse of the distribution function; arrays (n,)."""
    a, b = (low - mean) / sd, (high - mean) / sd
    flip = a > 0
    a, b = np.where(flip, -b, a), np.where(flip, -a, b)     # of a tail, the lower one: there small numbers are exact
    share = rng.random(len(mean))
    below = ndtr(a)
    x = ndtri(below + share * (ndtr(b) - below))
    far = np.flatnonzero(b < TAIL)
    top, bottom, s = log_ndtr(b[far]), log_ndtr(a[far]), share[far]
    x[far] = ndtri_exp(top + np.log(s + (1 - s) * np.exp(bottom - top)))
    return np.clip(mean + sd * np.where(flip, -x, x), low, high)


class Field:
    """
    The neighbours of every pixel in the image and in time.

    Attributes
    ----------
    kept : ndarray (N,) of bool
        Pixels that are in the field.
    colours : list of (ndarray, ndarray)
        Dates and pixels of the two halves of the checkerboard, no two of which are neighbours.
    beside : ndarray (N,)
        Neighbours in the image.
    before_after : ndarray (T,)
        Neighbours in time.
    """

    def __init__(self, kept, shape, T):
        self.kept, self.shape, self.T = kept, tuple(shape), T
        row, col = np.divmod(np.arange(kept.size), shape[1])
        odd = (row + col + np.arange(T)[:, None]) % 2
        self.colours = [np.nonzero((odd == colour) & kept) for colour in (0, 1)]
        self.beside = self._around(kept.astype(np.float64)[None])[0]
        self.before_after = np.full(T, 2.0)
        self.before_after[[0, -1]] -= 1
        rows, cols, dates = (2 - 2 * np.cos(np.pi * np.arange(n) / n) for n in (*shape, T))
        self.space, self.time = (rows[:, None] + cols).ravel()[:, None], dates[None]

    def _around(self, X):
        """The sum over the four neighbours, of images (..., N) that are zero outside the field."""
        X = X.reshape(*X.shape[:-1], *self.shape)
        total = np.zeros_like(X)
        total[..., 1:, :] += X[..., :-1, :]
        total[..., :-1, :] += X[..., 1:, :]
        total[..., 1:] += X[..., :-1]
        total[..., :-1] += X[..., 1:]
        return total.reshape(*X.shape[:-2], -1)

    def pull(self, A, weights):
        """What the neighbours in space and in time add up to, (P, T, N), with their weights."""
        kept = A * self.kept
        total = weights[0] * self._around(kept)
        total[:, 1:] += weights[1] * kept[:, :-1]
        total[:, :-1] += weights[1] * kept[:, 1:]
        return total

    def roughness(self, A):
        """Sums of the squared differences between neighbours in space and in time, each pair once."""
        X, kept = A.reshape(*A.shape[:-1], *self.shape), self.kept.reshape(self.shape)
        down = np.square(np.diff(X, axis=-2)) * (kept[1:] & kept[:-1])
        right = np.square(np.diff(X, axis=-1)) * (kept[:, 1:] & kept[:, :-1])
        return down.sum() + right.sum(), np.square(np.diff(A, axis=1))[..., self.kept].sum()

    def draw_weights(self, A, weights, rng):
        """New weights of space and time for abundances A (P, T, N), with their share of the degrees of freedom."""
        space, time = weights[0] * self.space, weights[1] * self.time
        total = np.maximum(space + time, TINY)
        freedom = [(len(A) - 1) * self.kept.mean() * (part / total).sum() for part in (space, time)]
        return tuple(rng.gamma(SHAPE + f / 2, 1 / (RATE + r / 2)) for f, r in zip(freedom, self.roughness(A)))


def _check(Y, M0, shape, iterations, burn_in, weights):
    for name, weight in weights.items():
        if weight is not None and not (np.isfinite(weight) and weight >= 0):
            raise ValueError(f"The weight {name} is {weight:g}: it must be zero or above.")
    if not 0 <= burn_in < iterations:
        raise ValueError(f"{burn_in} of {iterations} sweeps are left out: at least one must count.")
    if shape[0] * shape[1] != Y.shape[2]:
        raise ValueError(f"{Y.shape[2]} pixels do not make an image of {shape[0]} rows and {shape[1]} columns.")
    check_reference(M0, Y.shape[1])
