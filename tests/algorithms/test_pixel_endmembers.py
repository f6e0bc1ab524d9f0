"""Endmembers of every pixel: products, departures and the ridge step are what they are said to be."""

import numpy as np
import pytest
from scipy.optimize import nnls

from subpixel.algorithms.variability.pixel_endmembers import (
    chunks, correlations, departure, grams, mixtures, ridge_endmembers)

P, L, N = 3, 7, 200


@pytest.fixture
def rng():
    return np.random.default_rng(5)


@pytest.fixture
def pixels(rng):
    """T (P, L, N), Y (L, N) and A (P, N) of which many best endmembers without constraint are negative."""
    return rng.normal(0.2, 0.5, (P, L, N)), rng.normal(0.2, 1, (L, N)), rng.dirichlet(np.ones(P), N).T


def cost(M, T, Y, A, weight):
    """Of each band and pixel, (L, N)."""
    return 0.5 * (Y - np.einsum("pln,pn->ln", M, A))**2 + weight / 2 * np.square(M - T).sum(axis=0)


def test_chunks_hold_every_pixel_once():
    covered = np.concatenate([np.arange(5000)[part] for part in chunks(5000)])
    assert np.array_equal(covered, np.arange(5000)) and len(chunks(5000)) > 1


@pytest.mark.parametrize("dtype, tolerance", [(np.float64, 1e-13), (np.float32, 1e-5)])
def test_products_are_those_of_einsum(pixels, dtype, tolerance):
    M, Y, A = (array.astype(dtype) for array in pixels)
    assert mixtures(M, A).dtype == dtype
    assert np.allclose(mixtures(M, A), np.einsum("pln,pn->ln", M, A), rtol=0, atol=tolerance)
    assert np.allclose(grams(M), np.einsum("pln,qln->npq", M, M), rtol=0, atol=tolerance * L)
    assert np.allclose(correlations(M, Y), np.einsum("pln,ln->pn", M, Y), rtol=0, atol=tolerance * L)
    assert np.allclose(correlations(M[:, :, :1], Y), M[:, :, 0] @ Y, rtol=0, atol=tolerance * L)
    assert grams(M).dtype == correlations(M, Y).dtype == np.float64


def test_departure_is_relative_to_each_reference(pixels):
    M0 = np.abs(pixels[0][:, :, 0].T)
    M0[:, 1] = 0
    D = departure(M0.T[:, :, None] * np.array([1.0, 1.25, 0.5]), M0)
    assert np.allclose(D[[0, 2]], [0, 0.25, 0.5]) and np.isnan(D[1]).all()


@pytest.mark.parametrize("weight", [0.01, 1.0, 50.0])
def test_the_projected_ridge_step_is_equation_14(pixels, weight):
    T, Y, A = pixels
    found = ridge_endmembers(T.copy(), Y, A, weight)
    for n in range(N):
        dense = np.linalg.solve(np.outer(A[:, n], A[:, n]) + weight * np.eye(P),
                                (np.outer(Y[:, n], A[:, n]) + weight * T[:, :, n].T).T)
        assert np.allclose(found[:, :, n], np.maximum(dense, 0), rtol=0, atol=1e-11)


@pytest.mark.parametrize("weight", [0.01, 1.0, 50.0])
def test_the_exact_ridge_step_is_nonnegative_least_squares(pixels, weight):
    T, Y, A = pixels
    A[:, :20] *= A[:, :20] > 0.3
    found = ridge_endmembers(T.copy(), Y, A, weight, exact=True)
    stacked = np.array([[nnls(np.vstack([A[:, n], np.sqrt(weight) * np.eye(P)]),
                              np.append(Y[band, n], np.sqrt(weight) * T[:, band, n]))[0]
                         for n in range(N)] for band in range(L)]).transpose(2, 0, 1)
    assert np.allclose(found, stacked, rtol=0, atol=1e-12)
    assert (found == 0).mean() > 0.2


def test_the_exact_step_costs_less_than_the_projected_one(pixels):
    T, Y, A = pixels
    exact, projected = (cost(ridge_endmembers(T.copy(), Y, A, 0.1, exact), T, Y, A, 0.1) for exact in (True, False))
    assert (exact <= projected + 1e-13).all() and (exact < projected - 1e-3).mean() > 0.05


@pytest.mark.parametrize("exact", [False, True])
def test_without_abundances_endmembers_stay_where_they_are_drawn_to(pixels, exact):
    T, Y, A = pixels
    assert np.array_equal(ridge_endmembers(T.copy(), Y, np.zeros_like(A), 1.0, exact), np.maximum(T, 0))


def test_the_ridge_step_works_in_place_and_in_the_type_of_its_endmembers(pixels):
    T, Y, A = pixels
    single = T.astype(np.float32)
    found = ridge_endmembers(single, Y.astype(np.float32), A, 0.1, exact=True)
    assert found is single
    assert np.allclose(found, ridge_endmembers(T.copy(), Y, A, 0.1, exact=True), rtol=0, atol=1e-5)
