"""Linearly mixed scenes whose abundances are known: Dirichlet draws, smooth fields or bumps; noise of a given SNR."""

import numpy as np
from scipy import fft


def dirichlet_abundances(P, N, rng, alpha=1.0):
    """
    Independent Dirichlet abundances: nonnegative, summing to one in every pixel.

    Parameters
    ----------
    P, N : int
        Endmembers and pixels.
    rng : numpy.random.Generator
    alpha : float or sequence of P floats
        Concentration. 1 is uniform on the simplex, below 1 favours nearly pure pixels, above 1 mixed ones.

    Returns
    -------
    A : ndarray (P, N)
    """
    alpha = np.broadcast_to(np.asarray(alpha, dtype=np.float64), (P,))
    if not np.all(alpha > 0):
        raise ValueError(f"The Dirichlet concentration is {alpha.min():g}: it must be positive, for instance 1.")
    return rng.dirichlet(alpha, N).T


def gaussian_field_abundances(P, rows, cols, rng, length=None, contrast=3.0, pure_pixels=False, max_abundance=1.0):
    """
    Spatially correlated abundances: the softmax of `P` independent Gaussian random fields.

    Each field z_k has unit variance and the spherical covariance 1 - 1.5 h + 0.5 h^3, h = distance / `length`, which
    is zero from `length` on; A_k = exp(contrast z_k) / sum_j exp(contrast z_j).

    Parameters
    ----------
    P, rows, cols : int
        Endmembers and size of the scene.
    rng : numpy.random.Generator
    length : float, optional
        Distance in pixels beyond which pixels are independent; a quarter of the longer side by default.
    contrast : float
        0 gives 1/P everywhere, large values give patches of nearly pure materials.
    pure_pixels : bool
        Make one pixel per endmember pure, where that endmember is largest.
    max_abundance : float
        No abundance exceeds this (see `capped`): below 1 there are no pure pixels.

    Returns
    -------
    A : ndarray (P, rows * cols)
        Nonnegative, summing to one; pixels in row-major order.
    """
    length = correlation_length(length, rows, cols)
    z = contrast * np.stack([random_field(rows, cols, length, spherical, rng).ravel() for _ in range(P)])
    A = np.exp(z - z.max(axis=0))
    return _shaped(A / A.sum(axis=0), pure_pixels, max_abundance)


def correlation_length(length, rows, cols):
    """The length given, in pixels, or by default a quarter of the longer side."""
    length = max(rows, cols) / 4 if length is None else length
    if not length > 0:
        raise ValueError(f"The correlation length is {length:g} pixels: it must be positive.")
    return length


def field_bytes(rows, cols, length=None):
    """Memory that a random field takes while it is made, at most: its torus and what is computed on it."""
    reach = 1.5 * correlation_length(length, rows, cols)   # as far as covariances reach here
    return 48 * max(rows + reach, 2 * reach) * max(cols + reach, 2 * reach)


def spherical(h):
    return 1 - 1.5 * h + 0.5 * h**3


def random_field(rows, cols, length, covariance, rng):
    """
    One Gaussian random field of mean 0 and an exact covariance, cut from a torus too large for it to wrap.

    Parameters
    ----------
    rows, cols : int
    length : float
        Pixels farther apart than this are as correlated as at this distance, which should be not at all.
    covariance : callable(ndarray) -> ndarray
        Covariance at distances in units of `length`, from 0 to 1.
    rng : numpy.random.Generator

    Returns
    -------
    ndarray (rows, cols)
    """
    reach = int(np.ceil(length))
    shape = [fft.next_fast_len(max(side + reach, 2 * reach), real=True) for side in (rows, cols)]
    lag = [np.minimum(np.arange(side), side - np.arange(side)) for side in shape]
    h = np.minimum(np.hypot(lag[0][:, None], lag[1][None, :]) / length, 1.0)
    density = np.maximum(fft.rfft2(covariance(h)).real, 0.0)
    white = fft.rfft2(rng.standard_normal(shape))
    return fft.irfft2(np.sqrt(density) * white, s=shape)[:rows, :cols]


def gaussian_bumps(P, rows, cols, rng, variance=300.0, most=0.7):
    """
    Abundances of the PLMM demonstration: a Gaussian bump for each endmember but the last, which takes the rest.

    The bumps exp(-d^2 / (2 variance)), d the distance in pixels to a centre drawn uniformly in the scene, are cut at
    `most`; the last endmember is what is left of one, and where the bumps overlap to more than one all are divided by
    their sum. Far from every bump the last endmember would be pure: there the abundances are moved towards 1/P until
    none exceeds `most` (see `capped`), so that no pixel is pure.

    Parameters
    ----------
    P, rows, cols : int
        Endmembers and size of the scene.
    rng : numpy.random.Generator
    variance : float
        Square of the bumps' standard deviation, in pixels squared.
    most : float
        No abundance exceeds this; between 1/P and 1.

    Returns
    -------
    A : ndarray (P, rows * cols)
        Nonnegative, summing to one; pixels in row-major order.

    References
    ----------
    Thouvenin, Dobigeon and Tourneret, IEEE TSP 64(2), 2016, as demonstrated by its authors: 300 and 0.7. Where its
    bumps stand is not told; the centres drawn and the cap of the last endmember are this function's own.
    """
    if not variance > 0:
        raise ValueError(f"The variance of the bumps is {variance:g} pixels squared: it must be positive.")
    centres = rng.random((P - 1, 2)) * (rows, cols)
    down = (np.arange(rows) + 0.5 - centres[:, :1]) ** 2
    across = (np.arange(cols) + 0.5 - centres[:, 1:]) ** 2
    bumps = np.exp(-(down[:, :, None] + across[:, None, :]) / (2 * variance)).reshape(P - 1, rows * cols)
    bumps = np.minimum(bumps, most)
    A = np.vstack([bumps, np.maximum(1 - bumps.sum(axis=0), 0)])
    return capped(A / A.sum(axis=0), most)


def with_pure_pixels(A):
    """A copy of `A` (P, N) with one pure pixel per endmember: for each in turn, its largest pixel not yet taken."""
    P, N = A.shape
    if N < P:
        raise ValueError(f"{P} endmembers cannot each have a pure pixel among {N} pixels: make the scene larger.")
    A = A.copy()
    free = np.ones(N, dtype=bool)
    for k in range(P):
        pixel = np.flatnonzero(free)[np.argmax(A[k, free])]
        A[:, pixel] = 0.0
        A[k, pixel] = 1.0
        free[pixel] = False
    return A


def capped(A, max_abundance):
    """
    Abundances `A` (P, N) moved towards 1/P, only as far as none exceeds `max_abundance`; the sum to one stays.
    """
    P = A.shape[0]
    if not 1 / P < max_abundance <= 1:
        raise ValueError(f"The largest abundance asked for is {max_abundance:g}: with {P} endmembers it must be above "
                         f"{1 / P:.3g} and at most 1.")
    excess = A.max(axis=0) - 1 / P
    limit = max_abundance - 1 / P
    t = np.divide(limit, excess, out=np.ones_like(excess), where=excess > limit)
    return np.minimum(1 / P + t * (A - 1 / P), max_abundance) if max_abundance < 1 else A


def _shaped(A, pure_pixels, max_abundance):
    if pure_pixels and max_abundance < 1:
        raise ValueError(f"Pure pixels and a largest abundance of {max_abundance:g} exclude each other: choose one.")
    if pure_pixels:
        return with_pure_pixels(A)
    return A if max_abundance == 1 else capped(A, max_abundance)


def noise_variances(Y, snr_db, eta=None):
    """
    Noise variance per band (L,) that gives the scene `Y` (L, N) the signal-to-noise ratio `snr_db` (see `add_noise`).
    """
    L, N = Y.shape
    total = np.einsum("ln,ln->", Y, Y, dtype=np.float64) / N / 10 ** (snr_db / 10)
    if eta is None or np.isinf(eta):
        return np.full(L, total / L)
    if not eta > 0:
        raise ValueError(f"The noise's shape eta is {eta}: it must be positive, in bands; "
                         f"leave it out for white noise.")
    exponent = -(np.arange(1, L + 1) - L / 2) ** 2 / (2 * eta**2)
    shape = np.exp(exponent - exponent.max())
    return total * shape / shape.sum()


def add_noise(Y, snr_db, rng, eta=None):
    """
    Add zero-mean Gaussian noise of a given signal-to-noise ratio, white or concentrated on the middle bands.

    The noise's band variances are sigma_i^2 = sigma^2 exp(-(i - L/2)^2 / (2 eta^2)) / sum_j exp(...), i = 1..L, with
    sigma^2 from SNR = 10 log10(E[x^T x] / E[e^T e]).

    Parameters
    ----------
    Y : ndarray (L, N)
        Noise-free scene.
    snr_db : float or None
        Decibels; None or infinity adds no noise.
    rng : numpy.random.Generator
    eta : float, optional
        Width of the Gaussian over the bands, in bands. None or infinity: white noise; towards 0: one band.

    Returns
    -------
    ndarray (L, N)
        Noisy copy of `Y`.

    References
    ----------
    Abdelgawad et al., CUR-HU, 2024, eq. 21-22. Its figures for "eta = 0" are those of white noise and for
    "eta = 1/18" those of a Gaussian of 18 bands: its eta is the reciprocal of eq. 21's, which is the one used here.
    """
    if snr_db is None or snr_db == np.inf:
        return Y.copy()
    sigma = np.sqrt(noise_variances(Y, snr_db, eta))
    return Y + sigma[:, None] * rng.standard_normal(Y.shape)


def prune_library(M, min_angle):
    """
    Choose spectra of a library so that any two differ by at least `min_angle`: greedy, in the library's order.

    Parameters
    ----------
    M : ndarray (L, K)
        Library, one spectrum per column.
    min_angle : float
        Smallest spectral angle between two chosen spectra, in radians.

    Returns
    -------
    ndarray of int
        Columns chosen, ascending; `M[:, prune_library(M, angle)]` is the pruned library.
    """
    if not 0 <= min_angle <= np.pi / 2:
        raise ValueError(f"The smallest angle between spectra is {min_angle:g} rad: give it in radians, "
                         f"between 0 and pi/2; 10 degrees are 0.1745.")
    norms = np.linalg.norm(M, axis=0)
    if not np.all(np.isfinite(norms) & (norms > 0)):
        bad = int(np.flatnonzero(~(np.isfinite(norms) & (norms > 0)))[0])
        raise ValueError(f"Spectrum {bad + 1} of the library is zero or not finite: leave it out.")
    U = M / norms
    cosine = U.T @ U
    chosen = []
    for k in range(M.shape[1]):
        if not chosen or cosine[k, chosen].max() <= np.cos(min_angle):
            chosen.append(k)
    return np.array(chosen, dtype=int)


def abundances(P, rows, cols, rng, model="dirichlet", pure_pixels=False, max_abundance=1.0, alpha=1.0, length=None,
               contrast=3.0):
    """
    Abundances of one of the models: nonnegative, summing to one in every pixel.

    Parameters
    ----------
    P, rows, cols : int
        Endmembers and size of the scene.
    rng : numpy.random.Generator
    model : {"dirichlet", "fields", "bumps"}
        `dirichlet_abundances` (with `alpha`), `gaussian_field_abundances` (with `length`, `contrast`) or
        `gaussian_bumps`, where no abundance exceeds 0.7 in any case, save in the pure pixels asked for.
    pure_pixels : bool
        At least one pure pixel per endmember.
    max_abundance : float
        No abundance exceeds this; below 1 there are no pure pixels.

    Returns
    -------
    A : ndarray (P, rows * cols)
        Pixels in row-major order.
    """
    if model == "fields":
        return gaussian_field_abundances(P, rows, cols, rng, length, contrast, pure_pixels, max_abundance)
    if model == "bumps":
        A = gaussian_bumps(P, rows, cols, rng, most=min(0.7, max_abundance))
    elif model == "dirichlet":
        A = dirichlet_abundances(P, rows * cols, rng, alpha)
    else:
        raise ValueError(f"There is no model of abundances {model!r}: choose dirichlet, fields or bumps.")
    return _shaped(A, pure_pixels, max_abundance)


def simulate(M, rows, cols, rng, fields=False, snr_db=None, eta=None, pure_pixels=False, max_abundance=1.0,
             alpha=1.0, length=None, contrast=3.0):
    """
    Simulate a linearly mixed scene Y = M A + noise.

    Parameters
    ----------
    M : ndarray (L, P)
        Endmembers.
    rows, cols : int
        Size of the scene.
    rng : numpy.random.Generator
        The same state gives the same scene.
    fields : bool
        Abundances from `gaussian_field_abundances` (with `length`, `contrast`); otherwise from
        `dirichlet_abundances` (with `alpha`).
    snr_db, eta : float, optional
        Noise (see `add_noise`); none by default.
    pure_pixels : bool
        At least one pure pixel per endmember.
    max_abundance : float
        No abundance exceeds this; below 1 there are no pure pixels.

    Returns
    -------
    Y : ndarray (L, rows * cols)
        Scene, pixels in row-major order.
    A : ndarray (P, rows * cols)
        Its abundances.
    """
    A = abundances(M.shape[1], rows, cols, rng, "fields" if fields else "dirichlet", pure_pixels, max_abundance,
                   alpha, length, contrast)
    return add_noise(M @ A, snr_db, rng, eta), A
