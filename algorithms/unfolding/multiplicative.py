"""The multiplicative step of nonnegative factorisations as a layer, and how its dictionaries are trained."""

from dataclasses import dataclass

import numpy as np
import torch

EPS = 1e-16   # epsilon of (3.2.38): no activation is less
TINY = 1e-30  # a denominator is at least this
TOGETHER = 256   # series whose loss is found at once


@dataclass(frozen=True)
class Series:
    """
    What a network is given: B dictionaries' worth of data, for Q series at once.

    Attributes
    ----------
    X : Tensor (B, M, Q)
        Mixtures, not negative; 0 where they are not valid.
    V : Tensor (B, M, Q) or None
        1 where a value is valid and 0 elsewhere; None where all are.
    """

    X: torch.Tensor
    V: torch.Tensor | None = None


class MultiplicativeLayer:
    """
    The step for the Kullback-Leibler divergence, H o [D^T (X / D H)] / [D^T 1 + alpha_H], (4.2.2), (4.3.15), (4.4.3).

    One layer serves Deep-NMF, PAD-NMF and Deep-NMFD, for each of these factorises B blocks of M values by dictionaries
    D (B, M, a) whose entries are entries of the parameters theta, or zero. Deep-NMF: D is theta. PAD-NMF: a block is a
    column of the Hankel-extended series, and D has those atoms only that M^H lets be active there, without the values
    that M^W sets to zero: masked entries do not exist, so they stay exactly zero. Deep-NMFD: the block is the whole
    series, and D has each pattern at each of its shifts. [grad theta]+- are then sums of [grad D]+-, (4.3.22-23) and
    (4.4.6-7) alike.

    Parameters
    ----------
    where : Tensor (B, M, a) of int
        Which entry of theta, flattened, each entry of D is; theta's size stands for zero.
    sparsity : float
        alpha_H.
    rows : slice, optional
        Which of the M values this layer sees and `where` describes; all by default. Discriminative layers of the
        original Deep-NMF see the newest frame only.
    start : callable(theta) -> theta, optional
        The layer's own parameters to be trained, of the optimal ones: a copy by default.
    eps : float
        Activations are at least this.
    """

    def __init__(self, where, sparsity=0.0, *, rows=slice(None), start=torch.clone, eps=EPS):
        self.where, self.sparsity, self.rows, self.start, self.eps = where, sparsity, rows, start, eps

    def dictionary(self, theta):
        """D (B, M, a)."""
        return torch.cat([theta.reshape(-1), theta.new_zeros(1)])[self.where]

    def fold(self, D, theta):
        """The sum (the shape of theta) of what stands in D (B, M, a) for each entry of theta."""
        sums = D.new_zeros(theta.numel() + 1).index_add_(0, self.where.reshape(-1), D.reshape(-1))
        return sums[:-1].reshape(theta.shape)

    def data(self, y):
        """The values (B, M, Q) that this layer sees, and which of them are valid."""
        return y.X[:, self.rows], None if y.V is None else y.V[:, self.rows]

    def prepare(self, theta, y):
        D = self.dictionary(theta)
        _, V = self.data(y)
        denominator = D.sum(1)[:, :, None] if V is None else D.transpose(1, 2) @ V
        return theta, D, (denominator + self.sparsity).clamp_min(TINY)

    def step(self, H, prepared, y):
        _, D, denominator = prepared
        X, _ = self.data(y)
        return (H * (D.transpose(1, 2) @ (X / (D @ H).clamp_min(TINY))) / denominator).clamp_min(self.eps)

    def backward(self, H, prepared, y, plus, minus):
        """
        The parts of the gradient in H and in theta, from those `plus`, `minus` in the next H: (4.3.22) and (4.3.23).

        Returns
        -------
        (plus, minus) of H, (plus, minus) of theta
        """
        theta, D, denominator = prepared
        X, V = self.data(y)
        Dt = D.transpose(1, 2)
        Z = (D @ H).clamp_min(TINY)
        ratio = X / Z
        curvature, drive, scaled = ratio / Z, (Dt @ ratio) / denominator, H / denominator
        up, down = scaled * plus, scaled * minus
        spread_up, spread_down = curvature * (D @ up), curvature * (D @ down)
        ones = torch.ones_like(X) if V is None else V
        parts = [self.fold(ratio @ same.transpose(1, 2) + spread @ H.transpose(1, 2)
                           + ones @ (drive * other).transpose(1, 2), theta)
                 for same, other, spread in ((up, down, spread_down), (down, up, spread_up))]
        return (drive * plus + Dt @ spread_down, drive * minus + Dt @ spread_up), tuple(parts)


@dataclass(frozen=True)
class SeparationLoss:
    """
    1/2 ||S - F o X||^2 + alpha_S / 2 ||S - W_S H_S||^2, F = W_S H_S / (W H), (4.2.3), (4.3.20) and (4.4.4).

    Attributes
    ----------
    D : Tensor (B, M, a)
        Optimal dictionaries, with which the last layer reconstructs.
    targets : Tensor (a,) of bool
        Which atoms are targets, the others being noise.
    fidelity : float
        alpha_S.
    """

    D: torch.Tensor
    targets: torch.Tensor
    fidelity: float = 0.0

    def parts(self, H):
        """W_S H_S and W_N H_N, (B, M, Q) each."""
        return self.D[:, :, self.targets] @ H[:, self.targets], self.D[:, :, ~self.targets] @ H[:, ~self.targets]

    def __call__(self, H, y, S):
        """The loss, summed over the series."""
        wanted, noise = self.parts(H)
        filtered = wanted / (wanted + noise).clamp_min(TINY) * y.X
        error = wanted - S if y.V is None else (wanted - S) * y.V
        return 0.5 * torch.square(filtered - S).sum() + 0.5 * self.fidelity * torch.square(error).sum()

    def gradient(self, H, y, S):
        """
        Its positive and negative parts in H, [Phi_K]+ and [Phi_K]-.

        (4.3.24) is misprinted; differentiating (4.3.20) gives alpha_S W_S H_S and alpha_S S outside of the fractions,
        as in (4.A.7).
        """
        wanted, noise = self.parts(H)
        Z = (wanted + noise).clamp_min(TINY)
        ratio = y.X / Z   # no powers of Z: where nothing is there they would underflow
        goal, rest = ratio * (S / Z), ratio**2 * (wanted / Z)
        fit, aim = (wanted, S) if y.V is None else (wanted * y.V, S * y.V)
        plus, minus = torch.empty_like(H), torch.empty_like(H)
        Ws, Wn = self.D[:, :, self.targets].transpose(1, 2), self.D[:, :, ~self.targets].transpose(1, 2)
        plus[:, self.targets] = Ws @ (rest * noise + self.fidelity * fit)
        minus[:, self.targets] = Ws @ (goal * noise + self.fidelity * aim)
        plus[:, ~self.targets] = Wn @ (goal * wanted)
        minus[:, ~self.targets] = Wn @ (rest * wanted)
        return plus, minus


def first(y, atoms):
    """H_0: ones. The first multiplicative step makes its scale that of the data, whatever it was."""
    B, _, Q = y.X.shape
    return torch.ones(B, atoms, Q, dtype=y.X.dtype, device=y.X.device)


def train(network, loss, y, S, rng, *, epochs, batch, callback=None):
    """
    Train the discriminative dictionaries by theta <- theta o [gradient]- / [gradient]+, (4.2.4), (4.3.9), (4.4.5).

    Parameters
    ----------
    network : Unfolded
        Of multiplicative layers; its own parameters are changed.
    loss : SeparationLoss
    y : Series
    S : Tensor (B, M, Q)
        What of the mixtures is target.
    rng : numpy.random.Generator
        For the order of the series.
    epochs : int
        How often all series are gone through.
    batch : int
        Series in a mini-batch; a last one that is smaller is used too. The larger, the more steadily the loss falls:
        gradients of few series make ratios that are far from 1.
    callback : callable(epoch, loss) -> bool or None, optional
        After each epoch, with the loss of all series; true ends the training.

    Returns
    -------
    list of float
        The loss before and after each epoch, summed over all series.

    Notes
    -----
    The step is a heuristic that may raise the loss. So the parameters of the best epoch are kept, which may be those
    before the first. A zero stays zero. What the non-discriminative layers make of the series is kept: as many numbers
    as they have activations.
    """
    Q = y.X.shape[2]

    def parts():
        return np.array_split(np.arange(Q), -(-Q // TOGETHER))

    def total():
        with torch.no_grad():
            return sum(float(loss(network.refined(settled[:, :, chosen], part)[-1], part, goal))
                       for chosen in parts() for part, goal in [_chosen(y, S, chosen)])

    atoms = loss.D.shape[2]
    settled = torch.cat([network.settled(first(part, atoms), part) for chosen in parts()
                         for part, _ in [_chosen(y, S, chosen)]], dim=2)
    losses = [total()]
    best = [theta.clone() for theta in network.own]
    for epoch in range(1, epochs + 1):
        order = rng.permutation(Q)
        for begin in range(0, Q, batch):
            chosen = order[begin:begin + batch]
            part, goal = _chosen(y, S, chosen)
            with torch.no_grad():
                states = network.refined(settled[:, :, chosen], part)
                gradients = network.split_gradients(states, part, *loss.gradient(states[-1], part, goal))
                for theta, (plus, minus, _) in zip(network.own, gradients, strict=True):
                    theta *= torch.where(plus > 0, minus / plus.clamp_min(TINY), 1.0)
        losses.append(total())
        if losses[-1] < min(losses[:-1]):
            best = [theta.clone() for theta in network.own]
        if callback is not None and callback(epoch, losses[-1]):
            break
    network.own = best
    return losses


def _chosen(y, S, series):
    series = torch.as_tensor(series, device=y.X.device)
    return Series(y.X[:, :, series], None if y.V is None else y.V[:, :, series]), S[:, :, series]
