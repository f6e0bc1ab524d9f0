"""ReDSUNN: a state-space model of abundances and spectra in time, and its posterior by a recurrent network."""

import math
from dataclasses import dataclass

import numpy as np
import torch

from ..variability.autoencoder import device, one_thread_each
from .redsunn_network import Network, Parts, start
from .sequence import validity

K = 3
SIGMA_PSI = 0.1
EPOCHS = 30
BATCH = 128
RATE = 5e-3
BLOCK = 4096      # pixels at a time at inference
LOOKED_AT = 4096  # pixels from which mean and spread are taken


@dataclass(frozen=True)
class Unmixed:
    """
    Attributes
    ----------
    A : ndarray (T, P, n)
        Abundances.
    psi : ndarray (T, P, K, n)
        Coefficients of the variability.
    u : ndarray (T, n)
        Half the l1 distance between the abundances predicted and seen, 0 to 1 (eq. 44).
    """

    A: np.ndarray
    psi: np.ndarray
    u: np.ndarray


@dataclass(frozen=True)
class Redsunn:
    """A trained model."""

    network: Network
    scale: float
    settings: dict
    costs: tuple = ()
    converged: bool = True

    @property
    def M0(self):
        return self.network.M0.cpu().numpy().astype(np.float64) * self.scale

    def unmix(self, Y, valid=None):
        T, L, N = Y.shape
        valid = np.ones((T, N), dtype=bool) if valid is None else valid
        P, K = self.network.P, self.network.K
        found = Unmixed(np.full((T, P, N), np.nan, np.float32), np.full((T, P, K, N), np.nan, np.float32),
                        np.full((T, N), np.nan, np.float32))
        for first in range(0, N, BLOCK):
            part = np.arange(first, min(first + BLOCK, N))
            part = part[valid[:, part].any(axis=0)]
            if not len(part):
                continue
            with torch.no_grad():
                y, seen = batch_of(Y, valid, part, self.scale, self.network.M0.device)
                states = self.network.posterior(y, seen)
                c, psi = torch.stack(states.c), torch.stack(states.psi)
                a = torch.softmax(c.double(), dim=-1)
            found.A[:, :, part] = a.permute(0, 2, 1).cpu().numpy()
            found.psi[..., part] = psi.permute(0, 2, 3, 1).cpu().numpy()
            found.u[:, part] = torch.stack(states.u).cpu().numpy()
        return found


def batch_of(Y, valid, pixels, scale, place):
    """Pixels (T, n, L) as fractions of `scale`, those not valid interpolated in time, and which are (T, n)."""
    y, seen = Y[:, :, pixels].transpose(0, 2, 1), valid[:, pixels]
    y = np.where(seen[:, :, None], y, 0).astype(np.float32) / np.float32(scale)
    return torch.from_numpy(y).to(place), torch.from_numpy(seen).to(place)


def train(Y, M0, K=K, sigma_psi=SIGMA_PSI, valid=None, epochs=EPOCHS, batch=BATCH, rate=RATE, seed=0, callback=None,
          ratio=1.0, gain=None, M_rate=1.0, anneal=0, decay=True, tweak=None):
    valid = validity(Y, valid)
    scale = float(np.max(M0))
    rng = torch.Generator().manual_seed(seed)
    usable = np.flatnonzero(valid.any(axis=0))
    place = device()
    looked, _ = batch_of(Y, valid, usable[::max(1, -(-len(usable) // LOOKED_AT))], scale, "cpu")
    parameters = start(torch.as_tensor(M0 / scale, dtype=torch.float32), K, looked.mean(dim=(0, 1)),
                       float((looked - looked.mean(dim=(0, 1))).square().mean().sqrt()), rng, ratio, gain)
    parameters = {name: tensor.to(place).requires_grad_() for name, tensor in parameters.items()}
    network = Network(parameters, sigma_psi)
    if tweak:
        tweak(parameters)
    groups = [dict(params=[parameters["M0"]], lr=rate * M_rate),
              dict(params=[value for name, value in parameters.items() if name != "M0"], lr=rate)]
    adam = torch.optim.Adam(groups, betas=(0.9, 0.999))
    steps = epochs * -(-len(usable) // batch)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        adam, lambda step: min(1, (step + 1) / 20) * ((1 + math.cos(math.pi * step / steps)) / 2 if decay else 1))
    noise = torch.Generator(device=place).manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=noise, device=place)

    best, kept, costs, done = -math.inf, None, [], 0
    with one_thread_each(), torch.enable_grad():
        for epoch in range(1, epochs + 1):
            total = np.zeros(4)
            for part in torch.randperm(len(usable), generator=rng).split(batch):
                y, seen = batch_of(Y, valid, usable[part.numpy()], scale, place)
                parts = [part.mean() for part in network.bound(y, seen, normal)]
                weight = 1.0 if not anneal else min(1, 0.01 + done / (anneal * steps))
                loss = (weight * sum(parts[1:]) - parts[0]) / (len(Y) * len(M0))
                adam.zero_grad()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(list(parameters.values()), 10.0)
                adam.step()
                schedule.step()
                done += 1
                total += np.array([part.item() for part in parts]) * len(part) / len(usable)
            elbo = total[0] - total[1:].sum()
            costs.append(elbo)
            if elbo > best:
                best, kept = elbo, {name: tensor.detach().clone() for name, tensor in parameters.items()}
            if callback is not None and callback(epoch, Parts(elbo, *total)):
                break
    return Redsunn(Network(kept, sigma_psi), scale, dict(K=K, sigma_psi=sigma_psi), tuple(costs))
