"""NMF: the cost never rises whatever is minimised, scikit-learn's iterates, planted factors, and bad input."""

import numpy as np
import pytest
from sklearn.decomposition import non_negative_factorization

from subpixel.algorithms.blind.divergence import divergence
from subpixel.algorithms.blind.nmf import Problem, Reweighted, Squares, as_fractions, distances, nmf
from subpixel.algorithms.blind.penalties import Penalty, norms
from subpixel.algorithms.check.metrics import match, sad

BETAS = (-1, 0, 0.5, 1, 1.5, 2, 3)
NONE = Penalty()
PENALTIES = {
    "none": (NONE, NONE), "sparse endmembers": (Penalty(sparsity=0.01), NONE),
    "sparse abundances": (NONE, Penalty(sparsity=0.1)), "both sparse": (Penalty(sparsity=0.01), Penalty(sparsity=0.1)),
    "smooth endmembers": (Penalty(smoothness=1.0), NONE), "smooth abundances": (NONE, Penalty(smoothness=1.0)),
    "orthogonal endmembers": (Penalty(orthogonality=0.1), NONE),
    "orthogonal abundances": (NONE, Penalty(orthogonality=0.1)), "volume": (Penalty(volume=1.0), NONE),
    "volume and sparse abundances": (Penalty(volume=1.0), Penalty(sparsity=0.1)),
    "all": (Penalty(0.01, 0.5, 0.05, 0.3), Penalty(0.05, 0.1, 0.02))}

every = pytest.mark.parametrize("name", PENALTIES)


@pytest.fixture(scope="module")
def small():
    """Positive data (15, 70) of rank 3 and noise."""
    rng = np.random.default_rng(0)
    return rng.random((15, 3)) @ rng.dirichlet(np.ones(3), 70).T + 0.02 + 0.02 * rng.random((15, 70))


def factors(rng, L=15, P=3, N=70):
    return rng.random((L, P)) + 0.1, rng.random((P, N)) + 0.1


def falls(costs):
    assert np.diff(costs).max() <= 1e-12 * abs(costs[0]) and costs[-1] < 0.8 * costs[0]


@every
@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize("accelerate", [False, True])
def test_cost_never_rises(name, beta, accelerate, small):
    endmembers, abundances = PENALTIES[name]
    falls(nmf(small, 3, np.random.default_rng(1), beta=beta, endmembers=endmembers, abundances=abundances,
              begin_with="random", accelerate=accelerate, iterations=25, tolerance=0.0).costs)


@every
@pytest.mark.parametrize("loss", ["l21", "cauchy", "robust"])
def test_cost_of_robust_losses_never_rises(name, loss, small):
    endmembers, abundances = PENALTIES[name]
    falls(nmf(small, 3, np.random.default_rng(1), loss=loss, gamma=0.5, endmembers=endmembers, abundances=abundances,
              begin_with="random", accelerate=False, iterations=25, tolerance=0.0).costs)


@every
def test_exact_rows_with_weights_per_pixel_never_raise_the_cost(name, small):
    endmembers, abundances = PENALTIES[name]
    data = Reweighted(small, "l21", 1.0)
    problem = Problem(data, endmembers, abundances, True)
    M, A = factors(np.random.default_rng(1))
    costs = [problem.cost(M, A)]
    for _ in range(25):
        M, A, cost = problem.step(M, A)
        costs.append(cost)
    falls(np.array(costs))


@pytest.mark.parametrize("beta", [0, 1, 2])
def test_agrees_with_scikit_learn_from_the_same_start(beta, small):
    M, A = factors(np.random.default_rng(0))
    found = nmf(small, 3, np.random.default_rng(0), beta=beta, factors=(M, A), accelerate=False, iterations=30,
                tolerance=0.0)
    W, H, _ = non_negative_factorization(small, W=M.copy(), H=A.copy(), n_components=3, init="custom", solver="mu",
                                         beta_loss=beta, max_iter=30, tol=0)
    np.testing.assert_allclose(found.M, W, rtol=1e-10)
    np.testing.assert_allclose(found.A, H, rtol=1e-10)
    scale = small.max()
    assert found.costs[-1] == pytest.approx(divergence(small / scale, W @ H / scale, beta), rel=1e-10)


@pytest.mark.parametrize("beta", BETAS)
def test_acceleration_ends_no_higher(beta, small):
    start = factors(np.random.default_rng(0))
    plain, fast = (nmf(small, 3, np.random.default_rng(0), beta=beta, factors=start, accelerate=accelerate,
                       iterations=100, tolerance=0.0).costs for accelerate in (False, True))
    assert plain[0] == fast[0] and fast[-1] < 0.9 * plain[-1]


# with a volume and sparse abundances there is no minimum: flat simplices let the abundances shrink without end
@pytest.mark.parametrize("name", [name for name in PENALTIES if name != "volume and sparse abundances"])
def test_a_fixed_point_of_squares_meets_the_first_order_conditions(name, small):
    """The gradient, by differences, vanishes where a factor is positive and points outwards at its floor."""
    endmembers, abundances = PENALTIES[name]
    Y = small / small.max()
    found = nmf(Y, 3, np.random.default_rng(2), endmembers=endmembers, abundances=abundances, begin_with="random",
                iterations=20000, tolerance=0.0, callback=lambda iteration, cost: iteration >= 6000)
    problem = Problem(Squares(Y), endmembers.times(Y.shape[1]), abundances, True)
    M, A, step = found.M, found.A, 1e-6
    for F, at in ((M, np.ndindex(*M.shape)), (A, ((s, j) for s in range(3) for j in range(0, 70, 7)))):
        largest = np.abs(F).max()
        for index in at:
            value = F[index]
            costs = []
            for shift in (step, 0 if value < step else -step):
                changed = F.copy()
                changed[index] += shift
                costs.append(problem.cost(*((changed, A) if F is M else (M, changed))))
            slope = (costs[0] - costs[1]) / (step if value < step else 2 * step)
            assert slope > -2e-2 and (value < 1e-3 * largest or abs(slope) < 2e-2)


@pytest.mark.parametrize("weights", [dict(sparsity=0.7), dict(smoothness=0.7), dict(orthogonality=0.7)])
def test_parts_of_a_penalty_are_its_gradient_and_lie_above_it(weights):
    rng = np.random.default_rng(0)
    penalty, F = Penalty(**weights), rng.random((3, 6)) + 0.1
    A, B, c = penalty.parts(F, [0, 1, 2])
    np.testing.assert_allclose(A - B, gradient(penalty.value, F), atol=1e-6)
    for _ in range(200):
        t = np.exp(rng.standard_normal(F.shape))
        above = penalty.value(F) + (F * (A * (t ** (c + 1) - 1) / (c + 1) - B * (t - 1))).sum()
        assert penalty.value(F * t) <= above * (1 + 1e-12)


def test_parts_of_a_volume_are_its_gradient_and_lie_above_it_row_by_row():
    rng = np.random.default_rng(0)
    penalty, F = Penalty(volume=0.7), rng.random((3, 6)) + 0.1
    slope = gradient(penalty.value, F)
    for s in range(3):
        A, B, c = penalty.parts(F, [s])
        np.testing.assert_allclose((A - B)[0], slope[s], atol=1e-6)
        for _ in range(200):
            t, moved = np.exp(rng.standard_normal(6)), F.copy()
            moved[s] *= t
            above = penalty.value(F) + (F[s] * (A * (t ** (c + 1) - 1) / (c + 1) - B * (t - 1))).sum()
            assert penalty.value(moved) <= above * (1 + 1e-12) + 1e-12


def test_weights_of_the_scale_are_the_gradient_of_the_normalised_penalty():
    rng = np.random.default_rng(0)
    F, G, row = rng.random((3, 6)) + 0.1, rng.random((3, 9)) + 0.1, 1
    for penalty in (Penalty(sparsity=0.7), Penalty(smoothness=0.7), Penalty(volume=0.7)):
        slope = gradient(lambda G: penalty.value(norms(G)[:, None] * F), G)
        np.testing.assert_allclose(penalty.scale_weights(F, G, [row])[:, None] * G[[row]], slope[[row]], atol=1e-6)


def gradient(function, F, step=1e-6):
    slope = np.empty_like(F)
    for at in np.ndindex(*F.shape):
        shift = np.zeros_like(F)
        shift[at] = step
        slope[at] = (function(F + shift) - function(F - shift)) / (2 * step)
    return slope


def test_a_penalty_on_one_factor_does_not_change_with_the_scale(small):
    for endmembers, abundances in ((NONE, Penalty(sparsity=0.1)), (Penalty(volume=0.1), NONE)):
        problem = Problem(Squares(small), endmembers, abundances, True)
        M, A = factors(np.random.default_rng(0))
        assert problem.cost(M * 7, A / 7) == pytest.approx(problem.cost(M, A), rel=1e-12)


def test_each_regulariser_does_what_it_is_for(small):
    def run(endmembers=NONE, abundances=NONE):
        found = nmf(small, 3, np.random.default_rng(3), endmembers=endmembers, abundances=abundances,
                    begin_with="random", iterations=500, tolerance=1e-8)
        n = norms(found.M.T)
        return found.M / n, found.A * n[:, None]
    M, A = run()
    assert (run(abundances=Penalty(sparsity=0.5))[1] < 1e-9).mean() > (A < 1e-9).mean() + 0.1
    assert (run(Penalty(sparsity=0.02))[0] < 1e-9).mean() > (M < 1e-9).mean() + 0.1
    smooth = run(Penalty(smoothness=1.0))[0]
    assert np.square(np.diff(smooth, axis=0)).sum() < 0.6 * np.square(np.diff(M, axis=0)).sum()
    rough = [np.square(np.diff(A)).sum() / np.square(A).sum() for A in (A, run(abundances=Penalty(smoothness=0.3))[1])]
    assert rough[1] < 0.8 * rough[0]

    def overlap(F):
        F = F / np.linalg.norm(F, axis=1, keepdims=True)
        return np.abs(np.triu(F @ F.T, 1)).sum()
    assert overlap(run(Penalty(orthogonality=1.0))[0].T) < 0.6 * overlap(M.T)
    assert overlap(run(abundances=Penalty(orthogonality=1.0))[1]) < 0.6 * overlap(A)
    volume = [np.linalg.det((M * norms(A)).T @ (M * norms(A))) for M, A in ((M, A), run(Penalty(volume=1.0)))]
    assert volume[1] < 0.7 * volume[0]


def planted(rng, outliers=0):
    """Y, M, A (P = 3) with pure pixels; some pixels hold a foreign spectrum."""
    L, N = 40, 300
    x = np.linspace(0, 1, L)
    M = np.stack([0.1 + 0.6 * np.exp(-((x - centre) / 0.12) ** 2) for centre in (0.2, 0.5, 0.8)], axis=1)
    A = np.concatenate([np.eye(3), rng.dirichlet(0.4 * np.ones(3), N - 3).T], axis=1)
    Y = np.maximum(M @ A + 0.003 * rng.standard_normal((L, N)), 1e-6)
    Y[:, 3:3 + outliers] = rng.random((L, outliers)) ** 6
    return Y, M, A


def angle(M, found):
    return np.degrees(sad(M, found.M[:, match(M, found.M)])).max()


@pytest.mark.parametrize("beta", BETAS)
def test_finds_planted_spectra(beta):
    Y, M, A = planted(np.random.default_rng(0))
    assert angle(M, nmf(Y, 3, np.random.default_rng(0), beta=beta, tolerance=1e-5)) < 3.5


@pytest.mark.parametrize("loss", ["l21", "cauchy"])
def test_robust_losses_withstand_outliers(loss):
    Y, M, A = planted(np.random.default_rng(0), outliers=20)
    start = (M @ (0.8 * np.eye(3) + 0.2 / 3), np.full((3, 300), 1 / 3))
    same = dict(factors=start, tolerance=1e-6)
    squares, robust = (angle(M, nmf(Y, 3, np.random.default_rng(0), loss=name, **same))
                       for name in ("divergence", loss))
    assert robust < 0.6 * squares


def test_the_largest_loss_is_lowest_where_it_is_what_is_minimised():
    Y, M, A = planted(np.random.default_rng(0), outliers=20)
    start = (M @ (0.8 * np.eye(3) + 0.2 / 3), np.full((3, 300), 1 / 3))
    data, largest = Reweighted(Y / Y.max(), "robust", 1.1), {}
    for loss in ("robust", "l21", "cauchy", "divergence"):
        found = nmf(Y, 3, np.random.default_rng(0), loss=loss, gamma=1.1, factors=start, iterations=3000,
                    tolerance=1e-8)
        largest[loss] = data.cost(found.M / Y.max(), found.A)
    assert largest["robust"] <= min(largest.values()) * (1 + 1e-9)
    assert largest["robust"] < min(largest["l21"], largest["divergence"]) - 0.01


def test_the_largest_loss_is_the_maximum_over_the_simplex():
    rng = np.random.default_rng(0)
    data = Reweighted(rng.random((5, 9)), "robust", 0.3)
    losses = data.losses(rng.random(9))
    mixes = rng.dirichlet(0.2 * np.ones(3), 500) @ losses
    assert mixes.max() <= losses.max() + 1e-12 and data.cost(rng.random((5, 2)), rng.random((2, 9))) > 0


def test_the_largest_loss_falls_where_two_compete():
    """gamma such that Cauchy's loss and the root change places on the way down."""
    Y, M, A = planted(np.random.default_rng(0))
    start = factors(np.random.default_rng(1), 40, 3, 300)
    found = nmf(Y, 3, np.random.default_rng(0), loss="robust", gamma=1.15, factors=start, accelerate=False,
                iterations=300, tolerance=0.0)
    data = Reweighted(Y / Y.max(), "robust", 1.15)
    first, last = (data.losses(distances(data.Y, *pair)).argmax()
                   for pair in ((start[0] / Y.max(), start[1]), (found.M / Y.max(), found.A)))
    assert first != last
    falls(found.costs)


def test_fractions_keep_the_product_and_sum_to_one_as_nearly_as_they_can():
    Y, M, A = planted(np.random.default_rng(0))
    found = nmf(Y, 3, np.random.default_rng(0), factors=(M * [3, 1, 0.2], A / np.array([[3], [1], [0.2]])),
                iterations=3)
    scaled = as_fractions(found)
    np.testing.assert_allclose(scaled.M @ scaled.A, found.M @ found.A, rtol=1e-10)
    assert np.abs(scaled.A.sum(axis=0) - 1).mean() < 0.03 and np.abs(scaled.A[:, :3] - np.eye(3)).max() < 0.1
    for factor in (0.98, 1.02):
        assert np.square(scaled.A.sum(axis=0) - 1).sum() <= np.square(factor * scaled.A.sum(axis=0) - 1).sum()


def test_same_seed_same_result_and_a_callback_stops(small):
    one, two = (nmf(small, 3, np.random.default_rng(4), begin_with="random", iterations=20).M for _ in range(2))
    assert np.array_equal(one, two)
    stopped = nmf(small, 3, np.random.default_rng(4), iterations=50, tolerance=0.0,
                  callback=lambda iteration, cost: iteration == 7)
    assert stopped.iterations == 7 and not stopped.converged


def test_where_losses_compete_a_mix_of_two_goes_on():
    """One endmember, where a step on the larger loss alone ends 4e-5 above."""
    rng = np.random.default_rng(28)
    Y = rng.random((4, 6)) + 0.01
    Y[:, :2] *= rng.uniform(1, 3)
    start, gamma = factors(rng, 4, 1, 6), rng.uniform(0.7, 1.6)
    found = nmf(Y, 1, rng, loss="robust", gamma=gamma, factors=start, accelerate=False, iterations=400, tolerance=1e-9)
    assert found.costs[-1] < 2.2546


@pytest.mark.parametrize("loss", ["cauchy", "robust"])
def test_the_distance_of_outliers_is_the_median_at_the_start(loss, small):
    start = factors(np.random.default_rng(1))
    median = np.sqrt(np.median(np.square(small - start[0] @ start[1]).sum(axis=0))) / small.max()
    one, other = (nmf(small, 3, np.random.default_rng(0), loss=loss, gamma=gamma, factors=start, iterations=5)
                  for gamma in (None, median))
    np.testing.assert_allclose(one.M, other.M, rtol=1e-9)


def test_the_double_svd_starts_alike_for_every_seed(small):
    one, two = (nmf(small, 3, np.random.default_rng(seed), begin_with="nndsvd", iterations=1).M for seed in (0, 1))
    assert np.array_equal(one, two)
    assert not np.array_equal(one, nmf(small, 3, np.random.default_rng(0), begin_with="random", iterations=1).M)


@pytest.mark.parametrize("begin_with", ["vca", "nndsvd", "random"])
def test_every_start_leads_to_a_fit(begin_with, small):
    found = nmf(small.astype(np.float32), 3, np.random.default_rng(0), begin_with=begin_with, tolerance=1e-6)
    assert np.sqrt(np.mean((small - found.M @ found.A) ** 2)) < 0.008


@pytest.mark.parametrize("options, sentence", [
    (dict(beta=7), "beta is 7"), (dict(loss="l1"), "no loss 'l1'"), (dict(begin_with="atgp"), "no start 'atgp'"),
    (dict(loss="cauchy", gamma=0.0), "gamma is 0"), (dict(abundances=Penalty(volume=1.0)), "one of endmembers"),
    (dict(begin_with="random", initial=np.ones((15, 3))), "for the start 'vca' alone"),
    (dict(factors=(np.ones((15, 2)), np.ones((2, 70)))), "have the shapes")])
def test_bad_options_get_a_sentence(options, sentence, small):
    with pytest.raises(ValueError, match=sentence):
        nmf(small, 3, np.random.default_rng(0), **options)


def test_bad_data_get_a_sentence(small):
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="2 of 1050 values are negative, the least -0.5"):
        nmf(np.where(np.arange(70) == 5, np.where(np.arange(15) < 2, -0.5, 1.0)[:, None], small), 3, rng)
    with pytest.raises(ValueError, match="15 of 1050 values are 0"):
        nmf(np.where(np.arange(70) == 5, 0.0, small), 3, rng, beta=0)
    with pytest.raises(ValueError, match="Ask for 1 to 15"):
        nmf(small, 16, rng, begin_with="random")
    with pytest.raises(ValueError, match="weight of the volume is -1"):
        Penalty(volume=-1.0)
