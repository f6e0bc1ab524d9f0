"""What happens to files: nothing of the user's is lost, names do not clash, layers arrive as they should."""

import os
from pathlib import Path

import fixtures
import pytest
from conftest import Feedback
from osgeo import gdal, ogr
from qgis.core import (QgsCoordinateReferenceSystem, QgsFeature, QgsGeometry, QgsPointXY,
                       QgsProcessingException, QgsProject, QgsRasterLayer, QgsRasterRange, QgsVectorLayer)


@pytest.fixture
def unmix(examples):
    return {"INPUT": examples["scene"], "ENDMEMBERS": examples["endmembers"]}


def copy(path, folder):
    """A copy of an example, to be put at risk."""
    target = folder / Path(path).name
    target.write_bytes(Path(path).read_bytes())
    return str(target)


def test_output_never_replaces_its_input(run, examples, unmix, tmp_path):
    scene, spectra = copy(examples["scene"], tmp_path), copy(examples["endmembers"], tmp_path)
    before = Path(scene).read_bytes()
    with pytest.raises(QgsProcessingException, match="Abundances would replace the input"):
        run("fcls", {**unmix, "INPUT": scene, "ABUNDANCES": str(tmp_path / "." / "scene.tif")})
    with pytest.raises(QgsProcessingException, match="would replace the input"):
        run("simulatescene", {"ENDMEMBERS": spectra, "HSI": str(tmp_path / "h.tif"), "TRUEENDMEMBERS": spectra})
    assert Path(scene).read_bytes() == before


@pytest.mark.parametrize("tool, output", [("vca", "spectra.shp"), ("vca", "spectra.csv"), ("fcls", "map.img")])
def test_format_that_cannot_hold_the_output_is_refused(tool, output, run, unmix, tmp_path):
    values = {**unmix, "ABUNDANCES": str(tmp_path / output)} if tool == "fcls" else \
        {"INPUT": unmix["INPUT"], "ENDMEMBERS": str(tmp_path / output)}
    with pytest.raises(QgsProcessingException, match="(?i)format|extension|not supported"):
        run(tool, values)
    assert not list(tmp_path.iterdir())


def test_two_outputs_with_one_name_are_refused(run, unmix, examples, tmp_path):
    with pytest.raises(QgsProcessingException, match="Abundances and Residual have the same name"):
        run("fcls", {**unmix, "ABUNDANCES": str(tmp_path / "x.tif"), "RESIDUAL": str(tmp_path / "x.tif")})
    with pytest.raises(QgsProcessingException, match="have the same name"):
        run("curhu", {"INPUT": examples["scene"], "COUNT": 3, "ABUNDANCES": str(tmp_path / "x.tif"),
                      "ENDMEMBERS": str(tmp_path / "x.gpkg")})


@pytest.mark.parametrize("name", ["x" * 300, "a\0b"], ids=["too long", "not for files"])
def test_names_that_no_file_can_have_are_refused(name, run, unmix, examples, tmp_path):
    for tool, values in (("fcls", {**unmix, "ABUNDANCES": f"{tmp_path}/{name}.tif"}),
                         ("hysime", {"INPUT": examples["scene"], "REPORT": f"{tmp_path}/{name}.html"}),
                         ("fclssequence", {"IMAGES": examples["images"], "ABUNDANCES": f"{tmp_path}/{name}"})):
        with pytest.raises(QgsProcessingException, match=r"The output \w+ cannot be written to .*: .* Choose another"):
            run(tool, values)
    assert not list(tmp_path.iterdir())


def test_styles_of_other_files_stay(run, unmix, examples, tmp_path):
    (tmp_path / "library.qml").write_text("of library.shp")
    (tmp_path / "map.qml").write_text("of map.shp")
    run("exportspectra", {"ENDMEMBERS": examples["endmembers"], "FILE": str(tmp_path / "library.csv")})
    run("fcls", {**unmix, "ABUNDANCES": str(tmp_path / "map.tif")})
    assert (tmp_path / "library.qml").read_text() == "of library.shp"
    assert (tmp_path / "map.qml").read_text() == "of map.shp"


def test_own_style_and_statistics_are_replaced_with_their_layer(run, unmix, tmp_path):
    target = tmp_path / "map.tif"
    run("fcls", {**unmix, "ABUNDANCES": str(target)})
    target.with_suffix(".qml").write_text("old")
    (tmp_path / "map.tif.aux.xml").write_text("old")
    run("fcls", {**unmix, "ABUNDANCES": str(target)})
    assert {file.name for file in tmp_path.iterdir()} == {"map.tif", "map.qml"}
    assert "singlebandpseudocolor" in target.with_suffix(".qml").read_text()


@pytest.mark.parametrize("links", [True, False], ids=["disk with links", "disk without"])
def test_file_that_cannot_be_replaced_leaves_everything_as_it_was(links, run, unmix, tmp_path, monkeypatch):
    """As on Windows, where a file that is open elsewhere cannot be replaced."""
    for name in ("a.tif", "a.qml", "b.tif"):
        (tmp_path / name).write_text(f"older {name}")
    real = os.replace

    def refuse(source, target):
        if Path(source).name == "b.tif" and tmp_path in (Path(source).parent, Path(source).parent.parent):
            raise PermissionError(13, "Permission denied", str(source), None, str(target))
        real(source, target)

    monkeypatch.setattr(os, "replace", refuse)
    if not links:
        monkeypatch.setattr(os, "link", lambda *_: os.replace(tmp_path / "nothing", tmp_path))
    with pytest.raises(QgsProcessingException, match="cannot be replaced: Permission denied. Close it"):
        run("fcls", {**unmix, "ABUNDANCES": str(tmp_path / "a.tif"), "RESIDUAL": str(tmp_path / "b.tif")})
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == {
        name: f"older {name}" for name in ("a.tif", "a.qml", "b.tif")}


def test_temporary_and_skipped_outputs(run, unmix):
    results = run("fcls", {**unmix, "ABUNDANCES": "TEMPORARY_OUTPUT", "RESIDUAL": None})
    assert QgsRasterLayer(results["ABUNDANCES"]).isValid() and not results["RESIDUAL"]
    assert Path(results["ABUNDANCES"]).with_suffix(".qml").exists()


def test_results_are_loaded_with_their_styles_and_points_on_top(qgis, examples):
    import processing
    project = QgsProject.instance()
    project.clear()
    processing.runAndLoadResults("subpixel:curhu", {
        "INPUT": examples["scene"], "COUNT": 3, "ABUNDANCES": "TEMPORARY_OUTPUT", "ENDMEMBERS": "TEMPORARY_OUTPUT"},
        feedback=Feedback())
    order = [layer.layer() for layer in project.layerTreeRoot().findLayers()]
    assert [layer.renderer().type() for layer in order] == ["categorizedSymbol", "singlebandpseudocolor"]
    project.clear()


def test_renamed_endmember_keeps_a_symbol(run, examples, tmp_path):
    path = str(tmp_path / "found.gpkg")
    run("vca", {"INPUT": examples["scene"], "COUNT": 3, "ENDMEMBERS": path})
    layer = QgsVectorLayer(path, "found")
    assert any(category.value() in (None, "") for category in layer.renderer().categories())


# what QGIS knows of a layer beside its file

def test_crs_that_was_assigned_in_qgis_is_the_outputs(run, unmix, tmp_path):
    layer = QgsRasterLayer(unmix["INPUT"], "scene")
    layer.setCrs(QgsCoordinateReferenceSystem("EPSG:25833"))
    run("fcls", {**unmix, "INPUT": layer, "ABUNDANCES": str(tmp_path / "a.tif")})
    run("vca", {"INPUT": layer, "COUNT": 3, "ENDMEMBERS": str(tmp_path / "e.gpkg")})
    assert QgsRasterLayer(str(tmp_path / "a.tif")).crs().authid() == "EPSG:25833"
    assert QgsVectorLayer(str(tmp_path / "e.gpkg")).crs().authid() == "EPSG:25833"


def test_nodata_that_was_added_in_qgis_is_left_out(run, unmix, tmp_path):
    cube = fixtures.scene_cube()
    cube[:, :, -3:] = 0
    layer = QgsRasterLayer(fixtures.raster(tmp_path / "scene.tif", cube, wavelengths=fixtures.WAVELENGTHS), "scene")
    for band in range(1, layer.bandCount() + 1):
        layer.dataProvider().setUserNoDataValue(band, [QgsRasterRange(0, 0)])
    run("fcls", {**unmix, "INPUT": layer, "ABUNDANCES": str(tmp_path / "a.tif")})
    A = gdal.Open(str(tmp_path / "a.tif")).ReadAsArray()
    assert (A[:, :, -3:] == -9999).all() and not (A[:, :, :-3] == -9999).any()


def test_raster_placed_by_control_points_gets_its_endmembers_where_qgis_draws_it(run, tmp_path):
    path = fixtures.raster(tmp_path / "scene.tif", fixtures.scene_cube(), wavelengths=fixtures.WAVELENGTHS,
                           referenced=False)
    dataset = gdal.Open(path, gdal.GA_Update)
    dataset.SetGCPs([gdal.GCP(500000 + 25 * col, 5800000 - 25 * row, 0, col, row) for row in (0, 24)
                     for col in (0, 32)], fixtures.crs().ExportToWkt())
    del dataset
    run("vca", {"INPUT": path, "COUNT": 3, "ENDMEMBERS": str(tmp_path / "e.gpkg")})
    extent = QgsRasterLayer(path).extent().buffered(1)
    points = [feature.geometry().asPoint() for feature in QgsVectorLayer(str(tmp_path / "e.gpkg")).getFeatures()]
    assert len(points) == 3 and all(extent.contains(point) for point in points)


# layers as users have them

def test_samples_that_cannot_be_brought_to_the_raster_are_left_out(run, examples, tmp_path):
    layer = QgsVectorLayer("Point?crs=EPSG:4326&field=class:string&field=day:date", "drawn", "memory")
    from qgis.core import QgsCoordinateTransform
    x, y = fixtures.at(20, 10)
    there = QgsCoordinateTransform(QgsCoordinateReferenceSystem("EPSG:32633"),
                                   QgsCoordinateReferenceSystem("EPSG:4326"), QgsProject.instance()).transform(x, y)
    from qgis.PyQt.QtCore import QDate
    for place in (there, QgsPointXY(15, 123), None):
        feature = QgsFeature(layer.fields())
        feature.setAttributes(["water", QDate(2020, 5, 1)])
        if place:
            feature.setGeometry(QgsGeometry.fromPointXY(place))
        layer.dataProvider().addFeature(feature)
    feedback = Feedback()
    run("extractspectra", {"INPUT": examples["scene"], "SAMPLES": layer, "CLASSFIELD": "day",
                           "ENDMEMBERS": str(tmp_path / "e.gpkg")}, feedback)
    assert [feature["name"] for feature in QgsVectorLayer(str(tmp_path / "e.gpkg")).getFeatures()] == ["2020-05-01"]
    assert any("1 features that cannot be brought" in warning for warning in feedback.warnings)


def test_library_with_fields_of_reserved_names_passes_through(run, tmp_path):
    import json
    rows = [(None, (name, json.dumps({"x": list(range(400, 440)), "y": [float(v) for v in column],
                                      "xUnit": "Nanometers"}), number, "g"))
            for number, (name, column) in enumerate(zip(fixtures.NAMES, fixtures.signatures().T))]
    library = fixtures.layer(tmp_path / "library.gpkg", "library", rows, [
        ("Name", ogr.OFTString), ("Profile", ogr.OFTString), ("FID_", ogr.OFTInteger), ("Source", ogr.OFTString)],
        ogr.wkbNone)
    run("simulatescene", {"ENDMEMBERS": library, "COUNT": 0, "MINANGLE": 1, "HSI": str(tmp_path / "h.tif"),
                          "TRUEENDMEMBERS": str(tmp_path / "e.gpkg")})
    found = {feature["name"] for feature in QgsVectorLayer(str(tmp_path / "e.gpkg")).getFeatures()}
    assert found <= set(fixtures.NAMES) and len(found) >= 2


def test_toolbox_is_told_of_models_too(qgis):
    heard = []
    qgis.plugin.provider.algorithmsLoaded.connect(lambda: heard.append(
        qgis.plugin.provider.algorithm("unmixscene") is not None))
    qgis.plugin.provider._registered("subpixel")
    assert heard == [True]
    assert not qgis.plugin.provider.supportsNonFileBasedOutput()
