"""The engine with one tool more: a slow one that half-writes its output. The tests import its declaration too."""

import sys
import threading
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent.parent.parent))
import bootstrap

bootstrap.load()
from subpixel.engine.declare import Group, RasterOutput, Style, Tool
from subpixel.tools import _shared


class Slow(Tool):
    """A tool that writes a part of its output, says so, and never ends."""

    id, label, group, citation, tags = "slow", "Slow", Group.CHECK, "none", ("slow",)
    image = _shared.INPUT
    output = RasterOutput("OUTPUT", "Output", style=Style.ERROR, help="Never finished.")

    def run(self, job):
        scene = job.scene(self.image)
        with job.raster(self.output, scene, ["never"]) as file:
            for window, Y in scene.map_blocks(lambda Y, valid: Y):
                file.write(window, Y[:1], None)
                job.progress(0, 2)
                threading.Event().wait()


if __name__ == "__main__":
    import subpixel.tools
    from subpixel.engine import main
    subpixel.tools.all_tools = lambda: {"slow": Slow}
    sys.exit(main.main(sys.argv[1:]))
