"""The tool `plmm`."""

from dataclasses import replace

from ...engine.declare import Real, SpectraOutput
from . import _variability


class PerturbedLinearMixingModel(_variability.VariabilityTool):
    """Fractions of materials whose spectra vary a little, in any shape, around spectra that are estimated too.

    The perturbed linear mixing model: in every pixel each endmember is a spectrum of the scene plus a small
    perturbation of any shape. The scene's spectra are estimated too, near the reference, and fractions vary smoothly in
    space. It says nothing of what causes the perturbations. A small reconstruction error says nothing about the
    fractions: perturbations can make one material of another, most easily of a dark one."""

    id = "plmm"
    label = "Perturbed linear mixing model (PLMM)"
    tags = (*_variability.VariabilityTool.tags, "PLMM", "perturbation", "blind unmixing")
    citation = ("Thouvenin, Dobigeon and Tourneret, Hyperspectral unmixing with spectral variability using a perturbed "
                "linear mixing model, IEEE TSP 64(2), 2016")
    prefer = ("Where spectra change their shape a little, in no known way. Where their brightness changes, take ELMM: "
              "it has fewer unknowns and was more accurate in our measurements.")
    doi = ("10.1109/TSP.2015.2486746",)

    alpha = Real("ALPHA", "Smoothness of the fractions (alpha)", optional=True, minimum=0.0, maximum=1e12,
                 help="Weight of the squared differences of the fractions between neighbours, 0 or more. No unit, for "
                      "data divided by the endmembers' largest value. Empty: from the fit at the start.")
    beta = Real("BETA", "Closeness of the scene's spectra to the reference (beta)", optional=True, minimum=1e-12,
                maximum=1e12, help="How closely the scene's spectra keep to the reference, above 0. No unit. Empty: "
                                   "0.1 for each valid pixel.")
    gamma = _variability.weight("GAMMA", "Strictness of the perturbations (gamma)", 0.1, "How small the perturbations "
                                "are kept: larger is smaller.")
    start = replace(_variability.START, default="scls", options={
        "scls": "Scaled least squares", "fcls": "Fully constrained least squares"}, help="Which abundances the "
        "iteration starts from; the result depends on it. Default scls.")
    exact = replace(_variability.EXACT, default=True, help="Keep endmembers that are not negative exactly, so that no "
                    "iteration raises the cost. Otherwise negative values are set to zero, which is faster. Default "
                    "yes.")
    estimated = SpectraOutput("ESTIMATED", "Estimated endmembers", create=False, help="Layer with the spectra of the "
                              "scene that the perturbations depart from, in the raster's units. Of a scene in tiles: "
                              "the mean over the tiles, weighted by their pixels.")

    def method(self, job, scene, spectra, pixels):
        from functools import partial

        from ...algorithms.variability.plmm import plmm
        return partial(plmm, alpha=job.value(self.alpha), beta=job.value(self.beta), gamma=job.value(self.gamma),
                       start=job.value(self.start), exact=job.value(self.exact))

    def note(self, found):
        return {"M": found.M, "alpha": found.alpha, "beta": found.beta}

    def remarks(self, notes):
        return [f"{name.capitalize()} used: {', '.join(sorted({f'{note[name]:.4g}' for note in notes}))}."
                for name in ("alpha", "beta")]

    def settle(self, job, scene, spectra, notes):
        import numpy as np

        from ...engine.spectra import of_scene
        M = np.average([note["M"] for note in notes], axis=0, weights=[note["pixels"] for note in notes])
        job.give_spectra(self.estimated, of_scene(scene, M, spectra.names, [self.label] * spectra.P), scene)
        for name in ("alpha", "beta"):
            values = sorted(note[name] for note in notes)
            job.say("Weight {name}: {first} to {last} over the tiles." if values[0] < values[-1] else
                    "Weight {name}: {first}.", name=name, first=f"{values[0]:.4g}", last=f"{values[-1]:.4g}")
