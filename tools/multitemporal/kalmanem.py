"""The tool `kalmanem`."""

from ...engine.declare import Flag, Real
from .. import _shared
from . import _sequence


class KalmanExpectationMaximisation(_sequence.SequenceTool):
    """Fractions at every date, with endmembers that drift as a Kalman filter and smoother follow them.

    In each band, an endmember is its reference times a factor that takes a random step from one date to the next.
    Filter and smoother find the factors of all dates from all pixels, expectation maximisation (EM) what else the model
    needs; fractions are then fully constrained least squares with each date's endmembers.

    While the endmembers are learned, fractions are taken for constant in time: where much of the ground changes, large
    steps of the factors would follow the fractions instead. The steps' variance is therefore small and held by
    default. The published method learns it and all else freely: a variance of 0.1 that is learned, 1 at the start,
    fractions without bounds, white noise.

    A pixel that is nodata at a date gets there the fractions that fit its other dates, as if they had not changed. The
    uncertainty leaves out what the spectra of one date differ between pixels, and is then too small."""

    id = "kalmanem"
    label = "Kalman filter and expectation maximisation"
    tags = (*_sequence.SequenceTool.tags, "Kalman filter", "smoother", "EM", "state space", "spectral variability",
            "gap filling", "uncertainty")
    citation = ("Borsoi, Imbiriba, Closas, Bermudez and Richard, Kalman filtering and expectation maximization for "
                "multitemporal spectral unmixing, IEEE Geoscience and Remote Sensing Letters 19, 2022")
    prefer = ("Where the ground hardly changes and the spectra drift from date to date. Where fractions change much, "
              "it was the least accurate in our measurements: take FCLS or OU.")

    settle = _sequence.SETTLE
    Q = Real("STEPVARIANCE", "Variance of a step (Q)", default=3e-6, minimum=1e-12, maximum=1e3, help="Variance of the "
             "step that the factor of an endmember in a band takes between two dates, above 0; the factors are about "
             "1. Default 0.000003; published 0.1, as a start.")
    learn_Q = Flag("LEARNQ", "Learn the variance of the steps", default=False, help="Let EM estimate the steps' "
                   "variance, by band, instead of holding it. Default no; published yes.")
    P0 = Real("STARTVARIANCE", "Variance before the first date (P0)", default=0.1, minimum=1e-12, maximum=1e3,
              advanced=True, help="Variance of the factors before the first date, above 0: how far all dates together "
              "may be from the reference. EM refreshes it. Default 0.1; published 1.")
    sigma = Real("NOISE", "Noise to start with", default=0.01, minimum=1e-9, maximum=10.0, advanced=True,
                 help="Standard deviation of the noise as a share of the largest value of the reference, above 0. EM "
                      "refreshes it. Default 0.01, as published.")
    sum_to_one = Flag("CONSTRAINED", "Fractions bounded while learning", default=True, advanced=True, help="Fractions "
                      "are not negative and sum to one also while the endmembers are learned. Default yes; published "
                      "no. The result's fractions do in any case.")
    coloured = Flag("COLOURED", "Weigh bands by what remains", default=True, advanced=True, help="At the end weigh the "
                    "bands by the covariance of what remains of the images, which spectra that vary between pixels "
                    "leave smooth over the bands. Otherwise all bands count alike. Default yes; published no.")
    iterations = _shared.iterations(100, " (published 5)")
    tolerance = Real("TOLERANCE", "Tolerance", default=3e-5, minimum=0.0, maximum=1.0, advanced=True, help="It has "
                     "settled when an iteration raises the log-likelihood by less than this for each value of the "
                     "images that is learned from, 0 to 1. Default 0.00003, which takes some 15 to 80 iterations.")
    uncertainty = _sequence.UNCERTAINTY
    uncertainty_layers = _sequence.UNCERTAINTY_LAYERS
    dated_endmembers = _sequence.DATED_ENDMEMBERS

    def method(self, job, sequence, spectra):
        from ...algorithms.multitemporal.kalmanem import learn
        rounds = job.value(self.iterations)

        def follow(iteration, cost):
            job.progress(iteration, rounds + 1)

        if job.value(self.settle):
            spectra, _ = self.settled(job, sequence, spectra)
        Y, valid = self.learning_pixels(job, sequence)
        model = learn(Y, spectra.M, valid, iterations=rounds, callback=follow,
                      **{name: job.value(getattr(self, name)) for name in ("Q", "P0", "sigma", "learn_Q", "sum_to_one",
                                                                           "coloured", "tolerance")})
        job.progress(1, 1)   # it may settle early, and what it does after the last round takes time too
        _sequence.settled(job, model.converged, len(model.costs) - 1)   # the first is that of the start
        self.give_endmembers(job, sequence, spectra, model.M)

        def unmix(Y, valid, positions):
            A, sd = model.unmix(Y, valid)
            return _sequence.Block(A, _sequence.residual(Y, A, model.M), {self.uncertainty.name: sd})
        return unmix
