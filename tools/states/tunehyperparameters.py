"""The tool `tunehyperparameters`."""

from dataclasses import dataclass, replace

from ...engine.declare import (Choice, Group, Integer, NumberOutput, RasterInput, Real, ReportOutput, SpectraInput,
                               TableOutput, Tool)
from .. import _shared
from ..multitemporal import _sequence
from ._states import QUANTITY

PIXELS = 2000      # of an image, or of a sequence, at most, that are looked at
VALUES = 8_000_000   # entries of the Hessians of all series, at most
YEAR = 365.25
RIDGE = 1e-12      # of a library's largest eigenvalue, by which spectra that are equal are told apart
STEPS = 400        # of an inner problem
KEPT = 200         # of them, through which gradients go back
DRAWN = 200        # steps of the inner problem and of its adjoint for a stochastic gradient
STILL = 1e-3       # by which the logarithm of a parameter may still move in an iteration where it has settled
CLEAR = 1e-2       # of the variance of the series, that of the noise by which steps are measured
RANGES = {"sunsal": (1e-5, 1.0), "sunsaltv": (1e-5, 1.0), "kalmanfilter": (1e-2, 1e3)}
METHODS = {"search": ("sunsal", "sunsaltv", "kalmanfilter"), "descent": ("sunsal", "kalmanfilter"),
           "bsgm": ("sunsal", "kalmanfilter"), "fefb": ("kalmanfilter",), "fifb": ("kalmanfilter",)}


class TuneHyperparameters(Tool):
    """Finds how much a tool should smooth: the parameter with which its answer comes nearest to what is known.

    Sparse unmixing is tuned against a raster of reference fractions: its sparsity (LAMBDA), or the weight of its total
    variation (TV). The Kalman filter needs no reference: every few dates are held out in turn, and its steps
    (STEPNOISE) and noise (NOISE), for a random walk, are those that predict them best. Their ratio decides that; the
    noise itself is what makes the errors at the held-out dates as large as the filter says they are.

    A search evaluates the tool itself over a range and is the safest, and mostly the fastest: BSGM takes tens of times
    as long. The other methods are of bilevel optimisation: they follow the derivative of the error by the parameter,
    and end at the minimum that lies downhill from the middle
    of the range. Iterative differentiation and the stochastic gradient method need a problem that is solved by
    contracting steps (sparsity, steps and noise), forward-exact and forward-inexact methods a smooth one (steps and
    noise); the total variation has neither and is searched. A pixel's neighbours, the number of references and the
    place where they are decide what the result is worth elsewhere: keep some references for its check."""

    id = "tunehyperparameters"
    label = "Tune a parameter of another tool"
    group = Group.STATES
    tags = ("hyperparameter", "tuning", "bilevel optimisation", "cross-validation", "regularisation", "sparsity",
            "total variation", "noise", "Kalman filter", "SUnSAL", "hypergradient", "parameter", "optimization",
            "regularization", "smoothing")
    citation = ("G. Chinellato, Deep Unfolding, PhD thesis, University of Padova, 2026, chapter 2 (iterative "
                "differentiation: section 2.3.4; FEFB and FIFB: algorithms 2.3.2A and B; SID and BSGM: algorithms "
                "2.3.3A and B)")
    prefer = ("When reference fractions are known for a part of the scene, or when the Kalman filter smooths too much "
              "or too little. The noise that this filter estimates itself gave errors within 3 % of the best in our "
              "measurements.")
    requires = (*Tool.requires, "torch")

    tool = Choice("TOOL", "Parameter to tune", default="sunsal", options={
        "sunsal": "Sparsity (LAMBDA) of sparse unmixing", "sunsaltv": "Total variation (TV) of sparse unmixing",
        "kalmanfilter": "Steps and noise (STEPNOISE, NOISE) of the Kalman filter, random walk"},
        help="Of which tool which parameter. Unmixing needs INPUT, ENDMEMBERS and REFERENCE, the Kalman filter IMAGES. "
             "Default sparsity.")
    method = Choice("METHOD", "Method", default="search", options={
        "search": "Search over the range", "descent": "Iterative differentiation",
        "bsgm": "Bilevel stochastic gradient method (BSGM, SID)", "fefb": "Forward-exact-forward-backward (FEFB)",
        "fifb": "Forward-inexact-forward-backward (FIFB)"},
        help="How the best value is found. FEFB and FIFB are for the Kalman filter alone, total variation is only "
             "searched. Default search.")
    image = replace(_shared.INPUT, optional=True)
    endmembers = SpectraInput("ENDMEMBERS", "Endmembers or library", raster="INPUT", bundle=True, optional=True,
                              help="Of unmixing: layer of spectra (a feature each, with the fields name and profile), "
                              "in the raster's units.")
    reference = RasterInput("REFERENCE", "Reference fractions", spectral=False, optional=True, help="Of unmixing: "
                            "raster of true fractions, 0 to 1, on the image's grid, with a band per endmember, named "
                            "after it or in their order. Nodata where nothing is known.")
    weight = Real("LAMBDA", "Sparsity while TV is tuned", default=1e-3, minimum=0.0, maximum=10.0, advanced=True,
                  help="LAMBDA of sparse unmixing while its total variation is tuned, 0 to 10. Default 0.001.")
    images = replace(_sequence.IMAGES, spectral=False, optional=True, help="Of the Kalman filter: images of one place, "
                     "at least as many as FOLDS, in the order of their dates: " + _sequence.FOLDER)
    dates = _sequence.DATES
    quantity = replace(QUANTITY, help="Of the Kalman filter: " + QUANTITY.help)
    folds = Integer("FOLDS", "Hold out every so many-th date", default=4, minimum=2, maximum=1000, help="Of the Kalman "
                    "filter: the dates are dealt into so many groups, one after the other, and each group is held out "
                    "once, 2 to 1000. Default 4.")
    low = Real("LOW", "Least value", optional=True, minimum=1e-12, maximum=1e12, help="Where the range begins, above "
               "0: of the weight, or of the ratio STEPNOISE / NOISE. Empty: 0.00001, or 0.01 for that ratio.")
    high = Real("HIGH", "Largest value", optional=True, minimum=1e-12, maximum=1e12, help="Where the range ends, above "
                "LOW. Empty: 1, or 1000 for the ratio STEPNOISE / NOISE.")
    points = Integer("POINTS", "Values tried first", default=13, minimum=3, maximum=1000, advanced=True, help="Of the "
                     "search: so many values, evenly spread over the logarithm of the range, 3 to 1000; a dozen more "
                     "around the best of them follow. Default 13.")
    rate = Real("RATE", "Rate", default=0.3, minimum=1e-6, maximum=1000.0, advanced=True, help="Of FEFB, FIFB and "
                "BSGM: step of the parameter's logarithm for a slope of 1 of the squared error relative to its first "
                "value, 0.000001 to 1000. Default 0.3.")
    iterations = replace(_shared.iterations(200), help="Of all methods but the search: the run ends after so many, 1 "
                         "to 100000, with a warning if it has not settled. Default 200.")
    seed = replace(_shared.SEED, help="Starts the random numbers, of BSGM and of which pixels are looked at where more "
                   "than 2000 have a reference: the same seed gives the same result. 0 or any positive whole number.")
    parameters_found = TableOutput("PARAMETERS", "Parameters", optional=False, help="Table with a row for each "
                                   "parameter found: tool, parameter, value, rmse (of the tool with it), method.")
    value = NumberOutput("VALUE", "Value", help="The parameter found; of the Kalman filter STEPNOISE.")
    error = NumberOutput("RMSE", "Error", help="Root mean square of the difference to the reference or to the held-out "
                         "dates, with the parameter found; of fractions at held-out dates, that of natural logarithms "
                         "of their ratios.")
    report = ReportOutput("REPORT", "Report", create=False, help="HTML file with the error over the values tried.")
    example = {"INPUT": "scene", "ENDMEMBERS": "endmembers", "REFERENCE": "abundances", "POINTS": 5}

    def run(self, job):
        import numpy as np

        from ...engine.sentences import UserError
        kind, method = job.value(self.tool), job.value(self.method)
        if kind not in METHODS[method]:
            raise UserError("{method} cannot tune this: {what}. Choose the search (METHOD).",
                            method=self.method.options[method], what=self.tool.options[kind])
        low, high = (given if given is not None else usual for given, usual in zip(
            (job.value(self.low), job.value(self.high)), RANGES[kind]))
        if not low < high:
            raise UserError("The range goes from {low} to {high}: the least value (LOW) must be below the largest "
                            "(HIGH).", low=low, high=high)
        job.passes(2)
        problem = self._series(job) if kind == "kalmanfilter" else self._unmixing(job, kind)
        found = self._search(job, problem, low, high) if method == "search" else \
            self._optimised(job, problem, method, low, high)
        theta = float(found.theta[0])
        if not found.converged:
            job.warn("The best value has not been reached: it is at an end of the range, or more iterations are "
                     "needed. Look at the report, widen the range (LOW, HIGH) or allow more (ITERATIONS).")
        rmse = float(np.sqrt(problem.cost(theta)))
        rows = [{"tool": "sunsal" if kind == "sunsaltv" else kind, "parameter": name, "value": value, "rmse": rmse,
                 "method": method} for name, value in problem.values(theta).items()]
        for row in rows:
            job.say("{parameter} of {tool}: {value} (RMSE {rmse}).", **{**row, "value": f"{row['value']:.5g}",
                                                                        "rmse": f"{rmse:.5g}"})
        job.give_table(self.parameters_found, rows)
        job.give_number(self.value, rows[0]["value"])
        job.give_number(self.error, rmse)
        report = job.report(self.report)
        if report:
            report.numbers(**{row["parameter"]: row["value"] for row in rows}, RMSE=rmse)
            order = np.argsort(found.thetas[:, 0], kind="stable") if method == "search" else range(len(found.costs))
            errors = np.sqrt(found.costs)[order]
            if method == "search":
                report.curve(found.thetas[order, 0] / np.log(10), errors, "Error over the values tried",
                             f"Logarithm (to 10) of {problem.label}", "RMSE", mark=round(theta / np.log(10), 3))
            else:
                report.curve(range(1, len(errors) + 1), errors, "Error over the iterations", "Iteration",
                             "RMSE of the bilevel problem")
                report.curve(range(1, len(errors) + 1), np.exp(found.thetas[:, 0]), "Value over the iterations",
                             "Iteration", problem.label, logarithmic=True)
            job.give_report(self.report, report)

    def _search(self, job, problem, low, high):
        import numpy as np

        from ...algorithms.state_estimation.bilevel import search
        most = job.value(self.points) + 12
        found = search(problem.cost, np.log(low), np.log(high), points=job.value(self.points), evaluations=12,
                       callback=lambda done, cost: job.progress(min(done, most), most + 1))
        job.progress(1, 1)
        return found

    def _optimised(self, job, problem, method, low, high):
        """By a method of bilevel optimisation, from the middle of the range; costs in squared units."""
        import numpy as np
        import torch

        from ...algorithms.state_estimation.bilevel import bsgm, descend, fefb, fifb, surrogate
        limits = [torch.tensor([np.log(bound)], dtype=torch.float64) for bound in (low, high)]
        theta, most = (limits[0] + limits[1]) / 2, job.value(self.iterations)
        step, loss, begin = problem.contraction()
        start, rng = begin(theta), np.random.default_rng(job.value(self.seed))
        unit = max(surrogate(step, loss, start, theta, STEPS, 1)[0], 1e-30)

        def draw():
            """Nothing for the inner problem, half of the pixels or series, which count twice, for the outer one."""
            return None, torch.tensor(2.0 * (rng.random(len(start)) < 0.5), dtype=torch.float64)

        def clamp(theta):
            return torch.minimum(torch.maximum(theta, limits[0]), limits[1])

        def callback(iteration, cost):
            job.progress(iteration, most)

        if method == "descent":
            found = descend(lambda at: surrogate(step, lambda x, t: loss(x, t) / unit, begin(at), at, STEPS, KEPT),
                            theta, *limits, iterations=most, callback=callback)
        elif method == "bsgm":
            found = bsgm(lambda x, t, y: step(x, t), lambda x, t, z: loss(x, t, z) / unit, begin, theta, draw,
                         rate=job.value(self.rate), iterations=most, inner_steps=DRAWN, adjoint_steps=DRAWN, batch=1,
                         rates=lambda k: 1.0, project=clamp, callback=callback)
        else:
            inner, outer, y, z = problem.smooth()
            found = (fefb if method == "fefb" else fifb)(
                inner, lambda x, z: outer(x, z) / unit, start, theta, y, z, step=1.0, rate=job.value(self.rate),
                iterations=most, prox=clamp, callback=callback)
        ends = min(abs(float(found.theta[0] - bound)) for bound in limits)
        settled = found.converged and (method == "descent" or still(found.thetas[:, 0]))
        return replace(found, costs=found.costs * unit, cost=found.cost * unit, converged=settled and ends > 1e-3)

    def _unmixing(self, job, kind):
        """The problem of sparse unmixing, on pixels that have a reference."""
        import numpy as np

        from ...algorithms.abundances.sparse import check_library
        from ...engine.sentences import UserError
        from ..check.compareabundances import fractions, same_grid
        scene, reference, spectra = job.scene(self.image), job.scene(self.reference), job.spectra(self.endmembers)
        for given, parameter in ((scene, self.image), (spectra, self.endmembers), (reference, self.reference)):
            if given is None:
                raise UserError("Unmixing is tuned on an image with endmembers and a reference: {label} ({name}) is "
                                "missing.", label=parameter.label, name=parameter.name)
        same_grid(scene, reference)
        M = spectra.to_scene(scene, job.say)
        check_library(M, spectra.names)
        if len(reference.band_names) != spectra.P:
            raise UserError("The reference has {bands} bands, and there are {count} endmembers. Give a band for each "
                            "(Rearrange bands).", bands=len(reference.band_names), count=spectra.P)
        order = [reference.band_names.index(name) for name in spectra.names] \
            if sorted(reference.band_names) == sorted(spectra.names) else list(range(spectra.P))
        N, tv, rng = scene.width * scene.height, kind == "sunsaltv", np.random.default_rng(job.value(self.seed))
        if tv:
            from ...algorithms.abundances.sunsaltv import NUMBERS
            from ...engine.memory import need
            need(N * (8 * scene.L + 8 * (NUMBERS + 2) * spectra.P), "Clip the rasters.")
        parts = []
        windows = scene.windows(bands=scene.count + reference.count)
        for done, window in enumerate(windows, 1):
            (Y, known), (Z, true) = scene.read(window), reference.read(window)
            rows, cols = np.divmod(np.arange(window.width * window.height), window.width)
            where = (rows + window.row_off) * scene.width + cols + window.col_off
            chosen = known & (true | tv)
            parts.append((Y[:, chosen].astype(np.float32), np.where(true, Z[order], np.nan)[:, chosen], where[chosen],
                          rng.random(int(chosen.sum()))))
            if not tv:
                parts = [fewer(parts)]
            job.progress(done, len(windows))
        Y, Z, where, _ = (np.concatenate(each, axis=-1) for each in zip(*parts))
        if not np.isfinite(Z).all(axis=0).any():
            raise UserError("No pixel has a value in both the image and the reference. Choose a reference that lies on "
                            "the image.")
        fractions(Z[:, np.isfinite(Z).all(axis=0)])
        return TotalVariation(Y, M, Z, where, (scene.height, scene.width), job.value(self.weight)) if tv \
            else Sparsity(Y, M, Z)

    def _series(self, job):
        """The problem of the Kalman filter, on sample series with held-out dates."""
        import numpy as np

        from ...algorithms.state_estimation.model import varies
        from ...algorithms.state_estimation.simplex import to_basis
        from ...engine.sentences import UserError
        if not job.values.get(self.images.name):
            raise UserError("The Kalman filter is tuned on images: {label} ({name}) are missing.",
                            label=self.images.label, name=self.images.name)
        sequence, folds = job.sequence(self.images), job.value(self.folds)
        if sequence.T < max(folds, 4):
            raise UserError("There are {dates} dates, too few to hold out every {folds}th: at least four, and as many "
                            "as FOLDS, are needed.", dates=sequence.T, folds=folds)
        if job.value(self.quantity) == "fractions":
            orders = _sequence.orders_by_name(sequence.scenes)
        else:
            orders = [np.arange(sequence.L)] * sequence.T
        most = max(50, min(PIXELS, VALUES // (folds * sequence.T**2 * sequence.L)))
        Y, valid, _ = sequence.sample(most, job.progress)
        y = np.stack([part[order].T for part, order in zip(Y, orders)]).astype(np.float64)
        y[~valid] = np.nan
        if job.value(self.quantity) == "fractions":
            y = to_basis(y)
        years = np.array([(date - sequence.dates[0]).total_seconds() / 86400 / YEAR for date in sequence.dates])
        y = y.transpose(0, 2, 1).reshape(len(y), -1)
        held = np.arange(len(y))[:, None] % folds == np.arange(folds)
        enough = np.isfinite(y)[:, None] & ~held[:, :, None]
        y = y[:, (enough.sum(axis=0) >= 2).all(axis=0)]
        if not y.size or not varies(y[..., None]):
            raise UserError("No pixel varies over time and has two values or more beside the held-out dates. Choose "
                            "other images, or more FOLDS.")
        return Steps(y, years, held)


def still(thetas):
    """Whether iterates (k,) no longer go on, by the means of their last quarter and of the one before."""
    count = len(thetas) // 4
    return count > 0 and bool(abs(thetas[-count:].mean() - thetas[-2 * count:-count].mean()) <= count * STILL)


def fewer(parts):
    """Arrays (..., n) of the pixels in all `parts`; of more than PIXELS those of the smallest last numbers."""
    import numpy as np
    together = [np.concatenate(each, axis=-1) for each in zip(*parts)]
    if together[-1].size <= PIXELS:
        return together
    chosen = np.sort(np.argpartition(together[-1], PIXELS)[:PIXELS])
    return [each[..., chosen] for each in together]


@dataclass
class Sparsity:
    """LAMBDA of sparse unmixing of pixels Y (L, N), against fractions Z (P, N)."""

    Y: object
    M: object
    Z: object
    label = "LAMBDA"

    def values(self, theta):
        import math
        return {"LAMBDA": math.exp(theta)}

    def cost(self, theta):
        """Mean squared error of the fractions."""
        import numpy as np

        from ...algorithms.abundances.sparse import unit
        from ...algorithms.abundances.sunsal import sunsal
        return float(np.square(sunsal(self.Y, self.M, np.exp(theta) * unit(self.M)).A - self.Z).mean())

    def contraction(self):
        """
        Projected Newton steps in units of the library, the mean squared error, and where to begin at a theta.

        That is at the exact answer, so that the steps only carry the gradient, (2.3.44). On spectra that are above 0
        there a step is Newton's, on others the gradient's: the derivative then is exact after one of them, where
        gradient steps alone, which spectra that are alike hardly contract, would carry a small part of it.
        """
        import numpy as np
        import torch

        from ...algorithms.abundances.sparse import unit
        from ...algorithms.abundances.sunsal import sunsal
        scale = unit(self.M)
        M, Y, Z = (torch.tensor(np.asarray(part, np.float64))
                   for part in (self.M / scale**0.5, self.Y.T / scale**0.5, self.Z.T))
        G, C = M.T @ M, Y @ M
        largest, newton = float(torch.linalg.eigvalsh(G)[-1]), {}

        def step(x, theta):
            slope = x @ G - C + theta[0].exp()
            above, places, inverse = (newton[name] for name in ("above", "places", "inverse"))
            move = torch.einsum("qij,qj->qi", inverse, slope.gather(1, places))
            return (x - torch.where(above, torch.zeros_like(x).scatter(1, places, move), slope / largest)).clamp(min=0)

        def loss(x, theta, pixels=None):
            off = (x - Z).square().mean(dim=1)
            return off.mean() if pixels is None else (pixels * off).mean()

        def begin(theta):
            x = torch.tensor(sunsal(self.Y, self.M, float(theta[0].exp()) * scale).A.T)
            above = x > 0
            places = above.double().topk(int(above.sum(dim=1).max())).indices   # and others, where there are fewer
            own = above.gather(1, places).double()
            among = own[:, :, None] * G[places[:, :, None], places[:, None]] * own[:, None]
            inverse = torch.linalg.inv(among + largest * torch.diag_embed(1 - own + RIDGE))
            newton.update(above=above, places=places, inverse=inverse)
            return x
        return step, loss, begin


@dataclass
class TotalVariation:
    """TV of sparse unmixing of the pixels Y (L, n) at `where` in a scene, against fractions Z (P, n) where finite."""

    Y: object
    M: object
    Z: object
    where: object
    shape: tuple
    weight: float
    label = "TV"

    def values(self, theta):
        import math
        return {"TV": math.exp(theta)}

    def cost(self, theta):
        """Mean squared error of the fractions."""
        import numpy as np

        from ...algorithms.abundances.sparse import unit
        from ...algorithms.abundances.sunsaltv import sunsaltv
        N = self.shape[0] * self.shape[1]
        Y, valid = np.zeros((len(self.Y), N), dtype=np.float32), np.zeros(N, dtype=bool)
        Y[:, self.where], valid[self.where] = self.Y, True
        scale = unit(self.M)
        A = sunsaltv(Y, self.M, self.shape, self.weight * scale, np.exp(theta) * scale, valid).A[:, self.where]
        return float(np.nanmean(np.square(A - self.Z)))


@dataclass
class Steps:
    """STEPNOISE / NOISE of a random walk behind series y (T, Q), of which `held` (T, K) tells K groups of dates."""

    y: object
    years: object
    held: object
    label = "STEPNOISE / NOISE"

    def predicted(self, theta):
        """
        Means, and variances in units of the noise's, (T, K, Q), with each group of dates held out in turn.

        Means depend on no unit, but where a series begins is vague beside its own variance: noise is taken as small.
        """
        import numpy as np

        from ...algorithms.state_estimation.kalmanfilter import estimate
        from ...algorithms.state_estimation.model import RandomWalk, start, variance
        means, variances, R = [], [], CLEAR * float(variance(self.y[..., None])[0])
        for held in self.held.T:
            y = np.where(held[:, None], np.nan, self.y)
            found = estimate(y, self.years, start(RandomWalk(R * np.exp(2 * theta)), y, self.years, R))
            means.append(found.mean)
            variances.append(found.variance / R)
        return np.stack(means, axis=1), np.stack(variances, axis=1)

    def errors(self, theta):
        """Squared errors at held-out dates with a value, and the variances there."""
        import numpy as np
        mean, variance = self.predicted(theta)
        tested = self.held[:, :, None] & np.isfinite(self.y)[:, None]
        return np.square(mean - self.y[:, None])[tested], variance[tested]

    def cost(self, theta):
        return float(self.errors(theta)[0].mean())

    def values(self, theta):
        """Errors at held-out dates have the variance NOISE^2 (1 + variance)."""
        import numpy as np
        squares, variance = self.errors(theta)
        noise = float(np.sqrt((squares / (1 + variance)).mean()))
        return {"STEPNOISE": float(np.exp(theta)) * noise, "NOISE": noise}

    def _tensors(self):
        """Series (S, T), zero where missing, the weights of their training and testing, and intervals."""
        import numpy as np
        import torch
        T, K, Q = len(self.y), self.held.shape[1], self.y.shape[1]
        seen = np.broadcast_to(np.isfinite(self.y)[:, None], (T, K, Q))
        test = seen & self.held[:, :, None]
        share = test * (test.size / T) / max(test.sum(), 1)
        y = np.broadcast_to(np.nan_to_num(self.y)[:, None], (T, K, Q))
        return [torch.tensor(np.ascontiguousarray(part.reshape(T, -1).T, dtype=np.float64))
                for part in (y, seen & ~test, share)] + [torch.tensor(np.diff(self.years))]

    def smooth(self):
        """
        The inner problem of a series, 1/2 sum w (y - x)^2 + 1/2 sum (x_k - x_{k-1})^2 / (ratio^2 interval).

        Divided by a bound of its largest eigenvalue, which moves no minimiser: steps of 1 do for every ratio.
        """
        y, train, test, dt = self._tensors()

        def inner(x, theta, given):
            y, train = given
            rough = (-2 * theta[0]).exp()
            bound = 1 + 4 * rough / dt.min()
            return 0.5 * ((train * (y - x).square()).sum() + rough * (x.diff().square() / dt).sum()) / bound

        def outer(x, given):
            y, test = given
            return (test * (y - x).square()).sum()
        return inner, outer, (y, train), (y, test)

    def contraction(self):
        """Its gradient steps, the mean squared error at held-out dates, and where to begin: the means of the series."""
        from torch.func import grad, vmap
        inner, _, (y, train), (_, test) = self.smooth()
        slope = vmap(grad(inner), (0, None, 0))

        def step(x, theta):
            return x - slope(x, theta, (y, train))

        def loss(x, theta, series=None):
            off = (test * (y - x).square()).sum(dim=1)
            return off.mean() if series is None else (series * off).mean()
        means = ((train * y).sum(dim=1, keepdim=True) / train.sum(dim=1, keepdim=True)).expand_as(y).clone()
        return step, loss, lambda theta: means
