"""Deep-NMFD: an unrolled deconvolution, in which the patterns of events are shifted along the series."""

import numpy as np
import torch

from ..device import device
from ..unfolding.multiplicative import MultiplicativeLayer
from .network import EventNetwork


class DeepNMFD(EventNetwork):
    """
    Deep-NMFD (section 4.4) of series.

    W * H is linear in the activations: the layer's dictionary holds every pattern at every shift, and gradients of
    entries that are shifts of one number add up, which gives (4.4.6) and (4.4.7). Courses of the background are
    patterns as long as the series, which begin at its first date only.

    The index of an event is its largest activation, its date that activation's. Where the series ends before the
    pattern does, the activation counts as much as what is seen of the pattern: one that has hardly begun fits anything.

    References
    ----------
    G. Chinellato, Deep Unfolding, PhD thesis, Padova 2026, section 4.4. Departures: backgrounds are anchored to the
    first date; patterns come from samples, see `learning.take_apart`, not from a deconvolution; H_0 is ones, see
    `multiplicative.first`. The parameters of the best epoch are kept.
    """

    def layers(self):
        I, m, length = self.patterns.shape
        n, J = self.n, len(self.backgrounds)
        theta = self._tensor(np.concatenate([self.patterns.ravel(), self.backgrounds.ravel()]))
        where = np.full((n, m, I * n + J), theta.numel())
        entries = np.arange(I * m * length).reshape(I, m, length)
        for shift in range(n):
            lags = np.arange(min(length, n - shift))
            where[shift + lags, :, shift:I * n:n] = entries[:, :, lags].transpose(2, 1, 0)
        where[:, :, I * n:] = (I * m * length + np.arange(J * m * n).reshape(J, m, n)).transpose(2, 1, 0)
        where = torch.as_tensor(where.reshape(1, n * m, -1), device=device())
        targets = torch.arange(I * n + J, device=device()) < I * n
        return MultiplicativeLayer(where, self.settings.sparsity), theta, targets, None

    def arrange(self, X):
        return X.transpose(2, 0, 1).reshape(1, -1, X.shape[1])

    def indices(self, H):
        I, n, length = len(self.patterns), self.n, self.patterns.shape[2]
        energy = np.square(self.patterns).sum(axis=1).cumsum(axis=1)
        seen = np.sqrt(energy[:, np.minimum(n - np.arange(n), length) - 1] / energy[:, -1:])
        shifted = H[0, :I * n].reshape(I, n, -1) * seen[:, :, None]
        found = np.stack([shifted[self.families == family].max(axis=0) for family in range(self.classes)])
        return found.max(axis=1), found.argmax(axis=1)
