"""Variational autoencoders of spectra: two latent numbers become a spectrum, and the slopes along them."""

from dataclasses import dataclass

import torch
from torch.nn.functional import binary_cross_entropy_with_logits, linear

LATENT = 2    # H
EPOCHS = 50
FIDELITY = 30.0
EDGE = 1e-3   # how near to 0 and 1 the decoder may start, and the least spread that is made 1


def hidden_widths(L, H=LATENT):
    """Widths of the three hidden layers for spectra of `L` bands, from the spectrum towards the latent numbers."""
    def ceiling(numerator, denominator):
        return -(-numerator // denominator)
    return [ceiling(6 * L, 5) + 5, max(ceiling(L, 4), H + 2) + 3, max(ceiling(L, 10), H + 1)]


@dataclass(frozen=True)
class Autoencoder:
    """
    Both halves, each a list of layers (weights (out, in), biases (out,)) with ReLU between them.

    The encoder ends in the mean and the log variance of the latent numbers, the decoder in the logits of the spectrum.
    """

    encoder: list
    decoder: list

    def encode(self, X):
        """Mean and log variance (n, H) of the latent numbers of the spectra `X` (n, L)."""
        return _forward(self.encoder, X).chunk(2, dim=-1)

    def decode(self, z):
        """Spectra (n, L) of the latent numbers `z` (n, H)."""
        return torch.sigmoid(_forward(self.decoder, z))


def train(X, seed=0, epochs=EPOCHS, fidelity=FIDELITY, H=LATENT):
    """
    A variational autoencoder of spectra: min E[fidelity L BCE(x, f(z))] + KL(q(z|x) || N(0, I)), by Adam.

    BCE is the mean over the bands of the cross-entropy -x log f - (1 - x) log(1 - f).

    Parameters
    ----------
    X : array-like (n, L)
        Spectra with values in [0, 1].
    seed : int
        Of the weights, the order of the spectra and the latent noise. The global random numbers are not touched.
    epochs : int
        Passes over the spectra, in batches of ceil(n / 3) + 2: about three steps each.
    fidelity : float
        How much the cross-entropy counts against the divergence.
    H : int
        Latent numbers.

    Returns
    -------
    Autoencoder
        In float32 on the processor, where steps of so few spectra cost least.

    Notes
    -----
    The first layer of the encoder starts with what standardises the spectra: otherwise each of its units is on for all
    of them or for none, and with few bands a layer may stay off for ever. The decoder starts at the mean spectrum, in
    the biases of its last layer: from biases of zero, a spectrum of 0.5, the some 150 steps of 50 epochs do not reach
    a dark material such as water.

    Near its least value L BCE is L/2 mean (x - f)^2 / (f (1 - f)): the cross-entropy takes errors of 0.3 to 0.5 in
    each band for noise. Where spectra of one material differ by far less, the divergence wins with `fidelity` 1, the
    decoder makes the mean spectrum whatever z is, and nothing is left to vary. 1000 stands for errors of 0.01 to
    0.016 of the largest value; the latent numbers then may lie far from N(0, I) after so few steps.

    References
    ----------
    D. P. Kingma, M. Welling, Auto-encoding variational Bayes, ICLR 2014; the weight of one term against the other: I.
    Higgins et al., beta-VAE, ICLR 2017. The sizes, epochs and batches are those of DeepGUn (see there).
    """
    X = torch.as_tensor(X, dtype=torch.float32)
    n, L = X.shape
    rng = torch.Generator().manual_seed(seed)
    hidden = hidden_widths(L, H)
    model = Autoencoder(_layers([L, *hidden, 2 * H], rng), _layers([H, *hidden[::-1], L], rng))
    _fit_to_data(model, X)
    weights = [tensor.requires_grad_() for layer in model.encoder + model.decoder for tensor in layer]
    optimiser = torch.optim.Adam(weights)
    with torch.enable_grad():
        for _ in range(epochs):
            for batch in torch.randperm(n, generator=rng).split(-(-n // 3) + 2):
                optimiser.zero_grad()
                _loss(model, X[batch], fidelity, rng).backward()
                optimiser.step()
    for tensor in weights:
        tensor.requires_grad_(False)
    return model


def _fit_to_data(model, X):
    """Start the encoder's first layer with the standardised spectra, and the decoder with their mean."""
    mean = X.mean(dim=0)
    weights, biases = model.encoder[0]
    weights /= (X - mean).square().mean().sqrt().clamp_min(EDGE)
    biases -= weights @ mean
    model.decoder[-1][1].copy_(torch.logit(mean.clamp(EDGE, 1 - EDGE)))


def _loss(model, X, fidelity, rng):
    """Mean over the spectra of fidelity L BCE + KL, at one draw of the latent numbers."""
    mean, log_variance = model.encode(X)
    z = mean + torch.exp(log_variance / 2) * torch.randn(mean.shape, generator=rng)
    entropy = binary_cross_entropy_with_logits(_forward(model.decoder, z), X, reduction="none").sum(dim=1)
    divergence = (torch.exp(log_variance) + mean.square() - 1 - log_variance).sum(dim=1) / 2
    return (fidelity * entropy + divergence).mean()


def _layers(widths, rng):
    """Weights uniform in +-sqrt(6 / (in + out)), biases zero (Glorot and Bengio, AISTATS 2010)."""
    return [((2 * torch.rand(after, before, generator=rng) - 1) * (6 / (before + after)) ** 0.5, torch.zeros(after))
            for before, after in zip(widths, widths[1:])]


def _forward(layers, X):
    for weights, biases in layers[:-1]:
        X = torch.relu(linear(X, weights, biases))
    return linear(X, *layers[-1])


class Decoders:
    """
    P decoders of the same size, evaluated as one.

    Parameters
    ----------
    layers : list of (weights (P, out, in), biases (P, out)) tensors
    """

    def __init__(self, layers):
        self.layers = layers

    @classmethod
    def of(cls, models):
        """Those of some autoencoders."""
        return cls([tuple(torch.stack(tensors) for tensors in zip(*layer))
                    for layer in zip(*(model.decoder for model in models))])

    @property
    def sizes(self):
        """How many there are, and their bands."""
        return tuple(self.layers[-1][1].shape)

    def to(self, *args):
        """On another device, or in another type."""
        return Decoders([tuple(tensor.to(*args) for tensor in layer) for layer in self.layers])

    def spectra(self, z):
        """f(z) (P, n, L) for `z` (P, n, H)."""
        return torch.sigmoid(self._propagate(z[:, :, None])[:, :, 0])

    def jets(self, z):
        """
        Spectra and their derivatives, by forward differentiation: one pass of 1 + H vectors per pixel.

        Parameters
        ----------
        z : tensor (P, n, H)

        Returns
        -------
        f : tensor (P, n, L)
        J : tensor (P, n, H, L)
            df / dz_h.
        """
        P, n, H = z.shape
        directions = torch.eye(H, dtype=z.dtype, device=z.device).expand(P, n, H, H)
        X = self._propagate(torch.cat([z[:, :, None], directions], dim=2))
        f = torch.sigmoid(X[:, :, 0])
        return f, X[:, :, 1:] * (f * (1 - f))[:, :, None]

    def _propagate(self, X):
        """Values X[:, :, 0] and tangents X[:, :, 1:] (P, n, 1 + t, width) through the layers, up to the logits."""
        P, n, vectors, _ = X.shape
        for depth, (weights, biases) in enumerate(self.layers):
            if depth:
                X *= X[:, :, :1] > 0
            X = torch.bmm(X.reshape(P, n * vectors, -1), weights.mT).reshape(P, n, vectors, -1)
            X[:, :, 0] += biases[:, None]
        return X
