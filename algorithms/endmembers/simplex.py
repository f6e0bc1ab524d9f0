"""What extractors share that search for a simplex: coordinates around the mean, extreme pixels, and volumes."""

from dataclasses import dataclass

import numpy as np

from .. import pixels

PRODUCTS = 1 << 17   # entries of one product of directions and pixels: few enough to stay in the processor's cache
DIRECTIONS = 256     # directions of it, at most


@dataclass(frozen=True)
class Reduction:
    """
    From L bands to the P - 1 principal coordinates in which P endmembers span a simplex, each scaled to variance one.

    Attributes
    ----------
    U : ndarray (L, P - 1)
        Orthonormal principal axes, the strongest first; the largest entry of each is positive.
    s : ndarray (P - 1,)
        Standard deviation of the pixels along each axis.
    mean : ndarray (L,)
        Mean spectrum.
    """

    U: np.ndarray
    s: np.ndarray
    mean: np.ndarray

    def apply(self, Y):
        """Coordinates X (P, n) of pixels `Y` (L, n): diag(1 / s) U^T (y - mean), and a last row of ones."""
        T = (self.U / self.s).T
        x = T @ np.asarray(Y, dtype=np.float64) - (T @ self.mean)[:, None]
        return np.vstack([x, np.ones(x.shape[1])])

    def restore(self, X):
        """Spectra (L, n) of coordinates `X` (P, n)."""
        return self.mean[:, None] + (self.U * self.s) @ X[:-1]

    def denoise(self, Y):
        """Pixels `Y` (L, n) projected onto the affine set in which the simplex lies."""
        return self.restore(self.apply(Y))


def reduction(moments, P):
    """
    The reduction for `P` endmembers.

    Raises
    ------
    ValueError
        If P is below 2, above the number of bands or pixels, or if P endmembers span more dimensions than the scene.
    """
    L = len(moments.mean)
    check_count(P, L, moments.N)
    values, vectors = np.linalg.eigh(moments.K)
    values, vectors = values[::-1], vectors[:, ::-1]
    # the rounding of K = R - mean mean^T is that of R
    rank = int(np.count_nonzero(values > L * np.finfo(float).eps * np.trace(moments.R)))
    if rank < P - 1:
        raise too_few_dimensions(rank, P)
    U = vectors[:, :P - 1]
    return Reduction(U * pixels.signs(U), np.sqrt(values[:P - 1]), moments.mean)


def check_count(P, L, N):
    """Raise ValueError where `P` endmembers cannot be found among N pixels of L bands."""
    most = min(L, N)
    if not 2 <= P <= most:
        way_out = f"Ask for 2 to {most}." if most >= 2 else "Choose a raster with more."
        raise ValueError(f"{P} endmembers cannot be found among {N} pixels of {L} bands. {way_out}")


def too_few_dimensions(rank, P):
    """The ValueError to raise where pixels that span `rank` dimensions around their mean hold no `P` endmembers."""
    if rank == 0:
        return ValueError("All pixels have the same spectrum: there are no endmembers to tell apart.")
    dimensions = "1 dimension" if rank == 1 else f"{rank} dimensions"
    return ValueError(f"The scene spans {dimensions} only around its mean, too few for {P} endmembers. "
                      f"Ask for at most {rank + 1}.")


def coordinates(Y, apply):
    """`apply` of all pixels `Y`, an array (L, N) or a stream of blocks, in one array."""
    return np.concatenate([apply(part) for block in pixels.blocks(Y) for part in pixels.blocks(block)], axis=1)


@dataclass(frozen=True)
class Extremes:
    """
    The pixels that lie farthest along each of K directions.

    Attributes
    ----------
    values : ndarray (K,)
        f^T x.
    indices : ndarray of int (K,)
        Positions in the order of the pixels.
    vertices : ndarray (d, K)
        Coordinates x, as they are in the stream.
    """

    values: np.ndarray
    indices: np.ndarray
    vertices: np.ndarray


def extremes(X, F):
    """
    Pixels with the smallest and the largest f^T x for each direction f, in one pass.

    Parameters
    ----------
    X : ndarray (d, N), or a stream of (d, n) blocks
    F : ndarray (K, d)
        Directions in its rows. Its precision is that of the products.

    Returns
    -------
    low, high : Extremes
        Ties, values equal within 1e-12 (1e-6 in single precision), go to the first pixel: so identical pixels are told
        apart in the same way however the scene was cut into blocks.
    """
    tie = _tie(F)
    # the smallest along f is the largest along -f
    low, high = _Largest(*F.shape), _Largest(*F.shape)
    start = 0
    for block in pixels.blocks(X):
        for part in pixels.blocks(block, PRODUCTS // min(len(F), DIRECTIONS)):
            x = part.astype(F.dtype, copy=False)
            for first in range(0, len(F), DIRECTIONS):
                S = F[first:first + DIRECTIONS] @ x
                high.update(S, first, start, part, tie)
                low.update(np.negative(S, out=S), first, start, part, tie)
            start += part.shape[1]
    return Extremes(-low.values, low.indices, low.vertices), Extremes(high.values, high.indices, high.vertices)


class _Largest:
    """The largest product of each direction so far."""

    def __init__(self, K, d):
        self.values = np.full(K, -np.inf)
        self.indices = np.zeros(K, dtype=np.intp)
        self.vertices = np.zeros((d, K))

    def update(self, S, first, start, part, tie):
        """Take up the products S (k, n) of the directions from `first` on with the pixels `part` from `start` on."""
        largest = S.max(axis=1)
        known = self.values[first:first + len(S)]
        better = np.flatnonzero(largest - known > tie * np.abs(largest))
        if len(better):
            at = (S[better] >= (largest[better] - tie * np.abs(largest[better]))[:, None]).argmax(axis=1)
            self.values[first + better] = largest[better]
            self.indices[first + better] = start + at
            self.vertices[:, first + better] = part[:, at]


def farthest(X, F):
    """Pixels with the largest |f^T x| for each direction f in the rows of `F` (see `extremes`); values without sign."""
    low, high = extremes(X, F)
    ahead = -low.values - high.values
    tied = np.abs(ahead) <= _tie(F) * np.abs(high.values)
    below = np.where(tied, low.indices < high.indices, ahead > 0)
    return Extremes(np.where(below, -low.values, high.values), np.where(below, low.indices, high.indices),
                    np.where(below, low.vertices, high.vertices))


def _tie(F):
    """Share of a value within which others count as equal to it."""
    return max(1e-12, 8 * np.finfo(F.dtype).eps)


def log_volumes(vertices):
    """
    Logarithm of the volume of each simplex in `vertices` (runs, d, P), up to a constant; -inf where it is flat.

    The P - 1 edges from the first vertex span it: |det| of a square matrix, by QR of one that is not.
    """
    R = np.linalg.qr(vertices[:, :, 1:] - vertices[:, :, :1], mode="r")
    with np.errstate(divide="ignore"):
        return np.log(np.abs(np.diagonal(R, axis1=1, axis2=2))).sum(axis=1)


def largest_run(vertices):
    """The run in `vertices` (runs, d, P) whose simplex is largest; the first of equals."""
    return int(log_volumes(vertices).argmax())
