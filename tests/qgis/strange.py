"""Rasters, layers, files and values as nobody wants them: what `fuzzing` gives to the tools, by name."""

import json
import math
from pathlib import Path

import fixtures
import numpy as np
from osgeo import gdal, ogr
from qgis.core import (QgsFeature, QgsGeometry, QgsPointXY, QgsProcessingFeatureSourceDefinition, QgsProperty,
                       QgsRasterLayer, QgsVectorLayer)
from qgis.PyQt.QtCore import QDateTime, QVariant

WIDE = fixtures.WAVELENGTHS
HUGE = (10 ** 9, 2 ** 31, 2 ** 63, 1e300)
WORDS = ("", " ", "five", "nan", "inf", "-inf", "1e400", "1,5", "1 2 3", "{x}", "{}", "%s", "'", '"', "a\nb", "\0",
         "ü漢🌍", "../..", "-", "--", "NULL", "<b>x</b>", "x" * 5000, "1;2;3", "0", "-1", "@project_folder", "sqrt(-1)",
         "1/0")
NUMBERS = (float("nan"), float("inf"), -float("inf"), 0, -1, 0.5, -1e-300, 1e-300, True, None, [1], "3", "0x10")
DATES = ("2020-13-45", "0000-00-00", "9999-12-31", "2020-02-30", "yesterday", "2020-01-01", "2020-01-01, 2020-01-01",
         "2020-03-01, 2020-02-01, 2020-01-01", "2020-01-01, 2020-02-01, 2020-03-01", "2020-01-01;2020-02-01",
         "2020-05-01T25:00, 2020-06-01", "1900-01-01, 2199-12-31, 2199-12-31", "2020, 2021, 2022", "1, 2, 3", ",,,",
         "2020-01-01, 2020-01-01T00:00:01, 2020-01-01T00:00:02", "01.05.2020, 01.06.2020, 01.07.2020",
         ["2020-01-01", "2020-02-01", "2020-03-01"], [1, 2, 3], [], [None, None, None])
NAMES = ("name", "Name", "class", "material", "profile", "fid", "fraction", "nowhere", "", "ü", "a;b", None)
BANDS = ([1, 2, 3], [1], [0], [-1], [99], [1, 99], [2, 2, 2], [3, 1, 2], list(range(1, 41)), "1;2;3;4", "1", "x", "1.5",
         [1.5], [None], 3, "1-5")


def objects(examples):
    """What scripts and models give that is no path: layers of QGIS's, expressions, definitions."""
    drawn = QgsVectorLayer("Point?crs=EPSG:4326&field=class:string&field=fraction:double", "drawn", "memory")
    for place in (QgsPointXY(15, 52.3), QgsPointXY(15, 123), None):
        feature = QgsFeature(drawn.fields())
        feature.setAttributes(["water", 0.5])
        if place:
            feature.setGeometry(QgsGeometry.fromPointXY(place))
        drawn.dataProvider().addFeature(feature)
    return {"raster layer": QgsRasterLayer(examples["scene"], "scene"),
            "vector layer": QgsVectorLayer(examples["endmembers"], "endmembers"), "memory layer": drawn,
            "memory layer without fields": QgsVectorLayer("Polygon?crs=EPSG:32633", "empty", "memory"),
            "raster layer of nothing": QgsRasterLayer("/nowhere.tif", "nowhere"),
            "vector layer of nothing": QgsVectorLayer("/nowhere.gpkg", "nowhere", "ogr"),
            "web layer": QgsRasterLayer("type=xyz&url=http://127.0.0.1:9/%7Bz%7D/%7Bx%7D/%7By%7D.png&zmax=1&zmin=0",
                                        "tiles", "wms"),
            "expression": QgsProperty.fromExpression("'a' || 5"), "wrong expression": QgsProperty.fromExpression("1 +"),
            "number": QgsProperty.fromExpression("1 + 2"), "NULL": QVariant(), "map": {"a": 1},
            "selection": QgsProcessingFeatureSourceDefinition(examples["endmembers"], True),
            "filter": QgsProcessingFeatureSourceDefinition(examples["samples"], False, -1,
                                                           filterExpression="nonsense = ("),
            "date": QDateTime.currentDateTime(), "no layers": [None, None], "bytes": b"x"}


def rasters(folder, examples):
    """Rasters by what is strange about them: paths, of which some hold none."""
    cube, M = fixtures.scene_cube(), fixtures.signatures() * 10000
    rng, shape = np.random.default_rng(7), (fixtures.ROWS, fixtures.COLS)
    made, missing = {}, float("nan")

    def make(name, values, kind=gdal.GDT_Float32, nodata=None, **options):
        made[name] = fixtures.raster(folder / f"{name}.tif", values, kind, nodata,
                                     **{"wavelengths": WIDE[:len(values)] if len(values) <= len(WIDE) else None,
                                        **options})

    def only(pixels):
        values = np.full_like(cube, fixtures.NODATA)
        for row, col in pixels:
            values[:, row, col] = cube[:, row, col]
        return values

    holes = np.where(rng.random(shape) < 0.3, missing, cube)
    stripes = cube.copy()
    stripes[:, ::2] = fixtures.NODATA
    gaps = cube.copy()
    for band in range(len(cube)):
        gaps[band, band % shape[0]] = fixtures.NODATA
    flat = np.broadcast_to(M[:, 1, None, None], cube.shape)
    make("one band", cube[:1])
    make("two bands", cube[:2])
    make("three bytes", cube[:3] % 255, gdal.GDT_Byte)
    make("one pixel", cube[:, 10:11, 20:21])
    make("two pixels", cube[:, 10:11, 20:22])
    make("one row", cube[:, 10:11])
    make("one column", cube[:, :, 20:21])
    make("small", cube[:, 10:14, 18:22])
    make("odd size", cube[:, :23, :29])
    make("constant", np.full_like(cube, 7))
    make("zeros", np.zeros_like(cube))
    make("one spectrum", flat)
    make("one shape", flat * fixtures.fractions()[0])
    make("two materials", np.einsum("lp,prc->lrc", M[:, :2], fixtures.fractions()[:2]))
    make("noise", rng.normal(size=cube.shape))
    make("negative", -cube)
    make("around zero", cube - cube.mean())
    make("tiny values", cube * 1e-30)
    make("huge values", cube * 1e30)
    make("doubles beyond floats", cube * 1e60, gdal.GDT_Float64)
    make("one value of infinity", np.where(cube == cube.max(), np.inf, cube))
    make("all NaN", np.full_like(cube, missing))
    make("NaN in places", holes, nodata=missing)
    make("NaN in places, undeclared", holes)
    make("all nodata", np.full_like(cube, fixtures.NODATA), gdal.GDT_Int16, fixtures.NODATA)
    make("no pixel valid in all bands", gaps, gdal.GDT_Int16, fixtures.NODATA)
    make("one pixel valid", only([(10, 20)]), gdal.GDT_Int16, fixtures.NODATA)
    make("two pixels valid", only([(10, 20), (15, 8)]), gdal.GDT_Int16, fixtures.NODATA)
    make("four pixels valid", only([(10, 20), (15, 8), (20, 28), (7, 7)]), gdal.GDT_Int16, fixtures.NODATA)
    make("every other row", stripes, gdal.GDT_Int16, fixtures.NODATA)
    make("complex", cube, gdal.GDT_CFloat32)
    make("bytes", cube % 255, gdal.GDT_Byte, 0)
    make("no CRS", cube, referenced=False)
    make("north up", cube, geotransform=(500000, 20, 0, 5800000, 0, -20))
    make("south up", cube, geotransform=(500000, 20, 0, 5800000, 0, 20))
    make("far away", cube, geotransform=(900000, 20, 0, 100000, 0, -20))
    make("pixels of nearly no size", cube, geotransform=(500000, 1e-9, 0, 5800000, 0, -1e-9))
    make("oblong pixels", cube, geotransform=(500000, 20, 0, 5800000, 0, -7))
    make("no wavelengths", cube, wavelengths=None)
    make("equal wavelengths", cube, wavelengths=np.full(len(cube), 500.0))
    make("wavelengths backwards", cube, wavelengths=WIDE[::-1])
    make("other wavelengths", cube, wavelengths=WIDE + 5000)
    make("wavelengths of zero", cube, wavelengths=0 * WIDE)
    make("wavelengths that are none", cube, wavelengths=np.full(len(cube), missing))
    make("bands of one name", cube[:3], names=["same"] * 3)
    make("bands of strange names", cube[:3], names=["ü漢 / \\ : * ? \" < > |", "a\nb", "x" * 300])
    make("fractions of four", np.full((4, *shape), 0.25), names=["water", "tree", "soil", "other"])
    make("fractions of others", np.full((3, *shape), 1 / 3), names=["a", "b", "c"])
    make("fractions without sense", rng.normal(0, 100, (3, *shape)), names=list(fixtures.NAMES))
    make("ünïcödé 漢字 and spaces", cube)
    made["cut short"] = str(folder / "cut short.tif")
    whole = Path(examples["scene"]).read_bytes()
    Path(made["cut short"]).write_bytes(whole[:len(whole) // 2])
    made["text"], made["nothing in it"] = str(folder / "text.tif"), str(folder / "nothing.tif")
    Path(made["text"]).write_text("this is no raster", encoding="utf-8")
    Path(made["nothing in it"]).touch()
    made["VRT of what is gone"] = str(folder / "gone.vrt")
    gone = fixtures.raster(folder / "gone.tif", cube[:2])
    gdal.Translate(made["VRT of what is gone"], gone, format="VRT").FlushCache()
    (folder / "gone.tif").unlink()
    made.update({"absent": str(folder / "absent.tif"), "a folder": str(folder), "a table": examples["endmembers"],
                 "points": examples["samples"], "no path": "", "a number": 5, "a list": [examples["scene"]],
                 "a layer's id": "scene_0815", "a URL": "/vsicurl/http://127.0.0.1:9/x.tif", "null": None,
                 "abundances": examples["abundances"], "msi": examples["msi"], "scene": examples["scene"]})
    return made


def sequences(folder, examples, single):
    """Several rasters, by what is strange about them."""
    images, fractions = examples["images"], examples["fractionimages"]
    made = {name: [images[0], path, images[2]] for name, path in single.items() if isinstance(path, str)}
    made.update({f"fractions and {name}": [fractions[0], path] for name, path in single.items()
                 if isinstance(path, str)})
    made.update({f"{name}, twice": [path, path] for name, path in single.items() if isinstance(path, str)})
    (folder / "empty folder").mkdir()
    (folder / "folder of text").mkdir()
    (folder / "folder of text" / "x.tif").write_text("none")
    made.update({"none": [], "null": None, "one": images[:1], "two": images[:2], "backwards": images[::-1],
                 "the same thrice": [images[0]] * 3, "one path": images[0], "a word": "images", "a number": 3,
                 "nothing in a list": [None], "empty words": ["", ""], "folder of everything": str(folder),
                 "empty folder": str(folder / "empty folder"), "folder of text": str(folder / "folder of text"),
                 "folder that is not there": str(folder / "nowhere"), "images": images, "fractions": fractions,
                 "images and fractions": [*images, *fractions], "many": images * 10})
    return made


def features(folder, examples):
    """Layers of spectra, points and polygons, by what is strange about them; some are no such layer."""
    M, names, made = fixtures.signatures() * 10000, fixtures.NAMES, {}
    hole, endless = M.copy(), M.copy()
    hole[3, 1], endless[3, 1] = np.nan, np.inf

    def spectra(name, *arguments, **options):
        made[name] = fixtures.spectra(folder / f"{name}.gpkg", *arguments, **options)

    def profiles(name, values, labels=names):
        made[name] = fixtures.layer(folder / f"{name}.gpkg", "spectra", [(None, (label, value, "made")) for label, value
                                                                         in zip(labels, values)],
                                    [(field, ogr.OFTString) for field in ("name", "profile", "source")], ogr.wkbNone)

    spectra("no spectra", M[:, :0], [])
    spectra("one spectrum", M[:, :1], names[:1])
    spectra("two spectra", M[:, :2], names[:2])
    spectra("far away", M, names, WIDE + 3000)
    spectra("half of the bands", M[:20], names, WIDE[:20])
    spectra("a few bands", M[:3], names, WIDE[:3])
    spectra("one band", M[:1], names, WIDE[:1])
    spectra("other count of bands", M[:30], names, None)
    spectra("no wavelengths", M, names, None)
    spectra("equal wavelengths", M, names, np.full(len(M), 500.0))
    spectra("twins", M[:, [0, 1, 1]], ["water", "tree", "wood"])
    spectra("missing values", hole, names)
    spectra("infinite values", endless, names)
    spectra("zeros", 0 * M, names)
    spectra("one of zeros", M * [1, 0, 1], names)
    spectra("negative", -M, names)
    spectra("huge", M * 1e300, names)
    spectra("tiny", M * 1e-300, names)
    spectra("constant", np.ones_like(M), names)
    spectra("more than bands", np.tile(M, 20) + np.random.default_rng(1).normal(size=(len(M), 60)), [
        f"s{number}" for number in range(60)])
    spectra("one name", M, ["same"] * 3)
    spectra("strange names", M, ["", "ü漢🌍 / \\ : * ?", "x" * 300])
    spectra("strange names of two", M, ["a\nb", "{x}", "<b>%s</b>"], materials=["", "{}", "same"])
    spectra("one material", M, names, materials=["same"] * 3)
    good = json.dumps({"x": list(WIDE), "y": list(M[:, 0]), "xUnit": "Nanometers"})
    profiles("profiles of text", ["none", "", "[1, 2"])
    profiles("profiles that are lists", ["[1, 2, 3]"] * 3)
    profiles("profiles without values", ['{"x": [1, 2]}', '{"y": []}', "{}"])
    profiles("profiles of words", ['{"x": ["a", "b"], "y": ["c", "d"]}'] * 3)
    profiles("profiles of words for x", ['{"x": ["a", "b"], "y": [1, 2]}'] * 3)
    profiles("profiles in profiles", ['{"y": [[1, 2], [3, 4]]}'] * 3)
    profiles("profiles of true", ['{"x": true, "y": true}', '{"y": 5}', '{"x": 5, "y": [1]}'])
    profiles("profiles of unequal length", ['{"x": [1, 2, 3], "y": [1, 2]}'] * 3)
    profiles("profiles of null", ['{"x": [null, null], "y": [null, null]}'] * 3)
    profiles("profiles with units that are numbers", ['{"x": [400, 500], "y": [1, 2], "xUnit": 5}'] * 3)
    profiles("profiles of NaN", ['{"x": [NaN, 500], "y": [NaN, Infinity]}'] * 3)
    profiles("profiles of zero", ['{"x": [0, 0], "y": [0, 0], "xUnit": "cm-1"}'] * 3)
    profiles("profiles of which one is good", [good, "", None])
    profiles("profiles of two kinds", [good, '{"x": [500, 600, 700], "y": [1, 2, 3], "xUnit": "nm"}', '{"y": [1, 2]}'])

    x, y = fixtures.at(20, 10)
    far = (10, 80)
    shapes = {
        "point": f"POINT ({x} {y})", "point far away": f"POINT ({far[0]} {far[1]})", "no geometry": None,
        "empty point": "POINT EMPTY", "points": f"MULTIPOINT ({x} {y}, {x + 40} {y})",
        "point in space": f"POINT Z ({x} {y} 5)", "line": f"LINESTRING ({x} {y}, {x + 100} {y})",
        "polygon of no area": f"POLYGON (({x} {y}, {x} {y}, {x} {y}, {x} {y}))",
        "bow tie": f"POLYGON (({x} {y}, {x + 90} {y - 90}, {x + 90} {y}, {x} {y - 90}, {x} {y}))",
        "world": "POLYGON ((-1e9 -1e9, 1e9 -1e9, 1e9 1e9, -1e9 1e9, -1e9 -1e9))",
        "collection": f"GEOMETRYCOLLECTION (POINT ({x} {y}), LINESTRING ({x} {y}, {x + 9} {y}))"}
    for name, wkt in shapes.items():
        attributes = [("water", 1, 0.5, "2020-05-15", "water"), ("ü漢", -1, 5.0, "never", None), (None,) * 5]
        made[name] = fixtures.layer(
            folder / f"{name}.gpkg", "shapes", [(wkt, row) for row in attributes],
            [("class", ogr.OFTString), ("number", ogr.OFTInteger), ("fraction", ogr.OFTReal), ("date", ogr.OFTString),
             ("event", ogr.OFTString)], ogr.wkbUnknown)
    made["points without CRS"] = fixtures.layer(
        folder / "plain.gpkg", "plain", [(shapes["point"], ("water",))], [("class", ogr.OFTString)], referenced=False)
    made.update({name: examples[name] for name in ("endmembers", "bundle", "library", "samples", "box", "fractions",
                                                   "eventsamples", "wanted", "background")})
    made.update({"a raster": examples["scene"], "absent": str(folder / "absent.gpkg"), "a folder": str(folder),
                 "text": str(folder / "text.tif"), "no path": "", "a number": 5, "null": None, "a word": "endmembers"})
    return made


def files(folder, examples):
    """Files that are no layers, by what is strange about them."""
    made = {}

    def make(name, data):
        path = folder / name
        path.write_bytes(data.encode("utf-8") if isinstance(data, str) else data)
        made[name] = str(path)

    make("empty.csv", "")
    make("header.csv", "wavelength,a,b\n")
    make("words.csv", "wavelength,a,b\nx,y,z\n")
    make("ragged.csv", "wavelength,a,b\n400,1\n500,1,2,3\n")
    make("numbers.csv", "1,0,0\n0,1,0\n0,0,1\n")
    make("square.csv", "water,tree,soil\n0.9,0.1,0\n0.1,0.8,0.1\n0,0.1,0.9\n")
    make("not finite.csv", "wavelength,a\n400,nan\n500,inf\n600,-inf\n")
    make("negative.csv", "wavelength,a\n-400,-1\n-500,-2\n")
    make("twice.csv", "wavelength,a,a\n400,1,2\n400,1,2\n")
    make("semicolons.csv", "wavelength;a;b\n400;0,1;0,2\n500;0,3;0,4\n")
    make("latin.csv", "wavelength,grün\n400,1\n500,2\n".encode("latin-1"))
    make("utf16.csv", "wavelength,a\n400,1\n500,2\n".encode("utf-16"))
    make("marked.csv", "\ufeffwavelength,a\n400,1\n500,2\n")
    make("zeros.csv", b"\0" * 1000)
    make("random.npz", np.random.default_rng(3).bytes(5000))
    make("sentence.txt", "What is this?\n")
    make("one.txt", "1")
    make("library.sli", b"\0" * 100)
    make("headless.hdr", "ENVI\nsamples = -5\nlines = x\n")
    make("list.json", "[1, 2, 3]")
    make("features.geojson", '{"type": "FeatureCollection", "features": []}')
    make("broken.json", '{"a": ')
    for name, arrays in {"no declaration.npz": {"a": np.zeros(3)}, "list.npz": {"subpixel": np.array("[1]")},
                         "half.npz": {"subpixel": np.array('{"tool": "padnmf", "format": 1}')},
                         "emptied.npz": {"subpixel": np.array("{}")}}.items():
        np.savez(folder / name, **arrays)
        made[name] = str(folder / name)
    for name in ("model.npz", "filter.npz", "events.npz"):
        make(f"cut {name}", Path(examples[name]).read_bytes()[:-200])
        with np.load(examples[name]) as whole:   # of another make: arrays that do not fit the declaration
            arrays = {key: whole[key] for key in whole.files}
        np.savez(folder / f"other {name}", **{key: value if key == "subpixel" else np.zeros(2)
                                              for key, value in arrays.items()})
        np.savez(folder / f"poor {name}", subpixel=arrays["subpixel"])
        made.update({name: examples[name], f"other {name}": str(folder / f"other {name}"),
                     f"poor {name}": str(folder / f"poor {name}")})
    made.update({"library.csv": examples["library.csv"], "a raster": examples["scene"], "a folder": str(folder),
                 "absent": str(folder / "absent.csv"), "no path": "", "a number": 5, "null": None,
                 "device": "/dev/null"})
    return made


def targets(folder, examples, output):
    """Places where an output cannot go, or hardly: `output` is one where it can."""
    return {"read-only": "/proc/nowhere/" + output.name, "in a file": str(folder / "text.tif" / output.name),
            "no ending": str(output.with_suffix("")), "other ending": str(output.with_suffix(".xyz")),
            "deep": str(output.parent / "a" / "b" / "c" / output.name),
            "too long": str(output.parent / ("x" * 300 + output.suffix)),
            "beyond ASCII": str(output.with_name("ü漢🌍 " + output.name)), "an input": examples["scene"],
            "a folder": str(output.parent), "NUL": str(output.parent / ("a\0b" + output.suffix)), "null": None,
            "no path": "", "temporary": "TEMPORARY_OUTPUT", "a number": 5, "memory": "memory:x"}


def near(value, rng):
    """A text with something in it exchanged, left out or doubled."""
    place = int(rng.integers(0, len(value) + 1))
    return [value[:place] + value[place + 1:], value[:place] + str(rng.choice(list("-;,. 0x'\n"))) + value[place:],
            value + ", " + value, value[::-1], value[:place]][int(rng.integers(5))]


def number(parameter, rng):
    """A number outside of a parameter's range, at its ends, or none at all."""
    low, high = parameter.minimum, parameter.maximum
    within = [low, high] + [math.nextafter(bound, way) for bound, way in ((low, -math.inf), (high, math.inf))
                            if bound is not None]
    choice = [*[value for value in within if value is not None], *NUMBERS, *HUGE, *WORDS]
    return choice[int(rng.integers(len(choice)))]
