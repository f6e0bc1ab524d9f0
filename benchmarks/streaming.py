"""
Speed and memory of tools that stream: FCLS, HySime and VCA end to end in the engine, on 1024 x 1024 x 200 Int16.

The peer reads the same blocks with rasterio alone, with as many threads, and writes the same output. Every run is a
process of its own, ours and the peer's in turn; times are taken inside it, after the imports, with the raster in the
system's cache. Memory is the process's peak above an interpreter that has imported the same packages and done nothing.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import harness
import numpy as np

BANDS, SIDE, P, SEED, REPEATS = 200, 1024, 6, 0, 7
LAYOUTS = {
    "deflate": dict(compress="deflate", interleave="pixel"),
    "pixel-interleaved": dict(interleave="pixel"),
    "band-interleaved": dict(interleave="band"),
}
LIMITS = {"deflate": 1.5, "pixel-interleaved": 2.0, "band-interleaved": 3.0}
FOLDER = harness.ROOT / ".cache" / "streaming"


def endmembers():
    """Six smooth spectra (BANDS, P) times 10,000."""
    x = np.linspace(0, 1, BANDS)[:, None]
    rng = np.random.default_rng(SEED)
    centres, widths = rng.uniform(0, 1, (3, P)), rng.uniform(0.05, 0.4, (3, P))
    return 1e4 * (0.1 + 0.3 * sum(np.exp(-((x - c) / w) ** 2) for c, w in zip(centres, widths)))


def make(layout, rows):
    """A raster of Dirichlet mixtures at 30 dB, written once."""
    import rasterio
    path = FOLDER / f"{layout}-{rows}.tif"
    if path.exists():
        return path
    FOLDER.mkdir(parents=True, exist_ok=True)
    rng, M = np.random.default_rng(SEED), endmembers()
    sigma = np.sqrt(np.square(M).mean() / 1e3)
    with rasterio.open(path, "w", driver="GTiff", width=SIDE, height=rows, count=BANDS, dtype="int16", tiled=True,
                       blockxsize=256, blockysize=256, bigtiff="yes", crs="EPSG:32633",
                       transform=rasterio.Affine(30, 0, 5e5, 0, -30, 5e6), **LAYOUTS[layout]) as file:
        for top in range(0, rows, 256):
            Y = M @ rng.dirichlet(np.ones(P), 256 * SIDE).T
            Y += rng.normal(0, sigma, Y.shape)
            file.write(np.rint(Y).astype("int16").reshape(BANDS, 256, SIDE),
                       window=rasterio.windows.Window(0, top, SIDE, 256))
    return path


def peer(path, out):
    """rasterio alone: the same blocks, threads and output."""
    import rasterio
    from subpixel.engine import raster
    with rasterio.Env(GDAL_CACHEMAX=raster.CACHE):
        start = time.perf_counter()
        scene = raster.Scene(path, bands=list(range(1, BANDS + 1)))

        def read(window):
            return scene._dataset.read(scene.indexes.tolist(), window=window)

        from concurrent.futures import ThreadPoolExecutor
        with ThreadPoolExecutor(raster.WORKERS) as pool, raster.RasterWriter(out, scene, ["x"] * P) as file:
            windows, pending = scene.windows(), []
            for window in windows:
                pending.append((window, pool.submit(read, window)))
                if len(pending) > raster.WORKERS or window is windows[-1]:
                    while len(pending) > (0 if window is windows[-1] else raster.WORKERS):
                        first, cube = pending.pop(0)
                        file.write(first, cube.result()[:P].reshape(P, -1) / np.float32(1e4))
        return {"seconds": time.perf_counter() - start}


def tool(name, path, out, **values):
    """One of our tools in the engine, with the number of times that the file was read."""
    from subpixel.engine import main, raster
    from subpixel.engine.spectra import Spectra
    values = {"INPUT": {"path": str(path)}, **values}
    outputs = {}
    if name == "fcls":
        M = endmembers()
        spectra = Spectra([f"endmember {k}" for k in range(P)], M, np.arange(1, BANDS + 1.0), wavelengths=False)
        values["ENDMEMBERS"] = {"features": spectra.to_features()}
        outputs["ABUNDANCES"] = str(out)
    if name == "vca":
        values["COUNT"] = P
    read, pixels = raster.Scene.read, [0]

    def counted(scene, window=None):
        pixels[0] += scene.width * scene.height if window is None else window.width * window.height
        return read(scene, window)

    raster.Scene.read = counted
    start = time.perf_counter()
    main.run({"tool": name, "values": values, "outputs": outputs, "version": "benchmark"}, lambda message: None)
    seconds = time.perf_counter() - start
    from subpixel.engine.raster import open_raster
    with open_raster(path) as dataset:
        return {"seconds": seconds, "passes": pixels[0] / dataset.width / dataset.height}


def measured(what, path, script=__file__):
    """Run `what` ("peer", "idle" or a tool's id) in a process of its own, by the `child` of a benchmark's script."""
    threads = {"OPENBLAS_NUM_THREADS": str(max(1, os.cpu_count() - 1))}  # as engine.main.leave_a_core
    done = subprocess.run([sys.executable, script, what, str(path)], capture_output=True, text=True,
                          env={**os.environ, **threads})
    if done.returncode:
        raise RuntimeError(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def child(what, path, **values):
    """What a measured process does, with a tool's values; its threads are the engine's."""
    import rasterio  # noqa: F401  (imports are no part of the time)
    import scipy.linalg  # noqa: F401
    from subpixel.algorithms.abundances import fcls  # noqa: F401
    out = FOLDER / f"out-{what}.tif"
    answer = {} if what == "idle" else peer(path, out) if what == "peer" else tool(what, path, out, **values)
    # not ru_maxrss, which a process inherits from the one that started it
    status = Path("/proc/self/status").read_text()
    answer["peak"] = int(status.split("VmHWM:")[1].split()[0]) / 1024
    print(json.dumps(answer))


def main():
    rows = []
    idle = measured("idle", "-")["peak"]
    for layout in LAYOUTS:
        path = make(layout, SIDE)
        measured("peer", path)  # warms the cache
        pairs = [(measured("fcls", path), measured("peer", path)) for _ in range(REPEATS)]
        tall = measured("fcls", make(layout, 4 * SIDE)) if layout == "band-interleaved" else None
        rows.append({"tool": "fcls", "layout": layout, "seconds": statistics.median(a["seconds"] for a, _ in pairs),
                     "ratio to rasterio": statistics.median(a["seconds"] / b["seconds"] for a, b in pairs),
                     "limit": LIMITS[layout], "passes": pairs[0][0]["passes"],
                     "MiB above idle": max(a["peak"] for a, _ in pairs) - idle,
                     "MiB, four times as tall": tall["peak"] - idle if tall else None})
    path, tall = make("band-interleaved", SIDE), make("band-interleaved", 4 * SIDE)
    base = measured("peer", path)["seconds"]
    for name in ("hysime", "vca"):
        one, four = measured(name, path), measured(name, tall)
        rows.append({"tool": name, "layout": "band-interleaved", "seconds": one["seconds"],
                     "ratio to rasterio": one["seconds"] / base, "limit": None, "passes": one["passes"],
                     "MiB above idle": one["peak"] - idle, "MiB, four times as tall": four["peak"] - idle})
    harness.record("streaming", "Streaming tools, 1024 x 1024 x 200 Int16, tiled 256", rows, SEED,
                   "Ratio: seconds of the tool end to end in the engine, over seconds of rasterio alone reading the "
                   f"same blocks and writing the same output with as many threads; medians of {REPEATS} pairs. "
                   "Passes: pixels read over pixels of the raster.")


if __name__ == "__main__":
    child(*sys.argv[1:]) if len(sys.argv) == 3 else main()
