"""Outputs are made beside their targets and moved there when all is complete, so that nothing half-written is left."""

import os
import shutil
import tempfile
import threading
from pathlib import Path

from qgis.core import QgsProcessingException

from .words import tr

OWN = (".qml", ".xml")   # styles and statistics that stand beside a raster or layer of the same name
DELIVERY = threading.Lock()   # of two runs that write the same outputs at once, one's come whole after the other's


class Staging:
    """A context manager: `place` and `place_folder` give where to write, `deliver` moves everything to its target."""

    def __init__(self):
        self._shared, self._stages, self._targets, self._made = {}, [], [], []

    def __enter__(self):
        self.work = Path(tempfile.mkdtemp(prefix="subpixel-"))
        return self

    def __exit__(self, *_):
        for folder in [self.work, *(stage for _, stage in self._stages)]:
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
        if folder not in self._shared:
            self._shared[folder] = self._stage(folder)
        staged = self._shared[folder] / target.name
        self._targets.append((staged, target, layer))
        return staged

    def place_folder(self, folder):
        """A folder to write layers to, which are moved into `folder` one by one. What else is there stays."""
        return self._stage(Path(folder))

    def _stage(self, folder):
        """A new folder inside `folder`, which is made if need be."""
        try:
            missing = [parent for parent in [folder, *folder.parents] if not parent.exists()]
            folder.mkdir(parents=True, exist_ok=True)
            self._made += reversed(missing)
            stage = Path(tempfile.mkdtemp(prefix=".subpixel-", dir=folder))
        except OSError as error:
            raise QgsProcessingException(tr(
                "The folder {folder} cannot be written to: {reason}. Choose another place for the output.").format(
                    folder=folder, reason=error.strerror)) from error
        self._stages.append((folder, stage))
        return stage

    def traces(self):
        """The folders of this run that are to go with all in them, and those made for its outputs, to go if empty."""
        return [str(self.work), *(str(stage) for _, stage in self._stages)], [str(folder) for folder in self._made]

    def deliver(self):
        """
        Move every file that was written to its target, with what belongs to it (`.qml`, `.hdr`).

        What is replaced is kept until all is done: where one file cannot be, everything is put back. A target is at no
        moment without its file, old or new.
        """
        with DELIVERY:
            self._check_companions()
            outdated = self._outdated()
            new = self._new()
            self._check_distinct(new)
            kept, done = [], []
            try:
                for folder, stage in self._stages:
                    old = Path(tempfile.mkdtemp(dir=stage))
                    for path in [*new.values(), *outdated]:
                        if path.parent == folder and path.is_file():
                            _keep(path, old / path.name)
                            kept.append((old / path.name, path))
                for file, target in new.items():
                    os.replace(file, target)
                    done.append((file, target))
                for path in outdated:
                    path.unlink(missing_ok=True)
            except OSError as error:
                for file, target in reversed(done):
                    os.replace(target, file)
                for copy, path in kept:
                    if not path.exists():
                        os.replace(copy, path)
                raise QgsProcessingException(tr(
                    "{target} cannot be replaced: {reason}. Close it where it is open, or choose another name.").format(
                        target=error.filename2 or error.filename, reason=error.strerror)) from error
            self._made.clear()

    def _new(self):
        """Every file that was written, and its target."""
        return {file: folder / file.name for folder, stage in self._stages for file in sorted(stage.iterdir())}

    def _placed(self):
        """Where each output was written, its target, and whether it is a layer, as all are in an output folder."""
        shared = set(self._shared.values())
        return self._targets + [(file, target, True) for file, target in self._new().items()
                                if file.parent not in shared and file.suffix not in OWN]

    def _outdated(self):
        """Styles and statistics of layers that are replaced. A style beside a new layer is not its own, and stays."""
        outdated = []
        for staged, target, layer in self._placed():
            if layer and staged.exists():
                if target.exists():
                    beside = [target.with_suffix(".qml"), target.with_name(target.name + ".aux.xml")]
                    outdated += [path for path in beside if not (staged.parent / path.name).exists()]
                elif target.with_suffix(".qml").exists():
                    staged.with_suffix(".qml").unlink(missing_ok=True)
        return outdated

    def _check_companions(self):
        """A file that comes with an output, as `.hdr` with `.sli`, replaces no file that came with something else."""
        staged = {file for file, _, _ in self._placed()}
        replaced = {file.stem for file, target, _ in self._placed() if target.exists()}
        for file, target in self._new().items():
            if file not in staged and file.suffix not in OWN and file.stem not in replaced and target.exists():
                raise QgsProcessingException(tr(
                    "{path} is there already and belongs to something else. Choose another name for the "
                    "output.").format(path=target))

    def _check_distinct(self, new):
        """A file in an output folder has a name of its own, also beside other outputs in that folder."""
        seen = set()
        for target in new.values():
            place = os.path.normcase(target.resolve())
            if place in seen:
                raise QgsProcessingException(tr(
                    "Two outputs would be written to {path}. Choose another folder or name for one of them.").format(
                        path=target))
            seen.add(place)


def _keep(path, copy):
    """Keep a file that is about to be replaced under another name on its disk."""
    try:
        os.link(path, copy)
    except OSError:   # some disks have no links
        os.replace(path, copy)
