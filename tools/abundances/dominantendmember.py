"""The tool `dominantendmember`."""

from ...engine.declare import Group, RasterOutput, Real, Style, Tool
from .. import _shared

CLASSES = 254   # what a byte holds beside nodata and the class for mixed pixels


class DominantEndmember(Tool):
    """A map of classes: the endmember with the largest fraction in every pixel.

    Classes are numbered from 1 in the order of the bands and named after them, each in its endmember's colour.

    Where the largest fraction is below the minimum, the pixel gets the class that follows the last endmember, called
    mixed. Pixels that are nodata in a band, or in which no fraction is above zero, are nodata (0). Of equal fractions
    the first band's counts."""

    id = "dominantendmember"
    label = "Dominant endmember"
    group = Group.ABUNDANCES
    tags = ("abundances", "fractions", "classification", "majority", "hard classification", "map")
    citation = "Subpixel's own: the largest of the fractions"
    prefer = ("Take it for a map of classes, and to count their areas. Colour composite of abundances keeps the "
              "mixtures, which a class hides.")

    abundances = _shared.GIVEN_ABUNDANCES
    minimum = Real("MINIMUM", "Smallest dominant fraction", default=0.0, minimum=0.0, maximum=1.0,
                   help="Pixels whose largest fraction is below this, from 0 to 1, are mixed. Default 0: none is.")
    classes = RasterOutput("OUTPUT", "Dominant endmember", style=Style.DOMINANT, optional=False, help="Raster of "
                           "bytes: the number of the band with the largest fraction, one more than there are bands for "
                           "mixed pixels. Nodata 0.")
    example = {"ABUNDANCES": "abundances"}

    def run(self, job):
        import numpy as np

        from ...engine.sentences import UserError
        scene, minimum = job.scene(self.abundances), job.value(self.minimum)
        if scene.L > CLASSES:
            raise UserError("The raster has {bands} bands, and a map of classes holds at most {most}. Choose a raster "
                            "of abundances, with one band per endmember.", bands=scene.L, most=CLASSES)
        names = scene.band_names + (["mixed"] if minimum > 0 else [])
        counts = np.zeros(len(names) + 1, dtype=np.int64)

        def block(A, valid):
            _shared.expect_fractions(job, A[:, valid])
            return dominant(A[:, valid], minimum), valid

        with job.raster(self.classes, scene, [self.classes.label], dtype="uint8", nodata=0) as file:
            job.classes(self.classes, names)
            for window, (number, valid) in scene.map_blocks(block, progress=job.progress):
                counts += np.bincount(number, minlength=len(counts))
                file.write(window, number, valid)
        for name, count in zip(names, counts[1:]):
            job.say("{name}: {percent} % of the pixels.", name=name,
                    percent=f"{100 * count / max(counts.sum(), 1):.1f}")


def dominant(A, minimum):
    """
    Number from 1 of the largest of the fractions `A` (P, n) of each pixel, as bytes (n,).

    P + 1 where it is below `minimum`, 0 where none is above zero.
    """
    import numpy as np
    largest = A.max(axis=0)
    number = np.where(largest < minimum, len(A) + 1, A.argmax(axis=0) + 1)
    return np.where(largest > 0, number, 0).astype(np.uint8)
