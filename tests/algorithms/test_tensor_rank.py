"""Tensor rank: planted ranks, whatever the scale and the size."""

import numpy as np
import pytest

from subpixel.algorithms.variability.cpd import Polyadic
from subpixel.algorithms.variability.tensor_rank import scaled_endmembers_rank, tensor_rank


def planted(shape, rank, seed, nonnegative):
    rng = np.random.default_rng(seed)
    draw = rng.random if nonnegative else rng.standard_normal
    return Polyadic(np.ones(rank), tuple(draw((n, rank)) for n in shape)).full()


@pytest.mark.parametrize("nonnegative", [False, True])
@pytest.mark.parametrize("shape", [(50, 50, 20), (4, 60, 60), (4, 30, 20, 20)])
@pytest.mark.parametrize("rank", [1, 2, 4, 6])
def test_planted_ranks_are_found(shape, rank, nonnegative):
    for seed in range(3):
        assert tensor_rank(planted(shape, rank, seed, nonnegative)) == rank


@pytest.mark.parametrize("scale", [1e-6, 0.01, 1e4])
def test_units_do_not_matter(scale):
    assert tensor_rank(scale * planted((50, 50, 20), 4, 0, False)) == 4


def test_two_equal_singular_values_do_not_end_the_count():
    X = np.zeros((12, 12, 12))
    X[range(5), range(5), range(5)] = 5, 5, 3, 3, 1
    assert tensor_rank(X) == 5


def test_noise_of_an_estimate_adds_little():
    """Noise of 30 per cent: its own singular values have wide gaps by chance, but only one after another."""
    X = planted((3, 70, 70), 4, 1, True)
    noise = np.random.default_rng(0).standard_normal(X.shape) * np.sqrt(np.square(X).mean())
    assert 3 <= tensor_rank(X + 0.3 * noise) <= 6


def test_little_noise_adds_nothing():
    X = planted((4, 60, 60), 3, 1, True)
    noise = np.random.default_rng(0).standard_normal(X.shape) * np.sqrt(np.square(X).mean())
    assert tensor_rank(X + 0.1 * noise) == 3


@pytest.mark.parametrize("shape", [(3, 1, 1), (2, 1, 40)])
def test_at_least_one_in_the_smallest_tensors(shape):
    assert 1 <= tensor_rank(np.ones(shape)) <= 2
    assert tensor_rank(np.zeros(shape)) == 1


def test_scaled_endmembers_have_the_product_of_two_ranks():
    rng = np.random.default_rng(2)
    psi = rng.standard_normal((9, 2)) @ rng.standard_normal((2, 8))
    M0 = rng.random((20, 3))
    tensor = M0.T[:, :, None, None] * psi
    unfolded = tensor.transpose(0, 2, 1, 3).reshape(27, -1)
    assert scaled_endmembers_rank(3, psi) == np.linalg.matrix_rank(unfolded) == 6
