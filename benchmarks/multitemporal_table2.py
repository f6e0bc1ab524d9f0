"""ReDSUNN, Table II: every multitemporal method on DS1 and DS2, five seeds, default settings."""

import json
import sys

import numpy as np
from harness import RESULTS, record
from sequences import LABELS, figures

SEEDS = range(5)
PAPER = {   # NRMSE_A, NRMSE_M, SAM_M, NRMSE_Y, seconds
    "DS1": {"fcls": (0.537, None, None, 0.086, 2.7), "ou": (0.434, 0.342, 0.260, 0.051, 24.9),
            "hbun": (0.479, 0.355, 0.162, 0.050, 542.6), "kalman": (0.356, 0.124, 0.076, 0.061, 2422.8),
            "redsunn": (0.318, 0.117, 0.075, 0.089, 479.0)},
    "DS2": {"fcls": (0.500, None, None, 0.122, 7.3), "ou": (0.335, 0.256, 0.120, 0.055, 60.6),
            "hbun": (0.474, 0.515, 0.141, 0.050, 2166.0), "kalman": (0.659, 12.222, 0.496, 0.108, 5937.4),
            "redsunn": (0.294, 0.203, 0.289, 0.160, 1231.3)}}


def row(scene, name, found, base):
    """One line of the table: means over the seeds, and ratios of NRMSE_A and time to FCLS in the same run."""
    mean = {key: float(np.mean([figure[key] for figure in found])) for key in found[0]}
    ratios = [figure["NRMSE_A"] / other["NRMSE_A"] for figure, other in zip(found, base)]
    paper = PAPER[scene].get(name)
    baseline = PAPER[scene]["fcls"]
    return {"sequence": scene, "method": LABELS[name], "NRMSE_A": round(mean["NRMSE_A"], 3),
            "paper's": paper and paper[0], "/ FCLS, mean": round(float(np.mean(ratios)), 2),
            "worst seed": round(max(ratios), 2),
            "/ FCLS, of the means": round(mean["NRMSE_A"] / float(np.mean([f["NRMSE_A"] for f in base])), 2),
            "paper's ratio": paper and round(paper[0] / baseline[0], 2),
            "NRMSE_M": round(mean["NRMSE_M"], 3), "paper's NRMSE_M": paper and paper[1],
            "SAM_M": round(mean["SAM_M"], 3), "paper's SAM_M": paper and paper[2],
            "NRMSE_Y": round(mean["NRMSE_Y"], 3), "paper's NRMSE_Y": paper and paper[3],
            "time (s)": round(mean["time (s)"], 2), "paper's time": paper and paper[4],
            "time / FCLS": round(mean["time (s)"] / float(np.mean([f["time (s)"] for f in base])), 1),
            "seeds": " ".join(f"{figure['NRMSE_A']:.3f}" for figure in found)}


if __name__ == "__main__":
    names = sys.argv[1:] or list(LABELS)   # of some methods: the others' lines stay as they are
    kept = RESULTS / "multitemporal_table2.json"
    rows = [line for line in json.loads(kept.read_text())["rows"] if line["method"] not in map(LABELS.get, names)] \
        if sys.argv[1:] and kept.exists() else []
    for scene in PAPER:
        base = [figures(scene, "fcls", seed) for seed in SEEDS]
        for name in names:
            found = base if name == "fcls" else [figures(scene, name, seed) for seed in SEEDS]
            rows.append(row(scene, name, found, base))
            print(rows[-1], flush=True)
    rows.sort(key=lambda line: (line["sequence"], line["NRMSE_A"]))
    record("multitemporal_table2", "Multitemporal unmixing: DS1 and DS2", rows, seed="0 to 4", notes=(
        "Each sequence's rows in the order of NRMSE_A. Every seed draws another sequence: on DS1 other spectra of "
        "the USGS library (at least 15 degrees apart), maps, changes and factors; on DS2 other maps and draws of "
        "pure pixels. Settings are the tools' defaults; they were looked for on seed 0, but not blindly: figures of"
        " the other seeds had been seen when those of OU, HBUN's stand-in, Kalman-EM and the settled endmembers "
        "were chosen. The paper has one realisation of each, whose maps and spectra are not at hand: compare "
        "ratios. NRMSE_A is after the best assignment for all dates; times include the search for endmembers, and "
        "run on one thread."))
