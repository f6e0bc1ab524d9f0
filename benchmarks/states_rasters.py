"""
States behind rasters: gaps, forecasts and anomalies by filters, against what users have today, on simulated series of
24 dates; the same by filters that learn; and a date held out of a semi-real Lake Tahoe.
"""

import os

for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

import sys
import time
from dataclasses import fields, replace

import numpy as np
from harness import record
from scipy.signal import savgol_filter

from subpixel.algorithms.simulate.states import YEAR, simulate_states
from subpixel.algorithms.state_estimation import ensemble, kalmanfilter, particles
from subpixel.algorithms.state_estimation.model import (LinearTrend, Logistic, RandomWalk, Seasonal, intervals, restart,
                                                        start)
from subpixel.algorithms.state_estimation.simplex import from_basis, spread_of_independent, to_basis
from subpixel.tools.states import diffusionfilter as diffusion_tool
from subpixel.tools.states.kalmannet import common

SEEDS, SIDE = range(3), 60
DATES, AHEAD = 24, 3
STEP = {"logistic": 15, "seasonal": 30}    # days from date to date, on average
NOISE, GAPS, CHANGE, RATE, CAPACITY = 0.2, 0.3, 0.1, 4.0, 0.85
RIGHT, WRONG = (RATE, CAPACITY), ((2.0, 1.0), (8.0, 1.0), (1.0, 2.0))   # rates and capacities that filters are given
SAMPLE, LEARNERS, MEMBERS, PARTICLES = 400, 60, 100, 500
TAUGHT, LEAST_STEP = 100, 0.1   # of the deep Kalman filter's tool: pixels it learns from; steps, of the noise
PATIENT = 1000                  # iterations of it where it does not stop by whiteness
TWO = "seasonal, two waves"
ANOMALY, SETTLING = 3.0, 3      # standard deviations; dates at the beginning that are not looked at for anomalies
WINDOW, DEGREE = 7, 2           # of Savitzky and Golay's filter, in mean intervals
LOWEST = 1e-3                   # share of the capacity below which logistic growth would take for ever
KINDS = {"walk": (RandomWalk, (1,)), "trend": (LinearTrend, (1, 3)),
         **{f"seasonal, {waves}": (lambda level, season, count=count: Seasonal(level, season, YEAR, count), (1, 1))
            for count, waves in ((1, "one wave"), (2, "two waves"))}}


class Scene:
    """A simulated series: `y` (T, Q) given, NaN under clouds, at `days`; `truth` (T + AHEAD, Q) at `every` day."""

    def __init__(self, case, seed):
        rng = np.random.default_rng(seed)
        self.case, self.seed, self.learned = case, seed, {}
        self.every = np.round(np.cumsum(STEP[case] * rng.uniform(0.5, 1.5, DATES + AHEAD)))
        series = simulate_states(case, SIDE, SIDE, self.every, rng, noise=NOISE, gaps=GAPS, change=CHANGE, rate=RATE)
        self.truth, self.y, self.days = series.X[:, 0], series.Y[:DATES, 0].astype(np.float64), self.every[:DATES]
        self.seen = ~np.isnan(self.y)
        # the first date without clouds at or after the change, if any
        after = self.seen & (np.arange(DATES)[:, None] >= series.date) & (series.date >= 0)
        self.changed = after & (np.cumsum(after, axis=0) == 1)

    def sample(self, y):
        return y[:, ::-(-y.shape[1] // SAMPLE)]


def kalman(scene, kind, smoothed=True, fractions=False):
    """Mean and standard deviation (D, Q) and standardised innovations (T, Q)."""
    make, powers = KINDS[kind]
    y = to_basis(np.stack([scene.y, 1 - scene.y], axis=-1)) if fractions else scene.y[..., None]
    levels = kalmanfilter.noise_levels(scene.sample(y), scene.days, make, powers)
    model = start(make(*levels.steps), y, scene.days, levels.noise)
    found = kalmanfilter.estimate(y, scene.days, model, at=scene.every, smoothed=smoothed)
    if fractions:
        mean, sd = from_basis(found.mean)[..., 0], spread_of_independent(found.mean, found.variance)[..., 0]
    else:
        mean, sd = found.mean[..., 0], np.sqrt(found.variance[..., 0])
    return mean, sd, found.standardised[..., 0]


def growth(scene, rate=RATE, capacity=CAPACITY):
    """The state-space model of logistic growth, of a rate and a capacity that are given, and its constraint."""
    def keep(x):
        return np.clip(x, np.float32(LOWEST * capacity), np.float32(capacity))

    def make(level):
        return Logistic(rate / YEAR, capacity, level)
    levels = ensemble.noise_levels(scene.sample(scene.y), scene.days, make, LEARNERS, np.random.default_rng(0),
                                   keep=keep)
    return start(make(*levels.steps), scene.y, scene.days, levels.noise), keep


def members(scene, smoothed=True, given=RIGHT):
    model, keep = growth(scene, *given)
    found = ensemble.estimate(scene.y, scene.days, model, MEMBERS, np.random.default_rng(scene.seed), at=scene.every,
                              smoothed=smoothed, keep=keep)
    return found.mean, np.sqrt(found.variance), None


def weighted(scene):
    model, keep = growth(scene)
    found = particles.estimate(scene.y, scene.days, model, PARTICLES, np.random.default_rng(scene.seed),
                               at=scene.every, keep=keep)
    return found.mean, np.sqrt(found.variance), None


def seasons(scene):
    """The state-space model of two waves, its noise as likely as can be."""
    make, powers = KINDS[TWO]
    levels = kalmanfilter.noise_levels(scene.sample(scene.y), scene.days, make, powers)
    return start(make(*levels.steps), scene.y, scene.days, levels.noise)


def declared(scene):
    """The model that learned filters take, and between what its states are kept."""
    return (growth(scene)[0], (LOWEST * CAPACITY, CAPACITY)) if scene.case == "logistic" else (seasons(scene), None)


def forecast(scene):
    """The series (D, Q, 1) with NaN at the dates that are forecast."""
    return np.concatenate([scene.y, np.full((AHEAD, scene.y.shape[1]), np.nan)])[..., None]


def diffused(scene):
    """The diffusion filter with its tool's defaults."""
    from subpixel.algorithms.state_estimation.diffusion import Settings, learn
    from subpixel.algorithms.state_estimation.diffusion import particles as drawn
    tool, (model, limits) = diffusion_tool.DiffusionFilter, declared(scene)
    epochs = tool.epochs.default, 1e-3
    settings = Settings(members=tool.members.default, steps=tool.steps.default, alpha=tool.alpha.default, first=epochs,
                        later=tuple(share * each for share, each in zip(diffusion_tool.LATER, epochs)),
                        pool=diffusion_tool.PAIRS, regress=tool.regress.default, limits=limits)
    settings = replace(settings, later=(round(settings.later[0]), settings.later[1]))
    y, C = forecast(scene), model.C
    taught = y[:, ::-(-y.shape[1] // diffusion_tool.TAUGHT[1])]
    networks = learn(taught, scene.every, restart(model, taught[:DATES]), np.random.default_rng([scene.seed, 0]),
                     settings)
    size, mean, sd = diffusion_tool.NUMBERS // (settings.members * model.forward.n), [], []
    for first in range(0, y.shape[1], size):
        part = y[:, first:first + size]
        states = [(x @ C.T)[..., 0] for x in drawn(part, scene.every, restart(model, part[:DATES]),
                                                   np.random.default_rng([scene.seed, 0, 1]), settings, networks)]
        mean.append(np.stack([x.mean(axis=0) for x in states]))
        sd.append(np.stack([x.std(axis=0, ddof=1) for x in states]))
    return np.concatenate(mean, axis=1), np.concatenate(sd, axis=1), None


def recurrent(scene, given=False):
    """KalmanNet with its tool's defaults, which learns from series that are simulated, or `given`."""
    from subpixel.algorithms.state_estimation.kalmannet import Settings, learn
    model, limits = declared(scene)
    y = scene.y[..., None]
    network = learn(common(model, y), scene.days, np.random.default_rng([scene.seed, 0]), Settings(limits=limits),
                    series=y if given else None, seen=~np.isnan(y)).network
    found = network.estimate(forecast(scene), scene.every)
    C = model.C[0]
    return found.mean @ C, np.sqrt(found.covariance @ C @ C), found.innovation[:DATES, :, 0]


def deep(scene, given=RIGHT, **more):
    """The deep Kalman filter with its tool's defaults; of logistic growth it learns rate and capacity too."""
    from subpixel.algorithms.state_estimation.deepkalman import DeepKalman, Settings
    y, unit = scene.y[..., None], np.diff(scene.days).mean()
    days, every = scene.days / unit, scene.every / unit
    if scene.case == "logistic":
        levels = kalmanfilter.noise_levels(scene.sample(scene.y), days, LinearTrend, (1, 3))
        noise = levels.noise[0]
        forward = Logistic(given[0] / YEAR * unit, given[1], max(levels.steps[0], LEAST_STEP**2 * noise),
                           limits=(LOWEST * given[1], np.inf))
    else:
        levels = kalmanfilter.noise_levels(scene.sample(scene.y), days, lambda level, season: Seasonal(
            level, season, YEAR / unit, 2), (1, 1))
        forward, noise = Seasonal(*levels.steps, YEAR / unit, 2), levels.noise[0]
    model, names = start(forward, y, days, noise), ("rate", "capacity") if scene.case == "logistic" else ()

    def build(*logarithms):
        return replace(forward, rate=forward.rate * exp(logarithms[0]), capacity=forward.capacity * exp(
            logarithms[1])) if names else forward

    def learner(at):
        return DeepKalman(build, intervals(at), model.R, model.covariance, names=names,
                          settings=Settings(patience=100, whitest=True, **more))
    clear = np.flatnonzero(scene.seen[0])
    picks = np.random.default_rng(scene.seed).choice(clear, TAUGHT, replace=False)
    learned = learner(days).train(y[:, picks].swapaxes(0, 1)[None], model.mean[picks][None]).learned
    scene.learned = dict(zip(names, (given * np.exp(learned.p[0])).tolist())) if names else {}
    pad = np.zeros((1, AHEAD, *learned.gains.shape[2:]))
    own = replace(learned, gains=np.concatenate([learned.gains, pad], axis=1))
    # each pixel as a zone of its own: the dynamics are linearised along its course
    own = replace(own, **{field.name: np.repeat(getattr(own, field.name), y.shape[1], axis=0) for field in fields(own)})
    found = learner(every).estimate(own, forecast(scene).swapaxes(0, 1)[:, None], model.mean[:, None])
    C = model.C[0]
    mean, variance = (found.mean[:, 0] @ C).T, (learner(every).covariances(own, found)[:, 0] @ C @ C).T
    return (mean if not names else np.clip(mean, *forward.limits), np.sqrt(variance),
            robust(found.innovation[:, 0, :DATES, 0].T))


def exp(x):
    return x.exp() if hasattr(x, "exp") else np.exp(x)


def interpolated(y, days, at):
    """Series linear between the dates that are seen, level before and after them (D, Q)."""
    seen = ~np.isnan(y)
    T, Q = y.shape
    last = np.maximum.accumulate(np.where(seen, np.arange(T)[:, None], -1), axis=0)
    following = np.minimum.accumulate(np.where(seen, np.arange(T)[:, None], T)[::-1], axis=0)[::-1]
    place = np.searchsorted(days, at, side="right") - 1
    a, exact = last[place], np.isin(at, days)[:, None]
    b = np.where(exact, following[place], np.concatenate([following, np.full((1, Q), T)])[place + 1])
    a, b = np.where(a < 0, b, a), np.where(b >= T, a, b)
    before, after = np.take_along_axis(y, a, axis=0), np.take_along_axis(y, b, axis=0)
    gap = days[b] - days[a]
    share = np.where(gap > 0, (at[:, None] - days[a]) / np.where(gap > 0, gap, 1), 0)
    return before + share * (after - before)


def robust(e):
    """Differences over their robust standard deviation."""
    return e / (1.4826 * np.nanmedian(np.abs(e - np.nanmedian(e))))


def linear(scene):
    """Linear interpolation; forecasts by the last value, anomalies by the difference from the value seen before."""
    mean = interpolated(scene.y, scene.days, scene.every)
    before = np.full(scene.y.shape, np.nan)
    for t in range(1, DATES):
        before[t] = np.where(np.isnan(scene.y[t - 1]), before[t - 1], scene.y[t - 1])
    return mean, None, robust(scene.y - before)


def harmonic(scene, waves, trend):
    """Level, waves of a year and a trend by least squares, continued as they are; anomalies by the residual."""
    def terms(days):
        angles = 2 * np.pi * np.outer(days, np.arange(1, waves + 1)) / YEAR
        return np.concatenate([np.ones((len(days), 1)), np.cos(angles), np.sin(angles),
                               *[(days[:, None] - scene.days.mean()) / YEAR][:trend]], axis=1)
    H = terms(scene.days)
    gram = np.einsum("ti,tq,tj->qij", H, scene.seen.astype(float), H) + 1e-6 * np.eye(H.shape[1])
    right = np.einsum("ti,tq->qi", H, np.where(scene.seen, scene.y, 0))
    mean = terms(scene.every) @ np.linalg.solve(gram, right[..., None])[..., 0].T
    return mean, None, robust(scene.y - mean[:DATES])


def savitzky_golay(scene):
    """Savitzky and Golay's filter of interpolated series; forecasts along its last slope, anomalies by the residual."""
    grid = np.linspace(scene.days[0], scene.days[-1], DATES)
    smooth = savgol_filter(interpolated(scene.y, scene.days, grid), WINDOW, DEGREE, axis=0)
    slope = (smooth[-1] - smooth[-2]) / (grid[-1] - grid[-2])
    mean = np.concatenate([interpolated(smooth, grid, scene.days),
                           smooth[-1] + (scene.every[DATES:, None] - grid[-1]) * slope])
    return mean, None, robust(scene.y - mean[:DATES])


METHODS = {
    "linear interpolation, last value": linear,
    "harmonic fit, two waves": lambda scene: harmonic(scene, 2, 0),
    "harmonic fit, one wave and a trend": lambda scene: harmonic(scene, 1, 1),
    "Savitzky-Golay, last slope": savitzky_golay,
    **{f"Kalman filter, {kind}": lambda scene, kind=kind: kalman(scene, kind) for kind in KINDS},
    "Kalman filter, trend of fractions": lambda scene: kalman(scene, "trend", fractions=True),
    "Kalman filter, trend, from earlier dates only": lambda scene: kalman(scene, "trend", smoothed=False),
    "ensemble Kalman filter, logistic": members,
    "particle filter, logistic, from earlier dates only": weighted,
}
# of these all know earlier dates only
LEARNED = {
    "Kalman filter, trend": lambda scene: kalman(scene, "trend", smoothed=False),
    f"Kalman filter, {TWO}": lambda scene: kalman(scene, TWO, smoothed=False),
    "ensemble Kalman filter, logistic": lambda scene: members(scene, smoothed=False),
    "particle filter, logistic": weighted,
    "diffusion filter": diffused,
    "KalmanNet, from simulated series": recurrent,
    "KalmanNet, from the images": lambda scene: recurrent(scene, given=True),
    "deep Kalman filter": deep,
    **{f"{name}, given rate {rate:g} and capacity {capacity:g}": lambda scene, run=run, given=(rate, capacity): run(
        scene, given=given) for rate, capacity in WRONG for name, run in {
            "ensemble Kalman filter": lambda scene, given: members(scene, smoothed=False, given=given),
            "deep Kalman filter": deep}.items()},
    f"deep Kalman filter, given rate {WRONG[-1][0]:g} and capacity {WRONG[-1][1]:g}, patiently": lambda scene: deep(
        scene, WRONG[-1], steps=(PATIENT, 0, PATIENT), whiteness=False),
}


LEARNED_NOTES = (
    "The series of states_rasters.md with the first of its seeds. All methods know only what was seen up to a date, "
    "also in gaps, where a fall is not known before it is seen: a smoother's errors of gaps are a third of these. "
    f"Unless a method says otherwise, logistic growth is given as rate {RATE:g} and capacity {CAPACITY:g}, and seasons "
    "as two waves. Settings are the defaults of the tools: the diffusion filter has 100 particles, 25 steps and 100 "
    "epochs and learns from 100 pixels; KalmanNet takes 600 steps of learning, from series simulated with the noise "
    f"found, or from the images by their innovations; the deep Kalman filter learns from {TAUGHT} pixels, in up to 200 "
    "iterations for rate and capacity and as many for gains. It begins with the rate and capacity that its row says; "
    f"the ensemble Kalman filter beside it is given the same and keeps them. Patiently means {PATIENT} iterations "
    "each, not stopped by whiteness. (With a patience of 10 instead of 100 iterations whiteness ended learning too "
    "early where the first values were far off, as the gains make up for them: at a rate of 1.6.) Its innovations are "
    "divided by their robust standard deviation, those of the Kalman filter and KalmanNet by what the filter says. "
    "Times include learning; one thread, while others used the processor: rough.")


def rmse(a, b):
    return float(np.sqrt(np.mean(np.square(a - b))))


def figures(scene, method, methods=METHODS):
    """What one of `methods` makes of a scene: errors of gaps and forecasts, anomalies, coverage, seconds."""
    begin = time.perf_counter()
    mean, sd, standard = methods[method](scene)
    seconds = time.perf_counter() - begin
    gaps = ~scene.seen
    found = {"RMSE of gaps": rmse(mean[:DATES][gaps], scene.truth[:DATES][gaps]),
             "RMSE of forecasts": rmse(mean[DATES:], scene.truth[DATES:])}
    off = None if sd is None else np.abs(mean - scene.truth) <= 2 * sd
    found["gaps within 2 sd (%)"] = None if off is None else 100 * float(off[:DATES][gaps].mean())
    found["forecasts within 2 sd (%)"] = None if off is None else 100 * float(off[DATES:].mean())
    if standard is None:
        found.update(dict.fromkeys(("F1 of anomalies", "precision", "recall")))
    else:
        alarm, true = np.abs(standard[SETTLING:]) > ANOMALY, scene.changed[SETTLING:]
        hits = (alarm & true).sum()
        found["F1 of anomalies"] = float(2 * hits / (alarm.sum() + true.sum()))
        found["precision"], found["recall"] = float(hits / max(alarm.sum(), 1)), float(hits / true.sum())
    return {**found, "time (s)": seconds}


def mean_of(runs):
    return {key: None if runs[0][key] is None else float(np.mean([run[key] for run in runs])) for key in runs[0]}


def series():
    rows = []
    for case in STEP:
        scenes = [Scene(case, seed) for seed in SEEDS]
        for method in METHODS:
            if case != "logistic" and method.partition(", ")[2].startswith("logistic"):
                continue
            rows.append({"series": case, "method": method, **mean_of([figures(scene, method) for scene in scenes])})
            print(rows[-1], file=sys.stderr, flush=True)
    record("states_rasters", "States behind rasters: gaps, forecasts and anomalies", rows, f"{SEEDS[0]} to {SEEDS[-1]}",
           f"{SIDE} x {SIDE} pixels, 24 dates and three more that are forecast, at irregular intervals of "
           f"{STEP['logistic']} (logistic) and {STEP['seasonal']} days (seasonal) on average, +-50 % "
           f"(`algorithms/simulate/states.py`): greening by logistic growth at a rate about {RATE:g}, within a "
           f"third, to 0.7 to 0.95; a level with a wave of a year and one of half a year. {100 * CHANGE:.0f} % of the "
           f"pixels fall at once to a fifth (logistic) or half; clouds hide {100 * GAPS:.0f} %; noise is a fifth of "
           f"the truth's spread over pixels and dates. RMSE against the truth. Filters estimate their noise by maximum "
           f"likelihood from {SAMPLE} series; logistic ones are given the rate {RATE:g} and the capacity {CAPACITY:g} "
           f"for all pixels, {MEMBERS} members and {PARTICLES} particles. Harmonic fits are least squares; "
           f"Savitzky-Golay has a window of {WINDOW} mean intervals and degree {DEGREE} after linear interpolation. An "
           f"anomaly is an innovation beyond {ANOMALY:g} standard deviations from the fourth date on; of methods "
           f"without one, a difference from the value seen before, or a residual of the fit, over its robust standard "
           f"deviation. Right is the first clear date at or after a change, everything else is false, also echoes at "
           f"the dates that follow. The ensemble and particle filters give no innovations. Means of three seeds; one "
           f"thread on a shared processor: times are rough.")


def learned():
    rows, seed = [], SEEDS[0]
    for case in STEP:
        scene = Scene(case, seed)
        for method in LEARNED:
            if case != "logistic" and ("logistic" in method or "given" in method):
                continue
            if case == "logistic" and TWO in method:
                continue
            scene.learned = {}
            found = figures(scene, method, LEARNED)
            seconds = found.pop("time (s)")
            rows.append({"series": case, "method": method, **found, **{
                f"{name} found": scene.learned.get(name) for name in ("rate", "capacity")}, "time (s)": seconds})
            print(rows[-1], file=sys.stderr, flush=True)
    record("states_learned", "States behind rasters: filters that learn, beside those that do not", rows, seed,
           LEARNED_NOTES)


def tahoe():
    """Fractions of a date of Lake Tahoe from those of the other five, by all means that two sides allow."""
    from sequences import SCENES, best_order, reference, unmixed
    s, P, shape = SCENES["Tahoe"](0)
    M0 = reference(s.Y, P, np.random.default_rng(0))
    A, _, _ = unmixed("fcls_settled", s, P, shape, M0, 0)
    A = A[:, best_order(s.A, A)].swapaxes(1, 2).astype(np.float64)
    truth, days, rows = s.A.swapaxes(1, 2), np.arange(len(A), dtype=float), []
    for out in range(1, len(A) - 1):
        keep = np.delete(np.arange(len(A)), out)
        rows.append({"date held out": out + 1, "method": "FCLS of the date itself", "RMSE": rmse(A[out], truth[out]),
                     "within 2 sd (%)": None})
        between = (A[out - 1] + A[out + 1]) / 2
        rows.append({"date held out": out + 1, "method": "linear interpolation", "RMSE": rmse(between, truth[out]),
                     "within 2 sd (%)": None})
        y = to_basis(A[keep])
        for kind in ("walk", "trend"):
            make, powers = KINDS[kind]
            mean, variance = [], []
            for component in range(y.shape[-1]):
                part = y[..., component]
                levels = kalmanfilter.noise_levels(part[:, ::-(-part.shape[1] // SAMPLE)], days[keep], make, powers)
                model = start(make(*levels.steps), part, days[keep], levels.noise)
                found = kalmanfilter.estimate(part, days[keep], model, at=days)
                mean.append(found.mean[out])
                variance.append(found.variance[out])
            mean, variance = np.stack(mean, axis=-1), np.stack(variance, axis=-1)
            sd = spread_of_independent(mean, variance)
            off = np.abs(from_basis(mean) - truth[out]) <= 2 * sd
            rows.append({"date held out": out + 1, "method": f"Kalman filter, {kind}",
                         "RMSE": rmse(from_basis(mean), truth[out]), "within 2 sd (%)": 100 * float(off.mean())})
        print(rows[-4:], file=sys.stderr, flush=True)
    record("states_tahoe", "States behind rasters: a date held out of a semi-real Lake Tahoe", rows, 0,
           "Six dates of 150 x 110 pixels as in multitemporal_tahoe.py, unmixed by FCLS with settled endmembers and "
           "weighted bands; fractions of a date from those of the other five, against the true ones of that date. The "
           "lake withdraws and fields are cut between the dates, which no series of six dates shows in advance. Dates "
           "count as equally far from each other. Noise is estimated from 400 series of five dates.")


if __name__ == "__main__":
    for part in sys.argv[1:] or ("series", "learned", "tahoe"):
        {"series": series, "learned": learned, "tahoe": tahoe}[part]()
