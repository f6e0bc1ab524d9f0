"""Colours that go with an endmember's name, so that the same material looks the same on every map and plot."""

import colorsys
import hashlib
import re

CHOSEN = ("#e6550d", "#1f6fd6", "#f2c80f", "#d6278c", "#31a354", "#756bb1", "#17becf", "#8c6d31",
          "#9edae5", "#1b4f9c", "#b5cf6b", "#843c39", "#ff9896", "#5254a3", "#00876c", "#7f7f7f")


def _further(number):
    """A colour beyond the chosen ones: hues a golden angle apart, dark and light in turn."""
    red, green, blue = colorsys.hls_to_rgb(number * 0.618034 % 1, (0.38, 0.72)[number % 2], 0.75)
    return f"#{round(255 * red):02x}{round(255 * green):02x}{round(255 * blue):02x}"


COLOURS = CHOSEN + tuple(_further(number) for number in range(48))

# the first that fits counts: what is said more exactly stands before
MATERIALS = (
    ("#d9d9d9", "mixed|none"),
    ("#d9c36a", "npv|straw|litter|hay|dry grass|dry vegetation"),
    ("#8cc63f", "grass|lawn|pasture|meadow|low vegetation|gras|wiese"),
    ("#c9a227", "corn|maize|wheat|soybean|crop|cereal|mais|weizen"),
    ("#1a7a2e", "tree|forest|vegetation|canopy|conifer|shrub|wood|baum|wald"),
    ("#2b7bba", "water|lake|river|sea|wasser|see"),
    ("#a9713b", "soil|dirt|bare|sand|ground|boden"),
    ("#6b6b6b", "road|asphalt|pavement|impervious|concrete|strasse"),
    ("#c8352b", "roof|tile|building|metal|dach"),
    ("#b7e3f4", "snow|ice|cloud|schnee"),
    ("#262626", "shade|shadow|dark"),
)


def colours(names):
    """
    A colour (`#rrggbb`) for each name.

    A known material has its own (water is blue), a number at the end of the name counts through the palette, and any
    other name falls on one by its letters. Of several names of one material the later get other shades of its colour;
    otherwise, where two would get the same, the later takes the next free of the palette.
    """
    taken, chosen = set(), []
    for name in names:
        wanted = preferred(str(name))
        if wanted in taken:
            others = _shades(wanted) if wanted not in COLOURS else \
                COLOURS[COLOURS.index(wanted):] + COLOURS[:COLOURS.index(wanted)]
            wanted = next((colour for colour in others if colour not in taken), wanted)
        taken.add(wanted)
        chosen.append(wanted)
    return chosen


def preferred(name):
    """The colour of a name by itself."""
    for colour, words in MATERIALS:
        if re.search(_whole(words), name.lower()):
            return colour
    number = re.search(r"([0-9]+)\s*$", name)
    if number:
        return COLOURS[(int(number.group(1)) - 1) % len(COLOURS)]
    return CHOSEN[int(hashlib.md5(name.encode(), usedforsecurity=False).hexdigest()[0], 16)]


def expression(field="name"):
    """`preferred` as a QGIS expression on a field, so that a renamed endmember changes its colour at once."""
    cases = "".join(f" WHEN regexp_match(lower(\"{field}\"), '{_whole(words)}') THEN '{colour}'"
                    for colour, words in MATERIALS)
    listed = ", ".join(f"'{colour}'" for colour in COLOURS)
    number = f"regexp_substr(\"{field}\", '([0-9]+)\\\\s*$')"
    return (f"CASE{cases} WHEN {number} <> '' THEN array_get(array({listed}), (to_int({number}) - 1) % {len(COLOURS)}) "
            f"ELSE array_get(array({listed}), strpos('0123456789abcdef', left(hash(\"{field}\", 'md5'), 1)) - 1) END")


def _whole(words):
    """A pattern for whole words, singular or plural, in any writing that is not part of a longer word."""
    return rf"(^|[^a-z])({words})s?($|[^a-z])"


def _shades(colour):
    """Lighter and darker relatives of a colour."""
    hue, light, saturation = colorsys.rgb_to_hls(*(value / 255 for value in rgb(colour)))
    shades = []
    for step in range(1, 9):
        for direction in (1, -1):
            value = min(0.9, max(0.12, light + direction * 0.13 * step))
            red, green, blue = colorsys.hls_to_rgb((hue + 0.012 * step * direction) % 1, value, saturation)
            shades.append(f"#{round(255 * red):02x}{round(255 * green):02x}{round(255 * blue):02x}")
    return shades


def rgb(colour):
    """`#rrggbb` as three numbers from 0 to 255."""
    return tuple(int(colour[start:start + 2], 16) for start in (1, 3, 5))
