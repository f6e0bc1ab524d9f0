"""Bilevel optimisation, where the hypergradient and the best hyper-parameter are known in closed form."""

import numpy as np
import pytest
import torch

from subpixel.algorithms.abundances.sunsal import sunsal
from subpixel.algorithms.state_estimation.bilevel import (bsgm, descend, fefb, fifb, implicit, search, sid, surrogate,
                                                          surrogate_forward)

Q, L, P = 30, 12, 4


@pytest.fixture(scope="module", autouse=True)
def double():
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


class Ridge:
    """
    Tikhonov-regularised unmixing, min 1/2 ||y - M a||^2 + exp(theta) / 2 ||a - 1 / P||^2, and true abundances.

    With G = M^T M and the deviation d from 1 / P, (G + w I) d = M^T (y - M 1 / P), d' = -w (G + w I)^-1 d.
    """

    def __init__(self, noise=0.15):
        rng = np.random.default_rng(0)
        self.M = rng.normal(size=(L, P)) / np.sqrt(L)
        self.z = rng.dirichlet(np.full(P, 3.0), Q)
        self.y = self.z @ self.M.T + rng.normal(0, noise, (Q, L))
        self.G, self.c = self.M.T @ self.M, (self.y - self.M.sum(axis=1) / P) @ self.M
        self.largest = np.linalg.eigvalsh(self.G)[-1]

    def answer(self, theta):
        return 1 / P + np.linalg.solve(self.G + np.exp(theta) * np.eye(P), self.c.T).T

    def cost(self, theta):
        return 0.5 * np.square(self.answer(theta) - self.z).sum(axis=1).mean()

    def gradient(self, theta):
        x = self.answer(theta)
        slope = -np.exp(theta) * np.linalg.solve(self.G + np.exp(theta) * np.eye(P), (x - 1 / P).T).T
        return ((x - self.z) * slope).sum(axis=1).mean()

    def best(self):
        grid = np.linspace(-6, 4, 20001)
        return grid[np.argmin([self.cost(theta) for theta in grid])]

    def inner(self, x, theta, y):
        M = torch.tensor(self.M)
        return 0.5 * (y - M @ x).square().sum() + 0.5 * theta[0].exp() * (x - 1 / P).square().sum()

    def outer(self, x, z):
        return 0.5 * (x - z).square().sum()

    def step(self, x, theta, bands=None):
        """Gradient step (2.3.29) of all samples, of some `bands` only."""
        M, y = torch.tensor(self.M), torch.tensor(self.y)
        share = 1.0
        if bands is not None:
            M, y, share = M[bands], y[:, bands], L / len(bands)
        slope = share * (x @ M.T - y) @ M + theta[0].exp() * (x - 1 / P)
        return x - slope / (1.2 * self.largest + theta[0].detach().exp())

    def loss(self, x, theta, samples=None):
        off = (x - torch.tensor(self.z)).square().sum(dim=1)
        return 0.5 * (off if samples is None else off[samples]).mean()


@pytest.fixture(scope="module")
def ridge():
    return Ridge()


def tensors(*values):
    return [torch.tensor(np.atleast_1d(value)) for value in values]


def start():
    return torch.full((Q, P), 1 / P)


def test_the_closed_form_is_the_derivative(ridge):
    for theta in (-3.0, -1.0, 1.0):
        assert ridge.gradient(theta) == pytest.approx((ridge.cost(theta + 1e-5) - ridge.cost(theta - 1e-5)) / 2e-5,
                                                      rel=1e-5)
    assert -5 < ridge.best() < 3 and abs(ridge.gradient(ridge.best())) < 1e-4


@pytest.mark.parametrize("theta", (-3.0, 0.5))
def test_hypergradients_are_the_closed_form(ridge, theta):
    x, at, y, z = tensors(ridge.answer(theta), theta, ridge.y, ridge.z)
    assert float(implicit(ridge.inner, ridge.outer, x, at, y, z)) == pytest.approx(ridge.gradient(theta), rel=1e-9)
    for function in (surrogate, surrogate_forward):
        value, slope = function(ridge.step, ridge.loss, start(), at, 1500)
        assert value == pytest.approx(ridge.cost(theta)) and float(slope) == pytest.approx(ridge.gradient(theta),
                                                                                           rel=1e-6)
    slope, value, _ = sid(lambda x, theta, y: ridge.step(x, theta), lambda x, theta, z: ridge.loss(x, theta), start(),
                          at, lambda: (None, None), inner_steps=1500, adjoint_steps=1500, batch=1, rates=lambda k: 1.0)
    assert value == pytest.approx(ridge.cost(theta)) and float(slope) == pytest.approx(ridge.gradient(theta), rel=1e-6)


def test_gradient_of_few_iterations_is_that_of_the_surrogate(ridge):
    """Exact for F_K at any K, by both modes; fewer steps back approach it geometrically."""
    at, off = torch.tensor([-1.0]), 1e-5
    for K in (1, 5):
        (up, _), (down, _) = (surrogate(fixed(ridge), ridge.loss, start(), at + d, K) for d in (off, -off))
        for function in (surrogate, surrogate_forward):
            _, slope = function(fixed(ridge), ridge.loss, start(), at, K)
            assert float(slope) == pytest.approx((up - down) / (2 * off), rel=1e-6)
    whole = float(surrogate(ridge.step, ridge.loss, start(), at, 400)[1])
    errors = [abs(float(surrogate(ridge.step, ridge.loss, start(), at, 400, kept)[1]) - whole) for kept in (1, 10, 60)]
    assert errors[0] > 3 * errors[1] > 9 * errors[2]
    with pytest.raises(ValueError, match="5 of 4 iterations"):
        surrogate(ridge.step, ridge.loss, start(), at, 4, 5)


def test_what_the_outer_problem_says_of_theta_itself_is_added(ridge):
    at = torch.tensor([2.0])

    def loss(x, theta, samples=None):
        return ridge.loss(x, theta) + 3 * theta.square().sum()
    known, value = ridge.gradient(2.0) + 12, ridge.cost(2.0) + 12
    slopes = [function(ridge.step, loss, start(), at, 60) for function in (surrogate, surrogate_forward)]
    slopes.append(sid(lambda x, theta, y: ridge.step(x, theta), loss, start(), at, lambda: (None, None),
                      inner_steps=60, adjoint_steps=60, batch=2, rates=lambda k: 1.0)[1::-1])
    for found, slope in slopes:
        assert found == pytest.approx(value, rel=1e-6) and float(slope) == pytest.approx(known, rel=1e-6)
    *_, x = sid(lambda x, theta, y: ridge.step(x, theta), loss, start(), at, lambda: (None, None), inner_steps=1,
                adjoint_steps=1, batch=1, rates=lambda k: 0.25)
    torch.testing.assert_close(x, 0.75 * start() + 0.25 * ridge.step(start(), at))


def fixed(ridge):
    """The gradient step with a size that does not follow theta."""
    def step(x, theta):
        M, y = torch.tensor(ridge.M), torch.tensor(ridge.y)
        return x - 0.3 * ((x @ M.T - y) @ M + theta[0].exp() * (x - 1 / P))
    return step


@pytest.mark.parametrize("method", (fefb, fifb))
def test_joint_methods_find_the_best(ridge, method):
    x, theta, y, z = tensors(ridge.answer(1.0), 1.0, ridge.y, ridge.z)
    found = method(ridge.inner, ridge.outer, x, theta, y, z, step=0.3, rate=10.0, iterations=200)
    assert found.theta[0] == pytest.approx(ridge.best(), abs=0.01)
    assert found.cost == pytest.approx(ridge.cost(ridge.best()), rel=1e-4) and found.thetas.shape == (200, 1)


def test_one_iteration_of_the_joint_methods_is_that_of_the_algorithms(ridge):
    """Algorithms 2.3.2A and B by hand: the Jacobian is of the new x and the old theta."""
    x, theta, y, z = tensors(ridge.answer(1.0) + 0.1, 0.5, ridge.y, ridge.z)
    w, M = np.exp(0.5), ridge.M
    old = x.numpy()
    new = old - 0.3 * ((old @ M.T - ridge.y) @ M + w * (old - 1 / P))
    cross = w * (new - 1 / P)
    exact = -np.linalg.solve(ridge.G + w * np.eye(P), cross.T).T
    for method, options, p in ((fefb, {}, exact), (fifb, {}, -0.3 * cross),
                               (fifb, {"adjoint_step": 0.1}, -0.1 * cross)):
        found = method(ridge.inner, ridge.outer, x, theta, y, z, step=0.3, rate=2.0, iterations=1, **options)
        assert found.theta[0] == pytest.approx(0.5 - 2 * (p * (new - ridge.z)).sum(axis=1).mean(), rel=1e-9)
        assert found.cost == pytest.approx(0.5 * np.square(new - ridge.z).sum(axis=1).mean(), rel=1e-9)


def test_a_callback_ends_every_method(ridge):
    x, theta, y, z = tensors(ridge.answer(1.0), 1.0, ridge.y, ridge.z)
    told = []

    def callback(iteration, cost):
        told.append(iteration)
        return iteration == 2
    options = dict(rate=1.0, iterations=9, callback=callback)
    fefb(ridge.inner, ridge.outer, x, theta, y, z, step=0.3, **options)
    descend(lambda theta: surrogate(ridge.step, ridge.loss, start(), theta, 50), theta, theta - 4, theta + 4, **options)
    bsgm(ridge.step, ridge.loss, start(), theta, realisations(1), inner_steps=5, adjoint_steps=5, batch=2,
         rates=lambda k: 1.0, **options)
    assert told == [1, 2] * 3


def test_descent_begins_within_its_bounds(ridge):
    low, high = tensors(-6.0, ridge.best() + 0.5)
    found = descend(lambda theta: surrogate(ridge.step, ridge.loss, start(), theta, 200), torch.tensor([9.0]), low,
                    high, iterations=1)
    assert found.thetas.max() == high and found.costs[0] == pytest.approx(ridge.cost(float(high)), rel=1e-6)


def test_the_stochastic_gradient_method_is_a_step_along_each_hypergradient(ridge):
    """From where `x` says at each theta, with new realisations for every step and the whole batch."""
    drawn = []

    def draw():
        drawn.append(None)
        return None, None
    found = bsgm(lambda x, theta, y: ridge.step(x, theta), lambda x, theta, z: ridge.loss(x, theta),
                 lambda theta: torch.tensor(ridge.answer(float(theta))), torch.tensor([1.0]), draw, rate=5.0,
                 iterations=2, inner_steps=1, adjoint_steps=300, batch=4, rates=lambda k: 1.0)
    first = 1.0 - 5 * ridge.gradient(1.0)
    np.testing.assert_allclose(found.thetas[:, 0], [first, first - 5 * ridge.gradient(first)], rtol=1e-6)
    np.testing.assert_allclose(found.costs, [ridge.cost(1.0), ridge.cost(first)], rtol=1e-6)
    assert found.theta[0] == found.thetas[-1, 0] and len(drawn) == 2 * (1 + 4 + 300)


def test_the_proximal_step_keeps_theta_where_it_may_be(ridge):
    x, theta, y, z = tensors(ridge.answer(1.0), 1.0, ridge.y, ridge.z)
    bound = ridge.best() - 0.3
    found = fefb(ridge.inner, ridge.outer, x, theta, y, z, step=0.3, rate=10.0, iterations=50,
                 prox=lambda theta: theta.clamp(max=bound))
    assert found.theta[0] == bound


def test_descent_of_the_surrogate_finds_the_best_and_never_rises(ridge):
    low, high = tensors(-6.0, 4.0)
    found = descend(lambda theta: surrogate(ridge.step, ridge.loss, start(), theta, 200), torch.tensor([1.0]), low,
                    high)
    assert found.converged and found.theta[0] == pytest.approx(ridge.best(), abs=0.01)
    assert (np.diff(found.costs) <= 0).all()
    bounded = descend(lambda theta: surrogate(ridge.step, ridge.loss, start(), theta, 200), torch.tensor([2.0]),
                      torch.tensor([ridge.best() + 0.5]), high)
    assert bounded.theta[0] == pytest.approx(ridge.best() + 0.5)


def test_descent_from_where_there_is_no_way_down_is_a_sentence():
    low, high, at = tensors(-1.0, 1.0, 0.5)
    for cost, slope in ((np.nan, 1.0), (1.0, np.nan), (np.inf, 1.0)):
        with pytest.raises(ValueError, match=r"The cost at \[0.5\] is .* no way down"):
            descend(lambda theta: (cost, torch.tensor([slope])), at, low, high)
    with pytest.raises(ValueError, match=r"The cost at \[-0.5\] is -0.5 and its gradient \[nan\]"):
        descend(lambda theta: (float(theta[0]), torch.tensor([1.0 if theta[0] > 0 else np.nan])), at, low, high)
    wall = descend(lambda theta: (float(theta[0]) if theta[0] > 0.2 else np.nan, torch.tensor([1.0])), at, low, high)
    assert 0.2 < wall.theta[0] < 0.2002 and wall.converged, "steps beyond are shortened"


def realisations(seed):
    rng = np.random.default_rng(seed)
    return lambda: (torch.tensor(rng.choice(L, 8, replace=False)), torch.tensor(rng.choice(Q, 10, replace=False)))


def test_stochastic_hypergradients_come_closer_with_more_steps(ridge):
    """(2.3.34): the mean squared error falls with K = k_x = k_q = J."""
    theta, errors = 0.0, []
    for K in (10, 160):
        errors.append(np.mean([(float(sid(
            ridge.step, ridge.loss, start(), torch.tensor([theta]), realisations(seed), inner_steps=K, adjoint_steps=K,
            batch=K, rates=lambda k: 10 / (10 + k))[0]) - ridge.gradient(theta)) ** 2 for seed in range(12)]))
    assert errors[1] < errors[0] / 4


def test_stochastic_gradient_method_comes_near_the_best(ridge):
    found = bsgm(ridge.step, ridge.loss, start(), torch.tensor([1.0]), realisations(1), rate=20.0, iterations=60,
                 inner_steps=40, adjoint_steps=30, batch=5, rates=lambda k: 10 / (10 + k),
                 project=lambda theta: theta.clamp(-6, 4))
    assert found.theta[0] == pytest.approx(ridge.best(), abs=0.3)
    best = ridge.cost(ridge.best())
    assert ridge.cost(found.theta[0]) < best + 0.1 * (ridge.cost(1.0) - best)


def test_sparse_unmixing_has_the_hypergradient_of_its_support():
    """min 1/2 ||y - M a||^2 + w 1^T a, a >= 0: da_F / dw = -G_FF^-1 1 where the support F does not change."""
    rng = np.random.default_rng(2)
    M = np.abs(rng.normal(size=(L, P)))
    z = rng.dirichlet(np.full(P, 0.4), Q)
    y = z @ M.T + rng.normal(0, 0.05, (Q, L))
    G, w = M.T @ M, 0.3
    A = sunsal(y.T, M, w).A.T
    known = 0.0
    for a, true in zip(A, z):
        F = a > 0
        known += (a - true)[F] @ -np.linalg.solve(G[np.ix_(F, F)], np.ones(F.sum())) * w / Q
    C, G, target = torch.tensor(y @ M), torch.tensor(G), torch.tensor(z)
    size = 1 / np.linalg.eigvalsh(G)[-1]

    def step(x, theta):
        return (x - size * (x @ G - C + theta[0].exp())).clamp(min=0)

    def loss(x, theta):
        return 0.5 * (x - target).square().sum(dim=1).mean()

    value, slope = surrogate(step, loss, torch.zeros(Q, P), torch.tensor([np.log(w)]), 6000)
    assert value == pytest.approx(0.5 * np.square(A - z).sum(axis=1).mean(), rel=1e-6)
    assert float(slope) == pytest.approx(known, rel=1e-5) and abs(known) > 1e-4


def test_elastic_net_has_the_hypergradient_of_its_support():
    """min 1/2 (a - c)^2 + w1 |a| + w2 / 2 a^2 entry by entry: a = soft(c, w1) / (1 + w2)."""
    c, z = torch.tensor([[2.0, -0.7, 0.1]]), torch.tensor([[1.0, -0.2, 0.3]])
    theta = torch.tensor([np.log(0.3), np.log(0.5)])

    def step(x, theta):
        w1, w2 = theta.exp()
        moved = x - 0.4 * (x - c + w2 * x)
        return torch.sign(moved) * (moved.abs() - 0.4 * w1).clamp(min=0)

    def loss(x, theta):
        return 0.5 * (x - z).square().sum()

    for function in (surrogate, surrogate_forward):
        _, slope = function(step, loss, torch.zeros(1, 3), theta, 400)
        a = np.array([1.7, -0.4, 0.0]) / 1.5
        by_weight = np.array([-1, 1, 0]) / 1.5 * 0.3, -a / 1.5 * 0.5
        assert np.allclose(slope, [(a - z.numpy()[0]) @ part for part in by_weight], atol=1e-9)


def test_search_finds_the_best_of_an_evaluated_objective(ridge):
    found = search(ridge.cost, -6, 4)
    assert found.theta[0] == pytest.approx(ridge.best(), abs=0.01) and found.converged
    assert found.cost == found.costs.min() and len(found.costs) <= 26
    bumps = search(lambda x: np.cos(3 * x) + 0.1 * x, -5, 5, points=41)   # several minima
    assert bumps.theta[0] == pytest.approx((-3 * np.pi - np.arcsin(0.1 / 3)) / 3, abs=1e-2)
    assert not search(lambda x: x, 0, 1).converged
    with pytest.raises(ValueError, match="three points are the least"):
        search(ridge.cost, 1, 0)
    with pytest.raises(ValueError, match="no best one"):
        search(lambda x: np.nan, 0, 1)


def test_steps_that_are_too_large_are_said(ridge):
    x, theta, y, z = tensors(ridge.answer(1.0), 1.0, ridge.y, ridge.z)
    with pytest.raises(ValueError, match="take smaller steps"):
        fefb(ridge.inner, ridge.outer, x, theta, y, z, step=50.0, rate=2.0, iterations=400)
