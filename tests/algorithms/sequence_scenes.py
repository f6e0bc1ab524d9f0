"""The paper's two data sequences, made of library and of real spectra: for tests and, as a module, for benchmarks."""

from functools import lru_cache
from pathlib import Path

import numpy as np
from scipy.io import loadmat
from scipy.ndimage import distance_transform_edt, gaussian_filter

from subpixel.algorithms.simulate.scene import add_noise, prune_library
from subpixel.algorithms.simulate.sequence import SimulatedSequence, ds1, ds2
from subpixel.algorithms.variability.pixel_endmembers import mixtures

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
PURE = 0.98      # of Jasper Ridge's reference abundances, from which a pixel counts as pure


@lru_cache
def usgs():
    """The USGS library's complete spectra (224, K)."""
    library = loadmat(DATA / "libraries" / "USGS_1995_Library.mat")["datalib"][:, 3:]
    return library[:, (np.isfinite(library) & (library > 0) & (library < 1.2)).all(axis=0)]


@lru_cache
def jasper():
    """Pure pixels of Jasper Ridge: spectra (198, K) and their materials (tree, water, soil, road) as numbers."""
    pixels = loadmat(DATA / "jasper_ridge" / "jasperRidge2_R198.mat")["Y"] / 5000.0
    A = loadmat(DATA / "jasper_ridge" / "end4.mat")["A"]
    members = [np.flatnonzero(a >= PURE) for a in A]
    return pixels[:, np.concatenate(members)], np.repeat(np.arange(len(A)), [len(member) for member in members])


def data_sequence_1(seed, rows=50, cols=50):
    """DS1: three USGS spectra at least 15 degrees apart, six dates."""
    rng = np.random.default_rng(seed)
    library = usgs()[:, rng.permutation(usgs().shape[1])]
    M0 = library[:, prune_library(library, np.radians(15))[:3]]
    return M0, ds1(M0, rows, cols, rng)


def data_sequence_2(seed, rows=50, cols=50):
    """DS2: pure pixels of Jasper Ridge, fifteen dates."""
    return ds2(*jasper(), rows, cols, np.random.default_rng(seed))


BETWEEN = 48                                     # the row between the two crop circles
SHORE = (0, 3, 6, 10, 14, 18)                    # pixels by which the lake has withdrawn at each date
FIELDS = ((0.1, 0.4, 0.8, 1.0, 0.6, 0.2),        # how green each of the two crop circles is at each date, of its most
          (0.0, 0.1, 0.3, 0.6, 0.9, 1.0))


def tahoe(seed):
    """
    A semi-real Lake Tahoe: six dates of 150 x 110 pixels and 173 bands; the lake dries, two fields grow and are cut.

    Abundances (water, soil, vegetation) are the data's own map, changed with time; spectra are mixtures of the data's
    bundles of six, about weights that each date draws anew, and differ from pixel to pixel. 30 dB.
    """
    rng = np.random.default_rng(seed)
    data = loadmat(DATA / "lake_tahoe" / "data_Tahoe_abundances.mat")
    base = np.clip(data["A_VCA"], 0, 1)
    base /= base.sum(axis=2, keepdims=True)
    rows, cols, P = base.shape
    water, _, green = base.transpose(2, 0, 1)
    depth = distance_transform_edt(water > 0.5)
    circles = np.where(gaussian_filter(green, 2) > 0.5, np.where(np.arange(rows)[:, None] < BETWEEN, 1, 2), 0)
    A = []
    for shore, *ripeness in zip(SHORE, *FIELDS):
        wet = water * np.clip((depth - shore) / 2, 0, 1) if shore else water
        grown = green.copy()
        for circle, share in enumerate(ripeness, 1):
            grown[circles == circle] *= share
        A.append(np.stack([wet, np.maximum(1 - wet - grown, 0), grown]).reshape(P, -1))
    bundles = [np.maximum(spectra, 1e-3) for spectra in data["Lib"].ravel()]
    M = np.empty((len(A), P, len(bundles[0]), rows * cols), dtype=np.float32)
    for M_t in M:
        for m, spectra in zip(M_t, bundles):
            usual = rng.dirichlet(np.ones(spectra.shape[1]))
            m[:] = spectra @ rng.dirichlet(10 * usual + 0.05, rows * cols).T
    Y = np.stack([add_noise(mixtures(M_t, A_t), 30.0, rng) for M_t, A_t in zip(M, A)]).astype(np.float32)
    return SimulatedSequence(Y, np.stack(A), M)
