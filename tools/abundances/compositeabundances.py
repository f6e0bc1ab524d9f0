"""The tool `compositeabundances`."""

from ...engine.declare import Group, RasterOutput, Style, Tool
from .. import _shared


class CompositeOfAbundances(Tool):
    """A colour picture of all fractions at once: each endmember's colour, weighted by its share of the pixel.

    Pure pixels show their endmember's own colour, mixtures the blend. The colour goes with the band's name, so that
    the same material looks the same on every map, plot and date: names such as water, tree or soil have colours that
    fit, and numbered names count through a palette. Rename the endmembers before unmixing to choose colours.

    Negative fractions count as none. Pixels that are nodata in a band are nodata (0) in the picture."""

    id = "compositeabundances"
    label = "Colour composite of abundances"
    group = Group.ABUNDANCES
    tags = ("abundances", "fractions", "RGB", "composite", "map", "colour")
    citation = "Subpixel's own: the mean of the endmembers' colours in RGB, weighted by nonnegative fractions"
    prefer = ("Take it to see mixtures and where they change. Dominant endmember gives each pixel one class, whose "
              "areas can be counted.")

    abundances = _shared.GIVEN_ABUNDANCES
    picture = RasterOutput("OUTPUT", "Colour composite", style=Style.COMPOSITE, optional=False, help="Raster of bytes, "
                           "1 to 255, with the bands red, green and blue. Nodata 0.")
    example = {"ABUNDANCES": "abundances"}

    def run(self, job):
        from ...engine.pictures import composite
        scene = job.scene(self.abundances)
        names = scene.band_names

        def block(A, valid):
            _shared.expect_fractions(job, A if valid.all() else A[:, valid])
            return composite(A if valid.all() else A[:, valid], names), valid

        with job.raster(self.picture, scene, ["Red", "Green", "Blue"], dtype="uint8", nodata=0,
                        photometric="rgb") as file:
            for window, (colours, valid) in scene.map_blocks(block, progress=job.progress):
                file.write(window, colours, valid)
