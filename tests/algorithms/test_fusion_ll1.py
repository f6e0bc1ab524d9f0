"""BTD-Var, CNN-BTD-Var and CNN-BTD: coupled decompositions whose maps are of low rank."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from fusion_scenes import natural, observe, relative, smooth_spectra, snr

from subpixel.algorithms.check.metrics import match, sad
from subpixel.algorithms.fusion import ll1
from subpixel.algorithms.fusion.btdvar import btdvar
from subpixel.algorithms.fusion.cnnbtd import _admm, cnnbtd
from subpixel.algorithms.fusion.cnnbtdvar import _balanced, cnnbtdvar
from subpixel.algorithms.fusion.degradation import Gaussian, centred
from subpixel.algorithms.fusion.pair import Pair

JASPER = Path(__file__).resolve().parents[3] / "shared" / "data" / "jasper_ridge" / "end4.mat"
BANDS = 173   # the first of Jasper Ridge's 198: every second one would leave narrow MSI bands empty


def exact(R=3, L=3, I=36, J=40, K=20, K_M=4, changed=True, nonnegative=True, noise=0.0, seed=0):
    """A pair of an exact model, its scene, and its blocks."""
    rng = np.random.default_rng(seed)
    A, B = (rng.random((R, n, L)) - (0 if nonnegative else 0.5) for n in (I, J))
    C = smooth_spectra(K, R, seed)
    change = C * rng.uniform(-0.1, 0.1, C.shape) if changed else 0 * C
    S = A @ B.transpose(0, 2, 1)
    Z = np.tensordot(C, S, 1)
    made = observe(Z, 4, K_M, noise=noise, change=np.tensordot(change, S, 1), seed=seed)
    return made, Z, ll1.Blocks(A, B, C, made.P3 @ (C + change))


def noisy():
    """A pair that no blocks fit, and its scene."""
    Z, _, _ = natural()
    return observe(Z, noise=0.02), Z


def sized(I, J, I_H, J_H, K_M):
    return SimpleNamespace(hsi=np.broadcast_to(0, (200, I_H, J_H)), msi=np.broadcast_to(0, (K_M, I, J)))


@pytest.mark.parametrize("size, R, L", [((100, 80, 25, 20, 10), 3, 20), ((80, 128, 20, 32, 10), 4, 18),
                                        ((144, 144, 36, 36, 6), 6, 13), ((90, 90, 30, 30, 10), 3, 3)])
def test_the_papers_settings_fulfil_theorem_3_1(size, R, L):
    assert ll1.not_unique(sized(*size), R, L) is None


@pytest.mark.parametrize("size, R, L, reason", [
    ((100, 80, 5, 5, 10), 3, 20, "the hyperspectral image has 25 pixels"), ((20, 20, 10, 10, 10), 4, 11, "has 400 pix"),
    ((144, 144, 36, 36, 1), 6, 13, "13 is less than 14"), ((60, 60, 15, 15, 3), 6, 20, "9 is less than 14")])
def test_settings_that_do_not_are_explained(size, R, L, reason):
    assert reason in ll1.not_unique(sized(*size), R, L)


def test_one_material_is_unique():
    assert ll1.not_unique(sized(20, 20, 5, 5, 1), 1, 9) is None


@pytest.mark.parametrize("size, R, L", [
    ((64, 128, 16, 32, 10), 4, 32), ((64, 128, 16, 32, 10), 6, 21), ((144, 144, 36, 36, 6), 6, 36),
    ((500, 500, 100, 100, 10), 4, 40), ((60, 60, 15, 15, 1), 4, 15), ((2, 3, 1, 1, 1), 1, 2)])
def test_rank_chosen_is_the_largest_with_the_promise(size, R, L):
    pair = sized(*size)
    assert ll1.map_rank(pair, R) == L
    if L < ll1.LARGEST and ll1.not_unique(pair, R, L) is None and L < min(size[:2]):
        assert ll1.not_unique(pair, R, L + 1)


def test_prior_is_the_distance_from_the_interpolated_image():
    made, _, blocks = exact(noise=0.1)
    S, parts = blocks.maps(), (made, blocks.maps(), blocks.C, blocks.C_M, 1.0)
    direct = np.sum((made.upsample(made.hsi) - np.tensordot(blocks.C, S, 1)) ** 2)
    assert ll1.misfits(*parts, ll1.interpolated_energy(made)) == pytest.approx((ll1.cost(*parts), direct), rel=1e-10)
    assert ll1.misfits(*parts) == (ll1.cost(*parts), 0)
    assert ll1.cost(*parts, 0.3) == pytest.approx(ll1.cost(*parts) + 0.3 * direct, rel=1e-12)


def test_updates_with_prior_are_minima_of_the_cost():
    made, _, blocks = exact(R=2, L=2, I=8, J=12, K=6, K_M=3, noise=0.1)
    blocks = ll1.factors(made, blocks, 0.7, 0.2)

    def gradient(name, blocks):
        def value(step):
            moved = replace(blocks, **{name: getattr(blocks, name) + step})
            return ll1.cost(made, moved.maps(), moved.C, moved.C_M, 0.7, 0.2)

        X = getattr(blocks, name)   # the cost is quadratic in it, so that these are exact
        slopes = [value(0.5 * unit) - value(-0.5 * unit) for unit in np.eye(X.size).reshape(-1, *X.shape)]
        return np.abs(slopes).max() / value(0 * X)

    assert gradient("B", blocks) < 1e-8 < gradient("C", blocks)
    C, C_M = ll1.both_spectra(made, blocks.maps(), prior=0.2)
    blocks = replace(blocks, C=C, C_M=C_M)
    assert gradient("C", blocks) < 1e-8 and gradient("C_M", blocks) < 1e-8


def test_prior_gives_way_where_the_images_fit():
    made, Z, blocks = exact()

    def believed(C, prior):
        return ll1.believed(made, 3, prior, *ll1.misfits(made, blocks.maps(), C, blocks.C_M, 1.0,
                                                         ll1.interpolated_energy(made)))

    assert believed(blocks.C, 1e-3) < 1e-12
    assert believed(0.9 * blocks.C, 1e-3) == 1e-3
    assert believed(0.9 * blocks.C, 0.0) == 0


@pytest.mark.parametrize("method", [btdvar, cnnbtdvar])
def test_prior_gives_way_as_the_images_come_to_fit(method):
    """From a start that fits badly, so that the prior is believed in full there, on data of the exact model."""
    made, Z, blocks = exact()
    rng = np.random.default_rng(2)
    start = replace(blocks, A=blocks.A * rng.uniform(0.7, 1.3, blocks.A.shape),
                    B=blocks.B * rng.uniform(0.7, 1.3, blocks.B.shape))
    held, free = (method(made, 3, 3, start=start, prior=prior, iterations=150, tolerance=0) for prior in (1e-3, 0))
    assert held.costs[0] > 1.001 * free.costs[0]
    assert relative(Z, held.cube()) < 1e-3


@pytest.mark.parametrize("method, gain", [(btdvar, 1.0), (cnnbtdvar, 0.3)])
def test_prior_holds_the_scene_where_a_field_changed_its_material(method, gain):
    _, _, blocks = exact(R=4, L=4, I=48, J=48, K=30, K_M=6)
    S = blocks.maps()
    Z, moved = np.tensordot(blocks.C, S, 1), S.copy()
    moved[1, 8:20, 16:28] += moved[0, 8:20, 16:28]
    moved[0, 8:20, 16:28] = 0
    made, _, _ = exact(R=4, L=4, I=48, J=48, K=30, K_M=6)
    rng = np.random.default_rng(0)
    made = replace(made, hsi=made.hsi + 0.01 * rng.standard_normal(made.hsi.shape),
                   msi=np.tensordot(blocks.C_M, moved, 1) + 0.01 * rng.standard_normal(made.msi.shape))
    free, held = (snr(Z, method(made, 4, 10, prior=prior, iterations=60, tolerance=0).cube()) for prior in (0, 1e-3))
    assert held > free + gain


def test_factor_update_agrees_with_dense_least_squares():
    made, _, blocks = exact(R=2, L=2, I=8, J=12, K=6, K_M=3, noise=0.1)
    drawn, weight, balance = np.random.default_rng(1).random((2, 8, 12)), 0.7, 1.3
    low, high = ll1.contracted(made.hsi, blocks.C), ll1.contracted(made.msi, blocks.C_M)
    A = ll1.update(made.rows, made.P1, made.P2, blocks.B, low, high, blocks.C, blocks.C_M, balance, drawn, weight)

    def value(A):
        S = A @ blocks.B.transpose(0, 2, 1)
        return ll1.cost(made, S, blocks.C, blocks.C_M, balance) + weight * np.sum((S - drawn) ** 2)

    units = np.eye(A.size).reshape(-1, *A.shape)
    gradient = [value(A + 0.5 * unit) - value(A - 0.5 * unit) for unit in units]   # exact for a quadratic
    assert np.abs(gradient).max() < 1e-8 * value(0 * A)


def test_cost_is_that_of_the_definition():
    made, Z, blocks = exact(noise=0.1, changed=True)
    S, low, high = blocks.maps(), made.degrade(Z), np.tensordot(blocks.C_M, blocks.maps(), 1)
    direct = np.sum((made.hsi - low) ** 2) + 2 * np.sum((made.msi - high) ** 2)
    assert ll1.cost(made, S, blocks.C, blocks.C_M, 2) == pytest.approx(direct, rel=1e-12)


def test_balancing_changes_neither_maps_times_spectra_nor_the_change():
    _, Z, blocks = exact()
    made = blocks.balanced()
    assert relative(Z, np.tensordot(made.C, made.maps(), 1)) < 1e-13
    assert relative(np.tensordot(blocks.C_M, blocks.maps(), 1), np.tensordot(made.C_M, made.maps(), 1)) < 1e-13
    assert np.allclose(made.A.transpose(0, 2, 1) @ made.A, np.eye(3), atol=1e-12)


def test_eigenvectors_alone_give_an_exact_decomposition():
    made, _, blocks = exact()
    core, U1, U2 = ll1.compressed(made.msi, 9)
    A, B = ll1.by_eigenvectors(core, 3, 3, np.random.default_rng(0))
    S = (U1 @ A) @ (U2 @ B).transpose(0, 2, 1)
    assert relative(made.msi, np.tensordot(ll1.spectra(made.msi, S), S, 1)) < 1e-8
    likeness = np.corrcoef(np.concatenate([S, blocks.maps()]).reshape(6, -1))[:3, 3:]
    assert np.abs(likeness).max(axis=1) == pytest.approx(1, abs=1e-8)


@pytest.mark.parametrize("nonnegative", [True, False])
def test_btdvar_recovers_exact_data(nonnegative):
    made, Z, blocks = exact(nonnegative=nonnegative)
    found = btdvar(made, 3, 3)
    assert relative(Z, found.cube()) < 1e-6
    change = np.tensordot(blocks.C_M - made.P3 @ blocks.C, blocks.maps(), 1)
    assert relative(change, found.variability) < 1e-6
    assert np.linalg.norm(change) > 0.01 * np.linalg.norm(made.msi)


def test_btdvar_finds_no_variability_where_nothing_changed():
    made, _, _ = exact(changed=False)
    found = btdvar(made, 3, 3)
    assert np.abs(found.variability).max() < 1e-6
    blocks = ll1.sweep(made, ll1.start(made, 3, 3), 1.0)
    assert relative(made.P3 @ blocks.C, blocks.C_M) < 1e-6


def test_btdvar_cost_never_rises():
    made, _, _ = exact(noise=0.05)
    rng = np.random.default_rng(3)
    start = ll1.Blocks(rng.standard_normal((3, 36, 5)), rng.standard_normal((3, 40, 5)), rng.random((20, 3)),
                       rng.random((4, 3)))
    found = btdvar(made, 3, 5, start=start, iterations=40, balance=0.3, tolerance=0)
    assert len(found.costs) == 41 and np.all(np.diff(found.costs) <= 1e-9 * found.costs[0])
    assert found.costs[-1] < 0.01 * found.costs[0]


def test_sweeps_do_not_depend_on_the_base_within_a_material():
    made, _, blocks = exact(noise=0.05)
    T = np.random.default_rng(4).standard_normal((3, 3, 3))
    turned = replace(blocks, A=blocks.A @ T, B=blocks.B @ np.linalg.inv(T).transpose(0, 2, 1))
    one, other = (btdvar(made, 3, 3, start=start, iterations=3, tolerance=0) for start in (blocks, turned))
    assert relative(one.cube(), other.cube()) < 1e-8
    assert np.allclose(one.costs, other.costs, rtol=1e-8)


def test_start_is_random_where_there_are_no_eigenvectors_and_still_fits():
    made, Z, _ = exact(R=3, L=12, I=32, J=32, K_M=4)   # 36 directions of 32 pixels
    assert snr(Z, btdvar(made, 3, 12, iterations=60, tolerance=0).cube()) > 25
    single = replace(made, msi=made.msi[:1], P3=made.P3[:1])
    assert np.isfinite(btdvar(single, 3, 3, trials=2).costs).all()


def test_same_seed_same_result_and_callback_stops():
    Z, _, _ = natural()
    made = observe(Z, noise=0.01)
    for method in (btdvar, cnnbtdvar, cnnbtd):
        calls = []
        one, other = (method(made, 4, 6, trials=3, seed=5, tolerance=0, callback=lambda iteration, cost:
                             calls.append((iteration, cost)) or iteration == 2) for _ in range(2))
        assert np.array_equal(one.coefficients, other.coefficients)
        assert [iteration for iteration, _ in calls] == [1, 2, 1, 2] and len(one.costs) == 3 and not one.converged
        assert [cost for _, cost in calls[:2]] == list(one.costs[1:])
    other = btdvar(made, 4, 6, trials=3, seed=6, iterations=2, tolerance=0)
    assert relative(btdvar(made, 4, 6, trials=3, seed=5, iterations=2, tolerance=0).cube(), other.cube()) > 1e-6


@pytest.mark.parametrize("method", [btdvar, cnnbtdvar, cnnbtd])
def test_impossible_sizes_are_refused(method):
    made, _, _ = exact()
    with pytest.raises(ValueError, match="rank from 1 to 36"):
        method(made, 3, 37)
    with pytest.raises(ValueError, match="at least one material"):
        method(made, 0, 3)
    with pytest.raises(ValueError, match="91 materials .* has 90 pixels"):
        method(made, 91, 1)
    for name in ("hsi", "msi"):
        with pytest.raises(ValueError, match="zero everywhere"):
            method(replace(made, **{name: 0 * getattr(made, name)}), 3, 3)


@pytest.mark.parametrize("method", [btdvar, cnnbtdvar, cnnbtd])
def test_weights_that_make_no_cost_and_no_trials_are_refused(method):
    made, _, blocks = exact()
    for balance in (0, -1, np.nan, np.inf):
        with pytest.raises(ValueError, match="above 0"):
            method(made, 3, 3, balance=balance)
    for trials in (0, -1):
        with pytest.raises(ValueError, match="at least one is needed"):
            method(made, 3, 3, trials=trials)
    if method is cnnbtd:
        with pytest.raises(ValueError, match="inner steps"):
            method(made, 3, 3, inner=0)
    else:
        with pytest.raises(ValueError, match="0 or more"):
            method(made, 3, 3, prior=-1e-3)


@pytest.mark.parametrize("method", [btdvar, cnnbtdvar, cnnbtd])
@pytest.mark.parametrize("part, made_wrong", [("A", lambda X: X[:, 1:]), ("B", lambda X: X[:, :, 1:]),
                                              ("C", lambda X: X[:, 1:]), ("C_M", lambda X: X[1:]),
                                              ("C", lambda X: np.where(X == X.max(), np.nan, X))])
def test_blocks_that_are_not_the_pairs_are_refused(method, part, made_wrong):
    made, _, blocks = exact()
    with pytest.raises(ValueError, match=f"start's {part} must be finite, of shape"):
        method(made, 3, 3, start=replace(blocks, **{part: made_wrong(getattr(blocks, part))}))


@pytest.mark.parametrize("method", [btdvar, cnnbtdvar, cnnbtd])
def test_balance_is_a_unit_of_the_msi(method):
    """|.|^2 times 0.2 everywhere, or the MSI and its response times the root of that, are one problem."""
    made, _ = noisy()
    scaled = replace(made, msi=np.sqrt(0.2) * made.msi, P3=np.sqrt(0.2) * made.P3)
    one, other = (method(pair, 4, 3, balance=balance, trials=3, iterations=8, tolerance=0)
                  for pair, balance in ((made, 0.2), (scaled, 1)))
    assert np.allclose(one.costs, other.costs, rtol=1e-6)
    assert relative(one.cube(), other.cube()) < 1e-5
    assert relative(method(made, 4, 3, trials=3, iterations=8, tolerance=0).cube(), one.cube()) > 1e-3


@pytest.mark.parametrize("method, tolerance", [(btdvar, 0.02), (cnnbtdvar, 0.02), (cnnbtd, 0.05)])
def test_tolerance_ends_the_run(method, tolerance):
    made, _ = noisy()
    found = method(made, 4, 3, trials=3, iterations=60, tolerance=tolerance)
    steps = np.abs(np.diff(found.costs)) / found.costs[:-1]
    assert found.converged and 1 < len(steps) < 60 and steps[-1] <= tolerance < steps[0]
    assert method is cnnbtdvar or np.all(steps[:-1] > tolerance)
    assert not method(made, 4, 3, trials=3, iterations=len(steps) - 1, tolerance=tolerance).converged


def test_btdvar_ends_where_only_rounding_is_left():
    made, _, _ = exact()
    found = btdvar(made, 3, 3, tolerance=0, iterations=40)
    assert found.converged and len(found.costs) < 10 and found.costs[-1] <= ll1.rounding(made, 1.0)


def test_start_looks_at_balance_seed_and_sweeps(monkeypatch):
    made, _ = noisy()

    def begun(balance=1.0, seed=0):
        found = ll1.start(made, 4, 3, balance, 4, seed)
        return np.tensordot(found.C, found.maps(), 1), ll1.cost(made, found.maps(), found.C, found.C_M, balance)

    Z, swept = begun()
    assert relative(Z, begun(seed=1)[0]) > 1e-6 and np.array_equal(Z, begun()[0])
    assert relative(Z, begun(balance=0.1)[0]) > 1e-3
    seen, cost = [], ll1.cost
    with monkeypatch.context() as patched:
        patched.setattr(ll1, "cost", lambda *parts: seen.append(parts[4]) or cost(*parts))
        ll1.start(made, 4, 3, 0.1, 4)
    assert len(seen) == 4 + ll1.KEPT and set(seen) == {0.1}
    monkeypatch.setattr(ll1, "SWEEPS", 0)
    assert begun()[1] > 1.01 * swept


@pytest.mark.parametrize("balance", [1.0, 0.2])
def test_cnnbtdvar_keeps_its_maps_at_their_rank(balance):
    made, _ = noisy()
    found = cnnbtdvar(made, 4, 3, balance=balance, iterations=150, tolerance=0)
    values = np.linalg.svd(found.abundances, compute_uv=False)
    assert np.sqrt(np.sum(values[:, 3:] ** 2) / np.sum(values ** 2)) < 0.02


def test_cnnbtdvar_begins_with_maps_without_negative_values_and_ranks_starts_by_the_cost(monkeypatch):
    made, _ = noisy()
    rng, C = np.random.default_rng(0), smooth_spectra(made.K, 4)
    start = ll1.Blocks(rng.standard_normal((4, 32, 3)), rng.standard_normal((4, 40, 3)), C, made.P3 @ C)
    found, S = start.nonnegative(made)
    first = cnnbtdvar(made, 4, 3, start=start, iterations=1, prior=0, balance=0.2).costs[0]
    assert first == pytest.approx(ll1.cost(made, S, found.C, found.C_M, 0.2), rel=1e-12)
    seen, misfits = [], ll1.misfits
    monkeypatch.setattr(ll1, "misfits", lambda *parts: seen.append(parts[4]) or misfits(*parts))
    cnnbtdvar(made, 4, 3, trials=2, iterations=1, prior=0, balance=0.2)
    assert len(seen) >= 4 and set(seen) == {0.2}


def test_cnnbtdvar_brings_maps_factors_and_duals_to_one_scale():
    made, _, blocks = exact(noise=0.05)
    S, U = blocks.maps(), np.random.default_rng(0).standard_normal(blocks.maps().shape)
    found, S_new, U_new = _balanced(made, blocks, S, U, 0.1)
    factor = np.linalg.norm(ll1.both_spectra(made, S, nonnegative=True, prior=0.1)[0], axis=0)
    assert np.abs(factor - 1).min() > 0.1 and np.allclose(np.linalg.norm(found.C, axis=0), 1)
    for new, old in ((S_new, S), (U_new, U), (found.maps(), S)):
        assert np.allclose(new, old * factor[:, None, None])


def test_cnnbtdvar_has_not_converged_before_its_maps_are_of_their_rank():
    made, _ = noisy()
    loose = cnnbtdvar(made, 4, 3, penalty=1e-9, iterations=60, tolerance=0.01)
    assert abs(loose.costs[-2] - loose.costs[-1]) <= 0.01 * loose.costs[-2] and not loose.converged
    assert cnnbtdvar(made, 4, 3, iterations=60, tolerance=0.01).converged


def test_materials_of_another_number_and_a_penalty_of_zero_are_refused():
    made, _, blocks = exact()
    with pytest.raises(ValueError, match="4 materials are asked for, but there are 3"):
        cnnbtdvar(made, 4, 3, start=blocks.C)
    with pytest.raises(ValueError, match="above 0"):
        cnnbtdvar(made, 3, 3, penalty=0)


def nowhere_negative(found):
    return all(np.all(part >= 0) for part in (found.endmembers, found.abundances, found.changed_endmembers)
               if part is not None)


def test_cnnbtdvar_recovers_exact_nonnegative_data():
    made, Z, blocks = exact()
    found = cnnbtdvar(made, 3, 3)
    assert relative(Z, found.cube()) < 1e-3 and nowhere_negative(found)
    order = match(blocks.C, found.endmembers)
    assert np.degrees(sad(blocks.C, found.endmembers[:, order])).max() < 0.1
    assert np.degrees(sad(blocks.C_M, found.changed_endmembers[:, order])).max() < 0.1
    assert found.changed_endmembers.shape == (4, 3) and found.variability.shape == made.msi.shape
    assert np.allclose(np.tensordot(found.changed_endmembers, found.abundances, 1),
                       np.tensordot(made.P3 @ found.endmembers, found.abundances, 1) + found.variability)


def test_cnnbtdvar_stays_at_the_truth_and_cost_is_that_of_what_it_gives():
    made, Z, blocks = exact()
    found = cnnbtdvar(made, 3, 3, start=blocks, tolerance=0)
    assert relative(Z, found.cube()) < 1e-8
    noisy, _, _ = exact(noise=0.1)
    found = cnnbtdvar(noisy, 3, 3, start=blocks)
    S, C, C_M = found.abundances, found.endmembers, found.changed_endmembers
    assert found.costs[-1] == pytest.approx(ll1.cost(noisy, S, C, C_M, 1.0, ll1.PRIOR), rel=1e-9)


def test_cnnbtdvar_is_btdvar_where_nothing_is_negative():
    made, _, blocks = exact(noise=0.02)
    free = btdvar(made, 3, 3, start=blocks, iterations=300, tolerance=1e-9)
    assert free.coefficients.min() > 0 or free.coefficients.max() < 0 or np.abs(
        [np.mean(np.sign(S)) for S in free.coefficients]).min() > 0.99
    bound = cnnbtdvar(made, 3, 3, start=blocks, iterations=300, tolerance=1e-9)
    assert bound.costs[-1] == pytest.approx(free.costs[-1], rel=1e-4)
    assert relative(free.cube(), bound.cube()) < 2e-3


def test_constraints_bind_where_the_free_maps_are_negative():
    Z, _, _ = natural()
    made = observe(Z, noise=0.02)
    free, bound, blind = btdvar(made, 4, 6), cnnbtdvar(made, 4, 6), cnnbtd(made, 4, 6)
    assert free.coefficients.min() < -0.01
    assert nowhere_negative(bound) and nowhere_negative(blind)
    for found in (free, bound, blind):
        assert snr(Z, found.cube()) > snr(Z, made.upsample(made.hsi)) + 3


def test_maps_get_the_factors_of_the_best_sum_to_one():
    made, _, _ = exact(noise=0.02)
    S = cnnbtdvar(made, 3, 3).abundances.reshape(3, -1)
    assert np.abs(S @ (S.sum(axis=0) - 1)).max() < 1e-5 * S.shape[1]
    S = np.random.default_rng(0).random((3, 5, 7))
    S /= S.sum(axis=0)
    assert np.allclose(ll1.scales_to_one(S * np.array([2, 5, 0.1])[:, None, None]), [1 / 2, 1 / 5, 10], rtol=1e-6)
    assert np.array_equal(ll1.scales_to_one(np.stack([np.ones((2, 2)), np.zeros((2, 2))])) > 0, [True, True])


def test_cnnbtd_stays_at_the_truth_and_finds_it():
    made, Z, blocks = exact(changed=False)
    assert relative(Z, cnnbtd(made, 3, 3, start=blocks, tolerance=0).cube()) < 1e-8
    found = cnnbtd(made, 3, 3, iterations=200)
    assert relative(Z, found.cube()) < 0.02 and nowhere_negative(found)
    assert found.costs[-1] == pytest.approx(ll1.cost(made, found.abundances, found.endmembers, made.P3 @
                                                     found.endmembers, 1.0), rel=1e-6)


def test_cnnbtd_starts_from_materials_and_gains_by_inner_steps():
    made, _, blocks = exact(changed=False, noise=0.01)
    given, blind, single = (cnnbtd(made, 3, 3, balance=0.2, iterations=5, tolerance=0, **settings) for settings in
                            ({"start": blocks.C}, {}, {"start": blocks.C, "inner": 1}))
    assert given.costs[0] == single.costs[0] < 0.1 * blind.costs[0]
    assert given.costs[1] < 0.7 * single.costs[1] and given.costs[-1] < 0.7


def test_splitting_of_cnnbtd_ends_at_nonnegative_least_squares():
    """X >= 0, its gradient too, and one of both zero everywhere, where the free minimum is negative in part."""
    rng = np.random.default_rng(0)
    X1, X2, X4 = (F @ F.T for F in (rng.standard_normal((n, n + 2)) for n in (7, 4, 4)))
    X5 = 5 * rng.standard_normal((7, 4))
    X, _ = _admm(np.zeros((7, 4)), np.zeros((7, 4)), 2000, np.linalg.eigh(X1), X2, X4, X5)
    slope = X1 @ X @ X2 + X @ X4 - X5
    assert X.min() == 0 < X.max() and slope.min() > -1e-6 and np.abs(X * slope).max() < 1e-6
    assert 5 < np.count_nonzero(X) < 23


def test_change_hurts_the_method_that_knows_none():
    made, Z, _ = exact(noise=0.01)
    assert snr(Z, cnnbtdvar(made, 3, 3).cube()) > snr(Z, cnnbtd(made, 3, 3, iterations=100).cube()) + 3


SENTINEL_2 = ((433, 453), (458, 522), (543, 577), (650, 680), (698, 712), (733, 747), (773, 793), (785, 900),
              (855, 875), (935, 955))
PARCELS = np.stack([np.array([[1, 2, 3], [3, 1, 2], [2, 3, 1]]) == r for r in (1, 2, 3)])
MIXED = np.array([[[5, 7, 6], [7, 3, 5], [3, 0, 0]], [[7, 5, 3], [0, 6, 0], [3, 5, 7]],
                  [[0, 0, 3], [5, 3, 7], [6, 7, 5]]]) / 12


def jasper(patterns, patch, seed=0):
    """LL1, section VI-B: a pair, its scene, and the spectra C, C_M and maps S that made it."""
    if not JASPER.exists():
        pytest.skip("the spectra of Jasper Ridge are not here")
    from scipy.io import loadmat
    kept = np.setdiff1d(np.arange(224), np.r_[0:3, 107:112, 153:166, 219:224])[:BANDS]
    wavelengths = 380 + (2500 - 380) / 223 * kept
    C = loadmat(JASPER)["M"][:BANDS, [0, 2, 3]]   # tree, dirt, road
    S = np.stack([np.kron(pattern, patch) for pattern in patterns])
    changed = C * np.random.default_rng(seed).uniform(0.9, 1.1, C.shape)
    inside = np.stack([(wavelengths >= low) & (wavelengths <= high) for low, high in SENTINEL_2])
    P3 = inside / inside.sum(axis=1, keepdims=True)
    at = centred(90, 3)
    empty = Pair.of(np.zeros((BANDS, 30, 30)), np.zeros((10, 90, 90)), P3, at, at, Gaussian(1.746, 9))
    Z = np.tensordot(C, S, 1)
    made = replace(empty, hsi=empty.degrade(Z), msi=np.tensordot(P3 @ changed, S, 1))
    return made, Z, C, P3 @ changed, S


def bump():
    x = np.arange(30) - 14.5
    h = np.exp(-x ** 2 / 50)
    return np.outer(h, h)


def agreement(C, S, found):
    order = match(C, found.endmembers)
    maps = [np.corrcoef(S[r].ravel(), found.abundances[order[r]].ravel())[0, 1] for r in range(len(S))]
    return np.degrees(sad(C, found.endmembers[:, order])).max(), min(maps)


def test_first_synthetic_scene_of_section_6_b():
    made, Z, C, C_M, S = jasper(PARCELS, np.ones((30, 30)))
    found = cnnbtdvar(made, 3, 3)
    angle, likeness = agreement(C, S, found)
    assert angle < 0.1 and likeness > 0.999 and snr(Z, found.cube()) > 80
    assert relative(C_M, found.changed_endmembers[:, match(C, found.endmembers)]) < 1e-3


def test_second_synthetic_scene_from_spectra_that_are_ten_per_cent_off():
    made, Z, C, _, S = jasper(MIXED, bump())
    start = C * np.random.default_rng(5).uniform(0.9, 1.1, C.shape)
    found = cnnbtdvar(made, 3, 3, start=start)
    angle, likeness = agreement(C, S, found)
    assert angle < 2 < np.degrees(sad(C, start)).max() and likeness > 0.98 and snr(Z, found.cube()) > 60


@pytest.mark.parametrize("patterns, patch", [(PARCELS, np.ones((30, 30))), (MIXED, bump())], ids=["first", "second"])
def test_neither_synthetic_scene_is_unique(patterns, patch):
    """Maps of rank 3 in one space of 3 x 3 blocks may be mixed, whatever Theorem III.1 says of almost all others."""
    made, _, C, C_M, S = jasper(patterns, patch)
    assert ll1.not_unique(made, 3, 3) is None
    T = np.eye(3)
    T[0, 1] = 0.3   # the first spectrum in part within the second
    S2, C2, C_M2 = np.tensordot(T, S, 1), C @ np.linalg.inv(T), C_M @ np.linalg.inv(T)
    assert min(S2.min(), C2.min(), C_M2.min()) >= 0
    assert np.linalg.matrix_rank(S2).max() == 3
    assert ll1.cost(made, S2, C2, C_M2, 1.0) < 1e-20 * np.sum(made.msi ** 2)
    assert np.degrees(sad(C, C2)).max() > 5
