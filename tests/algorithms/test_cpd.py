"""CPD: error that never increases, known factors, the cases without a best approximation, and tensorly's answer."""

import numpy as np
import pytest
import tensorly
from tensorly.cp_tensor import CPTensor
from tensorly.decomposition import parafac

from subpixel.algorithms.variability.cpd import Polyadic, cpd, first_guess, khatri_rao, unfolding_gram


def planted(shape, rank, seed=0):
    rng = np.random.default_rng(seed)
    return Polyadic(np.ones(rank), tuple(rng.standard_normal((n, rank)) for n in shape)).full()


def apart(X, fit):
    return np.linalg.norm(X - fit.full()) / np.linalg.norm(X)


@pytest.mark.parametrize("shape", [(6, 7), (3, 12, 10), (3, 8, 7, 6), (2, 3, 4, 5, 3)])
def test_a_tensor_of_exact_rank_is_found(shape):
    X = planted(shape, 3)
    fit = cpd(X, 3, sweeps=400, tolerance=1e-12)
    assert apart(X, fit) < 1e-5
    assert np.allclose([np.linalg.norm(factor, axis=0) for factor in fit.factors], 1)


@pytest.mark.parametrize("shape,rank", [((3, 12, 10), 5), ((4, 9, 7, 6), 12)])
def test_the_error_never_increases_and_is_that_of_the_answer(shape, rank):
    X = np.random.default_rng(1).random(shape)
    fit = cpd(X, rank, sweeps=60, tolerance=-1)
    assert (np.diff(fit.errors) <= 1e-12).all() and fit.errors[-1] < 0.9 * fit.errors[0]
    assert fit.errors[-1] == pytest.approx(apart(X, fit), rel=1e-8)


@pytest.mark.parametrize("shape,rank", [((4, 20, 15), 6), ((3, 16, 9, 8), 7)])
def test_from_the_same_start_tensorly_gets_the_same(shape, rank):
    X = np.random.default_rng(2).random(shape)
    start = first_guess(X, rank)
    ours = cpd(X, rank, start, sweeps=20, tolerance=-1)
    theirs = parafac(X, rank, init=CPTensor((None, list(start.factors))), n_iter_max=20, tol=0)
    expected = np.linalg.norm(X - tensorly.cp_to_tensor(theirs)) / np.linalg.norm(X)
    assert ours.errors[-1] == pytest.approx(expected, rel=1e-3)


def test_a_warm_start_goes_on_where_the_last_call_ended():
    X = planted((3, 12, 10), 4) + 0.1 * planted((3, 12, 10), 8, seed=1)
    half, whole = cpd(X, 4, sweeps=10, tolerance=-1), cpd(X, 4, sweeps=20, tolerance=-1)
    assert np.allclose(cpd(X, 4, half, sweeps=10, tolerance=-1).errors, whole.errors[10:], atol=1e-12)


def test_more_components_than_the_tensor_has_stay_finite():
    spectra = np.random.default_rng(3).random((3, 20))
    X = np.broadcast_to(spectra[:, :, None, None], (3, 20, 9, 8)).copy()
    fit = cpd(X, 12, sweeps=200, tolerance=-1)
    assert apart(X, fit) < 1e-6
    assert fit.weights.max() < 10 * np.linalg.norm(X)


def test_components_that_cancel_grow_slowly():
    a, b = np.random.default_rng(4).standard_normal((2, 8))
    X = sum(np.multiply.outer(np.multiply.outer(*pair), last) for *pair, last in ((a, a, b), (a, b, a), (b, a, a)))
    fit = cpd(X, 2, sweeps=500, tolerance=-1)   # of rank 3, but approached by rank 2 as closely as one likes
    assert np.isfinite(fit.errors).all() and (np.diff(fit.errors) <= 1e-9).all()
    assert fit.weights.max() < 1e3 * np.linalg.norm(X)


def test_a_component_of_weight_zero_comes_back():
    X = planted((4, 9, 8), 3)
    found = cpd(X, 3, sweeps=300, tolerance=1e-12)
    weights = found.weights * [1, 1, 0]
    assert apart(X, cpd(X, 3, Polyadic(weights, found.factors), sweeps=100, tolerance=1e-12)) < 1e-4


def test_single_precision_is_enough():
    X = planted((3, 20, 12, 10), 3)
    fit = cpd(X.astype(np.float32), 3, sweeps=200)
    assert apart(X, fit) < 1e-2 and fit.factors[0].dtype == np.float64


def test_zeros_have_the_decomposition_zero():
    fit = cpd(np.zeros((3, 5, 4)), 2)
    assert np.array_equal(fit.full(), np.zeros((3, 5, 4))) and fit.converged


@pytest.mark.parametrize("rank", [0, 13])
def test_a_rank_that_the_tensor_cannot_have_is_refused(rank):
    with pytest.raises(ValueError, match=f"rank of {rank} .* 3 x 4 x 5: choose between 1 and 12"):
        cpd(np.ones((3, 4, 5)), rank)


def test_a_start_of_another_rank_is_refused():
    X = planted((3, 5, 4), 2)
    with pytest.raises(ValueError, match="rank 2 for a tensor of 3 x 5 x 4, wanted is rank 3"):
        cpd(X, 3, first_guess(X, 2))


@pytest.mark.parametrize("mode", range(4))
def test_grams_of_the_unfoldings(mode):
    X = np.random.default_rng(5).random((3, 5, 4, 2))
    unfolding = np.moveaxis(X, mode, 0).reshape(X.shape[mode], -1)
    assert np.allclose(unfolding_gram(X, mode), unfolding @ unfolding.T)


def test_khatri_rao_in_the_order_of_the_pixels():
    a, b = np.random.default_rng(6).random((2, 4, 3))
    assert np.allclose(khatri_rao([a, b]).reshape(4, 4, 3), np.einsum("ik,jk->ijk", a, b))
