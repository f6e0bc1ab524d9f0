"""Outputs are made beside their targets and moved there when all is complete, so that nothing half-written is left."""

import os
import shutil
import tempfile
from pathlib import Path

from qgis.core import QgsProcessingException

from .words import tr

OWN = (".qml", ".xml")   # styles and statistics that stand beside a raster or layer of the same name


class Staging:
    """A context manager: `place` gives where to write, `deliver` moves everything to its target."""

    def __init__(self):
        self._folders, self._targets, self._made = {}, [], []

    def __enter__(self):
        self.work = Path(tempfile.mkdtemp(prefix="subpixel-"))
        return self

    def __exit__(self, *_):
        for folder in [self.work, *self._folders.values()]:
            shutil.rmtree(folder, ignore_errors=True)
        for folder in reversed(self._made):
            try:
                folder.rmdir()
            except OSError:
                pass  # it is no longer empty: what was delivered is in it

    def place(self, target, layer=False):
        """A path to write to on the target's own disk. A `layer` may have a style and statistics beside it."""
        target = Path(target)
        folder = target.parent
        if folder not in self._folders:
            try:
                missing = [parent for parent in [folder, *folder.parents] if not parent.exists()]
                folder.mkdir(parents=True, exist_ok=True)
                self._made += reversed(missing)
                self._folders[folder] = Path(tempfile.mkdtemp(prefix=".subpixel-", dir=folder))
            except OSError as error:
                raise QgsProcessingException(tr(
                    "The folder {folder} cannot be written to: {reason}. Choose another place for the output.").format(
                        folder=folder, reason=error.strerror)) from error
        staged = self._folders[folder] / target.name
        self._targets.append((staged, target, layer))
        return staged

    def deliver(self):
        """
        Move every file that was written to its target, with what belongs to it (`.qml`, `.hdr`).

        What is replaced is kept until all is done: where one file cannot be, everything is put back.
        """
        self._check_companions()
        outdated = self._outdated()
        done = []

        def move(source, target):
            os.replace(source, target)
            done.append((source, target))

        try:
            for folder, own in self._folders.items():
                new = list(own.iterdir())
                old = Path(tempfile.mkdtemp(dir=own))
                for path in [folder / file.name for file in new] + [file for file in outdated if file.parent == folder]:
                    if path.exists():
                        move(path, old / path.name)
                for file in new:
                    move(file, folder / file.name)
        except OSError as error:
            for source, target in reversed(done):
                os.replace(target, source)
            raise QgsProcessingException(tr(
                "{target} cannot be replaced: {reason}. Close it where it is open, or choose another name.").format(
                    target=error.filename2 or error.filename, reason=error.strerror)) from error

    def _outdated(self):
        """Styles and statistics of layers that are replaced. A style beside a new layer is not its own, and stays."""
        outdated = []
        for staged, target, layer in self._targets:
            if layer and staged.exists():
                if target.exists():
                    outdated += [target.with_suffix(".qml"), target.with_name(target.name + ".aux.xml")]
                elif target.with_suffix(".qml").exists():
                    staged.with_suffix(".qml").unlink(missing_ok=True)
        return [path for path in outdated if not (self._folders[path.parent] / path.name).exists()]

    def _check_companions(self):
        """A file that comes with an output, as `.hdr` with `.sli`, replaces no file that came with something else."""
        staged = {file for file, _, _ in self._targets}
        replaced = {file.stem for file, target, _ in self._targets if target.exists()}
        for folder, own in self._folders.items():
            for file in own.iterdir():
                other = folder / file.name
                if file not in staged and file.suffix not in OWN and file.stem not in replaced and other.exists():
                    raise QgsProcessingException(tr(
                        "{path} is there already and belongs to something else. Choose another name for the "
                        "output.").format(path=other))
