"""CUR-HU, Tables 1 and A1: number of endmembers of synthetic scenes by HySime and incremental QR."""

import numpy as np
from harness import SCENES, record
from scipy.io import loadmat

from subpixel.algorithms.pixels import moments
from subpixel.algorithms.prepare.noise import regression_noise
from subpixel.algorithms.rank.hysime import hysime
from subpixel.algorithms.rank.iqr import iqr
from subpixel.algorithms.simulate.scene import add_noise, dirichlet_abundances, prune_library

SEED, DRAWS, N, ANGLE = 0, 50, 10_000, 10
COUNTS = (3, 5, 10, 15)
TABLES = {
    "1": (None, {50: (2e-3, [3, 5, 10, 15], [3, 5, 10, 15]), 35: (1e-3, [3, 5, 10, 14], [3, 5, 9, 13]),
                 25: (5e-3, [3, 5, 9, 14], [4, 6, 11, 12]), 15: (1e-2, [3, 5, 8, 13], [3, 6, 7, 11])}),
    "A1": (18, {50: (2e-5, [3, 5, 10, 15], [3, 6, 9, 14]), 35: (1e-3, [3, 5, 10, 14], [3, 6, 9, 13]),
                25: (1e-2, [3, 5, 9, 13], [3, 5, 7, 10]), 15: (2e-2, [3, 5, 9, 13], [5, 8, 11, 17])}),
    "A1 at 2e-3": (18, {50: (2e-3, [3, 5, 10, 15], [3, 6, 9, 14])}),
}
"""Table: eta, and for every SNR the paper's tolerance and its rows of HySime and of IQR."""


def library():
    """Spectra of the USGS library (L, 62) with mutual angles of at least 10 degrees."""
    M = loadmat(SCENES / "libraries" / "USGS_1995_Library.mat")["datalib"][:, 3:]
    return M[:, prune_library(M, np.deg2rad(ANGLE))]


def ranks(M, P, draw, snr_db, eta, tol):
    """HySime's and IQR's estimate for one scene."""
    rng = np.random.default_rng([SEED, P, draw])
    X = M[:, rng.choice(M.shape[1], P, replace=False)] @ dirichlet_abundances(P, N, rng)
    Y = add_noise(X, snr_db, rng, eta)
    found = moments(Y)
    noise = regression_noise(found)
    return hysime(found, noise).rank, iqr(noise.denoise(Y), tol).rank


def cells(M, eta, snr_db, tol):
    """Estimates (DRAWS, methods, counts)."""
    return np.array([[ranks(M, P, draw, snr_db, eta, tol) for P in COUNTS] for draw in range(DRAWS)]).transpose(0, 2, 1)


def main():
    M, rows, gaps = library(), [], []
    for table, (eta, by_snr) in TABLES.items():
        for snr_db, (tol, *published) in by_snr.items():
            estimates = cells(M, eta, snr_db, tol)
            for name, ours, paper in zip(("HySime", "IQR"), estimates.transpose(1, 0, 2), published):
                median = np.median(ours, axis=0)
                row = {"table": table, "SNR (dB)": snr_db, "method": name, "tol": tol if name == "IQR" else None}
                for P, value, theirs in zip(COUNTS, median, paper):
                    row |= {f"p={P}": float(value), f"paper p={P}": theirs}
                row["min-max"] = " ".join(f"{a}-{b}" for a, b in zip(ours.min(axis=0), ours.max(axis=0)))
                rows.append(row)
                if name == "HySime" and snr_db >= 35:
                    gaps += [abs(value - theirs) for value, theirs in zip(median, paper)]
    record("curhu_table1", "CUR-HU Tables 1 and A1: estimated number of endmembers", rows, SEED,
           f"Median of {DRAWS} draws per cell. {N} pixels (the paper's number is not stated; IQR grows with it), "
           f"Dirichlet(1) abundances, p spectra drawn from the {M.shape[1]} of the USGS 1995 library with mutual "
           f"angles >= {ANGLE} degrees. Table 1: white noise; Table A1: eq. 21 with eta = 18 bands. IQR on the "
           "noise-removed scene at the paper's tolerance; Table A1's at 50 dB, 2e-5, lies far below that noise, so the "
           "cell is repeated at Table 1's 2e-3. The paper's 25 dB block of Table A1 is garbled in print (1e-2 is taken "
           "of two tolerances, and the same values stand at 15 dB). Largest distance of HySime's median from the "
           f"paper's at 50 and 35 dB: {max(gaps):g}.")


if __name__ == "__main__":
    main()
