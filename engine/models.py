"""Trained models as files: arrays in an npz, with the tool that made them and the bands and dates that they fit."""

import hashlib
import json
import zipfile
import zlib

import numpy as np

from .sentences import UserError
from .sequences import differing_band

DECLARATION = "subpixel"   # the array in the file that says what the others are
FORMAT = 2                 # of the files: to be raised when a tool needs other arrays or facts of its models


def save(path, tool, scene, arrays, **facts):
    """
    Write a model.

    Parameters
    ----------
    path : str
    tool : str
        Id of the tool that trained it.
    scene : Scene
        What it was trained on, or of a sequence its `grid`: its bands and wavelengths are kept.
    arrays : dict of ndarray
        What the method needs.
    facts : dict
        Plain values to keep beside it, such as the names of its classes.
    """
    declaration = {"format": FORMAT, "tool": tool, "count": scene.count, "bands": scene.indexes.tolist(),
                   "wavelengths": None if scene.wavelengths is None else list(map(float, scene.wavelengths)), **facts}
    declaration["digest"] = _digest(declaration, arrays)
    with open(path, "wb") as file:
        np.savez_compressed(file, **{DECLARATION: np.array(json.dumps(declaration, ensure_ascii=False))}, **arrays)


def _digest(declaration, arrays):
    """A word for what a file holds, by which damage is told."""
    digest = hashlib.sha256(json.dumps(json.loads(json.dumps(declaration)), sort_keys=True).encode("utf-8"))
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype} {np.shape(arrays[name])}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def load(path, tools):
    """
    A saved model: its declaration, a dictionary, and its arrays.

    Raises
    ------
    UserError
        The file cannot be read, holds no model, one of another version, or of a tool that is not among `tools` (ids).
    """
    wanted = " or ".join(tools)
    damaged = UserError("{path} is no model that the tool {tool} has saved, or it is damaged. Choose such a file "
                        "(.npz).", path=path, tool=wanted)
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        declaration = json.loads(str(arrays.pop(DECLARATION)))
        made, version = declaration["tool"], declaration["format"]
    except (ValueError, KeyError, EOFError, TypeError, zipfile.BadZipFile, zlib.error) as error:
        raise damaged from error
    except OSError as error:
        raise UserError("{path} cannot be read: {reason}. Choose a model that the tool {tool} has saved (.npz).",
                        path=path, reason=error.strerror or str(error), tool=wanted) from error
    if made not in tools:
        raise UserError("{path} is a model of the tool {made}, and one of {tool} is needed. Choose another file.",
                        path=path, made=made, tool=wanted)
    if version != FORMAT:
        raise UserError("{path} is a model of another version of Subpixel. Run the tool {tool} again with this one.",
                        path=path, tool=made)
    if declaration.pop("digest", None) != _digest(declaration, arrays):
        raise damaged
    return declaration, arrays


def fit(declaration, images):
    """
    Bring images to the bands of a model.

    Parameters
    ----------
    declaration : dict
    images : Scene or Sequence

    Raises
    ------
    UserError
        The images have another number of bands or other wavelengths, or a band that the model needs holds no
        information.
    """
    grid, bands = getattr(images, "grid", images), declaration["bands"]
    if grid.count != declaration["count"]:
        raise UserError("The model is for images of {count} bands, and these have {bands}. Choose images of the same "
                        "sensor and processing.", count=declaration["count"], bands=grid.count)
    missing = sorted(set(bands) - set(grid.indexes.tolist()))
    if missing:
        raise UserError("The model needs band {band}, which holds no information in one of the images. Leave that "
                        "image out, or train a model without the band.", band=missing[0])
    for scene in getattr(images, "scenes", [images]):
        scene.keep(np.isin(scene.indexes, bands))
    if declaration["wavelengths"] is None or grid.wavelengths is None:
        return
    ours = np.array(declaration["wavelengths"])
    band = differing_band(ours, grid.wavelengths)
    if band is not None:
        raise UserError("Band {band} is at {ours} nm in the model and at {theirs} nm in the images. Choose images of "
                        "the same sensor.", band=int(grid.indexes[band]), ours=f"{ours[band]:.5g}",
                        theirs=f"{grid.wavelengths[band]:.5g}")
