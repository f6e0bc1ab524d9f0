"""Simulated scenes keep what they promise."""

import numpy as np
import pytest

from subpixel.algorithms.simulate.scene import (abundances, add_noise, dirichlet_abundances, gaussian_bumps,
                                                gaussian_field_abundances, noise_variances, prune_library, simulate)


@pytest.fixture
def rng():
    return np.random.default_rng(3)


def on_the_simplex(A):
    return A.min() >= 0 and np.allclose(A.sum(axis=0), 1, rtol=0, atol=1e-12)


def test_dirichlet_abundances_lie_on_the_simplex_and_are_uniform_on_average(rng):
    A = dirichlet_abundances(4, 20000, rng)
    assert A.shape == (4, 20000) and on_the_simplex(A)
    assert np.allclose(A.mean(axis=1), 0.25, atol=0.01)
    assert np.allclose(A.var(axis=1), 3 / 80, rtol=0.05)  # of Dirichlet(1, 1, 1, 1)


def test_fields_are_correlated_up_to_their_length_only(rng):
    draws = np.stack([gaussian_field_abundances(2, 32, 40, rng, length=8, contrast=0.5) for _ in range(60)])
    assert all(on_the_simplex(A) for A in draws)
    image = draws[:, 0].reshape(-1, 32, 40) - 0.5
    def correlation(lag):
        return np.mean(image[:, :, lag:] * image[:, :, :40 - lag]) / np.mean(image**2)
    h = 2 / 8
    assert correlation(2) == pytest.approx(1 - 1.5 * h + 0.5 * h**3, abs=0.08)
    assert abs(correlation(12)) < 0.1


def test_bumps_are_gaussians_cut_at_the_top_and_the_last_endmember_is_the_rest(rng):
    A = gaussian_bumps(3, 70, 70, rng, variance=100.0)
    assert on_the_simplex(A) and A.max() == pytest.approx(0.7) and A.max() <= 0.7
    lone = (A[0] > 0.2) & (A[0] < 0.6) & (A[1] < 0.01)   # on a flank of the first bump, off the second
    assert lone.sum() > 20
    down, across = np.divmod(np.flatnonzero(lone), 70)
    design = np.stack([down**2 + across**2, down, across, np.ones_like(down)], axis=1)
    curvature = np.linalg.lstsq(design, np.log(A[0, lone]), rcond=None)[0][0]
    assert curvature == pytest.approx(-1 / 200, rel=0.05)


def test_bumps_obey_the_wishes_of_all_abundances(rng):
    assert np.all(abundances(3, 30, 30, rng, "bumps", pure_pixels=True).max(axis=1) == 1)
    assert abundances(3, 30, 30, rng, "bumps", max_abundance=0.5).max() <= 0.5
    with pytest.raises(ValueError, match="choose dirichlet, fields or bumps"):
        abundances(3, 30, 30, rng, "lumps")
    with pytest.raises(ValueError, match="variance of the bumps is 0"):
        gaussian_bumps(3, 30, 30, rng, variance=0)


@pytest.mark.parametrize("fields", [False, True])
def test_pure_pixels_are_there_when_asked_for(rng, fields):
    _, A = simulate(rng.random((20, 5)), 16, 12, rng, fields=fields, pure_pixels=True)
    assert on_the_simplex(A)
    assert np.all(A.max(axis=1) == 1)


@pytest.mark.parametrize("fields", [False, True])
def test_a_cap_leaves_no_abundance_above_it(rng, fields):
    _, A = simulate(rng.random((20, 5)), 16, 12, rng, fields=fields, max_abundance=0.6)
    assert on_the_simplex(A)
    assert 0.59 < A.max() <= 0.6


@pytest.mark.parametrize("eta", [None, np.inf, 18, 0.1])
def test_noise_has_the_snr_asked_for(rng, eta):
    X = rng.random((100, 4000))
    E = add_noise(X, 20, rng, eta) - X
    assert 10 * np.log10(np.sum(X**2) / np.sum(E**2)) == pytest.approx(20, abs=0.15)


def test_noise_is_shaped_over_the_bands_by_eta():
    X = np.ones((100, 10))
    white, shaped, one = (noise_variances(X, 20, eta) for eta in (None, 18, 0.01))
    assert np.allclose(white, 0.01)
    assert shaped[49] / shaped[49 + 18] == pytest.approx(np.exp(0.5))  # band 50 is the centre, eta bands further on
    assert np.flatnonzero(one).tolist() == [49]
    assert white.sum() == pytest.approx(shaped.sum()) == pytest.approx(one.sum())


def test_without_noise_the_scene_is_the_product(rng):
    M = rng.random((30, 3))
    Y, A = simulate(M, 8, 9, rng)
    assert np.array_equal(Y, M @ A)


def test_the_same_seed_gives_the_same_scene():
    M = np.random.default_rng(0).random((30, 3))
    first, again, other = (simulate(M, 8, 9, np.random.default_rng(seed), fields=True, snr_db=30)[0]
                           for seed in (1, 1, 2))
    assert np.array_equal(first, again) and not np.array_equal(first, other)


def test_a_pruned_library_keeps_every_angle_and_leaves_out_only_what_is_too_close(rng):
    M = rng.random((50, 60))
    kept = prune_library(M, 0.7)
    U = M / np.linalg.norm(M, axis=0)
    angle = np.arccos(np.clip(U.T @ U, -1, 1))
    among = angle[np.ix_(kept, kept)] + np.pi * np.eye(len(kept))
    assert among.min() >= 0.7 - 1e-12
    left_out = np.setdiff1d(np.arange(60), kept)
    assert left_out.size and np.all(angle[np.ix_(left_out, kept)].min(axis=1) < 0.7)


def test_contradictory_wishes_are_sentences(rng):
    M = rng.random((20, 3))
    with pytest.raises(ValueError, match="exclude each other"):
        simulate(M, 8, 8, rng, pure_pixels=True, max_abundance=0.8)
    with pytest.raises(ValueError, match="above 0.333"):
        simulate(M, 8, 8, rng, max_abundance=0.2)
    with pytest.raises(ValueError, match="radians"):
        prune_library(M, 10)
    with pytest.raises(ValueError, match="larger"):
        simulate(M, 1, 2, rng, pure_pixels=True)
