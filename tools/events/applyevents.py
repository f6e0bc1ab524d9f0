"""The tool `applyevents`."""

from ...engine.declare import FileInput
from ._events import SAME_STEP, DetectionTool, days

TOOLS = ("padnmf", "deepnmfd")


class ApplyEvents(DetectionTool):
    """Events in a series of images, detected by a model that has learned them from samples in another.

    For a neighbouring tile, a larger area or another year: images of the same sensor and processing, with the same
    bands, as many of them and as far apart as those that the model has learned from, so that its courses and its
    backgrounds' seasons fit. No samples are needed, and it takes a fraction of the time of learning."""

    id = "applyevents"
    label = "Apply a model of events"
    tags = (*DetectionTool.tags, "Deep-NMFD", "PAD-NMF", "deep learning", "neural network", "transfer", "model")
    citation = "G. Chinellato, Deep Unfolding, PhD thesis, University of Padova, 2026, sections 4.3 and 4.4"
    prefer = ("When Deep-NMFD or PAD-NMF has saved a model and the same events are sought in another area or year. "
              "Where backgrounds are of another kind, learn a new one from samples there.")

    saved = FileInput("MODEL", "Model", extensions=("npz",), help="File that a tool which learns events (padnmf, "
                      "deepnmfd) has saved: its output MODEL.")
    example = {"IMAGES": "eventimages", "MODEL": "events.npz"}

    def run(self, job):
        from ...algorithms.events.deepnmfd import DeepNMFD
        from ...algorithms.events.padnmf import PadNMF
        from ...engine import models
        declaration, state = models.load(job.value(self.saved), TOOLS)
        sequence = job.sequence(self.images)
        models.fit(declaration, sequence)
        self._check_dates(job, declaration, sequence)
        model = {"padnmf": PadNMF, "deepnmfd": DeepNMFD}[declaration["tool"]].from_state(state)
        names = declaration["names"]
        summary = self.detect(job, sequence, model, names)
        self.give_report(job, sequence, model, names, summary)

    @staticmethod
    def _check_dates(job, declaration, sequence):
        """Refuse another number of images than the model's, and warn of another distance between them."""
        from ...engine.sentences import UserError
        if sequence.T != declaration["dates"]:
            raise UserError("The model is for series of {dates} images, and this one has {count}. Choose as many, of "
                            "the same season, or learn a model from this series.", dates=declaration["dates"],
                            count=sequence.T)
        ours, theirs = days(sequence), declaration["days"]
        if abs(ours - theirs) > SAME_STEP * theirs:
            job.warn("The images are {ours} days apart on average, and those of the model were {theirs}: the courses "
                     "of events that it knows may not fit.", ours=f"{ours:.3g}", theirs=f"{theirs:.3g}")
