"""VCA: planted pure pixels are found, in memory and from a stream."""

import numpy as np
import pytest

from subpixel.algorithms.endmembers.simplex import log_volumes
from subpixel.algorithms.endmembers.vca import vca, vca_projection, vca_runs, vca_select
from subpixel.algorithms.pixels import moments


def scene(P, seed, L=60, N=1500, sigma=0.0, illumination=0.0):
    """Mixtures with pure pixels at known places: Y, M, places."""
    rng = np.random.default_rng(seed)
    M = rng.uniform(0.1, 1.0, (L, P))
    A = rng.dirichlet(np.ones(P), N).T
    places = rng.choice(N, P, replace=False)
    A[:, places] = np.eye(P)
    scale = 1 + illumination * rng.uniform(-1, 1, N)
    return M @ A * scale + sigma * rng.standard_normal((L, N)), M, places


@pytest.mark.parametrize("seed", range(10))
def test_planted_pure_pixels_are_found_for_any_seed(seed):
    Y, M, places = scene(5, seed=0)
    found = vca(Y, 5, np.random.default_rng(seed))
    assert found.projective
    assert set(found.indices) == set(places)
    np.testing.assert_allclose(found.raw, Y[:, found.indices])
    np.testing.assert_allclose(found.E, found.raw, atol=1e-10)


@pytest.mark.parametrize("seed", range(5))
def test_low_signal_to_noise_takes_the_affine_branch_and_stays_near_the_endmembers(seed):
    Y, M, places = scene(4, seed=1, sigma=0.15)
    found = vca(Y, 4, np.random.default_rng(seed))
    assert found.snr < 15 + 10 * np.log10(4) and not found.projective
    angle = np.arccos((M / np.linalg.norm(M, axis=0)).T @ (found.E / np.linalg.norm(found.E, axis=0)))
    raw = np.arccos((M / np.linalg.norm(M, axis=0)).T @ (found.raw / np.linalg.norm(found.raw, axis=0)))
    assert angle.min(axis=1).max() < 0.25
    assert angle.min(axis=1).mean() < raw.min(axis=1).mean()


def test_the_projective_branch_sees_through_illumination():
    Y, M, places = scene(4, seed=2, illumination=0.5)
    assert set(vca(Y, 4, np.random.default_rng(0)).indices) == set(places)


def test_snr_is_that_of_the_simulation():
    Y, M, places = scene(3, seed=3, L=100, N=20000, sigma=0.02)
    X = scene(3, seed=3, L=100, N=20000)[0]
    expected = 10 * np.log10(np.mean(np.sum(X ** 2, axis=0)) / (100 * 0.02 ** 2))
    assert vca_projection(moments(Y), 3).snr == pytest.approx(expected, abs=0.1)


def test_branches_at_15_plus_10_log10_P_decibel():
    def projection(P, snr):
        X = scene(P, seed=4, L=100, N=20000)[0]
        sigma = np.sqrt(np.mean(X ** 2) / 10 ** (snr / 10))
        return vca_projection(moments(X + sigma * np.random.default_rng(5).standard_normal(X.shape)), P)
    assert projection(4, 15 + 10 * np.log10(4) + 0.3).projective
    assert not projection(4, 15 + 10 * np.log10(4) - 0.3).projective


def test_dark_pixels_are_never_chosen():
    Y, M, places = scene(3, seed=6, sigma=1e-4)
    Y[:, 10], Y[:, 11] = 0.0, -0.01 * Y[:, 12]
    found = vca(Y, 3, np.random.default_rng(0))
    assert set(found.indices) == set(places)


@pytest.mark.parametrize("sigma", [0.0, 0.15])
def test_a_stream_gives_the_same_as_an_array(sigma):
    Y = scene(4, seed=7, sigma=sigma)[0]
    stream = [Y[:, i:i + 311] for i in range(0, Y.shape[1], 311)]
    one, other = vca(Y, 4, np.random.default_rng(3)), vca(stream, 4, np.random.default_rng(3))
    assert np.array_equal(one.indices, other.indices)
    np.testing.assert_allclose(one.E, other.E)
    projection = vca_projection(moments(stream), 4)
    X = [projection.apply(block) for block in stream]
    assert np.array_equal(vca_select(X, 4, np.random.default_rng(3), affine=not projection.projective), one.indices)


@pytest.mark.parametrize("P", [1, 61])
def test_an_impossible_number_of_endmembers_is_a_sentence(P):
    with pytest.raises(ValueError, match=f"{P} endmembers cannot be found"):
        vca(scene(3, seed=8)[0], P, np.random.default_rng(0))


@pytest.mark.parametrize("sigma", [0.02, 0.3])
def test_restarts_keep_the_largest_simplex_and_begin_with_the_run_without(sigma):
    Y, M, places = scene(8, seed=10, sigma=sigma)
    Y = np.delete(Y, places, axis=1)  # without pure pixels runs end in different places
    projection = vca_projection(moments(Y), 8)
    X = projection.apply(Y)
    assert projection.projective == (sigma < 0.1)

    def volume(restarts):
        chosen = vca_select(X, 8, np.random.default_rng(1), not projection.projective, restarts)
        return log_volumes(projection.U.T @ Y[None, :, chosen])[0]

    volumes = [volume(restarts) for restarts in (1, 4, 40)]
    assert volumes[0] - 1e-9 <= volumes[1] <= volumes[2] + 1e-9 and volumes[0] < volumes[2] - 0.01


@pytest.mark.parametrize("sigma", [0.02, 0.3])
def test_restarts_compare_simplices_as_bright_as_they_are_in_the_scene(sigma):
    Y = scene(4, seed=11, sigma=sigma, illumination=0.5)[0]
    projection = vca_projection(moments(Y), 4)
    indices, vertices = vca_runs(projection.apply(Y), 4, np.random.default_rng(0), 3, not projection.projective)
    for chosen, found in zip(indices, vertices):
        x = projection.U.T @ (Y[:, chosen] - (0 if projection.projective else projection.mean[:, None]))
        np.testing.assert_allclose(found[:len(x)], x)
    assert projection.projective == (sigma < 0.1)


def test_a_scene_of_one_spectrum_is_a_sentence():
    with pytest.raises(ValueError, match="same spectrum"):
        vca(np.ones((20, 1)) * np.linspace(1, 2, 100), 2, np.random.default_rng(0))


def test_more_endmembers_than_dimensions_is_a_sentence():
    with pytest.raises(ValueError, match="spans 3 dimensions only, too few for 4"):
        vca(scene(3, seed=9)[0], 4, np.random.default_rng(0))
