"""Wavelengths and widths of a raster's bands as arrays, wherever its format keeps them, in nanometres."""

import numpy as np

from . import bands

RED_GREEN_BLUE = (660, 550, 470)
VISIBLE = (400, 700)


def to_nanometres(values, unit=None):
    """Lengths (n,) in nanometres; see `bands.to_nanometres`."""
    return np.asarray(bands.to_nanometres(np.asarray(values, dtype=np.float64).tolist(), unit))


def natural_colours(count, wavelengths=None):
    """
    Band numbers, from 1, to show as red, green and blue: nearest to 660, 550 and 470 nm.

    Where there are no wavelengths, or none of them is visible, three bands spread over all `count` stand in.
    """
    if wavelengths is not None and np.min(wavelengths) < VISIBLE[1] and np.max(wavelengths) > VISIBLE[0]:
        return [int(np.abs(np.asarray(wavelengths) - colour).argmin()) + 1 for colour in RED_GREEN_BLUE]
    return [1 + round(share * (count - 1)) for share in (0.75, 0.5, 0.25)]


def read_wavelengths(dataset):
    """
    Centre wavelengths and full widths at half maximum of a raster's bands; see `bands.wavelengths`.

    Returns
    -------
    (ndarray (L,) or None, ndarray (L,) or None)
        In nanometres; None where not every band has one.
    """
    imagery = [dataset.tags(band, ns="IMAGERY") for band in dataset.indexes]
    found = bands.wavelengths(_items(dataset), imagery, _header(dataset))
    return tuple(None if values is None else np.array(values) for values in found)


def read_bad_bands(dataset):
    """True for each band that the raster flags as bad (`bbl` 0), from its band items or the ENVI list."""
    return np.array(bands.bad_bands(_items(dataset), _header(dataset)))


def _items(dataset):
    return [dataset.tags(band) for band in dataset.indexes]


def _header(dataset):
    return {**dataset.tags(), **dataset.tags(ns="ENVI")}


def write_wavelengths(dataset, band, centre, width=None):
    """Write one band's wavelength (nm) and width where GDAL 3.10, EnMAP-Box and ENVI look for them."""
    items = {"wavelength": f"{centre:.10g}", "wavelength_units": "Nanometers"}
    imagery = {"CENTRAL_WAVELENGTH_UM": f"{centre / 1e3:.10g}"}
    if width is not None:
        items["fwhm"] = f"{width:.10g}"
        imagery["FWHM_UM"] = f"{width / 1e3:.10g}"
    dataset.update_tags(band, **items)
    dataset.update_tags(band, ns="IMAGERY", **imagery)
