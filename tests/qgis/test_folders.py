"""A folder of rasters as an output: what is in it already stays, and it comes whole or not at all."""

import os
from pathlib import Path

import folder_engine
import pytest
from conftest import ROOT, Feedback
from osgeo import gdal
from qgis.core import (Qgis, QgsApplication, QgsProcessingContext, QgsProcessingException, QgsProcessingModelAlgorithm,
                       QgsProcessingModelChildAlgorithm, QgsProcessingModelChildParameterSource,
                       QgsProcessingModelOutput, QgsProcessingModelParameter, QgsProcessingParameterRasterLayer,
                       QgsProcessingProvider, QgsRasterLayer)

PYTHON = os.environ["SUBPIXEL_PYTHON"]
WRITTEN = ("tree.tif", "tree.qml", "soil_ wet.tif", "soil_ wet.qml")


class Provider(QgsProcessingProvider):
    """A provider of the tool that writes folders."""

    def id(self):
        return "folders"

    def name(self):
        return "Folders"

    def loadAlgorithms(self):
        from subpixel.processing_provider.algorithm import ToolAlgorithm
        self.addAlgorithm(ToolAlgorithm(folder_engine.Folders()))


@pytest.fixture
def algorithm(qgis, tmp_path_factory, monkeypatch):
    """The tool's algorithm, in the registry while the test runs, and an engine that knows it."""
    engine = tmp_path_factory.mktemp("engine") / "python"
    engine.write_text(f'#!/bin/sh\n[ "$1" = -c ] && exec "{PYTHON}" "$@"; shift; '
                      f'exec "{PYTHON}" "{ROOT}/tests/qgis/folder_engine.py" "$@"\n')
    engine.chmod(0o755)
    monkeypatch.setenv("SUBPIXEL_PYTHON", str(engine))
    provider = Provider()
    QgsApplication.processingRegistry().addProvider(provider)
    yield QgsApplication.processingRegistry().algorithmById("folders:folders")
    QgsApplication.processingRegistry().removeProvider(provider)


@pytest.fixture
def write(algorithm, examples):
    """Run the tool on the example scene, unless told otherwise."""
    def write(feedback=None, **values):
        values = {"INPUT": examples["scene"], **values}
        passed, reason = algorithm.checkParameterValues(values, QgsProcessingContext())
        assert passed, reason
        return algorithm.run(values, QgsProcessingContext(), feedback or Feedback(), {}, False)[0]
    return write


def texts(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def names(folder):
    return {path.name for path in folder.iterdir()}


def older(folder, *files):
    """Files that are there already: rasters of an earlier run, and others of the user's."""
    folder.mkdir(parents=True)
    for file in files:
        if file.endswith(".tif"):
            written = gdal.GetDriverByName("GTiff").Create(str(folder / file), 2, 2)
            written.SetMetadataItem("SUBPIXEL_TOOL", "subpixel:folders")
            del written
        else:
            (folder / file).write_text(f"older {file}")
    return folder


# what QGIS shows

def test_a_folder_is_a_folder_destination_advanced_and_not_asked_for_where_so_declared(algorithm):
    members, steps = (algorithm.parameterDefinition(name) for name in ("MEMBERS", "STEPS"))
    assert members.type() == steps.type() == "folderDestination"
    assert not members.createByDefault() and members.flags() & Qgis.ProcessingParameterFlag.Optional
    assert members.flags() & Qgis.ProcessingParameterFlag.Advanced
    assert not steps.flags() & Qgis.ProcessingParameterFlag.Advanced
    assert members.help() == "Scenes, wavelengths kept."


def test_a_folder_that_is_not_given_is_not_wanted(write):
    assert write() == {"MEMBERS": None, "STEPS": None, "FACTORS": None}
    assert write(MEMBERS=None, STEPS="") == {"MEMBERS": None, "STEPS": None, "FACTORS": None}


# what is delivered

def test_rasters_arrive_with_their_styles_in_a_folder_that_was_not_there(write, examples, tmp_path):
    folder = tmp_path / "all nëw" / "members"
    assert write(MEMBERS=str(folder))["MEMBERS"] == str(folder)
    assert names(folder) == set(WRITTEN)
    scene, made = gdal.Open(examples["scene"]), gdal.Open(str(folder / "soil_ wet.tif"))
    assert made.GetGeoTransform() == scene.GetGeoTransform()
    assert made.GetMetadata()["SUBPIXEL_TOOL"] == "subpixel:folders"
    assert made.GetRasterBand(1).GetMetadataItem("wavelength")
    assert QgsRasterLayer(str(folder / "tree.tif"), "tree").renderer().type() == "multibandcolor"


def test_a_temporary_folder_works(write):
    folder = Path(write(MEMBERS="TEMPORARY_OUTPUT")["MEMBERS"])
    assert names(folder) == set(WRITTEN)


def test_a_folder_is_an_output_of_a_model(algorithm, examples, tmp_path):
    model = QgsProcessingModelAlgorithm("m", "m", "m")
    model.addModelParameter(QgsProcessingParameterRasterLayer("SCENE", "Scene"), QgsProcessingModelParameter("SCENE"))
    step = QgsProcessingModelChildAlgorithm("folders:folders")
    step.setChildId("step")
    step.addParameterSources("INPUT", [QgsProcessingModelChildParameterSource.fromModelParameter("SCENE")])
    output = QgsProcessingModelOutput("members")
    output.setChildOutputName("MEMBERS")
    output.setChildId("step")
    step.setModelOutputs({"members": output})
    model.addChildAlgorithm(step)
    model.initAlgorithm()
    name = model.destinationParameterDefinitions()[0].name()
    for given in (str(tmp_path / "members"), "TEMPORARY_OUTPUT"):
        feedback = Feedback()
        results, ok = model.run({"SCENE": examples["scene"], name: given}, QgsProcessingContext(), feedback, {}, False)
        assert ok, feedback.errors
        assert names(Path(results[name])) == set(WRITTEN)
        assert results["CHILD_RESULTS"]["step"]["STEPS"] is None
    assert names(tmp_path / "members") == set(WRITTEN)


def test_other_files_in_the_folder_stay_and_same_named_ones_are_replaced(write, tmp_path):
    folder = older(tmp_path / "members", "notes.txt", "grass.tif", "grass.qml", "tree.tif", "tree.tif.aux.xml",
                   "soil_ wet.qml")
    older(folder / "sub", "tree.tif")
    before = texts(folder)
    write(MEMBERS=str(folder))
    assert names(folder) == {*WRITTEN, "notes.txt", "grass.tif", "grass.qml", "sub"}
    for file in ("notes.txt", "grass.tif", "grass.qml", "sub/tree.tif"):
        assert (folder / file).read_bytes() == before[file]
    assert gdal.Open(str(folder / "tree.tif")).RasterCount == 40
    assert (folder / "soil_ wet.qml").read_text() == "older soil_ wet.qml", "it belongs to something else"
    write(MEMBERS=str(folder), STEMS="tree")
    assert names(folder) == {*WRITTEN, "notes.txt", "grass.tif", "grass.qml", "sub"}


def test_a_folder_without_rasters_is_there_all_the_same(write, tmp_path):
    write(MEMBERS=str(tmp_path / "members"), STEMS="|")
    assert names(tmp_path) == {"members"} and not names(tmp_path / "members")


def test_other_outputs_may_go_into_the_folder(write, tmp_path):
    write(MEMBERS=str(tmp_path), STEPS=str(tmp_path / "steps"), FACTORS=str(tmp_path / "factors.tif"))
    assert names(tmp_path) == {*WRITTEN, "steps", "factors.tif", "factors.qml"}
    assert names(tmp_path / "steps") == set(WRITTEN)


# what is left as it was

@pytest.mark.parametrize("stuck", ["tree.tif", "soil_ wet.tif", "factors.tif"])
def test_one_file_that_cannot_be_replaced_leaves_everything_as_it_was(stuck, write, tmp_path, monkeypatch):
    """As on Windows, where a file that is open elsewhere cannot be replaced."""
    folder = older(tmp_path / "members", "notes.txt", "tree.tif", "tree.qml", "tree.tif.aux.xml", "soil_ wet.tif",
                   "factors.tif")
    before, real = texts(tmp_path), os.replace

    def refuse(source, target):
        if Path(source).name == stuck and folder in (Path(source).parent, Path(source).parent.parent):
            raise PermissionError(13, "Permission denied", str(source), None, str(target))
        real(source, target)

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(QgsProcessingException, match="cannot be replaced: Permission denied. Close it"):
        write(STEPS=str(tmp_path / "new" / "steps"), MEMBERS=str(folder), FACTORS=str(folder / "factors.tif"))
    assert texts(tmp_path) == before and names(tmp_path) == {"members"}


def test_a_folder_where_a_file_should_go_is_never_replaced(write, tmp_path):
    older(tmp_path / "members" / "tree.tif", "notes.txt")
    before = texts(tmp_path)
    with pytest.raises(QgsProcessingException, match="tree.tif cannot be replaced"):
        write(MEMBERS=str(tmp_path / "members"))
    assert texts(tmp_path) == before and names(tmp_path / "members") == {"tree.tif"}


@pytest.mark.parametrize("existing", [True, False])
def test_cancel_leaves_nothing(existing, write, tmp_path):
    folder = tmp_path / "deep" / "members"
    if existing:
        older(folder, "tree.tif", "notes.txt")
    before = texts(tmp_path)
    write(Feedback(lambda feedback: feedback.cancel()), MEMBERS=str(folder), HANG=True)
    assert texts(tmp_path) == before
    assert names(tmp_path) == ({"deep"} if existing else set())


# what is refused

def test_a_raster_in_a_folder_never_replaces_the_input(write, examples, tmp_path):
    for suffix in ("", ".aux.xml"):
        if Path(examples["scene"] + suffix).exists():
            (tmp_path / f"tree.tif{suffix}").write_bytes(Path(examples["scene"] + suffix).read_bytes())
    before = (tmp_path / "tree.tif").read_bytes()
    with pytest.raises(QgsProcessingException, match="Members would replace the input .*tree.tif"):
        write(INPUT=str(tmp_path / "tree.tif"), MEMBERS=str(tmp_path / "sub" / ".."))
    assert (tmp_path / "tree.tif").read_bytes() == before and "tree.qml" not in names(tmp_path)
    write(INPUT=str(tmp_path / "tree.tif"), MEMBERS=str(tmp_path), STEMS="grass")
    assert (tmp_path / "tree.tif").read_bytes() == before and "grass.tif" in names(tmp_path)


@pytest.mark.parametrize("kind", ["raster", "damaged"])
def test_a_raster_that_subpixel_did_not_write_is_never_replaced(kind, write, examples, tmp_path):
    folder = older(tmp_path / "members", "soil_ wet.tif")
    if kind == "raster":
        gdal.Translate(str(folder / "tree.tif"), examples["abundances"])
    else:
        (folder / "tree.tif").write_text("half a download")
    before = texts(folder)
    with pytest.raises(QgsProcessingException, match="tree.tif is there already and was not written by Subpixel, so "
                                                     "the output Members does not replace it. Choose another folder"):
        write(MEMBERS=str(folder))
    assert texts(folder) == before


def test_a_raster_that_came_while_the_tool_ran_is_not_replaced_either(write, tmp_path):
    def meanwhile(feedback):
        (tmp_path / "tree.tif").write_text("the user's")
    with pytest.raises(QgsProcessingException, match="tree.tif is there already and was not written by Subpixel"):
        write(Feedback(meanwhile), MEMBERS=str(tmp_path))
    assert texts(tmp_path) == {"tree.tif": b"the user's"}


@pytest.mark.parametrize("output", ["folder", "raster"])
def test_what_a_virtual_input_is_made_of_is_never_replaced(output, write, examples, tmp_path):
    scene = older(tmp_path / "members", "tree.tif") / "tree.tif"
    made = gdal.Translate(str(scene), examples["scene"])
    made.SetMetadataItem("SUBPIXEL_TOOL", "subpixel:another")
    del made
    gdal.Translate(str(tmp_path / "inner.vrt"), str(scene), format="VRT").FlushCache()
    gdal.Translate(str(tmp_path / "outer.vrt"), str(tmp_path / "inner.vrt"), format="VRT").FlushCache()
    before = texts(tmp_path)
    for virtual in ("inner.vrt", "outer.vrt"):
        with pytest.raises(QgsProcessingException, match="would replace the input .*tree.tif. Choose another place"):
            write(INPUT=str(tmp_path / virtual),
                  **{"MEMBERS": str(scene.parent)} if output == "folder" else {"FACTORS": str(scene)})
    assert texts(tmp_path) == before


def test_an_input_is_no_output_folder(write, examples):
    with pytest.raises(QgsProcessingException, match="Members would replace the input"):
        write(MEMBERS=examples["scene"])


def test_two_outputs_in_one_place_are_refused(write, tmp_path):
    with pytest.raises(QgsProcessingException, match="Members and Steps have the same name x"):
        write(MEMBERS=str(tmp_path / "x"), STEPS=str(tmp_path / "." / "x"))
    with pytest.raises(QgsProcessingException, match="Two outputs would be written to .*tree.*Choose another folder"):
        write(MEMBERS=str(tmp_path), FACTORS=str(tmp_path / "tree.tif"))
    assert not names(tmp_path)


def test_a_file_is_no_output_folder(write, tmp_path):
    (tmp_path / "file").write_text("the user's")
    with pytest.raises(QgsProcessingException, match="file cannot be written to: .*Choose another place"):
        write(MEMBERS=str(tmp_path / "file"))
    assert (tmp_path / "file").read_text() == "the user's"


# styles whose range holds for several bands and files

def test_maps_with_one_range_are_drawn_alike(write, tmp_path):
    write(STEPS=str(tmp_path / "steps"), FACTORS=str(tmp_path / "factors.tif"))
    for path, low, high in ((tmp_path / "steps" / "tree.tif", 0, 5), (tmp_path / "steps" / "soil_ wet.tif", 0, 5),
                            (tmp_path / "factors.tif", 0.5, 1.5)):
        layer = QgsRasterLayer(str(path), "map")
        renderer = layer.renderer()
        assert renderer.type() == "singlebandpseudocolor" and renderer.inputBand() == 1
        assert (renderer.classificationMin(), renderer.classificationMax()) == pytest.approx((low, high))
