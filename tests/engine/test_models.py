"""Trained models as files: they come back as they were, fit the bands they were trained on, and refuse others."""

import numpy as np
import pytest
from toolruns import raster

from subpixel.engine import models
from subpixel.engine.raster import Scene
from subpixel.engine.sentences import UserError

BANDS = 5
WAVES = np.array([450.0, 550, 650, 850, 1600])


def scene(folder, name="scene", constant=(), wavelengths=WAVES, bands=BANDS):
    """A scene without information in the `constant` bands, counted from 0."""
    cube = np.random.default_rng(0).random((bands, 6, 7))
    cube[list(constant)] = 0.5
    return Scene(raster(folder / f"{name}.tif", cube, wavelengths=wavelengths))


@pytest.fixture
def saved(tmp_path):
    """A model trained where the second band holds no information."""
    models.save(tmp_path / "model.npz", "lista", scene(tmp_path, "trained", [1]), {"theta": np.arange(6).reshape(2, 3)},
                names=["soil", "Bäume"])
    return tmp_path / "model.npz"


def test_a_model_comes_back_as_it_was(saved):
    declaration, arrays = models.load(saved, ("sunsal", "lista"))
    assert declaration == {"format": models.FORMAT, "tool": "lista", "count": 5, "bands": [1, 3, 4, 5], "wavelengths":
                           [450, 650, 850, 1600], "names": ["soil", "Bäume"]}
    assert list(arrays) == ["theta"] and np.array_equal(arrays["theta"], np.arange(6).reshape(2, 3))


def test_images_are_brought_to_the_models_bands(saved, tmp_path):
    declaration, _ = models.load(saved, ("lista",))
    other = scene(tmp_path)
    assert other.L == 5
    models.fit(declaration, other)
    assert other.indexes.tolist() == [1, 3, 4, 5] and other.read()[0].shape[0] == 4


def test_images_without_wavelengths_are_taken_by_the_bands_numbers(saved, tmp_path):
    other = scene(tmp_path, wavelengths=None)
    models.fit(models.load(saved, ("lista",))[0], other)
    assert other.indexes.tolist() == [1, 3, 4, 5]


@pytest.mark.parametrize("options, words", [
    (dict(bands=4, wavelengths=WAVES[:4]), "for images of 5 bands, and these have 4"),
    (dict(constant=[2]), "needs band 3, which holds no information"),
    (dict(wavelengths=WAVES + [0, 0, 0, 200, 0]), "Band 4 is at 850 nm in the model and at 1050 nm in the images")])
def test_images_of_other_bands_are_refused(options, words, saved, tmp_path):
    with pytest.raises(UserError, match=words):
        models.fit(models.load(saved, ("lista",))[0], scene(tmp_path, **options))


def test_files_that_are_no_such_model_are_refused(saved, tmp_path):
    with pytest.raises(UserError, match="a model of the tool lista, and one of padnmf or deepnmfd is needed"):
        models.load(saved, ("padnmf", "deepnmfd"))
    whole, wrong = saved.read_bytes(), tmp_path / "wrong.npz"
    for content in (b"", b"words", whole[:len(whole) // 2], whole[:100] + bytes(100) + whole[200:]):
        wrong.write_bytes(content)
        with pytest.raises(UserError, match=r"wrong.npz is no model that the tool lista has saved"):
            models.load(wrong, ("lista",))
    for arrays in ({"theta": np.ones(2)}, {models.DECLARATION: np.array("no JSON")}):
        np.savez(wrong, **arrays)
        with pytest.raises(UserError, match="no model"):
            models.load(wrong, ("lista",))
    with np.load(saved) as file:
        declaration = file[models.DECLARATION]
    for arrays in ({models.DECLARATION: np.array("{}")}, {models.DECLARATION: np.array("[1]")},
                   {models.DECLARATION: declaration}, {models.DECLARATION: declaration, "theta": np.ones((2, 3))},
                   {models.DECLARATION: np.array(str(declaration).replace("Bäume", "Gras")),
                    "theta": np.arange(6).reshape(2, 3)}):
        np.savez(wrong, **arrays)
        with pytest.raises(UserError, match="no model"):
            models.load(wrong, ("lista",))
    np.save(tmp_path / "array.npy", np.ones(2))
    for path, words in ((tmp_path / "array.npy", "no model"), (tmp_path / "none.npz", "none.npz cannot be read"),
                        (tmp_path, "cannot be read")):
        with pytest.raises(UserError, match=words):
            models.load(path, ("lista",))


def test_models_of_another_version_are_refused(saved, monkeypatch):
    monkeypatch.setattr(models, "FORMAT", models.FORMAT + 1)
    with pytest.raises(UserError, match="model.npz is a model of another version of Subpixel. Run the tool lista"):
        models.load(saved, ("lista",))
