"""
The texts that people read, and how complete their translations in `i18n/` are.

    translations.py                 counts per language what is missing, stale or broken
    translations.py missing LOCALE  the texts that LOCALE lacks, as JSON with empty translations
    translations.py take LOCALE FILE  put a filled-in JSON of that kind into i18n/LOCALE.json; drop what is stale

A translation is an entry of `i18n/LOCALE.json`: the English text, and its translation with the same `{places}`.
"""

import ast
import json
import re
import string
import sys
import xml.etree.ElementTree as ElementTree
from functools import lru_cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT))
import bootstrap

bootstrap.load()
from subpixel.engine import declare
from subpixel.tools import all_tools

I18N = ROOT / "i18n"
LOCALES = "de", "es", "fr", "it", "pt_BR", "zh_Hans"
SPEAKERS = {"tr", "UserError", "Sentence", "say", "warn", "phrase"}   # whose first argument people read
ANSWERS = {"error", "message", "warning"}                  # keys of what the engine says
PHRASES = {"how", "which", "or_zero", "way", "kind", "done", "what"}   # places that are filled with words
PLACE = re.compile(r"\{[a-z_]+\}")


@lru_cache
def sources():
    """Every text that a person may read in QGIS, in the order of the work."""
    found = {}
    for text in [*declared(), *modelled(), *spoken()]:
        found.setdefault(text)
    return tuple(text for text in found if re.search("[A-Za-z]{2}", text))


def declared():
    """What the tools' declarations hold."""
    tools = all_tools().values()
    for group in declare.Group:
        yield group.value
        for tool in (tool for tool in tools if tool.group is group):
            yield tool.label
            yield from tool.help()
            yield tool.prefer
            yield from tool.tags
            for thing in [*tool.parameters(), *tool.outputs()]:
                yield from (thing.label, thing.help)
                if isinstance(thing, declare.Choice):
                    yield from thing.options.values()


def modelled():
    """What the graphical models show: titles, help, parameters and outputs."""
    for file in sorted((ROOT / "models").glob("*.model3")):
        for option in ElementTree.parse(file).getroot().iter("Option"):
            if option.get("name") == "help" and option.get("type") == "Map":
                yield from (text.get("value") for text in option
                            if text.get("name") not in ("GROUP", "ALG_CREATOR", "ALG_VERSION"))
            elif option.get("name") == "description":   # of a parameter or an output
                yield option.get("value")


def spoken():
    """What the code says: first arguments of those that speak, phrases in them, and texts with a `{place}`."""
    shared = _named(ROOT / "engine" / "sentences.py")
    for room in ("processing_provider", "ui", "engine", "tools", "algorithms", "plugin.py"):
        for file in sorted((ROOT / room).rglob("*.py")) if (ROOT / room).is_dir() else [ROOT / room]:
            tree = ast.parse(file.read_text(encoding="utf-8"))
            names = {**shared, **_named(file)}
            other = {id(part) for node in ast.walk(tree) if isinstance(node, (ast.JoinedStr, ast.Expr))
                     and not isinstance(getattr(node, "value", None), ast.Call) for part in ast.walk(node)}
            for node in ast.walk(tree):
                if isinstance(node, ast.Call) and node.args and _name(node.func) in SPEAKERS:
                    yield from _texts(node.args[0], names)
                    yield from (text for keyword in node.keywords if keyword.arg in PHRASES
                                for text in _texts(keyword.value, names))
                elif isinstance(node, ast.Call) and len(node.args) == 2 and _name(node.func) == "need":
                    yield from _texts(node.args[1], names)   # the way out of too little memory
                elif isinstance(node, ast.Dict):
                    for key, value in zip(node.keys, node.values):
                        if isinstance(key, ast.Constant) and key.value in ANSWERS:
                            yield from _texts(value, names)
                elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in other \
                        and PLACE.search(node.value) and " " in node.value and room in ("engine", "tools"):
                    yield node.value


def _name(function):
    return getattr(function, "attr", getattr(function, "id", None))


def _named(file):
    """Texts by the names that are given to them in a module."""
    named = {}
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            named.setdefault(node.targets[0].id, []).append(node.value)
    return named


def _texts(node, names):
    """All texts that an expression may be: a text, one of two, a sum of them, or what a name stands for."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return [node.value]
    if isinstance(node, ast.IfExp):
        return _texts(node.body, names) + _texts(node.orelse, names)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return [left + right for left in _texts(node.left, names) for right in _texts(node.right, names)]
    if isinstance(node, ast.Name) and node.id in names:
        rest = {name: value for name, value in names.items() if name != node.id}
        return [text for value in names[node.id] for text in _texts(value, rest)]
    return []


def places(text):
    """The `{places}` of a text; None where it has braces that are none."""
    try:
        return {field for _, field, _, _ in string.Formatter().parse(text) if field is not None}
    except ValueError:
        return None


def translations(locale):
    """The entries of a language."""
    file = I18N / f"{locale}.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}


def missing(locale):
    """Texts without a translation."""
    there = translations(locale)
    return [text for text in sources() if not there.get(text, "").strip()]


def stale(locale):
    """Entries whose text is no longer used."""
    return sorted(set(translations(locale)) - set(sources()))


def broken(locale):
    """Entries that have other `{places}` than their text."""
    return [text for text, words in translations(locale).items() if places(text) != places(words)]


def take(locale, new):
    """Write a language's file anew: its entries and the new ones, in the order of the texts."""
    entries = {**translations(locale), **new}
    kept = {text: entries[text] for text in sources() if entries.get(text, "").strip()}
    (I18N / f"{locale}.json").write_text(json.dumps(kept, ensure_ascii=False, indent=0) + "\n", encoding="utf-8")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["missing", locale]:
            json.dump(dict.fromkeys(missing(locale), ""), sys.stdout, ensure_ascii=False, indent=0)
        case ["take", locale, file]:
            take(locale, json.loads(Path(file).read_text(encoding="utf-8")))
        case _:
            for locale in LOCALES:
                print(f"{locale}: {len(missing(locale))} missing, {len(stale(locale))} stale, "
                      f"{len(broken(locale))} broken of {len(sources())}")
