"""The tool `applyfilter`."""

from ...engine.declare import FileInput
from . import _model, _saved
from ._states import StatesTool


class ApplyFilter(StatesTool):
    """States of a series of images, by a filter that has been learned from another.

    For a neighbouring tile, a larger area or later dates: images of the same bands as those that the model was learned
    for, in the same units. Their number and dates may be others; dynamics and noise are the model's. Nothing is learned
    or estimated, so that it takes a fraction of the time.

    Fractions are matched by the names of their bands, which may be in another order."""

    id = "applyfilter"
    label = "Apply a learned filter"
    requires = (*StatesTool.requires, "torch")
    tags = (*StatesTool.tags, "KalmanNet", "deep learning", "transfer", "model")
    citation = "G. Chinellato, Deep Unfolding, PhD thesis, University of Padova, 2026, chapter 6"

    quantity = dynamics = period = harmonics = operator = interval = step = course = noise = None
    saved = FileInput("MODEL", "Model", extensions=("npz",), help="File that a tool which learns a filter (kalmannet) "
                      "has saved: its output MODEL.")
    example = {"IMAGES": "fractionimages", "MODEL": "filter.npz", "AT": "2020-07-15, 2020-11-15"}

    def run(self, job):
        from ...engine import models
        job.passes(2)
        declaration, arrays = models.load(job.value(self.saved), tuple(FILTERS))
        sequence = job.sequence(self.images)
        models.fit(declaration, sequence)
        model = _model.dated(job, self, sequence, declaration["fractions"])
        self._match(model, declaration["names"])
        estimate = FILTERS[declaration["tool"]](model, _saved.restore(model, declaration, arrays))
        Y, valid = self.sample(job, sequence, model)
        means = self.write(job, sequence, model, estimate)
        self.give_report(job, sequence, model, means, self.examples(model, estimate, Y, valid))

    @staticmethod
    def _match(model, names):
        """Bring the bands of fractions into the order of the model's."""
        from ...engine.sentences import UserError
        if not model.fractions:
            return
        if sorted(names) != sorted(model.bands):
            raise UserError("The model is for fractions of {names}, and the images have {bands}. Choose images of the "
                            "same materials, with their names as bands.", names=", ".join(names),
                            bands=", ".join(model.bands))
        places = [model.bands.index(name) for name in names]
        model.bands, model.orders = list(names), [[order[place] for place in places] for order in model.orders]


def _kalmannet(model, states):
    """`estimate` by the networks of the tool `kalmannet`."""
    from ...algorithms.state_estimation.kalmannet import KalmanNet
    from .kalmannet import estimator
    return estimator(model, [KalmanNet.from_state(state, each) for state, each in zip(states, model.components)])


FILTERS = {"kalmannet": _kalmannet}   # how the models of each tool filter
