"""LISTA: untrained it is ISTA, trained it is nearer to the exact solution on mixtures that it has not seen."""

from dataclasses import replace

import numpy as np
import pytest
from sparse_scenes import BERLIN, berlin, library

torch = pytest.importorskip("torch")

from subpixel.algorithms.abundances.ista import ista
from subpixel.algorithms.abundances.lista import Lista, mixtures, targets, train, untrained
from subpixel.algorithms.abundances.sparse import unit
from subpixel.algorithms.abundances.sunsal import sunsal

M = library(P=12)
WEIGHT = 1e-2 * unit(M)
QUICK = dict(layers=5, pixels=1000, epochs=12, batch=64, rate=1e-2)


def rng(seed=0):
    return np.random.default_rng(seed)


def error(A, X):
    return np.square(A - X).sum() / np.square(X).sum()


@pytest.fixture(scope="module")
def unseen():
    return {positive: targets(M, WEIGHT, positive, mixtures(M, 500, rng(9))[0]) for positive in (True, False)}


@pytest.fixture(scope="module")
def trained():
    return train(M, WEIGHT, rng(), **QUICK)


@pytest.mark.parametrize("positive", [True, False])
@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("layers", [1, 16])
def test_untrained_layers_are_as_many_iterations_exactly(layers, positive, tied):
    Y = 1e4 * mixtures(M, 300, rng(1))[0]
    model = untrained(1e4 * M, 1e8 * WEIGHT, layers, positive=positive, tied=tied, dtype=torch.float64)
    expected = ista(Y, 1e4 * M, 1e8 * WEIGHT, positive=positive, iterations=layers, tolerance=0.0)
    assert np.abs(model(Y) - expected.A).max() < 1e-12
    np.testing.assert_allclose(model.unmix(Y).rmse, expected.rmse, rtol=1e-9)


def test_targets_meet_the_optimality_conditions(unseen):
    Y, X = unseen[False]
    gradient = M.T @ (M @ X - Y)
    assert Y.shape[1] == 500 and np.abs(gradient).max() <= WEIGHT * (1 + 1e-6)
    np.testing.assert_allclose(gradient[X != 0], -WEIGHT * np.sign(X[X != 0]), atol=1e-5 * WEIGHT)


def test_training_helps_on_mixtures_that_it_has_not_seen(trained, unseen):
    Y, X = unseen[True]
    assert error(trained(Y), X) < 0.5 * error(untrained(M, WEIGHT, 5)(Y), X)
    assert error(trained(Y), X) < error(ista(Y, M, WEIGHT, iterations=100, tolerance=0.0).A, X)
    assert min(trained.losses) == trained.losses[-1] < 0.5 * trained.losses[0] and len(trained.losses) == 13


@pytest.mark.skipif(not BERLIN.exists(), reason="the real library is not here")
def test_sixteen_layers_are_nearer_than_200_iterations_on_a_real_library():
    """A cell of the benchmark, learning cut short."""
    spectra = berlin()
    weight = 1e-2 * unit(spectra)
    Y, X = targets(spectra, weight, True, mixtures(spectra, 300, rng(9))[0])
    model = train(spectra, weight, rng(), pixels=2000, epochs=6)
    assert error(model(Y), X) < error(ista(Y, spectra, weight, iterations=200, tolerance=0.0).A, X)


@pytest.mark.parametrize("options", [dict(positive=False), dict(tied=True)])
def test_signed_and_tied_layers_learn_too(options, unseen):
    Y, X = unseen[options.get("positive", True)]
    model = train(M, WEIGHT, rng(), **QUICK, **options)
    assert error(model(Y), X) < 0.8 * error(untrained(M, WEIGHT, 5, **options)(Y), X)
    assert len(model.network.own) == (1 if "tied" in options else 5)


def test_thresholds_stay_nonnegative_and_layers_differ(trained):
    thresholds, _, matrices = ([theta[part].detach().numpy() for theta in trained.network.own] for part in range(3))
    assert min(part.min() for part in thresholds) >= 0 and np.abs(matrices[0] - matrices[4]).max() > 1e-3


def test_a_run_that_gets_worse_keeps_its_best():
    model = train(M, WEIGHT, rng(), layers=3, pixels=200, epochs=6, batch=32, rate=1.0)
    Y, X = targets(M, WEIGHT, True, mixtures(M, 200, rng(), noise=0.005)[0])
    assert np.square(model(Y[:, :20]) - X[:, :20]).sum(axis=0).mean() / 2 == pytest.approx(min(model.losses), rel=1e-3)


def test_same_seed_same_network(trained, unseen):
    Y = unseen[True][0]
    again, other = (train(M, WEIGHT, rng(seed), **QUICK)(Y) for seed in (0, 1))
    assert np.array_equal(again, trained(Y)) and not np.array_equal(other, again)


@pytest.mark.parametrize("options", [dict(tied=True), dict(tied=False), dict(positive=False)])
def test_a_state_gives_the_model_back(options, unseen):
    model = train(M, WEIGHT, rng(), layers=3, pixels=200, epochs=2, **options)
    again = Lista.from_state(model.state())
    Y = unseen[True][0]
    assert np.array_equal(again(Y), model(Y)) and again.losses == model.losses and again.weight == WEIGHT


def test_mixtures_whose_targets_are_not_exact_are_left_out(monkeypatch):
    def rough(*args, **options):
        fit = sunsal(*args, **options)
        A, settled = fit.A.copy(), fit.settled.copy()
        A[0, 1] += 0.1
        settled[2] = False
        return replace(fit, A=A, settled=settled)
    monkeypatch.setattr("subpixel.algorithms.abundances.lista.sunsal", rough)
    Y = mixtures(M, 6, rng())[0]
    kept, X = targets(M, WEIGHT, True, Y)
    assert np.array_equal(kept, Y[:, [0, 3, 4, 5]]) and X.shape == (12, 4)


def test_mixtures_are_sparse_and_sum_to_one():
    Y, A = mixtures(M, 4000, rng(), members=3, noise=0.1)
    count = (A > 0).sum(axis=0)
    assert np.bincount(count)[1:] == pytest.approx([4000 / 3] * 3, rel=0.1) and np.allclose(A.sum(axis=0), 1)
    assert (A > 0).mean(axis=1) == pytest.approx(np.full(12, 2 / 12), rel=0.2)
    assert np.std(Y - M @ A) == pytest.approx(0.1 * np.sqrt(np.mean(M ** 2)), rel=0.02)


def test_pixels_that_are_not_finite_come_out_as_such(trained):
    Y = mixtures(M, 5, rng())[0]
    Y[2, 1] = np.inf
    for model in (trained, untrained(M, WEIGHT, 1)):
        found = model.unmix(Y)
        assert np.isnan(found.A[:, 1]).all() and np.isnan(found.A).sum() == 12


@pytest.mark.parametrize("change, words", [(dict(pixels=10), "at least 20"), (dict(layers=0), "at least one layer"),
                                           (dict(weight=0.0), "above zero"), (dict(M=0 * M), "is zero in all")])
def test_bad_arguments(change, words):
    with pytest.raises(ValueError, match=words):
        train(**dict(M=M, weight=WEIGHT, rng=rng()) | change)


@pytest.mark.parametrize("change", [dict(batch=32), dict(rate=1e-3), dict(noise=0.05), dict(epochs=2)])
def test_settings_of_learning_count(change):
    one, two = (train(M, WEIGHT, rng(), **dict(layers=2, pixels=200, epochs=3, batch=64) | options).losses[-1]
                for options in ({}, change))
    assert one != two


def test_a_callback_stops():
    assert len(train(M, WEIGHT, rng(), layers=2, pixels=100, callback=lambda epoch, _: epoch == 3).losses) == 4
