"""Hyper-parameters by bilevel optimisation: of an inner problem, so that its answer is good by an outer one."""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from torch.func import grad, hessian, jacfwd, jvp, vmap

SUFFICIENT = 1e-4     # of the decrease that the gradient promises, which a step must reach
SETTLED = 1e-4        # by which no number moves any more where a descent ends


@dataclass(frozen=True)
class Tuned:
    """
    Hyper-parameters found, and what was tried on the way.

    Attributes
    ----------
    theta : ndarray (m,)
        The last of `thetas`; of `search` and `descend` the best.
    cost : float
        Of the outer problem there.
    thetas : ndarray (k, m)
    costs : ndarray (k,)
    converged : bool
        Whether it ended before the limit; of the methods that have no stopping rule, that costs stayed finite.
    """

    theta: np.ndarray
    cost: float
    thetas: np.ndarray
    costs: np.ndarray
    converged: bool


def surrogate(step, outer, start, theta, iterations, kept=None):
    """
    The truncated objective F_K(theta) = outer(x_K, theta), (2.3.36), and its exact gradient by reverse mode, (2.3.40).

    Parameters
    ----------
    step : callable
        x_{k+1} = step(x_k, theta), differentiable almost everywhere; its iterations must converge, (2.3.35).
    outer : callable
        outer(x, theta), a tensor without axes.
    start : Tensor
        x_0, which does not depend on theta.
    theta : Tensor (m,)
    iterations : int
        K.
    kept : int, optional
        Steps that are differentiated, the last ones, (2.3.46); all by default. Memory grows with them.

    Returns
    -------
    (float, Tensor (m,))

    References
    ----------
    Thesis, section 2.3.4. The sum in (2.3.38) ends one term early: with x_K = step(x_{K-1}, theta) it has K of them,
    as (2.3.40) does. L. Franceschi, M. Donini, P. Frasconi, M. Pontil, Forward and reverse gradient-based
    hyperparameter optimization, ICML 2017.
    """
    kept = iterations if kept is None else kept
    if not 1 <= kept <= iterations:
        raise ValueError(f"The gradient is to go back over {kept} of {iterations} iterations: at least 1, at most all.")
    x, given = start, theta.detach().requires_grad_()
    with torch.no_grad():
        for _ in range(iterations - kept):
            x = step(x, given)
    for _ in range(kept):
        x = step(x, given)
    value = outer(x, given)
    return float(value.detach()), torch.autograd.grad(value, given)[0]


def surrogate_forward(step, outer, start, theta, iterations):
    """`surrogate` by forward mode, (2.3.39): memory does not grow with the iterations, time does with theta."""
    x, units = start, torch.eye(len(theta), dtype=theta.dtype)
    h = torch.zeros((len(theta), *start.shape), dtype=start.dtype)

    def along(function, x, h):
        """Value of a function of x and theta, and its derivative along each of theta, x moving by h."""
        moved = vmap(lambda part, unit: jvp(function, (x, theta), (part, unit))[1])(h, units)
        return function(x, theta), moved

    for _ in range(iterations):
        x, h = along(step, x, h)
    value, gradient = along(outer, x, h)
    return float(value), gradient


def implicit(inner, outer, x, theta, y, z):
    """
    The hypergradient (2.3.15) at the minimisers of inner problems, for all samples at once.

    Parameters
    ----------
    inner : callable
        inner(x (n,), theta (m,), y), the objective of one sample: twice differentiable, strongly convex in x.
    outer : callable
        outer(x (n,), z), the loss of one sample; the outer objective is its mean.
    x : Tensor (Q, n)
        The minimiser of each sample.
    theta : Tensor (m,)
    y, z : Tensor (Q, ...), or tuples of them
        What each sample's inner and outer problem are given.

    Returns
    -------
    Tensor (m,)
    """
    return _mean_gradient(outer, x, _adjoint(inner, x, theta, y), z)


def fefb(inner, outer, x, theta, y, z, *, step, rate, iterations, prox=None, callback=None):
    """
    Forward-exact-forward-backward method: one step of x, its exact Jacobian, one step of theta, again and again.

    Parameters
    ----------
    inner, outer, y, z
        See `implicit`.
    x : Tensor (Q, n)
        To start from.
    theta : Tensor (m,)
        To start from.
    step : float
        lambda_x, below 2 over the largest eigenvalue of the inner Hessian.
    rate : float
        lambda_theta.
    iterations : int
    prox : callable, optional
        PROX of lambda_theta F2(theta), the part of the outer objective that theta alone has: by default none. A
        projection is that of a constraint.
    callback : callable(iteration, cost) -> bool or None, optional
        True stops.

    Returns
    -------
    Tuned
        Costs are the mean of `outer` at the present x, which is not yet the minimiser.

    Raises
    ------
    ValueError
        Iterates that are no longer finite.

    Notes
    -----
    Convergence is local, and needs a Hessian that is uniformly positive definite and steps small enough. The samples'
    inner problems are separate, so that the Hessian has a block (n, n) for each.

    References
    ----------
    Thesis, Algorithm 2.3.2A, (2.3.17)-(2.3.20).
    """
    def adjoint(p, x, theta):
        return _adjoint(inner, x, theta, y)
    return _joint(inner, outer, x, theta, y, z, adjoint, step, rate, iterations, prox, callback)


def fifb(inner, outer, x, theta, y, z, *, step, rate, iterations, adjoint_step=None, prox=None, callback=None):
    """
    Forward-inexact-forward-backward method: `fefb` whose Jacobian also goes one step at a time, without an inverse.

    Parameters
    ----------
    adjoint_step : float, optional
        lambda_p, bounded as `step`, which it is by default.

    References
    ----------
    Thesis, Algorithm 2.3.2B, (2.3.21). The Jacobian starts from 0.
    """
    size = step if adjoint_step is None else adjoint_step

    def adjoint(p, x, theta):
        def product(x, p, y):
            return jvp(lambda at: grad(inner)(at, theta, y), (x,), (p,))[1]
        Hp = vmap(vmap(product, (None, 1, None), 1), (0, 0, 0))(x, p, y)
        return p - size * (Hp + _cross(inner, x, theta, y))
    return _joint(inner, outer, x, theta, y, z, adjoint, step, rate, iterations, prox, callback)


def sid(step, outer, x, theta, draw, *, inner_steps, adjoint_steps, batch, rates):
    """
    Stochastic implicit differentiation: an estimate of the hypergradient (2.3.31) of a contraction.

    Parameters
    ----------
    step : callable
        step(x, theta, y), a map whose mean over realisations y is a contraction in x, (2.3.26)-(2.3.27).
    outer : callable
        outer(x, theta, z), a tensor without axes.
    x : Tensor
        To start from.
    theta : Tensor (m,)
    draw : callable
        Gives a realisation (y, z).
    inner_steps, adjoint_steps, batch : int
        k_x, k_q and J.
    rates : callable
        lambda_k of k = 0, 1, ...: falling as 1 / k for the estimate to converge; 1 where nothing is random.

    Returns
    -------
    gradient : Tensor (m,)
    cost : float
        The mean of `outer` over the batch, at x after its steps.
    x : Tensor

    References
    ----------
    Thesis, Algorithm 2.3.3A, (2.3.30)-(2.3.34).
    """
    with torch.no_grad():
        for k in range(inner_steps):
            x = x + rates(k) * (step(x, theta, draw()[0]) - x)
    at, given = x.detach().requires_grad_(), theta.detach().requires_grad_()
    drawn = [draw() for _ in range(batch)]
    value = sum(outer(at, given, z) for _, z in drawn) / batch
    pull, direct = torch.autograd.grad(value, (at, given), allow_unused=True)
    pull, direct = (torch.zeros_like(of) if part is None else part for part, of in ((pull, at), (direct, given)))
    q = torch.zeros_like(pull)
    for k in range(adjoint_steps):
        back = torch.autograd.grad(step(at, given, draw()[0]), at, q)[0]
        q = q + rates(k) * (back + pull - q)
    moved = sum(step(at, given, y) for y, _ in drawn) / batch
    return direct + torch.autograd.grad(moved, given, q)[0], float(value.detach()), x


def bsgm(step, outer, x, theta, draw, *, rate, iterations, inner_steps, adjoint_steps, batch, rates, project=None,
         callback=None):
    """
    Bilevel stochastic gradient method: projected steps along the hypergradients of `sid`, each from the same start x.

    Parameters
    ----------
    x : Tensor or callable
        The start, or what gives it at a theta.
    rate : float
        lambda_theta.
    iterations : int
        h_theta.
    project : callable, optional
        Onto the theta that are allowed; by default all are.
    callback : callable(iteration, cost) -> bool or None, optional
        True stops.
    others
        See `sid`.

    Returns
    -------
    Tuned
        Costs are the means over each batch, of the theta before its step.

    References
    ----------
    Thesis, Algorithm 2.3.3B. Departures: bounds and batches are the same in all iterations, and the start may
    follow theta.
    """
    thetas, costs = [], []
    for iteration in range(1, iterations + 1):
        gradient, cost, _ = sid(step, outer, x(theta) if callable(x) else x, theta, draw, inner_steps=inner_steps,
                                adjoint_steps=adjoint_steps, batch=batch, rates=rates)
        thetas.append(theta)
        costs.append(cost)
        theta = theta - rate * gradient
        theta = theta if project is None else project(theta)
        _check_finite(theta, iteration)
        if callback is not None and callback(iteration, cost):
            break
    return _tuned([*thetas[1:], theta], costs)


def descend(function, theta, low, high, *, rate=1.0, iterations=100, callback=None):
    """
    Projected gradient descent of a deterministic outer objective, such as `surrogate` gives.

    Parameters
    ----------
    function : callable
        Value and gradient (float, Tensor (m,)) at a theta.
    theta : Tensor (m,)
        To start from.
    low, high : Tensor (m,)
        Bounds.
    rate : float
        The first step. It doubles after each step and is halved until the decrease is sufficient, so that the cost
        never rises.
    iterations : int
    callback : callable(iteration, cost) -> bool or None, optional
        True stops.

    Returns
    -------
    Tuned
        `converged` where a step moves no number by more than 1e-4.

    Raises
    ------
    ValueError
        A cost or gradient that is not finite where it starts, or a gradient where it has come to.
    """
    theta = torch.minimum(torch.maximum(theta, low), high)
    value, gradient = _finite(theta, *function(theta))
    thetas, costs, converged = [theta], [value], False
    for iteration in range(1, iterations + 1):
        while not converged:
            moved = torch.minimum(torch.maximum(theta - rate * gradient, low), high)
            converged = bool((moved - theta).abs().max() <= SETTLED)
            found, slope = function(moved)
            if found <= value - SUFFICIENT * float(gradient @ (theta - moved)):
                theta, (value, gradient), rate = moved, _finite(moved, found, slope), 2 * rate
                thetas.append(theta)
                costs.append(value)
                break
            rate /= 2
        if converged or callback is not None and callback(iteration, value):
            break
    return _tuned(thetas, costs, converged)


def search(objective, low, high, *, points=13, evaluations=12, callback=None):
    """
    The best of one number between bounds, for an objective that is evaluated only: any tool, differentiable or not.

    An even grid, and Brent's method between the neighbours of its best point: it finds a minimum that the grid does not
    miss, whatever the other bumps.

    Parameters
    ----------
    objective : callable
        The cost, a float, at a float.
    low, high : float
    points : int
        Of the grid, the bounds included.
    evaluations : int
        After the grid, at most.
    callback : callable(done, cost) -> None, optional
        After each evaluation.

    Returns
    -------
    Tuned
        In the order of the evaluations. `converged` where the minimum is not at a bound.

    Raises
    ------
    ValueError
        Bounds that are not in order, a grid of less than three points, or a cost that is not finite everywhere.
    """
    if not low < high or points < 3:
        raise ValueError(f"The search goes from {low:g} to {high:g} by {points} points: the first must be less than "
                         f"the second, and three points are the least.")
    tried = []

    def at(value):
        tried.append((float(value), float(objective(float(value)))))
        if not np.isfinite(tried[-1][1]):
            raise ValueError(f"The cost at {value:g} is {tried[-1][1]}: there is no best one. Narrow the range.")
        if callback is not None:
            callback(len(tried), tried[-1][1])
        return tried[-1][1]

    grid = np.linspace(low, high, points)
    best = int(np.argmin([at(value) for value in grid]))
    if evaluations > 0:
        minimize_scalar(at, bounds=(grid[max(best - 1, 0)], grid[min(best + 1, points - 1)]), method="bounded",
                        options={"maxiter": evaluations, "xatol": 1e-3 * (high - low) / points})
    theta, cost = min(tried, key=lambda pair: pair[1])
    return Tuned(np.array([theta]), cost, np.array(tried)[:, :1], np.array(tried)[:, 1],
                 bool(min(theta - low, high - theta) > 1e-2 * (high - low) / points))


def _joint(inner, outer, x, theta, y, z, adjoint, step, rate, iterations, prox, callback):
    """Algorithms 2.3.2A and 2.3.2B, whose third line is p = adjoint(p, x, theta)."""
    p, thetas, costs = x.new_zeros((*x.shape, len(theta))), [], []
    slope, loss = vmap(grad(inner), (0, None, 0)), vmap(outer, (0, 0))
    for iteration in range(1, iterations + 1):
        x = x - step * slope(x, theta, y)
        p = adjoint(p, x, theta)
        theta = theta - rate * _mean_gradient(outer, x, p, z)
        theta = theta if prox is None else prox(theta)
        _check_finite(theta, iteration)
        thetas.append(theta)
        costs.append(float(loss(x, z).mean()))
        if callback is not None and callback(iteration, costs[-1]):
            break
    return _tuned(thetas, costs)


def _adjoint(inner, x, theta, y):
    """The Jacobian of each sample's minimiser, (2.3.14): (Q, n, m)."""
    return -torch.linalg.solve(vmap(hessian(inner), (0, None, 0))(x, theta, y), _cross(inner, x, theta, y))


def _cross(inner, x, theta, y):
    """The derivative of the inner gradient by theta (Q, n, m)."""
    return vmap(jacfwd(grad(inner), argnums=1), (0, None, 0))(x, theta, y)


def _mean_gradient(outer, x, p, z):
    """p^T times the gradient of the outer loss, its mean over the samples."""
    return torch.einsum("qnm,qn->m", p, vmap(grad(outer), (0, 0))(x, z)) / len(x)


def _finite(theta, value, gradient):
    """Cost and gradient at `theta`, where they are numbers to go on with."""
    if not (np.isfinite(value) and torch.isfinite(gradient).all()):
        raise ValueError(f"The cost at {theta.tolist()} is {value:g} and its gradient {gradient.tolist()}: there is no "
                         f"way down. Start elsewhere, or take narrower bounds.")
    return value, gradient


def _check_finite(theta, iteration):
    if not torch.isfinite(theta).all():
        raise ValueError(f"The hyper-parameters are no longer finite after {iteration} iterations: take smaller steps.")


def _tuned(thetas, costs, converged=True):
    thetas = np.array([theta.detach().numpy() for theta in thetas])
    return Tuned(thetas[-1], float(costs[-1]), thetas, np.array(costs), bool(converged and np.isfinite(costs).all()))
