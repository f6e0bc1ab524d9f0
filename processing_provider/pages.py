"""The pages of help that the plugin brings along, for the Help buttons: they need no network."""

from qgis.PyQt.QtCore import QUrl

from .engine_python import ROOT

PAGES = ROOT / "docs" / "html"


def page_of(name):
    """The URL of the page of a tool or model, by its id; nothing in a checkout where they were not built."""
    page = PAGES / "tools" / f"{name}.html"
    return QUrl.fromLocalFile(str(page)).toString() if page.exists() else ""
