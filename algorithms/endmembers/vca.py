"""VCA: pixels at the corners of the scene's simplex, by random directions."""

from dataclasses import dataclass

import numpy as np

from .. import pixels
from .simplex import check_count, coordinates, farthest, largest_run

DARK = 1e-6


@dataclass(frozen=True)
class VCA:
    """
    Endmembers by vertex component analysis.

    Attributes
    ----------
    E : ndarray (L, P)
        Endmembers as the authors return them: the chosen pixels projected onto the signal subspace.
    raw : ndarray (L, P)
        The chosen pixels as they are.
    indices : ndarray of int (P,)
        Their positions in the order of the pixels.
    snr : float
        Estimated signal-to-noise ratio in dB.
    projective : bool
        Which of the two projections was used, see `vca_projection`.
    """

    E: np.ndarray
    raw: np.ndarray
    indices: np.ndarray
    snr: float
    projective: bool


@dataclass(frozen=True)
class Projection:
    """
    From L bands to the P coordinates in which VCA searches.

    Attributes
    ----------
    U : ndarray (L, P) if projective, else (L, P - 1)
        Orthonormal axes, the strongest first; the largest entry of each is positive.
    mean : ndarray (L,)
        Mean spectrum.
    snr : float
        Estimated signal-to-noise ratio in dB.
    projective : bool
    """

    U: np.ndarray
    mean: np.ndarray
    snr: float
    projective: bool

    def apply(self, Y):
        """
        Coordinates X of pixels `Y` (L, n).

        Projective: (P + 1, n), x / (x^T u) with x = U^T y and u its mean, and a last row x^T u; a pixel with x^T u <=
        1e-6 u^T u, too dark to have a direction, becomes zero and is never chosen. Otherwise (P, n), U^T (y - mean) and
        a last row of ones to be lifted.
        """
        Y = np.asarray(Y, dtype=np.float64)
        if not self.projective:
            return np.vstack([self.U.T @ Y - (self.U.T @ self.mean)[:, None], np.ones(Y.shape[1])])
        x, u = self.U.T @ Y, self.U.T @ self.mean
        scale = u @ x
        bright = scale > DARK * (u @ u)
        return np.vstack([np.where(bright, x / np.where(bright, scale, 1.0), 0.0), scale])

    def denoise(self, Y):
        """Pixels `Y` (L, n) projected onto the signal subspace, or the affine one around the mean."""
        Y = np.asarray(Y, dtype=np.float64)
        if self.projective:
            return self.U @ (self.U.T @ Y)
        mean = self.mean[:, None]
        return mean + self.U @ (self.U.T @ (Y - mean))


def vca(Y, P, rng, moments=None, restarts=1):
    """
    Endmembers by vertex component analysis, in three passes over the pixels (two if `moments` are given).

    Parameters
    ----------
    Y : ndarray (L, N), or a stream of (L, n) blocks that can be gone through more than once
    P : int
        Number of endmembers.
    rng : numpy.random.Generator
    moments : Moments, optional
        Of the same pixels. Besides them, P * N numbers are held in memory.
    restarts : int
        Runs to choose the largest simplex from (see `vca_select`).

    Returns
    -------
    VCA

    Raises
    ------
    ValueError
        If P is below 2, above the number of bands or pixels, or above the dimension of the scene.

    References
    ----------
    Nascimento and Bioucas-Dias, Vertex Component Analysis, IEEE TGRS 43(4), 2005.
    """
    moments = pixels.moments(Y) if moments is None else moments
    projection = vca_projection(moments, P)
    X = coordinates(Y, projection.apply)
    indices = vca_select(X, P, rng, affine=not projection.projective, restarts=restarts)
    raw = columns(Y, indices)
    return VCA(projection.denoise(raw), raw, indices, projection.snr, projection.projective)


def vca_projection(moments, P):
    """
    The projection onto P coordinates, chosen by the signal-to-noise ratio.

    With P_y = mean ||y||^2 and P_x = mean ||U_P^T (y - mean)||^2 + ||mean||^2 on the P principal axes U_P::

        SNR = 10 log10 ((P_x - P/L P_y) / (P_y - P_x))

    From 15 + 10 log10 P dB upwards the pixels are projected onto P axes of their correlation and divided by their
    component along the mean, which removes the scale of illumination (projective). Below, onto P - 1 principal axes
    around the mean, lifted by a constant.

    Parameters
    ----------
    moments : Moments
    P : int

    Returns
    -------
    Projection
    """
    L = len(moments.mean)
    check_count(P, L, moments.N)
    values, vectors = np.linalg.eigh(moments.K)
    P_y = np.trace(moments.R)
    P_x = values[-P:].sum() + moments.mean @ moments.mean
    snr = _decibel(P_x - P / L * P_y, P_y - P_x)
    projective = snr >= 15 + 10 * np.log10(P)
    if projective:
        values, vectors = np.linalg.eigh(moments.R)
    d = P if projective else P - 1
    if not values[-d] > L * np.finfo(float).eps * values[-1]:
        rank = int(np.count_nonzero(values > L * np.finfo(float).eps * values[-1]))
        most = rank if projective else rank + 1
        if most < 2:
            raise ValueError("All pixels have the same spectrum up to a factor: there are no endmembers to tell apart.")
        raise ValueError(f"The scene spans {rank} dimensions only, too few for {P} endmembers. Ask for at most {most}.")
    U = vectors[:, ::-1][:, :d]
    return Projection(U * pixels.signs(U), moments.mean, float(snr), bool(projective))


def vca_select(X, P, rng, affine=False, restarts=1):
    """
    Positions of P vertices among projected pixels.

    P times: a random direction f orthogonal to the vertices found so far; the pixel with the largest |f^T x| is the
    next vertex. The first direction is orthogonal to the last axis.

    Parameters
    ----------
    X : ndarray, or a stream of blocks, that can be gone through more than once (P + 1 times)
        From `Projection.apply`.
    P : int
    rng : numpy.random.Generator
    affine : bool
        The last row of X is a row of ones, to be lifted to the largest norm of the other rows.
    restarts : int
        Runs to choose from: the one whose vertices span the simplex of largest volume, with the brightness that
        they have in the scene. They share the passes; the first is the run of `restarts=1`.

    Returns
    -------
    ndarray of int (P,)
        Positions in the order of the stream; ties go to the lowest.

    Notes
    -----
    Directions are drawn Gaussian, the same in every direction; the authors draw them uniform on [0, 1]^P. Restarts are
    not the authors'. Their volumes are not those of the projective coordinates, where the noise of dark pixels spans
    the largest simplex.
    """
    indices, vertices = vca_runs(X, P, rng, restarts, affine)
    return indices[largest_run(vertices)]


def vca_runs(X, P, rng, runs, affine=False):
    """
    The vertices of several runs of `vca_select` side by side.

    Returns
    -------
    indices : ndarray of int (runs, P)
    vertices : ndarray (runs, P, P)
        Their coordinates, one in each column: as they are in `X`, times the last row where the projection was
        projective.
    """
    lift = np.ones(P)
    if affine:
        lift[-1] = max(np.sqrt(np.square(block[:-1]).sum(axis=0).max()) for block in pixels.blocks(X) if block.size)
    W = rng.standard_normal((runs, P, P))
    B = np.zeros((runs, P, P))
    B[:, -1, 0] = 1.0
    indices, scale = np.empty((runs, P), dtype=np.intp), np.ones((runs, 1, P))
    for i in range(P):
        w = W[:, i, :, None]
        f = (w - B @ (np.linalg.pinv(B) @ w))[:, :, 0]
        f /= np.linalg.norm(f, axis=1, keepdims=True)
        found = farthest(X, f * lift if affine else np.column_stack([f, np.zeros(runs)]))
        indices[:, i] = found.indices
        B[:, :, i] = found.vertices[:P].T * lift
        if not affine:
            scale[:, 0, i] = found.vertices[P]
    return indices, B * scale / lift[:, None]


def _decibel(signal, noise):
    """10 log10 of a ratio, infinite without noise and -infinite without signal."""
    if noise <= 0:
        return np.inf
    return 10 * np.log10(signal / noise) if signal > 0 else -np.inf


def columns(Y, indices):
    """Pixels of `Y` at the positions `indices`, (L, len(indices)) float64, in one pass over a stream."""
    if isinstance(Y, np.ndarray):
        return Y[:, indices].astype(np.float64)
    indices = np.asarray(indices)
    found, start = None, 0
    for block in pixels.blocks(Y):
        if found is None:
            found = np.empty((len(block), len(indices)))
        here = (indices >= start) & (indices < start + block.shape[1])
        found[:, here] = block[:, indices[here] - start]
        start += block.shape[1]
    return found
