"""Reduction of uncertainty (4.3.33-39) on events in rasters, in the form of the thesis's Table 3."""

import os

for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

import numpy as np
import torch
from eventing import METHODS, Scene, figures, network
from harness import record

from subpixel.algorithms.events.detection import Uncertainty, decide, thresholds
from subpixel.algorithms.events.network import Settings

SEEDS = range(3)
STRENGTH, PIXELS = 0.4, 4000
NOISE = {None: "none", 2: "normal (beta = 2)", 1: "Poisson (beta = 1)", 0: "Gamma (beta = 0)"}
THESIS = {2: ("68/89/100 (86)", "32/11/0 (14)", "96", "1/1/3 (4)"),
          1: ("54/89/75 (73)", "46/11/25 (27)", "96", "3/0/1 (4)"),
          0: ("82/96/100 (93)", "18/4/0 (7)", "97", "2/0/1 (3)")}
HEADS = "true positives", "false negatives", "true negatives", "false positives"


def counted(event, label):
    """
    Shares in percent: of each class's pixels those detected as that class and those not, and of event-free pixels those
    left alone and those detected as each class.
    """
    classes = range(1, label.max() + 1)
    right = [100 * (event[label == k] == k).mean() for k in classes]
    false = [100 * (event[label == 0] == k).mean() for k in classes]
    overall = 100 * (event == label)[label > 0].mean()
    return right, [100 - share for share in right], [*false], overall, 100 - sum(false)


def printed(runs):
    """The means of several `counted` as the thesis prints them."""
    right, missed, false, overall, quiet = (np.mean(part, axis=0) for part in zip(*runs))

    def of_classes(shares, total):
        return "/".join(f"{share:.0f}" for share in shares) + f" ({total:.0f})"
    return of_classes(right, overall), of_classes(missed, 100 - overall), f"{quiet:.0f}", of_classes(false, 100 - quiet)


def decisions(model, index, date, learned, label, beta):
    """Classes detected from indices (C, Q) with one treatment of uncertainty, all from the same trained network."""
    if beta is not None:
        uncertainty = Uncertainty.learn(learned, label, beta)
        learned, index = uncertainty.latent(learned), uncertainty.latent(index)
    return decide(index, date, thresholds(learned[:, label == 0], model.settings.threshold)).event


def main():
    torch.set_num_threads(1)
    found, scores = {}, {}
    for seed in SEEDS:
        scene = Scene(STRENGTH, seed, pixels=PIXELS)
        X, valid, label, _ = scene.samples
        tested, seen, truth, _ = scene.tested
        for method in ("PAD-NMF", "Deep-NMFD"):
            model, _, _ = network(METHODS[method], scene, Settings(), seed)
            learned, _ = model.shown(model.features(X, valid), valid)
            index, date = model.shown(model.features(tested, seen), seen)
            for beta in NOISE:
                event = decisions(model, index, date, learned, label, beta)
                found.setdefault((method, beta), []).append(counted(event, truth))
                scores.setdefault((method, beta), []).append(figures(event, scene)["F1"])
            print(seed, method, flush=True)
    rows = [{"method": method, "errors of indices": NOISE[beta], **dict(zip(HEADS, printed(runs))),
             "F1": float(np.mean(scores[method, beta])), **dict.fromkeys(f"thesis: {head}" for head in HEADS)}
            for (method, beta), runs in found.items()]
    for row in rows:
        beta = next(beta for beta, text in NOISE.items() if text == row["errors of indices"])
        if beta in THESIS:
            row.update(zip((f"thesis: {head}" for head in HEADS), THESIS[beta]))
    record("events_uncertainty", "Reduction of uncertainty on events in rasters", rows, f"{SEEDS[0]} to {SEEDS[-1]}",
           f"Shares in percent of the scenes of events_rasters.py at strength {STRENGTH}: {PIXELS} pixels that are no "
           f"samples, 10 samples of each class and 30 without an event. True positives and false negatives: of the "
           f"pixels of each class (abrupt/plateau/gradual, all together in brackets), where another class counts as "
           f"missed. True negatives and false positives: of the pixels without an event. One network for all rows of "
           f"a method and seed; thresholds and A come from the samples that it was trained on. p = 0.25. "
           f"The thesis's figures are of another task, PAD-NMF on piano notes in music (C4/E4/G4), and it gives none "
           f"without the reduction.")


if __name__ == "__main__":
    main()
