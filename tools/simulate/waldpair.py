"""The tool `waldpair`."""

from dataclasses import dataclass, replace

from ...engine.declare import Group, Integer, RasterOutput, Real, Style, Text, Tool
from .. import _shared
from ..fusion import _pairs


class WaldPair(Tool):
    """A hyperspectral and a multispectral image made from one scene, so that a fusion of both has a known answer.

    Wald's protocol: the scene is blurred and sampled to pixels some times as large, which is the hyperspectral image,
    and its spectra are brought to a multispectral sensor's bands, which is the multispectral one. Noise can be added to
    both. Fuse the two, then compare the result with the scene (comparefusion).

    Both images are georeferenced where they lie. The hyperspectral one carries the blur in its metadata, and the
    fusion tools take it from there."""

    id = "waldpair"
    label = "Make a fusion pair from a scene (Wald's protocol)"
    group = Group.SIMULATE
    tags = ("Wald", "fusion", "simulation", "degrade", "reduced resolution", "validation", "hyperspectral",
            "multispectral", "pan-sharpening", "ground truth", "Sentinel-2", "test data")
    citation = ("Wald, Ranchin and Mangolini, Fusion of satellite images of different spatial resolutions: assessing "
                "the quality of resulting images, Photogrammetric Engineering and Remote Sensing 63(6), 1997; Prevost "
                "et al., Hyperspectral super-resolution accounting for spectral variability, SIAM J. Imaging Sciences, "
                "2022, appendix C")
    prefer = ("To find out which fusion method suits a kind of scene, from a hyperspectral image of your own. To fuse "
              "two real images, take Fuse a pair.")
    doi = ("10.1137/21M1409354",)

    image = replace(_shared.INPUT, label="Scene", help="Hyperspectral raster with the wavelengths of its bands: what "
                    "the fusion of the pair should give back. Pixels that are nodata in a used band are nodata in the "
                    "multispectral image, and hyperspectral pixels whose blur reaches one are nodata too.")
    ratio = Real("RATIO", "Scene pixels per hyperspectral pixel", default=4.0, minimum=1.5, maximum=100.0,
                 help="How many times as large the hyperspectral image's pixels are, along rows as along columns: 1.5 "
                      "to 100. Default 4.")
    srf = replace(_pairs.SRF, help="Which wavelengths the multispectral bands cover: those of a sensor, or a table of "
                  "responses. Bands that the scene does not cover are left out. Default sentinel2a.")
    srf_table = _pairs.SRF_TABLE
    names = Text("SENSORBANDS", "Bands of the sensor", optional=True, help="Names of the multispectral bands to make, "
                 "separated by commas, for example B2, B3, B4, B8; one that is named twice is made once. Empty: all "
                 "that the scene covers.")
    snr = Real("SNR", "Signal-to-noise ratio (dB)", minimum=-50.0, maximum=200.0, optional=True, help="Of the white "
               "noise added to each image, against its mean square over all bands, in decibels; 30 is common. None "
               "given (the default): no noise.")
    size = Integer("KERNELSIZE", "Size of the blur (scene pixels)", default=9, minimum=1, maximum=999, advanced=True,
                   help="Side of the square beyond which the Gaussian is cut off, in scene pixels: 1 to 999. Default "
                        "9.")
    sigma = Real("SIGMA", "Standard deviation of the blur (scene pixels)", optional=True, minimum=0.01, maximum=500.0,
                 advanced=True, help="Of the Gaussian by which a hyperspectral pixel sees the ground, in scene pixels. "
                 "Empty: KERNELSIZE times sqrt(2 ln 2) / 4, that is 2.649 for 9, as the paper prints it; its program "
                 "has 1.746.")
    phase = Real("PHASE", "Centre of the first hyperspectral pixel (scene pixels)", optional=True, minimum=0.0,
                 maximum=99.0, advanced=True, help="Row and column, counted from 0, of the first hyperspectral pixel's "
                 "centre: 0 to RATIO - 1. Empty: (RATIO - 1) / 2, with which both images have one upper left corner; 1 "
                 "with ratio 4 is the paper's.")
    seed = _shared.SEED
    bands = _shared.BANDS
    hsi = RasterOutput("HSI", "Hyperspectral image", style=Style.SPECTRAL, optional=False, help="Raster with the "
                       "scene's bands, wavelengths and units in pixels RATIO times as large. What is left of the scene "
                       "beyond the last whole pixel is not covered. Nodata is -9999.")
    msi = RasterOutput("MSI", "Multispectral image", style=Style.SPECTRAL, optional=False, help="Raster on the scene's "
                       "grid and in its units with the sensor's bands, their names, centre wavelengths and widths. "
                       "Nodata is -9999.")
    example = {"INPUT": "hsi", "RATIO": 2, "KERNELSIZE": 5, "SNR": 40}

    def run(self, job):
        from ...algorithms.fusion.waldpair import untouched, wald_pair
        from ...engine.pairing import fill
        from ...engine.sentences import UserError, sentence_of
        scene, ratio = job.scene(self.image), job.value(self.ratio)
        responses, P3 = self._response(job, scene)
        self._check_memory(scene, ratio, len(P3))
        cube, valid = self._read(job, scene)
        psf = self._psf(job)
        self._check_blur(psf, scene, ratio, job.value(self.phase))
        try:
            pair = wald_pair(fill(cube, valid), P3, ratio, psf, job.value(self.phase), job.value(self.snr),
                             job.value(self.seed))
        except ValueError as error:
            raise UserError("{reason}", reason=sentence_of(error)) from error
        known = untouched(pair, valid)
        if not known.any():
            raise UserError("The blur of every hyperspectral pixel reaches masked ground, so that none is left. Choose "
                            "a scene with fewer gaps, a smaller ratio or a smaller blur.")
        phase = (ratio - 1) / 2 if job.value(self.phase) is None else job.value(self.phase)
        self._write(job, self.hsi, coarser(scene, ratio, phase, known.shape), scene.band_names, pair.Y_H, known,
                    wavelengths=scene.wavelengths, fwhm=scene.fwhm)
        tag(job.path(self.hsi), psf, ratio)
        self._write(job, self.msi, placed(scene), [band.name for band in responses], pair.Y_M, valid,
                    wavelengths=[band.centre for band in responses], fwhm=[band.width for band in responses])
        job.say("{width} by {height} hyperspectral pixels of {bands} bands, blurred by a Gaussian of sigma {sigma} in "
                "{size} scene pixels.", width=known.shape[1], height=known.shape[0], bands=scene.L,
                sigma=f"{psf.sigma:.4g}", size=psf.size)

    def _response(self, job, scene):
        """The responses of the bands to make, and what they are in the scene's bands."""
        from ...engine.sensors import COVERED, describe, response_matrix
        from ...engine.sentences import UserError
        if scene.wavelengths is None:
            raise UserError("{path} has no wavelengths, so that it cannot be told what a multispectral sensor would "
                            "see of it. Add them to its metadata (wavelength of each band, or an ENVI header).",
                            path=scene.path)
        known = _pairs.responses_of(job, self.srf, self.srf_table)
        wanted = [name.strip() for name in (job.value(self.names) or "").split(",") if name.strip()]
        by_name = {band.name.casefold(): band for band in known}
        for name in wanted:
            if name.casefold() not in by_name:
                raise UserError("{name} is no band of the sensor, which has {bands}.", name=name,
                                bands=", ".join(band.name for band in known))
        chosen = [by_name[name] for name in dict.fromkeys(map(str.casefold, wanted))] or known
        P3, covered = response_matrix(chosen, scene.wavelengths, scene.fwhm)
        usable = covered >= COVERED
        left = [band for band, use in zip(chosen, usable) if not use]
        if not usable.any():
            raise UserError("None of the multispectral bands ({bands}) lies where the scene has bands. Choose another "
                            "sensor (SRF) or scene.", bands=describe(chosen))
        if left:
            (job.warn if wanted else job.say)("The scene does not cover these multispectral bands, which are left out: "
                                              "{bands}.", bands=describe(left))
        chosen = [band for band, use in zip(chosen, usable) if use]
        job.say("Multispectral bands: {bands}.", bands=describe(chosen))
        return chosen, P3[usable]

    def _psf(self, job):
        from ...algorithms.fusion.degradation import Gaussian
        size, sigma = job.value(self.size), job.value(self.sigma)
        return Gaussian.printed(size) if sigma is None else Gaussian(sigma, size)

    def _check_blur(self, psf, scene, ratio, phase):
        """Refuse a blur that reaches not even the scene pixel next to a hyperspectral pixel's centre."""
        import numpy as np

        from ...algorithms.fusion.waldpair import sampled
        from ...engine.sentences import UserError, sentence_of
        try:
            centres = sampled(max(scene.width, scene.height), ratio, phase)
        except ValueError as error:
            raise UserError("{reason}", reason=sentence_of(error)) from error
        away = np.abs(centres - np.round(centres)).max(initial=0.0)
        if away >= psf.size / 2:
            raise UserError("KERNELSIZE is {size}, too small for a blur around a centre that lies between two scene "
                            "pixels, so that it would see none. Choose 2 or more, or a ratio (RATIO) and a PHASE that "
                            "are whole numbers, with which the centres lie on scene pixels.", size=psf.size)
        if not psf.weights(away) > 0:
            raise UserError("SIGMA is {sigma}, too small for a blur around a centre that lies {away} scene pixels from "
                            "the nearest one, so that it would see none. Choose a larger one, such as {larger}.",
                            sigma=f"{psf.sigma:g}", away=f"{away:.2g}", larger=0.1)

    def _check_memory(self, scene, ratio, K_M):
        """The scene as float32, filled; both images with their noise as float64."""
        from ...engine.memory import need
        pixels = scene.width * scene.height
        need(pixels * (8 * scene.L + 24 * K_M + 24 * scene.L / ratio ** 2), "Clip the scene, or use fewer bands.")

    def _read(self, job, scene):
        """The scene (K, I, J) as float32, and which of its pixels are valid (I, J)."""
        import numpy as np
        cube = np.empty((scene.L, scene.height, scene.width), np.float32)
        valid = np.empty((scene.height, scene.width), bool)
        windows = scene.windows(rows=True)
        for done, window in enumerate(windows, 1):
            Y, known = scene.read(window)
            rows = slice(window.row_off, window.row_off + window.height)
            cube[:, rows] = Y.reshape(scene.L, -1, scene.width)
            valid[rows] = known.reshape(-1, scene.width)
            job.progress(done, len(windows))
        if not valid.any():
            _shared.nothing_valid(scene)
        return cube, valid

    def _write(self, job, output, grid, names, Y, valid, **options):
        from rasterio.windows import Window
        with job.raster(output, grid, names, **options) as file:
            file.write(Window(0, 0, grid.width, grid.height), Y[:, valid.ravel()], valid.ravel())


@dataclass(frozen=True)
class Place:
    """A grid that stands in for a scene where a raster is written."""

    width: int
    height: int
    transform: object
    crs: object
    gcps: tuple


def placed(scene):
    """
    The scene's grid. One without a georeference gets the place where QGIS draws it, so that both images of the pair
    can say how they lie on each other.
    """
    transform = scene.transform if scene.gcps[0] else scene.map_transform
    return Place(scene.width, scene.height, transform, scene.crs, scene.gcps)


def coarser(scene, ratio, phase, shape):
    """The grid of `shape` (rows, cols) pixels `ratio` times as large, the first one's centre at the pixel `phase`."""
    from rasterio.control import GroundControlPoint
    from rasterio.transform import Affine
    here, corner = placed(scene), phase + 0.5 - ratio / 2
    points = [GroundControlPoint((point.row - corner) / ratio, (point.col - corner) / ratio, point.x, point.y, point.z)
              for point in here.gcps[0]]
    transform = here.transform
    if not points:
        transform = transform * Affine.translation(corner, corner) * Affine.scale(ratio)
    return Place(shape[1], shape[0], transform, here.crs, (points, here.gcps[1]))


def tag(path, psf, ratio):
    """
    Write the blur into a raster's metadata, where the fusion tools look for it.

    It is given in scene pixels; with the tag of scene pixels per pixel of the raster it fits whatever that is paired
    with.
    """
    import rasterio
    with rasterio.open(path, "r+") as dataset:
        dataset.update_tags(**{_pairs.SIGMA: f"{psf.sigma:.17g}", _pairs.SIZE: f"{psf.size:g}",
                               _pairs.RATIO: f"{ratio:.17g}"})
