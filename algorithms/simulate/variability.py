"""
Scenes in which a material does not look the same in every pixel, and how it looks is known.

Each generator takes the reference endmembers `M0` (L, P) and gives those of every pixel, `M_n` (P, L, N), as precise as
`M0`: float32 endmembers give a float32 array, which halves the memory of large scenes. Pixels are in row-major order.
`mixtures` makes the scene y_n = M_n a_n of them.
"""

import numpy as np
from scipy.special import ndtr

from ..variability.pixel_endmembers import mixtures
from .scene import abundances, add_noise, correlation_length, random_field

SMALLEST = 0.01   # of a band-dependent factor: what a Gaussian draws below is set to this
SKY_OVER_SUN = (  # wavelength (nm), diffuse irradiance of the sky over direct irradiance of the sun at the zenith
    (400, 4.1), (500, 1.95), (700, 0.88), (1000, 0.42), (1600, 0.24), (2200, 0.16))


def simulate_varying(M0, rows, cols, rng, vary, snr_db=None, eta=None, **shape):
    """
    Simulate a scene with its own endmembers in every pixel, y_n = M_n a_n + noise.

    Abundances are drawn first, then the variability, then the noise: the same seed gives the same abundances whatever
    the variability.

    Parameters
    ----------
    M0 : ndarray (L, P)
        Reference endmembers.
    rows, cols : int
    rng : numpy.random.Generator
    vary : callable(rng) -> ndarray (P, L, N)
        One of this module's generators with all else given, for instance
        `lambda rng: scaling(M0, rows, cols, rng)`.
    snr_db, eta : float, optional
        Noise (see `scene.add_noise`); none by default.
    **shape
        Passed to `scene.abundances`: `model`, `pure_pixels`, `max_abundance`, `alpha`, `length`, `contrast`.

    Returns
    -------
    Y : ndarray (L, N)
    A : ndarray (P, N)
    M_n : ndarray (P, L, N)
    """
    A = abundances(M0.shape[1], rows, cols, rng, **shape)
    M_n = vary(rng)
    return add_noise(mixtures(M_n, A), snr_db, rng, eta), A, M_n


def scaling(M0, rows, cols, rng, amount=0.25, length=None):
    """
    One positive factor per endmember and pixel, smooth in space: M_n = M0 diag(psi_n).

    Each endmember's factors are 1 + amount (2 Phi(z) - 1), z a Gaussian random field of covariance
    exp(-(2 d / length)^2) and Phi the normal distribution: uniform on [1 - amount, 1 + amount], of mean one.

    Parameters
    ----------
    M0 : ndarray (L, P)
    rows, cols : int
    rng : numpy.random.Generator
    amount : float
        Largest departure of a factor from one, below 1.
    length : float, optional
        Distance in pixels beyond which factors are all but independent; a quarter of the longer side by default.

    Returns
    -------
    M_n : ndarray (P, L, rows * cols)

    References
    ----------
    The model of Drumetz et al., IEEE TIP 25(8), 2016; Imbiriba et al., ULTRA-V, 2020, data cube DC0. Neither gives the
    factors' range and smoothness: both are this function's own.
    """
    _check_amount(amount, 1)
    length = correlation_length(length, rows, cols)
    return _multiplied(M0, rows * cols, (
        1 + amount * (2 * ndtr(_smooth_field(rows, cols, length, rng)) - 1) for _ in M0.T))


def piecewise_linear(M0, N, rng, amount=0.25):
    """
    A factor over the bands of two line segments, drawn for each pixel and endmember by itself: m_pn = m0_p v_pn.

    With the bands counted 1..L, v breaks at floor(L/2 + floor(u L/3)), u uniform on [0, 1]; its values in the first
    band, at the break and in the last band are uniform on [1 - amount/2, 1 + amount/2]. Nothing is smooth in space.

    Parameters
    ----------
    M0 : ndarray (L, P)
    N : int
        Pixels.
    rng : numpy.random.Generator
    amount : float
        Width of the factors' range, below 2. The authors' demonstration has 0.1 in the upper half of its scene and
        0.25 in the lower one; what ULTRA-V and CUR-HU took is not told.

    Returns
    -------
    M_n : ndarray (P, L, N)

    References
    ----------
    Thouvenin, Dobigeon and Tourneret, IEEE TSP 64(2), 2016, as in its authors' demonstration. Used by Imbiriba et al.,
    ULTRA-V, 2020, data cube DC1, and Abdelgawad et al., CUR-HU, 2024, data set SD0.
    """
    _check_amount(amount, 2)
    return _multiplied(M0, N, (two_segments(len(M0), N, rng, amount) for _ in M0.T))


def two_segments(L, N, rng, amount):
    """Factors (L, N) of `piecewise_linear` for one endmember."""
    first, middle, last = rng.uniform(1 - amount / 2, 1 + amount / 2, (3, N))
    turn = np.floor(L / 2 + np.floor(rng.random(N) * L / 3)) - 1
    turn = np.clip(turn, 1, max(L - 2, 1))   # inside the bands, however few there are
    band = np.arange(L)[:, None]
    v = first + np.minimum(band / turn, 1) * (middle - first)
    v += np.maximum((band - turn) / np.maximum(L - 1 - turn, 1), 0) * (last - middle)
    return v


def smooth_bands(M0, rows, cols, rng, amount=0.1, length=20.0, band_length=80.0):
    """
    A factor per endmember, pixel and band, smooth over rows, columns and bands: M_n = M0 * Psi_n.

    Psi = 1 + amount z, z a Gaussian random field of mean 0, variance 1 and covariance
    exp(-(2 d / length)^2) exp(-(2 b / band_length)^2), for a distance of d pixels and b bands: that of white noise
    filtered by a Gaussian of standard deviation length/4 pixels and band_length/4 bands. Factors below 0.01 are set to
    that, so all are positive.

    Parameters
    ----------
    M0 : ndarray (L, P)
    rows, cols : int
    rng : numpy.random.Generator
    amount : float
        Standard deviation of the factors, below 1; above 0.3 a few are cut and their mean exceeds one.
    length, band_length : float
        Distances in pixels and in bands beyond which factors are all but independent.

    Returns
    -------
    M_n : ndarray (P, L, rows * cols)

    References
    ----------
    The model of Imbiriba, Borsoi and Bermudez, GLMM, ICASSP 2018; Abdelgawad et al., CUR-HU, 2024, data set SD1.
    Neither gives a recipe: the field's law and its default lengths are this function's own.
    """
    _check_amount(amount, 1)
    length = correlation_length(length, rows, cols)
    if not band_length > 0:
        raise ValueError(f"The correlation length over the bands is {band_length:g} bands: it must be positive.")
    bands = np.arange(len(M0))
    root = _root(np.exp(-(2 * (bands[:, None] - bands) / band_length) ** 2))

    def Psi():
        fields = np.empty((len(M0), rows * cols))
        for field in fields:
            field[:] = _smooth_field(rows, cols, length, rng)
        return np.maximum(1 + amount * (root @ fields), SMALLEST)

    return _multiplied(M0, rows * cols, (Psi() for _ in M0.T))


def viewing_geometry(M0, wavelengths_nm, N, rng, most_degrees=81.0):
    """
    Reflectance that was computed for a surface facing the sun, where it is tilted: m_pn = m0_p f_n, f_n(lambda) <= 1.

    f_n = (E_sun cos(theta_n) + E_sky) / (E_sun cos(theta_0) + E_sky) with theta_0 = 0, which depends on the ratio
    q = E_sky / E_sun only: divided by E_sun, f_n = (cos(theta_n) + q) / (1 + q). Blue bands, lit by the sky, change
    least. theta_n is uniform on [0, most_degrees], for each pixel by itself, and the same for all of its endmembers.

    q(lambda) is interpolated, logarithm over logarithm, between 400 and 2200 nm (`SKY_OVER_SUN`) and held beyond.

    Parameters
    ----------
    M0 : ndarray (L, P)
    wavelengths_nm : ndarray (L,)
        Nanometres.
    N : int
        Pixels.
    rng : numpy.random.Generator
    most_degrees : float
        Largest angle between the surface's normal and the sun, 0 to 90 degrees.

    Returns
    -------
    M_n : ndarray (P, L, N)
        Darker than `M0` or equal: their mean is not `M0`.

    References
    ----------
    Abdelgawad et al., CUR-HU, 2024, data set SD2; Borsoi et al., Spectral variability in hyperspectral data unmixing: a
    comprehensive review, IEEE GRSM 9(4), 2021: 0.9 * 90 degrees. Its denominator is loaded with 5e-5 where sun and sky
    both vanish, which a ratio does not need.
    """
    if not 0 <= most_degrees <= 90:
        raise ValueError(f"The largest angle to the sun is {most_degrees:g} degrees: it must be between 0 and 90.")
    q = sky_over_sun(wavelengths_nm)[:, None]
    cosine = np.cos(np.radians(rng.uniform(0, most_degrees, N)))
    f = (cosine + q) / (1 + q)
    return _multiplied(M0, N, (f for _ in M0.T))


def sky_over_sun(wavelengths_nm):
    """Diffuse over direct irradiance (L,) at wavelengths in nanometres (see `viewing_geometry`)."""
    wavelengths_nm = np.asarray(wavelengths_nm, dtype=np.float64)
    if not wavelengths_nm.min() >= 100:
        raise ValueError(f"The wavelengths begin at {wavelengths_nm.min():g}: give them in nanometres, from 100 up.")
    known, ratio = np.log(SKY_OVER_SUN).T
    return np.exp(np.interp(np.log(wavelengths_nm), known, ratio))


def hapke(M0, rows, cols, rng, steepest=30.0, sun_zenith=40.0, sun_azimuth=315.0, length=None, shading=True):
    """
    Endmembers on a random terrain, by Hapke's model for Lambertian grains, seen from above.

    `M0` is what a level pixel shows under this sun. The albedo omega behind it (`albedo`) is the same everywhere, and
    each pixel shows its reflectance factor (`reflectance`) for the angles of its slope to the sun and to the nadir.
    This factor is relative to a white target of the same tilt, as in data corrected for topography: a slope turned
    away from the sun looks brighter then, a dark material more than a bright one. With `shading` it is relative to a
    level white target, as in data that are not corrected: times mu0 over that of a level pixel, which darkens slopes
    turned away from the sun and is the larger effect.

    The terrain's height is a Gaussian random field of covariance exp(-(2 d / length)^2), stretched so that its steepest
    pixel has the slope `steepest`. With that below the sun's height no pixel lies in shadow, its own or another's.

    Parameters
    ----------
    M0 : ndarray (L, P)
        Reflectance, 0 to below 1.
    rows, cols : int
    rng : numpy.random.Generator
    steepest : float
        Largest slope, in degrees. 0 is level: every pixel has `M0`.
    sun_zenith, sun_azimuth : float
        Degrees from the zenith, and clockwise from the top of the scene.
    length : float, optional
        Distance in pixels beyond which heights are all but independent; a quarter of the longer side by default.
    shading : bool

    Returns
    -------
    M_n : ndarray (P, L, rows * cols)

    References
    ----------
    Hapke, Theory of Reflectance and Emittance Spectroscopy, 1993; Drumetz et al., IEEE TIP 25(8), 2016; Imbiriba et
    al., ULTRA-V, 2020, data cube DC2, whose terrain and angles are not public: those here are this function's own.
    """
    if not (M0.min() >= 0 and M0.max() < 1):
        raise ValueError(f"Hapke's model needs reflectance from 0 to below 1, and the endmembers run from "
                         f"{M0.min():.4g} to {M0.max():.4g}. Scale them to reflectance, or choose another variability.")
    if not (0 <= sun_zenith < 90 and 0 <= steepest < 90 - sun_zenith):
        raise ValueError(f"The steepest slope is {steepest:g} degrees and the sun stands {90 - sun_zenith:g} degrees "
                         f"high: a slope as steep as that or more lies in shadow. Choose a smaller one, from 0 up.")
    mu, mu0 = _cosines(*_slopes(rows, cols, steepest, correlation_length(length, rows, cols), rng),
                       np.radians(sun_zenith), np.radians(sun_azimuth))
    level = np.cos(np.radians(sun_zenith))
    omega = albedo(np.asarray(M0, dtype=np.float64), 1.0, level)
    light = mu0 / level if shading else 1.0
    M_n = _empty(M0, rows * cols)
    for m, w in zip(M_n, omega.T):
        m[:] = reflectance(w[:, None], mu, mu0) * light
    return M_n


def reflectance(omega, mu, mu0):
    """
    Hapke's reflectance factor of isotropic grains without opposition effect, relative to a white target.

    rho = omega / ((1 + 2 mu sqrt(1 - omega)) (1 + 2 mu0 sqrt(1 - omega))), with `omega` the albedo of single
    scattering, `mu` and `mu0` the cosines of the angles to the viewer and to the sun. Arrays that broadcast.
    """
    t = np.sqrt(1 - omega)
    return omega / ((1 + 2 * mu * t) * (1 + 2 * mu0 * t))


def albedo(r, mu, mu0):
    """The albedo of single scattering for which `reflectance` gives the factor `r`, 0 to 1: its inverse."""
    product, total = mu * mu0, (mu + mu0) * r
    t = (np.sqrt(total**2 + (1 + 4 * product * r) * (1 - r)) - total) / (1 + 4 * product * r)
    return 1 - t**2


def bundles(spectra, material, N, rng):
    """
    Each pixel draws one spectrum of each material at random, all equally likely.

    The reference that these vary about are the means of `bundle_means`.

    Parameters
    ----------
    spectra : ndarray (L, K)
        Spectra of all materials, one per column.
    material : sequence of K ints
        The material of each: 0..P-1, each at least once.
    N : int
        Pixels.
    rng : numpy.random.Generator

    Returns
    -------
    M_n : ndarray (P, L, N)

    References
    ----------
    Abdelgawad et al., CUR-HU, 2024, data set SD3, with pure pixels of five materials cut from a scene by hand.
    """
    members = _members(material)
    M_n = np.empty((len(members), len(spectra), N), dtype=spectra.dtype)
    for m, of_material in zip(M_n, members):
        np.take(spectra, rng.choice(of_material, N), axis=1, out=m)
    return M_n


def bundle_means(spectra, material):
    """Mean spectrum (L, P) of each material of a bundle (see `bundles`)."""
    return np.stack([spectra[:, of_material].mean(axis=1) for of_material in _members(material)], axis=1)


def _members(material):
    """The columns of each material 0..P-1, as arrays."""
    material = np.asarray(material)
    members = [np.flatnonzero(material == k) for k in range(material.max() + 1)]
    empty = [k for k, of_material in enumerate(members) if not len(of_material)]
    if empty or material.min() < 0:
        raise ValueError(f"The materials are numbered {material.min()} to {material.max()}"
                         f"{f', without {empty[0]}' if empty else ''}: number them from 0, without gaps.")
    return members


def _check_amount(amount, limit):
    if not 0 <= amount < limit:
        raise ValueError(f"The amount of variability is {amount:g}: for this model it must be at least 0 and below "
                         f"{limit}, so that every factor is positive.")


def _empty(M0, N):
    return np.empty((M0.shape[1], len(M0), N), dtype=np.result_type(M0, np.float32))


def _multiplied(M0, N, factors):
    """M_n (P, L, N): each endmember of M0 (L, P) times its factors, (N,) or (L, N), which are made one by one."""
    M_n = _empty(M0, N)
    for m, m0, factor in zip(M_n, M0.T, factors):
        np.multiply(m0[:, None], factor, out=m, casting="same_kind")
    return M_n


def _smooth_field(rows, cols, length, rng):
    """A field (rows * cols,) of variance 1 and covariance exp(-(2 d / length)^2), 1e-4 at most where it is cut off."""
    return random_field(rows, cols, 1.5 * length, lambda h: np.exp(-(3 * h) ** 2), rng).ravel()


def _root(C):
    """The symmetric square root of a covariance."""
    values, vectors = np.linalg.eigh(C)
    return vectors * np.sqrt(np.maximum(values, 0)) @ vectors.T


def _slopes(rows, cols, steepest, length, rng):
    """Rise to the right and downwards (N,) per pixel of a random terrain with the steepest slope in degrees."""
    height = _smooth_field(rows + 2, cols + 2, length, rng)   # a pixel more on each side for the differences
    height = height.reshape(rows + 2, cols + 2)
    right = (height[1:-1, 2:] - height[1:-1, :-2]).ravel()
    down = (height[2:, 1:-1] - height[:-2, 1:-1]).ravel()
    stretch = np.tan(np.radians(steepest)) / np.hypot(right, down).max()
    return stretch * right, stretch * down


def _cosines(right, down, zenith, azimuth):
    """Cosines (N,) of the angles between the terrain's normal and the nadir viewer, and the sun (radians)."""
    mu = 1 / np.sqrt(1 + right**2 + down**2)
    sun_right, sun_down = np.sin(zenith) * np.sin(azimuth), -np.sin(zenith) * np.cos(azimuth)
    return mu, mu * (np.cos(zenith) - right * sun_right - down * sun_down)
