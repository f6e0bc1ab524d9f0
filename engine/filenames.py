"""File names made from what users call things, which every system can hold."""

import re
import unicodedata

LONGEST = 120  # bytes of a name without its extension: file systems end at 255, and `.aux.xml` stands behind some
RESERVED = {"CON", "PRN", "AUX", "NUL", *(f"{port}{number}" for port in ("COM", "LPT") for number in "123456789¹²³")}


def distinct(name, taken, extension):
    """A safe file name for `name` that is none of `taken`, whatever their case: where it would be, it is numbered."""
    taken = {_compared(other) for other in taken}
    stem, number = safe(name), 1
    file = stem + extension
    while _compared(file) in taken:
        number += 1
        file = f"{stem} {number}{extension}"
    return file


def safe(name):
    """`name` as a file name without extension: letters of any alphabet stay, what Windows forbids does not."""
    name = unicodedata.normalize("NFC", str(name))
    name = re.sub(r'[/\\:*?"<>|\x00-\x1f\x7f]', "_", name)
    name = name.encode(errors="ignore")[:LONGEST].decode(errors="ignore").strip(" .") or "_"
    return f"_{name}" if name.split(".")[0].strip().upper() in RESERVED else name


def _compared(file):
    """What two names share that a file system may take for one."""
    return unicodedata.normalize("NFC", file.casefold())
