"""The factor to reflectance on units that are in use, and radiance told from reflectance."""

import numpy as np
import pytest

from subpixel.algorithms.prepare.reflectance import absorption_depths, brightness, detect_scale, uncorrected


@pytest.mark.parametrize("factor", [1, 100, 1000, 10000])
@pytest.mark.parametrize("bright", [0.15, 0.45, 1.1])
def test_usual_factors_are_found_whatever_the_brightness_of_the_land(factor, bright):
    found = detect_scale(bright * factor, "float32")
    assert found.factor == factor and found.usual


@pytest.mark.parametrize("bright, dtype, factor", [
    (180, "uint8", 255), (60, "uint8", 100), (30000, "uint16", 65535), (16000, "int16", 32767)])
def test_the_full_scale_of_whole_numbers_counts(bright, dtype, factor):
    assert detect_scale(bright, dtype).factor == factor


def test_what_no_factor_fits_is_unusual_and_gets_the_nearest():
    found = detect_scale(3.0, "float32")
    assert not found.usual and found.factor == 1
    assert detect_scale(5e6, "float32").factor == 10000


@pytest.mark.parametrize("bright", [0.0, -3.0, np.nan])
def test_nothing_bright_is_said(bright):
    with pytest.raises(ValueError, match="Give the factor"):
        detect_scale(bright)


def test_brightness_is_that_of_the_brightest_band_without_its_highest_percent():
    Y = np.stack([np.full(1000, 0.1), np.append(np.full(995, 0.5), np.full(5, 40.0))])
    assert brightness(Y) == 0.5
    with pytest.raises(ValueError, match="no pixels"):
        brightness(np.empty((2, 0)))


def test_gases_that_absorb_give_radiance_away():
    x = np.arange(400.0, 1100, 5)
    reflectance = 0.1 + 0.4 * (x > 720)
    radiance = reflectance * (1 - 0.4 * (np.abs(x - 761) < 5)) * (1 - 0.6 * (np.abs(x - 940) < 20))
    assert uncorrected(absorption_depths(reflectance, x)) == []
    assert uncorrected(absorption_depths(radiance, x)) == ["oxygen", "water vapour"]
    visible = x < 700
    assert absorption_depths(radiance[visible], x[visible]) == {}
