"""The operators that all fusion methods share, and the linear systems that they solve."""

import numpy as np
import pytest
from fusion_scenes import natural, observe, relative, response, snr

from subpixel.algorithms.fusion.degradation import Box, Gaussian, centred, degradation, interpolation
from subpixel.algorithms.fusion.fuse import fuse
from subpixel.algorithms.fusion.pair import Fused, Pair, scales
from subpixel.algorithms.fusion.sylvester import across, along

PSFS = [Gaussian(1.7, 9), Gaussian.of_width(4), Box(4), Box(2.5), Gaussian.printed(9)]


@pytest.mark.parametrize("boundary", ["symmetric", "circular"])
@pytest.mark.parametrize("psf", PSFS, ids=str)
@pytest.mark.parametrize("ratio", [1, 2, 3, 4, 2.5])
def test_a_constant_image_stays_constant(psf, boundary, ratio):
    P = degradation(40, centred(40, ratio), psf, boundary)
    assert P.shape == (int(40 / ratio), 40)
    assert np.allclose(P @ np.ones(40), 1, atol=1e-14)
    # a box twice as wide as the step does not see an alternating signal
    assert np.linalg.matrix_rank(P.toarray()) == P.shape[0] or ratio == 1 or isinstance(psf, Box)


@pytest.mark.parametrize("ratio", [2, 3, 4, 2.5])
def test_a_ramp_is_sampled_at_the_centres(ratio):
    """Blur is symmetric, so that it moves nothing; a kernel shifted by a fraction of a pixel would show here."""
    centres = centred(60, ratio)
    P = degradation(60, centres, Gaussian(ratio / 2.3548, 2 * ratio + 1))
    inside = (centres > 8) & (centres < 51)
    assert np.allclose((P @ np.arange(60.0))[inside], centres[inside], atol=1e-9 if ratio in (2, 3, 4) else 2e-2)
    U = interpolation(60, centres)
    inside = slice(8, 52)
    assert np.allclose((U @ centres)[inside], np.arange(60.0)[inside], atol=1e-9)
    assert np.allclose(U @ np.ones(len(centres)), 1)


def test_no_blur_and_ratio_one_is_the_identity():
    assert np.array_equal(degradation(9, centred(9, 1), Box(1)).toarray(), np.eye(9))
    assert np.allclose(interpolation(9, centred(9, 1)).toarray(), np.eye(9))


@pytest.mark.parametrize("psf", [*PSFS, Gaussian(1.0, 4)], ids=str)
@pytest.mark.parametrize("ratio", [2, 3, 4])
def test_a_kernel_moves_smoothly_with_its_centre(psf, ratio):
    """At even ratios samples lie exactly where kernels of odd size end: rounding must decide nothing there."""
    centres = centred(40, ratio)
    for move in (1e-9, -1e-9):
        assert abs(degradation(40, centres + move, psf) - degradation(40, centres, psf)).max() < 1e-6
    shifted = degradation(40, centres + 1e-12, psf) @ np.arange(40.0)
    inside = (centres > 8) & (centres < 31)
    assert np.allclose(shifted[inside], centres[inside], atol=1e-9)


def test_a_kernel_of_odd_size_on_a_pixel_is_the_gaussian_cut():
    P = degradation(21, np.array([10.0]), Gaussian(1.7, 9)).toarray()[0]
    expected = np.exp(-0.5 * ((np.arange(21) - 10) / 1.7) ** 2) * (np.abs(np.arange(21) - 10) <= 4)
    assert np.allclose(P, expected / expected.sum(), atol=1e-15)


def test_boundaries():
    """At the edge the kernel's far half falls on mirrored pixels, or on the other end."""
    g = np.exp(-0.5 * (np.arange(-2, 3) / 1.5) ** 2)
    g /= g.sum()
    ends = [degradation(9, np.array([0.0, 8.0]), Gaussian(1.5, 5), name).toarray() for name in
            ("symmetric", "circular")]
    mirrored, wrapped = np.zeros((2, 9))
    mirrored[:3], wrapped[[7, 8, 0, 1, 2]] = [g[2] + g[1], g[3] + g[0], g[4]], g
    assert np.allclose(ends[0], [mirrored, mirrored[::-1]]) and np.allclose(ends[1], [wrapped, wrapped[::-1]])


def test_boxes_count_pixels_by_the_share_that_they_cover():
    for size, centre, expected in ((4, 4.5, [0, 0, 0, 1, 1, 1, 1, 0]), (2.5, 4, [0, 0, 0, 0.75, 1, 0.75, 0, 0]),
                                   (0.5, 3.4, [0, 0, 0, 0.35, 0.15, 0, 0, 0]),
                                   (3, 4.25, [0, 0, 0, 0.75, 1, 1, 0.25, 0])):
        row = degradation(8, np.array([centre]), Box(size)).toarray()[0]
        assert np.allclose(row, np.array(expected) / size), size


def test_a_gaussian_of_a_width_has_it_and_is_cut_where_nothing_is_left():
    psf = Gaussian.of_width(6)
    assert psf.width == pytest.approx(6) and psf.weights(3.0) == pytest.approx(0.5)
    x = np.arange(-100, 101)
    assert psf.weights(x).sum() == pytest.approx(np.exp(-0.5 * (x / psf.sigma) ** 2).sum(), rel=1e-4)


def test_a_tuple_of_kernels_is_for_rows_then_columns():
    Z, P3, c = np.ones((5, 8, 8)), response(3, 5), centred(8, 2)
    made = Pair.of(Z[:, :4, :4], Z[:3], P3, c, c, (Box(2), Gaussian.of_width(3)))
    assert np.array_equal(made.P1.toarray(), degradation(8, c, Box(2)).toarray())
    assert np.array_equal(made.P2.toarray(), degradation(8, c, Gaussian.of_width(3)).toarray())


def test_printed_kernel_of_appendix_c():
    assert Gaussian.printed(9).sigma == pytest.approx(9 * np.sqrt(2 * np.log(2)) / 4) == pytest.approx(2.649, abs=1e-3)


def test_unknown_boundaries_and_empty_kernels_are_refused():
    with pytest.raises(ValueError, match="boundary is 'zero'"):
        degradation(9, centred(9, 3), Box(3), "zero")
    with pytest.raises(ValueError, match="wider"):
        degradation(9, np.array([1.5]), Gaussian(0.01, 3))


def pair(seed=0, I=8, J=6, K=5, ratio=2):
    return observe(np.random.default_rng(seed).random((K, I, J)), ratio, 3, noise=0.1)


def test_spread_is_the_adjoint_of_degrade():
    made, rng = pair(), np.random.default_rng(1)
    X, Y = rng.random((4, 8, 6)), rng.random((4, 4, 3))
    assert np.sum(made.degrade(X) * Y) == pytest.approx(np.sum(X * made.spread(Y)), rel=1e-12)


def test_degrade_applies_both_matrices_in_any_order():
    made, X = pair(), np.random.default_rng(1).random((4, 8, 6))
    P1, P2 = made.P1.toarray(), made.P2.toarray()
    assert np.allclose(made.degrade(X), np.einsum("ai,nij,bj->nab", P1, X, P2))


def test_factor_equation_is_solved():
    made, rng = pair(), np.random.default_rng(2)
    X2, X4 = (B @ B.T for B in rng.random((2, 4, 5)))
    X5 = rng.random((8, 4))
    A = along(made.rows, X2, X4, X5)
    P = made.P1.toarray()
    residual = P.T @ P @ A @ X2 + A @ X4 - X5
    assert np.abs(residual).max() < 1e-8 * np.abs(X5).max()


def test_scene_equation_agrees_with_a_dense_kronecker_solve():
    made, rng = pair(), np.random.default_rng(3)
    G1, G2 = (B @ B.T for B in rng.random((2, 3, 5)))
    R = rng.random((3, 8, 6))
    X = across(made.rows, made.columns, G1, G2, R)
    P1, P2 = made.P1.toarray(), made.P2.toarray()
    dense = np.kron(G1, np.kron(P1.T @ P1, P2.T @ P2)) + np.kron(G2, np.eye(48))
    assert np.allclose(X.ravel(), np.linalg.solve(dense, R.ravel()), rtol=0, atol=1e-8 * np.abs(X).max())


def test_scaled_pair_keeps_the_response():
    Z, _, _ = natural()
    made, s_H, s_M = observe(Z).scaled()
    assert np.quantile(made.Y_H, 0.999, axis=1) == pytest.approx(1)
    fine = Z / s_H[:, None, None]
    assert np.allclose(np.tensordot(made.P3, fine, 1), made.msi)


def test_bands_without_values_are_not_scaled():
    assert np.array_equal(scales(np.array([[0.0, 0, 0], [-1, -2, -1], [2, 2, 2]])), [1, 1, 2])


def test_all_that_has_units_is_rescaled():
    made, rng = pair(), np.random.default_rng(0)
    found = Fused(rng.random((5, 2)), rng.random((2, 8, 6)), endmembers=rng.random((5, 2)),
                  changed_endmembers=rng.random((3, 2)), abundances=rng.random((2, 8, 6)),
                  variability=rng.random((3, 8, 6)))
    _, s_H, s_M = made.scaled()
    back = found.rescaled(s_H, s_M)
    assert np.allclose(back.cube(), found.cube() * s_H[:, None, None])
    assert np.array_equal(back.endmembers, found.endmembers * s_H[:, None])
    assert np.array_equal(back.changed_endmembers, found.changed_endmembers * s_M[:, None])
    assert np.array_equal(back.variability, found.variability * s_M[:, None, None])
    assert np.array_equal(back.abundances, found.abundances)
    assert Fused(found.basis, found.coefficients).rescaled(s_H, s_M).variability is None


def test_pairs_that_do_not_belong_together_are_refused():
    Z, P3, c = np.ones((5, 8, 8)), response(3, 5), centred(8, 2)
    with pytest.raises(ValueError, match="do not belong"):
        Pair.of(Z[:, :4, :4], Z[:3], P3[:2], c, c, Box(2))
    with pytest.raises(ValueError, match="fewer than"):
        Pair.of(Z, Z[:3, :4, :4], P3, centred(8, 1), centred(8, 1), Box(1))
    with pytest.raises(ValueError, match="finite"):
        Pair.of(Z[:, :4, :4] * np.nan, Z[:3], P3, c, c, Box(2))
    for wrong in (0, np.nan):
        with pytest.raises(ValueError, match="MSI band 2 "):
            Pair.of(Z[:, :4, :4], Z[:3], P3 * np.array([[1], [wrong], [1]]), c, c, Box(2))
    with pytest.raises(ValueError, match="rise"):
        Pair.of(Z[:, :4, :4], Z[:3], P3, c[::-1], c, Box(2))


@pytest.mark.parametrize("side", [-1, 1])
def test_centres_may_lie_two_pixels_outside_and_not_further(side):
    """As many as an estimated shift may move them; further off, mirrored ground would be made up."""
    Z, P3, c = np.ones((5, 8, 8)), response(3, 5), centred(8, 2)
    Pair.of(Z[:, :4, :4], Z[:3], P3, c + side * 4, c, Box(2))
    with pytest.raises(ValueError, match="columns lie up to 2.6 of its pixels outside"):
        Pair.of(Z[:, :4, :4], Z[:3], P3, c, c + side * 6.2, Box(2))


def test_fuse_is_where_the_gradient_vanishes():
    made = pair(K=5)
    found = fuse(made, rank=4, prior=0.01, balance=2.0)
    E, X = found.basis, found.coefficients
    gradient = (made.spread(np.tensordot(E.T, np.tensordot(E, made.degrade(X), 1) - made.hsi, 1))
                + 2.0 * np.tensordot((made.P3 @ E).T, np.tensordot(made.P3 @ E, X, 1) - made.msi, 1)
                + 0.01 * (X - made.upsample(np.tensordot(E.T, made.hsi, 1))))
    assert np.abs(gradient).max() < 1e-10


def test_fuse_without_blur_is_ridge_regression():
    Z, _, _ = natural(K=6, I=7, J=9, R=3)
    made = observe(Z, 1, 3, Box(1), noise=0.1)
    found = fuse(made, 3, prior=0.1, balance=2.0)
    E = np.linalg.svd(made.Y_H)[0][:, :3]
    RE, low = made.P3 @ E, E.T @ made.Y_H
    X = np.linalg.solve(1.1 * np.eye(3) + 2 * RE.T @ RE, 1.1 * low + 2 * RE.T @ made.Y_M)
    assert relative((E @ X).reshape(Z.shape), found.cube()) < 1e-9
    assert relative(made.hsi, found.cube()) > 0.01


def test_fuse_refuses_what_is_out_of_range():
    for wrong, said in (({"rank": 0}, "1 or more"), ({"prior": 0}, "interpolated HSI is 0"), ({"balance": -1}, "MSI")):
        with pytest.raises(ValueError, match=said):
            fuse(pair(), **wrong)


def test_fuse_beats_interpolation():
    Z, _, _ = natural()
    made = observe(Z, noise=0.01)
    assert snr(Z, fuse(made).cube()) > snr(Z, made.upsample(made.hsi)) + 6


def test_spectra_that_are_all_alike_are_a_sentence():
    from subpixel.algorithms.fusion.start import explaining
    Y = np.outer(np.linspace(1, 2, 10), np.linspace(1, 3, 40))
    with pytest.raises(ValueError, match="^The spectra of the HSI span 1 dimensions.*[.]$"):
        explaining(Y, 3, 0)
