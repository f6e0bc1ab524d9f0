"""ENVI spectral libraries: a file of numbers, one line per spectrum, and a header of text (`.hdr`) beside it."""

import csv
import re

import numpy as np

from . import spectra_table
from .bands import numbers, unique
from .sentences import UserError
from .spectra import Spectra, field_names
from .wavelengths import to_nanometres

TYPES = {1: "u1", 2: "i2", 3: "i4", 4: "f4", 5: "f8", 12: "u2", 13: "u4", 14: "i8", 15: "u8"}
DATA = (".sli", ".slb", ".esl", ".lib", ".img", ".dat", ".bsq", "")   # extensions of the data, the commonest first
IGNORE = -1.23e34   # how ENVI's own libraries mark a missing value


def recognises(path, start):
    """Whether a file is an ENVI library or its header, by extension or by the first bytes `start` of the file."""
    return start.lstrip()[:4] == b"ENVI" or path.suffix.lower() in (".sli", ".slb", ".esl", ".hdr") or (
        b"\0" in start and _beside(path, (".hdr",)) is not None)


def read(path, say=None):
    """
    The spectra of a library, given its data or its header.

    Values are divided by the header's `reflectance scale factor`; its `data ignore value` becomes NaN. The fields of a
    table of the same name (`.csv`) are attached as attributes where its names agree.

    Raises
    ------
    UserError
        Header or data missing, or not agreeing with each other.
    """
    header_path, data_path = _pair(path)
    header = parse_header(header_path)
    samples, lines = _integer(header, "samples", header_path), _integer(header, "lines", header_path)
    if _integer(header, "bands", header_path, 1) != 1:
        raise UserError("{path} describes an image of {bands} bands, not a spectral library. Open it as a raster, and "
                        "use the tool Extract spectra.", path=str(header_path), bands=header["bands"])
    values = _values(data_path, header, header_path, samples, lines)
    names = [name.strip() for name in header.get("spectra names", "").strip("{}").split(",")]
    if len(names) != lines:
        if say and header.get("spectra names"):
            say("The header names {names} spectra, but there are {count}: they are numbered instead.",
                names=len(names), count=lines)
        names = [f"spectrum {line}" for line in range(1, lines + 1)]
    x, wavelengths = _grid(header, samples, header_path)
    attributes = _attributes(data_path, names, say)
    return Spectra(unique(names), values.T, x, wavelengths, [data_path.name] * lines, None, attributes)


def parse_header(path):
    """
    A header's entries, by lower-case key; lists keep their braces and may span lines.

    Raises
    ------
    UserError
        The file does not start with the word ENVI.
    """
    text = path.read_bytes().decode("utf-8-sig", errors="replace")
    if not text.lstrip().startswith("ENVI"):
        raise UserError("{path} is no ENVI header: its first line is {line}, not ENVI. Choose the header of a spectral "
                        "library.", path=str(path), line=repr(text.strip().split("\n")[0][:40]))
    found = re.findall(r"^[ \t]*([^=;\n{}]+?)[ \t]*=[ \t]*(\{[^}]*\}|[^\n]*)", text, re.MULTILINE)
    return {" ".join(key.lower().split()): value.strip() for key, value in found}


def _beside(path, extensions):
    """The file beside `path` of the same stem, or of its whole name, and one of these extensions; or None."""
    try:
        there = {file.name.lower(): file for file in path.parent.iterdir() if file.is_file()}
    except OSError:
        there = {}
    for extension in extensions:
        for name in (path.with_suffix("").name + extension, path.name + extension):
            found = there.get(name.lower())
            if found is not None and found.name != path.name:
                return found
    return None


def _pair(path):
    """Header and data, whichever of them `path` is."""
    if path.suffix.lower() == ".hdr":
        data = _beside(path, DATA)
        if data is None:
            raise UserError("{path} has no .sli file of the same name beside it, which holds its spectra. Put both "
                            "into one folder.", path=str(path))
        return path, data
    header = _beside(path, (".hdr",))
    if header is None:
        raise UserError("{path} has no .hdr file of the same name beside it, which says how to read it. Put both into "
                        "one folder.", path=str(path))
    return header, path


def _integer(header, key, path, default=None):
    value = header.get(key, default)
    try:
        result = int(value)
    except (TypeError, ValueError):
        result = -1
    if result < 0 or result == 0 and key in ("samples", "lines"):
        raise UserError("{path} gives no usable number for {key}: {value}. Mend the header.", path=str(path), key=key,
                        value="nothing" if value is None else value)
    return result


def _real(header, key, path):
    if key not in header:
        return None
    try:
        return float(header[key])
    except ValueError:
        raise UserError("{path} gives no usable number for {key}: {value}. Mend the header.", path=str(path), key=key,
                        value=header[key]) from None


def _values(path, header, header_path, samples, lines):
    """The numbers of the library, `(lines, samples)` float64, scaled and with NaN where missing."""
    kind = _integer(header, "data type", header_path)
    if kind not in TYPES:
        raise UserError("{path} has the data type {kind}; a library of real numbers has one of {kinds}. Convert it.",
                        path=str(header_path), kind=kind, kinds=", ".join(map(str, TYPES)))
    if _integer(header, "file compression", header_path, 0):
        raise UserError("{path} is compressed (file compression = 1). Save the library uncompressed.", path=str(path))
    dtype = np.dtype((">" if _integer(header, "byte order", header_path, 0) else "<") + TYPES[kind])
    offset, need = _integer(header, "header offset", header_path, 0), samples * lines * dtype.itemsize
    size = path.stat().st_size
    if size < offset + need:
        raise UserError("{path} has {size} bytes, but its header asks for {need}: {lines} spectra of {samples} bands. "
                        "The file is not complete, or the header belongs to another.", path=str(path), size=size,
                        need=offset + need, lines=lines, samples=samples)
    if samples < 2:
        raise UserError("{path} holds spectra of one band. Choose a library with at least two.", path=str(path))
    raw = np.fromfile(path, dtype=dtype, count=samples * lines, offset=offset).reshape(lines, samples)
    values = raw.astype(np.float64)
    ignore = _real(header, "data ignore value", header_path)
    missing = np.abs(values) >= spectra_table.HUGE
    if ignore is not None:
        missing |= raw == ignore if dtype.kind != "f" else raw == dtype.type(ignore)
    values[missing] = np.nan
    scale = _real(header, "reflectance scale factor", header_path)
    return values / scale if scale else values


def _grid(header, samples, path):
    """Wavelengths in nanometres and True, or band numbers and False."""
    if "wavelength" not in header:
        return np.arange(1.0, samples + 1), False
    wavelengths = numbers(header["wavelength"])
    if len(wavelengths) != samples:
        raise UserError("{path} lists {listed} wavelengths for {samples} bands. Mend the header.", path=str(path),
                        listed=len(wavelengths), samples=samples)
    unit = header.get("wavelength units", "").lower()
    if unit in ("index", "band number"):
        return np.arange(1.0, samples + 1), False
    if min(wavelengths) <= 0:
        raise UserError("{path} lists the wavelength {value}; wavelengths are positive. Mend the header.",
                        path=str(path), value=min(wavelengths))
    return to_nanometres(wavelengths, unit), True


def _attributes(path, names, say):
    """The fields of each spectrum in the table of the same name, where there is one and its names agree."""
    table = _beside(path, (".csv",))
    if table is None:
        return [{} for _ in names]
    with open(table, encoding="utf-8-sig", errors="replace", newline="") as file:
        rows = [row for row in csv.reader(file) if any(row)]
    width = len(rows[0]) if rows else 0
    if [row[0].strip() for row in rows[1:]] != names or any(len(row) != width for row in rows):
        if say:
            say("{table} lies beside the library, but its first column is not the names of the spectra: its fields are "
                "not used.", table=table.name)
        return [{} for _ in names]
    fields = field_names(rows[0][1:])
    columns = [spectra_table.typed([row[column].strip() for row in rows[1:]]) for column in range(1, width)]
    return [{field: values[row] for field, values in zip(fields, columns)} for row in range(len(names))]


def write(path, spectra):
    """Write a library of Float64: data to `path`, the header beside it, and a table where spectra have attributes."""
    names = unique([_plain(name) for name in spectra.names])
    values = np.where(np.isfinite(spectra.M), spectra.M, IGNORE).T
    entries = {"description": "{Spectra written by Subpixel}", "samples": len(spectra.x), "lines": spectra.P,
               "bands": 1, "header offset": 0, "file type": "ENVI Spectral Library", "data type": 5,
               "interleave": "bsq", "byte order": 0}
    if not np.isfinite(spectra.M).all():
        entries["data ignore value"] = IGNORE
    if spectra.wavelengths:
        entries["wavelength units"] = "Nanometers"
        entries["wavelength"] = _listed(f"{value:.10g}" for value in spectra.x)
    entries["spectra names"] = _listed(names)
    np.ascontiguousarray(values, dtype="<f8").tofile(path)
    with open(path.with_suffix(".hdr"), "w", encoding="utf-8", newline="\n") as file:
        file.write("ENVI\n" + "".join(f"{key} = {value}\n" for key, value in entries.items()))
    columns = spectra_table.attribute_columns(spectra)
    if columns:
        with open(path.with_suffix(".csv"), "w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["spectra names", *columns])
            writer.writerows([name, *("" if column[row] is None else column[row] for column in columns.values())]
                             for row, name in enumerate(names))


def _plain(name):
    """A name that an ENVI list can hold: without commas, braces and line breaks."""
    return " ".join(name.replace(",", ";").replace("{", "(").replace("}", ")").split())


def _listed(words):
    return "{\n " + ",\n ".join(words) + "}"
