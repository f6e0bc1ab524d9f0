"""Factorisations on real scenes with a reference: spectra, abundances, and the numbers of endmembers they find."""

import os
import time

for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

import numpy as np
from curhu_table4 import samson
from curhu_table8 import jasper_ridge
from harness import SCENES, record
from scipy.io import loadmat

from subpixel.algorithms.abundances.fcls import fcls
from subpixel.algorithms.blind.ardnmf import ardnmf, dispersion_of
from subpixel.algorithms.blind.bmdradmm import bmdradmm
from subpixel.algorithms.blind.minvolnmf import minvolnmf
from subpixel.algorithms.blind.muacc import muacc
from subpixel.algorithms.blind.nmf import as_fractions, nmf
from subpixel.algorithms.blind.penalties import Penalty
from subpixel.algorithms.check.metrics import match, rmse, sad
from subpixel.algorithms.endmembers.vca import vca
from subpixel.algorithms.pixels import moments
from subpixel.algorithms.prepare.noise import regression_noise
from subpixel.algorithms.rank.nmfrank import CRITERIA, nmfrank

SEEDS = range(3)
COUNTED = 1000   # pixels of which ranks are estimated
TOLERANCE = 1e-5


def scenes():
    """Pixels (L, N), reference spectra (L, P) and abundances (P, N) by name, all in single precision and up to 1."""
    Y, M, A = samson()
    reference = loadmat(SCENES / "jasper_ridge" / "end4.mat")
    jasper = jasper_ridge()
    found = {"Samson": (Y, M, A), "Jasper Ridge": (jasper, reference["M"], reference["A"].reshape(4, 100, 100)
                                                   .transpose(0, 2, 1).reshape(4, -1))}
    return {name: (np.maximum(Y / Y.max(), 1e-6).astype(np.float32), M, A) for name, (Y, M, A) in found.items()}


def free(method, *args, **options):
    """A factorisation whose abundances are scaled as the tools scale them."""
    return as_fractions(method(*args, tolerance=TOLERANCE, **options))


METHODS = {
    "MU-Acc": lambda Y, P, rng: free(muacc, Y, P, rng, begin_with="vca"),
    "NMF, beta = 2": lambda Y, P, rng: free(nmf, Y, P, rng),
    "NMF, beta = 1": lambda Y, P, rng: free(nmf, Y, P, rng, beta=1.0),
    "NMF, beta = 0": lambda Y, P, rng: free(nmf, Y, P, rng, beta=0.0),
    "NMF, L2,1": lambda Y, P, rng: free(nmf, Y, P, rng, loss="l21"),
    "NMF, Cauchy": lambda Y, P, rng: free(nmf, Y, P, rng, loss="cauchy"),
    "NMF, largest of three": lambda Y, P, rng: free(nmf, Y, P, rng, loss="robust"),
    "NMF, sparse abundances (0.01)": lambda Y, P, rng: free(nmf, Y, P, rng, abundances=Penalty(sparsity=0.01)),
    "NMF, volume (1)": lambda Y, P, rng: free(nmf, Y, P, rng, endmembers=Penalty(volume=1.0)),
    "BMDR-ADMM": bmdradmm,
    "BMDR-ADMM, weight 0.001": lambda Y, P, rng: bmdradmm(Y, P, rng, weight=1e-3),
    "minimum-volume NMF": minvolnmf}


def quality(Y, M, A, found_M, found_A):
    order = match(M, found_M)
    return {"SAD (degrees)": float(np.degrees(sad(M, found_M[:, order])).mean()),
            "abundance RMSE": float(np.sqrt(np.mean(np.square(rmse(A, found_A[order]))))),
            "RMSE": float(np.sqrt(np.mean(np.square(Y - found_M @ found_A))))}


def unmixed(name, Y, M, A):
    """One row per method: the means over the seeds."""
    P, rows = M.shape[1], []

    def plain(Y, P, rng):
        spectra = vca(Y, P, rng).E
        return spectra, fcls(Y, spectra).A
    for method in ("VCA and FCLS", *METHODS):
        runs = []
        for seed in SEEDS:
            start = time.perf_counter()
            if method == "VCA and FCLS":
                spectra, fractions = plain(Y, P, np.random.default_rng(seed))
            else:
                found = METHODS[method](Y, P, np.random.default_rng(seed))
                spectra, fractions = found.M, found.A
            seconds = time.perf_counter() - start
            runs.append({**quality(Y, M, A, spectra, fractions), "time (s)": seconds})
        rows.append({"scene": name, "method": method, **{key: float(np.mean([run[key] for run in runs]))
                                                         for key in runs[0]}})
        print(rows[-1], flush=True)
    return rows


def ranks(name, Y, P):
    """What the four criteria and ARD-NMF find in a part of a scene."""
    rows = []
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        part = Y[:, rng.permutation(Y.shape[1])[:COUNTED]]
        found = nmfrank(part, rng)
        known = moments(part)
        noise = regression_noise(known).variances
        row = {"scene": name, "materials": P, "seed": seed, **{criterion: found.choices[criterion]
                                                              for criterion in CRITERIA}, "consensus": found.rank}
        for factor in (1, 1000):
            phi = factor * dispersion_of(noise, known.mean, 1.0)
            row[f"ARD-NMF, {factor} x noise"] = ardnmf(part, 10, rng, dispersion=phi, tau=1e-3, iterations=3000,
                                                       tolerance=1e-5).rank
        rows.append(row)
        print(row, flush=True)
    return rows


def main():
    every = scenes()
    rows = [row for name, scene in every.items() for row in unmixed(name, *scene)]
    record("factorisation", "Nonnegative factorisations of real scenes", rows, f"{SEEDS[0]} to {SEEDS[-1]}",
           f"Means over the seeds, of which VCA starts; at most 1000 iterations (BMDR-ADMM 300, minimum-volume NMF "
           f"100), tolerance {TOLERANCE:g} (those two: 1e-4). Without a penalty a factorisation is not unique: how "
           f"near it ends to the reference depends on the start. The abundances of NMF and MU-Acc are scaled as the "
           f"tools do (`as_fractions`), those of the others sum to one, or to at most one. Penalties are for data "
           f"divided by their maximum.")
    rows = [row for name, (Y, M, _) in every.items() for row in ranks(name, Y, M.shape[1])]
    record("factorisation_ranks", "Numbers of endmembers by factorisation", rows, f"{SEEDS[0]} to {SEEDS[-1]}",
           f"{COUNTED} pixels drawn at random, ranks 1 to 10. `materials` are those of the reference. ARD-NMF with "
           f"beta = 1 and the dispersion estimated from what the other bands do not predict of each, or a thousand "
           f"times that: in real scenes materials vary by more than the noise.")


if __name__ == "__main__":
    main()
