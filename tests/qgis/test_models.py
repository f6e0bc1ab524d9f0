"""The models that ship with the plugin: in the toolbox, and working on a scene whose answer is known."""

import os

import fixtures
import numpy as np
import pytest
from conftest import ROOT, Feedback
from osgeo import gdal
from qgis.core import (QgsApplication, QgsExpression, QgsExpressionContext, QgsExpressionContextScope,
                       QgsProcessingContext, QgsProject, QgsVectorLayer)

from subpixel.engine.declare import Group

MODELS = sorted(path.stem for path in (ROOT / "models").glob("*.model3"))


def test_every_model_is_in_the_toolbox(qgis):
    shown = {algorithm.id(): algorithm for algorithm in QgsApplication.processingRegistry().algorithms()}
    models = [shown[f"subpixel:{name.replace('_', '')}"] for name in MODELS]
    assert models
    for model in models:
        assert model.groupId() in {group.id for group in Group} and model.displayName() != model.name()
        assert model.shortHelpString() and model.canExecute() == (True, "")


def test_outputs_of_a_model_are_called_in_the_language_of_qgis(qgis, monkeypatch):
    """In the dialog and in its help, which takes them from another list."""
    from subpixel.processing_provider.models import load_models
    monkeypatch.setattr("subpixel.processing_provider.models.tr", lambda text: f"<{text}>")
    model = next(model for model in load_models() if model.name() == "unmixscene")
    for outputs in (model.destinationParameterDefinitions(), model.outputDefinitions()):
        assert sorted(output.description() for output in outputs) == ["<Abundances>", "<Composite>", "<Endmembers>"]


def test_models_survive_a_refresh_of_the_provider(qgis):
    qgis.plugin.provider.refreshAlgorithms()
    assert QgsApplication.processingRegistry().algorithmById("subpixel:unmixscene") is not None


def test_unmix_scene_chains_rank_vca_fcls_and_composite(run, examples, tmp_path):
    outputs = {"endmembers": "e.gpkg", "abundances": "a.tif", "composite": "c.tif"}
    results = run("unmixscene", {"INPUT": examples["scene"], "SEED": 0,
                                 **{name: str(tmp_path / file) for name, file in outputs.items()}})
    assert results["CHILD_RESULTS"]["rank"]["RANK"] == 3
    layer = QgsVectorLayer(str(tmp_path / "e.gpkg"), "e")
    assert layer.featureCount() == 3 and layer.crs().authid() == "EPSG:32633"
    A = gdal.Open(str(tmp_path / "a.tif")).ReadAsArray()
    inside = A[0] != -9999
    assert A[:, inside].sum(axis=0) == pytest.approx(1, abs=1e-5)
    true = fixtures.fractions()
    error = [min(np.abs(band[inside] - material[inside]).mean() for material in true) for band in A]
    assert max(error) < 0.02
    assert gdal.Open(str(tmp_path / "c.tif")).RasterCount == 3


def test_unmix_scene_looks_for_ten_endmembers_at_most(qgis):
    """HySime counts 29 in a real EnMAP scene, most of them variations within materials."""
    model = QgsApplication.processingRegistry().createAlgorithmById("subpixel:unmixscene")
    source, = model.childAlgorithm("endmembers").parameterSources()["COUNT"]
    context, found = QgsExpressionContext(), QgsExpressionContextScope()
    context.appendScope(found)
    variable, = (name for name in model.variablesForChildAlgorithm("endmembers") if name.endswith("RANK"))
    for rank, count in ((29, 10), (3, 3)):
        found.setVariable(variable, rank)
        assert QgsExpression(source.expression()).evaluate(context) == count
    assert model.dependsOnChildAlgorithms("endmembers") == {"rank"}


def test_try_events_simulates_learns_and_detects(run, examples, tmp_path):
    outputs = {"true_events": "t.tif", "detected_events": "d.tif", "dates_of_the_detected_events": "w.tif",
               "samples": "s.gpkg", "report": "r.html"}
    run("tryevents", {"LIBRARY": examples["library"], "STRENGTH": 0.7, "SAMPLECOUNT": 40,
                      **{name: str(tmp_path / file) for name, file in outputs.items()}})
    true, detected = (gdal.Open(str(tmp_path / file)).ReadAsArray() for file in ("t.tif", "d.tif"))
    planted = true > 0
    assert (detected == true)[planted].mean() > 0.8 and (detected > 0)[~planted].mean() < 0.1
    assert QgsVectorLayer(str(tmp_path / "s.gpkg"), "s").featureCount() == 3 * 40 + 3 * 40
    assert "Events over time" in (tmp_path / "r.html").read_text(encoding="utf-8")


def targets(model, folder):
    """A file or folder for every output of a model."""
    algorithm = QgsApplication.processingRegistry().algorithmById(f"subpixel:{model}")
    endings = {"rasterDestination": ".tif", "vectorDestination": ".gpkg", "fileDestination": ".html",
               "folderDestination": ""}
    return {output.name(): str(folder / f"{output.name()}{endings[output.type()]}")
            for output in algorithm.destinationParameterDefinitions()}


def names_of(path):
    """Descriptions of a raster's bands."""
    dataset = gdal.Open(path)
    return [dataset.GetRasterBand(band).GetDescription() for band in range(1, dataset.RasterCount + 1)]


@pytest.mark.parametrize("model", [name.replace("_", "") for name in MODELS])
def test_model_says_what_it_asks_for_and_gives(qgis, model):
    algorithm = QgsApplication.processingRegistry().algorithmById(f"subpixel:{model}")
    assert all(definition.help() and definition.description() for definition in algorithm.parameterDefinitions())
    assert algorithm.destinationParameterDefinitions()


@pytest.mark.parametrize("model", [name.replace("_", "") for name in MODELS])
def test_model_asks_for_its_layers_first_and_for_the_seed_last(qgis, model):
    """Where a model holds no order of its own, QGIS sorts what it asks for by the alphabet."""
    algorithm = QgsApplication.processingRegistry().algorithmById(f"subpixel:{model}")
    asked = [definition for definition in algorithm.parameterDefinitions() if not definition.isDestination()]
    assert asked[0].type() in ("raster", "multilayer", "source")
    assert "SEED" not in [definition.name() for definition in asked[:-1]]


@pytest.mark.parametrize("model", [name.replace("_", "") for name in MODELS])
def test_model_says_which_of_its_layers_lies_above_which(qgis, model):
    """Those of which it does not are loaded in the order of their temporary files' names, which is any."""
    algorithm = QgsApplication.processingRegistry().createAlgorithmById(f"subpixel:{model}")
    given = algorithm.destinationParameterDefinitions()
    layers = {output.description() for output in given if output.type() in ("rasterDestination", "vectorDestination")}
    placed = {output.rsplit(":", 1)[1] for output in algorithm.toVariant()["outputOrder"]}
    assert layers <= placed <= {output.description() for output in given}


def test_compare_methods_gives_the_same_materials_three_times(run, examples, tmp_path):
    outputs = targets("comparemethods", tmp_path)
    results = run("comparemethods", {"INPUT": examples["scene"], "COUNT": 3, "SEED": 0, **outputs})
    fcls, scls, elmm = (gdal.Open(outputs[f"abundances_by_{method}"]).ReadAsArray()
                        for method in ("fcls", "scls", "elmm"))
    assert names_of(outputs["abundances_by_fcls"]) == names_of(outputs["abundances_by_elmm"])
    inside = fcls[0] != -9999
    # this scene's brightness is constant, so more freedom changes little, and explains no less
    assert np.abs(scls - fcls)[:, inside].max() < 0.1 and np.abs(elmm - fcls)[:, inside].mean() < 0.1
    residual = {method: gdal.Open(outputs[f"residual_of_{method}"]).ReadAsArray() for method in ("fcls", "scls")}
    assert (residual["scls"] <= residual["fcls"] + 1e-3)[inside].all()
    assert results["CHILD_RESULTS"]["scaledagainst"]["RMSE"] < results["CHILD_RESULTS"]["varyingagainst"]["RMSE"] < 0.1


def test_sharpen_and_unmix_maps_the_pair_on_the_finer_grid(run, examples, tmp_path):
    outputs = targets("sharpenandunmix", tmp_path)
    run("sharpenandunmix", {"HSI": examples["hsi"], "MSI": examples["msi"], "COUNT": 3, "SEED": 0, **outputs})
    fused, fine = gdal.Open(outputs["fused_image"]), gdal.Open(examples["msi"])
    assert (fused.RasterXSize, fused.RasterYSize) == (fine.RasterXSize, fine.RasterYSize)
    assert fused.RasterCount == gdal.Open(examples["hsi"]).RasterCount
    A = gdal.Open(outputs["abundances"]).ReadAsArray()
    largest = gdal.Open(outputs["dominant_endmember"]).ReadAsArray()
    inside = A[0] != -9999
    assert (A.argmax(axis=0) + 1 == largest)[inside].all() and gdal.Open(outputs["composite"]).RasterCount == 3


def test_change_between_dates_takes_both_images_in_their_order_and_loads_their_fractions(qgis, examples, tmp_path):
    outputs, images = targets("changebetweendates", tmp_path), sorted(examples["images"])
    context, project = QgsProcessingContext(), QgsProject()
    context.setProject(project)
    algorithm = QgsApplication.processingRegistry().createAlgorithmById("subpixel:changebetweendates")
    assert algorithm.run({"EARLIER": images[0], "LATER": images[-1], "COUNT": 3, "THRESHOLD": 0.2, "SEED": 0,
                          **outputs}, context, Feedback(), {}, False)[1]
    dates = sorted(path for path in (tmp_path / "abundances_of_both_dates").glob("*.tif"))
    before, after = (gdal.Open(str(path)).ReadAsArray() for path in dates)
    change = gdal.Open(outputs["change"]).ReadAsArray()
    inside = (before[0] != -9999) & (after[0] != -9999)
    assert change[:, inside] == pytest.approx((after - before)[:, inside], abs=1e-5)
    loaded = context.layersToLoadOnCompletion()
    assert sorted(loaded) == [str(path) for path in dates]
    assert {details.groupName for details in loaded.values()} == {
        "Abundances of both dates (changebetweendates), abundances_of_both_dates"}
    assert names_of(outputs["change"]) == names_of(str(dates[0])) and QgsVectorLayer(outputs["transitions"]).isValid()


def test_events_in_a_series_are_found_where_they_are(run, examples, tmp_path):
    """With the folder of the images, which may be given in place of each of them."""
    outputs = targets("eventsinseries", tmp_path)
    folder = os.path.dirname(examples["eventimages"][0])
    run("eventsinseries", {"IMAGES": folder, "COUNT": 4, "SAMPLES": examples["eventsamples"],
                           "EVENTFIELD": "event", "DATEFIELD": "eventdate", "SEED": 0, **outputs})
    events = gdal.Open(outputs["events"]).ReadAsArray()
    began = gdal.Open(outputs["dates_of_the_events"]).ReadAsArray()
    assert ((events > 0) & (events < 255)).any() and ((events > 0) & (events < 255) == (began > 0)).all()
    assert len(list((tmp_path / "abundances_of_all_dates").glob("*.tif"))) == len(examples["eventimages"])
