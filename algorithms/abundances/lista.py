"""LISTA: iterative soft thresholding unrolled into a network of a few layers, trained for one library."""

from dataclasses import dataclass, field

import numpy as np
import torch

from ..device import device
from ..pixels import CHUNK, blocks
from ..unfolding.network import Unfolded
from .linear_model import Abundances, errors
from .products import products
from .sparse import check_library, check_weight, duality_gap, unit
from .sunsal import sunsal

GAP = 1e-8         # duality gap of a training target, at most
HELD_OUT = 0.1     # share of the mixtures that the steps do not see
MEMBERS = 4        # spectra in a mixture, at most
WARM = 0.05        # share of the steps in which the learning rate rises


class Layer:
    """An iteration (1.2.4) as a layer: x = S_theta1(theta2 y + theta3 x), y (L, n), x (P, n)."""

    def __init__(self, positive):
        self.positive = positive

    def prepare(self, theta, y):
        return theta[0], theta[1] @ y, theta[2]

    def step(self, x, prepared, y):
        threshold, driven, matrix = prepared
        x = driven + matrix @ x
        if self.positive:
            return torch.relu(x - threshold)
        return torch.sign(x) * torch.relu(torch.abs(x) - threshold)

    def start(self, theta):
        return tuple(part.clone().requires_grad_() for part in theta)


@dataclass
class Lista:
    """
    A network for one library and one weight.

    Attributes
    ----------
    M : ndarray (L, P)
    weight : float
        In squared units of the data.
    positive : bool
    network : Unfolded
        For pixels and library divided by the root of `sparse.unit(M)`.
    losses : list of float
        Half the mean squared distance to the targets of the mixtures held out, before learning and after each epoch.
    """

    M: np.ndarray
    weight: float
    positive: bool
    network: Unfolded
    losses: list = field(default_factory=list)

    @property
    def layers(self):
        return self.network.K

    def __call__(self, Y):
        """The abundances (P, N) of pixels `Y` (L, N), in the type of the network's parameters."""
        first = self.network.optimal[0]
        root = np.sqrt(unit(self.M))
        parts = []
        for part in blocks(Y, CHUNK):
            y = torch.as_tensor(part / root, dtype=first.dtype, device=first.device)
            parts.append(self.network.inference(y.new_zeros(len(first), y.shape[1]), y).cpu().numpy())
        return np.concatenate(parts, axis=1)

    def unmix(self, Y):
        """
        The `Abundances` of pixels `Y` (L, N).

        Raises
        ------
        ValueError
            Pixels of another number of bands than the library.
        """
        C, q = products(Y, self.M)
        A = self(Y).astype(np.float64)
        A[:, ~np.isfinite(q)] = np.nan
        return Abundances(A, *errors(self.M.T @ self.M, C, q, A, len(self.M)))

    def state(self):
        """Arrays from which `from_state` makes the model again."""
        trained = {f"theta{part + 1}": np.stack([theta[part].detach().cpu().numpy() for theta in self.network.own])
                   for part in range(3)}
        return dict(trained, M=self.M, weight=np.array(self.weight), positive=np.array(self.positive),
                    layers=np.array(self.layers), losses=np.array(self.losses))

    @classmethod
    def from_state(cls, state):
        """A model from `state`; in single precision."""
        model = untrained(state["M"], float(state["weight"]), int(state["layers"]), positive=bool(state["positive"]),
                          tied=len(state["theta1"]) < int(state["layers"]))
        first = model.network.optimal[0]
        model.network.own = [tuple(torch.as_tensor(part, dtype=first.dtype, device=first.device) for part in theta)
                             for theta in zip(*(state[f"theta{part + 1}"] for part in range(3)))]
        model.losses = state["losses"].tolist()
        return model


def untrained(M, weight, layers=16, *, positive=True, tied=False, dtype=torch.float32):
    """
    The network before learning, which does what as many iterations of `ista` do.

    theta1 = weight / L, theta2 = M^T / L, theta3 = I - M^T M / L in every layer, L = ||M||_2^2.

    Parameters
    ----------
    M : ndarray (L, P)
    weight : float
        Above zero, in squared units of the data.
    layers : int
    positive : bool
        Thresholds are max(x - theta1, 0).
    tied : bool
        One theta for all layers, as in (1.2.4), instead of one for each.
    dtype : torch.dtype

    Returns
    -------
    Lista

    Raises
    ------
    ValueError
        A library that cannot be used (`check_library`), a weight not above zero, or no layer.
    """
    check_library(M)
    check_weight(weight, above_zero=True)
    M, scale = np.asarray(M, dtype=np.float64), unit(M)
    D = M / np.sqrt(scale)
    G = D.T @ D
    lipschitz = np.linalg.norm(G, 2)
    theta = (np.full((len(G), 1), weight / scale / lipschitz), D.T / lipschitz, np.eye(len(G)) - G / lipschitz)
    optimal = tuple(torch.as_tensor(part, dtype=dtype, device=device()) for part in theta)
    return Lista(M, weight, positive, Unfolded(Layer(positive), optimal, layers, layers, shared=tied))


def mixtures(M, N, rng, *, members=MEMBERS, noise=0.005):
    """
    Pixels Y (L, N) of one to `members` spectra of the library `M` (L, P) each, and their fractions (P, N).

    How many and which are drawn uniformly, fractions from a flat Dirichlet distribution; white noise is added, its
    standard deviation `noise` times the library's root mean square value.
    """
    P = M.shape[1]
    count = rng.integers(1, min(members, P) + 1, N)
    rank = rng.random((P, N)).argsort(axis=0).argsort(axis=0)
    A = rng.standard_exponential((P, N)) * (rank < count)
    A /= A.sum(axis=0)
    return M @ A + noise * np.sqrt(np.mean(np.square(M))) * rng.standard_normal((len(M), N)), A


def train(M, weight, rng, *, layers=16, positive=True, tied=False, pixels=20000, epochs=100, batch=256, rate=2e-3,
          noise=0.005, callback=None):
    """
    Learn for a library to give in a few layers what sparse regression converges to.

    From `untrained`, all layers at once, Adam lowers 1/2 ||x_K - x_y||^2 (eq. 1.2.5) over mixtures of the library
    (`mixtures`), x_y being the minimum of 1/2 ||y - M x||^2 + weight ||x||_1. Thresholds are kept at zero or above. A
    tenth of the mixtures is held out, and the parameters are kept that are best for these.

    Parameters
    ----------
    M, weight, layers, positive, tied
        See `untrained`.
    rng : numpy.random.Generator
        Draws the mixtures and their order.
    pixels : int
        Mixtures, at least 20.
    epochs : int
        Times through them.
    batch : int
        Mixtures in a step.
    rate : float
        Adam's learning rate, which rises in the first twentieth of the steps and falls to zero as a cosine.
    noise : float
        See `mixtures`.
    callback : callable(epoch, loss) -> bool or None, optional
        After each epoch, with the loss of the mixtures held out; true stops.

    Returns
    -------
    Lista

    Raises
    ------
    ValueError
        As `untrained`, or too few mixtures.

    References
    ----------
    G. Chinellato, Deep Unfolding, PhD thesis, Padova 2026, section 1.2.1. K. Gregor, Y. LeCun, Learning fast
    approximations of sparse coding, ICML 2010. Departures: by default each layer has parameters of its own, as in
    X. Chen et al., NeurIPS 2018; targets are exact (`sunsal`, duality gap below 1e-8) instead of ISTA's; a mixture
    whose target is not is left out.
    """
    if pixels < 20:
        raise ValueError(f"There are {pixels} mixtures to learn from: at least 20 are needed.")
    model = untrained(M, weight, layers, positive=positive, tied=tied)
    Y, X = targets(model.M, weight, positive, mixtures(model.M, pixels, rng, noise=noise)[0])
    first, root = model.network.optimal[0], np.sqrt(unit(model.M))
    y, x = (torch.as_tensor(part, dtype=first.dtype, device=first.device) for part in (Y / root, X))
    held = max(1, round(HELD_OUT * y.shape[1]))
    own = [part for theta in model.network.own for part in theta]
    steps = epochs * -(-(y.shape[1] - held) // batch)
    optimiser = torch.optim.Adam(own, lr=rate)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: min(1.0, (step + 1) / (WARM * steps)) * (
        1 + np.cos(np.pi * step / steps)) / 2)

    def loss(pixels, infer):
        start = y.new_zeros(len(first), y[:, pixels].shape[1])
        return (infer(start, y[:, pixels]) - x[:, pixels]).square().sum(dim=0).mean() / 2

    best, model.losses = _copy(own), [float(loss(slice(0, held), model.network.inference))]
    for epoch in range(1, epochs + 1):
        order = torch.as_tensor(held + rng.permutation(y.shape[1] - held), device=first.device)
        for part in order.split(batch):
            optimiser.zero_grad()
            loss(part, model.network.forward).backward()
            optimiser.step()
            schedule.step()
            with torch.no_grad():
                for theta in model.network.own:
                    theta[0].clamp_(min=0)
        model.losses.append(float(loss(slice(0, held), model.network.inference)))
        if model.losses[-1] <= min(model.losses):
            best = _copy(own)
        if callback is not None and callback(epoch, model.losses[-1]):
            break
    with torch.no_grad():
        for part, kept in zip(own, best):
            part.copy_(kept)
    return model


def targets(M, weight, positive, Y):
    """The mixtures whose regression converged, and what it converged to: Y (L, n), X (P, n)."""
    found = sunsal(Y, M, weight, positive=positive)
    C, q = products(Y, M)
    good = found.settled & (duality_gap(C, q, found.A, M.T @ (M @ found.A), weight, positive) <= GAP)
    return Y[:, good], found.A[:, good]


def _copy(parts):
    return [part.detach().clone() for part in parts]
