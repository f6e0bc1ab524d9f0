"""The tool `mnfinverse`."""

from ...engine.declare import BandsInput, Choice, Group, Integer, RasterInput, RasterOutput, Style, Tool
from .. import _shared
from . import _components


class InverseMinimumNoiseFraction(Tool):
    """Scene made of its minimum noise fraction components: the same again of all, with less noise of the first ones.

    It takes a raster of components that mnf wrote, also after they were filtered, cut to an extent or to some of the
    bands: each band carries the spectrum that it stands for in its metadata. Bands that are missing count as zero.

    Or it takes a scene (FROM scene), and transforms it there and back in one run with the first KEEP components.

    The scene that comes out has the bands, wavelengths and units of the one that went in. It reads its input in bounded
    memory: once, and once or twice more for the transform of a scene."""

    id = "mnfinverse"
    label = "Inverse MNF and noise removal"
    group = Group.PREPARE
    tags = ("MNF", "minimum noise fraction", "inverse", "noise", "denoise", "noise removal", "smoothing", "transform")
    citation = ("Green, Berman, Switzer and Craig, A transformation for ordering multispectral data in terms of image "
                "quality with implications for noise removal, IEEE TGRS 26(1), 1988")
    prefer = ("Take it to make a scene of components again, or to take noise off and choose how many components stay. "
              "Noise and signal-to-noise ratio takes noise off with nothing to choose.")
    doi = ("10.1109/36.3001",)

    image = RasterInput("INPUT", "Components, or a scene", spectral=False, help="Raster of components as mnf wrote it, "
                        "or, with FROM scene, a hyperspectral image in any unit. Masked pixels come out as nodata.")
    source = Choice("FROM", "Input holds", default="components", options={
        "components": "Components written by mnf", "scene": "A scene, to be transformed there and back"},
        help="What INPUT is. Default components.")
    kept = Integer("KEEP", "Components to use", default=0, minimum=0, within_bands_of="INPUT", help="The first so many "
                   "bands of the components: 1 up to the number of bands. Fewer remove more noise and, at some point, "
                   "signal; mnf's COMPONENTS is a good start. Default 0: all, which removes nothing.")
    noise = _components.NOISE
    bands = BandsInput("BANDS", "Bands to use", optional=True, advanced=True, help="Exactly these bands: of components "
                       "the ones to use, of a scene the ones to transform. None chosen: all components, or all bands "
                       "of the scene but bad, empty and constant ones. On the command line separate numbers by "
                       "semicolons.")
    output = RasterOutput("OUTPUT", "Scene", style=Style.SPECTRAL, optional=False, help="Raster with the bands of the "
                          "scene, in its units. Nodata is -9999.")
    example = {"INPUT": "scene", "FROM": "scene", "KEEP": 3}

    def run(self, job):
        if job.value(self.source) == "scene":
            scene, names, wavelengths, fwhm, function = self._there_and_back(job)
        else:
            scene, names, wavelengths, fwhm, function = self._back(job)
        with job.raster(self.output, scene, names, wavelengths=wavelengths, fwhm=fwhm) as file:
            for window, (Y, valid) in scene.map_blocks(lambda X, valid: _shared.in_parts(function, X, valid),
                                                       windows=scene.windows(bands=max(scene.count, len(names))),
                                                       progress=job.progress):
                file.write(window, Y, valid)

    def _there_and_back(self, job):
        scene, method = job.scene(_shared.INPUT), job.value(self.noise)
        K = _components.kept(job.value(self.kept), scene.L)
        job.passes(_components.estimation_passes(method) + 1)
        transform, _ = _components.estimate(scene, method, job.progress)
        _components.say_loading(job, transform)
        job.say("{kept} of {count} components are used; the last of them has a signal-to-noise ratio of {ratio}.",
                kept=K, count=scene.L, ratio=f"{transform.snr[K - 1]:.3g}")
        return (scene, scene.band_names, scene.wavelengths, scene.fwhm,
                lambda Y: transform.inverse(transform.forward(Y, K)))

    def _back(self, job):
        from ...algorithms.prepare.mnf import from_components
        scene = job.scene(self.image)
        K = _components.kept(job.value(self.kept), scene.L)
        scene.keep([number < K for number in range(scene.L)])
        carried = _components.Attached(scene.path, job.value(self.image).get("options"), scene.indexes.tolist())
        job.say("{kept} components make {count} bands.", kept=K, count=len(carried.mean))
        return (scene, carried.names, carried.wavelengths, carried.fwhm,
                lambda X: from_components(X, carried.U, carried.mean))
