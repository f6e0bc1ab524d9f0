"""CNMF, FUMI, HySure and FuVar: what each minimises is minimised, and exact data give the scene back."""

import numpy as np
import pytest
from fusion_scenes import natural, observe, relative, response, smooth_spectra, snr

from subpixel.algorithms.abundances.fcls import fcls
from subpixel.algorithms.fusion import fuvar as fuvar_module
from subpixel.algorithms.fusion.cnmf import cnmf, factorise
from subpixel.algorithms.fusion.degradation import Box, Gaussian
from subpixel.algorithms.fusion.fumi import _Spectra, fumi
from subpixel.algorithms.fusion.fuse import fuse
from subpixel.algorithms.fusion.fuvar import fuvar
from subpixel.algorithms.fusion.hysure import hysure
from subpixel.algorithms.fusion.pair import Pair
from subpixel.algorithms.fusion.splitting import (
    Constraint,
    Data,
    Splitting,
    VectorTotalVariation,
    _adjoint,
    _differences,
    nonnegative,
    simplex,
)
from subpixel.algorithms.fusion.start import explaining, spanning
from subpixel.algorithms.fusion.sylvester import across, solver

METHODS = [cnmf, fumi, hysure, fuvar]
WITH_ABUNDANCES = [cnmf, fumi, fuvar]


def parcels(K=24, I=32, J=40, R=4, seed=0):
    """A scene with pure HSI pixels, which make its endmembers identifiable: Z, spectra (K, R), abundances."""
    Z, C, A = natural(K, I, J, R, seed)
    for r in range(R):
        A[:, :20, 10 * r:10 * r + 10] = np.eye(R)[r][:, None, None]
    return np.tensordot(C, A, 1), C, A


def seasonal(pair, C, A, gain):
    """The pair with an MSI in which every spectrum was multiplied by `gain` (K,)."""
    return Pair(pair.hsi, np.tensordot(pair.P3 @ (gain[:, None] * C), A, 1), pair.P1, pair.P2, pair.P3, pair.U1,
                pair.U2)


def fewer(method):
    """Settings under which a method's figures are checked without waiting for its last digit."""
    return {cnmf: {"inner": 50}, fumi: {"iterations": 15}, hysure: {"iterations": 40}, fuvar: {"iterations": 4}}[method]


# what they share

def test_prepared_solver_agrees_with_the_direct_one():
    Z, _, _ = natural(I=12, J=20)
    made, rng = observe(Z), np.random.default_rng(0)
    G1, G2 = (B @ B.T + 0.1 * np.eye(4) for B in rng.random((2, 4, 5)))
    R = rng.standard_normal((4, 12, 20))
    assert relative(across(made.rows, made.columns, G1, G2, R), solver(made.rows, made.columns, G1, G2)(R)) < 1e-11


def test_prepared_solver_counts_small_eigenvalues():
    """A wide blur has a spectrum that falls to nothing; what is left out of it would be left out of the scene."""
    rng = np.random.default_rng(0)
    made = observe(natural(I=12, J=20)[0], 1, psf=Gaussian(2.0, 13))
    assert 1e-12 < made.rows[0].min() < 1e-6
    G1, G2 = 1e4 * np.eye(3), 1e-3 * np.eye(3)
    R = rng.standard_normal((3, 12, 20))
    assert relative(across(made.rows, made.columns, G1, G2, R), solver(made.rows, made.columns, G1, G2)(R)) < 1e-9


def test_adjoint_of_differences():
    rng = np.random.default_rng(0)
    X, D = rng.random((3, 5, 7)), rng.random((2, 3, 5, 7))
    D[0, ..., -1] = D[1, :, -1] = 0
    assert np.vdot(_differences(X), D) == pytest.approx(np.vdot(X, _adjoint(D)), rel=1e-12)


def test_cost_of_the_data_is_what_it_says():
    Z, C, A = natural()
    made = observe(Z, noise=0.1)
    data = Data(made, C, made.P3 @ C, 0.7)
    X = A + 0.1 * np.random.default_rng(0).standard_normal(A.shape)
    plain = (0.5 * np.sum((made.hsi - np.tensordot(C, made.degrade(X), 1)) ** 2)
             + 0.35 * np.sum((made.msi - np.tensordot(made.P3 @ C, X, 1)) ** 2))
    assert data.cost(X) == pytest.approx(plain, rel=1e-9)


def gradient(data, X):
    return (np.tensordot(data.G1, data.pair.spread(data.pair.degrade(X)), 1) + np.tensordot(data.G2, X, 1)
            - data.right)


@pytest.mark.parametrize("project", [simplex, nonnegative])
def test_constrained_abundances_are_optimal(project):
    """No projected gradient step leads away from the minimum."""
    Z, C, _ = natural(I=16, J=16)
    made = observe(Z, noise=0.1)
    data = Data(made, C, made.P3 @ C)
    state = Splitting([project()], np.full((4, 16, 16), 0.25))
    assert state.run(data, 2000, 1e-7)
    V = state.V
    moved, _ = project().step(V - gradient(data, V), V, 1.0)
    assert np.abs(moved - V).max() < 1e-4


@pytest.mark.parametrize("joint", [True, False])
def test_total_variation_meets_its_optimality_conditions(joint):
    """The multipliers are a subgradient: not longer than the weight, along the differences where there are some."""
    Z, C, _ = natural(I=16, J=20)
    made, weight = observe(Z, noise=0.1), 0.5 if joint else 0.03
    data, term = Data(made, C, made.P3 @ C), VectorTotalVariation(weight, (16, 20), joint)
    state = Splitting([term], np.zeros((4, 16, 20)))
    assert state.run(data, 5000, 1e-8)
    D, multipliers = _differences(state.V), -state.rho * term._duals
    norms = np.sqrt(np.sum(multipliers ** 2, axis=(0, 1) if joint else 1))
    assert norms.max() < weight * (1 + 1e-3)
    assert 10 < np.count_nonzero(norms < 0.999 * weight) < 0.9 * norms.size
    assert np.vdot(multipliers, D) == pytest.approx(term.cost(state.V), rel=1e-3)
    assert np.abs(gradient(data, state.V) + _adjoint(multipliers)).max() < 1e-4


def test_multipliers_stay_when_the_penalty_changes():
    """Scaled ones times rho; else every change of rho would throw the steps back."""
    Z, C, _ = natural(I=16, J=20)
    made = observe(Z, noise=0.1)
    data = Data(made, C, made.P3 @ C)

    def state(look):
        made = Splitting([simplex(), VectorTotalVariation(0.5, (16, 20))], np.zeros((4, 16, 20)), 1e-3)
        made._look = look
        made.run(data, 10, 0)
        return made

    changed, same = state(10), state(11)
    assert changed.rho == 2 * same.rho == 2e-3
    for one, other in zip([*changed._d, changed.terms[1]._duals], [*same._d, same.terms[1]._duals]):
        assert np.abs(other).max() > 0 and np.allclose(2 * one, other, rtol=1e-12)


def test_splitting_ends_by_its_tolerance():
    Z, C, _ = natural(I=16, J=16)
    data = Data(observe(Z, noise=0.1), C, response(4, 24) @ C)
    steps = []
    for tolerance in (1e-2, 1e-5):
        state = Splitting([simplex()], np.full((4, 16, 16), 0.25))
        assert state.run(data, 2000, tolerance)
        steps.append(state._count)
    assert steps[0] < steps[1] / 2
    assert not Splitting([simplex()], np.full((4, 16, 16), 0.25)).run(data, 3, 0)


def misfits(pair, M, N, A, balance):
    return (0.5 * np.sum((pair.hsi - np.tensordot(M, pair.degrade(A), 1)) ** 2)
            + 0.5 * balance * np.sum((pair.msi - np.tensordot(N, A, 1)) ** 2))


@pytest.mark.parametrize("balance", [1.0, 5.0])
def test_last_cost_of_fumi_and_hysure_is_that_of_what_they_return(balance):
    Z, _, _ = natural(I=16, J=16)
    made = observe(Z, noise=0.05)
    found = fumi(made, 4, balance=balance, iterations=5)
    assert found.costs[-1] == pytest.approx(
        misfits(made, found.endmembers, made.P3 @ found.endmembers, found.abundances, balance))
    found = hysure(made, 4, smoothness=0.1, balance=balance, iterations=5)
    E, X = found.basis, found.coefficients
    D = _differences(X)
    assert found.costs[-1] == pytest.approx(
        misfits(made, E, made.P3 @ E, X, balance) + 0.1 * np.sqrt(np.sum(D ** 2, axis=(0, 1))).sum())


@pytest.mark.parametrize("method, weights", [(fumi, {}), (fuvar, {"smoothness": 0})])
def test_a_heavier_msi_is_fitted_better(method, weights):
    Z, C, A = parcels()
    made = seasonal(observe(Z, noise=0.02), C, A, np.linspace(0.9, 1.1, 24))
    light, heavy = (method(made, start=C, balance=balance, **weights, **fewer(method)) for balance in (0.01, 100))

    def misfit(found):
        return relative(made.msi, np.tensordot(found.changed_endmembers, found.abundances, 1))
    assert misfit(heavy) < 0.8 * misfit(light)


@pytest.mark.parametrize("method", METHODS)
def test_same_seed_same_scene_and_a_better_one_than_interpolation(method):
    Z, _, _ = natural()
    made = observe(Z, noise=0.01)
    once, again = (method(made, 4, seed=3, **fewer(method)) for _ in range(2))
    assert np.array_equal(once.cube(), again.cube())
    assert snr(Z, once.cube()) > snr(Z, made.upsample(made.hsi)) + 6
    assert len(once.costs) == once.iterations + 1 > 1


@pytest.mark.parametrize("method", WITH_ABUNDANCES)
def test_endmembers_and_abundances_make_the_scene(method):
    Z, _, _ = natural()
    found = method(observe(Z, noise=0.02), 4, **fewer(method))
    assert found.endmembers.shape == (24, 4) and found.changed_endmembers.shape == (4, 4)
    assert found.abundances.shape == (4, 32, 40) and found.abundances.min() >= 0 and found.endmembers.min() >= 0
    assert np.allclose(np.tensordot(found.endmembers, found.abundances, 1), found.cube())


@pytest.mark.parametrize("method", [fumi, hysure, fuvar])
def test_callback_sees_every_cost_and_stops(method):
    Z, _, _ = natural(I=16, J=16)
    seen = []
    found = method(observe(Z, noise=0.05), 4, callback=lambda k, cost: seen.append((k, cost)) or k == 2)
    assert [k for k, _ in seen] == [1, 2] and not found.converged
    assert [cost for _, cost in seen] == list(found.costs[1:])


@pytest.mark.parametrize("method", METHODS)
def test_a_start_must_have_the_hsis_bands(method):
    Z, C, _ = natural(I=16, J=16)
    with pytest.raises(ValueError, match="initial endmembers"):
        method(observe(Z), start=C[1:])


@pytest.mark.parametrize("method", METHODS)
def test_a_start_keeps_the_order_of_its_endmembers(method):
    """So that tiles of one scene, given the same start, can be laid side by side."""
    Z, C, _ = parcels()
    made = observe(Z, noise=0.002)
    found = method(made, start=C[:, ::-1], **fewer(method))
    spectra = found.basis if found.endmembers is None else found.endmembers
    assert np.array_equal(np.argmax(np.corrcoef(spectra.T, C.T)[:4, 4:], axis=1), [3, 2, 1, 0])


def test_weights_out_of_range_are_refused():
    Z, _, _ = natural(I=16, J=16)
    made = observe(Z)
    for method, wrong in ((fumi, {"upper": 0}), (fumi, {"balance": 0}), (hysure, {"smoothness": -1}),
                          (hysure, {"balance": 0}), (fuvar, {"nearness": 0}), (fuvar, {"smoothness": -1})):
        with pytest.raises(ValueError, match="must be"):
            method(made, 4, **wrong)


# CNMF

@pytest.mark.parametrize("bands", [3, 20])
@pytest.mark.parametrize("factors", [{}, {"abundances": False}, {"refine": False}])
def test_multiplicative_steps_never_raise_the_cost(bands, factors):
    rng = np.random.default_rng(0)
    Y, W, H = rng.random((bands, 50)), rng.random((bands, 5)), rng.random((5, 50))
    before = 0.5 * np.sum((Y - W @ H) ** 2) + 0.02 * np.sum((1 - H.sum(axis=0)) ** 2)
    new_W, new_H, costs = factorise(Y, W, H, 60, delta=0.2, **factors)
    after = 0.5 * np.sum((Y - new_W @ new_H) ** 2) + 0.02 * np.sum((1 - new_H.sum(axis=0)) ** 2)
    assert costs[0] == pytest.approx(before) and costs[-1] == pytest.approx(after, rel=1e-9)
    assert len(costs) == 61 and np.all(np.diff(costs) <= 0) and after < 0.9 * before
    assert np.array_equal(new_W, W) == (factors == {"refine": False})
    assert np.array_equal(new_H, H) == (factors == {"abundances": False})


@pytest.mark.parametrize("bands", [3, 20])
def test_factorisation_is_plain_nmf_step_for_step(bands):
    rng = np.random.default_rng(0)
    Y, W, H = rng.random((bands, 50)), rng.random((bands, 5)), rng.random((5, 50))
    found = factorise(Y, W, H, 10)
    for _ in range(10):
        H = H * (W.T @ Y) / (W.T @ W @ H)
        W = W * (Y @ H.T) / (W @ H @ H.T)
    assert np.allclose(found[0], W) and np.allclose(found[1], H)


def test_a_large_delta_gives_sums_of_one():
    Z, _, _ = natural()
    made = observe(Z, noise=0.01)
    def off(found):
        return np.abs(found.abundances.sum(axis=0) - 1).max()
    assert off(cnmf(made, 4, delta=30.0)) < 1e-3 < off(cnmf(made, 4, delta=1e-6))


def test_cnmf_on_exact_data():
    Z, C, _ = parcels()
    assert relative(Z, cnmf(observe(Z), 4, inner=1000, inner_tolerance=0).cube()) < 0.01


def test_cnmf_fits_a_change_of_season_by_its_own_spectra_in_the_msis_bands():
    Z, C, A = parcels()
    made = seasonal(observe(Z, K_M=6), C, A, np.linspace(0.8, 1.2, 24))
    found = cnmf(made, start=C)
    fitted = np.tensordot(found.changed_endmembers, found.abundances, 1)
    tied = np.tensordot(made.P3 @ found.endmembers, found.abundances, 1)
    assert relative(made.msi, fitted) < 0.02 < 0.05 < relative(made.msi, tied)


def test_sums_of_one_weigh_as_in_the_authors_program_unless_told_otherwise():
    Z, _, _ = natural()
    made = observe(Z, K_M=3, noise=0.02)
    delta = 2 * np.sqrt(made.msi.mean() / 0.7455) / 27
    told, default, none = (cnmf(made, 4, delta=weight, inner=50).cube() for weight in (delta, None, 0))
    assert relative(told, default) < 1e-5 < 1e-4 < relative(told, none)


def test_abundances_on_the_msis_grid_start_from_the_interpolated_ones():
    Z, C, _ = parcels()
    made = observe(Z)
    found = cnmf(made, start=C, inner=30, iterations=0)
    Y, low = made.Y_H, np.full((4, 80), 0.25)
    delta = 2 * np.sqrt(made.msi.mean() / 0.7455) / 64
    W, low, _ = factorise(Y, C, low, 90, delta=delta, refine=False, tolerance=1e-8)
    W, low, _ = factorise(Y, W, low, 30, delta=delta, tolerance=1e-8)
    H = np.maximum(made.upsample(low.reshape(4, 8, 10)).reshape(4, -1), 1e-8)
    W_m, H, _ = factorise(made.Y_M, made.P3 @ W, H, 30, delta=delta, tolerance=1e-8, refine=False)
    W_m, H, _ = factorise(made.Y_M, W_m, H, 30, delta=delta, tolerance=1e-8)
    assert relative(H.reshape(4, 32, 40), found.abundances) < 1e-3


def test_cnmf_ends_by_its_tolerance():
    made = observe(natural()[0], noise=0.01)
    loose, strict = (cnmf(made, 4, inner=20, iterations=4, tolerance=tolerance) for tolerance in (1.0, 0))
    assert loose.converged and loose.iterations == 1 and strict.iterations == 4 and not strict.converged


@pytest.mark.parametrize("find", [explaining, spanning])
def test_no_runs_count_as_one(find):
    Y = observe(natural()[0]).Y_H
    assert np.array_equal(find(Y, 4, runs=0), find(Y, 4, runs=1))


def test_cnmf_needs_positive_values():
    Z, _, _ = natural(I=16, J=16)
    with pytest.raises(ValueError, match="positive values"):
        cnmf(observe(-Z), 4)


# FUMI

def test_fumi_finds_known_endmembers_and_abundances():
    Z, C, A = parcels()
    found = fumi(observe(Z), 4, iterations=300, steps=50, tolerance=1e-6, inner_tolerance=1e-6)
    order = np.argmax(np.corrcoef(found.endmembers.T, C.T)[4:, :4], axis=1)
    assert relative(C, found.endmembers[:, order]) < 1e-3
    assert relative(A, found.abundances[order]) < 1e-3
    assert relative(Z, found.cube()) < 1e-5 and found.converged


def test_fumi_refines_endmembers_that_start_wrong():
    """They may end at others that explain the pair as well: without noise, what must come back is the scene."""
    Z, C, A = parcels()
    wrong = C * (1 + 0.1 * np.random.default_rng(0).standard_normal(C.shape))
    found = fumi(observe(Z), start=wrong, tolerance=1e-8, inner_tolerance=1e-6, iterations=300)
    assert relative(C, found.endmembers) < 0.5 * relative(C, wrong)
    assert relative(Z, found.cube()) < 1e-5


def test_fumi_without_simplex_and_with_known_endmembers_is_fuse():
    Z, C, _ = natural(R=3)
    made = observe(Z, K_M=5, noise=0.05)
    E = fuse(made, 3).basis
    M = E @ np.random.default_rng(0).standard_normal((3, 3))
    state = Splitting([Constraint(lambda X: X)], np.zeros((3, 32, 40)))
    assert state.run(Data(made, M, made.P3 @ M), 3000, 1e-10)
    assert relative(fuse(made, 3, prior=1e-10).cube(), np.tensordot(M, state.V, 1)) < 1e-6


def test_abundances_on_the_simplex_and_endmembers_in_the_box():
    Z, _, _ = natural()
    found = fumi(observe(Z, noise=0.05), 4, upper=0.7, iterations=10)
    assert np.abs(found.abundances.sum(axis=0) - 1).max() < 1e-10
    assert found.endmembers.max() == 0.7 and found.endmembers.min() >= 0
    assert np.all(np.diff(found.costs) <= 0) and found.costs[-1] < 0.5 * found.costs[0]


def test_endmembers_lie_in_the_subspace():
    Z, _, _ = natural()
    made = observe(Z, noise=0.1)
    E = fuse(made, 4).basis
    def outside(**settings):
        M = fumi(made, 4, iterations=10, **settings).endmembers
        return np.linalg.norm(M - E @ (E.T @ M)) / np.linalg.norm(M)
    assert outside() < 0.01 < 0.02 < outside(rank=24)


def test_endmembers_cut_to_one_spectrum_are_refused():
    Z, C, _ = natural()
    with pytest.raises(ValueError, match="cut to the upper bound 0.001"):
        fumi(observe(Z), start=C, upper=1e-3)
    with pytest.raises(ValueError, match="1 or more"):
        fumi(observe(Z), 4, rank=0)


def test_endmembers_in_the_box_are_optimal():
    Z, C, A = natural(K=8, I=16, J=16)
    made = observe(Z, noise=0.05)
    step = _Spectra(made, np.eye(8), np.full_like(C, 0.3), np.full((8, 1), 0.6), 3.0)
    assert step.run(A, 5000, 1e-9)
    M, low, fine = step.V, made.degrade(A).reshape(4, -1), A.reshape(4, -1)
    slope = (M @ low - made.Y_H) @ low.T + 3 * made.P3.T @ (made.P3 @ M @ fine - made.Y_M) @ fine.T
    assert np.abs(np.clip(M - slope, 0, 0.6) - M).max() < 1e-5
    assert np.count_nonzero(M == 0.6) > 2 and np.count_nonzero((M > 0) & (M < 0.6)) > 2


# HySure

def test_hysure_without_total_variation_is_fuse():
    Z, _, _ = natural()
    made = observe(Z, K_M=5, noise=0.01)
    E = fuse(made, 4).basis
    found = hysure(made, start=E, smoothness=0, balance=0.2, iterations=3000, tolerance=1e-9)
    assert found.converged and relative(fuse(made, 4, prior=1e-10, balance=0.2).cube(), found.cube()) < 1e-5
    assert relative(fuse(made, 4, prior=1e-10).cube(), found.cube()) > 1e-3


def test_hysure_on_exact_data():
    Z, _, _ = natural()
    found = hysure(observe(Z), 4, smoothness=1e-7, iterations=2000, tolerance=1e-7)
    assert relative(Z, found.cube()) < 1e-3


def test_hysure_smooths():
    Z, _, _ = natural()
    made = observe(Z, noise=0.05)
    assert snr(Z, hysure(made, 4, smoothness=0.02).cube()) > snr(Z, hysure(made, 4, smoothness=0).cube()) + 1
    flat = hysure(made, start=fuse(made, 4).basis, smoothness=100, iterations=600, tolerance=1e-6).cube()
    assert np.ptp(flat, axis=(1, 2)).max() < 1e-3
    assert np.allclose(flat.mean(axis=(1, 2)), Z.mean(axis=(1, 2)), atol=0.02)


# FuVar

def test_seasonal_factors_are_where_the_gradient_vanishes():
    rng = np.random.default_rng(0)
    Z, C, A = natural(K=10, I=8, J=8, R=3)
    made = observe(Z * 1.1, noise=0.05)
    B = rng.standard_normal((10, 10))
    Q = B @ B.T + np.eye(10)
    found = fuvar_module._scaling(made, C, A.reshape(3, -1), Q, 0.7)
    left = made.P3 @ ((1 + found) * C) @ A.reshape(3, -1) - made.Y_M
    assert found.min() > -0.9
    assert np.abs(0.7 * C * (made.P3.T @ left @ A.reshape(3, -1).T) + Q @ found).max() < 1e-9


def test_fuvar_on_exact_data_leaves_the_endmembers_alone():
    Z, C, _ = parcels()
    found = fuvar(observe(Z), 4, smoothness=1e-7, iterations=20, tolerance=1e-4)
    assert relative(Z, found.cube()) < 1e-3
    assert np.linalg.norm(found.variability) < 1e-3 * np.linalg.norm(Z)
    assert np.all(np.diff(found.costs) <= 0)


def test_fuvar_absorbs_a_smooth_gain():
    Z, C, A = parcels()
    gain = np.linspace(0.8, 1.2, 24)
    made = seasonal(observe(Z, K_M=6), C, A, gain)
    true = made.msi - np.tensordot(made.P3, Z, 1)
    found = fuvar(made, start=C)
    assert relative(true, found.variability) < 0.1
    assert relative(made.P3 @ (gain[:, None] * C), found.changed_endmembers) < 0.02
    assert snr(Z, found.cube()) > snr(Z, fuse(made, 4).cube()) + 15


def test_factors_held_at_one_make_a_convex_fusion():
    Z, C, A = parcels()
    made = seasonal(observe(Z, K_M=6), C, A, np.linspace(0.9, 1.1, 24))
    held = fuvar(made, start=C, nearness=1e12)
    assert relative(made.P3 @ C, held.changed_endmembers) < 1e-6
    assert np.linalg.norm(held.variability) < 1e-5
    free = fuvar(made, start=C)
    assert snr(Z, free.cube()) > snr(Z, held.cube()) + 6


@pytest.mark.parametrize("balance, smoothness", [(1.0, 0.3), (4.0, 0.0)])
def test_cost_of_fuvar_at_its_start(balance, smoothness):
    """Interpolated abundances, factors of one, and a norm of its own for each direction."""
    Z, C, _ = parcels()
    made = observe(Z, noise=0.02)
    A = np.maximum(made.upsample(fcls(made.Y_H, C).A.reshape(4, 8, 10)), 0)
    found = fuvar(made, start=C, balance=balance, smoothness=smoothness, iterations=1)
    variation = np.sqrt(np.sum(_differences(A) ** 2, axis=1)).sum()
    assert found.costs[0] == pytest.approx(misfits(made, C, made.P3 @ C, A, balance) + smoothness * variation)


def test_fuvar_smooths():
    Z, C, _ = parcels()
    made = observe(Z, noise=0.05)
    rough, smooth = (np.abs(_differences(fuvar(made, start=C, smoothness=weight, iterations=3).abundances)).sum()
                     for weight in (0, 0.1))
    assert smooth < 0.8 * rough


@pytest.mark.parametrize("balance", [1.0, 0.05])
def test_factors_are_the_best_for_the_abundances(balance):
    Z, C, A = parcels()
    made = seasonal(observe(Z, K_M=6, noise=0.01), C, A, np.linspace(0.8, 1.2, 24))
    found = fuvar(made, start=C, balance=balance, iterations=4)
    D = np.diff(np.eye(24), 2, axis=0)
    best = fuvar_module._scaling(made, C, found.abundances.reshape(4, -1), 0.01 * np.eye(24) + 1e4 * D.T @ D, balance)
    assert relative(made.P3 @ ((1 + best) * C), found.changed_endmembers) < 1e-9


def test_factors_that_clipping_makes_worse_are_left_out():
    Z, C, _ = parcels()
    made = observe(Z)
    turned = Pair(made.hsi, made.msi * np.array([1.0, -3, 1, -3])[:, None, None], made.P1, made.P2, made.P3, made.U1,
                  made.U2)
    found = fuvar(turned, start=C, spectral_smoothness=1.0, iterations=5)
    assert np.all(np.diff(found.costs) <= 0)


def test_fuvar_ends_by_its_tolerance():
    Z, C, _ = parcels()
    made = observe(Z, noise=0.01)
    loose, strict = (fuvar(made, start=C, tolerance=tolerance, inner_tolerance=1e-2, iterations=12)
                     for tolerance in (0.5, 0))
    assert loose.converged and not strict.converged
    assert loose.iterations < strict.iterations == 12


def test_fuvar_with_sums_of_one():
    Z, _, _ = natural()
    found = fuvar(observe(Z, noise=0.02), 4, sum_to_one=True, iterations=3)
    assert np.abs(found.abundances.sum(axis=0) - 1).max() < 1e-10
    assert np.all(np.diff(found.costs) <= 0)


def test_count_is_cut_to_what_the_hsi_spans():
    C = smooth_spectra(24, 4)
    Z, _, _ = parcels()
    assert fumi(observe(Z), 9, iterations=2).endmembers.shape == C.shape
    assert fuse(observe(Z, 1, psf=Box(1)), 9).basis.shape[1] == 9
