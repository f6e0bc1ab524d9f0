"""KalmanNet: a filter whose gains a recurrent network makes of what it has seen so far, learned from series."""

import math
from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch.nn.functional import linear

from ..device import device, one_thread_each
from .model import intervals

INPUTS = ("observation", "innovation", "state", "correction")
LOOKED_AT = 256     # simulated series that typical sizes are taken from, and that losses are compared by
HELD_OUT = 8        # of so many given series one is held out
EVERY = 25          # iterations between two looks at the series held out
STEEPEST = 1.0      # norm of the gradient, at most
STILL = 1e-6        # of its first variance over the dates: mean square of the steps of a state that is constant
START = 0.5         # share of an observation that is believed before anything is learned
BLOCK = 16384       # series at a time where nothing is learned


@dataclass(frozen=True)
class Settings:
    """
    What a KalmanNet is, and how it learns.

    Attributes
    ----------
    components : int
        1: the gain comes from one recurrent module. 3: from three, for Q, P(k|k-1) and C P(k|k-1) C^T + R.
    inputs : tuple of str
        Of INPUTS, at least one: the increments y(k) - y(k-1), y(k) - y(k|k-1), x(k-1) - x(k-2), and the correction
        x(k-1) - x(k-1|k-2).
    width : int
        C of the hidden states: C (n^2 + m^2) numbers for one module, C n^2, C n^2 and C m^2 for three.
    length : int
        Dates through which gradients go back, T of (1.2.11).
    steps, batch : int
        Updates of the weights, on the sub-trajectories of so many series each.
    rate, decay : float
        Adam's, with weight decay of the matrices. The rate rises over a twentieth of the steps and falls as half a
        cosine.
    limits : (float, float) or None
        Between which every state is kept, for dynamics that hold only there.
    """

    components: int = 3
    inputs: tuple = INPUTS
    width: int = 10
    length: int = 24
    steps: int = 600
    batch: int = 64
    rate: float = 1e-2
    decay: float = 1e-5
    limits: tuple | None = None


@dataclass(frozen=True)
class Estimates:
    """
    Attributes
    ----------
    mean : ndarray (T, Q, n) float32
        x(k).
    covariance : ndarray (T, Q, n, n) float32
        Of its error, see `KalmanNet.estimate`.
    innovation : ndarray (T, Q, m) float32
        y(k) - C x(k|k-1) over its standard deviation; NaN where missing.
    """

    mean: np.ndarray
    covariance: np.ndarray
    innovation: np.ndarray


@dataclass(frozen=True)
class Training:
    """
    Attributes
    ----------
    network : KalmanNet
        With the weights of the least loss.
    losses : tuple of float
        On the series held out: before learning, and at every look since.
    iterations : int
    stopped : bool
        Whether the callback ended it early.
    """

    network: "KalmanNet"
    losses: tuple
    iterations: int
    stopped: bool


class KalmanNet:
    """
    x(k|k-1) = f(x(k-1)), x(k) = x(k|k-1) + K(k) (y(k) - C x(k|k-1)), K(k) by a recurrent network: (6.3.1)-(6.3.3).

    `learn` makes one. Series do not know of each other; all go through the network at once.

    Parameters
    ----------
    model : StateSpace
        Its forward operator, linear or not, and C; its noise is used by `covariance` only.
    settings : Settings
    parameters : dict of str to tensor
        Weights, see `start`.
    state_scale, observation_scale : ndarray (n,), (m,)
        Typical sizes of the increments, by which inputs are divided.
    interval : float
        The usual one.
    factor : float
        By which the model's covariances are multiplied.
    """

    def __init__(self, model, settings, parameters, state_scale, observation_scale, interval, factor=1.0):
        self.model, self.settings, self.interval, self.factor = model, settings, interval, factor
        self.state_scale, self.observation_scale = np.asarray(state_scale), np.asarray(observation_scale)
        self.place = device()
        self.parameters = {name: tensor.to(self.place) for name, tensor in parameters.items()}
        self.C = _tensor(model.C, self.place)
        self.gain_scale = _tensor(gain_scale(model.C, self.state_scale, self.observation_scale), self.place)
        self._sx, self._sy = _tensor(state_scale, self.place), _tensor(observation_scale, self.place)

    @one_thread_each()
    def estimate(self, y, days, mean=None):
        """
        States of series, from the dates up to each.

        Parameters
        ----------
        y : ndarray (T, Q, m)
            NaN where missing: dates of NaN between or after the others are filled or forecast.
        days : ndarray (T,)
        mean : ndarray, broadcast to (Q, n), optional
            Of the state at the first date before it is observed; the model's by default.

        Returns
        -------
        Estimates

        Raises
        ------
        ValueError
            Series of another number of components, or dates that are equal or not in their order.

        Notes
        -----
        The network gives no covariance. That of its gains' error follows from the model: P(k|k-1) = F P F^T + Q with F
        the derivative of f at the estimate, and Joseph's form (I - K C) P (I - K C)^T + K R K^T, which holds for any
        gain. It is as good as Q and R are. Where the network learned from given series, both are multiplied by
        `factor`, which leaves the gains as they are and makes the innovations as large as they should be.
        """
        y = np.asarray(y)
        _check(self.model, y, days)
        T, Q, m = y.shape
        n = self.model.forward.n
        mean = np.broadcast_to(self.model.mean if mean is None else mean, (Q, n))
        dynamics = _Dynamics(self.model.forward, intervals(days), self.place)
        found = Estimates(np.empty((T, Q, n), np.float32), np.empty((T, Q, n, n), np.float32),
                          np.full((T, Q, m), np.nan, np.float32))
        C, R = self.C, self.factor * _tensor(self.model.R, self.place)
        eye = torch.eye(n, device=self.place)
        for first in range(0, Q, BLOCK):
            part = slice(first, first + BLOCK)
            values, seen = _observed(y[:, part], self.place)
            memory = self._begin(_tensor(mean[part], self.place))
            P = (self.factor * _tensor(self.model.covariance, self.place)).expand(len(memory.x), n, n)
            with torch.no_grad():
                for k in range(T):
                    F = dynamics.jacobian(memory.x, k)
                    P = F @ P @ F.mT + self.factor * dynamics.noise[k]
                    S = torch.diagonal(C @ P @ C.mT + R, dim1=-2, dim2=-1)
                    memory, _, e, K = self._step(dynamics, memory, values[k], seen[k], k)
                    K = K * seen[k][:, None]
                    keep = eye - K @ C
                    P = keep @ P @ keep.mT + K @ R @ K.mT
                    found.mean[k, part] = memory.x.cpu().numpy()
                    found.covariance[k, part] = P.cpu().numpy()
                    found.innovation[k, part] = torch.where(seen[k], e / S.sqrt(), torch.nan).cpu().numpy()
        return found

    def state(self):
        """Everything but the model that is needed to apply it later, as a dict of arrays."""
        settings = {name: np.array(value) for name, value in asdict(self.settings).items() if value is not None}
        weights = {name: tensor.cpu().numpy() for name, tensor in self.parameters.items()}
        return dict(settings, state_scale=self.state_scale, observation_scale=self.observation_scale,
                    interval=np.array(self.interval), factor=np.array(self.factor),
                    **{WEIGHTS + name: array for name, array in weights.items()})

    @classmethod
    def from_state(cls, state, model):
        """
        The network of a `state`, for the `model` it was learned for, whose mean may be that of other series.

        Raises
        ------
        ValueError
            Arrays that are missing, do not fit each other, or are for a state or observation of another size.
        """
        n, m = model.forward.n, len(model.C)
        try:
            settings = Settings(**{name: _plain(state[name]) for name in asdict(Settings()) if name in state})
            weights = {name[len(WEIGHTS):]: array for name, array in state.items() if name.startswith(WEIGHTS)}
            expected = start(n, m, settings, torch.Generator())
            wrong = [name for name, tensor in expected.items() if weights[name].shape != tuple(tensor.shape)]
            wrong += [name for name, size in (("state_scale", n), ("observation_scale", m))
                      if state[name].shape != (size,)]
            network = [state[name] for name in ("state_scale", "observation_scale")] + [
                float(state[name]) for name in ("interval", "factor")]
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ValueError(f"This is not the state of a KalmanNet: no usable {error}.") from error
        if wrong or len(weights) != len(expected):
            raise ValueError(f"The arrays of this state of a KalmanNet do not fit a model of {n} states and {m} "
                             f"observed numbers ({', '.join(wrong)}).")
        return cls(model, settings, {name: _tensor(array, "cpu") for name, array in weights.items()}, *network)

    def _begin(self, x):
        """The memory before the first date."""
        hidden = tuple(self.parameters[f"{name}.before"].expand(len(x), -1) for name in _modules(self.settings))
        nothing = torch.zeros(len(x), len(self.C), device=x.device)
        return _Memory(x, torch.zeros_like(x), torch.zeros_like(x), nothing, nothing.bool(), hidden)

    def _step(self, dynamics, memory, y, seen, k):
        """The memory after date k, what was predicted for it, the innovation (0 where missing) and the gain."""
        predicted = dynamics(memory.x, k)
        e = torch.where(seen, y - predicted @ self.C.mT, 0.0)
        since = torch.where(seen & memory.known, y - memory.y, 0.0)
        K, hidden = self._gain(dict(observation=since / self._sy, innovation=e / self._sy,
                                    state=memory.increment / self._sx, correction=memory.correction / self._sx),
                               dynamics.intervals[k], seen, memory.hidden)
        correction = (K @ e[..., None])[..., 0]
        x = predicted + correction
        if self.settings.limits is not None:
            x = x.clamp(*self.settings.limits)
        return (_Memory(x, x - memory.x, correction, torch.where(seen, y, memory.y), memory.known | seen, hidden),
                predicted, e, K)

    def _gain(self, inputs, interval, seen, hidden):
        """K (Q, n, m) and the hidden states."""
        w = self.parameters
        extra = torch.cat([torch.full_like(inputs["state"][:, :1], math.log1p(interval / self.interval)),
                           seen.to(inputs["state"].dtype)], dim=1)

        def chosen(*names):
            return [torch.asinh(inputs[name]) for name in names if name in self.settings.inputs] + [extra]
        if self.settings.components == 1:
            (h,) = hidden
            h = last = _recurrent(w, "gain", chosen(*INPUTS), h)
            hidden = (h,)
        else:
            Q, P, S = hidden
            Q = _recurrent(w, "Q", chosen("state"), Q)
            P = _recurrent(w, "P", [Q, *chosen("correction")], P)
            S = _recurrent(w, "S", [P, *chosen("observation", "innovation")], S)
            last = torch.cat([P, S], dim=1)
        out = _dense(w, "out", torch.relu(_dense(w, "inner", last)))
        if self.settings.components == 3:
            P = torch.tanh(_dense(w, "corrected", torch.cat([P, S, out], dim=1)))
            hidden = (Q, P, S)
        return out.reshape(len(out), *self.gain_scale.shape) * self.gain_scale, hidden


WEIGHTS = "weights."   # before the names of weights in a state


@dataclass(frozen=True)
class _Memory:
    """
    What the filter knows after a date: its state, how that changed and was corrected, the last observations and
    whether there are any, and hidden states of the network.
    """

    x: torch.Tensor
    increment: torch.Tensor
    correction: torch.Tensor
    y: torch.Tensor
    known: torch.Tensor
    hidden: tuple

    def detached(self):
        """The same without the way that gradients would go back."""
        return _Memory(self.x.detach(), self.increment.detach(), self.correction.detach(), self.y, self.known,
                       tuple(h.detach() for h in self.hidden))


class _Dynamics:
    """f over the intervals to each date, its derivative, and its noise."""

    def __init__(self, forward, steps, place):
        self.forward, self.intervals = forward, [float(step) for step in steps]
        self.A = [_tensor(forward.matrix(step), place) for step in self.intervals] if forward.linear else None
        self.noise = [_tensor(forward.noise(step), place) for step in self.intervals]

    def __call__(self, x, k):
        return x @ self.A[k].mT if self.A else self.forward.step(x, self.intervals[k])

    def jacobian(self, x, k):
        """df/dx (Q, n, n), or (n, n) where all series share it."""
        if self.A:
            return self.A[k]
        columns = [torch.func.jvp(lambda x: self(x, k), (x,), (unit.expand_as(x),))[1]
                   for unit in torch.eye(x.shape[1], device=x.device)]
        return torch.stack(columns, dim=-1)


@one_thread_each()
def learn(model, days, rng, settings=Settings(), *, series=None, states=None, seen=None, callback=None):
    """
    A KalmanNet, learned by backpropagation through time from trajectories of the model or from given series.

    Parameters
    ----------
    model : StateSpace
        Of simulated series `mean` may be of any number, of which one is drawn for each; of given ones it belongs to
        them.
    days : ndarray (T,)
    rng : numpy.random.Generator
        Of everything random. The global random numbers are not touched.
    settings : Settings
    series : ndarray (T, Q, m), optional
        To learn from, NaN where missing. By default series are simulated from the model, new ones in every update.
    states : ndarray (T, Q, n), optional
        The states of `series`, where they are known.
    seen : ndarray (T, R, m) of bool, optional
        Which observations are there in patterns that simulated series take; all by default.
    callback : callable(iteration, loss) -> bool or None, optional
        At every look at the series held out, with their loss; true ends the training.

    Returns
    -------
    Training

    Raises
    ------
    ValueError
        Settings that make no network; series that do not fit model and dates, or without an observation after the
        first date; a loss that is never finite.

    Notes
    -----
    Loss: with known states (6.3.4), divided by the squares of the states' typical sizes, which changes no optimum of a
    filter that can follow each state; otherwise the mean square of the innovations y(k) - C f(x(k-1)) at the dates
    seen, over typical squares. Why that teaches gains without a truth: for a linear system the innovation is
    C (x(k) - x(k|k-1)) + v(k), v(k) independent of all before, so that its expected square is trace(C P(k|k-1) C^T + R)
    and least when the predictions' errors are, which the Kalman gain makes all at once. What no later observation
    depends on is not learned.

    Sub-trajectories follow each other: state and memory go on from one to the next as constants, so that no state but
    the first must be known (1.2.11). The weights are updated after each. One series of eight (simulated: 256 more) is
    held out, and the weights with the least loss there are kept.

    Departures, most of them for irregular dates and gaps:

    - x(k) - x(k-1) and x(k) - x(k|k-1) exist only after the gain of date k: the network gets those of the date before.
    - Inputs are divided by their typical size, the root mean square over 256 simulated series (increments of y: over
      the given ones; of a state that is constant, the first variance over the number of dates), and large ones taken
      as asinh. The published network divides each vector by its own norm, of which a single number keeps its sign only.
    - Two more inputs: log(1 + interval / usual interval), and which observations are there. Without them no gain
      could depend on either.
    - A missing observation has innovation and increment 0 and corrects nothing; the increment is to the last one seen.
    - The hidden states have C times the numbers of the thesis for three modules too: with n = m = 1 they would be one.
    - The gains begin at half the pseudo-inverse of C, little changed by the network, whose output is multiplied by it,
      or where it is 0 by the ratio of the typical sizes.
    - The connections are those of (5.3.6), (5.3.12) and (5.3.13): Q goes into P, P into S, both into the gain, and P,
      S and the gain back into P, the hidden state with which the next date begins.

    References
    ----------
    Thesis, section 6.3. G. Revach et al., KalmanNet: neural network aided Kalman filtering for partially known
    dynamics, IEEE TSP 70, 2022; on innovations: G. Revach et al., Unsupervised learned Kalman filtering, EUSIPCO 2022.
    """
    _check_settings(settings)
    steps = intervals(days)
    if len(steps) < 2:
        raise ValueError("There is one date: a filter learns from how series go on. Give two or more.")
    simulation = _Simulation(model, steps, rng, seen, settings.limits)
    x, y, start_mean = simulation.draw(LOOKED_AT)
    moved, first = np.mean(np.square(np.diff(x, axis=0)), axis=(0, 1)), np.diagonal(model.covariance) / len(steps)
    state_scale = np.sqrt(np.where(moved > STILL * first, moved, first))
    shown = y if series is None else np.asarray(series)
    if series is not None:
        _check(model, shown, days)
    change = np.diff(shown, axis=0)
    if np.isnan(change).all(axis=(0, 1)).any():
        raise ValueError("In no series two dates that follow each other are observed: nothing can be learned from how "
                         "they change. Give series with fewer gaps.")
    observation_scale = np.sqrt(np.maximum(np.nanmean(np.square(change), axis=(0, 1)), 1e-24))
    weights = torch.Generator().manual_seed(int(rng.integers(2**62)))
    parameters = start(model.forward.n, len(model.C), settings, weights)
    state_scale = np.maximum(state_scale, 1e-12)
    believed = START * np.linalg.pinv(model.C) / gain_scale(model.C, state_scale, observation_scale)
    parameters["out.bias"] += _tensor(believed.ravel(), "cpu")
    network = KalmanNet(model, settings, parameters, state_scale, observation_scale, float(steps[1:].mean()))
    for tensor in network.parameters.values():
        tensor.requires_grad_(True)
    dynamics = _Dynamics(model.forward, steps, network.place)
    if series is None:
        held = _batch(network, y, x, start_mean)

        def draw():
            x, y, mean = simulation.draw(settings.batch)
            return _batch(network, y, x, mean)
    else:
        order = rng.permutation(shown.shape[1])
        count = len(order) // HELD_OUT
        mean = np.broadcast_to(model.mean, (len(order), model.forward.n))

        def take(which):
            return _batch(network, shown[:, which], None if states is None else np.asarray(states)[:, which],
                          mean[which])
        held = take(order[:count or None])

        def draw():
            return take(rng.choice(order[count:], min(settings.batch, len(order) - count), replace=False))
    losses, done, stopped = _descend(network, dynamics, draw, held, callback)
    for tensor in network.parameters.values():
        tensor.requires_grad_(False)
    if series is not None:
        network.factor = _factor(network, shown[:, order], days, mean[order])
    return Training(network, tuple(losses), done, stopped)


def _descend(network, dynamics, draw, held, callback):
    """Adam on the loss; leaves the best weights, gives the losses, the iterations and whether it was stopped."""
    settings, weights = network.settings, network.parameters
    adam = torch.optim.Adam([dict(params=[w for w in weights.values() if w.dim() > 1], weight_decay=settings.decay),
                             dict(params=[w for w in weights.values() if w.dim() == 1])], lr=settings.rate)
    rise = max(1, settings.steps // 20)

    def look():
        with torch.no_grad():
            parts = list(_losses(network, dynamics, held))
        return float(sum(total for total, _ in parts) / sum(count for _, count in parts))

    losses, best, kept, done, looked, stopped = [look()], math.inf, None, 0, 0, False
    while done < settings.steps and not stopped:
        parts, batch = 0, draw()
        with torch.enable_grad():
            for total, count in _losses(network, dynamics, batch):
                if not count or not total.requires_grad:
                    continue
                step = done + parts
                share = min(1, (step + 1) / rise) * (1 + math.cos(math.pi * min(1, step / settings.steps))) / 2
                for group in adam.param_groups:
                    group["lr"] = settings.rate * share
                adam.zero_grad()
                (total / count).backward()
                if torch.isfinite(torch.nn.utils.clip_grad_norm_(weights.values(), STEEPEST)):
                    adam.step()   # else this sub-trajectory teaches nothing
                parts += 1
        if not parts:
            raise ValueError("The series chosen have no observation after their first date: nothing can be learned "
                             "from them. Leave such series out.")
        done += parts
        if done // EVERY > looked or done >= settings.steps:
            looked = done // EVERY
            losses.append(look())
            if losses[-1] < best:
                best, kept = losses[-1], {name: w.detach().clone() for name, w in weights.items()}
            stopped = bool(callback is not None and callback(min(done, settings.steps), losses[-1]))
    if kept is None:
        raise ValueError("The loss was not finite at any time: the estimates grow beyond measure. Take a smaller "
                         "learning rate, shorter sub-trajectories, or dynamics that do not grow without end.")
    with torch.no_grad():
        for name, w in weights.items():
            w.copy_(kept[name])
    return losses, done, stopped and done < settings.steps


def _losses(network, dynamics, batch):
    """Of each sub-trajectory of a batch the sum of its squares, and how many there were."""
    y, seen, x, mean = batch
    memory = network._begin(mean)
    for first in range(0, len(y), network.settings.length):
        memory, total, count = memory.detached() if first else memory, 0.0, 0
        for k in range(first, min(first + network.settings.length, len(y))):
            memory, _, e, _ = network._step(dynamics, memory, y[k], seen[k], k)
            if x is not None:
                total, count = total + ((memory.x - x[k]) / network._sx).square().sum(), count + x[k].numel()
            elif k:   # what is predicted for the first date depends on no gain
                total, count = total + (e / network._sy).square().sum(), count + int(seen[k].sum())
        yield total, count


def _factor(network, y, days, mean):
    """Mean square of the standardised innovations of series after their first date."""
    found = network.estimate(y[:, :BLOCK], days, mean[:BLOCK])
    return float(np.nanmean(np.square(found.innovation[1:], dtype=np.float64)))


class _Simulation:
    """Series drawn from a model, (T, count, n) and (T, count, m), with the gaps of patterns, and their means."""

    def __init__(self, model, steps, rng, seen, limits):
        self.model, self.steps, self.rng, self.seen, self.limits = model, steps, rng, seen, limits
        self.means = np.atleast_2d(model.mean)
        self.roots = [_root(model.forward.noise(float(step))) for step in steps]
        self.first, self.noise = _root(model.covariance), _root(model.R)
        if seen is not None and not seen.any(axis=(1, 2)).any():
            raise ValueError("The patterns of missing dates leave no observation.")

    def draw(self, count):
        rng, forward = self.rng, self.model.forward
        mean = self.means[rng.integers(len(self.means), size=count)]
        x = [self._kept(mean + rng.standard_normal(mean.shape) @ self.first.T)]
        for step, root in zip(self.steps[1:], self.roots[1:]):
            x.append(self._kept(forward.step(x[-1], float(step)) + rng.standard_normal(mean.shape) @ root.T))
        x = np.stack(x)
        y = x @ self.model.C.T
        y = y + rng.standard_normal(y.shape) @ self.noise.T
        if self.seen is not None:
            y = np.where(self.seen[:, rng.integers(self.seen.shape[1], size=count)], y, np.nan)
        return x, y, mean

    def _kept(self, x):
        return x if self.limits is None else np.clip(x, *self.limits)


def start(n, m, settings, rng):
    """Weights to begin with, as a dict of tensors; `rng` is a torch Generator."""
    width, extra = settings.width, 1 + m
    sizes = dict(observation=m, innovation=m, state=n, correction=n)

    def incoming(*names):
        return sum(sizes[name] for name in names if name in settings.inputs) + extra
    if settings.components == 1:
        hidden = width * (n * n + m * m)
        modules = {"gain": (incoming(*INPUTS), hidden)}
        last = hidden
    else:
        Q, P, S = width * n * n, width * n * n, width * m * m
        modules = {"Q": (incoming("state"), Q), "P": (Q + incoming("correction"), P),
                   "S": (P + incoming("observation", "innovation"), S)}
        last = P + S
    made = {}

    def uniform(*shape, near):
        return (2 * torch.rand(*shape, generator=rng) - 1) / near ** 0.5

    def dense(name, before, after, size=1.0):
        made[f"{name}.weight"] = size * uniform(after, before, near=before)
        made[f"{name}.bias"] = size * uniform(after, near=before)
    for name, (before, after) in modules.items():
        dense(f"{name}.in", before, after)
        made[f"{name}.now"], made[f"{name}.then"] = uniform(3 * after, after, near=after), uniform(3 * after, after,
                                                                                               near=after)
        made[f"{name}.now.bias"], made[f"{name}.then.bias"] = uniform(3 * after, near=after), uniform(3 * after,
                                                                                                      near=after)
        made[f"{name}.before"] = torch.zeros(after)
    dense("inner", last, width * (n * n + m * m))
    dense("out", width * (n * n + m * m), n * m, size=0.1)
    if settings.components == 3:
        dense("corrected", last + n * m, modules["P"][1])
    return made


def gain_scale(C, state_scale, observation_scale):
    """What gains (n, m) are multiples of."""
    inverse = np.abs(np.linalg.pinv(C))
    return np.where(inverse > 1e-9 * inverse.max(), inverse, state_scale[:, None] / observation_scale)


def _modules(settings):
    return ("gain",) if settings.components == 1 else ("Q", "P", "S")


def _recurrent(w, name, inputs, hidden):
    """A gated recurrent unit behind a dense layer."""
    x = torch.relu(_dense(w, f"{name}.in", torch.cat(inputs, dim=1)))
    return torch.gru_cell(x, hidden, w[f"{name}.now"], w[f"{name}.then"], w[f"{name}.now.bias"],
                          w[f"{name}.then.bias"])


def _dense(w, name, x):
    return linear(x, w[f"{name}.weight"], w[f"{name}.bias"])


def _batch(network, y, x, mean):
    """Observations, which are there, states or None, and first means, as tensors."""
    return (*_observed(y, network.place), None if x is None else _tensor(x, network.place),
            _tensor(mean, network.place))


def _observed(y, place):
    """`y` with 0 where missing, and where it is not missing."""
    seen = ~np.isnan(y)
    return _tensor(np.where(seen, y, 0.0), place), torch.from_numpy(seen).to(place)


def _tensor(array, place):
    return torch.as_tensor(np.array(array, dtype=np.float32), device=place)


def _root(covariance):
    """A square root of a covariance that may be singular."""
    values, vectors = np.linalg.eigh(covariance)
    return vectors * np.sqrt(np.maximum(values, 0))


def _plain(array):
    """A setting as it was before it became an array."""
    return tuple(array.tolist()) if array.ndim else array.item()


def _check(model, y, days):
    if y.ndim != 3 or y.shape[-1] != len(model.C) or y.shape[0] != len(days) or 0 in y.shape:
        raise ValueError(f"The series have the shape {y.shape}: it must be {len(days)} dates, series, {len(model.C)} "
                         f"observed numbers.")


def _check_settings(settings):
    if settings.components not in (1, 3):
        raise ValueError(f"The gain has {settings.components} components: choose 1 or 3.")
    wrong = [name for name in settings.inputs if name not in INPUTS]
    if wrong or not settings.inputs:
        raise ValueError(f"The inputs are {', '.join(map(str, settings.inputs)) or 'none'}: choose one or more of "
                         f"{', '.join(INPUTS)}.")
    for name in ("width", "length", "steps", "batch"):
        if getattr(settings, name) < 1:
            raise ValueError(f"{name} is {getattr(settings, name)}: it must be at least 1.")
