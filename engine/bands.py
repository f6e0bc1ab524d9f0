"""What bands and spectra say of their wavelengths, in words: the standard library suffices, so QGIS's side reads it."""

import math
import re
import statistics

NANOMETRES = {"nm": 1.0, "nanometers": 1.0, "nanometer": 1.0, "nanometres": 1.0, "nanometre": 1.0,
              "um": 1e3, "µm": 1e3, "μm": 1e3, "micrometers": 1e3, "micrometer": 1e3, "micrometres": 1e3,
              "micrometre": 1e3, "microns": 1e3, "micron": 1e3, "mm": 1e6, "millimeters": 1e6, "cm": 1e7,
              "centimeters": 1e7, "m": 1e9, "meters": 1e9, "a": 0.1, "angstroms": 0.1, "angstrom": 0.1}
WAVENUMBERS = {"wavenumber", "cm-1", "1/cm", "cm^-1"}
SAME_WAVELENGTH = 0.5   # nm: closer grids count as the same
GAP = 5                 # median steps: a wider one has no values to interpolate between
BAND_NUMBERS = ("index", "band number", "band index")


def to_nanometres(values, unit=None):
    """
    Lengths in nanometres, a list.

    A missing or unknown unit is guessed from the numbers, as EnMAP-Box does: micrometres where all are below 100.
    Wavenumbers (1/cm) are turned into wavelengths.
    """
    key = (unit or "").strip().lower()
    if key in WAVENUMBERS:
        return [1e7 / value if value else math.inf for value in values]
    if key in NANOMETRES:
        return [value * NANOMETRES[key] for value in values]
    known = [value for value in values if math.isfinite(value)]
    factor = 1e3 if known and max(known) < 100 else 1.0
    return [value * factor for value in values]


def numbers(text):
    """The numbers in an ENVI list such as `{ 0.41, 0.42 }`."""
    return [float(word) for word in re.findall(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?", text or "")]


def wavelengths(items, imagery, header):
    """
    Centre wavelengths and full widths at half maximum of a raster's bands.

    They are looked for, in this order, in each band's own items (`wavelength`, `wavelength_units`, `fwhm`), in the ENVI
    header's lists and in each band's IMAGERY domain. IMAGERY comes last because GDAL's ENVI driver fills it with
    wavelengths rounded to a nanometre.

    Parameters
    ----------
    items, imagery : list of dict
        Of each band, its metadata and those of its IMAGERY domain.
    header : dict
        The raster's metadata, the ENVI domain's included.

    Returns
    -------
    (list of float or None, list of float or None)
        In nanometres; None where not every band has one.
    """
    items = [{key.lower(): value for key, value in each.items()} for each in items]
    header = {key.lower(): value for key, value in header.items()}

    def of_bands(tags, key):
        try:
            return [float(tag[key]) for tag in tags]
        except (KeyError, ValueError):
            return None

    def find(key, imagery_key):
        """The values under a key and their unit, from the first place that has one for every band."""
        values = of_bands(items, key)
        if values:
            return values, items[0].get("wavelength_units") or items[0].get("wavelength_unit")
        values = numbers(header.get(key))
        if len(values) == len(items):
            return values, header.get("wavelength_units")
        return of_bands(imagery, imagery_key), "um"

    centres, unit = find("wavelength", "CENTRAL_WAVELENGTH_UM")
    if not centres or _count_bands(centres, unit):
        return None, None
    centres = to_nanometres(centres, unit)
    if not all(math.isfinite(centre) and centre > 0 for centre in centres):
        return None, None
    widths, unit = find("fwhm", "FWHM_UM")
    return centres, _widths_to_nanometres(widths, unit, centres) if widths else None


def _count_bands(centres, unit):
    """Whether what stands for wavelengths are numbers of bands, as ENVI writes them for bands that have none."""
    known = (unit or "").strip().lower() in {*NANOMETRES, *WAVENUMBERS}
    return not known and len(centres) > 1 and centres == list(range(1, len(centres) + 1))


def _widths_to_nanometres(widths, unit, centres):
    """Widths of bands, in a unit, beside centres that are in nanometres already."""
    if (unit or "").strip().lower() in WAVENUMBERS:
        return [width * centre ** 2 / 1e7 for width, centre in zip(widths, centres)]
    widths = to_nanometres(widths, unit)
    # a width guessed in micrometres, or given in nanometres beside centres in micrometres
    guessed = statistics.median(widths) > 0.5 * statistics.median(centres)
    return [width / 1e3 for width in widths] if guessed else widths


def bad_bands(items, header):
    """True for each band that a raster flags as bad (`bbl` 0), in its band items or the ENVI list in its header."""
    flags = [numbers(each.get("bbl"))[:1] for each in items]
    if not all(flags):
        listed = numbers(header.get("bbl"))
        flags = [[flag] for flag in listed] if len(listed) == len(items) else [[1]] * len(items)
    return [flag == [0] for flag in flags]


def is_profile(profile):
    """Whether a feature's field `profile` holds a spectrum: numbers, and what is known of their wavelengths."""
    def listed(values):
        return isinstance(values, list) and all(value is None or type(value) in (int, float) for value in values)

    return (isinstance(profile, dict) and bool(profile.get("y")) and listed(profile["y"])
            and (not profile.get("x") or listed(profile["x"])) and isinstance(profile.get("xUnit") or "", str))


def axis_of(profile):
    """Where the values of a profile, as a layer of spectra holds it, stand: `(x, True)` in nanometres, else by band."""
    x, unit = profile.get("x"), (profile.get("xUnit") or "").strip().lower()
    if not x:
        return [float(number) for number in range(1, len(profile["y"]) + 1)], False
    x = [math.nan if value is None else float(value) for value in x]
    if unit in BAND_NUMBERS:
        return x, False
    return to_nanometres(x, unit if unit in NANOMETRES or unit in WAVENUMBERS else None), True


def names_of(features):
    """Names of the features of a layer of spectra, distinct; those that have none are numbered."""
    return unique([str(feature.get("name") or f"spectrum {number}") for number, feature in enumerate(features, 1)])


def unique(names):
    """Names made distinct: a repeated one gets ` (2)`, ` (3)` and so on."""
    used, last, result = set(names), {}, []
    for name in names:
        made, number = name, last.get(name, 0) + 1
        while number > 1 and (made := f"{name} ({number})") in used:
            number += 1
        last[name] = number
        used.add(made)
        result.append(made)
    return result
