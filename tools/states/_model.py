"""The state-space model that a tool's parameters declare, on the series of its images."""

import csv
from dataclasses import dataclass

YEAR = 365.25
MOST_SERIES = 400        # of which noise is estimated
STABLE = 1 + 1e-6        # spectral radius of an operator, at most
LEARNERS = 60            # members of the ensembles by which noise is estimated where dynamics are not linear
LOWEST = 1e-3            # of the capacity, below which logistic growth would take for ever


@dataclass
class Model:
    """
    Series of images as a filter takes them, their state-space models, and the way back to the images' quantity.

    D dates are estimated, of which T are images. In the softmax basis, P fractions are P - 1 components.

    Attributes
    ----------
    bands : list of str
    fractions : bool
        Whether they are filtered in the softmax basis.
    dates : list of D datetime
    days : ndarray (D,)
        Since the first.
    observed : ndarray (T,) of int
        Which dates are images.
    orders : list of ndarray
        The bands of each image in the order of `bands`.
    components : list of algorithms.state_estimation.model.StateSpace
        One per component, or a single one of all that couples them; each with the mean of sample series, in whose place
        `restart` puts that of others.
    levels : list of (str, float, float or None, float)
        For the report: component, standard deviations of its steps in a year, of its course's, and of its noise.
    settled : bool
        Whether the levels that were estimated have converged.
    """

    bands: list
    fractions: bool
    dates: list
    days: object
    observed: object
    orders: list
    components: list = None
    levels: list = None
    settled: bool = True

    @property
    def T(self):
        """Number of dates that are estimated."""
        return len(self.dates)

    @property
    def names(self):
        """Their dates as words."""
        from ...engine.dates import written
        return [written(date) for date in self.dates]

    @property
    def coupled(self):
        """Whether one model holds all components."""
        return len(self.components) == 1 and len(self.components[0].forward.observed) > 1

    def series(self, Y, valid):
        """Series (T, n, m) of pixels `Y` (T, L, n) in the components, NaN where not `valid` (T, n)."""
        import numpy as np

        from ...algorithms.state_estimation.simplex import to_basis
        y = np.stack([part[order] for part, order in zip(Y, self.orders)])
        y[np.broadcast_to(~valid[:, None], y.shape)] = np.nan
        y = y.swapaxes(1, 2)
        return to_basis(y) if self.fractions else y

    def split(self, y):
        """The series (T, n, m) for each of `components`: one component each (T, n, 1), or all."""
        return [y] if self.coupled else [y[..., component, None] for component in range(y.shape[-1])]

    def back(self, mean, variance):
        """
        Values and standard deviations (D, L, n) in the images' quantity, of components with independent errors.

        Without a variance, no deviation.
        """
        import numpy as np

        from ...algorithms.state_estimation.simplex import from_basis, spread_of_normal
        values, sd = from_basis(mean) if self.fractions else mean, None
        if variance is not None:
            sd = spread_of_normal(mean, variance) if self.fractions else np.sqrt(variance)
            sd = sd.astype(np.float32).swapaxes(1, 2)
        return values.astype(np.float32).swapaxes(1, 2), sd


def in_parts(estimate, most, Y, valid):
    """What `estimate(Y (T, L, n), valid (T, n))` gives, arrays (dates, bands, n), asked for `most` pixels at a time."""
    import numpy as np
    parts = [estimate(Y[:, :, k:k + most], valid[:, k:k + most]) for k in range(0, Y.shape[2], most)]
    return [np.concatenate(each, axis=2) for each in zip(*parts)]


def declared(job, tool, sequence):
    """The `Model` of a tool's parameters, without its components: they are `learned` from a sample."""
    from ...engine.sentences import UserError
    fractions = job.value(tool.quantity) == "fractions"
    if fractions and sequence.L < 2:
        raise UserError("The images have one band, and fractions need two or more. Choose values (QUANTITY).")
    if fractions and job.value(tool.dynamics) == "logistic":
        raise UserError("Logistic dynamics act on values between 0 and CAPACITY, not on fractions in the softmax "
                        "basis, where a local linear trend is logistic. Choose that (DYNAMICS), or values (QUANTITY).")
    return dated(job, tool, sequence, fractions)


def dated(job, tool, sequence, fractions):
    """The `Model` of images and further dates, without its components."""
    import numpy as np

    from ...engine.dates import of_words, written
    from ...engine.sentences import UserError
    from ..multitemporal._sequence import orders_by_name
    further = of_words(job.value(tool.at) or "", tool.at.label)
    for date in further:
        if date < sequence.dates[0]:
            raise UserError("The further date {date} is before the first image, {first}. Choose dates after it (AT).",
                            date=written(date), first=sequence.names[0])
    dates = sorted({*sequence.dates, *further})
    days = np.array([(date - dates[0]).total_seconds() / 86400 for date in dates])
    observed = np.array([dates.index(date) for date in sequence.dates])
    orders = orders_by_name(sequence.scenes) if fractions else [np.arange(sequence.L)] * sequence.T
    return Model(sequence.grid.band_names, fractions, dates, days, observed, orders)


def learn(job, tool, model, y):
    """
    Give the `model` its components, with noise as given or estimated from sample series `y` (T, n, m).

    Noise and steps of linear dynamics are the most likely together. Logistic growth is seldom that of its rate alone,
    and steps that must make up for a wrong one are so likely that no noise would be left, nor uncertainty: there noise
    is the most likely with a local linear trend, which follows any smooth course, and steps are so given it.
    """
    import numpy as np

    from ...algorithms.state_estimation import ensemble
    from ...algorithms.state_estimation.kalmanfilter import noise_levels
    from ...algorithms.state_estimation.model import LinearTrend, start, variance
    given = [None if job.value(each) is None else job.value(each) ** 2 for each in (tool.step, tool.course)]
    noise = None if job.value(tool.noise) is None else job.value(tool.noise) ** 2
    days, sample = model.days[model.observed], y[:, ::-(-y.shape[1] // MOST_SERIES)]
    coupled = job.value(tool.dynamics) == "table"
    parts = [sample] if coupled else [sample[..., component, None] for component in range(y.shape[-1])]
    labels = ["all bands"] if coupled else [f"basis {number}" for number in range(1, len(parts) + 1)] \
        if model.fractions else model.bands
    model.components, model.levels = [], []
    for number, (label, part) in enumerate(zip(labels, parts)):
        make, powers = _dynamics(job, tool, model, variance(part))
        steps = [None if level is None else level / YEAR**power for level, power in zip(given, powers)]
        R, sought = noise, noise is None or None in steps
        check_sample(job, tool, label, part, sought)
        linear = make(*[0.0] * len(powers)).linear
        if sought and linear:
            found = noise_levels(part, days, make, powers, steps=steps, noise=noise)
            steps, R, model.settled = found.steps, found.noise, model.settled and found.converged
        if not linear and noise is None:
            found = noise_levels(part, days, LinearTrend, [1, 3])
            R, model.settled = float(np.mean(found.noise)), model.settled and found.converged
        if not linear and steps[0] is None:
            found = ensemble.noise_levels(part[..., 0], days, make, LEARNERS, np.random.default_rng(0), noise=R,
                                          keep=within(job, tool))
            steps, model.settled = found.steps, model.settled and found.converged
        forward = make(*steps)
        model.components.append(start(forward, part, days, R))
        sizes = [float(np.sqrt(step * YEAR**power)) for step, power in zip(steps, powers)]
        model.levels.append((label, sizes[0], sizes[1] if len(powers) == 2 else None, float(np.sqrt(np.mean(R)))))
        job.progress(number + 1, len(parts))


def check_sample(job, tool, label, y, sought=True, above=True):
    """
    Refuse sample series `y` (T, n, m) that logistic growth cannot give, or that do not vary though noise is `sought`.

    `above`: whether values above the capacity are refused too.
    """
    import numpy as np

    from ...algorithms.state_estimation.model import varies
    from ...engine.sentences import UserError
    if job.value(tool.dynamics) == "logistic":
        capacity, (low, high) = job.value(tool.capacity), np.nanquantile(y, [0.25, 0.75])
        if high < 0 or above and low > capacity:
            raise UserError("{band}: half of the values are from {low} to {high}, and logistic dynamics go from 0 to "
                            "the capacity, {capacity}. Give one in the images' units (CAPACITY), or choose other "
                            "dynamics (DYNAMICS).", band=label, low=f"{low:.4g}", high=f"{high:.4g}",
                            capacity=f"{capacity:g}")
    if sought and not varies(y):
        raise UserError("{band} does not vary over time in the pixels looked at, so that its noise cannot be "
                        "estimated. Give all of it (STEPNOISE, COURSENOISE, NOISE), or leave out bands that are "
                        "constant (Rearrange bands).", band=label)


def _dynamics(job, tool, model, V):
    """
    For series of variances `V`: what makes their operator of the variances of steps, and the powers of time of these.
    """
    import numpy as np

    from ...algorithms.state_estimation.model import LinearOperator, LinearTrend, Logistic, RandomWalk, Seasonal
    kind = job.value(tool.dynamics)
    if kind == "walk":
        return RandomWalk, [1]
    if kind == "trend":
        return LinearTrend, [1, 3]
    if kind == "logistic":
        rate, capacity = job.value(tool.rate) / YEAR, job.value(tool.capacity)
        return lambda level: Logistic(rate, capacity, level), [1]
    if kind == "seasonal":
        period, harmonics = job.value(tool.period), job.value(tool.harmonics)
        return lambda level, season: Seasonal(level, season, period, harmonics), [1, 1]
    A = operator(job, tool, model)
    shares = np.diag(V / V.mean()) if V.any() else np.eye(len(V))
    return lambda rate: LinearOperator.of_rate(A, rate * shares, job.value(tool.interval)), [1]


def within(job, tool):
    """What keeps logistic states between 0 and their capacity; None for other dynamics."""
    import numpy as np
    if job.value(tool.dynamics) != "logistic":
        return None
    capacity = job.value(tool.capacity)
    return lambda x: np.clip(x, np.float32(LOWEST * capacity), np.float32(capacity))


def operator(job, tool, model):
    """The operator (L, L) of a table, checked."""
    import numpy as np

    from ...engine.sentences import UserError
    path = job.value(tool.operator)
    if not path:
        raise UserError("The dynamics are those of a table, and none is given. Choose its file (OPERATOR), or other "
                        "dynamics (DYNAMICS).")
    if model.fractions:
        raise UserError("A table acts on the bands themselves, not on fractions in the softmax basis. Choose values "
                        "(QUANTITY), or other dynamics (DYNAMICS).")
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            words = file.read()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError("{path} cannot be read: {reason}. Choose a CSV file of numbers (OPERATOR).", path=path,
                        reason=str(error).rstrip(".")) from error
    rows = [row for row in csv.reader(words.splitlines(), delimiter=";" if ";" in words else ",") if any(row)]
    try:
        A = [[float(cell) for cell in row] for row in rows]
    except ValueError as error:
        raise UserError("{path} holds something that is no number: {reason}. Give a square table of numbers without "
                        "names, a row per line, separated by commas (OPERATOR).", path=path,
                        reason=str(error)) from error
    lengths = sorted({len(row) for row in A})
    if lengths != [len(A)] or len(A) != len(model.bands):
        raise UserError("The table of {path} has {rows} rows of {columns} numbers, and the images have {bands} bands: "
                        "it must have as many rows and columns as there are bands (OPERATOR).", path=path,
                        rows=len(A), columns=" or ".join(map(str, lengths)) or "0", bands=len(model.bands))
    A = np.array(A)
    if not np.isfinite(A).all():
        raise UserError("The table of {path} holds numbers that are not finite (OPERATOR).", path=path)
    radius = float(np.abs(np.linalg.eigvals(A)).max())
    if radius > STABLE:
        raise UserError("The operator of {path} is unstable: its spectral radius is {radius}, above 1, so that states "
                        "grow without end. Divide the table by it, or mend it (OPERATOR).", path=path,
                        radius=f"{radius:.4g}")
    return A
