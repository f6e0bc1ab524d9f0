"""Diffusion in a filter: schedules, the sampler against closed forms, one network for many series, gaps."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from dataclasses import replace

from subpixel.algorithms.state_estimation import diffusion as module
from subpixel.algorithms.state_estimation.diffusion import (Learned, ScoreNetwork, Settings, VarianceExploding,
                                                            VariancePreserving, fit_score, learn, particles, sample)
from subpixel.algorithms.state_estimation.kalman import kalman_filter
from subpixel.algorithms.state_estimation.model import Forward, LinearTrend, RandomWalk, StateSpace

SCHEDULES = {"preserving": VariancePreserving(), "mu 1": VariancePreserving(mu=1.0), "exploding": VarianceExploding()}
DAYS = np.array([0.0, 1, 2, 5, 6])
TREND = StateSpace(LinearTrend(0.05, 0.01), np.array([[0.5]]), np.zeros(2), np.eye(2))
UNTAUGHT = Settings(members=400, first=(0, 1e-3), later=(0, 1e-4), steps=50)


@pytest.fixture(params=SCHEDULES, name="schedule")
def _schedule(request):
    return SCHEDULES[request.param]


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def normals(count, seed=0):
    generator = rng(seed)
    return lambda: torch.randn(count, 1, generator=generator)


def test_schedules_solve_their_equations(schedule):
    t = torch.linspace(0.05, 0.95, 50, dtype=torch.float64, requires_grad=True)
    m, variance = schedule.m(t), schedule.variance(t)
    (slope,) = torch.autograd.grad(variance.sum(), t, retain_graph=True)
    torch.testing.assert_close(slope, schedule.g(t) - schedule.b(t) * variance)
    if m.requires_grad:
        (shrinking,) = torch.autograd.grad(m.sum(), t)
        torch.testing.assert_close(shrinking, -schedule.b(t) / 2 * m)
    assert float(schedule.variance(torch.zeros(1))) == 0


def test_the_thesis_settings():
    t = torch.linspace(0.1, 1, 5)
    torch.testing.assert_close(SCHEDULES["preserving"].g(t), 0.01 + 19.99 * t)
    assert float(SCHEDULES["preserving"].variance(torch.ones(1))) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("alpha", [0.0, 1.0, 2.0])
def test_sampler_gives_the_gaussian_posterior_in_closed_form(schedule, alpha):
    # x ~ N(0, 1), y = x + v, v ~ N(0, 0.25): x | y = 1 is N(0.8, 0.2)
    mean, variance = 0.8, 0.2

    def score(x, t):
        return -(x - schedule.m(t) * mean) / (schedule.m(t) ** 2 * variance + schedule.variance(t))
    x = sample(score, normals(40000), schedule, 400, alpha)
    assert float(x.mean()) == pytest.approx(mean, abs=0.03)
    assert float(x.std()) == pytest.approx(variance**0.5, rel=0.05)


def test_sampler_comes_nearer_with_more_steps():
    schedule = VariancePreserving()

    def score(x, t):
        return -x / (schedule.m(t) ** 2 * 0.01 + schedule.variance(t))
    off = [abs(float(sample(score, normals(60000), schedule, steps, 1.0).std()) - 0.1) for steps in (25, 100, 400)]
    assert off[0] > 2 * off[1] > 4 * off[2]


def test_a_network_that_knows_nothing_is_the_score_of_a_normal_state(schedule):
    network = ScoreNetwork.fresh(2, 1, schedule, rng())
    x, t = torch.randn(7, 2, generator=rng(1)), torch.full((1, 1), 0.3)
    torch.testing.assert_close(network(x, t, torch.ones(7, 1)), -x / (schedule.m(t) ** 2 + schedule.variance(t)))
    assert len(network.weights) == 5 and network.weights[1][0].shape == (50, 50)
    assert network.weights[0][0].shape[1] == 2 + 4 + 1


def test_loss_is_that_of_denoising():
    # with s = -x, the exact score: E ||sigma s + z||^2 = m^4 + m^2 sigma^2 = m^2 for one state
    schedule = VariancePreserving()
    network = ScoreNetwork.fresh(1, 1, schedule, rng())
    x, z = torch.randn(2, 200000, 1, generator=rng(1))
    t = torch.full((len(x), 1), 0.2)
    assert float(network.loss(x, 0 * x, t, z)) == pytest.approx(float(schedule.m(t[0]) ** 2), rel=0.01)


def test_a_network_that_has_learned_comes_near_the_gaussian_posterior():
    schedule = VariancePreserving()
    network = ScoreNetwork.fresh(1, 1, schedule, rng())
    x = torch.randn(2000, 1, generator=rng(1))
    y = x + 0.5 * torch.randn(2000, 1, generator=rng(2))
    before = fit_score(network, x, y, 1, 1e-9, 250, rng(3))
    after = fit_score(network, x, y, 60, 3e-3, 250, rng(3))
    assert after < 0.85 * before
    for seen in (-1.0, 0.0, 1.5):
        c = torch.full((4000, 1), seen)
        drawn = sample(lambda x, t, c=c: network(x, t, c), normals(4000, 4), schedule, 100, 1.0)
        assert float(drawn.mean()) == pytest.approx(0.8 * seen, abs=0.12)
        assert float(drawn.std()) == pytest.approx(0.2**0.5, rel=0.15)


def observed(model, count=30, gap=True):
    generator = np.random.default_rng(5)
    A, Q = model.matrices(DAYS)
    x = generator.standard_normal((count, model.forward.n)) @ np.linalg.cholesky(model.covariance).T
    y = []
    for k in range(len(DAYS)):
        x = x @ A[k, 0].T + (generator.standard_normal(x.shape) @ np.linalg.cholesky(Q[k, 0]).T if k else 0)
        y.append(x @ model.C.T + generator.standard_normal((count, len(model.R))) @ np.linalg.cholesky(model.R).T)
    y = np.stack(y)
    if gap:
        y[2:4, ::3] = np.nan
    found = kalman_filter(y, A, Q, model.C, model.R, model.mean, model.covariance)
    return y, found.mean[1:], np.sqrt(np.einsum("tqii->tqi", found.covariance[1:]))


def moments(y, model, settings, seed=1):
    networks = learn(y, DAYS, model, np.random.default_rng(seed), settings)
    drawn = np.stack(list(particles(y, DAYS, model, np.random.default_rng(seed + 1), settings, networks)))
    return drawn.mean(axis=1), drawn.std(axis=1), drawn


def test_one_network_is_exact_for_all_series_of_a_linear_gaussian_model():
    y, mean, sd = observed(TREND)
    ours, spread, _ = moments(y, TREND, replace(UNTAUGHT, members=2000))
    assert np.abs((ours - mean) / sd).mean() < 0.08   # 1 / sqrt(2000), the same in all series, in each of the dates
    np.testing.assert_allclose((spread / sd).mean(axis=(1, 2)), 1, atol=0.06)
    assert np.abs(spread / sd - 1).max() < 0.35   # those after a gap too


@pytest.mark.parametrize("regress", [True, False])
def test_learned_networks_follow_many_series_with_gaps(regress):
    y, mean, sd = observed(TREND)
    settings = replace(UNTAUGHT, members=300, regress=regress, first=(50, 2e-3), later=(20, 1e-3), pool=2000)
    ours, spread, _ = moments(y, TREND, settings)
    assert np.abs((ours - mean) / sd).mean() < 0.4
    np.testing.assert_allclose((spread / sd).mean(axis=(1, 2)), 1, atol=0.2)


@pytest.mark.parametrize("regress", [True, False])
def test_pairs_to_learn_from_are_standardised_states_and_what_is_known_of_their_series(monkeypatch, regress):
    shown = []
    monkeypatch.setattr(module, "fit_score", lambda network, x, c, *others: shown.append((x, c)) or 0.0)
    y, _, _ = observed(TREND, 6, gap=False)
    settings = replace(UNTAUGHT, members=40, pool=50, regress=regress)
    generator, x = np.random.default_rng(3), np.random.default_rng(4).normal(size=(40, 6, 2)) * np.arange(1, 7)[:, None]
    x[..., 1] += 0.5 * x[..., 0]
    noisy = x[..., :1] + np.random.default_rng(5).normal(size=(40, 6, 1))
    standard = module._Standard(x, noisy, regress)
    learned = module._learned(standard, x, noisy, generator, rng(), settings, None)
    (u, c), = shown
    assert u.shape == (50, 2) and c.shape == (50, 1 + 2 + 2 + 2)
    whole, w = standard.states(x, noisy), standard.observations(noisy)
    told = np.clip((standard.facts - learned.middle) / learned.scale, -4, 4)
    for row, conditions in zip(u.numpy(), c.numpy()):
        a, q = np.unravel_index(np.abs(whole - row).sum(axis=2).argmin(), (40, 6))
        np.testing.assert_allclose(row, whole[a, q], atol=1e-5)
        np.testing.assert_allclose(conditions, [*np.clip(w[a, q], -4, 4), *told[q]], atol=1e-5)
    covariance = np.einsum("aqi,aqj->qij", whole, whole) / 39
    np.testing.assert_allclose(covariance, np.broadcast_to(np.eye(2), (6, 2, 2)), atol=1e-6)
    across = np.einsum("aqi,aqj->qij", whole, w) / 39
    assert np.abs(across).max() < 1e-6 if regress else np.abs(across[:, 0]).min() > 0.3
    np.testing.assert_allclose(standard.back(whole, noisy[7])[7], x[7], atol=1e-6)


def test_series_that_are_alike_are_told_nothing_of_each_other(monkeypatch):
    shown = []
    monkeypatch.setattr(module, "fit_score", lambda network, x, c, *others: shown.append(c) or 0.0)
    x = np.repeat(np.random.default_rng(4).normal(size=(40, 1, 1)), 3, axis=1)
    noisy = x + np.repeat(np.random.default_rng(5).normal(size=(40, 1, 1)), 3, axis=1)
    module._learned(module._Standard(x, noisy, True), x, noisy, np.random.default_rng(3), rng(), UNTAUGHT, None)
    assert not shown[0][:, 1:].any() and shown[0][:, :1].any()


def test_later_networks_go_on_from_the_one_before_which_stays_as_it_is():
    y, _, _ = observed(TREND, 6, gap=False)
    for later, same in (((0, 1e-4), True), ((2, 1e-2), False)):
        settings = replace(UNTAUGHT, members=60, first=(3, 1e-2), later=later)
        networks = [each.network.weights for each in learn(y, DAYS, TREND, np.random.default_rng(0), settings)]
        for before, after in zip(networks, networks[1:]):
            assert all(torch.equal(a[0], b[0]) for a, b in zip(before, after)) == same
        assert len({id(each[0][0]) for each in networks}) == len(DAYS)


class TwoEnds(Forward):
    """Every state goes to about -1 or 1."""

    n, observed, linear = 1, np.eye(1), False

    def step(self, x, interval):
        return np.tanh(8 * x) if interval else x

    def noise(self, interval):
        return np.array([[0.01]])


def test_learns_a_posterior_with_two_ends():
    model = StateSpace(TwoEnds(), np.array([[1.0]]), np.zeros(1), np.eye(1))
    y = np.array([np.nan, 0.5])[:, None, None]
    between = []
    for first in ((0, 1e-3), (150, 2e-3)):
        settings = Settings(members=2000, pool=2000, first=first)
        networks = learn(y, [0.0, 1.0], model, np.random.default_rng(0), settings)
        *_, x = particles(y, [0.0, 1.0], model, np.random.default_rng(1), settings, networks)
        between.append((np.abs(x) < 0.5).mean())
    assert networks[0] is None and isinstance(networks[1], Learned)
    assert between[0] > 0.25 and between[1] < 0.15
    assert (x > 0).mean() == pytest.approx(1 / (1 + np.exp(-1)), abs=0.12)   # N(y; 1, 1) against N(y; -1, 1)


def test_a_gap_widens_the_uncertainty_and_an_observation_narrows_it():
    y, _, _ = observed(TREND, 4)
    y[2:4] = np.nan
    spread = moments(y, TREND, UNTAUGHT)[1][..., 0].mean(axis=1)
    assert spread[3] > spread[2] > spread[1] and spread[4] < spread[3]


def test_a_series_does_not_depend_on_others_given_with_it():
    y, _, _ = observed(TREND, 12)
    settings = replace(UNTAUGHT, members=50, first=(5, 1e-3))
    networks = learn(y, DAYS, TREND, np.random.default_rng(0), settings)
    y[1, 3:5] = np.nan
    some, every = (np.stack(list(particles(part, DAYS, TREND, np.random.default_rng(3), settings, networks)))
                   for part in (y[:, 3:5], y))
    np.testing.assert_allclose(some, every[:, :, 3:5], atol=1e-4)


def test_states_stay_within_their_limits():
    y, _, _ = observed(TREND, 4)
    drawn = moments(y, TREND, replace(UNTAUGHT, limits=(-0.5, 0.5)))[2]
    assert drawn.min() == -0.5 and drawn.max() == 0.5


def test_a_date_that_others_need_is_learned():
    y = np.full((2, 3, 1), np.nan)
    y[0] = 1.0
    model = StateSpace(RandomWalk(0.1), np.eye(1), np.zeros(1), np.eye(1))
    networks = learn(y, [0.0, 1.0], model, np.random.default_rng(0), UNTAUGHT, needed=[True, True])
    assert all(networks)
    assert learn(y, [0.0, 1.0], model, np.random.default_rng(0), UNTAUGHT)[1] is None
    y[1] = 2.0
    with pytest.raises(ValueError, match="Date 2 is observed"):
        list(particles(y, [0.0, 1.0], model, np.random.default_rng(0), UNTAUGHT, [networks[0], None]))


def test_the_same_seed_gives_the_same_and_leaves_the_global_numbers_alone():
    y, _, _ = observed(TREND, 3)
    torch.manual_seed(5)
    before = torch.rand(1)
    torch.manual_seed(5)
    settings = replace(UNTAUGHT, first=(2, 1e-3), members=50)
    found = [moments(y, TREND, settings)[2] for _ in range(2)]
    assert torch.equal(torch.rand(1), before)
    np.testing.assert_array_equal(*found)
    assert not np.array_equal(found[0], moments(y, TREND, settings, seed=7)[2])


def test_refusals():
    y, _, _ = observed(TREND, 3, gap=False)
    generator = np.random.default_rng(0)
    with pytest.raises(ValueError, match="4 particles are too few"):
        learn(y, DAYS, TREND, generator, replace(UNTAUGHT, members=4))
    with pytest.raises(ValueError, match="steps is 0"):
        learn(y, DAYS, TREND, generator, replace(UNTAUGHT, steps=0))
    with pytest.raises(ValueError, match="alpha is -1"):
        learn(y, DAYS, TREND, generator, replace(UNTAUGHT, alpha=-1.0))
    with pytest.raises(ValueError, match="shape"):
        learn(y[:3], DAYS, TREND, generator, UNTAUGHT)
    with pytest.raises(ValueError, match="networks for 1 dates"):
        list(particles(y, DAYS, TREND, generator, UNTAUGHT, [None]))
    two = StateSpace(TwoEnds(), np.eye(2), np.zeros(1), np.eye(1))
    two.forward.observed = np.ones((2, 1))
    part = np.ones((2, 3, 2))
    part[0, 1, 0] = np.nan
    with pytest.raises(ValueError, match="only a part is missing"):
        learn(part, [0.0, 1.0], two, generator, UNTAUGHT)
