"""The tool `glphs`."""

from ...engine.declare import Integer
from . import _fusion

MEANWHILE = 20   # numbers per pixel of the fused image that are held beside the result
COPIES = 5       # of the multispectral image that are held at once


class Hypersharpening(_fusion.FusionTool):
    """The hyperspectral image at the multispectral image's resolution, with that image's fine detail added.

    GLP-HS interpolates each band and adds the fine detail of the mixture of multispectral bands that is most like it.
    Seen from afar the image stays close to the hyperspectral one, and there is nothing to be tuned. It adds whatever
    detail the multispectral image shows, also that of things that were not there on the hyperspectral image's date."""

    id = "glphs"
    label = "Hypersharpening by a Laplacian pyramid (GLP-HS)"
    tags = (*_fusion.FusionTool.tags, "GLP-HS", "hypersharpening", "Laplacian pyramid", "multiresolution analysis")
    citation = ("Selva, Aiazzi, Butera, Chiarantini and Baronti, Hyper-sharpening: a first approach on SIM-GA data, "
                "IEEE Journal of Selected Topics in Applied Earth Observations and Remote Sensing 8(6), 2015; Aiazzi, "
                "Alparone, Baronti, Garzelli and Selva, MTF-tailored multiscale fusion of high-resolution MS and Pan "
                "imagery, Photogrammetric Engineering and Remote Sensing 72(5), 2006")
    prefer = ("A first look at any pair, at once: the most accurate on images of two real sensors in our measurements, "
              "and good where light or season changed. Where fields changed, take BTD-Var.")
    doi = ("10.1109/JSTARS.2015.2440092", "10.14358/PERS.72.5.591")

    rank = Integer("SUBSPACE", "Dimension of the subspace", optional=True, minimum=1, maximum=1000, advanced=True,
                   help="Interpolate the hyperspectral image in so many principal directions only, from 1; no more "
                        "than it has bands or pixels are used. That takes less memory and leaves noise out: 10 to 40 "
                        "are usual. Empty: all bands as they are, as published.")

    def prepared(self, job, paired, P3):
        self.numbers = (min(job.value(self.rank) or paired.hsi.L, paired.hsi.L) + MEANWHILE
                        + COPIES * paired.msi.L)
        return super().prepared(job, paired, P3)

    def method(self, job):
        from ...algorithms.fusion.glphs import glphs
        return lambda pair, start, callback: glphs(pair, job.value(self.rank))
