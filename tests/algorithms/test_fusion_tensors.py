"""Fusion by tensor decompositions: STEREO, SCOTT, CT-STAR, CB-STAR."""

from dataclasses import replace

import numpy as np
import pytest
from fusion_scenes import natural, observe, relative, snr

from subpixel.algorithms.fusion import cbstar as blocks
from subpixel.algorithms.fusion import ctstar as closed
from subpixel.algorithms.fusion import tucker
from subpixel.algorithms.fusion.cbstar import cbstar
from subpixel.algorithms.fusion.ctstar import ctstar
from subpixel.algorithms.fusion.degradation import Box, Gaussian
from subpixel.algorithms.fusion.pair import along_bands, eigen_dense
from subpixel.algorithms.fusion.scott import scott
from subpixel.algorithms.fusion.stereo import default_rank, stereo, tenrec, unique_rank

MILD = Gaussian(0.7, 5)


def low_rank(shape, ranks, seed=0, scale=1.0):
    """A tensor (K, I, J) of multilinear ranks (R1, R2, R3) of rows, columns, bands."""
    rng = np.random.default_rng(seed)
    (K, I, J), (R1, R2, R3) = shape, ranks
    W, U, V = (np.linalg.qr(rng.standard_normal((n, r)))[0] for n, r in ((K, R3), (I, R1), (J, R2)))
    return scale * tucker.expand(rng.standard_normal((R3, R1, R2)), W, U, V)


def polyadic(shape, F, seed=0):
    rng = np.random.default_rng(seed)
    factors = [rng.standard_normal((n, F)) for n in shape]
    return np.einsum("kf,if,jf->kij", *factors), factors


def ranks_of(X):
    """Multilinear ranks (rows, columns, bands) of X (n, rows, cols)."""
    return tuple(int(np.linalg.matrix_rank(np.moveaxis(X, axis, 0).reshape(X.shape[axis], -1), tol=1e-9 * np.abs(
        X).max() * max(X.shape))) for axis in (1, 2, 0))


def never_increases(costs, energy):
    return np.all(np.diff(costs) <= 1e-10 * energy)


def misfits_of(pair, found):
    """Squared misfits of the HSI and of the MSI."""
    change = 0 if found.variability is None else found.variability
    high = pair.msi - along_bands(pair.P3, found.cube()) - change
    return np.sum((pair.hsi - pair.degrade(found.cube())) ** 2), np.sum(high ** 2)


def energy(pair):
    return np.sum(pair.hsi ** 2) + np.sum(pair.msi ** 2)


# Tucker tools

def test_expand_is_the_adjoint_of_project():
    rng = np.random.default_rng(0)
    W, U, V = rng.random((5, 2)), rng.random((6, 3)), rng.random((7, 4))
    X, G = rng.random((5, 6, 7)), rng.random((2, 3, 4))
    assert np.vdot(tucker.project(X, W, U, V), G) == pytest.approx(np.vdot(X, tucker.expand(G, W, U, V)))


def test_hosvd_is_exact_for_exact_ranks_and_refine_never_worsens():
    X = low_rank((8, 12, 10), (4, 3, 2))
    core, factors = tucker.hosvd(X, (4, 3, 2))
    assert relative(X, tucker.expand(core, *factors)) < 1e-10
    assert tucker.hosvd(X, (5, 5, 5))[0].shape == (2, 4, 3)   # what X does not have is not made up
    X = np.random.default_rng(1).random((8, 12, 10)) - 0.5
    core, factors = tucker.hosvd(X, (3, 4, 2))
    errors = [relative(X, tucker.expand(core, *factors))]
    for _ in range(8):
        core, factors = tucker.refine(X, factors, (3, 4, 2))
        errors.append(relative(X, tucker.expand(core, *factors)))
    assert np.all(np.diff(errors) < 1e-12) and errors[-1] < errors[0] - 1e-3


def test_coupled_core_is_the_least_squares_solution():
    Z, _, _ = natural(K=7, I=8, J=12)
    pair = observe(Z, 2, 3, noise=0.2)
    rng = np.random.default_rng(0)
    W, U, V = (np.linalg.qr(rng.random((n, r)))[0] for n, r in ((7, 3), (8, 4), (12, 2)))
    G = tucker.coupled_core(pair, pair.hsi, pair.msi, W, U, V, 0.7)
    low = np.kron(W, np.kron(pair.P1 @ U, pair.P2 @ V))
    high = np.sqrt(0.7) * np.kron(pair.P3 @ W, np.kron(U, V))
    right = np.concatenate([pair.hsi.ravel(), np.sqrt(0.7) * pair.msi.ravel()])
    assert np.allclose(G.ravel(), np.linalg.lstsq(np.vstack([low, high]), right, rcond=None)[0], atol=1e-9)


# SCOTT

@pytest.mark.parametrize("ranks", [(6, 7, 9), (12, 15, 4), (8, 10, 4)], ids=str)
@pytest.mark.parametrize("boundary", ["symmetric", "circular"])
def test_scott_recovers_tucker_scenes_where_either_condition_holds(ranks, boundary):
    """The HSI has 8 x 10 pixels and the MSI 4 bands: each of the two conditions alone, then both."""
    Z = low_rank((20, 32, 40), ranks)
    assert relative(Z, scott(observe(Z, 4, 4, MILD, boundary), ranks).cube()) < 1e-8


def test_scott_refuses_what_is_not_determined():
    pair = observe(low_rank((20, 32, 40), (9, 9, 5)), 4, 4)
    with pytest.raises(ValueError, match="at most 8 and 10.*at most 4"):
        scott(pair, (9, 9, 5))
    with pytest.raises(ValueError, match=r"from 1 to \(32, 40, 20\)"):
        scott(pair, (0, 9, 5))
    with pytest.raises(ValueError, match="product of the other two"):
        scott(pair, (8, 2, 3))
    twins = replace(pair, P3=pair.P3[[0, 1, 2, 2]])
    with pytest.raises(ValueError, match="that of the bands at most 3"):
        scott(twins, (9, 9, 4))


def test_scott_says_when_neither_image_sees_a_subspace():
    """Rows that alternate from pixel to pixel are nothing to a wide HSI pixel, nor is such a spectrum to the MSI."""
    pair = observe(np.ones((8, 32, 40)), 4, 4, Box(4), "circular")
    alternating = np.tile([1.0, -1.0], 16)
    hidden = replace(pair, hsi=pair.hsi * alternating[:8, None, None], msi=pair.msi * alternating[:, None])
    assert np.abs(pair.P1 @ alternating).max() < 1e-12 and np.abs(pair.P3 @ alternating[:8]).max() < 1e-12
    with pytest.raises(ValueError, match="undetermined"):
        scott(hidden, (1, 1, 1))


@pytest.mark.parametrize("method", [scott, stereo, cbstar])
def test_balance_is_what_the_misfits_count_in_the_solution(method):
    """Each balance's solution has the least cost for that balance."""
    pair = observe(natural()[0], noise=0.1)
    balances = (0.02, 1.0, 50.0)
    misfits = np.array([misfits_of(pair, method(pair, balance=balance)) for balance in balances])
    costs = misfits @ np.array([np.ones(3), balances])
    assert np.array_equal(costs.argmin(axis=0), range(3))
    assert np.all(costs > costs.diagonal() * (1 + 1e-3 * (1 - np.eye(3)) - 1e-12))


@pytest.mark.parametrize("balance", [0.0, -1.0, np.nan, np.inf])
@pytest.mark.parametrize("method", [scott, stereo, cbstar])
def test_a_balance_that_is_not_above_zero_is_refused(method, balance):
    with pytest.raises(ValueError, match="balance is .*above 0"):
        method(observe(natural()[0]), balance=balance)


# CT-STAR

def changed_pair(noise=0.0, ranks=(5, 6, 6), change_ranks=(2, 2, 1)):
    Z = low_rank((20, 32, 40), ranks)
    Psi = low_rank((20, 32, 40), change_ranks, seed=7, scale=3.0)
    return Z, observe(Z, 4, 4, MILD, noise=noise, change=Psi), Psi


def test_ctstar_recovers_scene_and_change():
    Z, pair, Psi = changed_pair()
    found = ctstar(pair, (5, 6, 6), (2, 2, 1))
    assert relative(Z, found.cube()) < 1e-6
    assert relative(np.tensordot(pair.P3, Psi, 1), found.variability) < 1e-6
    assert relative(Z, scott(pair, (5, 6, 6)).cube()) > 0.05   # the change is not small


def test_ctstar_refuses_what_is_not_determined():
    _, pair, _ = changed_pair()
    with pytest.raises(ValueError, match="at most 8 and those of columns at most 10"):
        ctstar(pair, (7, 6, 6), (2, 2, 1))
    with pytest.raises(ValueError, match="at most 8 and those of columns at most 10"):
        ctstar(pair, (5, 9, 6), (2, 2, 1))
    with pytest.raises(ValueError, match="that of the bands at most 4"):
        ctstar(pair, (5, 6, 6), (2, 2, 5))
    with pytest.raises(ValueError, match="or neither"):
        ctstar(pair, (5, 6, 6))


@pytest.mark.parametrize("shape", [(4, 12), (12, 4)], ids=str)
def test_ctstar_needs_two_rows_and_columns_of_the_hsi(shape):
    with pytest.raises(ValueError, match="two rows and two columns are needed"):
        ctstar(observe(natural(6, *shape, R=3)[0]))


# CB-STAR

def test_cbstar_stays_at_the_exact_solution_of_ctstar():
    Z, pair, Psi = changed_pair()
    found = cbstar(pair, (5, 6, 6), (2, 2, 1), start="ctstar", iterations=5, tolerance=0)
    assert np.all(found.costs < 1e-14 * energy(pair))
    assert relative(Z, found.cube()) < 1e-6
    assert relative(np.tensordot(pair.P3, Psi, 1), found.variability) < 1e-6


@pytest.mark.parametrize("start", ["upsampled", "ctstar"])
@pytest.mark.parametrize("balance", [1.0, 0.2])
def test_cbstar_never_raises_its_cost(start, balance):
    Z, pair, _ = changed_pair(noise=0.1)
    found = cbstar(pair, (5, 6, 6), (2, 2, 2), balance=balance, start=start, iterations=30, tolerance=0)
    assert found.iterations == 30 and not found.converged
    assert never_increases(found.costs, energy(pair)) and found.costs[-1] < 0.999 * found.costs[0]
    low = pair.hsi - np.tensordot(found.basis, pair.degrade(found.coefficients), 1)
    high = pair.msi - np.tensordot(pair.P3, found.cube(), 1) - found.variability
    assert found.costs[-1] == pytest.approx(np.sum(low ** 2) + balance * np.sum(high ** 2))


def test_cbstar_converges_to_the_exact_solution_from_the_upsampled_difference():
    Z, pair, Psi = changed_pair()
    found = cbstar(pair, (5, 6, 6), (2, 2, 1), iterations=250, tolerance=0)
    assert relative(Z, found.cube()) < 1e-6
    assert relative(np.tensordot(pair.P3, Psi, 1), found.variability) < 1e-6


def test_cbstar_change_has_the_ranks_asked_for():
    _, pair, _ = changed_pair(noise=0.1)
    found = cbstar(pair, (5, 6, 6), (3, 4, 2), iterations=3)
    assert ranks_of(found.variability) == (3, 4, 2) and ranks_of(found.cube()) == (5, 6, 6)


def test_each_scene_block_of_cbstar_is_a_least_squares_solution():
    Z, _, _ = natural(K=9, I=16, J=12)
    pair = observe(Z, 2, 3, noise=0.3)
    rng = np.random.default_rng(0)
    W, U, V = (np.linalg.qr(rng.random((n, r)))[0] for n, r in ((9, 4), (16, 5), (12, 3)))
    D = rng.random((4, 5, 3))
    low, high = along_bands(W.T, pair.hsi), along_bands((pair.P3 @ W).T, pair.msi)

    def gradient(W, U, V, D, factor):
        """Of half the cost, with respect to what multiplies D in one mode, at D = that mode's new factor."""
        a = tucker.expand(D, W, pair.P1 @ U, pair.P2 @ V) - pair.hsi
        b = tucker.expand(D, pair.P3 @ W, U, V) - pair.msi
        Z_gradient = pair.spread(a) + 0.7 * np.tensordot(pair.P3.T, b, 1)
        n, m, r = {"W": (np.eye(9), U, V), "U": (W, np.eye(16), V), "V": (W, U, np.eye(12))}[factor]
        axes = {"W": (1, 2), "U": (0, 2), "V": (0, 1)}[factor]
        return np.tensordot(tucker.project(Z_gradient, n, m, r), D, (axes, axes))

    U1, D1 = blocks._rows(pair.rows, pair.P1, pair.P2, low, high, W, pair.P3 @ W, U, V, D, 0.7)
    assert np.abs(gradient(W, U1, V, D1, "U")).max() < 1e-6 < np.abs(gradient(W, U, V, D, "U")).max()
    turned = [X.transpose(0, 2, 1) for X in (low, high, D)]
    V1, D1 = blocks._rows(pair.columns, pair.P2, pair.P1, *turned[:2], W, pair.P3 @ W, V, U, turned[2], 0.7)
    assert np.abs(gradient(W, U, V1, D1.transpose(0, 2, 1), "V")).max() < 1e-6
    W1, D1 = blocks._bands(eigen_dense(pair.P3), pair, pair.hsi, pair.msi, W, U, V, D, 0.7)
    assert np.abs(gradient(W1, U, V, D1, "W")).max() < 1e-6
    assert all(np.allclose(B.T @ B, np.eye(B.shape[1])) for B in (U1, V1, W1))


@pytest.mark.parametrize("balance", [1.0, 0.2])
def test_cbstar_ends_where_no_factor_nor_core_can_do_better(balance):
    _, pair, _ = changed_pair(noise=0.1)
    found = cbstar(pair, (5, 6, 6), (2, 2, 2), balance=balance, iterations=300, tolerance=0)
    W, X = found.basis, found.coefficients
    U, V = tucker.leading(X, 1, 5), tucker.leading(X, 2, 6)
    a = pair.degrade(found.cube()) - pair.hsi
    b = along_bands(pair.P3, found.cube()) + found.variability - pair.msi
    gradient, size = (pair.spread(low) + balance * along_bands(pair.P3.T, high)
                      for low, high in ((a, b), (pair.hsi, pair.msi)))

    def share(part):
        return np.linalg.norm(part(gradient)) / np.linalg.norm(part(size))

    assert share(lambda G: tucker.project(G, W, U, V)) < 1e-9
    assert share(lambda G: np.tensordot(G, X, ((1, 2), (1, 2)))) < 1e-4
    assert share(lambda G: np.tensordot(along_bands(W.T, G) @ V, U.T @ X @ V, ((0, 2), (0, 2)))) < 1e-4
    assert share(lambda G: np.tensordot(along_bands(W.T, U.T @ G), U.T @ X @ V, ((0, 1), (0, 1)))) < 1e-4


def test_cbstar_refuses_ranks_and_starts_that_do_not_exist():
    _, pair, _ = changed_pair()
    with pytest.raises(ValueError, match="change's ranks.*from 1 to"):
        cbstar(pair, (5, 6, 6), (3, 3, 5))
    with pytest.raises(ValueError, match="undetermined"):
        cbstar(pair, (9, 6, 6), (3, 3, 1))
    with pytest.raises(ValueError, match="start is 'random'"):
        cbstar(pair, (5, 6, 6), (3, 3, 1), start="random")


def test_cbstar_knows_a_change_that_scott_takes_for_detail():
    Z, _, A = natural(K=24, I=32, J=40)
    field = np.zeros(Z.shape[1:])
    field[8:20, 10:25] = 0.3
    pair = observe(Z, 4, 6, noise=0.01, change=field * np.linspace(0.2, 1, 24)[:, None, None])
    assert snr(Z, cbstar(pair).cube()) > snr(Z, scott(pair).cube()) + 1


# STEREO

def test_stereo_recovers_polyadic_scenes():
    Z, _ = polyadic((24, 32, 40), 6)
    pair = observe(Z, 4, 4, MILD)
    found = stereo(pair, 6, iterations=300, tolerance=0)
    assert relative(Z, found.cube()) < 1e-6
    assert never_increases(found.costs, energy(pair))


def test_stereo_stays_at_the_true_factors():
    Z, (C, A, B) = polyadic((24, 32, 40), 12, seed=2)
    found = stereo(observe(Z, 4, 4), 12, start=(A, B, C))
    assert found.converged and relative(Z, found.cube()) < 1e-9


@pytest.mark.parametrize("rank", [8, 40])
@pytest.mark.parametrize("balance", [1.0, 0.1])
def test_stereo_never_raises_its_cost(rank, balance):
    Z, _, _ = natural()
    pair = observe(Z, noise=0.03)
    found = stereo(pair, rank, balance=balance, iterations=25, tolerance=0)
    assert found.iterations == 25 and never_increases(found.costs, energy(pair))
    assert found.costs[-1] < 0.95 * found.costs[0]
    low = pair.hsi - pair.degrade(found.cube())
    high = pair.msi - np.tensordot(pair.P3, found.cube(), 1)
    assert found.costs[-1] == pytest.approx(np.sum(low ** 2) + balance * np.sum(high ** 2))


def test_stereo_starts_from_the_msis_own_decomposition():
    Z, _ = polyadic((24, 32, 40), 3)
    assert stereo(observe(Z), 3, iterations=0).costs.shape == (1,)
    A, B, C = tenrec(observe(Z), 3)
    assert relative(Z, np.einsum("kf,if,jf->kij", C, A, B)) < 0.05


def test_terms_of_stereo_have_columns_of_one_length():
    pair = observe(natural()[0], noise=0.03)
    for iterations in (0, 5):
        found = stereo(pair, 6, iterations=iterations, tolerance=0)
        spectra, maps = np.linalg.norm(found.basis, axis=0), np.linalg.norm(found.coefficients, axis=(1, 2))
        assert np.allclose(spectra ** 2, maps, rtol=1e-9)


def test_the_seed_is_that_of_stereos_start():
    pair = observe(natural()[0], noise=0.03)
    first, again, other = (stereo(pair, 6, seed=seed, iterations=2).cube() for seed in (0, 0, 1))
    assert np.array_equal(first, again) and relative(first, other) > 1e-6


@pytest.mark.parametrize("K_M, gain", [(2, -1), (3, 4), (4, 10)])
def test_default_rank_of_stereo_does_no_harm_with_few_bands(K_M, gain):
    """With two bands no number of terms is better than interpolation here."""
    Z = natural()[0]
    pair = observe(Z, 4, K_M, noise=0.01)
    assert default_rank(pair) == unique_rank(pair) == (16, 16, 32)[K_M - 2]
    assert snr(Z, stereo(pair).cube()) > snr(Z, pair.upsample(pair.hsi)) + gain


def test_default_rank_of_stereo_is_the_published_one_where_it_is_unique():
    Z = np.random.default_rng(0).random((12, 100, 80))
    assert unique_rank(observe(Z, 4, 6)) == 64 and default_rank(observe(Z, 4, 6)) == 50
    pair = observe(Z, 4, 4)
    assert unique_rank(replace(pair, P3=pair.P3[[0, 1, 1, 1]])) == 32   # bands that are alike count once
    assert default_rank(observe(natural(8, 64, 64)[0], 16, 6)) == 16   # HSI pixels


def test_stereo_refuses_an_msi_of_one_band():
    pair = observe(natural()[0], 4, 2)
    for one in (observe(natural()[0], 4, 1), replace(pair, P3=pair.P3[[0, 0]])):
        with pytest.raises(ValueError, match="fewer than two bands"):
            stereo(one)


def test_stereo_refuses_ranks_that_are_not_determined():
    pair = observe(natural()[0])
    with pytest.raises(ValueError, match=r"from 1 to 80.*pixels \(80\)"):
        stereo(pair, 81)


# all

@pytest.mark.parametrize("shape", [(24, 32, 40), (5, 9, 8), (3, 8, 12)], ids=str)
@pytest.mark.parametrize("method", [stereo, scott, ctstar, cbstar])
def test_default_ranks_fit_any_pair(method, shape):
    Z = natural(*shape, R=3)[0]
    pair = observe(Z, 4, min(4, shape[0]), noise=0.01)
    found = method(pair)
    assert found.cube().shape == shape and np.isfinite(found.cube()).all()


def test_default_ranks_are_the_published_ones_where_there_are_some():
    Z = np.random.default_rng(0).random((12, 100, 80))
    pair = observe(Z, 4, 10)
    assert closed.default_ranks(pair) == ((18, 14, 10), (3, 3, 1))   # LL1, Tahoe: (18, 15, 10), (3, 3, 1)
    assert tucker.default_ranks(pair) == (40, 32, 5)   # LL1, Tahoe: (40, 40, 7)
    Z = np.random.default_rng(0).random((12, 80, 128))
    assert blocks.default_ranks(observe(Z, 4, 10)) == ((32, 51, 5), (32, 51, 4))   # Ivanpah: (40, 40, 4), (40, 40, 5)


@pytest.mark.parametrize("method, gain", [(stereo, 9), (scott, 8), (ctstar, 2), (cbstar, 8)])
def test_fusion_beats_interpolation(method, gain):
    Z, _, _ = natural(I=48, J=60)
    pair = observe(Z, noise=0.01)
    assert snr(Z, method(pair).cube()) > snr(Z, pair.upsample(pair.hsi)) + gain


@pytest.mark.parametrize("method", [stereo, cbstar])
@pytest.mark.parametrize("tolerance", [0.1, 0.01])
def test_it_ends_with_the_first_decrease_below_the_tolerance(method, tolerance):
    pair = observe(natural()[0], noise=0.05)
    found = method(pair, tolerance=tolerance, iterations=60)
    decreases = -np.diff(found.costs) / found.costs[:-1]
    assert found.converged and np.all(decreases[:-1] > tolerance) and decreases[-1] <= tolerance
    longer = method(pair, tolerance=0, iterations=found.iterations + 2)
    assert longer.iterations == found.iterations + 2 and np.array_equal(longer.costs[:-2], found.costs)


@pytest.mark.parametrize("image", ["hsi", "msi"])
@pytest.mark.parametrize("method", [stereo, cbstar])
def test_images_that_are_zero_everywhere_are_refused(method, image):
    pair = observe(natural()[0])
    with pytest.raises(ValueError, match="zero everywhere"):
        method(replace(pair, **{image: np.zeros_like(getattr(pair, image))}))


@pytest.mark.parametrize("method", [stereo, cbstar])
def test_callbacks_hear_of_every_iteration_and_stop(method):
    heard = []
    pair = observe(natural()[0], noise=0.05)

    def callback(iteration, cost):
        heard.append((iteration, cost))
        return iteration == 3

    found = method(pair, tolerance=0, callback=callback)
    assert heard == list(enumerate(found.costs))[1:] and found.iterations == 3 and not found.converged


@pytest.mark.parametrize("method", [stereo, scott, ctstar, cbstar])
def test_the_same_pair_gives_the_same_scene_in_float32_too(method):
    pair = observe(natural()[0], noise=0.05)
    first = method(pair).cube()
    assert np.array_equal(first, method(pair).cube())
    single = replace(pair, hsi=pair.hsi.astype(np.float32), msi=pair.msi.astype(np.float32))
    assert relative(first, method(single).cube()) < 1e-3
