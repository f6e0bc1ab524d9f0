"""SGA: a simplex that grows by the pixel that makes it largest."""

from .. import pixels
from .growing import grow_simplex


def sga(Y, P, moments=None):
    """
    Endmembers by the simplex growing algorithm, in P passes over the pixels and one for their mean.

    Starts from the pixel farthest from the mean; every next one gives the simplex of all so far its largest volume.

    Parameters
    ----------
    Y : ndarray (L, N), or a stream of (L, n) blocks that can be gone through more than once
    P : int
        Number of endmembers.
    moments : Moments, optional
        Of the same pixels.

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
    Departures: the paper computes volumes as determinants after a reduction to k - 1 dimensions at step k, and starts
    from the pixel that spans the longest segment with a random target. Here volumes are those of Gram determinants in
    all bands, which need no reduction (see `grow_simplex`), and nothing is random.

    References
    ----------
    Chang, Wu, Liu and Ouyang, A new growing method for simplex-based endmember extraction algorithm, IEEE TGRS 44(10),
    2006.
    """
    moments = pixels.moments(Y) if moments is None else moments
    return grow_simplex(Y, P, moments.mean)
