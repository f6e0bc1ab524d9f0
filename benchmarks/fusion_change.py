"""From how much change on a method that allows for it fuses better: what fusepair's threshold rests on."""

import numpy as np
from fusing import figures, results
from fusion_scenes import NAMES, potsdam
from harness import record

from subpixel.algorithms.fusion.ll1 import map_rank
from subpixel.tools.fusion.fusepair import CHANGED, TERMS

SEEDS, CHANGES, R = (0, 1, 2), (0, 0.15, 0.3, 0.6, 0.9), 8
METHODS = ("hysure", "btdvar_prior", "cnnbtdvar_prior", "fuvar", "glphs", "cbstar", "cnmf")
STABLE = NAMES["hysure"]


def relative_change(pair):
    """sqrt(mean over the MSI's bands of |P3 Y_H - P Y_M|^2 / |P3 Y_H|^2): what the HSI and the blurred MSI differ."""
    seen = np.tensordot(pair.P3, pair.hsi, 1)
    gap = np.square(seen - pair.degrade(pair.msi)).sum(axis=(1, 2)) / np.square(seen).sum(axis=(1, 2))
    return float(np.sqrt(gap.mean()))


def measured(change, swap, seed, names=METHODS):
    """A row: the relative change, and the R-SNR of every method."""
    pair, Z, _ = potsdam(seed=seed, change=change, swap=swap)
    settings = {"hysure": {"rank": 10}, "btdvar_prior": {"R": TERMS, "L": map_rank(pair, TERMS)},
                "cnnbtdvar_prior": {"R": R, "L": map_rank(pair, R)}}
    row = {"relative change": round(relative_change(pair), 4), "spectra": change, "field": "yes" if swap else "no",
           "seed": seed}
    for name, label, _, cube, _ in results(pair, settings, 1, names):
        if name:
            row[label] = figures(Z, cube, 4)["R-SNR"]
    return row


def costs(rows, variable, thresholds):
    """Mean and largest dB (n, 2) by which HySure up to a threshold and `variable` beyond it miss the better of both."""
    lost = np.array([[max(row[STABLE], row[variable]) - row[variable if row["relative change"] > at else STABLE]
                      for row in rows] for at in thresholds])
    return np.stack([lost.mean(axis=1), lost.max(axis=1)], axis=1)


def crossing(rows, variable):
    """In words: from where on the method `variable` is the better one, and what thresholds cost."""
    better = [row[variable] > row[STABLE] for row in rows]
    x = [row["relative change"] for row in rows]
    worse = [at for at, one in zip(x, better) if not one]
    thresholds = sorted({0.0, *x})
    lost = costs(rows, variable, thresholds)
    best = int(lost[:, 0].argmin())
    mean, most = costs(rows, variable, [CHANGED])[0]
    until = f" to {thresholds[best + 1]:.2f}" if best + 1 < len(thresholds) else " or more"
    return (f"{variable} is better in {sum(better)} of {len(rows)} pairs" + (
        f", in all beyond {max(worse):.2f} and in {'some' if any(better[:x.index(max(worse))]) else 'none'} before"
        if worse else "") + f". A threshold of {CHANGED:g} loses {mean:.2f} dB on average and {most:.2f} at most; the "
        f"best, {thresholds[best]:.2f}{until}, {lost[best, 0]:.2f} on average.")


def notes(rows):
    kinds = {"Spectra alone": [row for row in rows if row["field"] == "no"],
             "With a field besides": [row for row in rows if row["field"] == "yes"], "All pairs": rows}
    words = "\n".join(f"- {kind}: {crossing(some, NAMES[name])}"
                      for name in METHODS[1:3] for kind, some in kinds.items())
    changed = [row for row in rows if row["relative change"] > CHANGED]
    means = ", ".join(f"{NAMES[name]} {np.mean([row[NAMES[name]] for row in changed]):.2f}" for name in METHODS)
    return f"{NOTES}\n\n{words}\n\nMean R-SNR of the {len(changed)} pairs beyond {CHANGED:g}: {means}."


def main():
    rows = sorted((measured(change, swap, seed) for change in CHANGES for swap in (False, True) for seed in SEEDS),
                  key=lambda row: row["relative change"])
    record("fusion_change", "How much change decides for a method that allows for it, on EnMAP Potsdam", rows,
           "0 to 2", notes(rows))


NOTES = f"""R-SNR in dB of each method by the relative change of the pair: the root of the mean over the MSI's bands \
of |P3 Y_H - P Y_M|^2 / |P3 Y_H|^2, with P the true blur and sampling. fusepair measures it so, and takes HySure up to \
{CHANGED:g} and BTD-Var beyond. Pairs as in fusion_variability.py: the MSI's spectra are multiplied by smooth \
functions within 1 - "spectra" and 1 + "spectra", and where "field" is yes one material gives way to another in 12 x \
16 of the 64 x 128 pixels. Noise of 30 dB on both counts as change. HySure with 10 dimensions, BTD-Var with R = \
{TERMS} and CNN-BTD-Var with R = {R} terms, each of the rank that `ll1.map_rank` gives, both with the interpolated \
HSI as prior; all else defaults, one thread. To lose is to be below the better of HySure and the method named. This is \
one scene, and fusepair's threshold rests on it: on another they may cross elsewhere."""


if __name__ == "__main__":
    main()
