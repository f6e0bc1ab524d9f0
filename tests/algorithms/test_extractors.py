"""What every extractor promises that picks pixels."""

import numpy as np
import pytest
from extraction import angles, cut, planted

from subpixel.algorithms.endmembers.atgp import atgp
from subpixel.algorithms.endmembers.deim import deim_select, right_vectors
from subpixel.algorithms.endmembers.nfindr import nfindr
from subpixel.algorithms.endmembers.ppi import ppi
from subpixel.algorithms.endmembers.sga import sga
from subpixel.algorithms.endmembers.simplex import coordinates
from subpixel.algorithms.endmembers.sivm import sivm
from subpixel.algorithms.endmembers.vca import vca
from subpixel.algorithms.pixels import moments


def deim_pixels(Y, P):
    axes = right_vectors(moments(Y), P)
    return deim_select(coordinates(Y, axes.apply), P)


PICK = {
    "atgp": lambda Y, P, seed: atgp(Y, P),
    "deim": lambda Y, P, seed: deim_pixels(Y, P),
    "nfindr": lambda Y, P, seed: nfindr(Y, P, np.random.default_rng(seed)).indices,
    "ppi": lambda Y, P, seed: ppi(Y, P, np.random.default_rng(seed), skewers=1000).indices,
    "sga": lambda Y, P, seed: sga(Y, P),
    "sivm": lambda Y, P, seed: sivm(Y, P),
    "vca": lambda Y, P, seed: vca(Y, P, np.random.default_rng(seed)).indices,
}
pytestmark = pytest.mark.parametrize("name", PICK)


@pytest.mark.parametrize("P", [2, 3, 5, 8])
def test_planted_pure_pixels_are_found_without_noise(name, P):
    Y, X, M, places = planted(P, seed=P, pure_pixels=True)
    assert set(PICK[name](Y, P, 0)) == set(places)


@pytest.mark.parametrize("seed", range(3))
def test_at_30_decibel_the_endmembers_are_found_within_2_degrees(name, seed):
    Y, X, M, places = planted(4, seed, snr_db=30, pure_pixels=True)
    assert angles(M, X[:, PICK[name](Y, 4, seed)]).max() < 2


def test_blocks_change_nothing(name):
    Y = planted(4, seed=3, snr_db=30)[0]
    whole = PICK[name](Y, 4, 5)
    for size in (97, 800):
        assert np.array_equal(PICK[name](cut(Y, size), 4, 5), whole)


def test_digital_numbers_give_the_same_pixels_as_reflectance(name):
    Y = planted(4, seed=4, snr_db=30)[0]
    assert set(PICK[name](1e4 * Y, 4, 0)) == set(PICK[name](Y, 4, 0))


def test_one_repeated_spectrum_is_a_sentence(name):
    Y = np.repeat(np.linspace(0.1, 0.5, 20)[:, None], 100, axis=1)
    with pytest.raises(ValueError, match="same spectrum"):
        PICK[name](Y, 2, 0)


def test_more_endmembers_than_dimensions_is_a_sentence(name):
    with pytest.raises(ValueError, match=r"spans \d dimensions only.*too few for 5.*at most 3\."):
        PICK[name](planted(3, seed=5)[0], 5, 0)


@pytest.mark.parametrize("P", [1, 21])
def test_an_impossible_number_is_a_sentence(name, P):
    Y = np.random.default_rng(0).random((20, 50))
    with pytest.raises(ValueError, match=f"{P} endmembers .*Ask for 2 to 20"):
        PICK[name](Y, P, 0)
