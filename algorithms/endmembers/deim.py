"""DEIM: the rows of a basis that interpolate it best."""

import numpy as np

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
    chosen = np.empty(r, dtype=np.intp)
    for j in range(r):
        picked = chosen[:j]
        residual = V[:, j] - V[:, :j] @ np.linalg.solve(V[picked, :j], V[picked, j])
        size = np.abs(residual)
        size[picked] = 0.0
        largest = size.max()
        if not largest > TIE * np.abs(V[:, j]).max():
            raise ValueError(f"Vector {j + 1} of {r} depends linearly on those before it. Ask for at most {j}.")
        chosen[j] = np.argmax(size >= largest * (1 - TIE))
    return chosen
