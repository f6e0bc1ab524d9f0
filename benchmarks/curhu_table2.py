"""CUR-HU, Table 2: number of endmembers of Indian Pines by every estimator of the study."""

import time

import numpy as np
from harness import record
from tensorly.datasets import load_indian_pines

from subpixel.algorithms.pixels import moments
from subpixel.algorithms.prepare.noise import regression_noise, snr
from subpixel.algorithms.rank.fun import fun
from subpixel.algorithms.rank.geneah import gene, gene_reduction
from subpixel.algorithms.rank.hfc import hfc, nwhfc, whitened
from subpixel.algorithms.rank.hysime import hysime
from subpixel.algorithms.rank.information import aic, mdl
from subpixel.algorithms.rank.iqr import iqr
from subpixel.algorithms.rank.spice import spice

SEED, N_MAX, BANDS = 0, 50, 185
FALSE_ALARMS = (1e-3, 1e-4, 1e-5)
IQR = {5e-3: 9, 1e-3: 17, 5e-4: 21}


def methods(Y):
    """Name, setting, the paper's number and a function that estimates, for every method and setting on `Y` (L, N)."""
    found = moments(Y)
    noise = regression_noise(found)
    X, white, reduction = noise.denoise(Y), whitened(found, noise), gene_reduction(found, noise, N_MAX)
    Z = reduction.apply(Y)
    sample = np.sort(np.random.default_rng(SEED).choice(Y.shape[1], 2000, replace=False))
    yield "HySime", None, 15, lambda: hysime(found, noise)
    for pfa, paper in zip(FALSE_ALARMS, (24, 22, 20)):
        yield "HFC", pfa, paper, lambda pfa=pfa: hfc(found, pfa)
    for pfa, paper in zip(FALSE_ALARMS, (18, 19, 18)):
        yield "NWHFC", pfa, paper, lambda pfa=pfa: nwhfc(found, noise, pfa)
    for percentage, paper in ((1.0, 11), (5.0, None)):
        yield "FUN", percentage, paper, lambda percentage=percentage: fun(X, found, noise, percentage)
    for gamma in (0.2, 1.0, 5.0):
        yield "SPICE", gamma, 20, lambda gamma=gamma: spice(Y[:, sample], np.random.default_rng(SEED), 30, gamma=gamma)
    for pfa in FALSE_ALARMS:
        yield "GENE-AH", pfa, None, lambda pfa=pfa: gene(Z, reduction, pfa)
    yield "GENE-CH", 1e-5, None, lambda: gene(Z, reduction, 1e-5, "convex")
    yield "MDL, whitened", None, None, lambda: mdl(white)
    yield "AIC, whitened", None, None, lambda: aic(white)
    for name, pixels in (("IQR", X), ("IQR, noise kept", Y)):
        for tol, paper in IQR.items():
            yield name, tol, paper, lambda pixels=pixels, tol=tol: iqr(pixels, tol)


def main():
    cube = np.asarray(load_indian_pines().tensor, dtype=np.float64)
    Y = np.ascontiguousarray(cube.transpose(2, 0, 1)).reshape(cube.shape[2], -1)
    start = time.perf_counter()
    found = moments(Y)
    noise = regression_noise(found)
    shared = time.perf_counter() - start
    best = np.sort(np.argsort(-snr(found, noise.variances))[:BANDS])
    rows = []
    for (name, setting, paper, run), (*_, run_best) in zip(methods(Y), methods(Y[best])):
        start = time.perf_counter()
        rank = run().rank
        seconds = time.perf_counter() - start
        rows.append({"method": name, "P_F, tol, percent or Gamma": setting, f"ours, {len(Y)} bands": rank,
                     f"ours, best {BANDS} bands": run_best().rank, "paper": paper, "seconds": round(seconds, 3)})
        print(rows[-1], flush=True)
    record("curhu_table2", "CUR-HU Table 2: estimated number of endmembers of Indian Pines", rows, SEED, NOTES.format(
        L=len(Y), bands=BANDS, n_max=N_MAX, shared=shared))


NOTES = """Not the same data: {L} bands here (tensorly's copy, 145 x 145 pixels), {bands} in the paper, which does not \
say which; the second column takes the {bands} of the highest signal-to-noise ratio. Pixels in row-major order. 16 \
classes are labelled. Cuprite is not at hand. SPICE on 2000 pixels from 30 endmembers; GENE looks for at most {n_max}. \
Seconds are those of the method alone on all bands; moments and noise, which most share, take {shared:.2f} s.

Where ours is farther than 2 from the paper: HFC takes noise to be white, which it is not here; leaving out \
the worst bands changes little, whitening (NWHFC) brings it nearer to the paper's. FUN's stopping rule is \
ours, as the paper's is not established, and a few odd pixels keep it going; at 5 % it gives the paper's \
number. SPICE is what its Gamma makes it, and the paper does not state one. IQR's published tolerances give \
far more on every scene we have. GENE, MDL and AIC rely on Gaussian, independent noise; they are not in the \
paper's table."""


if __name__ == "__main__":
    main()
