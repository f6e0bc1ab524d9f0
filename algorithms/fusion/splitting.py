"""Coefficients of the fused scene under constraints and spatial priors: ADMM around an exact data step."""

import numpy as np

from ..blind.alternating import onto_simplex
from ..variability.spatial import BALANCE, EVERY, GROWTH, inverse, laplacian, transform
from .sylvester import solver

RARER = 0.2   # of the steps so far lie between two looks at rho, so that it settles


class Data:
    """
    f(X) = 1/2 ||Y_H - M X B S||^2 + balance/2 ||Y_M - N X||^2 for maps X (p, I, J).

    Attributes
    ----------
    pair : Pair
    M, N : ndarray (K, p), (K_M, p)
        Spectra of the coefficients in the bands of the HSI and of the MSI.
    G1, G2 : ndarray (p, p)
        M' M and balance N' N.
    right : ndarray (p, I, J)
        M' Y_H spread over the scene plus balance N' Y_M: minus the gradient at zero.
    """

    def __init__(self, pair, M, N, balance=1.0):
        self.pair, self.M, self.N, self.balance = pair, M, N, balance
        self.G1, self.G2 = M.T @ M, balance * N.T @ N
        self.low = np.tensordot(M.T, pair.hsi, 1)
        self.right = pair.spread(self.low)
        self.right += balance * np.tensordot(N.T, pair.msi, 1)
        self.energy = float(np.square(pair.hsi, dtype=np.float64).sum())

    def cost(self, X):
        """f(X)."""
        low = self.pair.degrade(X).reshape(len(X), -1)
        hsi = self.energy - 2 * np.vdot(self.low, low) + np.vdot(low, self.G1 @ low)
        return 0.5 * (max(float(hsi), 0.0)
                      + self.balance * float(np.square(self.pair.Y_M - self.N @ X.reshape(len(X), -1)).sum()))

    def solver(self, ridge):
        """A function of R that gives the X with f'(X) + ridge X = f'(0) + R."""
        return solver(self.pair.rows, self.pair.columns, self.G1, self.G2 + ridge * np.eye(len(self.G1)))


class Constraint:
    """X in a set, given by the projection onto it of pixels (p, N)."""

    def __init__(self, project):
        self._project = project

    def cost(self, X):
        return 0.0

    def step(self, X, V, rho):
        """The projection of X, and no gap within."""
        return self._project(X.reshape(len(X), -1)).reshape(X.shape), 0.0

    def rescale(self, factor):
        pass


def nonnegative():
    return Constraint(lambda X: np.maximum(X, 0))


def simplex():
    """Not negative, and summing to one in every pixel."""
    return Constraint(onto_simplex)


class VectorTotalVariation:
    """
    The prior weight sum over pixels ||differences||, one norm for all coefficients.

    With `joint` (HySure) differences to the next column and to the next row share a norm; else (FuVar) each direction
    has its own. There are no differences across the edges, so that cosine transforms solve for the maps.
    """

    def __init__(self, weight, shape, joint=True):
        self.weight, self.joint, self._inverse, self._duals = weight, joint, 1 / (1 + laplacian(shape)), None

    def cost(self, X):
        return self.weight * sum(float(np.sqrt(squares).sum()) for squares in self._squares(_differences(X)))

    def step(self, X, V, rho):
        """
        Split the differences of the present maps `V`, then draw V to `X` and to those.

        Returns V and the squared gap of that splitting.
        """
        present = _differences(V)
        if self._duals is None:
            self._duals = np.zeros_like(present)
        shrunk = present - self._duals
        squares = self._squares(shrunk)
        threshold = max(self.weight / rho, np.finfo(float).tiny)
        shrink = 1 - threshold / np.maximum(np.sqrt(squares), threshold)
        shrunk *= shrink[:, None] if not self.joint else shrink
        V = inverse(transform(X + _adjoint(shrunk + self._duals)) * self._inverse)
        shrunk -= _differences(V)
        self._duals += shrunk
        return V, float(np.vdot(shrunk, shrunk))

    def rescale(self, factor):
        """Scaled multipliers stay multipliers when rho grows by `factor`."""
        if self._duals is not None:
            self._duals /= factor

    def _squares(self, differences):
        """Squared norms (1 or 2, I, J) of differences (2, p, I, J)."""
        return np.einsum("dpij,dpij->ij" if self.joint else "dpij,dpij->dij", differences, differences).reshape(
            -1, *differences.shape[2:])


class Splitting:
    """
    min over X of f(X) + the sum of terms(X), by scaled ADMM with a copy V of X for every term.

    X solves f'(X) + n rho X = rho sum (V + d) exactly (`sylvester.solver`), each V takes its term's own step towards
    X - d, and d -= X - V. Copies, multipliers and rho are kept from call to call: where f has changed little, few
    steps suffice.

    Parameters
    ----------
    terms : list
        The first one's copy is what comes out: a constraint there holds exactly.
    X : ndarray (p, I, J)
        Where to start.
    rho : float, optional
        Penalty to start with; by default the geometric mean of the curvatures of f.

    References
    ----------
    S. Boyd et al., Distributed optimization and statistical learning via the alternating direction method of
    multipliers, 2011, section 3.3 (stopping) and 3.4.1 (rho); J. Eckstein, D. Bertsekas, Math. Programming 55, 1992.
    """

    def __init__(self, terms, X, rho=None):
        self.terms, self.rho = terms, rho
        self.X, self._V, self._d = X, [X.copy() for _ in terms], [np.zeros_like(X) for _ in terms]
        self._count, self._look = 0, EVERY

    @property
    def V(self):
        return self._V[0]

    def cost(self):
        """The sum of the terms at V."""
        return sum(term.cost(self.V) for term in self.terms)

    def run(self, data, steps, tolerance):
        """
        At most so many steps, until copies agree and stand still to `tolerance` (root mean square).

        Returns whether they did.
        """
        if self.rho is None:
            self.rho = curvature(data)
        solve, n, enough = None, len(self.terms), tolerance * np.sqrt(self.X.size * len(self.terms))
        for _ in range(steps):
            if solve is None:
                solve = data.solver(n * self.rho)
            pull = sum(V + d for V, d in zip(self._V, self._d))
            pull *= self.rho
            pull += data.right
            self.X = X = solve(pull)
            gap, move = 0.0, 0.0
            for k, term in enumerate(self.terms):
                new, inner = term.step(X - self._d[k], self._V[k], self.rho)
                missed = X - new
                self._d[k] -= missed
                gap += float(np.vdot(missed, missed)) + inner
                np.subtract(new, self._V[k], out=missed)
                move += float(np.vdot(missed, missed))
                self._V[k] = new
            gap, move = np.sqrt(gap), np.sqrt(move)
            if max(gap, move) <= enough:
                return True
            self._count += 1
            if self._count >= self._look:
                self._look += max(EVERY, int(RARER * self._count))
                factor = GROWTH if gap > BALANCE * move else 1 / GROWTH if move > BALANCE * gap else 1.0
                if factor != 1.0:
                    self.rho, solve = self.rho * factor, None
                    for d, term in zip(self._d, self.terms):
                        d /= factor
                        term.rescale(factor)
        return False


def curvature(data):
    """Geometric mean of the curvatures of f, those of a part in 1e4 or less of the largest counted as such."""
    reach = data.pair.rows[0].mean() * data.pair.columns[0].mean()
    values = np.linalg.eigvalsh(reach * data.G1 + data.G2)
    return float(np.exp(np.log(np.maximum(values, max(1e-4 * values[-1], np.finfo(float).tiny))).mean()))


def _differences(X):
    """Differences to the next column and row (2, p, I, J), zero at the far edges."""
    D = np.zeros((2, *X.shape))
    np.subtract(X[..., 1:], X[..., :-1], out=D[0, ..., :-1])
    np.subtract(X[:, 1:], X[:, :-1], out=D[1, :, :-1])
    return D


def _adjoint(D):
    """The adjoint of `_differences`, (p, I, J)."""
    X = -(D[0] + D[1])
    X[..., 1:] += D[0, ..., :-1]
    X[:, 1:] += D[1, :, :-1]
    return X
