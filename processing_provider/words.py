"""Words for people, in their language: `i18n/LOCALE.json` holds each English text with its translation."""

import json
from functools import lru_cache
from pathlib import Path

from qgis.core import QgsApplication

I18N = Path(__file__).resolve().parent.parent / "i18n"
TRADITIONAL = "Hant", "TW", "HK", "MO"   # Chinese that Simplified Chinese does not stand for
PHRASES = {"label", "low_label", "high_label", "smallest_label", "largest_label", "what", "how", "which", "or_zero",
           "way", "way_out", "kind", "done", "method",
           "source", "reason"}   # places of sentences that are filled with texts themselves


def catalogue_for(locale):
    """The file for a locale of QGIS's (`de`, `pt_BR`, `zh-Hans`): of its country, else its language; None if none."""
    language, *rest = locale.replace("-", "_").split("_")
    if language == "zh" and not set(rest).intersection(TRADITIONAL):
        rest = ["Hans"]
    elif language == "zh":
        return None
    exact = I18N / f"{'_'.join([language, *rest[:1]])}.json"
    return exact if exact.exists() else next(iter(sorted(I18N.glob(f"{language}.json"))
                                                  + sorted(I18N.glob(f"{language}_*.json"))), None)


@lru_cache
def translations():
    """Every English text and its translation, read once: QGIS itself changes its language only when it starts."""
    file = catalogue_for(QgsApplication.locale())
    return json.loads(file.read_text(encoding="utf-8")) if file else {}


def tr(text):
    """A text in QGIS's language, or as it is where it has no translation."""
    return translations().get(text, text)


def spoken(template, arguments):
    """A template of the engine's in QGIS's language, with its arguments put in; NUL, where QGIS would end it, shown."""
    arguments = {name: tr(value) if name in PHRASES and isinstance(value, str) else value
                 for name, value in arguments.items()}
    try:
        said = tr(template).format(**arguments)
    except (KeyError, IndexError, ValueError):
        said = template.format(**arguments)
    return said.replace("\0", "\N{SYMBOL FOR NULL}")


def words_of_group(group):
    """What the toolbox calls a group. It sorts them by these words, so the order of the work comes first in them."""
    return f"{group.number:02d} {tr(group.value)}"
