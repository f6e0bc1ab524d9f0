"""Members of enums are written through their enum, as Qt 6 demands: QGIS 4 knows no `Qt.AlignLeft`."""

import ast
import enum
import importlib

import pytest
from conftest import ROOT

FILES = [ROOT / "plugin.py", *(file for room in ("processing_provider", "ui") for file in (ROOT / room).rglob("*.py"))]


def is_member(value):
    """Whether a value is an enum's member: Python's, or one of sip's for Qt 5, which are whole numbers of their own."""
    return isinstance(value, enum.Enum) or (isinstance(value, int) and type(value) not in (int, bool))


def unscoped(source):
    """
    Members of enums that are taken from a class around the enum, as text.

    A chain that begins with a name imported from QGIS is followed. Of others, `dialog.Accepted`, the values are not
    known: a name with a capital counts that is a member of some enum of the classes that the file imports from QGIS.
    """
    tree = ast.parse(source)
    known, foreign = {}, set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("qgis."):
            module = importlib.import_module(node.module)
            known.update({name.asname or name.name: getattr(module, name.name) for name in node.names})
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            foreign.update(name.asname or name.name for name in node.names)
    members = {name for holder in known.values() if isinstance(holder, type) for name in dir(holder)
               if name[0].isupper() and is_member(getattr(holder, name, None))}
    found = []

    def follow(node):
        """The value of a chain of attributes, None where it is not known."""
        if isinstance(node, ast.Name):
            return known.get(node.id)
        if not isinstance(node, ast.Attribute):
            return None
        holder = follow(node.value)
        value = getattr(holder, node.attr, None) if holder is not None else None
        unknown = holder is None and not (isinstance(node.value, ast.Name) and node.value.id in foreign)
        if is_member(value) and holder is not type(value) or unknown and node.attr in members:
            found.append(ast.unparse(node))
        return value

    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            follow(node)
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_members_of_enums_are_scoped(qgis, path):
    assert unscoped(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("line, wrong", [
    ("x = Qt.AlignLeft", "Qt.AlignLeft"), ("x = Qt.AlignmentFlag.AlignLeft", None),
    ("x = QMessageBox.Ok | QMessageBox.StandardButton.Cancel", "QMessageBox.Ok"),
    ("x = QgsMapLayer.RasterLayer", "QgsMapLayer.RasterLayer"), ("x = Qgis.LayerType.Raster", None),
    ("x = self.box.Ok", "self.box.Ok"), ("x = self.box.Title", None)])
def test_unscoped_members_are_found(qgis, line, wrong):
    found = unscoped("from qgis.PyQt.QtCore import Qt\nfrom qgis.PyQt.QtWidgets import QMessageBox\n"
                     f"from qgis.core import Qgis, QgsMapLayer\n{line}")
    assert found == ([wrong] if wrong else [])
