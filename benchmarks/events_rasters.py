"""
Events in rasters: F1, false alarms and dates against strength, for NMFD, unrolled networks and a random forest; what
layers buy; memory of detection.
"""

import os

for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

import json
import subprocess
import sys
import time
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import torch
from eventing import (CLOUDS, EPOCHS, METHODS, PIXELS, Scene, figures, forest, materials, network, settings_of,
                      trained_figures)
from harness import ROOT, record

from subpixel.algorithms.events.network import Settings

SEEDS = range(2)
CELLS = [*((strength, 0.0) for strength in (0.2, 0.4, 0.6, 0.8)), (0.6, CLOUDS)]
MANY = 100                                  # samples per class of the forest that has more of them
SLOW = dict(pixels=1000, epochs=2)          # for Deep-NMF, whose dictionaries have many more atoms
LAYERS = [*((K, 3) for K in (20, 50, 100, 300, 1000)), (50, 0), (50, 10)]   # and how many of them learn
STRENGTH = 0.6
SIDES, STEP = (100, 200, 400, 800), 15           # of the rasters on which memory is measured; days between their images
MEASURED = "PAD-NMF", "Deep-NMFD"
PARTS = "strengths", "layers", "memory"
FOLDER = ROOT / ".cache" / "events_rasters"


def variants(cell, seed):
    """Name and figures of every method on a scene of one strength and share of clouds."""
    strength, clouds = cell
    scene = Scene(strength, seed, clouds=clouds)
    yield "random forest", figures(forest(scene, seed), scene)
    many = Scene(strength, seed, clouds=clouds, per_class=MANY, free=3 * MANY)
    yield f"random forest, {MANY} samples per class", figures(forest(many, seed), many)
    for method, kind in METHODS.items():
        settings = settings_of(method)
        options = {"epochs": 0} if not settings.C else {}
        if method == "Deep-NMF":
            few = Scene(strength, seed, clouds=clouds, pixels=SLOW["pixels"])
            yield method, trained_figures(kind, few, settings, seed, epochs=SLOW["epochs"])
            continue
        yield method, trained_figures(kind, scene, settings, seed, **options)
        if settings.C:
            yield f"{method}, no further pixels", trained_figures(kind, scene, settings, seed, unlabelled=False)
    yield "Deep-NMFD, dates of samples not known", trained_figures(METHODS["Deep-NMFD"], scene,
                                                                    settings_of("Deep-NMFD"), seed, dates=False)


def mean(runs, key):
    values = [run[key] for run in runs if run.get(key) is not None]
    return float(np.mean(values)) if values else None


def strengths():
    rows = []
    for cell in CELLS:
        found = {}
        for seed in SEEDS:
            for name, measured in variants(cell, seed):
                found.setdefault(name, []).append(measured)
                print(cell, seed, name, measured, file=sys.stderr, flush=True)
        for name, runs in found.items():
            rows.append({"strength": cell[0], "clouds (%)": 100 * cell[1], "method": name,
                         **{key: mean(runs, key) for key in ("F1", "false alarms (%)", "date error", "loss left (%)",
                                                             "training (s)", "pixels / s")},
                         "F1, least and largest": " ".join(f"{edge([r['F1'] for r in runs]):.2f}"
                                                           for edge in (min, max))})
    record("events_rasters", "Events in rasters: detection against strength", rows, f"{SEEDS[0]} to {SEEDS[-1]}",
           f"200 x 200 pixels, 24 dates, 10 bands, 30 dB: five materials of the Berlin library, of which vegetation "
           f"follows the season; events in 30 % of the pixels, of three classes, two of which show the same material "
           f"and differ by their course only (`algorithms/simulate/events.py`); strength is the share of the pixel "
           f"that an event covers, +-0.2 or half of it. Samples: 10 per class, with dates, and 30 without an event; "
           f"1500 further pixels without a class, of which networks learn backgrounds, but for the rows that say so. "
           f"Measured on {PIXELS} pixels that are no samples ({SLOW['pixels']} for Deep-NMF, which learned for "
           f"{SLOW['epochs']} epochs: its dictionaries have five times as many atoms). F1: mean over classes. False "
           f"alarms: of the pixels without an event. Date error: mean, in dates, of events whose class is right. NMFD "
           f"is Deep-NMFD without learning layers: activations of the patterns that the samples give. The forest has "
           f"300 trees on all bands of all dates, invalid ones interpolated; with {MANY} samples per class it also "
           f"has {3 * MANY} without an event. Networks have their default settings, chosen on seed 100, and learn for "
           f"{EPOCHS} epochs; loss left: of the best epoch, against that before learning. Clouds: so many of the "
           f"pixels' dates are not valid. One thread on a shared processor: times are rough.")


def layers():
    scene, rows = Scene(STRENGTH, SEEDS[0], pixels=3000), []
    for method in MEASURED:
        for K, C in LAYERS:
            rows.append({"method": method, "layers": K, "of which learn": C, **trained_figures(
                METHODS[method], scene, replace(Settings(), K=K, C=C), SEEDS[0])})
            print(rows[-1], file=sys.stderr, flush=True)
    record("events_layers", "Events in rasters: what layers buy", rows, SEEDS[0],
           f"As events_rasters.py at strength {STRENGTH}, measured on 3000 pixels; {EPOCHS} epochs. Loss left: of the "
           f"best epoch, against that before learning; 100 where no epoch lowers it, so that the dictionaries stay "
           f"those of the samples. One thread on a shared processor: times are rough.")


def make():
    """Series of rasters of each size, repeats of the smallest, and models of few layers: memory takes no note of K."""
    import rasterio
    from subpixel.algorithms.simulate.events import event_series
    from subpixel.engine import models
    from subpixel.engine.raster import Scene as Raster
    side = SIDES[0]
    series = event_series(materials(), side, side, np.random.default_rng(0), strength=STRENGTH)
    for part in SIDES:
        (FOLDER / str(part)).mkdir(parents=True, exist_ok=True)
        for t, image in enumerate(series.Y):
            cube = np.tile(image.reshape(-1, side, side), (1, part // side, part // side))
            with rasterio.open(path_of(part, t), "w", driver="GTiff", width=part, height=part, count=len(cube),
                               dtype="float32", crs="EPSG:32633",
                               transform=rasterio.Affine(10, 0, 5e5, 0, -10, 5.8e6)) as file:
                file.write(cube)
    scene, grid = Scene(STRENGTH, 0), Raster(str(path_of(SIDES[0], 0)))
    for method in MEASURED:
        model, _, _ = network(METHODS[method], scene, Settings(K=5, C=1), 0, epochs=1)
        models.save(FOLDER / f"{method}.npz", method.lower().replace("-", ""), grid, model.state(), names=scene.names,
                    dates=len(series.Y), days=STEP)


def path_of(side, t):
    return FOLDER / str(side) / f"{date(2020, 1, 1) + timedelta(STEP * t)}.tif"


def child(method, side):
    """One run of the tool that applies a model, in a process of its own: prints its seconds and its peak."""
    from subpixel.engine.main import run
    images = sorted(str(path) for path in (FOLDER / side).glob("*.tif"))
    job = {"tool": "applyevents", "outputs": {"EVENT": str(FOLDER / "event.tif")}, "version": "",
           "values": {"IMAGES": [{"path": path} for path in images], "MODEL": str(FOLDER / f"{method}.npz")}}
    start = time.perf_counter()
    run(job, lambda message: None)
    seconds = time.perf_counter() - start
    # not ru_maxrss, which a process inherits from the one that started it
    peak = int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024
    print(json.dumps({"seconds": seconds, "peak": peak}))


def memory():
    make()
    rows = []
    for method in MEASURED:
        for side in SIDES:
            done = subprocess.run([sys.executable, __file__, method, str(side)], capture_output=True, text=True,
                                  check=True)
            found = json.loads(done.stdout.splitlines()[-1])
            rows.append({"method": method, "pixels": side ** 2, "peak memory (MiB)": round(found["peak"]),
                         "time (s)": found["seconds"]})
            print(rows[-1], file=sys.stderr, flush=True)
    record("events_memory", "Events in rasters: memory of detection", rows, 0,
           "Models applied end to end in the engine (`applyevents`), 24 dates of 10 bands, which are gone through in "
           "blocks of 22,222 pixels at most, several at a time. The peak is that of the whole process, interpreter and "
           "libraries included; time is from opening the rasters to the written map, by 5 layers.")


def main(parts):
    torch.set_num_threads(1)
    for part in parts:
        {"strengths": strengths, "layers": layers, "memory": memory}[part]()


if __name__ == "__main__":
    child(*sys.argv[1:]) if sys.argv[1:2] and sys.argv[1] in MEASURED else main(sys.argv[1:] or PARTS)
