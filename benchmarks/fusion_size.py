"""
Memory and time of fusion tools end to end in the engine: an HSI of 300 x 300 x 224 and an MSI of 900 x 900 x 10.

The scene is made of eight smooth spectra whose fractions have detail of 1 to 12 pixels; HSI at ratio 3 under a Gaussian
of its pixel's width, Sentinel-2A's ten land bands, noise of 30 counts of 10,000. Every run is a process of its own; its
peak is the whole process's, interpreter and libraries included.
"""

import json
import os
import subprocess
import sys
import time

import harness
import numpy as np

SIDE, BANDS, RATIO, R, SEED, LIMIT = 900, 224, 3, 8, 0, 4.0
LAND = "B2 B3 B4 B5 B6 B7 B8 B8A B11 B12".split()
FOLDER = harness.ROOT / ".cache" / "fusion_size"
RUNS = {"fusepair": {}, "fusepair, as changed": {"CHANGE": "yes"}, "fuse": {}, "hysure": {}, "glphs": {}}


def scene():
    """Spectra (BANDS, R) and fractions (R, SIDE, SIDE)."""
    from scipy.ndimage import gaussian_filter
    rng = np.random.default_rng(SEED)
    fields = np.stack([gaussian_filter(rng.standard_normal((SIDE, SIDE)), s) for s in (1, 1.5, 2, 3, 4, 6, 8, 12)])
    A = np.exp(1.5 * fields / fields.std(axis=(1, 2), keepdims=True))
    x = np.linspace(0, 1, BANDS)[:, None]
    C = 0.35 + 0.2 * np.sin(2 * np.pi * (x * rng.uniform(0.3, 2, R) + rng.random(R))) + 0.1 * x * rng.random(R)
    return 1e4 * C, A / A.sum(axis=0), rng


def make():
    """Both rasters and a few bands of the answer, written once."""
    import rasterio
    from rasterio.transform import Affine

    from subpixel.algorithms.fusion.degradation import Gaussian, centred, degradation
    from subpixel.algorithms.fusion.pair import both
    from subpixel.engine.sensors import built_in, response_matrix
    from subpixel.engine.wavelengths import write_wavelengths
    if (FOLDER / "truth.npz").exists():
        return
    FOLDER.mkdir(parents=True, exist_ok=True)
    C, A, rng = scene()
    wavelengths = np.linspace(420, 2450, BANDS)
    P = degradation(SIDE, centred(SIDE, RATIO), Gaussian.of_width(RATIO))
    responses = [band for band in built_in("sentinel2a") if band.name in LAND]
    P3, _ = response_matrix(responses, wavelengths)
    grid = Affine(10, 0, 500000, 0, -10, 5800000)
    for name, cube, transform, names in (
            ("hsi", np.tensordot(C, both(P, P, A), 1), grid * Affine.scale(RATIO), None),
            ("msi", np.tensordot(P3 @ C, A, 1), grid, LAND)):
        cube = (cube + 30 * rng.standard_normal(cube.shape)).astype(np.float32)
        with rasterio.open(FOLDER / f"{name}.tif", "w", driver="GTiff", width=cube.shape[2], height=cube.shape[1],
                           count=len(cube), dtype="float32", crs="EPSG:32633", transform=transform) as file:
            file.write(cube)
            for band in range(1, len(cube) + 1):
                if names:
                    file.set_band_description(band, names[band - 1])
                else:
                    write_wavelengths(file, band, wavelengths[band - 1])
    np.savez(FOLDER / "truth.npz", C=C[::20], A=A.astype(np.float32))


def child(name, values):
    """One run, in a process of its own: prints its seconds and its peak."""
    import resource

    from subpixel.engine.main import run
    job = {"tool": name.split(",")[0], "outputs": {"FUSED": str(FOLDER / "fused.tif")}, "version": "",
           "values": {**values, "HSI": {"path": str(FOLDER / "hsi.tif")}, "MSI": {"path": str(FOLDER / "msi.tif")}}}
    start = time.perf_counter()
    run(job, lambda message: None)
    print(json.dumps({"seconds": time.perf_counter() - start,
                      "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}))


def rsnr():
    """Of every twentieth band."""
    import rasterio
    truth = np.load(FOLDER / "truth.npz")
    wanted = np.tensordot(truth["C"], truth["A"], 1)
    with rasterio.open(FOLDER / "fused.tif") as file:
        found = file.read(list(range(1, BANDS + 1, 20)))
    return 10 * np.log10(np.square(wanted).sum() / np.square(wanted - found).sum())


def main():
    make()
    rows, threads = [], {"OPENBLAS_NUM_THREADS": str(max(1, os.cpu_count() - 1))}  # as engine.main.leave_a_core
    for name, values in RUNS.items():
        words = subprocess.run([sys.executable, __file__, name, json.dumps(values)], capture_output=True, text=True,
                               check=True, env={**os.environ, **threads}).stdout.splitlines()[-1]
        measured = json.loads(words)
        rows.append({"tool": name, "peak (GiB)": round(measured["peak"] / 2 ** 30, 2), "limit (GiB)": LIMIT,
                     "time (s)": round(measured["seconds"], 1), "R-SNR (dB)": round(float(rsnr()), 2)})
        print(rows[-1], flush=True)
    harness.record("fusion_size", "Memory and time of fusion: 300 x 300 x 224 with 900 x 900 x 10", rows, SEED,
                   __doc__.split("\n\n", 1)[1].replace("\n", " ").strip())


if __name__ == "__main__":
    if len(sys.argv) > 1:
        child(sys.argv[1], json.loads(sys.argv[2]))
    else:
        main()
