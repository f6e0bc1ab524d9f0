"""The tool `onlineunmixing`."""

from ...engine.declare import Real
from .. import _shared
from . import _sequence


class OnlineUnmixing(_sequence.SequenceTool):
    """Fractions at every date, with one set of endmembers for all dates and a small departure from it at each.

    Online unmixing (OU) goes through the images again and again, one at a time, in random order. The endmembers are
    those that fit all dates seen so far; a date's own may depart from them by a bounded amount, as light, season or
    calibration make them. Fractions are then fully constrained least squares with each date's endmembers.

    It is fast and needs one image at a time. It takes a date's endmembers for the same in all of its pixels. The
    reference endmembers are where it starts."""

    id = "onlineunmixing"
    label = "Online unmixing of a sequence (OU)"
    tags = (*_sequence.SequenceTool.tags, "OU", "online", "perturbed linear mixing model", "spectral variability")
    citation = ("Thouvenin, Dobigeon and Tourneret, Online unmixing of multitemporal hyperspectral images accounting "
                "for spectral variability, IEEE Transactions on Image Processing 25(9), 2016")
    prefer = ("Where light, season or calibration change all spectra of a date together. Where spectra vary within an "
              "image too, take ReDSUNN.")
    doi = ("10.1109/TIP.2016.2579309",)

    sigma = Real("SIGMA", "Largest departure of a date (sigma)", default=0.02, minimum=0.0, maximum=10.0,
                 help="How far the endmembers of a date may depart from those of all dates, as a share of the norm of "
                      "the reference endmembers, 0 to 10; 0: the same at all dates. Default 0.02.")
    kappa = Real("KAPPA", "Largest mean departure (kappa)", default=0.01, minimum=0.0, maximum=10.0,
                 help="How far the mean of the departures of all dates may be from zero, as a share of the same norm, "
                      "0 to 10. Default 0.01.")
    beta = Real("BETA", "Closeness of the endmembers (beta)", default=0.002, minimum=0.0, maximum=1e6,
                help="How strongly endmembers are drawn together, which keeps them from lying far outside the data, 0 "
                     "or more. No unit. Default 0.002.")
    alpha = Real("ALPHA", "Smoothness of the fractions in time (alpha)", default=0.0, minimum=0.0, maximum=1e6,
                 advanced=True, help="Weight of the squared differences of fractions from date to date while the "
                 "endmembers are learned, 0 or more. No unit. Default 0.")
    gamma = Real("GAMMA", "Smoothness of the departures in time (gamma)", default=0.0, minimum=0.0, maximum=1e6,
                 advanced=True, help="Weight of the squared differences of departures from date to date, 0 or more. No "
                 "unit. Default 0.")
    rho = Real("RHO", "Forgetting factor (rho)", default=0.98, minimum=0.01, maximum=1.0, advanced=True,
               help="What an image seen earlier counts at the next visit, 0.01 to 1; 1 forgets nothing. Default 0.98.")
    epochs = _shared.iterations(50)
    dated_endmembers = _sequence.DATED_ENDMEMBERS

    def method(self, job, sequence, spectra):
        from ...algorithms.multitemporal.onlineunmixing import onlineunmixing
        epochs = job.value(self.epochs)

        def follow(epoch, cost):
            job.progress(epoch, epochs + 1)

        Y, valid = self.learning_pixels(job, sequence)
        found = onlineunmixing(Y, spectra.M, valid, epochs=epochs, seed=job.value(self.seed), callback=follow,
                               **{name: job.value(getattr(self, name)) for name in ("sigma", "kappa", "alpha", "beta",
                                                                                    "gamma", "rho")})
        job.progress(1, 1)   # it may settle early
        _sequence.settled(job, found.converged, len(found.costs))
        return self.by_date(job, sequence, spectra, found.M)
