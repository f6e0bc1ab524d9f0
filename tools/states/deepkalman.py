"""The tool `deepkalman`."""

from dataclasses import replace

from ...engine.declare import Choice, FileOutput, Flag, Integer, RasterInput, Real, TableOutput
from . import _model, _saved
from ._model import MOST_SERIES, YEAR
from ._states import NonlinearStatesTool, StatesTool

GOLDEN = 0.6180339887498949   # multiples of which are spread evenly over fractions of one
MOST_ZONES = 200
LEAST_STEP = 0.1    # of the noise, that states step from image to image
CURVES = 6          # in a plot of the report
VALUES = 1_000_000  # numbers of a covariance that are held at once
SLOPE = "slope of the trend"
STATE_NAMES = {"RandomWalk": ["level"], "LinearTrend": ["level", SLOPE], "Logistic": ["level"]}

ZONES = RasterInput("ZONES", "Zones", spectral=False, optional=True, help="Raster of whole numbers on the images' "
                    "grid, one band: pixels of one number share what is learned. Nodata: outside of all zones, and "
                    "nodata in the results. At most 200 zones. Empty: all pixels are one zone, number 1.")


class DeepKalmanFilter(NonlinearStatesTool):
    """Series of images without their noise and gaps, with gains, parameters and missing terms of the dynamics learned.

    A Kalman filter corrects its prediction at each date by a gain that follows from the noise assumed. Here the gain of
    each date is learned from the series themselves, and with it what is not known of the dynamics: rate and capacity of
    logistic growth, and terms that the dynamics lack, sought by sparse regression among products of the states (SINDy).
    A state is estimated from the images up to its date.

    All pixels of a zone share what is learned, and zones know nothing of each other: crops, stands or districts, say,
    whose growth differs. It is learned from a sample of each zone's pixels; the results are for all of them. The table
    PARAMETERS has the rate and the capacity of each zone, TERMS the terms found.

    Learning has up to three steps: parameters, with the gains nearly at rest; terms, with new gains in each cycle; and
    the gains. A step ends after ITERATIONS, or when the innovations, what the images differ from their predictions, no
    longer become more like white noise. Where more than gains of logistic growth is learned, noise that is not given is
    estimated with a local linear trend, which follows growth of any rate, and steps from image to image are at least a
    tenth of it.

    Gains and terms that are learned from few dates follow their noise: compare the learned gains with the Kalman gains
    in the report. For linear dynamics with the right noise, the Kalman filter is as good and far faster.

    The uncertainty is that of the learned gains under the model, (I - K C) P (I - K C)' + K R K'. It leaves out that
    gains, parameters and terms are themselves estimates. It needs the deep-learning packages (torch)."""

    id = "deepkalman"
    label = "Deep Kalman filter"
    requires = (*StatesTool.requires, "torch")
    tags = (*NonlinearStatesTool.tags, "deep unfolding", "unrolling", "Kalman gain", "learned", "parameter estimation",
            "logistic growth", "SINDy", "sparse identification", "system identification", "zones", "whiteness")
    citation = ("E. Chinellato and F. Marcuzzi, State, parameters and hidden dynamics estimation with the deep Kalman "
                "filter, Journal of Computational Science 87, 2025; G. Chinellato, Deep Unfolding, PhD thesis, "
                "University of Padova, 2026, section 6.4")

    zones = ZONES
    sample_size = Integer("SAMPLE", "Pixels learned from", default=100, minimum=1, maximum=10000, help="From how many "
                          "pixels of each zone is learned, spread over it, those with a value in the first image "
                          "before others, 1 to 10000. Time grows with it. Default 100.")
    learned = Choice("LEARN", "Learn parameters", default="both", options={
        "both": "Rate and capacity", "rate": "Rate", "capacity": "Capacity", "none": "None"}, help="Of logistic "
        "growth, which of RATE and CAPACITY, from which it begins, to learn for each zone and band; the rate keeps its "
        "sign. Learn the capacity only where series come near it. Of decay only the rate can be learned. Other "
        "dynamics have no parameters to learn. Default both.")
    degree = Integer("DEGREE", "Degree of missing terms", default=0, minimum=0, maximum=3, help="Seek terms that the "
                     "dynamics lack among the products of up to so many states of a band, 1 to 3, the constant "
                     "included; it takes five images or more. Terms that a learned parameter stands for are left out. "
                     "0: none are sought. Default 0.")
    tau = Real("TAU", "Tolerance of fewer terms (tau)", default=0.1, minimum=0.0, maximum=100.0, advanced=True,
               help="A term is left out as long as the misfit of the derivatives grows by less than this share, 0 to "
                    "100. The larger, the fewer terms. Default 0.1.")
    white = Flag("WHITENESS", "Stop by whiteness", default=True, help="End a step of learning when the innovations no "
                 "longer become whiter; a zone needs a pixel with five images or more. No: always take all "
                 "ITERATIONS. Default yes.")
    patience = Integer("PATIENCE", "Patience", default=10, minimum=1, maximum=100000, advanced=True, help="After how "
                       "many iterations without whiter innovations a step ends, 1 to 100000. Default 10; published 1.")
    iterations = Integer("ITERATIONS", "Iterations", default=200, minimum=1, maximum=100000, help="Of learning the "
                         "parameters, and again the gains, at most, and four times as many as in a cycle of seeking "
                         "terms, 1 to 100000. Default 200.")
    smoothing = Real("LAMBDAD", "Smoothness of the gains (lambda D)", default=1.0, minimum=0.0, maximum=1e9, help="How "
                     "strongly second differences of the gains along the dates are held small, beside the misfit of "
                     "a series in standard deviations: 0 (free) to 1000000000. More where a zone has few pixels. "
                     "Default 1.")
    propagation = Choice("BACKPROPAGATION", "Backpropagation", default="truncated", options={
        "truncated": "Truncated", "complete": "Complete"}, help="Whether a gain learns from the estimate of its own "
        "date only, which leads to the Kalman gains where these are best, or from all later dates too, which helps "
        "where the noise given is wrong. Default truncated.")
    rate_of_learning = Real("LEARNINGRATE", "Learning rate", default=0.01, minimum=1e-6, maximum=1.0, advanced=True,
                            help="Size of the steps of learning (Adam), of gains and of logarithms of parameters, "
                                 "0.000001 to 1. Default 0.01.")
    parameters_found = TableOutput("PARAMETERS", "Parameters", help="Table with rows for each zone and band (of "
                                   "fractions, component of the softmax basis): zone, component, parameter, value, "
                                   "first (its value before learning), unit. The parameters are rate and capacity of "
                                   "logistic growth, where they are learned; loss, in the last step; and, with "
                                   "WHITENESS, the whiteness deviation of the innovations (0 is white).")
    terms = TableOutput("TERMS", "Missing terms of the dynamics", help="Table with a row for each term found: zone, "
                        "component, equation (of which state it adds to the change), term, coefficient (per year, in "
                        "the images' units; slopes are per year too). Where an equation lacks none, a row with "
                        "the term none and 0.")
    saved = FileOutput("MODEL", "Model", create=False, extensions=("npz",), help="File with the dynamics and, for each "
                       "zone, the learned gains, parameters and terms, for the tool that applies them to other images "
                       "of the same bands, zones and intervals between dates (applyfilter).")
    report = replace(StatesTool.report, help="HTML file with the noise, the loss and the whiteness of the innovations "
                     "along the iterations, learned gains beside Kalman gains, the course of the mean and of some "
                     "pixels with their bands of two standard deviations, and maps.")
    example = {"IMAGES": "fractionimages", "SAMPLE": 10, "ITERATIONS": 5, "WHITENESS": False, "STEPNOISE": 0.5,
               "NOISE": 0.1}

    def passes(self, job):
        return super().passes(job) + 1

    def sample(self, job, sequence, model):
        from .. import _shared
        self._zoned = Zoned(sequence, job.scene(self.zones))
        Y, valid = self._sample = self._zoned.sample(job.value(self.sample_size), job.progress)
        self._check_whiteness(job, Y[0, -1].astype(int), valid)
        if model.fractions:
            _shared.expect_fractions(job, Y[int(valid.sum(axis=1).argmax()), :sequence.L])
        return self._sample

    def _check_whiteness(self, job, zone, valid):
        from ...algorithms.state_estimation.whiteness import FEWEST
        from ...engine.sentences import UserError
        for z, number in enumerate(self._zoned.classes):
            most = int(valid[:, zone == z].sum(axis=0).max())
            if job.value(self.white) and most < FEWEST:
                raise UserError("In zone {zone} no pixel has a value in more than {count} images, and whiteness can be "
                                "told of {least} or more. Learn without stopping by it (WHITENESS), or leave the zone "
                                "out (ZONES).", zone=number, count=most, least=FEWEST)

    def write(self, job, sequence, model, estimate):
        return super().write(job, self._zoned, model, estimate)

    def learn(self, job, model, y):
        import numpy as np

        from ...algorithms.state_estimation.kalmanfilter import noise_levels
        from ...algorithms.state_estimation.model import LinearTrend, Logistic, start
        given = [None if job.value(each) is None else job.value(each) ** 2 for each in (self.step, self.noise)]
        more = job.value(self.dynamics) == "logistic" and (self._names(job) or job.value(self.degree))
        if not more or None not in given:
            _model.learn(job, self, model, y)
            return
        days, sample = model.days[model.observed], y[:, ::-(-y.shape[1] // MOST_SERIES)]
        rate, capacity = job.value(self.rate) / YEAR, job.value(self.capacity)
        model.components, model.levels = [], []
        for number, band in enumerate(model.bands):
            part = sample[..., number, None]
            _model.check_sample(job, self, band, part, above="capacity" not in self._names(job))
            step, noise = given[0] if given[0] is None else given[0] / YEAR, given[1]
            found = noise_levels(part, days, LinearTrend, [1, 3], steps=[step, None], noise=noise)
            model.settled = model.settled and found.converged
            noise = float(np.mean(found.noise))
            if step is None:
                step = max(found.steps[0], LEAST_STEP**2 * noise / float(np.diff(days).mean()))
            model.components.append(start(Logistic(rate, capacity, step), part, days, noise))
            model.levels.append((band, float(np.sqrt(step * YEAR)), None, float(np.sqrt(noise))))
            job.progress(number + 1, len(model.bands))

    def prepare(self, job, sequence, model):
        import numpy as np

        from ...algorithms.state_estimation.model import restart, start
        Y, valid = self._sample
        zone, days = Y[0, -1].astype(int), model.days[model.observed]
        unit = float(np.diff(days).mean())
        picks = np.stack([np.resize(np.flatnonzero(zone == z), np.bincount(zone).max())
                          for z in range(len(self._zoned.classes))])
        parts, names, limits = model.split(model.series(Y, valid)), self._names(job), self._limits(job)
        model.components = [start(in_units(each.forward, unit, limits), part, days / unit, np.diag(each.R))
                            for each, part in zip(model.components, parts)]
        self._filters, self._trainings, self._kalman, degree = [], [], [], job.value(self.degree)
        for number, (part, each) in enumerate(zip(parts, model.components)):
            y, x0 = np.moveaxis(part[:, picks], 0, 2), np.broadcast_to(restart(each, part).mean,
                                                                       (part.shape[1], each.forward.n))[picks]
            learner = filter_of(each, names, degree, days / unit, self._settings(job))
            training = learner.train(y, x0, callback=lambda done, zones, number=number: job.progress(
                number * zones + done, len(parts) * zones))
            self._kalman.append(learner.kalman_gains(training.learned, y, x0))
            self._filters.append(filter_of(each, names, degree, model.days / unit))
            self._trainings.append(training)
            self._say(job, model, number, training)
        job.progress(1, 1)
        self._give_tables(job, model, names, unit)
        if job.wants(self.saved):
            _saved.save(job, self.saved, self.id, sequence, model, [
                {"gains": one.learned.gains, "p": one.learned.p, "terms": one.learned.s} for one in self._trainings],
                zones=self._zoned.classes, degree=degree, parameters=names, limits=limits,
                days=[float(day) for day in days], unit=unit)
        return estimator(model, self._filters, [one.learned for one in self._trainings], limits)

    def _names(self, job):
        """Which parameters of the dynamics are learned."""
        from ...engine.sentences import UserError
        if job.value(self.dynamics) != "logistic":
            return ()
        names = {"both": ("rate", "capacity"), "none": ()}.get(job.value(self.learned), (job.value(self.learned),))
        if "rate" in names and job.value(self.rate) == 0:
            raise UserError("The rate begins at 0, and a rate that is learned keeps its sign. Give one above 0 for "
                            "growth, below 0 for decay (RATE).")
        if "capacity" in names and job.value(self.rate) < 0:
            raise UserError("The rate is {rate}, and the capacity from which something decays cannot be learned. Learn "
                            "the rate only (LEARN).", rate=job.value(self.rate))
        return names

    def _limits(self, job):
        """Between which states of logistic dynamics stay as they go on; None for others."""
        if job.value(self.dynamics) != "logistic":
            return None
        capacity = job.value(self.capacity)
        return _model.LOWEST * capacity, float("inf") if job.value(self.rate) > 0 else capacity

    def _settings(self, job):
        from ...algorithms.state_estimation.deepkalman import Settings
        steps, rate = job.value(self.iterations), job.value(self.rate_of_learning)
        return Settings(smoothing=job.value(self.smoothing), complete=job.value(self.propagation) == "complete",
                        rate=rate, shared_rate=rate, steps=(steps, -(-steps // 4), steps),
                        whiteness=job.value(self.white), patience=job.value(self.patience), tau=job.value(self.tau))

    def _say(self, job, model, number, training):
        for z, zone in enumerate(self._zoned.classes):
            losses = last_step(training, z)
            job.say("{band}, zone {zone}: {count} iterations; the last step of learning has brought the loss from "
                    "{before} to {after}.", band=model.levels[number][0], zone=zone, count=len(training.loss[z]),
                    before=f"{losses[0]:.4g}", after=f"{losses[-1]:.4g}")
        if training.rejected.any():
            job.warn("{band}: in {count} zones the estimates grew beyond measure while learning, and what was learned "
                     "before was kept. Take a smaller learning rate (LEARNINGRATE), or a lower degree (DEGREE).",
                     band=model.levels[number][0], count=int(training.rejected.sum()))

    def _give_tables(self, job, model, names, unit):
        import numpy as np
        rows, terms = [], []
        capacity_unit = "images' units"
        for number, (training, learner) in enumerate(zip(self._trainings, self._filters)):
            label, states = model.levels[number][0], state_names(model.components[number].forward, model.bands)
            for z, zone in enumerate(self._zoned.classes):
                first = {"zone": zone, "component": label}
                for name, logarithm in zip(names, training.learned.p[z]):
                    given = job.value(getattr(self, name))
                    rows.append({**first, "parameter": name, "value": float(given * np.exp(logarithm)),
                                 "first": float(given), "unit": "per year" if name == "rate" else capacity_unit})
                losses = last_step(training, z)
                rows.append({**first, "parameter": "loss", "value": float(losses[-1]), "first": float(losses[0]),
                             "unit": ""})
                if job.value(self.white):
                    course = training.course[z].mean(axis=1)
                    rows.append({**first, "parameter": "whiteness", "value": float(training.deviation[z].mean()),
                                 "first": float(course[0]), "unit": ""})
                for i, state in enumerate(states):
                    found = [(term, s) for term, s in zip(learner.dictionary.names(states), yearly(
                        training.learned.s[z], learner.dictionary.terms, states, unit)[:, i]) if s] \
                        if learner.dictionary else []
                    terms += [{**first, "equation": state, "term": term, "coefficient": float(s)}
                              for term, s in found or [("none", 0.0)]]
        for row in rows:
            if row["parameter"] in names:
                job.say("{component}, zone {zone}: {parameter} {value} (at first {first}).", **{
                    **row, "value": f"{row['value']:.4g}", "first": f"{row['first']:.4g}"})
        job.give_table(self.parameters_found, rows)
        job.give_table(self.terms, terms)

    def add_to_report(self, job, report, sequence, model):
        import numpy as np
        lines = [(f"zone {zone}, {model.levels[number][0]}", training, z, number)
                 for z, zone in enumerate(self._zoned.classes) for number, training in enumerate(self._trainings)]
        shown = lines[:CURVES]
        longest = range(max(len(training.loss[z]) for _, training, z, _ in shown))

        def course(values):
            return [*map(float, values), *[None] * (len(longest) - len(values))]

        report.heading("Learning")
        report.paragraph("Loss along the iterations, relative to the first: parameters, terms and gains, one after the "
                         "other, between which it leaps, as corrections weigh otherwise. Each cycle of seeking terms "
                         "begins with new gains, and so does the last step after it." + (
                             f" Of {len(lines)} zones and components the first {CURVES}." if len(lines) > CURVES else ""
                         ))
        report.curves(longest, {label: course(training.loss[z] / (training.loss[z][0] or 1.0))
                                for label, training, z, _ in shown}, "Iteration", "Loss / first loss")
        if job.value(self.white):
            report.paragraph("Whiteness deviation of the innovations, the distance of their cumulative periodogram "
                             "from that of white noise, the mean over a zone's pixels: 0 is white.")
            report.curves(longest, {label: course(training.course[z].mean(axis=1))
                                    for label, training, z, _ in shown}, "Iteration", "Whiteness deviation")
        report.heading("Gains")
        report.paragraph("How much of what an image differs from its prediction is added to the level at its date, as "
                         "learned, and the Kalman gain with the same dynamics and the noise assumed.")
        for label, training, z, number in shown:
            report.history(sequence.names, {"learned": training.learned.gains[z, :, 0, 0],
                                            "Kalman": self._kalman[number][z, :, 0, 0]}, f"Gain, {label}")
        apart = [training.learned.gains[z, :, 0] - self._kalman[number][z, :, 0] for _, training, z, number in lines]
        report.table(["Zone and component", "root mean square difference of learned and Kalman gains"], [
            [line[0], float(np.sqrt(np.mean(np.square(each))))] for line, each in zip(lines, apart)])


class Zoned:
    """
    A sequence whose pixels have a further row behind their bands: the number of their zone among `classes`, from 0.

    Pixels outside of all zones are not valid. Where no classes are given, `sample` finds them, before blocks are read.
    """

    def __init__(self, sequence, scene, classes=None):
        from ...engine.sentences import UserError
        from ...engine.sequences import check_same_place
        self.sequence, self.scene, self.classes = sequence, scene, classes
        self.T, self.L, self.grid = sequence.T, sequence.L, sequence.grid
        self.names, self.windows = sequence.names, sequence.windows
        if scene is not None:
            check_same_place(sequence.grid, scene)
            if scene.L != 1:
                raise UserError("The raster of zones has {count} bands, and one of whole numbers is needed. Choose "
                                "another (ZONES).", count=scene.L)

    def zone(self, positions):
        """Class (n,) of the pixels at row-major `positions` of a window, NaN outside of zones."""
        import numpy as np
        from rasterio.windows import Window
        if self.scene is None:
            return np.ones(len(positions))
        rows, cols = np.divmod(positions, self.grid.width)
        window = Window(cols.min(), rows.min(), np.ptp(cols) + 1, np.ptp(rows) + 1)
        value, valid = self.scene.read(window)
        return np.where(valid, value[0], np.nan)

    def map_blocks(self, function, windows=None, progress=None):
        import numpy as np

        def block(Y, valid, positions):
            zone = self.zone(positions)
            number = np.searchsorted(self.classes, np.nan_to_num(zone))
            number = np.broadcast_to(number.astype(np.float32), (self.T, 1, len(zone)))
            return function(np.concatenate([Y, number], axis=1), valid & np.isin(zone, self.classes), positions)
        yield from self.sequence.map_blocks(block, windows, progress)

    def sample(self, most, progress):
        """At most `most` pixels of each zone, `(Y (T, L + 1, S), valid (T, S))`; of given classes, of these only."""
        import numpy as np

        from ...engine.sentences import UserError

        def block(Y, valid, positions):
            zone, found = self.zone(positions), {}
            order = positions * GOLDEN % 1 + ~valid[0]
            inside = np.isfinite(zone) & valid.any(axis=0)
            if self.classes is not None:
                inside &= np.isin(zone, self.classes)
            for each in np.unique(zone[inside]):
                if each != int(each):
                    raise UserError("The raster of zones has the value {value}, which is no whole number. Choose a "
                                    "raster of classes (ZONES).", value=f"{each:.6g}")
                at = np.flatnonzero(inside & (zone == each))
                at = at[np.argsort(order[at], kind="stable")[:most]]
                found[int(each)] = order[at], np.where(valid[:, None, at], Y[:, :, at], 0), valid[:, at]
            return found

        zones = {}
        for _, found in self.sequence.map_blocks(block, progress=progress):
            for each, parts in found.items():
                if each in zones:
                    parts = [np.concatenate(pair, axis=-1) for pair in zip(zones[each], parts)]
                kept = np.argsort(parts[0], kind="stable")[:most]
                zones[each] = [part[..., kept] for part in parts]
            if len(zones) > MOST_ZONES:
                raise UserError("The raster of zones has more than {most} zones. Choose one of classes, or merge some "
                                "(ZONES).", most=MOST_ZONES)
        if not zones:
            raise UserError("No pixel of any zone has a value in any image. Choose other zones (ZONES), or other "
                            "images.")
        self.classes, found = self.classes or sorted(zones), sorted(zones)
        Y = [np.concatenate([zones[each][1], np.full((self.T, 1, zones[each][1].shape[2]), self.classes.index(each),
                                                     np.float32)], axis=1) for each in found]
        return np.concatenate(Y, axis=2), np.concatenate([zones[each][2] for each in found], axis=1)


def filter_of(component, names, degree, times, settings=None):
    """The `DeepKalman` of a component at these times, with logarithms of factors as its parameters."""
    import numpy as np

    from ...algorithms.state_estimation.deepkalman import DeepKalman, Settings
    from ...algorithms.state_estimation.model import intervals
    from ...algorithms.state_estimation.sindy import Dictionary
    forward = component.forward

    def build(*logarithms):
        factors = {name: each.exp() if hasattr(each, "exp") else np.exp(each)
                   for name, each in zip(names, logarithms)}
        return replace(forward, **{name: getattr(forward, name) * factor for name, factor in factors.items()}) \
            if names else forward

    without = tuple({"rate": (0,), "capacity": (0, 0)}[name] for name in names)
    return DeepKalman(build, intervals(times), component.R, component.covariance, names=names,
                      dictionary=Dictionary(forward.n, degree, without) if degree else None,
                      settings=settings or Settings())


def estimator(model, filters, learned, limits):
    """
    `estimate` of a `StatesTool`, by a `DeepKalman` for each component and what it has learned for each zone.

    Gains are those of the images' dates. Pixels have the number of their zone behind their bands, see `Zoned`.
    """
    import numpy as np

    from ...algorithms.state_estimation.deepkalman import Learned
    from ...algorithms.state_estimation.model import restart
    at_dates = []
    for each in learned:
        gains = np.zeros((len(each.gains), model.T, *each.gains.shape[2:]))
        gains[:, model.observed] = each.gains
        at_dates.append(replace(each, gains=gains))

    def estimate_pixels(Y, valid):
        zone, means, variances = Y[0, -1].astype(int), [], []
        for part, each, ours, learner in zip(model.split(model.series(Y, valid)), model.components, at_dates,
                                             filters):
            y = np.full((len(zone), 1, model.T, part.shape[2]), np.nan)
            y[:, 0, model.observed] = part.swapaxes(0, 1)
            own = Learned(*(getattr(ours, name)[zone] for name in ("gains", "p", "C", "s", "feed")))
            found = learner.estimate(own, y, restart(each, part).mean[:, None])
            P = learner.covariances(own, found)
            means.append((found.mean[:, 0] @ each.C.T).swapaxes(0, 1))
            variances.append(np.einsum("ij,qtjk,ik->tqi", each.C, P[:, 0], each.C, optimize=True))
        return model.back(np.concatenate(means, axis=-1), np.concatenate(variances, axis=-1))

    size = max(each.forward.n for each in model.components)
    most = max(1, VALUES // (model.T * size * (size + 6)))

    def estimate_block(Y, valid):
        values, sd = _model.in_parts(estimate_pixels, most, Y, valid)
        return values if limits is None else np.clip(values, *np.float32(limits)), sd, {}
    return estimate_block


def yearly(s, terms, states, unit):
    """Coefficients (n_s, n) of `terms`, in time units of `unit` days, for changes and slopes in a year."""
    import numpy as np
    scale = np.where(np.array(states) == SLOPE, YEAR / unit, 1.0)
    return s * (YEAR / unit) * scale / np.array([[np.prod(scale[list(term)])] for term in terms])


def last_step(training, z):
    """Loss of a zone in the last step of learning: between steps it is not the same, as corrections weigh otherwise."""
    return training.loss[z][training.step[z] == training.step[z][-1]]


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
