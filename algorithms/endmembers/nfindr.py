"""N-FINDR: the pixels that span the largest simplex."""

from dataclasses import dataclass

import numpy as np

from .. import pixels
from .simplex import coordinates, farthest, largest_run, log_volumes, reduction
from .vca import vca_runs

GROWTH = 1e-10   # a replacement must make the volume larger by more than this share


@dataclass(frozen=True)
class NFINDR:
    """
    Endmembers by N-FINDR.

    Attributes
    ----------
    E : ndarray (L, P)
        The chosen pixels projected onto the affine set of the simplex.
    indices : ndarray of int (P,)
        Their positions in the order of the pixels.
    log_volumes : tuple of float
        Logarithm of the volume of their run's simplex, up to a constant, at the start and after each replacement.
    """

    E: np.ndarray
    indices: np.ndarray
    log_volumes: tuple


@dataclass(frozen=True)
class Simplex:
    """Vertices (P, P) chosen by `nfindr_select`, their positions, and the volumes on the way to them."""

    indices: np.ndarray
    vertices: np.ndarray
    log_volumes: tuple


def nfindr(Y, P, rng, moments=None, restarts=1):
    """
    Endmembers by N-FINDR: pixels whose simplex has the largest volume in the P - 1 principal axes.

    Parameters
    ----------
    Y : ndarray (L, N), or a stream of (L, n) blocks that can be gone through more than once
    P : int
        Number of endmembers.
    rng : numpy.random.Generator
    moments : Moments, optional
        Of the same pixels. Besides them, P * N numbers are held in memory.
    restarts : int
        Runs to choose the largest simplex from.

    Returns
    -------
    NFINDR

    Raises
    ------
    ValueError
        If P is below 2, above the number of bands or pixels, or above the scene's dimensions (see `reduction`).

    References
    ----------
    Winter, N-FINDR: an algorithm for fast autonomous spectral end-member determination in hyperspectral data, SPIE
    3753, 1999.
    """
    moments = pixels.moments(Y) if moments is None else moments
    axes = reduction(moments, P)
    found = nfindr_select(coordinates(Y, axes.apply), P, rng, restarts)
    return NFINDR(axes.restore(found.vertices), found.indices, found.log_volumes)


def nfindr_select(X, P, rng, restarts=1):
    """
    Vertices of a simplex that no single replacement makes larger.

    With the vertices in the columns of D, G = D^-1 X holds the barycentric coordinates of all pixels, and putting
    pixel n in the place of vertex k multiplies the volume by |G_kn|. The largest of all |G| decides on both, until none
    exceeds 1.

    Parameters
    ----------
    X : ndarray (P, N), or a stream of (P, n) blocks that can be gone through more than once
        From `Reduction.apply`: P - 1 coordinates and a row of ones.
    P : int
    rng : numpy.random.Generator
    restarts : int
        Runs from different starts, of which the largest simplex is kept. They share the passes, and the first is the
        run of `restarts=1`.

    Returns
    -------
    Simplex
        Its volumes never decrease.

    Notes
    -----
    Departures: the paper tries one pixel after the other in the place of each vertex; here all pixels and vertices are
    candidates at once, so the order of the pixels has no part in the result. It starts from random pixels; here, from
    the pixels farthest in random directions (those of VCA in these coordinates), which no block structure changes.
    """
    indices, vertices = vca_runs(X, P, rng, restarts, affine=True)
    volumes = [[volume] for volume in log_volumes(vertices)]
    active = np.arange(restarts)
    while len(active):
        found = farthest(X, np.linalg.inv(vertices[active]).reshape(-1, P))
        growth = found.values.reshape(-1, P)
        k = growth.argmax(axis=1)
        grows = growth[np.arange(len(active)), k] > 1 + GROWTH
        at = (np.arange(len(active)) * P + k)[grows]
        active, k = active[grows], k[grows]
        indices[active, k] = found.indices[at]
        vertices[active, :, k] = found.vertices[:, at].T
        for run, volume in zip(active, log_volumes(vertices[active])):
            volumes[run].append(volume)
    best = largest_run(vertices)
    return Simplex(indices[best], vertices[best], tuple(map(float, volumes[best])))
