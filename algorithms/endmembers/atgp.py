"""ATGP: one target after the other, each the brightest in what the others do not explain."""

from .growing import grow_cone


def atgp(Y, P):
    """
    Endmembers by the automatic target generation process, in P passes over the pixels.

    The first is the pixel with the largest norm; every next one that with the largest ||(I - U U^+) y||, U those
    before it: column-pivoted QR. Pixels are taken as they are, not around their mean, so bright ones come first.

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
        If P is below 2 or above the number of bands, pixels or dimensions of the scene.

    Notes
    -----
    All bands take part. On a few principal axes the search would be faster, and not the same: the part of a pixel that
    they leave out counts in its norm.

    References
    ----------
    Ren and Chang, Automatic spectral target recognition in hyperspectral imagery, IEEE TAES 39(4), 2003.
    """
    return grow_cone(Y, P)
