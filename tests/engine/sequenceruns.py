"""A small sequence whose abundances are known, as files, for the tests of the tools for sequences."""

import numpy as np
from toolruns import raster, read

DATES = ("2020-03-01", "2020-05-15", "2020-09-30")
ROWS, COLS, BANDS, P = 12, 15, 20, 3
WAVES = np.linspace(450, 2400, BANDS)
NODATA = -9999.0


def endmembers(number=0):
    """Spectra (BANDS, P), brighter from date to date, and one of them with a shape that drifts."""
    x = np.linspace(0, 1, BANDS)
    return np.stack([0.1 * np.exp(-3 * x) + 0.02, 0.05 + 0.4 / (1 + np.exp(-30 * (x - 0.3 - 0.02 * number))),
                     0.2 + 0.4 * x], axis=1) * (1 + 0.05 * number)


def truth():
    """Abundances (3 dates, P, ROWS, COLS) with a pure pixel of each material; a patch becomes the third one."""
    A = np.random.default_rng(1).dirichlet(np.ones(P), (ROWS, COLS)).transpose(2, 0, 1)
    A = np.stack([A] * len(DATES))
    A[2, :, 3:6, 4:8] = np.array([0.1, 0.1, 0.8])[:, None, None]
    for number, (row, col) in enumerate(((8, 2), (9, 9), (10, 13))):
        A[:, :, row, col] = np.eye(P)[number]
    return A


def images(folder, noise=0.0, drift=True, masked=True, seed=3):
    """The sequence as the job holds it: a pixel masked at the second date, one at every date."""
    rng, given = np.random.default_rng(seed), []
    for number, (date, A) in enumerate(zip(DATES, truth())):
        cube = np.einsum("lp,prc->lrc", endmembers(number * drift), A) + rng.normal(0, noise, (BANDS, ROWS, COLS))
        if masked:
            cube[:, 0, 0] = NODATA
            cube[:, 5, 6] = NODATA if number == 1 else cube[:, 5, 6]
        path = raster(folder / f"image_{date}.tif", cube, wavelengths=WAVES)
        given.append({"path": str(path), "crs": None})
    return given


def stack(folder, result, output="ABUNDANCES"):
    """The rasters of an output folder (T, bands, ROWS, COLS), NaN for nodata."""
    values = np.stack([read(folder / output.lower() / look["file"]) for look in result["folders"][output]])
    return np.where(values == NODATA, np.nan, values)


def pixels(given):
    """The images as algorithms take them: (T, BANDS, N), and what is valid (T, N)."""
    Y = np.stack([read(image["path"]).reshape(BANDS, -1) for image in given])
    return Y, (Y != NODATA).all(axis=1)


def matched(A):
    """The order of the true endmembers that the found ones are in."""
    errors = np.nanmean(np.abs(truth()[:, :, None] - A[:, None]), axis=(0, 3, 4))
    assert sorted(errors.argmin(axis=1)) == list(range(P))
    return errors.argmin(axis=1)
