"""Incremental QR: a rank, and a factorisation of the scene, in one pass over its pixels."""

from dataclasses import dataclass

import numpy as np

from ..pixels import blocks

BATCH = 4096
START = 2
FIRST_LOOK = 32


@dataclass(frozen=True)
class IQR:
    """
    Y (L, N) as Q R, within tol * deletions * ||R||_F.

    Attributes
    ----------
    rank : int
        Number of rows left, the estimate p.
    Q : ndarray (L, rank)
        Orthonormal columns.
    R : ndarray (rank, N) or None
        Kept on request. Not triangular once a row has been replaced.
    deletions : int
        How often a row was dropped: N - rank.
    """

    rank: int
    Q: np.ndarray
    R: np.ndarray | None
    deletions: int


def iqr(Y, tol, keep_R=False):
    """
    Rank by incremental QR with truncation (CUR-HU, Algorithm A1), pixels in the order given.

    Per pixel y: r = Q^T y, f = y - Q r (orthogonalised once more), rho = ||f||; the row energies grow by r_i^2
    and a row of energy rho^2 is added. If the smallest energy is below tol^2 times the sum of the others, that
    row of R and that column of Q are overwritten by the new ones; else there is one row more.

    Parameters
    ----------
    Y : ndarray (L, N), or a stream of (L, n) blocks
        Pixels, as a rule noise-removed, in row-major scan order: **the order changes the result**, the way in
        which a stream is cut does not.
    tol : float
        Relative size of a row to be dropped, 0 < tol < 1.
    keep_R : bool
        Keep R, `rank * N` float64 numbers.

    Returns
    -------
    IQR

    Raises
    ------
    ValueError
        For a tolerance outside ]0, 1[, and without pixels.

    Notes
    -----
    Almost every pixel only adds to the energies: its own row is the smallest and is dropped at once. So a batch is
    projected as a whole, running energies are a cumulative sum, and only a pixel for which this may not hold
    within rounding goes through Algorithm A1 by itself.

    Algorithm A1 starts from the QR of the first k = 2 pixels, whatever they are. Here a zero pixel, or one that
    repeats the first exactly, adds no row at the start, so that a scene of rank 1 has rank 1; and rho = 0, where
    q = f / rho has no value, drops the new row, as rho -> 0 does.

    On real scenes the result is far too large at the published tolerances: noise-removed Samson gives 66 at 1e-3 in
    row-major order, and 82 in column-major order.

    References
    ----------
    Abdelgawad et al., CUR-HU, Remote Sensing 2024, Algorithm A1; Sorensen and Embree, SIAM J. Sci. Comput. 38(3), 2016.
    """
    if not 0 < tol < 1:
        raise ValueError(f"The tolerance is {tol}; it must lie between 0 and 1, as 0.001 does.")
    state, coefficients, look = None, [], FIRST_LOOK
    for batch in _batches(Y, BATCH):
        if state is None:
            state = _Rows(len(batch), tol)
        start = state.N
        r = np.zeros((len(batch), batch.shape[1])) if keep_R else None
        look = _through(state, batch, r, look)
        if keep_R:
            coefficients.append((start, r[:state.k].copy()))
    if state is None:
        raise ValueError("There are no pixels to work on.")
    R = state.assemble(coefficients) if keep_R else None
    return IQR(state.k, state.Q[:, :state.k].copy(), R, state.N - state.k)


def _through(state, batch, r, look):
    """Take every pixel of `batch`, in order; `look` is how many are tried at once, doubled where nothing happens."""
    squared = np.einsum("ij,ij->j", batch, batch)
    t, n = 0, batch.shape[1]
    while t < n:
        part = batch[:, t:t + look]
        quiet, Z = state.quiet(part, squared[t:t + look])
        if r is not None:
            r[:state.k, t:t + quiet] = Z[:, :quiet]
        t += quiet
        if quiet == part.shape[1]:
            look = min(2 * look, BATCH)
            continue
        column = state.step(batch[:, t])
        if r is not None:
            r[:len(column), t] = column
        t, look = t + 1, max(look // 2, FIRST_LOOK)
    return look


class _Rows:
    """Q, the energies N(i) of the rows of R, and the pixel at which each row begins."""

    def __init__(self, L, tol):
        self.tol2, self.k, self.N = tol * tol, 0, 0
        self.Q = np.zeros((L, L), order="F")
        self.energy = np.zeros(L)
        self.born = np.zeros(L, dtype=np.intp)

    def quiet(self, Y, squared):
        """Take the leading pixels of `Y` whose own row is surely dropped: how many, and Q^T Y."""
        k = self.k
        Z = self.Q[:, :k].T @ Y
        if self.N < START or k == 0:
            return 0, Z
        energies = np.square(Z)
        rho2 = squared - energies.sum(axis=0)
        energies[:, 0] += self.energy[:k]
        np.cumsum(energies, axis=1, out=energies)
        # cancellation in rho2, and rounding of sums in another order than one by one
        rho2 = np.maximum(rho2, 0.0) + 1e-13 * squared
        dropped = (rho2 < energies.min(axis=0)) & (rho2 < (1 - 1e-12) * self.tol2 * energies.sum(axis=0))
        if k == len(Y):
            dropped[:] = True
        dropped |= squared == 0
        quiet = Y.shape[1] if dropped.all() else int(np.argmin(dropped))
        if quiet:
            self.energy[:k] = energies[:, quiet - 1]
            self.N += quiet
        return quiet, Z

    def step(self, y):
        """One pixel through steps 5-24 of Algorithm A1; returns its column of R, the new row last if it stays."""
        k, t = self.k, self.N
        self.N += 1
        Q = self.Q[:, :k]
        r = Q.T @ y
        f = y - Q @ r
        c = Q.T @ f
        f -= Q @ c
        r += c
        rho = np.linalg.norm(f)
        energy = self.energy[:k]
        energy += r * r
        if k == len(y) or rho <= 1e-14 * np.linalg.norm(y):
            return r
        i_min = k if k == 0 or rho * rho < energy.min() else int(energy.argmin())
        smallest = rho * rho if i_min == k else energy[i_min]
        others = energy.sum() + rho * rho - smallest
        truncate = t >= START and smallest < self.tol2 * others
        if truncate and i_min == k:
            return r
        row = i_min if truncate else k
        self.Q[:, row], self.energy[row], self.born[row] = f / rho, rho * rho, t
        self.k += not truncate
        column = np.append(r, rho)
        if truncate:
            column = r
            column[row] = rho
        return column

    def assemble(self, coefficients):
        """R (k, N): rows are zero before the pixel that they begin with."""
        R = np.zeros((self.k, self.N))
        for start, block in coefficients:
            R[:len(block), start:start + block.shape[1]] = block
        for row, born in enumerate(self.born[:self.k]):
            R[row, :born] = 0.0
        return R


def _batches(Y, size):
    """The pixels as float64 batches of exactly `size` (the last may be shorter), however `Y` is cut."""
    waiting, held = [], 0
    for block in blocks(Y):
        while block.shape[1]:
            part = block[:, :size - held]
            waiting.append(np.asarray(part, dtype=np.float64))
            held += part.shape[1]
            block = block[:, part.shape[1]:]
            if held == size:
                yield np.ascontiguousarray(np.concatenate(waiting, axis=1))
                waiting, held = [], 0
    if held:
        yield np.ascontiguousarray(np.concatenate(waiting, axis=1))
