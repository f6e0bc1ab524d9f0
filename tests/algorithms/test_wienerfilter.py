"""Wiener filters: they add up, find what was mixed, never raise their cost, and do not depend on blocks."""

import numpy as np
import pytest

from subpixel.algorithms.blind.divergence import divergence, exponent
from subpixel.algorithms.separation.wienerfilter import (Step, _start, activations, background, filters,
                                                           wienerfilter)

L, N = 60, 200
BETAS = (-1, 0, 0.5, 1, 1.5, 2, 3)
every_beta = pytest.mark.parametrize("beta", BETAS)


def signatures():
    """Five distinct spectra (L, 5)."""
    x = np.linspace(0, 1, L)
    return np.stack([0.08 * np.exp(-3 * x) + 0.01, 0.05 + 0.45 / (1 + np.exp(-40 * (x - 0.15))) * (1 - 0.5 * x),
                     0.15 + 0.35 * x, 0.5 - 0.3 * x**2, 0.3 + 0.2 * np.sin(9 * x)], axis=1)


def mixtures(noise=0.0, seed=1):
    """Pixels (L, N), and the fractions (5, N) of the spectra in them."""
    rng = np.random.default_rng(seed)
    A = rng.dirichlet(np.full(5, 0.6), N).T
    X = signatures() @ A
    return np.maximum(X + rng.normal(0, noise, X.shape), 1e-4), A


def test_filters_of_all_sources_sum_to_one_and_their_scenes_to_the_scene():
    X, _ = mixtures(0.01)
    scenes, found = wienerfilter(X, signatures(), [0, 1, 1, 2, 0])
    assert scenes.shape == (3, L, N) and found.H.shape == (5, N)
    assert scenes.sum(axis=0) == pytest.approx(X, rel=1e-12)
    parts = np.random.default_rng(0).uniform(size=(4, 7, 6, 5))   # of a convolutive model: any shape
    assert filters(parts).sum(axis=0) == pytest.approx(np.ones((7, 6, 5)), rel=1e-12)


def test_filters_share_alike_what_no_source_explains():
    F = filters(np.array([[0.0, 3.0], [0.0, 1.0]]))
    assert F.tolist() == [[0.5, 0.75], [0.5, 0.25]]


def test_without_a_background_everything_is_wanted():
    X, _ = mixtures(0.01)
    scenes, _ = wienerfilter(X, signatures(), np.zeros(5, int))
    assert (scenes[0] == X).all()


@pytest.mark.parametrize("beta", [0, 1, 2])
def test_known_mixtures_are_taken_apart(beta):
    X, A = mixtures()
    W = signatures()
    scenes, found = wienerfilter(X, W, [0, 0, 1, 1, 1], beta=beta, iterations=3000, tolerance=1e-6)
    assert found.H == pytest.approx(A, abs=5e-3)
    assert scenes[0] == pytest.approx(W[:, :2] @ A[:2], abs=2e-3)


@every_beta
@pytest.mark.parametrize("sparsity", [0.0, 0.5])
def test_the_cost_never_rises_and_is_the_one_that_is_told(beta, sparsity):
    X, _ = mixtures(0.02)
    costs = []
    found = activations(X, signatures(), beta=beta, sparsity=sparsity, iterations=60, tolerance=0,
                        callback=lambda iteration, cost: costs.append(cost))
    assert len(costs) == found.iterations == 60 and not found.converged
    assert (np.diff(costs) <= 1e-10 * np.abs(costs[1:])).all() and costs[-1] < costs[0]
    scale = signatures().max()
    cost = divergence(X / scale, signatures() @ found.H / scale, beta) + sparsity * found.H.sum()
    assert found.cost == costs[-1] == pytest.approx(cost, rel=1e-9)


@every_beta
def test_a_step_from_anywhere_lowers_each_pixels_cost(beta):
    X, _ = mixtures(0.02)
    H = 10 ** np.random.default_rng(0).uniform(-2, 2, (5, N))
    step = Step(signatures(), beta, 0.1)
    after = step(X, H)
    falls = [step.cost(X[:, [n]], H[:, [n]]) - step.cost(X[:, [n]], after[:, [n]]) for n in range(N)]
    assert min(falls) >= 0


def test_dark_pixels_settle_as_bright_ones_do():
    X, _ = mixtures(0.01)
    bright, dark = activations(X, signatures()), activations(1e-5 * X, signatures())
    np.testing.assert_allclose(dark.H, 1e-5 * bright.H, rtol=1e-6, atol=1e-15)
    assert np.array_equal(dark.settled, bright.settled) and dark.iterations == bright.iterations


def test_single_precision_bears_negative_beta():
    X = 1e-9 * mixtures(0.01)[0]
    fine, single = (activations(X.astype(dtype), signatures(), beta=-3).H for dtype in (np.float64, np.float32))
    np.testing.assert_allclose(single, fine, rtol=1e-3, atol=1e-12)


@every_beta
def test_optimality_conditions_hold_where_it_has_settled(beta):
    X, _ = mixtures(0.02)
    W, scale = signatures(), signatures().max()
    H = activations(X, W, beta=beta, sparsity=0.3, iterations=20000, tolerance=1e-9).H
    Z = W @ H / scale
    gradient = (W / scale).T @ (Z**(beta - 2) * (Z - X / scale)) + 0.3
    assert np.abs(gradient * H).max() < 5e-3 and gradient[H < 1e-6].min() > -1e-3


def test_sparsity_lowers_the_weights():
    X, _ = mixtures(0.01)
    free, sparse = (activations(X, signatures(), sparsity=alpha).H for alpha in (0.0, 2.0))
    assert sparse.sum() < 0.9 * free.sum()
    assert (sparse < 1e-3).mean() > (free < 1e-3).mean()


def test_units_do_not_matter():
    X, _ = mixtures(0.01)
    one = activations(X, signatures(), sparsity=0.1)
    other = activations(1e4 * X, 1e4 * signatures(), sparsity=0.1)
    assert other.H == pytest.approx(one.H, rel=1e-6) and other.cost == pytest.approx(one.cost)


@pytest.mark.parametrize("dtype, near", [(np.float64, 1e-9), (np.float32, 1e-4)])
def test_blocks_give_what_the_whole_gives(dtype, near):
    X = mixtures(0.01)[0].astype(dtype)
    whole, _ = wienerfilter(X, signatures(), [0, 1, 1, 2, 0])
    parts = [wienerfilter(X[:, at:at + 37], signatures(), [0, 1, 1, 2, 0])[0] for at in range(0, N, 37)]
    assert whole.dtype == dtype
    assert np.concatenate(parts, axis=2) == pytest.approx(whole, abs=near)


def test_says_which_pixels_have_settled():
    X, _ = mixtures(0.01)
    found = activations(X, signatures(), iterations=20)
    assert 0 < found.settled.mean() < 1 and not found.converged
    assert activations(X, signatures(), iterations=100000, tolerance=1e-3).converged


def test_callback_stops():
    X, _ = mixtures(0.01)
    assert activations(X, signatures(), tolerance=0, callback=lambda iteration, cost: iteration == 3).iterations == 3
    assert background(X, signatures()[:, :2], 2, callback=lambda iteration, cost: iteration == 3).iterations == 3


@every_beta
def test_background_lowers_its_cost(beta):
    X, _ = mixtures(0.02)
    costs = background(X, signatures()[:, :2], 3, beta=beta, iterations=40, tolerance=0).costs
    assert len(costs) == 41 and (np.diff(costs) <= 1e-10 * costs[1:]).all() and costs[-1] < 0.99 * costs[0]


@every_beta
def test_a_step_of_the_background_is_one_of_all_weights_then_of_its_own_spectra(beta):
    X, wanted = mixtures(0.02)[0], signatures()[:, :2]
    scale = wanted.max()
    x, W = X / scale, np.column_stack([wanted, background(X, wanted, 3, iterations=0).W]) / scale
    H = Step(W, beta)(x, _start(x, W))
    Z = W @ H
    N = W[:, 2:] * ((x * Z**(beta - 2)) @ H[2:].T / (Z**(beta - 1) @ H[2:].T))**exponent(beta)
    found = background(X, wanted, 3, beta=beta, iterations=1)
    np.testing.assert_allclose(found.W, scale * N / N.max(axis=0), rtol=1e-9)


def test_the_background_says_how_it_ended():
    X, wanted = mixtures(0.02)[0], signatures()[:, :2]
    loose, short = (background(X, wanted, 3, iterations=30, tolerance=tolerance) for tolerance in (0.01, 0))
    assert loose.converged and loose.iterations < 30 and len(loose.costs) == loose.iterations + 1
    assert not short.converged and short.iterations == 30


def test_more_spectra_than_bands_and_alike_ones_pass():
    X = mixtures(0.01)[0]
    W = np.column_stack([signatures(), signatures()[:, :2]])
    twice, once = (activations(X, spectra, beta=2) for spectra in (W, signatures()))
    np.testing.assert_allclose(W @ twice.H, signatures() @ once.H, atol=1e-3)
    few = activations(X[:3], signatures()[:3])
    assert np.abs(signatures()[:3] @ few.H - X[:3]).mean() < 0.02 * X[:3].mean()


def test_background_is_learned_where_pixels_show_it():
    rng = np.random.default_rng(3)
    A = np.hstack([rng.dirichlet(np.ones(5), N).T, np.eye(5).repeat(3, axis=1)])
    X, wanted = signatures() @ A, [0, 1]
    found = background(X, signatures()[:, wanted], 3)
    assert found.W.max(axis=0) == pytest.approx(signatures()[:, wanted].max())
    W = np.column_stack([signatures()[:, wanted], found.W])
    scenes, _ = wienerfilter(X, W, [0, 0, 1, 1, 1])
    truth = signatures()[:, wanted] @ A[wanted]
    assert np.linalg.norm(scenes[0] - truth) < 0.03 * np.linalg.norm(truth)


@pytest.mark.parametrize("change, said", [
    (dict(X=-1.0), "200 of 12000 values are negative"), (dict(W=-1.0), "5 of 300 values of the dictionary are neg"),
    (dict(X=np.nan), "not finite"), (dict(X=0.0, beta=0), "200 of 12000 values are 0"),
    (dict(sparsity=-1.0), "sparsity is -1"), (dict(source=[0, 0, 2, 2, 2]), "without gaps"),
    (dict(source=[0, 1]), "5 spectra are numbered")])
def test_refuses_what_it_cannot_use(change, said):
    X, W = mixtures()[0], signatures()
    if "X" in change:
        X[7] = change.pop("X")
    if "W" in change:
        W[7] = change.pop("W")
    with pytest.raises(ValueError, match=said):
        wienerfilter(X, W, change.pop("source", [0, 0, 1, 1, 1]), **change)


def test_refuses_dictionaries_that_do_not_fit():
    X, W = mixtures()[0], signatures()
    with pytest.raises(ValueError, match="60 bands and the dictionary's spectra 59"):
        activations(X, W[1:])
    with pytest.raises(ValueError, match="Spectrum 2 of the dictionary is 0"):
        activations(X, W * [1, 0, 1, 1, 1])
    with pytest.raises(ValueError, match="shape"):
        activations(X, W[:, :0])


def test_refuses_a_background_that_the_pixels_do_not_hold():
    X = signatures()[:, :2] @ np.random.default_rng(0).dirichlet([1, 1], 50).T
    with pytest.raises(ValueError, match="2 spectra explain every pixel already"):
        background(X, signatures()[:, :2], 1)
    with pytest.raises(ValueError, match="51 background spectra cannot be learned from 50 pixels"):
        background(X, signatures()[:, :1], 51)


def test_black_pixels_and_empty_blocks_pass():
    X, _ = mixtures(0.01)
    X[:, 3] = 0
    scenes, found = wienerfilter(X, signatures(), [0, 0, 1, 1, 1])
    assert (scenes[:, :, 3] == 0).all() and found.H[:, 3].max() < 1e-12
    black, _ = wienerfilter(X[:, 3:4], signatures(), [0, 0, 1, 1, 1])
    assert (black == 0).all()
    none, found = wienerfilter(X[:, :0], signatures(), [0, 0, 1, 1, 1])
    assert none.shape == (2, L, 0) and found.H.shape == (5, 0) and found.converged
