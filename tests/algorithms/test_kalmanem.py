"""Kalman-EM: what a random walk of the endmembers makes of a sequence."""

import numpy as np
import pytest

from subpixel.algorithms.abundances.fcls import fcls
from subpixel.algorithms.multitemporal.fclssequence import fclssequence
from subpixel.algorithms.multitemporal.kalmanem import BOUNDED, SequenceEndmembers, _Problem, kalmanem, learn
from subpixel.algorithms.multitemporal.sequence import nrmse, nrmse_endmembers

T, L, P, N = 6, 30, 3, 400


def spectra(rng):
    """Smooth, positive and different."""
    band = np.linspace(0, 1, L)[:, None]
    return 0.3 + 0.25 * np.cos(np.pi * band * np.array([1.0, 2.0, 3.0]) + np.array([0.0, 1.0, 2.0]))


def scene(seed=0, drift=0.08, noise=1e-3, constant=True):
    """Endmembers whose factors walk at random around 1, and abundances, the same at all dates or not."""
    rng = np.random.default_rng(seed)
    M0 = spectra(rng)
    bend = np.stack([np.ones(L), np.linspace(-1, 1, L)], axis=1) @ rng.normal(size=(T, 2, P))
    walk = np.cumsum(bend, axis=0)
    M = M0 * (1 + drift * (walk - walk.mean(axis=0)))
    A = rng.dirichlet(np.full(P, 0.4), N if constant else (T, N))
    A = np.stack([A.T] * T) if constant else A.transpose(0, 2, 1)
    return M0, M, A, (M @ A + noise * rng.normal(size=(T, L, N))).astype(np.float32)


@pytest.mark.parametrize("settings", [dict(), dict(sum_to_one=True), dict(learn_Q=False, Q=1e-2)])
def test_a_known_drift_is_recovered(settings):
    M0, M, A, Y = scene()
    found, still = kalmanem(Y, M0, **settings), fclssequence(Y, M=M0)
    assert nrmse_endmembers(as_pixels(M), found.M) < 0.02 * nrmse_endmembers(as_pixels(M), still.M)
    assert nrmse(A, found.A) < 0.05 * nrmse(A, still.A)
    np.testing.assert_allclose(found.A.sum(axis=1), 1, atol=1e-6)
    assert found.A.min() >= 0


def test_intervals_cover_what_the_model_draws():
    for seed in range(3):
        M0, M, A, Y = scene(seed, noise=0.01)
        found = kalmanem(Y, M0)
        assert 0.85 < np.mean(np.abs(found.A - A) < 1.645 * found.sd) < 0.95


def as_pixels(M):
    """Endmembers (T, L, P) as those of one pixel, (T, P, L, 1)."""
    return M.transpose(0, 2, 1)[..., None]


@pytest.mark.parametrize("settings", [dict(), dict(sum_to_one=True), dict(learn_Q=False, Q=1e-4)])
@pytest.mark.parametrize("gaps", [False, True])
def test_no_round_lowers_the_likelihood(settings, gaps):
    M0, _, _, Y = scene(1, noise=0.02, constant=False)
    valid = np.random.default_rng(2).random((T, N)) < 0.7 if gaps else None
    costs = np.array(learn(Y, M0, valid, iterations=12, tolerance=0, **settings).costs)
    assert len(costs) == 13
    assert np.diff(costs).max() <= 1e-9 * abs(costs[0])
    assert costs[-1] < costs[1] - 1


def test_the_filter_given_abundances_is_batch_least_squares():
    """With psi free (P_0, Q large) or constant (Q small), M is the regression of the images on the abundances."""
    M0, _, _, Y = scene(3, noise=0.05)
    for Q in (1e6, 1e-12):
        state = _Problem(Y.astype(float), np.ones((T, N), bool), M0, sum_to_one=True).start(Q, P0=1e8, sigma=0.05)
        A = state.A
        each = [y.astype(float) @ A.T @ np.linalg.inv(A @ A.T) for y in Y]
        expected = each if Q > 1 else [np.mean(each, axis=0)] * T
        np.testing.assert_allclose(state.M, expected, atol=1e-5)


def test_without_steps_one_set_of_endmembers_serves_all_dates():
    M0, _, _, Y = scene(4)
    M0 = M0 * np.linspace(0.9, 1.1, L)[:, None]
    M = kalmanem(Y, M0, Q=1e-14, learn_Q=False).M
    np.testing.assert_allclose(M, np.broadcast_to(M[0], M.shape), atol=1e-7)
    assert np.abs(M[0] - M0).max() > 0.01


@pytest.mark.parametrize("settings", [dict(), BOUNDED])
def test_masked_entries_never_matter(settings):
    M0, _, _, Y = scene(5)
    valid = np.random.default_rng(0).random((T, N)) < 0.8
    valid[:, 7] = False
    results = []
    for fill in (0, np.nan, -32768):
        found = kalmanem(np.where(valid[:, None], Y, np.float32(fill)), M0, valid, **settings)
        results.append((found.A, found.M, found.sd, found.costs))
    for other in results[1:]:
        for a, b in zip(results[0], other):
            np.testing.assert_array_equal(a, b)
    assert np.isnan(results[0][0][..., 7]).all()
    assert np.isfinite(np.delete(results[0][0], 7, axis=2)).all()


def test_a_masked_pixel_is_estimated_from_its_other_dates():
    M0, _, A, Y = scene(6)
    full = kalmanem(Y, M0, sum_to_one=True)
    valid = np.ones((T, N), dtype=bool)
    valid[2, :50] = False
    found = kalmanem(Y, M0, valid, sum_to_one=True)
    assert np.abs(found.A[2, :, :50] - full.A[2, :, :50]).max() < 0.03
    rows = [np.concatenate(part) for part in (found.M[valid[:, 0]], Y[valid[:, 0]])]
    np.testing.assert_allclose(found.A[2, :, :50], fcls(rows[1][:, :50], rows[0]).A, atol=1e-5)


def test_blocks_give_what_the_whole_gives():
    M0, _, _, Y = scene(7)
    valid = np.random.default_rng(1).random((T, N)) < 0.8
    whole = kalmanem(Y, M0, valid, **BOUNDED)
    model = learn(Y, M0, valid, **BOUNDED)
    parts = [model.unmix(Y[..., part], valid[:, part]) for part in (slice(150), slice(150, N))]
    for k, name in enumerate(("A", "sd")):
        np.testing.assert_allclose(np.concatenate([part[k] for part in parts], axis=2), getattr(whole, name), atol=1e-5)


def test_more_pixels_than_needed_are_sampled(monkeypatch):
    monkeypatch.setattr("subpixel.algorithms.multitemporal.kalmanem.SAMPLE", 150)
    M0, M, A, Y = scene(0)
    found = kalmanem(Y, M0)
    assert learn(Y, M0).A.shape == (P, 134)
    assert found.A.shape == (T, P, N)
    assert nrmse(A, found.A) < 0.05


@pytest.mark.parametrize("coloured", [False, True])
def test_sd_is_the_spread_of_the_estimate(coloured):
    """Interior pixels, endmembers and noise drawn from the model: also where two dates fill the gap of a third."""
    rng = np.random.default_rng(8)
    M = np.stack([spectra(rng)] * 3)
    smoothness = np.exp(-np.abs(np.subtract.outer(np.arange(L), np.arange(L))) / 4) if coloured else np.eye(L)
    R = 0.01 ** 2 * smoothness
    root = rng.normal(size=(3, L, P, P)) * 0.01
    model = SequenceEndmembers(M, root @ np.swapaxes(root, -1, -2), R, None, (), True)
    draws, a = 4000, np.array([0.3, 0.4, 0.3])
    M_true = M + np.einsum("tlpq,dtlq->dtlp", root, rng.normal(size=(draws, 3, L, P)))
    Y = np.einsum("dtlp,p->tld", M_true, a)
    Y += np.einsum("lk,tkd->tld", np.linalg.cholesky(R), rng.normal(size=(3, L, draws)))
    A, sd = model.unmix(Y)
    np.testing.assert_allclose(A.std(axis=2), sd.mean(axis=2), rtol=0.06)
    valid = np.ones((3, draws), dtype=bool)
    valid[1] = False
    A, sd = model.unmix(Y, valid)
    assert (A[1].std(axis=1) < sd[1].mean(axis=1) * 1.02).all()
    assert (sd[1].mean(axis=1) < 1.5 * A[1].std(axis=1)).all()
    assert (A.min(axis=(0, 2)) > 0).all()


def test_bands_with_coloured_noise_count_less():
    """A smooth error that all bands share hides the abundances from plain FCLS only."""
    rng = np.random.default_rng(9)
    M0, _, A, Y = scene(9, drift=0.0)
    Y = Y + 0.1 * np.einsum("lk,tkn->tln", np.linspace([1, 0], [1, 1], L), rng.normal(size=(T, 2, N)))
    settings = {**BOUNDED, "coloured": False}
    plain, weighted = kalmanem(Y, M0, **settings), kalmanem(Y, M0, **BOUNDED)
    assert nrmse(A, weighted.A) < 0.7 * nrmse(A, plain.A)
    assert weighted.sd.mean() > 0


def test_fractions_that_change_break_a_learned_q_and_not_a_bounded_one():
    M0, _, _, _ = scene(10)
    rng = np.random.default_rng(10)
    A = np.stack([rng.dirichlet(0.3 + 2 * np.roll([1, 0, 0], t % 3), N).T for t in range(T)])
    Y = (M0 @ A + 0.005 * rng.normal(size=(T, L, N))).astype(np.float32)
    free, bounded = kalmanem(Y, M0), kalmanem(Y, M0, **BOUNDED)
    assert nrmse(A, bounded.A) < 0.5 * nrmse(A, free.A)


def test_it_can_be_stopped_and_says_how_it_ended():
    M0, _, _, Y = scene(11)
    seen = []
    stopped = kalmanem(Y, M0, callback=lambda iteration, cost: seen.append((iteration, cost)) or iteration == 2)
    assert [iteration for iteration, _ in seen] == [1, 2]
    assert stopped.costs[1:] == tuple(cost for _, cost in seen)
    assert not stopped.converged
    assert kalmanem(Y, M0, iterations=100, tolerance=1e-3).converged


def test_units_do_not_matter():
    M0, _, _, Y = scene(12)
    reflectance, counts = kalmanem(Y, M0, **BOUNDED), kalmanem(Y * 1e4, M0 * 1e4, **BOUNDED)
    np.testing.assert_allclose(counts.A, reflectance.A, atol=1e-3)
    np.testing.assert_allclose(counts.M, reflectance.M * 1e4, rtol=1e-3)
    np.testing.assert_allclose(counts.sd, reflectance.sd, rtol=1e-2)


@pytest.mark.parametrize("change, words", [
    (dict(Y=np.ones((1, L, N), np.float32)), "at least two images"),
    (dict(M0=np.eye(L + 1)[:, :P]), "The endmembers have 31 bands, the images 30: resample them"),
    (dict(M0=np.ones((L, P))), "are identical: leave one of them out"),
    (dict(M0=np.eye(L)[:, :P] * [1, 0, 1], sum_to_one=False), "endmember 2 is zero in all 30 bands"),
    (dict(valid=np.zeros((T, N), bool)), "Image 1 has no valid pixel"),
    (dict(Q=0.0), "Q is 0: it must be a positive number"),
    (dict(sigma=-1), "sigma is -1: it must be a positive number"),
    (dict(iterations=0), "There are 0 rounds: EM needs at least one"),
])
def test_bad_input_is_said(change, words):
    M0, _, _, Y = scene(13)
    with pytest.raises(ValueError, match=words):
        kalmanem(**{**dict(Y=Y, M0=M0), **change})


def test_values_that_are_not_finite_are_named():
    M0, _, _, Y = scene(14)
    Y[3, 2, 5] = np.nan
    with pytest.raises(ValueError, match="Image 4 holds values that are not finite in valid pixels: mask them."):
        kalmanem(Y, M0)


def test_blocks_of_other_images_are_refused():
    M0, _, _, Y = scene(15)
    model = learn(Y, M0)
    with pytest.raises(ValueError, match="The endmembers are of 6 dates and 30 bands"):
        model.unmix(Y[:4])
    with pytest.raises(ValueError, match="The mask of valid pixels has the shape"):
        model.unmix(Y, np.ones((T, 3), bool))
