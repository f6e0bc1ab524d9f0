"""Hyper-parameters by bilevel optimisation, by the tool's methods, beside a fine grid of the same error."""

import os

for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

import sys
import time

import numpy as np
from harness import ROOT, record

sys.path.append(str(ROOT / "tests" / "algorithms"))

from sparse_scenes import berlin, mixtures

from subpixel.algorithms.simulate.states import YEAR, simulate_states
from subpixel.algorithms.state_estimation.kalmanfilter import noise_levels
from subpixel.algorithms.state_estimation.model import RandomWalk
from subpixel.tools.states.tunehyperparameters import (METHODS, RANGES, Sparsity, Steps, TotalVariation,
                                                       TuneHyperparameters)

SEEDS = {"sunsal": range(2), "sunsaltv": range(2), "kalmanfilter": range(1)}
FINE, COARSE = 101, 41     # points of the grid; of the total variation the coarse one
PIXELS, SIDE, PATCH, SERIES = 400, 20, 4, 100
MOST = 20                  # spectra of the library
FOLDS, DATES = 4, 24
STOCHASTIC = 60            # iterations of BSGM, whose every one has 400 steps of the problem within
QUICK = 3.0                # a second rate of BSGM for sparsity, ten times the default
USUAL = {"sunsal": 1e-3, "sunsaltv": 1e-3}


class Defaults:
    """As a job: the tool's defaults, but for what is given by name."""

    def __init__(self, **given):
        self.given = given

    def value(self, parameter):
        return self.given.get(parameter.name, parameter.default)

    def progress(self, done, total):
        pass


def library():
    """Every so many-th spectrum of the Berlin library (177, MOST)."""
    M = berlin()
    return M[:, ::-(-M.shape[1] // MOST)]


def sparsity(noise):
    """Problems of PIXELS pixels of up to three spectra: one to tune on, and one with others."""
    def problems(seed):
        M = library()
        Y, Z = mixtures(M, 2 * PIXELS, noise, seed)
        return [Sparsity(Y[:, part], M, Z[:, part]) for part in (slice(PIXELS), slice(PIXELS, None))]
    return problems


def patches(noise):
    """Two scenes of square patches of such pixels."""
    def problems(seed):
        M, found = library(), []
        for number in range(2):
            _, Z = mixtures(M, (SIDE // PATCH) ** 2, 0.0, 2 * seed + number)
            Z = Z.reshape(-1, SIDE // PATCH, SIDE // PATCH).repeat(PATCH, axis=1).repeat(PATCH, axis=2)
            Z = Z.reshape(len(Z), -1)
            Y = M @ Z + noise * np.random.default_rng([seed, number]).standard_normal((len(M), SIDE**2))
            found.append(TotalVariation(Y, M, Z, np.arange(SIDE**2), (SIDE, SIDE), 1e-3))
        return found
    return problems


def series(case):
    """Held-out dates of series, behind which a random walk is taken to be: of SERIES pixels, and of as many others."""
    def problems(seed):
        rng = np.random.default_rng(seed)
        days = np.round(np.cumsum(30 * rng.uniform(0.5, 1.5, DATES)))
        y = simulate_states(case, 10, SERIES // 5, days, rng).Y[:, 0].astype(np.float64)
        held = np.arange(DATES)[:, None] % FOLDS == np.arange(FOLDS)
        return [Steps(y[:, part::2], (days - days[0]) / YEAR, held) for part in range(2)]
    return problems


PROBLEMS = {"sparsity (LAMBDA), little noise": ("sunsal", sparsity(0.005)),
            "sparsity (LAMBDA), much noise": ("sunsal", sparsity(0.05)),
            "total variation (TV)": ("sunsaltv", patches(0.05)),
            "steps / noise, random walks": ("kalmanfilter", series("walk")),
            "steps / noise, seasons": ("kalmanfilter", series("seasonal"))}
OTHERS = {"sunsal": "no tuning: 0.001", "sunsaltv": "no tuning: 0.001", "kalmanfilter": "maximum likelihood"}


def untuned(kind, problem):
    """What users have without tuning, as a logarithm: a usual weight; the filter's own estimate of its noise."""
    if kind in USUAL:
        return np.log(USUAL[kind])
    found = noise_levels(problem.y[..., None], problem.years, RandomWalk, (1,))
    return np.log(found.steps[0] / found.noise[0]) / 2


def tuned(kind, method, problem, seed, **given):
    """The logarithm that a method of the tool finds, and how many values it tried on the way."""
    tool, job, (low, high) = TuneHyperparameters(), Defaults(SEED=seed, **given), RANGES[kind]
    found = tool._search(job, problem, low, high) if method == "search" else \
        tool._optimised(job, problem, method, low, high)
    return float(found.theta[0]), len(found.thetas)


def grid(kind, problem):
    """Logarithms over the range, and the root mean square error at each."""
    thetas = np.linspace(*np.log(RANGES[kind]), COARSE if kind == "sunsaltv" else FINE)
    return thetas, np.sqrt([problem.cost(theta) for theta in thetas])


def ratios(theta, problems, best):
    """Errors at a logarithm over the grid's least ones, of the problem tuned on and of the other one."""
    return [float(np.sqrt(problem.cost(theta)) / least) for problem, least in zip(problems, best)]


def rows_of(name):
    kind, make = PROBLEMS[name]
    methods = {each: (each, {"ITERATIONS": STOCHASTIC} if each == "bsgm" else {})
               for each, kinds in METHODS.items() if kind in kinds}
    if kind == "sunsal":
        methods["BSGM, rate 3"] = "bsgm", {"ITERATIONS": STOCHASTIC, "RATE": QUICK}
    runs = {each: [] for each in ("grid", *methods, OTHERS[kind])}
    for seed in SEEDS[kind]:
        problems, begin = make(seed), time.perf_counter()
        thetas, errors = grid(kind, problems[0])
        seconds, place = time.perf_counter() - begin, thetas[errors.argmin()]
        best = errors.min(), grid(kind, problems[1])[1].min()
        runs["grid"].append((place, len(thetas), seconds, *ratios(place, problems, best)))
        for label, (method, given) in methods.items():
            begin = time.perf_counter()
            theta, tried = tuned(kind, method, problems[0], seed, **given)
            seconds = time.perf_counter() - begin
            runs[label].append((theta, tried, seconds, *ratios(theta, problems, best)))
        begin = time.perf_counter()
        theta = untuned(kind, problems[0])
        seconds = time.perf_counter() - begin
        runs[OTHERS[kind]].append((theta, 0, seconds, *ratios(theta, problems, best)))
        print(name, seed, {each: runs[each][-1] for each in runs}, file=sys.stderr, flush=True)
    labels = {"grid": "grid", "search": "search", **{key: label for key, label in
              TuneHyperparameters.method.options.items() if key != "search"}}
    found = []
    for each, results in runs.items():
        theta, tried, seconds, here, there = map(np.array, zip(*results))
        found.append({"problem": name, "method": labels.get(each, each),
                      "value (geometric mean)": float(np.exp(theta.mean())),
                      "error / grid's best": float(here.mean()), "at worst": float(here.max()),
                      "on other data": float(there.mean()), "values tried": round(tried.mean()) or None,
                      "time (s)": float(seconds.mean())})
    return found


NOTES = (
    f"Root mean square error with the value that a method finds over that at the best of {FINE} values of a grid "
    f"({COARSE} of the total variation) over the tool's range, 0.00001 to 1, of steps / noise 0.01 to 1000; means of "
    "two draws (of steps / noise one), and the worse one. On other data: the error on as many pixels that nothing was "
    f"tuned on, over the best of a grid there. Sparsity: {PIXELS} pixels of one to three of {MOST} spectra of the "
    "Berlin library, which are much alike, with noise of 0.005 and 0.05, against their true fractions. Total "
    f"variation: {SIDE} x {SIDE} pixels of such mixtures in squares of {PATCH} x {PATCH}, noise 0.05. Steps / noise: "
    f"of the random walk that a Kalman smoother takes to be behind {SERIES} series of {DATES} dates, against every "
    "fourth date held out, four times; the series are random walks, or seasons, of which a walk is a wrong model. "
    "Errors there are to what was measured, whose noise no tuning takes away: that is why those ratios are near 1. "
    f"Methods are the tool's with its defaults, but {STOCHASTIC} iterations of BSGM. Values tried are evaluations of "
    "the search; of the others steps, each of which takes up to 400 steps of the problem within. The search is as "
    "good as any everywhere, and the fastest for one number. Iterative differentiation comes as near where the "
    "problem within is solved; for seasons 400 gradient steps do not solve it, as held-out dates hang on the steps of "
    "a walk that hardly holds them, and all methods that rest on such steps end one to three per cent above. BSGM "
    "with its default rate is too slow where the best value is far from the middle of the range. One thread on a "
    "processor that many others used too: times are rough, and count only beside each other.")


def main():
    rows = [row for name in PROBLEMS for row in rows_of(name)]
    record("tuning", "Hyper-parameters by bilevel optimisation, beside a fine grid", rows, "0 and 1", NOTES)


if __name__ == "__main__":
    main()
