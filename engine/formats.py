"""Files of spectra: CSV, EcoSIS text and ENVI spectral libraries, told apart by what is in them."""

from pathlib import Path

from . import envi_library, spectra_table
from .sentences import UserError

FORMATS = {"csv": "CSV", "txt": "EcoSIS", "sli": "ENVI"}   # extension: the format that it stands for


def read_spectra(path, say=None):
    """
    The spectra in a file, with wavelengths in nanometres or, where it has none, band numbers.

    An ENVI library is known by its header, or by its extension; anything else is read as a table of text.

    Parameters
    ----------
    path : str
        The file. Of an ENVI library either the data or its `.hdr`.
    say : callable(template, **arguments), optional
        Told what was left aside.

    Raises
    ------
    UserError
        The file cannot be read, or does not hold what its format demands.
    """
    path = Path(path)
    try:
        with open(path, "rb") as file:
            start = file.read(4096)
    except OSError as error:
        raise UserError("{path} cannot be read: {reason}. Choose a file of spectra.", path=str(path),
                        reason=error.strerror or str(error)) from error
    if envi_library.recognises(path, start):
        return envi_library.read(path, say)
    return spectra_table.read(path)


def format_of(path):
    """The format, a value of FORMATS, that a file's extension stands for. Raises UserError for any other."""
    extension = Path(path).suffix.lower().lstrip(".")
    if extension not in FORMATS:
        raise UserError("{path} ends in none of .csv, .txt (EcoSIS) and .sli (ENVI). Give the file one of these "
                        "extensions.", path=Path(path).name)
    return FORMATS[extension]


def write_spectra(path, spectra, format=None):
    """
    Write spectra to a file in one of FORMATS, by default the one that its extension stands for.

    ENVI's takes a header beside it (`.hdr`), and a table (`.csv`) where the spectra carry further fields.

    Raises
    ------
    UserError
        The file cannot be written, or the format cannot hold these spectra.
    """
    format = format or format_of(path)
    try:
        if format == "ENVI":
            envi_library.write(Path(path), spectra)
        else:
            spectra_table.write(Path(path), spectra, ecosis=format == "EcoSIS")
    except OSError as error:
        raise UserError("{path} cannot be written: {reason}. Choose another place for the output.",
                        path=Path(path).name, reason=error.strerror or str(error)) from error
