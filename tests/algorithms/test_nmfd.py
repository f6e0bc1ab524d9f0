"""Nonnegative matrix factor deconvolution: NMF as its special case, costs that fall, planted events at their dates."""

import numpy as np
import pytest
from sklearn.decomposition import NMF

from subpixel.algorithms.blind.divergence import divergence
from subpixel.algorithms.events.nmfd import activations, correlation, nmfd, reconstruction, stacked

M_FEATURES, Q, N, LENGTHS = 5, 6, 14, (3, 1, 4)


def random_factors(rng, lengths=LENGTHS, series=Q):
    return ([rng.random((M_FEATURES, length)) + 0.1 for length in lengths],
            rng.random((len(lengths), series, N)) + 0.1)


def planted(rng, series=40, dates=16):
    """Two patterns of three dates, each once in every second series, without noise: X, W, H."""
    W = [np.array([[0.0, 1, 3], [4, 0, 0], [0, 2, 0], [0, 0, 1]]),
         np.array([[3.0, 0, 0], [0, 1, 4], [1, 0, 0], [0, 3, 0]])]
    H = np.zeros((2, series, dates))
    for q in range(series):
        H[q % 2, q, rng.integers(0, dates)] = rng.uniform(1, 2)
    return reconstruction(W, H), W, H


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_stacked_rows_are_delayed_within_each_series(rng):
    H = rng.random((2, 3, 6))
    rows = stacked(H, (3, 1))
    assert np.array_equal(rows[[0, 3]], H)
    assert np.array_equal(rows[2, :, 2:], H[0, :, :-2]) and not rows[2, :, :2].any()


def test_reconstruction_is_the_sum_over_patterns_and_lags(rng):
    W, H = random_factors(rng)
    expected = np.zeros((M_FEATURES, Q, N))
    for j, w in enumerate(W):
        for q in range(Q):
            for k in range(M_FEATURES):
                expected[k, q] += np.convolve(w[k], H[j, q])[:N]
    np.testing.assert_allclose(reconstruction(W, H), expected, rtol=1e-12)


def test_correlation_is_the_adjoint_of_the_reconstruction(rng):
    W, H = random_factors(rng)
    Z = rng.standard_normal((M_FEATURES, Q, N))
    np.testing.assert_allclose(np.vdot(reconstruction(W, H), Z), np.vdot(H, correlation(W, Z)), rtol=1e-12)


def plain_nmf(X, W, H, beta, steps):
    for _ in range(steps):
        H = H * (W.T @ (X * (W @ H) ** (beta - 2))) / (W.T @ (W @ H) ** (beta - 1))
        W = W * ((X * (W @ H) ** (beta - 2)) @ H.T) / ((W @ H) ** (beta - 1) @ H.T)
    return W @ H


@pytest.mark.parametrize("beta", [1, 1.5, 2])
def test_patterns_of_one_date_are_nmf(beta, rng):
    W, H = random_factors(rng, (1, 1, 1))
    X = rng.random((M_FEATURES, Q, N)) + 0.01
    found = nmfd(X, (1, 1, 1), rng, beta=beta, start=(W, H), iterations=20, tolerance=0)
    flat = X.reshape(M_FEATURES, -1)
    ours = reconstruction(found.W, found.H).reshape(M_FEATURES, -1)
    np.testing.assert_allclose(ours, plain_nmf(flat, np.hstack(W), H.reshape(3, -1), beta, 20), rtol=1e-10)
    model = NMF(3, init="custom", solver="mu", beta_loss=beta, max_iter=20, tol=0)   # whose order is W, then H
    theirs = model.fit_transform(flat.T, W=np.ascontiguousarray(H.reshape(3, -1).T), H=np.hstack(W).T.copy())
    np.testing.assert_allclose(ours, (theirs @ model.components_).T, rtol=1e-6)


@pytest.mark.parametrize("sparsity", [0.0, 0.2])
@pytest.mark.parametrize("beta", [-1, 0, 0.5, 1, 1.5, 2, 3])
def test_the_cost_never_rises(beta, sparsity, rng):
    X = rng.gamma(2.0, 1.0, (M_FEATURES, Q, N)) + 0.05
    valid = rng.random((Q, N)) > 0.2
    costs = nmfd(X, LENGTHS, rng, beta=beta, sparsity=sparsity, valid=valid, iterations=60, tolerance=0).costs
    assert len(costs) == 61 and (np.diff(costs) <= 1e-10 * costs[0]).all()
    assert costs[-1] < 0.9 * costs[0]


def test_the_cost_is_the_divergence_and_the_penalty(rng):
    X = rng.random((M_FEATURES, Q, N))
    found = nmfd(X, LENGTHS, rng, sparsity=0.3, iterations=5, tolerance=0)
    np.testing.assert_allclose([np.linalg.norm(w) for w in found.W], 1, rtol=1e-12)
    fit = divergence(X, reconstruction(found.W, found.H), 1)
    np.testing.assert_allclose(found.costs[-1], fit + 0.3 * found.H.sum(), rtol=1e-12)


def test_sparsity_leaves_fewer_activations(rng):
    X, W, H = planted(rng)
    X = X + rng.random(X.shape)
    W = [*W, W[0] + W[1]]   # one activation of which does for two
    none, some = (activations(X, W, sparsity=alpha, iterations=2000, tolerance=1e-6) for alpha in (0.0, 1.0))
    assert (some > 0.05).sum() < 0.8 * (none > 0.05).sum()


def test_events_without_noise_are_found_at_their_dates(rng):
    X, W, H = planted(rng)
    assert (H[:, :, -2:] > 0).any()
    found = nmfd(X, (3, 3), rng, starts=10, iterations=2000, tolerance=1e-9)
    assert found.costs[-1] < 1e-2
    at_end = H[:, :, :-2].max(axis=2) > 0   # events whose whole course is seen
    order = [int(np.argmax([np.vdot(w / np.linalg.norm(w), v) for v in found.W])) for w in W]
    assert sorted(order) == [0, 1]
    for j, k in enumerate(order):
        np.testing.assert_allclose(found.W[k], W[j] / np.linalg.norm(W[j]), atol=0.02)
        assert np.array_equal(found.H[k].argmax(axis=1)[at_end[j]], H[j].argmax(axis=1)[at_end[j]])


def test_single_precision_bears_what_no_pattern_reaches(rng):
    X, valid = rng.random((M_FEATURES, Q, N)).astype(np.float32) + 1, np.ones((Q, N), bool)
    valid[:, :5] = False                      # the reconstruction is 0 there
    W = [rng.random((M_FEATURES, 3)) + 0.1]
    found = nmfd(X, (3,), rng, beta=-1, valid=valid, start=(W, rng.random((1, Q, N)) + 0.1), iterations=50)
    assert np.isfinite(found.costs).all() and found.costs[-1] < found.costs[0]
    assert np.isfinite(found.W[0]).all() and np.isfinite(found.H).all()


def test_a_step_of_a_pattern_that_is_paid_for_has_the_exponent_of_its_majoriser(rng):
    X, w, h = rng.random((M_FEATURES, 1, N)) + 0.1, rng.random((M_FEATURES, 1)), rng.random((1, N)) + 0.1
    w /= np.linalg.norm(w)
    found = nmfd(X, (1,), rng, sparsity=0.3, start=([w], h[:, None]), iterations=1)
    Y = X[:, 0]
    h = h * (w.T @ (Y / (w @ h))) / (w.sum() + 0.3)
    w = w * np.sqrt((Y / (w @ h)) @ h.T / (h.sum() + 0.3 * h.sum() * w))
    np.testing.assert_allclose(found.W[0], w / np.linalg.norm(w), rtol=1e-9)
    np.testing.assert_allclose(found.H[:, 0], h * np.linalg.norm(w), rtol=1e-9)


@pytest.mark.parametrize("masked", [False, True])
def test_the_best_of_several_starts_goes_on(masked, rng):
    X, _, _ = planted(rng)
    settings = dict(sparsity=0.1, valid=rng.random(X.shape[1:]) > 0.3) if masked else {}
    one_by_one = np.random.default_rng(3)
    ends = [nmfd(X, (3, 3), one_by_one, iterations=50, tolerance=0, **settings).costs[-1] for _ in range(4)]
    assert np.ptp(ends) > 0.05 * max(ends)
    best = nmfd(X, (3, 3), np.random.default_rng(3), starts=4, iterations=60, **settings)
    np.testing.assert_allclose(best.costs[0], min(ends), rtol=1e-9)


def test_known_patterns_are_found_up_to_the_last_date(rng):
    X, W, H = planted(rng, series=60)
    assert (H[0, :, -1] > 0).any() and (H[0, :, -2] > 0).any()
    found = activations(X, W, iterations=3000, tolerance=1e-8)
    np.testing.assert_allclose(found, H, atol=0.02)


def test_activations_are_those_of_each_series_by_itself(rng):
    X, W, _ = planted(rng)
    X = X + rng.random(X.shape)
    valid = rng.random(X.shape[1:]) > 0.1
    together = activations(X, W, valid=valid)
    one = activations(X[:, 7:9], W, valid=valid[7:9])
    np.testing.assert_allclose(one, together[:, 7:9], rtol=1e-9, atol=1e-12)


def test_dates_that_are_not_valid_take_no_part(rng):
    X, W, H = planted(rng)
    valid = rng.random(X.shape[1:]) > 0.15
    spoilt = np.where(valid, X, np.nan)
    other = np.where(valid, X, -7.0)
    found, again = (nmfd(data, (3, 3), np.random.default_rng(1), valid=valid, iterations=30)
                    for data in (spoilt, other))
    assert np.array_equal(found.H, again.H) and np.isfinite(found.H).all()
    np.testing.assert_allclose(activations(spoilt, W, valid=valid, iterations=3000, tolerance=1e-8).sum(),
                               H.sum(), rtol=0.05)
    none = activations(X, W, valid=np.zeros_like(valid))
    assert not none.any()


def test_an_event_seen_on_invalid_dates_alone_is_nothing(rng):
    X, W, _ = planted(rng)
    valid = np.ones(X.shape[1:], bool)
    valid[:, -3:] = False
    assert not nmfd(X, (3, 3), rng, valid=valid, iterations=3).H[:, :, -3:].any()


def test_zeros_of_the_start_stay_and_fixed_patterns_too(rng):
    X, W, H = planted(rng)
    begin = rng.random(H.shape) * (H > 0)
    found = nmfd(X, (3, 3), rng, start=([W[0], rng.random(W[1].shape)], begin), fixed=(0,), iterations=200)
    assert np.array_equal(found.W[0], W[0])
    assert not found.H[H == 0].any()
    np.testing.assert_allclose(reconstruction(found.W, found.H), X, atol=1e-3)


def test_single_precision_stays_single_and_close(rng):
    X, _, _ = planted(rng)
    double, single = (nmfd(data, (3, 3), np.random.default_rng(0), iterations=20, tolerance=0,
                           start=random_start(data)) for data in (X, X.astype(np.float32)))
    assert single.H.dtype == single.W[0].dtype == np.float32
    np.testing.assert_allclose(single.H, double.H, atol=1e-3)


def random_start(X):
    rng = np.random.default_rng(5)
    return [rng.random((len(X), 3)) for _ in range(2)], rng.random((2, *X.shape[1:]))


def test_it_stops_when_asked_and_says_so(rng):
    seen = []
    found = nmfd(planted(rng)[0], (3, 3), rng, callback=lambda i, cost: seen.append((i, cost)) or i == 4)
    assert found.iterations == 4 and not found.converged and len(seen) == 4 and seen[-1][1] == found.costs[-1]
    assert nmfd(planted(rng)[0], (3, 3), rng, tolerance=0.01).converged


def test_units_do_not_matter(rng):
    X, _, _ = planted(rng)
    one, other = (nmfd(scale * X, (3, 3), np.random.default_rng(2), iterations=50) for scale in (1, 1000))
    np.testing.assert_allclose(other.H, 1000 * one.H, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("change, sentence", [
    (dict(lengths=(3, 20)), "pattern of 20 dates cannot be found in series of 16 dates"),
    (dict(lengths=()), "No pattern is asked for"),
    (dict(fixed=(0,)), "none are given"),
    (dict(valid=np.ones((2, 2), bool)), "mask of valid dates has the shape"),
    (dict(valid=np.zeros((40, 16), bool)), "No date of any series is valid"),
    (dict(start=([np.ones((4, 3))] * 2, np.ones((1, 40, 16)))), "activations of"),
    (dict(start=([-np.ones((4, 3))] * 2, np.ones((2, 40, 16)))), "negative or not finite"),
])
def test_what_does_not_fit_is_said(change, sentence, rng):
    arguments = {"lengths": (3, 3), **change}
    with pytest.raises(ValueError, match=sentence):
        nmfd(planted(rng)[0], arguments.pop("lengths"), rng, **arguments)


def test_bad_data_are_said(rng):
    X, W, _ = planted(rng)
    with pytest.raises(ValueError, match="1 of 2560 values are negative"):
        nmfd(np.where(np.arange(X.size).reshape(X.shape) == 5, -1, X), (3,), rng)
    with pytest.raises(ValueError, match="features, series and dates"):
        nmfd(X[0], (3,), rng)
    with pytest.raises(ValueError, match="have 4 features and the data 3"):
        activations(X[:3], W)
