"""One pixel after the other: always the one farthest from what those before it span."""

import numpy as np

from .. import pixels
from .simplex import check_count, too_few_dimensions

PART = 2048     # pixels projected at once, for the processor's cache
FLAT = 1e-10    # a distance below this share of the largest norm is rounding


def grow_cone(Y, P):
    """
    Positions of P pixels, each with the largest distance from the linear span of those before it.

    Parameters
    ----------
    Y : ndarray (L, N), or a stream of (L, n) blocks that can be gone through P times
    P : int

    Returns
    -------
    ndarray of int (P,)
        In the order found; ties go to the first pixel.

    Raises
    ------
    ValueError
        If the pixels span fewer than P dimensions.
    """
    Q, indices, largest = None, [], 0.0
    for k in range(P):
        index, pixel, distance, N = farthest(Y, 0.0, Q)
        check_count(P, len(pixel), N)
        largest = max(largest, distance)
        if not distance > FLAT * largest:
            if k < 2:
                raise ValueError("All pixels have the same spectrum up to a factor: there are no endmembers to tell "
                                 "apart.")
            raise ValueError(f"The scene spans {k} dimensions only, too few for {P} endmembers. Ask for at most {k}.")
        indices.append(index)
        Q = _extend(Q, pixel)
    return np.array(indices, dtype=np.intp)


def grow_simplex(Y, P, centre):
    """
    Positions of P pixels: the one farthest from `centre`, then those farthest from the affine hull of those before.

    The volume of a simplex with one more vertex is its own times that vertex's distance from its affine hull, over the
    new dimension: the farthest pixel is the one that makes the simplex grow most.

    Parameters
    ----------
    Y : ndarray (L, N), or a stream of (L, n) blocks that can be gone through P times
    P : int
    centre : ndarray (L,)

    Returns
    -------
    ndarray of int (P,)
        In the order found; ties go to the first pixel.

    Raises
    ------
    ValueError
        If the pixels span fewer than P - 1 dimensions around their mean.
    """
    index, origin, _, N = farthest(Y, centre, None)
    check_count(P, len(origin), N)
    Q, indices, largest = None, [index], np.linalg.norm(origin)
    for k in range(1, P):
        index, pixel, distance, _ = farthest(Y, origin, Q)
        largest = max(largest, np.linalg.norm(pixel))
        if not distance > FLAT * largest:
            raise too_few_dimensions(k - 1, P)
        indices.append(index)
        Q = _extend(Q, pixel - origin)
    return np.array(indices, dtype=np.intp)


def farthest(Y, origin, Q):
    """
    Position, spectrum and distance of the pixel farthest from `origin` + span(Q), and the number of pixels.

    Distances are those of the residuals, not differences of squares, which would lose what is small.
    """
    shift = np.reshape(origin, (-1, 1))
    largest, found, pixel, N = -1.0, 0, None, 0
    for block in pixels.blocks(Y):
        for part in pixels.blocks(block, PART):
            R = part - shift
            if Q is not None:
                R -= Q @ (Q.T @ R)
            squares = np.einsum("ln,ln->n", R, R)
            i = int(squares.argmax())
            if squares[i] > largest * (1 + 1e-12):
                i = int((squares >= squares[i] * (1 - 1e-12)).argmax())
                largest, found, pixel = squares[i], N + i, part[:, i].astype(np.float64)
            N += part.shape[1]
    if pixel is None:
        raise ValueError("There are no pixels to work on.")
    return found, pixel, float(np.sqrt(largest)), N


def _extend(Q, v):
    """Orthonormal columns that span those of Q and v."""
    if Q is None:
        return (v / np.linalg.norm(v))[:, None]
    for _ in range(2):  # once more, for what rounding left
        v = v - Q @ (Q.T @ v)
        v /= np.linalg.norm(v)
    return np.column_stack([Q, v])
