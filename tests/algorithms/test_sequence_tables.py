"""Cells of the benchmark on DS1 and DS2, learning cut short: what it promises still holds."""

import numpy as np
import pytest
import sequence_scenes as scenes

from subpixel.algorithms.multitemporal.fclssequence import fclssequence
from subpixel.algorithms.multitemporal.hbun import hbun
from subpixel.algorithms.multitemporal.kalmanem import BOUNDED, kalmanem
from subpixel.algorithms.multitemporal.onlineunmixing import onlineunmixing
from subpixel.algorithms.multitemporal.sequence import best_order, nrmse, reference, settled

pytestmark = pytest.mark.skipif(not scenes.DATA.exists(), reason="the real scenes are not here")

SEED = 0


class Case:
    """A sequence, its reference endmembers, settled ones, and the error of FCLS date by date."""

    def __init__(self, made, P):
        self.truth, self.Y = made.A, made.Y
        self.M0 = reference(self.Y, P, np.random.default_rng(SEED))
        self.settled = settled(self.Y, self.M0)
        self.base = self.error(fclssequence(self.Y, P, np.random.default_rng(SEED)).A)

    def error(self, A):
        return nrmse(self.truth, A[:, best_order(self.truth, A)])

    def ratio(self, A):
        return self.error(A) / self.base


@pytest.fixture(scope="module")
def ds1():
    return Case(scenes.data_sequence_1(SEED)[1], 3)


@pytest.fixture(scope="module")
def ds2():
    return Case(scenes.data_sequence_2(SEED), 4)


def test_online_unmixing_is_at_its_published_ratios(ds1, ds2):
    assert ds1.ratio(onlineunmixing(ds1.Y, ds1.M0).A) < 0.81
    assert ds2.ratio(onlineunmixing(ds2.Y, ds2.M0).A) < 0.67


def test_kalman_is_at_its_published_ratio(ds1):
    assert ds1.ratio(kalmanem(ds1.Y, ds1.settled.M, iterations=20, **BOUNDED).A) < 0.66


def test_the_stand_in_for_hbun_is_at_its_published_ratio(ds1):
    assert ds1.ratio(hbun(ds1.Y, ds1.M0, (50, 50), iterations=60, burn_in=30).A) < 0.89


def test_settled_endmembers_and_weighted_bands_halve_the_error(ds1, ds2):
    for case in (ds1, ds2):
        assert case.ratio(fclssequence(case.Y, M=case.settled.M, R=case.settled.R).A) < 0.5


def test_redsunn_is_at_the_ratio_asked_for(ds1):
    pytest.importorskip("torch")
    from subpixel.algorithms.multitemporal.redsunn import train
    model = train(ds1.Y[:, :, ::4], ds1.M0, epochs=8)
    assert ds1.ratio(model.unmix(ds1.Y).A) < 0.65
