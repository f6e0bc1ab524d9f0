"""Bad input is a sentence with exit code 1, and leaves nothing behind; what only looks bad works."""

import os

import fixtures
import numpy as np
import pytest
from osgeo import gdal
from qgis.core import (QgsFeature, QgsGeometry, QgsPointXY, QgsProcessingException,
                       QgsProcessingFeatureSourceDefinition, QgsProject, QgsRasterLayer, QgsVectorLayer)
from test_engine_process import PYTHON, script

UNMIX = {"INPUT": "scene", "ENDMEMBERS": "endmembers"}


@pytest.fixture(scope="module")
def bad(tmp_path_factory, examples):
    """Files that are wrong, each in its own way, beside the right ones."""
    folder = tmp_path_factory.mktemp("bad")
    cube, M = fixtures.scene_cube(), fixtures.signatures() * 10000
    few = np.full_like(cube, fixtures.NODATA)
    few[:, 10, 20], few[:, 15, 8] = cube[:, 10, 20], cube[:, 15, 8]
    flat = np.einsum("lp,prc->lrc", M[:, :2], fixtures.fractions()[:2])
    (folder / "notes.tif").write_text("this is no raster")
    one = np.repeat(np.repeat(M[:, 1, None, None], fixtures.ROWS, axis=1), fixtures.COLS, axis=2)
    missing = M.copy()
    missing[3, 1] = np.nan
    # sequences
    first, second, third = examples["images"]
    shift = (fixtures.GEOTRANSFORM[0] + 50, *fixtures.GEOTRANSFORM[1:])
    cloud = np.full_like(cube, fixtures.NODATA)

    def image(name, values=cube, **options):
        return fixtures.raster(folder / name, values, **{"wavelengths": fixtures.WAVELENGTHS, **options})

    sequences = {
        "one image": [first], "fewer bands": [first, image("fewer_20200401.tif", cube[:39]), third],
        "other wavelengths": [first, image("waves_20200401.tif", wavelengths=fixtures.WAVELENGTHS + 300)],
        "equal dates": [first, image("twin_20200301.tif"), third], "unsorted": [first, third, second],
        "no date": [first, image("undated.tif"), third],
        "image of one band": [image("one_20200201.tif", cube[:1]), first],
        "shifted": [first, image("shift_20200401.tif", geotransform=shift), third],
        "smaller": [first, second, image("small_20210401.tif", cube[:, :20])],
        "without CRS": [first, image("plain_20200401.tif", referenced=False)],
        "no raster among them": [first, str(folder / "notes.tif")],
        "absent among them": [first, str(folder / "no.tif")],
        "clouds": [image("cloud_20200101.tif", cloud), image("cloud_20200201.tif", cloud)],
        "one without clouds": [first, image("cloud_20200401.tif", cloud)],
        "no folder": str(folder / "no folder"),
    }
    return {
        **sequences,
        **examples, "text": str(folder / "notes.tif"), "absent": str(folder / "absent.tif"),
        "one band": fixtures.raster(folder / "one.tif", cube[:1]),
        "two bands": fixtures.raster(folder / "two.tif", cube[:2], wavelengths=fixtures.WAVELENGTHS),
        "few pixels": fixtures.raster(folder / "few.tif", few, wavelengths=fixtures.WAVELENGTHS),
        "no pixels": fixtures.raster(folder / "none.tif", np.full_like(cube, fixtures.NODATA)),
        "flat": fixtures.raster(folder / "flat.tif", flat, gdal.GDT_Float64, None),
        "one spectrum": fixtures.raster(folder / "spectrum.tif", one, gdal.GDT_Float64, None),
        "one shape": fixtures.raster(folder / "shape.tif", one * fixtures.fractions()[0], gdal.GDT_Float64, None),
        "no wavelengths": fixtures.raster(folder / "plain.tif", cube),
        "far": fixtures.spectra(folder / "far.gpkg", M, fixtures.NAMES, fixtures.WAVELENGTHS + 3000),
        "short": fixtures.spectra(folder / "short.gpkg", M[:30], fixtures.NAMES, None),
        "twins": fixtures.spectra(folder / "twins.gpkg", M[:, [0, 1, 1]], ["water", "tree", "wood"]),
        "missing": fixtures.spectra(folder / "missing.gpkg", missing, fixtures.NAMES),
        "empty": fixtures.spectra(folder / "empty.gpkg", M[:, :0], []),
    }


CASES = {
    "no raster": ("fcls", {**UNMIX, "INPUT": "text"}, "INPUT"),
    "raster that is not there": ("hysime", {"INPUT": "absent"}, "INPUT"),
    "one band": ("fcls", {**UNMIX, "INPUT": "one band"}, "has one band"),
    "fewer pixels than endmembers, vca": ("vca", {"INPUT": "few pixels", "COUNT": 3}, "2 pixels"),
    "fewer pixels than endmembers, curhu": ("curhu", {"INPUT": "few pixels", "COUNT": 3}, "2 pixels"),
    "all nodata": ("fcls", {**UNMIX, "INPUT": "no pixels"}, "holds no band with information"),
    "no overlap of wavelengths": ("fcls", {**UNMIX, "ENDMEMBERS": "far"}, "cover 3450-5400 nm, the raster 450-2400 nm"),
    "other band count": ("fcls", {**UNMIX, "ENDMEMBERS": "short"}, "30 values each"),
    "other band count, no wavelengths": ("nnls", {"INPUT": "no wavelengths", "ENDMEMBERS": "short"}, "30 values each"),
    "more endmembers than bands": ("scls", {**UNMIX, "INPUT": "two bands"}, "3 endmembers but only 2 bands"),
    "no endmembers": ("fcls", {**UNMIX, "ENDMEMBERS": "empty"}, "no features"),
    "no spectra": ("fcls", {**UNMIX, "ENDMEMBERS": "samples"}, "no spectrum in its field `profile`"),
    "COUNT of 1": ("vca", {"INPUT": "scene", "COUNT": 1}, "must be at least 2"),
    "COUNT of 1, curhu": ("curhu", {"INPUT": "scene", "COUNT": 1}, "needs at least 2"),
    "negative COUNT": ("curhu", {"INPUT": "scene", "COUNT": -3}, "must be at least 0"),
    "COUNT above the bands": ("vca", {"INPUT": "scene", "COUNT": 50}, "only 40 bands"),
    "COUNT above the rank, vca": ("vca", {"INPUT": "flat", "COUNT": 9}, "dimensions only"),
    "COUNT above the rank, curhu": ("curhu", {"INPUT": "flat", "COUNT": 9, "DENOISE": False}, "dimensions only"),
    "COUNT above the rank, nfindr": ("nfindr", {"INPUT": "flat", "COUNT": 9}, "2 dimensions only"),
    "one repeated spectrum": ("nfindr", {"INPUT": "one spectrum", "COUNT": 3}, "no band with information"),
    "one spectrum, brighter and darker": ("vca", {"INPUT": "one shape", "COUNT": 3}, "same spectrum up to a factor"),
    "one spectrum, brighter and darker, sgsnmf": ("sgsnmf", {"INPUT": "one shape", "COUNT": 3}, "same spectrum"),
    "PFA of 0": ("hfc", {"INPUT": "scene", "PFA": 0}, "Probability of false alarm is 0"),
    "PFA of 0.5": ("hfc", {"INPUT": "scene", "PFA": 0.5}, "is 0.5; it must be at most"),
    "superpixels larger than the scene": ("sgsnmf", {"INPUT": "scene", "COUNT": 3, "SIZE": 25},
                                          "larger than the scene of 24 x 32"),
    "identical endmembers": ("fcls", {**UNMIX, "ENDMEMBERS": "twins"}, "tree and wood are identical"),
    "NaN spectra": ("fcls", {**UNMIX, "ENDMEMBERS": "missing"}, "tree holds missing or infinite values"),
    "weight of zero": ("elmm", {**UNMIX, "LAMBDAS": 0}, "Strictness of the scaling (lambda S) is 0; it must be"),
    "number in words": ("elmm", {**UNMIX, "LAMBDAPSI": "-0.5"}, "Smoothness of the factors (lambda psi) is -0.5"),
    "rank above the image's": ("ultrav", {**UNMIX, "ABUNDANCERANK": 5000}, "rank"),
    "bundle without a field material": ("mesma", {**UNMIX, "SCALE": 10000}, "no field material"),
    "single spectrum to learn from": ("deepgun", {"INPUT": "scene", "BUNDLE": "endmembers", "MATERIALFIELD": "name"},
                                      "single spectrum of water"),
    "tile too small": ("glmm", {**UNMIX, "TILESIDE": 10}, "is 10; it must be at least 64"),
    "a word for an optional number": ("elmm", {**UNMIX, "TILESIDE": "big"}, "is big; it must be a number"),
    "a word for a number": ("vca", {"INPUT": "scene", "COUNT": "five"}, "is five; it must be a number"),
    "fusion, exchanged": ("fusepair", {"HSI": "msi", "MSI": "hsi"}, "Exchange the two images"),
    "fusion, other sensor": ("fusepair", {"HSI": "hsi", "MSI": "msi", "SRF": "landsat8"}, "Name the image's bands"),
    "fusion, a table beside a sensor": ("fusepair", {"HSI": "hsi", "MSI": "msi", "SRFTABLE": "library.csv"},
                                        "Set SRF to table"),
    "fusion, tile too small": ("fusepair", {"HSI": "hsi", "MSI": "msi", "TILE": 20}, "is 20; it must be at least 96"),
    "sequence, one image": ("fclssequence", {"IMAGES": "one image"},
                            "Images: a sequence needs at least two images of the same place, not 1."),
    "sequence, unequal bands": ("fclssequence", {"IMAGES": "fewer bands"}, "has 40 bands and fewer_20200401"),
    "sequence, one band": ("fclssequence", {"IMAGES": "image of one band"}, "one_20200201 has one band"),
    "sequence, other wavelengths": ("fclssequence", {"IMAGES": "other wavelengths"}, "different wavelengths: band"),
    "sequence, equal dates": ("fclssequence", {"IMAGES": "equal dates"}, "and twin_20200301.tif have the same date"),
    "sequence, unsorted": ("fclssequence", {"IMAGES": "unsorted"}, "image_20200515.tif (2020-05-15) comes after"),
    "sequence, no date": ("fclssequence", {"IMAGES": "no date"}, "undated.tif does not tell its date"),
    "sequence, words for dates": ("fclssequence", {"IMAGES": "images", "DATES": "May, June, July"}, "May in Dates is"),
    "sequence, two dates": ("fclssequence", {"IMAGES": "images", "DATES": "2020-01-01, 2020-02-01"},
                            "There are 2 dates for 3 images (Images)."),
    "sequence, unsorted dates": ("fclssequence", {"IMAGES": "images", "DATES": "2020-03-01, 2020-02-01, 2020-05-01"},
                                 "The date 2020-02-01 comes after 2020-03-01"),
    "sequence, equal given dates": ("fclssequence", {"IMAGES": "images", "DATES": "2020-03-01, 2020-03-01, 2020-05-01"},
                                    "The date 2020-03-01 comes after 2020-03-01"),
    "sequence, shifted": ("fclssequence", {"IMAGES": "shifted"}, "shift_20200401.tif are not on one grid: they lie"),
    "sequence, other size": ("fclssequence", {"IMAGES": "smaller"}, "32 x 24 and 32 x 20 pixels. Bring one"),
    "sequence, no CRS": ("fclssequence", {"IMAGES": "without CRS"}, "EPSG:32633 and no CRS"),
    "sequence, no raster": ("fclssequence", {"IMAGES": "no raster among them"}, "notes.tif cannot be read as a raster"),
    "sequence, absent": ("fclssequence", {"IMAGES": "absent among them"}, "no.tif cannot be read as a raster"),
    "sequence, no folder": ("fclssequence", {"IMAGES": "no folder"}, "no folder cannot be read as a raster"),
    "sequence, all clouded": ("fclssequence", {"IMAGES": "clouds"}, "that hold data, not 0."),
    "sequence, one not clouded": ("fclssequence", {"IMAGES": "one without clouds"}, "that hold data, not 1."),
    "sequence, COUNT above the bands": ("fclssequence", {"IMAGES": "images", "COUNT": 50}, "only 40 bands"),
    "sequence, endmembers of other bands": ("fclssequence", {"IMAGES": "images", "ENDMEMBERS": "far"}, "3450-5400 nm"),
    "profile, uncertainty of other bands": ("abundanceprofile", {"IMAGES": "fractionimages", "FEATURES": "samples",
                                                                 "UNCERTAINTY": "images"}, "has the bands water"),
    "profile, one uncertainty": ("abundanceprofile", {"IMAGES": "fractionimages", "FEATURES": "samples",
                                                      "UNCERTAINTY": "one image"},
                                 "Uncertainty of the abundances: a sequence needs at least two images"),
    "profile, no such field": ("abundanceprofile", {"IMAGES": "fractionimages", "FEATURES": "samples",
                                                    "NAMEFIELD": "height"}, "no field height"),
    "profile, no features": ("abundanceprofile", {"IMAGES": "fractionimages", "FEATURES": "empty"}, "no features"),
    "band that does not exist": ("hysime", {"INPUT": "scene", "BANDS": [1, 99]}, "99"),
}


@pytest.mark.parametrize("case", CASES)
def test_is_a_sentence_and_leaves_nothing(case, bad, qgis_process, tmp_path):
    tool, values, words = CASES[case]
    values = {name: bad.get(value, value) if isinstance(value, str) else value for name, value in values.items()}
    if tool == "abundanceprofile":
        values["PROFILES"] = str(tmp_path / "profiles.gpkg")
    elif tool == "fclssequence":
        values["ABUNDANCES"] = str(tmp_path / "new folder" / "abundances")
    elif tool not in ("hfc", "hysime", "nfindr", "vca"):
        values["ABUNDANCES"] = str(tmp_path / "new folder" / "abundances.tif")
    if tool == "fusepair":
        values["FUSED"] = str(tmp_path / "fused.tif")
    if tool in ("curhu", "nfindr", "sgsnmf", "vca"):
        values["ENDMEMBERS"] = str(tmp_path / "endmembers.gpkg")
    done = qgis_process(tool, {**values, "REPORT": str(tmp_path / "report.html")})
    assert done.returncode == 1
    assert words in done.stderr + done.stdout
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.rglob("*"))


def test_full_disk_is_a_sentence_and_keeps_what_was_there(bad, qgis_process, tmp_path):
    engine = script(tmp_path / "python", f'[ "$1" = -c ] || ulimit -f 4; exec "{PYTHON}" "$@"')
    (tmp_path / "abundances.tif").write_text("older")
    done = qgis_process("fcls", {**{name: bad[value] for name, value in UNMIX.items()},
                                 "ABUNDANCES": str(tmp_path / "abundances.tif")}, SUBPIXEL_PYTHON=engine)
    assert done.returncode == 1 and "could not be written completely" in done.stderr + done.stdout
    assert sorted(file.name for file in tmp_path.iterdir()) == ["abundances.tif", "python"]
    assert (tmp_path / "abundances.tif").read_text() == "older"


def test_read_only_folder_is_a_sentence(bad, qgis_process, tmp_path):
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o555)
    target = "/proc/locked" if os.access(locked, os.W_OK) else str(locked)  # root writes anywhere but there
    done = qgis_process("fcls", {**{name: bad[value] for name, value in UNMIX.items()},
                                 "ABUNDANCES": f"{target}/abundances.tif"})
    assert done.returncode == 1 and f"The folder {target} cannot be written to" in done.stderr + done.stdout


def test_vector_layer_among_images_is_a_sentence(run, examples):
    spectra = QgsVectorLayer(examples["endmembers"], "spectra")
    for images in ([spectra], [examples["images"][0], spectra]):
        with pytest.raises(QgsProcessingException, match="Images: .*endmembers.gpkg cannot be read as a raster"):
            run("fclssequence", {"IMAGES": images, "ABUNDANCES": "TEMPORARY_OUTPUT"})


def test_layer_that_is_no_file_is_a_sentence(run, tmp_path):
    layer = QgsRasterLayer("type=xyz&url=http://127.0.0.1:9/%7Bz%7D/%7Bx%7D/%7By%7D.png&zmax=1&zmin=0", "tiles", "wms")
    with pytest.raises(QgsProcessingException, match="has no pixels of its own"):
        run("compositeabundances", {"ABUNDANCES": layer, "OUTPUT": str(tmp_path / "picture.tif")})
    assert not list(tmp_path.iterdir())


# what only looks bad

REFERENCE = {}


def unmixed(run, scene, endmembers, folder):
    """Fractions from `fcls` as an array with NaN for nodata, and the raster's dataset."""
    path = str(folder / "abundances.tif")
    run("fcls", {"INPUT": scene, "ENDMEMBERS": endmembers, "ABUNDANCES": path})
    dataset = gdal.Open(path)
    A = dataset.ReadAsArray().astype(float)
    A[A == -9999] = np.nan
    return A, dataset


def envi(folder, cube, interleave, order):
    """An ENVI file written by hand, since GDAL does not write big-endian ones."""
    axes = {"bsq": (0, 1, 2), "bil": (1, 0, 2), "bip": (1, 2, 0)}[interleave]
    path = folder / f"{interleave}{order}.img"
    cube.transpose(axes).astype(">i2" if order else "<i2").tofile(path)
    listed = ", ".join(f"{value / 1000:.5f}" for value in fixtures.WAVELENGTHS)
    path.with_suffix(".hdr").write_text(
        f"ENVI\nsamples = {cube.shape[2]}\nlines = {cube.shape[1]}\nbands = {cube.shape[0]}\ndata type = 2\n"
        f"interleave = {interleave}\nbyte order = {order}\nheader offset = 0\nwavelength units = Micrometers\n"
        f"wavelength = {{ {listed} }}\n")
    return str(path)


@pytest.mark.parametrize("kind", ["no CRS", "south up", "float32", "scaled", "bsq", "bil", "bip", "big-endian",
                                  "shuffled bands", "block of one row"])
def test_unusual_rasters_give_the_same_fractions(kind, run, bad, tmp_path):
    cube, waves = fixtures.scene_cube(), fixtures.WAVELENGTHS
    path, endmembers = tmp_path / "scene.tif", bad["endmembers"]
    expected, _ = unmixed(run, fixtures.raster(tmp_path / "usual.tif", cube, wavelengths=waves), endmembers, tmp_path)
    south_up = (500000, 20, 0, 5800000, 0, 20)
    if kind == "no CRS":
        fixtures.raster(path, cube, wavelengths=waves, referenced=False)
    elif kind == "south up":
        fixtures.raster(path, cube, wavelengths=waves, geotransform=south_up)
    elif kind == "float32":
        fixtures.raster(path, cube, gdal.GDT_Float32, float("nan"), wavelengths=waves)
    elif kind == "scaled":
        fixtures.raster(path, cube - 100, wavelengths=waves)
        dataset = gdal.Open(str(path), gdal.GA_Update)
        for number in range(1, len(cube) + 1):
            dataset.GetRasterBand(number).SetScale(1e-4)
            dataset.GetRasterBand(number).SetOffset(1e-2)
        del dataset
        endmembers = bad["library"]
    elif kind == "shuffled bands":
        order = np.random.default_rng(0).permutation(len(cube))
        fixtures.raster(path, cube[order], wavelengths=waves[order])
    elif kind == "block of one row":
        fixtures.raster(path, cube, wavelengths=waves, options=["BLOCKYSIZE=1", "INTERLEAVE=BAND"])
    else:
        path = envi(tmp_path, cube, "bsq" if kind == "big-endian" else kind, int(kind == "big-endian"))
    if kind == "scaled":
        layer = QgsVectorLayer(endmembers, "library")
        layer.selectByExpression("name in ('water', 'tree', 'soil')")
        QgsProject.instance().addMapLayer(layer)
        endmembers = QgsProcessingFeatureSourceDefinition(layer.id(), True)
    A, dataset = unmixed(run, str(path), endmembers, tmp_path)
    assert np.nanmax(np.abs(A - expected)) < 1e-4
    if kind == "no CRS":
        assert dataset.GetSpatialRef() is None
    if kind == "south up":
        assert dataset.GetGeoTransform() == south_up


def test_memory_layer_serves_as_samples(run, bad, tmp_path):
    layer = QgsVectorLayer("Point?crs=EPSG:32633&field=class:string", "drawn", "memory")
    for name, (row, col) in (("water", (10, 20)), ("soil", (20, 28))):
        feature = QgsFeature(layer.fields())
        feature.setAttributes([name])
        feature.setGeometry(QgsGeometry.fromPointXY(QgsPointXY(*fixtures.at(col, row))))
        layer.dataProvider().addFeature(feature)
    out = str(tmp_path / "spectra.gpkg")
    run("extractspectra", {"INPUT": bad["scene"], "SAMPLES": layer, "CLASSFIELD": "class", "ENDMEMBERS": out})
    assert {feature["name"] for feature in QgsVectorLayer(out, "x").getFeatures()} == {"water", "soil"}


def test_raster_that_only_qgis_reads_is_copied(run, bad, tmp_path, monkeypatch):
    """A driver that the engine's GDAL lacks, played by an engine that lacks GeoTIFF's name for this one file."""
    import subpixel.processing_provider.engine_process as engine_process
    real, calls = engine_process.run, []

    def refuse_once(job_file, feedback):
        calls.append(job_file)
        if len(calls) == 1:
            raise engine_process.UnreadableInput(["INPUT"], "cannot be read as a raster.")
        return real(job_file, feedback)

    monkeypatch.setattr(engine_process, "run", refuse_once)
    expected = run("hysime", {"INPUT": bad["scene"]})
    assert len(calls) == 2 and expected["RANK"] == 3
