"""CUR-HU: the paper's figures on Samson and on a noise-free scene, and the same from a stream."""

import numpy as np
import pytest
from scipy.io import loadmat

from subpixel.algorithms.blind.curhu import curhu
from subpixel.algorithms.check.metrics import match, rmse, sad
from subpixel.algorithms.pixels import moments
from subpixel.algorithms.simulate.scene import add_noise, dirichlet_abundances, gaussian_field_abundances


def errors(result, Y, M, A):
    """SAD and RMSE per material, after the best assignment."""
    order = match(M, result.C)
    return sad(M, result.C[:, order]), rmse(A, result.abundances(Y)[order])


@pytest.fixture(scope="module")
def samson(scenes):
    """Y, reference endmembers and reference abundances, pixels in row-major order."""
    folder = scenes / "samson"
    Y = np.fromfile(folder / "samson_1.img", dtype="<i2").reshape(156, -1)
    reference = loadmat(folder / "end3.mat")
    return Y, reference["M"], reference["A"].reshape(3, 95, 95).transpose(0, 2, 1).reshape(3, -1)


PUBLISHED = {"none": ([0.2189, 0.2765, 0.1267], 0.2073),
             "anc": ([0.2189, 0.2764, 0.0950], 0.1968),
             "anc+asc": ([0.1217, 0.1040, 0.1676], 0.1311)}


@pytest.mark.parametrize("constraints", PUBLISHED)
def test_table_4_comes_out_to_every_digit(samson, constraints):
    Y, M, A = samson
    angle, error = errors(curhu(Y, 3, denoise=False, constraints=constraints), Y, M, A)
    each, mean = PUBLISHED[constraints]
    assert np.round(angle, 4).tolist() == [0.0404, 0.0219, 0.1189] and round(angle.mean(), 4) == 0.0604
    assert np.round(error, 4).tolist() == each and round(error.mean(), 4) == mean


def test_table_4_with_noise_removal(samson):
    Y, M, A = samson
    angle, error = errors(curhu(Y, 3, constraints="anc+asc"), Y, M, A)
    assert round(angle.mean(), 4) == 0.0610 and round(error.mean(), 4) == 0.1300


def test_samsons_pixels_and_bands(samson):
    found = curhu(samson[0], 3, denoise=False)
    assert [divmod(int(j), 95) for j in found.pixels] == [(49, 41), (69, 29), (0, 2)]
    assert found.bands.tolist() == [145, 90, 45]


def noise_free(P=3, L=224, seed=0):
    rng = np.random.default_rng(seed)
    M = rng.uniform(0.05, 1.0, (L, P))
    A = gaussian_field_abundances(P, 64, 64, rng, pure_pixels=True)
    return M @ A, M, A


@pytest.mark.parametrize("constraints", ["none", "anc", "anc+asc"])
def test_table_3_a_noise_free_scene_with_pure_pixels_is_unmixed_exactly(scenes, constraints):
    library = loadmat(scenes / "libraries" / "USGS_1995_Library.mat")
    names = ["".join(map(chr, row.astype(int))).strip() for row in library["names"]]
    M = library["datalib"][:, [names.index(name) for name in
                               ("Carbon_Black GDS68 sm.ap.", "Clintonite NMNH126553", "Sodium_Bicarbonate GDS55")]]
    A = gaussian_field_abundances(3, 64, 64, np.random.default_rng(0), pure_pixels=True)
    angle, error = errors(curhu(M @ A, 3, denoise=False, constraints=constraints), M @ A, M, A)
    assert angle.max() < 1e-7
    assert error.max() < 1e-12


@pytest.mark.parametrize("options", [{"middle": "intersection"}, {"singular_vectors": "iqr"}])
def test_every_variant_is_exact_without_noise(options):
    Y, M, A = noise_free(P=5)
    angle, error = errors(curhu(Y, 5, denoise=False, **options), Y, M, A)
    assert angle.max() < 1e-7 and error.max() < 1e-12


def test_noise_removal_spoils_a_noise_free_scene_hardly():
    Y, M, A = noise_free()
    angle, error = errors(curhu(Y, 3), Y, M, A)
    assert angle.max() < 1e-7 and error.max() < 1e-7


def test_nearly_collinear_endmembers_cost_no_accuracy():
    """The condition of R is about 1e5 here: normal equations alone would lose ten digits."""
    Y, M, A = noise_free(P=3)
    M[:, 2] = M[:, 1] + 1e-4 * M[:, 2]
    found = curhu(M @ A, 3, denoise=False)
    assert np.linalg.norm(M @ A - found.C @ found.abundances(M @ A)) < 1e-11 * np.linalg.norm(M @ A)


def noisy(P=4, seed=1):
    rng = np.random.default_rng(seed)
    M = rng.uniform(0.05, 1.0, (50, P))
    return add_noise(M @ dirichlet_abundances(P, 3000, rng), 30, rng)


@pytest.mark.parametrize("denoise", [True, False])
def test_U_is_the_best_middle_matrix(denoise):
    Y = noisy()
    found = curhu(Y, 4, denoise=denoise)
    R = found.T @ Y
    np.testing.assert_allclose(found.U, np.linalg.pinv(found.C) @ Y @ np.linalg.pinv(R), rtol=1e-9)
    if not denoise:
        assert np.array_equal(found.C, Y[:, found.pixels]) and np.allclose(R, Y[found.bands])


def test_intersection_reproduces_the_chosen_rows_and_columns():
    Y = noisy()
    found = curhu(Y, 4, denoise=False, middle="intersection")
    approximation = found.C @ found.abundances(Y)
    np.testing.assert_allclose(approximation[found.bands], Y[found.bands], atol=1e-10)
    np.testing.assert_allclose(approximation[:, found.pixels], Y[:, found.pixels], atol=1e-10)


@pytest.mark.parametrize("singular_vectors", ["exact", "iqr"])
def test_a_stream_gives_the_same_as_an_array(singular_vectors):
    Y = noisy()
    stream = [Y[:, i:i + 700] for i in range(0, Y.shape[1], 700)]
    one = curhu(Y, 4, singular_vectors=singular_vectors)
    other = curhu(stream, 4, singular_vectors=singular_vectors, moments=moments(stream))
    assert np.array_equal(one.pixels, other.pixels) and np.array_equal(one.bands, other.bands)
    np.testing.assert_allclose(one.U, other.U, rtol=1e-8)
    np.testing.assert_allclose(one.C, other.C, rtol=1e-10)


def test_integers_and_float32_give_the_same_as_float64():
    Y = np.round(1e4 * noisy()).astype(np.int16)
    one = curhu(Y.astype(np.float64), 4)
    for kind in (np.int16, np.float32):
        other = curhu(Y.astype(kind), 4)
        assert np.array_equal(one.pixels, other.pixels)
        np.testing.assert_allclose(one.U, other.U, rtol=1e-8)


def test_constraints_hold_and_an_empty_pixel_is_nodata():
    Y = noisy()
    Y = np.hstack([Y, np.zeros((50, 1))])
    anc = curhu(Y, 4, constraints="anc").abundances(Y)
    assert anc.min() == 0.0 and (anc[:, -1] == 0).all()
    both = curhu(Y, 4, constraints="anc+asc").abundances(Y)
    assert both[:, :-1].min() == 0.0
    np.testing.assert_allclose(both[:, :-1].sum(axis=0), 1.0)
    assert np.isnan(both[:, -1]).all()


@pytest.mark.parametrize("P, options, sentence", [
    (1, {}, "at least 2 endmembers; 1"),
    (300, {}, "Ask for at most 224"),
    (4, {"denoise": False}, "spans 3 dimensions only, too few for 4 endmembers. Ask for at most 3"),
    (4, {}, "spans 3 dimensions only"),
    (4, {"denoise": False, "singular_vectors": "iqr", "tol": 0.01}, "lower the tolerance"),
    (3, {"middle": "best"}, "middle is 'best'"),
    (3, {"constraints": "ASC"}, "constraints is 'ASC'"),
    (3, {"singular_vectors": "svd"}, "singular_vectors is 'svd'"),
])
def test_what_cannot_be_done_is_a_sentence(P, options, sentence):
    with pytest.raises(ValueError, match=sentence):
        curhu(noise_free()[0], P, **options)


@pytest.mark.parametrize("spectrum", [np.zeros((20, 1)), np.ones((20, 1))])
def test_a_scene_of_one_spectrum_is_a_sentence(spectrum):
    with pytest.raises(ValueError, match="nothing to unmix"):
        curhu(spectrum * np.linspace(1, 2, 100), 2, denoise=False)


def test_values_that_are_not_finite_are_a_sentence():
    Y = noisy()
    Y[3, 5] = np.nan
    with pytest.raises(ValueError, match="not finite"):
        curhu(Y, 3, denoise=False)
