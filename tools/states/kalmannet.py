"""The tool `kalmannet`."""

from ...engine.declare import Choice, FileOutput, Flag, Integer, Real
from .. import _shared
from . import _saved
from ._model import in_parts
from ._states import NonlinearStatesTool, StatesTool

VALUES = 4_000_000   # entries of the covariances of all dates that are held at once


class KalmanNetwork(NonlinearStatesTool):
    """Series of images without noise and gaps, by a filter in which a neural network weighs each new image.

    A Kalman filter needs to know how large steps and noise are, and is best only for linear dynamics. KalmanNet keeps
    its two steps, a prediction by the dynamics and a correction by a gain times what the image differs from it, and
    has a recurrent network make the gain of how the series went so far. The network learns either from series
    simulated with the dynamics and noise found, whose true states are known, or from the images themselves, by how well
    each is forecast from those before: then gains fit the images even where the noise assumed is wrong, or differs
    between dates and pixels.

    For linear dynamics with the right noise it comes within some per cent of the Kalman filter and can do no better. It
    is a filter: a date is estimated from the images up to it, a gap by going on from before, with growing uncertainty.

    The network gives no uncertainty. It is that of its gains under the model, (I - K C) P (I - K C)' + K R K', scaled,
    where it learned from the images, so that forecasts err as much as they should.

    One network is learned for each band, or each component of the softmax basis of fractions. The model can be saved
    and applied to other series of the same bands (applyfilter). It needs the deep-learning packages (torch), and uses a
    graphics card where there is one."""

    id = "kalmannet"
    label = "KalmanNet: a filter with learned gains"
    requires = (*StatesTool.requires, "torch")
    tags = (*NonlinearStatesTool.tags, "KalmanNet", "deep learning", "recurrent", "GRU", "neural network", "learned",
            "Kalman gain", "Kalman filter")
    citation = ("G. Revach, N. Shlezinger, X. Ni, A. L. Escoriza, R. J. G. van Sloun and Y. C. Eldar, KalmanNet: "
                "neural network aided Kalman filtering for partially known dynamics, IEEE Trans. Signal Processing 70, "
                "2022; G. Chinellato, Deep Unfolding, PhD thesis, University of Padova, 2026, section 6.3")
    prefer = ("Where noise differs between dates and pixels or the dynamics are not quite right, learned from the "
              "images: its forecasts were the most accurate in our measurements. For linear dynamics with the right "
              "noise, the Kalman filter is as accurate and far faster.")
    doi = ("10.1109/TSP.2022.3158588",)

    source = Choice("LEARNFROM", "Learn from", default="simulated",
                    options={"simulated": "Simulated series", "images": "The images"},
                    help="Simulated series, made with the dynamics, steps and noise and the images' dates and gaps; or "
                         "a sample of the images' own, by the error of each forecast. Default simulated.")
    components = Choice("COMPONENTS", "Recurrent modules", default="3", options={"1": "One", "3": "Three"},
                        help="One module for the gain, or three for what the gain is made of: the steps' covariance, "
                             "the prediction's, and the innovation's. Default three.")
    use_observation = Flag("INPUTOBSERVATION", "Input: change of the image", default=True, advanced=True,
                           help="Show the network by how much the image differs from the one before. At least one of "
                                "the four inputs is needed. Default yes.")
    use_innovation = Flag("INPUTINNOVATION", "Input: innovation", default=True, advanced=True, help="Show the network "
                          "by how much the image differs from its prediction. Default yes.")
    use_state = Flag("INPUTSTATE", "Input: change of the state", default=True, advanced=True, help="Show the network "
                     "how the state changed at the date before. Default yes.")
    use_correction = Flag("INPUTCORRECTION", "Input: correction", default=True, advanced=True, help="Show the network "
                          "how the state was corrected at the date before. Default yes.")
    width = Integer("WIDTH", "Width of the network", default=10, minimum=1, maximum=200, advanced=True, help="Hidden "
                    "numbers of the modules for each entry of the matrices they stand for, 1 to 200. Default 10.")
    steps = Integer("STEPS", "Steps of learning", default=600, minimum=1, maximum=1000000, help="Updates of a "
                    "network's weights, 1 to 1000000: some 20 to 60 seconds for 600, for each band. Default 600.")
    batch = Integer("BATCH", "Series at a time", default=64, minimum=1, maximum=100000, advanced=True, help="Series in "
                    "a step of learning, 1 to 100000. Default 64.")
    length = Integer("LENGTH", "Dates of a sub-trajectory", default=24, minimum=1, maximum=10000, advanced=True,
                     help="Through how many dates gradients go back, 1 to 10000: longer series are cut into parts of "
                          "this length. Default 24.")
    rate_of_learning = Real("LEARNINGRATE", "Learning rate", default=0.01, minimum=1e-8, maximum=1.0, advanced=True,
                            help="Size of the steps of learning (Adam), above 0, at most 1. Default 0.01.")
    decay = Real("DECAY", "Weight decay", default=1e-5, minimum=0.0, maximum=1.0, advanced=True, help="How strongly "
                 "weights are drawn to zero while learning, 0 to 1. Default 0.00001.")
    seed = _shared.SEED
    saved = FileOutput("MODEL", "Model", create=False, extensions=("npz",), help="File with the learned networks and "
                       "the dynamics, for the tool that applies them to other images of the same bands (applyfilter).")
    example = {"IMAGES": "fractionimages", "STEPS": 20, "WIDTH": 3, "STEPNOISE": 0.5, "NOISE": 0.1}

    def passes(self, job):
        return super().passes(job) + 1

    def sample(self, job, sequence, model):
        self._sample = super().sample(job, sequence, model)
        return self._sample

    def prepare(self, job, sequence, model):
        import numpy as np

        from ...algorithms.state_estimation.kalmannet import learn
        days, parts = model.days[model.observed], model.split(model.series(*self._sample))
        settings, given = self._settings(job), job.value(self.source) == "images"
        model.components = [common(each, part) for each, part in zip(model.components, parts)]
        self._losses, networks, total = {}, [], settings.steps * len(parts) + 1
        for number, (part, each) in enumerate(zip(parts, model.components)):
            label, losses = model.levels[number][0], []

            def follow(iteration, loss, number=number):
                job.progress(number * settings.steps + iteration, total)

            found = learn(each, days, np.random.default_rng([job.value(self.seed), number]),
                          self._settings(job, each.forward), series=part if given else None, seen=~np.isnan(part),
                          callback=follow)
            losses, self._losses[label] = found.losses, found.losses
            job.say("{band}: learning has brought the loss from {before} to {after}.", band=label,
                    before=f"{losses[0]:.4g}", after=f"{min(losses[1:]):.4g}")
            if min(losses[1:]) >= losses[0]:
                job.warn("{band}: learning did not lower the loss. Take more steps (STEPS), or a smaller learning rate "
                         "(LEARNINGRATE).", band=label)
            networks.append(found.network)
        job.progress(1, 1)
        if job.wants(self.saved):
            _saved.save(job, self.saved, self.id, sequence, model, [network.state() for network in networks])
        return estimator(model, networks)

    def _settings(self, job, forward=None):
        from ...algorithms.state_estimation.kalmannet import INPUTS, Settings
        from ...engine.sentences import UserError
        used = (self.use_observation, self.use_innovation, self.use_state, self.use_correction)
        inputs = tuple(name for name, flag in zip(INPUTS, used) if job.value(flag))
        if not inputs:
            raise UserError("The network is shown nothing. Choose one or more of its four inputs (INPUTINNOVATION, for "
                            "instance).")
        return Settings(components=int(job.value(self.components)), inputs=inputs, width=job.value(self.width),
                        length=job.value(self.length), steps=job.value(self.steps), batch=job.value(self.batch),
                        rate=job.value(self.rate_of_learning), decay=job.value(self.decay),
                        limits=_saved.limits(forward))

    def add_to_report(self, job, report, sequence, model):
        report.heading("Learning")
        report.paragraph("Loss on series that were held out, before learning and at every look since: " + (
            "mean square of the innovations, over that of the changes between images."
            if job.value(self.source) == "images" else "mean square of the states' errors, over that of their steps."))
        report.curves(range(max(map(len, self._losses.values()))), {
            label: [*losses, *[None] * (max(map(len, self._losses.values())) - len(losses))]
            for label, losses in self._losses.items()}, "Look", "Loss")


def common(component, y):
    """
    A `StateSpace` whose first state is the same for all series, as vague as sample series `y` (T, n, m) differ.

    From the mean of each, which later images have a part in, a network would learn to tell those.
    """
    from dataclasses import replace

    import numpy as np

    from ...algorithms.state_estimation.model import VAGUE, restart
    means = restart(component, y).mean
    return replace(component, mean=means.mean(axis=0),
                   covariance=component.covariance + VAGUE * np.diag(means.var(axis=0)))


def estimator(model, networks):
    """`estimate` of a `StatesTool` by a network for each component."""
    import numpy as np

    def estimate_pixels(Y, valid):
        means, variances = [], []
        for part, each, network in zip(model.split(model.series(Y, valid)), model.components, networks):
            values = np.full((model.T, *part.shape[1:]), np.nan)
            values[model.observed] = part
            found = network.estimate(values, model.days)
            means.append(found.mean @ each.C.T)
            variances.append(np.einsum("ij,tqjk,ik->tqi", each.C, found.covariance, each.C, optimize=True))
        return model.back(np.concatenate(means, axis=-1), np.concatenate(variances, axis=-1))

    most = max(1, VALUES // (model.T * max(each.forward.n for each in model.components) ** 2))

    def estimate_block(Y, valid):
        return *in_parts(estimate_pixels, most, Y, valid), {}
    return estimate_block
