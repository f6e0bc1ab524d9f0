"""The tool `sisal`."""

from ...engine.declare import Group, Integer, Real, SpectraOutput, Tool
from .. import _shared
from ._extract import parked, random


class MinimumVolumeSimplex(Tool):
    """Spectra of materials that are pure in no pixel: the corners of the smallest simplex around the scene.

    A simplex is shrunk around the cloud of pixels, with a price on every pixel that it leaves outside. Its corners are
    computed, so they belong to no pixel; where a material is always mixed they come nearer to it than any pixel does.

    Corners can turn negative in some bands or in all, and are then no material: where the scene holds dark water, or
    where the cloud of pixels is so flat that its faces are ill defined. Ask for fewer endmembers, leave dark pixels
    out, or take VCA or N-FINDR. Lowering TAU seldom mends it: it leaves more and more pixels outside.

    It reads the raster twice and keeps reduced pixels on disk. Memory is bounded but for the pixels near the simplex
    and outside it: 64 bytes for each, times the number of endmembers. A small TAU leaves most pixels outside."""

    id = "sisal"
    label = "Minimum-volume simplex (SISAL)"
    group = Group.ENDMEMBERS
    tags = ("endmembers", "endmember extraction", "no pure pixels", "minimum volume", "simplex", "SISAL")
    citation = ("Bioucas-Dias, A variable splitting augmented Lagrangian approach to linear spectral unmixing, "
                "WHISPERS 2009")
    prefer = ("Take it where no pixel is pure, the noise is weak and nothing is as dark as water, and look for "
              "negative spectra before you use them. Minimum-volume NMF has the same aim and keeps spectra from "
              "falling below zero.")
    doi = ("10.1109/WHISPERS.2009.5289072",)

    image, count, seed, bands = _shared.INPUT, _shared.COUNT, _shared.SEED, _shared.BANDS
    tau = Real("TAU", "Price of negative abundances", default=1.0, minimum=1e-6, maximum=1e6, advanced=True,
               help="Weight of what lies outside the simplex, above 0. High values hold all pixels inside, odd ones "
                    "too. Lower it only where a few odd pixels pull the simplex outwards, and watch the share of "
                    "pixels left outside: at 0.001 it can be most of them. The default 1 is the author's.")
    iterations = Integer("ITERATIONS", "Iterations", default=80, minimum=1, maximum=10000, advanced=True,
                         help="Steps of the minimisation, 1 to 10,000. The default 80 is the author's.")
    endmembers = SpectraOutput("ENDMEMBERS", "Endmembers", optional=False, help="Layer with one computed spectrum per "
                               "feature (name, profile, source), without a place. Rename the materials in its "
                               "attribute table.")
    report = _shared.REPORT
    example = {"INPUT": "scene", "COUNT": 3}

    def run(self, job):
        import numpy as np

        from ...algorithms.endmembers.simplex import reduction
        from ...algorithms.endmembers.sisal import sisal_corners
        from ...algorithms.pixels import moments
        from ...engine.memory import need
        from ...engine.spectra import of_scene
        scene, count = job.scene(self.image), job.value(self.count)
        job.passes(2)
        pixels = scene.pixels(progress=job.progress)
        axes = reduction(moments(pixels), count)
        with parked(pixels, axes.apply) as reduced:
            found = sisal_corners(reduced, count, random(job), job.value(self.tau), job.value(self.iterations),
                                  room=lambda size: need(size, "Raise TAU, ask for fewer endmembers, or clip the "
                                                               "raster."))
        M = axes.restore(found.corners)
        source = f"{_shared.raster_name(scene)}, computed by SISAL"
        spectra = of_scene(scene, M, _shared.numbered(count), [source] * count)
        job.say("{share} % of the pixels lie outside the simplex.", share=f"{100 * found.outside:.2f}")
        if not found.converged:
            job.warn("The simplex was still changing after {count} iterations. Give more.", count=found.iterations)
        warn_of_negative(job, spectra.names, M, found.outside)
        job.give_spectra(self.endmembers, spectra, scene)
        report = job.report(self.report)
        if report:
            report.numbers(Endmembers=count, Pixels=pixels.count, Iterations=found.iterations,
                           Converged=found.converged, Percent_of_pixels_outside=100 * found.outside)
            report.spectra(spectra)
            report.curve(range(len(found.costs)), np.array(found.costs), "Cost", "Iteration",
                         "-log |det Q| + tau sum of hinges")
            job.give_report(self.report, report)


def warn_of_negative(job, names, M, outside):
    """Name the spectra (L, P) that are negative in some bands, and apart from them those that are so in all."""
    wholly = [name for name, column in zip(names, M.T) if column.max() < 0]
    partly = [name for name, column in zip(names, M.T) if column.min() < 0 <= column.max()]
    if wholly:
        job.warn("Computed spectra are negative in every band: {names}. They are no material: do not unmix with them.",
                 names=", ".join(wholly))
    if partly:
        job.warn("Computed spectra are negative in some bands: {names}.", names=", ".join(partly))
    if wholly or partly:
        job.warn("Negative spectra come of dark pixels such as water, or of more corners than the cloud of pixels has. "
                 "Ask for fewer endmembers, leave dark pixels out, or use VCA or N-FINDR. {share} % of the pixels "
                 "already lie outside the simplex; a lower TAU leaves more.", share=f"{100 * outside:.2f}")
