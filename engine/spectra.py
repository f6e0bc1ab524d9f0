"""Spectra on their way between layers, files and algorithms."""

from dataclasses import dataclass, replace

import numpy as np

from .bands import GAP, SAME_WAVELENGTH, axis_of, is_profile, names_of
from .sentences import NO_SPECTRA, UserError

LARGEST = 1e14          # value of a spectrum, and what its inverse is the smallest of
RESERVED = {"name", "profile", "source", "fid", "geom"}   # fields that a layer of spectra has of its own


@dataclass(frozen=True)
class Spectra:
    """
    A set of spectra on one grid.

    Attributes
    ----------
    names : list of str
    M : ndarray (L, P)
        One spectrum per column.
    x : ndarray (L,)
        Wavelengths in nanometres, or band numbers from 1 where `wavelengths` is False.
    wavelengths : bool
    sources : list of str
        Where each spectrum came from.
    points : list of (x, y) or None
        Map coordinates of the pixel each spectrum was taken from, or None where there is none.
    attributes : list of dict
        Further fields of each spectrum.
    """

    names: list
    M: np.ndarray
    x: np.ndarray
    wavelengths: bool = True
    sources: list = None
    points: list = None
    attributes: list = None

    @property
    def P(self):
        """Number of spectra."""
        return self.M.shape[1]

    def select(self, columns):
        """Only the spectra at these positions, in this order."""
        def pick(values):
            return None if values is None else [values[column] for column in columns]

        return replace(self, names=pick(self.names), M=self.M[:, columns], sources=pick(self.sources),
                       points=pick(self.points), attributes=pick(self.attributes))

    def to_features(self):
        """The layer's features: `name`, `profile` (EnMAP-Box's encoding), `source`, other fields, `point`."""
        unit = "Nanometers" if self.wavelengths else "Band Number"
        x = [round(float(value), 6) for value in self.x]
        extra = list(dict.fromkeys(name for row in self.attributes or () for name in row))
        field = dict(zip(extra, field_names(extra)))
        return [{"name": name,
                 "profile": {"x": x, "y": [float(value) if np.isfinite(value) else None for value in self.M[:, number]],
                             "xUnit": unit},
                 "source": self.sources[number] if self.sources else "",
                 "attributes": {field[name]: value for name, value in self.attributes[number].items()}
                 if self.attributes else {},
                 "point": self.points[number] if self.points else None}
                for number, name in enumerate(self.names)]

    def to_scene(self, scene, say=None):
        """
        The spectra on the used bands of a scene, `(L, P)` float64.

        With wavelengths on both sides they are resampled (see `resample`); bands that the spectra do not reach are
        taken out of the scene, with a message, as long as most remain. Without, the numbers of bands must agree.

        Raises
        ------
        UserError
            No overlap, or different band counts without wavelengths, or missing values.
        """
        bad = [name for name, column in zip(self.names, self.M.T) if not np.isfinite(column).all()]
        if bad:
            raise UserError("The spectrum {name} holds missing or infinite values. Mend it or leave it out.",
                            name=bad[0])
        if self.wavelengths and scene.wavelengths is not None:
            return self._by_wavelength(scene, say)
        numbered = {int(value): row for row, value in enumerate(self.x)}
        if not self.wavelengths and set(scene.indexes.tolist()) <= set(numbered):
            return self.M[[numbered[band] for band in scene.indexes.tolist()]]
        if len(self.x) == scene.L:
            return self.M
        if len(self.x) == scene.count:
            return self.M[scene.indexes - 1]
        raise UserError("The endmembers have {values} values each and the raster uses {used} of its {bands} bands, and "
                        "{which} no wavelengths to match them by. Choose endmembers from this raster, or add "
                        "wavelengths.", values=len(self.x), used=scene.L, bands=scene.count,
                        which="the endmembers have" if scene.wavelengths is not None else "the raster has")

    def _by_wavelength(self, scene, say):
        covered = self._covers(scene.wavelengths, scene.fwhm)
        if covered.sum() < max(2, scene.L / 2):
            raise UserError("The endmembers cover {first}-{last} nm, the raster {start}-{end} nm: {covered} of its "
                            "{bands} bands. Choose endmembers that cover the raster.",
                            first=round(float(self.x.min())), last=round(float(self.x.max())),
                            start=round(float(scene.wavelengths.min())), end=round(float(scene.wavelengths.max())),
                            covered=int(covered.sum()), bands=scene.L)
        if not covered.all():
            if say:
                say("The endmembers cover {first}-{last} nm, perhaps with gaps: {count} bands of the raster that they "
                    "do not cover are not used.", first=round(float(self.x.min())), last=round(float(self.x.max())),
                    count=int((~covered).sum()))
            scene.keep(covered)
        return resample(self.x, self.M, scene.wavelengths, scene.fwhm)

    def _covers(self, centres, fwhm):
        """Which bands lie within the spectra's wavelengths, and not in a gap of theirs that is wider than the band."""
        x = np.unique(self.x)
        inside = (centres >= x[0] - SAME_WAVELENGTH) & (centres <= x[-1] + SAME_WAVELENGTH)
        if len(x) < 3:
            return inside
        after = np.clip(np.searchsorted(x, centres), 1, len(x) - 1)
        step = x[after] - x[after - 1]
        beside = np.minimum(np.abs(centres - x[after - 1]), np.abs(x[after] - centres))
        width = 0 if fwhm is None else fwhm
        return inside & ~((step > np.maximum(GAP * np.median(np.diff(x)), width)) & (beside > SAME_WAVELENGTH))


def resample(x, M, centres, fwhm=None):
    """
    Spectra on another wavelength grid.

    Where the two grids agree, values are taken as they are. They do where each band has its wavelength, unless the
    spectra have others between and sample some band more than twice within its width: those are of a finer instrument.
    Else a band whose width is known, and is wider than the spectra's own sampling, is the average under a Gaussian of
    that full width at half maximum; any other band is interpolated linearly.

    Parameters
    ----------
    x, M : ndarray (K,), (K, P)
        Wavelengths (nm), in any order, and spectra.
    centres, fwhm : ndarray (L,), (L,) or None
        Bands to bring them to (nm).
    """
    x, first = np.unique(np.asarray(x, dtype=np.float64), return_index=True)
    M = np.asarray(M, dtype=np.float64)[first]
    centres = np.asarray(centres, dtype=np.float64)
    nearest = np.abs(x[None, :] - centres[:, None]).argmin(axis=1)
    if np.all(np.abs(x[nearest] - centres) <= SAME_WAVELENGTH) and not _finer(x, centres, fwhm):
        return M[nearest]
    result = np.stack([np.interp(centres, x, column) for column in M.T], axis=1)
    if fwhm is not None:
        spacing = np.gradient(x)
        weights = np.exp(-4 * np.log(2) * ((x[None, :] - centres[:, None]) / np.asarray(fwhm)[:, None]) ** 2)
        weights *= spacing
        finer = np.interp(centres, x, spacing) < np.asarray(fwhm)
        result[finer] = (weights[finer] / weights[finer].sum(axis=1, keepdims=True)) @ M
    return result


def _finer(x, centres, fwhm):
    """Whether spectra at `x` are of a finer instrument than the bands, though each band has its wavelength there."""
    between = (x >= centres.min() - SAME_WAVELENGTH) & (x <= centres.max() + SAME_WAVELENGTH)
    if fwhm is None or between.sum() <= len(centres):
        return False
    return bool(np.any(2 * np.interp(centres, x, np.gradient(x)) < np.asarray(fwhm)))


def from_features(features, what="ENDMEMBERS"):
    """
    Spectra from a layer's features (see `Spectra.to_features`).

    Spectra on different grids are brought to the first one's.

    Raises
    ------
    UserError
        No feature, no `profile` that can be read, or grids that cannot be reconciled.
    """
    if not features:
        raise UserError(NO_SPECTRA, what=what)
    grids, columns = [], []
    for number, feature in enumerate(features, 1):
        profile = feature.get("profile")
        if not is_profile(profile):
            raise UserError("Feature {number} of the layer for {what} has no spectrum in its field `profile`. Choose a "
                            "layer of spectra made by Subpixel or EnMAP-Box, or import spectra from a file.",
                            number=number, what=what)
        y = np.array([np.nan if value is None else value for value in profile["y"]], dtype=np.float64)
        x, wavelengths = axis_of(profile)
        x = np.array(x)
        if len(x) != len(y):
            raise UserError("The spectrum {name} has {values} values and {positions} wavelengths. Mend its profile.",
                            name=feature.get("name"), values=len(y), positions=len(x))
        wrong = x[~np.isfinite(x) | (wavelengths & (x <= 0))]
        if wrong.size:
            raise UserError("The spectrum {name} has the wavelength {value}; wavelengths are positive. Mend its "
                            "profile.", name=feature.get("name"), value=float(wrong[0]))
        most = float(np.max(np.abs(y), initial=0, where=np.isfinite(y)))
        if most and not 1 / LARGEST < most < LARGEST:
            raise UserError("The spectrum {name} has values up to {value}, too large or too small to compute with. "
                            "Give it in another unit, or leave it out.", name=feature.get("name"), value=f"{most:.6g}")
        grids.append((x, wavelengths))
        columns.append(y)
    x, wavelengths = grids[0]
    for number, (other, kind) in enumerate(grids):
        if len(other) == len(x) and np.allclose(other, x, atol=1e-6):
            continue
        if not (wavelengths and kind):
            raise UserError("The spectra {first} and {other} have {values} and {others} values and no common "
                            "wavelengths. Choose spectra of one kind.", first=features[0].get("name"),
                            other=features[number].get("name"), values=len(x), others=len(other))
        outside = (x < other.min() - SAME_WAVELENGTH) | (x > other.max() + SAME_WAVELENGTH)
        columns[number] = resample(other, columns[number][:, None], x)[:, 0]
        columns[number][outside] = np.nan
    return Spectra(names_of(features), np.stack(columns, axis=1), x, wavelengths,
                   [feature.get("source") or "" for feature in features],
                   [feature.get("point") for feature in features],
                   [feature.get("attributes") or {} for feature in features])


def field_names(titles, reserved=()):
    """Titles as the names of a layer's fields: none empty, none reserved, none alike but for capitals."""
    taken, result = RESERVED.union(reserved), []
    for number_, title in enumerate(titles, 1):
        base = title.strip() or f"field {number_}"
        field, repeat = base, 2
        while field.lower() in taken:
            field, repeat = f"{base}_{repeat}", repeat + 1
        taken.add(field.lower())
        result.append(field)
    return result


def of_scene(scene, M, names, sources=None, positions=None):
    """Spectra taken from a scene: `M (L, P)` on its used bands, `positions` rows and columns of their pixels."""
    wavelengths = scene.wavelengths is not None
    return Spectra(list(names), np.asarray(M, dtype=np.float64),
                   scene.wavelengths if wavelengths else scene.indexes.astype(float), wavelengths, sources,
                   None if positions is None else [scene.map_position(*position) for position in positions])
