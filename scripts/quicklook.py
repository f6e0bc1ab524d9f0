"""Turn a colour raster into a PNG that is easy to look at, enlarged to about 600 pixels: quicklook.py SOURCE TARGET."""

import sys
import warnings

import rasterio
from rasterio.errors import NotGeoreferencedWarning

warnings.filterwarnings("ignore", category=NotGeoreferencedWarning)


def write(source, target, size=600):
    """Each pixel becomes a square of whole pixels."""
    with rasterio.open(source) as dataset:
        picture = dataset.read([1, 2, 3])
    times = max(1, round(size / max(picture.shape[1:])))
    picture = picture.repeat(times, axis=1).repeat(times, axis=2)
    with rasterio.open(target, "w", driver="PNG", width=picture.shape[2], height=picture.shape[1], count=3,
                       dtype="uint8") as file:
        file.write(picture)


if __name__ == "__main__":
    write(*sys.argv[1:3])
