"""Cells of the benchmarks of events in rasters, on small scenes and with few layers: what they promise still holds."""

from functools import cache

import numpy as np
import pytest

pytest.importorskip("torch")

from sklearn.ensemble import RandomForestClassifier

from subpixel.algorithms.events.deepnmfd import DeepNMFD
from subpixel.algorithms.events.detection import Uncertainty, decide, thresholds
from subpixel.algorithms.events.network import Settings
from subpixel.algorithms.events.padnmf import PadNMF
from subpixel.algorithms.simulate.events import draw_samples, event_series

SIDE, FREE, FURTHER = 60, 30, 300
SETTINGS = Settings(K=30, C=2, mixtures=100)
KINDS = pytest.mark.parametrize("kind", [PadNMF, DeepNMFD])


class Cell:
    """A scene with events: samples of it, further pixels without a class, and those that are tested."""

    def __init__(self, strength, per_class=10, snr=30.0, clouds=0.0):
        rng, x = np.random.default_rng(0), np.linspace(0, 1, 8)
        M = np.stack([0.05 + 0.4 / (1 + np.exp(20 * (0.4 - x))), 0.1 + 0.25 * x, 0.03 - 0.02 * x,
                      0.03 + 0.2 / (1 + np.exp(20 * (0.4 - x))), 0.05 + 0.25 * np.sin(2.5 * x)], axis=1)
        series = event_series(M, SIDE, SIDE, rng, strength=strength, spread=0.05, snr=snr)
        self.label, self.date = series.label, series.date
        self.valid = rng.random((SIDE ** 2, len(series.Y))) >= clouds
        self.X = np.where(self.valid, series.Y.transpose(1, 2, 0), 0.9)
        self.samples = draw_samples(series, rng, per_class, FREE)
        self.further = rng.choice(SIDE ** 2, FURTHER, replace=False)
        self.tested = np.setdiff1d(np.arange(SIDE ** 2), self.samples)[::4]

    @property
    def truth(self):
        """Classes and dates of the tested pixels."""
        return self.label[self.tested], self.date[self.tested]

    def part(self, pixels):
        return self.X[:, pixels], self.valid[pixels]

    def detected(self, kind):
        """What a network detects in the tested pixels."""
        return network(self, kind).detect(*self.part(self.tested))

    def shown(self, kind, pixels):
        """Indices and dates of all classes in pixels."""
        X, valid = self.part(pixels)
        model = network(self, kind)
        return model.shown(model.features(X, valid), valid)

    def forest(self):
        """Classes of the tested pixels by a random forest on all bands of all dates."""
        stacked = self.X.transpose(1, 0, 2).reshape(SIDE ** 2, -1)
        model = RandomForestClassifier(100, random_state=0).fit(stacked[self.samples], self.label[self.samples])
        return model.predict(stacked[self.tested])

    def f1(self, event):
        """Mean over the classes."""
        label, _ = self.truth
        return np.mean([2 * ((event == k) & (label == k)).sum() / ((event == k).sum() + (label == k).sum())
                        for k in (1, 2, 3)])


@cache
def network(scene, kind):
    return kind.learn(*scene.part(scene.samples), scene.label[scene.samples], scene.date[scene.samples],
                      np.random.default_rng(0), SETTINGS, unlabelled=scene.part(scene.further), epochs=2)[0]


@cache
def cell(strength, **options):
    return Cell(strength, **options)


@KINDS
def test_networks_are_ahead_of_a_forest_with_ten_samples_per_class(kind):
    scene = cell(0.8)
    found, (label, date) = scene.detected(kind), scene.truth
    assert scene.f1(found.event) > scene.f1(scene.forest()) + 0.2
    right = (found.event == label) & (label > 0)
    assert np.abs(found.date - date)[right].mean() < 0.1


def test_deepnmfd_is_ahead_of_a_forest_with_ten_times_its_samples():
    scene, many = cell(0.4), cell(0.4, per_class=100)
    assert scene.f1(scene.detected(DeepNMFD).event) > many.f1(many.forest()) + 0.15


@KINDS
def test_clouds_take_little_away(kind):
    clear, clouded = cell(0.8), cell(0.8, clouds=0.05)
    assert clouded.f1(clouded.detected(kind).event) > clear.f1(clear.detected(kind).event) - 0.15


@pytest.mark.parametrize("kind, most", [(PadNMF, 0.75), (DeepNMFD, 0.95)])
def test_events_without_noise_are_found_at_their_dates(kind, most):
    scene = cell(0.9, snr=None)
    found, (label, date) = scene.detected(kind), scene.truth
    assert ((found.event == label) & (found.date == date))[label > 0].mean() > most
    assert (found.event[label == 0] > 0).mean() < 0.2


@KINDS
def test_less_uncertainty_tells_courses_of_one_material_apart(kind):
    """Abrupt and gradual events show the same material, so that each raises the index of the other."""
    scene = cell(0.8)
    learned, _ = scene.shown(kind, scene.samples)
    index, date = scene.shown(kind, scene.tested)
    label, truth = scene.label[scene.samples], scene.truth[0]
    reduced = Uncertainty.learn(learned, label, beta=2)
    plain, better = (decide(after(index), date, thresholds(after(learned)[:, label == 0], "max")).event
                     for after in (np.asarray, reduced.latent))
    assert scene.f1(better) > scene.f1(plain) + 0.05
    assert (better[truth == 3] == 3).mean() > (plain[truth == 3] == 3).mean() + 0.05
    assert (better[truth == 0] > 0).mean() < (plain[truth == 0] > 0).mean()
