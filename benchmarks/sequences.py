"""What the benchmarks of multitemporal unmixing share: every method on a sequence, and its figures."""

import sys
import time

import numpy as np
from harness import ROOT

sys.path.append(str(ROOT / "tests" / "algorithms"))

from sequence_scenes import data_sequence_1, data_sequence_2, tahoe

from subpixel.algorithms.multitemporal.fclssequence import fclssequence
from subpixel.algorithms.multitemporal.hbun import hbun
from subpixel.algorithms.multitemporal.kalmanem import BOUNDED, kalmanem
from subpixel.algorithms.multitemporal.onlineunmixing import onlineunmixing
from subpixel.algorithms.multitemporal.redsunn import train
from subpixel.algorithms.multitemporal.sequence import (best_order, nrmse, nrmse_endmembers, reconstruct, reference,
                                                        sam_endmembers, settled)

SCENES = {"DS1": lambda seed: (data_sequence_1(seed)[1], 3, (50, 50)),
          "DS2": lambda seed: (data_sequence_2(seed), 4, (50, 50)),
          "Tahoe": lambda seed: (tahoe(seed), 3, (150, 110))}
LABELS = {"fcls": "FCLS, VCA per date", "fcls_reference": "FCLS, VCA on all dates", "ou": "OU",
          "fcls_settled": "FCLS, settled endmembers, weighted bands", "hbun": "HBUN's stand-in", "kalman": "Kalman-EM",
          "kalman_published": "Kalman-EM, as published", "redsunn": "ReDSUNN"}


SETTINGS = {}   # what differs from the defaults, by sequence and method: chosen on seed 0
bounds = []   # of ReDSUNN's runs so far


def redsunn_bound():
    """The evidence bound per pixel that ReDSUNN's last run ended with."""
    return bounds[-1]


def unmixed(name, s, P, shape, M0, seed, draws=0, **settings):
    """
    Abundances, endmembers (T, L, P) or (T, P, L, N), and the abundances' standard deviation or None, by a method.

    ReDSUNN's is taken from so many `draws`, none by default.
    """
    if name == "fcls":
        found = fclssequence(s.Y, P, np.random.default_rng(seed))
    elif name == "fcls_reference":
        found = fclssequence(s.Y, M=M0)
    elif name == "fcls_settled":
        start = settled(s.Y, M0)
        found = fclssequence(s.Y, M=start.M, R=start.R)
    elif name == "ou":
        found = onlineunmixing(s.Y, M0, seed=seed, **settings)
    elif name == "hbun":
        found = hbun(s.Y, M0, shape, seed=seed, **settings)
    elif name == "kalman":
        found = kalmanem(s.Y, settled(s.Y, M0).M, iterations=100, tolerance=3e-5, **{**BOUNDED, **settings})
    elif name == "kalman_published":
        found = kalmanem(s.Y, M0, **settings)
    else:
        model = train(s.Y, M0, seed=seed, **settings)
        bounds.append(model.costs[-1])
        found = model.unmix(s.Y)
        sd = model.uncertainty(s.Y, draws=draws, seed=seed) if draws else None
        return found.A, model.endmembers(found.psi), sd
    return found.A, found.M, found.sd


def figures(scene, name, seed, **settings):
    """
    One method on one sequence: NRMSE of A, M, Y, SAM of M (radians), and seconds, endmembers' start included.

    `settings` go before those of `SETTINGS`.
    """
    s, P, shape = SCENES[scene](seed)
    start = time.perf_counter()
    M0 = None if name == "fcls" else reference(s.Y, P, np.random.default_rng(seed))
    A, M, _ = unmixed(name, s, P, shape, M0, seed, **{**SETTINGS.get((scene, name), {}), **settings})
    seconds = time.perf_counter() - start
    fit = nrmse(s.Y, reconstruct(A, M))
    order = best_order(s.A, A)
    M = M[:, order] if M.ndim == 4 else M[:, :, order]
    return {"NRMSE_A": nrmse(s.A, A[:, order]), "NRMSE_M": nrmse_endmembers(s.M, M),
            "SAM_M": sam_endmembers(s.M, M), "NRMSE_Y": fit, "time (s)": seconds}
