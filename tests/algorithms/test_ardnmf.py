"""Automatic relevance determination, of factors and of patterns: ranks that were planted, costs that fall."""

import itertools

import numpy as np
import pytest
from scipy.optimize import minimize

from subpixel.algorithms.blind.ardnmf import ardnmf, dispersion_of
from subpixel.algorithms.blind.divergence import divergence, exponent
from subpixel.algorithms.events.ardnmfd import RelevantPatterns, ardnmfd, noise_variances, scale_of_priors, weigh
from subpixel.algorithms.events.nmfd import reconstruction

both = pytest.mark.parametrize("norm", ["l1", "l2"])
betas = pytest.mark.parametrize("beta", [-1, 0, 0.5, 1, 1.5, 2, 3])


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def counts(rng, L=30, N=80, rank=4, most=60):
    """Poisson counts of a planted rank: sparse factors, each of which is seen."""
    M = rng.random((L, rank)) * (rng.random((L, rank)) < 0.4)
    A = rng.random((rank, N)) * (rng.random((rank, N)) < 0.5)
    return rng.poisson(most * M @ A).astype(float)


def swimmer():
    """16 images of 20 x 11 of two limbs in four positions each."""
    arm = [[(i, 4) for i in range(5)], [(i, i) for i in range(5)], [(5, i) for i in range(5)],
           [(6 + i, 4 - i) for i in range(5)]]
    images = np.zeros((4, 4, 20, 11))
    images[:, :, 5:15, 5] = 1
    for left, right in itertools.product(range(4), range(4)):
        for row, column in arm[left]:
            images[left, right, row, column] = 1
        for row, column in arm[right]:
            images[left, right, row, 10 - column] = 1
    return images.reshape(16, 20, 11)


@both
@betas
def test_the_cost_never_rises(beta, norm, rng):
    Y = counts(rng) + 0.1
    found = ardnmf(Y, 8, rng, norm=norm, beta=beta, iterations=60, tolerance=0)
    assert len(found.costs) == 61 and (np.diff(found.costs) <= 1e-10 * np.abs(found.costs[0])).all()
    assert found.costs[-1] < found.costs[0]


@pytest.mark.parametrize("beta, power, squared", [(-1, 1 / 3, 1 / 4), (0.5, 2 / 3, 2 / 5), (1, 1, 1 / 2),
                                                   (1.5, 1, 2 / 3), (2, 1, 1), (3, 1 / 2, 1 / 2)])
def test_steps_have_the_exponents_of_their_majorisers(beta, power, squared, rng):
    """(3.2.34) and (3.2.45), by one step with a single factor."""
    assert (exponent(beta), exponent(beta, squared=True)) == pytest.approx((power, squared))
    Y, m, h = counts(rng) + 0.1, rng.random((30, 1)) + 0.1, rng.random((1, 80)) + 0.1
    for norm, xi, slope in (("l1", power, np.ones_like(h)), ("l2", squared, h)):
        found = ardnmf(Y, 1, rng, norm=norm, beta=beta, a=7, b=2.0, factors=(m, h), iterations=1)
        Z = m @ h
        new = h * (m.T @ (Y * Z ** (beta - 2)) / (m.T @ Z ** (beta - 1) + slope / found.weights[0])) ** xi
        np.testing.assert_allclose(found.A, new, rtol=1e-9)


def test_the_threshold_of_relevance_counts(rng):
    Y = counts(rng)
    loose, strict = (ardnmf(Y, 10, np.random.default_rng(0), tau=tau) for tau in (1e-3, 1e6))
    np.testing.assert_array_equal(loose.relevant, loose.weights[-1] > 1.001 * loose.bound)
    assert loose.rank > 0 == strict.rank


@both
def test_the_cost_is_the_objective_with_lambda_eliminated(norm, rng):
    Y = counts(rng)
    found = ardnmf(Y, 5, rng, norm=norm, a=7, b=2.0, dispersion=3.0, iterations=4, tolerance=0)
    f = (lambda x: np.abs(x).sum()) if norm == "l1" else (lambda x: 0.5 * np.square(x).sum())
    c = 30 + 80 + 8 if norm == "l1" else 110 / 2 + 8
    sizes = np.array([f(m) + f(h) + 2.0 for m, h in zip(found.M.T, found.A)])
    np.testing.assert_allclose(found.weights[-1], sizes / c, rtol=1e-12)
    np.testing.assert_allclose(found.costs[-1], divergence(Y, found.M @ found.A, 1) / 3
                               + c * np.log(found.weights[-1]).sum(), rtol=1e-10)
    np.testing.assert_allclose(found.bound, 2.0 / c)


@pytest.mark.parametrize("norm, least", [("l1", 6), ("l2", 4)])   # of seven: l2 splits factors more easily
def test_the_planted_rank_is_found(norm, least, rng):
    ranks = [ardnmf(counts(rng), 10, rng, norm=norm, tau=1e-3).rank for _ in range(7)]
    assert ranks.count(4) >= least, ranks


def test_what_data_are_worth_depends_on_their_noise(rng):
    Y = counts(rng, most=200)
    assert ardnmf(Y, 10, rng, dispersion=300.0).rank < ardnmf(Y, 10, rng).rank <= ardnmf(Y, 10, rng,
                                                                                         dispersion=0.01).rank
    scaled = ardnmf(Y / 200, 10, np.random.default_rng(3), dispersion=1 / 200, a=20, b=1.0)
    assert scaled.rank == ardnmf(Y, 10, np.random.default_rng(3), a=20, b=np.sqrt(200)).rank


@both
def test_a_prior_that_is_certain_freezes_lambda(norm, rng):
    found = ardnmf(counts(rng), 6, rng, norm=norm, a=1e9, iterations=50, tolerance=0)
    np.testing.assert_allclose(found.weights, found.bound, rtol=1e-4)
    series = counts(rng).reshape(30, 8, 10)
    deconvolved = ardnmfd(series, (2, 3), rng, norm=norm, a=1e9, iterations=20, tolerance=0)
    np.testing.assert_allclose(deconvolved.means, np.tile(deconvolved.bounds, (len(deconvolved.means), 1)),
                               rtol=1e-4)


@both
@pytest.mark.parametrize("beta", [0.5, 1, 2])
def test_patterns_of_one_date_are_ardnmf(norm, beta, rng):
    Y = counts(rng) + 0.01
    M, A = rng.random((30, 5)), rng.random((5, 80))
    flat = ardnmf(Y, 5, rng, norm=norm, beta=beta, a=7, factors=(M, A), iterations=30, tolerance=0, dispersion=0.7)
    series = ardnmfd(Y.reshape(30, 4, 20), (1,) * 5, rng, norm=norm, beta=beta, a=7, iterations=30, tolerance=0,
                     start=(list(M.T[:, :, None]), A.reshape(5, 4, 20)), dispersion=0.7)
    np.testing.assert_allclose(series.means, flat.weights, rtol=1e-9)
    np.testing.assert_allclose(np.hstack(series.W), flat.M, rtol=1e-7, atol=1e-12)
    np.testing.assert_allclose(series.H.reshape(5, -1), flat.A, rtol=1e-7, atol=1e-12)
    np.testing.assert_allclose(series.bounds, flat.bound)
    np.testing.assert_allclose(np.diff(series.costs), np.diff(flat.costs), rtol=1e-6, atol=1e-8)


@both
@betas
def test_the_cost_of_patterns_never_rises(beta, norm, rng):
    X = rng.gamma(2.0, 3.0, (5, 6, 14)) + 0.05
    valid = rng.random((6, 14)) > 0.2
    found = ardnmfd(X, (3, 1, 4), rng, norm=norm, beta=beta, valid=valid, iterations=60, tolerance=0)
    assert len(found.costs) == 61 and (np.diff(found.costs) <= 1e-10 * np.abs(found.costs[0])).all()
    assert found.costs[-1] < found.costs[0]


@pytest.mark.parametrize("f", [0.0, 3.0, 5000.0])
def test_lambda_solves_its_equations_and_is_a_minimum(f, rng):
    A, c1, c2 = rng.random(4) * [0.01, 1, 10, 100] + 0.1, 30.0, 90.0
    weights, value = weigh(A, f, c1, c2)
    mu = weights.mean()
    np.testing.assert_allclose((c2 - f / mu) * weights**2 / (4 * mu) + c1 * weights, A, rtol=1e-8)

    def objective(u):
        mean = np.exp(u).mean()
        return (A * np.exp(-u) + c1 * u).sum() + f / mean + c2 * np.log(mean)

    np.testing.assert_allclose(value, objective(np.log(weights)), rtol=1e-12)
    nearby = minimize(objective, np.log(weights) + 0.01 * rng.standard_normal(4), method="Nelder-Mead",
                      options=dict(xatol=1e-10, fatol=1e-12, maxiter=5000))
    assert nearby.fun >= value - 1e-8 * abs(value)


def test_lambda_of_one_column_has_a_closed_form():
    weights, _ = weigh(np.array([3.0]), 7.0, 11.0, 9.0)
    np.testing.assert_allclose(weights, [0.5])


@both
def test_data_from_the_prior_have_the_mean_that_its_scale_is_for(norm, rng):
    a, lengths, mean = 9.0, [3, 1, 2], 4.0
    b = scale_of_priors(norm, a, mean, lengths, rng)
    seen = []
    for _ in range(4000):
        total = 0.0
        for length in lengths:
            weights = b / rng.gamma(a, size=length)
            mu = weights.mean()
            column, height = (weights, mu) if norm == "l1" else (np.sqrt(2 * weights / np.pi), np.sqrt(2 * mu / np.pi))
            total += column.sum() * height
        seen.append(total)
    np.testing.assert_allclose(np.mean(seen), mean, rtol=0.05)


def test_planted_patterns_and_their_lengths_are_found():
    ranks, lengths = [], []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        W = [40 * (rng.random((12, 3)) < 0.5), 40 * (rng.random((12, 2)) < 0.5)]
        H = (rng.random((2, 30, 16)) < 0.06) * rng.uniform(1, 2, (2, 30, 16))
        X = rng.poisson(reconstruction(W, H)).astype(float)
        found = ardnmfd(X, (4,) * 6, rng, a=1e3, iterations=1500)
        ranks.append(found.rank)
        lengths.append(sorted(found.lengths[found.relevant]))
    assert sorted(ranks)[2] == 2 and lengths.count([2, 3]) >= 2, (ranks, lengths)


def test_noise_is_told_from_seasons_and_events(rng):
    noise = rng.standard_normal((2, 300, 24)) * np.array([0.1, 0.4])[:, None, None]
    X = 5 + 2 * np.sin(np.arange(24) / 8) + 3 * (rng.random((2, 300, 24)) < 0.03) + noise
    np.testing.assert_allclose(np.sqrt(noise_variances(X)), [0.1, 0.4], rtol=0.2)
    valid = rng.random((300, 24)) > 0.1
    np.testing.assert_allclose(np.sqrt(noise_variances(np.where(valid, X, 1e6), valid)), [0.1, 0.4], rtol=0.25)
    with pytest.raises(ValueError, match="three consecutive valid dates"):
        noise_variances(X[:, :, :2])


@pytest.mark.parametrize("beta", [0, 1, 2])
def test_the_dispersion_is_that_of_noise_that_grows_with_the_values(beta, rng):
    means = np.array([1.0, 4.0, 9.0])
    np.testing.assert_allclose(dispersion_of(0.3 * means ** (2 - beta), means, beta), 0.3)


def test_swimmer_has_its_parts(rng):
    Y = rng.poisson(10 * np.repeat(swimmer(), 8, axis=0)).reshape(128, -1).T.astype(float)
    assert ardnmf(Y, 16, rng, a=10).rank == 8


@pytest.mark.parametrize("masked", [False, True])
def test_the_best_of_several_starts_goes_on(masked, rng):
    X = rng.poisson(6 * swimmer()).astype(float).transpose(1, 0, 2)
    settings = dict(a=2e3, tolerance=0)
    if masked:
        settings.update(dispersion=3.0, valid=rng.random(X.shape[1:]) > 0.2)
    one_by_one = np.random.default_rng(3)
    ends = [ardnmfd(X, (3,) * 8, one_by_one, iterations=30, **settings).costs[-1] for _ in range(3)]
    assert np.ptp(ends) > 1
    best = ardnmfd(X, (3,) * 8, np.random.default_rng(3), starts=3, iterations=30, **settings)
    assert best.costs[-1] < min(ends) and best.costs[0] <= min(ends) + 1e-6 * abs(min(ends))


@both
def test_series_of_which_nothing_is_known_change_nothing(norm, rng):
    X, valid = rng.poisson(3.0, (6, 9, 12)).astype(float), rng.random((9, 12)) > 0.3
    W, H = [rng.random((6, length)) for length in (3, 1)], rng.random((2, 9, 12))
    more = [np.concatenate([part, np.ones((len(part), 5, 12))], axis=1) for part in (X, H)]
    one = ardnmfd(X, (3, 1), rng, norm=norm, b=2.0, valid=valid, start=(W, H), iterations=20)
    two = ardnmfd(more[0], (3, 1), rng, norm=norm, b=2.0, valid=np.vstack([valid, np.zeros((5, 12), bool)]),
                  start=(W, more[1]), iterations=20)
    np.testing.assert_allclose(two.means, one.means, rtol=1e-7)
    np.testing.assert_allclose(two.bounds, one.bounds)
    np.testing.assert_allclose(two.H[:, :9], one.H, rtol=1e-6, atol=1e-12)
    assert not two.H[:, 9:].any()


def test_a_length_reaches_from_the_first_relevant_column_to_the_last():
    columns = [np.array([True, False, True, False]), np.zeros(2, bool), np.array([False, True])]
    nothing = dict.fromkeys(("W", "H", "weights", "means", "bounds", "relevant", "costs", "iterations", "converged"))
    assert RelevantPatterns(**nothing, columns=columns).lengths.tolist() == [3, 0, 1]


def test_it_stops_when_asked_and_says_so(rng):
    seen = []
    found = ardnmf(counts(rng), 6, rng, callback=lambda i, cost: seen.append(cost) or i == 3)
    assert found.iterations == 3 and not found.converged and seen == list(found.costs[1:])
    assert ardnmf(counts(rng), 6, rng, tolerance=0.05).converged
    series = counts(rng).reshape(30, 8, 10)
    assert ardnmfd(series, (2, 3), rng, callback=lambda i, cost: i == 3).iterations == 3


@pytest.mark.parametrize("settings, sentence", [
    (dict(a=2.0), "must be above 2"), (dict(norm="l2", a=1.0), "must be above 1"), (dict(norm="l3"), "no prior 'l3'"),
    (dict(b=0.0), "scale of the prior is 0"), (dict(dispersion=-1.0), "dispersion of the noise is -1")])
def test_settings_out_of_range_are_said(settings, sentence, rng):
    with pytest.raises(ValueError, match=sentence):
        ardnmf(counts(rng), 4, rng, **settings)
    with pytest.raises(ValueError, match=sentence):
        ardnmfd(counts(rng).reshape(30, 8, 10), (2, 2), rng, **settings)


def test_data_that_do_not_fit_are_said(rng):
    Y = counts(rng)
    with pytest.raises(ValueError, match="1 of 2400 values are negative"):
        ardnmf(np.where(np.arange(Y.size).reshape(Y.shape) == 3, -1, Y), 4, rng)
    with pytest.raises(ValueError, match=r"have the shapes \(2, 2\)"):
        ardnmf(Y, 4, rng, factors=(np.ones((2, 2)), np.ones((4, 80))))
    with pytest.raises(ValueError, match="pattern of 11 dates cannot be found"):
        ardnmfd(Y.reshape(30, 8, 10), (11,), rng)
