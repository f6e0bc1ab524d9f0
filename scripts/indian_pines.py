"""Write Indian Pines, which comes with tensorly, as a georeferenced GeoTIFF: indian_pines.py TARGET."""

import sys
from pathlib import Path

import numpy as np
import rasterio
from tensorly.datasets import load_indian_pines

sys.path.append(str(Path(__file__).resolve().parent.parent))
import bootstrap

bootstrap.load()
from subpixel.engine.wavelengths import write_wavelengths

# The scene's usual subset lies about here, 6 miles west of West Lafayette, Indiana; tensorly holds no georeference.
LEFT, TOP, PIXEL = 494_000.0, 4_479_000.0, 20.0


def write(target):
    """Rows run from north to south as in tensorly's array (145, 145, 200); values are digital numbers."""
    scene = load_indian_pines()
    cube = np.asarray(scene["tensor"]).transpose(2, 0, 1)
    centres = scene["ticks"][1]
    with rasterio.open(target, "w", driver="GTiff", width=145, height=145, count=len(cube), dtype="int16",
                       crs="EPSG:32616", transform=rasterio.Affine(PIXEL, 0, LEFT, 0, -PIXEL, TOP),
                       compress="deflate", tiled=True, blockxsize=256, blockysize=256) as raster:
        raster.write(cube.astype(np.int16))
        raster.update_tags(DESCRIPTION="AVIRIS Indian Pines test site, 12 June 1992, 200 bands, digital numbers",
                           POSITION="approximate: the published array carries no georeference",
                           SOURCE="tensorly.datasets.load_indian_pines, CC BY 3.0")
        for band, centre in enumerate(centres, 1):
            raster.set_band_description(band, f"{centre:.2f} nm")
            write_wavelengths(raster, band, centre)


if __name__ == "__main__":
    write(sys.argv[1])
