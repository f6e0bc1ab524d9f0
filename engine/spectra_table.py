"""
Spectra in tables of text: CSV and EcoSIS.

Spectra stand in rows under a header of wavelengths, or in columns beside a column of wavelengths; whatever else is in
the table describes them. Band numbers, or nothing, may stand in the place of wavelengths.
"""

import csv
import io
import re
from dataclasses import dataclass

import numpy as np

from .bands import NANOMETRES, WAVENUMBERS, unique
from .sentences import UserError
from .spectra import Spectra, field_names
from .wavelengths import to_nanometres

MISSING = {"", "na", "n/a", "#n/a", "nan", "null", "none", "-", "--"}
HUGE = 1e30   # beyond: the marks for a missing value, such as USGS's -1.23e34
NAMES = ("name", "names", "spectra names", "spectrum name", "spectrum", "spectra", "sample name")

_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
_DECIMAL_COMMA = re.compile(r"[-+]?\d*,\d+([eE][-+]?\d+)?")
_AXIS_CELL = re.compile(r"(?P<word>x|wl|wave|wavelength|lambda|nm|um|b|band|channel|ch)?[ _.:-]*"
                        r"(?P<number>(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?)[ _]*(?P<unit>[a-zµμ]+)?", re.IGNORECASE)
_AXIS_TITLE = re.compile(r"wave|lambda|\bwl\b|\bband|channel|\bindex\b|nanomet|micromet|micron|^\W*([nuµμ]m|x)?\W*$",
                         re.IGNORECASE)
_BAND_TITLE = re.compile(r"\bband|channel|\bindex\b", re.IGNORECASE)
_BAND_WORDS = {"b", "band", "channel", "ch"}


@dataclass(frozen=True)
class Table:
    """A table of text turned so that spectra are its rows."""

    path: str
    cells: list       # of rows, each a list of str
    lines: list       # the line in the file of each row, or of each column where `turned`
    turned: bool

    def where(self, row, column):
        """Line and column in the file of a cell."""
        return (self.lines[column], row + 1) if self.turned else (self.lines[row], column + 1)


@dataclass(frozen=True)
class Axis:
    """Which cells of a row or column are wavelengths or band numbers."""

    positions: list
    values: np.ndarray
    unit: str = None
    bands: bool = False

    @property
    def counting(self):
        """Whether they only count: 1, 2, 3, or from 0."""
        return self.values[0] in (0, 1) and bool(np.all(np.diff(self.values) == 1))

    @property
    def ordered(self):
        """Whether they run one way; a long axis may step back where two spectrometers overlap."""
        share = np.mean(np.diff(self.values) > 0)
        return share >= 0.9 or share == 0

    @property
    def strict(self):
        """Whether they run one way throughout."""
        steps = np.diff(self.values)
        return bool(np.all(steps > 0) or np.all(steps < 0))


def read(path):
    """
    The spectra in a table of text.

    Comma, semicolon, tab or blanks part the cells; commas may be decimal where they do not. The first column of text,
    or one called `name`, gives the names; other columns become attributes, and names that repeat are kept as one,
    since they are classes then.

    Raises
    ------
    UserError
        No text, no spectra, rows of unequal length, or text where a number belongs.
    """
    cells, lines = _parse(_text(path), str(path))
    in_rows, in_columns = _header_axis(cells[0]), _column_axis([row[0] for row in cells])
    if _in_columns(cells, in_rows, in_columns):
        return _spectra(Table(str(path), [list(column) for column in zip(*cells)], lines, True), in_columns)
    return _spectra(Table(str(path), cells, lines, False), in_rows)


# from the file to cells

def _text(path):
    """The file as text, whatever its encoding: UTF-16 or UTF-8 with its mark, UTF-8, else Western European."""
    raw = path.read_bytes()
    encoding = "utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    if encoding != "utf-16" and b"\0" in raw[:65536]:
        raise UserError("{path} is no table of text. Choose a CSV or EcoSIS text file, or an ENVI spectral library "
                        "with its .hdr file beside it.", path=str(path))
    try:
        return raw.decode(encoding)
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _parse(text, path):
    """Rows of cells, all equally long, with the line that each stands on. Blank lines and comments (#) are left out."""
    rows, lines, comment = [], [], None
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text), skipinitialspace=True)
    if reader.dialect.delimiter == " ":
        reader = _Blanks(text)
    try:
        for row in reader:
            row = [cell.strip() for cell in row]
            if row and row[0].startswith("#") and not rows:
                comment = [row[0].lstrip("# "), *row[1:]], reader.line_num
            elif any(row):
                rows.append(row)
                lines.append(reader.line_num)
    except csv.Error as error:
        raise UserError("{path} cannot be read as a table: {reason} in line {line}. Mend that line.", path=path,
                        reason=str(error), line=reader.line_num) from error
    if comment and rows and len(comment[0]) == len(rows[0]):
        rows.insert(0, comment[0])
        lines.insert(0, comment[1])
    if not rows:
        raise UserError("{path} is empty. Choose a file that holds spectra.", path=path)
    width = max(max((number for number, cell in enumerate(row, 1) if cell), default=0) for row in rows)
    longest = max(len(row) for row in rows)
    for row, line in zip(rows, lines):
        if len(row) < min(width, longest):
            first = max(rows, key=len)
            raise UserError("Line {line} of {path} has {cells} cells and line {other} has {others}. Every line needs "
                            "as many: leave the cell of a missing value empty.", line=line, path=path, cells=len(row),
                            other=lines[rows.index(first)], others=len(first))
    return _decimal_points([row[:width] for row in rows], reader), lines


class _Blanks:
    """Lines parted at blanks, as csv.reader gives those parted at commas."""

    dialect = type("dialect", (), {"delimiter": " "})

    def __init__(self, text):
        self._lines, self.line_num = text.splitlines(), 0

    def __iter__(self):
        for line in self._lines:
            self.line_num += 1
            yield line.split()


def _delimiter(text):
    """What parts the cells: the first of ; tab , that every line has equally often, else the commonest, else blanks."""
    sample = "\n".join([line for line in text.splitlines() if line.strip() and not line.startswith("#")][:50])
    counts = {}
    for delimiter in ";\t,":
        lengths = [len(row) for row in csv.reader(io.StringIO(sample), delimiter=delimiter) if row]
        counts[delimiter] = max(lengths, default=1)
        if lengths and lengths[0] > 1 and len(set(lengths)) == 1:
            return delimiter
    best = max(counts, key=counts.get)
    return best if counts[best] > 1 else " "


def _decimal_points(cells, reader):
    """Cells with decimal commas, where commas do not part cells, with decimal points."""
    if reader.dialect.delimiter == ",":
        return cells
    return [[cell.replace(",", ".") if _DECIMAL_COMMA.fullmatch(cell) else cell for cell in row] for row in cells]


def number(cell):
    """A cell's number, NaN where it says that the value is missing, None where it is text."""
    if _NUMBER.fullmatch(cell):
        value = float(cell)
        return value if abs(value) < HUGE else np.nan
    return np.nan if cell.lower() in MISSING else None


# which way the spectra run

def _header_axis(header):
    """The wavelengths or band numbers among a header's cells, plain or as in `X350`, `400 nm` and `band 3`; or None."""
    positions, values, units, words = [], [], set(), set()
    for position, cell in enumerate(header):
        found = _AXIS_CELL.fullmatch(cell)
        unit = (found["unit"] or "").lower() if found else ""
        if found and (not unit or unit in NANOMETRES) and float(found["number"]) < HUGE:
            positions.append(position)
            values.append(float(found["number"]))
            units.add(unit or ((found["word"] or "").lower() if found["word"] in ("nm", "um") else ""))
            words.add((found["word"] or "").lower())
    if len(values) < 2:
        return None
    axis = Axis(positions, np.array(values), next(iter(units - {""}), None))
    if axis.counting and words == {"x"} or not axis.ordered and axis.values.max() < 100:
        return None   # names that R gives to columns without one; a first spectrum without a header
    return Axis(axis.positions, axis.values, axis.unit, bool(words & _BAND_WORDS) or axis.counting)


def _column_axis(cells):
    """The wavelengths or band numbers in the first column, or None where it holds something else."""
    numbers = [(position, float(cell)) for position, cell in enumerate(cells) if _NUMBER.fullmatch(cell)]
    titles = [cell for cell in cells if not _NUMBER.fullmatch(cell)]
    if len(numbers) < 2 or numbers[-1][0] != len(cells) - 1 or len(titles) != numbers[0][0]:
        return None
    positions, values = zip(*numbers)
    named = not titles or any(_AXIS_TITLE.search(title) for title in titles)
    axis = Axis(list(positions), np.array(values), _unit(titles),
                any(_BAND_TITLE.search(title) and not re.search("wave", title, re.IGNORECASE) for title in titles))
    if not (axis.ordered if named else axis.strict and axis.values.max() >= 100):
        return None
    return Axis(axis.positions, axis.values, axis.unit, axis.bands or axis.counting)


def _unit(titles):
    """The unit of length or wavenumber that a title names, such as `Wavelength (um)`; or None."""
    for title in titles:
        for word in re.split(r"[\s_()\[\],;:]+", title.lower()):
            if len(word) > 1 and (word in NANOMETRES or word in WAVENUMBERS):
                return word
    return None


def _in_columns(cells, in_rows, in_columns):
    """Whether spectra stand in columns, given what may be an axis in the header and in the first column."""
    if in_rows and in_columns:
        if in_rows.positions[0] == 0:   # no text at all: the longer axis is one
            return len(in_columns.values) >= len(in_rows.values)
        title = cells[0][0]
        if title and _AXIS_TITLE.search(title):
            return True
        return in_rows.counting and not in_columns.counting
    if in_columns:
        return True
    if in_rows:
        return in_rows.positions[0] == 0 and not in_rows.bands and not in_rows.ordered
    return all(number(row[0]) is not None for row in cells[1:])


# from cells to spectra

def _spectra(table, axis):
    """The spectra of a table whose rows they are, under `axis` where it has one."""
    columns = axis.positions if axis else _value_columns(table)
    header = axis is not None or not table.turned and all(number(table.cells[0][column]) is None for column in columns)
    rows = range(1 if header else 0, len(table.cells))
    if not rows or len(columns) < 2:
        raise UserError("{path} holds no spectra of two or more bands. A table needs wavelengths in its first line and "
                        "a spectrum in each further line, or wavelengths in its first column and a spectrum in each "
                        "further column.", path=table.path)
    values = np.array([[_value(table, row, column) for column in columns] for row in rows])
    described = sorted(set(range(len(table.cells[0]))) - set(columns))
    titles = [table.cells[0][column] if header else "" for column in described]
    texts = [[table.cells[row][column] for row in rows] for column in described]
    names, sources, attributes = _descriptions(titles, texts, len(rows))
    x, wavelengths = _grid(axis, len(columns), table)
    return Spectra(names, values.T, x, wavelengths, sources or [_file_name(table.path)] * len(rows), None, attributes)


def _value_columns(table):
    """The columns of values in a table without wavelengths: those after its columns of names."""
    width = len(table.cells[0])
    if table.turned:
        return list(range(int(any(number(row[0]) is None for row in table.cells)), width))
    texts = [column for column in range(width) if all(number(row[column]) is None for row in table.cells[1:])]
    return list(range(1 + max(texts, default=-1), width))


def _value(table, row, column):
    value = number(table.cells[row][column])
    if value is None:
        line, place = table.where(row, column)
        raise UserError("{path} has {value} in line {line}, column {column}, where a number belongs. Mend it, or leave "
                        "the cell empty if the value is missing.", path=table.path, line=line, column=place,
                        value=repr(table.cells[row][column]))
    return value


def _grid(axis, count, table):
    """Wavelengths in nanometres and True, or band numbers from 1 and False."""
    if axis is None or axis.counting:
        return np.arange(1.0, count + 1), False
    if axis.bands:
        return axis.values, False
    wrong = np.flatnonzero(axis.values <= 0)
    if wrong.size:
        line, column = table.where(0, axis.positions[wrong[0]])
        raise UserError("{path} has the wavelength {value} in line {line}, column {column}; wavelengths are positive. "
                        "Mend it.", path=table.path, value=float(axis.values[wrong[0]]), line=line, column=column)
    return to_nanometres(axis.values, axis.unit), True


def _descriptions(titles, texts, count):
    """Names, sources or None, and attributes, from the columns that describe the spectra."""
    lower = [title.lower() for title in titles]
    named = next((lower.index(name) for name in NAMES if name in lower), None)
    if named is None:
        named = next((column for column, cells in enumerate(texts)
                      if any(cell and number(cell) is None for cell in cells)), 0 if titles else None)
    names = [f"spectrum {row}" for row in range(1, count + 1)] if named is None else [
        cell or f"spectrum {row}" for row, cell in enumerate(texts[named], 1)]
    source = lower.index("source") if "source" in lower else None
    repeated = len(set(names)) < len(names)
    others = [column for column in range(len(titles)) if column != source and (column != named or repeated)]
    fields = field_names([titles[column] for column in others])
    columns = {field: typed(texts[column]) for field, column in zip(fields, others)}
    attributes = [{field: values[row] for field, values in columns.items()} for row in range(count)]
    return unique(names), None if source is None else texts[source], attributes


def typed(cells):
    """Cells of one column as whole numbers, numbers or texts, whichever fits all; None where empty."""
    filled = [cell for cell in cells if cell]
    kind = str
    if filled and all(re.fullmatch(r"-?(0|[1-9]\d{0,17})", cell) for cell in filled):
        kind = int
    elif filled and all(_NUMBER.fullmatch(cell) for cell in filled):
        kind = float
    return [kind(cell) if cell else None for cell in cells]


def _file_name(path):
    return path.replace("\\", "/").rsplit("/", 1)[-1]


# writing

def write(path, spectra, ecosis=False):
    """
    Write spectra in rows: name, source, position and attributes, then a column per wavelength (nm) or band.

    EcoSIS takes the same layout, but demands wavelengths and has no use for map positions.

    Raises
    ------
    UserError
        For EcoSIS: no wavelengths.
    """
    if ecosis and not spectra.wavelengths:
        raise UserError("The spectra have no wavelengths, which EcoSIS demands. Export them as CSV, or take spectra "
                        "from a raster with wavelengths.")
    described = {"name": spectra.names}
    if spectra.sources and any(spectra.sources):
        described["source"] = spectra.sources
    if not ecosis and spectra.points and any(spectra.points):
        for axis, title in enumerate("xy"):
            described[title] = [point[axis] if point else None for point in spectra.points]
    described.update(attribute_columns(spectra, taken=described))
    axis = [f"{value:.10g}" if spectra.wavelengths else f"band {value:.0f}" for value in spectra.x]
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*described, *axis])
        for row in range(spectra.P):
            values = [repr(float(value)) if np.isfinite(value) else "" for value in spectra.M[:, row]]
            writer.writerow(["" if column[row] is None else column[row] for column in described.values()] + values)


def attribute_columns(spectra, taken=()):
    """Attributes as columns: a list per field that any spectrum has, whose title would not read as a wavelength."""
    fields = {field: None for attributes in spectra.attributes or [] for field in attributes}
    return {f"field {field}" if _AXIS_CELL.fullmatch(field) or field in taken else field:
            [attributes.get(field) for attributes in spectra.attributes] for field in fields}
