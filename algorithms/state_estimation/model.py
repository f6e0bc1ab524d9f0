"""State-space models of series at irregular dates: how the state goes on, and what of it is observed."""

from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import block_diag, expm, logm

from .kalman import diagonal

SUBSTEPS = 1.0   # at most so many units of time in one Runge-Kutta step, see `Differential`
ROUNDING = 1e-7  # of a series' values, by which float32 numbers that are alike may differ
VAGUE = 10.0     # times the variance of a series over its dates: that of its first state before it is observed
FARTHEST = 80.0  # rate times interval, beyond which logistic growth has come to its end in float32, whose exp is finite


class Forward:
    """
    How a state of `n` numbers goes on over an interval, in days or whatever unit the model's parameters have.

    Subclasses give `n`, `observed` (what a series shows of its state, (m, n)), `step` and `noise`; linear ones give
    `matrix`, of which the step follows.
    """

    linear = True

    def matrix(self, interval):
        """A (n, n) with x(t + interval) = A x(t) + noise."""
        raise NotImplementedError

    def noise(self, interval):
        """Q (n, n), the covariance that an interval adds."""
        raise NotImplementedError

    def step(self, x, interval):
        """States `x` (..., n), arrays or tensors, after an interval, without noise."""
        A = self.matrix(interval)
        return x @ (A.T if isinstance(x, np.ndarray) else x.new_tensor(A.T))

    def prior(self, mean, variance, interval):
        """
        Mean (..., n) and covariance (n, n) of the first state of series.

        These have the means `mean` (..., m) and variances (m,) over their dates; `interval` is usual between dates.
        """
        raise NotImplementedError

    def radius(self, interval):
        """Spectral radius of the operator over an interval: above 1 where it lets states grow without end."""
        return float(np.abs(np.linalg.eigvals(self.matrix(interval))).max())


@dataclass(frozen=True)
class RandomWalk(Forward):
    """A level that takes random steps, of the variance `level` in a unit of time."""

    level: float
    n = 1
    observed = np.ones((1, 1))

    def matrix(self, interval):
        return np.eye(1)

    def noise(self, interval):
        return np.array([[self.level * interval]])

    def prior(self, mean, variance, interval):
        return _vague(mean, variance, [VAGUE])


@dataclass(frozen=True)
class LinearTrend(Forward):
    """
    A level with a slope: both take random steps, of the variances `level` and `slope` in a unit of time.

    In the softmax basis a constant slope is logistic growth or decay of one of two fractions.
    """

    level: float
    slope: float
    n = 2
    observed = np.array([[1.0, 0.0]])

    def matrix(self, interval):
        return np.array([[1.0, interval], [0.0, 1.0]])

    def noise(self, interval):
        return (self.slope * np.array([[interval**3 / 3, interval**2 / 2], [interval**2 / 2, interval]])
                + np.diag([self.level * interval, 0.0]))

    def prior(self, mean, variance, interval):
        return _vague(mean, variance, [VAGUE, 1 / interval**2])


@dataclass(frozen=True)
class Seasonal(Forward):
    """
    A level that takes random steps, and harmonics of a period whose amplitudes and phases do so too.

    `level` and `season` are the variances of the steps in a unit of time, of the level and of each number of a
    harmonic; harmonic h turns by 2 pi h / period in a unit of time.
    """

    level: float
    season: float
    period: float
    harmonics: int = 2

    @property
    def n(self):
        return 1 + 2 * self.harmonics

    @property
    def observed(self):
        return np.array([[1.0] + [1.0, 0.0] * self.harmonics])

    def matrix(self, interval):
        angles = 2 * np.pi * np.arange(1, self.harmonics + 1) * interval / self.period
        return block_diag(1.0, *([[np.cos(a), np.sin(a)], [-np.sin(a), np.cos(a)]] for a in angles))

    def noise(self, interval):
        return interval * np.diag([self.level] + [self.season] * (2 * self.harmonics))

    def prior(self, mean, variance, interval):
        return _vague(mean, variance, [VAGUE] + [1.0] * (self.n - 1))


@dataclass(frozen=True)
class Logistic(Forward):
    """
    Logistic growth, dx/dt = rate x (1 - x / capacity), or decay where the rate is negative; exact over any interval.

    The step is x capacity / (x + (capacity - x) exp(-rate interval)). `level` is the variance of random steps in a unit
    of time. `rate` and `capacity` may be tensors, whose gradients are then known. States that noise or corrections have
    brought beyond `limits`, where growth may become infinite, go on as those at the limit.
    """

    rate: float
    capacity: float
    level: float = 0.0
    limits: tuple = (-np.inf, np.inf)
    n = 1
    observed = np.ones((1, 1))
    linear = False

    def step(self, x, interval):
        x, exponent = x.clip(*self.limits), -self.rate * interval
        shrunk = exponent.clip(-FARTHEST, FARTHEST).exp() if hasattr(exponent, "exp") else \
            np.exp(np.clip(exponent, -FARTHEST, FARTHEST))
        return self.capacity * x / (x + (self.capacity - x) * shrunk)

    def noise(self, interval):
        return np.array([[self.level * interval]])

    def prior(self, mean, variance, interval):
        return _vague(mean, variance, [VAGUE])


class LinearOperator(Forward):
    """
    A linear operator given for one interval, `A` (n, n), with the covariance `Q` that this interval adds.

    Over other intervals it is exp(t / interval log A), and the noise that of dx = log A / interval x dt + dw whose
    covariance in a unit of time is chosen so that the given interval adds Q; `of_rate` takes this covariance instead.

    Raises
    ------
    ValueError
        An operator that no continuous system gives (log A is not real), noise that is no covariance, or noise that
        none of white noise in the continuous system gives.
    """

    def __init__(self, A, Q, interval, observed=None):
        self.A, self.Q, self.interval = np.asarray(A, float), np.asarray(Q, float), float(interval)
        self.n = len(self.A)
        if self.A.shape != (self.n, self.n) or self.Q.shape != self.A.shape:
            raise ValueError(f"The operator has the shape {self.A.shape} and its noise {self.Q.shape}: both must be "
                             f"square, of one size.")
        if not np.allclose(self.Q, self.Q.T) or np.linalg.eigvalsh(self.Q).min() < -1e-12 * np.abs(self.Q).max():
            raise ValueError("The noise of the operator is no covariance: it must be symmetric and have no negative "
                             "eigenvalue.")
        self.observed = np.eye(self.n) if observed is None else np.asarray(observed, float)
        G = logm(self.A) if np.linalg.matrix_rank(self.A) == self.n else np.full_like(self.A, 1j, dtype=complex)
        if np.abs(np.imag(G)).max() > 1e-9:
            raise ValueError("The operator has no real logarithm (an eigenvalue is zero or negative), so that it says "
                             "nothing of other intervals. Give one of a shorter interval.")
        self.G = np.real(G) / self.interval
        self.rate = self._rate()

    @classmethod
    def of_rate(cls, A, rate, interval, observed=None):
        """The same with the covariance `rate` (n, n) that white noise adds in a unit of time."""
        made = cls(A, np.zeros_like(np.asarray(A, float)), interval, observed)
        made.rate = np.asarray(rate, float)
        made.Q = made.noise(made.interval)
        return made

    def matrix(self, interval):
        return expm(self.G * interval)

    def noise(self, interval):
        return self._added(self.rate, interval)

    def prior(self, mean, variance, interval):
        return _lifted(self.observed, mean, variance)

    def _added(self, rate, interval):
        """
        The integral of exp(G s) rate exp(G^T s) over the interval (C. Van Loan, IEEE TAC 23(3), 1978).

        His exponential holds exp(-G s), which over a long interval leaves no digits: it is taken over a short one, that
        is doubled by Q(2 s) = exp(G s) Q(s) exp(G^T s) + Q(s).
        """
        n = self.n
        halvings = max(0, int(np.ceil(np.log2(max(np.linalg.norm(self.G) * interval, 1.0)))))
        block = expm(np.block([[-self.G, rate], [np.zeros((n, n)), self.G.T]]) * (interval / 2**halvings))
        A = block[n:, n:].T
        added = A @ block[:n, n:]
        for _ in range(halvings):
            added, A = A @ added @ A.T + added, A @ A
        return (added + added.T) / 2

    def _rate(self):
        """The covariance in a unit of time of which the given interval makes Q: a linear system in its entries."""
        n = self.n
        if not self.Q.any():
            return np.zeros((n, n))
        columns = [self._added(unit.reshape(n, n), self.interval).ravel() for unit in np.eye(n * n)]
        rate = np.linalg.lstsq(np.stack(columns, axis=1), self.Q.ravel(), rcond=None)[0].reshape(n, n)
        if np.linalg.eigvalsh(rate).min() < -1e-9 * max(np.abs(rate).max(), 1e-300):
            raise ValueError("No white noise between the dates makes the noise of the operator. Give noise with "
                             "smaller covariances between states.")
        return rate


class Differential(Forward):
    """
    An ordinary differential equation dx/dt = rate(x), by fourth-order Runge-Kutta steps of at most `longest`.

    `noise` adds the covariance `Q` (n, n) in a unit of time. `rate` takes states (..., n), arrays or tensors.
    """

    linear = False

    def __init__(self, rate, n, Q, longest=SUBSTEPS, observed=None):
        self.rate, self.n, self.Q, self.longest = rate, n, np.asarray(Q, float), longest
        self.observed = np.eye(n) if observed is None else np.asarray(observed, float)

    def step(self, x, interval):
        count = max(1, int(np.ceil(interval / self.longest - 1e-9)))
        h = interval / count
        for _ in range(count):
            a = self.rate(x)
            b = self.rate(x + h / 2 * a)
            c = self.rate(x + h / 2 * b)
            d = self.rate(x + h * c)
            x = x + h / 6 * (a + 2 * b + 2 * c + d)
        return x

    def noise(self, interval):
        return self.Q * interval

    def prior(self, mean, variance, interval):
        return _lifted(self.observed, mean, variance)


@dataclass(frozen=True)
class StateSpace:
    """
    x(k) = f(x(k-1), t(k) - t(k-1)) + w(k), y(k) = C x(k) + v(k), (5.3.1) and (5.4.7) with additive noise.

    Attributes
    ----------
    forward : Forward
    R : ndarray (m, m)
        Covariance of the observations' noise.
    mean : ndarray, broadcast to (Q, n)
        Of the state at the first date, before it is observed.
    covariance : ndarray (n, n)
    """

    forward: Forward
    R: np.ndarray
    mean: np.ndarray
    covariance: np.ndarray

    @property
    def C(self):
        return self.forward.observed

    def matrices(self, days):
        """A and Q (T, 1, n, n) that bring the state to each of `days` (T,) from the one before, for a linear model."""
        steps = intervals(days)
        return (np.stack([self.forward.matrix(step) for step in steps])[:, None],
                np.stack([self.forward.noise(step) for step in steps])[:, None])


def intervals(days):
    """
    Intervals (T,) to `days` from the date before, 0 for the first.

    Raises
    ------
    ValueError
        Dates that are equal or not in their order.
    """
    days = np.asarray(days, dtype=np.float64)
    steps = np.diff(days, prepend=days[0])
    for k in np.flatnonzero(steps[1:] <= 0)[:1] + 1:
        raise ValueError(f"Date {k + 1} is {'equal to' if steps[k] == 0 else 'before'} date {k}: dates must be "
                         f"different and in their order.")
    return steps


def start(forward, y, days, noise):
    """
    A model of series `y` (T, Q, m), or (T, Q) of one number, whose first states are as vague as their values.

    Parameters
    ----------
    forward : Forward
    y : ndarray
        NaN where missing; a series without any value has the mean of all.
    days : ndarray (T,)
    noise : float or ndarray (m,)
        Variance of an observation.

    Returns
    -------
    StateSpace
        With a mean for each series; `restart` gives it those of others.
    """
    y = y[..., None] if y.ndim == 2 else y
    centre, spread = _means(y), variance(y)
    noise = np.broadcast_to(np.asarray(noise, float), y.shape[-1:])
    step = max(float(np.mean(intervals(days)[1:])), 1e-12) if len(days) > 1 else 1.0
    mean, covariance = forward.prior(centre, np.maximum(np.maximum(spread, noise), 1e-12), step)
    return StateSpace(forward, diagonal(noise), mean, covariance)


def restart(model, y):
    """
    `model` of `start` for other series `y`, as vague as it is about those it was made for.

    A series without any value has the mean of those, whatever other series it is given with.
    """
    overall = np.atleast_2d(model.mean).mean(axis=0) @ model.C.T
    mean, _ = model.forward.prior(_means(y[..., None] if y.ndim == 2 else y, overall), 1.0, 1.0)
    return replace(model, mean=mean)


def variance(y):
    """Mean variance (m,) over their dates of series `y` (T, Q, m), NaN where missing; 0 without any value."""
    known = ~np.isnan(y)
    off = np.where(known, y - _means(y), 0)
    return np.square(off).sum((0, 1)) / np.maximum(known.sum((0, 1)), 1)


def varies(y):
    """Whether any of the series `y` (T, Q, m), NaN where missing, varies over its dates by more than rounding."""
    known = ~np.isnan(y)
    squares = np.square(np.where(known, y, 0)).sum((0, 1)) / np.maximum(known.sum((0, 1)), 1)
    return bool((variance(y) > ROUNDING**2 * squares).any())


def check_varies(y):
    """Raise ValueError where no series does."""
    if not varies(y):
        raise ValueError("The series do not vary over time, so that their noise cannot be estimated. Give its standard "
                         "deviations.")


def _means(y, overall=None):
    """Means (Q, m) of series over their dates; `overall` (m,), or that of all, where a series has no value."""
    known = ~np.isnan(y)
    count, total = known.sum(axis=0), np.where(known, y, 0).sum(axis=0, dtype=np.float64)
    overall = total.sum(axis=0) / np.maximum(count.sum(axis=0), 1) if overall is None else overall
    return np.where(count > 0, total / np.maximum(count, 1), overall)


def _vague(mean, variance, factors):
    """A first state of one observed number, its first component, with variances of so many times that of the series."""
    return np.asarray(mean) @ np.eye(1, len(factors)), np.mean(variance) * np.diag(factors)


def _lifted(observed, mean, variance):
    """A first state that shows the means; what of it is not observed is as vague as the vaguest."""
    lift = np.linalg.pinv(observed).T
    spread = np.broadcast_to(variance, len(lift)) @ np.square(lift)
    return np.asarray(mean) @ lift, VAGUE * np.diag(np.where(spread > 0, spread, np.max(variance)))


def lorenz(x, sigma=10.0, rho=28.0, beta=8 / 3):
    """dx/dt of Lorenz '63, in its usual unit of time; states (..., 3)."""
    a, b, c = x[..., 0], x[..., 1], x[..., 2]
    return _stack([sigma * (b - a), a * (rho - c) - b, a * b - beta * c])


def fitzhugh_nagumo(x, alpha=-0.5, beta=1.0, gamma=0.1):
    """dx/dt of the perturbed FitzHugh-Nagumo system (6.4.26); states (..., 2)."""
    a, b = x[..., 0], x[..., 1]
    return _stack([0.01 * a + 2 * b + alpha * a**3 + beta, -3 * a - 0.08 * b + gamma * a**2])


def _stack(parts):
    if isinstance(parts[0], np.ndarray | np.floating):
        return np.stack(parts, axis=-1)
    import torch
    return torch.stack(parts, dim=-1)
