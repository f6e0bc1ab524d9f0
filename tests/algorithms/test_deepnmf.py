"""Deep-NMF on spectra."""

import numpy as np
import pytest
from spectral_scenes import distinct_spectra

from subpixel.algorithms.separation.deepnmf import DeepNMF, mixtures


@pytest.fixture
def rng():
    return np.random.default_rng(5)


def dictionaries(P=3, R=4):
    M = distinct_spectra(P + R, 4)
    return M[:, :P], M[:, P:]


def test_without_discriminative_layers_it_is_nmf_with_a_fixed_dictionary(rng):
    WS, WN = dictionaries()
    X, _ = mixtures(WS, WN, rng, 50)
    W, H = np.concatenate([WS, WN], axis=1), np.ones((7, 50))
    for _ in range(30):
        H *= W.T @ (X / (W @ H)) / W.sum(axis=0)[:, None]
    assert np.allclose(DeepNMF(WS, WN, 30, 0).abundances(X), H, rtol=1e-3, atol=1e-5)
    assert np.allclose(DeepNMF(WS, WN, 30, 6).abundances(X), H, rtol=1e-3, atol=1e-5)   # untrained


def test_training_helps_on_mixtures_that_it_has_not_seen(rng):
    WS, WN = dictionaries()
    (X, S), (held, goal) = mixtures(WS, WN, rng, 1500), mixtures(WS, WN, rng, 500)
    network = DeepNMF(WS, WN)

    def error():
        return np.sqrt(np.square(network.separate(held)[1] - goal).mean())
    before = error()
    history = network.train(X, S, rng, epochs=12)
    assert min(history) < history[0]
    assert error() < 0.95 * before


def test_a_saved_network_gives_the_same_and_blocks_change_nothing(rng, monkeypatch):
    WS, WN = dictionaries()
    X, S = mixtures(WS, WN, rng, 300)
    network = DeepNMF(WS, WN, 12, 3, sparsity=0.1)
    network.train(X, S, rng, epochs=2, batch=64)
    again = DeepNMF.from_state(network.state())
    H, filtered = network.separate(X)
    assert np.allclose(again.abundances(X), H, rtol=1e-5, atol=1e-7)
    assert np.allclose(network.abundances(X), H)
    monkeypatch.setattr("subpixel.algorithms.separation.deepnmf.BATCH", 37)
    for whole, parts in zip((H, filtered), again.separate(X)):
        assert np.allclose(parts, whole, rtol=1e-4, atol=1e-6)


def test_the_filter_only_takes_away_and_units_do_not_matter(rng):
    WS, WN = dictionaries()
    X, _ = mixtures(WS, WN, rng, 60)
    H, filtered = DeepNMF(WS, WN).separate(X)
    assert (filtered >= 0).all() and (filtered <= X * (1 + 1e-5)).all()
    thousand = DeepNMF(1000 * WS, 1000 * WN).separate(1000 * X)
    assert np.allclose(thousand[0], H, rtol=1e-3, atol=1e-5)
    assert np.allclose(thousand[1], 1000 * filtered, rtol=1e-3, atol=1e-2)


def test_mixtures_are_what_they_say(rng):
    WS, WN = dictionaries()
    X, S = mixtures(WS, WN, rng, 4000, snr=200)
    assert X.min() >= 0 and (X - S).min() > -1e-5
    A = np.linalg.lstsq(np.concatenate([WS, WN], axis=1), X, rcond=None)[0]
    assert np.allclose(A.sum(axis=0), 1, atol=1e-2)
    assert np.allclose(WS @ A[:3], S, atol=1e-2)
    noisy, clean = mixtures(WS, WN, np.random.default_rng(1), 4000, snr=20)[0], \
        mixtures(WS, WN, np.random.default_rng(1), 4000, snr=200)[0]
    assert np.sqrt(np.square(clean).mean() / np.square(noisy - clean).mean()) == pytest.approx(10, rel=0.1)


def test_negative_spectra_are_refused(rng):
    WS, WN = dictionaries()
    with pytest.raises(ValueError, match="negative"):
        DeepNMF(WS - WS.max(), WN)
