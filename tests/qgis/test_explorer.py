"""The explorer: what it reads of a pixel, draws, keeps, saves and hands on."""

import csv
import gc
import json
import re
import resource
import xml.etree.ElementTree
from pathlib import Path
from types import SimpleNamespace

import fixtures
import numpy as np
import pytest
from conftest import ROOT
from osgeo import gdal
from qgis.core import (QgsCoordinateReferenceSystem, QgsCoordinateTransform, QgsFeature, QgsPointXY, QgsProject,
                       QgsRasterLayer, QgsVectorLayer)
from qgis.gui import QgsMapCanvas
from qgis.PyQt import sip
from qgis.PyQt.QtCore import QEvent, QPointF, QRectF, Qt
from qgis.PyQt.QtGui import QColor, QImage, QMouseEvent, QPainter, QPalette
from qgis.PyQt.QtTest import QTest
from qgis.PyQt.QtWidgets import QMainWindow

WGS84 = "EPSG:4326"
ENMAP = ROOT.parent / "shared" / "data" / "enmap_potsdam" / "enmap_potsdam_block_128x64.tif"
PLACE = 20, 10       # column and row: pure water
UPRIGHT = (500000.0, 20, 0, 5800000.0, 0, -20)   # QGIS turns what is rotated


def at(col, row):
    """Map coordinates of a pixel's centre."""
    return UPRIGHT[0] + (col + 0.5) * 20, UPRIGHT[3] - (row + 0.5) * 20


WET = QgsPointXY(*at(*PLACE))


@pytest.fixture(scope="module")
def files(examples, tmp_path_factory):
    """The examples' scene, fractions and images on an upright grid, and the examples' endmembers."""
    folder = tmp_path_factory.mktemp("explorer")

    def upright(path):
        options = gdal.TranslateOptions(outputBounds=(at(-0.5, 0)[0], at(0, -0.5)[1], at(31.5, 0)[0], at(0, 23.5)[1]))
        gdal.Translate(str(folder / Path(path).name), path, options=options)
        return str(folder / Path(path).name)

    return {**{name: upright(examples[name]) for name in ("scene", "abundances")},
            **{name: [upright(path) for path in examples[name]] for name in ("images", "fractionimages")},
            "endmembers": examples["endmembers"], "samples": examples["samples"], "turned": examples["scene"]}


@pytest.fixture
def canvas(qgis):
    canvas = QgsMapCanvas()
    canvas.resize(400, 300)
    canvas.setDestinationCrs(QgsCoordinateReferenceSystem("EPSG:32633"))
    yield canvas
    QgsProject.instance().clear()
    sip.delete(canvas)


@pytest.fixture
def dock(canvas):
    from subpixel.ui.explorer.dock import ExplorerDock
    dock = ExplorerDock(canvas)
    dock.resize(480, 900)
    dock.opened.emit()
    yield dock
    dock.take_down()
    sip.delete(dock)


def raster(path, name="image"):
    layer = QgsRasterLayer(str(path), name)
    assert layer.isValid()
    return layer


def add(*layers):
    QgsProject.instance().addMapLayers(list(layers))
    return layers if len(layers) > 1 else layers[0]


def spectrum_chart(dock):
    return dock._plot.charts[0]


def line(chart, name):
    return next(each for each in chart.lines if each.name == name)


def said(dock):
    return dock._words.text()


# reading


def test_a_click_shows_the_pixels_spectrum_at_its_wavelengths(dock, canvas, files):
    layer = add(raster(files["scene"]))
    canvas.setExtent(layer.extent())
    place = canvas.getCoordinateTransform().transform(WET).toQPointF().toPoint()
    QTest.mouseClick(canvas.viewport(), Qt.MouseButton.RightButton, pos=place)
    assert dock._plot.charts == []
    QTest.mouseClick(canvas.viewport(), Qt.MouseButton.LeftButton, pos=place)
    cube = gdal.Open(files["scene"]).ReadAsArray()
    drawn = line(spectrum_chart(dock), "Pixel")
    np.testing.assert_allclose(drawn.x, fixtures.WAVELENGTHS, atol=1e-3)
    assert drawn.y == cube[:, PLACE[1], PLACE[0]].tolist()
    assert spectrum_chart(dock).x_label == "Wavelength (nm)" and not spectrum_chart(dock).shaded


def test_a_rotated_raster_is_read_as_qgis_draws_it(dock, files):
    layer = add(raster(files["turned"]))
    dock.pick(QgsPointXY(*fixtures.at(*PLACE)), layer.crs())
    (col, row), cube = PLACE, gdal.Open(files["turned"]).ReadAsArray()
    near = cube[:, row - 1:row + 2, col - 1:col + 2].reshape(fixtures.BANDS, -1)
    assert line(spectrum_chart(dock), "Pixel").y in near.T.tolist()


def test_scale_and_offset_are_applied_once(dock, tmp_path):
    path = fixtures.raster(tmp_path / "scaled.tif", fixtures.scene_cube(), geotransform=UPRIGHT)
    file = gdal.Open(path, gdal.GA_Update)
    for number in range(1, fixtures.BANDS + 1):
        file.GetRasterBand(number).SetScale(1e-4)
        file.GetRasterBand(number).SetOffset(0.5)
    del file
    layer = raster(path)
    dock._image.setLayer(add(layer))
    dock.pick(WET)
    stored = fixtures.scene_cube()[:, PLACE[1], PLACE[0]]
    np.testing.assert_allclose(line(spectrum_chart(dock), "Pixel").y, stored * 1e-4 + 0.5, rtol=1e-6)


def test_without_wavelengths_the_axis_counts_bands(dock, tmp_path):
    dock._image.setLayer(add(raster(fixtures.raster(tmp_path / "plain.tif", fixtures.scene_cube()))))
    dock.pick(WET)
    chart = spectrum_chart(dock)
    assert chart.x_label == "Band" and line(chart, "Pixel").x == [float(band) for band in range(1, fixtures.BANDS + 1)]


@pytest.mark.skipif(not ENMAP.exists(), reason="the real scenes (../shared/data) are not here")
def test_bands_without_data_or_flagged_as_bad_are_gaps_and_shaded(dock, tmp_path):
    block = gdal.Open(str(ENMAP))
    copy = gdal.GetDriverByName("GTiff").CreateCopy(str(tmp_path / "block.tif"), block)
    copy.GetRasterBand(50).SetMetadataItem("bbl", "0")
    centres = [float(block.GetRasterBand(band).GetMetadataItem("wavelength")) for band in range(1, 225)]
    del copy
    layer = add(raster(tmp_path / "block.tif"))
    dock.pick(layer.extent().center(), layer.crs())
    empty = [band for band in range(224) if not (block.GetRasterBand(band + 1).ReadAsArray() != -32768).any()]
    assert len(empty) == 6
    masked = {centres[band] for band in [*empty, 49]}
    chart = spectrum_chart(dock)
    drawn = line(chart, "Pixel")
    values = dict(zip(drawn.x, drawn.y))
    assert {x for x in centres if values[x] is None} == masked
    inside = {x for x in centres if any(begin <= x <= end for begin, end in chart.shaded)}
    assert inside == masked
    # where the instrument has no bands, or its second spectrometer begins, there is no line either
    steps = [after - before for before, after, here, there in zip(drawn.x, drawn.x[1:], drawn.y, drawn.y[1:])
             if here is not None and there is not None]
    assert 0 < min(steps) and max(steps) < 60
    assert min(np.diff(centres)) < 0 and max(np.diff(centres)) > 100
    assert min(np.diff(drawn.x)) < 0, "where both spectrometers measured, each has its own line"


def test_a_band_of_transparency_is_no_part_of_the_spectrum(dock, tmp_path):
    path = fixtures.raster(tmp_path / "clear.tif", fixtures.scene_cube()[:5], geotransform=UPRIGHT)
    file = gdal.Open(path, gdal.GA_Update)
    file.GetRasterBand(5).SetColorInterpretation(gdal.GCI_AlphaBand)
    del file
    dock._image.setLayer(add(raster(path)))
    dock.pick(WET)
    assert [value is None for value in line(spectrum_chart(dock), "Pixel").y] == [False] * 4 + [True]


@pytest.mark.parametrize("order", [slice(None), slice(None, None, -1), np.random.default_rng(0).permutation(40)])
def test_bands_in_any_order_are_drawn_along_the_wavelengths(dock, tmp_path, order):
    cube, wavelengths = fixtures.scene_cube()[order], fixtures.WAVELENGTHS[order]
    add(raster(fixtures.raster(tmp_path / "turned.tif", cube, wavelengths=wavelengths, geotransform=UPRIGHT)))
    dock.pick(WET)
    drawn = line(spectrum_chart(dock), "Pixel")
    np.testing.assert_allclose(drawn.x, fixtures.WAVELENGTHS, atol=1e-3)
    assert drawn.y == fixtures.scene_cube()[:, PLACE[1], PLACE[0]].tolist()


def test_a_click_in_another_crs_finds_the_same_pixel(dock, canvas, files):
    add(raster(files["scene"]))
    dock.pick(WET)
    here = line(spectrum_chart(dock), "Pixel").y
    geographic = QgsCoordinateReferenceSystem(WGS84)
    canvas.setDestinationCrs(geographic)
    dock.pick(QgsCoordinateTransform(QgsCoordinateReferenceSystem("EPSG:32633"), geographic,
                                     QgsProject.instance()).transform(WET))
    assert line(spectrum_chart(dock), "Pixel").y == here


@pytest.mark.parametrize("lacking", ["layer", "map"])
def test_without_a_crs_coordinates_count_as_they_are(dock, canvas, files, lacking):
    layer = add(raster(files["scene"]))
    if lacking == "layer":
        layer.setCrs(QgsCoordinateReferenceSystem())
    else:
        canvas.setDestinationCrs(QgsCoordinateReferenceSystem())
    dock.pick(WET)
    assert line(spectrum_chart(dock), "Pixel").y == truth(*PLACE)[0].tolist()
    assert len(markers(canvas)) == 1


def test_a_layer_that_was_given_another_file_is_asked_anew(dock, files, tmp_path):
    layer = add(raster(files["scene"]))
    dock.pick(WET)
    layer.setDataSource(fixtures.raster(tmp_path / "plain.tif", fixtures.scene_cube(), geotransform=UPRIGHT), "image",
                        "gdal")
    dock.pick(WET)
    assert spectrum_chart(dock).x_label == "Band"


@pytest.mark.parametrize("place, words", [((500000.0, 100.0), "does not reach that far"),
                                          (at(1, 1), "has no data at this pixel")])
def test_where_nothing_is_a_sentence_says_so(dock, files, place, words):
    add(raster(files["scene"]))
    dock.pick(WET)
    dock.pick(QgsPointXY(*place))
    assert words in said(dock) and dock._plot.charts == []


def test_without_an_image_a_sentence_asks_for_one(dock):
    dock.pick(WET)
    assert said(dock) == "Choose a hyperspectral image first."


def test_only_layers_that_can_be_meant_are_offered(dock, files, tmp_path):
    single = raster(fixtures.raster(tmp_path / "single.tif", fixtures.scene_cube()[:1]), "single")
    spectra = QgsVectorLayer(files["endmembers"], "endmembers")
    samples = QgsVectorLayer(files["samples"], "samples")
    add(single, raster(files["scene"], "scene"), spectra, samples)

    def offered(combo):
        return [combo.itemText(row) for row in range(combo.count())]
    assert offered(dock._image) == offered(dock._abundances) == ["", "scene"]
    assert offered(dock._endmembers) == ["", "endmembers"]
    assert dock.choice().image.name() == "scene" and dock.choice().endmembers is spectra


def test_fractions_of_one_date_of_many_are_not_chosen_for_a_scene(dock, files, tmp_path):
    for name, tags, chosen in (("dated", ["ACQUISITION_DATE=2020-05-01"], None), ("abundances", [], "abundances")):
        path = str(tmp_path / f"{name}.tif")
        gdal.Translate(path, files["abundances"], metadataOptions=["SUBPIXEL_OUTPUT=ABUNDANCES", *tags])
        add(raster(path, name))
        abundances = dock.choice().abundances
        assert (abundances and abundances.name()) == chosen


# the mixture


def choose(dock, files, endmembers, fractions=None):
    image, spectra = add(raster(files["scene"]), QgsVectorLayer(str(endmembers), "endmembers"))
    shares = add(raster(fractions or files["abundances"], "abundances"))
    dock._image.setLayer(image)
    dock._endmembers.setLayer(spectra)
    dock._abundances.setLayer(shares)


def truth(col, row):
    """Values of the scene at a pixel, and the mixture by its true fractions."""
    return fixtures.scene_cube()[:, row, col], fixtures.signatures() * 10000 @ fixtures.fractions()[:, row, col]


def test_the_mixture_matches_fractions_and_endmembers_by_name(dock, files, tmp_path):
    turned = fixtures.spectra(tmp_path / "turned.gpkg", fixtures.signatures()[:, ::-1] * 10000, fixtures.NAMES[::-1])
    choose(dock, files, turned)
    dock.pick(QgsPointXY(*at(15, 12)))
    values, mixture = truth(15, 12)
    np.testing.assert_allclose(line(spectrum_chart(dock), "Mixture").y, mixture, rtol=1e-5)
    rmse = np.sqrt(np.mean((values - mixture) ** 2))
    angle = np.degrees(np.arccos(values @ mixture / np.linalg.norm(values) / np.linalg.norm(mixture)))
    assert f"RMSE {rmse:.4g}, spectral angle {angle:.2f}°" in said(dock)
    from subpixel.engine.palette import colours
    bars = dock._plot.charts[1]
    assert [name for name, _, _ in bars.rows] == list(fixtures.NAMES)
    assert dict((name, colour) for name, colour, _ in bars.rows) == dict(
        zip(fixtures.NAMES[::-1], colours(fixtures.NAMES[::-1])))
    np.testing.assert_allclose([value for _, _, value in bars.rows], fixtures.fractions()[:, 12, 15], rtol=1e-5)
    assert line(spectrum_chart(dock), "tree").colour == dict((name, colour) for name, colour, _ in bars.rows)["tree"]


def test_of_many_endmembers_those_with_the_largest_fractions_are_drawn(qgis):
    from subpixel.ui.explorer.charts import MOST, charts_of
    from subpixel.ui.explorer.reading import Reading
    names = [f"s{number:02}" for number in range(MOST + 3)]
    shares = {name: number / 100 for number, name in enumerate(names)}
    facts = SimpleNamespace(x=[1.0, 2.0], wavelengths=None, bad=[False, False])
    reading = Reading(WET, QgsCoordinateReferenceSystem(), "image", facts, [1.0, 2.0],
                      {name: [1.0, 2.0] for name in names}, shares)
    spectra, bars = charts_of(reading, [])
    assert [each.name for each in spectra.lines] == [*names[3:], "Pixel"]
    assert [name for name, _, _ in bars.rows] == names[3:]


def test_endmembers_on_other_wavelengths_are_interpolated(dock, files, tmp_path):
    grid = np.linspace(430, 2420, 60)
    finer = np.stack([np.interp(grid, fixtures.WAVELENGTHS, column) for column in fixtures.signatures().T], 1) * 10000
    choose(dock, files, fixtures.spectra(tmp_path / "finer.gpkg", finer, fixtures.NAMES, grid))
    dock.pick(WET)
    for name, column in zip(fixtures.NAMES, finer.T):
        np.testing.assert_allclose(line(spectrum_chart(dock), name).y, np.interp(fixtures.WAVELENGTHS, grid, column),
                                   rtol=1e-6)


def test_endmembers_by_band_number_stand_at_the_bands(dock, files, tmp_path):
    choose(dock, files, fixtures.spectra(tmp_path / "bands.gpkg", fixtures.signatures() * 10000, fixtures.NAMES,
                                            None))
    dock.pick(WET)
    np.testing.assert_allclose(line(spectrum_chart(dock), "Mixture").y, truth(*PLACE)[1], rtol=1e-5)


def test_endmembers_of_the_bands_that_count_stand_at_those(dock, tmp_path):
    path = fixtures.raster(tmp_path / "bad.tif", fixtures.scene_cube(), geotransform=UPRIGHT)
    file = gdal.Open(path, gdal.GA_Update)
    for number in range(1, fixtures.BANDS + 1):
        file.GetRasterBand(number).SetMetadataItem("bbl", "0" if number == 3 else "1")
    del file
    values = np.delete(fixtures.signatures(), 2, axis=0)
    dock._image.setLayer(add(raster(path)))
    add(QgsVectorLayer(str(fixtures.spectra(tmp_path / "used.gpkg", values, fixtures.NAMES, None)), "used"))
    dock.pick(WET)
    drawn = line(spectrum_chart(dock), "tree").y
    assert drawn[2] is None
    np.testing.assert_allclose([value for value in drawn if value is not None], values[:, 1], rtol=1e-6)


def test_fractions_without_an_endmember_of_their_name_are_told(dock, files, tmp_path):
    choose(dock, files, fixtures.spectra(tmp_path / "renamed.gpkg", fixtures.signatures() * 10000,
                                            ("water", "wood", "soil")))
    dock.pick(WET)
    assert "No endmember is called tree, so there is no mixture" in said(dock) and "RMSE" not in said(dock)
    assert "Mixture" not in [each.name for each in spectrum_chart(dock).lines]


@pytest.mark.parametrize("text", ["", "no profile", "[1, 2]", '{"y": []}', '{"y": "ab"}', '{"y": [1, 2], "x": [1]}',
                                  '{"y": [1, "b"]}', '{"y": [1, 2], "x": [0, null], "xUnit": "cm-1"}'])
def test_profiles_that_are_none_are_told(dock, files, text):
    layer = QgsVectorLayer("NoGeometry?field=name:string&field=profile:string", "odd", "memory")
    feature = QgsFeature(layer.fields())
    feature.setAttributes(["odd", text])
    layer.dataProvider().addFeature(feature)
    add(raster(files["scene"]), layer)
    dock.pick(WET)
    assert "no spectrum that fits the image's bands in odd" in said(dock)
    assert [each.name for each in spectrum_chart(dock).lines] == ["Pixel"]


def test_spectra_that_fit_no_bands_are_told(dock, files, tmp_path):
    choose(dock, files, fixtures.spectra(tmp_path / "short.gpkg", fixtures.signatures()[:7], fixtures.NAMES, None))
    dock.pick(WET)
    assert "no spectrum that fits the image's bands in water, tree, soil" in said(dock)


def test_interpolation_leaves_gaps_and_ends_empty(qgis):
    from subpixel.ui.explorer.fit import resampled
    x = [400, 410, 420, 430, 600, 610]
    assert resampled(x, [1, 2, None, 4, 5, 6], [390, 405, 420, 430.2, 500, 600, 605]) == [
        None, 1.5, 3, 4, None, 5, 5.5]


# sequences


@pytest.fixture(scope="module")
def states(examples, files):
    """Rasters of states and their uncertainty by a run, two lists."""
    results = examples._made("kalmanfilter", {"IMAGES": files["fractionimages"], "AT": "2020-07-15"},
                             STATES="explorer states", UNCERTAINTY="explorer deviations")
    return results["STATELAYERS"], results["UNCERTAINTYLAYERS"]


@pytest.fixture
def course(dock, files, states):
    """They are loaded in groups of their own, the uncertainty first, and the scene."""
    root = QgsProject.instance().layerTreeRoot()
    for name, paths in zip(("Course", "Deviations"), states):
        group = root.insertGroup(0, name)
        for path in reversed(paths):
            layer = raster(path, path[-14:-4])
            QgsProject.instance().addMapLayer(layer, False)
            group.addLayer(layer)
    add(raster(files["scene"]))
    dock._look_at_sequences()
    return states


def test_a_sequence_shows_its_values_over_time_with_their_uncertainty(dock, course):
    assert dock._sequence.currentText() == "Course" and dock._sequence.count() == 2
    dock.pick(WET)
    chart = dock._plot.charts[1]
    assert [words for _, words in chart.ticks] == ["2020-03-01", "2020-05-15", "2020-07-15", "2020-09-30"]
    assert [each.name for each in chart.lines] == list(fixtures.NAMES)
    stored, deviations = (np.array([gdal.Open(path).ReadAsArray()[:, PLACE[1], PLACE[0]] for path in paths])
                          for paths in course)
    for number, each in enumerate(chart.lines):
        np.testing.assert_allclose(each.y, stored[:, number], rtol=1e-6)
        np.testing.assert_allclose(each.spread, deviations[:, number], rtol=1e-6)


def test_deviations_are_of_the_run_that_made_them(qgis):
    from subpixel.ui.explorer.sequences import Sequence

    def of(output, run):
        return Sequence("Group", ("water",), {1: "first", 2: "second"}, output, run)

    run, other, unknown = ("kalmanfilter", "{}"), ("kalmanfilter", '{"AT": ""}'), (None, None)
    assert of("UNCERTAINTY", run).is_uncertainty_of(of("STATES", run))
    for deviations, states in ((other, run), (unknown, unknown), (unknown, run)):
        assert not of("UNCERTAINTY", deviations).is_uncertainty_of(of("STATES", states))


def test_a_sequence_follows_the_layer_tree(dock, course):
    dock.pick(WET)
    root = QgsProject.instance().layerTreeRoot()
    root.findGroup("Course").setName("Renamed")
    dock._look_at_sequences()
    assert dock._sequence.itemText(1) == "Renamed"
    dock._sequence.setCurrentIndex(1)
    assert len(dock._plot.charts) == 2
    QgsProject.instance().removeMapLayers([node.layerId() for node in root.findGroup("Renamed").findLayers()])
    dock._look_at_sequences()
    assert dock._sequence.count() == 1 and len(dock._plot.charts) == 1


def test_a_sequence_that_is_chosen_stays_so_when_others_change(dock, files):
    first = [add(raster(file, file[-12:-4])) for file in files["images"]]
    for file in files["fractionimages"]:
        add(raster(file, file[-14:-4]))
    dock._look_at_sequences()
    dock._sequence.setCurrentIndex(2)
    chosen = dock._sequence.currentText()
    QgsProject.instance().removeMapLayer(first[0].id())
    dock._look_at_sequences()
    assert dock._sequence.currentText() == chosen != ""


def test_dates_without_data_are_gaps(dock, files):
    for count, file in enumerate(files["images"]):
        add(raster(file, file[-12:-4]))
        dock._look_at_sequences()
        assert dock._sequence.count() == 1 + (count > 0)   # one date is no sequence
    dock._sequence.setCurrentIndex(1)
    dock.pick(QgsPointXY(*at(11, 10)))   # nodata in the second image
    courses = dock._plot.charts[1].lines
    assert [[value is None for value in each.y] for each in courses] == [[False, True, False]] * len(courses)


# pins


def pinned(dock, *places):
    for col, row in places:
        dock.pick(QgsPointXY(*at(col, row)))
        dock.pin()


def markers(canvas):
    from subpixel.ui.explorer.marker import Marker
    return [item for item in canvas.scene().items() if isinstance(item, Marker) and item.isVisible()]


def test_pins_have_a_colour_a_name_a_check_box_and_a_marker(dock, canvas, files):
    add(raster(files["scene"]))
    pinned(dock, PLACE, (8, 15), (28, 20))
    dock.pick(QgsPointXY(*at(15, 12)))
    assert [each.name for each in spectrum_chart(dock).lines] == ["Pixel 1", "Pixel 2", "Pixel 3", "Pixel"]
    assert len({each.colour for each in spectrum_chart(dock).lines}) == 4
    assert len(markers(canvas)) == 4
    dock._list.item(1).setText("tree")
    dock._list.item(2).setCheckState(Qt.CheckState.Unchecked)
    assert [each.name for each in spectrum_chart(dock).lines] == ["Pixel 1", "tree", "Pixel"]
    dock._list.item(0).setSelected(True)
    dock.remove_selected()
    assert [each.name for each in spectrum_chart(dock).lines] == ["tree", "Pixel"]
    assert len(markers(canvas)) == 3


def test_a_marker_is_not_drawn_while_the_maps_crs_does_not_reach_there(dock, canvas, files):
    add(raster(files["scene"]))
    pinned(dock, PLACE)
    far = QgsCoordinateReferenceSystem("PROJ:+proj=ortho +lat_0=-52 +lon_0=-165 +datum=WGS84")
    for crs, opacity in ((far, 0), (QgsCoordinateReferenceSystem("EPSG:32633"), 1)):
        canvas.setDestinationCrs(crs)
        assert [marker.opacity() for marker in markers(canvas)] == [opacity, opacity]


def test_a_pixel_is_pinned_once(dock, files):
    add(raster(files["scene"]))
    dock.pin()
    pinned(dock, PLACE)
    dock.pin()
    assert dock._list.count() == 1


def test_pins_of_an_image_without_wavelengths_stay_off_the_wavelengths(dock, files, tmp_path):
    scene, plain = add(raster(files["scene"]), raster(fixtures.raster(tmp_path / "p.tif", fixtures.scene_cube())))
    pinned(dock, PLACE)
    dock._image.setLayer(plain)
    dock.pick(WET)
    assert [each.name for each in spectrum_chart(dock).lines] == ["Pixel"]


# what leaves it


def test_the_plot_is_saved_as_picture_and_drawing(dock, files, tmp_path):
    choose(dock, files, files["endmembers"])
    pinned(dock, PLACE)
    dock.save_plot(str(tmp_path / "plot.png"))
    red, green, blue = gdal.Open(str(tmp_path / "plot.png")).ReadAsArray()[:3, ::2, ::2].astype(int)
    colours = {f"#{colour:06x}" for colour in np.unique(red * 65536 + green * 256 + blue)}
    bars = dock._plot.charts[1].rows
    assert {"#ffffff", dock._pins[0].colour, next(colour for name, colour, _ in bars if name == "water")} <= colours
    dock.save_plot(str(tmp_path / "plot.svg"))
    drawing = xml.etree.ElementTree.parse(tmp_path / "plot.svg").getroot()
    words = {node.text.strip() for node in drawing.iter("{http://www.w3.org/2000/svg}text")}
    assert {"Wavelength (nm)", "Pixel 1", "water", "tree", "soil"} <= words
    dock.save_plot(str(tmp_path / "nowhere" / "plot.png"))
    assert "cannot be written" in said(dock)
    dock.save_plot(str(tmp_path / "nowhere" / "plot.svg"))
    assert "cannot be written" in said(dock)


def rows(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_numbers_are_saved_with_a_row_per_wavelength(dock, files, tmp_path):
    choose(dock, files, files["endmembers"])
    for file in files["fractionimages"]:
        add(raster(file, file[-14:-4]))
    dock._look_at_sequences()
    dock._sequence.setCurrentIndex(1)
    pinned(dock, PLACE, (15, 12))
    dock._list.item(0).setText("lake")
    dock.pick(QgsPointXY(*at(8, 15)))
    dock.save_tables(str(tmp_path / "pixels.csv"))
    spectra = rows(tmp_path / "pixels.csv")
    assert list(spectra[0]) == ["wavelength_nm", "bad", "lake", "lake mixture", "Pixel 2", "Pixel 2 mixture", "Pixel",
                                "Pixel mixture", "endmember water", "endmember tree", "endmember soil"]
    np.testing.assert_allclose([float(row["wavelength_nm"]) for row in spectra], fixtures.WAVELENGTHS, atol=1e-3)
    np.testing.assert_allclose([float(row["lake"]) for row in spectra], truth(*PLACE)[0])
    np.testing.assert_allclose([float(row["Pixel 2 mixture"]) for row in spectra], truth(15, 12)[1], rtol=1e-5)
    shares = rows(tmp_path / "pixels_fractions.csv")
    assert [row["pixel"] for row in shares] == ["lake", "Pixel 2", "Pixel"] and float(shares[0]["water"]) == 1
    series = rows(tmp_path / "pixels_series.csv")
    assert [(row["pixel"], row["date"]) for row in series[:3]] == [("lake", date) for date in fixtures.DATES]
    stored = gdal.Open(files["fractionimages"][2]).ReadAsArray()[:, 12, 15]
    np.testing.assert_allclose([float(series[5][name]) for name in fixtures.NAMES], stored, rtol=1e-6)
    dock.save_tables(str(tmp_path / "nowhere" / "pixels.csv"))
    assert "cannot be written: No such file or directory" in said(dock)


def test_images_with_and_without_wavelengths_share_the_numbers_of_their_bands(dock, files, tmp_path):
    plain = fixtures.raster(tmp_path / "plain.tif", fixtures.scene_cube()[:5], geotransform=UPRIGHT)
    file = gdal.Open(plain, gdal.GA_Update)
    for number in range(1, 6):
        file.GetRasterBand(number).SetMetadataItem("bbl", "0" if number == 3 else "1")
    del file
    scene, plain = add(raster(files["scene"]), raster(plain))
    pinned(dock, PLACE)
    dock._image.setLayer(plain)
    dock.pick(WET)
    dock.save_tables(str(tmp_path / "pixels.csv"))
    saved = rows(tmp_path / "pixels.csv")
    assert [row["band"] for row in saved] == [str(number) for number in range(1, fixtures.BANDS + 1)]
    values = fixtures.scene_cube()[:, PLACE[1], PLACE[0]]
    assert [float(row["Pixel 1"]) for row in saved] == values.tolist()
    assert [float(row["Pixel"]) for row in saved[:5]] == values[:5].tolist() and saved[5]["Pixel"] == ""
    assert [row["bad"] for row in saved] == ["0", "0", "1"] + ["0"] * (fixtures.BANDS - 3)


@pytest.mark.parametrize("kind", ["memory", "file"])
def test_pinned_spectra_become_endmembers_that_fcls_takes(dock, files, run, tmp_path, kind):
    image = add(raster(files["scene"]))
    pinned(dock, PLACE, (8, 15), (28, 20))
    for row, name in enumerate(fixtures.NAMES):
        dock._list.item(row).setText(name)
    dock.send(None if kind == "memory" else str(tmp_path / "picked.gpkg"))
    assert "3 spectra added to" in said(dock)
    layer = dock.choice().endmembers   # no other was chosen
    assert [feature["name"] for feature in layer.getFeatures()] == list(fixtures.NAMES)
    assert layer.renderer().type() == "categorizedSymbol"
    points = [feature.geometry().asPoint() for feature in layer.getFeatures()]
    np.testing.assert_allclose([tuple(point) for point in points],
                               [at(*place) for place in (PLACE, (8, 15), (28, 20))])
    target = tmp_path / "abundances.tif"
    run("fcls", {"INPUT": image.source(), "ENDMEMBERS": layer, "ABUNDANCES": str(target)})
    A = gdal.Open(str(target)).ReadAsArray()
    for number, (col, row) in enumerate((PLACE, (8, 15), (28, 20))):
        np.testing.assert_allclose(A[:, row, col], np.eye(3)[number], atol=1e-4)


def test_where_a_spectrum_comes_from_is_told_in_degrees_too(dock, canvas, files):
    add(raster(files["scene"]))
    canvas.setDestinationCrs(QgsCoordinateReferenceSystem(WGS84))
    dock.pick(QgsCoordinateTransform(QgsCoordinateReferenceSystem("EPSG:32633"), QgsCoordinateReferenceSystem(WGS84),
                                     QgsProject.instance()).transform(WET))
    told = said(dock).rpartition(" at ")[2]
    assert re.fullmatch(r"15\.\d{4}, 52\.\d{4}", told)
    dock.pin()
    dock.send(None)
    assert next(dock.choice().endmembers.getFeatures())["source"].endswith(f" {told}")


@pytest.fixture
def library(files, tmp_path):
    """A layer of one spectrum in a GeoPackage, with points in degrees."""
    from osgeo import ogr, osr
    degrees = osr.SpatialReference()
    degrees.ImportFromEPSG(4326)
    source = ogr.GetDriverByName("GPKG").CreateDataSource(str(tmp_path / "library.gpkg"))
    made = source.CreateLayer("library", degrees, ogr.wkbPoint)
    for field in ("Name", "Profile"):
        made.CreateField(ogr.FieldDefn(field, ogr.OFTString))
    feature = ogr.Feature(made.GetLayerDefn())
    feature.SetField("Profile", json.dumps({"y": [1.0] * fixtures.BANDS}))
    made.CreateFeature(feature)
    source.FlushCache()
    return QgsVectorLayer(str(tmp_path / "library.gpkg"), "library")


def test_a_spectrum_sent_to_a_layer_on_disk_is_there_at_once_in_its_crs(dock, files, library):
    add(raster(files["scene"]), library)
    pinned(dock, PLACE)
    dock.send(library)
    assert not library.isEditable()
    last = list(QgsVectorLayer(library.source(), "again").getFeatures())[-1]
    profile = json.loads(last["Profile"])
    assert last["Name"] == "Pixel 1" and profile["xUnit"] == "Nanometers"
    np.testing.assert_allclose(profile["x"], fixtures.WAVELENGTHS, atol=1e-3)
    np.testing.assert_allclose(profile["y"], truth(*PLACE)[0])
    expected = QgsCoordinateTransform(QgsCoordinateReferenceSystem("EPSG:32633"), QgsCoordinateReferenceSystem(WGS84),
                                      QgsProject.instance()).transform(WET)
    assert last.geometry().asPoint().distance(expected) < 1e-9


def test_a_spectrum_sent_to_a_layer_that_is_edited_can_be_undone(dock, files, library):
    add(raster(files["scene"]), library)
    pinned(dock, PLACE, (8, 15))
    library.startEditing()
    dock.send(library)
    assert library.featureCount() == 3 and library.undoStack().undoText() == "Add spectra of pinned pixels"
    library.undoStack().undo()
    assert library.featureCount() == 1
    library.rollBack()


@pytest.mark.parametrize("editing", [False, True])
def test_a_layer_of_many_points_gets_such(dock, files, editing):
    several = QgsVectorLayer("MultiPoint?crs=EPSG:32633&field=name:string&field=profile:string(9999)", "several",
                             "memory")
    add(raster(files["scene"]), several)
    pinned(dock, PLACE)
    if editing:
        several.startEditing()
    dock.send(several)
    geometry = next(several.getFeatures()).geometry()
    assert geometry.isMultipart() and geometry.asMultiPoint() == [WET]
    several.rollBack()


def test_layers_that_cannot_take_spectra_say_why(dock, files, library, tmp_path):
    narrow = QgsVectorLayer("NoGeometry?field=name:string(20)&field=profile:string(254)", "narrow", "memory")
    add(raster(files["scene"]), library, narrow)
    dock.send(library)
    assert "Pin the pixels first" in said(dock)
    pinned(dock, PLACE)
    dock.send(narrow)
    assert "The field profile of narrow holds 254 characters" in said(dock) and narrow.featureCount() == 0
    library.setReadOnly(True)
    dock.send(library)
    assert "library cannot be edited" in said(dock)
    dock.send(library.source().split("|")[0])
    assert "is a layer of this project" in said(dock) and library.featureCount() == 1
    dock.send(str(tmp_path / "nowhere" / "new.gpkg"))
    assert "cannot be written" in said(dock)


def test_bad_bands_are_not_sent(dock, tmp_path):
    cube = fixtures.scene_cube()
    cube[7] = fixtures.NODATA
    path = fixtures.raster(tmp_path / "bad.tif", cube, wavelengths=fixtures.WAVELENGTHS, geotransform=UPRIGHT)
    file = gdal.Open(path, gdal.GA_Update)
    for number in range(1, fixtures.BANDS + 1):
        file.GetRasterBand(number).SetMetadataItem("bbl", "0" if number == 3 else "1")
    del file
    add(raster(path))
    pinned(dock, PLACE)
    x = dock._pins[0].reading.profile["x"]
    np.testing.assert_allclose(x, np.delete(fixtures.WAVELENGTHS, [2, 7]), atol=1e-3)


# drawing


def test_the_value_under_the_mouse_is_told(dock, files):
    from subpixel.ui.explorer.plot import PAPER, Sheet
    add(raster(files["scene"]))
    dock.pick(WET)
    dock._plot.resize(400, 300)
    image = QImage(400, 300, QImage.Format.Format_RGB32)
    painter = QPainter(image)
    sheet = Sheet(painter, QRectF(0, 0, 400, 300), dock._plot.charts, PAPER)
    painter.end()
    place, words, _ = sheet.values[0]
    assert words == f"Pixel: 450, {truth(*PLACE)[0][0]:.5g}"
    before = dock._plot.grab().toImage()
    dock._plot.mouseMoveEvent(QMouseEvent(QEvent.Type.MouseMove, QPointF(place), Qt.MouseButton.NoButton,
                                          Qt.MouseButton.NoButton, Qt.KeyboardModifier.NoModifier))
    assert dock._plot.grab().toImage() != before
    dock._plot.leaveEvent(None)
    assert dock._plot.grab().toImage() == before


def test_a_dark_theme_has_dark_plots_with_lines_that_show(dock, files):
    choose(dock, files, files["endmembers"])
    dock.pick(WET)
    dark = QPalette()
    dark.setColor(QPalette.ColorRole.Base, QColor("#1e1e1e"))
    dark.setColor(QPalette.ColorRole.Text, QColor("#f0f0f0"))
    dock._plot.setPalette(dark)
    dock._plot.resize(400, 400)
    picture = dock._plot.grab().toImage()
    lightness = [picture.pixelColor(x, y).lightness() for x in range(picture.width()) for y in range(picture.height())]
    assert np.median(lightness) < 50 and np.mean(np.array(lightness) > 200) > 0.005
    from subpixel.ui.explorer.plot import CONTRAST, Ink
    for background, text in (("#1e1e1e", "#f0f0f0"), ("#ffffff", "#202020")):
        ink = Ink(background, text)
        for colour in ("#262626", "#f2c80f", "#d9d9d9", "#9edae5", "#ffffff", "#000000", "#00876c", None):
            assert abs(ink.of(colour).lightness() - QColor(background).lightness()) >= CONTRAST


@pytest.mark.parametrize("low, high, most, expected", [
    (0, 1, 5, [0, 0.2, 0.4, 0.6, 0.8, 1.0]), (450, 2400, 4, [500, 1000, 1500, 2000]), (-3, 8, 3, [0, 5]),
    (2, 2, 5, [2]), (0, 1e-12, 2, [0, 5e-13, 1e-12])])
def test_ticks_are_round_numbers(qgis, low, high, most, expected):
    from subpixel.ui.explorer.plot import steps
    np.testing.assert_allclose(steps(low, high, most), expected, rtol=1e-9, atol=1e-20)


@pytest.mark.parametrize("values", [[None] * 5, [3.0] * 5, [0.0, None, None, None, 0.0], [1e30, -1e30, 0, 1, 2],
                                    [3e37] * 5])
def test_odd_values_are_drawn_without_a_fault(qgis, values):
    from subpixel.ui.explorer.plot import Bars, Chart, Line, Plot
    plot = Plot()
    for size in ((260, 200), (1, 1), (900, 300)):
        plot.resize(*size)
        for x in ([1, 2, 3, 4, 5], [7] * 5):
            plot.show_charts([Chart([Line("a", "#123456", x, values, spread=[0.1] * 5)], "x", "y", [(1, 2)]),
                              Chart([], "x", "y"), Bars("b", [("n", "#123456", value or 0.0) for value in values])])
            assert not plot.grab().isNull()


# coming and going


@pytest.fixture
def window(canvas):
    """What the plugin sees of QGIS's window."""
    main, menus, icons = QMainWindow(), [], []
    return SimpleNamespace(mainWindow=lambda: main, mapCanvas=lambda: canvas, menus=menus, icons=icons,
                           addPluginToRasterMenu=lambda name, action: menus.append(action),
                           removePluginRasterMenu=lambda name, action: menus.remove(action),
                           addRasterToolBarIcon=icons.append, removeRasterToolBarIcon=icons.remove,
                           addTabifiedDockWidget=lambda area, dock, beside, raised: main.addDockWidget(area, dock),
                           removeDockWidget=main.removeDockWidget, main=main)


def test_the_button_opens_and_closes_and_unloading_leaves_nothing(qgis, window, canvas, files):
    from subpixel.ui.explorer.part import Explorer
    window.main.show()
    part = Explorer(window)
    assert window.menus == window.icons == [part.action] and part.dock is None
    part.action.trigger()
    assert part.dock.isUserVisible() and canvas.mapTool() is part.dock._tool
    add(raster(files["scene"]))
    part.dock.pick(WET)
    part.dock.pin()
    assert len(markers(canvas)) == 2
    part.dock.close()
    assert not part.action.isChecked() and canvas.mapTool() is not part.dock._tool and markers(canvas) == []
    part.action.trigger()
    assert part.action.isChecked() and len(markers(canvas)) == 2
    part.unload()
    qgis.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    qgis.processEvents()
    assert window.menus == window.icons == [] and part.dock is None and markers(canvas) == []
    assert not any("Explorer" in child.objectName() for child in window.main.findChildren(QMainWindow.__base__))
    QgsProject.instance().clear()
    add(raster(files["scene"]))   # nobody listens any more


def test_layers_that_go_while_they_are_shown_are_gone(dock, canvas, files, course):
    choose(dock, files, files["endmembers"])
    pinned(dock, PLACE)
    dock.pick(QgsPointXY(*at(15, 12)))
    for layer in (dock.choice().abundances, dock.choice().endmembers):
        QgsProject.instance().removeMapLayer(layer.id())
    assert [each.name for each in spectrum_chart(dock).lines] == ["Pixel 1", "Pixel"]
    QgsProject.instance().removeMapLayers(list(QgsProject.instance().mapLayers()))
    assert said(dock) == "Choose a hyperspectral image first."
    assert [each.name for each in spectrum_chart(dock).lines] == ["Pixel 1"]   # what is pinned was read
    QgsProject.instance().clear()
    assert dock._plot.charts == [] and dock._list.count() == 0 and markers(canvas) == []
    dock.pick(WET)
    assert said(dock) == "Choose a hyperspectral image first."


def test_two_thousand_clicks_leave_nothing_behind(dock, canvas, files, qgis):
    choose(dock, files, files["endmembers"])
    rng = np.random.default_rng(0)
    places = [QgsPointXY(*at(col, row)) for col, row in zip(rng.integers(6, 32, 2000),
                                                                     rng.integers(6, 24, 2000))]
    for place in places[:200]:
        dock.pick(place)
    gc.collect()
    objects, items, memory = len(gc.get_objects()), len(canvas.scene().items()), resident()
    for place in places[200:]:
        dock.pick(place)
    gc.collect()
    assert len(canvas.scene().items()) == items and abs(len(gc.get_objects()) - objects) < 100
    assert resident() - memory < 8_000_000


def resident():
    """Bytes of memory that this process takes."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * resource.getpagesize()
