"""Blind NMF methods: known factors come back from a poor start, costs fall where promised, and each method's own."""

from functools import partial

import numpy as np
import pytest
from scipy.io import loadmat

from subpixel.algorithms.abundances.fcls import fcls
from subpixel.algorithms.blind import kbsnmf as kbsnmf_module
from subpixel.algorithms.blind.kbsnmf import kbsnmf
from subpixel.algorithms.blind.l12nmf import l12nmf, sparseness
from subpixel.algorithms.blind.minvolnmf import minvolnmf
from subpixel.algorithms.blind.mvntf import low_rank_maps, mvntf
from subpixel.algorithms.blind.alternating import accelerated_gradient, onto_simplex
from subpixel.algorithms.blind.rconmf import _SimplexADMM, rconmf
from subpixel.algorithms.blind.sgsnmf import GroupPenalty, group_weights, projected_gradient, sgsnmf
from subpixel.algorithms.blind.ssrnmf import ssrnmf
from subpixel.algorithms.blind.superpixels import _connected, angles, superpixels
from subpixel.algorithms.check.metrics import match, rmse, sad, zscored_sad
from subpixel.algorithms.simulate.scene import add_noise

ROWS, COLS, L, P = 24, 20, 40, 3
GRID = dict(positions=np.arange(ROWS * COLS), shape=(ROWS, COLS))
EVERY = {"l12nmf": l12nmf, "minvolnmf": minvolnmf, "rconmf": rconmf, "ssrnmf": ssrnmf, "kbsnmf": kbsnmf,
         "sgsnmf": partial(sgsnmf, **GRID, width=4), "mvntf": partial(mvntf, **GRID)}
EXACT_SUMS = ("rconmf", "kbsnmf")
# weights small enough that they do not bend a scene without noise, where the fit alone decides
LIGHT = {"l12nmf": dict(weight=1e-2, delta=1.0, tolerance=1e-7), "minvolnmf": dict(iterations=300, tolerance=1e-7),
         "rconmf": dict(beta=0.5, tolerance=1e-6),
         "ssrnmf": dict(weight=1e-2, structure=0.1, delta=1.0, tolerance=1e-7),
         "kbsnmf": dict(theta=0.0, iterations=2000, tolerance=1e-7),
         "sgsnmf": dict(weight=1e-3, delta=1.0, iterations=300, tolerance=1e-7),
         "mvntf": dict(map_rank=2, iterations=1500, tolerance=1e-6)}

every = pytest.mark.parametrize("name", EVERY)


def spectra():
    x = np.linspace(0, 1, L)
    return np.stack([0.08 + 0.3 * np.exp(-((x - 0.2) / 0.1) ** 2), 0.1 + 0.7 / (1 + np.exp(-30 * (x - 0.5))),
                     0.6 - 0.5 * x + 0.1 * np.sin(12 * x)], axis=1)


@pytest.fixture(scope="module")
def easy():
    """Y, M, A without noise, with pure pixels of every material, and with maps of rank one."""
    M = spectra()
    down, across = (np.clip(np.linspace(-0.2, 1.2, side), 0, 1) for side in (ROWS, COLS))
    A = np.stack([np.outer(down, np.ones(COLS)), np.outer(1 - down, across), np.outer(1 - down, 1 - across)])
    return M @ A.reshape(P, -1), M, A.reshape(P, -1)


@pytest.fixture(scope="module")
def samson(scenes):
    """Y, reference endmembers and reference abundances, pixels in row-major order."""
    Y = np.fromfile(scenes / "samson" / "samson_1.img", dtype="<i2").reshape(156, -1).astype(np.float32)
    reference = loadmat(scenes / "samson" / "end3.mat")
    return Y, reference["M"], reference["A"].reshape(3, 95, 95).transpose(0, 2, 1).reshape(3, -1)


def mixed(M):
    """Endmembers that are mixtures themselves: a poor start."""
    return M @ (0.7 * np.eye(P) + 0.1)


def largest_angle(M, M_hat):
    return np.degrees(sad(M, M_hat[:, match(M, M_hat)])).max()


@every
def test_finds_known_spectra_from_mixed_ones(name, easy):
    Y, M, A = easy
    assert largest_angle(M, mixed(M)) > 8
    found = EVERY[name](Y, P, np.random.default_rng(0), initial=mixed(M), **LIGHT[name])
    order = match(M, found.M)
    assert largest_angle(M, found.M) < 2
    if name != "kbsnmf":  # whose abundances are those of endmembers of equal contrast
        assert np.abs(found.A[order] - A).mean() < 0.5 * np.abs(fcls(Y, mixed(M)).A - A).mean()


@every
def test_starts_from_pure_pixels_and_stays_near_them(name, easy):
    Y, M, A = easy
    found = EVERY[name](Y, P, np.random.default_rng(0), **LIGHT[name])
    assert largest_angle(M, found.M) < 2


@every
def test_cost_never_rises(name, easy):
    Y, M, _ = easy
    noisy = np.maximum(add_noise(Y, 30, np.random.default_rng(1)), 0)
    own = {"kbsnmf": dict(gamma=0.0), "sgsnmf": dict(weight=0.0), "l12nmf": dict(weight=0.0),
           "ssrnmf": dict(weight=0.0)}.get(name, {})
    found = EVERY[name](noisy, P, np.random.default_rng(0), initial=mixed(M), iterations=40, tolerance=0.0, **own)
    assert found.costs[-1] < 0.8 * found.costs[0]
    slack = 1e-6 if name in ("rconmf",) else 1e-9
    assert np.diff(found.costs).max() <= slack * found.costs[0]


@pytest.mark.parametrize("method", [l12nmf, ssrnmf])
def test_cost_falls_with_sparseness_where_no_abundance_vanishes(method, easy):
    _, M, A = easy
    Y = M @ (0.4 * A + 0.2)
    outside = M @ (1.1 * np.eye(P) - 0.1 / P) + 0.05
    found = method(Y, P, np.random.default_rng(0), initial=outside, iterations=60, weight=0.05, tolerance=0.0)
    assert found.A.min() > 1e-4
    assert found.costs[-1] < 0.99 * found.costs[0] and np.diff(found.costs).max() <= 1e-9 * found.costs[0]


@every
def test_abundances_are_nonnegative_and_sum_to_one(name, easy):
    found = EVERY[name](easy[0], P, np.random.default_rng(0), iterations=20)
    assert found.A.min() >= 0
    sums = found.A.sum(axis=0)
    if name == "minvolnmf":
        assert sums.max() <= 1 + 1e-12
    else:
        np.testing.assert_allclose(sums, 1, atol=1e-12 if name in EXACT_SUMS else 0.15)
    if name != "rconmf":
        assert found.M.min() >= 0


@every
def test_units_of_the_data_do_not_matter(name, easy):
    Y = easy[0]
    one, thousand = (EVERY[name](factor * Y, P, np.random.default_rng(0), iterations=10) for factor in (1.0, 1024.0))
    np.testing.assert_allclose(thousand.M, 1024 * one.M, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(thousand.A, one.A, atol=1e-6)


@every
def test_single_precision_gives_the_same_answer(name, easy):
    Y, M, _ = easy
    double, single = (EVERY[name](data, P, np.random.default_rng(0), initial=mixed(M), iterations=10)
                      for data in (Y, Y.astype(np.float32)))
    np.testing.assert_allclose(single.M, double.M, atol=2e-3)
    np.testing.assert_allclose(single.A, double.A, atol=5e-3)


@every
def test_same_seed_gives_the_same_result(name, easy):
    one, again = (EVERY[name](easy[0], P, np.random.default_rng(3), iterations=5) for _ in range(2))
    assert np.array_equal(one.M, again.M) and np.array_equal(one.A, again.A)


@every
def test_says_how_it_ended(name, easy):
    seen = []
    begin = mixed(easy[1])
    found = EVERY[name](easy[0], P, np.random.default_rng(0), initial=begin, iterations=50, tolerance=0.0,
                        callback=lambda iteration, cost: seen.append((iteration, cost)) or iteration == 3)
    assert found.iterations == 3 and not found.converged
    assert [iteration for iteration, _ in seen] == [1, 2, 3]
    assert np.array_equal(found.costs[1:], [cost for _, cost in seen])
    loose = EVERY[name](easy[0], P, np.random.default_rng(0), initial=begin, iterations=50, tolerance=10.0)
    assert loose.converged and loose.iterations < 10


@every
def test_refuses_what_it_cannot_unmix(name, easy):
    Y, M, _ = easy
    run, rng = EVERY[name], np.random.default_rng(0)
    with pytest.raises(ValueError, match="Ask for 2 to 40"):
        run(Y, 41, rng)
    with pytest.raises(ValueError, match="dimension"):
        run(Y, 6, rng)
    with pytest.raises(ValueError, match="same spectrum"):
        run(Y[:, :1].repeat(Y.shape[1], axis=1), P, rng)
    with pytest.raises(ValueError, match="shape"):
        run(Y, P, rng, initial=M[:, :2])
    with pytest.raises(ValueError, match="identical"):
        run(Y, P, rng, initial=M[:, [0, 1, 1]])
    with pytest.raises(ValueError, match="not finite"):
        run(np.where(np.arange(Y.shape[1]) == 7, np.nan, Y), P, rng)
    with pytest.raises(ValueError, match="positive"):
        run(-Y, P, rng)


def test_without_sparseness_it_is_the_rule_of_lee_and_seung(easy):
    Y, M, _ = easy
    found = l12nmf(Y, P, np.random.default_rng(0), initial=mixed(M), weight=0.0, delta=2.0, iterations=3,
                   tolerance=0.0)
    Y = Y / Y.max()
    E = mixed(M) / easy[0].max()
    A = np.maximum(fcls(Y, E).A, 1e-4)
    for _ in range(3):
        E = E * (Y @ A.T) / (E @ A @ A.T)
        F, X = np.vstack([E, np.full((1, P), 2.0)]), np.vstack([Y, np.full((1, Y.shape[1]), 2.0)])
        A = A * (F.T @ X) / (F.T @ F @ A)
    np.testing.assert_allclose(found.A, A, rtol=1e-9)
    np.testing.assert_allclose(found.costs[-1], 0.5 * np.square(X - F @ A).sum(), rtol=1e-6)


def test_sparseness_is_zero_for_even_bands_and_large_where_one_pixel_holds_all():
    assert sparseness(np.ones((9, 50))) == pytest.approx(0, abs=1e-12)
    assert sparseness(np.eye(50)[:9]) == pytest.approx(3 * (np.sqrt(50) - 1) / 7)


def test_without_structure_it_is_sparse_nmf(easy):
    same = dict(weight=0.1, delta=5.0, iterations=10)
    one = ssrnmf(easy[0], P, np.random.default_rng(0), structure=0.0, **same)
    other = l12nmf(easy[0], P, np.random.default_rng(0), **same)
    assert np.array_equal(one.A, other.A) and np.array_equal(one.M, other.M)


def test_structure_brings_abundances_into_the_scenes_subspace(easy):
    Y = np.maximum(add_noise(easy[0], 15, np.random.default_rng(0)), 0)
    V = np.linalg.svd(Y, full_matrices=False)[2][:P]
    outside = [np.linalg.norm(A - A @ V.T @ V) for A in
               (ssrnmf(Y, P, np.random.default_rng(0), weight=0.0, structure=mu).A for mu in (0.0, 10.0))]
    assert outside[1] < 0.7 * outside[0]


def test_superfluous_endmembers_do_not_disturb_the_others(easy):
    Y, M, _ = easy
    Y = np.maximum(add_noise(Y, 40, np.random.default_rng(0)), 0)
    found = minvolnmf(Y, P + 2, np.random.default_rng(0), iterations=200)
    assert largest_angle(M, found.M) < 3


def test_a_smaller_volume_costs_fit(easy):
    Y = np.maximum(add_noise(easy[0], 25, np.random.default_rng(0)), 0)
    M = [minvolnmf(Y, P, np.random.default_rng(0), weight=weight).M for weight in (0.0, 5.0)]
    volume = [np.linalg.slogdet(E.T @ E)[1] for E in M]
    assert volume[1] < volume[0] - 0.1


def test_rconmf_finds_how_many_endmembers_are_active(easy):
    Y = add_noise(easy[0], 40, np.random.default_rng(0))
    found = rconmf(Y, 5, np.random.default_rng(0), alpha=1.0, beta=5.0)
    assert found.active.sum() == P
    assert rconmf(Y, 5, np.random.default_rng(0), alpha=0.0).active.sum() == 5
    rule, same = (rconmf(Y, 4, np.random.default_rng(0), alpha=alpha) for alpha in (None, 10**-1.5 * np.sqrt(1000 / 4)))
    np.testing.assert_allclose(rule.A, same.A, atol=1e-9)


def test_rconmf_without_penalties_fits_a_simplex(easy):
    Y, M, _ = easy
    found = rconmf(Y, P, np.random.default_rng(0), initial=mixed(M), alpha=0.0, beta=0.0, tolerance=0.0)
    assert np.sqrt(np.mean((Y - found.M @ found.A) ** 2)) < 1e-3


def test_admm_solves_the_sum_to_one_problem():
    rng = np.random.default_rng(0)
    M, Y = rng.random((12, 4)), rng.random((12, 60))
    found = _SimplexADMM(np.full((4, 60), 0.25), 0.0, 2000).solve(M.T @ M, M.T @ Y)
    np.testing.assert_allclose(found, fcls(Y, M).A, atol=1e-4)


def test_rconmf_names_an_unknown_target(easy):
    with pytest.raises(ValueError, match="'boundary', 'centre'"):
        rconmf(easy[0], P, np.random.default_rng(0), target="middle")


def test_pull_is_half_of_the_kurtosis_gradient():
    M = np.random.default_rng(0).gamma(1.0, size=(30, 3))
    M /= M.std(axis=0)
    step, gradient = 1e-6, np.empty_like(M)
    for at in np.ndindex(*M.shape):
        shift = np.zeros_like(M)
        shift[at] = step
        # at unit variance held fixed: the fourth moment alone, as in the paper
        moment = [np.mean((X - X.mean(axis=0)) ** 4, axis=0).mean() for X in (M + shift, M - shift)]
        gradient[at] = (moment[0] - moment[1]) / (2 * step)
    np.testing.assert_allclose(2 * kbsnmf_module._kurtosis_pull(M), gradient, atol=1e-8)


def test_kurtosis_is_raised_by_its_weight(easy):
    Y, M, _ = easy
    low, high = (kbsnmf(Y, P, np.random.default_rng(0), gamma=gamma, theta=0.0, initial=mixed(M), iterations=300).M
                 for gamma in (0.0, 2000.0))
    assert kbsnmf_module.kurtosis(high).mean() > kbsnmf_module.kurtosis(low).mean() + 0.1


def test_a_cell_of_table_4_comes_out_as_recorded(samson):
    """R-CoNMF on Samson: better than the published z-scored SAD of 0.1526."""
    Y, M, _ = samson
    found = rconmf(Y, 3, np.random.default_rng(0))
    found = found.M[:, match(M, found.M)]
    assert zscored_sad(M, found).mean() == pytest.approx(0.152, abs=5e-4)
    assert sad(M, found).mean() == pytest.approx(0.0861, abs=5e-4)


def test_kbsnmf_is_near_its_published_figure_on_samson(samson):
    """Its row of Table 4 (z-scored SAD 0.1580, RMSE 0.1151), from its published start, by every fifth pixel."""
    Y, M, A = samson
    found = kbsnmf(Y[:, ::5], 3, np.random.default_rng(0), begin_with="nndsvd", tolerance=0.0)
    order = match(M, found.M)
    assert zscored_sad(M, found.M[:, order]).mean() == pytest.approx(0.158, abs=0.015)
    assert rmse(A[:, ::5], found.A[order]).mean() == pytest.approx(0.115, abs=0.015)


def test_kbsnmf_refuses_a_smoothing_of_everything_and_spectra_that_it_would_not_start_from(easy):
    with pytest.raises(ValueError, match="does not start from initial"):
        kbsnmf(easy[0], P, np.random.default_rng(0), begin_with="nndsvd", initial=easy[1])
    with pytest.raises(ValueError, match="less than 1"):
        kbsnmf(easy[0], P, np.random.default_rng(0), theta=1.0)


def test_group_penalty_gradient_by_differences():
    rng = np.random.default_rng(0)
    penalty, A = GroupPenalty(rng.random(5), rng.random((3, 5))), rng.random((3, 5))
    step, expected = 1e-6, np.empty_like(A)
    for at in np.ndindex(*A.shape):
        shift = np.zeros_like(A)
        shift[at] = step
        expected[at] = (penalty.values(A + shift).sum() - penalty.values(A - shift).sum()) / (2 * step)
    np.testing.assert_allclose(penalty.gradient(A), expected, atol=1e-8)


def test_endmembers_that_became_the_same_are_named():
    M = np.zeros((6, 3))
    M[0, 0] = 1
    with pytest.raises(ValueError, match="Two of the 3 endmembers have become the same"):
        group_weights(M, np.ones((6, 2)))


def test_projected_gradient_reaches_nonnegative_least_squares():
    from subpixel.algorithms.abundances.active_set import minimise
    rng = np.random.default_rng(0)
    M, Y = rng.random((12, 3)), rng.random((12, 40))
    found, _ = projected_gradient(np.full((3, 40), 0.3), M.T @ M, M.T @ Y, np.arange(40) % 7, 1e-9, 3000)
    np.testing.assert_allclose(found, minimise(M.T @ M, M.T @ Y, sum_to_one=False), atol=1e-5)


def test_projected_gradient_never_raises_a_penalised_cost():
    rng = np.random.default_rng(0)
    M, Y, labels = rng.random((12, 3)), rng.random((12, 40)), np.arange(40) % 7
    penalty = GroupPenalty(3 * rng.random(40), rng.random((3, 40)))
    X, tolerance = np.full((3, 40), 0.3), None
    costs = []
    for _ in range(40):
        costs.append(0.5 * np.square(Y - M @ X).sum() + penalty.values(X).sum())
        X, tolerance = projected_gradient(X, M.T @ M, M.T @ Y, labels, tolerance, 5, penalty)
    assert np.diff(costs).max() <= 1e-12 * costs[0] and costs[-1] < 0.9 * costs[0]
    # the minimum is one: no descent is left in any direction that stays nonnegative
    slope = M.T @ (M @ X - Y) + penalty.gradient(X)
    assert np.abs(slope[X > 1e-3]).max() < 0.05


def test_a_tolerance_that_shrinks_is_not_a_step():
    rng = np.random.default_rng(0)
    M, Y = rng.random((12, 3)), rng.random((12, 40))
    X = np.full((3, 40), 0.3)
    size = np.linalg.norm(M.T @ (M @ X - Y))
    found, tolerance = projected_gradient(X, M.T @ M, M.T @ Y, np.zeros(40, int), 2 * size, 5)
    assert tolerance < size and np.square(Y - M @ found).sum() < 0.99 * np.square(Y - M @ X).sum()


def test_sgsnmf_does_not_settle_where_its_cost_turns(samson):
    """Samson with a weak sum to one: the weights raise the cost after its first fall; 4 iterations are not the end."""
    grid = dict(positions=np.arange(95 * 95), shape=(95, 95))
    found = sgsnmf(samson[0], 3, np.random.default_rng(0), **grid, delta=1, iterations=30, tolerance=0.0)
    assert found.iterations == 30 and not found.converged
    found = sgsnmf(samson[0], 3, np.random.default_rng(0), **grid, delta=1)
    late = np.abs(np.diff(found.costs))[-5:]
    assert found.converged and (late <= 1e-4 * found.costs[-1] * 1.001).all() and late.min() > 0


def test_group_sparsity_empties_what_a_patch_does_not_hold(easy):
    Y = np.maximum(add_noise(easy[0], 15, np.random.default_rng(0)), 0)
    share = [np.mean(sgsnmf(Y, P, np.random.default_rng(0), **GRID, width=4, weight=weight, delta=1.0).A < 0.01)
             for weight in (0.0, 0.3)]
    assert share[1] > share[0] + 0.05


def test_superpixels_follow_the_materials():
    rng = np.random.default_rng(0)
    truth = (np.arange(COLS) >= 9)[None, :].repeat(ROWS, axis=0).ravel().astype(int)
    Y = spectra()[:, :2][:, truth] + 0.01 * rng.standard_normal((L, ROWS * COLS))
    labels = superpixels(Y, **GRID, width=4)
    assert np.array_equal(np.unique(labels), np.arange(labels.max() + 1))
    assert all(len(set(truth[labels == label])) == 1 for label in np.unique(labels))
    assert 12 <= labels.max() + 1 <= 60


def test_superpixels_are_connected_and_leave_gaps_out(easy):
    from scipy.ndimage import label
    valid = np.random.default_rng(0).random(ROWS * COLS) > 0.1
    positions = np.flatnonzero(valid)
    labels = superpixels(easy[0][:, positions], positions, (ROWS, COLS), 4)
    assert labels.shape == positions.shape
    whole = np.full(ROWS * COLS, -1)
    whole[positions] = labels
    assert all(label(whole.reshape(ROWS, COLS) == number)[1] == 1 for number in range(labels.max() + 1))


def test_zero_spectra_make_superpixels_of_their_own():
    rng = np.random.default_rng(0)
    dark = np.zeros((ROWS, COLS), bool)
    dark[:, 9:] = True
    dark[3, 3] = True
    Y = np.where(dark.ravel(), 0.0, spectra()[:, [1]] + 0.01 * rng.standard_normal((L, ROWS * COLS)))
    with np.errstate(all="raise"):
        labels = superpixels(Y, **GRID, width=4, compactness=0.1).reshape(ROWS, COLS)
    assert not set(labels[:, 9:].ravel()) & set(labels[:, :9].ravel())
    assert labels[3, 3] in labels[2:5, [2, 4]]
    assert angles(np.eye(2), np.array([[0.0, 1.0], [0.0, 0.0]])) == pytest.approx(np.pi / 2)
    assert angles(np.zeros((2, 1)), np.zeros((2, 1))) == 0


def test_pieces_that_join_one_after_another_end_connected():
    """A scene of noise falls into pieces of one or two pixels, whose hosts join others themselves."""
    from scipy.ndimage import label
    unit = np.abs(np.random.default_rng(0).standard_normal((3, 3600)))
    joined = _connected(unit, np.arange(3600), (60, 60), np.random.default_rng(1).integers(0, 50, 3600), 9)
    assert np.bincount(joined).min() >= 9
    assert all(label(joined.reshape(60, 60) == number)[1] == 1 for number in range(joined.max() + 1))


@pytest.mark.parametrize("width, sentence", [(1, "Choose at least 2"), (25, "larger than the scene of 24 x 20")])
def test_superpixels_of_impossible_width(width, sentence, easy):
    with pytest.raises(ValueError, match=sentence):
        sgsnmf(easy[0], P, np.random.default_rng(0), **GRID, width=width)


@pytest.mark.parametrize("name", ["sgsnmf", "mvntf"])
def test_gaps_take_no_part(name, easy):
    Y, M, _ = easy
    positions = np.flatnonzero(np.random.default_rng(0).random(ROWS * COLS) > 0.15)
    method = {"sgsnmf": partial(sgsnmf, width=4), "mvntf": mvntf}[name]
    found = method(Y[:, positions], P, np.random.default_rng(0), positions=positions, shape=(ROWS, COLS),
                   initial=mixed(M), **LIGHT[name])
    assert found.A.shape == (P, len(positions)) and largest_angle(M, found.M) < 2.5


def test_mvntf_recovers_a_planted_tensor():
    rng = np.random.default_rng(1)
    F, H = rng.random((P, ROWS, 2)) ** 4, rng.random((P, COLS, 2)) ** 4
    maps = np.matmul(F, H.transpose(0, 2, 1)).reshape(P, -1)
    M = spectra()
    found = mvntf(M @ maps, P, rng, **GRID, initial=mixed(M), map_rank=2, delta=0.0, iterations=3000, tolerance=1e-7)
    assert found.costs[-1] < 1e-3 * found.costs[0]
    assert largest_angle(M, found.M) < 1


def test_maps_start_from_valid_pixels_alone():
    rng = np.random.default_rng(1)
    maps = np.matmul(rng.random((P, ROWS, 2)) ** 4, rng.random((P, 2, COLS)) ** 4)
    valid = (rng.random((ROWS, COLS)) > 0.3).astype(float)
    F, H = low_rank_maps(maps * valid, valid, 2, rng)
    missed = np.abs(np.matmul(F, H.transpose(0, 2, 1)) - maps)[:, valid > 0]
    assert missed.mean() < 0.02 * maps.mean()


def test_rank_of_maps_is_limited_by_the_valid_pixels(easy):
    positions = np.arange(100)
    with pytest.raises(ValueError, match="3 maps of rank 6 are not determined by 100 valid pixels.*at most 5"):
        mvntf(easy[0][:, positions], P, np.random.default_rng(0), positions=positions, shape=(ROWS, COLS), map_rank=6)
    # 0.3 of the shorter side would be 6
    found = mvntf(easy[0][:, positions], P, np.random.default_rng(0), positions=positions, shape=(ROWS, COLS),
                  iterations=3)
    assert found.A.shape == (P, 100)


@pytest.mark.parametrize("rank, sentence", [(13, "at most 12"), (21, "between 1 and 20")])
def test_maps_of_impossible_rank(rank, sentence, easy):
    with pytest.raises(ValueError, match=sentence):
        mvntf(easy[0], P, np.random.default_rng(0), **GRID, map_rank=rank)


@pytest.mark.parametrize("at_most", [False, True])
def test_projection_onto_the_simplex_is_the_nearest_point(at_most):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((4, 200))
    nearest = onto_simplex(X, at_most)
    sums = nearest.sum(axis=0)
    assert nearest.min() >= 0 and sums.max() <= 1 + 1e-12 and (at_most or sums.min() >= 1 - 1e-12)
    for other in rng.dirichlet(np.ones(4), 200) * (rng.random((200, 1)) if at_most else 1):
        # the angle between where it came from and any other point of the set is obtuse
        assert np.einsum("pn,pn->n", X - nearest, other[:, None] - nearest).max() <= 1e-12


def test_accelerated_gradient_finds_the_constrained_minimum():
    rng = np.random.default_rng(0)
    M, Y = rng.random((12, 3)), rng.random((12, 40))
    found = accelerated_gradient(np.full((3, 40), 1 / 3), M.T @ M, M.T @ Y, onto_simplex, 2000)
    np.testing.assert_allclose(found, fcls(Y, M).A, atol=1e-6)
