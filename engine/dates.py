"""When an image was taken: dates read from words, metadata and names, and written again."""

import re
from datetime import datetime, timedelta

from .sentences import UserError, phrase

METADATA = ("start_time", "acquisition_date", "acquisition_time", "acquisitiondatetime", "acquisition time",
            "acquisition date", "date_acquired", "sensing_time", "datatake_sensing_start", "product_start_time",
            "product_starttime", "time_coverage_start", "temporalcoverage_starttime", "starttime", "rangebeginningdate")
FIRST, LAST = 1900, 2199
SOURCES = {"layer": phrase("the layer's temporal properties"), "metadata": phrase("its metadata"),
           "name": phrase("its name"), "given": phrase("the parameter Dates")}

_ISO = re.compile(r"\s*(\d{4})(?:[-/]?(\d{2})(?:[-/]?(\d{2}))?)?(?:[T ](\d{2}):?(\d{2})(?::?(\d{2})(?:[.,]\d+)?)?)?"
                  r"\s*(Z|UTC|[+-]\d{2}:?\d{2})?\s*$", re.IGNORECASE)
_IN_NAME = re.compile(r"(?:(?<!\d)|(?<=AV\d))(\d{4})([-_.]?)(\d{2})\2(\d{2})"
                      r"(?:([T_ -]?)(\d{2})[-:]?(\d{2})(?:[-:]?(\d{2}))?(?!\d)|(?!\d))", re.IGNORECASE)
_SCENE_ID = re.compile(r"(?<![a-z0-9])(?:L[a-z]\d|EO1H)\d{6}(\d{4})(\d{3})", re.IGNORECASE)   # path and row first
_DAY_OF_YEAR = re.compile(r"(?<!\d)(\d{4})(\d{3})(?!\d)")
_AVIRIS = re.compile(r"(?<![a-z0-9])f(\d{2})(\d{2})(\d{2})t\d{2}", re.IGNORECASE)


def parse(words):
    """
    A date, with or without a time of day, in ISO 8601: 2020-05-01, 2020-05-01T10:30, 20200501, 2020-05 or 2020.

    Returns
    -------
    datetime or None
        In UTC, without a time zone; None where it is no date.
    """
    match = _ISO.match(str(words))
    if not match:
        return None
    year, month, day, hour, minute, second, zone = match.groups()
    found = _date(year, month or 1, day or 1, hour or 0, minute or 0, second or 0)
    if found and hour and zone and zone[0] in "+-":
        hours, minutes = int(zone[1:3]), int(zone[-2:])
        found -= (1 if zone[0] == "+" else -1) * timedelta(hours=hours, minutes=minutes)
    return found


def _date(year, month, day, hour=0, minute=0, second=0):
    try:
        found = datetime(*(int(part) for part in (year, month, day, hour, minute, second)))
    except ValueError:
        return None
    return found if FIRST <= found.year <= LAST else None


def _day_of_year(year, day):
    found = _date(year, 1, 1)
    found = found and found + timedelta(days=int(day) - 1)
    return found if found and found.year == int(year) else None


def of_metadata(tags):
    """
    The date in a raster's metadata, a dictionary, or None: the first of METADATA that holds one.

    What stands before a # does not count: NC_GLOBAL#time_coverage_start.
    """
    known = {name.lower().rsplit("#", 1)[-1]: value for name, value in tags.items()}
    for name in METADATA:
        found = parse(known[name]) if name in known else None
        if found:
            return found
    return None


def of_name(name):
    """
    The first date in a name, or None.

    With or without a time: 2020-05-01, 2020_05_01, 20200501, 20200501T1030, 20200501_103000; the year and the day of
    the year, 2020122, also within the scene's number (Landsat before its collections, Hyperion); or as AVIRIS writes
    it, f200501t01.
    """
    match = _SCENE_ID.search(name)
    if match and _day_of_year(*match.groups()):
        return _day_of_year(*match.groups())
    match = _IN_NAME.search(name)
    while match:
        year, _, month, day, between, hour, minute, second = match.groups()
        if hour and not second and between in ("_", " ", "-") and match[0][-4:].isdigit():
            hour = minute = None   # four digits are more often a number: scene_20200501_0001
        found = _date(year, month, day, hour or 0, minute or 0, second or 0)
        if not found and between != "":   # what follows is no time of day, but the date may be one
            found = _date(year, month, day)
        if found:
            return found
        match = _IN_NAME.search(name, match.start() + 1)
    for match in _DAY_OF_YEAR.finditer(name):
        if _day_of_year(*match.groups()):
            return _day_of_year(*match.groups())
    match = _AVIRIS.search(name)
    if match:
        year = int(match[1])
        return _date(2000 + year if year < 80 else 1900 + year, match[2], match[3])
    return None


def of_image(layer, tags, *names):
    """
    When an image was taken, as its layer in QGIS tells (a word or None), else its metadata, else one of its names.

    Returns
    -------
    (datetime, str) or (None, None)
        The date and what tells it, one of SOURCES.
    """
    found = [("layer", parse(layer or "")), ("metadata", of_metadata(tags)),
             ("name", next((date for date in map(of_name, names) if date), None))]
    return next(((date, source) for source, date in found if date), (None, None))


def of_words(words, label="Dates"):
    """
    Dates separated by commas, semicolons or spaces, as a list; `label` is of the parameter that has them.

    Raises
    ------
    UserError
        One of them is no date.
    """
    parts = [part for part in re.split(r"[,;\n]" if re.search(r"[,;\n]", words) else r"\s+", words) if part.strip()]
    dates = [parse(part) for part in parts]
    for part, date in zip(parts, dates):
        if date is None:
            raise UserError("{value} in {label} is no date. Write dates as 2020-05-01, with or without a time "
                            "(2020-05-01T10:30), separated by commas.", value=part.strip(), label=label)
    return dates


def written(date):
    """A date as 2020-05-01, with its time of day where it has one: 2020-05-01T10:30 or 2020-05-01T10:30:15."""
    if date.hour or date.minute or date.second:
        return date.isoformat(timespec="seconds" if date.second else "minutes")
    return date.date().isoformat()


def ends(dates):
    """Until when each image stands: the next one's date; the last stands for the median of the intervals."""
    steps = sorted(later - earlier for earlier, later in zip(dates, dates[1:]))
    return [*dates[1:], dates[-1] + (steps[len(steps) // 2] if steps else timedelta(days=1))]
