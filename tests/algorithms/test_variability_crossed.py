"""Every model of variability on data of its own kind and of the others: better than with fixed endmembers."""

from functools import partial

import numpy as np
import pytest
from variable_scenes import error, smooth_spectra

from subpixel.algorithms.abundances.fcls import fcls
from subpixel.algorithms.simulate import variability
from subpixel.algorithms.variability.elmm import elmm
from subpixel.algorithms.variability.glmm import glmm
from subpixel.algorithms.variability.plmm import plmm
from subpixel.algorithms.variability.ultrav import ultrav

SHAPE = ROWS, COLS = 24, 24
M0 = smooth_spectra(40)
DATA = {
    "scaling": lambda rng: variability.scaling(M0, ROWS, COLS, rng),
    "piecewise": lambda rng: variability.piecewise_linear(M0, ROWS * COLS, rng),
    "bands": lambda rng: variability.smooth_bands(M0, ROWS, COLS, rng, length=10, band_length=20),
    "atmosphere": lambda rng: variability.viewing_geometry(M0, np.linspace(450, 2400, 40), ROWS * COLS, rng, 60),
    "hapke": lambda rng: variability.hapke(M0, ROWS, COLS, rng)}
SHARE = {   # of the error of FCLS that is left at most; by default weights, save for smooth factors of every band
    elmm: {"scaling": 0.5, "piecewise": 0.95, "bands": 1.0, "atmosphere": 0.5, "hapke": 0.5},
    glmm: {"scaling": 0.85, "atmosphere": 0.85, "hapke": 0.85},
    plmm: {"scaling": 0.95, "piecewise": 0.95, "bands": 0.95, "hapke": 0.95},
    partial(glmm, lambda_psi=0.1): {"bands": 0.9},
    ultrav: {"scaling": 0.4, "hapke": 0.3}}


@pytest.mark.parametrize("method, data", [(method, data) for method, shares in SHARE.items() for data in shares])
def test_explains_part_of_the_variability(method, data):
    Y, A, _ = variability.simulate_varying(M0, ROWS, COLS, np.random.default_rng(1), DATA[data], 40, model="fields",
                                           pure_pixels=True)
    assert error(method(Y, M0, SHAPE).A, A) < SHARE[method][data] * error(fcls(Y, M0).A, A)
