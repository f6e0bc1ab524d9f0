"""Sparse regression of missing terms: Lorenz without noise and with it, what errors amount to, pruning step by step."""

import numpy as np
import pytest
from scipy.interpolate import make_smoothing_spline

from subpixel.algorithms.state_estimation.model import Differential, lorenz
from subpixel.algorithms.state_estimation.sindy import Dictionary, Smoother, _rows, _white, discover, prune, sparse

STEP = 0.005


@pytest.fixture(scope="module")
def attractor():
    """Two series of Lorenz '63 without noise."""
    forward = Differential(lorenz, 3, np.eye(3), longest=STEP)
    x = np.array([[-8.0, 7.0, 27.0], [3.0, 2.0, 20.0]])
    states = []
    for _ in range(400):
        x = forward.step(x, STEP)
        states.append(x)
    return np.stack(states, axis=1), Smoother(STEP * np.arange(400))


def test_finds_all_of_lorenz(attractor):
    X, smoother = attractor
    dictionary = Dictionary(3)
    s = discover(X, smoother, np.zeros_like, dictionary, solver="lh")
    expected = np.zeros((20, 3))
    for name, row in (("x", (-10, 28, 0)), ("y", (10, -1, 0)), ("z", (0, 0, -8 / 3)), ("x z", (0, -1, 0)),
                      ("x y", (0, 0, 1))):
        expected[dictionary.names("xyz").index(name)] = row
    np.testing.assert_array_equal(s != 0, expected != 0)
    np.testing.assert_allclose(s, expected, rtol=1e-5)


@pytest.mark.parametrize("solver", ("omp", "lh"))
def test_finds_only_what_is_missing(attractor, solver):
    X, smoother = attractor

    def known(x):
        return lorenz(x) - np.stack([0 * x[..., 0], -x[..., 0] * x[..., 2], 5 + 0 * x[..., 0]], axis=-1)
    dictionary = Dictionary(3)
    s = discover(X, smoother, known, dictionary, solver=solver)
    names = dictionary.names("xyz")
    assert [(names[i], j) for i, j in zip(*np.nonzero(s))] == [("1", 2), ("x z", 1)]
    np.testing.assert_allclose(s[s != 0], (5, -1), rtol=1e-5)


def test_terms_can_be_left_out_and_have_names():
    dictionary = Dictionary(2, 3, without=((), (0, 1)))
    assert dictionary.names(("green", "soil")) == ["green", "soil", "green^2", "soil^2", "green^3", "green^2 soil",
                                                   "green soil^2", "soil^3"]
    x = np.array([[2.0, 3.0]])
    np.testing.assert_array_equal(dictionary(x), [[2, 3, 4, 9, 8, 12, 18, 27]])
    torch = pytest.importorskip("torch")
    np.testing.assert_array_equal(dictionary(torch.from_numpy(x)).numpy(), dictionary(x))
    assert len(Dictionary(3).terms) == 20


def test_smoothing_is_a_spline_of_least_cross_validation():
    """scipy's spline with the same weight; its own search for the weight does not find a better score."""
    rng = np.random.default_rng(0)
    t = np.cumsum(rng.uniform(0.5, 1.5, 60))
    X = np.sin(t / 4)[:, None] + rng.normal(size=(60, 2)) * (0.1, 0.3)
    smoother = Smoother(t)
    smooth, variance, matrix = smoother(X)
    np.testing.assert_allclose(np.einsum("ntk,kn->tn", matrix, X), smooth)
    np.testing.assert_allclose(variance, (0.01, 0.09), rtol=0.4)
    unit = np.mean(np.diff(t))
    for i in range(2):
        spline = make_smoothing_spline(t / unit, X[:, i], lam=weight_of(smoother, X[:, i], smooth[:, i]))
        np.testing.assert_allclose(smooth[:, i], spline(t / unit), atol=1e-6)
        free = 60 - np.trace(matrix[i])
        assert variance[i] == pytest.approx(np.sum((X[:, i] - smooth[:, i])**2) / free)
        searched = make_smoothing_spline(t / unit, X[:, i])(t / unit)
        assert np.sum((smooth[:, i] - np.sin(t / 4))**2) < 1.05 * np.sum((searched - np.sin(t / 4))**2)


def weight_of(smoother, x, smooth):
    """The weight that was taken, of what became of the roughest part."""
    part = smoother.basis.T @ np.stack([x, smooth], axis=1)
    k = np.argmax(np.abs(part[:, 0]) * (smoother.roughness > 0.1))
    return (part[k, 0] / part[k, 1] - 1) / smoother.roughness[k]


def test_integrals_are_of_the_series_from_its_first_date_on():
    t = np.cumsum(np.random.default_rng(1).uniform(0.5, 1.5, 60))
    np.testing.assert_allclose(Smoother(t).integral @ np.cos(t / 4), 4 * (np.sin(t / 4) - np.sin(t[0] / 4)), atol=1e-2)


LEVELS = {"of observations": (1.0, 0.0), "of the process": (0.0, 4.0), "of both": (1.0, 4.0)}
DATES, FINE = 200, 1e-3   # and a step of the faster Lorenz '63 of the thesis (6.4.28)


def fast(x, epsilon):
    rate = 10 * lorenz(x, sigma=7.0)
    rate[..., 0] += 10 * epsilon * x[..., 0]**3
    return rate


def noisy(kind, rng, count=5):
    """Series (count, 1, T, 3) with the missing term 0.1 x^3 in the first equation."""
    sigma_R, sigma_Q = LEVELS.get(kind, kind)
    forward, x, states = Differential(lambda x: fast(x, 0.01), 3, np.eye(3), longest=FINE / 2), np.tile(
        [-30.0, 25.0, 50.0], (count, 1)), []
    for _ in range(DATES):
        x = forward.step(x, FINE) + sigma_Q * FINE**0.5 * rng.normal(size=x.shape)
        states.append(x)
    states = np.stack(states, axis=1)
    return (states + sigma_R * rng.normal(size=states.shape))[:, None]


@pytest.mark.parametrize("kind", LEVELS)
def test_noise_is_not_taken_for_terms(kind):
    """Of sixty terms the one that is missing, and of the two equations that lack nothing none."""
    dictionary, smoother = Dictionary(3), Smoother(FINE * np.arange(DATES))
    right = []
    for X in noisy(kind, np.random.default_rng(3)):
        s = discover(X, smoother, lambda x: fast(x, 0.0), dictionary)
        assert not s[:, 1:].any()
        right.append([dictionary.terms[i] for i in np.flatnonzero(s[:, 0])] == [(0, 0, 0)])
        if right[-1]:
            np.testing.assert_allclose(s[dictionary.terms.index((0, 0, 0)), 0], 0.1, rtol=0.15)
    assert np.mean(right) >= 0.8


@pytest.mark.parametrize("kind", LEVELS)
def test_what_is_left_of_the_truth_is_white(kind):
    """The covariance of the rows is that of errors of states, of integrals of smoothed ones, and of the process."""
    dictionary, smoother = Dictionary(3), Smoother(FINE * np.arange(DATES))
    true = np.zeros((len(dictionary.terms), 3))
    true[dictionary.terms.index((0, 0, 0)), 0] = 0.1
    left, plain = [], []
    for X in noisy(kind, np.random.default_rng(4), 12):
        rows, noises, floors = _rows(X, np.ones(X.shape, bool), smoother, lambda x: fast(x, 0.0), dictionary, true,
                                     None)
        for found, scaled in ((left, True), (plain, False)):
            white = [_white(row, noise, floor.mean(), 20) if scaled else row
                     for row, noise, floor in zip(rows, noises, floors)]
            found.append([row[:, 20] - row[:, :20] @ s for row, s in zip(white, true.T)])
    left, plain = np.moveaxis(left, 1, 0), np.moveaxis(plain, 1, 0)
    np.testing.assert_allclose(np.mean(left**2, axis=(1, 2)), 1, atol=0.1)
    # rows go by how much of them noise of the process is, the least first: of one size from first to last
    last, first = np.mean(left[:, :, 100:]**2, axis=(1, 2)), np.mean(left[:, :, :100]**2, axis=(1, 2))
    np.testing.assert_allclose(last, first, rtol=0.4)
    if kind == "of observations":   # the variances that smoothing tells are right by themselves
        np.testing.assert_allclose(np.mean(plain**2, axis=(1, 2)), 1, atol=0.12)
    if kind == "of the process":
        assert (np.mean(plain[:, :, 100:]**2, axis=(1, 2)) > 2 * np.mean(plain[:, :, :100]**2, axis=(1, 2))).all()


def test_no_term_stands_for_a_parameter_that_is_free():
    """A first equation that is fifth as fast: linear terms do for it, unless its mass is free."""
    dictionary, smoother = Dictionary(3), Smoother(FINE * np.arange(DATES))
    X = noisy("of observations", np.random.default_rng(5))[0]

    def slow(x, share=0.2):
        return fast(x, 0.0) * np.array([share, 1, 1])

    def free(x):
        return ((slow(x, 0.201) - slow(x, 0.199)) / 0.002)[..., None]
    assert {(0,), (1,)} <= {dictionary.terms[i] for i in np.flatnonzero(discover(X, smoother, slow, dictionary)[:, 0])}
    s = discover(X, smoother, slow, dictionary, free=free)
    found = {dictionary.terms[i] for i in np.flatnonzero(s[:, 0])}
    assert (0, 0, 0) in found and not {(0,), (1,)} & found and not s[:, 1:].any()


def test_missing_states_tell_nothing():
    dictionary, smoother = Dictionary(3), Smoother(FINE * np.arange(DATES))
    rng = np.random.default_rng(6)
    X = noisy("of observations", rng)[0]
    seen = rng.random(X.shape) > 0.2
    dark = np.where(seen, X, X + 3 * rng.normal(size=X.shape))   # what a filter says instead is wrong
    s = discover(dark, smoother, lambda x: fast(x, 0.0), dictionary, seen=seen)
    assert [(dictionary.terms[i], j) for i, j in zip(*np.nonzero(s))] == [((0, 0, 0), 0)]


@pytest.mark.parametrize("gap", [slice(10, 12), slice(5, 25)])
def test_gaps_in_series_without_noise_leave_a_covariance(gap):
    """Errors of missing states are far larger than those of exact ones, but not by more than numbers hold."""
    days = np.arange(40.0)
    X = 3 + np.outer([0.2, 0.3], days)[..., None]
    seen = np.ones(X.shape, bool)
    seen[:, gap] = False
    s = discover(X, Smoother(days), lambda x: 0 * x, Dictionary(1, degree=1), seen=seen)
    np.testing.assert_allclose(s[:, 0], [0.25, 0], atol=1e-3)


def test_what_a_filter_says_in_gaps_tells_nothing():
    """Gaps of eight dates, in which a filter goes on with the dynamics that lack a term: it is not smaller for it."""
    dictionary, smoother = Dictionary(3), Smoother(FINE * np.arange(DATES))
    cubic, lacking = dictionary.terms.index((0, 0, 0)), Differential(lambda x: fast(x, 0.0), 3, np.eye(3), FINE / 2)
    errors = []
    for X in noisy((0.3, 0.0), np.random.default_rng(6), 3):
        seen = np.ones(X.shape, bool)
        for first in range(10, DATES, 16):
            for k in range(first, min(first + 8, DATES)):
                X[:, k], seen[:, k] = lacking.step(X[:, k - 1], FINE), False
        errors.append([abs(discover(X, smoother, lambda x: fast(x, 0.0), dictionary, seen=known)[cubic, 0] - 0.1)
                       for known in (seen, None)])
    told, untold = np.mean(errors, axis=0)
    assert told < 0.006 and told < untold / 2


def test_errors_follow_from_the_terms_found():
    """An oscillation of which nothing is known: only once its terms are found does its Jacobian tell the errors."""
    def oscillation(x):
        return np.stack([0.01 * x[..., 0] + 2 * x[..., 1], -3 * x[..., 0] - 0.08 * x[..., 1]], axis=-1)
    forward, days = Differential(oscillation, 2, np.eye(2), longest=0.02), 0.08 * np.arange(150)
    x, smoother, dictionary, states = np.array([[1, 0.5]]), Smoother(days), Dictionary(2), []
    for _ in days:
        states.append(x)
        x = forward.step(x, 0.08)
    states = np.stack(states, axis=1)
    right = []
    for seed in range(6):
        X = states + 0.02 * np.random.default_rng(seed).normal(size=states.shape)
        s = discover(X, smoother, np.zeros_like, dictionary)
        found = {(dictionary.terms[i], j) for i, j in zip(*np.nonzero(s))}
        right.append({((1,), 0), ((0,), 1)} <= found and len(found) <= 3)   # of the terms, two are hardly to be told
    assert all(right)


def test_pruning_takes_away_as_long_as_the_residue_stays():
    """Independent columns: the residue of a set of columns is known."""
    A = np.eye(6)[:, :5]
    b = np.array([10.0, 3.0, 0.4, 0.3, 0.1, 1.0])   # the last entry no column explains
    every = np.arange(5)
    np.testing.assert_allclose(prune(A, b, every, 0.001), [10, 3, 0.4, 0.3, 0.1])
    np.testing.assert_allclose(prune(A, b, every, 0.01), [10, 3, 0.4, 0.3, 0])   # sqrt(1 + 0.01) = 1.005
    np.testing.assert_allclose(prune(A, b, every, 0.06), [10, 3, 0.4, 0, 0])     # sqrt(1 + 0.10) = 1.049
    np.testing.assert_allclose(prune(A, b, every, 0.13), [10, 3, 0, 0, 0])       # sqrt(1 + 0.26) = 1.122
    np.testing.assert_allclose(prune(A, b, every, 0, error=1.02), [10, 3, 0.4, 0.3, 0])
    np.testing.assert_array_equal(prune(A, b, every, 100), 0)
    np.testing.assert_allclose(prune(A, b, np.array([0, 2]), 0), [10, 0, 0.4, 0, 0])


def test_pruning_solves_again_for_what_is_left():
    """Two columns of which each does for the other, as in the thesis's criterion neither may go."""
    rng = np.random.default_rng(4)
    a, noise = rng.normal(size=200), rng.normal(size=(3, 200))
    A = np.stack([a + 0.02 * noise[0], a + 0.02 * noise[1]], axis=1)
    x = prune(A, 2 * A[:, 0] + 0.05 * noise[2], np.arange(2), 0.02)
    assert x[1] == 0
    np.testing.assert_allclose(x[0], 2, rtol=0.01)


@pytest.mark.parametrize("solver", ("omp", "lh"))
def test_sparse_solutions_have_the_support_and_no_bias(solver):
    rng = np.random.default_rng(2)
    A = rng.normal(size=(300, 12)) * np.logspace(-4, 4, 12)
    x = np.zeros(12)
    x[[1, 6, 10]] = np.array([2.0, -3.0, 1.0]) / np.logspace(-4, 4, 12)[[1, 6, 10]]
    found = sparse(A, A @ x + 0.1 * rng.normal(size=300), solver, most=6)
    np.testing.assert_array_equal(np.flatnonzero(found), [1, 6, 10])
    np.testing.assert_allclose(found[[1, 6, 10]], x[[1, 6, 10]], rtol=0.02)
    np.testing.assert_array_equal(sparse(A, np.zeros(300), solver), 0)


def test_columns_of_nothing_are_no_terms():
    """States that rest at zero: monomials of them are all zero."""
    A = np.stack([np.ones(20), np.zeros(20), np.linspace(0, 1, 20)], axis=1)
    np.testing.assert_allclose(sparse(A, 3 - 2 * A[:, 2]), [3, 0, -2])


def test_bad_input_is_refused(attractor):
    X, smoother = attractor
    with pytest.raises(ValueError, match="no solver lasso"):
        discover(X, smoother, np.zeros_like, Dictionary(3), solver="lasso")
    with pytest.raises(ValueError, match="4 dates says little"):
        Smoother(np.arange(4))
    with pytest.raises(ValueError, match="12 states are too few for a dictionary of 20"):
        discover(X[:1, :12], Smoother(STEP * np.arange(12)), np.zeros_like, Dictionary(3))
