"""What networks that detect events share: training from samples, thresholds, and detection in any number of series."""

import json
from dataclasses import asdict, dataclass, replace

import numpy as np
import torch

from ..device import device
from ..unfolding.multiplicative import SeparationLoss, Series, first, train
from ..unfolding.network import Unfolded
from .detection import Detection, Uncertainty, decide, thresholds
from .learning import Features, check_samples, courses_of, take_apart

TOGETHER = 256   # series that go through a network at once: small enough for the processor's cache


@dataclass(frozen=True)
class Settings:
    """
    Attributes
    ----------
    length : int
        Dates that an event lasts at most.
    backgrounds : int
        Courses of which backgrounds are made.
    K, C : int
        Layers, and how many of them, the last ones, are discriminative.
    sparsity : float
        alpha_H.
    fidelity : float
        alpha_S of (4.3.20).
    groups : int
        Groups of bands at most.
    changes : bool
        Whether features are gains and losses against a series' own background, see `learning.Features`.
    mixtures : int
        Series to train on beside the samples, see `EventSamples.mixtures`.
    threshold : str
        "max" or "mean", see `detection.thresholds`.
    beta : float or None
        Of the uncertainty reduction, see `detection.Uncertainty`; None for none.
    """

    length: int = 5
    backgrounds: int = 6
    K: int = 50
    C: int = 3
    sparsity: float = 0.0
    fidelity: float = 1e6
    groups: int = 12
    changes: bool = True
    mixtures: int = 1000
    threshold: str = "max"
    beta: float | None = 2.0


class EventNetwork:
    """
    A network of multiplicative layers that tells which event begins when in a series.

    A subclass says in `layers` how dictionaries are made of patterns of events and courses of backgrounds, in
    `arrange` how series become their data, and in `indices` how activations tell of events.

    Parameters
    ----------
    settings : Settings
    features : Features
    patterns : ndarray (I, m, length)
    backgrounds : ndarray (J, m, n)
    families : ndarray (I,) of int, optional
        The class, from 0, to which each pattern belongs, F_l of (4.3.25); each is a class of its own by default.
    own : list of ndarray, optional
        Learned dictionaries of the discriminative layers.
    limits : ndarray (C,), optional
        Thresholds of the indices.
    uncertainty : Uncertainty, optional
    """

    def __init__(self, settings, features, patterns, backgrounds, own=None, limits=None, uncertainty=None,
                 families=None):
        self.settings, self.features = settings, features
        self.patterns, self.backgrounds = patterns, backgrounds
        self.limits, self.uncertainty = limits, uncertainty
        self.families = np.arange(len(patterns)) if families is None else np.asarray(families)
        layer, theta, targets, own_layer = self.layers()
        own = None if own is None else [self._tensor(part) for part in own]
        self.network = Unfolded(layer, theta, settings.K, settings.C, own_layer=own_layer, own=own)
        self.loss = SeparationLoss(layer.dictionary(theta), targets, settings.fidelity)

    @property
    def n(self):
        """Number of dates."""
        return self.backgrounds.shape[2]

    @property
    def classes(self):
        """Number of classes of events."""
        return int(self.families.max()) + 1

    def layers(self):
        """The layer, its optimal parameters, which atoms are targets (a,), and the layer of the discriminative part."""
        raise NotImplementedError

    def arrange(self, X):
        """Series `X` (m, Q, n) as data (B, M, Q) of the layers."""
        raise NotImplementedError

    def indices(self, H):
        """Index (C, Q) of each class at its best shift, and that shift (C, Q), from activations `H` (B, a, Q)."""
        raise NotImplementedError

    @classmethod
    def learn(cls, X, valid, label, date, rng, settings=Settings(), *, unlabelled=None, epochs=20,
              batch=2000, callback=None):
        """
        Learn from samples, see `learning.take_apart`, and train, see `unfolding.multiplicative.train`.

        Parameters
        ----------
        X : ndarray (m, Q, n)
            Series of the samples, not negative, in any unit.
        valid : ndarray (Q, n) of bool
        label, date : ndarray (Q,) of int
        rng : numpy.random.Generator
        settings : Settings
        unlabelled : (ndarray (m, U, n), ndarray (U, n) of bool), optional
            Further series of the scene, from which backgrounds are learned too.
        epochs, batch, callback
            Of the training.

        Returns
        -------
        network : EventNetwork
        samples : EventSamples
        losses : list of float
            Of each epoch, per sample.
        """
        check_samples(X, label, settings.length)
        if unlabelled is None:
            unlabelled = X[:, :0], valid[:0]
        features = Features.of(np.concatenate([X, unlabelled[0]], axis=1), np.concatenate([valid, unlabelled[1]]),
                               settings.groups)
        if settings.changes:
            free = label == 0
            courses, _ = courses_of(features(X[:, free], valid[free]), valid[free],
                                    (features(*unlabelled), unlabelled[1]), settings.length, settings.backgrounds, rng)
            features = replace(features, courses=courses)
        samples = take_apart(features(X, valid), valid, label, date, settings.length, rng,
                             unlabelled=(features(*unlabelled), unlabelled[1]), backgrounds=settings.backgrounds)
        network = cls(settings, features, samples.patterns, samples.backgrounds)
        losses = network.train(samples, rng, epochs=epochs, batch=batch, callback=callback)
        network.settle(samples)
        return network, samples, losses

    def train(self, samples, rng, *, epochs, batch, callback=None):
        """Train the discriminative layers; the loss per sample before and after each epoch."""
        X, S, valid = samples.mixtures(self.settings.mixtures, rng, self.settings.changes)
        X, S = np.concatenate([samples.X, X], axis=1), np.concatenate([samples.S, S], axis=1)
        valid = np.concatenate([samples.valid, valid])
        y, S, count = self.series(X, valid), self.series(S, valid).X, X.shape[1]
        losses = train(self.network, self.loss, y, S, rng, epochs=epochs, batch=batch, callback=None if callback is None
                       else lambda epoch, loss: callback(epoch, loss / count))
        return [loss / count for loss in losses]

    def settle(self, samples):
        """Thresholds from the event-free samples, and the reduction of uncertainty from the others."""
        index, _ = self.shown(samples.X, samples.valid)
        self.uncertainty = None
        if self.settings.beta is not None:
            self.uncertainty = Uncertainty.learn(index, samples.label, self.settings.beta)
            index = self.uncertainty.latent(index)
        self.limits = thresholds(index[:, samples.label == 0], self.settings.threshold)

    def shown(self, X, valid):
        """Index (C, Q) and shift (C, Q) of each class in series of features `X` (m, Q, n)."""
        index, date = [], []
        for begin in range(0, X.shape[1], TOGETHER):
            part = self.series(X[:, begin:begin + TOGETHER], valid[begin:begin + TOGETHER])
            H = self.network.inference(first(part, self.loss.D.shape[2]), part)
            found = self.indices(H.cpu().numpy())
            index.append(found[0])
            date.append(found[1])
        return np.concatenate(index, axis=1), np.concatenate(date, axis=1)

    def detect(self, X, valid):
        """
        Detect events in series.

        Parameters
        ----------
        X : ndarray (m, Q, n)
            Series, not negative, in the units of the samples.
        valid : ndarray (Q, n) of bool

        Returns
        -------
        Detection
            A series without a valid date has no event, and NaN for its indices.
        """
        if X.shape[0] != len(self.features.groups) or X.shape[2] != self.n:
            raise ValueError(f"The model is for series of {len(self.features.groups)} bands and {self.n} dates, and "
                             f"these have {X.shape[0]} and {X.shape[2]}.")
        some = valid.any(axis=1)
        event, date = np.zeros(len(some), int), np.full(len(some), -1)
        shown = np.full((self.classes, len(some)), np.nan, np.float32)
        if some.any():
            index, when = self.shown(self.features(X[:, some], valid[some]), valid[some])
            if self.uncertainty is not None:
                index = self.uncertainty.latent(index)
            found = decide(index, when, self.limits)
            event[some], date[some], shown[:, some] = found.event, found.date, found.index
        return Detection(event, date, shown)

    def series(self, X, valid):
        """Features `X` (m, Q, n) as what the network is given."""
        seen = None
        if not valid.all():
            seen = self._tensor(self.arrange(np.broadcast_to(valid.astype(np.float32), X.shape)))
        return Series(self._tensor(self.arrange(X)), seen)

    def state(self):
        """What `from_state` makes the same network of, as arrays."""
        state = {"settings": np.array(json.dumps(asdict(self.settings))), "groups": self.features.groups,
                 "scale": self.features.scale, "patterns": self.patterns,
                 "backgrounds": self.backgrounds, "families": self.families, "limits": self.limits,
                 "own": np.stack([part.cpu().numpy() for part in self.network.own]) if self.network.own else
                 np.empty((0,))}
        if self.features.courses is not None:
            state["courses"] = self.features.courses
        if self.uncertainty is not None:
            state["A"] = self.uncertainty.A
        return state

    @classmethod
    def from_state(cls, state):
        settings = Settings(**json.loads(str(state["settings"])))
        uncertainty = Uncertainty(state["A"], settings.beta) if "A" in state else None
        features = Features(state["groups"], state["scale"], state.get("courses"))
        return cls(settings, features, state["patterns"], state["backgrounds"], list(state["own"]), state["limits"],
                   uncertainty, state["families"])

    def operations(self):
        """Floating-point operations of one series' forward pass: two products, and what is done with each value."""
        def of(layer):
            B, M, a = layer.where.shape
            return B * (4 * M * a + M + 2 * a)
        own = self.network.C
        return (self.network.K - own) * of(self.network.layer) + own * of(self.network.own_layer)

    def numbers(self):
        """How many numbers the network holds: its dictionaries, the optimal one and each learned one."""
        return self.network.optimal.numel() + sum(part.numel() for part in self.network.own)

    @staticmethod
    def _tensor(X):
        return torch.as_tensor(np.ascontiguousarray(X, np.float32), device=device())

