"""The tool `particlefilter`."""

from ...engine.declare import Choice, FolderOutput, Integer, LayersOutput, Real, Style, Text
from .. import _shared
from ..multitemporal._sequence import ASKED
from ._model import within
from ._states import NonlinearStatesTool

FEW = 10                 # particles that count, below which a date is warned of
EFFECTIVE = "effective"


class ParticleFilter(NonlinearStatesTool):
    """States behind a series of images, and how probable a condition is (more than half water, say) at every date.

    How likely is it that more than half of a pixel was water? A mean and a standard deviation do not tell where states
    cannot leave their bounds or the dynamics are not linear. Here each pixel has many samples of its state (particles),
    which go on by the dynamics and by random steps of their own; every image weighs them by how likely it is for each,
    and where few have all the weight they are drawn anew (sequential importance resampling). Whatever the shape of the
    distribution, the weights of those that meet the condition add up to its probability.

    The condition compares a band of the states with a value: CONDITIONBAND, COMPARISON, VALUE. Its probability is that
    of the state without the noise of an image.

    This is a filter: a date is estimated from the images up to it, not from later ones. So a gap is filled by going on
    from before, with growing uncertainty. The effective sample size, in the report, says how many particles carry a
    date's weight: below 3, as after an abrupt change, particles are moved as by the ensemble Kalman filter instead. If
    it is small on average, take more particles or larger noise.

    Fractions are filtered as independent components of the softmax basis; the condition on a fraction is asked of
    their samples together. All pixels share the random numbers, so that the maps have no speckle of chance."""

    id = "particlefilter"
    label = "Particle filter"
    tags = (*NonlinearStatesTool.tags, "SIR", "particle filter", "sequential Monte Carlo", "importance resampling",
            "bootstrap filter", "probability", "logistic growth", "nonlinear", "data assimilation")
    citation = ("N. J. Gordon, D. J. Salmond and A. F. M. Smith, Novel approach to nonlinear/non-Gaussian Bayesian "
                "state estimation, IEE Proceedings F 140(2), 1993; G. Chinellato, Deep Unfolding, PhD thesis, "
                "University of Padova, 2026, section 5.4.2")
    prefer = ("When the question is how probable a condition is, or when states are far from normally distributed. "
              "Where gaps are to be filled from later images too, take the Kalman filter or the ensemble Kalman "
              "filter.")
    doi = ("10.1049/ip-f-2.1993.0015",)

    particles = Integer("PARTICLES", "Particles", default=500, minimum=3, maximum=1000000, help="How many samples of "
                        "its state each pixel has: more than the model has states and observed bands together, 3 to "
                        "1000000. Time grows with it, errors of chance fall with its root. Default 500.")
    share = Real("RESAMPLE", "Resample below (share of the particles)", default=0.5, minimum=0.0, maximum=1.0,
                 advanced=True, help="Particles are drawn anew where the effective sample size is below this share of "
                 "their number: 0 never, 1 at every image, as published. Default 0.5, which adds less chance.")
    band = Text("CONDITIONBAND", "Band of the condition", optional=True, help="Name of the band whose state the "
                "condition is about, or its number from 1. Empty: the first band.")
    comparison = Choice("COMPARISON", "Comparison", default="above", options={"above": "Above", "below": "Below"},
                        help="Whether the condition is that the state is above or below the VALUE. Default above.")
    value = Real("VALUE", "Value", default=0.5, minimum=-1e9, maximum=1e9, help="With which the state is compared, in "
                 "the images' units: of fractions 0 to 1. Default 0.5, more than half.")
    seed = _shared.SEED
    probability = FolderOutput("PROBABILITY", "Probability of the condition", style=Style.DEPARTURE, dated=True,
                               create=False, help="Folder with a raster per date, further dates included, with one "
                               "band: the probability, 0 to 1, that the state meets the condition. Nodata is -9999.")
    probability_layers = LayersOutput("PROBABILITYLAYERS", "Probability as layers", folder="PROBABILITY", help="The "
                                      "rasters of the probability as a list, for the next step of a model. " + ASKED)

    def prepare(self, job, sequence, model):
        import numpy as np

        from ...algorithms.state_estimation.model import restart
        from ...algorithms.state_estimation.particles import estimate
        from ...algorithms.state_estimation.simplex import from_basis
        days, seed, keep = model.days[model.observed], job.value(self.seed), within(job, self)
        band, value, above = self.band_of(job, model), job.value(self.value), job.value(self.comparison) == "above"
        self.condition = f"{model.bands[band]} {'above' if above else 'below'} {value:g}"
        self.totals, self.count = np.zeros(model.T), 0

        def meets(x):
            return x > value if above else x < value

        def of_fractions(x):
            return meets(from_basis(x)[..., band])

        def parts(y):
            """Series, the models of their components, and the condition where they have the band that it is about."""
            if model.fractions:
                yield y, model.components, of_fractions
                return
            place = band if model.coupled else 0
            for number, (part, each) in enumerate(zip(model.split(y), model.components)):
                about = model.coupled or number == band
                yield part, [each], (lambda x: meets(x[..., place])) if about else None

        def estimate_block(Y, valid):
            wanted = job.wants(self.probability)
            found = []
            for number, (part, models, condition) in enumerate(parts(model.series(Y, valid))):
                ends = np.cumsum([len(each.C) for each in models])[:-1]
                models = [restart(each, own) for each, own in zip(models, np.split(part, ends, axis=-1))]
                found.append(estimate(part, days, models, job.value(self.particles),
                                      np.random.default_rng([seed, number]), at=model.days,
                                      share=job.value(self.share), keep=keep, condition=condition if wanted else None))
            values, sd = model.back(*(np.concatenate([getattr(one, name) for one in found], axis=-1)
                                      for name in ("mean", "variance")))
            more = {EFFECTIVE: np.min([one.effective for one in found], axis=0)[:, None]}
            if wanted:
                more[self.probability.name] = next(one.probability for one in found
                                                   if one.probability is not None)[:, None]
            return values, sd, more
        return estimate_block

    def band_of(self, job, model):
        """The band of the condition, from 0."""
        from ...engine.sentences import UserError
        given = (job.value(self.band) or "").strip()
        if not given:
            return 0
        if given in model.bands:
            return model.bands.index(given)
        if given.isdigit() and 1 <= int(given) <= len(model.bands):
            return int(given) - 1
        raise UserError("The images have no band {band}: they have {names}. Choose one of these, or its number "
                        "(CONDITIONBAND).", band=given, names=", ".join(model.bands))

    def bands_of(self, output, model):
        return [self.condition] if output.name == self.probability.name else model.bands

    def look(self, found):
        effective = found.more[EFFECTIVE][:, 0]
        self.totals += effective.sum(axis=1, dtype=float)
        self.count += effective.shape[1]

    def write(self, job, sequence, model, estimate):
        means = super().write(job, sequence, model, estimate)
        self.effective = self.totals / self.count
        if job.wants(self.probability):
            job.give_range(self.probability, 0, 1)
        least = int(self.effective.argmin())
        job.say("The effective sample size is {mean} of {count} particles on average, and {least} at {date}.",
                mean=f"{self.effective.mean():.0f}", count=job.value(self.particles),
                least=f"{self.effective[least]:.0f}", date=model.names[least])
        if self.effective[least] < FEW:
            job.warn("At {date} fewer than {few} particles carry the weight: the result hangs on chance there. Take "
                     "more (PARTICLES), or larger steps or noise (STEPNOISE, NOISE).", date=model.names[least], few=FEW)
        return means

    def add_to_report(self, job, report, sequence, model):
        report.heading("Effective sample size")
        report.paragraph(f"How many of {job.value(self.particles)} particles carry the weight of a date, as a mean "
                         f"over the pixels: all where there is no image.")
        report.history(model.names, {"Effective sample size": self.effective}, "Particles")
