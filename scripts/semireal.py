"""
Sequences for two recipes, made of real data where there is no real sequence: semireal.py tahoe|harvests FOLDER.

`tahoe` is the semi-real Lake Tahoe of the benchmarks: the data set's own map of fractions and its own spectra, moved
through six dates. `harvests` is a year of Sentinel-2 images of the EnMAP scene's ground: its spectra in Sentinel-2's
bands, to which the change of its fractions through the seasons is added, and harvests in a part of its meadows.
"""

import json
import sys
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import rasterio

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT.parent / "shared" / "data"
sys.path.append(str(ROOT))
sys.path.append(str(ROOT / "tests" / "algorithms"))
import bootstrap

bootstrap.load()
from sequence_scenes import tahoe as tahoe_sequence

from subpixel.algorithms.abundances.fcls import fcls
from subpixel.engine.formats import read_spectra
from subpixel.engine.sensors import read_responses, response_matrix

TAHOE = ("2014-04-10", "2014-06-02", "2014-09-19", "2014-11-17", "2015-04-29", "2015-10-13")
TAHOE_PLACE = rasterio.Affine(20, 0, 760000, 0, -20, 4345000)   # about the lake: the data set has no georeference
MATERIALS = ("water", "soil", "vegetation")
SENTINEL = ("B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B11", "B12")
YEAR = [date(2022, 1, 8) + timedelta(days=15 * number) for number in range(24)]
CUT = (1.0, 0.9, 0.7, 0.4, 0.2)      # how much of the meadow a harvest takes, at the date of the harvest and after
FIELD = 5                            # pixels of a field's side
LEAST = 0.2, 0.05                   # share of meadow in a field, and in a pixel of it, that can be harvested
NOISE = 0.01, 20                     # of the value, and in reflectance times 10,000


def write(path, cube, profile, names):
    """A raster of Float32 (bands, rows, cols)."""
    with rasterio.open(path, "w", driver="GTiff", width=cube.shape[2], height=cube.shape[1], count=len(cube),
                       dtype="float32", compress="deflate", **profile) as file:
        file.write(cube.astype(np.float32))
        for number, name in enumerate(names, 1):
            file.set_band_description(number, name)


def points(path, places, crs, **fields):
    """Points at the map coordinates `places`, with fields, as GeoJSON."""
    features = [{"type": "Feature", "geometry": {"type": "Point", "coordinates": place},
                 "properties": {name: values[number] for name, values in fields.items()}}
                for number, place in enumerate(places)]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features, "crs": {
        "type": "name", "properties": {"name": f"urn:ogc:def:crs:EPSG::{crs}"}}}), encoding="utf-8")


def tahoe(folder):
    """
    `tahoe/`: an image per date; `truth/`: its fractions; `materials.csv`: the mean spectrum of each material;
    `places.geojson`: a point where the lake withdraws and one in each field.
    """
    sequence, shape = tahoe_sequence(0), (150, 110)
    profile = {"crs": "EPSG:32610", "transform": TAHOE_PLACE}
    for part in ("tahoe", "truth"):
        (folder / part).mkdir(exist_ok=True)
    for day, Y, A in zip(TAHOE, sequence.Y, sequence.A):
        write(folder / "tahoe" / f"{day}.tif", Y.reshape(-1, *shape), profile,
              [f"band {number}" for number in range(1, len(Y) + 1)])
        write(folder / "truth" / f"{day}.tif", A.reshape(-1, *shape), profile, MATERIALS)
    M = sequence.M.mean(axis=(0, 3))
    (folder / "materials.csv").write_text("name," + ",".join(str(number) for number in range(1, M.shape[1] + 1)) + "\n"
                                          + "".join(f"{name}," + ",".join(f"{value:.5f}" for value in spectrum) + "\n"
                                                    for name, spectrum in zip(MATERIALS, M)), encoding="utf-8")
    # where the fractions change most from the first date to the date at which each is fullest
    steps = {"shore": sequence.A[-1, 1] - sequence.A[0, 1], "upper field": sequence.A[3, 2] - sequence.A[0, 2],
             "lower field": sequence.A[5, 2] - sequence.A[0, 2]}
    upper = np.arange(shape[0] * shape[1]) < 48 * shape[1]
    steps["upper field"] = np.where(upper, steps["upper field"], 0)
    steps["lower field"] = np.where(upper, 0, steps["lower field"])
    places = [TAHOE_PLACE * (index % shape[1] + 0.5, index // shape[1] + 0.5)
              for index in (int(step.argmax()) for step in steps.values())]
    points(folder / "places.geojson", places, 32610, name=list(steps))


def harvests(folder):
    """
    `series/`: an image per date in ten bands; `harvested.tif` and `harvestdate.tif`: where and with which image a
    harvest begins; `samples.geojson`: points with the fields event and eventdate. Expects `classes.csv`, the spectra
    of the scene's classes.
    """
    rng = np.random.default_rng(0)
    enmap = DATA / "enmap_potsdam"
    with rasterio.open(enmap / "enmap_potsdam_block_128x64.tif") as image:
        cube = image.read().astype(float)
        good = (cube != image.nodata).all(axis=(1, 2))
        wavelengths = np.array([float(image.tags(band)["wavelength"]) for band in image.indexes])[good]
        profile, transform, shape = {"crs": image.crs, "transform": image.transform}, image.transform, image.shape
    responses = {one.name.split()[0]: one for one in read_responses(enmap / "sentinel2a_msi_srf.geojson")}
    R, _ = response_matrix([responses[name] for name in SENTINEL], wavelengths)
    classes = read_spectra(folder / "classes.csv")
    kinds, M = list(classes.names), np.column_stack([np.interp(wavelengths, classes.x, one) for one in classes.M.T])
    Y = cube[good].reshape(good.sum(), -1)
    A = fcls(Y, M).A
    meadow, soil = kinds.index("low vegetation"), kinds.index("soil")
    Y, M = R @ Y, R @ M

    rows, cols = np.divmod(np.arange(Y.shape[1]), shape[1])
    field = rows // FIELD * (shape[1] // FIELD + 1) + cols // FIELD
    share = np.bincount(field, A[meadow]) / np.bincount(field)
    cut = np.flatnonzero(share > LEAST[0])
    cut = rng.choice(cut, len(cut) // 2, replace=False)
    when = np.full(len(share), -1)
    when[cut] = rng.integers(9, 18, len(cut))          # between the end of May and the end of September
    when = np.where(A[meadow] > LEAST[1], when[field], -1)

    (folder / "series").mkdir(exist_ok=True)
    for number, day in enumerate(YEAR):
        green = 0.4 + 0.6 * np.sin(np.pi * (day.timetuple().tm_yday / 365)) ** 2
        since = number - when
        taken = np.where((when >= 0) & (since >= 0) & (since < len(CUT)), np.take(CUT, since.clip(0, len(CUT) - 1)), 0)
        withered = A[meadow] * (1 - green * (1 - taken))
        image = Y + np.outer(M[:, soil] - M[:, meadow], withered)
        image = np.maximum(image * (1 + rng.normal(0, NOISE[0], image.shape)) + rng.normal(0, NOISE[1], image.shape), 0)
        write(folder / "series" / f"{day}.tif", image.reshape(-1, *shape), profile, SENTINEL)
    for name, values in (("harvested", when >= 0), ("harvestdate", when + 1)):
        write(folder / f"{name}.tif", values.reshape(1, *shape), profile, [name])
    chosen = np.r_[rng.choice(np.flatnonzero(when >= 0), 15, replace=False),
                   rng.choice(np.flatnonzero(when < 0), 100, replace=False)]
    points(folder / "samples.geojson", [transform * (cols[index] + 0.5, rows[index] + 0.5) for index in chosen],
           profile["crs"].to_epsg(), event=["harvest" if when[index] >= 0 else "none" for index in chosen],
           eventdate=[YEAR[when[index]].isoformat() if when[index] >= 0 else None for index in chosen])


if __name__ == "__main__":
    {"tahoe": tahoe, "harvests": harvests}[sys.argv[1]](Path(sys.argv[2]))
