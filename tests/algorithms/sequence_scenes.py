"""The paper's two data sequences, made of library and of real spectra: for tests and, as a module, for benchmarks."""

from functools import lru_cache
from pathlib import Path

import numpy as np
from scipy.io import loadmat

from subpixel.algorithms.simulate.scene import prune_library
from subpixel.algorithms.simulate.sequence import ds1, ds2

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
