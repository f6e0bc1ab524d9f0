"""The tool `deepgun`."""

from ...engine.declare import FieldInput, Integer, SpectraInput
from . import _variability


class DeepGenerativeUnmixing(_variability.VariabilityTool):
    """Fractions of materials whose spectra vary as a small neural network has learned it from pure pixels.

    DeepGUn: a variational autoencoder learns each material's spectra, from the pixels most like its reference or from
    spectra that you give. It then describes every variant by two numbers; these and the fractions are found for every
    pixel, smooth fractions being preferred. No shape of the variability is assumed, but only what was learned can come
    out: with few or uniform examples a material hardly varies.

    It needs the deep-learning packages (torch), and uses a graphics card where there is one."""

    id = "deepgun"
    label = "Deep generative unmixing (DeepGUn)"
    tags = (*_variability.VariabilityTool.tags, "DeepGUn", "deep learning", "variational autoencoder", "VAE", "bundles")
    citation = ("Borsoi, Imbiriba and Bermudez, Deep generative endmember modeling: an application to unsupervised "
                "spectral unmixing, IEEE Transactions on Computational Imaging 6, 2020")
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
    iterations = _variability.iterations(8)
    numbers = 0.5

    def _reference(self, job, scene):
        spectra = job.spectra(self.bundle)
        if spectra is None:
            return super()._reference(job, scene)
        import numpy as np

        from ...engine.spectra import of_scene
        M, members = self._members(job, scene)
        if job.spectra(self.endmembers) is not None:
            return super()._reference(job, scene)
        return of_scene(scene, np.stack([M[:, of].mean(axis=1) for of in members.values()], axis=1), list(members),
                        [f"Mean of {len(of)} spectra" for of in members.values()])

    def _members(self, job, scene):
        """The spectra to learn from on the scene's bands (L, K), and which of them each material has."""
        from .. import _shared
        spectra = job.spectra(self.bundle)
        M, members = spectra.to_scene(scene, job.say), {}
        for number, material in enumerate(_shared.every_material(spectra, job.value(self.field),
                                                                 self.bundle.label.lower())):
            members.setdefault(material, []).append(number)
        return M, members

    def method(self, job, scene, spectra, pixels):
        from functools import partial

        from ...algorithms.variability.deepgun import deepgun, learn, pure_pixels
        if job.spectra(self.bundle) is None:
            bundles = pure_pixels(pixels(), spectra.M, job.value(self.pure))
        else:
            bundles = self._bundles(job, scene, spectra)
        for name, bundle in zip(spectra.names, bundles):
            job.say("{name}: {count} spectra to learn from.", name=name, count=bundle.shape[1])
        generator = learn(bundles, spectra.M, seed=job.value(self.seed), epochs=job.value(self.epochs),
                          names=spectra.names)
        return partial(deepgun, generator=generator, lambda_z=job.value(self.lambda_z),
                       lambda_a=job.value(self.lambda_a))

    def _bundles(self, job, scene, spectra):
        from ...engine.sentences import UserError
        M, members = self._members(job, scene)
        missing = [name for name in spectra.names if name not in members]
        if missing:
            raise UserError("There are no spectra to learn {name} from: the materials are {materials}. Name the "
                            "reference endmembers like the materials, or leave them out.", name=missing[0],
                            materials=", ".join(members))
        return [M[:, members[name]] for name in spectra.names]
