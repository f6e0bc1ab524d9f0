"""HBUN's stand-in: its conditional distributions against exact ones, recovery and calibration, masked pixels."""

import numpy as np
import pytest
from scipy.fft import idctn
from scipy.stats import truncnorm
from variable_scenes import error, fields, smooth_maps, smooth_spectra

from subpixel.algorithms.abundances.fcls import fcls
from subpixel.algorithms.multitemporal.fclssequence import fclssequence
from subpixel.algorithms.multitemporal.hbun import Field, draw_abundances, draw_endmembers, hbun, truncated_normal

M = smooth_spectra()
L, P = M.shape
T, SHAPE = 3, (12, 13)
N = SHAPE[0] * SHAPE[1]
SHORT = dict(iterations=12, burn_in=6)


def rng(seed=1):
    return np.random.default_rng(seed)


def sequence(noise=0.01, departure=0.05):
    """Images (T, L, N), abundances (T, P, N) and endmembers (T, L, P) that change brightness."""
    A = np.stack([fields(shape=SHAPE, seed=1)] * T)
    A[2, :, 60:90] = np.roll(A[2, :, 60:90], 1, axis=0)
    M_t = M * (1 + departure * rng().standard_normal((T, 1, P)))
    return M_t @ A + noise * rng(2).standard_normal((T, L, N)), A, M_t


@pytest.mark.parametrize("low, high", [(-1, 2), (1, 1.5), (6, 7), (-30, -20), (50, 51), (-0.001, 0.001), (-np.inf, -12),
                                       (300, 301)])
def test_truncated_normals_have_their_moments(low, high):
    mean, sd, count = 0.3, 2.0, 40_000
    drawn = truncated_normal(*(np.full(count, x) for x in (mean, sd, mean + sd * low, mean + sd * high)), rng())
    exact = truncnorm(low, high, mean, sd)
    assert drawn.min() >= mean + sd * low and drawn.max() <= mean + sd * high
    assert abs(drawn.mean() - exact.mean()) < 5 * exact.std() / np.sqrt(count) + 1e-12
    assert abs(drawn.std() / exact.std() - 1) < 0.03


def test_endmembers_are_drawn_from_the_joint_conditional():
    draws, dates, p = 60_000, 3, 2
    A = rng().random((dates, p, 5))
    y, v, l, u, m0 = rng(2).random((dates, 5)), np.array([0.1, 0.3, 0.2]), 4.0, 2.0, np.array([0.2, 0.7])
    AAt = A @ A.transpose(0, 2, 1)
    # unknowns: M, M_1, ... M_T
    K, right = np.zeros((p * (dates + 1),) * 2), np.zeros(p * (dates + 1))
    K[:p, :p], right[:p] = (u + dates * l) * np.eye(p), u * m0
    for t in range(dates):
        own = slice(p * (t + 1), p * (t + 2))
        K[own, own] = AAt[t] / v[t] + l * np.eye(p)
        K[own, :p] = K[:p, own] = -l * np.eye(p)
        right[own] = A[t] @ y[t] / v[t]
    mean, covariance = np.linalg.solve(K, right), np.linalg.inv(K)
    YAt = np.repeat(np.einsum("tpn,tn->tp", A, y)[:, None], draws, axis=1)
    found = draw_endmembers(AAt, YAt, np.repeat(v[:, None], draws, axis=1), np.full(draws, l), np.full(draws, u),
                            np.repeat(m0[None], draws, axis=0), rng(3))
    x = np.concatenate([found[0], *found[1]], axis=1)
    assert np.abs((x.mean(axis=0) - mean) / np.sqrt(np.diag(covariance) / draws)).max() < 4.5
    assert np.abs(np.cov(x.T) - covariance).max() < 0.03 * covariance.max()


def test_the_neighbours_pull_is_the_gradient_of_the_roughness():
    shape, dates = (4, 5), 3
    kept = rng().random(20) > 0.2
    field, A, weights = Field(kept, shape, dates), rng(2).random((2, dates, 20)), (0.7, 1.9)
    q = weights[0] * field.beside + weights[1] * field.before_after[:, None]
    gradient = (q * A - field.pull(A, weights)) * kept
    for index in [(0, 0, 0), (1, 1, 7), (0, 2, 19), (1, 2, 11), (0, 1, 4)]:
        step = np.zeros_like(A)
        step[index] = 1e-3
        rise = (np.dot(weights, field.roughness(A + step)) - np.dot(weights, field.roughness(A - step))) / 4e-3
        assert np.isclose(gradient[index], rise, rtol=1e-8, atol=1e-10)


def test_weights_of_space_and_time_are_told_apart():
    """A field drawn with known precisions, without bounds: the chain settles at each of them."""
    shape, dates, true = (24, 24), 10, (5.0, 50.0)
    field = Field(np.ones(576, bool), shape, dates)
    precision = true[0] * field.space.T + true[1] * field.time.T      # by date and frequency
    precision[0, 0] = np.inf                                          # the mean, which no difference tells
    waves = (rng().standard_normal((dates, 576)) / np.sqrt(precision)).reshape(dates, *shape)
    x = idctn(waves, norm="ortho").reshape(dates, 576) / np.sqrt(2)
    A, weights, draw, drawn = np.stack([x, -x]), (20.0, 20.0), rng(4), []
    for _ in range(60):
        weights = field.draw_weights(A, weights, draw)
        drawn.append(weights)
    assert np.mean(drawn[20:], axis=0) == pytest.approx(true, rel=0.15)


@pytest.mark.parametrize("precision", [1.0, 60.0])
def test_a_pixels_abundances_follow_their_conditional(precision):
    """Independent pixels, all alike: their mean and covariance against sums over a fine grid of the simplex."""
    B = rng().standard_normal((4, 3))
    H = precision * np.stack([B.T @ B] * 2)
    c = np.broadcast_to((H[0] @ [0.9, 0.3, -0.2])[:, None, None], (3, 2, 10_000))
    field, A = Field(np.ones(10_000, bool), (100, 100), 2), np.full((3, 2, 10_000), 1 / 3)
    for seed in range(12):
        A = draw_abundances(A, H, c, np.ones((2, 10_000)), field, (0.0, 0.0), rng(seed))
    x, y = np.meshgrid(*[(np.arange(600) + 0.5) / 600] * 2)
    inside = x + y < 1
    grid = np.stack([x[inside], y[inside], 1 - x[inside] - y[inside]])
    log = c[:, 0, 0] @ grid - 0.5 * np.einsum("pn,pq,qn->n", grid, H[0], grid)
    density = np.exp(log - log.max())
    density /= density.sum()
    drawn, mean = A.reshape(3, -1), grid @ density
    covariance = (grid * density) @ grid.T - np.outer(mean, mean)
    assert np.abs(drawn.mean(axis=1) - mean).max() < 5 * np.sqrt(covariance.max() / 20_000) + 1e-3
    assert np.abs(np.cov(drawn) - covariance).max() < 0.05 * covariance.max()
    assert A.min() >= 0 and np.abs(A.sum(axis=0) - 1).max() < 1e-12


def test_a_pair_of_dates_follows_its_joint_distribution():
    """One weak pixel bound to its other date, P = 2: the joint density on a grid, means and correlation."""
    H, temporal, count = np.stack([np.array([[3.0, 0], [0, 3.0]]), np.array([[8.0, 0], [0, 1.0]])]), 6.0, 20_000
    c = np.zeros((2, 2, count))
    c[0] = np.array([2.0, 5.0])[:, None]
    field, A = Field(np.ones(count, bool), (1, count), 2), np.full((2, 2, count), 0.5)
    for seed in range(25):
        A = draw_abundances(A, H, c, np.ones((2, count)), field, (0.0, temporal), rng(seed))
    x, y = np.meshgrid(*[(np.arange(400) + 0.5) / 400] * 2, indexing="ij")
    log = -temporal * np.square(x - y)          # both endmembers differ
    for t, a in enumerate((x, y)):
        log += c[0, t, 0] * a - 0.5 * (H[t, 0, 0] * a ** 2 + H[t, 1, 1] * (1 - a) ** 2)
    density = np.exp(log) / np.exp(log).sum()
    means = np.array([(a * density).sum() for a in (x, y)])
    both = ((x - means[0]) * (y - means[1]) * density).sum()
    assert np.abs(A[0].mean(axis=1) - means).max() < 0.01
    assert abs(np.cov(A[0])[0, 1] - both) < 0.05 * both


def test_data_of_the_model_are_recovered_and_the_deviations_calibrated():
    dates, shape = 3, (20, 20)
    A = rng().dirichlet(np.ones(P), size=(dates, 400)).transpose(0, 2, 1)
    bands = np.linspace(0, 1, L)
    M_t = M + 0.02 * np.stack([np.cos(np.pi * t * bands) for t in range(1, dates + 1)])[:, :, None]
    Y = M_t @ A + 0.08 * rng(5).standard_normal((dates, L, 400))
    found = hbun(Y, M, shape, closeness=0.0, spatial=0.0, temporal=0.0, iterations=300, burn_in=100)
    inside = np.abs(found.A - A) <= 1.645 * found.sd
    assert 0.8 < inside.mean() < 0.97
    assert error(found.A, A) < 0.93 * error(fclssequence(Y, M=M).A, A)
    assert error(found.M, M_t) < 0.6 * error(np.stack([M] * dates), M_t)


def test_a_changing_sequence_is_unmixed_from_a_wrong_start():
    Y, A, M_t = sequence()
    wrong = M @ (0.85 * np.eye(P) + 0.05)
    found, start = hbun(Y, wrong, SHAPE, closeness=0.0, spatial=0.0, temporal=0.0), fclssequence(Y, M=wrong)
    assert error(found.A, A) < error(start.A, A) and error(found.M, M_t) < 0.4 * error(start.M, M_t)
    assert np.abs(found.A.sum(axis=1) - 1).max() < 1e-5 and found.A.min() >= 0
    assert found.converged and len(found.costs) == 200 and found.costs[-1] < found.costs[0]


def test_hardly_noisy_images_without_smoothness_give_least_squares():
    Y, _, _ = sequence(noise=1e-3, departure=0.0)
    found = hbun(Y, M, SHAPE, closeness=0.0, spatial=0.0, temporal=0.0, **SHORT)
    assert max(error(a, fcls(image, M).A) for a, image in zip(found.A, Y)) < 3e-3


def test_a_large_weight_in_time_gives_one_map():
    Y, _, _ = sequence()
    loose, tight = (hbun(Y, M, SHAPE, temporal=weight, iterations=60, burn_in=40).A for weight in (0.0, 1e7))
    assert np.abs(np.diff(tight, axis=0)).max() < 0.01 < 0.3 < np.abs(np.diff(loose, axis=0)).max()


@pytest.mark.parametrize("weights", [(40.0, 0.0), (0.0, 40.0)])
def test_neighbours_help_against_noise(weights):
    A = smooth_maps(P, SHAPE, 0.05, 1.0)
    A /= A.sum(axis=0)
    Y = M @ A + 0.4 * rng(2).standard_normal((T, L, N))
    H, c = np.stack([M.T @ M / 0.16] * T), np.einsum("lp,tln->ptn", M, Y) / 0.16
    field = Field(np.ones(N, bool), SHAPE, T)

    def mean(weights):
        drawn, total, draw = np.full((P, T, N), 1 / P), 0.0, rng(3)
        for sweep in range(120):
            drawn = draw_abundances(drawn, H, c, np.ones((T, N)), field, weights, draw)
            total = total + drawn * (sweep >= 20) / 100
        return total
    assert error(mean(weights), A[:, None]) < 0.9 * error(mean((0.0, 0.0)), A[:, None])


@pytest.mark.parametrize("junk", [np.nan, -32768.0])
def test_pixels_that_are_not_valid_never_matter(junk):
    Y = sequence()[0].astype(np.float32)
    valid = rng(3).random((T, N)) > 0.2
    valid[:, 5:8] = False
    dirty = np.where(valid[:, None], Y, junk).astype(np.float32)
    clean, found = (hbun(X, M, SHAPE, valid, **SHORT) for X in (Y, dirty))
    assert np.array_equal(clean.A, found.A, equal_nan=True) and np.array_equal(clean.sd, found.sd, equal_nan=True)
    assert np.array_equal(np.isnan(found.A), np.broadcast_to(~valid.any(axis=0), found.A.shape))


def test_a_hidden_pixel_is_estimated_from_its_neighbours_and_is_less_certain():
    Y, A, _ = sequence()
    valid = np.ones((T, N), bool)
    valid[1, 40:100] = False
    valid[1, 60:90] = True     # those that change afterwards
    found = hbun(Y, M, SHAPE, valid, closeness=0.0)
    hidden = ~valid[1]
    assert error(found.A[1][:, hidden], A[1][:, hidden]) < 0.6 * error(1 / P, A[1][:, hidden])
    assert found.sd[1][:, hidden].mean() > 2 * found.sd[1][:, ~hidden].mean()


def test_same_seed_same_result():
    Y = sequence()[0].astype(np.float32)
    one, same, other = (hbun(Y, M, SHAPE, seed=seed, **SHORT) for seed in (1, 1, 2))
    assert np.array_equal(one.A, same.A) and np.array_equal(one.M, same.M) and not np.array_equal(one.A, other.A)


def test_what_it_says_of_its_end():
    Y, calls = sequence()[0], []
    found = hbun(Y, M, SHAPE, callback=lambda *args: calls.append(args), **SHORT)
    assert [number for number, _ in calls] == list(range(1, 13)) and tuple(cost for _, cost in calls) == found.costs
    stopped = hbun(Y, M, SHAPE, callback=lambda number, _: number == 4, **SHORT)
    assert not stopped.converged and len(stopped.costs) == 4 and stopped.sd is None
    assert hbun(Y, M, SHAPE, callback=lambda number, _: number == 9, **SHORT).sd is not None


@pytest.mark.parametrize("change, sentence", [
    (dict(spatial=-1.0), "spatial is -1"), (dict(closeness=np.nan), "closeness is nan"), (dict(M0=M[1:]), "resample"),
    (dict(burn_in=200), "at least one must count"), (dict(shape=(5, 5)), "do not make an image"),
    (dict(M0=-M), "reflectance or radiance"), (dict(Y=np.full((T, L, N), np.nan)), "not finite")])
def test_bad_arguments(change, sentence):
    arguments = dict(Y=sequence()[0], M0=M, shape=SHAPE) | change
    with pytest.raises(ValueError, match=sentence):
        hbun(**arguments)
