"""The tool `vca`."""

from ...engine.declare import Flag, Group, Tool
from .. import _shared


class VertexComponentAnalysis(Tool):
    """Spectra of the purest pixels in a scene: the corners of its cloud of pixels.

    Random directions are drawn, each orthogonal to the endmembers found so far, and the pixel farthest along each is
    the next endmember. It needs pure pixels in the scene, and its result depends on the random seed: compare a few.

    It reads the raster three times, in bounded memory."""

    id = "vca"
    label = "Vertex component analysis (VCA)"
    group = Group.ENDMEMBERS
    tags = ("endmember extraction", "pure pixels", "simplex", "VCA")
    citation = "Nascimento and Bioucas-Dias, Vertex Component Analysis, IEEE TGRS 43(4), 2005"

    image, count, seed, bands = _shared.INPUT, _shared.COUNT, _shared.SEED, _shared.BANDS
    denoise = Flag("DENOISE", "Denoise the spectra", default=True, advanced=True, help="Project the chosen pixels onto "
                   "the signal subspace, as the authors do. Otherwise they are given as they are. Default yes.")
    endmembers, report = _shared.FOUND, _shared.REPORT
    example = {"INPUT": "scene", "COUNT": 3}

    def run(self, job):
        import numpy as np

        from ...algorithms.endmembers.vca import vca_projection, vca_select
        from ...algorithms.pixels import blocks, moments
        from ...engine.spectra import of_scene
        from ...engine.spool import Spool
        scene, count = job.scene(self.image), job.value(self.count)
        job.passes(2)
        pixels = scene.pixels(progress=job.progress)
        projection = vca_projection(moments(pixels), count)
        with Spool() as projected:
            for block in pixels:
                for part in blocks(block):
                    projected.append(projection.apply(part))
            chosen = vca_select(projected, count, np.random.default_rng(job.value(self.seed)),
                                affine=not projection.projective)
        positions = [pixels.locate(index) for index in chosen]
        M = np.stack([scene.at(*position) for position in positions], axis=1)
        if job.value(self.denoise):
            M = projection.denoise(M)
        job.say("Estimated signal-to-noise ratio: {snr} dB.", snr=f"{projection.snr:.1f}")
        spectra = of_scene(scene, M, _shared.numbered(count), [_shared.pixel_source(scene, *at) for at in positions],
                           positions)
        job.give_spectra(self.endmembers, spectra, scene)
        report = job.report(self.report)
        if report:
            report.numbers(Endmembers=count, Pixels=pixels.count, Signal_to_noise_ratio_in_dB=projection.snr)
            report.spectra(spectra)
            report.heading("Where they were found")
            report.table(["Endmember", "Row", "Column"],
                         [(name, *at) for name, at in zip(spectra.names, positions)])
            job.give_report(self.report, report)
