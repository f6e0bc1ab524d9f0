"""CUR-HU, Table 3: unmixing a noise-free scene that holds pure pixels."""

import numpy as np
from harness import SCENES, record
from scipy.io import loadmat

from subpixel.algorithms.blind.curhu import curhu
from subpixel.algorithms.check.metrics import match, rmse, sad, zscored_sad
from subpixel.algorithms.simulate.scene import gaussian_field_abundances

SEED, SIDE = 0, 64
SPECTRA = {"dark (for seawater)": "Carbon_Black GDS68 sm.ap.", "clintonite": "Clintonite NMNH126553",
           "sodium bicarbonate": "Sodium_Bicarbonate GDS55"}
PAPER = {"anc": ([0, 0, 2.10e-8], [4.33e-15, 9.15e-17, 6.98e-17]),
         "anc+asc": ([0, 0, 2.10e-8], [3.48e-15, 1.55e-15, 2.41e-15])}


def spectra():
    """The three spectra, (L, 3)."""
    library = loadmat(SCENES / "libraries" / "USGS_1995_Library.mat")
    names = ["".join(map(chr, row.astype(int))).strip() for row in library["names"]]
    return library["datalib"][:, [names.index(name) for name in SPECTRA.values()]]


def main():
    M = spectra()
    A = gaussian_field_abundances(3, SIDE, SIDE, np.random.default_rng(SEED), pure_pixels=True)
    Y, rows = M @ A, []
    for denoise in (False, True):
        for constraints, (paper_sad, paper_rmse) in PAPER.items():
            found = curhu(Y, 3, denoise=denoise, constraints=constraints)
            order = match(M, found.C)
            angle, zscored = sad(M, found.C[:, order]), zscored_sad(M, found.C[:, order])
            error = rmse(A, found.abundances(Y)[order])
            rows += [{"constraints": constraints, "noise removal": denoise, "material": name, "SAD": float(a),
                      "paper SAD": float(b), "z-scored SAD": float(c), "RMSE": float(d), "paper RMSE": float(e)}
                     for name, a, b, c, d, e in zip(SPECTRA, angle, paper_sad, zscored, error, paper_rmse)]
    record("curhu_table3", "CUR-HU Table 3: noise-free scene with pure pixels", rows, SEED,
           f"{SIDE} x {SIDE} pixels, Gaussian fields with pure pixels, {len(M)} bands of the USGS 1995 library (480 in "
           "the paper). That library has no seawater: its darkest spectrum stands in. Noise removal finds nothing to "
           "remove but its ridge (1e-12), which is all that those rows show.")


if __name__ == "__main__":
    main()
