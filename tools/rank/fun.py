"""The tool `fun`."""

from ...engine.declare import Group, Integer, Real, Tool
from .. import _shared

PERCENTAGE = Real("PERCENTAGE", "Stop below (percent)", default=1.0, minimum=1e-3, maximum=99, help="Ends where the "
                  "largest residual of a pixel, expected noise taken off, is below this part of the root mean square "
                  "norm of a pixel. In percent, 0.001 to 99; a smaller one gives a larger number. Default 1.")


class FastUnmixing(Tool):
    """Number of materials in a scene and the pixels that show them, taken until little is left of any pixel (FUN).

    The pixel that differs most from what has been explained so far becomes the next endmember (Gram-Schmidt), until
    what is left of every pixel is below a percentage of the mean brightness. Noise is removed first, and what it still
    leaves is taken off. How the percentage is compared is this plugin's reading: the publication leaves it open.

    It reads the raster twice, keeps the noise-removed pixels on disk, and needs 16 bytes of memory per pixel."""

    id = "fun"
    label = "FUN: number of endmembers"
    group = Group.RANK
    tags = ("rank", "number of endmembers", "how many materials", "endmember extraction", "Gram-Schmidt", "FUN")
    citation = ("Guerra, Santos, Lopez and Sarmiento, A New Fast Algorithm for Linearly Unmixing Hyperspectral Images, "
                "IEEE TGRS 53(12), 2015")
    prefer = ("Take it for a number and spectra in one run, where materials have pure pixels. The percentage decides "
              "the number, and a few odd pixels raise it: compare HySime, which has nothing to choose.")

    image = _shared.INPUT
    percentage = PERCENTAGE
    n_max = Integer("NMAX", "Largest number considered", default=50, minimum=2, maximum=500, help="Ends there in any "
                    "case: 2 to 500, and never more than the bands in use. Default 50.")
    bands = _shared.BANDS
    endmembers, rank, report = _shared.FOUND, _shared.RANK, _shared.REPORT
    example = {"INPUT": "scene"}

    def run(self, job):
        import numpy as np

        from ...algorithms.pixels import moments
        from ...algorithms.prepare.noise import regression_noise
        from ...engine.spectra import of_scene
        scene = job.scene(self.image)
        job.passes(2)
        pixels = scene.pixels(progress=job.progress)
        found = moments(pixels)
        result = estimate(pixels, found, regression_noise(found), job.value(self.percentage), job.value(self.n_max))
        positions = [pixels.locate(index) for index in result.indices]
        M = np.stack([scene.at(*position) for position in positions], axis=1)
        spectra = of_scene(scene, M, _shared.numbered(result.rank),
                           [_shared.pixel_source(scene, *at) for at in positions], positions)
        job.give_spectra(self.endmembers, spectra, scene)
        job.give_number(self.rank, result.rank)
        if result.reached:
            job.warn("The largest number considered, {rank}, was reached: a pixel still has {left} % left. Raise it, "
                     "or the percentage.", rank=result.rank, left=f"{result.residuals[-1]:.3g}")
        job.say("{rank} endmembers leave at most {left} % of a pixel.", rank=result.rank,
                left=f"{result.residuals[-1]:.3g}")
        report = job.report(self.report)
        if report:
            report.numbers(Number_of_endmembers=result.rank, Bands=scene.L, Pixels=found.N)
            add_fun(report, result, job.value(self.percentage))
            report.spectra(spectra)
            report.heading("Where they were found")
            report.table(["Endmember", "Row", "Column"], [(name, *at) for name, at in zip(spectra.names, positions)])
            job.give_report(self.report, report)


def estimate(pixels, found, noise, percentage, n_max):
    """FUN on the noise-removed pixels: one pass over the raster."""
    from ...algorithms.pixels import blocks
    from ...algorithms.rank.fun import fun
    from ...engine.memory import need
    from ...engine.spool import Spool
    need(16 * found.N, "Clip the raster.")
    with Spool() as denoised:
        for block in pixels:
            for part in blocks(block):
                denoised.append(noise.denoise(part))
        return fun(denoised, found, noise, percentage, min(n_max, len(found.mean)))


def add_fun(report, result, percentage):
    """The plot that shows how FUN decided."""
    import plotly.graph_objects as go
    order = list(range(1, len(result.residuals) + 1))
    figure = go.Figure()
    figure.add_scatter(x=order, y=result.residuals, name="largest residual", mode="lines+markers")
    figure.add_scatter(x=order, y=[percentage] * len(order), name="stop below", mode="lines")
    figure.update_layout(xaxis_title="Number of endmembers", yaxis_title="Percent of a pixel's norm")
    report.heading("What is left of the worst pixel: the first value below the line ends it")
    report.plot(figure)
