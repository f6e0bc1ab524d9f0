"""The engine with one tool more, which writes folders of rasters. The tests import its declaration too."""

import sys
import threading
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent.parent.parent))
import bootstrap

bootstrap.load()
from subpixel.engine.declare import Flag, FolderOutput, Group, RasterOutput, Style, Text, Tool
from subpixel.tools import _shared


class Folders(Tool):
    """A tool that writes the scene once for each name, and two maps whose bands share a range."""

    id, label, group, citation, tags = "folders", "Folders", Group.CHECK, "none", ("folders",)
    image = _shared.INPUT
    stems = Text("STEMS", "Names", help="Of the rasters, between bars.", default="tree|soil: wet")
    hang = Flag("HANG", "Hang", help="Whether to stop in the middle of the first raster.", default=False)
    members = FolderOutput("MEMBERS", "Members", style=Style.SPECTRAL, create=False, advanced=True,
                           help="Scenes, wavelengths kept.")
    steps = FolderOutput("STEPS", "Steps", style=Style.DEPARTURE, create=False, help="Maps from 0.")
    factors = RasterOutput("FACTORS", "Factors", style=Style.SCALING, create=False, help="Maps around 1.")

    def run(self, job):
        scene = job.scene(self.image)
        for stem in filter(None, job.value(self.stems).split("|")):
            if job.wants(self.members):
                self._fill(job, scene, job.folder_raster(self.members, stem, scene, scene.band_names,
                                                         wavelengths=scene.wavelengths))
            if job.wants(self.steps):
                self._fill(job, scene, job.folder_raster(self.steps, stem, scene, scene.band_names))
        if job.wants(self.steps):
            job.give_range(self.steps, 0, 5)
        if job.wants(self.factors):
            self._fill(job, scene, job.raster(self.factors, scene, scene.band_names))
            job.give_range(self.factors, 0.5, 1.2)

    def _fill(self, job, scene, writer):
        """Write the scene."""
        with writer as file:
            for window, (Y, valid) in scene.map_blocks(lambda Y, valid: (Y[:, valid], valid)):
                file.write(window, Y, valid)
                job.progress(0, 2)
                if job.value(self.hang):
                    threading.Event().wait()


if __name__ == "__main__":
    import subpixel.tools
    from subpixel.engine import main
    subpixel.tools.all_tools = lambda: {"folders": Folders}
    sys.exit(main.main(sys.argv[1:]))
