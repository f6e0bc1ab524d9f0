"""
States behind rasters: gaps, forecasts and anomalies by filters, against what users have today, on simulated series of
24 dates; and a date held out of a semi-real Lake Tahoe.
"""

import os

for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

import sys
import time

import numpy as np
from harness import record
from scipy.signal import savgol_filter

from subpixel.algorithms.simulate.states import YEAR, simulate_states
from subpixel.algorithms.state_estimation import ensemble, kalmanfilter, particles
from subpixel.algorithms.state_estimation.model import LinearTrend, Logistic, RandomWalk, Seasonal, start
from subpixel.algorithms.state_estimation.simplex import from_basis, spread_of_independent, to_basis

SEEDS, SIDE = range(3), 60
DATES, AHEAD = 24, 3
STEP = {"logistic": 15, "seasonal": 30}    # days from date to date, on average
NOISE, GAPS, CHANGE, RATE, CAPACITY = 0.2, 0.3, 0.1, 4.0, 0.85
SAMPLE, LEARNERS, MEMBERS, PARTICLES = 400, 60, 100, 500
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
        self.case, self.seed = case, seed
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


def growth(scene):
    """The state-space model of logistic growth, of a rate and a capacity that are given, and its constraint."""
    def keep(x):
        return np.clip(x, np.float32(LOWEST * CAPACITY), np.float32(CAPACITY))

    def make(level):
        return Logistic(RATE / YEAR, CAPACITY, level)
    levels = ensemble.noise_levels(scene.sample(scene.y), scene.days, make, LEARNERS, np.random.default_rng(0),
                                   keep=keep)
    return start(make(*levels.steps), scene.y, scene.days, levels.noise), keep


def members(scene):
    model, keep = growth(scene)
    found = ensemble.estimate(scene.y, scene.days, model, MEMBERS, np.random.default_rng(scene.seed), at=scene.every,
                              keep=keep)
    return found.mean, np.sqrt(found.variance), None


def weighted(scene):
    model, keep = growth(scene)
    found = particles.estimate(scene.y, scene.days, model, PARTICLES, np.random.default_rng(scene.seed),
                               at=scene.every, keep=keep)
    return found.mean, np.sqrt(found.variance), None


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


def rmse(a, b):
    return float(np.sqrt(np.mean(np.square(a - b))))


def figures(scene, method):
    """What a method makes of a scene: errors of gaps and forecasts, anomalies, coverage, seconds."""
    begin = time.perf_counter()
    mean, sd, standard = METHODS[method](scene)
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
    for part in sys.argv[1:] or ("series", "tahoe"):
        {"series": series, "tahoe": tahoe}[part]()
