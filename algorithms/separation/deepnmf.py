"""Deep-NMF: nonnegative factorisation unrolled into layers that learn to tell wanted from background spectra."""

import numpy as np
import torch

from ..blind.divergence import check_nonnegative
from ..device import device
from ..unfolding.multiplicative import MultiplicativeLayer, SeparationLoss, Series, first, train
from ..unfolding.network import Unfolded

LAYERS, DISCRIMINATIVE = 25, 4   # K and C
BATCH = 4096                     # pixels that go through the network at once


class DeepNMF:
    """
    A network of multiplicative steps X ~ W_S H_S + W_N H_N with spectra of wanted materials and of their background.

    Parameters
    ----------
    WS : ndarray (L, P)
        Spectra of the wanted materials, not negative.
    WN : ndarray (L, R)
        Spectra of the background.
    K, C : int
        Layers, and how many of them, the last ones, are discriminative.
    sparsity : float
        alpha_H of (4.2.1), for spectra divided by their largest value.
    own : ndarray (C, L, P + R), optional
        Learned dictionaries of the discriminative layers; copies of [WS WN] by default.

    Raises
    ------
    ValueError
        Spectra that are negative or not finite, or impossible numbers of layers.

    References
    ----------
    J. R. Hershey, J. Le Roux, F. Weninger, Deep unfolding, arXiv:1409.2574, 2014; G. Chinellato, Deep Unfolding, PhD
    thesis, Padova 2026, section 4.2. Departures: spectra have no neighbouring frames, so there is no Hankel extension;
    H_0 is ones, whose scale the first step takes away, instead of random numbers.
    """

    def __init__(self, WS, WN, K=LAYERS, C=DISCRIMINATIVE, sparsity=0.0, own=None):
        W = np.concatenate([WS, WN], axis=1).astype(np.float64)
        check_nonnegative(W)   # there may be more spectra than bands
        self.scale, self.P, self.sparsity = float(W.max()), WS.shape[1], sparsity
        optimal = torch.as_tensor(W / self.scale, dtype=torch.float32, device=device())
        where = torch.arange(optimal.numel(), device=device()).reshape(1, *optimal.shape)
        layer = MultiplicativeLayer(where, sparsity)
        self.network = Unfolded(layer, optimal, K, C, own=None if own is None else
                                [torch.as_tensor(theta, dtype=torch.float32, device=device()) for theta in own])
        targets = torch.arange(optimal.shape[1], device=device()) < self.P
        self.loss = SeparationLoss(layer.dictionary(optimal), targets)

    def train(self, X, S, rng, *, epochs=10, batch=256, callback=None):
        """
        Learn the discriminative layers from mixtures `X` (L, N) and what of them is wanted, `S` (L, N).

        See `unfolding.multiplicative.train`, whose losses it gives, of data divided by the spectra's largest value.
        """
        return train(self.network, self.loss, Series(self._tensor(X)), self._tensor(S), rng, epochs=epochs,
                     batch=batch, callback=callback)

    def abundances(self, X):
        """H (P + R, N) of pixels `X` (L, N), not negative: of the wanted materials first, then of the background."""
        return np.concatenate([self._states(part).cpu().numpy()[0] for part in self._parts(X)], axis=1)

    def separate(self, X):
        """
        Abundances and what the Wiener filter F = W_S H_S / (W H) leaves of pixels `X` (L, N): (3.4.6) and (3.4.7).

        Returns
        -------
        H : ndarray (P + R, N) float32
        filtered : ndarray (L, N) float32
            In the units of X, between 0 and X.
        """
        H, filtered = [], []
        for part in self._parts(X):
            state = self._states(part)
            wanted, noise = self.loss.parts(state)
            total = wanted + noise
            share = torch.where(total > 0, wanted / total, torch.zeros(()))
            H.append(state.cpu().numpy()[0])
            filtered.append((self.scale * share * part.X).cpu().numpy()[0])
        return np.concatenate(H, axis=1), np.concatenate(filtered, axis=1)

    def state(self):
        """What `from_state` makes the same network of, as arrays."""
        return {"W": self.network.optimal.cpu().numpy() * self.scale, "P": np.array(self.P),
                "K": np.array(self.network.K), "sparsity": np.array(self.sparsity),
                "own": np.stack([theta.cpu().numpy() for theta in self.network.own]) if self.network.own else
                np.empty((0, *self.network.optimal.shape), np.float32)}

    @classmethod
    def from_state(cls, state):
        W, P = state["W"], int(state["P"])
        return cls(W[:, :P], W[:, P:], int(state["K"]), len(state["own"]), float(state["sparsity"]), state["own"])

    def _tensor(self, X):
        return torch.as_tensor(np.ascontiguousarray(X, np.float32) / np.float32(self.scale), device=device())[None]

    def _parts(self, X):
        for begin in range(0, X.shape[1], BATCH):
            yield Series(self._tensor(X[:, begin:begin + BATCH]))

    def _states(self, part):
        return self.network.inference(first(part, self.loss.D.shape[2]), part)


def mixtures(WS, WN, rng, count, *, mixed=4, snr=30.0, wanted=0.5):
    """
    Synthetic mixtures of wanted and background spectra to learn from.

    Parameters
    ----------
    WS, WN : ndarray (L, P), (L, R)
    rng : numpy.random.Generator
    count : int
    mixed : int
        A pixel holds 1 to so many materials, with abundances that are uniform on the simplex.
    snr : float
        Signal-to-noise ratio in dB.
    wanted : float
        How often, of the materials in a pixel, one is drawn from the wanted ones.

    Returns
    -------
    X : ndarray (L, count) float32
        Mixtures with noise; where noise would make them negative they are 0.
    S : ndarray (L, count) float32
        What of them is wanted, without noise.
    """
    P, R = WS.shape[1], WN.shape[1]
    A = np.zeros((P + R, count))
    shares = np.where(np.arange(mixed)[:, None] < rng.integers(1, mixed + 1, count), rng.exponential(size=(
        mixed, count)), 0)
    for share in shares / shares.sum(axis=0):
        chosen = np.where(rng.uniform(size=count) < wanted, rng.integers(0, P, count), P + rng.integers(0, R, count))
        np.add.at(A, (chosen, np.arange(count)), share)
    S = WS @ A[:P]
    X = S + WN @ A[P:]
    sigma = np.sqrt(np.square(X).mean() / 10 ** (snr / 10))
    return np.maximum(X + sigma * rng.standard_normal(X.shape), 0).astype(np.float32), S.astype(np.float32)
