"""What methods for sequences share: the result, valid pixels, reference endmembers, order of endmembers, measures."""

from dataclasses import dataclass, field

import numpy as np

from ..abundances.active_set import minimise
from ..abundances.linear_model import check_endmembers
from ..abundances.nnls import nnls
from ..check.metrics import assign, match, sad
from ..endmembers.vca import vca
from ..pixels import moments

RUNS = 10          # of VCA, of which the one is taken that explains the images best
LOOKED_AT = 8000   # pixels by which `reference` judges that, and from which `settled` finds endmembers, at most
TOGETHER = 0.02    # how strongly `settled` keeps the endmembers together
CLEAN = 0.01       # what endmembers leave, against their spread, at which that is halved
ROUNDS = 40
UNSEEN = 1e-6      # share of the largest eigenvalue below which a direction of endmembers is not seen
RIDGE = 1e-3       # share of the mean variance that is added to its covariance
TINY = 1e-12       # and of the mean energy of the pixels


@dataclass(frozen=True)
class SequenceUnmixing:
    """
    Attributes
    ----------
    A : ndarray (T, P, N)
        Abundances; NaN in pixels of a date that are not valid and that the method does not estimate from other dates.
    M : ndarray (T, L, P)
        Endmembers of each date, or (T, P, L, N) where every pixel has its own.
    sd : ndarray (T, P, N) or None
        Posterior standard deviation of the abundances.
    costs : tuple of float
        The cost after each iteration, if the method has one.
    converged : bool
        Whether it had settled at the end.
    """

    A: np.ndarray
    M: np.ndarray
    sd: np.ndarray = None
    costs: tuple = field(default=())
    converged: bool = True


def validity(Y, valid=None):
    """
    Which pixels `Y` (T, L, N) of which dates are valid, (T, N) of bool; all where `valid` is None.

    Raises
    ------
    ValueError
        Fewer than two dates, a date without any valid pixel, or arrays that do not fit.
    """
    if Y.ndim != 3 or len(Y) < 2:
        raise ValueError(f"A sequence has at least two images of the same size; this one has the shape {Y.shape}.")
    if valid is None:
        return np.ones((len(Y), Y.shape[2]), dtype=bool)
    valid = np.asarray(valid, dtype=bool)
    if valid.shape != (len(Y), Y.shape[2]):
        raise ValueError(f"The mask of valid pixels has the shape {valid.shape}, the images need "
                         f"{(len(Y), Y.shape[2])}.")
    empty = np.flatnonzero(~valid.any(axis=1))
    if len(empty):
        raise ValueError(f"Image {empty[0] + 1} has no valid pixel: leave it out.")
    return valid


def all_pixels(Y, valid):
    """The valid pixels of all dates side by side, (L, n)."""
    return np.concatenate([image[:, good] for image, good in zip(Y, valid)], axis=1)


def check_reference(M0, L):
    """
    Refuse endmembers `M0` to start from that do not fit images of `L` bands, or cannot be told apart.

    Raises
    ------
    ValueError
        Another number of bands, no positive value, or what `check_endmembers` refuses.
    """
    check_endmembers(M0, sum_to_one=True)
    if len(M0) != L:
        raise ValueError(f"The endmembers have {len(M0)} bands, the images {L}: resample them to the images' bands.")
    if M0.max() <= 0:
        raise ValueError(f"The largest value of the endmembers is {M0.max():g}: positive ones are needed, such as "
                         f"reflectance or radiance.")


def reference(Y, P, rng, valid=None, runs=RUNS):
    """
    Reference endmembers (L, P): VCA on the pixels of all dates together.

    Of `runs` runs the one is taken whose nonnegative mixtures explain the pixels best; 1 is VCA as published. In a
    sequence the largest simplex is one of outliers even more often than in one image: each date adds its own.
    """
    pixels = all_pixels(Y, validity(Y, valid))
    found = moments(pixels)
    if runs <= 1:
        return vca(pixels, P, rng, found).E
    sample = pixels[:, ::max(1, -(-pixels.shape[1] // LOOKED_AT))].astype(np.float64)
    return min((vca(pixels, P, rng, found).E for _ in range(runs)), key=lambda M: _misfit(sample, M))


def _misfit(Y, M):
    try:
        return float(np.linalg.norm(Y - M @ nnls(Y, M).A))
    except ValueError:   # spectra that depend on each other
        return np.inf


@dataclass(frozen=True)
class Settled:
    """
    Attributes
    ----------
    M : ndarray (L, P)
        Endmembers of all dates.
    R : ndarray (L, L)
        Covariance over the bands of what they leave of the images.
    """

    M: np.ndarray
    R: np.ndarray


def settled(Y, M0, valid=None, together=TOGETHER, rounds=ROUNDS):
    """
    One set of endmembers for the whole sequence, by maximum likelihood in a linear mixing model with coloured noise.

    Y = M A + E with columns e ~ N(0, R), A on the simplex, M nonnegative and its columns near each other, as if
    t (N / P) sum_p ||m_p - mean m||^2 were added to the misfit. t is `together` where `M0` leaves much of the images,
    and goes to zero with what it leaves: x^2 / (x^2 + 0.0001) of it, x being the mean square of that against the
    endmembers' own spread. Clean scenes with pure pixels need no pull. By turns: A by FCLS weighted with R^-1; M by
    least squares; R = E E^T / N. The first rounds, from `M0`, have R = I.

    The vertices that VCA finds are outliers, the brightest pixels of the brightest date. What a linear mixing model
    leaves of real spectra is their variability, smooth over the bands: R tells what is noise and what is shape, so that
    endmembers move to where the pixels' are on average. At most 8000 pixels are looked at.

    Parameters
    ----------
    Y : ndarray (T, L, N)
    M0 : ndarray (L, P)
    valid : ndarray (T, N) of bool, optional
    together : float
        0 leaves the distances to the data: endmembers then move apart for as long as that explains noise.
    rounds : int
        With R = I, and again with R.

    Returns
    -------
    Settled
        An endmember that no pixel uses stays about where it is.

    Raises
    ------
    ValueError
        Valid pixels that are not finite, images without differences, or endmembers that cannot be told apart.
    """
    valid = validity(Y, valid)
    date, pixel = np.nonzero(valid)
    chosen = slice(None, None, max(1, -(-len(date) // LOOKED_AT)))
    sample = Y[date[chosen], :, pixel[chosen]].T.astype(np.float64)
    M, (L, N), P = np.asarray(M0, dtype=np.float64), sample.shape, M0.shape[1]
    check_endmembers(M, sum_to_one=True)
    if not np.isfinite(sample).all():
        raise ValueError("The valid pixels hold values that are not finite: mask them first.")
    if not np.ptp(sample, axis=1).any():
        raise ValueError("All pixels of all images are alike: there are no endmembers to tell apart.")
    centre, R = np.eye(P) - 1 / P, np.eye(L)
    left = np.mean(np.square(sample - M @ minimise(M.T @ M, M.T @ sample, sum_to_one=True)))
    share = left / np.mean(np.square(M @ centre))
    pull = together * share ** 2 / (share ** 2 + CLEAN ** 2) * N / P * centre
    for turn in range(2 * rounds):
        B = np.linalg.solve(R, M)
        A = minimise(M.T @ B, B.T @ sample, sum_to_one=True)
        G = A @ A.T + pull   # for the step, not the endmembers themselves: what no pixel tells stays
        M = np.maximum(M + np.linalg.lstsq(G, (sample @ A.T - M @ G).T, rcond=UNSEEN)[0].T, 0)
        if turn >= rounds - 1:
            E = sample - M @ A
            R = E @ E.T / N
            R += max(RIDGE * np.trace(R) / L, TINY * np.square(sample).mean()) * np.eye(L)
    return Settled(M, R)


def aligned(M):
    """
    Endmembers `M`, a list of T arrays (L, P), each date's put into the order of the date before it.

    Every date is matched to the mean of the dates already in order, by the assignment of least total spectral angle
    (Hungarian method), so that no two endmembers become one.

    Returns
    -------
    list of ndarray of int (P,)
        `M[t][:, order[t]]` are in one order at all dates.
    """
    orders, total = [np.arange(M[0].shape[1])], np.array(M[0], dtype=np.float64)
    for t, M_t in enumerate(M[1:], 1):
        orders.append(match(total / t, M_t))
        total += M_t[:, orders[-1]]
    return orders


def best_order(A, A_hat):
    """
    One order of the estimated endmembers for all dates, (P,): that with the least squared error of the abundances.

    For judging against the truth only: `A_hat[:, best_order(A, A_hat)]` is compared with `A` (T, P, N).
    """
    cost = np.stack([[np.nansum((a - b) ** 2) for b in A_hat.transpose(1, 0, 2)] for a in A.transpose(1, 0, 2)])
    return assign(cost)


def nrmse(X, X_hat):
    """
    Normalised root mean square error of a sequence: sqrt(mean_t ||X_t - X^_t||^2 / ||X_t||^2), the dates first.

    References
    ----------
    Borsoi, Imbiriba and Closas, IEEE TIP 32, 2023, section VI (NRMSE_A and NRMSE_Y).
    """
    ratios = [np.sum((np.asarray(x, np.float64) - x_hat) ** 2) / np.sum(np.asarray(x, np.float64) ** 2)
              for x, x_hat in zip(X, X_hat)]
    return float(np.sqrt(np.mean(ratios)))


def nrmse_endmembers(M, M_hat):
    """
    NRMSE_M: sqrt(mean_nt ||M_nt - M^_nt||_F^2 / ||M_nt||_F^2), for `M` (T, P, L, N) and `M_hat` alike or (T, L, P).
    """
    ratios = []
    for M_t, hat in zip(M, M_hat):
        hat = hat if hat.ndim == 3 else hat.T[:, :, None]
        ratios.append(np.mean(np.sum((M_t - hat) ** 2, axis=(0, 1)) / np.sum(np.square(M_t), axis=(0, 1))))
    return float(np.sqrt(np.mean(ratios)))


def sam_endmembers(M, M_hat):
    """SAM_M: the spectral angle in radians, mean over dates, pixels and endmembers; shapes as `nrmse_endmembers`."""
    angles = []
    for M_t, hat in zip(M, M_hat):
        for p, m in enumerate(M_t):
            own = hat[p] if hat.ndim == 3 else np.broadcast_to(hat[:, p:p + 1], m.shape)
            angles.append(np.mean(sad(m, own)))
    return float(np.mean(angles))


def reconstruct(A, M):
    """The images (T, L, N) that abundances `A` (T, P, N) and endmembers `M` (T, L, P) or (T, P, L, N) make."""
    return np.stack([np.einsum("pln,pn->ln", M_t, A_t) if M_t.ndim == 3 else M_t @ A_t for M_t, A_t in zip(M, A)])
