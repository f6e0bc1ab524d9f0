"""What tools for deep Kalman filters share: filters of components, and how those that have learned estimate."""

from dataclasses import dataclass, replace

from . import _model
from ._model import YEAR
from ._zones import final_state

VALUES = 1_000_000  # numbers of a covariance that are held at once
SETTLED = 0.01      # of an image's noise: change of a last state with which feed-forward has found it
SLOPE = "slope of the trend"
UNSETTLED = "UNSETTLED"   # among what a block gives: the pixels in which it has not
STATE_NAMES = {"RandomWalk": ["level"], "LinearTrend": ["level", SLOPE], "Logistic": ["level"]}


@dataclass(frozen=True)
class Design:
    """
    How a `DeepKalman` is made of a component.

    Attributes
    ----------
    names : tuple of str
        Of the parameters of its dynamics that are learned, as logarithms of factors.
    degree : int
        Of the terms sought; 0: none are.
    unit : float
        Of time, in days.
    before : float
        Units of time from the first state to the first image; 0: it is the state there.
    """

    names: tuple
    degree: int
    unit: float
    before: float

    def filter(self, component, days, settings=None):
        """The `DeepKalman` for images at these days."""
        from ...algorithms.state_estimation.model import intervals
        steps = intervals(days / self.unit)
        steps[0] = self.before
        return self._over(component, steps, settings)

    def step(self, component, learned, x, days):
        """States `x` (Z, B, n) after so many days without images, with what is `learned`."""
        import numpy as np
        (Z, B, _), m = x.shape, len(component.R)
        alone = replace(learned, gains=np.zeros((Z, 1, x.shape[2], m)), feed=np.zeros_like(learned.feed))
        return self._over(component, [days / self.unit], None).estimate(alone, np.full((Z, B, 1, m), np.nan),
                                                                        x).mean[:, :, 0]

    def _over(self, component, steps, settings):
        import numpy as np

        from ...algorithms.state_estimation.deepkalman import DeepKalman, Settings
        from ...algorithms.state_estimation.sindy import Dictionary
        forward, names = component.forward, self.names

        def build(*logarithms):
            factors = {name: each.exp() if hasattr(each, "exp") else np.exp(each)
                       for name, each in zip(names, logarithms)}
            return replace(forward, **{name: getattr(forward, name) * factor for name, factor in factors.items()}) \
                if names else forward

        without = tuple({"rate": (0,), "capacity": (0, 0)}[name] for name in names)
        return DeepKalman(build, steps, component.R, component.covariance, names=names,
                          dictionary=Dictionary(forward.n, self.degree, without) if self.degree else None,
                          settings=settings or Settings())


def estimator(model, design, learned, limits):
    """
    `estimate` of a `StatesTool`, by what a `DeepKalman` of each component has learned for each zone.

    Gains are those of the images' dates. Pixels have the number of their zone behind their bands, and may have their
    final state, see `Zoned`. Feed-forward acts before each image, towards the final state, or where it is not known
    towards what the filter itself ends at; where that is not found, the pixel is counted as UNSETTLED.
    """
    import numpy as np

    from ...algorithms.state_estimation.deepkalman import Estimates, Learned
    from ...algorithms.state_estimation.model import restart
    from ...algorithms.state_estimation.terminal import completed
    observed, bands = model.observed, len(model.bands)
    filters = [[design.filter(each, days) for days in (model.days[observed], model.days)] for each in model.components]
    forward = any(each.feed.any() for each in learned)

    def part_of(own, which):
        return Learned(*(getattr(own, name)[which] for name in ("gains", "p", "C", "s", "feed")))

    def at_images(ours, own, y, x0, goal):
        """`Estimates`, what feed-forward adds after each image, and in which series it has settled."""
        if not own.feed.any():
            return ours.estimate(own, y, x0), np.zeros_like(x0), np.ones(len(y), bool)
        goal = np.full(x0.shape, np.nan) if goal is None else goal.copy()
        sought = np.isnan(goal).any(axis=(1, 2))
        if sought.any():
            goal[sought] = ours.estimate(part_of(own, sought), y[sought], x0[sought]).mean[:, :, -1]
        found = ours.estimate(own, y, x0, goal)
        off = np.abs((found.mean[:, :, -1] - goal) @ ours.C0.T).max(axis=(1, 2))
        settled = ~sought | (off <= SETTLED * np.sqrt(np.diag(ours.R).min()))
        return found, np.einsum("zij,zbj->zbi", own.feed, goal - x0), settled

    def at_all(component, own, found, push):
        """`Estimates` at all dates: between images and after them the dynamics go on by themselves."""
        (Z, B, _, n), m = found.mean.shape, len(component.R)
        mean, innovation = np.empty((Z, B, model.T, n)), np.full((Z, B, model.T, m), np.nan)
        mean[:, :, observed], innovation[:, :, observed] = found.mean, found.innovation
        for date in np.setdiff1d(np.arange(model.T), observed):
            k = np.searchsorted(observed, date) - 1
            begin = found.mean[:, :, k] + (push if k < len(observed) - 1 else 0.0)
            mean[:, :, date] = design.step(component, own, begin, model.days[date] - model.days[observed[k]])
        return Estimates(mean, None, innovation)

    def estimate_pixels(Y, valid):
        zone, known, means, variances = Y[0, -1].astype(int), final_state(Y, bands), [], []
        goals = [None] * len(filters) if known is None or not forward else model.split(known[None])
        settled = np.ones(len(zone), bool)
        for part, each, ours, (images, dates), goal in zip(model.split(model.series(Y, valid)), model.components,
                                                           learned, filters, goals):
            own = part_of(ours, zone)
            if goal is not None:
                goal = completed(part, model.days[observed] / design.unit, each, goal[0])[:, None]
            found, push, good = at_images(images, own, part.swapaxes(0, 1)[:, None], restart(each, part).mean[:, None],
                                          goal)
            found = at_all(each, own, found, push)
            gains = np.zeros((len(zone), model.T, *own.gains.shape[2:]))
            gains[:, observed] = own.gains
            P = dates.covariances(replace(own, gains=gains), found)
            settled &= good
            means.append((found.mean[:, 0] @ each.C.T).swapaxes(0, 1))
            variances.append(np.einsum("ij,qtjk,ik->tqi", each.C, P[:, 0], each.C, optimize=True))
        values, sd = model.back(np.concatenate(means, axis=-1), np.concatenate(variances, axis=-1))
        return values, sd, np.float32(~settled[None, None])

    size = max(each.forward.n for each in model.components)
    most = max(1, VALUES // (model.T * size * (size + 6)))

    def estimate_block(Y, valid):
        values, sd, unsettled = _model.in_parts(estimate_pixels, most, Y, valid)
        return values if limits is None else np.clip(values, *np.float32(limits)), sd, \
            {UNSETTLED: unsettled} if forward else {}
    return estimate_block


def unsettled(found):
    """In how many pixels of a block feed-forward has not found the last state."""
    return int(found.more[UNSETTLED].sum()) if UNSETTLED in found.more else 0


def warn_of_unsettled(job, count):
    if count:
        job.warn("Feed-forward has not settled in {count} pixels without a final state, whose states are not to be "
                 "trusted. Learn again with a larger LAMBDAD or without feed-forward (FEEDFORWARD).", count=count)


def yearly(s, terms, states, unit):
    """Coefficients (n_s, n) of `terms`, in time units of `unit` days, for changes and slopes in a year."""
    import numpy as np
    scale = np.where(np.array(states) == SLOPE, YEAR / unit, 1.0)
    return s * (YEAR / unit) * scale / np.array([[np.prod(scale[list(term)])] for term in terms])


def in_units(forward, unit, limits):
    """The same dynamics with `unit` days as the unit of time; logistic ones that go on within `limits`."""
    from ...algorithms.state_estimation import model
    if isinstance(forward, model.LinearTrend):
        return model.LinearTrend(forward.level * unit, forward.slope * unit**3)
    if isinstance(forward, model.Seasonal):
        return replace(forward, level=forward.level * unit, season=forward.season * unit, period=forward.period / unit)
    if isinstance(forward, model.Logistic):
        return replace(forward, rate=forward.rate * unit, level=forward.level * unit, limits=limits)
    if isinstance(forward, model.LinearOperator):
        return model.LinearOperator.of_rate(forward.A, forward.rate * unit, forward.interval / unit)
    return replace(forward, level=forward.level * unit)


def state_names(forward, bands):
    """What the states of a component are called: of a table the bands."""
    kind = type(forward).__name__
    if kind == "LinearOperator":
        return list(bands)
    if kind == "Seasonal":
        return ["level", *(f"{part}{wave}" for wave in range(1, forward.harmonics + 1) for part in ("wave", "quarter"))]
    return STATE_NAMES[kind]
