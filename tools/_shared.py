"""Parameters and outputs that many tools share: a sentence of help, a range or a default stands here once."""

from ..engine.declare import (BandsInput, Integer, NumberOutput, RasterInput, RasterOutput, ReportOutput, SpectraInput,
                              SpectraOutput, Style)

INPUT = RasterInput("INPUT", "Hyperspectral image", help="Raster with at least two bands, in any unit (reflectance, "
                    "radiance, digital numbers); a scale and an offset that it declares are applied. Pixels that are "
                    "nodata in a used band are left out and come out as nodata.")

BANDS = BandsInput("BANDS", "Bands to use", optional=True, advanced=True, help="Exactly these bands. None chosen: all "
                   "but those flagged bad in the raster's metadata (bbl), nodata throughout, or constant. On the "
                   "command line separate numbers by semicolons.")

ENDMEMBERS = SpectraInput("ENDMEMBERS", "Endmembers", raster="INPUT", help="Layer of spectra (a feature each, with the "
                          "fields name and profile), in the raster's units. They are matched to the raster's bands by "
                          "wavelength, or by number where there are no wavelengths.")

COUNT = Integer("COUNT", "Number of endmembers", default=4, minimum=2, within_bands_of="INPUT",
                help="How many materials to look for: at least 2, at most the number of bands. HySime estimates it.")

SEED = Integer("SEED", "Random seed", default=0, minimum=0, advanced=True,
               help="Starts the random numbers: the same seed gives the same result. 0 or any positive whole number.")

FOUND = SpectraOutput("ENDMEMBERS", "Endmembers", optional=False, help="Layer with one spectrum per feature (name, "
                      "profile, source), at the pixel it was taken from. Rename the materials in its attribute table.")

ABUNDANCES = RasterOutput("ABUNDANCES", "Abundances", style=Style.FRACTIONS, optional=False, help="Raster with a band "
                          "per endmember, named after it: the fraction of the pixel that it covers, 0 to 1. Nodata is "
                          "-9999.")

GIVEN_ABUNDANCES = RasterInput("ABUNDANCES", "Abundances", spectral=False, help="Raster with one band per endmember, "
                               "named after it: the fraction of the pixel that it covers, 0 to 1. Every band is used.")

RMSE = NumberOutput("RMSE", "Reconstruction RMSE (input units)", help="Root mean square, over all pixels and bands, of "
                    "the difference between the image and its reconstruction.")

SAM = NumberOutput("SAM", "Mean spectral angle (degrees)", help="Angle between a pixel and its reconstruction, "
                   "averaged over the pixels.")

RANK = NumberOutput("RANK", "Number of endmembers", help="How many materials were found or used.")

REPORT = ReportOutput("REPORT", "Report", create=False, help="HTML file with the figures and plots of the run.")


def iterations(default, remark=""):
    """The parameter ITERATIONS; a `remark` on the default."""
    return Integer("ITERATIONS", "Iterations at most", default=default, minimum=1, maximum=100000, advanced=True,
                   help=f"The run ends after so many, 1 to 100000, with a warning if it has not settled. Default "
                        f"{default}{remark}.")


def numbered(count, word="endmember"):
    """Names for endmembers that have none yet."""
    return [f"{word} {number}" for number in range(1, count + 1)]


def expect_fractions(job, A):
    """Warn, once, where the bands of what should be abundances add up to something quite different from one."""
    import numpy as np
    total = np.abs(A[:, ::97], dtype=np.float64).sum(axis=0).mean() if A.size else 1.0
    if total > 5 and not hasattr(job, "told_of_sums"):
        job.told_of_sums = True
        job.warn("The bands add up to about {total}, and abundances add up to about 1: is this an abundance raster "
                 "and not the image itself?", total=f"{total:.4g}")


def add_composite(job, report, abundances, names):
    """A picture of all fractions in a report, from the abundance raster just written."""
    from ..engine.pictures import composite_of
    report.heading("Where they are")
    report.picture(composite_of(job.path(abundances), names), "All fractions, each endmember in its colour")


def pixel_source(scene, row, col):
    """Where a spectrum came from, in words: the raster's name and the pixel, counted from 0."""
    return f"{raster_name(scene)}, row {row}, column {col}"


def raster_name(scene):
    """The raster's name without its folder."""
    return scene.path.replace("\\", "/").rsplit("/", 1)[-1]


def strips(scene, progress):
    """
    The scene in strips of a few whole rows: `(cube (L, rows, width), valid (rows, width))`, from top to bottom.

    For what compares neighbours in a row: no pair is cut, however the raster is stored.
    """
    from ..algorithms.pixels import CHUNK
    few = max(1, CHUNK // scene.width)
    windows = scene.windows(rows=True)
    for done, window in enumerate(windows, 1):
        Y, valid = scene.read(window)
        cube, valid = Y.reshape(scene.L, -1, scene.width), valid.reshape(-1, scene.width)
        for row in range(0, len(valid), few):
            yield cube[:, row:row + few], valid[row:row + few]
        progress(done, len(windows))


def in_parts(function, Y, valid):
    """`function` of the valid pixels of a block, in float64 a few thousand at a time; the answer is float32."""
    import numpy as np

    from ..algorithms.pixels import blocks
    Y = Y if valid.all() else Y[:, valid]
    parts = [function(part.astype(np.float64)).astype(np.float32) for part in blocks(Y)] or \
        [function(Y.astype(np.float64)).astype(np.float32)]
    return np.concatenate(parts, axis=1), valid


def warn_of_noise(job, rank):
    """Tell the user where an estimate of the number of endmembers found nothing to count."""
    if rank == 0:
        job.warn("No direction carries more signal than noise: the scene looks like noise alone.")


ENOUGH = 10   # valid pixels per band: on white noise of 156 bands, 7 components rise above it at 6, none at 10


def warn_of_few_pixels(job, scene, pixels):
    """Tell the user where there are so few pixels that noise alone passes for signal."""
    if pixels < ENOUGH * scene.L:
        job.warn("There are only {ratio} valid pixels per band. Below about {enough}, noise alone is counted as "
                 "signal, so the number is likely too large. Use a larger scene or fewer bands.",
                 ratio=f"{pixels / scene.L:.1f}", enough=ENOUGH)


def nothing_valid(scene):
    """Refuse a scene in which every pixel is masked."""
    from ..engine.sentences import UserError
    raise UserError("{path} has no valid pixel: each is nodata in one of the {bands} used bands. Choose another "
                    "raster, or leave out the bands with gaps.", path=scene.path, bands=scene.L)


def materials(spectra, field, label):
    """The material of each spectrum as its `field` (or its name) tells it, empty where there is none."""
    from ..engine.sentences import UserError
    if field.lower() == "name":
        return spectra.names
    rows = spectra.attributes or [{}] * spectra.P
    known = list(dict.fromkeys(name for row in rows for name in row))
    match = field if field in known else next((name for name in known if name.lower() == field.lower()), None)
    if match is None:
        raise UserError("The layer for {label} has no field {field} that names the material of each spectrum "
                        "(MATERIALFIELD). Choose one of its fields: {fields}; or add one in the attribute table.",
                        label=label, field=field, fields=", ".join(known) or "none")
    return ["" if row.get(match) is None else str(row[match]).strip() for row in rows]


def every_material(spectra, field, label):
    """The same, where each spectrum must have one."""
    from ..engine.sentences import UserError
    found = materials(spectra, field, label)
    for name, material in zip(spectra.names, found):
        if not material:
            raise UserError("The spectrum {name} has no material in the field {field}. Fill it in, or leave the "
                            "spectrum out by a selection.", name=name, field=field)
    return found
