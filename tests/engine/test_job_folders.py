"""A folder of rasters as a tool writes it: file names, metadata, and what the provider is told."""

import json

import numpy as np
import pytest
import rasterio
from rasterio.windows import Window
from toolruns import TRANSFORM, raster

from subpixel.engine.declare import FolderOutput, Group, Real, Style, Tool
from subpixel.engine.filenames import LONGEST, distinct, safe
from subpixel.engine.job import Job
from subpixel.engine.raster import Scene
from subpixel.engine.sentences import UserError


class Sequence(Tool):
    """Writes rasters."""

    id, label, group = "sequence", "Sequence", Group.CHECK
    gain = Real("GAIN", "Gain", help="A number.", default=2)
    spectra = FolderOutput("SPECTRA", "Spectra", help="Rasters.", style=Style.SPECTRAL)
    maps = FolderOutput("MAPS", "Maps", help="Rasters.", style=Style.DEPARTURE)


@pytest.fixture
def scene(tmp_path):
    path = raster(tmp_path / "scene.tif", np.arange(60).reshape(3, 4, 5))
    return Scene(path, name="INPUT", say=lambda *_, **__: None)


@pytest.fixture
def job(tmp_path):
    return Job(Sequence(), {"GAIN": 2.0}, {"SPECTRA": str(tmp_path / "möre" / "spectra"), "MAPS": ""}, "1.0",
               lambda said: None)


def write(job, stem, scene, output=Sequence.spectra, **options):
    with job.folder_raster(output, stem, scene, ["1", "2"], **options) as file:
        file.write(Window(0, 0, 5, 4), np.full((2, 20), 7.0))


def test_each_raster_is_a_file_in_the_folder_with_grid_wavelengths_and_provenance(job, scene, tmp_path):
    for stem in ("Bäume", "soil"):
        write(job, stem, scene, wavelengths=[450.0, 650.0])
    folder = tmp_path / "möre" / "spectra"
    assert sorted(file.name for file in folder.iterdir()) == ["Bäume.tif", "soil.tif"]
    with rasterio.open(folder / "Bäume.tif") as file:
        assert file.transform == TRANSFORM and file.crs.to_epsg() == 32633 and (file.read() == 7).all()
        assert file.tags()["SUBPIXEL_TOOL"] == "subpixel:sequence" and file.descriptions == ("1", "2")
        assert json.loads(file.tags()["SUBPIXEL_PARAMETERS"]) == {"GAIN": 2.0}
        assert float(file.tags(2)["wavelength"]) == 650


def test_the_provider_is_told_of_each_file_in_order(job, scene):
    for stem in ("soil", "Bäume", "Soil"):
        write(job, stem, scene, wavelengths=[450.0, 650.0])
    told = job.result["folders"]["SPECTRA"]
    assert [look["file"] for look in told] == ["soil.tif", "Bäume.tif", "Soil 2.tif"]
    assert all(look["style"] == "spectral" and look["names"] == ["1", "2"] and len(look["colours"]) == 2
               and len(look["rgb"]) == 3 for look in told)
    assert job.result["rasters"] == {}


def test_a_folder_is_wanted_like_any_output(job):
    assert job.wants(Sequence.spectra) and not job.wants(Sequence.maps)


def test_a_range_is_that_of_every_raster_of_the_folder(job, scene):
    job.give_range(Sequence.spectra, 0, 1)  # of none yet
    for stem in ("a", "b"):
        write(job, stem, scene)
    job.give_range(Sequence.spectra, 0, np.float32(0.5))
    assert [look["range"] for look in job.result["folders"]["SPECTRA"]] == [[0, 0.5], [0, 0.5]]


def test_what_is_to_stay_in_a_folder_is_not_written(scene, tmp_path):
    job = Job(Sequence(), {"GAIN": 2.0}, {"SPECTRA": str(tmp_path / "out")}, "1", lambda said: None,
              {"SPECTRA": {"soil.tif": "It is {yours}."}, "MAPS": {"tree.tif": "Of another folder."}})
    with pytest.raises(UserError, match="^It is {yours}.$"):
        write(job, "soil", scene)
    assert not (tmp_path / "out").exists()
    write(job, "tree", scene)


def test_a_folder_that_cannot_be_made_is_a_sentence(job, scene, tmp_path):
    (tmp_path / "möre").write_text("a file")
    with pytest.raises(UserError, match="cannot be written: .*Choose another place"):
        write(job, "a", scene)


# file names

@pytest.mark.parametrize("name, file", [
    ("Bäume", "Bäume"), ("水", "水"), ("soil, wet", "soil, wet"), ("2020-05-01", "2020-05-01"), ("v1.2", "v1.2"),
    ("a/b\\c:d*e?f\"g<h>i|j", "a_b_c_d_e_f_g_h_i_j"), ("tab\tnew\nline", "tab_new_line"), ("..", "_"), ("", "_"),
    (" . ", "_"), ("../up", "_up"), ("end. ", "end"), (".hidden", "hidden"), ("con", "_con"), ("LPT1.old", "_LPT1.old"),
    ("Com¹", "_Com¹"), ("console", "console"), (7, "7"), ("a\u0308", "ä")])
def test_a_name_becomes_one_that_every_system_can_hold(name, file):
    assert safe(name) == file


@pytest.mark.parametrize("name", ["x" * 500, "水" * 500, "a" * (LONGEST - 1) + ".b"])
def test_a_long_name_is_cut(name):
    assert 0 < len(safe(name).encode()) <= LONGEST
    assert name.startswith(safe(name)) and not safe(name).endswith(".")


def test_two_names_never_share_a_file_whatever_their_case():
    taken = []
    for name in ("Soil", "soil", "SOIL 2", "a:b", "a?b", "ä", "a\u0308"):
        taken.append(distinct(name, taken, ".tif"))
    assert taken == ["Soil.tif", "soil 2.tif", "SOIL 2 2.tif", "a_b.tif", "a_b 2.tif", "ä.tif", "ä 2.tif"]
