"""Scenes with spectral variability, methods that unmix them, and their errors: for ULTRA-V's and CUR-HU's tables."""

import itertools
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cache, partial

import numpy as np
from harness import SCENES
from scipy.io import loadmat
from threadpoolctl import threadpool_limits

from subpixel.algorithms.abundances.fcls import fcls
from subpixel.algorithms.abundances.scls import scls
from subpixel.algorithms.blind.curhu import curhu
from subpixel.algorithms.check.metrics import match
from subpixel.algorithms.endmembers.vca import vca
from subpixel.algorithms.simulate import variability
from subpixel.algorithms.variability.deepgun import deepgun
from subpixel.algorithms.variability.elmm import elmm
from subpixel.algorithms.variability.glmm import glmm
from subpixel.algorithms.variability.plmm import plmm
from subpixel.algorithms.variability.ultra import ultra
from subpixel.algorithms.variability.ultrav import ultrav
from subpixel.engine import envi_library

SNR, MINERAL_BANDS, RESTARTS = 30, 16, 10
SURFACES = "Lawn_Grass GDS91 (Green)", "Kaolinite KGa-1 (wxyl)", "Nontronite GDS41"
MINERALS = "Olivine GDS70.a GSB 165um", "Augite WS592", "Hypersthene PYX02.h >250u"
URBAN = {"tree": ["tree"], "asphalt": ["asphalt"], "white roof": ["white roof"], "soil": ["bare soil", "sand"],
         "tile": ["tile"]}


@dataclass(frozen=True)
class Cube:
    """A scene, its truth, and the reference endmembers that VCA finds in it, in the truth's order."""

    Y: np.ndarray      # (L, N)
    A: np.ndarray      # (P, N)
    M: np.ndarray      # (P, L, N)
    shape: tuple
    reference: np.ndarray   # (L, P)


@cache
def usgs(names):
    """Spectra of the USGS library (224, P) by their names, and their wavelengths in nm."""
    file = loadmat(SCENES / "libraries" / "USGS_1995_Library.mat")
    known = ["".join(map(chr, row)).strip() for row in file["names"]]
    return file["datalib"][:, [known.index(name) for name in names]], file["datalib"][:, 0] * 1000


@cache
def urban():
    """Bundles of five materials of the Berlin library: spectra (L, K) as reflectance, and each one's material (K,)."""
    library = envi_library.read(SCENES / "libraries" / "library_berlin.sli")
    groups = [next((material for material, words in URBAN.items() if any(word in name for word in words)), None)
              for name in library.names]
    kept = [number for number, group in enumerate(groups) if group]
    return library.M[:, kept] / 10000, np.array([list(URBAN).index(groups[number]) for number in kept])


def cube(name, seed):
    """One of DC0, DC1, DC2 (ULTRA-V) and SD0 to SD3 (CUR-HU, SD0 being DC1), as described in the docstring of each."""
    rng = np.random.default_rng([seed, sum(map(ord, name))])
    side, fields = 50, dict(model="fields", pure_pixels=True)
    M0, wavelengths = usgs(SURFACES)
    if name == "DC0":
        vary = partial(variability.scaling, M0, side, side)
    elif name in ("DC1", "SD0"):
        side, fields = 70, dict(model="bumps")
        vary = partial(variability.piecewise_linear, M0, side * side)
    elif name == "DC2":
        M0 = usgs(MINERALS)[0].reshape(MINERAL_BANDS, -1, len(MINERALS)).mean(axis=1)
        vary = partial(variability.hapke, M0, side, side)
    elif name == "SD1":
        vary = partial(variability.smooth_bands, M0, side, side)
    elif name == "SD2":
        vary = partial(variability.viewing_geometry, M0, wavelengths, side * side)
    elif name == "SD3":
        spectra, material = urban()
        M0, vary = variability.bundle_means(spectra, material), partial(variability.bundles, spectra, material, side**2)
    Y, A, M = variability.simulate_varying(M0, side, side, rng, lambda rng: vary(rng=rng), SNR, **fields)
    found = np.maximum(vca(Y, len(A), np.random.default_rng(seed), restarts=RESTARTS).E, 1e-4)
    return Cube(Y.astype(np.float32), A, M, (side, side), found[:, match(M.mean(axis=2).T, found)])


def grid(**ranges):
    """Every combination of the values, as dictionaries."""
    return [dict(zip(ranges, values)) for values in itertools.product(*ranges.values())]


@dataclass(frozen=True)
class Fit:
    """What a method gives, as tables measure it."""

    A: np.ndarray
    M: np.ndarray     # (P, L, N), or None where endmembers are fixed
    R: np.ndarray     # reconstruction (L, N)


def by_fcls(Y, reference, shape):
    A = fcls(Y, reference).A
    return Fit(A, None, reference @ A)


def by_scls(Y, reference, shape):
    found = scls(Y, reference)
    A = np.where(np.isfinite(found.A), found.A, 1 / len(found.A))
    return Fit(A, reference.T[:, :, None] * found.psi, reference @ (A * found.psi))


def by_curhu(Y, reference, shape):
    """
    CUR-HU finds endmembers of its own: brought to the reference's order by their angles.

    The abundances are those with both constraints, the reconstruction is C U R itself, as in the paper's Table 8.
    """
    found = curhu(Y, reference.shape[1], constraints="anc+asc")
    order = match(reference, found.C)
    A = np.nan_to_num(found.abundances(Y)[order], nan=1 / len(order))
    return Fit(A, None, found.C @ replace(found, constraints="none").abundances(Y))


def by(method, Y, reference, shape, **weights):
    found = method(Y, reference, shape, **weights)
    everything = slice(0, Y.shape[1])
    return Fit(found.A, found.endmembers(everything), found.reconstruction(everything))


def by_fixed(method, Y, reference, shape, **weights):
    found = method(Y, reference, shape, **weights)
    return Fit(found.A, None, reference @ found.A)


METHODS = {"FCLS": by_fcls, "SCLS": by_scls, "PLMM": partial(by, plmm), "ELMM": partial(by, elmm),
           "GLMM": partial(by, glmm), "ULTRA-V": partial(by, ultrav), "ULTRA": partial(by_fixed, ultra),
           "DeepGUn": partial(by, deepgun), "CUR-HU": by_curhu}


def seconds(run):
    """What `run()` gives, and its time."""
    start = time.perf_counter()
    answer = run()
    return answer, time.perf_counter() - start


def mse(X, X_hat):
    """Eq. 25 of ULTRA-V: per element."""
    return float(np.mean(np.square(np.asarray(X, dtype=np.float64) - X_hat)))


def curhu_errors(cube, fit):
    """NRMSE of A and Y."""
    return {"NRMSE_A": nrmse(cube.A, fit.A), "NRMSE_Y": nrmse(cube.Y, fit.R)}


def nrmse(X, X_hat):
    """Eq. 25 of CUR-HU."""
    return float(np.linalg.norm(np.asarray(X, dtype=np.float64) - X_hat) / np.linalg.norm(X))


def angle(X, X_hat, axis):
    """Angles (degrees) between vectors along `axis`."""
    X, X_hat = np.asarray(X, dtype=np.float64), np.asarray(X_hat, dtype=np.float64)
    size = np.linalg.norm(X, axis=axis) * np.linalg.norm(X_hat, axis=axis)
    cosine = (X * X_hat).sum(axis=axis) / np.where(size > 0, size, np.nan)
    return np.degrees(np.arccos(np.clip(cosine, -1, 1)))


def ultrav_errors(cube, fit):
    """MSE of A, M and R, SAM of M (summed over the materials, eq. 27) and R (eq. 26)."""
    return {"MSE_A": mse(cube.A, fit.A), "MSE_M": None if fit.M is None else mse(cube.M, fit.M),
            "SAM_M": None if fit.M is None else float(np.nanmean(angle(cube.M, fit.M, 1).sum(axis=0))),
            "MSE_R": mse(cube.Y, fit.R), "SAM_R": float(np.nanmean(angle(cube.Y, fit.R, 0)))}


def search(scene, seed, methods):
    """
    For every method the setting of least abundance error on one realisation, and every setting's error.

    `methods` are the settings of each by its name. The settings share the cores; nothing here is timed.
    """
    data = cube(scene, seed)
    jobs = [(method, setting) for method, settings in methods.items() for setting in settings]
    with ProcessPoolExecutor(initializer=threadpool_limits, initargs=(1,)) as pool:
        found = list(pool.map(partial(_abundance_error, data), *zip(*jobs), chunksize=4))
    errors = {method: [error for (name, _), error in zip(jobs, found) if name == method] for method in methods}
    return {method: (settings[int(np.argmin(errors[method]))], errors[method]) for method, settings in methods.items()}


def _abundance_error(data, method, setting):
    return mse(data.A, METHODS[method](data.Y, data.reference, data.shape, **setting).A)


def measure(scene, seeds, method, setting, errors):
    """Means and standard errors over the realisations of what `errors(cube, fit)` gives, and of the time."""
    runs = []
    for seed in seeds:
        data = cube(scene, seed)
        fit, time = seconds(lambda: METHODS[method](data.Y, data.reference, data.shape, **setting))
        runs.append(errors(data, fit) | {"time": time})
    return {key: None if runs[0][key] is None else Mean.of([run[key] for run in runs]) for key in runs[0]}


@dataclass(frozen=True)
class Mean:
    """A mean and its standard error."""

    value: float
    error: float

    @classmethod
    def of(cls, values):
        return cls(float(np.mean(values)), float(np.std(values, ddof=1) / len(values)**0.5))

    def __str__(self):
        return f"{self.value:.3g} ± {self.error:.1g}"
