"""PPI: pixels that are extreme in many random directions."""

from dataclasses import dataclass

import numpy as np

from .. import pixels
from .simplex import coordinates, extremes, reduction

ANGLE = np.deg2rad(2.5)


@dataclass(frozen=True)
class PPI:
    """
    Votes of the pixel purity index, and the endmembers chosen by them.

    Attributes
    ----------
    E : ndarray (L, P)
        The chosen pixels projected onto the affine set of the simplex.
    indices : ndarray of int (P,)
        Their positions in the order of the pixels, most votes first.
    voted : ndarray of int (K,)
        Positions of all pixels that got a vote, ascending.
    votes : ndarray of int (K,)
        How many each of them got; two for every direction in sum.
    """

    E: np.ndarray
    indices: np.ndarray
    voted: np.ndarray
    votes: np.ndarray


def ppi(Y, P, rng, moments=None, skewers=10000, angle=ANGLE):
    """
    Endmembers by the pixel purity index, on the P - 1 principal axes.

    Parameters
    ----------
    Y : ndarray (L, N), or a stream of (L, n) blocks that can be gone through more than once
    P : int
        Number of endmembers.
    rng : numpy.random.Generator
    moments : Moments, optional
        Of the same pixels. Besides them, P * N numbers are held in memory.
    skewers : int
        Random directions.
    angle : float
        Smallest angle between two endmembers, in radians.

    Returns
    -------
    PPI

    Raises
    ------
    ValueError
        See `reduction` and `ppi_select`.

    References
    ----------
    Boardman, Kruse and Green, Mapping target signatures via partial unmixing of AVIRIS data, Fifth JPL Airborne Earth
    Science Workshop, 1995. Departure: principal axes of the scene as it is, where the authors take those of the scene
    whitened by its noise; give the MNF-transformed scene for theirs.
    """
    moments = pixels.moments(Y) if moments is None else moments
    axes = reduction(moments, P)
    return ppi_select(coordinates(Y, axes.apply), P, rng, axes, skewers, angle)


def ppi_select(X, P, rng, axes, skewers, angle):
    """
    Votes and endmembers from reduced pixels.

    Each direction gives a vote to the pixel farthest along it and one to the pixel farthest against it: only vertices
    of the scene's convex hull get any. Endmembers are the pixels with most votes, passing over those that differ by
    less than `angle` from one with more.

    Parameters
    ----------
    X : ndarray (P, N), or a stream of (P, n) blocks
        From `axes.apply`.
    P : int
    rng : numpy.random.Generator
    axes : Reduction
    skewers : int
    angle : float

    Raises
    ------
    ValueError
        If fewer than P different pixels got votes.
    """
    # Gaussian, so alike in all directions; their length does not matter. A row for the ones, which all pixels share.
    F = np.column_stack([rng.standard_normal((skewers, P - 1)) * axes.s / axes.s.max(), np.zeros(skewers)])
    low, high = extremes(X, F.astype(np.float32))
    voted, first, votes = np.unique(np.concatenate([low.indices, high.indices]), return_index=True, return_counts=True)
    spectra = axes.restore(np.concatenate([low.vertices, high.vertices], axis=1)[:, first])
    units = spectra / np.maximum(np.linalg.norm(spectra, axis=0), np.finfo(float).tiny)
    chosen = []
    for candidate in np.argsort(-votes, kind="stable"):
        if not chosen or (units[:, chosen].T @ units[:, candidate]).max() < np.cos(angle):
            chosen.append(candidate)
            if len(chosen) == P:
                return PPI(spectra[:, chosen], voted[chosen], voted, votes)
    raise ValueError(f"Of {len(voted)} pixels with votes only {len(chosen)} differ by {np.rad2deg(angle):.3g} degrees "
                     f"or more, too few for {P} endmembers. Lower the angle, draw more skewers, or ask for "
                     f"{'fewer' if len(chosen) < 2 else f'at most {len(chosen)}'}.")
