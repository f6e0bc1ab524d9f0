"""ReDSUNN: a state-space model of abundances and spectra in time, and its posterior by a recurrent network."""

import math
from dataclasses import dataclass

import numpy as np
import torch

from ..device import device, one_thread_each
from .redsunn_network import FLOOR, HOLD, NOISE, Network, Parts, start
from .sequence import settled, validity

K = 2
SIGMA_PSI = 0.01
EPOCHS = 30
BATCH = 128
RATE = 1e-3
RATE_M0 = 0.03     # of RATE, for the endmembers
WARM_UP = 20       # steps until the full rate
STEEPEST = 10.0    # norm of the gradient, at most
LOOKED_AT = 8000   # pixels from which the LSTMs' start is made
BLOCK = 2048       # pixels at a time at inference


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
        The change detector: half the l1 distance between predicted and seen abundances, 0 to 1; 0 where not valid.

    All are NaN in pixels that are valid at no date.
    """

    A: np.ndarray
    psi: np.ndarray
    u: np.ndarray


@dataclass(frozen=True)
class Redsunn:
    """
    A trained model.

    Attributes
    ----------
    network : Network
        In fractions of `scale`.
    scale : float
        Largest value of the endmembers it began with, in the units of the data.
    costs : tuple of float
        The ELBO of each epoch (see `train`).
    converged : bool
        Whether training ran to its end.
    """

    network: Network
    scale: float
    costs: tuple = ()
    converged: bool = True

    @property
    def M0(self):
        """Reference endmembers (L, P), in the units of the data."""
        return self.network.M0.cpu().numpy().astype(np.float64) * self.scale

    def unmix(self, Y, valid=None):
        """
        Posterior means of any pixels, by Algorithm 1: each state from the mean of the one before it.

        Parameters
        ----------
        Y : ndarray (T, L, n)
            Dates may differ in number from those of the training.
        valid : ndarray (T, n) of bool, optional

        Returns
        -------
        Unmixed

        Notes
        -----
        At dates that are not valid the states are those of a random walk between the valid dates around them: on the
        straight line between them in the softmax basis, or the nearest one's at the ends.
        """
        T, N, valid = self._checked(Y, valid)
        P, K = self.network.P, self.network.K
        found = Unmixed(np.full((T, P, N), np.nan, np.float32), np.full((T, P, K, N), np.nan, np.float32),
                        np.full((T, N), np.nan, np.float32))
        for part, y, seen in self._blocks(Y, valid):
            with torch.no_grad():
                c, psi, u = self._states(y, seen)
                found.A[:, :, part] = _softmax(c).permute(0, 2, 1).cpu().numpy()
                found.psi[..., part] = psi.permute(0, 2, 3, 1).cpu().numpy()
                found.u[:, part] = u.cpu().numpy()
        return found

    def draws(self, Y, valid=None, draws=100, seed=0):
        """
        Samples of the posterior of the abundances: (T, P, n) at a time, for as many pixels as fit in memory so often.

        States are drawn in turn, each given the one before it (eq. 48); at dates that are not valid from the random
        walk between the states drawn for the valid ones (a Brownian bridge). Pixels valid at no date are NaN.
        """
        T, N, valid = self._checked(Y, valid)
        for part, y, seen in self._blocks(Y, valid, whole=True):
            noise = _normal(seed, y.device)
            for _ in range(draws):
                A = np.full((T, self.network.P, N), np.nan, np.float32)
                with torch.no_grad():
                    A[:, :, part] = _softmax(self._states(y, seen, noise)[0]).permute(0, 2, 1).cpu().numpy()
                yield A

    def uncertainty(self, Y, valid=None, draws=100, seed=0):
        """
        Posterior standard deviation (T, P, n) of the abundances, from `draws` samples (see `draws`).

        Within the error of so few draws, some 1 / sqrt(2 draws) of itself, it depends on which pixels are given
        together: the random numbers of one seed go through them in turn.
        """
        if draws < 2:
            raise ValueError(f"A standard deviation needs at least 2 draws; {draws} were asked for.")
        T, N, valid = self._checked(Y, valid)
        sd = np.full((T, self.network.P, N), np.nan, np.float32)
        noise = _normal(seed, self.network.M0.device)
        for part, y, seen in self._blocks(Y, valid):
            mean = squares = 0.0
            with torch.no_grad():
                for count in range(1, draws + 1):
                    a = _softmax(self._states(y, seen, noise)[0])
                    apart = a - mean
                    mean = mean + apart / count
                    squares = squares + apart * (a - mean)
                sd[:, :, part] = torch.sqrt(squares / (draws - 1)).permute(0, 2, 1).cpu().numpy()
        return sd

    def endmembers(self, psi):
        """Endmembers (T, P, L, n) of the coefficients `psi` (T, P, K, n), in the units of the data (eq. 7)."""
        M0, D = self.M0, self.network.D[:, 1:].cpu().numpy().astype(np.float64)
        return (M0.T[None, :, :, None] * (1 + np.einsum("lk,tpkn->tpln", D, psi))).astype(np.float32)

    def departure(self, psi):
        """How far each endmember is from its reference, ||m_pnt - m_p|| / ||m_p||: (T, P, n) of `psi` (T, P, K, n)."""
        M0, D = self.M0, self.network.D[:, 1:].cpu().numpy().astype(np.float64)
        squares = np.einsum("lp,lk,lj->pkj", M0 ** 2, D, D) / (M0 ** 2).sum(axis=0)[:, None, None]
        return np.sqrt(np.maximum(np.einsum("tpkn,pkj,tpjn->tpn", psi, squares, psi, optimize=True), 0)).astype(
            np.float32)

    def reconstruction(self, found):
        """The images (T, L, n) that `found`, an `Unmixed`, stands for (eq. 7)."""
        T, P, K, n = found.psi.shape
        D = self.network.D.cpu().numpy().astype(np.float64)
        B = (self.M0[:, :, None] * D[:, None]).reshape(len(D), P * (K + 1)).astype(np.float32)
        weights = np.concatenate([found.A[:, :, None], found.A[:, :, None] * found.psi], axis=2)
        return np.matmul(B, weights.reshape(T, P * (K + 1), n))

    def state(self):
        """Everything needed to apply the model later, as a dict of arrays."""
        arrays = {name: tensor.cpu().numpy() for name, tensor in self.network.parameters.items()}
        return dict(arrays, scale=np.array(self.scale), sigma_psi=np.array(self.network.sigma_psi),
                    W=self.network.W.cpu().numpy(), costs=np.array(self.costs), converged=np.array(self.converged))

    @classmethod
    def from_state(cls, state, bands=None):
        """
        The model of a `state`.

        Parameters
        ----------
        state : dict of str to ndarray
        bands : int, optional
            Of the images it is to be applied to.

        Raises
        ------
        ValueError
            Arrays that are missing or do not fit each other, or another number of bands.
        """
        state = dict(state)
        try:
            scale, sigma_psi, W, costs, converged = map(state.pop, ("scale", "sigma_psi", "W", "costs", "converged"))
            L, P = state["M0"].shape
            K = state["v0"].shape[1] - 1
            expected = start(torch.zeros(L, P), K, torch.zeros(L), 1.0, torch.Generator(), "gain" in state)
            wrong = [name for name, tensor in expected.items() if state[name].shape != tuple(tensor.shape)]
            wrong += ["W"] * (W.shape != (L, L))
        except (KeyError, AttributeError, IndexError, ValueError, TypeError) as error:
            raise ValueError(f"This is not the state of a ReDSUNN model: no usable {error}.") from error
        if wrong or len(state) != len(expected):
            raise ValueError(f"The arrays of this state of a ReDSUNN model do not fit each other ({', '.join(wrong)}): "
                             "it was made by another version, or changed.")
        if bands is not None and bands != L:
            raise ValueError(f"The model was trained with {L} bands, the images have {bands}: give it images of the "
                             "same sensor and bands.")
        parameters = {name: torch.as_tensor(np.asarray(state[name], np.float32), device=device()) for name in expected}
        W = torch.as_tensor(np.asarray(W, np.float32), device=device())
        return cls(Network(parameters, float(sigma_psi), W), float(scale), tuple(float(cost) for cost in costs),
                   bool(converged))

    def _checked(self, Y, valid):
        if Y.ndim != 3 or Y.shape[1] != self.network.L:
            raise ValueError(f"The model was trained with {self.network.L} bands; it cannot be applied to images of "
                             f"the shape {Y.shape}.")
        T, _, N = Y.shape
        valid = np.ones((T, N), dtype=bool) if valid is None else np.asarray(valid, dtype=bool)
        if valid.shape != (T, N):
            raise ValueError(f"The mask of valid pixels has the shape {valid.shape}, the images need {(T, N)}.")
        return T, N, valid

    def _blocks(self, Y, valid, whole=False):
        usable = np.flatnonzero(valid.any(axis=0))
        for part in np.split(usable, [] if whole else range(BLOCK, len(usable), BLOCK)):
            if len(part):
                yield part, *batch_of(Y, valid, part, self.scale, self.network.M0.device)

    @one_thread_each()
    def _states(self, y, seen, noise=None):
        """c (T, n, P), psi (T, n, P, K) and u (T, n), means or (with `noise`) drawn."""
        states = self.network.posterior(y, seen, noise)
        c, psi = torch.stack(states.c), torch.stack(states.psi)
        if not bool(seen.all()):
            c = bridged(c, seen, self.network.sigma_a(c), noise)
            psi = bridged(psi.flatten(2), seen, torch.full_like(c[..., :1], self.network.sigma_psi), noise).reshape(
                psi.shape)
        return c, psi, torch.stack(states.u)


def _softmax(c):
    """Abundances of states: the softmax, with the floor of `softmax_basis` taken off again, so that 0 and 1 occur."""
    a = torch.softmax(c.double(), dim=-1)
    a = (a * (1 + a.shape[-1] * FLOOR) - FLOOR).clamp_min(0)
    return a / a.sum(dim=-1, keepdim=True)


def _normal(seed, place):
    rng = torch.Generator(device=place).manual_seed(seed)
    return lambda *shape: torch.randn(*shape, generator=rng, device=place)


def neighbours(seen):
    """The last seen date not after and the first not before each (T, n); -1 and T where there is none."""
    T = len(seen)
    dates = np.arange(T)[:, None]
    before = np.maximum.accumulate(np.where(seen, dates, -1), axis=0)
    return before, np.minimum.accumulate(np.where(seen, dates, T)[::-1], axis=0)[::-1].copy()


def batch_of(Y, valid, pixels, scale, place):
    """
    Pixels (T, n, L) as fractions of `scale`, and which are valid (T, n).

    Others are interpolated in time between the nearest valid dates; before the first and after the last they are as
    that one.
    """
    seen = valid[:, pixels]
    y = np.where(seen[:, :, None], Y[:, :, pixels].transpose(0, 2, 1), 0).astype(np.float32) / np.float32(scale)
    if not seen.all():
        T = len(seen)
        before, after = neighbours(seen)
        before, after = np.where(before < 0, after, before), np.where(after == T, before, after)
        dates, columns = np.nonzero(~seen)
        first, last = before[dates, columns], after[dates, columns]
        share = ((dates - first) / np.maximum(last - first, 1)).astype(np.float32)[:, None]
        y[dates, columns] = (1 - share) * y[first, columns] + share * y[last, columns]
    return torch.from_numpy(np.ascontiguousarray(y)).to(place), torch.from_numpy(seen).to(place)


def bridged(x, seen, step, noise=None):
    """
    States `x` (T, n, D) of a random walk, those not `seen` (T, n) anew from the seen ones around them.

    Between two of them, m dates apart, the walk after k dates has its mean on the line and s^2 k (m - k) / m more
    variance than that line, outside k s^2; s is `step` (T, n, 1) at the seen date before it, or at the first one.
    Without `noise` the means are returned, with it a draw.
    """
    T = len(x)
    before, after = (torch.from_numpy(dates).to(x.device) for dates in neighbours(seen.cpu().numpy()))
    scale = step.gather(0, torch.where(before < 0, after, before)[..., None])
    x = x.clone()

    def draw(mean, std):
        return mean if noise is None else mean + std * noise(*mean.shape)

    for t in range(T - 2, -1, -1):
        x[t] = torch.where((before[t] < 0)[:, None], draw(x[t + 1], scale[t]), x[t])
    for t in range(1, T):
        left = (after[t] - t + 1)[:, None].to(x.dtype)
        target = x.gather(0, after[t].clamp(max=T - 1)[None, :, None].expand(1, -1, x.shape[2]))[0]
        between = draw(x[t - 1] + (target - x[t - 1]) / left, scale[t] * torch.sqrt((left - 1) / left))
        onward = draw(x[t - 1], scale[t])
        new = torch.where((after[t] == T)[:, None], onward, between)
        x[t] = torch.where((~seen[t] & (before[t] >= 0))[:, None], new, x[t])
    return x


@one_thread_each()
def train(Y, M0, K=K, sigma_psi=SIGMA_PSI, valid=None, epochs=EPOCHS, batch=BATCH, rate=RATE, seed=0, callback=None,
          pixelwise=True, settle=True, coloured=True):
    """
    Learn ReDSUNN's model and posterior from a sequence, by maximising the evidence lower bound (ELBO) with Adam.

    Parameters
    ----------
    Y : ndarray (T, L, N)
        Images, in any units; they are divided by the largest value of `M0`.
    M0 : ndarray (L, P)
        Endmembers to begin with, for instance `sequence.reference`.
    K : int
        Functions of the band by which every endmember is scaled; 1 is one factor for all bands.
    sigma_psi : float
        Standard deviation (not variance) of the change of their coefficients from date to date, 0.01 for 1 %.
    valid : ndarray (T, N) of bool, optional
        Where `Y` holds data; other entries never matter. A pixel is learned from if it is valid at any date.
    epochs, batch : int
        Passes over the pixels, and pixels at a time.
    rate : float
        Adam's; the endmembers have 0.03 of it, and W_c a tenth, since eq. 44 takes it ten times at first. It rises over
        20 steps and falls as half a cosine.
    seed : int
        Of the start, the order of the pixels and the samples. The global random numbers are not touched.
    callback : callable(epoch, Parts) -> bool or None, optional
        Gets the ELBO and its parts; true ends the training.
    pixelwise : bool
        Let the state before the first date depend on the pixel (see Notes).
    settle : bool
        Begin with the endmembers of `sequence.settled` instead of `M0` itself.
    coloured : bool
        Take the noise for coloured over the bands, with the covariance that `sequence.settled` finds, times sigma_r^2.

    Returns
    -------
    Redsunn
        With the parameters after the epoch of the largest ELBO: that of the epoch, a running mean over its batches.

    Notes
    -----
    The model is that of eq. 7-22, the posterior's structure that of eq. 30-47. Departures, all to the same end: with
    them the posterior is nearly right before anything is learned, where a posterior that must be learned from some
    600 steps explains the images by wrong abundances.

    - u has the factor 1/2, not 1/(2P); pi^-1 clips and renormalises; D is one basis, DCT-II with row k divided by
      1 + k, so that `sigma_psi` asks for smooth changes.
    - M_n^+ y in eq. 44 is the regression of y on M_n and on what the next steps of psi may change, sum to one: a plain
      pseudo-inverse gives what is variability to the abundances (`Network.crude`). The hold on the previous abundances
      starts with weight alpha_2 / alpha_1 = 10 instead of 1 against it.
    - Eq. 45 gains the step of psi that explains y best at the abundances of eq. 44 (`Network.steps`).
    - Eq. 46-47 multiply a deviation that the model gives each coordinate (`Network.spreads`). W_psi h counts as often
      as sigma_psi says, and beta is 1 + sigma_psi b with a learned b: both are steps of psi.
    - pi^-1 has a floor of 0.01, which `Redsunn` takes off the abundances that it gives out.
    - q(c_0, psi_0 | y_n) is one for all pixels in eq. 35, which holds every pixel at the middle of the simplex at
      first. With `pixelwise` it is begun from the first date's regression, c_0 with a learned weight, one parameter
      more than in Table I.
    - M_0 starts at `sequence.settled` and is kept nonnegative.
    - The noise of eq. 22 is white. With `coloured` its covariance over the bands is that of what a linear mixing model
      leaves, and sigma_r its learned size: what no psi explains of real spectra is smooth over the bands, and as white
      noise would count as hundreds of independent measurements against the abundances.
    - sigma_a is bounded, and a step whose gradient is not finite is left out.

    References
    ----------
    R. Borsoi, T. Imbiriba, P. Closas, Dynamical hyperspectral unmixing with variational recurrent neural networks,
    IEEE TIP 32, 2023, Algorithm 1.
    """
    valid = validity(Y, valid)
    M0 = np.asarray(M0, dtype=np.float64)
    _check(Y, M0, K, dict(sigma_psi=sigma_psi, rate=rate), dict(epochs=epochs, batch=batch))
    found = settled(Y, M0, valid) if settle or coloured else None
    M0 = found.M if settle else M0
    scale = float(M0.max())
    W, level = _whitening(found.R if coloured else np.eye(len(M0)) * (NOISE * scale) ** 2)
    place, rng = device(), torch.Generator().manual_seed(seed)
    usable = np.flatnonzero(valid.any(axis=0))
    y, _ = batch_of(Y, valid, usable[::max(1, -(-len(usable) // (LOOKED_AT // len(Y) + 1)))], scale, "cpu")
    mean = y.mean(dim=(0, 1))
    parameters = start(torch.as_tensor(M0 / scale, dtype=torch.float32), K, mean,
                       float((y - mean).square().mean().sqrt()) or 1.0, rng, pixelwise, level / scale)
    parameters = {name: tensor.to(place).requires_grad_() for name, tensor in parameters.items()}
    W = torch.as_tensor(W, dtype=torch.float32, device=place)
    network = Network(parameters, sigma_psi, W)
    shares = {"M0": RATE_M0, "W_c": 1 / HOLD}
    adam = torch.optim.Adam([dict(params=[tensor], lr=rate * shares.get(name, 1.0))
                             for name, tensor in parameters.items()])
    steps = epochs * -(-len(usable) // batch)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        adam, lambda step: min(1, (step + 1) / WARM_UP) * (1 + math.cos(math.pi * step / steps)) / 2)
    noise = _normal(seed, place)
    best, kept, costs, stopped = -math.inf, None, [], False
    for epoch in range(1, epochs + 1):
        total = np.zeros(4)
        with torch.enable_grad():
            for part in torch.randperm(len(usable), generator=rng).split(batch):
                parts = torch.stack([x.mean() for x in network.bound(
                    *batch_of(Y, valid, usable[part.numpy()], scale, place), noise)])
                adam.zero_grad()
                ((parts[1:].sum() - parts[0]) / (len(Y) * len(M0))).backward()
                steepness = torch.nn.utils.clip_grad_norm_(parameters.values(), STEEPEST)
                if torch.isfinite(steepness):   # else this batch teaches nothing
                    adam.step()
                schedule.step()
                network.M0.data.clamp_(min=0)
                total += parts.detach().cpu().numpy().astype(np.float64) * (len(part) / len(usable))
        costs.append(float(total[0] - total[1:].sum()))
        if np.isfinite(costs[-1]) and costs[-1] > best:
            best, kept = costs[-1], {name: tensor.detach().clone() for name, tensor in parameters.items()}
        if callback is not None and callback(epoch, Parts(costs[-1], *total.tolist())):
            stopped = epoch < epochs
            break
    if kept is None:
        raise ValueError("The evidence bound was not finite in any epoch: use a smaller learning rate, or check the "
                         "images for outliers.")
    return Redsunn(Network(kept, sigma_psi, W), scale, tuple(costs), not stopped)


def _whitening(R):
    """W (L, L) with W R W^T = s^2 I and det W = 1, symmetric, and s."""
    values, vectors = np.linalg.eigh(R)
    level = np.exp(np.mean(np.log(values)) / 2)
    return vectors * (level / np.sqrt(values)) @ vectors.T, float(level)


def _check(Y, M0, K, positive, counts):
    if M0.ndim != 2 or len(M0) != Y.shape[1] or M0.shape[1] < 2:
        raise ValueError(f"The endmembers have the shape {M0.shape}: they need {Y.shape[1]} bands as the images, and "
                         "there must be at least two.")
    if not np.isfinite(M0).all() or M0.max() <= 0:
        raise ValueError("The endmembers must be numbers and not all zero: leave out those without data.")
    if not 1 <= K <= len(M0):
        raise ValueError(f"K is {K}: it must be between 1 and the number of bands, {len(M0)}.")
    for name, value in positive.items():
        if not (np.isfinite(value) and value > 0):
            raise ValueError(f"{name} is {value:g}: it must be positive.")
    for name, value in counts.items():
        if value < 1:
            raise ValueError(f"{name} is {value}: it must be at least 1.")
