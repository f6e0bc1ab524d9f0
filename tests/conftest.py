"""Shared by every test: the package under its name, and the real scenes."""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.append(str(ROOT))

import bootstrap

bootstrap.load()

SCENES = ROOT.parent / "shared" / "data"


@pytest.fixture(scope="session")
def scenes():
    """Folder of the real scenes; a test that needs one is skipped where it is absent."""
    if not SCENES.is_dir():
        pytest.skip("the real scenes (../shared/data) are not here")
    return SCENES
