"""Errors of abundances that come in blocks: what `metrics` gives for whole arrays, and for every pair at once."""

import numpy as np


class Agreement:
    """
    Accumulates, over blocks of pixels, how each of P references agrees with each of Q estimates.

    `rmse` and `r2` are those of `metrics`, of every pair, (P, Q). Squared differences are summed as they are, so that
    nothing is lost by cancellation where they are small.

    Attributes
    ----------
    N : int
        Number of pixels so far.
    reference_mean, estimate_mean : ndarray (P,), (Q,)
    """

    def __init__(self, P, Q):
        self.N = 0
        self.reference_mean, self.estimate_mean = np.zeros(P), np.zeros(Q)
        self._spread, self._squares = np.zeros(P), np.zeros((P, Q))

    def add(self, A, A_hat):
        """Take in a block: reference `A` (P, n) and estimate `A_hat` (Q, n), all finite."""
        A, A_hat = np.asarray(A, dtype=np.float64), np.asarray(A_hat, dtype=np.float64)
        n = A.shape[1]
        if n == 0:
            return
        self._squares += np.stack([np.square(a - A_hat).sum(axis=1) for a in A])
        mean, share = A.mean(axis=1), n / (self.N + n)
        step = mean - self.reference_mean
        self._spread += np.square(A - mean[:, None]).sum(axis=1) + step ** 2 * self.N * share
        self.reference_mean = self.reference_mean + share * step
        self.estimate_mean = self.estimate_mean + share * (A_hat.mean(axis=1) - self.estimate_mean)
        self.N += n

    @property
    def rmse(self):
        """Root-mean-square error of every pair, (P, Q); see `metrics.rmse`."""
        return np.sqrt(self._squares / self.N)

    @property
    def r2(self):
        """Coefficient of determination of every pair, (P, Q), NaN where a reference is constant; see `metrics.r2`."""
        spread = np.broadcast_to(self._spread[:, None], self._squares.shape)
        return 1 - np.divide(self._squares, spread, out=np.full(spread.shape, np.nan), where=spread > 0)
