"""CUR-HU, Table 2: number of endmembers of Indian Pines by HySime and incremental QR."""

import numpy as np
from harness import record
from tensorly.datasets import load_indian_pines

from subpixel.algorithms.pixels import moments
from subpixel.algorithms.prepare.noise import regression_noise
from subpixel.algorithms.rank.hysime import hysime
from subpixel.algorithms.rank.iqr import iqr

PAPER = {5e-3: 9, 1e-3: 17, 5e-4: 21}


def main():
    cube = np.asarray(load_indian_pines().tensor, dtype=np.float64)
    Y = np.ascontiguousarray(cube.transpose(2, 0, 1)).reshape(cube.shape[2], -1)
    found = moments(Y)
    noise = regression_noise(found)
    X = noise.denoise(Y)
    rows = [{"method": "HySime", "tol": None, "ours": hysime(found, noise).rank, "without noise removal": None,
             "paper": 15}]
    rows += [{"method": "IQR", "tol": tol, "ours": iqr(X, tol).rank, "without noise removal": iqr(Y, tol).rank,
              "paper": paper} for tol, paper in PAPER.items()]
    record("curhu_table2", "CUR-HU Table 2: estimated number of endmembers of Indian Pines", rows, None,
           f"Not the same data: {Y.shape[0]} bands here (tensorly's copy, 145 x 145 pixels), 185 in the paper, which "
           "does not say which. Pixels in row-major order. 16 classes are labelled. Cuprite is not at hand.")


if __name__ == "__main__":
    main()
