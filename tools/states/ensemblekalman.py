"""The tool `ensemblekalman`."""

from ...engine.declare import Integer, Real
from .. import _shared
from ._model import within
from ._states import SMOOTH, NonlinearStatesTool


class EnsembleKalman(NonlinearStatesTool):
    """Series of images without noise and gaps, and forecasts, also where values grow towards a limit.

    Where the dynamics are not linear, as in logistic growth, no Kalman filter is exact. Here each pixel has an ensemble
    of possible states, which all go on by the dynamics and by random steps of their own; every image then corrects them
    by a gain that follows from how they spread. Their mean is the estimate and their spread its uncertainty. A smoother
    of the ensemble takes later images back to earlier dates, so that gaps are filled from both sides.

    For linear dynamics the result tends to that of the Kalman filter as members are added: with a hundred, means are
    off by about a twentieth of their standard deviation and standard deviations by 4 %. Logistic states stay between 0
    and the capacity.

    All pixels share the random numbers, so that the maps have no speckle of chance and a part of an image gives the
    same as the whole.

    How fast the state changes and how noisy an image is are estimated or given as for the Kalman filter; for logistic
    growth, the random steps are also how far the true rates may be from the one given. Logistic dynamics need values
    (QUANTITY); of fractions, a local linear trend is logistic already."""

    id = "ensemblekalman"
    label = "Ensemble Kalman filter and smoother"
    tags = (*NonlinearStatesTool.tags, "EnKF", "ensemble Kalman filter", "Monte Carlo", "logistic growth", "nonlinear",
            "data assimilation", "smoother")
    citation = ("G. Evensen, Sequential data assimilation with a nonlinear quasi-geostrophic model using Monte Carlo "
                "methods, Journal of Geophysical Research 99, 1994; P. N. Raanes, On the ensemble Rauch-Tung-Striebel "
                "smoother and its equivalence to the ensemble Kalman smoother, Quarterly Journal of the Royal "
                "Meteorological Society 142, 2016; G. Chinellato, Deep Unfolding, PhD thesis, University of Padova, "
                "2026, section 5.4.1")
    prefer = ("For growth or decay towards a limit, at a rate that is known roughly: its forecasts had about half the "
              "error of the Kalman filter there. For other dynamics the Kalman filter is exact and faster; for rates "
              "that are not known, take the deep Kalman filter.")
    doi = ("10.1029/94JC00572", "10.1002/qj.2728")

    members = Integer("MEMBERS", "Members of the ensemble", default=100, minimum=3, maximum=100000, help="How many "
                      "possible states each pixel has: more than the model has states and observed bands together, 3 "
                      "to 100000. Time grows with it, errors of chance fall with its root. Default 100.")
    inflation = Real("INFLATION", "Inflation", default=1.0, minimum=1.0, maximum=10.0, advanced=True, help="By which "
                     "factor the members are spread after every step, 1 (not at all) to 10: where dynamics are wrong, "
                     "it keeps the ensemble from trusting them. Default 1.")
    smooth = SMOOTH
    seed = _shared.SEED

    def prepare(self, job, sequence, model):
        import numpy as np

        from ...algorithms.state_estimation.ensemble import estimate
        from ...algorithms.state_estimation.model import restart
        days, seed, keep = model.days[model.observed], job.value(self.seed), within(job, self)

        def estimate_block(Y, valid):
            y = model.series(Y, valid)
            found = [estimate(part, days, restart(each, part), job.value(self.members),
                              np.random.default_rng([seed, number]), at=model.days, smoothed=job.value(self.smooth),
                              inflation=job.value(self.inflation), keep=keep)
                     for number, (part, each) in enumerate(zip(model.split(y), model.components))]
            values, sd = model.back(*(np.concatenate([getattr(one, name) for one in found], axis=-1)
                                      for name in ("mean", "variance")))
            return values, sd, {}
        return estimate_block
