"""Colours that go with an endmember's name, so that the same material looks the same on every map and plot."""

import colorsys
import re
import zlib

CHOSEN = ("#e6550d", "#1f6fd6", "#f2c80f", "#d6278c", "#31a354", "#756bb1", "#17becf", "#8c6d31",
          "#9edae5", "#1b4f9c", "#b5cf6b", "#843c39", "#ff9896", "#5254a3", "#00876c", "#7f7f7f")


def _further(number):
    """A colour beyond the chosen ones: hues a golden angle apart, dark and light in turn."""
    red, green, blue = colorsys.hls_to_rgb(number * 0.618034 % 1, (0.38, 0.72)[number % 2], 0.75)
    return f"#{round(255 * red):02x}{round(255 * green):02x}{round(255 * blue):02x}"


COLOURS = CHOSEN + tuple(_further(number) for number in range(48))

MATERIALS = (
    ("#2b7bba", ("water", "lake", "river", "sea", "wasser")),
    ("#1a7a2e", ("tree", "forest", "vegetation", "canopy", "conifer", "baum")),
    ("#8cc63f", ("grass", "lawn", "crop", "corn", "wheat", "soybean", "pasture", "gras")),
    ("#a9713b", ("soil", "dirt", "bare", "sand", "ground", "boden")),
    ("#6b6b6b", ("road", "asphalt", "pavement", "impervious", "concrete", "strasse")),
    ("#c8352b", ("roof", "tile", "building", "metal", "dach")),
    ("#d9c36a", ("npv", "straw", "dry", "litter", "hay")),
    ("#b7e3f4", ("snow", "ice", "cloud", "schnee")),
    ("#262626", ("shade", "shadow", "dark")),
    ("#d9d9d9", ("mixed",)),
)


def colours(names):
    """
    A colour (`#rrggbb`) for each name.

    A known material has its own (water is blue), a number at the end of the name counts through the palette, and any
    other name falls on one by its letters. Where two names would get the same colour, the later takes the next free.
    """
    taken, chosen = set(), []
    for name in names:
        wanted = _preferred(str(name))
        if wanted in taken:
            start = COLOURS.index(wanted) if wanted in COLOURS else zlib.crc32(str(name).encode()) % len(COLOURS)
            free = [colour for colour in COLOURS[start:] + COLOURS[:start] if colour not in taken]
            wanted = free[0] if free else wanted
        taken.add(wanted)
        chosen.append(wanted)
    return chosen


def _preferred(name):
    words = set(re.findall(r"[^\W\d_]+", name.lower()))
    for colour, materials in MATERIALS:
        if words & {form for material in materials for form in (material, material + "s")}:
            return colour
    number = re.search(r"(\d+)\s*$", name)
    if number:
        return COLOURS[(int(number.group(1)) - 1) % len(COLOURS)]
    return CHOSEN[zlib.crc32(name.encode()) % len(CHOSEN)]


def rgb(colour):
    """`#rrggbb` as three numbers from 0 to 255."""
    return tuple(int(colour[start:start + 2], 16) for start in (1, 3, 5))
