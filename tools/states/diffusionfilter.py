"""The tool `diffusionfilter`."""

from ...engine.declare import Choice, Flag, FolderOutput, Integer, LayersOutput, Real, Style, Text
from .. import _shared
from ..multitemporal._sequence import ASKED
from . import _saved
from ._model import in_parts
from ._states import NonlinearStatesTool, StatesTool

TAUGHT = 10, 100      # pixels from whose particles networks learn, at least and at most
LEARNT = 10_000_000   # states of these particles, but for the least
PAIRS = 4000          # of them, that a network learns from at a date
LATER = 0.4, 0.1      # of epochs and learning rate, at dates after the first: 200 of 500, and 1e-4 of 1e-3
NUMBERS = 4_000_000   # states of particles at once


class DiffusionFilter(NonlinearStatesTool):
    """Quantiles of the states behind a series of images at every date, from samples drawn by a diffusion model.

    Where states cannot be described by a mean and a standard deviation, as between two ends or near a bound, this draws
    samples of them at every date: particles go on by the dynamics and by random steps; from them and from images made
    of them, a neural network learns how states spread given an image (the score of a conditional diffusion model); and
    starting from noise, new particles are led to where the image says that they should be. Unlike in a particle filter
    there are no weights to degenerate. Quantiles, the main result, need no assumption on the shape.

    One network per date, and per band or component of the softmax basis, serves all pixels: what differs between them,
    and all that a linear filter knows, is taken off first. For linear dynamics the result is that of the Kalman filter
    with errors of chance.

    This is a filter: a date is estimated from the images up to it, not from later ones. It is slow: with the defaults
    a processor core does some 600 pixels and dates in a second, for each band; the ensemble Kalman filter is more than
    a thousand times as fast. Try a small extent, or use a graphics card. It needs the deep-learning packages
    (torch)."""

    id = "diffusionfilter"
    label = "Diffusion filter"
    requires = (*StatesTool.requires, "torch")
    tags = (*NonlinearStatesTool.tags, "diffusion model", "score matching", "generative", "deep learning", "quantile",
            "percentile", "non-Gaussian", "data assimilation", "particles", "neural network")
    citation = ("Y. Song, J. Sohl-Dickstein, D. P. Kingma, A. Kumar, S. Ermon and B. Poole, Score-based generative "
                "modeling through stochastic differential equations, ICLR 2021; G. Chinellato, Deep Unfolding, PhD "
                "thesis, University of Padova, 2026, section 6.2")
    prefer = ("For quantiles of states that are far from normally distributed, where time does not matter. In our "
              "measurements it was nearly as accurate as the ensemble Kalman filter and the particle filter, and far "
              "slower.")

    levels = Text("LEVELS", "Quantiles (%)", default="5, 50, 95", help="Which quantiles to map, in per cent above 0 "
                  "and below 100, separated by commas. Default 5, 50, 95: the middle, and the ends of an interval of "
                  "90 %.")
    members = Integer("MEMBERS", "Particles", default=100, minimum=5, maximum=100000, help="How many samples of its "
                      "state each pixel has, 5 to 100000: more than the model has states and observed bands together. "
                      "Time grows with it. Default 100; published 1000, for one series.")
    steps = Integer("STEPS", "Steps from noise", default=25, minimum=2, maximum=10000, help="In how many steps "
                    "particles are led from noise to states, 2 to 10000. Time grows with it. Default 25; published "
                    "100, which is needed without REGRESSION.")
    epochs = Integer("EPOCHS", "Epochs of learning", default=100, minimum=0, maximum=100000, help="How often a network "
                     "goes through the samples at the first date; later ones go on from there, two fifths as often. 0 "
                     "to 100000; 0 leaves the linear filter. Default 100; published 500, with a fourth of the samples.")
    regress = Flag("REGRESSION", "Linear part by regression", default=True, advanced=True, help="Take off by linear "
                   "regression what the image tells of the state, so that the network learns the rest only. Otherwise "
                   "it learns all, as published. Default yes.")
    schedule = Choice("SCHEDULE", "Noise", default="preserving", advanced=True,
                      options={"preserving": "Variance preserving", "exploding": "Variance exploding"},
                      help="How noise is added and taken away: states shrink as it grows, or stay as they are and it "
                           "grows without bound. Default preserving, as published.")
    alpha = Real("ALPHA", "Chance on the way (alpha)", default=1.0, minimum=0.0, maximum=10.0, advanced=True,
                 help="How much noise is added on the way from noise to states, 0 (none) to 10. Default 1.")
    seed = _shared.SEED
    quantiles = FolderOutput("QUANTILES", "Quantiles of the states", style=Style.VALUES, dated=True, create=False,
                             help="Folder with a raster per date, further dates included, with a band for each of the "
                                  "images' bands and LEVELS: the value below which the state is with this "
                                  "probability. Nodata is -9999.")
    quantile_layers = LayersOutput("QUANTILELAYERS", "Quantiles as layers", folder="QUANTILES", help="The rasters of "
                                   "the quantiles as a list, for the next step of a model. " + ASKED)
    example = {"IMAGES": "fractionimages", "EPOCHS": 2, "MEMBERS": 20, "STEPS": 5, "STEPNOISE": 0.5, "NOISE": 0.1}

    def passes(self, job):
        return super().passes(job) + 1

    def sample(self, job, sequence, model):
        self._sample = super().sample(job, sequence, model)
        return self._sample

    def prepare(self, job, sequence, model):
        import numpy as np

        from ...algorithms.state_estimation.diffusion import learn, particles
        from ...algorithms.state_estimation.model import restart
        from ...algorithms.state_estimation.simplex import from_basis
        seed, self._levels = job.value(self.seed), self._percent(job)
        self.held = StatesTool.held + 2 * len(self._levels)
        needed = np.isin(np.arange(model.T), model.observed)
        Y, valid = self._sample
        size = job.value(self.members) * max(each.forward.n for each in model.components)
        every = -(-Y.shape[2] // min(max(LEARNT // size, TAUGHT[0]), TAUGHT[1]))
        y = self._at_all_dates(model, model.series(Y[:, :, ::every], valid[:, ::every]))
        settings, networks = [self._settings(job, each) for each in model.components], []
        self._losses, total = {}, len(model.components) * sequence.T + 1

        def follow(k, loss):
            self._done += 1
            job.progress(self._done, total)
        self._done = 0
        for number, (part, each, chosen) in enumerate(zip(model.split(y), model.components, settings)):
            networks.append(learn(part, model.days, restart(each, part[model.observed]), np.random.default_rng(
                [seed, number]), chosen, needed=needed, callback=follow))
            self._losses[model.levels[number][0]] = [found and found.loss for found in networks[-1]]
        job.progress(1, 1)

        def estimate_some(Y, valid):
            y = self._at_all_dates(model, model.series(Y, valid))
            streams = [particles(part, model.days, restart(each, part[model.observed]), np.random.default_rng(
                [seed, number, 1]), chosen, found) for number, (part, each, chosen, found) in enumerate(zip(
                    model.split(y), model.components, settings, networks))]
            mean, sd, cuts = [], [], []
            for states in zip(*streams):
                x = np.concatenate([x @ each.C.T for x, each in zip(states, model.components)], axis=-1)
                x = from_basis(x) if model.fractions else x
                mean.append(x.mean(axis=0).T)
                sd.append(x.std(axis=0, ddof=1).T)
                cut = np.quantile(x, np.array(self._levels) / 100, axis=0)   # (levels, pixels, bands)
                cuts.append(cut.transpose(2, 0, 1).reshape(-1, x.shape[1]))
            return np.stack(mean), np.stack(sd), np.stack(cuts)

        def estimate_block(Y, valid):
            parts = in_parts(estimate_some, max(1, NUMBERS // size), Y, valid)
            values, sd, cuts = (each.astype(np.float32) for each in parts)
            return values, sd, {self.quantiles.name: cuts}
        return estimate_block

    @staticmethod
    def _at_all_dates(model, y):
        """Series `y` (T, n, m) of the images with NaN at further dates."""
        import numpy as np
        values = np.full((model.T, *y.shape[1:]), np.nan)
        values[model.observed] = y
        return values

    def _percent(self, job):
        """The levels asked for, in rising order."""
        from ...engine.sentences import UserError
        words = [word.strip().rstrip("%") for word in job.value(self.levels).split(",") if word.strip()]
        try:
            levels = sorted({float(word) for word in words})
        except ValueError as error:
            raise UserError("The quantiles {given} are not all numbers. Give per cent, separated by commas: 5, 50, 95 "
                            "(LEVELS).", given=job.value(self.levels)) from error
        if not levels or not 0 < levels[0] <= levels[-1] < 100:
            raise UserError("The quantiles {given} are not above 0 and below 100 per cent. Give some that are, such as "
                            "5, 50, 95 (LEVELS).", given=job.value(self.levels))
        return levels

    def _settings(self, job, component):
        from ...algorithms.state_estimation.diffusion import Settings, VarianceExploding, VariancePreserving
        from ...engine.sentences import UserError
        least = component.forward.n + len(component.C) + 2
        if job.value(self.members) < least:
            raise UserError("{count} particles are too few for {states} states and {bands} observed bands together. "
                            "Take {least} or more (MEMBERS).", count=job.value(self.members),
                            states=component.forward.n, bands=len(component.C), least=least)
        schedules = {"preserving": VariancePreserving, "exploding": VarianceExploding}
        first = (job.value(self.epochs), 1e-3)
        return Settings(schedule=schedules[job.value(self.schedule)](), members=job.value(self.members),
                        steps=job.value(self.steps), alpha=job.value(self.alpha), first=first,
                        later=(round(LATER[0] * first[0]), LATER[1] * first[1]), pool=PAIRS,
                        regress=job.value(self.regress), limits=_saved.limits(component.forward))

    def bands_of(self, output, model):
        if output.name != self.quantiles.name:
            return model.bands
        return [f"{band} {level:g} %" for band in model.bands for level in self._levels]

    def look(self, found):
        import numpy as np
        cut = np.nanquantile(found.more[self.quantiles.name], [0.02, 0.98])
        self._range = min(self._range[0], float(cut[0])), max(self._range[1], float(cut[1]))

    def write(self, job, sequence, model, estimate):
        self._range = float("inf"), -float("inf")
        means = super().write(job, sequence, model, estimate)
        if job.wants(self.quantiles):
            job.show_band(self.quantiles, (means[2] - 1) * len(self._levels) + len(self._levels) // 2 + 1)
            job.give_range(self.quantiles, *self._range)
        return means

    def add_to_report(self, job, report, sequence, model):
        if not job.value(self.epochs):
            return
        report.heading("Learning")
        report.paragraph("Loss of denoising score matching at each image, in the last epoch: the nearer to that of the "
                         "others, the less a date differs.")
        report.history(model.names, self._losses, "Loss")
