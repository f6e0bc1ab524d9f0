"""ReDSUNN's model of a sequence and its variational posterior: everything that is learned, and the evidence bound."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn.functional import linear

FLOOR = 1e-2       # added to abundances where their logarithm is taken
RIDGE = 1e-9       # of the mean energy of the endmembers, in their Gram matrices
PASSES = 2         # of the regression, each at the abundances of the one before
HOLD = 10.0        # start of alpha_2 / alpha_1
GAIN = 5.0         # start of the logit of the weight of the first date's regression in c_0
NOISE = 0.03       # start of sigma_r, of the largest reflectance: the paper's 1e-4 is a variance
SPREAD_C = 0.3     # start of sigma_a
WIDEST = 3.0       # of sigma_a: from one corner of the simplex to another
SPREAD_PSI = 0.1   # start of gamma_0 and of zeta_0 for psi


@dataclass(frozen=True)
class Parts:
    """
    The evidence lower bound (ELBO) per pixel and what it is made of, each a mean over pixels of sums over dates.

    elbo = likelihood - initial - abundances - variability.
    """

    elbo: float
    likelihood: float
    initial: float
    abundances: float
    variability: float


def basis(L, K):
    """Smooth functions of the band, D (L, K): the first K rows of the DCT-II, row k = 0, 1, ... divided by 1 + k."""
    return np.cos(np.pi / L * (np.arange(L)[:, None] + 0.5) * np.arange(K)) / (1 + np.arange(K))


def gaussian_kl(mean, std, prior_mean, prior_std):
    """KL(N(mean, std^2) || N(prior_mean, prior_std^2)) of every coordinate (Appendix A)."""
    ratio = std / prior_std
    return ((mean - prior_mean) / prior_std).square() / 2 + ratio.square() / 2 - 0.5 - torch.log(ratio)


def log_likelihood(squares, L, sigma_r):
    """log N(y; M a, sigma_r^2 I) from the squared distance ||y - M a||^2 in `L` bands (eq. 22)."""
    return -squares / (2 * sigma_r ** 2) - L / 2 * torch.log(2 * math.pi * sigma_r ** 2)


def on_simplex(x):
    """s(x): the nearest point of the simplex to each row of `x` (n, P)."""
    P = x.shape[-1]
    ordered = x.detach().sort(dim=-1, descending=True).values
    above = ordered.cumsum(dim=-1) - 1
    count = (ordered * torch.arange(1, P + 1, device=x.device) > above).sum(dim=-1, keepdim=True)
    kept = x > above.gather(-1, count - 1) / count
    return torch.where(kept, x + (1 - (x * kept).sum(dim=-1, keepdim=True)) / count, 0.0)


def softmax_basis(x):
    """pi^-1 of nonnegative `x` (n, P) (eq. 14): 0.01 is added to all, whose sum need not be 1."""
    x = x.clamp_min(0)
    x = torch.log(x / x.sum(dim=-1, keepdim=True).clamp_min(FLOOR) + FLOOR)
    return x - x.mean(dim=-1, keepdim=True)


def dirichlet_in_softmax_basis(alpha, epsilon=1.0):
    """
    Mean and covariance of the Gaussian that stands for Dir(alpha) in the softmax basis (eq. 16-17).

    The covariance is the inverse of the Hessian of the negative logarithm of eq. 16 at its mode (the paper calls the
    Hessian itself so), diag(alpha) - alpha alpha^T / sum(alpha) + epsilon 1 1^T. `epsilon` only holds the sum of c.
    """
    alpha = np.asarray(alpha, dtype=np.float64)
    mean = np.log(alpha) - np.mean(np.log(alpha))
    return mean, np.linalg.inv(np.diag(alpha) - np.outer(alpha, alpha) / alpha.sum() + epsilon)


class Network:
    """
    Parameters of the model (theta) and of the posterior (phi), and what follows from them.

    Parameters
    ----------
    parameters : dict of str to tensor
        See `start`.
    sigma_psi : float
        Standard deviation of the innovations of psi (eq. 11).
    W : tensor (L, L)
        What makes the noise white: W r ~ N(0, sigma_r^2 I). The identity in the paper.

    Notes
    -----
    Where n pixels have T dates: y (T, n, L), c (T, n, P), psi (T, n, P, K).
    """

    def __init__(self, parameters, sigma_psi, W):
        self.parameters, self.sigma_psi, self.W = parameters, sigma_psi, W
        self.L, self.P = parameters["M0"].shape
        self.K = parameters["v0"].shape[1] - 1
        M0 = parameters["M0"]
        self.D = torch.as_tensor(np.column_stack([np.ones(self.L), basis(self.L, self.K)]), dtype=M0.dtype,
                                 device=M0.device)
        self.log_volume = float(torch.linalg.slogdet(W.double())[1])

    def __getattr__(self, name):
        try:
            return self.__dict__["parameters"][name]
        except KeyError:
            raise AttributeError(name) from None

    def spectra(self):
        """B (L, P, K + 1): m_p and m_p times each function of the basis. M_n has the columns B_p [1; psi_p]."""
        return self.M0[:, :, None] * self.D[:, None]

    def sigma_r(self):
        return torch.exp(self.log_sigma_r)

    def sigma_a(self, c):
        """
        Standard deviation (..., 1) of the innovations of c (eq. 18), at most `WIDEST`.

        Without a bound large states have large steps, which make larger states: in fifteen dates it overflows.
        """
        hidden = torch.relu(linear(c, self.A_hidden, self.A_hidden_bias))
        return SPREAD_C * torch.exp(linear(hidden, self.A_out, self.A_out_bias).clamp(max=math.log(WIDEST / SPREAD_C)))

    def representations(self, y):
        """h (T, n, H), the mean of both LSTMs' states (eq. 41-43)."""
        T, n, _ = y.shape
        H = (self.K + 1) * self.P
        driven = torch.matmul(y.reshape(1, T * n, -1), self.W_in) + self.lstm_bias[:, None]
        driven = driven.reshape(2, T, n, 4 * H)
        h = cell = y.new_zeros(2, n, H)
        states = []
        for t in range(T):
            gates = torch.stack([driven[0, t], driven[1, T - 1 - t]]) + torch.bmm(h, self.W_state)
            opened = torch.sigmoid(gates[..., :3 * H])
            enter, forget, leave = opened.split(H, dim=-1)
            cell = forget * cell + enter * torch.tanh(gates[..., 3 * H:])
            h = leave * torch.tanh(cell)
            states.append(h)
        states = torch.stack(states)
        return (states[:, 0] + states.flip(0)[:, 1]) / 2

    def posterior(self, y, valid, noise=None):
        """
        Go through the dates of n pixels (eq. 33-35, 44-48).

        Parameters
        ----------
        y : tensor (T, n, L)
            Pixels; where not `valid` those interpolated in time.
        valid : tensor (T, n) of bool
        noise : callable(*shape) -> tensor, optional
            Standard normal numbers, to sample; without it the states are the means.

        Returns
        -------
        States
        """
        B = self.spectra()
        flat = self.W.double() @ B.flatten(1).double()
        gram = (flat.T @ flat).reshape(B.shape[1:] * 2)
        correlated = (y.double() @ (self.W.double().T @ flat)).reshape(*y.shape[:2], *B.shape[1:])
        h = self.representations(y)

        def draw(mean, std):
            return mean if noise is None else mean + std * noise(*mean.shape)

        n = y.shape[1]
        mean0 = self.xi.expand(n, -1, -1)
        mean_c0, mean_psi0 = mean0[..., 0], mean0[..., 1:]
        std0 = torch.exp(self.log_zeta)
        if "gain" in self.parameters:
            gamma = torch.exp(self.log_gamma[:, 1:])
            first = self.crude(gram, correlated[0], mean_psi0, gamma)
            mean_c0 = mean_c0 + torch.sigmoid(self.gain) * (softmax_basis(on_simplex(first)) - mean_c0)
            mean_psi0 = mean_psi0 + self.steps(gram, correlated[0], mean_c0, mean_psi0, gamma)
        initial = gaussian_kl(mean_c0, std0[:, 0], self.v0[:, 0], torch.exp(self.log_gamma[:, 0])).sum(dim=-1)
        initial = initial + gaussian_kl(mean_psi0, std0[:, 1:], self.v0[:, 1:],
                                        torch.exp(self.log_gamma[:, 1:])).sum(dim=(-2, -1))
        c, psi = draw(mean_c0, std0[:, 0]), draw(mean_psi0, std0[:, 1:])
        out = States([], [], [], [], [], initial, h)
        steps_c, steps_psi = linear(h, self.W_c), linear(h, self.W_psi).reshape(*h.shape[:2], self.P, self.K)
        stds_c = torch.exp(linear(h, self.V_c))
        stds_psi = torch.exp(linear(h, self.V_psi)).reshape(*h.shape[:2], self.P, self.K)
        beta = 1 + self.sigma_psi * self.beta
        alpha = torch.exp(self.log_alpha)
        everywhere = bool(valid.all())
        for t in range(len(y)):
            crude = self.crude(gram, correlated[t], psi, torch.full_like(psi[0], self.sigma_psi))
            a = torch.softmax(c, dim=-1)
            u = (on_simplex(crude) - a).abs().sum(dim=-1, keepdim=True) / 2
            mean_c = softmax_basis(alpha[0] * (1 - u) * a + alpha[1] * u * (crude + steps_c[t]))
            step = self.steps(gram, correlated[t], mean_c, psi, torch.full_like(psi[0], self.sigma_psi))
            mean_psi = beta * psi + step + self.sigma_psi * steps_psi[t]
            sigma_a = self.sigma_a(c)
            std_c, std_psi = self.spreads(gram, mean_c, mean_psi, sigma_a)
            std_c, std_psi = std_c * stds_c[t], std_psi * stds_psi[t]
            if not everywhere:
                seen = valid[t, :, None]
                u = torch.where(seen, u, 0.0)
                mean_c, std_c = torch.where(seen, mean_c, c), torch.where(seen, std_c, sigma_a)
                mean_psi = torch.where(seen[..., None], mean_psi, psi)
                std_psi = torch.where(seen[..., None], std_psi, torch.full_like(std_psi, self.sigma_psi))
            out.abundances.append(gaussian_kl(mean_c, std_c, c, sigma_a).sum(dim=-1))
            out.variability.append(gaussian_kl(mean_psi, std_psi, psi, self.sigma_psi).sum(dim=(-2, -1)))
            c, psi = draw(mean_c, std_c), draw(mean_psi, std_psi)
            out.c.append(c)
            out.psi.append(psi)
            out.u.append(u[:, 0])
        return out

    def regression(self, gram, correlated, psi, a, std):
        """
        Abundances (n, P) of a pixel's regression on M_n and on what steps of psi change.

        min ||y - M_n x - sum_p a_p (m_p o D d_p)||^2 / sigma_r^2 + ||d / std||^2 with 1^T x = 1, where M_n is that of
        `psi`; linear because the `a` by which the steps count are given.

        Parameters
        ----------
        gram : tensor (P, K + 1, P, K + 1)
            B^T B.
        correlated : tensor (n, P, K + 1)
            B^T y.
        psi : tensor (n, P, K)
        a : tensor (n, P)
        std : tensor (P, K)
            How far steps may go.
        """
        n, P, K = psi.shape
        S = psi.new_zeros(n, P, K + 1, K + 1, dtype=torch.float64)
        S[..., 0, 0] = 1
        S[..., 1:, 0] = psi
        S[..., 1:, 1:] = a[..., None, None] * torch.eye(K, dtype=S.dtype, device=S.device)
        G = torch.einsum("npki,pkql->npiql", S, gram)
        G = torch.einsum("npiql,nqlj->npiqj", G, S).reshape(n, P * (K + 1), P * (K + 1))
        precision = torch.zeros(P, K + 1, dtype=S.dtype, device=S.device)
        precision[:, 1:] = (self.sigma_r() / std).square()
        ridge = RIDGE * gram.reshape(len(G[0]), -1).diagonal().mean()
        G = G + torch.diag(precision.flatten() + ridge)
        right = torch.einsum("npki,npk->npi", S, correlated)
        ones = torch.zeros_like(right)
        ones[..., 0] = 1
        solved = torch.linalg.solve(G, torch.stack([right.flatten(1), ones.flatten(1)], dim=-1)).reshape(n, P, K + 1, 2)
        free, slack = solved[..., 0, :].unbind(-1)
        return (free + slack * ((1 - free.sum(-1)) / slack.sum(-1))[:, None]).to(psi.dtype)

    def spreads(self, gram, c, psi, sigma_a):
        """
        Standard deviations of c (n, P) and psi (n, P, K) at these means, as constants.

        Of psi, each with all others held. Of c, as if the others of a pixel had no spectra: a_p (1 - a_p) M_p instead
        of a_p (M_p - M a). That is too small where endmembers are alike, and gave better abundances than the exact one.
        """
        with torch.no_grad():
            a = torch.softmax(c, dim=-1)
            weights = torch.cat([torch.ones_like(psi[..., :1]), psi], dim=-1)
            blocks = torch.diagonal(gram, dim1=0, dim2=2).to(c.dtype)   # (K + 1, K + 1, P)
            energy = torch.einsum("npk,klp,npl->np", weights, blocks, weights)
            noise = self.sigma_r() ** 2
            precise_c = (a * (1 - a)).square() * energy / noise + 1 / sigma_a ** 2
            energies = torch.diagonal(blocks, dim1=0, dim2=1)[:, 1:]    # (P, K)
            precise_psi = a[..., None].square() * energies / noise + 1 / self.sigma_psi ** 2
            return precise_c.rsqrt(), precise_psi.rsqrt()

    def steps(self, gram, correlated, c, psi, std):
        """Steps of psi (n, P, K) that explain y_n best where the abundances are those of c (n, P)."""
        n, P, K = psi.shape
        a = torch.softmax(c, dim=-1).double()
        weights = torch.cat([torch.ones_like(psi[..., :1]), psi], dim=-1) * a[..., None]
        fitted = (weights.flatten(1) @ gram.reshape(P * (K + 1), -1)).reshape(n, P, K + 1)
        right = ((correlated - fitted)[..., 1:] * a[..., None]).flatten(1)
        a = a.repeat_interleave(K, dim=1)
        G = gram[:, 1:, :, 1:].reshape(P * K, P * K) * a[:, :, None] * a[:, None]
        G = G + torch.diag((self.sigma_r() / std).square().flatten().double())
        return torch.linalg.solve(G, right).reshape(n, P, K).to(psi.dtype)

    def crude(self, gram, correlated, psi, std):
        """`regression` begun without steps of psi, then twice at the abundances found; M_0 learns through it."""
        x = self.regression(gram, correlated, psi, psi.new_zeros(psi.shape[:2]), std)
        for _ in range(PASSES):
            x = self.regression(gram, correlated, psi, on_simplex(x), std)
        return x

    def reconstruct(self, c, psi):
        """M_n a_n (..., L) of states c (..., P) and psi (..., P, K) (eq. 7)."""
        weights = torch.cat([torch.ones_like(psi[..., :1]), psi], dim=-1) * torch.softmax(c, dim=-1)[..., None]
        return weights.flatten(-2) @ self.spectra().reshape(self.L, -1).T

    def bound(self, y, valid, noise):
        """One-sample estimates (n,) of the parts of the ELBO (eq. 40): likelihood and the three divergences."""
        states = self.posterior(y, valid, noise)
        fit = self.reconstruct(torch.stack(states.c), torch.stack(states.psi))
        misfit = ((y - fit) @ self.W.T).square().sum(dim=-1)
        likelihood = log_likelihood(misfit, self.L, self.sigma_r()) + self.log_volume
        return ((likelihood * valid).sum(dim=0), states.initial, torch.stack(states.abundances).sum(dim=0),
                torch.stack(states.variability).sum(dim=0))


@dataclass
class States:
    """Lists by date: c (n, P), psi (n, P, K), u (n,), divergences (n,); the initial divergence (n,), h (T, n, H)."""

    c: list
    psi: list
    u: list
    abundances: list
    variability: list
    initial: torch.Tensor
    h: torch.Tensor


def start(M0, K, mean, spread, rng, pixelwise=True, noise=NOISE):
    """
    Parameters as they start.

    Parameters
    ----------
    M0 : tensor (L, P)
    K : int
    mean : tensor (L,)
        Mean spectrum, which the LSTMs' first weights take away,
    spread : float
        and the standard deviation by which they divide.
    rng : torch.Generator
    pixelwise : bool
        See `redsunn.train`.
    noise : float
        sigma_r.
    """
    L, P = M0.shape
    H = (K + 1) * P

    def glorot(*shape):
        return (2 * torch.rand(*shape, generator=rng) - 1) * math.sqrt(6 / (shape[-1] + shape[-2]))

    def lstm(inputs):
        return torch.cat([glorot(2, inputs, H) for _ in range(4)], dim=-1)

    W_in = lstm(L) / spread
    gamma = torch.ones(P, K + 1)
    gamma[:, 1:] = SPREAD_PSI
    parameters = dict(
        M0=M0.clone(), log_sigma_r=torch.tensor(math.log(noise)),
        A_hidden=glorot(P, P), A_hidden_bias=torch.zeros(P), A_out=glorot(1, P), A_out_bias=torch.zeros(1),
        v0=torch.zeros(P, K + 1), log_gamma=torch.log(gamma),
        W_in=W_in, W_state=lstm(H), lstm_bias=-torch.einsum("l,dlh->dh", mean, W_in),
        log_alpha=torch.tensor([0.0, math.log(HOLD)]), beta=torch.zeros(()),
        W_c=torch.zeros(P, H), V_c=glorot(P, H), W_psi=torch.zeros(K * P, H), V_psi=glorot(K * P, H),
        xi=torch.zeros(P, K + 1), log_zeta=torch.log(gamma))
    if pixelwise:
        parameters["gain"] = torch.tensor(GAIN)
    return parameters
