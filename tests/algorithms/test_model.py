"""What the models with spectral variability share: a start, maps of endmembers, fillings."""

import numpy as np
import pytest
from variable_scenes import fields, smooth_maps, smooth_spectra

from subpixel.algorithms.variability.model import begin, brightness, principal_variation
from subpixel.algorithms.variability.spatial import filled

SHAPE = (12, 15)
M0, A = smooth_spectra(), fields(shape=SHAPE)
PSI = smooth_maps(1, SHAPE, 0.8, 1.2)


def endmembers(part):
    return M0.T[:, :, None] * PSI[:, None, part]


def test_brightness_is_the_root_mean_square_over_the_bands():
    expected = np.sqrt(np.mean(M0**2, axis=0))[:, None] * PSI
    np.testing.assert_allclose(brightness(endmembers, A.shape[1]), expected)


def test_principal_variation_of_scaled_spectra_is_along_one_direction():
    """They lie on a line through the origin: one component holds all, and its size is |psi - mean| ||m||."""
    valid = np.ones(A.shape[1], dtype=bool)
    expected = np.abs(PSI - PSI.mean()) * np.linalg.norm(M0, axis=0)[:, None]
    np.testing.assert_allclose(principal_variation(endmembers, valid, 1), expected, rtol=1e-6, atol=1e-9)


def test_principal_variation_leaves_masked_pixels_out():
    valid = np.ones(A.shape[1], dtype=bool)
    valid[:40] = False

    def disturbed(part):
        made = endmembers(part)
        made[:, :, ~valid[part]] = 99
        return made
    first, second = (principal_variation(made, valid, 2) for made in (endmembers, disturbed))
    np.testing.assert_allclose(first[:, valid], second[:, valid], atol=1e-9)


@pytest.mark.parametrize("start, psi", [("scls", 1.0), ("fcls", 1.0), ("scaled", None)])
def test_the_start_has_the_scaling_that_belongs_to_it(start, psi):
    Y, valid = M0 @ (A * PSI), np.ones(A.shape[1], dtype=bool)
    valid[50:60] = False
    problem = begin(Y, M0, SHAPE, valid, start=start)
    np.testing.assert_allclose(problem.A.sum(axis=0), 1)
    if psi:
        assert (problem.psi == psi).all()
    else:
        np.testing.assert_allclose(problem.psi[valid], PSI[0, valid], atol=1e-9)
        assert np.abs(problem.psi - PSI[0]).max() < 0.1


def test_filled_maps_keep_what_is_known_and_lie_between():
    X, known = PSI.reshape(SHAPE), np.ones(SHAPE, dtype=bool)
    known[3:8, 4:9] = False
    made = filled(np.where(known, X, 99), known)
    assert np.array_equal(made[known], X[known])
    assert X[known].min() <= made.min() and made.max() <= X[known].max()
    far = filled(np.where(np.arange(900)[None] < 5, 2.0, 99), np.arange(900)[None] < 5)
    np.testing.assert_allclose(far, 2)
