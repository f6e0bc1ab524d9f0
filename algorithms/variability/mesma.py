"""Multiple endmember spectral mixture analysis: in every pixel the best model of all that a bundle of spectra gives."""

from dataclasses import dataclass, replace
from itertools import combinations as subsets
from itertools import product

import numpy as np

from ..abundances.products import products

SLACK = 1e-6             # on the limits of fractions: a pixel that is one of the spectra, in float32, has a shade of 0
TIE = 1e-12              # residual energies that differ by less, relative to the pixel's own, are equal
DEPENDENT = 1e-5         # a spectrum this near, relative to its length, to the span of others cannot be told from them
CHUNK_NUMBERS = 2**15    # numbers of float64 that are worked on at once: a few such arrays fit into the cache
CHUNK_PIXELS = 512, 8192
PIECE = 64               # last spectra of a family: with more, the numbers worked on would leave the cache
NO_MODEL = np.finfo(np.float64).max


@dataclass(frozen=True)
class Limits:
    """
    What a model must keep to count, and by how much a further material must improve it.

    Attributes
    ----------
    fraction, shade : (float, float)
        Smallest and largest fraction of a spectrum, and of shade. They are kept to 1e-6.
    rmse : float
        Largest RMSE, in the data's units.
    fusion : float
        A level counts only where its best RMSE is at least so much below that of the next lower level, whether that
        one counts or not. In the data's units.
    residual : float or None
        A model is out if its residual is at least this, in absolute value, in `run` consecutive bands; None: no model
        is. In the data's units.
    run : int
    """

    fraction: tuple = (-0.05, 1.05)
    shade: tuple = (0.0, 0.80)
    rmse: float = 0.025
    fusion: float = 0.007
    residual: float = None
    run: int = 7

    def times(self, scale):
        """The limits for data in which `scale` means a reflectance of 1."""
        return replace(self, rmse=self.rmse * scale, fusion=self.fusion * scale,
                       residual=None if self.residual is None else self.residual * scale)


VIPER = Limits()


@dataclass(frozen=True)
class Mixtures:
    """
    The best model of each pixel.

    Attributes
    ----------
    A : ndarray (P, N)
        Fraction of each material, 0 for those that are not in the model; NaN where there is no model.
    shade : ndarray (N,)
        1 - sum of the fractions; NaN where there is no model.
    model : ndarray (P, N) of int
        Spectrum of each material, as its column in the library; -1 where the material is not used.
    combination : ndarray (N,) of int
        Materials of the model, as a position in `Bundle.combinations`; -1 where there is no model.
    rmse : ndarray (N,)
        ||y - E f|| / sqrt(L), in the data's units; NaN where there is no model. It comes from a difference of energies
        in float64, so what is below 1e-7 of the pixel's own size is zero.
    level : ndarray (N,) of int
        Number of materials in the model; 0 where none keeps the limits, -1 where there are no data: in pixels that
        are zero in all bands or not finite.
    """

    A: np.ndarray
    shade: np.ndarray
    model: np.ndarray
    combination: np.ndarray
    rmse: np.ndarray
    level: np.ndarray


@dataclass(frozen=True)
class Family:
    """
    Models of one combination of k materials: each prefix, one spectrum of all but one material, with each of some
    spectra of the material that is left.

    With the prefix's Gram matrix G_pp, c_p = E_p^T y and e a last spectrum, the least squares fit is a rank-one update
    of the prefix's own: z = s (c_e - A c_p) with A = g_ep G_pp^-1 and 1 / s^2 = g_ee - A g_pe, so that the model
    explains c_p^T G_pp^-1 c_p + z^2 of ||y||^2, by the fractions s z of e and G_pp^-1 c_p - A s z of the prefix.

    Attributes
    ----------
    number : int
        Position among the combinations.
    materials : tuple of k int
        Those of the prefix, then the last one, which is the one with the most spectra.
    prefixes : ndarray (n, k - 1) of int
        Columns of the library.
    last : ndarray (m,) of int
    inverse : ndarray (n, k - 1, k - 1)
        G_pp^-1.
    A : ndarray (n, m, k - 1)
    s : ndarray (n, m)
        Zero where the last spectrum cannot be told from the prefix: such a model is out.
    """

    number: int
    materials: tuple
    prefixes: np.ndarray
    last: np.ndarray
    inverse: np.ndarray
    A: np.ndarray
    s: np.ndarray


@dataclass(frozen=True)
class Bundle:
    """
    A library and all of its models, prepared once for any number of pixels.

    Attributes
    ----------
    E : ndarray (L, K)
        The spectra less the shade's.
    shade : ndarray (L,)
    names : list of P str
        Materials, in the order in which they appear in the library.
    combinations : list of tuple of int
        The materials of each combination, few materials first.
    levels : list of list of Family
        The families with one number of materials each, fewest first.
    """

    E: np.ndarray
    shade: np.ndarray
    names: list
    combinations: list
    levels: list


def mesma(Y, library, materials, levels=(1, 2), limits=VIPER, shade=None):
    """
    Fractions by multiple endmember spectral mixture analysis.

    A model takes one spectrum from each of some materials, and shade. Its fractions are f = E^+ y, plain least squares
    without constraints, the fraction of shade is 1 - sum f. A model that breaks a limit is out, not clipped. Of the
    models with equally many materials (a level) the one with the lowest RMSE counts. A level is discarded if
    RMSE_{l-1} - RMSE_l < `limits.fusion`, where RMSE_{l-1} is the best of the next lower level even if that is itself
    discarded, and infinite where it has no model. Of the levels left the one with the lowest RMSE wins.

    Parameters
    ----------
    Y : ndarray (L, N)
        Pixels of any real dtype. A pixel that is zero in all bands holds no data.
    library : ndarray (L, K)
        Spectra, in the units of `Y`.
    materials : sequence of K str
        The material of each spectrum.
    levels : (int, int)
        Smallest and largest number of materials in a model: (1, 2) tries what the literature calls two- and
        three-endmember models, shade being the further endmember.
    limits : Limits
    shade : ndarray (L,), optional
        Spectrum of shade, which is first subtracted from pixels and library; zero (photometric shade) by default.

    Returns
    -------
    Mixtures

    Raises
    ------
    ValueError
        See `prepare`; or pixels of another number of bands than the library.

    Notes
    -----
    The search is exact. It needs of each pixel only its energy and its products with the library, and O(P) operations
    a model. Models whose residual energies differ by less than 1e-12 of the pixel's own are equal, and of equal ones
    the first wins: combinations in the order of their materials in the library, then spectra in its order.

    Two spectra that cannot be told apart (to 1e-5 of their length) make no model together.

    References
    ----------
    D. Roberts, M. Gardner, R. Church, S. Ustin, G. Scheer, R. Green, Mapping chaparral in the Santa Monica Mountains
    using multiple endmember spectral mixture models, Remote Sensing of Environment 65, 1998; levels and their fusion:
    D. Roberts et al., IEEE TGRS 41(6), 2003. Default limits are those of VIPER Tools 2.
    """
    return search(Y, prepare(library, materials, levels, shade), limits)


def count_models(sizes, levels):
    """Number of models that materials with `sizes` spectra have, over levels from the first to the last."""
    smallest, largest = levels
    counts = [1] + largest * [0]
    for size in sizes:
        for k in range(largest, 0, -1):
            counts[k] += int(size) * counts[k - 1]
    return sum(counts[smallest:])


def prepare(library, materials, levels=(1, 2), shade=None):
    """
    The `Bundle` of a library; parameters as in `mesma`.

    Raises
    ------
    ValueError
        As many materials as spectra are not given, values are not finite, a spectrum is zero (or equal to shade),
        levels are empty or exceed the number of materials, or models would have more spectra than there are bands.
    """
    library = np.asarray(library, dtype=np.float64)
    shade = np.zeros(len(library)) if shade is None else np.asarray(shade, dtype=np.float64)
    names = list(dict.fromkeys(materials))
    _check(library, materials, names, levels, shade)
    E = library - shade[:, None]
    G = E.T @ E
    groups = [np.array([k for k, material in enumerate(materials) if material == name]) for name in names]
    numbered = [[tuple(subset) for subset in subsets(range(len(names)), size)]
                for size in range(levels[0], levels[1] + 1)]
    combinations = [subset for level in numbered for subset in level]
    families = {subset: _pieces(_family(G, groups, subset, number)) for number, subset in enumerate(combinations)}
    levels = [[piece for subset in level for piece in families[subset]] for level in numbered]
    return Bundle(E, shade, names, combinations, levels)


def _check(library, materials, names, levels, shade):
    """Refuse what `prepare` says that it refuses."""
    L, K = library.shape
    if len(materials) != K or K == 0:
        raise ValueError(f"There are {K} spectra and {len(materials)} materials: give each spectrum its material.")
    if shade.shape != (L,):
        raise ValueError(f"The shade spectrum has {shade.size} bands, the library {L}: bring it to the same bands.")
    if not (np.isfinite(library).all() and np.isfinite(shade).all()):
        raise ValueError("The library or the shade spectrum holds values that are not finite: leave them out.")
    for k in np.flatnonzero(~(library - shade[:, None]).any(axis=0))[:1]:
        raise ValueError(f"Spectrum {k + 1}, of {materials[k]}, is the same as shade, which is in every model anyway: "
                         f"leave it out.")
    smallest, largest = levels
    if not 1 <= smallest <= largest:
        raise ValueError(f"Models of {smallest} to {largest} materials were asked for: the smallest number must be at "
                         f"least 1 and at most the largest.")
    if largest > len(names):
        raise ValueError(f"Models of {largest} materials were asked for, and the library has {len(names)} "
                         f"({', '.join(map(str, names))}): ask for at most {len(names)}, or add materials.")
    if largest > L:
        raise ValueError(f"Models of {largest} materials need at least {largest} bands, and there are {L}: ask for "
                         f"at most {L}.")


def _family(G, groups, subset, number):
    """The `Family` of the materials `subset`, from the Gram matrix of the library and the columns of each material."""
    most = max(subset, key=lambda k: (len(groups[k]), k))
    others = [k for k in subset if k != most]
    last, prefixes = groups[most], np.array(list(product(*(groups[k] for k in others))), dtype=int)
    energy = np.diagonal(G)
    G_pp = G[prefixes[:, :, None], prefixes[:, None, :]]
    unit = np.sqrt(energy[prefixes])
    if others:
        apart = np.linalg.eigvalsh(G_pp / (unit[:, :, None] * unit[:, None, :]))[:, 0] > DEPENDENT**2
        prefixes, G_pp = prefixes[apart], G_pp[apart]
    inverse = np.linalg.inv(G_pp)
    across = G[last[None, :, None], prefixes[:, None, :]]
    A = across @ inverse
    left = energy[last] - np.einsum("nmk,nmk->nm", A, across)
    apart = left > DEPENDENT**2 * energy[last]
    s = np.where(apart, 1 / np.sqrt(np.where(apart, left, 1)), 0)
    return Family(number, (*others, most), prefixes, last, inverse, A, s)


def _pieces(family):
    """The family as families with at most `PIECE` last spectra each."""
    parts = [slice(start, start + PIECE) for start in range(0, len(family.last), PIECE)]
    return [replace(family, last=family.last[part], A=family.A[:, part], s=family.s[:, part]) for part in parts]


def search(Y, bundle, limits=VIPER):
    """The best model of each pixel of `Y` (L, N): `Mixtures`. See `mesma`."""
    C, q, tie = _energies(Y, bundle)
    known = np.isfinite(q) & (tie > 0)
    found = _nothing(len(bundle.names), q.size)
    found.level[~known] = -1
    most = max(len(family.last) for level in bundle.levels for family in level)
    size = int(np.clip(CHUNK_NUMBERS // most, *CHUNK_PIXELS))
    pixels = np.flatnonzero(known)
    for start in range(0, pixels.size, size):
        part = pixels[start:start + size]
        chunk = _Chunk(Y, part, np.ascontiguousarray(C[:, part]), q[part], tie[part])
        _fuse(found, part, [_best(chunk, bundle, families, limits) for families in bundle.levels], limits.fusion)
    return found


def _energies(Y, bundle):
    """E^T (y - shade) (K, N), ||y - shade||^2 (N,), and the difference of energies that is a tie, TIE ||y||^2 (N,)."""
    C, q = products(Y, np.column_stack([bundle.E, bundle.shade]))
    with np.errstate(invalid="ignore"):
        energy = q - 2 * C[-1] + bundle.shade @ bundle.shade
        return C[:-1] - (bundle.E.T @ bundle.shade)[:, None], energy, TIE * q


def _nothing(P, N):
    """`Mixtures` of N pixels of which none has a model yet."""
    return Mixtures(np.full((P, N), np.nan), np.full(N, np.nan), np.full((P, N), -1, dtype=np.int32),
                    np.full(N, -1, dtype=np.int32), np.full(N, np.nan), np.zeros(N, dtype=np.int8))


def _fuse(found, pixels, levels, threshold):
    """Write the winning level's models of some pixels into `found`; `levels` are the `_Best` of each, fewest first."""
    rmse = np.stack([best.rmse() for best in levels])
    improves = np.vstack([np.full((1, pixels.size), True), rmse[:-1] - rmse[1:] >= threshold])
    winner = np.where(improves, rmse, NO_MODEL).argmin(axis=0)
    for number, best in enumerate(levels):
        won = np.flatnonzero((winner == number) & (best.combination >= 0))
        where = pixels[won]
        found.A[:, where] = best.A[:, won]
        found.shade[where] = 1 - best.A[:, won].sum(axis=0)
        found.model[:, where] = best.model[:, won]
        found.combination[where] = best.combination[won]
        found.rmse[where] = rmse[number, won]
        found.level[where] = best.size


@dataclass(frozen=True)
class _Chunk:
    """Some pixels: which of `Y` they are, C = E^T (y - shade) (K, n), q = ||y - shade||^2 (n,), and what is a tie."""

    Y: np.ndarray
    pixels: np.ndarray
    C: np.ndarray
    q: np.ndarray
    tie: np.ndarray


class _Best:
    """The best model so far of `size` materials in each pixel of a chunk, and what a better one must explain."""

    def __init__(self, chunk, bundle, size, limits):
        P, n, self.L = len(bundle.names), chunk.q.size, len(bundle.E)
        self.chunk, self.bundle, self.size, self.limits = chunk, bundle, size, limits
        self.explained = chunk.q - self.L * limits.rmse**2 - chunk.tie  # the RMSE limit: no model below it is better
        self.combination = np.full(n, -1, dtype=np.int32)
        self.model = np.full((P, n), -1, dtype=np.int32)
        self.A = np.zeros((P, n))

    def rmse(self):
        """Its RMSE (n,); `NO_MODEL` where there is none."""
        rss = np.maximum(self.chunk.q - self.explained, 0)
        return np.where(self.combination < 0, NO_MODEL, np.sqrt(rss / self.L))

    def take(self, columns, explained, family, spectra, f):
        """The model of `spectra` (k, n) with fractions `f` (k, n) is the best in these pixels."""
        materials = np.array(family.materials)[:, None]
        self.explained[columns], self.combination[columns] = explained, family.number
        self.model[:, columns], self.A[:, columns] = -1, 0
        self.model[materials, columns], self.A[materials, columns] = spectra, f

    def fits(self, columns, spectra, f):
        """Whether the residuals of these models in these pixels keep their limit."""
        if self.limits.residual is None:
            return np.full(columns.size, True)
        residual = self.chunk.Y[:, self.chunk.pixels[columns]] - self.bundle.shade[:, None]
        for k, fraction in zip(spectra, f):
            residual -= self.bundle.E[:, k] * fraction
        return longest_run(np.abs(residual) >= self.limits.residual) < self.limits.run


def longest_run(marked):
    """Most bands in a row that are marked in each pixel: (n,) of int from `marked` (L, n) of bool."""
    run = longest = np.zeros(marked.shape[1], dtype=int)
    for band in marked:
        run = (run + 1) * band
        longest = np.maximum(longest, run)
    return longest


def _best(chunk, bundle, families, limits):
    """
    The best model of one level in each pixel of a chunk.

    What a prefix explains with each of its last spectra is three passes over m x n numbers; fractions, and with them
    the limits, are computed only in the pixels where some model of the prefix would be the best so far.
    """
    best = _Best(chunk, bundle, len(families[0].materials), limits)
    for family in families:
        C_last = chunk.C[family.last]
        z, squares = np.empty_like(C_last), np.empty_like(C_last)
        for prefix, inverse, A, s in zip(family.prefixes, family.inverse, family.A, family.s):
            c = chunk.C[prefix]
            f = inverse @ c
            own = np.einsum("kn,kn->n", f, c)
            np.matmul(A, c, out=z)
            np.subtract(C_last, z, out=z)
            np.multiply(z, s[:, None], out=z)
            np.square(z, out=squares)
            rivals = np.flatnonzero(own + squares.max(axis=0) > best.explained + chunk.tie)
            if rivals.size:
                explained = own[rivals] + squares[:, rivals]
                F = _fractions(f[:, rivals], A, s, z[:, rivals])
                explained[~(_valid(F, limits) & (s[:, None] > 0))] = -np.inf
                _contest(best, family, prefix, rivals, explained, F)
    return best


def _fractions(f, A, s, z):
    """Fractions (k, m, n) of a prefix's models (see `Family`), from those of the prefix alone (k - 1, n)."""
    F = np.empty((len(f) + 1, *z.shape))
    np.multiply(z, s[:, None], out=F[-1])
    for fraction, alone, a in zip(F, f, A.T):
        np.multiply(a[:, None], F[-1], out=fraction)
        np.subtract(alone, fraction, out=fraction)
    return F


def _valid(F, limits):
    """Whether fractions (k, m, n), and the shade that they leave, are within the limits: (m, n)."""
    (low, high), (least, most) = limits.fraction, limits.shade
    shade = 1 - F.sum(axis=0)
    valid = (shade >= least - SLACK) & (shade <= most + SLACK)
    for fraction in F:
        valid &= (fraction >= low - SLACK) & (fraction <= high + SLACK)
    return valid


def _contest(best, family, prefix, columns, explained, F):
    """
    Let the best of a prefix's models have the pixels where it beats what is best so far.

    Parameters
    ----------
    columns : ndarray (n,) of int
        The pixels in question.
    explained : ndarray (m, n)
        What each model explains there, -inf where it is out. Changed.
    F : ndarray (k, m, n)
        Its fractions.
    """
    while columns.size:
        top = explained.max(axis=0)
        better = np.flatnonzero(top > best.explained[columns] + best.chunk.tie[columns])
        columns, explained, F, top = columns[better], explained[:, better], F[:, :, better], top[better]
        winner, pixel = (explained >= top - best.chunk.tie[columns]).argmax(axis=0), np.arange(columns.size)
        spectra = np.stack([*(np.full(columns.size, k) for k in prefix), family.last[winner]])
        f = F[:, winner, pixel]
        fits = best.fits(columns, spectra, f)
        best.take(columns[fits], explained[winner[fits], pixel[fits]], family, spectra[:, fits], f[:, fits])
        explained[winner, pixel] = -np.inf
        out = np.flatnonzero(~fits)
        columns, explained, F = columns[out], explained[:, out], F[:, :, out]
