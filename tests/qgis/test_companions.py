"""A file that comes with an output never replaces one that belongs to something else."""

from pathlib import Path

import pytest
from qgis.core import QgsProcessingException


def test_header_of_another_file_is_kept_and_own_ones_are_replaced(run, examples, tmp_path):
    wanted = {"ENDMEMBERS": examples["endmembers"]}
    (tmp_path / "scene.hdr").write_text("the scene's")
    with pytest.raises(QgsProcessingException, match="scene.hdr is there already and belongs to something else"):
        run("exportspectra", {**wanted, "FILE": str(tmp_path / "scene.sli")})
    assert [file.name for file in tmp_path.iterdir()] == ["scene.hdr"]
    assert (tmp_path / "scene.hdr").read_text() == "the scene's"
    for _ in range(2):
        run("exportspectra", {**wanted, "FILE": str(tmp_path / "library.sli")})
    assert Path(tmp_path / "library.hdr").read_text().startswith("ENVI")
    assert {file.name for file in tmp_path.iterdir()} == {"scene.hdr", "library.hdr", "library.sli"}
