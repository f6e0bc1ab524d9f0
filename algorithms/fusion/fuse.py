"""FUSE: the maximum of a Gaussian posterior in a subspace, by a Sylvester equation."""

import numpy as np

from .pair import Fused, positive
from .sylvester import across

RANK = 15        # of the subspace
PRIOR = 1e-3     # weight of the interpolated HSI


def subspace(pair, rank):
    """The leading `rank` principal directions of the HSI's pixels, orthonormal (K, rank)."""
    if rank < 1:
        raise ValueError(f"the rank of the subspace is {rank}; it must be 1 or more")
    Y = pair.Y_H.astype(np.float64)
    rank = min(rank, *Y.shape)
    values, vectors = np.linalg.eigh(Y @ Y.T)
    return vectors[:, ::-1][:, :rank]


def fuse(pair, rank=RANK, prior=PRIOR, balance=1.0):
    """
    Fast fusion of two images by solving a Sylvester equation.

    min over X  1/2 ||Y_H - E X B S||^2 + balance/2 ||Y_M - P3 E X||^2 + prior/2 ||X - mu||^2, with the scene Z = E X in
    the HSI's leading principal directions E and mu the interpolated HSI. It has one closed solution.

    Parameters
    ----------
    pair : Pair
        Of data scaled to about one, see `Pair.scaled`: the prior's weight counts on it.
    rank : int
        Dimension of the subspace, 1 or more, cut to what the HSI has.
    prior : float
        Weight of the interpolated HSI, above 0: what it alone decides are directions that the MSI does not see.
    balance : float
        Weight of the MSI, above 0.

    Returns
    -------
    Fused

    Raises
    ------
    ValueError
        A rank or weights out of range.

    References
    ----------
    Wei, Dobigeon and Tourneret, Fast fusion of multi-band images based on solving a Sylvester equation, IEEE TIP
    24(11), 2015. Noise covariances and the prior's are multiples of the identity here, as in the authors' comparisons.
    The blur is neither circular nor tied to whole ratios: see `sylvester.across`.
    """
    positive("the weight of the interpolated HSI", prior)
    positive("the weight of the MSI", balance)
    E = subspace(pair, rank)
    low = np.tensordot(E.T, pair.hsi, 1)
    RE = pair.P3 @ E
    right = pair.spread(low) + balance * np.tensordot(RE.T, pair.msi, 1) + prior * pair.upsample(low)
    G2 = balance * RE.T @ RE + prior * np.eye(len(low))
    return Fused(E, across(pair.rows, pair.columns, np.eye(len(low)), G2, right))
