"""CNN-BTD: fusion by a coupled block-term decomposition whose factors are all nonnegative."""

import numpy as np

from . import ll1
from .pair import Fused, eigen_dense
from .sylvester import pencil

INNER = 5          # steps of ADMM per factor
TOLERANCE = 1e-4
FACTORISING = 30   # steps from the materials' maps to factors


def cnnbtd(pair, R, L, *, balance=ll1.BALANCE, iterations=ll1.ITERATIONS, inner=INNER, trials=ll1.TRIALS, seed=0,
           start=None, tolerance=TOLERANCE, callback=None):
    """
    Fusion and unmixing of two images of one date: R maps of nonnegative rank L.

    min |Y_H - sum_r (P1 A_r)(P2 B_r)' o c_r|^2 + balance |Y_M - sum_r A_r B_r' o P3 c_r|^2 over A, B, C >= 0.

    Parameters
    ----------
    pair, R, L, balance, seed, tolerance, callback
        As in `btdvar`.
    iterations, inner : int
        Of A, B, C in turn; steps of ADMM in each of them.
    trials : int
        Runs of VCA to start from.
    start : Blocks, or ndarray (K, R), optional
        Where to start instead: factors, of which negative values are cut off, or endmembers in the pair's scale.

    Returns
    -------
    Fused
        With `endmembers` and `abundances`, neither negative; each map has the factor with which they sum to one as
        nearly as they can. The costs are those of the nonnegative factors; they may rise.

    Raises
    ------
    ValueError
        As `btdvar`, or endmembers of another shape, or no inner steps.

    Notes
    -----
    Each factor's least squares is alternated with a projection (AO-ADMM): X = argmin f + rho |X - X_+ + U|^2,
    X_+ = max(X + U, 0), U + X - X_+, the duals kept from one iteration to the next, and rho the mean curvature of f.
    All three are equations X1 A X2 + A X4 = X5 as in LL1, appendix A; C's with X1 = P3' P3.

    Nonnegative A_r and B_r ask more than a nonnegative map of rank L.

    References
    ----------
    Zhang, Fu, Huang and Wang, Hyperspectral super-resolution: a coupled nonnegative block-term tensor decomposition
    approach, IEEE CAMSAP 2019 (the problem). Its solver is not public: this one follows Huang, Sidiropoulos and
    Liavas, A flexible and efficient algorithmic framework for constrained matrix and tensor factorization, IEEE TSP
    64(19), 2016, algorithm 1.
    """
    ll1.check(pair, R, L, balance)
    if inner < 1:
        raise ValueError(f"{inner} inner steps are asked for: at least one is needed")
    A, B, C = _start(pair, R, L, trials, seed, start)
    duals = [np.zeros_like(X) for X in (A, B, C)]
    response = eigen_dense(pair.P3)
    costs, converged, least = [_cost(pair, A, B, C, balance)], False, ll1.rounding(pair, balance)
    while not converged and len(costs) <= iterations:
        A, B, C, duals = _balanced(A, B, C, duals)
        C_M = pair.P3 @ C
        low, high = ll1.contracted(pair.hsi, C), ll1.contracted(pair.msi, C_M)
        A, duals[0] = _maps(A, duals[0], inner, pair.rows, ll1.system(pair.P2, B, C, C_M, balance),
                            ll1.right_side(pair.P1, pair.P2, B, low, high, balance))
        low, high = low.transpose(0, 2, 1), high.transpose(0, 2, 1)
        B, duals[1] = _maps(B, duals[1], inner, pair.columns, ll1.system(pair.P1, A, C, C_M, balance),
                            ll1.right_side(pair.P2, pair.P1, A, low, high, balance))
        S = A @ B.transpose(0, 2, 1)
        seen, S = pair.degrade(S).reshape(R, -1), S.reshape(R, -1)
        C, duals[2] = _admm(C, duals[2], inner, response, balance * S @ S.T, seen @ seen.T,
                            pair.Y_H @ seen.T + balance * pair.P3.T @ (pair.Y_M @ S.T))
        costs.append(_cost(pair, A, B, C, balance))
        converged = abs(costs[-2] - costs[-1]) <= tolerance * costs[-2] or costs[-1] <= least
        if callback is not None and callback(len(costs) - 1, costs[-1]):
            break
    S = A @ B.transpose(0, 2, 1)
    t = ll1.scales_to_one(S)
    C, S = C / t, S * t[:, None, None]
    return Fused(C, S, np.array(costs), bool(converged), C, abundances=S)


def _start(pair, R, L, trials, seed, start):
    if isinstance(start, ll1.Blocks):
        ll1.check_start(pair, R, L, start)
        return np.maximum(start.A, 0), np.maximum(start.B, 0), np.maximum(start.C, 0)
    S, C, _ = ll1.material_maps(pair, R, start, seed, trials)
    A, B = _factorised(S, L, np.random.default_rng(seed))
    return A, B, C


def _factorised(S, L, rng):
    """Nonnegative A (R, I, L) and B (R, J, L) with A_r B_r' near S_r, by multiplicative updates from random ones."""
    R, I, J = S.shape
    A, B = rng.random((R, I, L)) + 0.1, rng.random((R, J, L)) + 0.1
    for _ in range(FACTORISING):
        for X, Y, T in ((A, B, S), (B, A, S.transpose(0, 2, 1))):
            X *= (T @ Y) / (X @ (Y.transpose(0, 2, 1) @ Y) + 1e-12)
    return A, B


def _maps(X, U, inner, eigenbasis, matrices, right):
    found = _admm(ll1.side_by_side(X), ll1.side_by_side(U), inner, eigenbasis, *matrices, right)
    return [ll1.apart(part, len(X)) for part in found]


def _admm(X, U, inner, eigenbasis, X2, X4, X5):
    """X >= 0 (n, p) nearer to the minimum whose gradient is X1 X X2 + X X4 - X5, and the dual U, from X and U."""
    values, vectors = eigenbasis
    rho = (np.trace(X2) * values.mean() + np.trace(X4)) / len(X4) + np.finfo(float).tiny
    omega, V = pencil(X2, X4 + rho * np.eye(len(X4)))
    scale = np.maximum(omega, 0) * values[:, None] + 1
    fixed = vectors.T @ X5 @ V
    for _ in range(inner):
        free = vectors @ ((fixed + rho * (vectors.T @ (X - U)) @ V) / scale) @ V.T
        X = np.maximum(free + U, 0)
        U = U + free - X
    return X, U


def _balanced(A, B, C, duals):
    """The same maps and scene with |c_r| = 1 and |A_r| = |B_r|, and duals to match."""
    a, b, c = np.linalg.norm(A, axis=(1, 2)), np.linalg.norm(B, axis=(1, 2)), np.linalg.norm(C, axis=0)
    whole = (a > 0) & (b > 0) & (c > 0)
    a, b, c = (np.where(whole, x, 1.0) for x in (a, b, c))
    size = np.sqrt(a * b * c)
    at, bt, ct = (size / a)[:, None, None], (size / b)[:, None, None], 1 / c
    return A * at, B * bt, C * ct, [duals[0] * at, duals[1] * bt, duals[2] * ct]


def _cost(pair, A, B, C, balance):
    return ll1.cost(pair, A @ B.transpose(0, 2, 1), C, pair.P3 @ C, balance)
