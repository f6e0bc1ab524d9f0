"""The tool `hbun`."""

from ...engine.declare import Integer, Real
from . import _sequence


class HierarchicalBayesianUnmixing(_sequence.SequenceTool):
    """Fractions at every date with their uncertainty, smooth in space and in time, drawn from their posterior.

    A stand-in for HBUN, of which only the outlines are known here: a hierarchical Bayesian model of a sequence whose
    endmembers vary smoothly over the bands from date to date, and whose fractions are like those of the neighbouring
    pixels and dates. What the method leaves open is Subpixel's own; do not quote its results as HBUN's.

    Gibbs sampling draws fractions, endmembers and all weights in turn, each given the rest. The result is the mean of
    the draws after the burn-in, the uncertainty their standard deviation. A pixel that is nodata at a date is drawn
    from its neighbours in space and time.

    The whole sequence is held in memory."""

    id = "hbun"
    label = "Hierarchical Bayesian unmixing of a sequence (stand-in for HBUN)"
    tags = (*_sequence.SequenceTool.tags, "HBUN", "Bayesian", "Gibbs", "MCMC", "uncertainty", "spatial", "gap filling",
            "denoise")
    citation = ("After the outlines of Liu, Lu, Wu, Du, Chanussot and Wei, Bayesian unmixing of hyperspectral image "
                "sequence with composite priors for abundance and endmember variability, IEEE Transactions on "
                "Geoscience and Remote Sensing 60, 2022; the model's details are Subpixel's own")
    prefer = ("For noisy images whose fractions are smooth in space and time, where uncertainties are wanted. FCLS "
              "with one set of endmembers for all dates was more accurate on all sequences that we measured.")

    sweeps = Integer("SWEEPS", "Sweeps", default=200, minimum=2, maximum=1000000, help="How often everything is drawn, "
                     "those at the start included that do not count, 2 to 1000000. Default 200.")
    burn_in = Integer("BURNIN", "Burn-in", default=100, minimum=0, maximum=999999, help="How many sweeps at the start "
                      "do not count, fewer than all. Default 100.")
    closeness = Real("CLOSENESS", "Closeness of the endmembers", default=0.005, minimum=0.0, maximum=1e6,
                     help="How strongly endmembers are drawn together, against one for each pixel, 0 or more: it keeps "
                          "them from leaving the data. The default, 0.005, is for spectra that differ by some ten per "
                          "cent from pixel to pixel; with pure pixels and spectra that hardly differ, 0 is better.")
    smoothness = Real("SMOOTHNESS", "Smoothness over the bands", default=100.0, minimum=0.0, maximum=1e9,
                      advanced=True, help="Departures of a date's endmembers are smooth over about the square root of "
                      "this many bands, 0 or more. Default 100.")
    spatial = Real("SPATIAL", "Weight of the neighbours in space", optional=True, minimum=0.0, maximum=1e9,
                   advanced=True, help="Precision of the difference of fractions between neighbouring pixels, 0 or "
                   "more: 100 stands for differences of 0.1. Empty: drawn with all else.")
    temporal = Real("TEMPORAL", "Weight of the neighbours in time", optional=True, minimum=0.0, maximum=1e9,
                    advanced=True, help="Precision of the difference of fractions between successive dates, 0 or more. "
                    "Empty: drawn with all else.")
    uncertainty = _sequence.UNCERTAINTY
    uncertainty_layers = _sequence.UNCERTAINTY_LAYERS
    dated_endmembers = _sequence.DATED_ENDMEMBERS
    example = {"IMAGES": "images", "COUNT": 3, "SWEEPS": 40, "BURNIN": 20}

    def passes(self, job):
        return 4 if job.value(self.endmembers) is None else 3   # looking for them, reading, sampling, and writing

    def method(self, job, sequence, spectra):
        from ...algorithms.multitemporal.hbun import hbun
        from ...engine.memory import need
        from ...engine.sentences import UserError
        sweeps, burn_in = job.value(self.sweeps), job.value(self.burn_in)
        if burn_in >= sweeps:
            raise UserError("The burn-in is {burn_in} of {sweeps} sweeps, so that none would count. Choose a smaller "
                            "burn-in or more sweeps.", burn_in=burn_in, sweeps=sweeps)
        grid = sequence.grid
        need(grid.width * grid.height * sequence.T * (4 * 3 * sequence.L + 8 * 12 * spectra.P),
             "Clip the images, or use a method that needs less: redsunn, kalmanem or onlineunmixing.")
        Y, valid = sequence.images(job.progress)
        found = hbun(Y, spectra.M, (grid.height, grid.width), valid, iterations=sweeps, burn_in=burn_in,
                     seed=job.value(self.seed), callback=lambda sweep, cost: job.progress(sweep, sweeps),
                     **{name: job.value(getattr(self, name)) for name in ("smoothness", "closeness", "spatial",
                                                                          "temporal")})
        del Y
        job.say("Weight of the neighbours in space {spatial}, in time {temporal}.", spatial=f"{found.spatial:.3g}",
                temporal=f"{found.temporal:.3g}")
        self.give_endmembers(job, sequence, spectra, found.M)

        def unmix(Y, valid, positions):
            A = found.A[:, :, positions]
            return _sequence.Block(A, _sequence.residual(Y, A, found.M),
                                   {self.uncertainty.name: found.sd[:, :, positions]})
        return unmix
