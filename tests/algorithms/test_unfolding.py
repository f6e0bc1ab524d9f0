"""Unrolled networks: layers are iterations, and split gradients are the gradient."""

import numpy as np
import pytest
import torch

from subpixel.algorithms.unfolding.multiplicative import (MultiplicativeLayer, SeparationLoss, Series, first, train)
from subpixel.algorithms.unfolding.network import Unfolded

M, A, Q, B = 7, 5, 6, 3
TARGETS = torch.tensor([True, True, True, False, False])


def whole(sparsity=0.0, **options):
    """A layer whose dictionaries are its parameters, B of them; one entry of each is masked."""
    where = torch.arange(B * M * A).reshape(B, M, A)
    where[:, 0, 1] = B * M * A
    return MultiplicativeLayer(where, sparsity, eps=0.0, **options)


def copies(sparsity=0.0, **options):
    """A layer in whose dictionaries every parameter stands several times, as in shifted patterns."""
    return MultiplicativeLayer(torch.arange(B * M * A).reshape(B, M, A) % 11, sparsity, eps=0.0, **options)


@pytest.fixture
def rng():
    return np.random.default_rng(3)


def case(rng, layer, gaps=False):
    size = int(layer.where.max()) + 1
    theta = torch.as_tensor(rng.uniform(0.2, 1, size - 1 if layer.where.max() == B * M * A else size))
    X = torch.as_tensor(rng.uniform(0.2, 2, (B, M, Q)))
    V = torch.as_tensor((rng.uniform(size=(B, M, Q)) > 0.2).astype(float)) if gaps else None
    S = 0.6 * X if V is None else 0.6 * X * V
    y = Series(X if V is None else X * V, V)
    return theta, y, S, SeparationLoss(layer.dictionary(theta), TARGETS, 0.7)


@pytest.mark.parametrize("make", [whole, copies])
@pytest.mark.parametrize("sparsity", [0.0, 0.3])
@pytest.mark.parametrize("gaps", [False, True])
@pytest.mark.parametrize("shared", [False, True])
def test_the_split_gradient_is_autograds(rng, make, sparsity, gaps, shared):
    layer = make(sparsity)
    theta, y, S, loss = case(rng, layer, gaps)
    network = Unfolded(layer, theta, 6, 4, shared=shared)
    for own in network.own:
        own *= torch.as_tensor(rng.uniform(0.7, 1.3, own.shape))
        own.requires_grad_()
    start = torch.as_tensor(rng.uniform(0.5, 1, (B, A, Q)))
    value = loss(network.forward(start, y), y, S)
    expected = torch.autograd.grad(value, network.own)
    with torch.no_grad():
        states = network.states(start, y)
        parts = network.split_gradients(states, y, *loss.gradient(states[-1], y, S))
    for (plus, minus, scale), gradient in zip(parts, expected, strict=True):
        assert (plus >= 0).all() and (minus >= 0).all()
        assert torch.allclose((plus - minus) * scale, gradient, rtol=1e-8, atol=1e-8 * float(gradient.abs().max()))


def test_the_final_gradient_is_autograds_where_the_thesis_is_misprinted(rng):
    layer = whole()
    theta, y, S, loss = case(rng, layer)
    H = torch.as_tensor(rng.uniform(0.2, 1, (B, A, Q))).requires_grad_()
    expected, = torch.autograd.grad(loss(H, y, S), H)
    plus, minus = loss.gradient(H.detach(), y, S)
    assert torch.allclose(plus - minus, expected, rtol=1e-10)
    wanted, noise = (part.detach() for part in loss.parts(H))   # (4.3.24) as printed: alpha_S inside of the fractions
    Ws, Z = loss.D[:, :, TARGETS].transpose(1, 2), wanted + noise
    printed = Ws @ ((y.X**2 * wanted * noise + 0.7 * wanted) / Z**3 - (y.X * S * noise + 0.7 * S) / Z**2)
    assert not torch.allclose(printed, expected[:, TARGETS], rtol=1e-2)


def test_untrained_layers_are_multiplicative_steps(rng):
    layer = whole(0.2)
    theta, y, _, _ = case(rng, layer)
    H = np.ones((B, A, Q))
    D, X = layer.dictionary(theta).numpy(), y.X.numpy()
    for _ in range(9):
        H = H * np.einsum("bma,bmq->baq", D, X / (D @ H)) / (D.sum(1)[:, :, None] + 0.2)
    for C in (0, 4, 9):
        assert np.allclose(Unfolded(layer, theta, 9, C).inference(first(y, A), y).numpy(), H, rtol=1e-12)
        assert np.allclose(Unfolded(layer, theta, 9, C).forward(first(y, A), y).numpy(), H, rtol=1e-12)


def test_every_discriminative_layer_has_parameters_of_its_own(rng):
    layer = whole()
    theta, y, _, _ = case(rng, layer)
    plain = Unfolded(layer, theta, 6, 3).inference(first(y, A), y)
    for k in range(3):
        network = Unfolded(layer, theta, 6, 3)
        network.own[k] *= torch.as_tensor(rng.uniform(0.5, 1.5, theta.shape))
        assert not torch.allclose(network.inference(first(y, A), y), plain)
        assert torch.equal(network.optimal, theta)
    tied = Unfolded(layer, theta, 6, 3, shared=True)
    assert len(tied.own) == 1 and tied.parameters_of(0) is tied.parameters_of(2)


def test_where_nothing_is_valid_nothing_counts(rng):
    layer = copies()
    theta, y, _, _ = case(rng, layer, gaps=True)
    other = Series(torch.where(y.V > 0, y.X, torch.zeros(())), y.V)
    network = Unfolded(layer, theta, 5, 2)
    H = network.inference(first(y, A), y)
    assert torch.equal(H, network.inference(first(other, A), other))
    full = Series(y.X, torch.ones_like(y.X))
    assert torch.allclose(network.inference(first(full, A), full),
                          network.inference(first(full, A), Series(y.X)), rtol=1e-12)


@pytest.mark.parametrize("gaps", [False, True])
def test_training_lowers_the_loss_and_keeps_zeros(gaps, rng):
    layer = whole()
    theta, y, S, _ = case(rng, layer, gaps)
    theta[3::17] = 0
    loss = SeparationLoss(layer.dictionary(theta), TARGETS, 10.0)
    network = Unfolded(layer, theta, 12, 4)
    history = train(network, loss, y, S, np.random.default_rng(0), epochs=30, batch=3)
    assert len(history) == 31
    assert min(history) < 0.8 * history[0]
    untrained = Unfolded(layer, theta, 12, 4).inference(first(y, A), y)
    assert history[0] == pytest.approx(float(loss(untrained, y, S)), rel=1e-9)
    assert float(loss(network.inference(first(y, A), y), y, S)) == pytest.approx(min(history), rel=1e-6)
    for own in network.own:
        assert (own[3::17] == 0).all() and not torch.equal(own, theta)
    assert torch.equal(network.optimal, theta)


def test_training_that_only_raises_the_loss_keeps_the_parameters(rng):
    layer = whole()
    theta, y, S, loss = case(rng, layer)

    class Uphill(SeparationLoss):
        def gradient(self, H, y, S):
            return super().gradient(H, y, S)[::-1]
    network = Unfolded(layer, theta, 6, 2)
    history = train(network, Uphill(loss.D, TARGETS, 0.7), y, S, rng, epochs=3, batch=3)
    assert len(history) == 4 and min(history) == history[0] < history[1]
    assert all(torch.equal(own, theta) for own in network.own)


def test_batches_and_their_order_count(rng):
    layer = whole()
    theta, y, S, loss = case(rng, layer)
    one, again, other, larger = (
        train(Unfolded(layer, theta, 4, 2), loss, y, S, np.random.default_rng(seed), epochs=2, batch=batch)[1:]
        for seed, batch in ((0, 2), (0, 2), (1, 2), (0, 6)))
    assert one == again and one != other and one != larger


def test_every_series_is_learned_from(rng):
    layer = whole()
    theta, y, S, _ = case(rng, layer)
    loss, learned = SeparationLoss(layer.dictionary(theta), TARGETS, 10.0), []
    last = np.random.default_rng(0).permutation(Q)[-1]
    for share in (1.0, 0.8):
        goal = S.clone()
        goal[:, :, last] *= share
        network = Unfolded(layer, theta, 6, 2)
        history = train(network, loss, y, goal, np.random.default_rng(0), epochs=1, batch=4)   # of 6: 4 and 2
        assert history[1] < history[0]
        learned.append(network.own[0])
    assert not torch.allclose(*learned, rtol=1e-3)


def test_gradients_of_many_layers_are_numbers_in_single_precision(rng):
    layer = whole()
    theta, y, S, loss = case(rng, layer)
    theta, y, S, loss = theta.float(), Series(y.X.float()), S.float(), SeparationLoss(loss.D.float(), TARGETS, 0.7)
    network = Unfolded(layer, theta, 300, 300)
    states = network.states(first(y, A), y)
    for plus, minus, _ in network.split_gradients(states, y, *loss.gradient(states[-1], y, S)):
        assert torch.isfinite(plus).all() and torch.isfinite(minus).all() and plus.max() > 0


def test_training_ends_when_told(rng):
    layer = whole()
    theta, y, S, loss = case(rng, layer)
    history = train(Unfolded(layer, theta, 4, 2), loss, y, S, rng, epochs=50, batch=2,
                    callback=lambda epoch, _: epoch == 3)
    assert len(history) == 4


@pytest.mark.parametrize("K, C", [(0, 0), (3, 4), (3, -1)])
def test_impossible_depths_are_refused(K, C):
    with pytest.raises(ValueError, match="layers"):
        Unfolded(whole(), torch.ones(B * M * A), K, C)


def test_another_number_of_parameters_is_refused():
    with pytest.raises(ValueError, match="2 discriminative layers.*3"):
        Unfolded(whole(), torch.ones(B * M * A), 5, 3, own=[torch.ones(B * M * A)] * 2)
