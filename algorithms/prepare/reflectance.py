"""From digital numbers to reflectance: by what a scene has to be divided, and whether it is reflectance at all."""

from dataclasses import dataclass

import numpy as np

LOW, HIGH = 0.125, 1.25             # where the bright pixels of a scene of reflectance lie: one decade
FACTORS = (1.0, 100.0, 1e3, 1e4)    # reflectance, percent, per mille, and what most products use
FULL_SCALES = {"uint8": 255.0, "int16": 32767.0, "uint16": 65535.0}
GASES = {"oxygen": (748.0, 761.0, 775.0), "water vapour": (870.0, 940.0, 1010.0)}   # shoulder, centre, shoulder in nm
REACH = 12.0                        # nanometres to the next band, at most, for it to stand for one of these
DEPTH = 0.2                         # of an absorption that reflectance does not have


@dataclass(frozen=True)
class Scale:
    """
    What to divide a scene by.

    Attributes
    ----------
    factor : float
    bright : float
        99th percentile of the brightest band, in input units.
    usual : bool
        Whether `bright / factor` lies between `LOW` and `HIGH`; where not, `factor` is the usual one nearest to that.
    """

    factor: float
    bright: float
    usual: bool


def brightness(Y):
    """99th percentile of the brightest band of the pixels `Y` (L, n): the largest of the bands' percentiles."""
    if Y.shape[1] == 0:
        raise ValueError("There are no pixels to work on.")
    return float(np.percentile(Y, 99, axis=1).max())


def detect_scale(bright, dtype=None):
    """
    The factor that makes reflectance of a scene whose bright pixels have the value `bright`.

    Usual factors are 1, 100, 1000 and 10,000, and the full scale of 8 and 16 bit integers. Of these the smallest is
    taken that brings `bright` to between 0.125 and 1.25. Eight bits are taken as percent up to 100, else as 255 steps.

    Parameters
    ----------
    bright : float
        See `brightness`.
    dtype : str, optional
        Type of the numbers in the file, such as "uint16".

    Returns
    -------
    Scale

    Raises
    ------
    ValueError
        The bright pixels are not above zero.

    Notes
    -----
    A rule of ours, not of a paper. The interval is one decade, so that two powers of ten are never both possible; the
    price is that a scene of water only, at 0.05, is taken for one of land at 0.5 in ten times smaller steps.
    """
    if not np.isfinite(bright) or bright <= 0:
        raise ValueError(f"The brightest band's 99th percentile is {bright:g}: nothing to detect a factor from. "
                         "Give the factor.")
    if dtype == "uint8":
        factors = (100.0,) if bright <= 100 else (FULL_SCALES["uint8"],)
    else:
        factors = (*FACTORS, *([FULL_SCALES[dtype]] if dtype in FULL_SCALES else []))
    for factor in factors:
        if LOW <= bright / factor < HIGH:
            return Scale(factor, bright, True)
    distance = [abs(np.log(bright / factor / np.sqrt(LOW * HIGH))) for factor in factors]
    return Scale(factors[int(np.argmin(distance))], bright, False)


def absorption_depths(mean, wavelengths):
    """
    Depth of the absorptions by oxygen (761 nm) and water vapour (940 nm) in a mean spectrum.

    Depth is 1 - y(centre) / y(line between the shoulders). Reflectance, corrected for the atmosphere, has shallow ones
    at most (leaf water near 970 nm takes some percent); radiance has deep ones.

    Returns
    -------
    dict
        Gas and depth, only for the absorptions whose three wavelengths have a band within `REACH`.
    """
    depths = {}
    for gas, places in GASES.items():
        found = [int(np.abs(wavelengths - place).argmin()) for place in places]
        if any(abs(wavelengths[band] - place) > REACH for band, place in zip(found, places)) or len(set(found)) < 3:
            continue
        x, y = wavelengths[found], mean[found]
        line = y[0] + (y[2] - y[0]) * (x[1] - x[0]) / (x[2] - x[0])
        if line > 0:
            depths[gas] = float(1 - y[1] / line)
    return depths


def uncorrected(depths):
    """The gases whose absorption is deeper than `DEPTH`: signs of radiance."""
    return [gas for gas, depth in depths.items() if depth > DEPTH]
