"""Spectral response and blur of a pair of images, estimated from the pair itself."""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.optimize import least_squares

from ..abundances.active_set import minimise
from .degradation import Gaussian, degradation
from .pair import both

SMOOTHING = 2.0      # HSI pixels: sigma of the Gaussian under which the unknown blur no longer matters
ROUGHNESS = 1e-4     # of the mean energy of a band: weight of differences between neighbouring bands
MARGIN = 2           # HSI pixels at the border that are not used
GAP = 2.0            # usual steps between wavelengths from which two bands are no neighbours
START_WIDTH = 1.0    # HSI pixels, full width at half maximum
NARROWEST, WIDEST = 0.15, 6.0   # and between which widths it is looked for
FARTHEST = 2.0       # HSI pixels of shift that are looked at, either way
STEPS = np.array([2e-3, 2e-3, 0.02, 0.02])   # for differences by the logarithms of the widths, and by MSI pixels
ENOUGH = 50          # HSI pixels to estimate a blur from, at least


@dataclass(frozen=True)
class Blur:
    """
    A Gaussian point spread function and where the HSI's pixels lie.

    Attributes
    ----------
    width : (float, float)
        Full widths at half maximum along rows and columns of the image (down, across), in HSI pixels.
    shift : (float, float)
        MSI pixels, down and across, by which the HSI's pixels lie further than their georeference says.
    misfit : float
        Root mean square of what is left, relative to that of the HSI in the MSI's bands.
    at_bound : bool
        Whether a width or a shift ended where the search ends: it may be larger, and means little.
    """

    width: tuple
    shift: tuple
    misfit: float
    at_bound: bool = False


def estimate_response(hsi, msi, rows, columns, wavelengths=None, roughness=ROUGHNESS, usable=None):
    """
    The MSI's bands as smooth combinations of the HSI's that are not negative.

    Per MSI band k: min over r >= 0  ||Y_B' r - y_k||^2 + w ||D r||^2, where both images are blurred so strongly that
    the unknown point spread function does not matter: the HSI (Y_B) by a Gaussian of two of its pixels, the MSI (y_k)
    by the same on the ground, sampled at the HSI's pixels. D takes differences between neighbouring bands, none across
    gaps.

    Parameters
    ----------
    hsi, msi : ndarray (K, I_H, J_H), (K_M, I, J)
        Finite, in the same units.
    rows, columns : ndarray (I_H,), (J_H,)
        Centres of the HSI's pixels on the MSI's grid.
    wavelengths : ndarray (K,), optional
        Which bands are neighbours; without, bands in their order.
    roughness : float
        w relative to the mean energy of a blurred HSI band.
    usable : ndarray (I_H, J_H) of bool, optional
        HSI pixels to go by; by default all. Those at the border never are.

    Returns
    -------
    ndarray (K_M, K)
        Rows do not sum to one where the images differ in brightness.

    Raises
    ------
    ValueError
        No usable pixel inside the border, or only zeros there.

    References
    ----------
    Simoes et al., A convex formulation for hyperspectral image superresolution via subspace-based regularization
    (HySure), IEEE TGRS 53(6), 2015, section III-D. Departures: a Gaussian in place of a box, the weight is relative to
    the data, and r is not negative, as responses are.
    """
    inner = interior(hsi.shape[1:], usable)
    if not np.any(hsi[:, inner]):
        raise ValueError(f"No pixel of the HSI with values other than zero, {MARGIN} or more from its border, can be "
                         "compared with the MSI: choose images that overlap farther.")
    step = ratios(rows, columns)
    Y = np.stack([gaussian_filter(band, SMOOTHING, mode="reflect") for band in hsi])
    smooth = [Gaussian(SMOOTHING * size, 2 * np.ceil(4 * SMOOTHING * size) + 1) for size in step]
    y = both(degradation(msi.shape[1], rows, smooth[0]), degradation(msi.shape[2], columns, smooth[1]), msi)
    Y, y = Y[:, inner], y[:, inner]
    G = Y @ Y.T
    D = differences(len(hsi), wavelengths)
    G = G + roughness * np.trace(G) / len(G) * (D.T @ D) + 1e-12 * np.trace(G) / len(G) * np.eye(len(G))
    return minimise(G, Y @ y.T, sum_to_one=False).T


def estimate_blur(hsi, msi, response, rows, columns, usable=None):
    """
    Width and place of a separable Gaussian that leads from the MSI to the HSI in the MSI's bands.

    min over widths s1, s2 and shifts t1, t2  ||P3 Y_H - P1(s1, t1) Y_M P2(s2, t2)'||^2, each band scaled and offset to
    fit, over interior pixels. HySure estimates a free mask; a Gaussian has four numbers, exists for any ratio and
    phase, and is what the fusion methods here take. `usable` as in `estimate_response`.

    Returns
    -------
    Blur

    Raises
    ------
    ValueError
        Fewer than ENOUGH usable pixels inside the border.
    """
    inner = interior(hsi.shape[1:], usable)
    if inner.sum() < ENOUGH:
        raise ValueError(f"Only {int(inner.sum())} pixels of the HSI can be compared with the MSI; at least {ENOUGH} "
                         "are needed: choose images that overlap farther.")
    step = ratios(rows, columns)
    target = _standard(np.tensordot(response, hsi, 1)[:, inner])

    def residual(x):
        P = [degradation(size, centres + shift, Gaussian.of_width(np.exp(width) * ratio)) for size, centres, shift,
             width, ratio in zip(msi.shape[1:], (rows, columns), x[2:], x[:2], step)]
        seen = _standard(both(*P, msi)[:, inner])
        return (seen * np.sum(seen * target, axis=1, keepdims=True) - target).ravel()

    def slopes(x):
        return np.stack([(residual(x + move) - residual(x - move)) / (2 * size)
                         for size, move in zip(STEPS, np.diag(STEPS))], axis=1)

    start = np.r_[np.log([START_WIDTH] * 2), 0, 0]
    reach = FARTHEST * np.array(step)
    low, high = np.r_[np.log([NARROWEST] * 2), -reach], np.r_[np.log([WIDEST] * 2), reach]
    found = least_squares(residual, start, slopes, bounds=(low, high), x_scale=np.r_[0.3, 0.3, 0.15 * reach])
    width, shift = np.exp(found.x[:2]), found.x[2:]
    at_bound = bool(np.any(np.minimum(found.x - low, high - found.x) < 0.02 * (high - low)))
    return Blur(tuple(map(float, width)), tuple(map(float, shift)), float(np.sqrt(2 * found.cost / len(msi))), at_bound)


def ratios(rows, columns):
    """MSI pixels per HSI pixel, down and across."""
    return tuple((centres[-1] - centres[0]) / (len(centres) - 1) for centres in (rows, columns))


def interior(shape, usable=None):
    """Which pixels of an image are usable and not in its margin, (rows, cols) of bool."""
    inner = np.zeros(shape, dtype=bool)
    inner[MARGIN:-MARGIN, MARGIN:-MARGIN] = True
    return inner if usable is None else inner & usable


def differences(K, wavelengths=None):
    """The matrix of differences between bands that are neighbours, (n, K)."""
    order = np.arange(K) if wavelengths is None else np.argsort(wavelengths, kind="stable")
    steps = np.ones(K - 1) if wavelengths is None else np.diff(np.asarray(wavelengths)[order])
    near = steps <= GAP * np.median(steps)
    D = np.zeros((int(near.sum()), K))
    D[np.arange(len(D)), order[1:][near]] = 1
    D[np.arange(len(D)), order[:-1][near]] = -1
    return D


def _standard(values):
    """Each band without its mean, of length one."""
    values = values - values.mean(axis=1, keepdims=True)
    return values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-300)
