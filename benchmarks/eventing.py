"""What the benchmarks of events in rasters share: the scene, its samples, the methods and their figures."""

import time
from dataclasses import replace

import numpy as np
from harness import SCENES
from sklearn.ensemble import RandomForestClassifier

from subpixel.algorithms.events.deepnmfd import DeepNMFD
from subpixel.algorithms.events.network import Settings
from subpixel.algorithms.events.padnmf import PadNMF
from subpixel.algorithms.simulate.events import draw_samples, event_series
from subpixel.engine import envi_library

MATERIALS = ("grass (meadow clover) 1", "bare soil 1", "water1", "coniferous tree 1", "grass (dry) 1")
BANDS = 10
FREE = 30            # event-free samples
UNLABELLED = 1500    # pixels of the scene that are given without a class
PIXELS = 10000       # on which detection is measured
EPOCHS = 10
CLOUDS = 0.05        # of the pixels' dates, where there are any


def materials():
    """Five spectra of the Berlin library in ten bands (10, 5), vegetation first."""
    library = envi_library.read(SCENES / "libraries" / "library_berlin.sli")
    M = library.M[:, [library.names.index(name) for name in MATERIALS]] / 1e4
    return np.stack([part.mean(axis=0) for part in np.array_split(M, BANDS)])


class Scene:
    """
    A series with events, samples of it, and pixels to detect events in.

    Attributes
    ----------
    samples : tuple
        X (m, Q, n), valid, label and date of the samples.
    unlabelled : tuple
        X and valid of further pixels.
    tested : tuple
        X, valid, label and date of pixels that are none of the samples.
    """

    def __init__(self, strength, seed, side=200, per_class=10, snr=30.0, spread=None, clouds=0.0, pixels=PIXELS,
                 free=FREE):
        rng = np.random.default_rng(seed)
        spread = min(0.2, strength / 2) if spread is None else spread
        series = event_series(materials(), side, side, rng, strength=strength, spread=spread, snr=snr)
        X = series.Y.transpose(1, 2, 0)
        valid = rng.random((X.shape[1], X.shape[2])) >= clouds
        self.names = series.names
        chosen = draw_samples(series, rng, per_class, free)
        others = rng.permutation(np.setdiff1d(np.arange(X.shape[1]), chosen))
        further, tested = rng.choice(X.shape[1], UNLABELLED, replace=False), others[:pixels]
        self.samples = X[:, chosen], valid[chosen], series.label[chosen], series.date[chosen]
        self.unlabelled = X[:, further], valid[further]
        self.tested = X[:, tested], valid[tested], series.label[tested], series.date[tested]


def network(kind, scene, settings, seed, *, unlabelled=True, dates=True, epochs=EPOCHS, batch=2000):
    """A network learned from a scene's samples, and the seconds that it took."""
    X, valid, label, date = scene.samples
    start = time.perf_counter()
    model, _, losses = kind.learn(X, valid, label, date if dates else np.full_like(date, -1),
                                  np.random.default_rng(seed), settings, epochs=epochs, batch=batch,
                                  unlabelled=scene.unlabelled if unlabelled else None)
    return model, time.perf_counter() - start, losses


def detected(model, scene):
    """Classes and dates of the tested pixels by a network, and pixels per second."""
    start = time.perf_counter()
    found = model.detect(*scene.tested[:2])
    return found.event, found.date, len(found.event) / (time.perf_counter() - start)


def forest(scene, seed, trees=300):
    """Classes of the tested pixels by a random forest on all bands of all dates; what is not valid is interpolated."""
    def stacked(X, valid):
        return filled(X, valid).transpose(1, 0, 2).reshape(X.shape[1], -1)
    X, valid, label, _ = scene.samples
    model = RandomForestClassifier(trees, random_state=seed).fit(stacked(X, valid), label)
    return model.predict(stacked(*scene.tested[:2]))


def filled(X, valid):
    """Series (m, Q, n) with what is not valid interpolated between the dates before and after."""
    X, dates = X.copy(), np.arange(X.shape[2])
    for q in np.flatnonzero(~valid.all(axis=1)):
        seen = valid[q]
        if seen.any():
            for band in X[:, q]:
                band[~seen] = np.interp(dates[~seen], dates[seen], band[seen])
    return X


def figures(event, scene, date=None):
    """Macro F1 of the classes, false alarms per event-free pixel, and the mean error of the date of what is right."""
    _, _, label, when = scene.tested
    scores = []
    for k in range(1, len(scene.names) + 1):
        hit = ((event == k) & (label == k)).sum()
        scores.append(2 * hit / max((event == k).sum() + (label == k).sum(), 1))
    right = (event == label) & (label > 0)
    error = None if date is None or not right.any() else float(np.abs(date[right] - when[right]).mean())
    return {"F1": float(np.mean(scores)), "false alarms (%)": float(100 * (event[label == 0] > 0).mean()),
            "date error": error}


def trained_figures(kind, scene, settings, seed, **options):
    model, seconds, losses = network(kind, scene, settings, seed, **options)
    event, date, speed = detected(model, scene)
    return {**figures(event, scene, date), "loss left (%)": 100 * min(losses) / losses[0], "training (s)": seconds,
            "pixels / s": speed}


class DeepNMF(PadNMF):
    """Deep-NMF (4.2), whose learning layers see the newest date only, as the thesis compares it."""

    masks = False
    extended = False


METHODS = {"NMFD": DeepNMFD, "Deep-NMF": DeepNMF, "PAD-NMF": PadNMF, "Deep-NMFD": DeepNMFD}


def settings_of(method):
    """The default settings; NMFD has no layer that learns, Deep-NMF not the fidelity of (4.3.20)."""
    settings = Settings()
    if method == "NMFD":
        return replace(settings, C=0)
    return replace(settings, fidelity=0.0) if method == "Deep-NMF" else settings
