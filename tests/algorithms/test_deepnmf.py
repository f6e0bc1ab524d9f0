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


@pytest.mark.parametrize("sparsity", [0.0, 0.5])
def test_without_discriminative_layers_it_is_nmf_with_a_fixed_dictionary(sparsity, rng):
    WS, WN = dictionaries()
    X, _ = mixtures(WS, WN, rng, 50)
    W, H = np.concatenate([WS, WN], axis=1), np.ones((7, 50))
    for _ in range(30):
        H *= W.T @ (X / (W @ H)) / (W.sum(axis=0)[:, None] + sparsity * W.max())
    for C in (0, 6):   # untrained
        found, filtered = DeepNMF(WS, WN, 30, C, sparsity).separate(X)
        assert np.allclose(found, H, rtol=1e-3, atol=1e-5)
        assert np.allclose(filtered, WS @ H[:3] / (W @ H) * X, rtol=1e-3, atol=1e-5)


def test_black_pixels_and_bands_without_any_spectrum_pass():
    WS, WN = dictionaries()
    X = (WS[:, :1] + WN[:, :1]) * np.array([1.0, 0.0])
    WS[5], WN[5] = 0, 0
    H, filtered = DeepNMF(WS, WN, 20, 4).separate(X)
    assert (H[:, 1] == np.float32(1e-16)).all() and (filtered[:, 1] == 0).all()
    assert filtered[5, 0] == 0 and (filtered[:5, 0] > 0).all()


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


def test_batches_count_and_a_callback_ends_the_training():
    WS, WN = dictionaries()
    X, S = mixtures(WS, WN, np.random.default_rng(0), 100)

    def losses(batch, callback=None):
        return DeepNMF(WS, WN, 6, 2).train(X, S, np.random.default_rng(1), epochs=3, batch=batch, callback=callback)
    assert losses(10)[1:] != losses(100)[1:] and len(losses(10)) == 4
    assert len(losses(10, lambda epoch, loss: epoch == 2)) == 3


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


def test_materials_of_mixtures_are_as_many_and_as_often_wanted_as_asked(rng):
    WS, WN = dictionaries()
    W = np.concatenate([WS, WN], axis=1)

    def fractions(**options):
        A = np.linalg.lstsq(W, mixtures(WS, WN, rng, 4000, snr=200, **options)[0], rcond=None)[0]
        return np.where(A > 1e-3, A, 0)
    assert (fractions(mixed=1) > 0).sum(axis=0).max() == 1
    two = fractions(mixed=2)
    same = 3 * (1 / 6) ** 2 + 4 * (1 / 8) ** 2   # that the second material is the first again
    assert ((two > 0).sum(axis=0) == 1).mean() == pytest.approx((1 + same) / 2, abs=0.03)
    assert two.max(axis=0)[(two > 0).sum(axis=0) == 2].mean() == pytest.approx(0.75, abs=0.02)   # of uniform shares
    assert fractions(wanted=0.8)[:3].sum(axis=0).mean() == pytest.approx(0.8, abs=0.02)


def test_negative_spectra_are_refused(rng):
    WS, WN = dictionaries()
    with pytest.raises(ValueError, match="negative"):
        DeepNMF(WS - WS.max(), WN)
