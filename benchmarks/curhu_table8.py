"""CUR-HU, Table 8: reconstruction error and time on Samson and Jasper Ridge."""

import os
import time

import numpy as np
from curhu_table4 import samson
from harness import SCENES, record
from scipy.io import loadmat

from subpixel.algorithms.blind.curhu import curhu

RUNS = 10
PAPER = {"Samson": (3, 0.0425, 3.54), "Jasper Ridge": (4, 0.0773, 0.84)}


def jasper_ridge():
    """Y (198, 10000), pixels in row-major order."""
    Y = loadmat(SCENES / "jasper_ridge" / "jasperRidge2_R198.mat")["Y"]
    return np.ascontiguousarray(Y.reshape(198, 100, 100).transpose(0, 2, 1)).reshape(198, -1)


def unmix(Y, P, constraints="none", **options):
    """Endmembers and abundances, from the pixels as the file holds them."""
    found = curhu(Y, P, constraints=constraints, **options)
    return found, found.abundances(Y)


def seconds(Y, P, **options):
    """Time of each of ten runs, after one to load the libraries."""
    unmix(Y, P, **options)
    times = []
    for _ in range(RUNS):
        start = time.perf_counter()
        unmix(Y, P, **options)
        times.append(time.perf_counter() - start)
    return np.array(times)


def main():
    rows = []
    for scene, Y in {"Samson": samson()[0], "Jasper Ridge": jasper_ridge()}.items():
        P, paper_error, paper_time = PAPER[scene]
        for denoise in (False, True):
            for vectors in ("exact", "iqr"):
                options = {"denoise": denoise, "singular_vectors": vectors}
                found, S = unmix(Y, P, **options)
                times = seconds(Y, P, constraints="anc+asc", **options)
                rows.append({"scene": scene, "noise removal": denoise, "singular vectors": vectors,
                             "NRMSE_Y": round(float(np.linalg.norm(Y - found.C @ S) / np.linalg.norm(Y)), 4),
                             "paper NRMSE_Y": paper_error, "time (s)": float(times.mean()),
                             "fastest (s)": float(times.min()), "paper time (s)": paper_time,
                             "ratio": float(times.mean() / paper_time)})
    record("curhu_table8", "CUR-HU Table 8: reconstruction error and time", rows, None,
           f"Time: mean of {RUNS} runs, everything from the integer pixels to the constrained abundances, without the "
           f"start of the process, on {os.environ.get('OPENBLAS_NUM_THREADS', 'all')} BLAS thread(s). "
           "NRMSE_Y of C U R, without constraints: the paper's Samson figure is that without "
           "noise removal, its Jasper Ridge figure that with it. Houston is not at hand.")


if __name__ == "__main__":
    main()
