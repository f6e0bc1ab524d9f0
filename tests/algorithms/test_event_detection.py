"""Indices of events, thresholds, decisions and the reduction of uncertainty."""

import numpy as np
import pytest
from scipy.optimize import nnls

from subpixel.algorithms.blind.divergence import divergence
from subpixel.algorithms.events.detection import Uncertainty, decide, diagonal_index, thresholds


def test_the_index_is_the_geometric_mean_of_a_diagonal():
    H = np.full((1, 3, 2, 8), 1e-3)
    H[0, [0, 1, 2], 0, [4, 5, 6]] = [2.0, 4.0, 8.0]
    H[0, [0, 1], 1, [6, 7]] = [5.0, 20.0]
    index = diagonal_index(H, 2)
    assert index.shape == (7, 2)
    assert index[4, 0] == pytest.approx(4) and index[:, 0].argmax() == 4
    assert index[6, 1] == pytest.approx(10) and index[:, 1].argmax() == 6      # cut off by the end of the series
    assert diagonal_index(H, 3)[:, 1].argmax() != 6 and len(diagonal_index(H, 3)) == 6
    H[0, 1, 0, 5] = 0                                                          # all frames must fire
    assert diagonal_index(H, 2)[4, 0] < 1e-4
    assert len(diagonal_index(H, 2, anchored=True)) == 1


def test_a_familys_index_takes_all_its_blocks():
    H = np.ones((2, 2, 1, 3))
    H[0, [0, 1], 0, [0, 1]] = 4
    H[1, [0, 1], 0, [0, 1]] = 9
    assert diagonal_index(H, 1)[0, 0] == pytest.approx(6)
    assert np.allclose(diagonal_index(7 * H, 1), 7 * diagonal_index(H, 1))


def test_thresholds_are_of_event_free_series():
    index = np.array([[1.0, 4.0], [2.0, 8.0]])
    assert thresholds(index, "mean").tolist() == pytest.approx([2, 4])
    assert thresholds(index, "max").tolist() == [4, 8]


def test_the_largest_index_above_its_threshold_decides():
    index = np.array([[5.0, 3.0, 0.5, 1.5], [4.0, 9.0, 0.5, 1.4]])
    date = np.array([[1, 2, 3, 4], [5, 6, 7, 8]])
    found = decide(index, date, np.array([1.0, 10.0]))
    assert found.event.tolist() == [1, 1, 0, 1]      # the second class is below its own threshold throughout
    assert found.date.tolist() == [1, 2, -1, 4]
    assert np.allclose(found.index, [[5, 3, 0.5, 1.5], [0.4, 0.9, 0.05, 0.14]])
    other = decide(index, date, np.array([1.0, 1.0]))
    assert decide(index, date, np.array([4.0, 1.0])).event[0] == 1   # the index itself counts, not its ratio (4.3.32)
    assert other.event.tolist() == [1, 2, 0, 1] and other.date.tolist() == [1, 6, -1, 4]


@pytest.mark.parametrize("beta", [0.0, 1.0, 2.0])
def test_columns_of_the_operator_are_class_means(beta):
    rng = np.random.default_rng(1)
    label = rng.integers(0, 4, 60)
    index = rng.uniform(0.1, 2, (3, 60))
    A = Uncertainty.learn(index, label, beta).A
    L = np.stack([label == k for k in (1, 2, 3)]).astype(float)
    planted = label > 0

    def cost(A):
        return divergence(index[:, planted], A @ L[:, planted], beta)
    for k in range(3):
        assert np.allclose(A[:, k], index[:, label == k + 1].mean(axis=1))
    assert all(cost(A) <= cost(A * np.exp(rng.normal(0, 0.05, A.shape))) for _ in range(50))


@pytest.mark.parametrize("beta", [0.0, 1.0, 2.0])
def test_without_confusion_and_penalty_indices_stay_what_they_are(beta):
    index = np.random.default_rng(2).uniform(0.1, 2, (3, 10))
    assert np.allclose(Uncertainty(np.eye(3), beta, 0.0).latent(index), index, rtol=1e-3)


def test_confusion_is_taken_back():
    A = np.array([[1.0, 0.4, 0.1], [0.5, 1.0, 0.2], [0.3, 0.1, 0.8]])
    x = np.array([[1.0, 0.0], [0.0, 0.7], [0.0, 0.0]])
    found = Uncertainty(A, 2.0, 0.0).latent(A @ x)
    assert np.allclose(found, np.stack([nnls(A, column)[0] for column in (A @ x).T], axis=1), atol=2e-2)
    sparse = Uncertainty(A, 0.0, 0.05).latent(A @ x)
    assert sparse.argmax(axis=0).tolist() == [0, 1] and (sparse > 0.05).sum() == 2


@pytest.mark.parametrize("beta", [0.0, 1.0, 2.0])
def test_the_penalised_cost_is_lower_than_nearby(beta):
    rng = np.random.default_rng(4)
    A, index = rng.uniform(0.1, 1, (3, 3)) + np.eye(3), rng.uniform(0.2, 2, (3, 1))
    reduce = Uncertainty(A, beta, 0.02, 0.25)
    scale = np.diag(A).mean()

    def cost(x):
        return divergence(index / scale, A / scale @ x, beta) + 0.02 * (x**0.25).sum()
    x = reduce.latent(index)
    assert all(cost(x) <= cost(x * np.exp(rng.normal(0, 0.02, x.shape))) + 1e-9 for _ in range(100))


@pytest.mark.parametrize("beta", [0.0, 1.0, 2.0])
def test_steps_without_penalty_never_raise_the_cost(beta, monkeypatch):
    rng = np.random.default_rng(6)
    A, index = rng.uniform(0.1, 1, (3, 3)) + np.eye(3), 10 ** rng.uniform(-3, 3, (3, 50))
    scale, costs = np.diag(A).mean(), []
    for steps in range(1, 20):
        monkeypatch.setattr("subpixel.algorithms.events.detection.STEPS", steps)
        x = Uncertainty(A, beta, 0.0).latent(index)
        costs.append([divergence(i[:, None] / scale, A / scale @ z[:, None], beta) for i, z in zip(index.T, x.T)])
    assert (np.diff(costs, axis=0) <= 1e-9 * np.abs(costs[0])).all()


def test_indices_scale_with_the_mixture():
    rng = np.random.default_rng(5)
    A, index = rng.uniform(0.1, 1, (3, 3)) + np.eye(3), rng.uniform(0.2, 2, (3, 4))
    one, ten = Uncertainty(A, 0.0), Uncertainty(10 * A, 0.0)
    assert np.allclose(one.latent(index), ten.latent(10 * index), rtol=1e-6)
