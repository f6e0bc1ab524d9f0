"""Colours: they go with the name, whatever its place, and no two names share one while there are others."""

import re

import pytest

from subpixel.engine.palette import COLOURS, MATERIALS, colours, rgb


def test_every_colour_is_a_hexadecimal_and_no_two_are_alike():
    all_of_them = [*COLOURS, *(colour for colour, _ in MATERIALS)]
    assert all(re.fullmatch("#[0-9a-f]{6}", colour) for colour in all_of_them)
    assert len(set(all_of_them)) == len(all_of_them)


def test_a_colour_goes_with_the_name_and_not_its_position():
    names = ["soil", "tree", "water", "endmember 4", "granite"]
    forwards, backwards = colours(names), colours(names[::-1])
    assert forwards == backwards[::-1]
    assert colours(["granite"]) == forwards[-1:]


@pytest.mark.parametrize("name, other", [
    ("Water", "lake"), ("deep_water", "water 2"), ("trees", "Tree"), ("Bare-Soil", "soil"), ("WATER (2)", "water")])
def test_the_same_material_has_the_same_colour_however_it_is_written(name, other):
    assert colours([name]) == colours([other])


@pytest.mark.parametrize("name", ["theatre", "iceland_", "seaweed", "shaded"])
def test_a_material_is_a_whole_word(name):
    assert colours([name])[0] in COLOURS


def test_numbers_count_through_the_palette():
    assert colours([f"endmember {number}" for number in range(1, len(COLOURS) + 1)]) == list(COLOURS)
    assert colours([f"endmember {len(COLOURS) + 2}"]) == [COLOURS[1]]


def test_two_names_never_share_a_colour_while_there_are_others():
    for names in (["tree", "forest", "vegetation", "canopy"], ["a", "a"], [f"x{n} y" for n in range(16)],
                  ["endmember 1", "spectrum 1", "s1", "endmember 2"], ["tree 1", "tree 2", "tree 3"]):
        assert len(set(colours(names))) == len(names)


def test_more_names_than_colours_still_get_one_each():
    assert len(colours([f"endmember {number}" for number in range(1, 41)])) == 40


def test_the_same_names_get_the_same_colours_in_another_process():
    """Python's own hash of a string differs from process to process."""
    assert colours(["granite", "basalt", ""]) == ["#843c39", "#1b4f9c", "#5254a3"]


def test_what_is_said_more_exactly_counts_and_relatives_get_shades_of_one_colour():
    low, tree, grass, corn = colours(["low vegetation", "tree", "grass", "corn"])
    assert low == colours(["lawn"])[0] and tree == colours(["forest"])[0]
    red, green, blue = rgb(grass)
    assert green > red and green > blue and grass != low
    assert corn not in (low, tree, grass)


def test_names_need_not_be_words():
    assert len(set(colours(["", "é", "木", 7]))) == 4


def test_rgb_of_a_colour():
    assert rgb("#0a80ff") == (10, 128, 255)


def test_sixty_endmembers_have_sixty_colours():
    found = colours([f"endmember {number}" for number in range(1, 61)])
    assert len(set(found)) == 60
