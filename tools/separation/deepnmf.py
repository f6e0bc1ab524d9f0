"""The tool `deepnmf`."""

from dataclasses import replace

from ...engine.declare import FileInput, FileOutput, Integer, NumberOutput, Real
from .. import _shared
from . import _separation

HELD_OUT = 1000   # mixtures that are not learned from


class DeepNMF(_separation.SeparationTool):
    """Scene of some wanted materials alone, by a small network that has learned to take them out of their background.

    Deep-NMF: each layer of the network is one step of a nonnegative matrix factorization with wanted and background
    spectra. The last layers have spectra of their own, learned so that after these few steps the Wiener filter keeps
    what is wanted of synthetic mixtures, whose answer is known. They are mixed of the given spectra: few materials in
    some, more in others, with noise. The scene itself teaches nothing, so it may be small.

    A step costs the same for every pixel, so the network is fast, and its error is told on mixtures that it has not
    learned from, before and after learning. The Wiener filter tool runs the same factorization to its end instead, from
    a better start.

    Where no background spectra are given, they are learned from some ten thousand of the scene's pixels first. The
    scene is read twice, in bounded memory. It needs the deep-learning packages (torch), and uses a graphics card where
    there is one."""

    id = "deepnmf"
    label = "Deep-NMF"
    tags = (*_separation.SeparationTool.tags, "deep unfolding", "unrolling", "deep learning", "neural network")
    citation = ("Hershey, Le Roux and Weninger, Deep unfolding: model-based inspiration of novel deep architectures, "
                "arXiv:1409.2574, 2014; Chinellato, Deep Unfolding: algorithm unrolling for nonnegative matrix "
                "factorization and data assimilation, PhD thesis, University of Padova, 2026, section 4.2")
    prefer = ("Take it for many or large scenes of one sensor: with 25 layers it was some 25 times faster than the "
              "Wiener filter, with three times its error. For one scene take the Wiener filter, which needs no "
              "training.")
    doi = ("10.48550/arXiv.1409.2574",)
    requires = (*_separation.SeparationTool.requires, "torch")

    wanted = replace(_separation.SeparationTool.wanted, optional=True,
                     help=_separation.SeparationTool.wanted.help + " Not needed with a trained model.")
    field = _separation.SeparationTool.field
    background = _separation.SeparationTool.background
    given = FileInput("TRAINED", "Trained model", extensions=("npz",), optional=True, help="File that this tool has "
                      "saved (its output MODEL), of a scene with the same bands: its spectra and layers are used, and "
                      "nothing is learned. None: a network is trained.")
    layers = Integer("LAYERS", "Layers (K)", default=25, minimum=1, maximum=10000, help="Steps of the factorization, 1 "
                     "to 10000. Default 25.")
    own = Integer("DISCRIMINATIVE", "Learned layers (C)", default=4, minimum=0, maximum=1000, help="How many of the "
                  "layers, the last ones, learn spectra of their own, 0 to the number of layers. Default 4.")
    sparsity = Real("SPARSITY", "Sparsity (alpha)", default=0.0, minimum=0.0, maximum=1e6, advanced=True,
                    help="Weight of the sum of a pixel's weights in each step, for values divided by the largest of "
                         "the spectra, 0 to 1000000. Default 0.")
    mixtures = Integer("MIXTURES", "Mixtures to learn from", default=5000, minimum=10, maximum=10**7, help="How many "
                       "synthetic pixels the network learns from, 10 to 10000000. Default 5000.")
    mixed = Integer("MIXED", "Spectra in a mixture at most", default=4, minimum=1, maximum=1000, advanced=True,
                    help="A mixture is made of 1 to so many spectra, in random proportions that sum to one; 1 to 1000. "
                         "Default 4.")
    share = Real("WANTEDSHARE", "Share of wanted spectra", default=0.5, minimum=0.01, maximum=0.99, advanced=True,
                 help="How often, of the spectra in a mixture, one is a wanted one, 0.01 to 0.99. Default 0.5.")
    snr = Real("SNR", "Signal-to-noise ratio of the mixtures (dB)", default=30.0, minimum=-50.0, maximum=200.0,
               advanced=True, help="Power of the mixtures over that of the white noise on them, in decibels; take the "
               "scene's. Default 30.")
    epochs = Integer("EPOCHS", "Epochs of learning", default=10, minimum=1, maximum=100000, help="How often learning "
                     "goes through the mixtures, 1 to 100000; the best epoch counts. Default 10.")
    batch = Integer("BATCH", "Mixtures at a time", default=256, minimum=1, maximum=10**6, advanced=True,
                    help="Mixtures in a step of learning, 1 to 1000000. Default 256.")
    seed = _shared.SEED
    saved = FileOutput("MODEL", "Model", create=False, extensions=("npz",), help="File with the trained network and "
                       "its spectra, for this tool (TRAINED) on other scenes of the same sensor.")
    gain = NumberOutput("GAIN", "Error that learning removed (%)", help="How much smaller the error of the wanted "
                        "materials' spectra is than without learning, on mixtures that were not learned from, as a "
                        "share of it. 0 where learning did not help.")
    example = {"INPUT": "scene", "WANTED": "wanted", "BACKGROUND": "background", "MIXTURES": 500, "EPOCHS": 3}

    def run(self, job):
        from ...algorithms.device import one_thread_each
        with one_thread_each():
            self._run(job)

    def _run(self, job):
        import numpy as np

        from ...engine.sentences import UserError
        scene = job.scene(self.image)
        if job.value(self.given) is not None:
            network, dictionary, gain, losses, sample = self._load(job, scene)
        elif job.value(self.wanted) is None:
            raise UserError("There are neither wanted spectra nor a trained model. Give a layer of spectra (WANTED), "
                            "or a model that this tool has saved (TRAINED).")
        else:
            network, dictionary, gain, losses, sample = self._train(job, scene)
        if job.wants(self.saved):
            from ...engine import models
            models.save(job.path(self.saved), self.id, scene, network.state(), names=dictionary.names,
                        source=dictionary.source.tolist(), sources=dictionary.sources, gain=gain, losses=losses)

        def separate(X):
            if not X.shape[1]:
                return np.zeros((dictionary.W.shape[1], 0), np.float32), X[None]
            H, filtered = network.separate(X)
            return H, filtered[None]

        totals = self.write(job, scene, dictionary, separate)
        job.give_number(self.gain, gain)
        report = self.begin_report(job, scene, dictionary, totals, sample, separate)
        if report:
            report.curve(range(len(losses)), losses, "Loss of all mixtures (of values divided by the largest of the "
                         "spectra)", "Epoch", "Loss")
            report.paragraph(f"On {HELD_OUT} mixtures that it has not learned from, learning removed {gain:.1f} % of "
                             f"the error of the wanted materials' spectra.")
            job.give_report(self.report, report)

    def _load(self, job, scene):
        """Network, dictionary, gain, losses of a saved model, and a sample of the scene."""
        import numpy as np

        from ...algorithms.separation import deepnmf
        from ...engine import models
        if job.value(self.wanted) is not None or job.value(self.background) is not None:
            job.say("The trained model has its own spectra: those given are not used.")
        declaration, state = models.load(job.value(self.given), (self.id,))
        models.fit(declaration, scene)
        job.passes(2)
        sample = self.survey(job, scene)
        dictionary = _separation.Dictionary(declaration["names"], state["W"].astype(np.float64),
                                            np.array(declaration["source"]), declaration["sources"])
        return (deepnmf.DeepNMF.from_state(state), dictionary, declaration["gain"], declaration["losses"], sample)

    def _train(self, job, scene):
        """The same of a network trained now."""
        import numpy as np

        from ...algorithms.separation import deepnmf
        from ...engine.memory import need
        dictionary, learn = self.read_dictionary(job, scene), job.value(self.background) is None
        job.passes(3 + learn)
        sample = self.survey(job, scene)
        if learn:
            dictionary = self.learn_background(job, dictionary, sample)
        WS, WN = dictionary.W[:, :dictionary.wanted], dictionary.W[:, dictionary.wanted:]
        L, r = dictionary.W.shape
        need(job.value(self.mixtures) * 8 * (5 * L + 2 * r), "Learn from fewer mixtures (MIXTURES).")
        network = deepnmf.DeepNMF(WS, WN, job.value(self.layers), job.value(self.own), job.value(self.sparsity))
        rng = np.random.default_rng(job.value(self.seed))
        (X, S), (held, goal) = (deepnmf.mixtures(WS, WN, rng, count, mixed=job.value(self.mixed),
                                                 snr=job.value(self.snr), wanted=job.value(self.share))
                                for count in (job.value(self.mixtures), HELD_OUT))
        before, epochs = _error(network, held, goal), job.value(self.epochs)
        losses = network.train(X, S, rng, epochs=epochs, batch=job.value(self.batch),
                               callback=lambda epoch, loss: job.progress(epoch, epochs + 1))
        job.progress(1, 1)
        after = _error(network, held, goal)
        job.say("Error of the wanted materials' spectra on {count} mixtures not learned from: {before} before, {after} "
                "after learning (root mean square, input units).", count=HELD_OUT, before=f"{before:.4g}",
                after=f"{after:.4g}")
        if after >= before and job.value(self.own):
            job.warn("Learning did not make the filter better on mixtures that it has not learned from. Learn from "
                     "more mixtures (MIXTURES), or use the Wiener filter tool.")
        return network, dictionary, 100 * max(0.0, 1 - after / before), losses, sample


def _error(network, X, S):
    """Root mean square of what is filtered out of mixtures X less what of them is wanted."""
    import numpy as np
    return float(np.sqrt(np.square(network.separate(X)[1] - S, dtype=np.float64).mean()))
