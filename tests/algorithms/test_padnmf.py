"""PAD-NMF and Deep-NMFD: Hankel blocks, masks, shifts, and what they are in special cases."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from subpixel.algorithms.events.deepnmfd import DeepNMFD
from subpixel.algorithms.events.detection import Uncertainty
from subpixel.algorithms.events.learning import Features
from subpixel.algorithms.events.network import Settings
from subpixel.algorithms.events.padnmf import PadNMF, activation_mask, hankel, hankel_mask
from subpixel.algorithms.separation.deepnmf import DeepNMF
from subpixel.algorithms.unfolding.multiplicative import first, train

M, N, Q = 4, 9, 12
PLAIN = Settings(length=3, K=20, C=5, changes=False, fidelity=0.0)


class Anchored(PadNMF):
    anchored = True


class Unmasked(PadNMF):
    masks = False


class Original(PadNMF):
    masks, extended = False, False


@pytest.fixture
def rng():
    return np.random.default_rng(8)


def network(kind, rng, settings=PLAIN, patterns=2, backgrounds=2, **options):
    features = Features(np.arange(M), np.ones(M), None)
    return kind(settings, features, rng.uniform(0.1, 1, (patterns, M, settings.length)),
                rng.uniform(0.1, 1, (backgrounds, M, N)), **options)


def series_of(net, X):
    return net.series(X.astype(np.float32), np.ones(X.shape[1:], bool))


def test_the_hankel_extension_is_the_printed_one():
    X = np.arange(1, 6, dtype=float).reshape(1, 1, 5)
    assert hankel(X, 3)[:, :, 0].T.tolist() == [[0, 0, 1, 2, 3], [0, 1, 2, 3, 4], [1, 2, 3, 4, 5]]
    two = np.stack([X[0], 10 * X[0]])
    assert hankel(two, 2)[2, :, 0].tolist() == [2, 20, 3, 30]   # frames below each other, all features of each


def test_the_masks_are_the_printed_ones():
    assert hankel_mask(3, 1, 4).astype(int).tolist() == [[0, 0, 1, 1], [0, 1, 1, 1], [1, 1, 1, 1]]
    assert activation_mask(3, 5).astype(int).tolist() == [[1, 0, 0, 0, 0], [0, 1, 0, 0, 0], [0, 0, 1, 1, 1]]


@pytest.mark.parametrize("kind", [Anchored, PadNMF])
def test_training_keeps_exactly_what_the_masks_let_be(rng, kind):
    net = network(kind, rng, replace(PLAIN, fidelity=10.0))
    X = rng.uniform(0.1, 1, (M, Q, N))
    y, S = series_of(net, X), series_of(net, 0.5 * X).X
    history = train(net.network, net.loss, y, S, rng, epochs=4, batch=6)
    assert min(history) < history[0]
    sizes = np.diff(net.edges)
    seen = np.concatenate([hankel_mask(3, M, r) for r in sizes], axis=1)
    for own in net.network.own:
        assert (own.numpy()[~seen] == 0).all() and (own.numpy()[seen] > 0).any()
        if kind is Anchored:   # the first date has one frame
            assert (net.network.layer.dictionary(own).numpy()[0, :M * 2] == 0).all()
    H = net.activations(net.network.inference(first(y, net.loss.D.shape[2]), y).numpy())
    for block, r in enumerate(sizes):
        rows = H[net.edges[block]:net.edges[block + 1]].max(axis=1) > 0
        held = kind is Anchored or block >= 2
        assert (rows == activation_mask(r, N)).all() if held else rows.all()


def test_hankel_columns_with_the_diagonal_explain_a_pattern_exactly(rng):
    net = network(PadNMF, rng)
    lone = np.zeros((M, 1, N))
    lone[:, 0, 2:5] = 0.7 * net.patterns[1]
    H = np.zeros((net.edges[-1], N))
    r = net.edges[2] - net.edges[1]
    H[net.edges[1] + np.arange(r), 2 + np.arange(r)] = 0.7
    W = net.network.optimal.numpy()
    assert np.allclose(W @ H, hankel(lone, 3)[:, :, 0].T, atol=1e-6)


def test_without_context_masks_and_fidelity_it_is_deep_nmf(rng):
    """T = 1, no masks and alpha_S = 0, trained alike in one batch."""
    settings = replace(PLAIN, length=1, sparsity=0.1)
    net = network(Unmasked, rng, settings)
    W = net.network.optimal.numpy()
    scale = W.max()
    X = rng.uniform(0.1, 1, (M, Q, N)).astype(np.float32)
    S = (X * rng.uniform(0.2, 0.8, X.shape)).astype(np.float32)
    other = DeepNMF(W[:, :2], W[:, 2:], settings.K, settings.C, sparsity=settings.sparsity / scale)
    flat = X.transpose(0, 2, 1).reshape(M, -1)
    for epochs in (0, 3):
        if epochs:
            train(net.network, net.loss, series_of(net, X), series_of(net, S).X, rng, epochs=epochs, batch=Q)
            other.train(flat, S.transpose(0, 2, 1).reshape(M, -1), rng, epochs=epochs, batch=Q * N)
        ours = net.activations(net.network.inference(first(series_of(net, X), W.shape[1]), series_of(net, X)).numpy())
        theirs = other.abundances(flat).reshape(-1, N, Q).transpose(0, 2, 1)
        assert np.allclose(ours, theirs, rtol=2e-3, atol=1e-5)


def test_the_original_network_sees_the_newest_frame_only_in_discriminative_layers(rng):
    net = network(Original, rng)
    assert net.network.optimal.shape[0] == 3 * M
    assert all(own.shape == (M, net.edges[-1]) for own in net.network.own)
    assert torch.equal(net.network.own[0], net.network.optimal[-M:])
    X = rng.uniform(0.1, 1, (M, Q, N))
    y = series_of(net, X)
    W, H = net.network.optimal.numpy(), np.ones((net.edges[-1], N * Q))
    whole, newest = y.X.numpy().transpose(1, 0, 2).reshape(3 * M, -1), X.transpose(0, 2, 1).reshape(M, -1)
    for k in range(20):
        part, data = (W, whole) if k < 15 else (W[-M:], newest)
        H = H * (part.T @ (data / np.maximum(part @ H, 1e-30))) / np.maximum(part.sum(axis=0), 1e-30)[:, None]
    found = net.network.inference(first(y, net.loss.D.shape[2]), y).numpy()
    assert np.allclose(found.transpose(1, 0, 2).reshape(len(H), -1), H, rtol=2e-3, atol=1e-5)


def test_layers_of_deep_nmfd_are_steps_of_nmfd(rng):
    """With backgrounds that last as long as the series, of which only the activation at the first date is not zero."""
    net = network(DeepNMFD, rng)
    X = rng.uniform(0.1, 1, (M, Q, N))
    W = [*net.patterns, *net.backgrounds]
    H = np.ones((4, Q, N))
    H[2:, :, 1:] = 0
    for _ in range(20):
        H = _step(X, W, H)
    y = series_of(net, X)
    found = net.network.inference(first(y, net.loss.D.shape[2]), y).numpy()[0]
    assert np.allclose(found[:2 * N].reshape(2, N, Q), H[:2].transpose(0, 2, 1), rtol=2e-3, atol=1e-5)
    assert np.allclose(found[2 * N:], H[2:, :, 0], rtol=2e-3, atol=1e-5)


def _step(X, W, H):
    """(4.4.3) by loops over patterns and lags."""
    Z = np.zeros_like(X)
    for w, h in zip(W, H):
        for r in range(w.shape[1]):
            Z[:, :, r:] += w[:, r, None, None] * h[None, :, :N - r]
    new = np.empty_like(H)
    for j, (w, h) in enumerate(zip(W, H)):
        up, down = np.zeros_like(h), np.zeros_like(h)
        for r in range(w.shape[1]):
            up[:, :N - r] += np.einsum("m,mqn->qn", w[:, r], (X / Z)[:, :, r:])
            down[:, :N - r] += w[:, r].sum()
        new[j] = h * up / down
    return new


def test_deep_nmfd_with_patterns_of_one_date_is_deep_nmf(rng):
    settings = replace(PLAIN, length=1)
    net = network(DeepNMFD, rng, settings)
    X = rng.uniform(0.1, 1, (M, Q, N)).astype(np.float32)
    y = series_of(net, X)
    found = net.network.inference(first(y, net.loss.D.shape[2]), y)
    wanted, _ = net.loss.parts(found)
    D = net.loss.D.numpy()[0].reshape(N, M, -1)
    for date in range(N):   # a pattern's activation at a date is seen at that date only
        others = np.delete(np.arange(2 * N), [date, N + date])
        assert (D[date][:, others] == 0).all()
        assert np.allclose(D[date][:, [date, N + date]], net.patterns[:, :, 0].T)
    assert wanted.shape == (1, M * N, Q)


@pytest.mark.parametrize("kind", [PadNMF, DeepNMFD])
def test_invalid_dates_take_no_part(rng, kind):
    net = network(kind, rng)
    net.limits = np.full(2, 1e-3)
    X, valid = rng.uniform(0.1, 1, (M, Q, N)), np.ones((Q, N), bool)
    valid[:, 4] = False
    valid[3] = False
    other = np.where(valid, X, 77.0)
    first_, second = net.detect(X, valid), net.detect(other, valid)
    for a, b in ((first_.event, second.event), (first_.date, second.date), (first_.index, second.index)):
        assert np.array_equal(a, b, equal_nan=True)
    assert first_.event[3] == 0 and first_.date[3] == -1 and np.isnan(first_.index[:, 3]).all()
    assert not np.allclose(net.detect(X, np.ones((Q, N), bool)).index[:, 0], first_.index[:, 0])


@pytest.mark.parametrize("kind", [PadNMF, DeepNMFD])
def test_families_share_an_index_and_a_saved_network_gives_the_same(rng, kind):
    net = network(kind, rng, replace(PLAIN, beta=0.0), patterns=3, families=[0, 1, 0])
    assert net.classes == 2
    net.limits = np.array([0.1, 0.2])
    net.uncertainty = Uncertainty(np.array([[1, 0.2], [0.1, 1]]), 0.0)
    for own in net.network.own:
        own *= torch.as_tensor(rng.uniform(0.5, 1.5, own.shape), dtype=torch.float32)
    X = rng.uniform(0.1, 1, (M, Q, N))
    valid = np.ones((Q, N), bool)
    found, again = net.detect(X, valid), kind.from_state(net.state()).detect(X, valid)
    assert found.index.shape == (2, Q)
    assert np.allclose(found.index, again.index, rtol=1e-5) and np.array_equal(found.event, again.event)


def test_an_event_that_has_hardly_begun_does_not_count_for_a_whole_one(rng):
    net = network(DeepNMFD, rng, patterns=1)
    net.patterns = np.ones((1, M, 1)) * [0.02, 0.6, 0.8]
    H = np.zeros((1, N + 2, 1))
    H[0, 3], H[0, N - 1] = 1, 40
    index, date = net.indices(H)
    assert index == pytest.approx(1) and date == 3


def test_an_event_of_which_less_than_half_is_left_does_not_count_in_pad_nmf(rng):
    net = network(PadNMF, rng, patterns=1)
    H = np.full((N, net.loss.D.shape[2], 1), 1e-3)
    H[N - 1, 0], H[N - 2, 0], H[N - 1, 1] = 100, 1, 1
    index, date = net.indices(H)
    assert date == N - 2 and index == pytest.approx(1)


@pytest.mark.parametrize("kind", [PadNMF, DeepNMFD])
def test_what_is_missing_is_not_taken_for_nothing(rng, kind):
    net = network(kind, rng, replace(PLAIN, K=600, C=0), patterns=1, limits=np.array([0.5]))
    X = np.einsum("jmt,jq->mqt", net.backgrounds, rng.uniform(0.5, 1, (2, Q)))
    X[:, :, 4:7] += net.patterns[0][:, None]
    valid = np.ones((Q, N), bool)
    valid[:, [1, 2, 8]] = False
    whole, gaps = net.detect(X, np.ones((Q, N), bool)), net.detect(X, valid)
    assert (whole.date == 4).all() and (gaps.date == 4).all()
    np.testing.assert_allclose(gaps.index, whole.index, rtol=0.1)


def test_other_series_are_refused(rng):
    net = network(PadNMF, rng)
    with pytest.raises(ValueError, match="4 bands and 9 dates.*4 and 7"):
        net.detect(np.ones((M, 2, 7)), np.ones((2, 7), bool))


def test_operations_count_two_products_a_layer(rng):
    net = network(PadNMF, rng)
    a = net.loss.D.shape[2]
    assert net.operations() == 20 * N * (4 * 3 * M * a + 3 * M + 2 * a)
    assert net.numbers() == 6 * net.network.optimal.numel()
