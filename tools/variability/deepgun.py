"""The tool `deepgun`."""

from dataclasses import replace

from ...engine.declare import FieldInput, Integer, Real, SpectraInput
from . import _variability

HARDLY = 0.25   # of how much its spectra vary: a material that varies less than that gets a warning
APART = 0.1      # of the reference, by which what the network makes of it may differ without a warning


class DeepGenerativeUnmixing(_variability.VariabilityTool):
    """Fractions of materials whose spectra vary as a small neural network has learned it from pure pixels.

    DeepGUn: a variational autoencoder learns each material's spectra, from the pixels most like its reference or from
    spectra that you give. It then describes every variant by two numbers; these and the fractions are found for every
    pixel, smooth fractions being preferred. No shape of the variability is assumed, but only what was learned can come
    out. Where the differences between a material's spectra are small for its fidelity, the network learns their mean
    only and the material does not vary: a warning says so, and a larger fidelity or more epochs help.

    It needs the deep-learning packages (torch), and uses a graphics card where there is one."""

    id = "deepgun"
    label = "Deep generative unmixing (DeepGUn)"
    tags = (*_variability.VariabilityTool.tags, "DeepGUn", "deep learning", "variational autoencoder", "VAE", "bundles",
            "neural network", "generative model")
    citation = ("Borsoi, Imbiriba and Bermudez, Deep generative endmember modeling: an application to unsupervised "
                "spectral unmixing, IEEE Transactions on Computational Imaging 6, 2020")
    prefer = ("Where pure pixels, or spectra that you give, show how each material varies, in ways that no factor "
              "describes. In our measurements it did about as well as ELMM on simulated scenes, and worse on real "
              "ones.")
    doi = ("10.1109/TCI.2019.2948726",)
    requires = (*_variability.VariabilityTool.requires, "torch")

    bundle = SpectraInput("BUNDLE", "Spectra to learn from", raster="INPUT", bundle=True, optional=True, help="Layer "
                          "with several spectra of each material, at least three, in the raster's units. Materials are "
                          "those of the reference endmembers, by name; where none are given, the references are the "
                          "materials' mean spectra. None: the pixels most like each reference.")
    field = FieldInput("MATERIALFIELD", "Material field", layer="BUNDLE", default="material", optional=True,
                       help="Field of the spectra to learn from that names the material of each. Default material, "
                            "which Extract spectra can fill. Without meaning where there are none.")
    pure = Integer("PUREPIXELS", "Pure pixels to learn from", default=100, minimum=3, maximum=100000, help="How many "
                   "of the pixels most like its reference each material is learned from, 3 to 100000, where no spectra "
                   "to learn from are given. Default 100.")
    lambda_z = _variability.weight("LAMBDAZ", "Closeness to the reference (lambda Z)", 0.1, "How closely the numbers "
                                   "that describe a pixel's spectra keep to those of the reference.")
    lambda_a = _variability.weight("LAMBDAA", "Smoothness of the fractions (lambda A)", 0.01, "Weight of the total "
                                   "variation of the fractions: larger gives more even patches.", optional=True)
    epochs = Integer("EPOCHS", "Epochs of learning", default=50, minimum=1, maximum=100000, advanced=True,
                     help="How often learning goes through the spectra, 1 to 100000. Default 50, as published.")
    fidelity = Real("FIDELITY", "Fidelity to the spectra", default=30, minimum=1e-3, maximum=1e6, advanced=True,
                    help="How exactly the network keeps to the spectra it learns from, 0.001 to 1000000. Too small, "
                         "and it takes what sets a material's spectra apart for noise and makes one spectrum of all. "
                         "Very large, it learns noise too, and its variants count as far from the reference, so that "
                         "pixels vary less again. 1 is as published, and often leaves materials one spectrum. Default "
                         "30.")
    iterations = _variability.iterations(8)
    variability = replace(_variability.VariabilityTool.variability, help="Raster with a band per endmember: how much "
                          "its spectrum departs in each pixel from what the network makes of the reference, as the "
                          "root mean square of the difference over the bands, relative to that of the latter. 0.1 is "
                          "ten per cent; it means little where the endmember's fraction is near zero.")
    pixel_endmembers = _variability.VariabilityTool.pixel_endmembers   # which stays behind it
    numbers = 0.5

    def run(self, job):
        from ...algorithms.device import one_thread_each
        with one_thread_each():
            super().run(job)

    def _reference(self, job, scene):
        """As elsewhere, or the means of the spectra to learn from, which `self._bundles` keeps for `method`."""
        import numpy as np

        from ...engine.spectra import of_scene
        bundles = self._bundles = self._read_bundles(job, scene)
        if bundles and job.spectra(self.endmembers) is None:
            return of_scene(scene, np.stack([bundle.mean(axis=1) for bundle in bundles.values()], axis=1),
                            list(bundles), [f"Mean of {bundle.shape[1]} spectra" for bundle in bundles.values()])
        covered = scene.indexes
        spectra = super()._reference(job, scene)
        left = np.isin(covered, scene.indexes)   # bands that the reference endmembers cover too
        self._bundles = {material: bundle[left] for material, bundle in bundles.items()}
        return spectra

    def _read_bundles(self, job, scene):
        """The spectra to learn from on the scene's bands, (L, n) of each material; none where none are given."""
        from .. import _shared
        spectra = job.spectra(self.bundle)
        if spectra is None:
            return {}
        M, members = spectra.to_scene(scene, job.say), {}
        for number, material in enumerate(_shared.every_material(spectra, job.value(self.field),
                                                                 self.bundle.label.lower())):
            members.setdefault(material, []).append(number)
        return {material: M[:, numbers] for material, numbers in members.items()}

    def method(self, job, scene, spectra, pixels):
        from functools import partial

        from ...algorithms.variability.deepgun import deepgun, learn, pure_pixels
        bundles = (self._of(spectra.names) if self._bundles else
                   pure_pixels(pixels(), spectra.M, job.value(self.pure)))
        for name, bundle in zip(spectra.names, bundles):
            job.say("{name}: {count} spectra to learn from.", name=name, count=bundle.shape[1])
        generator = learn(bundles, spectra.M, seed=job.value(self.seed), epochs=job.value(self.epochs),
                          fidelity=job.value(self.fidelity), names=spectra.names)
        for name, m0, made in zip(spectra.names, spectra.M.T, generator.references().T):
            apart = float(((made - m0) ** 2).sum() ** 0.5 / (m0 ** 2).sum() ** 0.5)
            (job.warn if apart > APART else job.say)(
                "{name}: what the network makes of the reference differs from it by {share} %. The variability is "
                "measured from what it makes.", name=name, share=f"{100 * apart:.2g}")
        for name, (own, made) in zip(spectra.names, generator.spread):
            if made < HARDLY * own:
                job.warn("{name} hardly varies: the spectra to learn it from differ from their mean by {own} %, what "
                         "the network makes of them by {made} %. Choose a larger fidelity, more epochs, or other "
                         "spectra to learn from.", name=name, own=f"{100 * own:.2g}", made=f"{100 * made:.2g}")
        return partial(deepgun, generator=generator, lambda_z=job.value(self.lambda_z),
                       lambda_a=job.value(self.lambda_a))

    def _of(self, names):
        """The spectra to learn these materials from, (L, n) of each."""
        from ...engine.sentences import UserError
        missing = [name for name in names if name not in self._bundles]
        if missing:
            raise UserError("There are no spectra to learn {name} from: the materials are {materials}. Name the "
                            "reference endmembers like the materials, or leave them out.", name=missing[0],
                            materials=", ".join(self._bundles))
        return [self._bundles[name] for name in names]
