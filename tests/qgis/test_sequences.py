"""Sequences in QGIS: folders, files and layers as images, their dates, and what is loaded with its time."""

import datetime
import os
import re
import shutil
from pathlib import Path

import fixtures
import numpy as np
import pytest
from conftest import Feedback
from osgeo import gdal
from qgis.core import (Qgis, QgsApplication, QgsCoordinateReferenceSystem, QgsCoordinateTransform, QgsDateTimeRange,
                       QgsFeature, QgsGeometry, QgsPointXY, QgsProcessingContext, QgsProcessingException,
                       QgsProcessingModelAlgorithm, QgsProcessingModelChildAlgorithm,
                       QgsProcessingModelChildParameterSource, QgsProcessingModelOutput, QgsProcessingModelParameter,
                       QgsProcessingParameterMultipleLayers, QgsProcessingUtils, QgsProject, QgsRasterLayer,
                       QgsVectorLayer)
from qgis.PyQt.QtCore import QDateTime, Qt
from test_engine_process import PYTHON, script

COUNT = {"COUNT": 3}
FILES = [f"{date}.tif" for date in fixtures.DATES]


@pytest.fixture
def images(examples, tmp_path):
    """A folder with the three images, to be put at risk, and beside them what is no raster."""
    folder = tmp_path / "my imäges"
    folder.mkdir()
    for path in examples["images"]:
        shutil.copy(path, folder)
    (folder / "notes.txt").write_text("the user's")
    (folder / "image_20200301.qml").write_text("<qgis/>")
    (folder / "image_20200301.tif.aux.xml").write_text("<PAMDataset/>")
    (folder / ".hidden.tif").write_text("none of ours")
    (folder / "sub").mkdir()
    return folder


@pytest.fixture
def project(qgis):
    yield QgsProject.instance()
    QgsProject.instance().clear()


def said(feedback):
    """The lines of the log that tell dates."""
    return [line for line in feedback.infos if "(date from" in line]


def unmix(run, images, folder, feedback=None, **values):
    """Run the tool: the dates that it said, and the names of the files."""
    feedback = feedback or Feedback()
    run("fclssequence", {"IMAGES": images, **COUNT, "ABUNDANCES": str(folder), **values}, feedback)
    return said(feedback), sorted(path.name for path in Path(folder).glob("*.tif"))


def stamped(path, name, begin, end, active=True):
    """A layer with a fixed temporal range."""
    layer = QgsRasterLayer(str(path), name)
    span = [QDateTime.fromString(date, Qt.DateFormat.ISODate) for date in (begin, end)]
    for date in span:
        date.setTimeSpec(Qt.TimeSpec.UTC)
    layer.temporalProperties().setMode(Qgis.RasterTemporalMode.FixedTemporalRange)
    layer.temporalProperties().setFixedTemporalRange(QgsDateTimeRange(*span))
    layer.temporalProperties().setIsActive(active)
    return layer


# images

def test_a_folder_stands_for_the_rasters_in_it(run, images, tmp_path):
    dates, files = unmix(run, str(images), tmp_path / "out")
    assert dates == [f"{date}: image_{date.replace('-', '')}.tif (date from its name)" for date in fixtures.DATES]
    assert files == FILES


def test_folders_and_files_may_be_mixed(run, images, examples, tmp_path):
    later = tmp_path / "later"
    later.mkdir()
    shutil.copy(examples["images"][2], later / "image_20210101.tif")
    assert unmix(run, [str(images), str(later / "image_20210101.tif")], tmp_path / "out")[1] == [*FILES,
                                                                                                  "2021-01-01.tif"]
    assert unmix(run, [str(images), str(later)], tmp_path / "again")[1] == [*FILES, "2021-01-01.tif"]


def test_files_layers_and_layers_of_the_project_give_the_same(run, images, project, tmp_path):
    paths = sorted(str(path) for path in images.glob("image*.tif"))
    layers = [QgsRasterLayer(path, f"image {number}") for number, path in enumerate(paths)]
    project.addMapLayers(layers)
    found = []
    for number, given in enumerate((paths, layers, [layer.id() for layer in layers], [layer.name() for layer in layers],
                                    str(images))):
        out = tmp_path / f"out {number}"
        assert unmix(run, given, out)[1] == FILES
        found.append([gdal.Open(str(out / file)).ReadAsArray() for file in FILES])
    assert all((one == other).all() for each in found[1:] for one, other in zip(found[0], each))


def test_the_order_is_the_users_and_must_be_that_of_the_dates(run, images, tmp_path):
    paths = sorted(str(path) for path in images.glob("image*.tif"))
    with pytest.raises(QgsProcessingException, match="image_20200515.tif .2020-05-15. comes after image_20200930.tif"):
        unmix(run, paths[::-1], tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("given, words", [("empty", "Images: .*empty holds no rasters. Choose raster layers or files"),
                                          ("absent", "Images: .*absent cannot be read as a raster. Choose a raster")])
def test_a_folder_without_rasters_is_a_sentence(given, words, run, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(QgsProcessingException, match=words):
        unmix(run, str(tmp_path / given), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_file_that_is_no_raster_is_never_left_out_silently(run, images, tmp_path):
    (images / "image_20200601.tif").write_text("no raster")
    with pytest.raises(QgsProcessingException, match="Images: .*image_20200601.tif cannot be read as a raster"):
        unmix(run, str(images), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", ["file", "layer", "folder"])
def test_nor_where_nobody_checks_before_the_run(kind, qgis, images, tmp_path):
    """As in a model, and in a script that runs an algorithm itself."""
    (images / "image_20200601.tif").write_text("no raster")
    paths = sorted(str(path) for path in images.glob("image*.tif"))
    given = {"file": paths, "layer": [QgsRasterLayer(path, "x") for path in paths], "folder": str(images)}[kind]
    algorithm = QgsApplication.processingRegistry().createAlgorithmById("subpixel:fclssequence")
    feedback = Feedback()
    values = {"IMAGES": given, **COUNT, "ABUNDANCES": str(tmp_path / "out")}
    assert algorithm.run(values, QgsProcessingContext(), feedback, {}, True) == ({}, False)
    assert len(feedback.errors) == 1 and not (tmp_path / "out").exists()
    assert "image_20200601.tif cannot be read as a raster. Choose a raster layer or file." in feedback.errors[0]


def test_images_that_only_qgis_reads_are_copied_at_once(run, images, tmp_path, monkeypatch):
    """An engine whose GDAL lacks a driver; two images of one name, in folders of their dates, and one it can read."""
    monkeypatch.setenv("SUBPIXEL_PYTHON", script(
        tmp_path / "python", f'[ "$1" = -c ] || {{ echo run >> "{tmp_path}/runs"; export GDAL_SKIP=ENVI; }}; '
        f'exec "{PYTHON}" "$@"'))
    given = []
    for path in sorted(images.glob("image*.tif")):
        date = path.stem[-8:]
        (tmp_path / date).mkdir()
        given.append(str(tmp_path / date / "reflectance.img"))
        gdal.Translate(given[-1], str(path), format="ENVI", metadataOptions=[f"ACQUISITION_DATE={date}"])
        gdal.Unlink(given[-1] + ".aux.xml")
    given[1] = str(images / "image_20200515.tif")
    dates = "2020-03-01, 2020-05-15, 2020-09-30"
    said, files = unmix(run, given, tmp_path / "out", DATES=dates)
    assert [line.split(" ")[1] for line in said] == [
        "20200301/reflectance.img", "image_20200515.tif", "20200930/reflectance.img"]
    assert files == FILES and (tmp_path / "runs").read_text().count("run") == 2


def test_a_folder_gives_its_envi_files_and_says_what_it_leaves_out(run, images, tmp_path):
    for path in sorted(images.glob("image*.tif"))[1:]:
        gdal.Translate(str(path.with_suffix("")), str(path), format="ENVI")
        path.unlink()
    (images / "image_20200515.hdr").rename(images / "image_20200515.HDR")
    (images / "image_20200930").rename(images / "image_20200930.a.rfl")
    (images / "image_20200930.hdr").rename(images / "image_20200930.a.rfl.hdr")
    (images / "README").write_text("the user's")
    feedback = Feedback()
    assert unmix(run, str(images), tmp_path / "out", feedback)[1] == FILES and not feedback.warnings
    for name in ("a.h5", "b.HE5", "c.zip", "d.png"):
        (images / name).write_text("")
    assert unmix(run, str(images), tmp_path / "out", feedback)[1] == FILES
    assert feedback.warnings == [f"{images}: 3 files that may hold rasters are left out (a.h5, b.HE5, c.zip). Give "
                                 "them as files or layers to use them."]


# dates

def test_dates_may_be_a_list(run, images, tmp_path):
    given = ["2001-01-01", datetime.date(2002, 1, 1), datetime.datetime(2003, 1, 1, 10, 30)]
    dates, files = unmix(run, str(images), tmp_path / "out", DATES=given)
    assert files == ["2001-01-01.tif", "2002-01-01.tif", "2003-01-01T1030.tif"]
    assert all(line.endswith("(date from the parameter Dates)") for line in dates)
    with pytest.raises(QgsProcessingException, match="There are 2 dates for 3 images"):
        unmix(run, str(images), tmp_path / "out", DATES=given[:2])


def test_the_layers_time_counts_before_metadata_and_name_and_given_dates_before_all(run, images, tmp_path):
    paths = sorted(str(path) for path in images.glob("image*.tif"))
    for path, date in zip(paths, ("2019-01-01", "2019-02-01", "2019-03-01")):
        dataset = gdal.Open(path, gdal.GA_Update)
        dataset.SetMetadataItem("ACQUISITION_DATE", date)
        del dataset
    dates, files = unmix(run, paths, tmp_path / "metadata")
    assert files == ["2019-01-01.tif", "2019-02-01.tif", "2019-03-01.tif"]
    assert all(line.endswith("(date from its metadata)") for line in dates)
    layers = [stamped(paths[0], "first", "2018-05-01T10:30:00", "2018-06-01T00:00:00"), paths[1],
              stamped(paths[2], "third", "2020-12-01T00:00:00", "2020-12-02T00:00:00")]
    dates, files = unmix(run, layers, tmp_path / "layers")
    assert files == ["2018-05-01T1030.tif", "2019-02-01.tif", "2020-12-01.tif"]
    assert [line.split("(")[1] for line in dates] == [
        "date from the layer's temporal properties)", "date from its metadata)",
        "date from the layer's temporal properties)"]
    dates, files = unmix(run, layers, tmp_path / "given", DATES="2001-01-01, 2002-01-01, 2003-01-01")
    assert files == ["2001-01-01.tif", "2002-01-01.tif", "2003-01-01.tif"]
    assert all(line.endswith("(date from the parameter Dates)") for line in dates)


def test_a_layers_time_that_is_switched_off_does_not_count(run, images, tmp_path):
    paths = sorted(str(path) for path in images.glob("image*.tif"))
    layers = [stamped(path, "x", "2018-05-01T00:00:00", "2018-06-01T00:00:00", active=False) for path in paths]
    layers[1] = stamped(paths[1], "without a beginning", "", "2018-06-01T00:00:00")
    assert unmix(run, layers, tmp_path / "out")[1] == FILES


def test_a_layers_name_tells_the_date_before_the_files(run, images, tmp_path):
    paths = sorted(str(path) for path in images.glob("image*.tif"))
    layers = [QgsRasterLayer(path, f"of 2015-0{number}-01") for number, path in enumerate(paths, 1)]
    assert unmix(run, layers, tmp_path / "out")[1] == ["2015-01-01.tif", "2015-02-01.tif", "2015-03-01.tif"]


def test_results_of_one_run_have_their_dates_for_the_next(run, images, examples, tmp_path):
    results = run("fclssequence", {"IMAGES": str(images), **COUNT, "ABUNDANCES": str(tmp_path / "out")})
    for number, given in enumerate((results["ABUNDANCES"], results["ABUNDANCELAYERS"])):
        feedback = Feedback()
        run("abundanceprofile", {"IMAGES": given, "FEATURES": examples["samples"], "NAMEFIELD": "class",
                                 "PROFILES": str(tmp_path / f"{number}.gpkg")}, feedback)
        assert said(feedback) == [f"{date}: {date}.tif (date from its metadata)" for date in fixtures.DATES]
        layer = QgsVectorLayer(str(tmp_path / f"{number}.gpkg"), "profiles")
        assert layer.featureCount() == 3 * 3 * 3
        assert {feature["feature"] for feature in layer.getFeatures()} == set(fixtures.NAMES)


# what is loaded

def loaded(images, out, model=None, project=True):
    """Run the tool as the toolbox does: the layers that are to be loaded, and the context, which owns them."""
    context, feedback = QgsProcessingContext(), Feedback()
    if project:
        context.setProject(QgsProject.instance())
    algorithm = model or QgsApplication.processingRegistry().createAlgorithmById("subpixel:fclssequence")
    results, ok = algorithm.run({"IMAGES": images, **COUNT, **out}, context, feedback, {}, False)
    assert ok, feedback.errors
    return results, context.layersToLoadOnCompletion(), context


def test_dated_rasters_are_loaded_in_a_group_with_their_time_and_style(qgis, images, project, tmp_path):
    results, layers, context = loaded(str(images), {"ABUNDANCES": str(tmp_path / "out")})
    assert sorted(layers) == [str(tmp_path / "out" / file) for file in FILES] == results["ABUNDANCELAYERS"]
    for date, path in zip(fixtures.DATES, sorted(layers)):
        details = layers[path]
        assert details.name == date and details.groupName == "Abundances (fclssequence), out"
        layer = QgsProcessingUtils.mapLayerFromString(path, context, True)
        details.setOutputLayerName(layer)
        details.postProcessor().postProcessLayer(layer, context, Feedback())
        span = layer.temporalProperties().fixedTemporalRange()
        assert layer.name() == date and layer.renderer().type() == "singlebandpseudocolor"
        assert (layer.renderer().classificationMin(), layer.renderer().classificationMax()) == (0, 1)
        assert layer.temporalProperties().isActive() and span.begin().date().toString("yyyy-MM-dd") == date
    first, last = (QgsRasterLayer(path, "x") for path in (sorted(layers)[0], sorted(layers)[2]))
    assert first.renderer().inputBand() == last.renderer().inputBand(), "all show one endmember"


def test_their_times_follow_each_other(qgis, images, project, tmp_path):
    _, layers, context = loaded(str(images), {"ABUNDANCES": str(tmp_path / "out")})
    spans = []
    for path in sorted(layers):
        layer = QgsRasterLayer(path, "x")
        assert layer.loadDefaultStyle()[1]
        spans.append(layer.temporalProperties().fixedTemporalRange())
    assert all(span.end().addSecs(1) == following.begin() for span, following in zip(spans, spans[1:]))
    for moment in ("2020-05-15T00:00:00Z", "2020-06-01T12:00:00Z", "2020-09-29T23:59:59Z"):
        assert [span.contains(QDateTime.fromString(moment, Qt.DateFormat.ISODate)) for span in spans] == [
            False, True, False], moment


def finish(layers, context):
    """Load layers as the toolbox does after a run."""
    for path, details in layers.items():
        layer = QgsProcessingUtils.mapLayerFromString(path, context, True)
        owned = context.temporaryLayerStore().takeMapLayer(layer)
        if owned:
            details.project.addMapLayer(owned)
        details.postProcessor().postProcessLayer(layer, context, Feedback())


def test_layers_of_an_earlier_run_show_the_present_one(qgis, images, project, tmp_path):
    out = {"ABUNDANCES": str(tmp_path / "out")}
    finish(*loaded(str(images), out)[1:])
    project.addMapLayer(QgsRasterLayer(str(tmp_path / "out" / FILES[0]), "added by hand"))
    before = list(project.mapLayers().values())
    assert len(before) == 4 and {layer.bandCount() for layer in before} == {3}
    finish(*loaded(str(images), {**out, "COUNT": 4})[1:])
    assert list(project.mapLayers().values()) == before
    assert {layer.bandCount() for layer in before} == {4}
    places = [QgsPointXY(*fixtures.at(col, 14)) for col in range(8, 20)]
    for layer in before:
        shown, fresh = ([each.dataProvider().sample(place, 4) for place in places]
                        for each in (layer, QgsRasterLayer(layer.source(), "fresh")))
        assert shown == fresh and all(ok for _, ok in shown) and len(set(shown)) > 1


def test_runs_into_different_folders_have_groups_of_their_own(qgis, images, project, tmp_path):
    groups = [next(iter(loaded(str(images), {"ABUNDANCES": str(out)})[1].values())).groupName
              for out in (tmp_path / "strict", tmp_path / "loose", "TEMPORARY_OUTPUT")]
    assert groups[:2] == ["Abundances (fclssequence), strict", "Abundances (fclssequence), loose"]
    assert re.fullmatch(r"Abundances \(fclssequence\), \d\d:\d\d:\d\d", groups[2])


def test_dates_a_second_apart_are_shown_one_after_the_other(run, images, tmp_path):
    _, files = unmix(run, str(images), tmp_path / "out", DATES="2020-05-01T10:30:00, 2020-05-01T10:30:01, 2020-05-02")
    frames = [QgsDateTimeRange(*(QDateTime.fromString(f"2020-05-01T10:30:0{second}Z", Qt.DateFormat.ISODate)
                                 for second in (frame, frame + 1)), True, False) for frame in range(2)]
    shown = []
    for file in files:
        layer = QgsRasterLayer(str(tmp_path / "out" / file), "x")
        assert layer.loadDefaultStyle()[1]
        shown.append([layer.temporalProperties().isVisibleInTemporalRange(frame) for frame in frames])
    assert shown == [[True, False], [False, True], [False, False]]


def test_a_run_without_a_project_loads_nothing(qgis, images, tmp_path):
    assert loaded(str(images), {"ABUNDANCES": str(tmp_path / "out")}, project=False)[1] == {}


def model_of(second=False):
    """A model of the tool, whose abundances go on to the tool of profiles with `second`."""
    model = QgsProcessingModelAlgorithm("m", "m", "m")
    model.addModelParameter(QgsProcessingParameterMultipleLayers("IMAGES", "Images", Qgis.ProcessingSourceType.Raster),
                            QgsProcessingModelParameter("IMAGES"))
    step = QgsProcessingModelChildAlgorithm("subpixel:fclssequence")
    step.setChildId("unmix")
    step.addParameterSources("IMAGES", [QgsProcessingModelChildParameterSource.fromModelParameter("IMAGES")])
    step.addParameterSources("COUNT", [QgsProcessingModelChildParameterSource.fromStaticValue(3)])
    outputs = {"abundances": "ABUNDANCES"}
    if second:
        last = QgsProcessingModelChildAlgorithm("subpixel:abundanceprofile")
        last.setChildId("profile")
        source = QgsProcessingModelChildParameterSource.fromChildOutput("unmix", "ABUNDANCELAYERS")
        last.addParameterSources("IMAGES", [source])
        last.addParameterSources("FEATURES", [QgsProcessingModelChildParameterSource.fromStaticValue(second)])
        output = QgsProcessingModelOutput("profiles")
        output.setChildOutputName("PROFILES")
        output.setChildId("profile")
        last.setModelOutputs({"profiles": output})
        model.addChildAlgorithm(last)
    made = {}
    for name, output in outputs.items():
        made[name] = QgsProcessingModelOutput(name)
        made[name].setChildOutputName(output)
        made[name].setChildId("unmix")
    step.setModelOutputs(made)
    model.addChildAlgorithm(step)
    model.initAlgorithm()
    return model


def test_a_step_of_a_model_loads_nothing_of_its_own(qgis, images, project, tmp_path):
    model = model_of()
    name = model.destinationParameterDefinitions()[0].name()
    paths = sorted(str(path) for path in images.glob("image*.tif"))
    for number, given in enumerate((paths, str(images))):
        out = tmp_path / f"out {number}"
        results, layers, _ = loaded(given, {name: str(out)}, model)
        assert layers == {} and sorted(path.name for path in out.glob("*.tif")) == FILES
        assert results["CHILD_RESULTS"]["unmix"]["ABUNDANCELAYERS"] == [str(out / file) for file in FILES]


def test_the_list_of_layers_feeds_the_next_step_of_a_model(qgis, images, examples, project, tmp_path):
    model = model_of(examples["samples"])
    names = {definition.name().rsplit(":", 1)[-1]: definition.name()
             for definition in model.destinationParameterDefinitions()}
    out = {names["abundances"]: str(tmp_path / "out"), names["profiles"]: str(tmp_path / "profiles.gpkg")}
    loaded(sorted(str(path) for path in images.glob("image*.tif")), out, model)
    assert QgsVectorLayer(str(tmp_path / "profiles.gpkg"), "x").featureCount() == 27


# what is the user's

def test_results_beside_the_images_leave_these_alone(run, images, tmp_path):
    before = {path: path.read_bytes() for path in images.iterdir() if path.is_file()}
    unmix(run, str(images), images)
    assert {path: path.read_bytes() for path in before} == before
    assert set(FILES) < {path.name for path in images.iterdir()}
    with pytest.raises(QgsProcessingException, match="40 bands|3 bands"):
        unmix(run, str(images), tmp_path / "again")


@pytest.mark.parametrize("several", [True, False])
def test_a_result_never_replaces_an_image_of_the_same_name(several, run, images, tmp_path):
    for date in fixtures.DATES:
        (images / f"image_{date.replace('-', '')}.tif").rename(images / f"{date}.tif")
    before = {path: path.read_bytes() for path in images.iterdir() if path.is_file()}
    given = str(images) if several else [str(images / file) for file in FILES]
    with pytest.raises(QgsProcessingException, match="would replace the input .*2020-03-01.tif.* Choose another"):
        unmix(run, given, images / "sub" / "..")
    assert {path: path.read_bytes() for path in images.iterdir() if path.is_file()} == before
    assert not list((images / "sub").iterdir())


@pytest.mark.parametrize("virtual", [True, False])
def test_what_is_to_stay_is_said_before_anything_is_learned(virtual, run, images, tmp_path):
    """The sources of virtual images, or another raster of the user's, in the folder of the results."""
    out = tmp_path / "out"
    out.mkdir()
    given = str(images)
    if virtual:
        given = [str(tmp_path / f"{date}.vrt") for date in fixtures.DATES]
        for path, date, source in zip(given, fixtures.DATES, sorted(images.glob("image*.tif"))):
            shutil.move(source, out / f"{date}.tif")
            gdal.Translate(path, str(out / f"{date}.tif"), format="VRT").FlushCache()
    else:
        shutil.copy(next(images.glob("image*.tif")), out / FILES[1])
    before, feedback = {path: path.read_bytes() for path in out.iterdir()}, Feedback()
    words = "would replace the input .*2020-03-01.tif" if virtual else "2020-05-15.tif is there already and was not wri"
    with pytest.raises(QgsProcessingException, match=words):
        unmix(run, given, out, feedback)
    assert {path: path.read_bytes() for path in out.iterdir()} == before
    assert len(said(feedback)) == 3 and not feedback.steps, "the images were opened, and no more"


def test_a_second_run_replaces_the_first(run, images, tmp_path):
    unmix(run, str(images), tmp_path / "out")
    before = {path.name for path in (tmp_path / "out").iterdir()}
    unmix(run, str(images), tmp_path / "out", COUNT=4)
    assert {path.name for path in (tmp_path / "out").iterdir()} == before
    assert gdal.Open(str(tmp_path / "out" / FILES[0])).RasterCount == 4


def test_rasters_of_an_earlier_run_are_left_and_counted(run, images, tmp_path):
    feedbacks = [Feedback() for _ in range(3)]
    for feedback, dates in zip(feedbacks, (None, None, "2001-01-01, 2002-01-01, 2020-09-30")):
        unmix(run, str(images), tmp_path / "out", feedback, DATES=dates)
    assert [feedback.warnings for feedback in feedbacks[:2]] == [[], []]
    assert len(list((tmp_path / "out").glob("*.tif"))) == 5
    assert feedbacks[2].warnings == [
        f"{tmp_path / 'out'} also holds 2 rasters that are not of this run, and a tool that is given the folder takes "
        "them too. Give it only those of this run (ABUNDANCELAYERS), or choose an empty folder."]


# headless

def test_qgis_process_takes_a_folder(qgis_process, images, tmp_path):
    done = qgis_process("fclssequence", {"IMAGES": str(images), **COUNT, "ABUNDANCES": str(tmp_path / "out")})
    assert done.returncode == 0, done.stderr
    assert [os.path.basename(path) for path in done.answer["results"]["ABUNDANCELAYERS"]] == FILES
    A = np.stack([gdal.Open(str(tmp_path / "out" / file)).ReadAsArray() for file in FILES])
    inside = A[:, 0] != -9999
    assert (~inside).sum(axis=(1, 2)).tolist() == [25, 28, 25]
    assert A.sum(axis=1)[inside] == pytest.approx(1, abs=1e-4)


def test_polygons_of_another_crs_lie_where_they_should(run, examples, tmp_path):
    """On a rotated grid, and with the corner of one on nodata."""
    places = QgsVectorLayer("Polygon?crs=EPSG:4326&field=plot:string", "places", "memory")
    to_map = QgsCoordinateTransform(QgsCoordinateReferenceSystem("EPSG:32633"),
                                    QgsCoordinateReferenceSystem("EPSG:4326"), QgsProject.instance())
    for name, (top, left, bottom, right) in {"field": (13, 11, 17, 19), "corner": (2, 2, 8, 8)}.items():
        ring = [QgsPointXY(*fixtures.at(col - 0.5, row - 0.5)) for row, col in (
            (top, left), (top, right), (bottom, right), (bottom, left))]
        geometry = QgsGeometry.fromPolygonXY([[*ring, ring[0]]])
        geometry.transform(to_map)
        feature = QgsFeature(places.fields())
        feature.setAttributes([name])
        feature.setGeometry(geometry)
        places.dataProvider().addFeature(feature)
    run("abundanceprofile", {"IMAGES": examples["fractionimages"], "FEATURES": places, "NAMEFIELD": "plot",
                             "PROFILES": str(tmp_path / "p.gpkg")})
    found = {(feature["feature"], feature["date"], feature["endmember"]): feature
             for feature in QgsVectorLayer(str(tmp_path / "p.gpkg"), "x").getFeatures()}
    A = fixtures.moving_fractions()
    for t, date in enumerate(fixtures.DATES):
        assert (found["field", date, "soil"]["pixels"], found["corner", date, "soil"]["pixels"]) == (32, 36 - 9)
        for p, name in enumerate(fixtures.NAMES):
            assert found["field", date, name]["fraction"] == pytest.approx(A[t, p, 13:17, 11:19].mean(), abs=1e-6)


def test_profiles_have_typed_fields_though_nothing_is_known_of_errors(run, examples, tmp_path):
    run("abundanceprofile", {"IMAGES": examples["fractionimages"], "FEATURES": examples["samples"],
                             "PROFILES": str(tmp_path / "p.gpkg")})
    layer = QgsVectorLayer(str(tmp_path / "p.gpkg"), "profiles")
    kinds = {field.name(): field.typeName() for field in layer.fields()}
    assert list(kinds)[1:] == ["feature", "date", "endmember", "fraction", "sd", "spread", "pixels"]
    assert [kinds[name] for name in ("fraction", "sd", "spread", "pixels")] == ["Real", "Real", "Real", "Integer64"]
    feature = next(layer.getFeatures())
    assert feature["date"] == fixtures.DATES[0] and feature["pixels"] == 1 and feature["sd"] != feature["fraction"]
