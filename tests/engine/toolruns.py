"""Tools run without QGIS: a job in, what the engine answers out, and small rasters and layers for it."""

import numpy as np
import rasterio
from affine import Affine

from subpixel.engine.main import run
from subpixel.engine.spectra import Spectra

TRANSFORM = Affine(30, 0, 500000, 0, -30, 5800000)


def run_tool(tool, values, **outputs):
    """
    Run a tool. Paths of rasters and `Spectra` may be given as they are; outputs are paths.

    Returns
    -------
    (dict, list of str)
        The result, and all that was said on the way.
    """
    said = []

    def tell(message):
        template = message.get("message") or message.get("warning")
        if template:
            said.append(template.format(**message["arguments"]))

    job = {"tool": tool, "values": {name: given(value) for name, value in values.items()}, "version": "test",
           "outputs": {name: str(path) for name, path in outputs.items()}}
    return run(job, tell), said


def given(value):
    """A value as a job holds it."""
    if isinstance(value, Spectra):
        return {"features": value.to_features(), "source": "library"}
    return {"path": str(value), "crs": None} if hasattr(value, "suffix") else value


def spectra(M, names=None, x=None):
    """Spectra of the columns of M (L, P); wavelengths `x` in nm, or none."""
    M = np.asarray(M, dtype=float)
    return Spectra(names or [f"s{number}" for number in range(1, M.shape[1] + 1)], M,
                   np.arange(1, len(M) + 1) if x is None else np.asarray(x, dtype=float), x is not None)


def point(x, y, **attributes):
    """A point feature as the provider hands it over."""
    return {"geometry": {"type": "Point", "coordinates": [x, y]}, "id": 1, "attributes": attributes}


def raster(path, cube, names=None, nodata=-9999.0, transform=TRANSFORM, wavelengths=None, fwhm=None, crs="EPSG:32633"):
    """Write a cube (bands, rows, cols) as Float32."""
    cube = np.asarray(cube, dtype=np.float32)
    bands, rows, cols = cube.shape
    with rasterio.open(path, "w", driver="GTiff", width=cols, height=rows, count=bands, dtype="float32",
                       nodata=nodata, transform=transform, crs=crs) as file:
        file.write(cube)
        for band in range(1, bands + 1):
            if names:
                file.set_band_description(band, names[band - 1])
            if wavelengths is not None:
                file.update_tags(band, wavelength=wavelengths[band - 1], wavelength_units="nm",
                                 **({} if fwhm is None else {"fwhm": fwhm[band - 1]}))
    return path


def read(path):
    """All bands of a raster as an array (bands, rows, cols)."""
    with rasterio.open(path) as file:
        return file.read()
