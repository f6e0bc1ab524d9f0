"""MESMA against a loop over the models with numpy's least squares: same pixels, one run, one thread each."""

import os

for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

import time
from itertools import product

import numpy as np
from harness import SCENES, record

from subpixel.algorithms.variability.mesma import SLACK, TIE, VIPER, mesma
from subpixel.engine.formats import read_spectra

SEED = 0
MATERIALS, SPECTRA, SIDE, NOISE = ("impervious", "vegetation", "soil"), 20, 200, 0.005
LOOP_MODELS, CHECKED, REPEATS = 200, 500, 5


def library(rng):
    """Spectra (L, 60) as reflectance: each a mixture of two of its class in the Berlin library, times a brightness."""
    berlin = read_spectra(SCENES / "libraries" / "library_berlin.sli")
    columns = []
    for material in MATERIALS:
        members = [k for k, row in enumerate(berlin.attributes) if row["level_1"] == material]
        for _ in range(SPECTRA):
            one, other = rng.choice(members, 2, replace=False)
            share = rng.random()
            columns.append(rng.uniform(0.8, 1.2) * (share * berlin.M[:, one] + (1 - share) * berlin.M[:, other]))
    return np.stack(columns, axis=1) / 1e4


def scene(M, rng):
    """Pixels (L, SIDE^2): a spectrum of each material and shade in each, uniform on the simplex, with noise."""
    N = SIDE * SIDE
    A = rng.dirichlet(np.ones(len(MATERIALS) + 1), N).T
    Y = sum(M[:, rng.integers(k * SPECTRA, (k + 1) * SPECTRA, N)] * A[k] for k in range(len(MATERIALS)))
    return Y + NOISE * rng.standard_normal(Y.shape)


def models():
    return list(product(*(range(k * SPECTRA, (k + 1) * SPECTRA) for k in range(len(MATERIALS)))))


def loop(Y, M, chosen):
    """The loop that is to be beaten: least squares for all pixels, clipped; keeps the model with the lowest RMSE."""
    best, winner, alone = np.full(Y.shape[1], np.inf), np.zeros(Y.shape[1], dtype=int), 0.0
    for number, S in enumerate(chosen):
        E = M[:, S]
        start = time.perf_counter()
        f = np.linalg.lstsq(E, Y)[0]
        alone += time.perf_counter() - start
        f = np.clip(f, 0, 1)
        rmse = np.sqrt(np.mean((Y - E @ f) ** 2, axis=0))
        better = rmse < best
        best[better], winner[better] = rmse[better], number
    return alone


def definition(Y, M):
    """The valid model with the lowest RMSE of each pixel, (3, n), -1 where there is none: each model by lstsq."""
    n, energy = Y.shape[1], np.square(Y).sum(axis=0)
    best, winner = np.full(n, len(M) * VIPER.rmse**2), np.full((len(MATERIALS), n), -1)
    for S in models():
        E = M[:, S]
        f = np.linalg.lstsq(E, Y)[0]
        rss, shade = np.square(Y - E @ f).sum(axis=0), 1 - f.sum(axis=0)
        good = (f >= VIPER.fraction[0] - SLACK).all(axis=0) & (f <= VIPER.fraction[1] + SLACK).all(axis=0)
        good &= (shade >= VIPER.shade[0] - SLACK) & (shade <= VIPER.shade[1] + SLACK) & (rss < best - TIE * energy)
        best[good], winner[:, good] = rss[good], np.array(S)[:, None]
    return winner


def best_of(function, *arguments):
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        result = function(*arguments)
        times.append(time.perf_counter() - start)
    return min(times), result


def main():
    rng = np.random.default_rng(SEED)
    M = library(rng)
    Y, names = scene(M, rng), np.repeat(MATERIALS, SPECTRA).tolist()
    every = models()
    seconds, found = best_of(mesma, Y, M, names, (3, 3))
    fused, fusion = best_of(mesma, Y, M, names, (1, 3))
    chosen = [every[k] for k in rng.choice(len(every), LOOP_MODELS, replace=False)]
    start = time.perf_counter()
    alone = loop(Y, M, chosen) * len(every) / LOOP_MODELS
    whole = (time.perf_counter() - start) * len(every) / LOOP_MODELS
    part = rng.choice(Y.shape[1], CHECKED, replace=False)
    same = (definition(Y[:, part], M) == found.model[:, part]).all(axis=0).mean()
    count = len(every) * Y.shape[1]
    rows = [{"": "ours, models of 3 materials", "models": len(every), "seconds": seconds,
             "ns per model and pixel": 1e9 * seconds / count, "times faster": None},
            {"": "ours, 1 to 3 materials and fusion", "models": len(every) + 3 * SPECTRA**2 + 3 * SPECTRA,
             "seconds": fused, "ns per model and pixel": None, "times faster": None},
            {"": "loop over the models, clipped", "models": len(every), "seconds": whole,
             "ns per model and pixel": 1e9 * whole / count, "times faster": whole / seconds},
            {"": "its calls of least squares alone", "models": len(every), "seconds": alone,
             "ns per model and pixel": 1e9 * alone / count, "times faster": alone / seconds}]
    record("mesma_speed", "MESMA against a loop over the models", rows, SEED,
           f"{SIDE} x {SIDE} pixels of {len(M)} bands, {len(MATERIALS)} materials of {SPECTRA} spectra (two spectra of "
           f"a class of the Berlin library mixed, times 0.8 to 1.2), a spectrum of each and shade in every pixel, "
           f"noise {NOISE}. Float64, one thread; ours the best of {REPEATS} runs. The loop solves each model for all "
           f"pixels with one call of numpy's least squares, clips, and keeps the lowest RMSE; it was run on "
           f"{LOOP_MODELS} models drawn at random and multiplied up to all of them. Asked for: at least 20 times. On "
           f"{CHECKED} pixels drawn at random the model is that of the definition (every model by least squares, "
           f"limits kept, not clipped) in {same:.1%}. {(found.level > 0).mean():.1%} of the pixels have a model of 3 "
           f"materials; after fusion, {', '.join(f'{(fusion.level == k).mean():.1%} have {k}' for k in range(4))} "
           f"materials.")


if __name__ == "__main__":
    main()
