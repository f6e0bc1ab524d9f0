"""ULTRA-V, Table II, and CUR-HU, Table 8, for the methods with spectral variability: real scenes."""

from functools import cache

import numpy as np
import rasterio
from curhu_table4 import samson
from curhu_table8 import jasper_ridge
from harness import SCENES, record
from scipy.io import loadmat
from varying import METHODS, mse, nrmse, seconds

from subpixel.algorithms.check.metrics import match, rmse
from subpixel.algorithms.endmembers.vca import vca
from subpixel.engine.raster import Scene

RUNS, RESTARTS, SEED = 3, 10, 0
ULTRAV = {"Samson": {"FCLS": (0.0177, 1.38), "SCLS": (0.0041, 1.29), "PLMM": (0.0034, 105.36),
                     "ELMM": (7.82e-4, 40.50), "GLMM": (0.2e-5, 50.62), "ULTRA-V": (6.4e-5, 148.46)},
          "Jasper Ridge": {"FCLS": (0.3567, 1.59), "SCLS": (0.0271, 1.79), "PLMM": (0.0257, 72.86),
                           "ELMM": (0.0058, 100.49), "GLMM": (2.5e-5, 214.07), "ULTRA-V": (15.0e-5, 120.91)}}
"""MSE_R and seconds. Houston is not at hand; EnMAP Potsdam stands in its place, without figures to compare with."""
CURHU = {"Samson": {"PLMM": (0.0239, 81.68), "ELMM": (0.0119, 33.19), "GLMM": (0.0011, 45.86),
                    "DeepGUn": (0.0862, 121.88), "CUR-HU": (0.0425, 3.54)},
         "Jasper Ridge": {"PLMM": (0.0553, 157.23), "ELMM": (0.0278, 90.87), "GLMM": (0.0032, 74.23),
                          "DeepGUn": (0.1094, 209.64), "CUR-HU": (0.0773, 0.84)}}
"""NRMSE_Y and seconds."""


@cache
def scenes():
    """Pixels (L, N) as reflectance, shape, reference abundances (P, N) or None, P."""
    enmap = Scene(SCENES / "enmap_potsdam" / "enmap_potsdam_block_128x64.tif")
    Y, positions = enmap.everything()
    assert len(positions) == enmap.width * enmap.height
    with rasterio.open(SCENES / "samson" / "samson_reference_abundances.tif") as file:
        truth = file.read().reshape(3, -1)
    jasper = loadmat(SCENES / "jasper_ridge" / "end4.mat")["A"].reshape(4, 100, 100).transpose(0, 2, 1).reshape(4, -1)
    return {"Samson": (samson()[0] / 1402, (95, 95), truth),
            "Jasper Ridge": (jasper_ridge() / 5000, (100, 100), jasper),
            "EnMAP Potsdam": (Y / 10000, (enmap.height, enmap.width), None)}


def reference(Y, truth, P):
    """VCA's endmembers, ordered by the abundances that they have most of where a reference is known."""
    found = np.maximum(vca(Y, P, np.random.default_rng(SEED), restarts=RESTARTS).E, 1e-4)
    if truth is None:
        return found
    spectra = Y @ truth.T / truth.sum(axis=1)
    return found[:, match(spectra, found)]


def measured(name, Y, shape, truth, P):
    """One row per method, with times and what they are to FCLS's in the same run."""
    Y, M0, rows, base = Y.astype(np.float32), reference(Y, truth, P), [], None
    for method, run in METHODS.items():
        runs = [seconds(lambda run=run: run(Y, M0, shape)) for _ in range(RUNS)]
        fit, time = runs[-1][0], float(np.median([each for _, each in runs]))
        base = base or time
        error, paper_time = ULTRAV.get(name, {}).get(method, (None, None))
        relative, curhu_time = CURHU.get(name, {}).get(method, (None, None))
        rows.append({
            "scene": name, "method": method, "MSE_R": mse(Y, fit.R), "paper MSE_R": error, "NRMSE_Y": nrmse(Y, fit.R),
            "paper NRMSE_Y": relative, "abundance RMSE": None if truth is None else
            float(np.sqrt(np.mean(np.square(rmse(truth, fit.A))))), "time (s)": time, "ULTRA-V paper's": paper_time,
            "CUR-HU paper's": curhu_time, "time / FCLS": round(time / base, 1)})
        print(rows[-1], flush=True)
    fastest = next(row["time (s)"] for row in rows if row["method"] == "CUR-HU")
    for row in rows:
        row["CUR-HU is faster by"] = round(row["time (s)"] / fastest, 1)
        paper = CURHU.get(name, {})
        row["paper's"] = round(paper[row["method"]][1] / paper["CUR-HU"][1], 1) if row["method"] in paper else None
    return rows


def main():
    rows = []
    for name, (Y, shape, truth) in scenes().items():
        rows += measured(name, Y, shape, truth, 4 if truth is None else len(truth))
    record("variability_real", "ULTRA-V Table II and CUR-HU Table 8: methods with variability on real scenes", rows,
           SEED, NOTES)


NOTES = f"""Every method with its default settings; reflectance; endmembers by VCA (best of {RESTARTS} runs). Times \
are medians of {RUNS} runs, without the start of the process; DeepGUn's holds its learning. CUR-HU finds its own \
endmembers; its abundances have both constraints, its errors are those of C U R. MSE_R is per element; a method with a \
factor per band fits noise, so a small one says little. Reference abundances of Samson and Jasper Ridge are themselves \
estimates of others (see the data's README). The ULTRA-V paper's MSE_R of 0.36 for FCLS on data below 1 is not in our \
units: compare ratios to FCLS. Speed-ups of CUR-HU: 9.4 to 249.5 published. Houston is not at hand; EnMAP Potsdam (128 \
x 64, 218 bands) stands in its place."""


if __name__ == "__main__":
    main()
