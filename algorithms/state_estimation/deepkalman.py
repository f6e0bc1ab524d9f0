"""Deep Kalman filter: gains, parameters, observation matrix and missing terms of the dynamics, learned from series."""

from dataclasses import dataclass, fields, replace

import numpy as np
import torch

from ..device import one_thread_each
from .model import Differential
from .sindy import Smoother, discover
from .whiteness import FEWEST, deviation

PARAMETERS, DYNAMICS, GAINS, DONE = range(4)   # steps of training, by what each is for
BETA = (0.9, 0.999)
TINY = 1e-8
SETTLED = 1e-2      # relative change of coefficients with which the cycles of sparse regression end
PASSES, NEAR = 20, 1e-6   # of the feed-forward term in operation
H = 1e-4            # of an interval, in which the rate of a flow is measured, and change of a parameter


@dataclass(frozen=True)
class Settings:
    """
    How a deep Kalman filter learns.

    Attributes
    ----------
    terminal, smoothing : float
        lambda_K and lambda_D of the loss (6.4.6).
    weights : str
        P_k of the loss: "predicted", P(k|k-1) of the Kalman recursion, along the estimates where the dynamics are not
        linear; "initial", P(0); "noise", Q.
    complete : bool
        Complete backpropagation (6.A.4), in which gains learn from later dates too, or truncated (6.A.5).
    rate : float
        Adam's learning rate of the gains, and of the feed-forward gain, in the last step.
    shared_rate, scale : float
        Learning rate of p and C; in the first two steps that of the gains is `scale` times smaller (6.4.23).
    steps : tuple of int
        Iterations at most: for p and C, in each cycle of sparse regression, for the gains.
    cycles : int
        Cycles of sparse regression at most.
    whiteness : bool
        Stop learning the gains of a state as the whiteness deviation of its innovations no longer falls (6.4.18), and a
        step when that is so of all observed ones.
    patience : int
        For so many iterations; 1 is the thesis's.
    whitest : bool
        End the last step, where it watches whiteness, with the gains whose innovations were whitest, the mean over what
        is observed, not with those after them.
    trust : float or None
        Gains begin (6.4.24) as if Q and P(0) were this many times the mean variance of observations; None: as they are.
    learn_C, feed_forward : bool
    solver, most, tau
        Of the sparse regression, see `sindy.sparse`.
    """

    terminal: float = 0.0
    smoothing: float = 1.0
    weights: str = "predicted"
    complete: bool = False
    rate: float = 1e-2
    shared_rate: float = 1e-2
    scale: float = 100.0
    steps: tuple = (200, 50, 200)
    cycles: int = 5
    whiteness: bool = True
    patience: int = 1
    whitest: bool = False
    trust: float | None = None
    learn_C: bool = False
    feed_forward: bool = False
    solver: str = "omp"
    most: int = 10
    tau: float = 0.1


@dataclass(frozen=True)
class Learned:
    """
    What the filters of Z zones have learned; float64.

    Attributes
    ----------
    gains : ndarray (Z, T, n, m)
    p : ndarray (Z, r)
    C : ndarray (Z, m, n)
    s : ndarray (Z, n_s, n)
        Coefficients of the dictionary in dx/dt.
    feed : ndarray (Z, n, n)
        G_FF, zero without feed-forward.
    """

    gains: np.ndarray
    p: np.ndarray
    C: np.ndarray
    s: np.ndarray
    feed: np.ndarray


@dataclass(frozen=True)
class Training:
    """
    How training went.

    Attributes
    ----------
    learned : Learned
    loss : list of ndarray
        For each zone that of its iterations, the mean over its series.
    step : list of ndarray
        Which step of training each of these belongs to: PARAMETERS, DYNAMICS or GAINS.
    deviation : ndarray (Z, m)
        Whiteness deviation index of the innovations at the end, the mean over series; NaN where no series has enough.
    course : list of ndarray
        For each zone that of its iterations, (iterations, m); without stopping by whiteness NaN up to the last.
    white : ndarray (Z,) of bool
        Whether the last step ended by whiteness, not by its number of iterations.
    cycles : ndarray (Z,) of int
        Cycles of sparse regression.
    rejected : ndarray (Z,) of bool
        Whether training was cut short somewhere, and the values before kept, as estimates had grown beyond measure.
    """

    learned: Learned
    loss: list
    step: list
    deviation: np.ndarray
    course: list
    white: np.ndarray
    cycles: np.ndarray
    rejected: np.ndarray


@dataclass(frozen=True)
class Estimates:
    """
    States `mean` (Z, B, T, n), predictions `predicted` (Z, B, T, n), and innovations (Z, B, T, m), NaN where missing.
    """

    mean: np.ndarray
    predicted: np.ndarray
    innovation: np.ndarray


@dataclass
class _Zones:
    """State of the training of zones that learn; every tensor has their axis first."""

    gains: torch.Tensor
    p: torch.Tensor
    C: torch.Tensor
    s: torch.Tensor
    feed: torch.Tensor
    P_inverse: torch.Tensor


NAMES = ("gains", "p", "C", "s", "feed")


class DeepKalman:
    """
    x(k|k-1) = f(x(k-1), p, s), x(k) = x(k|k-1) + K(k) (y(k) - C x(k|k-1)), k = 1..T: (6.4.2) and (6.4.3).

    An unrolled filter with a gain of its own for each date and p, C and s for all. A zone is a set of series that share
    all of these; zones do not know of each other and learn at once. Layout: y (Z, B, T, m), zones, series, dates.

    Parameters
    ----------
    build : callable
        The `Forward` of parameters, `build(*p)`: as many numbers as `names`, or tensors (Z, 1, 1) of which its `step`
        must be differentiable on states (Z, B, n), with the axes kept (x[..., :1], not x[..., 0]). All begin at 0
        (6.4.3), so that `build` holds what is known, and scales them: Adam's steps are of the size of its rate.
    intervals : ndarray (T,)
        To each date from the one before; 0 for the first if x(0) is the state there (`model.intervals`).
    R : ndarray (m, m)
    covariance : ndarray (n, n)
        P(0).
    names : tuple of str
        Of the parameters.
    dictionary : Dictionary, optional
        Of the terms that the dynamics may lack. Without it none are sought.
    settings : Settings

    Raises
    ------
    ValueError
        No dates, weights that are not known, or R, P(0) that are not positive definite.

    Notes
    -----
    Loss (6.4.6), the mean over series of lambda_K / 2 ||x(T) - goal||^2 + sum ||y - C x(k)||^2_{R^-1} / 2 + sum
    ||K e||^2_{P_k^-1} / 2, plus lambda_D / (2 m n) of the squared second differences of the gains along the dates.
    A date, or a component, that is missing gives no correction and no loss; R is then that of the others.

    Gradients are autograd's. Complete backpropagation is that of the whole network. In truncated backpropagation the
    recursion sees gains as constants, which leaves p and C complete, and each date's terms are computed once more from
    the prediction as a constant: their gradient in the gains is (6.A.5). Where the appendix differs from (6.4.6) this
    follows the loss: the smoothing gradient is lambda_D / (m n) D^T D v, not lambda_D D^T D v; the direct gradient of
    F^l in C is -R^-1 (y - C x(l)) x(l)^T, with the corrected state, not the predicted; and gradients in p include
    layer k = l. (The derivative of x(k) in C of (6.A.2) lacks its sign, which (6.A.4) has.)

    P_k is one for the series of a zone, as their gains are: P(k|k-1) = A P(k-1) A^T + Q by (5.3.6) and (5.3.13), with
    A the Jacobian of f at the mean estimate of the zone's series, and what is missing for all of them missing. It is
    computed at the beginning of each step and cycle. Dates at which P_k is singular (an interval of 0 from a certain
    state, no noise) are refused.

    Training (Algorithm 6.3.3): first p and C, with gains that learn `scale` times slower; then cycles of sparse
    regression on the estimates, each of which begins with new gains, mask and moments; then the gains. Steps for which
    there is nothing to learn are left out. The deviation index is the mean over a zone's series, of which the algorithm
    asks all to have risen: with many series that never happens. Rows that are masked do not move at all, whatever
    Adam's moments. p and C go on learning in all steps (lines 20-26). Sparse regression gives dx/dt, as with M = 1 in
    (6.4.13): a mass belongs into `build`, and the coefficients are those of (6.4.15) divided by it. Terms found are
    integrated together with a `Differential`; with any other operator, half of them before it and half after.

    Feed-forward: f(x(k-1) + G_FF d) with d = goal - x(0) while learning, goal the known state at the last date. Of
    operation the thesis says that it is computed iteratively; here d is what a pass without it, and then each pass with
    the last, estimates of x(T) - x(0), until that changes no more.

    Not `unfolding.network.Unfolded`: its layers are iterations on one y, with parameters that belong to one layer or to
    all. Here layer k sees y(k) and its own interval, gains are untied while p, C and s are shared, and the loss needs
    what is inside of layers, the predictions.

    References
    ----------
    Thesis, section 6.4 and appendix 6.A. E. Chinellato, F. Marcuzzi, State, parameters and hidden dynamics estimation
    with the deep Kalman filter, J. Comput. Sci. 87, 2025.
    """

    def __init__(self, build, intervals, R, covariance, *, names=(), dictionary=None, settings=Settings()):
        self.build, self.names, self.settings = build, tuple(names), settings
        self.dictionary = dictionary
        self.intervals = np.asarray(intervals, dtype=np.float64)
        self.R, self.P0 = np.atleast_2d(np.asarray(R, float)), np.atleast_2d(np.asarray(covariance, float))
        if not len(self.intervals):
            raise ValueError("There are no dates.")
        if settings.weights not in ("predicted", "initial", "noise"):
            raise ValueError(f"There are no weights {settings.weights}: choose predicted, initial or noise.")
        for name, matrix in (("the observations", self.R), ("the first state", self.P0)):
            if np.linalg.eigvalsh(matrix).min() <= 0:
                raise ValueError(f"The covariance of {name} is not positive definite.")
        forward = build(*[0.0] * len(self.names))
        self.n, self.C0 = forward.n, np.asarray(forward.observed, float)
        self.alone = None if self.names else forward
        self.noises = np.stack([forward.noise(float(h)) for h in self.intervals])
        self.fixed = None
        if forward.linear and not self.names:
            self.fixed = _tensor(np.stack([forward.matrix(float(h)) for h in self.intervals]))

    @one_thread_each()
    def train(self, y, start, goal=None, callback=None):
        """
        Learn from series: `Training`.

        Parameters
        ----------
        y : ndarray (Z, B, T, m)
            NaN where missing.
        start : ndarray, broadcast to (Z, B, n)
            Estimates of x(0).
        goal : ndarray, broadcast to (Z, B, n), optional
            x(T), known or roughly so; needed by `terminal` and `feed_forward`.
        callback : callable, optional
            `callback(zones that are done, zones)` at each iteration.

        Raises
        ------
        ValueError
            Shapes that do not fit; a goal that is missing; whiteness of series that are too short; estimates that grow
            beyond measure before anything is learned.
        """
        run = _Run(self, y, start, goal)
        while run.active.any():
            run.iterate()
            if callback is not None:
                callback(int((~run.active).sum()), len(run.active))
        return run.training()

    @one_thread_each()
    def estimate(self, learned, y, start, goal=None):
        """
        `Estimates` of series `y` (Z, B, T, m) with filters that have learned; without gradients.

        `goal`, where it is known, makes the feed-forward term; otherwise that is found iteratively.
        """
        y, seen, x0 = self._series(y, start)
        zones = _Zones(**_tensors(learned), P_inverse=None)
        with torch.no_grad():
            ahead = torch.zeros_like(x0) if goal is None else _tensor(np.broadcast_to(goal, x0.shape)) - x0
            predicted, e, x = self._pass(zones, y, seen, x0, ahead)
            for _ in range(PASSES if goal is None and zones.feed.any() else 0):
                before, ahead = ahead, x[:, :, -1] - x0
                predicted, e, x = self._pass(zones, y, seen, x0, ahead)
                if (ahead - before).abs().max() <= NEAR * ahead.abs().max():
                    break
        return Estimates(x.numpy(), predicted.numpy(), np.where(seen.numpy(), e.numpy(), np.nan))

    def covariances(self, learned, estimates, covariance=None):
        """
        P(k) (Z, B, T, n, n) of estimates with the gains learned, whatever they are worth.

        (I - K C) P(k|k-1) (I - K C)^T + K R K^T (Joseph's form), which holds for every gain; f is linearised at the
        mean estimate of each zone. `covariance` is P(0), by default the one given.
        """
        zones = _Zones(**_tensors(learned), P_inverse=None)
        x = _tensor(estimates.mean)
        A = self._jacobians(zones, torch.cat([x[:, :, :1], x[:, :, :-1]], dim=2).mean(1))
        seen = ~np.isnan(estimates.innovation)
        P, found = np.broadcast_to(self.P0 if covariance is None else covariance, (*x.shape[:2], self.n, self.n)), []
        for k in range(len(self.intervals)):
            P = A[:, None, k] @ P @ _t(A[:, None, k]) + self.noises[k]
            K = learned.gains[:, None, k] * seen[:, :, k, None, :]
            keep = np.eye(self.n) - K @ learned.C[:, None]
            P = keep @ P @ _t(keep) + K @ self.R @ _t(K)
            found.append(P)
        return np.stack(found, axis=2)

    @one_thread_each()
    def kalman_gains(self, learned, y, start):
        """Gains (Z, T, n, m) of the Kalman recursion along the mean estimates of series, with what is learned."""
        settings = replace(self.settings, terminal=0.0, feed_forward=False, whiteness=False)
        run = _Run(DeepKalman(self.build, self.intervals, self.R, self.P0, names=self.names,
                              dictionary=self.dictionary, settings=settings), y, start, None)
        run.zones = replace(run.zones, **_tensors(learned))
        P, C = run._predicted(np.arange(len(run.active))), learned.C[:, None]
        return _t(np.linalg.solve(C @ P @ _t(C) + self.R, C @ P))

    def gradients(self, learned, y, start, goal=None):
        """
        The loss of each zone (Z,) and its gradients by name, in all that can be learned but s, as training sees them.
        """
        run = _Run(self, y, start, goal)
        run.zones = replace(run.zones, **_tensors(learned))
        run.weigh(np.arange(len(run.active)))
        loss, gradients, _ = run.gradients(np.arange(len(run.active)))
        return loss.numpy(), {name: gradient.numpy() for name, gradient in gradients.items()}

    def _series(self, y, start):
        y = np.asarray(y, dtype=np.float64)
        T, m = len(self.intervals), len(self.R)
        if y.ndim != 4 or y.shape[2:] != (T, m) or 0 in y.shape:
            raise ValueError(f"The series have the shape {y.shape}: it must be zones, series, {T} dates and {m} "
                             f"observed numbers, and some of each.")
        if np.isinf(y).any():
            raise ValueError("Some observations are infinite: mark missing ones by NaN.")
        seen = ~np.isnan(y)
        x0 = np.broadcast_to(np.asarray(start, float), (*y.shape[:2], self.n))
        return _tensor(np.where(seen, y, 0.0)), torch.from_numpy(seen), _tensor(x0)

    def _forwards(self, p):
        return self.alone or self.build(*(p[:, i, None, None] for i in range(len(self.names))))

    def _step(self, zones, forward, x, k):
        """f over the interval before date k, with the terms found."""
        h = float(self.intervals[k])
        if h == 0:
            return x
        if self.dictionary is None or not zones.s.any():
            return x @ self.fixed[k].T if self.fixed is not None else forward.step(x, h)

        def added(x):
            return self.dictionary(x) @ zones.s
        if isinstance(forward, Differential):
            return Differential(lambda x: forward.rate(x) + added(x), self.n, forward.Q, forward.longest).step(x, h)
        half = Differential(added, self.n, np.zeros((self.n, self.n)), longest=h)
        x = half.step(x, h / 2)
        return half.step(x @ self.fixed[k].T if self.fixed is not None else forward.step(x, h), h / 2)

    def _pass(self, zones, y, seen, x, ahead):
        """Predictions, innovations (0 where missing) and states (Z, B, T, ...)."""
        forward = self._forwards(zones.p)
        push = ahead @ zones.feed.mT
        found = []
        for k in range(len(self.intervals)):
            predicted = self._step(zones, forward, x + push, k)
            e = torch.where(seen[:, :, k], y[:, :, k] - predicted @ zones.C.mT, 0.0)
            x = predicted + e @ zones.gains[:, k].mT
            found.append((predicted, e, x))
        return (torch.stack(parts, dim=2) for parts in zip(*found))

    def _jacobians(self, zones, x, dates=None):
        """df/dx (Z, T, n, n) at states `x` (Z, T, n), those that the steps to each date, or to `dates`, begin from."""
        A = torch.empty((*x.shape, self.n), dtype=x.dtype)
        forward, intervals = self._forwards(zones.p), self.intervals if dates is None else self.intervals[dates]
        for h in np.unique(intervals):
            which = np.flatnonzero(intervals == h)
            at = x[:, which].detach().requires_grad_()
            out = self._step(zones, forward, at, np.flatnonzero(self.intervals == h)[0])
            for i in range(self.n):
                A[:, which, i] = torch.autograd.grad(out[..., i].sum(), at, retain_graph=True)[0]
        return A.numpy()

    def _known(self, p):
        """The known rate of states (..., n), arrays, with parameters (r,): that of the flow where no rate is given."""
        forward = self.build(*(float(value) for value in p))
        if isinstance(forward, Differential):
            return forward.rate
        h = H * float(self.intervals[self.intervals > 0].mean())
        return lambda x: (forward.step(x, h) - forward.step(x, -h)) / (2 * h)


class _Run:
    """One training of all zones."""

    def __init__(self, model, y, start, goal):
        self.model, self.settings = model, model.settings
        self.y, self.seen, self.x0 = model._series(y, start)
        Z, r = len(self.y), len(model.names)
        if goal is None and (self.settings.terminal or self.settings.feed_forward):
            raise ValueError("A weight of the terminal state, or the feed-forward term, needs the state at the last "
                             "date. Give it, or set both to none.")
        self.goal = None if goal is None else _tensor(np.broadcast_to(np.asarray(goal, float), self.x0.shape))
        self.ahead = torch.zeros_like(self.x0)
        if self.settings.feed_forward:
            self.ahead = self.goal - self.x0
        self.long = (self.seen.sum(dim=2) >= FEWEST).numpy()
        if self.settings.whiteness and not self.long.any(axis=1).all():
            raise ValueError(f"No series has {FEWEST} observations: whiteness cannot be told. Give longer series, or "
                             f"learn without stopping by whiteness.")
        self.R_inverse = self._weights_of_observations()
        size = len(model.dictionary.terms) if model.dictionary else 0
        self.zones = _Zones(torch.zeros(Z, *self.y.shape[2:3], model.n, self.y.shape[3], dtype=torch.float64),
                            torch.zeros(Z, r, dtype=torch.float64), _tensor(np.tile(model.C0, (Z, 1, 1))),
                            torch.zeros(Z, size, model.n, dtype=torch.float64),
                            torch.zeros(Z, model.n, model.n, dtype=torch.float64),
                            torch.zeros(Z, *self.y.shape[2:3], model.n, model.n, dtype=torch.float64))
        everyone = np.arange(Z)
        self.covers = model.C0 != 0
        self.stage = np.full(Z, PARAMETERS if r or self.settings.learn_C else DYNAMICS if size else GAINS)
        self.cycles, self.white, self.rejected = np.zeros(Z, int), np.zeros(Z, bool), np.zeros(Z, bool)
        self.loss, self.steps, self.course = ([[] for _ in everyone] for _ in range(3))
        self.deviation = np.full((Z, self.y.shape[3]), np.nan)
        self.smoother = Smoother(np.cumsum(model.intervals)) if size else None
        self.previous = _at(self.zones, everyone)
        self.mask = torch.ones(Z, model.n, 1, dtype=torch.float64)
        self.count, self.since = np.zeros(Z, int), np.zeros(self.deviation.shape, int)
        self.least = np.full(self.deviation.shape, np.inf)
        self.best, self.best_deviation = self.zones.gains.clone(), np.full(self.deviation.shape, np.inf)
        self.adam = _Adam(Z)
        self.begin(everyone)

    @property
    def active(self):
        return self.stage < DONE

    def _weights_of_observations(self):
        """R^-1 (m, m), or (Z, B, T, m, m) where components are missing alone and others covary with them."""
        R, seen = _tensor(self.model.R), self.seen
        apart = bool((R == torch.diag(torch.diagonal(R))).all())
        if apart or bool((seen.all(-1) | ~seen.any(-1)).all()):
            return torch.linalg.inv(R)
        both = seen[..., :, None] & seen[..., None, :]
        return torch.linalg.inv(torch.where(both, R, torch.eye(len(R), dtype=R.dtype)))

    @np.errstate(over="ignore", invalid="ignore")   # of estimates that grow beyond measure, which is told of later
    def begin(self, which):
        """New gains (6.4.24), moments, mask, and weights, for zones that begin a step or a cycle."""
        self.zones.gains[which] = self._first_gain(which)
        self.adam.forget(which)
        self.rest(which)
        self.weigh(which)

    def rest(self, which):
        """A new mask, and a new watch of whiteness."""
        self.mask[which] = 1.0
        self.count[which], self.since[which], self.least[which] = 0, 0, np.inf

    def _first_gain(self, which):
        """P(1) C^T R^-1, which is P(1|0) C^T (C P(1|0) C^T + R)^-1; (z, 1, n, m)."""
        model, trust, C = self.model, self.settings.trust, self.model.C0
        if trust is None:
            A = model._jacobians(_at(self.zones, which), self.x0[which].mean(dim=1, keepdim=True), [0])[:, 0]
            P = A @ model.P0 @ _t(A) + model.noises[0]
        else:
            P = np.broadcast_to(2 * trust * np.trace(model.R) / len(model.R) * np.eye(model.n),
                                (len(which), model.n, model.n))
        return _tensor(_t(np.linalg.solve(C @ P @ C.T + model.R, C @ P))[:, None])

    def weigh(self, which):
        """P_k^-1 for zones, by the settings."""
        model, kind = self.model, self.settings.weights
        T = len(model.intervals)
        if kind == "initial":
            P = np.broadcast_to(model.P0, (len(which), T, model.n, model.n))
        elif kind == "noise":
            P = np.broadcast_to(model.noises, (len(which), T, model.n, model.n))
        else:
            P = self._predicted(which)
        try:
            self.zones.P_inverse[which] = _tensor(np.linalg.inv(P))
        except np.linalg.LinAlgError:
            raise ValueError("The covariance P_k that weighs corrections is singular at some date. Give all states "
                             "some noise, or another choice of weights.") from None

    def _predicted(self, which):
        """P(k|k-1) (z, T, n, n), along the mean estimates of the zones."""
        model, zones = self.model, _at(self.zones, which)
        with torch.no_grad():
            _, _, x = model._pass(zones, self.y[which], self.seen[which], self.x0[which], self.ahead[which])
            before = torch.cat([self.x0[which][:, :, None], x[:, :, :-1]], dim=2).mean(dim=1)
        A, C = model._jacobians(zones, before), zones.C.numpy()
        seen = self.seen[which].any(dim=1).numpy()
        P, found = np.broadcast_to(model.P0, (len(which), model.n, model.n)), []
        for k in range(len(model.intervals)):
            P = A[:, k] @ P @ _t(A[:, k]) + model.noises[k]
            found.append(P)
            there = C * seen[:, k, :, None]
            both = seen[:, k, :, None] & seen[:, k, None, :]
            S = there @ P @ _t(there) + np.where(both, model.R, np.eye(len(model.R)))
            P = P - _t(there @ P) @ np.linalg.solve(S, there @ P)
            P = (P + _t(P)) / 2
        return np.stack(found, axis=1)

    def gradients(self, which):
        """Loss (z,), gradients by name, and the innovations (z, B, T, m), of zones."""
        model, settings = self.model, self.settings
        zones = _at(self.zones, which)
        shared = [name for name, wanted in (("p", len(model.names)), ("C", settings.learn_C),
                                            ("feed", settings.feed_forward)) if wanted]
        wanted = ["gains", *shared]
        for name in wanted:
            getattr(zones, name).requires_grad_()
        y, seen, x0, ahead = (part[which] for part in (self.y, self.seen, self.x0, self.ahead))
        goal = None if self.goal is None else self.goal[which]
        R_inverse = self.R_inverse if self.R_inverse.ndim == 2 else self.R_inverse[which]
        about = y, seen, goal, R_inverse, zones.P_inverse
        if settings.complete:
            predicted, e, x = model._pass(zones, y, seen, x0, ahead)
            loss = total = self._loss(zones.gains, zones.C, e, x, *about)
        else:
            fixed = replace(zones, gains=zones.gains.detach())
            with torch.set_grad_enabled(bool(shared)):
                predicted, e, x = model._pass(fixed, y, seen, x0, ahead)
            later = self._loss(fixed.gains, zones.C, e, x, *about) if shared else 0.0
            e = e.detach()
            own = predicted.detach() + torch.einsum("zkij,zbkj->zbki", zones.gains, e)
            loss = self._loss(zones.gains, zones.C.detach(), e, own, *about)
            total = loss + later
        found = torch.autograd.grad(total.sum(), [getattr(zones, name) for name in wanted])
        return loss.detach(), dict(zip(wanted, found)), e.detach()

    def _loss(self, gains, C, e, x, y, seen, goal, R_inverse, P_inverse):
        """(6.4.6) of each zone, of corrections by `gains` from innovations `e` to states `x`."""
        misfit = torch.where(seen, y - torch.einsum("zij,zbkj->zbki", C, x), 0.0)
        moved = torch.einsum("zkij,zbkj->zbki", gains, e)
        loss = (misfit * (R_inverse @ misfit[..., None])[..., 0]).sum((1, 2, 3)) / 2
        loss = loss + torch.einsum("zbki,zkij,zbkj->z", moved, P_inverse, moved) / 2
        if self.settings.terminal:
            loss = loss + self.settings.terminal / 2 * (x[:, :, -1] - goal).square().sum((1, 2))
        bend = gains[:, 2:] - 2 * gains[:, 1:-1] + gains[:, :-2]
        return loss / y.shape[1] + (self.settings.smoothing / (2 * gains.shape[2] * gains.shape[3])
                                    * bend.square().sum((1, 2, 3)))

    def iterate(self):
        """One forward pass of all zones that learn, and what follows of it for each."""
        which = np.flatnonzero(self.active)
        loss, gradients, e = self.gradients(which)
        sound = torch.isfinite(loss).numpy()
        for gradient in gradients.values():
            sound &= torch.isfinite(gradient).flatten(1).all(1).numpy()
        self._retreat(which[~sound])
        for z, value in zip(which[sound], loss.numpy()[sound]):
            self.loss[z].append(float(value))
            self.steps[z].append(int(self.stage[z]))
        ended = ~sound
        ended[sound] = self._watch(which[sound], e[sound])
        for z in which[sound]:
            self.course[z].append(self.deviation[z].copy())
        learning = ~ended
        self._update(which[learning], {name: gradient[learning] for name, gradient in gradients.items()})
        self.count[which[learning]] += 1
        self._go_on(which[ended], sound[ended])

    def _retreat(self, which):
        """Estimates that grew beyond measure: what was there before the last change."""
        if not len(which):
            return
        if any(not self.loss[z] for z in which):
            raise ValueError("The estimates grow beyond measure before anything is learned: the dynamics are unstable "
                             "over these intervals. Check their parameters and units.")
        for name in NAMES:
            getattr(self.zones, name)[which] = getattr(self.previous, name)[which]
        self.rejected[which] = True

    def _watch(self, which, e):
        """Masks of the zones by whiteness (6.4.18), and which have ended their step or cycle."""
        ended = self.count[which] >= np.array(self.settings.steps)[self.stage[which]]
        measured = which if self.settings.whiteness else which[ended & (self.stage[which] == GAINS)]
        self._measure(measured, e[np.isin(which, measured)].numpy())
        if not self.settings.whiteness:
            return ended
        now = np.where(np.isnan(self.deviation[which]), np.inf, self.deviation[which])
        better = now < self.least[which]
        self.since[which] = np.where(better, 0, self.since[which] + 1)
        self.least[which] = np.minimum(now, self.least[which])
        if self.settings.whitest:
            best = which[(self.stage[which] == GAINS) & (
                now.mean(axis=1) < self.best_deviation[which].mean(axis=1))]
            self.best[best], self.best_deviation[best] = self.zones.gains[best], self.deviation[best]
        frozen = self.since[which] >= self.settings.patience
        rows = (frozen[:, :, None] & self.covers).any(axis=1)
        self.mask[which] *= torch.from_numpy(~rows)[:, :, None]
        self.white[which] = (self.mask[which][:, self.covers.any(axis=0), 0] == 0).all(dim=1).numpy()
        return ended | self.white[which]

    def _measure(self, which, e):
        """The whiteness deviation of innovations `e` (z, B, T, m): means over the series that have enough."""
        long = self.long[which]
        index = np.zeros(long.shape)
        if long.any():
            index[long] = deviation(np.swapaxes(np.where(self.seen[which].numpy(), e, np.nan), 2, 3)[long])
        there = long.sum(axis=1)
        self.deviation[which] = np.where(there > 0, index.sum(axis=1) / np.maximum(there, 1), np.nan)

    def _update(self, which, gradients):
        if not len(which):
            return
        settings = self.settings
        for name in NAMES:
            getattr(self.previous, name)[which] = getattr(self.zones, name)[which]
        slow = settings.shared_rate / settings.scale
        rate = torch.from_numpy(np.where(self.stage[which] == GAINS, settings.rate, slow))
        for name, change in self.adam.step(which, gradients).items():
            each = rate if name in ("gains", "feed") else torch.full_like(rate, settings.shared_rate)
            change = change * each.reshape(-1, *[1] * (change.ndim - 1))
            if name == "gains":
                change = change * self.mask[which][:, None]
            getattr(self.zones, name)[which] -= change

    def _go_on(self, which, sound):
        """From one step or cycle to the next (Algorithm 6.3.3)."""
        stage, dictionary = self.stage[which], self.model.dictionary
        last = which[stage == GAINS]
        self.stage[last] = DONE
        if self.settings.whitest:
            last = last[np.isfinite(self.best_deviation[last]).all(axis=1)]
            self.zones.gains[last], self.deviation[last] = self.best[last], self.best_deviation[last]
        which, sound, stage = (part[stage < GAINS] for part in (which, sound, stage))
        if not len(which):
            return
        cycle = (stage == PARAMETERS) | (sound & (self.cycles[which] < self.settings.cycles))
        cycle &= dictionary is not None and self.settings.cycles > 0
        self.stage[which] = GAINS
        again = which[cycle]
        if len(again):
            self.stage[again[self._discover(again)]] = DYNAMICS
        if dictionary is None:
            self.adam.forget(which)
            self.rest(which)
            self.weigh(which)
        else:
            self.begin(which)

    def _discover(self, which):
        """Sparse regression on the estimates of zones; in which of them the coefficients have changed."""
        model, settings, zones = self.model, self.settings, _at(self.zones, which)
        with torch.no_grad():
            _, _, x = model._pass(zones, self.y[which], self.seen[which], self.x0[which], self.ahead[which])
        observed = self.covers.any(axis=0)
        changed = []
        for i, z in enumerate(which):
            seen = (self.seen[z].numpy()[..., None] & self.covers).any(axis=2) | ~observed
            s = _tensor(discover(x[i].numpy(), self.smoother, model._known(self.zones.p[z]), model.dictionary,
                                 seen=seen, free=self._free(z) if model.names else None, solver=settings.solver,
                                 most=settings.most, tau=settings.tau))
            changed.append(bool((s - self.zones.s[z]).norm() > SETTLED * s.norm()))
            self.previous.s[z] = self.zones.s[z]
            self.zones.s[z] = s
        self.cycles[which] += 1
        return np.array(changed)

    def _free(self, z):
        """Derivatives (..., n, r) of a zone's known rate in its parameters."""
        p, steps = self.zones.p[z], H * torch.eye(len(self.model.names), dtype=torch.float64)
        pairs = [(self.model._known(p + step), self.model._known(p - step)) for step in steps]
        return lambda x: np.stack([(ahead(x) - behind(x)) / (2 * H) for ahead, behind in pairs], axis=-1)

    def training(self):
        learned = Learned(*(getattr(self.zones, name).numpy() for name in NAMES))
        loss, step, course = ([np.array(part) for part in parts] for parts in (self.loss, self.steps, self.course))
        return Training(learned, loss, step, self.deviation, course, self.white, self.cycles, self.rejected)


class _Adam:
    """Adam for all zones, each of which counts its own steps and may forget."""

    def __init__(self, Z):
        self.steps, self.moments = torch.zeros(Z, dtype=torch.float64), {}

    def forget(self, which):
        self.steps[which] = 0
        for pair in self.moments.values():
            for moment in pair:
                moment[which] = 0

    def step(self, which, gradients):
        """The directions, of the size of one, in which to change what the gradients are of."""
        self.steps[which] += 1
        corrections, found = [1 - beta**self.steps[which] for beta in BETA], {}
        for name, gradient in gradients.items():
            pair = self.moments.setdefault(name, [torch.zeros((len(self.steps), *gradient.shape[1:]),
                                                              dtype=gradient.dtype) for _ in BETA])
            means = []
            for moment, beta, value, correction in zip(pair, BETA, (gradient, gradient**2), corrections):
                moment[which] = beta * moment[which] + (1 - beta) * value
                means.append(moment[which] / correction.reshape(-1, *[1] * (gradient.ndim - 1)))
            found[name] = means[0] / (means[1].sqrt() + TINY)
        return found


def _at(zones, which):
    """What belongs to some zones, copied."""
    return _Zones(*(getattr(zones, field.name)[which].detach().clone() for field in fields(zones)))


def _tensors(learned):
    return {name: _tensor(getattr(learned, name)) for name in NAMES}


def _tensor(array):
    return torch.from_numpy(np.array(array, dtype=np.float64))


def _t(matrix):
    return np.swapaxes(matrix, -1, -2)
