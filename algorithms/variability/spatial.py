"""
Maps that vary little from pixel to pixel: smoothing, and abundances under a spatial prior.

Differences are taken between neighbours in a row and in a column, none across the image's edges (Neumann): the
discrete cosine transform turns D_h^T D_h + D_v^T D_v into the eigenvalues `laplacian`, so that every linear system
here is one transform there and one back.
"""

import numpy as np
from scipy import fft

from ..abundances.active_set import minimise
from ..blind.alternating import onto_simplex

BALANCE = 3.0      # the ADMM's gap and its move may differ by this factor before rho changes
GROWTH = 2.0       # and so much it changes then
NEAR = 1e-9       # of the weight of known pixels: those farther from them than that hold the mean of all
EVERY = 5          # steps between two looks at rho


def laplacian(shape):
    """Eigenvalues (rows, cols) of D_h^T D_h + D_v^T D_v."""
    rows, cols = (2 - 2 * np.cos(np.pi * np.arange(side) / side) for side in shape)
    return rows[:, None] + cols


def transform(X):
    """Orthonormal cosine transform of maps (..., rows, cols)."""
    return fft.dctn(X, axes=(-2, -1), norm="ortho")


def inverse(X):
    return fft.idctn(X, axes=(-2, -1), norm="ortho", overwrite_x=True)


def smoothed(X, data, smoothness, eigenvalues):
    """
    The maps Z that minimise data/2 ||Z - X||^2 + smoothness/2 (||D_h Z||^2 + ||D_v Z||^2).

    Parameters
    ----------
    X : ndarray (..., rows, cols)
    data : float or ndarray (..., 1, 1)
    smoothness : float
    eigenvalues : ndarray (rows, cols)
        From `laplacian`.

    Returns
    -------
    Z : ndarray (..., rows, cols)
    roughness : float
        ||D_h Z||^2 + ||D_v Z||^2 of all maps.
    """
    spectrum = transform(X)
    spectrum *= (data / (data + smoothness * eigenvalues)).astype(spectrum.dtype)
    roughness = float((np.square(spectrum, dtype=np.float64) * eigenvalues).sum())
    return inverse(spectrum), roughness


def filled(X, known, reach=5.0):
    """
    A map with its unknown pixels filled in by a mean of the known ones, each weighted by how near it is.

    Parameters
    ----------
    X : ndarray (rows, cols)
    known : ndarray (rows, cols) of bool
        At least one.
    reach : float
        Distance in pixels over which weights fall to about a third.
    """
    eigenvalues = laplacian(X.shape)
    weights = smoothed(known.astype(np.float64), 1, reach**2, eigenvalues)[0]
    means = smoothed(np.where(known, X, 0.0), 1, reach**2, eigenvalues)[0]
    overall = X[known].mean()
    near = weights > NEAR
    return np.where(known, X, np.where(near, means / np.where(near, weights, 1), overall))


def across(X):
    """D_h X: differences to the next column, (..., rows, cols - 1)."""
    return np.diff(X, axis=-1)


def down(X):
    """D_v X: differences to the next row, (..., rows - 1, cols)."""
    return np.diff(X, axis=-2)


def adjoint(h, v):
    """D_h^T h + D_v^T v."""
    def back(d, axis):
        width = [(0, 0)] * d.ndim
        width[axis] = (1, 1)
        return -np.diff(np.pad(d, width), axis=axis)
    return back(h, -1) + back(v, -2)


class TotalVariation:
    """
    The prior weight (||D_h A||_1 + ||D_v A||_1), for `SpatialAbundances` and SUnSAL-TV.

    Parameters
    ----------
    weight : float
    shape : (int, int)
    valid : ndarray (rows * cols,) of bool, optional
        Differences count between two pixels that are.
    isotropic : bool
        weight sum_n sqrt((D_h A)_n^2 + (D_v A)_n^2) instead.
    """

    def __init__(self, weight, shape, valid=None, isotropic=False):
        self.weight, self._shape, self._inverse = weight, shape, 1 / (1 + laplacian(shape))
        valid = np.ones(shape, dtype=bool) if valid is None else valid.reshape(shape)
        self._pairs = valid[:, 1:] & valid[:, :-1], valid[1:] & valid[:-1]
        self._isotropic, self._duals = isotropic, None

    def cost(self, A):
        maps = A.reshape(-1, *self._shape)
        h, v = (np.where(pairs, D(maps), 0.0) for pairs, D in zip(self._pairs, (across, down)))
        return self.weight * float(self._length(h, v).sum() if self._isotropic else np.abs(h).sum() + np.abs(v).sum())

    def step(self, X, V, rho):
        """
        Split the differences of the present maps `V`, then draw V to `X` (P, rows, cols) and to those.

        Returns V and the squared gap of that splitting.
        """
        if self._duals is None:
            self._duals = [np.zeros_like(across(V)), np.zeros_like(down(V))]
        shrunk = self._shrunk([D(V) - d for D, d in zip((across, down), self._duals)], self.weight / rho)
        V = inverse(transform(X + adjoint(*(s + d for s, d in zip(shrunk, self._duals)))) * self._inverse)
        gaps = [D(V) - s for D, s in zip((across, down), shrunk)]
        for d, gap in zip(self._duals, gaps):
            d -= gap
        return V, sum(float(np.square(gap).sum()) for gap in gaps)

    def rescale(self, factor):
        """Scaled multipliers stay multipliers when rho grows by `factor`."""
        for d in self._duals:
            d /= factor

    def _shrunk(self, differences, threshold):
        """The proximal step of the prior; what does not count stays."""
        if not self._isotropic:
            return [_soft(x, threshold * pairs) for x, pairs in zip(differences, self._pairs)]
        length = self._length(*(np.where(pairs, x, 0.0) for x, pairs in zip(differences, self._pairs)))
        factor = np.maximum(1 - np.divide(threshold, length, out=np.full_like(length, np.inf), where=length > 0), 0)
        return [np.where(pairs, x * part, x) for x, pairs, part in
                zip(differences, self._pairs, (factor[:, :, :-1], factor[:, :-1]))]

    def _length(self, h, v):
        """sqrt(h^2 + v^2) in every pixel (P, rows, cols)."""
        squares = np.zeros((len(h), *self._shape))
        squares[:, :, :-1] += np.square(h)
        squares[:, :-1] += np.square(v)
        return np.sqrt(squares)


class Smoothness:
    """The prior weight/2 (||D_h A||^2 + ||D_v A||^2), for `SpatialAbundances`."""

    def __init__(self, weight, shape):
        self.weight, self._shape, self._eigenvalues = weight, shape, laplacian(shape)

    def cost(self, A):
        maps = A.reshape(-1, *self._shape)
        return self.weight / 2 * float(np.square(across(maps)).sum() + np.square(down(maps)).sum())

    def step(self, X, V, rho):
        return smoothed(X, rho, self.weight, self._eigenvalues)[0], 0.0

    def rescale(self, factor):
        pass


def abundance_step(prior, A, shape):
    """The step for abundances under a prior of any weight, 0 included: a function of H (N, P, P) and c (P, N)."""
    return SpatialAbundances(prior, A, shape) if prior.weight > 0 else IndependentAbundances(A)


class IndependentAbundances:
    """Abundances of every pixel by itself: min 1/2 a^T H_n a - c_n^T a on the simplex, exactly (`minimise`)."""

    def __init__(self, A):
        self._A = A

    def __call__(self, H, c):
        """The abundances (P, N) for H (N, P, P) and c (P, N); those of pixels with H_n = 0 stay as they started."""
        A, known = self._A.copy(), np.einsum("npp->n", H) > 0
        A[:, known] = minimise(H[known], c[:, known], sum_to_one=True)
        return A


class SpatialAbundances:
    """
    Abundances under a spatial prior: min sum_n 1/2 a^T H_n a - c_n^T a + prior(A), columns on the simplex.

    Scaled ADMM with the splittings V = A (to which the prior applies) and B = A (on the simplex)::

        A   per pixel, (H_n + 2 rho I) a + nu 1 = c_n + rho (v + d + b + f) with 1^T a = 1
        V   the prior's own step, towards A - d
        B   projection of A - f onto the simplex
        d -= A - V,  f -= A - B

    Splittings, multipliers and rho are kept from call to call: where H and c have changed little, few steps suffice.

    Parameters
    ----------
    prior : TotalVariation or Smoothness
    A : ndarray (P, N)
        Where to start, on the simplex.
    shape : (int, int)
        Rows and columns, N pixels row-major. A pixel with H_n = 0 and c_n = 0 is filled in by the prior.
    steps : int
        At most so many for a call.
    tolerance : float
        Root mean square, in units of abundance, below which the splittings agree and have stopped moving.

    References
    ----------
    J. Eckstein, D. Bertsekas, Math. Programming 55, 1992; S. Boyd et al., Distributed optimization and statistical
    learning via the alternating direction method of multipliers, 2011, section 3.3 (stopping) and 3.4.1 (rho).
    B, which is returned, satisfies both constraints to rounding. rho starts at the curvature of the data term along
    the simplex (see `curvature`): the mean curvature, mostly that of the brightness, is a hundred times as much, and
    the steps it allows are so small that they look like convergence.
    """

    def __init__(self, prior, A, shape, steps=100, tolerance=3e-4):
        self.prior, self._steps, self._tolerance, self._rho = prior, steps, tolerance, None
        self._maps = (len(A), *shape)
        self._V = A.reshape(self._maps).copy()
        self._B, self._d, self._f = A.copy(), np.zeros_like(A), np.zeros_like(A)

    def __call__(self, H, c):
        """The abundances (P, N) for H (N, P, P) and c (P, N)."""
        if self._rho is None:
            self._rho = curvature(H)
        solve, enough = _solver(H, self._rho), self._tolerance * np.sqrt(2 * c.size)
        for step in range(1, self._steps + 1):
            V, B = self._V.reshape(len(c), -1), self._B
            A = solve(c + self._rho * (V + self._d + B + self._f))
            self._V, gaps = self.prior.step((A - self._d).reshape(self._maps), self._V, self._rho)
            newV, self._B = self._V.reshape(len(c), -1), onto_simplex(A - self._f)
            self._d -= A - newV
            self._f -= A - self._B
            gap = np.sqrt(np.square(A - newV).sum() + np.square(A - self._B).sum() + gaps)
            move = np.sqrt(np.square(newV - V).sum() + np.square(self._B - B).sum())
            if max(gap, move) <= enough:
                break
            if step % EVERY == 0:
                factor = GROWTH if gap > BALANCE * move else 1 / GROWTH if move > BALANCE * gap else 1.0
                if factor != 1.0:
                    self._rho *= factor
                    self._d /= factor
                    self._f /= factor
                    self.prior.rescale(factor)
                    solve = _solver(H, self._rho)
        return self._B


def curvature(H):
    """Geometric mean of the curvatures of the mean `H` (N, P, P) that is not zero, along directions of sum zero."""
    P = H.shape[-1]
    centre, mean = np.eye(P) - 1 / P, H.sum(axis=0) / max(np.count_nonzero(np.einsum("npp->n", H)), 1)
    along = np.linalg.eigvalsh(centre @ mean @ centre)[1:]
    floor = max(1e-6 * np.trace(mean), np.finfo(float).tiny)
    return float(np.exp(np.log(np.maximum(along, floor)).mean())) if P > 1 else floor


def _solver(H, rho):
    """A function that gives min 1/2 a^T (H_n + 2 rho I) a - x^T a subject to 1^T a = 1 for all pixels, x (P, N)."""
    W = np.linalg.inv(H + 2 * rho * np.eye(H.shape[-1]))
    w = W.sum(axis=2)
    middle = w / w.sum(axis=1, keepdims=True)
    W = np.ascontiguousarray((W - w[:, :, None] * middle[:, None, :]).transpose(1, 2, 0))
    return lambda x: np.einsum("pqn,qn->pn", W, x) + middle.T


def _soft(X, threshold):
    return np.sign(X) * np.maximum(np.abs(X) - threshold, 0)
