"""How near a fused scene comes to the true one: the figures that papers on fusion report."""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import correlate1d

SSIM_WINDOW, SSIM_SIGMA = 11, 1.5   # Wang et al. 2004
K1, K2 = 0.01, 0.03
UIQI_WINDOW = 8                     # Wang and Bovik 2002; a widely used toolbox takes 32
COVERED = 0.5                       # of a window's weight that must lie on valid pixels
FLAT = 1e-13                        # of the mean square, below which a window's variance is rounding
PIXELS = 65536                      # compared at once for the angles


@dataclass(frozen=True)
class Band:
    """
    One band of a fused scene against the reference, over N valid pixels.

    Attributes
    ----------
    N : int
    energy, error : float
        Sums of the squared reference and of the squared differences.
    mean, mean_hat : float
        Of the reference and of the fused band.
    cc : float
        Pearson's correlation; NaN where one of them is constant.
    peak : float
        The reference's largest value.
    ssim, uiqi : float
        Means over the windows; NaN without any window.
    """

    N: int
    energy: float
    error: float
    mean: float
    mean_hat: float
    cc: float
    peak: float
    ssim: float
    uiqi: float

    @property
    def rmse(self):
        return float(np.sqrt(self.error / self.N))

    @property
    def rsnr(self):
        """10 log10(sum z^2 / sum (z - z_hat)^2) in dB."""
        return decibels(self.energy, self.error)

    @property
    def psnr(self):
        """10 log10(peak^2 / MSE) in dB, the peak being the reference's largest value in this band."""
        return decibels(self.peak ** 2 * self.N, self.error)


@dataclass(frozen=True)
class Quality:
    """
    A fused scene against the reference.

    Attributes
    ----------
    bands : list of Band
    sam : float
        Mean angle in degrees between the pixels' spectra.
    ratio : float
        How many fused pixels a pixel of the hyperspectral image is wide.
    """

    bands: list
    sam: float
    ratio: float

    @property
    def rsnr(self):
        """Reconstruction signal-to-noise ratio in dB, eq. 19."""
        return decibels(sum(band.energy for band in self.bands), sum(band.error for band in self.bands))

    @property
    def rmse(self):
        return float(np.sqrt(np.mean([band.error / band.N for band in self.bands])))

    @property
    def cc(self):
        """Correlation coefficient, the mean over the bands that vary. (Eq. 20 divides by I J K where K is meant.)"""
        return known_mean([band.cc for band in self.bands])

    @property
    def psnr(self):
        """Peak signal-to-noise ratio in dB, the mean over the bands."""
        return known_mean([band.psnr for band in self.bands])

    @property
    def ssim(self):
        return known_mean([band.ssim for band in self.bands])

    @property
    def uiqi(self):
        return known_mean([band.uiqi for band in self.bands])

    @property
    def ergas(self):
        return self.ergas_by("reference")

    def ergas_by(self, mean="reference"):
        """
        Relative dimensionless global error, 100 / ratio sqrt(mean over bands of MSE_k / mu_k^2); 0 is perfect.

        Parameters
        ----------
        mean : {"reference", "estimate"}
            Whose band means mu_k divide the errors: the reference's, as Wald defined it and the authors of LL1
            computed it, or the fused scene's, as their eq. 21 prints it. Bands of mean 0 are left out.
        """
        if mean not in ("reference", "estimate"):
            raise ValueError(f"mean is {mean!r}; it must be 'reference' or 'estimate'")
        mu = np.array([band.mean if mean == "reference" else band.mean_hat for band in self.bands])
        mse = np.array([band.error / band.N for band in self.bands])
        return 100 / self.ratio * float(np.sqrt(known_mean(mse[mu != 0] / mu[mu != 0] ** 2)))


def quality(Z, Z_hat, ratio, valid=None, window=UIQI_WINDOW):
    """
    Compare a fused scene with the reference, one band after the other.

    Parameters
    ----------
    Z, Z_hat : ndarray (K, I, J)
        Reference and fused scene.
    ratio : float
        How many fused pixels a pixel of the hyperspectral image is wide; only ERGAS uses it.
    valid : ndarray (I, J) of bool, optional
        False for masked pixels.
    window : int
        Side of the windows of UIQI.

    Returns
    -------
    Quality

    Raises
    ------
    ValueError
        Different shapes, or no valid pixel.

    References
    ----------
    Prevost et al., Hyperspectral super-resolution accounting for spectral variability, 2021, eq. 19-21 (the tables'
    SAD is the mean angle of the pixels, not eq. 22). SSIM: Wang, Bovik, Sheikh and Simoncelli, IEEE TIP 13(4), 2004.
    UIQI: Wang and Bovik, IEEE Signal Processing Letters 9(3), 2002. ERGAS: Wald, Fusion of Images and Spatial
    Structures, 2000.
    """
    if Z.shape != Z_hat.shape:
        raise ValueError(f"the reference has the shape {Z.shape}, the fused scene {Z_hat.shape}: they must be alike")
    bands = [compare_band(z, z_hat, valid, window) for z, z_hat in zip(Z, Z_hat)]
    pixels = None if valid is None else np.flatnonzero(valid)
    angle = angles(Z.reshape(len(Z), -1), Z_hat.reshape(len(Z), -1), pixels)
    return Quality(bands, known_mean(angle), ratio)


def compare_band(z, z_hat, valid=None, window=UIQI_WINDOW):
    """
    One band `z_hat` (I, J) against the reference `z`; see `quality`.

    SSIM: Gaussian windows of 11 pixels and sigma 1.5, K1 = 0.01, K2 = 0.03, L = the reference's largest value less
    its smallest. Windows that stick out of the image are left out, as in both papers; so are those with less than half
    of their weight on valid pixels, and of the others the masked pixels count nothing. In an image smaller than a
    window, the window is as large as the image.
    """
    valid = np.ones(z.shape, bool) if valid is None else valid
    if not valid.any():
        raise ValueError("there is no valid pixel to compare")
    x, y = z[valid].astype(np.float64), z_hat[valid].astype(np.float64)
    dx, dy = x - x.mean(), y - y.mean()
    spread = np.sqrt(np.sum(dx ** 2) * np.sum(dy ** 2))
    flat = not (np.ptp(x) > 0 and np.ptp(y) > 0)
    side = min(z.shape)
    gaussian = np.exp(-0.5 * ((np.arange(min(SSIM_WINDOW, side)) - (min(SSIM_WINDOW, side) - 1) / 2) / SSIM_SIGMA) ** 2)
    return Band(x.size, float(np.sum(x ** 2)), float(np.sum((x - y) ** 2)), float(x.mean()), float(y.mean()),
                np.nan if flat else float(np.sum(dx * dy) / spread), float(x.max()),
                ssim(Windows(z, z_hat, valid, gaussian), float(np.ptp(x))),
                uiqi(Windows(z, z_hat, valid, np.ones(min(window, side)))))


def angles(Y, Y_hat, pixels=None):
    """Angle in degrees (N,) between the pixels Y and Y_hat (K, N), or some of them; NaN where a spectrum is zero."""
    found = np.empty(Y.shape[1] if pixels is None else len(pixels))
    for first in range(0, len(found), PIXELS):
        part = slice(first, first + PIXELS)
        taken = part if pixels is None else pixels[part]
        u, v = unit(Y[:, taken]), unit(Y_hat[:, taken])
        # exact near 0, where the arccosine loses half of the digits
        found[part] = np.degrees(2 * np.arctan2(np.linalg.norm(u - v, axis=0), np.linalg.norm(u + v, axis=0)))
    return found


class Windows:
    """Weighted means, variances and covariance of two images (I, J) in every window, over its valid pixels."""

    def __init__(self, z, z_hat, valid, weights):
        self._weights = weights / weights.sum()
        share = self._mean(valid.astype(np.float64))
        self.used = share > COVERED if not valid.all() else np.ones(share.shape, bool)
        self._share = np.where(self.used, share, 1)
        self._valid = valid
        shift = float(z[valid].mean(dtype=np.float64))   # spares the variances digits
        x, y = (np.where(valid, image, shift).astype(np.float64) - shift for image in (z, z_hat))
        mx, my = self._of(x), self._of(y)
        self.mx, self.my = mx + shift, my + shift
        self.vx, self.vy = (self._variance(image, mean) for image, mean in ((x, mx), (y, my)))
        self.vxy = self._of(x * y) - mx * my
        self.vxy[(self.vx == 0) | (self.vy == 0)] = 0

    def _variance(self, image, mean):
        square = self._of(image ** 2)
        variance = square - mean ** 2
        return np.where(variance > FLAT * square, variance, 0)

    def _of(self, image):
        return self._mean(image * self._valid) / self._share

    def _mean(self, image):
        """Weighted sums over the windows that lie inside the image."""
        n = len(self._weights)
        for axis in (0, 1):
            inside = slice(n // 2, image.shape[axis] - n + n // 2 + 1)
            image = correlate1d(image, self._weights, axis=axis, mode="constant")[
                (inside, slice(None)) if axis == 0 else (slice(None), inside)]
        return image

    def average(self, values):
        return float(values[self.used].mean()) if self.used.any() else np.nan


def ssim(windows, span):
    """Mean structural similarity, 1 for identical images; `span` is the data range (Wang et al. 2004, eq. 13)."""
    c1, c2 = (K1 * span) ** 2, (K2 * span) ** 2
    above = (2 * windows.mx * windows.my + c1) * (2 * windows.vxy + c2)
    below = (windows.mx ** 2 + windows.my ** 2 + c1) * (windows.vx + windows.vy + c2)
    return windows.average(np.divide(above, below, out=np.ones_like(below), where=below > 0))


def uiqi(windows):
    """
    Mean universal image quality index, 1 for identical images (Wang and Bovik 2002, eq. 2).

    Where both images are flat in a window only their means are compared, as in the authors' program; it is 1 where
    these are zero too.
    """
    means, variances = windows.mx ** 2 + windows.my ** 2, windows.vx + windows.vy
    bright = np.divide(2 * windows.mx * windows.my, means, out=np.ones_like(means), where=means > 0)
    alike = np.divide(2 * windows.vxy, variances, out=np.ones_like(variances), where=variances > 0)
    return windows.average(bright * alike)


def unit(Y):
    Y = np.asarray(Y, dtype=np.float64)
    norm = np.linalg.norm(Y, axis=0)
    return Y / np.where(norm > 0, norm, np.nan)


def decibels(signal, noise):
    """10 log10(signal / noise); infinite without noise, NaN without both."""
    if noise > 0:
        return float(10 * np.log10(signal / noise)) if signal > 0 else -np.inf
    return np.inf if signal > 0 else np.nan


def known_mean(values):
    """The mean of the values that are not NaN, or NaN."""
    values = np.asarray(values, dtype=np.float64)
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else np.nan
