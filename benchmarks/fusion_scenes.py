"""Pairs of images whose fused scene is known, and the fusion methods by name, for the benchmarks of fusion."""

from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec

import numpy as np
import rasterio
from harness import SCENES
from scipy.io import loadmat

from subpixel.algorithms.abundances.fcls import fcls
from subpixel.algorithms.endmembers.vca import vca
from subpixel.algorithms.fusion.degradation import Gaussian
from subpixel.algorithms.fusion.ll1 import map_rank
from subpixel.algorithms.fusion.pair import scales
from subpixel.algorithms.fusion.waldpair import wald_pair
from subpixel.algorithms.pixels import moments
from subpixel.algorithms.prepare.noise import regression_noise
from subpixel.engine.sensors import read_responses, response_matrix

LANDSAT = ((450, 520), (520, 600), (630, 690), (760, 900), (1550, 1750), (2050, 2350))   # nm
SENTINEL = ("B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B11", "B12")


def denoised(Z):
    """Each band of Z (K, I, J) replaced by what the others say of it (LL1, section V-B)."""
    Y = Z.reshape(len(Z), -1)
    return regression_noise(moments(Y)).denoise(Y).reshape(Z.shape)


def indian_pines(sigma=1.746, size=9, seed=0, normalise=True, denoise=True, boundary="circular", snr=30):
    """
    Indian Pines as in LL1, section V-D: 144 x 144 pixels, 200 bands, ratio 4, LANDSAT's six bands, 30 dB.

    Sampled at the appendix's phase: the first HSI pixel's centre lies at MSI pixel 1, counted from 0.

    Returns
    -------
    Pair, Z
        Both in the normalised scale.
    """
    from tensorly.datasets import load_indian_pines
    scene = load_indian_pines()
    wavelengths = np.array(scene["ticks"][1])
    Z = np.asarray(scene.tensor, dtype=np.float64)[:144, :144].transpose(2, 0, 1).copy()
    if normalise:
        Z /= scales(Z.reshape(len(Z), -1))[:, None, None]
    if denoise:
        Z = denoised(Z)
    inside = np.array([(wavelengths >= low) & (wavelengths <= high) for low, high in LANDSAT], dtype=np.float64)
    P3 = inside / inside.sum(axis=1, keepdims=True)
    return wald_pair(Z, P3, 4, Gaussian(sigma, size), 1, snr, seed, boundary), Z


def potsdam(seed=0, ratio=4, snr=30, materials=4, change=0.3, swap=True, denoise=True):
    """
    EnMAP Potsdam with an MSI of another date: what changed is known.

    The block (64 x 128 pixels, 218 bands) is the HSI's date. For the MSI's, the spectra of four materials (VCA, FCLS)
    are multiplied by smooth factors over wavelength in [1 - change, 1 + change], another for each, and in one field,
    the 12 x 16 pixels purest in one material, that material gives way to the one that the scene holds least alike.
    What the materials do not explain stays as it is. Sentinel-2A's ten land bands; Gaussian of the HSI pixel's width,
    mirrored ends, both images' corners aligned.

    Returns
    -------
    Pair, Z, variability
        All in the normalised scale; variability (K_M, I, J) is Psi x3 P3.
    """
    folder, rng = SCENES / "enmap_potsdam", np.random.default_rng(seed)
    with rasterio.open(folder / "enmap_potsdam_block_128x64.tif") as image:
        Z = image.read()
        tags = [image.tags(band) for band in image.indexes]
        good = (Z != image.nodata).all(axis=(1, 2)) & np.array([tag["bbl"] == "1" for tag in tags])
        wavelengths = np.array([float(tag["wavelength"]) for tag in tags])[good]
        Z = Z[good] / 1e4
    Z = np.maximum(denoised(Z), 0) if denoise else Z
    Y = Z.reshape(len(Z), -1)
    M = np.maximum(vca(Y, materials, rng, restarts=10).E, 0)
    A = fcls(Y, M).A
    x = (wavelengths - wavelengths.min()) / np.ptp(wavelengths)
    factors = np.stack([smooth_factor(x, change, rng) for _ in range(materials)], axis=1)
    A_M = swapped(A.reshape(materials, *Z.shape[1:]), M, 12, 16).reshape(A.shape) if swap else A
    Z_M = np.maximum(Y + (M * factors) @ A_M - M @ A, 0).reshape(Z.shape)
    responses = {one.name.split()[0]: one for one in read_responses(folder / "sentinel2a_msi_srf.geojson")}
    P3, _ = response_matrix([responses[name] for name in SENTINEL], wavelengths)
    pair, s_H, s_M = wald_pair(Z, P3, ratio, Gaussian.of_width(ratio), None, snr, seed, changed=Z_M).scaled()
    return pair, Z / s_H[:, None, None], np.tensordot(P3, Z_M - Z, 1) / s_M[:, None, None]


def paris(ratio=3, snr=None, seed=0):
    """
    Paris: a Hyperion-like HSI and an ALI MSI of two sensors on one grid of 72 x 72 pixels; the HSI is the answer.

    Only the HSI is degraded (a Gaussian of its pixel's width, mirrored ends, corners aligned); the MSI is as it was
    taken, with the response that HySure's authors estimated, so that no method can be exact. That response leads from
    the HSI to the MSI in pattern (r of 0.80 to 0.89) but not in level (slopes of 0.2 to 4): the MSI is brought to the
    HSI's units first, each band by a gain and an offset with which its mean and standard deviation, seen at the HSI's
    resolution, are those of the response to the HSI. Nothing of the answer goes into it but the HSI as degraded.

    Returns
    -------
    Pair, Z
        Both in the normalised scale.
    """
    images = loadmat(SCENES / "paris" / "paris_data_hs_ms.mat")
    P3 = loadmat(SCENES / "paris" / "R_HysureParis.mat")["R"]
    Z, msi = (np.ascontiguousarray(images[name].transpose(2, 0, 1)) for name in ("HSim", "MSim"))
    pair = wald_pair(Z, P3, ratio, Gaussian.of_width(ratio), None, snr, seed)
    wanted, seen = np.tensordot(P3, pair.hsi, 1), pair.degrade(msi)
    gain = wanted.std(axis=(1, 2)) / seen.std(axis=(1, 2))
    offset = wanted.mean(axis=(1, 2)) - gain * seen.mean(axis=(1, 2))
    pair, s_H, _ = replace(pair, msi=gain[:, None, None] * msi + offset[:, None, None]).scaled()
    return pair, Z / s_H[:, None, None]


def smooth_factor(x, change, rng):
    """A smooth function of x (n,) in 0..1 that spans [1 - change, 1 + change] in part: three slow cosines."""
    wave = sum(rng.uniform(-1, 1) * np.cos(np.pi * (order * x + rng.random())) for order in (0.5, 1, 2))
    return 1 + change * rng.uniform(0.6, 1) * wave / np.abs(wave).max()


def swapped(A, M, rows, cols):
    """Fractions A (P, I, J) with the purest field's material replaced by the one whose spectrum is farthest."""
    sums = np.pad(A.cumsum(axis=1).cumsum(axis=2), ((0, 0), (1, 0), (1, 0)))
    means = sums[:, rows:, cols:] - sums[:, :-rows, cols:] - sums[:, rows:, :-cols] + sums[:, :-rows, :-cols]
    material, top, left = np.unravel_index(means.argmax(), means.shape)
    other = np.linalg.norm(M - M[:, [material]], axis=0).argmax()
    field = (slice(top, top + rows), slice(left, left + cols))
    A = A.copy()
    A[(other, *field)] += A[(material, *field)]
    A[(material, *field)] = 0
    return A


NAMES = {"btdvar": "BTD-Var", "cnnbtdvar": "CNN-BTD-Var", "btdvar_prior": "BTD-Var with prior",
         "cnnbtdvar_prior": "CNN-BTD-Var with prior", "cnnbtd": "CNN-BTD", "stereo": "STEREO", "scott": "SCOTT",
         "ctstar": "CT-STAR", "cbstar": "CB-STAR", "cnmf": "CNMF", "fumi": "FUMI", "fuse": "FUSE", "hysure": "HySure",
         "glphs": "GLP-HS", "fuvar": "FuVar"}


def module(name):
    return f"subpixel.algorithms.fusion.{name.removesuffix('_prior')}"


def runner(name):
    """
    The method `name` as callable(pair, settings) -> Fused; `settings` are those of the scene, by method.

    BTD-Var and CNN-BTD-Var are the published methods, without the interpolated image; with prior they are ours, with
    its default weight, and where settings give no L for that name, with R of the method and L by `ll1.map_rank`.
    """
    def run(pair, settings):
        base = module(name).rpartition(".")[2]
        chosen = dict(settings.get(name, {}))
        if name in ("btdvar", "cnnbtdvar"):
            chosen.setdefault("prior", 0)
        elif name != base and "L" not in chosen:
            chosen.setdefault("R", settings[base]["R"])
            chosen["L"] = map_rank(pair, chosen["R"])
        return getattr(import_module(module(name)), base)(pair, **chosen)
    return run


def exists(name):
    return find_spec(module(name)) is not None


METHODS = {name: runner(name) for name in NAMES}
"""Methods that are not there yet raise ModuleNotFoundError; see `exists`."""
