"""
Speed and memory of every extractor end to end in the engine, on 1024 x 1024 x 200 Int16; N-FINDR against pysptools'.

Rasters, processes and memory are measured as in streaming.py. pysptools runs in an environment of its own (see
fcls_speed.py), on the same pixels as our N-FINDR in memory, one thread each, both from pixels to endmembers.
"""

import os

if "OPENBLAS_NUM_THREADS" not in os.environ:
    os.environ["OPENBLAS_NUM_THREADS"] = "1"

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import fcls_speed
import harness
import numpy as np
import streaming

SEED, RUNS, RESTARTS, SIDE = 0, 3, 50, 128
RUN = {  # the table's name: the tool and its values beside COUNT
    "vca": ("vca", {}), "vca, 50 restarts": ("vca", {"RESTARTS": 50}),
    "nfindr": ("nfindr", {}), "nfindr, 50 restarts": ("nfindr", {"RESTARTS": 50}),
    "ppi, 10,000 directions": ("ppi", {}), "atgp": ("atgp", {}), "sga": ("sga", {}), "sivm": ("sivm", {}),
    "deim": ("deim", {}), "sisal": ("sisal", {}),
}
PEER = """
import json, random, sys, time
import numpy as np
from pysptools.eea import eea
from pysptools.eea.nfindr import NFINDR
Y = np.load(sys.argv[1])
random.seed(0)
times, chosen = [], []
for _ in range(int(sys.argv[3])):
    start = time.perf_counter()
    eea._PCA_transform(Y, int(sys.argv[2]) - 1)
    reduced = time.perf_counter()
    chosen.append(NFINDR(Y, int(sys.argv[2]))[2].tolist())
    whole = time.perf_counter() - reduced
    times.append([whole, whole - (reduced - start)])
print(json.dumps({"times": times, "chosen": chosen}))
"""


def pysptools(Y, P):
    """Median seconds of a run of pysptools' N-FINDR, and without its reduction; the pixels that each run chose."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pixels.npy"
        np.save(path, Y.T.astype(np.float64))
        run = subprocess.run([str(fcls_speed.python()), "-c", PEER, str(path), str(P), str(RUNS)], check=True,
                             capture_output=True, text=True)
    answer = json.loads(run.stdout.splitlines()[-1])
    return np.median(answer["times"], axis=0), answer["chosen"]


def ours(Y, P):
    """The same of our N-FINDR, and its seconds a run where it makes fifty."""
    from subpixel.algorithms.endmembers.nfindr import nfindr_select
    from subpixel.algorithms.endmembers.simplex import coordinates, reduction
    from subpixel.algorithms.pixels import moments
    times, chosen = [], []
    for seed in range(RUNS):
        start = time.perf_counter()
        X = coordinates(Y, reduction(moments(Y), P).apply)
        reduced = time.perf_counter()
        chosen.append(nfindr_select(X, P, np.random.default_rng(seed)).indices)
        one = time.perf_counter()
        nfindr_select(X, P, np.random.default_rng(seed), RESTARTS)
        times.append([one - start, one - reduced, (reduced - start + time.perf_counter() - one) / RESTARTS])
    return np.median(times, axis=0), chosen


def nfindr_rows():
    """Our N-FINDR and pysptools', per run on the same pixels."""
    rows = []
    for P in (4, 6, 10):
        rng = np.random.default_rng(SEED)
        Y = fcls_speed.scene(fcls_speed.endmembers(P, rng), SIDE * SIDE, 1.0, rng)
        (whole, search, restart), found = ours(Y, P)
        (their_whole, their_search), chosen = pysptools(Y, P)
        rows.append({"P": P, "ms": 1e3 * whole, "of it search": 1e3 * search, "a run of 50": 1e3 * restart,
                     "pysptools, ms": 1e3 * their_whole, "of it search, pysptools": 1e3 * their_search,
                     "times faster": their_whole / whole, "in the search": their_search / search,
                     "a run of 50, times faster": their_whole / restart,
                     "log volume": max(volume(Y, one) for one in found),
                     "pysptools, log volume": max(volume(Y, one) for one in chosen)})
    return rows


def volume(Y, indices):
    """Logarithm of the volume of the simplex of these pixels in the principal axes."""
    from subpixel.algorithms.endmembers.simplex import log_volumes, reduction
    from subpixel.algorithms.pixels import moments
    return float(log_volumes(reduction(moments(Y), len(indices)).apply(Y[:, indices])[None])[0])


def main():
    path, tall = (streaming.make("band-interleaved", rows) for rows in (streaming.SIDE, 4 * streaming.SIDE))
    idle = streaming.measured("idle", "-", __file__)["peak"]
    streaming.measured("vca", path, __file__)  # warms the cache
    rows = []
    for name in RUN:
        one, four = (streaming.measured(name, raster, __file__) for raster in (path, tall))
        rows.append({"tool": name, "seconds": one["seconds"], "passes": one["passes"],
                     "MiB above idle": one["peak"] - idle, "seconds, four times as tall": four["seconds"],
                     "MiB, four times as tall": four["peak"] - idle})
        print(rows[-1], flush=True)
    harness.record("extractors", "Extractors, 1024 x 1024 x 200 Int16, band-interleaved, six endmembers", rows, SEED,
                   "End to end in the engine; memory is the peak above an interpreter with the same packages. Passes: "
                   "pixels read over pixels of the raster, with the blocks read again to place the endmembers. ATGP, "
                   "SGA and SiVM search in all bands, once through the raster for each endmember.")
    harness.record("nfindr_speed", "N-FINDR against pysptools", nfindr_rows(), SEED,
                   f"{SIDE * SIDE} pixels of {fcls_speed.BANDS} bands (Int16, USGS spectra at {fcls_speed.SNR} dB), "
                   f"random starts, one thread each, medians of {RUNS} runs. A run goes from pixels to endmembers; the "
                   "search is what follows the reduction to P - 1 principal axes, most of which is the covariance, in "
                   f"double precision. A run of {RESTARTS}: what each costs where RESTARTS asks for so many. Log "
                   "volume: the largest of the runs, in the principal axes. Asked for: 50 times faster.")


if __name__ == "__main__":
    if len(sys.argv) == 3:
        tool, values = RUN.get(sys.argv[1], (sys.argv[1], {}))
        streaming.child(tool, sys.argv[2], COUNT=streaming.P, **values)
    else:
        main()
