"""The tool `deepkalman`."""

from dataclasses import replace

from ...engine.declare import Choice, FileOutput, Flag, Integer, RasterInput, Real, TableOutput
from . import _deepkalman, _model, _saved
from ._model import MOST_SERIES, YEAR
from ._states import NonlinearStatesTool, StatesTool
from ._zones import ZONES, FinalState, Zoned, final_state

LEAST_STEP = 0.1    # of the noise, that states step from image to image
CURVES = 6          # in a plot of the report
ROWS = 100          # in a table of the report, at most
HIDDEN = "trend", "seasonal"   # dynamics with states that images do not show one by one
WITHOUT_COURSE = "walk", "logistic", "table"   # those whose random steps would stand for terms that they lack


class DeepKalmanFilter(NonlinearStatesTool):
    """Series of images without noise and gaps, where rates of growth and other dynamics are learned for each zone.

    A Kalman filter corrects its prediction at each date by a gain that follows from the noise assumed. Here the gain of
    each date is learned from the series themselves, and with it what is not known of the dynamics: rate and capacity of
    logistic growth, and terms that the dynamics lack, sought by sparse regression among products of the states (SINDy).
    A state is estimated from the images up to its date.

    All pixels of a zone share what is learned, and zones know nothing of each other: crops, stands or districts, say,
    whose growth differs. It is learned from a sample of each zone's pixels; the results are for all of them. The table
    PARAMETERS has the rate and the capacity of each zone, TERMS the terms found.

    Learning has up to three steps: parameters, with the gains nearly at rest; terms, with new gains in each cycle; and
    the gains. A step ends after ITERATIONS, or when the innovations, what the images differ from their predictions, no
    longer become more like white noise. Where terms are sought, or more than gains of logistic growth is
    learned, noise that is not given is estimated with a local linear trend (of seasons, with them), which follows
    changes of any course: otherwise random steps would stand for what is missing, and states follow the noise. Steps
    from image to image are at least a tenth of it.

    Gains and terms that are learned from few dates follow their noise: compare the learned gains with the Kalman gains
    in the report.

    Where the last state is known of some pixels, from the field or a better sensor (FINALSTATE), gains and parameters
    are learned so that the filter ends there too. That helps where the noise assumed is wrong; ending by whiteness
    mostly helps as much. It can then also be learned how the images show the states (OBSERVATION), whose scale is that
    of the final state, whatever the images'.

    The uncertainty is that of the learned gains under the model, (I - K C) P (I - K C)' + K R K'. It leaves out that
    gains, parameters and terms are themselves estimates. It needs the deep-learning packages (torch)."""

    id = "deepkalman"
    label = "Deep Kalman filter"
    requires = (*StatesTool.requires, "torch")
    tags = (*NonlinearStatesTool.tags, "deep unfolding", "unrolling", "Kalman gain", "learned", "parameter estimation",
            "logistic growth", "SINDy", "sparse identification", "system identification", "zones", "whiteness",
            "Kalman filter", "deep learning", "neural network", "crop growth")
    citation = ("E. Chinellato and F. Marcuzzi, State, parameters and hidden dynamics estimation with the deep Kalman "
                "filter, Journal of Computational Science 87, 2025; G. Chinellato, Deep Unfolding, PhD thesis, "
                "University of Padova, 2026, section 6.4")
    prefer = ("For growth at rates and towards limits that are not known and differ between zones, or for dynamics "
              "that lack a term. For linear dynamics with the right noise, the Kalman filter is as accurate and far "
              "faster.")
    doi = ("10.1016/j.jocs.2025.102569",)

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
    final = RasterInput("FINALSTATE", "Final state", spectral=False, optional=True, help="Raster on the images' grid "
                        "with their bands (of fractions, by their names): what is known of the state at the last "
                        "image, from a field campaign or a better sensor, without its noise. Nodata where it is not "
                        "known; a zone is then learned from those of its pixels in which it is, one at least. Slopes "
                        "and waves at the last image are what a Kalman filter makes of them given this. The results do "
                        "not copy it. Empty: none is known.")
    terminal = Real("LAMBDAK", "Weight of the final state (lambda K)", default=1.0, minimum=0.0, maximum=1e9,
                    advanced=True, help="How strongly what is learned leads to FINALSTATE, 0 to 1000000000: at 1, as "
                    "an image's misfit counts at its date; where it errs less than an image, the square of how many "
                    "times less. Far more than 100 leaves little weight to the dates before. Not used without "
                    "FINALSTATE. Default 1.")
    feed = Flag("FEEDFORWARD", "Feed-forward", default=False, advanced=True, help="Learn, from FINALSTATE, by which "
                "share of the whole change from a pixel's mean to its final state each state is moved before each "
                "image. In the results, the change is that to FINALSTATE where it is known, and elsewhere to the state "
                "that the filter itself ends at, found by iteration. Default no.")
    observation = Flag("OBSERVATION", "Learn the observation", default=False, advanced=True, help="Learn how images "
                       "show the states, which are otherwise equal but for noise: by a factor for each band, of a "
                       "table by a matrix between all. Images alone do not tell it from the scale of the states: it "
                       "takes FINALSTATE, or logistic growth with a capacity that is known and not learned. Not for "
                       "trends and seasons. States are then in the scale of FINALSTATE or CAPACITY. Give FINALSTATE a "
                       "weight of 10 to 100 (LAMBDAK), as small corrections alone would make states small. Default "
                       "no.")
    weights = Choice("WEIGHTS", "Weights of the corrections (P)", default="predicted", advanced=True, options={
        "predicted": "Covariance predicted", "initial": "Covariance at first", "noise": "Covariance of the steps"},
        help="What is thought of how far predictions are off, by which corrections are held small: the covariance that "
             "a Kalman filter predicts for each date; that of the first state, with which states follow the images "
             "closely; or that of random steps alone, with which they follow the dynamics, from the pixel's mean on. "
             "Default covariance predicted.")
    solver = Choice("SOLVER", "Solver for terms", default="omp", advanced=True, options={
        "omp": "Orthogonal matching pursuit", "lh": "Lawson-Hanson"}, help="What finds the terms among which then as "
        "many as TAU allows are left out: terms taken one by one up to MOST, or least squares without negative "
        "numbers, of terms with either sign. Default orthogonal matching pursuit.")
    most = Integer("MOST", "Terms at most", default=10, minimum=1, maximum=1000, advanced=True, help="Of orthogonal "
                   "matching pursuit: terms of an equation before some are left out, 1 to 1000. Take more than are "
                   "expected, as the first ones taken may be wrong. Default 10.")
    tau = Real("TAU", "Tolerance of fewer terms (tau)", default=0.1, minimum=0.0, maximum=100.0, advanced=True,
               help="A term is left out as long as the misfit of the changes grows by less than this share, 0 to "
                    "100. The larger, the fewer terms. Default 0.1.")
    white = Flag("WHITENESS", "Stop by whiteness", default=True, help="End a step of learning when the innovations no "
                 "longer become whiter, and keep the gains with which they were whitest; a zone needs a pixel with "
                 "five images or more. No, or with OBSERVATION, of whose scale innovations know nothing: always take "
                 "all ITERATIONS. Default yes.")
    patience = Integer("PATIENCE", "Patience", default=100, minimum=1, maximum=100000, advanced=True, help="After how "
                       "many iterations without whiter innovations a step ends, 1 to 100000. With less, "
                       "parameters whose first values are far off are not reached. Default 100; published 1.")
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
                                   "logistic growth, where they are learned; with OBSERVATION, how much of a state an "
                                   "image shows; with FEEDFORWARD its gain; loss, in the last step; and, with "
                                   "WHITENESS, the whiteness deviation of the innovations (0 is white).")
    terms = TableOutput("TERMS", "Missing terms of the dynamics", help="Table with a row for each term found: zone, "
                        "component, equation (of which state it adds to the change), term, coefficient (per year, in "
                        "the images' units; slopes are per year too). Where an equation lacks none, a row with "
                        "the term none and 0.")
    saved = FileOutput("MODEL", "Model", create=False, extensions=("npz",), help="File with the dynamics and, for each "
                       "zone, all that was learned, for the tool that applies it to other images of the same bands, "
                       "zones and intervals between dates (applyfilter).")
    report = replace(StatesTool.report, help="HTML file with the noise, parameters and terms, the loss and the "
                     "whiteness of the innovations along the iterations, learned gains beside Kalman gains, the course "
                     "of the mean and of some pixels with their bands of two standard deviations, and maps.")
    example = {"IMAGES": "fractionimages", "SAMPLE": 10, "ITERATIONS": 5, "WHITENESS": False, "STEPNOISE": 0.5,
               "NOISE": 0.1}

    def passes(self, job):
        return super().passes(job) + 1

    def sample(self, job, sequence, model):
        from .. import _shared
        self._check(job)
        final = job.scene(self.final)
        self._zoned = Zoned(sequence, job.scene(self.zones), final=final and FinalState(sequence, final, model))
        Y, valid = self._sample = self._zoned.sample(job.value(self.sample_size), job.progress)
        self._check_whiteness(job, Y[0, -1].astype(int), valid)
        if model.fractions:
            _shared.expect_fractions(job, Y[int(valid.sum(axis=1).argmax()), :sequence.L])
        return self._sample

    def _check(self, job):
        """Refuse what cannot be learned together."""
        from ...engine.sentences import UserError
        logistic, names = job.value(self.dynamics) == "logistic", self._names(job)
        if job.scene(self.final) is None:
            if job.value(self.feed):
                raise UserError("Feed-forward is learned from the final state, and none is given. Choose its raster "
                                "(FINALSTATE), or learn without feed-forward (FEEDFORWARD).")
        elif not job.value(self.terminal) and not job.value(self.feed):
            raise UserError("The final state would not be used: its weight is 0, and there is no feed-forward. Give it "
                            "a weight (LAMBDAK), or leave it out (FINALSTATE).")
        if not job.value(self.observation):
            return
        if job.value(self.dynamics) in HIDDEN:
            raise UserError("An image shows the sum of a level and a slope or waves, and what it shows of each cannot "
                            "be told apart. Choose other dynamics (DYNAMICS), or take images as they are "
                            "(OBSERVATION).")
        known = logistic and job.value(self.rate) > 0 and "capacity" not in names and not job.value(self.degree)
        if not known and (job.scene(self.final) is None or not job.value(self.terminal)):
            raise UserError("Nothing says in which scale the states are, so that it cannot be learned how images show "
                            "them. Give the final state, with a weight (FINALSTATE, LAMBDAK); or of logistic growth "
                            "the capacity, without learning it or seeking terms (CAPACITY, LEARN, DEGREE); or take "
                            "images as they are (OBSERVATION).")

    def _stops(self, job):
        """Whether steps of learning end by whiteness."""
        return job.value(self.white) and not job.value(self.observation)

    def _check_whiteness(self, job, zone, valid):
        from ...algorithms.state_estimation.whiteness import FEWEST
        from ...engine.sentences import UserError
        for z, number in enumerate(self._zoned.classes):
            most = int(valid[:, zone == z].sum(axis=0).max())
            if self._stops(job) and most < FEWEST:
                raise UserError("In zone {zone} no pixel has a value in more than {count} images, and whiteness can be "
                                "told of {least} or more. Learn without stopping by it (WHITENESS), or leave the zone "
                                "out (ZONES).", zone=number, count=most, least=FEWEST)

    def write(self, job, sequence, model, estimate):
        self._unsettled = 0
        found = super().write(job, self._zoned, model, estimate)
        _deepkalman.warn_of_unsettled(job, self._unsettled)
        return found

    def look(self, found):
        self._unsettled += _deepkalman.unsettled(found)

    def learn(self, job, model, y):
        import numpy as np

        from ...algorithms.state_estimation.kalmanfilter import noise_levels
        from ...algorithms.state_estimation.model import LinearTrend, start
        step, noise = (None if job.value(each) is None else job.value(each) ** 2 for each in (self.step, self.noise))
        kind, seeks = job.value(self.dynamics), job.value(self.degree)
        more = seeks and kind in WITHOUT_COURSE or kind == "logistic" and (
            self._names(job) or job.value(self.observation))
        if not more or None not in (step, noise):
            _model.learn(job, self, model, y)
            return
        days, sample = model.days[model.observed], y[:, ::-(-y.shape[1] // MOST_SERIES)]
        above = "capacity" not in self._names(job) and not job.value(self.observation)
        labels = [f"basis {number}" for number in range(1, y.shape[2] + 1)] if model.fractions else model.bands
        levels, least = [], LEAST_STEP**2 / float(np.diff(days).mean())
        for number, label in enumerate(labels):
            part = sample[..., number, None]
            _model.check_sample(job, self, label, part, above=above)
            found = noise_levels(part, days, LinearTrend, [1, 3], noise=noise,
                                 steps=[None if step is None else step / YEAR, None])
            model.settled = model.settled and found.converged
            R = float(np.mean(found.noise))
            levels.append((max(found.steps[0], least * R) if step is None else step / YEAR, R))
            job.progress(number + 1, len(labels))
        if kind == "table":
            labels, levels = ["all bands"], [tuple(np.array(levels).T)]
        model.components = [start(self._forward(job, model, each), part, days, R)
                            for part, (each, R) in zip([sample] if kind == "table" else np.split(
                                sample, len(labels), axis=2), levels)]
        model.levels = [(label, float(np.sqrt(np.mean(each) * YEAR)), None, float(np.sqrt(np.mean(R))))
                        for label, (each, R) in zip(labels, levels)]

    def _forward(self, job, model, step):
        """The operator of dynamics without a course of their own, with steps of this variance a day, or these."""
        import numpy as np

        from ...algorithms.state_estimation.model import LinearOperator, Logistic, RandomWalk
        kind = job.value(self.dynamics)
        if kind == "logistic":
            return Logistic(job.value(self.rate) / YEAR, job.value(self.capacity), step)
        return RandomWalk(step) if kind == "walk" else LinearOperator.of_rate(
            _model.operator(job, self, model), np.diag(step), job.value(self.interval))

    def prepare(self, job, sequence, model):
        import numpy as np

        from ...algorithms.state_estimation.model import restart, start
        from ...algorithms.state_estimation.terminal import completed
        Y, valid = self._sample
        zone, days, known = Y[0, -1].astype(int), model.days[model.observed], final_state(Y, sequence.L)
        unit = float(np.diff(days).mean())
        picks = np.stack([np.resize(np.flatnonzero(zone == z), np.bincount(zone).max())
                          for z in range(len(self._zoned.classes))])
        parts, limits = model.split(model.series(Y, valid)), self._limits(job)
        self._design = design = _deepkalman.Design(self._names(job), job.value(self.degree), unit,
                                                   float(job.value(self.weights) == "noise"))
        model.components = [start(_deepkalman.in_units(each.forward, unit, limits), part, days / unit, np.diag(each.R))
                            for each, part in zip(model.components, parts)]
        self._trainings, self._kalman, self._ends = [], [], []
        goals = [None] * len(parts) if known is None else [
            completed(part, days / unit, each, shown[0])
            for part, each, shown in zip(parts, model.components, model.split(known[None]))]
        for number, (part, each, goal) in enumerate(zip(parts, model.components, goals)):
            y, x0 = np.moveaxis(part[:, picks], 0, 2), np.broadcast_to(restart(each, part).mean,
                                                                       (part.shape[1], each.forward.n))[picks]
            if goal is not None:
                goal = goal[picks]
                self._check_span(job, model.levels[number][0], goal)
            learner = design.filter(each, days, self._settings(job, each))
            training = learner.train(y, x0, goal, callback=lambda done, zones, number=number: job.progress(
                number * zones + done, len(parts) * zones))
            self._kalman.append(learner.kalman_gains(training.learned, y, x0))
            self._trainings.append(training)
            self._say(job, model, number, training)
            if goal is not None:
                self._say_end(job, model, number, learner.estimate(training.learned, y, x0, goal).mean[:, :, -1] - goal)
        job.progress(1, 1)
        self._give_tables(job, model)
        learned = [training.learned for training in self._trainings]
        if job.wants(self.saved):
            _saved.save(job, self.saved, self.id, sequence, model, [
                {"gains": one.gains, "p": one.p, "terms": one.s, "C": one.C, "feed": one.feed} for one in learned],
                zones=self._zoned.classes, degree=design.degree, parameters=design.names, limits=limits,
                days=[float(day) for day in days], unit=unit, before=design.before)
        return _deepkalman.estimator(model, design, learned, limits)

    def _check_span(self, job, label, goal):
        """Refuse final states (Z, B, n) of which the observation of a zone does not follow."""
        import numpy as np

        from ...engine.sentences import UserError
        if not job.value(self.observation):
            return
        for zone, rank, n in zip(self._zoned.classes, np.linalg.matrix_rank(goal), [goal.shape[2]] * len(goal)):
            if rank < n:
                raise UserError("{band}: the final states of zone {zone} are too few or too alike to tell how images "
                                "show them. Give more that differ (FINALSTATE), or take images as they are "
                                "(OBSERVATION).", band=label, zone=zone)

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

    def _settings(self, job, component):
        import numpy as np

        from ...algorithms.state_estimation.deepkalman import Settings
        steps, rate = job.value(self.iterations), job.value(self.rate_of_learning)
        weight = 0.0 if job.scene(self.final) is None else job.value(self.terminal)
        return Settings(terminal=weight / float(np.diag(component.R).mean()), smoothing=job.value(self.smoothing),
                        weights=job.value(self.weights), complete=job.value(self.propagation) == "complete",
                        rate=rate, shared_rate=rate, steps=(steps, -(-steps // 4), steps),
                        whiteness=self._stops(job), whitest=True, patience=job.value(self.patience),
                        learn_C=job.value(self.observation), feed_forward=job.value(self.feed),
                        solver=job.value(self.solver), most=job.value(self.most), tau=job.value(self.tau))

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

    def _say_end(self, job, model, number, off):
        """How far the last states (Z, B, n) are off those known."""
        import numpy as np
        shown = off @ model.components[number].C.T
        for zone, error in zip(self._zoned.classes, np.sqrt(np.mean(np.square(shown), axis=(1, 2)))):
            self._ends.append([f"zone {zone}, {model.levels[number][0]}", float(error)])
            job.say("{band}, zone {zone}: at the last image the states differ by {error} from the final state (root "
                    "mean square of the pixels learned from).", band=model.levels[number][0], zone=zone,
                    error=f"{error:.3g}")

    def _give_tables(self, job, model):
        design, rows, terms = self._design, [], []
        for number, (training, each) in enumerate(zip(self._trainings, model.components)):
            label, states = model.levels[number][0], _deepkalman.state_names(each.forward, model.bands)
            dictionary, learned = design.filter(each, model.days).dictionary, training.learned
            for z, zone in enumerate(self._zoned.classes):
                first = {"zone": zone, "component": label}
                rows += [{**first, **row} for row in self._learned(job, each.C, states, learned, z)]
                losses = last_step(training, z)
                rows.append({**first, "parameter": "loss", "value": float(losses[-1]), "first": float(losses[0]),
                             "unit": ""})
                if self._stops(job):
                    course = training.course[z].mean(axis=1)
                    rows.append({**first, "parameter": "whiteness", "value": float(training.deviation[z].mean()),
                                 "first": float(course[0]), "unit": ""})
                for i, state in enumerate(states):
                    found = [(term, s) for term, s in zip(dictionary.names(states), _deepkalman.yearly(
                        learned.s[z], dictionary.terms, states, design.unit)[:, i]) if s] if dictionary else []
                    terms += [{**first, "equation": state, "term": term, "coefficient": float(s)}
                              for term, s in found or [("none", 0.0)]]
        for row in rows:
            if row["parameter"].split(",")[0] in (*design.names, "observation"):
                job.say("{component}, zone {zone}: {parameter} {value} (at first {first}).", **{
                    **row, "value": f"{row['value']:.4g}", "first": f"{row['first']:.4g}"})
        job.give_table(self.parameters_found, rows)
        job.give_table(self.terms, terms)
        self._rows, self._terms = [row for row in rows if row["parameter"] not in ("loss", "whiteness")], terms

    def _learned(self, job, C, states, learned, z):
        """Rows of the parameters, the observation and the feed-forward gain that a zone has learned."""
        import numpy as np
        for name, logarithm in zip(self._design.names, learned.p[z]):
            given = float(job.value(getattr(self, name)))
            yield {"parameter": name, "value": given * float(np.exp(logarithm)), "first": given,
                   "unit": "per year" if name == "rate" else "images' units"}
        for wanted, name, found, first in ((self.observation, "observation", learned.C, C),
                                           (self.feed, "feed-forward", learned.feed, np.zeros((len(states),) * 2))):
            for i, j in np.ndindex(first.shape) if job.value(wanted) else ():
                pair = "" if first.size == 1 else f", {states[i]} of {states[j]}"
                yield {"parameter": name + pair, "value": float(found[z, i, j]), "first": float(first[i, j]),
                       "unit": ""}

    def add_to_report(self, job, report, sequence, model):
        import numpy as np
        lines = [(f"zone {zone}, {model.levels[number][0]}", training, z, number)
                 for z, zone in enumerate(self._zoned.classes) for number, training in enumerate(self._trainings)]
        shown = lines[:CURVES]
        longest = range(max(len(training.loss[z]) for _, training, z, _ in shown))

        def course(values):
            return [*map(float, values), *[None] * (len(longest) - len(values))]

        if self._ends:
            report.heading("Final state")
            report.paragraph("How much the states of the pixels learned from differ at the last image from the final "
                             "state given, as root mean square.")
            report.table(["Zone and component", "difference"], self._ends)
        if job.value(self.observation):
            report.paragraph("The states, their uncertainty and the maps have the scale of the final state or the "
                             "capacity; the points of the images have their own. Of a state, images show the share "
                             "that the table of parameters calls observation.")
        for heading, rows, wanted in (("Parameters", self._rows, self._rows),
                                      ("Missing terms", self._terms, job.value(self.degree))):
            if wanted:
                report.heading(heading)
                if len(rows) > ROWS:
                    report.paragraph(f"The first {ROWS} of {len(rows)}.")
                report.table([name if name != "first" else "at first" for name in rows[0]],
                             [row.values() for row in rows[:ROWS]])
        report.heading("Learning")
        report.paragraph("Loss along the iterations, relative to the first: parameters, terms and gains, one after the "
                         "other, between which it leaps, as corrections weigh otherwise. Each cycle of seeking terms "
                         "begins with new gains, and so does the last step after it." + (
                             f" Of {len(lines)} zones and components the first {CURVES}." if len(lines) > CURVES else ""
                         ))
        report.curves(longest, {label: course(training.loss[z] / (training.loss[z][0] or 1.0))
                                for label, training, z, _ in shown}, "Iteration", "Loss / first loss")
        if self._stops(job):
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


def last_step(training, z):
    """Loss of a zone in the last step of learning: between steps it is not the same, as corrections weigh otherwise."""
    return training.loss[z][training.step[z] == training.step[z][-1]]
