"""HFC and NWHFC: the false alarms and the ranks they promise."""

import json

import numpy as np
import pytest
from conftest import ROOT
from spectral_scenes import L, noisy, distinct_spectra

from subpixel.algorithms.pixels import moments
from subpixel.algorithms.prepare.noise import regression_noise
from subpixel.algorithms.rank.hfc import hfc, nwhfc, whitened


def whitened_rank(Y, pfa=1e-3):
    found = moments(Y)
    return nwhfc(found, regression_noise(found), pfa).rank


def test_noise_alone_raises_no_more_alarms_than_allowed():
    pfa, trials = 0.05, 20
    alarms = sum(hfc(moments(np.random.default_rng(seed).standard_normal((50, 2000))), pfa).rank
                 for seed in range(trials))
    assert alarms <= pfa * trials * 50


def test_one_constant_spectrum_in_noise_counts_as_one():
    rng = np.random.default_rng(0)
    assert hfc(moments(rng.uniform(1, 2, (50, 1)) + 0.1 * rng.standard_normal((50, 3000)))).rank == 1


def test_a_scene_of_one_repeated_spectrum_is_one_signal_and_not_rounding():
    assert hfc(moments(np.tile(np.linspace(1, 2, 50)[:, None], 3000))).rank == 1


def test_centred_pixels_hold_nothing_to_count():
    Y = noisy(5, 50, seed=1)
    assert hfc(moments(Y - Y.mean(axis=1, keepdims=True))).rank == 0


@pytest.mark.parametrize("P", [3, 5])
def test_planted_ranks_are_found_at_50_dB(P):
    found = [moments(noisy(P, 50, seed)) for seed in range(10)]
    assert [nwhfc(one, regression_noise(one)).rank for one in found] == [P] * 10
    assert all(abs(hfc(one).rank - P) <= 2 for one in found)


def test_the_count_grows_with_the_false_alarms_allowed():
    found = moments(noisy(8, 25, seed=3))
    counts = [hfc(found, pfa).rank for pfa in (1e-8, 1e-5, 1e-3, 0.1, 0.4)]
    assert counts == sorted(counts) and counts[0] < counts[-1]


def test_noise_in_a_few_bands_floods_the_plain_test_and_not_the_whitened_one():
    Y = noisy(5, 50, seed=0)
    Y[20:50] += np.linspace(0, 0.05, 30)[:, None] * np.random.default_rng(9).standard_normal((30, Y.shape[1]))
    assert hfc(moments(Y)).rank > 7 and whitened_rank(Y) == 5


def test_whitening_white_noise_changes_the_count_by_one_at_most():
    for seed in range(4):
        Y = noisy(6, 35, seed)
        assert abs(whitened_rank(Y) - hfc(moments(Y)).rank) <= 1


def test_known_and_estimated_noise_agree():
    Y = noisy(4, 40, seed=5)
    M = distinct_spectra(4, seed=5)
    variance = np.mean(M @ np.full(4, 0.25)) ** 2 * 1e-4
    assert abs(nwhfc(moments(Y), np.full(L, variance)).rank - whitened_rank(Y)) <= 1


def test_whitened_noise_has_unit_variance():
    rng = np.random.default_rng(2)
    found = moments(rng.standard_normal((30, 20000)) * np.linspace(0.1, 3, 30)[:, None])
    np.testing.assert_allclose(np.diag(whitened(found, regression_noise(found)).R), 1, atol=0.01)


def test_scaling_and_blocks_change_nothing():
    Y = noisy(5, 30, seed=4)
    rank = whitened_rank(Y)
    assert whitened_rank(1e4 * Y) == whitened_rank([Y[:, :777], Y[:, 777:]]) == rank


@pytest.mark.parametrize("pfa", [0, 0.5, -1, 2, np.nan])
def test_a_probability_that_is_none_is_a_sentence(pfa):
    with pytest.raises(ValueError, match="between 0 and 0.5, as 0.001"):
        hfc(moments(noisy(3, 50, seed=0)), pfa)


def test_noise_that_cannot_whiten_is_a_sentence():
    found = moments(noisy(3, 50, seed=0))
    with pytest.raises(ValueError, match="nothing to whiten by"):
        nwhfc(found, np.zeros(L))
    with pytest.raises(ValueError, match="7 bands, the pixels 60"):
        nwhfc(found, np.ones(7))


def test_a_recorded_cell_of_the_papers_table_comes_out_again(scenes, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import curhu_table1
    rows = json.loads((ROOT / "benchmarks" / "results" / "curhu_table1.json").read_text(encoding="utf-8"))["rows"]
    spans = {row["method"]: [int(end) for end in row["min-max"].split()[0].split("-")] for row in rows
             if (row["table"], row["SNR (dB)"]) == ("1", 50)}
    M = curhu_table1.library()
    for draw in (17, 18, 19):  # no SPICE, which takes longer
        for method, rank in curhu_table1.ranks(M, 3, draw, "1", 50).items():
            assert spans[method][0] <= rank <= spans[method][1], method
