"""Wavelengths and widths of a raster's bands, wherever its format keeps them, in nanometres."""

import re

import numpy as np

NANOMETRES = {"nm": 1.0, "nanometers": 1.0, "nanometer": 1.0, "nanometres": 1.0, "nanometre": 1.0,
              "um": 1e3, "µm": 1e3, "μm": 1e3, "micrometers": 1e3, "micrometer": 1e3, "micrometres": 1e3,
              "micrometre": 1e3, "microns": 1e3, "micron": 1e3, "mm": 1e6, "millimeters": 1e6, "cm": 1e7,
              "centimeters": 1e7, "m": 1e9, "meters": 1e9, "a": 0.1, "angstroms": 0.1, "angstrom": 0.1}
RED_GREEN_BLUE = (660, 550, 470)
VISIBLE = (400, 700)
WAVENUMBERS = {"wavenumber", "cm-1", "1/cm", "cm^-1"}


def to_nanometres(values, unit=None):
    """
    Lengths in nanometres.

    A missing or unknown unit is guessed from the numbers, as EnMAP-Box does: micrometres where all are below 100.
    Wavenumbers (1/cm) are turned into wavelengths.
    """
    values = np.asarray(values, dtype=np.float64)
    key = (unit or "").strip().lower()
    if key in WAVENUMBERS:
        return 1e7 / values
    if key in NANOMETRES:
        return values * NANOMETRES[key]
    known = values[np.isfinite(values)]
    return values * (1e3 if known.size and known.max() < 100 else 1.0)


def natural_colours(count, wavelengths=None):
    """
    Band numbers, from 1, to show as red, green and blue: nearest to 660, 550 and 470 nm.

    Where there are no wavelengths, or none of them is visible, three bands spread over all `count` stand in.
    """
    if wavelengths is not None and np.min(wavelengths) < VISIBLE[1] and np.max(wavelengths) > VISIBLE[0]:
        return [int(np.abs(np.asarray(wavelengths) - colour).argmin()) + 1 for colour in RED_GREEN_BLUE]
    return [1 + round(share * (count - 1)) for share in (0.75, 0.5, 0.25)]


def numbers(text):
    """The numbers in an ENVI list such as `{ 0.41, 0.42 }`."""
    return [float(word) for word in re.findall(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?", text or "")]


def read_wavelengths(dataset):
    """
    Centre wavelengths and full widths at half maximum of a raster's bands.

    They are looked for, in this order, in each band's own items (`wavelength`, `wavelength_units`, `fwhm`), in the ENVI
    header's lists and in each band's IMAGERY domain. IMAGERY comes last because GDAL's ENVI driver fills it with
    wavelengths rounded to a nanometre.

    Returns
    -------
    (ndarray (L,) or None, ndarray (L,) or None)
        In nanometres; None where not every band has one.
    """
    count = dataset.count
    imagery = [dataset.tags(band, ns="IMAGERY") for band in dataset.indexes]
    items = [{key.lower(): value for key, value in dataset.tags(band).items()} for band in dataset.indexes]
    header = {key.lower(): value for key, value in {**dataset.tags(), **dataset.tags(ns="ENVI")}.items()}

    def of_bands(tags, key):
        try:
            return [float(tag[key]) for tag in tags]
        except (KeyError, ValueError):
            return None

    def find(key, imagery_key):
        """The values under a key and their unit, from the first place that has one for every band."""
        values = of_bands(items, key)
        if values:
            return values, items[0].get("wavelength_units") or items[0].get("wavelength_unit")
        values = numbers(header.get(key))
        if len(values) == count:
            return values, header.get("wavelength_units")
        return of_bands(imagery, imagery_key), "um"

    centres, unit = find("wavelength", "CENTRAL_WAVELENGTH_UM")
    if centres is None:
        return None, None
    centres = to_nanometres(centres, unit)
    if not np.all(np.isfinite(centres)) or not np.all(centres > 0):
        return None, None
    widths, unit = find("fwhm", "FWHM_UM")
    return centres, None if widths is None else _widths_to_nanometres(widths, unit, centres)


def _widths_to_nanometres(widths, unit, centres):
    """Widths of bands, in a unit, beside centres that are in nanometres already."""
    if (unit or "").strip().lower() in WAVENUMBERS:
        return np.asarray(widths) * centres ** 2 / 1e7
    widths = to_nanometres(widths, unit)
    # a width guessed in micrometres, or given in nanometres beside centres in micrometres
    return widths / 1e3 if np.median(widths) > 0.5 * np.median(centres) else widths


def read_bad_bands(dataset):
    """True for each band that the raster flags as bad (`bbl` 0), from its band items or the ENVI list."""
    flags = [dataset.tags(band).get("bbl") for band in dataset.indexes]
    if any(flag is None for flag in flags):
        listed = numbers(dataset.tags(ns="ENVI").get("bbl") or dataset.tags().get("bbl"))
        flags = listed if len(listed) == dataset.count else [1] * dataset.count
    return np.array([float(flag) == 0 for flag in flags])


def write_wavelengths(dataset, band, centre, width=None):
    """Write one band's wavelength (nm) and width where GDAL 3.10, EnMAP-Box and ENVI look for them."""
    items = {"wavelength": f"{centre:.10g}", "wavelength_units": "Nanometers"}
    imagery = {"CENTRAL_WAVELENGTH_UM": f"{centre / 1e3:.10g}"}
    if width is not None:
        items["fwhm"] = f"{width:.10g}"
        imagery["FWHM_UM"] = f"{width / 1e3:.10g}"
    dataset.update_tags(band, **items)
    dataset.update_tags(band, ns="IMAGERY", **imagery)
