"""ReDSUNN, Table III's stand-in: every multitemporal method on a semi-real Lake Tahoe whose fractions are known."""

from harness import record
from sequences import LABELS, figures

SEED = 0
PAPER = {"fcls": (0.321, 16.1), "ou": (0.058, 92.5), "hbun": (0.054, 3381.9), "kalman": (0.185, 4607.7),
         "redsunn": (0.114, 2857.2)}

if __name__ == "__main__":
    rows = []
    for name, label in LABELS.items():
        found, paper = figures("Tahoe", name, SEED), PAPER.get(name, (None, None))
        rows.append({"method": label, "NRMSE_Y": round(found["NRMSE_Y"], 3), "paper's NRMSE_Y": paper[0],
                     "NRMSE_A": round(found["NRMSE_A"], 3), "NRMSE_M": round(found["NRMSE_M"], 3),
                     "SAM_M": round(found["SAM_M"], 3), "time (s)": round(found["time (s)"], 1),
                     "paper's time": paper[1]})
        print(rows[-1], flush=True)
    record("multitemporal_tahoe", "Multitemporal unmixing: a semi-real Lake Tahoe", rows, SEED, notes=(
        "Six dates of 150 x 110 pixels and 173 bands. The paper's AVIRIS images are not at hand: fractions are a "
        "published map of the place in which the lake withdraws and two crop circles grow and are cut, spectra are "
        "mixtures of real bundles that differ from date to date and from pixel to pixel, and noise is at 30 dB. So its "
        "figures are not the paper's, and fractions can be judged as well."))
