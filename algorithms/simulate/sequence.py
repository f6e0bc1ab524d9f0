"""Image sequences whose abundances are known: maps with abrupt changes in patches, spectra that drift or are drawn."""

from dataclasses import dataclass

import numpy as np

from ..variability.pixel_endmembers import mixtures
from .scene import add_noise, correlation_length, gaussian_field_abundances, random_field, spherical
from .variability import SMALLEST, bundles, two_segments

LEAST_RADIUS, MOST_RADIUS = 0.06, 0.14   # of a patch that changes at once, as shares of the shorter side


@dataclass(frozen=True)
class SimulatedSequence:
    """
    Attributes
    ----------
    Y : ndarray (T, L, N)
        Images with noise, pixels in row-major order.
    A : ndarray (T, P, N)
        Their abundances.
    M : ndarray (T, P, L, N)
        The endmembers of every date and pixel.
    """

    Y: np.ndarray
    A: np.ndarray
    M: np.ndarray


def ds1(M0, rows, cols, rng, T=6, snr_db=30.0, contrast=3.0):
    """
    Data sequence 1: patches that change at once, and spectra that drift from their references.

    The maps are `gaussian_field_abundances`, in which at every date but the first and the last two patches change at
    once, and stay so (`with_abrupt_changes`). Every endmember of every pixel is its reference times a function of the
    band of two linear segments, in [0.85, 1.15] at first, to which each date adds one in [-0.1, 0.1]
    (`drifting_endmembers`).

    Parameters
    ----------
    M0 : ndarray (L, P)
        Reference spectra. The paper has three of the USGS library.
    rows, cols : int
        50 x 50 in the paper.
    rng : numpy.random.Generator
    T : int
        Dates, at least 2. With 2 no patch changes.
    snr_db : float or None
        Of each image; see `scene.add_noise`.
    contrast : float
        Of the maps: larger gives purer pixels.

    Returns
    -------
    SimulatedSequence

    Raises
    ------
    ValueError
        Fewer than two dates.

    References
    ----------
    Borsoi, Imbiriba and Closas, IEEE TIP 32, 2023, section VI-A (its DS1). How its maps and changes were drawn is not
    told: this function's own.
    """
    _check_dates(T)
    A0 = gaussian_field_abundances(M0.shape[1], rows, cols, rng, contrast=contrast)
    A = with_abrupt_changes(np.broadcast_to(A0, (T, *A0.shape)), rows, cols, rng, dates=range(1, T - 1))
    return _observed(drifting_endmembers(M0, T, rows * cols, rng), A, snr_db, rng)


def ds2(spectra, material, rows, cols, rng, T=15, snr_db=30.0, contrast=3.0, persistence=0.97):
    """
    Data sequence 2: maps that drift and change in patches, and spectra drawn from bundles for every pixel and date.

    The maps are the softmax of Gaussian random fields that follow z_t = r z_t-1 + sqrt(1 - r^2) w_t, r = `persistence`,
    and from the second date on one patch a date changes at once (`with_abrupt_changes`).

    Parameters
    ----------
    spectra : ndarray (L, K)
        Pure spectra of all materials. The paper has pixels of water, vegetation, soil and road of Jasper Ridge.
    material : sequence of K ints
        The material of each, 0..P-1.
    rows, cols, rng, T, snr_db, contrast
        See `ds1`.

    Returns
    -------
    SimulatedSequence

    References
    ----------
    Borsoi, Imbiriba and Closas, IEEE TIP 32, 2023, section VI-A (its DS2); the field's law is this function's own.
    """
    _check_dates(T)
    P = int(np.max(material)) + 1
    A = drifting_abundances(P, T, rows, cols, rng, contrast, persistence)
    A = with_abrupt_changes(A, rows, cols, rng, dates=range(1, T), patches=1)
    spectra = np.asarray(spectra, dtype=np.float32)
    M = np.empty((T, P, len(spectra), rows * cols), dtype=np.float32)
    for M_t in M:
        M_t[:] = bundles(spectra, material, rows * cols, rng)
    return _observed(M, A, snr_db, rng)


def _check_dates(T):
    if T < 2:
        raise ValueError(f"The number of dates is {T}: a sequence has at least 2.")


def _observed(M, A, snr_db, rng):
    Y = np.empty((len(M), *M.shape[2:]), dtype=np.float32)
    for Y_t, M_t, A_t in zip(Y, M, A):
        Y_t[:] = add_noise(mixtures(M_t, A_t), snr_db, rng)
    return SimulatedSequence(Y, A, M)


def with_abrupt_changes(A, rows, cols, rng, dates, patches=2):
    """
    Abundances `A` (T, P, N) in which, at each of `dates` (0-based, from 1), so many discs become another material.

    A disc has a radius of 0.06 to 0.14 of the shorter side. Its pixels become nearly pure in a material that was not
    the most abundant one there: 0.9 of it and 0.1 of what was. From then on they follow no other change but of discs
    that cover them later.

    Returns
    -------
    ndarray (T, P, N)
        A copy.
    """
    A = np.array(A, dtype=np.float64)
    T, P, N = A.shape
    row, col = np.divmod(np.arange(N), cols)
    for date in dates:
        for _ in range(patches):
            centre = rng.random(2) * (rows, cols)
            radius = max(1.0, rng.uniform(LEAST_RADIUS, MOST_RADIUS) * min(rows, cols))
            inside = np.hypot(row + 0.5 - centre[0], col + 0.5 - centre[1]) <= radius
            if not inside.any():
                continue
            before = A[date - 1][:, inside]
            others = np.delete(np.arange(P), before.sum(axis=1).argmax())
            A[date:, :, inside] = 0.1 * before
            A[date:, rng.choice(others)][:, inside] += 0.9
    return A


def drifting_abundances(P, T, rows, cols, rng, contrast=3.0, persistence=0.97, length=None):
    """
    Abundances (T, P, N): the softmax of `contrast` times fields z_t = r z_t-1 + sqrt(1 - r^2) w_t.

    The fields have the spherical covariance of `scene.gaussian_field_abundances`; r is the `persistence`, 1 for maps
    that do not change.
    """
    if not 0 <= persistence <= 1:
        raise ValueError(f"The persistence is {persistence:g}: it must be between 0 and 1.")
    length = correlation_length(length, rows, cols)

    def fields():
        return np.stack([random_field(rows, cols, length, spherical, rng).ravel() for _ in range(P)])

    z = [fields()]
    while len(z) < T:
        z.append(persistence * z[-1] + np.sqrt(1 - persistence ** 2) * fields())
    A = contrast * np.stack(z)
    A = np.exp(A - A.max(axis=1, keepdims=True))
    return A / A.sum(axis=1, keepdims=True)


def drifting_endmembers(M0, T, N, rng, first=0.3, step=0.2):
    """
    Endmembers (T, P, L, N) of every date and pixel: the references times functions of the band that drift.

    At the first date the factor runs in two linear segments between values uniform on [1 - first/2, 1 + first/2]
    (`variability.piecewise_linear`); every later date adds one between values uniform on [-step/2, step/2]. Over many
    dates the sum may fall below zero: a factor is 0.01 at least.
    """
    M0 = np.asarray(M0, dtype=np.float64)
    L, P = M0.shape
    M = np.empty((T, P, L, N), dtype=np.float32)
    for p, m0 in enumerate(M0.T):
        factor = two_segments(L, N, rng, first)
        for t in range(T):
            factor = factor if t == 0 else factor + two_segments(L, N, rng, step) - 1
            M[t, p] = m0[:, None] * np.maximum(factor, SMALLEST)
    return M
