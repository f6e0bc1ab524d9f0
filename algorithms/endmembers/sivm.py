"""SiVM: the simplex of largest volume, from distances between pixels alone."""

from .growing import grow_simplex


def sivm(Y, P):
    """
    Endmembers by simplex volume maximisation, in P passes over the pixels.

    Starts from the pixel farthest from the origin; every next one maximises the volume of the simplex of all so far,
    given by the distances d between pixels (the Cayley-Menger determinant): d^T C^-1 d with d = [d^2(x, e_1), ...,
    d^2(x, e_k), 1] and C the squared distances among the vertices, bordered by ones. That is twice the squared
    distance of x from their affine hull, and is computed as such.

    Parameters
    ----------
    Y : ndarray (L, N), or a stream of (L, n) blocks that can be gone through P times
    P : int
        Number of endmembers.

    Returns
    -------
    ndarray of int (P,)
        Positions in the order of the pixels, the first found first.

    Raises
    ------
    ValueError
        If P is below 2, above the number of bands or pixels, or above the scene's dimensions around its mean plus one.

    Notes
    -----
    So it is SGA (see `sga`) with another first pixel. Departures from Thurau et al.: they start from the pixel that is
    farthest from a random one, and assume edges of equal length to save time; here the volume is exact.

    References
    ----------
    Thurau, Kersting and Bauckhage, Yes we can: simplex volume maximization for descriptive web-scale matrix
    factorization, CIKM 2010; Heylen, Burazerovic and Scheunders, Fully constrained least squares spectral unmixing by
    simplex projection, IEEE TGRS 49(11), 2011.
    """
    return grow_simplex(Y, P, 0.0)
