"""Filtered series in QGIS: further dates play among the images' own, values have one range of colours."""

import fixtures
import numpy as np
import pytest
from conftest import Feedback
from osgeo import gdal
from qgis.core import (QgsApplication, QgsDateTimeRange, QgsMapRendererParallelJob, QgsMapSettings,
                       QgsProcessingContext, QgsProcessingUtils, QgsProject, QgsRasterLayer, QgsVectorLayer)
from qgis.PyQt.QtCore import QDateTime, QSize, Qt
from qgis.PyQt.QtGui import QColor
from test_states_input import box

FURTHER = ("2020-07-15", "2020-11-15")
DATES = sorted((*fixtures.DATES, *FURTHER))


def styled(paths):
    """The layers of some files, as they are loaded."""
    layers = [QgsRasterLayer(path, "x") for path in paths]
    assert all(layer.loadDefaultStyle()[1] for layer in layers)
    return layers


def shown(layers, moment):
    """Which of them the temporal controller shows at a moment."""
    begin = QDateTime.fromString(moment, Qt.DateFormat.ISODate)
    frame = QgsDateTimeRange(begin, begin.addSecs(3600), True, False)
    return [layer.temporalProperties().isVisibleInTemporalRange(frame) for layer in layers]


@pytest.fixture(name="results")
def _results(run, examples, tmp_path):
    return run("kalmanfilter", {"IMAGES": examples["fractionimages"], "AT": ", ".join(FURTHER), **{
        name: str(tmp_path / name.lower()) for name in ("STATES", "UNCERTAINTY", "INNOVATION")}})


def test_gaps_and_forecasts_play_among_the_images_dates(results):
    for layers in (styled(results["STATELAYERS"]), styled(results["UNCERTAINTYLAYERS"])):
        assert len(layers) == len(DATES)
        for number, date in enumerate(DATES):
            assert shown(layers, f"{date}T06:00:00Z") == [each == number for each in range(len(DATES))], date
        assert len({layer.renderer().inputBand() for layer in layers}) == 1


def test_innovations_are_of_the_images_and_stand_for_their_time(results):
    layers = styled(results["INNOVATIONLAYERS"])
    assert [shown(layers, f"{date}T06:00:00Z").index(True) for date in fixtures.DATES] == [0, 1, 2]
    for layer in layers:
        assert (layer.renderer().classificationMin(), layer.renderer().classificationMax()) == (-5, 5)


def test_values_have_one_range_of_colours_for_all_dates(run, examples, tmp_path):
    found = run("kalmanfilter", {"IMAGES": examples["fractionimages"], "QUANTITY": "values", "AT": FURTHER[0],
                                 "STATES": str(tmp_path / "states")})
    ranges = {(layer.renderer().classificationMin(), layer.renderer().classificationMax())
              for layer in styled(found["STATELAYERS"])}
    assert len(ranges) == 1 and ranges != {(0, 1)}


def test_states_lie_above_their_uncertainty_and_innovations_whatever_their_folders_are_called(qgis, examples,
                                                                                             tmp_path):
    project, context = QgsProject(), QgsProcessingContext()
    context.setProject(project)
    root = project.layerTreeRoot()
    root.addGroup("of before")
    algorithm = QgsApplication.processingRegistry().createAlgorithmById("subpixel:kalmanfilter")
    _, ok = algorithm.run({"IMAGES": examples["fractionimages"], "STATES": str(tmp_path / "b"),
                           "UNCERTAINTY": str(tmp_path / "c"), "INNOVATION": str(tmp_path / "a")}, context, Feedback(),
                          {}, False)
    assert ok
    loaded = context.layersToLoadOnCompletion()   # by their paths, as QGIS loads them
    for path, details in loaded.items():
        layer = context.temporaryLayerStore().takeMapLayer(QgsProcessingUtils.mapLayerFromString(path, context))
        project.addMapLayer(layer, False)
        (root.findGroup(details.groupName) or root.insertGroup(0, details.groupName)).insertLayer(0, layer)
    assert [group.name()[:3] for group in root.children()] == ["Unc", "Sta", "Inn", "of "]
    layers = {layer.source(): layer for layer in project.mapLayers().values()}
    for path, details in loaded.items():
        details.postProcessor().postProcessLayer(layers[path], context, Feedback())
    assert [group.name()[:3] for group in root.children()] == ["Sta", "Unc", "Inn", "of "]
    assert [len(group.findLayers()) for group in root.children()] == [3, 3, 3, 0] and len(project.mapLayers()) == 9


@pytest.mark.parametrize("name", ["TRACK", "BOXES"])
def test_a_track_and_its_boxes_are_seen_on_images_of_any_colour(name, run, tmp_path):
    examples = [fixtures.raster(tmp_path / f"spot_{date}.tif", spot(col), gdal.GDT_Float32)
                for date, col in (("20200101", 8), ("20200102", 12), ("20200103", 16))]
    start = box(tmp_path / "start.gpkg", 4, 8, 13, 17)
    found = run("tracker", {"IMAGES": examples, "START": start, "TRACK": str(tmp_path / "track.gpkg"),
                            "BOXES": str(tmp_path / "boxes.gpkg")})
    layer = QgsVectorLayer(found[name], "x")
    assert layer.loadDefaultStyle()[1]
    assert [each.label() for each in layer.renderer().ranges()][0] == "confidence 0 - 0.2"
    for each in layer.renderer().ranges():
        edge, core = (each.symbol().symbolLayer(number) for number in (0, 1))
        edge, core = ((one.color() if name == "TRACK" else one.strokeColor()).lightness() for one in (edge, core))
        assert abs(edge - core) > 60
    settings = QgsMapSettings()
    settings.setLayers([layer])
    settings.setDestinationCrs(layer.crs())
    settings.setExtent(layer.extent().buffered(100))
    settings.setOutputSize(QSize(200, 200))
    for colour in ("#fde725", "#440154", "#ffffff", "#000000"):   # the ends of the ramp, and of greys
        settings.setBackgroundColor(QColor(colour))
        job = QgsMapRendererParallelJob(settings)
        job.start()
        job.waitForFinished()
        image, background = job.renderedImage(), QColor(colour)
        seen = sum(abs(image.pixelColor(x, y).lightness() - background.lightness()) > 60
                   for x in range(200) for y in range(200))
        assert seen > 50, colour


def spot(column):
    """An image (1, ROWS, COLS) with a bright spot around a column of row 12."""
    y, x = np.mgrid[:fixtures.ROWS, :fixtures.COLS] + 0.5
    return 100 * np.exp(-((x - column) ** 2 + (y - 12) ** 2) / 8)[None]
