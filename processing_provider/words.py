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


def words_of_group(group):
    """What the toolbox calls a group. It sorts them by these words, so the order of the work comes first in them."""
    return f"{group.number:02d} {tr(group.value)}"
