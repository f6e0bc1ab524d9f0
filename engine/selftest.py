"""The engine's test of itself: mixtures whose fractions are known, unmixed by the way that every job goes."""

import importlib.metadata
import importlib.util
import os
import platform
import re
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = ("requirements.txt", "requirements-deep.txt")


def selftest(run):
    """
    Unmix a raster of 4 x 4 pixels with known fractions, and compute with torch where it is installed.

    Parameters
    ----------
    run : callable(job, tell)
        That runs jobs.

    Returns
    -------
    dict
        See `state`.

    Raises
    ------
    UserError
        A package is missing, or the fractions found are not those known.
    """
    from .sentences import UserError
    lacking = [package["name"] for package in state()["packages"] if not (package["found"] or package["deep"])]
    if lacking:
        raise UserError("The engine's Python lacks: {packages}.", packages=", ".join(lacking))
    import numpy as np
    import rasterio

    from .spectra import Spectra
    M = np.array([[0.1, 0.6, 0.3], [0.2, 0.5, 0.7], [0.4, 0.3, 0.1], [0.6, 0.2, 0.5], [0.7, 0.1, 0.2]])
    A = np.random.default_rng(0).dirichlet(np.ones(3), 16).T
    grid = {"width": 4, "height": 4, "dtype": "float32", "transform": rasterio.transform.Affine(30, 0, 0, 0, -30, 0)}
    with tempfile.TemporaryDirectory() as folder:
        image, abundances = os.path.join(folder, "image.tif"), os.path.join(folder, "abundances.tif")
        with rasterio.open(image, "w", driver="GTiff", count=len(M), **grid) as file:
            file.write((M @ A).reshape(-1, 4, 4).astype(np.float32))
        spectra = Spectra(["a", "b", "c"], M, np.arange(1.0, len(M) + 1), False)
        run({"tool": "fcls", "outputs": {"ABUNDANCES": abundances}, "values": {
            "INPUT": {"path": image}, "ENDMEMBERS": {"features": spectra.to_features(), "source": "selftest"}}},
            lambda message: None)
        with rasterio.open(abundances) as file:
            error = float(abs(file.read().reshape(3, 16) - A).max())
    if not error < 1e-3:
        raise UserError("The engine's test of itself failed: fractions that are known were missed by {error}. Install "
                        "the engine again.", error=f"{error:.2g}")
    if importlib.util.find_spec("torch"):
        import torch
        torch.linalg.solve(torch.eye(3), torch.ones(3))
    return state()


def state():
    """
    What this Python has of what the engine needs, found without importing any of it.

    Returns
    -------
    dict
        `python`, its version, and `packages`: of each the `name`, the version `wanted` and that `found`, or None, and
        whether only `deep` learning needs it.
    """
    return {"python": platform.python_version(), "packages": [
        {"name": name, "wanted": wanted, "found": _version(name), "deep": file != REQUIREMENTS[0]}
        for file in REQUIREMENTS
        for name, wanted in re.findall(r"^([\w.-]+)==(\S+)", (ROOT / file).read_text(encoding="utf-8"), re.M)]}


def _version(name):
    """The version of a package that is installed, or None."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
