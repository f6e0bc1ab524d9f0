"""The tool `applyfilter`."""

from dataclasses import replace

from ...engine.declare import FileInput
from . import _deepkalman, _model, _saved
from ._states import StatesTool
from ._zones import ZONES, Zoned

SHOWN = 100  # pixels of a zone among which those of the report are
NEAR = 0.5   # days, between intervals of a deep Kalman filter and of the images


class ApplyFilter(StatesTool):
    """States of a series of images, by a filter that has been learned from another.

    For a neighbouring tile, a larger area or later dates: images of the same bands as those that the model was learned
    for, in the same units. Their number and dates may be others; dynamics and noise are the model's. Nothing is learned
    or estimated, so that it takes a fraction of the time. Only a deep Kalman filter, whose gains belong to dates, needs
    as many images with the same intervals between them, within half a day, and the same zones.

    Fractions are matched by the names of their bands, which may be in another order."""

    id = "applyfilter"
    label = "Apply a learned filter"
    requires = (*StatesTool.requires, "torch")
    tags = (*StatesTool.tags, "KalmanNet", "deep learning", "transfer", "model", "deep Kalman filter")
    citation = "G. Chinellato, Deep Unfolding, PhD thesis, University of Padova, 2026, chapter 6"
    prefer = ("When KalmanNet or the deep Kalman filter has saved a model of a similar series. Where dynamics or noise "
              "differ, learn a new one.")

    quantity = dynamics = period = harmonics = operator = interval = step = course = noise = None
    saved = FileInput("MODEL", "Model", extensions=("npz",), help="File that a tool which learns a filter (kalmannet, "
                      "deepkalman) has saved: its output MODEL.")
    zones = replace(ZONES, help="Of a deep Kalman filter: raster of whole numbers on the images' grid, one band, "
                    "with the zones that the model was learned for. Pixels of others are nodata in the results. Empty: "
                    "all pixels are of zone 1. Not used for other models.")
    example = {"IMAGES": "fractionimages", "MODEL": "filter.npz", "AT": "2020-07-15, 2020-11-15"}

    def run(self, job):
        from ...engine import models
        job.passes(2)
        declaration, arrays = models.load(job.value(self.saved), tuple(FILTERS))
        sequence = job.sequence(self.images)
        models.fit(declaration, sequence)
        model = _model.dated(job, self, sequence, declaration["fractions"])
        self._match(model, declaration["names"])
        estimate = FILTERS[declaration["tool"]](model, _saved.restore(model, declaration, arrays), declaration)
        if declaration["tool"] == "deepkalman":
            sequence = Zoned(sequence, job.scene(self.zones), declaration["zones"])
        Y, valid = self.sample(job, sequence, model)
        self._unsettled = 0
        means = self.write(job, sequence, model, estimate)
        _deepkalman.warn_of_unsettled(job, self._unsettled)
        self.give_report(job, sequence, model, means, self.examples(model, estimate, Y, valid))

    def sample(self, job, sequence, model):
        if isinstance(sequence, Zoned):
            return sequence.sample(SHOWN, job.progress)
        return super().sample(job, sequence, model)

    def look(self, found):
        self._unsettled += _deepkalman.unsettled(found)

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


def _kalmannet(model, states, declaration):
    """`estimate` by the networks of the tool `kalmannet`."""
    from ...algorithms.state_estimation.kalmannet import KalmanNet
    from .kalmannet import estimator
    return estimator(model, [KalmanNet.from_state(state, each) for state, each in zip(states, model.components)])


def _deep(model, states, declaration):
    """`estimate` by the filters of the tool `deepkalman`."""
    import numpy as np

    from ...algorithms.state_estimation.deepkalman import Learned
    from ...engine.sentences import UserError
    ours, theirs = np.diff(model.days[model.observed]), np.diff(declaration["days"])
    if len(ours) != len(theirs) or np.abs(ours - theirs).max() > NEAR:
        raise UserError("The model has a gain for each of {count} dates, with {theirs} days between them, and the "
                        "images have {ours}. Choose images with these intervals.", count=len(theirs) + 1,
                        theirs=", ".join(f"{each:g}" for each in theirs), ours=", ".join(f"{each:g}" for each in ours))
    limits = declaration["limits"]
    if limits:
        model.components = [replace(each, forward=replace(each.forward, limits=tuple(limits)))
                            for each in model.components]
    design = _deepkalman.Design(tuple(declaration["parameters"]), declaration["degree"], declaration["unit"],
                                declaration["before"])
    learned = [Learned(*(state[name] for name in ("gains", "p", "C", "terms", "feed"))) for state in states]
    return _deepkalman.estimator(model, design, learned, limits)


FILTERS = {"kalmannet": _kalmannet, "deepkalman": _deep}   # how the models of each tool filter
