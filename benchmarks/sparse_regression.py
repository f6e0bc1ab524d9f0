"""SUnSAL against an exact solver, and LISTA's layers against iterations of ISTA and FISTA, on the Berlin library."""

import time

import numpy as np
import torch
from harness import SCENES, record

from subpixel.algorithms.abundances.active_set import minimise
from subpixel.algorithms.abundances.ista import ista
from subpixel.algorithms.abundances.lista import mixtures, targets, train
from subpixel.algorithms.abundances.sparse import unit
from subpixel.algorithms.abundances.sunsal import sunsal
from subpixel.engine import envi_library

SEED = 0
PIXELS = 1000
LAYERS = 16
WEIGHTS = (1e-3, 1e-2)     # of the library's mean squared length
ITERATIONS = (16, 50, 200)
UNSEEN = 1                 # seed of the mixtures held out


def berlin():
    """The 75 spectra of the library (177, 75) as reflectance."""
    return envi_library.read(SCENES / "libraries" / "library_berlin.sli").M / 1e4


def timed(function, *args, **options):
    start = time.perf_counter()
    return function(*args, **options), time.perf_counter() - start


def exact(Y, M, weight, sum_to_one):
    return minimise(M.T @ M, M.T @ Y - weight, sum_to_one)


def against_exact(M, share, sum_to_one):
    """SUnSAL and the active-set solver on the same pixels."""
    weight = share * unit(M)
    Y = mixtures(M, PIXELS, np.random.default_rng(SEED))[0]
    A, slow = timed(exact, Y, M, weight, sum_to_one)
    found, fast = timed(sunsal, Y, M, weight, sum_to_one=sum_to_one)
    return {"method": "SUnSAL", "lambda": share, "sum to one": "yes" if sum_to_one else "no",
            "largest difference to exact": float(np.abs(found.A - A).max()), "iterations": found.iterations,
            "settled": float(found.settled.mean()), "NMSE (dB)": None, "time / exact solver": fast / slow}


def nmse(A, X):
    """Squared distance to X as a share of it, in dB."""
    return float(10 * np.log10(np.square(A - X).sum() / np.square(X).sum()))


def learned(M, share, epochs=40, pixels=20000):
    """LISTA, and ISTA and FISTA stopped early, on mixtures that it has not seen."""
    weight = share * unit(M)
    Y, X = targets(M, weight, True, mixtures(M, PIXELS, np.random.default_rng(UNSEEN))[0])
    model, seconds = timed(train, M, weight, np.random.default_rng(SEED), layers=LAYERS, epochs=epochs, pixels=pixels)
    solved = timed(exact, Y, M, weight, False)[1]

    def row(method, steps, A, took):
        return {"method": method, "lambda": share, "sum to one": "no",
                "largest difference to exact": float(np.abs(A - X).max()), "iterations": steps, "settled": None,
                "NMSE (dB)": nmse(A, X), "time / exact solver": took / solved}
    A, took = timed(model, Y)
    rows = [row(f"LISTA, {LAYERS} layers", LAYERS, A, took)]
    for name, accelerated in (("ISTA", False), ("FISTA", True)):
        for steps in ITERATIONS:
            found, took = timed(ista, Y, M, weight, accelerated=accelerated, iterations=steps, tolerance=0.0)
            rows.append(row(name, steps, found.A, took))
    return rows, seconds


def main():
    torch.set_num_threads(1)
    M, rows, seconds = berlin(), [], []
    for share, sum_to_one in ((0.0, False), (0.0, True), *((share, False) for share in WEIGHTS)):
        rows.append(against_exact(M, share, sum_to_one))
    for share in WEIGHTS:
        more, took = learned(M, share)
        rows += more
        seconds.append(took)
    record("sparse_regression", "Sparse regression on the Berlin library", rows, SEED,
           f"{PIXELS} mixtures of one to four of the 75 spectra in 177 bands (condition "
           f"{np.linalg.cond(M):.2g}), noise 0.5 % of their root mean square. Lambda is a share of the spectra's mean "
           f"squared length. Exact is the active-set solver (`active_set.minimise`); asked for: a difference of at "
           f"most 1e-5 for SUnSAL. NMSE is the squared distance to the converged solution (duality gap below 1e-8) as "
           f"a share of it, on mixtures that LISTA has not seen; asked for: LISTA's at most that of 200 iterations of "
           f"ISTA. LISTA learned for {seconds[0]:.0f} and {seconds[1]:.0f} s from 20,000 mixtures, one thread on a "
           f"processor, which is not in its time.")


if __name__ == "__main__":
    main()
