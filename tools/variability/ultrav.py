"""The tool `ultrav`."""

from ...engine.declare import Integer, NumberOutput
from . import _variability
from .ultra import COST_TOLERANCE, RANK, RANKABUNDANCE, RANKTOLERANCE, beside

COMPONENTS = 3   # principal components of a material's spectra whose variance is drawn


class LowRankVariability(_variability.VariabilityTool):
    """Fractions of materials whose spectra vary from pixel to pixel, both as maps of simple structure.

    ULTRA-V: in every pixel the endmembers are free, and drawn to a tensor of low rank over rows, columns, bands and
    materials, as the fractions are to one of their own. No shape of the variability is assumed, only that it has
    structure in space. Two weights say how strictly both keep to their low ranks. A small reconstruction error
    says nothing about the fractions.

    The report shows the fractions and the spectra beside their low ranks, and where the spectra vary most."""

    id = "ultrav"
    label = "Low-rank tensors with spectral variability (ULTRA-V)"
    tags = (*_variability.VariabilityTool.tags, "ULTRA-V", "tensor", "low rank", "canonical polyadic decomposition")
    citation = ("Imbiriba, Borsoi and Bermudez, Low-rank tensor modeling for hyperspectral unmixing accounting for "
                "spectral variability, IEEE TGRS 58(3), 2020")
    prefer = ("Where the shape of the spectra varies with a structure in space. In our measurements it was the most "
              "accurate on simulated hills in sun and shadow; on the other scenes ELMM did as well or better, mostly "
              "in less time.")

    lambda_m = _variability.weight("LAMBDAM", "Strictness of the endmembers' low rank (lambda M)", 0.1, "How closely "
                                   "each pixel's endmembers keep to the low rank: larger is closer.")
    lambda_a = _variability.weight("LAMBDAA", "Strictness of the fractions' low rank (lambda A)", 0.001, "How closely "
                                   "the fractions keep to the low rank: larger is closer.")
    rank = RANK
    endmember_rank = Integer("ENDMEMBERRANK", "Rank of the endmembers", optional=True, minimum=1, maximum=10000,
                             advanced=True, help="How many rank-one terms the endmembers of all pixels are drawn to, "
                             "at least 1. Empty: the number of endmembers times as many singular values of the "
                             "starting map of brightness as stand out.")
    rank_tolerance, exact = RANKTOLERANCE, _variability.EXACT
    start = _variability.START
    iterations, tolerance = _variability.iterations(100), COST_TOLERANCE
    rank_abundance = RANKABUNDANCE
    rank_endmember = NumberOutput("RANKENDMEMBER", "Rank of the endmembers", help="The rank estimated or given; the "
                                  "largest of all tiles.")
    numbers = 1

    def method(self, job, scene, spectra, pixels):
        from functools import partial

        from ...algorithms.variability.ultrav import ultrav
        return partial(ultrav, lambda_m=job.value(self.lambda_m), lambda_a=job.value(self.lambda_a),
                       rank_abundance=job.value(self.rank), rank_endmember=job.value(self.endmember_rank),
                       rank_tolerance=job.value(self.rank_tolerance), start=job.value(self.start),
                       exact=job.value(self.exact))

    def bytes_per_pixel(self, job, scene, P):
        return super().bytes_per_pixel(job, scene, P) + 40 * (job.value(self.endmember_rank) or 0)

    def maps(self, job, found, valid):
        from ...algorithms.variability.model import brightness, principal_variation
        maps = {"low rank": found.Q}
        if job.wants(self.report):
            N = found.A.shape[1]
            maps["endmembers"] = brightness(found.endmembers, N)
            maps["low-rank endmembers"] = brightness(found.low_rank, N)
            maps["components"] = principal_variation(found.endmembers, valid, COMPONENTS)
        return maps

    def note(self, found):
        return {"abundances": found.rank_abundance, "endmembers": found.rank_endmember}

    def settle(self, job, scene, spectra, notes):
        job.give_number(self.rank_abundance, max(note["abundances"] for note in notes))
        job.give_number(self.rank_endmember, max(note["endmembers"] for note in notes))

    def figures(self, report, names, whole):
        import numpy as np
        report.heading("Fractions (above), and the low rank that they are drawn to")
        beside(report, names, whole, "A", "low rank", "low rank", "Fraction", (0, 1))
        report.heading("Brightness of each pixel's endmembers (above), and of the low rank that they are drawn to")
        beside(report, names, whole, "endmembers", "low-rank endmembers", "low rank", "Raster's units")
        report.heading(f"Where each material's spectra vary: mean distance from their mean along their first "
                       f"{COMPONENTS} principal components")
        maps = whole.drawn("components")
        if np.isfinite(maps).any():
            report.maps(dict(zip(names, maps)), "Raster's units")
