"""The tool `mnf`."""

from ...engine.declare import Group, Integer, NumberOutput, RasterOutput, Real, Style, Tool
from .. import _shared
from . import _components

SHOWN = 900   # pixels a side of the report's picture


class MinimumNoiseFraction(Tool):
    """Raster of a scene's components in the order of their signal-to-noise ratio, and how many rise above the noise.

    The bands of a scene overlap in what they say. The minimum noise fraction puts all of it into a few components and
    leaves noise alone to the others. Every component has noise of variance one, so its value is in units of noise.

    Bands are named after their component and its ratio of signal to noise power. The transform stays in the raster's
    metadata, and mnfinverse makes a scene of it again: of all components the same scene, of the first ones a scene with
    less noise.

    It reads the raster in bounded memory: once (regression) or twice (differences) for the transform, and once more to
    write. Differences are not taken with masked pixels nor across the ends of rows."""

    id = "mnf"
    label = "Minimum noise fraction (MNF)"
    group = Group.PREPARE
    tags = ("MNF", "minimum noise fraction", "NAPC", "noise", "principal components", "PCA", "dimensionality reduction",
            "transform")
    citation = ("Green, Berman, Switzer and Craig, A transformation for ordering multispectral data in terms of image "
                "quality with implications for noise removal, IEEE TGRS 26(1), 1988")
    prefer = ("Take it to look at a scene in a few components, or to see how many rise above the noise. To take noise "
              "off in one run, take Inverse MNF; the tools that find endmembers do not need it.")
    doi = ("10.1109/36.3001",)

    image = _shared.INPUT
    noise = _components.NOISE
    kept = Integer("KEEP", "Components to write", default=0, minimum=0, within_bands_of="INPUT", help="The first so "
                   "many components: 1 up to the number of bands. Default 0: all of them.")
    limit = Real("SNRLIMIT", "Signal-to-noise ratio that counts", default=1.0, minimum=0.0, advanced=True,
                 help="A component counts in COMPONENTS if its signal has more than so many times the power of its "
                      "noise: 0 or more, no unit. Default 1: as much signal as noise.")
    bands = _shared.BANDS
    output = RasterOutput("OUTPUT", "Components", style=Style.COMPONENTS, optional=False, help="Raster with a band per "
                          "component, the one with the highest ratio first, in units of noise (standard deviation 1). "
                          "Nodata is -9999.")
    components = NumberOutput("COMPONENTS", "Components above the noise", help="How many components have a "
                              "signal-to-noise ratio above SNRLIMIT. With fewer than about 10 pixels per band "
                              "noise alone counts.")
    report = _shared.REPORT
    example = {"INPUT": "scene"}

    def run(self, job):
        scene, method = job.scene(self.image), job.value(self.noise)
        K = _components.kept(job.value(self.kept), scene.L)
        job.passes(_components.estimation_passes(method) + 1)
        transform, pixels = _components.estimate(scene, method, job.progress)
        _components.say_loading(job, transform)
        above = int((transform.snr > job.value(self.limit)).sum())
        job.give_number(self.components, above)
        job.say("{above} of {count} components have a signal-to-noise ratio above {limit}; the first has {best}.",
                above=above, count=scene.L, limit=f"{job.value(self.limit):g}", best=f"{transform.snr[0]:.4g}")
        if not above:
            job.warn("No component rises above the noise: the scene is noise, or varies as much from pixel to pixel as "
                     "over its whole extent. Try the other noise estimate.")
        _shared.warn_of_few_pixels(job, scene, pixels)
        names = [f"MNF {number} (SNR {ratio:.3g})" for number, ratio in enumerate(transform.snr[:K], 1)]
        with job.raster(self.output, scene, names) as file:
            for window, (X, valid) in scene.map_blocks(
                    lambda Y, valid: _shared.in_parts(lambda part: transform.forward(part, K), Y, valid),
                    progress=job.progress):
                file.write(window, X, valid)
        _components.attach(job.path(self.output), transform, scene, K)
        report = job.report(self.report)
        if report:
            self._fill(report, job, transform, above, K)
            job.give_report(self.report, report)

    def _fill(self, report, job, transform, above, K):
        import numpy as np
        number = np.arange(1, len(transform.mu) + 1)
        report.numbers(Components_above_the_noise=above, Components_written=K,
                       Highest_signal_to_noise_ratio=float(transform.snr[0]))
        report.curve(number, transform.mu, "Eigenvalues: signal-to-noise ratio plus one", "Component",
                     "Eigenvalue (logarithmic)", mark=above or None, logarithmic=True)
        report.paragraph("Eigenvalues near 1 are noise alone. The line marks the last component that counts.")
        report.heading("The first components")
        report.picture(picture(job.path(self.output)), "Components 1 to 3 as red, green and blue, each stretched from "
                       "its 2nd to its 98th percentile" if K >= 3 else
                       "Component 1, stretched from its 2nd to its 98th percentile")


def picture(path):
    """The first three bands of a raster (or the first alone) as a stretched picture (3, rows, cols), nodata white."""
    import numpy as np
    import rasterio
    with rasterio.open(path) as dataset:
        scale = min(1.0, SHOWN / max(dataset.width, dataset.height))
        shape = max(1, round(dataset.height * scale)), max(1, round(dataset.width * scale))
        bands = [1, 2, 3] if dataset.count >= 3 else [1, 1, 1]
        X = dataset.read(bands, out_shape=(3, *shape), masked=True)
    valid = ~np.ma.getmaskarray(X).any(axis=0)
    if not valid.any():
        return np.full(X.shape, 255, np.uint8)
    low, high = (np.percentile(X.data[:, valid], percent, axis=1)[:, None, None] for percent in (2, 98))
    stretched = (X.data - low) / np.maximum(high - low, np.finfo(np.float32).tiny)
    return np.where(valid, np.clip(255 * stretched, 0, 255), 255).astype(np.uint8)
