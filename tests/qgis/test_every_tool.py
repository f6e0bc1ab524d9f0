"""What every tool promises, tested on the example of its declaration, without being told which tools there are."""

import json
import math
import re
from pathlib import Path

import fixtures
import fuzzing
import pytest
from conftest import Feedback
from osgeo import gdal
from qgis.core import QgsApplication, QgsProcessingContext, QgsRasterLayer, QgsVectorLayer

from subpixel.engine import declare
from subpixel.tools import all_tools

TOOLS = all_tools()
EXTENSIONS = {declare.RasterOutput: "tif", declare.SpectraOutput: "gpkg", declare.TableOutput: "gpkg",
              declare.FeaturesOutput: "gpkg", declare.ReportOutput: "html"}
RENDERERS = {"fractions": "singlebandpseudocolor", "dominant": "paletted", "date": "paletted",
             "composite": "multibandcolor", "spectral": "multibandcolor", "error": "singlebandpseudocolor",
             "scaling": "singlebandpseudocolor", "departure": "singlebandpseudocolor",
             "change": "singlebandpseudocolor", "components": "multibandcolor",
             "values": "singlebandpseudocolor"}

pytestmark = pytest.mark.parametrize("id", TOOLS)
finished = {}


def example(id, examples, folder):
    """The example's values with the files behind its names, and a file for every output."""
    tool, values = TOOLS[id], {}
    layers = (declare.RasterInput, declare.RastersInput, declare.SpectraInput, declare.FeaturesInput, declare.FileInput)
    kinds = {parameter.name: parameter for parameter in tool.parameters()}
    for name, value in tool.example.items():
        assert name in kinds, f"the example of {id} gives {name}, which is no parameter"
        values[name] = examples[value] if isinstance(kinds[name], layers) else value
    for output in tool.outputs():
        extension = EXTENSIONS.get(type(output)) or getattr(output, "extensions", [None])[0]
        if extension:
            values[output.name] = str(folder / f"{output.name.lower()}.{extension}")
        elif isinstance(output, declare.FolderOutput):
            values[output.name] = str(folder / output.name.lower())
    return values


@pytest.fixture
def result(id, qgis, examples, run, tmp_path_factory):
    """What the tool's example gave: values, results, feedback, folder. Each example runs once."""
    if id not in finished:
        folder = tmp_path_factory.mktemp(id)
        values, feedback = example(id, examples, folder), Feedback()
        finished[id] = (values, run(id, values, feedback), feedback, folder)
    return finished[id]


def files(output, path):
    """The files that an output consists of, styles aside: itself, or the rasters of a folder or a list."""
    if isinstance(output, declare.LayersOutput):
        return [Path(file) for file in path]
    return sorted(Path(path).glob("*.tif")) if isinstance(output, declare.FolderOutput) else [Path(path)]


def rasters(id, result):
    """The raster outputs of a run, those in folders included: declaration and opened dataset."""
    return [(output, gdal.Open(str(file))) for output in TOOLS[id].outputs()
            if isinstance(output, (declare.RasterOutput, declare.FolderOutput))
            for file in files(output, result[1][output.name])]


def test_is_declared_completely(id):
    tool = TOOLS[id]
    assert re.fullmatch("[a-z][a-z0-9]*", id)
    assert tool.label and tool.group and tool.citation and tool.tags and tool.example
    assert len(tool.help()[0]) > 20 and tool.help()[0].endswith((".", "?"))
    for thing in [*tool.parameters(), *tool.outputs()]:
        assert re.fullmatch("[A-Z][A-Z0-9]*", thing.name)
        assert len(thing.help) > 15, f"{thing.name} has no help"
        assert "<" not in thing.help + thing.label
    for parameter in tool.parameters():
        if isinstance(parameter, (declare.Integer, declare.Real)):
            assert parameter.minimum is not None or parameter.maximum is not None, f"{parameter.name} has no range"
            assert parameter.default is not None or parameter.optional, f"{parameter.name} has no default"
        if isinstance(parameter, declare.Choice):
            assert parameter.default in parameter.options


def test_is_shown_in_the_toolbox_with_every_parameter_and_output(id, qgis):
    algorithm = QgsApplication.processingRegistry().algorithmById(f"subpixel:{id}")
    tool = TOOLS[id]
    assert {parameter.name for parameter in tool.parameters()} <= {
        definition.name() for definition in algorithm.parameterDefinitions()}
    assert {output.name for output in tool.outputs()} == {output.name() for output in algorithm.outputDefinitions()}
    assert all(definition.help() for definition in algorithm.parameterDefinitions())
    assert algorithm.canExecute() == (True, "")


def test_example_passes_the_checks_before_the_run(id, qgis, examples, tmp_path):
    algorithm = QgsApplication.processingRegistry().createAlgorithmById(f"subpixel:{id}")
    assert algorithm.checkParameterValues(example(id, examples, tmp_path), QgsProcessingContext()) == (True, "")


def test_returns_every_output_and_leaves_nothing_else(id, result):
    values, results, feedback, folder = result
    for output in TOOLS[id].outputs():
        assert results[output.name] not in (None, ""), f"{output.name} was not returned"
        if isinstance(output, declare.NumberOutput):
            assert type(results[output.name]) in (int, float) and math.isfinite(results[output.name])
        else:
            assert files(output, results[output.name]), f"{output.name} is empty"
    wanted = {file for output in TOOLS[id].outputs() if not isinstance(output, declare.NumberOutput)
              for file in files(output, results[output.name])}
    styles = {path.with_suffix(".qml") for path in wanted}
    assert all(file.stat().st_size > 0 for file in wanted)
    folders = {Path(results[output.name]) for output in TOOLS[id].outputs() if isinstance(output, declare.FolderOutput)}
    assert wanted | folders <= set(folder.rglob("*")) <= wanted | folders | styles
    assert not feedback.errors


def test_progress_never_goes_back(id, result):
    steps = result[2].steps
    assert steps == sorted(steps) and all(0 <= step <= 100 for step in steps)
    if "scene" in TOOLS[id].example.values():
        assert steps


def test_rasters_keep_grid_crs_and_nodata(id, result, examples):
    if not {"scene", "abundances", "msi", "images", "fractionimages"} & set(map(str, TOOLS[id].example.values())):
        return
    for output, dataset in rasters(id, result):
        assert dataset.GetGeoTransform() == pytest.approx(fixtures.GEOTRANSFORM)
        assert dataset.GetSpatialRef().IsSame(fixtures.crs())
        assert (dataset.RasterXSize, dataset.RasterYSize) == (fixtures.COLS, fixtures.ROWS)
        for number in range(1, dataset.RasterCount + 1):
            band = dataset.GetRasterBand(number)
            values = band.ReadAsArray()
            masked = values == band.GetNoDataValue()
            assert masked[:fixtures.CORNER, :fixtures.CORNER].all(), f"{output.name} covers the nodata corner"
            assert not masked[fixtures.CORNER:, fixtures.CORNER:].all(), f"{output.name} is empty"


def test_rasters_carry_names_and_provenance(id, result):
    for output, dataset in rasters(id, result):
        tags = dataset.GetMetadata()
        assert tags["SUBPIXEL_TOOL"] == f"subpixel:{id}"
        json.loads(tags["SUBPIXEL_PARAMETERS"])
        assert all(dataset.GetRasterBand(number).GetDescription() for number in range(1, dataset.RasterCount + 1))
        if output.style is declare.Style.SPECTRAL:
            assert dataset.GetRasterBand(1).GetMetadataItem("wavelength")


def test_layers_open_styled(id, result):
    for output, dataset in rasters(id, result):
        layer = QgsRasterLayer(dataset.GetDescription(), output.name)
        assert layer.renderer().type() == RENDERERS[output.style.value]
        if output.style is declare.Style.FRACTIONS:
            assert (layer.renderer().classificationMin(), layer.renderer().classificationMax()) == (0, 1)
    for output in TOOLS[id].outputs():
        path = result[1][output.name]
        if isinstance(output, declare.SpectraOutput) and QgsVectorLayer(path).isSpatial():
            layer = QgsVectorLayer(path, output.name)
            assert layer.renderer().type() == "categorizedSymbol" and layer.labelsEnabled()


def test_dated_rasters_stand_for_their_time(id, result):
    for output, dataset in rasters(id, result):
        if getattr(output, "dated", False):
            layer = QgsRasterLayer(dataset.GetDescription(), output.name)
            assert layer.loadDefaultStyle()[1]   # as the run does; QGIS itself applies all of a style but its time
            span = layer.temporalProperties().fixedTemporalRange()
            date = Path(dataset.GetDescription()).stem
            assert layer.temporalProperties().isActive() and span.begin().toString("yyyy-MM-dd") == date
            assert span.end() > span.begin() and dataset.GetMetadataItem("ACQUISITION_DATE") == date


def test_spectra_are_layers_of_profiles(id, result):
    for output in TOOLS[id].outputs():
        if isinstance(output, declare.SpectraOutput):
            layer = QgsVectorLayer(result[1][output.name], output.name)
            assert [field.name() for field in layer.fields()][1:4] == ["name", "profile", "source"]
            features = list(layer.getFeatures())
            assert features
            for feature in features:
                profile = json.loads(feature["profile"])
                assert len(profile["x"]) == len(profile["y"]) and profile["xUnit"]
                if feature.hasGeometry():
                    assert layer.crs().authid() == "EPSG:32633"


def test_features_lie_on_the_ground_in_their_times(id, result):
    for output in TOOLS[id].outputs():
        if isinstance(output, declare.FeaturesOutput):
            layer = QgsVectorLayer(result[1][output.name], output.name)
            assert layer.crs().authid() == "EPSG:32633" and layer.featureCount() > 0
            assert layer.renderer().type() == "graduatedSymbol" and layer.renderer().classAttribute() == output.shade
            assert layer.geometryType().name.lower() == output.geometry
            assert layer.loadDefaultStyle()[1] and layer.temporalProperties().isActive()
            begin, end = output.times
            for feature in layer.getFeatures():
                assert feature[begin] < feature[end] and 0 <= feature[output.shade] <= 1
                col, row = fixtures.pixel(*feature.geometry().centroid().asPoint())
                assert 0 <= col <= fixtures.COLS and 0 <= row <= fixtures.ROWS


def test_tables_have_rows(id, result):
    for output in TOOLS[id].outputs():
        if isinstance(output, declare.TableOutput):
            layer = QgsVectorLayer(result[1][output.name], output.name)
            assert layer.featureCount() > 0 and layer.fields().count() > 1
            assert any(type(value) in (int, float) for value in next(layer.getFeatures()).attributes()[1:])


def test_report_is_one_file_with_its_plots(id, result):
    for output in TOOLS[id].outputs():
        if isinstance(output, declare.ReportOutput):
            text = Path(result[1][output.name]).read_text(encoding="utf-8")
            assert TOOLS[id].label in text and f"subpixel:{id}" in text
            assert "Plotly.newPlot" in text
            assert not re.search(r"<(script|link|img)[^>]+(src|href)=[\"']https?:", text)


@pytest.fixture(scope="module")
def staying():
    """An engine that does one run after the other, unlike that of `result`."""
    engine = fuzzing.Engine()
    yield engine
    engine.close()


def test_same_seed_gives_the_same_result(id, result, examples, run, staying, tmp_path, monkeypatch):
    """Whatever ran before in the same process."""
    if "SEED" not in {parameter.name for parameter in TOOLS[id].parameters()}:
        return
    monkeypatch.setattr("subpixel.processing_provider.engine_process.run", staying.run)
    again = run(id, example(id, examples, tmp_path))
    for output in TOOLS[id].outputs():
        first, second = result[1][output.name], again[output.name]
        if isinstance(output, (declare.RasterOutput, declare.FolderOutput)):
            first, second = files(output, first), files(output, second)
            assert [file.name for file in first] == [file.name for file in second]
            for one, other in zip(first, second):
                assert (gdal.Open(str(one)).ReadAsArray() == gdal.Open(str(other)).ReadAsArray()).all()
        elif isinstance(output, declare.SpectraOutput):
            first, second = ([feature["profile"] for feature in QgsVectorLayer(path, "x").getFeatures()]
                             for path in (first, second))
            assert first == second
        elif isinstance(output, declare.FeaturesOutput):
            first, second = ([(feature.geometry().asWkt(), feature.attributes()) for feature in
                              QgsVectorLayer(path, "x").getFeatures()] for path in (first, second))
            assert first == second
