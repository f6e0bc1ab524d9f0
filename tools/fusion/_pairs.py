"""How a tool gets from two rasters to the pairs that fusion methods are given: bands, response, blur, units, tiles."""

from ...engine.declare import BandsInput, Choice, FileInput, RasterInput, Real
from .. import _shared

UNITS = 5.0    # times as bright as the other that an image must be in another unit
NEAR = 1.6     # times a power of ten that it is then taken to be that
FAR = 1.3      # times as bright that is worth a warning
GAIN = 1.1     # times as bright that is worth a word
SIDE = 200    # HSI pixels of the part in the middle that blur and response are estimated from, along each axis
UNSEEN = 1e-3  # weight of masked pixels in an HSI pixel that does not disturb
POOR = 0.5     # misfit of an estimated blur from which it is not believed
# tags of an HSI that `waldpair` made: its point spread function in the scene's pixels, and how many make one of its own
SIGMA, SIZE, RATIO = "SUBPIXEL_PSF_SIGMA", "SUBPIXEL_PSF_SIZE", "SUBPIXEL_PSF_RATIO"

HSI = RasterInput("HSI", "Hyperspectral image", help="Raster with many bands and their wavelengths, such as EnMAP, "
                  "PRISMA, EMIT or DESIS. Pixels that are nodata in a used band are left out.")
MSI = RasterInput("MSI", "Multispectral image", help="Raster of the same ground with smaller pixels and fewer bands, "
                  "such as Sentinel-2 or Landsat, in the same unit (reflectance). It may have a grid and a CRS of its "
                  "own: where both lie is taken from the georeference.")
HSI_BANDS = BandsInput("HSIBANDS", "Bands to use of the hyperspectral image", raster="HSI", optional=True,
                       advanced=True, help=_shared.BANDS.help)
MSI_BANDS = BandsInput("MSIBANDS", "Bands to use of the multispectral image", raster="MSI", optional=True,
                       advanced=True, help=_shared.BANDS.help)
SRF = Choice("SRF", "Sensor of the multispectral image", default="sentinel2a", options={
    "sentinel2a": "Sentinel-2A", "sentinel2b": "Sentinel-2B", "sentinel2c": "Sentinel-2C",
    "landsat8": "Landsat 8", "landsat9": "Landsat 9", "superdove": "PlanetScope SuperDove", "table": "From a table"},
    help="Which wavelengths each of its bands covers: a sensor, or a table of responses. The image's bands are told "
         "apart by their names (B8A, SR_B5), by their wavelengths, or by their number where a product has all or the "
         "usual ones. Default sentinel2a.")
SRF_TABLE = FileInput("SRFTABLE", "Table of spectral responses", extensions=("csv", "geojson", "json", "txt", "sli"),
                      optional=True, help="File with the response of each band over the wavelength, in any unit: a CSV "
                      "table with a column wavelength (nm) and one per band, or a GeoJSON library. Only where the "
                      "sensor is given as a table.")
PSF = Choice("PSF", "Point spread function", default="gaussian", advanced=True, options={
    "gaussian": "Gaussian", "box": "Mean over the pixel's square"}, help="How the hyperspectral sensor sees the "
    "ground around the centre of its pixel, along rows as along columns. Default gaussian.")
PSF_WIDTH = Real("PSFWIDTH", "Width of the point spread function (HSI pixels)", optional=True, minimum=0.05,
                 maximum=10.0, advanced=True, help="Full width at half maximum of the Gaussian, or side of the square, "
                 "in pixels of the hyperspectral image. Empty: as the image's metadata tell, where waldpair made it, "
                 "else 1. estimatesrf estimates it from the pair.")


def check_order(hsi, msi):
    """Refuse a pair that was given the wrong way round."""
    from ...engine.sentences import UserError
    if msi.L > hsi.L:
        raise UserError("The multispectral image has more bands ({msi}) than the hyperspectral one ({hsi}). Exchange "
                        "the two images.", msi=msi.L, hsi=hsi.L)


def responses_of(job, srf, table):
    """The responses that the parameters name."""
    from ...engine.sensors import built_in, read_responses
    from ...engine.sentences import UserError
    if job.value(table) and job.value(srf) != "table":
        raise UserError("A table of responses is given (SRFTABLE), but the sensor is {sensor} (SRF). Set SRF to table, "
                        "or leave the table out.", sensor=job.value(srf))
    if job.value(srf) != "table":
        return built_in(job.value(srf))
    if not job.value(table):
        raise UserError("The sensor is given as a table (SRF is table), but no table is: choose a file for SRFTABLE, "
                        "or a sensor.")
    return read_responses(job.value(table))


def response_of(job, hsi, msi, srf, table):
    """
    The MSI's responses in the HSI's bands: (responses, P3). MSI bands that the HSI does not cover are left out of it.
    """
    import numpy as np

    from ...engine.sensors import COVERED, SENSORS, choose_bands, describe, response_matrix
    from ...engine.sentences import UserError
    if hsi.wavelengths is None:
        raise UserError("{path} has no wavelengths, so that it cannot be told what the multispectral image would see "
                        "of its spectra. Add them to its metadata (wavelength of each band, or an ENVI header).",
                        path=hsi.path)
    known = responses_of(job, srf, table)
    chosen = choose_bands(known, msi.band_names, msi.wavelengths, job.value(srf))
    P3, covered = response_matrix(chosen, hsi.wavelengths, hsi.fwhm)
    usable = covered >= COVERED
    reach = f"{hsi.wavelengths.min():.0f} to {hsi.wavelengths.max():.0f} nm"
    if not usable.any():
        raise UserError("None of the multispectral bands ({bands}) lies where the hyperspectral image has bands "
                        "({reach}). Choose another sensor (SRF), or images of the same wavelengths.",
                        bands=describe(chosen), reach=reach)
    if not usable.all():
        job.warn("The hyperspectral image ({reach}) does not cover these multispectral bands, which are left out: "
                 "{bands}.", reach=reach, bands=describe([band for band, use in zip(chosen, usable) if not use]))
        msi.keep(usable)
    chosen = [band for band, use in zip(chosen, usable) if use]
    job.say("Multispectral bands: {bands}. Response: {source}.", bands=describe(chosen),
            source=SENSORS[job.value(srf)][1] if job.value(srf) in SENSORS else job.value(table))
    return chosen, np.asarray(P3[usable])


def psf_of(job, hsi, paired, psf, width):
    """
    The point spread function along rows and along columns, in pixels of the fused image, and whether it is known: given
    or told by the image's metadata.
    """
    from ...algorithms.fusion.degradation import Box, Gaussian
    from ...engine.raster import open_raster
    given = job.value(width)
    with open_raster(hsi.path, hsi.name) as dataset:
        tags = dataset.tags()
    if given is None and job.value(psf) == "gaussian" and SIGMA in tags and SIZE in tags:
        sigma, size = (float(tags[key]) / float(tags.get(RATIO, paired.ratio[0])) for key in (SIGMA, SIZE))
        job.say("The image's metadata tell its point spread function: sigma {sigma} in {size} HSI pixels.",
                sigma=f"{sigma:.3f}", size=f"{size:.3g}")
        return tuple(Gaussian(sigma * ratio, size * ratio) for ratio in paired.ratio), True
    make = Box if job.value(psf) == "box" else Gaussian.of_width
    return tuple(make((1.0 if given is None else given) * ratio) for ratio in paired.ratio), \
        given is not None or job.value(psf) == "box"


def unit_of(job, P3, hsi_sample, msi_sample, quiet=False):
    """What to divide the MSI by so that both images are in one unit: 1, or a power of ten. Said unless `quiet`."""
    import numpy as np
    with np.errstate(divide="ignore", invalid="ignore"):
        times = float(np.nanmedian(msi_sample.mean(axis=1) / (P3 @ hsi_sample.mean(axis=1))))
    if not np.isfinite(times) or times <= 0:
        return 1.0
    foreign, unit = not 1 / UNITS < times < UNITS, 10.0 ** round(np.log10(times))
    alike = 1 / NEAR < times / unit < NEAR
    if foreign and not alike and not quiet:
        job.warn("The multispectral image is {times} times as bright as the hyperspectral one, as if they were in "
                 "different units. Bring both to one, such as reflectance; they are fused as they are.",
                 times=f"{times:.3g}")
    elif foreign and not quiet:
        job.warn("The multispectral image is about {times} times as bright as the hyperspectral one: it is taken to "
                 "be in another unit and divided by {unit}.", times=f"{times:.3g}", unit=f"{unit:g}")
    elif not 1 / FAR < times < FAR and not quiet:
        job.warn("The multispectral image is {times} times as bright as the hyperspectral one would be in its bands. "
                 "Where that is no change of the ground, look for an offset: Sentinel-2 L2A products since 2022 add "
                 "1000 to reflectance, which is to be subtracted first.", times=f"{times:.2f}")
    elif not 1 / GAIN < times < GAIN and not quiet:
        job.say("The multispectral image is {times} times as bright as the hyperspectral one would be in its bands.",
                times=f"{times:.2f}")
    return unit if foreign and alike else 1.0


def middle(paired):
    """
    A part of both images, filled where masked, to estimate things from: the middle, or where that holds few data one of
    eight others.

    Returns the HSI's and the MSI's part, the centres of the HSI's pixels on the MSI's part (rows, columns), and which
    HSI pixels (n, m) are data that see nothing but data.
    """
    parts = [_part(paired, down, across) for down, across in ((0.5, 0.5),)]
    if parts[0][-1].mean() < 0.5:
        parts += [_part(paired, down, across) for down in (0, 0.5, 1) for across in (0, 0.5, 1)]
    return max(parts, key=lambda part: part[-1].sum())


def _part(paired, down, across):
    """The part that lies so far down and across, from 0 to 1."""
    import numpy as np
    from rasterio.windows import Window

    from ...algorithms.fusion.degradation import Gaussian, degradation
    from ...algorithms.fusion.pair import both
    from ...engine.pairing import fill
    parts, firsts, lasts = [], [], []
    for centres, ratio, size, share in ((paired.rows, paired.ratio[0], paired.height, down),
                                        (paired.columns, paired.ratio[1], paired.width, across)):
        start = round(max(0, len(centres) - SIDE) * share)
        part = slice(start, min(start + SIDE, len(centres)))
        parts.append(part)
        firsts.append(max(0, int(np.floor(centres[part.start] - ratio))))
        lasts.append(min(size, int(np.ceil(centres[part.stop - 1] + ratio)) + 1))
    coarse, known = paired.read_hsi(*parts)
    fine, valid = paired.read_msi(Window(firsts[1], firsts[0], lasts[1] - firsts[1], lasts[0] - firsts[0]))
    rows, columns = paired.rows[parts[0]] - firsts[0], paired.columns[parts[1]] - firsts[1]
    blur = (degradation(size, centres, Gaussian.of_width(ratio)) for size, centres, ratio in
            zip(valid.shape, (rows, columns), paired.ratio))
    usable = known & (both(*blur, (~valid).astype(float)[None])[0] < UNSEEN)
    return fill(coarse, known) if known.any() else np.zeros_like(coarse), \
        fill(fine, valid) if valid.any() else np.zeros_like(fine), rows, columns, usable
