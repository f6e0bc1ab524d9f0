"""A filter whose particles are drawn by a conditional diffusion model, without weights and without a likelihood."""

import math
from dataclasses import dataclass, field

import numpy as np
import torch
from torch.nn.functional import linear

from ..device import device, one_thread_each
from .model import intervals

WIDTH, LAYERS = 50, 5   # of the score network
FARTHEST = 4.0          # standard deviations, beyond which the network is asked as if there
ROWS = 32768            # particles at a time: what the network makes of them stays near the processor
JITTER = 1e-9           # of the mean variance, added where a covariance is factored


@dataclass(frozen=True)
class VariancePreserving:
    """
    b = beta, beta(t) = first + (last - first) t for t in [0, 1], and the rest of table 1's second column.

    g = beta (1 - exp(-mu/2 int beta))^(2/mu - 1), beta for mu = 2: it follows from dsigma^2/dt = g - b sigma^2.
    """

    first: float = 0.01
    last: float = 20.0
    mu: float = 2.0

    def b(self, t):
        return self.first + (self.last - self.first) * t

    def g(self, t):
        return self.b(t) * (1 - self.m(t) ** self.mu) ** (2 / self.mu - 1)

    def m(self, t):
        """By which factor the state is shrunk at time t, a tensor."""
        return torch.exp(-(self.first * t + (self.last - self.first) * t**2 / 2) / 2)

    def variance(self, t):
        """sigma^2 of the noise at time t."""
        return (1 - self.m(t) ** self.mu) ** (2 / self.mu)


@dataclass(frozen=True)
class VarianceExploding:
    """
    b = 0, m = 1, sigma^2(t) = smallest^2 ((largest / smallest)^(2 t) - 1), g its derivative: table 1's first column.

    The geometric growth of sigma is the usual choice of gamma, which the thesis leaves open.
    """

    smallest: float = 0.02
    largest: float = 20.0

    def b(self, t):
        return torch.zeros_like(t)

    def g(self, t):
        rate = 2 * math.log(self.largest / self.smallest)
        return rate * (self.variance(t) + self.smallest**2)

    def m(self, t):
        return torch.ones_like(t)

    def variance(self, t):
        return self.smallest**2 * torch.expm1(2 * math.log(self.largest / self.smallest) * t)


@dataclass(frozen=True)
class Settings:
    """
    How the filter draws and learns.

    Attributes
    ----------
    schedule : VariancePreserving or VarianceExploding
    members : int
        Particles of a series, N.
    steps : int
        Of the reverse process from t = 1 to 0, 1 / (delta tau).
    alpha : float
        Noise of the reverse process: 0 for none.
    first, later : (int, float)
        Epochs and learning rate at the first date, and at each one after it from the weights of the one before.
    batch, pool : int
        Pairs of state and observation in an update, and in all at a date, drawn from the particles of all series.
    regress : bool
        Take off what a linear regression on the observation explains before the network learns (see `learn`).
    limits : (float, float) or None
        Between which every state is kept, for dynamics that hold only there.
    """

    schedule: VariancePreserving | VarianceExploding = field(default_factory=VariancePreserving)
    members: int = 1000
    steps: int = 100
    alpha: float = 1.0
    first: tuple = (500, 1e-3)
    later: tuple = (200, 1e-4)
    batch: int = 256
    pool: int = 1000
    regress: bool = True
    limits: tuple | None = None


class ScoreNetwork:
    """
    s(x, t, c), the score of states x (R, n) at time t given c (R, d): five layers of 50 units with ReLU between them.

    Parameters
    ----------
    weights : list of (tensor, tensor)
        Of each layer, see `fresh`.
    schedule : VariancePreserving or VarianceExploding

    Notes
    -----
    The score is -x / v + m / (sigma sqrt(v)) F with v = m^2 + sigma^2 and F what the layers give for x / sqrt(v), the
    time embedding [t - 0.5, cos 2t, sin 2t, -cos 4t] (6.5.2) and c. F = 0, where the weights start, is the score of a
    standard normal state; a network that gives the score itself must grow as 1 / sigma towards t = 0.
    """

    def __init__(self, weights, schedule):
        self.weights, self.schedule = weights, schedule

    @classmethod
    def fresh(cls, n, d, schedule, rng, place="cpu"):
        """One for `n` states and `d` conditions that knows nothing; `rng` is a torch Generator."""
        sizes = [n + 4 + d, *[WIDTH] * (LAYERS - 1), n]
        weights = [(((2 * torch.rand(after, before, generator=rng) - 1) * (6 / before) ** 0.5).to(place),
                    torch.zeros(after, device=place)) for before, after in zip(sizes, sizes[1:])]
        weights[-1][0].zero_()
        return cls(weights, schedule)

    def copy(self):
        return ScoreNetwork([(w.detach().clone(), b.detach().clone()) for w, b in self.weights], self.schedule)

    def __call__(self, x, t, c):
        """The score (R, n) at times `t` (R, 1) or (1, 1)."""
        m, variance = self.schedule.m(t), self.schedule.variance(t)
        v = m**2 + variance
        return -x / v + m / torch.sqrt(variance * v) * self._layers(x / torch.sqrt(v), t, c)

    def loss(self, x, c, t, z):
        """Mean over the rows of ||sigma s(m x + sigma z, t, c) + z||^2, (6.2.9)."""
        sigma = torch.sqrt(self.schedule.variance(t))
        return (sigma * self(self.schedule.m(t) * x + sigma * z, t, c) + z).square().sum(dim=1).mean()

    def _layers(self, x, t, c):
        time = torch.cat([t - 0.5, torch.cos(2 * t), torch.sin(2 * t), -torch.cos(4 * t)], dim=1)
        x = torch.cat([x, time.expand(len(x), -1), c], dim=1)
        for weight, bias in self.weights[:-1]:
            x = torch.relu(linear(x, weight, bias))
        return linear(x, *self.weights[-1])


def fit_score(network, x, c, epochs, rate, batch, rng):
    """
    Let a `ScoreNetwork` learn from pairs `x` (R, n), `c` (R, d) by Adam on (6.2.9); the mean loss of the last epoch.

    Times are uniform in (0, 1); `rng` is a torch Generator.
    """
    tensors = [tensor.requires_grad_(True) for layer in network.weights for tensor in layer]
    adam, last = torch.optim.Adam(tensors, lr=rate), math.nan
    with torch.enable_grad():
        for _ in range(epochs):
            last = 0.0
            for part in torch.randperm(len(x), generator=rng, device=rng.device).split(batch):
                t = torch.rand(len(part), 1, generator=rng, device=x.device).clamp_min(1e-5)
                z = torch.randn(len(part), x.shape[1], generator=rng, device=x.device)
                loss = network.loss(x[part], c[part], t, z)
                adam.zero_grad()
                loss.backward()
                adam.step()
                last += float(loss.detach()) * len(part) / len(x)
    for tensor in tensors:
        tensor.requires_grad_(False)
    return last


def sample(score, normal, schedule, steps, alpha):
    """
    States (R, n) of the distribution whose `score(x, t)` is given, by Euler-Maruyama on the reverse process (6.2.10).

    `normal()` gives new standard normal numbers (R, n) at each call.

    x + (b/2 x + (1 + alpha) g/2 s) d + sqrt(alpha g d) z with d = 1 / steps, from x ~ N(0, sigma^2(1)). That is
    (6.2.10) with 2 D = alpha g; in (6.2.6) the root must hold the step too. At t = 0 the score may not exist: the last
    step begins at t = d, with noise as all others, so that nothing narrower than sqrt(alpha g(d) d) comes out.
    """
    d, x = 1 / steps, normal()
    x = torch.sqrt(schedule.variance(x.new_ones(1, 1))) * x
    for step in range(steps):
        t = x.new_full((1, 1), 1 - step * d)
        g = schedule.g(t)
        x = x + (schedule.b(t) / 2 * x + (1 + alpha) * g / 2 * score(x, t)) * d
        if alpha:
            x = x + torch.sqrt(alpha * g * d) * normal()
    return x


@dataclass(frozen=True)
class Learned:
    """
    A network of a date, with the middle (c,) and scale (c,) of what it is told of a series (None: nothing); its loss.
    """

    network: ScoreNetwork
    middle: np.ndarray | None
    scale: np.ndarray | None
    loss: float


def learn(y, days, model, rng, settings=Settings(), *, needed=None, callback=None):
    """
    Score networks, one for each date, from the particles of a sample of series.

    Parameters
    ----------
    y : ndarray (T, Q, m)
        Series, NaN where missing; a component may not be missing alone.
    days : ndarray (T,)
    model : StateSpace
    rng : numpy.random.Generator
        Of everything random. The global random numbers are not touched.
    settings : Settings
    needed : ndarray (T,) of bool, optional
        At which dates series will be observed; by default those at which one of these is.
    callback : callable(date, loss), optional

    Returns
    -------
    list of (Learned or None)

    Raises
    ------
    ValueError
        Shapes that do not fit, fewer particles than states and observed numbers need, settings that give nothing.

    Notes
    -----
    Steps 1 to 4 of section 6.2, with the warm start and settings of 6.5.2: particles are predicted, and observations
    of them, noise included; a network learns the score of the states given the observation from such pairs; particles
    are then drawn anew given what was observed.

    One network serves all series of a date, by what makes the series alike. In each, states and observations are
    centred by their means over its particles, and a linear regression of states on observations is taken off:
    u = L^-1 (x - mean - K (y - mean)), w = U^-1 (y - mean), where K = P_xy P_yy^-1 and L, U are Cholesky factors of
    the residuals' covariance and of P_yy. If states and observations are jointly normal, u is N(0, I) and independent
    of w, whatever the series: the score is -u and one network is exact for all. What it learns is how a series departs
    from that. Which series do is told it beside w: mean, log deviation of x, and the log share that K leaves of it,
    standardised over the sample. K (y - mean) is the ensemble Kalman filter's step: it takes off what otherwise a
    network must learn from few particles, and scales the width of the result, so that a posterior much narrower than
    the prediction is drawn in as few steps.

    Without `regress` K is 0 and L the factor of P_xx: the states are standardised, as in the thesis, and all else is
    the network's.

    A date at which nothing is observed needs no network. What lies farther than 4 standard deviations from the middle
    of what the network has seen is shown to it at 4.

    References
    ----------
    Thesis, (6.2.1)-(6.2.10), table 1 and section 6.5.2.
    """
    networks = []
    for k, (_, network) in enumerate(_filter(y, days, model, rng, settings, None, needed)):
        networks.append(network)
        if callback is not None and network is not None:
            callback(k, network.loss)
    return networks


def particles(y, days, model, rng, settings, networks):
    """
    Particles (N, Q, n) of each date in turn, given the series `y` (T, Q, m) up to it, by the networks of `learn`.

    The other parameters are those of `learn`; `days` are those of the networks. A date of NaN is predicted only, and
    from it the series go on. All series share the random numbers: maps have no speckle of chance, and the result of a
    series does not depend on which others it is given with.
    """
    if len(networks) != len(days):
        raise ValueError(f"There are networks for {len(networks)} dates, and the series have {len(days)}.")
    for x, _ in _filter(y, days, model, rng, settings, networks, None):
        yield x


def _filter(y, days, model, rng, settings, networks, needed):
    """Particles of each date and the network that made them; without `networks` it is learned first."""
    y = np.asarray(y)
    _check(y, days, model, settings)
    seen = ~np.isnan(y).any(axis=2)
    if (np.isnan(y).any(axis=2) != np.isnan(y).all(axis=2)).any():
        raise ValueError("Of some observations only a part is missing, which a network for whole ones cannot use. Mark "
                         "them as missing as a whole.")
    needed = seen.any(axis=1) if needed is None else np.asarray(needed, bool)
    N, Q, n = settings.members, y.shape[1], model.forward.n
    place = device()
    normal = torch.Generator(device=place)
    different = Q if networks is None else 1   # pairs to learn from must differ between series

    def random(root):
        return rng.standard_normal((N, different, len(root))) @ root.T
    x = _kept(np.broadcast_to(model.mean, (Q, n)) + random(_root(model.covariance)), settings)
    noise, last = _root(model.R), None
    seeds = rng.integers(2**62, size=len(y))
    for k, step in enumerate(intervals(days)):
        normal.manual_seed(int(seeds[k]))   # a date's numbers do not depend on who was seen before
        if step:
            x = model.forward.step(x, float(step)) + random(_root(model.forward.noise(float(step))))
            x = _kept(x, settings)
        network = networks[k] if networks is not None else None
        if networks is None and needed[k]:
            shown = x @ model.C.T + random(noise)
            network = last = _learned(_Standard(x, shown, settings.regress), x, shown, rng, normal, settings, last)
        errors = random(noise)
        if seen[k].any():
            if network is None:
                raise ValueError(f"Date {k + 1} is observed, and no network was learned for it.")
            some = np.flatnonzero(seen[k])
            before = x[:, some]
            shown = x @ model.C.T + errors
            x[:, some] = _kept(_drawn(network, before, shown[:, some], y[k, some], normal, settings, different == 1),
                               settings)
        yield x.copy(), network


class _Standard:
    """How the states and observations of each series are standardised by its particles (N, Q, n) and (N, Q, m)."""

    def __init__(self, x, y, regress):
        self.x, self.y = x.mean(axis=0), y.mean(axis=0)
        dx, dy = x - self.x, y - self.y
        count = len(x) - 1
        Pxx, Pyy = (np.einsum("aqi,aqj->qij", d, d, optimize=True) / count for d in (dx, dy))
        Pxy = np.einsum("aqi,aqj->qij", dx, dy, optimize=True) / count
        gain = np.linalg.solve(_firm(Pyy), Pxy.swapaxes(1, 2)).swapaxes(1, 2)
        left = Pxx - gain @ Pxy.swapaxes(1, 2)
        self.K = gain if regress else np.zeros_like(gain)
        self.L = np.linalg.cholesky(_firm(left if regress else Pxx, Pxx))
        self.U = np.linalg.cholesky(_firm(Pyy))
        before, after = (np.einsum("qii->qi", _firm(P, Pxx)) for P in (Pxx, left))
        self.facts = np.concatenate([self.x, np.log(before) / 2, np.log(np.maximum(after / before, JITTER))], axis=1)

    def states(self, x, y):
        """u of states (N, Q, n) and their observations."""
        r = x - self.x - np.einsum("qij,aqj->aqi", self.K, y - self.y)
        return np.einsum("qij,aqj->aqi", np.linalg.inv(self.L), r)

    def observations(self, y):
        """w of observations (..., Q, m)."""
        return np.einsum("qij,...qj->...qi", np.linalg.inv(self.U), y - self.y)

    def back(self, u, y):
        """States (N, Q, n) of `u` given the observations `y` (Q, m)."""
        return self.x + np.einsum("qij,qj->qi", self.K, y - self.y) + np.einsum("qij,aqj->aqi", self.L, u)


@one_thread_each()
def _learned(standard, x, y, rng, normal, settings, last):
    """A network that has learned from pairs drawn from particles, from the weights of the `last` one."""
    N, Q, n = x.shape
    pairs = rng.permutation(N * Q)[:settings.pool]
    u = standard.states(x, y).reshape(N * Q, n)[pairs]
    w = standard.observations(y).reshape(N * Q, -1)[pairs]
    middle = scale = None
    if Q > 1:
        middle, scale = standard.facts.mean(axis=0), standard.facts.std(axis=0)
        scale = np.where(scale > 1e-6 * (1 + np.abs(middle)), scale, np.inf)
    c = _conditions(w, standard.facts[pairs % Q], middle, scale)
    if last is None:
        network, (epochs, rate) = ScoreNetwork.fresh(n, c.shape[1], settings.schedule, torch.Generator().manual_seed(
            int(rng.integers(2**62))), normal.device), settings.first
    else:
        network, (epochs, rate) = last.network.copy(), settings.later
    tensors = (torch.as_tensor(array.astype(np.float32), device=normal.device) for array in (u, c))
    loss = fit_score(network, *tensors, epochs, rate, settings.batch, normal)
    return Learned(network, middle, scale, loss)


@one_thread_each()
def _drawn(learned, x, y, observed, normal, settings, shared):
    """Particles (N, Q, n) given `observed` (Q, m), by way of predicted ones and their observations."""
    N, Q, n = x.shape
    standard = _Standard(x, y, settings.regress)
    c = _conditions(standard.observations(observed), standard.facts, learned.middle, learned.scale)
    c = torch.as_tensor(c.astype(np.float32), device=normal.device)
    u, size = np.empty((Q, N, n), np.float32), max(1, ROWS // N)
    drawn = torch.randn(settings.steps + 1, N, n, generator=normal, device=normal.device) if shared else None
    with torch.no_grad():
        for first in range(0, Q, size):
            given = c[first:first + size].repeat_interleave(N, dim=0)
            count, numbers = len(given), iter(drawn if shared else ())

            def draw(count=count, numbers=numbers):
                if shared:
                    return next(numbers).repeat(count // N, 1)
                return torch.randn(count, n, generator=normal, device=normal.device)

            found = sample(lambda x, t, given=given: learned.network(x, t, given), draw, settings.schedule,
                           settings.steps, settings.alpha)
            u[first:first + size] = found.reshape(-1, N, n).cpu().numpy()
    return standard.back(u.transpose(1, 0, 2), observed)


def _conditions(w, facts, middle, scale):
    """What the network is told beside state and time: the observation, and where there are several series which."""
    if middle is None:
        return np.clip(w, -FARTHEST, FARTHEST)
    return np.clip(np.concatenate([w, (facts - middle) / scale], axis=1), -FARTHEST, FARTHEST)


def _firm(P, like=None):
    """Covariances (Q, n, n) with a trace of independent noise, so that they can be factored."""
    like = P if like is None else like
    size = np.einsum("qii->q", like) / P.shape[1]
    return P + (JITTER * size + 1e-30)[:, None, None] * np.eye(P.shape[1])


def _root(covariance):
    """A square root of a covariance that may be singular."""
    values, vectors = np.linalg.eigh(covariance)
    return vectors * np.sqrt(np.maximum(values, 0))


def _kept(x, settings):
    return x if settings.limits is None else np.clip(x, *settings.limits)


def _check(y, days, model, settings):
    n, m = model.forward.n, len(model.C)
    if y.ndim != 3 or y.shape[-1] != m or len(y) != len(days) or 0 in y.shape:
        raise ValueError(f"The series have the shape {y.shape}: it must be {len(days)} dates, series, {m} observed "
                         f"numbers.")
    if settings.members < n + m + 2:
        raise ValueError(f"{settings.members} particles are too few for {n} states and {m} observed numbers, whose "
                         f"covariances they must tell. Take {n + m + 2} or more.")
    for name in ("steps", "batch", "pool"):
        if getattr(settings, name) < 1:
            raise ValueError(f"{name} is {getattr(settings, name)}: it must be at least 1.")
    if settings.alpha < 0:
        raise ValueError(f"alpha is {settings.alpha:g}: it must not be negative.")
