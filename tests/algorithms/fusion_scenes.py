"""Small pairs of images whose fused scene is known."""

import numpy as np

from subpixel.algorithms.fusion.degradation import Gaussian, centred
from subpixel.algorithms.fusion.pair import Pair


def response(K_M, K):
    """Neighbouring bands averaged, (K_M, K), rows summing to one."""
    P3 = np.zeros((K_M, K))
    for row, bands in enumerate(np.array_split(np.arange(K), K_M)):
        P3[row, bands] = 1 / len(bands)
    return P3


def observe(Z, ratio=4, K_M=4, psf=None, boundary="symmetric", noise=0.0, change=0.0, seed=0, phase=None):
    """The pair that a scene Z (K, I, J) gives; `change` is added to it for the MSI. Relative `noise`."""
    K, I, J = Z.shape
    rows, columns = centred(I, ratio), centred(J, ratio)
    if phase is not None:
        rows, columns = rows - rows[0] + phase, columns - columns[0] + phase
    P3 = response(K_M, K)
    pair = Pair.of(np.zeros((K, len(rows), len(columns))), np.zeros((K_M, I, J)), P3, rows, columns,
                   psf or Gaussian(ratio / 2.3548, 2 * ratio + 1), boundary)
    rng = np.random.default_rng(seed)
    hsi, msi = pair.degrade(Z), np.tensordot(P3, Z + change, 1)

    def noisy(X):
        return X + noise * np.sqrt(np.mean(X ** 2)) * rng.standard_normal(X.shape)

    return Pair(noisy(hsi), noisy(msi), pair.P1, pair.P2, P3, pair.U1, pair.U2)


def smooth_spectra(K, R, seed=0):
    """Smooth positive spectra (K, R)."""
    rng = np.random.default_rng(seed)
    x = np.linspace(0, 1, K)[:, None]
    return 0.5 + 0.3 * np.sin(2 * np.pi * (x * rng.uniform(0.5, 2, R) + rng.random(R))) + 0.1 * x * rng.random(R)


def natural(K=24, I=32, J=40, R=4, seed=0):
    """A scene of smooth and sharp patches of R materials: Z (K, I, J), spectra (K, R), abundances (R, I, J)."""
    rng = np.random.default_rng(seed)
    rows, cols = np.mgrid[:I, :J]
    fields = np.stack([sum(np.sin(rows * a + b) * np.cos(cols * c + d) for a, b, c, d in rng.uniform(0.05, 0.5, (4, 4))
                           * [1, 20, 1, 20]) for _ in range(R)])
    A = np.exp(3 * fields)
    A /= A.sum(axis=0)
    C = smooth_spectra(K, R, seed)
    return np.tensordot(C, A, 1), C, A


def snr(Z, Z_hat):
    """Reconstruction signal-to-noise ratio in dB (LL1, eq. 19)."""
    return 10 * np.log10(np.sum(Z ** 2) / np.sum((Z - Z_hat) ** 2))


def relative(Z, Z_hat):
    return np.linalg.norm(Z - Z_hat) / np.linalg.norm(Z)
