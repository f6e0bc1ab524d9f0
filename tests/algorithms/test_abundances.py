"""What each of the abundance methods promises, on made and on real pixels."""

import numpy as np
import pytest
import rasterio

from subpixel.algorithms.abundances.active_set import kkt_residual
from subpixel.algorithms.abundances.fcls import fcls
from subpixel.algorithms.abundances.linear_model import check_endmembers
from subpixel.algorithms.abundances.nnls import nnls
from subpixel.algorithms.abundances.products import products
from subpixel.algorithms.abundances.scls import scls
from subpixel.algorithms.abundances.ucls import ucls
from subpixel.algorithms.check.metrics import sad

METHODS = [ucls, nnls, scls, fcls]


@pytest.fixture
def rng():
    return np.random.default_rng(5)


@pytest.fixture
def M(rng):
    return rng.random((30, 4)) + 0.1


@pytest.fixture
def Y(rng, M):
    return M @ rng.dirichlet(np.ones(4), 200).T + 0.1 * rng.standard_normal((30, 200))


@pytest.mark.parametrize("dtype", [np.int16, np.uint8, np.float32, ">i2"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_products_are_those_of_the_values_in_double_precision(rng, dtype, order):
    Y = np.asarray(rng.integers(0, 200, (150, 3000)), dtype=dtype, order=order)
    M = rng.random((150, 5))
    C, q = products(Y[:, 3:-4], M)
    exact = Y[:, 3:-4].astype(np.float64)
    assert np.allclose(C, M.T @ exact, rtol=1e-13) and np.array_equal(q, np.sum(exact**2, axis=0))


@pytest.mark.parametrize("method", METHODS)
def test_endmembers_unmix_to_themselves(method, M):
    fit = method(M, M)
    assert np.allclose(fit.A, np.eye(4), rtol=0, atol=1e-10)
    assert fit.rmse.max() < 1e-7 and fit.angle.max() < 1e-7


@pytest.mark.parametrize("method", METHODS)
def test_errors_are_those_of_the_reconstruction(method, M, Y):
    fit = method(Y, M)
    X = M @ fit.A * getattr(fit, "psi", 1.0)
    assert np.allclose(fit.rmse, np.sqrt(np.mean((Y - X) ** 2, axis=0)), rtol=1e-9)
    assert np.allclose(fit.angle, sad(Y, X), rtol=1e-9)


def test_each_method_keeps_its_constraints(M, Y):
    assert np.allclose(ucls(Y, M).A, np.linalg.lstsq(M, Y)[0])
    assert ucls(Y, M).A.min() < 0
    assert nnls(Y, M).A.min() == 0
    assert np.abs(nnls(Y, M).A.sum(axis=0) - 1).max() > 0.01
    for method in (fcls, scls):
        A = method(Y, M).A
        assert A.min() == 0 and np.abs(A.sum(axis=0) - 1).max() < 1e-14


def test_more_constraints_never_fit_better(M, Y):
    assert np.all(ucls(Y, M).rmse <= nnls(Y, M).rmse + 1e-12)
    assert np.all(nnls(Y, M).rmse <= fcls(Y, M).rmse + 1e-12)


def test_brightness_changes_the_scaling_only(M, Y):
    fit, brighter = scls(Y, M), scls(3 * Y, M)
    assert np.allclose(brighter.A, fit.A, rtol=0, atol=1e-12)
    assert np.allclose(brighter.psi, 3 * fit.psi)


def test_a_dark_pixel_has_a_scaling_of_zero_and_no_abundances(M):
    fit = scls(np.column_stack([np.zeros(30), -M[:, 0], M[:, 0]]), M)
    assert fit.psi[:2].tolist() == [0, 0] and np.isnan(fit.A[:, :2]).all()
    assert fit.rmse[1] == pytest.approx(np.sqrt(np.mean(M[:, 0] ** 2)))
    assert np.isnan(fit.angle[:2]).all()
    assert fit.A[:, 2] == pytest.approx([1, 0, 0, 0])


def test_one_endmember_is_everything_to_fcls(M, Y):
    assert np.all(fcls(Y, M[:, :1]).A == 1)


def test_fcls_tells_a_bright_and_a_dark_variant_apart(M):
    variants = np.column_stack([M, 0.5 * M[:, 0]])
    assert fcls(0.75 * M[:, :1], variants).A[:, 0] == pytest.approx([0.5, 0, 0, 0, 0.5], abs=1e-9)
    with pytest.raises(ValueError, match="endmember 5 is a combination"):
        nnls(M, variants)


def test_a_pixel_that_is_not_finite_is_nan_and_alone(M, Y):
    expected = fcls(Y, M).A
    Y = Y.copy()
    Y[3, 10] = np.nan
    fit = fcls(Y, M)
    assert np.isnan(fit.A[:, 10]).all() and np.isnan(fit.rmse[10])
    assert np.allclose(np.delete(fit.A, 10, axis=1), np.delete(expected, 10, axis=1), rtol=0, atol=1e-13)


@pytest.mark.parametrize("spoil, sentence", [
    (lambda M: np.column_stack([M, M[:, 1]]), "water and rock are identical"),
    (lambda M: np.column_stack([M, M[:, 0] - M[:, 1] + M[:, 2]]), "rock is a combination"),
    (lambda M: np.column_stack([M, np.full(30, np.nan)]), "rock is not a number in 30 of 30 bands"),
    (lambda M: np.column_stack([M, M[:, 0] ** 2])[:4], "5 endmembers but only 4 bands"),
    (lambda M: M[:, :0], "at least one"),
])
def test_endmembers_that_cannot_be_told_apart_are_a_sentence(M, spoil, sentence):
    with pytest.raises(ValueError, match=sentence):
        check_endmembers(spoil(M), ["soil", "water", "tree", "road", "rock"], sum_to_one=True)


def test_other_bands_are_a_sentence(M, Y):
    with pytest.raises(ValueError, match="29 bands, the image 30"):
        fcls(Y, M[:-1])


def test_fcls_is_optimal_on_every_pixel_of_samson(scenes):
    with rasterio.open(scenes / "samson" / "samson_1.img") as image:
        Y = image.read().reshape(image.count, -1)
    M = Y[:, np.random.default_rng(0).choice(Y.shape[1], 5, replace=False)].astype(np.float64)
    G, C = M.T @ M, products(Y, M)[0]
    assert kkt_residual(G, C, fcls(Y, M).A, True).max() <= 1e-6


def test_fcls_takes_a_zero_spectrum_as_shade(M):
    a = np.array([0.3, 0.2, 0.5])
    fit = fcls((M[:, :2] @ a[:2])[:, None], np.column_stack([M[:, :2], np.zeros(len(M))]))
    np.testing.assert_allclose(fit.A[:, 0], a, atol=1e-12)
    with pytest.raises(ValueError, match="endmember 3 is zero in all 30 bands"):
        nnls(np.ones((len(M), 1)), np.column_stack([M[:, :2], np.zeros(len(M))]))
