"""What the benchmarks of fusion share: run a method, time it, and put its figures into a row."""

import time

import numpy as np
from fusion_scenes import METHODS, NAMES, exists
from threadpoolctl import threadpool_limits

from subpixel.algorithms.fusion.quality import quality

LONG = 10.0    # seconds beyond which a run is not repeated
CUBIC = "HSI interpolated (cubic)"


def rounded(value, digits=3):
    return round(float(value), digits) if value is not None and np.isfinite(value) else None


def figures(Z, Z_hat, ratio):
    """The papers' figures first, in their order."""
    found = quality(Z, Z_hat, ratio)
    return {"R-SNR": rounded(found.rsnr), "CC": rounded(found.cc, 4), "SAM": rounded(found.sam),
            "ERGAS": rounded(found.ergas, 4), "PSNR": rounded(found.psnr, 2), "SSIM": rounded(found.ssim, 4),
            "UIQI": rounded(found.uiqi, 4)}


def timed(run, runs):
    """What `run` gives, and the median of its seconds; long runs are made once."""
    seconds = []
    with threadpool_limits(1):
        while len(seconds) < runs and not (seconds and seconds[0] > LONG):
            start = time.perf_counter()
            result = run()
            seconds.append(time.perf_counter() - start)
    return result, float(np.median(seconds))


def results(pair, settings, runs=1, names=NAMES):
    """Yield (name, label, Fused, cube, seconds) of every method that exists, the interpolated HSI first."""
    cube, seconds = timed(lambda: pair.upsample(pair.hsi), runs)
    yield None, CUBIC, None, cube, seconds
    for name in filter(exists, names):
        fused, seconds = timed(lambda name=name: METHODS[name](pair, settings), runs)
        print(f"{NAMES[name]}: {seconds:.2f} s, {fused.iterations} iterations, converged {fused.converged}", flush=True)
        yield name, NAMES[name], fused, fused.cube(), seconds
