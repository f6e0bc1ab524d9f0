"""The recordings of a chain of masses that benchmarks detect hits in: they are what they say."""

import importlib
import json

import numpy as np
import pytest
from conftest import ROOT
from scipy.linalg import expm

TABLE1 = (64, 180, 2229, 6086, 9622, 13504, 16966, 19414, 21556, 23315, 26895, 32066)
TABLE2 = (2155, 5642)
TABLE2_NEARLY = (31, 48, 57, 282, 785, 1170, 1185, 1561, 2155, 2169, 2961, 3417, 3928, 4108, 4169, 5439, 5642, 6646,
                 7853, 8090, 9204, 11159, 12992)


@pytest.fixture
def hits(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module("hits")


@pytest.fixture
def events_hits(hits):
    return importlib.import_module("events_hits")


def recorded(name, **which):
    """The row of a table whose columns have these values."""
    rows = json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text(encoding="utf-8"))["rows"]
    return next(row for row in rows if all(row[key.replace("_", " ")] == value for key, value in which.items()))


@pytest.mark.parametrize("number, printed, within", [(1, TABLE1, 0.007), (2, TABLE2, 0.001), (2, TABLE2_NEARLY, 0.1)])
def test_modes_are_those_of_the_tables_as_far_as_these_follow_from_the_parameters(hits, number, printed, within):
    modes = hits.CHAINS[number].modes()[0]
    for frequency in printed:
        assert np.abs(modes / frequency - 1).min() < within, frequency


def test_damping_is_that_of_the_first_table(hits):
    frequencies, damping = hits.CHAINS[1].modes()
    for frequency, printed in ((64, 0.19), (180, 0.66), (2229, 9.0e-4), (9622, 4.5e-5), (32066, 1.9e-5)):
        assert damping[np.abs(frequencies - frequency).argmin()] == pytest.approx(printed, rel=0.06)


def test_a_hit_is_the_exact_solution_where_every_mode_is_heard(hits):
    chain = hits.CHAINS[2]   # all of its modes are below 24 kHz
    K, C = chain.matrices()
    n, t = len(chain.m), np.array([1e-4, 2e-3, 0.05])
    A = np.block([[np.zeros((n, n)), np.eye(n)], [-K / chain.m[:, None], -C / chain.m[:, None]]])
    found = chain.hits(t)
    for moment, row in zip(t, found):
        exact = (expm(A * moment)[:n, n:] / chain.m).sum(axis=0)
        assert row == pytest.approx(exact, rel=1e-6, abs=1e-7 * np.abs(exact).max())


def test_the_hum_solves_the_equation_of_motion(hits):
    """Its amplitude at a harmonic is that of a chain of two masses solved by hand."""
    one = hits.Chain(np.array([2.0, 3.0]), np.array([5e6, 7e6]), np.array([11.0, 13.0]), (1,), ((2,),), 0.0, 1)
    s = 1j * hits.FREQUENCIES
    z1, z2 = 5e6 + 11 * s, 7e6 + 13 * s
    a, b = 2 * s**2 + z1, 3 * s**2 + z1 + z2
    assert one.gains() == pytest.approx((b + z1) / (a * b - z1**2), rel=1e-9)


@pytest.mark.parametrize("number, recordings, training, targets", [(1, 126, 54, 18), (2, 70, 30, 10)])
def test_a_data_set_has_the_published_make_up(hits, number, recordings, training, targets):
    made = hits.dataset(number)
    assert made.X.shape == made.S.shape == made.N.shape == (recordings, 8, 8) and (made.X > 0).all()
    assert made.targets.shape == (targets, 8, 8) and made.noise.shape == (1, 8, 8)
    silent = made.mass == 0
    assert (made.S[silent] == 0).all() and (made.component[silent] == 0).all() and np.isnan(made.snr[silent]).all()
    ratio = 10 * np.log10(made.S[~silent].sum(axis=(1, 2)) / made.noise.sum())
    assert ratio == pytest.approx(made.snr[~silent])
    assert len(made.training) == training and set(np.flatnonzero(silent)) <= set(made.training)
    for mass in made.target_mass:
        levels = np.sort(made.snr[made.mass == mass])
        assert sorted(made.snr[made.training][made.mass[made.training] == mass]) == [levels[1], levels[4]]


def test_hits_fade_and_the_hum_does_not(hits):
    made = hits.dataset(1)
    assert (made.targets[:, :, -1].sum(axis=1) < 0.6 * made.targets[:, :, 0].sum(axis=1)).all()
    loudness = made.N.sum(axis=1)
    assert loudness.std() < 0.05 * loudness.mean()


def test_the_same_seed_gives_the_same_recordings(hits):
    assert (hits.dataset(2).X == hits.dataset(2).X).all()
    assert (hits.dataset(2).X != hits.dataset(2, seed=1).X).any()


def test_pairs_hold_two_neighbouring_components(hits):
    made = hits.pairs()
    assert made.component[:5].tolist() == [[1, 2], [2, 3], [3, 4], [4, 5], [5, 1]]
    assert (made.component[5:] == 0).all() and made.X.shape == (10, 8, 8)
    alone = made.noise.sum()
    assert (made.S[0].sum() / alone) == pytest.approx(2 * 10**2, rel=0.2)   # two hits of 20 dB that hardly overlap


@pytest.mark.parametrize("number, hits_from_20", [(1, "72 of 72"), (2, "40 of 40")])
def test_a_short_network_finds_the_hits_that_the_benchmark_says(events_hits, number, hits_from_20):
    """A cell of `events_hits_thesis`, and the loss beside it: 60 layers find every hit from -20 dB on."""
    which = {"data_set": number, "bands": 32, "network": "PAD-NMF, 60 layers, 4 discriminative"}
    said, rate = recorded("events_hits_thesis", **which), recorded("events_hits", threshold="mean", **which)
    assert said["hits from -20 dB on"] == hits_from_20
    data = events_hits.dataset(number, bands=32)
    network, before, after, kept = events_hits.build(events_hits.NETWORKS[which["network"]], number, data)
    assert np.diff(network.edges).tolist() == [8] * len(data.targets) + [7]
    assert after < 0.9 * before and kept == rate["epoch"]
    assert (before, after) == pytest.approx((rate["loss untrained"], rate["loss"]), rel=0.05)
    index = events_hits.indices(network, data.X)
    limits = events_hits.thresholds(index[:, data.mass == 0], "mean")
    right = events_hits.decided(index, limits) == data.component
    assert right[data.snr >= -20].all()
    if number == 2:
        two = events_hits.pairs(0, bands=32)
        assert events_hits.both(events_hits.indices(network, two.X[:5]), limits, two.component[:5]).all()
        assert said["pairs"] == "5 of 5"


def test_without_a_dictionary_that_says_which_atom_is_whose_few_hits_are_found(events_hits):
    """What the benchmark says decides: the same two plain factorisations for all targets, with fewer layers."""
    data = events_hits.dataset(2, bands=8)
    found = {}
    for kind in (events_hits.Unmasked, events_hits.TwoFactorisations):
        network, *_ = events_hits.build(events_hits.Kind(kind, K=60, C=0), 2, data)
        index = events_hits.indices(network, data.X)
        decided = events_hits.decided(index, events_hits.thresholds(index[:, data.mass == 0], "mean"))
        found[kind] = (decided == data.component)[data.snr >= -20].mean()
    assert found[events_hits.Unmasked] > 0.9 and found[events_hits.TwoFactorisations] < 0.5


def test_pairs_count_when_both_have_the_largest_indices_and_exceed_their_thresholds(events_hits):
    index = np.array([[3.0, 3, 3, np.nan], [1, 2, 2, np.nan], [2, 1, 0.5, np.nan]])
    component = np.array([[3, 1], [1, 2], [1, 3], [1, 2]])
    assert events_hits.both(index, np.array([1.0, 1, 1]), component).tolist() == [True, True, False, False]
    assert events_hits.both(index, np.array([1.0, 3, 1]), component).tolist() == [True, False, False, False]
