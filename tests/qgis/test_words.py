"""QGIS's language: which file stands for a locale, and what is said in it."""

import pytest
from qgis.core import QgsApplication, QgsProcessingContext

from subpixel.processing_provider import words


@pytest.fixture
def german(qgis, monkeypatch):
    """Texts in German, and tools made anew in it."""
    monkeypatch.setattr(words, "translations", lambda: words.json.loads(words.catalogue_for("de").read_text("utf-8")))
    yield
    monkeypatch.undo()


@pytest.mark.parametrize("locale, file", [
    ("de", "de"), ("de_AT", "de"), ("pt_BR", "pt_BR"), ("pt_PT", "pt_BR"), ("zh-Hans", "zh_Hans"), ("zh_CN", "zh_Hans"),
    ("zh", "zh_Hans"), ("zh-Hant", None), ("zh_TW", None), ("en_US", None), ("C", None), ("", None), ("deu", None)])
def test_a_locale_has_the_file_of_its_language(locale, file):
    found = words.catalogue_for(locale)
    assert (found and found.stem) == file


def test_a_tool_speaks_qgis_s_language_and_keeps_its_names(german):
    tool = QgsApplication.processingRegistry().createAlgorithmById("subpixel:fcls")
    assert (tool.name(), tool.groupId()) == ("fcls", "abundances")
    assert tool.group().startswith("04 ") and tool.group() != "04 How much of each"
    assert tool.shortDescription() != type(tool._tool).help()[0]
    image = tool.parameterDefinition("INPUT")
    assert image.description() == words.tr("Hyperspectral image") != "Hyperspectral image"
    assert words.tr("abundances") != "abundances" and {"abundances", words.tr("abundances")} <= set(tool.tags())


def test_a_sentence_of_the_engine_is_said_in_qgis_s_language(german):
    said = words.spoken("{label} is {value}; it must be at least {minimum}.",
                        {"label": "Number of endmembers", "value": 0, "minimum": 2})
    assert words.tr("Number of endmembers") in said and "must be" not in said
    assert words.spoken("{name}", {"name": "abundances"}) == "abundances"   # what the user called so
    assert words.spoken("{name}", {"name": "a\0b"}) == "a␀b"


@pytest.mark.parametrize("template, place, text", [
    ("{date}: {image} (date from {source})", "source", "its metadata"),
    ("Bad, {reason}: {bands}.", "reason", "low signal-to-noise ratio")])
def test_words_that_fill_a_place_are_said_in_qgis_s_language(german, template, place, text):
    said = words.spoken(template, {"date": "2020-05-01", "image": "a.tif", "bands": "1-3", place: text})
    assert words.tr(text) in said and text not in said


def test_a_check_before_the_run_names_the_parameter_in_qgis_s_language(german, examples):
    tool = QgsApplication.processingRegistry().createAlgorithmById("subpixel:vca")
    passed, reason = tool.checkParameterValues({"INPUT": examples["scene"], "COUNT": 0}, QgsProcessingContext())
    assert not passed and words.tr("Number of endmembers") in reason


def test_a_model_speaks_qgis_s_language(german):
    from subpixel.processing_provider.models import load_models
    model = next(model for model in load_models() if model.name() == "unmixscene")
    assert model.displayName() == words.tr("Unmix a scene: how many, which, how much") != (
        "Unmix a scene: how many, which, how much")
    assert "HySime estimates the number" not in model.shortHelpString()


def test_a_text_without_translation_stays_as_it_is(german):
    assert words.tr("no such text") == "no such text"
