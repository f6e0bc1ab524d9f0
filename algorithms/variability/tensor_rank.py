"""How many outer products a tensor is worth: from the gaps between the singular values of its unfoldings."""

import numpy as np

from .cpd import unfolding_gram


def tensor_rank(X, tolerance=0.15):
    """
    The number of singular values that stand out, in the unfolding of a tensor that has most of them.

    With the singular values s_1 >= s_2 >= ... >= s_n_i of the unfolding along mode i::

            R_i = max {j : s_j - s_(j+1) >= tolerance sigma, before two such gaps in a row are narrower}, K = max_i R_i
        sigma = ||X|| / max n_i

    For the abundances of a square image sigma is the root mean square length of a pixel's abundances, near one. A
    tensor of exact rank K, whose factors are linearly independent in some mode longer than K, is given K if s_K is at
    least tolerance sigma there and no three of its singular values are nearly equal.

    Parameters
    ----------
    X : ndarray (n_1, n_2, ...)
    tolerance : float
        epsilon, free of units.

    Returns
    -------
    int
        At least 1.

    Notes
    -----
    The singular values are roots of the eigenvalues of X_(i) X_(i)^T, and so exact to the square root of X's precision
    against the largest one.

    References
    ----------
    T. Imbiriba et al., IEEE TGRS 58(3), 2020, eq. 23-24 with epsilon = 0.15. Departures: as printed, eq. 23 takes the
    smallest j of |s_j - s_(j+1)| < epsilon, which is K + 1 for a tensor of exact rank K, fewer where two singular
    values happen to be equal, and another number in other units. Here the gaps are measured against sigma, one narrow
    gap may lie among wide ones, and the last wide one counts. (The last of all would follow noise: 23 instead of 5 for
    abundances of rank 5 that least squares found at 30 dB.) Against s_1 instead of sigma, 0.15 would find one component
    only in tensors of nonnegative factors, whose mean dominates.
    """
    return standing_out([_singular_values(X, mode) for mode in range(X.ndim)], tolerance)


def standing_out(spectra, tolerance):
    """K for the singular values of every unfolding: a list of ndarray (n_i,), in descending order."""
    wide = max(tolerance * np.linalg.norm(spectra[0]) / max(map(len, spectra)), np.finfo(float).tiny)
    return max(_leading(np.append(-np.diff(s), 0.0) >= wide) for s in spectra)


def _leading(wide):
    """How far the last of the wide gaps lies before two narrow ones in a row; at least 1."""
    ends = np.flatnonzero(~wide[:-1] & ~wide[1:])
    kept = np.flatnonzero(wide[:ends[0]] if ends.size else wide)
    return int(kept[-1]) + 1 if kept.size else 1


def scaled_endmembers_rank(P, psi, tolerance=0.15):
    """
    The rank of the endmembers M_n = psi_n M0, a tensor (P, L, rows, cols): P times that of psi.

    With psi = sum_j s_j u_j v_j^T they are the sum over endmembers p and over j of s_j e_p o m_p o u_j o v_j, and no
    fewer terms will do: unfolded to (P rows) x (L cols) they are the Kronecker product of M0^T and psi, whose rank is
    the product of the two. So nothing larger than psi is decomposed.

    Parameters
    ----------
    P : int
        Linearly independent endmembers.
    psi : ndarray (rows, cols)
    tolerance : float
        Of `tensor_rank`, for psi.

    References
    ----------
    Departure: eq. 24 takes the largest rank of the four unfoldings, which is the larger of the two factors: P
    or psi's rank. So few components cannot hold psi_n M0, and fewer than P not even M0.
    """
    return P * tensor_rank(psi, tolerance)


def _singular_values(X, mode):
    return np.sqrt(np.maximum(np.linalg.eigvalsh(unfolding_gram(X, mode))[::-1], 0))
