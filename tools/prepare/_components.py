"""Components of the minimum noise fraction: estimated from a scene, and their transform on its way with the raster."""

import base64
import json

from ...engine.declare import Choice
from .. import _shared

NOISE = Choice("NOISE", "Estimate noise by", default="shift", options={
    "shift": "Difference of neighbouring pixels", "regression": "Regression on the other bands"},
    help="Difference of neighbours, the published way, counts fine texture as noise; regression does not, and takes "
         "the noise of different bands as unrelated. Either needs more pixels than bands. Default shift.")

MEAN, UNIT, MU = "SUBPIXEL_MNF_MEAN", "SUBPIXEL_MNF_SPECTRUM", "SUBPIXEL_MNF_MU"
BANDS, WAVELENGTHS, FWHM = "SUBPIXEL_MNF_BANDS", "SUBPIXEL_MNF_WAVELENGTHS", "SUBPIXEL_MNF_FWHM"


def estimate(scene, method, progress):
    """The transform of a scene and its number of pixels: one pass for the regression, two for the differences."""
    import numpy as np

    from ...algorithms.pixels import moments
    from ...algorithms.prepare.mnf import mnf
    from ...algorithms.prepare.noise import regression_noise, shift_difference_noise, shift_differences
    from ...engine.sentences import UserError
    found = moments(scene.pixels(progress=progress))
    if method == "regression":
        return mnf(found, np.diag(regression_noise(found).variances)), found.N
    pairs = 0

    def differences():
        nonlocal pairs
        for cube, valid in _shared.strips(scene, progress):
            difference = shift_differences(cube, valid)
            pairs += difference.shape[1]
            yield difference

    noise = shift_difference_noise(differences())
    if pairs <= scene.L:
        raise UserError("There are {pairs} pairs of neighbouring pixels and {bands} bands: the noise cannot be told "
                        "from so few. Use a larger scene or fewer bands.", pairs=pairs, bands=scene.L)
    return mnf(found, noise), found.N


def estimation_passes(method):
    """How many times `estimate` reads the raster."""
    return 1 if method == "regression" else 2


def kept(K, available):
    """The number of components to keep, 0 being all; the dialog knows a raster's bands, this one those in use."""
    from ...engine.sentences import UserError
    if K > available:
        raise UserError("KEEP is {kept}, but there are only {count} components. Choose up to {count}, or 0 for all.",
                        kept=K, count=available)
    return K or available


def say_loading(job, transform):
    """Say that the noise was singular, where it was."""
    if transform.loading:
        job.say("Some bands hold no noise of their own, so {variance} was added to the noise variance of every band.",
                variance=f"{transform.loading:.3g}")


def attach(path, transform, scene, K):
    """
    Write the inverse transform into the metadata of the raster of components, so that it travels with it.

    Each band has the spectrum that one unit of it adds and its eigenvalue, so that a raster of some of the bands is
    complete in itself; the raster has the mean and the bands of the scene. Spectra are float64, little-endian, base64.
    """
    import rasterio
    with rasterio.open(path, "r+") as dataset:
        tags = {MEAN: packed(transform.mean), BANDS: json.dumps(list(scene.band_names), ensure_ascii=False)}
        for name, values in ((WAVELENGTHS, scene.wavelengths), (FWHM, scene.fwhm)):
            if values is not None:
                tags[name] = json.dumps(values.tolist())
        dataset.update_tags(**tags)
        for number in range(K):
            dataset.update_tags(number + 1, **{UNIT: packed(transform.U[:, number]),
                                               MU: f"{transform.mu[number]:.17g}"})


class Attached:
    """
    The inverse transform that a raster of components carries (see `attach`).

    Attributes: `U` (L, K) for the K bands asked for, `mean` (L,), `names`, `wavelengths` and `fwhm` (L,) or None.
    """

    def __init__(self, path, options, bands):
        import numpy as np

        from ...engine.raster import open_raster
        from ...engine.sentences import UserError
        with open_raster(path, "INPUT", options) as dataset:
            tags, units = dataset.tags(), [dataset.tags(band).get(UNIT) for band in bands]
            if MEAN not in tags or None in units:
                raise UserError("{path} does not hold the transform that mnf writes into its components' metadata. "
                                "Choose a raster of components as mnf wrote it (GeoTIFF keeps the metadata), or FROM "
                                "scene to transform a scene there and back.", path=path)
            self.mean, columns = unpacked(tags[MEAN]), [unpacked(unit) for unit in units]
            if any(len(column) != len(self.mean) for column in columns):
                raise UserError("{path} holds components of different scenes. Choose a raster of components of one "
                                "scene.", path=path)
            self.U = np.stack(columns, axis=1)
            self.names = json.loads(tags[BANDS])
            self.wavelengths, self.fwhm = (np.array(json.loads(tags[name])) if name in tags else None
                                           for name in (WAVELENGTHS, FWHM))


def packed(values):
    """Float64 values as text that loses no bit."""
    return base64.b64encode(values.astype("<f8").tobytes()).decode("ascii")


def unpacked(text):
    import numpy as np
    return np.frombuffer(base64.b64decode(text), dtype="<f8")
