"""Wanted and background: Deep-NMF by its number of layers, and the Wiener filter, on mixtures of the Berlin library."""

import os
import time

for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

import numpy as np
import torch
from harness import SCENES, record

from subpixel.algorithms.separation.deepnmf import DISCRIMINATIVE, DeepNMF, mixtures
from subpixel.algorithms.separation.wienerfilter import activations, filters, reconstructions
from subpixel.engine import envi_library

SEED, SEEDS = 0, range(3)
LEARNED, PIXELS, EPOCHS = 5000, 10000, 10   # mixtures learned from, and others that are measured
LAYERS = (4, 10, 25, 100, 400)
SNR = 30


def dictionaries(rng):
    """Eight spectra of roofs, which are wanted, and sixteen others, of the Berlin library (177 bands)."""
    library = envi_library.read(SCENES / "libraries" / "library_berlin.sli")
    M, roof = library.M / 1e4, np.array(["roof" in name or "tile" in name for name in library.names])
    return M[:, rng.permutation(np.flatnonzero(roof))[:8]], M[:, rng.permutation(np.flatnonzero(~roof))[:16]]


def error(S, filtered):
    """RMSE of the wanted part, relative to the root mean square of it."""
    return float(np.sqrt(np.square(S - filtered).mean() / np.square(S).mean()))


def deep(WS, WN, K, C, rng, learned, tested):
    network = DeepNMF(WS, WN, K, C)
    start = time.perf_counter()
    if C:
        network.train(*learned, rng, epochs=EPOCHS)
    training, start = time.perf_counter() - start, time.perf_counter()
    filtered = network.separate(tested[0])[1]
    return error(tested[1], filtered), training, len(filtered.T) / (time.perf_counter() - start)


def wiener(WS, WN, tested):
    X, S = tested
    W, source = np.concatenate([WS, WN], axis=1), np.r_[np.zeros(WS.shape[1], int), np.ones(WN.shape[1], int)]
    start = time.perf_counter()
    H = activations(X, W, beta=1.0).H
    share = filters(reconstructions(W, H, source))[0]
    return error(S, share * X), 0.0, X.shape[1] / (time.perf_counter() - start)


def main():
    torch.set_num_threads(1)
    found = {}
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        WS, WN = dictionaries(rng)
        learned, tested = mixtures(WS, WN, rng, LEARNED, snr=SNR), mixtures(WS, WN, rng, PIXELS, snr=SNR)
        for K in LAYERS:
            for C in (0, min(K, DISCRIMINATIVE)):
                found.setdefault(("Deep-NMF", K, C), []).append(deep(WS, WN, K, C, np.random.default_rng(seed),
                                                                     learned, tested))
        found.setdefault(("Wiener filter", None, None), []).append(wiener(WS, WN, tested))
        print(seed, {key: runs[-1] for key, runs in found.items()}, flush=True)
    means = {key: np.mean(runs, axis=0) for key, runs in found.items()}
    base = means["Wiener filter", None, None]
    rows = [{"method": method, "layers": K, "learning": C, "error of the wanted part": float(mean[0]),
             "training (s)": float(mean[1]) if C else None, "pixels / s": round(float(mean[2])),
             "speed / Wiener filter": float(mean[2] / base[2])} for (method, K, C), mean in means.items()]
    record("separation", "Deep-NMF and the Wiener filter on mixtures of the Berlin library", rows,
           f"{SEEDS[0]} to {SEEDS[-1]}",
           f"Eight roofs wanted among sixteen other spectra, 177 bands, one to four materials in a pixel, {SNR} dB; "
           f"{LEARNED} mixtures to learn from, {EPOCHS} epochs, {PIXELS} others measured; one thread. Error: RMSE of "
           f"what is left of the wanted materials, relative to their root mean square. Layers that do not learn are "
           f"multiplicative steps from ones; the Wiener filter's start from nonnegative least squares and go on until "
           f"they settle.")


if __name__ == "__main__":
    main()
