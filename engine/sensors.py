"""Spectral responses of multispectral sensors, built in or from a table, and what they are in a scene's own bands."""

import json
import re
from dataclasses import dataclass

import numpy as np

from .formats import read_spectra
from .sentences import UserError
from .wavelengths import to_nanometres

COVERED = 0.5    # of a band's response that must lie where the scene has bands
NEAR = 15.0      # nm between a band and the sensor's band that it is taken for, at most
LISTED = 15      # names of bands in a sentence, at most
REACH = 1.5      # steps from one band to the next, or widths, that a band stands for beside a gap, at most

# Name: source, and (name, centre, full width at half maximum) of each band, in nanometres.
SENSORS = {
    "sentinel2a": ("Sentinel-2A", "ESA, Sentinel-2 spectral responses (COPE-GSEG-EOPG-TN-15-0007)", (
        ("B1", 442.7, 21), ("B2", 492.4, 66), ("B3", 559.8, 36), ("B4", 664.6, 31), ("B5", 704.1, 15),
        ("B6", 740.5, 15), ("B7", 782.8, 20), ("B8", 832.8, 106), ("B8A", 864.7, 21), ("B9", 945.1, 20),
        ("B10", 1373.5, 31), ("B11", 1613.7, 91), ("B12", 2202.4, 175))),
    "sentinel2b": ("Sentinel-2B", "ESA, Sentinel-2 spectral responses (COPE-GSEG-EOPG-TN-15-0007)", (
        ("B1", 442.2, 21), ("B2", 492.1, 66), ("B3", 559.0, 36), ("B4", 664.9, 31), ("B5", 703.8, 16),
        ("B6", 739.1, 15), ("B7", 779.7, 20), ("B8", 832.9, 106), ("B8A", 864.0, 22), ("B9", 943.2, 21),
        ("B10", 1376.9, 30), ("B11", 1610.4, 94), ("B12", 2185.7, 185))),
    "sentinel2c": ("Sentinel-2C", "ESA, nominal bands of the Sentinel-2 MSI, which all its models are built to", (
        ("B1", 443, 20), ("B2", 490, 65), ("B3", 560, 35), ("B4", 665, 30), ("B5", 705, 15), ("B6", 740, 15),
        ("B7", 783, 20), ("B8", 842, 115), ("B8A", 865, 20), ("B9", 945, 20), ("B10", 1375, 30), ("B11", 1610, 90),
        ("B12", 2190, 180))),
    "landsat8": ("Landsat 8 OLI", "Barsi et al., The Spectral Response of the Landsat-8 Operational Land Imager, "
                 "Remote Sensing 6(10), 2014", (
                     ("B1", 442.96, 15.98), ("B2", 482.04, 60.04), ("B3", 561.41, 57.33), ("B4", 654.59, 37.47),
                     ("B5", 864.67, 28.25), ("B6", 1608.86, 84.72), ("B7", 2200.73, 186.66), ("B9", 1373.43, 20.39))),
    "landsat9": ("Landsat 9 OLI-2", "USGS, nominal bands of Landsat 8 and 9", (
        ("B1", 443, 20), ("B2", 482.5, 65), ("B3", 562.5, 75), ("B4", 655, 50), ("B5", 865, 40), ("B6", 1610, 100),
        ("B7", 2200, 200), ("B9", 1375, 30))),
    "superdove": ("PlanetScope SuperDove", "Planet, bands of the SuperDove (PSB.SD)", (
        ("coastal blue", 443, 20), ("blue", 490, 50), ("green i", 531, 36), ("green", 565, 36), ("yellow", 610, 20),
        ("red", 665, 31), ("red edge", 705, 15), ("nir", 865, 40))),
}
CUSTOMARY = {  # bands of products that hold fewer than the sensor has, by how many
    "sentinel2": {12: "B1 B2 B3 B4 B5 B6 B7 B8 B8A B9 B11 B12", 10: "B2 B3 B4 B5 B6 B7 B8 B8A B11 B12",
                  4: "B2 B3 B4 B8"},
    "landsat": {7: "B1 B2 B3 B4 B5 B6 B7", 6: "B2 B3 B4 B5 B6 B7"},
    "superdove": {4: "blue,green,red,nir"}}


@dataclass(frozen=True)
class Response:
    """
    The spectral response of one band: values `y` at wavelengths `x` (nm), straight between them and 0 beyond.
    """

    name: str
    x: np.ndarray
    y: np.ndarray

    @property
    def centre(self):
        """Mean wavelength under the response."""
        x, y = self.fine()
        return float(np.sum(x * y) / np.sum(y))

    @property
    def width(self):
        """Full width at half maximum: the length over which the response is above half of its largest value."""
        x, y = self.fine()
        return float((x[1] - x[0]) * np.count_nonzero(y >= y.max() / 2))

    def fine(self, step=0.25):
        """The response at the middles of equal steps, where it is not 0."""
        steps = max(1, int(np.ceil((self.x[-1] - self.x[0]) / step)))
        edges = np.linspace(self.x[0], self.x[-1], steps + 1)
        middles = (edges[1:] + edges[:-1]) / 2
        return middles, np.interp(middles, self.x, self.y)


def box(name, centre, width):
    """The response of a band that is known by its centre and width only: 1 inside, 0 outside."""
    return Response(name, np.array([centre - width / 2, centre + width / 2]), np.ones(2))


def built_in(sensor):
    """The responses of a built-in sensor, by the key of SENSORS."""
    return [box(*band) for band in SENSORS[sensor][2]]


def read_responses(path):
    """
    Responses from a table: the GeoJSON form of spectral libraries, or a CSV or ENVI file of spectra.

    Raises
    ------
    UserError
        No response in it, none with wavelengths, or values that are not those of a response.
    """
    made = _from_geojson(path) if str(path).lower().endswith("json") else _from_spectra(path)
    for response in made:
        if not (len(response.y) > 1 and np.all(np.isfinite(response.x)) and np.all(np.isfinite(response.y)) and
                np.all(response.y >= -0.05 * max(response.y.max(), 0)) and response.y.max() > 0):
            raise UserError("The response of {name} in {path} has negative or missing values, or is 0 throughout. "
                            "Give values from 0 upwards, two or more without a gap between them.", name=response.name,
                            path=str(path))
    return made


def _from_spectra(path):
    spectra = read_spectra(path)
    if not spectra.wavelengths:
        raise UserError("{path} gives no wavelengths for the responses. Name them in a column wavelength.",
                        path=str(path))
    order = np.argsort(spectra.x)
    return [_without_blank_ends(name, spectra.x[order], column[order])
            for name, column in zip(spectra.names, spectra.M.T)]


def _without_blank_ends(name, x, y):
    known = np.flatnonzero(~np.isnan(y))
    part = slice(known[0], known[-1] + 1) if known.size else slice(0)
    return Response(name, x[part], y[part])


def _from_geojson(path):
    try:
        with open(path, encoding="utf-8-sig") as file:
            features = json.load(file)["features"]
        made = [_from_feature(feature["properties"], number) for number, feature in enumerate(features, 1)]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, StopIteration) as error:
        raise UserError("{path} cannot be read as spectral responses ({reason}). Give a CSV table with a column "
                        "wavelength and one per band, or a GeoJSON library.", path=str(path),
                        reason=str(error) or "a feature has no profile") from error
    if not made:
        raise UserError("{path} holds no response.", path=str(path))
    return made


def _from_feature(properties, number):
    profile = next(_profile(value) for value in properties.values() if _profile(value))
    with np.errstate(divide="ignore"):
        x = to_nanometres(profile["x"], str(profile.get("xUnit") or ""))
    order = np.argsort(x)
    return _without_blank_ends(properties.get("name") or f"band {number}", x[order],
                               np.asarray(profile["y"], dtype=float)[order])


def _profile(value):
    """A profile of x and y, also where it is text."""
    if isinstance(value, str) and value.lstrip().startswith("{"):
        value = json.loads(value)
    return value if isinstance(value, dict) and len(value.get("x", ())) == len(value.get("y", (0,))) > 1 else None


def choose_bands(responses, names, wavelengths=None, sensor=""):
    """
    The response of each band of an image, by its name (B8A, b08a, SR_B5 ...), its wavelength, or its number.

    Where the image has wavelengths, a name or number counts only where every band's wavelength agrees: within 15 nm
    and half of the sensor band's width.

    Parameters
    ----------
    names : list of str
        The image's band names.
    wavelengths : ndarray, optional
        The image's centre wavelengths (nm).
    sensor : str
        The key of a built-in sensor, whose products of fewer bands are known.

    Raises
    ------
    UserError
        It cannot be told which bands the image has, or their wavelengths are not the sensor's.
    """
    by_name = {_key(response.name): response for response in responses}
    found = [by_name.get(_key(name)) for name in names]
    if all(found) and len({id(response) for response in found}) == len(found):
        return _agreeing(found, names, wavelengths)
    if wavelengths is not None:
        centres = np.array([response.centre for response in responses])
        nearest = np.abs(centres[:, None] - wavelengths).argmin(axis=0)
        far = np.abs(centres[nearest] - wavelengths)
        if far.max() <= NEAR and len(set(nearest)) == len(nearest):
            return [responses[row] for row in nearest]
    if len(names) == len(responses):
        return _agreeing(list(responses), names, wavelengths)
    for family, products in CUSTOMARY.items():
        if sensor.startswith(family) and len(names) in products:
            listed = products[len(names)]
            return _agreeing([by_name[_key(name)] for name in (listed.split(",") if "," in listed else
                                                               listed.split())], names, wavelengths)
    raise UserError("The multispectral image has {count} bands ({names}) and the sensor {all} ({bands}): it cannot be "
                    "told which is which. Name the image's bands as the sensor's, or give a table with a response for "
                    "each of its bands.", count=len(names), all=len(responses),
                    names=", ".join(names[:LISTED]) + ", ..." * (len(names) > LISTED),
                    bands=", ".join(response.name for response in responses))


def _agreeing(found, names, wavelengths):
    """The responses found for bands, whose wavelengths, if known, are theirs."""
    for response, name, wavelength in zip(found, names, [] if wavelengths is None else wavelengths):
        if abs(response.centre - wavelength) > NEAR + response.width / 2:
            raise UserError("By its {how}, band {name} of the multispectral image would be {band} of the sensor, but "
                            "it lies at {there} nm and that at {here} nm: is SRF the right sensor? Choose the sensor "
                            "that took the image, or a table with a response for each of its bands.", name=name,
                            how="name" if _key(name) == _key(response.name) else "number", band=response.name,
                            there=f"{wavelength:.0f}", here=f"{response.centre:.0f}")
    return found


def _key(name):
    """A band's name for comparison: its first word, such as B8A of `B8A - Narrow NIR` or of `SR_B8A`."""
    name = name.strip().lower()
    numbered = re.search(r"(?:^|[^a-z0-9])b0*(\d+a?)(?![0-9a-z])", name)
    return f"b{numbered[1]}" if numbered else re.split(r" ?[-–(:]", name)[0].strip()


def response_matrix(responses, wavelengths, fwhm=None):
    """
    Each response as weights of a scene's bands: P3 of the fusion methods.

    A scene's band stands for the wavelengths that are nearest to it, but beside a gap for no more than half of 1.5
    times its width (or of the usual step). A response's weight for it is the response's integral there.

    Parameters
    ----------
    wavelengths, fwhm : ndarray (K,)
        Of the scene's bands in nanometres, in any order.

    Returns
    -------
    P3 : ndarray (K_M, K)
        Rows sum to one, or are 0 where the scene has no band for a response.
    covered : ndarray (K_M,)
        The share of each response that lies where the scene has bands.
    """
    order, x, middles, low, high = _cells(wavelengths, fwhm)
    P3, covered = np.zeros((len(responses), len(x))), np.zeros(len(responses))
    for row, response in enumerate(responses):
        at, y = response.fine()
        y = np.maximum(y, 0)
        band = np.clip(np.searchsorted(middles, at), 0, len(x) - 1)
        inside = (at >= low[band]) & (at <= high[band])
        weights = np.bincount(band[inside], y[inside], minlength=len(x))
        covered[row] = weights.sum() / y.sum()
        if weights.sum() > 0:
            P3[row, order] = weights / weights.sum()
    return P3, covered


def cells(wavelengths, fwhm=None):
    """The lengths of wavelength (K,) in nm that a scene's bands stand for, see `response_matrix`."""
    order, x, _, low, high = _cells(wavelengths, fwhm)
    lengths = np.empty(len(x))
    lengths[order] = high - low
    return np.maximum(lengths, 1e-6)


def _cells(wavelengths, fwhm):
    """The order of bands by wavelength, and in it: centres, the middles between them, where each begins and ends."""
    order = np.argsort(wavelengths, kind="stable")
    x = np.asarray(wavelengths, dtype=float)[order]
    steps = np.diff(x)
    usual = np.median(steps[steps > 0]) if np.any(steps > 0) else 10.0
    reach = REACH * np.maximum(usual, 0 if fwhm is None else np.asarray(fwhm, dtype=float)[order]) / 2
    middles = (x[1:] + x[:-1]) / 2
    return order, x, middles, np.maximum(np.r_[-np.inf, middles], x - reach), np.minimum(np.r_[middles, np.inf],
                                                                                         x + reach)


def describe(responses):
    """Names and centres in words: `B2 (492 nm), B3 (560 nm)`."""
    return ", ".join(f"{response.name} ({response.centre:.0f} nm)" for response in responses)
