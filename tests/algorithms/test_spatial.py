"""Spatial priors: smoothing is the linear system it stands for, abundances are the minimum of their cost."""

import numpy as np
import pytest
from scipy.optimize import linprog, minimize

from subpixel.algorithms.abundances.active_set import minimise
from subpixel.algorithms.variability.spatial import (
    IndependentAbundances, Smoothness, SpatialAbundances, TotalVariation, abundance_step, curvature, laplacian,
    smoothed)

SHAPE = (4, 5)
N, P, L = 20, 3, 12


@pytest.fixture
def rng():
    return np.random.default_rng(3)


def differences(shape):
    """D_h and D_v as one dense matrix: a row per pair of neighbours."""
    index = np.arange(np.prod(shape)).reshape(shape)
    pairs = [(index[:, :-1], index[:, 1:]), (index[:-1], index[1:])]
    rows = []
    for first, second in pairs:
        for i, j in zip(first.ravel(), second.ravel()):
            row = np.zeros(index.size)
            row[i], row[j] = -1, 1
            rows.append(row)
    return np.array(rows)


@pytest.fixture
def problem(rng):
    """H (N, P, P), c (P, N) of pixels with endmembers of their own, of which many lie outside of the simplex."""
    M = rng.uniform(0.2, 1, (N, L, P))
    A = rng.dirichlet(np.full(P, 0.3), N).T
    Y = np.einsum("nlp,pn->ln", M, A) + 0.2 * rng.standard_normal((L, N))
    return np.einsum("nlp,nlq->npq", M, M), np.einsum("nlp,ln->pn", M, Y)


def start(H, c):
    return IndependentAbundances(np.full(c.shape, 1 / P))(H, c)


def tight(prior, H, c, steps=20000):
    return SpatialAbundances(prior, start(H, c), SHAPE, steps=steps, tolerance=1e-10)(H, c)


def cost(H, c, A, prior):
    return 0.5 * np.einsum("pn,npq,qn->", A, H, A) - np.sum(c * A) + prior.cost(A)


def gradient(H, c, A):
    return np.einsum("npq,qn->pn", H, A) - c


class TestSmoothing:
    def test_is_the_solution_of_its_linear_system(self, rng):
        X, D = rng.standard_normal((2, *SHAPE)), differences(SHAPE)
        Z, roughness = smoothed(X, 0.7, 0.3, laplacian(SHAPE))
        dense = np.linalg.solve(0.7 * np.eye(N) + 0.3 * D.T @ D, 0.7 * X.reshape(2, N).T).T
        assert np.allclose(Z.reshape(2, N), dense, rtol=0, atol=1e-13)
        assert roughness == pytest.approx(np.square(D @ dense.T).sum())

    def test_takes_a_weight_per_map(self, rng):
        X, data = rng.standard_normal((2, *SHAPE)), np.array([0.5, 4.0])
        Z = smoothed(X, data[:, None, None], 0.3, laplacian(SHAPE))[0]
        for z, x, weight in zip(Z, X, data):
            assert np.allclose(z, smoothed(x, weight, 0.3, laplacian(SHAPE))[0])

    def test_keeps_a_constant_map_and_the_mean_of_any(self, rng):
        X = rng.standard_normal(SHAPE)
        assert np.allclose(smoothed(np.full(SHAPE, 2.0), 1.0, 5.0, laplacian(SHAPE))[0], 2.0)
        assert smoothed(X, 1.0, 5.0, laplacian(SHAPE))[0].mean() == pytest.approx(X.mean())

    def test_laplacian_has_the_eigenvalues_of_the_dense_matrix(self):
        D = differences(SHAPE)
        assert np.allclose(np.sort(laplacian(SHAPE).ravel()), np.linalg.eigvalsh(D.T @ D), atol=1e-13)


def test_priors_cost_what_their_definitions_say(rng):
    A, D = rng.dirichlet(np.ones(P), N).T, differences(SHAPE)
    assert TotalVariation(0.3, SHAPE).cost(A) == pytest.approx(0.3 * np.abs(D @ A.T).sum())
    assert Smoothness(0.3, SHAPE).cost(A) == pytest.approx(0.15 * np.square(D @ A.T).sum())


class TestAbundances:
    @pytest.mark.parametrize("weight", [0.01, 0.3, 10.0])
    def test_with_smoothness_satisfy_the_optimality_conditions(self, problem, weight):
        H, c = problem
        A, D = tight(Smoothness(weight, SHAPE), H, c), differences(SHAPE)
        g = gradient(H, c, A) + weight * (D.T @ D @ A.T).T
        multipliers = g - g.min(axis=0)
        assert np.abs(A * multipliers).max() < 1e-7

    def test_with_smoothness_are_those_of_another_solver(self, problem):
        H, c = problem
        prior, D = Smoothness(0.3, SHAPE), differences(SHAPE)
        reference = minimize(
            lambda a: cost(H, c, a.reshape(P, N), prior), start(H, c).ravel(), method="SLSQP",
            jac=lambda a: (gradient(H, c, a.reshape(P, N)) + 0.3 * (D.T @ D @ a.reshape(P, N).T).T).ravel(),
            bounds=[(0, 1)] * (P * N), options=dict(maxiter=500, ftol=1e-14),
            constraints=dict(type="eq", fun=lambda a: a.reshape(P, N).sum(axis=0) - 1,
                             jac=lambda a: np.tile(np.eye(N), P)))
        A = tight(prior, H, c)
        assert reference.success and cost(H, c, A, prior) <= reference.fun + 1e-9
        assert np.allclose(A, reference.x.reshape(P, N), atol=1e-4)

    @pytest.mark.parametrize("weight", [0.02, 0.2, 2.0])
    def test_with_total_variation_leave_no_direction_of_descent(self, problem, weight):
        """min_B <g, B - A> + weight (TV(B) - TV(A)) over the simplex, a linear program, is zero at the minimum."""
        H, c = problem
        prior, D = TotalVariation(weight, SHAPE), np.kron(np.eye(P), differences(SHAPE))
        A = tight(prior, H, c)
        g, pairs = gradient(H, c, A).ravel(), len(D)
        program = linprog(np.concatenate([g, np.full(pairs, weight)]), bounds=(0, None),
                          A_ub=np.block([[D, -np.eye(pairs)], [-D, -np.eye(pairs)]]), b_ub=np.zeros(2 * pairs),
                          A_eq=np.hstack([np.tile(np.eye(N), P), np.zeros((N, pairs))]), b_eq=np.ones(N))
        assert program.status == 0
        assert abs(program.fun - (g @ A.ravel() + prior.cost(A))) < 1e-6

    @pytest.mark.parametrize("kind", [TotalVariation, Smoothness])
    def test_cost_less_than_any_abundances_near_or_far(self, problem, rng, kind):
        H, c = problem
        prior = kind(0.2, SHAPE)
        A = tight(prior, H, c)
        least = cost(H, c, A, prior)
        for share in (1e-3, 1e-2, 0.1, 1.0):
            for _ in range(20):
                other = (1 - share) * A + share * rng.dirichlet(np.full(P, 0.3), N).T
                assert cost(H, c, other, prior) > least

    @pytest.mark.parametrize("kind", [TotalVariation, Smoothness])
    @pytest.mark.parametrize("weight", [1e-3, 0.2, 5.0])
    def test_of_the_usual_tolerance_are_on_the_simplex_and_near_the_minimum(self, problem, kind, weight):
        H, c = problem
        A = SpatialAbundances(kind(weight, SHAPE), start(H, c), SHAPE)(H, c)
        assert (A >= 0).all() and np.abs(A.sum(axis=0) - 1).max() < 1e-14
        assert np.sqrt(np.square(A - tight(kind(weight, SHAPE), H, c)).mean()) < 5e-3

    @pytest.mark.parametrize("kind", [TotalVariation, Smoothness])
    def test_of_bright_endmembers_do_not_stop_early(self, rng, kind):
        """All endmembers share a bright spectrum: its curvature is 2000 times those that tell them apart."""
        M = 3 + 0.1 * rng.standard_normal((L, P))
        truth = np.repeat([[0.7, 0.2], [0.2, 0.2], [0.1, 0.6]], N // 2, axis=1)
        Y = M @ truth + 0.02 * rng.standard_normal((L, N))
        H, c = np.repeat((M.T @ M)[None], N, axis=0), M.T @ Y
        A = SpatialAbundances(kind(0.02, SHAPE), np.full((P, N), 1 / P), SHAPE)(H, c)
        assert np.sqrt(np.square(A - tight(kind(0.02, SHAPE), H, c)).mean()) < 5e-3

    @pytest.mark.parametrize("kind", [TotalVariation, Smoothness])
    def test_need_fewer_steps_where_they_go_on_from_the_last(self, problem, kind):
        H, c = problem
        prior = kind(0.2, SHAPE)
        steps = [0]

        def counted(*args, step=prior.step):
            steps[-1] += 1
            return step(*args)
        prior.step = counted
        solve = SpatialAbundances(prior, np.full((P, N), 1 / P), SHAPE, steps=5000, tolerance=1e-6)
        solve(H, c)
        steps.append(0)
        solve(1.001 * H, c)
        assert 0 < steps[1] < steps[0] / 2

    @pytest.mark.parametrize("kind", [TotalVariation, Smoothness])
    def test_of_pixels_without_data_are_filled_by_their_neighbours(self, problem, kind):
        H, c = (array.copy() for array in problem)
        H[7], c[:, 7] = 0, 0
        A = tight(kind(0.3, SHAPE), H, c)
        around = A[:, [2, 6, 8, 12]]
        assert (A[:, 7] >= around.min(axis=1) - 1e-6).all() and (A[:, 7] <= around.max(axis=1) + 1e-6).all()

    def test_are_permuted_with_the_endmembers(self, problem):
        H, c = problem
        order = [2, 0, 1]
        A = tight(TotalVariation(0.2, SHAPE), H, c)
        permuted = tight(TotalVariation(0.2, SHAPE), H[:, order][:, :, order], c[order])
        assert np.allclose(permuted, A[order], atol=1e-6)

    def test_of_a_single_endmember_are_one(self):
        A = np.ones((1, N))
        assert np.allclose(SpatialAbundances(Smoothness(1.0, SHAPE), A, SHAPE)(np.ones((N, 1, 1)), A), 1)


def test_without_a_prior_every_pixel_is_by_itself(problem):
    H, c = problem
    H[3], c[:, 3] = 0, 0
    A = np.random.default_rng(0).dirichlet(np.ones(P), N).T
    found = abundance_step(TotalVariation(0.0, SHAPE), A, SHAPE)(H, c)
    known = np.arange(N) != 3
    assert np.array_equal(found[:, known], minimise(H[known], c[:, known], sum_to_one=True))
    assert np.array_equal(found[:, 3], A[:, 3])


def test_curvature_is_that_along_the_simplex():
    bright = 1e4 * np.ones((3, 3))
    assert curvature((bright + 2 * np.eye(3))[None]) == pytest.approx(2, rel=1e-6)
