"""Samples of events on their way to the engine, legends of their maps, and the tools for them as a graphical model."""

import fixtures
import pytest
from conftest import Feedback
from osgeo import gdal, ogr, osr
from qgis.core import (QgsProcessing, QgsProcessingContext, QgsProcessingModelAlgorithm, QgsProcessingModelParameter,
                       QgsProcessingParameterFeatureSource, QgsRasterLayer, QgsVectorLayer)
from test_fusion_model import step

from subpixel.tools.events._events import EventTool


class Probe(EventTool):
    """Takes samples as the tools for events do."""

    id, label, citation = "probe", "Probe", "none"


@pytest.fixture
def algorithm(qgis):
    """The tool as QGIS has it."""
    from subpixel.processing_provider.algorithm import ToolAlgorithm   # needs QGIS's Processing
    return ToolAlgorithm(Probe).create()


def prepared(algorithm, values):
    """The values of a job for these."""
    from subpixel.processing_provider.staging import Staging
    context, feedback = QgsProcessingContext(), Feedback()
    assert algorithm.checkParameterValues({**values, "EVENT": "TEMPORARY_OUTPUT"}, context) == (True, "")
    assert algorithm.prepareAlgorithm(values, context, feedback)
    with Staging() as staging:
        return algorithm._values(values, context, staging, feedback)


@pytest.fixture
def elsewhere(tmp_path):
    """A point at the centre of pixel (row 3, column 7) of the images, in degrees, with a field of dates."""
    degrees = osr.SpatialReference()
    degrees.ImportFromEPSG(4326)
    degrees.SetAxisMappingStrategy(osr.OAMS_TRADITIONAL_GIS_ORDER)
    x, y, _ = osr.CoordinateTransformation(fixtures.crs(), degrees).TransformPoint(*fixtures.at(7, 3))
    source = ogr.GetDriverByName("GPKG").CreateDataSource(str(tmp_path / "points.gpkg"))
    layer = source.CreateLayer("points", degrees, ogr.wkbPoint)
    layer.CreateField(ogr.FieldDefn("event", ogr.OFTString))
    layer.CreateField(ogr.FieldDefn("began", ogr.OFTDate))
    for event, began in (("fire", "2020/05/01"), ("none", None)):
        feature = ogr.Feature(layer.GetLayerDefn())
        feature.SetField("event", event)
        if began:
            feature.SetField("began", began)
        feature.SetGeometry(ogr.CreateGeometryFromWkt(f"POINT ({x} {y})"))
        layer.CreateFeature(feature)
    source.FlushCache()
    del layer, source
    return str(tmp_path / "points.gpkg")


def test_samples_come_in_the_crs_of_the_first_image_with_dates_as_words(algorithm, examples, elsewhere):
    values = prepared(algorithm, {"IMAGES": examples["images"], "SAMPLES": elsewhere, "DATEFIELD": "began"})
    first, second = values["SAMPLES"]["features"]
    assert first["geometry"]["coordinates"] == pytest.approx(list(fixtures.at(7, 3)), abs=0.01)
    assert first["attributes"]["event"] == "fire" and first["attributes"]["began"] == "2020-05-01"
    assert second["attributes"]["began"] is None
    assert (values["EVENTFIELD"], values["DATEFIELD"], values["NOEVENT"]) == ("event", "began", "none")


def test_the_field_of_dates_may_be_left_out(algorithm, examples, elsewhere):
    assert prepared(algorithm, {"IMAGES": examples["images"], "SAMPLES": elsewhere})["DATEFIELD"] is None


def test_fields_are_picked_from_the_samples(algorithm):
    for name in ("EVENTFIELD", "DATEFIELD"):
        assert algorithm.parameterDefinition(name).parentLayerParameterName() == "SAMPLES"


def test_maps_of_events_and_dates_have_legends(qgis, examples, run, tmp_path):
    run("simulateevents", {"ENDMEMBERS": examples["library"], "COUNT": 4, "MINANGLE": 1, "ROWS": 24, "COLUMNS": 32,
                           "DATECOUNT": 8, "SAMPLECOUNT": 2, "IMAGES": str(tmp_path / "images"),
                           "TRUEEVENT": str(tmp_path / "event.tif"), "TRUEDATE": str(tmp_path / "date.tif"),
                           "SAMPLES": str(tmp_path / "samples.gpkg")})
    event, date = (QgsRasterLayer(str(tmp_path / f"{name}.tif"), name) for name in ("event", "date"))
    classes = event.renderer().classes()
    assert [each.label for each in classes] == ["none", "abrupt", "plateau", "gradual"]
    assert [each.value for each in classes] == [0, 1, 2, 3]
    assert [each.color.alpha() for each in classes] == [0, 255, 255, 255]
    dates = date.renderer().classes()
    assert [each.label for each in dates][:2] == ["2020-01-01", "2020-01-16"] and len(dates) == 8
    assert len({each.color.name() for each in dates}) == 8
    assert date.dataProvider().sourceNoDataValue(1) == 0 and not event.dataProvider().sourceHasNoDataValue(1)
    samples = QgsVectorLayer(str(tmp_path / "samples.gpkg"), "samples")
    assert samples.crs().authid() == "EPSG:32633" and samples.featureCount() == 3 * 2 + 6
    assert [each.label() for each in samples.renderer().categories()][:4] == ["abrupt", "plateau", "gradual", "none"]
    assert samples.renderer().categories()[3].symbol().color().name() == "#d9d9d9"   # no event: as grey as can be
    assert {feature["event"] for feature in samples.getFeatures()} == {"abrupt", "plateau", "gradual", "none"}
    undated = [feature for feature in samples.getFeatures() if feature["event"] == "none"]
    assert all(feature["eventdate"] in (None, "") or feature.attribute("eventdate").isNull() for feature in undated)


def test_simulate_learn_apply_as_a_model(qgis, examples, tmp_path):
    model = QgsProcessingModelAlgorithm("events", "events", "events")
    model.addModelParameter(QgsProcessingParameterFeatureSource("LIBRARY", "Library", [
        QgsProcessing.SourceType.TypeVector]), QgsProcessingModelParameter("LIBRARY"))
    step(model, "simulateevents", ENDMEMBERS="LIBRARY", COUNT=[4], MINANGLE=[1], ROWS=[20], COLUMNS=[24],
         DATECOUNT=[12], INTERVAL=[30], STRENGTH=[0.8], SAMPLECOUNT=[8], CONTRAST=[0.3],
         TRUEEVENT=[str(tmp_path / "true.tif")])
    step(model, "deepnmfd", IMAGES=("simulateevents", "IMAGELAYERS"), SAMPLES=("simulateevents", "SAMPLES"),
         DATEFIELD=["eventdate"], LAYERS=[60], DISCRIMINATIVE=[2], EPOCHS=[1], MIXTURES=[50],
         EVENT=[str(tmp_path / "learned.tif")], MODEL=[str(tmp_path / "model.npz")])
    step(model, "applyevents", "EVENT", IMAGES=("simulateevents", "IMAGELAYERS"), MODEL=("deepnmfd", "MODEL"))
    model.initAlgorithm()
    name = model.destinationParameterDefinitions()[0].name()
    feedback = Feedback()
    _, ok = model.run({"LIBRARY": examples["library"], name: str(tmp_path / "applied.tif")}, QgsProcessingContext(),
                      feedback, {}, False)
    assert ok, feedback.errors
    true, learned, applied = (gdal.Open(str(tmp_path / f"{file}.tif")).ReadAsArray()
                              for file in ("true", "learned", "applied"))
    assert (learned == applied).all()
    assert ((true > 0) & (applied == true)).sum() > 0.6 * (true > 0).sum()
    assert ((true == 0) & (applied > 0)).sum() < 0.2 * (true == 0).sum()
    layer = QgsRasterLayer(str(tmp_path / "applied.tif"), "applied")
    assert [each.label for each in layer.renderer().classes()] == ["none", "abrupt", "plateau", "gradual"]
