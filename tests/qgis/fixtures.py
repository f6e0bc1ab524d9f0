"""A small scene whose answer is known, as files: what the examples of the tools' declarations name."""

import json
import math

import numpy as np
from osgeo import gdal, ogr, osr

gdal.UseExceptions()
ogr.UseExceptions()

ROWS, COLS, BANDS = 24, 32, 40
NAMES = ("water", "tree", "soil")
CORNER = 5            # rows and columns of the nodata corner
NODATA = -32768
TURN = math.radians(30)
GEOTRANSFORM = (500000.0, 20 * math.cos(TURN), 20 * math.sin(TURN), 5800000.0, 20 * math.sin(TURN),
                -20 * math.cos(TURN))
WAVELENGTHS = np.linspace(450, 2400, BANDS)


def crs():
    """UTM zone 33N."""
    reference = osr.SpatialReference()
    reference.ImportFromEPSG(32633)
    return reference


def signatures(count=3):
    """Smooth distinct spectra (BANDS, count), 0 to 1."""
    x = np.linspace(0, 1, BANDS)
    shapes = [0.08 * np.exp(-3 * x) + 0.01, 0.05 + 0.45 / (1 + np.exp(-40 * (x - 0.15))) * (1 - 0.5 * x),
              0.15 + 0.35 * x, 0.5 - 0.3 * x ** 2, 0.3 + 0.2 * np.sin(9 * x), 0.25 + 0.2 * np.cos(14 * x)]
    return np.stack(shapes[:count], axis=1)


def fractions(seed=1):
    """Abundances (3, ROWS, COLS) with a pure pixel of each material outside the nodata corner."""
    A = np.random.default_rng(seed).dirichlet(np.ones(3), (ROWS, COLS)).transpose(2, 0, 1)
    for number, (row, col) in enumerate(((10, 20), (15, 8), (20, 28))):
        A[:, row, col] = np.eye(3)[number]
    return A


def at(col, row):
    """Map coordinates of a pixel's centre."""
    g, x, y = GEOTRANSFORM, col + 0.5, row + 0.5
    return g[0] + g[1] * x + g[2] * y, g[3] + g[4] * x + g[5] * y


def pixel(x, y):
    """Column and row of map coordinates, with (0, 0) at the first pixel's outer corner."""
    return gdal.ApplyGeoTransform(gdal.InvGeoTransform(GEOTRANSFORM), x, y)


def raster(path, cube, kind=gdal.GDT_Int16, nodata=NODATA, names=None, wavelengths=None, referenced=True,
           driver="GTiff", options=(), geotransform=GEOTRANSFORM):
    """Write a cube (bands, rows, cols)."""
    bands, rows, cols = cube.shape
    dataset = gdal.GetDriverByName(driver).Create(str(path), cols, rows, bands, kind, list(options))
    if referenced:
        dataset.SetGeoTransform(geotransform)
        dataset.SetSpatialRef(crs())
    for number in range(bands):
        band = dataset.GetRasterBand(number + 1)
        band.WriteArray(cube[number])
        if nodata is not None:
            band.SetNoDataValue(nodata)
        if names:
            band.SetDescription(names[number])
        if wavelengths is not None:
            band.SetMetadata({"wavelength": f"{wavelengths[number]:.3f}", "wavelength_units": "Nanometers"})
    dataset.FlushCache()
    return str(path)


def scene_cube(noise=4.0, seed=2):
    """The scene (BANDS, ROWS, COLS), reflectance times 10,000, without its nodata corner."""
    cube = np.einsum("lp,prc->lrc", signatures() * 10000, fractions())
    return np.rint(cube + np.random.default_rng(seed).normal(0, noise, cube.shape))


def layer(path, name, features, fields, geometry=ogr.wkbPoint, referenced=True):
    """Write features, tuples of a geometry's WKT (or None) and attributes, to a GeoPackage."""
    source = ogr.GetDriverByName("GPKG").CreateDataSource(str(path))
    made = source.CreateLayer(name, crs() if referenced else None, geometry)
    for field, kind in fields:
        made.CreateField(ogr.FieldDefn(field, kind))
    for wkt, values in features:
        feature = ogr.Feature(made.GetLayerDefn())
        for (field, _), value in zip(fields, values):
            feature.SetField(field, value)
        if wkt:
            feature.SetGeometry(ogr.CreateGeometryFromWkt(wkt))
        made.CreateFeature(feature)
    source.FlushCache()
    return str(path)


def spectra(path, M, names, wavelengths=WAVELENGTHS, materials=None):
    """
    Write a layer of spectra without geometry, with a field `material` if there are `materials`.

    Without wavelengths their band numbers are left to the reader.
    """
    rows = []
    for number, (column, name) in enumerate(zip(M.T, names)):
        profile = {"y": [None if np.isnan(value) else float(value) for value in column]}
        if wavelengths is not None:
            profile.update(x=[float(value) for value in wavelengths], xUnit="Nanometers")
        values = (name, json.dumps(profile), "made for a test")
        rows.append((None, (*values, materials[number]) if materials else values))
    fields = ("name", "profile", "source", "material")[:4 if materials else 3]
    return layer(path, "spectra", rows, [(field, ogr.OFTString) for field in fields], ogr.wkbNone)


def bundle(path, brightness=(1.0, 0.85, 1.2)):
    """Write a layer with each material of the scene in several brightnesses, reflectance times 10,000."""
    x = np.linspace(0, 1, BANDS)[:, None]
    M = np.hstack([10000 * signatures() * factor * (1 + 0.05 * number * np.sin(5 * x))
                   for number, factor in enumerate(brightness)])
    materials = NAMES * len(brightness)
    return spectra(path, M, [f"{name} {number // 3 + 1}" for number, name in enumerate(materials)],
                   materials=materials)


def pair(folder):
    """
    A hyperspectral and a multispectral raster of the scene's ground, with the scene's nodata corner.

    The multispectral one has the scene's grid; a pixel of the other is the mean of 2 x 2 of it.
    """
    fine = np.einsum("lp,prc->lrc", signatures() * 10000, smooth_fractions())
    coarse = fine.reshape(BANDS, ROWS // 2, 2, COLS // 2, 2).mean(axis=(2, 4))
    msi = np.stack([fine[abs(WAVELENGTHS - centre) <= width].mean(axis=0) for centre, width in
                    ((492, 60), (560, 60), (665, 60), (833, 60))]) * 1.02
    coarse[:, :CORNER // 2 + 1, :CORNER // 2 + 1] = NODATA
    msi[:, :CORNER, :CORNER] = NODATA
    g = GEOTRANSFORM
    twice = (g[0], 2 * g[1], 2 * g[2], g[3], 2 * g[4], 2 * g[5])
    return {"hsi": raster(folder / "hsi.tif", np.rint(coarse), wavelengths=WAVELENGTHS, geotransform=twice),
            "msi": raster(folder / "msi.tif", np.rint(msi), names=("B2", "B3", "B4", "B8"))}


DATES = ("2020-03-01", "2020-05-15", "2020-09-30")


def moving_fractions():
    """Abundances (3 dates, 3, ROWS, COLS) in patches, of which one becomes soil at the last date."""
    A = np.stack([smooth_fractions()] * len(DATES))
    A[2, :, 12:18, 10:20] = np.array([0.0, 0.1, 0.9])[:, None, None]
    for number, (row, col) in enumerate(((8, 22), (20, 8), (20, 28))):
        A[:, :, row, col] = np.eye(3)[number]
    return A


def sequence(folder, seed=5):
    """
    The scene's ground at three dates, its spectra a little brighter at each, with the scene's nodata corner.

    Three pixels of the second image are nodata too.
    """
    rng, files = np.random.default_rng(seed), []
    for number, (date, A) in enumerate(zip(DATES, moving_fractions())):
        cube = np.einsum("lp,prc->lrc", signatures() * 10000 * (1 + 0.04 * number), A)
        cube = np.rint(cube + rng.normal(0, 4, cube.shape))
        cube[:, :CORNER, :CORNER] = NODATA
        if number == 1:
            cube[:, 10, 10:13] = NODATA
        files.append(raster(folder / f"image_{date.replace('-', '')}.tif", cube, wavelengths=WAVELENGTHS))
    return files


def fraction_sequence(folder):
    """The true fractions of `sequence` as rasters, one per date."""
    A = moving_fractions()
    A[:, :, :CORNER, :CORNER] = -9999
    return [raster(folder / f"fractions_{date}.tif", part, gdal.GDT_Float32, -9999, NAMES)
            for date, part in zip(DATES, A)]


def smooth_fractions():
    """Abundances (3, ROWS, COLS) in patches of some pixels."""
    rows, cols = np.mgrid[:ROWS, :COLS]
    weights = np.exp(3 * np.stack([np.sin(rows / 4) * np.cos(cols / 5), np.cos(rows / 3 + 1) * np.sin(cols / 6),
                                   np.sin((rows + cols) / 5 + 2)]))
    return weights / weights.sum(axis=0)


def make(folder):
    """Everything that examples name, in `folder`: a dictionary of names and paths."""
    cube, A = scene_cube(), fractions()
    cube[:, :CORNER, :CORNER] = NODATA
    A = np.where(cube[0] == NODATA, -9999, A)
    points = [(row, col) for row in range(6, ROWS, 4) for col in range(6, COLS, 5)]
    pure = {"water": (10, 20), "tree": (15, 8), "soil": (20, 28)}
    csv = folder / "library.csv"
    csv.write_text("wavelength," + ",".join(NAMES) + "\n" + "\n".join(
        ",".join(f"{value:.6f}" for value in (w, *row)) for w, row in zip(WAVELENGTHS, signatures())) + "\n",
        encoding="utf-8")
    return {
        **pair(folder),
        "images": sequence(folder),
        "fractionimages": fraction_sequence(folder),
        "scene": raster(folder / "scene.tif", cube, wavelengths=WAVELENGTHS),
        "fused": raster(folder / "fused.tif", np.where(cube == NODATA, NODATA, np.rint(cube * 1.02 + 3)),
                        wavelengths=WAVELENGTHS),
        "abundances": raster(folder / "abundances.tif", A, gdal.GDT_Float32, -9999, NAMES),
        "endmembers": spectra(folder / "endmembers.gpkg", signatures() * 10000, NAMES),
        "wanted": spectra(folder / "wanted.gpkg", signatures()[:, 1:2] * 10000, NAMES[1:2]),
        "background": spectra(folder / "background.gpkg", signatures()[:, ::2] * 10000, NAMES[::2]),
        "bundle": bundle(folder / "bundle.gpkg"),
        "library": spectra(folder / "library.gpkg", signatures(6), [*NAMES, "roof", "road", "snow"]),
        "library.csv": str(csv),
        "samples": layer(folder / "samples.gpkg", "samples", [
            (f"POINT ({at(col, row)[0]} {at(col, row)[1]})", (name,)) for name, (row, col) in pure.items()],
            [("class", ogr.OFTString)]),
        "box": layer(folder / "box.gpkg", "box", [
            ("POLYGON ((" + ", ".join("{} {}".format(*at(col, row)) for col, row in (
                (9, 11), (19, 11), (19, 17), (9, 17), (9, 11))) + "))", ())], [], ogr.wkbPolygon),
        "fractions": layer(folder / "fractions.gpkg", "fractions", [
            (f"POINT ({at(col, row)[0]} {at(col, row)[1]})", (float(A[1, row, col]),)) for row, col in points],
            [("fraction", ogr.OFTReal)]),
    }
