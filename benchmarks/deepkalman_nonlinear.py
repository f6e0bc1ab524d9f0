"""Deep Kalman filter with sparse regression: missing terms of FitzHugh-Nagumo and Lorenz '63 over a grid of noise."""

import os
import sys
import time

for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

import numpy as np
import torch
from harness import record

from subpixel.algorithms.state_estimation.deepkalman import DeepKalman, Settings
from subpixel.algorithms.state_estimation.model import Differential, fitzhugh_nagumo
from subpixel.algorithms.state_estimation.sindy import Dictionary

SEED = 0
DRAWS = 5
GRIDS = {   # process noise per step or per unit of time, and which multiple of the thesis's levels
    "fitzhugh": (("step", 1.0), ("unit of time", 1.0), ("unit of time", 0.05)), "lorenz": (("unit of time", 1.0),)}


def together(parts, x):
    return np.concatenate(parts, -1) if isinstance(x, np.ndarray) else torch.cat(parts, -1)


def linear_part(x):
    """(6.4.27)."""
    a, b = x[..., :1], x[..., 1:]
    return together([0.01 * a + 2 * b, -3 * a - 0.08 * b], x)


def lorenz(x, mass, epsilon):
    """(6.4.28) to (6.4.31): the mass of the first equation, and the coefficient of x^3 in it."""
    a, b, c = x[..., :1], x[..., 1:2], x[..., 2:]
    return together([(-7 * a + 7 * b + epsilon * a**3) / mass, (28 * a - b - a * c) / 0.1, (-8 / 3 * c + a * b) / 0.1],
                    x)


class System:
    """What is true, what is known, and how it is measured."""

    def __init__(self, name, n, dates, step, start, levels, truth, known, names, terms, settings):
        self.name, self.n, self.dates, self.step, self.levels = name, n, dates, step, levels
        self.start = np.array(start)
        self.truth, self.known, self.names, self.terms, self.settings = truth, known, names, terms, settings

    def forward(self, rate, Q):
        return Differential(rate, self.n, Q * np.eye(self.n), longest=self.step)

    def series(self, sigma_Q, sigma_R, rng):
        """Observations (DRAWS, 1, T, n), states, and estimates of x(0)."""
        truth = Differential(self.truth, self.n, np.eye(self.n), longest=self.step / 8)
        x, states = np.tile(self.start, (DRAWS, 1)), []
        for _ in range(self.dates):
            x = truth.step(x, self.step) + sigma_Q * rng.normal(size=x.shape)
            states.append(x)
        states = np.stack(states, axis=1)
        return ((states + sigma_R * rng.normal(size=states.shape))[:, None], states,
                (self.start + sigma_R * rng.normal(size=(DRAWS, self.n)))[:, None])

    def oracle(self, states, dictionary):
        """Coefficients by least squares of the true support on the true increments: noise of the process alone."""
        before = states[:, :-1]
        truth = Differential(self.truth, self.n, np.eye(self.n), self.step / 8)
        missing = (self.truth(before) - self.known(before, *self.true_parameters)
                   + (states[:, 1:] - truth.step(before, self.step)) / self.step)
        Phi, found = dictionary(before), np.zeros((len(states), len(dictionary.terms), self.n))
        for j in range(self.n):
            support = [dictionary.terms.index(term) for term, i, _ in self.terms if i == j]
            for z in range(len(states)) if support else ():
                found[z, support, j] = np.linalg.lstsq(Phi[z][:, support], missing[z, :, j], rcond=None)[0]
        return found

    @property
    def true_parameters(self):
        return [value for _, value in self.names]

    def errors(self, s, p, dictionary):
        """Norm of the relative errors of coefficients and parameters."""
        made = [abs(s[dictionary.terms.index(term), i] - value) / abs(value) for term, i, value in self.terms]
        return float(np.linalg.norm([*made, *(abs(found - true) / abs(true) for found, true in
                                              zip(p, self.true_parameters))]))

    def right(self, s, dictionary):
        """Whether the support is the true one."""
        wanted = np.zeros(s.shape, bool)
        for term, i, _ in self.terms:
            wanted[dictionary.terms.index(term), i] = True
        return bool(((s != 0) == wanted).all())


FITZHUGH = System("FitzHugh-Nagumo", 2, 250, 0.08, [0.1, 0.2], ((0.0, 0.2, 0.4), (0.0, 0.2, 0.4)), fitzhugh_nagumo,
                  linear_part, (), (((0, 0, 0), 0, -0.5), ((), 0, 1.0), ((0, 0), 1, 0.1)),
                  Settings(steps=(0, 12, 12), cycles=3, terminal=1.0, trust=100.0))
LORENZ = System("Lorenz '63", 3, 200, 1e-3, [-30.0, 25.0, 50.0], ((0.0, 2.0, 4.0), (0.0, 1.0, 2.0)),
                lambda x: lorenz(x, 0.1, 0.01), lambda x, p: lorenz(x, 0.5 + p, 0.0), (("p", -0.4),),
                (((0, 0, 0), 0, 0.1),), Settings(steps=(60, 8, 8), cycles=2, terminal=1.0, trust=100.0,
                                                 shared_rate=0.02, patience=10))


def cells(system, reading, multiple):
    """One row for each level of noise; all realisations are zones of one training."""
    dictionary, begin = Dictionary(system.n), time.perf_counter()
    scale = 1.0 if reading == "step" else system.step**0.5
    levels = [(multiple * a, multiple * b) for a in system.levels[0] for b in system.levels[1]]
    made = [system.series(scale * a, b, np.random.default_rng([SEED, number])) for number, (a, b) in enumerate(levels)]
    y, states, start = (np.concatenate(parts) for parts in zip(*made))
    Q, R = (scale * levels[3][0])**2, levels[1][1]**2 * np.eye(system.n)
    model = DeepKalman(lambda *p: system.forward(lambda x: system.known(x, *p), Q / system.step),
                       np.full(system.dates, system.step), R, R, names=[name for name, _ in system.names],
                       dictionary=dictionary, settings=system.settings)
    training = model.train(y, start, states[:, None, -1],
                           lambda *_: print(end=".", file=sys.stderr, flush=True))
    s, p, oracle = training.learned.s, training.learned.p, system.oracle(states, dictionary)
    rows = []
    for number, (sigma_Q, sigma_R) in enumerate(levels):
        these = slice(number * DRAWS, (number + 1) * DRAWS)
        rows.append({
            "process noise per": reading, "sigma_Q": sigma_Q, "sigma_R": sigma_R,
            "right support": sum(system.right(one, dictionary) for one in s[these]),
            "relative error, median": median(system, s[these], p[these], dictionary),
            "p, median": float(np.median(p[these])) if system.names else None,
            "terms, mean": float((s[these] != 0).sum(axis=(1, 2)).mean()),
            "cut short": int(training.rejected[these].sum()),
            "error of least squares on true states and terms":
                median(system, oracle[these], [system.true_parameters] * DRAWS, dictionary)})
        print(f"{time.perf_counter() - begin:.0f} s", rows[-1], file=sys.stderr, flush=True)
    return rows


def median(system, s, p, dictionary):
    return float(np.median([system.errors(*one, dictionary) for one in zip(s, p)]))


NOTES = (
    "Section 6.4.5, five realisations a cell, all states observed, polynomials to degree three, Lawson and Hanson with "
    "pruning (tau 0.1), lambda_K = lambda_D = 1, truncated backpropagation. Errors are norms of relative errors of the "
    "coefficients (and p), as in Figures 6.11 and 6.14, which give no numbers that could be put beside; a term that is "
    "missed counts 1. All cells of a grid learn in one training, whose R = P(0) and Q are those of the middle levels, "
    "and gains begin as if Q and P(0) were a hundred times R, so that estimates follow the observations; the thesis "
    "tells each cell its own R. It does not say whether sigma_Q is that of a step or of a unit of time; per step, "
    "Lorenz' states explode by the cubic term at sigma_Q = 4. Right support: of five. The last column is the least "
    "squares of the true terms on the true states, that is, what the noise of the process alone leaves: with the "
    "initial state and the levels that the thesis states, FitzHugh-Nagumo's states hardly tell its coefficients, so "
    "that support is found without noise only; levels a twentieth of these are below. In Lorenz p comes within 0.1 of "
    "its -0.4 where there is noise, and what it lacks is filled by linear and other terms: the support is never right, "
    "contrary to the thesis. (Without noise the whiteness of the innovations stops p too early.)")


def main():
    wanted = sys.argv[1:] or ["fitzhugh", "lorenz"]
    for name, system in (("fitzhugh", FITZHUGH), ("lorenz", LORENZ)):
        if name in wanted:
            record(f"deepkalman_{name}", f"Missing terms of {system.name} found by a deep Kalman filter",
                   [row for grid in GRIDS[name] for row in cells(system, *grid)], SEED, NOTES)


if __name__ == "__main__":
    main()
