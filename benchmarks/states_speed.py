"""
Speed and memory of the Kalman smoother as a tool: 24 dates of 6 bands end to end in the engine, beside reading the
same images and writing as many rasters by the same engine.
"""

import os

for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

import json
import shutil
import statistics
import subprocess
import sys
import time
from datetime import date, timedelta
from importlib import import_module
from pathlib import Path

import numpy as np
from harness import ROOT, record

DATES, BANDS, STEP, REPEATS = 24, 6, 15, 2
SIDES = 300, 600, 1000
GAPS = 0.3
CELLS = [*((SIDES[0], gaps, dynamics, "values") for gaps in ("none", "clouds") for dynamics in ("walk", "trend")),
         (SIDES[1], "clouds", "trend", "values"),
         *((SIDES[2], gaps, dynamics, "values") for gaps in ("none", "clouds") for dynamics in ("walk", "trend")),
         (SIDES[2], "clouds", "trend", "fractions"), (SIDES[2], "scattered", "trend", "values")]
GIVEN = {"STEPNOISE": 0.3, "COURSENOISE": 0.5, "NOISE": 0.05}
FOLDER = ROOT / ".cache" / "states_speed"


def make(side, gaps, quantity):
    """Values that grow, or fractions of which each has its share of them; clouds hide patches, or single pixels."""
    import rasterio
    from subpixel.algorithms.simulate.states import simulate_states
    folder = FOLDER / f"{side}-{gaps}-{quantity}"
    if folder.exists():
        return folder
    folder.mkdir(parents=True)
    part = SIDES[0]
    days = np.arange(DATES) * STEP
    Y = simulate_states("logistic", part, part, days, np.random.default_rng(0),
                        gaps=GAPS if gaps == "clouds" else 0).Y
    noise = np.random.default_rng(1)
    for t, values in enumerate(Y):
        cube = np.tile(values.reshape(1, part, part), (BANDS, -(-side // part), -(-side // part)))[:, :side, :side]
        cube = cube + noise.normal(0, 0.02, cube.shape).astype(np.float32)
        if quantity == "fractions":
            cube = np.abs(cube + np.arange(BANDS)[:, None, None])
            cube = cube / cube.sum(axis=0)
        if gaps == "scattered":
            cube[:, noise.random(cube.shape[1:]) < GAPS] = np.nan
        with rasterio.open(folder / f"{date(2020, 1, 1) + timedelta(STEP * t)}.tif", "w", driver="GTiff", width=side,
                           height=side, count=BANDS, dtype="float32", nodata=-9999, tiled=True, blockxsize=256,
                           blockysize=256, crs="EPSG:32633", transform=rasterio.Affine(10, 0, 5e5, 0, -10, 5.8e6),
                           compress="deflate", zlevel=1, predictor=3) as file:
            file.write(np.where(np.isnan(cube), -9999, cube))
    return folder


def images(folder):
    return sorted(str(path) for path in folder.glob("*.tif"))


def peer(folder, out):
    """Reading and writing alone, once, by the engine's own blocks, threads, cache and writer."""
    from contextlib import ExitStack
    from datetime import datetime

    import rasterio
    from subpixel.engine.raster import CACHE, RasterWriter, Scene
    from subpixel.engine.sequences import Dated, Sequence
    out.mkdir()
    sequence = Sequence([Dated(Scene(path, spectral=False), datetime.fromisoformat(Path(path).stem), "")
                         for path in images(folder)])
    with ExitStack() as stack:
        stack.enter_context(rasterio.Env(GDAL_CACHEMAX=CACHE))
        files = [stack.enter_context(RasterWriter(out / f"{t}.tif", sequence.grid, sequence.grid.band_names))
                 for t in range(DATES)]
        for window, (Y, valid) in sequence.map_blocks(lambda *block: block[:2], sequence.windows(6 * DATES * BANDS)):
            for t, file in enumerate(files):
                file.write(window, Y[t][:, valid[t]], valid[t])


def child(dynamics, folder):
    """
    One run in a process of its own: prints its seconds, those of the processor, and its peak.

    Of "peer", reading and writing alone; of "idle", nothing.
    """
    from subpixel.engine.main import run
    for module in ("rasterio", "scipy.optimize", "subpixel.algorithms.state_estimation.kalmanfilter"):
        import_module(module)   # which is no part of the time
    out = FOLDER / "out"
    shutil.rmtree(out, ignore_errors=True)
    start, spent = time.perf_counter(), time.process_time()
    if dynamics == "peer":
        peer(Path(folder), out)
    elif dynamics != "idle":
        kind, _, given = dynamics.partition("-")
        run({"tool": "kalmanfilter", "outputs": {"STATES": str(out)}, "version": "", "values": {
            "IMAGES": [{"path": path} for path in images(Path(folder))], "DYNAMICS": kind,
            "QUANTITY": Path(folder).name.rpartition("-")[2],
            **(GIVEN if given else {})}}, lambda message: None)
    seconds, spent = time.perf_counter() - start, time.process_time() - spent
    # not ru_maxrss, which a process inherits from the one that started it
    peak = int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024
    print(json.dumps({"seconds": seconds, "processor": spent, "peak": peak}))


def measured(dynamics, folder):
    done = subprocess.run([sys.executable, __file__, dynamics, str(folder)], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def middle(pairs, key):
    """Medians over pairs of runs: ours, and its ratio to reading and writing."""
    return (statistics.median(ours[key] for ours, _ in pairs),
            statistics.median(ours[key] / theirs[key] for ours, theirs in pairs))


def main():
    rows, idle = [], measured("idle", FOLDER)["peak"]
    for side, gaps, dynamics, quantity in CELLS:
        folder = make(side, gaps, quantity)
        measured("peer", folder)   # warms the cache
        large = side > SIDES[0]
        pairs = [(measured(f"{dynamics}-given", folder), measured("peer", folder))
                 for _ in range(1 if large else REPEATS)]
        (seconds, times), (processor, processor_times) = (middle(pairs, key) for key in ("seconds", "processor"))
        rows.append({"pixels": side ** 2, "gaps": gaps, "quantity": quantity, "dynamics": dynamics,
                     "time (s)": seconds, "times reading and writing": times, "at most": 5,
                     "processor (s)": processor, "processor, times reading and writing": processor_times,
                     "processor, search for noise besides (s)":
                         None if large else measured(dynamics, folder)["processor"] - processor,
                     "MiB above idle": max(ours["peak"] for ours, _ in pairs) - idle,
                     "of reading and writing": max(theirs["peak"] for _, theirs in pairs) - idle})
        print(rows[-1], file=sys.stderr, flush=True)
    record("states_speed", "Kalman smoother as a tool: 24 dates of 6 bands", rows, 0,
           f"`kalmanfilter`, end to end in the engine, with the noise given; rasters are compressed tiles of 256 x "
           f"256, of which {100 * GAPS:g} % are missing in smooth patches (clouds) or pixel by pixel (scattered). "
           f"Beside it a process that reads the same blocks once by the same engine, threads and cache and writes as "
           f"many rasters in the same way: medians of the ratios of {REPEATS} pairs, of one pair for the larger "
           f"images. The search for noise looks at 400 series of each band, whatever the images' size, so it is given "
           f"by itself. Gains are computed once for every pattern of missing dates in a block of 13,000 pixels: under "
           f"these clouds 1,300 to 1,900, and scattered one for nearly every pixel, which is the worst there can be. "
           f"Memory grows until the cache for blocks is full (244 MiB). One thread for linear algebra on a shared, "
           f"crowded processor: times are rough, ratios less so.")


if __name__ == "__main__":
    child(*sys.argv[1:]) if len(sys.argv) == 3 else main()
