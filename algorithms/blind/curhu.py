"""CUR-HU: endmembers and abundances from columns and rows of the scene itself."""

from dataclasses import dataclass

import numpy as np

from ..endmembers.deim import deim, leading, right_vectors
from ..pixels import blocks
from ..pixels import moments as moments_of
from ..prepare.noise import regression_noise
from ..rank.iqr import iqr

CONSTRAINTS = ("none", "anc", "anc+asc")
SINGULAR_VECTORS = ("exact", "iqr")
MIDDLES = ("optimal", "intersection")


@dataclass(frozen=True)
class CURHU:
    """
    A CUR decomposition Y ~ C U R read as an unmixing: endmembers C, abundances S = U R.

    Attributes
    ----------
    C : ndarray (L, P)
        Endmembers: pixels of the (noise-removed) scene.
    U : ndarray (P, P)
        Middle matrix.
    T : ndarray (P, L)
        R = T Y: the chosen bands, after noise removal.
    bands, pixels : ndarray of int (P,)
        The indices I and J.
    sigma : ndarray (P,)
        Leading singular values of the (noise-removed) scene.
    constraints : str
        What `abundances` imposes: "none", "anc" or "anc+asc".
    """

    C: np.ndarray
    U: np.ndarray
    T: np.ndarray
    bands: np.ndarray
    pixels: np.ndarray
    sigma: np.ndarray
    constraints: str

    def abundances(self, Y):
        """
        Abundances S = U R of pixels `Y` (L, n), (P, n) float64: the scene can be written block by block.

        "anc" sets what is negative to zero (Algorithm 2, line 13); "anc+asc" then divides by the sum (line 14).
        A pixel in which nothing is left to divide by has no fractions: all its abundances are NaN.
        """
        S = (self.U @ self.T) @ np.asarray(Y, dtype=np.float64)
        if self.constraints == "none":
            return S
        np.maximum(S, 0.0, out=S)
        if self.constraints == "anc":
            return S
        total = S.sum(axis=0)
        return S / np.where(total > 0, total, np.nan)


def curhu(Y, P, *, moments=None, denoise=True, singular_vectors="exact", tol=1e-3, middle="optimal",
          constraints="none"):
    """
    Blind unmixing by the CUR decomposition (CUR-HU, Algorithm 2).

    Three passes over the pixels, two if `moments` are given.

    X = Y - N is the scene without its regression noise, X ~ W Sigma V^T its truncated SVD. DEIM chooses bands I from
    W and pixels J from V; C = X(:, J), R = X(I, :), and U minimises ||Y - C U R||_F (eq. 19)::

        U = C^+ Y R^+ (eq. 20)

    Parameters
    ----------
    Y : ndarray (L, N), or a stream of (L, n) blocks that can be gone through more than once
        Pixels in row-major order.
    P : int
        Number of endmembers.
    moments : Moments, optional
        Of the same pixels, where the rank estimate has already needed them.
    denoise : bool
        Remove the noise by multiple regression first (lines 2-3), which needs more pixels than bands.
    singular_vectors : {"exact", "iqr"}
        From the eigenvectors of X X^T, or from the SVD of R of an incremental QR (lines 4-6), which depends on the
        pixels' order and on `tol`, and holds as many rows of N numbers as it finds.
    tol : float
        Tolerance of the incremental QR.
    middle : {"optimal", "intersection"}
        U by eq. 20, or the inverse of the intersection X(I, J).
    constraints : {"none", "anc", "anc+asc"}
        What `CURHU.abundances` imposes.

    Returns
    -------
    CURHU

    Raises
    ------
    ValueError
        For an unknown option, P below 2, or more endmembers than the scene has bands, pixels or dimensions.

    Notes
    -----
    Memory is P * N + L^2 float64 numbers. W and Sigma come from the eigenvectors of X X^T, V = Sigma^-1 W^T X. Y R^+
    comes from L x L moments and one step of iterative refinement with the true residual, while a file is read for C:
    squaring the condition of R costs no accuracy that way. The Y in eq. 20 is the scene as it came, as in
    Algorithm 2, line 11.

    Signs of singular vectors do not matter. Where two singular values are nearly equal their vectors, and with them
    the choice, are not determined by the scene.

    References
    ----------
    Abdelgawad, Cheung and Yan, CUR-HU, Remote Sensing 2024, Algorithms 1 and 2.
    """
    _one_of("singular_vectors", singular_vectors, SINGULAR_VECTORS)
    _one_of("middle", middle, MIDDLES)
    _one_of("constraints", constraints, CONSTRAINTS)
    scene = moments_of(Y) if moments is None else moments
    _check_count(P, len(scene.mean), scene.N, scene.R)
    D = regression_noise(scene).T if denoise else np.eye(len(scene.mean))
    if singular_vectors == "exact":
        W, sigma, V = _singular_vectors(Y, P, scene, D)
    else:
        W, sigma, V = _singular_vectors_by_iqr(Y, P, D, tol)
    I, J = deim(W), deim(V.T)
    del V
    T = D[I]
    C, G = _columns_and_rows(Y, D, J, T, scene)
    U = np.linalg.lstsq(C, G, rcond=None)[0] if middle == "optimal" else np.linalg.inv(C[I])
    return CURHU(C, U, T, I, J, sigma, constraints)


def _singular_vectors(Y, P, scene, D):
    """W (L, P), sigma (P,), V^T (P, N) of X = D Y: the eigenvectors of X X^T, and one pass."""
    vectors = right_vectors(scene, P, D)
    V = np.empty((P, scene.N))
    start = 0
    for block in _parts(Y):
        V[:, start:start + block.shape[1]] = vectors.apply(block)
        start += block.shape[1]
    return vectors.W, vectors.sigma, V


def _singular_vectors_by_iqr(Y, P, D, tol):
    """The same from X ~ Q R: the SVD of R by the eigenvectors of R R^T (k, k), W = Q W_R (Algorithm 2, lines 4-6)."""
    found = iqr((D @ block for block in _parts(Y)), tol, keep_R=True)
    W, sigma = leading(found.R @ found.R.T, P, way_out="Ask for at most {rank}, lower the tolerance, or take exact "
                       "singular vectors.")
    return found.Q @ W, sigma, (W / sigma).T @ found.R


def _columns_and_rows(Y, D, J, T, scene):
    """
    C = X(:, J), and G = Y R^+ for R = T Y.

    G solves the normal equations G (R R^T) = Y R^T, made of moments, and is corrected once by the residual
    (Y - G R) R^T accumulated over the pixels, in the same pass that finds C.
    """
    RRt = T @ scene.R @ T.T
    # scaled to a unit diagonal, which alone takes off much of the condition
    d = 1 / np.sqrt(np.diag(RRt))
    solve = np.linalg.inv(RRt * np.outer(d, d)) * np.outer(d, d)
    G = (scene.R @ T.T) @ solve
    C, correction, start = np.empty((len(D), len(J))), 0.0, 0
    for block in _parts(Y):
        R = T @ block
        correction = correction + (block - G @ R) @ R.T
        here = (J >= start) & (J < start + block.shape[1])
        C[:, here] = D @ block[:, J[here] - start]
        start += block.shape[1]
    return C, G + (correction / scene.N) @ solve


def _parts(Y):
    """The pixels as float64 blocks of bounded size."""
    for block in blocks(Y):
        for part in blocks(block):
            yield np.asarray(part, dtype=np.float64)


def _check_count(P, L, N, R):
    if P < 2:
        raise ValueError(f"Unmixing needs at least 2 endmembers; {P} were asked for.")
    if P > min(L, N):
        raise ValueError(f"{P} endmembers cannot be taken from {N} pixels of {L} bands. Ask for at most {min(L, N)}.")
    if not np.isfinite(R).all():
        raise ValueError("The pixels hold values that are not finite. Mask them first.")


def _one_of(name, value, known):
    if value not in known:
        raise ValueError(f"{name} is {value!r}; it must be one of {', '.join(map(repr, known))}.")
