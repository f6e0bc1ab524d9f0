"""DeepGUn: autoencoders of each material's spectra, and unmixing with what they generate."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from variable_scenes import error, fields, smooth_maps, smooth_spectra

torch = pytest.importorskip("torch")

from subpixel.algorithms.abundances.fcls import fcls
from subpixel.algorithms.abundances.products import products
from subpixel.algorithms.variability import deepgun as module
from subpixel.algorithms.variability.autoencoder import Autoencoder, Decoders, hidden_widths, train
from subpixel.algorithms.variability.deepgun import deepgun, learn, pure_pixels
from subpixel.algorithms.variability.spatial import TotalVariation, abundance_step

SHAPE = (20, 24)
L, P, N = 30, 3, SHAPE[0] * SHAPE[1]
M0, A = smooth_spectra(L), fields(shape=SHAPE)
FAITHFUL = dict(epochs=200, fidelity=1000)
ALONE = dict(lambda_a=0)   # every pixel by itself


def varied(M, n, seed=0):
    """Spectra (L, n) of each material, brighter or darker and tilted."""
    rng = np.random.default_rng(seed)
    x = np.linspace(-1, 1, len(M))[:, None]
    return [m[:, None] * rng.uniform(0.8, 1.2, n) * (1 + 0.15 * x * rng.uniform(-1, 1, n)) for m in M.T]


BUNDLES = varied(M0, 60)


@cache
def trained():
    return learn(BUNDLES, M0, **FAITHFUL)


@cache
def own_data():
    """Pixels of the model itself, without noise, and their latent numbers."""
    z = trained().z_ref[:, :, None] + smooth_maps(2 * P, SHAPE, -0.8, 0.8).reshape(P, 2, N)
    return np.einsum("pln,pn->ln", trained().spectra(z), A), z


def noisy():
    return own_data()[0] + 0.002 * np.random.default_rng(3).standard_normal((L, N))


def spread(bundle, centre):
    return np.sqrt(np.mean((bundle - centre) ** 2))


def test_hidden_layers_are_those_of_the_paper():
    assert hidden_widths(156) == [193, 42, 16] and hidden_widths(10) == [17, 7, 3]


@pytest.mark.parametrize("k", range(P))
def test_an_autoencoder_makes_its_own_spectra_again(k):
    """Nearer than by half of what the mean spectrum leaves."""
    X = torch.as_tensor(BUNDLES[k].T, dtype=torch.float32)
    model = train(X, **FAITHFUL)
    again = model.decode(model.encode(X)[0]).numpy().T
    assert spread(BUNDLES[k], again) < 0.5 * spread(BUNDLES[k], BUNDLES[k].mean(axis=1, keepdims=True))


def test_fifty_epochs_suffice_for_a_dark_material():
    """As published otherwise, and no reconstruction is farther than the spectra are from their mean."""
    bundles = [0.04 * BUNDLES[0], *BUNDLES[1:]]
    made = learn(bundles, np.column_stack([0.04 * M0[:, 0], M0[:, 1:]]))
    for bundle, reference in zip(bundles, made.spectra(made.z_ref[:, :, None])[:, :, 0]):
        assert spread(bundle.mean(axis=1), reference) < spread(bundle, bundle.mean(axis=1, keepdims=True))


def test_with_the_published_weight_similar_spectra_hardly_vary():
    """The cross-entropy takes what sets them apart for noise; by default they do vary."""
    own, published = learn(BUNDLES, M0, fidelity=1).spread.T
    np.testing.assert_allclose(own, [module.variation(bundle) for bundle in BUNDLES], rtol=1e-6)
    assert (published < 0.02 * own).all()
    assert (learn(BUNDLES, M0).spread[:, 1] > 0.4 * own).all() and (trained().spread[:, 1] > 0.8 * own).all()


def test_variation_is_relative_to_the_mean():
    assert module.variation(np.array([[2.0, 4.0], [3.0, 3.0]])) == pytest.approx((1 / 18)**0.5)


def test_by_default_materials_vary_and_abundances_gain():
    """Brightness of +-20 % and tilts of +-15 %, from the scene's own pure pixels."""
    truth = fields(shape=(40, 40))
    scene = np.einsum("pln,pn->ln", np.stack(varied(M0, 1600, seed=5)), truth)
    found = deepgun(scene, M0, (40, 40))
    for k, M in enumerate(found.endmembers(slice(None))):
        assert module.variation(M[:, truth[k] > 0.5]) > 0.015
    assert error(found.A, truth) < 0.9 * error(fcls(scene, M0).A, truth)


def test_without_variation_nothing_departs_from_the_reference():
    """Though what the generators make of it is not the reference exactly."""
    found = deepgun(noisy(), M0, SHAPE, generator=trained(), lambda_z=1e9, iterations=1)
    assert found.departure().max() < 1e-6 < 1e-3 < error(found.reference, M0)


def test_torch_gets_its_threads_back():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with pytest.raises(ValueError), module.one_thread_each():
            assert torch.get_num_threads() == 1
            raise ValueError
        deepgun(noisy(), M0, SHAPE, generator=trained(), iterations=1)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_the_global_random_numbers_are_left_alone():
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    learn(BUNDLES, M0, epochs=1)
    assert torch.equal(torch.rand(3), expected)


def test_decoders_as_one_are_the_autoencoders_one_by_one():
    models = [train(bundle.T, epochs=2) for bundle in BUNDLES]
    z = torch.randn(P, 5, 2, generator=torch.Generator().manual_seed(1))
    for model, one, made in zip(models, z, Decoders.of(models).spectra(z)):
        assert isinstance(model, Autoencoder) and torch.allclose(model.decode(one), made, atol=1e-6)


def test_derivatives_agree_with_finite_differences():
    decoders, step = trained().decoders.to(torch.float64), 1e-6
    z = torch.randn(P, 9, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    f, J = decoders.jets(z)
    assert torch.allclose(f, decoders.spectra(z), atol=1e-14) and J.abs().max() > 0.01
    for h, direction in enumerate(torch.eye(2, dtype=torch.float64)):
        slope = (decoders.spectra(z + step * direction) - decoders.spectra(z - step * direction)) / (2 * step)
        assert torch.allclose(J[:, :, h], slope, atol=1e-8)


def latent_problem(data, weight=0.1):
    problem = module.begin(data, M0, SHAPE)
    return module._Latent(problem, replace(trained(), scale=trained().scale / problem.scale), weight)


def expansion(latent, z):
    return latent._expansion(latent._tensor(z).permute(2, 0, 1), latent._tensor(latent._problem.Y).mT,
                             latent._tensor(A).mT)


def test_the_gradient_of_a_pixels_cost_agrees_with_finite_differences():
    latent = latent_problem(noisy())
    z, move, step = own_data()[1], np.random.default_rng(0).standard_normal((P, 2, N)), 1e-6
    ahead, behind = (expansion(latent, z + sign * step * move)[0] for sign in (1, -1))
    along = (expansion(latent, z)[1].reshape(N, P, 2) * latent._tensor(move).permute(2, 0, 1)).sum(dim=(1, 2))
    np.testing.assert_allclose(along, (ahead - behind) / (2 * step), atol=1e-6)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_the_latent_step_raises_no_pixels_cost(dtype):
    latent = latent_problem(noisy().astype(dtype))
    before = expansion(latent, latent.z)[0]
    assert latent.improve(A) > 0.01
    after = expansion(latent, latent.z)[0]
    assert (after <= before * (1 + 10 * np.finfo(dtype).eps)).all() and after.sum() < 0.8 * before.sum()


def test_the_latent_step_ends_where_the_gradient_vanishes():
    latent = latent_problem(noisy())
    before = expansion(latent, latent.z)[1].norm(dim=1)
    for _ in range(3):
        latent.improve(A)
    assert expansion(latent, latent.z)[1].norm(dim=1).median() < 1e-2 * before.median()


def test_recovers_its_own_data():
    """Without noise, with the generators that made it."""
    Y = own_data()[0]
    found = deepgun(Y, M0, SHAPE, generator=trained(), lambda_z=1e-4, iterations=60, tolerance=1e-4, **ALONE)
    assert error(found.A, A) < 1e-2 < 0.5 * error(fcls(Y, M0).A, A)
    assert np.linalg.norm(found.reconstruction() - Y) < 2e-3 * np.linalg.norm(Y)


def test_with_its_own_generators_it_beats_fixed_endmembers():
    scene = np.einsum("pln,pn->ln", np.stack(varied(M0, N, seed=5)), A)
    found = deepgun(scene, M0, SHAPE, generator=trained())
    assert error(found.A, A) < 0.9 * error(fcls(scene, M0).A, A)


def test_a_strict_reference_leaves_fixed_endmembers():
    Y = noisy()
    fixed = trained().spectra(trained().z_ref[:, :, None].astype(float))[:, :, 0].T
    found = deepgun(Y, M0, SHAPE, generator=trained(), lambda_z=1e9, **ALONE)
    np.testing.assert_allclose(found.endmembers(slice(5)), np.repeat(fixed.T[:, :, None], 5, axis=2), atol=1e-6)
    np.testing.assert_allclose(found.A, fcls(Y, fixed).A, atol=1e-5)
    smooth = deepgun(Y, M0, SHAPE, generator=trained(), lambda_z=1e9, lambda_a=0.05).A
    scale = M0.max()
    step = abundance_step(TotalVariation(0.05, SHAPE), np.full((P, N), 1 / P), SHAPE)
    H, c = np.broadcast_to(fixed.T @ fixed / scale**2, (N, P, P)), products(Y, fixed)[0] / scale**2
    for _ in range(10):
        expected = step(H, c)
    assert error(smooth, expected) < 5e-3 < 0.3 * error(smooth, found.A)


def test_leaves_its_start():
    Y = noisy()
    found = deepgun(Y, M0, SHAPE, generator=trained(), **ALONE)
    assert error(found.A, fcls(Y, M0).A) > 0.01
    assert np.abs(found.z - found.z_ref[:, :, None]).max() > 0.1
    assert found.costs[-1] < 0.8 * found.costs[0]


def test_the_cost_never_rises_with_every_pixel_by_itself():
    costs = deepgun(noisy(), M0, SHAPE, generator=trained(), tolerance=0, **ALONE).costs
    assert len(costs) == 9 and np.all(np.diff(costs) <= 1e-9 * costs[0])


def test_the_same_seed_gives_the_same_result():
    Y = noisy()
    first, second, other = (deepgun(Y, M0, SHAPE, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.A, second.A)
    np.testing.assert_array_equal(first.z, second.z)
    assert not np.array_equal(first.z, other.z)


def test_abundances_lie_on_the_simplex():
    Y = noisy() + 0.1 * np.random.default_rng(4).standard_normal((L, N))
    for weight in (0, 0.05):
        found = deepgun(Y, M0, SHAPE, generator=trained(), lambda_a=weight)
        assert found.A.min() >= 0
        np.testing.assert_allclose(found.A.sum(axis=0), 1, atol=1e-12)
    assert found.endmembers(slice(3, 7)).shape == (P, L, 4) and found.endmembers(slice(0, 50)).min() >= 0
    np.testing.assert_allclose(found.reference, trained().references(), rtol=1e-12)


def test_total_variation_smooths():
    variation = TotalVariation(1.0, SHAPE).cost
    rough, smooth = (variation(deepgun(noisy(), M0, SHAPE, generator=trained(), lambda_a=weight).A)
                     for weight in (0, 0.3))
    assert smooth < 0.9 * rough


@pytest.mark.parametrize("weights", [ALONE, {}])
def test_what_stands_under_the_mask_changes_nothing(weights):
    Y, valid = noisy(), np.ones(N, dtype=bool)
    valid[100:130] = False
    other = Y.copy()
    other[:, ~valid] = np.nan
    first, second = (deepgun(data, M0, SHAPE, valid, iterations=3, **weights) for data in (Y, other))
    np.testing.assert_array_equal(first.A, second.A)
    np.testing.assert_array_equal(second.z[:, :, ~valid], np.repeat(second.z_ref[:, :, None], 30, axis=2))
    np.testing.assert_allclose(second.A.sum(axis=0), 1, atol=1e-12)


def test_permuting_the_materials_permutes_learning_and_result():
    Y, order = noisy(), [2, 0, 1]
    first, second = (deepgun(Y, M, SHAPE, iterations=3) for M in (M0, M0[:, order]))
    np.testing.assert_array_equal(first.z_ref[order], second.z_ref)
    np.testing.assert_allclose(first.A[order], second.A, atol=1e-4)


def test_units_do_not_matter():
    """The generators learn from float32, which a change of units rounds differently."""
    Y = noisy()
    first, second = (deepgun(unit * Y, unit * M0, SHAPE, iterations=5) for unit in (1, 1e4))
    np.testing.assert_allclose(first.A, second.A, atol=1e-3)
    np.testing.assert_allclose(1e4 * first.reconstruction(), second.reconstruction(), rtol=1e-3)
    given = deepgun(1e4 * Y, 1e4 * M0, SHAPE, generator=replace(trained(), scale=1e4 * trained().scale), iterations=5)
    np.testing.assert_allclose(deepgun(Y, M0, SHAPE, generator=trained(), iterations=5).A, given.A, atol=1e-6)


def test_float32_and_integers_give_nearly_the_same():
    Y = np.round(1e4 * noisy())
    given = dict(generator=replace(trained(), scale=1e4 * trained().scale), iterations=5)
    exact, *others = (deepgun(Y.astype(dtype), 1e4 * M0, SHAPE, **given).A for dtype in ("f8", "f4", "i2"))
    np.testing.assert_array_equal(*others)
    assert error(exact, others[0]) < 2e-3


def test_pure_pixels_are_those_of_smallest_angle():
    Y = own_data()[0]
    cosines = (M0 / np.linalg.norm(M0, axis=0)).T @ (Y / np.linalg.norm(Y, axis=0))
    for k, bundle in enumerate(pure_pixels(Y, M0, 20)):
        mine = np.flatnonzero(cosines.argmax(axis=0) == k)
        expected = mine[np.argsort(-cosines[k, mine])[:20]]
        np.testing.assert_array_equal(bundle, Y[:, expected])


@pytest.mark.parametrize("size", [7, 100, 1000])
def test_pure_pixels_of_a_stream_are_those_of_the_array(size):
    Y = own_data()[0]
    stream = [Y[:, start:start + size] for start in range(0, N, size)]
    for ours, theirs in zip(pure_pixels(Y, M0, 40), pure_pixels(stream, M0, 40)):
        np.testing.assert_array_equal(ours, theirs)


def test_no_two_materials_share_a_pixel_and_none_is_empty_or_nan():
    Y = own_data()[0].copy()
    Y[:, :9], Y[3, 9] = 0, np.nan
    found = np.hstack(pure_pixels(Y, M0, N))
    assert found.shape == (L, N - 10) and np.unique(found, axis=1).shape == found.shape


@pytest.mark.parametrize("change, complaint", [
    (dict(bundles=[BUNDLES[0], M0[:, [1]], BUNDLES[2]]), "a single spectrum of endmember 2.*Give more"),
    (dict(bundles=[BUNDLES[0], M0[:, []], BUNDLES[2]], names=["a", "mud", "c"]), "no spectrum of mud"),
    (dict(bundles=[BUNDLES[0][:, :2], *BUNDLES[1:]]), "only 2 spectra of endmember 1"),
    (dict(bundles=BUNDLES[:2]), "2 materials for 3"), (dict(bundles=[b[:9] for b in BUNDLES]), "resample"),
    (dict(bundles=[b * np.nan for b in BUNDLES]), "not finite"), (dict(fidelity=0), "fidelity is 0"),
    (dict(epochs=0), "epochs is 0"), (dict(bundles=[-b for b in BUNDLES], M0=-M0), "positive")])
def test_what_cannot_be_learned_gets_a_sentence(change, complaint):
    with pytest.raises(ValueError, match=complaint):
        learn(**dict(bundles=BUNDLES, M0=M0) | change)


@pytest.mark.parametrize("change, complaint", [
    (dict(lambda_z=0), "lambda_z is 0"), (dict(lambda_a=-1), "lambda_a is -1"),
    (dict(shape=(4, 5)), "do not make an image"), (dict(M0=M0[:, :2]), "3 materials in 30 bands.*2 in 30")])
def test_bad_input_gets_a_sentence(change, complaint):
    with pytest.raises(ValueError, match=complaint):
        deepgun(**dict(Y=own_data()[0], M0=M0, shape=SHAPE, generator=trained()) | change)


def test_a_scene_without_pure_pixels_of_a_material_says_so():
    with pytest.raises(ValueError, match="no spectrum of endmember"):
        deepgun(M0[:, :2] @ fields(2, SHAPE), np.column_stack([M0[:, :2], np.linspace(1, 0.1, L) ** 9]), SHAPE)


def test_says_how_it_ended():
    seen = []
    stopped = deepgun(noisy(), M0, SHAPE, generator=trained(), tolerance=0,
                      callback=lambda iteration, cost: seen.append(iteration) or iteration == 2)
    assert seen == [1, 2] and stopped.iterations == 2 and not stopped.converged
    assert deepgun(noisy(), M0, SHAPE, generator=trained(), tolerance=0.5).converged


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (6, 1)])
def test_thin_images_and_one_pixel(shape):
    n = shape[0] * shape[1]
    found = deepgun(own_data()[0][:, :n], M0, shape, generator=trained(), iterations=3)
    assert found.A.shape == (P, n) and np.isfinite(found.A).all()


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("lambda_z", [1e-12, 0.1])
@pytest.mark.parametrize("weights", [ALONE, {}])
def test_dark_bright_and_negative_pixels_do_not_end_the_run(dtype, lambda_z, weights):
    Y, valid = noisy().astype(dtype), np.ones(N, dtype=bool)
    Y[:, 3], Y[:, 50], Y[:, 90], Y[:, 130], valid[200:] = 0, 1e6, -Y[:, 90], 1e-30, False
    Y[:, 200:] = np.nan
    found = deepgun(Y, M0, SHAPE, valid, generator=trained(), lambda_z=lambda_z, iterations=3, **weights)
    assert all(np.isfinite(X).all() for X in (found.A, found.z, found.reconstruction(), found.costs))
    np.testing.assert_allclose(found.A.sum(axis=0), 1, atol=1e-6)


@pytest.mark.parametrize("pixel", [own_data()[0][:, :1], np.zeros((L, 1)), -M0[:, :1]])
def test_a_single_pixel_of_any_kind(pixel):
    found = deepgun(pixel, M0, (1, 1), generator=trained(), iterations=3)
    assert np.isfinite(found.A).all() and np.isfinite(found.endmembers(slice(None))).all()
