"""Endmembers that differ from pixel to pixel keep to their model, and the scene is the mixture of exactly them."""

import numpy as np
import pytest

from subpixel.algorithms.simulate.scene import dirichlet_abundances
from subpixel.algorithms.simulate.variability import (_cosines, albedo, bundle_means, bundles, hapke,
                                                      piecewise_linear, reflectance, scaling, simulate_varying,
                                                      sky_over_sun, smooth_bands, viewing_geometry)
from subpixel.algorithms.variability.pixel_endmembers import departure, mixtures

L, P, ROWS, COLS = 60, 3, 40, 50
N = ROWS * COLS
NM = np.linspace(400, 2400, L)
M0 = np.random.default_rng(8).uniform(0.1, 0.7, (L, P))
LIBRARY = np.repeat(M0, 4, axis=1) * np.linspace(0.8, 1.2, 12)
MATERIAL = np.repeat(np.arange(P), 4)

GENERATORS = {   # M_n of a seed, and of a seed and an amplitude of zero
    "scaling": lambda rng, **given: scaling(M0, ROWS, COLS, rng, length=5, **given),
    "piecewise": lambda rng, **given: piecewise_linear(M0, N, rng, **given),
    "bands": lambda rng, **given: smooth_bands(M0, ROWS, COLS, rng, length=8, band_length=20, **given),
    "atmosphere": lambda rng, **given: viewing_geometry(M0, NM, N, rng, **given),
    "hapke": lambda rng, **given: hapke(M0, ROWS, COLS, rng, length=5, **given),
    "bundles": lambda rng: bundles(LIBRARY, MATERIAL, N, rng)}
ZERO = {"scaling": {"amount": 0}, "piecewise": {"amount": 0}, "bands": {"amount": 0}, "atmosphere": {"most_degrees": 0},
        "hapke": {"steepest": 0}}


def made(name, seed=1, **given):
    return GENERATORS[name](np.random.default_rng(seed), **given)


@pytest.fixture
def rng():
    return np.random.default_rng(3)


@pytest.mark.parametrize("name", ZERO)
def test_without_amplitude_every_pixel_has_the_reference_and_the_scene_is_its_mixture(name, rng):
    A = dirichlet_abundances(P, N, rng)
    M_n = made(name, **ZERO[name])
    np.testing.assert_allclose(M_n, np.broadcast_to(M0.T[:, :, None], (P, L, N)), rtol=1e-13)
    np.testing.assert_allclose(mixtures(M_n, A), M0 @ A, rtol=1e-13)


def test_bundles_of_one_spectrum_each_are_the_reference(rng):
    M_n = bundles(M0, [0, 1, 2], 7, rng)
    assert np.array_equal(M_n, np.repeat(M0.T[:, :, None], 7, axis=2))


@pytest.mark.parametrize("name", GENERATORS)
def test_endmembers_vary_stay_positive_and_come_back_with_their_seed(name):
    M_n = made(name)
    assert M_n.shape == (P, L, N) and M_n.min() > 0
    assert (departure(M_n, M0).max(axis=1) > 0.05).all()
    assert np.array_equal(M_n, made(name)) and not np.array_equal(M_n, made(name, seed=2))


@pytest.mark.parametrize("name", set(GENERATORS) - {"atmosphere"})
def test_endmembers_vary_about_the_reference(name):
    reference = bundle_means(LIBRARY, MATERIAL) if name == "bundles" else M0
    np.testing.assert_allclose(made(name).mean(axis=2) / reference.T, 1, atol=0.06)


@pytest.mark.parametrize("name", GENERATORS)
def test_float32_endmembers_give_a_float32_array_of_the_same_values(name, monkeypatch):
    exact = made(name)
    monkeypatch.setitem(globals(), "M0", M0.astype(np.float32))
    monkeypatch.setitem(globals(), "LIBRARY", LIBRARY.astype(np.float32))
    single = made(name)
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, exact, rtol=1e-5)


def test_each_pixel_is_mixed_of_its_own_endmembers(rng):
    M_n, A = rng.random((P, L, 9)), rng.random((P, 9))
    expected = np.stack([M_n[:, :, n].T @ A[:, n] for n in range(9)], axis=1)
    np.testing.assert_allclose(mixtures(M_n, A), expected, rtol=1e-13)


def test_departure_is_the_norm_of_the_difference_over_that_of_the_reference():
    M_n = np.stack([M0.T, 1.3 * M0.T], axis=2)
    np.testing.assert_allclose(departure(M_n, M0), [[0, 0.3]] * P, atol=1e-12)


def test_a_scene_has_the_snr_asked_for_and_its_seeds_abundances_whatever_the_variability():
    def scene(name, snr_db):
        return simulate_varying(M0, ROWS, COLS, np.random.default_rng(5), GENERATORS[name], snr_db, model="fields")
    Y, A, M_n = scene("scaling", 30)
    X = mixtures(M_n, A)
    assert 10 * np.log10(np.sum(X**2) / np.sum((Y - X) ** 2)) == pytest.approx(30, abs=0.1)
    assert np.array_equal(Y, scene("scaling", 30)[0])
    assert np.array_equal(A, scene("piecewise", None)[1])


def test_scaling_factors_are_uniform_within_their_range_one_for_all_bands_and_smooth():
    factors = made("scaling", amount=0.4) / M0.T[:, :, None]
    assert np.ptp(factors, axis=1).max() < 1e-12
    image = factors[:, 0].reshape(P, ROWS, COLS)
    assert 0.6 <= image.min() < 0.62 and 1.38 < image.max() <= 1.4
    assert image.std() == pytest.approx(0.4 / np.sqrt(3), rel=0.1)
    smoother = scaling(np.ones((1, P)), ROWS, COLS, np.random.default_rng(1), 0.4).reshape(P, ROWS, COLS)
    assert np.diff(smoother, axis=2).std() < 0.3 * smoother.std()


def test_piecewise_factors_are_two_segments_that_meet_behind_the_middle():
    factors = made("piecewise", amount=0.25) / M0.T[:, :, None]
    bend = np.abs(np.diff(factors, 2, axis=1)) > 1e-9
    assert (bend.sum(axis=1) == 1).all()
    breaks = 2 + bend.argmax(axis=1)   # counted from 1
    assert breaks.min() == L // 2 and breaks.max() == L // 2 + L // 3 - 1
    assert 0.875 <= factors.min() < 0.876 and 1.124 < factors.max() <= 1.125


@pytest.mark.parametrize("bands", [2, 3, 4])
def test_piecewise_factors_of_a_few_bands_keep_their_range(bands, rng):
    factors = piecewise_linear(M0[:bands], 500, rng, 0.2) / M0[:bands].T[:, :, None]
    assert 0.9 - 1e-12 <= factors.min() and factors.max() <= 1.1 + 1e-12


def test_band_factors_have_their_spread_and_their_correlation_in_space_and_over_the_bands():
    z = made("bands", amount=0.1) / M0.T[:, :, None] - 1
    z = z.reshape(P, L, ROWS, COLS) / 0.1
    assert z.var() == pytest.approx(1, abs=0.15)
    assert np.mean(z[:, 5:] * z[:, :-5]) / z.var() == pytest.approx(np.exp(-(2 * 5 / 20) ** 2), abs=0.1)
    assert np.mean(z[..., 2:] * z[..., :-2]) / z.var() == pytest.approx(np.exp(-(2 * 2 / 8) ** 2), abs=0.1)
    assert abs(np.mean(z[..., 12:] * z[..., :-12])) < 0.15


def test_light_from_the_sky_alone_is_left_where_the_sun_does_not_reach():
    f = made("atmosphere", most_degrees=90) / M0.T[:, :, None]
    q = sky_over_sun(NM)
    assert f.max() <= 1
    np.testing.assert_allclose(f.min(axis=2), np.broadcast_to(q / (1 + q), (P, L)), atol=2e-3)
    cosine = f[0] * (1 + q[:, None]) - q[:, None]   # one angle for all bands and endmembers of a pixel
    assert np.ptp(cosine, axis=0).max() < 1e-12 and np.array_equal(f[0] > 0.9, f[1] > 0.9)
    np.testing.assert_allclose(sky_over_sun([300, 400, 1000, 2500]), [4.1, 4.1, 0.42, 0.16])


def test_albedo_is_the_inverse_of_reflectance_and_a_white_target_is_white():
    omega, mu, mu0 = np.meshgrid(np.linspace(0, 1, 21), [0.2, 0.7, 1], [0.05, 0.5, 1])
    np.testing.assert_allclose(albedo(reflectance(omega, mu, mu0), mu, mu0), omega, atol=1e-12)
    assert reflectance(1.0, 0.3, 0.8) == 1


def test_terrain_has_its_steepest_slope_and_shows_it_under_every_sun():
    """The same terrain under four suns: one at the zenith tells mu, as mu0 = mu; then the others tell their mu0."""
    def factor(zenith, azimuth):
        M_n = hapke(M0, ROWS, COLS, np.random.default_rng(1), 30, zenith, azimuth, shading=False)
        omega = albedo(M0[0, 0], 1, np.cos(np.radians(zenith)))
        return omega / M_n[0, 0], np.sqrt(1 - omega)
    both, t = factor(0, 0)
    mu = (np.sqrt(both) - 1) / (2 * t)
    assert np.degrees(np.arccos(mu.min())) == pytest.approx(30) and mu.max() <= 1
    mu0 = []
    for azimuth in (10, 190):
        both, t = factor(50, azimuth)
        mu0.append((both / (1 + 2 * mu * t) - 1) / (2 * t))
    assert np.min(mu0) >= np.cos(np.radians(80)) and np.ptp(mu0) > 0.3
    np.testing.assert_allclose(mu0[0] + mu0[1], 2 * mu * np.cos(np.radians(50)))   # opposite suns


def test_shading_is_the_sun_s_cosine_over_that_of_level_ground():
    """A white target shows nothing else."""
    white = np.full((3, 1), 1 - 1e-12)
    shaded, corrected = (hapke(white, ROWS, COLS, np.random.default_rng(1), 30, 0, shading=shading)[0, 0]
                         for shading in (True, False))
    np.testing.assert_allclose(corrected, 1, atol=1e-5)
    assert np.degrees(np.arccos(shaded.min())) == pytest.approx(30, abs=1e-3) and shaded.max() <= 1


@pytest.mark.parametrize("right, down, azimuth", [(1, 0, 270), (-1, 0, 90), (0, 1, 0), (0, -1, 180)])
def test_a_slope_faces_the_sun_from_the_side_that_it_falls_to(right, down, azimuth):
    slope = np.radians(30)
    mu, mu0 = _cosines(np.tan(slope) * np.array([right]), np.tan(slope) * np.array([down]), slope, np.radians(azimuth))
    assert mu0 == pytest.approx(1) and mu == pytest.approx(np.cos(slope))


def test_each_pixel_of_a_bundle_draws_each_spectrum_of_a_material_about_as_often():
    M_n = made("bundles")
    for k in range(P):
        hits = [(M_n[k] == LIBRARY[:, [column]]).all(axis=0).sum() for column in np.flatnonzero(MATERIAL == k)]
        assert sum(hits) == N and min(hits) > 0.8 * N / 4


@pytest.mark.parametrize("attempt, sentence", [
    (lambda rng: scaling(M0, 4, 4, rng, amount=1), "at least 0 and below 1"),
    (lambda rng: scaling(M0, 4, 4, rng, length=0), "length is 0 pixels"),
    (lambda rng: piecewise_linear(M0, 4, rng, amount=2), "below 2"),
    (lambda rng: smooth_bands(M0, 4, 4, rng, amount=-0.1), "amount of variability is -0.1"),
    (lambda rng: smooth_bands(M0, 4, 4, rng, band_length=0), "over the bands is 0 bands"),
    (lambda rng: viewing_geometry(M0, NM, 4, rng, 91), "between 0 and 90"),
    (lambda rng: viewing_geometry(M0, NM / 1000, 4, rng), "in nanometres"),
    (lambda rng: hapke(100 * M0, 4, 4, rng), "reflectance from 0 to below 1.*Scale them"),
    (lambda rng: hapke(M0, 4, 4, rng, steepest=50), "lies in shadow"),
    (lambda rng: bundles(M0, [0, 2, 2], 4, rng), "without 1: number them from 0"),
])
def test_what_cannot_vary_so_is_a_sentence(attempt, sentence, rng):
    with pytest.raises(ValueError, match=sentence):
        attempt(rng)
