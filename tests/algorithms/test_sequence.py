"""What methods for sequences share: masks, order of endmembers, reference and settled endmembers, measures, FCLS."""

import numpy as np
import pytest
from variable_scenes import smooth_spectra

from subpixel.algorithms.abundances.fcls import fcls
from subpixel.algorithms.abundances.nnls import nnls
from subpixel.algorithms.endmembers.vca import vca
from subpixel.algorithms.multitemporal.fclssequence import abundances, fclssequence
from subpixel.algorithms.multitemporal.sequence import (aligned, best_order, nrmse, nrmse_endmembers, reconstruct,
                                                        reference, sam_endmembers, settled, validity)

T, P, N = 3, 3, 400
M0 = smooth_spectra()
L = len(M0)


def sequence(seed=0, noise=0.002):
    """Images with a pure pixel of each material at every date, and their abundances."""
    rng = np.random.default_rng(seed)
    A = rng.dirichlet(np.ones(P), (T, N)).transpose(0, 2, 1)
    A[:, :, :P] = np.eye(P)
    return (M0 @ A + noise * rng.standard_normal((T, L, N))).astype(np.float32), A


Y, A = sequence()


def test_fcls_date_by_date_recovers_the_abundances_in_one_order():
    found = fclssequence(Y, P, np.random.default_rng(1))
    order = best_order(A, found.A)
    assert nrmse(A, found.A[:, order]) < 0.05
    assert nrmse_endmembers(np.broadcast_to(M0.T[None, :, :, None], (T, P, L, 1)), found.M[:, :, order]) < 0.05


def test_what_is_not_valid_never_matters_and_is_missing():
    valid = np.ones((T, N), dtype=bool)
    valid[1, 5:9] = False
    damaged = Y.copy()
    damaged[1, :, 5:9] = np.nan
    found = fclssequence(damaged, P, np.random.default_rng(1), valid)
    assert np.isnan(found.A[1, :, 5:9]).all() and np.isfinite(found.A).sum() == P * valid.sum()
    other = settled(damaged, M0 * 1.05, valid)
    damaged[1, :, 5:9] = 1e6
    assert np.array_equal(settled(damaged, M0 * 1.05, valid).M, other.M)


def test_one_permutation_is_undone_at_each_date():
    rng = np.random.default_rng(2)
    orders = [rng.permutation(P) for _ in range(5)]
    shuffled = [(M0 * (1 + 0.02 * t))[:, order] for t, order in enumerate(orders)]
    for M, order in zip(shuffled, aligned(shuffled)):
        assert np.allclose(M[:, order] / M[:, order].max(), shuffled[0] / shuffled[0].max(), rtol=1e-6)


def test_no_two_endmembers_become_one():
    """The second date's first and second spectra are both nearest to the first date's first."""
    near = np.stack([M0[:, 0], M0[:, 0] * 0.95 + M0[:, 1] * 0.05, M0[:, 2]], axis=1)
    assert sorted(aligned([M0, near])[1].tolist()) == [0, 1, 2]


def test_measures_by_hand():
    X = np.ones((2, 3, 4))
    assert nrmse(X, X) == 0 and nrmse(X, 0 * X) == pytest.approx(1)
    assert nrmse(X, np.stack([X[0], 0 * X[0]])) == pytest.approx(np.sqrt(0.5))
    M = np.broadcast_to(M0.T[None, :, :, None], (T, P, L, 5))
    assert nrmse_endmembers(M, np.stack([1.1 * M0] * T)) == pytest.approx(0.1)
    assert nrmse_endmembers(M, 1.1 * M) == pytest.approx(0.1)
    assert sam_endmembers(M, np.stack([1.1 * M0] * T)) == pytest.approx(0, abs=1e-6)
    assert sam_endmembers(M[:, :1], M[:, 1:2]) == pytest.approx(
        np.arccos(M0[:, 0] @ M0[:, 1] / np.linalg.norm(M0[:, 0]) / np.linalg.norm(M0[:, 1])))


def test_reconstruction_of_shared_and_of_pixels_own_endmembers():
    own = np.broadcast_to(M0.T[None, :, :, None], (T, P, L, N))
    np.testing.assert_allclose(reconstruct(A, own), reconstruct(A, np.stack([M0] * T)), atol=1e-12)


def test_reference_is_the_run_of_vca_that_explains_best():
    rng = np.random.default_rng(5)
    images = Y * (1 + 0.3 * rng.standard_normal((T, 1, N))) + 0.05 * rng.standard_normal(Y.shape)
    images = images.astype(np.float32)
    pixels = np.concatenate(list(images), axis=1).astype(float)

    def misfit(M):
        return np.linalg.norm(pixels - M @ nnls(pixels, M).A)
    one, ten = (reference(images, P, np.random.default_rng(5), runs=runs) for runs in (1, 10))
    rng = np.random.default_rng(5)   # whose first run is a poor one
    runs = [misfit(vca(pixels, P, rng).E) for _ in range(10)]
    assert ten.shape == (L, P) and misfit(one) == pytest.approx(runs[0]) and misfit(ten) == pytest.approx(min(runs))
    assert misfit(ten) < 0.97 * misfit(one)


def test_settling_leaves_good_endmembers_of_a_clean_scene():
    """Without variability the endmembers' distances must not be taken for noise."""
    start = M0 @ (0.9 * np.eye(P) + 0.1 / P)   # mixed pixels
    assert np.linalg.norm(settled(Y, start).M - M0) < 0.2 * np.linalg.norm(start - M0)


def test_settling_keeps_an_endmember_that_no_pixel_uses():
    unused = np.column_stack([M0, 2.0 - 1.5 * np.linspace(0, 1, L)])
    found = settled(Y, unused)
    assert 0.3 < np.linalg.norm(found.M[:, 3]) / np.linalg.norm(unused[:, 3]) < 1.5


@pytest.mark.parametrize("images, words", [(np.ones((2, L, 30)), "alike"), (np.full((2, L, 30), np.nan), "not finite")])
def test_images_that_tell_no_endmembers_are_refused(images, words):
    with pytest.raises(ValueError, match=words):
        settled(images, M0)


def test_weighted_bands_are_fcls_of_whitened_data():
    rng = np.random.default_rng(4)
    root = rng.standard_normal((L, L)) + 5 * np.eye(L)
    R = root @ root.T
    W = np.linalg.inv(np.linalg.cholesky(R))
    found = abundances(Y, np.stack([M0] * T), np.ones((T, N), dtype=bool), R)
    for image, part in zip(Y, found):
        np.testing.assert_allclose(part, fcls(W @ image, W @ M0).A, atol=1e-4)


def test_weighting_tells_smooth_variability_from_fractions():
    rng = np.random.default_rng(5)
    x = np.linspace(-1, 1, L)
    tilt = 1 + 0.15 * (rng.standard_normal((T, 1, N)) + x[:, None] * rng.standard_normal((T, 1, N)))
    varied = (M0 @ A) * tilt
    start = settled(varied, M0)
    plain, weighted = (fclssequence(varied, M=start.M, R=R).A for R in (None, start.R))
    assert nrmse(A, weighted) < 0.85 * nrmse(A, plain)


@pytest.mark.parametrize("images, valid, words", [
    (Y[:1], None, "at least two images"), (Y, np.ones((T, 2)), "mask of valid pixels"),
    (Y, np.r_[np.ones((T - 1, N)), np.zeros((1, N))], "Image 3 has no valid pixel")])
def test_what_is_no_sequence_is_told(images, valid, words):
    with pytest.raises(ValueError, match=words):
        validity(images, valid)
