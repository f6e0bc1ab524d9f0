"""Every text has its translation in every language, and no translation has lost a place or outlived its text."""

import sys

import pytest
from conftest import ROOT

sys.path.insert(0, str(ROOT / "scripts"))

import translations
from translations import LOCALES


def test_texts_are_found_where_they_stand():
    texts = set(translations.sources())
    assert {"How much of each", "Number of endmembers", "FCLS", "Cancelled: nothing was written.",
            "{label} has one band; unmixing needs a raster with at least two. Choose a hyperspectral or multispectral "
            "raster.", "Unmix a scene: how many, which, how much",
            "There is not enough memory for this run. Clip the raster or use fewer bands."} <= texts
    # of two texts and a sum, every outcome
    assert {"Settled after {iterations} iterations.",
            "Settled in every tile, after {iterations} iterations at most."} <= texts


def test_there_is_a_file_for_each_language_and_no_other():
    assert sorted(file.stem for file in translations.I18N.glob("*")) == sorted(LOCALES)


@pytest.mark.parametrize("locale", LOCALES)
def test_language_is_complete(locale):
    assert translations.missing(locale) == []


@pytest.mark.parametrize("locale", LOCALES)
def test_no_translation_is_of_a_text_that_is_gone(locale):
    assert translations.stale(locale) == []


@pytest.mark.parametrize("locale", LOCALES)
def test_no_translation_has_lost_a_place(locale):
    assert translations.broken(locale) == []


@pytest.mark.parametrize("locale", LOCALES)
def test_names_of_parameters_stay(locale):
    """What scripts and the command line use is never translated: COUNT stays COUNT."""
    from subpixel.tools import all_tools
    names = {thing.name for tool in all_tools().values() for thing in [*tool.parameters(), *tool.outputs()]}
    words = [(text, set(translations.re.findall(r"\b[A-Z][A-Z0-9]{3,}\b", text)) & names, translated)
             for text, translated in translations.translations(locale).items()]
    assert not [(text, translated) for text, named, translated in words
                if len(text) > 20 and not all(name in translated for name in named)]


@pytest.mark.parametrize("locale", LOCALES)
def test_most_of_a_language_is_its_own(locale):
    """Sentences that are the same in both languages were not translated."""
    same = [text for text, translated in translations.translations(locale).items()
            if text == translated and len(translations.PLACE.sub("", text).split()) > 4]
    assert same == []


def test_what_is_missing_stale_or_broken_is_seen(tmp_path, monkeypatch):
    monkeypatch.setattr(translations, "I18N", tmp_path)
    text = "There is no tool {tool}. Choose one of: {tools}."
    (tmp_path / "de.json").write_text(f'{{"gone": "weg", "{text}": "Es gibt kein Werkzeug {{tool}}."}}',
                                      encoding="utf-8")
    assert translations.stale("de") == ["gone"] and translations.broken("de") == [text]
    assert text not in translations.missing("de") and "Random seed" in translations.missing("de")
    translations.take("de", {"Random seed": "Startwert"})
    assert translations.stale("de") == [] and "Random seed" not in translations.missing("de")
