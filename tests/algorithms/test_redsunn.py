"""ReDSUNN: the model, the bound, the posterior through time, and what training makes of them."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch.distributions import Independent, Normal, kl_divergence

from subpixel.algorithms.abundances.fcls import fcls
from subpixel.algorithms.multitemporal import redsunn as module
from subpixel.algorithms.multitemporal import redsunn_network as parts
from subpixel.algorithms.multitemporal.redsunn import Redsunn, bridged, train
from subpixel.algorithms.multitemporal.sequence import nrmse, settled

T, L, P, K, N = 4, 20, 3, 2, 600
SIGMA_PSI, NOISE = 0.05, 0.01
WAVE = np.linspace(0, 1, L)
M0 = np.stack([0.3 + 0.5 * WAVE, 0.9 - 0.6 * WAVE, 0.5 + 0.35 * np.sin(6 * WAVE)], axis=1)


def sequence(seed=0, change=0.5, sigma_psi=SIGMA_PSI, spread=1.5, noise=NOISE):
    """Images (T, L, N) drawn from the model with its abundances and endmembers' coefficients."""
    rng = np.random.default_rng(seed)
    c, psi = spread * rng.standard_normal((P, N)), 0.05 * rng.standard_normal((P, K, N))
    images, maps = [], []
    for _ in range(T):
        c = c + change * rng.standard_normal(c.shape)
        psi = psi + sigma_psi * rng.standard_normal(psi.shape)
        a = np.exp(c) / np.exp(c).sum(axis=0)
        M = M0.T[:, :, None] * (1 + np.einsum("lk,pkn->pln", parts.basis(L, K), psi))
        images.append(np.einsum("pln,pn->ln", M, a) + noise * rng.standard_normal((L, N)))
        maps.append(a)
    return np.stack(images).astype(np.float32), np.stack(maps)


Y, A = sequence()
SETTINGS = dict(K=K, sigma_psi=SIGMA_PSI, batch=60, epochs=12)


@pytest.fixture(scope="module")
def model():
    return train(Y, 1.1 * M0 - 0.03, **SETTINGS)


def network(K=K, sigma_psi=SIGMA_PSI, seed=0, bands=L, P=P, pixelwise=True):
    M = torch.rand(bands, P, generator=torch.Generator().manual_seed(seed)) if bands != L else torch.tensor(M0).float()
    rng = torch.Generator().manual_seed(seed)
    return parts.Network(parts.start(M, K, torch.zeros(bands), 1.0, rng, pixelwise), sigma_psi, torch.eye(bands))


def pixels(n=50, first=0):
    return torch.from_numpy(Y[:, :, first:first + n].transpose(0, 2, 1).copy()), torch.ones(T, n, dtype=torch.bool)


def normal(seed=0):
    rng = torch.Generator().manual_seed(seed)
    return lambda *shape: torch.randn(*shape, generator=rng)


def test_divergence_and_likelihood_are_those_of_torch():
    mean, std, other, wide = torch.rand(4, 5, 3, generator=torch.Generator().manual_seed(0)) + 0.1
    assert torch.allclose(parts.gaussian_kl(mean, std, other, wide),
                          kl_divergence(Normal(mean, std), Normal(other, wide)), atol=1e-5)
    sigma = torch.tensor(0.3)
    expected = Independent(Normal(mean, sigma), 1).log_prob(other)
    assert torch.allclose(parts.log_likelihood((mean - other).square().sum(dim=-1), 3, sigma), expected, atol=1e-4)


def test_a_gaussian_in_the_softmax_basis_is_near_the_dirichlet():
    alpha = np.array([60.0, 90.0, 30.0])
    mean, covariance = parts.dirichlet_in_softmax_basis(alpha)
    c = np.log(np.random.default_rng(1).dirichlet(alpha, 200_000))
    c -= c.mean(axis=1, keepdims=True)
    centred = np.eye(3) - 1 / 3
    np.testing.assert_allclose(c.mean(axis=0), mean, atol=0.01)
    np.testing.assert_allclose(np.cov(c.T), centred @ covariance @ centred, rtol=0.05, atol=2e-4)


def test_parameters_are_as_many_as_in_table_1():
    """But for the output layer of sigma_a, one hidden layer as published, and the weight of the first date."""
    for K, P, bands in ((2, 3, 20), (10, 3, 224), (1, 4, 30)):
        H = (K + 1) * P
        theta = bands * P + 1 + 2 * P * (P + 1) + 2 * H
        table = theta + 8 * H * (H + bands + 1) + 3 + 2 * P * H + 2 * K * P * H + 2 * H
        own = table - 2 * P * (P + 1) + P * (P + 1) + P + 1
        count = sum(x.numel() for x in network(K, bands=bands, P=P, pixelwise=False).parameters.values())
        assert count == own
        assert sum(x.numel() for x in network(K, bands=bands, P=P).parameters.values()) == own + 1


def test_with_one_function_endmembers_are_scaled_as_a_whole():
    assert np.array_equal(parts.basis(L, 1), np.ones((L, 1)))
    made = network(K=1)
    psi = torch.tensor([[0.1], [-0.2], [0.3]])
    c = torch.tensor([0.5, -0.5, 0.0])
    scaled = made.M0 * (1 + psi[:, 0])
    assert torch.allclose(made.reconstruct(c, psi), scaled @ torch.softmax(c, dim=0), atol=1e-6)


def test_without_variability_the_pixel_is_a_linear_mixture():
    c = torch.randn(7, P, generator=torch.Generator().manual_seed(2))
    assert torch.allclose(network().reconstruct(c, torch.zeros(7, P, K)), torch.softmax(c, dim=-1) @ network().M0.T)


def test_endmembers_and_coefficients_make_the_reconstruction(model):
    found = model.unmix(Y[:, :, :20])
    made = np.einsum("tpln,tpn->tln", model.endmembers(found.psi), found.A)
    c = torch.log(torch.from_numpy(found.A).permute(0, 2, 1))
    own = model.network.reconstruct(c, torch.from_numpy(found.psi).permute(0, 3, 1, 2)).detach()
    np.testing.assert_allclose(made, own.permute(0, 2, 1).numpy() * model.scale, atol=1e-5)
    np.testing.assert_allclose(model.reconstruction(found), made, atol=1e-5)
    apart = np.linalg.norm(model.endmembers(found.psi) - model.M0.T[:, :, None], axis=2)
    np.testing.assert_allclose(model.departure(found.psi), apart / np.linalg.norm(model.M0, axis=0)[:, None], atol=1e-5)


def test_projection_is_the_nearest_point_of_the_simplex():
    x = torch.randn(200, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    s = parts.on_simplex(x)
    assert s.min() >= 0 and torch.allclose(s.sum(dim=-1), torch.ones(200).double())
    others = torch.from_numpy(np.random.default_rng(0).dirichlet(np.ones(4), 500))
    nearest = (x - s).square().sum(dim=-1)
    assert ((x[:, None] - others).square().sum(dim=-1) >= nearest[:, None] - 1e-12).all()
    assert torch.allclose(parts.on_simplex(s), s)


def test_regression_with_stiff_spectra_is_least_squares_of_sum_one():
    made, (y, _) = network(), pixels(5)
    B = made.spectra().reshape(L, -1)
    gram = (B.double().T @ B.double()).reshape(P, K + 1, P, K + 1)
    correlated = (y[0] @ B).double().reshape(5, P, K + 1)
    x = made.crude(gram, correlated, torch.zeros(5, P, K), torch.full((P, K), 1e-6))
    E, d = M0[:, :-1] - M0[:, -1:], y[0].double().numpy() - M0[:, -1]
    free = np.linalg.lstsq(E, d.T, rcond=None)[0]
    np.testing.assert_allclose(x.numpy(), np.vstack([free, 1 - free.sum(axis=0)]).T, atol=1e-4)


def test_regression_knows_what_is_variability():
    """Pixels whose endmembers are brighter: abundances are nearer to the true ones than least squares."""
    rng = np.random.default_rng(0)
    a = rng.dirichlet(np.ones(P), 400)
    psi = 0.1 * rng.standard_normal((400, P, K))
    y = np.einsum("lp,lk,npk,np->nl", M0, parts.basis(L, K), psi, a) + a @ M0.T
    made = network()
    B = made.spectra().reshape(L, -1)
    gram = (B.double().T @ B.double()).reshape(P, K + 1, P, K + 1)
    correlated = (torch.from_numpy(y).float() @ B).double().reshape(-1, P, K + 1)
    made.parameters["log_sigma_r"] = torch.tensor(np.log(0.005)).float()
    stiff, free = (np.square(made.crude(gram, correlated, torch.zeros(400, P, K), torch.full((P, K), std)).numpy()
                             - a).mean() for std in (1e-6, 0.1))
    assert free < 0.7 * stiff


def test_nothing_changes_no_change_is_detected():
    """u is 0 where the regression gives the abundances before, and never above 1."""
    made = network(sigma_psi=1e-6)
    made.parameters["log_gamma"] = made.parameters["log_gamma"].clone()
    made.parameters["log_gamma"][:, 1:] = -12.0
    made.parameters["gain"] = torch.tensor(40.0)
    a = torch.full((6, P), 1 / P)
    y = (a @ made.M0.T).expand(T, -1, -1)
    assert torch.stack(made.posterior(y, torch.ones(T, 6, dtype=torch.bool)).u).max() < 1e-3
    wild = 10 * torch.randn(T, 100, L, generator=torch.Generator().manual_seed(0))
    u = torch.stack(made.posterior(wild, torch.ones(T, 100, dtype=torch.bool)).u)
    assert 0.3 < u.max() <= 1 + 1e-6 and u.min() >= 0


def test_order_of_the_endmembers_is_of_no_consequence():
    """Endmembers and every block that belongs to them permuted: so are abundances and coefficients."""
    made, (y, valid), order = network(), pixels(), [2, 0, 1]
    H = (K + 1) * P
    rng = torch.Generator().manual_seed(5)
    made.parameters["W_c"] = 0.1 * torch.randn(P, H, generator=rng)
    made.parameters["W_psi"] = torch.randn(K * P, H, generator=rng)
    made.parameters["xi"] = 0.1 * torch.randn(P, K + 1, generator=rng)
    other = dict(made.parameters)
    for name in ("v0", "log_gamma", "xi", "log_zeta", "W_c", "V_c", "A_hidden_bias"):
        other[name] = made.parameters[name][order]
    for name in ("W_psi", "V_psi"):
        other[name] = made.parameters[name].reshape(P, K, H)[order].reshape(P * K, H)
    other["M0"] = made.M0[:, order]
    other["A_hidden"], other["A_out"] = made.A_hidden[order][:, order], made.A_out[:, order]
    first, second = made.posterior(y, valid), parts.Network(other, SIGMA_PSI, torch.eye(L)).posterior(y, valid)
    assert torch.allclose(torch.stack(first.c)[..., order], torch.stack(second.c), atol=1e-3)
    assert torch.allclose(torch.stack(first.psi)[:, :, order], torch.stack(second.psi), atol=1e-3)
    assert torch.allclose(torch.stack(first.abundances), torch.stack(second.abundances), rtol=1e-2, atol=1e-2)


def test_abundances_are_on_the_simplex_and_pixels_for_themselves(model):
    found = model.unmix(Y)
    assert found.A.min() >= 0
    np.testing.assert_allclose(found.A.sum(axis=1), 1, atol=1e-6)
    order = np.random.default_rng(0).permutation(N)
    np.testing.assert_allclose(model.unmix(Y[:, :, order]).A, found.A[:, :, order], atol=1e-4)
    np.testing.assert_allclose(model.unmix(Y[:, :, 7:9]).A, found.A[:, :, 7:9], atol=1e-4)
    assert found.u.min() >= 0 and found.u.max() <= 1


def test_training_betters_fcls_and_the_bound_rises(model):
    before = np.stack([fcls(y, 1.1 * M0 - 0.03).A for y in Y])
    assert nrmse(A, model.unmix(Y).A) < 0.7 * nrmse(A, before)
    assert np.mean(model.costs[-3:]) > np.mean(model.costs[1:4]) > model.costs[0]
    assert model.converged and model.M0.min() > 0


def test_uncertainty_is_calibrated_on_the_model_itself(model):
    mean, sd = model.unmix(Y).A, model.uncertainty(Y, draws=60)
    covered = np.abs(mean - A) <= 1.645 * sd
    assert 0.80 <= covered.mean() <= 0.97, covered.mean()


def test_a_constant_sequence_gives_nearly_constant_abundances():
    still = np.repeat(Y[:1], T, axis=0)
    found = train(still, M0, **dict(SETTINGS, epochs=3)).unmix(still).A
    assert np.abs(np.diff(found, axis=0)).mean() < 0.01 < 0.1 < found.std(axis=2).mean()


def test_same_seed_same_model_and_the_global_numbers_are_left_alone():
    settings = dict(SETTINGS, epochs=1, batch=200)
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    first, second, third = (train(Y, M0, **settings, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.rand(3), expected)
    assert all(np.array_equal(first.state()[name], second.state()[name]) for name in first.state())
    assert not np.array_equal(first.M0, third.M0)
    assert np.array_equal(first.uncertainty(Y, draws=2, seed=3), second.uncertainty(Y, draws=2, seed=3))


def test_training_can_be_stopped_and_keeps_the_best():
    seen = []

    def callback(epoch, found):
        seen.append((epoch, found))
        return epoch == 2
    stopped = train(Y, M0, **SETTINGS, callback=callback)
    assert [epoch for epoch, _ in seen] == [1, 2] and not stopped.converged
    assert stopped.costs == tuple(found.elbo for _, found in seen)
    for _, found in seen:
        assert found.elbo == pytest.approx(found.likelihood - found.initial - found.abundances - found.variability)
        assert min(found.initial, found.abundances, found.variability) >= 0


def masked(fill):
    rng = np.random.default_rng(4)
    valid = rng.random((T, N)) > 0.25
    valid[:, 0], valid[:, 1] = False, [True, False, False, True]
    return np.where(valid[:, None], Y, fill).astype(np.float32), valid


def test_what_is_masked_never_matters():
    (first, valid), (second, _) = masked(np.nan), masked(-32768)
    settings = dict(SETTINGS, epochs=1)
    one, two = (train(image, M0, valid=valid, **settings) for image in (first, second))
    assert all(np.array_equal(one.state()[name], two.state()[name]) for name in one.state())
    found = one.unmix(first, valid)
    np.testing.assert_array_equal(found.A, two.unmix(second, valid).A)
    ever = valid.any(axis=0)
    assert not ever[0] and np.isnan(found.A[:, :, ~ever]).all() and np.isfinite(found.A[:, :, ever]).all()
    assert (found.u[~valid & ever] == 0).all()
    assert np.array_equal(np.isfinite(one.uncertainty(first, valid, draws=2)).all(axis=(0, 1)), ever)


def test_missing_dates_cost_nothing_and_keep_the_state():
    made, (y, valid) = network(), pixels()
    valid[2] = False
    states = made.posterior(y, valid)
    assert states.abundances[2].abs().max() < 1e-6 and states.variability[2].abs().max() < 1e-6
    assert torch.equal(states.c[2], states.c[1]) and torch.equal(states.psi[2], states.psi[1])
    assert states.u[2].abs().max() == 0 < states.u[1].max()
    likelihood = made.bound(y, valid, normal())[0]
    y[2] = 5.0
    other = made.posterior(y, valid)
    assert not torch.equal(states.h, other.h)   # `batch_of` puts what is interpolated there
    assert torch.isfinite(likelihood).all()


def test_between_valid_dates_states_are_a_brownian_bridge():
    seen = torch.tensor([False, True, False, False, False, True, False])[:, None].expand(-1, 2)
    x = torch.zeros(7, 2, 1)
    x[1], x[5] = 1.0, 5.0
    step = torch.full((7, 2, 1), 0.5)
    assert bridged(x, seen, step)[:, 0, 0].tolist() == [1, 1, 2, 3, 4, 5, 5]
    noise = normal()
    drawn = torch.stack([bridged(x, seen, step, noise)[:, :, 0] for _ in range(8000)])
    variance = 0.25 * np.array([1, 0, 3 / 4, 1, 3 / 4, 0, 1])
    np.testing.assert_allclose(drawn.var(dim=0).mean(dim=1), variance, atol=0.02)
    np.testing.assert_allclose(drawn.mean(dim=0).mean(dim=1), [1, 1, 2, 3, 4, 5, 5], atol=0.03)


def test_pixels_not_valid_are_interpolated_in_time():
    image = np.arange(5, dtype=np.float32)[:, None, None] ** 2 * np.ones((5, 2, 3), np.float32)
    valid = np.array([[0, 1, 0, 1, 0], [1, 1, 1, 1, 1], [0, 0, 1, 0, 0]], dtype=bool).T
    y, seen = module.batch_of(image, valid, np.arange(3), 2.0, "cpu")
    assert (2 * y[:, :, 0]).T.tolist() == [[1, 1, 5, 9, 9], [0, 1, 4, 9, 16], [4, 4, 4, 4, 4]]
    assert np.array_equal(seen.numpy(), valid)


def test_a_model_comes_back_from_its_state(model):
    again = Redsunn.from_state(model.state(), bands=L)
    np.testing.assert_array_equal(again.unmix(Y[:, :, :9]).A, model.unmix(Y[:, :, :9]).A)
    assert again.costs == model.costs and again.scale == model.scale
    assert again.unmix(np.concatenate([Y, Y])[:, :, :9]).A.shape == (2 * T, P, 9)
    with pytest.raises(ValueError, match="30"):
        Redsunn.from_state(model.state(), bands=30)
    with pytest.raises(ValueError, match="fit each other"):
        Redsunn.from_state(dict(model.state(), W_c=np.zeros((2, 2))))
    with pytest.raises(ValueError, match="not the state"):
        Redsunn.from_state({"M0": M0})
    with pytest.raises(ValueError, match="bands"):
        model.unmix(Y[:, :5])


def test_draws_have_the_uncertainty(model):
    part = Y[:, :, :40]
    drawn = np.stack(list(model.draws(part, draws=80)))
    assert drawn.shape == (80, T, P, 40)
    np.testing.assert_allclose(drawn.std(axis=0).mean(), model.uncertainty(part, draws=80, seed=1).mean(), rtol=0.1)


def test_settled_endmembers_are_nearer_than_outliers():
    outlying = M0.mean(axis=1, keepdims=True) + 1.5 * (M0 - M0.mean(axis=1, keepdims=True))
    flat, maps = sequence(spread=3.0, sigma_psi=0.01)
    errors = [nrmse(maps, np.stack([fcls(y, M).A for y in flat])) for M in (outlying, settled(flat, outlying).M)]
    assert errors[1] < 0.7 * errors[0]


def test_settling_finds_the_covariance_of_coloured_noise():
    rng = np.random.default_rng(1)
    maps = rng.dirichlet(np.full(P, 0.3), (T, N)).transpose(0, 2, 1)
    bump = np.exp(-np.subtract.outer(WAVE, WAVE) ** 2 / 0.1)
    R = 0.02 ** 2 * bump + 0.003 ** 2 * np.eye(L)
    noisy = M0 @ maps + np.linalg.cholesky(R) @ rng.standard_normal((T, L, N))
    found = settled(noisy, M0 * 1.1)
    assert np.linalg.norm(found.R - R) < 0.25 * np.linalg.norm(R)
    assert np.linalg.norm(found.M - M0) < 0.5 * np.linalg.norm(0.1 * M0)


@pytest.mark.parametrize("change", [dict(K=0), dict(K=L + 1), dict(sigma_psi=0.0), dict(epochs=0), dict(batch=0),
                                    dict(rate=-1.0), dict(M0=M0[:5]), dict(M0=M0 * np.nan)])
def test_bad_arguments_are_told(change):
    change = dict(change)
    with pytest.raises(ValueError, match=r"\.$"):
        train(Y, change.pop("M0", M0), **change)


def test_coloured_noise_has_the_likelihood_of_its_covariance():
    rng = np.random.default_rng(0)
    root = rng.standard_normal((L, L)) / L + np.diag(rng.uniform(0.5, 1.5, L))
    R = root @ root.T
    W, level = module._whitening(R)
    np.testing.assert_allclose(W @ R @ W.T, level ** 2 * np.eye(L), atol=1e-8)
    made = parts.Network(parts.start(torch.tensor(M0).float(), K, torch.zeros(L), 1.0,
                                     torch.Generator().manual_seed(0), noise=level), SIGMA_PSI, torch.tensor(W).float())
    y, valid = pixels(8)
    likelihood = made.bound(y, valid, lambda *shape: torch.zeros(*shape))[0]
    states = made.posterior(y, valid)
    misfit = (y - made.reconstruct(torch.stack(states.c), torch.stack(states.psi))).double()
    expected = torch.distributions.MultivariateNormal(torch.zeros(L).double(), torch.tensor(R)).log_prob(misfit)
    torch.testing.assert_close(likelihood.double(), expected.sum(dim=0), rtol=1e-3, atol=1e-2)


def test_the_spread_of_abundances_is_bounded():
    made = network()
    with torch.no_grad():
        made.A_hidden.copy_(torch.eye(P))
        made.A_out.fill_(5)
    assert made.sigma_a(torch.tensor([[60.0, -30.0, -30.0]])).item() == pytest.approx(parts.WIDEST)
