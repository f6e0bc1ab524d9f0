"""Declarations: order, defaults, ranges and help come from one place, and wrong values from a sentence."""

import pytest

from subpixel.engine.declare import (BandsInput, Choice, DatesInput, FeaturesInput, Flag, FolderOutput, Group, Integer,
                                     NumberOutput, RasterInput, RasterOutput, RastersInput, Real, SpectraInput, Style,
                                     Text, Tool, check, complaint, validate)
from subpixel.engine.sentences import UserError


class Base(Tool):
    """Shared."""

    image = RasterInput("INPUT", "Image", help="A scene.")
    tuning = Real("TUNING", "Tuning", help="Advanced.", default=0.5, minimum=0, maximum=1, advanced=True)
    endmembers = SpectraInput("ENDMEMBERS", "Endmembers", help="Spectra.", raster="INPUT", optional=True)
    abundances = RasterOutput("ABUNDANCES", "Abundances", help="Maps.", style=Style.FRACTIONS)


class Mixer(Base):
    """Mixes.

    A second paragraph
    over two lines.
    """

    id, label, group = "mixer", "Mixer", Group.SIMULATE
    count = Integer("COUNT", "Count", help="How many.", default=3, minimum=1, maximum=9, within_bands_of="INPUT")
    image = RasterInput("INPUT", "Image to mix", help="A scene.")
    kind = Choice("KIND", "Kind", help="Which.", default="a", options={"a": "First", "b": "Second"})
    flag = Flag("FLAG", "Flag", help="Whether.", default=True)
    note = Text("NOTE", "Note", help="Words.", optional=True)
    rmse = NumberOutput("RMSE", "RMSE", help="Error.")


IMAGE = {"INPUT": {"path": "scene.tif"}}


# what is declared

def test_parameters_come_inherited_first_and_advanced_last():
    assert [parameter.name for parameter in Mixer.parameters()] == [
        "ENDMEMBERS", "COUNT", "INPUT", "KIND", "FLAG", "NOTE", "TUNING"]
    assert [output.name for output in Mixer.outputs()] == ["ABUNDANCES", "RMSE"]


def test_a_parameter_declared_again_replaces_the_inherited_one():
    labels = [parameter.label for parameter in Mixer.parameters() if parameter.name == "INPUT"]
    assert labels == ["Image to mix"]
    assert [parameter.label for parameter in Base.parameters() if parameter.name == "INPUT"] == ["Image"]


def test_help_is_the_docstring_in_paragraphs():
    assert Mixer.help() == ["Mixes.", "A second paragraph over two lines."]


def test_a_tool_that_does_nothing_says_so():
    with pytest.raises(NotImplementedError, match="Mixer"):
        Mixer().run(None)


def test_a_declaration_cannot_be_changed():
    with pytest.raises(AttributeError):
        Mixer.count.default = 4


def test_an_output_is_ordinary_unless_told_otherwise():
    assert not any(output.advanced for output in Mixer.outputs())
    spectra = FolderOutput("PIXELENDMEMBERS", "Endmembers in every pixel", help="Rasters.", style=Style.SPECTRAL,
                           advanced=True)
    assert (spectra.optional, spectra.create, spectra.advanced) == (True, True, True)


# values

def test_what_is_not_given_gets_its_default():
    assert validate(Mixer(), IMAGE) == {"INPUT": {"path": "scene.tif"}, "ENDMEMBERS": None, "COUNT": 3, "KIND": "a",
                                        "FLAG": True, "NOTE": None, "TUNING": 0.5}
    assert validate(Mixer(), {**IMAGE, "COUNT": None})["COUNT"] == 3


def test_what_is_given_is_kept_even_where_it_is_false():
    values = validate(Mixer(), {**IMAGE, "FLAG": False, "NOTE": "", "TUNING": 0, "KIND": "b"})
    assert (values["FLAG"], values["NOTE"], values["TUNING"], values["KIND"]) == (False, "", 0, "b")


def test_what_is_not_declared_is_left_out():
    assert "OTHER" not in validate(Mixer(), {**IMAGE, "OTHER": 1})


def test_a_missing_value_is_named():
    with pytest.raises(UserError, match=r"^Image to mix \(INPUT\) is missing\. Give it a value\.$"):
        validate(Mixer(), {})


@pytest.mark.parametrize("name, value, sentence", [
    ("COUNT", 0, "Count is 0; it must be at least 1."), ("COUNT", 10, "Count is 10; it must be at most 9."),
    ("COUNT", 2.5, "Count is 2.5; it must be a whole number."), ("COUNT", "3", "Count is 3; it must be a number."),
    ("COUNT", float("nan"), "Count is nan; it must be a number."),
    ("TUNING", -0.1, "Tuning is -0.1; it must be at least 0."), ("TUNING", 1.5, "Tuning is 1.5; it must be at most 1."),
    ("TUNING", float("nan"), "Tuning is nan; it must be a number."),
    ("TUNING", float("inf"), "Tuning is inf; it must be a number."),
    ("KIND", [], "Kind is []; it must be one of: a, b."),
    ("KIND", "c", "Kind is c; it must be one of: a, b."), ("FLAG", "no", "Flag is no; it must be true or false.")])
def test_a_value_out_of_its_range_is_a_sentence(name, value, sentence):
    with pytest.raises(UserError) as error:
        validate(Mixer(), {**IMAGE, name: value})
    assert str(error.value) == sentence


@pytest.mark.parametrize("value", [2 ** 31, 2 ** 63, 10 ** 400], ids=["32 bits", "64 bits", "no float"])
def test_whole_numbers_are_those_that_qgis_hands_on(value):
    seed = Integer("SEED", "Seed", help="A number.", default=0, minimum=0)
    check(seed, 2 ** 31 - 1)
    with pytest.raises(UserError, match="Seed is .*; it must be at most 2147483647"):
        check(seed, value)


@pytest.mark.parametrize("parameter, wrong, right", [
    (RasterInput, ["x.tif", 5, {}, {"path": None}], {"path": "x.tif"}),
    (RastersInput, ["x.tif", {"path": "x.tif"}, ["x.tif"]], [{"path": "x.tif"}, {"path": "y.tif"}]),
    (SpectraInput, ["x.gpkg", [], {"features": None}], {"features": []}),
    (FeaturesInput, ["x.gpkg", [], {}], {"features": []}),
    (BandsInput, ["1;2", 1, [1.5], ["1"]], [1, 2]), (Text, [5, ["a"], {}], "a"),
    (DatesInput, [["2020-05-01"], 2020], "2020-05-01")])
def test_a_value_of_another_kind_is_a_sentence(parameter, wrong, right):
    declared = type("Other", (Tool,), {"thing": parameter("THING", "Thing", help="Something.")})()
    assert validate(declared, {"THING": right})["THING"] == right
    for value in wrong:
        with pytest.raises(UserError, match=r"Thing \(THING\) is .*, which a job cannot hold for it"):
            validate(declared, {"THING": value})


@pytest.mark.parametrize("name, value", [("COUNT", 1), ("COUNT", 9), ("COUNT", 4.0), ("TUNING", 0), ("TUNING", 1)])
def test_the_ends_of_a_range_belong_to_it(name, value):
    assert validate(Mixer(), {**IMAGE, name: value})[name] == value


# what can be seen before the run

@pytest.mark.parametrize("values, facts, sentence", [
    ({}, {"INPUT": {"bands": 1}}, "Image to mix has one band"),
    ({}, {"INPUT": {"bands": 5}, "ENDMEMBERS": {"spectra": 0}}, "Endmembers has no features"),
    ({}, {"INPUT": {"bands": 5}, "ENDMEMBERS": {"spectra": 6}}, "There are 6 endmembers but only 5 bands"),
    ({"COUNT": 6}, {"INPUT": {"bands": 5}}, "Count is 6, but the raster has only 5 bands. Choose a number up to 5.")])
def test_what_cannot_work_is_said_before_the_run(values, facts, sentence):
    assert sentence in str(complaint(Mixer(), values, facts))


@pytest.mark.parametrize("values, facts", [
    ({}, {}), ({"COUNT": 5}, {"INPUT": {"bands": 5}, "ENDMEMBERS": {"spectra": 5}}), ({"COUNT": 50}, {}),
    ({"COUNT": None}, {"INPUT": {"bands": 2}}), ({}, {"ENDMEMBERS": {"spectra": 500}})])
def test_what_may_work_is_not_complained_about(values, facts):
    assert complaint(Mixer(), values, facts) is None


def test_a_bundle_may_hold_more_spectra_than_there_are_bands():
    class Many(Tool):
        """Unmixes."""

        image = RasterInput("INPUT", "Image", help="A scene.")
        library = SpectraInput("ENDMEMBERS", "Library", help="Spectra.", raster="INPUT", bundle=True)

    assert complaint(Many(), {}, {"INPUT": {"bands": 5}, "ENDMEMBERS": {"spectra": 6}}) is None


@pytest.mark.parametrize("words, sentence", [
    ("2020-05-01, 2020-05-01", "2020-05-01 comes after 2020-05-01"),
    ("2020-05-01, 2020-04-30", "2020-04-30 comes after 2020-05-01"), ("2020-05-01", "There are 1 dates for 2 images"),
    ("2020-05-01, 2020-05-02", "None")])
def test_dates_rise_from_image_to_image(words, sentence):
    class Course(Tool):
        """Follows."""

        images = RastersInput("IMAGES", "Images", help="Scenes.")
        dates = DatesInput("DATES", "Dates", help="Theirs.", optional=True)

    assert sentence in str(complaint(Course(), {"DATES": words}, {"IMAGES": {"images": [("a", 5), ("b", 5)]}}))


def test_a_raster_that_is_no_scene_may_have_one_band():
    class Map(Tool):
        """Draws."""

        image = RasterInput("ABUNDANCES", "Abundances", help="Maps.", spectral=False)

    assert complaint(Map(), {}, {"ABUNDANCES": {"bands": 1}}) is None


@pytest.mark.parametrize("declared", [BandsInput, FeaturesInput])
def test_what_belongs_to_a_raster_belongs_to_input_unless_told_otherwise(declared):
    assert declared("X", "X", help="X.").raster == "INPUT"
    assert declared("X", "X", help="X.", raster="MSI").raster == "MSI"


def test_a_declaration_that_leaves_out_what_it_has_to_say_is_refused():
    for kind, given in ((Choice, {}), (RasterOutput, {"help": "Maps."})):
        with pytest.raises(TypeError):
            kind("NAME", "Label", **given)
    with pytest.raises(TypeError, match="KIND does not say: options"):
        Choice("KIND", "Kind", help="Which.")
