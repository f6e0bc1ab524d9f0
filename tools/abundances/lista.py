"""The tool `lista`."""

from dataclasses import replace

from ...engine.declare import FileInput, FileOutput, Integer, Real
from .. import _shared
from ._sparse import SparseTool, Tally, absolute, weight
from ._unmix import sampled, write

COMPARED = 97   # every so many pixels of a block are also solved exactly
NUMBERS = 14    # float64 numbers per spectrum and mixture that are held while their targets are found
FAR = 0.1       # squared distance to the exact solution, as a share of it, from which the user is warned


class LearnedThresholding(SparseTool):
    """Fractions of the spectra of a library, few of which are in each pixel, by a network of a few learned steps.

    LISTA: a number of iterations of soft thresholding (ISTA) become the layers of a network, whose matrices and
    thresholds are learned from mixtures of the library, made up for that, so that a few layers come near to what
    hundreds of iterations reach. No reference data are needed. A network belongs to its library, sensor and sparsity;
    saved, it unmixes further images without learning again.

    How near it comes to the exact solution (that of SUnSAL) is measured on some pixels of the image and reported.
    Images hold what made-up mixtures do not, such as shade and materials that the library lacks.

    It needs the deep-learning packages (torch), and uses a graphics card where there is one."""

    id = "lista"
    label = "Learned soft thresholding (LISTA)"
    tags = (*SparseTool.tags, "LISTA", "ISTA", "unrolling", "deep unfolding", "deep learning", "neural network")
    citation = ("Gregor and LeCun, Learning fast approximations of sparse coding, ICML 2010; Chinellato, Deep "
                "Unfolding, PhD thesis, Padova 2026, section 1.2.1")
    prefer = ("Take it for many images with one library, where an answer near the exact one will do: its 16 learned "
              "steps came nearer than 200 of FISTA, in an eighth of SUnSAL's time. Otherwise take SUnSAL, which is "
              "exact and needs no training.")
    requires = (*SparseTool.requires, "torch")

    weight = replace(weight(1e-6), default=0.01, help=weight(1e-6).help.replace("Default 0.001", "Default 0.01"))
    layers = Integer("LAYERS", "Layers", default=16, minimum=1, maximum=200, help="Steps of the network, 1 to 200: "
                     "more come nearer to the exact solution, and learning takes longer. Default 16.")
    trained = FileInput("TRAINED", "Trained model", extensions=("npz",), optional=True, help="A MODEL that this tool "
                        "has saved for the same library and bands: nothing is learned then, and sparsity, layers and "
                        "noise are the model's. None: one is trained.")
    mixtures = Integer("MIXTURES", "Mixtures to learn from", default=20000, minimum=20, maximum=10000000,
                       advanced=True, help="Made-up pixels of one to four spectra, a tenth of which are held out to "
                       "tell how well learning went, 20 to 10000000. Default 20000.")
    epochs = Integer("EPOCHS", "Epochs of learning", default=40, minimum=1, maximum=100000, help="How often learning "
                     "goes through the mixtures, 1 to 100000. Default 40, some half a minute for 75 spectra.")
    noise = Real("NOISE", "Noise of the mixtures", default=0.005, minimum=0.0, maximum=1.0, advanced=True,
                 help="Standard deviation of the noise in the mixtures, as a share of the spectra's root mean square, "
                      "0 to 1; about that of the image. Default 0.005.")
    rate = Real("RATE", "Learning rate", default=2e-3, minimum=1e-8, maximum=1.0, advanced=True, help="Size of the "
                "largest steps of learning (Adam), above 0, at most 1. Default 0.002.")
    seed = _shared.SEED
    saved = FileOutput("MODEL", "Model", create=False, extensions=("npz",), help="File with the trained network, for "
                       "TRAINED.")
    example = {**SparseTool.example, "LAYERS": 4, "MIXTURES": 500, "EPOCHS": 5}

    def run(self, job):
        import numpy as np

        from ...algorithms.device import one_thread_each
        from ...engine import models
        scene, spectra = job.scene(self.image), job.spectra(self.endmembers)
        learning = job.value(self.trained) is None
        job.passes(1 + learning)
        if not learning:
            declaration, state = models.load(job.value(self.trained), (self.id,))
            models.fit(declaration, scene)
        M = spectra.to_scene(scene, job.say)
        model = self._train(job, M, spectra.names) if learning else self._given(job, state, M)
        if job.wants(self.saved):
            models.save(job.path(self.saved), self.id, scene, model.state(), names=spectra.names)
        tally = LearnedTally(model)

        def block(Y, valid):
            Y = Y if valid.all() else Y[:, valid]
            fit = model.unmix(Y)
            tally.compare(Y[:, ::COMPARED].astype(np.float64), fit.A[:, ::COMPARED])
            return fit, valid, sampled(Y)

        with one_thread_each():
            write(self, job, scene, spectra, M, scene.map_blocks(block, progress=job.progress), tally=tally)
        tally.warn(job)

    def _train(self, job, M, names):
        import numpy as np

        from ...algorithms.abundances.lista import train
        from ...algorithms.abundances.sparse import check_library
        from ...engine.memory import need
        check_library(M, names)
        epochs, (L, P) = job.value(self.epochs), M.shape
        need(8 * job.value(self.mixtures) * (NUMBERS * P + 3 * L), "Learn from fewer mixtures (MIXTURES).")

        def follow(epoch, loss):
            job.progress(epoch, epochs)
            job.say("Epoch {epoch} of {epochs}: half the squared distance to the exact solution is {loss} per mixture "
                    "held out.", epoch=epoch, epochs=epochs, loss=f"{loss:.4g}")

        return train(M, absolute(job, self.weight, M), np.random.default_rng(job.value(self.seed)),
                     layers=job.value(self.layers), pixels=job.value(self.mixtures), epochs=epochs,
                     rate=job.value(self.rate), noise=job.value(self.noise), callback=follow)

    def _given(self, job, state, M):
        import numpy as np

        from ...algorithms.abundances.lista import Lista
        from ...algorithms.abundances.sparse import unit
        from ...engine.sentences import UserError
        if state["M"].shape != M.shape or not np.allclose(state["M"], M, rtol=1e-5, atol=1e-6 * np.abs(M).max()):
            raise UserError("The model {path} was trained for another library: {theirs} spectra, and these are {ours}, "
                            "or they differ in their values or their order. Choose the library that it was trained "
                            "for, or train a model for this one (leave TRAINED empty).", path=job.value(self.trained),
                            theirs=state["M"].shape[1], ours=M.shape[1])
        model = Lista.from_state(state)
        job.say("The model's own settings: {layers} layers, sparsity {weight}.", layers=model.layers,
                weight=f"{model.weight / unit(M):.4g}")
        return model


class LearnedTally(Tally):
    """`Tally` for a network: how far it is from the exact solution, and how its learning went."""

    def __init__(self, model):
        super().__init__()
        self.model, self.distances = model, []

    def compare(self, Y, A):
        """Measure the abundances A (P, n) of pixels Y (L, n)."""
        import numpy as np

        from ...algorithms.abundances.sunsal import sunsal
        exact = sunsal(Y, self.model.M, self.model.weight, positive=self.model.positive).A
        self.distances.append((np.square(A - exact).sum(), np.square(exact).sum()))

    @property
    def distance(self):
        """Squared distance to the exact solution, as a share of it."""
        off, size = map(sum, zip(*self.distances))
        return float(off / size) if size else 0.0

    def warn(self, job):
        job.say("Squared distance to the exact solution on some pixels: {share} of it.", share=f"{self.distance:.3g}")
        if self.distance > FAR:
            job.warn("The network is far from the exact solution: a squared distance of {percent} % of it. Learn "
                     "longer (EPOCHS), from more mixtures, with more layers or with the image's noise; or use SUnSAL, "
                     "which is exact.", percent=round(100 * self.distance))

    def report(self, report):
        super().report(report)
        report.table(["Squared distance to the exact solution, as a share of it"], [[self.distance]])
        if len(self.model.losses) > 1:
            report.curve(range(len(self.model.losses)), self.model.losses, "Half the squared distance to the exact "
                         "solution, mixtures held out", "Epoch", "Loss", logarithmic=True)
