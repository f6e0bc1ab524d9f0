"""What every tool does that picks pixels as endmembers: search, positions, spectra and report."""

from contextlib import contextmanager
from dataclasses import dataclass, field

from ...engine.declare import Flag, Group, Integer, Tool
from .. import _shared

RESTARTS = Integer("RESTARTS", "Restarts", default=1, minimum=1, maximum=1000, help="How many times to search from "
                   "different random starts, 1 to 1000; the largest simplex is kept. They run side by side: more cost "
                   "computing time, and no further reading. Default 1.")

DENOISE = Flag("DENOISE", "Denoise the spectra", default=True, advanced=True, help="Project the chosen pixels onto "
               "the signal subspace in which they were found. Otherwise they are given as they are. Default yes.")


@dataclass(frozen=True)
class Picked:
    """Positions of the chosen pixels in the order of the stream, what to do with their spectra, and what to report."""

    indices: list
    finish: object = None      # a function of spectra (L, P)
    numbers: dict = field(default_factory=dict)
    result: object = None      # all that the search found, for `ExtractionTool.add`


class ExtractionTool(Tool):
    """Pixels of a scene as endmembers."""

    group = Group.ENDMEMBERS
    tags = ("endmembers", "endmember extraction", "pure pixels")
    image, count, bands = _shared.INPUT, _shared.COUNT, _shared.BANDS
    endmembers, report = _shared.FOUND, _shared.REPORT
    example = {"INPUT": "scene", "COUNT": 3}

    def reads(self, job):
        """How many times the raster is read."""
        return 2

    def pick(self, job, pixels, count):
        """The search: `Picked` from the scene's pixels, a stream."""
        raise NotImplementedError(f"{type(self).__name__} does not say how it searches")

    def add(self, job, scene, pixels, picked, report):
        """What a tool gives besides; `report` is None where none was asked for."""

    def run(self, job):
        import numpy as np

        from ...engine.spectra import of_scene
        scene, count = job.scene(self.image), job.value(self.count)
        job.passes(self.reads(job))
        pixels = scene.pixels(progress=job.progress)
        picked = self.pick(job, pixels, count)
        positions = [pixels.locate(index) for index in picked.indices]
        M = np.stack([scene.at(*position) for position in positions], axis=1)
        spectra = of_scene(scene, picked.finish(M) if picked.finish else M, _shared.numbered(count),
                           [_shared.pixel_source(scene, *at) for at in positions], positions)
        job.give_spectra(self.endmembers, spectra, scene)
        report = job.report(self.report)
        if report:
            report.numbers(Endmembers=count, Pixels=pixels.count, **picked.numbers)
            report.spectra(spectra)
            report.heading("Where they were found")
            report.table(["Endmember", "Row", "Column"],
                         [(name, *at) for name, at in zip(spectra.names, positions)])
        self.add(job, scene, pixels, picked, report)
        if report:
            job.give_report(self.report, report)


@contextmanager
def parked(pixels, apply):
    """What `apply` makes of the pixels, computed in one pass and kept on disk: a stream to search again and again."""
    from ...algorithms.pixels import blocks
    from ...engine.spool import Spool
    with Spool() as spool:
        for block in pixels:
            for part in blocks(block):
                spool.append(apply(part))
        yield spool


def random(job):
    """Random numbers from the job's SEED."""
    import numpy as np
    return np.random.default_rng(job.value(_shared.SEED))
