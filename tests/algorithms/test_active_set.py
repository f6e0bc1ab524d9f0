"""The active-set solver is exact, ends, and does not mind ties, units or nearly equal endmembers."""

from itertools import combinations

import numpy as np
import pytest
from scipy.optimize import nnls as scipy_nnls

from subpixel.algorithms.abundances import active_set
from subpixel.algorithms.abundances.active_set import kkt_residual, minimise, unconstrained


@pytest.fixture
def rng():
    return np.random.default_rng(11)


def spectra(L, P, rng, spread=1.0):
    """Smooth random spectra; `spread` says how far they are from one common spectrum."""
    walks = np.cumsum(rng.standard_normal((L, P + 1)), axis=0)
    walks /= np.abs(walks).max(axis=0)
    return 1.5 + walks[:, :1] + spread * walks[:, 1:]


def mixtures(M, N, rng, noise=0.05):
    return M @ rng.dirichlet(np.full(M.shape[1], 0.3), N).T + noise * rng.standard_normal((len(M), N))


def cost(Y, M, A):
    return np.sum((Y - M @ A) ** 2, axis=0)


def best_support(Y, M, sum_to_one):
    """Least cost over the feasible solutions of all supports, from the data by QR: an independent exact answer."""
    P = M.shape[1]
    best = np.full(Y.shape[1], np.inf) if sum_to_one else np.sum(Y**2, axis=0)
    for size in range(1, P + 1):
        for support in map(list, combinations(range(P), size)):
            if sum_to_one:
                first, rest = support[0], support[1:]
                b = np.linalg.lstsq(M[:, rest] - M[:, [first]], Y - M[:, [first]])[0]
                a = np.vstack([1 - b.sum(axis=0), b])
            else:
                a = np.linalg.lstsq(M[:, support], Y)[0]
            feasible = (a >= 0).all(axis=0)
            best[feasible] = np.minimum(best, cost(Y, M[:, support], a))[feasible]
    return best


def by_scipy(Y, M):
    """FCLS as the equivalent NNLS problem of `minimise`'s notes, solved pixel by pixel by another solver."""
    A = np.empty((M.shape[1], Y.shape[1]))
    for n, y in enumerate(Y.T):
        K = M - y[:, None]
        s = np.linalg.norm(K) / np.sqrt(M.shape[1])
        u = scipy_nnls(np.vstack([K, np.full((1, M.shape[1]), s)]), np.append(np.zeros(len(y)), s))[0]
        A[:, n] = u / u.sum()
    return A


@pytest.mark.parametrize("sum_to_one", [False, True])
def test_no_support_gives_a_lower_cost(rng, sum_to_one):
    M = spectra(30, 5, rng)
    Y = mixtures(M, 1000, rng, noise=0.3)
    A = minimise(M.T @ M, M.T @ Y, sum_to_one)
    best = best_support(Y, M, sum_to_one)
    assert np.max(np.abs(cost(Y, M, A) - best) / best) <= 1e-8
    assert (A == 0).any(axis=0).mean() > 0.3


def test_fcls_equals_the_nnls_problem_it_is_said_to_be(rng):
    M = spectra(40, 7, rng)
    Y = mixtures(M, 200, rng, noise=0.2)
    assert np.allclose(minimise(M.T @ M, M.T @ Y, True), by_scipy(Y, M), rtol=0, atol=1e-10)


def test_seventeen_nearly_collinear_endmembers_are_solved_exactly(rng):
    M = spectra(200, 17, rng, spread=1e-3)
    Y = mixtures(M, 1000, rng, noise=1e-3)
    G, C = M.T @ M, M.T @ Y
    A = minimise(G, C, True)
    reference = cost(Y[:, :200], M, by_scipy(Y[:, :200], M))
    assert np.max(cost(Y[:, :200], M, A[:, :200]) / reference - 1) <= 1e-8
    assert kkt_residual(G, C, A, True).max() <= 1e-9


@pytest.mark.parametrize("sum_to_one", [False, True])
@pytest.mark.parametrize("P", [1, 2, 6, 16, 30])
def test_optimality_conditions_hold_for_any_number_of_endmembers(rng, P, sum_to_one):
    M = spectra(60, P, rng)
    Y = mixtures(M, 500, rng, noise=0.2)
    G, C = M.T @ M, M.T @ Y
    A = minimise(G, C, sum_to_one)
    assert A.min() >= 0
    assert kkt_residual(G, C, A, sum_to_one).max() <= 1e-10
    if sum_to_one:
        assert np.abs(A.sum(axis=0) - 1).max() <= 1e-14


def test_the_primal_method_alone_ends_at_the_same_answer(rng, monkeypatch):
    M = spectra(40, 8, rng)
    Y = mixtures(M, 300, rng, noise=0.5)
    expected = minimise(M.T @ M, M.T @ Y, True)
    monkeypatch.setattr(active_set, "FULL_EXCHANGES", -1)
    assert np.allclose(minimise(M.T @ M, M.T @ Y, True), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("route", [1, np.inf])
def test_groups_and_single_systems_agree(rng, monkeypatch, route):
    M = spectra(40, 6, rng)
    Y = mixtures(M, 400, rng, noise=0.3)
    expected = minimise(M.T @ M, M.T @ Y, True)
    monkeypatch.setattr(active_set, "LARGE_GROUP", route)
    assert np.allclose(minimise(M.T @ M, M.T @ Y, True), expected, rtol=0, atol=1e-12)


def test_pixels_do_not_depend_on_their_neighbours_or_on_blocks(rng, monkeypatch):
    M = spectra(40, 6, rng)
    C = M.T @ mixtures(M, 3000, rng, noise=0.3)
    expected = minimise(M.T @ M, C, True)
    monkeypatch.setattr(active_set, "BLOCK_NUMBERS", 1)
    assert np.allclose(minimise(M.T @ M, C[:, ::-1], True)[:, ::-1], expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("sum_to_one", [False, True])
def test_ties_end(rng, sum_to_one):
    M = spectra(40, 6, rng)
    on_faces = np.where(rng.random((6, 500)) < 0.5, rng.random((6, 500)), 0)
    on_faces[0, on_faces.sum(axis=0) == 0] = 1
    truth = np.hstack([np.eye(6), on_faces / on_faces.sum(axis=0)])
    A = minimise(M.T @ M, M.T @ M @ truth, sum_to_one)
    assert np.allclose(A, truth, rtol=0, atol=1e-9)


@pytest.mark.parametrize("unit", [1e-6, 1e4])
def test_units_do_not_matter(rng, unit):
    M = spectra(40, 6, rng)
    Y = mixtures(M, 300, rng, noise=0.3)
    expected = minimise(M.T @ M, M.T @ Y, True)
    assert np.allclose(minimise(unit**2 * M.T @ M, unit**2 * M.T @ Y, True), expected, rtol=0, atol=1e-11)


def test_a_pixel_that_is_not_finite_stays_alone(rng):
    M = spectra(40, 6, rng)
    C = M.T @ mixtures(M, 50, rng, noise=0.3)
    expected = minimise(M.T @ M, C, True)
    C[2, 7], C[0, 9] = np.nan, np.inf
    A = minimise(M.T @ M, C, True)
    others = np.setdiff1d(np.arange(50), [7, 9])
    assert np.isnan(A[:, [7, 9]]).all()
    assert np.allclose(A[:, others], expected[:, others], rtol=0, atol=1e-13)


def test_unconstrained_sums_to_one_only_when_asked(rng):
    M = spectra(40, 4, rng)
    Y = mixtures(M, 50, rng)
    assert np.allclose(unconstrained(M.T @ M, M.T @ Y), np.linalg.lstsq(M, Y)[0])
    assert np.allclose(unconstrained(M.T @ M, M.T @ Y, True).sum(axis=0), 1)


def test_the_residual_tells_wrong_answers(rng):
    M = spectra(40, 4, rng)
    G, C = M.T @ M, M.T @ mixtures(M, 100, rng)
    A = minimise(G, C, True)
    moved = A + 1e-3 * np.array([[1], [-1], [0], [0]])
    assert kkt_residual(G, C, moved, True).min() > 1e-7
    assert kkt_residual(G, C, 1.01 * A, True).min() > 1e-3
    assert kkt_residual(1e8 * G, 1e8 * C, moved, True) == pytest.approx(kkt_residual(G, C, moved, True))


@pytest.mark.parametrize("sum_to_one", [True, False])
def test_many_similar_endmembers_cycle_and_are_solved_exactly_by_the_primal_method(sum_to_one, monkeypatch):
    rng, x = np.random.default_rng(0), np.linspace(0, 1, 60)[:, None]
    M = 1 + 0.03 * np.cumsum(rng.normal(0, 0.05, (60, 50)), axis=0) + 0.5 * x
    Y = M @ rng.dirichlet(np.full(50, 0.1), 500).T + 0.3 * rng.standard_normal((60, 500))
    primal, taken = active_set._descend, []
    monkeypatch.setattr(active_set, "_descend", lambda systems, pixels, *rest: (
        taken.append(pixels.size), primal(systems, pixels, *rest))[1])
    G, C = M.T @ M, M.T @ Y
    assert kkt_residual(G, C, minimise(G, C, sum_to_one), sum_to_one).max() < 1e-12
    assert sum(taken) > 0, "no pixel cycled, so this shows nothing"


def pixel_systems(P=5, N=400, seed=3):
    """Gram matrices of each pixel's own endmembers (N, P, P), and products (P, N) that make many abundances zero."""
    rng = np.random.default_rng(seed)
    M = rng.uniform(0, 1, (N, 12, P)) + 0.5
    y = np.einsum("nlp,pn->nl", M, rng.dirichlet(np.ones(P), N).T) + 0.4 * rng.standard_normal((N, 12))
    return np.einsum("nlp,nlq->npq", M, M), np.einsum("nlp,nl->pn", M, y)


@pytest.mark.parametrize("sum_to_one", [True, False])
def test_a_gram_matrix_per_pixel_is_solved_exactly(sum_to_one):
    G, C = pixel_systems()
    A = minimise(G, C, sum_to_one)
    assert (A == 0).mean() > 0.2, "no constraint is active, so this shows nothing"
    assert kkt_residual(G, C, A, sum_to_one).max() < 1e-12


@pytest.mark.parametrize("sum_to_one", [True, False])
def test_a_gram_matrix_per_pixel_gives_what_the_pixel_alone_gives(sum_to_one, monkeypatch):
    G, C = pixel_systems(N=50)
    alone = np.stack([minimise(g, c[:, None], sum_to_one)[:, 0] for g, c in zip(G, C.T)], axis=1)
    np.testing.assert_allclose(minimise(G, C, sum_to_one), alone, atol=1e-12)
    monkeypatch.setattr(active_set, "FULL_EXCHANGES", -1)  # every pixel with an active constraint goes to the other way
    np.testing.assert_allclose(minimise(G, C, sum_to_one), alone, atol=1e-12)
    C[0, 7] = np.nan
    A = minimise(G, C, sum_to_one)
    assert np.isnan(A[:, 7]).all() and np.isfinite(np.delete(A, 7, axis=1)).all()
