"""PAD-NMF and Deep-NMF on hits in a chain of masses: the thesis's experiments 4.3.5, and what each idea of it does."""

import os
import sys
import time
from dataclasses import dataclass

for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

import numpy as np
from harness import record
from hits import CHAINS, Recorder, dataset, pairs

from subpixel.algorithms.events.detection import decide, thresholds
from subpixel.algorithms.events.learning import Features
from subpixel.algorithms.events.network import Settings
from subpixel.algorithms.events.padnmf import PadNMF, hankel
from subpixel.algorithms.unfolding.multiplicative import train

SEED = 0
TINY = 1e-30
EPOCHS, LENGTH, FIDELITY = 3, 7, 1e6
LAYERS, DISCRIMINATIVE, BATCH = 1000, {1: 20, 2: 40}, {1: 27, 2: 30}
LEVELS = {1: range(-50, 11, 10), 2: range(-50, 21, 10)}   # dB, of the hits that are tested
DRAWS = 5                                                 # of these hits, on each mass at each level
QUIET = 100                                               # recordings without a hit that are tested
PAIRS = 20                                                # draws of the five pairs
RULES = ("mean", "max")
BANDS = (32, 8)


class Anchored(PadNMF):
    """PAD-NMF of recordings that begin with the hit; of a steady noise, whose first frame alone is new: r_N = T."""

    anchored = True

    def blocks(self):
        T = self.T
        noise = [hankel(course[:, None], T)[:, :, 0].T for course in self.backgrounds]
        return super().blocks()[:len(self.patterns)] + [np.c_[W[:, :T - 1], W[:, T - 1:].mean(axis=1)] for W in noise]


class OwnFrames(Anchored):
    """Discriminative layers see the newest frame only."""

    extended = False


class Unmasked(Anchored):
    """Every atom may be active at any date."""

    masks = False


class TwoFactorisations(Unmasked):
    """The atoms of all targets come from one NMF, those of the noise from another (Figure 4.2a)."""

    def blocks(self):
        sizes = [block.shape[1] for block in super().blocks()]
        return [block for courses, of in ((self.patterns, sizes[:len(self.patterns)]),
                                          (self.backgrounds, sizes[len(self.patterns):]))
                for block in np.split(atoms(courses, self.T, sum(of)), np.cumsum(of)[:-1], axis=1)]


class DeepNMF(TwoFactorisations):
    """The thesis's baseline (section 4.2): consecutive rows stand for the blocks of PAD-NMF."""

    extended = False


class DeepOnBlocks(Unmasked):
    """The baseline with the dictionary of PAD-NMF, which says which atom is whose."""

    extended = False


class SingleFrames(Unmasked):
    """NMF of frames: the noise is one atom, each frame of a target another."""

    def blocks(self):
        return [*self.patterns, *(course.mean(axis=1, keepdims=True) for course in self.backgrounds)]


def atoms(courses, T, r, steps=2000):
    """r atoms of the Hankel extensions of courses (I, m', n), by plain KL-NMF, which has as many as it is asked for."""
    Y = hankel(courses.transpose(1, 0, 2), T).transpose(1, 2, 0).reshape(T * courses.shape[1], -1)
    rng = np.random.default_rng(SEED)
    W, H = rng.uniform(0.5, 1.5, (len(Y), r)) * Y.mean(), rng.uniform(0.5, 1.5, (r, Y.shape[1])) / r
    for _ in range(steps):
        H *= W.T @ (Y / np.maximum(W @ H, TINY)) / np.maximum(W.sum(axis=0)[:, None], TINY)
        W *= (Y / np.maximum(W @ H, TINY)) @ H.T / np.maximum(H.sum(axis=1), TINY)
    return W


@dataclass(frozen=True)
class Kind:
    """
    A row of the ablations: a network of K layers, the published number of them discriminative unless C says which.

    `batch` None is the published one; `last` keeps the parameters of the last epoch, as published, not of the best.
    """

    make: type
    K: int = LAYERS
    C: int | None = None
    fidelity: float = FIDELITY
    batch: int | None = None
    last: bool = False
    length: int = LENGTH
    epochs: int = EPOCHS


DEEP = dict(fidelity=0.0, batch=1)
NETWORKS = {
    "PAD-NMF": Kind(Anchored),
    "PAD-NMF, not trained": Kind(Anchored, C=0),
    "PAD-NMF, 60 epochs": Kind(Anchored, epochs=60),
    "PAD-NMF, 60 layers, 4 discriminative": Kind(Anchored, K=60, C=4),
    "mini-batches of 1": Kind(Anchored, batch=1, last=True),
    "no Hankel-structured discriminative layers": Kind(OwnFrames),
    "no masks": Kind(Unmasked),
    "no masks, no discriminative initialisation": Kind(TwoFactorisations),
    "Deep-NMF, last epoch": Kind(DeepNMF, last=True, **DEEP),
    "Deep-NMF, best epoch": Kind(DeepNMF, **DEEP),
    "Deep-NMF on PAD-NMF's dictionary, best epoch": Kind(DeepOnBlocks, **DEEP),
    "NMF of single frames, not trained": Kind(SingleFrames, C=0, length=1)}
COARSE = ("PAD-NMF", "PAD-NMF, not trained", "PAD-NMF, 60 layers, 4 discriminative", "Deep-NMF, last epoch",
          "NMF of single frames, not trained")   # what is measured in 8 bands too, and by component


STATED = {   # in the text of section 4.3.5, of Figures 4.11 to 4.13
    (1, "PAD-NMF"): "each of the five shown hits of component 2",
    (1, "Deep-NMF, last epoch"): "none of the five shown hits of component 2",
    (2, "PAD-NMF"): "hits down to -20 dB, some near -25 dB; all five pairs",
    (2, "Deep-NMF, last epoch"): "none of the five pairs"}
NOTES = (
    "The data are made anew (see `hits.py`: the thesis gives neither its spectrograms nor its intensities), K = 1000, "
    "C = 20 and 40, alpha_S = 1e6, 3 epochs, mini-batches of 27 and 30, T = 7, r_S = 8, r_N = 7 as published unless a "
    "row says otherwise. Rates are those of five new recordings of a hit on each mass at each level; false alarms of "
    "100 new recordings without one; thresholds (geometric mean, as published, or largest) come from the 18 or 10 "
    "recordings without a hit that the networks are trained on too. The table beside the thesis is of its own test, "
    "the data set itself, by geometric means. Deep-NMF is Hershey's network with mini-batches of 1, whose loss has no "
    "alpha_S and does not compare with the others; its dictionary is two plain NMFs, and consecutive rows stand for "
    "PAD-NMF's blocks, as in the thesis, so that nothing makes a row belong to a mass. `changed`: discriminative "
    "layers of which at least 1 % of the entries were changed by 1 % or more.\n\n"
    "What is reproduced: PAD-NMF finds every hit of data set 2 down to -20 dB and all pairs, Deep-NMF few hits and "
    "few pairs. What is not: in data set 1 PAD-NMF with 1000 layers misses hits of component 2 at all levels; with 60 "
    "layers it finds nearly all. The index is a geometric mean over all masses of a component: the further the layers "
    "go, the more the blocks of the masses that were not hit fade, and the index with them. And training, though it "
    "lowers the loss, changes no rate: each layer learns about half as much as the one after it, so that only the "
    "last ones do, presumably as the positive and the negative part of a gradient both only add on the way back and "
    "their ratio goes to 1; 60 epochs change no rate either. Nor do masks matter much (they save most of the work), "
    "and without Hankel-structured discriminative layers data set 1 is better and data set 2, below -20 dB, worse. "
    "What matters is the discriminative initialisation, a dictionary that says which atom is whose: with it even "
    "Deep-NMF, whose best epoch is the one before training, finds what PAD-NMF finds down to -20 dB, and an NMF of "
    "single frames is not far. A factorisation with 151 or 87 atoms of 56 or 224 rows is not unique, so that what the "
    "atoms of Deep-NMF are depends on where it starts. With mini-batches of 1 the steps are ratios of gradients of "
    "one recording, and the loss overflows: there are no indices, and nothing is found. The published threshold lets "
    "most recordings without a hit pass for one with, as each index exceeds its own mean in about half of them; the "
    "largest lets fewer pass, but rests on 18 or 10 recordings.")


def build(kind, number, data):
    """The network trained on a data set; the loss per recording before training, that of the epoch kept, and which."""
    training = data.training
    m, scale = data.X.shape[1], data.X[training].max()
    settings = Settings(length=kind.length, K=kind.K, C=DISCRIMINATIVE[number] if kind.C is None else kind.C,
                        fidelity=kind.fidelity)
    network = kind.make(settings, Features(np.arange(m), np.full(m, scale), None), data.targets, data.noise,
                        families=data.target_component - 1)
    if not settings.C:
        return network, None, None, None
    y, goal = (network.series(network.features(*series(part[training])), series(part[training])[1])
               for part in (data.X, data.S))
    own = []

    def keep(epoch, loss):
        own[:] = [theta.clone() for theta in network.network.own]
    losses = train(network.network, network.loss, y, goal.X, np.random.default_rng(SEED), epochs=kind.epochs,
                   batch=kind.batch or BATCH[number], callback=keep)
    kept = int(np.argmin(losses))
    if kind.last:
        network.network.own, kept = own, kind.epochs
    return network, *(losses[epoch] / len(training) for epoch in (0, kept)), kept


def series(X):
    """Spectrograms (Q, m', n) as series (m', Q, n), and that all of their frames are valid."""
    return X.transpose(1, 0, 2), np.ones((X.shape[0], X.shape[2]), dtype=bool)


def indices(network, X):
    """Detection index (4.3.30) of each component in recordings (Q, m', n); NaN where the network gives no number."""
    _, valid = series(X)
    return network.shown(network.features(*series(X)), valid)[0]


def decided(index, limits):
    """The component detected (4.3.32), 0 for none."""
    return decide(index, np.zeros(index.shape, int), limits).event


def quiet(number, bands, count=QUIET):
    """Spectrograms of recordings without a hit that no network has seen."""
    recorder = Recorder(CHAINS[number], bands, np.random.default_rng([SEED + 1, number]))
    return recorder.recordings(np.zeros((count, 1), int), np.full(count, np.nan), []).X


def both(index, limits, component):
    """Whether the components (Q, 2) of pairs of hits are the two with the largest indices, and above the thresholds."""
    largest = np.sort(np.argsort(index, axis=0)[-2:] + 1, axis=0).T
    above = np.take_along_axis(index > limits[:, None], np.sort(component, axis=1).T - 1, axis=0).all(axis=0)
    return (largest == np.sort(component, axis=1)).all(axis=1) & above


def share(right):
    return f"{int(np.sum(right))} of {len(right)}"


def changed(network):
    """How many discriminative layers have learned: 1 % of the entries that are not zero, by 1 % or more."""
    start = network.network.own_layer.start(network.network.optimal)
    learned = [(~((own / start)[start > 0].log().abs() < 0.01)).float().mean() >= 0.01 for own in network.network.own]
    return share(np.array(learned))


def finite(loss):
    """A loss, or in words that it is none."""
    return loss if loss is None or np.isfinite(loss) else "not finite"


def drawn(number, bands):
    """Hits (Q, m', n) that no network has seen, their component and ratio."""
    made = [dataset(number, seed=SEED + 1 + draw, snrs=LEVELS[number], bands=bands) for draw in range(DRAWS)]
    return (np.concatenate([getattr(one, name)[one.mass > 0] for one in made]) for name in ("X", "component", "snr"))


def measured(number, bands, names):
    """Rows by network and threshold, by component and level, and of what the thesis states."""
    data, noise = dataset(number, bands=bands), quiet(number, bands)
    hits, component, snr = drawn(number, bands)
    two = [pairs(seed, bands=bands) for seed in range(PAIRS)] if number == 2 else []
    loud, faint = data.snr >= -20, (data.snr < -20) & (data.snr >= -30)
    rates, parts, said = [], [], []
    for name in names:
        start = time.perf_counter()
        network, before, after, kept = build(NETWORKS[name], number, data)
        own, found, false = (indices(network, X) for X in (data.X, hits, noise))
        about = {"data set": number, "bands": bands, "network": name}
        for rule in RULES:
            limits = thresholds(own[:, data.mass == 0], rule)
            right = decided(found, limits) == component
            rates.append({**about, "threshold": rule, ">= -20 dB": float(right[snr >= -20].mean()),
                          **{f"{level} dB": float(right[snr == level].mean()) for level in (-30, -40, -50)},
                          "false alarms": float((decided(false, limits) > 0).mean()), "loss untrained": finite(before),
                          "loss": finite(after), "epoch": kept,
                          "changed": changed(network) if network.network.C else None})
        limits = thresholds(own[:, data.mass == 0], "mean")
        right = decided(own, limits) == data.component
        shown = decided(found, limits) == component
        if name in COARSE:
            parts += [{**about, "component": int(one),
                       **{f"{level} dB": float(shown[(snr == level) & (component == one)].mean())
                          if level in LEVELS[number] else None for level in LEVELS[2]}} for one in np.unique(component)]
        row = {**about, "hits from -20 dB on": share(right[loud]), "hits at -30 or -28 dB": share(right[faint]),
               "pairs": None, "pairs, all draws": None, "thesis": STATED.get((number, name))}
        if two:
            right = np.array([both(indices(network, one.X[:5]), limits, one.component[:5]) for one in two])
            row |= {"pairs": share(right[0]), "pairs, all draws": share(right.ravel())}
        said.append(row)
        print(number, bands, name, f"{time.perf_counter() - start:.0f} s", rates[-2], row, file=sys.stderr, flush=True)
    return rates, parts, said


def main():
    made = [measured(number, bands, list(NETWORKS) if bands == BANDS[0] else COARSE)
            for number in CHAINS for bands in BANDS]
    rates, parts, said = ([row for rows in kind for row in rows] for kind in zip(*made))
    record("events_hits", "Hits in a chain of masses: what each idea of PAD-NMF does", rates, SEED, NOTES)
    record("events_hits_components", "Hits in a chain of masses, by component and signal-to-noise ratio", parts, SEED,
           NOTES)
    record("events_hits_thesis", "Hits in a chain of masses, beside what the thesis states", said, SEED, NOTES)


if __name__ == "__main__":
    main()
