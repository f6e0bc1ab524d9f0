"""The tool `applyredsunn`."""

from ...engine.declare import FileInput
from . import _redsunn


class ApplyRecurrentUnmixing(_redsunn.ModelTool):
    """Fractions at every date of a sequence, by a model that ReDSUNN has learned from another.

    For new dates of the same place, a neighbouring tile or a larger image: of the same sensor and processing, and with
    the same materials. It takes a fraction of the time of learning. The number of dates may be another."""

    id = "applyredsunn"
    label = "Apply a model of ReDSUNN"
    prefer = ("When ReDSUNN has saved a model of a similar sequence. Where sensor, processing or materials differ, "
              "learn a new one.")

    count = endmembers = None
    saved = FileInput("MODEL", "Model", extensions=("npz",), help="File that the tool for recurrent unmixing "
                      "(redsunn) has saved: its output MODEL.")
    example = {"IMAGES": "images", "MODEL": "model.npz", "DRAWS": 5}

    def trained(self, job, sequence):
        from ...algorithms.multitemporal.redsunn import Redsunn
        from ...engine import models
        from ...engine.spectra import of_scene
        job.passes(1)
        declaration, state = models.load(job.value(self.saved), ("redsunn",))
        models.fit(declaration, sequence)
        model, names = Redsunn.from_state(state, sequence.L), declaration["names"]
        return model, of_scene(sequence.grid, model.M0, names, ["the model"] * len(names))
