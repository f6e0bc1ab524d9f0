"""Linear systems whose matrix is a sum of Kronecker products, solved in the eigenbases of their small factors."""

import numpy as np
from scipy.linalg import eigh

RIDGE = 1e-12   # of a matrix's mean diagonal, added so that it can be decomposed


def along(eigen, X2, X4, X5):
    """
    A (n, p) with X1 A X2 + A X4 = X5: LL1, appendix A, for factors of a coupled decomposition.

    Parameters
    ----------
    eigen : (ndarray (n,), ndarray (n, n))
        Eigenvalues and eigenvectors of the symmetric X1 = P' P, such as `Pair.rows`.
    X2, X4 : ndarray (p, p)
        Symmetric; X4 positive definite, else it is made so by a ridge of 1e-12 of its mean diagonal.
    X5 : ndarray (n, p)

    Notes
    -----
    With X1 = U s U' and V' X2 V = w, V' X4 V = I, it is A = U [(U' X5 V)_ij / (s_i w_j + 1)] V'.
    """
    sigma, U = eigen
    omega, V = pencil(X2, X4)
    return U @ ((U.T @ X5 @ V) / (np.maximum(omega, 0) * sigma[:, None] + 1)) @ V.T


def along_from(old, eigen, X2, X4, X5, ridge=1e-10):
    """
    The solution of `along`, drawn to `old` (n, p) by `ridge` times X4's mean diagonal.

    It lowers the quadratic cost that the system belongs to, or leaves it, even where X4 is singular: what the data do
    not determine stays as it was.
    """
    ridge = ridge * np.trace(X4) / len(X4)
    return along(eigen, X2, X4 + ridge * np.eye(len(X4)), X5 + ridge * old)


def across(rows, columns, G1, G2, R):
    """
    X (p, I, J) with G1 X x1 P1'P1 x2 P2'P2 + G2 X = R, the exact solution of fast fusion's Sylvester equation.

    Parameters
    ----------
    rows, columns : (ndarray (n,), ndarray (n, n))
        `Pair.rows` and `Pair.columns`.
    G1, G2 : ndarray (p, p)
        Symmetric, G1 positive semidefinite, G2 positive definite (made so as in `along`).
    R : ndarray (p, I, J)

    Notes
    -----
    Wei, Dobigeon and Tourneret (2015) diagonalise a circular blur by Fourier transforms and count on whole ratios. A
    separable blur is diagonal in the eigenvectors of P1'P1 and P2'P2, whatever boundary, ratio and phase it has.
    """
    (s1, U1), (s2, U2) = rows, columns
    omega, V = pencil(G1, G2)
    p = len(R)
    R = (V.T @ R.reshape(p, -1)).reshape(R.shape)
    R = U1.T @ R @ U2
    R /= np.maximum(omega, 0)[:, None, None] * np.outer(s1, s2) + 1
    X = U1 @ R @ U2.T
    return (V @ X.reshape(p, -1)).reshape(X.shape)


def solver(rows, columns, G1, G2):
    """
    A function that gives `across` for any R (p, I, J), where the same equation is solved more than once.

    With V' G1 V = diag(w) and V' G2 V = I, and U1, U2 those eigenvectors whose eigenvalue s is not zero (as many as
    the HSI has rows and columns), X = G2^-1 R - V U1 [(w s1 s2 / (w s1 s2 + 1)) (V' U1' R U2)] U2': most of the
    work is done on the HSI's grid. It is a difference: digits are lost where G2 is nearly singular beside G1, so that
    it suits the steps of a splitting, whose penalty bounds G2 from below.
    """
    (s1, U1), (s2, U2) = (_spanned(*eigen) for eigen in (rows, columns))
    omega, V = pencil(G1, G2)
    gain = np.maximum(omega, 0)[:, None, None] * np.outer(s1, s2)
    gain /= gain + 1
    p, I, J = len(V), len(U1), len(U2)
    inverse = V @ V.T

    def solve(R):
        low = U1.T @ (R.reshape(-1, J) @ U2).reshape(p, I, -1)
        low = (V @ (gain.reshape(p, -1) * (V.T @ low.reshape(p, -1)))).reshape(low.shape)
        X = (inverse @ R.reshape(p, -1)).reshape(p, I, J)
        X -= ((U1 @ low).reshape(p * I, -1) @ U2.T).reshape(p, I, J)
        return X

    return solve


def _spanned(values, vectors):
    """Eigenvalues that are not zero to rounding, and their vectors."""
    kept = values > np.finfo(float).eps * len(values) * values.max()
    return values[kept], np.ascontiguousarray(vectors[:, kept])


def pencil(X2, X4):
    """Eigenvalues w and vectors V with V' X2 V = diag(w) and V' X4 V = I."""
    X4 = (X4 + X4.T) / 2
    return eigh((X2 + X2.T) / 2, X4 + RIDGE * np.trace(X4) / len(X4) * np.eye(len(X4)))
