"""The tool `redsunn`."""

from dataclasses import replace

from ...engine.declare import FileOutput, Flag, Integer, Real, SpectraOutput
from . import _redsunn, _sequence


class RecurrentUnmixing(_redsunn.ModelTool):
    """Fractions at every date from a model of how fractions and spectra develop, learned from the sequence itself.

    ReDSUNN: each material's spectrum is a reference times a smooth function of the band, which differs from pixel to
    pixel and drifts from date to date; fractions drift too, and may jump. A recurrent neural network, into which the
    mixing model is built, reads a pixel's spectra of all dates forwards and backwards and tells its fractions, its
    spectra and how uncertain they are. Network, reference spectra and noise are learned together from the pixels of
    the sequence; no reference data are needed.

    A pixel that is nodata at a date is estimated from its other dates. The first date is no better known than the
    others: smoothness in time helps all of them alike. What the images cannot tell, it cannot either: a material whose
    spectrum is another's in shade may be taken for it at all dates.

    It needs the deep-learning packages (torch), and uses a graphics card where there is one."""

    id = "redsunn"
    label = "Recurrent unmixing of a sequence (ReDSUNN)"
    prefer = ("Where spectra vary from pixel to pixel and from date to date, clouds leave gaps, and uncertainties are "
              "wanted. It takes minutes to learn; FCLS with one set of endmembers for all dates was more accurate on "
              "all sequences that we measured.")

    settle = _sequence.SETTLE
    coloured = Flag("COLOURED", "Noise correlated over the bands", default=True, advanced=True, help="Take what the "
                    "model leaves for correlated over the bands, as spectra leave it that vary in other ways than the "
                    "model knows. Otherwise every band counts by itself, as published. Default yes.")
    K = Integer("FUNCTIONS", "Functions of the variability (K)", default=2, minimum=1, maximum=100, help="By how many "
                "smooth functions of the band an endmember is scaled, 1 to 100: 1 is one factor for all bands, as for "
                "brightness; more let its shape vary. Default 2.")
    sigma_psi = Real("SIGMAPSI", "Drift of the spectra (sigma psi)", default=0.01, minimum=1e-8, maximum=100.0,
                     help="Standard deviation of the change, from date to date, of the coefficients of these "
                          "functions, above 0: 0.01 stands for one per cent. Default 0.01.")
    epochs = Integer("EPOCHS", "Epochs of learning", default=30, minimum=1, maximum=100000, help="How often learning "
                     "goes through the pixels, 1 to 100000. Default 30, as published.")
    minutes = Real("MINUTES", "Time for learning at most (minutes)", optional=True, minimum=0.0, maximum=100000.0,
                   help="Learning ends after so many minutes, with the best model so far. Empty: no limit.")
    batch = Integer("BATCH", "Pixels at a time", default=128, minimum=1, maximum=1000000, advanced=True, help="Pixels "
                    "in a step of learning, 1 to 1000000. Default 128, as published.")
    rate = Real("RATE", "Learning rate", default=1e-3, minimum=1e-8, maximum=1.0, advanced=True, help="Size of the "
                "steps of learning (Adam), above 0, at most 1. Default 0.001, as published.")
    estimated = SpectraOutput("ESTIMATED", "Learned reference endmembers", help="Layer with the reference spectra as "
                              "they were learned, from which each pixel's own depart.")
    saved = FileOutput("MODEL", "Model", create=False, extensions=("npz",), help="File with the learned model, for "
                       "the tool that applies it to other images of the same sensor and materials.")
    example = {"IMAGES": "images", "COUNT": 3, "EPOCHS": 3, "FUNCTIONS": 2, "DRAWS": 5}

    def trained(self, job, sequence):
        import time

        from ...algorithms.multitemporal.redsunn import train
        from ...engine import models
        job.passes(self.passes(job))
        spectra = self.reference(job, sequence)
        Y, valid = self.learning_pixels(job, sequence)
        epochs, minutes, start = job.value(self.epochs), job.value(self.minutes), time.monotonic()
        self._history = []

        def follow(epoch, parts):
            self._history.append(parts)
            job.progress(epoch, epochs + 1)
            job.say("Epoch {epoch} of {epochs}: evidence bound {elbo} per pixel = likelihood {likelihood} - "
                    "divergences {initial} (start), {abundances} (fractions), {variability} (spectra).", epoch=epoch,
                    epochs=epochs, **{name: f"{getattr(parts, name):.5g}" for name in (
                        "elbo", "likelihood", "initial", "abundances", "variability")})
            return minutes is not None and time.monotonic() - start > 60 * minutes

        model = train(Y, spectra.M, valid=valid, seed=job.value(self.seed), callback=follow,
                      **{name: job.value(getattr(self, name)) for name in ("K", "sigma_psi", "epochs", "batch",
                                                                           "rate", "settle", "coloured")})
        job.progress(1, 1)   # the time limit may have ended it early
        if len(self._history) < epochs:
            job.warn("Learning was ended by the time limit after {done} of {epochs} epochs.", done=len(self._history),
                     epochs=epochs)
        learned = replace(spectra, M=model.M0, sources=["learned by ReDSUNN"] * spectra.P)
        job.give_spectra(self.estimated, learned)
        if job.wants(self.saved):
            models.save(job.path(self.saved), self.id, sequence.grid, model.state(), names=spectra.names)
        return model, learned

    def add_to_report(self, job, report, sequence, spectra, figures):
        report.spectra(spectra, "Learned reference endmembers")
        report.heading("Learning")
        names = {"elbo": "evidence bound", "likelihood": "likelihood", "initial": "divergence at the start",
                 "abundances": "divergence of the fractions", "variability": "divergence of the spectra"}
        report.curves(range(1, len(self._history) + 1), {
            words: [getattr(parts, name) for parts in self._history] for name, words in names.items()},
            "Epoch", "Per pixel")
