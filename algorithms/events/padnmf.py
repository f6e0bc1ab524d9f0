"""PAD-NMF: an unrolled factorisation of Hankel-extended series, in which events show as diagonals of activations."""

import numpy as np
import torch

from ..device import device
from ..unfolding.multiplicative import MultiplicativeLayer
from .detection import diagonal_index
from .learning import lasting
from .network import EventNetwork


def hankel(X, T):
    """
    The Hankel extension H_T (4.3.1) of series `X` (m, Q, n) by columns: (n, m T, Q).

    Column j holds the frames j - T + 1 to j, the oldest on top, and zeros where there is none.
    """
    m, Q, n = X.shape
    extended = np.zeros((n, T, m, Q), X.dtype)
    frames = X.transpose(2, 0, 1)
    for lag in range(T):
        extended[lag:, T - 1 - lag] = frames[:n - lag]
    return extended.reshape(n, T * m, Q)


def hankel_mask(T, m, r):
    """M^W of a block (4.3.6): (m T, r) of bool, false where the Hankel extension has shifted zeros in."""
    return hankel(np.ones((m, 1, r), bool), T)[:, :, 0].T


def activation_mask(r, n):
    """M^H of a block (4.3.11): (r, n) of bool, the diagonal and, after it, the last row."""
    return np.minimum(np.arange(n), r - 1) == np.arange(r)[:, None]


class PadNMF(EventNetwork):
    """
    Physics-aware Deep-NMF (section 4.3) of series.

    A block of Hankel columns stands for each pattern of an event (T_S frames, as many as it lasts, T = length, and
    r_S = min(n, T_S + T - 1) columns) and for each course of the background (r_N = n columns). Backgrounds follow the
    season, so that their columns are only active at their own date (M^H); events may begin at any date, so that theirs
    are free, and the index of an event is the largest over the shifted diagonals (as for Dataset 3 of the thesis).

    References
    ----------
    G. Chinellato, Deep Unfolding, PhD thesis, Padova 2026, section 4.3. Departures: with the Hankel columns of a
    pattern as atoms and the diagonal as activations, each initial factorisation (4.3.3) is exact, so none is computed,
    and all indices have the scale of their pattern; one last atom that serves several columns (anchored blocks of
    r < n) is their sum, the best such atom for beta = 1. H_0 is ones, see `multiplicative.first`. The parameters of the
    best epoch are kept.
    """

    anchored = False    # events begin at the first date only, and M^H holds for them too (Datasets 1 and 2)
    masks = True        # M^W, and M^H of anchored blocks
    extended = True     # whether discriminative layers see the Hankel extension

    def layers(self):
        T, n, blocks = self.T, self.n, self.blocks()
        sizes = [block.shape[1] for block in blocks]
        theta = self._tensor(np.concatenate(blocks, axis=1))
        self.edges = np.cumsum([0, *sizes])
        count, M = self.edges[-1], theta.shape[0]
        m = M // T
        where = np.arange(theta.numel()).reshape(M, count)
        if self.masks:
            seen = np.concatenate([hankel_mask(T, m, r) for r in sizes], axis=1)
            where = np.where(seen, where, theta.numel())
        active = [self._active(j, sizes) for j in range(n)]
        self.atoms = np.array(active)                    # (n, a): which atom each activation of a date belongs to
        chosen = torch.as_tensor(np.stack([where[:, atoms] for atoms in active]), device=device())
        targets = torch.as_tensor(self.atoms[0] < self.edges[len(self.patterns)], device=device())
        layer = MultiplicativeLayer(chosen, self.settings.sparsity)
        if self.extended:
            return layer, theta, targets, None
        newest = slice(M - m, M)
        frame = np.arange(m * count).reshape(m, count)
        own = MultiplicativeLayer(torch.as_tensor(np.stack([frame[:, atoms] for atoms in active]), device=device()),
                                  self.settings.sparsity, rows=newest, start=lambda W: W[newest].clone())
        return layer, theta, targets, own

    def blocks(self):
        """The dictionaries (m T, r) of the targets, then of the backgrounds."""
        return [_block(course, self.T, self.n, self.masks and (noise or self.anchored)) for noise, courses in
                ((False, self.patterns), (True, self.backgrounds)) for course in courses]

    @property
    def T(self):
        """Frames of a Hankel column."""
        return self.settings.length

    def _active(self, j, sizes):
        """The atoms that may be active at date j."""
        atoms = []
        for block, r in enumerate(sizes):
            first = self.edges[block]
            held = self.masks and (self.anchored or block >= len(self.patterns))
            atoms += [first + min(j, r - 1)] if held else list(range(first, first + r))
        return atoms

    def arrange(self, X):
        return hankel(X, self.T)

    def activations(self, H):
        """H^(K) as in the thesis, (r, Q, n), of the network's (n, a, Q): what the masks forbid is 0."""
        whole = np.zeros((self.edges[-1], H.shape[2], self.n), H.dtype)
        for j, atoms in enumerate(self.atoms):
            whole[atoms, :, j] = H[j]
        return whole

    def indices(self, H):
        whole = self.activations(H)
        index, date = [], []
        for family in range(self.classes):
            rows = [whole[self.edges[block]:self.edges[block + 1]] for block in
                    np.flatnonzero(self.families == family)]
            shifts = diagonal_index(rows, -(-self.settings.length // 2), self.anchored)
            date.append(shifts.argmax(axis=0))
            index.append(shifts.max(axis=0))
        return np.stack(index), np.stack(date)


def _block(course, T, n, anchored):
    """The Hankel columns (m T, r) of a course (m, frames) that lasts T_S of them, r = min(n, T_S + T - 1)."""
    m, frames = course.shape
    r = min(n, lasting(course) + T - 1)
    whole = np.zeros((m, 1, n))
    whole[:, 0, :min(frames, n)] = course[:, :n]
    columns = hankel(whole, T)[:, :, 0].T
    if anchored and r < n:   # the last atom serves all later columns
        return np.concatenate([columns[:, :r - 1], columns[:, r - 1:].sum(axis=1, keepdims=True)], axis=1)
    return columns[:, :r]
