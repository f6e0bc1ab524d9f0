"""What speaks against a band: windows, neighbours and stripes, each measured on bands of known faults."""

import numpy as np
import pytest

from subpixel.algorithms.pixels import moments
from subpixel.algorithms.prepare.bad_bands import Striping, in_windows, neighbour_correlation


def test_windows_hold_their_ends_and_the_first_one_counts():
    found = in_windows(np.array([399.0, 400.0, 401.0, 1400.0]), [(0, 400), (1350, 1450), (390, 400)])
    assert found.tolist() == [0, 0, -1, 1]
    with pytest.raises(ValueError, match="from 900 to 800 is empty"):
        in_windows(np.array([850.0]), [(900, 800)])


@pytest.fixture
def pixels():
    """Five bands of one signal; the third is noise of its own."""
    rng = np.random.default_rng(1)
    Y = np.linspace(1, 2, 5)[:, None] * rng.normal(10, 1, 5000)
    Y[2] = rng.normal(10, 1, 5000)
    return Y


def test_a_band_of_noise_is_unlike_its_neighbours_which_have_others(pixels):
    found = neighbour_correlation(moments(pixels))
    assert found[2] < 0.1
    np.testing.assert_allclose(found[[0, 1, 3, 4]], 1, atol=1e-6)


def test_a_good_band_between_two_bad_ones_stays_good(pixels):
    pixels[0] = np.random.default_rng(6).normal(size=5000)
    found = neighbour_correlation(moments(pixels))
    assert found[1] > 0.99 and found[0] < 0.1 and found[2] < 0.1


def test_neighbours_are_those_in_wavelength(pixels):
    """A band of noise moved to the end of the file is still between the others by its wavelength."""
    order = np.array([0, 1, 3, 4, 2])
    found = neighbour_correlation(moments(pixels[order]), np.argsort(order))
    assert found.argmin() == 4
    np.testing.assert_allclose(found[:4], 1, atol=1e-6)


def test_a_band_without_variance_resembles_none():
    Y = np.random.default_rng(2).normal(size=(3, 500))
    Y[1] = 7.0
    assert neighbour_correlation(moments(Y))[1] == pytest.approx(0, abs=1e-6)


def striping(cube, valid, rows):
    found = Striping()
    for start in range(0, cube.shape[1], rows):
        found.add(cube[:, start:start + rows], valid[start:start + rows])
    return found.share()


def test_stripes_have_a_share_of_one_and_noise_none_whatever_the_strips_and_the_mask():
    rng = np.random.default_rng(3)
    noise, columns = rng.normal(size=(60, 50)), rng.normal(size=50)
    cube = np.stack([noise, np.tile(columns, (60, 1)) + 0.1 * noise, np.tile(columns, (60, 1)) + noise])
    valid = np.ones((60, 50), bool)
    valid[20:30, 5:12] = False
    cube[:, ~valid] = 1e9
    whole = striping(cube, valid, 60)
    assert whole[0] < 0.05 and whole[1] > 0.95 and 0.4 < whole[2] < 0.6
    np.testing.assert_allclose(striping(cube, valid, 7), whole, atol=1e-9)


def test_a_ramp_is_no_stripe():
    cube = np.arange(50.0)[None, None, :] + np.random.default_rng(4).normal(size=(1, 60, 50))
    assert striping(cube, np.ones((60, 50), bool), 60)[0] < 0.05


def test_stripes_of_a_single_row_are_unknown():
    assert np.isnan(striping(np.random.default_rng(5).normal(size=(2, 1, 9)), np.ones((1, 9), bool), 1)).all()
