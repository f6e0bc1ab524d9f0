"""Spectral response and blur from the pair itself."""

import numpy as np
import pytest
from fusion_scenes import natural

from subpixel.algorithms.fusion.degradation import Gaussian, centred, degradation
from subpixel.algorithms.fusion.pair import both
from subpixel.algorithms.fusion.response import differences, estimate_blur, estimate_response

RATIO = 4


def observed(width=(1.0, 1.0), shift=(0.0, 0.0), noise=0.0, ratio=RATIO, seed=0):
    """HSI, MSI, the smooth response between them, and centres as the georeference tells them."""
    Z, _, _ = natural(30, 96, 112, 6, seed)
    Z = Z + 0.05 * np.random.default_rng(seed).standard_normal((30, 96, 112))
    x = np.arange(30)
    R = np.exp(-0.5 * ((x - np.array([4, 11, 17, 24])[:, None]) / 2.5) ** 2)
    R /= R.sum(axis=1, keepdims=True)
    rows, columns = centred(96, ratio), centred(112, ratio)
    P = [degradation(size, centres + move, Gaussian.of_width(w * ratio)) for size, centres, move, w in
         zip((96, 112), (rows, columns), shift, width)]
    hsi, msi = both(*P, Z), np.tensordot(R, Z, 1)
    rng = np.random.default_rng(seed + 1)
    return [X + noise * X.std() * rng.standard_normal(X.shape) for X in (hsi, msi)] + [R, rows, columns]


@pytest.mark.parametrize("noise", [0, 0.01])
def test_a_smooth_response_is_recovered(noise):
    hsi, msi, R, rows, columns = observed(noise=noise)
    found = estimate_response(hsi, msi, rows, columns, np.linspace(400, 900, 30))
    assert (found >= 0).all()
    assert found.sum(axis=1) == pytest.approx(1, abs=0.02)
    assert np.abs(found - R).sum(axis=1).max() < (0.25 if noise else 0.1)


@pytest.mark.parametrize("ratio", [4, 3, 2.5])
@pytest.mark.parametrize("width, shift", [((1.0, 1.0), (0.0, 0.0)), ((1.4, 0.7), (0.8, -0.6))])
def test_blur_and_shift_are_recovered(width, shift, ratio):
    """Different along rows and columns, so that an exchange or a flip would show."""
    hsi, msi, R, rows, columns = observed(width, shift, 0.002, ratio)
    found = estimate_blur(hsi, msi, R, rows, columns)
    assert found.width == pytest.approx(width, rel=0.05)
    assert found.shift == pytest.approx(shift, abs=0.05)
    assert found.misfit < 0.05


def test_a_change_of_brightness_does_not_disturb_the_blur():
    hsi, msi, R, rows, columns = observed((0.8, 1.2))
    found = estimate_blur(hsi, 1.5 * msi + 0.2, R, rows, columns)
    assert found.width == pytest.approx((0.8, 1.2), rel=0.05)


def test_no_difference_is_taken_across_a_gap():
    D = differences(5, np.array([500.0, 510, 700, 710, 705]))
    assert D.shape == (3, 5) and np.array_equal(np.abs(D).sum(axis=1), [2, 2, 2])
    assert not np.any((D[:, 1] != 0) & (D[:, 2] != 0))
    assert np.any((D[:, 2] != 0) & (D[:, 4] != 0)) and np.any((D[:, 4] != 0) & (D[:, 3] != 0))


def test_blur_is_found_where_the_georeference_is_nearly_right():
    """A start at zero shift must not shrink the differences by which the slope is found to rounding."""
    hsi, msi, R, rows, columns = observed((1.2, 0.9), (1e-9, 0.0))
    found = estimate_blur(hsi.astype(np.float32), msi.astype(np.float32), R, rows, columns)
    assert found.width == pytest.approx((1.2, 0.9), rel=0.01)
    assert found.shift == pytest.approx((0, 0), abs=0.01) and not found.at_bound


@pytest.mark.parametrize("size", [1, 4, 5])
def test_images_without_an_inside_are_refused(size):
    hsi, msi, R, rows, columns = observed()
    few, seen = slice(0, size), slice(0, 4 * size)
    if size < 5:
        with pytest.raises(ValueError, match="^No pixel of the HSI .*[.]$"):
            estimate_response(hsi[:, few, few], msi[:, seen, seen], rows[few], columns[few])
    else:
        assert np.isfinite(estimate_response(hsi[:, few, few], msi[:, seen, seen], rows[few], columns[few])).all()
    with pytest.raises(ValueError, match="^Only .*at least 50 are needed.*[.]$"):
        estimate_blur(hsi[:, few, few], msi[:, seen, seen], R, rows[few], columns[few])
    with pytest.raises(ValueError, match="^No pixel of the HSI .*[.]$"):
        estimate_response(0 * hsi, msi, rows, columns)
