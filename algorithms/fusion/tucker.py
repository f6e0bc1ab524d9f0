"""Tucker decompositions of both images: subspaces of each mode, and the core that fits both."""

import numpy as np

from ..variability.cpd import unfolding_gram
from .pair import along_bands

SINGULAR = 1e-13   # of the largest eigenvalue that there may be: what counts as none
RESOLVED = 1e-14   # of the largest squared singular value
FINE = 0.4         # rank of rows and columns, of the MSI's size: 40 of 100 in LL1's settings for SCOTT on Tahoe
COARSE = 0.8       # the same, of the HSI's size: 20 of 25 for CB-STAR on Tahoe
BANDS = 10         # rank of the bands beside the latter, as for SCOTT on Ivanpah
FEW = 4            # bands that the MSI must tell apart for the former


def project(X, W, U, V):
    """X (n, rows, cols) x_bands W' x_rows U' x_cols V'."""
    return U.T @ along_bands(W.T, X) @ V


def expand(G, W, U, V):
    """G (R3, R1, R2) x_bands W x_rows U x_cols V: the adjoint of `project`."""
    return along_bands(W, U @ G @ V.T)


def leading(X, mode, rank):
    """
    The `rank` leading left singular vectors (n, rank) of an unfolding of X, from its Gram matrix.

    Fewer where X has no more: singular values below 1e-7 of the largest are rounding in that matrix, and their vectors
    anything.
    """
    values, vectors = np.linalg.eigh(unfolding_gram(X, mode))
    found = max(1, np.count_nonzero(values > RESOLVED * values[-1]))
    return vectors[:, ::-1][:, :min(rank, found)].copy()


def hosvd(X, ranks):
    """
    Truncated higher-order singular value decomposition: core (R3, R1, R2) and orthonormal W, U, V.

    `ranks` are (R1, R2, R3), of rows, columns and bands. Not the best approximation of these ranks; `refine` improves.
    """
    R1, R2, R3 = ranks
    factors = leading(X, 0, R3), leading(X, 1, R1), leading(X, 2, R2)
    return project(X, *factors), factors


def refine(X, factors, ranks):
    """
    One sweep of higher-order orthogonal iteration from orthonormal W, U, V of these ranks or lower: core and factors.

    Each mode's factor is the best one beside the others', so that ||X - core x factors|| never grows.
    De Lathauwer, De Moor and Vandewalle, SIAM J. Matrix Anal. Appl. 21(4), 2000.
    """
    W, U, V = factors
    U = leading(along_bands(W.T, X) @ V, 1, ranks[0])
    half = U.T @ X
    V = leading(along_bands(W.T, half), 2, ranks[1])
    half = half @ V
    W = leading(half, 0, ranks[2])
    return along_bands(W.T, half), (W, U, V)


def coupled_core(pair, hsi, msi, W, U, V, balance):
    """
    The core G (R3, R1, R2) that minimises ||hsi - G; P1 U, P2 V, W||^2 + balance ||msi - G; U, V, P3 W||^2.

    Its normal matrix I x D2 x D1 + balance D3 x I x I, D1 = U'P1'P1 U and D2 alike, D3 = W'P3'P3 W, is diagonal in the
    eigenvectors of the three, for orthonormal W, U, V (SCOTT, section IV).

    Raises
    ------
    ValueError
        If neither image determines some part of the core.
    """
    PU, PV, RW = pair.P1 @ U, pair.P2 @ V, pair.P3 @ W
    right = project(hsi, W, PU, PV) + balance * project(msi, RW, U, V)
    (s1, E1), (s2, E2), (s3, E3) = (np.linalg.eigh(B.T @ B) for B in (PU, PV, RW))
    sums = np.outer(s1, s2) + balance * s3[:, None, None]
    if sums.min() <= SINGULAR * (1 + balance * np.linalg.norm(pair.P3, 2) ** 2):   # P1 and P2 are averages
        raise ValueError(_undetermined((U.shape[1], V.shape[1], W.shape[1]), pair))
    return expand(project(right, E3, E1, E2) / sums, E3, E1, E2)


def seen_bands(pair):
    """How many spectral directions the MSI sees: the rank of P3."""
    return int(np.linalg.matrix_rank(pair.P3))


def default_ranks(pair):
    """
    (R1, R2, R3): 0.4 of the MSI's rows and columns, and half of the bands that the MSI tells apart, but 4 at least.

    So the MSI alone determines rows and columns. It should tell apart some more bands than are asked of it, or else it
    says of the last ones little but its noise: on Indian Pines (36 x 36 HSI pixels, 6 MSI bands, 30 dB) SCOTT reaches
    30 dB with (58, 58, 4), 25 dB with LL1's (40, 40, 6), and 19 dB with (58, 58, 6). Where the MSI tells apart fewer
    than 4, the HSI has to determine rows and columns too: 0.8 of its own, and 10 bands.
    """
    K, I_H, J_H = pair.hsi.shape
    _, I, J = pair.msi.shape
    seen = seen_bands(pair)
    relative, rows, columns, bands = (FINE, I, J, max(FEW, seen // 2)) if seen >= FEW else (COARSE, I_H, J_H, BANDS)
    R1, R2 = (max(1, round(relative * n)) for n in (rows, columns))
    return fitting((R1, R2, min(bands, K, I_H * J_H)))


def fitting(ranks):
    """Ranks (R1, R2, R3) with none above the product of the others, which no tensor has."""
    R1, R2, R3 = ranks
    R1, R2 = min(R1, R2 * R3), min(R2, R1 * R3)
    return R1, R2, min(R3, R1 * R2)


def check_images(pair):
    """Raise ValueError for an image that is zero everywhere, which has no directions to describe it by."""
    for name, image in (("hyperspectral", pair.hsi), ("multispectral", pair.msi)):
        if not image.any():
            raise ValueError(f"the {name} image is zero everywhere: there is nothing to fuse")


def check_ranks(pair, ranks):
    """
    Raise ValueError for ranks (R1, R2, R3) that no scene has, or that leave the scene undetermined.

    Determined it is if (R1 <= I_H and R2 <= J_H) or R3 <= K_M (SCOTT, theorem III.1), with the rank of P3 for K_M.
    """
    R1, R2, R3 = ranks
    K, I_H, J_H = pair.hsi.shape
    _, I, J = pair.msi.shape
    check_tucker("scene", ranks, (I, J, min(K, I_H * J_H)))
    if (R1 > I_H or R2 > J_H) and R3 > seen_bands(pair):
        raise ValueError(_undetermined(ranks, pair))


def check_tucker(what, ranks, largest):
    """Raise ValueError for ranks outside 1 to `largest`, or one above the product of the other two."""
    if not all(1 <= rank <= most for rank, most in zip(ranks, largest)):
        raise ValueError(f"the {what}'s ranks {_listed(ranks)} (rows, columns, bands) must be from 1 to "
                         f"{_listed(largest)}: choose others")
    if tuple(ranks) != fitting(ranks):
        raise ValueError(f"of the {what}'s ranks {_listed(ranks)} (rows, columns, bands) one exceeds the product of "
                         f"the other two, which no image has: lower it")


def _undetermined(ranks, pair):
    _, I_H, J_H = pair.hsi.shape
    return (f"ranks {_listed(ranks)} (rows, columns, bands) leave the scene undetermined: either those of rows and "
            f"columns must be at most {I_H} and {J_H}, the hyperspectral image's size, or that of the bands at most "
            f"{seen_bands(pair)}, as many as the multispectral image tells apart; lower the one or the other")


def _listed(values):
    return "(" + ", ".join(map(str, values)) + ")"
