"""Words for people, in their language."""

from qgis.PyQt.QtCore import QCoreApplication


def tr(text):
    """A text in QGIS's language."""
    return QCoreApplication.translate("Subpixel", text)


def spoken(template, arguments):
    """A template of the engine's in QGIS's language, with its arguments put in."""
    try:
        return tr(template).format(**arguments)
    except (KeyError, IndexError, ValueError):
        return template.format(**arguments)
