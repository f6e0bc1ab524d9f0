"""The pages of help that the plugin brings along, for the Help buttons: they need no network."""

from qgis.PyQt.QtCore import QUrl

from .engine_python import ROOT

PAGES = ROOT / "docs" / "html"


def page_of(name):
    """The URL of the page of a tool or model, by its id."""
    return QUrl.fromLocalFile(str(PAGES / "tools" / f"{name}.html")).toString()
