"""DEIM: the rows of a basis that interpolate it best."""

from dataclasses import dataclass

import numpy as np

from .simplex import check_count, farthest

TIE = 1e-12


def deim(V):
    """
    Indices chosen by the discrete empirical interpolation method (CUR-HU, Algorithm 1).

    The first index is the largest entry of |v_1| (eq. 12); every next one the largest entry of what the vectors
    before it cannot interpolate at the indices before it (eq. 16)::

        r_j = v_j - V_{j-1} (P^T V_{j-1})^-1 P^T v_j,    p_j = argmax |r_j|

    Parameters
    ----------
    V : ndarray (n, r)
        Basis vectors in its columns, most important first: left singular vectors choose bands, right singular
        vectors pixels.

    Returns
    -------
    ndarray of int (r,)
        Distinct row indices. Entries equal to the largest within 1e-12 count as tied, and the lowest index wins:
        so identical pixels are told apart in the same way however the scene was cut into blocks.

    Raises
    ------
    ValueError
        With more vectors than rows, or linearly dependent vectors.

    References
    ----------
    Chaturantabut and Sorensen, SIAM J. Sci. Comput. 32(5), 2010; Sorensen and Embree, SIAM J. Sci. Comput. 38(3),
    2016; Abdelgawad et al., CUR-HU, Remote Sensing 2024, eqs. 10-16.
    """
    V = np.asarray(V, dtype=np.float64)
    n, r = V.shape
    if r > n:
        raise ValueError(f"DEIM cannot choose {r} different rows of {n}. Ask for at most {n}.")
    return deim_select(V.T, r)


def deim_select(X, r):
    """
    The indices of `deim` from the rows of V as a stream, in r passes: X = V^T, (r, n) or blocks of it in order.

    The residual of a row x of V is f^T x with f = [-c, 1, 0, ...]: DEIM picks the row farthest along a direction.
    """
    chosen, vertices = np.empty(r, dtype=np.intp), np.empty((r, r))
    for j in range(r):
        e = np.eye(r)[j]
        f = e.copy()
        f[:j] -= np.linalg.solve(vertices[:j, :j].T, vertices[j, :j])
        found = farthest(X, np.stack([f, e]))
        if not found.values[0] > TIE * found.values[1]:
            raise ValueError(f"Vector {j + 1} of {r} depends linearly on those before it. Ask for at most {j}.")
        chosen[j], vertices[:, j] = found.indices[0], found.vertices[:, 0]
    return chosen


@dataclass(frozen=True)
class RightVectors:
    """
    From a scene to its leading right singular vectors: what DEIM picks pixels from.

    Attributes
    ----------
    W : ndarray (L, P)
        Left singular vectors of X = D Y: what DEIM picks bands from.
    sigma : ndarray (P,)
        Singular values.
    D : ndarray (L, L)
        Makes X of Y: the scene without its noise, or as it is.
    T : ndarray (P, L)
        V^T = T Y.
    """

    W: np.ndarray
    sigma: np.ndarray
    D: np.ndarray
    T: np.ndarray

    def apply(self, Y):
        """Rows (P, n) of V^T for pixels `Y` (L, n)."""
        return self.T @ np.asarray(Y, dtype=np.float64)

    def denoise(self, Y):
        """Pixels `Y` (L, n) of X."""
        return self.D @ np.asarray(Y, dtype=np.float64)


def right_vectors(moments, P, D=None):
    """
    The P leading right singular vectors of X = D Y ~ W Sigma V^T, as V^T = Sigma^-1 W^T D Y.

    W and Sigma come from the eigenvectors of X X^T, made of the scene's moments.

    Parameters
    ----------
    moments : Moments
    P : int
    D : ndarray (L, L), optional
        What removes the noise (`regression_noise`); the scene as it is by default.

    Returns
    -------
    RightVectors

    Raises
    ------
    ValueError
        If P is below 2, or above the number of bands, pixels or dimensions of the scene.
    """
    L = len(moments.mean)
    check_count(P, L, moments.N)
    D = np.eye(L) if D is None else D
    W, sigma = leading(D @ moments.R @ D.T, P, moments.N)
    return RightVectors(W, sigma, D, (W / sigma).T @ D)


def leading(R, P, scale=1, way_out="Ask for at most {rank}."):
    """
    The P leading left singular vectors (n, P) and values (P,) of a matrix X, from R = X X^T / scale.

    Raises ValueError where X spans fewer dimensions; `way_out` says what to do then.
    """
    values, vectors = np.linalg.eigh(R)
    values, vectors = values[::-1], vectors[:, ::-1]
    rank = int(np.count_nonzero(values > len(values) * np.finfo(float).eps * values[0]))
    if rank < 2:
        raise ValueError("All pixels have the same spectrum up to a factor: there is nothing to unmix.")
    if rank < P:
        raise ValueError(f"The scene spans {rank} dimensions only, too few for {P} endmembers. "
                         + way_out.format(rank=rank))
    return vectors[:, :P], np.sqrt(scale * values[:P])
