"""MESMA against its definition by brute force, and what follows from the definition."""

import time
from itertools import combinations, product

import numpy as np
import pytest

from subpixel.algorithms.variability import mesma as module
from subpixel.algorithms.variability.mesma import (SLACK, TIE, Limits, count_models, longest_run, mesma, prepare,
                                                   search)

L = 25


def library(rng, sizes, spread=0.06):
    """Smooth spectra (L, K) and their materials: `sizes` of each, around a spectrum of its own."""
    x = np.linspace(0, 1, L)
    spectra, materials = [], []
    for number, size in enumerate(sizes):
        own = 0.35 + 0.25 * np.sin((2 + 1.7 * number) * x + number)
        for _ in range(size):
            wave = np.cos(rng.uniform(1, 9) * x + rng.uniform(0, 6))
            spectra.append(own * rng.uniform(0.7, 1.2) + spread * wave)
            materials.append(f"material {number}")
    return np.stack(spectra, axis=1), materials


def scene(rng, M, N=60, noise=0.01, shade=None):
    """Mixtures (L, N) of up to three spectra and shade, some of them far from any model."""
    shade = np.zeros(L) if shade is None else shade
    Y = np.empty((L, N))
    for n in range(N):
        count = min(1 + n % 3, M.shape[1])
        f = rng.dirichlet(np.ones(count + 1))
        Y[:, n] = M[:, rng.choice(M.shape[1], count, replace=False)] @ f[:-1] + f[-1] * shade
    Y += noise * rng.standard_normal(Y.shape)
    Y[:, ::9] *= rng.uniform(0.05, 1.9, Y[:, ::9].shape[1])
    Y[:, ::11] += 0.2 * rng.standard_normal(Y[:, ::11].shape)
    return Y


def brute_force(Y, M, materials, levels=(1, 2), limits=module.VIPER, shade=None):
    """Every model by numpy's least squares, one after the other: `(level, model, A, shade, rmse)`, none where NaN."""
    names = list(dict.fromkeys(materials))
    shade = np.zeros(len(M)) if shade is None else shade
    N, answers = Y.shape[1], []
    X, E = Y - shade[:, None], M - shade[:, None]
    energy = np.square(Y).sum(axis=0)
    for level in range(levels[0], levels[1] + 1):
        rss, model = np.full(N, np.inf), np.full((len(names), N), -1)
        A = np.zeros((len(names), N))
        for subset in combinations(range(len(names)), level):
            columns = [[k for k, material in enumerate(materials) if material == names[p]] for p in subset]
            for S in map(list, product(*columns)):
                if np.linalg.matrix_rank(E[:, S], tol=1e-9) < level:
                    continue
                f = np.linalg.lstsq(E[:, S], X)[0]
                residual = X - E[:, S] @ f
                found, left = np.square(residual).sum(axis=0), 1 - f.sum(axis=0)
                good = ((f >= limits.fraction[0] - SLACK) & (f <= limits.fraction[1] + SLACK)).all(axis=0)
                good &= (left >= limits.shade[0] - SLACK) & (left <= limits.shade[1] + SLACK)
                good &= found < len(M) * limits.rmse**2
                if limits.residual is not None:
                    windows = np.lib.stride_tricks.sliding_window_view(np.abs(residual) >= limits.residual,
                                                                       limits.run, axis=0)
                    good &= ~windows.all(axis=-1).any(axis=0)
                good &= found < rss - TIE * energy
                rss[good], model[:, good], A[:, good] = found[good], -1, 0
                model[np.ix_(subset, good)], A[np.ix_(subset, good)] = np.array(S)[:, None], f[:, good]
        answers.append((np.sqrt(rss / len(M)), model, A))
    level, models, fractions, rmse = np.zeros(N, int), np.full((len(names), N), -1), np.full((len(names), N), np.nan), \
        np.full(N, np.nan)
    for n in range(N):
        best, before = np.inf, None
        for number, (error, model, A) in enumerate(answers):
            own = min(error[n], 9999)
            if (before is None or before - own >= limits.fusion) and error[n] < best:
                best, level[n], models[:, n], fractions[:, n] = error[n], levels[0] + number, model[:, n], A[:, n]
                rmse[n] = error[n]
            before = own
    return level, models, fractions, 1 - fractions.sum(axis=0), rmse


def same(found, level, model, A, shade, rmse):
    assert np.array_equal(found.level, level)
    assert np.array_equal(found.model, model)
    assert np.allclose(found.A, A, rtol=0, atol=1e-8, equal_nan=True)
    assert np.allclose(found.shade, shade, rtol=0, atol=1e-8, equal_nan=True)
    assert np.allclose(found.rmse, rmse, rtol=1e-7, atol=1e-8, equal_nan=True)


@pytest.mark.parametrize("levels", [(1, 1), (1, 2), (2, 2), (2, 3), (1, 4), (3, 4)])
@pytest.mark.parametrize("seed", range(4))
def test_the_choice_is_that_of_brute_force(seed, levels):
    rng = np.random.default_rng(seed)
    M, materials = library(rng, rng.integers(1, 5, 4))
    Y = scene(rng, M)
    expected = brute_force(Y, M, materials, levels)
    same(mesma(Y, M, materials, levels), *expected)
    assert (expected[0] == 0).any() and (expected[0] > 0).any()


@pytest.mark.parametrize("limits", [Limits(fusion=0), Limits(rmse=0.1), Limits(rmse=1, fusion=0.001),
                                    Limits(fraction=(0.2, 0.6), shade=(0.1, 0.4)), Limits(fraction=(-9, 9)),
                                    Limits(rmse=0.2, residual=0.02, run=3), Limits(residual=0.01, run=7),
                                    Limits(fraction=(-9, 9), shade=(-9, 9), rmse=9, residual=0.015, run=2)])
def test_limits_are_those_of_brute_force(limits):
    rng = np.random.default_rng(7)
    M, materials = library(rng, (3, 4, 2))
    Y = scene(rng, M)
    same(mesma(Y, M, materials, (1, 3), limits), *brute_force(Y, M, materials, (1, 3), limits))


@pytest.mark.parametrize("seed", range(3))
def test_a_measured_shade_is_subtracted_from_pixels_and_library(seed):
    rng = np.random.default_rng(seed)
    M, materials = library(rng, (3, 2, 3))
    shade = 0.02 + 0.03 * rng.random(L)
    Y = scene(rng, M, shade=shade)
    found = mesma(Y, M, materials, (1, 3), shade=shade)
    same(found, *brute_force(Y, M, materials, (1, 3), shade=shade))
    assert np.array_equal(found.model, mesma(Y - shade[:, None], M - shade[:, None], materials, (1, 3)).model)


def test_of_equal_models_the_first_in_library_order_wins():
    rng = np.random.default_rng(1)
    M, materials = library(rng, (3, 3, 3))
    again = [2, 0, 1, 0, 5, 3, 3, 5, 8, 8, 6, 7]
    M, materials = M[:, again], [materials[k] for k in again]
    Y = scene(rng, M, 90, noise=0.004)
    found = mesma(Y, M, materials, (1, 3))
    same(found, *brute_force(Y, M, materials, (1, 3)))
    later = [k for k in range(12) if again[k] in again[:k]]
    assert (found.level > 0).sum() > 40 and not np.isin(found.model, later).any()


def test_spectra_that_cannot_be_told_apart_make_no_model_together():
    rng = np.random.default_rng(2)
    M, materials = library(rng, (2, 2, 2))
    M = np.column_stack([M, M[:, 0], 0.8 * M[:, 2]])
    materials = [*materials, "material 1", "material 2"]
    Y = scene(rng, M)
    same(mesma(Y, M, materials, (1, 3)), *brute_force(Y, M, materials, (1, 3)))
    free = Limits(fraction=(-np.inf, np.inf), shade=(-np.inf, np.inf), rmse=np.inf)
    for factor in rng.uniform(0.5, 2, 20):
        twins = np.column_stack([M[:, 0], factor * M[:, 0]])
        assert (mesma(Y, twins, ["a", "b"], (2, 2), free).level == 0).all()


def test_a_darker_spectrum_is_that_spectrum_and_shade():
    M, materials = library(np.random.default_rng(3), (4, 4, 4))
    found = mesma(0.6 * M, M, materials, (1, 3))
    assert (found.level == 1).all() and np.allclose(found.shade, 0.4)
    assert np.array_equal(found.model.max(axis=0), np.arange(12))
    assert np.allclose(found.A.max(axis=0), 0.6) and found.rmse.max() < 1e-7


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_spectrum_itself_keeps_the_limits(dtype):
    M, materials = library(np.random.default_rng(3), (5, 5))
    found = mesma(M.astype(dtype), M, materials)
    assert (found.level == 1).all() and np.array_equal(found.model.max(axis=0), np.arange(10))
    assert np.abs(found.shade).max() < 1e-6


@pytest.mark.parametrize("errors, level", [((0.020, 0.015, 0.010), 1), ((0.020, 0.012, 0.010), 2),
                                           ((0.020, 0.015, 0.007), 3), ((None, 0.015, 0.010), 2),
                                           ((None, None, 0.010), 3), ((0.020, None, 0.018), 3),
                                           ((0.010, None, 0.018), 1), ((None, None, None), 0)])
def test_fusion_compares_a_level_with_the_next_lower_ones_own_best(errors, level):
    E = np.eye(40)[:, :3]
    y = np.zeros(40)
    y[:3] = 0.3
    bundle = prepare(E, ["a", "b", "c"], (1, 3))
    chunk = module._Chunk(y[:, None], np.array([0]), E.T @ y[:, None], np.array([y @ y]), np.array([1e-14]))
    levels = []
    for size, error in enumerate(errors, 1):
        best = module._Best(chunk, bundle, size, module.VIPER)
        if error is not None:
            best.explained[:], best.combination[:] = y @ y - 40 * error**2, 0
        levels.append(best)
    found = module._nothing(3, 1)
    module._fuse(found, np.array([0]), levels, 0.007)
    assert found.level[0] == level
    assert np.isnan(found.rmse[0]) if level == 0 else np.isclose(found.rmse[0], errors[level - 1])


def test_permuting_the_library_permutes_the_model():
    rng = np.random.default_rng(4)
    M, materials = library(rng, (3, 5, 4))
    Y = scene(rng, M)
    order = rng.permutation(12)
    one, other = mesma(Y, M, materials, (1, 3)), mesma(Y, M[:, order], [materials[k] for k in order], (1, 3))
    names = list(dict.fromkeys(materials[k] for k in order))
    rows = [names.index(name) for name in dict.fromkeys(materials)]
    back = np.append(order, -1)[other.model[rows]]
    assert np.array_equal(one.model, back) and np.array_equal(one.level, other.level)
    assert np.allclose(one.A, other.A[rows], rtol=0, atol=1e-10, equal_nan=True)


def test_blocks_and_chunks_change_nothing(monkeypatch):
    rng = np.random.default_rng(5)
    M, materials = library(rng, (3, 5, 4))
    Y, bundle = scene(rng, M, 300), prepare(M, materials, (1, 3))
    whole = search(Y, bundle)
    monkeypatch.setattr(module, "PIECE", 2)
    bundle = prepare(M, materials, (1, 3))
    monkeypatch.setattr(module, "CHUNK_PIXELS", (7, 7))
    parts = [search(Y[:, start:start + 40], bundle) for start in range(0, 300, 40)]
    for name in ("model", "level", "combination"):
        assert np.array_equal(getattr(whole, name), np.concatenate([getattr(part, name) for part in parts], axis=-1))
    for name in ("A", "shade", "rmse"):
        joined = np.concatenate([getattr(part, name) for part in parts], axis=-1)
        assert np.allclose(getattr(whole, name), joined, rtol=0, atol=1e-12, equal_nan=True)


def test_scaled_data_with_scaled_limits_give_the_same():
    rng = np.random.default_rng(6)
    M, materials = library(rng, (3, 3, 3))
    Y = np.rint(10000 * scene(rng, M)).astype(np.int16)
    limits = Limits(residual=0.02, run=4)
    one = mesma(Y / 10000, M, materials, (1, 3), limits)
    other = mesma(Y, 10000 * M, materials, (1, 3), limits.times(10000))
    assert np.array_equal(one.model, other.model) and np.allclose(one.rmse, other.rmse / 10000, equal_nan=True)


def test_float32_pixels_are_the_same_values():
    rng = np.random.default_rng(6)
    M, materials = library(rng, (3, 3))
    Y = scene(rng, M).astype(np.float32)
    assert np.array_equal(mesma(Y, M, materials).model, mesma(Y.astype(np.float64), M, materials).model)


def test_zero_and_not_finite_pixels_hold_no_data():
    rng = np.random.default_rng(8)
    M, materials = library(rng, (3, 3))
    Y = scene(rng, M, 12, noise=0.001)[:, 1:9]
    Y[:, 1], Y[3, 2], Y[4, 3] = 0, np.nan, np.inf
    found = mesma(Y, M, materials, limits=Limits(shade=(0, 1)), shade=np.full(L, 0.01))
    assert (found.level[1:4] == -1).all() and (found.level[[0, 4, 5]] >= 0).all()
    assert np.isnan(found.A[:, 1:4]).all() and (found.model[:, 1:4] == -1).all() and np.isnan(found.rmse[1:4]).all()


def test_what_no_model_explains_has_none_and_a_combination_names_its_materials():
    rng = np.random.default_rng(9)
    M, materials = library(rng, (2, 3, 2))
    Y = scene(rng, M, 80)
    bundle = prepare(M, materials, (1, 3))
    found = search(Y, bundle)
    assert bundle.combinations == [(0,), (1,), (2,), (0, 1), (0, 2), (1, 2), (0, 1, 2)]
    for n in range(80):
        used = tuple(np.flatnonzero(found.model[:, n] >= 0))
        assert used == (() if found.level[n] < 1 else bundle.combinations[found.combination[n]])
        assert len(used) == found.level[n] and np.isnan(found.A[:, n]).all() == (len(used) == 0)
        assert not len(used) or (found.A[[p for p in range(3) if p not in used], n] == 0).all()
    assert (found.level == 0).any()


def test_one_pixel_and_no_pixel():
    M, materials = library(np.random.default_rng(3), (2, 2))
    assert mesma(0.5 * M[:, :1], M, materials).level.tolist() == [1]
    assert mesma(M[:, :0], M, materials).A.shape == (2, 0)


def test_more_spectra_than_bands_are_welcome():
    rng = np.random.default_rng(0)
    M, materials = library(rng, (30, 25))
    assert M.shape[1] > L
    Y = scene(rng, M, 20)
    same(mesma(Y, M, materials), *brute_force(Y, M, materials))


@pytest.mark.parametrize("sizes, levels, count", [((20, 20, 20), (3, 3), 8000), ((20, 20, 20), (1, 2), 1260),
                                                  ((3, 4), (1, 2), 19), ((5,), (1, 1), 5), ((1, 2, 3), (1, 3), 23)])
def test_models_are_counted(sizes, levels, count):
    assert count_models(sizes, levels) == count
    M, materials = library(np.random.default_rng(0), sizes)
    families = [family for level in prepare(M, materials, levels).levels for family in level]
    assert sum(family.s.size for family in families) == count


def test_it_is_twenty_times_faster_than_a_loop_over_the_models():
    rng = np.random.default_rng(0)
    M, materials = library(rng, (20, 20, 20))
    M, Y = np.tile(M, (8, 1)), np.tile(scene(rng, M, 4000), (8, 1))
    start = time.perf_counter()
    mesma(Y, M, materials, (3, 3))
    ours = time.perf_counter() - start
    start = time.perf_counter()
    for k in range(20):
        f = np.clip(np.linalg.lstsq(M[:, [k, 20 + k, 40 + k]], Y)[0], 0, 1)
        np.square(Y - M[:, [k, 20 + k, 40 + k]] @ f).mean(axis=0)
    loop = (time.perf_counter() - start) * 8000 / 20
    assert loop > 20 * ours


def test_longest_run_of_bands():
    marked = np.array([[1, 0, 1], [1, 1, 0], [0, 1, 1], [1, 1, 0]], dtype=bool)
    assert longest_run(marked).tolist() == [2, 3, 1]


@pytest.mark.parametrize("change, words", [
    (dict(materials=["a"]), "give each spectrum"), (dict(levels=(2, 1)), "at most the largest"),
    (dict(levels=(0, 1)), "at least 1"), (dict(levels=(1, 3)), "the library has 2"),
    (dict(shade=np.zeros(3)), "3 bands"), (dict(shade="first"), "leave it out"), (dict(bad=np.nan), "not finite"),
    (dict(bad=0), "same as shade")])
def test_bad_libraries_are_refused_with_a_way_out(change, words):
    M, materials = library(np.random.default_rng(0), (2, 2))
    arguments = {"materials": materials, **change}
    if "bad" in change:
        M[:, 1] = arguments.pop("bad")
    if change.get("shade") is not None and isinstance(change["shade"], str):
        arguments["shade"] = M[:, 0]
    with pytest.raises(ValueError, match=words):
        prepare(M, **arguments)
