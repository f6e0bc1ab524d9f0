"""A pair of images made from a scene that is known, after Wald's protocol."""

from dataclasses import replace

import numpy as np

from .degradation import centred
from .pair import Pair, both

BANDS = 16   # degraded at once


def sampled(size, ratio, phase=None):
    """
    The centres (n,) of coarse pixels on an axis of `size` fine ones, the first at `phase`, counted from 0.

    Without a phase, the first pixels' edges are aligned: (ratio - 1) / 2. With any phase there are as many.

    Raises
    ------
    ValueError
        A phase outside 0 .. ratio - 1, with which a pixel's centre would lie outside the image.
    """
    centres = centred(size, ratio)
    if phase is None:
        return centres
    if not 0 <= phase <= ratio - 1:
        raise ValueError(f"the first pixel's centre is at {phase:g}; it must lie between 0 and {ratio - 1:g} (the "
                         "ratio less 1)")
    return centres - centres[0] + phase if len(centres) else centres


def wald_pair(Z, P3, ratio, psf, phase=None, snr=None, seed=0, boundary="symmetric", changed=None):
    """
    What a coarse hyperspectral and a fine multispectral sensor would have seen of a scene.

    Y_H = Z x1 P1 x2 P2 + noise and Y_M = Z x3 P3 + noise (Wald's protocol; LL1, section V-B).

    Parameters
    ----------
    Z : ndarray (K, I, J)
        The scene: what a fusion of the pair should give.
    P3 : ndarray (K_M, K)
        Spectral response.
    ratio : float
        How many fine pixels a coarse one is wide, the same along both axes.
    psf : Gaussian or Box
    phase : float, optional
        See `sampled`. 1 with ratio 4 is LL1's appendix C.
    snr : float, optional
        Signal-to-noise ratio in dB of white noise added to both images, each against its own mean square over all
        bands; none is without noise.
    seed : int
        The HSI's noise is drawn first.
    boundary : {"symmetric", "circular"}
    changed : ndarray (K, I, J), optional
        The scene on the MSI's date, Z + Psi; by default it has not changed.

    Returns
    -------
    Pair

    Raises
    ------
    ValueError
        A scene smaller than a coarse pixel, or a phase outside it; what `degradation` and `Pair.of` refuse.
    """
    K, I, J = Z.shape
    rows, columns = sampled(I, ratio, phase), sampled(J, ratio, phase)
    if not (len(rows) and len(columns)):
        raise ValueError(f"the scene has {I} x {J} pixels, less than one pixel that is {ratio:g} times as large")
    seen = Z if changed is None else changed
    msi = np.stack([P3 @ seen[:, row].astype(np.float64) for row in range(I)], axis=1)
    pair = Pair.of(np.zeros((K, len(rows), len(columns))), msi, P3, rows, columns, psf, boundary)
    hsi = np.empty(pair.hsi.shape)
    for first in range(0, K, BANDS):
        part = slice(first, first + BANDS)
        hsi[part] = both(pair.P1, pair.P2, Z[part].astype(np.float64))
    if snr is not None:
        rng = np.random.default_rng(seed)
        hsi, msi = noisy(hsi, snr, rng), noisy(msi, snr, rng)
    return replace(pair, hsi=hsi, msi=msi)


def noisy(X, snr, rng):
    """X (n, rows, cols) with white noise whose variance is `snr` dB below the image's mean square."""
    return X + np.sqrt(np.mean(X ** 2) / 10 ** (snr / 10)) * rng.standard_normal(X.shape)


def untouched(pair, valid):
    """Which HSI pixels (I_H, J_H) see valid pixels (I, J) alone."""
    return both(pair.P1, pair.P2, (~valid)[None].astype(np.float64))[0] == 0
